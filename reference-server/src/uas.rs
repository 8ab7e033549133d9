//! Every request comes by here: it is checked, matched to its transaction, handed to the room that
//! knows what to do, and answered (RFC 3261 §8.2).

use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_wire::sip::typed::{CSeq, ContentLengthValue, From, MaxForwards, To, TypedHeader, Via};
use imspec_wire::sip::{Message, StartLine};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::Addressee;
use crate::clock::Timestamp;
use crate::compose::option_tags;
use crate::context::Context;
use crate::delivery::Delivery;
use crate::dialog::{Answer, DialogId, InDialog};
use crate::guard;
use crate::pager::Pager;
use crate::proxy::{InviteProxy, Passed};
use crate::registrar::Registrar;
use crate::response::{Reply, return_address};
use crate::session::Sessions;
use crate::store::Binding;
use crate::transaction::client::ClientTransactions;
use crate::transaction::invite_server::{self, InviteTicket, InviteTransactions};
use crate::transaction::server::{Begin, ServerTransactions, Ticket};
use crate::transaction::{MergeKey, TransactionKey};
use crate::transport::{Flow, Inbox, Incoming};

pub(crate) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, UPDATE, MESSAGE, OPTIONS, REGISTER";
/// Option tags that may stand in Require.
pub(crate) const SUPPORTED: &str = "timer";

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Uas {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    servers: ServerTransactions,
    invites: InviteTransactions,
    registrar: Arc<Registrar>,
    pager: Arc<Pager>,
    proxy: Arc<InviteProxy>,
    sessions: Arc<Sessions>,
    delivery: Arc<Delivery>,
    /// One for each request at work.
    slots: Arc<Semaphore>,
}

impl Inbox for Uas {
    fn receive(&self, incoming: Incoming) {
        let Incoming {
            message,
            flow,
            broken,
        } = incoming;
        match message.start_line() {
            StartLine::Response { .. } => {
                if !self.clients.receive(message) {
                    // RFC 6026 §7.3: a proxy must not pass on what matches no transaction.
                    tracing::debug!(remote = %flow.remote, "dropped a stray response");
                }
            }
            StartLine::Request { method: "ACK", .. } => self.acknowledge(message),
            StartLine::Request { method, .. } => {
                let method = method.to_owned();
                self.request(message, flow, &method, broken);
            }
        }
    }
}

impl Uas {
    pub(crate) fn new(
        context: Arc<Context>,
        clients: Arc<ClientTransactions>,
        registrar: Arc<Registrar>,
        pager: Arc<Pager>,
        proxy: Arc<InviteProxy>,
        sessions: Arc<Sessions>,
        delivery: Arc<Delivery>,
    ) -> Self {
        let limits = &context.config.limits;
        let servers = ServerTransactions::new(limits.transactions, context.timers.lifetime());
        let slots = Arc::new(Semaphore::new(limits.requests));
        let invites = InviteTransactions::new(
            context.timers,
            Arc::clone(&context.parts.outbox),
            context.tasks.clone(),
            limits.transactions,
        );
        Self {
            context,
            clients,
            servers,
            invites,
            registrar,
            pager,
            proxy,
            sessions,
            delivery,
            slots,
        }
    }

