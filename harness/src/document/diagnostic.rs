//! Mistakes in a file, each with its place: what is wrong, what was expected, and what was perhaps meant.

use std::fmt;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use imspec_reports::record::Location;

use super::tree::Span;

/// A text file with its name, able to turn an offset into a line and a column.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Source {
    name: String,
    text: String,
    /// The text as a reader may see it, where that differs: as long as the text itself.
    masked: Option<String>,
    /// Offset at which each line starts.
    lines: Vec<usize>,
}

impl Source {
    /// A file as the user would name it, and its text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        Self {
            name: name.into(),
            text,
            masked: None,
            lines,
        }
    }

    /// The same, with these parts never shown: asterisks stand in their place.
    #[must_use]
    pub fn hiding(mut self, parts: &[Span]) -> Self {
        let mut masked = self.text.clone();
        for part in parts {
            if let Some(secret) = self.text.get(part.clone()) {
                // Octet for octet, so that every place stays where it is.
                masked.replace_range(part.clone(), &"*".repeat(secret.len()));
            }
        }
        self.masked = Some(masked);
        self
    }

    /// The text as a reader may see it.
    fn readable(&self) -> &str {
        self.masked.as_deref().unwrap_or(&self.text)
    }

    /// Name of the file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text of a span; empty where the span does not lie in the file.
    pub fn slice(&self, span: &Span) -> &str {
        self.text.get(span.clone()).unwrap_or_default()
    }

    /// File, line and column (in characters) of an offset.
    pub fn location(&self, offset: usize) -> Location {
        let line = self
            .lines
            .partition_point(|start| *start <= offset)
            .saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self
            .text
            .get(start..offset)
            .map_or(0, |text| text.chars().count());
        Location {
            file: self.name.clone(),
            line: number(line + 1),
            column: number(column + 1),
        }
    }

    /// Offset of a place, the other way round.
    pub fn offset(&self, location: &Location) -> usize {
        let line = usize::try_from(location.line)
            .unwrap_or(1)
            .saturating_sub(1);
        let column = usize::try_from(location.column)
            .unwrap_or(1)
            .saturating_sub(1);
        let start = self.lines.get(line).copied().unwrap_or(self.text.len());
        let rest = self.text.get(start..).unwrap_or_default();
        start
            + rest
                .char_indices()
                .nth(column)
                .map_or(rest.len(), |(at, _)| at)
    }

    /// A span that a renderer can show: inside the text, on character borders, on one line, not empty
    /// unless the line ends there.
    fn shown(&self, span: &Span) -> Span {
        let mut start = span.start.min(self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        let line_end = self.text[start..]
            .find(['\n', '\r'])
            .map_or(self.text.len(), |at| start + at);
        let mut end = span.end.clamp(start, line_end);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        if end == start && start < line_end {
            end += self.text[start..].chars().next().map_or(0, char::len_utf8);
        }
        start..end
    }
}

impl fmt::Debug for Source {
    /// The name alone: a whole file in the middle of another type's output hides that type.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name).finish()
    }
}

