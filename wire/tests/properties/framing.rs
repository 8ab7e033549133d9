//! A stream is cut into the same messages however it arrives.

use imspec_wire::sip::{Frame, Limits, Message, StreamDecoder};
use proptest::prelude::*;

use super::generators::{message, mutated};
use super::robustness::ask_for_everything;

proptest! {
    #[test]
    fn a_stream_is_cut_the_same_however_it_arrives(
        messages in prop::collection::vec((message(), any::<bool>()), 1..5),
        cuts in prop::collection::vec(1..200_usize, 1..40),
    ) {
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for (mut written, keep_alive) in messages {
            written.frame();
            if keep_alive {
                stream.extend_from_slice(b"\r\n\r\n");
                expected.push(Frame::KeepAlive);
            }
            let octets = written.octets();
            stream.extend_from_slice(&octets);
            expected.push(Frame::Message(Message::parse(octets).unwrap()));
        }
        let mut decoder = StreamDecoder::new(Limits::default());
        let mut frames = Vec::new();
        let mut cuts = cuts.into_iter().cycle();
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(cuts.next().unwrap().min(rest.len()));
            decoder.push(now);
            rest = later;
            while let Some(frame) = decoder.next_frame().unwrap() {
                if let Frame::Message(message) = &frame {
                    prop_assert_eq!((message.missing_body(), message.surplus()), (0, &b""[..]));
                }
                frames.push(frame);
            }
        }
        prop_assert_eq!(frames, expected);
        prop_assert_eq!(decoder.pending(), 0);
    }

    #[test]
    fn a_broken_stream_stays_within_its_limits(octets in mutated(message()), size in 1..50_usize) {
        let limits = Limits { head: 400, headers: 10, body: 100 };
        let mut decoder = StreamDecoder::new(limits);
        for chunk in octets.chunks(size) {
            decoder.push(chunk);
            let mut broken = false;
            loop {
                match decoder.next_frame() {
                    Ok(Some(Frame::Message(message))) => ask_for_everything(&message),
                    Ok(Some(Frame::KeepAlive)) => {}
                    Ok(None) => break,
                    Err(_) => {
                        broken = true;
                        break;
                    }
                }
            }
            prop_assert!(decoder.pending() <= limits.head + limits.body);
            if broken {
                prop_assert_eq!(decoder.pending(), 0);
                break;
            }
        }
    }
}
