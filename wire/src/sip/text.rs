//! The character classes and the white space of SIP (RFC 3261 §25.1), as the whole codec reads
//! them.

use std::borrow::Cow;

use memchr::memchr;

/// `token`
pub(crate) const fn is_token(octet: u8) -> bool {
    TOKEN[octet as usize]
}

/// SP, HTAB, and the line ends that a folded value may hold.
pub(crate) const fn is_lws(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// SP or HTAB.
pub(crate) const fn is_wsp(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t')
}

const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut octet = 0_u8;
    loop {
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        if octet == u8::MAX {
            break table;
        }
        octet += 1;
    }
};

/// Without white space at either end.
pub(crate) fn trim(octets: &[u8]) -> &[u8] {
    let start = octets
        .iter()
        .position(|o| !is_lws(*o))
        .unwrap_or(octets.len());
    let end = octets
        .iter()
        .rposition(|o| !is_lws(*o))
        .map_or(start, |last| last + 1);
    &octets[start..end]
}

/// A field value as its sender meant it: outer white space gone, every fold one space
/// (RFC 3261 §7.3.1). White space that is not part of a fold stays.
pub(crate) fn unfold(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut rest = trim(raw);
    let Some(mut line_end) = memchr(b'\n', rest) else {
        return Cow::Borrowed(rest);
    };
    let mut value = Vec::with_capacity(rest.len());
    loop {
        value.extend_from_slice(trim_end(&rest[..line_end]));
        value.push(b' ');
        let next = rest[line_end..].iter().position(|o| !is_lws(*o));
        rest = next.map_or(&[], |skip| &rest[line_end + skip..]);
        match memchr(b'\n', rest) {
            Some(at) => line_end = at,
            None => break,
        }
    }
    value.extend_from_slice(rest);
    Cow::Owned(value)
}

/// Every run of white space made one SP, the outer ones gone: the form in which values that differ
/// in linear white space only are the same (RFC 3261 §25.1).
pub(crate) fn squeeze(raw: &[u8]) -> Cow<'_, [u8]> {
    let value = trim(raw);
    let already = !value
        .windows(2)
        .any(|w| is_lws(w[0]) && (is_lws(w[1]) || w[0] != b' '));
    if already {
        return Cow::Borrowed(value);
    }
    let mut squeezed = Vec::with_capacity(value.len());
    let words = value.split(|o| is_lws(*o)).filter(|word| !word.is_empty());
    for (at, word) in words.enumerate() {
        if at > 0 {
            squeezed.push(b' ');
        }
        squeezed.extend_from_slice(word);
    }
    Cow::Owned(squeezed)
}

/// `1*DIGIT` as a number, `u64::MAX` when it is larger. `None` when it is not all digits.
pub(crate) fn digits(octets: &[u8]) -> Option<u64> {
    if octets.is_empty() {
        return None;
    }
    octets.iter().try_fold(0_u64, |number, octet| {
        let digit = octet.is_ascii_digit().then(|| u64::from(octet - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

fn trim_end(octets: &[u8]) -> &[u8] {
    let end = octets
        .iter()
        .rposition(|o| !is_lws(*o))
        .map_or(0, |last| last + 1);
    &octets[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfolding_makes_each_fold_one_space() {
        assert_eq!(&*unfold(b"  plain  value "), b"plain  value");
        assert_eq!(&*unfold(b"a \t\r\n \t b\r\n c"), b"a b c");
        assert_eq!(&*unfold(b"\r\n sip:a@b"), b"sip:a@b");
        assert_eq!(&*unfold(b"a\r\n \r\n b"), b"a b");
        assert_eq!(&*unfold(b"a\n b"), b"a b");
        assert_eq!(&*unfold(b" \r\n "), b"");
        assert_eq!(&*unfold(b"a\rb"), b"a\rb");
    }

    #[test]
    fn squeezing_makes_every_run_one_space() {
        assert_eq!(&*squeeze(b" a \t b\r\n  c "), b"a b c");
        assert_eq!(&*squeeze(b"a\tb"), b"a b");
        assert!(matches!(squeeze(b" a b "), Cow::Borrowed(b"a b")));
    }

    #[test]
    fn digits_saturate() {
        assert_eq!(digits(b"0068"), Some(68));
        assert_eq!(digits(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(digits(b""), None);
        assert_eq!(digits(b"-1"), None);
        assert_eq!(digits(b"1 "), None);
    }
}
