//! Who is there, and who has to wait for whom.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use imspec_reference_server::Parts;
use imspec_reference_server::clock::Clock;
use imspec_reference_server::store::{
    Answer, Binding, Inserted, NewMessage, Piece, Store, StoredMessage,
};
use imspec_reference_server::transport::{Gate, Incoming};

use super::{Memory, NOWHERE, Spoil, reading, request_of, spoil};
use crate::fault::{Fault, Need};
use crate::rewrite;
use crate::transport::notified;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "loses-what-is-for-the-present",
        "F-270",
        &["DM-DRV-01", "DM-DRV-08"],
        "A MESSAGE for a user who is registered is accepted and lost.",
    )
    .seed(|parts| {
        let store = Arc::clone(&parts.store);
        tokio::spawn(async move { store.change_accounts(vec![SINK.to_owned()], Vec::new()).await });
        Parts {
            gate: Arc::new(Present {
                inner: Arc::clone(&parts.gate),
                registered: Memory::default(),
            }),
            ..parts
        }
    }),
    Fault::new(
        "two-devices-get-nothing",
        "F-271",
        &["DM-DRV-01"],
        "Whoever has registered two devices gets nothing of what waits.",
    )
    .seed(|parts| spoil(parts, |parts| OneDevice(Arc::clone(&parts.store)))),
    Fault::new(
        "short-visits-get-nothing",
        "F-383",
        &["DM-DRV-01"],
        "Whoever has registered for less than a minute gets nothing of what waits.",
    )
    .seed(|parts| {
        spoil(parts, |parts| LongVisits {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
        })
    }),
    Fault::new(
        "one-recipient-at-a-time",
        "F-272",
        &["DM-DRV-01"],
        "While a delivery is not answered nobody else gets anything.",
    )
    .seed(|parts| {
        spoil(parts, |parts| OneAtATime {
            inner: Arc::clone(&parts.store),
            under_way: Memory::default(),
        })
    }),
    Fault::new(
        "restart-forgets-the-present",
        "F-273",
        &["DM-DRV-01", "DM-DRV-08"],
        "What comes after a restart for those who were there before is accepted and lost, until they register.",
    )
    .needs(&[Need::Wire, Need::Restart])
    .seed(|parts| {
        spoil(parts, |parts| Forgets {
            inner: Arc::clone(&parts.store),
            forgotten: Arc::default(),
        })
    }),
    Fault::new(
        "senders-take-along",
        "F-353",
        &["DM-DRV-01", "DM-TRIG-01"],
        "What waits for others is lost when its sender removes his bindings.",
    )
    .seed(|parts| {
        let left = Arc::<Memory<HashSet<String>>>::default();
        let gone = Arc::clone(&left);
        let parts = reading(parts, move |stored| {
            let sender = request_of(&stored.message)
                .and_then(|request| rewrite::account_in(&request, "From"));
            let is_gone = sender.is_some_and(|sender| gone.get().contains(&sender));
            (!is_gone).then_some(stored)
        });
        Parts {
            gate: Arc::new(Leaving {
                inner: Arc::clone(&parts.gate),
                left,
            }),
            ..parts
        }
    }),
    Fault::new(
        "answers-notifications",
        "F-274",
        &["RFC5438-7.2.1"],
        "The sender of a disposition notification that was delivered gets a notification of that.",
    )
    .seed(|parts| {
        let own = parts.clone();
        spoil(parts, |parts| Answers {
            inner: Arc::clone(&parts.store),
            parts: own,
            waiting: Memory::default(),
        })
    }),
];

/// Notes who removes his bindings.
struct Leaving {
    inner: Arc<dyn Gate>,
    left: Arc<Memory<HashSet<String>>>,
}

impl Gate for Leaving {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        if message.method() == Some("REGISTER")
            && rewrite::text(message, "Expires").is_some_and(|expires| expires.trim() == "0")
            && let Some(account) = rewrite::account_in(message, "To")
        {
            self.left.get().insert(account);
        }
        self.inner.admit(incoming)
    }
}

/// Takes from those who are there what is for them.
struct Present {
    inner: Arc<dyn Gate>,
    registered: Memory<HashSet<String>>,
}

impl Gate for Present {
    fn admit(&self, mut incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        match message.method() {
            Some("REGISTER") => {
                let contact = rewrite::text(message, "Contact");
                let expires = rewrite::text(message, "Expires");
                let removes = expires.is_some_and(|expires| expires.trim() == "0")
                    || contact
                        .as_deref()
                        .is_some_and(|contact| contact.contains("expires=0"));
                if let Some(account) =
                    rewrite::account_in(message, "To").filter(|_| contact.is_some())
                {
                    let mut registered = self.registered.get();
                    if removes {
                        registered.remove(&account);
                    } else {
                        registered.insert(account);
                    }
                }
            }
            Some("MESSAGE") => {
                let account = rewrite::account_of(message.request_uri().unwrap_or_default());
                if account.is_some_and(|account| self.registered.get().contains(&account)) {
                    let octets = rewrite::request_uri(message, SINK);
                    incoming.message = rewrite::read(&octets).unwrap_or(incoming.message);
                }
            }
            _ => {}
        }
        self.inner.admit(incoming)
    }
}

