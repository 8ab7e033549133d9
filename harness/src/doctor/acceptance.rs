//! The conformance test of the adapters: what a run relies on, one property after the other. It knows the adapters only
//! by their traits, so that a program that somebody wrote this morning is held to the same as what is built in.

mod clock;
mod policy;
mod process;
mod store;

use std::sync::Arc;

use super::visit::Visit;
use super::{Doctor, Line, Patient};
use crate::run;
use crate::sut::{Instance, Profile};

/// An adapter of the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Adapter {
    /// Reads what is stored
    Store,
    /// Moves the time by which messages age
    Clock,
    /// Sets what the provider may choose
    Policy,
    /// Starts, stops and kills the server
    Process,
}

impl Adapter {
    /// All, in the order in which they are tried.
    pub const ALL: [Self; 4] = [Self::Store, Self::Clock, Self::Policy, Self::Process];
}

/// Holds the adapters of a profile to what a run relies on. Each line is told as soon as it is known. Gives nothing
/// where `stop` comes first; the server is left as it was found all the same.
pub async fn accept(
    profile: &Profile,
    adapters: &[Adapter],
    tell: &mut (dyn FnMut(&Line) + '_),
    stop: impl Future<Output = ()>,
) -> Option<Vec<Line>> {
    let mut doctor = Doctor {
        profile,
        lines: Vec::new(),
        tell,
    };
    let all = async |doctor: &mut Doctor<'_>, patient: &Patient| {
        doctor.accept(adapters, patient).await;
    };
    doctor.attend(&["all else"], stop, all).await?;
    Some(doctor.lines)
}

impl Doctor<'_> {
    async fn accept(&mut self, adapters: &[Adapter], patient: &Patient) {
        let Patient {
            sound, instance, ..
        } = patient;
        // Stamps are asked for from the first message on.
        let _ = instance.clock.measure().await;
        for adapter in adapters {
            match adapter {
                Adapter::Store => self.accept_store(sound, instance).await,
                Adapter::Clock if patient.clock => self.accept_clock(sound, instance).await,
                // What is wrong with it was said.
                Adapter::Clock => {}
                Adapter::Policy => self.accept_policy(instance).await,
                Adapter::Process => self.accept_process(sound, instance).await,
            }
        }
    }

    /// Users at the server, with their accounts.
    async fn visit(&mut self, sound: &Profile, instance: &Arc<Instance>) -> Result<Visit, String> {
        let visit = Visit::new(sound, instance)?;
        let made = instance.provision(visit.users()).await;
        made.map_err(|why| format!("no accounts could be made: {why}"))?;
        // What others, or the visit before, have left in accounts that are used again would be taken for ours.
        let clean = run::clean_accounts(sound, instance, visit.case()).await;
        clean.map_err(|why| format!("accounts that are used again are not clean: {why}"))?;
        Ok(visit)
    }

    /// Leaves a message for a user who is offline.
    async fn left(&mut self, visit: &Visit, to: &str, text: &str) -> Result<(), String> {
        let heard = visit.message("alice", to, text).await;
        if heard.is_good() {
            return Ok(());
        }
        let line = heard.line().or(heard.no_way);
        let line = line.unwrap_or_else(|| "no answer".to_owned());
        Err(format!(
            "no message for somebody offline was taken: {line} (`imspec doctor` says what to check)"
        ))
    }
}

/// A text that nobody else sends.
fn unique(text: &str) -> String {
    format!("imspec {:016x} {text}", fastrand::u64(..))
}
