//! The configuration file: where to listen, whom to serve, what to choose.
//!
//! Everything has a default, so an empty file is a working server. Unknown keys are errors, because a
//! misspelt setting that is silently ignored is worse than a server that does not start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use imspec_wire::sdp::FormatList;
use serde::Deserialize;
use serde_json::Value;

use crate::policy::{IdentityTrust, SettingError, Settings};

/// All that the server is told before it starts.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The domain whose users are served.
    pub domain: String,
    /// Further domains. `bob@` one of them is not `bob@` another.
    pub more_domains: Vec<String>,
    /// Where SIP is spoken.
    pub listen: Listen,
    /// Who the server is under TLS, and whom it believes.
    pub tls: TlsConfig,
    /// Where the control API is served; `null` for nowhere. It has no authentication: keep it on
    /// loopback.
    pub control: Option<SocketAddr>,
    /// Where messages are kept.
    pub store: StoreConfig,
    /// Users that exist from the start. The control API adds and removes others.
    pub accounts: Vec<String>,
    /// Passwords of some of them.
    pub passwords: Passwords,
    /// Store time.
    pub clock: ClockConfig,
    /// Protocol timers.
    pub sip: SipConfig,
    /// Registrations.
    pub registrar: RegistrarConfig,
    /// Delivery of deferred messages.
    pub delivery: DeliveryConfig,
    /// Sessions with senders whose recipient is offline.
    pub session: SessionConfig,
    /// MSRP connections.
    pub msrp: MsrpConfig,
    /// Who is believed.
    pub trust: Trust,
    /// Bounds on everything that others could make grow.
    pub limits: Limits,
    /// What the specification leaves to the provider, by PICS key.
    pub policy: BTreeMap<String, Value>,
}

/// Passwords by address of record. What is printed of them is their number.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Passwords(pub BTreeMap<String, String>);

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passwords", self.0.len())
    }
}

/// Listeners. Port 0 takes a free one; [`crate::Server::addresses`] tells which.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// UDP addresses.
    pub udp: Vec<SocketAddr>,
    /// TCP addresses.
    pub tcp: Vec<SocketAddr>,
    /// TLS addresses. None where `listen` is given without it.
    #[serde(default = "Vec::new")]
    pub tls: Vec<SocketAddr>,
    /// Addresses for `WebSocket`. None where `listen` is given without it.
    #[serde(default = "Vec::new")]
    pub ws: Vec<SocketAddr>,
    /// Addresses for `WebSocket` over TLS. None where `listen` is given without it.
    #[serde(default = "Vec::new")]
    pub wss: Vec<SocketAddr>,
    /// MSRP over TCP. None where `listen` is given without it.
    #[serde(default = "Vec::new")]
    pub msrp: Vec<SocketAddr>,
    /// MSRP over TLS. None where `listen` is given without it.
    #[serde(default = "Vec::new")]
    pub msrps: Vec<SocketAddr>,
}

/// Who the server is under TLS, and whom it believes. MSRP has certificates of its own, which session
/// descriptions announce.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file of the server's certificate and of those between it and its authority. Without one it is made
    /// at the start, together with an authority of its own.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// Where the authority's certificate is written when it is made at the start.
    pub write_ca: Option<PathBuf>,
    /// PEM file of the authorities that vouch for user agents. Without one, whoever listens where a contact
    /// leads is taken for its owner.
    pub ca: Option<PathBuf>,
    /// Whether user agents that connect must show a certificate.
    pub clients: ClientCertificates,
}

/// Whether user agents that connect must show a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Unasked,
    /// They may, and a wrong one is refused.
    Wanted,
    /// They must.
    Required,
}

/// The message store.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// The database file. It is made when it does not exist.
    pub path: PathBuf,
}

/// Store time.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClockConfig {
    /// Whether the control API may move it.
    pub movable: bool,
}

/// Protocol timers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipConfig {
    /// T1 of RFC 3261 §17.1.1.1, the round-trip estimate from which every other timer follows.
    pub t1_ms: u64,
}

/// Registrations (RFC 3261 §10).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistrarConfig {
    /// Life of a binding when the request names none.
    pub default_expires_s: u32,
    /// Longest life of a binding; longer wishes are shortened.
    pub max_expires_s: u32,
    /// Shortest life; shorter wishes under an hour are refused with 423. 0 refuses none.
    pub min_expires_s: u32,
    /// Contacts that an account may have at once.
    pub max_contacts: usize,
}

