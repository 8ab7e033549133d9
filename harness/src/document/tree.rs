//! YAML as a tree in which every value knows its place.
//!
//! serde-saphyr does the parsing, with its limits on size, depth and aliases; this tree keeps in addition
//! what a typed decoder would lose: the spelling of plain scalars (`007` stays `007`), and keys that stand
//! twice.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy};

use super::diagnostic::{Diagnostic, Source};

/// Octets of the file, from start to end (exclusive).
pub type Span = Range<usize>;

/// Largest file that is read.
pub const MAX_OCTETS: usize = 8 * 1024 * 1024;

/// A value with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Where it stands.
    pub span: Span,
}

/// Kinds of value.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeKind {
    /// Text, number, truth value or nothing.
    Scalar(Scalar),
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the file; a key may stand twice.
    Map(Vec<Entry>),
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Always a scalar.
    pub key: Node,
    /// Its value.
    pub value: Node,
}

/// A scalar.
#[derive(Debug, Clone, PartialEq)]
pub struct Scalar {
    /// As written, for plain scalars; what it says, for quoted ones and blocks.
    pub text: String,
    /// As YAML understands it.
    pub value: Value,
}

impl Node {
    /// A text that stands nowhere of its own.
    pub fn text(text: impl Into<String>, span: Span) -> Self {
        let text = text.into();
        let value = Value::String(text.clone());
        Self {
            kind: NodeKind::Scalar(Scalar { text, value }),
            span,
        }
    }

    /// The node that a value would be, standing at `span`.
    pub fn from_value(value: &Value, span: &Span) -> Self {
        let kind = match value {
            Value::Array(items) => {
                NodeKind::List(items.iter().map(|v| Self::from_value(v, span)).collect())
            }
            Value::Object(members) => NodeKind::Map(
                members
                    .iter()
                    .map(|(name, value)| Entry {
                        key: Self::text(name, span.clone()),
                        value: Self::from_value(value, span),
                    })
                    .collect(),
            ),
            scalar => NodeKind::Scalar(Scalar {
                text: scalar_text(scalar),
                value: scalar.clone(),
            }),
        };
        Self {
            kind,
            span: span.clone(),
        }
    }

    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.kind {
            NodeKind::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Text of a scalar that says something.
    pub fn as_text(&self) -> Option<&str> {
        self.as_scalar()
            .filter(|scalar| !scalar.value.is_null())
            .map(|scalar| scalar.text.as_str())
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Self]> {
        match &self.kind {
            NodeKind::List(items) => Some(items),
            _ => None,
        }
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&[Entry]> {
        match &self.kind {
            NodeKind::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// Value of a key, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?
            .iter()
            .find(|entry| entry.key.as_text() == Some(key))
            .map(|entry| &entry.value)
    }

    /// Whether it is `null`, `~` or nothing.
    pub fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|s| s.value.is_null())
    }

    /// As a plain value. A number whose spelling would be lost (`007`) is given as text.
    pub fn to_value(&self) -> Value {
        match &self.kind {
            NodeKind::Scalar(scalar) => match &scalar.value {
                Value::Number(number) if number.to_string() != scalar.text => {
                    Value::String(scalar.text.clone())
                }
                value => value.clone(),
            },
            NodeKind::List(items) => Value::Array(items.iter().map(Self::to_value).collect()),
            NodeKind::Map(entries) => Value::Object(
                entries
                    .iter()
                    .filter_map(|e| Some((e.key.as_scalar()?.text.clone(), e.value.to_value())))
                    .collect(),
            ),
        }
    }

    /// For messages: `a list`, `a number`…
    pub fn describe(&self) -> &'static str {
        match &self.kind {
            NodeKind::List(_) => "a list",
            NodeKind::Map(_) => "a map",
            NodeKind::Scalar(scalar) => match scalar.value {
                Value::Null => "nothing",
                Value::Bool(_) => "a truth value",
                Value::Number(_) => "a number",
                _ => "text",
            },
        }
    }
}

