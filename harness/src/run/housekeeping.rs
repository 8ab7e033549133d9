//! Between two cases that share accounts: what the first has left is removed before the second begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::RunEvent;
use super::interpreter::Interpreter;
use super::lane::{Setting, stamp, surroundings};
use super::timeline::Timeline;
use crate::agent::Agents;
use crate::scenario::model::UserState;
use crate::scenario::{Case, CaseUser};
use crate::sut::Instance;
use crate::sut::pool::Lease;

/// The accounts of a pool that a case uses.
pub(super) fn accounts(case: &Case) -> Vec<String> {
    let users = case.users.iter();
    users
        .filter(|user| user.state != UserState::Absent)
        .map(|user| user.name.clone())
        .collect()
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
    /// Cleans the accounts of a lease that need it. `bound`: what the case at hand has registered, by role.
    ///
    /// # Errors
    /// Which account cannot be cleaned, and why. It is given to nobody any more.
    pub(super) async fn clean(
        &self,
        lease: &Lease,
        bound: &BTreeMap<String, Vec<String>>,
    ) -> Result<(), String> {
        let unclean = lease.unclean();
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
            let contacts = bound.get(&user.role).map_or(&[][..], Vec::as_slice);
            match interpreter.sweep(&user, contacts).await {
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

    /// Puts things in order behind a case.
    pub(super) async fn leave(&self, lease: Option<&Lease>, bound: &BTreeMap<String, Vec<String>>) {
        let tell = |line| self.setting.events.tell(RunEvent::Log { line });
        if let Some(lease) = lease
            && let Err(why) = self.clean(lease, bound).await
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
