//! The same for MSRP: nothing is lost, nothing panics, streams are cut the same however they
//! arrive, and messages come together whatever happened to their chunks.

mod framing;
mod generators;
mod reassembly;
mod robustness;
mod uris;
