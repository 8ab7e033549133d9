//! A draft's statements for people (table), programs (JSON) and the catalogue (YAML).

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use imspec_reports::record::Level;
use serde_json::{Value, json};

use super::link::{Link, Links, Standing, State};
use super::{Draft, Form, Statement};
use crate::catalogue::Change;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const POOR: Style = AnsiColor::Yellow.on_default();

/// Columns of a statement's text in the table.
const COLUMNS: usize = 64;

/// For people: a line a statement, then what changed since the requirements were written, then what was assumed.
pub fn table(draft: &Draft, links: &Links<'_>) -> String {
    let mut text = String::new();
    let clause = width(draft.statements.iter().map(|it| it.clause.as_str()));
    let id = width(draft.statements.iter().map(|it| it.id.as_str()));
    let word = width(draft.statements.iter().map(|it| it.key_word.as_str()));
    let _ = writeln!(
        text,
        "{BOLD}{:id$}  {:clause$}  {:word$}  {:9}  {:8}  statement{BOLD:#}",
        "id",
        "clause",
        "key word",
        "form",
        "link",
        word = word.max(8)
    );
    for (index, statement) in draft.statements.iter().enumerate() {
        let standing = links.standing(index);
        let style = if standing == Standing::Same {
            GOOD
        } else {
            POOR
        };
        let form = match statement.form {
            Form::KeyWord => "",
            Form::SmallLetters => "small",
            form => form.name(),
        };
        let _ = writeln!(
            text,
            "{:id$}  {:clause$}  {:word$}  {form:9}  {style}{:8}{style:#}  {}",
            statement.id,
            statement.clause,
            statement.key_word,
            standing.name(),
            cut(&statement.text),
            word = word.max(8)
        );
    }
    let count = |form: Form| draft.statements.iter().filter(|it| it.form == form).count();
    let _ = writeln!(
        text,
        "\n{} statements: {} by a key word, {} inherited from a list's head, {} heading a list, {} in small letters (no key words by RFC 8174)",
        draft.statements.len(),
        count(Form::KeyWord),
        count(Form::Inherited),
        count(Form::Stem),
        count(Form::SmallLetters),
    );
    text.push_str(&differences(draft, links));
    text.push_str(&assumptions(draft));
    text
}

/// What changed since the requirements were written; nothing where the draft is not the one that they came from.
fn differences(draft: &Draft, links: &Links<'_>) -> String {
    let mut text = String::new();
    let linked = (0..draft.statements.len()).any(|index| !links.of_statement(index).is_empty());
    if !linked {
        text.push_str("no requirement of the catalogue comes from this text\n");
        return text;
    }
    for (index, statement) in draft.statements.iter().enumerate() {
        if links.standing(index) != Standing::Reworded {
            continue;
        }
        let all = links.of_statement(index);
        let ids: Vec<&str> = all
            .iter()
            .map(|link| link.requirement.id.as_str())
            .collect();
        let _ = writeln!(
            text,
            "\n{POOR}reworded{POOR:#} {} {} ({})",
            statement.id,
            statement.clause,
            ids.join(", ")
        );
        for line in what_changed(all, statement) {
            let _ = writeln!(text, "  {line}");
        }
    }
    for requirement in &links.gone {
        let _ = writeln!(
            text,
            "\n{POOR}gone{POOR:#} {} {}: {}",
            requirement.id, requirement.clause, requirement.statement
        );
    }
    text
}

/// What changed in a statement: its level, its words.
fn what_changed(links: &[Link<'_>], statement: &Statement) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(was) = links.iter().find_map(|link| link.level_was) {
        lines.push(format!(
            "{} now, {} in the catalogue",
            level(statement.level),
            level(was)
        ));
    }
    if let Some(State::Reworded { likeness, changes }) = links
        .iter()
        .map(|link| &link.state)
        .find(|state| **state != State::Same)
    {
        lines.push(format!(
            "{:.0} % of its words stayed: {}",
            likeness * 100.0,
            marked(changes)
        ));
    }
    lines
}

