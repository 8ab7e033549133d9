//! The border of SIP: answers that are not those of the request, or that promise what is not there.

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_wire::sip::Message;

use crate::fault::Fault;
use crate::rewrite::{self, Becomes};
use crate::transport::{another_each_time, answering, is_to, responding};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "answers-nearest-hop-alone",
        "F-220",
        &["RFC3261-8.2.6.2"],
        "Of several Via fields the first one is in the response.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            let first = response.header("Via")?.offset();
            Some(rewrite::fields(response, |field| {
                Becomes::gone_if(field.is("Via") && field.offset() != first)
            }))
        })
    }),
    Fault::new(
        "answers-cseq-of-31-bits",
        "F-221",
        &["RFC3261-8.2.6.2"],
        "The CSeq of a response has 31 bits of that of its request.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            let cseq = rewrite::text(response, "CSeq")?;
            let (number, method) = cseq.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            (number >= 1 << 31).then(|| {
                let cut = number % (1 << 31);
                rewrite::with_field(response, "CSeq", format!("{cut} {method}"))
            })
        })
    }),
    Fault::new(
        "answers-one-medium",
        "F-222",
        &["RFC3264-6"],
        "An answer has a line for the message session alone, whatever else was offered.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            let body = String::from_utf8_lossy(response.body()).into_owned();
            let mut is_kept = true;
            let kept: Vec<&str> = body
                .lines()
                .filter(|line| {
                    if let Some(medium) = line.strip_prefix("m=") {
                        is_kept = medium.split(' ').nth(1) != Some("0");
                    }
                    is_kept
                })
                .collect();
            (response.status() == Some(200) && is_to(response, "INVITE") && !body.is_empty())
                .then(|| rewrite::body(response, format!("{}\r\n", kept.join("\r\n")).as_bytes()))
        })
    }),
    Fault::new(
        "opens-without-medium",
        "F-223",
        &["RFC4975-8.6-closed"],
        "An offer of nothing through which a message could come is answered as if it were one.",
    )
    .seed(|parts| opening(parts, 488)),
    Fault::new(
        "opens-for-any-body",
        "F-224",
        &["DM-DRV-08"],
        "An INVITE whose body is no session description is accepted.",
    )
    .seed(|parts| opening(parts, 415)),
    Fault::new(
        "opens-for-nobody",
        "F-225",
        &["DM-DRV-08"],
        "An INVITE for a user that there is not is accepted.",
    )
    .seed(|parts| opening(parts, 404)),
    Fault::new(
        "short-session-ids",
        "F-283",
        &["RFC4975-14.1"],
        "The session id in the path of an answer has six characters.",
    )
    .seed(|parts| {
        answering(parts, |line| {
            let id = line
                .strip_prefix("a=path:")
                .and_then(|path| path.rsplit_once('/'))
                .and_then(|(_, id)| id.split_once(';'));
            match id.and_then(|(id, _)| Some((id, id.get(..6)?))) {
                Some((id, short)) => line.replace(id, short),
                None => line.to_owned(),
            }
        })
    }),
    Fault::new(
        "answer-without-contact",
        "F-285",
        &["RFC3261-12.2.1.1"],
        "The 200 to an INVITE has no Contact.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(200) && is_to(response, "INVITE"))
                .then(|| rewrite::without(response, &["Contact"]))
        })
    }),
    Fault::new(
        "unknown-bye-accepted",
        "F-226",
        &["RFC3261-15.1.2"],
        "A BYE for a session that there is not is answered with 200.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(481) && is_to(response, "BYE"))
                .then(|| rewrite::start_line(response, "SIP/2.0 200 OK"))
        })
    }),
    Fault::new(
        "copied-invite-opens-another",
        "F-227",
        &["RFC3261-17.2.1"],
        "An INVITE that comes again opens a second session, with a tag of its own.",
    )
    .seed(|parts| another_each_time(parts, "INVITE", &["Via"])),
];

/// Answers with a session that there is not where an INVITE is to be refused with that status.
fn opening(parts: Parts, refused: u16) -> Parts {
    responding(parts, move |response| {
        (response.status() == Some(refused) && is_to(response, "INVITE")).then(|| opened(response))
    })
}

fn opened(response: &Message) -> Bytes {
    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
        m=message 2855 TCP/MSRP *\r\na=accept-types:*\r\na=setup:passive\r\na=recvonly\r\n\
        a=path:msrp://127.0.0.1:2855/nowhere12345678901234;tcp\r\n";
    let line = rewrite::start_line(response, "SIP/2.0 200 OK");
    let fields = [
        ("Contact", "<sip:nobody@127.0.0.1:9>"),
        ("Content-Type", "application/sdp"),
    ];
    let headed = fields.iter().fold(line, |octets, (name, value)| {
        rewrite::message(&octets, |message| rewrite::with_field(message, name, value))
    });
    rewrite::message(&headed, |message| rewrite::body(message, ANSWER.as_bytes()))
}
