//! Framing over a byte stream by Content-Length (RFC 3261 §18.3).
//!
//! A stream has no datagram that ends a body, so Content-Length decides alone. RFC 3261 §18.3 makes
//! it mandatory; where a peer leaves it out the body is taken as empty, which is what nearly all
//! such messages have, and what keeps a tester able to go on. One that is no number, or two that
//! differ, leave the stream without a next message: an error, after which it must be closed (RFC
//! 4475 §3.1.2.3, §3.3.9).

use bytes::{Buf, BytesMut};
use memchr::memchr;

use super::error::{Limits, ParseError};
use super::index::{Declared, Index};
use super::message::Message;

/// Cuts a byte stream into messages. Feed it as octets arrive; it holds at most one message.
///
/// Call [`Self::next_frame`] until it gives `None` after each [`Self::push`]: then no more is held
/// than [`Limits`] allow one message, plus what was pushed last.
#[derive(Debug)]
pub struct StreamDecoder {
    limits: Limits,
    held: BytesMut,
    state: State,
}

/// What a stream holds next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message.
    Message(Message),
    /// A keep-alive: CRLF CRLF between messages (RFC 5626 §3.5.1).
    KeepAlive,
}

/// How far the message at the front of the held octets is known.
#[derive(Debug)]
enum State {
    /// Its head is not complete. No line before the one at `line` ends it, no octet from there to
    /// `searched` ends that line. `started`: one of the lines before it was not empty.
    Head {
        line: usize,
        searched: usize,
        started: bool,
    },
    /// Its head is indexed; it is complete with that many octets.
    Body { index: Index, length: usize },
    /// There is no message any more.
    Broken(ParseError),
}

const START: State = State::Head {
    line: 0,
    searched: 0,
    started: false,
};

/// Whether a datagram is a keep-alive: nothing but line ends, or nothing at all. On a stream
/// [`StreamDecoder`] tells.
pub fn is_keep_alive(datagram: &[u8]) -> bool {
    datagram.iter().all(|octet| matches!(octet, b'\r' | b'\n'))
}

