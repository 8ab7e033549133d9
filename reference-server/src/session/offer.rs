//! The offer of a sender and our answer (RFC 3264, RFC 4975 §8): which media section is taken, who
//! connects, and to where.

use bytes::Bytes;
use imspec_wire::msrp::{Path, Uri};
use imspec_wire::sdp::address::AddressMatch;
use imspec_wire::sdp::cema::{self, AnswererDecision, Offered};
use imspec_wire::sdp::setup::answerer_role;
use imspec_wire::sdp::{
    Builder, Description, Direction, FormatEntry, FormatList, MediaBuilder, MessageMedia, Protocol,
    Role, Setup,
};
use imspec_wire::sip::typed::Host;

use crate::config::SessionConfig;
use crate::msrp::{Fingerprint, Security};
use crate::policy::ContentClass;

/// What this server can do.
pub(super) struct Means<'a> {
    pub(super) config: &'a SessionConfig,
    /// Whether it listens for plain TCP.
    pub(super) tcp: bool,
    /// Whether it listens for TLS.
    pub(super) tls: bool,
    /// What it stores.
    pub(super) classes: &'a [ContentClass],
}

/// The section that is taken.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    media: MessageMedia,
    /// Our part in opening the connection.
    pub(super) role: Role,
    cema: bool,
    /// The way to the sender.
    pub(super) peer: Path,
    /// Where to connect to when that is our part.
    pub(super) place: (Host, u16),
    /// How to protect that connection.
    pub(super) security: Security,
}

impl Choice {
    /// Whether the session is under TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.media.protocol == Protocol::Tls
    }

    /// Whether both choices are for the same stream between the same ends.
    pub(super) fn is_same_stream(&self, other: &Self) -> bool {
        self.media.index == other.media.index
            && self.media.protocol == other.media.protocol
            && self.peer.equivalent(&other.peer)
    }
}

/// Takes the first message session that can be taken; says why not, for a Warning, when there is none.
pub(super) fn choose(offer: &Description, means: &Means<'_>) -> Result<Choice, String> {
    let mut objection = "the offer has no m=message section".to_owned();
    for media in offer.media().filter(|media| media.port() != 0) {
        let Some(message) = media.message() else {
            continue;
        };
        let fingerprints = media
            .attributes()
            .chain(offer.attributes())
            .filter(|attribute| attribute.name == "fingerprint")
            .filter_map(|attribute| Fingerprint::parse(attribute.value?))
            .collect();
        let taken = match message {
            Ok(message) => take(message, fingerprints, means),
            Err(error) => Err(error.to_string()),
        };
        match taken {
            Ok(choice) => return Ok(choice),
            Err(reason) => objection = reason,
        }
    }
    Err(objection)
}

fn take(
    media: MessageMedia,
    fingerprints: Vec<Fingerprint>,
    means: &Means<'_>,
) -> Result<Choice, String> {
    let Some(peer) = media.path.clone() else {
        return Err("m=message without a=path (RFC 4975 8.2)".to_owned());
    };
    let Some(accept_types) = &media.accept_types else {
        return Err("m=message without a=accept-types (RFC 4975 8.6)".to_owned());
    };
    if !have_common_type(&means.config.accept_types, accept_types) {
        return Err("none of the accept-types is taken here".to_owned());
    }
    if media.file_selector.is_some() && !means.classes.contains(&ContentClass::File) {
        return Err("files are not stored here".to_owned());
    }
    let is_secure = media.protocol == Protocol::Tls;
    let can_listen = if is_secure { means.tls } else { means.tcp };
    // A server knows that it is behind no NAT (RFC 6135 §4.2.2).
    let wish = if can_listen {
        Role::Passive
    } else {
        Role::Active
    };
    let role = answerer_role(media.setup, wish);
    if role == Role::Passive && !can_listen {
        return Err(format!(
            "{} is not listened for here",
            media.protocol.name()
        ));
    }
    if is_secure && role == Role::Active && fingerprints.is_empty() {
        return Err("TLS to an offerer without a=fingerprint (RFC 4975 14.4)".to_owned());
    }
    let decision = cema::answerer(
        Offered {
            cema: media.cema,
            // Without asking the DNS, a name gets the benefit of the doubt.
            line_matches_path: media.line_matches_path() != AddressMatch::Different,
            relay: media.has_relay(),
            setup: media.setup,
        },
        false,
    );
    let has_cema = match decision {
        AnswererDecision::Reject => {
            return Err("c= and m= do not name a place of a=path (RFC 6714 4.3)".to_owned());
        }
        AnswererDecision::Fallback => false,
        AnswererDecision::Cema => media.cema,
    };
    let place = place(&media, &peer, has_cema);
    Ok(Choice {
        role,
        cema: has_cema,
        peer,
        place,
        security: if is_secure {
            Security::Tls(fingerprints)
        } else {
            Security::Plain
        },
        media,
    })
}

