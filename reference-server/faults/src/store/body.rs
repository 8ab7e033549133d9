//! What is stored of a MESSAGE's body.

use bytes::Bytes;
use imspec_wire::sip::Message;

use super::requests;
use crate::fault::Fault;
use crate::rewrite;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "trims-body",
        "M-017",
        &["DM-STORE-03"],
        "A line end at the end of a body is not stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::body(
                request,
                request
                    .body()
                    .strip_suffix(b"\r\n")
                    .unwrap_or(request.body()),
            )
        })
    }),
    Fault::new(
        "json-written-anew",
        "F-362",
        &["DM-STORE-03"],
        "A body of JSON is read, and written anew.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let read = serde_json::from_slice::<serde_json::Value>(request.body());
            match read {
                Ok(value @ serde_json::Value::Object(_)) => {
                    rewrite::body(request, value.to_string().as_bytes())
                }
                _ => request.octets().clone(),
            }
        })
    }),
    Fault::new(
        "cuts-long-body",
        "F-010",
        &["DM-STORE-01", "DM-STORE-03"],
        "Bodies are cut after 700 octets.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::body(request, request.body().get(..700).unwrap_or(request.body()))
        })
    }),
    Fault::new(
        "body-as-utf8",
        "F-011",
        &["DM-STORE-03"],
        "What is not UTF-8 in a body is replaced when it is stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            rewrite::body(request, String::from_utf8_lossy(request.body()).as_bytes())
        })
    }),
    Fault::new(
        "body-to-nul",
        "F-012",
        &["DM-STORE-01", "DM-STORE-03"],
        "A body is stored up to its first NUL.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let end = request.body().iter().position(|octet| *octet == 0);
            rewrite::body(
                request,
                request
                    .body()
                    .get(..end.unwrap_or(usize::MAX))
                    .unwrap_or(request.body()),
            )
        })
    }),
    Fault::new(
        "first-part-of-several",
        "F-013",
        &["DM-STORE-01", "DM-STORE-03"],
        "Of a body with several parts the last one is not stored.",
    )
    .seed(|parts| requests(parts, without_last_part)),
    Fault::new(
        "bare-line-feeds",
        "F-014",
        &["DM-STORE-03"],
        "A line end in a body becomes a single line feed.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let body = request.body();
            let kept = body
                .iter()
                .enumerate()
                .filter(|(at, octet)| **octet != b'\r' || body.get(at + 1) != Some(&b'\n'));
            rewrite::body(request, &kept.map(|(_, octet)| *octet).collect::<Vec<u8>>())
        })
    }),
    Fault::new(
        "doubles-dots",
        "F-330",
        &["DM-STORE-03"],
        "A dot at the beginning of a line is stored twice, as mail is sent.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let mut kept = Vec::new();
            let mut begins = true;
            for octet in request.body() {
                if begins && *octet == b'.' {
                    kept.push(b'.');
                }
                begins = *octet == b'\n';
                kept.push(*octet);
            }
            rewrite::body(request, &kept)
        })
    }),
    Fault::new(
        "drops-byte-order-mark",
        "F-331",
        &["DM-STORE-03"],
        "A byte order mark before a text is not stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let body = request.body();
            rewrite::body(request, body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
        })
    }),
    Fault::new(
        "doubles-apostrophes",
        "F-332",
        &["DM-STORE-03"],
        "Apostrophes are stored twice, as SQL writes them.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let octets = request.body().iter();
            let doubled = octets.flat_map(|octet| match octet {
                b'\'' => vec![b'\'', b'\''],
                other => vec![*other],
            });
            rewrite::body(request, &doubled.collect::<Vec<u8>>())
        })
    }),
    Fault::new(
        "cuts-signature",
        "F-378",
        &["DM-STORE-03"],
        "A text is stored up to the line of two dashes and a space that begins a signature.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let body = request.body();
            let end = body.windows(7).position(|octets| octets == b"\r\n-- \r\n");
            rewrite::body(request, end.and_then(|end| body.get(..end)).unwrap_or(body))
        })
    }),
    Fault::new(
        "one-octet-is-none",
        "F-379",
        &["DM-STORE-03"],
        "Of a body of one octet nothing is stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let body = request.body();
            rewrite::body(request, if body.len() == 1 { b"" } else { body })
        })
    }),
    Fault::new(
        "length-of-sixteen-bits",
        "F-333",
        &["DM-STORE-03"],
        "Of a body the first 65535 octets are stored.",
    )
    .seed(|parts| {
        requests(parts, |request| {
            let body = request.body();
            rewrite::body(request, body.get(..0xFFFF).unwrap_or(body))
        })
    }),
];

fn without_last_part(request: &Message) -> Bytes {
    let is_several = rewrite::text(request, "Content-Type")
        .is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/"));
    let body = request.body();
    let starts: Vec<usize> = (0..body.len())
        .filter(|at| {
            body.get(*at..)
                .is_some_and(|rest| rest.starts_with(b"\r\n--"))
        })
        .collect();
    match starts.as_slice() {
        // The last delimiter ends the body, the one before it begins the last part.
        [.., before, last] if is_several => {
            let first = body.get(..*before).unwrap_or_default();
            rewrite::body(
                request,
                &[first, body.get(*last..).unwrap_or_default()].concat(),
            )
        }
        _ => request.octets().clone(),
    }
}
