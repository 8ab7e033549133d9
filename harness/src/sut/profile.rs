//! The profile: one YAML file about one server under test. What its maker declares (PICS), what a tester
//! must know to reach it (PIXIT), and the adapters that reach into it. `docs/profile.md` describes the file.

mod contradiction;
mod decode;
mod standing;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imspec_reports::record::ProfileRecord;
use imspec_wire::msrp::Uri;
use regex::Regex;
use serde_json::Value;

use super::places::Places;
use super::store::{Mailboxes, Query};
use crate::agent::Logins;
use crate::document::{Diagnostic, Diagnostics, Node, NodeKind, Source, Span, tree};
pub use crate::link::Transport;
use crate::scenario::Pics;
pub use standing::{Offline, Registration, Standing};

/// What stands in place of a secret.
const MASK: &str = "***";

/// A server under test.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Name of the profile.
    pub name: String,
    /// Product.
    pub product: String,
    /// Its version, where declared.
    pub version: Option<String>,
    /// The folder of the file.
    pub folder: PathBuf,
    /// What a tester must know.
    pub pixit: Pixit,
    /// What the maker declares.
    pub pics: Pics,
    /// How to reach into it.
    pub adapters: Adapters,
}

/// What a tester must know to reach the server. Addresses may hold `${…}` (see [`super::places`]).
#[derive(Debug, Clone)]
pub struct Pixit {
    /// `host:port` of the server by transport.
    pub targets: BTreeMap<Transport, String>,
    /// The domain by which its addresses are found, where `targets` does not have them (RFC 3263).
    pub located: Option<String>,
    /// The name server that is asked; those of the system where none is named.
    pub resolver: Option<SocketAddr>,
    /// The domain that it serves.
    pub domain: String,
    /// How accounts come into being.
    pub accounts: Provision,
    /// Transport of user agents where a scenario names none.
    pub transport: Transport,
    /// Address of the user agents.
    pub bind: IpAddr,
    /// How the two ends of a connection under TLS know each other.
    pub tls: Arc<Tls>,
    /// Time-outs.
    pub timers: Timers,
    /// MSRP of the user agents.
    pub msrp: Arc<Msrp>,
    /// User names and passwords of the accounts, where they have some.
    pub logins: Option<Arc<Logins>>,
    /// The accounts that cases share, where the server has only a few.
    pub pool: Option<Few>,
    /// Where the agents stand.
    pub standing: Arc<Standing>,
}

/// MSRP of the user agents.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Msrp {
    /// Sessions are offered under TLS where a scenario names no kind of connection.
    pub secure: bool,
    /// Address of the agents' listeners, where it is not that of SIP.
    pub bind: Option<IpAddr>,
    /// File of certificates: the authorities by which a server is known whose SDP has no fingerprint.
    pub ca: Option<PathBuf>,
    /// The relay behind which all agents are (RFC 4976).
    pub relay: Option<Relay>,
}

/// A relay, and who the agents are there.
#[derive(Clone, PartialEq, Eq)]
pub struct Relay {
    /// Where it takes AUTH.
    pub uri: Uri,
    /// The path at its web server, where it is reached by WebSocket.
    pub resource: String,
    /// User.
    pub user: String,
    /// Password. It stands in no record.
    pub password: String,
}

impl Relay {
    /// Whether it is reached by WebSocket (RFC 7977 §5.2.1).
    pub fn is_websocket(&self) -> bool {
        self.uri
            .transport()
            .is_some_and(|transport| transport.eq_ignore_ascii_case("ws"))
    }
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay")
            .field("uri", &self.uri.as_str())
            .field("resource", &self.resource)
            .field("user", &self.user)
            .field("password", &MASK)
            .finish()
    }
}

/// How accounts come into being.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provision {
    /// By themselves: the server takes every user part for an account.
    None,
    /// Through the control API.
    Control,
    /// By a program that makes one account.
    Program {
        /// Makes it.
        make: Vec<String>,
        /// Removes it when its case is over.
        remove: Option<Vec<String>>,
    },
}

/// The accounts of a server that has only a few.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Few {
    /// Their user parts.
    pub names: Vec<String>,
    /// A program that cleans one.
    pub clean: Option<Vec<String>>,
}

