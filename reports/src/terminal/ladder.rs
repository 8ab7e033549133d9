//! The ladder of a case in a terminal: lanes as columns, messages as arrows; the store and the clock stand
//! between them, on lines of their own.

use anstyle::Style;

use super::page::{Page, Span, plain, span};
use super::theme;
use crate::clause;
use crate::escape;
use crate::ladder::{Dates, Ladder, Line, Party, Row, Shape};
use crate::record::{CaseRecord, RunRecord, Verdict};

/// Columns of the time at the left: `  12.345 `.
const TIME: usize = 9;

/// The ladder of one case, for a terminal of so many columns.
pub fn ladder(record: &RunRecord, case: &CaseRecord, width: usize) -> String {
    let mut page = Page::new(width);
    let sign = verdict(case.verdict);
    page.hanging(
        0,
        2,
        &[
            span(sign.0.bold(), sign.1),
            plain(" "),
            span(theme::BOLD, &case.id),
            plain(format!("  {}", case.title)),
        ],
    );
    if let Some(reason) = &case.reason {
        let why = format!("{}: ", case.verdict);
        page.prose(2, &[span(sign.0, why), plain(reason)]);
    }
    let ladder = Ladder::of(case);
    if ladder.rows.is_empty() {
        page.blank();
        page.line(0, &[plain("Nothing happened in this case.")]);
        return page.finish();
    }
    page.blank();
    let columns = Columns::of(&ladder, page.width());
    page.line(0, &columns.names(&ladder));
    let mut dates = Dates::default();
    for row in &ladder.rows {
        page.line(0, &columns.row(row, &ladder, &mut dates));
        for check in row.wrong() {
            let sign = verdict(check.verdict);
            let indent = TIME + 2;
            let subject = format!("{} {}", sign.1, check.subject);
            page.hanging(
                TIME,
                indent,
                &[
                    span(sign.0, subject),
                    plain(format!(": expected {}, observed ", check.expected)),
                    span(sign.0, &check.observed),
                    span(theme::DIM, format!(" ({})", check.source)),
                ],
            );
            for id in &check.requirements {
                let Some(it) = record.requirements.iter().find(|it| it.id == *id) else {
                    continue;
                };
                let place = format!(" {} {}", it.level, clause::cite(&it.clause));
                page.hanging(
                    indent,
                    indent + 2,
                    &[
                        span(theme::BOLD, &it.id),
                        span(theme::DIM, place),
                        plain(format!(" {}", it.in_words())),
                    ],
                );
            }
        }
    }
    page.finish()
}

fn verdict(verdict: Verdict) -> (Style, &'static str) {
    match verdict {
        Verdict::Pass => (theme::GOOD, "✓"),
        Verdict::Fail => (theme::BAD, "✗"),
        Verdict::Error => (theme::BAD, "!"),
        Verdict::Inconclusive => (theme::DOUBTFUL, "?"),
        Verdict::None | Verdict::NotApplicable => (theme::DIM, "·"),
    }
}

/// Where the lanes of those who speak stand.
struct Columns {
    /// By lane; nothing for store and clock.
    at: Vec<Option<usize>>,
    width: usize,
}

impl Columns {
    fn of(ladder: &Ladder<'_>, width: usize) -> Self {
        let speaks = |party: Party| matches!(party, Party::Agent | Party::Server);
        let lanes = ladder.lanes.iter().filter(|it| speaks(it.party)).count();
        let half = 6;
        let first = TIME + half;
        let room = width.saturating_sub(first + half);
        let gap = match lanes {
            0 | 1 => 0,
            lanes => (room / (lanes - 1)).clamp(6, 34),
        };
        let mut next = first;
        let at = ladder
            .lanes
            .iter()
            .map(|lane| {
                speaks(lane.party).then(|| {
                    next += gap;
                    next - gap
                })
            })
            .collect();
        Self { at, width }
    }

    fn names(&self, ladder: &Ladder<'_>) -> Vec<Span> {
        let mut line = String::new();
        let mut column = 0;
        let last = self.at.iter().flatten().max().copied().unwrap_or(0);
        let gap = self.gap();
        for (lane, at) in ladder.lanes.iter().zip(&self.at) {
            let Some(at) = at else { continue };
            let room = if *at == last {
                12
            } else {
                gap.saturating_sub(1)
            };
            let name = cut(&lane.name, room.max(3));
            let start = at.saturating_sub(escape::width(&name) / 2).max(column);
            line.push_str(&" ".repeat(start - column));
            line.push_str(&name);
            column = start + escape::width(&name) + 1;
            line.push(' ');
        }
        vec![span(theme::BOLD, line.trim_end())]
    }

    fn gap(&self) -> usize {
        let mut places = self.at.iter().flatten();
        match (places.next(), places.next()) {
            (Some(a), Some(b)) => b - a,
            _ => 12,
        }
    }

