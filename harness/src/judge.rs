//! Verdicts as a pure function of trace, requirements and waivers. No I/O, no clock, no dice: the same
//! trace gives the same verdicts, today and when it is judged again.

mod aspect;
mod compare;
mod delivered;
mod invite;
mod lapse;
mod matcher;
mod msrp;
mod outcome;
mod protocol;
mod receive;
mod request;
mod run;
mod silence;
mod stored;
mod waive;
pub mod waiver;
mod weigh;

use imspec_reports::record::trace::StoreResult;
use imspec_reports::record::{
    Check, EventKind, Evidence, Location, Observation, Outcome, StoredMessage, Trace, Verdict,
};

use crate::catalogue::Catalogue;
use crate::evidence::{View, message_of};
use crate::scenario::model::{Case, Pics, Step, Verb};

pub use run::{Judged, RunFacts, record};
pub(crate) use run::{assemble, written};
pub use weigh::{Weighed, weigh};

use aspect::{Aspect, Store};
use outcome::{Observed, Ruling};

/// What judging needs besides case and trace.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the maker declares.
    pub pics: &'a Pics,
    /// What each requirement is about.
    pub catalogue: &'a Catalogue,
}

/// The verdict of a case with everything that led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The worst of the checks.
    pub verdict: Verdict,
    /// The first reason of that verdict, unless it is `pass` or `none`.
    pub reason: Option<String>,
    /// In the order of the steps.
    pub checks: Vec<JudgedCheck>,
    /// The first thing that did not hold was waited for in vain. With more time it might have come, so the case
    /// is worth a second run before the SUT is blamed.
    pub late: bool,
}

/// A check, and whether its failure contradicts only the profile.
#[derive(Debug, Clone, PartialEq)]
pub struct JudgedCheck {
    /// For the record.
    pub check: Check,
    /// The SUT does something legal that its profile does not declare.
    pub mismatch: bool,
    /// It did not hold when the time for it was over; nothing wrong was seen.
    pub late: bool,
}

/// Judges one case.
pub fn judge(case: &Case, trace: &Trace, context: Context<'_>) -> Judgement {
    let pics = declared(context.pics, trace);
    let context = Context {
        pics: &pics,
        ..context
    };
    let view = View::new(case, trace);
    let mut sheet = Sheet {
        view: &view,
        context,
        checks: Vec::new(),
        store: store_in(trace),
        late: None,
    };
    sheet.steps(&case.steps);
    let checks = sheet.checks;
    let first = checks
        .iter()
        .find(|judged| judged.check.verdict > Verdict::Pass);
    let late = first.is_some_and(|judged| judged.late);
    let verdict = fold(checks.iter().map(|judged| judged.check.verdict));
    let reason = (verdict > Verdict::Pass)
        .then(|| checks.iter().find(|judged| judged.check.verdict == verdict))
        .flatten()
        .map(|judged| sentence(&judged.check));
    Judgement {
        verdict,
        reason,
        checks,
        late,
    }
}

/// What is declared in this case: the profile, and what the runner set before the case began.
fn declared(pics: &Pics, trace: &Trace) -> Pics {
    let mut pics = pics.clone();
    for event in trace.events.iter().filter(|event| event.step.is_none()) {
        if let EventKind::PolicySet { values } = &event.kind {
            pics.extend(values.clone());
        }
    }
    pics
}

/// Whether a store adapter showed the content of any record.
fn store_in(trace: &Trace) -> Store {
    let seen = trace.events.iter().any(|event| {
        matches!(&event.kind, EventKind::StoreRead { result: StoreResult::Records(records), .. }
            if records.iter().any(shows_content))
    });
    if seen { Store::Seen } else { Store::Hidden }
}

fn shows_content(record: &StoredMessage) -> bool {
    let body = record.body.known().is_some() || record.body_digest.known().is_some();
    let send = record.send.known();
    body && (record.headers_complete || send.is_some_and(|send| send.headers_complete))
}

