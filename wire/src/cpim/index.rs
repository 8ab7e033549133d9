//! Where the parts of a message are.

use std::collections::HashMap;
use std::ops::Range;

use super::error::Limits;
use super::text::{find_unquoted, is_header_name};
use super::{CORE_NAMESPACE, ParseError};
use crate::sip::text::{is_wsp, trim};

/// One header: its octets, folds included, without the last line end.
#[derive(Debug, Clone)]
pub(super) struct Field {
    pub(super) range: Range<usize>,
    pub(super) name: usize,
    pub(super) namespace: Namespace,
}

/// Where the URI of a namespace stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Namespace {
    /// The default one of the media type.
    Core,
    /// In an `NS` header of the message.
    Declared(Range<usize>),
    /// Nowhere: the prefix was not declared before.
    Unknown,
}

/// The parts of a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) fields: Vec<Field>,
    /// Empty lines that stand where none should.
    pub(super) stray: Vec<Range<usize>>,
    pub(super) content_fields: Vec<Field>,
    /// The first octet after the empty line that ends the message headers.
    pub(super) content: usize,
    pub(super) body: usize,
    /// Whether the empty line after the message headers is there, and that after the MIME headers.
    pub(super) ends: (bool, bool),
}

/// A line: its octets without its line end, and where the next one starts.
#[derive(Debug, Clone)]
struct Line {
    range: Range<usize>,
    next: usize,
}

impl Index {
    /// Reads the heads of `octets` within `limits`.
    pub(super) fn read(octets: &[u8], limits: &Limits) -> Result<Self, ParseError> {
        let mut reader = Reader {
            octets,
            limits,
            index: Self::default(),
            prefixes: HashMap::new(),
        };
        let content = reader.message_headers()?;
        reader.content_headers(content)?;
        let index = reader.index;
        if octets.len() - index.body > limits.body {
            let limit = index.body + limits.body;
            return Err(ParseError::at(
                octets,
                limit,
                "the body to end here (limit)",
            ));
        }
        Ok(index)
    }
}

struct Reader<'o> {
    octets: &'o [u8],
    limits: &'o Limits,
    index: Index,
    /// Declared so far; the empty one is the default namespace.
    prefixes: HashMap<&'o [u8], Namespace>,
}

impl<'o> Reader<'o> {
    fn error<T>(&self, offset: usize, expected: &'static str) -> Result<T, ParseError> {
        Err(ParseError::at(self.octets, offset, expected))
    }

    /// The line that starts at `start`; `None` at the end.
    fn line(&self, start: usize) -> Option<Line> {
        let rest = self.octets.get(start..).filter(|rest| !rest.is_empty())?;
        let (length, next) = match memchr::memchr(b'\n', rest) {
            Some(at) => {
                let cr = at > 0 && rest[at - 1] == b'\r';
                (at - usize::from(cr), at + 1)
            }
            None => (rest.len(), rest.len()),
        };
        Some(Line {
            range: start..start + length,
            next: start + next,
        })
    }

    /// Reads the message headers; gives the first octet after the empty line that ends them.
    fn message_headers(&mut self) -> Result<usize, ParseError> {
        if self.octets.is_empty() {
            return self.error(0, "a message header");
        }
        let mut at = 0;
        // Where the MIME part begins, once it was looked for.
        let mut content = None;
        while let Some(line) = self.line(at) {
            if content == Some(at) {
                self.index.ends.0 = true;
                return Ok(at);
            }
            if line.range.is_empty() {
                // An empty line ends the headers, unless the MIME part comes later for sure.
                let found = content.or_else(|| self.find_content(line.next));
                if found.is_none_or(|found| found == line.next) {
                    self.index.ends.0 = true;
                    return Ok(line.next);
                }
                content = found;
                self.index.stray.push(line.range);
            } else {
                self.field(line.range)?;
            }
            at = line.next;
        }
        Ok(self.octets.len())
    }

    /// Where the MIME part begins, if what follows the empty line before `start` is not it: some
    /// write empty lines between the message headers, or two of them after the last one. Only a
    /// block of lines with a `Content-` header in it is the MIME part without a doubt, and only
    /// headers may stand before it.
    fn find_content(&self, start: usize) -> Option<usize> {
        let mut block = start;
        let mut at = start;
        while let Some(line) = self.line(at) {
            if line.range.end > self.limits.head {
                return None;
            }
            let octets = &self.octets[line.range];
            if octets.is_empty() {
                block = line.next;
            } else if is_content_header(octets) {
                return Some(block);
            } else if !(is_wsp(octets[0]) && at > block || is_header(octets)) {
                return None;
            }
            at = line.next;
        }
        None
    }

    fn field(&mut self, line: Range<usize>) -> Result<(), ParseError> {
        let octets = &self.octets[line.clone()];
        if is_wsp(octets[0]) {
            // No header may be folded (RFC 3862 §2.2), and nothing else can be meant.
            if let Some(last) = self.index.fields.last_mut() {
                last.range.end = line.end;
                let range = last.range.clone();
                return self.within_limits(&range);
            }
        }
        self.one_more(&line)?;
        let name = octets.iter().position(|octet| *octet == b':');
        let printable = |octet: &u8| matches!(octet, b' '..=b'~');
        let name = match name {
            Some(length) if length > 0 && octets[..length].iter().all(printable) => length,
            _ => return self.error(line.start, "a header name and a colon, or an empty line"),
        };
        let namespace = self.namespace(&octets[..name]);
        if namespace == Namespace::Core && local(&octets[..name]) == b"NS" {
            self.declare(line.start, octets, name);
        }
        self.index.fields.push(Field {
            range: line,
            name,
            namespace,
        });
        Ok(())
    }

