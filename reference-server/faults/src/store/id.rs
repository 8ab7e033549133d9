//! Message-IDs that depend on the message, or that do not last.
//!
//! The reference server's store wants its Message-IDs to be unique. A fault that repeats one stores it
//! with something unique behind it, which is left out whenever it is read: [`Labelled`].

use std::sync::Arc;

use imspec_reference_server::Parts;
use imspec_reference_server::store::{
    Answer, Form, Inserted, NewMessage, Piece, Store, StoredMessage,
};

use super::{Memory, Spoil, request_of, spoil};
use crate::fault::Fault;
use crate::rewrite;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "id-of-content",
        "M-060",
        &["DM-MID-02", "DM-MID-05"],
        "The Message-ID is a digest of the content.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| match &message.form {
            Form::Pager(_) => {
                let request = request_of(message)?;
                Some(format!("{:016x}@{HOST}", rewrite::digest(request.body())))
            }
            Form::Session(record) => {
                let sum = record.parts.first()?.sha256;
                Some(format!("{:016x}@{HOST}", rewrite::digest(&sum)))
            }
        })
    }),
    Fault::new(
        "id-of-msrp",
        "M-063",
        &["DM-MID-05", "DM-MID-02"],
        "The Message-ID of a session's message is its MSRP Message-ID with a host.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| match &message.form {
            Form::Session(record) => {
                let id = record.parts.first()?.origin.lines().last()?;
                Some(format!("{id}@{HOST}"))
            }
            Form::Pager(_) => None,
        })
    }),
    Fault::new(
        "id-of-session",
        "F-361",
        &["DM-MID-02"],
        "All messages of a session have the same Message-ID.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| match &message.form {
            Form::Session(record) => {
                Some(format!("{:016x}@{HOST}", rewrite::digest(&record.invite)))
            }
            Form::Pager(_) => None,
        })
    }),
    Fault::new(
        "id-of-header",
        "M-064",
        &["DM-MID-05", "DM-MID-02"],
        "A Message-ID header field of the sender's becomes the Message-ID.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| {
            rewrite::text(&request_of(message)?, "Message-ID")
        })
    }),
    Fault::new(
        "id-of-call",
        "F-050",
        &["DM-MID-05", "DM-MID-02"],
        "The Message-ID is made of the sender's Call-ID.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| {
            let call = rewrite::text(&request_of(message)?, "Call-ID")?;
            let string = call.split('@').next().unwrap_or_default();
            Some(format!("{string}@{HOST}"))
        })
    }),
    Fault::new(
        "id-of-notification",
        "F-051",
        &["DM-MID-05", "DM-MID-02"],
        "The imdn.Message-ID of a CPIM message becomes the Message-ID.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| {
            let request = request_of(message)?;
            let body = String::from_utf8_lossy(request.body()).into_owned();
            let line = body
                .lines()
                .find_map(|line| line.strip_prefix("imdn.Message-ID:"))?;
            Some(format!("{}@{HOST}", line.trim()))
        })
    }),
    Fault::new(
        "id-host-of-sender",
        "M-066",
        &["DM-MID-04", "DM-MID-08"],
        "The host of a Message-ID is the domain of the sender.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| {
            let sender = rewrite::account_in(&request_of(message)?, "From")?;
            let string = message.message_id.split('@').next()?;
            Some(format!("{string}@{}", sender.rsplit_once('@')?.1))
        })
    }),
    Fault::new(
        "no-id-for-sessions",
        "F-052",
        &["DM-MID-01"],
        "What comes by a session has no Message-ID.",
    )
    .stored()
    .seed(|parts| {
        named(parts, |message| {
            matches!(message.form, Form::Session(_)).then(String::new)
        })
    }),
    Fault::new(
        "new-id-at-each-look",
        "M-068",
        &["DM-MID-09"],
        "A message gets a new Message-ID whenever it is listed.",
    )
    .stored()
    .seed(|parts| {
        super::reading(parts, |mut stored| {
            stored.message.message_id = format!("{:032x}@{HOST}", fastrand::u128(..));
            Some(stored)
        })
    }),
    Fault::new(
        "new-id-after-restart",
        "F-053",
        &["DM-MID-09"],
        "A restart gives every message that waits a new Message-ID.",
    )
    .needs(&[crate::fault::Need::Store, crate::fault::Need::Restart])
    .seed(|parts| {
        let salt = fastrand::u32(..);
        spoil(parts, |parts| Renamed {
            inner: Arc::clone(&parts.store),
            salt,
            old: Memory::default(),
        })
    }),
];

/// The host that the server is configured with by default.
pub(crate) const HOST: &str = "mailstore1.example.org";

/// Stands before what makes a stored Message-ID unique. No Message-ID has it.
const BEHIND: char = '\u{1f}';

/// Gives messages other Message-IDs; the server's own where there is none.
pub(crate) fn named(
    parts: Parts,
    name: impl Fn(&NewMessage) -> Option<String> + Send + Sync + 'static,
) -> Parts {
    spoil(parts, |parts| Labelled {
        inner: Arc::clone(&parts.store),
        name,
    })
}

/// Message-IDs that may repeat.
pub(crate) struct Labelled<F> {
    inner: Arc<dyn Store>,
    name: F,
}

impl<F: Fn(&NewMessage) -> Option<String> + Send + Sync + 'static> Spoil for Labelled<F> {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn insert_session(
        &self,
        mut message: NewMessage,
        pieces: Vec<Piece>,
        held: bool,
        most: u64,
    ) -> Answer<'static, Inserted> {
        if let Some(name) = (self.name)(&message) {
            message.message_id = name;
        }
        let given = &message.message_id;
        message.message_id = format!("{given}{BEHIND}{:032x}", fastrand::u128(..));
        self.inner.insert_session(message, pieces, held, most)
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        let id = &mut stored.message.message_id;
        if let Some(end) = id.find(BEHIND) {
            id.truncate(end);
        }
        Some(stored)
    }
}

struct Renamed {
    inner: Arc<dyn Store>,
    salt: u32,
    /// The number of the last message that was there when the server started.
    old: Memory<i64>,
}

impl Spoil for Renamed {
    fn inner(&self) -> &Arc<dyn Store> {
        &self.inner
    }

    fn recover_sessions(&self, keep_held: bool) -> Answer<'_, ()> {
        Box::pin(async move {
            self.inner.recover_sessions(keep_held).await?;
            let last = self
                .inner
                .messages(None)
                .await?
                .last()
                .map(|stored| stored.number);
            *self.old.get() = last.unwrap_or(0);
            Ok(())
        })
    }

    fn read(&self, mut stored: StoredMessage) -> Option<StoredMessage> {
        if stored.number <= *self.old.get() {
            let id = &mut stored.message.message_id;
            *id = format!("{:08x}{id}", self.salt);
        }
        Some(stored)
    }
}
