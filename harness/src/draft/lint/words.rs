//! Words that do not say enough.

use super::super::pattern::Pattern;
use super::{Page, Rule, Weight};

static VAGUE: Rule = Rule {
    id: "vague-word",
    weight: Weight::Verdict,
    why: "what a tester takes it for decides who passes",
};
static UNLISTED: Rule = Rule {
    id: "unlisted",
    weight: Weight::Verdict,
    why: "without a list nothing can be asked for, and nothing can be missing",
};
static FIDELITY: Rule = Rule {
    id: "fidelity",
    weight: Weight::Verdict,
    why: "protocols let spelling, order and folding change without a change of meaning: is that still the same?",
};
static EXAMPLE: Rule = Rule {
    id: "example-in-statement",
    weight: Weight::Choice,
    why: "an example binds nobody, and in a statement it looks as if it did",
};
static AND_OR: Rule = Rule {
    id: "and-or",
    weight: Weight::Verdict,
    why: "where both are there, it does not say which one counts",
};
static CAPABILITY: Rule = Rule {
    id: "capability",
    weight: Weight::Verdict,
    why: "to be able to do something is not to do it: a server that never does it can hardly fail",
};
static OPEN_POLICY: Rule = Rule {
    id: "nothing-excluded",
    weight: Weight::Verdict,
    why: "every behaviour is somebody's policy: no server can fail",
};
static SMALL: Rule = Rule {
    id: "small-letters",
    weight: Weight::Choice,
    why: "RFC 8174 takes it for an ordinary word, many readers do not",
};

pub(super) const RULES: &[&Rule] = &[
    &VAGUE,
    &UNLISTED,
    &FIDELITY,
    &EXAMPLE,
    &AND_OR,
    &CAPABILITY,
    &OPEN_POLICY,
    &SMALL,
];

pub(super) fn find(page: &mut Page<'_>) {
    vague(page);
    fidelity(page);
    for place in page.in_statements(&EXAMPLES) {
        page.add(
            &EXAMPLE,
            "",
            &place,
            format!("`{}` inside a statement", place.text),
        )
        .readings([
            "this and anything like it",
            "this, as far as one is wanted at all",
        ])
        .suggest("say what is required; move the example into a note");
    }
    for place in page.in_statements(&BOTH) {
        page.add(&AND_OR, "", &place, "`and/or` leaves open which")
            .readings([
                "the first wins",
                "the second wins",
                "the smaller wins",
                "the larger wins",
            ])
            .suggest("say which one applies when, or which one wins where both are there");
    }
    for place in page.in_statements(&ABLE) {
        page.add(&CAPABILITY, "", &place, "an ability is asked for, not a behaviour")
            .readings([
                "the product has a switch for it",
                "it is done wherever the provider wants it, for each user or for each message",
            ])
            .suggest("say who chooses, for what (provider, user, message), and what holds when the choice is no");
    }
    for place in page.in_statements(&POLICY) {
        page.add(
            &OPEN_POLICY,
            "",
            &place,
            "left to a policy that nothing bounds",
        )
        .readings(["one of the behaviours that are named", "any behaviour"])
        .suggest(
            "list the policies that are allowed, and require the one in force to be documented",
        );
    }
    let uses_capitals = page
        .draft
        .statements
        .iter()
        .any(|it| it.form == super::super::Form::KeyWord);
    if uses_capitals {
        for place in page.in_statements(&SMALL_WORD) {
            page.add(
                &SMALL,
                "",
                &place,
                "key words in small letters beside ones in capitals",
            )
            .readings(["a requirement", "a remark"])
            .suggest(
                "write it in capitals if it binds, or say `can`, `might`, `will` if it does not",
            );
        }
    }
}

static EXAMPLES: Pattern = Pattern::new(r"\be\.g\.|\bfor example\b|\betc\b\.?");
static BOTH: Pattern = Pattern::new(r"(?i)\band\s*/\s*or\b");
static ABLE: Pattern = Pattern::new(r"\b(?:SHALL|MUST|SHOULD)(?: NOT)? be (?:able|capable)\b");
static POLICY: Pattern = Pattern::new(
    r"(?i)\b(?:based on|according to|depending on|subject to) (?:a |the )?(?:local|operator|provider)\w*(?:[’']s)? polic(?:y|ies)\b",
);
static SMALL_WORD: Pattern = Pattern::new(r"\b(?:must|shall|should|may)(?: not)?\b");

fn vague(page: &mut Page<'_>) {
    static WORDS: Pattern = Pattern::new(
        r"(?i)\b(?:relevant|appropriate|suitable|adequate|reasonable|sufficient|timely|as needed|if possible|where applicable|as applicable|some other|any other (?:local )?(?:policy|means|way|action|behaviou?r|method)|and so on|and the like)\b",
    );
    for place in page.in_statements(&WORDS) {
        let word = place.text.to_lowercase();
        let (listed, below) = list_below(page, place.block);
        match word.as_str() {
            "relevant" if !listed => {
                let what = page.block(place.block).text().to_owned();
                page.add(
                    &UNLISTED,
                    &what,
                    &place,
                    "`relevant`, and no list says what is",
                )
                .readings([
                    "whatever the server's maker finds relevant",
                    "all of it",
                    "nothing in particular",
                ])
                .suggest("list what is meant, one by one");
            }
            "relevant" => {
                page.add(
                    &VAGUE,
                    "relevant",
                    &place,
                    format!("`relevant` before a list of {below}: all that is, or examples?"),
                )
                .readings([
                    "exactly what the list names, wherever it occurs",
                    "what the list names, and more",
                    "of what the list names, as much as is relevant",
                ])
                .suggest("write `the following`, and say for each which message it is taken from");
            }
            word if word.contains(" other") => {
                page.add(
                    &VAGUE,
                    "other",
                    &place,
                    format!("`{word}` opens the list to everything"),
                )
                .readings([
                    "another one that the provider documents",
                    "anything, nothing included",
                ])
                .suggest("name what else is allowed, or require it to be documented");
            }
            _ => {
                page.add(
                    &VAGUE,
                    &word,
                    &place,
                    format!("`{word}` is for each reader to decide"),
                )
                .suggest("say by what it is measured");
            }
        }
    }
}

/// Whether a list stands below a block, and of how many items.
fn list_below(page: &Page<'_>, block: usize) -> (bool, usize) {
    let below = page.below(block).len();
    let inline = page
        .block(block)
        .text()
        .split(':')
        .nth(1)
        .is_some_and(|rest| rest.contains(','));
    (below > 0 || inline, below)
}

fn fidelity(page: &mut Page<'_>) {
    static WHOLE: Pattern = Pattern::new(
        r"(?i)\b(?:store|keep|save|retain|copy|forward|relay|deliver|preserve)s?\b[^.;]{0,40}?\b(?:complete|whole|entire|unchanged|unmodified|original)\b",
    );
    static SAID: Pattern =
        Pattern::new(r"(?i)\boctet|\bbyte.for.byte|\bequivalen|\bverbatim|\bsemantic|\bbit.exact");
    if page.speaks_of(&SAID) {
        return;
    }
    for place in page.in_statements(&WHOLE) {
        page.add(&FIDELITY, "", &place, "kept as a whole: octet for octet, or in meaning?")
            .readings(["octet for octet", "equal in meaning: order, case, folding and compact names may change"])
            .suggest("say: octet for octet for bodies, equal in meaning for header fields, those of one name in their order");
    }
}
