//! When the values of a header mean the same: first as text, then by the rules of the header.
//!
//! A value that cannot be read is compared as text only, so that nothing which is broken in two
//! different ways is called equal.

use std::collections::BTreeSet;

use crate::sip::name;
use crate::sip::text::{digits, squeeze, unfold};
use crate::sip::typed::address::RawAddress;
use crate::sip::typed::cursor::Cursor;
use crate::sip::typed::list;
use crate::sip::typed::media_type::RawMediaType;
use crate::sip::typed::params::{RawParam, RawValue, header_params, param};
use crate::sip::typed::via::RawVia;
use crate::sip::typed::{CSeq, SipDate, TypedHeader, Uri, ValueResult};

use super::FIELD;

/// The clauses that were needed to make two sides equal.
pub(super) type Clauses = BTreeSet<&'static str>;

/// White space between words, spelling of numbers, quoting: the basic rules.
const BASIC: &str = "RFC 3261 §25.1";

/// How the values of a header are compared beyond their text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Display name, URI, parameters. The clause says when two are the same.
    Address(&'static str),
    Via,
    CSeq,
    MediaType,
    Date,
    Number,
    /// A token with parameters.
    Token,
    /// Scheme and a list of parameters; several fields must not be joined.
    Credentials,
    /// Only the text counts.
    Text,
}

/// `Some` when the values of all fields of one name mean the same; adds why.
pub(super) fn equal(
    canonical: &str,
    left: &[&[u8]],
    right: &[&[u8]],
    clauses: &mut Clauses,
) -> Option<()> {
    if left == right {
        return Some(());
    }
    if all_equal(left, right, |a, b| unfold(a) == unfold(b)) {
        clauses.insert(FIELD);
        return Some(());
    }
    if all_equal(left, right, |a, b| squeeze(a) == squeeze(b)) {
        clauses.insert(BASIC);
        return Some(());
    }
    let (rule, is_list) = rule(canonical);
    let (left, right) = (items(left, is_list), items(right, is_list));
    if left.len() != right.len() {
        return None;
    }
    if left.rows != right.rows {
        clauses.insert(FIELD);
    }
    let (mut spaced, mut needed) = (false, Clauses::new());
    for (a, b) in left.values.iter().zip(&right.values) {
        if a == b {
            continue;
        }
        let (a, b) = (squeeze(a), squeeze(b));
        if a == b {
            spaced = true;
        } else {
            rule.equal(&a, &b, &mut needed)?;
        }
    }
    if spaced || needed.is_empty() && left.rows == right.rows {
        clauses.insert(BASIC);
    }
    clauses.append(&mut needed);
    Some(())
}

/// Rule of a header and whether commas separate values in it. An unknown header may be a list, as
/// its own specification says; two sides that differ in nothing but that are taken as the same.
fn rule(canonical: &str) -> (Rule, bool) {
    let rule = match canonical {
        "From" => Rule::Address("RFC 3261 §20.20"),
        "To" => Rule::Address("RFC 3261 §20.39"),
        "Contact"
        | "Reply-To"
        | "Route"
        | "Record-Route"
        | "Path"
        | "Service-Route"
        | "Refer-To"
        | "Referred-By"
        | "P-Asserted-Identity"
        | "P-Preferred-Identity"
        | "P-Associated-URI"
        | "P-Called-Party-ID" => Rule::Address("RFC 3261 §20.10"),
        // `<uri>` with parameters, in the shape of an address.
        "Call-Info" => Rule::Address("RFC 3261 §20.9"),
        "Alert-Info" => Rule::Address("RFC 3261 §20.4"),
        "Error-Info" => Rule::Address("RFC 3261 §20.18"),
        "Via" => Rule::Via,
        "CSeq" => Rule::CSeq,
        "Content-Type" | "Accept" => Rule::MediaType,
        "Date" => Rule::Date,
        "Content-Length" | "Expires" | "Max-Forwards" | "Max-Breadth" | "Min-Expires" | "RSeq" => {
            Rule::Number
        }
        "Accept-Encoding"
        | "Accept-Language"
        | "Allow-Events"
        | "Content-Disposition"
        | "Content-Encoding"
        | "Content-Language"
        | "Content-Transfer-Encoding"
        | "Priority"
        | "Proxy-Require"
        | "Require"
        | "Supported"
        | "Unsupported" => Rule::Token,
        "Authorization" | "Proxy-Authenticate" | "Proxy-Authorization" | "WWW-Authenticate" => {
            Rule::Credentials
        }
        _ => Rule::Text,
    };
    (
        rule,
        list::is_list_header(canonical) || name::canonical(canonical).is_none(),
    )
}

