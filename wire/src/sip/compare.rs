//! Are two header fields or messages the same? Identical, equal in meaning, or different, header by
//! header, with the clause that makes them equal.
//!
//! A server that keeps a message may write it differently: other case of names, compact forms,
//! other folding, fields of one name joined by commas. This module says which differences mean
//! nothing, and who says so; what a test makes of it is the test's business.

mod value;

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use super::message::{Header, Message};
use super::name;
use super::text::is_wsp;

/// How two things relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// Octet for octet.
    Identical,
    /// The RFC makes them the same.
    Equal,
    /// They do not mean the same.
    Different,
}

/// The outcome for one header name (all fields of that name together: order within a name matters,
/// RFC 3261 §7.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Canonical name.
    pub name: String,
    /// How the two sides relate.
    pub relation: Relation,
    /// For [`Relation::Equal`]: the clauses that make them equal, e.g. `RFC 3261 §7.3.3`.
    pub clauses: Vec<&'static str>,
    /// The fields of the first side as written.
    pub left: Vec<Vec<u8>>,
    /// The fields of the second side as written.
    pub right: Vec<Vec<u8>>,
}

/// Compares all fields of one name. A side without the header differs from one that has it.
///
/// Each side is a list of names and values, raw or unfolded; entries of other names are passed
/// over, so that a whole header list may be given. Names may be in any case or compact form. White
/// space before the colon and in front of the value is not part of such a list, so it does not
/// count.
pub fn header(name: &str, left: &[(&str, &[u8])], right: &[(&str, &[u8])]) -> Comparison {
    fn side<'f>(name: &str, fields: &[(&'f str, &'f [u8])]) -> Vec<Field<'f>> {
        let mine = fields.iter().filter(|(field, _)| name::same(field, name));
        mine.map(|(name, value)| Field::of_pair(name, value))
            .collect()
    }
    compare(name, &side(name, left), &side(name, right))
}

/// Compares every header name that either message has, in the order of first appearance on the
/// left. Names that only the right side has follow in their order.
pub fn headers(left: &Message, right: &Message) -> Vec<Comparison> {
    let (left, right) = (Grouped::of(left), Grouped::of(right));
    let only_right = right
        .order
        .iter()
        .filter(|name| !left.by_name.contains_key(*name));
    let names = left.order.iter().chain(only_right);
    names
        .map(|name| compare(name, left.named(name), right.named(name)))
        .collect()
}

/// A field of either side.
#[derive(Debug, Clone)]
struct Field<'f> {
    name: &'f str,
    value: &'f [u8],
    line: Cow<'f, [u8]>,
}

impl<'f> Field<'f> {
    fn of_header(header: Header<'f>) -> Self {
        let line = Cow::Borrowed(header.line());
        Self {
            name: header.name(),
            value: header.raw_value(),
            line,
        }
    }

    fn of_pair(name: &'f str, value: &'f [u8]) -> Self {
        let start = value
            .iter()
            .position(|octet| !is_wsp(*octet))
            .unwrap_or(value.len());
        let value = &value[start..];
        Self {
            name,
            value,
            line: Cow::Owned([name.as_bytes(), b": ", value].concat()),
        }
    }
}

/// The fields of a message by name.
struct Grouped<'m> {
    /// Each key once, in the order of the first fields.
    order: Vec<String>,
    /// The keys are names in lower case and long form.
    by_name: HashMap<String, Vec<Field<'m>>>,
}

impl<'m> Grouped<'m> {
    fn of(message: &'m Message) -> Self {
        let mut grouped = Self {
            order: Vec::new(),
            by_name: HashMap::new(),
        };
        for header in message.headers() {
            let key = header.canonical_name().to_ascii_lowercase();
            let fields = grouped.by_name.entry(key.clone()).or_default();
            if fields.is_empty() {
                grouped.order.push(key);
            }
            fields.push(Field::of_header(header));
        }
        grouped
    }

    fn named(&self, key: &str) -> &[Field<'m>] {
        self.by_name.get(key).map(Vec::as_slice).unwrap_or_default()
    }
}

