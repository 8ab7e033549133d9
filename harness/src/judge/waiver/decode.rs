//! From the tree of a waiver file to its waivers, with every mistake that it holds.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::civil::Date;
use regex::Regex;

use super::Waiver;
use crate::catalogue::Catalogue;
use crate::catalogue::requirement::covered;
use crate::document::suggest::{closest, one_of};
use crate::document::{Diagnostic, Diagnostics, Fields, Key, Node, Source, Span, tree};
use crate::plan;
use crate::scenario::Scenario;

const FILE: [Key; 1] = [required("waivers")];

const WAIVER: [Key; 5] = [
    optional("requirement"),
    optional("case"),
    required("reason"),
    required("issue"),
    required("until"),
];

/// A rule of a base protocol is named by its clause.
static CLAUSE: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^RFC \d+ §\S+$").ok());

const fn required(name: &'static str) -> Key {
    Key {
        name,
        required: true,
    }
}

const fn optional(name: &'static str) -> Key {
    Key {
        name,
        required: false,
    }
}

/// Reads a waiver file.
pub(super) fn file(
    source: &Arc<Source>,
    scenarios: &[Arc<Scenario>],
    catalogue: &Catalogue,
) -> Result<Vec<Waiver>, Diagnostics> {
    let mut decoder = Decoder {
        source,
        scenarios,
        catalogue,
        diagnostics: Diagnostics::new(),
    };
    let waivers = match tree::parse(source) {
        Ok(root) => decoder.file(&root),
        Err(diagnostic) => {
            decoder.diagnostics.push(*diagnostic);
            Vec::new()
        }
    };
    if decoder.diagnostics.is_empty() {
        Ok(waivers)
    } else {
        Err(decoder.diagnostics)
    }
}

struct Decoder<'a> {
    source: &'a Arc<Source>,
    scenarios: &'a [Arc<Scenario>],
    catalogue: &'a Catalogue,
    diagnostics: Diagnostics,
}

/// An id, and where it stands.
type Named<'n> = Option<(&'n str, &'n Span)>;

impl<'a> Decoder<'a> {
    fn file(&mut self, root: &Node) -> Vec<Waiver> {
        let source = self.source;
        let Some(fields) = Fields::read(
            source,
            "a waiver file",
            &(0..0),
            root,
            &FILE,
            &mut self.diagnostics,
        ) else {
            return Vec::new();
        };
        let Some(node) = fields.get("waivers") else {
            return Vec::new();
        };
        let Some(list) = node.as_list() else {
            self.diagnostics.push(
                Diagnostic::error(
                    source,
                    &node.span,
                    format!("`waivers` is {}", node.describe()),
                )
                .expected("expected a list; `[]` where nothing is accepted"),
            );
            return Vec::new();
        };
        let mut seen: BTreeMap<(Option<&str>, Option<&str>), &Span> = BTreeMap::new();
        let mut waivers = Vec::with_capacity(list.len());
        for node in list {
            let about = (
                node.get("requirement").and_then(Node::as_text),
                node.get("case").and_then(Node::as_text),
            );
            if let (true, Some(first)) = (about != (None, None), seen.get(&about)) {
                self.diagnostics.push(
                    Diagnostic::error(source, &node.span, "the same is waived twice")
                        .expected("waived again here")
                        .related(source, first, "first waived here"),
                );
            } else {
                seen.insert(about, &node.span);
            }
            waivers.extend(self.waiver(node));
        }
        waivers
    }

    fn waiver(&mut self, node: &Node) -> Option<Waiver> {
        let fields = Fields::read(
            self.source,
            "a waiver",
            &node.span,
            node,
            &WAIVER,
            &mut self.diagnostics,
        )?;
        let requirement = self.optional(&fields, "requirement")?;
        let case = self.optional(&fields, "case")?;
        if requirement.is_none() && case.is_none() && fields.complete {
            self.diagnostics.push(
                Diagnostic::error(
                    self.source,
                    &node.span,
                    "a waiver names neither a requirement nor a case",
                )
                .expected("expected `requirement`, `case` or both"),
            );
        }
        let text = |name: &str| fields.get(name);
        let reason = text("reason").and_then(|node| self.text("reason", node));
        let issue = text("issue").and_then(|node| self.text("issue", node));
        let until = text("until").and_then(|node| self.date(node));
        let scope = self.scope(requirement, case);
        Some(Waiver {
            requirement: requirement.map(|(id, _)| id.to_owned()),
            case: case.map(|(id, _)| id.to_owned()),
            reason: reason?.to_owned(),
            issue: issue?.to_owned(),
            until: until?,
            at: self.source.location(node.span.start),
            scope: scope?,
        })
    }

