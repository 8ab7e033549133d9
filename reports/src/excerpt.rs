//! The place in a message: its lines with the octets concerned marked, and what is far from them left out.
//! A message is one of SIP, or a frame of MSRP with its end line.
//!
//! Octets become [`Line`]s once, and each report lays those out in its own way. A text line is shown as
//! text with escapes; a body that is not text becomes lines of octets, as in a hex dump. In a multipart
//! body that choice is made for each part.

use std::ops::Range;

use crate::escape;
use crate::record::trace::Packet;

/// What to show an excerpt of.
#[derive(Debug, Clone, Copy)]
pub struct Source<'m> {
    /// The octets of the record.
    pub octets: &'m [u8],
    /// Where octets of the body are left out of the record, and how many.
    pub elided: Option<(usize, u64)>,
}

impl<'m, T: AsRef<[u8]> + ?Sized> From<&'m T> for Source<'m> {
    fn from(octets: &'m T) -> Self {
        Self {
            octets: octets.as_ref(),
            elided: None,
        }
    }
}

impl<'m> From<&'m Packet> for Source<'m> {
    fn from(packet: &'m Packet) -> Self {
        let elided = packet.elided;
        Self {
            octets: &packet.octets,
            elided: elided.and_then(|gap| Some((usize::try_from(gap.at).ok()?, gap.octets))),
        }
    }
}

/// One line of a shown message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A line of text.
    Text {
        /// From 1, counted from the start line.
        number: usize,
        /// What it says.
        cells: Vec<Cell>,
    },
    /// Octets of a body that is not text.
    Octets {
        /// Of the first octet, counted from the start of the body.
        offset: usize,
        /// At most as many as were asked for.
        octets: Vec<u8>,
        /// Those of them that are marked, as indices; an empty range is a place between two.
        marks: Vec<Range<usize>>,
    },
    /// Lines left out.
    Gap {
        /// How many lines of text.
        lines: usize,
        /// How many octets of a body that is not text.
        octets: usize,
    },
    /// Octets of the body that the record does not hold, because the message is very long.
    Elided {
        /// How many.
        octets: u64,
    },
}

/// A stretch of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// What to show; empty when a place between two octets is marked.
    pub text: String,
    /// Whether a check looked at it.
    pub marked: bool,
    /// Whether it stands for octets that cannot be shown as they are.
    pub escaped: bool,
}

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Lines at the start that are always shown.
    pub head: usize,
    /// Lines shown before and after a marked one.
    pub context: usize,
    /// Octets in one line of a body that is not text.
    pub octets_per_line: usize,
}

impl Extent {
    /// The start line, and two lines around each mark.
    pub const AROUND: Self = Self {
        head: 1,
        context: 2,
        octets_per_line: 16,
    };
    /// A whole message, unless it is very long.
    pub const WHOLE: Self = Self {
        head: 250,
        context: 25,
        octets_per_line: 16,
    };
}

/// The lines of a message with the marked ranges, reduced to the extent.
pub fn excerpt<'m>(
    source: impl Into<Source<'m>>,
    marks: &[Range<usize>],
    extent: Extent,
) -> Vec<Line> {
    let source = source.into();
    let message = source.octets;
    let marks: Vec<_> = marks
        .iter()
        .map(|mark| {
            let start = mark.start.min(message.len());
            start..mark.end.clamp(start, message.len())
        })
        .collect();
    reduce(
        &all_lines(source, &marks, extent.octets_per_line.max(1)),
        extent,
    )
}

/// Where the body begins: after the first empty line.
pub fn body_start(message: &[u8]) -> usize {
    line_ranges(message, 0..message.len())
        .find(|line| line.text.is_empty())
        .map_or(message.len(), |line| line.end)
}

/// A line with its text (without line end) and where the next one begins.
struct Span {
    text: Range<usize>,
    end: usize,
}

fn line_ranges(message: &[u8], within: Range<usize>) -> impl Iterator<Item = Span> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        if at >= within.end {
            return None;
        }
        let start = at;
        let rest = &message[start..within.end];
        let (length, end) = match rest.iter().position(|octet| *octet == b'\n') {
            Some(n) if n > 0 && rest[n - 1] == b'\r' => (n - 1, n + 1),
            Some(n) => (n, n + 1),
            None => (rest.len(), rest.len()),
        };
        at = start + end;
        Some(Span {
            text: start..start + length,
            end: at,
        })
    })
}