impl StreamDecoder {
    /// A decoder under `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            held: BytesMut::new(),
            state: START,
        }
    }

    /// Takes octets as they arrived. After an error they are dropped.
    pub fn push(&mut self, octets: &[u8]) {
        if !matches!(self.state, State::Broken(_)) {
            self.held.extend_from_slice(octets);
        }
    }

    /// The next whole frame; `Ok(None)` when more octets are needed. After an error the stream is
    /// out of step and must be closed: every further call gives the same error. Offsets count from
    /// the first octet after the frame before.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, ParseError> {
        let result = self.advance();
        if let Err(error) = &result {
            self.state = State::Broken(error.clone());
            self.held = BytesMut::new();
        }
        result
    }

    /// Octets held that are not yet a frame.
    pub fn pending(&self) -> usize {
        self.held.len()
    }

    fn advance(&mut self) -> Result<Option<Frame>, ParseError> {
        if let State::Head {
            line,
            searched,
            started,
        } = self.state
        {
            if self.held.starts_with(b"\r\n\r\n") {
                self.held.advance(4);
                self.state = START;
                return Ok(Some(Frame::KeepAlive));
            }
            let Some(head) = self.find_head(line, searched, started)? else {
                return Ok(None);
            };
            let mut index = Index::default();
            index.fill(&self.held[..head], &self.limits)?;
            let length = head + self.body_length(&index)?;
            self.state = State::Body { index, length };
        }
        match std::mem::replace(&mut self.state, START) {
            State::Body { index, length } if self.held.len() >= length => {
                let octets = self.held.split_to(length).freeze();
                Ok(Some(Frame::Message(Message::assemble(octets, index))))
            }
            State::Broken(error) => Err(error),
            waiting => {
                self.state = waiting;
                Ok(None)
            }
        }
    }

    /// Length of the head with its empty line, once that is there. Every octet is searched once,
    /// however small the pieces in which it arrives.
    fn find_head(
        &mut self,
        mut line: usize,
        mut from: usize,
        mut started: bool,
    ) -> Result<Option<usize>, ParseError> {
        while let Some(length) = memchr(b'\n', &self.held[from..]) {
            let line_end = from + length;
            let empty = matches!(self.held[line..line_end], [] | [b'\r']);
            // Empty lines before the start line belong to the message that follows (RFC 3261 §7.5).
            if empty && started {
                return Ok(Some(line_end + 1));
            }
            started |= !empty;
            line = line_end + 1;
            from = line;
        }
        if self.held.len() > self.limits.head {
            let expected = "the head to end here (limit)";
            return Err(ParseError::at(&self.held, self.limits.head, expected));
        }
        self.state = State::Head {
            line,
            searched: self.held.len(),
            started,
        };
        Ok(None)
    }

    fn body_length(&self, index: &Index) -> Result<usize, ParseError> {
        let error = |at: usize, expected| Err(ParseError::at(&self.held, at, expected));
        match index.declared {
            Declared::Absent => Ok(0),
            Declared::Octets(length) => match usize::try_from(length) {
                Ok(length) if length <= self.limits.body => Ok(length),
                _ => error(index.body as usize, "a body of a length within the limit"),
            },
            Declared::Invalid(at) => error(at as usize, "one Content-Length that is a number"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const STREAM: &str = "\r\n\r\nA b SIP/2.0\r\nl: 6\r\n\r\n\r\n\r\nxy\
        SIP/2.0 200 OK\r\nX: 1\r\n\r\n\
        \r\nC d SIP/2.0\nContent-Length : 3\n\nxyz\r\n\r\n\r\n";

    fn drain(decoder: &mut StreamDecoder) -> Vec<String> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame().unwrap() {
            frames.push(match frame {
                Frame::KeepAlive => "keep-alive".to_owned(),
                Frame::Message(message) => String::from_utf8_lossy(message.octets()).into_owned(),
            });
        }
        frames
    }

    fn expected() -> Vec<&'static str> {
        vec![
            "keep-alive",
            "A b SIP/2.0\r\nl: 6\r\n\r\n\r\n\r\nxy",
            "SIP/2.0 200 OK\r\nX: 1\r\n\r\n",
            "\r\nC d SIP/2.0\nContent-Length : 3\n\nxyz",
            "keep-alive",
        ]
    }

    #[test]
    fn cuts_at_any_split() {
        for at in 0..=STREAM.len() {
            let mut decoder = StreamDecoder::new(Limits::default());
            decoder.push(&STREAM.as_bytes()[..at]);
            let mut frames = drain(&mut decoder);
            decoder.push(&STREAM.as_bytes()[at..]);
            frames.extend(drain(&mut decoder));
            assert_eq!(frames, expected(), "split at {at}");
            assert_eq!(decoder.pending(), 2);
        }
    }

    #[test]
    fn one_octet_at_a_time() {
        let mut decoder = StreamDecoder::new(Limits::default());
        let mut frames = Vec::new();
        for octet in STREAM.as_bytes() {
            decoder.push(&[*octet]);
            frames.extend(drain(&mut decoder));
        }
        assert_eq!(frames, expected());
    }

    fn error(stream: &str, limits: Limits) -> usize {
        let mut decoder = StreamDecoder::new(limits);
        decoder.push(stream.as_bytes());
        let error = decoder.next_frame().unwrap_err();
        decoder.push(b"A b SIP/2.0\r\n\r\n");
        assert_eq!(decoder.next_frame().unwrap_err(), error, "stays broken");
        assert_eq!(decoder.pending(), 0);
        error.offset
    }

    #[test]
    fn a_stream_without_a_next_message_is_an_error() {
        assert_eq!(error("A b SIP/2.0\r\nl: -1\r\n\r\n", Limits::default()), 15);
        assert_eq!(
            error("A b SIP/2.0\r\nl: 1\r\nl: 2\r\n\r\n", Limits::default()),
            21
        );
        assert_eq!(error("GET / HTTP/1.1\r\n\r\n", Limits::default()), 6);
    }

    #[test]
    fn keep_alive_datagrams() {
        assert!(is_keep_alive(b"") && is_keep_alive(b"\r\n") && is_keep_alive(b"\r\n\r\n"));
        assert!(!is_keep_alive(b"\r\nA b SIP/2.0\r\n\r\n") && !is_keep_alive(b"\0"));
    }

    #[test]
    fn memory_is_bounded() {
        let limits = Limits {
            head: 64,
            headers: 2,
            body: 4,
        };
        assert_eq!(error(&"x".repeat(65), limits), 64);
        assert_eq!(error(&"\n".repeat(65), limits), 64);
        assert_eq!(
            error(&format!("A b SIP/2.0\r\nX: {}", "y".repeat(64)), limits),
            64
        );
        assert_eq!(error("A b SIP/2.0\r\nl: 5\r\n\r\n", limits), 21);
        assert_eq!(
            error("A b SIP/2.0\r\nl: 99999999999999999999\r\n\r\n", limits),
            40
        );
        assert_eq!(error("A b SIP/2.0\r\nX:\r\nY:\r\nZ:\r\n\r\n", limits), 21);
        let mut decoder = StreamDecoder::new(limits);
        for _ in 0..1000 {
            decoder.push(b"\r\n\r\n");
            assert_eq!(decoder.next_frame().unwrap(), Some(Frame::KeepAlive));
            assert_eq!(decoder.pending(), 0);
        }
    }
}
