//! A page of Markdown: what a pull request or the summary of a CI job has room for. Totals, failures and
//! waivers; the octets are in the HTML report.

use std::fmt::Write as _;

use crate::clause;
use crate::escape;
use crate::failure::{self, Failure};
use crate::record::{FindingKind, ProtocolWeight, RunRecord, Verdict, WaiverState};
use crate::summary::{self, Summary, count, count_of};

/// Cases that a line names; beyond, a number tells as much.
const CASES: usize = 5;

/// The record as Markdown.
pub fn render(record: &RunRecord) -> String {
    let mut page = String::new();
    let counts = Summary::of(record);
    head(&mut page, record, &counts);
    findings(&mut page, record);
    protocol(&mut page, record);
    errors(&mut page, record);
    waivers(&mut page, record);
    not_demonstrated(&mut page, &counts);
    page
}

fn head(page: &mut String, record: &RunRecord, counts: &Summary) {
    let profile = &record.profile;
    line(page, &format!("# {}", text(&profile.sut)));
    let mut facts = vec![
        format!("profile {}", text(&profile.name)),
        format!("imspec {}", text(&record.tool)),
        record.started.to_seconds(),
    ];
    facts.extend(summary::part(record));
    facts.extend(summary::judged_again(record));
    line(page, &facts.join(" · "));
    if let Some(why) = &record.interrupted {
        line(
            page,
            &format!(
                "**Interrupted by {}**: what was not done yet is missing or inconclusive.",
                text(why)
            ),
        );
    }
    let verdicts = [
        (Verdict::Error, "error"),
        (Verdict::Fail, "fail"),
        (Verdict::Inconclusive, "inconclusive"),
        (Verdict::Pass, "pass"),
        (Verdict::None, "not judged"),
        (Verdict::NotApplicable, "not applicable"),
    ];
    let cases = verdicts.map(|(verdict, name)| (counts.with(verdict), name.to_owned()));
    let r = counts.requirements;
    let requirements = [
        (r.failed, "failed"),
        (r.waived, "waived"),
        (r.not_demonstrated, "not demonstrated"),
        (r.demonstrated, "demonstrated"),
        (r.not_applicable, "not applicable"),
        (r.not_covered, "not checked"),
    ];
    let requirements = requirements.map(|(n, name)| (n, name.to_owned()));
    let kinds = [
        FindingKind::Nonconformity,
        FindingKind::ProfileMismatch,
        FindingKind::Deviation,
        FindingKind::Observation,
    ];
    let weighed = kinds.map(|kind| {
        let words = count_of(kind, counts.of_kind(kind));
        let name = words.split_once(' ').map_or("", |(_, name)| name);
        (counts.of_kind(kind), name.to_owned())
    });
    let waived = [(counts.waived, "waived".to_owned())];
    page.push_str("| | in all | |\n|---|---|---|\n");
    row(page, "cases", counts.total_cases(), list(cases));
    row(page, "requirements", r.total, list(requirements));
    let total = record.findings.len() - counts.of_kind(FindingKind::NotDemonstrated);
    row(
        page,
        "findings",
        total,
        list(weighed.into_iter().chain(waived)),
    );
    page.push('\n');
}

fn row(page: &mut String, name: &str, total: usize, parts: String) {
    let parts = if parts.is_empty() {
        "none".to_owned()
    } else {
        parts
    };
    let _ = writeln!(page, "| {name} | {total} | {parts} |");
}

/// `3 fail, 2 pass`, without what did not occur.
fn list(parts: impl IntoIterator<Item = (usize, String)>) -> String {
    let parts = parts.into_iter().filter(|(n, _)| *n > 0);
    let parts: Vec<String> = parts.map(|(n, name)| format!("{n} {name}")).collect();
    parts.join(", ")
}

fn findings(page: &mut String, record: &RunRecord) {
    let failures = failure::failures(record);
    if failures.is_empty() {
        return;
    }
    line(page, "## Findings");
    for failure in &failures {
        finding(page, failure);
    }
    page.push('\n');
}

