//! "Did you mean …?": the known name that is closest to what was written.

/// The candidate closest to `written`, if it is close enough to be a slip of the keyboard or of the memory.
pub fn closest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = fold(written);
    let limit = (wanted.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &fold(candidate)), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// People mix case, `_` and `-`; none of these makes two names different enough.
fn fold(name: &str) -> String {
    name.chars()
        .map(|c| if c == '_' || c == ' ' { '-' } else { c })
        .flat_map(char::to_lowercase)
        .take(64)
        .collect()
}

/// Edit distance in which a swap of neighbours counts as one slip (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i);
        for j in 1..=b.len() {
            let replace = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

/// `a, b or c`, each in back-quotes; long lists are cut.
pub fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<&str> = names.into_iter().collect();
    let quoted: Vec<String> = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some(_) if names.len() > SHOWN => {
            format!("{} … ({} in all)", quoted.join(", "), names.len())
        }
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_slips_of_the_keyboard() {
        let verbs = ["register", "message", "receive", "silence", "stored"];
        assert_eq!(closest("recieve", verbs), Some("receive"));
        assert_eq!(closest("Message", verbs), Some("message"));
        assert_eq!(closest("store", verbs), Some("stored"));
        assert_eq!(closest("request_uri", ["request-uri"]), Some("request-uri"));
    }

    #[test]
    fn keeps_silent_when_nothing_is_close() {
        assert_eq!(closest("teleport", ["register", "message"]), None);
        assert_eq!(closest("x", ["at", "of"]), None);
        assert_eq!(closest("", ["at"]), None);
    }

    #[test]
    fn lists_read_like_prose() {
        assert_eq!(one_of([]), "nothing");
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
