//! What a record tells about a plan, so that its parts can be told from those of another.

use std::sync::Arc;

use imspec_reports::record::PlanRecord;

use super::{Plan, Selection};
use crate::catalogue::Catalogue;
use crate::fingerprint;
use crate::scenario::Scenario;

/// What a plan was made of.
#[derive(Debug, Clone, Copy)]
pub struct Made<'a> {
    /// The suite.
    pub scenarios: &'a [Arc<Scenario>],
    /// What it is judged by.
    pub catalogue: &'a Catalogue,
    /// What was asked for.
    pub selection: &'a Selection,
}

/// Describes a plan that is not split yet.
pub fn describe(plan: &Plan, made: &Made<'_>) -> PlanRecord {
    let run = plan.cases().map(|case| case.id.as_str());
    let aside = plan.set_aside.iter().map(|it| it.case.id.as_str());
    let ids: Vec<&str> = run.chain(aside).collect();
    PlanRecord {
        suite: of_suite(made.scenarios),
        catalogue: made.catalogue.fingerprint().to_owned(),
        selection: made.selection.words(),
        cases: u32::try_from(ids.len()).unwrap_or(u32::MAX),
        ids: of_ids(ids),
        ..PlanRecord::default()
    }
}

/// Fingerprint of the texts of a suite, in whatever order they come.
pub fn of_suite(scenarios: &[Arc<Scenario>]) -> String {
    let mut suite: Vec<&Arc<Scenario>> = scenarios.iter().collect();
    suite.sort_by(|one, other| one.id.cmp(&other.id));
    fingerprint::of(suite.iter().map(|it| it.written.source.text()))
}

/// Fingerprint of the ids of cases, in whatever order they come.
pub fn of_ids<'a>(ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut ids: Vec<&str> = ids.into_iter().collect();
    ids.sort_unstable();
    fingerprint::of(ids)
}
