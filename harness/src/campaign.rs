//! A test campaign: a plan is run and each case judged as it ends.
//!
//! A machine that is busy with other things makes everything late, and what is late looks like something
//! that never comes. So a case in which something was waited for in vain is run again when all others are
//! done, with a few at a time and more patience, and that second run counts. What was *seen* to be wrong is
//! never run again: octets do not become right by waiting.

use std::collections::BTreeSet;

use tokio::sync::{mpsc, watch};

use crate::judge::{self, Judged};
use crate::plan::Plan;
use crate::run::{self, RunEvent, RunOptions, SetUpError};
use crate::sut::Profile;

/// Cases side by side on one server in the second run.
const JOBS: usize = 8;
/// How much longer the second run waits for what should come.
const PATIENCE: u32 = 2;

/// What is told while a campaign goes on.
#[derive(Debug, Clone, Copy)]
pub enum Told<'a> {
    /// Something happened.
    Event(&'a RunEvent),
    /// A case ended and was judged.
    Judged(&'a Judged),
}

/// What came out of a campaign.
#[derive(Debug, Clone, Default)]
pub struct Results {
    /// Every case of the plan, in the order in which they ended.
    pub judged: Vec<Judged>,
    /// How far store clocks were moved, in seconds.
    pub store_time_s: f64,
}

impl Results {
    /// Ids of the cases that are worth a second run.
    pub fn late(&self) -> BTreeSet<String> {
        let late = self.judged.iter().filter(|it| it.judgement.late);
        late.map(|it| it.case.id.clone()).collect()
    }

    /// Puts the results of a second run in the place of those of the first.
    pub fn replace(&mut self, second: Self) {
        self.store_time_s += second.store_time_s;
        for again in second.judged {
            let first = self
                .judged
                .iter_mut()
                .find(|it| it.case.id == again.case.id);
            if let Some(first) = first {
                first.replace(again);
            }
        }
    }
}

/// Runs a plan; `show` is told everything that happens.
///
/// # Errors
/// When the server cannot be reached at all.
pub async fn run(
    plan: Plan,
    profile: &Profile,
    options: &RunOptions,
    context: judge::Context<'_>,
    stop: watch::Receiver<bool>,
    mut show: impl FnMut(Told<'_>),
) -> Result<Results, SetUpError> {
    let (events, mut inbox) = mpsc::unbounded_channel();
    let running = run::run(plan, profile, options, events, stop);
    let mut results = Results::default();
    let judging = async {
        while let Some(event) = inbox.recv().await {
            match event {
                RunEvent::CaseFinished {
                    case,
                    trace,
                    duration_us,
                } => {
                    let judged = Judged::new(case, trace, duration_us, context);
                    show(Told::Judged(&judged));
                    results.judged.push(judged);
                }
                other => {
                    if let RunEvent::ClockMoved { by_s, .. } = &other {
                        results.store_time_s += by_s;
                    }
                    show(Told::Event(&other));
                }
            }
        }
    };
    let (done, ()) = tokio::join!(running, judging);
    done.map(|()| results)
}

/// Runs the cases of a plan that have these ids a second time.
///
/// # Errors
/// When the server cannot be reached any more.
pub async fn run_again(
    mut plan: Plan,
    ids: &BTreeSet<String>,
    profile: &Profile,
    options: &RunOptions,
    context: judge::Context<'_>,
    stop: watch::Receiver<bool>,
    show: impl FnMut(Told<'_>),
) -> Result<Results, SetUpError> {
    plan.set_aside.clear();
    for lane in &mut plan.lanes {
        lane.cases.retain(|case| ids.contains(&case.id));
    }
    plan.lanes.retain(|lane| !lane.cases.is_empty());
    let mut profile = profile.clone();
    let timers = &mut profile.pixit.timers;
    timers.delivery *= PATIENCE;
    timers.store *= PATIENCE;
    let options = RunOptions {
        jobs: options.jobs.min(JOBS),
        ..*options
    };
    run(plan, &profile, &options, context, stop, show).await
}
