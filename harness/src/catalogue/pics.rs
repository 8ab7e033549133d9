//! PICS keys: what a server's maker declares, and which values a declaration may have
//! (`scenarios/pics.yaml`).

use std::sync::Arc;

use serde_json::Value;

use crate::document::suggest::one_of;
use crate::document::{Diagnostic, Diagnostics, Fields, Key, Node, Source, Span, tree};
use crate::embedded;

/// One PICS key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PicsKey {
    /// `policy.expired`
    pub key: String,
    /// What its values are.
    pub kind: PicsType,
    /// Its values, where they can be listed. `header:<name>` stands for any text with that beginning.
    pub values: Vec<String>,
    /// What holds at most servers, entries of a list joined by commas; no declaration is implied by it.
    pub default: Option<String>,
    /// What it declares.
    pub about: String,
    /// Wording defects and requirements that a declaration settles.
    pub resolves: Vec<String>,
}

/// Types of PICS values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PicsType {
    /// One of the listed values.
    Choice,
    /// Some of the listed values.
    Set,
    /// A list of any names.
    List,
    /// A whole number.
    Integer,
    /// A number of seconds, or one of the listed values.
    Seconds,
    /// A regular expression.
    Regex,
}

impl PicsType {
    const ALL: [(&'static str, Self); 6] = [
        ("choice", Self::Choice),
        ("set", Self::Set),
        ("list", Self::List),
        ("integer", Self::Integer),
        ("seconds", Self::Seconds),
        ("regex", Self::Regex),
    ];

    /// As written in the table.
    pub fn as_str(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

impl PicsKey {
    /// Whether a value can be declared; else what was expected.
    pub fn accepts(&self, value: &Value) -> Result<(), String> {
        let listed = |value: &Value| {
            let text = plain(value);
            self.values.iter().any(|known| match known.split_once('<') {
                None => *known == text,
                Some((head, _)) => text.len() > head.len() && text.starts_with(head),
            })
        };
        // Seconds are those of Expires (RFC 3261 §25.1 delta-seconds): 32 bits.
        let number = |value: &Value| plain(value).parse::<u32>().is_ok();
        let fits = match self.kind {
            PicsType::Choice => listed(value),
            PicsType::Set => match value {
                Value::Array(items) => items.iter().all(listed),
                value => listed(value),
            },
            PicsType::List => match value {
                Value::Array(items) => items.iter().all(|item| matches!(item, Value::String(_))),
                value => matches!(value, Value::String(_)),
            },
            PicsType::Integer => number(value),
            PicsType::Seconds => listed(value) || number(value),
            PicsType::Regex => regex::Regex::new(&plain(value)).is_ok(),
        };
        if fits { Ok(()) } else { Err(self.expected()) }
    }

    /// The values in words.
    pub fn expected(&self) -> String {
        let values = one_of(self.values.iter().map(String::as_str));
        match self.kind {
            PicsType::Choice => values,
            PicsType::Set => format!("a list of {values}"),
            PicsType::List => "a list of names".to_owned(),
            PicsType::Integer => "a whole number".to_owned(),
            PicsType::Seconds if self.values.is_empty() => "a number of seconds".to_owned(),
            PicsType::Seconds => format!("a number of seconds, or {values}"),
            PicsType::Regex => "a regular expression".to_owned(),
        }
    }
}

/// A PICS value as text. YAML readers disagree about `on` and `yes`; here they are the same as `true`.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}

/// Whether two PICS values mean the same.
pub fn same(one: &Value, other: &Value) -> bool {
    let canonical = |value: &Value| match plain(value).as_str() {
        "on" | "yes" | "true" => "true".to_owned(),
        "off" | "no" | "false" => "false".to_owned(),
        text => text.to_owned(),
    };
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
        }
        _ => canonical(one) == canonical(other),
    }
}

/// All PICS keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PicsKeys {
    list: Vec<PicsKey>,
}

impl PicsKeys {
    /// The table that this build brings along.
    pub fn bundled() -> Result<Self, Diagnostics> {
        let text = embedded::text("pics.yaml").unwrap_or_default();
        Self::read(&Arc::new(Source::new("scenarios/pics.yaml", text)))
    }

    /// Reads a table.
    pub fn read(source: &Arc<Source>) -> Result<Self, Diagnostics> {
        let mut diagnostics = Diagnostics::new();
        let mut list: Vec<PicsKey> = Vec::new();
        match tree::parse(source) {
            Ok(root) => match root.as_map() {
                Some(entries) => {
                    for entry in entries {
                        let name = entry.key.as_text().unwrap_or_default();
                        if list.iter().any(|known| known.key == name) {
                            diagnostics.push(
                                Diagnostic::error(
                                    source,
                                    &entry.key.span,
                                    format!("PICS key `{name}` stands twice"),
                                )
                                .expected("expected each key once"),
                            );
                        } else if let Some(key) = read_key(
                            source,
                            name,
                            &entry.key.span,
                            &entry.value,
                            &mut diagnostics,
                        ) {
                            list.push(key);
                        }
                    }
                }
                None => diagnostics.push(
                    Diagnostic::error(source, &root.span, "no table of PICS keys")
                        .expected("expected a map"),
                ),
            },
            Err(diagnostic) => diagnostics.push(*diagnostic),
        }
        if diagnostics.is_empty() {
            Ok(Self { list })
        } else {
            Err(diagnostics)
        }
    }

