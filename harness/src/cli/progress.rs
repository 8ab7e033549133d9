//! The live area of a run: how far it is, what runs, what is waited for, what failed so far. On a terminal only;
//! elsewhere lines of a log, where they are asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::time::Duration;

use imspec_reports::record::{UtcTime, Verdict};
use imspec_reports::terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen;
use crate::campaign::Told;
use crate::judge::Judged;
use crate::run::RunEvent;

/// How much is told during a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// Nothing.
    Quiet,
    /// The live area, on a terminal.
    Usual,
    /// Each case as well, wherever it goes.
    Verbose,
}

/// Shows how far a run is.
#[derive(Debug)]
pub(super) struct Progress {
    bar: ProgressBar,
    loudness: Loudness,
    width: usize,
    running: BTreeSet<String>,
    /// Lane → how many of its cases wait, and until when.
    waiting: BTreeMap<usize, (usize, UtcTime)>,
    failed: Vec<String>,
    moved_s: f64,
}

impl Progress {
    /// For so many cases. The live area is on a terminal only.
    pub(super) fn new(cases: usize, loudness: Loudness) -> Self {
        let shown = loudness != Loudness::Quiet && std::io::stderr().is_terminal();
        let target = if shown {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let width = screen::columns_of_errors();
        let bar = ProgressBar::with_draw_target(u64::try_from(cases).ok(), target);
        if let Ok(style) =
            ProgressStyle::with_template("{bar:30} {pos}/{len} cases  {elapsed}{msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self {
            bar,
            loudness,
            width,
            running: BTreeSet::new(),
            waiting: BTreeMap::new(),
            failed: Vec::new(),
            moved_s: 0.0,
        }
    }

    /// Takes what is told.
    pub(super) fn show(&mut self, told: Told<'_>) {
        match told {
            Told::Judged(judged) => self.ended(judged),
            Told::Event(RunEvent::CaseStarted { case_id }) => {
                self.running.insert(case_id.clone());
            }
            Told::Event(RunEvent::Waiting { lane, cases, until }) => {
                self.waiting.insert(*lane, (*cases, *until));
            }
            Told::Event(RunEvent::ClockMoved { lane, by_s, .. }) => {
                self.waiting.remove(lane);
                self.moved_s += by_s;
            }
            Told::Event(RunEvent::Log { line }) => self.line(line),
            Told::Event(RunEvent::LaneStarted { .. } | RunEvent::CaseFinished { .. }) => {}
        }
        self.bar.set_message(self.message());
    }

    /// Takes the live area away.
    pub(super) fn finish(self) {
        self.bar.finish_and_clear();
    }

    fn ended(&mut self, judged: &Judged) {
        let (case, verdict) = (&judged.case, judged.judgement.verdict);
        self.running.remove(&case.id);
        self.bar.inc(1);
        if verdict >= Verdict::Fail {
            self.failed.push(case.id.clone());
        }
        if self.loudness == Loudness::Verbose {
            let reason = judged.judgement.reason.as_deref();
            let line = terminal::ended(&case.id, verdict, judged.duration_us, reason, self.width);
            self.line(&line);
        }
    }

    /// A line that stays.
    fn line(&self, line: &str) {
        if self.bar.is_hidden() {
            if self.loudness != Loudness::Quiet {
                anstream::eprintln!("{line}");
            }
        } else {
            // The bar writes past what takes colours away where they are not wanted.
            let colours = anstream::AutoStream::choice(&std::io::stderr());
            if colours == anstream::ColorChoice::Never {
                self.bar
                    .println(anstream::adapter::strip_str(line).to_string());
            } else {
                self.bar.println(line);
            }
        }
    }

    /// What stands below the bar: nothing that does not fit on a line, and no line about nothing.
    fn message(&self) -> String {
        let mut message = String::new();
        if self.moved_s > 0.0 {
            let _ = write!(message, "  store time +{:.1} h", self.moved_s / 3600.0);
        }
        let mut line = |name: &str, count: usize, ids: &mut dyn Iterator<Item = &str>| {
            if count > 0 {
                let head = format!("{name:>8} {count}  ");
                let room = self.width.saturating_sub(head.len());
                let _ = write!(message, "\n{head}{}", fitting(ids, room));
            }
        };
        let running = &mut self.running.iter().map(String::as_str);
        line("running", self.running.len(), running);
        let waiting = self.waiting.values().map(|(cases, _)| cases).sum();
        let until = self.waiting.values().map(|(_, until)| *until).min();
        let until = until.map(|until| format!("until store time {}", until.to_seconds()));
        line("waiting", waiting, &mut until.as_deref().into_iter());
        let latest = &mut self.failed.iter().rev().map(String::as_str);
        line("failed", self.failed.len(), latest);
        message
    }
}

/// As many as fit, and `…` where that is not all.
fn fitting(ids: &mut dyn Iterator<Item = &str>, room: usize) -> String {
    let mut shown = String::new();
    for id in ids {
        // Room for the sign that there are more.
        if shown.len() + id.len() + 2 > room {
            shown.push('…');
            break;
        }
        shown.push_str(id);
        shown.push(' ');
    }
    shown.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under_way(width: usize) -> String {
        let mut progress = Progress {
            width,
            ..Progress::new(9, Loudness::Quiet)
        };
        for case in [
            "PG-05[transport=tcp]",
            "PG-01",
            "EX-02",
            "EX-01",
            "MS-12[mark=1]",
        ] {
            let case_id = case.to_owned();
            progress.show(Told::Event(&RunEvent::CaseStarted { case_id }));
        }
        progress.show(Told::Event(&RunEvent::ClockMoved {
            lane: 0,
            by_s: 7200.0,
            to: UtcTime { unix_us: 0 },
        }));
        let until = UtcTime {
            unix_us: 1_800_000_000_000_000,
        };
        for (lane, cases) in [(0, 231), (3, 4)] {
            progress.show(Told::Event(&RunEvent::Waiting { lane, cases, until }));
        }
        progress.failed = vec!["PG-06".into(), "DL-01[transport=udp,answer=480]".into()];
        let message = progress.message();
        progress.finish();
        message
    }

    #[test]
    fn what_runs_what_is_waited_for_and_what_failed() {
        let lines = [
            "  store time +2.0 h",
            " running 5  EX-01 EX-02 MS-12[mark=1] PG-01 PG-05[transport=tcp]",
            " waiting 235  until store time 2027-01-15 08:00:00 UTC",
            "  failed 2  DL-01[transport=udp,answer=480] PG-06",
        ];
        assert_eq!(under_way(100), lines.join("\n"));
    }

    #[test]
    fn in_sixty_columns_what_does_not_fit_is_left_out() {
        let lines = [
            "  store time +2.0 h",
            " running 5  EX-01 EX-02 MS-12[mark=1] PG-01 …",
            " waiting 235  until store time 2027-01-15 08:00:00 UTC",
            "  failed 2  DL-01[transport=udp,answer=480] PG-06",
        ];
        assert_eq!(under_way(60), lines.join("\n"));
    }

    #[test]
    fn at_the_beginning_there_is_nothing_to_tell() {
        let progress = Progress::new(5, Loudness::Usual);
        assert_eq!(progress.message(), "");
        progress.finish();
    }
}
