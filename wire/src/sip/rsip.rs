//! Conversions to and from the types of the `rsip` crate: for users who have `rsip` code, and as a
//! second opinion on plain messages. Only with the feature `rsip`.
//!
//! `rsip` 0.4 is unmaintained and knows less than the wire carries, so conversions *to* it can
//! fail, and a way there and back loses what it does not keep. What was measured:
//!
//! * It parses neither folded fields nor white space before the colon, and takes compact names for
//!   unknown headers. The conversion from [`Message`] unfolds and spells names out, so these
//!   arrive.
//! * It keeps no spelling of known header names (`CSEQ` becomes `CSeq`), and no reason phrase: that
//!   of a known status code is replaced by the name of its own constant (`200 Fine` becomes `200
//!   OK`, 503 gets `ServiceUnavailable`). 202 is no known code to it; 201 is called `Accepted`.
//! * It turns its messages into octets by way of a string, which destroys bodies that are not
//!   UTF-8. The conversions here take the body as octets, both ways.
//! * It does not apply Content-Length; what it is given here is cut already.
//! * It knows 14 methods, in any case (`message` is MESSAGE), the versions 1 and 2, and seven
//!   transports; anything else is an error, also in the `transport` parameter of a URI.
//! * It knows no scheme but `sip` and `sips`, and says so only at times: `im:a@b` is read as the
//!   user `im`, `tel:+12` as the host `tel`. It reads no IPv6 host, and writes one without
//!   brackets. URI headers become a part of the host (`sip:a@b?x=y`) or are dropped; a user part
//!   with a dot, too, is taken for a host (`sip:a.b@c` has the host `a.b@c`).
//! * What comes after the first character that it does not expect is dropped without a word: the
//!   second value of a comma list, the value in `;tag = 1`, a URI parameter with brackets.
//! * It keeps the quotation marks and escapes of a display name as a part of it, and takes a `<` in
//!   it for the start of the URI. Quoted values of header parameters, and white space before a
//!   semicolon, are errors.

use ::rsip::common::uri::auth::Auth;
use ::rsip::common::uri::{self as theirs, Param};
use ::rsip::headers::typed;

use super::build::{Builder, ContentLength};
use super::error::{ParseError, ValueError};
use super::message::{Message, StartLine};
use super::text::is_token;
use super::typed::{CSeq, Host, NameAddr, Params, SipUri, Uri, Via};

