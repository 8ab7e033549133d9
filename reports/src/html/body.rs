//! The inside of a case: why, the ladder, every message with what was checked in it, the checks.
//!
//! It is made of pieces of markup rather than by a template: a run has thousands of bodies of hundreds of
//! pieces, most of which are the same, and [`super::pack`] stores each of those once.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use super::text;
use super::view::{Links, paragraph, seconds};
use crate::clause;
use crate::document::sign;
use crate::escape;
use crate::event;
use crate::excerpt::{Cell, Extent, Line, crop, excerpt};
use crate::ladder::{self, Ladder, svg};
use crate::record::{CaseRecord, Check, Event, EventKind, Verdict};
use crate::summary::{self, count};

/// A line longer than this is cut around its mark: nobody reads more, and run.json has all of it.
const LONGEST: usize = 1_000;
/// Rows of a ladder that stands on the page for readers without script.
const ROWS: usize = 48;
/// Messages that stand on the page for them.
const MESSAGES: usize = 3;

/// Everything about a case, as pieces of markup in their order.
pub(super) fn whole(case: &CaseRecord, links: &Links<'_>) -> Vec<String> {
    let mut out = Vec::new();
    facts(case, links, &mut out);
    let ladder = Ladder::of(case);
    let index = links.index_of(case);
    if !ladder.rows.is_empty() {
        out.push("<h4>Ladder</h4><div class=\"trace\"><div class=\"picture\">".to_owned());
        let target = |event: u32| Some(format!("#{}", event_anchor(index, event)));
        out.extend(svg::draw(&ladder, &case.id, &target, None));
        out.push("</div><div class=\"seen-events\"><ol class=\"events\">".to_owned());
        let notes = Notes::of(case, &ladder);
        for event in case.trace.events.iter().filter(|event| notes.lists(event)) {
            self::event(event, &notes, links, index, &mut out);
        }
        out.push("</ol></div></div>".to_owned());
    }
    checks(case, links, index, true, &mut out);
    out
}

/// What a reader without script must see of a case that did not pass.
pub(super) fn essence(case: &CaseRecord, links: &Links<'_>) -> String {
    let mut out = Vec::new();
    facts(case, links, &mut out);
    let wrong = matches!(case.verdict, Verdict::Fail | Verdict::Error);
    if wrong && !case.trace.events.is_empty() {
        let ladder = Ladder::of(case);
        let index = links.index_of(case);
        let notes = Notes::of(case, &ladder);
        let mut events: Vec<&Event> = Vec::new();
        for check in &case.checks {
            if !matches!(check.verdict, Verdict::Fail | Verdict::Error) {
                continue;
            }
            if let Some(evidence) = &check.evidence
                && let Some(event) = event::by_id(&case.trace, evidence.event)
                && notes.lists(event)
                && !events.iter().any(|known| known.id == event.id)
                && events.len() < MESSAGES
            {
                events.push(event);
            }
        }
        let target = |id: u32| {
            let there = events.iter().any(|event| event.id == id);
            there.then(|| format!("#{}", event_anchor(index, id)))
        };
        out.push("<h4>Ladder</h4><div class=\"picture\">".to_owned());
        out.extend(svg::draw(&ladder, &case.id, &target, Some(ROWS)));
        out.push("</div>".to_owned());
        if !events.is_empty() {
            out.push("<ol class=\"events\">".to_owned());
            for event in events {
                self::event(event, &notes, links, index, &mut out);
            }
            out.push("</ol>".to_owned());
        }
    }
    checks(case, links, links.index_of(case), false, &mut out);
    out.concat()
}

/// Where an event stands on the page.
pub(super) fn event_anchor(case: usize, event: u32) -> String {
    format!("c{case}e{event}")
}

// ---- what is known of the case --------------------------------------------------------------------------

