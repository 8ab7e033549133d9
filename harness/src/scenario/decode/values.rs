//! Small values: roles, numbers, times, statuses, headers to send, bodies.

use super::{Decoder, Value};
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Fields, Node, Span};
use crate::scenario::model::{
    Answer, Body, ContactChoice, Content, HeaderValue, MsrpConduct, SessionSdp, StatusPattern,
};
use crate::scenario::template::{Piece, Template, is_name};
use crate::scenario::{duration, octets, shape};

/// How an agent answers.
pub(super) struct Answering {
    /// The request.
    pub(super) answer: Answer,
    /// What it says in the SDP with which it accepts a session.
    pub(super) sdp: SessionSdp,
    /// How it behaves in a session.
    pub(super) msrp: MsrpConduct,
    /// The first key that only makes sense for a session.
    pub(super) session_key: Option<(&'static str, Span)>,
}

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

    /// A number of octets within bounds, in digits where it is known; or a reference to one.
    pub(super) fn size(&mut self, node: &Node, least: u64, most: u64) -> Template {
        let Value::Known(known) = self.resolve(node) else {
            return self.template(node);
        };
        let text = known.as_text().unwrap_or_default();
        if text.contains("${") {
            return self.template(node);
        }
        match octets::parse_size(text) {
            Some(size) if (least..=most).contains(&size) => {
                return Template::plain(size.to_string(), self.at(&node.span));
            }
            Some(size) => self.error(
                &known.span,
                format!(
                    "`{text}` is too {}",
                    if size < least { "small" } else { "large" }
                ),
                format!("expected {least} to {most} octets"),
            ),
            None => self.mistyped(&known, "number of octets", octets::EXPECTED),
        }
        Template::plain(least.to_string(), self.at(&node.span))
    }

    /// A number of octets that must be known before the case runs.
    fn known_size(&mut self, node: &Node) -> Option<u64> {
        let Value::Known(known) = self.resolve(node) else {
            return Some(0);
        };
        let size = octets::parse_size(known.as_text().unwrap_or_default());
        match size {
            Some(size) if size <= octets::LARGEST => Some(size),
            Some(_) => {
                self.error(
                    &known.span,
                    format!("`{}` is too large", known.as_text().unwrap_or_default()),
                    format!("expected at most {} octets", octets::LARGEST),
                );
                None
            }
            None => {
                self.mistyped(&known, "number of octets", octets::EXPECTED);
                None
            }
        }
    }

    /// One of a few words, or a reference to one.
    pub(super) fn word(&mut self, node: &Node, what: &str, words: &[&'static str]) -> Template {
        if let Value::Known(known) = self.resolve(node) {
            let text = known.as_text().unwrap_or_default();
            if !words.contains(&text) {
                // Of single characters each is as close to any other.
                let meant = closest(text, words.iter().copied()).filter(|_| text.len() > 1);
                let diagnostic = Diagnostic::error(
                    self.source,
                    &known.span,
                    format!(
                        "`{}` is no {what}",
                        known.as_text().unwrap_or_else(|| known.describe())
                    ),
                )
                .expected(format!("expected {}", one_of(words.iter().copied())))
                .meant(meant);
                self.diagnostics.push(diagnostic);
                return Template::plain("", self.at(&node.span));
            }
        }
        self.template(node)
    }

    /// Which of a few words stands here; the first where it cannot be told.
    pub(super) fn choice<T: Copy>(
        &mut self,
        node: &Node,
        what: &str,
        words: &[&'static str],
        values: &[T],
    ) -> Option<T> {
        let word = self.word(node, what, words);
        let at = word
            .as_text()
            .and_then(|text| words.iter().position(|known| *known == text))
            .unwrap_or(0);
        values.get(at).copied()
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

    /// How an agent answers a request, and how it behaves in a session that it accepts.
    pub(super) fn answer(&mut self, node: Option<&Node>, owner: &Span) -> Answering {
        let ok = |status| Answer::Status {
            status,
            after_ms: 0,
            headers: Vec::new(),
        };
        let plain = |answer| Answering {
            answer,
            sdp: SessionSdp::default(),
            msrp: MsrpConduct::default(),
            session_key: None,
        };
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return plain(ok(200));
        };
        if node.as_map().is_some() {
            let Some(fields) = self.fields("`answer`", owner, &node, &shape::ANSWER) else {
                return plain(ok(200));
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
            let session_key = ["sdp", "msrp"]
                .into_iter()
                .find_map(|key| Some((key, fields.key_span(key)?.clone())));
            if let Some((key, span)) = &session_key
                && status / 100 != 2
            {
                self.error(
                    span,
                    format!("`{key}` beside `status: {status}`"),
                    "only a session that is accepted (2xx) has it",
                );
            }
            return Answering {
                answer: Answer::Status {
                    status,
                    after_ms,
                    headers,
                },
                sdp: self.session_sdp(fields.get("sdp"), "`sdp`"),
                msrp: self.conduct(fields.get("msrp")),
                session_key,
            };
        }
        plain(match node.as_text() {
            Some("none") => Answer::Silence,
            Some("reset") => Answer::Reset,
            _ => ok(self.final_status(&node)),
        })
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
        self.body_of(node, &shape::BODY, "text/plain")
    }

    /// The same with the keys of a shape and the media type where none is given.
    pub(super) fn body_of(
        &mut self,
        node: Option<&Node>,
        shape: &shape::Shape,
        usual_type: &str,
    ) -> Option<Body> {
        let written = node?;
        let usual = Some(Template::plain(usual_type, self.at(&written.span)));
        let Value::Known(node) = self.resolve(written) else {
            return Some(Body {
                media_type: usual,
                content: Content::Text(self.template(written)),
            });
        };
        if node.is_null() {
            return None;
        }
        if node.as_map().is_none() {
            return Some(Body {
                media_type: usual,
                // The reference itself, not its value: random values of a matrix are drawn once.
                content: Content::Text(self.template(written)),
            });
        }
        let span = node.span.clone();
        let fields = self.fields("`body`", &span, &node, shape)?;
        let media_type = match fields.get("type") {
            None => usual,
            Some(node) => match self.resolve(node) {
                Value::Known(known) if known.is_null() => None,
                _ => Some(self.template(node)),
            },
        };
        let keys: Vec<&str> = shape.keys.iter().map(|key| key.name).collect();
        let content = self.content(
            &fields,
            keys.strip_prefix(&["type"]).unwrap_or(&keys),
            &span,
        )?;
        Some(Body {
            media_type,
            content,
        })
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
            "generate" => Some(Content::Generated(self.known_size(node)?)),
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
