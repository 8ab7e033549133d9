//! Whatever comes, nothing panics, and errors lie within what was given.

use imspec_wire::msrp::{ByteRange, Frame, Limits, Path, Status, Uri, ValueError, compare};
use imspec_wire::sip::compare::Relation;
use proptest::prelude::*;

use super::super::generators::mutated_octets;
use super::generators::frame;

/// Asks for everything that can be asked of a frame.
pub(crate) fn ask_for_everything(frame: &Frame) {
    let _ = (
        frame.start(),
        frame.method(),
        frame.status(),
        frame.transaction_id(),
    );
    let _ = (
        frame.to_path(),
        frame.from_path(),
        frame.use_path(),
        frame.message_id(),
    );
    let _ = (
        frame.byte_range(),
        frame.success_report(),
        frame.failure_report(),
    );
    let _ = (
        frame.status_header(),
        frame.expires(),
        frame.min_expires(),
        frame.max_expires(),
    );
    let _ = (
        frame.www_authenticate(),
        frame.authorization(),
        frame.authentication_info(),
    );
    let _ = frame.content_type();
    let octets = frame.as_bytes();
    let length = octets.len();
    assert!(octets.starts_with(frame.head().as_bytes()));
    assert_eq!(frame.has_body(), frame.body().is_some());
    assert!(frame.end_line_range().end == length);
    for header in frame.headers() {
        assert!(header.raw_value().ends_with(header.value()));
        assert_eq!(&octets[header.value_range()], header.raw_value());
        assert!(octets[header.offset()..].starts_with(header.line()));
        assert!(frame.header(header.name()).is_some());
        read_as_everything(header.value());
    }
    for defect in frame.head().defects().into_iter().chain(frame.defects()) {
        let range = &defect.range;
        assert!(range.start <= range.end && range.end <= length, "{defect}");
    }
    let itself = compare::headers(frame, frame);
    assert!(itself.iter().all(|c| c.relation == Relation::Identical));
}

/// Reads a value as every type there is; errors must lie within the value, and what is written must
/// be read the same.
fn read_as_everything(value: &[u8]) {
    fn check<T: ToString + PartialEq + std::fmt::Debug>(
        value: &[u8],
        read: impl Fn(&[u8]) -> Result<T, ValueError>,
    ) {
        match read(value) {
            Ok(meant) => assert_eq!(read(meant.to_string().as_bytes()), Ok(meant)),
            Err(error) => assert!(error.offset <= value.len(), "{error}"),
        }
    }
    check(value, Uri::parse);
    check(value, Path::parse);
    check(value, ByteRange::parse);
    check(value, Status::parse);
    if let Ok(uri) = Uri::parse(value) {
        assert_eq!(uri.to_string().as_bytes(), value);
    }
}

fn value_octets() -> impl Strategy<Value = Vec<u8>> {
    let octet = prop_oneof![
        4 => prop::sample::select(b"msrp:/;=@.%41[]-*0129 tcpa".to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(octet, 0..50)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn arbitrary_octets_do_no_harm(octets in prop::collection::vec(any::<u8>(), 0..300)) {
        for limits in [Limits::default(), Limits { line: 0, headers: 0, head: 0, chunk: 0, ..Limits::default() }] {
            if let Err(error) = Frame::parse(octets.clone(), &limits) {
                prop_assert!(error.offset <= octets.len());
            }
        }
        read_as_everything(&octets);
    }

    #[test]
    fn mutated_frames_do_no_harm(octets in mutated_octets(frame())) {
        match Frame::parse(octets.clone(), &Limits::default()) {
            Ok(frame) => {
                prop_assert_eq!(frame.as_bytes(), &octets);
                ask_for_everything(&frame);
            }
            Err(error) => prop_assert!(error.offset <= octets.len()),
        }
    }

    #[test]
    fn arbitrary_values_do_no_harm(
        prefix in prop::sample::select(vec!["", "msrp://h", "msrps://a@[::1]:1/s;tcp", "1-", "000 2"]),
        value in value_octets(),
    ) {
        read_as_everything(&[prefix.as_bytes(), &value].concat());
    }

    #[test]
    fn limits_are_kept(octets in frame(), line in 0..200_usize, headers in 0..8_usize, head in 0..400_usize, chunk in 0..100_usize) {
        let limits = Limits { line, headers, head, chunk, ..Limits::default() };
        let whole = Frame::parse(octets.clone(), &Limits::default()).unwrap();
        let start = whole.head().as_bytes();
        // The end line counts as a line of the head where it stands right after it.
        let checked = if whole.has_body() { start } else { whole.as_bytes() };
        let longest = checked.split_inclusive(|octet| *octet == b'\n').map(<[u8]>::len).max();
        let fits = checked.len() <= head
            && longest.unwrap_or(0) <= line
            && whole.headers().count() <= headers
            && whole.body().unwrap_or_default().len() <= chunk;
        prop_assert_eq!(Frame::parse(octets, &limits).is_ok(), fits);
    }
}
