//! What `imspec compare` prints.

use super::changes::{case, finding, from_to, turned};
use super::page::{Page, Span, plain, span};
use super::{Options, label, left, listed, theme};
use crate::change::{CaseChange, Turn};
use crate::clause;
use crate::comparison::document::OTHER_SUITES;
use crate::comparison::{Cell, Comparison, Kind, Row};
use crate::record::{Level, Verdict};
use crate::summary::{Summary, count};

/// Records side by side.
pub fn comparison(comparison: &Comparison, options: &Options) -> String {
    let mut page = Page::new(options.width);
    if !options.quiet {
        columns(&mut page, comparison);
        match comparison.kind {
            Kind::Builds => {
                requirements(&mut page, comparison);
                cases(&mut page, comparison);
                findings(&mut page, comparison);
            }
            Kind::Servers => matrix(&mut page, comparison),
        }
        readings(&mut page, comparison);
        page.heading(theme::BOLD, "Summary", theme::DIM);
    }
    page.prose(0, &[plain(comparison.headline())]);
    page.finish()
}

/// Who stands side by side, and how each did.
fn columns(page: &mut Page, comparison: &Comparison) {
    for column in &comparison.columns {
        let record = &column.record;
        let counts = Summary::of(record);
        let mut line = vec![
            span(theme::BOLD, &column.name),
            span(theme::DIM, format!(" · {}", record.started.to_seconds())),
        ];
        if column.records > 1 {
            let more = count(column.records - 1, "more run", "more runs");
            line.push(span(theme::DIM, format!(" and {more}")));
        }
        page.row(&span(theme::BOLD, &column.letter), &line);
        let verdicts = [
            Verdict::Error,
            Verdict::Fail,
            Verdict::Inconclusive,
            Verdict::Pass,
            Verdict::NotApplicable,
        ];
        let parts = verdicts.into_iter().filter(|it| counts.with(*it) > 0);
        let mut parts: Vec<String> = parts
            .map(|it| format!("{} {it}", counts.with(it)))
            .collect();
        if !column.unsteady.is_empty() {
            parts.push(format!("{} unsteady", column.unsteady.len()));
        }
        let cases = count(counts.total_cases(), "case", "cases");
        page.row(
            &label(""),
            &[plain(format!("{cases}: {}", parts.join(", ")))],
        );
    }
    if !comparison.same_suite {
        page.paragraph(
            &span(theme::DOUBTFUL, "note"),
            theme::DOUBTFUL,
            OTHER_SUITES,
        );
    }
}

fn requirements(page: &mut Page, comparison: &Comparison) {
    let rows = comparison.rows();
    let rows: Vec<_> = rows.iter().filter(|row| row.turn.is_some()).collect();
    if rows.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Requirements that turned", theme::DIM);
    let id = rows.iter().map(|row| row.requirement.id.len()).max();
    for turn in Turn::ALL {
        for row in rows.iter().filter(|row| row.turn == Some(turn)) {
            let (style, sign) = turned(turn);
            let end = |cell: Option<&Option<Cell>>| cell.copied().flatten().map(|it| it.verdict);
            let words = from_to(end(row.cells.first()), end(row.cells.last()));
            page.line(
                2,
                &[
                    span(style, format!("{sign} ")),
                    plain(left(&row.requirement.id, id.unwrap_or_default() + 2)),
                    plain(left(
                        row.requirement.level.as_str(),
                        Level::Should.as_str().len() + 2,
                    )),
                    span(style, left(turn.words(), 19)),
                    plain(left(&words, 24)),
                    span(theme::DIM, &row.requirement.statement),
                ],
            );
        }
    }
}

fn cases(page: &mut Page, comparison: &Comparison) {
    for turn in Turn::ALL {
        let own = comparison.changes.cases.iter();
        let own: Vec<&CaseChange> = own
            .filter(|it| comparison.case_turn(it) == Some(turn))
            .collect();
        if own.is_empty() {
            continue;
        }
        let (style, _) = turned(turn);
        let number = count(own.len(), "case", "cases");
        page.heading(style, &format!("{number} {}", turn.words()), theme::DIM);
        if matches!(turn, Turn::Worse | Turn::Unclear | Turn::Unsteady) {
            for change in own {
                case(page, change, Some(turn), None);
            }
        } else {
            let ids: Vec<&str> = own.iter().map(|it| it.id.as_str()).collect();
            page.prose(2, &[plain(ids.join(", "))]);
        }
    }
}

