//! Names that steps save, followed step by step: a reference must name something that is there by then.

use std::collections::BTreeMap;

use super::Decoder;
use crate::document::suggest::closest;
use crate::document::{Diagnostic, Node, Span};
use crate::scenario::model::Part;
use crate::scenario::template::{Reference, SavedField, Template};

/// What is saved under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    /// A request that the harness sent, with its response.
    Sent,
    /// A session that the harness asked for by INVITE.
    Invite,
    /// A message, or chunks of one, that the harness sent through a session.
    Transfer,
    /// A request, or a message through a session, that the SUT sent.
    Received,
    /// A session that the SUT asked for by INVITE.
    Invitation,
    /// A record of the store.
    Record,
    /// Several records of the store.
    Records,
}

impl Thing {
    fn describe(self) -> &'static str {
        match self {
            Self::Sent => "a request that was sent",
            Self::Invite => "a session that was asked for",
            Self::Transfer => "a message sent through a session",
            Self::Received => "a request that was received",
            Self::Invitation => "an INVITE that was received",
            Self::Record => "a record of the store",
            Self::Records => "records of the store",
        }
    }
}

/// What a key needs that takes the name of something saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Anything with fields to compare with.
    Comparable,
    /// A message: what is delivered and stored.
    Message,
    /// Something that the harness sent, from whose sending time is counted.
    Sent,
    /// Octets that can be sent again.
    Request,
    /// A session.
    Session,
    /// A session that the harness asked for.
    OwnSession,
    /// A message sent through a session.
    Transfer,
    /// What a part of a session-mode record is compared with.
    Part(Part),
}

impl Wanted {
    fn fits(self, thing: Thing) -> bool {
        match self {
            Self::Comparable => thing != Thing::Records,
            Self::Message => !matches!(thing, Thing::Records | Thing::Invite | Thing::Invitation),
            Self::Sent => matches!(thing, Thing::Sent | Thing::Invite | Thing::Transfer),
            Self::Request => thing == Thing::Sent,
            Self::Session => matches!(thing, Thing::Invite | Thing::Invitation),
            Self::OwnSession => thing == Thing::Invite,
            Self::Transfer => thing == Thing::Transfer,
            Self::Part(part) => {
                thing == Thing::Record
                    || match part {
                        Part::Send => thing == Thing::Transfer,
                        Part::Ok => thing == Thing::Invite,
                        // What the two have in common (Call-ID, From) may be compared across them.
                        Part::Invite | Part::Bye => matches!(thing, Thing::Invite | Thing::Sent),
                    }
            }
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Comparable | Self::Message => "one message",
            Self::Sent | Self::Request => "a message that was sent",
            Self::Session => "a session: a saved `invite`, or a saved `receive` of an INVITE",
            Self::OwnSession | Self::Part(Part::Invite) => "a saved `invite`",
            Self::Transfer | Self::Part(Part::Send) => "a saved `msrp`",
            Self::Part(Part::Ok) => "a saved `invite`, with whose response it is compared",
            Self::Part(Part::Bye) => "a saved `bye` or `invite`",
        }
    }

    /// What to do about a thing that does not fit.
    fn advice(self, thing: Thing) -> Option<&'static str> {
        match (self, thing) {
            (Self::Message | Self::Transfer | Self::Part(Part::Send), Thing::Invite) => {
                Some("name the `msrp` that sent it through that session")
            }
            (Self::Session | Self::OwnSession | Self::Part(_), Thing::Transfer) => {
                Some("name the `invite` of its session")
            }
            (Self::Session, Thing::Received) => {
                Some("a `receive` with `method: INVITE` takes a session as such")
            }
            _ => None,
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

    /// A key that takes the name of something saved: `of`, `after`, `same-as`, `session`…
    pub(super) fn thing_named(&mut self, node: &Node, key: &str, wanted: Wanted) -> Template {
        let template = self.template(node);
        if self.mode == super::Mode::Trial
            && let Some(name) = template.as_text()
            && let Some(thing) = self.named(name, &node.span)
            && !wanted.fits(thing)
        {
            let mut diagnostic = Diagnostic::error(
                self.source,
                &node.span,
                format!("`{name}` is {}", thing.describe()),
            )
            .expected(format!("`{key}` needs {}", wanted.describe()));
            if let Some(advice) = wanted.advice(thing) {
                diagnostic = diagnostic.help(advice);
            }
            self.diagnostics.push(diagnostic);
        }
        template
    }

    /// What a name stands for here, if that is known.
    pub(super) fn thing_of(&self, name: &Template) -> Option<Thing> {
        let saved = self.names.saved.get(name.as_text()?)?;
        Some(saved.thing)
    }

    /// Decodes something in which `same-as` and `identical-to` need a thing of this kind.
    pub(super) fn comparing<T>(
        &mut self,
        wanted: Wanted,
        decode: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let before = std::mem::replace(&mut self.compared, wanted);
        let made = decode(self);
        self.compared = before;
        made
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
        use Thing::{Invitation, Invite, Received, Record, Records, Sent, Transfer};
        let (fits, needs) = match field {
            SavedField::Itself | SavedField::Body | SavedField::Header(_) => (true, ""),
            SavedField::Record(_) => (
                matches!(thing, Record | Records),
                "a record, saved by `stored`",
            ),
            SavedField::Status => (
                matches!(thing, Sent | Invite | Transfer),
                "a request that the scenario sends",
            ),
            SavedField::ResponseHeader(_) => (
                matches!(thing, Sent | Invite),
                "a request that the scenario sends",
            ),
            SavedField::Uri => (thing != Transfer, "a SIP request"),
            SavedField::Path | SavedField::OwnPath | SavedField::Sdp(_) => (
                matches!(thing, Invite | Invitation),
                "a session: a saved `invite`, or a saved `receive` of an INVITE",
            ),
            SavedField::MsrpId | SavedField::Report => {
                (thing == Transfer, "a message sent by `msrp`")
            }
            SavedField::Send(_) => (
                matches!(thing, Transfer | Received),
                "a message sent by `msrp`, or a delivery that was received",
            ),
            SavedField::Mode => (
                matches!(thing, Received | Record | Records),
                "a delivery that was received, or a record",
            ),
        };
        let needs = (!fits).then_some(needs);
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
