//! TAP 14, for those who collect test results as lines: one test point a case, with what was expected, what
//! was observed and where, as YAML below each that failed. What [`crate::outcome`] says holds here, too.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::json;

use crate::escape;
use crate::outcome::Outcome;
use crate::record::{CaseRecord, Finding, RunRecord, Verdict};
use crate::summary::duration;

/// The record as TAP.
pub fn render(record: &RunRecord) -> String {
    let mut findings: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in &record.findings {
        findings.entry(&finding.case).or_default().push(finding);
    }
    let mut out = String::from("TAP version 14\n");
    let _ = writeln!(out, "1..{}", record.cases.len());
    let sut = escape::line(&record.profile.sut);
    let _ = writeln!(out, "# {sut}, imspec {}", escape::line(&record.tool));
    for (n, case) in record.cases.iter().enumerate() {
        let own = findings.get(case.id.as_str()).map(Vec::as_slice);
        point(&mut out, n + 1, case, own.unwrap_or_default());
    }
    if let Some(why) = &record.interrupted {
        let _ = writeln!(out, "Bail out! Interrupted by {}", escape::line(why));
    }
    out
}

fn point(out: &mut String, number: usize, case: &CaseRecord, findings: &[&Finding]) {
    let outcome = Outcome::of(case, findings);
    let (ok, directive) = match &outcome {
        Outcome::Held => ("ok", String::new()),
        Outcome::Skipped { message } => ("ok", format!(" # SKIP {}", description(message))),
        Outcome::Failed { .. } | Outcome::Broke { .. } => ("not ok", String::new()),
    };
    let name = description(&format!("{} {}", case.id, case.title));
    let _ = writeln!(out, "{ok} {number} - {name}{directive}");
    let (severity, message) = match &outcome {
        Outcome::Failed { weight, message } => (*weight, message),
        Outcome::Broke { message } => ("error", message),
        _ => return,
    };
    out.push_str("  ---\n");
    // A scalar of JSON is one of YAML.
    let mut field = |name: &str, value: &serde_json::Value| {
        let _ = writeln!(out, "  {name}: {value}");
    };
    field("message", &json!(message));
    field("severity", &json!(severity));
    field("duration", &json!(duration(case.duration_us)));
    let checks = case.checks.iter();
    let wrong = checks.filter(|it| matches!(it.verdict, Verdict::Fail | Verdict::Error));
    let wrong = wrong.map(|check| {
        json!({
            "subject": check.subject,
            "found": check.observed,
            "wanted": check.expected,
            "requirements": check.requirements,
            "at": check.source.to_string(),
        })
    });
    field("at", &json!(case.source.to_string()));
    field("checks", &wrong.collect());
    out.push_str("  ...\n");
}

/// Words in a test point: a `#` would begin a directive, and a backslash an escape.
fn description(words: &str) -> String {
    escape::line(words)
        .replace('\\', "\\\\")
        .replace('#', "\\#")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn sample_run() {
        insta::assert_snapshot!(render(&sample::record()));
    }

    #[test]
    fn words_are_no_directives() {
        let mut record = sample::record();
        record.cases[0].title = "a # TODO \\ b\nnot ok 2".to_owned();
        let text = render(&record);
        assert!(text.contains("a \\# TODO \\\\ b\\\\nnot ok 2"), "{text}");
        let points = text
            .lines()
            .filter(|line| line.contains("ok ") && !line.starts_with(' '));
        assert_eq!(points.count(), record.cases.len());
    }
}