    fn row(&self, row: &Row<'_>, ladder: &Ladder<'_>, dates: &mut Dates) -> Vec<Span> {
        let time = format!(
            "{:>TIME$} ",
            format!(
                "{}.{:03}",
                row.at_us / 1_000_000,
                row.at_us % 1_000_000 / 1_000
            )
        );
        let time = time[..TIME].to_owned();
        let (tone, sign) = match row.verdict() {
            Some(it @ (Verdict::Fail | Verdict::Error | Verdict::Inconclusive)) => {
                let (tone, sign) = verdict(it);
                (tone, format!("{sign} "))
            }
            Some(Verdict::Pass) => (Style::new(), "✓ ".to_owned()),
            _ => (Style::new(), String::new()),
        };
        let odd = if row.unexpected { ", unexpected" } else { "" };
        let label = format!("{sign}{}{odd}", row.label);
        match row.shape {
            Shape::Step => {
                let rest = self.width.saturating_sub(TIME + 4 + escape::width(&label));
                let rule = "─".repeat(rest.min(60));
                vec![
                    plain(" ".repeat(TIME)),
                    span(theme::DIM, format!("── {label} {rule}")),
                ]
            }
            Shape::Mark { lane } => match self.at[lane] {
                // The server's own: a line of words, as nobody else hears of it.
                Some(_) => vec![span(theme::DIM, time), plain(" • "), span(tone, label)],
                None => {
                    let name = &ladder.lanes[lane].name;
                    let mut spans = vec![
                        span(theme::DIM, time),
                        span(theme::DIM, format!(" • {name} ")),
                        span(tone, label),
                    ];
                    if let (Party::Store, Some(store)) = (ladder.lanes[lane].party, row.store) {
                        let (date, time) = dates.next(store.at);
                        if let Some(time) = time {
                            let date = date.map_or_else(String::new, |date| format!("{date} "));
                            spans.push(span(theme::DIM, format!(", store clock {date}{time}")));
                        }
                    }
                    spans
                }
            },
            Shape::Arrow {
                from,
                to,
                line,
                again,
            } => {
                let (Some(from), Some(to)) = (self.at[from], self.at[to]) else {
                    return vec![span(theme::DIM, time), span(tone, label)];
                };
                let (left, right) = (from.min(to), from.max(to));
                let mut spans = vec![span(theme::DIM, time)];
                let mut column = TIME;
                for at in self.at.iter().flatten() {
                    if *at < left {
                        spans.push(span(theme::DIM, lane_at(&mut column, *at)));
                    }
                }
                spans.push(span(theme::DIM, lane_at(&mut column, left)));
                let drawn = arrow(right - left - 1, from < to, line, again, &label);
                spans.push(span(tone, drawn));
                column = right;
                spans.push(span(theme::DIM, lane_at(&mut column, right)));
                for at in self.at.iter().flatten() {
                    if *at > right {
                        spans.push(span(theme::DIM, lane_at(&mut column, *at)));
                    }
                }
                spans
            }
        }
    }
}

/// The lane's line at its column, with the space before it.
fn lane_at(column: &mut usize, at: usize) -> String {
    let text = format!("{}│", " ".repeat(at.saturating_sub(*column)));
    *column = at + 1;
    text
}

/// `── MESSAGE ──▶`, so wide.
fn arrow(width: usize, right: bool, line: Line, again: bool, label: &str) -> String {
    let stroke = match line {
        _ if again => "╌",
        Line::Sip => "─",
        Line::Msrp => "═",
        Line::Connection => "┄",
    };
    let label = cut(label, width.saturating_sub(5));
    let strokes = width.saturating_sub(escape::width(&label) + 3);
    let before = strokes / 2;
    let (a, b) = (stroke.repeat(before), stroke.repeat(strokes - before));
    if right {
        format!("{a} {label} {b}▶")
    } else {
        format!("◀{a} {label} {b}")
    }
}

fn cut(text: &str, columns: usize) -> String {
    if escape::width(text) <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += escape::char_width(c);
        if used > columns {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::ladder::find;
    use crate::sample;

    fn shown(id: &str, width: usize) -> String {
        let record = sample::record();
        let text = ladder(&record, find(&record.cases, id).unwrap(), width);
        anstream_free(&text)
    }

    /// Without styles, as in a pipe.
    fn anstream_free(text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\u{1b}') {
            out.push_str(before);
            rest = after.split_once('m').map_or("", |it| it.1);
        }
        out + rest
    }

    #[test]
    fn fits_sixty_columns() {
        let text = shown("PG-05", 60);
        assert!(text.lines().all(|line| escape::width(line) <= 60));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn session_at_a_hundred() {
        insta::assert_snapshot!(shown("MS-12", 100));
    }

    #[test]
    fn every_case_at_every_width() {
        let record = sample::record();
        for case in &record.cases {
            for width in [0, 1, 40, 60, 61, 80, 200] {
                let text = anstream_free(&ladder(&record, case, width));
                let widest = text.lines().map(escape::width).max().unwrap_or(0);
                assert!(widest <= width.max(40), "{} at {width}: {widest}", case.id);
            }
        }
    }
}
