//! The border of SIP: what is valid is refused or misread, and what names nobody finds somebody.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::transport::{Gate, Incoming};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::Uri;

use crate::fault::Fault;
use crate::rewrite;
use crate::store::{Memory, request_of, writing};
use crate::transport::admitting;

/// Octets of a user part that are read by `cuts-long-users`.
const ROOM: usize = 64;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "refuses-unknown-invite-headers",
        "F-210",
        &["RFC3261-25.1"],
        "An INVITE with a header field that the server does not know is refused.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let is_unknown = message
                .headers()
                .any(|field| !KNOWN_FIELDS.iter().any(|name| field.is(name)));
            (message.method() == Some("INVITE") && is_unknown)
                .then(|| rewrite::with_field(message, "Require", "nothing-unknown"))
        })
    }),
    Fault::new(
        "refuses-unknown-attributes",
        "F-211",
        &["RFC8866-6"],
        "An offer with an attribute that the server does not know is refused.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let body = String::from_utf8_lossy(message.body()).into_owned();
            let attributes = body.lines().filter_map(|line| line.strip_prefix("a="));
            let is_unknown = |attribute: &str| {
                let name = attribute.split(':').next().unwrap_or_default().trim();
                !KNOWN_ATTRIBUTES.contains(&name)
            };
            let is_refused = message.method() == Some("INVITE") && attributes.into_iter().any(is_unknown);
            is_refused.then(|| {
                rewrite::body(message, body.replace("m=message", "m=x-message").as_bytes())
            })
        })
    }),
    Fault::new(
        "cuts-long-users",
        "F-212",
        &["DM-ACCT-01"],
        "Of a user part the first 64 octets are read.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            addressed(message, |user| Some(user.get(..ROOM)?.to_owned()))
        })
    }),
    Fault::new(
        "users-are-numbers",
        "F-340",
        &["DM-ACCT-01"],
        "A message for a user part of digits that begins with a zero is for the one without it.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            addressed(message, |user| {
                let rest = user.strip_prefix('0')?;
                rest.bytes().all(|octet| octet.is_ascii_digit()).then(|| rest.to_owned())
            })
        })
    }),
    Fault::new(
        "users-are-file-names",
        "F-341",
        &["DM-ACCT-01"],
        "Signs of a user part that a file name would not have are read as underscores.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            addressed(message, |user| {
                Some(user.replace(|sign| "/!'$&~".contains(sign), "_"))
            })
        })
    }),
    Fault::new(
        "semicolon-ends-users",
        "F-214",
        &["DM-ACCT-01", "RFC3261-19.1.4"],
        "A user part is read up to its first semicolon, escaped or not.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            addressed(message, |user| {
                let plain = user.replace("%3b", ";").replace("%3B", ";");
                Some(plain.split_once(';')?.0.to_owned())
            })
        })
    }),
    Fault::new(
        "nobody-is-to",
        "F-213",
        &["DM-ACCT-01"],
        "A MESSAGE whose Request-URI names no user is for the user in its To.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = std::str::from_utf8(message.request_uri()?).ok()?;
            let rest = uri.strip_prefix("sip:")?;
            let user = rest.split_once('@').map_or("", |(user, _)| user);
            let name = user.split(':').next().unwrap_or_default();
            let to = rewrite::account_in(message, "To")?;
            (message.method() == Some("MESSAGE") && matches!(name, "" | "%00"))
                .then(|| rewrite::request_uri(message, to))
        })
    }),
    Fault::new(
        "unreadable-hosts-are-ours",
        "F-215",
        &["RFC5118-4", "DM-DRV-08"],
        "A MESSAGE for a host that cannot be read is for the user of that name here.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = message.request_uri()?;
            let (user, _) = std::str::from_utf8(uri).ok()?.split_once('@')?;
            (message.method() == Some("MESSAGE") && Uri::parse(uri).is_err())
                .then(|| rewrite::request_uri(message, format!("{user}@example.org")))
        })
    }),
    Fault::new(
        "contact-parameters-in-uri",
        "F-216",
        &["RFC3261-10.3-contact"],
        "Parameters of a Contact without angle brackets are taken for those of its URI.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let contact = rewrite::text(message, "Contact")?;
            let is_bare = contact.starts_with("sip:") && contact.contains(';');
            (message.method() == Some("REGISTER") && is_bare)
                .then(|| rewrite::with_field(message, "Contact", format!("<{contact}>")))
        })
    }),
    Fault::new(
        "lifetime-overflows",
        "F-217",
        &["RFC3261-20.19", "DM-DRV-01"],
        "A registration for 2^31 seconds and more is over at once.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let expires = rewrite::text(message, "Expires")?;
            let is_number = !expires.is_empty() && expires.bytes().all(|c| c.is_ascii_digit());
            let is_too_much = expires.parse::<i32>().is_err();
            (message.method() == Some("REGISTER") && is_number && is_too_much)
                .then(|| rewrite::with_field(message, "Expires", "0"))
        })
    }),
    Fault::new(
        "one-removal-removes-all",
        "F-288",
        &["RFC3261-10.3-removal"],
        "Who removes the binding of one device loses those of all.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let contact = rewrite::text(message, "Contact")?;
            let expires = rewrite::text(message, "Expires");
            let is_removal = contact.contains("expires=0")
                || expires.is_some_and(|expires| expires.trim() == "0");
            (message.method() == Some("REGISTER") && is_removal).then(|| {
                let all = rewrite::with_field(message, "Contact", "*");
                rewrite::message(&all, |all| rewrite::with_field(all, "Expires", "0"))
            })
        })
    }),
    Fault::new(
        "in-dialog-messages-lost",
        "F-218",
        &["DM-DRV-08", "DM-STORE-01"],
        "A MESSAGE that claims to belong to a dialog is accepted and lost.",
    )
    .seed(|parts| {
        let inside = Arc::new(Memory::<HashSet<String>>::default());
        let known = Arc::clone(&inside);
        let parts = writing(parts, move |message| {
            let call = rewrite::text(&request_of(&message)?, "Call-ID")?;
            (!known.get().contains(&call)).then_some(message)
        });
        admitting(parts, move |message| {
            let to = rewrite::text(message, "To")?;
            let (party, _) = to.split_once(";tag=")?;
            if message.method() != Some("MESSAGE") {
                return None;
            }
            inside.get().insert(rewrite::text(message, "Call-ID")?);
            Some(rewrite::with_field(message, "To", party))
        })
    }),
    Fault::new(
        "refuses-cema",
        "F-281",
        &["RFC6714-4.3"],
        "An offer with msrp-cema is refused, also where its path and address agree.",
    )
    .seed(|parts| refusing_offers(parts, |line| line == "a=msrp-cema")),
    Fault::new(
        "refuses-connection-attribute",
        "F-282",
        &["RFC6135-4.4"],
        "An offer with a=connection is refused.",
    )
    .seed(|parts| refusing_offers(parts, |line| line.starts_with("a=connection:"))),
    Fault::new(
        "offered-types-by-letter",
        "F-278",
        &["RFC4975-8.6-types"],
        "An offer whose accept-types names no type by itself, without parameters, is refused.",
    )
    .seed(|parts| {
        refusing_offers(parts, |line| plain_types(line).ends_with(NOTHING))
    }),
    Fault::new(
        "refuses-the-last-hop",
        "F-287",
        &["RFC3261-16.3-hops"],
        "A MESSAGE whose hops are used up is refused, though it goes no further.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let hops = rewrite::text(message, "Max-Forwards")?;
            (message.method() == Some("MESSAGE") && hops.trim() == "0")
                .then(|| rewrite::with_field(message, "Require", "more-hops"))
        })
    }),
    Fault::new(
        "empty-lines-are-no-message",
        "F-284",
        &["RFC3261-7.5"],
        "A message with empty lines before it is dropped.",
    )
    .seed(|parts| Parts {
        gate: Arc::new(FromFirstOctet(Arc::clone(&parts.gate))),
        ..parts
    }),
    Fault::new(
        "accept-types-by-letter",
        "F-219",
        &["RFC4975-8.6-types", "DM-DRV-01"],
        "Of the types that a recipient takes, wildcards and those with parameters are not understood.",
    )
    .seed(|parts| Parts {
        gate: Arc::new(ByLetter(Arc::clone(&parts.gate))),
        ..parts
    }),
];

