//! MSRP frames of a trace, read as far as they went: a frame may have been cut, spoilt or shortened.

use bytes::Bytes;
use imspec_reports::record::trace::{Packet, Protocol};
use imspec_reports::record::{Event, EventKind};
use imspec_wire::msrp::{Decoder, Flag, Head, Limits, Piece};

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Start line and header fields.
    pub head: Head,
    /// The body, where the trace has it.
    pub body: Option<Bytes>,
    /// How many octets the body has.
    pub octets: u64,
    /// The mark of its end line; `None` where it never ended.
    pub flag: Option<Flag>,
}

/// The frame of a `Sent` or `Received` event of MSRP.
pub fn frame_of(event: &Event) -> Option<Frame> {
    match &event.kind {
        EventKind::Sent(packet) | EventKind::Received(packet)
            if packet.protocol == Protocol::Msrp =>
        {
            frame_in(packet)
        }
        _ => None,
    }
}

fn frame_in(packet: &Packet) -> Option<Frame> {
    // What stands in a trace was bounded when it was read; a scenario may have sent a head of any size.
    let length = packet.octets.len();
    let limits = Limits {
        line: length,
        headers: length,
        head: length,
        ..Limits::default()
    };
    let mut decoder = Decoder::new(limits);
    decoder.push(&packet.octets);
    let Ok(Some(Piece::Head(head))) = decoder.next_piece() else {
        return None;
    };
    let mut body = Vec::new();
    let flag = loop {
        match decoder.next_piece() {
            Ok(Some(Piece::Body(octets))) => body.extend_from_slice(&octets),
            Ok(Some(Piece::End(end))) => break Some(end.flag),
            Ok(Some(Piece::Head(_)) | None) | Err(_) => break None,
        }
    };
    let elided = packet.elided.map_or(0, |gap| gap.octets);
    Some(Frame {
        octets: body.len() as u64 + elided,
        body: (elided == 0).then(|| body.into()),
        head,
        flag,
    })
}

impl Frame {
    /// Whether it is a SEND.
    pub fn is_send(&self) -> bool {
        self.is("SEND")
    }

    /// Whether it is a REPORT.
    pub fn is_report(&self) -> bool {
        self.is("REPORT")
    }

    fn is(&self, method: &str) -> bool {
        self.head.method().is_some_and(|own| own.as_str() == method)
    }

    /// First octet of the message after those that it carries, and the one before the first: `0..8` for
    /// `1-8`. The length is that of the octets (RFC 4975 §7.3.1).
    pub fn range(&self) -> std::ops::Range<u64> {
        let start = match self.head.byte_range() {
            Some(Ok(range)) => range.start.saturating_sub(1),
            Some(Err(_)) | None => 0,
        };
        start..start.saturating_add(self.octets)
    }

    /// Its first line.
    pub fn first_line(&self) -> String {
        let range = self.head.start_line_range();
        String::from_utf8_lossy(&self.head.as_bytes()[range]).into_owned()
    }
}
