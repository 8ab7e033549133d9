//! Regular expressions that stand in the code, compiled when they are first used.

use std::sync::OnceLock;

use regex::{Captures, Match, Regex};

/// One regular expression. One that is wrong matches nothing, and fails in any test that uses it.
#[derive(Debug)]
pub(super) struct Pattern {
    text: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// To stand in a `static`.
    pub(super) const fn new(text: &'static str) -> Self {
        Self {
            text,
            compiled: OnceLock::new(),
        }
    }

    fn regex(&self) -> Option<&Regex> {
        let compiled = self.compiled.get_or_init(|| Regex::new(self.text).ok());
        debug_assert!(compiled.is_some(), "{}", self.text);
        compiled.as_ref()
    }

    /// Whether it is somewhere in the text.
    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex().is_some_and(|regex| regex.is_match(text))
    }

    /// Where it is first.
    pub(super) fn find<'t>(&self, text: &'t str) -> Option<Match<'t>> {
        self.regex()?.find(text)
    }

    /// Everywhere.
    pub(super) fn find_iter<'t>(&self, text: &'t str) -> impl Iterator<Item = Match<'t>> {
        self.regex()
            .into_iter()
            .flat_map(|regex| regex.find_iter(text))
    }

    /// Its groups.
    pub(super) fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        self.regex()?.captures(text)
    }

    /// Its groups, everywhere.
    pub(super) fn captures_iter<'t>(&self, text: &'t str) -> impl Iterator<Item = Captures<'t>> {
        self.regex()
            .into_iter()
            .flat_map(|regex| regex.captures_iter(text))
    }
}
