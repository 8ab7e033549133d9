//! Matchers: what a value, a header set, a response or a record must be.

use super::names::{Thing, Wanted};
use super::steps::long_form;
use super::{Decoder, Value};
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Fields, Node, Span};
use crate::scenario::model::{
    Expect, HeaderMatcher, Matcher, MatcherKind, Part, PartMatcher, Presence, Property, RecordKey,
    RecordMatcher, StatusPattern,
};
use crate::scenario::shape;
use crate::scenario::template::Template;

/// What a plain value or a list means in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Plain {
    /// Equal; a list is several fields in order.
    Fields,
    /// Equal; a list is a choice (`when:`).
    Choice,
    /// Equal, or one of the words `unique`, `present`, `absent` and the properties (`is:` of a step).
    Words,
}

impl Decoder<'_> {
    /// A matcher that may be missing.
    pub(super) fn maybe_matcher(&mut self, node: Option<&Node>) -> Option<Matcher> {
        node.and_then(|node| self.matcher(node, Plain::Fields))
    }

    /// A matcher.
    pub(super) fn matcher(&mut self, written: &Node, plain: Plain) -> Option<Matcher> {
        let at = self.at(&written.span);
        let node = match self.resolve(written) {
            Value::Known(node) => node,
            Value::Open => written.clone(),
        };
        let kind = if node.as_map().is_some() {
            self.matcher_map(&node)?
        } else if let Some(items) = node.as_list() {
            let items = self.matchers(items);
            if plain == Plain::Choice {
                MatcherKind::OneOf(items)
            } else {
                MatcherKind::List(items)
            }
        } else if node.is_null() {
            let diagnostic = Diagnostic::error(self.source, &node.span, "a matcher is missing")
                .expected("expected a value, a list or a matcher")
                .help("write `\"\"` for an empty value, `{ absent: true }` for none");
            self.diagnostics.push(diagnostic);
            return None;
        } else {
            match (plain, node.as_text()) {
                (Plain::Words, Some("unique")) => MatcherKind::Unique,
                (Plain::Words, Some("present")) => MatcherKind::Present,
                (Plain::Words, Some("absent")) => MatcherKind::Absent,
                (Plain::Words, Some(word)) if property(word).is_some() => {
                    MatcherKind::Is(property(word)?)
                }
                _ => MatcherKind::Equal(self.template(written)),
            }
        };
        Some(Matcher { kind, at })
    }

    fn matchers(&mut self, items: &[Node]) -> Vec<Matcher> {
        items
            .iter()
            .filter_map(|item| self.matcher(item, Plain::Fields))
            .collect()
    }

    fn matcher_map(&mut self, node: &Node) -> Option<MatcherKind> {
        let owner = node
            .as_map()?
            .first()
            .map_or_else(|| node.span.clone(), |entry| entry.key.span.clone());
        let fields = self.fields("matcher", &owner, node, &shape::MATCHERS)?;
        let mut given = shape::MATCHERS
            .keys
            .iter()
            .filter_map(|key| Some((key.name, fields.get(key.name)?)));
        let Some((key, value)) = given.next() else {
            // An unknown key was told already; an empty map was not.
            if node.as_map().is_some_and(<[_]>::is_empty) {
                let names = shape::MATCHERS.keys.iter().map(|key| key.name);
                self.error(
                    &owner,
                    "empty matcher",
                    format!("expected {}", one_of(names)),
                );
            }
            return None;
        };
        if let Some((second, _)) = given.next() {
            let span = fields.key_span(second).cloned().unwrap_or(owner);
            let diagnostic = Diagnostic::error(
                self.source,
                &span,
                format!("both `{key}` and `{second}` in one matcher"),
            )
            .expected("expected one matcher")
            .help(format!(
                "write `all-of: [{{ {key}: … }}, {{ {second}: … }}]` if both must hold"
            ));
            self.diagnostics.push(diagnostic);
            return None;
        }
        self.one_matcher(key, value)
    }

    fn one_matcher(&mut self, key: &'static str, value: &Node) -> Option<MatcherKind> {
        Some(match key {
            "one-of" => MatcherKind::OneOf(self.matcher_list(key, value)?),
            "all-of" => MatcherKind::AllOf(self.matcher_list(key, value)?),
            "not" => MatcherKind::Not(Box::new(self.matcher(value, Plain::Fields)?)),
            "matches" => MatcherKind::Matches(self.regex(value)),
            "contains" => MatcherKind::Contains(self.template(value)),
            "present" => {
                self.only_true(value, key, "`absent: true`");
                MatcherKind::Present
            }
            "absent" => {
                self.only_true(value, key, "`present: true`");
                MatcherKind::Absent
            }
            "unique" => {
                self.only_true(value, key, "`not: { unique: true }`");
                MatcherKind::Unique
            }
            "same-as" => MatcherKind::SameAs(self.thing_named(value, key, self.compared)),
            "identical-to" => MatcherKind::IdenticalTo(self.thing_named(value, key, self.compared)),
            "at-least" => MatcherKind::AtLeast(self.bound(value)),
            "at-most" => MatcherKind::AtMost(self.bound(value)),
            "within" => self.within(value)?,
            "is" => MatcherKind::Is(self.property(value)?),
            _ => MatcherKind::Count(Box::new(self.matcher(value, Plain::Fields)?)),
        })
    }

    fn matcher_list(&mut self, key: &str, value: &Node) -> Option<Vec<Matcher>> {
        let Value::Known(value) = self.resolve(value) else {
            return Some(Vec::new());
        };
        match value.as_list() {
            Some([]) | None => {
                let what = format!("list for `{key}`");
                self.mistyped(&value, &what, "a list of matchers, at least one");
                None
            }
            Some(items) => Some(self.matchers(items)),
        }
    }

    fn bound(&mut self, value: &Node) -> Template {
        let template = self.template(value);
        if template
            .as_text()
            .is_some_and(|text| text.parse::<f64>().is_err())
        {
            self.mistyped(value, "number", "a number");
        }
        template
    }

    fn regex(&mut self, value: &Node) -> Template {
        let template = self.template(value);
        if let Some(text) = template.as_text()
            && let Err(error) = regex::Regex::new(text)
        {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            self.error(&value.span, "not a regular expression", reason);
        }
        template
    }

    fn property(&mut self, value: &Node) -> Option<Property> {
        let Value::Known(value) = self.resolve(value) else {
            return None;
        };
        let word = value.as_text().unwrap_or_default();
        let found = property(word);
        if found.is_none() {
            let diagnostic = Diagnostic::error(
                self.source,
                &value.span,
                format!("unknown property `{word}`"),
            )
            .expected(format!("expected {}", one_of(shape::PROPERTIES)))
            .meant(closest(word, shape::PROPERTIES));
            self.diagnostics.push(diagnostic);
        }
        found
    }

    fn within(&mut self, value: &Node) -> Option<MatcherKind> {
        let Value::Known(value) = self.resolve(value) else {
            return None;
        };
        let span = value.span.clone();
        let value = long_form(value, "of", &span);
        let fields = self.fields("`within`", &span, &value, &shape::WITHIN)?;
        let of = self.thing_named(fields.get("of")?, "within", Wanted::Sent);
        let tolerance = match fields.get("margin") {
            None => false,
            Some(node) if node.as_text() == Some("tolerance") => true,
            Some(node) => {
                self.mistyped(
                    node,
                    "margin",
                    "`tolerance`: a margin is computed, never guessed",
                );
                false
            }
        };
        Some(MatcherKind::Within { of, tolerance })
    }

    /// Header name → matcher, with `same-as` and `except` for the whole set.
    pub(super) fn header_matchers(&mut self, node: Option<&Node>) -> Vec<HeaderMatcher> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        let Some(entries) = node.as_map() else {
            self.mistyped(
                &node,
                "set of header matchers",
                "a map from header name to matcher",
            );
            return Vec::new();
        };
        self.no_key_twice(&node, "");
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let at = self.at(&entry.key.span);
            match entry.key.as_text() {
                Some("same-as") => {
                    let of = self.thing_named(&entry.value, "same-as", self.compared);
                    let except = self.except(node.get("except"));
                    all.push(HeaderMatcher::SameAs { of, except, at });
                }
                Some("except") => {
                    if node.get("same-as").is_none() {
                        self.error(
                            &entry.key.span,
                            "`except` without `same-as`",
                            "goes with `same-as: NAME`",
                        );
                    }
                }
                _ => {
                    let name = self.header_name(&entry.key);
                    if let Some(matcher) = self.matcher(&entry.value, Plain::Fields) {
                        all.push(HeaderMatcher::Named { name, matcher, at });
                    }
                }
            }
        }
        all
    }

    fn except(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        let one = std::slice::from_ref(&node);
        let items = node.as_list().unwrap_or(one);
        let mut names = Vec::with_capacity(items.len());
        for item in items {
            let template = self.template(item);
            let Some(name) = template.as_text() else {
                self.mistyped(item, "header name", "header names and named sets");
                continue;
            };
            // Header names and named sets share one list; a set is close to no header name.
            if let Some(set) = closest(name, shape::HEADER_SETS)
                && set != name
            {
                let diagnostic = Diagnostic::error(
                    self.source,
                    &item.span,
                    format!("unknown set of headers `{name}`"),
                )
                .expected(format!(
                    "expected a header name or {}",
                    one_of(shape::HEADER_SETS)
                ))
                .meant(Some(set));
                self.diagnostics.push(diagnostic);
            }
            names.push(name.to_owned());
        }
        names
    }

    /// `expect` of a step that gets a response.
    pub(super) fn expect(&mut self, fields: &Fields<'_>) -> Option<Expect> {
        self.expectation(fields, &shape::EXPECT)
            .map(|(expect, _)| expect)
    }

    /// The same, with matchers of the SDP where the shape has them.
    pub(super) fn expectation(
        &mut self,
        fields: &Fields<'_>,
        shape: &shape::Shape,
    ) -> Option<(Expect, Vec<(String, Matcher)>)> {
        let node = fields.get("expect")?;
        let owner = fields
            .key_span("expect")
            .cloned()
            .unwrap_or_else(|| node.span.clone());
        let at = self.at(&owner);
        let Value::Known(node) = self.resolve(node) else {
            let expect = Expect {
                status: vec![StatusPattern::Class(2)],
                headers: Vec::new(),
                body: None,
                covers: None,
                at,
            };
            return Some((expect, Vec::new()));
        };
        if self.bare_expect(&node, shape) {
            return None;
        }
        let fields = self.fields("`expect`", &owner, &node, shape)?;
        let sdp = self.sdp_matchers(fields.get("sdp"));
        let expect = Expect {
            status: fields
                .get("status")
                .map_or_else(|| vec![StatusPattern::Class(2)], |node| self.statuses(node)),
            headers: self.header_matchers(fields.get("headers")),
            body: self.maybe_matcher(fields.get("body")),
            covers: self.covers(fields.get("covers")),
            at,
        };
        Some((expect, sdp))
    }

    /// Complains about `expect: 200`.
    pub(super) fn bare_expect(&mut self, node: &Node, shape: &shape::Shape) -> bool {
        let Some(text) = node.as_text() else {
            return false;
        };
        let keys = one_of(shape.keys.iter().map(|key| key.name));
        let diagnostic = Diagnostic::error(self.source, &node.span, "`expect` is a map")
            .expected(format!("expected a map with the keys {keys}"))
            .help(format!("write `expect: {{ status: {text} }}`"));
        self.diagnostics.push(diagnostic);
        true
    }

    /// Name in a session description → matcher.
    pub(super) fn sdp_matchers(&mut self, node: Option<&Node>) -> Vec<(String, Matcher)> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        let Some(entries) = node.as_map() else {
            self.mistyped(
                &node,
                "set of SDP matchers",
                "a map from a name in the SDP to a matcher",
            );
            return Vec::new();
        };
        self.no_key_twice(&node, "");
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.key.as_text().unwrap_or_default();
            // Any attribute can be asked for; one that is nearly a name of the language is a slip.
            match closest(name, shape::SDP_NAMES) {
                Some(known) if known != name => {
                    let diagnostic = Diagnostic::error(
                        self.source,
                        &entry.key.span,
                        format!("unknown name `{name}` in SDP"),
                    )
                    .expected(format!(
                        "expected the name of an attribute, or {}",
                        one_of(shape::SDP_NAMES)
                    ))
                    .meant(Some(known));
                    self.diagnostics.push(diagnostic);
                }
                _ if name.is_empty() || name.contains([':', ' ', '\r', '\n', '$']) => {
                    self.mistyped(&entry.key, "name in SDP", "the name of an attribute");
                }
                _ => {}
            }
            if let Some(matcher) = self.matcher(&entry.value, Plain::Fields) {
                all.push((name.to_owned(), matcher));
            }
        }
        all
    }

    /// `messages` of `stored`.
    pub(super) fn records(
        &mut self,
        node: Option<&Node>,
    ) -> (Vec<RecordMatcher>, Vec<(Template, Span)>) {
        let mut saves = Vec::new();
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return (Vec::new(), saves);
        };
        let Some(items) = node.as_list() else {
            self.mistyped(
                &node,
                "list of records",
                "a list, one entry for each expected record",
            );
            return (Vec::new(), saves);
        };
        let mut records = Vec::with_capacity(items.len());
        for item in items {
            if let Some(record) = self.record(item, &mut saves) {
                records.push(record);
            }
        }
        (records, saves)
    }

    fn record(&mut self, item: &Node, saves: &mut Vec<(Template, Span)>) -> Option<RecordMatcher> {
        let owner = item
            .as_map()
            .and_then(<[_]>::first)
            .map_or_else(|| item.span.clone(), |e| e.key.span.clone());
        let fields = self.fields("record", &owner, item, &shape::RECORD)?;
        let gone = fields
            .get("gone")
            .is_some_and(|node| self.only_true(node, "gone", "`present: true`"));
        let present = fields
            .get("present")
            .is_some_and(|node| self.only_true(node, "present", "`gone: true`"));
        let presence = if gone {
            let others = [
                "present",
                "request-uri",
                "headers",
                "body",
                "message-id",
                "mark",
                "received-at",
                "state",
                "account",
                "mode",
                "invite",
                "ok",
                "bye",
                "send",
                "save",
            ];
            if let Some(span) = others.iter().find_map(|key| fields.key_span(key)) {
                self.error(
                    span,
                    "a record that is gone has nothing to look at",
                    "expected `gone: true` with `of` alone",
                );
            }
            if fields.get("of").is_none() {
                self.error(
                    &owner,
                    "`gone` without `of`",
                    "expected the message that must be gone: `of: NAME`",
                );
            }
            Presence::Gone
        } else if fields.get("state").is_some() && !present {
            Presence::Any
        } else {
            Presence::Waiting
        };
        let of = fields
            .get("of")
            .map(|node| self.thing_named(node, "of", Wanted::Message));
        let keys = [
            ("request-uri", RecordKey::RequestUri),
            ("message-id", RecordKey::MessageId),
            ("mark", RecordKey::Mark),
            ("received-at", RecordKey::ReceivedAt),
            ("state", RecordKey::State),
            ("account", RecordKey::Account),
            ("mode", RecordKey::Mode),
        ];
        let mut matchers = Vec::new();
        for (name, key) in keys {
            if let Some(matcher) = self.maybe_matcher(fields.get(name)) {
                matchers.push((key, matcher));
            }
        }
        self.mode_of_record(&fields, of.as_ref());
        let save = self.save_name(fields.get("save"));
        if let (Some(save), Some(node)) = (&save, fields.get("save")) {
            saves.push((save.clone(), node.span.clone()));
        }
        Some(RecordMatcher {
            parts: self.parts(&fields),
            of,
            presence,
            fields: matchers,
            headers: self.header_matchers(fields.get("headers")),
            body: self.comparing(Wanted::Message, |decoder| {
                decoder.maybe_matcher(fields.get("body"))
            }),
            save,
            covers: self.covers(fields.get("covers")),
            at: self.at(&owner),
        })
    }

    /// A record is of one mode, and a session-mode record keeps its headers by part.
    fn mode_of_record(&mut self, fields: &Fields<'_>, of: Option<&Template>) {
        let part = PARTS
            .iter()
            .find_map(|(name, _)| Some((*name, fields.key_span(name)?)));
        let mode = fields.get("mode").map(|node| self.resolve(node));
        let mode = match &mode {
            Some(Value::Known(node)) => node.as_text().map(|text| (text, node)),
            _ => None,
        };
        if let Some((text, node)) = mode
            && !text.contains("${")
            && !shape::MODES.contains(&text)
        {
            let diagnostic =
                Diagnostic::error(self.source, &node.span, format!("unknown mode `{text}`"))
                    .expected(format!("expected {}", one_of(shape::MODES)))
                    .meant(closest(text, shape::MODES));
            self.diagnostics.push(diagnostic);
        }
        let thing = of.and_then(|of| self.thing_of(of));
        let is = |wanted: &str| mode.is_some_and(|(text, _)| text == wanted);
        if let Some((name, span)) = part
            && (is("pager") || thing == Some(Thing::Sent))
        {
            self.error(
                span,
                format!("`{name}` of a pager-mode record"),
                "only a session-mode record has such a part",
            );
        }
        if let Some(span) = fields.key_span("headers")
            && (part.is_some() || is("session") || thing == Some(Thing::Transfer))
        {
            self.error(
                span,
                "`headers` of a session-mode record",
                "it keeps headers by part: expected `invite`, `ok`, `bye` or `send`",
            );
        }
    }

    /// `invite`, `ok`, `bye` and `send` of a record.
    fn parts(&mut self, fields: &Fields<'_>) -> Vec<PartMatcher> {
        let mut parts = Vec::new();
        for (name, part) in PARTS {
            let (Some(node), Some(span)) = (fields.get(name), fields.key_span(name)) else {
                continue;
            };
            let at = self.at(span);
            let Value::Known(node) = self.resolve(node) else {
                continue;
            };
            let absent = node.as_text() == Some("absent");
            let headers = if absent {
                Vec::new()
            } else if node.as_map().is_some() {
                self.comparing(Wanted::Part(part), |decoder| {
                    decoder.header_matchers(Some(&node))
                })
            } else {
                self.mistyped(
                    &node,
                    "part of a record",
                    "a map from header name to matcher, or `absent`",
                );
                continue;
            };
            parts.push(PartMatcher {
                part,
                absent,
                headers,
                at,
            });
        }
        parts
    }

    /// Requirement ids.
    pub(super) fn covers(&mut self, node: Option<&Node>) -> Option<Vec<String>> {
        let Value::Known(node) = self.resolve(node?) else {
            return None;
        };
        let one = std::slice::from_ref(&node);
        let items = node.as_list().unwrap_or(one);
        if items.is_empty() {
            self.error(
                &node.span,
                "`covers` is empty",
                "expected at least one requirement id",
            );
        }
        let mut ids: Vec<String> = Vec::with_capacity(items.len());
        for item in items {
            let Some(id) = item.as_text() else {
                self.mistyped(item, "requirement id", "an id such as `DM-STORE-02`");
                continue;
            };
            if ids.iter().any(|known| known == id) {
                self.error(
                    &item.span,
                    format!("`{id}` stands twice"),
                    "expected each requirement once",
                );
                continue;
            }
            if !self.known.has_requirement(id) {
                let diagnostic = Diagnostic::error(
                    self.source,
                    &item.span,
                    format!("there is no requirement `{id}`"),
                )
                .expected(
                    "expected the id of a requirement; `imspec list --requirements` shows them",
                )
                .meant(self.known.closest_requirement(id));
                self.diagnostics.push(diagnostic);
            }
            ids.push(id.to_owned());
        }
        Some(ids)
    }
}

/// The parts of a session-mode record.
const PARTS: [(&str, Part); 4] = [
    ("invite", Part::Invite),
    ("ok", Part::Ok),
    ("bye", Part::Bye),
    ("send", Part::Send),
];

fn property(word: &str) -> Option<Property> {
    Some(match word {
        "message-id" => Property::MessageId,
        "message-id-host" => Property::MessageIdHost,
        "sip-date" => Property::SipDate,
        "uri" => Property::Uri,
        "msrp-id" => Property::MsrpId,
        "msrp-uri" => Property::MsrpUri,
        _ => return None,
    })
}
