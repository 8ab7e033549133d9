//! What a message says, however it went: as a MESSAGE, or through a session in chunks.
//!
//! A server may bring a message in another form than the one in which it came, and may wrap it in
//! `message/cpim` on the way. A [`Content`] is what both forms have in common: a media type, and octets or
//! (where they are very many) their number and digest.

use bytes::Bytes;
use imspec_reports::record::BodyDigest;
use imspec_wire::cpim;
use imspec_wire::sip::Message;

/// Shortest run of octets by which a piece of an unfinished message is known again.
const TELLING: usize = 8;

/// Type and octets of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    media_type: Option<String>,
    body: Body,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Body {
    /// All of it.
    Octets(Bytes),
    /// All of it, too long to be carried about.
    Digest(BodyDigest),
    /// What was sent of a message that never became whole: what its chunks held, as far as it is known.
    Pieces(Vec<Bytes>),
}

/// How what was received or stored relates to what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// The same octets.
    Same,
    /// The same octets with something before or after them; or a piece of an unfinished message.
    Carries,
    /// It may be: both are long, one is wrapped, and digests cannot be taken apart.
    Untold,
    /// So many octets at the beginning and end are the same.
    Partly(u64),
}

impl Content {
    /// Of octets.
    pub fn new(media_type: Option<String>, octets: impl Into<Bytes>) -> Self {
        let body = Body::Octets(octets.into());
        Self { media_type, body }
    }

    /// Of octets of which only number and digest are known.
    pub fn digested(media_type: Option<String>, digest: BodyDigest) -> Self {
        let body = Body::Digest(digest);
        Self { media_type, body }
    }

    /// Of a message that never became whole.
    pub fn unfinished(media_type: Option<String>, pieces: Vec<Bytes>) -> Self {
        let body = Body::Pieces(pieces);
        Self { media_type, body }
    }

    /// The Content-Type as written.
    pub fn media_type(&self) -> Option<&str> {
        self.media_type.as_deref()
    }

    /// The octets, where they are known.
    pub fn octets(&self) -> Option<&Bytes> {
        match &self.body {
            Body::Octets(octets) => Some(octets),
            Body::Digest(_) | Body::Pieces(_) => None,
        }
    }

    /// How many octets.
    pub fn length(&self) -> u64 {
        match &self.body {
            Body::Octets(octets) => octets.len() as u64,
            Body::Digest(digest) => digest.octets,
            Body::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
        }
    }

    /// Number and digest of the octets; `None` of an unfinished message.
    pub fn digest(&self) -> Option<BodyDigest> {
        match &self.body {
            Body::Octets(octets) => Some(digest_of(octets)),
            Body::Digest(digest) => Some(digest.clone()),
            Body::Pieces(_) => None,
        }
    }

    /// Whether it is a `message/cpim`.
    pub fn is_cpim(&self) -> bool {
        self.media_type.as_deref().is_some_and(|media_type| {
            let essence = media_type.split(';').next().unwrap_or_default();
            essence.trim().eq_ignore_ascii_case(cpim::MEDIA_TYPE)
        })
    }

    /// The wrapper around it that `sent` had not: what a server may put around a message when it brings it
    /// through a session.
    pub fn wrapper(&self, sent: &Self) -> Option<cpim::Message> {
        if !self.is_cpim() || sent.is_cpim() {
            return None;
        }
        cpim::Message::parse(self.octets()?.clone()).ok()
    }

    /// The same without a wrapper that `sent` had not.
    #[must_use]
    pub fn unwrapped(&self, sent: &Self) -> Self {
        match self.wrapper(sent) {
            None => self.clone(),
            Some(wrapper) => {
                let media_type = wrapper.content_header("Content-Type");
                let media_type =
                    media_type.map(|field| String::from_utf8_lossy(&field.value()).into_owned());
                Self::new(media_type, wrapper.body_bytes())
            }
        }
    }

    /// How it relates to `sent`; a wrapper that `sent` had not does not count. Nor does outer white space: a
    /// server that writes into a body is to be caught by a check of the body, not by being overlooked.
    pub fn likeness(&self, sent: &Self) -> Likeness {
        let inner = self.unwrapped(sent);
        match (&inner.body, &sent.body) {
            (Body::Octets(got), Body::Octets(wanted)) => alike(got, wanted),
            (Body::Octets(got), Body::Pieces(pieces)) => {
                let known = pieces.iter().any(|piece| {
                    let piece = piece.trim_ascii();
                    piece.len() >= TELLING && contains(got, piece)
                });
                if known || whole_of(got, pieces) {
                    Likeness::Carries
                } else {
                    Likeness::Partly(0)
                }
            }
            (Body::Pieces(got), Body::Octets(wanted)) => {
                let most = got.iter().filter(|piece| contains(wanted, piece));
                Likeness::Partly(most.map(|piece| piece.len() as u64).max().unwrap_or(0))
            }
            _ => inner.by_digest(sent),
        }
    }

