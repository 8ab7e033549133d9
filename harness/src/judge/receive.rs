//! What a user received: did it arrive, is it the message, is it as it must be?

use imspec_reports::record::{EventKind, Observation, Outcome, Verdict};

use super::aspect::Aspect;
use super::matcher::{self, Subject};
use super::outcome::{Observed, Ruling, Seen, show};
use super::{Entry, Sheet, compare, request};
use crate::evidence::{delivery, message_of, packet_of};
use crate::scenario::model::{Receive, Step};

/// Judges a `receive`.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Receive) {
    let view = sheet.view;
    let of = wanted
        .of
        .as_ref()
        .and_then(|of| view.text(of, &step.path).ok());
    let what = wanted.method.as_deref().unwrap_or("MESSAGE");
    let expected = match &of {
        Some(name) => format!(
            "{} at {} that carries the body of `{name}`",
            what, wanted.at
        ),
        None => format!("{what} at {}", wanted.at),
    };
    let took = view
        .took(&step.path)
        .and_then(|event| message_of(event).map(|message| (event, message)));
    let Some((event, message)) = took else {
        if !wanted.optional {
            missing(sheet, step, wanted, of.as_deref(), expected);
        }
        return;
    };
    let sent = of.as_deref().and_then(|name| view.message(name));
    let fits = sent
        .as_ref()
        .is_none_or(|(_, sent)| delivery::carries(&message, sent));
    // A damaged body is still a delivery; a request with another body is not one.
    let damaged = !fits
        && sent
            .as_ref()
            .is_some_and(|(_, sent)| delivery::resembles(&message, sent));
    let range = message.body_range();
    let range = Some((request::offset(range.start), request::offset(range.end)));
    let against = sent.as_ref().map(|(event, _)| event.id);
    let seen = format!(
        "{} with the body {}",
        message.method().unwrap_or("a response"),
        show(message.body())
    );
    let mut ruling = Ruling::of(fits || damaged, expected, seen);
    ruling.against = against;
    if !fits {
        ruling.range = range;
        let what = if damaged {
            "taken for a damaged copy"
        } else {
            "the closest of those that came"
        };
        ruling.note = Some(format!(
            "no request with exactly that body came; this is {what}"
        ));
    }
    let entry = Entry::of(step, "delivery", Observation::Wire)
        .about(Aspect::Arrival)
        .seen_in(event.id);
    sheet.write(entry, ruling);
    if !fits && !damaged {
        return;
    }
    if let (true, None, Some((_, sent))) = (damaged, &wanted.body, &sent) {
        let seen = Seen {
            range,
            ..Seen::value(message.body())
        };
        let mut ruling = compare::body(sent.body(), &[seen]);
        ruling.against = against;
        let entry = Entry::of(step, "body", Observation::Wire).about(Aspect::Body);
        sheet.write(entry.seen_in(event.id), ruling);
    }
    if let Some(matcher) = &wanted.request_uri {
        let observed =
            Observed::Known(message.request_uri().map(Seen::value).into_iter().collect());
        let ruling = matcher::rule(sheet, matcher, &observed, &Subject::Uri, &step.path);
        let entry = Entry::of(step, "Request-URI", Observation::Wire)
            .about(Aspect::Header)
            .at(&matcher.at)
            .seen_in(event.id);
        sheet.write(entry, ruling);
    }
    request::headers(
        sheet,
        step,
        &wanted.headers,
        &message,
        event.id,
        (Aspect::Header, None),
    );
    if let Some(matcher) = &wanted.body {
        request::body(
            sheet,
            step,
            matcher,
            &message,
            event.id,
            (Aspect::Body, None),
        );
    }
}

/// What was to come did not.
fn missing(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    wanted: &Receive,
    of: Option<&str>,
    expected: String,
) {
    let observed = nothing(sheet, step, wanted);
    let ruling = match other_way(sheet) {
        Some(way) => Ruling::new(
            Verdict::Inconclusive,
            expected,
            format!("{observed}; {way}"),
        ),
        None => Ruling::new(Verdict::Fail, expected, observed),
    };
    let mut entry = Entry::of(step, "delivery", Observation::Wire).about(Aspect::Arrival);
    if let Some((sent, _)) = of.and_then(|name| sheet.view.message(name)) {
        entry = entry.seen_in(sent.id);
    }
    sheet.write(entry, ruling);
}

/// Why messages may come in a way that this step cannot see: the profile declares one, or declares none
/// and nothing has come as a MESSAGE in this case.
fn other_way(sheet: &Sheet<'_, '_>) -> Option<String> {
    let declared = |key: &str| sheet.context.pics.get(key).and_then(|value| value.as_str());
    match (declared("delivery.form"), declared("delivery.trigger")) {
        (Some(form), _) if form != "message" => Some(format!(
            "the profile declares delivery.form: {form}, which this step cannot see"
        )),
        (Some(_), Some(_)) => None,
        _ if something_came(sheet) => None,
        _ => Some(
            "the profile does not declare delivery.form and delivery.trigger, so it may come in another way".into(),
        ),
    }
}

/// Whether any step of the case took a request of the SUT.
fn something_came(sheet: &Sheet<'_, '_>) -> bool {
    sheet
        .view
        .trace()
        .events
        .iter()
        .any(|event| match event.kind {
            EventKind::Took { event } => sheet
                .view
                .event(event)
                .and_then(message_of)
                .is_some_and(|message| message.is_request()),
            _ => false,
        })
}

/// Says that nothing came, and what came instead.
fn nothing(sheet: &Sheet<'_, '_>, step: &Step, wanted: &Receive) -> String {
    let view = sheet.view;
    let after = match view.outcome(&step.path) {
        Some(Outcome::TimedOut { after_ms }) => format!("nothing within {after_ms} ms"),
        _ => "nothing".into(),
    };
    let started = view.step(&step.path).first().map_or(0, |event| event.id);
    let others = view.trace().events[started as usize..]
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Unclaimed { .. }))
        .filter(|event| match event.kind {
            EventKind::Unclaimed { event } => view
                .event(event)
                .and_then(packet_of)
                .is_some_and(|packet| packet.user == wanted.at),
            _ => false,
        })
        .count();
    if others == 0 {
        after
    } else {
        format!("{after}; {others} other request(s) came to {}", wanted.at)
    }
}
