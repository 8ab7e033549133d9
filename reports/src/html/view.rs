//! What the page says: the record turned into words, in the order of the page. No markup here.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use minijinja::Value;
use serde::Serialize;

use super::body;
use super::message::{Row, rows};
use crate::clause;
use crate::document::sign;
use crate::escape;
use crate::event;
use crate::excerpt::Extent;
use crate::failure::{self, Failure, Shown};
use crate::record::{
    Basis, CaseRecord, Check, Event, FindingKind, Level, ProtocolFinding, ProtocolPlace,
    ProtocolWeight, RequirementRecord, RunRecord, Verdict, WaiverState,
};
use crate::summary::{self, Summary, count, count_of};

/// Links to scenarios that are listed; the rest goes behind a fold.
const LISTED: usize = 8;
/// Subjects of checks that are listed.
const SUBJECTS: usize = 4;

/// The whole page.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    sut: String,
    profile: String,
    tool: String,
    format: u32,
    started: String,
    part: Option<String>,
    seed: Option<u64>,
    duration: String,
    store_time: Option<String>,
    interrupted: Option<String>,
    headline: Headline,
    bars: Vec<Bar>,
    outcomes: Outcomes,
    findings: Vec<FindingGroup>,
    findings_total: usize,
    protocol: Vec<ProtocolRule>,
    errors: Vec<ErrorGroup>,
    not_demonstrated: Vec<Reason>,
    waivers: Vec<Waiver>,
    stale_waivers: Vec<String>,
    open_waivers: Vec<String>,
    clauses: Vec<Clause>,
    requirements_total: usize,
    groups: Vec<CaseGroup>,
    cases_total: usize,
    readings: Vec<Defect>,
    settings: Vec<Declared>,
}

#[derive(Debug, Serialize)]
struct Headline {
    class: &'static str,
    text: String,
}

/// A proportion bar with its legend.
#[derive(Debug, Serialize)]
struct Bar {
    title: String,
    parts: Vec<Part>,
}

#[derive(Debug, Serialize)]
struct Part {
    class: &'static str,
    name: &'static str,
    count: usize,
}

/// The verdicts that there are, for who filters.
#[derive(Debug, Serialize)]
struct Outcomes {
    requirements: Vec<Outcome>,
    cases: Vec<Outcome>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    class: &'static str,
    sign: &'static str,
    name: String,
}

impl Outcomes {
    fn of(record: &RunRecord) -> Self {
        let named = |verdicts: BTreeSet<Verdict>| {
            let outcome = |verdict: &Verdict| Outcome {
                class: verdict.as_str(),
                sign: sign(*verdict),
                name: verdict.as_str().replace('-', " "),
            };
            verdicts.iter().rev().map(outcome).collect()
        };
        Self {
            requirements: named(record.requirements.iter().map(|it| it.verdict).collect()),
            cases: named(record.cases.iter().map(|it| it.verdict).collect()),
        }
    }
}

