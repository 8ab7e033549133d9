//! The timeline of a lane: all its cases wait for store time on one clock.
//!
//! Where the clock can be moved, time is discrete-event: as soon as every started, unfinished case waits,
//! the clock is moved straight to the earliest deadline, and the cases that are due then go on. A wait may
//! be *patient*: cases that want nearly the same instant then go on together, instead of one after the
//! other's silences. Where the clock cannot be moved, the waits sleep, all overlapping. [`Schedule`] decides
//! and knows no I/O; [`Timeline`] acts.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imspec_reports::record::UtcTime;
use tokio::sync::{Notify, oneshot};

use super::{Events, RunEvent};
use crate::sut::Instance;

/// A deadline nearer than this is waited for: a move would take as long.
const NEAR_US: i64 = 20_000;
/// Moves towards one deadline after which a clock counts as one that cannot be moved.
const MOST_FRUITLESS: u32 = 5;
/// Longest sleep without a look at the clock, which may be set by others.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// Who is at work and who waits for what: a state machine without I/O.
#[derive(Debug, Default, Clone)]
pub struct Schedule {
    active: usize,
    /// Deadline and number of a wait → the instant up to which it may be kept waiting by a move.
    waits: BTreeMap<(UtcTime, u64), UtcTime>,
    last: u64,
}

/// What is to be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nothing before something changes.
    Idle,
    /// These waits are over, in the order of their deadlines.
    Wake(Vec<u64>),
    /// Move the clock to this instant.
    Move(UtcTime),
    /// Look again at this instant of store time.
    SleepUntil(UtcTime),
}

impl Schedule {
    /// One more is at work.
    pub fn begin(&mut self) {
        self.active += 1;
    }

    /// One less is at work.
    pub fn end(&mut self) {
        self.active = self.active.saturating_sub(1);
    }

    /// One that was at work waits until `deadline`, and does not mind if the clock is moved `patience`
    /// further than that. Gives the number of the wait.
    pub fn wait(&mut self, deadline: UtcTime, patience: Duration) -> u64 {
        self.end();
        self.last += 1;
        let latest = deadline.plus_us(i64::try_from(patience.as_micros()).unwrap_or(i64::MAX));
        self.waits.insert((deadline, self.last), latest);
        self.last
    }

    /// A wait ends before its time; whoever waited is at work again. False when it had ended already.
    pub fn cancel(&mut self, wait: u64) -> bool {
        let Some(key) = self
            .waits
            .keys()
            .find(|(_, number)| *number == wait)
            .copied()
        else {
            return false;
        };
        self.waits.remove(&key);
        self.begin();
        true
    }

    /// How many are at work.
    pub fn active(&self) -> usize {
        self.active
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waits.len()
    }

    /// Decides. Those that are woken count as at work from here on.
    pub fn next(&mut self, now: UtcTime, movable: bool) -> Next {
        let later = self.waits.split_off(&(now.plus_us(1), 0));
        let due = std::mem::replace(&mut self.waits, later);
        if !due.is_empty() {
            self.active += due.len();
            return Next::Wake(due.into_keys().map(|(_, number)| number).collect());
        }
        let Some((&(earliest, _), _)) = self.waits.first_key_value() else {
            return Next::Idle;
        };
        let far = earliest.unix_us.saturating_sub(now.unix_us) > NEAR_US;
        if !(movable && far && self.active == 0) {
            return Next::SleepUntil(earliest);
        }
        // As far as the least patient allows: all whose deadline lies before that go on together.
        let patient = self.waits.values().min().map_or(earliest, |latest| *latest);
        let together = self.waits.range(..=(patient, u64::MAX)).next_back();
        Next::Move(together.map_or(earliest, |(&(deadline, _), _)| deadline))
    }
}

/// How a wait ended: the last move of the clock that brought its end about, if one did.
pub type Woken = Result<Option<(UtcTime, UtcTime)>, String>;

