//! What must hold for every input: nothing is lost, nothing panics, and comparison keeps its laws.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod comparison;
mod framing;
mod generators;
mod lossless;
mod msrp;
mod robustness;
mod values;
