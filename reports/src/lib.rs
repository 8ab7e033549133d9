//! The record of a run, and everything rendered from it.
//!
//! [`record`] holds the types: one [`record::RunRecord`] carries all that is needed to believe or refute a
//! verdict. Each other module renders a record for one kind of reader. Nothing here knows how a run
//! happens.

pub mod record;