/// The clock of a lane and everyone who waits for it.
#[derive(Debug)]
pub struct Timeline {
    lane: usize,
    instance: Arc<Instance>,
    events: Events,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    schedule: Schedule,
    sleepers: HashMap<u64, oneshot::Sender<Woken>>,
    moved: Option<(UtcTime, UtcTime)>,
    /// Moves in a row after which the clock did not show what was wanted.
    fruitless: u32,
}

impl Timeline {
    pub(super) fn new(lane: usize, instance: Arc<Instance>, events: Events) -> Arc<Self> {
        Arc::new(Self {
            lane,
            instance,
            events,
            state: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// Someone begins to work.
    pub(super) fn begin(self: &Arc<Self>) -> Activity {
        self.state().schedule.begin();
        Activity {
            timeline: Arc::clone(self),
            at_work: true,
        }
    }

    /// Whether store time can be moved.
    pub(super) fn movable(&self) -> bool {
        self.instance.clock.adapter().movable()
    }

    /// Store time, or real time where nothing is known of the store clock.
    pub(super) fn now(&self) -> UtcTime {
        self.instance
            .clock
            .now()
            .map_or_else(UtcTime::now, |now| now.at)
    }

    /// Wakes whoever is due, and moves the clock. Runs until it is dropped.
    pub(super) async fn drive(self: Arc<Self>) {
        let mut told = None;
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let next = self.state().schedule.next(self.now(), self.movable());
            match next {
                Next::Idle => changed.await,
                Next::Wake(waits) => self.wake(waits),
                Next::SleepUntil(until) => {
                    if told.replace(until) != Some(until) {
                        self.events.tell(RunEvent::Waiting {
                            lane: self.lane,
                            cases: self.state().schedule.waiting(),
                            until,
                        });
                    }
                    let us = u64::try_from(until.unix_us.saturating_sub(self.now().unix_us))
                        .unwrap_or(0);
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(Duration::from_micros(us).min(LOOK_AGAIN)) => {}
                    }
                }
                Next::Move(to) => self.jump(to).await,
            }
        }
    }

    fn wake(&self, waits: Vec<u64>) {
        let mut state = self.state();
        let moved = state.moved;
        for wait in waits {
            if let Some(sleeper) = state.sleepers.remove(&wait) {
                // Whoever does not listen any more was cancelled, and has seen to its own count.
                let _ = sleeper.send(Ok(moved));
            }
        }
    }

    async fn jump(&self, to: UtcTime) {
        let moved = self.instance.clock.advance(to).await;
        let moved = moved.and_then(|(from, shown)| self.arrived(to, shown).map(|()| (from, shown)));
        match moved {
            Ok((from, to)) => {
                self.state().moved = Some((from, to));
                #[expect(clippy::cast_precision_loss, reason = "a sum for people to read")]
                let by_s = to.unix_us.saturating_sub(from.unix_us) as f64 / 1e6;
                self.events.tell(RunEvent::ClockMoved {
                    lane: self.lane,
                    by_s,
                    to,
                });
            }
            Err(why) => {
                // Nobody can be woken in time any more.
                let sleepers = {
                    let mut state = self.state();
                    let sleepers = std::mem::take(&mut state.sleepers);
                    for wait in sleepers.keys() {
                        state.schedule.cancel(*wait);
                    }
                    sleepers
                };
                for sleeper in sleepers.into_values() {
                    let _ = sleeper.send(Err(format!("the store clock could not be moved: {why}")));
                }
            }
        }
    }

    /// A clock that was told to move and does not get there would be moved for ever.
    fn arrived(&self, wanted: UtcTime, shown: UtcTime) -> Result<(), String> {
        let mut state = self.state();
        if shown >= wanted {
            state.fruitless = 0;
            return Ok(());
        }
        state.fruitless += 1;
        if state.fruitless < MOST_FRUITLESS {
            return Ok(());
        }
        Err(format!(
            "moved {MOST_FRUITLESS} times towards {wanted}, and it shows {shown}; is its resolution declared?"
        ))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Someone at work on a timeline; while there is one, the clock is not moved.
#[derive(Debug)]
pub struct Activity {
    timeline: Arc<Timeline>,
    at_work: bool,
}

impl Activity {
    /// Waits until the store clock shows `deadline`, or is moved at most `patience` further.
    pub(super) async fn wait(&mut self, deadline: UtcTime, patience: Duration) -> Woken {
        if self.timeline.now() >= deadline {
            return Ok(None);
        }
        let (sleeper, woken) = oneshot::channel();
        let wait = {
            let mut state = self.timeline.state();
            state.moved = None;
            let wait = state.schedule.wait(deadline, patience);
            state.sleepers.insert(wait, sleeper);
            wait
        };
        let _cancel = Cancel {
            timeline: &self.timeline,
            wait,
        };
        self.timeline.changed.notify_one();
        woken
            .await
            .unwrap_or_else(|_| Err("the timeline ended".into()))
    }

    /// Hands the work over to as many others; see [`Self::resume`].
    pub(super) fn fork(&mut self, branches: usize) -> Vec<Self> {
        let others = (0..branches).map(|_| self.timeline.begin()).collect();
        self.rest();
        others
    }

    /// Is at work again.
    pub(super) fn resume(&mut self) {
        if !std::mem::replace(&mut self.at_work, true) {
            self.timeline.state().schedule.begin();
        }
    }

    /// Does nothing that the clock would have to wait for.
    pub(super) fn rest(&mut self) {
        if std::mem::replace(&mut self.at_work, false) {
            self.timeline.state().schedule.end();
            self.timeline.changed.notify_one();
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.rest();
    }
}

/// Takes a wait back when its future is dropped, as happens when a run is interrupted.
struct Cancel<'t> {
    timeline: &'t Timeline,
    wait: u64,
}

impl Drop for Cancel<'_> {
    fn drop(&mut self) {
        let mut state = self.timeline.state();
        state.schedule.cancel(self.wait);
        state.sleepers.remove(&self.wait);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    const NONE: Duration = Duration::ZERO;

    fn at(seconds: i64) -> UtcTime {
        UtcTime {
            unix_us: seconds * 1_000_000,
        }
    }

    #[test]
    fn the_clock_moves_only_when_all_wait() {
        let mut schedule = Schedule::default();
        schedule.begin();
        schedule.begin();
        let first = schedule.wait(at(600), NONE);
        assert_eq!(
            schedule.next(at(0), true),
            Next::SleepUntil(at(600)),
            "one is at work"
        );
        let second = schedule.wait(at(300), NONE);
        assert_eq!(schedule.next(at(0), true), Next::Move(at(300)));
        assert_eq!(schedule.next(at(300), true), Next::Wake(vec![second]));
        assert_eq!(
            schedule.next(at(300), true),
            Next::SleepUntil(at(600)),
            "the woken one is at work"
        );
        schedule.end();
        assert_eq!(schedule.next(at(301), true), Next::Move(at(600)));
        assert_eq!(schedule.next(at(601), true), Next::Wake(vec![first]));
        assert_eq!(schedule.next(at(601), true), Next::Idle);
    }

    #[test]
    fn a_clock_that_cannot_be_moved_is_slept_for() {
        let mut schedule = Schedule::default();
        schedule.begin();
        schedule.wait(at(5), NONE);
        assert_eq!(schedule.next(at(0), false), Next::SleepUntil(at(5)));
    }

    #[test]
    fn a_cancelled_wait_is_work_again() {
        let mut schedule = Schedule::default();
        schedule.begin();
        let wait = schedule.wait(at(5), NONE);
        assert!(schedule.cancel(wait));
        assert!(!schedule.cancel(wait));
        assert_eq!((schedule.active(), schedule.waiting()), (1, 0));
    }

    #[test]
    fn patient_waits_go_on_together_and_no_further_than_the_least_patient_allows() {
        let mut schedule = Schedule::default();
        (0..4).for_each(|_| schedule.begin());
        let second = Duration::from_secs(1);
        let a = schedule.wait(at(60), second * 3);
        let b = schedule.wait(at(61), second);
        let c = schedule.wait(at(62), second);
        let d = schedule.wait(at(63), NONE);
        assert_eq!(
            schedule.next(at(0), true),
            Next::Move(at(62)),
            "b would be late at 63"
        );
        assert_eq!(schedule.next(at(62), true), Next::Wake(vec![a, b, c]));
        (0..3).for_each(|_| schedule.end());
        assert_eq!(schedule.next(at(62), true), Next::Move(at(63)));
        assert_eq!(schedule.next(at(63), true), Next::Wake(vec![d]));
    }

    /// What cases do, as a script: each waits so many times so long, with so much patience (milliseconds).
    fn scripts() -> impl Strategy<Value = Vec<Vec<(u32, u32)>>> {
        let wait = (1_u32..100_000, prop_oneof![Just(0), 0_u32..5_000]);
        proptest::collection::vec(proptest::collection::vec(wait, 0..6), 1..12)
    }

    proptest! {
        /// Laws of the timeline: nobody is woken early, nobody is woken later than the clock had to go for
        /// others, everybody gets to the end, and the clock goes no further than the last deadline.
        #[test]
        fn everyone_is_woken_at_the_deadline(scripts in scripts(), choice in any::<u64>()) {
            let mut random = fastrand::Rng::with_seed(choice);
            let mut schedule = Schedule::default();
            let mut now = at(0);
            let mut working: Vec<(usize, usize)> = (0..scripts.len()).map(|case| (case, 0)).collect();
            let mut waiting: HashMap<u64, (usize, usize, UtcTime, UtcTime)> = HashMap::new();
            let mut latest = at(0);
            for _ in &scripts {
                schedule.begin();
            }
            while !(working.is_empty() && waiting.is_empty()) {
                // In any order, someone who works begins the next wait or ends.
                if !working.is_empty() && random.bool() {
                    let (case, step) = working.swap_remove(random.usize(..working.len()));
                    match scripts[case].get(step) {
                        None => schedule.end(),
                        Some((length, patience)) => {
                            let deadline = now.plus_us(i64::from(*length) * 1000);
                            let patience = Duration::from_millis(u64::from(*patience));
                            latest = latest.max(deadline);
                            let bound = deadline.plus_us(i64::try_from(patience.as_micros()).unwrap());
                            waiting.insert(schedule.wait(deadline, patience), (case, step + 1, deadline, bound));
                        }
                    }
                    continue;
                }
                prop_assert_eq!(schedule.active(), working.len());
                match schedule.next(now, true) {
                    Next::Wake(waits) => {
                        let deadlines: Vec<_> = waits.iter().map(|wait| waiting[wait].2).collect();
                        prop_assert!(deadlines.is_sorted());
                        for wait in waits {
                            let (case, step, deadline, _) = waiting.remove(&wait).unwrap();
                            prop_assert!(deadline <= now);
                            working.push((case, step));
                        }
                        prop_assert!(waiting.values().all(|(_, _, deadline, _)| *deadline > now), "all due were woken");
                    }
                    Next::Move(to) => {
                        prop_assert!(working.is_empty());
                        prop_assert!(waiting.values().any(|(_, _, deadline, _)| *deadline == to), "to a deadline");
                        prop_assert!(waiting.values().all(|(_, _, _, bound)| to <= *bound), "within all patience");
                        prop_assert!(to > now && to <= latest);
                        now = to;
                    }
                    Next::SleepUntil(until) => {
                        prop_assert!(until > now);
                        // Real time passes while someone works.
                        let step = random.i64(1..=20_000);
                        now = if working.is_empty() { until } else { now.plus_us(step).min(until) };
                    }
                    Next::Idle => prop_assert!(waiting.is_empty()),
                }
            }
            prop_assert_eq!((schedule.active(), schedule.waiting()), (0, 0));
            prop_assert!(now <= latest);
        }
    }
}
