//! The border of expiry: when messages expire, and what becomes of them then.

use std::collections::HashSet;
use std::sync::Arc;

use imspec_reference_server::Parts;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::policy::{
    ExpirationPolicy, ExpiredHandling, Indication, Mark, MarkRefusal, SessionTimes, SessionWishes,
};
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{Expires, SipDate};

use crate::fault::{Fault, Need};
use crate::rewrite;
use crate::store::Memory;

const DECLARED: &[Need] = &[Need::Wire, Need::Policy];

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "never-marks",
        "F-110",
        &["DM-EXP-01", "DM-EXP-10", "DM-CTX-03"],
        "Messages are not marked, whatever they ask for.",
    )
    .seed(|parts| marking(parts, |_| None)),
    Fault::new(
        "marks-first-alone",
        "F-123",
        &["DM-EXP-10", "DM-EXP-30", "DM-EXP-01"],
        "Of the messages of an account the first one is marked, the others never expire.",
    )
    .seed(|parts| {
        let marked = Memory::<HashSet<Vec<u8>>>::default();
        marking(parts, move |made| {
            let uri = made.request.request_uri().unwrap_or_default().to_vec();
            let mark = made.mark.clone()?;
            marked.get().insert(uri).then_some(mark)
        })
    }),
    Fault::new(
        "smaller-of-expires-and-default",
        "M-079",
        &["DM-EXP-10"],
        "The Expire value is the smaller one of Expires and the default.",
    )
    .needs(DECLARED)
    .under("expire.default.pm: seconds")
    .seed(|parts| {
        marking(parts, |made| match (made.mark.clone(), made.default()) {
            (Some(mark), Some(default)) if default.seconds < mark.seconds => Some(default),
            (mark, _) => mark,
        })
    }),
    Fault::new(
        "larger-of-expires-and-default",
        "M-080",
        &["DM-EXP-10"],
        "The Expire value is the larger one of Expires and the default.",
    )
    .needs(DECLARED)
    .under("expire.default.pm: seconds")
    .seed(|parts| {
        marking(parts, |made| match (made.mark.clone(), made.default()) {
            (Some(mark), Some(default)) if default.seconds > mark.seconds => Some(default),
            (mark, _) => mark,
        })
    }),
    Fault::new(
        "expires-in-minutes",
        "M-081",
        &["DM-EXP-10"],
        "Expires is read as minutes.",
    )
    .seed(|parts| marking(parts, |made| made.scaled(|seconds| seconds.saturating_mul(60)))),
    Fault::new(
        "expires-in-milliseconds",
        "M-082",
        &["DM-EXP-10", "DM-DEF-03"],
        "Expires is read as milliseconds.",
    )
    .seed(|parts| marking(parts, |made| made.scaled(|seconds| seconds / 1000))),
    Fault::new(
        "expires-signed",
        "M-083",
        &["DM-EXP-10", "DM-DEF-03"],
        "An Expires of 2^31 and more is negative, so that the message has expired already.",
    )
    .seed(|parts| {
        marking(parts, |made| made.scaled(|seconds| if seconds >= 1 << 31 { 0 } else { seconds }))
    }),
    Fault::new(
        "malformed-is-over",
        "M-086",
        &["DM-DEF-03", "DM-DRV-08"],
        "A message whose Expires cannot be read has expired at once.",
    )
    .seed(|parts| {
        marking(parts, |made| {
            let is_malformed = matches!(made.request.typed::<Expires>(), Some(Err(_)));
            match &made.mark {
                None if is_malformed => Some(Mark {
                    seconds: 0,
                    at: made.received,
                    raw: rewrite::text(made.request, "Expires"),
                }),
                mark => mark.clone(),
            }
        })
    }),
    Fault::new(
        "zero-is-over",
        "F-124",
        &["DM-EXP-10", "DM-DRV-08"],
        "A message with an Expires of 0 has expired at once, whatever is declared.",
    )
    .needs(DECLARED)
    .under("expire.zero: never")
    .seed(|parts| {
        lenient(parts, |request, received| {
            matches!(request.typed::<Expires>(), Some(Ok(Expires(0)))).then(|| Mark {
                seconds: 0,
                at: received,
                raw: Some("0".to_owned()),
            })
        })
    }),
    Fault::new(
        "malformed-is-accepted",
        "F-125",
        &["DM-DRV-08", "DM-EXP-11"],
        "A message whose Expires cannot be read gets an hour, though it is to be refused.",
    )
    .needs(DECLARED)
    .under("expire.malformed: reject")
    .seed(|parts| {
        lenient(parts, |request, received| {
            matches!(request.typed::<Expires>(), Some(Err(_))).then(|| Mark {
                seconds: 3600,
                at: received.plus_seconds(3600),
                raw: None,
            })
        })
    }),
    Fault::new(
        "session-expires-signed",
        "F-126",
        &["DM-EXP-20", "DM-DEF-03"],
        "A SEND's Expires of 2^31 and more is negative, so that the message has expired already.",
    )
    .seed(|parts| {
        session_marking(parts, |made| {
            made.scaled(|seconds| if seconds >= 1 << 31 { 0 } else { seconds })
        })
    }),
    Fault::new(
        "session-expires-whole-minutes",
        "F-127",
        &["DM-DEF-03", "DM-DEF-01"],
        "A session's message expires up to a minute early, because minutes are counted.",
    )
    .seed(|parts| {
        session_marking(parts, |made| {
            let mark = made.mark.clone()?;
            let early = match i64::try_from(mark.seconds % 60).unwrap_or(0) {
                0 => 30,
                rest => rest,
            };
            let at = mark.at.plus_seconds(-early).max(made.times.complete.plus_seconds(1));
            Some(Mark { at, ..mark })
        })
    }),
    Fault::new(
        "marks-though-off",
        "M-094",
        &["DM-EXP-02"],
        "Messages are marked though marking is off.",
    )
    .needs(DECLARED)
    .under("expire.marking: off")
    .seed(|parts| {
        marking(parts, |made| match (&made.mark, made.request.typed::<Expires>()) {
            (None, Some(Ok(Expires(seconds)))) if seconds > 0 => Some(Mark {
                seconds: u64::from(seconds),
                at: made.received.plus_seconds(i64::from(seconds)),
                raw: rewrite::text(made.request, "Expires"),
            }),
            (mark, _) => mark.clone(),
        })
    }),
    Fault::new(
        "marks-sessions-though-off",
        "F-111",
        &["DM-EXP-02"],
        "Messages of sessions are marked though marking is off.",
    )
    .needs(DECLARED)
    .under("expire.marking: off")
    .seed(|parts| {
        session_marking(parts, |made| {
            let wish = made.wishes.first.as_ref().and_then(|first| first.parse::<u32>().ok());
            match (&made.mark, wish) {
                (None, Some(seconds)) if seconds > 0 => Some(Mark {
                    seconds: u64::from(seconds),
                    at: made.times.complete.plus_seconds(i64::from(seconds)),
                    raw: made.wishes.first.clone(),
                }),
                (mark, _) => mark.clone(),
            }
        })
    }),
    Fault::new(
        "counts-from-date",
        "M-095",
        &["DM-DEF-01", "DM-EXP-10", "DM-DEF-03"],
        "The life of a message counts from its Date, though receipt is declared.",
    )
    .needs(DECLARED)
    .under("expire.base: receipt")
    .seed(|parts| {
        marking(parts, |made| {
            let date = made.request.typed::<SipDate>().and_then(Result::ok);
            made.based(date.map_or(made.received, |date| {
                Timestamp::from_seconds(date.unix_seconds)
            }))
        })
    }),
    Fault::new(
        "counts-from-receipt",
        "M-096",
        &["DM-DEF-01", "DM-EXP-10", "DM-DEF-03"],
        "The life of a message counts from receipt, though its Date is declared.",
    )
    .needs(DECLARED)
    .under("expire.base: date")
    .seed(|parts| marking(parts, |made| made.based(made.received))),
    Fault::new(
        "expires-whole-minutes",
        "M-107",
        &["DM-DEF-03", "DM-DEF-01"],
        "A message expires up to a minute early, because minutes are counted.",
    )
    .seed(|parts| {
        marking(parts, |made| {
            let mark = made.mark.clone()?;
            let early = i64::try_from(mark.seconds % 60).unwrap_or(0);
            // Of less than a minute a second is left.
            let at = mark.at.plus_seconds(-early).max(made.received.plus_seconds(1));
            Some(Mark { at, ..mark })
        })
    }),
    Fault::new(
        "summer-time-moves-the-end",
        "F-342",
        &["DM-DEF-01", "DM-DEF-03"],
        "The end of a life in the other half of the year is an hour off.",
    )
    .seed(|parts| {
        marking(parts, |made| {
            let mark = made.mark.clone()?;
            // Good enough for a fault: a year of 365.2425 days, and half of it is summer.
            let is_summer = |at: Timestamp| {
                (7_900_000..23_700_000).contains(&at.seconds().rem_euclid(31_556_952))
            };
            let hours = i64::from(is_summer(made.received)) - i64::from(is_summer(mark.at));
            Some(Mark { at: mark.at.plus_seconds(3600 * hours), ..mark })
        })
    }),
    Fault::new(
        "lifetime-of-single-precision",
        "F-343",
        &["DM-EXP-10"],
        "An Expire value is kept as a floating-point number of 32 bits.",
    )
    .stored()
    .seed(|parts| {
        marking(parts, |made| {
            made.scaled(|seconds| {
                // 24 bits are exact; what is beyond them is rounded to even.
                let step = 1_u64 << (64 - seconds.leading_zeros()).saturating_sub(24);
                let (below, over) = (seconds / step * step, seconds % step);
                let up = 2 * over > step || 2 * over == step && (below / step) % 2 == 1;
                below + if up { step } else { 0 }
            })
        })
    }),
    Fault::new(
        "default-in-hours",
        "M-146",
        &["DM-EXP-11"],
        "The default for MESSAGE is taken as hours.",
    )
    .needs(DECLARED)
    .under("expire.default.pm: seconds")
    .seed(|parts| {
        marking(parts, |made| match &made.mark {
            Some(mark) if mark.raw.is_none() => {
                made.scaled(|seconds| seconds.saturating_mul(3600))
            }
            mark => mark.clone(),
        })
    }),
    Fault::new(
        "default-not-applied",
        "F-112",
        &["DM-EXP-11", "DM-EXP-12"],
        "A message without Expires gets no default, though there is one.",
    )
    .needs(DECLARED)
    .under("expire.default.pm: seconds")
    .seed(|parts| marking(parts, |made| made.mark.clone().filter(|mark| mark.raw.is_some()))),
    Fault::new(
        "default-stays",
        "F-113",
        &["DM-EXP-12"],
        "The default for MESSAGE that was set first cannot be changed.",
    )
    .needs(DECLARED)
    .seed(|parts| {
        let first = Memory::<Option<u64>>::default();
        marking(parts, move |made| match &made.mark {
            Some(mark) if mark.raw.is_none() => {
                let seconds = *first.get().get_or_insert(mark.seconds);
                made.scaled(|_| seconds)
            }
            mark => mark.clone(),
        })
    }),
    Fault::new(
        "session-default-stays",
        "F-114",
        &["DM-EXP-22"],
        "The default for message sessions that was set first cannot be changed.",
    )
    .needs(&[Need::Store, Need::Policy])
    .seed(|parts| {
        let first = Memory::<Option<u64>>::default();
        session_marking(parts, move |made| match &made.mark {
            Some(mark) if mark.raw.is_none() => {
                let seconds = *first.get().get_or_insert(mark.seconds);
                made.scaled(|_| seconds)
            }
            mark => mark.clone(),
        })
    }),
    Fault::new(
        "first-chunk-though-completion",
        "M-091",
        &["DM-EXP-20", "DM-DEF-01"],
        "The life of a session's message counts from its first chunk, though completion is declared.",
    )
    .needs(DECLARED)
    .under("lm.base: completion")
    .seed(|parts| session_marking(parts, |made| made.based(made.times.first_chunk))),
    Fault::new(
        "session-expires-in-minutes",
        "F-115",
        &["DM-EXP-20"],
        "Expires of a SEND is read as minutes.",
    )
    .seed(|parts| session_marking(parts, |made| made.scaled(|seconds| seconds.saturating_mul(60)))),
    Fault::new(
        "default-of-messages-for-sessions",
        "M-093",
        &["DM-EXP-22", "DM-EXP-21"],
        "A session's message without Expires gets the default for MESSAGE.",
    )
    .needs(&[Need::Store, Need::Policy])
    .under("expire.default.pm: seconds")
    .seed(|parts| {
        session_marking(parts, |made| match &made.mark {
            Some(mark) if mark.raw.is_some() => Some(mark.clone()),
            _ => made.default_of_messages(),
        })
    }),
    Fault::new(
        "session-default-undeclared",
        "M-147",
        &["DM-EXP-21", "DM-DEF-02"],
        "A session's message without Expires gets an hour, though no default is declared.",
    )
    .needs(&[Need::Store, Need::Policy])
    .under("expire.default.lm: none")
    .seed(|parts| {
        session_marking(parts, |made| {
            made.mark.clone().or_else(|| {
                made.wishes.any.is_none().then(|| Mark {
                    seconds: 3600,
                    at: made.times.complete.plus_seconds(3600),
                    raw: None,
                })
            })
        })
    }),
    Fault::new(
        "mark-of-message-before",
        "F-116",
        &["DM-DEF-02", "DM-EXP-11"],
        "A message without Expires gets the mark of the message before.",
    )
    .needs(&[Need::Wire, Need::Clock])
    .seed(|parts| {
        let before = Memory::<u64>::new(600);
        marking(parts, move |made| match &made.mark {
            Some(mark) => {
                *before.get() = mark.seconds;
                Some(mark.clone())
            }
            None => {
                let seconds = *before.get();
                Some(Mark {
                    seconds,
                    at: made.received.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX)),
                    raw: None,
                })
            }
        })
    }),
    Fault::new(
        "sweeps-late",
        "M-103",
        &["DM-POL-02", "DM-CTX-03"],
        "Expired messages go with an hourly sweep alone, and are delivered until then.",
    )
    .seed(|parts| expiring(parts, Expiring {
        late: 3600,
        is_looked_at: false,
        ..Expiring::default()
    })),
    Fault::new(
        "keeps-expired",
        "F-117",
        &["DM-POL-02"],
        "Expired messages are delivered, though they are to be deleted.",
    )
    .seed(|parts| expiring(parts, Expiring {
        handling: |handling| match handling {
            ExpiredHandling::Delete => ExpiredHandling::Deliver,
            other => other,
        },
        ..Expiring::default()
    })),
    Fault::new(
        "deletes-expired",
        "F-118",
        &["DM-POL-03", "DM-POL-01"],
        "Expired messages are deleted, though they are to be delivered.",
    )
    .needs(DECLARED)
    .under("policy.expired: deliver")
    .seed(|parts| expiring(parts, Expiring {
        handling: |handling| match handling {
            ExpiredHandling::Deliver => ExpiredHandling::Delete,
            other => other,
        },
        ..Expiring::default()
    })),
    Fault::new(
        "policy-stays",
        "F-119",
        &["DM-POL-05"],
        "The policy that was there at the start cannot be changed.",
    )
    .needs(DECLARED)
    .seed(|parts| {
        let handling = parts.expiration.handling();
        expiring_as(parts, move |_| handling)
    }),
    Fault::new(
        "policy-holds-all",
        "F-120",
        &["DM-POL-05", "DM-POL-03"],
        "Whatever the policy, expired messages are kept and not delivered.",
    )
    .needs(DECLARED)
    .seed(|parts| expiring_as(parts, |_| ExpiredHandling::Hold)),
    Fault::new(
        "held-stops-delivery",
        "F-121",
        &["DM-POL-04", "DM-POL-01"],
        "An expired message that is held is in the way of those after it.",
    )
    .needs(DECLARED)
    .under("policy.expired: other:hold")
    .seed(crate::store::keeping::held_in_the_way),
    Fault::new(
        "held-takes-fresh",
        "F-122",
        &["DM-POL-04", "DM-POL-01", "DM-DEF-03"],
        "Where expired messages are held, those that have not expired are held with them.",
    )
    .needs(DECLARED)
    .under("policy.expired: other:hold")
    .seed(|parts| {
        wrap(parts, |inner| HoldsMarked { inner })
    }),
];