    /// The outer `None` is a mistake.
    fn optional<'n>(&mut self, fields: &Fields<'n>, name: &'static str) -> Option<Named<'n>> {
        match fields.get(name) {
            None => Some(None),
            Some(node) => self.text(name, node).map(|text| Some((text, &node.span))),
        }
    }

    fn text<'n>(&mut self, name: &str, node: &'n Node) -> Option<&'n str> {
        let text = node.as_text().map(str::trim).filter(|it| !it.is_empty());
        if text.is_none() {
            self.diagnostics.push(
                Diagnostic::error(
                    self.source,
                    &node.span,
                    format!("`{name}` of a waiver is {}", empty_or(node)),
                )
                .expected("expected text"),
            );
        }
        text
    }

    fn date(&mut self, node: &Node) -> Option<Date> {
        let date = node.as_text().and_then(|text| text.trim().parse().ok());
        if date.is_none() {
            let written = node.as_text().unwrap_or_default();
            self.diagnostics.push(
                Diagnostic::error(
                    self.source,
                    &node.span,
                    format!("`until: {written}` is no date"),
                )
                .expected("expected the last day on which it holds, as in 2027-01-31"),
            );
        }
        date
    }

    /// The cases that could have a finding about these; `None` where an id does not exist.
    fn scope(&mut self, requirement: Named<'_>, case: Named<'_>) -> Option<Vec<String>> {
        let known = requirement.is_none_or(|(id, at)| self.is_requirement(id, at));
        let cases = match case {
            Some((id, at)) => self.cases(id, at),
            None => Some(self.scenarios.iter().map(|it| (it, case_ids(it))).collect()),
        };
        let cases = cases.filter(|_| known)?;
        let Some((id, at)) = requirement else {
            return Some(cases.into_iter().flat_map(|(_, ids)| ids).collect());
        };
        // A message may break a rule of a base protocol in any case.
        let anywhere = self.catalogue.get(id).is_none();
        let shows = |scenario: &Scenario| anywhere || covered(scenario).iter().any(|it| it == id);
        if let ([(scenario, _)], Some((name, _))) = (cases.as_slice(), case)
            && !shows(scenario)
        {
            let covers = covered(scenario);
            self.diagnostics.push(
                Diagnostic::error(
                    self.source,
                    at,
                    format!("nothing can be found about `{id}` in `{name}`"),
                )
                .expected(format!(
                    "{} covers {}",
                    scenario.id,
                    one_of(covers.iter().map(String::as_str)).replace(" or ", " and ")
                )),
            );
            return None;
        }
        let cases = cases.into_iter().filter(|(scenario, _)| shows(scenario));
        Some(cases.flat_map(|(_, ids)| ids).collect())
    }

    fn is_requirement(&mut self, id: &str, at: &Span) -> bool {
        let is_clause = |clause: &Regex| clause.is_match(id);
        if self.catalogue.get(id).is_some() || CLAUSE.as_ref().is_some_and(is_clause) {
            return true;
        }
        self.diagnostics.push(
            Diagnostic::error(self.source, at, format!("there is no requirement `{id}`"))
                .expected("expected an id of the catalogue, or a clause as in `RFC 3261 §8.1.1.7`")
                .meant(self.catalogue.closest(id)),
        );
        false
    }

    /// The cases that an id names, with their scenario.
    fn cases(&mut self, id: &str, at: &Span) -> Option<Vec<(&'a Arc<Scenario>, Vec<String>)>> {
        let name = id.split('[').next().unwrap_or(id);
        let scenarios = self.scenarios;
        let Some(scenario) = scenarios.iter().find(|it| it.id == name) else {
            let known = scenarios.iter().map(|it| it.id.as_str());
            self.diagnostics.push(
                Diagnostic::error(self.source, at, format!("there is no scenario `{name}`"))
                    .expected("expected the id of a scenario or of a case")
                    .meant(closest(name, known)),
            );
            return None;
        };
        let mut ids = case_ids(scenario);
        if id != name {
            if !ids.iter().any(|known| known == id) {
                let known = || ids.iter().map(String::as_str);
                let mut diagnostic =
                    Diagnostic::error(self.source, at, format!("there is no case `{id}`"))
                        .expected(format!("{name} has {}", one_of(known())));
                diagnostic = diagnostic.meant(closest(id, known()));
                self.diagnostics.push(diagnostic);
                return None;
            }
            ids.retain(|known| known == id);
        }
        Some(vec![(scenario, ids)])
    }
}

