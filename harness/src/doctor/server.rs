//! The server itself: that it starts, where it is, and that it answers there.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::visit::Visit;
use super::{Complaint, Doctor, advice};
use crate::sut::instance::Instance;
use crate::sut::places::Places;
use crate::sut::probe;
use crate::sut::process::{ByCommands, Child, Process};
use crate::sut::profile::{Adapters, ProcessAdapter, Profile, Provision, Ready, Transport};

/// How long somebody who is there takes to say so.
const REACH: Duration = Duration::from_secs(4);

impl Doctor<'_> {
    /// The process of a server that imspec starts, and its places. Nothing where that fails.
    pub(super) async fn process_prepared(&mut self) -> Option<(Option<Box<dyn Process>>, Places)> {
        let profile = self.profile;
        let command = match &profile.adapters.process {
            ProcessAdapter::Attach => return Some((None, self.places())),
            ProcessAdapter::Commands(commands) => {
                let places = self.places();
                return Some((Some(Box::new(ByCommands::new(commands, &places))), places));
            }
            ProcessAdapter::Command(command) => command,
        };
        match Child::prepare(command, &profile.folder, profile.pixit.bind).await {
            Ok(child) => {
                let places = child.places().clone();
                Some((Some(Box::new(child)), places))
            }
            Err(why) => {
                let check = advice::of_program_or_url(&why, "adapters.process");
                self.fails("process", Complaint { said: why, check });
                None
            }
        }
    }

    /// Looks the addresses up; those that cannot be resolved are told, and left out.
    pub(super) async fn addresses(&mut self, sound: &mut Profile, places: &Places) {
        for transport in Transport::ALL {
            if !sound.pixit.targets.contains_key(&transport) {
                continue;
            }
            if let Err(why) = alone(sound, transport, places).await {
                sound.pixit.targets.remove(&transport);
                let host =
                    "the host name in `pixit.target`, and whether this machine's resolver knows it";
                self.fails(&target(transport), Complaint::new(why, &[host]));
            }
        }
    }

    /// Starts the server.
    pub(super) async fn launched(&mut self, instance: &mut Instance) -> bool {
        let adapter = &self.profile.adapters.process;
        let Some((ready, within)) = adapter.readiness() else {
            return true;
        };
        // Each transport is tried by itself later on; one that is silent must not hide the others.
        let all = instance.targets.clone();
        let own = self.profile.pixit.transport;
        instance.targets.retain(|transport, _| *transport == own);
        let launched = instance.launch().await;
        instance.targets = all;
        let sign = match ready {
            Ready::Line(line) => format!("it printed a line that matches `{line}`"),
            Ready::Tcp(_) => "it takes connections".to_owned(),
            Ready::Options => "it answers OPTIONS".to_owned(),
        };
        match launched {
            Ok(()) => {
                self.ok("process", started(adapter, &sign));
                true
            }
            Err(why) => {
                let mut check = Vec::new();
                if why.contains("cannot be started") {
                    check.push("`adapters.process.command`: that the program is installed and may be executed".into());
                } else if matches!(adapter, ProcessAdapter::Commands(_))
                    && !why.contains("does not answer")
                {
                    check.push("`adapters.process`: run the command by hand, as the same user; it must end with status 0, and `ssh` must not ask for a password".into());
                } else if why.contains("ended by itself") {
                    check.push("its last lines above; the same command by hand, with a folder and a port of yours".into());
                } else {
                    check.push(format!(
                        "`adapters.process.ready` and `ready-within` ({} s): what shows that it is ready, and when",
                        within.as_secs_f64()
                    ));
                    check.push(
                        "`pixit.target`: the address at which this command makes the server listen"
                            .into(),
                    );
                }
                self.fails("process", Complaint { said: why, check });
                false
            }
        }
    }

    /// Asks at each address. Whether the agents' own transport answers.
    pub(super) async fn targets(
        &mut self,
        sound: &Profile,
        places: &Places,
        instance: &Instance,
    ) -> bool {
        if !self.starts() {
            self.not_promised(
                "process",
                "it runs already; cases that restart it are inconclusive",
            );
        }
        let mut reached = false;
        for (&transport, &at) in &instance.targets {
            let answers = self.asked(sound, places, transport, at).await;
            reached |= answers && transport == sound.pixit.transport;
        }
        let declared = &self.profile.pixit.targets;
        let without: Vec<&str> = Transport::ALL
            .into_iter()
            .filter(|transport| !declared.contains_key(transport))
            .map(Transport::as_str)
            .collect();
        if !without.is_empty() {
            let said = format!("no address for {}", without.join(", "));
            self.not_promised("other targets", &said);
        }
        reached
    }

    async fn asked(
        &mut self,
        sound: &Profile,
        places: &Places,
        transport: Transport,
        at: SocketAddr,
    ) -> bool {
        let pixit = &sound.pixit;
        let within = REACH.min(pixit.timers.answer);
        let name = target(transport);
        let instance = match alone(sound, transport, places).await {
            Ok(instance) => Arc::new(instance),
            Err(why) => {
                self.fails(&name, Complaint::new(why, &["`pixit.target`"]));
                return false;
            }
        };
        let found = probe::reach(&instance.dialer, transport, at, &pixit.domain, within).await;
        if let Err(why) = found {
            let check = unreached(sound, transport, &why);
            let said = format!("{at} does not answer OPTIONS: {why}");
            self.fails(&name, Complaint { said, check });
            return false;
        }
        // Somebody is there; the agents now ask as they do in a run.
        let visit = match Visit::new(sound, &instance) {
            Ok(visit) => visit,
            Err(why) => {
                self.fails(&name, Complaint::new(why, &["`pixit.target`"]));
                return false;
            }
        };
        let heard = visit.options(transport).await;
        visit.leave().await;
        match heard.line() {
            Some(line) => {
                let who = heard
                    .header("Server")
                    .or_else(|| heard.header("User-Agent"));
                let who = who.map(|who| format!(" ({who})")).unwrap_or_default();
                self.ok(&name, format!("{at} answers OPTIONS with {line}{who}"));
                true
            }
            None => {
                let complaint = advice::of_request(sound, "OPTIONS", "", &heard);
                self.fails(
                    &name,
                    Complaint {
                        said: format!("{at}: {}", complaint.said),
                        ..complaint
                    },
                );
                // It has said something: what else it does is worth a look.
                heard.provisional.is_some()
            }
        }
    }

    /// Whether the server can find the agents, as far as one can see from here.
    pub(super) fn own_address(&mut self, instance: &Instance) {
        let pixit = &self.profile.pixit;
        let far = instance.targets.values().copied();
        let far: Vec<SocketAddr> = far.filter(|at| !at.ip().is_loopback()).collect();
        let media = pixit.msrp.bind.unwrap_or(pixit.bind);
        for (key, own) in [("pixit.bind", pixit.bind), ("pixit.msrp.bind", media)] {
            let Some(at) = far.first().filter(|_| own.is_loopback()) else {
                continue;
            };
            let said = format!(
                "the agents listen at {own}, where a server at {} cannot find them",
                at.ip()
            );
            let check = format!("`{key}`: an address of this machine that the server can reach");
            self.fails("own address", Complaint::new(said, &[&check]));
            return;
        }
        let listens = if media == pixit.bind {
            format!("the agents listen at {}", pixit.bind)
        } else {
            format!("the agents listen at {}, for MSRP at {media}", pixit.bind)
        };
        let seen = if far.is_empty() {
            "as the server does: on this machine"
        } else {
            "not on loopback; whether the server finds its way there a delivery shows"
        };
        self.ok("own address", format!("{listens}, {seen}"));
    }

    /// Ends the server and starts it again.
    pub(super) async fn restart(&mut self, instance: &Instance) {
        if !instance.can_restart() {
            return self.not_promised("restart", "imspec does not start this server");
        }
        let restarted = instance
            .restart(false, Duration::ZERO, &BTreeMap::new(), |_| ())
            .await;
        match restarted {
            Ok(()) => self.ok("restart", "ended, started again, and ready"),
            Err(why) => self.fails(
                "restart",
                Complaint::new(
                    why,
                    &["that the server can be started again in the same folder, at the same ports"],
                ),
            ),
        }
    }
}

