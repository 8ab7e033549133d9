//! Reports on disk: all of them, complete, and readable again.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../examples/sample/record.rs"]
mod sample;

use std::fs;

use imspec_reports::{FILES, json, write_all};

#[test]
fn writes_every_report_and_replaces_older_ones() {
    let dir = std::env::temp_dir().join(format!("imspec-reports-{}", std::process::id()));
    let inner = dir.join("a/b");
    let record = sample::record();
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("run.json"), "old").unwrap();
    let paths = write_all(&record, &inner).unwrap();
    let names: Vec<_> = paths
        .iter()
        .map(|p| p.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, FILES);
    let read = fs::read_to_string(&paths[0]).unwrap();
    assert_eq!(json::from_str(&read).unwrap(), record);
    // Nothing half-written is left beside them.
    assert_eq!(fs::read_dir(&inner).unwrap().count(), FILES.len());
    fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn says_which_path_cannot_be_written() {
    let file = std::env::temp_dir().join(format!("imspec-reports-file-{}", std::process::id()));
    fs::write(&file, "").unwrap();
    let error = write_all(&sample::interrupted(), &file.join("x")).unwrap_err();
    assert!(
        error.to_string().contains(file.to_str().unwrap()),
        "{error}"
    );
    fs::remove_file(&file).unwrap();
}