/// The verdict algebra: the worst wins, in whatever order; nothing is `none`.
pub fn fold(verdicts: impl IntoIterator<Item = Verdict>) -> Verdict {
    verdicts.into_iter().fold(Verdict::None, Verdict::and)
}

/// A check in one sentence.
pub(crate) fn sentence(check: &Check) -> String {
    match check.verdict {
        Verdict::Inconclusive | Verdict::Error => format!("{}: {}", check.subject, check.observed),
        _ => format!(
            "{}: expected {}, observed {}",
            check.subject, check.expected, check.observed
        ),
    }
}

/// The checks of a case while they are written.
struct Sheet<'v, 'a> {
    view: &'v View<'a>,
    context: Context<'a>,
    checks: Vec<JudgedCheck>,
    store: Store,
    /// Once the case was too slow for a boundary in time, what fails afterwards proves nothing: why.
    late: Option<String>,
}

/// One judged expectation, before it is written down.
struct Entry<'s> {
    step: &'s Step,
    at: &'s Location,
    covers: Option<&'s Vec<String>>,
    aspect: Aspect,
    subject: String,
    observation: Observation,
    evidence: Option<Evidence>,
}

impl<'s> Entry<'s> {
    fn of(step: &'s Step, subject: impl Into<String>, observation: Observation) -> Self {
        Self {
            step,
            at: &step.at,
            covers: None,
            aspect: Aspect::Any,
            subject: subject.into(),
            observation,
            evidence: None,
        }
    }

    fn at(mut self, at: &'s Location) -> Self {
        self.at = at;
        self
    }

    fn about(mut self, aspect: Aspect) -> Self {
        self.aspect = aspect;
        self
    }

    fn covers(mut self, covers: Option<&'s Vec<String>>) -> Self {
        self.covers = covers.or(self.covers);
        self
    }

    fn seen_in(mut self, event: u32) -> Self {
        self.evidence = Some(Evidence {
            event,
            range: None,
            against: None,
        });
        self
    }
}

