//! What `imspec judge` prints: what is other today than on the day of the run, and which verdicts that changed.

use anstyle::Style;

use super::page::{Page, plain, span};
use super::{Options, head, label, left, listed, theme, totals};
use crate::change::{
    CaseChange, Changes, CheckChange, RequirementChange, Standing, SuiteChanges, Turn,
};
use crate::failure;
use crate::record::{Level, RunRecord, Verdict};
use crate::summary::{Summary, count};

/// A record that was judged again: `now` is the new one.
pub fn judged_again(
    now: &RunRecord,
    changes: &Changes,
    suite: &SuiteChanges,
    options: &Options,
) -> String {
    let mut page = Page::new(options.width);
    if !options.quiet {
        head(&mut page, now);
        other_rules(&mut page, changes, suite);
        requirements(&mut page, changes);
        cases(&mut page, changes, suite);
        findings(&mut page, changes);
        page.heading(theme::BOLD, "Summary", theme::DIM);
    }
    what_changed(&mut page, now, changes, suite);
    totals(&mut page, now, &Summary::of(now), &failure::failures(now));
    page.finish()
}

/// Colour and sign of a turn.
pub(super) fn turned(turn: Turn) -> (Style, &'static str) {
    match turn {
        Turn::Worse => (theme::BAD, "✗"),
        Turn::Unclear => (theme::DOUBTFUL, "?"),
        Turn::Unsteady => (theme::DOUBTFUL, "~"),
        Turn::Better => (theme::GOOD, "✓"),
        Turn::New => (theme::MINOR, "+"),
        Turn::Gone => (theme::DIM, "−"),
    }
}

/// `pass → fail`; what was not there is a dash.
pub(super) fn from_to(then: Option<Verdict>, now: Option<Verdict>) -> String {
    let word = |it: Option<Verdict>| it.map_or("–", Verdict::as_str);
    format!("{} → {}", word(then), word(now))
}

/// What the suite and the requirements have otherwise.
fn other_rules(page: &mut Page, changes: &Changes, suite: &SuiteChanges) {
    let reworded = |it: &&RequirementChange| it.level.is_some() || it.wording.is_some();
    let mut requirements = changes.requirements.iter().filter(reworded).peekable();
    if suite.is_empty() && requirements.peek().is_none() {
        return;
    }
    page.heading(
        theme::BOLD,
        "What is other than on the day of the run",
        theme::DIM,
    );
    let mut scenarios = |name: &str, ids: Vec<&str>, what: &str| {
        if !ids.is_empty() {
            let number = count(ids.len(), "scenario", "scenarios");
            let text = format!("{number} {what}: {}", listed(ids.into_iter()));
            page.row(&label(name), &[plain(text)]);
        }
    };
    scenarios(
        "changed",
        suite.changed.iter().map(String::as_str).collect(),
        "with another text",
    );
    scenarios(
        "unknown",
        suite.untold.iter().map(String::as_str).collect(),
        "of which the record does not tell the text",
    );
    for (name, what, ids) in [
        ("gone", "the suite does not have any more", &suite.gone),
        ("missing", "the run did not have", &suite.missing),
    ] {
        if !ids.is_empty() {
            let number = count(ids.len(), "case", "cases");
            let ids = listed(ids.iter().map(String::as_str));
            page.row(&label(name), &[plain(format!("{number} {what}: {ids}"))]);
        }
    }
    for change in requirements {
        let requirement = &change.requirement;
        let mut line = vec![span(theme::BOLD, &requirement.id)];
        if let Some((then, now)) = change.level {
            line.push(plain(format!(" {then} → {now}")));
        }
        page.row(&label("requirement"), &line);
        if let Some(wording) = &change.wording {
            page.paragraph(&label("then"), theme::DIM, wording);
            page.paragraph(&label("now"), Style::new(), &requirement.in_words());
        }
    }
}

fn requirements(page: &mut Page, changes: &Changes) {
    let turned_ones = |it: &&RequirementChange| it.then != it.now;
    let turned_ones: Vec<_> = changes.requirements.iter().filter(turned_ones).collect();
    if turned_ones.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Requirements", theme::DIM);
    let widest = turned_ones.iter().map(|it| it.requirement.id.len()).max();
    for change in turned_ones {
        requirement(page, change, widest.unwrap_or_default());
    }
}

