//! A message on the page: lines with cells, ready for the template.

use std::ops::Range;

use serde::Serialize;

use crate::escape;
use crate::excerpt::{Cell, Extent, Line, Source, crop, excerpt};
use crate::summary::count;

/// A line longer than this is cut around its mark: nobody reads more, and a page has to stay small.
const LONGEST: usize = 4_000;

/// One line of a message.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub(super) enum Row {
    Text {
        number: String,
        cells: Vec<Span>,
    },
    Octets {
        number: String,
        hex: Vec<Span>,
        text: Vec<Span>,
    },
    Gap {
        words: String,
    },
}

/// A stretch of one line.
#[derive(Debug, Serialize)]
pub(super) struct Span {
    text: String,
    marked: bool,
    escaped: bool,
}

/// The lines of a message with the marked ranges.
pub(super) fn rows(message: Source<'_>, marks: &[Range<usize>], extent: Extent) -> Vec<Row> {
    excerpt(message, marks, extent)
        .into_iter()
        .map(|line| match line {
            Line::Text { number, cells } => Row::Text {
                number: number.to_string(),
                cells: crop(&cells, LONGEST).into_iter().map(Span::from).collect(),
            },
            Line::Octets {
                offset,
                octets,
                marks,
            } => Row::Octets {
                number: format!("+{offset:04x}"),
                hex: hex(&octets, &marks, extent.octets_per_line),
                text: text(&octets, &marks),
            },
            Line::Gap { lines, octets } => Row::Gap {
                words: gap(lines, octets),
            },
            Line::Elided { octets } => Row::Gap {
                words: format!("{octets} octets of the body, which the record does not hold"),
            },
        })
        .collect()
}

impl From<Cell> for Span {
    fn from(cell: Cell) -> Self {
        Self {
            text: cell.text,
            marked: cell.marked,
            escaped: cell.escaped,
        }
    }
}

fn gap(lines: usize, octets: usize) -> String {
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

fn hex(octets: &[u8], marks: &[Range<usize>], per_line: usize) -> Vec<Span> {
    let mut spans = Vec::new();
    for (index, octet) in octets.iter().enumerate() {
        let marked = is_marked(marks, index);
        place(&mut spans, marks, index);
        // The space between two marked octets is marked with them, or the mark would look like many.
        if index > 0 {
            let space = if index == per_line / 2 { "  " } else { " " };
            push(&mut spans, space, marked && is_marked(marks, index - 1));
        }
        push(&mut spans, &format!("{octet:02x}"), marked);
    }
    place(&mut spans, marks, octets.len());
    spans
}

fn text(octets: &[u8], marks: &[Range<usize>]) -> Vec<Span> {
    let mut spans = Vec::new();
    for (index, octet) in octets.iter().enumerate() {
        let shown = if octet.is_ascii_graphic() || *octet == b' ' {
            char::from(*octet)
        } else {
            '·'
        };
        push(
            &mut spans,
            shown.encode_utf8(&mut [0; 4]),
            is_marked(marks, index),
        );
    }
    spans
}

fn is_marked(marks: &[Range<usize>], index: usize) -> bool {
    marks.iter().any(|mark| mark.contains(&index))
}

fn place(spans: &mut Vec<Span>, marks: &[Range<usize>], index: usize) {
    if marks.contains(&(index..index)) {
        spans.push(Span {
            text: String::new(),
            marked: true,
            escaped: false,
        });
    }
}

fn push(spans: &mut Vec<Span>, text: &str, marked: bool) {
    match spans.last_mut() {
        Some(last) if last.marked == marked && !last.text.is_empty() => last.text.push_str(text),
        _ => spans.push(Span {
            text: escape::line(text),
            marked,
            escaped: false,
        }),
    }
}