fn findings(page: &mut Page, comparison: &Comparison) {
    let own = &comparison.changes.findings;
    if own.is_empty() {
        return;
    }
    page.heading(
        theme::BOLD,
        "Findings that came, went or weigh otherwise",
        theme::DIM,
    );
    for change in own {
        finding(page, change);
    }
}

/// Columns of a verdict in the matrix, with its word.
const CELL: usize = 9;

/// All requirements by clause, one column a server. A row in which they differ has a mark.
fn matrix(page: &mut Page, comparison: &Comparison) {
    let rows = comparison.rows();
    let id = rows.iter().map(|row| row.requirement.id.len()).max();
    let id = id.unwrap_or_default() + 2;
    // Words where there is room for them; the signs stand for themselves, too.
    let cells = comparison.columns.len();
    let worded = page.width() >= 6 + id + 8 + cells * CELL;
    let wide = if worded { CELL } else { 4 };
    page.heading(theme::BOLD, "Requirements", theme::DIM);
    let mut head = vec![plain(" ".repeat(2 + id + 8))];
    head.extend(
        comparison
            .columns
            .iter()
            .map(|it| span(theme::BOLD, left(&it.letter, wide))),
    );
    page.line(4, &head);
    let records: Vec<_> = rows.iter().map(|row| row.requirement.clone()).collect();
    for group in clause::groups(&records) {
        page.blank();
        page.line(2, &[span(theme::BOLD, group.heading())]);
        let own = group.requirements.iter();
        let own = own.filter_map(|it| rows.iter().find(|row| row.requirement.id == it.id));
        for row in own {
            page.line(4, &matrix_row(row, id, wide, worded));
        }
    }
    if !worded {
        page.blank();
        page.prose(4, &[span(theme::DIM, "✓ pass, ✗ fail, ? inconclusive, ! error, · not applicable, – not in the run, ~ unsteady")]);
    }
}

fn matrix_row(row: &Row<'_>, id: usize, wide: usize, worded: bool) -> Vec<Span> {
    let requirement = row.requirement;
    let mark = if row.differs() { "≠ " } else { "  " };
    let mut line = vec![
        span(theme::DOUBTFUL, mark),
        plain(left(&requirement.id, id)),
        plain(left(requirement.level.as_str(), 8)),
    ];
    for cell in &row.cells {
        line.push(match cell {
            None => span(theme::DIM, left("–", wide)),
            Some(cell) => {
                let sign = theme::sign(cell.verdict, requirement.level);
                let steady = if cell.unsteady { "~" } else { " " };
                let word = match (worded, cell.verdict, requirement.level) {
                    (false, ..) => "",
                    // What is only permitted cannot fail.
                    (true, Verdict::Fail, Level::May) => "other",
                    (true, verdict, _) => short(verdict),
                };
                let style = theme::verdict(cell.verdict, requirement.level);
                span(style, left(&format!("{sign}{steady}{word}"), wide))
            }
        });
    }
    line.push(span(theme::DIM, &requirement.statement));
    line
}

/// A verdict in the room of a matrix.
fn short(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Inconclusive => "open",
        Verdict::Error => "error",
        Verdict::NotApplicable => "n/a",
        Verdict::None => "–",
    }
}

fn readings(page: &mut Page, comparison: &Comparison) {
    let readings = comparison.readings();
    // Builds of one server follow the same, unless something turned.
    let shown: Vec<_> = readings
        .iter()
        .filter(|it| comparison.kind == Kind::Servers || it.differs())
        .collect();
    if shown.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Readings of unclear wording", theme::DIM);
    for reading in shown {
        let mut name = reading.defect;
        for (text, followed) in &reading.readings {
            let who = followed
                .iter()
                .zip(&comparison.columns)
                .filter(|(cases, _)| **cases > 0);
            let who: Vec<&str> = who.map(|(_, column)| column.letter.as_str()).collect();
            page.row(
                &label(name),
                &[
                    span(
                        theme::BOLD,
                        left(&listed(who.into_iter()), comparison.columns.len() * 3),
                    ),
                    plain(text),
                ],
            );
            name = "and";
        }
    }
}
