//! Small values: roles, numbers, times, statuses, headers to send, bodies.

use super::{Decoder, Value};
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Fields, Node, Span};
use crate::scenario::duration;
use crate::scenario::model::{Answer, Body, ContactChoice, Content, HeaderValue, StatusPattern};
use crate::scenario::shape;
use crate::scenario::template::{Piece, Template, is_name};

impl Decoder<'_> {
    /// A role of the scenario.
    pub(super) fn role(&mut self, node: Option<&Node>) -> String {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return String::new();
        };
        let Some(role) = node.as_text() else {
            self.mistyped(&node, "user", "the name of a user");
            return String::new();
        };
        if !self.early.scope.roles.contains(role) && !self.early.scope.roles.is_empty() {
            let roles = || self.early.scope.roles.iter().map(String::as_str);
            let diagnostic =
                Diagnostic::error(self.source, &node.span, format!("unknown user `{role}`"))
                    .expected(format!("expected {}", one_of(roles())))
                    .meant(closest(role, roles()))
                    .note("users are named in `users:` at the head of the scenario");
            self.diagnostics.push(diagnostic);
        }
        role.to_owned()
    }

    /// One role or a list of them.
    pub(super) fn roles(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        match node.as_list() {
            Some([]) => {
                self.error(
                    &node.span,
                    "empty list of users",
                    "expected at least one user",
                );
                Vec::new()
            }
            Some(items) => items.iter().map(|item| self.role(Some(item))).collect(),
            None => vec![self.role(Some(&node))],
        }
    }

    /// A device of a user.
    pub(super) fn device(&mut self, node: Option<&Node>) -> Option<String> {
        let Value::Known(node) = self.resolve(node?) else {
            return None;
        };
        match node.as_text() {
            Some(name) if is_name(name) => Some(name.to_owned()),
            _ => {
                self.mistyped(&node, "device", "a name of letters, digits, `-` and `_`");
                None
            }
        }
    }

    /// `udp` or `tcp`.
    pub(super) fn transport(&mut self, node: Option<&Node>) -> Option<Template> {
        let node = node?;
        if let Value::Known(known) = self.resolve(node)
            && !known
                .as_text()
                .is_some_and(|text| shape::TRANSPORTS.contains(&text))
        {
            self.mistyped(&known, "transport", &one_of(shape::TRANSPORTS));
            return None;
        }
        Some(self.template(node))
    }

    /// A method name.
    pub(super) fn method(&mut self, node: Option<&Node>) -> Option<String> {
        let Value::Known(node) = self.resolve(node?) else {
            return None;
        };
        let text = node.as_text().unwrap_or_default();
        if shape::METHODS.contains(&text) {
            return Some(text.to_owned());
        }
        let diagnostic =
            Diagnostic::error(self.source, &node.span, format!("unknown method `{text}`"))
                .expected(format!("expected {}", one_of(shape::METHODS)))
                .meant(closest(text, shape::METHODS));
        self.diagnostics.push(diagnostic);
        None
    }

    /// A name that something gets.
    pub(super) fn save_name(&mut self, node: Option<&Node>) -> Option<Template> {
        let node = node?;
        let template = self.template(node);
        if template.as_text().is_some_and(|name| !is_name(name)) {
            self.mistyped(node, "name", "letters, digits, `-` and `_`, a letter first");
            return None;
        }
        Some(template)
    }

    /// A whole number within bounds, or a reference to one.
    pub(super) fn number(&mut self, node: &Node, what: &str, least: u64, most: u64) -> Template {
        if let Value::Known(known) = self.resolve(node) {
            let number = known.as_text().and_then(|text| text.parse::<u64>().ok());
            let late = known.as_text().is_some_and(|text| text.contains("${"));
            if !late && !number.is_some_and(|number| (least..=most).contains(&number)) {
                self.mistyped(
                    &known,
                    what,
                    &format!("a whole number from {least} to {most}"),
                );
            }
        }
        self.template(node)
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, node: Option<&Node>) -> bool {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return false;
        };
        match node.as_text() {
            Some("true") => true,
            Some("false") => false,
            _ => {
                self.mistyped(&node, "truth value", "`true` or `false`");
                false
            }
        }
    }

    /// A key that can only be `true`.
    pub(super) fn only_true(&mut self, node: &Node, key: &str, opposite: &str) -> bool {
        match self.resolve(node) {
            Value::Open => true,
            Value::Known(node) if node.as_text() == Some("true") => true,
            Value::Known(node) => {
                let diagnostic = Diagnostic::error(
                    self.source,
                    &node.span,
                    format!("`{key}` can only be `true`"),
                )
                .expected(format!(
                    "expected `true`; for the opposite write {opposite}"
                ));
                self.diagnostics.push(diagnostic);
                false
            }
        }
    }

    /// A length of time.
    pub(super) fn duration(&mut self, node: Option<&Node>) -> Option<Template> {
        let node = node?;
        let template = self.template(node);
        if template
            .as_text()
            .is_some_and(|text| duration::parse_ms(text).is_none())
        {
            self.not_a_time(node);
        }
        Some(template)
    }

    fn not_a_time(&mut self, node: &Node) {
        let node = match self.resolve(node) {
            Value::Known(node) => node,
            Value::Open => return,
        };
        let text = node.as_text().unwrap_or_default();
        let bare = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let mut diagnostic = Diagnostic::error(
            self.source,
            &node.span,
            format!("`{text}` is no length of time"),
        )
        .expected(format!("expected {}", duration::EXPECTED));
        if bare {
            diagnostic = diagnostic.help(format!("did you mean `{text}s`?"));
        }
        self.diagnostics.push(diagnostic);
    }

    /// A length of time, perhaps with the computed tolerance added or taken off.
    pub(super) fn until(&mut self, node: &Node) -> (Template, i8) {
        let mut template = self.template(node);
        let mut tolerance = 0;
        if let Some(Piece::Text(text)) = template.pieces.last_mut()
            && let Some(rest) = text.trim_end().strip_suffix("tolerance").map(str::trim_end)
        {
            let signed = [('+', 1), ('-', -1)].into_iter().find_map(|(sign, value)| {
                Some((rest.strip_suffix(sign)?.trim_end().to_owned(), value))
            });
            if let Some((length, value)) = signed {
                *text = length;
                tolerance = value;
            }
        }
        template
            .pieces
            .retain(|piece| *piece != Piece::Text(String::new()));
        if template
            .as_text()
            .is_some_and(|text| duration::parse_ms(text).is_none())
        {
            self.not_a_time(node);
        }
        (template, tolerance)
    }

    /// Codes, classes and `none`.
    pub(super) fn statuses(&mut self, node: &Node) -> Vec<StatusPattern> {
        let Value::Known(node) = self.resolve(node) else {
            return vec![StatusPattern::Class(2)];
        };
        match node.as_list() {
            Some([]) => {
                self.error(
                    &node.span,
                    "empty list of statuses",
                    "expected at least one status",
                );
                Vec::new()
            }
            Some(items) => items.iter().flat_map(|item| self.statuses(item)).collect(),
            None => self.status(&node).into_iter().collect(),
        }
    }

    fn status(&mut self, node: &Node) -> Option<StatusPattern> {
        let text = node.as_text().unwrap_or_default();
        if text == "none" {
            return Some(StatusPattern::Silence);
        }
        if let Some(class) = status_class(text) {
            return Some(StatusPattern::Class(class));
        }
        match text.parse::<u16>() {
            Ok(code) if (100..=699).contains(&code) => Some(StatusPattern::Code(code)),
            _ => {
                self.mistyped(
                    node,
                    "status",
                    "a code from 100 to 699, a class such as `2xx`, or `none`",
                );
                None
            }
        }
    }

    /// Headers to send.
    pub(super) fn headers(&mut self, node: Option<&Node>) -> Vec<(Template, HeaderValue)> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        let Some(entries) = node.as_map() else {
            self.mistyped(&node, "set of headers", "a map from header name to value");
            return Vec::new();
        };
        self.no_key_twice(
            &node,
            "write a list of values for several fields of one name",
        );
        let mut headers = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = self.header_name(&entry.key);
            let value = match self.resolve(&entry.value) {
                Value::Known(value) if value.is_null() => HeaderValue::Omitted,
                Value::Known(value) if value.as_list().is_some() => HeaderValue::Values(
                    value
                        .as_list()
                        .unwrap_or_default()
                        .iter()
                        .map(|item| self.template(item))
                        .collect(),
                ),
                Value::Known(value) if value.as_map().is_some() => {
                    self.error(
                        &value.span,
                        "a map is no header value",
                        "expected text, a number, a list of these, or null; matchers belong to `expect`, `receive` and `stored`",
                    );
                    continue;
                }
                _ => HeaderValue::Values(vec![self.template(&entry.value)]),
            };
            headers.push((name, value));
        }
        headers
    }

    /// Name of a header.
    pub(super) fn header_name(&mut self, key: &Node) -> Template {
        let name = self.template(key);
        if name
            .as_text()
            .is_some_and(|name| name.is_empty() || name.contains([':', '\r', '\n']))
        {
            self.mistyped(key, "header name", "a name without colon and line end");
        }
        name
    }

    /// Complains about keys that stand twice in a map with free keys.
    pub(super) fn no_key_twice(&mut self, node: &Node, help: &str) {
        let entries = node.as_map().unwrap_or_default();
        for (index, entry) in entries.iter().enumerate() {
            let name = entry.key.as_text().unwrap_or_default();
            if let Some(first) = entries[..index]
                .iter()
                .find(|e| e.key.as_text() == Some(name))
            {
                let diagnostic = crate::document::fields::duplicate_key(
                    self.source,
                    name,
                    &entry.key.span,
                    &first.key.span,
                );
                self.diagnostics.push(if help.is_empty() {
                    diagnostic
                } else {
                    diagnostic.help(help)
                });
            }
        }
    }

    /// Contact of a REGISTER.
    pub(super) fn contact(&mut self, node: Option<&Node>) -> ContactChoice {
        let Some(node) = node else {
            return ContactChoice::Own;
        };
        let template = self.template(node);
        match template.as_text() {
            Some("own") => ContactChoice::Own,
            Some("none") => ContactChoice::None,
            Some("all") => ContactChoice::All,
            _ => ContactChoice::Literal(template),
        }
    }

    /// How an agent answers.
    pub(super) fn answer(&mut self, node: Option<&Node>, owner: &Span) -> Answer {
        let ok = |status| Answer::Status {
            status,
            after_ms: 0,
            headers: Vec::new(),
        };
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return ok(200);
        };
        if node.as_map().is_some() {
            let Some(fields) = self.fields("`answer`", owner, &node, &shape::ANSWER) else {
                return ok(200);
            };
            let status = fields
                .get("status")
                .map_or(200, |node| self.final_status(node));
            let after_ms = fields
                .get("after")
                .and_then(|node| match self.resolve(node) {
                    Value::Known(known) => Some(known),
                    Value::Open => None,
                })
                .and_then(|node| {
                    let ms = duration::parse_ms(node.as_text().unwrap_or_default());
                    if ms.is_none() {
                        self.not_a_time(&node);
                    }
                    ms
                })
                .unwrap_or(0);
            let headers = self.headers(fields.get("headers"));
            return Answer::Status {
                status,
                after_ms,
                headers,
            };
        }
        match node.as_text() {
            Some("none") => Answer::Silence,
            Some("reset") => Answer::Reset,
            _ => ok(self.final_status(&node)),
        }
    }

    fn final_status(&mut self, node: &Node) -> u16 {
        let Value::Known(node) = self.resolve(node) else {
            return 200;
        };
        match node.as_text().and_then(|text| text.parse::<u16>().ok()) {
            Some(code) if (100..=699).contains(&code) => code,
            _ => {
                self.mistyped(&node, "answer", "a code from 100 to 699, `none` or `reset`");
                200
            }
        }
    }

    /// A body to send.
    pub(super) fn body(&mut self, node: Option<&Node>) -> Option<Body> {
        let written = node?;
        let Value::Known(node) = self.resolve(written) else {
            return Some(Body {
                media_type: Some(self.plain_text(written)),
                content: Content::Text(self.template(written)),
            });
        };
        if node.is_null() {
            return None;
        }
        if node.as_map().is_none() {
            return Some(Body {
                media_type: Some(self.plain_text(&node)),
                // The reference itself, not its value: random values of a matrix are drawn once.
                content: Content::Text(self.template(written)),
            });
        }
        let span = node.span.clone();
        let fields = self.fields("`body`", &span, &node, &shape::BODY)?;
        let media_type = match fields.get("type") {
            None => Some(self.plain_text(&node)),
            Some(node) => match self.resolve(node) {
                Value::Known(known) if known.is_null() => None,
                _ => Some(self.template(node)),
            },
        };
        let content = self.content(&fields, &["text", "base64", "file"], &span)?;
        Some(Body {
            media_type,
            content,
        })
    }

    fn plain_text(&self, node: &Node) -> Template {
        Template::plain("text/plain", self.at(&node.span))
    }

    /// Octets, given by exactly one of several keys.
    pub(super) fn content(
        &mut self,
        fields: &Fields<'_>,
        keys: &[&'static str],
        owner: &Span,
    ) -> Option<Content> {
        let mut given = keys.iter().copied().filter(|key| fields.get(key).is_some());
        let Some(key) = given.next() else {
            if fields.complete {
                self.error(
                    owner,
                    format!("{} has no octets", fields.what),
                    format!("expected {}", one_of(keys.iter().copied())),
                );
            }
            return None;
        };
        if let Some(second) = given.next() {
            let span = fields
                .key_span(second)
                .cloned()
                .unwrap_or_else(|| owner.clone());
            self.error(
                &span,
                format!("{} has both `{key}` and `{second}`", fields.what),
                format!("expected only one of {}", one_of(keys.iter().copied())),
            );
            return None;
        }
        let node = fields.get(key)?;
        match key {
            "text" => Some(Content::Text(self.template(node))),
            "lines" => self.lines(node),
            "base64" => self.base64(node),
            _ => self.file(node),
        }
    }

    fn lines(&mut self, node: &Node) -> Option<Content> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let Some(items) = node.as_list() else {
            self.mistyped(&node, "list of lines", "a list, one line an entry");
            return None;
        };
        let mut pieces = Vec::new();
        for item in items {
            pieces.extend(self.template(item).pieces);
            pieces.push(Piece::Text("\r\n".to_owned()));
        }
        pieces.push(Piece::Text("\r\n".to_owned()));
        Some(Content::Text(Template {
            pieces: super::join(pieces),
            at: self.at(&node.span),
        }))
    }

    fn base64(&mut self, node: &Node) -> Option<Content> {
        use base64::Engine as _;
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let text: String = node
            .as_text()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        match base64::engine::general_purpose::STANDARD.decode(&text) {
            Ok(octets) if node.as_text().is_some() => Some(Content::Octets(octets)),
            Ok(_) => {
                self.mistyped(&node, "base64", "base64");
                None
            }
            Err(error) => {
                self.error(&node.span, "not base64", error.to_string());
                None
            }
        }
    }

    fn file(&mut self, node: &Node) -> Option<Content> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        match self.files.read(node.as_text().unwrap_or_default()) {
            Ok(octets) => Some(Content::Octets(octets)),
            Err(problem) => {
                self.error(
                    &node.span,
                    problem,
                    "expected the path of a file, relative to the scenario",
                );
                None
            }
        }
    }
}

/// `2xx` → 2
pub(super) fn status_class(text: &str) -> Option<u16> {
    let class = text.strip_suffix("xx")?.parse::<u16>().ok()?;
    (1..=6).contains(&class).then_some(class)
}
