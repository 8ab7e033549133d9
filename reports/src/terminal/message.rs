//! A message in a terminal: line numbers in the gutter, carets under the octets concerned.

use std::fmt::Write;
use std::ops::Range;

use super::page::{GUTTER, Page, Span, plain, span};
use super::theme;
use crate::escape;
use crate::excerpt::{Cell, Extent, Line, Source, crop, excerpt};
use anstyle::Style;

/// Columns that the gutter and its bar take.
const LEFT: usize = GUTTER + 3;

/// Shows the marked places of a message.
pub(super) fn show(page: &mut Page, message: Source<'_>, marks: &[Range<usize>], mark: Style) {
    let room = page.width() - LEFT;
    // `+0000 │ ` and sixteen octets with their characters take 67 columns.
    let octets_per_line = [16, 8]
        .into_iter()
        .find(|n| dump_width(*n) <= room)
        .unwrap_or(4);
    let head = if marks.is_empty() { 14 } else { 1 };
    let extent = Extent {
        head,
        octets_per_line,
        ..Extent::AROUND
    };
    for line in excerpt(message, marks, extent) {
        match line {
            Line::Text { number, cells } => {
                let cells = crop(&cells, room - 1);
                numbered(page, &number.to_string(), spans(&cells, mark));
                carets(page, &under_cells(&cells), mark);
            }
            Line::Octets {
                offset,
                octets,
                marks,
            } => {
                numbered(
                    page,
                    &format!("+{offset:04x}"),
                    dump(&octets, octets_per_line, &marks, mark),
                );
                carets(
                    page,
                    &under_dump(octets.len(), octets_per_line, &marks),
                    mark,
                );
            }
            Line::Gap { lines, octets } => {
                numbered(page, "⋮", vec![span(theme::DIM, gap(lines, octets))]);
            }
            Line::Elided { octets } => {
                let words = format!("{octets} octets of the body, which the record does not hold");
                numbered(page, "⋮", vec![span(theme::DIM, words)]);
            }
        }
    }
}

fn gap(lines: usize, octets: usize) -> String {
    use crate::summary::count;
    match (lines, octets) {
        (lines, 0) => count(lines, "line", "lines"),
        (0, octets) => count(octets, "octet", "octets"),
        (lines, octets) => {
            format!(
                "{} and {}",
                count(lines, "line", "lines"),
                count(octets, "octet", "octets")
            )
        }
    }
}

fn numbered(page: &mut Page, number: &str, mut text: Vec<Span>) {
    let mut line = vec![span(
        theme::DIM,
        format!("{}{number} │ ", pad(GUTTER, number)),
    )];
    line.append(&mut text);
    page.line(0, &line);
}

fn pad(columns: usize, text: &str) -> String {
    " ".repeat(columns.saturating_sub(escape::width(text)))
}

fn carets(page: &mut Page, under: &str, mark: Style) {
    if !under.is_empty() {
        numbered(page, "", vec![span(mark, under)]);
    }
}

fn spans(cells: &[Cell], mark: Style) -> Vec<Span> {
    cells
        .iter()
        .map(|cell| {
            let style = match (cell.marked, cell.escaped) {
                (true, _) => mark,
                (false, true) => theme::ESCAPED,
                (false, false) => Style::new(),
            };
            span(style, &cell.text)
        })
        .collect()
}

fn under_cells(cells: &[Cell]) -> String {
    let mut under = String::new();
    for cell in cells {
        let width = escape::width(&cell.text);
        match (cell.marked, width) {
            // A place between two octets takes no column, its caret needs one.
            (true, 0) => under.push('^'),
            (true, width) => under.push_str(&"^".repeat(width)),
            (false, width) => under.push_str(&" ".repeat(width)),
        }
    }
    under.truncate(under.trim_end().len());
    under
}

fn dump_width(octets_per_line: usize) -> usize {
    // Two digits and a space each, one more space in the middle, one before the characters.
    octets_per_line * 4 + 2
}

fn dump(octets: &[u8], per_line: usize, marks: &[Range<usize>], mark: Style) -> Vec<Span> {
    let style = |index: usize, else_style| {
        if marks.iter().any(|range| range.contains(&index)) {
            mark
        } else {
            else_style
        }
    };
    let mut spans = Vec::with_capacity(octets.len() * 2 + 1);
    for (index, octet) in octets.iter().enumerate() {
        spans.push(span(style(index, Style::new()), format!("{octet:02x}")));
        spans.push(plain(if index + 1 == per_line / 2 { "  " } else { " " }));
    }
    let written = octets.len() * 3 + usize::from(octets.len() >= per_line / 2);
    spans.push(plain(
        " ".repeat((per_line * 3 + 2).saturating_sub(written)),
    ));
    for (index, octet) in octets.iter().enumerate() {
        let shown = if octet.is_ascii_graphic() || *octet == b' ' {
            char::from(*octet)
        } else {
            '·'
        };
        spans.push(span(style(index, theme::DIM), shown.to_string()));
    }
    spans
}

fn under_dump(length: usize, per_line: usize, marks: &[Range<usize>]) -> String {
    let mut under = String::new();
    let column = |index: usize| index * 3 + usize::from(index >= per_line / 2);
    for mark in marks {
        let last = if mark.is_empty() {
            mark.start
        } else {
            mark.end - 1
        };
        if mark.start > length {
            continue;
        }
        let start = column(mark.start);
        let end = column(last) + if mark.is_empty() { 1 } else { 2 };
        if let Some(fill) = start.checked_sub(under.len()) {
            // Writing to a String cannot fail.
            let _ = write!(under, "{}", " ".repeat(fill));
            under.push_str(&"^".repeat(end - start));
        }
    }
    under
}