#[derive(Debug, Serialize)]
struct FindingGroup {
    class: &'static str,
    title: &'static str,
    items: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Finding {
    summary: String,
    requirements: Vec<Touched>,
    case: Option<CaseLink>,
    place: Option<String>,
    expected: Option<String>,
    observed: Option<String>,
    note: Option<String>,
    panels: Vec<Panel>,
    side_by_side: bool,
    same: Vec<CaseLink>,
    different: Vec<Different>,
}

#[derive(Debug, Serialize)]
struct Touched {
    class: &'static str,
    kind: &'static str,
    id: String,
    href: Option<String>,
    level: &'static str,
    clause: String,
    statement: String,
}

/// A rule of a base protocol that messages break.
#[derive(Debug, Serialize)]
struct ProtocolRule {
    class: &'static str,
    kind: &'static str,
    message: String,
    clause: String,
    expected: String,
    messages: String,
    cases: Vec<CaseLink>,
    panel: Option<Panel>,
    waiver: Option<String>,
}

/// Cases of the same failure that saw something else.
#[derive(Debug, Serialize)]
struct Different {
    observed: String,
    cases: Vec<CaseLink>,
}

#[derive(Debug, Clone, Serialize)]
struct CaseLink {
    id: String,
    title: String,
    href: Option<String>,
    verdict: &'static str,
    class: &'static str,
    sign: &'static str,
}

/// A message, or whatever else is the evidence.
#[derive(Debug, Serialize)]
struct Panel {
    class: &'static str,
    title: String,
    event: u32,
    meta: String,
    href: String,
    details: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct ErrorGroup {
    reason: String,
    cases: Vec<CaseLink>,
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Reason {
    reason: String,
    cases: String,
}

#[derive(Debug, Serialize)]
struct Waiver {
    text: String,
    kind: &'static str,
    requirement: String,
    href: Option<String>,
    cases: Vec<CaseLink>,
}

#[derive(Debug, Serialize)]
struct Clause {
    heading: String,
    rows: Vec<Requirement>,
}

#[derive(Debug, Serialize)]
struct Requirement {
    index: usize,
    anchor: String,
    id: String,
    place: String,
    level: &'static str,
    basis: Option<&'static str>,
    statement: String,
    wording: String,
    class: &'static str,
    sign: &'static str,
    outcome: &'static str,
    verdict: String,
    held: String,
    checks: String,
    cases: usize,
    scenarios: Vec<ScenarioLink>,
    more: Vec<ScenarioLink>,
}

/// A scenario, all its cases taken together.
#[derive(Debug, Serialize)]
struct ScenarioLink {
    id: String,
    title: String,
    href: String,
    cases: usize,
    verdict: &'static str,
    sign: &'static str,
}

#[derive(Debug, Serialize)]
struct CaseGroup {
    name: String,
    counts: String,
    cases: Vec<Case>,
}

#[derive(Debug, Serialize)]
struct Case {
    index: usize,
    anchor: String,
    link: CaseLink,
    values: String,
    covers: String,
    purpose: Option<String>,
    held: Option<String>,
    duration: String,
    body: Option<Value>,
}

/// A name that may lead somewhere.
#[derive(Debug, Serialize)]
pub(super) struct Target {
    pub(super) text: String,
    pub(super) href: Option<String>,
}

/// A name and its value.
#[derive(Debug, Serialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Defect {
    id: String,
    readings: Vec<Reading>,
}

#[derive(Debug, Serialize)]
struct Reading {
    reading: String,
    cases: Vec<CaseLink>,
}

/// A table of what was declared.
#[derive(Debug, Serialize)]
struct Declared {
    title: &'static str,
    about: &'static str,
    rows: Vec<Pair>,
}

impl Page {
    pub(super) fn of(record: &RunRecord, links: &Links<'_>) -> Self {
        let counts = Summary::of(record);
        let failures = failure::failures(record);
        let findings = finding_groups(&failures, links);
        Self {
            sut: escape::line(&record.profile.sut),
            profile: escape::line(&record.profile.name),
            tool: escape::line(&record.tool),
            format: record.format,
            started: record.started.to_seconds(),
            part: summary::part(record).or_else(|| summary::judged_again(record)),
            seed: record.plan.seed,
            duration: summary::duration(record.duration_us),
            store_time: (record.store_time_s > 0.0)
                .then(|| summary::store_time(record.store_time_s)),
            interrupted: record.interrupted.as_deref().map(escape::line),
            headline: headline(record, &counts, &failures),
            bars: bars(&counts),
            outcomes: Outcomes::of(record),
            findings_total: findings.iter().map(|group| group.items.len()).sum(),
            findings,
            protocol: protocol(record, links),
            errors: errors(record, links),
            not_demonstrated: counts
                .not_demonstrated
                .iter()
                .map(|(reason, cases)| Reason {
                    reason: paragraph(reason),
                    cases: count(*cases, "case", "cases"),
                })
                .collect(),
            waivers: waivers(record, links),
            stale_waivers: explained(record, WaiverState::Stale),
            open_waivers: explained(record, WaiverState::Open),
            clauses: clauses(record, links),
            requirements_total: record.requirements.len(),
            groups: case_groups(record, links),
            cases_total: record.cases.len(),
            readings: readings(record, links),
            settings: settings(record),
        }
    }
}

// ---- links -----------------------------------------------------------------------------------------

/// Where on the page a case or requirement stands.
pub(super) struct Links<'r> {
    cases: HashMap<&'r str, (String, usize, &'r CaseRecord)>,
    requirements: HashMap<&'r str, (String, usize, &'r RequirementRecord)>,
}

