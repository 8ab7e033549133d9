//! Marks that do not stay as they were made.
//!
//! [`Marked`] shows other marks than those that were stored, and lets messages expire by what it shows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use imspec_reference_server::Parts;
use imspec_reference_server::clock::{Clock, Timestamp};
use imspec_reference_server::policy::{ExpiredHandling, Mark, SessionTimes, SessionWishes};
use imspec_reference_server::store::{
    Answer, Binding, Form, Inserted, NewMessage, Piece, Store, StoredMessage,
};
use imspec_wire::sip::Builder;

use super::{Memory, Spoil, spoil};
use crate::fault::{Fault, Need};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "life-begins-at-bye",
        "M-092",
        &["DM-DEF-01", "DM-EXP-20"],
        "The life of a session's message begins when its session ends, not when it was complete.",
    )
    .seed(|parts| {
        let ended = Arc::new(Memory::<HashMap<i64, Timestamp>>::default());
        let known = Arc::clone(&ended);
        let parts = marked(parts, move |stored| {
            let ended = known.get().get(&stored.number).copied();
            begun_at(stored, ended)
        });
        spoil(parts, |parts| NotesByes {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            ended,
        })
    }),
    Fault::new(
        "new-default-for-all",
        "M-097",
        &["DM-EXP-30", "DM-EXP-12"],
        "A changed default marks anew what waits.",
    )
    .needs(&[Need::Store, Need::Policy])
    .seed(|parts| {
        let expiration = Arc::clone(&parts.expiration);
        let bare = Builder::request("MESSAGE", "sip:a@example.org")
            .build()
            .ok();
        marked(parts, move |stored| {
            let message = &stored.message;
            let is_by_default = message.mark.as_ref().is_none_or(|mark| mark.raw.is_none());
            match (&message.form, &bare) {
                (Form::Pager(_), Some(bare)) if is_by_default => expiration
                    .mark(bare, message.received_at, message.stored_at)
                    .ok()
                    .flatten(),
                (Form::Session(_), _) if is_by_default => {
                    let times = SessionTimes {
                        first_chunk: message.received_at,
                        complete: message.received_at,
                        end: Some(message.received_at),
                    };
                    expiration.session_mark(&SessionWishes::default(), &times)
                }
                _ => message.mark.clone(),
            }
        })
    }),
    Fault::new(
        "last-mark-for-all",
        "M-098",
        &["DM-EXP-30"],
        "The mark of a message becomes that of all messages of the account.",
    )
    .seed(|parts| {
        let last = Arc::new(Memory::<HashMap<String, Mark>>::default());
        let known = Arc::clone(&last);
        let parts = marked(parts, move |stored| {
            let last = known.get();
            // What had none still has none.
            let own = stored.message.mark.as_ref()?;
            Some(last.get(&stored.message.account).unwrap_or(own).clone())
        });
        spoil(parts, |parts| NotesMarks {
            inner: Arc::clone(&parts.store),
            last,
        })
    }),
    Fault::new(
        "life-begins-at-first-try",
        "M-099",
        &["DM-DEF-01"],
        "The life of a message begins when its delivery is tried first.",
    )
    .seed(|parts| {
        spoil(parts, |parts| FirstTry {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            tried: Memory::default(),
        })
    }),
    Fault::new(
        "refresh-begins-life-anew",
        "M-102",
        &["DM-DEF-01"],
        "A registration that follows another one begins the life of what waits anew.",
    )
    .seed(|parts| {
        let refreshed = Arc::new(Memory::<HashMap<String, Timestamp>>::default());
        let known = Arc::clone(&refreshed);
        let parts = marked(parts, move |stored| {
            let refreshed = known.get().get(&stored.message.account).copied();
            begun_at(stored, refreshed)
        });
        spoil(parts, |parts| NotesRefreshes {
            inner: Arc::clone(&parts.store),
            clock: Arc::clone(&parts.clock),
            times: Memory::default(),
            refreshed,
        })
    }),
    Fault::new(
        "restart-begins-life-anew",
        "F-080",
        &["DM-DEF-01", "DM-EXP-30"],
        "A restart begins the life of what waits anew.",
    )
    .needs(&[Need::Wire, Need::Restart])
    .seed(|parts| {
        let started = parts.clock.now();
        marked(parts, move |stored| begun_at(stored, Some(started)))
    }),
    Fault::new(
        "expires-of-content",
        "F-277",
        &["DM-EXP-20", "DM-DEF-03"],
        "A line `Expires: seconds` in the content of a session's message sets its life.",
    )
    .seed(|parts| spoil(parts, |parts| OfContent(Arc::clone(&parts.store)))),
    Fault::new(
        "marks-lost-at-restart",
        "F-081",
        &["DM-EXP-30", "DM-DEF-01"],
        "After a restart what waits has no marks.",
    )
    .needs(&[Need::Wire, Need::Restart])
    .seed(|parts| {
        let started = parts.clock.now();
        marked(parts, move |stored| {
            stored
                .message
                .mark
                .clone()
                .filter(|_| stored.message.stored_at > started)
        })
    }),
];

