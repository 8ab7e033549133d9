//! The imspec reference server: a small, durable instant-messaging server that shows what the
//! deferred-message specification means.
//!
//! To read it in an afternoon, follow a message:
//!
//! 1. [`transport`] takes octets from UDP, TCP, TLS and WebSocket and sends them back.
//! 2. `uas` checks each request, matches it to its [`transaction`] or its `dialog` and hands it on.
//! 3. `registrar` knows who can be reached where; [`guard`] asks who it is that registers or sends.
//! 4. `pager` passes a MESSAGE on to who is online, and stores it for who is not: [`account`] says
//!    whose it is, [`policy`] when it expires, [`message_id`] what it is called, [`store`] keeps it.
//! 5. `proxy` passes an INVITE on to who is online. For who is not, `session` answers it, takes what
//!    comes over [`msrp`], and stores each message when all of it is there.
//! 6. `delivery` brings it when its recipient comes back ([`compose`] writes the request, `reach` finds
//!    the way, `call` is the server's own INVITE), or `expiry` ends it when its time by the [`clock`] is
//!    up.
//! 7. [`control`] lets a tester look at the store, move the clock and set the policy.
//!
//! Every border is a trait — [`store::Store`], [`clock::Clock`], [`message_id::MessageIds`],
//! [`policy::ExpirationPolicy`], [`compose::Composer`], [`transport::Gate`], [`transport::Outbox`],
//! [`msrp::Tap`], [`guard::Guard`] — so that a part can be replaced or wrapped without the others noticing:
//! [`Server::start_with`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

use crate::clock::SystemClock;
use crate::compose::PlainComposer;
use crate::context::Context;
use crate::control::Control;
use crate::delivery::Delivery;
use crate::dialog::Dialogs;
use crate::expiry::{Expiry, InFlight};
use crate::guard::DigestGuard;
use crate::message_id::ConfiguredIds;
use crate::msrp::{Msrp, MsrpLimits, Untapped};
use crate::pager::Pager;
use crate::policy::{ExpirationPolicy, NoBye, Policy, SettingError};
use crate::proxy::InviteProxy;
use crate::registrar::Registrar;
use crate::session::Sessions;
use crate::store::{SqliteStore, Store, StoreError};
use crate::tasks::Tasks;
use crate::transaction::Timers;
use crate::transaction::client::ClientTransactions;
use crate::transport::{
    Gated, Inbox, OpenGate, Outbox, Protocol, Tls, TlsError, Transport, TransportLimits,
};
use crate::uas::Uas;

pub mod account;
mod call;
pub mod clock;
pub mod compose;
pub mod config;
mod context;
pub mod control;
mod delivery;
mod dialog;
mod expiry;
pub mod guard;
pub mod message_id;
pub mod msrp;
mod pager;
mod peer;
pub mod policy;
mod proxy;
mod reach;
mod registrar;
pub mod response;
mod session;
pub mod store;
pub mod tasks;
pub mod transaction;
pub mod transport;
mod uas;

pub use config::{Config, ConfigError};
pub use context::Parts;

/// Where a running server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// SIP over UDP.
    pub udp: Vec<SocketAddr>,
    /// SIP over TCP.
    pub tcp: Vec<SocketAddr>,
    /// SIP over TLS.
    pub tls: Vec<SocketAddr>,
    /// SIP over `WebSocket`.
    pub ws: Vec<SocketAddr>,
    /// SIP over `WebSocket` over TLS.
    pub wss: Vec<SocketAddr>,
    /// MSRP over TCP.
    pub msrp: Vec<SocketAddr>,
    /// MSRP over TLS.
    pub msrps: Vec<SocketAddr>,
    /// The control API.
    pub control: Option<SocketAddr>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong.
    #[error("the configuration is wrong: {0}")]
    Config(String),
    /// A setting that was made at run time no longer makes sense.
    #[error("a setting kept in the store is wrong: {0}; set it again or use another store")]
    Setting(#[from] SettingError),
    /// The system gives no random octets, which authentication needs.
    #[error("the system gives no random octets")]
    Random,
    /// Certificates or keys cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// An address could not be listened on.
    #[error("cannot listen on {protocol} {address}: {error}")]
    Listen {
        /// What was to be spoken there.
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The store could not be opened.
    #[error("cannot use the store {}: {error}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: StoreError,
    },
}

/// A running server. Dropped without [`Server::stop`], it ends as soon as it can.
pub struct Server {
    addresses: Addresses,
    tasks: Tasks,
    store: Arc<dyn Store>,
    transport: Arc<Transport>,
}

