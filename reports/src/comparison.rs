//! Records side by side: the builds of one server, or several servers, requirement by requirement.

pub mod document;

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Changes, Turn};
use crate::record::{Finding, RequirementRecord, RunRecord, Verdict};
use crate::summary::{self, count};

/// What stands side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Builds of one server, the oldest first: what turned between the first and the last?
    Builds,
    /// Servers: where do they differ?
    Servers,
}

/// A build or a server, with all records of it as one.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Stands for it in tables: `A`.
    pub letter: String,
    /// What it is called.
    pub name: String,
    /// How many records it is made of.
    pub records: usize,
    /// Of each case and requirement the worst of them, of findings and readings all; without traces.
    pub record: RunRecord,
    /// Cases and requirements that came out otherwise in another record, or when they were run again.
    pub unsteady: BTreeSet<String>,
}

/// What a column shows of a requirement or case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The verdict.
    pub verdict: Verdict,
    /// It came out otherwise, too.
    pub unsteady: bool,
    /// Waivers accept what was found.
    pub waived: bool,
}

impl Cell {
    /// In words.
    pub fn words(&self) -> String {
        let mut words = self.verdict.as_str().to_owned();
        if self.waived {
            words.push_str(", waived");
        }
        if self.unsteady {
            words.push_str(", unsteady");
        }
        words
    }
}

/// A requirement in all columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'c> {
    /// The requirement, as the last column that has it tells it.
    pub requirement: &'c RequirementRecord,
    /// In the order of the columns; `None` where a run had no case about it.
    pub cells: Vec<Option<Cell>>,
    /// How it turned from the first column to the last.
    pub turn: Option<Turn>,
}

impl Row<'_> {
    /// Whether not all columns in which it was judged show the same.
    pub fn differs(&self) -> bool {
        let cells = || self.cells.iter().flatten();
        let judged = |it: &Verdict| !matches!(it, Verdict::NotApplicable | Verdict::None);
        let verdicts: BTreeSet<Verdict> = cells().map(|it| it.verdict).filter(judged).collect();
        verdicts.len() > 1 || cells().any(|it| it.unsteady)
    }
}

/// The readings that the columns follow of one wording defect: reading → for each column the number of cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading<'c> {
    /// `WD-25`
    pub defect: &'c str,
    /// Its readings.
    pub readings: BTreeMap<&'c str, Vec<usize>>,
}

impl Reading<'_> {
    /// Whether not all columns that were seen to follow one follow the same.
    pub fn differs(&self) -> bool {
        let columns = self
            .readings
            .values()
            .map(Vec::len)
            .max()
            .unwrap_or_default();
        let of = |column: usize| -> Vec<&str> {
            let own = self.readings.iter().filter(|(_, cases)| cases[column] > 0);
            own.map(|(reading, _)| *reading).collect()
        };
        let follows = (0..columns).map(of).filter(|own| !own.is_empty());
        follows.collect::<BTreeSet<_>>().len() > 1
    }
}

/// Records side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// What stands side by side.
    pub kind: Kind,
    /// At least one.
    pub columns: Vec<Column>,
    /// From the first column to the last.
    pub changes: Changes,
    /// Whether all were judged by the same scenarios and requirements.
    pub same_suite: bool,
}

impl Column {
    /// Of the records of one build or server, at least one.
    pub fn of(name: String, records: Vec<RunRecord>) -> Option<Self> {
        let number = records.len();
        let mut records = records.into_iter();
        let mut record = without_traces(records.next()?);
        let mut unsteady: BTreeSet<String> = BTreeSet::new();
        unsteady.extend(record.unsteady().map(|(case, _)| case.id.clone()));
        for other in records {
            let other = without_traces(other);
            unsteady.extend(other.unsteady().map(|(case, _)| case.id.clone()));
            join(&mut record, other, &mut unsteady);
        }
        Some(Self {
            letter: String::new(),
            name,
            records: number,
            record,
            unsteady,
        })
    }