/// A scalar value as text.
fn scalar_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Reads one YAML document.
pub fn parse(source: &Arc<Source>) -> Result<Node, Box<Diagnostic>> {
    if source.text().len() > MAX_OCTETS {
        return Err(Box::new(Diagnostic::unreadable(
            source.name(),
            format_args!("larger than {MAX_OCTETS} octets, which is the limit"),
        )));
    }
    let options = serde_yaml::options! {
        strict_booleans: true,
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::AsString,
        with_snippet: false,
    };
    let raw: Raw = serde_yaml::from_str_with_options(source.text(), options)
        .map_err(|error| Box::new(syntax_error(source, &error)))?;
    Ok(raw.finish(source))
}

fn syntax_error(source: &Arc<Source>, error: &serde_yaml::Error) -> Diagnostic {
    let message = error.render();
    let message = message.lines().next().unwrap_or("not YAML");
    // The parser repeats the place, which stands beside the source line already.
    let message = match message.rsplit_once(" at line ") {
        Some((head, _)) => head,
        None => message,
    };
    // Advice for the caller of the parser is no advice for the author of the file.
    let message = message.split("; use ").next().unwrap_or(message);
    let message = match message.strip_prefix("error: line ") {
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, text)| text),
        None => message,
    };
    let Some(location) = error.location() else {
        return Diagnostic::unreadable(source.name(), format_args!("not valid YAML: {message}"));
    };
    let start = offset_of(source, &location);
    Diagnostic::error(source, &(start..start), "not valid YAML").expected(message)
}

fn offset_of(source: &Source, location: &serde_yaml::Location) -> usize {
    if let Some(offset) = location.span().byte_offset() {
        return usize::try_from(offset).unwrap_or(usize::MAX);
    }
    let line = usize::try_from(location.line()).unwrap_or(1).max(1) - 1;
    let column = usize::try_from(location.column()).unwrap_or(1).max(1) - 1;
    let start: usize = source
        .text()
        .split_inclusive('\n')
        .take(line)
        .map(str::len)
        .sum();
    let text = source.text().get(start..).unwrap_or_default();
    start
        + text
            .char_indices()
            .nth(column)
            .map_or(text.len(), |(at, _)| at)
}

/// A node as the parser gives it: place first, text of plain scalars not yet recovered.
struct Raw {
    kind: RawKind,
    span: Span,
}

enum RawKind {
    Scalar(Value),
    List(Vec<Raw>),
    Map(Vec<(Raw, Raw)>),
}

impl Raw {
    fn finish(self, source: &Source) -> Node {
        let span = self.span;
        let kind = match self.kind {
            RawKind::Scalar(value) => NodeKind::Scalar(scalar(value, source, &span)),
            RawKind::List(items) => {
                NodeKind::List(items.into_iter().map(|item| item.finish(source)).collect())
            }
            RawKind::Map(entries) => NodeKind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| Entry {
                        key: key.finish_key(source),
                        value: value.finish(source),
                    })
                    .collect(),
            ),
        };
        Node { kind, span }
    }

    /// A key is what is written, whatever YAML makes of it: `404: x` has the key `404`.
    fn finish_key(self, source: &Source) -> Node {
        let node = self.finish(source);
        match &node.kind {
            NodeKind::Scalar(scalar) => Node::text(scalar.text.clone(), node.span),
            _ => Node::text(source.slice(&node.span).trim(), node.span),
        }
    }
}

fn scalar(value: Value, source: &Source, span: &Span) -> Scalar {
    let text = match &value {
        Value::String(text) => text.clone(),
        // Only plain scalars are anything but text, so what stands in the file is the spelling.
        other => {
            let written = source.slice(span).trim();
            if written.is_empty() {
                scalar_text(other)
            } else {
                written.to_owned()
            }
        }
    };
    Scalar { text, value }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = serde_yaml::Spanned::<RawKind>::deserialize(deserializer)?;
        // `defined` is where the text stands; for an alias that is the anchored value, which is what a
        // reader must change.
        let span = spanned.defined.span();
        let start = usize::try_from(span.byte_offset().unwrap_or(0)).unwrap_or(0);
        let length = usize::try_from(span.byte_len().unwrap_or(0)).unwrap_or(0);
        Ok(Self {
            kind: spanned.value,
            span: start..start.saturating_add(length),
        })
    }
}

