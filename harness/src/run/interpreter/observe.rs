//! Steps that look: `receive`, `silence`, `stored`.

use std::time::Duration;

use imspec_reports::record::trace::StoreResult;
use imspec_reports::record::{EventKind, Outcome, StoredMessage};
use tokio::time::{Instant, sleep};

use super::super::condition;
use super::{Done, Flow, Interpreter, Trouble};
use crate::evidence::{Value, record};
use crate::scenario::model::{Answer, Receive, Silence, Stored};
use crate::sut::store::Account;

/// Pause between two looks at the store: at first short, since most stores are quick, then longer.
const LOOK: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// How much longer than a delivery usually takes one may take that is under way.
const LONGEST: u32 = 20;
/// How long sending an answer may take.
const ANSWER: Duration = Duration::from_secs(10);

impl Interpreter<'_> {
    pub(super) async fn receive(&self, path: &str, step: &Receive) -> Result<Done, Trouble> {
        let within = self.length(
            step.within.as_ref(),
            self.profile.pixit.timers.delivery,
            path,
        )?;
        let save = self.save(step.save.as_ref(), path)?;
        let begun = Instant::now();
        let arrived = self.arrival(path, &step.at, begun, within).await;
        let took = if arrived.is_some() {
            // The step is over when the answer is out, which the scenario may have delayed.
            let delay = match step.answer {
                Answer::Status { after_ms, .. } => Duration::from_millis(after_ms),
                Answer::Silence | Answer::Reset => Duration::ZERO,
            };
            self.agents
                .until(Instant::now() + delay + ANSWER, |desk| desk.claimed(path))
                .await;
            arrived.map(|event| (event, true))
        } else {
            self.agents.desk().close_claim(path, !step.optional)
        };
        let after_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let Some((event, fitted)) = took else {
            let flow = if step.optional {
                Flow::On
            } else {
                Flow::End(format!(
                    "no {} arrived at {} within {after_ms} ms",
                    step.method.as_deref().unwrap_or("delivery"),
                    step.at
                ))
            };
            return Ok(Done {
                outcome: Outcome::TimedOut { after_ms },
                flow,
            });
        };
        self.agents.note(Some(path), EventKind::Took { event });
        self.saved(path, save, event);
        let outcome = if fitted {
            Outcome::Done
        } else {
            Outcome::TimedOut { after_ms }
        };
        Ok(Done {
            outcome,
            flow: Flow::On,
        })
    }

    /// Waits for the request or message that the step takes. One that is on its way through a session is not
    /// missing: patience counts from its last chunk.
    async fn arrival(
        &self,
        path: &str,
        user: &str,
        begun: Instant,
        within: Duration,
    ) -> Option<u32> {
        let mut deadline = begun + within;
        loop {
            let taken = self.agents.until(deadline, |desk| desk.taken(path)).await;
            if taken.is_some() {
                return taken;
            }
            let next = self.agents.arriving(user)? + within;
            if next <= deadline || begun.elapsed() > within * LONGEST {
                return None;
            }
            deadline = next;
        }
    }

    pub(super) async fn silence(&self, path: &str, step: &Silence) -> Result<Done, Trouble> {
        sleep(self.length(step.length.as_ref(), self.profile.pixit.timers.quiet, path)?).await;
        Ok(Done::on())
    }

    pub(super) async fn stored(&self, path: &str, step: &Stored) -> Result<Done, Trouble> {
        let user = self.user(&step.user)?;
        let account = Account {
            uri: user.uri(),
            user: user.name.clone(),
            domain: user.domain.clone(),
        };
        let Some(store) = &self.instance.store else {
            let kind = EventKind::StoreRead {
                account: account.uri,
                result: StoreResult::NoAdapter,
            };
            self.agents.note(Some(path), kind);
            return Ok(Done::on());
        };
        let within = self.length(step.within.as_ref(), self.profile.pixit.timers.store, path)?;
        let begun = Instant::now();
        let deadline = begun + within;
        let mut pause = LOOK.0;
        let mut noted: Option<(u32, StoreResult)> = None;
        let event = loop {
            // The last look begins when the time is up, not before.
            let last = Instant::now() >= deadline;
            let result = match store.read(&account).await {
                Ok(records) => StoreResult::Records(records),
                Err(why) => StoreResult::Failed(why),
            };
            let fits = match &result {
                StoreResult::Records(records) => self.fits(step, records, path),
                _ => false,
            };
            let event = match &noted {
                Some((event, before)) if *before == result => *event,
                _ => {
                    let kind = EventKind::StoreRead {
                        account: account.uri.clone(),
                        result: result.clone(),
                    };
                    self.agents.note(Some(path), kind)
                }
            };
            if fits && !step.messages.is_empty() {
                self.instance.has_shown(begun.elapsed());
            }
            if fits || last {
                break event;
            }
            noted = Some((event, result));
            sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LOOK.1);
        };
        self.saved(path, self.save(step.save.as_ref(), path)?, event);
        for record in &step.messages {
            self.saved(path, self.save(record.save.as_ref(), path)?, event);
        }
        Ok(Done::on())
    }

    /// Whether there is no reason to look again: what must be there is, what must not be is gone, and the
    /// number is right. Everything else is for the judge.
    fn fits(&self, step: &Stored, records: &[StoredMessage], path: &str) -> bool {
        self.agents.view(|view| {
            let waiting = records
                .iter()
                .filter(|record| record::waits(record))
                .count();
            let counted = step.count.as_ref().is_none_or(|wanted| {
                let number = Value::Octets(waiting.to_string().into_bytes());
                condition::holds(view, &number, wanted, path).unwrap_or(true)
            });
            counted && record::present(view, step, records, path)
        })
    }
}
