//! Commands of a GitHub workflow that show each failure at the line of the scenario that expected otherwise:
//! what a job prints becomes an annotation of the run and of the changed file.
//!
//! Nonconformities, profile mismatches, protocol errors and errors of the harness are errors, deviations and protocol
//! warnings warnings, observations notices. GitHub shows the first ten of each; the worst stand first.

use std::fmt::Write;

use crate::clause;
use crate::escape;
use crate::failure::{self, Shown};
use crate::outcome::name;
use crate::record::{FindingKind, Location, ProtocolWeight, RunRecord};
use crate::summary::count;

/// One line a failure.
pub fn render(record: &RunRecord) -> String {
    let mut out = String::new();
    for failure in failure::failures(record) {
        let Some(first) = failure.cases.first() else {
            continue;
        };
        let level = match failure.kind {
            FindingKind::Nonconformity | FindingKind::ProfileMismatch => "error",
            FindingKind::Deviation => "warning",
            FindingKind::Observation | FindingKind::NotDemonstrated => "notice",
        };
        let touched: Vec<_> = failure.requirements.iter().map(|it| it.id).collect();
        let title = format!(
            "{} {}: {}",
            first.id,
            name(failure.kind),
            touched.join(", ")
        );
        let mut message = String::new();
        match first.check {
            Some(check) => {
                let _ = write!(
                    message,
                    "{}: expected {}, observed {}",
                    check.subject, check.expected, check.observed
                );
            }
            None => message.push_str(first.summary),
        }
        for it in failure.requirements.iter().filter_map(|it| it.requirement) {
            let _ = write!(
                message,
                "\n{} {} {}: {}",
                it.id,
                it.level,
                clause::cite(&it.clause),
                it.in_words()
            );
        }
        if let Some(others @ 1..) = failure.cases.len().checked_sub(1) {
            let _ = write!(
                message,
                "\nAlso in {}.",
                count(others, "more case", "more cases")
            );
        }
        command(&mut out, level, first.place(), &title, &message);
    }
    for finding in record.protocol.iter().filter(|it| it.waiver.is_none()) {
        let level = match finding.weight {
            ProtocolWeight::Error => "error",
            ProtocolWeight::Warning => "warning",
        };
        let title = format!("{} ({})", finding.message, finding.clause);
        let place = finding.places.first();
        let place = place.and_then(|it| record.cases.iter().find(|case| case.id == it.case));
        let message = format!("expected {}", finding.expected);
        command(
            &mut out,
            level,
            place.map(|case| &case.source),
            &title,
            &message,
        );
    }
    for case in failure::errors(record) {
        let shown = Shown {
            id: &case.id,
            case: Some(case),
            check: None,
            summary: case.reason.as_deref().unwrap_or("no reason was recorded"),
        };
        let title = format!("{} ended in an error", case.id);
        command(&mut out, "error", shown.place(), &title, shown.summary);
    }
    out
}

fn command(out: &mut String, level: &str, place: Option<&Location>, title: &str, message: &str) {
    let _ = write!(out, "::{level} ");
    if let Some(place) = place {
        let (line, column) = (place.line, place.column);
        let _ = write!(
            out,
            "file={},line={line},col={column},",
            property(&place.file)
        );
    }
    let _ = writeln!(out, "title={}::{}", property(title), data(message));
}

/// The value of a property: besides what data must not have, the two octets that separate properties.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Line ends would end the command, and a percent sign begins an escape.
fn data(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape::line).collect();
    lines.join("\n").replace('%', "%25").replace('\n', "%0A")
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
    fn nothing_in_a_name_ends_a_command() {
        let mut out = String::new();
        let place = Location {
            file: "a,b:c%\n::error::x".to_owned(),
            line: 1,
            column: 2,
        };
        command(
            &mut out,
            "error",
            Some(&place),
            "t::x",
            "100%\n::warning::y",
        );
        assert_eq!(
            out,
            "::error file=a%2Cb%3Cc,line=1"
                .replace("%3Cc,line=1", "%3Ac%25%0A%3A%3Aerror%3A%3Ax,line=1,col=2,")
                + "title=t%3A%3Ax::100%25%0A::warning::y\n"
        );
        assert_eq!(out.lines().count(), 1);
    }
}
