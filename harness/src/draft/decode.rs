//! Octets of a file become text: UTF-8, UTF-16 or an old 8-bit set; any line ends; plain, Markdown, HTML or DOCX.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::{docx, html};

/// Octets of a file at most: a specification of a thousand pages has a tenth of it.
pub const LIMIT: usize = 32 * 1024 * 1024;

/// Why a file cannot be read as a draft.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file cannot be opened or read.
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    /// More than [`LIMIT`].
    #[error("{0}: more than {limit} MiB; give the part that holds the clauses in question", limit = LIMIT / 1024 / 1024)]
    TooLarge(String),
    /// Octets of a program, a picture, an old word processor.
    #[error("{0}: this is no text ({1}); save the draft as plain text, Markdown, HTML or DOCX")]
    NotText(String, String),
    /// Nothing but white space.
    #[error("{0}: there is no text in it")]
    Empty(String),
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Name for diagnostics.
    pub name: String,
    /// The text; every line ends with LF.
    pub text: String,
    /// Whether `#` and the like mean something in it.
    pub marked: bool,
    /// What had to be assumed.
    pub assumptions: Vec<String>,
}

/// Reads a file, as far as it is not too large.
pub fn load(path: &Path) -> Result<Vec<u8>, Unreadable> {
    let name = || path.display().to_string();
    let wrong = |why| Unreadable::Io(name(), why);
    let mut octets = Vec::new();
    let limit = u64::try_from(LIMIT).unwrap_or(u64::MAX);
    File::open(path)
        .map_err(wrong)?
        .take(limit + 1)
        .read_to_end(&mut octets)
        .map_err(wrong)?;
    Ok(octets)
}

/// Turns octets into text.
pub fn decode(name: &str, octets: &[u8]) -> Result<Text, Unreadable> {
    if octets.len() > LIMIT {
        return Err(Unreadable::TooLarge(name.to_owned()));
    }
    let mut assumptions = Vec::new();
    let no_text = |why: String| Unreadable::NotText(name.to_owned(), why);
    let (text, marked, shown) = if octets.starts_with(b"PK\x03\x04") {
        let text = docx::to_text(octets).map_err(no_text)?;
        (text, true, format!("{name} (as text)"))
    } else {
        let text = characters(octets, &mut assumptions).map_err(no_text)?;
        if has_ending(name, &["html", "htm", "xhtml"]) || looks_like_html(&text) {
            (html::to_text(&text), true, format!("{name} (as text)"))
        } else {
            let marked = has_ending(name, &["md", "markdown"]) || looks_like_markdown(&text);
            (text, marked, name.to_owned())
        }
    };
    let text = lines(&text, &mut assumptions);
    if text.trim().is_empty() {
        return Err(Unreadable::Empty(name.to_owned()));
    }
    if shown != name {
        assumptions.push("lines and columns are those of the text that the file was turned into: `imspec draft extract --format text` prints it".to_owned());
    }
    Ok(Text {
        name: shown,
        text,
        marked,
        assumptions,
    })
}

/// The characters of the octets, by their byte order mark, as UTF-8, or as Windows-1252.
fn characters(octets: &[u8], assumptions: &mut Vec<String>) -> Result<String, String> {
    match octets {
        [0xEF, 0xBB, 0xBF, rest @ ..] => return characters(rest, assumptions),
        [0xFF, 0xFE, rest @ ..] => return utf16(rest, u16::from_le_bytes),
        [0xFE, 0xFF, rest @ ..] => return utf16(rest, u16::from_be_bytes),
        _ => {}
    }
    let text = match std::str::from_utf8(octets) {
        Ok(text) => text.to_owned(),
        Err(why) => {
            assumptions.push(format!(
                "octet {} is not UTF-8: the file is read as Windows-1252",
                why.valid_up_to()
            ));
            octets.iter().map(|octet| windows_1252(*octet)).collect()
        }
    };
    only_text(text)
}

fn utf16(octets: &[u8], order: fn([u8; 2]) -> u16) -> Result<String, String> {
    let units = octets.chunks_exact(2).map(|pair| order([pair[0], pair[1]]));
    let text = char::decode_utf16(units)
        .map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect();
    only_text(text)
}

