//! User agents outside of any run: a few users, one request at a time, and all that came back for it. They are
//! the agents of a run, so that what they can do a scenario can do.

use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_reports::record::EventKind;
use imspec_wire::digest::{AuthValue, Challenge};
use imspec_wire::sip::typed::{Contact, Expires};
use imspec_wire::sip::{Message, StartLine};

use crate::agent::{self, Agents, Draft, Ending, Endpoint, Outgoing, Showing, Stamp, Surroundings};
use crate::bundled;
use crate::evidence::content;
use crate::plan::{self, Selection};
use crate::scenario::load::{Files, ScenarioFile, load_suite};
use crate::scenario::{Case, CaseUser, Known};
use crate::sut::profile::{Registration, Transport};
use crate::sut::{Instance, Profile};

/// Agents belong to a case; this one has users and does nothing.
const USERS: &str = "id: PG-99\ntitle: Visit\npurpose: Tries what a profile promises.\ncovers: [DM-STORE-01]\n\
    users: { alice: offline, bob: offline, carol: offline, dave: offline }\nsteps:\n  - wait: 1s\n";
/// Characters of what a server says that are shown.
const SHOWN: usize = 120;

/// A few users, and the agents that act for them.
pub(crate) struct Visit {
    agents: Agents,
    instance: Arc<Instance>,
    case: Arc<Case>,
    transport: Transport,
    within: Duration,
}

/// What came back for a request.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// The final response.
    pub(crate) response: Option<Message>,
    /// Why the request could not go out.
    pub(crate) no_way: Option<String>,
    /// The last provisional response, as a reader sees it.
    pub(crate) provisional: Option<String>,
    /// Challenges that came, in order; `None` for one that cannot be read or answered.
    pub(crate) challenges: Vec<Option<Challenge>>,
    /// The first response that challenged.
    pub(crate) asked: Option<Message>,
    /// Whatever else the agents noticed.
    pub(crate) notes: Vec<String>,
    /// A program did what was wanted, in the place of a request.
    pub(crate) done: bool,
}

impl Heard {
    /// Status of the final response.
    pub(crate) fn status(&self) -> Option<u16> {
        self.response.as_ref().and_then(Message::status)
    }

    /// Whether it is a success.
    pub(crate) fn is_good(&self) -> bool {
        self.done || matches!(self.status(), Some(200..300))
    }

    /// `403 Forbidden`
    pub(crate) fn line(&self) -> Option<String> {
        let by_program = self.done.then(|| "a program did it".to_owned());
        self.response.as_ref().map(status_line).or(by_program)
    }

    /// A header field of the final response.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let field = self.response.as_ref()?.header(name)?;
        Some(shown(&field.text()))
    }

    /// How long a registration holds that this answers (RFC 3261 §10.2.4).
    pub(crate) fn granted(&self) -> Option<u64> {
        let response = self.response.as_ref()?;
        let contacts = response.typed_all::<Contact>().into_iter();
        let of_contacts = contacts.filter_map(|contact| match contact.ok()? {
            Contact::Address(address) => address.params.get("expires")?.parse().ok(),
            Contact::Star => None,
        });
        let of_field = || response.typed::<Expires>()?.ok().map(|it| u64::from(it.0));
        of_contacts.max().or_else(of_field)
    }

    /// The realm that the last challenge was for.
    pub(crate) fn realm(&self) -> Option<String> {
        let challenge = self.challenges.iter().flatten().next_back()?;
        Some(shown(&challenge.realm))
    }

    /// The algorithm that it wanted.
    pub(crate) fn algorithm(&self) -> Option<String> {
        let challenge = self.challenges.iter().flatten().next_back()?;
        let algorithm = challenge.algorithm.as_deref().unwrap_or("MD5");
        Some(shown(algorithm))
    }
}

impl Visit {
    /// Agents at a server that is reached.
    pub(crate) fn new(profile: &Profile, instance: &Arc<Instance>) -> Result<Self, String> {
        let transport = profile.pixit.transport;
        let case = Arc::new(case(profile)?);
        let clock = Arc::clone(instance);
        let stamp = Stamp {
            begun: Instant::now(),
            store: Arc::new(move || clock.clock.now()),
        };
        let surroundings = Surroundings {
            targets: instance.targets.clone(),
            dialer: instance.dialer.clone(),
            timers: profile.pixit.timers,
            msrp: Arc::clone(&profile.pixit.msrp),
            logins: profile.pixit.logins.clone(),
            nonce_life: None,
            standing: Arc::clone(&profile.pixit.standing),
            scscf: instance.scscf.clone(),
        };
        Ok(Self {
            agents: Agents::new(Arc::clone(&case), stamp, surroundings),
            instance: Arc::clone(instance),
            case,
            transport,
            within: profile.pixit.timers.answer,
        })
    }

    /// The agents.
    pub(crate) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// How long a request waits for its answer.
    pub(crate) fn within(&self) -> Duration {
        self.within
    }

