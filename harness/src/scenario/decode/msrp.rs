//! `msrp`: a message through a session, and everything that can be done to it on the way.

use super::names::{Thing, Wanted};
use super::steps::Made;
use super::{Decoder, Value};
use crate::document::suggest::one_of;
use crate::document::{Diagnostic, Fields, Node, Span};
use crate::scenario::model::{
    Body, Chunk, Chunks, Content, Cut, CutHow, MsrpConnection, MsrpExpect, MsrpStep, Override,
    ReportExpect, Verb,
};
use crate::scenario::octets;
use crate::scenario::shape;
use crate::scenario::template::{Piece, Template};

impl Decoder<'_> {
    pub(super) fn msrp(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`msrp`", owner, node, &shape::MSRP)?;
        let session = self.thing_named(fields.get("session")?, "session", Wanted::Session);
        let continues = fields
            .get("continues")
            .map(|node| self.thing_named(node, "continues", Wanted::Transfer));
        self.fits_together(&fields);
        let at = self.at(owner);
        let body = self.body_of(fields.get("body"), &shape::SESSION_BODY, "text/plain");
        let length = if continues.is_some() {
            None
        } else {
            Some(body.as_ref().map_or(Some(0), known_length))
        };
        let step = MsrpStep {
            session,
            chunks: self.chunks(fields.get("chunks"), length.flatten()),
            body,
            headers: self.headers(fields.get("headers")),
            message_id: fields.get("message-id").map(|node| self.template(node)),
            continues,
            method: match fields.get("method") {
                Some(node) => self.msrp_method(node),
                None => Template::plain("SEND", at),
            },
            raw: fields
                .get("raw")
                .and_then(|node| self.octets(node, "`raw`")),
            connection: self.msrp_connection(fields.get("connection")),
            writes: self.writes(fields.get("writes")),
            cut: fields.get("cut").and_then(|node| {
                let owner = fields.key_span("cut").unwrap_or(owner);
                self.cut(node, owner)
            }),
            within: self.duration(fields.get("within")),
            expect: self.msrp_expect(&fields),
            save: self.save_name(fields.get("save")),
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Transfer,
        );
        Some(Verb::Msrp(step))
    }

    /// Keys that contradict each other, or one that needs another.
    fn fits_together(&mut self, fields: &Fields<'_>) {
        let instead = [
            "body",
            "headers",
            "message-id",
            "chunks",
            "continues",
            "method",
        ];
        let beside = |keys: &[&'static str]| {
            keys.iter()
                .find_map(|key| Some((*key, fields.key_span(key)?.clone())))
        };
        if fields.get("raw").is_some() {
            if let Some((key, span)) = beside(&instead) {
                self.error(
                    &span,
                    format!("`{key}` beside `raw`"),
                    "the octets of `raw` are all that is sent",
                );
            }
            return;
        }
        if let Some(span) = fields.key_span("continues") {
            if let Some((key, other)) = beside(&["body", "message-id"]) {
                self.error(
                    &other,
                    format!("`{key}` beside `continues`"),
                    "the message goes on with the body and the Message-ID that it has",
                );
            }
            if fields.get("chunks").is_none() {
                let diagnostic =
                    Diagnostic::error(self.source, span, "`continues` without `chunks`")
                        .expected("which octets of the body go out now?")
                        .help("write for example `chunks: [{ octets: 5-8 }]`");
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn msrp_method(&mut self, node: &Node) -> Template {
        let method = self.template(node);
        let token = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&b))
        };
        if method.as_text().is_some_and(|text| !token(text)) {
            self.mistyped(node, "method of MSRP", "a token such as `SEND`");
        }
        method
    }

    /// Octets without a media type: text, or a map.
    fn octets(&mut self, node: &Node, what: &str) -> Option<Content> {
        let known = match self.resolve(node) {
            Value::Known(known) => known,
            Value::Open => return Some(Content::Text(self.template(node))),
        };
        if known.as_map().is_none() {
            return Some(Content::Text(self.template(node)));
        }
        let span = known.span.clone();
        let fields = self.fields(what, &span, &known, &shape::OCTETS)?;
        self.content(&fields, &["text", "base64", "file"], &span)
    }

    fn chunks(&mut self, node: Option<&Node>, length: Option<u64>) -> Chunks {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Chunks::Whole;
        };
        if node.as_map().is_some() {
            let span = node.span.clone();
            let fields = self.fields("`chunks`", &span, &node, &shape::CHUNK_SIZE);
            let Some(size) = fields.as_ref().and_then(|fields| fields.get("size")) else {
                return Chunks::Whole;
            };
            if length == Some(0) {
                self.error(
                    &node.span,
                    "`chunks` of no body",
                    "nothing is there to cut; expected a `body`",
                );
            }
            return Chunks::Size(self.size(size, 1, octets::LARGEST));
        }
        match node.as_list() {
            Some([]) | None => {
                self.mistyped(
                    &node,
                    "way to cut a body",
                    "`{ size: 2048 }`, or a list of chunks, at least one",
                );
                Chunks::Whole
            }
            Some(items) => Chunks::List(
                items
                    .iter()
                    .filter_map(|item| self.chunk(item, length))
                    .collect(),
            ),
        }
    }

    fn chunk(&mut self, item: &Node, length: Option<u64>) -> Option<Chunk> {
        let Value::Known(item) = self.resolve(item) else {
            return None;
        };
        let owner = item
            .as_map()
            .and_then(<[_]>::first)
            .map_or_else(|| item.span.clone(), |entry| entry.key.span.clone());
        let fields = self.fields("chunk", &owner, &item, &shape::CHUNK)?;
        Some(Chunk {
            octets: fields
                .get("octets")
                .and_then(|node| self.octet_range(node, length)),
            range: self.overridden(fields.get("range"), Node::is_null),
            flag: fields.get("flag").map(|node| self.chunk_flag(node)),
            headers: self.headers(fields.get("headers")),
            pause: self.duration(fields.get("pause")),
            body: fields
                .get("body")
                .and_then(|node| self.octets(node, "`body`")),
            end: self.overridden(fields.get("end"), |node| node.as_text() == Some("none")),
        })
    }

    /// First and last octet; `Some(None)` for none of them.
    #[expect(
        clippy::option_option,
        reason = "all, none or some of the octets, as the model has it"
    )]
    fn octet_range(
        &mut self,
        node: &Node,
        length: Option<u64>,
    ) -> Option<Option<(Template, Template)>> {
        let Value::Known(known) = self.resolve(node) else {
            return None;
        };
        let text = known.as_text().unwrap_or_default();
        if text == "none" {
            return Some(None);
        }
        let template = self.template(node);
        if template.as_text().is_none() {
            return if let Some(ends) = split(&template) {
                Some(Some(ends))
            } else {
                self.mistyped(&known, "range of octets", "`1-4`: first and last octet");
                None
            };
        }
        let Some(range) = octets::parse_range(text) else {
            self.mistyped(
                &known,
                "range of octets",
                "first and last octet, counted from 1: `1-4`; or `none`",
            );
            return None;
        };
        if let Some(length) = length
            && *range.end() > length
        {
            let label = match length {
                0 => "there is no body".to_owned(),
                1 => "it has 1 octet".to_owned(),
                length => format!("it has {length} octets"),
            };
            self.error(
                &known.span,
                format!("the body has no octets `{text}`"),
                label,
            );
        }
        let end = |octet: &u64| Template::plain(octet.to_string(), template.at.clone());
        Some(Some((end(range.start()), end(range.end()))))
    }

    fn overridden(
        &mut self,
        node: Option<&Node>,
        omitted: impl Fn(&Node) -> bool,
    ) -> Override<Template> {
        let Some(node) = node else {
            return Override::Usual;
        };
        match self.resolve(node) {
            Value::Known(known) if omitted(&known) => Override::Omitted,
            _ => Override::Given(self.template(node)),
        }
    }

    fn chunk_flag(&mut self, node: &Node) -> Template {
        if node.is_null() {
            let diagnostic = Diagnostic::error(self.source, &node.span, "`flag` is empty")
                .expected(format!("expected {}", one_of(shape::CHUNK_FLAGS)))
                .help("write `flag: \"#\"`: a bare `#` begins a comment");
            self.diagnostics.push(diagnostic);
            return Template::plain("", self.at(&node.span));
        }
        self.word(node, "continuation flag", &shape::CHUNK_FLAGS)
    }

    fn msrp_connection(&mut self, node: Option<&Node>) -> MsrpConnection {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return MsrpConnection::Same;
        };
        if node.as_map().is_none() {
            return match node.as_text() {
                Some("same") => MsrpConnection::Same,
                Some("new") => MsrpConnection::New,
                _ => {
                    self.mistyped(&node, "connection", "`same`, `new` or `{ of: NAME }`");
                    MsrpConnection::Same
                }
            };
        }
        let span = node.span.clone();
        let fields = self.fields("`connection`", &span, &node, &shape::CONNECTION);
        match fields.as_ref().and_then(|fields| fields.get("of")) {
            Some(of) => MsrpConnection::Of(self.thing_named(of, "of", Wanted::Session)),
            None => MsrpConnection::Same,
        }
    }

    fn writes(&mut self, node: Option<&Node>) -> Option<Template> {
        let node = node?;
        match self.resolve(node) {
            Value::Known(known) if known.as_text() == Some("whole") => None,
            _ => Some(self.size(node, 1, octets::LARGEST)),
        }
    }

    fn cut(&mut self, node: &Node, owner: &Span) -> Option<Cut> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        if node.as_map().is_none() {
            let how = self.cut_how(&node)?;
            return Some(Cut { after: None, how });
        }
        let fields = self.fields("`cut`", owner, &node, &shape::CUT)?;
        Some(Cut {
            after: fields
                .get("after")
                .map(|node| self.size(node, 0, octets::LARGEST)),
            how: self.cut_how(fields.get("how")?)?,
        })
    }

    fn cut_how(&mut self, node: &Node) -> Option<CutHow> {
        let values = [CutHow::Reset, CutHow::Close, CutHow::Stall];
        self.choice(node, "way to end a connection", &shape::CUTS, &values)
    }

    fn msrp_expect(&mut self, fields: &Fields<'_>) -> Option<MsrpExpect> {
        let node = fields.get("expect")?;
        let owner = fields
            .key_span("expect")
            .cloned()
            .unwrap_or_else(|| node.span.clone());
        let at = self.at(&owner);
        let Value::Known(node) = self.resolve(node) else {
            return Some(MsrpExpect {
                status: Vec::new(),
                last: Vec::new(),
                report: None,
                closed: false,
                headers: Vec::new(),
                covers: None,
                at,
            });
        };
        if self.bare_expect(&node, &shape::MSRP_EXPECT) {
            return None;
        }
        let fields = self.fields("`expect`", &owner, &node, &shape::MSRP_EXPECT)?;
        let mut statuses = |key: &str| {
            fields
                .get(key)
                .map_or_else(Vec::new, |node| self.statuses(node))
        };
        Some(MsrpExpect {
            status: statuses("status"),
            last: statuses("last"),
            report: fields.get("report").and_then(|node| self.report(node)),
            closed: fields
                .get("closed")
                .is_some_and(|node| self.only_true(node, "closed", "no `closed` at all")),
            headers: self.header_matchers(fields.get("headers")),
            covers: self.covers(fields.get("covers")),
            at,
        })
    }

    fn report(&mut self, node: &Node) -> Option<ReportExpect> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        if node.as_map().is_none() {
            let word = self.word(&node, "expectation about reports", &shape::REPORTS);
            return match word.as_text() {
                Some("none") => Some(ReportExpect::None),
                Some("success") => Some(ReportExpect::Success),
                Some("any") => Some(ReportExpect::Any),
                _ => None,
            };
        }
        let span = node.span.clone();
        let fields = self.fields("`report`", &span, &node, &shape::REPORT)?;
        Some(ReportExpect::Like {
            status: fields
                .get("status")
                .map_or_else(Vec::new, |node| self.statuses(node)),
            range: self.maybe_matcher(fields.get("range")),
            headers: self.header_matchers(fields.get("headers")),
        })
    }
}

