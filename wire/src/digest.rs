//! Digest authentication (RFC 7616) as SIP uses it (RFC 3261 §22, RFC 8760), and MSRP towards relays
//! (RFC 4976 §9.1): challenges and credentials read and written, and the digests between them.
//!
//! Nothing here draws a nonce, counts or decides: client and server do that, each in its own house.

use std::fmt::{self, Write as _};

use md5::{Digest as _, Md5};
use ring::digest::{SHA256, SHA512_256, digest};

/// Why an authentication header field could not be read, or a challenge not be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not text.
    #[error("it is not UTF-8")]
    NotText,
    /// Not the grammar of RFC 3261 §25.1.
    #[error("{expected} is missing at octet {at}")]
    Syntax {
        /// Offset into the value.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Another scheme.
    #[error("the scheme is {0}, not Digest")]
    Scheme(String),
    /// A parameter that must be there.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A parameter that stands there twice, so that nobody knows which one counts.
    #[error("it has several {0}")]
    Repeated(String),
    /// An algorithm that is not known here.
    #[error(
        "it wants algorithm {0}; MD5, SHA-256, SHA-512-256 and their -sess forms are known here"
    )]
    Algorithm(String),
    /// A quality of protection that is not known here.
    #[error("it wants qop `{0}`; auth and auth-int are known here")]
    Qop(String),
    /// A value that is none.
    #[error("its {0} cannot be read")]
    Value(&'static str),
}

/// One value of an authentication header field: a scheme, and parameters or a token.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthValue {
    /// `Digest`, as written.
    pub scheme: String,
    /// What `Basic` has in the place of parameters.
    pub token: Option<String>,
    /// Names as written, values without quotes.
    pub params: Vec<(String, String)>,
}

/// Values would be secrets in credentials.
impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.params.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("AuthValue")
            .field("scheme", &self.scheme)
            .field("params", &names)
            .finish_non_exhaustive()
    }
}

impl AuthValue {
    /// Reads the values of one field. RFC 3261 §7.3.1 has one in each field; a list, as HTTP knows it, is
    /// read all the same.
    pub fn parse_all(value: &[u8]) -> Result<Vec<Self>, DigestError> {
        let text = std::str::from_utf8(value).map_err(|_| DigestError::NotText)?;
        let mut reader = Reader { text, at: 0 };
        let mut all = Vec::new();
        loop {
            reader.skip(|octet| is_space(octet) || octet == b',');
            if reader.is_at_end() {
                return Ok(all);
            }
            all.push(reader.value()?);
        }
    }

    /// The value of a parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut all = self.params.iter();
        all.find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Whether it is of that scheme.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The parameters of Digest, each there once at most.
    fn digest(&self) -> Result<&Self, DigestError> {
        if !self.is("Digest") {
            return Err(DigestError::Scheme(self.scheme.clone()));
        }
        for (index, (name, _)) in self.params.iter().enumerate() {
            let before = self.params.get(..index).unwrap_or_default();
            if before
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
            {
                return Err(DigestError::Repeated(name.clone()));
            }
        }
        Ok(self)
    }

    fn needed(&self, name: &'static str) -> Result<String, DigestError> {
        self.param(name)
            .map(str::to_owned)
            .ok_or(DigestError::Missing(name))
    }
}

/// Hash functions (RFC 8760 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// RFC 1321.
    Md5,
    /// FIPS 180-4.
    Sha256,
    /// FIPS 180-4: SHA-512 with initial values of its own, cut to 256 bits.
    Sha512_256,
}

impl Hash {
    /// All, the strongest first.
    pub const ALL: [Self; 3] = [Self::Sha512_256, Self::Sha256, Self::Md5];

    /// As `algorithm` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
        }
    }

    /// The digest in lower-case hexadecimal digits.
    fn of(self, parts: &[&[u8]]) -> String {
        let data = parts.join(&b':');
        let octets: Vec<u8> = match self {
            Self::Md5 => Md5::digest(&data).to_vec(),
            Self::Sha256 => digest(&SHA256, &data).as_ref().to_vec(),
            Self::Sha512_256 => digest(&SHA512_256, &data).as_ref().to_vec(),
        };
        octets.iter().fold(String::new(), |mut digits, octet| {
            let _ = write!(digits, "{octet:02x}");
            digits
        })
    }
}