    /// A key.
    pub fn get(&self, key: &str) -> Option<&PicsKey> {
        self.list.iter().find(|known| known.key == key)
    }

    /// In the order of the table.
    pub fn iter(&self) -> std::slice::Iter<'_, PicsKey> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a PicsKeys {
    type Item = &'a PicsKey;
    type IntoIter = std::slice::Iter<'a, PicsKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn read_key(
    source: &Arc<Source>,
    name: &str,
    owner: &Span,
    node: &Node,
    diagnostics: &mut Diagnostics,
) -> Option<PicsKey> {
    const KEYS: [Key; 5] = [
        Key {
            name: "type",
            required: true,
        },
        Key {
            name: "values",
            required: false,
        },
        Key {
            name: "default",
            required: false,
        },
        Key {
            name: "about",
            required: true,
        },
        Key {
            name: "resolves",
            required: false,
        },
    ];
    let fields = Fields::read(source, "PICS key", owner, node, &KEYS, diagnostics)?;
    let kind_node = fields.get("type")?;
    let written = kind_node.as_text().unwrap_or_default();
    let Some((_, kind)) = PicsType::ALL.iter().find(|(word, _)| *word == written) else {
        let words = PicsType::ALL.iter().map(|(word, _)| *word);
        diagnostics.push(
            Diagnostic::error(source, &kind_node.span, format!("`{written}` is no type"))
                .expected(format!("expected {}", one_of(words))),
        );
        return None;
    };
    let texts = |key: &str| -> Vec<String> {
        fields
            .get(key)
            .and_then(Node::as_list)
            .unwrap_or_default()
            .iter()
            .filter_map(|item| item.as_text().map(str::to_owned))
            .collect()
    };
    let key = PicsKey {
        key: name.to_owned(),
        kind: *kind,
        values: texts("values"),
        default: fields.get("default").and_then(|node| match node.as_list() {
            Some(_) => Some(texts("default").join(", ")),
            None => node.as_text().map(str::to_owned),
        }),
        about: fields
            .get("about")
            .and_then(Node::as_text)
            .unwrap_or_default()
            .trim()
            .to_owned(),
        resolves: texts("resolves"),
    };
    if matches!(kind, PicsType::Choice | PicsType::Set) && key.values.is_empty() {
        diagnostics.push(
            Diagnostic::error(source, owner, format!("PICS key `{name}` has no values"))
                .expected(format!("a {written} needs a list of `values`")),
        );
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;

    fn keys() -> PicsKeys {
        PicsKeys::bundled().unwrap_or_else(|diagnostics| panic!("{diagnostics}"))
    }

    #[test]
    fn the_bundled_table_is_right() {
        for key in &keys() {
            for default in key.default.iter().flat_map(|text| text.split(", ")) {
                assert_eq!(
                    key.accepts(&Value::String(default.to_owned())),
                    Ok(()),
                    "{}",
                    key.key
                );
            }
            assert!(key.about.ends_with('.'), "{}", key.key);
        }
        assert_eq!(keys().iter().count(), 42);
    }

    #[test]
    fn values_are_checked_by_type() {
        let keys = keys();
        let accepts = |key: &str, value: Value| keys.get(key).unwrap().accepts(&value).is_ok();
        assert!(accepts("policy.expired", "delete".into()));
        assert!(!accepts("policy.expired", "drop".into()));
        assert!(accepts("policy.expired", "other:archive".into()));
        assert!(!accepts("policy.expired", "other:".into()));
        assert!(accepts("expire.default.pm", 3600.into()));
        assert!(accepts("expire.default.pm", "none".into()));
        assert!(!accepts("expire.default.pm", "soon".into()));
        assert!(accepts("store.classes", serde_json::json!(["im", "imdn"])));
        assert!(!accepts("store.classes", serde_json::json!(["im", "mail"])));
        assert!(accepts("mid.host", "^[a-z.]+$".into()));
        assert!(!accepts("mid.host", "(".into()));
    }

    #[test]
    fn truth_values_of_all_dialects_are_the_same() {
        assert!(same(&true.into(), &"on".into()));
        assert!(same(&"no".into(), &"off".into()));
        assert!(same(&600.into(), &"600".into()));
        assert!(!same(&"on".into(), &"off".into()));
    }
}
