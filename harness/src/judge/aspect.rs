//! What a check looks at, and for which of a scenario's requirements it can speak.
//!
//! A scenario about expiry that finds a damaged body has not found a wrong expiry. A check that names no
//! requirements of its own therefore speaks only for those of the scenario that are *about* what it looked
//! at; where there is none, for the one that its subject always concerns.

use crate::catalogue::{About, Catalogue};

/// What a check looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aspect {
    /// Whether a message came to its recipient, or did not.
    Arrival,
    /// Whether a record waits, or does not.
    Presence,
    /// Header field or Request-URI of what was delivered.
    Header,
    /// Body of what was delivered.
    Body,
    /// Header field or Request-URI of what is stored.
    StoredHeader,
    /// Body of what is stored.
    StoredBody,
    /// The Message-ID of a record.
    MessageId,
    /// Whether a record of a session waits, or does not.
    SessionPresence,
    /// What is kept of the INVITE of a session.
    StoredInvite,
    /// What is kept of the 200 to it.
    StoredOk,
    /// What is kept of the SEND and its body.
    StoredSend,
    /// What is kept of the BYE.
    StoredBye,
    /// When a message of a session is said to have come.
    ReceiptTime,
    /// Anything else: all that the scenario covers.
    Any,
}

/// Whether a case saw the content of stored messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Store {
    /// Then the store itself tells what was stored, and a delivery only what was delivered.
    Seen,
    /// Then a delivery is all there is to tell what was stored.
    Hidden,
}

impl Aspect {
    fn concerns(self, about: About) -> bool {
        match self {
            Self::Any => true,
            Self::Arrival | Self::Presence | Self::SessionPresence => about == About::Behaviour,
            // A delivery shows what was kept of the session's start, and of the SEND.
            Self::Header => matches!(
                about,
                About::Content | About::Headers | About::SessionStart | About::Send
            ),
            Self::StoredHeader => matches!(about, About::Content | About::Headers),
            Self::Body => matches!(about, About::Content | About::Bodies | About::Send),
            Self::StoredBody => matches!(about, About::Content | About::Bodies),
            Self::MessageId => about == About::MessageId,
            Self::StoredInvite => matches!(about, About::Content | About::SessionStart),
            Self::StoredOk => matches!(about, About::Content | About::SessionAnswer),
            Self::StoredSend => matches!(about, About::Content | About::Bodies | About::Send),
            Self::StoredBye => matches!(about, About::Content | About::SessionEnd),
            Self::ReceiptTime => about == About::ReceiptTime,
        }
    }

