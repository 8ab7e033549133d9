//! Calls that the server places: an INVITE, the dialog that a 2xx makes of it (RFC 3261 §12.1.2), and
//! the BYE that ends it.
//!
//! A keeper stays with each call until its INVITE is over: it acknowledges every copy of the 2xx, and
//! ends at once what others of a fork began (RFC 3261 §13.2.2.4).

use std::sync::Arc;

use bytes::Bytes;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::CSeq;
use tokio::sync::{mpsc, oneshot};

use crate::dialog::{Dialog, DialogId, Dialogs, Membership};
use crate::reach::{self, Destination, Unreachable};
use crate::store::reparse;
use crate::tasks::Tasks;
use crate::transaction::client::ClientTransactions;
use crate::transaction::invite_client::{Calling, Heard};
use crate::transport::Target;

/// An INVITE that may yet be answered. Dropped, it is taken back: whoever answers nevertheless hears
/// ACK and BYE.
#[derive(Debug)]
pub(crate) struct Ringing {
    heard: mpsc::Receiver<News>,
    /// Its end tells the keeper that nobody wants the call any more.
    _wanted: mpsc::Sender<()>,
}

/// What comes of an INVITE.
pub(crate) enum Answer {
    /// A provisional response.
    Rings,
    /// The first 2xx. It has been acknowledged.
    Taken(Box<Taken>),
    /// Another final response.
    Declined(Box<Message>),
    /// No answer, or no connection any more.
    Nobody,
}

/// An answer; and for one that makes a dialog, how to say that somebody has taken charge of that.
type News = (Answer, Option<oneshot::Sender<()>>);

/// A call that was taken.
pub(crate) struct Taken {
    /// The 2xx.
    pub(crate) response: Message,
    /// The way to end it.
    pub(crate) call: Established,
    /// What the callee says inside the dialog.
    pub(crate) inside: Membership,
}

/// A dialog, and how its other side is reached.
#[derive(Debug, Clone)]
pub(crate) struct Established {
    dialog: Dialog,
    invite_cseq: u32,
    callee: Destination,
}

/// Sends an INVITE. `compose` writes it, given the value of the top Via.
pub(crate) async fn place(
    clients: &Arc<ClientTransactions>,
    dialogs: &Dialogs,
    tasks: &Tasks,
    callee: &Destination,
    compose: impl Fn(&str) -> Bytes,
) -> Result<Ringing, Unreachable> {
    let calling = reach::invite(clients, callee, compose).await?;
    let (tell, heard) = mpsc::channel(4);
    let (wanted, unwanted) = mpsc::channel(1);
    let keeper = Keeper {
        clients: Arc::clone(clients),
        dialogs: dialogs.clone(),
        tasks: tasks.clone(),
        callee: callee.clone(),
        calling,
        tell,
        unwanted,
    };
    tasks.spawn(keeper.run());
    Ok(Ringing {
        heard,
        _wanted: wanted,
    })
}

impl Ringing {
    /// What is heard next. May be awaited again after it was cancelled.
    pub(crate) async fn next(&mut self) -> Answer {
        let Some((answer, charge)) = self.heard.recv().await else {
            return Answer::Nobody;
        };
        if let Some(charge) = charge {
            // The keeper is waiting for it.
            let _ = charge.send(());
        }
        answer
    }
}

struct Keeper {
    clients: Arc<ClientTransactions>,
    dialogs: Dialogs,
    tasks: Tasks,
    callee: Destination,
    calling: Calling,
    tell: mpsc::Sender<News>,
    unwanted: mpsc::Receiver<()>,
}

/// A 2xx that was acknowledged, to be acknowledged again for each copy.
struct Acknowledged {
    dialog: DialogId,
    ack: Option<(Target, Bytes)>,
}

