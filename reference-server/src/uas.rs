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
use crate::pager::Pager;
use crate::registrar::Registrar;
use crate::response::{Reply, return_address};
use crate::transaction::client::ClientTransactions;
use crate::transaction::server::{Begin, ServerTransactions, Ticket};
use crate::transaction::{MergeKey, TransactionKey};
use crate::transport::{Flow, Inbox, Incoming};

const ALLOW: &str = "MESSAGE, OPTIONS, REGISTER";

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Uas {
    context: Arc<Context>,
    clients: Arc<ClientTransactions>,
    servers: ServerTransactions,
    registrar: Arc<Registrar>,
    pager: Arc<Pager>,
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
            // ACK is never answered, and no INVITE of ours could be acknowledged.
            StartLine::Request { method: "ACK", .. } => {}
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
        delivery: Arc<Delivery>,
    ) -> Self {
        let limits = &context.config.limits;
        let servers = ServerTransactions::new(limits.transactions, context.timers.lifetime());
        let slots = Arc::new(Semaphore::new(limits.requests));
        Self {
            context,
            clients,
            servers,
            registrar,
            pager,
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
        if let Some(reply) = without_transaction(method) {
            self.refuse(&request, &flow, &reply);
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
        // RFC 3261 §8.2.2.1 before §8.2.2.3
        let uri = request.request_uri().unwrap_or_default();
        match self.context.domains.addressee(uri) {
            Addressee::UnsupportedScheme => return Reply::new(416).into(),
            Addressee::Malformed => return Reply::new(400).into(),
            Addressee::User(_) | Addressee::Domain | Addressee::Foreign => {}
        }
        let mut unsupported = option_tags(request, "Require");
        // What a privacy service does about `id` is done here (RFC 3323 §5, RFC 3325 §7).
        let proxy = option_tags(request, "Proxy-Require");
        unsupported.extend(
            proxy
                .into_iter()
                .filter(|tag| !tag.eq_ignore_ascii_case("privacy")),
        );
        if !unsupported.is_empty() {
            return Reply::new(420)
                .with("Unsupported", unsupported.join(", "))
                .into();
        }
        match method {
            "REGISTER" => {
                let registered = self.registrar.register(request, flow).await;
                Done {
                    reply: registered.reply,
                    registered: registered.changed,
                }
            }
            "MESSAGE" => self.pager.message(request, flow, received).await.into(),
            "OPTIONS" => Reply::new(200)
                .with("Allow", ALLOW)
                .with("Accept", "*/*")
                .with("Accept-Encoding", "*")
                .with("Accept-Language", "*")
                .with("Supported", "")
                .into(),
            _ => Reply::new(405).with("Allow", ALLOW).into(),
        }
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

/// Methods that have transactions of another kind than ours. They are answered without state
/// (RFC 3261 §8.2.7): the sender repeats the request, and gets the same answer.
fn without_transaction(method: &str) -> Option<Reply> {
    match method {
        "INVITE" => Some(Reply::new(405).with("Allow", ALLOW)),
        // RFC 3261 §9.2: there is never anything to cancel.
        "CANCEL" => Some(Reply::new(481)),
        _ => None,
    }
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