    /// The same where not all octets are known.
    fn by_digest(&self, sent: &Self) -> Likeness {
        /// What a wrapper may take, generously.
        const WRAPPER: u64 = 64 * 1024;
        let (Some(got), Some(wanted)) = (self.digest(), sent.digest()) else {
            return Likeness::Partly(0);
        };
        if got == wanted {
            return Likeness::Same;
        }
        let may_be_wrapped = self.is_cpim()
            && !sent.is_cpim()
            && got.octets > wanted.octets
            && got.octets - wanted.octets <= WRAPPER;
        if may_be_wrapped {
            return Likeness::Untold;
        }
        // Messages that long are rare in a case: one of about that length is a damaged one.
        Likeness::Partly(got.octets.min(wanted.octets))
    }
}

/// The body of a MESSAGE.
impl From<&Message> for Content {
    fn from(message: &Message) -> Self {
        let media_type = message.header("Content-Type");
        let media_type =
            media_type.map(|field| String::from_utf8_lossy(&field.value()).into_owned());
        Self::new(media_type, message.body_bytes())
    }
}

impl From<&Content> for Content {
    fn from(content: &Content) -> Self {
        content.clone()
    }
}

/// Number and SHA-256 of octets.
pub fn digest_of(octets: &[u8]) -> BodyDigest {
    use std::fmt::Write as _;
    let digest = ring::digest::digest(&ring::digest::SHA256, octets);
    let mut sha256 = String::with_capacity(64);
    for octet in digest.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(sha256, "{octet:02x}");
    }
    BodyDigest {
        octets: octets.len() as u64,
        sha256,
    }
}

fn alike(got: &[u8], sent: &[u8]) -> Likeness {
    if got == sent {
        return Likeness::Same;
    }
    let wanted = sent.trim_ascii();
    let carries = if wanted.is_empty() {
        got.trim_ascii().is_empty()
    } else {
        contains(got, wanted)
    };
    if carries {
        Likeness::Carries
    } else {
        Likeness::Partly(common(got, sent) as u64)
    }
}

/// Length of the common beginning and end of two bodies.
fn common(a: &[u8], b: &[u8]) -> usize {
    let front = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[front..], &b[front..]);
    let back = a.iter().rev().zip(b.iter().rev());
    front + back.take_while(|(x, y)| x == y).count()
}

/// Whether a short body is exactly what was sent of a message.
fn whole_of(got: &[u8], pieces: &[Bytes]) -> bool {
    !got.is_empty() && (pieces.iter().any(|piece| piece == got) || pieces.concat() == got)
}

/// Whether `needle` stands anywhere in `haystack`.
pub fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    let windows = || haystack.windows(needle.len());
    needle.is_empty() || (haystack.len() >= needle.len() && windows().any(|w| w == needle))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(octets: &'static [u8]) -> Content {
        Content::new(Some("text/plain".into()), octets)
    }

    #[test]
    fn what_stands_around_a_message_does_not_hide_it() {
        let sent = text(b"hello there");
        assert_eq!(text(b"hello there").likeness(&sent), Likeness::Same);
        assert_eq!(text(b">> hello there").likeness(&sent), Likeness::Carries);
        assert_eq!(text(b"hello  here").likeness(&sent), Likeness::Partly(10));
        assert_eq!(text(b"other").likeness(&sent), Likeness::Partly(0));
        assert_eq!(text(b"\r\n").likeness(&text(b"")), Likeness::Carries);
    }

    #[test]
    fn octets_and_digest_are_the_same_content() {
        let sent = Content::digested(None, digest_of(b"a long one"));
        assert_eq!(text(b"a long one").likeness(&sent), Likeness::Same);
        assert_eq!(text(b"a long 0ne").likeness(&sent), Likeness::Partly(10));
    }

    #[test]
    fn the_digest_is_sha_256() {
        assert_eq!(
            digest_of(b"abc").sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_piece_of_an_unfinished_message_is_known_again() {
        let pieces = vec![Bytes::from_static(b"0123456789"), Bytes::from_static(b"xy")];
        let sent = Content::unfinished(None, pieces);
        assert_eq!(text(b"..0123456789").likeness(&sent), Likeness::Carries);
        assert_eq!(text(b"0123456789xy").likeness(&sent), Likeness::Carries);
        assert_eq!(text(b"xy").likeness(&sent), Likeness::Carries);
        assert_eq!(text(b"a proxy").likeness(&sent), Likeness::Partly(0));
        let none = Content::unfinished(None, Vec::new());
        assert_eq!(text(b"").likeness(&none), Likeness::Partly(0));
    }

    #[test]
    fn a_long_message_that_may_be_wrapped_is_untold() {
        let sent = Content::digested(Some("text/plain".into()), digest_of(b"0123456789"));
        let wrapped = BodyDigest {
            octets: 300,
            sha256: "x".into(),
        };
        let got = Content::digested(Some("Message/CPIM; charset=utf-8".into()), wrapped);
        assert_eq!(got.likeness(&sent), Likeness::Untold);
    }
}
