//! Building offers and answers, malformed ones included.

use bytes::Bytes;

use super::ParseError;
use super::address::Address;
use super::description::Description;
use super::media::Media;
use super::message::{Direction, Protocol};
use super::setup::Setup;

/// Writes a description exactly as told; nothing is checked.
#[derive(Debug, Clone)]
pub struct Builder {
    head: String,
    media: Vec<MediaBuilder>,
}

impl Builder {
    /// `v=0`, `o=- session_id version address`, `s=-`, `c=address`, `t=0 0`.
    pub fn new(session_id: u64, version: u64, address: impl Into<Address>) -> Self {
        let _ = (session_id, version, address.into());
        todo!()
    }
    /// Nothing yet: every line comes by [`Self::line`].
    pub fn empty() -> Self {
        todo!()
    }
    /// An answer to `offer`: as [`Self::new`], with the `t=` line of the offer (RFC 3264 §6), and
    /// for each `m=` section what `accept` gives, or a refusal (port 0) where it gives nothing.
    pub fn answer(
        offer: &Description,
        session_id: u64,
        version: u64,
        address: impl Into<Address>,
        accept: impl FnMut(Media<'_>) -> Option<MediaBuilder>,
    ) -> Self {
        let _ = (offer, session_id, version, address.into(), accept);
        todo!()
    }
    /// Replaces the line of that letter in the session part, or appends it: `("s", "minutes")`.
    pub fn set(self, kind: char, value: impl AsRef<str>) -> Self {
        let _ = (kind, value.as_ref());
        todo!()
    }
    /// Removes the lines of that letter from the session part.
    pub fn without(self, kind: char) -> Self {
        let _ = kind;
        todo!()
    }
    /// Appends a line to the session part as it is, without line end.
    pub fn line(self, line: impl AsRef<str>) -> Self {
        let _ = line.as_ref();
        todo!()
    }
    /// Appends a media section.
    pub fn media(mut self, media: MediaBuilder) -> Self {
        self.media.push(media);
        self
    }
    /// The octets.
    pub fn octets(self) -> Bytes {
        let _ = self.head;
        todo!()
    }
    /// The octets, read.
    pub fn build(self) -> Result<Description, ParseError> {
        Description::parse(self.octets())
    }
}

/// Writes one `m=` section; attributes stand in the order of the calls.
#[derive(Debug, Clone)]
pub struct MediaBuilder {
    text: String,
}

impl MediaBuilder {
    /// `m=message port TCP/MSRP *`
    pub fn message(port: u16, protocol: Protocol) -> Self {
        Self::raw(format!("message {port} {} *", protocol.name()))
    }
    /// Any `m=` line: what follows the equals sign.
    pub fn raw(value: impl AsRef<str>) -> Self {
        Self {
            text: format!("m={}\r\n", value.as_ref()),
        }
    }
    /// The refusal of an offered section: its `m=` line with port 0 (RFC 3264 §6), nothing else.
    pub fn rejecting(offered: Media<'_>) -> Self {
        let _ = offered;
        todo!()
    }
    /// Appends `c=` of the section.
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
    pub fn attribute(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.line(format!("a={}:{}", name.as_ref(), value.as_ref()))
    }
    /// Appends `a=name`.
    pub fn flag(self, name: impl AsRef<str>) -> Self {
        self.line(format!("a={}", name.as_ref()))
    }
    /// Appends a line as it is, without line end.
    pub fn line(mut self, line: impl AsRef<str>) -> Self {
        self.text.push_str(line.as_ref());
        self.text.push_str("\r\n");
        self
    }

    fn list(self, name: &str, items: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let mut value = String::new();
        for item in items {
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(item.as_ref());
        }
        self.attribute(name, value)
    }
}
