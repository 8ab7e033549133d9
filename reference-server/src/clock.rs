//! Store time: the clock by which messages age and registrations lapse.
//!
//! It is the system's clock plus an offset that a tester may move, so that thirty days of waiting
//! cost nothing. Transactions never look at it: protocol time is always real.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;

/// An instant of store time: microseconds since 1970-01-01T00:00:00Z.
///
/// 64 bits hold every sum of a time of this era and an Expires value, whose largest is 136 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last instant that the calendar library takes: 22:00 on 30 December 9999.
const LAST: i64 = 253_402_207_200_000_000;

impl Timestamp {
    /// The beginning of 1970, which is before everything.
    pub const EPOCH: Self = Self(0);

    /// The instant that many microseconds after 1970 began.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// The instant that many seconds after 1970 began.
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// Microseconds since 1970 began.
    pub fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds since 1970 began.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// This instant moved by seconds, at most to the end of what 64 bits hold.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000_000)))
    }

    /// Time from `earlier` until this instant; zero when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// Whole seconds from `now` until this instant, begun seconds counted in full.
    pub fn seconds_from(self, now: Self) -> u64 {
        let micros = self.since(now).as_micros();
        u64::try_from(micros.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }

    /// Reads RFC 3339 text.
    pub fn parse(text: &str) -> Option<Self> {
        text.parse::<jiff::Timestamp>()
            .ok()
            .map(|time| Self(time.as_microsecond()))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with six decimals. What lies outside the years 0 to 9999 shows as the nearest
    /// instant within.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.clamp(-62_167_219_200_000_000, LAST);
        match jiff::Timestamp::from_microsecond(shown) {
            Ok(time) => write!(f, "{time:.6}"),
            Err(_) => write!(f, "{shown}us"),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a clock was not moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// The configuration says `clock.movable: false`.
    #[error("this server's clock cannot be moved: set clock.movable to true in its configuration")]
    NotMovable,
    /// The result would not be a date between 1970 and 9999.
    #[error("the clock would leave the years 1970 to 9999")]
    OutOfRange,
}

/// Tells store time and, where it can be moved, moves it.
pub trait Clock: Send + Sync + 'static {
    /// The present instant of store time.
    fn now(&self) -> Timestamp;
    /// Whether [`Self::shift`] works.
    fn movable(&self) -> bool;
    /// Moves store time by microseconds, back when negative. Gives the new offset from real time.
    fn shift(&self, micros: i64) -> Result<i64, ClockError>;
    /// A receiver that changes whenever the clock was moved.
    fn moves(&self) -> watch::Receiver<i64>;
}

/// Waits until store time reaches `deadline`, whether it gets there by itself or is moved.
pub async fn wait_until(clock: &dyn Clock, deadline: Timestamp) {
    let mut moves = clock.moves();
    loop {
        moves.borrow_and_update();
        let now = clock.now();
        if now >= deadline {
            return;
        }
        // A day at most: the runtime's timer does not take 136 years.
        let left = deadline.since(now).min(Duration::from_hours(24));
        tokio::select! {
            () = tokio::time::sleep(left) => {}
            result = moves.changed() => {
                if result.is_err() {
                    // The clock is gone, so nobody can move it any more.
                    tokio::time::sleep(left).await;
                }
            }
        }
    }
}

/// The system's clock plus an offset.
#[derive(Debug)]
pub struct SystemClock {
    movable: bool,
    offset: AtomicI64,
    moves: watch::Sender<i64>,
}

impl SystemClock {
    /// A clock that starts `offset` microseconds from real time.
    pub fn new(movable: bool, offset: i64) -> Self {
        let offset = if movable { offset } else { 0 };
        Self {
            movable,
            offset: AtomicI64::new(offset),
            moves: watch::Sender::new(offset),
        }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let real = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let real = i64::try_from(real.as_micros()).unwrap_or(i64::MAX);
        Timestamp(real.saturating_add(self.offset.load(Ordering::SeqCst)))
    }

    fn movable(&self) -> bool {
        self.movable
    }

    fn shift(&self, micros: i64) -> Result<i64, ClockError> {
        if !self.movable {
            return Err(ClockError::NotMovable);
        }
        let target = self
            .now()
            .0
            .checked_add(micros)
            .ok_or(ClockError::OutOfRange)?;
        if !(0..=LAST).contains(&target) {
            return Err(ClockError::OutOfRange);
        }
        let offset = self
            .offset
            .fetch_add(micros, Ordering::SeqCst)
            .saturating_add(micros);
        self.moves.send_replace(offset);
        Ok(offset)
    }

    fn moves(&self) -> watch::Receiver<i64> {
        self.moves.subscribe()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn times_print_and_parse_as_rfc_3339() {
        let time = Timestamp::parse("2026-11-23T02:10:33.123456Z").unwrap();
        assert_eq!(time.to_string(), "2026-11-23T02:10:33.123456Z");
        assert_eq!(
            Timestamp::from_seconds(0).to_string(),
            "1970-01-01T00:00:00.000000Z"
        );
        assert_eq!(
            Timestamp::from_micros(i64::MAX).to_string(),
            "9999-12-30T22:00:00.000000Z"
        );
    }

    #[test]
    fn begun_seconds_count_in_full() {
        let now = Timestamp::from_micros(1);
        assert_eq!(Timestamp::from_micros(2).seconds_from(now), 1);
        assert_eq!(Timestamp::from_micros(1_000_001).seconds_from(now), 1);
        assert_eq!(Timestamp::from_micros(1_000_002).seconds_from(now), 2);
        assert_eq!(Timestamp::from_micros(0).seconds_from(now), 0);
    }

    #[test]
    fn the_largest_expires_is_136_years_on() {
        let now = Timestamp::parse("2026-11-23T00:00:00Z").unwrap();
        let end = now.plus_seconds(i64::from(u32::MAX));
        assert_eq!(end.to_string(), "2162-12-30T06:28:15.000000Z");
    }

    #[test]
    fn a_fixed_clock_refuses_to_move_and_a_movable_one_stays_in_its_era() {
        assert_eq!(
            SystemClock::new(false, 0).shift(1),
            Err(ClockError::NotMovable)
        );
        let clock = SystemClock::new(true, 0);
        assert_eq!(clock.shift(i64::MAX), Err(ClockError::OutOfRange));
        assert_eq!(clock.shift(i64::MIN), Err(ClockError::OutOfRange));
        let before = clock.now();
        clock.shift(3_600_000_000).unwrap();
        assert!(clock.now().since(before) >= Duration::from_hours(1));
    }

    #[tokio::test]
    async fn a_wait_of_a_century_ends_when_the_clock_is_moved() {
        let clock = std::sync::Arc::new(SystemClock::new(true, 0));
        let deadline = clock.now().plus_seconds(100 * 365 * 86_400);
        let waiting = {
            let clock = std::sync::Arc::clone(&clock);
            tokio::spawn(async move { wait_until(&*clock, deadline).await })
        };
        tokio::task::yield_now().await;
        clock.shift(101 * 365 * 86_400 * 1_000_000).unwrap();
        waiting.await.unwrap();
    }
}
