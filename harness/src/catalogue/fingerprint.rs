//! A sentence without its words: enough to find it again, to see that it changed and where, and too little to read it.
//!
//! Two parts. The hash is that of the words, once typography, letters' case, references by number and punctuation are
//! gone: the same hash is the same sentence. The signature has one character of 64 for each word: two signatures side by
//! side show which words stayed, while each character stands for a sixty-fourth of the dictionary.

use std::fmt;
use std::str::FromStr;

use crate::fingerprint;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Words of a sentence that are compared: a sentence of more is not one.
const LONGEST: usize = 400;

/// From here on two sentences count as the same one, reworded.
pub const ALIKE: f64 = 0.55;

/// Fingerprint of a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint {
    hash: String,
    signature: String,
}

/// What became of a word between two texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It stayed.
    Kept(String),
    /// It is new.
    Added(String),
    /// So many words are gone.
    Removed(usize),
}

impl Fingerprint {
    /// Of a sentence.
    pub fn of(text: &str) -> Self {
        let words = words(text);
        let joined = words.join(" ");
        let signature = words.iter().take(LONGEST).map(|word| sign(word)).collect();
        Self {
            hash: fingerprint::of([joined.as_str()]),
            signature,
        }
    }

    /// The hash, for ids.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// How many words it has.
    pub fn words(&self) -> usize {
        self.signature.len()
    }

    /// Whether it is the same sentence.
    pub fn is_same(&self, other: &Self) -> bool {
        self.hash == other.hash
    }

    /// How alike two sentences are: words in common, in order, from 0 to 1.
    pub fn likeness(&self, other: &Self) -> f64 {
        let (a, b) = (self.signature.as_bytes(), other.signature.as_bytes());
        if self.is_same(other) {
            return 1.0;
        }
        let both = count(a.len() + b.len());
        if both == 0.0 {
            return 0.0;
        }
        2.0 * count(common(a, b).len()) / both
    }

    /// What changed between the sentence of this fingerprint and a text.
    pub fn changes(&self, text: &str) -> Vec<Change> {
        let words = words(text);
        let now: String = words.iter().take(LONGEST).map(|word| sign(word)).collect();
        let mut changes = Vec::new();
        let (mut old, mut new) = (0, 0);
        let ends = (self.signature.len(), now.len());
        for (a, b) in common(self.signature.as_bytes(), now.as_bytes())
            .into_iter()
            .chain([ends])
        {
            if a > old {
                changes.push(Change::Removed(a - old));
            }
            changes.extend(words[new..b].iter().cloned().map(Change::Added));
            if let Some(word) = words.get(b).filter(|_| (a, b) != ends) {
                changes.push(Change::Kept(word.clone()));
            }
            (old, new) = (a + 1, b + 1);
        }
        changes
    }
}

fn count(number: usize) -> f64 {
    // At most twice LONGEST.
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// One character for a word.
fn sign(word: &str) -> char {
    let hash = fingerprint::of([word]);
    let digit = u8::from_str_radix(hash.get(..2).unwrap_or("0"), 16).unwrap_or(0);
    char::from(ALPHABET[usize::from(digit) % ALPHABET.len()])
}

/// The words of a sentence that are compared: without what a typesetter may change. Key words keep their capitals, for these bind.
pub fn words(text: &str) -> Vec<String> {
    const KEY_WORDS: [&str; 8] = [
        "MUST",
        "SHALL",
        "REQUIRED",
        "SHOULD",
        "RECOMMENDED",
        "MAY",
        "OPTIONAL",
        "NOT",
    ];
    let is_inner = |c: char| matches!(c, '-' | '@' | '.' | '/' | '=' | '+' | '_' | '\'');
    text.split_whitespace()
        .map(|word| {
            let word: String = word.chars().map(plain).collect();
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            let kept: String = word
                .chars()
                .filter(|c| c.is_alphanumeric() || is_inner(*c))
                .collect();
            if KEY_WORDS.contains(&kept.as_str()) {
                kept
            } else if is_clause_number(&kept) {
                // References move when clauses are added.
                "#".to_owned()
            } else {
                kept.to_lowercase()
            }
        })
        .filter(|word| !word.is_empty())
        .collect()
}

/// `9.3.2`, not `9` and not `example.org`.
fn is_clause_number(word: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|c| c.is_ascii_digit());
    word.contains('.') && word.split('.').all(digits)
}

