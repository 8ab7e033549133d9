//! The border of SIP: requests that are taken for others, and responses that are not what was decided.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::clock::wait_until;
use imspec_reference_server::compose::Deferred;
use imspec_reference_server::policy::{DeliveryExpires, Mark};
use imspec_reference_server::store::{Answer, Binding, Form, Store, StoredMessage};
use imspec_reference_server::transport::{Flow, Gate, Incoming, Outbox, Protocol, Sending, Target};
use imspec_wire::sip::typed::{CSeq, Contact, Host, SipUri, Uri};
use imspec_wire::sip::{Builder, Message};

use crate::fault::{Fault, Need};
use crate::rewrite;
use crate::store::{Memory, Spoil, request_of, spoil, writing};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "accepts-unknown-users",
        "M-026",
        &["DM-DRV-08"],
        "A MESSAGE for an unknown user is answered with 202.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            let is_unknown = response.status() == Some(404) && is_to(response, "MESSAGE");
            is_unknown.then(|| rewrite::start_line(response, "SIP/2.0 202 Accepted"))
        })
    }),
    Fault::new(
        "answer-with-body",
        "M-027",
        &["RFC3428-7-2xx-body"],
        "The 2xx to a MESSAGE has a body.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            is_accepting(response).then(|| {
                let typed = rewrite::with_field(response, "Content-Type", "text/plain");
                rewrite::message(&typed, |typed| rewrite::body(typed, b"Stored."))
            })
        })
    }),
    Fault::new(
        "answer-with-contact",
        "F-150",
        &["RFC3428-7-2xx-contact"],
        "The 2xx to a MESSAGE has a Contact.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            is_accepting(response)
                .then(|| rewrite::with_field(response, "Contact", "<sip:example.org>"))
        })
    }),
    Fault::new(
        "refuses-what-it-stored",
        "M-142",
        &["DM-DRV-08", "DM-DRV-02"],
        "A MESSAGE that was stored is answered with 480.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(202))
                .then(|| rewrite::start_line(response, "SIP/2.0 480 Temporarily Unavailable"))
        })
    }),
    Fault::new(
        "accepts-with-200",
        "F-151",
        &["DM-DRV-02"],
        "A MESSAGE that was stored is answered with 200, as if it had been delivered.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(202)).then(|| rewrite::start_line(response, "SIP/2.0 200 OK"))
        })
    }),
    Fault::new(
        "accepts-with-204",
        "F-156",
        &["DM-DRV-02"],
        "A MESSAGE that was stored is answered with 204, which is for event packages.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(202))
                .then(|| rewrite::start_line(response, "SIP/2.0 204 No Notification"))
        })
    }),
    Fault::new(
        "retransmission-is-new",
        "F-153",
        &["DM-DRV-03", "RFC3261-17.2.2"],
        "A MESSAGE that is sent again because its answer was late is another message.",
    )
    .seed(|parts| another_each_time(parts, "MESSAGE", &["Via"])),
    Fault::new(
        "transactions-of-two-seconds",
        "F-356",
        &["DM-DRV-03", "RFC3261-17.2.2"],
        "A MESSAGE that is sent again more than two seconds after it came first is another message.",
    )
    .seed(|parts| another_after(parts, "MESSAGE", &["Via"], Duration::from_secs(2))),
    Fault::new(
        "star-with-any-lifetime",
        "F-364",
        &["RFC3261-10.3-star"],
        "A REGISTER with `Contact: *` removes all bindings, whatever lifetime it asks for.",
    )
    .seed(|parts| {
        registering(parts, |register, contact| {
            let is_star = contact.split(',').any(|contact| contact.trim() == "*");
            let alone = rewrite::value(register, "Contact", |_| b"*".to_vec());
            is_star.then(|| {
                rewrite::message(&alone, |register| {
                    rewrite::value(register, "Expires", |_| b"0".to_vec())
                })
            })
        })
    }),
    Fault::new(
        "registrations-in-any-order",
        "F-365",
        &["RFC3261-10.3-order"],
        "A REGISTER that was overtaken by a later one counts.",
    )
    .seed(|parts| {
        let times = AtomicU32::new(0);
        let parts = registering(parts, move |register, _| {
            let more = format!("{ANOTHER}{}", times.fetch_add(1, Ordering::Relaxed));
            Some(rewrite::value(register, "Call-ID", |call| {
                [more.as_bytes(), b"-", call].concat()
            }))
        });
        responding(parts, as_it_was)
    }),
    Fault::new(
        "removes-by-call",
        "F-381",
        &["RFC3261-10.3-order"],
        "A REGISTER removes no binding that one with another Call-ID made.",
    )
    .seed(|parts| {
        let made_by = Memory::<HashMap<String, String>>::default();
        registering(parts, move |register, contact| {
            let call = rewrite::text(register, "Call-ID")?;
            let mut made_by = made_by.get();
            if rewrite::text(register, "Expires").as_deref() != Some("0") {
                made_by.insert(contact.to_owned(), call);
                return None;
            }
            (made_by.get(contact)? != &call)
                .then(|| rewrite::without(register, &["Contact", "Expires"]))
        })
    }),
    Fault::new(
        "lifetime-of-request-first",
        "F-366",
        &["RFC3261-10.3-expires"],
        "Where a REGISTER has Expires, the expires of its contacts does not count.",
    )
    .seed(|parts| {
        registering(parts, |register, contact| {
            register.header("Expires")?;
            let bare = contact.replace(";expires=0", "");
            Some(rewrite::value(register, "Contact", |_| bare.clone().into_bytes()))
        })
    }),
    Fault::new(
        "first-contact-alone",
        "F-367",
        &["RFC3261-10.3-list"],
        "Of the contacts of a REGISTER the first one is bound.",
    )
    .seed(|parts| {
        registering(parts, |register, contact| {
            let (first, _) = contact.split_once(", <")?;
            Some(rewrite::value(register, "Contact", |_| first.into()))
        })
    }),
    Fault::new(
        "subject-of-session-name",
        "M-039",
        &["DM-STORE-14", "DM-STORE-17"],
        "The s= line of the offer becomes the Subject of the message.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let body = String::from_utf8_lossy(message.body()).into_owned();
            let name = body.lines().find_map(|line| line.strip_prefix("s="))?;
            (message.method() == Some("INVITE"))
                .then(|| rewrite::with_field(message, "Subject", name.trim()))
        })
    }),
    Fault::new(
        "escapes-not-read",
        "M-075",
        &["DM-ACCT-01", "RFC3261-19.1.4"],
        "Escapes in the user part of a Request-URI are not read.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = std::str::from_utf8(message.request_uri()?).ok()?;
            let (user, rest) = uri.split_once('@')?;
            user.contains('%')
                .then(|| rewrite::request_uri(message, format!("{}@{rest}", user.replace('%', "%25"))))
        })
    }),
    Fault::new(
        "parameters-name-accounts",
        "M-076",
        &["DM-ACCT-01", "RFC3261-19.1.4"],
        "Parameters of a Request-URI belong to the name of the account.",
    )
    .seed(|parts| {
        admitting(parts, |message| {
            let uri = std::str::from_utf8(message.request_uri()?).ok()?;
            let (address, parameters) = uri.split_once(';')?;
            let (user, domain) = address.split_once('@')?;
            let name: String = parameters.chars().filter(char::is_ascii_alphanumeric).collect();
            Some(rewrite::request_uri(message, format!("{user}_{name}@{domain}")))
        })
    }),
    Fault::new(
        "query-delivers",
        "M-122",
        &["DM-DRV-01"],
        "A REGISTER that only asks for bindings brings what waits.",
    )
    .seed(|parts| {
        bringing(parts, |request| {
            request.headers_named("Contact").next().is_none()
        })
    }),
    Fault::new(
        "removal-delivers",
        "F-154",
        &["DM-DRV-01"],
        "A REGISTER that removes bindings brings what waits.",
    )
    .seed(|parts| {
        bringing(parts, |request| {
            rewrite::text(request, "Expires").is_some_and(|expires| expires.trim() == "0")
                || request.typed_all::<Contact>().iter().any(|contact| {
                    matches!(contact, Ok(Contact::Address(address)) if address.params.get("expires") == Some("0"))
                })
        })
    }),
    Fault::new(
        "expires-of-invitation",
        "M-088",
        &["DM-EXP-20", "DM-EXP-21", "DM-DEF-02"],
        "The Expires of the INVITE is taken for that of its messages.",
    )
    .seed(|parts| {
        let noted = Arc::new(Memory::<HashMap<String, u32>>::default());
        let known = Arc::clone(&noted);
        let parts = writing(parts, move |mut message| {
            if matches!(message.form, Form::Session(_)) {
                let call = request_of(&message).and_then(|invite| rewrite::text(&invite, "Call-ID"));
                let seconds = call.and_then(|call| known.get().get(&call).copied());
                message.mark = seconds.map(|seconds| Mark {
                    seconds: u64::from(seconds),
                    at: message.received_at.plus_seconds(i64::from(seconds)),
                    raw: Some(seconds.to_string()),
                });
            }
            Some(message)
        });
        admitting(parts, move |message| {
            let expires = rewrite::text(message, "Expires")?.trim().parse().ok()?;
            if message.method() == Some("INVITE") {
                noted.get().insert(rewrite::text(message, "Call-ID")?, expires);
            }
            None
        })
    }),
    Fault::new(
        "failure-after-delivery",
        "M-114",
        &["DM-DEF-04"],
        "When the time of a delivered message is over, its sender is told that it failed.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| {
        const FAILED: &str =
            "<delivery-notification><status><failed/></status></delivery-notification>";
        after_delivery(parts, |parts, stored| {
            Box::pin(async move { notified(&parts, &request_of(&stored.message)?, FAILED).await })
        })
    }),
    Fault::new(
        "tells-sender-of-expiry",
        "F-157",
        &["DM-POL-01"],
        "The sender is told when his message expires, though no notice is declared.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| {
        const FAILED: &str =
            "<delivery-notification><status><failed/></status></delivery-notification>";
        let own = parts.clone();
        writing(parts, move |message| {
            if let (Some(mark), Some(request)) = (&message.mark, request_of(&message)) {
                let (parts, at) = (own.clone(), mark.at);
                let account = message.account.clone();
                tokio::spawn(async move {
                    wait_until(&*parts.clock, at).await;
                    // Who is there has got it.
                    let is_away = parts.store.bindings(&account).await.is_ok_and(|all| all.is_empty());
                    if is_away && let Some((target, octets)) = notified(&parts, &request, FAILED).await {
                        // Whoever is gone gets nothing.
                        let _ = parts.outbox.send(target, octets).await;
                    }
                });
            }
            Some(message)
        })
    }),
    Fault::new(
        "delivered-comes-back",
        "F-155",
        &["DM-DEF-04", "DM-DRV-03"],
        "When the time of a delivered message is over, its recipient gets it once more.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| {
        after_delivery(parts, |parts, stored| Box::pin(async move {
            let account = stored.message.account.clone();
            let bindings = parts.store.bindings(&account).await.ok()?;
            let target = target_of(bindings.last()?)?;
            let octets = brought(&parts, &stored, target, &bindings.last()?.contact)?;
            Some((target, octets))
        }))
    }),
    Fault::new(
        "answers-without-to-tag",
        "F-160",
        &["RFC3261-8.2.6.2"],
        "Final responses to MESSAGE have no To tag.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() != Some(100) && is_to(response, "MESSAGE")).then(|| {
                rewrite::value(response, "To", |to| {
                    let text = String::from_utf8_lossy(to);
                    text.split(";tag=").next().unwrap_or_default().as_bytes().to_vec()
                })
            })
        })
    }),
    Fault::new(
        "merged-request-stored",
        "F-161",
        &["RFC3261-8.2.2.2"],
        "A copy of a MESSAGE that comes by another path is another message.",
    )
    .seed(|parts| another_each_time(parts, "MESSAGE", &["Call-ID", "CSeq", "From"])),
    Fault::new(
        "bye-refused",
        "F-162",
        &["RFC3261-15.1.2"],
        "A BYE ends its session and is answered with 481.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(200) && is_to(response, "BYE"))
                .then(|| rewrite::start_line(response, "SIP/2.0 481 Call Does Not Exist"))
        })
    }),
    Fault::new(
        "cancel-refused",
        "F-163",
        &["RFC3261-9.2"],
        "CANCEL is answered with 405.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            is_to(response, "CANCEL")
                .then(|| rewrite::start_line(response, "SIP/2.0 405 Method Not Allowed"))
        })
    }),
    Fault::new(
        "reinvite-refused",
        "F-164",
        &["RFC3261-14.2"],
        "An INVITE within a session is answered with 500.",
    )
    .seed(|parts| {
        let first = Memory::<HashMap<String, u32>>::default();
        responding(parts, move |response| {
            let Some(Ok(CSeq { number, .. })) = response.typed::<CSeq>() else {
                return None;
            };
            let call = rewrite::text(response, "Call-ID")?;
            let is_first = *first.get().entry(call).or_insert(number) == number;
            (response.status() == Some(200) && is_to(response, "INVITE") && !is_first)
                .then(|| rewrite::start_line(response, "SIP/2.0 500 Server Internal Error"))
        })
    }),
    Fault::new(
        "session-timer-refused",
        "F-165",
        &["RFC4028-9"],
        "An INVITE that asks for a session timer is answered with 500.",
    )
    .seed(|parts| {
        responding(parts, |response| {
            (response.status() == Some(200) && response.header("Session-Expires").is_some())
                .then(|| rewrite::start_line(response, "SIP/2.0 500 Server Internal Error"))
        })
    }),
    Fault::new(
        "refusal-is-absence",
        "F-166",
        &["RFC3428-7-6xx"],
        "A recipient who refuses a message with 6xx is offered it again.",
    )
    .seed(|parts| {
        let gate = Refusals(Arc::clone(&parts.gate));
        Parts {
            gate: Arc::new(gate),
            ..parts
        }
    }),
    Fault::new(
        "sends-all-at-once",
        "F-167",
        &["RFC3428-8-pending", "DM-DRV-03"],
        "While one MESSAGE to a recipient is not answered, all others are sent.",
    )
    .seed(|parts| {
        let own = parts.clone();
        spoil(parts, |parts| AtOnce {
            inner: Arc::clone(&parts.store),
            parts: own,
        })
    }),
    Fault::new(
        "claims-delivery",
        "F-168",
        &["RFC5438-12.2"],
        "The sender is told of the delivery of a message as soon as it is stored.",
    )
    .seed(|parts| noticing(parts, &["<delivery-notification><status><delivered/></status></delivery-notification>"])),
    Fault::new(
        "tells-of-storing-twice",
        "F-169",
        &["RFC5438-8.1"],
        "The sender is told twice that his message is stored.",
    )
    .seed(|parts| {
        const STORED: &str =
            "<processing-notification><status><stored/></status></processing-notification>";
        noticing(parts, &[STORED, STORED])
    }),
    Fault::new(
        "tells-strangers-what-waits",
        "F-290",
        &["DM-DRV-07"],
        "Whoever subscribes to the summary of an account is told that messages wait in it.",
    )
    .seed(telling_strangers),
    Fault::new(
        "answer-of-another-protocol",
        "F-170",
        &["RFC3264-6"],
        "The protocol of the media line in an answer is not that of the offer.",
    )
    .seed(|parts| {
        answering(parts, |line| match line.starts_with("m=message") {
            true if line.contains("TCP/MSRP") => line.replace("TCP/MSRP", "TCP/TLS/MSRP"),
            true => line.replace("TCP/TLS/MSRP", "TCP/MSRP"),
            false => line.to_owned(),
        })
    }),
    Fault::new(
        "answer-in-another-direction",
        "F-171",
        &["RFC3264-6.1-direction"],
        "The answer to an offer says that the server will send.",
    )
    .seed(|parts| {
        answering(parts, |line| line.replace("a=recvonly", "a=sendonly").replace("a=inactive", "a=sendonly"))
    }),
    Fault::new(
        "answer-without-path",
        "F-172",
        &["RFC4975-8.1"],
        "The session description of an answer has no path.",
    )
    .seed(|parts| answering(parts, |line| line.replace("a=path:", "a=x-path:"))),
    Fault::new(
        "answer-of-other-setup",
        "F-173",
        &["RFC6135-4.2"],
        "The answer says that the other side connects than the one that does.",
    )
    .seed(|parts| {
        answering(parts, |line| match line {
            "a=setup:passive" => "a=setup:active".to_owned(),
            "a=setup:active" => "a=setup:passive".to_owned(),
            other => other.to_owned(),
        })
    }),
];

