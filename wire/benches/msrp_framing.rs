//! Framing rate of MSRP beside what no framing can beat: `cargo bench -p imspec-wire --bench
//! msrp_framing`.
//!
//! `messages_of_1_kib` is a stream of short messages, `message_of_64_mib` one long message in chunks
//! of 2 KiB, each in reads of 16 KiB as a socket gives them. `copy` copies the same reads into one
//! buffer and looks at nothing, `search` looks for the front of an end line in them. Before the
//! table stand the ratios, and how many octets a decoder held at most while the long message went
//! through.

use std::time::{Duration, Instant};

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use imspec_wire::msrp::{
    Builder, Chunk, Chunker, Decoder, Flag, FrameDecoder, Limits, Outcome, Piece, Reassembly, ident,
};

fn main() {
    ratios();
    divan::main();
}

const READ: usize = 16 * 1024;
const MESSAGES: usize = 1000;
const LONG: u64 = 64 * 1024 * 1024;
const CHUNK: u64 = 2048;

/// Text with line ends and hyphens in it, as messages have.
fn content(length: usize) -> Vec<u8> {
    let line = b"Shall we meet at eight - at the place by the river - as always? -- Alice\r\n";
    line.iter().copied().cycle().take(length).collect()
}

fn send(seed: u64, range: &str, body: Vec<u8>, flag: Flag) -> Vec<u8> {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Builder::request("SEND", ident(random))
        .to_path("msrp://127.0.0.1:28551/x5w2k7qpd3mfz6ta;tcp")
        .from_path("msrp://127.0.0.1:28552/b4n7c2rhy6jgs3ve;tcp")
        .header("Message-ID", "m7q2x5w4k3pd6zta")
        .byte_range(range)
        .header("Content-Type", "text/plain;charset=UTF-8")
        .body(body)
        .flag(flag)
        .octets()
        .to_vec()
}

fn short_messages() -> Vec<u8> {
    let message = |seed| send(seed, "1-1024/1024", content(1024), Flag::Complete);
    (0..MESSAGES as u64).flat_map(message).collect()
}

fn long_message() -> Vec<u8> {
    let chunk = |(seed, plan): (u64, imspec_wire::msrp::Plan)| {
        let length = usize::try_from(plan.slice.end - plan.slice.start).unwrap_or_default();
        send(seed, &plan.range.to_string(), content(length), plan.flag)
    };
    (0..)
        .zip(Chunker::new(LONG, CHUNK))
        .flat_map(chunk)
        .collect()
}

/// Reads the stream to its end and counts what is in it; gives the most octets held between reads.
fn stream(octets: &[u8]) -> (usize, usize) {
    let mut decoder = Decoder::new(Limits::default());
    let (mut frames, mut most) = (0, 0);
    for read in octets.chunks(READ) {
        decoder.push(read);
        while let Ok(Some(piece)) = decoder.next_piece() {
            frames += usize::from(matches!(black_box(piece), Piece::End(_)));
        }
        most = most.max(decoder.buffered());
    }
    (frames, most)
}

/// The same, with a reassembly that keeps account of what is there.
fn stream_and_reassemble(octets: &[u8]) -> Option<Outcome> {
    let mut decoder = Decoder::new(Limits::default());
    let mut message = Reassembly::new(&Limits::default());
    let mut open: Option<Chunk> = None;
    let mut last = None;
    for read in octets.chunks(READ) {
        decoder.push(read);
        while let Ok(Some(piece)) = decoder.next_piece() {
            match piece {
                Piece::Head(head) => {
                    let range = head.byte_range().and_then(Result::ok);
                    open = message.begin(range).ok();
                }
                Piece::Body(body) => {
                    if let Some(chunk) = &mut open {
                        black_box(message.take(chunk, body.len()).ok()?);
                    }
                }
                Piece::End(end) => {
                    last = open.take().map(|chunk| message.end(&chunk, end.flag));
                }
            }
        }
    }
    last
}

