//! Verdicts, levels and the weight that the two give a finding (ISO/IEC 9646).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Verdict of a check or case. The order is the algebra: the worst wins.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Set aside before the run: the PICS excludes the case.
    NotApplicable,
    /// Nothing was judged.
    #[default]
    None,
    /// Held.
    Pass,
    /// Ran, but could not tell.
    Inconclusive,
    /// Did not hold.
    Fail,
    /// The harness or the set-up broke.
    Error,
}

impl Verdict {
    /// The worse of the two.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        self.max(other)
    }

    /// As written in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not-applicable",
            Self::None => "none",
            Self::Pass => "pass",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
            Self::Error => "error",
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How binding a requirement is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Level {
    /// Absolute.
    #[serde(rename = "SHALL")]
    Shall,
    /// Recommended.
    #[serde(rename = "SHOULD")]
    Should,
    /// Free.
    #[serde(rename = "MAY")]
    May,
}

impl Level {
    /// The key word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shall => "SHALL",
            Self::Should => "SHOULD",
            Self::May => "MAY",
        }
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Where a requirement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// A normative sentence of the specification.
    Written,
    /// Not written, but without it a written one means nothing.
    Derived,
    /// An informative note.
    Note,
    /// An informative section.
    Context,
    /// A rule of a base protocol (an RFC).
    Protocol,
}

impl Basis {
    /// As written in records and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Derived => "derived",
            Self::Note => "note",
            Self::Context => "context",
            Self::Protocol => "protocol",
        }
    }
}

impl std::fmt::Display for Basis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a check saw its evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Observation {
    /// What the server sent.
    Wire,
    /// What a store adapter read.
    Store,
    /// Neither: the harness itself (set-up, clock, values).
    Harness,
}

/// Weight of a finding, worst first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A SHALL does not hold.
    Nonconformity,
    /// Legal, but not what the profile declares.
    ProfileMismatch,
    /// A SHOULD does not hold.
    Deviation,
    /// A MAY, a note or a context statement does not hold.
    Observation,
    /// Could not be shown.
    NotDemonstrated,
}
