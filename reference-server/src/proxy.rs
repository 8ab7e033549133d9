//! INVITE for somebody online: passed on to the contact, and what comes of it passed back, as by a
//! stateful proxy (RFC 3261 §16.6 to §16.10).
//!
//! The server stays out of the session: it records no route, so ACK, BYE and all else go between the
//! users, and MSRP does so anyway. Where nobody can be reached after all, the caller of this room takes
//! the session itself, as for somebody offline.

use std::sync::Arc;

use imspec_wire::sip::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::context::Context;
use crate::delivery::{Delivery, Meaning};
use crate::pager::is_absence;
use crate::reach::{self, Destination};
use crate::response::Reply;
use crate::store::Binding;
use crate::transaction::client::ClientTransactions;
use crate::transaction::invite_client::{Calling, Heard};
use crate::transport::Flow;

/// Passes INVITEs on.
pub(crate) struct InviteProxy {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    delivery: Arc<Delivery>,
}

/// What is to be passed back.
#[derive(Debug)]
pub(crate) enum Passed {
    /// 101 to 199.
    Provisional(Reply),
    /// A 2xx, and each copy of it: to be sent on at once, and repeated by nobody here.
    Success(Reply),
    /// Another final response. The last word.
    Final(Reply),
    /// Nobody can be reached. The last word.
    Absent,
    /// After a 2xx: no copy of it is to be expected any more. The last word.
    Ended,
}

/// An INVITE that was passed on. Dropped, it is taken back.
#[derive(Debug)]
pub(crate) struct Forwarded {
    passed: mpsc::Receiver<Passed>,
    cancel: watch::Sender<bool>,
}

impl Forwarded {
    /// What comes next. May be awaited again after it was cancelled.
    pub(crate) async fn next(&mut self) -> Passed {
        self.passed.recv().await.unwrap_or(Passed::Ended)
    }

    /// The caller has sent CANCEL (RFC 3261 §16.10). What comes of it is passed back as before: 487 as
    /// a rule, or a 2xx that was faster.
    pub(crate) fn cancel(&self) {
        self.cancel.send_replace(true);
    }
}

impl InviteProxy {
    pub(crate) fn new(
        context: Arc<Context>,
        clients: Arc<ClientTransactions>,
        delivery: Arc<Delivery>,
    ) -> Self {
        Self {
            context,
            clients,
            delivery,
        }
    }

    /// Passes an INVITE that came on `flow` on to one contact after the other, newest first.
    pub(crate) fn start(
        self: &Arc<Self>,
        account: &str,
        bindings: Vec<Binding>,
        request: &Message,
        flow: &Flow,
    ) -> Forwarded {
        let (pass, passed) = mpsc::channel(8);
        let (cancel, cancelled) = watch::channel(false);
        let walk = Walk {
            proxy: Arc::clone(self),
            account: account.to_owned(),
            request: request.clone(),
            flow: *flow,
            pass,
            cancelled,
        };
        self.context
            .tasks
            .spawn(async move { walk.run(bindings).await });
        Forwarded { passed, cancel }
    }
}

/// One INVITE on its way from contact to contact.
struct Walk {
    proxy: Arc<InviteProxy>,
    account: String,
    request: Message,
    flow: Flow,
    pass: mpsc::Sender<Passed>,
    cancelled: watch::Receiver<bool>,
}

/// How one contact answered.
enum Answer {
    /// 2xx.
    Taken,
    /// Another final response.
    Refused(Box<Message>),
    /// None, in time or at all.
    None,
}

impl Walk {
    async fn run(self, bindings: Vec<Binding>) {
        let trigger = self.proxy.context.policy.settings().offline_trigger;
        let mut best: Option<Box<Message>> = None;
        for binding in &bindings {
            if self.is_cancelled() {
                break;
            }
            let to = Destination::of(binding);
            let contact = reach::request_uri(binding);
            let sent = reach::invite(&self.proxy.clients, &to, |via| {
                let composer = &self.proxy.context.parts.composer;
                composer.forwarded(&self.request, &self.flow, contact, via)
            });
            let calling = match sent.await {
                Ok(calling) => calling,
                Err(error) => {
                    tracing::info!(account = self.account, %error, "not passed on");
                    continue;
                }
            };
            let response = match self.listen(calling).await {
                Answer::Taken => return,
                Answer::None => continue,
                Answer::Refused(response) => response,
            };
            let status = response.status().unwrap_or(500);
            match Meaning::of(status) {
                _ if self.is_cancelled() => best = Some(response),
                Meaning::Refused => {
                    return self.pass(Passed::Final(Reply::relayed(&response))).await;
                }
                Meaning::Absent if is_absence(status, trigger) => {}
                Meaning::Delivered | Meaning::Absent | Meaning::Rejected => best = Some(response),
            }
        }
        let last = match best {
            Some(response) => Passed::Final(Reply::relayed(&response)),
            None if self.is_cancelled() => Passed::Final(Reply::new(487)),
            None => Passed::Absent,
        };
        self.pass(last).await;
    }

    /// Passes back what a contact says, until its final response, or until the last copy of its 2xx.
    async fn listen(&self, mut calling: Calling) -> Answer {
        let mut deadline = Instant::now() + self.proxy.context.timers.ringing();
        let mut taken = false;
        let mut may_cancel = true;
        let mut cancelled = self.cancelled.clone();
        loop {
            tokio::select! {
                biased;
                heard = calling.next() => match heard {
                    Heard::Provisional(response) => {
                        deadline = Instant::now() + self.proxy.context.timers.ringing();
                        // RFC 3261 §16.7 item 5: each hop has its own 100.
                        if response.status() != Some(100) {
                            self.pass(Passed::Provisional(Reply::relayed(&response))).await;
                        }
                    }
                    Heard::Accepted(response) => {
                        if !taken {
                            taken = true;
                            self.proxy.delivery.account_answered(&self.account);
                        }
                        self.pass(Passed::Success(Reply::relayed(&response))).await;
                    }
                    Heard::Refused(response) => return Answer::Refused(response),
                    Heard::Ended if taken => {
                        self.pass(Passed::Ended).await;
                        return Answer::Taken;
                    }
                    Heard::TimedOut | Heard::Broken | Heard::Ended => return Answer::None,
                },
                () = until_set(&mut cancelled), if may_cancel => {
                    may_cancel = false;
                    // Of no effect once it was taken.
                    calling.cancel();
                }
                () = sleep_until(deadline), if !taken => {
                    // RFC 3261 §16.8: what rang is taken back; its 487 is the answer, or its silence.
                    calling.cancel();
                    deadline = Instant::now() + self.proxy.context.timers.ringing();
                }
            }
        }
    }

    fn is_cancelled(&self) -> bool {
        *self.cancelled.borrow() || self.cancelled.has_changed().is_err()
    }

    async fn pass(&self, passed: Passed) {
        // Whoever let go of the call is not interested.
        let _ = self.pass.send(passed).await;
    }
}

/// Completes when the call is taken back: by CANCEL, or because whoever passed it on let go of it.
async fn until_set(cancelled: &mut watch::Receiver<bool>) {
    let _ = cancelled.wait_for(|cancelled| *cancelled).await;
}