    /// Who belongs to it, as a case without steps that matter.
    pub(crate) fn case(&self) -> &Arc<Case> {
        &self.case
    }

    /// All users.
    pub(crate) fn users(&self) -> &[CaseUser] {
        &self.case.users
    }

    /// A user by role: alice, bob, carol, dave.
    pub(crate) fn user(&self, role: &str) -> Result<&CaseUser, String> {
        let mut users = self.users().iter();
        users.find(|user| user.role == role).ok_or_else(|| {
            format!("`pixit.accounts` has no account for {role}, who is needed here")
        })
    }

    /// A device of a user, over the transport of the profile.
    pub(crate) async fn endpoint(&self, role: &str) -> Result<Arc<Endpoint>, String> {
        self.endpoint_over(role, self.transport).await
    }

    async fn endpoint_over(
        &self,
        role: &str,
        transport: Transport,
    ) -> Result<Arc<Endpoint>, String> {
        let user = self.user(role)?;
        self.agents.endpoint(user, "main", transport).await
    }

    /// Asks the server what it can do (RFC 3261 §11).
    pub(crate) async fn options(&self, transport: Transport) -> Heard {
        self.attempt(async {
            let user = self.user("alice")?;
            let endpoint = self.endpoint_over("alice", transport).await?;
            let uri = format!("sip:{}", user.domain);
            let own = own(&endpoint, user, &uri, "OPTIONS", 1);
            let draft = Draft::new("OPTIONS", uri, own);
            Ok((endpoint, draft))
        })
        .await
    }

    /// Registers a user for so many seconds; without a number his bindings are only asked for.
    pub(crate) async fn register(&self, role: &str, expires: Option<u32>) -> Heard {
        if let (Registration::Command { .. }, Some(expires)) =
            (&self.agents.standing().registration, expires)
        {
            return self.bring(role, expires).await;
        }
        self.attempt(async {
            let user = self.user(role)?;
            let endpoint = self.endpoint(role).await?;
            let number = fastrand::u32(1..1_000_000);
            let mut own = own(&endpoint, user, &user.uri(), "REGISTER", number);
            let mut uri = format!("sip:{}", user.domain);
            let mut contact = endpoint.contact();
            if let Some((server, core)) = self.agents.as_core(&endpoint) {
                for (name, value) in &mut own {
                    if *name == "From" {
                        *value = format!("<{core}>;tag={}", agent::tag());
                    }
                }
                (uri, contact) = (server, core);
            }
            own.extend(self.agents.registering(&endpoint));
            if let Some(expires) = expires {
                own.push(("Contact", format!("<{contact}>")));
                own.push(("Expires", expires.to_string()));
            }
            let draft = Draft::new("REGISTER", uri, own);
            Ok((endpoint, draft))
        })
        .await
    }

    /// Has a program of the profile bring a user online, or offline.
    async fn bring(&self, role: &str, expires: u32) -> Heard {
        let brought = async {
            let user = self.user(role)?;
            let endpoint = self.endpoint(role).await?;
            let expires = expires.to_string();
            let (account, contact) = (user.uri(), endpoint.contact());
            let brought = self.instance.bring(&account, &contact, &expires);
            brought.await.map_err(|why| why.to_string())
        };
        match brought.await {
            Ok(()) => Heard {
                done: true,
                ..Heard::default()
            },
            Err(why) => Heard {
                no_way: Some(why),
                ..Heard::default()
            },
        }
    }

    /// Sends a message in pager mode.
    pub(crate) async fn message(&self, from: &str, to: &str, text: &str) -> Heard {
        self.attempt(async {
            let (sender, recipient) = (self.user(from)?, self.user(to)?);
            let endpoint = self.endpoint(from).await?;
            let uri = recipient.uri();
            let mut own = own(&endpoint, sender, &uri, "MESSAGE", 1);
            own.extend(self.agents.opening(&endpoint, sender, true));
            own.push(("Content-Type", "text/plain".to_owned()));
            let draft = Draft::new("MESSAGE", uri, own).body(text.as_bytes().to_vec());
            Ok((endpoint, draft))
        })
        .await
    }

    /// Sends one request and waits for the last that comes back for it.
    async fn attempt(
        &self,
        prepared: impl Future<Output = Result<(Arc<Endpoint>, Draft), String>>,
    ) -> Heard {
        let before = self.events();
        let (endpoint, draft) = match prepared.await {
            Ok(prepared) => prepared,
            Err(why) => return self.heard(before, Err(why)),
        };
        let out = Outgoing {
            step: "visit".to_owned(),
            octets: draft.octets(),
            copies: 1,
            retransmit: true,
            within: self.within,
            save: None,
            hop: None,
            credentials: Showing::Own,
            // The first request goes out bare: whether the server asks is worth knowing.
            guarded: false,
            call: None,
        };
        let ending = self.agents.transact(&endpoint, out).await;
        self.heard(before, ending)
    }

    /// How many events there are.
    pub(crate) fn events(&self) -> usize {
        self.agents.desk().trace().events.len()
    }

