//! RFC 4475 §3.1.1: valid messages that look as if they were not.

use imspec_wire::sip::StartLine;
use imspec_wire::sip::typed::{
    CSeq, Contact, Expires, From, MaxForwards, MediaType, Route, SipDate, To, Uri, Via,
};

use super::{accepted, all, defects, get, octets, valid};

/// §3.1.1.1: folds, white space and letter case wherever they may be.
#[test]
fn a_short_tortuous_message() {
    let message = valid(
        "
MESSAGE sip:harriet@relay.example.net;nosuchparam SIP/2.0
tO  :
  sip:harriet@relay.example.net  ;   tag   =  77aa
fRoM   : \"G Stokes \\\\\\\"\"      <sip:george@example.net>
    ;
    tag = x9y8
MAX-forwards: 0041
call-ID: tortuous.1@192.0.2.77
Content-Length    : 4
cSEQ: 0031
   MESSAGE
Via   : SIP   /    2.0
  /UDP
      192.0.2.9;branch=z9hG4bKouter
s :
Newfangled:    one
  two
\tthree
Unheard-Of: ;;,,;;,;
Content-Type: text/plain
Route:
  <sip:edge.example.net;lr;strange=value;strange-too>
v:   SIP  / 2.0   / TCP       hop1.example.net    ;
   branch   =     z9hG4bKmiddle   ,
  SIP  /     2.0    / UDP   192.0.2.200    ; branch=
  z9hG4bKinner
Expires:
  0600",
        b"text",
    );
    let to: To = get(&message);
    assert_eq!(
        (to.uri.to_string().as_str(), to.tag()),
        ("sip:harriet@relay.example.net", Some("77aa"))
    );
    let from: From = get(&message);
    assert_eq!(from.display_name.as_deref(), Some("G Stokes \\\""));
    assert_eq!(from.tag(), Some("x9y8"));
    assert_eq!(get::<MaxForwards>(&message).0, 41);
    assert_eq!(
        get::<CSeq>(&message),
        CSeq {
            number: 31,
            method: "MESSAGE".to_owned()
        }
    );
    assert_eq!(get::<Expires>(&message).0, 600);
    assert_eq!(message.header("Subject").unwrap().value(), &b""[..]);
    assert_eq!(
        message.header("newfangled").unwrap().text(),
        "one two three"
    );
    assert_eq!(message.header("UNHEARD-OF").unwrap().text(), ";;,,;;,;");
    let vias: Vec<Via> = all(&message);
    let seen: Vec<_> = vias
        .iter()
        .map(|via| {
            (
                via.transport.as_str(),
                via.host.to_string(),
                via.branch().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("UDP", "192.0.2.9".to_owned(), "z9hG4bKouter"),
            ("TCP", "hop1.example.net".to_owned(), "z9hG4bKmiddle"),
            ("UDP", "192.0.2.200".to_owned(), "z9hG4bKinner"),
        ]
    );
    let route: Route = get(&message);
    assert!(route.uri.as_sip().unwrap().params.has("strange-too"));
    assert_eq!(message.body(), b"text");
    assert_eq!(
        message.header("Via").unwrap().line(),
        b"Via   : SIP   /    2.0\r\n  /UDP\r\n      192.0.2.9;branch=z9hG4bKouter"
    );
}

/// §3.1.1.2: every character that a token, a user part, a quoted string and a Call-ID may hold.
#[test]
fn a_wide_range_of_characters() {
    let uri = "sip:2_odd.NAME~(is-it!not)&can't+be$/true?,/;;*:\
        &oh+yes=1,a!*key$~_too.(why'not)@example.org";
    let message = accepted(
        &format!(
            "
~curious-METHOD.42_*+`!%'x {uri} SIP/2.0
Via: SIP/2.0/TCP a.example.org;branch=z9hG4bK.-!%*_+`'~7
To: \"bell:\\\x07 nul:\\\x00 delete:\\\x7f\" <{uri}>
From: one~` two'+_ three*%!.- <sip:plain@example.org>;odd''~+*_!.-%=\"ж中\";tag=t~1'+`*%!-.
Call-ID: wide.%4Zx-!.*_+'@word`~)(><:\\/\"][?}}{{
CSeq: 2147483647 ~curious-METHOD.42_*+`!%'x
Max-Forwards: 255
odd-Name-!.%*+_`'~: \u{feff}停電
Content-Length: 0"
        ),
        b"",
    );
    assert_eq!(defects(&message), []);
    assert_eq!(message.method(), Some("~curious-METHOD.42_*+`!%'x"));
    let to: To = get(&message);
    assert_eq!(
        to.display_name.as_deref(),
        Some("bell:\x07 nul:\x00 delete:\x7f")
    );
    assert_eq!(to.uri.to_string(), uri);
    assert_eq!(
        to.uri.as_sip().unwrap().password.as_deref(),
        Some("&oh+yes=1,a!*key$~_too.(why'not)")
    );
    let from: From = get(&message);
    assert_eq!(
        from.display_name.as_deref(),
        Some("one~` two'+_ three*%!.-")
    );
    assert_eq!(from.params.get("odd''~+*_!.-%"), Some("ж中"));
    assert_eq!(from.tag(), Some("t~1'+`*%!-."));
    assert_eq!(get::<Via>(&message).branch(), Some("z9hG4bK.-!%*_+`'~7"));
    assert_eq!(
        message.header("i").unwrap().text(),
        "wide.%4Zx-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert_eq!(
        message.header("odd-name-!.%*+_`'~").unwrap().text(),
        "\u{feff}停電"
    );
}

/// §3.1.1.3: where `%` is an escape, each is undone once.
#[test]
fn escapes_where_they_are_escapes() {
    let message = valid(
        "
MESSAGE sip:sips%3Aguest%40example.org@example.net SIP/2.0
To: sip:%67ue%73t@example.org
From: <sip:With%20a%20blank@example.net>;tag=42
Max-Forwards: 70
i: escapes.1
CSeq: 7 MESSAGE
Via: SIP/2.0/UDP a.example.net;branch=z9hG4bKescapes
C: text/plain
Route: <sip:hop%31@example.net;%6C%72;k%65y=v%61lue%25%34%31>
Content-Length: 2",
        b"ok",
    );
    let target = Uri::parse(message.request_uri().unwrap()).unwrap();
    let sip = target.as_sip().unwrap();
    assert_eq!(sip.user_decoded().unwrap(), b"sips:guest@example.org");
    assert_eq!(sip.host.to_string(), "example.net");
    let to: To = get(&message);
    assert!(
        to.uri
            .equivalent(&Uri::parse(b"sip:guest@example.org").unwrap())
    );
    let from: From = get(&message);
    assert_eq!(
        from.uri.as_sip().unwrap().user_decoded().unwrap(),
        b"With a blank"
    );
    let route = get::<Route>(&message).uri.clone();
    let is = |text: &str| route.equivalent(&Uri::parse(text.as_bytes()).unwrap());
    assert!(is("sip:hop1@example.net;lr;key=value%2541"));
    assert!(!is("sip:hop1@example.net;lr;key=valueA"));
}

/// §3.1.1.4: an escaped NUL ends nothing.
#[test]
fn escaped_nuls() {
    let message = valid(
        "
REGISTER sip:example.org SIP/2.0
To: sip:zero-%00-zero@example.org
From: sip:zero-%00-zero@example.org;tag=1
Max-Forwards: 70
Call-ID: nul.1
CSeq: 9 REGISTER
Via: SIP/2.0/UDP a.example.org;branch=z9hG4bKnul
Contact: <sip:%00@a.example.org>
Contact: <sip:%00%00@a.example.org>
L:0",
        b"",
    );
    let to: To = get(&message);
    let aor = to.uri.as_sip().unwrap();
    assert_eq!(aor.user_decoded().unwrap(), b"zero-\0-zero");
    assert_eq!(aor.aor_key(), "sip:zero-%00-zero@example.org");
    let contacts: Vec<Contact> = all(&message);
    let [Contact::Address(one), Contact::Address(two)] = &contacts[..] else {
        panic!("two contacts")
    };
    assert!(!one.uri.equivalent(&two.uri));
}

/// §3.1.1.5: elsewhere `%` is a character like any other.
#[test]
fn percent_signs_that_are_no_escapes() {
    let message = valid(
        "
ME%53SAG%45 sip:registrar.example.org SIP/2.0
To: \"%Y%44\" <sip:thing@example.org>
From: \"%Y%44\" <sip:thing@example.org>;tag=2
Call-ID: percent.1
Via: SIP/2.0/TCP a.example.org;branch=z9hG4bKx%yz
CSeq: 1 ME%53SAG%45
Max-Forwards: 70
Contact: <sip:one@a.example.org>
C%6Fntact: <sip:two@b.example.org>
Contact: <sip:three@c.example.org>
l: 0",
        b"",
    );
    assert_eq!(message.method(), Some("ME%53SAG%45"));
    assert_eq!(get::<To>(&message).display_name.as_deref(), Some("%Y%44"));
    assert_eq!(all::<Contact>(&message).len(), 2);
    assert_eq!(message.headers_named("c%6fntact").count(), 1);
}

/// §3.1.1.6: no white space between a display name and the bracket.
#[test]
fn no_white_space_before_the_bracket() {
    let message = valid(
        "
OPTIONS sip:user@example.org SIP/2.0
To: sip:user@example.org
From: Ringer<sip:ringer@example.org>;tag=3
Max-Forwards: 70
Call-ID: bracket.1
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP a.example.org;branch=z9hG4bKbracket
l: 0",
        b"",
    );
    let from: From = get(&message);
    assert_eq!(
        (from.display_name.as_deref(), from.tag()),
        (Some("Ringer"), Some("3"))
    );
}

/// §3.1.1.7: long values, and one name in every spelling.
#[test]
fn long_values() {
    let long = |word: &str, times| word.repeat(times);
    let names = [
        "Via", "v", "V", "ViA", "VIa", "VIA", "via", "viA", "vIa", "vIA", "V ", "v ", "V  ",
        "Via\t",
    ];
    let vias: String = names
        .map(|name| format!("\n{name}: SIP/2.0/TCP hop.example.org"))
        .concat();
    let message = valid(
        &format!(
            "
MESSAGE sip:user@example.org SIP/2.0
v: SIP/2.0/TCP a.example.org;received=192.0.2.5;branch=z9hG4bK{}
To: \"A name of {} length\" <sip:user@example.org:6000;a=very{}value;b{}=c;d{}>
F: sip:{}@example.net;tag=9{};e{}=f{};g{}
Call-ID: long.{}
CSeq: 3 MESSAGE
Unknown-{}-Name: unknown-{}-value; unknown-{}-name = unknown-{}-value{vias}
Max-Forwards: 70
Content-Type: text/plain
l: 3",
            long("branch", 60),
            long("quite extreme ", 20),
            long("long", 40),
            long("name", 40),
            long("long", 40),
            long("longuser", 20),
            long("417", 60),
            long("name", 30),
            long("value", 30),
            long("bare", 30),
            long("really", 40),
            long("Long", 30),
            long("long", 30),
            long("long", 30),
            long("long", 30),
        ),
        b"abc",
    );
    assert_eq!(all::<Via>(&message).len(), names.len() + 1);
    assert_eq!(
        message.headers_named("Via").last().unwrap().line(),
        b"Via	: SIP/2.0/TCP hop.example.org"
    );
    assert_eq!(get::<From>(&message).tag().unwrap().len(), 181);
    assert_eq!(get::<To>(&message).uri.as_sip().unwrap().port, Some(6000));
}

/// §3.1.1.8: a datagram that goes on after its body.
#[test]
fn surplus_octets() {
    let first = octets(
        "
REGISTER sip:example.org SIP/2.0
To: sip:user@example.org
From: sip:user@example.org;tag=4
Max-Forwards: 8
I: surplus.1
Contact: sip:user@a.example.org
CSeq: 8 REGISTER
Via: SIP/2.0/UDP 192.0.2.125;branch=z9hG4bKsurplus
Content-Length: 0",
        b"",
    );
    let second = octets(
        "MESSAGE sip:other@example.org SIP/2.0\nContent-Length: 5",
        b"extra",
    );
    let message = accepted(
        &String::from_utf8(first[..first.len() - 4].to_vec())
            .unwrap()
            .replace('\r', ""),
        &second,
    );
    assert_eq!(
        (message.method(), message.body()),
        (Some("REGISTER"), &b""[..])
    );
    assert_eq!(message.surplus(), second);
    assert_eq!(
        defects(&message),
        [(String::from_utf8(second).unwrap(), "RFC 3261 §18.3")]
    );
}

/// §3.1.1.9: a semicolon in the user part begins no parameter.
#[test]
fn a_semicolon_in_the_user_part() {
    let message = valid(
        "
OPTIONS sip:user;opt=u%40example.net@example.org SIP/2.0
To: sip:a_user@example.org
From: sip:ringer@example.com;tag=5
Max-Forwards: 3
Call-ID: semicolon.1
CSeq: 8 OPTIONS
Accept: text/plain, message/cpim,
   multipart/mixed
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKsemicolon
l: 0",
        b"",
    );
    let uri = Uri::parse(message.request_uri().unwrap()).unwrap();
    assert_eq!(
        uri.as_sip().unwrap().user_decoded().unwrap(),
        b"user;opt=u@example.net"
    );
    assert!(uri.as_sip().unwrap().params.is_empty());
}

/// §3.1.1.10: transports known and unknown.
#[test]
fn any_transport() {
    let message = valid(
        "
OPTIONS sip:user@example.org SIP/2.0
To: sip:user@example.org
From: <sip:ringer@example.org>;tag=6
Max-Forwards: 70
Call-ID:   transports.1
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.org;branch=z9hG4bK1x
Via: SIP/2.0/SCTP t2.example.org;branch=z9hG4bK2x
Via: SIP/2.0/TLS t3.example.org;branch=z9hG4bK3x
Via: SIP/2.0/CARRIER-PIGEON t4.example.org;branch=z9hG4bK4x
Via: SIP/2.0/wss t5.invalid;branch=z9hG4bK5x
l: 0",
        b"",
    );
    let transports: Vec<_> = all::<Via>(&message)
        .into_iter()
        .map(|via| via.transport)
        .collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "CARRIER-PIGEON", "wss"]);
}

