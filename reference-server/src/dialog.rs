//! Dialogs (RFC 3261 §12): what two user agents agreed on, and who hears the requests inside.
//!
//! [`Dialog`] is the state of one side and writes its requests. [`Dialogs`] knows which task each dialog
//! belongs to: a request with a To tag goes to its task, or gets 481.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use imspec_wire::sip::typed::{CSeq, Contact, From, NameAddr, To, Uri, list};
use imspec_wire::sip::{Builder, Message};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Timestamp;
use crate::response::Reply;
use crate::transaction::invite_server::InviteTicket;

/// Requests of one dialog that may wait for its task.
const QUEUE: usize = 16;

/// What tells one dialog from all others (RFC 3261 §12), seen from here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct DialogId {
    pub(crate) call_id: String,
    pub(crate) local_tag: String,
    pub(crate) remote_tag: String,
}

impl DialogId {
    /// The dialog that a request from the peer is in; `None` outside dialogs.
    pub(crate) fn of_request(request: &Message) -> Option<Self> {
        Some(Self {
            call_id: request.header("Call-ID")?.text().into_owned(),
            local_tag: request.typed::<To>()?.ok()?.tag()?.to_owned(),
            remote_tag: tag_or_empty(request.typed::<From>()?.ok()?.tag()),
        })
    }
}

/// RFC 2543 peers have no tags (RFC 3261 §12.1.1).
fn tag_or_empty(tag: Option<&str>) -> String {
    tag.unwrap_or_default().to_owned()
}

/// One side's state of a dialog.
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) id: DialogId,
    /// The value of From in our requests.
    local: Vec<u8>,
    /// The value of To in our requests.
    remote: Vec<u8>,
    /// The peer's Contact.
    remote_target: String,
    /// Values of Route in our requests, in order.
    route: Vec<String>,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    /// The number of the peer's last INVITE that was accepted.
    invite_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog that our 2xx to this INVITE makes, with our tag (RFC 3261 §12.1.1). `None` without a
    /// Contact that could be called.
    pub(crate) fn as_uas(invite: &Message, local_tag: &str) -> Option<Self> {
        let from = invite.header("From")?.value().into_owned();
        let mut to = invite.header("To")?.value().into_owned();
        to.extend_from_slice(format!(";tag={local_tag}").as_bytes());
        let id = DialogId {
            call_id: invite.header("Call-ID")?.text().into_owned(),
            local_tag: local_tag.to_owned(),
            remote_tag: tag_or_empty(invite.typed::<From>()?.ok()?.tag()),
        };
        Some(Self {
            id,
            local: to,
            remote: from,
            remote_target: contact(invite)?,
            route: record_route(invite),
            local_cseq: 0,
            remote_cseq: cseq(invite),
            invite_cseq: cseq(invite),
        })
    }

    /// The dialog that this 2xx to our INVITE makes (RFC 3261 §12.1.2).
    pub(crate) fn as_uac(invite: &Message, response: &Message) -> Option<Self> {
        let to = response.header("To")?.value().into_owned();
        let id = DialogId {
            call_id: invite.header("Call-ID")?.text().into_owned(),
            local_tag: tag_or_empty(invite.typed::<From>()?.ok()?.tag()),
            remote_tag: tag_or_empty(response.typed::<To>()?.ok()?.tag()),
        };
        let mut route = record_route(response);
        route.reverse();
        Some(Self {
            id,
            local: invite.header("From")?.value().into_owned(),
            remote: to,
            remote_target: contact(response)?,
            route,
            local_cseq: cseq(invite)?,
            remote_cseq: None,
            invite_cseq: None,
        })
    }

    /// Where the next request goes: the first route, else the peer's Contact.
    pub(crate) fn next_hop(&self) -> String {
        match self.route.first() {
            Some(route) => NameAddr::parse(route.as_bytes())
                .map_or_else(|_| route.clone(), |route| route.uri.to_string()),
            None => self.remote_target.clone(),
        }
    }

    /// The next request of our own (RFC 3261 §12.2.1.1).
    pub(crate) fn request(&mut self, method: &str, via: &str) -> Builder {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.with_cseq(method, self.local_cseq, via)
    }

    /// Leaves a number to a request that a copy of this dialog writes.
    pub(crate) fn pass_over(&mut self) {
        self.local_cseq = self.local_cseq.saturating_add(1);
    }

    /// The ACK of a 2xx has the number of its INVITE (RFC 3261 §13.2.2.4).
    pub(crate) fn ack(&self, invite_cseq: u32, via: &str) -> Builder {
        self.with_cseq("ACK", invite_cseq, via)
    }

    fn with_cseq(&self, method: &str, number: u32, via: &str) -> Builder {
        let (uri, routes) = self.uri_and_routes();
        let mut builder = Builder::request(method, uri)
            .header("Via", via)
            .header("Max-Forwards", "70");
        for route in routes {
            builder = builder.header("Route", route);
        }
        builder
            .header("From", &self.local)
            .header("To", &self.remote)
            .header("Call-ID", &self.id.call_id)
            .header("CSeq", format!("{number} {method}"))
    }

    /// A first route without `lr` is a strict router: it becomes the Request-URI, and the target goes
    /// last (RFC 3261 §12.2.1.1).
    fn uri_and_routes(&self) -> (String, Vec<String>) {
        let is_strict = self.route.first().is_some_and(|route| {
            NameAddr::parse(route.as_bytes())
                .is_ok_and(|route| matches!(&route.uri, Uri::Sip(uri) if !uri.params.has("lr")))
        });
        if !is_strict {
            return (self.remote_target.clone(), self.route.clone());
        }
        let mut routes: Vec<String> = self.route.get(1..).unwrap_or_default().to_vec();
        routes.push(format!("<{}>", self.remote_target));
        (self.next_hop(), routes)
    }

    /// Takes note of a request from the peer; false when it is out of order, which gets 500 (RFC 3261
    /// §12.2.2).
    pub(crate) fn in_order(&mut self, request: &Message) -> bool {
        let Some(number) = cseq(request) else {
            return false;
        };
        let in_order = self.remote_cseq.is_none_or(|last| number > last);
        if in_order {
            self.remote_cseq = Some(number);
        }
        in_order
    }

    /// The number that the ACK of our last 2xx has.
    pub(crate) fn invite_cseq(&self) -> Option<u32> {
        self.invite_cseq
    }

    /// A re-INVITE was accepted.
    pub(crate) fn invited_again(&mut self, invite: &Message) {
        self.invite_cseq = cseq(invite);
    }

    /// A target refresh request came, or the answer to one of ours (RFC 3261 §12.2.1.2, §12.2.2).
    pub(crate) fn refresh_target(&mut self, message: &Message) {
        if let Some(contact) = contact(message) {
            self.remote_target = contact;
        }
    }
}

