//! What must not be told: digests that were made with a password of the profile. Whoever reads one can try
//! passwords against it at home (RFC 7616 §5.8), so a trace shows asterisks in its place.

use std::collections::HashSet;

use imspec_reports::record::trace::StoreResult;
use imspec_reports::record::{EventKind, Field, Octets, StoredHeader};

/// What stands in the place of each character of a secret.
const MASK: u8 = b'*';

/// The secrets of a case.
#[derive(Default)]
pub(super) struct Secrets {
    /// Digests, in lower-case hexadecimal digits.
    digests: HashSet<String>,
    /// Whatever else, octet for octet.
    others: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.digests.len() + self.others.len())
    }
}

impl Secrets {
    /// Hides them in an event.
    pub(super) fn hide(&self, event: &mut EventKind) {
        if self.digests.is_empty() && self.others.is_empty() {
            return;
        }
        match event {
            EventKind::Sent(packet) | EventKind::Received(packet) => {
                self.hide_in(&mut packet.octets);
            }
            EventKind::StoreRead {
                result: StoreResult::Records(records),
                ..
            } => {
                for record in records {
                    self.hide_in_fields(&mut record.headers);
                    for part in [
                        &mut record.invite,
                        &mut record.ok,
                        &mut record.bye,
                        &mut record.send,
                    ] {
                        if let Field::Known(part) = part {
                            self.hide_in_fields(&mut part.headers);
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn hide_in_fields(&self, fields: &mut [StoredHeader]) {
        for field in fields {
            self.hide_in(&mut field.value);
        }
    }

    fn hide_in(&self, octets: &mut Octets) {
        if let Some(masked) = self.masked(octets) {
            *octets = masked.into();
        }
    }

    /// A digest.
    pub(super) fn digest(&mut self, digits: &str) {
        self.digests.insert(digits.to_ascii_lowercase());
    }

    /// Something that is looked for as it is, such as the token of Basic.
    pub(super) fn other(&mut self, octets: &[u8]) {
        if !octets.is_empty() && !self.others.iter().any(|known| known == octets) {
            self.others.push(octets.to_vec());
        }
    }

    /// The octets without the secrets in them, as long as before; `None` where there are none. A digest is
    /// found however it is quoted and in whatever case.
    pub(super) fn masked(&self, octets: &[u8]) -> Option<Vec<u8>> {
        let mut masked: Option<Vec<u8>> = None;
        let mut hide = |from: usize, to: usize| {
            let masked = masked.get_or_insert_with(|| octets.to_vec());
            if let Some(secret) = masked.get_mut(from..to) {
                secret.fill(MASK);
            }
        };
        if !self.digests.is_empty() {
            let mut at = 0;
            while let Some(found) = octets
                .get(at..)
                .and_then(|rest| rest.iter().position(u8::is_ascii_hexdigit))
            {
                let from = at + found;
                let length = octets.get(from..).map_or(0, |rest| {
                    let end = rest.iter().position(|octet| !octet.is_ascii_hexdigit());
                    end.unwrap_or(rest.len())
                });
                at = from + length;
                if matches!(length, 32 | 64) {
                    let digits = String::from_utf8_lossy(octets.get(from..at).unwrap_or_default());
                    if self.digests.contains(&digits.to_ascii_lowercase()) {
                        hide(from, at);
                    }
                }
            }
        }
        for secret in &self.others {
            let places = octets.windows(secret.len()).enumerate();
            for (from, _) in places.filter(|(_, window)| window == secret) {
                hide(from, from + secret.len());
            }
        }
        masked
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const DIGEST: &str = "8ca523f5e9506fed4657c9700eebdbec";

    fn secrets() -> Secrets {
        let mut secrets = Secrets::default();
        secrets.digest(DIGEST);
        secrets.other(b"YWxpY2U6c2VjcmV0");
        secrets
    }

    fn masked(text: &str) -> Option<String> {
        let masked = secrets().masked(text.as_bytes());
        masked.map(|octets| String::from_utf8(octets).unwrap())
    }

    #[test]
    fn a_digest_is_hidden_however_it_is_written() {
        let stars = "*".repeat(32);
        for (before, after) in [
            ("response=\"", "\", nc=1"),
            ("response=", ""),
            ("", "\r\n"),
            ("X: g", "g"),
        ] {
            for digest in [DIGEST.to_owned(), DIGEST.to_uppercase()] {
                assert_eq!(
                    masked(&format!("{before}{digest}{after}")),
                    Some(format!("{before}{stars}{after}"))
                );
            }
        }
        assert_eq!(
            masked("Authorization: Basic YWxpY2U6c2VjcmV0\r\n"),
            Some("Authorization: Basic ****************\r\n".into())
        );
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "",
            "response=\"00000000000000000000000000000000\"",
            "nonce=\"8ca523f5e9506fed4657c9700eebdbec00\"",
            "response=\"8ca523f5e9506fed\"",
        ] {
            assert_eq!(masked(text), None, "{text}");
        }
        assert_eq!(Secrets::default().masked(DIGEST.as_bytes()), None);
    }

    #[test]
    fn programmers_see_their_number() {
        assert_eq!(format!("{:?}", secrets()), "2 secrets");
    }

    proptest! {
        #[test]
        fn no_octet_is_lost(before in proptest::collection::vec(any::<u8>(), 0..80), after in "[^0-9A-Fa-f].{0,40}") {
            let mut octets = before.clone();
            octets.push(b' ');
            octets.extend_from_slice(DIGEST.as_bytes());
            octets.extend_from_slice(after.as_bytes());
            let masked = secrets().masked(&octets).unwrap();
            prop_assert_eq!(masked.len(), octets.len());
            prop_assert_eq!(&masked[..before.len()], &before[..]);
            prop_assert!(secrets().masked(&masked).is_none());
        }
    }
}
