//! The content of messages: what is sent, drawn where the scenario wants very much of it, and what is
//! received, kept beside memory once it grows. Either way its digest is all that stays in the trace of a
//! long message.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use imspec_reports::record::stored::BodyDigest;
use ring::digest::{Context, SHA256};

/// Content up to this length stands in the trace, and in memory.
pub(super) const SHORT: u64 = 256 * 1024;
/// Octets that are drawn, read or written at once.
pub(super) const PIECE: usize = 64 * 1024;

/// Content to be sent.
#[derive(Debug, Clone)]
pub enum Content {
    /// As given.
    Octets(Bytes),
    /// Drawn while it is sent.
    Drawn(Drawn),
}

/// Octets that are drawn where they are needed: the same ones each time, without being kept.
#[derive(Debug, Clone, Copy)]
pub struct Drawn {
    seed: u64,
    length: u64,
}

impl Drawn {
    /// So many octets.
    pub fn new(length: u64) -> Self {
        Self {
            seed: fastrand::u64(..),
            length,
        }
    }

    /// Letters and digits in lines of 64 octets, so that the content is text as well.
    fn fill(self, offset: u64, into: &mut [u8]) {
        const LETTERS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.";
        let mut block = [0_u8; 8];
        let mut drawn = None;
        for (at, octet) in (offset..).zip(into) {
            let number = at / 8;
            if drawn != Some(number) {
                drawn = Some(number);
                let mut bits = mixed(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                for letter in &mut block {
                    *letter = LETTERS[(bits & 63) as usize];
                    bits >>= 8;
                }
                if number % 8 == 7 {
                    block[6] = b'\r';
                    block[7] = b'\n';
                }
            }
            *octet = block[(at % 8) as usize];
        }
    }
}

/// The finalizer of `SplitMix64`: every bit of the number changes half of the bits.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

impl Content {
    /// How many octets it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Drawn(drawn) => drawn.length,
        }
    }

    /// Whether it is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some of it, by offsets from 0; what lies beyond its end is left out.
    pub fn slice(&self, from: u64, to: u64) -> Bytes {
        let to = to.min(self.len());
        let from = from.min(to);
        match self {
            Self::Octets(octets) => octets.slice(index(from)..index(to)),
            Self::Drawn(drawn) => {
                let mut piece = vec![0; index(to - from)];
                drawn.fill(from, &mut piece);
                piece.into()
            }
        }
    }

    /// Size and digest.
    pub fn digest(&self) -> BodyDigest {
        let mut context = Context::new(&SHA256);
        let mut at = 0;
        while at < self.len() {
            let piece = self.slice(at, at + PIECE as u64);
            context.update(&piece);
            at += piece.len() as u64;
        }
        digest(self.len(), context)
    }

    /// All of it, where it is short enough for the trace.
    pub fn short(&self) -> Option<Bytes> {
        (self.len() <= SHORT).then(|| self.slice(0, self.len()))
    }
}

/// Lengths of what is in memory fit into `usize`.
fn index(at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

fn digest(octets: u64, context: Context) -> BodyDigest {
    let sha256 =
        context
            .finish()
            .as_ref()
            .iter()
            .fold(String::with_capacity(64), |mut text, octet| {
                use std::fmt::Write as _;
                let _ = write!(text, "{octet:02x}");
                text
            });
    BodyDigest { octets, sha256 }
}

/// Content that is being received: in memory as long as it is short, in a file without a name after that.
pub(super) struct Spool {
    held: Vec<u8>,
    file: Option<File>,
    hash: Hash,
}

/// The digest grows with the content as long as that comes in order; else the file is read again at the end.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each message that is coming in"
)]
enum Hash {
    Upto(u64, Context),
    Later,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("held", &self.held.len())
            .field("file", &self.file.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            file: None,
            hash: Hash::Upto(0, Context::new(&SHA256)),
        }
    }
}

