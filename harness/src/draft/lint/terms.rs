//! Names: of people, states and things.

use std::collections::{BTreeMap, BTreeSet};

use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Place, Rule, Weight};

static SPELLINGS: Rule = Rule {
    id: "term-spelling",
    weight: Weight::Choice,
    why: "two spellings are two terms to a careful reader: does a rule on the one hold for the other?",
};
static MANY_NAMES: Rule = Rule {
    id: "many-names",
    weight: Weight::Editorial,
    why: "a reader must guess that these are one person",
};
static STATE: Rule = Rule {
    id: "undefined-state",
    weight: Weight::Verdict,
    why: "a condition that nobody defines decides whether the rule applies at all",
};
static ENTITY: Rule = Rule {
    id: "undefined-entity",
    weight: Weight::Choice,
    why: "a part that the text does not describe cannot be told from outside, nor can its failure",
};
static TERM: Rule = Rule {
    id: "undefined-term",
    weight: Weight::Choice,
    why: "what counts as one decides how often the rule applies",
};

pub(super) const RULES: &[&Rule] = &[&SPELLINGS, &MANY_NAMES, &STATE, &ENTITY, &TERM];

pub(super) fn find(page: &mut Page<'_>) {
    spellings(page);
    names(page);
    people(page);
    let mut definitions = Definitions {
        lower: page.said.to_lowercase(),
        known: BTreeMap::new(),
    };
    states(page, &mut definitions);
    entities(page, &mut definitions);
    terms(page, &mut definitions);
}

/// What the text says that something means.
struct Definitions {
    /// The text in small letters.
    lower: String,
    known: BTreeMap<String, bool>,
}

impl Definitions {
    fn has(&mut self, term: &str) -> bool {
        let term = term.to_lowercase();
        if let Some(known) = self.known.get(&term) {
            return *known;
        }
        let defined = is_defined(&self.lower, &term);
        self.known.insert(term, defined);
        defined
    }
}

/// Whether a text in small letters says what a term means.
fn is_defined(lower: &str, term: &str) -> bool {
    lower.match_indices(term).any(|(at, _)| {
        let behind = lower[at + term.len()..]
            .trim_start_matches(['"', '”', '\'', '’', ')'])
            .trim_start();
        let starts = [
            "means",
            "is defined",
            "denotes",
            "refers to",
            ": ",
            "is said to be",
            "is an ",
            "is a ",
        ];
        let before = &lower[..at];
        starts.iter().any(|start| behind.starts_with(start))
            && (before.is_empty() || before.ends_with(['\n', '"', '“', '.', ' ']))
            && !before.ends_with("who is ")
    })
}

/// Two words of which one is spelt in two ways: `page mode`, `pager mode`.
fn spellings(page: &mut Page<'_>) {
    static PAIR: Pattern = Pattern::new(r"\b[A-Za-z]{4,}(?: |-)[A-Za-z]{4,}\b");
    let mut by_second: BTreeMap<String, BTreeMap<String, Place>> = BTreeMap::new();
    for (index, block) in page.draft.blocks.iter().enumerate() {
        let words: Vec<(usize, &str)> = block
            .text()
            .split([' ', '-'])
            .scan(0, |at, word| {
                let here = *at;
                *at += word.len() + 1;
                Some((here, word))
            })
            .collect();
        for pair in words.windows(2) {
            let [(at, first), (second_at, second)] = pair else {
                continue;
            };
            if FUNCTION_WORDS.contains(&second.to_lowercase().as_str()) {
                continue;
            }
            let whole = &block.text()[*at..second_at + second.len()];
            let second = second.trim_end_matches(|c: char| !c.is_alphanumeric());
            if PAIR.find(whole).is_some_and(|it| it.start() == 0) {
                let place = Place {
                    block: index,
                    at: *at..second_at + second.len(),
                    text: block.text()[*at..second_at + second.len()].to_owned(),
                };
                by_second
                    .entry(second.to_lowercase())
                    .or_default()
                    .entry(first.to_lowercase())
                    .or_insert(place);
            }
        }
    }
    for firsts in by_second.values() {
        for (word, place) in firsts {
            let other = firsts
                .range(format!("{word}\u{1}")..)
                .take_while(|(other, _)| other.starts_with(word))
                .find(|(other, _)| are_spellings(word, other));
            if let Some((_, second)) = other {
                let title = format!("`{}` and `{}`: one term or two?", place.text, second.text);
                page.add(&SPELLINGS, word, second, title)
                    .readings(["the same", "two kinds of it, with rules of their own"])
                    .suggest("define one term, and use it alone");
            }
        }
    }
}

/// Words that no term ends with.
const FUNCTION_WORDS: [&str; 24] = [
    "with", "that", "those", "these", "this", "each", "must", "shall", "should", "will", "would",
    "have", "from", "into", "when", "where", "which", "whose", "been", "does", "their", "there",
    "then", "than",
];

/// The same word but for its end, and no other form of it.
fn are_spellings(a: &str, b: &str) -> bool {
    const FORMS: [&str; 8] = ["s", "es", "d", "ed", "ing", "ly", "al", "n"];
    const COMPARED: [&str; 15] = [
        "larger", "smaller", "stricter", "longer", "shorter", "higher", "lower", "later",
        "greater", "newer", "older", "wider", "stronger", "weaker", "simpler",
    ];
    if COMPARED.contains(&b) {
        return false;
    }
    b.strip_prefix(a)
        .is_some_and(|end| end.len() <= 2 && !FORMS.contains(&end))
}