/// Delivery of deferred messages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeliveryConfig {
    /// Store time until a failed delivery is tried again while the binding lives; doubled each time up
    /// to an hour. 0 waits for the next REGISTER.
    pub retry_s: u32,
    /// Octets of a MESSAGE up to which a message that came by a session is delivered so, where
    /// `delivery.form` is `message` (RFC 3428 §8).
    pub message_octets: usize,
    /// Whether a session to a recipient is offered under TLS.
    pub msrps: bool,
}

/// Sessions with senders (RFC 4975, RFC 4028).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Largest message in octets (`a=max-size`). More is refused with 413.
    pub max_octets: u64,
    /// What `a=accept-types` says, in order. A SEND of another type is refused with 415.
    pub accept_types: Vec<String>,
    /// Shortest session interval; shorter wishes are refused with 422.
    pub min_se_s: u32,
    /// Longest session interval; longer wishes are shortened.
    pub max_se_s: u32,
    /// A session in which nothing happened for so long is ended with BYE.
    pub idle_s: u64,
    /// How long octets may still come after BYE, and a BYE after its connection is gone.
    pub linger_ms: u64,
    /// How long the parts of a message that is not complete wait for a new session that brings the rest
    /// (RFC 4975 §5.4). 0: not at all.
    pub resume_s: u64,
}

/// MSRP connections.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MsrpConfig {
    /// A connection that names no session for so long is closed.
    pub first_s: u64,
    /// A frame that began and of which nothing more comes for so long ends its connection.
    pub chunk_s: u64,
    /// How long a SEND of the server's own waits for its response (RFC 4975 §7.1.1).
    pub transaction_s: u64,
}

/// Who is believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Trust {
    /// Whether those who send to this server belong to its trust domain (RFC 3325 §2.3). When they do
    /// not, the P-Asserted-Identity they claim is removed before anything is stored or sent on. It is the
    /// default of the setting `identity.trust`.
    pub peers: bool,
    /// Addresses of the operator's core. Where some are named the server is an application server behind it:
    /// they may register users (3GPP TS 24.229 §5.4.1.7), nobody else may register anyone but himself, and what is
    /// for such a user goes to whoever registered him.
    #[serde(default)]
    pub core: Vec<IpAddr>,
}

/// Bounds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Octets of a SIP message, head and body. More is refused with 513.
    pub message_octets: usize,
    /// Header fields of a SIP message.
    pub headers: usize,
    /// Octets of a Request-URI. More is refused with 414.
    pub uri_octets: usize,
    /// Messages that wait for one account. More are refused with 480.
    pub messages_per_account: u64,
    /// Requests at work at once. More are refused with 503.
    pub requests: usize,
    /// Transactions that are remembered, finished ones included. More are refused with 503.
    pub transactions: usize,
    /// TCP connections, in and out.
    pub connections: usize,
    /// Seconds after which a TCP connection on which nothing moves is closed.
    pub idle_s: u64,
    /// Seconds within which a message that began on a TCP connection must be complete.
    pub message_s: u64,
    /// Sessions with senders at once. More are refused with 503.
    pub sessions: usize,
    /// Messages that one session may have in the making at once. More are refused with 413.
    pub messages_per_session: usize,
    /// Parts with gaps between them that a message in the making may be in. More are refused with 413.
    pub fragments: usize,
    /// MSRP connections, in and out. More are closed.
    pub msrp_connections: usize,
    /// Octets of the head of an MSRP request. More ends its connection.
    pub msrp_head_octets: usize,
    /// Header fields of an MSRP request. More end its connection.
    pub msrp_headers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domain: "example.org".to_owned(),
            more_domains: Vec::new(),
            listen: Listen::default(),
            tls: TlsConfig::default(),
            control: Some(SocketAddr::from(([127, 0, 0, 1], 8060))),
            store: StoreConfig::default(),
            accounts: Vec::new(),
            passwords: Passwords::default(),
            clock: ClockConfig::default(),
            sip: SipConfig::default(),
            registrar: RegistrarConfig::default(),
            delivery: DeliveryConfig::default(),
            session: SessionConfig::default(),
            msrp: MsrpConfig::default(),
            trust: Trust::default(),
            limits: Limits::default(),
            policy: BTreeMap::new(),
        }
    }
}

