//! The relay of an agent (RFC 4976 §5.1): a connection to it for each session, AUTH with a digest, the
//! Use-Path that it grants, and AUTH again before that runs out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use imspec_reports::record::EventKind;
use imspec_wire::digest::{Asked, AuthValue, Challenge, Credentials, DigestError, Login, Qop};
use imspec_wire::msrp::{Builder, Head, Path, Uri};
use tokio::time::{sleep, timeout};

use super::super::Shared;
use super::super::sdp::Ground;
use super::connection::{Connection, Ending};
use super::{Owner, Target, fresh, reach, tls, uri_at};
use crate::sut::profile::Relay;

/// Challenges that are answered in one go: the first one, and one more where the nonce was stale.
const CHALLENGES: usize = 2;

/// What a relay grants.
struct Granted {
    use_path: Path,
    /// How long it holds; `None`: the relay does not say.
    expires: Option<Duration>,
}

/// Goes behind the relay with a session of that id. `secure`: what the session has to be, where that matters.
pub(super) async fn join(
    shared: &Arc<Shared>,
    owner: &Owner,
    relay: &Relay,
    id: &str,
    secure: Option<bool>,
) -> Result<(Ground, Arc<Connection>), String> {
    let target = Target::of(&relay.uri);
    let connection = reach(shared, owner, shared.msrp.bind, target, None).await?;
    match enter(shared, &connection, relay, id, secure).await {
        Ok(ground) => Ok((ground, connection)),
        Err(why) => {
            connection.end(shared, Ending::Close, None).await;
            Err(format!("the relay {}: {why}", relay.uri))
        }
    }
}

async fn enter(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    relay: &Relay,
    id: &str,
    secure: Option<bool>,
) -> Result<Ground, String> {
    let own = uri_at(connection.local, id, connection.secure);
    let granted = authenticate(shared, connection, relay, &own).await?;
    let relays: Vec<Uri> = granted.use_path.iter().cloned().collect();
    // The first hop of whoever sends to us is the relay that is the farthest from us.
    let far = granted.use_path.last();
    if let Some(wanted) = secure.filter(|secure| *secure != far.is_secure()) {
        let wanted = if wanted { "msrps" } else { "msrp" };
        return Err(format!(
            "a session at `{wanted}:` is wanted, the Use-Path is {far}"
        ));
    }
    let path: Vec<&str> = relays.iter().rev().map(Uri::as_str).collect();
    let ground = Ground {
        path: format!("{} {own}", path.join(" ")),
        listens: connection.local,
        secure: far.is_secure(),
        // Whoever connects to our path sees the relay's certificate, which has just proved itself to us.
        fingerprint: match &connection.certificate {
            Some(certificate) if far.is_secure() && relays.len() == 1 => {
                Some(tls::fingerprint(certificate))
            }
            _ => None,
        },
        id: u64::from(fastrand::u32(..)),
        own: own.clone(),
        relays,
    };
    if granted.expires.is_some() {
        let (connection, relay) = (Arc::clone(connection), relay.clone());
        let task = tokio::spawn(renew(
            Arc::downgrade(shared),
            connection,
            relay,
            own,
            granted,
        ));
        shared.msrp.keep(&[task.abort_handle()]);
    }
    Ok(ground)
}

/// Sends AUTH again each time half of what was granted is over, as long as the connection stands.
async fn renew(
    shared: Weak<Shared>,
    connection: Arc<Connection>,
    relay: Relay,
    own: String,
    mut granted: Granted,
) {
    let kept = granted.use_path.clone();
    while let Some(expires) = granted.expires.filter(|expires| !expires.is_zero()) {
        tokio::select! {
            () = sleep(expires / 2) => {}
            () = connection.until_over() => return,
        }
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let note = |text: String| {
            shared.desk().note(None, EventKind::Note { text });
        };
        granted = match authenticate(&shared, &connection, &relay, &own).await {
            Ok(granted) => granted,
            Err(why) => {
                if connection.is_open() {
                    note(format!("the relay {} does not renew: {why}", relay.uri));
                }
                return;
            }
        };
        if !granted.use_path.equivalent(&kept) {
            note(format!(
                "the relay {} renews with another Use-Path; the session keeps the one that its SDP tells: {kept}",
                relay.uri
            ));
        }
    }
}

