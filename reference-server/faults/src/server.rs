//! Faults that are a setting of the server, which contradicts what it shows.

use serde_json::json;

use crate::fault::Fault;

pub(crate) const FAULTS: &[Fault] = &[
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
