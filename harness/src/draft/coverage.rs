//! What stands behind each statement: requirements, scenarios, the seeded faults that prove them, and how servers did.

pub mod html;
pub mod markdown;

use std::collections::{BTreeMap, BTreeSet};

use imspec_faults::Fault;
use imspec_reports::record::{RunRecord, Verdict};
use serde_json::{Value, json};

use super::link::{Links, Standing};
use super::{Draft, Form, Statement};
use crate::catalogue::{Coverage, Requirement};

/// The evidence for every statement of a draft.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The draft.
    pub draft: &'a Draft,
    /// One row a statement, in its order.
    pub rows: Vec<Row<'a>>,
    /// The servers whose records were given, in their order.
    pub servers: Vec<String>,
}

/// The evidence for a statement.
#[derive(Debug)]
pub struct Row<'a> {
    /// The statement.
    pub statement: &'a Statement,
    /// Whether it is still what its requirements came from.
    pub standing: Standing,
    /// Requirements that came from it.
    pub requirements: Vec<&'a Requirement>,
    /// Scenarios that cover them.
    pub scenarios: Vec<&'a str>,
    /// Seeded faults that violate them: the scenarios were seen to catch them.
    pub faults: Vec<&'a Fault>,
    /// How each server did.
    pub outcomes: Vec<Outcome>,
}

/// How a server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Worst verdict of the requirements; `None` where the run had nothing of them.
    pub verdict: Option<Verdict>,
    /// Requirements that failed.
    pub failed: Vec<String>,
    /// Readings that it follows, by wording defect.
    pub readings: BTreeMap<String, Vec<String>>,
}

impl<'a> Evidence<'a> {
    /// Gathers it.
    pub fn gather(
        draft: &'a Draft,
        links: &Links<'a>,
        coverage: &'a Coverage,
        faults: &'a [Fault],
        records: &[RunRecord],
    ) -> Self {
        let row = |(index, statement): (usize, &'a Statement)| {
            let requirements: Vec<&Requirement> = links
                .of_statement(index)
                .iter()
                .map(|link| link.requirement)
                .collect();
            let scenarios: BTreeSet<&str> = requirements
                .iter()
                .flat_map(|it| coverage.scenarios(&it.id))
                .map(String::as_str)
                .collect();
            let violates = |fault: &&Fault| {
                requirements
                    .iter()
                    .any(|it| fault.violates.contains(&it.id.as_str()))
            };
            let faults = faults.iter().filter(violates).collect();
            let outcomes = records
                .iter()
                .map(|record| Outcome::of(record, &requirements))
                .collect();
            Row {
                statement,
                standing: links.standing(index),
                requirements,
                scenarios: scenarios.into_iter().collect(),
                faults,
                outcomes,
            }
        };
        Self {
            draft,
            rows: draft.statements.iter().enumerate().map(row).collect(),
            servers: records
                .iter()
                .map(|record| record.profile.sut.clone())
                .collect(),
        }
    }

    /// How many statements have a scenario, of how many that bind.
    pub fn covered(&self) -> (usize, usize) {
        let binding = || {
            self.rows
                .iter()
                .filter(|row| row.statement.form != Form::SmallLetters)
        };
        let with = binding().filter(|row| !row.scenarios.is_empty());
        (with.count(), binding().count())
    }

    /// For programs.
    pub fn as_json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "statement": row.statement.id,
                    "clause": row.statement.clause,
                    "text": row.statement.text,
                    "link": row.standing.name(),
                    "requirements": row.requirements.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
                    "scenarios": row.scenarios,
                    "faults": row.faults.iter().map(|it| it.id).collect::<Vec<_>>(),
                    "obstacle": row.obstacle(),
                    "servers": self.servers.iter().zip(&row.outcomes).map(|(server, outcome)| json!({
                        "server": server,
                        "verdict": outcome.verdict,
                        "failed": outcome.failed,
                        "readings": outcome.readings,
                    })).collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({ "draft": self.draft.source.name(), "statements": rows })
    }
}

impl Row<'_> {
    /// Why nothing shows it, where nothing does.
    pub fn obstacle(&self) -> Option<String> {
        if !self.scenarios.is_empty() {
            return None;
        }
        Some(match self.requirements.first() {
            None => "no requirement comes from it".to_owned(),
            Some(requirement) => format!("no scenario; {}", requirement.testability),
        })
    }

    /// Wording defects of its requirements.
    pub fn wording(&self) -> BTreeSet<&str> {
        self.requirements
            .iter()
            .flat_map(|it| &it.wording)
            .map(String::as_str)
            .collect()
    }
}

impl Outcome {
    fn of(record: &RunRecord, requirements: &[&Requirement]) -> Self {
        let ours = |id: &str| requirements.iter().any(|it| it.id == id);
        let judged: Vec<_> = record
            .requirements
            .iter()
            .filter(|it| ours(&it.id))
            .collect();
        let wording = requirements.iter().flat_map(|it| &it.wording);
        let readings = wording.filter_map(|defect| {
            let seen = record.readings.get(defect)?;
            Some((defect.clone(), seen.keys().cloned().collect()))
        });
        let failed = judged.iter().filter(|it| it.verdict == Verdict::Fail);
        Self {
            verdict: judged.iter().map(|it| it.verdict).max(),
            failed: failed.map(|it| it.id.clone()).collect(),
            readings: readings.collect(),
        }
    }

    /// In one word.
    pub fn word(&self) -> &'static str {
        match self.verdict {
            None | Some(Verdict::None | Verdict::NotApplicable) => "-",
            Some(verdict) => verdict.as_str(),
        }
    }
}

#[cfg(test)]
mod tests;
