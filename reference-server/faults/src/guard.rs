//! The border of authentication: who is asked, and whose answer is believed.

use std::sync::Arc;

use imspec_reference_server::Parts;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::guard::{Asking, Claim, Guard, NonceState, Proof, weigh};
use imspec_reference_server::policy::Settings;
use imspec_wire::digest::{AuthValue, Challenge, Credentials, Hash};
use imspec_wire::sip::Message;

use crate::fault::{Fault, Need};
use crate::rewrite;
use crate::transport::admitting;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "nonce-replay-accepted",
        "M-130",
        &["RFC7616-3.4-nc"],
        "Credentials are taken as often as they come.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::Replay)),
    Fault::new(
        "wrong-password-accepted",
        "F-300",
        &["RFC7616-3.4-response", "DM-DRV-07", "RFC3261-22-sender"],
        "Whoever shows credentials with a good nonce is believed, whatever his password.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::Password)),
    Fault::new(
        "other-aor-accepted",
        "F-301",
        &["RFC3261-10.3-authorised", "DM-DRV-07"],
        "A user who has shown who he is registers contacts for anybody.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::Address(Asking::Registration))),
    Fault::new(
        "forged-nonce-accepted",
        "F-302",
        &["RFC7616-3.3-nonce"],
        "A nonce is good, wherever it comes from.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::Nonce)),
    Fault::new(
        "no-qop",
        "F-303",
        &["RFC8760-2.6-qop"],
        "Challenges have no qop.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::NoQop)),
    Fault::new(
        "stale-not-told",
        "F-304",
        &["RFC7616-3.3-stale"],
        "An old nonce is refused as a wrong password is.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::NotStale)),
    Fault::new(
        "basic-accepted",
        "F-305",
        &["RFC8760-2.6-basic"],
        "Who tells his password in the clear is believed.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::Basic)),
    Fault::new(
        "sender-not-challenged",
        "F-306",
        &["RFC3261-22-sender"],
        "Nobody who sends is asked who he is.",
    )
    .under("auth.sender: digest")
    .seed(|parts| lax(parts, Laxity::NotAsked(Asking::Sending))),
    Fault::new(
        "from-spoof-accepted",
        "F-307",
        &["RFC3261-22-from"],
        "A user who has shown who he is sends as anybody.",
    )
    .under("auth.sender: digest")
    .seed(|parts| lax(parts, Laxity::Address(Asking::Sending))),
    Fault::new(
        "worst-algorithm-first",
        "F-308",
        &["RFC8760-2.3-order"],
        "Challenges stand in the opposite order of what the provider prefers.",
    )
    .needs(&[Need::Policy])
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::WorstFirst)),
    Fault::new(
        "weaker-algorithm-accepted",
        "F-309",
        &["RFC8760-3-downgrade"],
        "MD5 is taken where it was not asked for.",
    )
    .needs(&[Need::Policy])
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::AnyAlgorithm)),
    Fault::new(
        "registration-not-challenged",
        "F-310",
        &["DM-DRV-07", "RFC3261-22.2"],
        "Nobody who registers is asked who he is.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::NotAsked(Asking::Registration))),
    Fault::new(
        "only-the-best-algorithm-taken",
        "F-311",
        &["RFC8760-2.3-algorithms"],
        "Of the algorithms that are asked for only the first one is taken.",
    )
    .under("auth.register: digest")
    .seed(|parts| lax(parts, Laxity::OnlyBest)),
    Fault::new(
        "sent-where-credentials-say",
        "F-312",
        &["RFC8760-2.6-uri"],
        "A message goes to the URI that its credentials name.",
    )
    .under("auth.sender: digest")
    .seed(|parts| {
        admitting(parts, |message| {
            let field = message.header("Proxy-Authorization")?;
            let values = AuthValue::parse_all(&field.value()).ok()?;
            let uri = values.first()?.param("uri")?.as_bytes();
            let is_message = message.method() == Some("MESSAGE");
            (is_message && Some(uri) != message.request_uri())
                .then(|| rewrite::request_uri(message, uri))
        })
    }),
];

/// What is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Laxity {
    Replay,
    Password,
    Address(Asking),
    Nonce,
    NoQop,
    NotStale,
    Basic,
    NotAsked(Asking),
    WorstFirst,
    AnyAlgorithm,
    OnlyBest,
}

fn lax(mut parts: Parts, laxity: Laxity) -> Parts {
    let inner = parts.guard;
    parts.guard = Arc::new(Lax { inner, laxity });
    parts
}

struct Lax {
    inner: Arc<dyn Guard>,
    laxity: Laxity,
}

impl Lax {
    fn is(&self, laxity: Laxity) -> bool {
        self.laxity == laxity
    }
}

impl Guard for Lax {
    fn issue(&self, now: Timestamp) -> String {
        self.inner.issue(now)
    }

    fn nonce(&self, nonce: &str, settings: &Settings, now: Timestamp) -> NonceState {
        if self.is(Laxity::Nonce) {
            NonceState::Good
        } else {
            self.inner.nonce(nonce, settings, now)
        }
    }

    fn count(&self, nonce: &str, count: u32, settings: &Settings, now: Timestamp) -> bool {
        let is_new = self.inner.count(nonce, count, settings, now);
        is_new || self.is(Laxity::Replay)
    }

    fn asks(&self, asking: Asking, settings: &Settings) -> bool {
        !self.is(Laxity::NotAsked(asking)) && self.inner.asks(asking, settings)
    }

    fn challenges(
        &self,
        realm: &str,
        settings: &Settings,
        stale: bool,
        now: Timestamp,
    ) -> Vec<Challenge> {
        let stale = stale && !self.is(Laxity::NotStale);
        let mut challenges = self.inner.challenges(realm, settings, stale, now);
        if self.is(Laxity::WorstFirst) {
            challenges.reverse();
        }
        if self.is(Laxity::NoQop) {
            for challenge in &mut challenges {
                challenge.qop = None;
            }
        }
        challenges
    }

    fn claim(&self, value: &AuthValue) -> Option<Claim> {
        match basic(value).filter(|_| self.is(Laxity::Basic)) {
            Some((username, _)) => Some(Claim {
                username,
                realm: None,
                uri: None,
            }),
            None => self.inner.claim(value),
        }
    }

    fn proves(&self, credentials: &Credentials, password: &str, request: &Message) -> bool {
        self.is(Laxity::Password) || self.inner.proves(credentials, password, request)
    }

    fn verify(
        &self,
        value: &AuthValue,
        password: &str,
        request: &Message,
        settings: &Settings,
        now: Timestamp,
    ) -> Proof {
        let mut settings = settings.clone();
        match self.laxity {
            Laxity::Basic => {
                if let Some((_, given)) = basic(value) {
                    return if given == password {
                        Proof::Proved
                    } else {
                        Proof::Wrong
                    };
                }
            }
            Laxity::AnyAlgorithm => settings.auth_algorithms = Hash::ALL.to_vec(),
            Laxity::OnlyBest => settings.auth_algorithms.truncate(1),
            _ => {}
        }
        weigh(self, value, password, request, &settings, now)
    }

    fn may_act(&self, asking: Asking, user: &str, address: &str) -> bool {
        self.is(Laxity::Address(asking)) || self.inner.may_act(asking, user, address)
    }
}

/// User name and password of the scheme Basic (RFC 7617 §2).
fn basic(value: &AuthValue) -> Option<(String, String)> {
    let token = value.token.as_ref().filter(|_| value.is("Basic"))?;
    let text = String::from_utf8(decoded(token)).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// The octets that base64 stands for (RFC 4648 §4), as far as it is some.
fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut octets, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes() {
        let Some(value) = LETTERS.iter().position(|known| *known == letter) else {
            break;
        };
        bits = ((bits << 6) | u32::try_from(value).unwrap_or(0)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            octets.push(u8::try_from((bits >> held) & 0xff).unwrap_or(0));
        }
    }
    octets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_password_in_the_clear_is_read() {
        // RFC 7617 §2.
        let values = AuthValue::parse_all(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").unwrap();
        let read = basic(&values[0]).unwrap();
        assert_eq!(read, ("Aladdin".to_owned(), "open sesame".to_owned()));
    }
}