/// Whether it answers a request of that method.
pub(crate) fn is_to(response: &Message, method: &str) -> bool {
    matches!(response.typed::<CSeq>(), Some(Ok(cseq)) if cseq.method == method)
}

/// A 2xx to a MESSAGE.
fn is_accepting(response: &Message) -> bool {
    matches!(response.status(), Some(200..=299)) && is_to(response, "MESSAGE")
}

/// Changes responses; those for which there is nothing stay.
pub(crate) fn responding(
    parts: Parts,
    change: impl Fn(&Message) -> Option<Bytes> + Send + Sync + 'static,
) -> Parts {
    let outbox = Responding {
        inner: Arc::clone(&parts.outbox),
        change,
    };
    Parts {
        outbox: Arc::new(outbox),
        ..parts
    }
}

struct Responding<F> {
    inner: Arc<dyn Outbox>,
    change: F,
}

impl<F: Fn(&Message) -> Option<Bytes>> Responding<F> {
    fn changed(&self, octets: Bytes) -> Bytes {
        let changed = rewrite::read(&octets).and_then(|response| (self.change)(&response));
        changed.unwrap_or(octets)
    }
}

impl<F: Fn(&Message) -> Option<Bytes> + Send + Sync + 'static> Outbox for Responding<F> {
    fn send(&self, target: Target, octets: Bytes) -> Sending<'_> {
        self.inner.send(target, octets)
    }

    fn respond(&self, flow: Flow, fallback: SocketAddr, octets: Bytes) -> Sending<'_> {
        let changed = self.changed(octets);
        self.inner.respond(flow, fallback, changed)
    }

    fn respond_now(&self, flow: Flow, address: SocketAddr, octets: Bytes) {
        let changed = self.changed(octets);
        self.inner.respond_now(flow, address, changed);
    }

    fn sent_by(&self, target: Target) -> Option<SocketAddr> {
        self.inner.sent_by(target)
    }
}