fn finding(page: &mut String, failure: &Failure<'_>) {
    let ids: Vec<String> = failure.requirements.iter().map(|it| text(it.id)).collect();
    let cases = named(failure.cases.iter().map(|shown| shown.id));
    let kind = count_of(failure.kind, 1);
    let kind = kind.split_once(' ').map_or("", |(_, name)| name);
    let _ = writeln!(page, "- **{kind}** {} in {cases}", ids.join(", "));
    let Some(first) = failure.cases.first() else {
        return;
    };
    if let Some(requirement) = failure.requirements.first().and_then(|it| it.requirement) {
        let clause = clause::cite(&requirement.clause);
        let _ = writeln!(
            page,
            "  {} ({})",
            text(&requirement.in_words()),
            text(&clause)
        );
    }
    let _ = match first.check {
        Some(check) => writeln!(
            page,
            "  Expected: {}. Observed: {}.",
            text(&check.expected),
            text(&check.observed)
        ),
        None => writeln!(page, "  Found: {}.", text(first.summary)),
    };
}

fn protocol(page: &mut String, record: &RunRecord) {
    let own = record.protocol.iter().filter(|it| it.waiver.is_none());
    let own: Vec<_> = own.collect();
    if own.is_empty() {
        return;
    }
    line(page, "## Protocol findings");
    for finding in own {
        let weight = match finding.weight {
            ProtocolWeight::Error => "error",
            ProtocolWeight::Warning => "warning",
        };
        let _ = writeln!(
            page,
            "- **{weight}** {}, {}: expected {}; {} in {}",
            text(&finding.clause),
            text(&finding.message),
            text(&finding.expected),
            count(finding.count as usize, "message", "messages"),
            named(finding.places.iter().map(|place| place.case.as_str()))
        );
    }
    page.push('\n');
}

fn errors(page: &mut String, record: &RunRecord) {
    let errors: Vec<_> = failure::errors(record).collect();
    if errors.is_empty() {
        return;
    }
    line(page, "## Errors of the harness or the set-up");
    for case in errors {
        let reason = case.reason.as_deref().unwrap_or("no reason was recorded");
        let _ = writeln!(page, "- {}: {}", text(&case.id), text(reason));
    }
    page.push('\n');
}

fn waivers(page: &mut String, record: &RunRecord) {
    if record.waivers.is_empty() {
        return;
    }
    line(page, "## Waivers");
    for state in [WaiverState::Stale, WaiverState::Used, WaiverState::Open] {
        for waiver in record.waivers.iter().filter(|it| it.state == state) {
            let what = match state {
                WaiverState::Stale => "stale".to_owned(),
                WaiverState::Used => {
                    format!(
                        "accepts {}",
                        count(waiver.fits as usize, "finding", "findings")
                    )
                }
                WaiverState::Open => "not used".to_owned(),
            };
            let place = waiver.source.to_string();
            let _ = writeln!(
                page,
                "- **{what}** {} ({})",
                text(&waiver.explain()),
                text(&place)
            );
        }
    }
    page.push('\n');
}

fn not_demonstrated(page: &mut String, counts: &Summary) {
    if counts.not_demonstrated.is_empty() {
        return;
    }
    line(page, "## Not demonstrated");
    for (reason, cases) in &counts.not_demonstrated {
        let _ = writeln!(
            page,
            "- {}: {}",
            count(*cases, "case", "cases"),
            text(reason)
        );
    }
}

/// A paragraph of its own.
fn line(page: &mut String, words: &str) {
    page.push_str(words);
    page.push_str("\n\n");
}

/// The first few ids, and how many more.
fn named<'r>(ids: impl Iterator<Item = &'r str>) -> String {
    let ids: Vec<&str> = ids.collect();
    let mut shown: Vec<String> = ids.iter().take(CASES).map(|id| text(id)).collect();
    if ids.len() > CASES {
        shown.push(format!("{} more", ids.len() - CASES));
    }
    shown.join(", ")
}

/// Foreign text in one line, in which nothing is markup.
pub(crate) fn text(words: &str) -> String {
    let words = escape::line(words);
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A name is no mention, and an address no link.
            '@' => out.push_str("&#64;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '$' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
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
    fn a_run_that_was_ended_early() {
        insta::assert_snapshot!(render(&sample::interrupted()));
    }

    #[test]
    fn foreign_text_is_no_markup() {
        assert_eq!(
            text("a|b <script> [x](y) `c`\n# d @all"),
            "a\\|b &lt;script&gt; \\[x\\](y) \\`c\\`\\\\n\\# d &#64;all"
        );
    }
}
