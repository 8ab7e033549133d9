//! What `imspec run` prints at the end: verdicts by clause, each failure with its evidence, totals last.
//!
//! The result is a string with ANSI styles in it; whoever prints it strips them where they do not belong
//! (pipes, `NO_COLOR`). Everything that came from elsewhere is escaped, so the only control octets in it are
//! those styles and line ends.

pub mod changes;
pub mod comparison;
pub mod ladder;
mod message;
mod page;
mod theme;

use anstyle::Style;

use crate::clause;
use crate::event;
use crate::failure::{self, Failure, Shown};
use crate::record::{
    CaseRecord, Check, Event, FindingKind, Level, ProtocolPlace, ProtocolWeight, RequirementRecord,
    RunRecord, Verdict, WaiverState,
};
use crate::summary::{self, Summary, count, count_of};
use page::{Page, Span, glued, plain, span};

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Columns that may be used. Below 40 there is no point in wrapping.
    pub width: usize,
    /// Only what breaks conformance, one line each, and the totals.
    pub quiet: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            width: 100,
            quiet: false,
        }
    }
}

/// The summary of a run.
pub fn summary(record: &RunRecord, options: &Options) -> String {
    let mut page = Page::new(options.width);
    let counts = Summary::of(record);
    let failures = failure::failures(record);
    if options.quiet {
        quiet(&mut page, record, &failures);
        stale_waivers(&mut page, record);
    } else {
        head(&mut page, record);
        requirements(&mut page, record);
        for kind in [
            FindingKind::Observation,
            FindingKind::Deviation,
            FindingKind::ProfileMismatch,
            FindingKind::Nonconformity,
        ] {
            // The worst last: a reader of a terminal sees the end first.
            findings(&mut page, kind, &failures);
        }
        protocol(&mut page, record);
        errors(&mut page, record);
        unsteady(&mut page, record);
        not_demonstrated(&mut page, &counts);
        waivers(&mut page, record);
        readings(&mut page, record);
        page.heading(theme::BOLD, "Summary", theme::DIM);
    }
    totals(&mut page, record, &counts, &failures);
    page.finish()
}

/// One line about a case that ended, for a log.
pub fn ended(
    id: &str,
    verdict: Verdict,
    duration_us: u64,
    reason: Option<&str>,
    width: usize,
) -> String {
    let mut page = Page::new(width);
    let style = theme::verdict(verdict, Level::Shall);
    let sign = theme::sign(verdict, Level::Shall);
    let mut line = vec![
        span(style, format!("{sign} {verdict:<VERDICT$}  ")),
        plain(id),
        span(theme::DIM, format!("  {}", summary::duration(duration_us))),
    ];
    if let Some(reason) = reason {
        line.push(plain(format!("  {reason}")));
    }
    page.line(0, &line);
    page.finish().trim_end().to_owned()
}

/// The checks of a case with one of the verdicts, each with its evidence, for reports that can hold text.
pub(crate) fn checks(case: &CaseRecord, verdicts: &[Verdict]) -> String {
    let mut page = Page::new(100);
    for check in case
        .checks
        .iter()
        .filter(|check| verdicts.contains(&check.verdict))
    {
        page.blank();
        page.row(
            &label("requirement"),
            &[plain(check.requirements.join(", "))],
        );
        page.row(&label("at"), &[plain(check.source.to_string())]);
        about_check(&mut page, check);
        evidence(&mut page, case, check);
    }
    page.finish()
}

fn head(page: &mut Page, record: &RunRecord) {
    let profile = &record.profile;
    let mut parts = vec![
        format!("· profile {}", profile.name),
        format!("· imspec {}", record.tool),
        format!("· {}", record.started.to_seconds()),
    ];
    parts.extend(summary::part(record).map(|part| format!("· {part}")));
    parts.extend(summary::judged_again(record).map(|again| format!("· {again}")));
    let mut line = vec![span(theme::BOLD, &profile.sut)];
    for part in parts {
        line.extend([plain(" "), glued(theme::DIM, part)]);
    }
    page.prose(0, &line);
}

