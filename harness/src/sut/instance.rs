//! One server under test with its adapters in place.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use imspec_reports::record::UtcTime;
use tokio::sync::watch;

use super::accounts::{self, Accounts, NewAccount};
use super::clock::{self, StoreClock};
use super::control::Control;
use super::places::Places;
use super::policy::{self, Policy, SetError};
use super::pool::Pool;
use super::probe;
use super::process::{ByCommands, Child, Life, Process};
use super::profile::{
    ClockAdapter, Database, Login, PolicyAdapter, ProcessAdapter, Profile, Provision, Ready,
    Registration, StoreAdapter, Transport,
};
use super::program::Program;
use super::store::{self, Store};
use super::whereabouts::{self, Whereabouts};
use crate::agent::Scscf;
use crate::link::Dialer;
use crate::scenario::CaseUser;
use crate::scenario::model::UserState;

/// How long a server that runs already may take to answer.
const REACH: Duration = Duration::from_secs(4);
/// Attempts to start a server, because a port that was free may be taken a moment later.
const STARTS: usize = 3;

/// How late a store may show a message that has shown others at once.
const SOON: Duration = Duration::from_millis(200);

/// How long a server whose clock is moved through itself stays down in real time at most; what is longer is
/// caught up with when it is up again.
pub const SHORT: Duration = Duration::from_secs(5);

