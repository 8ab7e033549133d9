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
/// From the gutter to the first lane, and from the last lane to the edge.
const MARGIN: usize = 64;
const HEAD: usize = 40;
const ROW: usize = 34;
const STEP: usize = 30;

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
    let grid = Grid::of(ladder);
    let width = grid.x(ladder.lanes.len().saturating_sub(1)) + MARGIN;
    let mut pieces = vec![format!(
        "<svg class=\"ladder\" viewBox=\"0 0 {width} {bottom}\" width=\"{width}\" height=\"{bottom}\" role=\"group\" aria-label=\"{}\">",
        text(&escape::line(&format!("Message ladder of {name}")))
    )];
    let mut head = String::new();
    for (index, lane) in ladder.lanes.iter().enumerate() {
        let x = grid.x(index);
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
        draw_row(row, ladder, y - 8, width, &mut dates, target, &mut pieces);
    }
    pieces.push("</svg>".to_owned());
    pieces
}

/// Where the lanes stand: the more there are, the closer.
struct Grid {
    /// Between two lanes.
    lane: usize,
    /// Room for a label between two lanes, in characters.
    letters: usize,
}

impl Grid {
    fn of(ladder: &Ladder<'_>) -> Self {
        let (lane, letters) = match ladder.lanes.len() {
            0..=3 => (176, 24),
            4 => (140, 19),
            _ => (128, 17),
        };
        Self { lane, letters }
    }

    fn x(&self, lane: usize) -> usize {
        GUTTER + MARGIN + lane * self.lane
    }
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

/// A row in pieces: what is its own apart from what many rows have, so that the page holds that once.
fn draw_row(
    row: &Row<'_>,
    ladder: &Ladder<'_>,
    y: usize,
    width: usize,
    dates: &mut Dates,
    target: &Target<'_>,
    out: &mut Vec<String>,
) {
    if row.shape == Shape::Step {
        out.push(format!("<g transform=\"translate(0 {y})\" class=\"step\">"));
        let (x, label) = (GUTTER + 6, text(&row.label));
        out.push(format!(
            "<path d=\"M{GUTTER}-13H{width}\"/><text x=\"{x}\" y=\"2\">{label}</text></g>"
        ));
        return;
    }
    let (class, sign) = match row.verdict() {
        Some(Verdict::Fail) => (" wrong fail", "✗ "),
        Some(Verdict::Error) => (" wrong error", "! "),
        Some(Verdict::Inconclusive) => (" inconclusive", "? "),
        Some(Verdict::Pass) => (" held", "✓ "),
        _ => ("", ""),
    };
    let link = target(row.event);
    match &link {
        Some(link) => {
            let link = text(link);
            out.push(format!(
                "<a href=\"{link}\" transform=\"translate(0 {y})\" class=\""
            ));
            let told = told(row, ladder);
            out.push(format!(
                "row{class}\" aria-label=\"{}\"><rect class=\"hit\" y=\"-26\" width=\"{width}\" height=\"{ROW}\"/>",
                text(&told)
            ));
        }
        None => out.push(format!(
            "<g transform=\"translate(0 {y})\" class=\"row{class}\">"
        )),
    }
    let mut times = format!(
        "<text class=\"at\" x=\"62\" y=\"4\">{}</text>",
        seconds(row.at_us)
    );
    if let Some(store) = row.store {
        let (date, time) = dates.next(store.at);
        if let Some(time) = time {
            let _ = write!(times, "<text class=\"at\" x=\"160\" y=\"4\">{time}</text>");
        }
        if let Some(date) = date {
            let _ = write!(
                times,
                "<text class=\"at date\" x=\"160\" y=\"-9\">{date}</text>"
            );
        }
    }
    out.push(times);
    let mut picture = picture(row, ladder, sign);
    picture.push_str(if link.is_some() { "</a>" } else { "</g>" });
    out.push(picture);
}

/// The arrow or the mark of a row, with its words.
fn picture(row: &Row<'_>, ladder: &Ladder<'_>, sign: &str) -> String {
    let grid = Grid::of(ladder);
    let odd = if row.unexpected { ", unexpected" } else { "" };
    let label = format!("{sign}{}{odd}", row.label);
    match row.shape {
        Shape::Arrow {
            from,
            to,
            line,
            again,
        } => {
            let (a, b) = (grid.x(from), grid.x(to));
            let kind = match line {
                Line::Sip => "sip",
                Line::Msrp => "msrp",
                Line::Connection => "connection",
            };
            let dashed = if again { " again" } else { "" };
            let tip = if a <= b {
                format!("M{}-4l8 4-8 4z", b - 8)
            } else {
                format!("M{}-4l-8 4 8 4z", b + 8)
            };
            let letters = grid.letters * from.abs_diff(to).max(1);
            format!(
                "<path class=\"{kind}{dashed}\" d=\"M{a} 0H{b}\"/><path class=\"tip {kind}\" d=\"{tip}\"/><text class=\"label\" x=\"{}\" y=\"-6\">{}</text>",
                usize::midpoint(a, b),
                text(&cut(&label, letters))
            )
        }
        Shape::Mark { lane } => {
            let at = grid.x(lane);
            // Words that have no room at the right of the lane stand at its left.
            let after = grid.letters * (ladder.lanes.len() - 1 - lane) + 8;
            let last = lane > 0 && label.chars().count() > after;
            let room = if last {
                lane
            } else {
                ladder.lanes.len() - lane
            };
            let label = cut(&label, grid.letters * room.max(1));
            let (anchor, place) = if last {
                ("end", at - 10)
            } else {
                ("start", at + 10)
            };
            format!(
                "<circle cx=\"{at}\" r=\"4.5\"/><text class=\"mark {anchor}\" x=\"{place}\" y=\"4\">{}</text>",
                text(&label)
            )
        }
        Shape::Step => String::new(),
    }
}

/// A row for who cannot see it: `MESSAGE, from alice to server; fail: header Subject`.
fn told(row: &Row<'_>, ladder: &Ladder<'_>) -> String {
    let name = |lane: usize| ladder.lanes.get(lane).map_or("", |lane| &lane.name);
    let mut out = row.label.clone();
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
