//! The head of a scenario, and the passes over its steps that find every mistake.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value as Json;

use super::matchers::Plain;
use super::{Decoder, Mode, UserNode, Value, Written};
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Diagnostics, Fields, Node, Source, Span, tree};
use crate::scenario::early::Early;
use crate::scenario::known::Known;
use crate::scenario::load::Files;
use crate::scenario::model::{CaseUser, Matcher, Scenario, Step, User, UserState, Verb};
use crate::scenario::shape;
use crate::scenario::template::{self, Piece, RESERVED, Reference, Scope, is_name};

/// Most cases of one scenario.
const CASES: usize = 1000;

/// Most combinations that are tried while checking.
const TRIALS: usize = 64;

/// Reads a scenario. What can be used comes back even if there are mistakes.
pub(crate) fn scenario(
    source: &Arc<Source>,
    files: &Files,
    known: &Known,
) -> (Option<Scenario>, Diagnostics) {
    let root = match tree::parse(source) {
        Ok(root) => root,
        Err(diagnostic) => {
            let mut diagnostics = Diagnostics::new();
            diagnostics.push(*diagnostic);
            return (None, diagnostics);
        }
    };
    let early = Early::new(Scope::default(), "", "", None, 0);
    let mut decoder = Decoder::new(source, files, known, early, Mode::Written);
    let scenario = decoder.whole(&root);
    (scenario, decoder.diagnostics)
}