/// Control characters that no text has tell a file of another kind.
fn only_text(text: String) -> Result<String, String> {
    let odd = |c: &char| {
        c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{c}' | '\u{b}' | '\u{85}')
    };
    if text.contains('\0') {
        return Err("it has NUL characters".to_owned());
    }
    let count = text.chars().filter(odd).count();
    if count * 50 > text.len() {
        return Err(format!("it has {count} control characters"));
    }
    Ok(text)
}

/// The 32 characters in which Windows-1252 is not Latin-1.
fn windows_1252(octet: u8) -> char {
    const HIGH: [char; 32] = [
        '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž',
        '\u{8f}', '\u{90}', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}',
        'ž', 'Ÿ',
    ];
    match octet {
        0x80..=0x9F => HIGH[usize::from(octet - 0x80)],
        _ => char::from(octet),
    }
}

/// Every line ends with LF, whatever it ended with before.
fn lines(text: &str, assumptions: &mut Vec<String>) -> String {
    let returns = text.matches('\r').count();
    let pairs = text.matches("\r\n").count();
    if returns > pairs {
        assumptions.push("a carriage return alone ends a line".to_owned());
    }
    text.replace("\r\n", "\n")
        .replace(['\r', '\u{85}', '\u{2028}', '\u{b}'], "\n")
}

fn has_ending(name: &str, endings: &[&str]) -> bool {
    Path::new(name)
        .extension()
        .and_then(|ending| ending.to_str())
        .is_some_and(|ending| endings.iter().any(|it| ending.eq_ignore_ascii_case(it)))
}

fn looks_like_html(text: &str) -> bool {
    let start: String = text.trim_start().chars().take(200).collect();
    let start = start.to_ascii_lowercase();
    start.starts_with("<!doctype html") || start.starts_with("<html")
}

/// Headings of Markdown: `# Title` at the start of at least two lines.
fn looks_like_markdown(text: &str) -> bool {
    let heading = |line: &&str| {
        let rest = line.trim_start_matches('#');
        let marks = line.len() - rest.len();
        (1..=6).contains(&marks) && rest.starts_with(' ') && rest.trim().len() > 1
    };
    text.lines().filter(heading).take(2).count() == 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn read(octets: &[u8]) -> Text {
        decode("a.txt", octets).unwrap()
    }

    #[test]
    fn encodings() {
        let utf8 = read("The user’s box\n".as_bytes());
        assert!(utf8.assumptions.is_empty());
        assert_eq!(read(b"\xEF\xBB\xBFThe user\xE2\x80\x99s box\n"), utf8);
        let wide: Vec<u8> = "\u{feff}The user’s box\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes)
            .collect();
        assert_eq!(read(&wide), utf8);
        let old = read(b"The user\x92s box\n");
        assert_eq!(old.text, utf8.text);
        insta::assert_snapshot!(old.assumptions.join("\n"), @"octet 8 is not UTF-8: the file is read as Windows-1252");
    }

    #[test]
    fn line_ends() {
        assert_eq!(read(b"a\r\nb\n").text, "a\nb\n");
        let old = read(b"a\rb\rc");
        assert_eq!(old.text, "a\nb\nc");
        assert_eq!(old.assumptions.len(), 1);
    }

    #[test]
    fn what_is_no_text_is_told() {
        let why = |octets: &[u8]| decode("a.bin", octets).unwrap_err().to_string();
        insta::assert_snapshot!(why(b"\x7fELF\x00\x00"), @"a.bin: this is no text (it has NUL characters); save the draft as plain text, Markdown, HTML or DOCX");
        insta::assert_snapshot!(why(b" \n\n"), @"a.bin: there is no text in it");
        let archive = why(b"PK\x03\x04nothing");
        assert!(
            archive.starts_with("a.bin: this is no text (a broken archive: "),
            "{archive}"
        );
        insta::assert_snapshot!(why(&vec![b'a'; LIMIT + 1]), @"a.bin: more than 32 MiB; give the part that holds the clauses in question");
    }

    #[test]
    fn a_format_is_known_by_its_name_or_its_look() {
        assert!(decode("a.md", b"text").unwrap().marked);
        assert!(read(b"# One\ntext\n## Two\n").marked);
        assert!(!read(b"#1 is a number\n").marked);
        assert_eq!(read(b"<!DOCTYPE html><p>Text</p>").text.trim(), "Text");
    }
}
