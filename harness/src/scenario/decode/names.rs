//! Names that steps save, followed step by step: a reference must name something that is there by then.

use std::collections::BTreeMap;

use super::Decoder;
use crate::document::suggest::closest;
use crate::document::{Diagnostic, Node, Span};
use crate::scenario::template::{Reference, SavedField, Template};

/// What is saved under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    /// A request that the harness sent, with its response.
    Sent,
    /// A request that the SUT sent.
    Received,
    /// A record of the store.
    Record,
    /// Several records of the store.
    Records,
}

impl Thing {
    fn describe(self) -> &'static str {
        match self {
            Self::Sent => "a request that was sent",
            Self::Received => "a request that was received",
            Self::Record => "a record of the store",
            Self::Records => "records of the store",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Saved {
    thing: Thing,
    span: Span,
}

/// Names at one point of a scenario.
#[derive(Debug, Clone, Default)]
pub(super) struct Names {
    saved: BTreeMap<String, Saved>,
    /// Saved on one way of a `when` only, or in another branch of a `parallel`.
    elsewhere: BTreeMap<String, (Span, &'static str)>,
    /// Every `save` of the file, as written.
    all: Vec<(String, Span)>,
}

impl Names {
    /// Notes every `save` of the file, to tell "later" from "nowhere".
    pub(super) fn scan(&mut self, node: &Node) {
        if let Some(entries) = node.as_map() {
            for entry in entries {
                match entry.value.as_text() {
                    Some(name) if entry.key.as_text() == Some("save") => {
                        self.all.push((name.to_owned(), entry.value.span.clone()));
                    }
                    _ => self.scan(&entry.value),
                }
            }
        }
        for item in node.as_list().unwrap_or_default() {
            self.scan(item);
        }
    }

    fn written(&self, name: &str) -> Option<&Span> {
        let fits = |text: &str| match text.find("${") {
            None => text == name,
            Some(at) => name
                .strip_prefix(&text[..at])
                .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit())),
        };
        self.all
            .iter()
            .find(|(text, _)| fits(text))
            .map(|(_, span)| span)
    }

    /// Joins the names at the end of two ways of which one is taken.
    fn either(mut self, other: Self, why: &'static str) -> Self {
        let mut elsewhere = self.elsewhere;
        elsewhere.extend(other.elsewhere);
        let mut saved = BTreeMap::new();
        for (name, here) in self.saved {
            if other.saved.contains_key(&name) {
                saved.insert(name, here);
            } else {
                elsewhere.insert(name, (here.span, why));
            }
        }
        for (name, there) in other.saved {
            if !saved.contains_key(&name) {
                elsewhere.insert(name, (there.span, why));
            }
        }
        for name in saved.keys() {
            elsewhere.remove(name);
        }
        self.saved = saved;
        self.elsewhere = elsewhere;
        self
    }
}

impl Decoder<'_> {
    /// A name is given here.
    pub(super) fn save(&mut self, template: Option<&Template>, span: Option<&Span>, thing: Thing) {
        let (Some(name), Some(span)) = (template.and_then(Template::as_text), span) else {
            return;
        };
        if self.mode != super::Mode::Trial {
            return;
        }
        let taken = if self.early.scope.roles.contains(name) {
            Some("a user")
        } else if self.early.scope.variables.contains(name) {
            Some("a variable")
        } else if crate::scenario::template::RESERVED.contains(&name) {
            Some("a word of the language")
        } else {
            None
        };
        if let Some(taken) = taken {
            self.error(
                span,
                format!("`{name}` is {taken} already"),
                "expected a name of its own",
            );
        }
        let earlier = match self.names.saved.get(name) {
            Some(saved) => Some(saved.span.clone()),
            // The ways of a `when` may save the same name; two branches that both run may not, nor may a
            // later step take a name that one way has taken.
            None => self.names.elsewhere.get(name).map(|(span, _)| span.clone()),
        };
        if let Some(earlier) = earlier {
            let diagnostic =
                Diagnostic::error(self.source, span, format!("`{name}` is saved twice"))
                    .expected("expected a name that no other step saves")
                    .related(self.source, &earlier, "saved here already");
            let diagnostic = if earlier == *span {
                diagnostic.help(format!(
                    "in a `repeat`, give each round a name of its own: `{name}${{n}}`"
                ))
            } else {
                diagnostic
            };
            self.diagnostics.push(diagnostic);
            return;
        }
        let span = span.clone();
        self.names
            .saved
            .insert(name.to_owned(), Saved { thing, span });
    }

