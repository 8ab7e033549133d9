//! What a user received: did it arrive, is it the message, is it as it must be?

use imspec_reports::record::{EventKind, Observation, Outcome, Verdict};

use super::aspect::Aspect;
use super::delivered::{Delivery, in_head};
use super::matcher::{self, Subject};
use super::outcome::{Observed, Ruling, Seen, waited};
use super::{Entry, Sheet, compare, invite, request};
use crate::evidence::content::Likeness;
use crate::evidence::{Content, delivery, message_of, session};
use crate::scenario::model::{MsrpConduct, Receive, Step};

/// Judges a `receive`.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Receive) {
    let view = sheet.view;
    let of = wanted
        .of
        .as_ref()
        .and_then(|of| view.text(of, &step.path).ok());
    let what = wanted.method.as_deref().unwrap_or("a delivery");
    let expected = match &of {
        Some(name) => format!(
            "{} at {} that carries the body of `{name}`",
            what, wanted.at
        ),
        None => format!("{what} at {}", wanted.at),
    };
    let took = view.took(&step.path);
    let Some(got) = took.and_then(|event| Delivery::of(view, event)) else {
        if !wanted.optional {
            missing(sheet, step, wanted, of.as_deref(), expected);
        }
        return;
    };
    if !got.is_whole() && wanted.answer_msrp == MsrpConduct::default() {
        // The agent took all that came, so what is missing was never sent to its end (RFC 4975 §7.1.1).
        if !wanted.optional {
            let entry = Entry::of(step, "delivery", Observation::Wire).about(Aspect::Arrival);
            let ruling = Ruling::new(Verdict::Fail, expected, got.in_words());
            sheet.write(entry.seen_in(got.event.id), ruling);
        }
        return;
    }
    let sent = of.as_deref().and_then(|name| view.saved_content(name));
    if !arrived(
        sheet,
        step,
        &got,
        sent.as_ref().map(|(e, c)| (e.id, c)),
        expected,
    ) {
        return;
    }
    if wanted.body.is_none()
        && got.is_whole()
        && !got.is_invite()
        && let Some((sent_event, sent)) = &sent
    {
        altered(sheet, step, &got, (sent_event.id, sent));
    }
    if let Some(matcher) = &wanted.request_uri {
        let request = got.request();
        let observed = Observed::Known(
            request
                .and_then(|(_, request)| request.request_uri())
                .map(Seen::value)
                .into_iter()
                .collect(),
        );
        let ruling = matcher::rule(sheet, matcher, &observed, &Subject::Uri, &step.path);
        let entry = Entry::of(step, "Request-URI", Observation::Wire)
            .about(Aspect::Header)
            .at(&matcher.at)
            .seen_in(request.map_or(got.event.id, |(event, _)| event.id));
        sheet.write(entry, ruling);
    }
    for header in request::wanted_headers(sheet, step, &wanted.headers) {
        let (ruling, event) = got.rule(sheet, step, &header, of.as_deref());
        let entry = Entry::of(step, format!("header {}", header.name), Observation::Wire)
            .about(Aspect::Header)
            .at(header.at);
        sheet.write(entry.seen_in(event), ruling);
    }
    in_session(sheet, step, wanted, &got);
    if let Some(matcher) = &wanted.body {
        let ruling = rule_on_body(sheet, step, matcher, &got, sent.as_ref().map(|(_, c)| c));
        let entry = Entry::of(step, "body", Observation::Wire)
            .about(Aspect::Body)
            .at(&matcher.at);
        sheet.write(entry.seen_in(got.event.id), ruling);
    }
}

