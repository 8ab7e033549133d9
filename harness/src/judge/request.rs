//! What came back for a request that the harness sent: `register`, `message`, `raw`.

use imspec_reports::record::{Observation, Outcome, Verdict};
use imspec_wire::sip::Message;

use super::aspect::Aspect;
use super::matcher::{self, BodySeen, Subject};
use super::outcome::{Observed, Ruling, Seen, waited};
use super::{Entry, Sheet};
use crate::evidence::fields::Fields;
use crate::evidence::{Content, message_of};
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
            format!("no final response within {}", waited(*after_ms))
        }
        (None, _) => "no final response".to_owned(),
    };
    let evidence = response
        .as_ref()
        .map(|(id, _)| *id)
        .or_else(|| view.sent_by(&step.path).map(|(e, _)| e.id));
    if evidence.is_none() && view.outcome(&step.path) == Some(&Outcome::Done) {
        // Done in another way than by a request, as `registration` and `offline` of the profile may say.
        return;
    }
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
    let words = patterns_words(&expect.status);
    let range = response
        .as_ref()
        .map(|(_, message)| (0, first_line_end(message)));
    let mut ruling = Ruling::of(holds, words, observed).range(range);
    if !holds && is_deferral_open(sheet, expect, status) {
        ruling.verdict = Verdict::Inconclusive;
        ruling = ruling.note(
            "the profile does not declare store.modes, so messages of this kind may not be deferred at all",
        );
    }
    sheet.write(entry, ruling);
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

/// Whether a refusal may mean that the provider defers no messages of this kind (WD-03): the scenario needs
/// one that does, and the profile says nothing of it.
fn is_deferral_open(sheet: &Sheet<'_, '_>, expect: &Expect, status: Option<u16>) -> bool {
    let wants_it = |pattern: &StatusPattern| (200..300).any(|code| fits(*pattern, Some(code)));
    matches!(status, Some(403 | 405 | 480 | 488 | 501))
        && !sheet.context.pics.contains_key("store.modes")
        && expect.status.iter().any(wants_it)
        && sheet
            .view
            .case()
            .scenario
            .when
            .iter()
            .any(|(key, _)| key == "store.modes")
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
    let seen = |name: &str| fields(message, name);
    headers_in(sheet, step, matchers, &seen, event, how);
}

/// The same against whatever has header fields.
pub(super) fn headers_in(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    matchers: &[HeaderMatcher],
    seen: &dyn Fn(&str) -> Vec<Seen>,
    event: u32,
    how: (Aspect, Option<&Vec<String>>),
) {
    let (aspect, covers) = how;
    for wanted in wanted_headers(sheet, step, matchers) {
        let ruling = wanted.rule(sheet, step, &Observed::Known(seen(&wanted.name)), None);
        let entry = Entry::of(step, format!("header {}", wanted.name), Observation::Wire);
        let entry = entry.about(aspect).at(wanted.at).covers(covers);
        sheet.write(entry.seen_in(event), ruling);
    }
}

/// What is asked of the fields of one name in something that was received.
pub(super) struct WantedHeader<'s> {
    pub(super) name: String,
    pub(super) at: &'s imspec_reports::record::Location,
    kind: Asked<'s>,
}

enum Asked<'s> {
    /// By a matcher.
    Matcher(&'s Matcher),
    /// As part of a set: that they are those of the original.
    Original {
        name: String,
        event: u32,
        fields: Fields,
    },
}

impl WantedHeader<'_> {
    /// Rules on the fields observed.
    pub(super) fn rule(
        &self,
        sheet: &Sheet<'_, '_>,
        step: &Step,
        observed: &Observed,
        range: Option<(u32, u32)>,
    ) -> Ruling {
        match (&self.kind, observed) {
            (Asked::Matcher(matcher), observed) => {
                let subject = Subject::Header {
                    name: &self.name,
                    stored: false,
                    part: None,
                };
                matcher::rule(sheet, matcher, observed, &subject, &step.path)
            }
            (Asked::Original { event, fields, .. }, Observed::Known(seen)) => {
                let range = range.or_else(|| seen.first().and_then(|one| one.range));
                let ruling = super::compare::header(&self.name, fields, seen, false, false);
                Ruling {
                    against: Some(*event),
                    ..ruling.range(range)
                }
            }
            (Asked::Original { .. }, Observed::Unknown(why)) => {
                Ruling::new(Verdict::Inconclusive, "as in the message sent", why.clone())
            }
        }
    }

    /// The name of the message with which it is compared, where it is.
    pub(super) fn original(&self, sheet: &Sheet<'_, '_>, step: &Step) -> Option<String> {
        match &self.kind {
            Asked::Original { name, .. } => Some(name.clone()),
            Asked::Matcher(matcher) => {
                original_of(matcher).and_then(|template| sheet.view.text(template, &step.path).ok())
            }
        }
    }

    /// Whether it is asked that something does not stand there.
    pub(super) fn denies(&self) -> bool {
        use crate::scenario::model::MatcherKind;
        matches!(&self.kind, Asked::Matcher(matcher)
            if matches!(matcher.kind, MatcherKind::Not(_) | MatcherKind::Absent))
    }
}

