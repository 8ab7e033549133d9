//! What an agent writes into the SDP of a message session, and what it reads in that of the other end
//! (RFC 4975 §8, RFC 6135, RFC 6714).

use std::net::SocketAddr;

use bytes::Bytes;
use imspec_wire::msrp;
use imspec_wire::sdp::{
    Builder, Description, MediaBuilder, Protocol, Role, Setup, cema, setup::answerer_role,
    setup::offerer_role,
};

/// What an agent takes where the scenario says nothing.
const ACCEPT_TYPES: &str = "message/cpim text/plain *";

/// What a scenario says about the SDP of an agent, references filled in. `None`: the usual.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Described {
    /// `accept-types`
    pub accept_types: Option<String>,
    /// `accept-wrapped-types`
    pub accept_wrapped_types: Option<String>,
    /// `max-size`
    pub max_size: Option<String>,
    /// `a=setup`, or `none`.
    pub setup: Option<String>,
    /// The direction, or `none`.
    pub direction: Option<String>,
    /// `tcp` or `tls`.
    pub connection: Option<String>,
    /// The `s=` line.
    pub subject: Option<String>,
    /// Another path than the agent's own.
    pub path: Option<String>,
    /// Another address in the `c=` line.
    pub address: Option<String>,
    /// Another port in the `m=` line.
    pub port: Option<String>,
    /// Whether `a=msrp-cema` is written.
    pub cema: bool,
    /// Further `a=` lines.
    pub attributes: Vec<String>,
}

impl Described {
    /// This, and what `before` said where this says nothing.
    pub fn or(self, before: &Self) -> Self {
        let or = |own: Option<String>, before: &Option<String>| own.or_else(|| before.clone());
        Self {
            accept_types: or(self.accept_types, &before.accept_types),
            accept_wrapped_types: or(self.accept_wrapped_types, &before.accept_wrapped_types),
            max_size: or(self.max_size, &before.max_size),
            setup: or(self.setup, &before.setup),
            direction: or(self.direction, &before.direction),
            connection: or(self.connection, &before.connection),
            subject: or(self.subject, &before.subject),
            path: or(self.path, &before.path),
            address: or(self.address, &before.address),
            port: or(self.port, &before.port),
            cema: self.cema || before.cema,
            attributes: if self.attributes.is_empty() {
                before.attributes.clone()
            } else {
                self.attributes
            },
        }
    }

    /// `a=setup` of an offer.
    fn offered_setup(&self) -> Option<Setup> {
        match self.setup.as_deref() {
            None => Some(Setup::Active),
            Some(text) => Setup::from_name(text),
        }
    }

    /// The description of the one message session. `setup` and `direction` are the usual ones.
    fn media(&self, ground: &Ground, setup: Option<Setup>, direction: &str) -> MediaBuilder {
        let protocol = if ground.secure {
            Protocol::Tls
        } else {
            Protocol::Tcp
        };
        let mut media = match &self.port {
            None => {
                let port = ground
                    .told
                    .as_ref()
                    .map_or(ground.listens.port(), |(_, port)| *port);
                MediaBuilder::message(port, protocol)
            }
            Some(port) => MediaBuilder::raw(format!("message {port} {} *", protocol.name())),
        };
        media = media.attribute(
            "accept-types",
            self.accept_types.as_deref().unwrap_or(ACCEPT_TYPES),
        );
        if let Some(types) = &self.accept_wrapped_types {
            media = media.attribute("accept-wrapped-types", types);
        }
        if let Some(size) = &self.max_size {
            media = media.attribute("max-size", size);
        }
        media = media.attribute("path", self.path.as_deref().unwrap_or(&ground.path));
        match (self.setup.as_deref(), setup) {
            (Some("none"), _) | (None, None) => {}
            (Some(text), _) => media = media.attribute("setup", text),
            (None, Some(setup)) => media = media.setup(setup),
        }
        match self.direction.as_deref() {
            Some("none") => {}
            other => media = media.flag(other.unwrap_or(direction)),
        }
        if let Some(fingerprint) = &ground.fingerprint {
            media = media.attribute("fingerprint", fingerprint);
        }
        if self.cema {
            media = media.cema();
        }
        self.attributes
            .iter()
            .fold(media, |media, line| media.line(format!("a={line}")))
    }

