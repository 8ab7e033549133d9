//! What is stored of a request's head.

use imspec_reference_server::store::Form;
use imspec_wire::sip::typed::{NameAddr, SipDate, list};
use imspec_wire::sip::{Header, Message};

use super::{requests, writing};
use crate::fault::Fault;
use crate::rewrite::{self, Becomes, fields};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "drops-subject",
        "M-001",
        &["DM-STORE-02"],
        "The Subject of a MESSAGE is not stored.",
    )
    .seed(|parts| requests(parts, |request| rewrite::without(request, &["Subject"]))),
    Fault::new(
        "drops-compact-subject",
        "M-002",
        &["DM-STORE-02", "RFC3261-7.3.1"],
        "The Subject of a MESSAGE is not stored where it is written in the compact form `s`.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| {
                Becomes::gone_if(field.name().eq_ignore_ascii_case("s"))
            })
        })
    }),
    Fault::new(
        "drops-unknown-headers",
        "M-003",
        &["DM-STORE-02"],
        "Header fields that the server has no use for are not stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| {
                Becomes::gone_if(!KNOWN.iter().any(|name| field.is(name)))
            })
        })
    }),
    Fault::new(
        "last-of-repeated-headers",
        "M-004",
        &["DM-STORE-02"],
        "Of a header field that stands there several times the last one is stored.",
    )
    .seed(|parts| requests(parts, last_of_repeated)),
    Fault::new(
        "repeated-headers-reversed",
        "F-001",
        &["DM-STORE-02"],
        "Header fields of one name are stored in the opposite order.",
    )
    .seed(|parts| requests(parts, reversed)),
    Fault::new(
        "names-by-letter",
        "F-334",
        &["DM-STORE-02"],
        "Of header fields whose names differ in case only the first one is stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| {
                let mut before = request
                    .headers()
                    .filter(|other| other.offset() < field.offset());
                Becomes::gone_if(before.any(|other| {
                    other.name() != field.name() && other.name().eq_ignore_ascii_case(field.name())
                }))
            })
        })
    }),
    Fault::new(
        "lower-case-senders",
        "F-363",
        &["DM-STORE-02"],
        "The address of the sender is stored in small letters.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::value(request, "From", |from| {
                let tag = b";tag=";
                let end = from.windows(tag.len()).position(|part| part == tag);
                let (address, rest) = from.split_at(end.unwrap_or(from.len()));
                [&address.to_ascii_lowercase(), rest].concat()
            })
        })
    }),
    Fault::new(
        "bare-from",
        "M-006",
        &["DM-STORE-02"],
        "From is stored as a URI alone, without display name and parameters.",
    )
    .stored()
    .seed(|parts| requests(parts, |request| rewrite::value(request, "From", bare))),
    Fault::new(
        "date-of-receipt",
        "M-008",
        &["DM-STORE-02", "DM-STORE-15"],
        "The sender's Date is replaced by the time of receipt.",
    )
    .seed(|parts| {
        writing(parts, |mut message| {
            let now = SipDate {
                unix_seconds: message.received_at.seconds(),
            };
            let date =
                |request: &Message| rewrite::value(request, "Date", |_| now.format().into_bytes());
            match &mut message.form {
                Form::Pager(request) => *request = rewrite::message(request, date),
                Form::Session(record) => record.invite = rewrite::message(&record.invite, date),
            }
            Some(message)
        })
    }),
    Fault::new(
        "drops-expires",
        "M-009",
        &["DM-STORE-02"],
        "Expires is used for the mark and not stored.",
    )
    .seed(|parts| requests(parts, |request| rewrite::without(request, &["Expires"]))),
    Fault::new(
        "one-asserted-identity",
        "M-010",
        &["DM-STORE-02", "DM-STORE-13"],
        "Of two asserted identities the first one is stored, though both are trusted.",
    )
    .stored()
    .configure(|config| config.trust.peers = true)
    .seed(|parts| {
        writing(parts, |mut message| {
            match &mut message.form {
                Form::Pager(request) => *request = rewrite::message(request, one_identity),
                Form::Session(record) => {
                    record.invite = rewrite::message(&record.invite, one_identity);
                }
            }
            Some(message)
        })
    }),
    Fault::new(
        "call-id-of-server",
        "F-007",
        &["DM-STORE-01", "DM-STORE-02"],
        "The record has a Call-ID and a CSeq of the server's own.",
    )
    .stored()
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| {
                if field.is("Call-ID") {
                    Becomes::field("Call-ID", "stored@example.org")
                } else if field.is("CSeq") {
                    Becomes::field("CSeq", "1 MESSAGE")
                } else {
                    Becomes::Same
                }
            })
        })
    }),
    Fault::new(
        "preference-asserted",
        "F-006",
        &["RFC3325-6"],
        "The identity that a sender prefers is stored as an asserted one.",
    )
    .seed(|parts| {
        writing(parts, |mut message| {
            match &mut message.form {
                Form::Pager(request) => *request = rewrite::message(request, preferred),
                Form::Session(record) => {
                    record.invite = rewrite::message(&record.invite, preferred);
                }
            }
            Some(message)
        })
    }),
    Fault::new(
        "cuts-long-headers",
        "M-011",
        &["DM-STORE-02"],
        "Header values are cut after 1024 octets, and the message is accepted all the same.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| match field.value() {
                value if value.len() > 1024 => {
                    Becomes::field(field.name(), value.get(..1024).unwrap_or_default())
                }
                _ => Becomes::Same,
            })
        })
    }),
    Fault::new(
        "cpim-as-text",
        "M-014",
        &["DM-STORE-04"],
        "message/cpim is stored as text/plain.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::value(request, "Content-Type", |value| {
                let lower = value.to_ascii_lowercase();
                if lower.starts_with(b"message/cpim") {
                    b"text/plain".to_vec()
                } else {
                    value.to_vec()
                }
            })
        })
    }),
    Fault::new(
        "drops-charset",
        "M-015",
        &["DM-STORE-04"],
        "The charset parameter of Content-Type is not stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::value(request, "Content-Type", |value| {
                let parameters = value.split(|octet| *octet == b';');
                let kept: Vec<&[u8]> = parameters
                    .filter(|part| {
                        !part
                            .trim_ascii()
                            .to_ascii_lowercase()
                            .starts_with(b"charset")
                    })
                    .collect();
                kept.join(&b';')
            })
        })
    }),
    Fault::new(
        "drops-content-headers",
        "F-002",
        &["DM-STORE-04"],
        "Content-Disposition, -Encoding and -Language are not stored.",
    )
    .seed(|parts| {
        let names = &[
            "Content-Disposition",
            "Content-Encoding",
            "Content-Language",
        ];
        requests(parts, |request| rewrite::without(request, names))
    }),
    Fault::new(
        "splits-subject",
        "M-131",
        &["DM-STORE-02"],
        "Escapes in a Subject are read, so that one can bring header lines of its own.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::value(request, "Subject", unescaped)
        })
    }),
    Fault::new(
        "to-of-request-uri",
        "M-152",
        &["DM-STORE-01", "DM-STORE-02"],
        "To is stored as the Request-URI.",
    )
    .stored()
    .seed(|parts| {
        requests(parts, |request| {
            let uri = request.request_uri().unwrap_or_default();
            rewrite::value(request, "To", |_| [b"<", uri, b">"].concat())
        })
    }),
    Fault::new(
        "canonical-request-uri",
        "F-003",
        &["DM-STORE-05"],
        "The record has the key of the account in place of the Request-URI.",
    )
    .stored()
    .seed(|parts| {
        writing(parts, |message| {
            let key = message.account.clone();
            Some(super::pager(message, |request| {
                rewrite::request_uri(request, key)
            }))
        })
    }),
    Fault::new(
        "request-uri-of-to",
        "F-004",
        &["DM-STORE-05"],
        "The record has the URI of To in place of the Request-URI.",
    )
    .stored()
    .seed(|parts| {
        requests(parts, |request| {
            let to = request
                .header("To")
                .and_then(|to| NameAddr::parse(&to.value()).ok());
            match to {
                Some(to) => rewrite::request_uri(request, to.uri.to_string()),
                None => request.octets().clone(),
            }
        })
    }),
    Fault::new(
        "latin-headers",
        "F-005",
        &["DM-STORE-02"],
        "Octets above 127 in header fields become question marks.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            fields(request, |field| {
                if field.line().is_ascii() {
                    return Becomes::Same;
                }
                let ascii = |octet: &u8| if octet.is_ascii() { *octet } else { b'?' };
                Becomes::Line(field.line().iter().map(ascii).collect())
            })
        })
    }),
];

