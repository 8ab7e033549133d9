//! Agents that are asked who they are (RFC 3261 §22, RFC 8760): what they answer, how often, and what the trace
//! tells of it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use imspec_reports::record::{Outcome, Trace};
use imspec_wire::digest::{AuthValue, Credentials};
use imspec_wire::sip::typed::{CSeq, Via};
use imspec_wire::sip::{Builder, Message};
use tokio::net::UdpSocket;

use super::{kinds, outcome, profile, sent, text, trace_of};

/// What a server says to the requests of one branch, in their order: status, and header fields.
type Answers = Vec<(u16, Vec<(&'static str, String)>)>;

/// A server that says what it was told to say; the last answer holds for ever. It ends with the test's runtime.
struct Script {
    local: SocketAddr,
    /// What came, without repetitions.
    came: Arc<Mutex<Vec<Message>>>,
}

impl Script {
    async fn start(answers: Answers) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let local = socket.local_addr().unwrap();
        let came: Arc<Mutex<Vec<Message>>> = Arc::default();
        let own = Arc::clone(&came);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let request = Message::parse(buffer[..length].to_vec()).unwrap();
                let method = request.method().unwrap().to_owned();
                if method == "ACK" {
                    continue;
                }
                if method == "OPTIONS" {
                    let answer = Builder::response_to(&request, 200, "OK", Some("t")).octets();
                    socket.send_to(&answer, from).await.unwrap();
                    continue;
                }
                let place = {
                    let mut came = own.lock().unwrap();
                    match came
                        .iter()
                        .position(|known| branch(known) == branch(&request))
                    {
                        Some(place) => place,
                        None => {
                            came.push(request.clone());
                            came.len() - 1
                        }
                    }
                };
                let (status, fields) = &answers[place.min(answers.len() - 1)];
                let mut answer = Builder::response_to(&request, *status, "As Told", Some("t"));
                for (name, value) in fields {
                    answer = answer.header(name, value);
                }
                socket.send_to(&answer.octets(), from).await.unwrap();
            }
        });
        Self { local, came }
    }

    fn came(&self) -> Vec<Message> {
        self.came.lock().unwrap().clone()
    }

    async fn trace(&self, accounts: &str, steps: &str) -> Trace {
        let profile = profile(&format!(
            "name: script\nsut: {{ product: script }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\n  \
             accounts: {{ provision: none{accounts} }}\n  timers: {{ t1: 20ms, answer: 5s, quiet: 50ms }}\n",
            self.local
        ));
        let users = "users: { alice: offline, bob: offline }";
        trace_of(&profile, &format!("{users}\nsteps:\n{steps}")).await
    }
}

fn branch(message: &Message) -> String {
    let via = message.typed::<Via>().unwrap().unwrap();
    via.branch().unwrap().to_owned()
}

fn number(message: &Message) -> u32 {
    message.typed::<CSeq>().unwrap().unwrap().number
}

fn credentials(message: &Message, name: &str) -> Option<Credentials> {
    let field = message.header(name)?;
    let values = AuthValue::parse_all(&field.value()).unwrap();
    Some(Credentials::read(&values[0]).unwrap())
}

fn asks(name: &'static str, nonce: &str, more: &str) -> (&'static str, String) {
    let value = format!("Digest realm=\"example.org\", nonce=\"{nonce}\", qop=\"auth\"{more}");
    (name, value)
}

const PASSWORD: &str = ", password: \"s3cret-of-${user}\"";
const MESSAGE: &str = "  - message: { from: alice, to: bob, body: \"Hi\" }\n";

