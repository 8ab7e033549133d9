//! What a case is to those who know fewer outcomes than a conformance test has: the one mapping of `JUnit`, TAP
//! and CTRF, first match wins.
//!
//! | case | outcome |
//! |---|---|
//! | verdict `error` | broke |
//! | a nonconformity or profile mismatch that no waiver accepts | failed; it tells the weight |
//! | verdict `fail`, with deviations, observations or waived findings only | held |
//! | verdict `fail` without any finding | failed: nothing excuses it |
//! | verdict `inconclusive`, `not-applicable`, `none` | skipped, with verdict and reason |
//! | verdict `pass` | held |

use crate::escape;
use crate::record::{CaseRecord, Finding, FindingKind, Verdict};

/// The outcome of one case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing breaks conformance.
    Held,
    /// Something does.
    Failed {
        /// How much it weighs: `nonconformity`, `profile-mismatch`, or `failure`.
        weight: &'static str,
        /// Requirements and what was found, safe to show.
        message: String,
    },
    /// The harness or the set-up broke.
    Broke {
        /// The reason, safe to show.
        message: String,
    },
    /// It could not be told, or does not apply.
    Skipped {
        /// Verdict and reason, safe to show.
        message: String,
    },
}

impl Outcome {
    /// Of a case with its findings.
    pub fn of(case: &CaseRecord, findings: &[&Finding]) -> Self {
        let weighty: Vec<_> = findings
            .iter()
            .filter(|finding| finding.waiver.is_none() && breaks(finding.kind))
            .collect();
        let reason = || escape::line(case.reason.as_deref().unwrap_or("no reason was recorded"));
        match case.verdict {
            Verdict::Error => Self::Broke { message: reason() },
            _ if !weighty.is_empty() => {
                let mut ids: Vec<&str> = Vec::new();
                for finding in &weighty {
                    if !ids.contains(&finding.requirement.as_str()) {
                        ids.push(&finding.requirement);
                    }
                }
                let worst = weighty.iter().map(|finding| finding.kind).min();
                Self::Failed {
                    weight: worst.map_or("failure", name),
                    message: escape::line(&format!("{}: {}", ids.join(", "), weighty[0].summary)),
                }
            }
            Verdict::Fail
                if findings
                    .iter()
                    .all(|finding| finding.kind == FindingKind::NotDemonstrated) =>
            {
                Self::Failed {
                    weight: "failure",
                    message: reason(),
                }
            }
            Verdict::Inconclusive | Verdict::NotApplicable | Verdict::None => Self::Skipped {
                message: format!("{}: {}", case.verdict, reason()),
            },
            Verdict::Pass | Verdict::Fail => Self::Held,
        }
    }
}

/// Whether a CI system shall see a failure.
pub fn breaks(kind: FindingKind) -> bool {
    matches!(
        kind,
        FindingKind::Nonconformity | FindingKind::ProfileMismatch
    )
}

/// The name of a weight, in one word.
pub fn name(kind: FindingKind) -> &'static str {
    match kind {
        FindingKind::Nonconformity => "nonconformity",
        FindingKind::ProfileMismatch => "profile-mismatch",
        FindingKind::Deviation => "deviation",
        FindingKind::Observation => "observation",
        FindingKind::NotDemonstrated => "not-demonstrated",
    }
}