/// Changes requests that come in; those for which there is nothing stay.
pub(crate) fn admitting(
    parts: Parts,
    change: impl Fn(&Message) -> Option<Bytes> + Send + Sync + 'static,
) -> Parts {
    let gate = Admitting {
        inner: Arc::clone(&parts.gate),
        change,
    };
    Parts {
        gate: Arc::new(gate),
        ..parts
    }
}

/// Takes REGISTERs with contacts for others.
fn registering(
    parts: Parts,
    change: impl Fn(&Message, &str) -> Option<Bytes> + Send + Sync + 'static,
) -> Parts {
    admitting(parts, move |message| {
        let is_register = message.method() == Some("REGISTER");
        let contact = rewrite::text(message, "Contact").filter(|_| is_register)?;
        change(message, &contact)
    })
}

struct Admitting<F> {
    inner: Arc<dyn Gate>,
    change: F,
}

impl<F: Fn(&Message) -> Option<Bytes> + Send + Sync + 'static> Gate for Admitting<F> {
    fn admit(&self, mut incoming: Incoming) -> Option<Incoming> {
        if incoming.message.is_request()
            && let Some(changed) = (self.change)(&incoming.message)
            && let Some(changed) = rewrite::read(&changed)
        {
            incoming.message = changed;
        }
        self.inner.admit(incoming)
    }
}

