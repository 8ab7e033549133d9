//! Steps that begin and end a session, and what an agent says and does in one: `invite`, `bye`, `cancel`,
//! offers, answers.

use super::names::{Thing, Wanted};
use super::steps::{Made, ROUNDS, long_form, main_device};
use super::{Decoder, Value};
use crate::document::{Diagnostic, Fields, Node, Span};
use crate::scenario::model::{
    Bye, Cancel, Invite, InviteBody, MsrpAnswer, MsrpConduct, SessionSdp, Until, Verb,
};
use crate::scenario::shape;
use crate::scenario::template::{Piece, Template};

/// Media type of a body that stands in place of an offer.
const SDP: &str = "application/sdp";

impl Decoder<'_> {
    pub(super) fn invite(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`invite`", owner, node, &shape::INVITE)?;
        let at = self.at(owner);
        let again = fields
            .get("again")
            .map(|node| self.thing_named(node, "again", Wanted::Session));
        let (expect, expect_sdp) = self
            .expectation(&fields, &shape::INVITE_EXPECT)
            .map_or((None, Vec::new()), |(expect, sdp)| (Some(expect), sdp));
        let until = fields
            .get("await")
            .and_then(|node| {
                let values = [Until::Sent, Until::Provisional, Until::Final];
                self.choice(node, "time to go on", &shape::AWAITS, &values)
            })
            .unwrap_or(Until::Final);
        let step = Invite {
            from: self.role(fields.get("from")),
            to: self.role(fields.get("to")),
            device: self
                .device(fields.get("device"))
                .unwrap_or_else(main_device),
            transport: self.transport(fields.get("transport")),
            request_uri: fields.get("request-uri").map(|node| self.template(node)),
            headers: self.headers(fields.get("headers")),
            credentials: self.credentials(fields.get("credentials")),
            body: self.invite_body(&fields),
            again,
            copies: match fields.get("copies") {
                Some(node) => self.number(node, "number of copies", 1, ROUNDS),
                None => Template::plain("1", at),
            },
            until,
            ack: fields.get("ack").is_none_or(|node| self.flag(Some(node))),
            within: self.duration(fields.get("within")),
            expect,
            expect_sdp,
            save: self.save_name(fields.get("save")),
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Invite,
        );
        Some(Verb::Invite(step))
    }

    fn invite_body(&mut self, fields: &Fields<'_>) -> InviteBody {
        if let (Some(_), Some(span)) = (fields.get("offer"), fields.key_span("body")) {
            self.error(
                span,
                "`invite` has both `offer` and `body`",
                "expected one of them: a body stands in place of the offer",
            );
        }
        if fields.get("body").is_some() {
            return match self.body_of(fields.get("body"), &shape::BODY, SDP) {
                Some(body) => InviteBody::Literal(body),
                None => InviteBody::None,
            };
        }
        let Some(node) = fields.get("offer") else {
            return InviteBody::Offer(SessionSdp::default());
        };
        match self.resolve(node) {
            Value::Known(node) if node.as_text() == Some("none") => InviteBody::None,
            Value::Known(node) if node.as_map().is_some() => {
                InviteBody::Offer(self.session_sdp(Some(&node), "`offer`"))
            }
            Value::Known(node) => {
                self.mistyped(&node, "offer", "a map of what the SDP says, or `none`");
                InviteBody::Offer(SessionSdp::default())
            }
            Value::Open => InviteBody::Offer(SessionSdp::default()),
        }
    }

    /// What an agent writes into the SDP of a session.
    pub(super) fn session_sdp(&mut self, node: Option<&Node>, what: &str) -> SessionSdp {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return SessionSdp::default();
        };
        let span = node.span.clone();
        let Some(fields) = self.fields(what, &span, &node, &shape::OFFER) else {
            return SessionSdp::default();
        };
        SessionSdp {
            accept_types: self.media_types(fields.get("accept-types")),
            accept_wrapped_types: self.media_types(fields.get("accept-wrapped-types")),
            max_size: fields
                .get("max-size")
                .map(|node| self.size(node, 0, u64::MAX)),
            setup: fields
                .get("setup")
                .map(|node| self.word(node, "set-up of a connection", &shape::SETUPS)),
            direction: fields
                .get("direction")
                .map(|node| self.word(node, "direction", &shape::DIRECTIONS)),
            connection: fields
                .get("connection")
                .map(|node| self.word(node, "connection for MSRP", &shape::SECURITIES)),
            subject: fields.get("subject").map(|node| self.template(node)),
            path: fields.get("path").map(|node| self.template(node)),
            address: fields.get("address").map(|node| self.template(node)),
            port: fields
                .get("port")
                .map(|node| self.number(node, "port", 0, u64::from(u16::MAX))),
            cema: self.flag(fields.get("cema")),
            attributes: self.attributes(fields.get("attributes")),
        }
    }

    /// Media types as they stand in an attribute: a list is joined with spaces.
    fn media_types(&mut self, node: Option<&Node>) -> Option<Template> {
        let node = node?;
        let Value::Known(known) = self.resolve(node) else {
            return Some(self.template(node));
        };
        let Some(items) = known.as_list() else {
            return Some(self.template(node));
        };
        let mut pieces = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Text(" ".to_owned()));
            }
            pieces.extend(self.template(item).pieces);
        }
        Some(Template {
            pieces: super::join(pieces),
            at: self.at(&known.span),
        })
    }

    fn attributes(&mut self, node: Option<&Node>) -> Vec<Template> {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return Vec::new();
        };
        let Some(items) = node.as_list() else {
            self.mistyped(
                &node,
                "list of attributes",
                "a list of texts, one attribute an entry",
            );
            return Vec::new();
        };
        let mut attributes = Vec::with_capacity(items.len());
        for item in items {
            let attribute = self.template(item);
            if let Some(rest) = attribute.as_text().and_then(|text| text.strip_prefix("a=")) {
                let diagnostic =
                    Diagnostic::error(self.source, &item.span, "attribute with its `a=`")
                        .expected("the agent writes `a=` itself")
                        .help(format!("write `{rest}`"));
                self.diagnostics.push(diagnostic);
            }
            attributes.push(attribute);
        }
        attributes
    }

    /// How an agent behaves in a session that it has accepted.
    pub(super) fn conduct(&mut self, node: Option<&Node>) -> MsrpConduct {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return MsrpConduct::default();
        };
        if node.as_text() == Some("none") {
            return MsrpConduct {
                status: Some(MsrpAnswer::Silence),
                ..MsrpConduct::default()
            };
        }
        let span = node.span.clone();
        let Some(fields) = self.fields("`msrp`", &span, &node, &shape::CONDUCT) else {
            return MsrpConduct::default();
        };
        let never_connects = fields.get("connect").is_some_and(|node| {
            self.choice(node, "way to connect", &["none"], &[true])
                .unwrap_or_default()
        });
        let others = ["status", "pause", "reset-after"];
        if never_connects && let Some(span) = others.iter().find_map(|key| fields.key_span(key)) {
            self.error(
                span,
                "nothing comes without a connection",
                "expected `connect: none` alone, or with `bye-after`",
            );
        }
        MsrpConduct {
            status: fields.get("status").and_then(|node| self.msrp_answer(node)),
            pause: self.duration(fields.get("pause")),
            reset_after: fields
                .get("reset-after")
                .map(|node| self.size(node, 0, u64::MAX)),
            bye_after: fields
                .get("bye-after")
                .map(|node| self.size(node, 0, u64::MAX)),
            never_connects,
        }
    }

    fn msrp_answer(&mut self, node: &Node) -> Option<MsrpAnswer> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let text = node.as_text().unwrap_or_default();
        if text == "none" {
            return Some(MsrpAnswer::Silence);
        }
        match text.parse::<u16>() {
            Ok(code) if (100..=999).contains(&code) => Some(MsrpAnswer::Status(code)),
            _ => {
                self.mistyped(
                    &node,
                    "answer to a SEND",
                    "a code of three digits, or `none`",
                );
                None
            }
        }
    }

    /// What only goes with a session, or only with its INVITE.
    pub(super) fn fits_method(
        &mut self,
        method: Option<&str>,
        fields: &Fields<'_>,
        session_key: Option<(&'static str, Span)>,
    ) {
        let Some(method) = method else {
            if let Some(span) = fields.key_span("sdp") {
                let diagnostic =
                    Diagnostic::error(self.source, span, "`sdp` at a delivery in either form")
                        .expected("a MESSAGE has no such SDP")
                        .help("take the INVITE as such: `method: INVITE`");
                self.diagnostics.push(diagnostic);
            }
            return;
        };
        let wrong: &[&str] = match method {
            "INVITE" => &["of", "send"],
            _ => &["send", "sdp"],
        };
        let written = wrong
            .iter()
            .find_map(|key| Some((*key, fields.key_span(key)?.clone())));
        let session_key = session_key.filter(|_| method != "INVITE");
        if let Some((key, span)) = written.or(session_key) {
            let label = match (method, key) {
                ("INVITE", _) => {
                    "an INVITE carries no message yet; a `receive` without `method` takes the message"
                }
                (_, "sdp") => "only an INVITE has SDP: expected `method: INVITE`",
                _ => "only a session has it: expected `method: INVITE`, or no `method`",
            };
            self.error(&span, format!("`{key}` beside `method: {method}`"), label);
        }
    }

    pub(super) fn bye(&mut self, node: &Node, owner: &Span) -> Made {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let node = long_form(node, "session", owner);
        let fields = self.fields("`bye`", owner, &node, &shape::BYE)?;
        let session = self.thing_named(fields.get("session")?, "bye", Wanted::Session);
        let step = Bye {
            session,
            headers: self.headers(fields.get("headers")),
            within: self.duration(fields.get("within")),
            expect: self.expect(&fields),
            save: self.save_name(fields.get("save")),
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Sent,
        );
        Some(Verb::Bye(step))
    }

    pub(super) fn cancel(&mut self, node: &Node, owner: &Span) -> Made {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let node = long_form(node, "session", owner);
        let fields = self.fields("`cancel`", owner, &node, &shape::CANCEL)?;
        let session = self.thing_named(fields.get("session")?, "cancel", Wanted::OwnSession);
        Some(Verb::Cancel(Cancel {
            session,
            headers: self.headers(fields.get("headers")),
            within: self.duration(fields.get("within")),
            expect: self.expect(&fields),
        }))
    }
}