fn all_lines(source: Source<'_>, marks: &[Range<usize>], octets_per_line: usize) -> Vec<Line> {
    let message = source.octets;
    let body = body_start(message);
    let mut lines = Vec::new();
    let mut number = 0;
    for section in sections(source, body) {
        let (range, text) = match section {
            Section::Text(range) => (range, true),
            Section::Octets(range) => (range, false),
            Section::Elided(octets) => {
                lines.push(Line::Elided { octets });
                continue;
            }
        };
        if text {
            for span in line_ranges(message, range) {
                number += 1;
                lines.push(text_line(message, &span, number, marks));
            }
        } else {
            // The dump counts as one line of text, so that numbers after it are those of no editor but
            // at least grow.
            number += 1;
            let mut at = range.start;
            while at < range.end {
                let end = range.end.min(at + octets_per_line);
                lines.push(octet_line(
                    message,
                    at..end,
                    end == message.len(),
                    body,
                    marks,
                ));
                at = end;
            }
        }
    }
    // A place behind the last line end has no line to stand in: a missing body, for example.
    if (message.is_empty() || message.ends_with(b"\n"))
        && marks.contains(&(message.len()..message.len()))
        && !matches!(lines.last(), Some(Line::Octets { .. }))
    {
        lines.push(Line::Text {
            number: number + 1,
            cells: vec![
                Cell {
                    text: String::new(),
                    marked: true,
                    escaped: false,
                },
                Cell {
                    text: "(end of message)".to_owned(),
                    marked: false,
                    escaped: true,
                },
            ],
        });
    }
    lines
}

/// A stretch of a message.
enum Section {
    Text(Range<usize>),
    Octets(Range<usize>),
    /// So many octets that are not there.
    Elided(u64),
}

/// Stretches that are shown as text or as octets: the head always as text, then the body or its parts, then
/// what ends a frame of MSRP.
fn sections(source: Source<'_>, body: usize) -> Vec<Section> {
    let message = source.octets;
    let end = end_line(message, body);
    let mut sections = vec![Section::Text(0..body)];
    if let Some((at, octets)) = source.elided {
        let at = at.clamp(body, message.len());
        sections.extend([
            Section::Text(body..at),
            Section::Elided(octets),
            Section::Text(end.clone().map_or(at, |end| end.start.max(at))..message.len()),
        ]);
    } else if is_text(&message[body..]) {
        sections.push(Section::Text(body..message.len()));
    } else {
        // The line end before the end line belongs to neither (RFC 4975 §7.1).
        let content = &message[..end.clone().map_or(message.len(), |end| end.start)];
        let content = match end {
            Some(_) => content.strip_suffix(b"\r\n").unwrap_or(content),
            None => content,
        };
        match boundary(content, body.min(content.len())) {
            Some(delimiter) => parts(content, body, &delimiter, &mut sections),
            None => sections.push(Section::Octets(body..content.len().max(body))),
        }
        sections.extend(end.map(Section::Text));
    }
    sections.retain(|section| match section {
        Section::Text(range) | Section::Octets(range) => !range.is_empty(),
        Section::Elided(_) => true,
    });
    sections
}

/// The end line of a frame of MSRP that has a body.
fn end_line(message: &[u8], body: usize) -> Option<Range<usize>> {
    let first = line_ranges(message, 0..body).next()?;
    let id = message[first.text]
        .strip_prefix(b"MSRP ")?
        .split(|octet| *octet == b' ')
        .next()?;
    let mark = [b"-------", id].concat();
    let spans = line_ranges(message, body..message.len());
    let last = spans
        .filter(|span| message[span.text.clone()].starts_with(&mark))
        .last()?;
    Some(last.text.start..message.len())
}

/// The delimiter of a multipart body: its first line, if that looks like one and comes again
/// (RFC 2046 §5.1.1).
fn boundary(message: &[u8], body: usize) -> Option<Vec<u8>> {
    let first = line_ranges(message, body..message.len()).next()?;
    let delimiter = &message[first.text.clone()];
    let plausible = delimiter.starts_with(b"--") && delimiter.len() > 2 && is_text(delimiter);
    let again = line_ranges(message, first.end..message.len())
        .any(|line| message[line.text].starts_with(delimiter));
    (plausible && again).then(|| delimiter.to_vec())
}

