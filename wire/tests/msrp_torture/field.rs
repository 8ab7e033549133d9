//! What endpoints in the field send, right or not quite: taken, understood, and told.

use imspec_wire::msrp::{Method, StartLine};

use super::{body, clauses, one, strict};

/// A status line without a comment is legal, and a trap for parsers that look for two spaces.
#[test]
fn a_response_without_a_comment() {
    let frame = &strict(
        "
MSRP 9fa2c771 200
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
-------9fa2c771$
",
    )[0];
    let comment = None;
    assert_eq!(
        frame.start(),
        StartLine::Response {
            status: 200,
            comment
        }
    );
}

/// A keep-alive that says it holds an empty message without a body.
#[test]
fn a_type_without_a_body() {
    let frame = one("
MSRP hb0001 SEND
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
Message-ID: beat1
Byte-Range: 1-0/0
Content-Type: text/x-beat
-------hb0001$
");
    assert!(!frame.has_body());
    assert_eq!(clauses(&frame), ["RFC 4975 §7.1"]);
}

/// An empty body, and only one line end where two belong.
#[test]
fn an_empty_body_that_lacks_its_line_end() {
    let frame = one("
MSRP empty1 SEND
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
Message-ID: mid1
Byte-Range: 1-0/0
Content-Type: text/plain

-------empty1$
");
    assert_eq!(body(&frame).as_deref(), Some(""));
    assert_eq!(clauses(&frame), ["RFC 4975 §7.1"]);
}

/// Fields in another order than the grammar has, other MIME fields before the type.
#[test]
fn fields_in_any_order() {
    let frame = one("
MSRP order1 SEND
Message-ID: mid1
Content-Type: text/plain
From-Path: msrp://b.example:2/t;tcp
to-path: msrp://a.example:1/f;tcp
Content-Disposition: inline
Byte-Range: 1-2/2

hi
-------order1$
");
    assert_eq!(frame.to_path().unwrap().first().port(), Some(1));
    assert_eq!(frame.from_path().unwrap().first().port(), Some(2));
    let found = clauses(&frame);
    assert_eq!(found, ["RFC 4975 §7.1", "RFC 4975 §9", "RFC 4975 §9"]);
}

/// Unknown fields are ignored, unknown methods are answered 501 (RFC 4975 §12).
#[test]
fn what_nobody_knows() {
    let frame = &strict(
        "
MSRP ext00001 NICKNAME
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
Use-Nickname: \"Al\" the Great
X-{odd}|name: value
-------ext00001$
",
    )[0];
    assert_eq!(frame.method(), Some(Method::Other("NICKNAME")));
    assert_eq!(
        frame.header("use-nickname").unwrap().text(),
        "\"Al\" the Great"
    );
}

/// Expires on SEND: the grammar has it (RFC 4976 §7), so no reader may stumble.
#[test]
fn expires_where_it_means_nothing() {
    let frame = &strict(
        "
MSRP expire01 SEND
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
Message-ID: mid1
Expires: 600
Content-Type: text/plain

hi
-------expire01$
",
    )[0];
    assert_eq!(frame.expires(), Some(Ok(600)));
}

/// Identifiers of odd lengths frame as well as any.
#[test]
fn identifiers_beyond_the_grammar() {
    for id in ["a", "abc", "-------", "a$", "*", &"x".repeat(300)] {
        let frame = one(&format!(
            "
MSRP {id} SEND
To-Path: msrp://a.example:1/f;tcp
From-Path: msrp://b.example:2/t;tcp
-------{id}$
"
        ));
        assert_eq!(frame.transaction_id(), id);
        assert_eq!(clauses(&frame), ["RFC 4975 §9"]);
    }
}
