//! REGISTER: who can be reached where (RFC 3261 §10.3).

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{
    CSeq, Contact, Expires, From as FromField, NameAddr, Path, SipDate, To, TypedHeader as _, Uri,
};
use tokio::sync::Mutex;

use crate::account::Addressee;
use crate::clock::Timestamp;
use crate::config::RegistrarConfig;
use crate::context::Context;
use crate::guard;
use crate::response::Reply;
use crate::store::{Binding, StoreError};
use crate::transport::Flow;

/// A lifetime that cannot be read counts as an hour (RFC 3261 §10.2.1.1, §20.10).
const MALFORMED_EXPIRES: u32 = 3600;

/// Keeps bindings.
pub(crate) struct Registrar {
    context: Arc<Context>,
    /// One REGISTER at a time for an account: each reads the bindings before it writes them. Accounts
    /// share a lock by hash, so that their number costs nothing.
    turns: Vec<Mutex<()>>,
    hash: RandomState,
}

/// How a REGISTER ended.
#[derive(Debug)]
pub(crate) struct Registered {
    pub(crate) reply: Reply,
    /// The account whose bindings were changed, and whether one of them was made or refreshed.
    pub(crate) changed: Option<(String, bool)>,
}

impl Registered {
    fn refused(reply: Reply) -> Self {
        Self {
            reply,
            changed: None,
        }
    }
}

impl From<StoreError> for Registered {
    fn from(error: StoreError) -> Self {
        Self::refused(match error {
            StoreError::Busy => Reply::overloaded(),
            StoreError::Closed | StoreError::Failed(_) => Reply::new(500),
        })
    }
}