fn contact(message: &Message) -> Option<String> {
    match message.typed::<Contact>()?.ok()? {
        Contact::Address(address) => Some(address.uri.to_string()),
        Contact::Star => None,
    }
}

fn cseq(message: &Message) -> Option<u32> {
    Some(message.typed::<CSeq>()?.ok()?.number)
}

fn record_route(message: &Message) -> Vec<String> {
    message
        .headers_named("Record-Route")
        .flat_map(|field| {
            let value = field.value().into_owned();
            list::split(&value)
                .into_iter()
                .map(|(_, route)| String::from_utf8_lossy(route).into_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Something that came inside a dialog.
pub(crate) enum InDialog {
    /// A request to answer.
    Request {
        request: Box<Message>,
        received: Timestamp,
        answer: Answer,
    },
    /// Another INVITE.
    Invite(Box<InviteTicket>),
    /// An ACK of a 2xx.
    Ack(Box<Message>),
}

/// The duty to answer a request. Dropped without an answer, the request gets 500.
pub(crate) struct Answer(oneshot::Sender<Reply>);

impl Answer {
    /// The duty, and where its fulfilment shows.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Reply>) {
        let (sender, receiver) = oneshot::channel();
        (Self(sender), receiver)
    }

    /// Answers.
    pub(crate) fn reply(self, reply: Reply) {
        // Whoever waited may have stopped with the server.
        let _ = self.0.send(reply);
    }
}

/// Which dialog belongs to which task.
#[derive(Clone, Default)]
pub(crate) struct Dialogs(Arc<Mutex<HashMap<DialogId, mpsc::Sender<InDialog>>>>);

/// A task's hold of a dialog. Dropped, the dialog is over.
pub(crate) struct Membership {
    dialogs: Dialogs,
    id: DialogId,
    arriving: mpsc::Receiver<InDialog>,
}

impl Dialogs {
    /// From now on what comes inside that dialog comes to the caller.
    pub(crate) fn join(&self, id: DialogId) -> Membership {
        let (sender, arriving) = mpsc::channel(QUEUE);
        self.lock().insert(id.clone(), sender);
        Membership {
            dialogs: self.clone(),
            id,
            arriving,
        }
    }

    /// Hands something over to its dialog's task, or gives it back where there is none. What a task has
    /// no room for is dropped, and so answered with 500.
    pub(crate) fn deliver(&self, id: &DialogId, event: InDialog) -> Result<(), InDialog> {
        let task = self.lock().get(id).cloned();
        let Some(task) = task else { return Err(event) };
        match task.try_send(event) {
            Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(event)) => Err(event),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<DialogId, mpsc::Sender<InDialog>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership {
    /// The next thing that comes inside the dialog.
    pub(crate) async fn next(&mut self) -> InDialog {
        match self.arriving.recv().await {
            Some(event) => event,
            // The table holds a sender as long as we are in it.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.dialogs.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn invite(more: &[&str]) -> Message {
        let mut builder = Builder::request("INVITE", "sip:bob@example.org")
            .header("From", "\"A\" <sip:alice@example.org>;tag=a")
            .header("To", "<sip:bob@example.org>")
            .header("Call-ID", "c1")
            .header("CSeq", "7 INVITE")
            .header("Contact", "<sip:alice@192.0.2.1:5070;transport=tcp>;x=y");
        for line in more {
            builder = builder.header_line(line);
        }
        builder.build().unwrap()
    }

    fn text(builder: Builder) -> String {
        String::from_utf8_lossy(&builder.octets()).into_owned()
    }

    #[test]
    fn our_requests_mirror_the_invite() {
        let mut dialog = Dialog::as_uas(&invite(&[]), "b").unwrap();
        assert_eq!(dialog.next_hop(), "sip:alice@192.0.2.1:5070;transport=tcp");
        insta::assert_snapshot!(text(dialog.request("BYE", "SIP/2.0/TCP x;branch=z9hG4bK1")));
    }

    #[test]
    fn routes_are_followed_and_strict_routers_served() {
        let routes = ["Record-Route: <sip:p1;lr>, <sip:p2;lr>"];
        let mut dialog = Dialog::as_uas(&invite(&routes), "b").unwrap();
        assert_eq!(dialog.next_hop(), "sip:p1;lr");
        let bye = text(dialog.request("BYE", "v"));
        assert!(bye.starts_with("BYE sip:alice@192.0.2.1:5070;transport=tcp SIP/2.0"));
        assert!(bye.contains("Route: <sip:p1;lr>\r\nRoute: <sip:p2;lr>\r\n"));
        let mut dialog = Dialog::as_uas(&invite(&["Record-Route: <sip:p1>"]), "b").unwrap();
        let bye = text(dialog.request("BYE", "v"));
        assert!(bye.starts_with("BYE sip:p1 SIP/2.0\r\n"), "{bye}");
        assert!(bye.contains("Route: <sip:alice@192.0.2.1:5070;transport=tcp>\r\n"));
    }

    #[test]
    fn the_order_of_the_peers_requests_is_kept() {
        let mut dialog = Dialog::as_uas(&invite(&[]), "b").unwrap();
        let request = |number: u32| {
            Builder::request("BYE", "sip:x")
                .header("CSeq", format!("{number} BYE"))
                .build()
                .unwrap()
        };
        assert!(!dialog.in_order(&request(7)));
        assert!(dialog.in_order(&request(9)));
        assert!(!dialog.in_order(&request(8)));
        assert_eq!(dialog.invite_cseq(), Some(7));
    }

    #[tokio::test]
    async fn what_belongs_to_no_dialog_comes_back() {
        let dialogs = Dialogs::default();
        let id = Dialog::as_uas(&invite(&[]), "b").unwrap().id;
        let ack = || InDialog::Ack(Box::new(invite(&[])));
        assert!(dialogs.deliver(&id, ack()).is_err());
        let mut mine = dialogs.join(id.clone());
        assert!(dialogs.deliver(&id, ack()).is_ok());
        assert!(matches!(mine.next().await, InDialog::Ack(_)));
        drop(mine);
        assert!(dialogs.deliver(&id, ack()).is_err());
    }
}
