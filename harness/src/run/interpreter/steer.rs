//! Steps that change the world around the case: `wait`, `restart`, `policy`, and the condition of `when`.

use std::collections::BTreeMap;
use std::time::Duration;

use imspec_reports::record::{EventKind, UtcTime};

use super::super::condition;
use super::{Done, Interpreter, Trouble, Work};
use crate::scenario::Template;
use crate::scenario::duration;
use crate::scenario::model::{PolicyValue, Restart, Step, Verb, Wait, WhenStep};
use crate::scenario::template::Piece;
use crate::sut::clock::{micros, signed};
use crate::sut::instance::SHORT;

/// Time that a case has, at least and at most, to act after it was woken: a tenth of the wait.
const REACTION: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Longest time that a case may be kept waiting, for others to go on with it.
const MOST_PATIENCE: Duration = Duration::from_secs(1);

/// PICS key of the period at which the server sweeps for what has expired.
pub(in crate::run) const GRANULARITY: &str = "policy.granularity_s";

impl Interpreter<'_> {
    pub(super) async fn wait(
        &self,
        path: &str,
        step: &Wait,
        work: &mut Work<'_>,
    ) -> Result<Done, Trouble> {
        let length = self.length(Some(&step.length), Duration::ZERO, path)?;
        let after = self.save(step.after.as_ref(), path)?;
        let (base, round_trip) = match &after {
            None => (self.timeline.now(), Duration::ZERO),
            Some(name) => self.window(name)?,
        };
        let margin_us = self.margin_us(step.tolerance, length, round_trip);
        let deadline = base.plus_us(signed(micros(length))).plus_us(margin_us);
        self.agents.note(
            Some(path),
            EventKind::WaitUntil {
                deadline,
                margin_ms: margin_us / 1000,
            },
        );
        if !self.timeline.movable() {
            // What the case allows for clocks is no wait: one of 60 s fits a budget of 60 s.
            self.afford(deadline.plus_us(-margin_us.max(0)))?;
        }
        // "Surely before" is not to be late; for all else a little more is as good, in the measure of the wait.
        let patience = if step.tolerance < 0 {
            Duration::ZERO
        } else {
            (length / 20).min(MOST_PATIENCE)
        };
        if let Some((from, to)) = work
            .wait(deadline, patience)
            .await
            .map_err(Trouble::Broken)?
        {
            self.agents
                .note(Some(path), EventKind::ClockMoved { from, to });
        }
        Ok(Done::on())
    }

    pub(super) async fn restart(&self, path: &str, step: &Restart) -> Result<Done, Trouble> {
        if !self.instance.can_restart() {
            return Err(Trouble::Impossible(
                "the profile has no process adapter that can restart the server".into(),
            ));
        }
        let down = self.length(step.down.as_ref(), Duration::ZERO, path)?;
        if !self.timeline.movable() {
            self.afford(self.timeline.now().plus_us(signed(micros(down))))?;
        }
        let told = |action: &str| {
            self.agents.note(
                Some(path),
                EventKind::Process {
                    action: action.to_owned(),
                },
            );
        };
        let policy = self.memory().policy.clone();
        let restarted = self.instance.restart(step.kill, down, &policy, told).await;
        restarted.map_err(|why| {
            Trouble::Broken(format!("the server could not be started again: {why}"))
        })?;
        Ok(Done::on())
    }

    pub(super) async fn policy(
        &self,
        path: &str,
        values: &[(String, PolicyValue)],
    ) -> Result<Done, Trouble> {
        let settable = self.instance.policy.settable();
        if let Some((key, _)) = values.iter().find(|(key, _)| !settable.contains(key)) {
            return Err(Trouble::Impossible(format!(
                "the policy adapter of the profile cannot set `{key}`"
            )));
        }
        let mut policy = BTreeMap::new();
        for (key, value) in values {
            let value = match value {
                PolicyValue::One(value) => {
                    let text = self.text(value, path)?;
                    text.parse::<u64>()
                        .map_or_else(|_| text.into(), serde_json::Value::from)
                }
                PolicyValue::List(values) => {
                    let texts: Result<Vec<String>, Trouble> =
                        values.iter().map(|value| self.text(value, path)).collect();
                    texts?.into()
                }
            };
            policy.insert(key.clone(), value);
        }
        let set = self.instance.policy.set(&policy).await;
        set.map_err(|e| Trouble::unset("the policy could not be set", &e))?;
        if let Some(period) = policy.get(GRANULARITY).and_then(period) {
            self.memory().granularity = period;
        }
        self.memory().policy.extend(policy.clone());
        self.agents
            .note(Some(path), EventKind::PolicySet { values: policy });
        Ok(Done::on())
    }

    pub(super) fn condition(&self, path: &str, step: &WhenStep) -> Result<bool, Trouble> {
        self.agents
            .view(|view| {
                let value = view.resolve(&step.that, path).map_err(|e| e.to_string())?;
                condition::holds(view, &value, &step.is, path)
            })
            .map_err(Trouble::Impossible)
    }

    /// Store time at which a message was sent, and how long its answer took.
    fn window(&self, name: &str) -> Result<(UtcTime, Duration), Trouble> {
        self.agents.view(|view| {
            if let Some((first, last)) = view.window(name) {
                let round_trip = last.at.unix_us.saturating_sub(first.at.unix_us);
                let round_trip = u64::try_from(round_trip).unwrap_or(0);
                return Ok((first.at, Duration::from_micros(round_trip)));
            }
            if view.saved(name).is_none() {
                return Err(Trouble::Impossible(format!(
                    "nothing was saved as `{name}`, so nothing can be counted from it"
                )));
            }
            let event = view.message(name).map(|(event, _)| event);
            // Without a store clock real time is all there is.
            let sent = event
                .and_then(|event| event.store)
                .map_or_else(|| self.timeline.now(), |store| store.at);
            Ok((sent, Duration::ZERO))
        })
    }

    /// What `tolerance` is here, in microseconds: how far apart the instant that the scenario names and the
    /// instant at which the server acts may be.
    fn margin_us(&self, sign: i8, length: Duration, round_trip: Duration) -> i64 {
        let clock = &self.instance.clock;
        let uncertainty = clock.now().map_or(Duration::ZERO, |now| {
            Duration::from_millis(now.uncertainty_ms.into())
        });
        // Both ends of the interval were read from the clock.
        let reading =
            uncertainty * 2 + clock.adapter().resolution() + clock.adapter().settle() + round_trip;
        let margin = match sign {
            0 => Duration::ZERO,
            // A server that sweeps may be late by a whole period.
            1.. => reading + self.memory().granularity,
            // It may not be early; but the case must still have time to act.
            _ => reading + (length / 10).clamp(REACTION.0, REACTION.1),
        };
        signed(micros(margin)) * i64::from(sign.signum())
    }

    /// On a clock that cannot be moved: whether the case's waits fit the time budget. A case that will not
    /// get to its end is given up at its first wait, not after an hour of waiting.
    pub(super) fn afford(&self, deadline: UtcTime) -> Result<(), Trouble> {
        let us = deadline.unix_us.saturating_sub(self.timeline.now().unix_us);
        let now = Duration::from_micros(u64::try_from(us).unwrap_or(0));
        let waited = {
            let mut memory = self.memory();
            memory.waited += now;
            memory.waited
        };
        let total = waited.max(known_waits(&self.case.steps));
        if total <= self.options.time_budget {
            return Ok(());
        }
        Err(Trouble::Impossible(format!(
            "the waits of this case add up to {} s, and the time budget is {} s; the clock of this server cannot be \
             moved (allow more with --time-budget, or give the profile a clock adapter)",
            total.as_secs(),
            self.options.time_budget.as_secs()
        )))
    }
}

