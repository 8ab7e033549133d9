//! Who sends, and may he? Digest authentication of users who register and who send (RFC 3261 §22, RFC 8760),
//! where the provider wants it (`auth.register`, `auth.sender`).
//!
//! A REGISTER is asked with 401, as a registrar does it; MESSAGE and INVITE with 407, as the proxy of the
//! domain does it, whether their recipient is online or not: who cannot say who he is does not learn that
//! either. Requests inside a dialog, ACK and CANCEL are never asked (RFC 3261 §22.1).

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use imspec_wire::digest::{Algorithm, AuthValue, Challenge, Credentials};
use imspec_wire::sip::typed::{From, NameAddr, To};
use imspec_wire::sip::{Header, Message};
use ring::hmac;
use ring::rand::SystemRandom;

use crate::StartError;
use crate::account::{Addressee, Domains};
use crate::clock::Timestamp;
use crate::context::Context;
use crate::policy::{Authentication, Settings};
use crate::response::Reply;

/// What is guarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// A user changes or asks for bindings.
    Registration,
    /// A user sends a message or opens a session.
    Sending,
}

/// Whom credentials name, before anything is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// `username`
    pub username: String,
    /// `realm`, where the scheme has one.
    pub realm: Option<String>,
    /// `uri`, where there is one.
    pub uri: Option<String>,
}

/// What a nonce is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceState {
    /// Issued here, and of age.
    Good,
    /// Issued here, too long ago.
    Old,
    /// Not issued here.
    Foreign,
}

/// What credentials are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// They prove who sends.
    Proved,
    /// They would, with a new nonce.
    Stale,
    /// They prove nothing.
    Wrong,
}

/// Asks who sends, and believes the right answers.
pub trait Guard: Send + Sync + 'static {
    /// A nonce that was never issued before.
    fn issue(&self, now: Timestamp) -> String;

    /// What a nonce is worth.
    fn nonce(&self, nonce: &str, settings: &Settings, now: Timestamp) -> NonceState;

    /// Notes a use of a nonce; false where it was used with that count before (RFC 7616 §3.4, `nc`).
    fn count(&self, nonce: &str, count: u32, settings: &Settings, now: Timestamp) -> bool;

    /// Whether senders are asked.
    fn asks(&self, asking: Asking, settings: &Settings) -> bool {
        let wanted = match asking {
            Asking::Registration => settings.auth_register,
            Asking::Sending => settings.auth_sender,
        };
        wanted == Authentication::Digest
    }

    /// What is asked for: a challenge for each algorithm, the best first (RFC 8760 §2.3).
    fn challenges(
        &self,
        realm: &str,
        settings: &Settings,
        stale: bool,
        now: Timestamp,
    ) -> Vec<Challenge> {
        let nonce = self.issue(now);
        let algorithms = settings.auth_algorithms.iter();
        algorithms
            .map(|hash| Challenge {
                realm: realm.to_owned(),
                nonce: nonce.clone(),
                opaque: None,
                stale,
                algorithm: Some(hash.as_str().to_owned()),
                qop: Some(vec!["auth".to_owned(), "auth-int".to_owned()]),
            })
            .collect()
    }

    /// Whom a value of Authorization or Proxy-Authorization names. Basic names nobody (RFC 8760 §2.6).
    fn claim(&self, value: &AuthValue) -> Option<Claim> {
        let credentials = Credentials::read(value).ok()?;
        Some(Claim {
            username: credentials.username,
            realm: Some(credentials.realm),
            uri: Some(credentials.uri),
        })
    }

    /// Whether a response is that of somebody who knows the password.
    fn proves(&self, credentials: &Credentials, password: &str, request: &Message) -> bool {
        let method = request.method().unwrap_or_default();
        credentials.proves(password, method, request.body())
    }

    /// What credentials are worth.
    fn verify(
        &self,
        value: &AuthValue,
        password: &str,
        request: &Message,
        settings: &Settings,
        now: Timestamp,
    ) -> Proof {
        weigh(self, value, password, request, settings, now)
    }

    /// Whether a user may register, or send as, an address. Both are account keys.
    fn may_act(&self, _asking: Asking, user: &str, address: &str) -> bool {
        user == address
    }
}

