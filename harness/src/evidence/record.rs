//! Which stored record is which message of the scenario.

use std::borrow::Cow;
use std::collections::HashSet;

use imspec_reports::record::trace::Direction;
use imspec_reports::record::{
    EventKind, Expire, Field, Mode, State, StoredHeader, StoredMessage, StoredPart,
};
use imspec_wire::sip::{Message, name};

use super::content::{Content, Likeness};
use super::session::call_id;
use super::{Saved, View};
use crate::scenario::model::{Part, Presence, RecordMatcher, Stored};

/// Whether a record waits for its recipient. A record of unknown state waits: a store that keeps no states
/// holds what is waiting.
pub fn waits(record: &StoredMessage) -> bool {
    matches!(
        record.state,
        Field::Unknown | Field::Absent | Field::Known(State::Waiting | State::Delivering)
    )
}

/// A message in the store: a record may hold several of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which record.
    pub record: usize,
    /// Which message of it: 0 for its own, from 1 for the further ones.
    pub message: usize,
}

/// Which record an entry of `stored.messages` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The one at this place.
    At(Place),
    /// There is none.
    Nowhere,
    /// Records are there of which the adapter shows too little to tell whose they are.
    Untold,
}

impl Found {
    /// The record, where it is known. A further message of a session is shown as a record of its own.
    pub fn record(self, records: &[StoredMessage]) -> Option<Cow<'_, StoredMessage>> {
        match self {
            Self::At(place) => message_at(records, place),
            Self::Nowhere | Self::Untold => None,
        }
    }
}

fn message_at(records: &[StoredMessage], place: Place) -> Option<Cow<'_, StoredMessage>> {
    let record = records.get(place.record)?;
    let Some(further) = place.message.checked_sub(1) else {
        return Some(Cow::Borrowed(record));
    };
    let further = record.further.get(further)?;
    Some(Cow::Owned(StoredMessage {
        send: further.send.clone(),
        body: further.body.clone(),
        body_digest: further.body_digest.clone(),
        further: Vec::new(),
        ..record.clone()
    }))
}

/// How many messages a record holds.
pub fn messages_in(record: &StoredMessage) -> usize {
    1 + record.further.len()
}

/// Whether a record is of a message that came through a session.
pub fn is_of_session(record: &StoredMessage) -> bool {
    match record.mode {
        Field::Known(mode) => mode == Mode::Session,
        Field::Unknown | Field::Absent => {
            record.send.known().is_some() || record.invite.known().is_some()
        }
    }
}

/// What a record says, as far as the adapter shows it.
pub fn content_of(record: &StoredMessage) -> Option<Content> {
    let part = record.send.known();
    let headers = part.map_or(&record.headers, |send| &send.headers);
    let media_type = header_in(headers, "Content-Type")
        .map(|value| String::from_utf8_lossy(value.trim_ascii()).into_owned());
    match (&record.body, &record.body_digest) {
        (Field::Known(body), _) => Some(Content::new(media_type, body.0.clone())),
        (_, Field::Known(digest)) => Some(Content::digested(media_type, digest.clone())),
        (Field::Absent, _) => Some(Content::new(media_type, Vec::new())),
        (Field::Unknown, _) => None,
    }
}

