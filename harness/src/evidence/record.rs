//! Which stored record is which message of the scenario.

use imspec_reports::record::{Expire, Field, State, StoredMessage};
use imspec_wire::sip::Message;

use super::View;
use super::delivery::alike;
use crate::scenario::model::{Presence, Stored};

/// Whether a record waits for its recipient. A record of unknown state waits: a store that keeps no states
/// holds what is waiting.
pub fn waits(record: &StoredMessage) -> bool {
    matches!(
        record.state,
        Field::Unknown | Field::Absent | Field::Known(State::Waiting | State::Delivering)
    )
}

/// Which record an entry of `stored.messages` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The one at this index.
    At(usize),
    /// There is none.
    Nowhere,
    /// Records are there of which the adapter shows too little to tell whose they are.
    Untold,
}

impl Found {
    /// The record, where it is known.
    pub fn record(self, records: &[StoredMessage]) -> Option<&StoredMessage> {
        match self {
            Self::At(index) => records.get(index),
            Self::Nowhere | Self::Untold => None,
        }
    }
}

/// For each entry of `stored.messages`, the record that it is; the best fit overall is given away first,
/// and no record twice.
pub fn assign(
    view: &View<'_>,
    stored: &Stored,
    records: &[StoredMessage],
    step: &str,
) -> Vec<Found> {
    let mut fits = Vec::new();
    for (entry, wanted) in stored.messages.iter().enumerate() {
        let sent = wanted.of.as_ref().map(|of| {
            view.text(of, step)
                .ok()
                .and_then(|name| view.message(&name))
        });
        for (index, record) in records.iter().enumerate() {
            let fit = match &sent {
                None => 1,
                Some(None) => 0,
                Some(Some((_, sent))) => fit(record, sent),
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
    let mut taken = vec![false; records.len()];
    for (_, entry, index) in fits {
        if given[entry] == Found::Nowhere && !taken[index] {
            given[entry] = Found::At(index);
            taken[index] = true;
        }
    }
    let faceless = records
        .iter()
        .zip(&taken)
        .any(|(record, taken)| !taken && faceless(record));
    if faceless {
        for found in given.iter_mut().filter(|found| **found == Found::Nowhere) {
            *found = Found::Untold;
        }
    }
    given
}

/// Whether the adapter shows neither the body nor the Call-ID of a record.
fn faceless(record: &StoredMessage) -> bool {
    record.body == Field::Unknown
        && !record.headers_complete
        && header_of(record, "Call-ID").is_none()
}

/// Whether the presence that each entry asks for, and nothing else, holds: what polling waits for.
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
            match entry.presence {
                Presence::Waiting => record.is_some_and(waits),
                Presence::Gone => !record.is_some_and(waits),
                Presence::Any => record.is_some(),
            }
        })
}

/// The records that `name` stands for: that of one entry, or all of the step's.
pub(super) fn named<'a>(
    view: &View<'_>,
    stored: &Stored,
    records: &'a [StoredMessage],
    name: &str,
) -> Vec<&'a StoredMessage> {
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
        return records.iter().filter(|record| waits(record)).collect();
    }
    given
        .into_iter()
        .filter_map(|found| found.record(records))
        .collect()
}

/// How well a record fits a message; 0: not at all. Each fact that a faulty server may have lost counts
/// for itself, so that the loss of one does not hide the record.
fn fit(record: &StoredMessage, sent: &Message) -> u32 {
    let mut fit = 0;
    for (header, weight) in [("Call-ID", 8), ("CSeq", 1), ("From", 1), ("Subject", 1)] {
        let (Some(stored), Some(wanted)) = (header_of(record, header), sent.header(header)) else {
            continue;
        };
        if stored.trim_ascii() == wanted.value().as_ref() {
            fit += weight;
        } else if header == "Call-ID" {
            // Another message for certain: Call-IDs of a case differ unless the scenario repeats one.
            return 0;
        }
    }
    if let Field::Known(body) = &record.body {
        let wanted = sent.body().trim_ascii();
        if body[..] == *sent.body() {
            fit += 6;
        } else if !wanted.is_empty() && body.windows(wanted.len()).any(|window| window == wanted) {
            fit += 5;
        } else if 2 * alike(body, sent.body()) >= sent.body().len().max(1) {
            fit += 4;
        }
    }
    // CSeq, From and Subject alone are alike in unrelated messages of one sender.
    if fit >= 4 { fit } else { 0 }
}

/// The first stored value of a header, in any spelling of its name.
fn header_of<'a>(record: &'a StoredMessage, name: &str) -> Option<&'a [u8]> {
    record
        .headers
        .iter()
        .find(|h| imspec_wire::sip::name::same(&h.name, name))
        .map(|h| &h.value[..])
}

/// The lifetime of a mark in seconds: as stored, or from the receipt to the instant.
pub fn seconds(record: &StoredMessage, expire: Expire) -> Option<u64> {
    expire.seconds.or_else(|| {
        let (at, received) = (expire.at?, record.received_at.known()?);
        let us = at.unix_us.checked_sub(received.unix_us)?;
        u64::try_from((us + 500_000) / 1_000_000).ok()
    })
}