/// What `algorithm` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Algorithm {
    /// The hash function.
    pub hash: Hash,
    /// Whether it is the `-sess` form.
    pub session: bool,
}

impl Algorithm {
    /// Reads the parameter; without it the algorithm is MD5 (RFC 7616 §3.3).
    pub fn parse(written: Option<&str>) -> Result<Self, DigestError> {
        let Some(written) = written else {
            return Ok(Self {
                hash: Hash::Md5,
                session: false,
            });
        };
        let upper = written.to_ascii_uppercase();
        let (name, session) = match upper.strip_suffix("-SESS") {
            Some(name) => (name, true),
            None => (upper.as_str(), false),
        };
        let known = Hash::ALL.into_iter().find(|hash| hash.as_str() == name);
        known
            .map(|hash| Self { hash, session })
            .ok_or_else(|| DigestError::Algorithm(written.to_owned()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suffix = if self.session { "-sess" } else { "" };
        write!(f, "{}{suffix}", self.hash.as_str())
    }
}

/// Quality of protection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qop {
    /// The request line is protected.
    Auth,
    /// The body, too.
    AuthInt,
}

impl Qop {
    fn parse(text: &str) -> Option<Self> {
        let known = [Self::Auth, Self::AuthInt].into_iter();
        let mut known = known.filter(|qop| text.eq_ignore_ascii_case(qop.as_str()));
        known.next()
    }

    /// As written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }
}

/// A Digest challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose password is wanted.
    pub realm: String,
    /// What the answer must contain.
    pub nonce: String,
    /// Goes back as it is.
    pub opaque: Option<String>,
    /// Whether only the nonce was too old (RFC 7616 §3.3).
    pub stale: bool,
    /// As written; `None` is MD5.
    pub algorithm: Option<String>,
    /// The choices, as written; `None` where there is no `qop`, as in RFC 2069.
    pub qop: Option<Vec<String>>,
}

/// Who answers a challenge.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    /// `username`
    pub user: &'a str,
    /// The password.
    pub password: &'a str,
}

impl fmt::Debug for Login<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// What of a request goes into the digest.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Method.
    pub method: &'a str,
    /// `uri`
    pub uri: &'a str,
    /// The body, which counts for `auth-int` alone.
    pub body: &'a [u8],
}

impl Challenge {
    /// Reads a value of WWW-Authenticate or Proxy-Authenticate.
    pub fn read(value: &AuthValue) -> Result<Self, DigestError> {
        let value = value.digest()?;
        Ok(Self {
            realm: value.needed("realm")?,
            nonce: value.needed("nonce")?,
            opaque: value.param("opaque").map(str::to_owned),
            stale: value
                .param("stale")
                .is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
            algorithm: value.param("algorithm").map(str::to_owned),
            qop: value.param("qop").map(|list| {
                let words = list.split(',').map(str::trim);
                words
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned)
                    .collect()
            }),
        })
    }

    /// Whether there are both an algorithm and a quality of protection that are known here.
    pub fn supported(&self) -> Result<(), DigestError> {
        Algorithm::parse(self.algorithm.as_deref())?;
        self.protection().map(drop)
    }

    /// What the answer protects: `auth` where it is offered; `None` where nothing is said.
    pub fn protection(&self) -> Result<Option<Qop>, DigestError> {
        let Some(offered) = &self.qop else {
            return Ok(None);
        };
        let known: Vec<Qop> = offered.iter().filter_map(|word| Qop::parse(word)).collect();
        match known.as_slice() {
            all if all.contains(&Qop::Auth) => Ok(Some(Qop::Auth)),
            [] => Err(DigestError::Qop(offered.join(", "))),
            _ => Ok(Some(Qop::AuthInt)),
        }
    }

    /// The credentials that answer it. `count` is how often the nonce was used, this time included;
    /// `cnonce` is the client's own and new.
    pub fn answer(
        &self,
        login: Login<'_>,
        asked: Asked<'_>,
        count: u32,
        cnonce: &str,
    ) -> Result<Credentials, DigestError> {
        let qop = self.protection()?;
        let mut credentials = Credentials {
            username: login.user.to_owned(),
            realm: self.realm.clone(),
            nonce: self.nonce.clone(),
            uri: asked.uri.to_owned(),
            response: String::new(),
            algorithm: self.algorithm.clone(),
            // RFC 2617 §3.2.2: never without `qop`.
            cnonce: qop.map(|_| cnonce.to_owned()),
            opaque: self.opaque.clone(),
            qop: qop.map(|qop| qop.as_str().to_owned()),
            count: qop.map(|_| format!("{count:08x}")),
        };
        credentials.response = credentials.expected(login.password, asked.method, asked.body)?;
        Ok(credentials)
    }
}

