//! MSRP as it is meant, as it is sent, and as it is broken: the examples of RFC 4975 and RFC 4976
//! in words of our own, what endpoints in the field do, and the traps for those who read it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::single_range_in_vec_init,
    reason = "tests"
)]

mod broken;
mod conversations;
mod field;
mod framing;
mod messages;

use imspec_wire::msrp::{Defect, Frame, FrameDecoder, Limits, Obligation, ParseError};

/// The lines of a literal with CRLF line ends, one after the last line too.
fn octets(lines: &str) -> String {
    lines
        .trim_start_matches('\n')
        .trim_end_matches('\n')
        .replace('\n', "\r\n")
        + "\r\n"
}

/// Cuts a literal into frames, at once and octet by octet.
fn frames(lines: &str) -> Vec<Frame> {
    let octets = octets(lines);
    let cut = |length: usize| {
        let mut decoder = FrameDecoder::new(Limits::default());
        let mut frames = Vec::new();
        for part in octets.as_bytes().chunks(length) {
            decoder.push(part);
            while let Some(frame) = decoder
                .next_frame()
                .unwrap_or_else(|error| panic!("{error}"))
            {
                frames.push(frame);
            }
        }
        assert!(decoder.is_between_frames(), "{octets}");
        frames
    };
    let frames = cut(octets.len());
    assert_eq!(frames, cut(1));
    let joined: Vec<_> = frames
        .iter()
        .map(|frame| frame.as_bytes().clone())
        .collect();
    assert_eq!(joined.concat(), octets.as_bytes());
    frames
}

/// The same, of frames that a strict reader takes.
fn strict(lines: &str) -> Vec<Frame> {
    let frames = frames(lines);
    for frame in &frames {
        assert_eq!(broken(frame), [], "{frame:?}");
    }
    frames
}

fn one(lines: &str) -> Frame {
    let mut frames = frames(lines);
    assert_eq!(frames.len(), 1);
    frames.remove(0)
}

fn refused(lines: &str) -> ParseError {
    Frame::parse(octets(lines), &Limits::default()).unwrap_err()
}

/// The binding rules that a frame breaks. Most frames here do without the Byte-Range that they should have.
fn broken(frame: &Frame) -> Vec<Defect> {
    let mut defects = frame.defects();
    defects.retain(|defect| defect.obligation == Obligation::Must);
    defects
}

/// The clauses that a frame breaks.
fn clauses(frame: &Frame) -> Vec<&'static str> {
    broken(frame)
        .into_iter()
        .map(|defect| defect.clause)
        .collect()
}

fn body(frame: &Frame) -> Option<String> {
    frame
        .body()
        .map(|body| String::from_utf8_lossy(&body).into_owned())
}