/// For each entry of `stored.messages`, the record that it is; the best fit overall is given away first,
/// and no message twice.
pub fn assign(
    view: &View<'_>,
    stored: &Stored,
    records: &[StoredMessage],
    step: &str,
) -> Vec<Found> {
    let places: Vec<(Place, Cow<'_, StoredMessage>)> = records
        .iter()
        .enumerate()
        .flat_map(|(record, shown)| {
            (0..messages_in(shown)).map(move |message| Place { record, message })
        })
        .filter_map(|place| message_at(records, place).map(|shown| (place, shown)))
        .collect();
    let mut fits = Vec::new();
    for (entry, wanted) in stored.messages.iter().enumerate() {
        let sought = wanted.of.as_ref().map(|of| {
            view.text(of, step)
                .ok()
                .and_then(|name| Sought::of(view, &name))
        });
        for (index, (_, record)) in places.iter().enumerate() {
            let fit = match &sought {
                None => 1,
                Some(None) => 0,
                Some(Some(sought)) => sought.fit(record),
            };
            if fit > 0 {
                // Among equals a waiting record is the better answer, except to an entry that wants it gone.
                let alive = u32::from(waits(record));
                fits.push((fit * 2 + alive, entry, index));
            }
        }
    }
    fits.sort_by_key(|&(fit, entry, index)| (std::cmp::Reverse(fit), entry, index));
    let mut given = vec![Found::Nowhere; stored.messages.len()];
    let mut taken = vec![false; places.len()];
    for (_, entry, index) in fits {
        if given[entry] == Found::Nowhere && !taken[index] {
            given[entry] = Found::At(places[index].0);
            taken[index] = true;
        }
    }
    let faceless = places
        .iter()
        .zip(&taken)
        .any(|((_, record), taken)| !taken && faceless(record));
    if faceless {
        for found in given.iter_mut().filter(|found| **found == Found::Nowhere) {
            *found = Found::Untold;
        }
    }
    given
}

/// Whether the adapter shows nothing by which a record could be told: no body, and neither Call-ID nor
/// Message-ID of MSRP.
fn faceless(record: &StoredMessage) -> bool {
    let hidden = |part: &Field<StoredPart>, name: &str| match part {
        Field::Known(part) => !part.headers_complete && header_in(&part.headers, name).is_none(),
        Field::Unknown => true,
        Field::Absent => false,
    };
    let of_pager = !record.headers_complete && header_in(&record.headers, "Call-ID").is_none();
    content_of(record).is_none()
        && of_pager
        && (record.mode == Field::Known(Mode::Pager)
            || (hidden(&record.send, "Message-ID") && hidden(&record.invite, "Call-ID")))
}

/// Whether the presence that each entry asks for holds, and the BYE of which it asks something has found
/// its way into the record: what polling waits for. Of all that is kept of a message the BYE alone comes
/// after it, and who answers it may write it down later.
pub fn present(view: &View<'_>, stored: &Stored, records: &[StoredMessage], step: &str) -> bool {
    assign(view, stored, records, step)
        .iter()
        .zip(&stored.messages)
        .all(|(found, entry)| {
            let record = found.record(records);
            // Looking again would not tell more.
            if *found == Found::Untold {
                return true;
            }
            let alive = record.as_ref().is_some_and(|record| waits(record));
            match entry.presence {
                Presence::Waiting => alive && !lacks_bye(entry, record.as_deref()),
                Presence::Gone => !alive,
                Presence::Any => record.is_some() && !lacks_bye(entry, record.as_deref()),
            }
        })
}

fn lacks_bye(entry: &RecordMatcher, record: Option<&StoredMessage>) -> bool {
    let mut parts = entry.parts.iter();
    parts.any(|wanted| wanted.part == Part::Bye && !wanted.absent)
        && record.is_some_and(|record| record.bye == Field::Absent)
}

/// The records that `name` stands for: that of one entry, or all of the step's.
pub(super) fn named<'a>(
    view: &View<'_>,
    stored: &Stored,
    records: &'a [StoredMessage],
    name: &str,
) -> Vec<Cow<'a, StoredMessage>> {
    let step = "";
    let given = assign(view, stored, records, step);
    let of_entry = stored.messages.iter().position(|entry| {
        entry
            .save
            .as_ref()
            .is_some_and(|save| view.text(save, step).is_ok_and(|saved| saved == name))
    });
    if let Some(entry) = of_entry {
        return given[entry].record(records).into_iter().collect();
    }
    if stored.messages.is_empty() {
        return records
            .iter()
            .filter(|record| waits(record))
            .map(Cow::Borrowed)
            .collect();
    }
    given
        .into_iter()
        .filter_map(|found| found.record(records))
        .collect()
}

/// The message that an entry is about, and what sets it apart from others.
struct Sought {
    content: Content,
    kind: Kind,
}

enum Kind {
    /// Sent as a MESSAGE.
    Pager(Box<Message>),
    /// Sent through a session.
    Session {
        /// Message-ID of MSRP.
        id: String,
        /// Those of the other messages of the case.
        others: HashSet<String>,
        /// Call-ID of the INVITE.
        call: Option<Vec<u8>>,
        /// Whether it is the only message of its session.
        alone: bool,
    },
}

