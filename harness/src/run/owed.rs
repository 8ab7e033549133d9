//! What a case leaves with the server: messages that it has taken for a user, and that nobody has seen since. They may
//! still come, and must not come to the next case that has the account.

use std::collections::{BTreeMap, BTreeSet};

use imspec_reports::record::trace::{Direction, StoreResult};
use imspec_reports::record::{Event, EventKind, Trace};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::To;

use crate::evidence::message_of;
use crate::scenario::{Case, CaseUser};

/// How many messages may still come to each user of a case, by role; a user to whom none may is left out.
pub(super) fn owed(case: &Case, trace: &Trace) -> BTreeMap<String, usize> {
    let refused = refused(trace);
    let users = case.users.iter();
    users
        .filter_map(|user| {
            let taken = taken_for(user, trace, &refused);
            // What was in the store and then came is one message, and which of them it was is not asked.
            let seen = arrived(&user.role, trace).max(stored_for(user, trace));
            Some((user.role.clone(), taken.saturating_sub(seen))).filter(|(_, owed)| *owed > 0)
        })
        .collect()
}

/// How many messages have come to a user, by either way.
pub(super) fn arrived(role: &str, trace: &Trace) -> usize {
    let mut sessions = 0;
    let mut requests = BTreeSet::new();
    for event in &trace.events {
        match &event.kind {
            EventKind::Received(packet) if packet.user == role => {
                requests.extend(message_of(event).as_ref().and_then(is_message));
            }
            EventKind::Transfer(transfer) => {
                let is_his = transfer.user == role && transfer.direction == Direction::Received;
                sessions += usize::from(is_his && transfer.complete);
            }
            _ => {}
        }
    }
    requests.len() + sessions
}

/// What tells one MESSAGE from another (RFC 3261 §8.2.2.2); nothing of what is none.
fn is_message(request: &Message) -> Option<(String, String)> {
    let is_one = request.method() == Some("MESSAGE");
    is_one.then(|| transaction(request))
}

fn transaction(message: &Message) -> (String, String) {
    let text = |name| {
        let field = message.header(name);
        field.map_or_else(String::new, |field| field.text().into_owned())
    };
    (text("Call-ID"), text("CSeq"))
}

/// Requests that the server did not take.
fn refused(trace: &Trace) -> BTreeSet<(String, String)> {
    let received = trace.events.iter();
    received
        .filter(|event| matches!(event.kind, EventKind::Received(_)))
        .filter_map(message_of)
        .filter(|message| message.status().is_some_and(|status| status >= 300))
        .map(|message| transaction(&message))
        .collect()
}

/// How many messages the server has taken for a user, or may have taken.
fn taken_for(user: &CaseUser, trace: &Trace, refused: &BTreeSet<(String, String)>) -> usize {
    let mut requests = BTreeSet::new();
    let mut sessions = 0;
    for event in &trace.events {
        match &event.kind {
            EventKind::Sent(_) => {
                let request = message_of(event).filter(|request| is_for(request, user));
                requests.extend(request.as_ref().and_then(is_message));
            }
            EventKind::Transfer(transfer) if transfer.direction == Direction::Sent => {
                let invite = trace.events.get(transfer.invite as usize);
                let invite = invite.and_then(|event: &Event| message_of(event));
                let is_his = invite.is_some_and(|invite| is_for(&invite, user));
                sessions += usize::from(is_his && transfer.complete);
            }
            _ => {}
        }
    }
    requests.difference(refused).count() + sessions
}

fn is_for(request: &Message, user: &CaseUser) -> bool {
    let Some(Ok(to)) = request.typed::<To>() else {
        return false;
    };
    let address = to.uri.to_string();
    let address = address.split([';', '?']).next().unwrap_or_default();
    address.eq_ignore_ascii_case(&user.uri())
}

/// The most records that the store has shown in the account.
fn stored_for(user: &CaseUser, trace: &Trace) -> usize {
    let reads = trace.events.iter();
    reads
        .filter_map(|event| match &event.kind {
            EventKind::StoreRead {
                account,
                result: StoreResult::Records(records),
            } if *account == user.uri() => Some(records.len()),
            _ => None,
        })
        .max()
        .unwrap_or_default()
}
