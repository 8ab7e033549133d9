//! What is wrong with a description that was taken all the same.

pub use crate::sip::Defect;
