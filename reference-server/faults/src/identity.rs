//! The border of SIP: who is said to have begun a session.

use std::collections::HashMap;
use std::sync::Arc;

use imspec_reference_server::Parts;

use crate::fault::Fault;
use crate::rewrite;
use crate::store::{Memory, sessions};
use crate::transport::admitting;

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "believes-anybody-in-sessions",
        "F-230",
        &["RFC3325-5"],
        "The identity that any user agent asserts in an INVITE is believed.",
    )
    .under("identity.trust: none")
    .seed(|parts| asserted(parts, "P-Asserted-Identity")),
    Fault::new(
        "preference-asserted-in-sessions",
        "F-231",
        &["RFC3325-6"],
        "The identity that the sender of an INVITE prefers is stored as an asserted one.",
    )
    .seed(|parts| asserted(parts, "P-Preferred-Identity")),
];

/// What stands in that field of an INVITE becomes the asserted identity of its messages.
fn asserted(parts: Parts, field: &'static str) -> Parts {
    let noted = Arc::new(Memory::<HashMap<String, String>>::default());
    let known = Arc::clone(&noted);
    let parts = sessions(parts, move |record| {
        record.invite = rewrite::message(&record.invite, |invite| {
            let call = rewrite::text(invite, "Call-ID").unwrap_or_default();
            match known.get().get(&call) {
                Some(identity) => rewrite::with_field(invite, "P-Asserted-Identity", identity),
                None => invite.octets().clone(),
            }
        });
    });
    admitting(parts, move |message| {
        let identity = rewrite::text(message, field)?;
        if message.method() == Some("INVITE") {
            noted
                .get()
                .insert(rewrite::text(message, "Call-ID")?, identity);
        }
        None
    })
}
