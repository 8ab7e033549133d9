//! The clock of an unmodified server under libfaketime: a file that holds the distance to real time, which
//! the preloaded library reads whenever the server asks for the time.
//!
//! The server must run with `FAKETIME_TIMESTAMP_FILE` set to the file and `FAKETIME_NO_CACHE=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use imspec_reports::record::UtcTime;

use super::{Clock, Distance};
use crate::sut::Pending;

/// A libfaketime offset file.
#[derive(Debug)]
pub struct Faketime {
    file: PathBuf,
    settle: Duration,
    resolution: Duration,
    /// Microseconds that the file says.
    ahead_us: AtomicI64,
}

impl Faketime {
    /// Writes the file, so that the server finds it when it starts. A file that is there keeps its
    /// distance: a server that is started again must not see its past.
    pub fn new(file: PathBuf, settle: Duration, resolution: Duration) -> Result<Self, String> {
        let ahead_us = std::fs::read_to_string(&file)
            .ok()
            .and_then(|text| read(&text))
            .unwrap_or(0);
        let clock = Self {
            file,
            settle,
            resolution,
            ahead_us: AtomicI64::new(ahead_us),
        };
        replace(&clock.file, &written(ahead_us))?;
        Ok(clock)
    }
}

impl Clock for Faketime {
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
        // Server and harness share the machine's clock: what the file says is what the server sees.
        let distance = Distance {
            us: self.ahead_us.load(Ordering::SeqCst),
            uncertainty_us: 1000,
        };
        Box::pin(async move { Ok(distance) })
    }

    fn advance(&self, to: UtcTime) -> Pending<'_, Result<(), String>> {
        Box::pin(async move {
            let wanted_us = to.unix_us.saturating_sub(UtcTime::now().unix_us);
            if wanted_us > self.ahead_us.load(Ordering::SeqCst) {
                replace(&self.file, &written(wanted_us))?;
                self.ahead_us.store(wanted_us, Ordering::SeqCst);
                // The server notices at its next look at the clock, and its timers tick about once a second.
                tokio::time::sleep(self.settle).await;
            }
            Ok(())
        })
    }
}

/// The file's one line: seconds with a sign, `+86402.500000`.
fn written(ahead_us: i64) -> String {
    let (sign, us) = if ahead_us < 0 {
        ('-', ahead_us.unsigned_abs())
    } else {
        ('+', ahead_us.unsigned_abs())
    };
    format!("{sign}{}.{:06}\n", us / 1_000_000, us % 1_000_000)
}

fn read(text: &str) -> Option<i64> {
    let text = text.trim();
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (seconds, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let fraction: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    seconds
        .parse::<i64>()
        .ok()?
        .checked_mul(1_000_000)?
        .checked_add(fraction)?
        .checked_mul(sign)
}

/// Replaces a file in one step, so that the server never reads half a number.
fn replace(file: &Path, text: &str) -> Result<(), String> {
    // The error itself names a temporary file that nobody knows.
    let failed = |e: std::io::Error| format!("libfaketime file {}: {}", file.display(), e.kind());
    let directory = file.parent().unwrap_or(Path::new("."));
    let mut next = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    next.write_all(text.as_bytes()).map_err(failed)?;
    // The server may run as another user.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let readable = std::fs::Permissions::from_mode(0o644);
        next.as_file().set_permissions(readable).map_err(failed)?;
    }
    next.persist(file).map(drop).map_err(|e| failed(e.error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_file_has_the_form_that_the_library_reads() {
        assert_eq!(written(0), "+0.000000\n");
        assert_eq!(written(86_402_500_000), "+86402.500000\n");
        assert_eq!(written(-1), "-0.000001\n");
        assert_eq!(read("+86402"), Some(86_402_000_000));
        assert_eq!(read("2026-11-23 02:10:33"), None);
    }

    #[tokio::test]
    async fn the_clock_moves_forward_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("faketime");
        let clock = Faketime::new(file.clone(), Duration::ZERO, Duration::from_secs(1)).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "+0.000000\n");
        clock
            .advance(UtcTime::now().plus_us(3_600_000_000))
            .await
            .unwrap();
        let ahead = clock.distance().await.unwrap().us;
        assert!((3_500_000_000..=3_600_000_000).contains(&ahead), "{ahead}");
        clock.advance(UtcTime::now()).await.unwrap();
        assert_eq!(clock.distance().await.unwrap().us, ahead);
        let again = Faketime::new(file, Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(
            again.distance().await.unwrap().us,
            ahead,
            "survives a restart of the server"
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(us in -(1_i64 << 60)..(1_i64 << 60)) {
            prop_assert_eq!(read(&written(us)), Some(us));
        }
    }
}
