//! What is wrong with a message that was taken all the same.

pub use crate::sip::Defect;
