//! What the rooms of the server share.

use std::sync::Arc;

use imspec_wire::sip::Message;
use tokio::sync::broadcast;

use crate::account::{Addressee, Domains};
use crate::clock::{Clock, Timestamp};
use crate::compose::{Composer, without};
use crate::config::Config;
use crate::dialog::Dialogs;
use crate::guard::{self, Guard};
use crate::message_id::MessageIds;
use crate::msrp::{Msrp, Tap};
use crate::policy::{Authentication, ExpirationPolicy, IdentityTrust, Policy};
use crate::response::Reply;
use crate::store::{Binding, Store, StoreError, reparse};
use crate::tasks::Tasks;
use crate::transaction::Timers;
use crate::transport::{Gate, Outbox};

/// The parts behind the borders. Whoever starts a server may put another in the place of one, or wrap
/// it: [`crate::Server::start_with`].
#[derive(Clone)]
pub struct Parts {
    /// Keeps what must survive.
    pub store: Arc<dyn Store>,
    /// Store time.
    pub clock: Arc<dyn Clock>,
    /// Makes Message-IDs.
    pub ids: Arc<dyn MessageIds>,
    /// Decides about expiry.
    pub expiration: Arc<dyn ExpirationPolicy>,
    /// Writes requests to recipients.
    pub composer: Arc<dyn Composer>,
    /// Lets in what comes by SIP.
    pub gate: Arc<dyn Gate>,
    /// Sends octets.
    pub outbox: Arc<dyn Outbox>,
    /// Stands between the server and its MSRP connections.
    pub tap: Arc<dyn Tap>,
    /// Asks who sends, and believes the right answers.
    pub guard: Arc<dyn Guard>,
}

/// Everything that handling a request may need.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) domains: Domains,
    pub(crate) timers: Timers,
    pub(crate) policy: Arc<Policy>,
    pub(crate) parts: Parts,
    pub(crate) tasks: Tasks,
    pub(crate) dialogs: Dialogs,
    pub(crate) msrp: Arc<Msrp>,
    /// Numbers of messages that their recipients have.
    pub(crate) delivered: broadcast::Sender<i64>,
}

impl Context {
    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// The bindings of an account that have not lapsed, newest first.
    pub(crate) async fn live_bindings(&self, account: &str) -> Result<Vec<Binding>, StoreError> {
        let now = self.now();
        let mut bindings = self.parts.store.bindings(account).await?;
        bindings.retain(|binding| binding.expires_at > now);
        // Stable, and the store keeps the order of making: of two refreshed at once the later made
        // one comes first.
        bindings.reverse();
        bindings.sort_by_key(|binding| std::cmp::Reverse(binding.updated_at));
        Ok(bindings)
    }

    /// Whose message it is: the Request-URI alone decides.
    pub(crate) async fn account(&self, request: &Message) -> Result<String, Reply> {
        match self
            .domains
            .addressee(request.request_uri().unwrap_or_default())
        {
            Addressee::User(account) => {
                if self.parts.store.has_account(&account).await? {
                    Ok(account)
                } else {
                    Err(Reply::new(404))
                }
            }
            Addressee::Domain | Addressee::Foreign => Err(Reply::new(404)),
            Addressee::UnsupportedScheme => Err(Reply::new(416)),
            Addressee::Malformed => Err(Reply::new(400)),
        }
    }

    /// The request without identities that its sender is not trusted to assert (RFC 3325 §5), and without the
    /// credentials that were for this server (RFC 3261 §22.3: whoever they were for may take them away).
    pub(crate) fn believed(&self, request: &Message) -> Message {
        let settings = self.policy.settings();
        let trusted = settings.identity_trust == IdentityTrust::Senders;
        let authenticated = settings.auth_sender == Authentication::Digest;
        if trusted && !authenticated {
            return request.clone();
        }
        let octets = without(request, |field| {
            !trusted && field.is("P-Asserted-Identity")
                || authenticated && guard::is_for(field, &self.domains)
        });
        reparse(octets).unwrap_or_else(|_| request.clone())
    }
}