/// An account that nobody has.
const SINK: &str = "sip:imspec-sink@example.org";

/// Both devices must have come; a store that takes a while gives them the time.
const MEANWHILE: Duration = Duration::from_millis(300);

struct OneDevice(Arc<dyn Store>);

impl Spoil for OneDevice {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.0.next_message(account, after).await?;
            if next.is_some() {
                tokio::time::sleep(MEANWHILE).await;
                if self.0.bindings(account).await?.len() > 1 {
                    return Ok(None);
                }
            }
            Ok(next)
        })
    }
}

struct LongVisits {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

impl Spoil for LongVisits {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let bindings = self.inner.bindings(account).await?;
            let soon = self.clock.now().plus_seconds(60);
            if bindings.iter().all(|binding| binding.expires_at < soon) {
                return Ok(None);
            }
            self.inner.next_message(account, after).await
        })
    }
}

/// How long somebody waits for others at most.
const PATIENCE: Duration = Duration::from_secs(20);

struct OneAtATime {
    inner: Arc<dyn Store>,
    /// The delivery that has no answer: which one, whose, since when.
    under_way: Memory<Option<(i64, String, Instant)>>,
}

impl OneAtATime {
    /// Whether this one may begin now.
    fn begins(&self, number: i64, account: &str) -> bool {
        let mut under_way = self.under_way.get();
        let is_free = under_way
            .as_ref()
            .is_none_or(|(_, whose, since)| whose == account || since.elapsed() > PATIENCE);
        if is_free {
            *under_way = Some((number, account.to_owned(), Instant::now()));
        }
        is_free
    }

    fn ends(&self, is_it: impl Fn(i64, &str) -> bool) {
        let mut under_way = self.under_way.get();
        if under_way
            .as_ref()
            .is_some_and(|(number, whose, _)| is_it(*number, whose))
        {
            *under_way = None;
        }
    }
}

impl Spoil for OneAtATime {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            match &next {
                Some(stored) => {
                    while !self.begins(stored.number, account) {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                None => self.ends(|_, whose| whose == account),
            }
            Ok(next)
        })
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        self.ends(|under_way, _| under_way == number);
        self.inner.remove(number)
    }
}

/// Takes those for gone who were there at the start.
struct Forgets {
    inner: Arc<dyn Store>,
    forgotten: Arc<Memory<HashSet<String>>>,
}

impl Spoil for Forgets {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            for account in self.inner.accounts().await? {
                if !self.inner.bindings(&account).await?.is_empty() {
                    self.forgotten.get().insert(account);
                }
            }
            self.inner.recover_sessions(keep_held).await
        })
    }

    fn bindings<'a>(&'a self, account: &'a str) -> Answer<'a, Vec<Binding>> {
        if self.forgotten.get().contains(account) {
            return Box::pin(async { Ok(Vec::new()) });
        }
        self.inner.bindings(account)
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        self.forgotten.get().remove(account);
        self.inner.set_bindings(account, bindings)
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if self.forgotten.get().contains(&message.account) {
            return Box::pin(async { Ok(Inserted::Stored(NOWHERE)) });
        }
        self.inner.insert_session(message, pieces, held, most)
    }
}

/// Notifies of notifications.
struct Answers {
    inner: Arc<dyn Store>,
    parts: Parts,
    /// Notifications that are about to be delivered.
    waiting: Memory<HashMap<i64, StoredMessage>>,
}

impl Spoil for Answers {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn read(&self, stored: StoredMessage) -> Option<StoredMessage> {
        let request = super::request_of(&stored.message);
        let body = request.map(|request| String::from_utf8_lossy(request.body()).into_owned());
        if body.is_some_and(|body| body.contains("message/imdn+xml")) {
            self.waiting.get().insert(stored.number, stored.clone());
        }
        Some(stored)
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        const DELIVERED: &str =
            "<delivery-notification><status><delivered/></status></delivery-notification>";
        let delivered = self.waiting.get().remove(&number);
        if let Some(request) = delivered.and_then(|stored| super::request_of(&stored.message)) {
            let parts = self.parts.clone();
            tokio::spawn(async move {
                if let Some((target, octets)) = notified(&parts, &request, DELIVERED).await {
                    // Whoever is gone gets nothing.
                    let _ = parts.outbox.send(target, octets).await;
                }
            });
        }
        self.inner.remove(number)
    }
}