/// Whether what came is the message, perhaps damaged. A request with another body is none of it.
fn arrived(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    got: &Delivery<'_>,
    sent: Option<(u32, &Content)>,
    expected: String,
) -> bool {
    // The content of an INVITE is not known yet; nor of a message that did not come whole.
    let known = !got.is_invite() && got.is_whole();
    let likeness = sent
        .filter(|_| known)
        .map(|(_, sent)| got.content.likeness(sent));
    let damaged = match likeness {
        None | Some(Likeness::Same | Likeness::Carries | Likeness::Untold) => false,
        Some(Likeness::Partly(_)) => true,
    };
    // A damaged body is still a delivery; a request with another body is not one.
    let is_it = !damaged || sent.is_some_and(|(_, sent)| delivery::resembles(&got.content, sent));
    let mut ruling = Ruling::of(is_it, expected, got.in_words());
    ruling.against = sent.map(|(event, _)| event);
    if damaged {
        ruling.range = got.body_range();
        let what = if is_it {
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
        .seen_in(got.event.id);
    sheet.write(entry, ruling);
    is_it
}

/// Says where a damaged body differs, in a step that asks nothing of the body itself.
fn altered(sheet: &mut Sheet<'_, '_>, step: &Step, got: &Delivery<'_>, sent: (u32, &Content)) {
    let (event, sent) = sent;
    let likeness = got.content.likeness(sent);
    if matches!(likeness, Likeness::Same | Likeness::Carries) {
        return;
    }
    let inner = got.content.unwrapped(sent);
    let range = got.body_range().filter(|_| inner == got.content);
    let mut ruling = compare::content(sent, &inner, range);
    ruling.against = Some(event);
    let entry = Entry::of(step, "body", Observation::Wire).about(Aspect::Body);
    sheet.write(entry.seen_in(got.event.id), ruling);
}

/// What only a delivery by session has: its SEND, and a description of the session.
fn in_session(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Receive, got: &Delivery<'_>) {
    if wanted.send.is_empty() && wanted.sdp.is_empty() {
        return;
    }
    let invite = got
        .request()
        .filter(|(_, request)| request.method() == Some("INVITE"));
    let Some((event, request)) = invite else {
        let why = "it came as a MESSAGE, and not through a session";
        return sheet.inconclusive(step, why.into());
    };
    let body = request.body_bytes();
    for (name, matcher) in &wanted.sdp {
        invite::description(sheet, step, (name, matcher), &body, event.id, None);
    }
    let send = got.session().and_then(|message| message.send.as_ref());
    if let (Some((event, send)), false) = (send, wanted.send.is_empty()) {
        let seen = |name: &str| in_head(&send.head, name);
        let how = (Aspect::Any, None);
        request::headers_in(sheet, step, &wanted.send, &seen, event.id, how);
    }
}

/// Rules on the body. A wrapper that the sender had not written does not count; where it is not known what he
/// wrote, either may be meant.
fn rule_on_body(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    matcher: &crate::scenario::model::Matcher,
    got: &Delivery<'_>,
    sent: Option<&Content>,
) -> Ruling {
    let rule = |content: &Content| {
        let range = got.body_range().filter(|_| *content == got.content);
        request::rule_on_body(sheet, step, matcher, content, range, true)
    };
    if let Some(sent) = sent {
        return rule(&got.content.unwrapped(sent));
    }
    let whole = rule(&got.content);
    if whole.verdict == Verdict::Pass || !got.content.is_cpim() {
        return whole;
    }
    let inner = rule(&got.content.unwrapped(&Content::new(None, Vec::new())));
    if inner.verdict == Verdict::Pass {
        inner
    } else {
        whole
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
    let ruling = match other_way(sheet, wanted) {
        Some(way) => Ruling::new(
            Verdict::Inconclusive,
            expected,
            format!("{observed}; {way}"),
        ),
        None => Ruling::new(Verdict::Fail, expected, observed),
    };
    let mut entry = Entry::of(step, "delivery", Observation::Wire).about(Aspect::Arrival);
    if let Some((sent, _)) = of.and_then(|name| sheet.view.saved_content(name)) {
        entry = entry.seen_in(sent.id);
    }
    sheet.write(entry, ruling);
}

/// Why messages may come in a way that this step cannot see: the profile declares one, or declares none
/// and nothing has come in this case.
fn other_way(sheet: &Sheet<'_, '_>, wanted: &Receive) -> Option<String> {
    let declared = |key: &str| sheet.context.pics.get(key).and_then(|value| value.as_str());
    let sees = |form: &str| match (form, wanted.method.as_deref()) {
        ("message" | "session", None) | ("session", Some("INVITE")) => true,
        ("message", Some(method)) => method != "INVITE",
        _ => false,
    };
    match (declared("delivery.form"), declared("delivery.trigger")) {
        (Some(form), _) if !sees(form) => Some(format!(
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
            EventKind::Took { event } => sheet.view.event(event).is_some_and(|event| {
                matches!(event.kind, EventKind::Transfer(_))
                    || message_of(event).is_some_and(|message| message.is_request())
            }),
            _ => false,
        })
}

/// Says that nothing came, and what came instead.
fn nothing(sheet: &Sheet<'_, '_>, step: &Step, wanted: &Receive) -> String {
    let view = sheet.view;
    let lost =
        |event: &&imspec_reports::record::Event| matches!(event.kind, EventKind::Note { .. });
    let again = if wanted.lose_first && view.step(&step.path).iter().any(lost) {
        " more after the first copy was lost"
    } else {
        ""
    };
    let after = match view.outcome(&step.path) {
        Some(Outcome::TimedOut { after_ms }) => {
            format!("nothing{again} within {}", waited(*after_ms))
        }
        _ => format!("nothing{again}"),
    };
    let started = view.step(&step.path).first().map_or(0, |event| event.id);
    let others = view.trace().events[started as usize..]
        .iter()
        .filter(|event| matches!(event.kind, EventKind::Unclaimed { .. }))
        .filter(|event| match event.kind {
            EventKind::Unclaimed { event } => view
                .event(event)
                .and_then(session::user_of)
                .is_some_and(|user| user == wanted.at),
            _ => false,
        })
        .count();
    if others == 0 {
        after
    } else {
        format!("{after}; {others} other request(s) came to {}", wanted.at)
    }
}
