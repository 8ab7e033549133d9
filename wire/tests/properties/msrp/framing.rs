//! A stream is cut into the same frames and pieces however it arrives, and nothing of it is lost.

use bytes::Bytes;
use imspec_wire::msrp::{Decoder, End, Frame, FrameDecoder, Head, Limits, ParseError, Piece};
use proptest::prelude::*;

use super::super::generators::mutated_octets;
use super::generators::frame;
use super::robustness::ask_for_everything;

/// A frame as pieces, its body joined.
#[derive(Debug, PartialEq, Default)]
struct Pieces {
    head: Option<Head>,
    body: Vec<u8>,
    end: Option<End>,
}

impl Pieces {
    fn octets(&self) -> Vec<u8> {
        let head = self.head.as_ref().map(Head::as_bytes).cloned();
        let end = self.end.as_ref().map(|end| end.octets.clone());
        let body = Bytes::from(self.body.clone());
        [head.unwrap_or_default(), body, end.unwrap_or_default()].concat()
    }
}

/// Cuts the octets into frames in both ways, fed in parts of these lengths. The errors are those
/// that ended it.
struct Cut {
    frames: Vec<Frame>,
    frames_error: Option<ParseError>,
    pieces: Vec<Pieces>,
    pieces_error: Option<ParseError>,
}

fn cut(stream: &[u8], lengths: &[usize], limits: Limits) -> Cut {
    let (mut whole, mut streaming) = (FrameDecoder::new(limits), Decoder::new(limits));
    let mut cut = Cut {
        frames: Vec::new(),
        frames_error: None,
        pieces: Vec::new(),
        pieces_error: None,
    };
    let mut lengths = lengths.iter().cycle();
    let mut rest = stream;
    while !rest.is_empty() {
        let length = lengths.next().copied().unwrap_or(1).min(rest.len());
        let (now, later) = rest.split_at(length);
        rest = later;
        whole.push(now);
        loop {
            match whole.next_frame() {
                Ok(Some(frame)) => cut.frames.push(frame),
                Ok(None) => break,
                Err(error) => {
                    cut.frames_error = Some(error);
                    break;
                }
            }
        }
        assert!(whole.buffered() <= limits.head + limits.chunk + now.len() + limits.line);
        streaming.push(now);
        loop {
            match streaming.next_piece() {
                Ok(Some(Piece::Head(head))) => cut.pieces.push(Pieces {
                    head: Some(head),
                    ..Pieces::default()
                }),
                Ok(Some(Piece::Body(octets))) => {
                    assert!(!octets.is_empty());
                    cut.pieces
                        .last_mut()
                        .unwrap()
                        .body
                        .extend_from_slice(&octets);
                }
                Ok(Some(Piece::End(end))) => cut.pieces.last_mut().unwrap().end = Some(end),
                Ok(None) => break,
                Err(error) => {
                    cut.pieces_error = Some(error);
                    break;
                }
            }
        }
        assert!(streaming.buffered() <= limits.head);
    }
    cut
}

proptest! {
    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives(
        frames in prop::collection::vec(frame(), 1..5),
        lengths in prop::collection::vec(1..60_usize, 1..40),
    ) {
        let limits = Limits::default();
        let cut = cut(&frames.concat(), &lengths, limits);
        prop_assert_eq!((&cut.frames_error, &cut.pieces_error), (&None, &None));
        let cut_frames: Vec<_> = cut.frames.iter().map(|f| f.as_bytes().to_vec()).collect();
        prop_assert_eq!(&cut_frames, &frames);
        prop_assert_eq!(cut.pieces.len(), frames.len());
        for (frame, pieces) in cut.frames.iter().zip(&cut.pieces) {
            prop_assert_eq!(&pieces.octets(), frame.as_bytes());
            prop_assert_eq!(pieces.head.as_ref().unwrap(), frame.head());
            prop_assert_eq!(&pieces.body, &frame.body().unwrap_or_default());
            prop_assert_eq!(pieces.end.as_ref().unwrap().flag, frame.flag());
            prop_assert_eq!(&Frame::parse(frame.as_bytes().clone(), &limits).unwrap(), frame);
        }
    }

    #[test]
    fn one_split_or_another_makes_no_difference_to_broken_streams(
        octets in mutated_octets(prop::collection::vec(frame(), 1..4).prop_map(|f| f.concat())),
        lengths in prop::collection::vec(1..60_usize, 1..20),
    ) {
        let limits = Limits { line: 100, headers: 4, head: 200, chunk: 80, ..Limits::default() };
        let (once, parts) = (cut(&octets, &[octets.len()], limits), cut(&octets, &lengths, limits));
        prop_assert_eq!(&once.frames, &parts.frames);
        prop_assert_eq!(&once.pieces, &parts.pieces);
        // What is quoted in an error may have arrived later; where and what is the same.
        let place = |error: Option<ParseError>| error.map(|error| (error.offset, error.expected));
        prop_assert_eq!(place(once.frames_error), place(parts.frames_error));
        prop_assert_eq!(place(once.pieces_error), place(parts.pieces_error));
        let joined: Vec<u8> = once.pieces.iter().flat_map(Pieces::octets).collect();
        prop_assert!(octets.starts_with(&joined));
        for frame in &once.frames {
            ask_for_everything(frame);
        }
    }
}
