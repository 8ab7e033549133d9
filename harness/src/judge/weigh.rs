//! From verdict to finding: the level of a requirement weighs what a check found.

use imspec_reports::record::{FindingKind, Level, Verdict};

use crate::catalogue::Requirement;

/// The weight of one check for one requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weighed {
    /// Nothing to tell: it held, or nothing was judged.
    Nothing,
    /// This finding.
    Finding(FindingKind),
    /// The harness broke; an error says nothing about a requirement.
    Error,
}

/// Weighs `verdict`. A failed SHALL is a nonconformity, a failed SHOULD a deviation, a failed MAY an
/// observation; whatever contradicts only the declaration is a profile mismatch.
pub fn weigh(requirement: &Requirement, verdict: Verdict, mismatch: bool) -> Weighed {
    match verdict {
        Verdict::NotApplicable | Verdict::None | Verdict::Pass => Weighed::Nothing,
        Verdict::Inconclusive => Weighed::Finding(FindingKind::NotDemonstrated),
        Verdict::Error => Weighed::Error,
        Verdict::Fail if mismatch || requirement.declared => {
            Weighed::Finding(FindingKind::ProfileMismatch)
        }
        Verdict::Fail => Weighed::Finding(match requirement.level {
            Level::Shall => FindingKind::Nonconformity,
            Level::Should => FindingKind::Deviation,
            Level::May => FindingKind::Observation,
        }),
    }
}
