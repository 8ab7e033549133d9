//! From the tree of a profile file to a [`Profile`], with every mistake that it holds.

mod few;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use imspec_wire::msrp::Uri;
use regex::Regex;

use super::{
    Adapters, ClockAdapter, Command, Commands, Database, Few, FileContent, Login, Msrp, Password,
    Pixit, PolicyAdapter, ProcessAdapter, Profile, Provision, Ready, Relay, StoreAdapter, Timers,
    Tls, Transport,
};
use crate::agent::Logins;
use crate::document::suggest::{closest, one_of};
use crate::document::{
    Diagnostic, Diagnostics, Entry, Fields, Key, Node, NodeKind, Source, Span, tree,
};
use crate::scenario::{Pics, duration};
use crate::sut::places;
use crate::sut::store::{Columns, Mailboxes, Query, Source as Origin};

/// Most servers side by side.
const MOST_INSTANCES: usize = 64;

/// References that only the commands of an adapter know.
const OF_COMMANDS: [(&str, &[&str]); 3] = [
    ("store", &["account", "user", "domain"]),
    ("clock", &["by_ms", "by_s", "to"]),
    ("policy", &["key", "value"]),
];

/// References that only the programs know which bring users online.
const OF_PRESENCE: &[&str] = &["account", "user", "domain", "contact", "expires"];

const fn required(name: &'static str) -> Key {
    Key {
        name,
        required: true,
    }
}

const fn optional(name: &'static str) -> Key {
    Key {
        name,
        required: false,
    }
}

/// Reads a profile.
pub(super) fn profile(source: &Arc<Source>, folder: &Path) -> Result<Profile, Diagnostics> {
    let mut decoder = Decoder {
        source: Arc::clone(source),
        folder,
        diagnostics: Diagnostics::new(),
    };
    let profile = match tree::parse(source) {
        Ok(root) => decoder.profile(&root),
        Err(diagnostic) => {
            decoder.diagnostics.push(*diagnostic);
            None
        }
    };
    match profile {
        Some(profile) if decoder.diagnostics.are_warnings_only() => Ok(profile),
        _ => Err(decoder.diagnostics),
    }
}

struct Decoder<'f> {
    source: Arc<Source>,
    folder: &'f Path,
    diagnostics: Diagnostics,
}

