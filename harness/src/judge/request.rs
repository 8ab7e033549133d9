//! What came back for a request that the harness sent: `register`, `message`, `raw`.

use imspec_reports::record::{Observation, Outcome, Verdict};
use imspec_wire::sip::Message;

use super::aspect::Aspect;
use super::matcher::{self, Subject};
use super::outcome::{Observed, Ruling, Seen};
use super::{Entry, Sheet};
use crate::evidence::message_of;
use crate::scenario::model::{Expect, HeaderMatcher, Matcher, StatusPattern, Step};

/// Judges the final response; without `expect` the step is set-up and only its failure is worth a word.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, expect: Option<&Expect>) {
    let view = sheet.view;
    let response = view
        .took(&step.path)
        .and_then(|event| message_of(event).map(|message| (event.id, message)));
    let status = response.as_ref().and_then(|(_, message)| message.status());
    let observed = match (&response, view.outcome(&step.path)) {
        (Some((_, message)), _) => status_line(message),
        (None, Some(Outcome::TimedOut { after_ms })) => {
            format!("no final response within {after_ms} ms")
        }
        (None, _) => "no final response".to_owned(),
    };
    let evidence = response
        .as_ref()
        .map(|(id, _)| *id)
        .or_else(|| view.sent_by(&step.path).map(|(e, _)| e.id));
    let Some(expect) = expect else {
        if !status.is_some_and(|status| (200..300).contains(&status)) {
            let mut entry = Entry::of(step, "set-up", Observation::Wire);
            if let Some(event) = evidence {
                entry = entry.seen_in(event);
            }
            let ruling = Ruling::new(Verdict::Inconclusive, "a 2xx response", observed);
            sheet.write(
                entry,
                ruling.note("what this case is about could not be set up"),
            );
        }
        return;
    };
    let mut entry = Entry::of(step, "status", Observation::Wire)
        .at(&expect.at)
        .covers(expect.covers.as_ref());
    if let Some(event) = evidence {
        entry = entry.seen_in(event);
    }
    let holds = expect.status.iter().any(|pattern| fits(*pattern, status));
    let words = expect
        .status
        .iter()
        .map(|pattern| pattern_words(*pattern))
        .collect::<Vec<_>>()
        .join(" or ");
    let range = response
        .as_ref()
        .map(|(_, message)| (0, first_line_end(message)));
    sheet.write(entry, Ruling::of(holds, words, observed).range(range));
    if let (true, Some((event, message))) = (holds, &response) {
        headers(
            sheet,
            step,
            &expect.headers,
            message,
            *event,
            (Aspect::Any, expect.covers.as_ref()),
        );
        if let Some(matcher) = &expect.body {
            body(
                sheet,
                step,
                matcher,
                message,
                *event,
                (Aspect::Any, expect.covers.as_ref()),
            );
        }
    }
}

/// Checks header matchers against a message that was received; `how`: what they are about, and the
/// requirements where the scenario names them.
pub(super) fn headers(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    matchers: &[HeaderMatcher],
    message: &Message,
    event: u32,
    how: (Aspect, Option<&Vec<String>>),
) {
    let (aspect, covers) = how;
    for matcher in matchers {
        match matcher {
            HeaderMatcher::Named { name, matcher, at } => {
                let Ok(name) = sheet.view.text(name, &step.path) else {
                    continue;
                };
                let observed = Observed::Known(fields(message, &name));
                let subject = Subject::Header {
                    name: &name,
                    stored: false,
                };
                let ruling = matcher::rule(sheet, matcher, &observed, &subject, &step.path);
                let entry =
                    Entry::of(step, format!("header {name}"), Observation::Wire).about(aspect);
                sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
            }
            HeaderMatcher::SameAs { of, except, at } => {
                let sent = sheet
                    .view
                    .text(of, &step.path)
                    .ok()
                    .and_then(|name| sheet.view.message(&name));
                let Some((sent_event, sent)) = sent else {
                    continue;
                };
                for name in super::stored::names_to_compare(&sent, except, true) {
                    let seen = fields(message, &name);
                    let range = seen.first().and_then(|one| one.range);
                    let mut ruling =
                        super::compare::header(&name, &sent, &seen, false, false).range(range);
                    ruling.against = Some(sent_event.id);
                    let entry =
                        Entry::of(step, format!("header {name}"), Observation::Wire).about(aspect);
                    sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
                }
            }
        }
    }
}

/// Checks a body matcher against a message that was received; `how` as in [`headers`].
pub(super) fn body(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    matcher: &Matcher,
    message: &Message,
    event: u32,
    how: (Aspect, Option<&Vec<String>>),
) {
    let (aspect, covers) = how;
    let range = message.body_range();
    let seen = Seen {
        name: String::new(),
        value: message.body().to_vec(),
        raw: message.body().to_vec(),
        range: Some((offset(range.start), offset(range.end))),
    };
    // A message without a body has no octets, which is also what an empty body is.
    let absent = message.body().is_empty()
        && matches!(
            matcher.kind,
            crate::scenario::model::MatcherKind::Present
                | crate::scenario::model::MatcherKind::Absent
        );
    let observed = Observed::Known(if absent { Vec::new() } else { vec![seen] });
    let ruling = matcher::rule(sheet, matcher, &observed, &Subject::Body, &step.path);
    let entry = Entry::of(step, "body", Observation::Wire).about(aspect);
    sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
}

/// All fields of a name in a message.
pub(super) fn fields(message: &Message, name: &str) -> Vec<Seen> {
    message
        .headers_named(name)
        .map(|header| {
            let range = header.value_range();
            Seen {
                name: header.name().to_owned(),
                value: header.value().into_owned(),
                raw: header.raw_value().to_vec(),
                range: Some((offset(header.offset()), offset(range.end))),
            }
        })
        .collect()
}

fn fits(pattern: StatusPattern, status: Option<u16>) -> bool {
    match (pattern, status) {
        (StatusPattern::Code(wanted), Some(status)) => status == wanted,
        (StatusPattern::Class(class), Some(status)) => status / 100 == class,
        (StatusPattern::Silence, None) => true,
        (StatusPattern::Silence, Some(_)) | (_, None) => false,
    }
}

fn pattern_words(pattern: StatusPattern) -> String {
    match pattern {
        StatusPattern::Code(code) => code.to_string(),
        StatusPattern::Class(class) => format!("{class}xx"),
        StatusPattern::Silence => "no answer".into(),
    }
}

fn status_line(message: &Message) -> String {
    String::from_utf8_lossy(&message.octets()[..first_line_end(message) as usize])
        .trim()
        .to_owned()
}

fn first_line_end(message: &Message) -> u32 {
    let octets = message.octets();
    let start = octets
        .iter()
        .position(|octet| !octet.is_ascii_whitespace())
        .unwrap_or(0);
    let length = octets[start..]
        .iter()
        .position(|octet| matches!(octet, b'\r' | b'\n'))
        .unwrap_or(octets.len() - start);
    offset(start + length)
}

pub(super) fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
