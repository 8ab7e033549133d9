//! What every store must do about sessions: contents in pieces, records that wait, copies, and files
//! that an earlier server wrote.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use bytes::Bytes;
use imspec_reference_server::clock::Timestamp;
use imspec_reference_server::policy::{ExpiredHandling, Mark};
use imspec_reference_server::store::{
    Binding, Form, Inserted, NewMessage, PIECE, Part, Piece, SessionRecord, SqliteStore, Store,
    StoreError,
};
use proptest::prelude::*;

const BOB: &str = "sip:bob@example.org";

struct Opened {
    store: SqliteStore,
    folder: tempfile::TempDir,
}

impl Opened {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("s.db")).unwrap();
        store
            .change_accounts(vec![BOB.to_owned()], Vec::new())
            .await
            .unwrap();
        Self { store, folder }
    }

    fn pieces(&self) -> i64 {
        let file = rusqlite::Connection::open(self.folder.path().join("s.db")).unwrap();
        file.query_row("SELECT count(*) FROM piece", [], |row| row.get(0))
            .unwrap()
    }

    async fn reopen(self) -> Self {
        self.store.close().await.unwrap();
        let store = SqliteStore::open(&self.folder.path().join("s.db")).unwrap();
        Self { store, ..self }
    }
}

fn part(content: i64, origin: &str, octets: u64) -> Part {
    Part {
        content,
        octets,
        sha256: [u8::try_from(octets % 256).unwrap(); 32],
        origin: origin.to_owned(),
        heads: vec![
            Bytes::from_static(b"MSRP a SEND\r\nTo-Path: x\r\n"),
            Bytes::from_static(b"MSRP b SEND\r\nTo-Path: y\r\nX: z\r\n"),
        ],
        first: 1,
        all_heads: true,
    }
}

fn message(id: &str, part: Part) -> NewMessage {
    NewMessage {
        account: BOB.to_owned(),
        message_id: id.to_owned(),
        form: Form::Session(SessionRecord {
            invite: Bytes::from_static(b"INVITE sip:bob@example.org SIP/2.0\r\n\r\n"),
            ok: Bytes::from_static(b"SIP/2.0 200 OK\r\n\r\n"),
            bye: None,
            parts: vec![part],
        }),
        received_at: Timestamp::from_seconds(10),
        stored_at: Timestamp::from_seconds(11),
        mark: None,
    }
}

fn piece(content: i64, at: u64, octets: &'static [u8]) -> Piece {
    Piece {
        content,
        at,
        octets: Bytes::from_static(octets),
    }
}

fn mark(seconds: i64) -> Mark {
    Mark {
        seconds: 5,
        at: Timestamp::from_seconds(seconds),
        raw: Some("5".to_owned()),
    }
}

async fn read(store: &dyn Store, content: i64) -> Vec<u8> {
    let mut octets = Vec::new();
    loop {
        let more = store
            .read_content(content, octets.len() as u64, PIECE)
            .await
            .unwrap();
        if more.is_empty() {
            return octets;
        }
        octets.extend_from_slice(&more);
    }
}

#[tokio::test]
async fn a_record_comes_back_as_it_was_stored_and_takes_its_content_along() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let content = store.new_content();
    store
        .write_content(piece(content, 0, b"abc"))
        .await
        .unwrap();
    let new = message("1@x", part(content, "alice", 6));
    let stored = store.insert_session(new.clone(), vec![piece(content, 3, b"def")], false, 10);
    let Inserted::Stored(number) = stored.await.unwrap() else {
        panic!("not stored");
    };
    assert_eq!(
        store.next_message(BOB, 0).await.unwrap().unwrap().message,
        new
    );
    assert_eq!(read(store, content).await, b"abcdef");
    store
        .add_bye(
            vec![number, 999],
            Bytes::from_static(b"BYE x SIP/2.0\r\n\r\n"),
        )
        .await
        .unwrap();
    let opened = opened.reopen().await;
    let store = &opened.store;
    let again = store.messages(None).await.unwrap().remove(0).message;
    let Form::Session(record) = again.form else {
        panic!("not a session's");
    };
    assert_eq!(record.bye.unwrap(), "BYE x SIP/2.0\r\n\r\n");
    assert!(store.new_content() > content, "no content is given twice");
    store.remove(number).await.unwrap();
    assert_eq!(opened.pieces(), 0);
}

#[tokio::test]
async fn nothing_is_stored_of_which_octets_are_missing() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let content = store.new_content();
    let pieces = vec![piece(content, 0, b"abc")];
    let refused = store.insert_session(message("1@x", part(content, "a", 4)), pieces, false, 10);
    assert!(matches!(refused.await, Err(StoreError::Failed(_))));
    assert!(store.messages(None).await.unwrap().is_empty());
    assert_eq!(opened.pieces(), 0, "the whole of it was undone");
}

