//! Waivers: findings that the maker of the SUT has accepted, with reason, issue and end date.
//! `docs/waivers.md` describes the file.
//!
//! A waiver never changes a verdict; it takes a finding out of the exit status and stays printed in every
//! report. One that no longer applies is *stale*.

mod decode;

use std::sync::Arc;

use imspec_reports::record::{Location, WaiverRecord, WaiverState};
use jiff::civil::Date;

use crate::catalogue::Catalogue;
use crate::document::{Diagnostics, Source};
use crate::scenario::Scenario;

/// One accepted finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiver {
    /// Requirement id, or a clause of a base protocol; with `case` too, both must fit.
    pub requirement: Option<String>,
    /// Case or scenario id; `PG-05` fits all cases of the scenario.
    pub case: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is tracked.
    pub issue: String,
    /// Last day on which it holds.
    pub until: Date,
    /// Where it is written.
    pub at: Location,
    /// Every case of the suite that could have such a finding.
    pub scope: Vec<String>,
}

/// Reads a waiver file. Its ids are held against the suite and the catalogue: one that does not exist would
/// accept nothing, and nobody would notice.
pub fn read(
    source: &Arc<Source>,
    scenarios: &[Arc<Scenario>],
    catalogue: &Catalogue,
) -> Result<Vec<Waiver>, Diagnostics> {
    decode::file(source, scenarios, catalogue)
}

impl Waiver {
    /// Whether it speaks of this finding.
    pub fn fits(&self, requirement: &str, scenario: &str, case: &str) -> bool {
        self.requirement
            .as_deref()
            .is_none_or(|wanted| wanted == requirement)
            && self
                .case
                .as_deref()
                .is_none_or(|wanted| wanted == scenario || wanted == case)
    }

    /// Whether it names a clause of a base protocol, not an id of the catalogue: ids have no space.
    pub fn is_about_a_clause(&self) -> bool {
        let id = self.requirement.as_deref();
        id.is_some_and(|id| id.contains(' '))
    }

    /// Whether its time is over on `today`.
    pub fn is_over(&self, today: Date) -> bool {
        self.until < today
    }

    /// For the record, as long as nothing is known about its use.
    pub fn record(&self) -> WaiverRecord {
        WaiverRecord {
            requirement: self.requirement.clone(),
            case: self.case.clone(),
            reason: self.reason.clone(),
            issue: self.issue.clone(),
            until: self.until.to_string(),
            source: self.at.clone(),
            state: WaiverState::Open,
            why: None,
            fits: 0,
            scope: self.scope.clone(),
        }
    }

    /// The waiver of a record; `None` where the record was changed by hand and has no date there.
    pub fn of_record(record: &WaiverRecord) -> Option<Self> {
        Some(Self {
            requirement: record.requirement.clone(),
            case: record.case.clone(),
            reason: record.reason.clone(),
            issue: record.issue.clone(),
            until: record.until.parse().ok()?,
            at: record.source.clone(),
            scope: record.scope.clone(),
        })
    }
}