// ---- requirements ----------------------------------------------------------------------------------

fn requirements(page: &mut Page, record: &RunRecord) {
    if record.requirements.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Requirements", theme::DIM);
    let columns = Columns::of(record, page.width());
    let mut first = true;
    for group in clause::groups(&record.requirements) {
        if !first {
            page.blank();
        }
        first = false;
        page.line(2, &[span(theme::BOLD, group.heading())]);
        for requirement in group.requirements {
            page.line(
                4,
                &columns.row(requirement, summary::all_waived(record, requirement)),
            );
        }
    }
}

/// Widths of the table's columns.
struct Columns {
    id: usize,
    place: usize,
    held: usize,
    statement: bool,
}

/// Longest verdict, `not-applicable`.
const VERDICT: usize = 14;

impl Columns {
    fn of(record: &RunRecord, width: usize) -> Self {
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
        let all = &record.requirements;
        let columns = Self {
            id: widest(&mut all.iter().map(|r| crate::escape::width(&r.id))),
            place: widest(
                &mut all
                    .iter()
                    .map(|r| crate::escape::width(clause::split(&r.clause).1)),
            ),
            held: widest(&mut all.iter().map(|r| summary::held(r).len())),
            statement: true,
        };
        let before =
            4 + 2 + columns.id + 2 + columns.place + 2 + 6 + 2 + VERDICT + 2 + columns.held + 2;
        // A statement of a few words tells nothing.
        let statement = width >= before + 24;
        // The place is the least that a narrow terminal can do without.
        let place = if before > width { 0 } else { columns.place };
        Self {
            place,
            statement,
            ..columns
        }
    }

    fn row(&self, requirement: &RequirementRecord, waived: bool) -> Vec<Span> {
        let style = theme::verdict(requirement.verdict, requirement.level);
        let style = if waived { theme::DIM } else { style };
        let verdict = match (requirement.verdict, requirement.level) {
            _ if waived => "fail (waived)",
            // What is only permitted cannot fail.
            (Verdict::Fail, Level::May) => "otherwise",
            (verdict, _) => verdict.as_str(),
        };
        let mut row = vec![
            span(style, theme::sign(requirement.verdict, requirement.level)),
            plain(" "),
            plain(left(&requirement.id, self.id + 2)),
        ];
        if self.place > 0 {
            row.push(span(
                theme::DIM,
                left(clause::split(&requirement.clause).1, self.place + 2),
            ));
        }
        row.extend([
            plain(left(level(requirement), 8)),
            span(style, left(verdict, VERDICT + 2)),
            span(
                theme::DIM,
                format!("{:>1$}", summary::held(requirement), self.held),
            ),
        ]);
        if self.statement {
            row.push(span(theme::DIM, format!("  {}", requirement.statement)));
        }
        row
    }
}

fn left(text: &str, columns: usize) -> String {
    let text = crate::escape::line(text);
    let fill = columns.saturating_sub(crate::escape::width(&text));
    format!("{text}{}", " ".repeat(fill))
}

fn level(requirement: &RequirementRecord) -> &'static str {
    requirement.level.as_str()
}

// ---- findings --------------------------------------------------------------------------------------