impl Decoder<'_> {
    fn whole(&mut self, root: &Node) -> Option<Scenario> {
        let owner = root
            .as_map()
            .and_then(<[_]>::first)
            .map_or(0..0, |entry| entry.key.span.clone());
        let fields = self.fields("scenario", &owner, root, &shape::SCENARIO)?;
        let users = self.users(fields.get("users"));
        let matrix = self.matrix(fields.get("matrix"));
        self.scope(&users, &matrix);
        let id_span = fields.get("id").map_or(owner, |node| node.span.clone());
        let id = fields.get("id").map(|node| self.id(node));
        let title = self.sentence(fields.get("title"));
        let purpose = self.sentence(fields.get("purpose"));
        let covers = self.covers(fields.get("covers")).unwrap_or_default();
        let touches = self.touches(fields.get("touches"));
        let when = self.conditions(fields.get("when"));
        let steps_node = fields.get("steps")?;
        if steps_node.as_list().is_some_and(<[_]>::is_empty) {
            self.error(
                &steps_node.span,
                "a scenario without steps",
                "expected at least one step",
            );
        }
        let written = Written {
            source: Arc::clone(self.source),
            files: self.files.clone(),
            id: id_span.clone(),
            when: fields.get("when").cloned(),
            scope: self.early.scope.clone(),
            users: users.iter().map(|(_, node)| node.clone()).collect(),
            matrix: matrix
                .iter()
                .map(|(name, _, values)| (name.clone(), values.clone()))
                .collect(),
            steps: steps_node.clone(),
        };
        let users = users.into_iter().map(|(user, _)| user).collect();
        let steps = self.steps(steps_node, "steps");
        let used = self.trials(&written);
        self.unused(&matrix, &used);
        Some(Scenario {
            id: id.unwrap_or_default(),
            title,
            purpose,
            covers,
            touches,
            when,
            users,
            matrix: written
                .matrix
                .iter()
                .map(|(name, values)| (name.clone(), values.iter().map(Node::to_value).collect()))
                .collect(),
            steps,
            at: self.at(&id_span),
            written: Arc::new(written),
        })
    }

    /// Decodes the steps once for each combination of the matrix (or a fair sample) and keeps the mistakes.
    fn trials(&mut self, written: &Written) -> BTreeSet<String> {
        let mut used = std::mem::take(&mut self.used);
        for choice in sample(&written.matrix) {
            let early = Early::new(written.scope.clone(), "example.invalid", "case", None, 0)
                .with_matrix(written.values(&choice));
            let mut trial = Decoder::new(self.source, self.files, self.known, early, Mode::Trial);
            let _ = trial.name_users(written, &|role| role.to_owned(), "udp");
            trial.names.scan(&written.steps);
            let _ = trial.conditions(written.when.as_ref());
            let steps = trial.steps(&written.steps, "steps");
            let bad = trial.diagnostics.errors() > 0;
            self.diagnostics
                .extend(std::mem::take(&mut trial.diagnostics));
            used.append(&mut trial.used);
            // A step that could not be read may have been the missing control.
            if !bad {
                self.controls(&steps);
            }
        }
        used
    }

    /// A silence proves nothing at a dead server: something must arrive at that user later.
    fn controls(&mut self, steps: &[Step]) {
        let mut flat = Vec::new();
        flatten(steps, &mut flat);
        for (index, step) in flat.iter().enumerate() {
            let Verb::Silence(silence) = &step.verb else {
                continue;
            };
            for role in &silence.at {
                let control = flat[index + 1..].iter().any(|later| {
                    matches!(&later.verb, Verb::Receive(receive) if receive.at == *role && !receive.optional)
                });
                if !control {
                    let span = self.span_of(step);
                    let diagnostic = Diagnostic::error(
                        self.source,
                        &span,
                        format!("no positive control for the silence at `{role}`"),
                    )
                    .expected("a dead server would pass this")
                    .help(format!(
                        "send `{role}` a fresh message after the silence and `receive` it there"
                    ));
                    self.diagnostics.push(diagnostic);
                }
            }
        }
    }

    fn span_of(&self, step: &Step) -> Span {
        let start = self.source.offset(&step.at);
        start..start + step.verb.name().len()
    }

    fn id(&mut self, node: &Node) -> String {
        let id = node.as_text().unwrap_or_default();
        let fits = id.split_once('-').is_some_and(|(group, number)| {
            group.len() == 2
                && group.bytes().all(|b| b.is_ascii_uppercase())
                && (2..=4).contains(&number.len())
                && number.bytes().all(|b| b.is_ascii_digit())
        });
        if !fits {
            self.mistyped(
                node,
                "scenario id",
                "two capitals, a dash and a number: `PG-05`",
            );
            return id.to_owned();
        }
        let stem = Path::new(self.source.name())
            .file_stem()
            .and_then(|stem| stem.to_str());
        if stem != Some(id) {
            let diagnostic = Diagnostic::warning(
                self.source,
                &node.span,
                format!("the file of scenario {id} has another name"),
            )
            .expected(format!("expected the file `{id}.yaml`"));
            self.diagnostics.push(diagnostic);
        }
        id.to_owned()
    }

    fn sentence(&mut self, node: Option<&Node>) -> String {
        let Some(node) = node else {
            return String::new();
        };
        match node.as_text().map(str::trim) {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => {
                self.mistyped(node, "sentence", "text");
                String::new()
            }
        }
    }

    fn touches(&mut self, node: Option<&Node>) -> Vec<String> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(items) = node.as_list() else {
            self.mistyped(node, "list of wording defects", "a list such as `[WD-25]`");
            return Vec::new();
        };
        for item in items {
            self.defect(item);
        }
        items
            .iter()
            .filter_map(|item| item.as_text().map(str::to_owned))
            .collect()
    }

    pub(super) fn conditions(&mut self, node: Option<&Node>) -> Vec<(String, Matcher)> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(entries) = node.as_map() else {
            self.mistyped(
                node,
                "set of PICS conditions",
                "a map from PICS key to value",
            );
            return Vec::new();
        };
        self.no_key_twice(node, "");
        let mut conditions = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.as_text().unwrap_or_default().to_owned();
            self.pics_key(&entry.key);
            if self.only_variables(&entry.value) {
                self.condition_values(&key, &entry.value);
            }
            if let Some(matcher) = self.matcher(&entry.value, Plain::Choice) {
                conditions.push((key, matcher));
            }
        }
        conditions
    }

    /// The plain values in a condition must be values that the key can have.
    fn condition_values(&mut self, key: &str, node: &Node) {
        let Value::Known(node) = &self.resolve(node) else {
            return;
        };
        if let Some(items) = node.as_list() {
            for item in items {
                self.condition_values(key, item);
            }
        } else if let Some(entries) = node.as_map() {
            for entry in entries {
                if matches!(entry.key.as_text(), Some("one-of" | "all-of" | "not")) {
                    self.condition_values(key, &entry.value);
                }
            }
        } else if !node.is_null() && !node.as_text().is_some_and(|text| text.contains("${")) {
            self.pics_value(key, node);
        }
    }

    /// A condition is looked at before the case is made: only the matrix is there by then.
    fn only_variables(&mut self, node: &Node) -> bool {
        if let Some(text) = node.as_text().filter(|text| text.contains("${")) {
            let (pieces, _) = template::parse(text, &self.early.scope);
            let other = pieces.iter().find_map(|piece| match piece {
                Piece::Reference(Reference::Variable(_)) | Piece::Text(_) => None,
                Piece::Reference(other) => Some(other.to_string()),
            });
            if let Some(other) = other {
                self.error(
                    &node.span,
                    format!("`${{{other}}}` in a PICS condition"),
                    "only a matrix variable is known before it is decided what is run",
                );
                return false;
            }
        }
        let items = node.as_list().unwrap_or_default();
        let entries = node.as_map().unwrap_or_default();
        let within = items.iter().chain(entries.iter().map(|entry| &entry.value));
        within
            .map(|node| self.only_variables(node))
            .min()
            .unwrap_or(true)
    }

    fn users(&mut self, node: Option<&Node>) -> Vec<(User, UserNode)> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(entries) = node.as_map().filter(|entries| !entries.is_empty()) else {
            self.mistyped(
                node,
                "set of users",
                "a map from role to state: `{ alice: online, bob: offline }`",
            );
            return Vec::new();
        };
        self.no_key_twice(node, "");
        let mut users: Vec<(User, UserNode)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let role = entry.key.as_text().unwrap_or_default().to_owned();
            let fits = role.len() <= 16
                && role.starts_with(|c: char| c.is_ascii_lowercase())
                && role
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            if !fits {
                self.mistyped(
                    &entry.key,
                    "role",
                    "up to 16 lower-case letters and digits, a letter first",
                );
            }
            if let Some(user) = self.user(role, &entry.key, &entry.value) {
                users.push(user);
            }
        }
        users
    }

    fn user(&mut self, role: String, key: &Node, node: &Node) -> Option<(User, UserNode)> {
        let long;
        let fields = if node.as_map().is_some() {
            long = self.fields("user", &key.span, node, &shape::USER)?;
            Some(&long)
        } else {
            None
        };
        let get = |name: &str| {
            fields
                .and_then(|fields: &Fields<'_>| fields.get(name))
                .cloned()
        };
        let state = match fields {
            None => self.state(node),
            Some(fields) => fields
                .get("state")
                .map_or(UserState::Offline, |node| self.state(node)),
        };
        let node = UserNode {
            role: role.clone(),
            state,
            name: get("name"),
            domain: get("domain"),
            transport: get("transport"),
        };
        if let Some(name) = &node.name
            && !name.as_text().is_some_and(|text| text.contains("${"))
        {
            let diagnostic = Diagnostic::error(
                self.source,
                &name.span,
                format!("user `{role}` has the same name in every case"),
            )
            .expected("expected a name with a reference in it, so that no two cases share a user")
            .help("write for example `\"${bob.name}2\"` or `\"x-${random.token(8)}\"`");
            self.diagnostics.push(diagnostic);
        }
        Some((
            User {
                role,
                state,
                name: None,
                domain: None,
                transport: None,
            },
            node,
        ))
    }

    fn state(&mut self, node: &Node) -> UserState {
        match node.as_text() {
            Some("online") => UserState::Online,
            Some("offline") => UserState::Offline,
            Some("absent") => UserState::Absent,
            other => {
                let word = other.unwrap_or_else(|| node.describe()).to_owned();
                let diagnostic = Diagnostic::error(
                    self.source,
                    &node.span,
                    format!("`{word}` is no state of a user"),
                )
                .expected(format!("expected {}", one_of(shape::STATES)))
                .meant(closest(&word, shape::STATES));
                self.diagnostics.push(diagnostic);
                UserState::Offline
            }
        }
    }

    fn matrix(&mut self, node: Option<&Node>) -> Vec<(String, Span, Vec<Node>)> {
        let Some(node) = node else {
            return Vec::new();
        };
        let Some(entries) = node.as_map() else {
            self.mistyped(node, "matrix", "a map from variable to list of values");
            return Vec::new();
        };
        self.no_key_twice(node, "");
        let mut matrix: Vec<(String, Span, Vec<Node>)> = Vec::with_capacity(entries.len());
        for entry in entries {
            let name = entry.key.as_text().unwrap_or_default();
            let Some(values) = entry.value.as_list().filter(|values| !values.is_empty()) else {
                self.mistyped(
                    &entry.value,
                    "list of values",
                    "a list with at least one value",
                );
                continue;
            };
            for (index, value) in values.iter().enumerate() {
                if let Some(first) = values[..index]
                    .iter()
                    .find(|v| v.to_value() == value.to_value())
                {
                    let diagnostic = Diagnostic::error(
                        self.source,
                        &value.span,
                        format!("variable `{name}` has a value twice"),
                    )
                    .expected("this makes the same case again")
                    .related(self.source, &first.span, "the first");
                    self.diagnostics.push(diagnostic);
                }
            }
            if !matrix.iter().any(|(known, ..)| known == name) {
                matrix.push((name.to_owned(), entry.key.span.clone(), values.to_vec()));
            }
        }
        let cases = matrix
            .iter()
            .fold(1_usize, |n, (.., values)| n.saturating_mul(values.len()));
        if cases > CASES {
            self.error(
                &node.span,
                format!("{cases} cases"),
                format!("expected at most {CASES}"),
            );
        }
        matrix
    }

    /// Gives names their meaning, each only one.
    fn scope(&mut self, users: &[(User, UserNode)], matrix: &[(String, Span, Vec<Node>)]) {
        for (user, _) in users {
            self.early.scope.roles.insert(user.role.clone());
        }
        for (name, span, _) in matrix {
            let taken = if RESERVED.contains(&name.as_str()) {
                Some("a word of the language")
            } else if self.early.scope.roles.contains(name) {
                Some("a user")
            } else {
                None
            };
            if let Some(taken) = taken {
                self.error(
                    span,
                    format!("`{name}` is {taken} already"),
                    "expected a name of its own",
                );
            } else if !is_name(name) {
                self.error(
                    span,
                    format!("`{name}` is no name"),
                    "expected letters, digits, `-` and `_`, a letter first",
                );
            } else {
                self.early.scope.variables.insert(name.clone());
            }
        }
    }

    fn unused(&mut self, matrix: &[(String, Span, Vec<Node>)], used: &BTreeSet<String>) {
        for (name, span, values) in matrix {
            if self.early.scope.variables.contains(name) && !used.contains(name) {
                let diagnostic = Diagnostic::warning(
                    self.source,
                    span,
                    format!("matrix variable `{name}` is never used"),
                )
                .expected(match values.len() {
                    1 => "changes nothing".to_owned(),
                    count => format!("makes the same case {count} times"),
                })
                .help(format!("use it as `${{{name}}}`, or take it out"));
                self.diagnostics.push(diagnostic);
            }
        }
    }

    /// Gives the users their names: first the usual ones, so that a name of its own can build on another's.
    pub(super) fn name_users(
        &mut self,
        written: &Written,
        name: &dyn Fn(&str) -> String,
        transport: &str,
    ) -> Vec<CaseUser> {
        self.early.users = written
            .users
            .iter()
            .map(|user| CaseUser {
                role: user.role.clone(),
                state: user.state,
                name: name(&user.role),
                domain: self.early.domain.to_owned(),
                transport: transport.to_owned(),
            })
            .collect();
        for (index, user) in written.users.iter().enumerate() {
            let name = self.user_text(user.name.as_ref());
            let domain = self.user_text(user.domain.as_ref());
            let transport = self
                .transport(user.transport.as_ref())
                .and_then(|template| template.as_text().map(str::to_owned));
            if let Some(known) = self.early.users.get_mut(index) {
                known.name = name.unwrap_or_else(|| std::mem::take(&mut known.name));
                known.domain = domain.unwrap_or_else(|| std::mem::take(&mut known.domain));
                known.transport = transport.unwrap_or_else(|| std::mem::take(&mut known.transport));
            }
        }
        for (index, user) in self.early.users.iter().enumerate() {
            let same = |other: &&CaseUser| other.uri() == user.uri();
            if let (Some(other), Some(node)) = (
                self.early.users[..index].iter().find(same),
                written.users.get(index).and_then(|user| user.name.as_ref()),
            ) {
                let title = format!("users `{}` and `{}` are the same", other.role, user.role);
                let diagnostic = Diagnostic::error(self.source, &node.span, title)
                    .expected("expected another name");
                self.diagnostics.push(diagnostic);
            }
        }
        self.early.users.clone()
    }

    fn user_text(&mut self, node: Option<&Node>) -> Option<String> {
        let node = node?;
        let template = self.template(node);
        if template.references().any(|reference| !reference.is_early()) {
            self.error(
                &node.span,
                "not known before the case runs",
                "a user needs its address before the first step",
            );
        }
        template.as_text().map(str::to_owned)
    }
}