/// What is added to a branch and a tag to make a request another one.
const ANOTHER: &str = "-another-";

/// Makes each copy of a request of that method a request of its own.
pub(crate) fn another_each_time(
    parts: Parts,
    method: &'static str,
    known_by: &'static [&'static str],
) -> Parts {
    another_after(parts, method, known_by, Duration::ZERO)
}

/// The same, for copies that come so long after the first one.
fn another_after(
    parts: Parts,
    method: &'static str,
    known_by: &'static [&'static str],
    linger: Duration,
) -> Parts {
    let gate = AnotherEachTime {
        inner: Arc::clone(&parts.gate),
        method,
        known_by,
        linger,
        seen: Memory::default(),
    };
    responding(
        Parts {
            gate: Arc::new(gate),
            ..parts
        },
        as_it_was,
    )
}

struct AnotherEachTime {
    inner: Arc<dyn Gate>,
    method: &'static str,
    /// The fields by which a request is known again.
    known_by: &'static [&'static str],
    /// How long a request is remembered.
    linger: Duration,
    seen: Memory<HashMap<Vec<u8>, (Instant, u32)>>,
}

impl Gate for AnotherEachTime {
    fn admit(&self, mut incoming: Incoming) -> Option<Incoming> {
        if incoming.message.method() == Some(self.method)
            && let Some(via) = incoming.message.header("Via")
        {
            let times = {
                let mut seen = self.seen.get();
                let values = self
                    .known_by
                    .iter()
                    .filter_map(|name| incoming.message.header(name));
                let key = values
                    .map(|field| field.value().into_owned())
                    .collect::<Vec<_>>()
                    .concat();
                let (first, times) = seen.entry(key).or_insert((Instant::now(), 0));
                if *times == 0 || first.elapsed() >= self.linger {
                    *times += 1;
                }
                *times
            };
            let more = format!("{ANOTHER}{times}");
            let octets = rewrite::fields(&incoming.message, |field| {
                let text = field.text();
                if field.is("Via") && field.offset() == via.offset() {
                    let branch = "branch=z9hG4bK";
                    rewrite::Becomes::field(
                        "Via",
                        text.replacen(branch, &format!("{branch}{more}-"), 1),
                    )
                } else if field.is("From") && text.contains(";tag=") {
                    rewrite::Becomes::field(
                        "From",
                        text.replacen(";tag=", &format!(";tag={more}-"), 1),
                    )
                } else {
                    rewrite::Becomes::Same
                }
            });
            if times > 1
                && let Some(another) = rewrite::read(&octets)
            {
                incoming.message = another;
            }
        }
        self.inner.admit(incoming)
    }
}

