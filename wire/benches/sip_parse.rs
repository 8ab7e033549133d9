//! Parse rate of this crate beside `rsip`, on the same octets in one run: `cargo bench -p imspec-wire`.
//!
//! Both start from octets that they do not own, as a socket gives them, and end with a message that
//! can be kept: for this crate that includes the copy of the octets.

mod inputs;

use bytes::Bytes;
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, From, To, Via};

fn main() {
    divan::main();
}

fn octets(name: &str) -> &'static [u8] {
    let found = inputs::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| text.as_bytes()).unwrap_or_default()
}

const NAMES: [&str; 3] = [inputs::ALL[0].0, inputs::ALL[1].0, inputs::ALL[2].0];

/// Octets to message.
mod parse {
    use super::{Bencher, Bytes, BytesCount, ItemsCount, Message, NAMES, black_box, octets};

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn imspec(bencher: Bencher<'_, '_>, name: &str) {
        let octets = octets(name);
        bencher
            .counter(ItemsCount::new(1_usize))
            .counter(BytesCount::of_slice(octets))
            .bench(|| Message::parse(Bytes::copy_from_slice(black_box(octets))));
    }

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn rsip(bencher: Bencher<'_, '_>, name: &str) {
        let octets = octets(name);
        bencher
            .counter(ItemsCount::new(1_usize))
            .counter(BytesCount::of_slice(octets))
            .bench(|| ::rsip::SipMessage::try_from(black_box(octets)));
    }
}

/// Octets to message, then the values that every transaction layer needs.
mod parse_and_read_via_from_to_cseq {
    use super::{
        Bencher, Bytes, CSeq, From, ItemsCount, Message, NAMES, To, Via, black_box, octets,
    };

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn imspec(bencher: Bencher<'_, '_>, name: &str) {
        let octets = octets(name);
        bencher.counter(ItemsCount::new(1_usize)).bench(|| {
            let message = Message::parse(Bytes::copy_from_slice(black_box(octets))).ok()?;
            let via = message.typed::<Via>()?.ok()?;
            let from = message.typed::<From>()?.ok()?;
            let to = message.typed::<To>()?.ok()?;
            let cseq = message.typed::<CSeq>()?.ok()?;
            Some((via, from, to, cseq))
        });
    }

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn rsip(bencher: Bencher<'_, '_>, name: &str) {
        use ::rsip::prelude::{HeadersExt, ToTypedHeader};
        let octets = octets(name);
        bencher.counter(ItemsCount::new(1_usize)).bench(|| {
            let message = ::rsip::SipMessage::try_from(black_box(octets)).ok()?;
            let via = message.via_header().ok()?.typed().ok()?;
            let from = message.from_header().ok()?.typed().ok()?;
            let to = message.to_header().ok()?.typed().ok()?;
            let cseq = message.cseq_header().ok()?.typed().ok()?;
            Some((via, from, to, cseq))
        });
    }
}
