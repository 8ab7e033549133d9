//! What the rooms of the server share.

use std::sync::Arc;

use crate::account::Domains;
use crate::clock::{Clock, Timestamp};
use crate::compose::Composer;
use crate::config::Config;
use crate::message_id::MessageIds;
use crate::policy::{ExpirationPolicy, Policy};
use crate::store::{Binding, Store, StoreError};
use crate::tasks::Tasks;
use crate::transaction::Timers;
use crate::transport::Outbox;

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
    /// Sends octets.
    pub outbox: Arc<dyn Outbox>,
}

/// Everything that handling a request may need.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) domains: Domains,
    pub(crate) timers: Timers,
    pub(crate) policy: Arc<Policy>,
    pub(crate) parts: Parts,
    pub(crate) tasks: Tasks,
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
}
