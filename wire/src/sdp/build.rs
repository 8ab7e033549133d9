//! Building offers and answers, malformed ones included.

use bytes::Bytes;

use super::ParseError;
use super::address::Address;
use super::defects::SESSION_ORDER;
use super::description::Description;
use super::media::Media;
use super::message::{Direction, Protocol};
use super::setup::Setup;

/// Writes a description exactly as told; nothing is checked. Every line ends with CRLF.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    session: Vec<Vec<u8>>,
    media: Vec<MediaBuilder>,
}

impl Builder {
    /// `v=0`, `o=- session_id version address`, `s=-`, `c=address`, `t=0 0`.
    pub fn new(session_id: u64, version: u64, address: impl Into<Address>) -> Self {
        let address = address.into();
        Self::empty()
            .line("v=0")
            .line(format!("o=- {session_id} {version} {address}"))
            .line("s=-")
            .line(format!("c={address}"))
            .line("t=0 0")
    }

    /// Nothing yet: every line comes by [`Self::line`] and [`Self::media`].
    pub fn empty() -> Self {
        Self::default()
    }

    /// An answer to `offer`: as [`Self::new`], with the `t=` lines of the offer, and for each of
    /// its `m=` sections what `accept` gives, or a refusal (port 0) where it gives nothing
    /// (RFC 3264 §6).
    pub fn answer<'o>(
        offer: &'o Description,
        session_id: u64,
        version: u64,
        address: impl Into<Address>,
        mut accept: impl FnMut(Media<'o>) -> Option<MediaBuilder>,
    ) -> Self {
        let mut answer = Self::new(session_id, version, address);
        let times: Vec<_> = offer
            .lines()
            .take_while(|line| line.kind() != Some(b'm'))
            .filter(|line| line.kind() == Some(b't'))
            .map(|line| line.text().to_vec())
            .collect();
        if !times.is_empty() {
            answer = answer.without('t');
            answer.session.extend(times);
        }
        for media in offer.media() {
            answer = answer.media(accept(media).unwrap_or_else(|| MediaBuilder::rejecting(media)));
        }
        answer
    }

    /// Sets the line of that letter in the session part: in the place of the first one there is,
    /// else where the order of lines wants it. `("s", "minutes")`
    pub fn set(mut self, kind: char, value: impl AsRef<[u8]>) -> Self {
        let mut letter = [0; 4];
        let letter = kind.encode_utf8(&mut letter).as_bytes();
        let line = [letter, b"=", value.as_ref()].concat();
        let there = self.session.iter().position(|old| has_kind(old, letter));
        if let Some(at) = there {
            self.session[at] = line;
        } else {
            let rank = |line: &[u8]| {
                let kind = line.first();
                SESSION_ORDER
                    .iter()
                    .position(|group| kind.is_some_and(|kind| group.contains(kind)))
            };
            let own = rank(&line);
            let later = |other: &Vec<u8>| own.is_some() && rank(other) > own;
            let at = self.session.iter().position(later);
            self.session.insert(at.unwrap_or(self.session.len()), line);
        }
        self
    }

    /// Removes the lines of that letter from the session part.
    pub fn without(mut self, kind: char) -> Self {
        let mut letter = [0; 4];
        let letter = kind.encode_utf8(&mut letter).as_bytes();
        self.session.retain(|line| !has_kind(line, letter));
        self
    }

    /// Appends a line to the session part as it is, without line end.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.session.push(line.as_ref().to_vec());
        self
    }

    /// Appends a media section.
    pub fn media(mut self, media: MediaBuilder) -> Self {
        self.media.push(media);
        self
    }

    /// The octets.
    pub fn octets(self) -> Bytes {
        let mut octets = Vec::with_capacity(512);
        let in_media = self.media.iter().flat_map(|media| &media.lines);
        for line in self.session.iter().chain(in_media) {
            octets.extend_from_slice(line);
            octets.extend_from_slice(b"\r\n");
        }
        octets.into()
    }

    /// The octets, read.
    pub fn build(self) -> Result<Description, ParseError> {
        Description::parse(self.octets())
    }
}

/// Writes one `m=` section; its lines stand in the order of the calls.
#[derive(Debug, Clone)]
pub struct MediaBuilder {
    lines: Vec<Vec<u8>>,
}

impl MediaBuilder {
    /// `m=message port TCP/MSRP *`
    pub fn message(port: u16, protocol: Protocol) -> Self {
        Self::raw(format!("message {port} {} *", protocol.name()))
    }

    /// Any `m=` line: what follows the equals sign.
    pub fn raw(value: impl AsRef<[u8]>) -> Self {
        Self {
            lines: vec![[b"m=", value.as_ref()].concat()],
        }
    }

    /// The refusal of an offered section: its `m=` line with port 0 and nothing else
    /// (RFC 3264 §6).
    pub fn rejecting(offered: Media<'_>) -> Self {
        let (kind, protocol, formats) = (offered.kind(), offered.protocol(), offered.formats());
        Self::raw(format!("{kind} 0 {protocol} {formats}"))
    }

    /// Appends `c=` of the section. The order of lines wants it before every attribute.
    pub fn connection(self, address: impl Into<Address>) -> Self {
        self.line(format!("c={}", address.into()))
    }

    /// Appends `a=path` with the URIs, nearest hop first.
    pub fn path(self, uris: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.list("path", uris)
    }

    /// Appends `a=accept-types`.
    pub fn accept_types(self, types: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.list("accept-types", types)
    }

