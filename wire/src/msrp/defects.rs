//! What is wrong with a frame that was taken all the same.

use super::{Defect, Frame, Head};

impl Head {
    /// Where the head breaks the rules of its protocol, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        Vec::new()
    }
}

impl Frame {
    /// Where the frame breaks the rules of its protocol, in the order of the octets.
    pub fn defects(&self) -> Vec<Defect> {
        self.head().defects()
    }
}
