//! A badge: what a README has room for. As the JSON that the endpoint badge of shields.io reads, and as a picture of our own
//! for those who fetch nothing from there.
//!
//! It never says more than the run showed: how many of the requirements, not just that none failed.

use serde::Serialize;

use crate::html;
use crate::record::{RunRecord, Verdict};
use crate::summary::{Summary, count, count_of};

const LABEL: &str = "deferred messages";

/// A badge, as <https://shields.io/badges/endpoint-badge> wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Badge {
    schema_version: u32,
    label: &'static str,
    message: String,
    color: &'static str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    is_error: bool,
}

impl Badge {
    /// Of a run.
    pub fn of(record: &RunRecord) -> Self {
        let counts = Summary::of(record);
        let shown = counts.requirements;
        let errors = counts.with(Verdict::Error);
        let breaking = counts
            .findings
            .iter()
            .find(|(kind, _)| crate::outcome::breaks(**kind));
        let rules = record
            .protocol
            .iter()
            .filter(|it| it.waiver.is_none() && it.weight == crate::record::ProtocolWeight::Error);
        let rules = rules.count();
        let (message, color) = if errors > 0 || record.interrupted.is_some() {
            let broke = format!("{} broke", count(errors, "case", "cases"));
            let message = if errors > 0 {
                broke
            } else {
                "interrupted".into()
            };
            (message, "lightgrey")
        } else if shown.failed > 0 && breaking.is_some() {
            (format!("{} of {} fail", shown.failed, shown.total), "red")
        } else if let Some((kind, number)) = breaking {
            (count_of(*kind, *number), "red")
        } else if rules > 0 {
            (count(rules, "protocol error", "protocol errors"), "red")
        } else if shown.demonstrated == 0 {
            ("nothing shown".into(), "lightgrey")
        } else {
            let all = shown.total - shown.not_applicable;
            let color = if shown.demonstrated == all {
                "brightgreen"
            } else {
                "green"
            };
            (format!("{} of {all} shown", shown.demonstrated), color)
        };
        Self {
            schema_version: 1,
            label: LABEL,
            message,
            color,
            is_error: color == "lightgrey",
        }
    }

    /// For the endpoint badge of shields.io.
    ///
    /// # Errors
    /// None that is known; the serializer has the type.
    pub fn json(&self) -> Result<String, serde_json::Error> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        Ok(text)
    }

    /// As a picture, 20 pixels high. It loads nothing, and has a name for who cannot see it.
    pub fn svg(&self) -> String {
        const HEIGHT: usize = 20;
        let ink = match self.color {
            "red" => "#b3261e",
            "brightgreen" => "#1b7f3b",
            "green" => "#3a7d12",
            _ => "#5c6570",
        };
        let (left, right) = (room(self.label), room(&self.message));
        let width = left + right;
        let (label, message) = (html::text(self.label), html::text(&self.message));
        let name = format!("{label}: {message}");
        let text = |middle: usize, room: usize, words: &str| {
            let length = room - 2 * MARGIN;
            format!(
                "<text x=\"{middle}\" y=\"14\" textLength=\"{length}\" lengthAdjust=\"spacingAndGlyphs\">{words}</text>"
            )
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{HEIGHT}\" viewBox=\"0 0 {width} {HEIGHT}\" role=\"img\" aria-label=\"{name}\">\n\
             <title>{name}</title>\n\
             <clipPath id=\"r\"><rect width=\"{width}\" height=\"{HEIGHT}\" rx=\"3\"/></clipPath>\n\
             <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"{HEIGHT}\" fill=\"#3b4148\"/><rect x=\"{left}\" width=\"{right}\" height=\"{HEIGHT}\" fill=\"{ink}\"/></g>\n\
             <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,Geneva,DejaVu Sans,sans-serif\" font-size=\"11\">{}{}</g>\n\
             </svg>\n",
            text(left / 2, left, &label),
            text(left + right / 2, right, &message),
        )
    }
}

/// At each end of a text.
const MARGIN: usize = 6;

/// Pixels that a text takes at this size, with its margins. The picture stretches it to fit, so an estimate will do.
fn room(words: &str) -> usize {
    words
        .chars()
        .map(|c| if c == ' ' { 4 } else { 7 })
        .sum::<usize>()
        + 2 * MARGIN
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    fn sound() -> RunRecord {
        let mut record = sample::record();
        record.cases.retain(|it| it.verdict == Verdict::Pass);
        record.findings.clear();
        record.protocol.clear();
        record.requirements.retain(|it| it.verdict != Verdict::Fail);
        record
    }

    #[test]
    fn it_says_no_more_than_was_shown() {
        let mut failing = sample::record();
        failing.cases.retain(|it| it.verdict != Verdict::Error);
        let mut rules_only = sound();
        rules_only.protocol = sample::record().protocol;
        let mut nothing = sound();
        nothing
            .requirements
            .retain(|it| it.verdict != Verdict::Pass);
        let mut all = sound();
        all.requirements.retain(|it| it.verdict == Verdict::Pass);
        let records = [
            sample::record(),
            sample::interrupted(),
            failing,
            rules_only,
            nothing,
            sound(),
            all,
        ];
        let told = records.iter().map(Badge::of);
        let told: Vec<String> = told
            .map(|it| format!("{} ({})", it.message, it.color))
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn for_shields() {
        insta::assert_snapshot!(Badge::of(&sound()).json().unwrap());
    }

    #[test]
    fn as_a_picture() {
        insta::assert_snapshot!(Badge::of(&sound()).svg());
    }
}
