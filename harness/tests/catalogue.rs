//! docs/catalogue.md says where each test of the research catalogue is: no scenario without its line, no line
//! without its scenario.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use imspec::embedded;

/// Title of each test in the document; a dash where there is no scenario.
fn rows() -> Vec<(String, String, String)> {
    include_str!("../../docs/catalogue.md")
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let (id, title, note) = (cells.next()?, cells.next()?, cells.next()?);
            let (group, number) = id.split_once('-')?;
            let is_test = group.len() == 2 && number.bytes().all(|octet| octet.is_ascii_digit());
            let note = note.trim_end_matches('|').trim();
            is_test.then(|| (id.to_owned(), title.to_owned(), note.to_owned()))
        })
        .collect()
}

/// Title of each scenario, those that are no part of the suite included.
fn scenarios() -> BTreeMap<String, String> {
    let large = embedded::below("large/")
        .filter(|(path, _)| {
            Path::new(path)
                .extension()
                .is_some_and(|kind| kind == "yaml")
        })
        .filter_map(|(_, octets)| std::str::from_utf8(octets).ok());
    embedded::scenarios()
        .map(|(_, text)| text)
        .chain(large)
        .map(|text| {
            let value = |key: &str| {
                let line = text.lines().find_map(|line| line.strip_prefix(key));
                line.unwrap().trim().trim_matches('"').to_owned()
            };
            (value("id: "), value("title: "))
        })
        .collect()
}

#[test]
fn every_scenario_has_its_line_and_every_line_its_scenario() {
    let scenarios = scenarios();
    let mut seen = BTreeSet::new();
    for (id, title, note) in rows() {
        match scenarios.get(&id) {
            Some(known) => assert_eq!(*known, title, "the title of {id} in docs/catalogue.md"),
            None => {
                assert_eq!(title, "–", "docs/catalogue.md names a scenario {id}");
                assert!(
                    !note.is_empty(),
                    "docs/catalogue.md does not say why there is no {id}"
                );
            }
        }
        assert!(seen.insert(id.clone()), "docs/catalogue.md has {id} twice");
    }
    let missing: Vec<&String> = scenarios.keys().filter(|id| !seen.contains(*id)).collect();
    assert!(missing.is_empty(), "not in docs/catalogue.md: {missing:?}");
}

#[test]
fn the_numbers_of_a_group_have_no_gaps() {
    let mut groups: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (id, ..) in rows() {
        let (group, number) = id.split_once('-').unwrap();
        let numbers = groups.entry(group.to_owned()).or_default();
        numbers.push(number.parse().unwrap());
    }
    for (group, numbers) in groups {
        let whole: Vec<u32> = (1..=numbers.last().copied().unwrap()).collect();
        assert_eq!(numbers, whole, "the lines of {group} in docs/catalogue.md");
    }
}
