//! What agents show of who they are (RFC 3261 §22, RFC 8760): the challenges that they were given, the answers
//! to them, and requests that go out again with an answer.
//!
//! An agent shows what it knows to be wanted already (§22.2, §22.3: credentials are kept for a realm), and
//! answers a challenge once for each request, or twice where the nonce was too old: never for ever.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use imspec_reports::record::UtcTime;
use imspec_wire::digest::{Asked, AuthValue, Challenge, Credentials, Login};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::CSeq;

use super::call::Call;
use super::{Shared, message, tags};
use crate::scenario::CaseUser;

/// How often one request goes out with another answer: to a proxy, to the server behind it, and once more to
/// each where the nonce was too old.
const ROUNDS: u32 = 4;

/// The user names and passwords of accounts (`pixit.accounts`).
#[derive(Clone, PartialEq, Eq)]
pub struct Logins {
    /// `username`, with `${user}` and `${domain}`.
    pub username: String,
    /// The password, with the same.
    pub password: String,
}

impl std::fmt::Debug for Logins {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logins")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

impl Logins {
    /// User name and password of an account.
    pub fn of(&self, user: &CaseUser) -> (String, String) {
        let fill = |text: &str| {
            text.replace("${user}", &user.name)
                .replace("${domain}", &user.domain)
        };
        (fill(&self.username), fill(&self.password))
    }
}

/// With which credentials a request goes out.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Showing {
    /// The sender's own.
    #[default]
    Own,
    /// None, and no challenge is answered.
    None,
    /// Others.
    Shaped(Box<Shape>),
}

/// Credentials that differ from the right ones.
#[derive(Clone, Default, PartialEq)]
pub struct Shape {
    /// Those of another role.
    pub of: Option<String>,
    /// Made with another password.
    pub password: Option<String>,
    /// With another nonce than that of the challenge.
    pub nonce: Option<String>,
    /// With another `uri`.
    pub uri: Option<String>,
    /// With this algorithm, asked for or not.
    pub algorithm: Option<String>,
    /// Of the scheme Basic.
    pub basic: bool,
    /// Those of the request that an event holds, as they were.
    pub replay: Option<u32>,
    /// Right ones with the nonce of that request.
    pub nonce_of: Option<u32>,
}

impl std::fmt::Debug for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shape")
            .field("of", &self.of)
            .field("basic", &self.basic)
            .finish_non_exhaustive()
    }
}

/// Which header field asks, and which answers (RFC 3261 §22.2, §22.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asker {
    Server,
    Proxy,
}

impl Asker {
    const ALL: [Self; 2] = [Self::Server, Self::Proxy];

