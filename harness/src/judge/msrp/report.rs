//! REPORTs on a message: to whom, about which octets, with what status (RFC 4975 §7.1.2, §7.1.3).

use imspec_reports::record::{Event, EventKind, Observation, Verdict};
use imspec_wire::msrp::Coverage;

use crate::evidence::{Frame, Saved, SessionMessage, View};
use crate::judge::aspect::Aspect;
use crate::judge::delivered::in_head;
use crate::judge::matcher::{self, Subject};
use crate::judge::outcome::{Observed, Ruling, show};
use crate::judge::request::{self, fits, patterns_words};
use crate::judge::{Entry, Sheet};
use crate::scenario::model::{MsrpExpect, MsrpStep, ReportExpect, StatusPattern, Step};

/// Judges the REPORTs that came for the message of a step.
pub(super) fn judge(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    wanted: &MsrpStep,
    expected: &ReportExpect,
    expect: &MsrpExpect,
) {
    let view = sheet.view;
    let Some(message) = message_of_step(view, step, wanted) else {
        return;
    };
    let own = view.step(&step.path);
    let ended = |event: &&&Event| matches!(event.kind, EventKind::StepEnded { .. });
    let until = own.iter().find(ended).map_or(u32::MAX, |event| event.id);
    let began = own.first().map_or(0, |event| event.id);
    let all = view.reports_on(&message, until);
    let entry = |event: Option<u32>| {
        let entry = Entry::of(step, "report", Observation::Wire)
            .at(&expect.at)
            .covers(expect.covers.as_ref());
        match event {
            Some(event) => entry.seen_in(event),
            None => entry,
        }
    };
    if *expected == ReportExpect::None {
        let first = all.iter().find(|(event, _)| event.id >= began);
        let seen = first.map_or_else(|| "none".into(), |(_, report)| in_words(report));
        let ruling = Ruling::of(first.is_none(), "no REPORT", seen);
        return sheet.write(entry(first.map(|(event, _)| event.id)), ruling);
    }
    let sent = Sent::of(view, &message);
    for (event, report) in &all {
        if let Err(ruling) = sent.allows(report) {
            return sheet.write(entry(Some(event.id)), *ruling);
        }
    }
    match expected {
        ReportExpect::None | ReportExpect::Any => {}
        ReportExpect::Success => {
            let (ruling, event) = rule_on_success(sheet, &sent, &all);
            sheet.write(entry(event), ruling);
        }
        ReportExpect::Like {
            status,
            range,
            headers,
        } => {
            let like = |report: &Frame| {
                let seen = status_of(report);
                status.is_empty() || status.iter().any(|pattern| fits(*pattern, seen))
            };
            let found = all.iter().rev().find(|(_, report)| like(report));
            let words = match status.as_slice() {
                [] => "a REPORT".to_owned(),
                status => format!("a REPORT with status {}", patterns_words(status)),
            };
            let Some((event, report)) = found else {
                let seen = all
                    .last()
                    .map_or_else(|| "none".into(), |(_, r)| in_words(r));
                let last = all.last().map(|(event, _)| event.id);
                let ruling = match none_came(sheet).filter(|_| all.is_empty()) {
                    Some(why) if expects_success(status) => {
                        Ruling::new(Verdict::Inconclusive, words, why)
                    }
                    _ => Ruling::new(Verdict::Fail, words, seen),
                };
                return sheet.write(entry(last), ruling);
            };
            sheet.write(
                entry(Some(event.id)),
                Ruling::of(true, words, in_words(report)),
            );
            if let Some(matcher) = range {
                let seen = Observed::Known(in_head(&report.head, "Byte-Range"));
                let ruling = matcher::rule(sheet, matcher, &seen, &Subject::Value, &step.path);
                let entry = Entry::of(step, "Byte-Range of the report", Observation::Wire)
                    .at(&matcher.at)
                    .covers(expect.covers.as_ref());
                sheet.write(entry.seen_in(event.id), ruling);
            }
            let seen = |name: &str| in_head(&report.head, name);
            let how = (Aspect::Any, expect.covers.as_ref());
            request::headers_in(sheet, step, headers, &seen, event.id, how);
        }
    }
}

fn expects_success(status: &[StatusPattern]) -> bool {
    status.is_empty() || status.iter().any(|pattern| fits(*pattern, Some(200)))
}

/// The message of which a step sent chunks.
fn message_of_step<'a>(
    view: &View<'a>,
    step: &Step,
    wanted: &MsrpStep,
) -> Option<SessionMessage<'a>> {
    let of_step = view
        .step(&step.path)
        .iter()
        .find_map(|event| view.session_message(event));
    of_step.or_else(|| {
        let name = view.text(wanted.continues.as_ref()?, &step.path).ok()?;
        match view.saved(&name)? {
            Saved::Transfer(message) => Some(message),
            _ => None,
        }
    })
}

