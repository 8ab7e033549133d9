//! What a profile says that cannot be, though each word of it is right: declarations that exclude each other,
//! promises without the means to keep them. `imspec check` shows them; a run goes by what the profile says.
//!
//! A declaration that another one makes impossible is an error, one that it leaves without a meaning a warning.
//! What a maker may choose, however odd, is neither.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use super::{
    ClockAdapter, Database, Offline, PolicyAdapter, ProcessAdapter, Profile, Ready, Registration,
    StoreAdapter, Transport,
};
use crate::catalogue::pics::{plain, same};
use crate::catalogue::{PicsKeys, PicsType};
use crate::document::suggest::closest;
use crate::document::{Diagnostic, Diagnostics, Node, Source, Span, tree};
use crate::sut::store::Source as Origin;

/// Keys that say how a tester reaches into the server: none of them is the provider's to choose.
const OF_TESTERS: [&str; 2] = ["inspect.kind", "clock.control"];

impl Profile {
    /// Reads a profile and looks for what its parts say against each other. Warnings do not make it useless.
    ///
    /// # Errors
    /// All mistakes, where it cannot be used.
    pub fn check(path: &Path) -> Result<(Self, Diagnostics), Diagnostics> {
        let profile = Self::load(path)?;
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Diagnostics::from(Diagnostic::unreadable(&name, e)))?;
        let found = profile.contradictions(Source::new(name, text))?;
        if found.are_warnings_only() {
            Ok((profile, found))
        } else {
            Err(found)
        }
    }

    /// What the parts of this profile say against each other; `source` is its text.
    fn contradictions(&self, source: Source) -> Result<Diagnostics, Diagnostics> {
        let source = Arc::new(super::hiding_passwords(source));
        let root = tree::parse(&source).map_err(|mistake| Diagnostics::from(*mistake))?;
        let mut court = Court {
            source: &source,
            root: &root,
            profile: self,
            keys: PicsKeys::bundled()?,
            found: Diagnostics::new(),
        };
        court.values();
        court.settable();
        court.sessions();
        court.marking();
        court.expiry();
        court.observation();
        court.credentials();
        court.standing();
        court.addresses();
        court.sql();
        court.process();
        Ok(court.found)
    }
}

/// Most scenarios have no more users with accounts.
const USERS: usize = 3;

/// Where the parts of a profile meet.
struct Court<'a> {
    source: &'a Arc<Source>,
    root: &'a Node,
    profile: &'a Profile,
    keys: PicsKeys,
    found: Diagnostics,
}

