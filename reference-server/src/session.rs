//! Sessions with senders whose recipient is offline: the server answers the INVITE itself, takes the
//! messages and stores them (RFC 4975).
//!
//! `offer` decides what is agreed on, `timer` for how long; from then on one task (`running`) lives
//! with the session, and `intake` makes records of what it brings, with a `draft` for each message that
//! is not complete.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use imspec_wire::msrp::Limits;
use imspec_wire::sdp::{Description, FormatList, Protocol};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{MediaType, SipDate};
use tokio::sync::Semaphore;

use self::draft::Draft;
use self::intake::Intake;
use self::offer::{Choice, Means, Own};
use self::running::Running;
use crate::clock::Timestamp;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::dialog::Dialog;
use crate::expiry::Expiry;
use crate::msrp::Endpoint;
use crate::policy::Mode;
use crate::response::Reply;
use crate::store::{StoreError, reparse};
use crate::transaction::client::ClientTransactions;
use crate::transaction::invite_server::InviteTicket;
use crate::transport::{Flow, Target};
use crate::uas::{ALLOW, SUPPORTED};

mod draft;
mod intake;
mod offer;
mod running;
mod timer;

/// Pieces of content that may be on their way to the disk at once: 16 MiB.
const BUDGET: usize = 256;

/// Takes sessions.
pub(crate) struct Sessions {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    delivery: Arc<Delivery>,
    expiry: Arc<Expiry>,
    /// `session.accept_types`
    accepted: FormatList,
    /// One for each session.
    slots: Arc<Semaphore>,
    budget: Arc<Semaphore>,
    /// Messages that were not complete when their session ended, by what identifies them.
    parked: Mutex<HashMap<String, (u64, Draft)>>,
    parkings: std::sync::atomic::AtomicU64,
}

/// What was agreed on with the sender.
struct Agreement {
    /// `None` while an answer to our offer is awaited.
    choice: Option<Choice>,
    own: Own,
    endpoint: Endpoint,
    /// The sender's description; empty while it is awaited.
    theirs: Option<Description>,
    ours: bytes::Bytes,
}

