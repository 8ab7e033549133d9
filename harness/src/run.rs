//! Runs the cases of a plan and gives their traces.
//!
//! The only output is a stream of [`RunEvent`]s: the progress display, the trace and the record are its
//! readers, and nothing here prints. Each lane of the plan has a server to itself or waits for its turn;
//! in a lane all cases run side by side on one [`timeline`], each driven by an interpreter.

mod condition;
mod housekeeping;
mod interpreter;
mod lane;
mod owed;
mod spread;
#[cfg(test)]
mod tests;
pub mod timeline;

use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_reports::record::{Trace, UtcTime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use crate::plan::Plan;
use crate::scenario::Case;
use crate::sut::profile::ProcessAdapter;
use crate::sut::{Instance, Profile};

pub use crate::sut::SetUpError;
pub(crate) use housekeeping::clean_accounts;

/// How to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunOptions {
    /// Cases of a lane that are at work at the same time; those that wait for store time do not count.
    pub jobs: usize,
    /// Longest sum of waits of a case where store time cannot be moved.
    pub time_budget: Duration,
    /// Seed of the plan, for the record.
    pub seed: u64,
}

/// What happens in a run.
#[derive(Debug, Clone)]
pub enum RunEvent {
    /// A lane began.
    LaneStarted {
        /// Its number.
        lane: usize,
        /// How many cases it has.
        cases: usize,
    },
    /// A case began.
    CaseStarted {
        /// Its id.
        case_id: String,
    },
    /// A case ended, or will not be run any more.
    CaseFinished {
        /// The case.
        case: Arc<Case>,
        /// All that happened.
        trace: Trace,
        /// Real time that it took, in microseconds.
        duration_us: u64,
    },
    /// The timeline moved the store clock of a lane.
    ClockMoved {
        /// Number of the lane.
        lane: usize,
        /// By so many seconds.
        by_s: f64,
        /// To this instant.
        to: UtcTime,
    },
    /// What the cases of a lane that wait are waiting for.
    Waiting {
        /// Number of the lane.
        lane: usize,
        /// How many wait.
        cases: usize,
        /// The earliest store time at which one of them goes on.
        until: UtcTime,
    },
    /// For the reader.
    Log {
        /// Text.
        line: String,
    },
}

/// Sends run events; a reader that went away is no error.
#[derive(Debug, Clone)]
pub(crate) struct Events(mpsc::UnboundedSender<RunEvent>);

impl Events {
    pub(crate) fn tell(&self, event: RunEvent) {
        let _ = self.0.send(event);
    }
}

/// Runs all lanes of a plan. Every case ends with a [`RunEvent::CaseFinished`], also when `stop` becomes
/// true or the server dies; only a server that cannot be reached at all is an error.
pub async fn run(
    plan: Plan,
    profile: &Profile,
    options: &RunOptions,
    events: mpsc::UnboundedSender<RunEvent>,
    stop: watch::Receiver<bool>,
) -> Result<(), SetUpError> {
    if plan.lanes.iter().all(|lane| lane.cases.is_empty()) {
        // A wrong address is worth telling even so: a first profile declares too little to run anything.
        return match &profile.adapters.process {
            ProcessAdapter::Attach if !plan.set_aside.is_empty() => {
                Instance::open(profile, lane::stopped(stop)).await.map(drop)
            }
            _ => Ok(()),
        };
    }
    allow_many_sockets();
    let setting = Arc::new(lane::Setting {
        profile: profile.clone(),
        options: *options,
        events: Events(events),
        stop,
        begun: Instant::now(),
    });
    // The first server is started before anything else: if it cannot be reached, nothing can be run.
    let opened = Instance::open(profile, lane::stopped(setting.stop.clone()));
    let Some(first) = opened.await? else {
        for lane in plan.lanes {
            lane::skip(&setting, lane, lane::INTERRUPTED);
        }
        return Ok(());
    };
    match &profile.adapters.process {
        ProcessAdapter::Attach | ProcessAdapter::Commands(_) => {
            let instance = Arc::new(first);
            for (number, lane) in plan.lanes.into_iter().enumerate() {
                lane::run(&setting, number, lane, &instance, true).await;
            }
            instance.close().await;
        }
        ProcessAdapter::Command(command) => {
            let places = Arc::new(Semaphore::new(command.instances));
            let mut first = Some(first);
            let mut lanes = JoinSet::new();
            for (number, lane) in spread::spread(plan.lanes, command.instances)
                .into_iter()
                .enumerate()
            {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    break;
                };
                let (setting, ready) = (Arc::clone(&setting), first.take());
                lanes.spawn(async move {
                    let _place = place;
                    lane::run_alone(&setting, number, lane, ready).await;
                });
            }
            while lanes.join_next().await.is_some() {}
        }
    }
    Ok(())
}

/// Waiting cases keep their sockets open; the usual limit of 1024 open files is little for a whole suite.
fn allow_many_sockets() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // A system that refuses keeps the usual limit; then fewer cases fit, which shows as an error of
        // their own.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}
