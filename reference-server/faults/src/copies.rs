//! How often a request goes out: more often than it must, or less.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::transport::{Closed, Flow, Gate, Incoming, Outbox, Sending, Target};
use imspec_wire::sip::Message;

use crate::fault::Fault;
use crate::rewrite;
use crate::store::Memory;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "delivers-two-copies",
        "F-152",
        &["DM-DRV-03"],
        "Each MESSAGE to a recipient is sent twice, the second time as another request.",
    )
    .seed(|parts| {
        let seen = Memory::<HashSet<Vec<u8>>>::default();
        sending(parts, move |_, request| {
            let call = request.header("Call-ID")?.value().into_owned();
            let is_first = seen.get().insert(call);
            is_first.then(|| copy_of(request)).flatten().map(Instead::Twice)
        })
    }),
    Fault::new(
        "each-registration-delivers",
        "F-344",
        &["DM-DRV-03"],
        "Of several registrations in a row each has what waits sent, though it is on its way already.",
    )
    .seed(|parts| {
        let rows = Arc::<Rows>::default();
        let gate = RowsSeen {
            inner: Arc::clone(&parts.gate),
            outbox: Arc::clone(&parts.outbox),
            rows: Arc::clone(&rows),
        };
        let parts = Parts {
            gate: Arc::new(gate),
            ..parts
        };
        sending(parts, move |target, request| rows.sent(target, request).map(Instead::Twice))
    }),
    Fault::new(
        "sends-once",
        "F-375",
        &["RFC3261-17.1.2"],
        "A MESSAGE to a recipient goes out once, and not again when no response comes.",
    )
    .seed(|parts| {
        let seen = Memory::<HashSet<Vec<u8>>>::default();
        sending(parts, move |_, request| {
            again(&seen, request).map(|()| Instead::Never)
        })
    }),
    Fault::new(
        "sends-again-to-default-port",
        "F-376",
        &["RFC3261-17.1.2"],
        "A MESSAGE to a recipient that is sent again goes to port 5060.",
    )
    .seed(|parts| {
        let seen = Memory::<HashSet<Vec<u8>>>::default();
        sending(parts, move |_, request| {
            again(&seen, request).map(|()| Instead::ToPort(5060))
        })
    }),
];

/// Whether a request goes out again in the same transaction.
fn again(seen: &Memory<HashSet<Vec<u8>>>, request: &Message) -> Option<()> {
    let via = request.header("Via")?.value().into_owned();
    (!seen.get().insert(via)).then_some(())
}

/// What is done with a request in place of sending it.
enum Instead {
    /// Sends this besides.
    Twice(Bytes),
    /// Sends it to this port.
    ToPort(u16),
    /// Sends nothing, as if it had been.
    Never,
}

/// Changes how often each MESSAGE goes out; where there is nothing to change it goes out once.
fn sending(
    parts: Parts,
    change: impl Fn(Target, &Message) -> Option<Instead> + Send + Sync + 'static,
) -> Parts {
    let outbox = Otherwise {
        inner: Arc::clone(&parts.outbox),
        change,
    };
    Parts {
        outbox: Arc::new(outbox),
        ..parts
    }
}

struct Otherwise<F> {
    inner: Arc<dyn Outbox>,
    change: F,
}

impl<F: Fn(Target, &Message) -> Option<Instead> + Send + Sync + 'static> Outbox for Otherwise<F> {
    fn send(&self, target: Target, octets: Bytes) -> Sending<'_> {
        let request = rewrite::read(&octets).filter(|request| request.method() == Some("MESSAGE"));
        let instead = request.and_then(|request| (self.change)(target, &request));
        Box::pin(async move {
            match instead {
                None => self.inner.send(target, octets).await,
                Some(Instead::Twice(copy)) => {
                    let sent = self.inner.send(target, octets).await?;
                    self.inner.send(target, copy).await?;
                    Ok(sent)
                }
                Some(Instead::ToPort(port)) => {
                    let mut other = target;
                    other.address.set_port(port);
                    self.inner.send(other, octets).await
                }
                Some(Instead::Never) => Ok(Closed::never()),
            }
        })
    }

    fn respond(&self, flow: Flow, fallback: SocketAddr, octets: Bytes) -> Sending<'_> {
        self.inner.respond(flow, fallback, octets)
    }

    fn respond_now(&self, flow: Flow, address: SocketAddr, octets: Bytes) {
        self.inner.respond_now(flow, address, octets);
    }

    fn sent_by(&self, target: Target) -> Option<SocketAddr> {
        self.inner.sent_by(target)
    }
}

/// The same message in a request of its own.
fn copy_of(request: &Message) -> Option<Bytes> {
    let via = rewrite::text(request, "Via")?.replace("z9hG4bK", "z9hG4bKcopy");
    let other = rewrite::with_field(request, "Via", via);
    let call = format!("copy{:016x}", fastrand::u64(..));
    Some(rewrite::message(&other, |other| {
        rewrite::with_field(other, "Call-ID", call)
    }))
}

/// Registrations that follow each other within this time are in a row.
const ROW: Duration = Duration::from_secs(5);

/// The registrations of each account that came in a row, and what is sent to it meanwhile.
#[derive(Default)]
struct Rows(Memory<HashMap<String, Row>>);

#[derive(Default)]
struct Row {
    last: Option<Instant>,
    times: u32,
    /// What went out once, as it would go out again; which comes first, message or registration, is a matter
    /// of a millisecond.
    sent: Option<(Target, Bytes)>,
}

struct RowsSeen {
    inner: Arc<dyn Gate>,
    outbox: Arc<dyn Outbox>,
    rows: Arc<Rows>,
}

impl Gate for RowsSeen {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        if incoming.message.method() == Some("REGISTER")
            && incoming.message.header("Contact").is_some()
            && let Some(account) = rewrite::account_in(&incoming.message, "To")
        {
            let again = {
                let mut rows = self.rows.0.get();
                let row = rows.entry(account).or_default();
                if row.last.is_none_or(|last| last.elapsed() > ROW) {
                    *row = Row::default();
                }
                row.last = Some(Instant::now());
                row.times += 1;
                row.sent.take_if(|_| row.times > 1)
            };
            if let Some((target, copy)) = again {
                let outbox = Arc::clone(&self.outbox);
                tokio::spawn(async move { outbox.send(target, copy).await.map(drop) });
            }
        }
        self.inner.admit(incoming)
    }
}

impl Rows {
    /// A message goes out; gives its copy where a further registration of the row has come already.
    fn sent(&self, target: Target, request: &Message) -> Option<Bytes> {
        let account = rewrite::account_in(request, "To")?;
        let copy = copy_of(request)?;
        let mut rows = self.0.get();
        let row = rows.get_mut(&account)?;
        if row.times > 1 && row.last.is_some_and(|last| last.elapsed() <= ROW) {
            row.times = 1;
            return Some(copy);
        }
        row.sent = Some((target, copy));
        None
    }
}
