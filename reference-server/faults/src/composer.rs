//! The border of delivery: what recipients are sent.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::compose::{Composer, Deferred, Field};
use imspec_reference_server::store::{Form, NewMessage, StoredMessage};
use imspec_reference_server::transport::Flow;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::SipDate;

use crate::fault::{Fault, Need};
use crate::rewrite;
use crate::store::Memory;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "offline-prefix",
        "M-018",
        &["DM-IND-03", "DM-STORE-03", "DM-DRV-05"],
        "Plain texts are delivered with `[Offline message]` before them.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| {
            if rewrite::text(&octets, "Content-Type")
                .is_some_and(|kind| kind.starts_with("text/plain"))
            {
                rewrite::body(&octets, &[b"[Offline message] ", octets.body()].concat())
            } else {
                octets.octets().clone()
            }
        })
    }),
    Fault::new(
        "subject-of-the-last",
        "F-380",
        &["DM-DRV-05"],
        "A message without a Subject is delivered with that of the last one that had one.",
    )
    .seed(|parts| {
        let last = Memory::<HashMap<String, String>>::default();
        delivering(parts, move |stored, _, octets| {
            let account = stored.message.account.clone();
            let mut last = last.get();
            if let Some(subject) = rewrite::text(&octets, "Subject") {
                last.insert(account, subject);
                return octets.octets().clone();
            }
            match last.get(&account) {
                Some(subject) => rewrite::with_field(&octets, "Subject", subject),
                None => octets.octets().clone(),
            }
        })
    }),
    Fault::new(
        "stores-and-delivers",
        "M-024",
        &["DM-TRIG-02", "DM-DRV-03"],
        "A MESSAGE for a user who is online is delivered and stored.",
    )
    .seed(|parts| {
        let composer = StoresToo {
            inner: Arc::clone(&parts.composer),
            parts: parts.clone(),
            method: "MESSAGE",
        };
        with(parts, composer)
    }),
    Fault::new(
        "session-stored-besides",
        "F-275",
        &["DM-TRIG-02"],
        "An INVITE for a user who is online is passed on and leaves a message.",
    )
    .stored()
    .seed(|parts| {
        let composer = StoresToo {
            inner: Arc::clone(&parts.composer),
            parts: parts.clone(),
            method: "INVITE",
        };
        with(parts, composer)
    }),
    Fault::new(
        "indicates-fresh",
        "M-110",
        &["DM-IND-02"],
        "Every delivered message is said to have expired.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| telling(parts, |_, how| how.expired = true)),
    Fault::new(
        "indication-sticks",
        "M-111",
        &["DM-IND-02"],
        "After an expired message all others of the account are said to have expired.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| {
        let late = Memory::<HashSet<String>>::default();
        telling(parts, move |stored, how| {
            if how.expired {
                late.get().insert(stored.message.account.clone());
            }
            how.expired |= late.get().contains(&stored.message.account);
        })
    }),
    Fault::new(
        "indication-elsewhere",
        "M-149",
        &["DM-IND-01"],
        "An expired message is told by another header field than the declared one.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| {
        telling(parts, |_, how| {
            how.marker = how.marker.map(|_| "X-Elsewhere");
        })
    }),
    Fault::new(
        "indication-missing",
        "F-130",
        &["DM-IND-01"],
        "Nothing tells that a message has expired, though a header field is declared.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| telling(parts, |_, how| how.expired = false)),
    Fault::new(
        "keeps-via",
        "M-125",
        &["RFC3261-8.1.1.7"],
        "A deferred message is delivered with the Via of its sender.",
    )
    .seed(|parts| {
        delivering(parts, |_, request, octets| {
            carried(request, &octets, &["Via"])
        })
    }),
    Fault::new(
        "keeps-max-forwards",
        "F-131",
        &["RFC3261-8.1.1.6"],
        "Max-Forwards of a deferred message goes on from what its sender had left.",
    )
    .seed(|parts| {
        delivering(parts, |_, request, octets| {
            let hops =
                rewrite::text(request, "Max-Forwards").and_then(|hops| hops.parse::<u8>().ok());
            let left = hops.unwrap_or(70).saturating_sub(1).to_string();
            rewrite::value(&octets, "Max-Forwards", |_| left.clone().into_bytes())
        })
    }),
    Fault::new(
        "keeps-credentials",
        "M-126",
        &["RFC5365-7.2-credentials"],
        "The credentials of the sender are delivered.",
    )
    .seed(|parts| {
        delivering(parts, |_, request, octets| {
            carried(request, &octets, &["Proxy-Authorization", "Authorization"])
        })
    }),
    Fault::new(
        "delivers-identity-in-privacy",
        "M-128",
        &["RFC3325-7"],
        "The asserted identity of a sender who asked for privacy is delivered.",
    )
    .needs(DECLARED)
    .under("identity.trust: senders")
    .seed(|parts| {
        delivering(parts, |_, request, octets| {
            carried(request, &octets, &["P-Asserted-Identity"])
        })
    }),
    Fault::new(
        "keeps-record-route",
        "F-138",
        &["RFC3428-9-record-route"],
        "A deferred MESSAGE is delivered with the Record-Route of its sender's request.",
    )
    .seed(|parts| {
        delivering(parts, |_, request, octets| carried(request, &octets, &["Record-Route"]))
    }),
    Fault::new(
        "keeps-route",
        "F-357",
        &["RFC3261-16.4-route"],
        "A deferred message is delivered with the Route of its sender's request.",
    )
    .seed(|parts| {
        delivering(parts, |_, request, octets| carried(request, &octets, &["Route"]))
    }),
    Fault::new(
        "cseq-too-large",
        "F-359",
        &["RFC3261-8.1.1.5"],
        "The CSeq of a delivery has 32 bits.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| {
            rewrite::value(&octets, "CSeq", |_| b"4294967290 MESSAGE".to_vec())
        })
    }),
    Fault::new(
        "delivery-loses-subject",
        "F-132",
        &["DM-DRV-05"],
        "Subject is stored, and not delivered.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| {
            rewrite::without(&octets, &["Subject"])
        })
    }),
    Fault::new(
        "delivery-dated-now",
        "F-133",
        &["DM-DRV-05"],
        "A deferred message is delivered with the Date of its delivery.",
    )
    .seed(|parts| {
        let clock = Arc::clone(&parts.clock);
        delivering(parts, move |_, _, octets| {
            let now = SipDate {
                unix_seconds: clock.now().seconds(),
            };
            rewrite::with_field(&octets, "Date", now.format())
        })
    }),
    Fault::new(
        "delivery-expires-changed",
        "F-137",
        &["DM-DRV-05"],
        "A message is delivered with an Expires of an hour, whatever it had and whatever is declared.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| match octets.method() {
            Some("MESSAGE") => rewrite::with_field(&octets, "Expires", "3600"),
            _ => octets.octets().clone(),
        })
    }),
    Fault::new(
        "delivery-from-before",
        "F-134",
        &["DM-DRV-05", "DM-STORE-22", "DM-STORE-11"],
        "A message is delivered with the From of the message that was delivered before.",
    )
    .seed(|parts| {
        let before = Memory::<Option<Vec<u8>>>::default();
        delivering(parts, move |_, _, octets| {
            let own = octets.header("From").map(|from| from.value().into_owned());
            let other = std::mem::replace(&mut *before.get(), own);
            match other {
                Some(other) => rewrite::value(&octets, "From", |_| other.clone()),
                None => octets.octets().clone(),
            }
        })
    }),
    Fault::new(
        "delivery-with-contact",
        "F-135",
        &["RFC3428-4-contact"],
        "A MESSAGE is delivered with a Contact.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| match octets.method() {
            Some("MESSAGE") => rewrite::with_field(&octets, "Contact", "<sip:server@example.org>"),
            _ => octets.octets().clone(),
        })
    }),
    Fault::new(
        "delivery-with-other-cseq",
        "F-136",
        &["RFC3261-8.1.1.5"],
        "The CSeq of a delivered MESSAGE has another method.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| match octets.method() {
            Some("MESSAGE") => rewrite::value(&octets, "CSeq", |_| b"1 INVITE".to_vec()),
            _ => octets.octets().clone(),
        })
    }),
    Fault::new(
        "delivery-with-to-tag",
        "F-335",
        &["RFC3261-8.1.1.2"],
        "A delivered MESSAGE has a tag in To, as if it were of a dialog.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| {
            rewrite::value(&octets, "To", |to| [to, b";tag=kept"].concat())
        })
    }),
    Fault::new(
        "delivery-without-from-tag",
        "F-336",
        &["RFC3261-8.1.1.3"],
        "A delivered MESSAGE has no tag in From.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| {
            rewrite::value(&octets, "From", |from| {
                let tag = from.windows(5).position(|part| part == b";tag=");
                from.get(..tag.unwrap_or(from.len())).unwrap_or(from).to_vec()
            })
        })
    }),
    Fault::new(
        "one-call-for-all",
        "F-337",
        &["RFC3261-8.1.1.4"],
        "All deliveries have the same Call-ID.",
    )
    .seed(|parts| {
        delivering(parts, |_, _, octets| match octets.method() {
            Some("MESSAGE") => rewrite::value(&octets, "Call-ID", |_| b"deferred".to_vec()),
            _ => octets.octets().clone(),
        })
    }),
    Fault::new(
        "indicates-once",
        "F-338",
        &["DM-IND-01"],
        "That a message has expired is told at the first attempt to deliver it alone.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| {
        let told = Memory::<HashSet<String>>::default();
        telling(parts, move |stored, how| {
            how.expired = how.expired && told.get().insert(stored.message.message_id.clone());
        })
    }),
    Fault::new(
        "indicates-as-at-first",
        "F-339",
        &["DM-IND-01"],
        "A message that was fresh when it was tried first is never said to have expired.",
    )
    .needs(DECLARED)
    .under("policy.indication: header:…")
    .seed(|parts| {
        let fresh = Memory::<HashSet<String>>::default();
        telling(parts, move |stored, how| {
            if !how.expired {
                fresh.get().insert(stored.message.message_id.clone());
            }
            how.expired &= !fresh.get().contains(&stored.message.message_id);
        })
    }),
];