/// A response without what [`AnotherEachTime`] added to its request.
fn as_it_was(response: &Message) -> Option<Bytes> {
    let text = String::from_utf8_lossy(response.octets()).into_owned();
    if !text.contains(ANOTHER) {
        return None;
    }
    let mut parts = text.split(ANOTHER);
    let mut whole = parts.next()?.to_owned();
    for part in parts {
        whole.push_str(part.split_once('-').map_or(part, |(_, rest)| rest));
    }
    Some(whole.into())
}

/// Brings what waits to whoever sends such a REGISTER, and leaves it where it is.
fn bringing(parts: Parts, when: fn(&Message) -> bool) -> Parts {
    let gate = Bringing {
        inner: Arc::clone(&parts.gate),
        parts: parts.clone(),
        when,
    };
    Parts {
        gate: Arc::new(gate),
        ..parts
    }
}

struct Bringing {
    inner: Arc<dyn Gate>,
    parts: Parts,
    when: fn(&Message) -> bool,
}

impl Gate for Bringing {
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let message = &incoming.message;
        if message.method() == Some("REGISTER")
            && (self.when)(message)
            && let Some(account) = rewrite::account_in(message, "To")
        {
            let parts = self.parts.clone();
            let flow = incoming.flow;
            let target = Target {
                protocol: flow.protocol,
                address: flow.remote,
            };
            let user = account.split('@').next().unwrap_or_default();
            let contact = format!("{user}@{}", flow.remote);
            tokio::spawn(async move {
                for stored in parts
                    .store
                    .messages(Some(account))
                    .await
                    .unwrap_or_default()
                {
                    if let Some(octets) = brought(&parts, &stored, target, &contact) {
                        // Whoever is gone gets nothing.
                        let _ = parts.outbox.send(target, octets).await;
                    }
                }
            });
        }
        self.inner.admit(incoming)
    }
}