/// AUTH, the answer to its challenge, and what comes of it (RFC 4976 §5.1).
async fn authenticate(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    relay: &Relay,
    own: &str,
) -> Result<Granted, String> {
    let mut authorization = None;
    for round in 0..=CHALLENGES {
        let response = ask(shared, connection, relay, own, authorization.as_deref()).await?;
        match response.status() {
            Some(200) => return granted(&response),
            Some(401) if round == 0 || (round < CHALLENGES && is_stale(&response)) => {
                authorization = Some(credentials(shared, &response, relay)?);
            }
            Some(401) => {
                return Err(format!(
                    "AUTH: it does not take user `{}` with the password of the profile",
                    relay.user
                ));
            }
            _ => {
                let line = &response.as_bytes()[response.start_line_range()];
                let line = String::from_utf8_lossy(line);
                // Without `MSRP` and the transaction id.
                let status = line.trim_end().splitn(3, ' ').nth(2).unwrap_or_default();
                return Err(format!("AUTH was answered with `{status}`"));
            }
        }
    }
    Err("AUTH: one challenge follows the other".into())
}

/// Sends one AUTH and waits for its response.
async fn ask(
    shared: &Arc<Shared>,
    connection: &Arc<Connection>,
    relay: &Relay,
    own: &str,
    authorization: Option<&str>,
) -> Result<Head, String> {
    let transaction = fresh();
    let mut request = Builder::request("AUTH", &transaction)
        .to_path(relay.uri.as_str())
        .from_path(own);
    if let Some(credentials) = authorization {
        request = request.header("Authorization", credentials);
    }
    let octets = request.octets();
    let response = connection.ask(&transaction);
    {
        let mut writer = connection.writing().await;
        let kind = EventKind::Sent(connection.packet(octets.clone(), None));
        shared.desk().note(None, kind);
        connection.write(&mut writer, &octets).await?;
    }
    let within = shared.surroundings.timers.answer;
    let answered = async {
        tokio::select! {
            // A relay may answer and hang up: what it said counts.
            biased;
            response = response => response.map_err(|_| "nobody reads the connection".to_owned()),
            () = connection.until_over() => Err("the connection was ended before AUTH was answered".into()),
        }
    };
    match timeout(within, answered).await {
        Ok(answered) => answered,
        Err(_) => Err(format!(
            "no response to AUTH within {} ms",
            within.as_millis()
        )),
    }
}

fn granted(response: &Head) -> Result<Granted, String> {
    let use_path = match response.use_path() {
        Some(Ok(path)) => path,
        Some(Err(why)) => return Err(format!("the Use-Path cannot be read: {why}")),
        None => return Err("200 to AUTH has no Use-Path".into()),
    };
    let expires = match response.expires() {
        None => None,
        Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
        Some(Err(why)) => return Err(format!("the Expires of 200 to AUTH cannot be read: {why}")),
    };
    Ok(Granted { use_path, expires })
}

/// The answer to the first challenge that can be answered (RFC 7616 §3.7: the relay's order counts).
fn credentials(shared: &Shared, response: &Head, relay: &Relay) -> Result<String, String> {
    let mut trouble = "401 to AUTH has no WWW-Authenticate".to_owned();
    for field in response.headers_named("WWW-Authenticate") {
        let values = match AuthValue::parse_all(field.value()) {
            Ok(values) => values,
            Err(why) => {
                trouble = format!("the challenge cannot be read: {why}");
                continue;
            }
        };
        for value in values {
            match answer(shared, &value, relay) {
                Ok(credentials) => return Ok(credentials.to_string()),
                Err(why) => trouble = format!("the challenge cannot be answered: {why}"),
            }
        }
    }
    Err(trouble)
}

fn answer(shared: &Shared, value: &AuthValue, relay: &Relay) -> Result<Credentials, DigestError> {
    let challenge = Challenge::read(value)?;
    match challenge.protection()? {
        Some(Qop::Auth) => {}
        // RFC 4976 §9.1: there is always a qop, and it never is auth-int alone.
        Some(Qop::AuthInt) => return Err(DigestError::Qop("auth-int".into())),
        None => return Err(DigestError::Missing("qop")),
    }
    let login = Login {
        user: &relay.user,
        password: &relay.password,
    };
    let asked = Asked {
        method: "AUTH",
        uri: relay.uri.as_str(),
        body: b"",
    };
    // One request for each nonce: the count never rises above one.
    let credentials = challenge.answer(login, asked, 1, &fresh())?;
    shared.desk().secrets().digest(&credentials.response);
    Ok(credentials)
}