    fn cell(&self, requirement: &RequirementRecord) -> Cell {
        Cell {
            verdict: requirement.verdict,
            unsteady: self.unsteady.contains(&requirement.id),
            waived: summary::all_waived(&self.record, requirement),
        }
    }
}

fn without_traces(mut record: RunRecord) -> RunRecord {
    for case in &mut record.cases {
        case.trace = crate::record::Trace::default();
    }
    record
}

/// Joins a further record of the same build to the first.
fn join(into: &mut RunRecord, other: RunRecord, unsteady: &mut BTreeSet<String>) {
    let known = places(into.cases.iter().map(|it| &it.id));
    for case in other.cases {
        match known.get(&case.id).map(|at| &mut into.cases[*at]) {
            None => into.cases.push(case),
            Some(known) => {
                if known.verdict != case.verdict {
                    unsteady.insert(case.id.clone());
                }
                if known.verdict < case.verdict {
                    *known = case;
                }
            }
        }
    }
    let known = places(into.requirements.iter().map(|it| &it.id));
    for requirement in other.requirements {
        match known
            .get(&requirement.id)
            .map(|at| &mut into.requirements[*at])
        {
            None => into.requirements.push(requirement),
            Some(known) => {
                if known.verdict != requirement.verdict {
                    unsteady.insert(requirement.id.clone());
                }
                if known.verdict < requirement.verdict {
                    *known = requirement;
                }
            }
        }
    }
    // What one run found, the build has.
    let key = |it: &Finding| (it.kind, it.requirement.clone(), it.case.clone(), it.check);
    let known: BTreeSet<_> = into.findings.iter().map(key).collect();
    let new = other
        .findings
        .into_iter()
        .filter(|it| !known.contains(&key(it)));
    into.findings.extend(new);
    for finding in other.protocol {
        let same = |it: &crate::record::ProtocolFinding| {
            (&it.clause, &it.message, &it.expected)
                == (&finding.clause, &finding.message, &finding.expected)
        };
        if !into.protocol.iter().any(same) {
            into.protocol.push(finding);
        }
    }
    for (defect, readings) in other.readings {
        let known = into.readings.entry(defect).or_default();
        for (reading, cases) in readings {
            let all = known.entry(reading).or_default();
            all.extend(cases);
            all.sort();
            all.dedup();
        }
    }
    into.interrupted = into.interrupted.take().or(other.interrupted);
}

fn places<'a>(ids: impl Iterator<Item = &'a String>) -> BTreeMap<String, usize> {
    ids.enumerate().map(|(at, id)| (id.clone(), at)).collect()
}

impl Comparison {
    /// Puts columns side by side.
    pub fn of(kind: Kind, mut columns: Vec<Column>) -> Self {
        for (column, number) in columns.iter_mut().zip(0..) {
            column.letter = letter(number);
        }
        let changes = match (columns.first(), columns.last()) {
            (Some(first), Some(last)) => Changes::between(&first.record, &last.record),
            _ => Changes::default(),
        };
        let suite = |it: &Column| {
            let plan = &it.record.plan;
            (plan.suite.clone(), plan.catalogue.clone())
        };
        let suites: BTreeSet<_> = columns.iter().map(suite).collect();
        Self {
            kind,
            changes,
            same_suite: suites.len() <= 1,
            columns,
        }
    }

