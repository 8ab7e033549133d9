//! What is other in one record than in another: the same run judged again, or two builds of a server.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{
    CaseRecord, Check, Finding, FindingKind, Level, Location, ProtocolWeight, RequirementRecord,
    RunRecord, Verdict,
};

/// Which way something turned, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Turn {
    /// It fails, and did not.
    Worse,
    /// It cannot be told any more.
    Unclear,
    /// It held in one run of a build and not in another.
    Unsteady,
    /// It held not, or could not be told, and holds.
    Better,
    /// It is judged for the first time.
    New,
    /// It is judged no more.
    Gone,
}

impl Turn {
    /// All, in their order.
    pub const ALL: [Self; 6] = [
        Self::Worse,
        Self::Unclear,
        Self::Unsteady,
        Self::Better,
        Self::New,
        Self::Gone,
    ];

    /// From one verdict to the next; `None` where nothing turned. What was set aside was not judged.
    pub fn of(then: Option<Verdict>, now: Option<Verdict>) -> Option<Self> {
        use Verdict::{Error, Fail, Inconclusive, NotApplicable, Pass};
        let judged = |it: &Verdict| !matches!(it, NotApplicable | Verdict::None);
        match (then.filter(judged), now.filter(judged)) {
            (None, None) => None,
            (then, now) if then == now => None,
            (_, Some(Fail | Error)) => Some(Self::Worse),
            (_, None) => Some(Self::Gone),
            (None, Some(_)) => Some(Self::New),
            (Some(_), Some(Inconclusive)) => Some(Self::Unclear),
            (Some(_), Some(Pass | NotApplicable | Verdict::None)) => Some(Self::Better),
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Worse => "worse",
            Self::Unclear => "newly inconclusive",
            Self::Unsteady => "unsteady",
            Self::Better => "better",
            Self::New => "new",
            Self::Gone => "gone",
        }
    }
}

/// How much something that was found weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// A finding about a requirement.
    Finding(FindingKind),
    /// A broken rule of a base protocol.
    Protocol(ProtocolWeight),
}

impl Weight {
    /// Whether it breaks conformance.
    pub fn breaks(self, strict: bool) -> bool {
        match self {
            Self::Finding(FindingKind::Nonconformity | FindingKind::ProfileMismatch)
            | Self::Protocol(ProtocolWeight::Error) => true,
            Self::Finding(FindingKind::Deviation) | Self::Protocol(ProtocolWeight::Warning) => {
                strict
            }
            Self::Finding(FindingKind::Observation | FindingKind::NotDemonstrated) => false,
        }
    }

    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Finding(FindingKind::ProfileMismatch) => "profile mismatch",
            Self::Finding(FindingKind::NotDemonstrated) => "not demonstrated",
            Self::Finding(kind) => crate::outcome::name(kind),
            Self::Protocol(ProtocolWeight::Error) => "protocol error",
            Self::Protocol(ProtocolWeight::Warning) => "protocol warning",
        }
    }
}

/// A finding, as far as it counts: its weight, and whether a waiver accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Standing {
    /// Whether a waiver accepts it. What is accepted counts less, so it comes last.
    pub waived: bool,
    /// Its weight.
    pub weight: Weight,
}

impl Standing {
    /// Whether it breaks conformance, and no waiver accepts it.
    pub fn breaks(self, strict: bool) -> bool {
        !self.waived && self.weight.breaks(strict)
    }

    /// In words.
    pub fn words(self) -> String {
        let waived = if self.waived { " (waived)" } else { "" };
        format!("{}{waived}", self.weight.words())
    }
}

/// A case that is judged otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseChange {
    /// Id.
    pub id: String,
    /// Title.
    pub title: String,
    /// Verdict before; `None` where the case was not there.
    pub then: Option<Verdict>,
    /// Verdict now.
    pub now: Option<Verdict>,
    /// Why it is as it is now, unless it passes.
    pub reason: Option<String>,
    /// Checks that came, went, or turned.
    pub checks: Vec<CheckChange>,
}

