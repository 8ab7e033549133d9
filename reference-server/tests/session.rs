//! Messages that come by a session: what is taken, what is kept, what is answered.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod support;

use serde_json::{Value, json};
use support::sender::{Msrp, offer, own_path};
use support::{ALICE, BOB, Setup, show};

fn header<'v>(head: &'v Value, name: &str) -> Vec<&'v str> {
    let fields = head["headers"].as_array().unwrap();
    fields
        .iter()
        .filter(|field| field["name"] == name)
        .map(|field| field["value"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_session_for_somebody_offline_becomes_a_record() {
    let setup = Setup::new("").await;
    let mut alice = setup.agent(ALICE).await;
    let own = own_path();
    let invite = alice
        .invitation(BOB, &offer(&own, 7394, "a=sendonly\r\na=setup:actpass\r\n"))
        .header("s", "Minutes of\r\n today")
        .header("Date", "Sat, 13 Nov 2010 23:29:00 GMT")
        .header("P-Asserted-Identity", "<sip:alice@example.org>, <tel:+1>")
        .header("X-Not-Kept", "1");
    let mut dialog = alice.establish(invite).await;
    let sdp = String::from_utf8_lossy(dialog.ok.body()).into_owned();
    for expected in ["a=setup:passive", "a=accept-types:*", "a=recvonly", "a=max-size:104857600"] {
        assert!(sdp.contains(expected), "{sdp}");
    }
    let mut msrp = Msrp::connect(&dialog.path(), &own).await;
    let more = "Message-ID: m1\r\nByte-Range: 1-8/8\r\nX-Ext: kept\r\nExpires: 60\r\n";
    assert_eq!(msrp.send(more, b"abcdEFGH", '$').await, 200);
    let records = setup.control.messages(BOB).await;
    let record = &records[0];
    assert_eq!(record["kind"], "session");
    assert_eq!(record["body"], json!({"text": "abcdEFGH"}));
    assert_eq!(record["bye"], Value::Null);
    assert_eq!(record["expire"]["seconds"], 60);
    assert_eq!(record["invite"]["start_line"], "INVITE sip:bob@example.org SIP/2.0");
    assert_eq!(header(&record["invite"], "s"), ["Minutes of\r\n today"]);
    assert_eq!(header(&record["invite"], "Date"), ["Sat, 13 Nov 2010 23:29:00 GMT"]);
    assert_eq!(header(&record["invite"], "P-Asserted-Identity").len(), 1);
    assert!(header(&record["invite"], "X-Not-Kept").is_empty());
    let sent = dialog.ok.header("To").unwrap().text().into_owned();
    assert_eq!(header(&record["ok"], "To"), [sent.as_str()]);
    assert_eq!(header(&record["send"], "X-Ext"), ["kept"]);
    assert!(record["send"]["start_line"].as_str().unwrap().ends_with(" SEND"));
    assert!(record.get("chunks").is_none() && record.get("headers").is_none());
    let bye = dialog.request(&alice, "BYE").header("Reason", "SIP;cause=200");
    let ended = alice.ask(bye).await;
    assert_eq!(ended.status(), Some(200), "{}", show(&ended));
    let records = setup.control.messages(BOB).await;
    assert_eq!(header(&records[0]["bye"], "Reason"), ["SIP;cause=200"]);
    assert_eq!(records[0]["message_id"], record["message_id"]);
}
