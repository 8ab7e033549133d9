//! Formats and identifiers: a format becomes a grammar, and its own examples are parsed with it.

use regex::Regex;

use super::super::BlockKind;
use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Place, Rule, Weight};

static EXAMPLE: Rule = Rule {
    id: "format-example",
    weight: Weight::Verdict,
    why: "whoever follows the example fails by the format, and the other way round",
};
static SPACE: Rule = Rule {
    id: "format-space",
    weight: Weight::Verdict,
    why: "it is not said whether the space belongs to the value; in a URI it is none",
};
static PLACEHOLDER: Rule = Rule {
    id: "format-placeholder",
    weight: Weight::Choice,
    why: "a word that is meant literally must be there, one that stands for something must not",
};
static UNBOUNDED: Rule = Rule {
    id: "format-without-grammar",
    weight: Weight::Choice,
    why: "characters, length and case are open: two values that differ in case may or may not be the same",
};
static SCOPE: Rule = Rule {
    id: "unique-scope",
    weight: Weight::Verdict,
    why: "a value that comes again is right or wrong by the scope that is meant",
};
static TAKEN: Rule = Rule {
    id: "name-taken",
    weight: Weight::Verdict,
    why: "a reader looks for it in the field of that name, which cannot hold it",
};
static CARRIER: Rule = Rule {
    id: "no-carrier",
    weight: Weight::Verdict,
    why: "what no message carries cannot be seen from outside",
};

pub(super) const RULES: &[&Rule] = &[
    &EXAMPLE,
    &SPACE,
    &PLACEHOLDER,
    &UNBOUNDED,
    &SCOPE,
    &TAKEN,
    &CARRIER,
];

pub(super) fn find(page: &mut Page<'_>) {
    formats(page);
    identifiers(page);
}

fn formats(page: &mut Page<'_>) {
    static FORMAT: Pattern = Pattern::new(
        r#"(?i)\b(?:format|syntax|form)(?:\s+(?:is|of|shall be|must be)|\s*:)\s*(?:[“"]([^“”"]+?)(?:[”"]|\s+(?:with|where|which)\b|[.;,]?$)|(\S*[@:/=]\S*(?:\s*=\s*\S+)?))"#,
    );
    for index in 0..page.draft.blocks.len() {
        let block = page.block(index);
        let Some(found) = FORMAT
            .captures(block.text())
            .filter(|_| page.bound.contains(&index))
        else {
            continue;
        };
        let Some(format) = found.get(1).or(found.get(2)) else {
            continue;
        };
        let place = Place {
            block: index,
            at: format.range(),
            text: format.as_str().trim().to_owned(),
        };
        format_at(page, &place);
    }
}

fn format_at(page: &mut Page<'_>, place: &Place) {
    static GRAMMAR_SAID: Pattern = Pattern::new(
        r"(?i)\b(?:characters?|digits?|letters|octets|length|ABNF|case.(?:in)?sensitive)\b",
    );
    static MARKED: Pattern = Pattern::new(r"[<>{}]");
    let format = &place.text;
    let clause = page.block(place.block).clause;
    if format.contains(' ') {
        page.add(&SPACE, format, place, "white space inside a format")
            .readings(["a slip: there is none", "it is a part of the value"])
            .suggest("write the format in ABNF (RFC 5234), where a space is written as SP");
    }
    if !MARKED.is_match(format) {
        page.add(
            &PLACEHOLDER,
            format,
            place,
            "which parts of the format are literal?",
        )
        .readings([
            "all words stand for something",
            "some are to be there as they are",
        ])
        .suggest(
            "put what stands for something in angle brackets, and say what it is replaced with",
        );
    }
    let explained = page.draft.blocks.iter().enumerate().any(|(index, block)| {
        block.clause == clause
            && (block.kind == BlockKind::Verbatim
                || index != place.block && GRAMMAR_SAID.is_match(block.text()))
    });
    if !explained {
        page.add(
            &UNBOUNDED,
            format,
            place,
            "the parts of the format have no grammar",
        )
        .suggest(
            "say for each part which characters it may have, how many, and whether case counts",
        );
    }
    let Some(grammar) = grammar(format) else {
        return;
    };
    let examples = examples(page, clause, format);
    if let Some(example) = examples
        .iter()
        .find(|example| !grammar.is_match(&example.text))
    {
        let title = format!("the example `{}` is not of this format", example.text);
        let line = page
            .draft
            .source
            .location(
                page.block(example.block)
                    .prose
                    .span(example.at.clone())
                    .start,
            )
            .line;
        let finding = page.add(&EXAMPLE, format, place, title);
        finding.readings = vec![
            format!("the example (line {line}) is right, and the format has parts too many"),
            "the format is right, and the example shows a part of it".to_owned(),
        ];
        finding.suggest("make both the same, and give the whole value in the example");
    }
}

