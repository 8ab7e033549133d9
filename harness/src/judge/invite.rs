//! What came back for an INVITE, and how `bye` and `cancel` differ from other requests.

use imspec_reports::record::{Observation, Verdict};

use super::matcher::{self, Subject};
use super::outcome::{Observed, Ruling};
use super::{Entry, Sheet, request};
use crate::evidence::{message_of, sdp};
use crate::scenario::model::{Bye, Cancel, Invite, Step, Until};

/// Judges an `invite`.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Invite) {
    let response = sheet
        .view
        .took(&step.path)
        .and_then(|event| message_of(event).map(|message| (event.id, message)));
    let status = response.as_ref().and_then(|(_, message)| message.status());
    // The case went on before the final response; what it comes to is the business of a later step.
    if wanted.until != Until::Final && wanted.expect.is_none() {
        return;
    }
    let fits = wanted.expect.as_ref().is_some_and(|expect| {
        let mut patterns = expect.status.iter();
        patterns.any(|pattern| request::fits(*pattern, status))
    });
    if let (Some((event, message)), false) = (&response, fits)
        && let Some(why) = refused_at_all(sheet, message.status().unwrap_or_default())
    {
        let entry = Entry::of(step, "status", Observation::Wire).seen_in(*event);
        let observed = format!("{}; {why}", request::status_line(message));
        let ruling = Ruling::new(Verdict::Inconclusive, "a message session", observed);
        return sheet.write(entry, ruling);
    }
    request::judge(sheet, step, wanted.expect.as_ref());
    if let (Some((event, message)), Some(expect), true) = (&response, &wanted.expect, fits) {
        let body = message.body_bytes();
        for (name, matcher) in &wanted.expect_sdp {
            description(
                sheet,
                step,
                (name, matcher),
                &body,
                *event,
                expect.covers.as_ref(),
            );
        }
    }
}

/// Why a refusal says nothing about how message sessions are stored: the server does not defer them, as far
/// as anybody knows. That it must is not written (WD-03).
fn refused_at_all(sheet: &Sheet<'_, '_>, status: u16) -> Option<&'static str> {
    // Not 400, 481, 5xx in general: those complain of this request, not of message sessions.
    const NO_SESSIONS: [u16; 15] = [
        403, 404, 405, 406, 410, 415, 480, 486, 488, 501, 503, 600, 603, 604, 606,
    ];
    if !NO_SESSIONS.contains(&status) {
        return None;
    }
    match sheet.context.pics.get("store.modes") {
        None => {
            Some("the profile does not declare store.modes, so it may defer no message sessions")
        }
        Some(declared) if !names_session(declared) => {
            Some("the profile declares in store.modes that it defers no message sessions")
        }
        Some(_) => None,
    }
}

fn names_session(declared: &serde_json::Value) -> bool {
    match declared {
        serde_json::Value::Array(list) => list.iter().any(|one| one.as_str() == Some("session")),
        one => one.as_str() == Some("session"),
    }
}

/// Checks one thing that a session description says.
pub(super) fn description(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    (name, matcher): (&str, &crate::scenario::model::Matcher),
    body: &[u8],
    event: u32,
    covers: Option<&Vec<String>>,
) {
    let is_denied = matches!(
        matcher.kind,
        crate::scenario::model::MatcherKind::Absent | crate::scenario::model::MatcherKind::Not(_)
    );
    let entry = Entry::of(step, format!("SDP {name}"), Observation::Wire);
    let entry = entry.at(&matcher.at).covers(covers).seen_in(event);
    if !sdp::is_there(body) && !is_denied {
        let ruling = Ruling::new(
            Verdict::Fail,
            "a session description with a message line",
            if body.is_empty() {
                "no session description"
            } else {
                "no message line in the body"
            },
        );
        return sheet.write(entry, ruling);
    }
    let seen = sdp::value(body, name);
    let observed = Observed::of_values(
        seen.map(|value| crate::evidence::Value::Octets(value.into_bytes()))
            .into_iter()
            .collect(),
    );
    let ruling = matcher::rule(sheet, matcher, &observed, &Subject::Value, &step.path);
    sheet.write(entry, ruling);
}

/// Judges a `bye`. A session may have ended before: the server is a party of it and may end it, too.
pub(super) fn judge_bye(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Bye) {
    let view = sheet.view;
    let took = view.took(&step.path);
    if view.sent_by(&step.path).is_none() && took.is_none() {
        if wanted.expect.is_some() {
            let why = "the SUT had ended the session before";
            sheet.inconclusive(step, why.into());
        }
        return;
    }
    let status = took
        .and_then(message_of)
        .and_then(|message| message.status());
    // A BYE that crosses the server's own finds no session any more (RFC 3261 §15.1.2).
    if wanted.expect.is_none() && status == Some(481) {
        return;
    }
    request::judge(sheet, step, wanted.expect.as_ref());
}

/// Judges a `cancel`: without `expect` whatever comes is right, since the INVITE may have been answered
/// before.
pub(super) fn judge_cancel(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &Cancel) {
    if wanted.expect.is_some() {
        request::judge(sheet, step, wanted.expect.as_ref());
    }
}
