//! One server under test with its adapters in place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use imspec_reports::record::UtcTime;
use tokio::sync::watch;

use super::accounts::{Accounts, NewAccount};
use super::clock::{self, StoreClock};
use super::control::Control;
use super::places::Places;
use super::policy::{self, Policy, SetError};
use super::probe;
use super::process::{Life, Process};
use super::profile::{
    ClockAdapter, Database, Login, PolicyAdapter, ProcessAdapter, Profile, Provision, Ready,
    StoreAdapter, Transport,
};
use super::program::Program;
use super::store::{self, Store};
use super::whereabouts::{self, Whereabouts};
use crate::link::Dialer;

/// How long a server that runs already may take to answer.
const REACH: Duration = Duration::from_secs(4);
/// Attempts to start a server, because a port that was free may be taken a moment later.
const STARTS: usize = 3;

/// Why no case can be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}\n  tried: {tried}\n  check: {check}")]
pub struct SetUpError {
    /// What went wrong.
    pub what: String,
    /// What was tried.
    pub tried: String,
    /// What to look at.
    pub check: String,
}

/// A server that is reached.
pub struct Instance {
    /// Its addresses, by transport.
    pub targets: BTreeMap<Transport, SocketAddr>,
    /// Makes connections to it.
    pub dialer: Dialer,
    /// Reads what it stores; `None` for a black box.
    pub store: Option<Box<dyn Store>>,
    /// Its time.
    pub clock: StoreClock,
    /// What its provider may choose.
    pub policy: Box<dyn Policy>,
    /// Accounts are made here, where that is needed.
    accounts: Option<Accounts>,
    /// Its process, where imspec started it.
    process: Option<tokio::sync::Mutex<Process>>,
    life: watch::Receiver<Life>,
    /// Held so that `life` never closes for a server that imspec did not start.
    _alive: watch::Sender<Life>,
    profile: Profile,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("targets", &self.targets)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// Starts a server, or finds the one that runs, and makes sure that it answers.
    pub async fn open(profile: &Profile) -> Result<Self, SetUpError> {
        match &profile.adapters.process {
            ProcessAdapter::Attach => {
                let places = Places {
                    profile: profile.folder.clone(),
                    ..Places::default()
                };
                let instance = Self::assemble(profile, &places, None).await?;
                instance.reach(REACH).await.map(|()| instance)
            }
            ProcessAdapter::Command(command) => {
                let mut last = None;
                for _ in 0..STARTS {
                    let tried = format!("`{}`", command.command.join(" "));
                    let check = "that the program is installed and its configuration fits";
                    let failed = |what: String| SetUpError {
                        what: format!("the server could not be started: {what}"),
                        tried: tried.clone(),
                        check: check.into(),
                    };
                    let process = Process::prepare(command, &profile.folder, profile.pixit.bind)
                        .await
                        .map_err(failed)?;
                    let places = process.places().clone();
                    // The adapters first: the file of libfaketime must be there when the server starts.
                    let instance = Self::assemble(profile, &places, Some(process)).await?;
                    match instance.start().await {
                        Ok(()) => return Ok(instance),
                        Err(what) => last = Some(failed(what)),
                    }
                }
                Err(last.unwrap_or_else(|| SetUpError {
                    what: "the server could not be started".into(),
                    tried: String::new(),
                    check: String::new(),
                }))
            }
        }
    }

    /// How the server is; [`Life::Running`] for ever when imspec did not start it.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// Whether [`Self::restart`] can work.
    pub fn can_restart(&self) -> bool {
        self.process.is_some()
    }

    /// Makes sure that these accounts exist, where the profile says that the harness must.
    pub async fn provision(&self, accounts: &[NewAccount]) -> Result<(), SetError> {
        match &self.accounts {
            Some(made) if !accounts.is_empty() => made.add(accounts).await,
            _ => Ok(()),
        }
    }

    /// Whether an address without an account can be had.
    pub fn knows_absent_users(&self) -> bool {
        self.accounts.is_some()
    }

