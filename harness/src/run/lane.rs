//! One lane: a server with a certain policy, and the cases that want it so.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use imspec_reports::record::{EventKind, Outcome};
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::housekeeping::{self, House, Left};
use super::interpreter::{self, Interpreter};
use super::owed::owed;
use super::timeline::Timeline;
use super::{Events, RunEvent, RunOptions};
use crate::agent::{Agents, Stamp, Surroundings};
use crate::plan::Lane;
use crate::scenario::Case;
use crate::sut::policy::{self, SetError};
use crate::sut::process::Life;
use crate::sut::{Instance, Profile};

/// Cases of a lane that are begun and not ended, waiting ones included: each holds sockets.
const OPEN: usize = 2000;

pub(super) const INTERRUPTED: &str = "the run was interrupted";

/// What all lanes share.
pub(super) struct Setting {
    pub(super) profile: Profile,
    pub(super) options: RunOptions,
    pub(super) events: Events,
    pub(super) stop: watch::Receiver<bool>,
    pub(super) begun: Instant,
}

/// What the cases of a lane share.
struct Shared {
    instance: Arc<Instance>,
    timeline: Arc<Timeline>,
    policy: Arc<BTreeMap<String, Value>>,
    jobs: Arc<Semaphore>,
}

/// Why a case is cut short.
#[derive(Debug, Clone)]
enum Halt {
    Interrupted,
    Died(String),
    /// There is no clean account for it.
    Impossible(String),
}

/// Runs a lane on a server of its own, which is started for it unless it is `ready`.
pub(super) async fn run_alone(
    setting: &Arc<Setting>,
    number: usize,
    lane: Lane,
    ready: Option<Instance>,
) {
    if *setting.stop.borrow() {
        return skip(setting, lane, INTERRUPTED);
    }
    let opened = if let Some(instance) = ready {
        Ok(Some(instance))
    } else {
        Instance::open(&setting.profile, stopped(setting.stop.clone())).await
    };
    let instance = match opened {
        Ok(Some(instance)) => Arc::new(instance),
        Ok(None) => return skip(setting, lane, INTERRUPTED),
        Err(e) => return fail(setting, lane, &e.to_string()),
    };
    run(setting, number, lane, &instance, false).await;
    instance.close().await;
}

/// Runs a lane. `restore`: its policy is taken back at the end, because others use the same server.
pub(super) async fn run(
    setting: &Arc<Setting>,
    number: usize,
    lane: Lane,
    instance: &Arc<Instance>,
    restore: bool,
) {
    if *setting.stop.borrow() {
        return skip(setting, lane, INTERRUPTED);
    }
    if let Life::Died(how) = &*instance.life().borrow() {
        return fail(setting, lane, how);
    }
    setting.events.tell(RunEvent::LaneStarted {
        lane: number,
        cases: lane.cases.len(),
    });
    let before = match set_policy(instance, &lane, restore).await {
        Ok(before) => before,
        Err(error) => {
            let why = format!("the policy of the lane could not be set: {error}");
            return match error {
                // The key can be set and this value cannot, which no profile could have said.
                SetError::Declined(_) => end_all(setting, lane, &Outcome::Impossible { why }),
                SetError::Failed(_) => fail(setting, lane, &why),
            };
        }
    };
    let timeline = Timeline::new(number, Arc::clone(instance), setting.events.clone());
    let driver = tokio::spawn(Arc::clone(&timeline).drive());
    let policy = Arc::new(lane.policy);
    let open = Arc::new(Semaphore::new(OPEN));
    let jobs = Arc::new(Semaphore::new(if lane.exclusive {
        1
    } else {
        setting.options.jobs.max(1)
    }));
    let mut cases = JoinSet::new();
    // At work as long as there are cases to begin: the clock is not moved before they have begun too.
    let mut starting = timeline.begin();
    for case in lane.cases {
        if open.available_permits() == 0 {
            starting.rest();
        }
        let Ok(place) = Arc::clone(&open).acquire_owned().await else {
            break;
        };
        starting.resume();
        let activity = timeline.begin();
        let (setting, instance) = (Arc::clone(setting), Arc::clone(instance));
        let (timeline, jobs, policy) = (
            Arc::clone(&timeline),
            Arc::clone(&jobs),
            Arc::clone(&policy),
        );
        cases.spawn(async move {
            let _place = place;
            let shared = Shared {
                instance,
                timeline,
                policy,
                jobs,
            };
            run_case(&setting, Arc::new(case), shared, activity).await;
        });
    }
    drop(starting);
    while cases.join_next().await.is_some() {}
    driver.abort();
    let _ = driver.await;
    if let Some(before) = before
        && let Err(why) = policy::restore(instance.policy.as_ref(), before).await
    {
        setting.events.tell(RunEvent::Log {
            line: format!("the policy of the server could not be taken back: {why}"),
        });
    }
}

/// Ends the cases of a lane that is not run, because the harness is told to stop.
pub(super) fn skip(setting: &Setting, lane: Lane, why: &str) {
    end_all(
        setting,
        lane,
        &Outcome::NotReached {
            why: why.to_owned(),
        },
    );
}

/// Ends the cases of a lane that cannot be run.
fn fail(setting: &Setting, lane: Lane, why: &str) {
    end_all(
        setting,
        lane,
        &Outcome::Broken {
            why: why.to_owned(),
        },
    );
}

fn end_all(setting: &Setting, lane: Lane, outcome: &Outcome) {
    for case in lane.cases {
        let case = Arc::new(case);
        let stamp = Stamp {
            begun: setting.begun,
            store: Arc::new(|| None),
        };
        let mut desk = crate::agent::Desk::new(Arc::clone(&case), stamp);
        interpreter::cut_short(&mut desk, outcome);
        let trace = desk.take_trace();
        setting.events.tell(RunEvent::CaseFinished {
            case,
            trace,
            duration_us: 0,
        });
    }
}