/// How the two ends of a connection under TLS know each other (RFC 5922). Texts may hold `${…}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// PEM file of the authorities that may vouch for the server; those of the system where none is named.
    pub ca: Option<String>,
    /// PEM files of the agents' own certificate and of its key.
    pub own: Option<(String, String)>,
    /// Whom the server's certificate must name, where not the host of the target or the domain.
    pub name: Option<String>,
}

/// Durations of real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// T1 of RFC 3261 §17.1.1.1: the first retransmission goes out after it.
    pub t1: Duration,
    /// Time-out of a transaction (timer F); 64 · T1 where the profile says nothing.
    pub answer: Duration,
    /// How long a delivery may take.
    pub delivery: Duration,
    /// How long `silence` listens.
    pub quiet: Duration,
    /// How long it may take until the store shows what happened.
    pub store: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let t1 = Duration::from_millis(500);
        Self {
            t1,
            answer: t1 * 64,
            delivery: Duration::from_secs(5),
            quiet: Duration::from_millis(500),
            store: Duration::from_secs(2),
        }
    }
}

/// How to reach into the server.
#[derive(Debug, Clone)]
pub struct Adapters {
    /// Reads what is stored.
    pub store: StoreAdapter,
    /// Moves its time.
    pub clock: ClockAdapter,
    /// Sets what the provider may choose.
    pub policy: PolicyAdapter,
    /// Starts and stops it.
    pub process: ProcessAdapter,
}

/// `adapters.store`
#[derive(Debug, Clone)]
pub enum StoreAdapter {
    /// Black box.
    None,
    /// Control API at this URL.
    Control(String),
    /// A program that prints the records of an account.
    Program(Vec<String>),
    /// A query in a database.
    Sql {
        /// Where it is asked.
        database: Database,
        /// What is asked.
        query: Query,
    },
    /// Mailboxes, by IMAP.
    Imap {
        /// Where, and the password.
        server: Login,
        /// What is read there.
        boxes: Box<Mailboxes>,
    },
}

/// A database of the server. All texts may hold `${…}`, `${env.NAME}` included.
#[derive(Debug, Clone)]
pub enum Database {
    /// A file of `SQLite`; relative to the profile's folder.
    Sqlite(String),
    /// `PostgreSQL`.
    Postgres(Login),
    /// `MySQL` or `MariaDB`.
    Mysql(Login),
}

/// How to get into a database server.
#[derive(Clone)]
pub struct Login {
    /// URL or connection string.
    pub address: String,
    /// Password, where the address holds none. It stands in no record.
    pub password: Option<Password>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The address may hold a password, too.
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

impl Login {
    /// Address and password, all references filled in.
    ///
    /// # Errors
    /// Where a variable is not set or a file cannot be read; neither address nor password is repeated.
    pub(super) fn filled(&self, places: &Places) -> Result<(String, Option<String>), String> {
        let address = places.fill_secret(&self.address);
        let address = address.map_err(|why| format!("the address of the store: {why}"))?;
        let password = match &self.password {
            None => None,
            Some(Password::Text(text)) => Some(
                places
                    .fill_secret(text)
                    .map_err(|why| format!("the password of the store: {why}"))?,
            ),
            Some(Password::File(name)) => {
                let path = places.profile.join(places.fill(name)?);
                let text = std::fs::read_to_string(&path).map_err(|e| {
                    format!("`password-file` of the store: {}: {e}", path.display())
                })?;
                Some(text.lines().next().unwrap_or_default().to_owned())
            }
        };
        Ok((address, password))
    }
}

/// Where a password comes from.
#[derive(Clone)]
pub enum Password {
    /// As it is, or `${env.NAME}`.
    Text(String),
    /// The first line of a file of the profile's folder.
    File(String),
}

/// `adapters.clock`
#[derive(Debug, Clone)]
pub enum ClockAdapter {
    /// Real time.
    Real {
        /// How far the server's clock may be from ours.
        skew: Duration,
        /// Finest step of the clock.
        resolution: Duration,
    },
    /// Control API at this URL.
    Control {
        /// Base URL.
        url: String,
        /// Finest step of the clock.
        resolution: Duration,
    },
    /// A program that reads the clock, and one that moves it.
    Program {
        /// Prints what the clock shows.
        read: Vec<String>,
        /// Moves it on.
        advance: Vec<String>,
        /// Finest step of the clock.
        resolution: Duration,
        /// Time until a move has its full effect.
        settle: Duration,
    },
    /// libfaketime.
    Faketime {
        /// The offset file.
        file: String,
        /// Time until a move has its full effect.
        settle: Duration,
        /// Finest step of the clock.
        resolution: Duration,
    },
}

/// `adapters.policy`
#[derive(Debug, Clone)]
pub enum PolicyAdapter {
    /// The provider cannot be asked to choose otherwise.
    Fixed,
    /// Control API.
    Control {
        /// Base URL.
        url: String,
        /// PICS keys that can be set.
        settable: BTreeSet<String>,
    },
    /// A program that makes one choice.
    Program {
        /// Program and arguments.
        set: Vec<String>,
        /// PICS keys that can be set.
        settable: BTreeSet<String>,
    },
}

/// `adapters.process`
#[derive(Debug, Clone)]
pub enum ProcessAdapter {
    /// The server runs already.
    Attach,
    /// imspec starts it.
    Command(Box<Command>),
    /// Somebody else keeps it, and commands start and end it.
    Commands(Box<Commands>),
}

impl ProcessAdapter {
    /// When a server that is started is ready, and how long that may take.
    pub fn readiness(&self) -> Option<(&Ready, Duration)> {
        match self {
            Self::Attach => None,
            Self::Command(command) => Some((&command.ready, command.ready_within)),
            Self::Commands(commands) => Some((&commands.ready, commands.ready_within)),
        }
    }

