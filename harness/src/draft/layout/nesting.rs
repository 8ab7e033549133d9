//! How deep each bullet of a list is: by its column, by its sign, or, where a converter lost both, by its wording.

use super::{Block, Item, Pattern};

/// Depth of each item, from 1; and whether it was taken from the wording.
pub(super) fn depths(items: &[Item], blocks: &[Block]) -> (Vec<usize>, bool) {
    let one_column = items.iter().all(|item| item.indent == items[0].indent);
    let one_mark = items.iter().all(|item| item.mark == items[0].mark);
    if !one_column || !one_mark {
        return (by_look(items), false);
    }
    // A list that is set in was set so by hand: what looks flat is flat.
    if items[0].indent > 0 {
        return (vec![1; items.len()], false);
    }
    let texts: Vec<&str> = items.iter().map(|item| blocks[item.block].text()).collect();
    let depths = by_wording(&texts);
    let guessed = depths.iter().any(|depth| *depth > 1);
    (depths, guessed)
}

/// Deeper is what stands further right, or has a sign that no open item of its column has.
fn by_look(items: &[Item]) -> Vec<usize> {
    let mut open: Vec<&Item> = Vec::new();
    let mut depths = Vec::with_capacity(items.len());
    for item in items {
        open.retain(|other| other.indent <= item.indent);
        let same = open
            .iter()
            .position(|other| other.indent == item.indent && other.mark == item.mark);
        if let Some(at) = same {
            open.truncate(at);
        }
        open.push(item);
        depths.push(open.len());
    }
    depths
}

/// How a bullet begins: items of one list are of one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Shape {
    /// With a key word: it goes on what leads into the list.
    KeyWord,
    /// With the case that it is about: `if`, `in`.
    Case(String),
    /// It is a bare name.
    Name,
    /// Otherwise.
    Phrase,
}

fn shape(text: &str) -> Shape {
    static KEY_WORD: Pattern =
        Pattern::new(r"^(?:MUST|SHALL|SHOULD|MAY|REQUIRED|RECOMMENDED|OPTIONAL)\b");
    static CASE: Pattern =
        Pattern::new(r"^(?i)(if|when|in (?:the )?case|for|where|unless|upon|on)\b");
    if KEY_WORD.is_match(text) {
        return Shape::KeyWord;
    }
    if let Some(found) = CASE.captures(text) {
        return Shape::Case(found[1].to_lowercase().replace("the ", ""));
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    let is_name = |word: &&str| word.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit());
    if words.len() <= 2 && words.iter().all(is_name) && !text.ends_with(['.', ':']) {
        return Shape::Name;
    }
    Shape::Phrase
}

/// Whether a text announces what comes below it.
pub(in super::super) fn announces(text: &str) -> bool {
    static FOLLOWING: Pattern = Pattern::new(r"(?i)\b(?:the following(?: \w+)?|as follows)$");
    text.ends_with([':', ',']) || FOLLOWING.is_match(text)
}

fn by_wording(texts: &[&str]) -> Vec<usize> {
    let mut open: Vec<Shape> = Vec::new();
    let mut depths = Vec::with_capacity(texts.len());
    let mut announced = false;
    for text in texts {
        let shape = shape(text);
        let same = open.iter().rposition(|other| *other == shape);
        // What was announced is below, unless it is plainly the next of its own kind; so is a bare name after a phrase,
        // which names a part of it.
        let below = match shape {
            Shape::Phrase | Shape::Name if announced => true,
            Shape::Name => same.is_none(),
            Shape::KeyWord | Shape::Case(_) => same.is_none() && announced,
            Shape::Phrase => false,
        };
        if let (false, Some(at)) = (below, same) {
            open.truncate(at);
        } else if !below {
            open.pop();
        }
        open.push(shape);
        depths.push(open.len());
        announced = announces(text);
    }
    depths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wording_shows_what_columns_do_not() {
        let texts = [
            "SHALL keep the following",
            "Facts of the parcel",
            "Weight",
            "Colour",
            "The time at which it came",
            "SHALL be able to lock it:",
            "In case of a small parcel:",
            "If it is light, the locker SHALL weigh it;",
            "If it is heavy, the locker MAY weigh it",
            "In case of a large parcel,",
            "When nobody looks",
            "MAY sing",
        ];
        assert_eq!(by_wording(&texts), [1, 2, 3, 3, 2, 1, 2, 3, 3, 2, 3, 1]);
    }

    #[test]
    fn a_flat_list_stays_flat() {
        assert_eq!(by_wording(&["Red", "Green", "Dark blue"]), [1, 1, 1]);
        assert_eq!(
            by_wording(&["the first thing.", "the second thing."]),
            [1, 1]
        );
    }
}