/// A check that came, went, or turned.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckChange {
    /// What is looked at.
    pub subject: String,
    /// Where it is written.
    pub source: Location,
    /// Verdict before.
    pub then: Option<Verdict>,
    /// Verdict now.
    pub now: Option<Verdict>,
    /// Requirements that it spoke for and speaks for, where they differ.
    pub speaks_for: Option<(Vec<String>, Vec<String>)>,
    /// What must hold.
    pub expected: String,
    /// What was seen.
    pub observed: String,
}

/// A requirement that is judged otherwise, or says something else.
#[derive(Debug, Clone, PartialEq)]
pub struct RequirementChange {
    /// As it is now; as it was, where it is there no more.
    pub requirement: RequirementRecord,
    /// Verdict before; `None` where no case referred to it.
    pub then: Option<Verdict>,
    /// Verdict now.
    pub now: Option<Verdict>,
    /// Level before and now, where they differ.
    pub level: Option<(Level, Level)>,
    /// Its text before, condition and statement, where it differs.
    pub wording: Option<String>,
}

/// Findings of the same requirement that came, went, or weigh something else, in the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct FindingChange {
    /// Requirement, or clause and message of a base protocol.
    pub about: String,
    /// Before.
    pub then: Option<Standing>,
    /// Now.
    pub now: Option<Standing>,
    /// Cases in which it shows; empty for a base protocol.
    pub cases: Vec<String>,
}

/// All that is other in one record than in another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Cases, in the order of ids.
    pub cases: Vec<CaseChange>,
    /// Requirements, in the order of the clauses.
    pub requirements: Vec<RequirementChange>,
    /// Findings.
    pub findings: Vec<FindingChange>,
}

impl Changes {
    /// From one record to a later one.
    pub fn between(then: &RunRecord, now: &RunRecord) -> Self {
        Self {
            cases: cases(&then.cases, &now.cases),
            requirements: requirements(&then.requirements, &now.requirements),
            findings: findings(then, now),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty() && self.requirements.is_empty() && self.findings.is_empty()
    }

    /// Whether something breaks conformance that did not.
    pub fn breaks(&self, strict: bool) -> bool {
        self.findings.iter().any(|change| {
            change.now.is_some_and(|it| it.breaks(strict))
                && !change.then.is_some_and(|it| it.breaks(strict))
        })
    }

    /// Whether something cannot be told any more.
    pub fn is_unclear(&self) -> bool {
        let turned = |it: &CaseChange| Turn::of(it.then, it.now) == Some(Turn::Unclear);
        self.cases.iter().any(turned)
    }

    /// Whether the harness broke in a case in which it did not.
    pub fn has_errors(&self) -> bool {
        let broke = |it: &CaseChange| it.now == Some(Verdict::Error) && it.then != it.now;
        self.cases.iter().any(broke)
    }
}

/// Where the suite is not that of the run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SuiteChanges {
    /// Scenarios of the record whose text is another.
    pub changed: BTreeSet<String>,
    /// Scenarios of the record of which it cannot be told: an older imspec wrote it.
    pub untold: BTreeSet<String>,
    /// Cases of the record that the suite does not have.
    pub gone: Vec<String>,
    /// Cases whose steps are not those that were run, or that would not be run as they were: why.
    pub unlike: BTreeMap<String, String>,
    /// Cases of the suite that belong to what was asked for and are not in the record.
    pub missing: Vec<String>,
}