fn compare(name: &str, left: &[Field<'_>], right: &[Field<'_>]) -> Comparison {
    let spelled = left
        .iter()
        .chain(right)
        .map(|field| field.name)
        .next()
        .unwrap_or(name);
    let canonical = name::canonical(spelled).unwrap_or(spelled);
    let outcome = if left
        .iter()
        .map(|f| &f.line)
        .eq(right.iter().map(|f| &f.line))
    {
        (Relation::Identical, Vec::new())
    } else {
        match equal(canonical, left, right) {
            Some(clauses) => (Relation::Equal, clauses),
            None => (Relation::Different, Vec::new()),
        }
    };
    let lines = |side: &[Field<'_>]| side.iter().map(|field| field.line.to_vec()).collect();
    Comparison {
        name: canonical.to_owned(),
        relation: outcome.0,
        clauses: outcome.1,
        left: lines(left),
        right: lines(right),
    }
}

/// The clauses that make the fields equal, `None` when nothing does.
fn equal(canonical: &str, left: &[Field<'_>], right: &[Field<'_>]) -> Option<Vec<&'static str>> {
    if left.is_empty() || right.is_empty() {
        return None;
    }
    let mut clauses = BTreeSet::new();
    value::equal(canonical, &values(left), &values(right), &mut clauses)?;
    for (a, b) in spellings(left, right) {
        if !a.eq_ignore_ascii_case(b) {
            clauses.insert(COMPACT);
        } else if a != b {
            clauses.insert(FIELD);
        }
    }
    if clauses.is_empty() {
        // All that is left is white space before the colon.
        clauses.insert(FIELD);
    }
    Some(clauses.into_iter().collect())
}

fn values<'f>(side: &[Field<'f>]) -> Vec<&'f [u8]> {
    side.iter().map(|field| field.value).collect()
}

