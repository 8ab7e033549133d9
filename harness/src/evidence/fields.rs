//! Header fields of SIP messages and MSRP frames alike, to be held against what was received or stored.

use imspec_wire::msrp::Head;
use imspec_wire::sip::{Message, name};

/// Header fields in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<HeaderField>);

/// One header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Name as written.
    pub name: String,
    /// Value, unfolded and trimmed.
    pub value: Vec<u8>,
    /// Value as written.
    pub raw: Vec<u8>,
}

/// Header fields of MSRP that belong to a frame and not to the message in it (RFC 4975 §9).
pub const FRAMING: &[&str] = &[
    "To-Path",
    "From-Path",
    "Message-ID",
    "Byte-Range",
    "Success-Report",
    "Failure-Report",
    "Status",
];

/// Whether a header field describes the body.
pub fn is_of_content(name: &str) -> bool {
    name.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case("Content-"))
        || name.eq_ignore_ascii_case("MIME-Version")
}

/// Whether a header field belongs to a frame of MSRP.
pub fn is_framing(name: &str) -> bool {
    FRAMING.iter().any(|one| one.eq_ignore_ascii_case(name))
}

impl Fields {
    /// All fields of one name, in any case or compact form.
    pub fn named<'f>(&'f self, wanted: &'f str) -> impl Iterator<Item = &'f HeaderField> {
        self.0
            .iter()
            .filter(move |field| name::same(&field.name, wanted))
    }

    /// The first field of one name.
    pub fn first(&self, wanted: &str) -> Option<&HeaderField> {
        self.0.iter().find(|field| name::same(&field.name, wanted))
    }

    /// The canonical names, each once, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for field in &self.0 {
            if !names.iter().any(|known| name::same(known, &field.name)) {
                let canonical = name::canonical(&field.name);
                names.push(canonical.unwrap_or(&field.name).to_owned());
            }
        }
        names
    }

    /// Those for which `keeps` holds.
    #[must_use]
    pub fn only(mut self, keeps: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|field| keeps(&field.name));
        self
    }

    /// With those of `others` whose name is not there.
    #[must_use]
    pub fn or(mut self, others: Self) -> Self {
        let own = self.0.len();
        for field in others.0 {
            let known = self.0[..own]
                .iter()
                .any(|one| name::same(&one.name, &field.name));
            if !known {
                self.0.push(field);
            }
        }
        self
    }
}

impl From<&Message> for Fields {
    fn from(message: &Message) -> Self {
        let field = |header: imspec_wire::sip::Header<'_>| HeaderField {
            name: header.name().to_owned(),
            value: header.value().into_owned(),
            raw: header.raw_value().to_vec(),
        };
        Self(message.headers().map(field).collect())
    }
}

impl From<&Head> for Fields {
    fn from(head: &Head) -> Self {
        let field = |header: imspec_wire::msrp::Header<'_>| HeaderField {
            name: header.name().to_owned(),
            value: header.value().trim_ascii().to_vec(),
            raw: header.raw_value().to_vec(),
        };
        Self(head.headers().map(field).collect())
    }
}

impl FromIterator<HeaderField> for Fields {
    fn from_iter<I: IntoIterator<Item = HeaderField>>(fields: I) -> Self {
        Self(fields.into_iter().collect())
    }
}