fn parts(message: &[u8], body: usize, delimiter: &[u8], out: &mut Vec<Section>) {
    let mut starts: Vec<usize> = line_ranges(message, body..message.len())
        .filter(|line| message[line.text.clone()].starts_with(delimiter))
        .map(|line| line.text.start)
        .collect();
    starts.push(message.len());
    for pair in starts.windows(2) {
        let part = pair[0]..pair[1];
        let content = part.start + body_start(&message[part.clone()]);
        out.push(Section::Text(part.start..content));
        out.push(if is_text(&message[content..part.end]) {
            Section::Text(content..part.end)
        } else {
            Section::Octets(content..part.end)
        });
    }
}

/// Whether a body can be read as text. NUL is valid UTF-8, but nobody writes it.
fn is_text(octets: &[u8]) -> bool {
    !octets.contains(&0) && std::str::from_utf8(octets).is_ok()
}

fn text_line(message: &[u8], span: &Span, number: usize, marks: &[Range<usize>]) -> Line {
    let last = span.end == message.len();
    let ended = span.end > span.text.end;
    // The line end is shown only where a mark begins in it: elsewhere it says nothing.
    let shows_end = marks
        .iter()
        .any(|mark| mark.start >= span.text.end && mark.start < span.end);
    let bare = ended && message[span.text.end] != b'\r';
    let shown = span.text.start..if shows_end || bare {
        span.end
    } else {
        span.text.end
    };

    let mut cuts = vec![shown.start, shown.end];
    let mut inside = Vec::new();
    let mut points = Vec::new();
    for mark in marks {
        if mark.is_empty() {
            let here = (span.text.start..span.end).contains(&mark.start)
                || (last && !ended && mark.start == span.end);
            if here {
                points.push(mark.start);
                cuts.push(mark.start);
            }
        } else {
            let start = mark.start.max(shown.start);
            let end = mark.end.min(shown.end);
            if start < end {
                cuts.extend([start, end]);
                inside.push(start..end);
            }
        }
    }
    cuts.sort_unstable();
    cuts.dedup();
    let mut cells = Vec::new();
    for (index, start) in cuts.iter().copied().enumerate() {
        if points.contains(&start) && !inside.iter().any(|mark| mark.contains(&start)) {
            cells.push(Cell {
                text: String::new(),
                marked: true,
                escaped: false,
            });
        }
        let Some(end) = cuts.get(index + 1).copied() else {
            break;
        };
        let marked = inside.iter().any(|mark| mark.contains(&start));
        cells.extend(
            escape::pieces(&message[start..end])
                .into_iter()
                .map(|piece| Cell {
                    text: piece.text,
                    marked,
                    escaped: piece.escaped,
                }),
        );
    }
    Line::Text { number, cells }
}

fn octet_line(
    message: &[u8],
    range: Range<usize>,
    last: bool,
    body: usize,
    marks: &[Range<usize>],
) -> Line {
    let marks = marks
        .iter()
        .filter_map(|mark| {
            if mark.is_empty() {
                let here = range.contains(&mark.start) || (last && mark.start == range.end);
                return here.then(|| mark.start - range.start..mark.start - range.start);
            }
            let start = mark.start.max(range.start);
            let end = mark.end.min(range.end);
            (start < end).then(|| start - range.start..end - range.start)
        })
        .collect();
    Line::Octets {
        offset: range.start - body,
        octets: message[range].to_vec(),
        marks,
    }
}

/// Lines shown at the end of a long marked stretch.
const TAIL: usize = 2;