/// Where to connect to: the first hop of the path, or what a middlebox wrote over it (RFC 6714 §4.3).
fn place(media: &MessageMedia, peer: &Path, cema: bool) -> (Host, u16) {
    let hop = peer.first();
    let by_line = media.connection.as_ref().filter(|_| cema);
    match by_line.and_then(|address| Host::parse(bracketed(&address.host).as_bytes()).ok()) {
        Some(host) => (host, media.port),
        None => (hop.host().clone(), hop.port().unwrap_or(media.port)),
    }
}

/// SDP writes IPv6 addresses without brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// RFC 4975 §8.6: parameters do not count.
fn have_common_type(own: &[String], offered: &FormatList) -> bool {
    let Ok(own) = FormatList::parse(&own.join(" ")) else {
        return false;
    };
    let fits = |one: &FormatEntry, other: &FormatEntry| match (one, other) {
        (FormatEntry::Any, _) | (_, FormatEntry::Any) => true,
        (FormatEntry::AnyOf(a), FormatEntry::AnyOf(b)) => a.eq_ignore_ascii_case(b),
        (FormatEntry::AnyOf(a), FormatEntry::Type(b))
        | (FormatEntry::Type(b), FormatEntry::AnyOf(a)) => a.eq_ignore_ascii_case(&b.kind),
        (FormatEntry::Type(a), FormatEntry::Type(b)) => {
            a.kind.eq_ignore_ascii_case(&b.kind) && a.subtype.eq_ignore_ascii_case(&b.subtype)
        }
    };
    own.entries
        .iter()
        .any(|a| offered.entries.iter().any(|b| fits(a, b)))
}

/// Who we are in the descriptions of one session.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pub(super) uri: Uri,
    pub(super) session_id: u64,
    pub(super) version: u64,
    pub(super) fingerprint: Option<String>,
}

/// Our answer.
pub(super) fn answer(
    offer: &Description,
    choice: &Choice,
    own: &Own,
    config: &SessionConfig,
) -> Bytes {
    let address = own.uri.host().to_string();
    Builder::answer(
        offer,
        own.session_id,
        own.version,
        address.as_str(),
        |media| {
            (media.index() == choice.media.index).then(|| {
                let mut section = section(choice.media.protocol, own, config)
                    .setup(choice.role.setup())
                    .direction(match choice.media.direction {
                        Direction::SendRecv | Direction::SendOnly => Direction::RecvOnly,
                        Direction::RecvOnly | Direction::Inactive => Direction::Inactive,
                    });
                if choice.cema {
                    section = section.cema();
                }
                for (name, value) in [
                    ("file-selector", &choice.media.file_selector),
                    ("file-transfer-id", &choice.media.file_transfer_id),
                    ("file-disposition", &choice.media.file_disposition),
                ] {
                    if let Some(value) = value {
                        // RFC 5547 §8.2: the answer says for which file it is.
                        section = section.attribute(name, value);
                    }
                }
                section
            })
        },
    )
    .octets()
}

/// Our offer, for an INVITE without one (RFC 3261 §13.3.1.4).
pub(super) fn offer(protocol: Protocol, own: &Own, config: &SessionConfig) -> Bytes {
    let section = section(protocol, own, config)
        .setup(Setup::ActPass)
        .direction(Direction::RecvOnly);
    let address = own.uri.host().to_string();
    Builder::new(own.session_id, own.version, address.as_str())
        .media(section)
        .octets()
}

fn section(protocol: Protocol, own: &Own, config: &SessionConfig) -> MediaBuilder {
    let section = MediaBuilder::message(own.uri.port().unwrap_or(9), protocol)
        .path([own.uri.as_str()])
        .accept_types(&config.accept_types)
        .max_size(config.max_octets);
    match &own.fingerprint {
        Some(fingerprint) => section.attribute("fingerprint", fingerprint),
        None => section,
    }
}

