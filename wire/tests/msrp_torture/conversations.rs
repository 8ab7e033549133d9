//! RFC 4975 §11 and RFC 4976 §5: what two parties say when all goes well.

use imspec_wire::msrp::{FailureReport, Flag, Frame, Limits, Message, Method, Outcome, StartLine};

use super::{body, strict};

/// RFC 4975 §11.1; the body ends with a line end of its own.
#[test]
fn a_message_and_its_answer() {
    let frames = strict(
        "
MSRP n1ghtfa11 SEND
To-Path: msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://hill.example.com:7777/iau39;tcp
Message-ID: 12339sdqwer
Byte-Range: 1-16/16
Content-Type: text/plain

Hi, I'm Carol!

-------n1ghtfa11$
MSRP n1ghtfa11 200 OK
To-Path: msrp://hill.example.com:7777/iau39;tcp
From-Path: msrp://bay.example.com:8888/9di4ea;tcp
-------n1ghtfa11$
",
    );
    let [send, ok] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert_eq!(send.method(), Some(Method::Send));
    assert_eq!(send.flag(), Flag::Complete);
    assert_eq!(body(send).unwrap(), "Hi, I'm Carol!\r\n");
    let comment = Some("OK");
    assert_eq!(
        ok.start(),
        StartLine::Response {
            status: 200,
            comment
        }
    );
    assert_eq!(ok.transaction_id(), send.transaction_id());
    assert_eq!(ok.to_path(), send.from_path());
    assert_eq!(ok.body(), None);
}

/// RFC 4975 §11.2 and §11.4: the body is octets, and only its type says what is in it.
#[test]
fn markup_and_wrapped_messages() {
    let frames = strict(
        "
MSRP wr4pp3d.1 SEND
To-Path: msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://hill.example.com:7777/iau39;tcp
Message-ID: 12339sdqwer
Byte-Range: 1-*/*
Content-ID: <m1@hill.example.com>
Content-Type: message/cpim

To: Dave <sip:dave@example.com>
From: Carol <sip:carol@example.com>

Content-Type: text/html

<p>Look: -------wr4pp3d.2$</p>
-------wr4pp3d.2$
-------wr4pp3d.1$
",
    );
    let content_type = frames[0].content_type().unwrap().unwrap();
    assert!(content_type.is("message/cpim"));
    let body = body(&frames[0]).unwrap();
    assert!(body.starts_with("To: Dave") && body.ends_with("\r\n-------wr4pp3d.2$"));
}

/// RFC 4975 §11.3: chunks, of which the first was open to interruption.
#[test]
fn a_message_in_chunks() {
    let frames = strict(
        "
MSRP chunk00a SEND
To-Path: msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://hill.example.com:7777/iau39;tcp
Message-ID: 456so
Byte-Range: 1-*/14
Content-Type: text/plain

abcdefgh
-------chunk00a+
MSRP chunk00b SEND
To-Path: msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://hill.example.com:7777/iau39;tcp
Message-ID: 456so
Byte-Range: 9-14/14
Content-Type: text/plain

ijklmn
-------chunk00b$
MSRP chunk00a 200 OK
To-Path: msrp://hill.example.com:7777/iau39;tcp
From-Path: msrp://bay.example.com:8888/9di4ea;tcp
-------chunk00a$
MSRP chunk00b 200 OK
To-Path: msrp://hill.example.com:7777/iau39;tcp
From-Path: msrp://bay.example.com:8888/9di4ea;tcp
-------chunk00b$
",
    );
    let mut message = Message::new(&Limits::default());
    assert_eq!(message.frame(&frames[0]), Ok(Outcome::Incomplete));
    assert_eq!(message.frame(&frames[1]), Ok(Outcome::Complete(14)));
    assert_eq!(message.into_content().unwrap(), "abcdefghijklmn");
    assert_eq!(frames[2].status(), Some(200));
}

/// RFC 4975 §11.5: nobody is to answer.
#[test]
fn a_message_to_all() {
    let frames = strict(
        "
MSRP n0answer SEND
To-Path: msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://admin.example.com:7654/sys9;tcp
Message-ID: shutdown
Failure-Report: no
Success-Report: no
Byte-Range: 1-20/20
Content-Type: text/plain

Going down in 10 min
-------n0answer$
",
    );
    assert_eq!(frames[0].failure_report(), FailureReport::No);
    assert!(!frames[0].failure_report().allows_response(481));
    assert!(!frames[0].success_report());
}

