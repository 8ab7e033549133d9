//! How users get online and go offline: `register`, as the profile says that it is done at this SUT.

use std::sync::Arc;
use std::time::Duration;

use imspec_reports::record::EventKind;

use super::request::{BEHIND_MAX_FORWARDS, own_headers};
use super::{Done, Flow, Interpreter, Trouble, Work};
use crate::agent::{self, Draft, Endpoint, Given, Outgoing, Showing};
use crate::evidence::binding;
use crate::scenario::CaseUser;
use crate::scenario::model::{ContactChoice, CredentialsChoice, Register};
use crate::sut::clock::{micros, signed};
use crate::sut::profile::{Offline, Registration};

/// Lifetime of the registrations of users that are online from the start.
const ONLINE: &str = "3600";
/// The header fields of a REGISTER that an S-CSCF writes itself.
const OF_CORE: [&str; 5] = [
    "From",
    "To",
    "Contact",
    "Authorization",
    "Proxy-Authorization",
];
/// How long after its end a binding may still be there.
const SURELY: Duration = Duration::from_secs(1);

/// A registration that is to be made, prolonged, ended or asked for.
pub(super) struct Wish<'a> {
    pub(super) path: &'a str,
    pub(super) user: &'a CaseUser,
    pub(super) device: &'a str,
    pub(super) contact: Option<String>,
    pub(super) expires: &'a str,
    pub(super) given: Vec<Given>,
    pub(super) save: Option<String>,
    pub(super) credentials: Showing,
}