impl fmt::Display for Challenge {
    /// The value of a header field, as RFC 7616 §3.3 wants it quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest realm={}, nonce={}",
            Quoted(&self.realm),
            Quoted(&self.nonce)
        )?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        if self.stale {
            f.write_str(", stale=true")?;
        }
        if let Some(algorithm) = &self.algorithm {
            write!(f, ", algorithm={algorithm}")?;
        }
        if let Some(qop) = &self.qop {
            write!(f, ", qop={}", Quoted(&qop.join(",")))?;
        }
        Ok(())
    }
}

/// Digest credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// Where that user is known.
    pub realm: String,
    /// The server's.
    pub nonce: String,
    /// What is asked for.
    pub uri: String,
    /// The proof.
    pub response: String,
    /// As written; `None` is MD5.
    pub algorithm: Option<String>,
    /// The client's.
    pub cnonce: Option<String>,
    /// As the challenge had it.
    pub opaque: Option<String>,
    /// As written.
    pub qop: Option<String>,
    /// `nc`, as written.
    pub count: Option<String>,
}

/// The response lets guess the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field("nonce", &self.nonce)
            .field("uri", &self.uri)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Reads a value of Authorization or Proxy-Authorization.
    pub fn read(value: &AuthValue) -> Result<Self, DigestError> {
        let value = value.digest()?;
        let given = |name: &str| value.param(name).map(str::to_owned);
        Ok(Self {
            username: value.needed("username")?,
            realm: value.needed("realm")?,
            nonce: value.needed("nonce")?,
            uri: value.needed("uri")?,
            response: value.needed("response")?,
            algorithm: given("algorithm"),
            cnonce: given("cnonce"),
            opaque: given("opaque"),
            qop: given("qop"),
            count: given("nc"),
        })
    }

    /// The response that who knows the password would have given (RFC 7616 §3.4.1).
    pub fn expected(
        &self,
        password: &str,
        method: &str,
        body: &[u8],
    ) -> Result<String, DigestError> {
        let algorithm = Algorithm::parse(self.algorithm.as_deref())?;
        let hash = algorithm.hash;
        let qop = match &self.qop {
            None => None,
            Some(written) => {
                let qop = Qop::parse(written);
                Some(qop.ok_or_else(|| DigestError::Qop(written.clone()))?)
            }
        };
        let cnonce = || self.cnonce.as_deref().ok_or(DigestError::Missing("cnonce"));
        let nonce = self.nonce.as_bytes();
        let user = [
            self.username.as_bytes(),
            self.realm.as_bytes(),
            password.as_bytes(),
        ];
        let mut secret = hash.of(&user);
        if algorithm.session {
            secret = hash.of(&[secret.as_bytes(), nonce, cnonce()?.as_bytes()]);
        }
        let (method, uri) = (method.as_bytes(), self.uri.as_bytes());
        let request = match qop {
            Some(Qop::AuthInt) => hash.of(&[method, uri, hash.of(&[body]).as_bytes()]),
            Some(Qop::Auth) | None => hash.of(&[method, uri]),
        };
        let (secret, request) = (secret.as_bytes(), request.as_bytes());
        let Some(qop) = qop else {
            return Ok(hash.of(&[secret, nonce, request]));
        };
        let count = self.count.as_deref().ok_or(DigestError::Missing("nc"))?;
        let parts = [
            secret,
            nonce,
            count.as_bytes(),
            cnonce()?.as_bytes(),
            qop.as_str().as_bytes(),
            request,
        ];
        Ok(hash.of(&parts))
    }

    /// Whether the response proves the password. It takes as long for a wrong digit at the start as for
    /// one at the end.
    pub fn proves(&self, password: &str, method: &str, body: &[u8]) -> bool {
        let Ok(expected) = self.expected(password, method, body) else {
            return false;
        };
        // Hexadecimal digits mean the same in either case, though LHEX is what is sent.
        let given = self.response.to_ascii_lowercase();
        given.len() == expected.len()
            && given
                .bytes()
                .zip(expected.bytes())
                .fold(0, |differ, (a, b)| differ | (a ^ b))
                == 0
    }

    /// `nc` as a number. RFC 7616 §3.4 has eight hexadecimal digits.
    pub fn number(&self) -> Result<Option<u32>, DigestError> {
        match &self.count {
            None => Ok(None),
            Some(text) if text.len() == 8 && text.bytes().all(|o| o.is_ascii_hexdigit()) => {
                let number = u32::from_str_radix(text, 16);
                number.map(Some).map_err(|_| DigestError::Value("nc"))
            }
            Some(_) => Err(DigestError::Value("nc")),
        }
    }
}