/// A mark in the making.
struct Making<'a> {
    inner: &'a Arc<dyn ExpirationPolicy>,
    request: &'a Message,
    received: Timestamp,
    stored: Timestamp,
    /// The one that is right.
    mark: Option<Mark>,
}

impl Making<'_> {
    /// The mark of a message without Expires.
    fn default(&self) -> Option<Mark> {
        let bare = rewrite::read(&rewrite::without(self.request, &["Expires"]))?;
        self.inner.mark(&bare, self.received, self.stored).ok()?
    }

    fn scaled(&self, scale: impl Fn(u64) -> u64) -> Option<Mark> {
        self.mark.clone().map(|mark| scaled(mark, scale))
    }

    fn based(&self, base: Timestamp) -> Option<Mark> {
        self.mark.clone().map(|mark| based(mark, base))
    }
}

/// The mark of a session's message in the making.
struct SessionMaking<'a> {
    inner: &'a Arc<dyn ExpirationPolicy>,
    wishes: &'a SessionWishes,
    times: &'a SessionTimes,
    /// The one that is right.
    mark: Option<Mark>,
}

impl SessionMaking<'_> {
    fn scaled(&self, scale: impl Fn(u64) -> u64) -> Option<Mark> {
        self.mark.clone().map(|mark| scaled(mark, scale))
    }

    fn based(&self, base: Timestamp) -> Option<Mark> {
        self.mark.clone().map(|mark| based(mark, base))
    }

    fn default_of_messages(&self) -> Option<Mark> {
        let bare = imspec_wire::sip::Builder::request("MESSAGE", "sip:a@example.org");
        let at = self.times.complete;
        self.inner.mark(&bare.build().ok()?, at, at).ok()?
    }
}

