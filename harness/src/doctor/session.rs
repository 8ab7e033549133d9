//! A message session with a user who is offline: INVITE, the MSRP connection, one message, BYE.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::signalling::names;
use super::visit::{self, Heard, Visit};
use super::{Complaint, Doctor};
use crate::agent::msrp::{Content, Cutting, Frames, Load, Parcel, Shipment};
use crate::agent::{
    Awaited, Call, Described, Draft, Ending, Endpoint, InSession, Invitation, On, Showing, call_id,
};
use crate::scenario::model::Until;

impl Doctor<'_> {
    /// Opens a session, sends one message through it, and ends it.
    pub(super) async fn session(&mut self, visit: &Visit) {
        let modes = self.profile.pics.get("store.modes");
        if modes.is_some_and(|modes| !names(modes, "session")) {
            let said = "`store.modes` has no `session`";
            self.not_promised("session", said);
            return self.not_promised("relay", said);
        }
        let declared = modes.is_some();
        let opened = match visit.endpoint("alice").await {
            Ok(endpoint) => {
                let call = visit.agents().open_session(&endpoint, Described::default());
                call.await.map(|call| (endpoint, call))
            }
            Err(why) => Err(why),
        };
        let relay = self
            .profile
            .pixit
            .msrp
            .relay
            .as_ref()
            .map(|relay| relay.uri.to_string());
        let (endpoint, call) = match opened {
            Ok(opened) => opened,
            Err(why) => {
                let (what, check) = match relay {
                    Some(_) => (
                        "relay",
                        "`pixit.msrp.relay`: its URI (`;tcp`, or `;ws` for WebSocket), user and password; `pixit.msrp.ca` \
                         for msrps",
                    ),
                    None => ("session", "`pixit.msrp.bind`: an address of this machine"),
                };
                self.fails(what, Complaint::new(visit::shown(&why), &[check]));
                return self.not_tried(&["session"], "the agents cannot open one");
            }
        };
        match relay {
            Some(uri) => self.ok("relay", format!("{uri} takes the agents")),
            None => self.not_promised("relay", "the agents have none"),
        }
        let heard = invited(visit, &endpoint, &call).await;
        if !heard.is_good() {
            let complaint = self.refused(visit, "INVITE", "alice", &heard);
            if !declared && heard.status().is_some() {
                // Nobody said that there are sessions for users who are offline.
                return self.not_promised(
                    "session",
                    &format!("{}; `store.modes` is not declared", complaint.said),
                );
            }
            return self.fails("session", complaint);
        }
        let line = heard.line().unwrap_or_default();
        match shipped(visit, &call).await {
            Ok(said) => self.ok("session", format!("INVITE is answered with {line}, {said}")),
            Err(why) => self.fails(
                "session",
                Complaint::new(
                    format!("INVITE is answered with {line}; then {}", visit::shown(&why)),
                    &["the address and port in the server's SDP: they must be reached from `pixit.msrp.bind`",
                      "`pixit.msrp.connection` (tcp or tls) and `ca`, where the server wants TLS"],
                ),
            ),
        }
        ended(visit, &call).await;
    }
}

/// Offers a session to a user who is offline, and ends it at once. Nothing where the agents have none to offer.
pub(crate) async fn offered(visit: &Visit) -> Option<Heard> {
    let endpoint = visit.endpoint("alice").await.ok()?;
    let call = visit.agents().open_session(&endpoint, Described::default());
    let call = call.await.ok()?;
    let heard = invited(visit, &endpoint, &call).await;
    if heard.is_good() {
        ended(visit, &call).await;
    }
    Some(heard)
}

async fn invited(visit: &Visit, endpoint: &Arc<Endpoint>, call: &Arc<Call>) -> Heard {
    let before = visit.events();
    let out = match invitation(visit, endpoint, call) {
        Ok(out) => out,
        Err(why) => return visit.heard(before, Err(why)),
    };
    let within = visit.within();
    let agents = visit.agents();
    let awaited = agents
        .invite(endpoint, call, out, Until::Final, within)
        .await;
    let ending = awaited.map(|awaited| match awaited {
        Awaited::Final { status, event } => Ending::Final { status, event },
        _ => Ending::Silence,
    });
    visit.heard(before, ending)
}

async fn ended(visit: &Visit, call: &Arc<Call>) {
    let bye = InSession {
        within: visit.within(),
        ..InSession::default()
    };
    // Whether it is taken says nothing about what was tried.
    let _ = visit.agents().request_within(call, "BYE", bye).await;
    visit.agents().hang_up(call).await;
}

fn invitation(visit: &Visit, endpoint: &Endpoint, call: &Arc<Call>) -> Result<Invitation, String> {
    let (from, to) = (visit.user("alice")?, visit.user("dave")?);
    let mut own = visit::own(endpoint, from, &to.uri(), "INVITE", 1);
    own.extend(visit.agents().opening(endpoint, from, true));
    own.push(("Contact", format!("<{}>", endpoint.contact())));
    own.push(("Content-Type", "application/sdp".to_owned()));
    let offer = call.offer(&Described::default());
    Ok(Invitation {
        step: "session".to_owned(),
        octets: Draft::new("INVITE", to.uri(), own).body(offer).octets(),
        copies: 1,
        acknowledge: true,
        again: false,
        save: None,
        hop: None,
        credentials: Showing::Own,
        guarded: false,
    })
}

async fn shipped(visit: &Visit, call: &Arc<Call>) -> Result<String, String> {
    let text = Bytes::from(format!("imspec doctor {}", call_id()));
    let parcel = Parcel::new(
        "session",
        None,
        Some("text/plain".into()),
        Some(Content::Octets(text)),
    );
    let shipment = Shipment {
        step: "session".to_owned(),
        session: Arc::clone(call.session()),
        load: Load::Frames(Frames {
            method: "SEND".to_owned(),
            parcel: Arc::new(parcel),
            headers: Vec::new(),
            chunks: Cutting::Whole,
        }),
        writes: None,
        cut: None,
    };
    let agents = visit.agents();
    let shipped = agents.ship(shipment, On::Same, visit.within()).await?;
    let deadline = Instant::now() + visit.within();
    let settled = |_: &mut crate::agent::Desk| {
        (shipped.tally.is_settled() || shipped.is_over()).then_some(())
    };
    agents.until(deadline, settled).await;
    match shipped.tally.last() {
        Some((_, 200)) => Ok("SEND with 200".to_owned()),
        Some((_, status)) => Err(format!("SEND is answered with {status}")),
        None => Err("SEND is not answered".to_owned()),
    }
}
