//! What came back for a message through a session: responses to its chunks, reports, the connection's end.

mod report;

use imspec_reports::record::trace::ConnectionChange;
use imspec_reports::record::{Event, EventKind, Observation, Outcome, Verdict};
use imspec_wire::msrp::FailureReport;

use super::aspect::Aspect;
use super::delivered::in_head;
use super::outcome::Ruling;
use super::request::{self, fits, patterns_words};
use super::{Entry, Sheet};
use crate::evidence::{Frame, View, packet_of};
use crate::scenario::model::{MsrpExpect, MsrpStep, StatusPattern, Step};

/// A request of the step with what came back for it.
struct Exchange<'a> {
    sent: &'a Event,
    frame: Frame,
    response: Option<(&'a Event, Frame)>,
}

/// Judges an `msrp`.
pub(super) fn judge(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &MsrpStep) {
    let view = sheet.view;
    let exchanges: Vec<Exchange<'_>> = view
        .frames_sent(&step.path)
        .into_iter()
        .map(|(sent, frame)| Exchange {
            response: view.response_to(sent, &frame),
            sent,
            frame,
        })
        .collect();
    let Some(expect) = &wanted.expect else {
        return set_up(sheet, step, wanted, &exchanges);
    };
    let covers = expect.covers.as_ref();
    let mut held = true;
    let ruled = if wanted.raw.is_some() && exchanges.is_empty() {
        rule_on_raw(sheet, step, expect)
    } else {
        rule_on_chunks(sheet, step, wanted, expect, &exchanges)
    };
    for (subject, ruling, event) in ruled {
        held &= ruling.verdict == Verdict::Pass;
        let mut entry = Entry::of(step, subject, Observation::Wire)
            .at(&expect.at)
            .covers(covers);
        if let Some(event) = event {
            entry = entry.seen_in(event);
        }
        sheet.write(entry, ruling);
    }
    if expect.closed {
        closed(sheet, step, expect);
    }
    if !held {
        return;
    }
    let last = exchanges.iter().rev().find_map(|one| one.response.as_ref());
    if let Some((event, response)) = last {
        let seen = |name: &str| in_head(&response.head, name);
        let how = (Aspect::Any, covers);
        request::headers_in(sheet, step, &expect.headers, &seen, event.id, how);
    }
    if let Some(report) = &expect.report {
        report::judge(sheet, step, wanted, report, expect);
    }
}

