//! Whose message is it? From a URI to the key of an account.
//!
//! The Request-URI names the served user, as it does for every SIP server (RFC 3261 §16.5); To is what
//! the sender saw on the screen and plays no part.

use imspec_wire::sip::typed::{Host, SipUri, Uri};

/// The domains that this server answers for.
#[derive(Debug, Clone)]
pub struct Domains {
    names: Vec<String>,
}

/// What a Request-URI or To URI means here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Addressee {
    /// A user of a served domain, by account key.
    User(String),
    /// A served domain itself.
    Domain,
    /// Somebody else's domain.
    Foreign,
    /// A scheme that this server cannot serve (RFC 3261 §8.2.2.1: 416). `sips` is one of them, since
    /// there is no TLS here to keep its promise.
    UnsupportedScheme,
    /// Not a URI.
    Malformed,
}

impl Domains {
    /// Serves these names; case does not matter.
    pub fn new(names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self {
            names: names
                .into_iter()
                .map(|name| name.as_ref().to_ascii_lowercase())
                .collect(),
        }
    }

    /// The first and main domain.
    pub fn main(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Whether this host is one of them.
    pub fn serves(&self, host: &Host) -> bool {
        let host = host.to_string();
        self.names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&host))
    }

    /// Finds out whom a URI addresses.
    pub fn addressee(&self, uri: &[u8]) -> Addressee {
        if has_unsupported_scheme(uri) {
            return Addressee::UnsupportedScheme;
        }
        match Uri::parse(uri) {
            Ok(Uri::Sip(sip)) if sip.secure => Addressee::UnsupportedScheme,
            Ok(Uri::Sip(sip)) => self.place(&sip),
            Ok(_) => Addressee::UnsupportedScheme,
            Err(_) => Addressee::Malformed,
        }
    }

    fn place(&self, uri: &SipUri) -> Addressee {
        if !self.serves(&uri.host) {
            Addressee::Foreign
        } else if uri.user.as_ref().is_some_and(|user| !user.is_empty()) {
            Addressee::User(key(uri))
        } else {
            Addressee::Domain
        }
    }
}

/// The account key of a `sip:` URI: RFC 3261 §10.3 step 5 without the port, since a domain is one
/// service here whatever port its requests came to.
fn key(uri: &SipUri) -> String {
    let mut uri = uri.clone();
    uri.port = None;
    uri.password = None;
    uri.aor_key()
}

/// A scheme other than `sip`, even when what follows it is beyond reading: 416 says more than 400.
fn has_unsupported_scheme(uri: &[u8]) -> bool {
    let scheme = uri.split(|octet| *octet == b':').next().unwrap_or_default();
    let is_scheme = scheme.len() < uri.len()
        && scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|o| o.is_ascii_alphanumeric() || b"+-.".contains(o));
    is_scheme && !scheme.eq_ignore_ascii_case(b"sip")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(uri: &str) -> Addressee {
        Domains::new(["Example.org", "example.net"]).addressee(uri.as_bytes())
    }

    fn bob() -> Addressee {
        of("sip:bob@example.org")
    }

    #[test]
    fn spellings_of_one_address_are_one_account() {
        assert!(matches!(bob(), Addressee::User(_)));
        for uri in [
            "sip:bob@EXAMPLE.org",
            "SIP:bob@example.org",
            "sip:%62ob@example.org",
            "sip:bob@example.org;transport=tcp;x=y",
            "sip:bob@example.org:5060;user=phone",
            "sip:bob:secret@example.org",
        ] {
            assert_eq!(of(uri), bob(), "{uri}");
        }
    }

    #[test]
    fn neighbours_are_other_accounts() {
        for uri in [
            "sip:BOB@example.org",
            "sip:bob2@example.org",
            "sip:bo.b@example.org",
        ] {
            assert!(matches!(of(uri), Addressee::User(_)), "{uri}");
            assert_ne!(of(uri), bob(), "{uri}");
        }
        assert_ne!(of("sip:bob@example.net"), bob());
    }

    #[test]
    fn what_is_no_user_here() {
        assert_eq!(of("sip:example.org"), Addressee::Domain);
        assert_eq!(of("sip:bob@example.com"), Addressee::Foreign);
        assert_eq!(of("sips:bob@example.org"), Addressee::UnsupportedScheme);
        assert_eq!(of("tel:+15551234"), Addressee::UnsupportedScheme);
        assert_eq!(
            of("nobodyKnowsThisScheme:totallyopaquecontent"),
            Addressee::UnsupportedScheme
        );
        assert_eq!(of("sip:bob@[::1"), Addressee::Malformed);
    }
}