    fn request(&self, request: Message, flow: Flow, method: &str, broken: bool) {
        let received = self.context.now();
        if broken {
            self.refuse(&request, &flow, &self.broken(&request));
            return;
        }
        if let Err(reply) = self.sound(&request, method) {
            tracing::debug!(remote = %flow.remote, status = reply.status(), "refused a request");
            self.refuse(&request, &flow, &reply);
            return;
        }
        if method == "INVITE" {
            self.invite(&request, flow, received);
            return;
        }
        let key = TransactionKey::of(&request, method);
        let ticket = match self
            .servers
            .begin(key, MergeKey::of(&request), Instant::now())
        {
            Begin::New(ticket) => ticket,
            Begin::Again(None) => return,
            Begin::Again(Some(response)) => {
                let address = return_address(&request, &flow);
                self.context
                    .parts
                    .outbox
                    .respond_now(flow, address, response);
                return;
            }
            Begin::Merged => return self.refuse(&request, &flow, &Reply::new(482)),
            Begin::Full => return self.refuse(&request, &flow, &Reply::overloaded()),
        };
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return self.refuse(&request, &flow, &Reply::overloaded());
        };
        let uas = self.clone();
        let work = Work {
            request,
            flow,
            received,
            ticket,
            slot,
        };
        self.context
            .tasks
            .spawn(async move { uas.work(work).await });
    }

    /// ACK is never answered (RFC 3261 §13.3.1.4): it ends the repetition of a response, or is for
    /// nobody.
    fn acknowledge(&self, ack: Message) {
        if self.invites.acknowledge(&ack) {
            return;
        }
        if let Some(dialog) = DialogId::of_request(&ack) {
            let ack = InDialog::Ack(Box::new(ack));
            if self.context.dialogs.deliver(&dialog, ack).is_err() {
                tracing::debug!("an ACK belongs to no dialog");
            }
        }
    }

    fn invite(&self, request: &Message, flow: Flow, received: Timestamp) {
        let ticket = match self.invites.begin(request.clone(), flow, received) {
            invite_server::Begin::New(ticket) => ticket,
            invite_server::Begin::Again => return,
            invite_server::Begin::Merged => return self.refuse(request, &flow, &Reply::new(482)),
            invite_server::Begin::Full => {
                return self.refuse(request, &flow, &Reply::overloaded());
            }
        };
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return ticket.reject(&Reply::overloaded());
        };
        ticket.provisional(&Reply::new(100));
        let uas = self.clone();
        self.context.tasks.spawn(async move {
            uas.answer_invite(ticket).await;
            drop(slot);
        });
    }

    async fn answer_invite(&self, ticket: Box<InviteTicket>) {
        if let Some(dialog) = DialogId::of_request(ticket.request()) {
            let invite = InDialog::Invite(ticket);
            if let Err(InDialog::Invite(ticket)) = self.context.dialogs.deliver(&dialog, invite) {
                ticket.reject(&Reply::new(481));
            }
            return;
        }
        let account = match self.invited(ticket.request()).await {
            Ok(account) => account,
            Err(reply) => return ticket.reject(&reply),
        };
        let bindings = match self.context.live_bindings(&account).await {
            Ok(bindings) => bindings,
            Err(error) => return ticket.reject(&error.into()),
        };
        if bindings.is_empty() {
            return self.sessions.answer(ticket, account).await;
        }
        if matches!(
            ticket.request().typed::<MaxForwards>(),
            Some(Ok(MaxForwards(0)))
        ) {
            // As for MESSAGE: it may be taken here, but not go on.
            return ticket.reject(&Reply::new(483));
        }
        if let Some(ticket) = self.pass_on(ticket, &account, bindings).await {
            self.sessions.answer(ticket, account).await;
        }
    }

    /// Whose session it would be.
    async fn invited(&self, request: &Message) -> Result<String, Reply> {
        self.check_uri_and_extensions(request)?;
        guard::sending(&self.context, request).await?;
        self.context.account(request).await
    }

    /// Passes an INVITE on to somebody online. Gives it back when nobody is there after all.
    async fn pass_on(
        &self,
        mut ticket: Box<InviteTicket>,
        account: &str,
        bindings: Vec<Binding>,
    ) -> Option<Box<InviteTicket>> {
        let request = self.context.believed(ticket.request());
        let mut forwarded = self
            .proxy
            .start(account, bindings, &request, &ticket.flow());
        let mut is_cancelled = false;
        loop {
            let passed = tokio::select! {
                passed = forwarded.next() => passed,
                () = ticket.cancelled(), if !is_cancelled => {
                    // The callee answers 487, or was faster with something else (RFC 3261 §16.10).
                    is_cancelled = true;
                    forwarded.cancel();
                    continue;
                }
            };
            match passed {
                Passed::Provisional(reply) => ticket.provisional(&reply),
                Passed::Success(reply) => drop(ticket.succeed(&reply)),
                Passed::Final(reply) => {
                    ticket.reject(&reply);
                    return None;
                }
                Passed::Absent => return Some(ticket),
                Passed::Ended => return None,
            }
        }
    }

    /// Answers without a transaction: a retransmission gets the same answer anew.
    fn refuse(&self, request: &Message, flow: &Flow, reply: &Reply) {
        let octets = reply.octets(request, flow, &stateless_tag(request));
        let address = return_address(request, flow);
        self.context
            .parts
            .outbox
            .respond_now(*flow, address, octets);
    }

    /// The answer to a head whose body cannot be framed on a stream.
    fn broken(&self, request: &Message) -> Reply {
        let most = u64::try_from(self.context.config.limits.message_octets).unwrap_or(u64::MAX);
        match request.typed::<ContentLengthValue>() {
            Some(Ok(ContentLengthValue(length))) if length > most => Reply::new(513),
            Some(Ok(_)) if request.headers().count() > self.context.config.limits.headers => {
                Reply::new(513)
            }
            _ => Reply::because(400, "Bad Content-Length"),
        }
    }

    /// What every request must be like, whatever its method.
    fn sound(&self, request: &Message, method: &str) -> Result<(), Reply> {
        let limits = &self.context.config.limits;
        let bad = |reason: &str| Err(Reply::because(400, reason));
        if let StartLine::Request { version, uri, .. } = request.start_line() {
            if !version.eq_ignore_ascii_case("SIP/2.0") {
                return Err(Reply::new(505));
            }
            if uri.len() > limits.uri_octets {
                return Err(Reply::new(414));
            }
        }
        if request.octets().len() > limits.message_octets
            || request.headers().count() > limits.headers
        {
            return Err(Reply::new(513));
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            match request.headers_named(name).count() {
                0 => return bad(&format!("Missing {name}")),
                1 => {}
                // RFC 4475 §3.3.8
                _ => return bad(&format!("Repeated {name}")),
            }
        }
        if !matches!(request.typed::<Via>(), Some(Ok(_))) {
            return bad("Bad Via");
        }
        if !matches!(request.typed::<From>(), Some(Ok(_))) {
            return bad("Bad From");
        }
        if !matches!(request.typed::<To>(), Some(Ok(_))) {
            return bad("Bad To");
        }
        match request.typed::<CSeq>() {
            // RFC 3261 §8.1.1.5
            Some(Ok(cseq)) if cseq.number < 1 << 31 && cseq.method == method => {}
            _ => return bad("Bad CSeq"),
        }
        if request
            .header("Call-ID")
            .is_none_or(|field| field.value().is_empty())
        {
            return bad("Bad Call-ID");
        }
        match request.headers_named(MaxForwards::NAME).count() {
            // RFC 2543 peers send none.
            0 => {}
            1 if matches!(request.typed::<MaxForwards>(), Some(Ok(_))) => {}
            _ => return bad("Bad Max-Forwards"),
        }
        let lengths = request.typed_all::<ContentLengthValue>();
        if lengths.len() > 1 || lengths.iter().any(Result::is_err) {
            // RFC 4475 §3.3.9
            return bad("Bad Content-Length");
        }
        if request.missing_body() > 0 {
            // RFC 3261 §18.3
            return bad("Body Is Short");
        }
        Ok(())
    }

    async fn work(&self, work: Work) {
        let Work {
            request,
            flow,
            received,
            ticket,
            slot,
        } = work;
        let tag = format!("{:012x}", fastrand::u64(..1 << 48));
        let address = return_address(&request, &flow);
        let outbox = &self.context.parts.outbox;
        let mut answer = std::pin::pin!(self.answer(&request, &flow, received));
        // RFC 4320 §4.1, which leaves 100 out on reliable transports too unless it is late.
        let trying = tokio::time::sleep(self.context.timers.before_trying());
        let done = tokio::select! {
            biased;
            done = &mut answer => done,
            () = trying => {
                let octets = Reply::new(100).octets(&request, &flow, &tag);
                ticket.provisional(octets.clone());
                outbox.respond_now(flow, address, octets);
                answer.await
            }
        };
        let octets = done.reply.octets(&request, &flow, &tag);
        ticket.finish(octets.clone(), Instant::now());
        drop(slot);
        let sent = tokio::time::timeout(SEND, outbox.respond(flow, address, octets)).await;
        if !matches!(sent, Ok(Ok(_))) {
            tracing::debug!(remote = %flow.remote, "a response could not be sent");
        }
        // Only now: a user agent is not ready for messages before it knows that it is registered.
        if let Some((account, refreshed)) = done.registered {
            self.delivery.bindings_changed(&account, refreshed);
        }
    }

    async fn answer(&self, request: &Message, flow: &Flow, received: Timestamp) -> Done {
        let method = request.method().unwrap_or_default();
        if method == "CANCEL" {
            let status = if self.invites.cancel(request) {
                200
            } else {
                481
            };
            return Reply::new(status).into();
        }
        if let Some(dialog) = DialogId::of_request(request)
            && method != "REGISTER"
        {
            return self
                .answer_in_dialog(&dialog, request, received)
                .await
                .into();
        }
        if let Err(reply) = self.check_uri_and_extensions(request) {
            return reply.into();
        }
        match method {
            "REGISTER" => {
                let registered = self.registrar.register(request, flow).await;
                Done {
                    reply: registered.reply,
                    registered: registered.changed,
                }
            }
            "MESSAGE" => match guard::sending(&self.context, request).await {
                Ok(()) => self.pager.message(request, flow, received).await.into(),
                Err(reply) => reply.into(),
            },
            "OPTIONS" => Reply::new(200)
                .with("Allow", ALLOW)
                .with("Accept", "*/*, application/sdp")
                .with("Accept-Encoding", "*")
                .with("Accept-Language", "*")
                .with("Supported", SUPPORTED)
                .into(),
            // Outside a dialog there is no session to end or to change.
            "BYE" | "UPDATE" => Reply::new(481).into(),
            _ => Reply::new(405).with("Allow", ALLOW).into(),
        }
    }

    /// RFC 3261 §8.2.2.1, then §8.2.2.3.
    fn check_uri_and_extensions(&self, request: &Message) -> Result<(), Reply> {
        let uri = request.request_uri().unwrap_or_default();
        match self.context.domains.addressee(uri) {
            Addressee::UnsupportedScheme => return Err(Reply::new(416)),
            Addressee::Malformed => return Err(Reply::new(400)),
            Addressee::User(_) | Addressee::Domain | Addressee::Foreign => {}
        }
        check_extensions(request)
    }

    /// RFC 3261 §12.2.2: the dialog's task answers, or there is none.
    async fn answer_in_dialog(
        &self,
        dialog: &DialogId,
        request: &Message,
        received: Timestamp,
    ) -> Reply {
        if let Err(reply) = check_extensions(request) {
            return reply;
        }
        let (answer, answered) = Answer::new();
        let event = InDialog::Request {
            request: Box::new(request.clone()),
            received,
            answer,
        };
        if self.context.dialogs.deliver(dialog, event).is_err() {
            return Reply::new(481);
        }
        answered.await.unwrap_or_else(|_| Reply::new(500))
    }
}