/// Why a value does not go over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// `rsip` has no place for it, or would say something else than what is meant.
    #[error("rsip cannot hold {0}")]
    Beyond(&'static str),
    /// `rsip` was asked and refused.
    #[error("rsip does not take it: {0}")]
    Refused(String),
    /// What `rsip` holds is no value of ours.
    #[error("what rsip holds is not valid: {0}")]
    Value(#[from] ValueError),
    /// What `rsip` holds is no message.
    #[error("what rsip holds is not a message: {0}")]
    Message(#[from] ParseError),
}

impl From<::rsip::Error> for ConversionError {
    fn from(error: ::rsip::Error) -> Self {
        Self::Refused(error.to_string())
    }
}

impl TryFrom<&Message> for ::rsip::SipMessage {
    type Error = ConversionError;

    fn try_from(message: &Message) -> Result<Self, Self::Error> {
        // Its own reading of a URI goes wrong too often: it reads a stand-in, and gets the URI from
        // us.
        let (start_line, uri) = match message.start_line() {
            StartLine::Request {
                method,
                uri,
                version,
            } => (
                format!("{method} sip:stand-in {version}").into_bytes(),
                Some(Uri::parse(uri)?),
            ),
            StartLine::Response {
                version,
                status,
                reason,
            } => (
                [format!("{version} {status:03} ").as_bytes(), reason].concat(),
                None,
            ),
        };
        let mut plain = Builder::start_line(start_line);
        for header in message.headers() {
            plain = plain.header(header.canonical_name().as_bytes(), header.value());
        }
        let head = plain.content_length(ContentLength::Omit).octets();
        let mut converted = Self::try_from(&head[..])?;
        if let (Self::Request(request), Some(uri)) = (&mut converted, uri) {
            request.uri = (&uri).try_into()?;
        }
        *converted.body_mut() = message.body().to_vec();
        Ok(converted)
    }
}

impl TryFrom<&::rsip::SipMessage> for Message {
    type Error = ConversionError;

    fn try_from(message: &::rsip::SipMessage) -> Result<Self, Self::Error> {
        let (start_line, headers, body) = match message {
            ::rsip::SipMessage::Request(request) => {
                let ::rsip::Request {
                    method,
                    uri,
                    version,
                    headers,
                    body,
                } = request;
                let uri = Uri::try_from(uri)?;
                (format!("{method} {uri} {version}"), headers, body)
            }
            ::rsip::SipMessage::Response(response) => {
                let ::rsip::Response {
                    status_code,
                    version,
                    headers,
                    body,
                } = response;
                (format!("{version} {status_code}"), headers, body)
            }
        };
        let mut builder = Builder::start_line(start_line).content_length(ContentLength::Omit);
        for header in headers.iter() {
            builder = builder.header_line(header.to_string());
        }
        Ok(builder.body(body.clone()).build()?)
    }
}

impl TryFrom<&Uri> for theirs::Uri {
    type Error = ConversionError;

    fn try_from(uri: &Uri) -> Result<Self, Self::Error> {
        match uri {
            Uri::Sip(sip) => sip.try_into(),
            _ => Err(ConversionError::Beyond(
                "a URI that is neither sip nor sips",
            )),
        }
    }
}

impl TryFrom<&SipUri> for theirs::Uri {
    type Error = ConversionError;

    fn try_from(uri: &SipUri) -> Result<Self, Self::Error> {
        if uri.headers.is_some() {
            return Err(ConversionError::Beyond("the headers of a URI"));
        }
        let scheme = if uri.secure {
            theirs::Scheme::Sips
        } else {
            theirs::Scheme::Sip
        };
        let auth = uri.user.clone().map(|user| Auth {
            user,
            password: uri.password.clone(),
        });
        Ok(Self {
            scheme: Some(scheme),
            auth,
            host_with_port: host_with_port(&uri.host, uri.port)?,
            params: to_params(&uri.params)?,
            headers: Vec::new(),
        })
    }
}

impl TryFrom<&theirs::Uri> for Uri {
    type Error = ConversionError;

    fn try_from(uri: &theirs::Uri) -> Result<Self, Self::Error> {
        let secure = match &uri.scheme {
            Some(theirs::Scheme::Sip) => false,
            Some(theirs::Scheme::Sips) => true,
            // Its own reading of every other scheme is wrong or partial.
            Some(theirs::Scheme::Other(_)) | None => {
                return Err(ConversionError::Beyond(
                    "a URI that is neither sip nor sips",
                ));
            }
        };
        let sip = SipUri {
            secure,
            user: uri.auth.as_ref().map(|auth| auth.user.clone()),
            password: uri.auth.as_ref().and_then(|auth| auth.password.clone()),
            host: from_host(uri.host())?,
            port: uri.port().map(|port| *port.value()),
            params: from_params(&uri.params),
            headers: None,
        };
        // It checks nothing that it is given, so what comes out is read as if it came from the
        // wire.
        Ok(Self::parse(sip.to_string().as_bytes())?)
    }
}

/// The three headers that `rsip` holds as display name, URI and parameters.
macro_rules! name_addr {
    ($($theirs:ident),*) => {$(
        impl TryFrom<&NameAddr> for typed::$theirs {
            type Error = ConversionError;

            fn try_from(address: &NameAddr) -> Result<Self, Self::Error> {
                Ok(Self {
                    display_name: address.display_name.as_deref().map(to_display_name).transpose()?,
                    uri: (&address.uri).try_into()?,
                    params: to_params(&address.params)?,
                })
            }
        }

        impl TryFrom<&typed::$theirs> for NameAddr {
            type Error = ConversionError;

            fn try_from(address: &typed::$theirs) -> Result<Self, Self::Error> {
                Ok(Self {
                    display_name: from_display_name(address.display_name.as_deref())?,
                    uri: (&address.uri).try_into()?,
                    params: from_params(&address.params),
                })
            }
        }
    )*};
}

name_addr!(From, To, Contact);

impl TryFrom<&CSeq> for typed::CSeq {
    type Error = ConversionError;

    fn try_from(cseq: &CSeq) -> Result<Self, Self::Error> {
        Ok(Self {
            seq: cseq.number,
            method: cseq.method.parse()?,
        })
    }
}

impl From<&typed::CSeq> for CSeq {
    fn from(cseq: &typed::CSeq) -> Self {
        Self {
            number: cseq.seq,
            method: cseq.method.to_string(),
        }
    }
}

impl TryFrom<&Via> for typed::Via {
    type Error = ConversionError;

    fn try_from(via: &Via) -> Result<Self, Self::Error> {
        if !via.protocol.eq_ignore_ascii_case("SIP") {
            return Err(ConversionError::Beyond("a protocol other than SIP"));
        }
        let version = match via.version.as_str() {
            "1.0" => ::rsip::Version::V1,
            "2.0" => ::rsip::Version::V2,
            _ => return Err(ConversionError::Beyond("a version other than 1.0 and 2.0")),
        };
        Ok(Self {
            version,
            transport: via.transport.parse()?,
            uri: host_with_port(&via.host, via.port)?.into(),
            params: to_params(&via.params)?,
        })
    }
}

impl TryFrom<&typed::Via> for Via {
    type Error = ConversionError;

    fn try_from(via: &typed::Via) -> Result<Self, Self::Error> {
        let version = match via.version {
            ::rsip::Version::V1 => "1.0",
            ::rsip::Version::V2 => "2.0",
        };
        Ok(Self {
            protocol: "SIP".to_owned(),
            version: version.to_owned(),
            transport: via.transport.to_string(),
            host: from_host(via.uri.host())?,
            port: via.uri.port().map(|port| *port.value()),
            params: from_params(&via.params),
        })
    }
}

fn host_with_port(host: &Host, port: Option<u16>) -> Result<theirs::HostWithPort, ConversionError> {
    let host = match host {
        Host::Name(name) => theirs::Host::Domain(name.as_str().into()),
        Host::Ip(std::net::IpAddr::V6(_)) => {
            return Err(ConversionError::Beyond(
                "an IPv6 host: it writes them without brackets",
            ));
        }
        Host::Ip(address) => theirs::Host::IpAddr(*address),
    };
    Ok(theirs::HostWithPort {
        host,
        port: port.map(Into::into),
    })
}

fn from_host(host: &theirs::Host) -> Result<Host, ConversionError> {
    match host {
        theirs::Host::IpAddr(address) => Ok(Host::Ip(*address)),
        theirs::Host::Domain(name) => Ok(Host::parse(name.to_string().as_bytes())?),
    }
}

fn to_params(params: &Params) -> Result<Vec<Param>, ConversionError> {
    let is_plain = |text: &str| text.bytes().all(is_token);
    params
        .iter()
        .map(|(name, value)| {
            if !is_plain(name) || !value.is_none_or(is_plain) {
                return Err(ConversionError::Beyond(
                    "a parameter that is not made of tokens",
                ));
            }
            Ok(Param::try_from((name, value))?)
        })
        .collect()
}

fn from_params(params: &[Param]) -> Params {
    let split = |param: &Param| {
        let text = param.to_string();
        let text = text.strip_prefix(';').unwrap_or(&text);
        match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.to_owned(), None),
        }
    };
    Params(params.iter().map(split).collect())
}