impl Court<'_> {
    /// Every PICS key is one, and has a value that it can have.
    fn values(&mut self) {
        for (name, value) in &self.profile.pics {
            let Some(key) = self.keys.get(name) else {
                let near = closest(name, self.keys.iter().map(|key| key.key.as_str()));
                let title = format!("`{name}` is no PICS key");
                let mistake = Diagnostic::error(self.source, &self.key(name), title)
                    .expected("`imspec list --pics` shows the keys");
                self.found.push(mistake.meant(near));
                continue;
            };
            if let Err(expected) = key.accepts(value) {
                let title = format!("`{name}` cannot be `{}`", shown(value));
                let mistake = Diagnostic::error(self.source, &self.value(name), title)
                    .expected(format!("expected {expected}"))
                    .help(format!("`imspec explain {name}` tells what it declares"));
                self.found.push(mistake);
            }
        }
    }

    /// What can be set is a choice of the provider, and can be taken back.
    fn settable(&mut self) {
        let (kind, can) = match &self.profile.adapters.policy {
            PolicyAdapter::Fixed => return,
            PolicyAdapter::Control { settable, .. } => ("control", settable),
            PolicyAdapter::Program { settable, .. } => ("command", settable),
        };
        for name in can {
            let path = ["adapters", "policy", kind, "settable"];
            let items = self.at(&path).and_then(Node::as_list).unwrap_or_default();
            let item = items.iter().find(|item| item.as_text() == Some(name));
            let span = item.map_or(0..0, |item| item.span.clone());
            if self.keys.get(name).is_none() {
                let near = closest(name, self.keys.iter().map(|key| key.key.as_str()));
                let title = format!("`{name}` can be set, and is no PICS key");
                let mistake = Diagnostic::error(self.source, &span, title)
                    .expected("`imspec list --pics` shows the keys");
                self.found.push(mistake.meant(near));
            } else if OF_TESTERS.contains(&name.as_str()) {
                let title = format!("`{name}` is no choice of the provider");
                let mistake = Diagnostic::error(self.source, &span, title)
                    .expected("it says how a tester reaches into the server")
                    .help("leave it out of `settable`");
                self.found.push(mistake);
            } else if kind == "command" && !self.profile.pics.contains_key(name) {
                let title = format!("`{name}` can be set, and never be taken back");
                let mistake = Diagnostic::warning(self.source, &span, title)
                    .expected("`pics` does not say what holds before")
                    .help(format!("declare `{name}` under `pics`"));
                self.found.push(mistake);
            }
        }
    }

    /// Without session mode (or pager mode) nothing can be said about it.
    fn sessions(&mut self) {
        let Some(modes) = self.profile.pics.get("store.modes") else {
            return;
        };
        if self.can_set("store.modes") {
            return;
        }
        if !names(modes, "session") {
            let idle: Vec<String> = self
                .profile
                .pics
                .keys()
                .filter(|key| key.starts_with("lm.") || *key == "expire.default.lm")
                .cloned()
                .collect();
            for key in idle {
                let why = "no session is deferred, so this says nothing";
                self.idle(
                    &key,
                    "store.modes",
                    why,
                    "leave it out, or add `session` to `store.modes`",
                );
            }
            if let (Some(relay), Some(span)) = (
                self.at(&["pixit", "msrp", "relay"]),
                self.place_of("store.modes"),
            ) {
                let span_of_relay = relay.span.clone();
                let mistake = Diagnostic::warning(
                    self.source,
                    &span_of_relay,
                    "a relay for sessions, and none are deferred",
                )
                .expected("no scenario uses it")
                .related(self.source, &span, "without `session`");
                self.found.push(mistake);
            }
        }
        if !names(modes, "pager") && self.profile.pics.contains_key("expire.default.pm") {
            let why = "no pager-mode message is deferred, so this says nothing";
            self.idle(
                "expire.default.pm",
                "store.modes",
                why,
                "leave it out, or add `pager` to `store.modes`",
            );
        }
        if self.is("lm.expires.honoured", "no")
            && self.profile.pics.contains_key("lm.expires.chunk")
            && !self.can_set("lm.expires.honoured")
        {
            let why = "no chunk sets a lifetime where Expires of a SEND is not looked at";
            self.idle(
                "lm.expires.chunk",
                "lm.expires.honoured",
                why,
                "leave it out",
            );
        }
    }

    /// A provider that does not mark gives no lifetimes (DM-EXP-02).
    fn marking(&mut self) {
        if !self.is("expire.marking", "off") || self.can_set("expire.marking") {
            return;
        }
        for key in ["expire.default.pm", "expire.default.lm", "expire.clamp"] {
            if self.number(key).is_some() {
                let title = format!("`{key}` gives a lifetime, and nothing is marked with one");
                self.clash(
                    key,
                    "expire.marking",
                    title,
                    "where marking is off nothing expires",
                    &format!("`{key}: none`, or `expire.marking: \"on\"`"),
                );
            }
        }
        if self.profile.pics.contains_key("policy.expired") {
            let why = "where marking is off nothing expires, so this says nothing";
            self.idle(
                "policy.expired",
                "expire.marking",
                why,
                "leave it out, or declare `expire.marking: \"on\"`",
            );
        }
    }

    /// Lifetimes, and what a recipient learns of what has expired.
    fn expiry(&mut self) {
        let clamp = self.number("expire.clamp");
        for key in ["expire.default.pm", "expire.default.lm"] {
            if let (Some(usual), Some(most)) = (self.number(key), clamp)
                && usual > most
                && !self.can_set(key)
                && !self.can_set("expire.clamp")
            {
                let title =
                    format!("`{key}` is {usual} s, and no lifetime is longer than {most} s");
                self.clash(
                    key,
                    "expire.clamp",
                    title,
                    "longer than the longest",
                    "the smaller of the two, or `expire.clamp: none`",
                );
            }
        }
        let indication = self.profile.pics.get("policy.indication").map(plain);
        let on_the_message = ["header:", "cpim:", "body", "envelope"];
        if let Some(indication) = indication
            && on_the_message.iter().any(|way| indication.starts_with(way))
            && self.is("policy.expired", "delete")
            && !self.can_set("policy.expired")
            && !self.can_set("policy.indication")
        {
            let title = format!("`{indication}` on a message that is deleted");
            self.clash(
                "policy.indication",
                "policy.expired",
                title,
                "nobody receives what has expired",
                "`policy.indication: none`, or `policy.expired: deliver`",
            );
        }
    }

    /// What a tester can see and move, against the adapters that do so.
    fn observation(&mut self) {
        let adapters = &self.profile.adapters;
        if self.is("inspect.kind", "none") {
            if !matches!(adapters.store, StoreAdapter::None) {
                let title = "`inspect.kind: none`, and a store adapter looks into the store";
                self.against(
                    "inspect.kind",
                    &["adapters", "store"],
                    title,
                    "the kind that it is, such as `sql` or `http`; or `store: none`",
                );
            }
            let carriers = self.profile.pics.get("mid.carrier");
            if carriers.is_some_and(|carriers| names(carriers, "inspect")) {
                self.clash(
                    "mid.carrier",
                    "inspect.kind",
                    "a Message-ID is seen in the store, and nobody can look into it".into(),
                    "`inspect` is the store",
                    "another carrier, or how the store is looked into: `inspect.kind`",
                );
            }
        }
        if self.is("clock.control", "none") && !matches!(adapters.clock, ClockAdapter::Real { .. })
        {
            let title = "`clock.control: none`, and a clock adapter moves the clock";
            self.against(
                "clock.control",
                &["adapters", "clock"],
                title,
                "`clock.control: virtual`, or `clock: real`",
            );
        }
        let ClockAdapter::Faketime { file, .. } = &adapters.clock else {
            return;
        };
        let named = ["adapters", "process", "env", "FAKETIME_TIMESTAMP_FILE"];
        if let Some(node) = self.at(&named)
            && node.as_text().is_some_and(|other| other != file)
        {
            let (span, clock) = (node.span.clone(), self.span_of(&["adapters", "clock"]));
            let mistake = Diagnostic::error(
                self.source,
                &span,
                "the server looks at another file than the one that is written",
            )
            .expected("FAKETIME_TIMESTAMP_FILE of the server")
            .related(self.source, &clock, format!("`{file}` is written"))
            .help("the same text in both places");
            self.found.push(mistake);
        }
    }

    /// Who must show who he is needs a password.
    fn credentials(&mut self) {
        for key in ["auth.register", "auth.sender"] {
            if self.is(key, "digest") && self.profile.pixit.logins.is_none() {
                let title = format!("`{key}: digest`, and no account has a password");
                let mistake = Diagnostic::error(self.source, &self.value(key), title)
                    .expected("every request of this kind is refused")
                    .help("give `pixit: { accounts: { password: \"secret-of-${user}\" } }`, with the rule of this server");
                self.found.push(mistake);
            }
        }
        let nobody = ["auth.register", "auth.sender"]
            .iter()
            .all(|key| self.is(key, "none") && !self.can_set(key));
        if nobody {
            for key in ["auth.algorithms", "auth.nonce_s", "auth.replay"] {
                if self.profile.pics.contains_key(key) {
                    let why = "nobody is asked who he is, so this says nothing";
                    self.idle(key, "auth.register", why, "leave it out");
                }
            }
        }
    }

    /// Addresses from which the server can be reached, and which reach it.
    fn addresses(&mut self) {
        let pixit = &self.profile.pixit;
        let domain = &pixit.domain;
        let bracketed = domain.starts_with('[') && domain.ends_with(']');
        if !bracketed && domain.contains([':', '@', '/', ' ', ';']) {
            let span = self.span_of(&["pixit", "domain"]);
            let mistake = Diagnostic::error(self.source, &span, format!("`{domain}` is no domain"))
                .expected("a host name alone, such as `example.org`")
                .help("the address goes under `target`");
            self.found.push(mistake);
        }
        for (transport, text) in &pixit.targets {
            let Some(target) = literal(text) else {
                continue;
            };
            let path = ["pixit", "target", transport.as_str()];
            let (title, label) = if target.is_ipv4() != pixit.bind.is_ipv4() {
                (
                    format!("the agents at {} cannot reach {target}", pixit.bind),
                    "another version of IP",
                )
            } else if pixit.bind.is_loopback() && !target.is_loopback() {
                (
                    format!("a server at {target} cannot find agents at {}", pixit.bind),
                    "not on this machine's loopback",
                )
            } else {
                continue;
            };
            let span = self.span_of(&path);
            let mut mistake = Diagnostic::error(self.source, &span, title)
                .expected(label)
                .help("`pixit.bind`: an address of this machine that the server can reach");
            if let Some(bind) = self.at(&["pixit", "bind"]) {
                mistake = mistake.related(self.source, &bind.span.clone(), "where the agents are");
            }
            self.found.push(mistake);
        }
        if pixit.timers.answer < pixit.timers.t1 {
            let span = self.span_of(&["pixit", "timers"]);
            let mistake = Diagnostic::error(self.source, &span, "`answer` is shorter than `t1`")
                .expected("no request is ever repeated")
                .help("`answer` is 64 · `t1` where it is left out");
            self.found.push(mistake);
        }
        if let Some(ca) = &pixit.msrp.ca
            && !ca.is_file()
        {
            let span = self.span_of(&["pixit", "msrp", "ca"]);
            let mistake =
                Diagnostic::error(self.source, &span, format!("no file {}", ca.display()))
                    .expected("certificates in PEM, beside the profile");
            self.found.push(mistake);
        }
    }

    /// Where the tester stands, against what the provider declares.
    fn standing(&mut self) {
        let standing = &self.profile.pixit.standing;
        let by_core = matches!(standing.registration, Registration::ThirdParty { .. });
        if by_core && self.is("auth.register", "digest") && !self.can_set("auth.register") {
            self.against(
                "auth.register",
                &["pixit", "registration"],
                "an S-CSCF shows no credentials to a server behind it",
                "`auth.register: none`, or `registration: register`",
            );
        }
        let secure = |transport: &&Transport| !matches!(transport, Transport::Udp | Transport::Tcp);
        if let Registration::ThirdParty {
            address: Some(_), ..
        } = &standing.registration
            && let Some(transport) = self.profile.pixit.targets.keys().find(secure)
        {
            let title = format!(
                "an S-CSCF with one `address` takes UDP and TCP there, and the target has {}",
                transport.as_str()
            );
            let span = self.span_of(&["pixit", "registration", "third-party", "address"]);
            let mistake = Diagnostic::error(self.source, &span, title)
                .expected("`udp` and `tcp` alone in the target, or no `address`");
            self.found.push(mistake);
        }
        if standing.trusted && self.is("identity.trust", "none") && !self.can_set("identity.trust")
        {
            let side = if self.at(&["pixit", "side"]).is_some() {
                "side"
            } else {
                "registration"
            };
            self.against(
                "identity.trust",
                &["pixit", side],
                "on the trusted side identities are asserted, and nobody is believed",
                "`identity.trust: senders`, or `side: user`",
            );
        }
        if standing.offline == Offline::Silence
            && self.is("offline.trigger", "not-registered")
            && !self.can_set("offline.trigger")
        {
            self.against(
                "offline.trigger",
                &["pixit", "offline"],
                "who is out of reach stays registered, and messages for him are not deferred",
                "`offline.trigger: unreachable`, or another way to go offline",
            );
        }
        if let Some(few) = self.profile.few()
            && few.len() < USERS
        {
            let at = ["list", "pattern"].map(|key| self.span_of(&["pixit", "accounts", key]));
            let [list, pattern] = at;
            let span = if list == (0..0) { pattern } else { list };
            let title = format!("{} accounts, and many cases have {USERS} users", few.len());
            let mistake = Diagnostic::warning(self.source, &span, title)
                .expected("cases with more users than accounts are inconclusive");
            self.found.push(mistake);
        }
    }

    /// A query against the columns that are read from it.
    fn sql(&mut self) {
        let StoreAdapter::Sql { query, .. } = &self.profile.adapters.store else {
            return;
        };
        let (query, columns) = (&query.text, &query.columns);
        let of_account = [":user", ":account", ":domain"];
        if !of_account.iter().any(|name| query.contains(name)) {
            let span = self.span_of(&["adapters", "store", "sql", "query"]);
            let mistake = Diagnostic::error(self.source, &span, "the query asks for no account")
                .expected("every account has the records of all")
                .help("a condition with `:user` and `:domain`, or `:account`");
            self.found.push(mistake);
        }
        if query.contains('*') {
            return;
        }
        let lower = query.to_lowercase();
        let fields = columns
            .fields
            .iter()
            .map(|(field, origin)| (field.clone(), origin));
        let headers = columns
            .headers
            .iter()
            .map(|(name, origin)| (format!("header.{name}"), origin));
        let mapped: Vec<(String, String)> = fields
            .chain(headers)
            .filter_map(|(field, origin)| match origin {
                Origin::Column(column) => Some((field, column.clone())),
                Origin::Constant(_) => None,
            })
            .collect();
        for (field, column) in mapped {
            if lower.contains(&column.to_lowercase()) {
                continue;
            }
            let span = self.span_of(&["adapters", "store", "sql", "columns", &field]);
            let query = self.span_of(&["adapters", "store", "sql", "query"]);
            let mistake = Diagnostic::error(
                self.source,
                &span,
                format!("the query gives no column `{column}`"),
            )
            .expected(format!("`{field}` is read from it"))
            .related(self.source, &query, "the query")
            .help("add it to the query, or leave the field out: then it is unknown");
            self.found.push(mistake);
        }
    }

    /// Several servers side by side share nothing, and every port that is claimed is used.
    fn process(&mut self) {
        let ProcessAdapter::Command(command) = &self.profile.adapters.process else {
            return;
        };
        let adapters = &self.profile.adapters;
        let own = |text: &str| text.contains("${port.") || text.contains("${dir}");
        if command.instances > 1 {
            let mut shared: Vec<(Vec<&str>, &str)> = Vec::new();
            match &adapters.store {
                StoreAdapter::Control(url) => shared.push((vec!["adapters", "store"], url)),
                StoreAdapter::Sql { database, .. } => {
                    let (key, address) = match database {
                        Database::Sqlite(file) => ("sqlite", file),
                        Database::Postgres(login) => ("postgres", &login.address),
                        Database::Mysql(login) => ("mysql", &login.address),
                    };
                    shared.push((vec!["adapters", "store", "sql", key], address));
                }
                StoreAdapter::Imap { server, .. } => {
                    shared.push((vec!["adapters", "store", "imap", "server"], &server.address));
                }
                StoreAdapter::None | StoreAdapter::Program(_) => {}
            }
            match &adapters.clock {
                ClockAdapter::Control { url, .. } => shared.push((vec!["adapters", "clock"], url)),
                ClockAdapter::Faketime { file, .. } => {
                    shared.push((vec!["adapters", "clock", "faketime", "file"], file));
                }
                ClockAdapter::Real { .. } | ClockAdapter::Program { .. } => {}
            }
            if let PolicyAdapter::Control { url, .. } = &adapters.policy {
                shared.push((vec!["adapters", "policy", "control", "url"], url));
            }
            if let Ready::Tcp(address) = &command.ready {
                shared.push((vec!["adapters", "process", "ready"], address));
            }
            for (path, _) in shared.into_iter().filter(|(_, text)| !own(text)) {
                let span = self.span_of(&path);
                let instances = self.span_of(&["adapters", "process", "instances"]);
                let title = format!("{} servers share one `{}`", command.instances, path[1]);
                let mistake = Diagnostic::error(self.source, &span, title)
                    .expected("each needs its own, by `${port.NAME}` or `${dir}`")
                    .related(self.source, &instances, "side by side");
                self.found.push(mistake);
            }
        }
        // A template may use any port; what it says is not read here.
        let opaque = command
            .files
            .iter()
            .any(|(_, content)| !matches!(content, super::FileContent::Text(_)));
        let text = self.source.text();
        for port in command.ports.iter().filter(|_| !opaque) {
            if text.contains(&format!("${{port.{port}}}")) {
                continue;
            }
            let items = self
                .at(&["adapters", "process", "ports"])
                .and_then(Node::as_list);
            let item = items
                .unwrap_or_default()
                .iter()
                .find(|item| item.as_text() == Some(port));
            let span = item.map_or(0..0, |item| item.span.clone());
            let title = format!("the port `{port}` is claimed and never used");
            let mistake = Diagnostic::warning(self.source, &span, title)
                .expected(format!("nothing says `${{port.{port}}}`"));
            self.found.push(mistake);
        }
    }

    /// An error: a key whose value another key excludes.
    fn clash(&mut self, key: &str, with: &str, title: String, label: &str, help: &str) {
        let other = self.value(with);
        let mistake = Diagnostic::error(self.source, &self.value(key), title)
            .expected(label)
            .related(self.source, &other, format!("`{with}` says so"))
            .help(help);
        self.found.push(mistake);
    }

    /// An error: a key against an adapter.
    fn against(&mut self, key: &str, adapter: &[&str], title: &str, help: &str) {
        let at = self.span_of(adapter);
        let mistake = Diagnostic::error(self.source, &self.value(key), title)
            .expected("declared here")
            .related(self.source, &at, "and this does it")
            .help(help);
        self.found.push(mistake);
    }

    /// A warning: a key that another one leaves without a meaning.
    fn idle(&mut self, key: &str, by: &str, why: &str, help: &str) {
        let other = self.value(by);
        let title = format!("`{key}` is declared for nothing");
        let mistake = Diagnostic::warning(self.source, &self.key(key), title)
            .expected(why)
            .related(self.source, &other, format!("because of `{by}`"))
            .help(help);
        self.found.push(mistake);
    }

    fn is(&self, key: &str, value: &str) -> bool {
        let declared = self.profile.pics.get(key);
        declared.is_some_and(|declared| same(declared, &Value::from(value)))
    }

    fn number(&self, key: &str) -> Option<u64> {
        let kind = self.keys.get(key)?.kind;
        let value = self.profile.pics.get(key)?;
        matches!(kind, PicsType::Seconds | PicsType::Integer)
            .then(|| plain(value).parse().ok())
            .flatten()
    }

    fn can_set(&self, key: &str) -> bool {
        self.profile.settable().contains(key)
    }

    fn at(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(self.root, |node, key| node.get(key))
    }

    fn span_of(&self, path: &[&str]) -> Span {
        self.at(path).map_or(0..0, |node| node.span.clone())
    }

    /// Where a PICS key is written.
    fn key(&self, name: &str) -> Span {
        let entries = self
            .at(&["pics"])
            .and_then(Node::as_map)
            .unwrap_or_default();
        let entry = entries
            .iter()
            .find(|entry| entry.key.as_text() == Some(name));
        entry.map_or(0..0, |entry| entry.key.span.clone())
    }

    fn value(&self, name: &str) -> Span {
        self.place_of(name).unwrap_or(0..0)
    }

    fn place_of(&self, name: &str) -> Option<Span> {
        self.at(&["pics", name]).map(|node| node.span.clone())
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        value => plain(value),
    }
}