fn started(adapter: &ProcessAdapter, sign: &str) -> String {
    match adapter {
        ProcessAdapter::Commands(_) => {
            format!("`{}` ended, and it is ready: {sign}", adapter.shown())
        }
        _ => format!("`{}` runs, and is ready: {sign}", adapter.shown()),
    }
}

fn target(transport: Transport) -> String {
    format!("target {}", transport.as_str())
}

/// A server that is only reached over one transport, with nothing that reaches into it.
async fn alone(sound: &Profile, transport: Transport, places: &Places) -> Result<Instance, String> {
    let mut bare = sound.clone();
    bare.adapters = Adapters::none();
    bare.pixit.accounts = Provision::None;
    bare.pixit.targets.retain(|known, _| *known == transport);
    let assembled = Instance::assemble(&bare, places, None).await;
    assembled.map_err(|why| why.what)
}

/// What to look at where nobody answers.
fn unreached(sound: &Profile, transport: Transport, why: &str) -> Vec<String> {
    let name = transport.as_str();
    let speaks = match transport {
        Transport::Udp | Transport::Tcp => {
            "plain SIP is spoken there (not TLS, not another service)"
        }
        Transport::Tls => "SIP under TLS is spoken there, not plain SIP",
        Transport::Ws => "WebSocket is spoken there, not under TLS, and the path is the server's",
        Transport::Wss => "WebSocket under TLS is spoken there, and the path is the server's",
    };
    if why.contains("refused") {
        return vec![format!(
            "`pixit.target.{name}`: nobody listens at this port over {name}; that the server runs"
        )];
    }
    if why.contains("ertificate") || why.contains("TLS") {
        return vec![
            "`pixit.tls`: `ca`, `name`, `certificate` and `key`; and the certificate of the server"
                .into(),
        ];
    }
    if why == "no answer" {
        let spoken = match transport {
            Transport::Udp => String::new(),
            _ => format!(", and that {speaks}"),
        };
        return vec![
            format!("`pixit.target.{name}`: host and port, that the server runs{spoken}"),
            format!(
                "that a packet from `pixit.bind` ({}) finds its way there and back: routes, firewalls",
                sound.pixit.bind
            ),
        ];
    }
    vec![format!(
        "`pixit.target.{name}`: that {speaks}, and what the server's log says about the connection"
    )]
}
