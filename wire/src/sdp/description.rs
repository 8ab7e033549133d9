//! A session description: its octets, its lines, and what they mean.

use std::ops::Range;

use bytes::Bytes;
use sdp_types::{ParserError, Session};

use super::ParseError;
use super::address::Address;
use super::error::Limits;
use super::lines::{Line, lines};
use super::media::{Attribute, Media, attributes};
use super::message::MessageMedia;
use super::origin::{Origin, Revision};

/// A session description as it was received or built.
///
/// What cannot be understood at all is an error; what can, although a rule is broken, is taken, and
/// [`Self::defects`] says so. Text is UTF-8: `a=charset` (RFC 8866 §6.10) is not followed, and octets
/// that are not UTF-8 are an error, in lines of which nothing is needed too.
#[derive(Debug, Clone)]
pub struct Description {
    octets: Bytes,
    /// What the lines mean. Its lists are in the order of the lines.
    pub(super) session: Session,
    /// The octets of each `m=` section.
    sections: Vec<Range<usize>>,
}

/// Descriptions are equal when their octets are.
impl PartialEq for Description {
    fn eq(&self, other: &Self) -> bool {
        self.octets == other.octets
    }
}

impl Eq for Description {}

impl Description {
    /// Reads a description under the default [`Limits`].
    pub fn parse(octets: impl Into<Bytes>) -> Result<Self, ParseError> {
        Self::parse_with(octets, &Limits::default())
    }

    /// Reads a description under `limits`.
    pub fn parse_with(octets: impl Into<Bytes>, limits: &Limits) -> Result<Self, ParseError> {
        let octets = octets.into();
        let sections = sections(&octets, limits)?;
        let session = Session::parse(&octets).map_err(|error| located(&octets, &error))?;
        Ok(Self {
            octets,
            session,
            sections,
        })
    }

    /// All octets as received: parsing and this give the same octets back.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }

    /// All octets as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets
    }

    /// Its lines as they stand.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        lines(&self.octets)
    }

    /// The `o=` line, where there is one.
    pub fn origin(&self) -> Option<Origin> {
        self.session_line(b'o')?;
        Some(Origin::from(&self.session.origin))
    }

    /// The session name, `s=`, as written. SIP has a Subject of its own; this is not it
    /// (RFC 3264 §5).
    pub fn session_name(&self) -> Option<&str> {
        self.session_line(b's')?;
        Some(&self.session.session_name)
    }

    /// The connection address of the session level.
    pub fn connection(&self) -> Option<Address> {
        self.session.connection.as_ref().map(Address::from)
    }

    /// The attributes of the session level in order.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        attributes(self, self.session_range(), &self.session.attributes)
    }

    /// The first attribute of that name at the session level.
    pub fn attribute(&self, name: &str) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.name == name)
    }

    /// Its `m=` sections in order, those of other kinds and refused ones included.
    pub fn media(&self) -> impl ExactSizeIterator<Item = Media<'_>> {
        self.session
            .medias
            .iter()
            .zip(&self.sections)
            .enumerate()
            .map(|(index, (section, range))| Media {
                description: self,
                section,
                index,
                start: range.start,
                end: range.end,
            })
    }

    /// The sections that are message sessions, in order, refused ones (port 0) included.
    pub fn messages(&self) -> impl Iterator<Item = Result<MessageMedia, ParseError>> {
        self.media().filter_map(|media| media.message())
    }

    /// The first message session that is not refused (port 0).
    pub fn message(&self) -> Option<Result<MessageMedia, ParseError>> {
        self.media()
            .filter(|media| media.port() != 0)
            .find_map(|media| media.message())
    }

    /// What this description is to the one that the same party sent before in the same dialog.
    pub fn revision_of(&self, before: &Self) -> Revision {
        let (Some(new), Some(old)) = (self.origin(), before.origin()) else {
            return Revision::OtherSession;
        };
        if !new.same_session(&old) {
            Revision::OtherSession
        } else if new.version == old.version && self == before {
            Revision::Unchanged
        } else if new.version == old.version {
            Revision::SameVersionOtherContent
        } else if new.version < old.version {
            Revision::Older
        } else if new.version - old.version == 1 {
            Revision::Next
        } else {
            Revision::Skipped
        }
    }

    /// The octets before the first `m=` line.
    pub(super) fn session_range(&self) -> Range<usize> {
        0..self
            .sections
            .first()
            .map_or(self.octets.len(), |section| section.start)
    }

    /// The first line of that letter before the first `m=` line.
    pub(super) fn session_line(&self, kind: u8) -> Option<Line<'_>> {
        lines(&self.octets[self.session_range()]).find(|line| line.kind() == Some(kind))
    }
}