/// Without `expect` the step is set-up, and only its failure is worth a word.
fn set_up(sheet: &mut Sheet<'_, '_>, step: &Step, wanted: &MsrpStep, exchanges: &[Exchange<'_>]) {
    let (_, ruling, event) = worst_of(sheet.view, step, wanted, exchanges, &[]);
    if ruling.verdict != Verdict::Fail {
        return;
    }
    let mut entry = Entry::of(step, "set-up", Observation::Wire);
    if let Some(event) = event {
        entry = entry.seen_in(event);
    }
    let ruling = Ruling {
        verdict: Verdict::Inconclusive,
        ..ruling.note("what this case is about could not be set up")
    };
    sheet.write(entry, ruling);
}

type Ruled = (&'static str, Ruling, Option<u32>);

fn rule_on_chunks(
    sheet: &Sheet<'_, '_>,
    step: &Step,
    wanted: &MsrpStep,
    expect: &MsrpExpect,
    exchanges: &[Exchange<'_>],
) -> Vec<Ruled> {
    let view = sheet.view;
    if expect.last.is_empty() {
        return vec![worst_of(view, step, wanted, exchanges, &expect.status)];
    }
    let (last, before) = match exchanges.split_last() {
        Some((last, before)) => (std::slice::from_ref(last), before),
        None => (exchanges, exchanges),
    };
    let mut ruled = Vec::new();
    if !before.is_empty() {
        ruled.push(worst_of(view, step, wanted, before, &expect.status));
    }
    let (_, ruling, event) = worst_of(view, step, wanted, last, &expect.last);
    ruled.push(("status of the last chunk", ruling, event));
    ruled
}

/// Rules on the responses to several requests: what is wrong first decides. No `patterns`: what RFC 4975 §7.2
/// says.
fn worst_of(
    view: &View<'_>,
    step: &Step,
    wanted: &MsrpStep,
    exchanges: &[Exchange<'_>],
    patterns: &[StatusPattern],
) -> Ruled {
    let many = exchanges.len();
    for (index, one) in exchanges.iter().enumerate() {
        let Some(owed) = owed(wanted, &one.frame, patterns) else {
            continue;
        };
        let status = one.response.as_ref().and_then(|(_, r)| r.head.status());
        if owed.iter().any(|pattern| fits(*pattern, status)) {
            continue;
        }
        // What a cut connection swallowed is not the server's fault.
        if status.is_none() && wanted.cut.is_some() && patterns.is_empty() {
            continue;
        }
        let seen = match &one.response {
            Some((_, response)) => response.first_line(),
            None => silence(view, step),
        };
        let observed = if many > 1 {
            format!("{seen} for chunk {} of {many}", index + 1)
        } else {
            seen
        };
        let event = one.response.as_ref().map_or(one.sent, |(event, _)| event);
        let range = one.response.as_ref().map(|(_, response)| {
            let line = response.head.start_line_range();
            (request::offset(line.start), request::offset(line.end))
        });
        let mut ruling = Ruling::new(Verdict::Fail, patterns_words(&owed), observed).range(range);
        ruling.against = one.response.as_ref().map(|_| one.sent.id);
        return ("status", ruling, Some(event.id));
    }
    let Some(last) = exchanges.last() else {
        let failed = failed_connection(view, step);
        let expected = patterns_words(if patterns.is_empty() {
            &USUAL
        } else {
            patterns
        });
        // Nothing to send: a step that only ends the connection.
        let verdict = match (&failed, patterns) {
            (None, []) => Verdict::Pass,
            (None, patterns) if patterns.contains(&StatusPattern::Silence) => Verdict::Pass,
            _ => Verdict::Fail,
        };
        let observed = failed.unwrap_or_else(|| "nothing was sent".into());
        return ("status", Ruling::new(verdict, expected, observed), None);
    };
    let expected = owed(wanted, &last.frame, patterns);
    let expected = expected.map_or_else(|| "whatever comes".into(), |owed| patterns_words(&owed));
    let observed = match (&last.response, many) {
        (Some((_, response)), 1) => response.first_line(),
        (Some((_, response)), many) => {
            format!(
                "as expected for each of {many} chunks, at the end {}",
                response.first_line()
            )
        }
        (None, _) => "no answer".into(),
    };
    let event = last.response.as_ref().map_or(last.sent, |(event, _)| event);
    (
        "status",
        Ruling::new(Verdict::Pass, expected, observed),
        Some(event.id),
    )
}

const USUAL: [StatusPattern; 1] = [StatusPattern::Code(200)];

/// What a request must be answered with; `None`: whatever comes is right.
fn owed(
    wanted: &MsrpStep,
    frame: &Frame,
    patterns: &[StatusPattern],
) -> Option<Vec<StatusPattern>> {
    if !patterns.is_empty() {
        return Some(patterns.to_vec());
    }
    // Of a request that never ended nothing is owed, and of octets that are none neither.
    if frame.flag.is_none() || wanted.raw.is_some() {
        return None;
    }
    if frame.is_report() {
        return Some(vec![StatusPattern::Silence]);
    }
    Some(match frame.head.failure_report() {
        FailureReport::Yes => USUAL.to_vec(),
        FailureReport::No | FailureReport::Partial => vec![StatusPattern::Silence],
    })
}

/// Octets that are no request: whatever came on the connection is the answer to them.
fn rule_on_raw(sheet: &Sheet<'_, '_>, step: &Step, expect: &MsrpExpect) -> Vec<Ruled> {
    if expect.status.is_empty() {
        return Vec::new();
    }
    let view = sheet.view;
    let responses = view.responses_in(&step.path);
    let wrong = responses.iter().find(|(_, response)| {
        let status = response.head.status();
        !expect.status.iter().any(|pattern| fits(*pattern, status))
    });
    let silent = responses.is_empty();
    let holds = if silent {
        expect.status.contains(&StatusPattern::Silence)
    } else {
        wrong.is_none()
    };
    let observed = match wrong.or(responses.first()) {
        Some((_, response)) => response.first_line(),
        None => silence(view, step),
    };
    let event = wrong.or(responses.first()).map(|(event, _)| event.id);
    let ruling = Ruling::of(holds, patterns_words(&expect.status), observed);
    vec![("status", ruling, event)]
}

fn silence(view: &View<'_>, step: &Step) -> String {
    if let Some(why) = failed_connection(view, step) {
        return why;
    }
    if let Some((_, change)) = ended(view, step) {
        return format!("no answer; the SUT {change} the connection");
    }
    match view.outcome(&step.path) {
        Some(Outcome::TimedOut { after_ms }) => format!("no answer within {after_ms} ms"),
        _ => "no answer".into(),
    }
}

fn failed_connection(view: &View<'_>, step: &Step) -> Option<String> {
    view.step(&step.path)
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::Connection {
                remote,
                change: ConnectionChange::Failed(why),
                ..
            } => Some(format!("no connection to {remote}: {why}")),
            _ => None,
        })
}

/// Where the SUT ended a connection of the step while it ran.
fn ended<'a>(view: &View<'a>, step: &Step) -> Option<(&'a Event, &'static str)> {
    let own = view.step(&step.path);
    let first = own.first()?.id;
    let last = own
        .iter()
        .find(|event| matches!(event.kind, EventKind::StepEnded { .. }))?
        .id;
    let sockets: Vec<&str> = own
        .iter()
        .filter_map(|event| packet_of(event).map(|packet| packet.local.as_str()))
        .collect();
    view.trace().events[first as usize..=last as usize]
        .iter()
        .find_map(|event| match &event.kind {
            EventKind::Connection { local, change, .. }
                if *change == ConnectionChange::Ended
                    && (event.step.as_deref() == Some(step.path.as_str())
                        || sockets.contains(&local.as_str())) =>
            {
                Some((event, "ended"))
            }
            _ => None,
        })
}

fn closed(sheet: &mut Sheet<'_, '_>, step: &Step, expect: &MsrpExpect) {
    let ended = ended(sheet.view, step);
    let mut entry = Entry::of(step, "end of the connection", Observation::Wire);
    if let Some((event, _)) = ended {
        entry = entry.seen_in(event.id);
    }
    let observed = match ended {
        Some(_) => "it did".to_owned(),
        None => failed_connection(sheet.view, step).unwrap_or_else(|| "it stayed open".into()),
    };
    let ruling = Ruling::of(ended.is_some(), "the SUT to end the connection", observed);
    let covers = expect.covers.as_ref();
    sheet.write(entry.at(&expect.at).covers(covers), ruling);
}