impl Default for Listen {
    fn default() -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], 5060));
        Self {
            udp: vec![address],
            tcp: vec![address],
            tls: Vec::new(),
            ws: Vec::new(),
            wss: Vec::new(),
            msrp: vec![SocketAddr::from(([127, 0, 0, 1], 2855))],
            msrps: Vec::new(),
        }
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("imspec-server.db"),
        }
    }
}

impl Default for ClockConfig {
    fn default() -> Self {
        Self { movable: true }
    }
}

impl Default for SipConfig {
    fn default() -> Self {
        Self { t1_ms: 500 }
    }
}

impl Default for RegistrarConfig {
    fn default() -> Self {
        Self {
            default_expires_s: 3600,
            max_expires_s: 30 * 86_400,
            min_expires_s: 0,
            max_contacts: 20,
        }
    }
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        Self {
            retry_s: 60,
            message_octets: 1300,
            msrps: false,
        }
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            max_octets: 100 * 1024 * 1024,
            accept_types: vec!["*".to_owned()],
            min_se_s: 90,
            max_se_s: 1800,
            idle_s: 600,
            linger_ms: 500,
            resume_s: 60,
        }
    }
}

impl Default for MsrpConfig {
    fn default() -> Self {
        Self {
            first_s: 10,
            chunk_s: 32,
            transaction_s: 30,
        }
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self {
            peers: true,
            core: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_octets: 1024 * 1024,
            headers: 1024,
            uri_octets: 2048,
            messages_per_account: 10_000,
            requests: 8192,
            transactions: 200_000,
            connections: 1024,
            idle_s: 600,
            message_s: 32,
            sessions: 2000,
            messages_per_session: 8,
            fragments: 1024,
            msrp_connections: 2000,
            msrp_head_octets: 64 * 1024,
            msrp_headers: 256,
        }
    }
}

/// Why a configuration was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's name, as given.
    pub file: String,
    /// Line and column, both from 1, where they are known.
    pub place: Option<(u64, u64)>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads YAML. `file` is for the error message.
    pub fn from_yaml(text: &str, file: &str) -> Result<Self, ConfigError> {
        // An empty document is null in YAML, which is no mapping.
        let is_empty = text.lines().all(|line| {
            let line = line.trim();
            line.is_empty() || line.starts_with('#') || line == "---"
        });
        let config = if is_empty {
            Self::default()
        } else {
            serde_yaml::from_str::<Self>(text).map_err(|error| from_parser(&error, file))?
        };
        config.check().map_err(|message| ConfigError {
            file: file.to_owned(),
            place: None,
            message,
        })?;
        Ok(config)
    }

    /// A commented file with every default.
    pub fn example() -> &'static str {
        include_str!("../example.yaml")
    }

    /// The provider's settings, the defaults included.
    pub fn settings(&self) -> Result<Settings, SettingError> {
        let mut defaults = Settings::new(&self.domain);
        if !self.trust.peers {
            defaults.identity_trust = IdentityTrust::None;
        }
        defaults.with(&self.policy)
    }

    /// What types cannot say.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.domain.is_empty() {
            return Err("`domain` is empty: name the domain whose users are served".to_owned());
        }
        let listen = &self.listen;
        if [
            &listen.udp,
            &listen.tcp,
            &listen.tls,
            &listen.ws,
            &listen.wss,
        ]
        .iter()
        .all(|addresses| addresses.is_empty())
        {
            return Err(
                "`listen` names no address for SIP: give `udp`, `tcp` or another".to_owned(),
            );
        }
        if self.tls.certificate.is_some() != self.tls.key.is_some() {
            return Err(
                "`tls.certificate` and `tls.key` go together: give both or neither".to_owned(),
            );
        }
        if self.tls.clients != ClientCertificates::Unasked && self.tls.ca.is_none() {
            return Err("`tls.clients` needs `tls.ca`: who vouches for them?".to_owned());
        }
        if !(1..=60_000).contains(&self.sip.t1_ms) {
            return Err("`sip.t1_ms` must be from 1 to 60000".to_owned());
        }
        if self.registrar.max_expires_s == 0 {
            return Err("`registrar.max_expires_s` must be above 0".to_owned());
        }
        let limits = &self.limits;
        for (name, value) in [
            ("message_octets", limits.message_octets),
            ("headers", limits.headers),
            ("uri_octets", limits.uri_octets),
            ("requests", limits.requests),
            ("transactions", limits.transactions),
            ("connections", limits.connections),
            ("sessions", limits.sessions),
            ("messages_per_session", limits.messages_per_session),
            ("fragments", limits.fragments),
            ("msrp_connections", limits.msrp_connections),
            ("msrp_head_octets", limits.msrp_head_octets),
            ("msrp_headers", limits.msrp_headers),
        ] {
            // A semaphore's limit, and far beyond sense for the others.
            if value == 0 || value > usize::MAX >> 4 {
                return Err(format!("`limits.{name}` must be above 0 and within reason"));
            }
        }
        if limits.idle_s == 0 || limits.message_s == 0 {
            return Err("`limits.idle_s` and `limits.message_s` must be above 0".to_owned());
        }
        self.check_sessions()?;
        self.settings()
            .map_err(|error| format!("in `policy`: {error}"))?;
        Ok(())
    }

    fn check_sessions(&self) -> Result<(), String> {
        for (name, value) in [
            ("msrp.first_s", self.msrp.first_s),
            ("msrp.chunk_s", self.msrp.chunk_s),
            ("msrp.transaction_s", self.msrp.transaction_s),
            ("session.idle_s", self.session.idle_s),
            ("session.min_se_s", u64::from(self.session.min_se_s)),
        ] {
            if value == 0 {
                return Err(format!("`{name}` must be above 0"));
            }
        }
        if self.session.max_se_s < self.session.min_se_s {
            return Err("`session.max_se_s` must not be below `session.min_se_s`".to_owned());
        }
        // SQLite counts octets in 63 bits.
        if self.session.max_octets == 0 || self.session.max_octets > u64::MAX >> 1 {
            return Err("`session.max_octets` must be above 0 and within reason".to_owned());
        }
        let types = self.session.accept_types.join(" ");
        FormatList::parse(&types).map_err(|error| {
            format!("`session.accept_types` is no list of media types: {error}")
        })?;
        Ok(())
    }
}

