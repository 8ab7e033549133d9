//! Waivers: findings that the maker of the SUT has accepted, with reason, issue and end date.
//!
//! A waiver never changes a verdict; it takes a finding out of the exit status and stays printed in every
//! report. One that no longer applies is *stale*.

use jiff::civil::Date;
use serde::Deserialize;

/// One accepted finding.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// Requirement id; with `case` too, both must fit.
    #[serde(default)]
    pub requirement: Option<String>,
    /// Case or scenario id; `PG-05` fits all cases of the scenario.
    #[serde(default)]
    pub case: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Where it is tracked.
    pub issue: String,
    /// Last day on which it holds, `2027-01-31`.
    pub until: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    waivers: Vec<Waiver>,
}

/// Reads a waiver file; the error names file, line and column.
pub fn read(text: &str, file: &str) -> Result<Vec<Waiver>, String> {
    let parsed: File = serde_yaml::from_str(text).map_err(|why| format!("{file}: {why}"))?;
    for (index, waiver) in parsed.waivers.iter().enumerate() {
        let number = index + 1;
        if waiver.requirement.is_none() && waiver.case.is_none() {
            return Err(format!(
                "{file}: waiver {number} names neither a `requirement` nor a `case`"
            ));
        }
        if waiver.until.parse::<Date>().is_err() {
            return Err(format!(
                "{file}: waiver {number}: `until: {}` is no date; write it as 2027-01-31",
                waiver.until
            ));
        }
    }
    Ok(parsed.waivers)
}

impl Waiver {
    /// Whether it speaks of this finding.
    pub fn fits(&self, requirement: &str, scenario: &str, case: &str) -> bool {
        self.requirement
            .as_deref()
            .is_none_or(|wanted| wanted == requirement)
            && self
                .case
                .as_deref()
                .is_none_or(|wanted| wanted == scenario || wanted == case)
    }

    /// Whether its time is over on `today`.
    pub fn is_over(&self, today: Date) -> bool {
        self.until.parse::<Date>().is_ok_and(|until| until < today)
    }

    /// One line for reports.
    pub fn describe(&self) -> String {
        let what = match (&self.requirement, &self.case) {
            (Some(requirement), Some(case)) => format!("{requirement} in {case}"),
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (None, None) => "everything".into(),
        };
        format!(
            "{what}: {} ({}, until {})",
            self.reason, self.issue, self.until
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const FILE: &str = "waivers:\n  - requirement: DM-STORE-02\n    case: PG-06\n    reason: known\n    issue: https://example.org/1\n    until: 2027-01-31\n";

    #[test]
    fn a_waiver_fits_its_requirement_in_its_scenario_only() {
        let waiver = &read(FILE, "w.yaml").unwrap()[0];
        assert!(waiver.fits("DM-STORE-02", "PG-06", "PG-06[name=s]"));
        assert!(!waiver.fits("DM-STORE-03", "PG-06", "PG-06"));
        assert!(!waiver.fits("DM-STORE-02", "PG-05", "PG-05"));
    }

    #[test]
    fn the_last_day_still_counts() {
        let waiver = &read(FILE, "w.yaml").unwrap()[0];
        assert!(!waiver.is_over("2027-01-31".parse().unwrap()));
        assert!(waiver.is_over("2027-02-01".parse().unwrap()));
    }

    #[test]
    fn a_waiver_needs_a_reason_an_issue_and_a_real_date() {
        for broken in [
            FILE.replace("    reason: known\n", ""),
            FILE.replace("    issue: https://example.org/1\n", ""),
            FILE.replace("2027-01-31", "soon"),
            FILE.replace(
                "  - requirement: DM-STORE-02\n    case: PG-06\n    reason",
                "  - reason",
            ),
            FILE.replace("reason:", "because:"),
        ] {
            assert!(read(&broken, "w.yaml").is_err(), "{broken}");
        }
    }
}