/// The values of all fields of one name, and how many of them each field holds.
struct Items<'v> {
    values: Vec<&'v [u8]>,
    rows: Vec<usize>,
}

impl Items<'_> {
    fn len(&self) -> usize {
        self.values.len()
    }
}

fn items<'v>(fields: &[&'v [u8]], is_list: bool) -> Items<'v> {
    let mut items = Items {
        values: Vec::new(),
        rows: Vec::new(),
    };
    for field in fields {
        let before = items.values.len();
        if is_list {
            items
                .values
                .extend(list::split(field).into_iter().map(|(_, piece)| piece));
        } else {
            items.values.push(field);
        }
        items.rows.push(items.values.len() - before);
    }
    items
}

fn all_equal(left: &[&[u8]], right: &[&[u8]], same: impl Fn(&[u8], &[u8]) -> bool) -> bool {
    left.len() == right.len() && left.iter().zip(right).all(|(a, b)| same(a, b))
}

impl Rule {
    fn equal(self, a: &[u8], b: &[u8], clauses: &mut Clauses) -> Option<()> {
        match self {
            Self::Address(clause) => addresses(a, b, clause, clauses),
            Self::Via => vias(a, b, clauses),
            Self::CSeq => {
                let same = CSeq::parse_value(a).ok()? == CSeq::parse_value(b).ok()?;
                same.then(|| add(clauses, "RFC 3261 §20.16"))
            }
            Self::MediaType => media_types(a, b, clauses),
            Self::Date => {
                let same = SipDate::parse_value(a).ok()? == SipDate::parse_value(b).ok()?;
                same.then(|| add(clauses, "RFC 3261 §20.17"))
            }
            Self::Number => {
                digits(a).and(digits(b))?;
                let same = without_zeros(a) == without_zeros(b);
                same.then(|| add(clauses, BASIC))
            }
            Self::Token => {
                let (a, b) = (token(a).ok()?, token(b).ok()?);
                let same = a.0.eq_ignore_ascii_case(b.0) && same_params(&a.1, &b.1);
                same.then(|| add(clauses, FIELD))
            }
            Self::Credentials => {
                let (a, b) = (credentials(a).ok()?, credentials(b).ok()?);
                let same = a.0.eq_ignore_ascii_case(b.0) && same_params(&a.1, &b.1);
                same.then(|| add(clauses, FIELD))
            }
            Self::Text => None,
        }
    }
}

fn add(clauses: &mut Clauses, clause: &'static str) {
    clauses.insert(clause);
}

/// Stricter than RFC 3261 §20.20, which for matching a dialogue passes over display names and
/// unknown parameters: where a header is to be kept, losing those is a difference. Quotation marks,
/// angle brackets and the order of parameters are none.
fn addresses(a: &[u8], b: &[u8], clause: &'static str, clauses: &mut Clauses) -> Option<()> {
    let (whole_a, whole_b) = (a, b);
    let (a, b) = (RawAddress::parse(a).ok()?, RawAddress::parse(b).ok()?);
    let name = |address: &RawAddress| {
        address
            .display_name
            .as_deref()
            .map(|name| squeeze(name).into_owned())
            .unwrap_or_default()
    };
    if name(&a) != name(&b) || !same_params(&a.params, &b.params) {
        return None;
    }
    if a.uri != b.uri {
        let (uri_a, uri_b) = (Uri::parse(a.uri).ok()?, Uri::parse(b.uri).ok()?);
        if !uri_a.equivalent(&uri_b) {
            return None;
        }
        clauses.insert(match uri_a {
            Uri::Sip(_) => "RFC 3261 §19.1.4",
            Uri::Tel { .. } => "RFC 3966 §4",
            Uri::Other { .. } => "RFC 3986 §6.2.2.1",
        });
    }
    if around(whole_a, &a) != around(whole_b, &b) {
        clauses.insert(clause);
    }
    Some(())
}