fn facts(case: &CaseRecord, links: &Links<'_>, out: &mut Vec<String>) {
    out.push(format!(
        "<p class=\"purpose\">{}</p>",
        text(&paragraph(&case.purpose))
    ));
    if let Some(earlier) = case.unsteady() {
        let told = format!(
            "{} at first, then {}. {}",
            earlier.verdict, case.verdict, earlier.reason
        );
        out.push(format!(
            "<p class=\"reason\"><strong>Run again:</strong> {}</p>",
            text(&paragraph(&told))
        ));
    }
    if let Some(reason) = &case.reason {
        out.push(format!(
            "<p class=\"reason\"><strong>Why {}:</strong> {}</p>",
            case.verdict,
            text(&paragraph(reason))
        ));
    }
    let mut facts = format!(
        "<dl class=\"facts\"><dt>Scenario</dt><dd><code>{}</code></dd>",
        text(&escape::line(&case.source.to_string()))
    );
    if !case.covers.is_empty() {
        let covers: Vec<_> = case
            .covers
            .iter()
            .map(|id| requirement(id, links))
            .collect();
        let _ = write!(facts, "<dt>Covers</dt><dd>{}</dd>", covers.join(", "));
    }
    if !case.trace.users.is_empty() {
        let users: Vec<_> = case
            .trace
            .users
            .iter()
            .map(|(role, aor)| {
                let (role, aor) = (escape::line(role), escape::line(aor));
                format!("{} <code>{}</code>", text(&role), text(&aor))
            })
            .collect();
        let _ = write!(facts, "<dt>Users</dt><dd>{}</dd>", users.join(", "));
    }
    facts.push_str("</dl>");
    out.push(facts);
}

fn requirement(id: &str, links: &Links<'_>) -> String {
    let target = links.requirement(id);
    match target.href {
        Some(href) => format!("<a href=\"{}\">{}</a>", text(&href), text(&target.text)),
        None => text(&target.text).into_owned(),
    }
}

// ---- events ---------------------------------------------------------------------------------------------

/// What is told at an event.
struct Notes<'r> {
    checks: BTreeMap<u32, Vec<&'r Check>>,
    words: BTreeMap<u32, Vec<String>>,
}

impl<'r> Notes<'r> {
    fn of(case: &'r CaseRecord, ladder: &Ladder<'r>) -> Self {
        let mut checks: BTreeMap<u32, Vec<&Check>> = BTreeMap::new();
        for row in &ladder.rows {
            checks.entry(row.event).or_default().extend(&row.checks);
        }
        let mut words: BTreeMap<u32, Vec<String>> = BTreeMap::new();
        for event in &case.trace.events {
            let step = event.step.as_deref().unwrap_or("a step");
            let (about, told) = match &event.kind {
                EventKind::Took { event } => (*event, format!("taken by {step}")),
                EventKind::Unclaimed { event } => (*event, "no step expected it".to_owned()),
                EventKind::Saved { name, event } => (*event, format!("saved as {name}")),
                _ => continue,
            };
            words.entry(about).or_default().push(escape::line(&told));
        }
        Self { checks, words }
    }

    /// Whether an event has a place of its own in the list: it is in the ladder, or has something to tell. The others
    /// are told at the event that they are about.
    fn lists(&self, event: &Event) -> bool {
        self.checks.contains_key(&event.id)
            || ladder::is_drawn(event)
            || matches!(
                event.kind,
                EventKind::Value { .. } | EventKind::Reading { .. }
            )
    }
}

fn event(event: &Event, notes: &Notes<'_>, links: &Links<'_>, case: usize, out: &mut Vec<String>) {
    let described = event::describe(event);
    out.push(format!(
        "<li id=\"{}\" class=\"",
        event_anchor(case, event.id)
    ));
    out.push(format!(
        "{}\" tabindex=\"-1\"><p class=\"what\">",
        described.kind
    ));
    out.push(text(&described.title).into_owned());
    let mut when = format!("</p><p class=\"meta\">{} s", seconds(event.at_us));
    if let Some(store) = event.store {
        let _ = write!(
            when,
            " · store clock {} ± {} ms",
            store.at.to_millis(),
            store.uncertainty_ms
        );
    }
    out.push(when);
    if let Some(step) = &event.step {
        out.push(format!(" · {}", text(&escape::line(step))));
    }
    for told in notes.words.get(&event.id).into_iter().flatten() {
        out.push(format!(" · {}", text(told)));
    }
    if let (Some(route), Some(packet)) = (ladder::route(event), event::packet(event)) {
        out.push(format!("<br>{}", text(&route)));
        let elided = packet.elided.map_or(0, |gap| gap.octets);
        let length = elided.saturating_add(packet.octets.len() as u64);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        out.push(format!(" · {}", count(length, "octet", "octets")));
    }
    out.push("</p>".to_owned());
    for detail in &described.details {
        out.push(format!("<p class=\"detail\">{}</p>", text(detail)));
    }
    let looked = notes
        .checks
        .get(&event.id)
        .map(Vec::as_slice)
        .unwrap_or_default();
    looked_at(looked, links, out);
    if let Some(source) = event::source(event) {
        let marks: Vec<_> = looked
            .iter()
            .filter(|check| matches!(check.verdict, Verdict::Fail | Verdict::Error))
            .filter_map(|check| check.evidence.as_ref())
            .filter(|evidence| evidence.event == event.id)
            .filter_map(event::marked)
            .collect();
        out.push("<pre class=\"message\" tabindex=\"0\">".to_owned());
        for line in excerpt(source, &marks, Extent::WHOLE) {
            out.push(self::line(line));
        }
        out.push("</pre>".to_owned());
    }
    out.push("</li>".to_owned());
}