impl<'r> Links<'r> {
    pub(super) fn of(record: &'r RunRecord) -> Self {
        let mut used = HashSet::new();
        let mut requirements = HashMap::new();
        for (index, it) in record.requirements.iter().enumerate() {
            let anchor = anchor("requirement", &it.id, &mut used);
            requirements.insert(it.id.as_str(), (anchor, index, it));
        }
        let mut cases = HashMap::new();
        for (index, case) in record.cases.iter().enumerate() {
            let anchor = anchor("case", &case.id, &mut used);
            cases.insert(case.id.as_str(), (anchor, index, case));
        }
        Self {
            cases,
            requirements,
        }
    }

    /// The place of a case among all, by which its events are named.
    pub(super) fn index_of(&self, case: &CaseRecord) -> usize {
        self.cases.get(case.id.as_str()).map_or(0, |it| it.1)
    }

    /// A requirement as it was judged.
    pub(super) fn record(&self, id: &str) -> Option<&'r RequirementRecord> {
        self.requirements.get(id).map(|it| it.2)
    }

    fn case(&self, id: &str) -> CaseLink {
        let known = self.cases.get(id);
        let verdict = known.map_or(Verdict::None, |it| it.2.verdict);
        CaseLink {
            id: escape::line(id),
            title: known.map_or_else(String::new, |it| escape::line(&it.2.title)),
            href: known.map(|it| format!("#{}", it.0)),
            verdict: verdict.as_str(),
            class: verdict.as_str(),
            sign: sign(verdict),
        }
    }

    fn cases<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Vec<CaseLink> {
        ids.into_iter().map(|id| self.case(id)).collect()
    }

    pub(super) fn requirement(&self, id: &str) -> Target {
        Target {
            text: escape::line(id),
            href: self.requirements.get(id).map(|it| format!("#{}", it.0)),
        }
    }

    fn anchor_of(&self, case: &CaseRecord) -> String {
        self.cases
            .get(case.id.as_str())
            .map_or_else(|| "case".to_owned(), |it| it.0.clone())
    }
}