/// Reports that together say 200 for every octet. When a store reports is open (WD-46, RFC 4975 §7.1.3 speaks
/// of the final destination): that none came is a failure only where it is declared to come.
fn rule_on_success(
    sheet: &Sheet<'_, '_>,
    sent: &Sent,
    all: &[(&Event, Frame)],
) -> (Ruling, Option<u32>) {
    let expected = format!("reports of success for all {} octets", sent.octets);
    let Some((last, _)) = all.last() else {
        let ruling = match none_came(sheet) {
            Some(why) => Ruling::new(Verdict::Inconclusive, expected, why),
            None => Ruling::new(Verdict::Fail, expected, "none"),
        };
        return (ruling, None);
    };
    let mut covered = Coverage::new(all.len() + 1);
    for (event, report) in all {
        if status_of(report) != Some(200) {
            let ruling = Ruling::new(Verdict::Fail, expected, in_words(report));
            return (ruling, Some(event.id));
        }
        // One fragment a report at most: there is always room.
        let _ = covered.insert(range_of(report).unwrap_or(0..sent.octets));
    }
    let observed = match covered.first_gap(sent.octets) {
        None => "each of them is reported".to_owned(),
        Some(gap) => format!("no report for {}-{}", gap.start + 1, gap.end),
    };
    let ruling = Ruling::of(covered.is_complete(sent.octets), expected, observed);
    (ruling, Some(last.id))
}

/// Why it may be right that no success was reported.
fn none_came(sheet: &Sheet<'_, '_>) -> Option<String> {
    let declared = sheet.context.pics.get("lm.success_report");
    match declared.and_then(|value| value.as_str()) {
        Some("on-store") => None,
        Some(other) => Some(format!(
            "none; the profile declares lm.success_report: {other}"
        )),
        None => Some("none; the profile does not declare lm.success_report (WD-46)".into()),
    }
}

/// What was sent of a message, against which reports are held.
struct Sent {
    /// Length of the message, or up to where it went.
    octets: u64,
    /// What went out.
    parts: Coverage,
    /// From-Path of its chunks.
    path: Option<Vec<u8>>,
    /// Whether all of the message went out, so that its length is known.
    whole: bool,
}

/// From so many chunks on the trace need not have them all.
const MANY: usize = 64;

impl Sent {
    fn of(view: &View<'_>, message: &SessionMessage<'_>) -> Self {
        let frames = view.frames_of(message.transfer);
        let mut parts = Coverage::new(frames.len() + 1);
        if message.transfer.complete {
            let _ = parts.insert(0..message.transfer.digest.octets);
        }
        for frame in &frames {
            let _ = parts.insert(frame.range());
        }
        // Of very many chunks the trace has the first and the last only.
        if frames.len() >= MANY {
            let _ = parts.insert(0..parts.end());
        }
        let path = frames
            .first()
            .and_then(|frame| frame.head.header("From-Path"))
            .map(|field| field.value().trim_ascii().to_vec());
        Self {
            octets: parts.end(),
            parts,
            path,
            whole: message.transfer.complete,
        }
    }

    /// Whether a report may be as it is: to the right place, and about octets that were sent (RFC 4975 §7.1.2,
    /// §7.1.3).
    fn allows(&self, report: &Frame) -> Result<(), Box<Ruling>> {
        let to = report.head.header("To-Path");
        let to = to.map(|field| field.value().trim_ascii().to_vec());
        if let Some(path) = &self.path
            && to.as_ref() != Some(path)
        {
            let observed = to.map_or_else(|| "no To-Path".into(), |to| show(&to));
            let expected = format!("the From-Path of the SEND as To-Path: {}", show(path));
            return Err(Box::new(Ruling::new(Verdict::Fail, expected, observed)));
        }
        if report
            .head
            .status_header()
            .is_none_or(|status| status.is_err())
        {
            let expected = "a Status of the form 000 200";
            let ruling = Ruling::new(Verdict::Fail, expected, in_words(report));
            return Err(Box::new(ruling));
        }
        if report.head.byte_range().is_some_and(|range| range.is_err()) {
            let expected = "a Byte-Range that counts octets from 1";
            let ruling = Ruling::new(Verdict::Fail, expected, in_words(report));
            return Err(Box::new(ruling));
        }
        let total = report.head.byte_range().and_then(Result::ok);
        if let Some(total) = total.and_then(|range| range.total)
            && self.whole
            && total != self.octets
        {
            let expected = format!("a Byte-Range of {} octets in all, or of `*`", self.octets);
            let ruling = Ruling::new(Verdict::Fail, expected, in_words(report));
            return Err(Box::new(ruling));
        }
        let Some(range) = range_of(report) else {
            return Ok(());
        };
        let known = self
            .parts
            .parts()
            .any(|part| part.start <= range.start && range.end <= part.end);
        if known || status_of(report) != Some(200) || range.is_empty() {
            return Ok(());
        }
        let observed = format!("{}, and those were never sent", in_words(report));
        let expected = format!("a report about the octets sent, 1-{}", self.octets);
        Err(Box::new(Ruling::new(Verdict::Fail, expected, observed)))
    }
}

fn status_of(report: &Frame) -> Option<u16> {
    let status = report.head.status_header()?.ok()?;
    Some(status.code)
}

/// The octets that a report speaks of, from 0; `None` where it does not say.
fn range_of(report: &Frame) -> Option<std::ops::Range<u64>> {
    let range = report.head.byte_range()?.ok()?;
    let end = range.end.or(range.total)?;
    Some(range.start.saturating_sub(1)..end)
}

fn in_words(report: &Frame) -> String {
    let field = |name: &str| {
        let field = report.head.header(name);
        field.map_or_else(
            || format!("no {name}"),
            |field| field.text().trim().to_owned(),
        )
    };
    format!(
        "a REPORT with {} for {}",
        field("Status"),
        field("Byte-Range")
    )
}