/// The mark as if the life had begun at an instant, where that is later.
fn begun_at(stored: &StoredMessage, begun: Option<Timestamp>) -> Option<Mark> {
    let mark = stored.message.mark.clone()?;
    let seconds = i64::try_from(mark.seconds).unwrap_or(i64::MAX);
    match begun {
        Some(begun) => Some(Mark {
            at: mark.at.max(begun.plus_seconds(seconds)),
            ..mark
        }),
        None => Some(mark),
    }
}

fn marked(
    parts: Parts,
    mark: impl Fn(&StoredMessage) -> Option<Mark> + Send + Sync + 'static,
) -> Parts {
    spoil(parts, |parts| Marked {
        inner: Arc::clone(&parts.store),
        mark,
    })
}

struct Marked<F> {
    inner: Arc<dyn Store>,
    mark: F,
}

impl<F: Fn(&StoredMessage) -> Option<Mark> + Send + Sync + 'static> Spoil for Marked<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        stored.message.mark = (self.mark)(&stored);
        Some(stored)
    }

    fn next_expiry(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        next_expiry(self, after)
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        expire(self, until, handling, except)
    }
}

/// The first expiry after an instant by the marks that are shown.
fn next_expiry<S: Spoil>(store: &S, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
    Box::pin(async move {
        let all = store.messages(None).await?;
        let marks = all.into_iter().filter_map(|stored| stored.message.mark);
        Ok(marks.map(|mark| mark.at).filter(|at| *at > after).min())
    })
}

/// Deletes what has expired by the marks that are shown. Where it is kept, these marks alone tell.
fn expire<S: Spoil>(
    store: &S,
    until: Timestamp,
    handling: ExpiredHandling,
    except: Vec<i64>,
) -> Answer<'_, usize> {
    Box::pin(async move {
        if handling == ExpiredHandling::Delete {
            for stored in store.messages(None).await? {
                let is_due = stored.message.mark.is_some_and(|mark| mark.at <= until);
                if is_due && !except.contains(&stored.number) {
                    store.inner().remove(stored.number).await?;
                }
            }
        }
        Ok(0)
    })
}

struct NotesByes {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ended: Arc<Memory<HashMap<i64, Timestamp>>>,
}

impl Spoil for NotesByes {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn add_bye(&self, numbers: Vec<i64>, bye: Bytes) -> Answer<'_, ()> {
        let now = self.clock.now();
        self.ended
            .get()
            .extend(numbers.iter().map(|number| (*number, now)));
        self.inner.add_bye(numbers, bye)
    }
}

/// Marks what has no mark by what its content says.
struct OfContent(Arc<dyn Store>);

impl Spoil for OfContent {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.0
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if matches!(message.form, Form::Session(_)) && message.mark.is_none() {
            let text: String = pieces
                .iter()
                .map(|piece| String::from_utf8_lossy(&piece.octets))
                .collect();
            let said = text
                .lines()
                .find_map(|line| line.strip_prefix("Expires:")?.trim().parse::<u32>().ok());
            message.mark = said.map(|seconds| Mark {
                seconds: u64::from(seconds),
                at: message.received_at.plus_seconds(i64::from(seconds)),
                raw: Some(seconds.to_string()),
            });
        }
        self.0.insert_session(message, pieces, held, most)
    }
}

struct NotesMarks {
    inner: Arc<dyn Store>,
    last: Arc<Memory<HashMap<String, Mark>>>,
}

impl Spoil for NotesMarks {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn insert_session(
        &self,
        message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if let Some(mark) = &message.mark {
            self.last
                .get()
                .insert(message.account.clone(), mark.clone());
        }
        self.inner.insert_session(message, pieces, held, most)
    }
}

struct NotesRefreshes {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    times: Memory<HashMap<String, u32>>,
    refreshed: Arc<Memory<HashMap<String, Timestamp>>>,
}

impl Spoil for NotesRefreshes {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn set_bindings<'a>(&'a self, account: &'a str, bindings: Vec<Binding>) -> Answer<'a, ()> {
        if !bindings.is_empty() {
            let mut times = self.times.get();
            let count = times.entry(account.to_owned()).or_default();
            *count += 1;
            if *count > 1 {
                self.refreshed
                    .get()
                    .insert(account.to_owned(), self.clock.now());
            }
        }
        self.inner.set_bindings(account, bindings)
    }
}

struct FirstTry {
    inner: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    tried: Memory<HashMap<i64, Timestamp>>,
}

impl Spoil for FirstTry {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        const NEVER: i64 = 100 * 365 * 86_400;
        let begun = self.tried.get().get(&stored.number).copied();
        let begun = begun.unwrap_or_else(|| self.clock.now().plus_seconds(NEVER));
        stored.message.mark = begun_at(&stored, Some(begun));
        Some(stored)
    }

    fn next_message<'a>(
        &'a self,
        account: &'a str,
        after: i64,
    ) -> Answer<'a, Option<StoredMessage>> {
        Box::pin(async move {
            let next = self.inner.next_message(account, after).await?;
            Ok(next.and_then(|next| {
                let now = self.clock.now();
                self.tried.get().entry(next.number).or_insert(now);
                self.read(next)
            }))
        })
    }

    fn next_expiry(&self, after: Timestamp) -> Answer<'_, Option<Timestamp>> {
        next_expiry(self, after)
    }

    fn expire(
        &self,
        until: Timestamp,
        handling: ExpiredHandling,
        except: Vec<i64>,
    ) -> Answer<'_, usize> {
        expire(self, until, handling, except)
    }
}