    /// Every requirement, in the order of the clauses.
    pub fn rows(&self) -> Vec<Row<'_>> {
        let mut order: Vec<&str> = Vec::new();
        let mut found: BTreeMap<&str, Vec<Option<&RequirementRecord>>> = BTreeMap::new();
        for (at, column) in self.columns.iter().enumerate() {
            for requirement in &column.record.requirements {
                let own = found.entry(&requirement.id).or_insert_with(|| {
                    order.push(&requirement.id);
                    vec![None; self.columns.len()]
                });
                own[at] = Some(requirement);
            }
        }
        let row = |id: &str| {
            let found = found.get(id)?;
            let cells: Vec<_> = found
                .iter()
                .zip(&self.columns)
                .map(|(requirement, column)| requirement.map(|it| column.cell(it)))
                .collect();
            Some(Row {
                requirement: found.iter().rev().flatten().next()?,
                turn: turn(
                    cells.first().copied().flatten(),
                    cells.last().copied().flatten(),
                ),
                cells,
            })
        };
        order.into_iter().filter_map(row).collect()
    }

    /// Wording defects of which a column was seen to follow a reading.
    pub fn readings(&self) -> Vec<Reading<'_>> {
        let mut all: BTreeMap<&str, BTreeMap<&str, Vec<usize>>> = BTreeMap::new();
        for (at, column) in self.columns.iter().enumerate() {
            for (defect, readings) in &column.record.readings {
                for (reading, cases) in readings {
                    let own = all.entry(defect).or_default().entry(reading);
                    own.or_insert_with(|| vec![0; self.columns.len()])[at] = cases.len();
                }
            }
        }
        all.into_iter()
            .map(|(defect, readings)| Reading { defect, readings })
            .collect()
    }

    /// What came out of it, in one line.
    pub fn headline(&self) -> String {
        let rows = self.rows();
        match self.kind {
            Kind::Servers => {
                let differ = rows.iter().filter(|row| row.differs()).count();
                let all = count(rows.len(), "requirement", "requirements");
                let readings = self.readings();
                let unlike = readings.iter().filter(|it| it.differs()).count();
                let read = count(unlike, "unclear wording", "unclear wordings");
                format!("They differ in {differ} of {all}, and read {read} otherwise.")
            }
            Kind::Builds => {
                let mut parts = Vec::new();
                for turn in Turn::ALL {
                    let requirements = rows.iter().filter(|row| row.turn == Some(turn)).count();
                    let cases = self.changes.cases.iter();
                    let cases = cases.filter(|it| self.case_turn(it) == Some(turn)).count();
                    let numbers = [
                        (requirements, "requirement", "requirements"),
                        (cases, "case", "cases"),
                    ];
                    let numbers = numbers.into_iter().filter(|it| it.0 > 0);
                    let numbers: Vec<_> = numbers.map(|it| count(it.0, it.1, it.2)).collect();
                    if !numbers.is_empty() {
                        parts.push(format!("{}: {}", turn.words(), numbers.join(", ")));
                    }
                }
                let what = if self.changes.breaks(false) {
                    "Something breaks conformance that did not."
                } else {
                    "Nothing breaks conformance that did not."
                };
                if parts.is_empty() {
                    return format!("{what} No verdict turned.");
                }
                format!("{what} {}.", capital(&parts.join("; ")))
            }
        }
    }

    /// How a case turned from the first column to the last.
    pub fn case_turn(&self, change: &crate::change::CaseChange) -> Option<Turn> {
        let unsteady = |column: Option<&Column>| {
            column.is_some_and(|column| column.unsteady.contains(&change.id))
        };
        let turn = Turn::of(change.then, change.now);
        match turn {
            Some(Turn::Worse | Turn::Better | Turn::Unclear)
                if unsteady(self.columns.first()) || unsteady(self.columns.last()) =>
            {
                Some(Turn::Unsteady)
            }
            turn => turn,
        }
    }
}

/// What is unsteady in one of two columns did not turn.
fn turn(first: Option<Cell>, last: Option<Cell>) -> Option<Turn> {
    let turn = Turn::of(first.map(|it| it.verdict), last.map(|it| it.verdict))?;
    let unsteady = [first, last].iter().flatten().any(|it| it.unsteady);
    Some(match turn {
        Turn::Worse | Turn::Better | Turn::Unclear if unsteady => Turn::Unsteady,
        turn => turn,
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first: String = chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .collect();
    first + chars.as_str()
}

/// `A` to `Z`, then `A2` and so on.
fn letter(number: u32) -> String {
    let letter = char::from_u32(u32::from('A') + number % 26).unwrap_or('?');
    match number / 26 {
        0 => letter.to_string(),
        round => format!("{letter}{}", round + 1),
    }
}

#[cfg(test)]
mod tests;
