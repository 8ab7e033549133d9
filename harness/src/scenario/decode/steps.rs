//! Steps: one map with one verb.

use super::matchers::Plain;
use super::names::{Thing, Wanted};
use super::{Decoder, Mode, Value};
use crate::catalogue::pics::PicsType;
use crate::document::fields::duplicate_key;
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Entry, Node, NodeKind, Span};
use crate::scenario::model::{
    CheckStep, Content, CredentialsChoice, CredentialsShape, MessageStep, Part, PolicyValue, Raw,
    Receive, Register, Repeat, Restart, Silence, Step, Stored, Verb, Wait, WhenStep,
};
use crate::scenario::shape::{self, STEP_KEYS, VERBS};
use crate::scenario::template::{Template, is_name};

/// Most rounds of one `repeat`.
pub(super) const ROUNDS: u64 = 1000;

/// Most steps of one case.
const STEPS: usize = 10_000;

/// A step without its head.
pub(super) type Made = Option<Verb>;

impl Decoder<'_> {
    /// A list of steps. `path` is the path of the list: `steps`, `steps[2].parallel[0]`.
    pub(super) fn steps(&mut self, node: &Node, path: &str) -> Vec<Step> {
        let Some(items) = node.as_list() else {
            self.mistyped(
                node,
                "list of steps",
                "a list, one step an entry: `- message: …`",
            );
            return Vec::new();
        };
        let mut steps = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.step(item, &format!("{path}[{index}]"), &mut steps);
        }
        steps
    }

    fn step(&mut self, node: &Node, path: &str, out: &mut Vec<Step>) {
        let Some((verb, remark, covers)) = self.verb_of(node) else {
            return;
        };
        self.made += 1;
        if self.made > STEPS {
            if self.made == STEPS + 1 {
                self.error(
                    &verb.key.span,
                    "too many steps",
                    format!("expected at most {STEPS} in one case"),
                );
            }
            return;
        }
        let name = verb.key.as_text().unwrap_or_default();
        let owner = &verb.key.span;
        if name == "repeat" && self.mode != Mode::Written {
            self.unroll(&verb.value, owner, path, out);
            return;
        }
        let covers = self.covers(covers);
        let made = match name {
            "register" => self.register(&verb.value, owner),
            "message" => self.message(&verb.value, owner),
            "invite" => self.invite(&verb.value, owner),
            "msrp" => self.msrp(&verb.value, owner),
            "bye" => self.bye(&verb.value, owner),
            "cancel" => self.cancel(&verb.value, owner),
            "receive" => self.receive(&verb.value, owner),
            "silence" => self.silence(&verb.value, owner),
            "stored" => self.stored(&verb.value, owner),
            "wait" => self.wait(&verb.value, owner),
            "restart" => self.restart(&verb.value, owner),
            "policy" => self.policy(&verb.value),
            "raw" => self.raw(&verb.value, owner),
            "check" => self.check(&verb.value, owner),
            "when" => self.when(&verb.value, owner, path),
            "reading" => self.reading(&verb.value),
            "parallel" => self.parallel(&verb.value, path),
            _ => self.repeat(&verb.value, owner, path),
        };
        if let Some(made) = made {
            out.push(Step {
                path: path.to_owned(),
                at: self.at(owner),
                covers,
                note: remark.and_then(Node::as_text).map(str::to_owned),
                verb: made,
            });
        }
    }

    /// The verb of a step with its keys beside it.
    fn verb_of<'n>(
        &mut self,
        node: &'n Node,
    ) -> Option<(&'n Entry, Option<&'n Node>, Option<&'n Node>)> {
        let verbs = || VERBS.iter().map(|verb| verb.name);
        let Some(entries) = node.as_map() else {
            let mut diagnostic = Diagnostic::error(
                self.source,
                &node.span,
                format!("a step is a map, not {}", node.describe()),
            )
            .expected("expected one verb with its keys");
            let word = node.as_text().unwrap_or_default();
            if let Some(verb) = closest(word.trim_end_matches(':'), verbs()) {
                diagnostic = diagnostic.help(format!("write `- {verb}: …`"));
            }
            self.diagnostics.push(diagnostic);
            return None;
        };
        let mut verb: Option<&Entry> = None;
        let mut bad = false;
        for (index, entry) in entries.iter().enumerate() {
            let name = entry.key.as_text().unwrap_or_default();
            if let Some(first) = entries[..index]
                .iter()
                .find(|e| e.key.as_text() == Some(name))
            {
                let diagnostic = duplicate_key(self.source, name, &entry.key.span, &first.key.span);
                self.diagnostics.push(diagnostic);
                continue;
            }
            if verbs().any(|known| known == name) {
                if let Some(first) = verb {
                    let diagnostic = Diagnostic::error(
                        self.source,
                        &entry.key.span,
                        format!("second verb `{name}` in one step"),
                    )
                    .expected("expected one verb a step")
                    .related(self.source, &first.key.span, "the first")
                    .help(format!("begin a new step: `- {name}: …`"));
                    self.diagnostics.push(diagnostic);
                } else {
                    verb = Some(entry);
                }
            } else if !STEP_KEYS.iter().any(|key| key.name == name) {
                bad = true;
                self.unknown_verb(name, entry, entries.len() == 1);
            }
        }
        if verb.is_none() && !bad {
            let span = entries.first().map_or(&node.span, |entry| &entry.key.span);
            self.error(
                span,
                "a step without a verb",
                format!("expected {}", one_of(verbs())),
            );
        }
        Some((verb?, node.get("note"), node.get("covers")))
    }

    fn unknown_verb(&mut self, name: &str, entry: &Entry, alone: bool) {
        let verbs = || VERBS.iter().map(|verb| verb.name);
        let title = if alone {
            format!("unknown verb `{name}`")
        } else {
            format!("unknown key `{name}` beside the verb of a step")
        };
        let all = verbs().chain(STEP_KEYS.iter().map(|key| key.name));
        let mut diagnostic =
            Diagnostic::error(self.source, &entry.key.span, title).meant(closest(name, all));
        diagnostic = if alone {
            diagnostic.expected(format!("expected {}", one_of(verbs())))
        } else {
            diagnostic
                .expected("expected one verb, and perhaps `covers` or `note`")
                .note("the keys of a verb are written one level deeper than the verb")
        };
        self.diagnostics.push(diagnostic);
    }

    fn register(&mut self, node: &Node, owner: &Span) -> Made {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let node = long_form(node, "user", owner);
        let fields = self.fields("`register`", owner, &node, &shape::REGISTER)?;
        let at = self.at(owner);
        let step = Register {
            user: self.role(fields.get("user")),
            device: self
                .device(fields.get("device"))
                .unwrap_or_else(main_device),
            transport: self.transport(fields.get("transport")),
            expires: match fields.get("expires") {
                Some(node) => self.number(node, "number of seconds", 0, u64::from(u32::MAX)),
                None => Template::plain("3600", at),
            },
            contact: self.contact(fields.get("contact")),
            headers: self.headers(fields.get("headers")),
            credentials: self.credentials(fields.get("credentials")),
            expect: self.expect(&fields),
            save: self.save_name(fields.get("save")),
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Sent,
        );
        Some(Verb::Register(step))
    }

    fn message(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`message`", owner, node, &shape::MESSAGE)?;
        let same_but_branch = fields.get("branch").and_then(|node| self.branch(node));
        let at = self.at(owner);
        let step = MessageStep {
            from: self.role(fields.get("from")),
            to: self.role(fields.get("to")),
            device: self
                .device(fields.get("device"))
                .unwrap_or_else(main_device),
            transport: self.transport(fields.get("transport")),
            request_uri: fields.get("request-uri").map(|node| self.template(node)),
            headers: self.headers(fields.get("headers")),
            credentials: self.credentials(fields.get("credentials")),
            body: self.body(fields.get("body")),
            copies: match fields.get("copies") {
                Some(node) => self.number(node, "number of copies", 1, ROUNDS),
                None => Template::plain("1", at),
            },
            same_but_branch,
            within: self.duration(fields.get("within")),
            expect: self.expect(&fields),
            save: self.save_name(fields.get("save")),
        };
        if step.same_but_branch.is_some() {
            for key in ["request-uri", "headers", "body"] {
                if let Some(span) = fields.key_span(key) {
                    self.error(
                        span,
                        format!("`{key}` beside `same-but-branch`"),
                        "the octets of the saved message are sent; only the branch differs",
                    );
                }
            }
        }
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Sent,
        );
        Some(Verb::Message(step))
    }

    /// With which credentials a request goes out.
    pub(super) fn credentials(&mut self, node: Option<&Node>) -> CredentialsChoice {
        let Some(Value::Known(node)) = node.map(|node| self.resolve(node)) else {
            return CredentialsChoice::Own;
        };
        match node.as_text() {
            Some("own") => return CredentialsChoice::Own,
            Some("none") => return CredentialsChoice::None,
            _ if node.as_map().is_none() => {
                self.mistyped(
                    &node,
                    "credentials",
                    "`own`, `none`, or a map of what differs from the sender's own",
                );
                return CredentialsChoice::Own;
            }
            _ => {}
        }
        let span = node.span.clone();
        let Some(fields) = self.fields("`credentials`", &span, &node, &shape::CREDENTIALS) else {
            return CredentialsChoice::Own;
        };
        if let Some(key) = ["replay", "nonce-of"]
            .into_iter()
            .find(|key| fields.get(key).is_some())
        {
            let others = shape::CREDENTIALS.keys.iter().map(|other| other.name);
            for other in others.filter(|other| *other != key) {
                if let Some(span) = fields.key_span(other) {
                    self.error(
                        span,
                        format!("`{other}` beside `{key}`"),
                        "expected nothing else: the credentials are those of the saved request",
                    );
                }
            }
        }
        let text = |decoder: &mut Self, key: &str| {
            let node = fields.get(key)?;
            Some(decoder.template(node))
        };
        let saved = |decoder: &mut Self, key: &'static str| {
            let node = fields.get(key)?;
            Some(decoder.thing_named(node, key, Wanted::Sent))
        };
        CredentialsChoice::Shaped(Box::new(CredentialsShape {
            of: fields.get("of").map(|node| self.role(Some(node))),
            password: text(self, "password"),
            nonce: text(self, "nonce"),
            uri: text(self, "uri"),
            algorithm: text(self, "algorithm"),
            basic: fields
                .get("scheme")
                .and_then(|node| {
                    self.choice(
                        node,
                        "scheme of authentication",
                        &shape::SCHEMES,
                        &[false, true],
                    )
                })
                .unwrap_or(false),
            replay: saved(self, "replay"),
            nonce_of: saved(self, "nonce-of"),
        }))
    }

    fn branch(&mut self, node: &Node) -> Option<Template> {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        match node.as_text() {
            Some("new") => None,
            Some(_) => {
                self.mistyped(&node, "branch", "`new` or `{ same-but-branch: NAME }`");
                None
            }
            None => {
                let span = node.span.clone();
                let fields = self.fields("`branch`", &span, &node, &shape::BRANCH)?;
                Some(self.thing_named(
                    fields.get("same-but-branch")?,
                    "same-but-branch",
                    Wanted::Request,
                ))
            }
        }
    }

    fn receive(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`receive`", owner, node, &shape::RECEIVE)?;
        let answering = self.answer(fields.get("answer"), owner);
        let step = Receive {
            at: self.role(fields.get("at")),
            device: self.device(fields.get("device")),
            method: self.method(fields.get("method")),
            answer_sdp: answering.sdp,
            answer_msrp: answering.msrp,
            send: self.comparing(Wanted::Part(Part::Send), |decoder| {
                decoder.header_matchers(fields.get("send"))
            }),
            sdp: self.sdp_matchers(fields.get("sdp")),
            of: fields
                .get("of")
                .map(|node| self.thing_named(node, "of", Wanted::Message)),
            answer: answering.answer,
            lose_first: self.flag(fields.get("lose-first")),
            optional: self.flag(fields.get("optional")),
            within: self.duration(fields.get("within")),
            request_uri: self.maybe_matcher(fields.get("request-uri")),
            headers: self.header_matchers(fields.get("headers")),
            body: self.comparing(Wanted::Message, |decoder| {
                decoder.maybe_matcher(fields.get("body"))
            }),
            save: self.save_name(fields.get("save")),
        };
        self.fits_method(step.method.as_deref(), &fields, answering.session_key);
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            match step.method.as_deref() {
                Some("INVITE") => Thing::Invitation,
                _ => Thing::Received,
            },
        );
        Some(Verb::Receive(step))
    }

    fn silence(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`silence`", owner, node, &shape::SILENCE)?;
        Some(Verb::Silence(Silence {
            at: self.roles(fields.get("at")),
            of: fields
                .get("of")
                .map(|node| self.thing_named(node, "of", Wanted::Message)),
            method: self.method(fields.get("method")),
            length: self.duration(fields.get("for")),
        }))
    }

    fn stored(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`stored`", owner, node, &shape::STORED)?;
        let (messages, saves) = self.records(fields.get("messages"));
        let step = Stored {
            user: self.role(fields.get("for")),
            count: self.maybe_matcher(fields.get("count")),
            messages,
            within: self.duration(fields.get("within")),
            save: self.save_name(fields.get("save")),
        };
        for (name, span) in &saves {
            self.save(Some(name), Some(span), Thing::Record);
        }
        let thing = if step.messages.len() == 1 {
            Thing::Record
        } else {
            Thing::Records
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            thing,
        );
        Some(Verb::Stored(step))
    }

    fn wait(&mut self, node: &Node, owner: &Span) -> Made {
        let resolved = match self.resolve(node) {
            Value::Known(known) => known,
            Value::Open => node.clone(),
        };
        if resolved.as_map().is_none() {
            let (length, tolerance) = self.until(node);
            return Some(Verb::Wait(Wait {
                length,
                tolerance,
                after: None,
            }));
        }
        let fields = self.fields("`wait`", owner, &resolved, &shape::WAIT)?;
        let (length, tolerance) = self.until(fields.get("until")?);
        let after = fields
            .get("after")
            .map(|node| self.thing_named(node, "after", Wanted::Sent));
        Some(Verb::Wait(Wait {
            length,
            tolerance,
            after,
        }))
    }

    fn restart(&mut self, node: &Node, owner: &Span) -> Made {
        let Value::Known(node) = self.resolve(node) else {
            return Some(Verb::Restart(Restart {
                kill: false,
                down: None,
            }));
        };
        if node.as_map().is_none() {
            let kill = self.kill(&node);
            return Some(Verb::Restart(Restart { kill, down: None }));
        }
        let fields = self.fields("`restart`", owner, &node, &shape::RESTART)?;
        Some(Verb::Restart(Restart {
            kill: fields.get("how").is_some_and(|node| self.kill(node)),
            down: self.duration(fields.get("down")),
        }))
    }

    fn kill(&mut self, node: &Node) -> bool {
        let Value::Known(node) = self.resolve(node) else {
            return false;
        };
        match node.as_text() {
            Some("clean") => false,
            Some("kill") => true,
            _ => {
                self.mistyped(&node, "way to stop", "`clean` or `kill`");
                false
            }
        }
    }

    fn policy(&mut self, node: &Node) -> Made {
        let Value::Known(node) = self.resolve(node) else {
            return None;
        };
        let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
            self.mistyped(&node, "policy", "a map from PICS key to value");
            return None;
        };
        self.no_key_twice(&node, "");
        let mut policy = Vec::with_capacity(entries.len());
        for entry in entries {
            self.pics_key(&entry.key);
            let key = entry.key.as_text().unwrap_or_default();
            let value = self.policy_value(key, &entry.value);
            policy.push((key.to_owned(), value));
        }
        Some(Verb::Policy(policy))
    }

    fn policy_value(&mut self, key: &str, node: &Node) -> PolicyValue {
        let Value::Known(known) = self.resolve(node) else {
            return PolicyValue::One(self.template(node));
        };
        let kind = self.known.pics_key(key).map(|pics| pics.kind);
        let is_list = matches!(kind, Some(PicsType::List | PicsType::Set));
        match known.as_list() {
            Some(items) if is_list => items.iter().for_each(|item| self.pics_value(key, item)),
            _ => self.pics_value(key, &known),
        }
        if let Some(items) = known.as_list() {
            return PolicyValue::List(items.iter().map(|item| self.template(item)).collect());
        }
        if is_list {
            let shown = known.as_text().unwrap_or_default();
            let diagnostic = Diagnostic::error(
                self.source,
                &known.span,
                format!("`{key}` is set to no list"),
            )
            .expected("expected the whole list that is to hold")
            .help(format!("write `{key}: [{shown}]`"));
            self.diagnostics.push(diagnostic);
        }
        PolicyValue::One(self.template(node))
    }

    fn raw(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`raw`", owner, node, &shape::RAW)?;
        let content = self.content(&fields, &["text", "lines", "base64"], owner);
        let step = Raw {
            user: self.role(fields.get("user")),
            device: self
                .device(fields.get("device"))
                .unwrap_or_else(main_device),
            transport: self.transport(fields.get("transport")),
            content: content.unwrap_or_else(|| Content::Octets(Vec::new())),
            within: self.duration(fields.get("within")),
            expect: self.expect(&fields),
            save: self.save_name(fields.get("save")),
        };
        self.save(
            step.save.as_ref(),
            fields.get("save").map(|n| &n.span),
            Thing::Sent,
        );
        Some(Verb::Raw(step))
    }

    fn check(&mut self, node: &Node, owner: &Span) -> Made {
        let fields = self.fields("`check`", owner, node, &shape::CHECK)?;
        let (values, list) = match (fields.get("that"), fields.get("each")) {
            (Some(that), None) => (vec![self.template(that)], false),
            (None, Some(each)) => (self.values(each), true),
            (None, None) => {
                self.error(
                    owner,
                    "`check` has no value",
                    "expected `that` (one value) or `each` (several)",
                );
                return None;
            }
            (Some(_), Some(_)) => {
                let span = fields.key_span("each").unwrap_or(owner);
                self.error(
                    span,
                    "`check` has both `that` and `each`",
                    "expected one of them",
                );
                return None;
            }
        };
        let is = self.matcher(fields.get("is")?, Plain::Words)?;
        Some(Verb::Check(CheckStep { values, list, is }))
    }

    fn values(&mut self, node: &Node) -> Vec<Template> {
        match self.resolve(node) {
            Value::Known(known) if known.as_list().is_some() => known
                .as_list()
                .unwrap_or_default()
                .iter()
                .map(|item| self.template(item))
                .collect(),
            _ => vec![self.template(node)],
        }
    }

    fn when(&mut self, node: &Node, owner: &Span, path: &str) -> Made {
        let fields = self.fields("`when`", owner, node, &shape::WHEN)?;
        let that = fields.get("that").map(|node| self.template(node));
        let is = fields
            .get("is")
            .and_then(|node| self.matcher(node, Plain::Words));
        let (then, otherwise) = self.one_way(
            |decoder| {
                fields
                    .get("then")
                    .map(|node| decoder.steps(node, &format!("{path}.then")))
            },
            |decoder| {
                fields
                    .get("else")
                    .map(|node| decoder.steps(node, &format!("{path}.else")))
            },
        );
        Some(Verb::When(WhenStep {
            that: that?,
            is: is?,
            then: then?,
            otherwise: otherwise.unwrap_or_default(),
        }))
    }

    fn reading(&mut self, node: &Node) -> Made {
        let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
            self.mistyped(
                node,
                "reading",
                "a map from wording defect to reading: `WD-25: receipt`",
            );
            return None;
        };
        self.no_key_twice(node, "");
        let mut readings = Vec::with_capacity(entries.len());
        for entry in entries {
            self.defect(&entry.key);
            let Value::Known(value) = self.resolve(&entry.value) else {
                continue;
            };
            match value.as_text() {
                Some(name) if is_name(name) => readings.push((
                    entry.key.as_text().unwrap_or_default().to_owned(),
                    name.to_owned(),
                )),
                _ => self.mistyped(&value, "name of a reading", "letters, digits, `-` and `_`"),
            }
        }
        Some(Verb::Reading(readings))
    }

    fn parallel(&mut self, node: &Node, path: &str) -> Made {
        let branches = node.as_list().unwrap_or_default();
        if branches.is_empty() || branches.iter().any(|branch| branch.as_list().is_none()) {
            let wrong = branches
                .iter()
                .find(|branch| branch.as_list().is_none())
                .unwrap_or(node);
            let diagnostic = Diagnostic::error(
                self.source,
                &wrong.span,
                "`parallel` is a list of lists of steps",
            )
            .expected(format!(
                "expected a list of steps, found {}",
                wrong.describe()
            ))
            .help("write `- parallel: [[steps], [steps]]`");
            self.diagnostics.push(diagnostic);
            return None;
        }
        Some(Verb::Parallel(
            self.all_ways(branches.len(), |decoder, index| {
                decoder.steps(&branches[index], &format!("{path}.parallel[{index}]"))
            }),
        ))
    }

    /// `repeat` as written, for [`Mode::Written`].
    fn repeat(&mut self, node: &Node, owner: &Span, path: &str) -> Made {
        let fields = self.fields("`repeat`", owner, node, &shape::REPEAT)?;
        let counter = self.counter(fields.get("as"));
        let times = fields
            .get("times")
            .map(|node| self.number(node, "number of rounds", 1, ROUNDS));
        let fresh = self.early.scope.variables.insert(counter.clone());
        let steps = fields
            .get("steps")
            .map(|node| self.steps(node, &format!("{path}.round")));
        if fresh {
            self.early.scope.variables.remove(&counter);
        }
        Some(Verb::Repeat(Repeat {
            times: times?,
            counter,
            steps: steps?,
        }))
    }

    fn unroll(&mut self, node: &Node, owner: &Span, path: &str, out: &mut Vec<Step>) {
        let Some(fields) = self.fields("`repeat`", owner, node, &shape::REPEAT) else {
            return;
        };
        let counter = self.counter(fields.get("as"));
        let (Some(times), Some(steps)) = (fields.get("times"), fields.get("steps")) else {
            return;
        };
        // Where the number of rounds is not known yet, one round shows the mistakes.
        let rounds = self
            .number(times, "number of rounds", 1, ROUNDS)
            .as_text()
            .and_then(|text| text.parse::<u64>().ok())
            .map_or(1, |rounds| rounds.min(ROUNDS));
        let fresh = self.early.scope.variables.insert(counter.clone());
        for round in 1..=rounds {
            let value = Node::from_value(&serde_json::Value::from(round), &times.span);
            self.early.variables.push((counter.clone(), value));
            self.early.rounds.push(round);
            let made = self.steps(steps, &format!("{path}.round[{round}]"));
            out.extend(made);
            self.early.rounds.pop();
            self.early.variables.pop();
            if self.made > STEPS {
                break;
            }
        }
        if fresh {
            self.early.scope.variables.remove(&counter);
        }
    }

    fn counter(&mut self, node: Option<&Node>) -> String {
        let Some(node) = node else {
            return "n".to_owned();
        };
        let name = node.as_text().unwrap_or_default();
        if !is_name(name) {
            self.mistyped(
                node,
                "name of a counter",
                "letters, digits, `-` and `_`, a letter first",
            );
        } else if self.early.scope.roles.contains(name) || self.early.scope.variables.contains(name)
        {
            self.error(
                &node.span,
                format!("`{name}` is taken already"),
                "expected a name of its own",
            );
        }
        name.to_owned()
    }

    /// A wording defect.
    pub(super) fn defect(&mut self, node: &Node) {
        let id = node.as_text().unwrap_or_default();
        let number = id.strip_prefix("WD-").unwrap_or_default();
        if number.len() != 2 || !number.bytes().all(|b| b.is_ascii_digit()) {
            self.mistyped(node, "wording defect", "an id such as `WD-25`");
        }
    }

    /// A PICS key.
    pub(super) fn pics_key(&mut self, node: &Node) {
        let key = node.as_text().unwrap_or_default();
        if !self.known.has_pics_key(key) {
            let diagnostic =
                Diagnostic::error(self.source, &node.span, format!("unknown PICS key `{key}`"))
                    .expected(
                        "expected a key of scenarios/pics.yaml; `imspec list --pics` shows them",
                    )
                    .meant(self.known.closest_pics_key(key));
            self.diagnostics.push(diagnostic);
        }
    }

    /// A value for a PICS key.
    pub(super) fn pics_value(&mut self, key: &str, value: &Node) {
        if let Some(pics) = self.known.pics_key(key)
            && let Err(expected) = pics.accepts(&value.to_value())
        {
            let shown = value
                .as_text()
                .unwrap_or_else(|| value.describe())
                .to_owned();
            let diagnostic = Diagnostic::error(
                self.source,
                &value.span,
                format!("`{key}` is never `{shown}`"),
            )
            .expected(format!("expected {expected}"))
            .meant(closest(&shown, pics.values.iter().map(String::as_str)));
            self.diagnostics.push(diagnostic);
        }
    }
}

/// `{ KEY: … }` for a node that is given short.
pub(super) fn long_form(node: Node, key: &'static str, owner: &Span) -> Node {
    if node.as_text().is_none() {
        return node;
    }
    Node {
        kind: NodeKind::Map(vec![Entry {
            key: Node::text(key, owner.clone()),
            value: node,
        }]),
        span: owner.clone(),
    }
}

pub(super) fn main_device() -> String {
    "main".to_owned()
}
