//! Silence: what must not have arrived.

use std::collections::HashSet;

use imspec_reports::record::trace::Direction;
use imspec_reports::record::{Event, EventKind, Observation};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::To;

use super::aspect::Aspect;
use super::delivered::Delivery;
use super::outcome::Ruling;
use super::{Entry, Sheet};
use crate::evidence::session::user_of;
use crate::evidence::{View, delivery, find_step, message_of};
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
    let of = wanted
        .of
        .as_ref()
        .and_then(|of| view.text(of, &step.path).ok());
    let sent = of.as_deref().and_then(|name| view.saved_content(name));
    let opened = |user: &str| registered(view, user, first.id).unwrap_or(0);
    let brought = sessions(window, wanted, &taken);
    let mut broken = window
        .iter()
        .filter(|event| !taken.contains(&event.id) && arrives(event, wanted))
        .filter(|event| user_of(event).is_some_and(|user| event.id >= opened(user)))
        // An INVITE that brought messages is judged by them.
        .filter(|event| !brought.contains(&event.id))
        .filter(|event| !is_of_taken_invite(event, &taken))
        .filter_map(|event| Delivery::of(view, event).map(|got| (event, got)))
        .filter(|(_, got)| {
            sent.as_ref()
                .is_none_or(|(_, sent)| !got.is_invite() && delivery::carries(&got.content, sent))
        });
    let where_ = wanted.at.join(" and ");
    let what = wanted.method.as_deref().unwrap_or("request");
    let length_ms = last.at_us.saturating_sub(first.at_us) / 1000;
    let expected = match (&sent, &of) {
        (Some((_, sent)), Some(name)) => {
            let came = window.iter().any(|event| {
                taken.contains(&event.id)
                    && Delivery::of(view, event)
                        .is_some_and(|got| delivery::carries(&got.content, sent))
            });
            let further = if came { "further " } else { "" };
            format!("no {further}delivery at {where_} that carries the body of `{name}`")
        }
        _ => format!("no {what} at {where_}"),
    };
    let entry = Entry::of(step, "silence", Observation::Wire).about(Aspect::Arrival);
    match broken.next() {
        None => sheet.write(
            entry.seen_in(last.id),
            Ruling::of(true, expected, format!("nothing for {length_ms} ms")),
        ),
        Some((event, got)) => {
            let more = broken.count();
            let observed = format!(
                "{}{}",
                got.in_words(),
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

/// Whether an event brought something to one of the users: a request that is new and of the method, or a
/// message through a session.
fn arrives(event: &Event, wanted: &Silence) -> bool {
    let method_fits = |method: &str| {
        let wanted = wanted.method.as_deref();
        wanted.is_none_or(|wanted| method == wanted)
    };
    match &event.kind {
        EventKind::Transfer(transfer) => {
            transfer.direction == Direction::Received
                && wanted.at.contains(&transfer.user)
                && wanted.method.is_none()
        }
        EventKind::Received(packet) if packet.retransmission => false,
        EventKind::Received(packet) if wanted.at.contains(&packet.user) => {
            let message = message_of(event).filter(Message::is_request);
            message.is_some_and(|message| {
                !is_within_dialog(&message) && message.method().is_some_and(method_fits)
            })
        }
        _ => false,
    }
}

/// Whether a request belongs to a session that stands already: that it came says nothing new.
fn is_within_dialog(message: &Message) -> bool {
    let to = message.typed::<To>();
    matches!(message.method(), Some("ACK" | "CANCEL" | "BYE"))
        || matches!(to, Some(Ok(to)) if to.0.tag().is_some())
}

/// The INVITEs that are judged by the messages that they brought: all where messages count, else those whose
/// messages a step took.
fn sessions(window: &[Event], wanted: &Silence, taken: &HashSet<u32>) -> HashSet<u32> {
    let invite = |event: &Event| match &event.kind {
        EventKind::Transfer(transfer)
            if transfer.direction == Direction::Received
                && (wanted.method.is_none() || taken.contains(&event.id)) =>
        {
            Some(transfer.invite)
        }
        _ => None,
    };
    window.iter().filter_map(invite).collect()
}

/// Whether a message came through a session whose INVITE a step took: the scenario handles that session.
fn is_of_taken_invite(event: &Event, taken: &HashSet<u32>) -> bool {
    matches!(&event.kind, EventKind::Transfer(transfer) if taken.contains(&transfer.invite))
}