/// How long a response may take to leave: a peer that does not read must not hold a task for ever.
const SEND: Duration = Duration::from_secs(32);

/// A request at work.
struct Work {
    request: Message,
    flow: Flow,
    received: Timestamp,
    ticket: Ticket,
    slot: OwnedSemaphorePermit,
}

/// An answer, and what it sets off once it has left.
struct Done {
    reply: Reply,
    registered: Option<(String, bool)>,
}

impl std::convert::From<Reply> for Done {
    fn from(reply: Reply) -> Self {
        Self {
            reply,
            registered: None,
        }
    }
}

/// RFC 3261 §8.2.2.3.
fn check_extensions(request: &Message) -> Result<(), Reply> {
    let mut unsupported = option_tags(request, "Require");
    if request.method() != Some("MESSAGE") {
        unsupported.retain(|tag| !tag.eq_ignore_ascii_case(SUPPORTED));
    }
    // What a privacy service does about `id` is done here (RFC 3323 §5, RFC 3325 §7).
    let proxy = option_tags(request, "Proxy-Require");
    let others = proxy
        .into_iter()
        .filter(|tag| !tag.eq_ignore_ascii_case("privacy"));
    unsupported.extend(others);
    if unsupported.is_empty() {
        return Ok(());
    }
    Err(Reply::new(420).with("Unsupported", unsupported.join(", ")))
}

/// A To tag that is the same for every copy of a request (RFC 3261 §8.2.7).
fn stateless_tag(request: &Message) -> String {
    // FNV-1a over what identifies the request; it need not be secret.
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for name in ["Via", "From", "Call-ID", "CSeq"] {
        let Some(field) = request.header(name) else {
            continue;
        };
        for octet in field.value().iter() {
            hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}
