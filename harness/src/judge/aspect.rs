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

    /// Those of `covers` for which a check of this aspect speaks.
    pub(super) fn speaks_for(self, covers: &[String], catalogue: &Catalogue) -> Vec<String> {
        let fitting: Vec<String> = covers
            .iter()
            .filter(|id| {
                catalogue
                    .get(id)
                    .is_none_or(|requirement| self.concerns(requirement.about))
            })
            .cloned()
            .collect();
        match self.own() {
            Some(own) if fitting.is_empty() => vec![own.to_owned()],
            _ => fitting,
        }
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
        assert_eq!(Aspect::Body.speaks_for(&covers, &catalogue), ["DM-DRV-05"]);
        assert_eq!(
            Aspect::StoredBody.speaks_for(&covers, &catalogue),
            ["DM-STORE-03"]
        );
        assert_eq!(Aspect::Arrival.speaks_for(&covers, &catalogue), covers);
        assert_eq!(Aspect::Any.speaks_for(&covers, &catalogue), covers);
    }

    #[test]
    fn a_lost_message_is_no_lost_header() {
        let catalogue = Catalogue::bundled().unwrap();
        let covers = ["DM-STORE-02", "DM-DRV-05"].map(String::from);
        assert_eq!(
            Aspect::Arrival.speaks_for(&covers, &catalogue),
            ["DM-DRV-01"]
        );
        assert_eq!(Aspect::Header.speaks_for(&covers, &catalogue), covers);
        assert_eq!(Aspect::Body.speaks_for(&covers, &catalogue), ["DM-DRV-05"]);
    }
}