/// Header fields that a server may know.
const KNOWN_FIELDS: &[&str] = &[
    "Accept",
    "Allow",
    "Call-ID",
    "Contact",
    "Content-Disposition",
    "Content-Length",
    "Content-Type",
    "CSeq",
    "Date",
    "Expires",
    "From",
    "Max-Forwards",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Privacy",
    "Record-Route",
    "Route",
    "Session-Expires",
    "Subject",
    "Supported",
    "To",
    "User-Agent",
    "Via",
];

/// Attributes that a server of message sessions needs.
const KNOWN_ATTRIBUTES: &[&str] = &[
    "accept-types",
    "accept-wrapped-types",
    "connection",
    "fingerprint",
    "inactive",
    "max-size",
    "msrp-cema",
    "path",
    "recvonly",
    "sendonly",
    "sendrecv",
    "setup",
];

/// The request with another user part in its Request-URI.
fn addressed(message: &Message, change: impl Fn(&str) -> Option<String>) -> Option<Bytes> {
    let uri = std::str::from_utf8(message.request_uri()?).ok()?;
    let (user, rest) = uri.strip_prefix("sip:")?.split_once('@')?;
    let other = change(user)?;
    (other != user).then(|| rewrite::request_uri(message, format!("sip:{other}@{rest}")))
}

