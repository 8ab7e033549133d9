//! A ladder as SVG, for the page: its colours are those of the page, its arrows are links.
//!
//! Text is text, so that it can be found, read aloud and printed. A verdict is told by a sign and by the words
//! of the link as well as by colour.

use std::fmt::Write;

use super::{Dates, Ladder, Line, Party, Row, Shape};
use crate::escape;
use crate::html::text;
use crate::record::Verdict;

/// Where the lanes begin: protocol time and store time stand left of them.
const GUTTER: usize = 168;
/// Between two lanes.
const LANE: usize = 176;
/// From the gutter to the first lane, and from the last lane to the edge.
const MARGIN: usize = 64;
const HEAD: usize = 40;
const ROW: usize = 34;
const STEP: usize = 30;
/// Room for a label between two lanes, in characters.
const LETTERS: usize = 26;

/// What an event's arrow leads to; nothing for an arrow that is no link.
pub type Target<'t> = dyn Fn(u32) -> Option<String> + 't;

/// Draws it. Of a very long ladder, only rows around those that are wrong are kept, if a limit is given.
pub fn draw(
    ladder: &Ladder<'_>,
    name: &str,
    target: &Target<'_>,
    limit: Option<usize>,
) -> Vec<String> {
    let rows = shown(ladder, limit);
    let drawn: usize = rows.iter().map(|row| row.map_or(STEP, height)).sum();
    let bottom = HEAD + 16 + drawn;
    let width = GUTTER + 2 * MARGIN + LANE * ladder.lanes.len().saturating_sub(1);
    let mut pieces = vec![format!(
        "<svg class=\"ladder\" viewBox=\"0 0 {width} {bottom}\" width=\"{width}\" height=\"{bottom}\" role=\"group\" aria-label=\"{}\">",
        text(&escape::line(&format!("Message ladder of {name}")))
    )];
    let mut head = String::new();
    for (index, lane) in ladder.lanes.iter().enumerate() {
        let x = x(index);
        let class = match lane.party {
            Party::Agent => "agent",
            Party::Server => "sut",
            Party::Store => "store",
            Party::Clock => "clock",
        };
        let _ = write!(
            head,
            "<g class=\"lane {class}\"><path d=\"M{x} {HEAD}V{bottom}\"/><rect x=\"{}\" y=\"6\" width=\"112\" height=\"26\" rx=\"4\"/><text x=\"{x}\" y=\"24\">{}</text></g>",
            x - 56,
            text(&cut(&lane.name, 15))
        );
    }
    head.push_str("<text class=\"head\" x=\"62\" y=\"24\">seconds</text><text class=\"head\" x=\"160\" y=\"24\">store clock</text>");
    pieces.push(head);
    let mut y = HEAD;
    let mut dates = Dates::default();
    for row in rows {
        let Some(row) = row else {
            y += STEP;
            pieces.push(format!(
                "<text class=\"gap\" x=\"{GUTTER}\" y=\"{}\">⋮ rows left out here</text>",
                y - 8
            ));
            continue;
        };
        y += height(row);
        pieces.push(draw_row(row, ladder, y - 8, width, &mut dates, target));
    }
    pieces.push("</svg>".to_owned());
    pieces
}

fn x(lane: usize) -> usize {
    GUTTER + MARGIN + lane * LANE
}

fn height(row: &Row<'_>) -> usize {
    if row.shape == Shape::Step { STEP } else { ROW }
}

/// The rows to draw; nothing stands for those that are left out.
fn shown<'l, 'r>(ladder: &'l Ladder<'r>, limit: Option<usize>) -> Vec<Option<&'l Row<'r>>> {
    let all = ladder.rows.len();
    let Some(limit) = limit.filter(|limit| all > *limit) else {
        return ladder.rows.iter().map(Some).collect();
    };
    let wrong = ladder.rows.iter().position(Row::is_wrong).unwrap_or(0);
    let first = (wrong + limit / 4).min(all).saturating_sub(limit);
    let kept = first..(first + limit).min(all);
    let mut rows = Vec::new();
    if kept.start > 0 {
        rows.push(None);
    }
    rows.extend(ladder.rows[kept.clone()].iter().map(Some));
    if kept.end < all {
        rows.push(None);
    }
    rows
}

