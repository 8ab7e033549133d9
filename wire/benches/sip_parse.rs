//! Parse rate of this crate beside `rsip`, on the same octets in one run: `cargo bench -p
//! imspec-wire`.
//!
//! `parse` starts from the shared octets that a transport hands over, `copy_and_parse` from octets
//! that are someone else's and must be copied first. `rsip` copies in either case, so its figure is
//! the same.

mod inputs;

use bytes::Bytes;
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, From, To, Via};

fn main() {
    divan::main();
}

const NAMES: [&str; 3] = [inputs::ALL[0].0, inputs::ALL[1].0, inputs::ALL[2].0];

fn octets(name: &str) -> &'static [u8] {
    let found = inputs::ALL.iter().find(|(known, _)| *known == name);
    found.map(|(_, text)| text.as_bytes()).unwrap_or_default()
}

/// Messages a second.
fn rate<'a, 'b>(bencher: Bencher<'a, 'b>) -> Bencher<'a, 'b> {
    bencher.counter(ItemsCount::new(1_usize))
}

mod parse {
    use super::{Bencher, Bytes, Message, NAMES, black_box, octets, rate};

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn imspec(bencher: Bencher<'_, '_>, name: &str) {
        let octets = Bytes::copy_from_slice(octets(name));
        rate(bencher).bench(|| Message::parse(black_box(&octets).clone()));
    }

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn rsip(bencher: Bencher<'_, '_>, name: &str) {
        let octets = octets(name);
        rate(bencher).bench(|| ::rsip::SipMessage::try_from(black_box(octets)));
    }
}

mod copy_and_parse {
    use super::{Bencher, Bytes, Message, NAMES, black_box, octets, rate};

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn imspec(bencher: Bencher<'_, '_>, name: &str) {
        let octets = octets(name);
        rate(bencher).bench(|| Message::parse(Bytes::copy_from_slice(black_box(octets))));
    }
}

/// What every transaction layer reads of every message.
mod parse_and_read_via_from_to_cseq {
    use super::{Bencher, Bytes, CSeq, From, Message, NAMES, To, Via, black_box, octets, rate};

    #[divan::bench(args = NAMES, sample_count = 2000, sample_size = 64)]
    fn imspec(bencher: Bencher<'_, '_>, name: &str) {
        let octets = Bytes::copy_from_slice(octets(name));
        rate(bencher).bench(|| {
            let message = Message::parse(black_box(&octets).clone()).ok()?;
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
        rate(bencher).bench(|| {
            let message = ::rsip::SipMessage::try_from(black_box(octets)).ok()?;
            let via = message.via_header().ok()?.typed().ok()?;
            let from = message.from_header().ok()?.typed().ok()?;
            let to = message.to_header().ok()?.typed().ok()?;
            let cseq = message.cseq_header().ok()?.typed().ok()?;
            Some((via, from, to, cseq))
        });
    }
}
