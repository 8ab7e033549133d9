//! Clock adapters: read the store clock of the server, and move it where that is possible.
//!
//! The server's clock runs like ours, at a distance that only changes when the adapter moves it. So the
//! distance is measured, with its uncertainty, and every event is stamped from our own clock without
//! asking the server each time.

mod faketime;

use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use imspec_reports::record::{StoreTime, UtcTime};

use super::Pending;
use super::control::Control;
use super::program::Program;

pub use faketime::Faketime;

/// How far the store clock is ahead of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Distance {
    /// Microseconds; negative when it is behind.
    pub us: i64,
    /// The true value lies within this many microseconds either side.
    pub uncertainty_us: u64,
}

/// Reads and moves the store clock.
pub trait Clock: Send + Sync {
    /// Whether [`Self::advance`] can work.
    fn movable(&self) -> bool;

    /// The finest step of the clock: 1 s where the server counts whole seconds.
    fn resolution(&self) -> Duration;

    /// The longest that a move may take to have its full effect after [`Self::advance`] returned.
    fn settle(&self) -> Duration;

    /// Measures the distance.
    fn distance(&self) -> Pending<'_, Result<Distance, String>>;

    /// Moves the clock to that instant, and returns when everything due by then has been done, as far as
    /// the adapter can know. Never moves it back.
    fn advance(&self, to: UtcTime) -> Pending<'_, Result<(), String>>;
}

/// A clock that is ours, or as good as ours.
#[derive(Debug)]
pub struct Real {
    /// How far apart the two clocks may be.
    pub skew: Duration,
    /// See [`Clock::resolution`].
    pub resolution: Duration,
}

impl Clock for Real {
    fn movable(&self) -> bool {
        false
    }

    fn resolution(&self) -> Duration {
        self.resolution
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn distance(&self) -> Pending<'_, Result<Distance, String>> {
        let distance = Distance {
            us: 0,
            uncertainty_us: micros(self.skew),
        };
        Box::pin(async move { Ok(distance) })
    }

    fn advance(&self, _: UtcTime) -> Pending<'_, Result<(), String>> {
        Box::pin(async { Err("the profile has no clock adapter that can move the clock".into()) })
    }
}

/// A clock behind the control API.
#[derive(Debug)]
pub struct ByControl {
    control: Control,
    resolution: Duration,
}

impl ByControl {
    pub(crate) fn new(control: Control, resolution: Duration) -> Self {
        Self {
            control,
            resolution,
        }
    }
}

impl Clock for ByControl {
    fn movable(&self) -> bool {
        true
    }

    fn resolution(&self) -> Duration {
        self.resolution
    }

    fn settle(&self) -> Duration {
        Duration::ZERO
    }

    fn distance(&self) -> Pending<'_, Result<Distance, String>> {
        Box::pin(quickest(self.resolution, || self.control.clock()))
    }

    fn advance(&self, to: UtcTime) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            // By a distance and not to an instant: the clock runs on while the request travels, and may show
            // less than it knows; it must never be set back.
            let shown = self.control.clock().await?;
            let by_us = u64::try_from(to.unix_us.saturating_sub(shown.unix_us)).unwrap_or(0);
            if by_us > 0 {
                self.control.advance(by_us.div_ceil(1000)).await?;
            }
            Ok(())
        })
    }
}

/// Measures the distance of a clock that has to be asked. The first request opens a connection, or brings a
/// program into memory; the quickest of several says most.
async fn quickest<F: Future<Output = Result<UtcTime, String>>>(
    resolution: Duration,
    ask: impl Fn() -> F,
) -> Result<Distance, String> {
    let mut best: Option<Distance> = None;
    for _ in 0..3 {
        let (before, asked) = (UtcTime::now(), Instant::now());
        let shown = ask().await?;
        let half_us = micros(asked.elapsed()) / 2;
        // A clock that shows whole seconds is, on average, half a second past what it shows.
        let half_step_us = micros(resolution) / 2;
        let measured = Distance {
            us: shown
                .plus_us(signed(half_step_us))
                .unix_us
                .saturating_sub(before.plus_us(signed(half_us)).unix_us),
            uncertainty_us: half_us + half_step_us,
        };
        if best.is_none_or(|best| measured.uncertainty_us < best.uncertainty_us) {
            best = Some(measured);
        }
    }
    best.ok_or_else(|| "the clock was not read".into())
}

/// A clock that a program reads and another one moves.
#[derive(Debug)]
pub struct ByProgram {
    read: Program,
    advance: Program,
    resolution: Duration,
    settle: Duration,
}

impl ByProgram {
    pub(crate) fn new(
        read: Program,
        advance: Program,
        resolution: Duration,
        settle: Duration,
    ) -> Self {
        Self {
            read,
            advance,
            resolution,
            settle,
        }
    }