fn findings(page: &mut Page, kind: FindingKind, failures: &[Failure<'_>]) {
    let own: Vec<_> = failures
        .iter()
        .filter(|failure| failure.kind == kind)
        .collect();
    if own.is_empty() {
        return;
    }
    let (style, _, _, title) = theme::finding(kind);
    page.heading(style, title, theme::DIM);
    for failure in own {
        page.blank();
        finding(page, failure);
    }
}

fn finding(page: &mut Page, failure: &Failure<'_>) {
    for touched in &failure.requirements {
        let (style, sign, name, _) = theme::finding(touched.kind);
        let mut line = vec![
            span(style, format!("{sign} {name} ")),
            span(theme::BOLD, touched.id),
        ];
        if let Some(requirement) = touched.requirement {
            line.push(plain(format!(" {}", level(requirement))));
            let clause = clause::cite(&requirement.clause);
            line.push(span(theme::DIM, format!(" · {clause}")));
        }
        page.hanging(0, 2, &line);
        if let Some(requirement) = touched.requirement {
            page.prose(2, &[plain(requirement.in_words())]);
        }
    }
    page.blank();
    let Some(first) = failure.cases.first() else {
        return;
    };
    about_case(page, first);
    match (first.case, first.check) {
        (Some(case), Some(check)) => {
            about_check(page, check);
            if failure.kind != FindingKind::Observation {
                evidence(page, case, check);
            }
        }
        _ => page.paragraph(&label("found"), Style::new(), first.summary),
    }
    other_cases(page, first, &failure.cases[1..]);
}

/// Rules of the base protocols that messages break.
fn protocol(page: &mut Page, record: &RunRecord) {
    let own: Vec<_> = record
        .protocol
        .iter()
        .filter(|f| f.waiver.is_none())
        .collect();
    if own.is_empty() {
        return;
    }
    page.heading(theme::BAD, "Protocol findings", theme::DIM);
    for finding in own {
        page.blank();
        let (style, sign, name) = theme::protocol(finding.weight);
        let line = [
            span(style, format!("{sign} {name} ")),
            span(theme::BOLD, &finding.message),
            span(theme::DIM, format!(" · {}", finding.clause)),
        ];
        page.hanging(0, 2, &line);
        page.blank();
        page.paragraph(&label("expected"), Style::new(), &finding.expected);
        let ids = finding.places.iter().map(|place| place.case.as_str());
        let messages = count(finding.count as usize, "message", "messages");
        page.row(
            &label("in"),
            &[plain(format!("{messages}: {}", listed(ids)))],
        );
        if let Some((event, octets)) = finding.places.first().and_then(|p| place(record, p)) {
            page.blank();
            about_event(page, event);
            if let Some(source) = event::source(event) {
                message::show(page, source, &[octets], theme::BAD);
            }
        }
    }
}

fn place<'r>(
    record: &'r RunRecord,
    place: &ProtocolPlace,
) -> Option<(&'r Event, std::ops::Range<usize>)> {
    let case = record.cases.iter().find(|case| case.id == place.case)?;
    let event = event::by_id(&case.trace, place.event)?;
    Some((event, place.range.0 as usize..place.range.1 as usize))
}

fn label(text: &str) -> Span {
    span(theme::DIM, text)
}

fn about_case(page: &mut Page, shown: &Shown<'_>) {
    let mut line = vec![span(theme::BOLD, shown.id)];
    if let Some(case) = shown.case {
        line.push(plain(format!(" {}", case.title)));
    }
    page.row(&label("case"), &line);
    if let Some(place) = shown.place() {
        page.row(&label("at"), &[plain(place.to_string())]);
    }
}

fn about_check(page: &mut Page, check: &Check) {
    page.paragraph(&label("check"), Style::new(), &check.subject);
    page.paragraph(&label("expected"), Style::new(), &check.expected);
    page.paragraph(&label("observed"), Style::new(), &check.observed);
    if let Some(note) = &check.note {
        page.paragraph(&label("note"), Style::new(), note);
    }
}