/// Leaves out what is neither in the head nor near a mark. A gap of one line is not worth leaving out.
fn reduce(lines: &[Line], extent: Extent) -> Vec<Line> {
    let mut keep: Vec<bool> = lines
        .iter()
        .enumerate()
        .map(|(index, line)| index < extent.head || matches!(line, Line::Elided { .. }))
        .collect();
    let mut index = 0;
    while index < lines.len() {
        if !is_marked(&lines[index]) {
            index += 1;
            continue;
        }
        let start = index;
        while index < lines.len() && is_marked(&lines[index]) {
            index += 1;
        }
        let around =
            start.saturating_sub(extent.context)..(index + extent.context).min(lines.len());
        // Of a long marked stretch both ends are enough.
        let most = 3 + extent.head;
        if index - start > most + TAIL {
            keep[around.start..start + most].fill(true);
            keep[index - TAIL..around.end].fill(true);
        } else {
            keep[around].fill(true);
        }
    }
    let mut out = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        if keep[index] {
            out.push(lines[index].clone());
            index += 1;
            continue;
        }
        let end = (index..lines.len())
            .find(|i| keep[*i])
            .unwrap_or(lines.len());
        if end - index == 1 {
            out.push(lines[index].clone());
        } else {
            out.push(gap(&lines[index..end]));
        }
        index = end;
    }
    out
}

fn is_marked(line: &Line) -> bool {
    match line {
        Line::Text { cells, .. } => cells.iter().any(|cell| cell.marked),
        Line::Octets { marks, .. } => !marks.is_empty(),
        Line::Gap { .. } | Line::Elided { .. } => false,
    }
}

fn gap(lines: &[Line]) -> Line {
    let mut text = 0;
    let mut dumped = 0;
    for line in lines {
        match line {
            Line::Text { .. } => text += 1,
            Line::Octets { octets, .. } => dumped += octets.len(),
            Line::Gap { .. } | Line::Elided { .. } => {}
        }
    }
    Line::Gap {
        lines: text,
        octets: dumped,
    }
}