/// Whether only the nonce was too old.
fn is_stale(response: &Head) -> bool {
    response
        .headers_named("WWW-Authenticate")
        .filter_map(|field| AuthValue::parse_all(field.value()).ok())
        .flatten()
        .any(|value| Challenge::read(&value).is_ok_and(|challenge| challenge.stale))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::time::Instant;

    use imspec_reports::record::trace::Packet;
    use imspec_wire::msrp::{Frame, Limits};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::super::{Conduct, Session, open};
    use std::collections::BTreeMap;

    use super::*;
    use crate::agent::{Agents, Stamp, Surroundings};
    use crate::catalogue::{Catalogue, PicsKeys};
    use crate::link::{Dialer, Transport};
    use crate::plan::{self, Selection};
    use crate::scenario::load::{Files, ScenarioFile, load_suite};
    use crate::scenario::{Case, Known};
    use crate::sut::profile::{Msrp, Timers};

    const CHALLENGE: &str = "Digest realm=\"relay\", nonce=\"n1\", qop=\"auth\"";

    /// A relay that says what a test wants it to say.
    struct Script {
        listener: TcpListener,
        uri: String,
    }

    /// The script's end of a connection.
    struct Client {
        stream: TcpStream,
        read: Vec<u8>,
    }

    impl Script {
        async fn listen() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let uri = format!("msrp://{};tcp", listener.local_addr().unwrap());
            Self { listener, uri }
        }

        async fn client(&self) -> Client {
            let (stream, _) = self.listener.accept().await.unwrap();
            Client {
                stream,
                read: Vec::new(),
            }
        }

        fn agents(&self) -> Agents {
            let msrp = Msrp {
                relay: Some(Relay {
                    uri: self.uri.parse().unwrap(),
                    user: "alice".into(),
                    password: "s3cret".into(),
                }),
                ..Msrp::default()
            };
            let surroundings = Surroundings {
                targets: BTreeMap::new(),
                dialer: Dialer::plain([127, 0, 0, 1].into()),
                timers: Timers::default(),
                msrp: Arc::new(msrp),
                logins: None,
                nonce_life: None,
                standing: Arc::default(),
                scscf: None,
            };
            let stamp = Stamp {
                begun: Instant::now(),
                store: Arc::new(|| None),
            };
            Agents::new(Arc::new(case()), stamp, surroundings)
        }
    }

    impl Client {
        /// The next frame; `None` once the connection is closed.
        async fn frame(&mut self) -> Option<Frame> {
            let mut buffer = [0; 4096];
            loop {
                let found = self.read.windows(3).enumerate().find_map(|(at, octets)| {
                    let read = &self.read[..at + 3];
                    (octets == b"$\r\n")
                        .then(|| Frame::parse(read.to_vec(), &Limits::default()).ok())
                        .flatten()
                        .map(|frame| (at + 3, frame))
                });
                if let Some((length, frame)) = found {
                    self.read.drain(..length);
                    return Some(frame);
                }
                match self.stream.read(&mut buffer).await.unwrap() {
                    0 => return None,
                    length => self.read.extend_from_slice(&buffer[..length]),
                }
            }
        }

        async fn answer(&mut self, request: &Frame, line: &str, fields: &[(&str, &str)]) {
            let (id, path) = (request.transaction_id(), request.from_path().unwrap());
            let own = request.to_path().unwrap();
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let head = format!("MSRP {id} {line}\r\nTo-Path: {path}\r\nFrom-Path: {own}\r\n");
            let frame = format!("{head}{}-------{id}$\r\n", fields.concat());
            self.say(&frame).await;
        }

        async fn say(&mut self, octets: &str) {
            self.stream.write_all(octets.as_bytes()).await.unwrap();
        }

        /// Challenges, and grants what the digest asks for.
        async fn grant(&mut self, use_path: &str, expires: &str) -> Frame {
            let first = self.frame().await.unwrap();
            assert_eq!(first.method().unwrap().as_str(), "AUTH");
            assert!(first.authorization().is_none());
            let challenge = [("WWW-Authenticate", CHALLENGE)];
            self.answer(&first, "401 Unauthorized", &challenge).await;
            let second = self.frame().await.unwrap();
            assert_ne!(first.transaction_id(), second.transaction_id());
            let fields = [("Use-Path", use_path), ("Expires", expires)];
            self.answer(&second, "200 OK", &fields).await;
            second
        }
    }

    /// A case of any scenario: agents belong to one.
    fn case() -> Case {
        let text = "id: PG-99\ntitle: Test\npurpose: A test of a relay.\ncovers: [DM-STORE-01]\n\
                    users: { alice: offline }\nsteps:\n  - wait: 1s\n";
        let file = ScenarioFile {
            name: "PG-99.yaml".into(),
            text: text.into(),
            files: Files::None,
        };
        let known = Known::new(
            &Catalogue::bundled().unwrap(),
            &PicsKeys::bundled().unwrap(),
        );
        let scenarios = load_suite(&[file], &known).unwrap_or_else(|e| panic!("{e}"));
        let context = plan::Context {
            pics: &std::collections::BTreeMap::new(),
            settable: &std::collections::BTreeSet::new(),
            domain: "example.org",
            transport: Transport::Udp.as_str(),
            few: None,
            seed: 1,
        };
        let plan = plan::plan(&scenarios, &Selection::all(), &context);
        plan.lanes.into_iter().next().unwrap().cases.remove(0)
    }

    async fn session(agents: &Agents) -> Result<Arc<Session>, String> {
        let owner = Owner {
            user: "alice".into(),
            device: "phone".into(),
        };
        open(&agents.shared, owner, None, Conduct::default()).await
    }

    /// What AUTH comes to, where the relay answers it so.
    async fn refused(answers: &[(&str, &[(&str, &str)])]) -> String {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            for (line, fields) in answers {
                let request = client.frame().await.unwrap();
                client.answer(&request, line, fields).await;
            }
            assert!(client.frame().await.is_none(), "the agent hangs up");
        };
        let (why, ()) = tokio::join!(async { session(&agents).await.unwrap_err() }, relay);
        why.replace(&script.uri, "msrp://relay;tcp")
    }

    fn frames(agents: &Agents) -> Vec<String> {
        let line = |way: &str, packet: &Packet| {
            let frame = String::from_utf8_lossy(&packet.octets).into_owned();
            let mut words = frame.split_whitespace().skip(2);
            format!("{way} {}", words.next().unwrap_or_default())
        };
        let desk = agents.desk();
        let events = desk.trace().events.iter();
        events
            .filter_map(|event| match &event.kind {
                EventKind::Sent(packet) => Some(line("sent", packet)),
                EventKind::Received(packet) => Some(line("received", packet)),
                _ => None,
            })
            .collect()
    }

    #[tokio::test]
    async fn a_session_goes_the_way_that_its_relay_grants() {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            let way = "msrp://in.example.org:9000/a1;tcp msrp://out.example.org:9000/b2;tcp";
            let auth = client.grant(way, "900").await;
            (client, auth)
        };
        let (session, (client, auth)) =
            tokio::join!(async { session(&agents).await.unwrap() }, relay);
        let own = session.ground().own.clone();
        let agent = client.stream.peer_addr().unwrap();
        assert!(own.starts_with(&format!("msrp://{agent}/")), "{own}");
        assert_eq!(auth.to_path().unwrap().to_string(), script.uri);
        assert_eq!(auth.from_path().unwrap().to_string(), own);
        let credentials = AuthValue::parse_all(auth.authorization().unwrap()).unwrap();
        let credentials = Credentials::read(&credentials[0]).unwrap();
        assert_eq!(
            (credentials.username.as_str(), &credentials.uri),
            ("alice", &script.uri)
        );
        assert!(credentials.proves("s3cret", "AUTH", b""));
        // RFC 4976 §5.1: reversed for the other end, as granted for ourselves.
        assert_eq!(
            session.ground().path,
            format!("msrp://out.example.org:9000/b2;tcp msrp://in.example.org:9000/a1;tcp {own}")
        );
        let (to, from) = session.paths();
        assert_eq!(
            to,
            "msrp://in.example.org:9000/a1;tcp msrp://out.example.org:9000/b2;tcp"
        );
        assert_eq!(from, own);
        assert_eq!(
            frames(&agents),
            ["sent AUTH", "received 401", "sent AUTH", "received 200"]
        );
    }

    #[tokio::test]
    async fn answers_go_to_the_relay_and_reports_the_whole_way_back() {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            client
                .grant("msrp://relay.example.org:2855/a1;tcp", "900")
                .await;
            client
        };
        let (session, mut client) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
        let own = session.ground().own.clone();
        let path = "msrp://relay.example.org:2855/a1;tcp msrp://server.example.org:2855/s;tcp";
        client
            .say(&format!(
                "MSRP d93kswow SEND\r\nTo-Path: {own}\r\nFrom-Path: {path}\r\nMessage-ID: 12339sdqwer\r\n\
                 Byte-Range: 1-2/2\r\nSuccess-Report: yes\r\nContent-Type: text/plain\r\n\r\nHi\r\n-------d93kswow$\r\n"
            ))
            .await;
        let answer = client.frame().await.unwrap();
        assert_eq!(answer.status(), Some(200));
        let hop = "msrp://relay.example.org:2855/a1;tcp";
        assert_eq!(answer.to_path().unwrap().to_string(), hop);
        assert_eq!(answer.from_path().unwrap().to_string(), own);
        let report = client.frame().await.unwrap();
        assert_eq!(report.method().unwrap().as_str(), "REPORT");
        assert_eq!(report.to_path().unwrap().to_string(), path);
        assert_eq!(report.from_path().unwrap().to_string(), own);
    }

    #[tokio::test]
    async fn what_is_granted_is_asked_for_again_in_time() {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            let way = "msrp://relay.example.org:2855/a1;tcp";
            client.grant(way, "1").await;
            client.grant(way, "1").await;
            client
                .grant("msrp://relay.example.org:2855/other;tcp", "900")
                .await;
            client
        };
        let (session, client) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
        // The last grant is told once it has been read.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let told = agents.until(deadline, |desk| {
            let mut events = desk.trace().events.iter();
            events.find_map(|event| match &event.kind {
                EventKind::Note { text } => Some(text.clone()),
                _ => None,
            })
        });
        let told = told.await.unwrap();
        assert!(told.contains("renews with another Use-Path"), "{told}");
        assert!(session.ground().path.contains("/a1;tcp"));
        assert!(session.connection().is_some());
        drop(client);
    }

    #[tokio::test]
    async fn why_a_relay_is_of_no_use_is_said() {
        let challenge: &[(&str, &str)] = &[("WWW-Authenticate", CHALLENGE)];
        let stale: &[(&str, &str)] = &[(
            "WWW-Authenticate",
            "Digest realm=\"relay\", nonce=\"n2\", qop=\"auth\", stale=true",
        )];
        let unauthorized = "401 Unauthorized";
        let all = [
            refused(&[(unauthorized, challenge), (unauthorized, challenge)]).await,
            // A stale nonce is answered once more, and no oftener.
            refused(&[
                (unauthorized, challenge),
                (unauthorized, stale),
                (unauthorized, stale),
            ])
            .await,
            refused(&[("403 Forbidden", &[])]).await,
            refused(&[(unauthorized, &[])]).await,
            refused(&[(unauthorized, &[("WWW-Authenticate", "Basic realm=\"r\"")])]).await,
            refused(&[("200 OK", &[])]).await,
            refused(&[("200 OK", &[("Use-Path", "http://relay/")])]).await,
            refused(&[(
                "200 OK",
                &[("Use-Path", "msrp://r:1/a;tcp"), ("Expires", "soon")],
            )])
            .await,
        ];
        insta::assert_snapshot!(all.join("\n"));
    }

    #[tokio::test]
    async fn a_relay_that_hangs_up_grants_nothing() {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            client.frame().await.unwrap();
            drop(client);
        };
        let (why, ()) = tokio::join!(async { session(&agents).await.unwrap_err() }, relay);
        assert!(
            why.contains("the connection was ended before AUTH was answered"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn a_connection_that_is_over_is_not_replaced_in_silence() {
        let script = Script::listen().await;
        let agents = script.agents();
        let relay = async {
            let mut client = script.client().await;
            client
                .grant("msrp://relay.example.org:2855/a1;tcp", "900")
                .await;
        };
        let (session, ()) = tokio::join!(async { session(&agents).await.unwrap() }, relay);
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        let over = agents.until(deadline, |_| session.connection().is_none().then_some(()));
        over.await.unwrap();
        let within = Duration::from_millis(1);
        let again = super::super::connection(&agents.shared, &session, None, within).await;
        assert!(again.unwrap_err().contains("RFC 4976 §6.3"));
    }
}