impl fmt::Display for Credentials {
    /// The value of a header field, as RFC 7616 §3.4 wants it quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Digest username={}, realm={}, nonce={}, uri={}, response={}",
            Quoted(&self.username),
            Quoted(&self.realm),
            Quoted(&self.nonce),
            Quoted(&self.uri),
            Quoted(&self.response),
        )?;
        if let Some(algorithm) = &self.algorithm {
            write!(f, ", algorithm={algorithm}")?;
        }
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", Quoted(opaque))?;
        }
        if let Some(qop) = &self.qop {
            write!(f, ", qop={qop}")?;
        }
        if let Some(cnonce) = &self.cnonce {
            write!(f, ", cnonce={}", Quoted(cnonce))?;
        }
        if let Some(count) = &self.count {
            write!(f, ", nc={count}")?;
        }
        Ok(())
    }
}

/// A quoted string.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(character)?;
        }
        f.write_char('"')
    }
}

/// A place in a field value.
struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn skip(&mut self, class: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest
            .bytes()
            .position(|octet| !class(octet))
            .unwrap_or(rest.len());
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }

    fn error<T>(&self, expected: &'static str) -> Result<T, DigestError> {
        Err(DigestError::Syntax {
            at: self.at,
            expected,
        })
    }

    fn token(&mut self, expected: &'static str) -> Result<&'a str, DigestError> {
        match self.skip(is_token) {
            "" => self.error(expected),
            token => Ok(token),
        }
    }

    fn value(&mut self) -> Result<AuthValue, DigestError> {
        let mut value = AuthValue {
            scheme: self.token("a scheme")?.to_owned(),
            token: None,
            params: Vec::new(),
        };
        if self.skip(is_space).is_empty() && !matches!(self.peek(), None | Some(b',')) {
            return self.error("a space");
        }
        if let Some(token) = self.token68() {
            value.token = Some(token.to_owned());
            return Ok(value);
        }
        while self.begins_parameter() {
            let name = self.token("a parameter")?.to_owned();
            self.skip(is_space);
            if self.skip(|octet| octet == b'=').len() != 1 {
                return self.error("one equals sign");
            }
            self.skip(is_space);
            let given = if self.peek() == Some(b'"') {
                self.at += 1;
                self.quoted()?
            } else {
                // More than tokens: nonces without quotes are seen.
                match self.skip(|octet| !is_space(octet) && !matches!(octet, b',' | b'"')) {
                    "" => return self.error("a value"),
                    plain => plain.to_owned(),
                }
            };
            value.params.push((name, given));
            self.skip(is_space);
            match self.peek() {
                None => break,
                Some(b',') => self.skip(|octet| is_space(octet) || octet == b','),
                Some(_) => return self.error("a comma"),
            };
        }
        Ok(value)
    }

    /// `token68` of RFC 7235 §2.1, alone up to a comma or the end.
    fn token68(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.skip(|octet| octet.is_ascii_alphanumeric() || b"-._~+/".contains(&octet));
        let has_letters = self.at > start;
        self.skip(|octet| octet == b'=');
        let end = self.at;
        self.skip(is_space);
        if has_letters && matches!(self.peek(), None | Some(b',')) {
            return self.text.get(start..end);
        }
        self.at = start;
        None
    }

    /// Whether a parameter follows, and no further scheme.
    fn begins_parameter(&self) -> bool {
        let mut ahead = Self {
            text: self.text,
            at: self.at,
        };
        !ahead.skip(is_token).is_empty() && {
            ahead.skip(is_space);
            ahead.peek() == Some(b'=')
        }
    }

    /// The rest of a quoted string whose first mark is gone.
    fn quoted(&mut self) -> Result<String, DigestError> {
        let mut value = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    self.at += at + 1;
                    return Ok(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                other => value.push(other),
            }
        }
        self.error("a closing quotation mark")
    }
}