    /// What came since then for a request that ended so.
    pub(crate) fn heard(&self, since: usize, ending: Result<Ending, String>) -> Heard {
        let mut heard = Heard::default();
        match ending {
            Ok(Ending::Final { event, .. }) => heard.response = self.agents.response(event),
            Ok(Ending::Silence) => {}
            Err(why) => heard.no_way = Some(why),
        }
        let desk = self.agents.desk();
        for event in desk.trace().events.iter().skip(since) {
            match &event.kind {
                EventKind::Received(packet) => {
                    let Ok(message) = Message::parse(packet.octets.0.clone()) else {
                        continue;
                    };
                    match message.status() {
                        Some(..200) => heard.provisional = Some(status_line(&message)),
                        Some(401 | 407) => {
                            heard.challenges.push(challenge(&message));
                            heard.asked.get_or_insert(message);
                        }
                        _ => {}
                    }
                }
                EventKind::Note { text } => heard.notes.push(shown(text)),
                _ => {}
            }
        }
        heard
    }

    /// The message with this text that arrived, once it has.
    pub(crate) async fn delivered(&self, text: &str, within: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + within;
        let arrived = self.agents.until(deadline, |desk| {
            let mut events = desk.trace().events.iter();
            let found = events.any(|event| match &event.kind {
                EventKind::Received(packet) => {
                    let octets: &[u8] = &packet.octets.0;
                    octets.starts_with(b"MESSAGE ") && holds(octets, text)
                }
                _ => false,
            });
            found.then_some(())
        });
        arrived.await.is_some()
    }

    /// Closes all sockets.
    pub(crate) async fn leave(self) {
        self.agents.finish().await;
    }
}

/// The header fields of a request outside of any dialog.
pub(crate) fn own(
    endpoint: &Endpoint,
    from: &CaseUser,
    to: &str,
    method: &str,
    number: u32,
) -> Vec<(&'static str, String)> {
    vec![
        ("Via", endpoint.via()),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<{}>;tag={}", from.uri(), agent::tag())),
        ("To", format!("<{to}>")),
        ("Call-ID", agent::call_id()),
        ("CSeq", format!("{number} {method}")),
    ]
}

/// Whether a text stands somewhere in these octets.
pub(crate) fn holds(octets: &[u8], text: &str) -> bool {
    content::contains(octets, text.as_bytes())
}

/// What a server said, fit to be printed: one line, no control characters, not too long.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SHOWN)
        .collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    shown.trim().to_owned()
}

fn status_line(message: &Message) -> String {
    match message.start_line() {
        StartLine::Response { status, reason, .. } => {
            shown(&format!("{status} {}", String::from_utf8_lossy(reason)))
        }
        StartLine::Request { method, .. } => shown(method),
    }
}

/// The first challenge of a response that can be answered.
fn challenge(response: &Message) -> Option<Challenge> {
    ["WWW-Authenticate", "Proxy-Authenticate"]
        .into_iter()
        .flat_map(|name| response.headers_named(name))
        .flat_map(|field| AuthValue::parse_all(&field.value()).unwrap_or_default())
        .filter_map(|value| Challenge::read(&value).ok())
        .find(|challenge| challenge.supported().is_ok())
}

fn case(profile: &Profile) -> Result<Case, String> {
    let catalogue = bundled::catalogue().map_err(|why| why.to_string())?;
    let keys = crate::catalogue::PicsKeys::bundled().map_err(|why| why.to_string())?;
    // Who has fewer accounts has fewer users.
    let roles = ["dave", "carol", "bob"];
    let lacking = 4_usize.saturating_sub(profile.few().map_or(4, <[String]>::len));
    let users = roles
        .iter()
        .take(lacking)
        .fold(USERS.to_owned(), |users, role| {
            users.replace(&format!(", {role}: offline"), "")
        });
    let file = ScenarioFile {
        name: "visit.yaml".into(),
        text: users,
        files: Files::None,
    };
    let known = Known::new(&catalogue, &keys);
    let scenarios = load_suite(&[file], &known).map_err(|why| why.to_string())?;
    let context = plan::Context {
        pics: &profile.pics,
        settable: &profile.settable(),
        domain: &profile.pixit.domain,
        transport: profile.pixit.transport.as_str(),
        few: profile.few(),
        seed: fastrand::u64(..),
    };
    let plan = plan::plan(&scenarios, &Selection::all(), &context);
    let mut lanes = plan.lanes.into_iter();
    let case = lanes.find_map(|lane| lane.cases.into_iter().next());
    case.ok_or_else(|| "no users could be made for this profile".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_one_short_line() {
        assert_eq!(shown("a\r\n\u{1b}[31mb "), "a   [31mb");
        assert_eq!(shown(&"x".repeat(500)).chars().count(), SHOWN + 1);
    }

    #[test]
    fn a_text_is_found_anywhere() {
        assert!(holds(b"MESSAGE x\r\n\r\nhello", "hello"));
        assert!(!holds(b"hell", "hello"));
    }
}