/// Cuts a line of text to the given columns, keeping what is marked in sight. `…` stands for what is cut.
pub fn crop(cells: &[Cell], columns: usize) -> Vec<Cell> {
    let chars: Vec<(char, usize)> = cells
        .iter()
        .enumerate()
        .flat_map(|(index, cell)| cell.text.chars().map(move |c| (c, index)))
        .collect();
    let widths: Vec<usize> = chars.iter().map(|(c, _)| escape::char_width(*c)).collect();
    let total: usize = widths.iter().sum();
    if total <= columns || columns < 3 {
        return cells.to_vec();
    }
    // Columns before the first marked cell.
    let before: usize = cells
        .iter()
        .take_while(|cell| !cell.marked)
        .map(|cell| escape::width(&cell.text))
        .sum();
    let any = cells.iter().any(|cell| cell.marked);
    // A quarter of the room shows what precedes the mark, the rest the mark and what follows.
    let skip = if !any || before < columns * 3 / 4 {
        0
    } else {
        (before - columns / 4).min(total - columns + 1)
    };
    let room = columns - usize::from(skip > 0);
    let mut out: Vec<Cell> = cells
        .iter()
        .map(|cell| Cell {
            text: String::new(),
            ..cell.clone()
        })
        .collect();
    let (mut column, mut used, mut cut) = (0, 0, None);
    for (position, (c, index)) in chars.iter().enumerate() {
        let width = widths[position];
        column += width;
        // A wide character that is only half in sight is out of sight.
        if column - width < skip {
            continue;
        }
        let rest = total - (column - width);
        if used + width > room.saturating_sub(usize::from(rest > room - used)) {
            cut = Some(*index);
            break;
        }
        out[*index].text.push(*c);
        used += width;
    }
    let ellipsis = |marked| Cell {
        text: "…".to_owned(),
        marked,
        escaped: true,
    };
    let mut kept = Vec::with_capacity(out.len() + 2);
    if skip > 0 {
        kept.push(ellipsis(false));
    }
    let end = cut.map_or(out.len(), |index| index + 1);
    for (cell, before) in out.into_iter().zip(cells).take(end) {
        // Cells that lost all their text go; those that mark a place never had any.
        if !cell.text.is_empty() || before.text.is_empty() && before.marked {
            kept.push(cell);
        }
    }
    if let Some(index) = cut {
        kept.push(ellipsis(cells[index].marked));
    }
    kept
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::single_range_in_vec_init,
        reason = "tests"
    )]

    use super::*;
    use proptest::prelude::*;

    const MESSAGE: &[u8] = b"MESSAGE sip:bob@a.example SIP/2.0\r\nTo: <sip:bob@a.example>\r\n\
        From: x\r\nCall-ID: 1\r\nCSeq: 1 MESSAGE\r\nSubject: Dinner\r\nContent-Length: 4\r\n\r\nMeet";

    fn show(lines: &[Line]) -> String {
        lines
            .iter()
            .map(|line| match line {
                Line::Text { number, cells } => {
                    let text: String = cells
                        .iter()
                        .map(|cell| {
                            if cell.marked {
                                format!("[{}]", cell.text)
                            } else {
                                cell.text.clone()
                            }
                        })
                        .collect();
                    format!("{number} {text}\n")
                }
                Line::Octets {
                    offset,
                    octets,
                    marks,
                } => format!("+{offset:x} {octets:02x?} {marks:?}\n"),
                Line::Gap { lines, octets } => format!("... {lines} lines {octets} octets\n"),
                Line::Elided { octets } => format!("... {octets} octets not held\n"),
            })
            .collect()
    }

    fn find(needle: &[u8]) -> Range<usize> {
        let start = MESSAGE
            .windows(needle.len())
            .position(|w| w == needle)
            .unwrap_or(0);
        start..start + needle.len()
    }

    #[test]
    fn shows_start_line_and_surroundings_of_a_mark() {
        let lines = excerpt(
            MESSAGE,
            &[find(b"Dinner")],
            Extent {
                context: 1,
                ..Extent::AROUND
            },
        );
        insta::assert_snapshot!(show(&lines), @r"
        1 MESSAGE sip:bob@a.example SIP/2.0
        ... 3 lines 0 octets
        5 CSeq: 1 MESSAGE
        6 Subject: [Dinner]
        7 Content-Length: 4
        ... 2 lines 0 octets
        ");
    }

    #[test]
    fn a_place_without_octets_is_marked_too() {
        let end = MESSAGE.len();
        let shown = show(&excerpt(MESSAGE, &[end..end], Extent::WHOLE));
        assert!(shown.ends_with("8 \n9 Meet[]\n"), "{shown}");
        let head = &MESSAGE[..end - 4];
        let shown = show(&excerpt(head, &[end..end], Extent::WHOLE));
        assert!(shown.ends_with("8 \n9 [](end of message)\n"), "{shown}");
        let shown = show(&excerpt(b"", &[0..0], Extent::WHOLE));
        assert_eq!(shown, "1 [](end of message)\n");
    }

    #[test]
    fn line_ends_are_seen_where_they_matter() {
        let shown = show(&excerpt(b"a\nb\r\n\r\nc\r\n", &[8..10], Extent::WHOLE));
        assert_eq!(shown, "1 a\\n\n2 b\n3 \n4 c[\\r\\n]\n");
    }

    #[test]
    fn a_mark_may_span_lines() {
        let start = find(b"Call-ID").start;
        let end = find(b"Subject").end;
        let shown = show(&excerpt(
            MESSAGE,
            &[start..end],
            Extent {
                context: 0,
                ..Extent::AROUND
            },
        ));
        assert!(
            shown.contains("4 [Call-ID: 1]\n5 [CSeq: 1 MESSAGE]\n6 [Subject]: Dinner\n"),
            "{shown}"
        );
    }

    #[test]
    fn octets_that_are_no_text_become_a_dump() {
        let mut message = b"A sip:x SIP/2.0\r\n\r\n".to_vec();
        message.extend(0..=40);
        let body = body_start(&message);
        let shown = show(&excerpt(
            &message,
            &[body + 17..body + 19],
            Extent {
                octets_per_line: 8,
                ..Extent::WHOLE
            },
        ));
        assert!(
            shown.contains("+10 [10, 11, 12, 13, 14, 15, 16, 17] [1..3]"),
            "{shown}"
        );
    }

    #[test]
    fn parts_of_a_multipart_are_judged_one_by_one() {
        let message = b"A sip:x SIP/2.0\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n\r\n\x00\xff\r\n--b--\r\n";
        insta::assert_snapshot!(show(&excerpt(message, &[], Extent::WHOLE)), @r"
        1 A sip:x SIP/2.0
        2 
        3 --b
        4 Content-Type: text/plain
        5 
        6 hello
        7 --b
        8 
        +2f [00, ff, 0d, 0a] []
        10 --b--
        ");
    }

    #[test]
    fn a_long_marked_stretch_shows_its_ends() {
        let mut message = b"A sip:x SIP/2.0\r\n\r\n".to_vec();
        for n in 0..100 {
            message.extend(format!("line {n}\r\n").bytes());
        }
        let shown = show(&excerpt(&message, &[19..message.len()], Extent::AROUND));
        assert!(
            shown.contains("[line 0]") && shown.contains("[line 99]"),
            "{shown}"
        );
        assert!(shown.lines().count() < 16, "{shown}");
    }

    #[test]
    fn the_end_line_of_a_frame_is_no_part_of_a_body_that_is_no_text() {
        let frame = b"MSRP a1b2 SEND\r\nMessage-ID: 7h\r\n\r\n\x00\xff\r\n\r\n-------a1b2$\r\n";
        insta::assert_snapshot!(show(&excerpt(frame, &[], Extent::WHOLE)), @r"
        1 MSRP a1b2 SEND
        2 Message-ID: 7h
        3 
        +0 [00, ff, 0d, 0a] []
        5 -------a1b2$
        ");
        let look_alike = b"MSRP a1b2 SEND\r\nA: b\r\n\r\n\x00\r\n-------other$\r\n-------a1b2#\r\n";
        insta::assert_snapshot!(show(&excerpt(look_alike, &[], Extent::WHOLE)), @r"
        1 MSRP a1b2 SEND
        2 A: b
        3 
        +0 [00, 0d, 0a, 2d, 2d, 2d, 2d, 2d, 2d, 2d, 6f, 74, 68, 65, 72, 24] []
        5 -------a1b2#
        ");
    }

    #[test]
    fn octets_that_the_record_does_not_hold_are_told() {
        let octets: &[u8] = b"MSRP a1b2 SEND\r\nA: b\r\n\r\n\r\n-------a1b2$\r\n";
        let source = Source {
            octets,
            elided: Some((24, 65_536)),
        };
        insta::assert_snapshot!(show(&excerpt(source, &[0..4], Extent::AROUND)), @r"
        1 [MSRP] a1b2 SEND
        2 A: b
        3 
        ... 65536 octets not held
        4 -------a1b2$
        ");
    }

    #[test]
    fn cropping_keeps_the_mark_in_sight() {
        let cell = |text: &str, marked| Cell {
            text: text.to_owned(),
            marked,
            escaped: false,
        };
        let cells = [
            cell(&"a".repeat(100), false),
            cell("MARK", true),
            cell(&"b".repeat(100), false),
        ];
        let text: String = crop(&cells, 20).into_iter().map(|c| c.text).collect();
        assert_eq!(text, "…aaaaaMARKbbbbbbbbb…");
        let text: String = crop(&[cell(&"a".repeat(30), false)], 10)
            .into_iter()
            .map(|c| c.text)
            .collect();
        assert_eq!(text, "aaaaaaaaa…");
    }

    proptest! {
        #[test]
        fn any_octets_and_ranges_are_shown(
            message in prop::collection::vec(prop::sample::select(b"a\r\n-\x00\xff:".to_vec()), 0..80),
            marks in prop::collection::vec((0usize..90, 0usize..20), 0..4),
            head in 0usize..4, context in 0usize..3, per_line in 0usize..9,
        ) {
            let marks: Vec<_> = marks.into_iter().map(|(start, length)| start..start + length).collect();
            let lines = excerpt(&message, &marks, Extent { head, context, octets_per_line: per_line });
            if !marks.is_empty() {
                prop_assert!(lines.iter().any(is_marked), "{lines:?}");
            }
        }

        #[test]
        fn cropped_lines_fit(texts in prop::collection::vec(("[a日b]{0,30}", any::<bool>()), 0..5), columns in 3usize..40) {
            let cells: Vec<_> = texts.into_iter().map(|(text, marked)| Cell { text, marked, escaped: false }).collect();
            let cropped = crop(&cells, columns);
            let width: usize = cropped.iter().map(|cell| escape::width(&cell.text)).sum();
            prop_assert!(width <= columns, "{cropped:?}");
            if cells.iter().any(|cell| cell.marked) {
                prop_assert!(cropped.iter().any(|cell| cell.marked), "{cropped:?}");
            }
        }
    }
}