/// Octets of a body, where they are known before the case runs.
fn known_length(body: &Body) -> Option<u64> {
    match &body.content {
        Content::Text(text) => text
            .as_text()
            .and_then(|text| u64::try_from(text.len()).ok()),
        Content::Octets(octets) => u64::try_from(octets.len()).ok(),
        Content::Generated(length) => Some(*length),
    }
}

/// `1-${call.sdp.max-size}` at its dash.
fn split(template: &Template) -> Option<(Template, Template)> {
    let (index, before, after) =
        template
            .pieces
            .iter()
            .enumerate()
            .find_map(|(index, piece)| {
                let Piece::Text(text) = piece else {
                    return None;
                };
                let (before, after) = text.split_once('-')?;
                Some((index, before.trim(), after.trim()))
            })?;
    let text = |text: &str| (!text.is_empty()).then(|| Piece::Text(text.to_owned()));
    let first: Vec<Piece> = template.pieces[..index]
        .iter()
        .cloned()
        .chain(text(before))
        .collect();
    let last: Vec<Piece> = text(after)
        .into_iter()
        .chain(template.pieces[index + 1..].iter().cloned())
        .collect();
    let whole = |pieces: Vec<Piece>| {
        (!pieces.is_empty()).then(|| Template {
            pieces,
            at: template.at.clone(),
        })
    };
    Some((whole(first)?, whole(last)?))
}