impl Keeper {
    async fn run(mut self) {
        let mut acknowledged: Vec<Acknowledged> = Vec::new();
        let mut is_wanted = true;
        loop {
            let heard = tokio::select! {
                biased;
                heard = self.calling.next() => heard,
                _ = self.unwanted.recv(), if is_wanted => {
                    is_wanted = false;
                    self.calling.cancel();
                    continue;
                }
            };
            match heard {
                Heard::Provisional(_) => self.say(Answer::Rings).await,
                Heard::Refused(response) => self.say(Answer::Declined(response)).await,
                Heard::TimedOut | Heard::Broken => self.say(Answer::Nobody).await,
                Heard::Ended => return,
                Heard::Accepted(response) => {
                    self.accepted(*response, &mut acknowledged, is_wanted).await;
                }
            }
        }
    }

    async fn accepted(
        &self,
        response: Message,
        acknowledged: &mut Vec<Acknowledged>,
        is_wanted: bool,
    ) {
        let call = Established::new(self.calling.request(), &response, &self.callee);
        let Some(call) = call else {
            tracing::info!("a 2xx without a usable Contact makes no dialog");
            if acknowledged.is_empty() {
                self.say(Answer::Nobody).await;
            }
            return;
        };
        let same = |known: &&Acknowledged| known.dialog == call.dialog.id;
        if let Some(known) = acknowledged.iter().find(same) {
            if let Some((target, ack)) = &known.ack {
                let _ = self.clients.outbox().send(*target, ack.clone()).await;
            }
            return;
        }
        // Before the ACK, after which the callee may say BYE.
        let inside = self.dialogs.join(call.dialog.id.clone());
        let ack = call.acknowledge(&self.clients).await;
        if let Err(error) = &ack {
            tracing::info!(%error, "an ACK could not be sent");
        }
        let is_first = acknowledged.is_empty();
        acknowledged.push(Acknowledged {
            dialog: call.dialog.id.clone(),
            ack: ack.ok(),
        });
        let taken = Answer::Taken(Box::new(Taken {
            response,
            call: call.clone(),
            inside,
        }));
        if !is_first || !is_wanted || !self.is_taken_over(taken).await {
            let clients = Arc::clone(&self.clients);
            self.tasks.spawn(async move { call.end(&clients).await });
        }
    }

    /// Whether somebody still wanted that call.
    async fn is_taken_over(&self, taken: Answer) -> bool {
        let (charge, charged) = oneshot::channel();
        self.tell.send((taken, Some(charge))).await.is_ok() && charged.await.is_ok()
    }

    async fn say(&self, answer: Answer) {
        // Whoever let go of the call does not listen.
        let _ = self.tell.send((answer, None)).await;
    }
}

impl Established {
    /// The dialog that a 2xx to this INVITE makes; `None` when it cannot make one.
    fn new(invite: &Bytes, response: &Message, callee: &Destination) -> Option<Self> {
        let invite = reparse(invite.clone()).ok()?;
        Some(Self {
            dialog: Dialog::as_uac(&invite, response)?,
            invite_cseq: invite.typed::<CSeq>()?.ok()?.number,
            callee: callee.clone(),
        })
    }

    /// Ends the session, and waits until the callee knows, or cannot be told.
    pub(crate) async fn end(self, clients: &Arc<ClientTransactions>) {
        let to = self.callee.hop(self.dialog.next_hop());
        let sent = reach::send(clients, &to, "BYE", |via| {
            self.dialog.clone().request("BYE", via).octets()
        });
        match sent.await {
            Ok(mut pending) => drop(pending.outcome().await),
            Err(error) => tracing::debug!(%error, "a BYE could not be sent"),
        }
    }

    async fn acknowledge(
        &self,
        clients: &Arc<ClientTransactions>,
    ) -> Result<(Target, Bytes), Unreachable> {
        let to = self.callee.hop(self.dialog.next_hop());
        reach::acknowledge(clients, &to, |via| {
            self.dialog.ack(self.invite_cseq, via).octets()
        })
        .await
    }
}