impl Interpreter<'_> {
    pub(super) async fn register(
        &self,
        path: &str,
        step: &Register,
        work: &mut Work<'_>,
    ) -> Result<Done, Trouble> {
        let user = self.user(&step.user)?;
        let expires = self.text(&step.expires, path)?;
        self.can_be(step)?;
        if expires == "0" && is_plain(step) {
            let goes = self.go_offline(path, user, step, work).await?;
            if let Some(done) = goes {
                return Ok(done);
            }
        }
        if expires != "0" {
            let device = Some(step.device.as_str());
            let was_away = self.agents.desk().returns(&user.role, device);
            if was_away && matches!(self.agents.standing().offline, Offline::Lapse(_)) {
                // Whoever comes back from where there is no network has another address: what is still on its way
                // to the old one was lost with it.
                self.agents.moves(&user.role, &step.device).await;
            }
        }
        let transport = self.transport(step.transport.as_ref(), path)?;
        let endpoint = self.endpoint(user, &step.device, transport).await?;
        if let Registration::Command { .. } = self.agents.standing().registration {
            return self.by_program(user, &endpoint, &expires).await;
        }
        let contact = match &step.contact {
            ContactChoice::Own => Some(self.own_contact(&endpoint)),
            ContactChoice::None => None,
            // An S-CSCF has one contact, and names it (3GPP TS 24.229 §5.4.1.7).
            ContactChoice::All if self.agents.as_core(&endpoint).is_some() => {
                Some(self.own_contact(&endpoint))
            }
            ContactChoice::All => Some("*".to_owned()),
            ContactChoice::Literal(template) => Some(self.text(template, path)?),
        };
        let wish = Wish {
            path,
            user,
            device: &step.device,
            contact,
            expires: &expires,
            given: self.given(&step.headers, path)?,
            save: self.save(step.save.as_ref(), path)?,
            credentials: self.showing(&step.credentials, path)?,
        };
        let out = self.registration(&endpoint, wish);
        self.exchange(&endpoint, out, step.expect.as_ref(), true)
            .await
    }

    /// Registers a user that is online before the first step.
    pub(super) async fn go_online(&self, user: &CaseUser) -> Result<(), Trouble> {
        let path = format!("users.{}", user.role);
        self.agents.note(
            Some(&path),
            EventKind::StepStarted {
                verb: "register".into(),
            },
        );
        let endpoint = self.endpoint(user, "main", None).await?;
        let done = match self.agents.standing().registration {
            Registration::Command { .. } => self.by_program(user, &endpoint, ONLINE).await?,
            Registration::Register | Registration::ThirdParty { .. } => {
                let wish = Wish {
                    path: &path,
                    user,
                    device: "main",
                    contact: Some(self.own_contact(&endpoint)),
                    expires: ONLINE,
                    given: Vec::new(),
                    save: None,
                    credentials: Showing::Own,
                };
                let out = self.registration(&endpoint, wish);
                self.exchange(&endpoint, out, None, true).await?
            }
        };
        self.agents.note(
            Some(&path),
            EventKind::StepEnded {
                outcome: done.outcome,
            },
        );
        match done.flow {
            Flow::On => Ok(()),
            Flow::End(why) => Err(Trouble::Impossible(format!(
                "`{}` could not be registered before the first step: {why}",
                user.role
            ))),
        }
    }

    /// Whether a step can be done at all in the way of the profile.
    fn can_be(&self, step: &Register) -> Result<(), Trouble> {
        let impossible = |why: &str| Err(Trouble::Impossible(why.to_owned()));
        match &self.agents.standing().registration {
            Registration::Register => Ok(()),
            Registration::ThirdParty { .. } => {
                if step.device != "main" {
                    return impossible(
                        "a server behind an S-CSCF knows no devices of a user (`registration: third-party`)",
                    );
                }
                if matches!(
                    step.contact,
                    ContactChoice::None | ContactChoice::Literal(_)
                ) {
                    return impossible(
                        "an S-CSCF registers its own address, and asks for nobody's (`registration: third-party`)",
                    );
                }
                if step.credentials != CredentialsChoice::Own {
                    return impossible(
                        "an S-CSCF shows no credentials to a server behind it (`registration: third-party`)",
                    );
                }
                let writes = |name: &str| OF_CORE.iter().any(|own| own.eq_ignore_ascii_case(name));
                let names = step.headers.iter().map(|(name, _)| name.as_text());
                if names.into_iter().any(|name| name.is_none_or(writes)) {
                    return impossible(
                        "this REGISTER says who registers, and that is the S-CSCF (`registration: third-party`)",
                    );
                }
                Ok(())
            }
            Registration::Command { .. } => {
                let plain = is_plain(step) && step.headers.is_empty() && step.device == "main";
                if plain && matches!(step.contact, ContactChoice::Own | ContactChoice::All) {
                    return Ok(());
                }
                impossible(
                    "this step is about REGISTER, and at this server programs bring users online \
                     (`registration: command`)",
                )
            }
        }
    }

    /// Lets a user go offline as users do at this SUT; `None` where that is by the end of his registration.
    async fn go_offline(
        &self,
        path: &str,
        user: &CaseUser,
        step: &Register,
        work: &mut Work<'_>,
    ) -> Result<Option<Done>, Trouble> {
        let device = match step.contact {
            ContactChoice::Own => Some(step.device.as_str()),
            _ => None,
        };
        match self.agents.standing().offline {
            Offline::Deregister => Ok(None),
            Offline::Silence => {
                self.agents.desk().leaves(&user.role, device);
                let text = format!("{} is out of reach; the binding stays", user.role);
                self.agents.note(Some(path), EventKind::Note { text });
                Ok(Some(Done::on()))
            }
            Offline::Lapse(after) => {
                // Who removes all contacts at once has several, and one lifetime cannot stand for them.
                let Some(device) = device else {
                    return Ok(None);
                };
                self.agents.desk().leaves(&user.role, Some(device));
                let endpoint = self.endpoint(user, device, None).await?;
                let expires = after.as_secs().to_string();
                let by_program = matches!(
                    self.agents.standing().registration,
                    Registration::Command { .. }
                );
                let done = if by_program {
                    self.by_program(user, &endpoint, &expires).await?
                } else {
                    let wish = Wish {
                        path,
                        user,
                        device,
                        contact: Some(self.own_contact(&endpoint)),
                        expires: &expires,
                        given: Vec::new(),
                        save: None,
                        credentials: Showing::Own,
                    };
                    let out = self.registration(&endpoint, wish);
                    self.exchange(&endpoint, out, None, true).await?
                };
                if done.flow != Flow::On {
                    return Ok(Some(done));
                }
                let granted = self.granted(path).map_or(after, Duration::from_secs);
                let resolution = self.instance.clock.adapter().resolution();
                let length = granted + SURELY + resolution;
                let deadline = self.timeline.now().plus_us(signed(micros(length)));
                if !self.timeline.movable() {
                    self.afford(deadline)?;
                }
                let woken = work.wait(deadline, Duration::ZERO).await;
                if let Some((from, to)) = woken.map_err(Trouble::Broken)? {
                    self.agents
                        .note(Some(path), EventKind::ClockMoved { from, to });
                }
                Ok(Some(done))
            }
        }
    }

    /// How long the registration holds that a step has made. Where a registrar writes contacts in its own way, the
    /// longest of all: when that one is over, each is.
    fn granted(&self, path: &str) -> Option<u64> {
        let bindings = self.agents.view(|view| binding::bindings(view, path));
        let own = bindings.iter().find(|binding| binding.own);
        own.map_or_else(
            || bindings.iter().filter_map(|other| other.lifetime).max(),
            |own| own.lifetime,
        )
    }

    pub(super) async fn by_program(
        &self,
        user: &CaseUser,
        endpoint: &Arc<Endpoint>,
        expires: &str,
    ) -> Result<Done, Trouble> {
        let contact = endpoint.contact();
        let done = self.instance.bring(&user.uri(), &contact, expires).await;
        let what = format!("`{}` could not be brought online or offline", user.role);
        done.map_err(|error| Trouble::unset(&what, &error))?;
        Ok(Done::on())
    }

    /// The Contact of a registration: the agent's, or that of the S-CSCF that registers for it.
    pub(super) fn own_contact(&self, endpoint: &Endpoint) -> String {
        let core = self.agents.as_core(endpoint).map(|(_, core)| core);
        format!("<{}>", core.unwrap_or_else(|| endpoint.contact()))
    }

    pub(super) fn registration(&self, endpoint: &Arc<Endpoint>, wish: Wish<'_>) -> Outgoing {
        let user = wish.user;
        let (call_id, number) = {
            let mut memory = self.memory();
            let key = (user.role.clone(), wish.device.to_owned());
            let known = memory
                .registrations
                .entry(key)
                .or_insert_with(|| (agent::call_id(), 0));
            known.1 = known.1.max(self.agents.number_of(&known.0)) + 1;
            known.clone()
        };
        let mut own = own_headers(endpoint, user, &user.uri(), &call_id, number, "REGISTER");
        let mut uri = format!("sip:{}", user.domain);
        let core = self.agents.as_core(endpoint);
        // An S-CSCF has shown who it is by where it is.
        let guarded = core.is_none() && self.guards("auth.register");
        if let Some((server, core)) = core {
            uri = server;
            for (name, value) in &mut own {
                if *name == "From" {
                    *value = format!("<{core}>;tag={}", agent::tag());
                }
            }
        }
        let place = self.agents.registering(endpoint);
        own.splice(BEHIND_MAX_FORWARDS..BEHIND_MAX_FORWARDS, place);
        if let Some(contact) = wish.contact {
            if wish.expires != "0" {
                let mut memory = self.memory();
                let bound = memory.bound.entry(user.role.clone()).or_default();
                if !bound.contains(&contact) {
                    bound.push(contact.clone());
                }
            }
            own.push(("Contact", contact));
            // A query asks for nothing, so it names no lifetime (RFC 3261 §10.2.3).
            own.push(("Expires", wish.expires.to_owned()));
        }
        Outgoing {
            step: wish.path.to_owned(),
            octets: Draft::new("REGISTER", uri, own).given(wish.given).octets(),
            copies: 1,
            retransmit: true,
            within: self.profile.pixit.timers.answer,
            save: wish.save,
            hop: None,
            credentials: wish.credentials,
            guarded,
            call: None,
        }
    }
}

/// Whether a step wants nothing of a registration but that it is made or ended.
fn is_plain(step: &Register) -> bool {
    step.expect.is_none()
        && step.save.is_none()
        && step.headers.is_empty()
        && step.credentials == CredentialsChoice::Own
        && matches!(step.contact, ContactChoice::Own | ContactChoice::All)
}