fn case_ids(scenario: &Scenario) -> Vec<String> {
    plan::case_ids(scenario).collect()
}

fn empty_or(node: &Node) -> &'static str {
    match node.as_text() {
        Some(_) => "empty",
        None => node.describe(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::read;
    use super::*;
    use crate::bundled;

    const FILE: &str = "waivers:\n  - requirement: DM-STORE-02\n    case: PG-06\n    reason: known\n    issue: https://example.org/1\n    until: 2027-01-31\n";

    fn of(text: &str) -> Result<Vec<Waiver>, String> {
        let catalogue = bundled::catalogue().unwrap();
        let suite = bundled::suite(&catalogue).unwrap();
        let source = Arc::new(Source::new("waivers.yaml", text));
        read(&source, &suite, &catalogue).map_err(|found| found.to_string())
    }

    fn one(text: &str) -> Waiver {
        of(text).unwrap().remove(0)
    }

    fn wrong(text: &str) -> String {
        of(text).unwrap_err()
    }

    #[test]
    fn a_waiver_fits_its_requirement_in_its_scenario_only() {
        let waiver = one(FILE);
        assert!(waiver.fits("DM-STORE-02", "PG-06", "PG-06[name=s]"));
        assert!(!waiver.fits("DM-STORE-03", "PG-06", "PG-06"));
        assert!(!waiver.fits("DM-STORE-02", "PG-05", "PG-05"));
        assert_eq!((waiver.at.line, waiver.at.column), (2, 5));
    }

    #[test]
    fn the_last_day_still_counts() {
        let waiver = one(FILE);
        assert!(!waiver.is_over("2027-01-31".parse().unwrap()));
        assert!(waiver.is_over("2027-02-01".parse().unwrap()));
    }

    #[test]
    fn its_scope_is_what_could_have_the_finding() {
        let by_case = one(FILE).scope;
        assert!(!by_case.is_empty() && by_case.iter().all(|id| id.starts_with("PG-06")));
        let by_requirement = one(&FILE.replace("    case: PG-06\n", "")).scope;
        assert!(by_requirement.len() > by_case.len());
        assert!(by_case.iter().all(|id| by_requirement.contains(id)));
        let by_clause = one(&FILE.replace("DM-STORE-02\n    case: PG-06", "RFC 3261 §8.1.1.7"));
        assert!(by_clause.scope.len() > by_requirement.len());
        let single = by_case.last().unwrap();
        let of_one = one(&FILE.replace("PG-06", &format!("\"{single}\""))).scope;
        assert_eq!(of_one, std::slice::from_ref(single));
    }

    #[test]
    fn it_survives_the_record() {
        let waiver = one(FILE);
        assert_eq!(Waiver::of_record(&waiver.record()), Some(waiver));
    }

    #[test]
    fn ids_that_do_not_exist_are_shown_with_a_suggestion() {
        insta::assert_snapshot!(wrong(&FILE.replace("DM-STORE-02", "DM-STORE-O2")));
        insta::assert_snapshot!(wrong(&FILE.replace("PG-06", "PG-O6")));
        insta::assert_snapshot!(wrong(&FILE.replace("PG-06", "\"PG-06[nam=s]\"")));
        insta::assert_snapshot!(wrong(&FILE.replace("DM-STORE-02", "DM-EXP-10")));
    }

    #[test]
    fn a_waiver_needs_what_it_is_about_a_reason_an_issue_and_a_real_date() {
        insta::assert_snapshot!(wrong(
            "waivers:\n  - { reason: known, issue: i, until: 2027-01-31 }\n  - { case: PG-01, reason: \"\", issue: [], until: soon }\n  - { case: PG-01, resaon: known, until: 2027-02-30 }\n"
        ));
        insta::assert_snapshot!(wrong("waivers: { case: PG-01 }\n"));
        insta::assert_snapshot!(wrong("waiver: []\n"));
    }

    #[test]
    fn a_file_may_accept_nothing() {
        assert_eq!(of("waivers: []\n").unwrap(), []);
    }
}