/// A name for an id attribute: letters, digits, dots and dashes, and used once.
fn anchor(kind: &str, id: &str, used: &mut HashSet<String>) -> String {
    let mut slug = format!("{kind}-");
    for c in id.chars() {
        if c.is_ascii_alphanumeric() || c == '.' {
            slug.push(c);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-').to_owned();
    let mut unique = slug.clone();
    let mut n = 1;
    while !used.insert(unique.clone()) {
        n += 1;
        unique = format!("{slug}-{n}");
    }
    unique
}

// ---- words -----------------------------------------------------------------------------------------

/// Text of several lines: each escaped, the line ends kept.
pub(super) fn paragraph(text: &str) -> String {
    text.lines()
        .map(escape::line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Class, name and heading.
fn kind_words(kind: FindingKind) -> (&'static str, &'static str, &'static str) {
    match kind {
        FindingKind::Nonconformity => ("nonconformity", "nonconformity", "Nonconformities"),
        FindingKind::ProfileMismatch => ("mismatch", "profile mismatch", "Profile mismatches"),
        FindingKind::Deviation => ("deviation", "deviation", "Deviations"),
        FindingKind::Observation => ("observation", "observation", "Observations"),
        FindingKind::NotDemonstrated => ("inconclusive", "not demonstrated", "Not demonstrated"),
    }
}

/// How many rules of the base protocols are broken that no waiver accepts, where any is.
fn protocol_errors(record: &RunRecord) -> Option<usize> {
    let broken = record
        .protocol
        .iter()
        .filter(|finding| finding.weight == ProtocolWeight::Error && finding.waiver.is_none())
        .count();
    (broken > 0).then_some(broken)
}

fn headline(record: &RunRecord, counts: &Summary, failures: &[Failure<'_>]) -> Headline {
    let broken = counts.of_kind(FindingKind::Nonconformity);
    let places = failures
        .iter()
        .filter(|failure| failure.kind == FindingKind::Nonconformity)
        .count();
    let errors = counts.with(Verdict::Error);
    if broken > 0 {
        let mut text = count_of(FindingKind::Nonconformity, broken);
        if places < broken {
            text = format!("{text} in {}", count(places, "place", "places"));
        }
        Headline {
            class: "fail",
            text,
        }
    } else if let Some(broken) = protocol_errors(record) {
        Headline {
            class: "fail",
            text: format!(
                "No nonconformity, but {}",
                count(broken, "protocol error", "protocol errors")
            ),
        }
    } else if errors > 0 {
        let text = format!(
            "No nonconformity, but {} ended in an error",
            count(errors, "case", "cases")
        );
        Headline {
            class: "error",
            text,
        }
    } else if record.interrupted.is_some() {
        let text = "No nonconformity in what was run".to_owned();
        Headline {
            class: "inconclusive",
            text,
        }
    } else {
        Headline {
            class: "pass",
            text: "No nonconformity".to_owned(),
        }
    }
}

fn bars(counts: &Summary) -> Vec<Bar> {
    let part = |class, name, count| Part { class, name, count };
    let some = |parts: Vec<Part>| parts.into_iter().filter(|part| part.count > 0).collect();
    let of = |verdict: Verdict| counts.with(verdict);
    let r = counts.requirements;
    vec![
        Bar {
            title: count(counts.total_cases(), "case", "cases"),
            parts: some(vec![
                part("error", "error", of(Verdict::Error)),
                part("fail", "fail", of(Verdict::Fail)),
                part("inconclusive", "inconclusive", of(Verdict::Inconclusive)),
                part("pass", "pass", of(Verdict::Pass)),
                part("none", "not judged", of(Verdict::None)),
                part(
                    "not-applicable",
                    "not applicable",
                    of(Verdict::NotApplicable),
                ),
            ]),
        },
        Bar {
            title: count(r.total, "requirement", "requirements"),
            parts: some(vec![
                part("fail", "failed", r.failed),
                part("waived", "waived", r.waived),
                part("inconclusive", "not demonstrated", r.not_demonstrated),
                part("pass", "demonstrated", r.demonstrated),
                part("none", "not checked", r.not_covered),
                part("not-applicable", "not applicable", r.not_applicable),
            ]),
        },
    ]
}

// ---- findings --------------------------------------------------------------------------------------

fn finding_groups(failures: &[Failure<'_>], links: &Links<'_>) -> Vec<FindingGroup> {
    [
        FindingKind::Nonconformity,
        FindingKind::ProfileMismatch,
        FindingKind::Deviation,
        FindingKind::Observation,
    ]
    .into_iter()
    .filter_map(|kind| {
        let items: Vec<_> = failures
            .iter()
            .filter(|failure| failure.kind == kind)
            .map(|failure| finding(failure, links))
            .collect();
        let (class, _, title) = kind_words(kind);
        (!items.is_empty()).then_some(FindingGroup {
            class,
            title,
            items,
        })
    })
    .collect()
}

fn finding(failure: &Failure<'_>, links: &Links<'_>) -> Finding {
    let first = failure.cases.first();
    let check = first.and_then(|shown| shown.check);
    let (same, different) = other_cases(&failure.cases, links);
    let panels = first
        .and_then(|shown| Some(panels(shown.case?, shown.check?, links)))
        .unwrap_or_default();
    Finding {
        summary: first.map_or_else(String::new, |shown| escape::line(shown.summary)),
        requirements: failure
            .requirements
            .iter()
            .map(|touched| {
                let (class, kind, _) = kind_words(touched.kind);
                let target = links.requirement(touched.id);
                let known = touched.requirement;
                Touched {
                    class,
                    kind,
                    id: target.text,
                    href: target.href,
                    level: known.map_or("", |r| r.level.as_str()),
                    clause: known
                        .map_or_else(String::new, |r| escape::line(&clause::cite(&r.clause))),
                    statement: known.map_or_else(String::new, |r| paragraph(&r.in_words())),
                }
            })
            .collect(),
        case: first.map(|shown| links.case(shown.id)),
        place: first
            .and_then(Shown::place)
            .map(|place| escape::line(&place.to_string())),
        expected: check.map(|check| paragraph(&check.expected)),
        observed: check.map(|check| paragraph(&check.observed)),
        note: check.and_then(|check| check.note.as_deref()).map(paragraph),
        // Two dumps are too wide to stand beside each other.
        side_by_side: panels.len() == 2
            && !panels
                .iter()
                .flat_map(|panel| &panel.rows)
                .any(|row| matches!(row, Row::Octets { .. })),
        panels,
        same,
        different,
    }
}

fn other_cases(cases: &[Shown<'_>], links: &Links<'_>) -> (Vec<CaseLink>, Vec<Different>) {
    let mut same = Vec::new();
    let mut different: Vec<Different> = Vec::new();
    let Some((first, others)) = cases.split_first() else {
        return (same, different);
    };
    for other in others {
        let link = links.case(other.id);
        if other.observed() == first.observed() {
            same.push(link);
            continue;
        }
        let observed = paragraph(other.observed());
        match different
            .iter_mut()
            .find(|known| known.observed == observed)
        {
            Some(known) => known.cases.push(link),
            None => different.push(Different {
                observed,
                cases: vec![link],
            }),
        }
    }
    (same, different)
}

/// The evidence of a check, and what it was compared with.
fn panels(case: &CaseRecord, check: &Check, links: &Links<'_>) -> Vec<Panel> {
    let Some(evidence) = &check.evidence else {
        return Vec::new();
    };
    let Some(event) = event::by_id(&case.trace, evidence.event) else {
        return Vec::new();
    };
    let anchor = links.index_of(case);
    let octets = event::octets(event);
    let marks: Vec<_> = event::marked(evidence).into_iter().collect();
    let head = if marks.is_empty() {
        14
    } else {
        Extent::AROUND.head
    };
    let extent = Extent {
        head,
        ..Extent::AROUND
    };
    let mut panels = vec![Panel {
        class: "observed",
        rows: event::source(event).map_or_else(Vec::new, |source| rows(source, &marks, extent)),
        ..panel(event, anchor)
    }];
    let against = evidence
        .against
        .and_then(|id| event::by_id(&case.trace, id))
        .and_then(|event| Some((event, event::source(event)?)));
    if let Some((event, expected)) = against {
        let marks = event::counterpart(check, octets.unwrap_or_default(), expected.octets);
        panels.push(Panel {
            class: "expected",
            rows: rows(expected, &marks, Extent::AROUND),
            ..panel(event, anchor)
        });
    }
    panels
}

fn panel(event: &Event, case: usize) -> Panel {
    let described = event::describe(event);
    let title = event::packet(event).map_or_else(
        || described.title.clone(),
        |packet| {
            let way = if described.kind == "sent" {
                "Sent by"
            } else {
                "Received by"
            };
            escape::line(&format!(
                "{way} {} over {}",
                event::agent(packet),
                packet.transport
            ))
        },
    );
    let mut meta = format!("· {} s", seconds(event.at_us));
    if let Some(store) = event.store {
        meta.push_str(" · store clock ");
        meta.push_str(&store.at.to_millis());
    }
    Panel {
        class: "",
        title,
        meta,
        event: event.id,
        href: format!("#{}", body::event_anchor(case, event.id)),
        details: described.details,
        rows: Vec::new(),
    }
}

/// `1.204511`: protocol time in seconds, as exact as it was taken.
pub(super) fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn protocol(record: &RunRecord, links: &Links<'_>) -> Vec<ProtocolRule> {
    let rule = |finding: &ProtocolFinding| {
        let (class, kind) = match finding.weight {
            ProtocolWeight::Error => ("fail", "error"),
            ProtocolWeight::Warning => ("inconclusive", "warning"),
        };
        ProtocolRule {
            class,
            kind,
            message: escape::line(&finding.message),
            clause: escape::line(&finding.clause),
            expected: paragraph(&finding.expected),
            messages: count(finding.count as usize, "message", "messages"),
            cases: links.cases(finding.places.iter().map(|place| place.case.as_str())),
            panel: finding
                .places
                .first()
                .and_then(|place| octets_of(record, place, links)),
            waiver: finding.waiver.as_deref().map(paragraph),
        }
    };
    record.protocol.iter().map(rule).collect()
}

fn octets_of(record: &RunRecord, place: &ProtocolPlace, links: &Links<'_>) -> Option<Panel> {
    let case = record.cases.iter().find(|case| case.id == place.case)?;
    let event = event::by_id(&case.trace, place.event)?;
    let mark = place.range.0 as usize..place.range.1 as usize;
    Some(Panel {
        class: "observed",
        rows: rows(event::source(event)?, &[mark], Extent::AROUND),
        ..panel(event, links.index_of(case))
    })
}

fn errors(record: &RunRecord, links: &Links<'_>) -> Vec<ErrorGroup> {
    let mut groups: Vec<ErrorGroup> = Vec::new();
    for case in failure::errors(record) {
        let reason = paragraph(case.reason.as_deref().unwrap_or("no reason was recorded"));
        let link = links.case(&case.id);
        let notes = case
            .checks
            .iter()
            .filter(|check| check.verdict == Verdict::Error)
            .filter_map(|check| check.note.as_deref().map(paragraph));
        match groups.iter_mut().find(|group| group.reason == reason) {
            Some(group) => group.cases.push(link),
            None => groups.push(ErrorGroup {
                reason,
                cases: vec![link],
                notes: notes.collect(),
            }),
        }
    }
    groups
}

fn waivers(record: &RunRecord, links: &Links<'_>) -> Vec<Waiver> {
    failure::waived(record)
        .into_iter()
        .map(|accepted| {
            let target = links.requirement(accepted.requirement);
            Waiver {
                text: paragraph(accepted.waiver),
                kind: kind_words(accepted.kind).1,
                requirement: target.text,
                href: target.href,
                cases: links.cases(accepted.cases.iter().copied()),
            }
        })
        .collect()
}

/// The waivers in this state, each with its place and why it is so.
fn explained(record: &RunRecord, state: WaiverState) -> Vec<String> {
    let waivers = record.waivers.iter().filter(|it| it.state == state);
    waivers
        .map(|it| paragraph(&format!("{} ({})", it.explain(), it.source)))
        .collect()
}

// ---- requirements ----------------------------------------------------------------------------------

fn clauses(record: &RunRecord, links: &Links<'_>) -> Vec<Clause> {
    let mut shown = shown(record);
    clause::groups(&record.requirements)
        .into_iter()
        .map(|group| Clause {
            heading: escape::line(&group.heading()),
            rows: group
                .requirements
                .into_iter()
                .map(|requirement| {
                    let shown = shown.remove(requirement.id.as_str()).unwrap_or_default();
                    requirement_row(record, requirement, &shown, links)
                })
                .collect(),
        })
        .collect()
}

/// What the run shows about one requirement.
#[derive(Default)]
struct ShownOf<'r> {
    /// Cases, with what each shows about it, which may be better than what it shows about another: the worst of
    /// the checks that speak for it.
    cases: Vec<(Verdict, &'r CaseRecord)>,
    /// What the checks looked at, and how many did.
    subjects: BTreeMap<&'r str, usize>,
}

/// For every requirement, gathered in one walk: there may be ten thousand cases.
fn shown(record: &RunRecord) -> HashMap<&str, ShownOf<'_>> {
    let mut all: HashMap<&str, ShownOf<'_>> = HashMap::new();
    for case in &record.cases {
        let mut own: BTreeMap<&str, Option<Verdict>> = BTreeMap::new();
        own.extend(case.covers.iter().map(|id| (id.as_str(), None)));
        for check in &case.checks {
            for id in &check.requirements {
                let worst = own.entry(id).or_default();
                *worst = (*worst).max(Some(check.verdict));
                let subjects = &mut all.entry(id).or_default().subjects;
                *subjects.entry(&check.subject).or_default() += 1;
            }
        }
        for (id, judged) in own {
            let verdict = judged.unwrap_or(match case.verdict {
                // Its checks held or not, but none of them spoke for this requirement.
                Verdict::Pass | Verdict::Fail => Verdict::None,
                verdict => verdict,
            });
            all.entry(id).or_default().cases.push((verdict, case));
        }
    }
    all
}

fn requirement_row(
    record: &RunRecord,
    requirement: &RequirementRecord,
    shown: &ShownOf<'_>,
    links: &Links<'_>,
) -> Requirement {
    let waived = summary::all_waived(record, requirement);
    let mut scenarios = scenario_links(&shown.cases, links);
    let more = scenarios.split_off(scenarios.len().min(LISTED));
    let target = links.requirement(&requirement.id);
    Requirement {
        index: links
            .requirements
            .get(requirement.id.as_str())
            .map_or(0, |it| it.1),
        anchor: target
            .href
            .unwrap_or_default()
            .trim_start_matches('#')
            .to_owned(),
        id: target.text,
        place: escape::line(clause::split(&requirement.clause).1),
        level: requirement.level.as_str(),
        basis: (requirement.basis != Basis::Written).then(|| requirement.basis.as_str()),
        statement: paragraph(&requirement.in_words()),
        wording: escape::line(&requirement.wording.join(", ")),
        class: tone(requirement, waived),
        sign: match (requirement.verdict, requirement.level) {
            (Verdict::Fail, Level::May) => "i",
            (verdict, _) => sign(verdict),
        },
        outcome: requirement.verdict.as_str(),
        verdict: match (requirement.verdict, requirement.level) {
            _ if waived => "fail, waived".to_owned(),
            // What is only permitted cannot fail.
            (Verdict::Fail, Level::May) => "otherwise".to_owned(),
            (verdict, _) => verdict.to_string(),
        },
        held: summary::held(requirement),
        checks: subjects(&shown.subjects),
        cases: shown.cases.len(),
        scenarios,
        more,
    }
}

/// The scenarios of these cases, the worst first; each leads to the worst of its cases.
fn scenario_links(cases: &[(Verdict, &CaseRecord)], links: &Links<'_>) -> Vec<ScenarioLink> {
    let mut scenarios: Vec<(&str, usize, (Verdict, &CaseRecord))> = Vec::new();
    for (verdict, case) in cases {
        match scenarios.last_mut() {
            Some((id, count, worst)) if *id == case.scenario => {
                *count += 1;
                if *verdict > worst.0 {
                    *worst = (*verdict, case);
                }
            }
            _ => scenarios.push((&case.scenario, 1, (*verdict, case))),
        }
    }
    // Stable: scenarios of one verdict keep the order of their ids.
    scenarios.sort_by_key(|(_, _, (verdict, _))| std::cmp::Reverse(*verdict));
    scenarios
        .into_iter()
        .map(|(id, cases, (verdict, case))| ScenarioLink {
            id: escape::line(id),
            title: escape::line(&case.title),
            href: format!("#{}", links.anchor_of(case)),
            cases,
            verdict: verdict.as_str(),
            sign: sign(verdict),
        })
        .collect()
}

/// `status ×12, header Subject ×6 and 3 others`
fn subjects(subjects: &BTreeMap<&str, usize>) -> String {
    let mut sorted: Vec<_> = subjects.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let named = sorted.iter().take(SUBJECTS);
    let mut words: Vec<_> = named
        .map(|(subject, count)| match count {
            1 => escape::line(subject),
            _ => format!("{} ×{count}", escape::line(subject)),
        })
        .collect();
    if let Some(others @ 1..) = sorted.len().checked_sub(SUBJECTS) {
        words.push(count(others, "other", "others"));
    }
    words.join(", ")
}

/// How bad a failure is depends on the level.
fn tone(requirement: &RequirementRecord, waived: bool) -> &'static str {
    match (requirement.verdict, requirement.level) {
        _ if waived => "waived",
        (Verdict::Fail, Level::Should) => "deviation",
        (Verdict::Fail, Level::May) => "observation",
        (verdict, _) => verdict.as_str(),
    }
}

// ---- cases -----------------------------------------------------------------------------------------

fn case_groups(record: &RunRecord, links: &Links<'_>) -> Vec<CaseGroup> {
    let mut groups: BTreeMap<&str, Vec<&CaseRecord>> = BTreeMap::new();
    for case in &record.cases {
        let name = case
            .scenario
            .split_once('-')
            .map_or(case.scenario.as_str(), |(name, _)| name);
        groups.entry(name).or_default().push(case);
    }
    groups
        .into_iter()
        .map(|(name, cases)| {
            let mut verdicts: BTreeMap<Verdict, usize> = BTreeMap::new();
            for case in &cases {
                *verdicts.entry(case.verdict).or_default() += 1;
            }
            let counts: Vec<_> = verdicts
                .iter()
                .rev()
                .map(|(verdict, n)| format!("{n} {verdict}"))
                .collect();
            CaseGroup {
                name: escape::line(name),
                counts: counts.join(", "),
                cases: cases
                    .into_iter()
                    .map(|case| self::case(case, links))
                    .collect(),
            }
        })
        .collect()
}

fn case(case: &CaseRecord, links: &Links<'_>) -> Case {
    let values = |(name, value): &(String, serde_json::Value)| {
        escape::line(&format!("{name}={}", scalar(value)))
    };
    let values: Vec<_> = case.matrix.iter().map(values).collect();
    let mut covers: Vec<usize> = case
        .covers
        .iter()
        .chain(case.checks.iter().flat_map(|check| &check.requirements))
        .filter_map(|id| links.requirements.get(id.as_str()).map(|it| it.1))
        .collect();
    covers.sort_unstable();
    covers.dedup();
    let covers: Vec<_> = covers.iter().map(usize::to_string).collect();
    // A case that held says little to who reads without script; all of it is packed.
    let brief = matches!(
        case.verdict,
        Verdict::Pass | Verdict::NotApplicable | Verdict::None
    );
    let held = case.checks.len();
    Case {
        index: links.index_of(case),
        link: links.case(&case.id),
        values: values.join(", "),
        covers: covers.join(" "),
        purpose: brief.then(|| paragraph(case.reason.as_deref().unwrap_or(&case.purpose))),
        held: (brief && held > 0).then(|| count(held, "check", "checks")),
        duration: body::took(case),
        body: (!brief).then(|| Value::from_safe_string(body::essence(case, links))),
        anchor: links.anchor_of(case),
    }
}

// ---- the rest --------------------------------------------------------------------------------------

fn readings(record: &RunRecord, links: &Links<'_>) -> Vec<Defect> {
    record
        .readings
        .iter()
        .map(|(id, readings)| Defect {
            id: escape::line(id),
            readings: readings
                .iter()
                .map(|(reading, cases)| Reading {
                    reading: paragraph(reading),
                    cases: links.cases(cases.iter().map(String::as_str)),
                })
                .collect(),
        })
        .collect()
}

fn settings(record: &RunRecord) -> Vec<Declared> {
    let rows = |values: &BTreeMap<String, serde_json::Value>| {
        values
            .iter()
            .map(|(name, value)| Pair {
                name: escape::line(name),
                value: escape::line(&scalar(value)),
            })
            .collect::<Vec<_>>()
    };
    let adapters = record
        .profile
        .adapters
        .iter()
        .map(|(name, kind)| Pair {
            name: escape::line(name),
            value: escape::line(kind),
        })
        .collect();
    let tables = vec![
        Declared {
            title: "PICS",
            about: "What the maker says the server implements",
            rows: rows(&record.profile.pics),
        },
        Declared {
            title: "PIXIT",
            about: "What the tester was told to reach it",
            rows: rows(&record.profile.pixit),
        },
        Declared {
            title: "Adapters",
            about: "How the harness saw and steered the server",
            rows: adapters,
        },
    ];
    tables
        .into_iter()
        .filter(|table| !table.rows.is_empty())
        .collect()
}

/// A value as a person would write it: text without quotation marks, lists with commas.
fn scalar(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
