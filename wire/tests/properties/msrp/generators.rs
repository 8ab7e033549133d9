//! Frames as strategies.

use bytes::Bytes;
use imspec_wire::msrp::{Builder, Flag};
use proptest::prelude::*;

pub(crate) fn flag() -> impl Strategy<Value = Flag> {
    prop::sample::select(vec![Flag::Complete, Flag::More, Flag::Abort])
}

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z0-9][A-Za-z0-9.+%=-]{3,12}",
        1 => prop::sample::select(vec!["-".to_owned(), "-------".to_owned(), "a$".to_owned()]),
    ]
}

/// Bodies that are fond of what ends them. `ID` stands for the id of the frame.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        3 => prop::sample::select(vec![
            "\r\n", "\n", "\r", "-", "-------", "\r\n-------", "\r\n-------ID", "\r\n-------ID\r\n",
            "\r\n-------ID$", "\r\n-------ID$ \r\n", "-------ID?\r\n", "\r\n-------IX$\r\n", "$",
            "+\r\n", "MSRP ID SEND\r\n", "x-------ID$\r\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
}

fn header() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("To-Path: msrp://b.example:2855/t;tcp".to_owned()),
        Just("From-Path: msrp://r.example:1;tcp msrps://a.example:2855/f;tcp".to_owned()),
        "Message-ID: [a-z0-9]{4,8}",
        "Byte-Range: [0-9]{1,3}-([0-9]{1,3}|\\*)/([0-9]{1,3}|\\*)",
        "(Success|failure)-Report: (yes|no|partial)",
        "Status: 000 [0-9]{3}( [a-z ]{0,5})?",
        "Content-Type: text/plain(;charset=utf-8)?",
        "(Expires|Use-Path|X-[a-z]{1,5}) ?:[ -~]{0,20}",
    ]
}

/// The body with the id put in. Where that would end the frame early it loses all that could be a
/// flag, so that what is built is one frame.
fn without_end(body: &[u8], id: &str) -> Vec<u8> {
    let mut body = replace(body, b"ID", id.as_bytes());
    let from_line_start = [b"\n", &body[..]].concat();
    let ends = ["$", "+", "#"].iter().any(|flag| {
        ["\r\n", "\n"].iter().any(|line_end| {
            let line = format!("\n-------{id}{flag}{line_end}");
            from_line_start
                .windows(line.len())
                .any(|part| part == line.as_bytes())
                || format!("{}\r\n", String::from_utf8_lossy(&from_line_start)).contains(&line)
        })
    });
    if ends {
        body.retain(|octet| !b"$+#".contains(octet));
    }
    body
}

fn replace(octets: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::new();
    let mut rest = octets;
    while let Some((first, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            replaced.extend_from_slice(to);
            rest = after;
        } else {
            replaced.push(*first);
            rest = after;
        }
    }
    replaced
}

/// A frame that can be read, if not by a strict reader.
pub(crate) fn frame() -> impl Strategy<Value = Vec<u8>> {
    let start = prop_oneof![
        prop::sample::select(vec!["SEND", "REPORT", "AUTH", "NICKNAME", "send"])
            .prop_map(str::to_owned),
        "[0-9]{3}( [ -~]{0,8})?",
    ];
    let headers = prop::collection::vec(header(), 0..6);
    let body = prop::option::of(body());
    let space = prop::sample::select(vec!["", "", "\r\n", "\n\r\n"]);
    (space, start, id(), headers, body, flag()).prop_map(
        |(space, start, id, headers, body, flag)| {
            let line = format!("{space}MSRP {id} {start}");
            let builder = Builder::start_line(line, &id).flag(flag);
            let builder = headers.iter().fold(builder, Builder::header_line);
            match body {
                Some(body) => builder.body(without_end(&body, &id)).octets().to_vec(),
                None => builder.octets().to_vec(),
            }
        },
    )
}

#[test]
fn covers_what_it_should() {
    use imspec_wire::msrp::{Frame, Limits};
    use proptest::strategy::ValueTree;
    // A generator that never makes look-alikes of end lines would prove less than it seems to.
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = [false; 7];
    for _ in 0..500 {
        let octets = frame().new_tree(&mut runner).unwrap().current();
        let frame = Frame::parse(octets, &Limits::default()).unwrap();
        let body = frame.body();
        let own = format!("\n-------{}", frame.transaction_id());
        let has = |text: &[u8]| {
            let windows = body.as_deref().map(|body| body.windows(text.len()));
            windows.is_some_and(|mut windows| windows.any(|part| part == text))
        };
        seen[0] |= body.is_none();
        seen[1] |= body.as_ref().is_some_and(Bytes::is_empty);
        seen[2] |= has(own.as_bytes());
        seen[3] |= has(format!("-------{}$\r\n", frame.transaction_id()).as_bytes());
        seen[4] |= body.as_ref().is_some_and(|body| body.ends_with(b"\r\n"));
        seen[5] |= body.is_some_and(|body| std::str::from_utf8(&body).is_err());
        seen[6] |= frame.status().is_some();
    }
    assert_eq!(seen, [true; 7]);
}