/// A name that is there with and without its `s`: `Expire value`, `Expires header`.
fn names(page: &mut Page<'_>) {
    static NAMED: Pattern = Pattern::new(
        r#"[“"]?\b[A-Z][a-z]{3,}(?:-[A-Z][a-z]+)*[”"]?\s+(?:value|header|field|parameter|attribute)\b"#,
    );
    let mut seen: BTreeMap<String, Place> = BTreeMap::new();
    for place in page.in_statements(&NAMED) {
        let name = place.text.split_whitespace().next().unwrap_or_default();
        let name = name.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        seen.entry(name).or_insert(place);
    }
    let pairs: Vec<(String, Place)> = seen
        .iter()
        .filter(|(name, _)| seen.contains_key(&format!("{name}s")))
        .map(|(name, place)| (name.clone(), place.clone()))
        .collect();
    for (name, place) in pairs {
        page.add(
            &SPELLINGS,
            &name,
            &place,
            format!("`{name}` and `{name}s` name two things"),
        )
        .readings([
            "a slip for the other",
            "what is kept, and what came on the wire",
        ])
        .suggest(format!(
            "give what is not `{name}s` a name that differs by more than a letter"
        ));
    }
}

fn people(page: &mut Page<'_>) {
    for group in facts::ROLES {
        let mut found: BTreeMap<&str, Place> = BTreeMap::new();
        for (index, block) in page.draft.blocks.iter().enumerate() {
            let lower = block.text().to_lowercase();
            for name in *group {
                if lower.len() == block.text().len()
                    && let Some(at) = lower.find(name)
                {
                    found.entry(name).or_insert(Place {
                        block: index,
                        at: at..at + name.len(),
                        text: (*name).to_owned(),
                    });
                }
            }
        }
        if found.len() >= 3
            && let Some(place) = found.values().max_by_key(|place| place.block)
        {
            let names: Vec<String> = found.keys().map(|name| format!("`{name}`")).collect();
            let place = place.clone();
            page.add(
                &MANY_NAMES,
                group[0],
                &place,
                format!("one person has many names: {}", names.join(", ")),
            )
            .suggest(format!("say `{}` everywhere", group[0]));
        }
    }
}

fn states(page: &mut Page<'_>, definitions: &mut Definitions) {
    static STATES: Pattern = Pattern::new(
        r"(?i)\b(?:is|are|being|becomes?|comes?|back)\s+(?:in an? )?(?:not |un)?(?:offline|online|available|reachable|active|inactive|idle|absent|busy)\b",
    );
    let mut seen = BTreeSet::new();
    for place in page.in_statements(&STATES) {
        let decides = page.draft.statements.iter().any(|it| {
            it.block == place.block && it.conditions.iter().any(|it| it.text.contains(&place.text))
        });
        let word = place
            .text
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .to_lowercase();
        // `online` is what is not `offline`: one definition serves both.
        let key = ["off", "on", "un", "in"]
            .iter()
            .find_map(|start| word.strip_prefix(start))
            .unwrap_or(&word)
            .to_owned();
        if !decides || definitions.has(&word) || !seen.insert(key.clone()) {
            continue;
        }
        page.add(&STATE, &key, &place, format!("`{word}` is not defined"))
            .readings([
                "not registered",
                "registered, and said to be away",
                "cannot be reached at the moment",
            ])
            .suggest(format!(
                "define `{word}` by what the network sees: registration, presence, answers"
            ));
    }
}

fn entities(page: &mut Page<'_>, definitions: &mut Definitions) {
    static PARTS: Pattern = Pattern::new(r"\b[a-z]+ (?:[a-z]+ )?(?:entity|subsystem|repository)\b");
    const NO_NAME: [&str; 22] = [
        "the",
        "a",
        "an",
        "any",
        "each",
        "every",
        "that",
        "this",
        "another",
        "other",
        "one",
        "logical",
        "to",
        "of",
        "by",
        "in",
        "from",
        "when",
        "same",
        "remote",
        "peer",
        "intermediary",
    ];
    for mut place in page.in_statements(&PARTS) {
        let words: Vec<&str> = place.text.split(' ').collect();
        let named = words[..words.len() - 1]
            .iter()
            .rev()
            .take_while(|word| !NO_NAME.contains(word))
            .count();
        let name = words[words.len() - 1 - named..].join(" ");
        place.at.start = place.at.end - name.len();
        if named > 0 && !definitions.has(&name) {
            page.add(&ENTITY, &name, &place, format!("`{name}` is nowhere described"))
                .readings(["a part of the server", "a machine of its own, whose failure is not the server's"])
                .suggest("require what can be seen (it survives a restart, nobody else can read it), not where it is kept");
        }
    }
}

fn terms(page: &mut Page<'_>, definitions: &mut Definitions) {
    const ENOUGH: usize = 3;
    static EACH: Pattern = Pattern::new(r"(?i)\b(?:each|every) (?:[a-z]+(?:ed|ing|en)) [a-z]+\b");
    for place in page.in_statements(&EACH) {
        let term = place
            .text
            .split_once(' ')
            .map_or("", |(_, term)| term)
            .to_lowercase();
        // A term comes again; other words that stand together do so by chance.
        let often = || definitions.lower.matches(&term).nth(ENOUGH - 1).is_some();
        if often() && !definitions.has(&term) {
            page.add(&TERM, &term, &place, format!("`{term}` is not defined"))
                .readings([
                    "every one that arrives, refused ones, too",
                    "only those that were accepted, and are not over on arrival",
                ])
                .suggest(format!("define `{term}`: from when on, until when"));
        }
    }
}