#[tokio::test]
async fn a_challenge_is_answered_by_a_new_request_of_the_same_call() {
    let challenges = vec![
        asks("Proxy-Authenticate", "n1", ", algorithm=SHA-1"),
        asks(
            "Proxy-Authenticate",
            "n1",
            ", algorithm=SHA-256, opaque=\"o\"",
        ),
        asks("Proxy-Authenticate", "n1", ", algorithm=MD5"),
    ];
    let script = Script::start(vec![(407, challenges), (202, vec![])]).await;
    let steps = format!("{MESSAGE}{MESSAGE}");
    let trace = script.trace(PASSWORD, &steps).await;
    assert_eq!(
        outcome(&trace, "steps[1]"),
        &Outcome::Done,
        "{:#?}",
        kinds(&trace)
    );
    let came = script.came();
    assert_eq!(came.len(), 3, "{:#?}", kinds(&trace));
    assert!(came[0].header("Proxy-Authorization").is_none());
    assert_eq!(
        (number(&came[0]), number(&came[1])),
        (1, 2),
        "RFC 3261 §22.2"
    );
    for name in ["Call-ID", "From", "To"] {
        assert_eq!(
            came[0].header(name).unwrap().line(),
            came[1].header(name).unwrap().line()
        );
    }
    assert_eq!(came[0].body(), came[1].body());
    let first = credentials(&came[1], "Proxy-Authorization").unwrap();
    assert_eq!(first.algorithm.as_deref(), Some("SHA-256"), "RFC 8760 §2.4");
    assert_eq!(first.opaque.as_deref(), Some("o"));
    assert_eq!(first.uri.as_bytes(), came[1].request_uri().unwrap());
    assert_eq!(first.number(), Ok(Some(1)));
    let password = format!("s3cret-of-{}", first.username);
    assert!(first.proves(&password, "MESSAGE", b"Hi"));
    // The next one shows at once what is known to be wanted, and counts.
    let second = credentials(&came[2], "Proxy-Authorization").unwrap();
    assert_eq!((number(&came[2]), second.number()), (1, Ok(Some(2))));
    assert!(second.proves(&password, "MESSAGE", b"Hi"));
    for packet in sent(&trace) {
        let text = text(packet);
        assert!(
            !text.contains(&first.response) && !text.contains(&second.response),
            "{text}"
        );
        assert_eq!(
            text.contains("Proxy-Authorization"),
            text.contains(&format!("response=\"{}\"", "*".repeat(64)))
        );
    }
}

#[tokio::test]
async fn who_is_not_believed_asks_no_more() {
    let wrong = vec![asks("WWW-Authenticate", "n1", "")];
    let stale = |nonce: &str| vec![asks("WWW-Authenticate", nonce, ", stale=true")];
    for (answers, requests) in [
        (vec![(401, wrong.clone())], 2),
        (
            vec![(401, wrong.clone()), (401, stale("n2")), (401, stale("n3"))],
            3,
        ),
        (vec![(401, wrong.clone()), (403, vec![])], 2),
        (vec![(401, vec![])], 1),
        (
            vec![(401, vec![("WWW-Authenticate", "Basic realm=\"x\"".into())])],
            1,
        ),
        (
            vec![(401, vec![("WWW-Authenticate", "Digest realm=\"x".into())])],
            1,
        ),
    ] {
        let told = format!("{answers:?}");
        let script = Script::start(answers).await;
        let trace = script.trace(PASSWORD, MESSAGE).await;
        assert_eq!(
            script.came().len(),
            requests,
            "{told}\n{:#?}",
            kinds(&trace)
        );
    }
}

#[tokio::test]
async fn a_proxy_and_the_server_behind_it_may_both_ask() {
    let answers = vec![
        (407, vec![asks("Proxy-Authenticate", "p", "")]),
        (401, vec![asks("WWW-Authenticate", "s", "")]),
        (202, vec![]),
    ];
    let script = Script::start(answers).await;
    let trace = script.trace(PASSWORD, MESSAGE).await;
    assert_eq!(
        outcome(&trace, "steps[0]"),
        &Outcome::Done,
        "{:#?}",
        kinds(&trace)
    );
    let last = script.came().pop().unwrap();
    assert_eq!(
        credentials(&last, "Proxy-Authorization").unwrap().nonce,
        "p"
    );
    assert_eq!(credentials(&last, "Authorization").unwrap().nonce, "s");
}

#[tokio::test]
async fn a_profile_without_passwords_is_told_what_it_lacks() {
    let script = Script::start(vec![(401, vec![asks("WWW-Authenticate", "n", "")])]).await;
    let why = |trace: &Trace| match outcome(trace, "steps[0]") {
        Outcome::Impossible { why } => why.clone(),
        other => panic!("{other:?}"),
    };
    let expecting = "  - message: { from: alice, to: bob, body: x, expect: { status: 202 } }\n";
    for steps in ["  - register: alice\n", expecting] {
        let trace = script.trace("", steps).await;
        assert!(
            why(&trace).contains("give `pixit.accounts.password`"),
            "{}",
            why(&trace)
        );
    }
    let trace = script.trace(PASSWORD, expecting).await;
    assert!(
        why(&trace).contains("does not take the credentials of `alice` (401)"),
        "{}",
        why(&trace)
    );
    // Where it is what the scenario is about, it is a status like others.
    let wanted = "  - message: { from: alice, to: bob, body: x, expect: { status: 401 } }\n";
    let trace = script.trace("", wanted).await;
    assert_eq!(outcome(&trace, "steps[0]"), &Outcome::Done);
}

