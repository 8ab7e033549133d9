//! Small specifications of nobody's, read as a whole.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::catalogue::Catalogue;
use crate::draft::link::Links;

/// As a word processor saves it as text: no columns, one sign for all bullets, a line a paragraph.
pub(super) const LOCKERS: &str = "1 Reason for this text

Parcels shall not lie about.

2 Detailed proposal

4.1.1 Keeping

When a parcel arrives for a customer who is absent, the locker:

· SHALL, in case of a small parcel, keep the whole parcel including its paper.

· SHALL, in the case of a large parcel, keep the following

· Relevant facts of the parcel

· Weight

· Colour

· The time at which it came

· SHALL be able to mark the parcel with a limit:

· In case of a small parcel:

· If the parcel names a limit, the locker SHALL take that limit;

· If the parcel names no limit, the locker MAY take its own.

NOTE: The limit of a parcel SHALL be 24 hours, for example.
4.1.2 Emptying

If the limit is over, the locker SHOULD return the parcel. It MUST NOT burn it, and MAY tell the sender. The customer is to be told; he may complain.

3 Recommendation

The group is asked to agree. It SHALL do so.
";

fn read(text: &str) -> Draft {
    Draft::read("a.txt", text.as_bytes()).unwrap()
}

fn table(name: &str, octets: &[u8]) -> String {
    let draft = Draft::read(name, octets).unwrap();
    let catalogue = Catalogue::default();
    let links = Links::of(&draft.statements, &catalogue);
    anstream::adapter::strip_str(&render::table(&draft, &links)).to_string()
}

#[test]
fn statements_of_a_text_whose_bullets_lost_their_columns() {
    insta::assert_snapshot!(table("a.txt", LOCKERS.as_bytes()));
}