    /// Ends the server and starts it again, with `down` of store time passing in between. `told` hears of
    /// each action.
    pub async fn restart(
        &self,
        kill: bool,
        down: Duration,
        policy: &BTreeMap<String, serde_json::Value>,
        mut told: impl FnMut(&str),
    ) -> Result<(), String> {
        let Some(process) = &self.process else {
            return Err("the profile has no process adapter that can restart the server".into());
        };
        let mut process = process.lock().await;
        let until = self
            .clock
            .now()
            .map(|now| now.at.plus_us(clock::signed(clock::micros(down))));
        told(if kill { "kill" } else { "stop" });
        process.stop(kill).await;
        if !down.is_zero() {
            self.pass(down).await?;
        }
        told("start");
        process.start().await?;
        drop(process);
        self.await_ready().await?;
        // A choice made at run time need not survive a restart, and must be made again before time goes on.
        if !policy.is_empty() {
            self.policy.set(policy).await.map_err(|e| e.to_string())?;
        }
        // A server that keeps its clock to itself has lost what the harness moved it by.
        if let (Some(until), true) = (until, self.clock.adapter().movable()) {
            self.clock.measure().await?;
            if self.clock.now().is_none_or(|now| now.at < until) {
                self.clock.advance(until).await?;
            }
        }
        Ok(())
    }

    /// Stops a server that imspec started.
    pub async fn close(self) {
        if let Some(process) = self.process {
            process.into_inner().stop(false).await;
        }
    }

    /// Lets store time pass while the server is down.
    async fn pass(&self, down: Duration) -> Result<(), String> {
        match &self.profile.adapters.clock {
            // The file is ours: it can be moved without the server.
            ClockAdapter::Faketime { .. } => {
                let now = self.clock.now().map_or_else(UtcTime::now, |now| now.at);
                self.clock
                    .advance(now.plus_us(clock::signed(clock::micros(down))))
                    .await
                    .map(drop)
            }
            // Its clock went down with it, and is moved once it is back.
            ClockAdapter::Control { .. } | ClockAdapter::Program { .. } => Ok(()),
            ClockAdapter::Real { .. } => {
                tokio::time::sleep(down).await;
                Ok(())
            }
        }
    }

    /// A server with its adapters in place; it is neither started nor asked yet.
    pub(crate) async fn assemble(
        profile: &Profile,
        places: &Places,
        process: Option<Process>,
    ) -> Result<Self, SetUpError> {
        let failed = |what: String| SetUpError {
            what: format!("the adapters of the profile could not be set up: {what}"),
            tried: "the values under `pixit` and `adapters`".into(),
            check: "the profile".into(),
        };
        let fill = |text: &str| places.fill(text).map_err(failed);
        let control = |url: &str| fill(url).and_then(|url| Control::new(&url).map_err(failed));
        let path = |text: &str| fill(text).map(|path| profile.folder.join(path));
        let program = |words: &[String]| Program::new(words, places);
        let adapters = &profile.adapters;
        let store: Option<Box<dyn Store>> = match &adapters.store {
            StoreAdapter::None => None,
            StoreAdapter::Control(url) => Some(Box::new(store::ByControl::new(control(url)?))),
            StoreAdapter::Program(words) => Some(Box::new(store::ByProgram::new(program(words)))),
            StoreAdapter::Sql { database, query } => {
                let query = query.clone();
                let login = |login: &Login| login.filled(places).map_err(failed);
                Some(match database {
                    Database::Sqlite(file) => Box::new(store::Sqlite::new(&path(file)?, query)),
                    Database::Postgres(server) => {
                        let (address, password) = login(server)?;
                        let store = store::Postgres::new(&address, password.as_deref(), query);
                        Box::new(store.map_err(failed)?)
                    }
                    Database::Mysql(server) => {
                        let (url, password) = login(server)?;
                        let store = store::Mysql::new(&url, password.as_deref(), query);
                        Box::new(store.map_err(failed)?)
                    }
                })
            }
        };
        let clock: Box<dyn clock::Clock> = match &adapters.clock {
            ClockAdapter::Real { skew, resolution } => {
                // A server that imspec started shares our clock.
                let skew = if process.is_some() {
                    Duration::from_millis(1)
                } else {
                    *skew
                };
                Box::new(clock::Real {
                    skew,
                    resolution: *resolution,
                })
            }
            ClockAdapter::Control { url, resolution } => {
                Box::new(clock::ByControl::new(control(url)?, *resolution))
            }
            ClockAdapter::Program {
                read,
                advance,
                resolution,
                settle,
            } => Box::new(clock::ByProgram::new(
                program(read),
                program(advance),
                *resolution,
                *settle,
            )),
            ClockAdapter::Faketime {
                file,
                settle,
                resolution,
            } => Box::new(clock::Faketime::new(path(file)?, *settle, *resolution).map_err(failed)?),
        };
        let policy: Box<dyn Policy> = match &adapters.policy {
            PolicyAdapter::Fixed => Box::new(policy::Fixed::default()),
            PolicyAdapter::Control { url, settable } => {
                Box::new(policy::ByControl::new(control(url)?, settable.clone()))
            }
            PolicyAdapter::Program { set, settable } => Box::new(policy::ByProgram::new(
                program(set),
                settable.clone(),
                &profile.pics,
            )),
        };
        let accounts = match (&profile.pixit.accounts, adapters.control_url()) {
            (Provision::Control, Some(url)) => Some(Accounts::Control(control(url)?)),
            (Provision::Program(words), _) => Some(Accounts::Program(program(words))),
            _ => None,
        };
        let (alive, unchanging) = watch::channel(Life::Running);
        let Whereabouts { targets, dialer } = whereabouts::find(profile, places).await?;
        Ok(Self {
            targets,
            dialer,
            store,
            clock: StoreClock::new(clock),
            policy,
            accounts,
            life: process.as_ref().map_or(unchanging, Process::life),
            process: process.map(tokio::sync::Mutex::new),
            _alive: alive,
            profile: profile.clone(),
        })
    }