/// The message that the check looked at, then the one that it was compared with.
fn evidence(page: &mut Page, case: &CaseRecord, check: &Check) {
    let Some(evidence) = &check.evidence else {
        return;
    };
    let Some(event) = event::by_id(&case.trace, evidence.event) else {
        return;
    };
    page.blank();
    about_event(page, event);
    let octets = event::octets(event);
    if let Some(source) = event::source(event) {
        let marks: Vec<_> = event::marked(evidence).into_iter().collect();
        message::show(page, source, &marks, theme::BAD);
    }
    let against = evidence
        .against
        .and_then(|id| event::by_id(&case.trace, id));
    if let Some(against) = against
        && let Some(expected) = event::source(against)
    {
        let marks = event::counterpart(check, octets.unwrap_or_default(), expected.octets);
        page.blank();
        about_event(page, against);
        // Without a place in it, the whole message would only bury the one that was found wrong.
        if !marks.is_empty() {
            message::show(page, expected, &marks, theme::WANTED);
        }
    }
}

fn about_event(page: &mut Page, event: &Event) {
    let described = event::describe(event);
    let mut line = match event::packet(event) {
        Some(packet) => {
            let way = if described.kind == "sent" { "by" } else { "at" };
            vec![plain(format!(
                "{way} {} over {}",
                event::agent(packet),
                packet.transport
            ))]
        }
        None => vec![plain(&described.title)],
    };
    line.push(span(
        theme::DIM,
        format!(" · event {} · {}", event.id, summary::duration(event.at_us)),
    ));
    if let Some(store) = event.store {
        let clock = format!("· store clock {}", store.at.to_millis());
        line.extend([plain(" "), glued(theme::DIM, clock)]);
    }
    page.row(&label(described.kind), &line);
    for detail in described.details {
        page.prose(page::GUTTER + 2, &[plain(detail)]);
    }
}

/// Ids that are listed; beyond, a number tells as much.
const LISTED: usize = 8;

/// Other cases of the same failure: those that saw the same in one line, the others with what they saw.
fn other_cases(page: &mut Page, first: &Shown<'_>, others: &[Shown<'_>]) {
    let (same, different): (Vec<_>, Vec<_>) = others
        .iter()
        .partition(|other| other.observed() == first.observed());
    if !same.is_empty() || !different.is_empty() {
        page.blank();
    }
    if !same.is_empty() {
        let ids = listed(same.iter().map(|shown| shown.id));
        let cases = count(same.len(), "more case", "more cases");
        page.row(&label("and"), &[plain(format!("{cases}: {ids}"))]);
    }
    let mut observations: Vec<(&str, Vec<&str>)> = Vec::new();
    for shown in different {
        match observations
            .iter_mut()
            .find(|(observed, _)| *observed == shown.observed())
        {
            Some((_, ids)) => ids.push(shown.id),
            None => observations.push((shown.observed(), vec![shown.id])),
        }
    }
    for (observed, ids) in observations {
        let ids = listed(ids.into_iter());
        page.row(
            &label("but"),
            &[plain(format!("observed {observed}: {ids}"))],
        );
    }
}

fn listed<'a>(ids: impl ExactSizeIterator<Item = &'a str>) -> String {
    let total = ids.len();
    let text = ids.take(LISTED).collect::<Vec<_>>().join(", ");
    match total.checked_sub(LISTED) {
        None | Some(0) => text,
        Some(more) => format!("{text} and {more} more"),
    }
}

// ---- the rest --------------------------------------------------------------------------------------