    fn head(&self, ground: &Ground, builder: Builder) -> Builder {
        let host = ground.told.as_ref().map(|(host, _)| host);
        let builder = match &self.subject {
            Some(subject) => builder.set('s', subject),
            None => builder,
        };
        match self.address.as_ref().or(host) {
            Some(address) => builder.set(
                'c',
                imspec_wire::sdp::Address::from(address.as_str()).to_string(),
            ),
            None => builder,
        }
    }
}

/// Where a session of an agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ground {
    /// Its path as the other end is told it: those of its relays, the farthest first, and its own URI.
    pub(super) path: String,
    /// Its own URI.
    pub(super) own: String,
    /// The URIs of its relays as To-Path begins with them, the nearest first.
    pub(super) relays: Vec<msrp::Uri>,
    /// Where it takes connections; behind a relay, its end of the connection to that.
    pub(super) listens: SocketAddr,
    /// Host and port that the SDP tells in its place.
    pub(super) told: Option<(String, u16)>,
    /// Under TLS.
    pub(super) secure: bool,
    /// `a=fingerprint` of the certificate that whoever connects to the first hop of `path` sees.
    pub(super) fingerprint: Option<String>,
    /// Session id of the `o=` line.
    pub(super) id: u64,
}

/// An offer.
pub(super) fn offer(described: &Described, ground: &Ground, version: u64) -> Bytes {
    let setup = described.offered_setup();
    described
        .head(
            ground,
            Builder::new(ground.id, version, ground.listens.ip()),
        )
        .media(described.media(ground, setup, "sendonly"))
        .octets()
}

/// The answer to an offer: the first message session is taken, everything else refused (RFC 3264 §6).
pub(super) fn answer(
    described: &Described,
    ground: &Ground,
    version: u64,
    offer: &Description,
) -> Bytes {
    let mut taken = false;
    let builder = Builder::answer(offer, ground.id, version, ground.listens.ip(), |media| {
        if taken || media.port() == 0 {
            return None;
        }
        let offered = media.message()?.ok()?;
        taken = true;
        // An offer that does not know the attribute gets an answer without it.
        let setup = offered
            .setup
            .map(|setup| answerer_role(Some(setup), Role::Active).setup());
        Some(described.media(ground, setup, "recvonly"))
    });
    described.head(ground, builder).octets()
}

/// What we are once our offer was answered: who opens the connection.
pub(super) fn role_of_offerer(described: &Described, remote: &Remote) -> Result<Role, String> {
    offerer_role(described.offered_setup(), remote.setup).map_err(|e| e.to_string())
}

/// What we are once we have answered an offer.
pub(super) fn role_of_answerer(described: &Described, remote: &Remote) -> Role {
    match described.setup.as_deref().and_then(Setup::from_name) {
        Some(Setup::Active) => Role::Active,
        Some(Setup::Passive) => Role::Passive,
        _ => answerer_role(remote.setup, Role::Active),
    }
}

/// What the other end says.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    /// Its path.
    pub(super) path: msrp::Path,
    /// Under TLS.
    pub(super) secure: bool,
    setup: Option<Setup>,
    cema: bool,
    /// Address and port of the `c=` and `m=` lines.
    line: Option<SocketAddr>,
    line_matches_path: bool,
    /// `a=fingerprint`: name of the hash function in lower case, and the hash.
    pub(super) fingerprints: Vec<(String, Vec<u8>)>,
}

