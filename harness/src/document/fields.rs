//! The keys of a map, checked against the keys that it may have.

use std::sync::Arc;

use super::diagnostic::{Diagnostic, Diagnostics, Source};
use super::suggest::{closest, one_of};
use super::tree::{Node, Span};

/// A key that a map may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// As written.
    pub name: &'static str,
    /// Whether it must be there.
    pub required: bool,
}

/// A map whose keys are known to be right.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    /// `message`, for messages.
    pub what: &'a str,
    /// Where the map begins.
    pub span: Span,
    /// Whether every key was known: where one was not, a missing one may be that one, misspelt.
    pub complete: bool,
    entries: Vec<(&'a Node, &'a Node)>,
}

impl<'a> Fields<'a> {
    /// Checks a map: no key that is not in `keys`, none twice, all required ones. `owner` is where a missing
    /// key is shown: the word that asks for the map.
    ///
    /// Gives `None` if the node is no map at all.
    pub fn read(
        source: &Arc<Source>,
        what: &'a str,
        owner: &Span,
        node: &'a Node,
        keys: &[Key],
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        Self::read_with(source, what, owner, node, keys, &|_| None, diagnostics)
    }

    /// The same; `advice` tells what to do about an unknown key that resembles no known one.
    pub fn read_with(
        source: &Arc<Source>,
        what: &'a str,
        owner: &Span,
        node: &'a Node,
        keys: &[Key],
        advice: &dyn Fn(&str) -> Option<String>,
        diagnostics: &mut Diagnostics,
    ) -> Option<Self> {
        let names = || keys.iter().map(|key| key.name);
        let Some(map) = node.as_map() else {
            diagnostics.push(
                Diagnostic::error(source, &node.span, format!("{what} is {}", node.describe()))
                    .expected(format!("expected a map with the keys {}", one_of(names()))),
            );
            return None;
        };
        let mut misspelt = Vec::new();
        let mut entries: Vec<(&Node, &Node)> = Vec::with_capacity(map.len());
        for entry in map {
            let name = entry.key.as_text().unwrap_or_default();
            if !names().any(|known| known == name) {
                let meant = closest(name, names());
                misspelt.push(meant);
                let mut diagnostic = Diagnostic::error(
                    source,
                    &entry.key.span,
                    format!("unknown key `{name}` in {what}"),
                )
                .expected(format!("expected {}", one_of(names())))
                .meant(meant);
                if let (None, Some(advice)) = (meant, advice(name)) {
                    diagnostic = diagnostic.help(advice);
                }
                diagnostics.push(diagnostic);
                continue;
            }
            if let Some((first, _)) = entries.iter().find(|(key, _)| key.as_text() == Some(name)) {
                diagnostics.push(duplicate_key(source, name, &entry.key.span, &first.span));
                continue;
            }
            entries.push((&entry.key, &entry.value));
        }
        for key in keys.iter().filter(|key| key.required) {
            let there = entries
                .iter()
                .any(|(known, _)| known.as_text() == Some(key.name));
            if !there && !misspelt.contains(&Some(key.name)) {
                diagnostics.push(
                    Diagnostic::error(source, owner, format!("{what} has no `{}`", key.name))
                        .expected(format!("`{}` is required here", key.name)),
                );
            }
        }
        Some(Self {
            what,
            span: owner.clone(),
            complete: misspelt.is_empty(),
            entries,
        })
    }

    /// Value of a key.
    pub fn get(&self, name: &str) -> Option<&'a Node> {
        self.entries
            .iter()
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(_, value)| *value)
    }

    /// Where a key is written.
    pub fn key_span(&self, name: &str) -> Option<&'a Span> {
        self.entries
            .iter()
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(key, _)| &key.span)
    }
}

/// A key that stands twice in one map.
pub fn duplicate_key(source: &Arc<Source>, name: &str, again: &Span, first: &Span) -> Diagnostic {
    Diagnostic::error(source, again, format!("key `{name}` stands twice"))
        .expected("given again here")
        .related(source, first, "first given here")
}