    /// The namespace of a header of that name at this place. `NS` alone is always the one of
    /// RFC 3862: who declares another default namespace could never declare a prefix again.
    fn namespace(&self, name: &[u8]) -> Namespace {
        let prefix = prefix(name);
        if name == b"NS" {
            return Namespace::Core;
        }
        match self.prefixes.get(prefix) {
            Some(namespace) => namespace.clone(),
            None if prefix.is_empty() => Namespace::Core,
            None => Namespace::Unknown,
        }
    }

    /// `NS: prefix <uri>`; one that cannot be read declares nothing.
    fn declare(&mut self, start: usize, line: &'o [u8], name: usize) {
        let value = value_of(line, name).start;
        if let Some((prefix, uri)) = declaration(&line[value..]) {
            let uri = start + value + uri.start..start + value + uri.end;
            let namespace = match std::str::from_utf8(&self.octets[uri.clone()]) {
                Ok(CORE_NAMESPACE) => Namespace::Core,
                Ok(_) => Namespace::Declared(uri),
                Err(_) => Namespace::Unknown,
            };
            self.prefixes.insert(prefix, namespace);
        }
    }

    fn content_headers(&mut self, content: usize) -> Result<(), ParseError> {
        self.index.content = content;
        self.index.body = content;
        let mut at = content;
        while let Some(line) = self.line(at) {
            let octets = &self.octets[line.range.clone()];
            if octets.is_empty() {
                self.index.body = line.next;
                self.index.ends.1 = true;
                return Ok(());
            }
            if at == content && !is_header(octets) && !is_content_header(octets) {
                // No MIME headers at all.
                return Ok(());
            }
            self.content_field(line.range)?;
            at = line.next;
        }
        self.index.body = self.octets.len();
        Ok(())
    }

    fn content_field(&mut self, line: Range<usize>) -> Result<(), ParseError> {
        let octets = &self.octets[line.clone()];
        if is_wsp(octets[0])
            && let Some(last) = self.index.content_fields.last_mut()
        {
            last.range.end = line.end;
            let range = last.range.clone();
            return self.within_limits(&range);
        }
        self.one_more(&line)?;
        let graphic = |octet: &u8| octet.is_ascii_graphic() || is_wsp(*octet);
        match octets.iter().position(|octet| *octet == b':') {
            Some(name) if name > 0 && octets[..name].iter().all(graphic) => {
                self.index.content_fields.push(Field {
                    range: line,
                    name,
                    namespace: Namespace::Unknown,
                });
                Ok(())
            }
            _ => self.error(line.start, "a MIME header, or an empty line"),
        }
    }

    /// Whether a header of these octets, folds included, is within the limits.
    fn within_limits(&self, field: &Range<usize>) -> Result<(), ParseError> {
        let limits = self.limits;
        if field.len() > limits.line {
            return self.error(field.start + limits.line, "the header to end here (limit)");
        }
        if field.end > limits.head {
            return self.error(limits.head, "the headers to end before this (limit)");
        }
        Ok(())
    }

    fn one_more(&self, field: &Range<usize>) -> Result<(), ParseError> {
        if self.index.fields.len() + self.index.content_fields.len() >= self.limits.headers {
            return self.error(field.start, "no further header (limit)");
        }
        self.within_limits(field)
    }
}

/// `[prefix] <uri>` of an `NS` header: the prefix, possibly empty, and where the URI is.
pub(super) fn declaration(value: &[u8]) -> Option<(&[u8], Range<usize>)> {
    let open = value.iter().position(|octet| *octet == b'<')?;
    let end = trim(value);
    let close = open + 1 + value[open + 1..].iter().position(|octet| *octet == b'>')?;
    let prefix = trim(&value[..open]);
    let whole = end.ends_with(b">") && trim(&value[close + 1..]).is_empty();
    let named = prefix.iter().all(|octet| super::text::is_name(*octet));
    (whole && named && close > open + 1).then_some((prefix, open + 1..close))
}

/// Where the value of a header stands in its line, after the parameters and one space. Where the
/// space is missing, the value starts at once.
pub(super) fn value_of(line: &[u8], name: usize) -> Range<usize> {
    let params = params_of(line, name);
    let start = params.end + usize::from(line.get(params.end) == Some(&b' '));
    start..line.len()
}

/// Where the parameters of a header stand in its line, the first semicolon included.
pub(super) fn params_of(line: &[u8], name: usize) -> Range<usize> {
    let start = (name + 1).min(line.len());
    let rest = &line[start..];
    if rest.first() != Some(&b';') {
        return start..start;
    }
    start..start + find_unquoted(rest, b' ').unwrap_or(rest.len())
}

/// What stands before the full stop of a name; empty where there is none.
pub(super) fn prefix(name: &[u8]) -> &[u8] {
    let stop = name.iter().position(|octet| *octet == b'.');
    &name[..stop.unwrap_or(0)]
}

fn local(name: &[u8]) -> &[u8] {
    let stop = name.iter().position(|octet| *octet == b'.');
    &name[stop.map_or(0, |at| at + 1)..]
}

/// Whether a line looks like a header and not like text.
fn is_header(line: &[u8]) -> bool {
    let colon = line.iter().position(|octet| *octet == b':');
    colon.is_some_and(|colon| is_header_name(&line[..colon]))
}

/// Whether a line is a header that only MIME has.
fn is_content_header(line: &[u8]) -> bool {
    let name = line.split(|octet| *octet == b':').next();
    let starts = |name: &[u8], with: &[u8]| {
        name.len() >= with.len() && name[..with.len()].eq_ignore_ascii_case(with)
    };
    line.contains(&b':')
        && name.is_some_and(|name| {
            starts(name, b"Content-") || trim(name).eq_ignore_ascii_case(b"MIME-Version")
        })
}
