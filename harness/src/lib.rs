//! imspec: does an instant-messaging server keep the rules for deferred messages?
//!
//! The data goes one way, each stage with one job and a type at its border:
//!
//! ```text
//! scenarios/*.yaml ─[scenario]→ Scenario ─[plan]→ Case ─[run]→ Trace ─[judge]→ RunRecord ─[reports]→ files
//! ```
//!
//! - [`scenario`]: the language: model, loader with diagnostics, references, JSON Schema.
//! - [`document`]: YAML files with the place of every value, and diagnostics that point there.
//! - [`catalogue`]: the requirements and the PICS keys.
//! - [`bundled`]: the catalogue and the suite that this build brings along.
//! - [`link`]: connections to a server, and what is wrong where there is none.
//! - [`sut`]: the profile of a server under test, and the adapters that reach into it.
//! - [`plan`]: which cases, with which values, side by side with which others.
//! - [`agent`]: the user agents that talk SIP.
//! - [`run`]: the timeline and the interpreter; gives traces.
//! - [`evidence`]: what a trace says about a name such as `sent`; used while running and while judging.
//! - [`judge`]: verdicts as a pure function of trace, requirements and waivers.
//! - [`campaign`]: runs a plan, judges what ends, and gives what came too late a second chance.
//! - [`rejudge`]: judges a record again, by the scenarios, requirements and waivers of another day.
//! - [`merge`]: joins the records of shards into the one that an unsplit run would have written.
//! - [`prove`]: whether the suite catches the seeded faults of the reference server.
//! - [`doctor`]: tries each thing that a profile promises.
//! - [`init`]: a first profile, from what is said and what the server shows.
//! - [`draft`]: for specification editors: what a draft says, and how well.
//! - [`cli`]: one file a command.

pub mod agent;
pub mod bundled;
pub mod campaign;
pub mod catalogue;
pub mod cli;
pub mod doctor;
pub mod document;
pub mod draft;
pub mod embedded;
pub mod evidence;
mod fingerprint;
pub mod init;
pub mod judge;
pub mod link;
pub mod merge;
pub mod plan;
pub mod prove;
pub mod rejudge;
pub mod run;
pub mod scenario;
pub mod sut;
