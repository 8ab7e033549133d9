//! Colours. Meaning never hangs on colour alone: each has a word or a sign beside it.

use anstyle::{AnsiColor, Style};

use crate::record::{FindingKind, Level, ProtocolWeight, Verdict};

pub(super) const DIM: Style = Style::new().dimmed();
pub(super) const BOLD: Style = Style::new().bold();
pub(super) const ESCAPED: Style = AnsiColor::Cyan.on_default();
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
pub(super) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(super) const DECLARED: Style = AnsiColor::Magenta.on_default();
pub(super) const MINOR: Style = AnsiColor::Cyan.on_default();
/// Octets that were expected, beside those in [`BAD`] that were seen.
pub(super) const WANTED: Style = AnsiColor::Green.on_default().bold();

/// Colour of a requirement's verdict: how bad a failure is depends on the level.
pub(super) fn verdict(verdict: Verdict, level: Level) -> Style {
    match (verdict, level) {
        (Verdict::Pass, _) => GOOD,
        (Verdict::Fail, Level::Shall) | (Verdict::Error, _) => BAD,
        (Verdict::Fail, Level::Should) | (Verdict::Inconclusive, _) => DOUBTFUL,
        (Verdict::Fail, Level::May) => MINOR,
        (Verdict::None | Verdict::NotApplicable, _) => DIM,
    }
}

/// Sign of a requirement's verdict.
pub(super) fn sign(verdict: Verdict, level: Level) -> &'static str {
    match verdict {
        Verdict::Pass => "✓",
        Verdict::Fail if level == Level::May => "i",
        Verdict::Fail => "✗",
        Verdict::Inconclusive => "?",
        Verdict::Error => "!",
        Verdict::None | Verdict::NotApplicable => "·",
    }
}

/// Colour, sign and name of a protocol finding.
pub(super) fn protocol(weight: ProtocolWeight) -> (Style, &'static str, &'static str) {
    match weight {
        ProtocolWeight::Error => (BAD, "✗", "protocol error"),
        ProtocolWeight::Warning => (DOUBTFUL, "!", "protocol warning"),
    }
}

/// Colour, sign, name and heading of a finding.
pub(super) fn finding(kind: FindingKind) -> (Style, &'static str, &'static str, &'static str) {
    match kind {
        FindingKind::Nonconformity => (BAD, "✗", "nonconformity", "Nonconformities"),
        FindingKind::ProfileMismatch => (DECLARED, "≠", "profile mismatch", "Profile mismatches"),
        FindingKind::Deviation => (DOUBTFUL, "✗", "deviation", "Deviations"),
        FindingKind::Observation => (MINOR, "i", "observation", "Observations"),
        FindingKind::NotDemonstrated => (DOUBTFUL, "?", "not demonstrated", "Not demonstrated"),
    }
}
