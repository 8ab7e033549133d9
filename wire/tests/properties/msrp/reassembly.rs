//! Messages come together from any chunks in any order, and never from less than all of them.

use std::ops::Range;

use bytes::Bytes;
use imspec_wire::msrp::{
    Builder, ByteRange, Chunker, Coverage, Decoder, Flag, Frame, Limits, Message, Outcome, Piece,
    Reassembly, Refusal, transaction_id,
};
use proptest::prelude::*;

/// How a chunk says what it is.
#[derive(Debug, Clone, Copy)]
struct Claims {
    end: bool,
    total: bool,
}

fn claims() -> impl Strategy<Value = Claims> {
    any::<(bool, bool)>().prop_map(|(end, total)| Claims { end, total })
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => prop::collection::vec(any::<u8>(), 0..200),
        1 => prop::collection::vec(any::<u8>(), 8000..9000),
    ]
}

/// Chunks that cover the content: cut at some places, some of it sent again, in any order.
fn chunks() -> impl Strategy<Value = (Vec<u8>, Vec<(Range<usize>, Claims)>)> {
    let cuts = prop::collection::vec(any::<prop::sample::Index>(), 0..8);
    let again = prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
        0..4,
    );
    (content(), cuts, again, prop::collection::vec(claims(), 13)).prop_flat_map(
        |(content, cuts, again, claims)| {
            let length = content.len();
            let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
            places.extend([0, length]);
            places.sort_unstable();
            let mut ranges: Vec<_> = places.windows(2).map(|pair| pair[0]..pair[1]).collect();
            ranges.extend(again.iter().map(|(a, b)| {
                let (a, b) = (a.index(length + 1), b.index(length + 1));
                a.min(b)..a.max(b)
            }));
            let chunks: Vec<_> = ranges.into_iter().zip(claims).collect();
            (Just(content), Just(chunks).prop_shuffle())
        },
    )
}

/// The SEND request of a chunk; it ends in `$` where it reaches the end of the message.
fn send(message_id: &str, content: &[u8], chunk: &(Range<usize>, Claims), seed: u8) -> Vec<u8> {
    let (range, claims) = chunk;
    let body = &content[range.clone()];
    let is_empty = range.is_empty() && range.end < content.len();
    let byte_range = ByteRange {
        start: range.start as u64 + 1,
        end: claims.end.then_some(range.end as u64),
        total: claims.total.then_some(content.len() as u64),
    };
    let last = range.end == content.len() && !is_empty;
    Builder::request("SEND", transaction_id([seed; 10], body))
        .header("Message-ID", message_id)
        .byte_range(byte_range)
        .header("Content-Type", "application/octet-stream")
        .body(body.to_vec())
        .flag(if last { Flag::Complete } else { Flag::More })
        .octets()
        .to_vec()
}