/// The checks that looked at an event: those that did not hold in full, the others by name.
fn looked_at(checks: &[&Check], links: &Links<'_>, out: &mut Vec<String>) {
    let mut held: Vec<String> = Vec::new();
    for check in checks {
        if check.verdict == Verdict::Pass {
            let subject = escape::line(&check.subject);
            if !held.contains(&subject) {
                held.push(subject);
            }
            continue;
        }
        let mut told = format!(
            "<dl class=\"looked {0}\"><dt><span class=\"sign\" aria-hidden=\"true\">{1}</span>{0}</dt><dd><b>{2}</b> <span class=\"meta\">{3}, line {4}</span></dd><dt>Expected</dt><dd class=\"wanted\">{5}</dd><dt>Observed</dt><dd class=\"seen\">{6}</dd>",
            check.verdict,
            sign(check.verdict),
            text(&escape::line(&check.subject)),
            text(&escape::line(&check.step)),
            check.source.line,
            text(&paragraph(&check.expected)),
            text(&paragraph(&check.observed)),
        );
        if let Some(note) = &check.note {
            let _ = write!(told, "<dt>Note</dt><dd>{}</dd>", text(&paragraph(note)));
        }
        for id in &check.requirements {
            let _ = write!(
                told,
                "<dt>{}</dt><dd>{}</dd>",
                requirement(id, links),
                told_of(id, links)
            );
        }
        told.push_str("</dl>");
        out.push(told);
    }
    if !held.is_empty() {
        out.push(format!(
            "<p class=\"pass held-list\"><span class=\"verdict pass\"><span class=\"sign\" aria-hidden=\"true\">✓</span>held:</span> {}</p>",
            text(&held.join(", "))
        ));
    }
}

/// Level, clause and statement of a requirement.
fn told_of(id: &str, links: &Links<'_>) -> String {
    links.record(id).map_or_else(
        || "not in the catalogue of this run".to_owned(),
        |it| {
            format!(
                "<span class=\"level\">{}</span> <span class=\"meta\">{}</span> {}",
                it.level,
                text(&escape::line(&clause::cite(&it.clause))),
                text(&paragraph(&it.in_words()))
            )
        },
    )
}

/// One line of a message, with its end.
fn line(line: Line) -> String {
    let mut out = String::new();
    match line {
        Line::Text { cells, .. } => {
            for cell in crop(&cells, LONGEST) {
                span(&cell, &mut out);
            }
        }
        Line::Octets {
            offset,
            octets,
            marks,
        } => {
            let _ = write!(out, "<i>+{offset:04x}</i> ");
            let marked = |index| {
                marks
                    .iter()
                    .any(|mark: &Range<usize>| mark.contains(&index))
            };
            for (index, octet) in octets.iter().enumerate() {
                if marks.contains(&(index..index)) {
                    out.push_str("<mark></mark>");
                }
                let _ = if marked(index) {
                    write!(out, "<mark>{octet:02x}</mark> ")
                } else {
                    write!(out, "{octet:02x} ")
                };
            }
            let shown: String = octets.iter().map(|octet| printable(*octet)).collect();
            let _ = write!(
                out,
                "{} {}",
                "   ".repeat(16_usize.saturating_sub(octets.len())),
                text(&shown)
            );
        }
        Line::Gap { lines, octets } => {
            let words = match (lines, octets) {
                (0, octets) => count(octets, "octet", "octets"),
                (lines, _) => count(lines, "line", "lines"),
            };
            let _ = write!(out, "<i>⋮ {words} more in run.json</i>");
        }
        Line::Elided { octets } => {
            let _ = write!(
                out,
                "<i>⋮ {octets} octets of the body, which the record does not hold</i>"
            );
        }
    }
    out.push('\n');
    out
}