/// The octets of the `m=` sections, when everything is within `limits`.
fn sections(octets: &[u8], limits: &Limits) -> Result<Vec<Range<usize>>, ParseError> {
    let error = |offset, expected| Err(ParseError::at(octets, offset, expected));
    if octets.len() > limits.total {
        return error(limits.total, "the description to end here (limit)");
    }
    let mut sections: Vec<Range<usize>> = Vec::new();
    for (count, line) in lines(octets).enumerate() {
        if count == limits.lines {
            return error(line.offset(), "no further line (limit)");
        }
        if line.text().len() > limits.line {
            return error(line.offset() + limits.line, "the line to end here (limit)");
        }
        if line.kind() == Some(b'm') {
            if sections.len() == limits.media {
                return error(line.offset(), "no further media section (limit)");
            }
            if let Some(before) = sections.last_mut() {
                before.end = line.offset();
            }
            sections.push(line.offset()..octets.len());
        }
    }
    Ok(sections)
}

/// The error of the crate at the place of the line that it names, in our words: what the line
/// should look like says more than the name of a field.
fn located(octets: &[u8], error: &ParserError) -> ParseError {
    use ParserError::{
        FieldTrailingData, InvalidFieldEncoding, InvalidFieldFormat, InvalidLineFormat,
        InvalidVersion, MissingField, MultipleConnections, MultipleKeys, MultipleMediaTitles,
        MultipleOrigins, MultipleSessionDescription, MultipleSessionNames, MultipleTimeZones,
        MultipleUris, MultipleVersions, RepeatWithoutTime,
    };
    let (number, expected) = match error {
        InvalidLineFormat(line, _) => (
            *line,
            Some("one letter, `=` and a value without NUL and CR"),
        ),
        InvalidFieldEncoding(line, _) => (*line, Some("UTF-8")),
        InvalidVersion(line, _) => (*line, Some("`v=0`")),
        InvalidFieldFormat(line, _) | MissingField(line, _) | FieldTrailingData(line, _) => {
            (*line, None)
        }
        MultipleVersions(line)
        | MultipleOrigins(line)
        | MultipleSessionNames(line)
        | MultipleSessionDescription(line)
        | MultipleUris(line)
        | MultipleConnections(line)
        | MultipleTimeZones(line)
        | MultipleMediaTitles(line)
        | MultipleKeys(line) => (*line, Some("no second line of this kind here")),
        RepeatWithoutTime(line) => (*line, Some("a `t=` line before `r=`")),
        // Deprecated ones, which no longer occur, stand with the missing version.
        _ => (1, Some("`v=0` in the first line")),
    };
    // Lines are counted from 1, empty ones included.
    let line = lines(octets).nth(number.saturating_sub(1));
    let offset = line.map_or(octets.len(), |line| line.offset());
    let form = line.and_then(|line| line.kind()).map_or("a line", form);
    ParseError::at(octets, offset, expected.unwrap_or(form))
}