/// What a REGISTER asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wish {
    call_id: String,
    cseq: u32,
    source: String,
    /// The user whom the core registers.
    target: Option<String>,
    /// Proxies through which the contact is reached.
    path: Vec<String>,
    change: Change,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Change {
    /// No Contact: only asks.
    Query,
    /// `Contact: *` with `Expires: 0`
    RemoveAll,
    /// Contacts with the lifetime that each gets, 0 for removal.
    Update(Vec<Wanted>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    contact: String,
    uri: Uri,
    q: Option<String>,
    seconds: u32,
}

impl Registrar {
    pub(crate) fn new(context: Arc<Context>) -> Self {
        let turns = (0..64).map(|_| Mutex::new(())).collect();
        Self {
            context,
            turns,
            hash: RandomState::new(),
        }
    }

    /// Answers a REGISTER.
    pub(crate) async fn register(&self, request: &Message, flow: &Flow) -> Registered {
        let (account, by_core) = match self.address_of_record(request, flow).await {
            Ok(found) => found,
            Err(refused) => return refused,
        };
        let core = by_core.then_some(account.as_str());
        let wish = match wish(request, &self.context.config.registrar, flow, core) {
            Ok(wish) => wish,
            Err(reply) => return Registered::refused(reply),
        };
        let turn = usize::try_from(self.hash.hash_one(&account) % 64).unwrap_or(0);
        let Some(turn) = self.turns.get(turn) else {
            return Registered::refused(Reply::new(500));
        };
        let _turn = turn.lock().await;
        let context = &self.context;
        let now = context.now();
        let mut bindings = match context.parts.store.bindings(&account).await {
            Ok(bindings) => bindings,
            Err(error) => return error.into(),
        };
        bindings.retain(|binding| binding.expires_at > now);
        if wish.change == Change::Query {
            return Registered {
                reply: listing(&bindings, now),
                changed: None,
            };
        }
        let most = context.config.registrar.max_contacts;
        let (bindings, refreshed) = match apply(bindings, &wish, now, most) {
            Ok(applied) => applied,
            Err(reply) => return Registered::refused(reply),
        };
        if let Err(error) = context
            .parts
            .store
            .set_bindings(&account, bindings.clone())
            .await
        {
            return error.into();
        }
        // RFC 3327 §5.3: who asked learns by which way he is reached.
        let reply = wish
            .path
            .iter()
            .fold(listing(&bindings, now), |reply, hop| {
                reply.with("Path", hop.clone())
            });
        Registered {
            reply,
            changed: Some((account, refreshed)),
        }
    }

    /// Steps 1 and 3 to 5: the domain must be served here, the sender must show that he may do it, and the
    /// user must exist. Tells besides whether the operator's core registers him.
    async fn address_of_record(
        &self,
        request: &Message,
        flow: &Flow,
    ) -> Result<(String, bool), Registered> {
        let context = &self.context;
        let refuse = |status| Err(Registered::refused(Reply::new(status)));
        match context
            .domains
            .addressee(request.request_uri().unwrap_or_default())
        {
            Addressee::Domain | Addressee::User(_) => {}
            Addressee::Foreign if self.names_this_server(request) => {}
            Addressee::Foreign => return refuse(403),
            Addressee::UnsupportedScheme => return refuse(416),
            Addressee::Malformed => return refuse(400),
        }
        let Some(Ok(to)) = request.typed::<To>() else {
            return refuse(400);
        };
        match context.domains.addressee(to.uri.to_string().as_bytes()) {
            Addressee::User(account) => {
                let core = &context.config.trust.core;
                let is_third_party = !core.is_empty() && is_third_party(request);
                let by_core = is_third_party && core.contains(&flow.remote.ip());
                if is_third_party && !by_core {
                    return Err(Registered::refused(Reply::because(403, "Not The Core")));
                }
                // Steps 3 and 4: before anything is told of the user. The core has seen to it already.
                if !by_core
                    && let Err(reply) = guard::registration(context, request, &account).await
                {
                    return Err(Registered::refused(reply));
                }
                match context.parts.store.has_account(&account).await {
                    Ok(true) => Ok((account, by_core)),
                    Ok(false) => refuse(404),
                    Err(error) => Err(error.into()),
                }
            }
            _ => refuse(404),
        }
    }

    /// Whether the Request-URI gives one of our own addresses: user agents that are configured with an
    /// address write it there.
    fn names_this_server(&self, request: &Message) -> bool {
        let uri = Uri::parse(request.request_uri().unwrap_or_default()).ok();
        let host = uri
            .as_ref()
            .and_then(Uri::as_sip)
            .map(|uri| uri.host.to_string());
        let own = |address: &std::net::SocketAddr| {
            let ip = address.ip();
            let ip = if ip.is_ipv6() {
                format!("[{ip}]")
            } else {
                ip.to_string()
            };
            host.as_deref() == Some(&ip)
        };
        let listen = &self.context.config.listen;
        let all = [
            &listen.udp,
            &listen.tcp,
            &listen.tls,
            &listen.ws,
            &listen.wss,
        ];
        all.into_iter().flatten().any(own)
    }
}

/// Whether somebody else registers the user (RFC 3261 §10.2, From).
fn is_third_party(request: &Message) -> bool {
    let (Some(Ok(from)), Some(Ok(to))) = (request.typed::<FromField>(), request.typed::<To>())
    else {
        return false;
    };
    !from.uri.equivalent(&to.uri)
}

/// What a REGISTER wants; `core`: the account, where the operator's core registers its user.
fn wish(
    request: &Message,
    config: &RegistrarConfig,
    flow: &Flow,
    core: Option<&str>,
) -> Result<Wish, Reply> {
    let cseq = match request.typed::<CSeq>() {
        Some(Ok(cseq)) => cseq.number,
        _ => return Err(Reply::new(400)),
    };
    let call_id = request
        .header("Call-ID")
        .map_or(String::new(), |field| field.text().into_owned());
    let expires = request.header(Expires::NAME).map(|field| {
        Expires::parse_value(&field.value()).map_or(MALFORMED_EXPIRES, |Expires(seconds)| seconds)
    });
    let contacts = request.typed_all::<Contact>();
    let has_star = contacts
        .iter()
        .any(|contact| matches!(contact, Ok(Contact::Star)));
    let change = if contacts.is_empty() {
        Change::Query
    } else if has_star {
        // Step 6: alone, and only to remove.
        if contacts.len() > 1 || expires != Some(0) {
            return Err(Reply::because(400, "Contact * Only Removes"));
        }
        Change::RemoveAll
    } else {
        let mut wanted = Vec::new();
        for contact in contacts {
            match contact {
                Ok(Contact::Address(address)) => wanted.push(want(&address, expires, config)?),
                Ok(Contact::Star) | Err(_) => return Err(Reply::because(400, "Bad Contact")),
            }
        }
        Change::Update(wanted)
    };
    Ok(Wish {
        call_id,
        cseq,
        source: flow.to_string(),
        target: core.map(str::to_owned),
        path: request
            .typed_all::<Path>()
            .into_iter()
            .flatten()
            .map(|hop| hop.to_string())
            .collect(),
        change,
    })
}

/// Step 7: the lifetime of one contact.
fn want(
    address: &NameAddr,
    header: Option<u32>,
    config: &RegistrarConfig,
) -> Result<Wanted, Reply> {
    let seconds = match address.params.get("expires") {
        Some(text) if text.bytes().all(|o| o.is_ascii_digit()) && !text.is_empty() => {
            // More than fits is more than is granted.
            text.parse().unwrap_or(u32::MAX)
        }
        Some(_) => MALFORMED_EXPIRES,
        None => header.unwrap_or(config.default_expires_s),
    };
    let least = config.min_expires_s;
    if seconds > 0 && seconds < 3600 && seconds < least {
        return Err(Reply::new(423).with("Min-Expires", least.to_string()));
    }
    Ok(Wanted {
        contact: address.uri.to_string(),
        uri: address.uri.clone(),
        q: address.params.get("q").map(str::to_owned),
        seconds: seconds.min(config.max_expires_s),
    })
}

/// The bindings after a REGISTER and whether it made or refreshed one; or the refusal, with nothing
/// changed: all of it or none (step 7).
fn apply(
    mut bindings: Vec<Binding>,
    wish: &Wish,
    now: Timestamp,
    most: usize,
) -> Result<(Vec<Binding>, bool), Reply> {
    // A request that was overtaken by a later one of the same agent must not undo it.
    let is_late = |binding: &Binding| binding.call_id == wish.call_id && wish.cseq <= binding.cseq;
    let late = || Reply::because(500, "CSeq Out Of Order");
    let wanted = match &wish.change {
        Change::Query => return Ok((bindings, false)),
        Change::RemoveAll if bindings.iter().any(is_late) => return Err(late()),
        Change::RemoveAll => return Ok((Vec::new(), false)),
        Change::Update(wanted) => wanted,
    };
    let mut refreshed = false;
    for wanted in wanted {
        let place = bindings.iter().position(|binding| {
            Uri::parse(binding.contact.as_bytes()).is_ok_and(|uri| uri.equivalent(&wanted.uri))
        });
        let old = place.map(|place| bindings.remove(place));
        let same_request = |old: &Binding| old.updated_at == now && old.call_id == wish.call_id;
        if old
            .as_ref()
            .is_some_and(|old| is_late(old) && !same_request(old))
        {
            return Err(late());
        }
        if wanted.seconds == 0 {
            continue;
        }
        refreshed = true;
        let bound_at = old.map_or(now, |old| old.bound_at);
        let binding = Binding {
            contact: wanted.contact.clone(),
            q: wanted.q.clone(),
            call_id: wish.call_id.clone(),
            cseq: wish.cseq,
            bound_at,
            updated_at: now,
            expires_at: now.plus_seconds(i64::from(wanted.seconds)),
            source: wish.source.clone(),
            target: wish.target.clone(),
            // An application server hands everything for the user to his S-CSCF (3GPP TS 24.229 §5.7.3).
            route: match &wish.target {
                Some(_) => vec![loose(&wanted.uri)],
                None => wish.path.clone(),
            },
        };
        match place {
            Some(place) => bindings.insert(place, binding),
            None => bindings.push(binding),
        }
    }
    if bindings.len() > most {
        return Err(Reply::because(403, "Too Many Contacts"));
    }
    Ok((bindings, refreshed))
}

/// A Route value that leads by that URI.
fn loose(uri: &Uri) -> String {
    let is_loose = uri.as_sip().is_some_and(|sip| sip.params.has("lr"));
    if is_loose {
        format!("<{uri}>")
    } else {
        format!("<{uri};lr>")
    }
}

/// Step 8: the 200 lists every binding with what is left of its life.
fn listing(bindings: &[Binding], now: Timestamp) -> Reply {
    let mut reply = Reply::new(200);
    for binding in bindings {
        let left = binding.expires_at.seconds_from(now);
        let q = binding
            .q
            .as_ref()
            .map_or(String::new(), |q| format!(";q={q}"));
        reply = reply.with(
            "Contact",
            format!("<{}>{q};expires={left}", binding.contact),
        );
    }
    reply.with(
        "Date",
        SipDate {
            unix_seconds: now.seconds(),
        }
        .format(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::sip::Builder;

    use super::*;
    use crate::transport::Protocol;

    const NOW: Timestamp = Timestamp::EPOCH;

    fn register(cseq: u32, fields: &[&str]) -> Result<Wish, Reply> {
        let mut builder = Builder::request("REGISTER", "sip:example.org")
            .header("Call-ID", "r1")
            .header("CSeq", format!("{cseq} REGISTER"));
        for field in fields {
            builder = builder.header_line(field);
        }
        let flow = Flow {
            protocol: Protocol::Udp,
            local: "127.0.0.1:5060".parse().unwrap(),
            remote: "127.0.0.1:4711".parse().unwrap(),
        };
        let config = RegistrarConfig {
            min_expires_s: 60,
            ..RegistrarConfig::default()
        };
        wish(&builder.build().unwrap(), &config, &flow, None)
    }

    fn applied(before: &[Binding], cseq: u32, fields: &[&str]) -> Result<Vec<String>, u16> {
        let later = NOW.plus_seconds(10);
        let wish = register(cseq, fields).map_err(|reply| reply.status())?;
        apply(before.to_vec(), &wish, later, 3)
            .map(|(bindings, _)| {
                bindings
                    .iter()
                    .map(|b| format!("{} {}", b.contact, b.expires_at.seconds_from(later)))
                    .collect()
            })
            .map_err(|reply| reply.status())
    }

    fn bound(contacts: &[&str]) -> Vec<Binding> {
        let fields: Vec<String> = contacts.iter().map(|c| format!("Contact: <{c}>")).collect();
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        apply(Vec::new(), &register(5, &fields).unwrap(), NOW, 9)
            .unwrap()
            .0
    }

    #[test]
    fn who_is_on_the_way_is_remembered() {
        let fields = [
            "Contact: <sip:bob@192.0.2.4>",
            "Path: <sip:p2.example.org;lr>, <sip:p1.example.org;lr;ob>",
        ];
        let wish = register(1, &fields).unwrap();
        let (bindings, _) = apply(Vec::new(), &wish, NOW, 3).unwrap();
        assert_eq!(
            bindings[0].route,
            ["<sip:p2.example.org;lr>", "<sip:p1.example.org;lr;ob>"]
        );
        assert_eq!(bindings[0].target, None);
    }

    #[test]
    fn what_the_core_registers_goes_to_the_core() {
        let mut wish = register(1, &["Contact: <sip:scscf1.example.org:5090>"]).unwrap();
        wish.target = Some("sip:bob@example.org".into());
        let (bindings, _) = apply(Vec::new(), &wish, NOW, 3).unwrap();
        assert_eq!(bindings[0].route, ["<sip:scscf1.example.org:5090;lr>"]);
        assert_eq!(bindings[0].target.as_deref(), Some("sip:bob@example.org"));
    }

    #[test]
    fn each_contact_has_its_own_lifetime() {
        let fields = [
            "Contact: <sip:b@h1>;expires=100, <sip:b@h2>;expires=x",
            "m: <sip:b@h3>",
            "Expires: 200",
        ];
        assert_eq!(
            applied(&[], 1, &fields),
            Ok(vec![
                "sip:b@h1 100".into(),
                "sip:b@h2 3600".into(),
                "sip:b@h3 200".into()
            ])
        );
        assert_eq!(
            applied(&[], 1, &["Contact: <sip:b@h>"]),
            Ok(vec!["sip:b@h 3600".into()])
        );
        assert_eq!(
            applied(&[], 1, &["Contact: <sip:b@h>;expires=99999999999"]),
            Ok(vec!["sip:b@h 2592000".into()])
        );
    }

    #[test]
    fn a_refresh_keeps_the_binding_and_a_zero_ends_it() {
        let before = bound(&["sip:b@h1", "sip:b@h2"]);
        assert_eq!(
            applied(&before, 6, &["Contact: <sip:b@H1>;expires=70"]),
            Ok(vec!["sip:b@H1 70".into(), "sip:b@h2 3590".into()])
        );
        assert_eq!(
            applied(&before, 6, &["Contact: <sip:b@h1>;expires=0"]),
            Ok(vec!["sip:b@h2 3590".into()])
        );
        assert_eq!(
            applied(&before, 6, &["Contact: *", "Expires: 0"]),
            Ok(Vec::new())
        );
    }

    #[test]
    fn star_comes_alone_and_with_zero() {
        for fields in [
            &["Contact: *"] as &[&str],
            &["Contact: *", "Expires: 10"],
            &["Contact: *", "Contact: <sip:b@h>", "Expires: 0"],
        ] {
            assert_eq!(applied(&[], 1, fields), Err(400), "{fields:?}");
        }
    }

    #[test]
    fn an_overtaken_request_changes_nothing() {
        let before = bound(&["sip:b@h1"]);
        for fields in [
            &["Contact: <sip:b@h2>, <sip:b@h1>;expires=0"] as &[&str],
            &["Contact: *", "Expires: 0"],
        ] {
            assert_eq!(applied(&before, 5, fields), Err(500), "{fields:?}");
        }
    }

    #[test]
    fn too_brief_is_refused_only_where_configured_and_below_an_hour() {
        assert_eq!(
            applied(&[], 1, &["Contact: <sip:b@h>;expires=59"]),
            Err(423)
        );
        assert_eq!(
            applied(&[], 1, &["Contact: <sip:b@h>;expires=60"]),
            Ok(vec!["sip:b@h 60".into()])
        );
        assert_eq!(
            applied(&bound(&["sip:b@h"]), 6, &["Contact: <sip:b@h>;expires=0"]),
            Ok(vec![])
        );
    }

    #[test]
    fn contacts_are_bounded_and_well_formed() {
        let four = "Contact: <sip:b@1.1.1.1>, <sip:b@1.1.1.2>, <sip:b@1.1.1.3>, <sip:b@1.1.1.4>";
        assert_eq!(applied(&[], 1, &[four]), Err(403));
        assert_eq!(applied(&[], 1, &["Contact: <sip:b@"]), Err(400));
    }
}