proptest! {
    #[test]
    fn any_chunks_in_any_order_make_the_message((content, chunks) in chunks()) {
        let mut message = Message::new(&Limits::default());
        let mut completed = 0;
        for chunk in &chunks {
            let octets = send("mid1", &content, chunk, 1);
            let frame = Frame::parse(octets, &Limits::default()).unwrap();
            let before = message.clone();
            match message.frame(&frame).unwrap() {
                Outcome::Complete(total) => {
                    completed += 1;
                    prop_assert_eq!(total, content.len() as u64);
                }
                Outcome::Incomplete => prop_assert_eq!(message.clone().into_content(), None),
                Outcome::Duplicate => prop_assert_eq!(before.into_content(), message.clone().into_content()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert_eq!(completed, 1);
        prop_assert_eq!(message.into_content().unwrap(), content);
    }

    #[test]
    fn two_messages_over_one_stream_do_not_mix(
        first in chunks(),
        second in chunks(),
        order in prop::collection::vec(any::<bool>(), 26),
        lengths in prop::collection::vec(1..300_usize, 1..20),
    ) {
        // The chunks of both, interleaved.
        let (mut a, mut b) = (first.1.iter(), second.1.iter());
        let mut stream = Vec::new();
        for from_first in order.into_iter().chain([true; 13]).chain([false; 13]) {
            let next = if from_first {
                a.next().map(|chunk| send("mid1", &first.0, chunk, 1))
            } else {
                b.next().map(|chunk| send("mid2", &second.0, chunk, 2))
            };
            stream.extend(next.unwrap_or_default());
        }
        let mut messages = [Message::new(&Limits::default()), Message::new(&Limits::default())];
        let mut decoder = Decoder::new(Limits::default());
        let mut open = None;
        let mut rest = &stream[..];
        let mut lengths = lengths.into_iter().cycle();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(lengths.next().unwrap().min(rest.len()));
            rest = later;
            decoder.push(now);
            while let Some(piece) = decoder.next_piece().unwrap() {
                match piece {
                    Piece::Head(head) => {
                        let message = usize::from(head.message_id() == Some("mid2"));
                        let range = head.byte_range().unwrap().unwrap();
                        open = Some((message, messages[message].begin(Some(range)).unwrap()));
                    }
                    Piece::Body(octets) => {
                        let (message, chunk) = open.as_mut().unwrap();
                        messages[*message].take(chunk, &octets).unwrap();
                    }
                    Piece::End(end) => {
                        let (message, chunk) = open.take().unwrap();
                        messages[message].end(&chunk, end.flag);
                    }
                }
            }
        }
        prop_assert!(decoder.is_between_frames());
        let [one, two] = messages.map(Message::into_content);
        prop_assert_eq!(one.unwrap(), first.0);
        prop_assert_eq!(two.unwrap(), second.0);
    }

    /// Leave out a chunk that nothing else covers, and the message never is complete.
    #[test]
    fn nothing_incomplete_ever_passes(content in prop::collection::vec(any::<u8>(), 1..200), size in 1..50_u64, gap in any::<prop::sample::Index>()) {
        let plans: Vec<_> = Chunker::new(content.len() as u64, size).collect();
        let missing = gap.index(plans.len());
        let mut message = Reassembly::new(&Limits::default());
        for (at, plan) in plans.iter().enumerate() {
            if at == missing {
                continue;
            }
            let mut chunk = message.begin(Some(plan.range)).unwrap();
            message.take(&mut chunk, usize::try_from(plan.slice.end - plan.slice.start).unwrap()).unwrap();
            prop_assert_eq!(message.end(&chunk, plan.flag), Outcome::Incomplete);
        }
        prop_assert!(!message.is_complete());
    }

    /// What a chunker plans, a reassembly takes; without defects on the way.
    #[test]
    fn chunks_that_are_planned_are_right(length in 0..10_000_usize, size in 1..5000_u64, from in any::<prop::sample::Index>()) {
        let content: Bytes = (0..=u8::MAX).cycle().take(length).collect();
        let mut message = Message::new(&Limits::default());
        let from = from.index(length + 1) as u64;
        let mut rest = Chunker::new(length as u64, size).resume_at(from);
        if from == length as u64 && length > 0 {
            prop_assert_eq!(rest.next(), None);
            return Ok(());
        }
        // The first part came in chunks of another size.
        let first = Chunker::new(length as u64, size + 1).filter(|plan| plan.slice.start < from);
        let mut last = Outcome::Incomplete;
        for plan in first.chain(rest) {
            let slice = usize::try_from(plan.slice.start).unwrap()..usize::try_from(plan.slice.end).unwrap();
            let body = content.slice(slice);
            let frame = Builder::request("SEND", transaction_id([3; 10], &body))
                .to_path("msrp://b.example:2855/t;tcp")
                .from_path("msrp://a.example:2855/f;tcp")
                .header("Message-ID", "mid1")
                .byte_range(plan.range)
                .header("Content-Type", "text/plain")
                .body(body)
                .flag(plan.flag)
                .build()
                .unwrap();
            prop_assert_eq!(frame.defects(), []);
            last = message.frame(&frame).unwrap();
        }
        prop_assert!(matches!(last, Outcome::Complete(_) | Outcome::Duplicate), "{last:?}");
        prop_assert_eq!(message.into_content().unwrap(), content);
    }

    /// Coverage against the plainest thing that does the same: one flag an octet.
    #[test]
    fn coverage_is_a_set_of_octets(ranges in prop::collection::vec((0..60_u64, 0..20_u64), 0..20)) {
        let mut coverage = Coverage::new(usize::MAX);
        let mut there = [false; 80];
        for (start, length) in ranges {
            let fresh = coverage.insert(start..start + length).unwrap();
            let mut now = there;
            now[usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap()].fill(true);
            let is_fresh = |at: u64| fresh.iter().any(|range| range.contains(&at));
            for at in 0..80 {
                prop_assert_eq!(is_fresh(at as u64), now[at] && !there[at]);
            }
            there = now;
            let prefix = there.iter().position(|there| !there).unwrap_or(80) as u64;
            prop_assert_eq!(coverage.prefix(), prefix);
            prop_assert_eq!(coverage.octets(), there.iter().filter(|there| **there).count() as u64);
            for total in 0..80 {
                let missing = (0..total).find(|at| !there[usize::try_from(*at).unwrap()]);
                prop_assert_eq!(coverage.is_complete(total), missing.is_none());
                prop_assert_eq!(coverage.first_gap(total).map(|gap| gap.start), missing);
            }
            let parts: Vec<_> = coverage.parts().collect();
            prop_assert!(parts.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
    }

    /// Byte-Ranges that lie in every way: no panic, memory by what came, and complete only with all
    /// octets up to an end that was told.
    #[test]
    fn lies_do_no_harm(
        chunks in prop::collection::vec(
            (lying_range(), prop::collection::vec(any::<u8>(), 0..30), super::generators::flag()),
            0..20,
        ),
    ) {
        let limits = Limits { message: 50_000, fragments: 4, ..Limits::default() };
        let mut message = Message::new(&limits);
        let mut received = 0;
        for (range, octets, flag) in chunks {
            let mut chunk = match message.begin(range) {
                Ok(chunk) => chunk,
                Err(refusal) => {
                    prop_assert!(!refusal.to_string().is_empty());
                    continue;
                }
            };
            match message.take(&mut chunk, &octets) {
                Ok(placed) => {
                    prop_assert_eq!(placed.range.end - placed.range.start, octets.len() as u64);
                    received += octets.len();
                }
                Err(Refusal::TooLong { limit, .. }) => {
                    prop_assert_eq!(limit, limits.message);
                    continue;
                }
                Err(Refusal::TooManyFragments(_)) => continue,
            }
            let outcome = message.end(&chunk, flag);
            let reassembly = message.reassembly();
            if let Outcome::Complete(total) = outcome {
                prop_assert!(reassembly.coverage().is_complete(total));
                prop_assert_eq!(reassembly.coverage().end(), total);
                prop_assert_eq!(message.clone().into_content().map(|c| c.len() as u64), Some(total));
            }
            prop_assert!(message.held() <= 2 * received + 2 * 4096 * (limits.fragments + 1));
        }
    }
}

fn lying_range() -> impl Strategy<Value = Option<ByteRange>> {
    let number = prop_oneof![
        4 => 1..60_u64,
        1 => 4090..4100_u64,
        1 => prop::sample::select(vec![0, 49_999, 50_000, 1 << 63, u64::MAX - 1, u64::MAX]),
    ];
    let range = (
        number.clone(),
        prop::option::of(number.clone()),
        prop::option::of(number),
    );
    prop::option::of(range.prop_map(|(start, end, total)| ByteRange { start, end, total }))
}
