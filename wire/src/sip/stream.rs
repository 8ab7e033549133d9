//! Framing over a byte stream by Content-Length (RFC 3261 §18.3).

use super::error::{Limits, ParseError};
use super::message::Message;

/// Cuts a byte stream into messages. Feed it as octets arrive; it holds at most one message.
#[derive(Debug)]
pub struct StreamDecoder {
    limits: Limits,
}

/// What a stream holds next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// A keep-alive: CRLF CRLF between messages (RFC 5626 §3.5.1).
    KeepAlive,
}

impl StreamDecoder {
    /// A decoder under `limits`.
    pub fn new(limits: Limits) -> Self { Self { limits } }
    /// Takes octets as they arrived.
    pub fn push(&mut self, octets: &[u8]) { let _ = (octets, self.limits); todo!() }
    /// The next whole frame; `Ok(None)` when more octets are needed. After an error the stream is out of
    /// step and must be closed.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ParseError> { todo!() }
    /// Octets held that are not yet a frame.
    pub fn pending(&self) -> usize { todo!() }
}