    async fn start(&self) -> Result<(), String> {
        self.launch().await?;
        self.clock.measure().await.map(drop)
    }

    /// Starts the server and waits until it is ready.
    pub(crate) async fn launch(&self) -> Result<(), String> {
        if let Some(process) = &self.process {
            process.lock().await.start().await?;
        }
        self.await_ready().await
    }

    /// Waits for the signs of readiness that show from outside.
    async fn await_ready(&self) -> Result<(), String> {
        let ProcessAdapter::Command(command) = &self.profile.adapters.process else {
            return Ok(());
        };
        let mut life = self.life();
        let ready = async {
            match &command.ready {
                Ready::Line(_) => Ok(()),
                Ready::Tcp(address) => {
                    let process = self.process.as_ref().ok_or("no process")?;
                    let address = process.lock().await.places().fill(address)?;
                    let address = whereabouts::look_up(&address).await?;
                    probe::accepts(address, command.ready_within).await
                }
                Ready::Options => self.reach(command.ready_within).await.map_err(|e| e.what),
            }
        };
        let ended = async {
            match life
                .wait_for(|life| *life != Life::Running)
                .await
                .map(|life| life.clone())
            {
                Ok(Life::Died(how)) => how,
                _ => "it was stopped".to_owned(),
            }
        };
        let why = tokio::select! {
            biased;
            outcome = ready => match outcome {
                Ok(()) => return Ok(()),
                Err(why) => why,
            },
            how = ended => return Err(how),
        };
        let said = match &self.process {
            Some(process) => process.lock().await.last_words(),
            None => String::new(),
        };
        Err(format!("{why}; its last lines:\n{said}"))
    }

    /// Asks the server for a sign of life over each transport that the profile names.
    async fn reach(&self, within: Duration) -> Result<(), SetUpError> {
        let pixit = &self.profile.pixit;
        for (&transport, &target) in &self.targets {
            let domain = &pixit.domain;
            let asked = probe::reach(&self.dialer, transport, target, domain, within).await;
            let Err(why) = asked else { continue };
            let (why, advice) = probe::advised(&why);
            return Err(SetUpError {
                what: format!(
                    "the server does not answer at {target} over {}: {why}",
                    transport.as_str()
                ),
                tried: format!(
                    "an OPTIONS request to sip:{domain} for {} s",
                    within.as_secs_f64()
                ),
                check: advice
                    .unwrap_or(
                        "that the server runs, that `pixit.target` of the profile is its address, that `pixit.domain` \
                         is its domain, that no firewall is in the way, and that `pixit.bind` is an address from \
                         which it can be reached",
                    )
                    .to_owned(),
            });
        }
        if self.clock.now().is_none() && self.process.is_none() {
            self.clock.measure().await.map_err(|what| SetUpError {
                what: format!("the store clock cannot be read: {what}"),
                tried: "the clock adapter of the profile".into(),
                check: "`adapters.clock` of the profile".into(),
            })?;
        }
        Ok(())
    }
}