impl Sheet<'_, '_> {
    fn steps(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    fn step(&mut self, step: &Step) {
        let Some(outcome) = self.view.outcome(&step.path) else {
            // Begun but not ended only when the run was cut off in the middle; not begun when a branch of
            // `when` was not taken.
            if !self.view.step(&step.path).is_empty() {
                self.inconclusive(step, "the run ended in the middle of this step".into());
            }
            return;
        };
        match outcome {
            Outcome::NotReached { .. } => return,
            Outcome::Impossible { why } => return self.inconclusive(step, why.clone()),
            Outcome::Broken { why } => {
                let entry = Entry::of(step, step.verb.name(), Observation::Harness);
                return self.write(
                    entry,
                    Ruling::new(Verdict::Error, "the step to run", why.clone()),
                );
            }
            Outcome::Done | Outcome::TimedOut { .. } => {}
        }
        match &step.verb {
            Verb::Register(register) => request::judge(self, step, register.expect.as_ref()),
            Verb::Message(message) => request::judge(self, step, message.expect.as_ref()),
            Verb::Invite(wanted) => invite::judge(self, step, wanted),
            Verb::Msrp(wanted) => msrp::judge(self, step, wanted),
            Verb::Bye(wanted) => invite::judge_bye(self, step, wanted),
            Verb::Cancel(wanted) => invite::judge_cancel(self, step, wanted),
            Verb::Raw(raw) if raw.expect.is_none() => {}
            Verb::Raw(raw) => request::judge(self, step, raw.expect.as_ref()),
            Verb::Receive(wanted) => receive::judge(self, step, wanted),
            Verb::Silence(wanted) => silence::judge(self, step, wanted),
            Verb::Stored(wanted) => stored::judge(self, step, wanted),
            Verb::Check(check) => self.check(step, check),
            // Which branch was taken stands in the trace: the steps of the other were never begun.
            Verb::When(when) => {
                self.steps(&when.then);
                self.steps(&when.otherwise);
            }
            Verb::Reading(readings) => {
                for (defect, reading) in readings {
                    let entry =
                        Entry::of(step, format!("reading of {defect}"), Observation::Harness)
                            .covers(Some(NO_REQUIREMENT));
                    self.write(
                        entry,
                        Ruling::new(Verdict::Pass, "one of the readings", reading.clone()),
                    );
                }
            }
            Verb::Parallel(branches) => branches.iter().for_each(|branch| self.steps(branch)),
            Verb::Wait(wait) => self.guard(step, wait),
            Verb::Restart(_) | Verb::Policy(_) | Verb::Repeat(_) => {}
        }
    }

    fn check(&mut self, step: &Step, check: &crate::scenario::model::CheckStep) {
        let mut values = Vec::new();
        for template in &check.values {
            match self.view.resolve(template, &step.path) {
                Ok(crate::evidence::Value::List(list)) => values.extend(list),
                Ok(value) => values.push(value),
                Err(why) => values.push(crate::evidence::Value::Unknown(why.to_string())),
            }
        }
        let observed = Observed::of_values(values);
        let ruling = matcher::rule(
            self,
            &check.is,
            &observed,
            &matcher::Subject::Value,
            &step.path,
        );
        let observation = self.observation_of(&check.values);
        let entry = Entry {
            evidence: self.evidence_of(&check.values),
            ..Entry::of(step, "value", observation)
        };
        self.write(entry.at(&check.is.at), ruling);
    }

    /// `- tolerance` means "surely before". If the first thing that the case did afterwards came later than
    /// that, nothing that fails from there on is the SUT's fault.
    fn guard(&mut self, step: &Step, wait: &crate::scenario::model::Wait) {
        if wait.tolerance >= 0 || self.late.is_some() {
            return;
        }
        if let Some(why) = self.overran(step, wait) {
            self.late = Some(why.clone());
            self.inconclusive(step, why);
        }
    }

    fn overran(&self, step: &Step, wait: &crate::scenario::model::Wait) -> Option<String> {
        use crate::scenario::duration;
        let length = self.view.text(&wait.length, &step.path).ok()?;
        let length_us = i64::try_from(duration::parse_ms(&length)?)
            .ok()?
            .checked_mul(1000)?;
        let ended = self.view.step(&step.path).last()?;
        let base = match &wait.after {
            Some(name) => self.view.window(&self.view.text(name, &step.path).ok()?)?.0,
            None => self.view.step(&step.path).first()?.store?,
        };
        let bound = base
            .at
            .plus_us(length_us - i64::from(base.uncertainty_ms) * 1000);
        let acted = self.view.trace().events[ended.id as usize..]
            .iter()
            .find_map(|event| match &event.kind {
                EventKind::Sent(_) => event.store,
                _ => None,
            })?;
        let latest = acted.at.plus_us(i64::from(acted.uncertainty_ms) * 1000);
        (latest >= bound).then(|| {
            format!(
                "the case was too slow: it acted at store time {latest}, and had to before {bound}"
            )
        })
    }

    fn inconclusive(&mut self, step: &Step, why: String) {
        let entry = Entry::of(step, step.verb.name(), Observation::Harness);
        self.write(
            entry,
            Ruling::new(Verdict::Inconclusive, "the step to show something", why),
        );
    }

    /// Whether a check that does not hold is about something that was waited for until its time was over.
    fn is_late(&self, entry: &Entry<'_>, verdict: Verdict) -> bool {
        let timed_out = || {
            let outcome = self.view.outcome(&entry.step.path);
            matches!(outcome, Some(Outcome::TimedOut { .. }))
        };
        // Who says when to come again means it (RFC 3261 §21.5.4).
        let busy = || {
            let response = self.view.took(&entry.step.path).and_then(message_of);
            response
                .is_some_and(|it| it.status() == Some(503) && it.header("Retry-After").is_some())
        };
        let awaited = matches!(entry.aspect, Aspect::Presence | Aspect::SessionPresence);
        match verdict {
            Verdict::Fail => awaited || timed_out() || busy(),
            Verdict::Inconclusive => self.late.is_some() || timed_out(),
            _ => false,
        }
    }

    /// Why nothing that fails in this step is the SUT's fault: its time had come before.
    fn excuse(&self, step: &Step) -> Option<String> {
        let late = self.late.clone();
        late.or_else(|| lapse::ran_out(self.view, &step.path))
    }

    fn write(&mut self, entry: Entry<'_>, mut ruling: Ruling) {
        if ruling.verdict == Verdict::Fail
            && let Some(why) = self.excuse(entry.step)
        {
            ruling.verdict = Verdict::Inconclusive;
            ruling.note = Some(why);
        }
        let late = self.is_late(&entry, ruling.verdict);
        let catalogue = self.context.catalogue;
        let covers = if let Some(own) = entry.covers.or(entry.step.covers.as_ref()) {
            entry.aspect.speaks_for_own(own, catalogue, self.store)
        } else {
            let covers = &self.view.case().scenario.covers;
            entry.aspect.speaks_for(covers, catalogue, self.store)
        };
        let evidence = match (entry.evidence, ruling.range) {
            (Some(evidence), range @ Some(_)) => Some(Evidence { range, ..evidence }),
            (evidence, _) => evidence,
        };
        let evidence = evidence.map(|evidence| Evidence {
            against: ruling.against.or(evidence.against),
            ..evidence
        });
        self.checks.push(JudgedCheck {
            mismatch: ruling.mismatch,
            late,
            check: Check {
                step: entry.step.path.clone(),
                source: entry.at.clone(),
                subject: entry.subject,
                verdict: ruling.verdict,
                requirements: covers,
                expected: ruling.expected,
                observed: ruling.observed,
                observation: entry.observation,
                evidence,
                note: match (ruling.note, &entry.step.note) {
                    (Some(note), Some(more)) => Some(format!("{note}; {more}")),
                    (note, more) => note.or_else(|| more.clone()),
                },
            },
        });
    }

    /// Whether values come from the store or from the wire.
    fn observation_of(&self, values: &[crate::scenario::Template]) -> Observation {
        match self.sources(values).next() {
            Some(crate::evidence::Saved::Records { .. }) => Observation::Store,
            Some(_) => Observation::Wire,
            None => Observation::Harness,
        }
    }

    fn evidence_of(&self, values: &[crate::scenario::Template]) -> Option<Evidence> {
        let event = match self.sources(values).next()? {
            crate::evidence::Saved::Request { sent, response, .. } => {
                response.map_or(sent, |(event, _)| event)
            }
            crate::evidence::Saved::Frame { sent, response, .. } => {
                response.map_or(sent, |(event, _)| event)
            }
            crate::evidence::Saved::Transfer(message) => message.event,
            crate::evidence::Saved::Received { event, .. }
            | crate::evidence::Saved::Records { event, .. } => event,
        };
        Some(Evidence {
            event: event.id,
            range: None,
            against: None,
        })
    }

    fn sources<'s>(
        &'s self,
        values: &'s [crate::scenario::Template],
    ) -> impl Iterator<Item = crate::evidence::Saved<'s>> {
        use crate::scenario::template::{Piece, Reference};
        values
            .iter()
            .flat_map(|template| &template.pieces)
            .filter_map(|piece| match piece {
                Piece::Reference(Reference::Saved { name, .. }) => self.view.saved(name),
                Piece::Reference(Reference::All { stem, .. }) => {
                    self.view.saved(&format!("{stem}1"))
                }
                _ => None,
            })
    }
}

static NO_REQUIREMENT: &Vec<String> = &Vec::new();

#[cfg(test)]
mod tests;