#[tokio::test]
async fn copies_are_known_by_origin_and_octets_within_an_account() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let insert = |id: &str, origin: &str, octets: &'static [u8]| {
        let content = store.new_content();
        let part = part(content, origin, octets.len() as u64);
        store.insert_session(
            message(id, part),
            vec![piece(content, 0, octets)],
            false,
            10,
        )
    };
    assert!(matches!(
        insert("1@x", "alice m1", b"abc").await,
        Ok(Inserted::Stored(_))
    ));
    assert_eq!(
        insert("2@x", "alice m1", b"abc").await,
        Ok(Inserted::Duplicate)
    );
    assert!(matches!(
        insert("3@x", "alice m1", b"abcd").await,
        Ok(Inserted::Stored(_))
    ));
    assert!(matches!(
        insert("4@x", "carol m1", b"abc").await,
        Ok(Inserted::Stored(_))
    ));
    assert_eq!(opened.pieces(), 3);
}

#[tokio::test]
async fn a_held_record_is_nobodys_before_it_is_released() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let now = Timestamp::from_seconds(0);
    let binding = Binding {
        contact: "sip:bob@192.0.2.1".into(),
        q: None,
        call_id: "c".into(),
        cseq: 1,
        bound_at: now,
        updated_at: now,
        expires_at: Timestamp::from_seconds(99),
        source: "udp 192.0.2.1:5060".into(),
        target: None,
        route: Vec::new(),
    };
    store.set_bindings(BOB, vec![binding]).await.unwrap();
    let content = store.new_content();
    let new = NewMessage {
        mark: Some(mark(20)),
        ..message("1@x", part(content, "a", 0))
    };
    let Inserted::Stored(number) = store
        .insert_session(new, Vec::new(), true, 1)
        .await
        .unwrap()
    else {
        panic!("not stored");
    };
    let hidden = store.messages(None).await.unwrap().is_empty()
        && store.next_message(BOB, 0).await.unwrap().is_none()
        && store.deliverable(now).await.unwrap().is_empty()
        && store.next_expiry(now).await.unwrap().is_none();
    assert!(hidden);
    let late = Timestamp::from_seconds(1000);
    assert_eq!(
        store
            .expire(late, ExpiredHandling::Delete, Vec::new())
            .await,
        Ok(0)
    );
    assert_eq!(store.count(BOB).await, Ok(1));
    let other = message("2@x", part(store.new_content(), "b", 0));
    assert_eq!(
        store.insert(other, 1).await,
        Ok(Inserted::Full),
        "it takes room"
    );
    let second = store.new_content();
    let pieces = vec![piece(second, 0, b"more")];
    let more = store.append(
        number,
        part(second, "c", 4),
        pieces,
        Timestamp::from_seconds(15),
    );
    assert_eq!(more.await, Ok(Inserted::Stored(number)));
    store.release(number, Some(mark(30))).await.unwrap();
    let released = store.messages(None).await.unwrap().remove(0).message;
    assert_eq!(released.received_at, Timestamp::from_seconds(15));
    assert_eq!(released.mark, Some(mark(30)));
    assert!(matches!(released.form, Form::Session(record) if record.parts.len() == 2));
    assert_eq!(store.deliverable(now).await.unwrap(), [BOB]);
    // Released once: its mark never changes again.
    store.release(number, None).await.unwrap();
    assert_eq!(
        store.next_expiry(now).await,
        Ok(Some(Timestamp::from_seconds(30)))
    );
}

#[tokio::test]
async fn a_held_record_makes_no_other_a_copy_and_is_compared_when_it_is_released() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let insert = async |id: &str| {
        let content = store.new_content();
        let new = message(id, part(content, "alice m1", 3));
        let pieces = vec![piece(content, 0, b"abc")];
        match store.insert_session(new, pieces, true, 10).await.unwrap() {
            Inserted::Stored(number) => number,
            other => panic!("{other:?}"),
        }
    };
    // The session of the first may be dropped yet, so the others are no copies that could go.
    let first = insert("1@x").await;
    let second = insert("2@x").await;
    let third = insert("3@x").await;
    let fourth = insert("4@x").await;
    let append = async |number: i64, origin: &str, octets: &'static [u8]| {
        let content = store.new_content();
        let part = part(content, origin, octets.len() as u64);
        let pieces = vec![piece(content, 0, octets)];
        let at = Timestamp::from_seconds(15);
        store.append(number, part, pieces, at).await.unwrap()
    };
    // Within a record it is one.
    assert_eq!(append(third, "alice m1", b"abc").await, Inserted::Duplicate);
    let added = append(third, "alice m2", b"defg").await;
    assert_eq!(added, Inserted::Stored(third));
    store.remove(first).await.unwrap();
    for number in [second, third, fourth] {
        store.release(number, None).await.unwrap();
    }
    let kept: Vec<_> = store
        .messages(None)
        .await
        .unwrap()
        .into_iter()
        .map(|stored| match stored.message.form {
            Form::Session(record) => (stored.number, record.parts.len()),
            Form::Pager(_) => panic!("not a session's"),
        })
        .collect();
    assert_eq!(kept, [(second, 1), (third, 1)], "each message once");
    assert_eq!(opened.pieces(), 2);
    assert_eq!(
        store.count(BOB).await,
        Ok(2),
        "nothing is left of a mere copy"
    );
    // Released, it stays as it is.
    store.release(third, None).await.unwrap();
    assert_eq!(store.count(BOB).await, Ok(2));
}

