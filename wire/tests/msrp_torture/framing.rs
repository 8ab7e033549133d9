//! Where a frame ends, and where it only seems to.

use imspec_wire::msrp::{Decoder, Flag, FrameDecoder, Limits, Piece};

use super::{body, broken, clauses, frames, octets, one};

const HEAD: &str = "MSRP own1d SEND
To-Path: msrp://b.example:2/t;tcp
From-Path: msrp://a.example:1/f;tcp
Message-ID: mid1";

/// RFC 4975 §7.1: no body, an empty body, and bodies of line ends are four different things.
#[test]
fn the_line_end_before_the_end_line_is_not_body() {
    let with = |lines: &str| {
        let frame = one(&format!("{HEAD}{lines}\n-------own1d$"));
        assert_eq!(broken(&frame), [], "{frame:?}");
        body(&frame)
    };
    assert_eq!(with(""), None);
    assert_eq!(with("\nContent-Type: a/b\n\n").as_deref(), Some(""));
    assert_eq!(with("\nContent-Type: a/b\n\n\n").as_deref(), Some("\r\n"));
    assert_eq!(
        with("\nContent-Type: a/b\n\n\n\n").as_deref(),
        Some("\r\n\r\n")
    );
    assert_eq!(with("\nContent-Type: a/b\n\nx\n").as_deref(), Some("x\r\n"));
    assert_eq!(with("\nContent-Type: a/b\n\n\nx").as_deref(), Some("\r\nx"));
}

/// Only seven hyphens, the frame's own id, a flag and a line end, from the start of a line, end it.
#[test]
fn look_alikes_are_body() {
    for line in [
        "-------",
        "-------own1d",
        "-------own1d?",
        "-------own1d$$",
        "-------own1d$ ",
        "------own1d$",
        "--------own1d$",
        "-------own1D$",
        "-------own1$",
        "-------own1dd$",
        "-------other$",
        "-------other+",
        " -------own1d",
        "MSRP own1d SEND",
        "-------own1d\r$",
    ] {
        for text in [
            line.to_owned(),
            format!("{line}\n{line}"),
            format!("\n{line}\n"),
        ] {
            let frame = one(&format!(
                "{HEAD}\nContent-Type: a/b\n\n{text}\n-------own1d+"
            ));
            assert_eq!(body(&frame).unwrap(), text.replace('\n', "\r\n"));
            assert_eq!(frame.flag(), Flag::More);
            // The sender must not write its end line anywhere in the body (RFC 4975 §7.1).
            let told = text.contains("-------own1d$");
            assert_eq!(!clauses(&frame).is_empty(), told, "{text}");
        }
    }
}

/// A sender must keep its end line out of the body anywhere (RFC 4975 §7.1); in the middle of a
/// line it is told, and does not end the frame.
#[test]
fn an_end_line_within_a_line_is_told() {
    let frame = one(&format!(
        "{HEAD}\nContent-Type: a/b\n\nx-------own1d$\ny\n-------own1d$"
    ));
    assert_eq!(body(&frame).unwrap(), "x-------own1d$\r\ny");
    assert_eq!(clauses(&frame), ["RFC 4975 §7.1"]);
}

/// RFC 4975 §7.1.1: any octets, as they are.
#[test]
fn binary_bodies_stay_as_they_are() {
    let all: Vec<u8> = (0..=u8::MAX).chain((0..=u8::MAX).rev()).collect();
    let head = octets(&format!("{HEAD}\nContent-Type: application/octet-stream"));
    let stream = [head.as_bytes(), b"\r\n", &all, b"\r\n-------own1d$\r\n"].concat();
    let mut decoder = FrameDecoder::new(Limits::default());
    for octet in &stream {
        decoder.push(&[*octet]);
    }
    let frame = decoder.next_frame().unwrap().unwrap();
    assert_eq!(frame.body().unwrap(), all);
    assert_eq!(frame.as_bytes(), &stream);
}

/// Frames that share an id are still two; flags may differ.
#[test]
fn frames_follow_one_another() {
    let twice = frames(&format!("{HEAD}\n-------own1d#\n\n{HEAD}\n-------own1d$"));
    assert_eq!(
        [twice[0].flag(), twice[1].flag()],
        [Flag::Abort, Flag::Complete]
    );
    // Nothing belongs between two frames; what does no harm is told.
    assert_eq!(clauses(&twice[0]), [""; 0]);
    assert_eq!(clauses(&twice[1]), ["RFC 4975 §9"]);
}

/// A frame may be cut at every octet, and each piece is given as soon as it is sure.
#[test]
fn pieces_come_as_soon_as_they_are_sure() {
    let head = octets(&format!("{HEAD}\nContent-Type: a/b")) + "\r\n";
    let mut decoder = Decoder::new(Limits::default());
    let mut given = |octets: &[u8]| {
        decoder.push(octets);
        std::iter::from_fn(|| decoder.next_piece().unwrap())
            .map(|piece| match piece {
                Piece::Head(head) => format!("head {}", head.transaction_id()),
                Piece::Body(octets) => format!("body {:?}", String::from_utf8_lossy(&octets)),
                Piece::End(end) => format!("end {}", end.flag),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(given(&head.as_bytes()[..head.len() - 1]), [""; 0]);
    assert_eq!(given(b"\n"), ["head own1d"]);
    assert_eq!(given(b"a"), ["body \"a\""]);
    assert_eq!(given(b"b\r"), ["body \"b\""]);
    assert_eq!(given(b"\n---"), [""; 0]);
    assert_eq!(given(b"-----"), ["body \"\\r\\n--------\""]);
    assert_eq!(given(b"\r\n-------own1d"), [""; 0]);
    assert_eq!(
        given(b"X\r\n-------own1d+\r"),
        ["body \"\\r\\n-------own1dX\""]
    );
    assert_eq!(given(b"\nMSRP b"), ["end +"]);
    assert_eq!(
        given(b"cde 200\r\n-------bcde$\r\n"),
        ["head bcde", "end $"]
    );
}