/// A format as a grammar: its signs are literal, its words stand for something, white space does not count.
fn grammar(format: &str) -> Option<Regex> {
    static WORD: Pattern = Pattern::new(r"^[\w-]+");
    let mut pattern = String::from("^");
    let mut rest = format.trim_matches(['“', '”', '"', '.', ' ']);
    while let Some(c) = rest.chars().next() {
        if let Some(word) = WORD.find(rest) {
            pattern.push_str(r"[\w.+%-]+?");
            rest = &rest[word.end()..];
            continue;
        }
        if !c.is_whitespace() {
            pattern.push_str(&regex::escape(&c.to_string()));
        }
        rest = &rest[c.len_utf8()..];
    }
    Regex::new(&format!("{pattern}$")).ok()
}

/// Values in notes and examples of the clause that look like one of the format.
fn examples(page: &Page<'_>, clause: usize, format: &str) -> Vec<Place> {
    static VALUE: Pattern = Pattern::new(r"[\w.+%:=/@-]*[\w/]");
    let Some(sign) = ['@', '/', '=', ':']
        .into_iter()
        .find(|sign| format.contains(*sign))
    else {
        return Vec::new();
    };
    let mut found = page.places(&VALUE, |index, block| {
        let is_example =
            block.kind == BlockKind::Note || block.text().to_lowercase().contains("example");
        block.clause == clause && is_example && !page.bound.contains(&index)
    });
    // A word alone is no value: it has the sign inside, and digits.
    found.retain(|it| {
        it.text.chars().skip(1).any(|c| c == sign) && it.text.chars().any(|c| c.is_ascii_digit())
    });
    found
}

fn identifiers(page: &mut Page<'_>) {
    static ASSIGNED: Pattern = Pattern::new(
        r"(?i)\b(?:assign|generate|allocate|create)s?\b[^.;]{0,40}?\b[A-Z][A-Za-z]+-ID\b",
    );
    static UNIQUE: Pattern = Pattern::new(r"(?i)\bunique\b");
    static SCOPED: Pattern = Pattern::new(
        r"(?i)\b(?:globally|universally|locally) unique\b|\bunique(?:ness)?\s+(?:within|across|among|over|per|in|for all|to)\b|\bnever (?:be )?(?:re-?used|repeated)\b|\brandomness\b|\brepeated\b",
    );
    if !page.speaks_of(&SCOPED) {
        for place in page.in_statements(&UNIQUE) {
            page.add(&SCOPE, "", &place, "unique: among what, and for how long?")
                .readings([
                    "among all there ever were, anywhere",
                    "among those that are there now, in one account",
                ])
                .suggest("say: unique among all that the server ever assigned, and not used again");
        }
    }
    for place in page.in_statements(&ASSIGNED) {
        let name = place.text.rsplit(' ').next().unwrap_or_default().to_owned();
        let carried = Regex::new(&format!(
            r"(?i){}\s+header|\b(?:carr|includ|insert|put|place|contain|add|convey|notif)\w*\b[^.]{{0,60}}{}|{}\b[^.]{{0,60}}\b(?:carried|included|inserted|placed|conveyed)\b",
            regex::escape(&name),
            regex::escape(&name),
            regex::escape(&name)
        ));
        if !carried.is_ok_and(|carried| carried.is_match(&page.said)) {
            if let Some((_, theirs)) = facts::TAKEN
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(&name))
            {
                page.add(
                    &TAKEN,
                    &name,
                    &place,
                    format!("`{name}` is the name of something else, too"),
                )
                .readings([
                    "a value of one's own, with no place in any message",
                    "the field of that name",
                ])
                .suggest(format!("give it a name of its own: {theirs}"));
            }
            page.add(
                &CARRIER,
                &name,
                &place,
                format!("`{name}` is assigned, and no message carries it"),
            )
            .readings([
                "it stays inside the server",
                "another clause says where it is told",
            ])
            .suggest("name the message and the header field, or the body, in which it is seen");
        }
    }
}