impl Remote {
    /// Reads the first message session of a description that is not refused.
    pub(super) fn read(octets: impl Into<Bytes>) -> Result<Self, String> {
        let description = Description::parse(octets).map_err(|e| e.to_string())?;
        let media = description
            .message()
            .ok_or("it describes no message session, or refuses it (port 0)")?
            .map_err(|e| e.to_string())?;
        let path = media.path.clone().ok_or("it has no `a=path`")?;
        let own = media
            .attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref()));
        let all = description
            .attributes()
            .map(|attribute| (attribute.name, attribute.value));
        let fingerprints = own
            .chain(all)
            .filter(|(name, _)| *name == "fingerprint")
            .filter_map(|(_, value)| fingerprint(value?))
            .collect();
        let line = media
            .connection
            .as_ref()
            .and_then(imspec_wire::sdp::Address::ip)
            .map(|ip| SocketAddr::new(ip, media.port));
        let line_matches_path = media.line_matches_path_with(|_| Vec::new());
        Ok(Self {
            secure: media.protocol == Protocol::Tls || path.first().is_secure(),
            setup: media.setup,
            cema: media.cema,
            line,
            line_matches_path,
            fingerprints,
            path,
        })
    }

    /// Where to connect to: by the path (RFC 4975 §5.4), or where both ends know CEMA by the lines
    /// (RFC 6714 §4.2, §4.3).
    pub(super) fn target(&self, own_cema: bool) -> String {
        let by_line = own_cema && {
            let answered = cema::Answered {
                cema: self.cema,
                line_matches_path: self.line_matches_path,
                relay: self.path.len() > 1,
                role: Role::Active,
            };
            cema::offerer(answered, false) == cema::OffererDecision::ConnectToLine
        };
        match self.line {
            Some(line) if by_line => line.to_string(),
            _ => place_of(self.path.first()),
        }
    }
}

/// Host and port of a URI; RFC 4975 §15.4 registers the port that holds where none is written.
pub(super) fn place_of(uri: &msrp::Uri) -> String {
    let (host, port) = host_and_port(uri);
    format!("{host}:{port}")
}

/// The same in two.
pub(super) fn host_and_port(uri: &msrp::Uri) -> (String, u16) {
    (uri.host().to_string(), uri.port().unwrap_or(2855))
}