fn printable(octet: u8) -> char {
    if octet.is_ascii_graphic() || octet == b' ' {
        char::from(octet)
    } else {
        '·'
    }
}

fn span(cell: &Cell, out: &mut String) {
    let shown = text(&cell.text);
    let _ = match (cell.marked, cell.escaped) {
        (true, _) => write!(out, "<mark>{shown}</mark>"),
        (false, true) => write!(out, "<i>{shown}</i>"),
        (false, false) => write!(out, "{shown}"),
    };
}

// ---- checks ---------------------------------------------------------------------------------------------

/// The table of checks; without all, of those that did not hold, with the number of the others.
fn checks(case: &CaseRecord, links: &Links<'_>, index: usize, all: bool, out: &mut Vec<String>) {
    let held = case
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Pass)
        .count();
    if case.checks.is_empty() {
        return;
    }
    let left_out = !all && held > 0;
    if held < case.checks.len() || all {
        out.push("<h4>Checks</h4><div class=\"wide\" tabindex=\"0\"><table class=\"checks\"><thead><tr><th scope=\"col\">Verdict</th><th scope=\"col\">Looked at</th><th scope=\"col\">Expected</th><th scope=\"col\">Observed</th><th scope=\"col\">Speaks for</th></tr></thead><tbody>".to_owned());
        for check in &case.checks {
            if left_out && check.verdict == Verdict::Pass {
                continue;
            }
            check_row(check, case, links, index, all, out);
        }
        out.push("</tbody></table></div>".to_owned());
    }
    if left_out {
        out.push(format!(
            "<p class=\"meta more\">{} held. With script, this page shows them and every message.</p>",
            count(held, "more check", "more checks")
        ));
    }
}

fn check_row(
    check: &Check,
    case: &CaseRecord,
    links: &Links<'_>,
    index: usize,
    all: bool,
    out: &mut Vec<String>,
) {
    let verdict = check.verdict;
    out.push(format!(
        "<tr class=\"{verdict}\"><td><span class=\"verdict {verdict}\"><span class=\"sign\" aria-hidden=\"true\">{}</span>{verdict}</span></td><th scope=\"row\">",
        sign(verdict)
    ));
    let subject = text(&escape::line(&check.subject)).into_owned();
    let event = check
        .evidence
        .as_ref()
        .and_then(|it| event::by_id(&case.trace, it.event));
    out.push(
        match event
            .filter(|event| all && (ladder::is_drawn(event) || event::packet(event).is_some()))
        {
            Some(event) => format!(
                "<a href=\"#{}\">{subject}</a>",
                event_anchor(index, event.id)
            ),
            None => subject,
        },
    );
    out.push(format!(
        "<span class=\"meta\">{}, line {}</span></th><td class=\"words\">",
        format!("{:?}", check.observation).to_lowercase(),
        check.source.line
    ));
    out.push(format!(
        "{}</td><td class=\"words\">",
        text(&paragraph(&check.expected))
    ));
    out.push(text(&paragraph(&check.observed)).into_owned());
    if let Some(note) = &check.note {
        out.push(format!(
            "<span class=\"note\">{}</span>",
            text(&paragraph(note))
        ));
    }
    let requirements: Vec<_> = check
        .requirements
        .iter()
        .map(|id| requirement(id, links))
        .collect();
    out.push(format!(
        "</td><td class=\"ids\">{}</td></tr>",
        requirements.join(", ")
    ));
}

/// `12.3 ms`
pub(super) fn took(case: &CaseRecord) -> String {
    summary::duration(case.duration_us)
}
