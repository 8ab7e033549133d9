//! What a scenario may refer to beyond itself: requirements and PICS keys.

use std::collections::BTreeSet;

use crate::catalogue::{Catalogue, PicsKey, PicsKeys};
use crate::document::suggest::closest;

/// Names that a scenario may use. What is not known is not checked.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Known {
    requirements: Option<BTreeSet<String>>,
    pics: Option<PicsKeys>,
}

impl Known {
    /// Checks ids against a catalogue and keys against the table of PICS keys.
    pub fn new(catalogue: &Catalogue, pics: &PicsKeys) -> Self {
        Self {
            requirements: Some(catalogue.iter().map(|r| r.id.clone()).collect()),
            pics: Some(pics.clone()),
        }
    }

    /// Everything that this build brings along.
    pub fn bundled() -> Self {
        Self {
            requirements: Catalogue::bundled()
                .ok()
                .map(|catalogue| catalogue.iter().map(|r| r.id.clone()).collect()),
            pics: PicsKeys::bundled().ok(),
        }
    }

    /// Checks no names.
    pub fn anything() -> Self {
        Self::default()
    }

    /// Ids of all requirements, in the order of the alphabet.
    pub fn requirements(&self) -> impl Iterator<Item = &str> {
        self.requirements.iter().flatten().map(String::as_str)
    }

    /// All PICS keys, in the order of the table.
    pub fn pics(&self) -> impl Iterator<Item = &PicsKey> {
        self.pics.iter().flat_map(PicsKeys::iter)
    }

    pub(super) fn has_requirement(&self, id: &str) -> bool {
        self.requirements
            .as_ref()
            .is_none_or(|known| known.contains(id))
    }

    pub(super) fn closest_requirement(&self, id: &str) -> Option<&str> {
        closest(id, self.requirements())
    }

    pub(super) fn has_pics_key(&self, key: &str) -> bool {
        self.pics
            .as_ref()
            .is_none_or(|known| known.get(key).is_some())
    }

    pub(super) fn pics_key(&self, key: &str) -> Option<&PicsKey> {
        self.pics.as_ref()?.get(key)
    }

    pub(super) fn closest_pics_key(&self, key: &str) -> Option<&str> {
        closest(key, self.pics().map(|pics| pics.key.as_str()))
    }
}
