//! The relay of an agent (RFC 4976 §5.1): a connection to it for each session, also by WebSocket (RFC 7977), AUTH
//! with a digest, the Use-Path that it grants, and AUTH again before that runs out.

use std::sync::{Arc, Weak};
use std::time::Duration;

use imspec_reports::record::EventKind;
use imspec_wire::digest::{Asked, AuthValue, Challenge, Credentials, DigestError, Login, Qop};
use imspec_wire::msrp::{Builder, Head, Path, Uri};
use tokio::time::{sleep, timeout};

use super::super::Shared;
use super::super::sdp::{Ground, host_and_port};
use super::connection::{Connection, Ending};
use super::{Owner, Target, fresh, place_of, reach, scheme, tls, uri_at};
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
    let target = Target::of(relay);
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
    let own = own_uri(connection, id);
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
        // RFC 4975 §8.1 has the endpoint's own place there, and this one has none: that of its relay, as the examples
        // of RFC 7977 have it.
        told: connection
            .transport
            .is_websocket()
            .then(|| host_and_port(far)),
        secure: far.is_secure(),
        // Whoever connects to our path sees the relay's certificate, which has just proved itself to us. At the port
        // for WebSocket it may be another one than at the port of the path.
        fingerprint: match &connection.certificate {
            Some(certificate)
                if far.is_secure()
                    && relays.len() == 1
                    && (!relay.is_websocket() || place_of(far) == place_of(&relay.uri)) =>
            {
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

/// The URI of a session with that id. A client of WebSocket need not know its own address, and nobody connects to it
/// (RFC 7977, appendix A).
fn own_uri(connection: &Connection, id: &str) -> String {
    let secure = connection.transport.is_secure();
    if connection.transport.is_websocket() {
        format!("{}://{}.invalid:2855/{id};ws", scheme(secure), fresh())
    } else {
        uri_at(connection.local, id, secure)
    }
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
mod tests;