pub(super) fn requirement(page: &mut Page, change: &RequirementChange, id: usize) {
    let requirement = &change.requirement;
    let (style, sign) = Turn::of(change.then, change.now).map_or((theme::DIM, "·"), turned);
    page.line(
        2,
        &[
            span(style, format!("{sign} ")),
            plain(left(&requirement.id, id + 2)),
            plain(left(
                requirement.level.as_str(),
                Level::Should.as_str().len() + 2,
            )),
            span(style, left(&from_to(change.then, change.now), 24)),
            span(theme::DIM, &requirement.statement),
        ],
    );
}

/// Cases whose verdict turned, the worst first, then those in which only checks changed.
fn cases(page: &mut Page, changes: &Changes, suite: &SuiteChanges) {
    let turn = |it: &CaseChange| Turn::of(it.then, it.now);
    for wanted in Turn::ALL.into_iter().map(Some).chain([None]) {
        let own = changes.cases.iter().filter(|it| turn(it) == wanted);
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            continue;
        }
        let number = count(own.len(), "case", "cases");
        let (style, title) = match wanted {
            Some(turn) => (turned(turn).0, format!("{number} {}", turn.words())),
            None => (
                theme::BOLD,
                format!("{number} with the verdict of then, by other checks"),
            ),
        };
        page.heading(style, &title, theme::DIM);
        if matches!(wanted, Some(Turn::New | Turn::Gone)) {
            let ids: Vec<&str> = own.iter().map(|it| it.id.as_str()).collect();
            page.prose(2, &[plain(ids.join(", "))]);
            continue;
        }
        for change in own {
            let why = suite.unlike.get(&change.id).map(String::as_str);
            case(page, change, wanted, why);
        }
    }
}

/// Checks of a case that are shown; the others are counted.
const CHECKS: usize = 4;

/// One case that turned so, with its checks, or why it could not be judged.
pub(super) fn case(page: &mut Page, change: &CaseChange, turn: Option<Turn>, why: Option<&str>) {
    let (style, sign) = turn.map_or((theme::DIM, "·"), turned);
    let line = [
        span(style, format!("{sign} ")),
        span(theme::BOLD, &change.id),
        plain(" "),
        span(style, from_to(change.then, change.now)),
        span(theme::DIM, format!("  {}", change.title)),
    ];
    page.line(2, &line);
    if let Some(why) = why {
        page.prose(4, &[plain(why)]);
        return;
    }
    for check in change.checks.iter().take(CHECKS) {
        self::check(page, check);
    }
    if let Some(more @ 1..) = change.checks.len().checked_sub(CHECKS) {
        let more = count(more, "more check", "more checks");
        page.prose(4, &[span(theme::DIM, format!("and {more}"))]);
    }
    if change.checks.is_empty()
        && let Some(reason) = &change.reason
    {
        page.prose(4, &[plain(reason)]);
    }
}

fn check(page: &mut Page, check: &CheckChange) {
    let (style, sign) = Turn::of(check.then, check.now).map_or((theme::DIM, "·"), turned);
    let mut line = vec![span(style, format!("{sign} ")), plain(&check.subject)];
    if check.then != check.now {
        line.push(span(style, format!(" {}", from_to(check.then, check.now))));
    }
    if !matches!(check.now, Some(Verdict::Pass) | None) {
        let text = format!(": expected {}, observed {}", check.expected, check.observed);
        line.push(plain(text));
    }
    if let Some((then, now)) = &check.speaks_for {
        let word = |ids: &[String]| match ids {
            [] => "nothing".to_owned(),
            ids => ids.join(", "),
        };
        line.push(plain(format!(
            "; it spoke for {}, and speaks for {}",
            word(then),
            word(now)
        )));
    }
    line.push(span(theme::DIM, format!(" ({})", check.source)));
    page.hanging(4, 6, &line);
}

fn findings(page: &mut Page, changes: &Changes) {
    if changes.findings.is_empty() {
        return;
    }
    page.heading(theme::BOLD, "Findings", theme::DIM);
    for change in &changes.findings {
        finding(page, change);
    }
}

pub(super) fn finding(page: &mut Page, change: &crate::change::FindingChange) {
    let weighs = |it: Option<Standing>| it.is_some_and(|it| it.breaks(false));
    let (style, sign) = match (weighs(change.then), weighs(change.now)) {
        (false, true) => turned(Turn::Worse),
        (true, false) => turned(Turn::Better),
        _ => (theme::DIM, "·"),
    };
    let word = |it: Option<Standing>| it.map_or_else(|| "–".to_owned(), Standing::words);
    let mut line = vec![
        span(style, format!("{sign} ")),
        span(theme::BOLD, &change.about),
        plain(" "),
        span(
            style,
            format!("{} → {}", word(change.then), word(change.now)),
        ),
    ];
    if !change.cases.is_empty() {
        let number = count(change.cases.len(), "case", "cases");
        let ids = listed(change.cases.iter().map(String::as_str));
        line.push(span(theme::DIM, format!("  {number}: {ids}")));
    }
    page.hanging(2, 4, &line);
}

