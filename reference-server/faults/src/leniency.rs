//! The border of SIP: what is to be refused, dropped or disbelieved, and is not.
//!
//! Each fault mends a request before the server sees what is wrong with it, or breaks one that is right.

use bytes::Bytes;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, TypedHeader as _};

use crate::fault::Fault;
use crate::rewrite::{self, Becomes};
use crate::store::requests;
use crate::transport::{admitting, responding};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "believes-anybody",
        "M-127",
        &["RFC3325-5"],
        "The identity that any user agent asserts is believed.",
    )
    .under("identity.trust: none")
    .seed(|parts| {
        requests(
            admitting(parts, |message| Some(renamed(message, ASSERTED, KEPT))),
            |request| renamed(request, KEPT, ASSERTED),
        )
    }),
    Fault::new(
        "short-body-is-enough",
        "F-190",
        &["RFC3261-18.3-short", "RFC3261-18.3-400"],
        "A datagram that ends before its body does is taken as it is.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            (message.missing_body() > 0).then(|| measured(message, message.body()))
        })
    }),
    Fault::new(
        "surplus-is-body",
        "F-191",
        &["RFC3261-18.3-surplus", "DM-STORE-03"],
        "What follows the body in a datagram belongs to it.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let all = message.octets().get(message.body_range().start..)?;
            (!message.surplus().is_empty()).then(|| measured(message, all))
        })
    }),
    Fault::new(
        "first-length-counts",
        "F-192",
        &["RFC4475-3.3.9"],
        "Of several Content-Length fields the first one counts.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let mut lengths = message.headers_named("Content-Length");
            let first = lengths.next()?.offset();
            lengths.next()?;
            Some(rewrite::fields(message, |field| {
                Becomes::gone_if(field.is("Content-Length") && field.offset() != first)
            }))
        })
    }),
    Fault::new(
        "missing-headers-are-made-up",
        "F-193",
        &["RFC4475-3.3.1"],
        "A MESSAGE without From, To, Call-ID or CSeq gets what it lacks.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let own = [
                ("From", "<sip:anonymous@anonymous.invalid>;tag=1"),
                ("To", "<sip:anonymous@anonymous.invalid>"),
                ("Call-ID", "made-up"),
                ("CSeq", "1 MESSAGE"),
            ];
            let mut octets = message.octets().clone();
            for (name, value) in own
                .iter()
                .filter(|(name, _)| message.header(name).is_none())
            {
                octets =
                    rewrite::message(&octets, |message| rewrite::with_field(message, name, value));
            }
            (message.method() == Some("MESSAGE")).then_some(octets)
        })
    }),
    Fault::new(
        "method-of-cseq-ignored",
        "F-194",
        &["RFC4475-3.1.2.17", "RFC4475-3.1.2.4"],
        "Whatever CSeq says, it is taken for `1 MESSAGE` in a MESSAGE.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let is_right = matches!(
                message.typed::<CSeq>(),
                Some(Ok(cseq)) if cseq.method == "MESSAGE" && cseq.number < 1 << 31
            );
            (message.method() == Some("MESSAGE") && !is_right)
                .then(|| rewrite::value(message, CSeq::NAME, |_| b"1 MESSAGE".to_vec()))
        })
    }),
    Fault::new(
        "requires-nothing",
        "F-195",
        &["RFC3261-8.2.2.3"],
        "Require is not looked at.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            Some(rewrite::without(message, &["Require"]))
        })
    }),
    Fault::new(
        "any-version",
        "F-196",
        &["RFC4475-3.1.2.16"],
        "A request of another version of SIP is taken for one of this.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = message.request_uri()?;
            Some(rewrite::request_uri(message, uri))
        })
    }),
    Fault::new(
        "any-method-is-message",
        "F-197",
        &["RFC3261-8.2.1"],
        "A request of an unknown method is taken for a MESSAGE.",
    )
    .seed(|parts| {
        const KNOWN: &[&str] = &[
            "ACK", "BYE", "CANCEL", "INVITE", "MESSAGE", "OPTIONS", "REGISTER", "UPDATE",
        ];
        admitting(parts, |message| {
            let uri = message.request_uri()?;
            let line = [b"MESSAGE ", uri, b" SIP/2.0"].concat();
            let octets = rewrite::start_line(message, line);
            (!KNOWN.contains(&message.method()?)).then(|| {
                rewrite::message(&octets, |message| {
                    rewrite::value(message, CSeq::NAME, |_| b"1 MESSAGE".to_vec())
                })
            })
        })
    }),
    Fault::new(
        "to-where-the-scheme-is-unknown",
        "F-198",
        &["RFC3261-8.2.2.1", "DM-ACCT-01"],
        "Where the scheme of the Request-URI is unknown, To says whom a MESSAGE is for.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let is_sip = message
                .request_uri()?
                .to_ascii_lowercase()
                .starts_with(b"sip");
            let to = rewrite::account_in(message, "To")?;
            (message.method() == Some("MESSAGE") && !is_sip)
                .then(|| rewrite::request_uri(message, to))
        })
    }),
    Fault::new(
        "sips-as-sip",
        "F-199",
        &["RFC3261-26.2.2"],
        "A message that wants TLS on every hop is taken and delivered without.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = std::str::from_utf8(message.request_uri()?).ok()?;
            let rest = uri.strip_prefix("sips:")?;
            Some(rewrite::request_uri(message, format!("sip:{rest}")))
        })
    }),
    Fault::new(
        "no-length-no-body",
        "F-200",
        &["RFC3261-18.3-none"],
        "A datagram without Content-Length has no body.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let is_without = message.header("Content-Length").is_none();
            (is_without && !message.body().is_empty()).then(|| rewrite::body(message, b""))
        })
    }),
    Fault::new(
        "route-not-recorded",
        "F-203",
        &["RFC3261-12.1.1-route"],
        "The 200 to an INVITE does not repeat its Record-Route.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(200)).then(|| rewrite::without(response, &["Record-Route"]))
        })
    }),
];

const ASSERTED: &str = "P-Asserted-Identity";
/// Under which name an identity passes by those who would not believe it.
const KEPT: &str = "X-Kept-Identity";

fn renamed(message: &Message, from: &str, to: &str) -> Bytes {
    rewrite::fields(message, |field| {
        if field.is(from) {
            Becomes::field(to, field.value())
        } else {
            Becomes::Same
        }
    })
}

/// The message with that body, and its length.
fn measured(message: &Message, body: &[u8]) -> Bytes {
    let head = message
        .octets()
        .get(..message.body_range().start)
        .unwrap_or_default();
    let octets: Bytes = [head, body].concat().into();
    rewrite::message(&octets, |message| {
        rewrite::value(message, "Content-Length", |_| {
            body.len().to_string().into_bytes()
        })
    })
}