/// With the quotation marks and escapes that it takes for a part of the name.
fn to_display_name(name: &str) -> Result<String, ConversionError> {
    if name.contains(['<', '>']) {
        return Err(ConversionError::Beyond(
            "a display name with angle brackets",
        ));
    }
    if name.bytes().all(|octet| is_token(octet) || octet == b' ') {
        return Ok(name.to_owned());
    }
    Ok(format!(
        "\"{}\"",
        name.replace('\\', "\\\\").replace('"', "\\\"")
    ))
}

fn from_display_name(name: Option<&str>) -> Result<Option<String>, ConversionError> {
    let Some(name) = name else { return Ok(None) };
    Ok(NameAddr::parse(format!("{name} <sip:x>").as_bytes())?.display_name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use ::rsip::SipMessage;
    use ::rsip::prelude::{HasHeaders, HeadersExt, ToTypedHeader, UntypedHeader};

    use super::*;
    use crate::sip::typed::{From, To, TypedHeader};

    const MESSAGE: &[u8] = b"MESSAGE sip:a.b@h:5070;transport=tcp SIP/2.0\r\n\
        v : SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport\r\nf: \"A, B\"\r\n <sip:a@h>;tag=1\r\n\
        t: sip:b@h\r\ni: 1@h\r\nX-Any: 1\r\ncseq: 01 MESSAGE\r\nl: 3\r\n\r\n\x00\xff\xfesurplus";

    fn message() -> Message {
        Message::parse(MESSAGE).unwrap()
    }

    #[test]
    fn messages_go_over_and_back() {
        let theirs = SipMessage::try_from(&message()).unwrap();
        let SipMessage::Request(request) = &theirs else {
            panic!("a request")
        };
        assert_eq!(request.uri.user(), Some("a.b"));
        assert_eq!(request.body, [0, 255, 254]);
        assert_eq!(request.call_id_header().unwrap().value(), "1@h");
        assert_eq!(
            request.from_header().unwrap().value(),
            "\"A, B\" <sip:a@h>;tag=1"
        );
        assert_eq!(
            request
                .via_header()
                .unwrap()
                .typed()
                .unwrap()
                .branch()
                .unwrap()
                .value(),
            "z9hG4bK1"
        );

        let back = Message::try_from(&theirs).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&back.octets()[..back.body_range().start]),
            "MESSAGE sip:a.b@h:5070;transport=TCP SIP/2.0\r\n\
             Via: SIP/2.0/UDP 192.0.2.1:5062;branch=z9hG4bK1;rport\r\n\
             From: \"A, B\" <sip:a@h>;tag=1\r\nTo: sip:b@h\r\nCall-ID: 1@h\r\nX-Any: 1\r\n\
             CSeq: 01 MESSAGE\r\nContent-Length: 3\r\n\r\n"
        );
        assert_eq!(back.body(), [0, 255, 254]);
    }

    #[test]
    fn values_go_over_and_back() {
        let from = message().typed::<From>().unwrap().unwrap().0;
        let theirs = typed::From::try_from(&from).unwrap();
        assert_eq!(theirs.to_string(), "\"A, B\" <sip:a@h>;tag=1");
        assert_eq!(NameAddr::try_from(&theirs), Ok(from));
        let to = message().typed::<To>().unwrap().unwrap().0;
        assert_eq!(
            NameAddr::try_from(&typed::To::try_from(&to).unwrap()),
            Ok(to)
        );
        let via = message().typed::<Via>().unwrap().unwrap();
        assert_eq!(Via::try_from(&typed::Via::try_from(&via).unwrap()), Ok(via));
        let cseq = message().typed::<CSeq>().unwrap().unwrap();
        assert_eq!(CSeq::from(&typed::CSeq::try_from(&cseq).unwrap()), cseq);
        let odd = NameAddr::parse(br#""a\\\"b" <sip:a@h>"#).unwrap();
        assert_eq!(odd.display_name.as_deref(), Some(r#"a\"b"#));
        assert_eq!(
            NameAddr::try_from(&typed::To::try_from(&odd).unwrap()),
            Ok(odd)
        );
        let contact = NameAddr::parse(b"Bob B. <sips:b:pw@192.0.2.1;lr;x=1>;q=0.7").unwrap();
        assert_eq!(
            NameAddr::try_from(&typed::Contact::try_from(&contact).unwrap()),
            Ok(contact)
        );
    }

    #[test]
    fn what_does_not_go_over_is_an_error() {
        let uri = |text: &str| theirs::Uri::try_from(&Uri::parse(text.as_bytes()).unwrap());
        for beyond in [
            "im:a@b",
            "tel:+1",
            "urn:a:b",
            "sip:a@[::1]",
            "sip:a@b?x=y",
            "sip:a@b;x=[::1]",
        ] {
            assert!(
                matches!(uri(beyond), Err(ConversionError::Beyond(_))),
                "{beyond}"
            );
        }
        assert!(matches!(
            uri("sip:a@b;transport=x"),
            Err(ConversionError::Refused(_))
        ));
        let cseq = CSeq {
            number: 1,
            method: "FOO".to_owned(),
        };
        assert!(matches!(
            typed::CSeq::try_from(&cseq),
            Err(ConversionError::Refused(_))
        ));
        for refused in ["FOO sip:a@b SIP/2.0\r\n\r\n", "ACK sip:a@b SIP/3.0\r\n\r\n"] {
            assert!(
                SipMessage::try_from(&Message::parse(refused).unwrap()).is_err(),
                "{refused}"
            );
        }
        let mut their_uri = uri("sip:a@b").unwrap();
        their_uri.auth = Some(Auth {
            user: "not a user".to_owned(),
            password: None,
        });
        assert!(matches!(
            Uri::try_from(&their_uri),
            Err(ConversionError::Value(_))
        ));
        their_uri.scheme = None;
        assert!(matches!(
            Uri::try_from(&their_uri),
            Err(ConversionError::Beyond(_))
        ));
    }

    /// The traps of the module's documentation. A newer `rsip` that falls out of one is told here.
    #[test]
    fn traps_are_as_described() {
        let direct = |text: &str| SipMessage::try_from(text.as_bytes());
        let via = "Via: SIP/2.0/UDP h;branch=1\r\n";
        assert!(direct(&format!("ACK sip:a@b SIP/2.0\r\n{via}X: 1\r\n 2\r\n\r\n")).is_err());
        assert!(direct(&format!("ACK sip:a@b SIP/2.0\r\n{via}X : 1\r\n\r\n")).is_err());
        let compact = direct("ACK sip:a@b SIP/2.0\r\ni: 1\r\n\r\n").unwrap();
        assert!(compact.call_id_header().is_err());

        let response = direct("SIP/2.0 503 Try later\r\nCSEQ: 1 ACK\r\n\r\n").unwrap();
        assert!(
            response
                .to_string()
                .starts_with("SIP/2.0 503 ServiceUnavailable\r\nCSeq: 1 ACK\r\n")
        );
        assert_eq!(::rsip::StatusCode::from(201).to_string(), "201 Accepted");
        assert_eq!(
            "message".parse::<::rsip::Method>().unwrap(),
            ::rsip::Method::Message
        );

        let uri = |text: &str| theirs::Uri::try_from(text);
        assert_eq!(uri("im:a@b").unwrap().user(), Some("im"));
        assert_eq!(uri("sip:a.b@c").unwrap().host().to_string(), "a.b@c");
        assert_eq!(uri("sip:u;x=a.b@c").unwrap().host().to_string(), "u");
        assert_eq!(uri("sip:a@b?x=y").unwrap().host().to_string(), "b?x=y");
        assert_eq!(uri("sip:a@b;lr?x=y").unwrap().to_string(), "sip:a@b;lr");
        assert_eq!(uri("tel:+12").unwrap().host().to_string(), "tel");
        assert!(uri("sip:a@[::1]").is_err());
        let ipv6 = theirs::Host::from(std::net::IpAddr::from([0_u16; 8]));
        assert_eq!(ipv6.to_string(), "::");

        let from = |text: &str| ::rsip::headers::From::new(text).typed();
        assert_eq!(
            from("\"A\" <sip:a@b>").unwrap().display_name.as_deref(),
            Some("\"A\"")
        );
        assert_eq!(from("\"<\" <sip:a@b>").unwrap().uri.user(), Some("\" <sip"));
        assert!(from("<sip:a@b> ;tag=1").is_err());
        assert_eq!(from("sip:a@b;tag = 1").unwrap().tag(), None);
        assert!(from("<sip:a@b>;x=\"y\"").is_err());
        let vias = ::rsip::headers::Via::new("SIP/2.0/UDP a;branch=1, SIP/2.0/TCP b")
            .typed()
            .unwrap();
        assert_eq!(vias.uri.host().to_string(), "a");
        assert!(compact.headers().iter().next().is_some());
        assert!(From::parse_value(b"<im:a@b>").is_ok());
    }
}
