//! All faults, border by border.

use std::sync::LazyLock;

use crate::{
    Fault, answers, composer, copies, guard, identity, leniency, message_ids, misreading, msrp,
    policy, reports, server, store, transport, unfinished,
};

/// All faults, in the order of the borders.
pub static FAULTS: LazyLock<Vec<Fault>> = LazyLock::new(|| {
    let borders: &[&[Fault]] = &[
        store::head::FAULTS,
        store::body::FAULTS,
        store::session::FAULTS,
        store::account::FAULTS,
        store::id::FAULTS,
        store::keeping::FAULTS,
        store::mark::FAULTS,
        store::ending::FAULTS,
        store::presence::FAULTS,
        message_ids::FAULTS,
        policy::FAULTS,
        composer::FAULTS,
        msrp::FAULTS,
        unfinished::FAULTS,
        reports::FAULTS,
        transport::FAULTS,
        copies::FAULTS,
        answers::FAULTS,
        leniency::FAULTS,
        misreading::FAULTS,
        identity::FAULTS,
        guard::FAULTS,
        server::FAULTS,
    ];
    borders.concat()
});

/// The fault of that name or id.
pub fn find(name: &str) -> Option<&'static Fault> {
    FAULTS
        .iter()
        .find(|fault| fault.name == name || fault.id.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_and_ids_are_unique_and_well_formed() {
        let mut seen = BTreeSet::new();
        for fault in FAULTS.iter() {
            assert!(seen.insert(fault.name), "{} twice", fault.name);
            assert!(seen.insert(fault.id), "{} twice", fault.id);
            let is_kebab = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(fault.name.chars().all(is_kebab), "{}", fault.name);
            assert!(
                fault.id.starts_with("M-") || fault.id.starts_with("F-"),
                "{}",
                fault.id
            );
            assert!(!fault.violates.is_empty(), "{}", fault.name);
            assert!(fault.about.ends_with('.'), "{}", fault.name);
        }
    }

    #[test]
    fn a_fault_is_found_by_name_and_by_id() {
        assert_eq!(find("drops-subject").map(|fault| fault.id), Some("M-001"));
        assert_eq!(find("m-001").map(|fault| fault.name), Some("drops-subject"));
        assert!(find("drops-everything").is_none());
    }
}