/// What a server may be content with.
const KNOWN: &[&str] = &[
    "Via",
    "Max-Forwards",
    "Route",
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Date",
    "Expires",
    "Subject",
    "P-Asserted-Identity",
    "Privacy",
    "Content-Type",
    "Content-Length",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Authorization",
    "Proxy-Authorization",
    "Contact",
];

fn same_name(one: &Header<'_>, other: &Header<'_>) -> bool {
    one.is(&other.canonical_name())
}

fn last_of_repeated(request: &Message) -> bytes::Bytes {
    fields(request, |field| {
        let mut later = request
            .headers()
            .filter(|other| other.offset() > field.offset());
        Becomes::gone_if(later.any(|other| same_name(&other, field)))
    })
}

fn reversed(request: &Message) -> bytes::Bytes {
    fields(request, |field| {
        let same: Vec<Header<'_>> = request
            .headers()
            .filter(|other| same_name(other, field))
            .collect();
        let place = same
            .iter()
            .position(|other| other.offset() == field.offset());
        match place.and_then(|place| same.iter().rev().nth(place)) {
            Some(other) if same.len() > 1 && !field.is("Via") => {
                Becomes::Line(other.line().to_vec())
            }
            _ => Becomes::Same,
        }
    })
}

/// An address value with nothing but its URI.
pub(super) fn bare(value: &[u8]) -> Vec<u8> {
    NameAddr::parse(value).map_or_else(
        |_| value.to_vec(),
        |address| format!("<{}>", address.uri).into_bytes(),
    )
}

fn one_identity(request: &Message) -> bytes::Bytes {
    let mut is_first = true;
    fields(request, |field| {
        if !field.is("P-Asserted-Identity") {
            return Becomes::Same;
        }
        if std::mem::replace(&mut is_first, false) {
            Becomes::field("P-Asserted-Identity", list::first(&field.value()).1)
        } else {
            Becomes::Gone
        }
    })
}

fn preferred(request: &Message) -> bytes::Bytes {
    let preference = request
        .header("P-Preferred-Identity")
        .map(|field| field.value().into_owned());
    match preference {
        Some(identity) => rewrite::with_field(request, "P-Asserted-Identity", identity),
        None => request.octets().clone(),
    }
}

/// `%41` and its like read.
fn unescaped(value: &[u8]) -> Vec<u8> {
    let mut read = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((first, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let octet = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match octet {
            Some(octet) if *first == b'%' => {
                read.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                read.push(*first);
                rest = after;
            }
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read() {
        assert_eq!(unescaped(b"a%0d%0aX: y%4"), b"a\r\nX: y%4");
    }
}