#[test]
fn actors_and_conditions() {
    let shown: Vec<String> = read(LOCKERS)
        .statements
        .iter()
        .map(|it| {
            let conditions: Vec<String> = it
                .conditions
                .iter()
                .map(|it| format!("{}{}", if it.inherited { "^" } else { "" }, it.text))
                .collect();
            let actor = it.actor.as_deref().unwrap_or("-");
            format!("{} | {actor} | {}", it.clause, conditions.join(" & "))
        })
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn statements_of_an_rfc_with_pages() {
    insta::assert_snapshot!(table(
        "rfc.txt",
        b"Lockers Working Group                              A. Author
Request for Comments: 0

                           Lockers

Table of Contents

   1. Introduction ............................ 2
   2. Doors ................................... 3

1.  Introduction

   The key words \"MUST\" and \"MAY\" are to be interpreted as described in
   RFC 2119.  A door MUST be seen.

2.  Doors

2.1.  Opening

   A door opens when its owner



Author                     Informational                   [Page 1]
\x0c
RFC 0                          Lockers                   November 2026


   comes.  If the owner enters the code, the door MUST open within five
   seconds, unless it is stuck.  The Door-
   Code header field MUST NOT be \"0\":

   o  It MAY be longer, but SHOULD NOT
      be a birthday.

      A second paragraph of the bullet, which MUST count.

      -  not of the owner,

      -  not of the owner's mother.

   o  Code = 1*DIGIT


Author                     Informational                   [Page 2]
\x0c
RFC 0                          Lockers                   November 2026

   Appendix of nothing.
"
    ));
}

#[test]
fn statements_of_other_formats() {
    let markdown = "# Lockers\n\n## Doors\n\nA door MUST\nopen:\n\n1. at once\n   - or\n2. later\n\n```\nMUST not count\n```\n\n## Examples (informative)\n\n### Deeper\n\nIt MAY sing.\n";
    let html = "<h2>4 Doors</h2><p>A door <em>MUST</em>:<ul><li>open<li>close</ul><p class=note>It MAY sing.";
    let all = [
        table("a.md", markdown.as_bytes()),
        table("a.html", html.as_bytes()),
        table("a.docx", &docx::tests::sample()),
    ];
    insta::assert_snapshot!(all.join("\n----\n"));
}

#[test]
fn white_space_numbers_and_typography_break_no_link() {
    let draft = read(LOCKERS);
    let text = render::skeleton(&draft);
    let source = Arc::new(Source::new("requirements.yaml", text));
    let catalogue = Catalogue::read(&[source]).unwrap();
    let moved = LOCKERS
        .replace("4.1.1", "7.2.1")
        .replace("4.1.2 Emptying", "7.2.1a Inserted\n\n7.2.2 Emptying")
        .replace('·', "•  ")
        .replace("limit is", "limit\u{a0}is")
        .replace('\n', "\r\n");
    let moved = read(&moved);
    let links = Links::of(&moved.statements, &catalogue);
    for (index, statement) in moved.statements.iter().enumerate() {
        assert_eq!(links.standing(index), link::Standing::Same, "{statement:?}");
    }
    assert!(links.gone.is_empty());
}

#[test]
fn a_changed_sentence_is_known_again_and_shown() {
    let source = Arc::new(Source::new(
        "requirements.yaml",
        render::skeleton(&read(LOCKERS)),
    ));
    let catalogue = Catalogue::read(&[source]).unwrap();
    let edited = LOCKERS
        .replace(
            "SHOULD return the parcel",
            "SHALL return the parcel to its sender",
        )
        .replace(
            "· SHALL, in case of a small parcel, keep the whole parcel including its paper.\n\n",
            "",
        )
        .replace(
            "4.1.2 Emptying\n",
            "4.1.2 Emptying\n\nThe locker MUST be dry.\n",
        );
    let draft = read(&edited);
    let links = Links::of(&draft.statements, &catalogue);
    let table = render::table(&draft, &links);
    insta::assert_snapshot!(anstream::adapter::strip_str(&table).to_string());
    insta::assert_snapshot!(format!(
        "{:#}",
        render::as_json(&draft, &links)["statements"][10]
    ));
}

#[test]
fn what_has_no_shape_is_read_all_the_same() {
    let plain = read("the server must answer. It SHALL NOT wait");
    assert_eq!(plain.statements.len(), 2);
    insta::assert_snapshot!(plain.assumptions.join("\n"), @"no heading was found: paragraphs and bullets are counted through the whole text");
    let none = read("4.1 Title\n\nNothing binds here.\n");
    insta::assert_snapshot!(none.assumptions.join("\n"), @"no key word in capital letters (MUST, SHALL, SHOULD, MAY) was found in a part that binds");
    let bullets = "1 Kinds\n\nThe server MUST:\n\n\t* one\n\t\t- two\n\t\t\to  three\n\t\t\t\t(a) four\n\t\t\t\t\t5) five\n\t* six\n";
    let places: Vec<String> = read(bullets)
        .statements
        .iter()
        .map(|it| it.clause.clone())
        .collect();
    assert_eq!(
        places,
        [
            "1 p1",
            "1 b1",
            "1 b1.1",
            "1 b1.1.1",
            "1 b1.1.1.1",
            "1 b1.1.1.1.1",
            "1 b2"
        ]
    );
    let returns = read(&LOCKERS.replace('\n', "\r"));
    assert_eq!(returns.statements, read(LOCKERS).statements);
}

#[test]
fn a_large_file_is_read() {
    let text = LOCKERS.repeat(2_000);
    let draft = read(&text);
    assert!(draft.statements.len() > 20_000);
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused(octets in proptest::collection::vec(any::<u8>(), 0..400), name in 0usize..4) {
        let _ = Draft::read(["a.txt", "a.md", "a.html", "a.docx"][name], &octets);
    }

    #[test]
    fn any_text_is_read(text in "(([#·*o-]|[0-9]\\.|NOTE:|If|SHALL|MAY|the|<li>|<p|&x;|\u{c}|ü|[.,:;()\"]| |\t|\r|\n|\n\n){0,60})", name in 0usize..3) {
        if let Ok(draft) = Draft::read(["a.txt", "a.md", "a.html"][name], text.as_bytes()) {
            for it in &draft.statements {
                prop_assert!(draft.source.text().get(it.span.clone()).is_some());
            }
            let catalogue = Catalogue::default();
            let links = Links::of(&draft.statements, &catalogue);
            let _ = render::table(&draft, &links);
            // A skeleton is a catalogue.
            let skeleton = Arc::new(Source::new("requirements.yaml", render::skeleton(&draft)));
            if !draft.statements.is_empty() {
                prop_assert!(Catalogue::read(&[skeleton]).is_ok());
            }
        }
    }
}