fn errors(page: &mut Page, record: &RunRecord) {
    let mut groups: Vec<(&str, Vec<&CaseRecord>)> = Vec::new();
    for case in failure::errors(record) {
        let reason = case.reason.as_deref().unwrap_or("no reason was recorded");
        match groups.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, cases)) => cases.push(case),
            None => groups.push((reason, vec![case])),
        }
    }
    if groups.is_empty() {
        return;
    }
    page.heading(theme::BAD, "Errors", theme::DIM);
    for (reason, cases) in groups {
        page.blank();
        let Some(first) = cases.first() else { continue };
        page.hanging(0, 2, &[span(theme::BAD, "! error "), plain(reason)]);
        page.blank();
        let check = first
            .checks
            .iter()
            .find(|check| check.verdict == Verdict::Error);
        let shown = Shown {
            id: &first.id,
            case: Some(first),
            check,
            summary: reason,
        };
        about_case(page, &shown);
        if let Some(check) = check {
            about_check(page, check);
        }
        page.row(&label("covers"), &[plain(first.covers.join(", "))]);
        page.blank();
        // What happened last is where to look first.
        let events = &first.trace.events;
        for event in &events[events.len().saturating_sub(4)..] {
            let after = summary::duration(event.at_us);
            let described = event::describe(event);
            let step = if described.kind == "step" {
                "step: "
            } else {
                ""
            };
            page.row(
                &label(&after),
                &[span(theme::DIM, format!("{step}{}", described.title))],
            );
        }
        if cases.len() > 1 {
            let ids = listed(cases[1..].iter().map(|case| case.id.as_str()));
            let more = count(cases.len() - 1, "more case", "more cases");
            page.row(&label("and"), &[plain(format!("{more}: {ids}"))]);
        }
    }
}

/// Cases in which something did not come in time, and came when they were run again.
fn unsteady(page: &mut Page, record: &RunRecord) {
    if record.unsteady().next().is_none() {
        return;
    }
    page.heading(theme::DOUBTFUL, "Unsteady", theme::DIM);
    page.prose(
        0,
        &[plain(
            "Something did not come in time. The cases were run again with more patience, and that counts.",
        )],
    );
    for (case, earlier) in record.unsteady() {
        page.blank();
        page.row(
            &label("case"),
            &[
                span(theme::BOLD, &case.id),
                plain(format!(" {}", case.title)),
            ],
        );
        let reason = format!("{}: {}", earlier.verdict, earlier.reason);
        page.paragraph(&label("at first"), Style::new(), &reason);
        page.row(&label("then"), &[plain(case.verdict.to_string())]);
    }
}

fn not_demonstrated(page: &mut Page, counts: &Summary) {
    if counts.not_demonstrated.is_empty() {
        return;
    }
    page.heading(theme::DOUBTFUL, "Not demonstrated", theme::DIM);
    for (reason, cases) in &counts.not_demonstrated {
        page.paragraph(
            &label(&count(*cases, "case", "cases")),
            Style::new(),
            reason,
        );
    }
}

fn waivers(page: &mut Page, record: &RunRecord) {
    if record.waivers.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Waivers", theme::DIM);
    stale_waivers(page, record);
    for accepted in failure::waived(record) {
        let (_, _, name, _) = theme::finding(accepted.kind);
        let cases = listed(accepted.cases.iter().copied());
        page.row(
            &label(accepted.requirement),
            &[plain(format!("{name} in {cases}"))],
        );
        page.paragraph(&label("because"), Style::new(), accepted.waiver);
    }
    for finding in &record.protocol {
        let Some(waiver) = &finding.waiver else {
            continue;
        };
        let (_, _, name) = theme::protocol(finding.weight);
        let messages = count(finding.count as usize, "message", "messages");
        page.row(
            &label(&finding.clause),
            &[plain(format!("{name} in {messages} ({})", finding.message))],
        );
        page.paragraph(&label("because"), Style::new(), waiver);
    }
    for waiver in &record.waivers {
        if waiver.state == WaiverState::Open {
            page.paragraph(&label("not used"), Style::new(), &waiver.explain());
        }
    }
}

fn stale_waivers(page: &mut Page, record: &RunRecord) {
    for waiver in record.stale_waivers() {
        page.paragraph(
            &label("stale waiver"),
            theme::DOUBTFUL,
            &format!("{} ({})", waiver.explain(), waiver.source),
        );
    }
}

fn readings(page: &mut Page, record: &RunRecord) {
    if record.readings.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Readings of unclear wording", theme::DIM);
    for (defect, readings) in &record.readings {
        let mut name = defect.as_str();
        for (reading, cases) in readings {
            let ids = listed(cases.iter().map(String::as_str));
            page.row(
                &label(name),
                &[plain(reading), span(theme::DIM, format!(" · {ids}"))],
            );
            name = "and";
        }
    }
}