/// The names to be held against each other: field by field, or where the sides have different
/// numbers of fields the first ones.
fn spellings<'f>(
    left: &[Field<'f>],
    right: &[Field<'f>],
) -> impl Iterator<Item = (&'f str, &'f str)> {
    let pairs = if left.len() == right.len() {
        left.len()
    } else {
        1
    };
    let names = |side: &[Field<'f>]| side.iter().map(|field| field.name).collect::<Vec<_>>();
    names(left).into_iter().zip(names(right)).take(pairs)
}

/// Case of names and tokens, white space, folding, comma lists.
const FIELD: &str = "RFC 3261 §7.3.1";
/// Compact forms.
const COMPACT: &str = "RFC 3261 §7.3.3";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const ADDRESS_FORM: &str = "RFC 3261 §20.20";
    const LWS: &str = "RFC 3261 §25.1";
    const URI: &str = "RFC 3261 §19.1.4";

    /// Compares messages that have nothing but these header lines; they must be of one name.
    fn compare(left: &[&str], right: &[&str]) -> (Relation, Vec<&'static str>) {
        let message = |lines: &[&str]| {
            let head: String = lines.iter().flat_map(|line| [*line, "\r\n"]).collect();
            Message::parse(format!("SIP/2.0 200 OK\r\n{head}\r\n")).unwrap()
        };
        let (left, right) = (message(left), message(right));
        let mut found = headers(&left, &right);
        let mut reverse = headers(&right, &left);
        assert_eq!((found.len(), reverse.len()), (1, 1));
        let (found, reverse) = (found.remove(0), reverse.remove(0));
        assert_eq!(
            (found.relation, &found.clauses),
            (reverse.relation, &reverse.clauses)
        );
        assert_eq!(found.relation == Relation::Equal, !found.clauses.is_empty());
        (found.relation, found.clauses)
    }

    fn identical(left: &[&str], right: &[&str]) {
        assert_eq!(
            compare(left, right).0,
            Relation::Identical,
            "{left:?} {right:?}"
        );
    }

    fn equal(left: &[&str], right: &[&str], clauses: &[&str]) {
        let (relation, found) = compare(left, right);
        assert_eq!(relation, Relation::Equal, "{left:?} {right:?}");
        let expected: BTreeSet<_> = clauses.iter().copied().collect();
        assert_eq!(BTreeSet::from_iter(found), expected, "{left:?} {right:?}");
    }

    fn different(left: &[&str], right: &[&str]) {
        assert_eq!(
            compare(left, right).0,
            Relation::Different,
            "{left:?} {right:?}"
        );
    }

    #[test]
    fn names_and_white_space() {
        identical(&["Subject: a"], &["Subject: a"]);
        equal(&["Subject: a"], &["subject: a"], &[FIELD]);
        equal(&["Subject: a"], &["s: a"], &[COMPACT]);
        equal(&["Subject: a"], &["S:a"], &[FIELD, COMPACT]);
        equal(&["Subject: a"], &["Subject : a"], &[FIELD]);
        equal(&["Subject: a"], &["Subject:a  "], &[FIELD]);
        equal(&["Subject: a b"], &["Subject: a\r\n  b"], &[FIELD]);
        equal(&["Subject: a b"], &["Subject: a  b"], &[LWS]);
        equal(&["X-Any: a b"], &["x-any: a\tb"], &[FIELD, LWS]);
        different(&["Subject: a"], &["Subject: A"]);
        different(&["Subject: a, b"], &["Subject: a", "Subject: b"]);
        different(&["Subject: \u{e9}"], &["Subject: ?"]);
        different(&["Subject: a"], &["Subject:"]);
    }

    #[test]
    fn comma_lists() {
        equal(
            &["Route: <sip:a>, <sip:b>"],
            &["Route: <sip:a>", "Route: <sip:b>"],
            &[FIELD],
        );
        equal(&["X-Any: a", "X-Any: b"], &["X-Any: a,b"], &[FIELD]);
        equal(&["X-Any: a, b"], &["X-Any: a ,b"], &[LWS]);
        equal(&["X-Any: a,b"], &["X-Any: a, b"], &[LWS]);
        equal(
            &["v: SIP/2.0/UDP a, SIP/2.0/UDP b"],
            &["Via: SIP/2.0/UDP a", "Via: SIP/2.0/UDP b"],
            &[FIELD, COMPACT],
        );
        different(&["X-Any: a", "X-Any: b"], &["X-Any: b", "X-Any: a"]);
        different(&["X-Any: a", "X-Any: a"], &["X-Any: a"]);
        different(&["X-Any: a,"], &["X-Any: a"]);
        different(&["X-Any: \"a,b\""], &["X-Any: \"a", "X-Any: b\""]);
        different(
            &["Date: Sat, 13 Nov 2010 23:29:00 GMT"],
            &["Date: Sat", "Date: 13 Nov 2010 23:29:00 GMT"],
        );
        // RFC 3261 §7.3.1: these must not be joined.
        different(
            &["WWW-Authenticate: A b=c", "WWW-Authenticate: D e=f"],
            &["WWW-Authenticate: A b=c, D e=f"],
        );
    }

    #[test]
    fn addresses() {
        let from = "From: \"Bob\" <sip:bob@example.org>;tag=1;x=2";
        equal(
            &[from],
            &["From: Bob <sip:bob@example.org>;tag=1;x=2"],
            &[ADDRESS_FORM],
        );
        equal(
            &[from],
            &["f: \"B\\ob\" <sip:bob@example.org> ;X=2; Tag=1"],
            &[ADDRESS_FORM, COMPACT],
        );
        equal(
            &[from],
            &["From: \"Bob\" <sip:b%6fb@EXAMPLE.org>;tag=1;x=2"],
            &[URI],
        );
        equal(
            &["To: sip:a@b;tag=1"],
            &["To: <sip:a@b>;tag=1"],
            &["RFC 3261 §20.39"],
        );
        equal(
            &["Contact: <tel:+1-2>"],
            &["m: <tel:+12>"],
            &[COMPACT, "RFC 3966 §4"],
        );
        equal(
            &["Contact: <IM:a@b>"],
            &["Contact: <im:a@b>"],
            &["RFC 3986 §6.2.2.1"],
        );
        equal(
            &["Contact: <sip:a@b>, \"c, d\" <sip:c@d>"],
            &["Contact: sip:a@b", "Contact: \"c, d\"<sip:c@d>"],
            &[FIELD, "RFC 3261 §20.10"],
        );
        different(&[from], &["From: \"bob\" <sip:bob@example.org>;tag=1;x=2"]);
        different(&[from], &["From: <sip:bob@example.org>;tag=1;x=2"]);
        different(&[from], &["From: \"Bob\" <sip:bob@example.org>;tag=1"]);
        different(
            &[from],
            &["From: \"Bob\" <sip:bob@example.org>;tag=1;x=\"2\""],
        );
        different(&[from], &["From: \"Bob\" <sip:Bob@example.org>;tag=1;x=2"]);
        different(&["To: <sip:a@b;x>"], &["To: sip:a@b;x"]);
        different(&["To: \"a <sip:a@b>"], &["To: \"a <sip:a@B>"]);
        different(&["Contact: *"], &["Contact: <sip:a@b>"]);
    }

    #[test]
    fn other_rules() {
        equal(
            &["Via: SIP/2.0/UDP Host;branch=z9hG4bKx;rport"],
            &["Via: sip / 2.0 / udp host ; rport;branch=Z9HG4BKX"],
            &["RFC 3261 §20.42"],
        );
        different(&["Via: SIP/2.0/UDP h"], &["Via: SIP/2.0/UDP h:5060"]);
        different(&["Via: SIP/2.0/UDP h"], &["Via: SIP/2.0/UDP h;rport"]);
        equal(
            &["CSeq: 1 MESSAGE"],
            &["CSeq: 001  MESSAGE"],
            &["RFC 3261 §20.16"],
        );
        different(&["CSeq: 1 MESSAGE"], &["CSeq: 1 message"]);
        equal(&["Expires: 5"], &["Expires: 0005"], &[LWS]);
        equal(
            &["Max-Forwards: 99999999999999999999999"],
            &["Max-Forwards: 099999999999999999999999"],
            &[LWS],
        );
        different(
            &["Max-Forwards: 99999999999999999999998"],
            &["Max-Forwards: 99999999999999999999999"],
        );
        different(&["Expires: 5"], &["Expires: +5"]);
        different(&["Expires: 0"], &["Expires: "]);
        let media = "Content-Type: text/plain;charset=UTF-8;x=\"a\"";
        equal(
            &[media],
            &["c: TEXT/Plain; X=a; charset=utf-8"],
            &["RFC 2045 §5.1", "RFC 2046 §4.1.2", COMPACT],
        );
        different(&[media], &["Content-Type: text/plain;charset=UTF-8;x=A"]);
        different(&[media], &["Content-Type: text/plain;charset=UTF-8"]);
        equal(
            &["Supported: Path, 100rel"],
            &["k: path,100REL"],
            &[FIELD, COMPACT],
        );
        different(&["Allow: INVITE"], &["Allow: invite"]);
        different(&["Call-ID: a"], &["Call-ID: A"]);
        different(&["X-Any: a"], &["X-Any: A"]);
        equal(
            &["Authorization: Digest realm=\"a\", nc=00000001"],
            &["Authorization: digest NC=00000001,realm=\"a\""],
            &[FIELD],
        );
        different(
            &["Authorization: Digest realm=\"a\""],
            &["Authorization: Digest realm=\"A\""],
        );
        different(
            &["Date: Sat, 13 Nov 2010 23:29:00 GMT"],
            &["Date: Sat, 13 Nov 2010 23:29:01 GMT"],
        );
    }

    #[test]
    fn whole_messages_in_order_of_appearance() {
        let left =
            Message::parse("SIP/2.0 200 OK\r\nX: 1\r\nv: a\r\nx: 2\r\nTo: b\r\n\r\n").unwrap();
        let right =
            Message::parse("SIP/2.0 200 OK\r\nNew: 1\r\nX: 1\r\nVia: a\r\nX: 2\r\n\r\n").unwrap();
        let found = headers(&left, &right);
        let summary: Vec<_> = found
            .iter()
            .map(|c| (c.name.as_str(), c.relation))
            .collect();
        assert_eq!(
            summary,
            [
                ("Session-Expires", Relation::Equal),
                ("Via", Relation::Equal),
                ("To", Relation::Different),
                ("New", Relation::Different),
            ]
        );
        assert_eq!(found[0].left, [b"X: 1".to_vec(), b"x: 2".to_vec()]);
        assert_eq!(found[3].left, Vec::<Vec<u8>>::new());
        assert_eq!(found[3].right, [b"New: 1".to_vec()]);
        assert!(
            headers(&left, &left)
                .iter()
                .all(|c| c.relation == Relation::Identical)
        );
    }

    #[test]
    fn lists_of_pairs() {
        let stored: &[(&str, &[u8])] = &[("From", b"<sip:a@b>"), ("s", b"Dinner"), ("X", b"1")];
        let sent: &[(&str, &[u8])] = &[("Subject", b" Dinner"), ("X", b" 2")];
        let subject = header("subject", sent, stored);
        assert_eq!(
            (subject.name.as_str(), subject.relation),
            ("Subject", Relation::Equal)
        );
        assert_eq!(subject.clauses, [COMPACT]);
        assert_eq!(
            (&subject.left[0][..], &subject.right[0][..]),
            (&b"Subject: Dinner"[..], &b"s: Dinner"[..])
        );
        assert_eq!(header("s", stored, stored).relation, Relation::Identical);
        assert_eq!(header("x-no", sent, stored).relation, Relation::Identical);
        assert_eq!(header("From", sent, stored).relation, Relation::Different);
        assert_eq!(header("from", stored, sent).name, "From");
        let raw: &[(&str, &[u8])] = &[("X", b"\t2")];
        assert_eq!(header("X", sent, raw).relation, Relation::Identical);
    }

    #[test]
    fn info_headers_are_addresses_with_parameters() {
        let compact =
            ["Call-Info: <http://example.com/a.jpg>;purpose=icon, <http://example.com/b>"];
        let spaced = [
            "Call-Info: <http://example.com/a.jpg> ; purpose=icon",
            "Call-Info: <http://example.com/b>",
        ];
        assert_eq!(compare(&compact, &spaced).0, Relation::Equal);
        let other = ["Call-Info: <http://example.com/a.jpg>;purpose=card, <http://example.com/b>"];
        assert_eq!(compare(&compact, &other).0, Relation::Different);
    }
}
