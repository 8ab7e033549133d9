//! Digest credentials for AUTH, as an MSRP client owes them to its relay (RFC 4976 §5.1, §9.1; RFC 7616).
//!
//! Only what a relay may ask for is answered: `qop=auth`, with MD5 or SHA-256. Nothing here waits or writes.

use std::fmt::Write as _;

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, digest};

/// One request for each nonce: the count never rises above one.
const COUNT: &str = "00000001";

/// The value of Authorization that answers a challenge. `uri` is the rightmost URI of To-Path; `cnonce` is
/// ours and new for each request.
///
/// # Errors
/// Why the challenge cannot be answered, in words for the reader of a trace.
pub(super) fn answer(
    challenge: &[u8],
    method: &str,
    uri: &str,
    user: &str,
    password: &str,
    cnonce: &str,
) -> Result<String, String> {
    let challenge = Challenge::parse(challenge)?;
    let hash = challenge.hash;
    let secret = hash.of(&format!("{user}:{}:{password}", challenge.realm));
    let request = hash.of(&format!("{method}:{uri}"));
    let response = hash.of(&format!(
        "{secret}:{}:{COUNT}:{cnonce}:auth:{request}",
        challenge.nonce
    ));
    let mut credentials = format!(
        "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", qop=auth, cnonce={}, nc={COUNT}",
        quoted(user),
        quoted(&challenge.realm),
        quoted(&challenge.nonce),
        quoted(uri),
        quoted(cnonce),
    );
    if let Some(algorithm) = &challenge.algorithm {
        // Never quoted in credentials (RFC 7616 §3.4).
        let _ = write!(credentials, ", algorithm={algorithm}");
    }
    if let Some(opaque) = &challenge.opaque {
        let _ = write!(credentials, ", opaque={}", quoted(opaque));
    }
    Ok(credentials)
}

/// Whether a challenge says that the credentials were right and only the nonce too old (RFC 7616 §3.3).
pub(super) fn is_stale(challenge: &[u8]) -> bool {
    let text = String::from_utf8_lossy(challenge);
    let parameters = text.trim().split_once([' ', '\t']);
    let parameters = parameters.and_then(|(_, parameters)| parameters_of(parameters).ok());
    parameters.is_some_and(|parameters| {
        let mut all = parameters.iter();
        all.any(|(name, value)| {
            name.eq_ignore_ascii_case("stale") && value.eq_ignore_ascii_case("true")
        })
    })
}

/// What WWW-Authenticate asks for.
#[derive(Debug)]
struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As written.
    algorithm: Option<String>,
    hash: Hash,
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Md5,
    Sha256,
}

impl Hash {
    /// The digest in lower-case hexadecimal digits.
    fn of(self, text: &str) -> String {
        let octets: Vec<u8> = match self {
            Self::Md5 => Md5::digest(text.as_bytes()).to_vec(),
            Self::Sha256 => digest(&SHA256, text.as_bytes()).as_ref().to_vec(),
        };
        octets.iter().fold(String::new(), |mut digits, octet| {
            let _ = write!(digits, "{octet:02x}");
            digits
        })
    }
}

