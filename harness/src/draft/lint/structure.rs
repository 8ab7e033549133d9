//! What binds and what does not, and what is missing beside it.

use super::super::pattern::Pattern;
use super::super::{BlockKind, sentence};
use super::{Page, Place, Rule, Weight};

static NOTE_BINDS: Rule = Rule {
    id: "note-binds",
    weight: Weight::Choice,
    why: "a note binds nobody: what it promises cannot be asked for",
};
static QUOTE: Rule = Rule {
    id: "unbalanced-quote",
    weight: Weight::Choice,
    why: "where a quotation ends decides what belongs to it",
};
static NO_ELSE: Rule = Rule {
    id: "condition-without-else",
    weight: Weight::Choice,
    why: "a tester tries the other case, too, and does not know what is right there",
};
static NO_DEFAULT: Rule = Rule {
    id: "optional-default",
    weight: Weight::Choice,
    why: "a server without default is as right as one with it: what holds then is not said",
};
static AIM: Rule = Rule {
    id: "aim-unmet",
    weight: Weight::Choice,
    why: "a server may do everything that is required and still not reach what the text is for",
};

pub(super) const RULES: &[&Rule] = &[&NOTE_BINDS, &QUOTE, &NO_ELSE, &NO_DEFAULT, &AIM];

pub(super) fn find(page: &mut Page<'_>) {
    notes(page);
    quotes(page);
    conditions(page);
    aims(page);
}

fn notes(page: &mut Page<'_>) {
    static BINDS: Pattern = Pattern::new(
        r"\b(?:MUST|SHALL|SHOULD|MAY)\b|\bwill\s+(?:be|have|contain|carry|receive|send)\b|\b(?:must|shall)\b",
    );
    let notes = page.places(&BINDS, |_, block| block.kind == BlockKind::Note);
    for place in notes {
        page.add(
            &NOTE_BINDS,
            &place.block.to_string(),
            &place,
            format!("a note that reads like a rule: `{}`", place.text),
        )
        .readings(["an example of what is allowed", "what every server does"])
        .suggest("make it a statement with a key word, or write `could be`, `for instance`");
    }
}

fn quotes(page: &mut Page<'_>) {
    for index in 0..page.draft.blocks.len() {
        let block = page.block(index);
        if !block.kind.can_bind() {
            continue;
        }
        let text = block.text();
        let mut open: Vec<usize> = Vec::new();
        let mut lone = None;
        for (at, c) in text.char_indices() {
            match c {
                '“' => open.push(at),
                '”' if open.pop().is_none() => lone = Some(at),
                _ => {}
            }
        }
        let straight: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
        let odd = (straight.len() % 2 == 1)
            .then(|| straight.last().copied())
            .flatten();
        if let Some(at) = lone.or(open.first().copied()).or(odd) {
            let width = text[at..].chars().next().map_or(1, char::len_utf8);
            let place = Place {
                block: index,
                at: at..at + width,
                text: String::new(),
            };
            page.add(
                &QUOTE,
                &index.to_string(),
                &place,
                "a quotation mark without its partner",
            )
            .suggest("close it where the quotation ends");
        }
    }
}

fn conditions(page: &mut Page<'_>) {
    static HAS: Pattern =
        Pattern::new(r"(?i)^if\b.*\b(?:contains?|has|have|includes?|carries|is present|names?)\b");
    static HAS_NOT: Pattern =
        Pattern::new(r"(?i)\b(?:not|no|without|absent|otherwise|else|lacks?|missing|unless)\b");
    static DEFAULT: Pattern = Pattern::new(r"(?i)\bdefault\b");
    for at in 0..page.draft.statements.len() {
        let statement = &page.draft.statements[at];
        let clause = page.block(statement.block).clause;
        let place = Place {
            block: statement.block,
            at: 0..statement
                .text
                .len()
                .min(page.block(statement.block).text().len()),
            text: String::new(),
        };
        let own = statement.conditions.iter().find(|it| !it.inherited);
        if statement.key_word == "MAY" && DEFAULT.is_match(&statement.text) {
            page.add(
                &NO_DEFAULT,
                &clause.to_string(),
                &place,
                "a default is allowed, and nothing is said of its absence",
            )
            .readings([
                "without default there is no limit at all",
                "there is always some default",
            ])
            .suggest("say what holds without default, or require one");
        }
        let Some(own) = own.filter(|it| HAS.is_match(&it.text) && !HAS_NOT.is_match(&it.text))
        else {
            continue;
        };
        let other = page.of_clause(clause).any(|index| {
            let text = page.block(index).text();
            (index != statement.block || sentence::sentences(text).len() > 1)
                && HAS_NOT.is_match(text)
        });
        if !other {
            let title = format!("`{}`: and if not?", own.text);
            page.add(&NO_ELSE, &statement.id, &place, title)
                .readings(["nothing is required then", "the contrary is required then"])
                .suggest("add what holds otherwise, even if it is nothing");
        }
    }
}

/// An aim that the introduction names, and statements of which none is bound to reach it.
fn aims(page: &mut Page<'_>) {
    static AIMS: Pattern = Pattern::new(
        r"(?i)\b(?:avoid|prevent|make sure|ensure|so) (?:that )?[^.]{0,80}?\b(?:indefinitely|for ever|forever|without limit|endless(?:ly)?|never)\b",
    );
    static LETS: Pattern = Pattern::new(r"(?i)\b(?:still|nevertheless|anyway|all the same)\b");
    let aims = page.places(&AIMS, |_, block| {
        page.draft.clause_of(block).informative.is_some()
    });
    let Some(aim) = aims.first() else {
        return;
    };
    let from = page
        .draft
        .source
        .location(page.block(aim.block).prose.span(aim.at.clone()).start);
    for place in page.in_statements(&LETS) {
        page.add(
            &AIM,
            "",
            &place,
            format!(
                "this choice defeats the aim that line {} states: `{}`",
                from.line, aim.text
            ),
        )
        .readings(["the aim is a wish", "this choice needs a limit of its own"])
        .suggest("give the choice a limit, or weaken the aim");
    }
}
