//! The record of a run, and everything rendered from it.
//!
//! [`record`] holds the types: one [`record::RunRecord`] carries all that is needed to believe or refute a
//! verdict. Each other module renders a record for one kind of reader. Nothing here knows how a run
//! happens.
//!
//! | module | reader |
//! |---|---|
//! | [`terminal`] | the person who typed `imspec run` |
//! | [`html`] | whoever has to believe the result: one page, no network |
//! | [`junit`] | a CI system |
//! | [`markdown`] | a pull request, the summary of a CI job |
//! | [`tap`], [`ctrf`] | other collectors of test results |
//! | [`annotations`] | GitHub, at the line of the scenario |
//! | [`pcapng`] | Wireshark |
//! | [`statement`] | a laboratory, a standards meeting: SCTR and PCTR of ISO/IEC 9646 |
//! | [`badge`] | a README |
//! | [`comparison`] | who has several records: builds, or servers |
//! | [`json`] | programs, and imspec itself later |
//!
//! Below them, in the order in which they build on each other: [`escape`] makes foreign text safe to show,
//! [`excerpt`] shows the place in a message, [`event`] describes what happened, [`failure`] joins findings
//! that are one failure to a reader, [`summary`] counts, [`change`] holds a record against another, [`outcome`] is for those who know pass and fail only,
//! [`ladder`] puts the messages of a case in one picture.

pub mod annotations;
pub mod badge;
pub mod change;
pub mod clause;
pub mod comparison;
pub mod ctrf;
pub mod document;
pub mod escape;
pub mod event;
pub mod excerpt;
pub mod failure;
pub mod html;
pub mod json;
pub mod junit;
pub mod ladder;
pub mod markdown;
pub mod outcome;
pub mod pcapng;
pub mod record;
pub mod statement;
pub mod summary;
pub mod tap;
pub mod terminal;
pub mod write;

#[cfg(test)]
extern crate self as imspec_reports;
#[cfg(test)]
#[path = "../examples/sample/record.rs"]
mod sample;

pub use json::read;
pub use write::{FILES, write_all};