fn what_changed(page: &mut Page, now: &RunRecord, changes: &Changes, suite: &SuiteChanges) {
    let cases = changes.cases.iter().filter(|it| it.then != it.now).count();
    let requirements = changes.requirements.iter();
    let requirements = requirements.filter(|it| it.then != it.now).count();
    let text = if changes.is_empty() {
        "nothing: every case, check and requirement is judged as it was".to_owned()
    } else {
        format!(
            "{cases} of {}, {requirements} of {}, {}",
            count(now.cases.len(), "case", "cases"),
            count(now.requirements.len(), "requirement", "requirements"),
            count(
                changes.findings.len(),
                "kind of finding",
                "kinds of findings"
            )
        )
    };
    page.row(&label("changed"), &[plain(text)]);
    if !suite.unlike.is_empty() {
        let number = count(suite.unlike.len(), "case", "cases");
        let text = format!("{number} would have to be run again");
        page.row(&span(theme::DOUBTFUL, "stale"), &[plain(text)]);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::tests::strip;
    use super::*;
    use crate::record::{FindingKind, JudgedAgain, UtcTime};
    use crate::sample;

    /// The sample, judged again after a level, a text and a waiver changed.
    fn changed() -> (RunRecord, Changes, SuiteChanges) {
        let then = sample::record();
        let mut now = then.clone();
        now.judged_again = Some(JudgedAgain {
            tool: "0.2.0".into(),
            at: UtcTime {
                unix_us: 1_800_000_000_000_000,
            },
        });
        let id = then.findings[0].requirement.clone();
        for requirement in now.requirements.iter_mut().filter(|it| it.id == id) {
            requirement.level = Level::Should;
            requirement.statement.push_str(" As far as it can.");
        }
        for finding in now.findings.iter_mut().filter(|it| it.requirement == id) {
            finding.kind = FindingKind::Deviation;
        }
        let failed = now.cases.iter().position(|it| it.verdict == Verdict::Fail);
        let (better, worse) = (failed.unwrap(), failed.unwrap() + 1);
        now.cases[better].verdict = Verdict::Pass;
        now.cases[better].reason = None;
        for check in &mut now.cases[better].checks {
            check.verdict = Verdict::Pass;
        }
        let gone = now.cases.pop().unwrap();
        now.cases[worse].verdict = Verdict::Inconclusive;
        now.requirements[1].verdict = Verdict::Inconclusive;
        let (id, scenario) = (now.cases[worse].id.clone(), &now.cases[worse].scenario);
        let suite = SuiteChanges {
            changed: [scenario.clone()].into(),
            gone: vec![gone.id],
            unlike: [(id, "its steps were changed: steps[1] was `receive` in the run, and is `check` today. Run it again".into())].into(),
            missing: vec!["PG-99".into()],
            ..SuiteChanges::default()
        };
        let changes = Changes::between(&then, &now);
        (now, changes, suite)
    }

    fn shown(width: usize, quiet: bool) -> String {
        let (now, changes, suite) = changed();
        strip(&judged_again(
            &now,
            &changes,
            &suite,
            &Options { width, quiet },
        ))
    }

    #[test]
    fn a_record_that_was_judged_again() {
        insta::assert_snapshot!(shown(100, false));
    }

    #[test]
    fn in_sixty_columns() {
        let shown = shown(60, false);
        let longest = shown.lines().map(crate::escape::width).max();
        assert!(longest.unwrap() <= 60);
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn quietly() {
        insta::assert_snapshot!(shown(100, true));
    }

    #[test]
    fn with_styles() {
        let (now, changes, suite) = changed();
        let styled = judged_again(&now, &changes, &suite, &Options::default());
        let own = styled.lines().filter(|line| line.contains('→'));
        insta::assert_snapshot!(own.collect::<Vec<_>>().join("\n").replace('\u{1b}', "␛"));
    }

    #[test]
    fn nothing_changed() {
        let record = sample::record();
        let changes = Changes::between(&record, &record);
        let text = judged_again(
            &record,
            &changes,
            &SuiteChanges::default(),
            &Options::default(),
        );
        insta::assert_snapshot!(strip(&text));
    }
}
