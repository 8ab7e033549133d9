//! Lossless codecs of the imspec harness. No I/O, no clock, no judgement.
//!
//! A received message is its octets plus an index into them, so that nothing is ever lost between
//! the socket and the report: parsing and serialising an unmodified message gives the same octets.

pub mod cpim;
pub mod digest;
pub mod msrp;
pub mod sdp;
pub mod sip;