impl Scenario {
    /// What must hold for one choice from the matrix.
    pub(crate) fn conditions(&self, choice: &[usize]) -> Cow<'_, [(String, Matcher)]> {
        if self.written.steers_by_matrix() {
            Cow::Owned(super::conditions(&self.written, choice))
        } else {
            Cow::Borrowed(&self.when)
        }
    }

    /// What must hold for each choice from the matrix; once where it is the same for all.
    pub(crate) fn all_conditions(&self) -> Vec<Cow<'_, [(String, Matcher)]>> {
        if !self.written.steers_by_matrix() {
            return vec![Cow::Borrowed(&self.when)];
        }
        let choices = self.written.choices();
        choices
            .iter()
            .map(|choice| self.conditions(choice))
            .collect()
    }
}

impl Written {
    /// Where the id is written.
    pub(crate) fn id_span(&self) -> Span {
        self.id.clone()
    }

    /// Values of the matrix for one choice of indexes.
    pub(crate) fn values(&self, choice: &[usize]) -> Vec<(String, Node)> {
        self.matrix
            .iter()
            .zip(choice)
            .filter_map(|((name, values), index)| Some((name.clone(), values.get(*index)?.clone())))
            .collect()
    }

    /// The values of the matrix in `when` differ from case to case.
    fn steers_by_matrix(&self) -> bool {
        fn has_reference(node: &Node) -> bool {
            node.as_text().is_some_and(|text| text.contains("${"))
                || node.as_list().unwrap_or_default().iter().any(has_reference)
                || node
                    .as_map()
                    .unwrap_or_default()
                    .iter()
                    .any(|entry| has_reference(&entry.value))
        }
        self.when.as_ref().is_some_and(has_reference)
    }