#[tokio::test]
async fn credentials_are_what_a_step_makes_of_them() {
    let challenge = || vec![asks("WWW-Authenticate", "n", "")];
    let shown = async |choice: &str| {
        let script = Script::start(vec![(401, challenge()), (403, vec![])]).await;
        let step = format!(
            "  - register: {{ user: alice, credentials: {choice}, expect: {{ status: [401, 403] }} }}\n"
        );
        let trace = script.trace(PASSWORD, &step).await;
        (script.came(), trace)
    };
    let (came, _) = shown("none").await;
    assert_eq!(came.len(), 1);
    let of = |came: &[Message]| credentials(&came[1], "Authorization").unwrap();
    let (came, _) = shown("{ password: guess }").await;
    assert!(of(&came).proves("guess", "REGISTER", b""));
    let (came, _) = shown("{ of: bob }").await;
    assert!(of(&came).username.starts_with("bob"));
    let (came, _) = shown("{ nonce: forged }").await;
    assert_eq!(of(&came).nonce, "forged");
    let (came, _) = shown("{ uri: \"sip:x@y.example\", algorithm: SHA-512-256 }").await;
    let made = of(&came);
    assert_eq!(
        (made.uri.as_str(), made.algorithm.as_deref()),
        ("sip:x@y.example", Some("SHA-512-256"))
    );
    assert!(made.proves(&format!("s3cret-of-{}", made.username), "REGISTER", b""));
    let (came, trace) = shown("{ scheme: basic }").await;
    let field = came[1].header("Authorization").unwrap().text().into_owned();
    let token = field.strip_prefix("Basic ").unwrap();
    assert!(
        sent(&trace)
            .iter()
            .all(|packet| !text(packet).contains(token))
    );
}

#[tokio::test]
async fn credentials_of_before_come_again_as_they_were() {
    let answers = vec![
        (401, vec![asks("WWW-Authenticate", "n", "")]),
        (200, vec![]),
    ];
    let script = Script::start(answers).await;
    let steps = "  - register: { user: alice, save: first }\n  \
                 - register: { user: alice, credentials: { replay: first } }\n  \
                 - register: { user: alice, credentials: { nonce-of: first } }\n  \
                 - register: alice\n";
    let trace = script.trace(PASSWORD, steps).await;
    let came = script.came();
    assert_eq!(came.len(), 5, "{:#?}", kinds(&trace));
    let field = |place: usize| {
        came[place]
            .header("Authorization")
            .unwrap()
            .text()
            .into_owned()
    };
    assert_eq!(field(1), field(2));
    let number_of = |place: usize| credentials(&came[place], "Authorization").unwrap().number();
    assert_eq!((number_of(3), number_of(4)), (Ok(Some(2)), Ok(Some(3))));
    let numbers: Vec<u32> = came.iter().map(number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5], "RFC 3261 §10.2");
    let free = Script::start(vec![(200, vec![])]).await;
    let trace = free.trace(PASSWORD, steps).await;
    assert!(
        matches!(outcome(&trace, "steps[1]"), Outcome::Impossible { why } if why.contains("did not ask"))
    );
}

#[tokio::test]
async fn an_invite_goes_again_and_its_challenge_is_acknowledged() {
    let answers = vec![
        (407, vec![asks("Proxy-Authenticate", "n", "")]),
        (486, vec![]),
    ];
    let script = Script::start(answers).await;
    let step = "  - invite: { from: alice, to: bob, expect: { status: 486 } }\n";
    let trace = script.trace(PASSWORD, step).await;
    assert_eq!(
        outcome(&trace, "steps[0]"),
        &Outcome::Done,
        "{:#?}",
        kinds(&trace)
    );
    let came = script.came();
    assert_eq!((number(&came[0]), number(&came[1])), (1, 2));
    let acks = sent(&trace)
        .into_iter()
        .filter(|packet| text(packet).starts_with("ACK"));
    assert_eq!(acks.count(), 2);
}