/// §3.1.1.11: a multipart body with NUL octets and octets that are not UTF-8.
#[test]
fn a_binary_multipart_body() {
    let body = b"--b0undary\r\nContent-Type: text/plain\r\n\r\nHi\r\n--b0undary\r\n\
        Content-Type: application/octet-stream\r\n\r\n\x00\x01\xff\xfe\r\n\r\n\x00\r\n--b0undary--";
    let message = valid(
        &format!(
            "
MESSAGE sip:kim@example.org SIP/2.0
Via: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK-1--7--;rport
Max-Forwards: 70
Route: <sip:127.0.0.1:5080>
To: <sip:kim@example.org>
From: <sip:lee@example.org>;tag=7
Call-ID: b1n4ry@YmluYXJ5..
CSeq: 1 MESSAGE
Content-Transfer-Encoding: binary
Content-Type: multipart/mixed;boundary=b0undary
Date: Sat, 21 Nov 2026 04:44:56 GMT
User-Agent: imspec/0.1 (torture)
Content-Length: {}",
            body.len()
        ),
        body,
    );
    assert_eq!(message.body(), body);
    assert_eq!(
        get::<MediaType>(&message).params.get("Boundary"),
        Some("b0undary")
    );
    assert_eq!(
        get::<SipDate>(&message).format(),
        "Sat, 21 Nov 2026 04:44:56 GMT"
    );
}

/// §3.1.1.12 and §3.1.1.13: a reason phrase is anyone's words, or none.
#[test]
fn reason_phrases() {
    let response = |line: &str| {
        let message = accepted(
            &format!(
                "{line}
Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bKreason
Call-ID: reason.1
CSeq: 35 MESSAGE
From: sip:user@example.org;tag=8
To: sip:user@example.com;tag=9
Content-Length: 0"
            ),
            b"",
        );
        let StartLine::Response { status, reason, .. } = message.start_line() else {
            panic!("a response")
        };
        (
            status,
            String::from_utf8_lossy(reason).into_owned(),
            defects(&message).len(),
        )
    };
    let words = "= 3**2 * 2**3 девяносто восемь";
    assert_eq!(
        response(&format!("SIP/2.0 200 {words}")),
        (200, words.to_owned(), 0)
    );
    assert_eq!(response("SIP/2.0 100 "), (100, String::new(), 0));
    // The space is required, but nothing else can be meant without it.
    assert_eq!(response("SIP/2.0 100"), (100, String::new(), 1));
}
