//! Every mistake that a scenario can hold, as the author sees it: one file a subject, one snapshot a file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use imspec::scenario::{Known, ScenarioFile, load};

/// All files of the folder, as a suite of one file each.
#[test]
fn every_mistake_is_told_with_its_place() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "yaml"))
        .collect();
    names.sort();
    assert!(names.len() > 20);
    let known = Known::bundled();
    for name in names {
        let mut file = ScenarioFile::read(&folder.join(&name)).unwrap();
        // The snapshot is the same wherever the project lies.
        "PG-01.yaml".clone_into(&mut file.name);
        let (_, diagnostics) = load::check(&file, &known);
        assert!(!diagnostics.is_empty(), "{name} has no mistake");
        insta::assert_snapshot!(name.trim_end_matches(".yaml"), diagnostics);
    }
}

#[test]
fn two_files_may_not_share_an_id() {
    let scenario = "id: PG-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nusers: { bob: online }\nsteps: [{ register: bob }]\n";
    let files = ["a/PG-01.yaml", "b/PG-01.yaml"].map(|name| ScenarioFile {
        name: name.to_owned(),
        text: scenario.to_owned(),
        files: load::Files::None,
    });
    let diagnostics = load::load_suite(&files, &Known::bundled()).unwrap_err();
    insta::assert_snapshot!(diagnostics);
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let diagnostics = ScenarioFile::read_all(&[Path::new("no/such/file.yaml")]).unwrap_err();
    assert!(
        diagnostics
            .to_string()
            .starts_with("error: no/such/file.yaml: "),
        "{diagnostics}"
    );
}

#[test]
fn colours_are_there_if_asked() {
    let file = ScenarioFile {
        name: "PG-01.yaml".to_owned(),
        text: "id: 5".to_owned(),
        files: load::Files::None,
    };
    let (_, diagnostics) = load::check(&file, &Known::bundled());
    assert!(diagnostics.render(true).contains("\u{1b}["));
    assert!(!diagnostics.render(false).contains("\u{1b}["));
}
