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
