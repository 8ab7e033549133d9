//! Silence: what must not have arrived.

use std::collections::HashSet;

use imspec_reports::record::{Event, EventKind, Observation};
use imspec_wire::sip::Message;

use super::aspect::Aspect;
use super::outcome::{Ruling, show};
use super::{Entry, Sheet};
use crate::evidence::{View, delivery, find_step, message_of, packet_of};
use crate::scenario::model::{Silence, Step, Verb};

/// Judges a `silence`. The window opens with the last `register` of the user, since what that triggers may
/// arrive before the silence itself begins; it closes with the silence, and what a `receive` took before
/// then does not count. A copy that a *later* `receive` took came too early all the same.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Silence) {
    let view = sheet.view;
    let own = view.step(&step.path);
    let (Some(first), Some(last)) = (own.first(), own.last()) else {
        return;
    };
    let window = &view.trace().events[..=last.id as usize];
    let taken: HashSet<u32> = window
        .iter()
        .filter_map(|event| match event.kind {
            EventKind::Took { event } => Some(event),
            _ => None,
        })
        .collect();
    let sent = wanted
        .of
        .as_ref()
        .and_then(|of| view.message(&view.text(of, &step.path).ok()?));
    let opened = |user: &str| registered(view, user, first.id).unwrap_or(0);
    let mut broken = window
        .iter()
        .filter(|event| !taken.contains(&event.id))
        .filter(|event| packet_of(event).is_some_and(|packet| event.id >= opened(&packet.user)))
        .filter_map(|event| request_at(event, wanted).map(|message| (event, message)))
        .filter(|(_, message)| {
            sent.as_ref()
                .is_none_or(|(_, sent)| delivery::carries(message, sent))
        });
    let where_ = wanted.at.join(" and ");
    let what = wanted.method.as_deref().unwrap_or("request");
    let length_ms = last.at_us.saturating_sub(first.at_us) / 1000;
    let expected = match &sent {
        Some(_) => format!("no further copy of the message at {where_}"),
        None => format!("no {what} at {where_}"),
    };
    let entry = Entry::of(step, "silence", Observation::Wire).about(Aspect::Arrival);
    match broken.next() {
        None => sheet.write(
            entry.seen_in(last.id),
            Ruling::of(true, expected, format!("nothing for {length_ms} ms")),
        ),
        Some((event, message)) => {
            let more = broken.count();
            let observed = format!(
                "{} with the body {}{}",
                message.method().unwrap_or("a request"),
                show(message.body()),
                if more > 0 {
                    format!(", and {more} more")
                } else {
                    String::new()
                }
            );
            let mut ruling = Ruling::of(false, expected, observed);
            ruling.against = sent.map(|(event, _)| event.id);
            sheet.write(entry.seen_in(event.id), ruling);
        }
    }
}

/// The event with which the last `register` of a user before `before` began.
fn registered(view: &View<'_>, user: &str, before: u32) -> Option<u32> {
    let began = view.trace().events[..before as usize].iter().rev().find(|event| {
        matches!(&event.kind, EventKind::StepStarted { verb } if verb == "register")
            && event.step.as_deref().and_then(|path| find_step(&view.case().steps, path)).is_some_and(
                |step| matches!(&step.verb, Verb::Register(register) if register.user == user),
            )
    })?;
    Some(began.id)
}

/// The request that an event brought to one of the users, where it is a new one and of the method.
fn request_at(event: &Event, wanted: &Silence) -> Option<Message> {
    let EventKind::Received(packet) = &event.kind else {
        return None;
    };
    if packet.retransmission || !wanted.at.contains(&packet.user) {
        return None;
    }
    let message = message_of(event).filter(Message::is_request)?;
    let method = message.method()?;
    wanted
        .method
        .as_ref()
        .is_none_or(|wanted| method == wanted)
        .then_some(message)
}