/// `SHA-256 AB:CD:…` (RFC 8122 §5).
fn fingerprint(value: &str) -> Option<(String, Vec<u8>)> {
    let (hash, octets) = value.trim().split_once(' ')?;
    let octets: Option<Vec<u8>> = octets
        .trim()
        .split(':')
        .map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect();
    Some((hash.to_ascii_lowercase(), octets?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn ground() -> Ground {
        Ground {
            path: "msrp://127.0.0.1:7000/own;tcp".into(),
            own: "msrp://127.0.0.1:7000/own;tcp".into(),
            relays: Vec::new(),
            told: None,
            listens: "127.0.0.1:7000".parse().unwrap(),
            secure: false,
            fingerprint: None,
            id: 42,
        }
    }

    fn secure() -> Ground {
        Ground {
            path: "msrps://127.0.0.1:7000/own;tcp".into(),
            own: "msrps://127.0.0.1:7000/own;tcp".into(),
            relays: Vec::new(),
            secure: true,
            fingerprint: Some("SHA-256 00:FF".into()),
            ..ground()
        }
    }

    fn text(octets: &Bytes) -> String {
        String::from_utf8(octets.to_vec()).unwrap()
    }

    fn answer_to(offer: &str, described: &Described) -> String {
        let offer = Description::parse(offer.to_owned()).unwrap();
        text(&answer(described, &ground(), 1, &offer))
    }

    /// An offer of a peer, with further lines.
    fn offered(lines: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n\
             m=message 7654 TCP/MSRP *\r\na=accept-types:text/plain\r\n\
             a=path:msrp://192.0.2.1:7655/theirs;tcp\r\n{lines}"
        )
    }

    #[test]
    fn an_offer_says_what_an_agent_is() {
        assert_eq!(
            text(&offer(&Described::default(), &ground(), 1)),
            "v=0\r\no=- 42 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=message 7000 TCP/MSRP *\r\na=accept-types:message/cpim text/plain *\r\n\
             a=path:msrp://127.0.0.1:7000/own;tcp\r\na=setup:active\r\na=sendonly\r\n"
        );
        let under_tls = text(&offer(&Described::default(), &secure(), 1));
        assert!(under_tls.contains("m=message 7000 TCP/TLS/MSRP *\r\n"));
        assert!(under_tls.contains("a=fingerprint:SHA-256 00:FF\r\n"));
    }

    #[test]
    fn what_a_scenario_says_stands_in_the_offer() {
        let described = Described {
            accept_types: Some("text/html".into()),
            accept_wrapped_types: Some("*".into()),
            max_size: Some("2048".into()),
            setup: Some("actpass".into()),
            direction: Some("sendrecv".into()),
            connection: None,
            subject: Some("Lunch".into()),
            path: Some("msrp://example.org/x;tcp".into()),
            address: Some("2001:db8::1".into()),
            port: Some("9".into()),
            cema: true,
            attributes: vec!["label:1".into(), "label:2".into()],
        };
        assert_eq!(
            text(&offer(&described, &ground(), 3)),
            "v=0\r\no=- 42 3 IN IP4 127.0.0.1\r\ns=Lunch\r\nc=IN IP6 2001:db8::1\r\nt=0 0\r\n\
             m=message 9 TCP/MSRP *\r\na=accept-types:text/html\r\na=accept-wrapped-types:*\r\n\
             a=max-size:2048\r\na=path:msrp://example.org/x;tcp\r\na=setup:actpass\r\na=sendrecv\r\n\
             a=msrp-cema\r\na=label:1\r\na=label:2\r\n"
        );
        let without = Described {
            setup: Some("none".into()),
            direction: Some("none".into()),
            ..Described::default()
        };
        let without = text(&offer(&without, &ground(), 1));
        assert!(
            !without.contains("a=setup") && !without.contains("only"),
            "{without}"
        );
    }

    #[test]
    fn an_answer_takes_the_other_side_of_the_connection() {
        for (offered_setup, ours) in [
            ("a=setup:actpass\r\n", Some("active")),
            ("a=setup:passive\r\n", Some("active")),
            ("a=setup:active\r\n", Some("passive")),
            ("", None),
        ] {
            let answer = answer_to(&offered(offered_setup), &Described::default());
            let setup = answer
                .lines()
                .find_map(|line| line.strip_prefix("a=setup:"));
            assert_eq!(setup, ours, "{offered_setup}");
            assert!(answer.contains("a=recvonly\r\n"));
        }
        let described = Described {
            setup: Some("passive".into()),
            direction: Some("sendrecv".into()),
            ..Described::default()
        };
        let answer = answer_to(&offered("a=setup:actpass\r\n"), &described);
        assert!(answer.contains("a=setup:passive\r\n") && answer.contains("a=sendrecv\r\n"));
    }

    #[test]
    fn of_an_offer_the_first_message_session_is_taken() {
        let others = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=3 4\r\n\
                      m=audio 4000 RTP/AVP 0\r\n\
                      m=message 0 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://192.0.2.1:1/a;tcp\r\n\
                      m=message 2 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://192.0.2.1:2/b;tcp\r\n\
                      m=message 3 TCP/MSRP *\r\na=accept-types:*\r\na=path:msrp://192.0.2.1:3/c;tcp\r\n";
        let answer = answer_to(others, &Described::default());
        let lines: Vec<&str> = answer
            .lines()
            .filter(|line| line.starts_with("m="))
            .collect();
        assert_eq!(
            lines,
            [
                "m=audio 0 RTP/AVP 0",
                "m=message 0 TCP/MSRP *",
                "m=message 7000 TCP/MSRP *",
                "m=message 0 TCP/MSRP *",
            ],
            "a line for a line (RFC 3264 §6)"
        );
        assert!(answer.contains("t=3 4\r\n"));
        assert_eq!(Remote::read(others).unwrap().target(false), "192.0.2.1:2");
    }

    #[test]
    fn the_roles_of_both_ends_fit() {
        let of = |text: Option<&str>| Described {
            setup: text.map(str::to_owned),
            ..Described::default()
        };
        let remote = |setup: &str| {
            let line = match setup {
                "none" => String::new(),
                setup => format!("a=setup:{setup}\r\n"),
            };
            Remote::read(offered(&line)).unwrap()
        };
        for (own, theirs, role) in [
            (None, "passive", Some(Role::Active)),
            (None, "none", Some(Role::Active)),
            (None, "active", None),
            (Some("passive"), "active", Some(Role::Passive)),
            (Some("passive"), "passive", None),
            (Some("actpass"), "active", Some(Role::Passive)),
            (Some("actpass"), "passive", Some(Role::Active)),
        ] {
            assert_eq!(
                role_of_offerer(&of(own), &remote(theirs)).ok(),
                role,
                "{own:?} {theirs}"
            );
        }
        for (own, theirs, role) in [
            (None, "active", Role::Passive),
            (None, "passive", Role::Active),
            (None, "actpass", Role::Active),
            (None, "none", Role::Passive),
            (Some("passive"), "actpass", Role::Passive),
            (Some("active"), "actpass", Role::Active),
        ] {
            assert_eq!(
                role_of_answerer(&of(own), &remote(theirs)),
                role,
                "{own:?} {theirs}"
            );
        }
    }

    #[test]
    fn what_is_not_said_again_stays() {
        let before = Described {
            max_size: Some("10".into()),
            subject: Some("before".into()),
            cema: true,
            attributes: vec!["label:1".into()],
            ..Described::default()
        };
        let changes = Described {
            subject: Some("after".into()),
            ..Described::default()
        };
        let wanted = Described {
            subject: Some("after".into()),
            ..before.clone()
        };
        assert_eq!(changes.or(&before), wanted);
        assert_eq!(Described::default().or(&before), before);
    }

    #[test]
    fn where_to_connect_is_in_the_path_or_under_cema_in_the_lines() {
        let plain = Remote::read(offered("")).unwrap();
        assert_eq!(
            plain.target(false),
            "192.0.2.1:7655",
            "we did not offer CEMA"
        );
        // RFC 6714 §4.2: an offerer that connects goes by the lines, whatever the other end knows.
        assert_eq!(plain.target(true), "192.0.2.1:7654");
        let relayed = offered("").replace("theirs;tcp", "theirs;tcp msrp://192.0.2.9:1/x;tcp");
        let relayed = Remote::read(relayed).unwrap();
        assert_eq!(
            relayed.target(true),
            "192.0.2.1:7655",
            "a relay goes by the path"
        );
        let no_port = offered("").replace("192.0.2.1:7655/", "im.example.org/");
        let no_port = Remote::read(no_port).unwrap();
        assert_eq!(no_port.target(false), "im.example.org:2855");
    }

    #[test]
    fn fingerprints_stand_at_the_session_or_at_its_media() {
        let both = offered("a=fingerprint:SHA-256 ab:CD\r\n").replace(
            "t=0 0\r\n",
            "t=0 0\r\na=fingerprint:sha-1 00\r\na=fingerprint:SHA-1 xx\r\n",
        );
        assert_eq!(
            Remote::read(both).unwrap().fingerprints,
            [
                ("sha-256".to_owned(), vec![0xab, 0xcd]),
                ("sha-1".to_owned(), vec![0])
            ]
        );
    }

    #[test]
    fn what_describes_no_session_says_why() {
        let why = |text: &str| Remote::read(text.to_owned()).unwrap_err();
        let refused = offered("").replace("message 7654", "message 0");
        assert!(why(&refused).contains("port 0"));
        let audio = offered("").replace("m=message", "m=audio");
        assert!(why(&audio).contains("no message session"));
        let pathless = offered("").replace("a=path", "a=wrath");
        assert_eq!(why(&pathless), "it has no `a=path`");
        assert!(!why("hello").is_empty());
    }
}
