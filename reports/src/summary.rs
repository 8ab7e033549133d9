//! Counts of a run record: what the totals of every report say, counted in one place.

use std::collections::BTreeMap;

use crate::record::{FindingKind, RequirementRecord, RunRecord, Verdict};

/// Counts of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Cases by verdict, worst first when walked backwards.
    pub cases: BTreeMap<Verdict, usize>,
    /// Checks by verdict.
    pub checks: BTreeMap<Verdict, usize>,
    /// Findings that no waiver accepts, by weight.
    pub findings: BTreeMap<FindingKind, usize>,
    /// Findings that a waiver accepts.
    pub waived: usize,
    /// What is known about the requirements.
    pub requirements: Requirements,
    /// Why requirements could not be shown: reason → cases, most frequent first.
    pub not_demonstrated: Vec<(String, usize)>,
}

/// Requirements by what the run shows about them. Each is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requirements {
    /// All of them.
    pub total: usize,
    /// Checked, and every check held.
    pub demonstrated: usize,
    /// A check did not hold. What that weighs, the findings tell.
    pub failed: usize,
    /// A check did not hold, and waivers accept every finding about it.
    pub waived: usize,
    /// Checked or tried, but it could not be told; or the harness broke.
    pub not_demonstrated: usize,
    /// The PICS excludes every case that covers it.
    pub not_applicable: usize,
    /// Nothing in the selection checks it.
    pub not_covered: usize,
}

impl Summary {
    /// Counts a record.
    pub fn of(record: &RunRecord) -> Self {
        let mut summary = Self {
            not_demonstrated: not_demonstrated(record),
            ..Self::default()
        };
        for case in &record.cases {
            *summary.cases.entry(case.verdict).or_default() += 1;
            for check in &case.checks {
                *summary.checks.entry(check.verdict).or_default() += 1;
            }
        }
        for finding in &record.findings {
            if finding.waiver.is_some() {
                summary.waived += 1;
            } else {
                *summary.findings.entry(finding.kind).or_default() += 1;
            }
        }
        let requirements = &mut summary.requirements;
        requirements.total = record.requirements.len();
        for requirement in &record.requirements {
            *match requirement.verdict {
                Verdict::Pass => &mut requirements.demonstrated,
                Verdict::Fail if all_waived(record, requirement) => &mut requirements.waived,
                Verdict::Fail => &mut requirements.failed,
                Verdict::Inconclusive | Verdict::Error => &mut requirements.not_demonstrated,
                Verdict::NotApplicable => &mut requirements.not_applicable,
                Verdict::None => &mut requirements.not_covered,
            } += 1;
        }
        summary
    }

    /// Number of cases.
    pub fn total_cases(&self) -> usize {
        self.cases.values().sum()
    }

    /// Number of cases with this verdict.
    pub fn with(&self, verdict: Verdict) -> usize {
        self.cases.get(&verdict).copied().unwrap_or_default()
    }

    /// Number of findings of this weight that no waiver accepts.
    pub fn of_kind(&self, kind: FindingKind) -> usize {
        self.findings.get(&kind).copied().unwrap_or_default()
    }
}

/// Whether a requirement failed, but waivers accept every finding about it.
pub fn all_waived(record: &RunRecord, requirement: &RequirementRecord) -> bool {
    let mut own = record
        .findings
        .iter()
        .filter(|f| f.requirement == requirement.id && f.kind != FindingKind::NotDemonstrated)
        .peekable();
    requirement.verdict == Verdict::Fail
        && own.peek().is_some()
        && own.all(|finding| finding.waiver.is_some())
}

/// `4/6`: how many of the checks held.
pub fn held(requirement: &RequirementRecord) -> String {
    let judged: u64 = requirement
        .checks
        .iter()
        .filter(|(verdict, _)| verdict.as_str() != Verdict::NotApplicable.as_str())
        .map(|(_, count)| u64::from(*count))
        .sum();
    let held = requirement
        .checks
        .get(Verdict::Pass.as_str())
        .copied()
        .unwrap_or_default();
    if judged == 0 {
        "–".to_owned()
    } else {
        format!("{held}/{judged}")
    }
}