/// What credentials are worth, by what a guard says of their parts.
pub fn weigh(
    guard: &(impl Guard + ?Sized),
    value: &AuthValue,
    password: &str,
    request: &Message,
    settings: &Settings,
    now: Timestamp,
) -> Proof {
    let Ok(credentials) = Credentials::read(value) else {
        return Proof::Wrong;
    };
    // A weaker algorithm than what is asked for would undo the asking (RFC 8760 §3).
    let is_asked_for = Algorithm::parse(credentials.algorithm.as_deref())
        .is_ok_and(|chosen| !chosen.session && settings.auth_algorithms.contains(&chosen.hash));
    let Ok(count) = credentials.number() else {
        return Proof::Wrong;
    };
    let nonce = guard.nonce(&credentials.nonce, settings, now);
    if !is_asked_for
        || nonce == NonceState::Foreign
        || !guard.proves(&credentials, password, request)
    {
        return Proof::Wrong;
    }
    // Only now: who does not know the password learns nothing of the nonce, and cannot use up counts.
    // A client that sends no `qop` has no count, and one use (RFC 8760 §2.6 item 8).
    let count = count.unwrap_or(0);
    if nonce == NonceState::Old || !guard.count(&credentials.nonce, count, settings, now) {
        return Proof::Stale;
    }
    Proof::Proved
}

/// Uses of a nonce.
#[derive(Debug, Clone, Copy)]
struct Uses {
    /// From then on it is old.
    until: Timestamp,
    highest: u32,
    /// Bit n: the count n below the highest was seen.
    seen: u128,
}

/// Nonces whose uses are remembered.
const NONCES: usize = 100_000;

/// The guard that keeps the rules. Its nonces carry the instant of their making and a signature, so that
/// nothing is kept of those that nobody uses.
pub struct DigestGuard {
    key: hmac::Key,
    issued: AtomicU64,
    uses: Mutex<HashMap<String, Uses>>,
}

impl DigestGuard {
    /// A guard with a key of its own.
    pub fn new() -> Result<Self, StartError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| StartError::Random)?;
        Ok(Self {
            key,
            issued: AtomicU64::new(0),
            uses: Mutex::default(),
        })
    }

    fn sign(&self, text: &str) -> String {
        let tag = hmac::sign(&self.key, text.as_bytes());
        let octets = tag.as_ref().iter().take(16);
        octets.fold(String::new(), |mut digits, octet| {
            let _ = write!(digits, "{octet:02x}");
            digits
        })
    }

    /// When a nonce of ours was issued.
    fn issued_at(&self, nonce: &str) -> Option<Timestamp> {
        let (text, tag) = nonce.rsplit_once('.')?;
        if self.sign(text) != tag {
            return None;
        }
        let (micros, _) = text.split_once('.')?;
        i64::from_str_radix(micros, 16)
            .ok()
            .map(Timestamp::from_micros)
    }
}

impl Guard for DigestGuard {
    fn issue(&self, now: Timestamp) -> String {
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let text = format!("{:x}.{number:x}", now.micros());
        let tag = self.sign(&text);
        format!("{text}.{tag}")
    }

    fn nonce(&self, nonce: &str, settings: &Settings, now: Timestamp) -> NonceState {
        let Some(issued) = self.issued_at(nonce) else {
            return NonceState::Foreign;
        };
        // One of the future is one from before the clock was moved back.
        let until = issued.plus_seconds(i64::from(settings.auth_nonce_s));
        if issued <= now && now < until {
            NonceState::Good
        } else {
            NonceState::Old
        }
    }

    fn count(&self, nonce: &str, count: u32, settings: &Settings, now: Timestamp) -> bool {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = uses.get_mut(nonce) {
            return known.note(count);
        }
        if uses.len() >= NONCES {
            uses.retain(|_, uses| uses.until > now);
        }
        if uses.len() >= NONCES {
            return false;
        }
        let issued = self.issued_at(nonce).unwrap_or(now);
        let first = Uses {
            until: issued.plus_seconds(i64::from(settings.auth_nonce_s)),
            highest: count,
            seen: 1,
        };
        uses.insert(nonce.to_owned(), first);
        true
    }
}