/// `the [-2 words-] locker [+always+] opens`.
pub fn marked(changes: &[Change]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for change in changes {
        parts.push(match change {
            Change::Kept(word) => word.clone(),
            Change::Added(word) => format!("[+{word}+]"),
            Change::Removed(1) => "[-1 word-]".to_owned(),
            Change::Removed(count) => format!("[-{count} words-]"),
        });
    }
    parts.join(" ").replace("+] [+", " ")
}

/// What was assumed to read the draft.
pub fn assumptions(draft: &Draft) -> String {
    let mut text = String::new();
    for assumption in &draft.assumptions {
        let _ = writeln!(text, "{DIM}note: {assumption}{DIM:#}");
    }
    if !text.is_empty() {
        text.insert(0, '\n');
    }
    text
}

/// For programs.
pub fn as_json(draft: &Draft, links: &Links<'_>) -> Value {
    let statements: Vec<Value> = draft
        .statements
        .iter()
        .enumerate()
        .map(|(index, statement)| {
            json!({
                "id": statement.id,
                "clause": statement.clause,
                "sentence": statement.sentence,
                "level": statement.level,
                "key_word": statement.key_word,
                "form": statement.form.name(),
                "actor": statement.actor,
                "conditions": statement.conditions.iter().map(|it| json!({ "text": it.text, "inherited": it.inherited })).collect::<Vec<_>>(),
                "text": statement.text,
                "at": draft.source.location(statement.span.start),
                "fingerprint": statement.fingerprint.to_string(),
                "link": links.standing(index).name(),
                "requirements": links.of_statement(index).iter().map(link_json).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "draft": draft.source.name(),
        "assumptions": draft.assumptions,
        "clauses": draft.clauses.iter().filter(|it| !it.title.is_empty() || !it.number.is_empty()).map(|it| json!({ "number": it.number, "title": it.title, "informative": it.informative.is_some() })).collect::<Vec<_>>(),
        "statements": statements,
        "gone": links.gone.iter().map(|it| it.id.as_str()).collect::<Vec<_>>(),
    })
}

fn link_json(link: &Link<'_>) -> Value {
    let (likeness, changes) = match &link.state {
        State::Same => (1.0, None),
        State::Reworded { likeness, changes } => (*likeness, Some(marked(changes))),
    };
    json!({
        "id": link.requirement.id,
        "likeness": likeness,
        "changes": changes,
        "level_was": link.level_was,
    })
}

/// A skeleton for `requirements.yaml`: what the text tells is filled in, the rest is to be written.
pub fn skeleton(draft: &Draft) -> String {
    let mut text = String::from(
        "# To be put into words of your own; `fingerprint` finds the sentence again.\nrequirements:\n",
    );
    for statement in &draft.statements {
        let conditions: Vec<&str> = statement
            .conditions
            .iter()
            .map(|it| it.text.as_str())
            .collect();
        let condition = if conditions.is_empty() {
            "always".to_owned()
        } else {
            conditions.join("; ")
        };
        let said = match &statement.actor {
            Some(actor) if statement.form == Form::Inherited => {
                format!("{actor}: {}", statement.text)
            }
            _ => statement.text.clone(),
        };
        let _ = write!(
            text,
            "\n- id: {}\n  clause: {}\n  level: {}\n  basis: written\n  condition: {}\n  statement: {}\n  observation: to be written\n  testability: to be written\n  wording: []\n  fingerprint: {}\n",
            statement.id,
            quoted(&statement.clause),
            level(statement.level),
            quoted(&condition),
            quoted(&said),
            statement.fingerprint
        );
    }
    text
}

/// A string of JSON is one of YAML.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// In capital letters.
pub fn level(level: Level) -> &'static str {
    crate::cli::list::level(level)
}

fn width<'a>(texts: impl Iterator<Item = &'a str>) -> usize {
    texts.map(|text| text.chars().count()).max().unwrap_or(0)
}

fn cut(text: &str) -> String {
    if text.chars().count() <= COLUMNS {
        return text.to_owned();
    }
    let start: String = text.chars().take(COLUMNS - 1).collect();
    format!("{}…", start.trim_end())
}