impl Decoder<'_> {
    fn profile(&mut self, root: &Node) -> Option<Profile> {
        let keys = [
            required("name"),
            required("sut"),
            required("pixit"),
            optional("pics"),
            optional("adapters"),
        ];
        let top = 0..0;
        let fields = self.fields("a profile", &top, root, &keys)?;
        let name = fields.get("name").and_then(|node| self.text(node));
        let sut = fields.get("sut").and_then(|node| {
            self.fields(
                "`sut`",
                &node.span,
                node,
                &[required("product"), optional("version")],
            )
        });
        let product = sut
            .as_ref()
            .and_then(|sut| sut.get("product"))
            .and_then(|node| self.text(node));
        let version = sut
            .as_ref()
            .and_then(|sut| sut.get("version"))
            .and_then(|node| self.text(node));
        let pixit = fields.get("pixit").and_then(|node| self.pixit(node));
        let pics = fields
            .get("pics")
            .map_or_else(|| Some(Pics::new()), |node| self.pics(node));
        let adapters = match fields.get("adapters") {
            Some(node) => self.adapters(node),
            None => Some(Adapters {
                store: StoreAdapter::None,
                clock: real_clock(),
                policy: PolicyAdapter::Fixed,
                process: ProcessAdapter::Attach,
            }),
        };
        self.contradictions(&fields, adapters.as_ref());
        if let (Some(pixit), Some(adapters)) = (&pixit, &adapters)
            && pixit.accounts == Provision::Control
            && adapters.control_url().is_none()
        {
            let span = fields
                .get("pixit")
                .and_then(|node| node.get("accounts"))
                .map_or(&root.span, |n| &n.span);
            self.wrong(
                span,
                "accounts are provisioned by a control API, and no adapter names one",
                "",
            )
            .help("give `adapters: { store: { control: { url: … } } }`, or `provision: none`");
        }
        Some(Profile {
            name: name?,
            product: product?,
            version,
            folder: self.folder.to_owned(),
            pixit: pixit?,
            pics: pics?,
            adapters: adapters?,
        })
    }

    fn pixit(&mut self, node: &Node) -> Option<Pixit> {
        let keys = [
            optional("target"),
            optional("outbound-proxy"),
            optional("registration"),
            optional("offline"),
            optional("side"),
            optional("resolver"),
            required("domain"),
            optional("accounts"),
            optional("transport"),
            optional("bind"),
            optional("tls"),
            optional("timers"),
            optional("msrp"),
        ];
        let fields = self.fields("`pixit`", &node.span, node, &keys)?;
        let transports = Transport::ALL.map(|transport| optional(transport.as_str()));
        let keys: Vec<_> = [optional("domain")].into_iter().chain(transports).collect();
        let next_hop = self.next_hop(node, &fields);
        let proxied = fields.get("outbound-proxy").is_some();
        let target = next_hop.and_then(|(what, node)| self.fields(what, &node.span, node, &keys));
        let mut targets = BTreeMap::new();
        for transport in Transport::ALL {
            let node = target.as_ref().and_then(|t| t.get(transport.as_str()));
            let address = node.and_then(|node| {
                if transport.is_websocket() {
                    self.resource(node)
                } else {
                    self.address(node)
                }
            });
            if let Some(address) = address {
                targets.insert(transport, address);
            }
        }
        let located = match target.as_ref().and_then(|target| target.get("domain")) {
            None => None,
            Some(node) => Some(self.filled(node)?),
        };
        let resolver = match fields.get("resolver") {
            None => None,
            Some(node) => Some(self.socket(node)?),
        };
        let known = Transport::ALL.map(|transport| (transport.as_str(), transport));
        let transport = match fields.get("transport") {
            Some(node) => self.choice(node, &known),
            None => Some(targets.keys().next().copied().unwrap_or(Transport::Udp)),
        };
        if let (Some(target), Some(transport)) = (&target, transport)
            && target.get(transport.as_str()).is_none()
            && located.is_none()
        {
            let title = format!(
                "`target` has no address for {}, the transport of the agents",
                transport.as_str()
            );
            self.wrong(&target.span, title, "at least one address is wanted here");
        }
        let tls = fields
            .get("tls")
            .map_or_else(|| Some(Tls::default()), |node| self.tls(node));
        let accounts = fields
            .get("accounts")
            .map_or(Some((Provision::None, None, None)), |node| {
                self.accounts(node)
            });
        let bind = match fields.get("bind") {
            None => Some(IpAddr::from([127, 0, 0, 1])),
            Some(node) => self.ip(node),
        };
        let msrp = fields
            .get("msrp")
            .map_or_else(|| Some(Msrp::default()), |node| self.msrp(node));
        let standing = self.standing(&fields, proxied);
        let timers = fields
            .get("timers")
            .map_or_else(|| Some(Timers::default()), |node| self.timers(node));
        let domain = fields.get("domain").and_then(|node| self.text(node));
        let (accounts, logins, pool) = accounts?;
        Some(Pixit {
            targets,
            located,
            resolver,
            domain: domain?,
            accounts,
            logins: logins.map(Arc::new),
            pool,
            transport: transport?,
            bind: bind?,
            tls: Arc::new(tls?),
            timers: timers?,
            msrp: Arc::new(msrp?),
            standing: Arc::new(standing?),
        })
    }

    /// Where what the agents send goes, and by which key the profile says so.
    fn next_hop<'n>(
        &mut self,
        pixit: &Node,
        fields: &Fields<'n>,
    ) -> Option<(&'static str, &'n Node)> {
        match (fields.get("target"), fields.get("outbound-proxy")) {
            (Some(node), None) => Some(("`target`", node)),
            (None, Some(node)) => Some(("`outbound-proxy`", node)),
            (None, None) => {
                self.wrong(
                    &pixit.span,
                    "`pixit` does not say where the server is",
                    "`target: { udp: \"host:port\" }`, or `outbound-proxy` with the same",
                );
                None
            }
            (Some(_), Some(proxy)) => {
                let title = "`target` and `outbound-proxy` are both the next hop";
                self.wrong(
                    &proxy.span,
                    title,
                    "what the agents send goes to one of them",
                )
                .help("behind a proxy leave `target` out: the proxy knows where the server is");
                None
            }
        }
    }

    fn accounts(&mut self, node: &Node) -> Option<(Provision, Option<Logins>, Option<Few>)> {
        let keys = [
            optional("provision"),
            optional("list"),
            optional("pattern"),
            optional("count"),
            optional("clean"),
            optional("username"),
            optional("password"),
        ];
        let fields = self.fields("`accounts`", &node.span, node, &keys)?;
        let Ok(pool) = self.few(&fields) else {
            return None;
        };
        let provision = match fields.get("provision") {
            Some(node) => self.provision(node),
            None if pool.is_some() => Some(Provision::None),
            None => {
                let title = "`accounts` does not say which accounts there are";
                self.wrong(&node.span, title, "`provision`, `list`, or `pattern`");
                None
            }
        };
        if let (
            Some(_),
            Some(Provision::Program {
                remove: Some(_), ..
            }),
        ) = (&pool, &provision)
        {
            let title = "accounts that cases share are not removed after one of them";
            self.wrong(
                &node.span,
                title,
                "leave out `remove`, or `list` and `pattern`",
            );
        }
        let username = match fields.get("username") {
            None => "${user}".to_owned(),
            Some(node) => self.of_user(node)?,
        };
        let logins = match fields.get("password") {
            None => {
                if let Some(span) = fields.key_span("username") {
                    self.wrong(
                        span,
                        "`username` without `password`",
                        "give both, or neither",
                    );
                    return None;
                }
                None
            }
            Some(node) => Some(Logins {
                username,
                password: self.of_user(node)?,
            }),
        };
        Some((provision?, logins, pool))
    }

    fn provision(&mut self, node: &Node) -> Option<Provision> {
        if node.as_map().is_none() {
            let known = [("none", Provision::None), ("control", Provision::Control)];
            return self.choice(node, &known);
        }
        let keys = [required("command"), optional("remove")];
        let fields = self.fields("`provision`", &node.span, node, &keys)?;
        let make = self.command(fields.get("command")?)?;
        let remove = match fields.get("remove") {
            None => None,
            Some(node) => Some(self.command(node)?),
        };
        Some(Provision::Program { make, remove })
    }

    /// Text in which `${user}` and `${domain}` may stand.
    fn of_user(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let rest = text.replace("${user}", "").replace("${domain}", "");
        if rest.contains("${") {
            self.wrong(
                &node.span,
                "only `${user}` and `${domain}` are known here",
                "the user part and the domain of the account",
            );
            return None;
        }
        Some(text)
    }

    fn ip(&mut self, node: &Node) -> Option<IpAddr> {
        let text = self.text(node)?;
        let address = text.trim_matches(['[', ']']).parse().ok();
        if address.is_none() {
            let title = format!("`{text}` is no IP address");
            self.wrong(&node.span, title, "such as `127.0.0.1` or `::1`");
        }
        address
    }

    fn tls(&mut self, node: &Node) -> Option<Tls> {
        let keys = ["ca", "certificate", "key", "name"].map(optional);
        let fields = self.fields("`tls`", &node.span, node, &keys)?;
        let mut text = |name| match fields.get(name) {
            None => Some(None),
            Some(node) => self.filled(node).map(Some),
        };
        let (ca, certificate, key) = (text("ca")?, text("certificate")?, text("key")?);
        let name = text("name")?;
        let own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => {
                self.wrong(
                    &node.span,
                    "a certificate is shown together with its key",
                    "give `certificate` and `key`, or neither",
                );
                return None;
            }
        };
        Some(Tls { ca, own, name })
    }

    fn msrp(&mut self, node: &Node) -> Option<Msrp> {
        let keys = [
            optional("connection"),
            optional("bind"),
            optional("ca"),
            optional("relay"),
        ];
        let fields = self.fields("`msrp`", &node.span, node, &keys)?;
        let relay = match fields.get("relay") {
            None => None,
            Some(node) => Some(self.relay(node)?),
        };
        let usual = relay.as_ref().is_some_and(|relay| relay.uri.is_secure());
        let secure = fields.get("connection").map_or(Some(usual), |node| {
            self.choice(node, &[("tcp", false), ("tls", true)])
        });
        if let (Some(relay), Some(secure), Some(node)) = (&relay, secure, fields.get("connection"))
            && secure != usual
        {
            let title = format!("sessions behind the relay {} are not like that", relay.uri);
            let expected = if usual { "`tls`" } else { "`tcp`" };
            self.wrong(
                &node.span,
                title,
                format!("expected {expected}, or nothing"),
            );
            return None;
        }
        let bind = match fields.get("bind") {
            None => None,
            Some(node) => Some(self.ip(node)?),
        };
        let ca = match fields.get("ca") {
            None => None,
            Some(node) => Some(self.folder.join(self.text(node)?)),
        };
        Some(Msrp {
            secure: secure?,
            bind,
            ca,
            relay,
        })
    }

    fn relay(&mut self, node: &Node) -> Option<Relay> {
        let keys = [
            required("uri"),
            required("user"),
            required("password"),
            optional("resource"),
        ];
        let fields = self.fields("`relay`", &node.span, node, &keys)?;
        let uri = fields.get("uri").and_then(|node| {
            let text = self.text(node)?;
            let uri = Uri::parse(text.as_bytes());
            if let Err(why) = &uri {
                let title = format!("`{text}` is no MSRP URI: {why}");
                let expected = "such as `msrps://relay.example.org:2855;tcp`";
                self.wrong(&node.span, title, expected);
            }
            let uri = uri.ok()?;
            let transport = uri.transport().unwrap_or_default();
            if !["tcp", "ws"].contains(&transport.to_ascii_lowercase().as_str()) {
                let title = format!("the agents reach no relay by `{transport}`");
                self.wrong(&node.span, title, "expected `;tcp`, or `;ws` for WebSocket");
                return None;
            }
            Some(uri)
        });
        let user = fields.get("user").and_then(|node| self.text(node));
        let password = fields.get("password").and_then(|node| self.text(node));
        let resource = match fields.get("resource") {
            None => "/".to_owned(),
            Some(node) => self.path_of_resource(node)?,
        };
        let relay = Relay {
            uri: uri?,
            resource,
            user: user?,
            password: password?,
        };
        if let (Some(node), false) = (fields.get("resource"), relay.is_websocket()) {
            let title = format!(
                "{} is not reached by WebSocket, and has no resource",
                relay.uri
            );
            self.wrong(&node.span, title, "leave it out, or write `;ws` in `uri`");
            return None;
        }
        Some(relay)
    }

    /// The path of a resource of WebSocket.
    fn path_of_resource(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if !text.starts_with('/') || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let title = format!("`{text}` is no path of a resource");
            self.wrong(&node.span, title, "such as `/msrp`");
            return None;
        }
        Some(text)
    }

    fn timers(&mut self, node: &Node) -> Option<Timers> {
        let keys = [
            optional("t1"),
            optional("answer"),
            optional("delivery"),
            optional("quiet"),
            optional("store"),
        ];
        let fields = self.fields("`timers`", &node.span, node, &keys)?;
        let usual = Timers::default();
        let mut timer = |name: &str| fields.get(name).and_then(|node| self.duration(node));
        let t1 = timer("t1").unwrap_or(usual.t1);
        let timers = Timers {
            t1,
            answer: timer("answer").unwrap_or(t1 * 64),
            delivery: timer("delivery").unwrap_or(usual.delivery),
            quiet: timer("quiet").unwrap_or(usual.quiet),
            store: timer("store").unwrap_or(usual.store),
        };
        if timers.t1.is_zero() || timers.answer.is_zero() {
            self.wrong(&node.span, "`t1` and `answer` must be above 0", "");
        }
        Some(timers)
    }

    fn pics(&mut self, node: &Node) -> Option<Pics> {
        let entries = self.entries(node, "`pics`", "PICS keys and their values")?;
        let mut pics = Pics::new();
        for entry in entries {
            let Some(key) = entry.key.as_text() else {
                continue;
            };
            if entry.value.is_null() {
                self.wrong(
                    &entry.value.span,
                    format!("`{key}` has no value"),
                    "a value, or leave the key out",
                );
            } else if pics
                .insert(key.to_owned(), entry.value.to_value())
                .is_some()
            {
                self.wrong(
                    &entry.key.span,
                    format!("key `{key}` stands twice"),
                    "given again here",
                );
            }
        }
        Some(pics)
    }

    fn adapters(&mut self, node: &Node) -> Option<Adapters> {
        let keys = [
            optional("store"),
            optional("clock"),
            optional("policy"),
            optional("process"),
        ];
        let fields = self.fields("`adapters`", &node.span, node, &keys)?;
        let store = fields
            .get("store")
            .map_or(Some(StoreAdapter::None), |node| self.store(node));
        let clock = fields
            .get("clock")
            .map_or_else(|| Some(real_clock()), |node| self.clock(node));
        let policy = fields
            .get("policy")
            .map_or(Some(PolicyAdapter::Fixed), |node| self.policy(node));
        let process = fields
            .get("process")
            .map_or(Some(ProcessAdapter::Attach), |node| self.process(node));
        Some(Adapters {
            store: store?,
            clock: clock?,
            policy: policy?,
            process: process?,
        })
    }

    fn store(&mut self, node: &Node) -> Option<StoreAdapter> {
        match self.kind(
            node,
            "store adapter",
            &["none", "control", "sql", "command", "imap"],
        )? {
            ("command", inner) => self.command(inner?).map(StoreAdapter::Program),
            ("control", inner) => self
                .control(inner?, &[])
                .map(|fields| fields.0)
                .map(StoreAdapter::Control),
            ("sql", inner) => self.sql(inner?),
            ("imap", inner) => self.imap(inner?),
            _ => Some(StoreAdapter::None),
        }
    }

    fn sql(&mut self, node: &Node) -> Option<StoreAdapter> {
        let keys = [
            optional("sqlite"),
            optional("postgres"),
            optional("mysql"),
            optional("password"),
            optional("password-file"),
            required("query"),
            required("columns"),
            optional("headers-complete"),
        ];
        let fields = self.fields("`sql`", &node.span, node, &keys)?;
        let database = self.database(node, &fields);
        let query = fields.get("query").and_then(|node| self.text(node));
        let columns = fields.get("columns").and_then(|node| self.columns(node));
        let headers_complete = fields
            .get("headers-complete")
            .map_or(Some(false), |node| self.truth(node))?;
        Some(StoreAdapter::Sql {
            database: database?,
            query: Query {
                text: query?,
                columns: columns?,
                headers_complete,
            },
        })
    }

    fn imap(&mut self, node: &Node) -> Option<StoreAdapter> {
        let keys = [
            required("server"),
            required("login"),
            optional("password"),
            optional("password-file"),
            optional("mailbox"),
            required("columns"),
            optional("states"),
            optional("headers-complete"),
        ];
        let fields = self.fields("`imap`", &node.span, node, &keys)?;
        let server = fields.get("server").and_then(|node| self.filled(node));
        let login = fields.get("login").and_then(|node| self.filled(node));
        let mailbox = fields
            .get("mailbox")
            .map_or(Some("INBOX".to_owned()), |node| self.filled(node));
        let password = self.login_password(&fields).ok()?;
        let table = fields.get("columns")?;
        let columns = self.columns(table)?;
        for entry in table.as_map().unwrap_or_default() {
            if let Some(name) = entry.value.as_text()
                && !Mailboxes::gives(name)
            {
                let title = format!("a message in a mailbox gives no `{name}`");
                self.wrong(&entry.value.span, title, Mailboxes::GIVES);
            }
        }
        let mut states = Vec::new();
        if let Some(node) = fields.get("states") {
            for entry in self.entries(node, "`states`", "flags and the states that they show")? {
                let known = ["waiting", "delivering", "delivered", "expired", "deleted"];
                let state = self.choice(&entry.value, &known.map(|name| (name, name)));
                if let (Some(flag), Some(state)) = (entry.key.as_text(), state) {
                    states.push((flag.to_owned(), state.to_owned()));
                }
            }
        }
        let headers_complete = fields
            .get("headers-complete")
            .map_or(Some(false), |node| self.truth(node))?;
        Some(StoreAdapter::Imap {
            server: Login {
                address: server?,
                password,
            },
            boxes: Box::new(Mailboxes {
                login: login?,
                mailbox: mailbox?,
                columns,
                states,
                headers_complete,
            }),
        })
    }

    /// The one database that `sql` names, and how to get into it.
    fn database(&mut self, sql: &Node, fields: &Fields<'_>) -> Option<Database> {
        let named: Vec<_> = ["sqlite", "postgres", "mysql"]
            .into_iter()
            .filter_map(|name| fields.get(name).map(|node| (name, node)))
            .collect();
        let [(name, node)] = named.as_slice() else {
            let span = named.get(1).map_or(&sql.span, |(_, second)| &second.span);
            self.wrong(
                span,
                "`sql` names one database",
                "one of `sqlite`, `postgres` and `mysql`",
            );
            return None;
        };
        let address = self.filled(node);
        let secret = fields.get("password").or(fields.get("password-file"));
        if let ("sqlite", Some(node)) = (*name, secret) {
            let title = "a file of SQLite has no password";
            self.wrong(&node.span, title, "leave it out");
        }
        let password = self.login_password(fields).ok()?;
        let address = address?;
        Some(match *name {
            "sqlite" => Database::Sqlite(address),
            "postgres" => Database::Postgres(Login { address, password }),
            _ => Database::Mysql(Login { address, password }),
        })
    }

    /// The password of a login, where it has one.
    fn login_password(&mut self, fields: &Fields<'_>) -> Result<Option<Password>, ()> {
        let (text, file) = (fields.get("password"), fields.get("password-file"));
        if let (Some(_), Some(node)) = (text, file) {
            let title = "`password` stands here already";
            self.wrong(&node.span, title, "leave it out");
        }
        let password = match (text, file) {
            (Some(node), _) => self.filled(node).map(Password::Text),
            (None, Some(node)) => self.filled(node).map(Password::File),
            (None, None) => return Ok(None),
        };
        password.map(Some).ok_or(())
    }

    fn columns(&mut self, node: &Node) -> Option<Columns> {
        let mut columns = Columns::default();
        for entry in self.entries(node, "`columns`", "fields and the columns that hold them")? {
            let Some(field) = entry.key.as_text() else {
                continue;
            };
            let origin = match entry.value.get("value") {
                Some(constant) => self.text(constant).map(Origin::Constant),
                None => self.text(&entry.value).map(Origin::Column),
            };
            let Some(origin) = origin else { continue };
            if let Some(header) = field.strip_prefix("header.") {
                columns.headers.push((header.to_owned(), origin));
            } else if Columns::FIELDS.contains(&field) {
                columns.fields.insert(field.to_owned(), origin);
            } else {
                let mut mistake = Diagnostic::error(
                    &self.source,
                    &entry.key.span,
                    format!("unknown field `{field}` of a stored message"),
                )
                .expected(format!(
                    "expected {}",
                    one_of(Columns::FIELDS.into_iter().chain(["header.NAME"]))
                ));
                mistake = mistake.meant(closest(field, Columns::FIELDS));
                self.diagnostics.push(mistake);
            }
        }
        Some(columns)
    }

    fn clock(&mut self, node: &Node) -> Option<ClockAdapter> {
        let second = Duration::from_secs(1);
        let kinds = ["real", "control", "faketime", "command"];
        match self.kind(node, "clock adapter", &kinds)? {
            ("command", inner) => {
                let inner = inner?;
                let keys = [
                    required("read"),
                    required("advance"),
                    optional("resolution"),
                    optional("settle"),
                ];
                let fields = self.fields("`command`", &inner.span, inner, &keys)?;
                let read = fields.get("read").and_then(|node| self.command(node));
                let advance = fields.get("advance").and_then(|node| self.command(node));
                let resolution = self.duration_of(&fields, "resolution", Duration::ZERO)?;
                let settle = self.duration_of(&fields, "settle", Duration::ZERO)?;
                Some(ClockAdapter::Program {
                    read: read?,
                    advance: advance?,
                    resolution,
                    settle,
                })
            }
            ("control", inner) => {
                let (url, fields) = self.control(inner?, &[optional("resolution")])?;
                let resolution = self.duration_of(&fields, "resolution", Duration::ZERO)?;
                Some(ClockAdapter::Control { url, resolution })
            }
            ("faketime", inner) => {
                let inner = inner?;
                let keys = [required("file"), optional("settle"), optional("resolution")];
                let fields = self.fields("`faketime`", &inner.span, inner, &keys)?;
                let file = fields.get("file").and_then(|node| self.filled(node));
                let settle = self.duration_of(&fields, "settle", Duration::from_millis(1200))?;
                let resolution = self.duration_of(&fields, "resolution", second)?;
                Some(ClockAdapter::Faketime {
                    file: file?,
                    settle,
                    resolution,
                })
            }
            (_, Some(inner)) => {
                let fields = self.fields(
                    "`real`",
                    &inner.span,
                    inner,
                    &[optional("skew"), optional("resolution")],
                )?;
                let skew = self.duration_of(&fields, "skew", second)?;
                let resolution = self.duration_of(&fields, "resolution", second)?;
                Some(ClockAdapter::Real { skew, resolution })
            }
            (_, None) => Some(real_clock()),
        }
    }

    fn policy(&mut self, node: &Node) -> Option<PolicyAdapter> {
        match self.kind(node, "policy adapter", &["fixed", "control", "command"])? {
            ("command", inner) => {
                let inner = inner?;
                let keys = [required("set"), required("settable")];
                let fields = self.fields("`command`", &inner.span, inner, &keys)?;
                let set = fields.get("set").and_then(|node| self.command(node));
                let settable: BTreeSet<String> =
                    self.texts(fields.get("settable")?)?.into_iter().collect();
                Some(PolicyAdapter::Program {
                    set: set?,
                    settable,
                })
            }
            ("control", inner) => {
                let (url, fields) = self.control(inner?, &[required("settable")])?;
                let settable: BTreeSet<String> =
                    self.texts(fields.get("settable")?)?.into_iter().collect();
                Some(PolicyAdapter::Control { url, settable })
            }
            _ => Some(PolicyAdapter::Fixed),
        }
    }

    fn process(&mut self, node: &Node) -> Option<ProcessAdapter> {
        if node.as_map().is_none() {
            let [attach] = ["attach"];
            return self
                .choice(node, &[(attach, ())])
                .map(|()| ProcessAdapter::Attach);
        }
        if node.get("command").is_none()
            && ["systemctl", "docker", "commands"]
                .iter()
                .any(|kind| node.get(kind).is_some())
        {
            return self.commands(node);
        }
        let keys = [
            required("command"),
            optional("prepare"),
            optional("env"),
            optional("files"),
            optional("ready"),
            optional("ready-within"),
            optional("stop-within"),
            optional("instances"),
            optional("ports"),
        ];
        let fields = self.fields("`process`", &node.span, node, &keys)?;
        let ports = fields
            .get("ports")
            .map_or(Some(Vec::new()), |node| self.texts(node))?;
        let command = fields.get("command").and_then(|node| self.command(node));
        let prepare = match fields.get("prepare").map(|node| &node.kind) {
            None => Vec::new(),
            Some(NodeKind::List(items)) => {
                items.iter().filter_map(|item| self.command(item)).collect()
            }
            Some(_) => {
                let span = fields
                    .get("prepare")
                    .map_or(&node.span, |node| &node.span)
                    .clone();
                self.wrong(
                    &span,
                    "`prepare` is no list",
                    "a list of commands, each a list of words",
                );
                Vec::new()
            }
        };
        let mut env = Vec::new();
        if let Some(node) = fields.get("env") {
            for entry in self.entries(node, "`env`", "variables and their values")? {
                if let (Some(name), Some(value)) = (entry.key.as_text(), self.filled(&entry.value))
                {
                    env.push((name.to_owned(), value));
                }
            }
        }
        let files = fields
            .get("files")
            .map_or(Some(Vec::new()), |node| self.files(node));
        let ready = fields
            .get("ready")
            .map_or(Some(Ready::Options), |node| self.ready(node));
        let ready_within = self.duration_of(&fields, "ready-within", Duration::from_secs(10))?;
        let stop_within = self.duration_of(&fields, "stop-within", Duration::from_secs(5))?;
        let instances = match fields.get("instances") {
            None => 1,
            Some(node) => {
                let Ok(number @ 1..=MOST_INSTANCES) = self.text(node)?.parse::<usize>() else {
                    let title = format!("`instances` must be a number from 1 to {MOST_INSTANCES}");
                    self.wrong(&node.span, title, "how many servers may run side by side");
                    return None;
                };
                number
            }
        };
        Some(ProcessAdapter::Command(Box::new(Command {
            command: command?,
            prepare,
            env,
            files: files?,
            ready: ready?,
            ready_within,
            stop_within,
            instances,
            ports,
        })))
    }

    /// A server that somebody else keeps.
    fn commands(&mut self, node: &Node) -> Option<ProcessAdapter> {
        let kinds = ["systemctl", "docker", "commands"];
        let settings = ["ssh", "ready", "ready-within", "stop-within"];
        let keys: Vec<Key> = kinds
            .iter()
            .chain(&settings)
            .copied()
            .map(optional)
            .collect();
        let fields = self.fields("`process`", &node.span, node, &keys)?;
        let named: Vec<_> = kinds
            .into_iter()
            .filter_map(|kind| fields.get(kind).map(|node| (kind, node)))
            .collect();
        let [(kind, inner)] = named.as_slice() else {
            let expected = format!("one of {}", one_of(kinds.into_iter()));
            self.wrong(&node.span, "two ways to start a server", expected);
            return None;
        };
        let ready_within = self.duration_of(&fields, "ready-within", Duration::from_secs(30))?;
        let stop_within = self.duration_of(&fields, "stop-within", Duration::from_secs(30))?;
        let ready = fields
            .get("ready")
            .map_or(Some(Ready::Options), |node| self.ready(node));
        if let (Some(Ready::Line(_)), Some(node)) = (&ready, fields.get("ready")) {
            let title = "nothing that this server prints is read";
            self.wrong(&node.span, title, "`options`, or `{ tcp: \"host:port\" }`");
        }
        let ssh = match fields.get("ssh") {
            None => Vec::new(),
            Some(node) => self.command(node)?,
        };
        let [start, stop, kill, running, log] = match *kind {
            "systemctl" => Commands::of_unit(&self.name(inner)?).map(Some),
            "docker" => Commands::of_container(&self.name(inner)?, stop_within).map(Some),
            _ => self.own_commands(inner)?,
        };
        Some(ProcessAdapter::Commands(Box::new(Commands {
            kind,
            start: start?,
            stop: stop?,
            kill: kill?,
            running,
            log,
            ssh,
            ready: ready?,
            ready_within,
            stop_within,
        })))
    }

    fn own_commands(&mut self, node: &Node) -> Option<[Option<Vec<String>>; 5]> {
        let keys = [
            required("start"),
            required("stop"),
            required("kill"),
            optional("running"),
            optional("log"),
        ];
        let fields = self.fields("`commands`", &node.span, node, &keys)?;
        Some(keys.map(|key| fields.get(key.name).and_then(|node| self.command(node))))
    }

    /// The name of a unit or a container: one word that is no option.
    fn name(&mut self, node: &Node) -> Option<String> {
        let name = self.filled(node)?;
        if name.is_empty() || name.starts_with('-') || name.contains(char::is_whitespace) {
            let title = format!("`{name}` is no name of a unit or a container");
            self.wrong(&node.span, title, "such as `im-server`");
            return None;
        }
        Some(name)
    }

    fn command(&mut self, node: &Node) -> Option<Vec<String>> {
        let NodeKind::List(items) = &node.kind else {
            self.wrong(
                &node.span,
                format!("a command is {}", node.describe()),
                "a list: program and arguments",
            );
            return None;
        };
        let words: Vec<String> = items.iter().filter_map(|item| self.filled(item)).collect();
        if words.is_empty() {
            self.wrong(
                &node.span,
                "an empty command",
                "a list: program and arguments",
            );
            return None;
        }
        Some(words)
    }

    fn files(&mut self, node: &Node) -> Option<Vec<(String, FileContent)>> {
        let mut files = Vec::new();
        for entry in self.entries(node, "`files`", "file names and their content")? {
            let Some(name) = entry.key.as_text() else {
                continue;
            };
            if Path::new(name)
                .components()
                .any(|part| !matches!(part, std::path::Component::Normal(_)))
            {
                self.wrong(
                    &entry.key.span,
                    format!("`{name}` leads out of the server's folder"),
                    "a plain name",
                );
                continue;
            }
            let content =
                match self.kind(&entry.value, "file content", &["text", "template", "copy"])? {
                    ("text", inner) => self.filled(inner?).map(FileContent::Text),
                    ("template", inner) => self.existing(inner?).map(FileContent::Template),
                    (_, inner) => self.existing(inner?).map(FileContent::Copy),
                };
            files.extend(content.map(|content| (name.to_owned(), content)));
        }
        Some(files)
    }

    fn existing(&mut self, node: &Node) -> Option<std::path::PathBuf> {
        let path = self.folder.join(self.text(node)?);
        if path.is_file() {
            return Some(path);
        }
        self.wrong(
            &node.span,
            format!("no file {}", path.display()),
            "a file beside the profile",
        );
        None
    }

    fn ready(&mut self, node: &Node) -> Option<Ready> {
        match self.kind(node, "readiness", &["options", "line", "tcp"])? {
            ("line", inner) => {
                let inner = inner?;
                match Regex::new(&self.text(inner)?) {
                    Ok(regex) => Some(Ready::Line(regex)),
                    Err(e) => {
                        // The last line says what is wrong; those above draw the place once more.
                        let text = e.to_string();
                        let why = text.lines().last().unwrap_or_default();
                        self.wrong(
                            &inner.span,
                            "no regular expression",
                            why.trim_start_matches("error: "),
                        );
                        None
                    }
                }
            }
            ("tcp", inner) => self.filled(inner?).map(Ready::Tcp),
            _ => Some(Ready::Options),
        }
    }

    /// What no single value can show.
    fn contradictions(&mut self, fields: &Fields<'_>, adapters: Option<&Adapters>) {
        let adapter = |name: &str| fields.get("adapters").and_then(|node| node.get(name));
        let target = fields.get("pixit").and_then(|node| node.get("target"));
        // Read from the tree: a mistake elsewhere in it must not hide these.
        // Only a child of imspec has a folder and ports of its own.
        let process = adapter("process").filter(|node| node.get("command").is_some());
        if let (Some(clock), None) = (
            adapter("clock").filter(|node| node.get("faketime").is_some()),
            process,
        ) {
            let title = "libfaketime without a process adapter";
            self.wrong(&clock.span, title, "imspec must start the server itself")
                .help("give `process: { command: […], env: { LD_PRELOAD: …, FAKETIME_TIMESTAMP_FILE: … } }`");
        }
        if let Some(ProcessAdapter::Command(command)) = adapters.map(|adapters| &adapters.process)
            && command.instances > 1
            && let Some(target) = target
            && !has_port(target)
        {
            let title = "several instances at one address";
            self.wrong(&target.span, title, "an address with `${port.NAME}`").help(
                "name free ports: `process: { ports: [sip] }` and `target: { udp: \"127.0.0.1:${port.sip}\" }`",
            );
        }
        let ports: BTreeSet<&str> = process
            .and_then(|node| node.get("ports"))
            .and_then(Node::as_list)
            .map(|ports| ports.iter().filter_map(Node::as_text).collect())
            .unwrap_or_default();
        let mut texts = Vec::new();
        for section in ["pixit", "adapters"] {
            if let Some(node) = fields.get(section) {
                scalars(node, &mut texts);
            }
        }
        // These have references of their own, read where they are.
        let mut of_users = Vec::new();
        if let Some(accounts) = fields.get("pixit").and_then(|node| node.get("accounts")) {
            scalars(accounts, &mut of_users);
        }
        texts.retain(|(_, span)| !of_users.iter().any(|(_, own)| own == span));
        let mut known = Vec::new();
        let presence = fields
            .get("pixit")
            .and_then(|node| node.get("registration"));
        if let Some(node) = presence.and_then(|node| node.get("command")) {
            let mut own = Vec::new();
            scalars(node, &mut own);
            known.extend(own.into_iter().map(|(_, span)| (span, OF_PRESENCE)));
        }
        for (name, more) in OF_COMMANDS {
            let mut own = Vec::new();
            if let Some(node) = adapter(name).and_then(|node| node.get("command")) {
                scalars(node, &mut own);
            }
            known.extend(own.into_iter().map(|(_, span)| (span, more)));
        }
        if let Some(node) = adapter("store").and_then(|node| node.get("imap")) {
            let mut own = Vec::new();
            for node in ["login", "mailbox"]
                .map(|key| node.get(key))
                .into_iter()
                .flatten()
            {
                scalars(node, &mut own);
            }
            known.extend(own.into_iter().map(|(_, span)| (span, OF_COMMANDS[0].1)));
        }
        let mut of_sql = Vec::new();
        if let Some(node) = adapter("store").and_then(|node| node.get("imap")) {
            for node in ["server", "password"]
                .map(|key| node.get(key))
                .into_iter()
                .flatten()
            {
                scalars(node, &mut of_sql);
            }
        }
        if let Some(node) = adapter("store").and_then(|node| node.get("sql")) {
            let may_be_secret = ["postgres", "mysql", "password"].map(|key| node.get(key));
            for node in may_be_secret.into_iter().flatten() {
                scalars(node, &mut of_sql);
            }
        }
        for (text, span) in texts {
            let more = known.iter().find(|(own, _)| *own == span);
            let secret = of_sql.iter().any(|(_, own)| *own == span);
            for name in places::references(text) {
                if secret && name.starts_with("env.") {
                    continue;
                }
                if !more.is_some_and(|(_, more)| more.contains(&name.as_str())) {
                    self.reference(&name, &span, process.is_some(), &ports);
                }
            }
        }
    }

    fn reference(&mut self, name: &str, span: &Span, started: bool, ports: &BTreeSet<&str>) {
        let (title, help) = match name.split_once('.') {
            Some(("port", port)) if ports.contains(port) => return,
            Some(("port", _)) => (
                format!("`${{{name}}}` is not among the ports of the process adapter"),
                "list it under `process: { ports: […] }`",
            ),
            None if matches!(name, "self" | "profile") || (name == "dir" && started) => return,
            None if name == "dir" => (
                "`${dir}` without a process adapter".to_owned(),
                "only a server that imspec starts has a folder of its own",
            ),
            Some(("env", _)) => (
                format!("`${{{name}}}` does not stand here"),
                "variables of the environment are for `postgres`, `mysql` and `password` of `sql`; a program has them anyway",
            ),
            _ => (
                format!("unknown reference `${{{name}}}`"),
                "`${dir}`, `${port.NAME}`, `${profile}` and `${self}` are known; `$${` writes `${`",
            ),
        };
        self.wrong(span, title, "").help(help);
    }

    /// The kind of an adapter and what stands below it: `none`, or `{ control: { … } }`.
    fn kind<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        kinds: &[&'static str],
    ) -> Option<(&'static str, Option<&'n Node>)> {
        let (name, span, inner) = match &node.kind {
            NodeKind::Scalar(scalar) => (scalar.text.as_str(), &node.span, None),
            NodeKind::Map(entries) if entries.len() == 1 => (
                entries[0].key.as_text().unwrap_or_default(),
                &entries[0].key.span,
                Some(&entries[0].value),
            ),
            _ => {
                self.wrong(
                    &node.span,
                    format!("a {what} is one word or a map with one key"),
                    format!("expected {}", one_of(kinds.iter().copied())),
                );
                return None;
            }
        };
        let Some(kind) = kinds.iter().find(|kind| **kind == name) else {
            let mistake = Diagnostic::error(&self.source, span, format!("unknown {what} `{name}`"))
                .expected(format!("expected {}", one_of(kinds.iter().copied())))
                .meant(closest(name, kinds.iter().copied()));
            self.diagnostics.push(mistake);
            return None;
        };
        // The first kind of each list stands alone; the others say more.
        if inner.is_none() && *kind != kinds[0] {
            self.wrong(
                span,
                format!("`{kind}` says too little"),
                format!("`{kind}: …` with its settings"),
            );
        }
        Some((kind, inner))
    }

    fn control<'n>(&mut self, node: &'n Node, more: &[Key]) -> Option<(String, Fields<'n>)> {
        let keys: Vec<Key> = std::iter::once(required("url"))
            .chain(more.iter().copied())
            .collect();
        let fields = self.fields("`control`", &node.span, node, &keys)?;
        let url = fields.get("url")?;
        let text = self.filled(url)?;
        if !text.starts_with("http://") {
            self.wrong(
                &url.span,
                format!("`{text}` is no URL of a control API"),
                "such as `http://127.0.0.1:8060`",
            );
            return None;
        }
        Some((text, fields))
    }

    fn address(&mut self, node: &Node) -> Option<String> {
        let text = self.filled(node)?;
        if text
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !port.is_empty())
        {
            return Some(text);
        }
        self.wrong(
            &node.span,
            format!("`{text}` is no address"),
            "`host:port`, such as `127.0.0.1:5060`",
        );
        None
    }

    /// An address and a port in numbers.
    fn socket(&mut self, node: &Node) -> Option<SocketAddr> {
        let text = self.text(node)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.wrong(
                &node.span,
                format!("`{text}` is no address of a name server"),
                "an IP address with a port, such as `127.0.0.1:5300`",
            );
        }
        parsed
    }

    /// `host:port/path` of a WebSocket server; the scheme may stand before it.
    fn resource(&mut self, node: &Node) -> Option<String> {
        let text = self.filled(node)?;
        let place = ["ws://", "wss://"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme))
            .unwrap_or(&text);
        let host = place.split('/').next().unwrap_or_default();
        if host
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && !port.is_empty())
        {
            return Some(place.to_owned());
        }
        self.wrong(
            &node.span,
            format!("`{text}` is no address"),
            "`host:port/path`, such as `127.0.0.1:8080/sip`",
        );
        None
    }

    fn fields<'n>(
        &mut self,
        what: &'n str,
        owner: &Span,
        node: &'n Node,
        keys: &[Key],
    ) -> Option<Fields<'n>> {
        Fields::read(&self.source, what, owner, node, keys, &mut self.diagnostics)
    }

    fn entries<'n>(&mut self, node: &'n Node, what: &str, wanted: &str) -> Option<&'n [Entry]> {
        if let NodeKind::Map(entries) = &node.kind {
            return Some(entries);
        }
        let title = format!("{what} is {}", node.describe());
        self.wrong(&node.span, title, format!("a map: {wanted}"));
        None
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.as_text().filter(|text| !text.is_empty());
        if text.is_none() {
            let found = if node.as_scalar().is_some() {
                "nothing"
            } else {
                node.describe()
            };
            self.wrong(&node.span, format!("{found} stands here"), "text");
        }
        text.map(str::to_owned)
    }

    /// A text that may hold references.
    fn filled(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        if text.matches("${").count() > text.matches('}').count() {
            self.wrong(&node.span, "`${` without `}`", "");
            return None;
        }
        Some(text)
    }

    fn texts(&mut self, node: &Node) -> Option<Vec<String>> {
        if let NodeKind::List(items) = &node.kind {
            return items.iter().map(|item| self.text(item)).collect();
        }
        self.wrong(
            &node.span,
            format!("{} stands here", node.describe()),
            "a list",
        );
        None
    }

    fn truth(&mut self, node: &Node) -> Option<bool> {
        self.choice(node, &[("true", true), ("false", false)])
    }

    fn duration(&mut self, node: &Node) -> Option<Duration> {
        let text = self.text(node)?;
        let length = duration::parse_ms(&text).map(Duration::from_millis);
        if length.is_none() {
            self.wrong(
                &node.span,
                format!("`{text}` is no length of time"),
                duration::EXPECTED,
            );
        }
        length
    }

    fn duration_of(
        &mut self,
        fields: &Fields<'_>,
        name: &str,
        usual: Duration,
    ) -> Option<Duration> {
        fields
            .get(name)
            .map_or(Some(usual), |node| self.duration(node))
    }

    fn choice<T: Clone>(&mut self, node: &Node, known: &[(&'static str, T)]) -> Option<T> {
        let written = node.as_text().unwrap_or_default();
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == written) {
            return Some(value.clone());
        }
        let names = || known.iter().map(|(name, _)| *name);
        let title = if written.is_empty() {
            format!("{} stands here", node.describe())
        } else {
            format!("`{written}` is not known here")
        };
        let mistake = Diagnostic::error(&self.source, &node.span, title)
            .expected(format!("expected {}", one_of(names())))
            .meant(closest(written, names()));
        self.diagnostics.push(mistake);
        None
    }

    fn wrong(
        &mut self,
        span: &Span,
        title: impl Into<String>,
        expected: impl Into<String>,
    ) -> Wrong<'_> {
        Wrong {
            diagnostic: Some(Diagnostic::error(&self.source, span, title).expected(expected)),
            diagnostics: &mut self.diagnostics,
        }
    }
}