    /// The command that starts the server.
    pub fn shown(&self) -> String {
        match self {
            Self::Attach => String::new(),
            Self::Command(command) => command.command.join(" "),
            Self::Commands(commands) => commands.sent(&commands.start).join(" "),
        }
    }
}

/// How others start and end a server. All texts may hold `${profile}` and `${self}`.
#[derive(Debug, Clone)]
pub struct Commands {
    /// Which key of the profile they come from: `systemctl`, `docker`, `commands`.
    pub kind: &'static str,
    /// Starts it, or does nothing where it runs.
    pub start: Vec<String>,
    /// Stops it, and ends when it is down.
    pub stop: Vec<String>,
    /// Ends it at once.
    pub kill: Vec<String>,
    /// Ends with status 0, and does not print `false`, as long as it runs.
    pub running: Option<Vec<String>>,
    /// Prints the last lines of its log.
    pub log: Option<Vec<String>>,
    /// Options and destination of `ssh`, where it is on another machine.
    pub ssh: Vec<String>,
    /// When it is ready.
    pub ready: Ready,
    /// How long that may take.
    pub ready_within: Duration,
    /// How long a clean stop may take.
    pub stop_within: Duration,
}

impl Commands {
    /// A unit of systemd.
    pub fn of_unit(unit: &str) -> [Vec<String>; 5] {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        [
            words(&["systemctl", "start", unit]),
            words(&["systemctl", "stop", unit]),
            words(&["systemctl", "kill", "--signal=SIGKILL", unit]),
            words(&["systemctl", "is-active", "--quiet", unit]),
            words(&[
                "journalctl",
                "--unit",
                unit,
                "--lines=20",
                "--output=cat",
                "--no-pager",
            ]),
        ]
    }

    /// A container.
    pub fn of_container(name: &str, stop_within: Duration) -> [Vec<String>; 5] {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let seconds = format!("--time={}", stop_within.as_secs_f64().ceil());
        [
            words(&["docker", "start", name]),
            words(&["docker", "stop", &seconds, name]),
            words(&["docker", "kill", name]),
            words(&[
                "docker",
                "container",
                "inspect",
                "--format={{.State.Running}}",
                name,
            ]),
            words(&["docker", "logs", "--tail=20", name]),
        ]
    }