/// The request that brings a stored MESSAGE.
fn brought(parts: &Parts, stored: &StoredMessage, target: Target, contact: &str) -> Option<Bytes> {
    let Form::Pager(_) = stored.message.form else {
        return None;
    };
    let how = Deferred {
        contact,
        via: &via(parts, target)?,
        expires: DeliveryExpires::AsStored,
        marker: None,
        expired: false,
        now: parts.clock.now(),
    };
    Some(
        parts
            .composer
            .deferred(stored, &request_of(&stored.message)?, &how),
    )
}

fn via(parts: &Parts, target: Target) -> Option<String> {
    let own = parts.outbox.sent_by(target)?;
    let protocol = target.protocol.via_name();
    Some(format!(
        "SIP/2.0/{protocol} {own};branch=z9hG4bK{:016x};rport",
        fastrand::u64(..)
    ))
}

/// A MESSAGE of the server's own.
fn begun(parts: &Parts, target: Target, contact: &str, to: &str) -> Option<Builder> {
    Some(
        Builder::request("MESSAGE", contact)
            .header("Via", via(parts, target)?)
            .header("Max-Forwards", "70")
            .header(
                "From",
                format!("<sip:example.org>;tag={:08x}", fastrand::u32(..)),
            )
            .header("To", format!("<{to}>"))
            .header("Call-ID", format!("{:016x}", fastrand::u64(..)))
            .header("CSeq", "1 MESSAGE"),
    )
}

