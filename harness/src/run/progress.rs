//! The progress bar: a reader of run events, on a terminal only.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::RunEvent;

/// Names of running cases that fit on the line.
const SHOWN: usize = 3;

/// Shows how far a run is.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    running: BTreeSet<String>,
    moved_s: f64,
}

impl Progress {
    /// A bar for so many cases; nothing at all when `quiet`, or when standard error is no terminal.
    pub fn new(cases: usize, quiet: bool) -> Self {
        let target = if quiet || !std::io::stderr().is_terminal() {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let bar = ProgressBar::with_draw_target(u64::try_from(cases).ok(), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} cases  {elapsed}  {msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            running: BTreeSet::new(),
            moved_s: 0.0,
        }
    }

    /// Takes an event.
    pub fn show(&mut self, event: &RunEvent) {
        match event {
            RunEvent::CaseStarted { case_id } => {
                self.running.insert(case_id.clone());
            }
            RunEvent::CaseFinished { case, .. } => {
                self.running.remove(&case.id);
                self.bar.inc(1);
            }
            RunEvent::ClockMoved { by_s, .. } => self.moved_s += by_s,
            RunEvent::Log { line } => self.bar.println(line),
            RunEvent::LaneStarted { .. } => {}
        }
        self.bar.set_message(self.message());
    }

    /// Takes the bar away.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn message(&self) -> String {
        let mut message = self
            .running
            .iter()
            .take(SHOWN)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ");
        if self.running.len() > SHOWN {
            message.push_str(" …");
        }
        if self.moved_s > 0.0 {
            // Writing to a String does not fail.
            let _ = write!(message, "  (store time: {:.1} h)", self.moved_s / 3600.0);
        }
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use imspec_reports::record::UtcTime;

    #[test]
    fn the_line_names_some_cases_and_the_time_that_passed() {
        let mut progress = Progress::new(5, true);
        for case in ["PG-05", "PG-01", "EX-02", "EX-01"] {
            progress.show(&RunEvent::CaseStarted {
                case_id: case.into(),
            });
        }
        progress.show(&RunEvent::ClockMoved {
            lane: 0,
            by_s: 7200.0,
            to: UtcTime { unix_us: 0 },
        });
        assert_eq!(
            progress.message(),
            "EX-01 EX-02 PG-01 …  (store time: 2.0 h)"
        );
        progress.finish();
    }
}
