//! For minutes: a row a statement.

use std::fmt::Write as _;

use super::{Evidence, Outcome};
use crate::draft::render;

/// The table.
pub fn render(evidence: &Evidence<'_>) -> String {
    let (with, all) = evidence.covered();
    let mut text = format!(
        "# What shows the statements of {}\n\n{with} of {all} statements that bind have a scenario.\n\n",
        cell(evidence.draft.source.name())
    );
    let mut head = [
        "clause",
        "key word",
        "statement",
        "requirements",
        "scenarios",
        "faults",
    ]
    .map(str::to_owned)
    .to_vec();
    head.extend(evidence.servers.iter().cloned());
    let rule = vec!["---".to_owned(); head.len()];
    line(&mut text, &head);
    line(&mut text, &rule);
    for row in &evidence.rows {
        let ids: Vec<&str> = row.requirements.iter().map(|it| it.id.as_str()).collect();
        let count = || row.scenarios.len().to_string();
        let mut cells = vec![
            row.statement.clause.clone(),
            row.statement.key_word.clone(),
            row.statement.text.clone(),
            ids.join(", "),
            row.obstacle().unwrap_or_else(count),
            row.faults.len().to_string(),
        ];
        cells.extend(row.outcomes.iter().map(outcome));
        line(&mut text, &cells);
    }
    let notes = anstream::adapter::strip_str(&render::assumptions(evidence.draft)).to_string();
    text.push_str(&notes);
    text
}

/// The verdict, what failed, and the readings.
fn outcome(outcome: &Outcome) -> String {
    let mut parts = vec![outcome.word().to_owned()];
    parts.extend(outcome.failed.iter().cloned());
    let readings = outcome.readings.iter();
    parts.extend(readings.map(|(defect, seen)| format!("{defect}: {}", seen.join(", "))));
    parts.join("; ")
}

fn line(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|it| cell(it)).collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// Text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace('<', "&lt;")
        .replace('\n', " ")
}