impl Server {
    /// Starts a server. When this returns, it answers.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, |parts| parts).await
    }

    /// Starts a server some of whose parts are replaced or wrapped.
    pub async fn start_with(
        config: Config,
        change: impl FnOnce(Parts) -> Parts,
    ) -> Result<Self, StartError> {
        config.check().map_err(StartError::Config)?;
        let tasks = Tasks::default();
        let started = Self::assemble(config, change, &tasks).await;
        if started.is_err() {
            tasks.stop().await;
        }
        started
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Stops listening, drops what is in progress and closes the store. What was answered is kept;
    /// whoever was not answered yet asks again, as SIP has it.
    pub async fn stop(self) {
        self.tasks.stop().await;
        self.transport.close();
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close well");
        }
    }

    async fn assemble(
        config: Config,
        change: impl FnOnce(Parts) -> Parts,
        tasks: &Tasks,
    ) -> Result<Self, StartError> {
        let path = config.store.path.clone();
        let store_error = |error| StartError::Store {
            path: path.clone(),
            error,
        };
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&config.store.path).map_err(store_error)?);
        let mut kept = store.settings().await.map_err(store_error)?;
        let offset = kept
            .remove(control::OFFSET_KEY)
            .and_then(|offset| offset.as_i64());
        let settings = config.settings()?.with(&kept)?;
        let policy = Arc::new(Policy::new(settings));
        let timers = Timers {
            t1: Duration::from_millis(config.sip.t1_ms),
        };
        let transport = listen(&config, tasks).await?;
        let msrp = Arc::new(listen_msrp(&config, tasks).await?);
        let control_listener = match config.control {
            None => None,
            Some(address) => {
                let failed = |error| StartError::Listen {
                    protocol: "HTTP",
                    address,
                    error,
                };
                Some(
                    tokio::net::TcpListener::bind(address)
                        .await
                        .map_err(failed)?,
                )
            }
        };
        let addresses = Addresses {
            udp: transport.udp_addresses(),
            tcp: transport.stream_addresses(Protocol::Tcp),
            tls: transport.stream_addresses(Protocol::Tls),
            ws: transport.stream_addresses(Protocol::Ws),
            wss: transport.stream_addresses(Protocol::Wss),
            msrp: msrp.tcp_addresses().to_vec(),
            msrps: msrp.tls_addresses().to_vec(),
            control: control_listener
                .as_ref()
                .and_then(|listener| listener.local_addr().ok()),
        };
        let parts = change(Parts {
            store: Arc::clone(&store),
            clock: Arc::new(SystemClock::new(config.clock.movable, offset.unwrap_or(0))),
            ids: Arc::new(ConfiguredIds::new(Arc::clone(&policy), store)),
            expiration: Arc::clone(&policy) as Arc<dyn ExpirationPolicy>,
            composer: Arc::new(PlainComposer),
            gate: Arc::new(OpenGate),
            outbox: Arc::clone(&transport) as Arc<dyn Outbox>,
            tap: Arc::new(Untapped),
            guard: Arc::new(DigestGuard::new()?),
        });
        let store = Arc::clone(&parts.store);
        let domains =
            account::Domains::new([&config.domain].into_iter().chain(&config.more_domains));
        let context = Arc::new(Context {
            config,
            domains,
            timers,
            policy,
            parts,
            tasks: tasks.clone(),
            dialogs: Dialogs::default(),
            msrp,
            delivered: broadcast::Sender::new(1024),
        });
        add_configured_accounts(&context).await?;
        store
            .remove_lapsed(context.now())
            .await
            .map_err(store_error)?;
        store
            .recover_sessions(context.policy.settings().lm_no_bye == NoBye::Store)
            .await
            .map_err(store_error)?;
        open_rooms(&context, &transport, control_listener, &addresses)
            .await
            .map_err(store_error)?;
        Ok(Self {
            addresses,
            tasks: tasks.clone(),
            store,
            transport,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.signal_stop();
        self.transport.close();
    }
}

async fn listen(config: &Config, tasks: &Tasks) -> Result<Arc<Transport>, StartError> {
    let limits = &config.limits;
    let message = imspec_wire::sip::Limits {
        head: limits.message_octets,
        // Beyond what is accepted, so that a message with too many can be refused, not just dropped.
        headers: limits.headers.max(65_536),
        body: limits.message_octets,
    };
    let limits = TransportLimits {
        message,
        connections: limits.connections,
        idle: Duration::from_secs(limits.idle_s),
        message_time: Duration::from_secs(limits.message_s),
    };
    let tls = if config.listen.tls.is_empty() && config.listen.wss.is_empty() {
        None
    } else {
        Some(Tls::new(config)?)
    };
    Transport::bind(&config.listen, tls, limits, tasks.clone())
        .await
        .map(Arc::new)
        .map_err(|(address, error)| StartError::Listen {
            protocol: "SIP",
            address,
            error,
        })
}