/// A mistake that is noted when it goes out of scope, so that advice can be added to it first.
struct Wrong<'d> {
    diagnostic: Option<Diagnostic>,
    diagnostics: &'d mut Diagnostics,
}

impl Wrong<'_> {
    fn help(mut self, help: &str) {
        self.diagnostic = self
            .diagnostic
            .take()
            .map(|diagnostic| diagnostic.help(help));
    }
}

impl Drop for Wrong<'_> {
    fn drop(&mut self) {
        if let Some(diagnostic) = self.diagnostic.take() {
            self.diagnostics.push(diagnostic);
        }
    }
}

fn real_clock() -> ClockAdapter {
    ClockAdapter::Real {
        skew: Duration::from_secs(1),
        resolution: Duration::from_secs(1),
    }
}

/// Every scalar below a node with its place.
fn scalars<'n>(node: &'n Node, texts: &mut Vec<(&'n str, Span)>) {
    match &node.kind {
        NodeKind::Scalar(scalar) => texts.push((&scalar.text, node.span.clone())),
        NodeKind::List(items) => items.iter().for_each(|item| scalars(item, texts)),
        NodeKind::Map(entries) => {
            for entry in entries {
                scalars(&entry.value, texts);
            }
        }
    }
}

/// Whether an address in the node is at a free port.
fn has_port(node: &Node) -> bool {
    let mut texts = Vec::new();
    scalars(node, &mut texts);
    texts.iter().any(|(text, _)| text.contains("${port."))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::document::Source as File;

    fn read(text: &str) -> Result<Profile, Diagnostics> {
        Profile::read(File::new("profile.yaml", text), Path::new("."))
    }

    fn complaint(text: &str) -> String {
        match read(text) {
            Ok(_) => panic!("taken for right"),
            Err(diagnostics) => diagnostics.to_string(),
        }
    }

    #[test]
    fn the_smallest_profile_is_a_black_box() {
        let text = "name: x\nsut: { product: X }\npixit: { target: { tcp: \"h:5060\" }, domain: example.org }\n";
        let profile = read(text).unwrap();
        assert_eq!(
            profile.pixit.transport,
            Transport::Tcp,
            "the only one there is"
        );
        assert_eq!(profile.pixit.timers, Timers::default());
        let kinds: Vec<String> = profile.adapters.kinds().into_values().collect();
        assert_eq!(kinds, ["real", "fixed", "attach", "none"]);
        assert!(profile.settable().is_empty());
        assert_eq!(profile.record().sut, "X");
    }

    #[test]
    fn bundled_profiles_are_right() {
        for name in ["reference", "kamailio-msilo"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../scenarios/profiles")
                .join(name);
            let profile =
                Profile::load(&folder.join("profile.yaml")).unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(profile.name, name);
        }
    }

    #[test]
    fn t1_gives_the_time_out_of_a_transaction() {
        let text = "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"h:5060\" }\n  domain: example.org\n  timers: { t1: 25ms }\n";
        assert_eq!(
            read(text).unwrap().pixit.timers.answer,
            Duration::from_millis(1600)
        );
    }

    #[test]
    fn pics_keep_their_spelling_and_type() {
        let text = "name: x\nsut: { product: X }\npixit: { target: { udp: \"h:5060\" }, domain: example.org }\n\
                    pics: { expire.marking: on, expire.default.pm: 60, store.classes: [im, imdn], accept.status: \"202\" }\n";
        let pics = read(text).unwrap().pics;
        assert_eq!(
            serde_json::to_string(&pics).unwrap(),
            r#"{"accept.status":"202","expire.default.pm":60,"expire.marking":"on","store.classes":["im","imdn"]}"#
        );
    }

    fn with_accounts(accounts: &str) -> String {
        format!(
            "name: x\nsut: {{ product: X }}\npixit:\n  target: {{ udp: \"h:5060\" }}\n  domain: example.org\n  accounts: {accounts}\n"
        )
    }

    #[test]
    fn accounts_may_have_passwords_which_no_record_tells() {
        let text =
            "{ provision: none, username: \"${user}@${domain}\", password: \"s3cret-${user}\" }";
        let profile = read(&with_accounts(text)).unwrap();
        let logins = profile.pixit.logins.clone().unwrap();
        assert_eq!(
            (logins.username.as_str(), logins.password.as_str()),
            ("${user}@${domain}", "s3cret-${user}")
        );
        let shown = format!("{profile:?} {:?}", profile.record());
        assert!(!shown.contains("s3cret"), "{shown}");
        let usual = read(&with_accounts("{ provision: none, password: x }")).unwrap();
        assert_eq!(usual.pixit.logins.unwrap().username, "${user}");
        assert!(
            read(&with_accounts("{ provision: none }"))
                .unwrap()
                .pixit
                .logins
                .is_none()
        );
    }

    #[test]
    fn a_database_is_one_of_three() {
        let with = |database: &str| {
            format!(
                "name: x\nsut: {{ product: X }}\npixit: {{ target: {{ udp: \"h:5060\" }}, domain: example.org }}\n\
                 adapters:\n  store:\n    sql:\n      {database}\n      \
                 query: SELECT id FROM inbox WHERE owner = :user\n      columns: {{ message-id: id }}\n"
            )
        };
        let text = "mysql: \"mysql://im@${env.HOST}/im\"\n      password: \"${env.SECRET}\"";
        let StoreAdapter::Sql { database, .. } = read(&with(text)).unwrap().adapters.store else {
            panic!("no database")
        };
        assert!(
            matches!(&database, Database::Mysql(login) if login.address == "mysql://im@${env.HOST}/im")
        );
        let file = read(&with(
            "postgres: \"dbname=im\"\n      password-file: secret",
        ));
        let StoreAdapter::Sql { database, .. } = file.unwrap().adapters.store else {
            panic!("no database")
        };
        let Database::Postgres(login) = database else {
            panic!("another database")
        };
        assert!(matches!(login.password, Some(Password::File(name)) if name == "secret"));
        let all = [
            "headers-complete: true",
            "sqlite: im.db\n      mysql: \"mysql://im@h/im\"",
            "sqlite: im.db\n      password: s3cret",
            "mysql: \"mysql://im@h/im\"\n      password: s3cret\n      password-file: s",
            "sqlite: \"${env.HOME}/im.db\"",
            "postgres: \"dbname=${dir}\"",
        ]
        .map(|database| complaint(&with(database)));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_mailbox_is_opened_with_one_password() {
        let text = "name: x\nsut: { product: X }\npixit: { target: { udp: \"h:5060\" }, domain: example.org }\nadapters:\n  store:\n    \
                    imap: { server: \"h:143\", login: \"${user}\", password: s3cret, password-file: s, columns: { body: body } }\n";
        insta::assert_snapshot!(complaint(text));
    }

    #[test]
    fn no_diagnostic_shows_a_password() {
        for text in [
            "pixit: { accounts: { provision: nobody, password: pa#ss,word: x } }",
            "pixit:\n  accounts:\n    provision: nobody\n    password: pa#ss,word",
            "pixit: { accounts: { password: 'pa#ss,word' }\nname: [",
            "pixit:\n  msrp: { relay: { uri: x, user: y, password: \"pa#ss\" } }",
            "adapters: { store: { sql: { mysql: \"mysql://im:pa#ss@h/d\", query: [], columns: 1 } } }",
            "adapters: { store: { sql: { postgres: \"password=pa#ss ${dir}\", password: pa#ss } } }",
        ] {
            let shown = complaint(text);
            assert!(!shown.contains("pa#ss"), "{shown}");
        }
    }

    #[test]
    fn mistakes_about_accounts_are_shown() {
        let all = [
            "{ provision: none, username: alice }",
            "{ provision: none, password: \"${dir}/x\" }",
            "{ provision: none, password: \"\" }",
            "{ password: x }",
        ]
        .map(|accounts| complaint(&with_accounts(accounts)));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn adapters_may_be_programs_with_references_of_their_own() {
        let smallest = "name: x\nsut: { product: X }\npixit:\n  target: { udp: \"h:5060\" }\n  domain: example.org\nadapters:\n";
        let right = format!(
            "{smallest}  store: {{ command: [./store, \"${{account}}\"] }}\n  clock: {{ command: {{ read: [date], advance: [./move, \"${{by_ms}}\"], settle: 1s }} }}\n  policy: {{ command: {{ set: [./set, \"${{key}}\", \"${{value}}\"], settable: [policy.expired] }} }}\n"
        );
        let profile = read(&right).unwrap();
        let kinds = profile.adapters.kinds();
        for adapter in ["store", "clock", "policy"] {
            assert_eq!(kinds[adapter], "command");
        }
        assert!(profile.settable().contains("policy.expired"));
        let wrong = format!("{smallest}  store: {{ command: [./store, \"${{by_ms}}\"] }}\n");
        assert!(complaint(&wrong).contains("${by_ms}"));
    }

    #[test]
    fn others_may_keep_the_server() {
        let kept = |process: &str| {
            let text = format!(
                "name: x\nsut: {{ product: y }}\npixit: {{ target: {{ udp: \"h:1\" }}, domain: e.org }}\nadapters:\n  process: {process}\n"
            );
            read(&text)
        };
        let shown = |process: &str| {
            let profile = kept(process).unwrap();
            let ProcessAdapter::Commands(commands) = profile.adapters.process else {
                panic!("{process}")
            };
            let named = [
                Some(commands.start.clone()),
                Some(commands.stop.clone()),
                Some(commands.kill.clone()),
                commands.running.clone(),
                commands.log.clone(),
            ];
            named
                .into_iter()
                .flatten()
                .map(|words| commands.sent(&words).join(" "))
                .collect::<Vec<_>>()
                .join("\n")
        };
        insta::assert_snapshot!(
            [
                shown("{ systemctl: im-server }"),
                shown("{ docker: im, stop-within: 1500ms }"),
                shown("{ systemctl: im-server, ssh: [-p, \"2222\", im.example.org] }"),
                shown("{ commands: { start: [sh, -c, \"echo it's up\"], stop: [halt], kill: [halt, now] }, ssh: [im] }"),
            ]
            .join("\n\n")
        );
        let wrong = [
            "{ systemctl: im, docker: im }",
            "{ systemctl: --now }",
            "{ commands: { start: [a], stop: [b] } }",
            "{ docker: im, ready: { line: up } }",
            "{ docker: im, ports: [sip] }",
            "{ docker: \"${dir}\" }",
        ];
        insta::assert_snapshot!(
            wrong
                .map(|process| kept(process).unwrap_err().render(false))
                .join("\n")
        );
    }

    fn with_msrp(msrp: &str) -> String {
        format!(
            "name: x\nsut: {{ product: X }}\npixit:\n  target: {{ udp: \"h:5060\" }}\n  domain: example.org\n  msrp: {msrp}\n"
        )
    }

    #[test]
    fn a_relay_says_how_sessions_are_and_keeps_its_password_to_itself() {
        let relay =
            "{ uri: \"msrps://relay.example.org:2855;tcp\", user: alice, password: s3cret }";
        let profile = read(&with_msrp(&format!("{{ relay: {relay} }}"))).unwrap();
        let msrp = &profile.pixit.msrp;
        assert!(msrp.secure, "as the relay is");
        assert_eq!(msrp.relay.as_ref().unwrap().password, "s3cret");
        let record = serde_json::to_string(&profile.record()).unwrap();
        assert!(
            record.contains("msrps://relay.example.org:2855;tcp"),
            "{record}"
        );
        for shown in [record, format!("{profile:?}")] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let plain = relay.replace("msrps", "msrp");
        let profile = read(&with_msrp(&format!(
            "{{ connection: tcp, relay: {plain} }}"
        )))
        .unwrap();
        assert!(!profile.pixit.msrp.secure);
    }

    #[test]
    fn a_relay_that_is_reached_by_websocket_has_a_resource() {
        let relay = "{ uri: \"msrps://relay.example.org:443;ws\", user: alice, password: s3cret }";
        let resource = |relay: &str| {
            let profile = read(&with_msrp(&format!("{{ relay: {relay} }}"))).unwrap();
            let relay = profile.pixit.msrp.relay.clone().unwrap();
            assert!(relay.is_websocket());
            relay.resource
        };
        assert_eq!(resource(relay), "/");
        let elsewhere = relay.replace(" }", ", resource: /msrp }");
        assert_eq!(resource(&elsewhere), "/msrp");
    }

    #[test]
    fn mistakes_about_a_relay_are_shown() {
        let relay = "{ uri: \"msrp://relay.example.org:2855;tcp\", user: alice, password: s3cret }";
        let all = [
            "{ relay: { uri: \"sip:relay.example.org\", user: alice } }".to_owned(),
            "{ relay: \"msrp://relay.example.org:2855;tcp\" }".to_owned(),
            format!("{{ connection: tls, relay: {relay} }}"),
            format!("{{ relay: {} }}", relay.replace("tcp", "sctp")),
            format!(
                "{{ relay: {} }}",
                relay.replace(" }", ", resource: /msrp }")
            ),
            format!(
                "{{ relay: {} }}",
                relay
                    .replace("tcp", "ws")
                    .replace(" }", ", resource: msrp }")
            ),
        ]
        .map(|msrp| complaint(&with_msrp(&msrp)));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn every_mistake_is_shown_at_its_place() {
        insta::assert_snapshot!(complaint(
            "name: x
sut: { prodct: X }
pixit:
  target: { udp: nowhere }
  domain: example.org
  transport: upd
  bind: localhost
  timers: { t1: 5 }
adapters:
  store: { sqll: {} }
  clock: { faketime: { file: \"${dir}/faketime\" } }
  policy: control
  process: attached
"
        ));
        insta::assert_snapshot!(complaint(
            "name: x
sut: { product: X }
pixit:
  target: { udp: \"127.0.0.1:${port.sip}\" }
  domain: example.org
  accounts: { provision: control }
adapters:
  store:
    sql:
      sqlite: im.db
      query: SELECT 1
      columns: { bodi: body, message-id: id }
  clock: { faketime: { file: faketime } }
"
        ));
        insta::assert_snapshot!(complaint(
            "name: x
sut: { product: X }
pixit: { target: { udp: \"127.0.0.1:5060\" }, domain: example.org }
adapters:
  process:
    command: [server, \"${prot.sip}\"]
    files: { ../evil: { text: x }, conf: { copy: missing.conf } }
    ready: { line: \"(\" }
    instances: 4
"
        ));
    }
}
