//! What the text refers to.

use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Rule, Weight};

static LAPSED: Rule = Rule {
    id: "internet-draft",
    weight: Weight::Editorial,
    why: "an Internet-Draft lapses after six months and may change until then: nobody can be held to it",
};
static OBSOLETE: Rule = Rule {
    id: "obsolete-rfc",
    weight: Weight::Editorial,
    why: "implementers read the newer one, which may ask for something else",
};

pub(super) const RULES: &[&Rule] = &[&LAPSED, &OBSOLETE];

pub(super) fn find(page: &mut Page<'_>) {
    static DRAFT: Pattern = Pattern::new(r"\bdraft-[a-z][a-z0-9]*(?:-[a-z0-9]+)+\b");
    static RFC: Pattern = Pattern::new(r"\bRFC[ -]?(\d{3,5})\b");
    for place in page.in_statements(&DRAFT) {
        let stem = place
            .text
            .trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        let known = facts::PUBLISHED.iter().find(|(draft, _)| *draft == stem);
        let suggestion = match known {
            Some((_, rfc)) => format!(
                "refer to RFC {rfc}, which it became, and check that it still says what is meant"
            ),
            None => "refer to the RFC that it became".to_owned(),
        };
        page.add(
            &LAPSED,
            stem,
            &place,
            format!("a statement rests on `{}`", place.text),
        )
        .suggest(suggestion);
    }
    for place in page.in_statements(&RFC) {
        let number: u32 = place
            .text
            .trim_start_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .unwrap_or(0);
        if let Some((_, newer)) = facts::OBSOLETED.iter().find(|(old, _)| *old == number) {
            page.add(
                &OBSOLETE,
                &place.text,
                &place,
                format!("RFC {number} is obsolete"),
            )
            .suggest(format!("refer to RFC {newer}"));
        }
    }
}