/// A PICS value in seconds as a length of time.
pub(in crate::run) fn period(value: &serde_json::Value) -> Option<Duration> {
    let seconds = match value {
        serde_json::Value::Number(number) => number.as_f64()?,
        serde_json::Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    Duration::try_from_secs_f64(seconds).ok()
}

/// The sum of the waits whose length is known beforehand; branches run side by side, so the longest counts.
/// Waits that are counted from an earlier moment are taken for what they are at most.
pub(in crate::run) fn known_waits(steps: &[Step]) -> Duration {
    let mut counted_from: BTreeMap<String, Duration> = BTreeMap::new();
    let mut total = Duration::ZERO;
    for step in steps {
        match &step.verb {
            Verb::Wait(wait) => {
                let length = literal(&wait.length)
                    .and_then(duration::parse_ms)
                    .map_or(Duration::ZERO, Duration::from_millis);
                match wait.after.as_ref().and_then(literal) {
                    None => total += length,
                    // Several waits from one moment overlap: only what is longer than the last one counts.
                    Some(name) => {
                        let before = counted_from.entry(name.to_owned()).or_default();
                        total += length.saturating_sub(*before);
                        *before = length.max(*before);
                    }
                }
            }
            Verb::Parallel(branches) => {
                total += branches
                    .iter()
                    .map(|branch| known_waits(branch))
                    .max()
                    .unwrap_or_default();
            }
            _ => {}
        }
    }
    total
}

/// The sum of the times for which the SUT is kept down that pass in real time, whatever its clock can do.
pub(in crate::run) fn known_downtime(steps: &[Step]) -> Duration {
    steps
        .iter()
        .map(|step| match &step.verb {
            Verb::Restart(restart) => restart
                .down
                .as_ref()
                .and_then(literal)
                .and_then(duration::parse_ms)
                .map(Duration::from_millis)
                .filter(|down| *down <= SHORT)
                .unwrap_or_default(),
            _ => Duration::ZERO,
        })
        .sum()
}

fn literal(template: &Template) -> Option<&str> {
    match template.pieces.as_slice() {
        [Piece::Text(text)] => Some(text),
        _ => None,
    }
}