    /// The words of a command as they are run here. `ssh` gives what it is told to a shell, so each is quoted.
    pub fn sent(&self, words: &[String]) -> Vec<String> {
        if self.ssh.is_empty() {
            return words.to_vec();
        }
        // Nobody is there to type a password.
        ["ssh", "-o", "BatchMode=yes"]
            .into_iter()
            .map(str::to_owned)
            .chain(self.ssh.iter().cloned())
            .chain(words.iter().map(|word| quoted(word)))
            .collect()
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// How to start a server. All texts may hold `${…}`.
#[derive(Debug, Clone)]
pub struct Command {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Commands that are run to their end before the first start.
    pub prepare: Vec<Vec<String>>,
    /// Environment in addition to ours.
    pub env: Vec<(String, String)>,
    /// Files to put into `${dir}`.
    pub files: Vec<(String, FileContent)>,
    /// When it is ready.
    pub ready: Ready,
    /// How long that may take.
    pub ready_within: Duration,
    /// How long a clean stop may take before it is killed.
    pub stop_within: Duration,
    /// How many may run side by side.
    pub instances: usize,
    /// Names of the free ports that each needs.
    pub ports: Vec<String>,
}

/// Content of a file that a server is started with.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// As given, `${…}` filled in.
    Text(String),
    /// A file of the profile's folder, `${…}` filled in.
    Template(PathBuf),
    /// A file of the profile's folder, octet for octet.
    Copy(PathBuf),
}

/// When a started server is ready.
#[derive(Debug, Clone)]
pub enum Ready {
    /// It printed a line that matches.
    Line(Regex),
    /// It takes TCP connections at this address.
    Tcp(String),
    /// It answers an OPTIONS request, with whatever status.
    Options,
}

impl Profile {
    /// Reads a profile file.
    pub fn load(path: &Path) -> Result<Self, Diagnostics> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| {
            let mut diagnostics = Diagnostics::new();
            diagnostics.push(Diagnostic::unreadable(
                &name,
                format_args!("cannot be read: {e}"),
            ));
            diagnostics
        })?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        Self::read(Source::new(name, text), folder)
    }

    /// Reads the text of a profile; relative paths in it start from `folder`.
    pub fn read(source: Source, folder: &Path) -> Result<Self, Diagnostics> {
        decode::profile(&Arc::new(hiding_passwords(source)), folder)
    }

    /// PICS keys that the runner can set.
    pub fn settable(&self) -> BTreeSet<String> {
        match &self.adapters.policy {
            PolicyAdapter::Fixed => BTreeSet::new(),
            PolicyAdapter::Control { settable, .. } | PolicyAdapter::Program { settable, .. } => {
                settable.clone()
            }
        }
    }

    /// The accounts that cases share, where there are only a few.
    pub fn few(&self) -> Option<&[String]> {
        self.pixit.pool.as_ref().map(|few| few.names.as_slice())
    }

    /// For the run record: everything declared, and the kinds of the adapters.
    pub fn record(&self) -> ProfileRecord {
        let pixit = &self.pixit;
        let timer = |duration: Duration| Value::from(format!("{}ms", duration.as_millis()));
        let mut entries: Vec<(&str, Value)> = vec![
            ("domain", pixit.domain.clone().into()),
            ("transport", pixit.transport.as_str().into()),
            ("bind", pixit.bind.to_string().into()),
            ("timers.t1", timer(pixit.timers.t1)),
            ("timers.answer", timer(pixit.timers.answer)),
            ("timers.delivery", timer(pixit.timers.delivery)),
            ("timers.quiet", timer(pixit.timers.quiet)),
            ("timers.store", timer(pixit.timers.store)),
        ];
        entries.extend(
            pixit
                .targets
                .iter()
                .map(|(transport, at)| (transport.target(), at.clone().into())),
        );
        let standing = pixit.standing.entries().into_iter();
        entries.extend(standing.map(|(key, value)| (key, value.into())));
        let provision = match &pixit.accounts {
            Provision::None => "none",
            Provision::Control => "control",
            Provision::Program { .. } => "command",
        };
        entries.push(("accounts.provision", provision.into()));
        let few = pixit.pool.as_ref();
        entries.extend(few.map(|few| ("accounts.list", few.names.join(" ").into())));
        if let Some(logins) = &pixit.logins {
            entries.push(("accounts.username", logins.username.clone().into()));
            entries.push(("accounts.password", MASK.into()));
        }
        entries.extend(
            pixit
                .located
                .clone()
                .map(|domain| ("target.domain", domain.into())),
        );
        let resolver = pixit.resolver.map(|at| at.to_string());
        entries.extend(resolver.map(|at| ("resolver", at.into())));
        let tls = &pixit.tls;
        entries.extend(tls.ca.clone().map(|file| ("tls.ca", file.into())));
        entries.extend(tls.name.clone().map(|name| ("tls.name", name.into())));
        if let Some((certificate, _)) = &tls.own {
            entries.push(("tls.certificate", certificate.clone().into()));
        }
        let connection = if pixit.msrp.secure { "tls" } else { "tcp" };
        entries.push(("msrp.connection", connection.into()));
        entries.extend(
            pixit
                .msrp
                .bind
                .map(|at| ("msrp.bind", at.to_string().into())),
        );
        if let Some(relay) = &pixit.msrp.relay {
            entries.push(("msrp.relay.uri", relay.uri.as_str().into()));
            if relay.is_websocket() {
                entries.push(("msrp.relay.resource", relay.resource.clone().into()));
            }
            entries.push(("msrp.relay.user", relay.user.clone().into()));
            entries.push(("msrp.relay.password", MASK.into()));
        }
        let sut = match &self.version {
            Some(version) => format!("{} {version}", self.product),
            None => self.product.clone(),
        };
        ProfileRecord {
            name: self.name.clone(),
            sut,
            pics: self.pics.clone(),
            pixit: entries
                .into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect(),
            adapters: self.adapters.kinds(),
        }
    }
}