/// Whether a list, or a single word, names something.
fn names(value: &Value, name: &str) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| item == name),
        value => value == name,
    }
}

/// The address, where a target is written as one.
fn literal(target: &str) -> Option<IpAddr> {
    let (host, _) = target.split('/').next()?.rsplit_once(':')?;
    host.trim_matches(['[', ']']).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    const SMALLEST: &str = "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"127.0.0.1:5060\" }\n  domain: example.org\n";

    fn found(text: &str) -> String {
        let source = Source::new("profile.yaml", text);
        let profile =
            Profile::read(source.clone(), Path::new(".")).unwrap_or_else(|e| panic!("{e}"));
        profile.contradictions(source).unwrap().to_string()
    }

    #[test]
    fn the_bundled_profiles_contradict_nothing() {
        for name in ["reference", "kamailio-msilo"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../scenarios/profiles")
                .join(name)
                .join("profile.yaml");
            let (_, found) = Profile::check(&path).unwrap_or_else(|e| panic!("{e}"));
            assert!(found.is_empty(), "{found}");
        }
        assert_eq!(found(SMALLEST), "");
    }

    #[test]
    fn keys_and_values_are_those_of_the_table() {
        insta::assert_snapshot!(found(&format!(
            "{SMALLEST}pics: {{ policy.expird: delete, accept.status: 204, store.modes: [pager, mail] }}\n\
             adapters:\n  policy: {{ command: {{ set: [./set], settable: [policy.expred, clock.control, expire.zero] }} }}\n"
        )));
    }

    #[test]
    fn what_one_declaration_makes_impossible() {
        insta::assert_snapshot!(found(&format!(
            "{SMALLEST}pics:\n  expire.clamp: 600\n  expire.default.pm: 3600\n  policy.expired: delete\n  policy.indication: \"header:X-Expired\"\n\
             \u{20} inspect.kind: none\n  mid.carrier: [inspect]\n  auth.register: digest\n  clock.control: none\n\
             adapters:\n  store: {{ command: [./store] }}\n  clock: {{ control: {{ url: \"http://127.0.0.1:8060\" }} }}\n"
        )));
        insta::assert_snapshot!(found(&format!(
            "{SMALLEST}pics: {{ expire.marking: \"off\", expire.default.lm: 60, expire.clamp: none }}\n"
        )));
    }

    #[test]
    fn what_one_declaration_leaves_without_meaning() {
        insta::assert_snapshot!(found(&format!(
            "{SMALLEST}pics: {{ store.modes: [pager], lm.multi: one-per-session, lm.base: bye, auth.register: none, auth.sender: none, auth.nonce_s: 60 }}\n"
        )));
        let set = "adapters:\n  policy: { control: { url: \"http://127.0.0.1:8060\", settable: [store.modes] } }\n";
        let text = format!("{SMALLEST}pics: {{ store.modes: [pager], lm.base: bye }}\n{set}");
        assert_eq!(found(&text), "", "another run may have sessions");
    }

    #[test]
    fn addresses_that_cannot_meet() {
        insta::assert_snapshot!(found(
            "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"192.0.2.7:5060\", tcp: \"[2001:db8::7]:5060\" }\n  domain: \"sip:example.org\"\n  timers: { t1: 500ms, answer: 100ms }\n  msrp: { ca: no-such.pem }\n"
        ));
    }

    #[test]
    fn places_of_the_tester_that_cannot_be() {
        insta::assert_snapshot!(
            "an_s_cscf_under_tls",
            found(
                "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"127.0.0.1:5060\", tls: \"127.0.0.1:5061\" }\n  \
             domain: example.org\n  registration: { third-party: { address: \"127.0.0.1:5070\" } }\n"
            )
        );
        insta::assert_snapshot!(found(
            "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"127.0.0.1:5060\" }\n  domain: example.org\n  \
             registration: third-party\n  offline: silence\n  accounts: { list: [one, two] }\n\
             pics: { auth.register: digest, identity.trust: none, offline.trigger: not-registered }\n"
        ));
    }

    #[test]
    fn servers_side_by_side_share_nothing() {
        insta::assert_snapshot!(found(
            "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"127.0.0.1:${port.sip}\" }\n  domain: example.org\n\
             adapters:\n  store:\n    sql: { sqlite: im.db, query: SELECT id FROM silo, columns: { message-id: id, body: text } }\n\
             \u{20} clock: { faketime: { file: \"${dir}/faketime\" } }\n\
             \u{20} process:\n    command: [server]\n    env: { FAKETIME_TIMESTAMP_FILE: /tmp/faketime }\n    instances: 4\n    ports: [sip, spare]\n"
        ));
    }
}
