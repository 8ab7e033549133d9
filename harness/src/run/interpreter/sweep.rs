//! Cleans an account of a small pool before another case gets it: what waits in it is fetched, and nothing of it is
//! judged; what was registered is removed.

use std::time::Duration;

use imspec_reports::record::{EventKind, StoredMessage};
use imspec_wire::sip::typed::Contact;
use tokio::time::{Instant, sleep};

use super::super::owed;
use super::presence::Wish;
use super::{Flow, Interpreter, Trouble};
use crate::agent::{Draft, Outgoing, Showing};
use crate::evidence::content;
use crate::scenario::CaseUser;
use crate::sut::profile::Registration;
use crate::sut::store::Account;

/// Lifetime of the registration by which messages are fetched: less than an hour may be refused (RFC 3261 §10.3).
const LIFETIME: &str = "3600";
/// Shortest silence after which nothing more is expected of a server whose store cannot be seen.
const HUSH: Duration = Duration::from_millis(500);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(20);

impl Interpreter<'_> {
    /// Cleans the account of a user of this case, which has no steps. `bound`: contacts that may still be registered;
    /// `owed`: how many messages the server has taken for him that nobody has seen.
    ///
    /// # Errors
    /// What cannot be removed, in words.
    pub(in crate::run) async fn sweep(
        &self,
        user: &CaseUser,
        bound: &[String],
        owed: usize,
    ) -> Result<(), String> {
        let kept = self.settled(user, owed).await?;
        let by_program = self.instance.clean(&user.uri()).await;
        if let Some(cleaned) = by_program {
            cleaned.map_err(|why| format!("it could not be cleaned: {why}"))?;
        } else {
            if kept.is_none() {
                let last = self.leave_a_last(user, bound).await?;
                self.fetch(user, last, owed).await.map_err(said)?;
            } else if kept != Some(0) {
                self.fetch(user, None, owed).await.map_err(said)?;
            }
            self.unbind(user, bound).await?;
        }
        match self.kept(user).await? {
            Some(kept) if kept > 0 => Err(format!(
                "{kept} messages stay in it; give `pixit.accounts.clean`, a program that removes them"
            )),
            _ => Ok(()),
        }
    }

    /// How many messages are in the store once it shows what is owed, or would have shown it by now. Where it cannot be
    /// seen and a program cleans the account, only time tells that nothing more comes into it.
    async fn settled(&self, user: &CaseUser, owed: usize) -> Result<Option<usize>, String> {
        let store = self.instance.lateness();
        let deadline = Instant::now() + store;
        loop {
            let kept = self.kept(user).await?;
            if kept.is_none() && owed > 0 && self.instance.cleans_by_program() {
                sleep(store).await;
            }
            if kept.is_none_or(|kept| kept >= owed) || Instant::now() >= deadline {
                return Ok(kept);
            }
            sleep(LOOK).await;
        }
    }

    /// How many messages are in the store; `None` where it cannot be seen.
    async fn kept(&self, user: &CaseUser) -> Result<Option<usize>, String> {
        let Some(store) = &self.instance.store else {
            return Ok(None);
        };
        let records: Vec<StoredMessage> = store
            .read(&Account::of(user))
            .await
            .map_err(|why| format!("whether something is left in it cannot be seen: {why}"))?;
        Ok(Some(records.len()))
    }

    /// Leaves a message behind all others in an account that cannot be seen: once it comes, the others have come or
    /// are on their way. Gives its text; nothing where the server need not keep it.
    async fn leave_a_last(
        &self,
        user: &CaseUser,
        bound: &[String],
    ) -> Result<Option<String>, String> {
        let is = |key: &str, usual: &str| {
            let declared = self.profile.pics.get(key);
            declared.is_none_or(|declared| {
                let all = declared
                    .as_array()
                    .map_or(std::slice::from_ref(declared), Vec::as_slice);
                all.iter().any(|value| value == usual)
            })
        };
        if !(is("delivery.form", "message")
            && is("delivery.trigger", "on-register")
            && is("store.modes", "pager"))
        {
            return Ok(None);
        }
        // Else it is sent to where nobody is any more.
        self.unbind(user, bound).await?;
        let text = format!(
            "imspec {:016x}: nothing waits behind this",
            fastrand::u64(..)
        );
        let endpoint = self.endpoint(user, "main", None).await.map_err(said)?;
        let mut own = self.opening(&endpoint, user, &user.uri(), "MESSAGE");
        own.push(("Content-Type", "text/plain".to_owned()));
        let draft = Draft::new("MESSAGE", user.uri(), own).body(text.clone().into_bytes());
        let out = Outgoing {
            step: sweeping(user),
            octets: draft.octets(),
            copies: 1,
            retransmit: true,
            within: self.profile.pixit.timers.answer,
            save: None,
            hop: None,
            credentials: Showing::Own,
            guarded: self.guards("auth.sender"),
            call: None,
        };
        // A server that does not want it has its reasons, and is waited for longer.
        let taken = self.exchange(&endpoint, out, None, true).await;
        Ok(taken
            .is_ok_and(|done| done.flow == Flow::On)
            .then_some(text))
    }

    /// Registers the user and takes what comes, until nothing does. `last`: what waits behind all others, if anything
    /// is known to; `owed`: how many others there may be.
    async fn fetch(
        &self,
        user: &CaseUser,
        last: Option<String>,
        owed: usize,
    ) -> Result<(), Trouble> {
        self.bring_online(user, LIFETIME).await?;
        let owed = owed + usize::from(last.is_some());
        let timers = self.profile.pixit.timers;
        // What was lost on its way comes again after T1 (RFC 3261 §17.1.2.2).
        let hush = timers.quiet.max(HUSH).max(timers.t1 * 2);
        let most = Instant::now() + timers.answer + timers.delivery * 2;
        let mut latest = Instant::now();
        let mut events = self.events();
        let before = events;
        loop {
            sleep(LOOK).await;
            let now = Instant::now();
            let count = self.events();
            if count != events {
                (events, latest) = (count, now);
            }
            let left = self.kept(user).await.map_err(Trouble::Impossible)?;
            let done = match left {
                Some(kept) => kept == 0,
                // The first one may take as long as any delivery, and so may each of which is known that it waits.
                None if self.arrived(user) < owed
                    || last
                        .as_ref()
                        .map_or(count == before, |text| !self.has(text)) =>
                {
                    now - latest >= timers.delivery.max(hush)
                }
                None => now - latest >= hush,
            };
            if done || now >= most {
                return Ok(());
            }
        }
    }

    /// Ends whatever registration there is.
    async fn unbind(&self, user: &CaseUser, bound: &[String]) -> Result<(), String> {
        let contacts: Vec<String> = match self.agents.standing().registration {
            Registration::Register => vec!["*".to_owned()],
            // An S-CSCF names itself; each case had one of its own.
            Registration::ThirdParty { .. } => {
                let own = self.bound(&user.role);
                bound.iter().cloned().chain(own).collect()
            }
            Registration::Command { .. } => {
                return self.bring_online(user, "0").await.map_err(said);
            }
        };
        for contact in contacts {
            let is_all = contact == "*";
            if let Err(why) = self.register_as(user, Some(contact), "0").await {
                let one_by_one = is_all && self.unbind_each(user).await.is_ok();
                if !one_by_one {
                    return Err(format!(
                        "its registrations could not be removed: {}",
                        said(why)
                    ));
                }
            }
        }
        Ok(())
    }

    /// The same where a server does not take `Contact: *`.
    async fn unbind_each(&self, user: &CaseUser) -> Result<(), Trouble> {
        self.register_as(user, None, "0").await?;
        let path = sweeping(user);
        let listed = self.agents.view(|view| {
            let response = crate::evidence::message_of(view.took(&path)?)?;
            let contacts = response.typed_all::<Contact>().into_iter().flatten();
            let uris = contacts.filter_map(|contact| match contact {
                Contact::Address(address) => Some(format!("<{}>", address.uri)),
                Contact::Star => None,
            });
            Some(uris.collect::<Vec<_>>())
        });
        for contact in listed.unwrap_or_default() {
            self.register_as(user, Some(contact), "0").await?;
        }
        Ok(())
    }

    async fn bring_online(&self, user: &CaseUser, expires: &str) -> Result<(), Trouble> {
        let endpoint = self.endpoint(user, "main", None).await?;
        if let Registration::Command { .. } = self.agents.standing().registration {
            self.by_program(user, &endpoint, expires).await?;
            return Ok(());
        }
        let contact = self.own_contact(&endpoint);
        self.register_as(user, Some(contact), expires).await
    }

    async fn register_as(
        &self,
        user: &CaseUser,
        contact: Option<String>,
        expires: &str,
    ) -> Result<(), Trouble> {
        let path = sweeping(user);
        let endpoint = self.endpoint(user, "main", None).await?;
        let wish = Wish {
            path: &path,
            user,
            device: "main",
            contact,
            expires,
            given: Vec::new(),
            save: None,
            credentials: Showing::Own,
        };
        let out = self.registration(&endpoint, wish);
        let done = self.exchange(&endpoint, out, None, true).await?;
        match done.flow {
            Flow::On => Ok(()),
            Flow::End(why) => Err(Trouble::Impossible(why)),
        }
    }

    /// How many messages have come to him here.
    fn arrived(&self, user: &CaseUser) -> usize {
        let desk = self.agents.desk();
        owed::arrived(&user.role, desk.trace())
    }

    /// Whether a message with this text has come.
    fn has(&self, text: &str) -> bool {
        let desk = self.agents.desk();
        let mut events = desk.trace().events.iter();
        events.any(|event| match &event.kind {
            EventKind::Received(packet) => content::contains(&packet.octets.0, text.as_bytes()),
            _ => false,
        })
    }

    /// How much has happened, but for what we do ourselves.
    fn events(&self) -> usize {
        let desk = self.agents.desk();
        let arrived = desk.trace().events.iter();
        arrived
            .filter(|event| {
                matches!(
                    event.kind,
                    EventKind::Received(_) | EventKind::Transfer(_) | EventKind::Sent(_)
                )
            })
            .count()
    }
}

/// The path of what is done to an account that no case has.
fn sweeping(user: &CaseUser) -> String {
    format!("pool.{}", user.role)
}

fn said(trouble: Trouble) -> String {
    match trouble {
        Trouble::Impossible(why) | Trouble::Broken(why) => why,
    }
}
