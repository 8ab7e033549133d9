//! Faults that are a setting of the server, or a declaration, which contradicts what it shows.

use serde_json::json;

use crate::fault::{Fault, Need};

pub(crate) const FAULTS: &[Fault] = &[
    Fault::new(
        "keeps-silent-on-expiry",
        "F-142",
        &["DM-POL-01"],
        "The sender is not told when his message expires, though a notice is declared.",
    )
    .needs(&[Need::Wire, Need::Policy])
    .under("sender.notice: imdn-failed")
    .declares("sender.notice", "imdn-failed"),
    Fault::new(
        "refuses-for-absent",
        "F-140",
        &["DM-TRIG-01", "DM-STORE-10"],
        "Messages for users who are offline are refused.",
    )
    .configure(|config| {
        config.policy.insert("store.modes".to_owned(), json!([]));
    }),
    Fault::new(
        "refuses-sessions",
        "F-141",
        &["DM-STORE-10", "DM-TRIG-01"],
        "Sessions with users who are offline are refused.",
    )
    .configure(|config| {
        config
            .policy
            .insert("store.modes".to_owned(), json!(["pager"]));
    }),
];