    fn challenge(self) -> &'static str {
        match self {
            Self::Server => "WWW-Authenticate",
            Self::Proxy => "Proxy-Authenticate",
        }
    }

    fn credentials(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

/// What agents remember of challenges.
#[derive(Debug, Default)]
pub(super) struct Keyring(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// By role, whether to a registrar, who asks, and realm.
    challenges: HashMap<(String, bool, Asker, String), Known>,
    /// How often each nonce was used.
    counts: HashMap<String, u32>,
    /// The credentials that went out with the request of an event.
    shown: HashMap<u32, Vec<(Asker, String)>>,
    /// The highest `CSeq` number of each Call-ID that went out again.
    numbers: HashMap<String, u32>,
}

/// A challenge that was answered once.
#[derive(Debug, Clone)]
struct Known {
    challenge: Challenge,
    /// Store time of its coming.
    since: Option<UtcTime>,
}

impl Keyring {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the request of an event went out with credentials of ours.
    pub(super) fn has_shown(&self, event: u32) -> bool {
        self.kept().shown.contains_key(&event)
    }

    /// The highest `CSeq` number that a request of that Call-ID took on its way out again.
    pub(super) fn number_of(&self, call_id: &str) -> u32 {
        self.kept().numbers.get(call_id).copied().unwrap_or(0)
    }
}

impl Known {
    /// Whether its nonce is surely still good, as far as that is declared.
    fn holds(&self, life: Option<Duration>, now: Option<UtcTime>) -> bool {
        let (Some(life), Some(since), Some(now)) = (life, self.since, now) else {
            return true;
        };
        let age = u64::try_from(now.unix_us.saturating_sub(since.unix_us)).unwrap_or(0);
        Duration::from_micros(age) < life / 2
    }
}

/// One request until its last answer: the credentials on it, and whether it goes out again.
#[derive(Debug)]
pub(super) struct Conversation {
    shared: Arc<Shared>,
    showing: Showing,
    /// Whose agent sends.
    role: String,
    /// User name and password.
    login: Option<(String, String)>,
    /// Without credentials of ours.
    plain: Bytes,
    /// With them.
    octets: Bytes,
    shown: Vec<(Asker, String, String)>,
    rounds: u32,
    /// Challenges of this request that were answered.
    answered: Vec<(Asker, String)>,
    /// The session within which it is sent.
    call: Option<Arc<Call>>,
    is_registration: bool,
}

impl Conversation {
    /// Begins with what is known to be wanted.
    pub(super) fn begin(
        shared: &Arc<Shared>,
        role: &str,
        showing: Showing,
        plain: Bytes,
        call: Option<Arc<Call>>,
    ) -> Self {
        let whose = match &showing {
            Showing::Shaped(shape) => shape.of.as_deref().unwrap_or(role),
            Showing::Own | Showing::None => role,
        };
        let mut login = shared.login(whose);
        if let (Showing::Shaped(shape), Some((_, password))) = (&showing, &mut login)
            && let Some(wrong) = &shape.password
        {
            password.clone_from(wrong);
        }
        let is_registration =
            Message::parse(plain.clone()).is_ok_and(|request| request.method() == Some("REGISTER"));
        let mut conversation = Self {
            shared: Arc::clone(shared),
            showing,
            role: role.to_owned(),
            login,
            octets: plain.clone(),
            plain,
            shown: Vec::new(),
            rounds: 0,
            answered: Vec::new(),
            call,
            is_registration,
        };
        conversation.show_known();
        conversation
    }

    /// What goes out now.
    pub(super) fn octets(&self) -> Bytes {
        self.octets.clone()
    }

    /// Whether challenges are answered at all.
    pub(super) fn may_answer(&self) -> bool {
        self.login.is_some() && self.showing != Showing::None
    }

    /// What to ask with for a challenge, where there is none at hand: method, Request-URI, address of the user.
    pub(super) fn asks_beforehand(&self) -> Option<(&'static str, String, String)> {
        if self.showing != Showing::Own || self.login.is_none() || !self.shown.is_empty() {
            return None;
        }
        // What cannot be read cannot take credentials either.
        Message::parse(self.plain.clone()).ok()?;
        let desk = self.shared.desk();
        let user = desk
            .case()
            .users
            .iter()
            .find(|user| user.role == self.role)?;
        let address = user.uri();
        Some(if self.is_registration {
            ("REGISTER", format!("sip:{}", user.domain), address)
        } else {
            ("MESSAGE", address.clone(), address)
        })
    }

    /// Takes the answer to that.
    pub(super) fn learn(&mut self, response: &Message) {
        for asker in Asker::ALL {
            for (_, challenge) in self.chosen(response, asker) {
                self.keep(asker, &challenge);
            }
        }
        self.show_known();
    }

    /// It went out as this event.
    pub(super) fn sent(&self, event: u32) {
        if !self.shown.is_empty() {
            let shown = self.shown.iter();
            let shown = shown.map(|(asker, _, value)| (*asker, value.clone()));
            let mut kept = self.shared.keyring.kept();
            kept.shown.insert(event, shown.collect());
        }
    }

    /// Takes the final response; true where the request goes out again, with an answer to its challenge.
    pub(super) fn goes_again(&mut self, response: &Message) -> bool {
        if !matches!(response.status(), Some(401 | 407)) || self.rounds >= ROUNDS {
            return false;
        }
        let may_answer = match &self.showing {
            Showing::None => false,
            Showing::Own => true,
            // What was shaped from something earlier is sent once.
            Showing::Shaped(shape) => {
                shape.replay.is_none() && shape.nonce_of.is_none() && self.rounds == 0
            }
        };
        if !may_answer || self.login.is_none() {
            return false;
        }
        let mut answers = Vec::new();
        for asker in Asker::ALL {
            for (realm, challenge) in self.chosen(response, asker) {
                self.keep(asker, &challenge);
                let answered = self.answered.iter();
                let times = answered.filter(|(of, known)| *of == asker && *known == realm);
                // The answer to a challenge of this very request was wrong, unless its nonce had become too old.
                match times.count() {
                    0 => {}
                    1 if challenge.stale => {}
                    _ => return false,
                }
                answers.push((asker, challenge));
            }
        }
        if answers.is_empty() {
            return false;
        }
        let Some(plain) = self.renumbered() else {
            return false;
        };
        self.plain = plain;
        self.rounds += 1;
        for (asker, challenge) in answers {
            let realm = challenge.realm.clone();
            self.answered.push((asker, realm.clone()));
            self.shown
                .retain(|(known, of, _)| *known != asker || *of != realm);
            if let Some(value) = self.answer(&challenge) {
                self.shown.push((asker, realm, value));
            }
        }
        self.write()
    }

    /// Writes what is known to be wanted.
    fn show_known(&mut self) {
        let known: Vec<(Asker, Challenge)> = match &self.showing {
            Showing::None => Vec::new(),
            Showing::Own => {
                let now = self.shared.desk().store_now();
                let life = self.shared.surroundings.nonce_life;
                let kept = self.shared.keyring.kept();
                let known = kept
                    .challenges
                    .iter()
                    .filter(|((role, registrar, ..), known)| {
                        *role == self.role
                            && *registrar == self.is_registration
                            && known.holds(life, now)
                    });
                known
                    .map(|((_, _, asker, _), known)| (*asker, known.challenge.clone()))
                    .collect()
            }
            Showing::Shaped(shape) => {
                let kept = self.shared.keyring.kept();
                let shown = |event: &u32| kept.shown.get(event).cloned().unwrap_or_default();
                if let Some(event) = &shape.replay {
                    let shown = shown(event);
                    drop(kept);
                    self.shown = shown
                        .into_iter()
                        .map(|(asker, value)| (asker, String::new(), value))
                        .collect();
                    self.write();
                    return;
                }
                let shown = shape.nonce_of.as_ref().map(shown).unwrap_or_default();
                shown
                    .into_iter()
                    .filter_map(|(asker, value)| Some((asker, challenge_behind(&value)?)))
                    .collect()
            }
        };
        if known.is_empty() || self.login.is_none() {
            return;
        }
        for (asker, challenge) in known {
            if let Some(value) = self.answer(&challenge) {
                self.shown.push((asker, challenge.realm, value));
            }
        }
        self.write();
    }

    /// For each realm the topmost challenge that can be answered (RFC 8760 §2.4).
    fn chosen(&self, response: &Message, asker: Asker) -> Vec<(String, Challenge)> {
        let wanted = match &self.showing {
            Showing::Shaped(shape) => shape.algorithm.as_deref(),
            Showing::Own | Showing::None => None,
        };
        let mut chosen: Vec<(String, Challenge)> = Vec::new();
        for field in response.headers_named(asker.challenge()) {
            for value in AuthValue::parse_all(&field.value()).unwrap_or_default() {
                let Ok(challenge) = Challenge::read(&value) else {
                    continue;
                };
                if challenge.supported().is_err() {
                    continue;
                }
                let own = challenge.algorithm.as_deref().unwrap_or("MD5");
                let is_wanted = wanted.is_some_and(|wanted| wanted.eq_ignore_ascii_case(own));
                match chosen
                    .iter_mut()
                    .find(|(realm, _)| *realm == challenge.realm)
                {
                    Some((_, known)) if is_wanted => *known = challenge,
                    Some(_) => {}
                    None => chosen.push((challenge.realm.clone(), challenge)),
                }
            }
        }
        chosen
    }

    fn keep(&self, asker: Asker, challenge: &Challenge) {
        if self.showing != Showing::Own {
            return;
        }
        let since = self.shared.desk().store_now();
        let known = Known {
            challenge: challenge.clone(),
            since,
        };
        let key = (
            self.role.clone(),
            self.is_registration,
            asker,
            challenge.realm.clone(),
        );
        self.shared.keyring.kept().challenges.insert(key, known);
    }

    /// The value that answers a challenge.
    fn answer(&self, challenge: &Challenge) -> Option<String> {
        let (user, password) = self.login.as_ref()?;
        let usual = Shape::default();
        let shape = match &self.showing {
            Showing::Shaped(shape) => shape,
            Showing::Own | Showing::None => &usual,
        };
        if shape.basic {
            let token = STANDARD.encode(format!("{user}:{password}"));
            self.shared.desk().secrets().other(token.as_bytes());
            return Some(format!("Basic {token}"));
        }
        let request = Message::parse(self.plain.clone()).ok()?;
        let uri = String::from_utf8_lossy(request.request_uri()?).into_owned();
        let challenge = Challenge {
            nonce: shape
                .nonce
                .clone()
                .unwrap_or_else(|| challenge.nonce.clone()),
            algorithm: shape
                .algorithm
                .clone()
                .or_else(|| challenge.algorithm.clone()),
            ..challenge.clone()
        };
        let count = {
            let mut kept = self.shared.keyring.kept();
            let count = kept.counts.entry(challenge.nonce.clone()).or_insert(0);
            *count += 1;
            *count
        };
        let asked = Asked {
            method: request.method()?,
            uri: shape.uri.as_deref().unwrap_or(&uri),
            body: request.body(),
        };
        let login = Login { user, password };
        let cnonce = format!("{:016x}", fastrand::u64(..));
        match challenge.answer(login, asked, count, &cnonce) {
            Ok(credentials) => {
                self.shared.desk().secrets().digest(&credentials.response);
                Some(credentials.to_string())
            }
            Err(_) => None,
        }
    }

    /// Writes the credentials into the request; false where there are none, or no place for them.
    fn write(&mut self) -> bool {
        if self.shown.is_empty() {
            return false;
        }
        let mut lines = String::new();
        for (asker, _, value) in &self.shown {
            let _ = write!(lines, "{}: {value}\r\n", asker.credentials());
        }
        match with_lines(&self.plain, &lines) {
            Some(octets) => {
                self.octets = octets;
                true
            }
            None => false,
        }
    }

    /// The request as a new one: same Call-ID and tag, the next `CSeq` number, a new branch (RFC 3261 §22.2).
    fn renumbered(&self) -> Option<Bytes> {
        let octets = message::with_branch(&self.plain, &tags::branch())?;
        let request = Message::parse(octets.clone()).ok()?;
        let number = match &self.call {
            Some(call) => call.next_request()?.1,
            None => request.typed::<CSeq>()?.ok()?.number.checked_add(1)?,
        };
        if let Some(call_id) = request.header("Call-ID") {
            let call_id = call_id.text().trim().to_owned();
            let mut kept = self.shared.keyring.kept();
            let highest = kept.numbers.entry(call_id).or_insert(0);
            *highest = number.max(*highest);
        }
        let range = request.header("CSeq")?.value_range();
        let value = octets.get(range.clone())?;
        let blank = value.iter().position(u8::is_ascii_digit)?;
        let digits = value[blank..]
            .iter()
            .position(|octet| !octet.is_ascii_digit())?;
        let (from, to) = (range.start + blank, range.start + blank + digits);
        let (before, after) = (octets.get(..from)?, octets.get(to..)?);
        Some(
            [before, number.to_string().as_bytes(), after]
                .concat()
                .into(),
        )
    }
}

impl Shared {
    /// User name and password of a role, where the profile has them.
    fn login(&self, role: &str) -> Option<(String, String)> {
        let logins = self.surroundings.logins.clone()?;
        let desk = self.desk();
        let user = desk.case().users.iter().find(|user| user.role == role)?;
        Some(logins.of(user))
    }
}

/// The octets with header lines added at the end of the head.
fn with_lines(octets: &Bytes, lines: &str) -> Option<Bytes> {
    let request = Message::parse(octets.clone()).ok()?;
    let body = request.body_range().start;
    let head = octets.get(..body)?;
    let at = if head.ends_with(b"\r\n\r\n") {
        body - 2
    } else {
        // Somebody writes his lines in a way of his own: what follows the start line is safe.
        head.iter().position(|octet| *octet == b'\n')? + 1
    };
    let (before, after) = octets.split_at_checked(at)?;
    Some([before, lines.as_bytes(), after].concat().into())
}

/// A request as a trace has it, without the credentials that the harness had put on it.
pub fn without_own(octets: &Bytes) -> Bytes {
    let Ok(request) = Message::parse(octets.clone()) else {
        return octets.clone();
    };
    let mut kept = octets.to_vec();
    let own = request.headers().filter(|field| {
        (field.is("Authorization") || field.is("Proxy-Authorization"))
            && field.text().contains("response=\"***")
    });
    let mut ranges: Vec<(usize, usize)> = own
        .map(|field| {
            let from = field.offset();
            let end = octets
                .get(from..)
                .and_then(|rest| rest.iter().position(|octet| *octet == b'\n'));
            (from, end.map_or(octets.len(), |end| from + end + 1))
        })
        .collect();
    ranges.reverse();
    for (from, to) in ranges {
        kept.drain(from..to.min(kept.len()));
    }
    kept.into()
}

/// The challenge that credentials answer.
fn challenge_behind(value: &str) -> Option<Challenge> {
    let value = AuthValue::parse_all(value.as_bytes())
        .ok()?
        .into_iter()
        .next()?;
    let credentials = Credentials::read(&value).ok()?;
    Some(Challenge {
        realm: credentials.realm,
        nonce: credentials.nonce,
        opaque: credentials.opaque,
        stale: false,
        algorithm: credentials.algorithm,
        qop: credentials.qop.map(|qop| vec![qop]),
    })
}