    /// A late reference stands here.
    pub(super) fn names_used(&mut self, reference: &Reference, span: &Span) {
        if self.mode != super::Mode::Trial {
            return;
        }
        match reference {
            Reference::Saved { name, field } => {
                if let Some(thing) = self.named(name, span) {
                    self.has_field(name, thing, field, span);
                }
            }
            Reference::All { stem, field } => {
                // The list runs from 1 as far as there are names.
                let first = self
                    .names
                    .saved
                    .get(&format!("{stem}1"))
                    .map(|saved| saved.thing);
                if let Some(thing) = first {
                    self.has_field(stem, thing, field, span);
                    return;
                }
                let whole = self.names.saved.get(stem).map(|saved| saved.thing);
                let mut diagnostic = Diagnostic::error(
                    self.source,
                    span,
                    format!("nothing is saved as `{stem}1` before this step"),
                )
                .expected(format!(
                    "expected names given by `save: \"{stem}${{n}}\"` in a `repeat`"
                ));
                if whole == Some(Thing::Records) {
                    diagnostic = diagnostic.help(format!(
                        "`{stem}` names several records: `${{{stem}{field}}}` is a list already"
                    ));
                }
                self.diagnostics.push(diagnostic);
            }
            _ => {}
        }
    }

    /// A key that takes the name of a message: `of`, `after`, `same-as`…
    pub(super) fn message_named(&mut self, node: &Node, key: &str, sent_only: bool) -> Template {
        let template = self.template(node);
        if self.mode == super::Mode::Trial
            && let Some(name) = template.as_text()
            && let Some(thing) = self.named(name, &node.span)
            && (sent_only && thing != Thing::Sent || thing == Thing::Records)
        {
            self.error(
                &node.span,
                format!("`{name}` is {}", thing.describe()),
                format!(
                    "`{key}` needs {}",
                    if sent_only {
                        "a message that was sent"
                    } else {
                        "one message"
                    }
                ),
            );
        }
        template
    }

    fn named(&mut self, name: &str, span: &Span) -> Option<Thing> {
        if let Some(saved) = self.names.saved.get(name) {
            return Some(saved.thing);
        }
        let diagnostic = if let Some((other, why)) = self.names.elsewhere.get(name) {
            Diagnostic::error(self.source, span, format!("`{name}` may not be there yet"))
                .expected("needs something that an earlier step surely saves")
                .related(self.source, other, *why)
        } else if let Some(later) = self.names.written(name) {
            let own = later.start == span.start;
            Diagnostic::error(self.source, span, format!("`{name}` is saved only later"))
                .expected("needs something that an earlier step saves")
                .related(self.source, later, if own { "here" } else { "saved here" })
        } else {
            let names = self.names.saved.keys().map(String::as_str);
            let names = names.chain(self.early.scope.variables.iter().map(String::as_str));
            let names = names.chain(self.early.scope.roles.iter().map(String::as_str));
            Diagnostic::error(self.source, span, format!("undefined reference `{name}`"))
                .expected("no step saves this, and it is no user and no variable")
                .meant(closest(name, names))
        };
        self.diagnostics.push(diagnostic);
        None
    }

    fn has_field(&mut self, name: &str, thing: Thing, field: &SavedField, span: &Span) {
        let needs = match (field, thing) {
            (SavedField::Record(_), Thing::Sent | Thing::Received) => {
                Some("a record, saved by `stored`")
            }
            (
                SavedField::Status | SavedField::ResponseHeader(_),
                Thing::Record | Thing::Records | Thing::Received,
            ) => Some("a request that the scenario sends"),
            _ => None,
        };
        if let Some(needs) = needs {
            self.error(
                span,
                format!(
                    "`{name}` is {} and has no `{}`",
                    thing.describe(),
                    field.to_string().trim_start_matches('.')
                ),
                format!("this field needs {needs}"),
            );
        }
    }

    /// Decodes branches of which all run: each sees what was saved before, and afterwards all is there.
    pub(super) fn all_ways<T>(
        &mut self,
        branches: usize,
        mut decode: impl FnMut(&mut Self, usize) -> T,
    ) -> Vec<T> {
        let before = self.names.clone();
        let mut after = before.clone();
        let mut results = Vec::with_capacity(branches);
        for index in 0..branches {
            self.names = before.clone();
            // What a branch beside this one saves is not there while this one runs.
            for (name, saved) in &after.saved {
                if !before.saved.contains_key(name) {
                    let why = "saved in a branch that runs beside this one";
                    self.names
                        .elsewhere
                        .insert(name.clone(), (saved.span.clone(), why));
                }
            }
            results.push(decode(self, index));
            after.saved.extend(std::mem::take(&mut self.names.saved));
            for (name, place) in std::mem::take(&mut self.names.elsewhere) {
                if before.elsewhere.contains_key(&name) || !after.saved.contains_key(&name) {
                    after.elsewhere.insert(name, place);
                }
            }
        }
        self.names = after;
        results
    }

    /// Decodes two ways of which one is taken.
    pub(super) fn one_way<A, B>(
        &mut self,
        first: impl FnOnce(&mut Self) -> A,
        second: impl FnOnce(&mut Self) -> B,
    ) -> (A, B) {
        let before = self.names.clone();
        let one = first(self);
        let after_first = std::mem::replace(&mut self.names, before);
        let other = second(self);
        let after_second = std::mem::take(&mut self.names);
        self.names = after_first.either(after_second, "saved here, on one way of a `when` only");
        (one, other)
    }
}
