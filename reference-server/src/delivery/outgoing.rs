//! One message on its way out through a session: cut into chunks, a bounded number of them unanswered
//! at a time, and done only when each was answered with 200 (RFC 4975 §5.1, §7.1.1, §7.2).
//!
//! No sockets and no store in here: it is told what was answered and when, and says what to send.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_wire::msrp::{Builder, ByteRange, Chunker, Coverage, Method, Plan, transaction_id};

use crate::compose::Field;

/// Octets of a chunk. Shorter ones need not be open to interruption (RFC 4975 §7.1.1), and relays
/// refuse longer ones.
pub(super) const CHUNK: u64 = 2048;
/// Chunks that may be unanswered at a time.
pub(super) const WINDOW: usize = 32;
/// Ranges that success reports may leave apart.
const FRAGMENTS: usize = 1024;

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    to_path: String,
    from_path: String,
    message_id: String,
    fields: Vec<Field>,
    length: u64,
    chunks: std::iter::Peekable<Chunker>,
    /// Transaction ids that are not answered yet, in the order of sending, and when that is too late.
    unanswered: VecDeque<(String, Instant)>,
    patience: Duration,
    /// What the recipient reported, where a 200 is only a relay's.
    reported: Option<Coverage>,
    last_sent: Option<Instant>,
}

/// What a response or a report changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It is not about this message.
    None,
    /// One step further.
    Acknowledged,
    /// Refused, with this status.
    Refused(u16),
}

impl Outgoing {
    /// A message of `length` octets. `by_relay` says that responses are not the recipient's own, so
    /// that its success reports count too.
    pub(super) fn new(
        to_path: String,
        from_path: String,
        message_id: String,
        fields: Vec<Field>,
        length: u64,
        patience: Duration,
        by_relay: bool,
    ) -> Self {
        Self {
            to_path,
            from_path,
            message_id,
            fields,
            length,
            chunks: Chunker::new(length, CHUNK).peekable(),
            unanswered: VecDeque::new(),
            patience,
            reported: by_relay.then(|| Coverage::new(FRAGMENTS)),
            last_sent: None,
        }
    }

    /// The next chunk, if one may be sent now.
    pub(super) fn next(&mut self) -> Option<Plan> {
        if self.unanswered.len() >= WINDOW {
            return None;
        }
        self.chunks.next()
    }

    /// The SEND of that chunk, sent at `now`. `random` makes its transaction id.
    pub(super) fn frame(
        &mut self,
        plan: &Plan,
        octets: Bytes,
        random: [u8; 10],
        now: Instant,
    ) -> Bytes {
        let id = transaction_id(random, &octets);
        let mut builder = Builder::request(Method::Send.as_str(), &id)
            .to_path(&self.to_path)
            .from_path(&self.from_path)
            .header("Message-ID", &self.message_id)
            .byte_range(plan.range);
        if self.reported.is_some() {
            builder = builder.header("Success-Report", "yes");
        }
        for field in &self.fields {
            builder = builder.header(&field.name, &field.value);
        }
        self.unanswered.push_back((id, now + self.patience));
        self.last_sent = Some(now);
        builder.body(octets).flag(plan.flag).octets()
    }

    /// A response has come.
    pub(super) fn on_response(&mut self, transaction_id: &str, status: u16) -> Progress {
        let waiting = self.unanswered.iter();
        let Some(at) = waiting.into_iter().position(|(id, _)| id == transaction_id) else {
            return Progress::None;
        };
        self.unanswered.remove(at);
        match status {
            200 => Progress::Acknowledged,
            status => Progress::Refused(status),
        }
    }

    /// A REPORT has come.
    pub(super) fn on_report(
        &mut self,
        message_id: &str,
        status: u16,
        range: Option<ByteRange>,
    ) -> Progress {
        if message_id != self.message_id {
            return Progress::None;
        }
        if status != 200 {
            return Progress::Refused(status);
        }
        let (Some(reported), Some(range)) = (&mut self.reported, range) else {
            return Progress::None;
        };
        let end = range.end.unwrap_or(self.length).min(self.length);
        let start = range.offset().min(end);
        // Too many ranges apart are no report that could be made sense of.
        match reported.insert(start..end) {
            Ok(_) => Progress::Acknowledged,
            Err(_) => Progress::None,
        }
    }

    /// Whether every octet has been sent and every chunk been answered with 200.
    pub(super) fn is_delivered(&mut self) -> bool {
        self.is_sent()
            && self.unanswered.is_empty()
            && self
                .reported
                .as_ref()
                .is_none_or(|reported| reported.is_complete(self.length))
    }

    /// Whether every octet has been sent.
    pub(super) fn is_sent(&mut self) -> bool {
        self.chunks.peek().is_none()
    }