fn frames(octets: &[u8]) -> usize {
    let mut decoder = FrameDecoder::new(Limits::default());
    let mut frames = 0;
    for read in octets.chunks(READ) {
        decoder.push(read);
        while let Ok(Some(frame)) = decoder.next_frame() {
            black_box(frame);
            frames += 1;
        }
    }
    frames
}

fn copy(octets: &[u8]) {
    let mut buffer = vec![0; READ];
    for read in octets.chunks(READ) {
        buffer[..read.len()].copy_from_slice(read);
        black_box(&mut buffer);
    }
}

fn search(octets: &[u8]) -> usize {
    let finder = memchr::memmem::Finder::new(b"\n-------");
    let reads = octets.chunks(READ);
    reads.map(|read| finder.find_iter(read).count()).sum()
}

/// The shortest of some runs.
fn best(run: impl Fn()) -> Duration {
    let times = (0..5).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed()
    });
    times.min().unwrap_or_default()
}

fn ratios() {
    for (name, octets, count) in [
        ("messages_of_1_kib", short_messages(), MESSAGES),
        (
            "message_of_64_mib",
            long_message(),
            usize::try_from(LONG / CHUNK).unwrap_or_default(),
        ),
    ] {
        let (frames, most) = stream(&octets);
        assert_eq!(frames, count, "every frame was found");
        assert!(most < READ, "no more is held than a head: {most}");
        let copy = best(|| copy(&octets));
        let search = best(|| _ = black_box(search(&octets)));
        let stream = best(|| _ = black_box(stream(&octets)));
        let times = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        println!(
            "{name}: {} octets in {count} frames, at most {most} octets held; framing takes {:.1} \
            times as long as copying, {:.1} times as long as searching",
            octets.len(),
            times(stream, copy),
            times(stream, search),
        );
    }
    let outcome = stream_and_reassemble(&long_message());
    assert_eq!(outcome, Some(Outcome::Complete(LONG)));
}

/// Octets and frames a second.
fn rate<'a, 'b>(bencher: Bencher<'a, 'b>, octets: &[u8], frames: usize) -> Bencher<'a, 'b> {
    bencher
        .counter(BytesCount::new(octets.len()))
        .counter(ItemsCount::new(frames))
}

#[divan::bench_group(sample_count = 100, sample_size = 1)]
mod messages_of_1_kib {
    use super::{Bencher, MESSAGES, rate, short_messages};

    #[divan::bench]
    fn pieces(bencher: Bencher<'_, '_>) {
        let octets = short_messages();
        rate(bencher, &octets, MESSAGES).bench(|| super::stream(&octets));
    }

    #[divan::bench]
    fn frames(bencher: Bencher<'_, '_>) {
        let octets = short_messages();
        rate(bencher, &octets, MESSAGES).bench(|| super::frames(&octets));
    }

    #[divan::bench]
    fn copy(bencher: Bencher<'_, '_>) {
        let octets = short_messages();
        rate(bencher, &octets, MESSAGES).bench(|| super::copy(&octets));
    }

    #[divan::bench]
    fn search(bencher: Bencher<'_, '_>) {
        let octets = short_messages();
        rate(bencher, &octets, MESSAGES).bench(|| super::search(&octets));
    }
}

#[divan::bench_group(sample_count = 10, sample_size = 1)]
mod message_of_64_mib {
    use super::{Bencher, long_message, rate};

    const ONE: usize = 1;

    #[divan::bench]
    fn pieces(bencher: Bencher<'_, '_>) {
        let octets = long_message();
        rate(bencher, &octets, ONE).bench(|| super::stream(&octets));
    }

    #[divan::bench]
    fn pieces_and_reassembly(bencher: Bencher<'_, '_>) {
        let octets = long_message();
        rate(bencher, &octets, ONE).bench(|| super::stream_and_reassemble(&octets));
    }

    #[divan::bench]
    fn copy(bencher: Bencher<'_, '_>) {
        let octets = long_message();
        rate(bencher, &octets, ONE).bench(|| super::copy(&octets));
    }

    #[divan::bench]
    fn search(bencher: Bencher<'_, '_>) {
        let octets = long_message();
        rate(bencher, &octets, ONE).bench(|| super::search(&octets));
    }
}
