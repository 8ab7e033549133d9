//! The border of MSRP connections: responses that go astray, and reports that nobody wanted or that are
//! not true.

use std::collections::HashMap;

use bytes::Bytes;
use imspec_reference_server::msrp::{Tap, transaction_id};
use imspec_wire::msrp::{Builder, ByteRange, Frame, Head, Limits, Piece, Status};

use crate::fault::Fault;
use crate::msrp::{first_line, tapped};
use crate::rewrite::{self, Becomes};
use crate::store::Memory;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "answers-end-of-path",
        "F-240",
        &["RFC4975-7.2"],
        "The response to a SEND goes to the last URI of its From-Path, past the relays.",
    )
    .seed(|parts| tapped(parts, EndOfPath::default())),
    Fault::new(
        "reports-too-early",
        "M-055",
        &["RFC4975-7.1.3"],
        "Success of all octets is reported when the first chunk is there.",
    )
    .seed(|parts| tapped(parts, MadeUp::of(Head::success_report, |total| total))),
    Fault::new(
        "reports-more-than-came",
        "F-241",
        &["RFC4975-7.1.3"],
        "Success is reported of a hundred octets that never came.",
    )
    .seed(|parts| tapped(parts, MadeUp::of(Head::success_report, |total| total + 100))),
    Fault::new(
        "reports-another-total",
        "F-370",
        &["RFC4975-7.1.3"],
        "The Byte-Range of a REPORT tells of a message one octet longer than it was.",
    )
    .seed(|parts| tapped(parts, AnotherTotal)),
    Fault::new(
        "reports-unasked",
        "F-242",
        &["RFC4975-7.1.3"],
        "Success is reported to those who did not ask for it.",
    )
    .seed(|parts| {
        let is_unasked = |head: &Head| head.has_body() && !head.success_report();
        tapped(parts, MadeUp::of(is_unasked, |total| total))
    }),
];

struct AnotherTotal;

impl Tap for AnotherTotal {
    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        if !first_line(&octets).ends_with(b" REPORT") {
            return Some(octets);
        }
        Some(rewrite::send_fields(&octets, |field| {
            let range = String::from_utf8_lossy(&field.value).into_owned();
            let total = range
                .rsplit_once('/')
                .map(|(octets, total)| (octets, total.parse::<u64>()));
            match total {
                Some((octets, Ok(total))) if field.is("Byte-Range") => {
                    Becomes::field("Byte-Range", format!("{octets}/{}", total + 1))
                }
                _ => Becomes::Same,
            }
        }))
    }
}

/// The last URI of the path of each request with several.
#[derive(Default)]
struct EndOfPath(Memory<HashMap<String, String>>);

impl Tap for EndOfPath {
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        if let Piece::Head(head) = &piece
            && let Some(path) = head.header("From-Path")
            && let Some((_, last)) = path.text().trim().rsplit_once(' ')
        {
            self.0
                .get()
                .insert(head.transaction_id().to_owned(), last.to_owned());
        }
        Some(piece)
    }

    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        let line = String::from_utf8_lossy(first_line(&octets)).into_owned();
        let mut words = line.split(' ').skip(1);
        let (id, status) = (words.next().unwrap_or_default(), words.next());
        let is_response =
            status.is_some_and(|status| status.bytes().all(|octet| octet.is_ascii_digit()));
        let last = is_response.then(|| self.0.get().remove(id)).flatten();
        Some(match last {
            Some(last) => rewrite::send_fields(&octets, |field| {
                if field.is("To-Path") {
                    Becomes::field("To-Path", &last)
                } else {
                    Becomes::Same
                }
            }),
            None => octets,
        })
    }
}

/// Reports of success that are made up when a first chunk comes.
struct MadeUp<W, C> {
    is_wanted: W,
    claimed: C,
    /// By the id of the SEND whose response they follow.
    due: Memory<HashMap<String, Bytes>>,
}

impl<W, C> MadeUp<W, C>
where
    W: Fn(&Head) -> bool + Send + Sync + 'static,
    C: Fn(u64) -> u64 + Send + Sync + 'static,
{
    /// For chunks that say how long their message is: of so many octets.
    fn of(is_wanted: W, claimed: C) -> Self {
        Self {
            is_wanted,
            claimed,
            due: Memory::default(),
        }
    }
}

impl<W, C> Tap for MadeUp<W, C>
where
    W: Fn(&Head) -> bool + Send + Sync + 'static,
    C: Fn(u64) -> u64 + Send + Sync + 'static,
{
    fn incoming(&self, piece: Piece) -> Option<Piece> {
        if let Piece::Head(head) = &piece
            && (self.is_wanted)(head)
            && let Some(Ok(range)) = head.byte_range()
            && let (1, Some(total)) = (range.start, range.total)
            && let Ok(to_path) = head.to_path()
            && let own = to_path.first()
        {
            let total = (self.claimed)(total);
            let all = ByteRange {
                start: 1,
                end: Some(total),
                total: Some(total),
            };
            let status = Status::new(200, Some("OK"));
            let report = Builder::report(head, transaction_id(), all, &status, own);
            self.due
                .get()
                .insert(head.transaction_id().to_owned(), report.octets());
        }
        Some(piece)
    }

    fn outgoing(&self, octets: Bytes) -> Option<Bytes> {
        let id = Frame::parse(octets.clone(), &Limits::default())
            .ok()
            .map(|frame| frame.head().transaction_id().to_owned());
        let report = id.and_then(|id| self.due.get().remove(&id));
        Some(match report {
            Some(report) => [octets, report].concat().into(),
            None => octets,
        })
    }
}