/// Reasons of cases and checks that could not tell. A case counts once for each of its reasons.
fn not_demonstrated(record: &RunRecord) -> Vec<(String, usize)> {
    let mut reasons: Vec<(String, usize)> = Vec::new();
    for case in &record.cases {
        let mut own: Vec<&str> = Vec::new();
        for check in &case.checks {
            if check.verdict == Verdict::Inconclusive {
                let reason = check.note.as_deref().unwrap_or(&check.observed);
                if !own.contains(&reason) {
                    own.push(reason);
                }
            }
        }
        if own.is_empty()
            && case.verdict == Verdict::Inconclusive
            && let Some(reason) = &case.reason
        {
            own.push(reason);
        }
        for reason in own {
            match reasons.iter_mut().find(|(known, _)| known == reason) {
                Some((_, count)) => *count += 1,
                None => reasons.push((reason.to_owned(), 1)),
            }
        }
    }
    // Stable: reasons of one frequency keep the order of the cases.
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    reasons
}

/// What part of a plan the record holds, where that is to be told: `shard 2/5: 249 of 1245 cases`.
pub fn part(record: &RunRecord) -> Option<String> {
    let plan = &record.plan;
    match (plan.shard, plan.joined.len()) {
        (Some(shard), _) => Some(format!(
            "shard {shard}: {} of {}",
            record.cases.len(),
            count(
                usize::try_from(plan.cases).unwrap_or(usize::MAX),
                "case",
                "cases"
            )
        )),
        (None, 0) => None,
        (None, shards) => Some(format!("joined of {}", count(shards, "shard", "shards"))),
    }
}

/// Who judged the record again, where somebody did.
pub fn judged_again(record: &RunRecord) -> Option<String> {
    let again = record.judged_again.as_ref()?;
    let (tool, at) = (crate::escape::line(&again.tool), again.at.to_seconds());
    Some(format!("judged again by imspec {tool} at {at}"))
}

/// A weight in words: `1 nonconformity`, `2 profile mismatches`.
pub fn count_of(kind: FindingKind, count: usize) -> String {
    let (one, many) = match kind {
        FindingKind::Nonconformity => ("nonconformity", "nonconformities"),
        FindingKind::ProfileMismatch => ("profile mismatch", "profile mismatches"),
        FindingKind::Deviation => ("deviation", "deviations"),
        FindingKind::Observation => ("observation", "observations"),
        FindingKind::NotDemonstrated => ("not demonstrated", "not demonstrated"),
    };
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `1 case`, `2 cases`.
pub fn count(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// Real time, short: `850 µs`, `12.3 ms`, `2.31 s`, `3 min 20 s`.
pub fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        1_000_000..60_000_000 => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
        _ => {
            let seconds = us / 1_000_000;
            format!("{} min {} s", seconds / 60, seconds % 60)
        }
    }
}

/// Store time, in the two greatest units: `31 d 4 h`, `10 min 1 s`, `0 s`.
pub fn store_time(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "an unknown time".to_owned();
    }
    // A whole number of seconds is as much as a reader wants; the cast saturates.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "saturates, which is what is wanted"
    )]
    let total = seconds.abs().round() as i64;
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut rest = total;
    let mut parts = Vec::new();
    for (length, name) in units {
        let amount = rest / length;
        rest %= length;
        if amount > 0 {
            parts.push(format!("{amount} {name}"));
        } else if !parts.is_empty() {
            break;
        }
        if parts.len() == 2 {
            break;
        }
    }
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    let sign = if seconds < 0.0 { "-" } else { "" };
    format!("{sign}{}", parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn counts_the_sample() {
        let record = sample::record();
        let summary = Summary::of(&record);
        assert_eq!(summary.total_cases(), record.cases.len());
        assert_eq!(
            summary.findings.values().sum::<usize>() + summary.waived,
            record.findings.len()
        );
        let r = summary.requirements;
        assert_eq!(
            r.total,
            r.demonstrated
                + r.failed
                + r.waived
                + r.not_demonstrated
                + r.not_applicable
                + r.not_covered
        );
        assert!(r.failed > 0 && r.waived > 0 && r.demonstrated > 0 && r.not_applicable > 0);
        assert!(
            summary
                .not_demonstrated
                .windows(2)
                .all(|w| w[0].1 >= w[1].1)
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(duration(850), "850 µs");
        assert_eq!(duration(12_345), "12.3 ms");
        assert_eq!(duration(2_310_000), "2.31 s");
        assert_eq!(duration(200_000_000), "3 min 20 s");
        assert_eq!(store_time(0.0), "0 s");
        assert_eq!(store_time(601.0), "10 min 1 s");
        assert_eq!(
            store_time(86_400.0 * 31.0 + 4.0 * 3_600.0 + 5.0),
            "31 d 4 h"
        );
        assert_eq!(store_time(86_400.0 + 5.0), "1 d");
        assert_eq!(store_time(f64::NAN), "an unknown time");
    }
}