/// Refuses offers that have such a line.
fn refusing_offers(parts: Parts, is_odd: fn(&str) -> bool) -> Parts {
    admitting(parts, move |message| {
        let body = String::from_utf8_lossy(message.body()).into_owned();
        (message.method() == Some("INVITE") && body.lines().any(is_odd))
            .then(|| rewrite::body(message, body.replace("m=message", "m=x-message").as_bytes()))
    })
}

/// Takes what begins with an empty line for nothing.
struct FromFirstOctet(Arc<dyn Gate>);

impl Gate for FromFirstOctet {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let is_empty = incoming.message.octets().starts_with(b"\r\n");
        if is_empty {
            return None;
        }
        self.0.admit(incoming)
    }
}

/// A type that nobody has.
const NOTHING: &str = "application/x-nothing";

/// Reads of accept-types what names one type alone.
struct ByLetter(Arc<dyn Gate>);

impl Gate for ByLetter {
    fn admit(&self, mut incoming: Incoming) -> Option<Incoming> {
        let body = String::from_utf8_lossy(incoming.message.body()).into_owned();
        if incoming.message.status() == Some(200) && body.contains("a=accept-types:") {
            let lines: Vec<String> = body.lines().map(plain_types).collect();
            let octets = rewrite::body(
                &incoming.message,
                format!("{}\r\n", lines.join("\r\n")).as_bytes(),
            );
            incoming.message = rewrite::read(&octets).unwrap_or(incoming.message);
        }
        self.0.admit(incoming)
    }
}

fn plain_types(line: &str) -> String {
    let Some(types) = line.strip_prefix("a=accept-types:") else {
        return line.to_owned();
    };
    let plain: Vec<&str> = types
        .split_ascii_whitespace()
        .filter(|kind| !kind.contains(['*', ';']))
        .collect();
    let left = if plain.is_empty() {
        NOTHING.to_owned()
    } else {
        plain.join(" ")
    };
    format!("a=accept-types:{left}")
}
