//! Slips of language that may hide a meaning.

use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Rule, Weight};

static GRAMMAR: Rule = Rule {
    id: "grammar",
    weight: Weight::Editorial,
    why: "a reader who stumbles guesses",
};
static SPELLING: Rule = Rule {
    id: "spelling",
    weight: Weight::Editorial,
    why: "a reader who searches for the word does not find it",
};

pub(super) const RULES: &[&Rule] = &[&GRAMMAR, &SPELLING];

pub(super) fn find(page: &mut Page<'_>) {
    static ODD: Pattern = Pattern::new(
        r"\b(?:before|after|without|while) to be\b|\bas (?:specify|describe|define|mention)\b|\b[Tt]he (?:[A-Z]?[a-z]+ )?(?:[Uu]ser|[Ss]erver|[Cc]lient|[Pp]roxy|[Rr]ecipient|[Ss]ender|[Mm]essage) (?:come|go|send|receive|store|contain|have|arrive|return|expire)\b|\bbe meant (?:as )?[a-z]+ed\b",
    );
    static WORD: Pattern = Pattern::new(r"\b[A-Za-z]{4,}\b");
    static WHILE: Pattern =
        Pattern::new(r"\bas long as (?:\w+ ){1,4}(?:comes?|returns?|arrives?|registers?)\b");
    for place in page.anywhere(&ODD) {
        page.add(
            &GRAMMAR,
            &place.text.to_lowercase(),
            &place,
            format!("`{}` is no grammar", place.text),
        )
        .suggest("rewrite it");
    }
    for place in page.anywhere(&WHILE) {
        page.add(
            &GRAMMAR,
            "as long as",
            &place,
            format!("`{}`: a moment does not last", place.text),
        )
        .suggest("write `once`, or `provided that`");
    }
    for place in page.anywhere(&WORD) {
        let lower = place.text.to_lowercase();
        if let Some((_, right)) = facts::MISSPELT.iter().find(|(wrong, _)| *wrong == lower) {
            page.add(
                &SPELLING,
                &lower,
                &place,
                format!("`{}` is spelt `{right}`", place.text),
            )
            .suggest("correct it");
        }
    }
}