async fn listen_msrp(config: &Config, tasks: &Tasks) -> Result<Msrp, StartError> {
    let limits = &config.limits;
    let head = imspec_wire::msrp::Limits {
        line: limits.msrp_head_octets,
        headers: limits.msrp_headers,
        head: limits.msrp_head_octets,
        message: config.session.max_octets,
        fragments: limits.fragments,
        ..imspec_wire::msrp::Limits::default()
    };
    let limits = MsrpLimits {
        head,
        connections: limits.msrp_connections,
        first: Duration::from_secs(config.msrp.first_s),
        chunk: Duration::from_secs(config.msrp.chunk_s),
        refused: 1024 * 1024,
    };
    let names = vec![config.domain.clone()];
    Msrp::bind(
        &config.listen.msrp,
        &config.listen.msrps,
        names,
        limits,
        tasks.clone(),
    )
    .await
    .map_err(|(address, error)| StartError::Listen {
        protocol: "MSRP",
        address,
        error,
    })
}

async fn add_configured_accounts(context: &Context) -> Result<(), StartError> {
    let mut accounts = Vec::new();
    for uri in &context.config.accounts {
        match context.domains.addressee(uri.as_bytes()) {
            account::Addressee::User(account) => accounts.push(account),
            _ => {
                return Err(StartError::Config(format!(
                    "in `accounts`: `{uri}` is no sip: URI of a user in a served domain"
                )));
            }
        }
    }
    let mut passwords = Vec::new();
    for (uri, password) in &context.config.passwords.0 {
        match context.domains.addressee(uri.as_bytes()) {
            account::Addressee::User(account) if accounts.contains(&account) => {
                passwords.push((account, password.clone()));
            }
            _ => {
                return Err(StartError::Config(format!(
                    "in `passwords`: `{uri}` is none of `accounts`"
                )));
            }
        }
    }
    let store = &context.parts.store;
    let failed = |error| StartError::Store {
        path: context.config.store.path.clone(),
        error,
    };
    store
        .change_accounts(accounts, Vec::new())
        .await
        .map_err(failed)?;
    store.set_passwords(passwords).await.map_err(failed)
}

/// Puts the rooms together and lets the network in.
async fn open_rooms(
    context: &Arc<Context>,
    transport: &Arc<Transport>,
    control_listener: Option<tokio::net::TcpListener>,
    addresses: &Addresses,
) -> Result<(), StoreError> {
    let tasks = &context.tasks;
    let outbox = Arc::clone(&context.parts.outbox);
    let clients = Arc::new(ClientTransactions::new(
        context.timers,
        outbox,
        tasks.clone(),
    ));
    let in_flight = InFlight::default();
    let expiry = Arc::new(Expiry::new(Arc::clone(context), in_flight.clone()));
    let delivery = Arc::new(Delivery::new(
        Arc::clone(context),
        Arc::clone(&clients),
        Arc::clone(&expiry),
        in_flight.clone(),
    ));
    let registrar = Arc::new(Registrar::new(Arc::clone(context)));
    let pager = Arc::new(Pager::new(
        Arc::clone(context),
        Arc::clone(&clients),
        Arc::clone(&delivery),
        Arc::clone(&expiry),
    ));
    let proxy = Arc::new(InviteProxy::new(
        Arc::clone(context),
        Arc::clone(&clients),
        Arc::clone(&delivery),
    ));
    let sessions = Arc::new(Sessions::new(
        Arc::clone(context),
        Arc::clone(&clients),
        Arc::clone(&delivery),
        Arc::clone(&expiry),
    ));
    let uas = Uas::new(
        Arc::clone(context),
        clients,
        registrar,
        pager,
        proxy,
        sessions,
        Arc::clone(&delivery),
    );
    context.msrp.run(Arc::clone(&context.parts.tap));
    let inbox = Gated {
        gate: Arc::clone(&context.parts.gate),
        inbox: Arc::new(uas),
    };
    transport.run(&(Arc::new(inbox) as Arc<dyn Inbox>));
    tasks.spawn(Arc::clone(&expiry).run());
    delivery.resume().await?;
    if let Some(listener) = control_listener {
        let control = Arc::new(Control {
            context: Arc::clone(context),
            expiry,
            in_flight,
            addresses: addresses.clone(),
            policy_turn: tokio::sync::Mutex::new(()),
        });
        tasks.spawn(control::serve(control, listener));
    }
    Ok(())
}
