//! What a run relies on in a process adapter.

use std::sync::Arc;
use std::time::Duration;

use super::super::adapters::says;
use super::super::visit;
use super::super::{Complaint, Doctor, advice};
use super::unique;
use crate::sut::store::Account;
use crate::sut::{Instance, Profile, probe};

/// How long a server that was ended is listened for.
const SILENCE: Duration = Duration::from_secs(1);

impl Doctor<'_> {
    pub(super) async fn accept_process(&mut self, sound: &Profile, instance: &Arc<Instance>) {
        if instance.process().is_none() {
            return self.not_promised("process", "attach: there is no adapter");
        }
        let left = self.something_left(sound, instance).await;
        let mut again = true;
        for (kill, what, back) in [
            (false, "process.stops", "process.again"),
            (true, "process.kills", "process.back"),
        ] {
            if !again {
                self.not_tried(&[what, back], "it did not come back");
                continue;
            }
            self.ends(instance, kill, what).await;
            again = self.comes_back(instance, back).await;
        }
        match left {
            Err(why) => self.not_tried(&["process.keeps"], &why),
            Ok(_) if !again => self.not_tried(&["process.keeps"], "it did not come back"),
            Ok((bob, text)) => self.keeps(instance, &bob, &text).await,
        }
    }

    /// A message that lies in the store.
    async fn something_left(
        &mut self,
        sound: &Profile,
        instance: &Arc<Instance>,
    ) -> Result<(Account, String), String> {
        if instance.store.is_none() {
            return Err("there is no store adapter that could tell".to_owned());
        }
        let visit = self.visit(sound, instance).await?;
        let text = unique("over two ends");
        let left = self.left(&visit, "bob", &text).await;
        let bob = visit.user("bob").map(Account::of);
        visit.leave().await;
        left?;
        Ok((bob?, text))
    }

    async fn ends(&mut self, instance: &Instance, kill: bool, what: &str) {
        let Some(process) = instance.process() else {
            return;
        };
        let ended = process.lock().await.stop(kill).await;
        if let Err(why) = ended {
            let check = if why.starts_with("it still runs") {
                vec!["`adapters.process`: that the command ends this server, and `stop-within`, if it takes longer".to_owned()]
            } else {
                advice::of_program_or_url(&why, "adapters.process")
            };
            return self.fails(
                what,
                Complaint {
                    said: visit::shown(&why),
                    check,
                },
            );
        }
        for (&transport, &at) in &instance.targets {
            let heard = probe::reach(
                &instance.dialer,
                transport,
                at,
                &self.profile.pixit.domain,
                SILENCE,
            )
            .await;
            if heard.is_ok() {
                let said = format!(
                    "it was ended, and {at} still answers over {}",
                    transport.as_str()
                );
                let check = [
                    "`adapters.process`: the command ends when the server is down, not when it was told to go (`wait`, `--wait`)",
                    "`adapters.process`: that it is this server which is ended, and that nothing starts it again at once (`Restart=` of \
                     systemd, `--restart` of a container)",
                ];
                return self.fails(what, Complaint::new(said, &check));
            }
        }
        let said = if kill {
            "killed, and silent"
        } else {
            "stopped, and silent"
        };
        self.ok(what, said);
    }

    async fn comes_back(&mut self, instance: &Instance, what: &str) -> bool {
        let Some(process) = instance.process() else {
            return false;
        };
        let started = process.lock().await.start().await;
        let ready = match started {
            Ok(()) => instance.await_ready().await,
            Err(why) => Err(why),
        };
        match ready {
            Ok(()) => {
                self.ok(what, "started again at the same address, and ready");
                true
            }
            Err(why) => {
                let mut check = advice::of_program_or_url(&why, "adapters.process");
                check.push("that it can be started again in the same folder, at the same ports, also after it was killed (a lock or a pid file \
                            that stayed; a limit of starts, `StartLimitBurst=` of systemd)".into());
                self.fails(what, Complaint { said: why, check });
                false
            }
        }
    }

    /// What it had is still there: a start that makes the store anew would show as messages lost by the server.
    async fn keeps(&mut self, instance: &Instance, bob: &Account, text: &str) {
        let Some(store) = instance.store.as_deref() else {
            return;
        };
        let what = "process.keeps";
        match store.read(bob).await {
            Ok(records)
                if records
                    .iter()
                    .any(|record| says(record, text) != Some(false)) =>
            {
                self.ok(what, "a message that was stored before both ends is there");
            }
            Ok(_) => {
                let check = [
                    "`adapters.process`: that starting the server does not make its store anew; `prepare` is the place for that, it is run once",
                    "if the adapter is right, the server loses what it has accepted: scenarios DU-01 and DU-03 say more",
                ];
                self.fails(
                    what,
                    Complaint::new("a message that was stored before both ends is gone", &check),
                );
            }
            Err(why) => {
                let (said, check) = advice::of_store(&why);
                self.fails(
                    what,
                    Complaint {
                        said: visit::shown(&said),
                        check,
                    },
                );
            }
        }
    }
}
