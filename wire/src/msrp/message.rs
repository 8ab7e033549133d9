//! Small messages put together in memory, on top of [`Reassembly`].
//!
//! Memory follows the octets that were received, never a claim: a chunk that says it is the last
//! one of 2^63 octets, or starts far out, costs one page.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{ByteRange, Chunk, Flag, Frame, Limits, Outcome, Placed, Reassembly, Refusal};

/// One message as it comes in.
#[derive(Debug, Clone)]
pub struct Message {
    reassembly: Reassembly,
    /// Content by number of page; octets that are not covered are meaningless.
    pages: BTreeMap<u64, Vec<u8>>,
}

/// Small enough that one octet in each fragment does no harm, large enough to be few.
const PAGE: usize = 4096;

impl Message {
    /// A message of which nothing is known, under `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            reassembly: Reassembly::new(limits),
            pages: BTreeMap::new(),
        }
    }

    /// A chunk with that Byte-Range begins ([`Reassembly::begin`]).
    pub fn begin(&mut self, range: Option<ByteRange>) -> Result<Chunk, Refusal> {
        self.reassembly.begin(range)
    }

    /// More octets of the chunk. Those of a message that is complete, or that was given up, are not
    /// kept.
    pub fn take(&mut self, chunk: &mut Chunk, octets: &[u8]) -> Result<Placed, Refusal> {
        let placed = self.reassembly.take(chunk, octets.len())?;
        if !self.reassembly.is_over() {
            self.write(placed.range.start, octets);
        }
        Ok(placed)
    }

    /// The chunk ends ([`Reassembly::end`]).
    pub fn end(&mut self, chunk: &Chunk, flag: Flag) -> Outcome {
        let outcome = self.reassembly.end(chunk, flag);
        if outcome == Outcome::Aborted {
            self.pages.clear();
        }
        outcome
    }

    /// Takes a whole chunk; a Byte-Range that cannot be read counts as none. A frame without a body
    /// changes nothing.
    pub fn frame(&mut self, frame: &Frame) -> Result<Outcome, Refusal> {
        let Some(body) = frame.body() else {
            return Ok(Outcome::Incomplete);
        };
        let mut chunk = self.begin(frame.byte_range().and_then(Result::ok))?;
        self.take(&mut chunk, &body)?;
        Ok(self.end(&chunk, frame.flag()))
    }

    /// What is known of it beside its content.
    pub fn reassembly(&self) -> &Reassembly {
        &self.reassembly
    }

    /// How much memory its content takes now.
    pub fn held(&self) -> usize {
        self.pages.values().map(Vec::capacity).sum()
    }

    /// The content of a message that is complete; `None` where it is not.
    pub fn into_content(self) -> Option<Bytes> {
        if !self.reassembly.is_complete() {
            return None;
        }
        let total = usize::try_from(self.reassembly.total()?).ok()?;
        let mut content = Vec::with_capacity(total);
        for page in self.pages.into_values() {
            content.extend_from_slice(&page);
        }
        content.truncate(total);
        Some(content.into())
    }

    /// The reassembly knows that the offsets are within its limit.
    fn write(&mut self, mut at: u64, mut octets: &[u8]) {
        while !octets.is_empty() {
            let (number, offset) = page_of(at);
            let (now, later) = octets.split_at(octets.len().min(PAGE - offset));
            let page = self.pages.entry(number).or_default();
            let end = offset + now.len();
            if page.len() < end {
                page.resize(end, 0);
            }
            page[offset..end].copy_from_slice(now);
            at += now.len() as u64;
            octets = later;
        }
    }
}

/// Number of the page, and offset in it.
fn page_of(at: u64) -> (u64, usize) {
    let size = PAGE as u64;
    (at / size, usize::try_from(at % size).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::Builder;
    use super::*;

    fn chunk(range: &str, body: &str, flag: Flag) -> Frame {
        let builder = Builder::request("SEND", "tid1tid1").header("Message-ID", "m1m1");
        let builder = builder
            .header("Byte-Range", range)
            .header("Content-Type", "a/b");
        builder.body(body.to_owned()).flag(flag).build().unwrap()
    }

    #[test]
    fn the_octets_that_came_last_hold() {
        let mut message = Message::new(&Limits::default());
        message.frame(&chunk("1-4/8", "abcd", Flag::More)).unwrap();
        message
            .frame(&chunk("3-8/8", "CDEFGH", Flag::Complete))
            .unwrap();
        assert!(message.reassembly().is_complete());
        // What comes after that changes nothing.
        let late = message
            .frame(&chunk("1-8/8", "zzzzzzzz", Flag::Complete))
            .unwrap();
        assert_eq!(late, Outcome::Duplicate);
        assert_eq!(message.into_content().unwrap(), "abCDEFGH");
    }

    #[test]
    fn pages_fit_together() {
        let text: String = ('a'..='z').cycle().take(3 * PAGE + 5).collect();
        let total = text.len();
        let mut message = Message::new(&Limits::default());
        for (from, to) in [(PAGE + 1, total), (PAGE - 1, PAGE + 3), (0, PAGE)] {
            let flag = if to == total {
                Flag::Complete
            } else {
                Flag::More
            };
            let range = format!("{}-*/{total}", from + 1);
            message
                .frame(&chunk(&range, &text[from..to], flag))
                .unwrap();
        }
        assert_eq!(message.into_content().unwrap(), text);
    }

    #[test]
    fn nothing_incomplete_is_given() {
        let limits = Limits::default();
        let content = |frames: &[Frame]| {
            let mut message = Message::new(&limits);
            for frame in frames {
                message.frame(frame).unwrap();
            }
            message.into_content()
        };
        assert_eq!(content(&[]), None);
        assert_eq!(content(&[chunk("1-4/8", "abcd", Flag::More)]), None);
        assert_eq!(content(&[chunk("5-8/8", "efgh", Flag::Complete)]), None);
        assert_eq!(content(&[chunk("1-8/8", "abcdefgh", Flag::Abort)]), None);
        assert_eq!(content(&[chunk("1-9/9", "abcdefgh", Flag::Complete)]), None);
        assert_eq!(content(&[chunk("1-0/0", "", Flag::Complete)]).unwrap(), "");
        let bodiless = Builder::request("SEND", "tid1tid1").build().unwrap();
        assert_eq!(content(&[bodiless]), None);
    }

    #[test]
    fn memory_follows_what_came() {
        let mut message = Message::new(&Limits::default());
        let far = chunk("60000001-60000001/64000000", "x", Flag::More);
        message.frame(&far).unwrap();
        assert!(message.held() <= 2 * PAGE, "{}", message.held());
        message
            .frame(&chunk("60000002-*/*", "", Flag::Abort))
            .unwrap();
        assert_eq!(message.held(), 0);
        assert_eq!(message.frame(&far), Ok(Outcome::Aborted));
        assert_eq!(message.held(), 0);
    }
}