    /// The requirement that a failure always concerns.
    fn own(self) -> Option<&'static str> {
        match self {
            Self::Arrival => Some("DM-DRV-01"),
            Self::Presence => Some("DM-STORE-01"),
            Self::Header | Self::Body => Some("DM-DRV-05"),
            Self::StoredHeader => Some("DM-STORE-02"),
            Self::StoredBody => Some("DM-STORE-03"),
            Self::MessageId => Some("DM-MID-01"),
            // The five names of the start are told apart by requirement; the group stands for any other.
            Self::SessionPresence | Self::StoredInvite => Some("DM-STORE-10"),
            Self::StoredOk => Some("DM-STORE-16"),
            Self::StoredSend => Some("DM-STORE-18"),
            Self::StoredBye => Some("DM-STORE-21"),
            Self::ReceiptTime => Some("DM-STORE-19"),
            Self::Any => None,
        }
    }

    /// Those of the scenario's requirements for which a check of this aspect speaks. `store`: what it knows
    /// of the store.
    pub(super) fn speaks_for(
        self,
        covers: &[String],
        catalogue: &Catalogue,
        store: Store,
    ) -> Vec<String> {
        let fitting = self.fitting(covers, catalogue, store);
        match self.own() {
            Some(own) if fitting.is_empty() => vec![own.to_owned()],
            _ => fitting,
        }
    }

    /// The same of requirements that the step itself names: if none fits, the author meant them all.
    pub(super) fn speaks_for_own(
        self,
        covers: &[String],
        catalogue: &Catalogue,
        store: Store,
    ) -> Vec<String> {
        let fitting = self.fitting(covers, catalogue, store);
        if fitting.is_empty() {
            covers.to_vec()
        } else {
            fitting
        }
    }

    fn fitting(self, covers: &[String], catalogue: &Catalogue, store: Store) -> Vec<String> {
        let delivered = matches!(self, Self::Header | Self::Body);
        covers
            .iter()
            .filter(|id| {
                catalogue.get(id).is_none_or(|requirement| {
                    self.concerns(requirement.about)
                        && !(delivered && store == Store::Seen && requirement.is_of_storage())
                })
            })
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_part_of_a_session_is_blamed_on_its_own_requirement() {
        let catalogue = Catalogue::bundled().unwrap();
        let covers: Vec<String> = [11, 16, 18, 19, 20, 21]
            .map(|n| format!("DM-STORE-{n}"))
            .into();
        let of = |aspect: Aspect| aspect.speaks_for(&covers, &catalogue, Store::Seen);
        assert_eq!(of(Aspect::StoredInvite), ["DM-STORE-11"]);
        assert_eq!(of(Aspect::StoredOk), ["DM-STORE-16"]);
        assert_eq!(of(Aspect::StoredSend), ["DM-STORE-18"]);
        assert_eq!(of(Aspect::ReceiptTime), ["DM-STORE-19"]);
        assert_eq!(of(Aspect::SessionPresence), ["DM-STORE-20"]);
        assert_eq!(of(Aspect::StoredBye), ["DM-STORE-21"]);
        assert_eq!(
            Aspect::StoredOk.speaks_for(&["DM-EXP-20".into()], &catalogue, Store::Seen),
            ["DM-STORE-16"]
        );
    }

    #[test]
    fn a_damaged_body_is_no_wrong_expiry() {
        let catalogue = Catalogue::bundled().unwrap();
        let covers = ["DM-EXP-10", "DM-DEF-03"].map(String::from);
        assert_eq!(
            Aspect::Body.speaks_for(&covers, &catalogue, Store::Hidden),
            ["DM-DRV-05"]
        );
        assert_eq!(
            Aspect::StoredBody.speaks_for(&covers, &catalogue, Store::Hidden),
            ["DM-STORE-03"]
        );
        assert_eq!(
            Aspect::Arrival.speaks_for(&covers, &catalogue, Store::Hidden),
            covers
        );
        assert_eq!(
            Aspect::Any.speaks_for(&covers, &catalogue, Store::Hidden),
            covers
        );
    }

    #[test]
    fn a_lost_message_is_no_lost_header() {
        let catalogue = Catalogue::bundled().unwrap();
        let covers = ["DM-STORE-02", "DM-DRV-05"].map(String::from);
        assert_eq!(
            Aspect::Arrival.speaks_for(&covers, &catalogue, Store::Hidden),
            ["DM-DRV-01"]
        );
        assert_eq!(
            Aspect::Header.speaks_for(&covers, &catalogue, Store::Hidden),
            covers
        );
        assert_eq!(
            Aspect::Body.speaks_for(&covers, &catalogue, Store::Hidden),
            ["DM-DRV-05"]
        );
    }

    #[test]
    fn where_the_store_is_seen_a_delivery_tells_only_what_was_delivered() {
        let catalogue = Catalogue::bundled().unwrap();
        let covers = ["DM-STORE-03", "DM-DRV-05"].map(String::from);
        let of = |aspect: Aspect, store| aspect.speaks_for(&covers, &catalogue, store);
        assert_eq!(of(Aspect::Body, Store::Seen), ["DM-DRV-05"]);
        assert_eq!(of(Aspect::Body, Store::Hidden), covers);
        assert_eq!(of(Aspect::StoredBody, Store::Seen), covers);
    }

    #[test]
    fn requirements_that_a_step_names_are_filtered_but_never_replaced() {
        let catalogue = Catalogue::bundled().unwrap();
        let of = |ids: &[&str]| {
            let covers: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
            Aspect::Header.speaks_for_own(&covers, &catalogue, Store::Hidden)
        };
        assert_eq!(of(&["DM-STORE-03", "DM-STORE-04"]), ["DM-STORE-04"]);
        assert_eq!(of(&["DM-EXP-10"]), ["DM-EXP-10"]);
    }
}
