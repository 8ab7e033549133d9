//! Cases that share a few accounts: nothing of one comes to the next, however late.

use std::collections::BTreeMap;
use std::time::Duration;

use imspec_reports::record::Trace;
use tokio::sync::watch;

use super::peer::{Peer, Quirks};
use super::{OPTIONS, drive, kinds, planned, profile, received, text};

/// Each case looks at what the one before has left, and leaves a message that nobody has seen when it ends.
const LEAVES_SOMETHING: &str = "
users: { alice: online, bob: offline }
matrix: { n: [1, 2] }
steps:
  - register: bob
  - silence: { at: bob, for: 1s }
  - message: { from: alice, to: bob, body: \"somebody is there\", save: control }
  - register: bob
  - receive: { at: bob, of: control }
  - register: { user: bob, expires: 0 }
  - message: { from: alice, to: bob, body: \"late ${n}\" }
";

/// The cases of that scenario with two accounts.
async fn with_two_accounts(peer: &Peer, adapters: &str) -> BTreeMap<String, Trace> {
    let profile = profile(&format!(
        "name: peer\nsut: {{ product: peer }}\npixit:\n  target: {{ udp: \"{}\" }}\n  domain: example.org\n  \
         accounts: {{ list: [one, two] }}\n  \
         timers: {{ t1: 250ms, answer: 20s, delivery: 20s, quiet: 50ms, store: 20s }}\n{adapters}",
        peer.udp
    ));
    let (_keep, stop) = watch::channel(false);
    let ran = drive(&profile, planned(&profile, LEAVES_SOMETHING), OPTIONS, stop).await;
    ran.outcome.unwrap_or_else(|e| panic!("{e}"));
    ran.traces
}

fn only_their_own_came(traces: &BTreeMap<String, Trace>) {
    assert_eq!(traces.len(), 2);
    for (case, trace) in traces {
        let came = received(trace).into_iter().map(text);
        let came: Vec<_> = came.filter(|text| text.starts_with("MESSAGE")).collect();
        let is_own = came.len() == 1 && came[0].ends_with("somebody is there");
        assert!(is_own, "{case}: {:#?}", kinds(trace));
    }
}

#[tokio::test]
async fn a_message_that_others_overtake_is_waited_for() {
    // Longer than the silence after which a server that has brought the last message is believed.
    let peer = Peer::start(Quirks {
        late: Duration::from_millis(1500),
        ..Quirks::default()
    })
    .await;
    only_their_own_came(&with_two_accounts(&peer, "").await);
}

#[tokio::test]
async fn a_message_that_the_store_shows_late_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    for user in ["one", "two"] {
        std::fs::write(folder.path().join(user), "").unwrap();
    }
    let peer = Peer::start(Quirks {
        late: Duration::from_millis(500),
        shown: Some(folder.path().to_owned()),
        ..Quirks::default()
    })
    .await;
    let adapters = format!(
        "adapters:\n  store: {{ command: [cat, \"{}/${{user}}\"] }}\n",
        folder.path().display()
    );
    only_their_own_came(&with_two_accounts(&peer, &adapters).await);
}
