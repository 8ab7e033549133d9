//! What a user asked to run: ids, globs, requirements, PICS values.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::condition;
use crate::catalogue::Catalogue;
use crate::catalogue::requirement::covered;
use crate::document::suggest::closest;
use crate::scenario::{Matcher, Scenario};

/// What to run. The default is everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Any of these; everything where there is none.
    patterns: Vec<String>,
    /// All of these.
    pics: Vec<(String, String)>,
}

/// A selection that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionError {
    /// What is wrong.
    pub problem: String,
    /// What was perhaps meant.
    pub meant: Option<String>,
}

impl fmt::Display for SelectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SelectionError {}

impl Selection {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads what was typed: `PG-05`, `PG-*`, `PG-05[transport=tcp]`, `DM-STORE-02`; and PICS values as
    /// `policy.expired=delete`. A word that selects nothing is an error: a mistyped id must not pass for a
    /// run without failures.
    pub fn parse(
        patterns: &[String],
        pics: &[String],
        scenarios: &[Arc<Scenario>],
        catalogue: &Catalogue,
    ) -> Result<Self, SelectionError> {
        for pattern in patterns {
            let one = Self {
                patterns: vec![pattern.clone()],
                pics: Vec::new(),
            };
            if !scenarios.iter().any(|scenario| one.wants(scenario)) {
                return Err(one.nothing(pattern, scenarios, catalogue));
            }
        }
        let mut pairs = Vec::with_capacity(pics.len());
        for pair in pics {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(SelectionError {
                    problem: format!(
                        "`{pair}` is no PICS value; write KEY=VALUE, as in policy.expired=delete"
                    ),
                    meant: None,
                });
            };
            let keys = || {
                scenarios
                    .iter()
                    .flat_map(|s| &s.when)
                    .map(|(key, _)| key.as_str())
            };
            if !keys().any(|known| known == key) {
                return Err(SelectionError {
                    problem: format!("no scenario depends on the PICS key `{key}`"),
                    meant: closest(key, keys()).map(str::to_owned),
                });
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
        Ok(Self {
            patterns: patterns.to_vec(),
            pics: pairs,
        })
    }

    /// What gave these [`Self::words`], whether this suite has all of it or not.
    pub fn of_words(words: &[String]) -> Self {
        let mut again = Self::default();
        for word in words {
            match word.split_once('=') {
                // `=` stands in the id of a case, too, but only behind a bracket.
                Some((key, value)) if !key.contains('[') => {
                    again.pics.push((key.to_owned(), value.to_owned()));
                }
                _ => again.patterns.push(word.clone()),
            }
        }
        again
    }

    fn nothing(
        &self,
        pattern: &str,
        scenarios: &[Arc<Scenario>],
        catalogue: &Catalogue,
    ) -> SelectionError {
        let known_requirement = catalogue.get(&pattern.to_ascii_uppercase()).is_some();
        let problem = if known_requirement {
            format!("no scenario covers `{pattern}`")
        } else {
            format!("`{pattern}` selects no scenario")
        };
        let ids = scenarios
            .iter()
            .map(|s| s.id.as_str())
            .chain(catalogue.iter().map(|r| r.id.as_str()));
        let meant = if known_requirement {
            None
        } else {
            closest(pattern, ids).map(str::to_owned)
        };
        debug_assert!(!self.patterns.is_empty(), "called for a pattern");
        SelectionError { problem, meant }
    }

    /// What was asked for, in an order of its own.
    pub fn words(&self) -> Vec<String> {
        let pics = self
            .pics
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        let mut words: Vec<String> = self.patterns.iter().cloned().chain(pics).collect();
        words.sort();
        words.dedup();
        words
    }

    /// Whether some case of a scenario may be wanted.
    pub fn wants(&self, scenario: &Scenario) -> bool {
        let by_name = self.patterns.is_empty()
            || self.patterns.iter().any(|pattern| {
                let of_scenario = pattern.split('[').next().unwrap_or_default();
                glob(of_scenario, &scenario.id)
                    || covered(scenario).iter().any(|id| glob(pattern, id))
            });
        by_name
            && (self.pics.is_empty()
                || scenario
                    .all_conditions()
                    .iter()
                    .any(|when| self.depends(when)))
    }

    /// Whether conditions ask for all PICS values of the selection.
    fn depends(&self, when: &[(String, Matcher)]) -> bool {
        self.pics.iter().all(|(key, value)| {
            let value = Value::String(value.clone());
            when.iter().any(|(known, matcher)| {
                known == key && condition::holds(key, matcher, Some(&value))
            })
        })
    }

    /// Whether a case is wanted; `when` are its conditions.
    pub fn wants_case(&self, scenario: &Scenario, id: &str, when: &[(String, Matcher)]) -> bool {
        self.depends(when)
            && (self.patterns.is_empty()
                || self.patterns.iter().any(|pattern| {
                    glob(pattern, &scenario.id)
                        || glob(pattern, id)
                        || covered(scenario)
                            .iter()
                            .any(|requirement| glob(pattern, requirement))
                }))
    }
}

/// `*` is any text, `?` any character; case does not matter.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().flat_map(char::to_lowercase).collect();
    let text: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match star {
                // The last star takes one character more.
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::scenario::{Known, load};

    fn suite() -> Vec<Arc<Scenario>> {
        [("PG-05", "[DM-STORE-02]", ""), ("PG-06", "[DM-DRV-05]", ""), ("PO-01", "[DM-POL-02]", "when: { policy.expired: delete }\n")]
            .into_iter()
            .map(|(id, covers, when)| {
                let text = format!(
                    "id: {id}\ntitle: t\npurpose: p\ncovers: {covers}\n{when}users: {{ a: online }}\nmatrix: {{ t: [udp, tcp] }}\nsteps: [{{ register: {{ user: a, transport: \"${{t}}\" }} }}]\n"
                );
                Arc::new(load::load_str(&text, &format!("{id}.yaml"), &Known::anything()).unwrap())
            })
            .collect()
    }

    fn selected(patterns: &[&str], pics: &[&str]) -> Result<Vec<String>, String> {
        let suite = suite();
        let own = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        let selection = Selection::parse(
            &own(patterns),
            &own(pics),
            &suite,
            &Catalogue::bundled().unwrap(),
        )
        .map_err(|error| error.to_string())?;
        let mut ids = Vec::new();
        for scenario in &suite {
            for transport in ["udp", "tcp"] {
                let id = format!("{}[t={transport}]", scenario.id);
                if selection.wants(scenario) && selection.wants_case(scenario, &id, &scenario.when)
                {
                    ids.push(id);
                }
            }
        }
        Ok(ids)
    }

    #[test]
    fn ids_globs_requirements_and_pics() {
        assert_eq!(selected(&[], &[]).unwrap().len(), 6);
        assert_eq!(
            selected(&["pg-05"], &[]).unwrap(),
            ["PG-05[t=udp]", "PG-05[t=tcp]"]
        );
        assert_eq!(selected(&["PG-*"], &[]).unwrap().len(), 4);
        assert_eq!(selected(&["PG-05[t=tcp]"], &[]).unwrap(), ["PG-05[t=tcp]"]);
        assert_eq!(selected(&["*[t=tcp]"], &[]).unwrap().len(), 3);
        assert_eq!(selected(&["DM-STORE-02", "PO-??"], &[]).unwrap().len(), 4);
        assert_eq!(selected(&[], &["policy.expired=delete"]).unwrap().len(), 2);
        assert_eq!(selected(&[], &["policy.expired=deliver"]).unwrap().len(), 0);
    }

    #[test]
    fn what_selects_nothing_is_an_error() {
        insta::assert_snapshot!(selected(&["PG-O5"], &[]).unwrap_err(), @"`PG-O5` selects no scenario; did you mean `PG-05`?");
        insta::assert_snapshot!(selected(&["DM-MID-01"], &[]).unwrap_err(), @"no scenario covers `DM-MID-01`");
        insta::assert_snapshot!(selected(&[], &["policy.expird=x"]).unwrap_err(), @"no scenario depends on the PICS key `policy.expird`; did you mean `policy.expired`?");
        insta::assert_snapshot!(selected(&[], &["policy.expired"]).unwrap_err(), @"`policy.expired` is no PICS value; write KEY=VALUE, as in policy.expired=delete");
    }

    #[test]
    fn globs() {
        assert!(glob("*", ""));
        assert!(glob("a*c*e", "abcde"));
        assert!(!glob("a*c*e", "abcd"));
        assert!(glob("a**", "A"));
        assert!(!glob("", "a"));
    }
}
