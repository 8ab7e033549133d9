//! Accepted findings, and what became of each acceptance in this run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Location;

/// One waiver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaiverRecord {
    /// The requirement, or the clause of a base protocol, whose findings it accepts.
    pub requirement: Option<String>,
    /// The case or scenario in which it accepts them; with a requirement too, both must fit.
    pub case: Option<String>,
    /// Why they are accepted.
    pub reason: String,
    /// Where that is tracked.
    pub issue: String,
    /// Last day on which it holds, `2027-01-31`.
    pub until: String,
    /// Where it is written.
    pub source: Location,
    /// What became of it.
    pub state: WaiverState,
    /// Why it is stale or open.
    pub why: Option<String>,
    /// Findings that fit it.
    pub fits: u32,
    /// Every case of the suite that could have such a finding, whether it is in this record or not.
    pub scope: Vec<String>,
}

/// What became of a waiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WaiverState {
    /// It accepts at least one finding.
    Used,
    /// Its time is over, or nothing is found any more that it would accept.
    Stale,
    /// This run cannot tell: its cases were not run, or not to their end.
    Open,
}

impl WaiverRecord {
    /// What it is about: `DM-STORE-02 in PG-06`.
    pub fn subject(&self) -> String {
        match (&self.requirement, &self.case) {
            (Some(requirement), Some(case)) => format!("{requirement} in {case}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "everything".into(),
        }
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        format!(
            "{}: {} ({}, until {})",
            self.subject(),
            self.reason,
            self.issue,
            self.until
        )
    }

    /// The same, with why it is stale or open.
    pub fn explain(&self) -> String {
        match &self.why {
            Some(why) => format!("{}: {why}", self.describe()),
            None => self.describe(),
        }
    }

    /// Whether it is stale.
    pub fn is_stale(&self) -> bool {
        self.state == WaiverState::Stale
    }
}
