//! Lines of limited width with styles, into which foreign text can only come escaped.

use anstyle::Style;

use crate::escape;

/// Columns of the labels at the left: `    expected  `.
pub(super) const GUTTER: usize = 12;
/// Between a label and its text.
const GAP: usize = 2;
/// Nothing readable fits below this; narrower terminals wrap by themselves.
const NARROWEST: usize = 40;

/// Text with one style. Its text is escaped when it is made: there is no other way in.
#[derive(Debug, Clone)]
pub(super) struct Span {
    style: Style,
    text: String,
}

/// A span of foreign or own text.
pub(super) fn span(style: Style, text: impl AsRef<str>) -> Span {
    Span {
        style,
        text: escape::line(text.as_ref()),
    }
}

/// Stands for a space at which no line is broken. Foreign text cannot have it: there it is escaped.
const GLUE: char = '\u{a0}';

/// A span that is not broken over lines.
pub(super) fn glued(style: Style, text: impl AsRef<str>) -> Span {
    let Span { style, text } = span(style, text);
    Span {
        style,
        text: text.replace(' ', "\u{a0}"),
    }
}

/// A span without style.
pub(super) fn plain(text: impl AsRef<str>) -> Span {
    span(Style::new(), text)
}

impl Span {
    /// Columns that it takes.
    pub(super) fn width(&self) -> usize {
        escape::width(&self.text)
    }
}

/// The page in the making.
#[derive(Debug)]
pub(super) struct Page {
    out: String,
    width: usize,
}

type Styled = (char, Style);

impl Page {
    pub(super) fn new(width: usize) -> Self {
        Self {
            out: String::new(),
            width: width.max(NARROWEST),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn finish(self) -> String {
        self.out
    }

    pub(super) fn blank(&mut self) {
        // One empty line separates, two only look like a mistake.
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// A heading that runs into a rule over the whole width.
    pub(super) fn heading(&mut self, style: Style, title: &str, rule: Style) {
        self.blank();
        let title = span(style, title);
        let rest = self.width.saturating_sub(title.width() + 4);
        let line = [
            span(rule, "── "),
            title,
            span(rule, format!(" {}", "─".repeat(rest))),
        ];
        self.line(0, &line);
        self.blank();
    }

    /// One line, cut with `…` where it is too long.
    pub(super) fn line(&mut self, indent: usize, spans: &[Span]) {
        let chars = flatten(spans);
        let room = self.width.saturating_sub(indent);
        let (kept, cut) = fit(&chars, room);
        self.out.extend(std::iter::repeat_n(' ', indent));
        self.put(&chars[..kept]);
        if cut {
            self.out.push('…');
        }
        self.end();
    }

    /// Running text, wrapped at spaces; a word that is too long is cut hard.
    pub(super) fn prose(&mut self, indent: usize, spans: &[Span]) {
        self.hanging(indent, indent, spans);
    }

    /// Running text whose lines after the first begin at another column.
    pub(super) fn hanging(&mut self, indent: usize, hang: usize, spans: &[Span]) {
        self.wrap(&flatten(spans), indent, hang);
    }

    /// A label in the gutter and running text beside it. Line breaks in the text are kept.
    pub(super) fn row(&mut self, label: &Span, spans: &[Span]) {
        let fill = GUTTER.saturating_sub(label.width());
        self.out.extend(std::iter::repeat_n(' ', fill));
        self.put(&flatten(std::slice::from_ref(label)));
        self.out.push_str("  ");
        let start = GUTTER.max(label.width()) + GAP;
        self.wrap(&flatten(spans), start, GUTTER + GAP);
    }

    /// As [`Self::row`], for text of several lines.
    pub(super) fn paragraph(&mut self, label: &Span, style: Style, text: &str) {
        let mut lines = text.lines();
        self.row(label, &[span(style, lines.next().unwrap_or_default())]);
        for line in lines {
            self.prose(GUTTER + GAP, &[span(style, line)]);
        }
    }

    /// `column` is where the cursor stands already; an indent that is not yet written counts as zero.
    fn wrap(&mut self, chars: &[Styled], column: usize, hang: usize) {
        let mut rest = chars;
        // `prose` has written nothing yet, `row` has written its label.
        if self.out.is_empty() || self.out.ends_with('\n') {
            self.out.extend(std::iter::repeat_n(' ', column));
        }
        let mut room = self.width.saturating_sub(column).max(1);
        loop {
            let (kept, more) = break_at(rest, room);
            self.put(&rest[..kept]);
            self.end();
            if !more {
                return;
            }
            rest = &rest[kept..];
            let spaces = rest.iter().take_while(|(c, _)| *c == ' ').count();
            rest = &rest[spaces..];
            if rest.is_empty() {
                return;
            }
            self.out.extend(std::iter::repeat_n(' ', hang));
            room = self.width.saturating_sub(hang).max(1);
        }
    }

    fn put(&mut self, chars: &[Styled]) {
        use std::fmt::Write;
        for run in chars.chunk_by(|a, b| a.1 == b.1) {
            let style = run[0].1;
            let text: String = run
                .iter()
                .map(|(c, _)| if *c == GLUE { ' ' } else { *c })
                .collect();
            // Writing to a String cannot fail.
            let _ = write!(self.out, "{style}{text}{style:#}");
        }
    }

    fn end(&mut self) {
        let kept = self.out.trim_end_matches(' ').len();
        self.out.truncate(kept);
        self.out.push('\n');
    }
}

fn flatten(spans: &[Span]) -> Vec<Styled> {
    spans
        .iter()
        .flat_map(|span| span.text.chars().map(move |c| (c, span.style)))
        .collect()
}

/// How many characters fit, with room for `…` if not all do.
fn fit(chars: &[Styled], room: usize) -> (usize, bool) {
    let total: usize = chars.iter().map(|(c, _)| escape::char_width(*c)).sum();
    if total <= room {
        return (chars.len(), false);
    }
    (prefix(chars, room.saturating_sub(1)), true)
}

fn prefix(chars: &[Styled], room: usize) -> usize {
    let mut used = 0;
    chars
        .iter()
        .take_while(|(c, _)| {
            used += escape::char_width(*c);
            used <= room
        })
        .count()
}

/// How many characters go into the line, and whether any are left.
fn break_at(chars: &[Styled], room: usize) -> (usize, bool) {
    let most = prefix(chars, room);
    if most == chars.len() {
        return (most, false);
    }
    if chars[most].0 == ' ' {
        return (most, true);
    }
    match chars[..most].iter().rposition(|(c, _)| *c == ' ') {
        Some(space) if space > 0 => (space, true),
        // At least one character, or a wide one in a narrow column would never end.
        _ => (most.max(1), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_hangs() {
        let mut page = Page::new(40);
        page.row(
            &plain("expected"),
            &[plain("one two three four five si seven eight nine")],
        );
        page.prose(2, &[plain("x".repeat(45))]);
        assert_eq!(
            page.finish(),
            "    expected  one two three four five si\n              seven eight nine\n  \
             xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n  xxxxxxx\n"
        );
    }

    #[test]
    fn cuts_long_lines() {
        let mut page = Page::new(40);
        page.line(0, &[plain("日".repeat(30))]);
        assert_eq!(page.finish(), format!("{}…\n", "日".repeat(19)));
    }

    #[test]
    fn a_heading_fills_the_width() {
        let mut page = Page::new(40);
        page.heading(Style::new(), "Findings", Style::new());
        assert_eq!(page.finish(), format!("── Findings {}\n\n", "─".repeat(28)));
    }
}