/// What a diagnostic shows of a profile must not tell a password.
fn hiding_passwords(source: Source) -> Source {
    let mut hidden = Vec::new();
    match tree::parse(&Arc::new(source.clone())) {
        Ok(root) => passwords(&root, &mut hidden),
        // No YAML: whatever stands behind the word, to the end of its line.
        Err(_) => {
            let mut at = 0;
            for line in source.text().split_inclusive('\n') {
                if let Some(found) = line.to_ascii_lowercase().find("password") {
                    hidden.push(at + found + "password".len()..at + line.trim_end().len());
                }
                at += line.len();
            }
        }
    }
    source.hiding(&hidden)
}

fn passwords(node: &Node, hidden: &mut Vec<Span>) {
    match &node.kind {
        NodeKind::Scalar(_) => {}
        NodeKind::List(items) => items.iter().for_each(|item| passwords(item, hidden)),
        NodeKind::Map(entries) => {
            for entry in entries {
                match entry.key.as_text() {
                    // An address of a database may hold one.
                    Some("password" | "postgres" | "mysql") => {
                        hidden.push(entry.value.span.clone());
                    }
                    _ => passwords(&entry.value, hidden),
                }
            }
        }
    }
}

impl Adapters {
    /// None at all: a server that runs already, seen from outside.
    pub(crate) fn none() -> Self {
        let second = Duration::from_secs(1);
        Self {
            store: StoreAdapter::None,
            clock: ClockAdapter::Real {
                skew: second,
                resolution: second,
            },
            policy: PolicyAdapter::Fixed,
            process: ProcessAdapter::Attach,
        }
    }

    /// Adapter → its kind.
    pub fn kinds(&self) -> BTreeMap<String, String> {
        let store = match self.store {
            StoreAdapter::None => "none",
            StoreAdapter::Control(_) => "control",
            StoreAdapter::Program(_) => "command",
            StoreAdapter::Sql { .. } => "sql",
            StoreAdapter::Imap { .. } => "imap",
        };
        let clock = match self.clock {
            ClockAdapter::Real { .. } => "real",
            ClockAdapter::Control { .. } => "control",
            ClockAdapter::Program { .. } => "command",
            ClockAdapter::Faketime { .. } => "faketime",
        };
        let policy = match self.policy {
            PolicyAdapter::Fixed => "fixed",
            PolicyAdapter::Control { .. } => "control",
            PolicyAdapter::Program { .. } => "command",
        };
        let process = match &self.process {
            ProcessAdapter::Attach => "attach",
            ProcessAdapter::Command(_) => "command",
            ProcessAdapter::Commands(commands) => commands.kind,
        };
        [
            ("store", store),
            ("clock", clock),
            ("policy", policy),
            ("process", process),
        ]
        .map(|(adapter, kind)| (adapter.to_owned(), kind.to_owned()))
        .into()
    }

    /// Base URL of the control API, where any adapter uses it.
    pub fn control_url(&self) -> Option<&str> {
        match (&self.store, &self.clock, &self.policy) {
            (StoreAdapter::Control(url), _, _)
            | (_, ClockAdapter::Control { url, .. }, _)
            | (_, _, PolicyAdapter::Control { url, .. }) => Some(url),
            _ => None,
        }
    }
}