    /// What the clock shows: a date and time as RFC 3339 has it, or seconds since 1970.
    async fn shown(&self) -> Result<UtcTime, String> {
        let said = self.read.say(&[]).await?;
        let instant = said.parse::<jiff::Timestamp>().ok().map(|it| UtcTime {
            unix_us: it.as_microsecond(),
        });
        instant.or_else(|| seconds(&said)).ok_or_else(|| {
            format!("the clock's program printed `{said}`, which is neither RFC 3339 nor seconds")
        })
    }
}

fn seconds(text: &str) -> Option<UtcTime> {
    let seconds: f64 = text.parse().ok()?;
    // Beyond this year 9999 is passed, and whole microseconds are not told apart any more.
    #[expect(clippy::cast_possible_truncation, reason = "within bounds")]
    (0.0..253_402_300_800.0)
        .contains(&seconds)
        .then(|| UtcTime {
            unix_us: (seconds * 1e6).round() as i64,
        })
}

impl Clock for ByProgram {
    fn movable(&self) -> bool {
        true
    }

    fn resolution(&self) -> Duration {
        self.resolution
    }

    fn settle(&self) -> Duration {
        self.settle
    }

    fn distance(&self) -> Pending<'_, Result<Distance, String>> {
        Box::pin(quickest(self.resolution, || self.shown()))
    }

    fn advance(&self, to: UtcTime) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            let shown = self.shown().await?;
            let by_us = u64::try_from(to.unix_us.saturating_sub(shown.unix_us)).unwrap_or(0);
            if by_us == 0 {
                return Ok(());
            }
            let by_ms = by_us.div_ceil(1000);
            let by_s = by_us.div_ceil(1_000_000);
            let words = [
                ("by_ms", by_ms.to_string()),
                ("by_s", by_s.to_string()),
                ("to", to.to_string()),
            ];
            let words = words
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            Ok(self.advance.run(&words).await.map(drop)?)
        })
    }
}

/// The store clock of one server as the whole run sees it: the adapter and the measured distance.
pub struct StoreClock {
    adapter: Box<dyn Clock>,
    known: RwLock<Option<Distance>>,
}

impl std::fmt::Debug for StoreClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreClock")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

impl StoreClock {
    /// A clock of which nothing is known yet.
    pub fn new(adapter: Box<dyn Clock>) -> Self {
        Self {
            adapter,
            known: RwLock::new(None),
        }
    }

    /// The adapter.
    pub fn adapter(&self) -> &dyn Clock {
        &*self.adapter
    }

    /// Store time now, as far as it is known.
    pub fn now(&self) -> Option<StoreTime> {
        let distance = (*self.known.read().unwrap_or_else(PoisonError::into_inner))?;
        Some(StoreTime {
            at: UtcTime::now().plus_us(distance.us),
            uncertainty_ms: u32::try_from(distance.uncertainty_us.div_ceil(1000))
                .unwrap_or(u32::MAX),
        })
    }

    /// Measures the distance anew.
    pub async fn measure(&self) -> Result<Distance, String> {
        let distance = self.adapter.distance().await?;
        self.know(Some(distance));
        Ok(distance)
    }

    /// Moves the clock. Returns what it showed before and shows after.
    pub async fn advance(&self, to: UtcTime) -> Result<(UtcTime, UtcTime), String> {
        let from = match self.now() {
            Some(now) => now.at,
            None => UtcTime::now().plus_us(self.measure().await?.us),
        };
        // Whatever arrives while the clock moves happened somewhere between the two instants.
        let by_us = to.unix_us.saturating_sub(from.unix_us).max(0);
        let around = Distance {
            us: from
                .plus_us(by_us / 2)
                .unix_us
                .saturating_sub(UtcTime::now().unix_us),
            uncertainty_us: by_us.unsigned_abs() / 2 + micros(self.adapter.settle()),
        };
        self.know(Some(around));
        self.adapter.advance(to).await?;
        let distance = self.measure().await?;
        Ok((from, UtcTime::now().plus_us(distance.us)))
    }

    fn know(&self, distance: Option<Distance>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = distance;
    }
}

/// Whole microseconds of a duration; saturates.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The same as a signed number; saturates.
pub(crate) fn signed(us: u64) -> i64 {
    i64::try_from(us).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn stamps_are_unknown_until_measured() {
        let clock = StoreClock::new(Box::new(Real {
            skew: Duration::from_millis(3),
            resolution: Duration::ZERO,
        }));
        assert_eq!(clock.now(), None);
        clock.measure().await.unwrap();
        assert_eq!(clock.now().unwrap().uncertainty_ms, 3);
        assert!(clock.advance(UtcTime::now().plus_us(1)).await.is_err());
    }
}
