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
            Self::Arrival | Self::Presence => about == About::Behaviour,
            Self::Header | Self::StoredHeader => matches!(about, About::Content | About::Headers),
            Self::Body | Self::StoredBody => matches!(about, About::Content | About::Bodies),
            Self::MessageId => about == About::MessageId,
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