impl Uses {
    /// False where the count was seen, or is so low that nobody remembers. Requests of one user may overtake
    /// each other, so a count that comes late is no replay by itself.
    fn note(&mut self, count: u32) -> bool {
        if let Some(above @ 1..) = count.checked_sub(self.highest) {
            self.seen = self.seen.checked_shl(above).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let bit = 1_u128.checked_shl(self.highest - count).unwrap_or(0);
        let is_new = bit != 0 && self.seen & bit == 0;
        self.seen |= bit;
        is_new
    }
}

/// RFC 3261 §10.3 steps 3 and 4: whether the sender of a REGISTER may change the bindings of an account.
pub(crate) async fn registration(
    context: &Context,
    request: &Message,
    account: &str,
) -> Result<(), Reply> {
    let settings = context.policy.settings();
    let guard = &context.parts.guard;
    if !guard.asks(Asking::Registration, &settings) {
        return Ok(());
    }
    let host = match request.typed::<To>() {
        Some(Ok(to)) => host_of(&to),
        _ => None,
    };
    let user = identify(context, request, &REGISTRAR, host, &settings).await?;
    if guard.may_act(Asking::Registration, &user, account) {
        Ok(())
    } else {
        Err(Reply::new(403))
    }
}

/// Whether the sender of a MESSAGE or INVITE is who From says.
pub(crate) async fn sending(context: &Context, request: &Message) -> Result<(), Reply> {
    let settings = context.policy.settings();
    let guard = &context.parts.guard;
    if !guard.asks(Asking::Sending, &settings) {
        return Ok(());
    }
    let Some(Ok(from)) = request.typed::<From>() else {
        return Err(Reply::because(400, "Bad From"));
    };
    let host = host_of(&from);
    // Who is known here may hide his name from those he writes to (RFC 3323 §4.1.1.3).
    let is_anonymous = host.as_deref() == Some("anonymous.invalid");
    let user = identify(context, request, &PROXY, host, &settings).await?;
    let may_act = match context.domains.addressee(from.uri.to_string().as_bytes()) {
        Addressee::User(address) => guard.may_act(Asking::Sending, &user, &address),
        _ => is_anonymous,
    };
    if may_act {
        Ok(())
    } else {
        Err(Reply::because(403, "From Is Not You"))
    }
}

/// Whether a field holds credentials for this server.
pub(crate) fn is_for(field: &Header<'_>, domains: &Domains) -> bool {
    (field.is("Authorization") || field.is("Proxy-Authorization"))
        && AuthValue::parse_all(&field.value()).is_ok_and(|values| {
            values.iter().any(|value| {
                value
                    .param("realm")
                    .is_some_and(|realm| serves(domains, realm))
            })
        })
}

/// How one role asks (RFC 3261 §22.2, §22.3).
struct Role {
    status: u16,
    challenge: &'static str,
    credentials: &'static str,
}

const REGISTRAR: Role = Role {
    status: 401,
    challenge: "WWW-Authenticate",
    credentials: "Authorization",
};
const PROXY: Role = Role {
    status: 407,
    challenge: "Proxy-Authenticate",
    credentials: "Proxy-Authorization",
};

/// The account of who sends, or the question who he is.
async fn identify(
    context: &Context,
    request: &Message,
    role: &Role,
    host: Option<String>,
    settings: &Settings,
) -> Result<String, Reply> {
    let realm = host.filter(|host| serves(&context.domains, host));
    let realm = realm.unwrap_or_else(|| context.domains.main().to_owned());
    let guard = &context.parts.guard;
    let now = context.now();
    let mut stale = false;
    for field in request.headers_named(role.credentials) {
        for value in AuthValue::parse_all(&field.value()).unwrap_or_default() {
            let fits = |claim: &Claim| claim.realm.as_ref().is_none_or(|named| *named == realm);
            let Some(claim) = guard.claim(&value).filter(fits) else {
                continue;
            };
            let Some(user) = user_of(&claim.username, &realm, &context.domains) else {
                continue;
            };
            let Some(password) = context.parts.store.password(&user).await? else {
                continue;
            };
            match guard.verify(&value, &password, request, settings, now) {
                Proof::Proved => {
                    accepts(context, request, &claim).await?;
                    return Ok(user);
                }
                Proof::Stale => stale = true,
                Proof::Wrong => {}
            }
        }
    }
    let challenges = guard.challenges(&realm, settings, stale, now);
    Err(challenges
        .iter()
        .fold(Reply::new(role.status), |reply, challenge| {
            reply.with(role.challenge, challenge.to_string())
        }))
}

/// RFC 8760 §2.6 item 6: `uri` may be another than the Request-URI, since a request may have been forwarded;
/// it must be one that would be served here.
async fn accepts(context: &Context, request: &Message, claim: &Claim) -> Result<(), Reply> {
    let Some(uri) = claim.uri.as_ref().map(String::as_bytes) else {
        return Ok(());
    };
    if Some(uri) == request.request_uri() {
        return Ok(());
    }
    let is_served = match context.domains.addressee(uri) {
        Addressee::Domain => true,
        Addressee::User(account) => context.parts.store.has_account(&account).await?,
        _ => false,
    };
    if is_served {
        Ok(())
    } else {
        Err(Reply::because(403, "Credentials For Another URI"))
    }
}

/// The account that a claim names: `bob`, or `bob@example.org` as systems with several domains write it.
fn user_of(name: &str, realm: &str, domains: &Domains) -> Option<String> {
    let uri = if name.contains('@') {
        format!("sip:{name}")
    } else {
        format!("sip:{name}@{realm}")
    };
    match domains.addressee(uri.as_bytes()) {
        Addressee::User(account) => Some(account),
        _ => None,
    }
}

fn serves(domains: &Domains, host: &str) -> bool {
    matches!(
        domains.addressee(format!("sip:{host}").as_bytes()),
        Addressee::Domain
    )
}

fn host_of(address: &NameAddr) -> Option<String> {
    let sip = address.uri.as_sip()?;
    Some(sip.host.to_string().to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_nonce_is_ours_for_its_time_and_nobody_else_can_make_one() {
        let (guard, other) = (DigestGuard::new().unwrap(), DigestGuard::new().unwrap());
        let settings = Settings::new("example.org");
        let nonce = guard.issue(at(1000));
        assert_ne!(nonce, guard.issue(at(1000)));
        let state = |nonce: &str, now| guard.nonce(nonce, &settings, now);
        assert_eq!(state(&nonce, at(1000)), NonceState::Good);
        assert_eq!(state(&nonce, at(1299)), NonceState::Good);
        assert_eq!(state(&nonce, at(1300)), NonceState::Old);
        assert_eq!(state(&nonce, at(999)), NonceState::Old);
        for forged in [
            other.issue(at(1000)),
            nonce.replacen('3', "4", 1),
            "x".into(),
            "..".into(),
        ] {
            assert_eq!(state(&forged, at(1000)), NonceState::Foreign, "{forged}");
        }
    }

    #[test]
    fn each_count_is_good_once_in_any_order() {
        let guard = DigestGuard::new().unwrap();
        let settings = Settings::new("example.org");
        let nonce = guard.issue(at(0));
        let mut count = |count| guard.count(&nonce, count, &settings, at(0));
        let fresh: Vec<bool> = [2, 1, 1, 2, 5, 4, 4, 300, 5, 299, 299, u32::MAX, 0]
            .into_iter()
            .map(&mut count)
            .collect();
        assert_eq!(
            fresh,
            [
                true, true, false, false, true, true, false, true, false, true, false, true, false
            ]
        );
    }

    #[test]
    fn a_name_with_a_domain_is_an_account_too() {
        let domains = Domains::new(["example.org", "second.example.org"]);
        let user = |username: &str, realm: &str| user_of(username, realm, &domains);
        let bob = user("bob", "example.org");
        assert_eq!(user("bob@example.org", "example.org"), bob);
        assert_ne!(user("bob", "second.example.org"), bob);
        assert_eq!(user("bob", "elsewhere.example"), None);
        assert_eq!(user("", "example.org"), None);
    }
}