/// The parser's message without the place, which is told apart, and without its advice to programmers.
fn from_parser(error: &serde_yaml::Error, file: &str) -> ConfigError {
    let place = error.location().map(|place| (place.line(), place.column()));
    let full = error.without_snippet().to_string();
    let end = place.map_or(String::new(), |(line, column)| {
        format!(" at line {line}, column {column}")
    });
    let message = full.strip_suffix(&end).unwrap_or(&full);
    let message = message
        .split(", set DuplicateKeyPolicy")
        .next()
        .unwrap_or(message);
    ConfigError {
        file: file.to_owned(),
        place,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn nothing_is_enough() {
        for text in ["", "# only a comment\n", "---\n", "{}"] {
            assert_eq!(
                Config::from_yaml(text, "x.yaml").unwrap().domain,
                "example.org"
            );
        }
    }

    #[test]
    fn the_example_spells_out_the_defaults() {
        let example = Config::from_yaml(Config::example(), "example.yaml").unwrap();
        let default = Config::default();
        assert_eq!(example.settings().unwrap(), default.settings().unwrap());
        let shown = |config: &Config| {
            let config = Config {
                policy: BTreeMap::new(),
                ..config.clone()
            };
            format!("{config:#?}")
        };
        assert_eq!(shown(&example), shown(&default));
    }

    #[test]
    fn the_example_names_every_setting() {
        for key in Settings::new("example.org").entries().keys() {
            assert!(
                Config::example().contains(&format!("{key}:")),
                "{key} is missing"
            );
        }
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let errors: Vec<String> = [
            "domian: example.org\n",
            "listen:\n  udp: [localhost]\n",
            "domain: a.test\ndomain: b.test\n",
            "policy:\n  policy.expired: keep\n",
            "listen: { udp: [], tcp: [] }\n",
            "sip: { t1_ms: 0 }\n",
            "accounts: sip:bob@example.org\n",
        ]
        .iter()
        .map(|text| {
            Config::from_yaml(text, "server.yaml")
                .unwrap_err()
                .to_string()
        })
        .collect();
        insta::assert_snapshot!(errors.join("\n"));
    }

    #[test]
    fn marking_may_be_switched_with_a_yaml_boolean() {
        for value in ["off", "false", "\"off\""] {
            let text = format!("policy: {{ expire.marking: {value} }}");
            let config = Config::from_yaml(&text, "x.yaml").unwrap();
            assert!(!config.settings().unwrap().expire_marking, "{value}");
        }
    }
}
