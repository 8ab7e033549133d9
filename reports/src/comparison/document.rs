//! A comparison as a document: for a pull request, a release note, a standards meeting.

use std::fmt::Write as _;

use super::{Column, Comparison, Kind, Reading, Row};
use crate::change::{CaseChange, FindingChange, Standing, Turn};
use crate::clause;
use crate::document::{Cell, Document, Section, Table};
use crate::escape;
use crate::record::{Level, Verdict};
use crate::summary::{Summary, count};

/// Cases of a finding that are named; beyond, a number tells as much.
const CASES: usize = 5;

/// The comparison as a document, written by imspec `tool`.
pub fn document(comparison: &Comparison, tool: &str) -> Document {
    let breaks = comparison.changes.breaks(false);
    let builds = comparison.kind == Kind::Builds;
    let mut document = Document {
        kicker: match comparison.kind {
            Kind::Builds => "Builds compared",
            Kind::Servers => "Servers compared",
        }
        .into(),
        title: names(comparison),
        headline: comparison.headline(),
        class: match (builds, breaks) {
            (true, true) => "fail",
            (true, false) => "pass",
            (false, _) => "none",
        },
        tool: tool.to_owned(),
        sections: Vec::new(),
    };
    document.push(runs(comparison));
    if builds {
        document.push(turned_requirements(comparison));
        document.push(findings(comparison));
        document.push(turned_cases(comparison));
    }
    document.push(requirements(comparison));
    document.push(readings(comparison));
    document
}

fn names(comparison: &Comparison) -> String {
    let names = comparison.columns.iter().map(|it| it.name.clone());
    escape::line(&names.collect::<Vec<_>>().join(" · "))
}

fn runs(comparison: &Comparison) -> Section {
    let row = |column: &Column| {
        let record = &column.record;
        let counts = Summary::of(record);
        let with = |verdict| counts.with(verdict).to_string();
        let mut started = record.started.to_seconds();
        if column.records > 1 {
            started = format!(
                "{started} and {}",
                count(column.records - 1, "more run", "more runs")
            );
        }
        vec![
            Cell::name(&column.letter),
            Cell::text(&column.name).note(format!("profile {}", record.profile.name)),
            Cell::text(started).note(format!("imspec {}", record.tool)),
            Cell::text(counts.total_cases().to_string()),
            Cell::text(with(Verdict::Pass)),
            Cell::text(with(Verdict::Fail)),
            Cell::text(with(Verdict::Inconclusive)),
            Cell::text(with(Verdict::Error)),
            Cell::text(with(Verdict::NotApplicable)),
            Cell::text(column.unsteady.len().to_string()),
        ]
    };
    Section {
        id: "runs",
        title: "Runs".into(),
        lead: (!comparison.same_suite).then(|| OTHER_SUITES.to_owned()),
        tables: vec![Table {
            caption: None,
            head: [
                "",
                "Server",
                "Run",
                "Cases",
                "Pass",
                "Fail",
                "Inconclusive",
                "Error",
                "Not applicable",
                "Unsteady",
            ]
            .map(str::to_owned)
            .to_vec(),
            rows: comparison.columns.iter().map(row).collect(),
        }],
    }
}

/// What to know when the runs were judged by different suites.
pub const OTHER_SUITES: &str = "The runs had different scenarios or requirements: what is new, gone or turned may be their doing. imspec judge judges all of them by the same.";

fn turned_requirements(comparison: &Comparison) -> Section {
    let rows = comparison.rows();
    let table = |turn: Turn| Table {
        caption: Some(turn.words().to_owned()),
        head: ["Requirement", "Level", "From", "To", "Statement"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows
            .iter()
            .filter(|row| row.turn == Some(turn))
            .map(|row| {
                let end = |cell: Option<&Option<super::Cell>>| {
                    cell_of(cell.copied().flatten(), row.requirement.level)
                };
                vec![
                    id(row),
                    Cell::text(row.requirement.level.as_str()),
                    end(row.cells.first()),
                    end(row.cells.last()),
                    Cell::text(row.requirement.in_words()),
                ]
            })
            .collect(),
    };
    Section {
        id: "turned",
        title: "Requirements that turned".into(),
        lead: None,
        tables: Turn::ALL.map(table).to_vec(),
    }
}

fn id(row: &Row<'_>) -> Cell {
    Cell::name(&row.requirement.id).note(clause::cite(&row.requirement.clause))
}

fn cell_of(cell: Option<super::Cell>, level: Level) -> Cell {
    match cell {
        // What is only permitted cannot fail.
        Some(cell) if (cell.verdict, level) == (Verdict::Fail, Level::May) => {
            Cell::toned("observation", "i", "otherwise")
        }
        Some(cell) => Cell::verdict(cell.verdict, cell.words()),
        None => Cell::text("–"),
    }
}

fn findings(comparison: &Comparison) -> Section {
    let word = |it: Option<Standing>| it.map_or_else(|| "–".to_owned(), Standing::words);
    let row = |change: &FindingChange| {
        let mut cases = change.cases.clone();
        let more = cases.len().saturating_sub(CASES);
        cases.truncate(CASES);
        let mut cases = cases.join(", ");
        if more > 0 {
            let _ = write!(cases, " and {more} more");
        }
        let now = match (change.then, change.now) {
            (then, Some(now)) if now.breaks(false) && !then.is_some_and(|it| it.breaks(false)) => {
                Cell::turn(Turn::Worse, word(change.now))
            }
            (Some(then), now) if then.breaks(false) && !now.is_some_and(|it| it.breaks(false)) => {
                Cell::turn(Turn::Better, word(change.now))
            }
            _ => Cell::text(word(change.now)),
        };
        vec![
            Cell::name(&change.about),
            Cell::text(word(change.then)),
            now,
            Cell::text(cases),
        ]
    };
    Section {
        id: "findings",
        title: "Findings that came, went or weigh otherwise".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head: ["About", "Then", "Now", "Cases"]
                .map(str::to_owned)
                .to_vec(),
            rows: comparison.changes.findings.iter().map(row).collect(),
        }],
    }
}

