//! Sentences, and what stands in them: the key words, who is bound, under which conditions.

use std::ops::Range;

use super::pattern::Pattern;

/// Words before a full stop that do not end a sentence.
const ABBREVIATIONS: [&str; 22] = [
    "e.g", "i.e", "etc", "cf", "vs", "al", "no", "sec", "fig", "eq", "ref", "approx", "resp",
    "incl", "rev", "ed", "vol", "st", "mr", "dr", "inc", "et",
];

/// The sentences of a text.
pub(super) fn sentences(text: &str) -> Vec<Range<usize>> {
    static END: Pattern = Pattern::new(r#"[.!?][)"”’']*\s+"#);
    let mut all = Vec::new();
    let mut start = 0;
    for end in END.find_iter(text) {
        let before = &text[start..end.start()];
        let word = before
            .rsplit(|c: char| c.is_whitespace() || c == '(')
            .next()
            .unwrap_or_default()
            .to_ascii_lowercase();
        let next = text[end.end()..].chars().next();
        let goes_on = next.is_none_or(char::is_lowercase)
            || ABBREVIATIONS.contains(&word.as_str())
            || (word.len() == 1 && word != "i");
        if !goes_on {
            let stop = end.start() + end.as_str().trim_end().len();
            all.push(start..stop);
            start = end.end();
        }
    }
    if start < text.len() {
        all.push(start..text.len());
    }
    all
}

/// How a word binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Binds {
    Shall,
    Should,
    May,
}

/// A key word in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyWord {
    pub(super) at: Range<usize>,
    pub(super) binds: Binds,
    /// In capital letters, as RFC 8174 asks.
    pub(super) capital: bool,
}

/// The key words of RFC 2119 and RFC 8174 with their kin, in order.
pub(super) fn key_words(text: &str) -> Vec<KeyWord> {
    static CAPITAL: Pattern = Pattern::new(
        r"\b(?:(MUST|SHALL|REQUIRED)|(SHOULD|RECOMMENDED)|(MAY|OPTIONAL)|(NOT RECOMMENDED))(?:\s+NOT)?\b",
    );
    static SMALL: Pattern = Pattern::new(
        r"\b(?:(must|shall|(?:is|are)\s+(?:not\s+)?to\s+(?:be\s+)?[a-z]+|(?:is|are)\s+required|(?:has|have)\s+to)|(should|(?:is|are)\s+(?:not\s+)?recommended)|(may|(?:is|are)\s+optional))(?:\s+not)?\b",
    );
    let mut all = Vec::new();
    for (pattern, capital) in [(&CAPITAL, true), (&SMALL, false)] {
        for found in pattern.captures_iter(text) {
            let binds = match (found.get(1), found.get(2), found.get(3)) {
                (Some(_), _, _) => Binds::Shall,
                (_, _, Some(_)) => Binds::May,
                _ => Binds::Should,
            };
            if let Some(whole) = found.get(0).filter(|whole| !is_quoted(text, whole.range())) {
                all.push(KeyWord {
                    at: whole.range(),
                    binds,
                    capital,
                });
            }
        }
    }
    all.sort_by_key(|word| word.at.start);
    all
}

/// `"MUST"` is spoken of, not said.
fn is_quoted(text: &str, at: Range<usize>) -> bool {
    let before = text[..at.start].ends_with(['"', '“', '\'', '‘', '`', '*']);
    before && text[at.end..].starts_with(['"', '”', '\'', '’', ',', '`', '*'])
}

static CONDITION: Pattern = Pattern::new(
    r"^(?i:if|when|whenever|where|unless|in\s+(?:the\s+)?(?:case|event)s?|each\s+time|every\s+time|upon|once|as\s+long\s+as|after|before|until|while|except)\b",
);

/// A sentence that begins with its condition: the condition, and the rest.
pub(super) fn leading_condition(text: &str) -> Option<(&str, &str)> {
    CONDITION.find(text)?;
    let end = top_level_commas(text).last()?;
    Some((text[..end].trim(), text[end + 1..].trim()))
}

/// What comes behind a key word that is a condition: between commas, or from `if` to the end.
pub(super) fn later_conditions(text: &str) -> Vec<&str> {
    static INSIDE: Pattern =
        Pattern::new(r"^\s*,\s*((?i:if|when|in (?:the )?case|upon|unless)\b[^,]*),");
    static BEHIND: Pattern = Pattern::new(
        r"(?:^|[\s,])((?:if|when|whenever|unless|until|except (?:if|when)|in (?:the )?case|only if|as long as)\s[^.;]*)",
    );
    let (mut found, mut rest) = (Vec::new(), text);
    if let Some(inside) = INSIDE.captures(text) {
        found.extend(inside.get(1).map(|it| it.as_str().trim()));
        rest = &text[inside.get(0).map_or(0, |all| all.end())..];
    }
    if let Some(behind) = BEHIND.captures(rest).and_then(|it| it.get(1)) {
        found.push(behind.as_str().trim().trim_end_matches([':', ',', ')']));
    }
    found
}