/// The store adapter of a profile.
fn store_of(profile: &Profile, places: &Places) -> Result<Option<Box<dyn Store>>, SetUpError> {
    let fill = |text: &str| places.fill(text).map_err(not_set_up);
    let control = |url: &str| fill(url).and_then(|url| Control::new(&url).map_err(not_set_up));
    let path = |text: &str| fill(text).map(|path| profile.folder.join(path));
    let program = |words: &[String]| Program::new(words, places);
    Ok(match &profile.adapters.store {
        StoreAdapter::None => None,
        StoreAdapter::Control(url) => Some(Box::new(store::ByControl::new(control(url)?))),
        StoreAdapter::Program(words) => Some(Box::new(store::ByProgram::new(program(words)))),
        StoreAdapter::Imap { server, boxes } => {
            let (address, password) = server.filled(places).map_err(not_set_up)?;
            let boxes = (**boxes).clone();
            Some(Box::new(store::Imap::new(
                &address, password, boxes, places,
            )))
        }
        StoreAdapter::Sql { database, query } => {
            let query = query.clone();
            let login = |login: &Login| login.filled(places).map_err(not_set_up);
            Some(match database {
                Database::Sqlite(file) => Box::new(store::Sqlite::new(&path(file)?, query)),
                Database::Postgres(server) => {
                    let (address, password) = login(server)?;
                    let store = store::Postgres::new(&address, password.as_deref(), query);
                    Box::new(store.map_err(not_set_up)?)
                }
                Database::Mysql(server) => {
                    let (url, password) = login(server)?;
                    let store = store::Mysql::new(&url, password.as_deref(), query);
                    Box::new(store.map_err(not_set_up)?)
                }
            })
        }
    })
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn not_set_up(what: String) -> SetUpError {
    SetUpError {
        what: format!("the adapters of the profile could not be set up: {what}"),
        tried: "the values under `pixit` and `adapters`".into(),
        check: "the profile".into(),
    }
}

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
    /// The accounts, where it has only a few.
    pub pool: Option<Arc<Pool>>,
    /// Cleans one of them.
    clean: Option<Program>,
    /// Removes an account that was made.
    remove: Option<Program>,
    /// Those that were made, perhaps in part, and are still to be removed.
    made: Mutex<BTreeSet<String>>,
    /// The longest that the store has taken so far to show a message, where it has shown one.
    lag: Mutex<Option<Duration>>,
    /// Where its S-CSCF is found by it, where that is one address for all users.
    pub scscf: Option<Arc<Scscf>>,
    /// Programs that bring a user online and offline, where the profile has some.
    presence: Option<(Program, Program)>,
    /// What starts and ends it, where the profile says how.
    process: Option<tokio::sync::Mutex<Box<dyn Process>>>,
    places: Places,
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
    /// Starts a server, or finds the one that runs, and makes sure that it answers; unless `stop` comes first: then
    /// it is left as it was found, and there is none.
    pub async fn open(
        profile: &Profile,
        stop: impl Future<Output = ()>,
    ) -> Result<Option<Self>, SetUpError> {
        let mut stop = std::pin::pin!(stop);
        match &profile.adapters.process {
            ProcessAdapter::Attach => {
                let found = async {
                    let instance = Self::assemble(profile, &places_of(profile), None).await?;
                    instance.reach(REACH).await.map(|()| instance)
                };
                unless(stop, found).await.transpose()
            }
            ProcessAdapter::Commands(commands) => {
                let places = places_of(profile);
                let process: Box<dyn Process> = Box::new(ByCommands::new(commands, &places));
                let instance = Self::assemble(profile, &places, Some(process)).await?;
                let started = unless(stop, instance.start()).await;
                if started != Some(Ok(())) {
                    instance.close().await;
                }
                let started = started.transpose();
                let started = started.map_err(|what| not_started(profile, &what))?;
                Ok(started.map(|()| instance))
            }
            ProcessAdapter::Command(command) => {
                let mut last = None;
                for _ in 0..STARTS {
                    let failed = |what: String| not_started(profile, &what);
                    let child = Child::prepare(command, &profile.folder, profile.pixit.bind);
                    let Some(child) = unless(&mut stop, child).await else {
                        return Ok(None);
                    };
                    let child = child.map_err(failed)?;
                    let places = child.places().clone();
                    // The adapters first: the file of libfaketime must be there when the server starts.
                    let instance = Self::assemble(profile, &places, Some(Box::new(child))).await?;
                    // A child ends with its handle.
                    match unless(&mut stop, instance.start()).await {
                        None => return Ok(None),
                        Some(Ok(())) => return Ok(Some(instance)),
                        Some(Err(what)) => last = Some(failed(what)),
                    }
                }
                Err(last.unwrap_or_else(|| not_started(profile, "it was not tried")))
            }
        }
    }

    /// How the server is; [`Life::Running`] for ever when imspec did not start it.
    pub fn life(&self) -> watch::Receiver<Life> {
        self.life.clone()
    }

    /// The store has shown a message so long after it was asked for it.
    pub fn has_shown(&self, after: Duration) {
        let mut lag = self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        *lag = (*lag).max(Some(after));
    }

    /// How late the store may still show something that it has not shown yet: ten times as late as it ever did, but no
    /// later than the profile has it.
    pub fn lateness(&self) -> Duration {
        let most = self.profile.pixit.timers.store;
        let lag = *self.lag.lock().unwrap_or_else(PoisonError::into_inner);
        lag.map_or(most, |lag| (lag * 10).max(SOON).min(most))
    }

    /// Whether [`Self::clean`] does something.
    pub fn cleans_by_program(&self) -> bool {
        self.clean.is_some()
    }

    /// Whether the store can be seen, and shows something in the account of this user.
    pub async fn shows_something_of(&self, user: &CaseUser) -> bool {
        match &self.store {
            // What cannot be read is said where it matters.
            Some(store) => store
                .read(&store::Account::of(user))
                .await
                .is_ok_and(|records| !records.is_empty()),
            None => false,
        }
    }

    /// Whether [`Self::restart`] can work.
    pub fn can_restart(&self) -> bool {
        self.process.is_some()
    }

    /// Makes sure that these users have accounts, where the profile says that the harness must; but for those who
    /// shall have none.
    ///
    /// # Errors
    /// What the server or the program says.
    pub async fn provision(&self, users: &[CaseUser]) -> Result<(), SetError> {
        let Some(accounts) = &self.accounts else {
            return Ok(());
        };
        let logins = self.profile.pixit.logins.as_deref();
        let wanted: Vec<NewAccount> = users
            .iter()
            .filter(|user| user.state != UserState::Absent)
            .map(|user| NewAccount::of(user, logins))
            .collect();
        if wanted.is_empty() {
            return Ok(());
        }
        if self.remove.is_some() {
            // Before they are there: who is interrupted while he makes one cannot tell how far he came.
            let addresses = wanted.iter().map(|account| account.address.clone());
            self.made().extend(addresses);
        }
        accounts.add(&wanted).await
    }

    /// Has a program clean an account; `None` where the profile has none.
    pub async fn clean(&self, account: &str) -> Option<Result<(), SetError>> {
        let program = self.clean.as_ref()?;
        let ran = program.run(&accounts::words(account)).await;
        Some(ran.map(drop).map_err(SetError::from))
    }

    /// Removes the accounts of these users, where they were made and the profile says how.
    ///
    /// # Errors
    /// What the program says of the first that it cannot remove.
    pub async fn unprovision(&self, users: &[CaseUser]) -> Result<(), SetError> {
        self.remove_made(users.iter().map(CaseUser::uri).collect())
            .await
    }

    /// Removes those of these accounts that were made.
    async fn remove_made(&self, addresses: Vec<String>) -> Result<(), SetError> {
        let Some(program) = &self.remove else {
            return Ok(());
        };
        let mut outcome = Ok(());
        for address in addresses {
            if !self.made().contains(&address) {
                continue;
            }
            let ran = program.run(&accounts::words(&address)).await;
            // Tried once. An interrupted try does not count: `close` comes after it.
            self.made().remove(&address);
            outcome = outcome.and(ran.map(drop).map_err(SetError::from));
        }
        outcome
    }

    fn made(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a program bring a user online, so that he is reached at `contact` for so many seconds; offline for 0.
    ///
    /// # Errors
    /// What the program says; or that the profile has none.
    pub async fn bring(&self, account: &str, contact: &str, expires: &str) -> Result<(), SetError> {
        let Some((online, offline)) = &self.presence else {
            return Err(SetError::Failed(
                "the profile has no program for that".into(),
            ));
        };
        let mut words = accounts::words(account).to_vec();
        words.extend([("contact", contact), ("expires", expires)]);
        let program = if expires == "0" { offline } else { online };
        program.run(&words).await?;
        Ok(())
    }

    /// Whether an address without an account can be had.
    pub fn knows_absent_users(&self) -> bool {
        self.accounts.is_some() || self.pool.is_some()
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
        process.stop(kill).await?;
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

    /// Starts and ends it, where the profile says how.
    pub(crate) fn process(&self) -> Option<&tokio::sync::Mutex<Box<dyn Process>>> {
        self.process.as_ref()
    }

    /// Leaves the server as it was found: accounts that were made are removed, one that imspec started is stopped.
    pub async fn close(&self) {
        // Nothing is left to be told, and nobody to tell it to.
        let left = self.made().iter().cloned().collect();
        let _ = self.remove_made(left).await;
        if let Some(process) = &self.process {
            let _ = process.lock().await.leave().await;
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
            // Its clock went down with it, and is moved once it is back. A short time is waited all the
            // same: what is over when a server comes up differs from what ends before its eyes.
            ClockAdapter::Control { .. } | ClockAdapter::Program { .. } => {
                if down <= SHORT {
                    tokio::time::sleep(down).await;
                }
                Ok(())
            }
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
        process: Option<Box<dyn Process>>,
    ) -> Result<Self, SetUpError> {
        let failed = not_set_up;
        let fill = |text: &str| places.fill(text).map_err(failed);
        let control = |url: &str| fill(url).and_then(|url| Control::new(&url).map_err(failed));
        let program = |words: &[String]| Program::new(words, places);
        let adapters = &profile.adapters;
        let store = store_of(profile, places)?;
        // A server that imspec started shares our clock.
        let ours = matches!(adapters.process, ProcessAdapter::Command(_)) && process.is_some();
        let clock = clock_of(profile, places, ours).map_err(failed)?;
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
            (Provision::Program { make, .. }, _) => Some(Accounts::Program(program(make))),
            _ => None,
        };
        let remove = match &profile.pixit.accounts {
            Provision::Program { remove, .. } => remove.as_deref().map(program),
            Provision::None | Provision::Control => None,
        };
        let few = profile.pixit.pool.as_ref();
        let clean = few.and_then(|few| few.clean.as_deref()).map(program);
        let pool = few.map(|few| Pool::new(&few.names));
        let presence = match &profile.pixit.standing.registration {
            Registration::Command { online, offline } => Some((program(online), program(offline))),
            Registration::Register | Registration::ThirdParty { .. } => None,
        };
        let (alive, unchanging) = watch::channel(Life::Running);
        let Whereabouts { targets, dialer } = whereabouts::find(profile, places).await?;
        let scscf = match &profile.pixit.standing.registration {
            Registration::ThirdParty {
                address: Some(address),
                ..
            } => {
                let address = whereabouts::look_up(&fill(address)?)
                    .await
                    .map_err(failed)?;
                Some(Scscf::at(address, &dialer).await.map_err(failed)?)
            }
            _ => None,
        };
        Ok(Self {
            targets,
            dialer,
            store,
            clock: StoreClock::new(clock),
            policy,
            accounts,
            pool,
            clean,
            remove,
            made: Mutex::default(),
            lag: Mutex::default(),
            scscf,
            presence,
            life: process
                .as_ref()
                .map_or(unchanging, |process| process.life()),
            process: process.map(tokio::sync::Mutex::new),
            places: places.clone(),
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
    pub(crate) async fn await_ready(&self) -> Result<(), String> {
        let Some((ready, within)) = self.profile.adapters.process.readiness() else {
            return Ok(());
        };
        let mut life = self.life();
        let ready = async {
            match ready {
                Ready::Line(_) => Ok(()),
                Ready::Tcp(address) => {
                    let address = self.places.fill(address)?;
                    let address = whereabouts::look_up(&address).await?;
                    probe::accepts(address, within).await
                }
                Ready::Options => self.reach(within).await.map_err(|e| e.what),
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
            Some(process) => process.lock().await.last_words().await,
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

/// What comes of some work, unless `stop` comes first.
pub(crate) fn unless<T>(
    stop: impl Future<Output = ()>,
    work: impl Future<Output = T>,
) -> impl Future<Output = Option<T>> {
    // Whatever waits for it need not be as large as the work.
    let work = Box::pin(work);
    async {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = stop => None,
        }
    }
}

/// The clock adapter of a profile.
fn clock_of(
    profile: &Profile,
    places: &Places,
    ours: bool,
) -> Result<Box<dyn clock::Clock>, String> {
    let program = |words: &[String]| Program::new(words, places);
    Ok(match &profile.adapters.clock {
        ClockAdapter::Real { skew, resolution } => Box::new(clock::Real {
            skew: if ours {
                Duration::from_millis(1)
            } else {
                *skew
            },
            resolution: *resolution,
        }),
        ClockAdapter::Control { url, resolution } => {
            let control = Control::new(&places.fill(url)?)?;
            Box::new(clock::ByControl::new(control, *resolution))
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
        } => {
            let file = profile.folder.join(places.fill(file)?);
            Box::new(clock::Faketime::new(file, *settle, *resolution)?)
        }
    })
}

/// The places of a server that imspec does not start as a process of its own.
fn places_of(profile: &Profile) -> Places {
    Places {
        profile: profile.folder.clone(),
        ..Places::default()
    }
}

fn not_started(profile: &Profile, what: &str) -> SetUpError {
    let check = match &profile.adapters.process {
        ProcessAdapter::Commands(_) => {
            "that the command works when it is typed by hand, as the same user"
        }
        _ => "that the program is installed and its configuration fits",
    };
    SetUpError {
        what: format!("the server could not be started: {what}"),
        tried: format!("`{}`", profile.adapters.process.shown()),
        check: check.into(),
    }
}