/// `LWS`, line ends included, so that a folded value is read.
fn is_space(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r' | b'\n')
}

/// RFC 3261 §25.1, `token`.
fn is_token(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    fn one(value: &str) -> AuthValue {
        let mut all = AuthValue::parse_all(value.as_bytes()).unwrap();
        assert_eq!(all.len(), 1, "{value}");
        all.remove(0)
    }

    fn challenge(value: &str) -> Challenge {
        Challenge::read(&one(value)).unwrap()
    }

    fn answered(value: &str, login: (&str, &str), uri: &str, cnonce: &str) -> Credentials {
        let login = Login {
            user: login.0,
            password: login.1,
        };
        let asked = Asked {
            method: "GET",
            uri,
            body: b"",
        };
        challenge(value).answer(login, asked, 1, cnonce).unwrap()
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        // §3.9.1, whose requests are those of HTTP.
        let of = |algorithm: &str| {
            let value = format!(
                "Digest realm=\"http-auth@example.org\",\r\n qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", \
                 opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            answered(
                &value,
                ("Mufasa", "Circle of Life"),
                "/dir/index.html",
                cnonce,
            )
        };
        assert_eq!(of("MD5").response, "8ca523f5e9506fed4657c9700eebdbec");
        let credentials = of("SHA-256");
        assert_eq!(
            credentials.response,
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
        assert!(credentials.proves("Circle of Life", "GET", b""));
        assert!(!credentials.proves("Circle of life", "GET", b""));
        assert!(!credentials.proves("Circle of Life", "PUT", b""));
    }

    #[test]
    fn sha_512_256_is_no_sha_512_that_was_cut() {
        // §3.9.2 with the value of its erratum 4897: the text has a truncated SHA-512. The name is hashed there.
        let value = "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
                     nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
                     opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true";
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        let credentials = answered(
            value,
            ("J\u{e4}s\u{f8}n Doe", "Secret, or not?"),
            "/doe.json",
            cnonce,
        );
        assert_eq!(
            credentials.response,
            "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        );
    }

    #[test]
    fn the_old_example_without_qop_comes_out() {
        // RFC 2069 §2.4 with the value of its erratum 749.
        let value = "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", \
                     opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"";
        let credentials = answered(
            value,
            ("Mufasa", "CircleOfLife"),
            "/dir/index.html",
            "unused",
        );
        assert_eq!(credentials.response, "1949323746fe6a43ef61f9606e7febea");
        assert_eq!(
            (credentials.cnonce, credentials.count, credentials.qop),
            (None, None, None)
        );
    }

    #[test]
    fn the_hash_of_no_body_is_that_of_nothing() {
        // RFC 8760 §2.6 item 7.
        assert_eq!(
            Hash::Sha256.of(&[b""]),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(Hash::Md5.of(&[b""]), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn every_form_is_proved_by_its_password_and_by_no_other_body() {
        for algorithm in [
            "MD5",
            "MD5-sess",
            "SHA-256",
            "sha-256-SESS",
            "SHA-512-256",
            "SHA-512-256-sess",
        ] {
            for qop in ["auth", "auth-int"] {
                let value =
                    format!("Digest realm=r, nonce=n, algorithm={algorithm}, qop=\"{qop}\"");
                let login = Login {
                    user: "bob",
                    password: "secret",
                };
                let asked = Asked {
                    method: "MESSAGE",
                    uri: "sip:bob@example.org",
                    body: b"Hi",
                };
                let written = challenge(&value)
                    .answer(login, asked, 10, "c")
                    .unwrap()
                    .to_string();
                let read = Credentials::read(&one(&written)).unwrap();
                assert_eq!(read.number(), Ok(Some(10)), "{written}");
                assert!(read.proves("secret", "MESSAGE", b"Hi"), "{written}");
                assert!(!read.proves("Secret", "MESSAGE", b"Hi"), "{written}");
                assert_eq!(
                    read.proves("secret", "MESSAGE", b"Ho"),
                    qop == "auth",
                    "{written}"
                );
                let upper = Credentials {
                    response: read.response.to_ascii_uppercase(),
                    ..read
                };
                assert!(upper.proves("secret", "MESSAGE", b"Hi"), "{written}");
            }
        }
    }

    #[test]
    fn several_challenges_are_told_apart() {
        let all = AuthValue::parse_all(
            b"Digest realm=\"a, b\", nonce=n==, qop=\"auth,auth-int\", Basic realm=\"x\", Negotiate , NTLM TlRM/aA==,\
              digest realm = \"q \\\"r\\\"\" , nonce=\"\", stale=TRUE",
        );
        insta::assert_debug_snapshot!(
            all.unwrap()
                .into_iter()
                .map(|v| (v.scheme, v.token, v.params))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let why = |value: &str| match AuthValue::parse_all(value.as_bytes()) {
            Err(why) => why.to_string(),
            Ok(all) => {
                let read = all.iter().map(|value| {
                    let challenge = Challenge::read(value)?;
                    challenge.supported()
                });
                match read.collect::<Result<Vec<()>, _>>() {
                    Ok(read) => format!("{} read", read.len()),
                    Err(why) => why.to_string(),
                }
            }
        };
        let all = [
            "",
            "Digest",
            "Digest realm=\"x\", nonce=\"n\"",
            "Basic realm=\"x\"",
            "Digest realm=\"x\"",
            "Digest realm=\"x\", nonce=\"n\", nonce=\"m\"",
            "Digest realm=\"x\", nonce=\"n\", qop=\"auth-conf\"",
            "Digest realm=\"x\", nonce=\"n\", qop=\"\"",
            "Digest realm=\"x\", nonce=\"n\", algorithm=SHA-1",
            "Digest realm=\"x, nonce=n",
            "Digest realm=\"x\" nonce=\"n\"",
            "Digest realm=",
            "Digest realm==x",
            "Digest=realm",
            "=",
        ]
        .map(|value| format!("{value}: {}", why(value)));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn counts_have_eight_digits() {
        let mut credentials = answered("Digest realm=r, nonce=n, qop=auth", ("a", "b"), "u", "c");
        assert_eq!(credentials.number(), Ok(Some(1)));
        for count in ["1", "0000000g", "000000010", "+0000001"] {
            credentials.count = Some(count.into());
            assert_eq!(
                credentials.number(),
                Err(DigestError::Value("nc")),
                "{count}"
            );
        }
    }

    #[test]
    fn no_secret_is_shown_to_programmers() {
        let credentials = answered("Digest realm=r, nonce=n, qop=auth", ("a", "pass"), "u", "c");
        let login = Login {
            user: "a",
            password: "pass",
        };
        let shown = format!(
            "{credentials:?} {:?} {login:?}",
            one(&credentials.to_string())
        );
        assert!(
            !shown.contains("pass") && !shown.contains(&credentials.response),
            "{shown}"
        );
    }

    proptest! {
        #[test]
        fn garbage_is_refused_or_read_and_never_panics(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            for value in AuthValue::parse_all(&value).unwrap_or_default() {
                let _ = (Challenge::read(&value), Credentials::read(&value));
            }
        }

        #[test]
        fn what_looks_like_a_challenge_never_panics(value in "(Digest|Basic|[a-z,= ]{0,3})[ ,]{0,2}([a-z]{0,5}=?(\"[ -~]{0,5}\"?|[!-~]{0,5})[, ]{0,3}){0,5}") {
            let once = AuthValue::parse_all(value.as_bytes());
            prop_assert_eq!(&once, &AuthValue::parse_all(value.as_bytes()));
            for value in once.unwrap_or_default() {
                if let Ok(credentials) = Credentials::read(&value) {
                    let _ = (credentials.proves("p", "MESSAGE", b""), credentials.number());
                }
                if let Ok(challenge) = Challenge::read(&value) {
                    let login = Login { user: "a", password: "p" };
                    let _ = challenge.answer(login, Asked { method: "M", uri: "u", body: b"" }, 1, "c");
                }
            }
        }

        #[test]
        fn what_is_written_is_read_back(
            realm in "\\PC{0,20}", nonce in "[ -~]{0,20}", opaque in proptest::option::of("[ -~]{0,20}"),
            stale: bool, algorithm in proptest::option::of("[A-Za-z0-9-]{1,12}"),
            qop in proptest::option::of(proptest::collection::vec("[a-z-]{1,8}", 1..3)),
        ) {
            let challenge = Challenge { realm, nonce, opaque, stale, algorithm, qop };
            let all = AuthValue::parse_all(challenge.to_string().as_bytes()).unwrap();
            prop_assert_eq!(all.len(), 1);
            prop_assert_eq!(Challenge::read(&all[0]), Ok(challenge));
        }
    }
}