    /// When what is awaited is too late; `None` while nothing is.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.unanswered.front() {
            Some((_, deadline)) => Some(*deadline),
            None => self.last_sent.map(|sent| sent + self.patience),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::msrp::{Flag, Frame, Limits};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn outgoing(length: u64, by_relay: bool) -> Outgoing {
        let fields = vec![
            Field {
                name: "X-Vendor".into(),
                value: b"one".to_vec(),
            },
            Field {
                name: "Content-Type".into(),
                value: b"text/plain".to_vec(),
            },
        ];
        let to = "msrp://192.0.2.7:2855/bob;tcp".to_owned();
        let from = "msrp://192.0.2.5:2855/server;tcp".to_owned();
        Outgoing::new(to, from, "m1m1".into(), fields, length, PATIENCE, by_relay)
    }

    fn send(outgoing: &mut Outgoing, now: Instant, number: u8) -> Option<Frame> {
        let plan = outgoing.next()?;
        let octets = usize::try_from(plan.slice.end - plan.slice.start).unwrap();
        let body = Bytes::from(vec![b'x'; octets]);
        let frame = outgoing.frame(&plan, body, [number; 10], now);
        Some(Frame::parse(frame, &Limits::default()).unwrap())
    }

    #[test]
    fn a_chunk_is_a_send_with_its_range() {
        let mut outgoing = outgoing(2050, false);
        let now = Instant::now();
        let first = send(&mut outgoing, now, 1).unwrap();
        assert_eq!(
            first.byte_range().unwrap().unwrap().to_string(),
            "1-2048/2050"
        );
        assert_eq!(first.flag(), Flag::More);
        let last = send(&mut outgoing, now, 2).unwrap();
        assert_eq!(last.flag(), Flag::Complete);
        assert!(last.defects().is_empty(), "{:?}", last.defects());
        insta::assert_snapshot!(String::from_utf8_lossy(last.as_bytes()));
        assert!(send(&mut outgoing, now, 3).is_none());
    }

    #[test]
    fn an_empty_message_is_one_empty_chunk() {
        let mut outgoing = outgoing(0, false);
        let frame = send(&mut outgoing, Instant::now(), 1).unwrap();
        assert_eq!(frame.byte_range().unwrap().unwrap().to_string(), "1-0/0");
        assert_eq!(frame.body(), Some(Bytes::new()));
        assert!(!outgoing.is_delivered());
        outgoing.on_response(frame.transaction_id(), 200);
        assert!(outgoing.is_delivered());
    }

    #[test]
    fn no_more_than_a_window_is_unanswered() {
        let mut outgoing = outgoing(CHUNK * 40, false);
        let now = Instant::now();
        let mut ids = Vec::new();
        while let Some(frame) = send(&mut outgoing, now, u8::try_from(ids.len()).unwrap()) {
            ids.push(frame.transaction_id().to_owned());
        }
        assert_eq!(ids.len(), WINDOW);
        assert_eq!(outgoing.deadline(), Some(now + PATIENCE));
        // Out of order, and twice.
        assert_eq!(outgoing.on_response(&ids[7], 200), Progress::Acknowledged);
        assert_eq!(outgoing.on_response(&ids[7], 200), Progress::None);
        assert!(send(&mut outgoing, now, 100).is_some());
        assert!(send(&mut outgoing, now, 101).is_none());
    }

    #[test]
    fn one_refusal_is_a_refusal_of_the_message() {
        let mut outgoing = outgoing(CHUNK * 2, false);
        let now = Instant::now();
        let first = send(&mut outgoing, now, 1).unwrap();
        let second = send(&mut outgoing, now, 2).unwrap();
        let ids = [first.transaction_id(), second.transaction_id()];
        assert_eq!(outgoing.on_response(ids[1], 200), Progress::Acknowledged);
        assert!(!outgoing.is_delivered());
        assert_eq!(outgoing.on_response(ids[0], 413), Progress::Refused(413));
    }

    #[test]
    fn behind_a_relay_the_recipients_reports_count() {
        let mut outgoing = outgoing(CHUNK * 2, true);
        let now = Instant::now();
        for number in [1, 2] {
            let frame = send(&mut outgoing, now, number).unwrap();
            assert!(frame.success_report());
            outgoing.on_response(frame.transaction_id(), 200);
        }
        assert!(outgoing.is_sent() && !outgoing.is_delivered());
        let range = |text: &str| Some(text.parse().unwrap());
        assert_eq!(
            outgoing.on_report("other", 200, range("1-4096/4096")),
            Progress::None
        );
        assert_eq!(
            outgoing.on_report("m1m1", 200, range("1-2048/4096")),
            Progress::Acknowledged
        );
        assert!(!outgoing.is_delivered());
        outgoing.on_report("m1m1", 200, range("2049-4096/4096"));
        assert!(outgoing.is_delivered());
        assert_eq!(
            outgoing.on_report("m1m1", 408, None),
            Progress::Refused(408)
        );
    }
}