const DECLARED: &[Need] = &[Need::Wire, Need::Policy];

/// The delivery with these fields of the stored request at its end.
fn carried(request: &Message, delivery: &Message, names: &[&str]) -> Bytes {
    let bare = rewrite::without(delivery, if names.contains(&"Via") { &[] } else { names });
    let Some(bare) = rewrite::read(&bare) else {
        return delivery.octets().clone();
    };
    let wanted: Vec<&[u8]> = request
        .headers()
        .filter(|field| names.iter().any(|name| field.is(name)))
        .map(|field| field.line())
        .collect();
    if wanted.is_empty() {
        return delivery.octets().clone();
    }
    rewrite::fields(&bare, |field| {
        if field.is("Max-Forwards") {
            rewrite::Becomes::Line([field.line(), &wanted.join(&b"\r\n"[..])].join(&b"\r\n"[..]))
        } else {
            rewrite::Becomes::Same
        }
    })
}

fn with(parts: Parts, composer: impl Composer) -> Parts {
    Parts {
        composer: Arc::new(composer),
        ..parts
    }
}

/// Changes what is sent to recipients: MESSAGE, or the INVITE to a session.
fn delivering(
    parts: Parts,
    change: impl Fn(&StoredMessage, &Message, Message) -> Bytes + Send + Sync + 'static,
) -> Parts {
    let inner = Arc::clone(&parts.composer);
    with(
        parts,
        Delivering {
            inner,
            how: |_: &StoredMessage, _: &mut Deferred<'_>| {},
            change,
        },
    )
}