/// RFC 4975 §11.6 and §7.1.3: a report on octets, not on a request.
#[test]
fn a_success_report() {
    let frames = strict(
        "
MSRP askrep11 SEND
To-Path: msrps://relay.example.com:9000/r1;tcp msrp://bay.example.com:8888/9di4ea;tcp
From-Path: msrp://hill.example.com:7777/iau39;tcp
Message-ID: 12339sdqwer
Byte-Range: 1-5/5
Success-Report: yes
Failure-Report: partial
Content-Type: text/plain

hello
-------askrep11$
MSRP report22 REPORT
To-Path: msrp://hill.example.com:7777/iau39;tcp
From-Path: msrp://bay.example.com:8888/9di4ea;tcp
Message-ID: 12339sdqwer
Byte-Range: 1-5/5
Status: 000 200 OK
-------report22$
",
    );
    let [send, report] = &frames[..] else {
        panic!("{frames:?}")
    };
    assert!(send.success_report());
    assert_eq!(send.to_path().unwrap().len(), 2);
    assert_eq!(report.method(), Some(Method::Report));
    assert_eq!(report.message_id(), send.message_id());
    let status = report.status_header().unwrap().unwrap();
    assert_eq!((status.namespace, status.code), (0, 200));
    assert_eq!(report.byte_range().unwrap().unwrap().length(), Some(5));
}

/// RFC 4976 §5.1: a relay asks who is there, and gives a URI for a time.
#[test]
fn a_relay_gives_a_way() {
    let frames = strict(
        "
MSRP auth0001 AUTH
To-Path: msrps://relay.example.com:9000;tcp
From-Path: msrps://hill.example.com:7777/iau39;tcp
Expires: 1800
-------auth0001$
MSRP auth0001 401 Unauthorized
To-Path: msrps://hill.example.com:7777/iau39;tcp
From-Path: msrps://relay.example.com:9000;tcp
WWW-Authenticate: Digest realm=\"relay.example.com\", qop=\"auth\", nonce=\"n0nce\"
-------auth0001$
MSRP auth0002 AUTH
To-Path: msrps://relay.example.com:9000;tcp
From-Path: msrps://hill.example.com:7777/iau39;tcp
Expires: 1800
Authorization: Digest username=\"carol\", realm=\"relay.example.com\", nonce=\"n0nce\"
-------auth0002$
MSRP auth0002 423 Interval Out-of-Bounds
To-Path: msrps://hill.example.com:7777/iau39;tcp
From-Path: msrps://relay.example.com:9000;tcp
Min-Expires: 60
Max-Expires: 900
-------auth0002$
MSRP auth0003 200 OK
To-Path: msrps://hill.example.com:7777/iau39;tcp
From-Path: msrps://relay.example.com:9000;tcp
Use-Path: msrps://relay.example.com:9000/j9x4;tcp msrps://edge.example.com:9000/k2;tcp
Authentication-Info: nextnonce=\"n0nce2\"
Expires: 900
-------auth0003$
",
    );
    assert_eq!(frames[0].method(), Some(Method::Auth));
    assert_eq!(frames[0].expires(), Some(Ok(1800)));
    assert_eq!(frames[0].to_path().unwrap().first().session_id(), None);
    assert!(
        frames[1]
            .www_authenticate()
            .unwrap()
            .starts_with(b"Digest ")
    );
    assert!(frames[2].authorization().is_some());
    let bounds = (frames[3].min_expires(), frames[3].max_expires());
    assert_eq!(bounds, (Some(Ok(60)), Some(Ok(900))));
    let path = frames[4].use_path().unwrap().unwrap();
    assert_eq!(path.last().host().to_string(), "edge.example.com");
    assert!(frames[4].authentication_info().is_some());
}

/// RFC 7977 §8: one frame a WebSocket message, nothing after it.
#[test]
fn over_a_web_socket() {
    let message = "MSRP ws000001 SEND\r\nTo-Path: msrps://c.example.com:443/s1;ws\r\n\
        From-Path: msrps://b.invalid:2855/s2;ws\r\n-------ws000001$\r\n";
    let frame = Frame::parse(message, &Limits::default()).unwrap();
    assert_eq!(frame.defects(), []);
    assert_eq!(frame.from_path().unwrap().first().transport(), Some("ws"));
    let two = Frame::parse(message.repeat(2), &Limits::default());
    assert_eq!(two.unwrap_err().offset, message.len());
}