impl<'de> Deserialize<'de> for RawKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = RawKind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::from(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::from(value)))
    }

    fn visit_i128<E>(self, value: i128) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::String(value.to_string())))
    }

    fn visit_u128<E>(self, value: u128) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::String(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::from(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::String(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::String(value)))
    }

    fn visit_unit<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<RawKind, E> {
        Ok(RawKind::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawKind, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RawKind, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(RawKind::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawKind, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(RawKind::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::document::Diagnostics;
    use proptest::prelude::*;

    fn tree(text: &str) -> Node {
        parse(&Arc::new(Source::new("t.yaml", text))).unwrap()
    }

    fn complaint(text: &str) -> String {
        let mut all = Diagnostics::new();
        all.push(*parse(&Arc::new(Source::new("t.yaml", text))).unwrap_err());
        all.to_string()
    }

    #[test]
    fn plain_scalars_keep_their_spelling() {
        let node = tree("a: 007\nb: 1.0\nc: on\nd: '600'\ne: ~\nf: true\ng: 0x10\nh: 1e3\n");
        let texts: Vec<&str> = ["a", "b", "c", "d", "f", "g", "h"]
            .iter()
            .map(|key| node.get(key).unwrap().as_text().unwrap())
            .collect();
        assert_eq!(texts, ["007", "1.0", "on", "600", "true", "0x10", "1e3"]);
        assert!(node.get("e").unwrap().is_null());
        assert_eq!(node.get("a").unwrap().to_value(), Value::from("007"));
        assert_eq!(node.get("f").unwrap().to_value(), Value::from(true));
    }

    #[test]
    fn every_value_knows_its_place() {
        let text = "grüße: { a: [x, \"yy\"] }\n? 404\n: z\n";
        let source = Arc::new(Source::new("t.yaml", text));
        let node = parse(&source).unwrap();
        let list = node
            .get("grüße")
            .unwrap()
            .get("a")
            .unwrap()
            .as_list()
            .unwrap();
        assert_eq!(source.slice(&list[0].span), "x");
        assert_eq!(source.slice(&list[1].span), "\"yy\"");
        assert_eq!(source.slice(&node.as_map().unwrap()[0].key.span), "grüße");
        assert_eq!(node.get("404").unwrap().as_text(), Some("z"));
    }

    #[test]
    fn repeated_keys_are_both_seen() {
        assert_eq!(tree("a: 1\na: 2\n").as_map().unwrap().len(), 2);
    }

    #[test]
    fn syntax_errors_show_the_place() {
        insta::assert_snapshot!(complaint("id: PG-01\nsteps:\n  - register: { user: bob\n"));
        insta::assert_snapshot!(complaint("id: PG-01\n\ttitle: x\n"));
        insta::assert_snapshot!(complaint("a: *nobody\n"));
        insta::assert_snapshot!(complaint("a: 1\n---\nb: 2\n"));
    }

    #[test]
    fn bombs_are_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..10 {
            use std::fmt::Write;
            let previous = format!("*a{}, ", n - 1).repeat(9);
            writeln!(text, "a{n}: &a{n} [{previous}x]").unwrap();
        }
        assert!(parse(&Arc::new(Source::new("t.yaml", text))).is_err());
        let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&Arc::new(Source::new("t.yaml", deep))).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in "[ -~\n\t€:{}\\[\\]&*!|>'\"#-]{0,200}") {
            let source = Arc::new(Source::new("t.yaml", text));
            if let Err(diagnostic) = parse(&source) {
                let mut all = Diagnostics::new();
                all.push(*diagnostic);
                prop_assert!(!all.to_string().is_empty());
            }
        }
    }
}