fn quiet(page: &mut Page, record: &RunRecord, failures: &[Failure<'_>]) {
    let weighty = failures
        .iter()
        .filter(|failure| failure.kind == FindingKind::Nonconformity);
    for failure in weighty {
        let (style, sign, ..) = theme::finding(failure.kind);
        let ids: Vec<_> = failure
            .requirements
            .iter()
            .map(|touched| touched.id)
            .collect();
        let Some(first) = failure.cases.first() else {
            continue;
        };
        let mut line = vec![
            span(style, format!("{sign} {} ", ids.join(", "))),
            plain(first.id),
        ];
        if failure.cases.len() > 1 {
            line.push(plain(format!(" and {} more", failure.cases.len() - 1)));
        }
        if let Some(place) = first.place() {
            line.push(span(theme::DIM, format!(" {place}")));
        }
        line.push(plain(format!(": {}", first.observed())));
        page.line(0, &line);
    }
    for finding in &record.protocol {
        if finding.waiver.is_some() || finding.weight == ProtocolWeight::Warning {
            continue;
        }
        let (style, sign, _) = theme::protocol(finding.weight);
        let mut line = vec![
            span(style, format!("{sign} {} ", finding.clause)),
            plain(&finding.message),
        ];
        if let Some(first) = finding.places.first() {
            line.push(span(
                theme::DIM,
                format!(" {} event {}", first.case, first.event),
            ));
        }
        line.push(plain(format!(": expected {}", finding.expected)));
        page.line(0, &line);
    }
    for case in failure::errors(record) {
        let reason = case.reason.as_deref().unwrap_or("no reason was recorded");
        page.line(
            0,
            &[
                span(theme::BAD, format!("! error {}", case.id)),
                plain(format!(": {reason}")),
            ],
        );
    }
}

fn totals(page: &mut Page, record: &RunRecord, counts: &Summary, failures: &[Failure<'_>]) {
    let cases = [
        (Verdict::Error, "error", theme::BAD),
        (Verdict::Fail, "fail", theme::BAD),
        (Verdict::Inconclusive, "inconclusive", theme::DOUBTFUL),
        (Verdict::Pass, "pass", theme::GOOD),
        (Verdict::None, "not judged", theme::DIM),
        (Verdict::NotApplicable, "not applicable", theme::DIM),
    ];
    let mut line = vec![plain(format!("{}: ", counts.total_cases()))];
    line.extend(list(cases.map(|(verdict, name, style)| {
        (counts.with(verdict), name.to_owned(), style)
    })));
    page.row(&label("cases"), &line);
    let ids: Vec<&str> = record
        .unsteady()
        .map(|(case, _)| case.id.as_str())
        .collect();
    if !ids.is_empty() {
        let cases = count(ids.len(), "case", "cases");
        let text = format!(
            "{cases} came out otherwise when run again: {}",
            listed(ids.into_iter())
        );
        page.row(&span(theme::DOUBTFUL, "unsteady"), &[plain(text)]);
    }

    let r = counts.requirements;
    let requirements = [
        (r.failed, "failed", theme::BAD),
        (r.waived, "waived", theme::DIM),
        (r.not_demonstrated, "not demonstrated", theme::DOUBTFUL),
        (r.demonstrated, "demonstrated", theme::GOOD),
        (r.not_applicable, "not applicable", theme::DIM),
        (r.not_covered, "not checked", theme::DIM),
    ];
    let mut line = vec![plain(format!("{}: ", r.total))];
    line.extend(list(
        requirements.map(|(n, name, style)| (n, name.to_owned(), style)),
    ));
    page.row(&label("requirements"), &line);

    let real = format!("{} of real time", summary::duration(record.duration_us));
    let mut line = vec![glued(Style::new(), real)];
    if record.store_time_s > 0.0 {
        let store = summary::store_time(record.store_time_s);
        line.extend([
            plain(", "),
            glued(Style::new(), format!("{store} of store time")),
        ]);
    }
    page.row(&label("time"), &line);
    if let Some(why) = &record.interrupted {
        let text = format!("by {why}: what was not done yet is missing or inconclusive");
        page.row(&span(theme::DOUBTFUL, "interrupted"), &[plain(text)]);
    }

    let kinds = [
        FindingKind::Nonconformity,
        FindingKind::ProfileMismatch,
        FindingKind::Deviation,
        FindingKind::Observation,
    ];
    let mut parts: Vec<_> = kinds
        .map(|kind| {
            let n = counts.of_kind(kind);
            let words = count_of(kind, n);
            let name = words.split_once(' ').map_or("", |(_, name)| name);
            // A matrix shows one failure many times, and one failure speaks for several requirements.
            let places = failures
                .iter()
                .filter(|failure| failure.kind == kind)
                .count();
            let name = if (1..n).contains(&places) {
                format!("{name} in {}", summary::count(places, "place", "places"))
            } else {
                name.to_owned()
            };
            (n, name, theme::finding(kind).0)
        })
        .into();
    for weight in [ProtocolWeight::Error, ProtocolWeight::Warning] {
        let (style, _, name) = theme::protocol(weight);
        let own = record
            .protocol
            .iter()
            .filter(|finding| finding.weight == weight && finding.waiver.is_none())
            .count();
        let name = if own == 1 {
            name.to_owned()
        } else {
            format!("{name}s")
        };
        parts.push((own, name, style));
    }
    parts.push((counts.waived, "waived".to_owned(), theme::DIM));
    let mut line = list(parts);
    if line.is_empty() {
        line.push(span(theme::GOOD, "none"));
    }
    page.row(&label("findings"), &line);
}

/// `3 fail, 2 pass`, without what did not occur.
fn list(parts: impl IntoIterator<Item = (usize, String, Style)>) -> Vec<Span> {
    let mut spans = Vec::new();
    for (n, name, style) in parts {
        if n == 0 {
            continue;
        }
        if !spans.is_empty() {
            spans.push(plain(", "));
        }
        spans.push(glued(style, format!("{n} {name}")));
    }
    spans
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::sample;

    /// Removes what anstyle writes, and nothing else.
    pub(crate) fn strip(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(start) = rest.find("\x1b[") {
            let after = &rest[start + 2..];
            let end = after
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(after.len());
            out.push_str(&rest[..start]);
            rest = if after[end..].starts_with('m') {
                &after[end + 1..]
            } else {
                out.push_str("\x1b[");
                after
            };
        }
        out + rest
    }

    fn text(record: &RunRecord, width: usize, quiet: bool) -> String {
        strip(&super::summary(record, &Options { width, quiet }))
    }

    #[test]
    fn plain() {
        insta::assert_snapshot!(text(&sample::record(), 100, false));
    }

    #[test]
    fn narrow() {
        insta::assert_snapshot!(text(&sample::record(), 60, false));
    }

    #[test]
    fn cases_as_they_end() {
        let record = sample::record();
        for width in [100, 60] {
            let lines = record.cases.iter().map(|case| {
                let reason = case.reason.as_deref();
                strip(&ended(
                    &case.id,
                    case.verdict,
                    case.duration_us,
                    reason,
                    width,
                ))
            });
            let lines: Vec<String> = lines.collect();
            assert!(lines.iter().all(|it| crate::escape::width(it) <= width));
            insta::assert_snapshot!(format!("ended_{width}"), lines.join("\n"));
        }
    }

    #[test]
    fn quiet() {
        insta::assert_snapshot!(text(&sample::record(), 100, true));
    }

    #[test]
    fn interrupted() {
        insta::assert_snapshot!(text(&sample::interrupted(), 80, false));
    }

    #[test]
    fn styled() {
        let mut record = sample::record();
        record.cases.retain(|case| case.id == "PG-02");
        record.findings.retain(|finding| finding.case == "PG-02");
        record.requirements.retain(|r| r.id == "DM-DRV-02");
        record.readings.clear();
        let shown = super::summary(
            &record,
            &Options {
                width: 80,
                quiet: false,
            },
        );
        insta::assert_snapshot!(shown.replace('\x1b', "␛"));
    }

    #[test]
    fn never_wider_than_the_terminal() {
        for width in [40, 47, 60, 79, 80, 81, 100, 132, 200] {
            for quiet in [false, true] {
                for line in text(&sample::record(), width, quiet).lines() {
                    assert!(crate::escape::width(line) <= width, "{width}: {line}");
                }
            }
        }
    }

    #[test]
    fn an_empty_record_has_totals() {
        let mut record = sample::record();
        record.cases.clear();
        record.findings.clear();
        record.requirements.clear();
        record.readings.clear();
        let shown = text(&record, 80, false);
        assert!(shown.contains("cases  0:"), "{shown}");
    }

    #[test]
    fn evidence_that_lies_is_survived() {
        for range in [(0, u32::MAX), (u32::MAX, u32::MAX), (30, 3), (0, 0)] {
            let mut record = sample::record();
            for (n, check) in record
                .cases
                .iter_mut()
                .flat_map(|case| &mut case.checks)
                .enumerate()
            {
                check.evidence = Some(crate::record::Evidence {
                    event: if n % 3 == 0 { 99 } else { 2 },
                    range: Some(range),
                    against: Some(if n % 2 == 0 { 98 } else { 3 }),
                });
            }
            assert!(!text(&record, 80, false).is_empty());
            assert!(crate::junit::render(&record).is_ok());
            assert!(crate::html::render(&record).is_ok());
        }
    }

    /// Puts the poison into every string of a record that can take it.
    fn poison(value: &mut serde_json::Value, poison: &str) {
        use serde_json::Value;
        // Words of the format and instants would no longer be read.
        let fixed = [
            "verdict",
            "state",
            "level",
            "basis",
            "observation",
            "base64",
            "protocol",
            "direction",
            "change",
            "mode",
        ];
        let words = ["absent", "done", "no-adapter", "unknown", "waiting"];
        let kinds = [
            "nonconformity",
            "profile-mismatch",
            "deviation",
            "observation",
            "not-demonstrated",
        ];
        match value {
            Value::String(text) => {
                let word = words.contains(&&**text) || kinds.contains(&&**text);
                if !word && crate::record::UtcTime::parse(text).is_err() {
                    text.push_str(poison);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self::poison(item, poison)),
            Value::Object(members) => members
                .iter_mut()
                .filter(|(key, _)| !fixed.contains(&&***key))
                .for_each(|(_, member)| self::poison(member, poison)),
            _ => {}
        }
    }

    #[test]
    fn nothing_received_reaches_the_terminal_as_a_control() {
        let hostile =
            "\u{1b}[2J\u{1b}]0;owned\u{7}\u{9b}31m\u{202e}\r\u{8}\u{0}\u{1b}P\u{feff}\u{1b}";
        let mut value = serde_json::to_value(sample::record()).unwrap();
        poison(&mut value, hostile);
        let record: RunRecord = serde_json::from_value(value).unwrap();
        assert!(record.cases[0].title.contains(hostile));
        let octets = record
            .cases
            .iter()
            .flat_map(|c| &c.trace.events)
            .filter_map(event::octets);
        assert!(octets.clone().count() > 0);
        assert!(octets.into_iter().any(|o| o.ends_with(hostile.as_bytes())));
        for (width, quiet) in [(100, false), (47, false), (100, true)] {
            let shown = text(&record, width, quiet);
            let bad = shown.chars().find(|c| {
                c.is_control() && *c != '\n' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{feff}')
            });
            assert_eq!(bad, None, "{shown:?}");
        }
    }
}