    /// Appends `a=accept-wrapped-types`.
    pub fn accept_wrapped_types(self, types: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.list("accept-wrapped-types", types)
    }

    /// Appends `a=max-size`.
    pub fn max_size(self, octets: u64) -> Self {
        self.attribute("max-size", octets.to_string())
    }

    /// Appends `a=setup`.
    pub fn setup(self, setup: Setup) -> Self {
        self.attribute("setup", setup.name())
    }

    /// Appends the direction.
    pub fn direction(self, direction: Direction) -> Self {
        self.flag(direction.name())
    }

    /// Appends `a=msrp-cema`.
    pub fn cema(self) -> Self {
        self.flag("msrp-cema")
    }

    /// Appends `a=name:value`.
    pub fn attribute(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.line([b"a=", name.as_ref(), b":", value.as_ref()].concat())
    }

    /// Appends `a=name`.
    pub fn flag(self, name: impl AsRef<[u8]>) -> Self {
        self.line([b"a=", name.as_ref()].concat())
    }

    /// Appends a line as it is, without line end.
    pub fn line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.lines.push(line.as_ref().to_vec());
        self
    }

    fn list(self, name: &str, items: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let items: Vec<_> = items.into_iter().collect();
        let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
        self.attribute(name, items.join(" "))
    }
}

fn has_kind(line: &[u8], letter: &[u8]) -> bool {
    line.strip_prefix(letter)
        .is_some_and(|rest| rest.first() == Some(&b'='))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn text(builder: Builder) -> String {
        String::from_utf8(builder.octets().to_vec()).unwrap()
    }

    fn offer() -> Builder {
        Builder::new(7, 1, "im.example.org").media(
            MediaBuilder::message(2855, Protocol::Tls)
                .accept_types(["message/cpim", "text/plain"])
                .accept_wrapped_types(["*"])
                .max_size(65_536)
                .path(["msrps://im.example.org:2855/s1;tcp"])
                .setup(Setup::ActPass)
                .direction(Direction::SendOnly)
                .cema()
                .attribute("file-transfer-id", "x1"),
        )
    }

    #[test]
    fn an_offer_is_what_was_asked_for_and_has_no_defect() {
        assert_eq!(
            text(offer()),
            "v=0\r\no=- 7 1 IN IP4 im.example.org\r\ns=-\r\nc=IN IP4 im.example.org\r\nt=0 0\r\n\
             m=message 2855 TCP/TLS/MSRP *\r\na=accept-types:message/cpim text/plain\r\n\
             a=accept-wrapped-types:*\r\na=max-size:65536\r\n\
             a=path:msrps://im.example.org:2855/s1;tcp\r\na=setup:actpass\r\na=sendonly\r\n\
             a=msrp-cema\r\na=file-transfer-id:x1\r\n"
        );
        assert_eq!(offer().build().unwrap().defects(), []);
    }

    #[test]
    fn an_answer_mirrors_every_section() {
        let offer = Builder::empty()
            .line("v=0")
            .line("o=ann 1 1 IN IP6 ::1")
            .line("s=-")
            .line("c=IN IP6 ::1")
            .line("t=3 4")
            .media(MediaBuilder::raw("audio 4000 RTP/AVP 0 8").line("a=rtpmap:0 PCMU/8000"))
            .media(
                MediaBuilder::message(17_394, Protocol::Tcp)
                    .accept_types(["*"])
                    .path(["msrp://[::1]:17394/a;tcp"]),
            )
            .media(MediaBuilder::message(17_395, Protocol::Tcp))
            .build()
            .unwrap();
        let answer = Builder::answer(&offer, 2, 9, "2001:db8::9", |media| {
            let wanted = media.port() == 17_394;
            wanted.then(|| {
                MediaBuilder::message(2855, Protocol::Tcp)
                    .accept_types(["text/plain"])
                    .path(["msrp://[2001:db8::9]:2855/b;tcp"])
            })
        });
        assert_eq!(
            text(answer.clone()),
            "v=0\r\no=- 2 9 IN IP6 2001:db8::9\r\ns=-\r\nc=IN IP6 2001:db8::9\r\nt=3 4\r\n\
             m=audio 0 RTP/AVP 0 8\r\nm=message 2855 TCP/MSRP *\r\na=accept-types:text/plain\r\n\
             a=path:msrp://[2001:db8::9]:2855/b;tcp\r\nm=message 0 TCP/MSRP *\r\n"
        );
        assert_eq!(answer.build().unwrap().defects(), []);
    }

    #[test]
    fn lines_go_where_the_order_wants_them() {
        let built = Builder::new(1, 1, "192.0.2.1")
            .set('s', "minutes")
            .set('i', "of a meeting")
            .set('b', "AS:64")
            .set('a', "sendonly")
            .without('c');
        assert_eq!(
            text(built),
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=minutes\r\ni=of a meeting\r\nb=AS:64\r\nt=0 0\r\n\
             a=sendonly\r\n"
        );
    }

    #[test]
    fn writes_what_nobody_should() {
        let broken = Builder::empty()
            .line("no equals sign")
            .line("")
            .set('é', "x")
            .media(MediaBuilder::raw("message many").line(b"a=\xff\0"));
        assert_eq!(
            &broken.octets()[..],
            b"no equals sign\r\n\r\n\xc3\xa9=x\r\nm=message many\r\na=\xff\0\r\n"
        );
    }
}
