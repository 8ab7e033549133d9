//! CTRF, the Common Test Report Format: JSON for dashboards. What [`crate::outcome`] says holds here, too; an
//! error of the harness is `other`, for it says nothing about the server.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::escape;
use crate::outcome::Outcome;
use crate::record::{CaseRecord, Finding, RunRecord, Verdict};
use crate::terminal;

/// Version of the format that is written.
const VERSION: &str = "0.0.0";

/// The record as CTRF.
pub fn render(record: &RunRecord) -> Result<String, serde_json::Error> {
    let mut findings: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in &record.findings {
        findings.entry(&finding.case).or_default().push(finding);
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    let mut tests = Vec::with_capacity(record.cases.len());
    for case in &record.cases {
        let own = findings.get(case.id.as_str()).map(Vec::as_slice);
        let (status, test) = test(case, own.unwrap_or_default());
        *counts.entry(status).or_default() += 1;
        tests.push(test);
    }
    let count = |status: &str| counts.get(status).copied().unwrap_or(0);
    let start = record.started.unix_us / 1_000;
    let took = record.duration_us / 1_000;
    let report = json!({
        "reportFormat": "CTRF",
        "specVersion": VERSION,
        "generatedBy": format!("imspec {}", record.tool),
        "results": {
            "tool": { "name": "imspec", "version": record.tool },
            "summary": {
                "tests": tests.len(),
                "passed": count("passed"),
                "failed": count("failed"),
                "skipped": count("skipped"),
                "pending": 0,
                "other": count("other"),
                "start": start,
                "stop": start.saturating_add_unsigned(took),
            },
            "tests": tests,
            "environment": {
                "appName": record.profile.sut,
                "testEnvironment": record.profile.name,
            },
        },
    });
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    Ok(text)
}

fn test(case: &CaseRecord, findings: &[&Finding]) -> (&'static str, Value) {
    let (status, message) = match Outcome::of(case, findings) {
        Outcome::Held => ("passed", None),
        Outcome::Failed { weight, message } => ("failed", Some(format!("{weight}: {message}"))),
        Outcome::Broke { message } => ("other", Some(message)),
        Outcome::Skipped { message } => ("skipped", Some(message)),
    };
    let mut test = Map::new();
    let mut add = |name: &str, value: Value| test.insert(name.to_owned(), value);
    add("name", format!("{} {}", case.id, case.title).into());
    add("status", status.into());
    add("duration", (case.duration_us / 1_000).into());
    add("suite", json!([case.scenario]));
    if let Some(message) = message {
        add("message", message.into());
    }
    let trace = terminal::checks(case, &[Verdict::Error, Verdict::Fail]);
    if !trace.is_empty() {
        add("trace", escape_lines(&trace).into());
    }
    add("line", case.source.line.into());
    add("rawStatus", case.verdict.as_str().into());
    if !case.covers.is_empty() {
        add("tags", json!(case.covers));
    }
    add("filePath", case.source.file.clone().into());
    if let Some(earlier) = case.unsteady() {
        add("retries", 1.into());
        add("flaky", (status == "passed").into());
        add("extra", json!({ "first": earlier }));
    }
    (status, Value::Object(test))
}

/// Lines, without anything that a terminal would act on.
fn escape_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape::line).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    #[test]
    fn sample_run() {
        insta::assert_snapshot!(render(&sample::record()).unwrap());
    }

    #[test]
    fn the_counts_add_up() {
        let report: Value = serde_json::from_str(&render(&sample::record()).unwrap()).unwrap();
        let summary = &report["results"]["summary"];
        let states = ["passed", "failed", "skipped", "pending", "other"];
        let sum: u64 = states
            .iter()
            .map(|name| summary[name].as_u64().unwrap())
            .sum();
        assert_eq!(sum, summary["tests"].as_u64().unwrap());
    }
}
