//! Fingerprints: whether two machines have the same suite, the same requirements, the same plan. They guard
//! against mistakes, not against forgery, so a part of the digest is enough.

use ring::digest::{Context, SHA256};

/// Octets of the digest that are shown.
const SHOWN: usize = 8;

/// Fingerprint of a list of texts. Where one ends and the next begins counts, too.
pub(crate) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut digest = Context::new(&SHA256);
    for text in texts {
        digest.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(text.as_bytes());
    }
    let digest = digest.finish();
    let shown = digest.as_ref().iter().take(SHOWN);
    let number = shown.fold(0, |number: u64, octet| number << 8 | u64::from(*octet));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_borders_count() {
        assert_eq!(of(["a", "b"]), of(["a", "b"]));
        assert_ne!(of(["a", "b"]), of(["b", "a"]));
        assert_ne!(of(["a", "b"]), of(["ab"]));
        assert_ne!(of(["a", ""]), of(["a"]));
    }

    #[test]
    fn it_is_the_same_on_every_machine() {
        insta::assert_snapshot!(of(["PG-01", "PG-02"]), @"aab303f1e7a5b4be");
    }
}
