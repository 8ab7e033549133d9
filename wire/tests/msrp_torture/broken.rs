//! What cannot be taken, where the fault is found, and that it costs little.

use imspec_wire::msrp::{Decoder, FrameDecoder, Limits, Piece};

use super::{octets, refused};

const HEAD: &str = "MSRP own1d SEND
To-Path: msrp://b.example:2/t;tcp
From-Path: msrp://a.example:1/f;tcp";

/// What no frame can start with, or go on with.
#[test]
fn lines_that_are_none() {
    let lines: Vec<_> = [
        "MSRP/1.0 own1d SEND",
        "Msrp own1d SEND",
        " MSRP own1d SEND",
        "MSRP own1d",
        "MSRP own1d 20x",
        "MSRP own1d 2 00",
        "MSRP own1d SEND MSRP/1.0",
        "MSRP own 1d SEND",
        "SIP/2.0 200 OK",
        &format!("{HEAD}\n folded: 1"),
        &format!("{HEAD}\nNo colon"),
        &format!("{HEAD}\nBad\u{e9}Name: 1"),
        &format!("{HEAD}\n-------0wn1d$"),
        &format!("{HEAD}\n-------own1d!"),
        &format!("{HEAD}\n-------own1d"),
        &format!("{HEAD}\nContent-Type: a/b\n\nhi\n-------0wn1d$"),
        &format!("{HEAD}\n-------own1d$\n{HEAD}"),
    ]
    .iter()
    .map(|lines| {
        let last = lines.lines().last().unwrap_or_default();
        format!("{last}\n    {}", refused(lines))
    })
    .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// Half a chunk and silence: whoever closes the connection knows that a frame was cut.
#[test]
fn half_a_chunk_and_silence() {
    let start = octets(&format!("{HEAD}\nContent-Type: a/b\n\nhalf"));
    for at in 1..start.len() {
        let mut decoder = FrameDecoder::new(Limits::default());
        decoder.push(&start.as_bytes()[..at]);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert!(!decoder.is_between_frames());
        assert_eq!(decoder.buffered(), at);
    }
}

/// A chunk that never ends goes through, piece by piece, and nothing of it stays.
#[test]
fn a_chunk_that_never_ends() {
    let head = octets(&format!("{HEAD}\nContent-Type: a/b")) + "\r\n";
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(head.as_bytes());
    assert!(matches!(decoder.next_piece(), Ok(Some(Piece::Head(_)))));
    let (mut pushed, mut given, mut most) = (0, 0, 0);
    let filler = b"-------own1\r\n-------own1d\r\n".repeat(150);
    for _ in 0..1000 {
        decoder.push(&filler);
        pushed += filler.len();
        while let Some(Piece::Body(octets)) = decoder.next_piece().unwrap() {
            given += octets.len();
        }
        most = most.max(decoder.buffered());
    }
    assert_eq!(given + decoder.buffered(), pushed);
    assert!(most < 20, "{most}");
    // The room for reads is used again and again.
    assert!(decoder.buffer_mut().capacity() <= 4 * filler.len());
    // Who holds whole frames gives up where the limit is.
    let mut whole = FrameDecoder::new(Limits {
        chunk: 10_000,
        ..Limits::default()
    });
    whole.push(head.as_bytes());
    let mut rounds = 0;
    while whole.next_frame().is_ok() {
        whole.push(&filler);
        rounds += 1;
        assert!(rounds < 10);
    }
    assert_eq!(whole.buffered(), 0);
}

/// The end line has another id than the start line: to the octet, the frame goes on.
#[test]
fn an_id_that_changes() {
    let stream = octets(&format!(
        "{HEAD}\nContent-Type: a/b\n\nhi\n-------0wn1d$\nMSRP next1 SEND\n-------next1$"
    ));
    let mut decoder = Decoder::new(Limits::default());
    decoder.push(stream.as_bytes());
    assert!(matches!(decoder.next_piece(), Ok(Some(Piece::Head(_)))));
    let Ok(Some(Piece::Body(body))) = decoder.next_piece() else {
        panic!("no body");
    };
    assert!(body.starts_with(b"hi\r\n-------0wn1d$\r\nMSRP next1"));
    assert_eq!(decoder.next_piece(), Ok(None));
    assert!(!decoder.is_between_frames());
}

/// Ten thousand header fields, one endless line, endless empty lines: refused within the limits.
#[test]
fn heads_without_measure() {
    let feed = |part: &str| {
        let limits = Limits::default();
        let mut decoder = Decoder::new(limits);
        decoder.push(octets(HEAD).as_bytes());
        let mut pushed = 0;
        loop {
            decoder.push(part.as_bytes());
            pushed += part.len();
            assert!(pushed <= 2 * limits.head);
            match decoder.next_piece() {
                Ok(None) => assert!(decoder.buffered() <= limits.head),
                Ok(Some(piece)) => panic!("{piece:?}"),
                Err(error) => {
                    assert_eq!(decoder.buffered(), 0);
                    return error.to_string();
                }
            }
        }
    };
    assert!(feed("X: y\r\n").contains("no more header fields (limit)"));
    assert!(feed("xxxxxxxx").contains("the line to end here (limit)"));
    assert!(feed(&format!("X: {}\r\n", "y".repeat(1000))).contains("the head to end here (limit)"));
    let mut decoder = Decoder::new(Limits::default());
    decoder.push("\r\n".repeat(40_000).as_bytes());
    assert_eq!(
        decoder.next_piece().unwrap_err().expected,
        "the head to end here (limit)"
    );
}