fn scaled(mark: Mark, scale: impl Fn(u64) -> u64) -> Mark {
    let seconds = scale(mark.seconds);
    let longer = i64::try_from(seconds).unwrap_or(i64::MAX / 4_000_000)
        - i64::try_from(mark.seconds).unwrap_or(0);
    Mark {
        seconds,
        at: mark.at.plus_seconds(longer),
        ..mark
    }
}

fn based(mark: Mark, base: Timestamp) -> Mark {
    let seconds = i64::try_from(mark.seconds).unwrap_or(i64::MAX);
    Mark {
        at: base.plus_seconds(seconds),
        ..mark
    }
}

fn wrap<P: ExpirationPolicy>(
    parts: Parts,
    make: impl FnOnce(Arc<dyn ExpirationPolicy>) -> P,
) -> Parts {
    let expiration = Arc::new(make(Arc::clone(&parts.expiration)));
    Parts {
        expiration,
        ..parts
    }
}

/// Marks MESSAGEs otherwise.
fn marking(
    parts: Parts,
    change: impl Fn(&Making<'_>) -> Option<Mark> + Send + Sync + 'static,
) -> Parts {
    wrap(parts, |inner| Otherwise {
        inner,
        message: change,
        session: |made: &SessionMaking<'_>| made.mark.clone(),
        expiring: Expiring::default(),
    })
}

/// Marks messages of sessions otherwise.
fn session_marking(
    parts: Parts,
    change: impl Fn(&SessionMaking<'_>) -> Option<Mark> + Send + Sync + 'static,
) -> Parts {
    wrap(parts, |inner| Otherwise {
        inner,
        message: |made: &Making<'_>| made.mark.clone(),
        session: change,
        expiring: Expiring::default(),
    })
}

/// How messages expire otherwise.
#[derive(Clone, Copy)]
struct Expiring {
    /// Seconds by which the sweep is late.
    late: i64,
    /// Whether the mark is looked at when a message is about to be delivered.
    is_looked_at: bool,
    handling: fn(ExpiredHandling) -> ExpiredHandling,
}

impl Default for Expiring {
    fn default() -> Self {
        Self {
            late: 0,
            is_looked_at: true,
            handling: |handling| handling,
        }
    }
}

fn expiring(parts: Parts, expiring: Expiring) -> Parts {
    wrap(parts, |inner| Otherwise {
        inner,
        message: |made: &Making<'_>| made.mark.clone(),
        session: |made: &SessionMaking<'_>| made.mark.clone(),
        expiring,
    })
}

/// Never finds a message expired that is about to be delivered.
pub(crate) fn never_expired(parts: Parts) -> Parts {
    expiring(
        parts,
        Expiring {
            is_looked_at: false,
            ..Expiring::default()
        },
    )
}

struct Otherwise<M, S> {
    inner: Arc<dyn ExpirationPolicy>,
    message: M,
    session: S,
    expiring: Expiring,
}

impl<M, S> ExpirationPolicy for Otherwise<M, S>
where
    M: Fn(&Making<'_>) -> Option<Mark> + Send + Sync + 'static,
    S: Fn(&SessionMaking<'_>) -> Option<Mark> + Send + Sync + 'static,
{
    fn mark(
        &self,
        request: &Message,
        received: Timestamp,
        stored: Timestamp,
    ) -> Result<Option<Mark>, MarkRefusal> {
        let mark = self.inner.mark(request, received, stored)?;
        Ok((self.message)(&Making {
            inner: &self.inner,
            request,
            received,
            stored,
            mark,
        }))
    }

    fn session_mark(&self, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark> {
        (self.session)(&SessionMaking {
            inner: &self.inner,
            wishes,
            times,
            mark: self.inner.session_mark(wishes, times),
        })
    }

    fn has_expired(&self, mark: Option<Timestamp>, now: Timestamp) -> bool {
        self.expiring.is_looked_at && self.inner.has_expired(mark, now)
    }

    fn sweep_at(&self, mark: Timestamp) -> Timestamp {
        self.inner.sweep_at(mark).plus_seconds(self.expiring.late)
    }

    fn sweep_limit(&self, now: Timestamp) -> Timestamp {
        self.inner
            .sweep_limit(now)
            .plus_seconds(-self.expiring.late)
    }

    fn handling(&self) -> ExpiredHandling {
        (self.expiring.handling)(self.inner.handling())
    }

    fn indication(&self) -> Indication {
        self.inner.indication()
    }
}

/// Handles expired messages otherwise.
fn expiring_as(
    parts: Parts,
    handling: impl Fn(ExpiredHandling) -> ExpiredHandling + Send + Sync + 'static,
) -> Parts {
    wrap(parts, |inner| Handled { inner, handling })
}

struct Handled<F> {
    inner: Arc<dyn ExpirationPolicy>,
    handling: F,
}

/// The marks and times of another policy, as they are.
macro_rules! marks_of_inner {
    () => {
        fn mark(
            &self,
            request: &Message,
            received: Timestamp,
            stored: Timestamp,
        ) -> Result<Option<Mark>, MarkRefusal> {
            self.inner.mark(request, received, stored)
        }

        fn session_mark(&self, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark> {
            self.inner.session_mark(wishes, times)
        }

        fn sweep_at(&self, mark: Timestamp) -> Timestamp {
            self.inner.sweep_at(mark)
        }

        fn sweep_limit(&self, now: Timestamp) -> Timestamp {
            self.inner.sweep_limit(now)
        }

        fn indication(&self) -> Indication {
            self.inner.indication()
        }
    };
}

impl<F> ExpirationPolicy for Handled<F>
where
    F: Fn(ExpiredHandling) -> ExpiredHandling + Send + Sync + 'static,
{
    marks_of_inner!();

    fn has_expired(&self, mark: Option<Timestamp>, now: Timestamp) -> bool {
        self.inner.has_expired(mark, now)
    }

    fn handling(&self) -> ExpiredHandling {
        (self.handling)(self.inner.handling())
    }
}

/// Marks some MESSAGEs in a way of its own, also such as are to be refused.
fn lenient(parts: Parts, mark: fn(&Message, Timestamp) -> Option<Mark>) -> Parts {
    wrap(parts, |inner| Lenient { inner, mark })
}

struct Lenient {
    inner: Arc<dyn ExpirationPolicy>,
    mark: fn(&Message, Timestamp) -> Option<Mark>,
}

impl ExpirationPolicy for Lenient {
    fn mark(
        &self,
        request: &Message,
        received: Timestamp,
        stored: Timestamp,
    ) -> Result<Option<Mark>, MarkRefusal> {
        match (self.mark)(request, received) {
            Some(mark) => Ok(Some(mark)),
            None => self.inner.mark(request, received, stored),
        }
    }

    fn session_mark(&self, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark> {
        self.inner.session_mark(wishes, times)
    }

    fn has_expired(&self, mark: Option<Timestamp>, now: Timestamp) -> bool {
        self.inner.has_expired(mark, now)
    }

    fn sweep_at(&self, mark: Timestamp) -> Timestamp {
        self.inner.sweep_at(mark)
    }

    fn sweep_limit(&self, now: Timestamp) -> Timestamp {
        self.inner.sweep_limit(now)
    }

    fn handling(&self) -> ExpiredHandling {
        self.inner.handling()
    }

    fn indication(&self) -> Indication {
        self.inner.indication()
    }
}

/// Where expired messages are held, whatever has a mark has expired.
struct HoldsMarked {
    inner: Arc<dyn ExpirationPolicy>,
}

impl ExpirationPolicy for HoldsMarked {
    marks_of_inner!();

    fn has_expired(&self, mark: Option<Timestamp>, now: Timestamp) -> bool {
        if self.handling() == ExpiredHandling::Hold {
            return mark.is_some();
        }
        self.inner.has_expired(mark, now)
    }

    fn handling(&self) -> ExpiredHandling {
        self.inner.handling()
    }
}