/// Whether a text is a condition and nothing else: `In case of a small parcel:`.
pub(super) fn is_condition(text: &str) -> bool {
    CONDITION.is_match(text)
        && text.trim_end().ends_with([':', ','])
        && top_level_commas(text.trim_end().trim_end_matches([':', ',']))
            .next()
            .is_none()
}

fn top_level_commas(text: &str) -> impl Iterator<Item = usize> {
    let mut depth = 0_usize;
    text.char_indices().filter_map(move |(at, c)| {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => return Some(at),
            _ => {}
        }
        None
    })
}

/// Whom a condition is about: `If the locker is full, it …`.
pub(super) fn subject(condition: &str) -> Option<String> {
    static SUBJECT: Pattern = Pattern::new(
        r"^(?i:if|when|whenever|where|unless|once|upon|each time|after|before)\s+((?:an?|the|any|all|every|each)\s+(?:[\w/-]+\s+){0,4}?[\w/-]+)\s+(?:is|are|has|have|does|do|was|can|cannot|may|wishes|wants|[a-z]{2,}(?:es|[b-hj-rt-z]s))\b",
    );
    SUBJECT.captures(condition).map(|found| found[1].to_owned())
}

/// Who is bound: the words before the key word, without what only leads to them.
pub(super) fn actor(before: &str) -> Option<String> {
    static LEAD: Pattern = Pattern::new(
        r"^(?i:(?:note(?:,? however,?)? that|except that|however|therefore|thus|hence|also|then|otherwise|in addition|additionally|furthermore|and|but|or|that|which|in particular|likewise|similarly|finally|first|next)\b,?\s*)+",
    );
    let text = leading_condition(before).map_or(before, |(_, rest)| rest);
    let last = top_level_commas(text).last();
    let text = match last {
        // `The server, when it wakes,` ends with a comma: the actor stands before the first.
        Some(at) if text[at + 1..].trim().is_empty() => {
            let first = top_level_commas(text).next().unwrap_or(at);
            &text[..first]
        }
        Some(at) => &text[at + 1..],
        None => text,
    };
    let text = text.trim().trim_end_matches([':', ',']).trim();
    let lead = LEAD.find(text).map_or(0, |lead| lead.end());
    let text = text[lead..].trim();
    let words = text.split_whitespace().count();
    (1..=20).contains(&words).then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|at| &text[at]).collect()
    }

    #[test]
    fn abbreviations_do_not_end_a_sentence() {
        assert_eq!(
            cut("It opens (e.g. Slowly). A. Smith knows, cf. Section 3.2. Then? \"Yes.\" Really"),
            [
                "It opens (e.g. Slowly).",
                "A. Smith knows, cf. Section 3.2.",
                "Then?",
                "\"Yes.\"",
                "Really"
            ]
        );
    }

    #[test]
    fn key_words_of_all_kinds() {
        let text = "It MUST NOT ring, SHOULD hum, may not sing, is to be red, is NOT RECOMMENDED, and \"MAY\" is a word. The mayor is tall.";
        let found: Vec<String> = key_words(text)
            .into_iter()
            .map(|word| format!("{:?} {}", word.binds, &text[word.at]))
            .collect();
        insta::assert_snapshot!(found.join("\n"));
    }

    #[test]
    fn conditions_and_actors() {
        let (condition, rest) =
            leading_condition("If the door, when open, rings (a, b), the locker")
                .unwrap_or_default();
        assert_eq!(
            (condition, rest),
            ("If the door, when open, rings (a, b)", "the locker")
        );
        assert_eq!(
            later_conditions(", in case of rain, close the door if it is open."),
            ["in case of rain", "if it is open"]
        );
        assert_eq!(
            actor("Note that, in winter, the locker").as_deref(),
            Some("the locker")
        );
        assert_eq!(
            actor("The locker, when cold,").as_deref(),
            Some("The locker")
        );
        assert_eq!(actor(" "), None);
        assert_eq!(
            subject("If a parcel locker receives a code").as_deref(),
            Some("a parcel locker")
        );
        assert!(is_condition("In case of rain:"));
        assert!(!is_condition("If it rains, the locker closes:"));
    }
}