/// What a line of that letter looks like.
fn form(kind: u8) -> &'static str {
    match kind {
        b'o' => "`o=user session-id version IN IP4|IP6 address`, id and version being numbers",
        b'c' => "`c=IN IP4|IP6 address`",
        b'm' => "`m=media port protocol formats`, the port from 0 to 65535",
        b't' => "`t=start stop`, both being numbers",
        b'r' => "`r=interval duration offsets`, all being times",
        b'z' => "`z=` and pairs of a time and an offset",
        b'b' => "`b=type:number`",
        b'a' => "`a=name` or `a=name:value`",
        _ => "a value that this line may have",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const OFFER: &str = "v=0\r\no=ann 1 7 IN IP4 192.0.2.1\r\ns=minutes\r\n\
        c=IN IP4 192.0.2.1\r\nt=0 0\r\na=tool:x\r\na=recvonly\r\n\
        m=audio 4000 RTP/AVP 0\r\nc=IN IP6 ::1\r\na=ptime:20\r\n\
        m=message 2855 TCP/MSRP *\r\na=accept-types:*\r\n\
        a=path:msrp://192.0.2.1:2855/s;tcp\r\n";

    fn offer() -> Description {
        Description::parse(OFFER).unwrap()
    }

    #[test]
    fn shows_every_part() {
        let offer = offer();
        assert_eq!(offer.as_bytes(), OFFER.as_bytes());
        let origin = offer.origin().unwrap();
        assert_eq!((&*origin.username, &*origin.session_id), ("ann", "1"));
        assert_eq!(origin.version, 7);
        assert_eq!(origin.address.to_string(), "IN IP4 192.0.2.1");
        assert_eq!(offer.session_name(), Some("minutes"));
        assert_eq!(offer.connection().unwrap().host, "192.0.2.1");
        let names: Vec<_> = offer.attributes().map(|it| (it.name, it.value)).collect();
        assert_eq!(names, [("tool", Some("x")), ("recvonly", None)]);
        let tool = offer.attribute("tool").unwrap();
        assert_eq!(&OFFER[tool.range()], "a=tool:x");
        assert_eq!(&OFFER[tool.value_range()], "x");

        let media: Vec<_> = offer.media().collect();
        assert_eq!(media.len(), 2);
        assert_eq!((media[0].kind(), media[0].port()), ("audio", 4000));
        assert_eq!((media[0].protocol(), media[0].formats()), ("RTP/AVP", "0"));
        assert_eq!(media[0].connection().unwrap().host, "::1");
        assert!(media[0].message().is_none());
        let ptime = media[0].attribute("ptime").unwrap();
        assert_eq!(&OFFER[ptime.value_range()], "20");
        assert!(OFFER[media[1].range()].starts_with("m=message"));
        assert!(OFFER[media[1].range()].ends_with("tcp\r\n"));
        assert_eq!(media[1].connection().unwrap().host, "192.0.2.1");
        let message = offer.message().unwrap().unwrap();
        assert_eq!((message.index, message.port), (1, 2855));
        assert_eq!(offer.messages().count(), 1);
    }

    #[test]
    fn what_is_missing_is_not_made_up() {
        let bare = Description::parse("v=0\n").unwrap();
        assert_eq!(bare.origin(), None);
        assert_eq!(bare.session_name(), None);
        assert_eq!(bare.connection(), None);
        assert!(bare.message().is_none());
        assert_eq!(bare.media().len(), 0);
    }

    #[test]
    fn revisions() {
        let with = |from: &str, to: &str| Description::parse(OFFER.replace(from, to)).unwrap();
        let last = offer();
        for (from, to, expected) in [
            ("x", "x", Revision::Unchanged),
            ("tool:x", "tool:y", Revision::SameVersionOtherContent),
            ("1 7 IN", "1 8 IN", Revision::Next),
            ("1 7 IN", "1 9 IN", Revision::Skipped),
            ("1 7 IN", "1 6 IN", Revision::Older),
            ("1 7 IN", "1 18446744073709551615 IN", Revision::Skipped),
            ("o=ann", "o=bob", Revision::OtherSession),
            ("1 7 IN", "2 8 IN", Revision::OtherSession),
            ("o=ann 1 7 IN IP4 192.0.2.1\r\n", "", Revision::OtherSession),
        ] {
            assert_eq!(with(from, to).revision_of(&last), expected, "{to}");
        }
    }

    #[test]
    fn errors_say_where_and_what() {
        let session = "v=0\r\no=- 1 1 IN IP4 h\r\ns=-\r\n";
        let mut shown = Vec::new();
        for octets in [
            &b""[..],
            b"o=- 1 1 IN IP4 h\r\n",
            b"v=1\r\n",
            b"v=0\r\no=- 1 x IN IP4 h\r\n",
            b"v=0\r\no=- 1 18446744073709551616 IN IP4 h\r\n",
            b"v=0\r\no=- 1 1 IN IP4\r\n",
            b"v=0\r\no=- 1 1 IN IP4 h\r\n\r\no=- 1 1 IN IP4 h\r\n",
            b"v=0\r\nhello\r\n",
            b"v=0\r\nab=c\r\n",
            b"v=0\r\ns=a\rb\r\n",
            b"v=0\r\ns=a\0b\r\n",
            b"v=0\r\ns=\xff\r\n",
            b"v=0\r\nr=1 1 1\r\n",
            b"v=0\r\nt=now\r\n",
            b"v=0\r\nc=IN IP4\r\n",
            b"v=0\r\nb=64\r\n",
            b"v=0\r\nz=1\r\n",
            b"v=0\r\nm=message 70000 TCP/MSRP *\r\n",
            b"v=0\r\nm=message 1 TCP/MSRP\r\n",
            b"v=0\r\nm=message -1 TCP/MSRP *\r\na=x\r\n",
            b"MSRP a786hjs2 SEND\r\n",
        ] {
            let error = Description::parse(octets).unwrap_err();
            shown.push(format!("{}: {error}\n", octets.escape_ascii()));
        }
        for media in [
            "m=message 1 TCP/MSRP *\r\na=path:sip:ann@example.org\r\n",
            "m=message 1 TCP/MSRP *\r\na=path:msrp://a:1/s;tcp msrp://b:x/s;tcp\r\n",
            "m=message 1 TCP/MSRP *\r\na=path:\r\n",
            "m=message 1 TCP/MSRP *\r\na=path\r\n",
            "m=message 1 TCP/MSRP *\r\na=accept-types:text/plain text\r\n",
            "m=message 1 TCP/MSRP *\r\na=accept-wrapped-types:\r\n",
        ] {
            let description = Description::parse(format!("{session}{media}")).unwrap();
            let error = description.message().unwrap().unwrap_err();
            shown.push(format!("{}: {error}\n", media.escape_debug()));
        }
        insta::assert_snapshot!(shown.concat());
    }

    #[test]
    fn limits_hold_at_their_octet() {
        let length = OFFER.len();
        let lines = OFFER.lines().count();
        let longest = OFFER.lines().map(str::len).max().unwrap();
        let exact = Limits {
            total: length,
            line: longest,
            lines,
            media: 2,
        };
        let parse = |limits| Description::parse_with(OFFER, &limits);
        assert!(parse(exact).is_ok());
        let mut shown = Vec::new();
        for limits in [
            Limits {
                total: length - 1,
                ..exact
            },
            Limits {
                line: longest - 1,
                ..exact
            },
            Limits {
                lines: lines - 1,
                ..exact
            },
            Limits { media: 1, ..exact },
        ] {
            shown.push(format!("{}\n", parse(limits).unwrap_err()));
        }
        insta::assert_snapshot!(shown.concat());
    }
}