impl SuiteChanges {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Two lists side by side, by key, in the order of the first list; what only the second has comes last.
fn side_by_side<'a, T, K: Ord>(
    then: &'a [T],
    now: &'a [T],
    key: impl Fn(&'a T) -> K,
) -> Vec<(Option<&'a T>, Option<&'a T>)> {
    let mut rest: BTreeMap<K, &T> = now.iter().map(|it| (key(it), it)).collect();
    let mut pairs: Vec<_> = then
        .iter()
        .map(|it| (Some(it), rest.remove(&key(it))))
        .collect();
    let only_now = now
        .iter()
        .filter(|it| rest.contains_key(&key(it)))
        .map(|it| (None, Some(it)));
    pairs.extend(only_now);
    pairs
}

fn cases(then: &[CaseRecord], now: &[CaseRecord]) -> Vec<CaseChange> {
    let pairs = side_by_side(then, now, |case| case.id.as_str());
    let changes = pairs.into_iter().filter_map(|(then, now)| {
        let (was, is) = (then.map(|it| it.verdict), now.map(|it| it.verdict));
        let checks = match (then, now) {
            (Some(then), Some(now)) => checks(&then.checks, &now.checks),
            _ => Vec::new(),
        };
        let shown = now.or(then)?;
        (was != is || !checks.is_empty()).then(|| CaseChange {
            id: shown.id.clone(),
            title: shown.title.clone(),
            then: was,
            now: is,
            reason: now.and_then(|now| now.reason.clone()),
            checks,
        })
    });
    changes.collect()
}

/// Checks of one step that look at the same are told apart by their order.
fn checks(then: &[Check], now: &[Check]) -> Vec<CheckChange> {
    let (then, now) = (numbered(then), numbered(now));
    let pairs = side_by_side(&then, &now, |(key, _)| *key);
    let changes = pairs.into_iter().filter_map(|(then, now)| {
        let (then, now) = (then.map(|it| it.1), now.map(|it| it.1));
        let shown = now.or(then)?;
        let (was, is) = (then.map(|it| it.verdict), now.map(|it| it.verdict));
        let speaks_for = match (then, now) {
            (Some(then), Some(now)) if then.requirements != now.requirements => {
                Some((then.requirements.clone(), now.requirements.clone()))
            }
            _ => None,
        };
        (was != is || speaks_for.is_some()).then(|| CheckChange {
            subject: shown.subject.clone(),
            source: shown.source.clone(),
            then: was,
            now: is,
            speaks_for,
            expected: shown.expected.clone(),
            observed: shown.observed.clone(),
        })
    });
    changes.collect()
}

type CheckKey<'a> = (&'a str, &'a str, usize);

fn numbered(checks: &[Check]) -> Vec<(CheckKey<'_>, &Check)> {
    let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    checks
        .iter()
        .map(|check| {
            let count = seen.entry((&check.step, &check.subject)).or_default();
            *count += 1;
            ((check.step.as_str(), check.subject.as_str(), *count), check)
        })
        .collect()
}

fn requirements(then: &[RequirementRecord], now: &[RequirementRecord]) -> Vec<RequirementChange> {
    let pairs = side_by_side(then, now, |requirement| requirement.id.as_str());
    let changes = pairs.into_iter().filter_map(|(then, now)| {
        let (was, is) = (then.map(|it| it.verdict), now.map(|it| it.verdict));
        let both = then.zip(now);
        let level = both.map(|(then, now)| (then.level, now.level));
        let level = level.filter(|(then, now)| then != now);
        let wording = both.map(|(then, now)| (then.in_words(), now.in_words()));
        let wording = wording.filter(|(then, now)| then != now);
        let changed = was != is || level.is_some() || wording.is_some();
        changed.then_some(RequirementChange {
            requirement: now.or(then)?.clone(),
            then: was,
            now: is,
            level,
            wording: wording.map(|(then, _)| then),
        })
    });
    changes.collect()
}

/// What was found about a requirement in a case, the worst that no waiver accepts first.
type Found<'r> = BTreeMap<(String, &'r str), Standing>;

fn found(record: &RunRecord) -> Found<'_> {
    let mut found = Found::new();
    let mut note = |about: String, case, standing: Standing| {
        let known = found.entry((about, case)).or_insert(standing);
        *known = standing.min(*known);
    };
    let told = |it: &&Finding| it.kind != FindingKind::NotDemonstrated;
    for finding in record.findings.iter().filter(told) {
        let standing = Standing {
            waived: finding.waiver.is_some(),
            weight: Weight::Finding(finding.kind),
        };
        note(finding.requirement.clone(), &finding.case, standing);
    }
    for finding in &record.protocol {
        let standing = Standing {
            waived: finding.waiver.is_some(),
            weight: Weight::Protocol(finding.weight),
        };
        let about = format!("{}, {}", finding.clause, finding.message);
        note(about, "", standing);
    }
    found
}