impl Sought {
    fn of(view: &View<'_>, name: &str) -> Option<Self> {
        let (_, content) = view.saved_content(name)?;
        let kind = match view.saved(name)? {
            Saved::Request {
                request: Some(request),
                ..
            }
            | Saved::Received { request, .. } => Kind::Pager(Box::new(request)),
            Saved::Transfer(message) => {
                let transfer = message.transfer;
                let sent = |kind: &EventKind| match kind {
                    EventKind::Transfer(other) if other.direction == Direction::Sent => {
                        Some((other.message_id.clone(), other.invite))
                    }
                    _ => None,
                };
                let all: HashSet<(String, u32)> = view
                    .trace()
                    .events
                    .iter()
                    .filter_map(|event| sent(&event.kind))
                    .collect();
                let in_session = all.iter().filter(|(_, invite)| *invite == transfer.invite);
                Kind::Session {
                    id: transfer.message_id.clone(),
                    alone: in_session.count() <= 1,
                    others: all
                        .into_iter()
                        .map(|(id, _)| id)
                        .filter(|id| *id != transfer.message_id)
                        .collect(),
                    call: message.invite.and_then(|(_, invite)| call_id(&invite)),
                }
            }
            Saved::Frame {
                frame: Some(frame), ..
            } => Kind::Session {
                id: frame.head.message_id()?.to_owned(),
                others: HashSet::new(),
                call: None,
                alone: false,
            },
            Saved::Request { .. } | Saved::Frame { .. } | Saved::Records { .. } => return None,
        };
        Some(Self { content, kind })
    }

    /// How well a record fits; 0: not at all. Each fact that a faulty server may have lost counts for itself,
    /// so that the loss of one does not hide the record.
    fn fit(&self, record: &StoredMessage) -> u32 {
        let body = content_of(record).map(|stored| self.weigh(&stored));
        match &self.kind {
            Kind::Pager(_) if is_of_session(record) => 0,
            Kind::Pager(sent) => fit_pager(record, sent, body.unwrap_or(0)),
            Kind::Session { .. } if record.mode == Field::Known(Mode::Pager) => 0,
            Kind::Session {
                id,
                others,
                call,
                alone,
            } => {
                let stored_id = part_header(&record.send, "Message-ID");
                let stored_call = part_header(&record.invite, "Call-ID");
                let same_call = match (stored_call, call) {
                    (Some(stored), Some(call)) => Some(stored.trim_ascii() == call.as_slice()),
                    _ => None,
                };
                let of_call = if same_call == Some(true) { 4 } else { 0 };
                match stored_id.map(|stored| String::from_utf8_lossy(stored.trim_ascii())) {
                    Some(stored) if stored == id.as_str() => {
                        // The same id in another session with other content is another message.
                        if same_call == Some(false) && body == Some(0) {
                            return 0;
                        }
                        8 + of_call + body.unwrap_or(0)
                    }
                    Some(stored) if others.contains(stored.as_ref()) => 0,
                    Some(_) | None => {
                        let body = body.unwrap_or(0);
                        if body > 0 {
                            body + of_call
                        } else if *alone {
                            of_call
                        } else {
                            0
                        }
                    }
                }
            }
        }
    }

    fn weigh(&self, stored: &Content) -> u32 {
        match stored.likeness(&self.content) {
            Likeness::Same => 6,
            Likeness::Carries | Likeness::Untold => 5,
            Likeness::Partly(octets) if 2 * octets >= self.content.length().max(1) => 4,
            Likeness::Partly(_) => 0,
        }
    }
}

fn fit_pager(record: &StoredMessage, sent: &Message, body: u32) -> u32 {
    let mut fit = body;
    for (header, weight) in [("Call-ID", 8), ("CSeq", 1), ("From", 1), ("Subject", 1)] {
        let stored = header_in(&record.headers, header);
        let (Some(stored), Some(wanted)) = (stored, sent.header(header)) else {
            continue;
        };
        if stored.trim_ascii() == wanted.value().as_ref() {
            fit += weight;
        } else if header == "Call-ID" {
            // Another message for certain: Call-IDs of a case differ unless the scenario repeats one.
            return 0;
        }
    }
    // CSeq, From and Subject alone are alike in unrelated messages of one sender.
    if fit >= 4 { fit } else { 0 }
}

fn part_header<'a>(part: &'a Field<StoredPart>, name: &str) -> Option<&'a [u8]> {
    header_in(&part.known()?.headers, name)
}

/// The first value of a header, in any spelling of its name.
fn header_in<'a>(headers: &'a [StoredHeader], wanted: &str) -> Option<&'a [u8]> {
    headers
        .iter()
        .find(|header| name::same(&header.name, wanted))
        .map(|header| &header.value[..])
}

/// The lifetime of a mark in seconds: as stored, or from the receipt to the instant.
pub fn seconds(record: &StoredMessage, expire: Expire) -> Option<u64> {
    expire.seconds.or_else(|| {
        let (at, received) = (expire.at?, record.received_at.known()?);
        let us = at.unix_us.checked_sub(received.unix_us)?;
        u64::try_from((us + 500_000) / 1_000_000).ok()
    })
}
