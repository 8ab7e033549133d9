//! What a run relies on in a policy adapter.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::adapters::{list, others};
use super::super::visit;
use super::super::{Complaint, Doctor, advice};
use crate::catalogue::{PicsKeys, PicsType};
use crate::sut::Instance;
use crate::sut::policy::SetError;
use crate::sut::profile::PolicyAdapter;

/// What no key can be.
const NONSENSE: &str = "no-such-choice";

impl Doctor<'_> {
    pub(super) async fn accept_policy(&mut self, instance: &Instance) {
        let settable = instance.policy.settable().clone();
        if settable.is_empty() {
            return self.not_promised("policy", "fixed: there is no adapter");
        }
        let before = match instance.policy.read().await {
            Ok(before) => before,
            Err(why) => {
                self.policy_fails("policy.reads", &why);
                return self.not_tried(
                    &[
                        "policy.sets",
                        "policy.shows",
                        "policy.refuses",
                        "policy.back",
                    ],
                    "what holds now is not known",
                );
            }
        };
        let keys = PicsKeys::bundled().unwrap_or_default();
        let open: Vec<String> = settable
            .iter()
            .filter(|key| !before.contains_key(*key))
            .cloned()
            .collect();
        let foreign: Vec<String> = settable
            .iter()
            .filter(|key| keys.get(key).is_none())
            .cloned()
            .collect();
        if !foreign.is_empty() {
            let said = format!("no PICS keys: {}", list(&foreign));
            self.fails(
                "policy.reads",
                Complaint::new(
                    said,
                    &["`adapters.policy.settable`: `imspec list --pics` has the keys"],
                ),
            );
        } else if open.is_empty() {
            self.ok(
                "policy.reads",
                format!("what holds now is known of all {} keys", settable.len()),
            );
        } else {
            let said = format!(
                "nobody says what holds now of {}, so it could not be taken back",
                list(&open)
            );
            self.fails(
                "policy.reads",
                Complaint::new(
                    said,
                    &["declare them in `pics`, or take them out of `settable`"],
                ),
            );
        }
        let tried: Vec<(String, Value, Vec<Value>)> = settable
            .iter()
            .filter_map(|name| {
                let present = before.get(name)?.clone();
                let others = others(keys.get(name)?, &present);
                Some((name.clone(), present, others))
            })
            .filter(|(.., others)| !others.is_empty())
            .collect();
        self.sets(instance, &tried).await;
        self.refuses(instance, &keys, &tried).await;
        // Once more, whatever the nonsense did.
        let present = tried
            .iter()
            .map(|(name, present, _)| (name.clone(), present.clone()))
            .collect();
        match instance.policy.set(&present).await {
            Ok(()) => self.ok("policy.back", "what held before holds again"),
            Err(why) => self.policy_fails("policy.back", &why.to_string()),
        }
    }

    async fn sets(&mut self, instance: &Instance, tried: &[(String, Value, Vec<Value>)]) {
        let asks = matches!(self.profile.adapters.policy, PolicyAdapter::Control { .. });
        let (mut set, mut declined, mut failed, mut hidden) =
            (0, Vec::new(), Vec::new(), Vec::new());
        for (name, present, others) in tried {
            // Some value may be more than this server can be; the way to it works when one is taken.
            let mut taken = Err(SetError::Declined(String::new()));
            for other in others {
                taken = match (instance.policy.set(&one(name, other)).await, taken) {
                    (Ok(()), _) => Ok(other),
                    (Err(SetError::Declined(_)), before) => before,
                    (failed, _) => failed.map(|()| other),
                };
                if taken.is_ok() {
                    break;
                }
            }
            let other = match taken {
                Ok(other) => other,
                Err(SetError::Declined(_)) => {
                    declined.push(name.clone());
                    continue;
                }
                Err(SetError::Failed(why)) => {
                    failed.push((name.clone(), why));
                    continue;
                }
            };
            set += 1;
            if asks {
                let shown = instance.policy.read().await.unwrap_or_default();
                if !shown
                    .get(name)
                    .is_some_and(|value| crate::catalogue::pics::same(value, other))
                {
                    hidden.push(name.clone());
                }
            }
            if let Err(why) = instance.policy.set(&one(name, present)).await {
                failed.push((name.clone(), why.to_string()));
            }
        }
        if let Some((name, why)) = failed.first() {
            let said = format!(
                "{} of {} keys cannot be set and taken back, such as {name}: {}",
                failed.len(),
                tried.len(),
                visit::shown(why)
            );
            let mut check = advice::of_program_or_url(why, "adapters.policy");
            check.push("`adapters.policy`: `settable` names only what it can set; a value that the server cannot have is status 65 (422 of the control API)".into());
            self.fails("policy.sets", Complaint { said, check });
        } else {
            let mut said = format!("{set} keys took another value and the one before");
            if !declined.is_empty() {
                said = format!("{said}; declined: {}", list(&declined));
            }
            self.ok("policy.sets", said);
        }
        if !asks {
            self.not_promised("policy.shows", "a program is not asked what holds");
        } else if hidden.is_empty() {
            self.ok(
                "policy.shows",
                "what was set is what holds, when it is asked",
            );
        } else {
            let said = format!(
                "set with success, and not shown afterwards: {}",
                list(&hidden)
            );
            self.fails("policy.shows", Complaint::new(said, &["what takes a choice must make it before it says so: a restart or a reload may be missing"]));
        }
    }

    /// Who says yes to everything says nothing.
    async fn refuses(
        &mut self,
        instance: &Instance,
        keys: &PicsKeys,
        tried: &[(String, Value, Vec<Value>)],
    ) {
        let choice = tried.iter().find(|(name, ..)| {
            keys.get(name)
                .is_some_and(|key| key.kind == PicsType::Choice)
        });
        let Some((name, ..)) = choice else {
            return self.not_tried(
                &["policy.refuses"],
                "no key that can be set is a choice of few words",
            );
        };
        match instance
            .policy
            .set(&one(name, &Value::from(NONSENSE)))
            .await
        {
            Err(_) => self.ok(
                "policy.refuses",
                format!("`{name}: {NONSENSE}` is not taken"),
            ),
            Ok(()) => {
                let said = format!("`{name}: {NONSENSE}` is taken with success");
                let check = "`adapters.policy`: what the server cannot have must end with status 65 (422 of the control API), else cases run on a \
                             server that is not as they want it, and blame it";
                self.fails("policy.refuses", Complaint::new(said, &[check]));
            }
        }
    }

    fn policy_fails(&mut self, what: &str, why: &str) {
        let check = advice::of_program_or_url(why, "adapters.policy");
        self.fails(
            what,
            Complaint {
                said: visit::shown(why),
                check,
            },
        );
    }
}

fn one(name: &str, value: &Value) -> BTreeMap<String, Value> {
    BTreeMap::from([(name.to_owned(), value.clone())])
}