/// The message that a matcher compares with.
fn original_of(matcher: &Matcher) -> Option<&crate::scenario::Template> {
    use crate::scenario::model::MatcherKind;
    match &matcher.kind {
        MatcherKind::SameAs(name) | MatcherKind::IdenticalTo(name) => Some(name),
        MatcherKind::Not(inner) => original_of(inner),
        MatcherKind::OneOf(all) | MatcherKind::AllOf(all) | MatcherKind::List(all) => {
            all.iter().find_map(original_of)
        }
        _ => None,
    }
}

/// Takes header matchers apart: one entry a name.
pub(super) fn wanted_headers<'s>(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    matchers: &'s [HeaderMatcher],
) -> Vec<WantedHeader<'s>> {
    let mut wanted = Vec::new();
    for matcher in matchers {
        match matcher {
            HeaderMatcher::Named { name, matcher, at } => {
                if let Ok(name) = sheet.view.text(name, &step.path) {
                    let kind = Asked::Matcher(matcher);
                    wanted.push(WantedHeader { name, at, kind });
                }
            }
            HeaderMatcher::SameAs { of, except, at } => {
                let Ok(of) = sheet.view.text(of, &step.path) else {
                    continue;
                };
                let Some((event, fields)) = sheet.view.original(&of, None) else {
                    continue;
                };
                let names = super::stored::names_to_compare(&fields, except, true);
                wanted.extend(names.into_iter().map(|name| WantedHeader {
                    name,
                    at,
                    kind: Asked::Original {
                        name: of.clone(),
                        event: event.id,
                        fields: fields.clone(),
                    },
                }));
            }
        }
    }
    wanted
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
    let range = Some((offset(range.start), offset(range.end)));
    let ruling = rule_on_body(sheet, step, matcher, &Content::from(message), range, false);
    let entry = Entry::of(step, "body", Observation::Wire).about(aspect);
    sheet.write(entry.at(&matcher.at).covers(covers).seen_in(event), ruling);
}

/// Rules on a body, of which perhaps only number and digest of the octets are known.
pub(super) fn rule_on_body(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    matcher: &Matcher,
    content: &Content,
    range: Option<(u32, u32)>,
    delivered: bool,
) -> Ruling {
    use crate::scenario::model::MatcherKind;
    let observed = match content.octets() {
        // A message without a body has no octets, which is also what an empty body is.
        Some(octets)
            if octets.is_empty()
                && matches!(matcher.kind, MatcherKind::Present | MatcherKind::Absent) =>
        {
            Observed::Known(Vec::new())
        }
        Some(octets) => Observed::Known(vec![Seen {
            range,
            ..Seen::value(octets.to_vec())
        }]),
        None => Observed::Unknown(format!(
            "a body of {} octets, too long for the trace to hold it",
            content.length()
        )),
    };
    let content = Some(content);
    let subject = Subject::Body(BodySeen { content, delivered });
    matcher::rule(sheet, matcher, &observed, &subject, &step.path)
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

pub(super) fn fits(pattern: StatusPattern, status: Option<u16>) -> bool {
    match (pattern, status) {
        (StatusPattern::Code(wanted), Some(status)) => status == wanted,
        (StatusPattern::Class(class), Some(status)) => status / 100 == class,
        (StatusPattern::Silence, None) => true,
        (StatusPattern::Silence, Some(_)) | (_, None) => false,
    }
}

/// Statuses for a sentence.
pub(super) fn patterns_words(patterns: &[StatusPattern]) -> String {
    let words: Vec<String> = patterns.iter().copied().map(pattern_words).collect();
    words.join(" or ")
}

fn pattern_words(pattern: StatusPattern) -> String {
    match pattern {
        StatusPattern::Code(code) => code.to_string(),
        StatusPattern::Class(class) => format!("{class}xx"),
        StatusPattern::Silence => "no answer".into(),
    }
}

pub(super) fn status_line(message: &Message) -> String {
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