fn findings(then: &RunRecord, now: &RunRecord) -> Vec<FindingChange> {
    let (then, now) = (found(then), found(now));
    let mut grouped: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let only_now = now.keys().filter(|key| !then.contains_key(*key));
    for key in then.keys().chain(only_now) {
        let (was, is) = (then.get(key).copied(), now.get(key).copied());
        if was != is {
            let cases = grouped.entry((key.0.as_str(), was, is)).or_default();
            cases.extend((!key.1.is_empty()).then(|| key.1.to_owned()));
        }
    }
    let changes = grouped.into_iter();
    let mut changes: Vec<_> = changes
        .map(|((about, then, now), cases)| FindingChange {
            about: about.to_owned(),
            then,
            now,
            cases,
        })
        .collect();
    // What breaks conformance now and did not comes first; then the rest, in the order of ids.
    let newly = |it: &FindingChange| it.now.is_some_and(|now| now.breaks(false));
    changes.sort_by_key(|it| !newly(it));
    changes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    #[test]
    fn a_record_is_not_other_than_itself() {
        let record = sample::record();
        assert!(Changes::between(&record, &record).is_empty());
    }

    #[test]
    fn every_turn_has_its_name() {
        use Verdict::{Error, Fail, Inconclusive, NotApplicable, Pass};
        let all = [
            None,
            Some(NotApplicable),
            Some(Pass),
            Some(Inconclusive),
            Some(Fail),
            Some(Error),
        ];
        let word = |it: Option<Verdict>| it.map_or("absent", Verdict::as_str);
        let mut table = Vec::new();
        for then in all {
            let turns = all.map(|now| {
                let turn = Turn::of(then, now).map_or("-", Turn::words);
                format!("{}: {turn}", word(now))
            });
            table.push(format!("{} -> {}", word(then), turns.join(", ")));
        }
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn what_a_waiver_accepts_breaks_nothing() {
        let then = sample::record();
        let mut now = then.clone();
        for finding in &mut now.findings {
            finding.waiver = Some("accepted".into());
        }
        for finding in &mut now.protocol {
            finding.waiver = Some("accepted".into());
        }
        let better = Changes::between(&then, &now);
        assert!(better.cases.is_empty() && better.requirements.is_empty());
        assert!(!better.findings.is_empty() && !better.breaks(true));
        let worse = Changes::between(&now, &then);
        assert!(worse.breaks(false));
        assert_eq!(worse.findings.len(), better.findings.len());
    }

    #[test]
    fn a_level_that_changed_is_told_with_the_finding_that_weighs_less() {
        let then = sample::record();
        let mut now = then.clone();
        let id = then.findings[0].requirement.clone();
        let own = now.requirements.iter_mut().find(|it| it.id == id);
        own.unwrap().level = Level::Should;
        for finding in now.findings.iter_mut().filter(|it| it.requirement == id) {
            finding.kind = FindingKind::Deviation;
        }
        let changes = Changes::between(&then, &now);
        assert_eq!(
            changes.requirements[0].level,
            Some((Level::Shall, Level::Should))
        );
        assert!(changes.requirements[0].then == changes.requirements[0].now);
        assert!(changes.findings.iter().all(|it| it.about == id));
        assert!(!changes.breaks(false));
    }

    #[test]
    fn a_check_that_turned_is_told_with_its_case() {
        let then = sample::record();
        let mut now = then.clone();
        let failed = now.cases.iter_mut().find(|it| it.verdict == Verdict::Fail);
        let case = failed.unwrap();
        case.verdict = Verdict::Pass;
        for check in &mut case.checks {
            check.verdict = Verdict::Pass;
        }
        let id = case.id.clone();
        let changes = Changes::between(&then, &now);
        assert_eq!(changes.cases.len(), 1);
        assert_eq!(changes.cases[0].id, id);
        let turn = Turn::of(changes.cases[0].then, changes.cases[0].now);
        assert_eq!(turn, Some(Turn::Better));
        let checks = &changes.cases[0].checks;
        assert!(checks.iter().all(|it| it.then != Some(Verdict::Pass)));
        assert!(!checks.is_empty());
    }

    #[test]
    fn cases_that_came_and_went() {
        let then = sample::record();
        let mut now = then.clone();
        let gone = now.cases.remove(0);
        let changes = Changes::between(&then, &now);
        assert_eq!(changes.cases[0].id, gone.id);
        assert_eq!(changes.cases[0].now, None);
        let changes = Changes::between(&now, &then);
        assert_eq!(changes.cases[0].then, None);
    }
}
