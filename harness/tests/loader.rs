//! The loader takes any text: it says what is wrong, and never breaks.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::LazyLock;

use imspec::scenario::{Known, ScenarioFile, load};
use proptest::prelude::*;

static KNOWN: LazyLock<Known> = LazyLock::new(Known::bundled);

/// Scenarios that use most of the language.
static TEXTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ScenarioFile::bundled()
        .into_iter()
        .map(|file| file.text)
        .chain([include_str!("sessions/MS-01.yaml").to_owned()])
        .collect()
});

fn look_at(text: String) -> imspec::document::Diagnostics {
    let file = ScenarioFile {
        name: "PG-01.yaml".to_owned(),
        text,
        files: load::Files::None,
    };
    let (_, diagnostics) = load::check(&file, &KNOWN);
    // Rendering walks over every span.
    assert_eq!(diagnostics.is_empty(), diagnostics.to_string().is_empty());
    diagnostics
}

/// Words that mean something somewhere, put where they mean nothing.
const WORDS: [&str; 28] = [
    "- repeat: { times: 1000, steps: [] }\n",
    "${n}",
    "${",
    "}",
    "$${",
    "${bob.uri}",
    "${all(m).mark}",
    ": ",
    "\n",
    "  ",
    "*a",
    "&a ",
    "[",
    "{",
    "~",
    "|\n",
    "- when:\n",
    "same-as: sent",
    "'",
    "\"",
    "!!int ",
    "<<: ",
    "${random.text(9)}",
    "é\u{0}",
    "- msrp: { session: call, continues: ",
    "octets: 1-${",
    "absent",
    "18446744073709551615GiB",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text(text in "\\PC{0,300}") {
        let diagnostics = look_at(text);
        prop_assert!(diagnostics.errors() > 0);
    }

    #[test]
    fn any_edit_of_a_good_scenario(
        which in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..30, 0..WORDS.len()), 1..4),
    ) {
        let mut chars: Vec<char> = which.get(TEXTS.as_slice()).chars().collect();
        for (at, cut, word) in edits {
            let at = at.index(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, WORDS[word].chars());
        }
        look_at(chars.into_iter().collect());
    }

    #[test]
    fn any_line_left_out_of_a_good_scenario(which in any::<prop::sample::Index>(), line in any::<prop::sample::Index>()) {
        let lines: Vec<&str> = which.get(TEXTS.as_slice()).lines().collect();
        let line = line.index(lines.len());
        let text: Vec<&str> = lines.iter().enumerate().filter(|(n, _)| *n != line).map(|(_, l)| *l).collect();
        look_at(text.join("\n"));
    }
}

proptest! {
    #[test]
    fn any_edit_of_a_session(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..40, 0..WORDS.len()), 1..4),
    ) {
        let mut chars: Vec<char> = include_str!("sessions/MS-01.yaml").chars().collect();
        for (at, cut, word) in edits {
            let at = at.index(chars.len());
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, WORDS[word].chars());
        }
        look_at(chars.into_iter().collect());
    }
}

#[test]
fn steps_that_multiply_are_stopped() {
    let mut steps = "- register: bob".to_owned();
    for level in 0..5 {
        let inner = steps.replace('\n', "\n      ");
        steps = format!("- repeat:\n    times: 1000\n    as: n{level}\n    steps:\n      {inner}");
    }
    let text = format!(
        "id: PG-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nusers: {{ bob: online }}\nsteps:\n  {}\n",
        steps.replace('\n', "\n  ")
    );
    let diagnostics = look_at(text);
    assert!(
        diagnostics.iter().any(|d| d.title == "too many steps"),
        "{diagnostics}"
    );
}

#[test]
fn texts_that_grow_are_stopped() {
    use std::fmt::Write as _;
    let mut matrix = "  v0: [xxxxxxxxxx]\n".to_owned();
    for n in 1..8 {
        let ten = format!("${{v{}}}", n - 1).repeat(50);
        writeln!(matrix, "  v{n}: [\"{ten}\"]").unwrap();
    }
    let text = format!(
        "id: PG-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nusers: {{ bob: online }}\nmatrix:\n{matrix}steps:\n  - message: {{ from: bob, to: bob, body: \"${{v7}}\" }}\n"
    );
    let diagnostics = look_at(text);
    assert!(
        diagnostics
            .iter()
            .any(|d| d.title == "the text grows too long"),
        "{diagnostics}"
    );
}