fn draw_row(
    row: &Row<'_>,
    ladder: &Ladder<'_>,
    y: usize,
    width: usize,
    dates: &mut Dates,
    target: &Target<'_>,
) -> String {
    if row.shape == Shape::Step {
        return format!(
            "<g class=\"step\"><path d=\"M{GUTTER} {}H{width}\"/><text x=\"{}\" y=\"{}\">{}</text></g>",
            y - 13,
            GUTTER + 6,
            y + 2,
            text(&row.label)
        );
    }
    let verdict = row.verdict();
    let class = match verdict {
        Some(Verdict::Fail) => " wrong fail",
        Some(Verdict::Error) => " wrong error",
        Some(Verdict::Inconclusive) => " inconclusive",
        Some(Verdict::Pass) => " held",
        _ => "",
    };
    let sign = match verdict {
        Some(Verdict::Fail) => "✗ ",
        Some(Verdict::Error) => "! ",
        Some(Verdict::Inconclusive) => "? ",
        Some(Verdict::Pass) => "✓ ",
        _ => "",
    };
    let mut out = String::new();
    let link = target(row.event);
    let told = told(row, ladder);
    match &link {
        Some(link) => {
            let _ = write!(
                out,
                "<a href=\"{}\" class=\"row{class}\" aria-label=\"{}\">",
                text(link),
                text(&told)
            );
            let _ = write!(
                out,
                "<rect class=\"hit\" x=\"0\" y=\"{}\" width=\"{width}\" height=\"{ROW}\"/>",
                y + 8 - ROW
            );
        }
        None => {
            let _ = write!(
                out,
                "<g class=\"row{class}\"><title>{}</title>",
                text(&told)
            );
        }
    }
    let _ = write!(
        out,
        "<text class=\"at\" x=\"62\" y=\"{}\">{}</text>",
        y + 4,
        seconds(row.at_us)
    );
    if let Some(store) = row.store {
        let (date, time) = dates.next(store.at);
        if let Some(time) = time {
            let _ = write!(
                out,
                "<text class=\"at\" x=\"160\" y=\"{}\">{time}</text>",
                y + 4
            );
        }
        if let Some(date) = date {
            let _ = write!(
                out,
                "<text class=\"at date\" x=\"160\" y=\"{}\">{date}</text>",
                y - 9
            );
        }
    }
    picture(row, ladder, y, sign, &mut out);
    out.push_str(if link.is_some() { "</a>" } else { "</g>" });
    out
}

/// The arrow or the mark of a row, with its words.
fn picture(row: &Row<'_>, ladder: &Ladder<'_>, y: usize, sign: &str, out: &mut String) {
    let odd = if row.unexpected { ", unexpected" } else { "" };
    match row.shape {
        Shape::Arrow {
            from,
            to,
            line,
            again,
        } => {
            let (a, b) = (x(from), x(to));
            let kind = match line {
                Line::Sip => "sip",
                Line::Msrp => "msrp",
                Line::Connection => "connection",
            };
            let dashed = if again { " again" } else { "" };
            let tip = if a <= b {
                format!("M{} {}l8 4-8 4z", b - 8, y - 4)
            } else {
                format!("M{} {}l-8 4 8 4z", b + 8, y - 4)
            };
            let letters = LETTERS * from.abs_diff(to).max(1);
            let label = cut(&format!("{sign}{}{odd}", row.label), letters);
            let _ = write!(
                out,
                "<path class=\"{kind}{dashed}\" d=\"M{a} {y}H{b}\"/><path class=\"tip {kind}\" d=\"{tip}\"/><text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
                usize::midpoint(a, b),
                y - 6,
                text(&label)
            );
        }
        Shape::Mark { lane } => {
            let at = x(lane);
            // At the right edge the words stand left of the lane.
            let last = lane + 1 == ladder.lanes.len() && lane > 0;
            let room = if last {
                lane
            } else {
                ladder.lanes.len() - lane
            };
            let label = cut(&format!("{sign}{}{odd}", row.label), LETTERS * room.max(1));
            let (anchor, place) = if last {
                ("end", at - 10)
            } else {
                ("start", at + 10)
            };
            let _ = write!(
                out,
                "<circle cx=\"{at}\" cy=\"{y}\" r=\"4.5\"/><text class=\"mark {anchor}\" x=\"{place}\" y=\"{}\">{}</text>",
                y + 4,
                text(&label)
            );
        }
        Shape::Step => {}
    }
}

/// A row for who cannot see it: `0.012 s: MESSAGE from alice to server; fail: header Subject`.
fn told(row: &Row<'_>, ladder: &Ladder<'_>) -> String {
    let name = |lane: usize| ladder.lanes.get(lane).map_or("", |lane| &lane.name);
    let mut out = format!("{} s: {}", seconds(row.at_us), row.label);
    match row.shape {
        Shape::Arrow { from, to, .. } => {
            let _ = write!(out, ", from {} to {}", name(from), name(to));
        }
        Shape::Mark { lane } => {
            let _ = write!(out, " ({})", name(lane));
        }
        Shape::Step => {}
    }
    let mut wrong = row.wrong().peekable();
    if wrong.peek().is_some() {
        for check in wrong {
            let _ = write!(out, "; {}: {}", check.verdict, escape::line(&check.subject));
        }
    } else if !row.checks.is_empty() {
        let _ = write!(out, "; {} checked", row.checks.len());
    }
    out
}

fn seconds(us: u64) -> String {
    format!("{}.{:03}", us / 1_000_000, us % 1_000_000 / 1_000)
}

fn cut(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    let mut kept: String = text.chars().take(letters.saturating_sub(1)).collect();
    kept.push('…');
    kept
}
