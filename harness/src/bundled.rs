//! What this build brings along, ready to use: the catalogue and the suite.

use std::path::Path;
use std::sync::Arc;

use crate::catalogue::{Catalogue, PicsKeys};
use crate::document::{Diagnostics, Source};
use crate::scenario::load::{self, ScenarioFile};
use crate::scenario::{Known, Scenario};
use crate::sut::Profile;

/// The requirements and the rules of the base protocols.
pub fn catalogue() -> Result<Catalogue, Diagnostics> {
    Catalogue::bundled()
}

/// The bundled scenarios, in the order of ids.
pub fn suite(catalogue: &Catalogue) -> Result<Vec<Arc<Scenario>>, Diagnostics> {
    load::load_suite(&ScenarioFile::bundled(), &known(catalogue)?)
}

/// The scenarios of a file or folder, in the order of ids; without one the bundled ones.
pub fn suite_in(
    path: Option<&Path>,
    catalogue: &Catalogue,
) -> Result<Vec<Arc<Scenario>>, Diagnostics> {
    match path {
        None => suite(catalogue),
        Some(path) => load::load_suite(&ScenarioFile::read_all(&[path])?, &known(catalogue)?),
    }
}

/// The profile of the reference server: starts this very binary with `serve`.
pub fn reference_profile() -> Result<Profile, Diagnostics> {
    const NAME: &str = "profiles/reference/profile.yaml";
    let text = crate::embedded::text(NAME).unwrap_or_default();
    Profile::read(
        Source::new(format!("scenarios/{NAME}"), text),
        Path::new("."),
    )
}

fn known(catalogue: &Catalogue) -> Result<Known, Diagnostics> {
    Ok(Known::new(catalogue, &PicsKeys::bundled()?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn everything_that_is_bundled_is_right() {
        let files = ScenarioFile::bundled();
        let (scenarios, diagnostics) =
            load::check_suite(&files, &known(&catalogue().unwrap()).unwrap());
        assert!(diagnostics.is_empty(), "{diagnostics}");
        assert_eq!(scenarios.len(), files.len());
    }
}
