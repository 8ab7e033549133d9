//! Between two cases that share accounts: what the first has left is removed before the second begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::interpreter::Interpreter;
use super::lane::{Setting, stamp, surroundings};
use super::timeline::Timeline;
use super::{Events, RunEvent, RunOptions};
use crate::agent::Agents;
use crate::scenario::model::UserState;
use crate::scenario::{Case, CaseUser};
use crate::sut::pool::Lease;
use crate::sut::{Instance, Profile};

/// The accounts of a pool that a case uses.
pub(super) fn accounts(case: &Case) -> Vec<String> {
    let users = case.users.iter();
    users
        .filter(|user| user.state != UserState::Absent)
        .map(|user| user.name.clone())
        .collect()
}

/// Cleans the accounts of a case outside of any run, where others have them, too.
///
/// # Errors
/// Which account cannot be cleaned, and why.
pub(crate) async fn clean_accounts(
    profile: &Profile,
    instance: &Arc<Instance>,
    case: &Arc<Case>,
) -> Result<(), String> {
    let Some(pool) = &instance.pool else {
        return Ok(());
    };
    let lease = pool.take(&accounts(case)).await?;
    // Nobody listens, and nobody interrupts: the caller does.
    let events = Events(mpsc::unbounded_channel().0);
    let setting = Setting {
        profile: profile.clone(),
        options: RunOptions {
            jobs: 1,
            time_budget: Duration::ZERO,
            seed: 0,
        },
        events: events.clone(),
        stop: watch::channel(false).1,
        begun: Instant::now(),
    };
    let house = House {
        setting: &setting,
        case,
        instance,
        timeline: &Timeline::new(0, Arc::clone(instance), events),
        policy: &BTreeMap::new(),
    };
    let clean = house.clean(&lease, &Left::default()).await;
    // What they are used for now leaves something in them.
    lease.begin();
    clean
}

/// What a case has left behind, by role.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Contacts that may still be registered.
    pub(super) bound: BTreeMap<String, Vec<String>>,
    /// How many messages may still come.
    pub(super) owed: BTreeMap<String, usize>,
}

/// What is needed to put things in order around a case.
pub(super) struct House<'a> {
    pub(super) setting: &'a Setting,
    pub(super) case: &'a Arc<Case>,
    pub(super) instance: &'a Arc<Instance>,
    pub(super) timeline: &'a Arc<Timeline>,
    pub(super) policy: &'a BTreeMap<String, Value>,
}

impl House<'_> {
    /// Cleans the accounts of a lease that need it: those that a case has used, and those in which something has
    /// turned up since they were clean. `left`: by the case at hand.
    ///
    /// # Errors
    /// Which account cannot be cleaned, and why. It is given to nobody any more.
    pub(super) async fn clean(&self, lease: &Lease, left: &Left) -> Result<(), String> {
        let mut unclean = lease.unclean();
        for user in &self.case.users {
            if lease.has(&user.name)
                && !unclean.contains(&user.name)
                && self.instance.shows_something_of(user).await
            {
                unclean.push(user.name.clone());
            }
        }
        let users = self.case.users.iter();
        let users: Vec<CaseUser> = users
            .filter(|user| unclean.contains(&user.name))
            // The case may want a transport that the profile does not have.
            .map(|user| CaseUser {
                transport: self.setting.profile.pixit.transport.as_str().to_owned(),
                ..user.clone()
            })
            .collect();
        if users.is_empty() {
            return Ok(());
        }
        // Agents of their own: nothing of this is evidence.
        let empty = Arc::new(Case {
            steps: Vec::new(),
            ..(**self.case).clone()
        });
        let agents = Agents::new(
            Arc::clone(&empty),
            stamp(self.setting, self.instance),
            surroundings(self.setting, self.instance, self.policy),
        );
        let interpreter = Interpreter::new(
            &empty,
            &agents,
            self.instance,
            self.timeline,
            &self.setting.profile,
            &self.setting.options,
            self.policy,
        );
        let mut failed = None;
        for user in users {
            let bound = left.bound.get(&user.role).map_or(&[][..], Vec::as_slice);
            let owed = left.owed.get(&user.role).copied().unwrap_or_default();
            match interpreter.sweep(&user, bound, owed).await {
                Ok(()) => lease.is_clean(&user.name),
                Err(why) => {
                    lease.retire(&user.name, &why);
                    failed.get_or_insert(format!("the account `{}`: {why}", user.name));
                }
            }
        }
        drop(interpreter);
        agents.finish().await;
        failed.map_or(Ok(()), Err)
    }

    /// Puts things in order behind a case: cleans the accounts of a lease, removes what was made.
    pub(super) async fn leave(&self, lease: Option<&Lease>, left: &Left) {
        let tell = |line| self.setting.events.tell(RunEvent::Log { line });
        if let Some(lease) = lease
            && let Err(why) = self.clean(lease, left).await
        {
            tell(format!(
                "{why}; cases that need it are inconclusive from here on"
            ));
        }
        if let Err(why) = self.instance.unprovision(&self.case.users).await {
            tell(format!(
                "accounts of {} could not be removed: {why}",
                self.case.id
            ));
        }
    }
}
