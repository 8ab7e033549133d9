//! What users do: accounts, registration, a message for later, its delivery.

use super::visit::{Heard, Visit};
use super::{Complaint, Doctor, advice};
use crate::sut::Instance;
use crate::sut::profile::{Provision, Registration};

/// How long a registration is asked for.
const EXPIRES: u32 = 600;

impl Doctor<'_> {
    /// Makes the accounts, where the harness must.
    pub(super) async fn provision(&mut self, instance: &Instance, visit: &Visit) {
        let pixit = &self.profile.pixit;
        if let (Some(few), Provision::None) = (self.profile.few(), &pixit.accounts) {
            let said = format!("{} listed, which cases share", few.len());
            return self.ok("accounts", said);
        }
        if pixit.accounts == Provision::None {
            let said = "every user part is taken for an account";
            return self.not_promised("accounts", said);
        }
        match instance.provision(visit.users()).await {
            Ok(()) => self.ok("accounts", format!("{} made", visit.users().len())),
            Err(why) => {
                let said = why.to_string();
                let check = advice::of_program_or_url(&said, "pixit.accounts.provision");
                self.fails("accounts", Complaint { said, check });
            }
        }
    }

    /// Registers a user.
    pub(super) async fn register(&mut self, visit: &Visit) {
        let heard = visit.register("alice", Some(EXPIRES)).await;
        if !heard.is_good() {
            let complaint = self.refused(visit, "REGISTER", "alice", &heard);
            return self.fails("register", complaint);
        }
        let mut said = heard.line().unwrap_or_default();
        if let Some(granted) = heard.granted() {
            said = format!("{said}, for {granted} s");
        }
        if let Registration::ThirdParty { .. } = visit.agents().standing().registration {
            said = format!("{said}, to a REGISTER of the S-CSCF");
        }
        self.held_against("register", "auth.register", said, &heard);
    }

    /// Sends a message to a user who is offline; gives its text where it was taken.
    pub(super) async fn message(&mut self, visit: &Visit) -> Option<String> {
        let text = format!("imspec doctor {:016x}", fastrand::u64(..));
        let heard = visit.message("alice", "bob", &text).await;
        let modes = self.profile.pics.get("store.modes");
        let defers = modes.is_none_or(|modes| names(modes, "pager"));
        if !heard.is_good() {
            if defers {
                let complaint = self.refused(visit, "MESSAGE", "alice", &heard);
                self.fails("message", complaint);
            } else {
                self.not_promised("message", "`store.modes` has no `pager`");
            }
            return None;
        }
        let line = heard.line().unwrap_or_default();
        let said = format!("{line} for a user who is offline");
        let wanted = self
            .profile
            .pics
            .get("accept.status")
            .map(crate::catalogue::pics::plain);
        let status = heard.status().unwrap_or_default().to_string();
        if let Some(wanted) = wanted.filter(|wanted| *wanted != status) {
            let check = format!("`pics.accept.status`: it declares {wanted}");
            self.fails("message", Complaint::new(said, &[&check]));
        } else {
            self.held_against("message", "auth.sender", said, &heard);
        }
        Some(text)
    }

    /// Brings the recipient back; he gets the message, and the store is as before.
    pub(super) async fn delivery(&mut self, visit: &Visit, text: Option<&str>) {
        let Some(text) = text else {
            return self.not_tried(&["delivery"], "no message waits");
        };
        let form = self.declared("delivery.form").unwrap_or("message");
        let trigger = self.declared("delivery.trigger").unwrap_or("on-register");
        if form != "message" || trigger != "on-register" {
            let said = format!("delivery by {form}, {trigger}: a run tries it");
            return self.not_tried(&["delivery"], &said);
        }
        let heard = visit.register("bob", Some(EXPIRES)).await;
        if !heard.is_good() {
            let complaint = self.refused(visit, "REGISTER", "bob", &heard);
            return self.fails("delivery", complaint);
        }
        let within = self.profile.pixit.timers.delivery;
        if visit.delivered(text, within).await {
            self.ok(
                "delivery",
                "the MESSAGE came after the recipient had registered",
            );
        } else {
            let said = format!(
                "no MESSAGE came within {} s after the recipient had registered",
                within.as_secs_f64()
            );
            let bind = format!(
                "that the server can send to the agents: `pixit.bind` is {}",
                self.profile.pixit.bind
            );
            self.fails(
                "delivery",
                Complaint::new(
                    said,
                    &[
                        &bind,
                        "`pixit.timers.delivery`, and `delivery.form` and `delivery.trigger` of `pics`, if the server \
                         delivers later or in another way",
                    ],
                ),
            );
        }
        let left = visit.register("bob", Some(0)).await;
        if left.is_good() {
            self.ok("deregister", left.line().unwrap_or_default());
        } else {
            let complaint = self.refused(visit, "REGISTER", "bob", &left);
            self.fails("deregister", complaint);
        }
    }

    /// Why a request of a user was not taken.
    pub(super) fn refused(
        &self,
        visit: &Visit,
        method: &str,
        role: &str,
        heard: &Heard,
    ) -> Complaint {
        let name = visit.user(role).map_or_else(
            |_| role.to_owned(),
            |user| match &self.profile.pixit.logins {
                Some(logins) => logins.of(user).0,
                None => user.name.clone(),
            },
        );
        advice::of_request(self.profile, method, &name, heard)
    }

    /// A request went through: was the user asked who he is, as declared?
    fn held_against(&mut self, what: &str, key: &str, said: String, heard: &Heard) {
        let asked = !heard.challenges.is_empty();
        let said = match heard.algorithm() {
            Some(algorithm) if asked => format!("{said}, with digest authentication ({algorithm})"),
            _ => said,
        };
        let check = match self.declared(key) {
            Some("digest") if !asked => {
                format!(
                    "`pics.{key}` declares `digest`, and the server asked for nothing: declare `none`"
                )
            }
            Some("none") if asked => {
                format!(
                    "`pics.{key}` declares `none`, and the server asked for credentials: declare `digest`"
                )
            }
            _ => return self.ok(what, said),
        };
        self.fails(what, Complaint::new(said, &[&check]));
    }
}

/// Whether a list, or a single word, names something.
pub(super) fn names(value: &serde_json::Value, name: &str) -> bool {
    match value {
        serde_json::Value::Array(items) => items.iter().any(|item| item == name),
        value => value == name,
    }
}
