//! What ran out because users went offline by letting their registrations lapse. At such a SUT (`offline: lapse`) a
//! `register` with `expires: 0` lets store time pass of which the scenario knows nothing: a message may expire
//! before the step that waits for it, or another device lose its binding, and neither is the SUT's fault.

use imspec_reports::record::{Event, EventKind, UtcTime};
use imspec_wire::sip::typed::Expires;

use crate::evidence::binding::bindings;
use crate::evidence::{View, find_step, frame_of, message_of};
use crate::scenario::model::Verb;

/// What ran out before this step began, and would not have without lapses; in words.
pub(super) fn ran_out(view: &View<'_>, step: &str) -> Option<String> {
    let first = view.step(step).first()?;
    let now = first.store?.at;
    let before = &view.trace().events[..first.id as usize];
    let mut behind = Behind::default();
    for event in before {
        behind.follow(view, event);
    }
    let planned = now.plus_us(-behind.lapsed_us);
    let unplanned = |end: &UtcTime| planned < *end && *end <= now;
    let said = |what: &str, end| {
        format!(
            "{what} at store time {end}, and would not have by now if users did not wait for their registrations to \
             lapse (`offline: lapse`)"
        )
    };
    let message = before.iter().filter_map(expiry).find(unplanned);
    let message = message.map(|end| said("a message expired", end));
    message.or_else(|| {
        let end = behind.others.into_iter().find(unplanned)?;
        Some(said("another device's registration ended", end))
    })
}

/// How far a case is behind what its scenario had in mind.
#[derive(Default)]
struct Behind {
    lapsed_us: i64,
    /// When the bindings of other devices end, as the registrations that were to lapse were told.
    others: Vec<UtcTime>,
}

impl Behind {
    fn follow(&mut self, view: &View<'_>, event: &Event) {
        let (EventKind::ClockMoved { from, to }, Some(path)) = (&event.kind, &event.step) else {
            return;
        };
        match find_step(&view.case().steps, path).map(|step| &step.verb) {
            Some(Verb::Register(_)) => {
                self.lapsed_us = self.lapsed_us.saturating_add(to.unix_us - from.unix_us);
                self.others.extend(other_bindings(view, path));
            }
            // Until a certain time, and that came after the lapse: all is as planned again.
            Some(Verb::Wait(wait)) if wait.after.is_some() => *self = Self::default(),
            _ => {}
        }
    }
}

fn other_bindings(view: &View<'_>, step: &str) -> Vec<UtcTime> {
    let Some(told) = view.took(step).and_then(|event| event.store) else {
        return Vec::new();
    };
    let others = bindings(view, step).into_iter().filter(|one| !one.own);
    let ends = others.filter_map(|other| Some(after(told.at, other.lifetime?)));
    ends.collect()
}

/// When what an agent sent expires, where it says so itself.
fn expiry(event: &Event) -> Option<UtcTime> {
    let EventKind::Sent(_) = event.kind else {
        return None;
    };
    let seconds = match message_of(event) {
        Some(message) if message.method().is_some_and(|it| it != "REGISTER") => {
            u64::from(message.typed::<Expires>()?.ok()?.0)
        }
        Some(_) => return None,
        None => {
            let frame = frame_of(event)?;
            let field = frame.head.headers_named("Expires").next()?;
            let value = std::str::from_utf8(field.value()).ok()?;
            value.trim().parse().ok()?
        }
    };
    Some(after(event.store?.at, seconds))
}

fn after(start: UtcTime, seconds: u64) -> UtcTime {
    let us = i64::try_from(seconds)
        .unwrap_or(i64::MAX)
        .saturating_mul(1_000_000);
    start.plus_us(us)
}
