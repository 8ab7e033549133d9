//! A server that others keep: a unit of systemd, a container, a process of another machine. Commands start it, stop it,
//! kill it and tell whether it runs; where one is asked for through `ssh`, its words are quoted for the shell at the
//! other end.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Life, Process};
use crate::sut::Pending;
use crate::sut::places::Places;
use crate::sut::profile::Commands;
use crate::sut::program::Program;

/// How often it is looked whether the server still runs.
const LOOK: Duration = Duration::from_secs(2);
/// The same while its end is waited for.
const LOOK_CLOSER: Duration = Duration::from_millis(100);

/// A server that commands start and end.
#[derive(Debug)]
pub struct ByCommands {
    start: Program,
    stop: Program,
    kill: Program,
    running: Option<Program>,
    log: Option<Program>,
    stop_within: Duration,
    life: watch::Sender<Life>,
    lookout: Option<JoinHandle<()>>,
    /// A command whose end nobody has waited for yet.
    underway: Option<JoinHandle<Result<(), String>>>,
    /// Whether it ran before imspec came.
    found: Option<bool>,
}

impl ByCommands {
    /// The commands of a profile; nothing is started yet.
    pub(crate) fn new(commands: &Commands, places: &Places) -> Self {
        // A clean stop ends within its time, and the command with it.
        let within = commands.stop_within + LOOK;
        let program =
            |words: &Vec<String>| Program::new(&commands.sent(words), places).within(within);
        Self {
            start: Program::new(&commands.sent(&commands.start), places)
                .within(commands.ready_within),
            stop: program(&commands.stop),
            kill: program(&commands.kill),
            running: commands.running.as_ref().map(program),
            log: commands.log.as_ref().map(program),
            stop_within: commands.stop_within,
            life: watch::Sender::new(Life::Stopped),
            lookout: None,
            underway: None,
            found: None,
        }
    }

    async fn started(&mut self) -> Result<(), String> {
        if self.found.is_none() {
            self.found = Some(match &self.running {
                Some(running) => runs(running).await?,
                // Nobody can tell. What is not stopped harms least.
                None => true,
            });
        }
        self.carried_out(self.start.clone()).await?;
        self.life.send_replace(Life::Running);
        self.watched_over();
        Ok(())
    }

    async fn ended(&mut self, kill: bool) -> Result<(), String> {
        // Its end is no death from now on.
        if let Some(lookout) = self.lookout.take() {
            lookout.abort();
            let _ = lookout.await;
        }
        let ended = self.asked_to_end(kill).await;
        match ended {
            Ok(()) => drop(self.life.send_replace(Life::Stopped)),
            // It runs on, as far as anybody knows, and may die yet.
            Err(_) => self.watched_over(),
        }
        ended
    }

    async fn asked_to_end(&mut self, kill: bool) -> Result<(), String> {
        let command = if kill { &self.kill } else { &self.stop }.clone();
        let shown = command.shown();
        let asked = self.carried_out(command).await;
        let Some(running) = &self.running else {
            return asked;
        };
        let deadline = Instant::now() + self.stop_within;
        while runs(running).await? {
            // What does not run cannot be stopped, and need not be; what runs on tells why.
            asked.clone()?;
            if Instant::now() >= deadline {
                return Err(format!(
                    "it still runs {} s after `{shown}`",
                    self.stop_within.as_secs_f64()
                ));
            }
            tokio::time::sleep(LOOK_CLOSER).await;
        }
        Ok(())
    }

    /// Runs a command to its end, also where nobody waits for it any more: whoever takes the orders (a daemon, another
    /// machine) carries on when the command is killed, and would undo what is done next.
    async fn carried_out(&mut self, command: Program) -> Result<(), String> {
        self.settled().await;
        let task = async move { command.run(&[]).await.map(drop).map_err(String::from) };
        self.underway = Some(tokio::spawn(task));
        self.settled().await.unwrap_or(Ok(()))
    }

    /// Waits for a command that is under way, and gives its outcome.
    async fn settled(&mut self) -> Option<Result<(), String>> {
        let outcome = self.underway.as_mut()?.await;
        self.underway = None;
        Some(outcome.unwrap_or_else(|why| Err(why.to_string())))
    }

    /// From now on an end of the server is noticed.
    fn watched_over(&mut self) {
        if let Some(running) = self.running.clone() {
            let lookout = look_out(running, self.log.clone(), self.life.clone());
            self.lookout = Some(tokio::spawn(lookout));
        }
    }
}

impl Drop for ByCommands {
    fn drop(&mut self) {
        if let Some(lookout) = self.lookout.take() {
            lookout.abort();
        }
    }
}

impl Process for ByCommands {
    fn life(&self) -> watch::Receiver<Life> {
        self.life.subscribe()
    }

    fn last_words(&self) -> Pending<'_, String> {
        Box::pin(words_of(self.log.as_ref()))
    }

    fn start(&mut self) -> Pending<'_, Result<(), String>> {
        Box::pin(self.started())
    }

    fn stop(&mut self, kill: bool) -> Pending<'_, Result<(), String>> {
        Box::pin(self.ended(kill))
    }

    fn leave(&mut self) -> Pending<'_, Result<(), String>> {
        Box::pin(async {
            self.settled().await;
            let seemed = *self.life.borrow() == Life::Running;
            // A command that took too long may have done its work all the same.
            let runs = match &self.running {
                Some(running) => runs(running).await.unwrap_or(seemed),
                None => seemed,
            };
            match self.found {
                Some(true) if !runs => self.started().await,
                Some(false) if runs => self.ended(false).await,
                _ => Ok(()),
            }
        })
    }
}

/// Whether the server runs: the command ends with status 0 and does not print `false`.
async fn runs(running: &Program) -> Result<bool, String> {
    let Some(printed) = running.answer(&[]).await? else {
        return Ok(false);
    };
    Ok(printed.trim_ascii() != b"false")
}

/// Tells when the server has ended by itself.
async fn look_out(running: Program, log: Option<Program>, life: watch::Sender<Life>) {
    let mut missed = false;
    loop {
        tokio::time::sleep(LOOK).await;
        // A command that failed says nothing about the server, and one look may fall into a hiccup of the network.
        match runs(&running).await {
            Ok(false) if missed => break,
            Ok(runs) => missed = !runs,
            Err(_) => {}
        }
    }
    let how = format!(
        "the server ended by itself (`{}` says so); its last lines:\n{}",
        running.shown(),
        words_of(log.as_ref()).await
    );
    life.send_if_modified(|life| {
        let died = *life == Life::Running;
        if died {
            *life = Life::Died(how);
        }
        died
    });
}

async fn words_of(log: Option<&Program>) -> String {
    match log {
        None => "(the profile has no command that shows them)".to_owned(),
        Some(log) => match log.run(&[]).await {
            Ok(printed) => String::from_utf8_lossy(&printed).trim().to_owned(),
            Err(why) => String::from(why),
        },
    }
}