fn turned_cases(comparison: &Comparison) -> Section {
    let row = |turn: Turn, change: &CaseChange| {
        let word = |it: Option<Verdict>| it.map_or("–", Verdict::as_str);
        let why = change.checks.iter().find(|it| it.now == change.now);
        let why = why.map(|it| {
            format!(
                "{}: expected {}, observed {}",
                it.subject, it.expected, it.observed
            )
        });
        let why = match change.now {
            Some(Verdict::Pass) | None => None,
            _ => why.or_else(|| change.reason.clone()),
        };
        vec![
            Cell::name(&change.id).note(&change.title),
            Cell::text(word(change.then)),
            Cell::turn(turn, word(change.now)),
            Cell::text(why.unwrap_or_default()),
        ]
    };
    let table = |turn: Turn| {
        let own = comparison.changes.cases.iter();
        let own = own.filter(|change| comparison.case_turn(change) == Some(turn));
        Table {
            caption: Some(turn.words().to_owned()),
            head: ["Case", "From", "To", "Why"].map(str::to_owned).to_vec(),
            rows: own.map(|change| row(turn, change)).collect(),
        }
    };
    Section {
        id: "cases",
        title: "Cases that turned".into(),
        lead: None,
        tables: Turn::ALL.map(table).to_vec(),
    }
}

/// The matrix: all requirements by clause, one column a build or server.
fn requirements(comparison: &Comparison) -> Section {
    let rows = comparison.rows();
    let mut head: Vec<String> = ["Requirement", "Level"].map(str::to_owned).to_vec();
    head.extend(comparison.columns.iter().map(|it| it.letter.clone()));
    head.push("Statement".into());
    let records: Vec<_> = rows.iter().map(|row| row.requirement.clone()).collect();
    let table = |group: clause::Group<'_>| {
        let own = group.requirements.iter().filter_map(|requirement| {
            let row = rows
                .iter()
                .find(|row| row.requirement.id == requirement.id)?;
            let mut cells = vec![id(row), Cell::text(row.requirement.level.as_str())];
            cells.extend(
                row.cells
                    .iter()
                    .map(|cell| cell_of(*cell, row.requirement.level)),
            );
            let statement = Cell::text(row.requirement.in_words());
            cells.push(if row.differs() {
                statement.note("≠ they differ")
            } else {
                statement
            });
            Some(cells)
        });
        Table {
            caption: Some(group.heading()),
            head: head.clone(),
            rows: own.collect(),
        }
    };
    Section {
        id: "requirements",
        title: "Requirements".into(),
        lead: None,
        tables: clause::groups(&records).into_iter().map(table).collect(),
    }
}

fn readings(comparison: &Comparison) -> Section {
    let mut head: Vec<String> = ["Wording", "Reading"].map(str::to_owned).to_vec();
    head.extend(comparison.columns.iter().map(|it| it.letter.clone()));
    let rows = |reading: Reading<'_>| {
        let differs = reading.differs();
        let mut rows = Vec::new();
        for (text, followed) in &reading.readings {
            let name = Cell::name(reading.defect);
            let mut row = vec![
                if differs {
                    name.note("≠ they differ")
                } else {
                    name
                },
                Cell::text(text),
            ];
            row.extend(followed.iter().map(|cases| match cases {
                0 => Cell::text("–"),
                n => Cell::toned("observation", "●", count(*n, "case", "cases")),
            }));
            rows.push(row);
        }
        rows
    };
    Section {
        id: "readings",
        title: "Readings of unclear wording".into(),
        lead: None,
        tables: vec![Table {
            caption: None,
            head,
            rows: comparison.readings().into_iter().flat_map(rows).collect(),
        }],
    }
}