fn number(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// How bad a mistake is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; it probably does not say what was meant.
    Warning,
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub severity: Severity,
    /// What is wrong.
    pub title: String,
    /// What was expected there; stands under the caret.
    pub label: String,
    /// Another place that matters, and why.
    pub related: Option<(Arc<Source>, Span, String)>,
    /// More to know.
    pub notes: Vec<String>,
    /// What was perhaps meant, or what to do.
    pub help: Option<String>,
    /// The file, and where in it; `None` where there is no text to show.
    pub place: Option<(Arc<Source>, Span)>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(source: &Arc<Source>, span: &Span, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            title: title.into(),
            label: String::new(),
            related: None,
            notes: Vec::new(),
            help: None,
            place: Some((Arc::clone(source), span.clone())),
        }
    }

    /// A warning at a place.
    pub fn warning(source: &Arc<Source>, span: &Span, title: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(source, span, title)
        }
    }

    /// An error about a file that has no text to point into: it cannot be read.
    pub fn unreadable(file: &str, reason: impl fmt::Display) -> Self {
        Self {
            severity: Severity::Error,
            title: format!("{file}: {reason}"),
            label: String::new(),
            related: None,
            notes: Vec::new(),
            help: None,
            place: None,
        }
    }

    /// Says what was expected.
    #[must_use]
    pub fn expected(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds something to know.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Asks whether another name was meant, when one is close.
    #[must_use]
    pub fn meant(self, suggestion: Option<&str>) -> Self {
        match suggestion {
            Some(name) => self.help(format!("did you mean `{name}`?")),
            None => self,
        }
    }

    /// Points at another place.
    #[must_use]
    pub fn related(mut self, source: &Arc<Source>, span: &Span, why: impl Into<String>) -> Self {
        self.related = Some((Arc::clone(source), span.clone(), why.into()));
        self
    }

    /// Where it is, where that is known.
    pub fn location(&self) -> Option<Location> {
        let (source, span) = self.place.as_ref()?;
        Some(source.location(source.shown(span).start))
    }

    fn render(&self, renderer: &Renderer) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group: Group<'_> = match &self.place {
            None => Group::with_title(level.primary_title(&self.title)),
            Some((source, span)) => {
                let mut snippet = Snippet::source(source.readable())
                    .path(source.name())
                    .annotation(
                        AnnotationKind::Primary
                            .span(source.shown(span))
                            .label(&self.label),
                    );
                let mut other = None;
                if let Some((elsewhere, at, why)) = &self.related {
                    let annotation = AnnotationKind::Context.span(elsewhere.shown(at)).label(why);
                    if elsewhere.name() == source.name() {
                        snippet = snippet.annotation(annotation);
                    } else {
                        other = Some(
                            Snippet::source(elsewhere.readable())
                                .path(elsewhere.name())
                                .annotation(annotation),
                        );
                    }
                }
                let group = level.primary_title(&self.title).element(snippet);
                match other {
                    Some(snippet) => group.element(snippet),
                    None => group,
                }
            }
        };
        for note in &self.notes {
            group = group.element(Level::NOTE.message(note));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        renderer.render(&[group])
    }

    fn order(&self) -> (Option<&str>, usize, Severity, &str) {
        match &self.place {
            None => (None, 0, self.severity, &self.title),
            Some((source, span)) => (Some(source.name()), span.start, self.severity, &self.title),
        }
    }
}

/// All mistakes that were found, in the order of files and lines, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

impl Diagnostics {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one, unless it was found before: a scenario is checked once for each combination of its matrix,
    /// and the same mistake shows each time.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        let at = self
            .list
            .partition_point(|other| other.order() < diagnostic.order());
        let known = self
            .list
            .get(at)
            .is_some_and(|other| other.order() == diagnostic.order());
        if !known {
            self.list.insert(at, diagnostic);
        }
    }

    /// Adds all of another list.
    pub fn extend(&mut self, others: Self) {
        for diagnostic in others.list {
            self.push(diagnostic);
        }
    }

    /// In order.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many errors.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether the files can be used.
    pub fn are_warnings_only(&self) -> bool {
        self.errors() == 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|d| d.severity == severity).count()
    }

    /// For people: each mistake with its source line and a caret, with colours if asked.
    pub fn render(&self, colours: bool) -> String {
        let renderer = if colours {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .decor_style(DecorStyle::Ascii);
        let mut text = String::new();
        for diagnostic in &self.list {
            text.push_str(&diagnostic.render(&renderer));
            text.push_str("\n\n");
        }
        text
    }
}

impl From<Diagnostic> for Diagnostics {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            list: vec![diagnostic],
        }
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn columns_count_characters() {
        let source = Source::new("a.yaml", "x: 1\ngrüße: 2\n");
        let at = source.text().find(": 2").unwrap();
        let location = source.location(at);
        assert_eq!((location.line, location.column), (2, 6));
    }

    #[test]
    fn the_same_mistake_is_told_once() {
        let source = Arc::new(Source::new("a.yaml", "x: 1\n"));
        let mut all = Diagnostics::new();
        all.push(Diagnostic::error(&source, &(3..4), "second"));
        all.push(Diagnostic::error(&source, &(0..1), "first"));
        all.push(Diagnostic::error(&source, &(3..4), "second"));
        let titles: Vec<&str> = all.iter().map(|d| d.title.as_str()).collect();
        assert_eq!(titles, ["first", "second"]);
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_can_be_rendered(text in ".{0,40}(\r?\n.{0,10}){0,3}", a in 0usize..80, b in 0usize..80) {
            let source = Arc::new(Source::new("a.yaml", text));
            let mut all = Diagnostics::new();
            all.push(Diagnostic::error(&source, &(a..b), "wrong").expected("right").help("do"));
            prop_assert!(all.render(false).contains("wrong"));
        }
    }
}