/// What an answer to our offer says.
pub(super) fn answered(answer: &Description, means: &Means<'_>) -> Result<Choice, String> {
    let Some(message) = answer.message() else {
        return Err("the answer refuses the session".to_owned());
    };
    let media = message.map_err(|error| error.to_string())?;
    let fingerprints = answer
        .media()
        .flat_map(|media| media.attributes())
        .chain(answer.attributes())
        .filter(|attribute| attribute.name == "fingerprint")
        .filter_map(|attribute| Fingerprint::parse(attribute.value?))
        .collect();
    // The offer said actpass: where the answer does not say active, we connect (RFC 4975 §8.5).
    let mirrored = match media.setup {
        Some(Setup::Active) => Setup::Active,
        _ => Setup::Passive,
    };
    take(
        MessageMedia {
            setup: Some(mirrored),
            ..media
        },
        fingerprints,
        means,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn description(lines: &str) -> Description {
        let head = "v=0\no=a 1 1 IN IP4 192.0.2.1\ns=-\nc=IN IP4 192.0.2.1\nt=0 0\n";
        Description::parse(format!("{head}{lines}\n").replace('\n', "\r\n")).unwrap()
    }

    const PATH: &str = "a=path:msrp://192.0.2.1:7394/2s93i9;tcp";

    fn chosen(lines: &str, change: impl FnOnce(&mut SessionConfig)) -> Result<Choice, String> {
        let mut config = SessionConfig::default();
        change(&mut config);
        let means = Means {
            config: &config,
            tcp: true,
            tls: false,
            classes: &[ContentClass::Im],
        };
        choose(&description(lines), &means)
    }

    fn plain(more: &str) -> String {
        format!("m=message 7394 TCP/MSRP *\na=accept-types:text/plain\n{PATH}{more}")
    }

    #[test]
    fn who_connects_follows_from_setup() {
        for (setup, role) in [
            ("", Role::Passive),
            ("\na=setup:active", Role::Passive),
            ("\na=setup:actpass", Role::Passive),
            ("\na=setup:holdconn", Role::Passive),
            ("\na=setup:passive", Role::Active),
        ] {
            let choice = chosen(&plain(setup), |_| {}).unwrap();
            assert_eq!(choice.role, role, "{setup}");
            assert_eq!(choice.place.1, 7394);
        }
    }

    #[test]
    fn what_cannot_be_taken_is_said() {
        let reasons: Vec<String> = [
            "m=audio 5004 RTP/AVP 0".to_owned(),
            "m=message 0 TCP/MSRP *".to_owned(),
            format!("m=message 7394 TCP/MSRP *\n{PATH}"),
            "m=message 7394 TCP/MSRP *\na=accept-types:text/plain".to_owned(),
            plain("x").replace("7394/", "7395/"),
            plain("\na=file-selector:name:\"a\""),
            "m=message 7394 TCP/TLS/MSRP *\na=accept-types:*\na=path:msrps://192.0.2.1:7394/x;tcp"
                .to_owned(),
        ]
        .iter()
        .map(|lines| chosen(lines, |_| {}).unwrap_err())
        .chain([chosen(&plain(""), |config| {
            config.accept_types = vec!["image/*".to_owned()];
        })
        .unwrap_err()])
        .collect();
        insta::assert_snapshot!(reasons.join("\n"));
    }

    #[test]
    fn a_middlebox_is_followed_where_the_offer_knows_of_it() {
        let offer =
            plain("\na=msrp-cema\na=setup:passive").replace("m=message 7394", "m=message 999");
        let choice = chosen(&offer, |_| {}).unwrap();
        assert_eq!(choice.place.1, 999);
    }

    #[test]
    fn the_answer_mirrors_every_section_and_takes_one() {
        let offer = description(&format!(
            "m=audio 5004 RTP/AVP 0\n{}\na=sendonly\nm=message 7395 TCP/MSRP *\na=accept-types:*\n\
             a=path:msrp://192.0.2.1:7395/zz;tcp",
            plain("")
        ));
        let config = SessionConfig::default();
        let means = Means {
            config: &config,
            tcp: true,
            tls: false,
            classes: &[],
        };
        let choice = choose(&offer, &means).unwrap();
        let own = Own {
            uri: Uri::parse(b"msrp://[2001:db8::1]:2855/own;tcp").unwrap(),
            session_id: 5,
            version: 1,
            fingerprint: None,
        };
        let octets = answer(&offer, &choice, &own, &config);
        insta::assert_snapshot!(String::from_utf8_lossy(&octets).replace('\r', ""));
    }
}
