//! Foreign text made safe and visible: what a server sent must never steer the reader's terminal, nor
//! hide from the reader's eye.
//!
//! The escapes are those of a Rust string literal (`\r`, `\x1b`, `\u{202e}`), and a backslash is doubled,
//! so that what is shown can be turned back into the octets without guessing.

use std::fmt::Write;

use unicode_width::UnicodeWidthChar;

/// A stretch of shown text that is either as received or an escape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What to show.
    pub text: String,
    /// Whether it stands for octets that cannot be shown as they are.
    pub escaped: bool,
}

/// Octets as pieces: UTF-8 where it is printable, escapes where not. Neighbours of one kind are joined.
pub fn pieces(octets: &[u8]) -> Vec<Piece> {
    let mut out: Vec<Piece> = Vec::new();
    for chunk in octets.utf8_chunks() {
        for c in chunk.valid().chars() {
            if shows(c) {
                push(&mut out, false, |text| text.push(c));
            } else {
                push(&mut out, true, |text| escape_char(text, c));
            }
        }
        for octet in chunk.invalid() {
            push(&mut out, true, |text| escape_octet(text, *octet));
        }
    }
    out
}

/// Octets as one line of text.
pub fn octets(octets: &[u8]) -> String {
    pieces(octets).into_iter().map(|piece| piece.text).collect()
}

/// Text as one line: nothing in it can move a cursor, change a colour or turn the writing direction.
pub fn line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Unlike octets on the wire, text in words keeps a backslash single: it is prose.
        if shows(c) || c == '\\' {
            out.push(c);
        } else {
            escape_char(&mut out, c);
        }
    }
    out
}

/// Columns that the text takes in a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

/// Columns that one character takes.
pub fn char_width(c: char) -> usize {
    c.width().unwrap_or(0)
}

fn push(out: &mut Vec<Piece>, escaped: bool, write: impl FnOnce(&mut String)) {
    match out.last_mut() {
        Some(last) if last.escaped == escaped => write(&mut last.text),
        _ => {
            let mut text = String::new();
            write(&mut text);
            out.push(Piece { text, escaped });
        }
    }
}

/// Whether a character can be shown as it is.
fn shows(c: char) -> bool {
    match c {
        '\\' => false,
        ' '..='~' => true,
        _ if c.is_ascii() => false,
        // The standard library knows which characters are printable, but tells it only through
        // `escape_debug`, and tells the truth about combining marks only after a first character.
        _ => {
            let mut buffer = [0; 5];
            buffer[0] = b'a';
            c.encode_utf8(&mut buffer[1..]);
            std::str::from_utf8(&buffer[..=c.len_utf8()])
                .is_ok_and(|text| text.escape_debug().eq(text.chars()))
        }
    }
}

fn escape_char(out: &mut String, c: char) {
    match c {
        '\r' => out.push_str("\\r"),
        '\n' => out.push_str("\\n"),
        '\t' => out.push_str("\\t"),
        '\\' => out.push_str("\\\\"),
        _ if c.is_ascii() => escape_octet(out, c as u8),
        _ => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

fn escape_octet(out: &mut String, octet: u8) {
    let _ = write!(out, "\\x{octet:02x}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_can_be_read_and_escapes_the_rest() {
        assert_eq!(
            octets("Grüße, 日本 e\u{301}".as_bytes()),
            "Grüße, 日本 e\u{301}"
        );
        assert_eq!(octets(b"a\tb\r\n"), "a\\tb\\r\\n");
        assert_eq!(octets(b"\x1b[2J\x07\x00"), "\\x1b[2J\\x07\\x00");
        assert_eq!(octets(b"\xc3\x28\xff"), "\\xc3(\\xff");
        assert_eq!(octets("\u{9b}31m".as_bytes()), "\\u{9b}31m");
        assert_eq!(
            octets("\u{202e}\u{200b}\u{feff}\u{2028}".as_bytes()),
            "\\u{202e}\\u{200b}\\u{feff}\\u{2028}"
        );
    }

    #[test]
    fn backslash_of_the_wire_is_not_mistaken_for_an_escape() {
        assert_eq!(octets(b"\\x1b"), "\\\\x1b");
        assert_eq!(line("a\\b\n"), "a\\b\\n");
    }

    #[test]
    fn pieces_keep_received_text_apart_from_escapes() {
        let pieces = pieces(b"a\x00\x01b");
        let shown: Vec<_> = pieces
            .iter()
            .map(|p| (p.text.as_str(), p.escaped))
            .collect();
        assert_eq!(shown, [("a", false), ("\\x00\\x01", true), ("b", false)]);
    }

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
    }
}