/// Where a binding is, if its contact says so in numbers.
fn target_of(binding: &Binding) -> Option<Target> {
    let Ok(Uri::Sip(SipUri {
        host: Host::Ip(ip),
        port,
        params,
        ..
    })) = Uri::parse(binding.contact.as_bytes())
    else {
        return None;
    };
    let protocol = params
        .get("transport")
        .and_then(Protocol::named)
        .unwrap_or(Protocol::Udp);
    Some(Target {
        protocol,
        address: SocketAddr::new(ip, port.unwrap_or(protocol.usual_port())),
    })
}

/// What is sent where, if anything.
type Afterwards = std::pin::Pin<Box<dyn Future<Output = Option<(Target, Bytes)>> + Send>>;

/// Sends something when the time of a message is over that was delivered before.
fn after_delivery(parts: Parts, send: fn(Parts, StoredMessage) -> Afterwards) -> Parts {
    let own = parts.clone();
    spoil(parts, |parts| Remembers {
        inner: Arc::clone(&parts.store),
        parts: own,
        tried: Memory::default(),
        send,
    })
}

struct Remembers {
    inner: Arc<dyn Store>,
    parts: Parts,
    tried: Memory<HashMap<i64, StoredMessage>>,
    send: fn(Parts, StoredMessage) -> Afterwards,
}

impl Spoil for Remembers {
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
            if let Some(next) = &next {
                self.tried.get().insert(next.number, next.clone());
            }
            Ok(next)
        })
    }

    fn remove(&self, number: i64) -> Answer<'_, ()> {
        let tried = self.tried.get().remove(&number);
        if let Some(stored) = tried
            && let Some(mark) = &stored.message.mark
            && mark.at > self.parts.clock.now()
        {
            let (parts, send, at) = (self.parts.clone(), self.send, mark.at);
            tokio::spawn(async move {
                wait_until(&*parts.clock, at).await;
                if let Some((target, octets)) = send(parts.clone(), stored).await {
                    // Whoever is gone gets nothing.
                    let _ = parts.outbox.send(target, octets).await;
                }
            });
        }
        self.inner.remove(number)
    }
}

/// Takes a refusal of a recipient's for his absence.
struct Refusals(Arc<dyn Gate>);

impl Gate for Refusals {
    fn admit(&self, mut incoming: Incoming) -> Option<Incoming> {
        if matches!(incoming.message.status(), Some(600..=699)) {
            let absent = rewrite::start_line(&incoming.message, "SIP/2.0 480 Not Here");
            incoming.message = rewrite::read(&absent).unwrap_or(incoming.message);
        }
        self.0.admit(incoming)
    }
}

/// Sends all that waits when the first of it is about to be delivered.
struct AtOnce {
    inner: Arc<dyn Store>,
    parts: Parts,
}