/// Changes what is said of a message that is delivered.
fn telling(
    parts: Parts,
    how: impl Fn(&StoredMessage, &mut Deferred<'_>) + Send + Sync + 'static,
) -> Parts {
    let inner = Arc::clone(&parts.composer);
    with(
        parts,
        Delivering {
            inner,
            how,
            change: |_: &StoredMessage, _: &Message, octets: Message| octets.octets().clone(),
        },
    )
}

struct Delivering<H, C> {
    inner: Arc<dyn Composer>,
    how: H,
    change: C,
}

impl<H, C> Composer for Delivering<H, C>
where
    H: Fn(&StoredMessage, &mut Deferred<'_>) + Send + Sync + 'static,
    C: Fn(&StoredMessage, &Message, Message) -> Bytes + Send + Sync + 'static,
{
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes {
        let mut how = how.clone();
        (self.how)(stored, &mut how);
        let octets = self.inner.deferred(stored, request, &how);
        match rewrite::read(&octets) {
            Some(delivery) => (self.change)(stored, request, delivery),
            None => octets,
        }
    }

    fn invitation(
        &self,
        stored: &StoredMessage,
        request: &Message,
        how: &Deferred<'_>,
        contact: &str,
        offer: Bytes,
    ) -> Bytes {
        let mut how = how.clone();
        (self.how)(stored, &mut how);
        let octets = self.inner.invitation(stored, request, &how, contact, offer);
        match rewrite::read(&octets) {
            Some(delivery) => (self.change)(stored, request, delivery),
            None => octets,
        }
    }

    fn send_fields(
        &self,
        stored: &StoredMessage,
        request: &Message,
        part: usize,
        how: &Deferred<'_>,
    ) -> Vec<Field> {
        let mut how = how.clone();
        (self.how)(stored, &mut how);
        self.inner.send_fields(stored, request, part, &how)
    }

    fn forwarded(&self, request: &Message, flow: &Flow, contact: &str, via: &str) -> Bytes {
        self.inner.forwarded(request, flow, contact, via)
    }
}

/// The request as a MESSAGE; of one that is none, without what describes a session.
fn as_message(request: &Message) -> Bytes {
    if request.method() == Some("MESSAGE") {
        return request.octets().clone();
    }
    let uri = request.request_uri().unwrap_or_default();
    let octets = rewrite::start_line(request, [b"MESSAGE ", uri, b" SIP/2.0"].concat());
    let bare = rewrite::message(&octets, |message| {
        rewrite::without(message, &["Content-Type"])
    });
    rewrite::message(&bare, |message| rewrite::body(message, b""))
}

/// Stores what is passed on.
struct StoresToo {
    inner: Arc<dyn Composer>,
    parts: Parts,
    /// Of requests of this method.
    method: &'static str,
}

impl Composer for StoresToo {
    fn deferred(&self, stored: &StoredMessage, request: &Message, how: &Deferred<'_>) -> Bytes {
        self.inner.deferred(stored, request, how)
    }

    fn invitation(
        &self,
        stored: &StoredMessage,
        request: &Message,
        how: &Deferred<'_>,
        contact: &str,
        offer: Bytes,
    ) -> Bytes {
        self.inner.invitation(stored, request, how, contact, offer)
    }

    fn send_fields(
        &self,
        stored: &StoredMessage,
        request: &Message,
        part: usize,
        how: &Deferred<'_>,
    ) -> Vec<Field> {
        self.inner.send_fields(stored, request, part, how)
    }

    fn forwarded(&self, request: &Message, flow: &Flow, contact: &str, via: &str) -> Bytes {
        if request.method() == Some(self.method)
            && let Some(account) = rewrite::account_of(request.request_uri().unwrap_or_default())
        {
            let now = self.parts.clock.now();
            let message = NewMessage {
                account,
                message_id: format!("{:032x}@{}", fastrand::u128(..), crate::store::id::HOST),
                form: Form::Pager(as_message(request)),
                received_at: now,
                stored_at: now,
                mark: self.parts.expiration.mark(request, now, now).ok().flatten(),
            };
            tokio::spawn(self.parts.store.insert(message, u64::MAX));
        }
        self.inner.forwarded(request, flow, contact, via)
    }
}