/// What stands before and after the URI.
fn around<'v>(value: &'v [u8], address: &RawAddress<'v>) -> (&'v [u8], &'v [u8]) {
    (
        &value[..address.uri_at],
        &value[address.uri_at + address.uri.len()..],
    )
}

fn vias(a: &[u8], b: &[u8], clauses: &mut Clauses) -> Option<()> {
    let (a, b) = (RawVia::parse(a).ok()?, RawVia::parse(b).ok()?);
    let same = a.protocol.eq_ignore_ascii_case(b.protocol)
        && a.version.eq_ignore_ascii_case(b.version)
        && a.transport.eq_ignore_ascii_case(b.transport)
        && a.host.same(&b.host)
        && a.port == b.port
        && same_params(&a.params, &b.params);
    same.then(|| add(clauses, "RFC 3261 §20.42"))
}

/// A parameter is the same with or without quotation marks (RFC 2045 §5.1). The case of its value
/// counts, except in `charset` (RFC 2046 §4.1.2).
fn media_types(a: &[u8], b: &[u8], clauses: &mut Clauses) -> Option<()> {
    let (a, b) = (RawMediaType::parse(a).ok()?, RawMediaType::parse(b).ok()?);
    if !a.kind.eq_ignore_ascii_case(b.kind) || !a.subtype.eq_ignore_ascii_case(b.subtype) {
        return None;
    }
    let (mut folded_a, mut folded_b) = (Vec::new(), Vec::new());
    let mut charset = false;
    for (params, folded) in [(&a.params, &mut folded_a), (&b.params, &mut folded_b)] {
        for param in params {
            let name = param.name.to_ascii_lowercase();
            let mut value = param.value.as_ref().map(|value| value.octets().to_vec());
            if name == "charset"
                && let Some(value) = &mut value
            {
                charset |= value.iter().any(u8::is_ascii_uppercase);
                value.make_ascii_lowercase();
            }
            folded.push((name, value));
        }
        folded.sort();
    }
    if folded_a != folded_b {
        return None;
    }
    clauses.insert("RFC 2045 §5.1");
    if charset {
        clauses.insert("RFC 2046 §4.1.2");
    }
    Some(())
}

/// The same names with the same values, in any order: tokens without case, quoted strings with it
/// (RFC 3261 §7.3.1).
fn same_params(a: &[RawParam<'_>], b: &[RawParam<'_>]) -> bool {
    let sorted = |params: &[RawParam<'_>]| {
        let mut folded: Vec<_> = params
            .iter()
            .map(|param| {
                let value = param.value.as_ref().map(|value| match value {
                    RawValue::Token(token) => (false, token.to_ascii_lowercase().into_bytes()),
                    RawValue::Quoted(text) => (true, squeeze(text).into_owned()),
                });
                (param.name.to_ascii_lowercase(), value)
            })
            .collect();
        folded.sort();
        folded
    };
    sorted(a) == sorted(b)
}

fn token(value: &[u8]) -> ValueResult<(&str, Vec<RawParam<'_>>)> {
    let mut cursor = Cursor::new(value);
    let token = cursor.token("a token")?;
    Ok((token, header_params(&mut cursor)?))
}

/// `scheme LWS param *( COMMA param )`
fn credentials(value: &[u8]) -> ValueResult<(&str, Vec<RawParam<'_>>)> {
    let mut cursor = Cursor::new(value);
    let scheme = cursor.token("an authentication scheme")?;
    let mut params = Vec::new();
    loop {
        cursor.skip_lws();
        params.push(param(&mut cursor)?);
        cursor.skip_lws();
        if cursor.peek().is_none() {
            return Ok((scheme, params));
        }
        cursor.expect(b',', "a comma or the end of the value")?;
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    &number[zeros..]
}