impl Spoil for AtOnce {
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
            if after == 0 && next.is_some() {
                let others = self.inner.messages(Some(account.to_owned())).await?;
                let bindings = self.inner.bindings(account).await?;
                let binding = bindings.last();
                if let Some((binding, target)) = binding.and_then(|b| Some((b, target_of(b)?))) {
                    for stored in others.iter().skip(1) {
                        if let Some(octets) = brought(&self.parts, stored, target, &binding.contact)
                        {
                            // Whoever is gone gets nothing.
                            let _ = self.parts.outbox.send(target, octets).await;
                        }
                    }
                }
            }
            Ok(next)
        })
    }
}

/// Tells senders of what became of CPIM messages that ask for it, as soon as they are stored.
fn noticing(parts: Parts, notices: &'static [&'static str]) -> Parts {
    let own = parts.clone();
    writing(parts, move |message| {
        let request = request_of(&message);
        if let Some(request) = request.filter(|request| {
            matches!(message.form, Form::Pager(_))
                && String::from_utf8_lossy(request.body()).contains("imdn.Disposition-Notification")
        }) {
            let parts = own.clone();
            tokio::spawn(async move {
                for notice in notices {
                    if let Some((target, octets)) = notified(&parts, &request, notice).await {
                        // Whoever is gone gets nothing.
                        let _ = parts.outbox.send(target, octets).await;
                    }
                }
            });
        }
        Some(message)
    })
}

/// Takes every subscription, and notifies at once.
fn telling_strangers(parts: Parts) -> Parts {
    let own = parts.clone();
    responding(parts, move |response| {
        if !is_to(response, "SUBSCRIBE") {
            return None;
        }
        let subscriber = rewrite::account_in(response, "From")?;
        let parts = own.clone();
        tokio::spawn(async move {
            if let Some((target, octets)) = summary(&parts, &subscriber).await {
                // Whoever is gone gets nothing.
                let _ = parts.outbox.send(target, octets).await;
            }
        });
        Some(rewrite::start_line(response, "SIP/2.0 200 OK"))
    })
}

/// A message summary (RFC 3842) for a user.
async fn summary(parts: &Parts, to: &str) -> Option<(Target, Bytes)> {
    let bindings = parts.store.bindings(to).await.ok()?;
    let binding = bindings.last()?;
    let target = target_of(binding)?;
    let notify = begun(parts, target, &binding.contact, to)?
        .header("Event", "message-summary")
        .header("Subscription-State", "active")
        .header("Content-Type", "application/simple-message-summary")
        .body("Messages-Waiting: yes\r\n")
        .octets();
    let notify = rewrite::read(&notify)?;
    let octets = rewrite::value(&notify, "CSeq", |_| b"1 NOTIFY".to_vec());
    let line = format!("NOTIFY {} SIP/2.0", binding.contact);
    Some((target, rewrite::start_line(&rewrite::read(&octets)?, line)))
}

/// A notification for the sender of a MESSAGE.
pub(crate) async fn notified(
    parts: &Parts,
    request: &Message,
    notice: &str,
) -> Option<(Target, Bytes)> {
    let sender = rewrite::account_in(request, "From")?;
    let bindings = parts.store.bindings(&sender).await.ok()?;
    let binding = bindings.last()?;
    let target = target_of(binding)?;
    let body = String::from_utf8_lossy(request.body()).into_owned();
    let id = body
        .lines()
        .find_map(|line| line.strip_prefix("imdn.Message-ID:").map(str::trim))
        .unwrap_or_default();
    let report = format!(
        "<?xml version=\"1.0\"?>\r\n<imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\
         <message-id>{id}</message-id>{notice}</imdn>\r\n"
    );
    let octets = begun(parts, target, &binding.contact, &sender)?
        .header("Content-Type", "message/imdn+xml")
        .body(report.into_bytes())
        .octets();
    Some((target, octets))
}

/// Changes the lines of session descriptions that answer an INVITE.
pub(crate) fn answering(parts: Parts, change: fn(&str) -> String) -> Parts {
    responding(parts, move |response| {
        if response.status() != Some(200) || !is_to(response, "INVITE") {
            return None;
        }
        let text = String::from_utf8_lossy(response.body()).into_owned();
        let lines: Vec<String> = text.lines().map(change).collect();
        let body = format!("{}\r\n", lines.join("\r\n"));
        (!text.is_empty()).then(|| rewrite::body(response, body.as_bytes()))
    })
}
