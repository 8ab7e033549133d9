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
        self.start.run(&[]).await?;
        self.life.send_replace(Life::Running);
        if let Some(running) = self.running.clone() {
            self.lookout = Some(tokio::spawn(look_out(
                running,
                self.log.clone(),
                self.life.clone(),
            )));
        }
        Ok(())
    }

    async fn ended(&mut self, kill: bool) -> Result<(), String> {
        if let Some(lookout) = self.lookout.take() {
            lookout.abort();
        }
        // Its end is no death from now on.
        self.life.send_replace(Life::Stopped);
        let command = if kill { &self.kill } else { &self.stop };
        let asked = command.run(&[]).await;
        let Some(running) = &self.running else {
            return asked.map(drop).map_err(String::from);
        };
        let deadline = Instant::now() + self.stop_within;
        while runs(running).await? {
            // What does not run cannot be stopped, and need not be; what runs on tells why.
            asked.as_ref().map_err(|why| String::from(why.clone()))?;
            if Instant::now() >= deadline {
                return Err(format!(
                    "it still runs {} s after `{}`",
                    self.stop_within.as_secs_f64(),
                    command.shown()
                ));
            }
            tokio::time::sleep(LOOK_CLOSER).await;
        }
        Ok(())
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
            let seemed = *self.life.borrow() == Life::Running;
            // A command that took too long, or was interrupted, may have done its work all the same.
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