impl Spool {
    /// Writes octets where they belong, over what may be there.
    pub(super) fn write(&mut self, at: u64, octets: &[u8]) -> io::Result<()> {
        match &mut self.hash {
            Hash::Upto(reached, context) if *reached == at => {
                context.update(octets);
                *reached += octets.len() as u64;
            }
            _ => self.hash = Hash::Later,
        }
        let end = at + octets.len() as u64;
        if self.file.is_none() && end <= SHORT {
            let (at, end) = (index(at), index(end));
            if self.held.len() < end {
                self.held.resize(end, 0);
            }
            self.held[at..end].copy_from_slice(octets);
            return Ok(());
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let mut file = tempfile::tempfile()?;
                file.write_all(&std::mem::take(&mut self.held))?;
                none.insert(file)
            }
        };
        file.seek(SeekFrom::Start(at))?;
        file.write_all(octets)
    }

    /// The first `length` octets, where they are short enough for the trace, and their digest.
    pub(super) fn finish(mut self, length: u64) -> io::Result<(Option<Bytes>, BodyDigest)> {
        let mut whole = Vec::new();
        if let Some(file) = &mut self.file {
            if length <= SHORT {
                file.seek(SeekFrom::Start(0))?;
                Read::take(&mut *file, length).read_to_end(&mut whole)?;
            }
        } else {
            self.held.truncate(index(length));
            whole = self.held;
        }
        let context = match self.hash {
            Hash::Upto(reached, context) if reached == length => context,
            _ => {
                let mut context = Context::new(&SHA256);
                if let (Some(file), true) = (&mut self.file, length > SHORT) {
                    file.seek(SeekFrom::Start(0))?;
                    let mut rest = file.take(length);
                    let mut piece = vec![0; PIECE];
                    loop {
                        match rest.read(&mut piece)? {
                            0 => break,
                            read => context.update(&piece[..read]),
                        }
                    }
                } else {
                    context.update(&whole);
                }
                context
            }
        };
        let content = (length <= SHORT).then(|| whole.into());
        Ok((content, digest(length, context)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn sha256(octets: &[u8]) -> String {
        Content::Octets(Bytes::copy_from_slice(octets))
            .digest()
            .sha256
    }

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(
            sha256(b"abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn drawn_octets_are_the_same_wherever_they_are_drawn() {
        let content = Content::Drawn(Drawn::new(100_000));
        let whole = content.slice(0, 100_000);
        assert_eq!(whole.len(), 100_000);
        for (from, to) in [(0, 1), (5, 77), (62, 66), (99_990, 200_000)] {
            let end = usize::try_from(to).unwrap().min(100_000);
            assert_eq!(
                content.slice(from, to),
                whole[usize::try_from(from).unwrap()..end]
            );
        }
        assert_eq!(&whole[62..64], b"\r\n");
        assert_eq!(content.digest().sha256, sha256(&whole));
        assert_ne!(
            Content::Drawn(Drawn::new(64)).slice(0, 64),
            whole[..64],
            "every content has its own"
        );
    }

    #[test]
    fn what_is_received_in_any_order_has_the_same_digest() {
        for length in [0_usize, 5, 100_000, 300_000, 700_001] {
            let content = Content::Drawn(Drawn::new(length as u64));
            let whole = content.slice(0, length as u64);
            let pieces: Vec<(usize, &[u8])> = whole
                .chunks(50_000)
                .enumerate()
                .map(|(index, piece)| (index * 50_000, piece))
                .collect();
            for turned in [false, true] {
                let mut spool = Spool::default();
                let mut pieces = pieces.clone();
                if turned {
                    pieces.reverse();
                }
                for (at, piece) in pieces {
                    spool.write(at as u64, piece).unwrap();
                }
                let (kept, digest) = spool.finish(length as u64).unwrap();
                assert_eq!(digest, content.digest());
                assert_eq!(kept, content.short());
            }
        }
    }

    #[test]
    fn what_came_last_holds() {
        let mut spool = Spool::default();
        spool.write(0, b"Meet at nine").unwrap();
        spool.write(8, b"eight").unwrap();
        let (kept, digest) = spool.finish(13).unwrap();
        assert_eq!(kept.unwrap(), "Meet at eight");
        assert_eq!(digest.sha256, sha256(b"Meet at eight"));
    }
}