async fn run_case(
    setting: &Setting,
    case: Arc<Case>,
    shared: Shared,
    mut activity: super::timeline::Activity,
) {
    let Shared {
        instance,
        timeline,
        policy,
        jobs,
    } = shared;
    let stamp = stamp(setting, &instance);
    let surroundings = surroundings(setting, &instance, &policy);
    let agents = Agents::new(Arc::clone(&case), stamp, surroundings);
    let mut lease = None;
    let mut left = Left::default();
    let house = House {
        setting,
        case: &case,
        instance: &instance,
        timeline: &timeline,
        policy: &policy,
    };
    if !policy.is_empty() {
        // What the server was told for this lane counts as declared, and the judge must know it.
        let values = (*policy).clone();
        agents.note(None, EventKind::PolicySet { values });
    }
    let halted = halted(setting.stop.clone(), instance.life());
    let begun = Instant::now();
    let halt = {
        let (profile, options) = (&setting.profile, &setting.options);
        let interpreter = Interpreter::new(
            &case, &agents, &instance, &timeline, profile, options, &policy,
        );
        let work = async {
            if let Some(pool) = &instance.pool {
                // Who waits for accounts keeps no clock waiting.
                activity.rest();
                let taken = pool.take(&housekeeping::accounts(&case)).await;
                activity.resume();
                match taken {
                    Ok(taken) => lease = Some(taken),
                    Err(why) => return Some(Halt::Impossible(why)),
                }
            }
            let place = jobs.acquire_owned().await.ok();
            setting.events.tell(RunEvent::CaseStarted {
                case_id: case.id.clone(),
            });
            // What cannot be made is told by the case itself.
            if let Some(lease) = &lease
                && interpreter.provide().await.is_ok()
            {
                if let Err(why) = house.clean(lease, &Left::default()).await {
                    return Some(Halt::Impossible(why));
                }
                lease.begin();
            }
            interpreter.run(&mut activity, place).await;
            None
        };
        let halt = tokio::select! {
            biased;
            ended = work => ended,
            halt = halted => Some(halt),
        };
        left.bound = interpreter.all_bound();
        halt
    };
    let is_over = halt.is_none();
    if let Some(halt) = halt {
        cut(&agents, halt);
    }
    if lease.is_some() && is_over {
        // A session that stands may put something into an account when another case has it.
        agents.leave().await;
    }
    let trace = agents.finish().await;
    left.owed = owed(&case, &trace);
    // Who is interrupted takes the time to remove what was made, and to clean nothing.
    house.leave(lease.as_ref().filter(|_| is_over), &left).await;
    drop(lease);
    drop(activity);
    let duration_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    setting.events.tell(RunEvent::CaseFinished {
        case,
        trace,
        duration_us,
    });
}

/// Notes why a case was cut short.
fn cut(agents: &Agents, halt: Halt) {
    let outcome = match halt {
        Halt::Interrupted => Outcome::NotReached {
            why: INTERRUPTED.to_owned(),
        },
        Halt::Died(why) => {
            let action = "died".into();
            agents.note(None, EventKind::Process { action });
            Outcome::Broken { why }
        }
        Halt::Impossible(why) => Outcome::Impossible { why },
    };
    interpreter::cut_short(&mut agents.desk(), &outcome);
}

/// How the events of a case are stamped.
pub(super) fn stamp(setting: &Setting, instance: &Arc<Instance>) -> Stamp {
    let clock = Arc::clone(instance);
    Stamp {
        begun: setting.begun,
        store: Arc::new(move || clock.clock.now()),
    }
}

/// What the agents of a case need to know.
pub(super) fn surroundings(
    setting: &Setting,
    instance: &Instance,
    policy: &BTreeMap<String, Value>,
) -> Surroundings {
    let pixit = &setting.profile.pixit;
    Surroundings {
        targets: instance.targets.clone(),
        dialer: instance.dialer.clone(),
        timers: pixit.timers,
        msrp: Arc::clone(&pixit.msrp),
        logins: pixit.logins.clone(),
        nonce_life: policy
            .get("auth.nonce_s")
            .or_else(|| setting.profile.pics.get("auth.nonce_s"))
            .and_then(interpreter::period),
        standing: Arc::clone(&pixit.standing),
        scscf: instance.scscf.clone(),
    }
}

/// Waits for a reason to cut a case short.
async fn halted(stop: watch::Receiver<bool>, mut life: watch::Receiver<Life>) -> Halt {
    let died = async {
        let end = life
            .wait_for(|life| matches!(life, Life::Died(_)))
            .await
            .map(|life| life.clone());
        match end {
            Ok(Life::Died(how)) => how,
            _ => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stopped(stop) => Halt::Interrupted,
        how = died => Halt::Died(how),
    }
}

/// Waits for the order to stop; for ever once nobody can give it.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Sets the policy of a lane; gives what was in force before, if that is to be restored.
async fn set_policy(
    instance: &Instance,
    lane: &Lane,
    restore: bool,
) -> Result<Option<BTreeMap<String, Value>>, SetError> {
    // A case that sets policies itself leaves them behind too.
    let changes = !lane.policy.is_empty() || lane.exclusive;
    let before = if restore && changes && !instance.policy.settable().is_empty() {
        Some(instance.policy.read().await?)
    } else {
        None
    };
    if !lane.policy.is_empty() {
        instance.policy.set(&lane.policy).await?;
    }
    Ok(before)
}