#[tokio::test]
async fn what_was_delivered_is_not_brought_again_by_a_copy_that_was_held() {
    let opened = Opened::new().await;
    let store = &opened.store;
    let insert = async |id: &str| {
        let content = store.new_content();
        let new = message(id, part(content, "alice m1", 3));
        let pieces = vec![piece(content, 0, b"abc")];
        match store.insert_session(new, pieces, true, 10).await.unwrap() {
            Inserted::Stored(number) => number,
            other => panic!("{other:?}"),
        }
    };
    let first = insert("1@x").await;
    let second = insert("2@x").await;
    let third = insert("3@x").await;
    store.release(first, None).await.unwrap();
    store.remove(first).await.unwrap();
    // Its session goes on.
    let content = store.new_content();
    let more = part(content, "alice m2", 4);
    let pieces = vec![piece(content, 0, b"defg")];
    let at = Timestamp::from_seconds(15);
    let added = store.append(third, more, pieces, at).await.unwrap();
    assert_eq!(added, Inserted::Stored(third));
    for number in [second, third] {
        store.release(number, None).await.unwrap();
    }
    let left = store.messages(None).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].number, third);
    assert!(matches!(&left[0].message.form, Form::Session(record) if record.parts.len() == 1));
    assert_eq!(store.count(BOB).await, Ok(1));
    assert_eq!(opened.pieces(), 1);
}

#[tokio::test]
async fn after_a_crash_what_was_incomplete_goes_and_what_was_held_is_settled() {
    for keep in [true, false] {
        let opened = Opened::new().await;
        let store = &opened.store;
        store
            .write_content(piece(store.new_content(), 0, b"half"))
            .await
            .unwrap();
        let content = store.new_content();
        let held = message("1@x", part(content, "a", 3));
        store
            .insert_session(held, vec![piece(content, 0, b"abc")], true, 10)
            .await
            .unwrap();
        let opened = opened.reopen().await;
        opened.store.recover_sessions(keep).await.unwrap();
        let count = usize::from(keep);
        assert_eq!(opened.store.messages(None).await.unwrap().len(), count);
        assert_eq!(opened.pieces(), i64::from(keep));
    }
}

#[tokio::test]
async fn a_file_of_the_first_version_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("old.db");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../src/store/schema.sql"))
        .unwrap();
    old.execute_batch(
        "PRAGMA user_version = 1;
         INSERT INTO account (id, aor) VALUES (7, 'sip:bob@example.org');
         INSERT INTO message (account, message_id, request, received_at, stored_at)
         VALUES (7, 'old@x', CAST('MESSAGE sip:bob@example.org SIP/2.0' AS BLOB), 1, 2);",
    )
    .unwrap();
    drop(old);
    let store = SqliteStore::open(&path).unwrap();
    let messages = store.messages(None).await.unwrap();
    assert_eq!(messages[0].message.message_id, "old@x");
    assert!(
        matches!(&messages[0].message.form, Form::Pager(request) if request.starts_with(b"MESSAGE"))
    );
    let content = store.new_content();
    let pieces = vec![piece(content, 0, b"new")];
    let new = store.insert_session(message("new@x", part(content, "a", 3)), pieces, false, 10);
    assert!(matches!(new.await, Ok(Inserted::Stored(_))));
    store.close().await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    let kinds: Vec<(String, Option<i64>)> = file
        .prepare("SELECT kind, octets FROM readable_message ORDER BY id")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        kinds,
        [("pager".to_owned(), None), ("session".to_owned(), Some(3))]
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Octets written anywhere in any order are read back as a vector would have them.
    #[test]
    fn contents_are_what_was_written_last(
        writes in prop::collection::vec((0..3 * PIECE, 1..2000_usize, any::<u8>()), 1..30)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let opened = Opened::new().await;
            let content = opened.store.new_content();
            let mut model: Vec<u8> = Vec::new();
            let mut answers = Vec::new();
            // So that no piece in between is missing, which a complete message never has.
            for at in [0, PIECE, 2 * PIECE, 3 * PIECE] {
                let octets = Bytes::from(vec![0; if at == 3 * PIECE { 1 } else { PIECE }]);
                model.extend_from_slice(&octets);
                answers.push(opened.store.write_content(Piece { content, at: at as u64, octets }));
            }
            for (at, length, octet) in writes {
                let end = (at / PIECE + 1) * PIECE;
                let length = length.min(end - at);
                let last = at + length;
                if last > model.len() {
                    model.resize(last, 0);
                }
                model[at..last].fill(octet);
                let octets = Bytes::from(vec![octet; length]);
                answers.push(opened.store.write_content(Piece { content, at: at as u64, octets }));
            }
            for answer in answers {
                answer.await.unwrap();
            }
            assert!(read(&opened.store, content).await == model);
            opened.store.drop_content(content).await.unwrap();
            assert_eq!(opened.pieces(), 0);
        });
    }
}