/// Typographic signs as a typewriter has them.
fn plain(c: char) -> char {
    match c {
        '‘' | '’' | 'ʼ' | '`' | '´' => '\'',
        '‐' | '‑' | '–' | '—' | '−' => '-',
        _ => c,
    }
}

/// Places of a longest common subsequence.
fn common(a: &[u8], b: &[u8]) -> Vec<(usize, usize)> {
    let width = b.len() + 1;
    let mut lengths = vec![0_u16; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            lengths[i * width + j] = if a[i] == b[j] {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() && j < b.len() {
        let here = lengths[i * width + j];
        if a[i] == b[j] && here == lengths[(i + 1) * width + j + 1] + 1 {
            pairs.push((i, j));
            (i, j) = (i + 1, j + 1);
        } else if lengths[(i + 1) * width + j] == here {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.hash, self.signature)
    }
}

impl FromStr for Fingerprint {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str =
            "expected 16 hexadecimal digits, a space, and one character for each word";
        let (hash, signature) = text.split_once(' ').ok_or(EXPECTED)?;
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        let is_right = hash.len() == 16
            && hash.chars().all(hex)
            && (1..=LONGEST).contains(&signature.len())
            && signature.bytes().all(|octet| ALPHABET.contains(&octet));
        is_right
            .then(|| Self {
                hash: hash.to_owned(),
                signature: signature.to_owned(),
            })
            .ok_or(EXPECTED)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    const SENTENCE: &str =
        "The locker SHALL keep the parcel until its owner's code, as in section 3.2, is entered.";

    #[test]
    fn white_space_typography_and_numbers_change_nothing() {
        let other = "the  locker SHALL keep the parcel\nuntil its owner’s code as in section 4.2.1 is “entered”";
        assert!(Fingerprint::of(SENTENCE).is_same(&Fingerprint::of(other)));
        let weaker = SENTENCE.replace("SHALL", "shall");
        assert!(!Fingerprint::of(SENTENCE).is_same(&Fingerprint::of(&weaker)));
    }

    #[test]
    fn rewording_is_seen_word_by_word() {
        let old = Fingerprint::of(SENTENCE);
        let new = "The locker SHOULD keep the parcel until the right code is entered.";
        assert!(old.likeness(&Fingerprint::of(new)) > ALIKE);
        let shown: Vec<String> = old
            .changes(new)
            .into_iter()
            .map(|change| match change {
                Change::Kept(word) => word,
                Change::Added(word) => format!("+{word}"),
                Change::Removed(count) => format!("-{count}"),
            })
            .collect();
        insta::assert_snapshot!(shown.join(" "));
        let far = Fingerprint::of(
            "Nobody may sing while the moon shines over the harbour of the old town.",
        );
        assert!(old.likeness(&far) < ALIKE);
    }

    #[test]
    fn it_is_written_and_read() {
        let it = Fingerprint::of(SENTENCE);
        assert_eq!(it.to_string().parse::<Fingerprint>().unwrap(), it);
        assert!("xyz".parse::<Fingerprint>().is_err());
        assert!("0123456789abcdef A B".parse::<Fingerprint>().is_err());
    }

    proptest! {
        #[test]
        fn kept_and_added_words_are_the_new_text(old in "[a-d ]{0,30}", new in "[a-d ]{0,30}") {
            let shown: Vec<String> = Fingerprint::of(&old).changes(&new).into_iter().filter_map(|change| match change {
                Change::Kept(word) | Change::Added(word) => Some(word),
                Change::Removed(_) => None,
            }).collect();
            prop_assert_eq!(shown, words(&new));
        }
    }
}