impl Sessions {
    pub(crate) fn new(
        context: Arc<Context>,
        clients: Arc<ClientTransactions>,
        delivery: Arc<Delivery>,
        expiry: Arc<Expiry>,
    ) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(context.config.limits.sessions)),
            budget: Arc::new(Semaphore::new(BUDGET)),
            // Found sound with the rest of the configuration.
            accepted: FormatList::parse(&context.config.session.accept_types.join(" "))
                .unwrap_or_default(),
            context,
            clients,
            delivery,
            expiry,
            parked: Mutex::default(),
            parkings: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Answers an INVITE to a user who is offline, and takes what the session brings.
    pub(crate) async fn answer(self: &Arc<Self>, ticket: Box<InviteTicket>, account: String) {
        let invite = self.context.believed(ticket.request());
        if let Err(reply) = self.admit(&account).await {
            return ticket.reject(&reply);
        }
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return ticket.reject(&Reply::overloaded());
        };
        let bounds = self.timer_bounds();
        let timer = match timer::negotiate(&invite, bounds) {
            Ok(timer) => timer,
            Err(reply) => return ticket.reject(&reply),
        };
        let agreement = match self.agree(&invite, ticket.flow()) {
            Ok(agreement) => agreement,
            Err(reply) => return ticket.reject(&reply),
        };
        let Some(dialog) = Dialog::as_uas(&invite, ticket.tag()) else {
            return ticket.reject(&Reply::because(400, "Bad Contact"));
        };
        let flow = ticket.flow();
        let mut reply = self.ok(flow, &agreement.ours);
        if let Some(timer) = timer {
            reply = timer.announce(reply);
        }
        // Before the 200 leaves, after which anything may come inside the dialog.
        let membership = self.context.dialogs.join(dialog.id.clone());
        let Some(accepted) = ticket.accept(&reply) else {
            return;
        };
        let ok = reparse(accepted.octets().clone()).ok();
        let intake = Intake::new(
            Arc::clone(self),
            self.context.policy.settings(),
            account,
            &invite,
            ok.as_ref(),
            agreement.own.uri.clone(),
        );
        let running = Running::new(
            Arc::clone(self),
            dialog,
            membership,
            accepted,
            agreement,
            intake,
            timer,
            flow,
        );
        self.context.tasks.spawn(async move {
            running.run().await;
            drop(slot);
        });
    }

    /// Whether the provider takes a session for this account now.
    async fn admit(&self, account: &str) -> Result<(), Reply> {
        let settings = self.context.policy.settings();
        if !settings.store_modes.contains(&Mode::Session) {
            return Err(Reply::new(480));
        }
        let most = self.context.config.limits.messages_per_account;
        if self.context.parts.store.count(account).await? >= most {
            return Err(Reply::because(480, "Mailbox Full").with("Retry-After", "3600"));
        }
        Ok(())
    }

    fn timer_bounds(&self) -> timer::Bounds {
        let config = &self.context.config.session;
        timer::Bounds {
            min: config.min_se_s,
            max: config.max_se_s,
        }
    }

    /// Works with what the offerer is and what we can do. The settings are passed in because the means
    /// borrow them.
    fn with_means<T>(&self, work: impl FnOnce(&Means<'_>) -> T) -> T {
        let settings = self.context.policy.settings();
        work(&Means {
            config: &self.context.config.session,
            tcp: !self.context.msrp.tcp_addresses().is_empty(),
            tls: !self.context.msrp.tls_addresses().is_empty(),
            classes: &settings.store_classes,
        })
    }

    fn agree(&self, invite: &Message, flow: Flow) -> Result<Agreement, Reply> {
        let config = &self.context.config.session;
        let Some(theirs) = description(invite)? else {
            return self.propose(flow);
        };
        let choice = self
            .with_means(|means| offer::choose(&theirs, means))
            .map_err(|reason| not_acceptable(&reason))?;
        let is_secure = choice.is_secure();
        let listening = choice.role == imspec_wire::sdp::Role::Passive;
        let endpoint = self
            .context
            .msrp
            .open(is_secure, flow.remote.ip(), listening)
            .map_err(|error| not_acceptable(&error.to_string()))?;
        let own = self.own(&endpoint, is_secure);
        Ok(Agreement {
            ours: offer::answer(&theirs, &choice, &own, config),
            choice: Some(choice),
            own,
            endpoint,
            theirs: Some(theirs),
        })
    }

    /// RFC 3261 §13.3.1.4: an INVITE without an offer gets one in the 200.
    fn propose(&self, flow: Flow) -> Result<Agreement, Reply> {
        let msrp = &self.context.msrp;
        let is_secure = msrp.tcp_addresses().is_empty();
        let endpoint = msrp
            .open(is_secure, flow.remote.ip(), true)
            .map_err(|error| not_acceptable(&error.to_string()))?;
        let own = self.own(&endpoint, is_secure);
        let protocol = if is_secure {
            Protocol::Tls
        } else {
            Protocol::Tcp
        };
        Ok(Agreement {
            ours: offer::offer(protocol, &own, &self.context.config.session),
            choice: None,
            own,
            endpoint,
            theirs: None,
        })
    }

    fn own(&self, endpoint: &Endpoint, is_secure: bool) -> Own {
        Own {
            uri: endpoint.uri().clone(),
            // 62 bits: RFC 3264 §5 wants it to fit into a signed number.
            session_id: fastrand::u64(..1 << 62),
            version: 1,
            fingerprint: is_secure.then(|| self.context.msrp.fingerprint().to_string()),
        }
    }

    /// A 200 to INVITE.
    fn ok(&self, flow: Flow, description: &[u8]) -> Reply {
        self.ok_without_body(flow)
            .with_body("application/sdp", description)
    }

    fn ok_without_body(&self, flow: Flow) -> Reply {
        let date = SipDate {
            unix_seconds: self.context.now().seconds(),
        };
        Reply::new(200)
            .with("Date", date.format())
            .with("Contact", self.contact(flow))
            .with("Allow", ALLOW)
            .with("Supported", SUPPORTED)
    }

    /// Where the sender reaches us inside the dialog.
    fn contact(&self, flow: Flow) -> String {
        let target = Target {
            protocol: flow.protocol,
            address: flow.remote,
        };
        let own = self
            .context
            .parts
            .outbox
            .sent_by(target)
            .unwrap_or(flow.local);
        format!("<sip:{own}{}>", flow.protocol.uri_parameter())
    }

    fn new_draft(&self) -> Draft {
        Draft::new(
            Arc::clone(&self.context.parts.store),
            Arc::clone(&self.budget),
            &Limits {
                message: self.context.config.session.max_octets,
                fragments: self.context.config.limits.fragments,
                ..Limits::default()
            },
            self.context.now(),
        )
    }

    /// Keeps a message that is not complete for a new session that brings the rest (RFC 4975 §5.4).
    async fn park(self: &Arc<Self>, key: String, mut draft: Draft) {
        let wait = self.context.config.session.resume_s;
        if wait == 0 || draft.coverage_octets() == 0 || draft.park().await.is_err() {
            return;
        }
        let number = self
            .parkings
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        {
            let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
            if parked.len() >= self.context.config.limits.sessions {
                return;
            }
            parked.insert(key.clone(), (number, draft));
        }
        let sessions = Arc::clone(self);
        self.context.tasks.spawn(async move {
            tokio::time::sleep(Duration::from_secs(wait)).await;
            let mut parked = sessions
                .parked
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if parked.get(&key).is_some_and(|(there, _)| *there == number) {
                parked.remove(&key);
            }
        });
    }

    /// What was kept of a message, if anything.
    fn resume(&self, key: &str) -> Option<Draft> {
        let mut parked = self.parked.lock().unwrap_or_else(PoisonError::into_inner);
        parked.remove(key).map(|(_, draft)| draft)
    }

    /// A message of a session has become a deferred one.
    async fn stored(&self, account: &str, expire_at: Option<Timestamp>) {
        if let Some(at) = expire_at {
            self.expiry.consider(at);
        }
        // Whoever registered while the session went on gets it now.
        if !matches!(self.context.live_bindings(account).await, Ok(bindings) if bindings.is_empty())
        {
            // A record that was held may come before others that were looked at.
            self.delivery.bindings_changed(account, true);
        }
    }
}

/// The offer or answer in a message; `None` where there is none.
fn description(message: &Message) -> Result<Option<Description>, Reply> {
    if message.body().is_empty() {
        return Ok(None);
    }
    match message.typed::<MediaType>() {
        Some(Ok(kind)) if kind.is("application/sdp") => {}
        _ => return Err(Reply::new(415).with("Accept", "application/sdp")),
    }
    Description::parse(message.body_bytes())
        .map(Some)
        .map_err(|error| {
            Reply::because(400, &format!("Bad SDP: {error}").replace(['\r', '\n'], " "))
        })
}

/// 488 with the reason in words (RFC 3261 §20.43).
fn not_acceptable(reason: &str) -> Reply {
    let reason = reason.replace(['\r', '\n'], " ").replace('"', "'");
    Reply::new(488).with("Warning", format!("399 imspec \"{reason}\""))
}

impl From<&StoreError> for Reply {
    fn from(error: &StoreError) -> Self {
        error.clone().into()
    }
}
