//! Many sessions at once: every message whole, once, and in its own account.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use std::time::Instant;

use serde_json::json;
use support::sender::{Msrp, offer, own_path};
use support::{ALICE, Agent, Setup};

const SESSIONS: usize = 200;
const SIZE: usize = 100 * 1024;
const CHUNK: usize = 2048;

/// Text that says whose it is at every place.
fn text(number: usize) -> String {
    let word = format!("{number:03} ");
    word.repeat(SIZE / word.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sessions_do_not_mix() {
    let setup = Setup::new("sip: { t1_ms: 2000 }").await;
    let users: Vec<String> = (0..20)
        .map(|n| format!("sip:user{n}@example.org"))
        .collect();
    setup
        .control
        .post("/v1/accounts", json!({ "add": users }))
        .await;
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for number in 0..SESSIONS {
        let (server, user) = (setup.udp(), users[number % users.len()].clone());
        senders.spawn(async move {
            let mut alice = Agent::udp(ALICE, server).await;
            let own = own_path();
            let invite = alice.invitation(&user, &offer(&own, 7394, ""));
            let mut dialog = alice.establish(invite).await;
            let mut msrp = Msrp::connect(&dialog.path(), &own).await;
            let text = text(number);
            for (index, piece) in text.as_bytes().chunks(CHUNK).enumerate() {
                let at = index * CHUNK;
                let end = if at + piece.len() == SIZE { '$' } else { '+' };
                let range = format!(
                    "Message-ID: m{number}\r\nByte-Range: {}-*/{SIZE}\r\n",
                    at + 1
                );
                assert_eq!(msrp.send(&range, piece, end).await, 200);
            }
            dialog.bye(&mut alice).await;
        });
    }
    while let Some(done) = senders.join_next().await {
        done.unwrap();
    }
    let took = began.elapsed();
    for (index, user) in users.iter().enumerate() {
        let records = setup.control.messages(user).await;
        let mut got: Vec<&str> = records
            .iter()
            .map(|r| r["body"]["text"].as_str().unwrap())
            .collect();
        got.sort_unstable();
        let mine = (index..SESSIONS).step_by(users.len());
        let expected: Vec<String> = mine.map(text).collect();
        assert!(
            got.iter().copied().eq(expected.iter().map(String::as_str)),
            "{user}"
        );
        assert!(records.iter().all(|record| record["bye"].is_object()));
    }
    println!("{SESSIONS} sessions of {SIZE} octets in chunks of {CHUNK}: {took:.1?}");
}