impl Challenge {
    fn parse(value: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(value)
            .map_err(|_| "the challenge is not UTF-8".to_owned())?
            .trim();
        let parameters = match text.split_once([' ', '\t']) {
            Some((scheme, parameters)) if scheme.eq_ignore_ascii_case("Digest") => parameters,
            _ => return Err(format!("the challenge is no Digest challenge: `{text}`")),
        };
        let parameters = parameters_of(parameters)?;
        let one = |name: &str| {
            let mut all = parameters.iter();
            all.find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        let needed = |name: &str| one(name).ok_or_else(|| format!("the challenge has no {name}"));
        let algorithm = one("algorithm");
        let hash = match algorithm.as_deref() {
            None => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("MD5") => Hash::Md5,
            Some(name) if name.eq_ignore_ascii_case("SHA-256") => Hash::Sha256,
            Some(name) => {
                return Err(format!(
                    "the challenge wants algorithm {name}; MD5 and SHA-256 are known here"
                ));
            }
        };
        // RFC 4976 §9.1: there is always a qop, and it never is auth-int alone.
        let offered = needed("qop")?;
        let fits = offered
            .split(',')
            .any(|qop| qop.trim().eq_ignore_ascii_case("auth"));
        if !fits {
            return Err(format!("the challenge wants qop `{offered}`, not `auth`"));
        }
        Ok(Self {
            realm: needed("realm")?,
            nonce: needed("nonce")?,
            opaque: one("opaque"),
            algorithm,
            hash,
        })
    }
}

/// `name=value` pairs between commas; values as tokens or quoted strings.
fn parameters_of(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut rest = text.trim_start();
    let mut parameters = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or_else(|| format!("`{rest}` in the challenge is no name=value"))?;
        let after = after.trim_start();
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        parameters.push((name.trim().to_owned(), value));
        let left = left.trim_start();
        rest = match left.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if left.is_empty() => left,
            None => return Err(format!("`{left}` follows a parameter of the challenge")),
        };
    }
    Ok(parameters)
}

/// The value of a quoted string whose first quote is gone, and what follows it.
fn unquoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            other => value.push(other),
        }
    }
    Err("a quoted string of the challenge has no end".to_owned())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    const URI: &str = "msrp://relay.example.org:2855;tcp";

    fn response_of(credentials: &str) -> String {
        let (_, rest) = credentials.split_once("response=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        // RFC 7616 §3.9.1, whose requests are those of HTTP.
        let answered = |algorithm: &str| {
            let challenge = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let (user, password) = ("Mufasa", "Circle of Life");
            answer(
                challenge.as_bytes(),
                "GET",
                "/dir/index.html",
                user,
                password,
                cnonce,
            )
            .unwrap()
        };
        assert_eq!(
            response_of(&answered("MD5")),
            "8ca523f5e9506fed4657c9700eebdbec"
        );
        let credentials = answered("SHA-256");
        assert_eq!(
            response_of(&credentials),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(credentials.contains(", algorithm=SHA-256, opaque=\"FQhe/"));
    }

    #[test]
    fn values_are_quoted_where_rfc_4976_wants_it() {
        let challenge = br#"digest realm="a \"b\"",nonce=abc, qop=auth"#;
        let credentials = answer(challenge, "AUTH", URI, "alice", "secret", "c1").unwrap();
        assert!(
            credentials.starts_with(
                r#"Digest username="alice", realm="a \"b\"", nonce="abc", uri="msrp://relay.example.org:2855;tcp", response=""#
            ),
            "{credentials}"
        );
        assert!(credentials.ends_with(r#"", qop=auth, cnonce="c1", nc=00000001"#));
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let why = |challenge: &str| {
            answer(challenge.as_bytes(), "AUTH", URI, "alice", "secret", "c1").unwrap_err()
        };
        let all = [
            "Basic realm=\"x\"",
            "Digest realm=\"x\", nonce=\"n\"",
            "Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"",
            "Digest realm=\"x\", qop=\"auth\"",
            "Digest realm=\"x\", nonce=\"n\", qop=auth, algorithm=MD5-sess",
            "Digest realm=\"x, nonce=n",
            "Digest realm=\"x\" nonce=\"n\"",
            "Digest realm",
        ]
        .map(why);
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_stale_nonce_is_no_wrong_password() {
        assert!(is_stale(br#"Digest realm="r", nonce="n", stale=TRUE"#));
        assert!(is_stale(br#"Digest realm="r", stale="true", nonce="n""#));
        assert!(!is_stale(
            br#"Digest realm="stale=true", nonce="n", stale=false"#
        ));
        assert!(!is_stale(b"Digest"));
    }

    proptest! {
        #[test]
        fn no_challenge_makes_it_panic(challenge in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = answer(&challenge, "AUTH", URI, "alice", "secret", "c1");
        }

        #[test]
        fn what_is_quoted_is_read_back(text in "[ -~]{0,40}") {
            let quoted = quoted(&text);
            prop_assert_eq!(unquoted(&quoted[1..]), Ok((text, "")));
        }
    }
}