    /// Every combination of the matrix: one index a variable, the last variable fastest.
    pub(crate) fn choices(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for (_, values) in &self.matrix {
            all = all
                .into_iter()
                .flat_map(|head| {
                    (0..values.len()).map(move |index| {
                        let mut choice = head.clone();
                        choice.push(index);
                        choice
                    })
                })
                .take(CASES)
                .collect();
        }
        all
    }

    /// How a value is shown in the id of a case: itself where it is short and plain, else its number from 1.
    pub(crate) fn label(&self, variable: usize, index: usize) -> String {
        let Some((_, values)) = self.matrix.get(variable) else {
            return String::new();
        };
        let plain = |node: &Node| {
            let text = match node.to_value() {
                Json::String(text) => text,
                value @ (Json::Bool(_) | Json::Number(_)) => value.to_string(),
                _ => return None,
            };
            let fits = (1..=24).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._+".contains(&b));
            fits.then_some(text)
        };
        let own = values
            .get(index)
            .and_then(plain)
            .unwrap_or_else(|| (index + 1).to_string());
        // `[2, "a b"]` would be 2 and 2: then all go by number.
        let labels: BTreeSet<String> = values
            .iter()
            .enumerate()
            .map(|(at, node)| plain(node).unwrap_or_else(|| (at + 1).to_string()))
            .collect();
        if labels.len() == values.len() {
            own
        } else {
            (index + 1).to_string()
        }
    }
}

/// Combinations to try: all, or, where there are many, so many that each value is tried.
fn sample(matrix: &[(String, Vec<Node>)]) -> Vec<Vec<usize>> {
    let product = matrix
        .iter()
        .fold(1_usize, |n, (_, values)| n.saturating_mul(values.len()));
    let longest = matrix
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(1);
    let count = if product <= TRIALS {
        product
    } else {
        longest.min(CASES)
    };
    (0..count)
        .map(|mut number| {
            let round = number;
            matrix
                .iter()
                .map(|(_, values)| {
                    if product > TRIALS {
                        return round % values.len();
                    }
                    let index = number % values.len();
                    number /= values.len();
                    index
                })
                .collect()
        })
        .collect()
}

fn flatten<'s>(steps: &'s [Step], out: &mut Vec<&'s Step>) {
    for step in steps {
        out.push(step);
        match &step.verb {
            Verb::Parallel(branches) => {
                for branch in branches {
                    flatten(branch, out);
                }
            }
            Verb::When(when) => {
                flatten(&when.then, out);
                flatten(&when.otherwise, out);
            }
            Verb::Repeat(repeat) => flatten(&repeat.steps, out),
            _ => {}
        }
    }
}
