//! Messages in the spirit of RFC 4475 and RFC 5118, one for each of their sections that concerns a
//! parser, in words of our own: valid ones are kept and read right, invalid ones are refused or
//! their fault is found where it is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod invalid;
mod ipv6;
mod semantics;
mod valid;

use imspec_wire::sip::typed::{TypedHeader, ValueResult};
use imspec_wire::sip::{Message, ParseError};

/// The lines of a literal as a head: CRLF line ends, an empty line after it, then the body.
fn octets(head: &str, body: &[u8]) -> Vec<u8> {
    let mut octets = head
        .trim_start_matches('\n')
        .trim_end_matches('\n')
        .replace('\n', "\r\n")
        .into_bytes();
    octets.extend_from_slice(b"\r\n\r\n");
    octets.extend_from_slice(body);
    octets
}

/// Takes the message, and gives it back octet for octet.
fn accepted(head: &str, body: &[u8]) -> Message {
    let octets = octets(head, body);
    let message = Message::parse(octets.clone()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(message.octets(), &octets);
    message
}

/// Takes the message and finds nothing wrong with it.
fn valid(head: &str, body: &[u8]) -> Message {
    let message = accepted(head, body);
    assert_eq!(message.defects(), []);
    message
}

fn refused(head: &str, body: &[u8]) -> ParseError {
    Message::parse(octets(head, body)).unwrap_err()
}

/// What is wrong with an accepted message: the octets, and the clause that they break.
fn defects(message: &Message) -> Vec<(String, &'static str)> {
    let shown = |range| String::from_utf8_lossy(&message.octets()[range]).into_owned();
    message
        .defects()
        .into_iter()
        .map(|d| (shown(d.range), d.clause))
        .collect()
}

fn one_defect(head: &str, body: &[u8]) -> (String, &'static str) {
    let mut found = defects(&accepted(head, body));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// The first value of a type, which must be there and be well formed.
fn get<T: TypedHeader>(message: &Message) -> T {
    match message.typed() {
        Some(Ok(value)) => value,
        Some(Err(error)) => panic!("{}: {error}", T::NAME),
        None => panic!("no {}", T::NAME),
    }
}

/// All values of a type, well formed.
fn all<T: TypedHeader>(message: &Message) -> Vec<T> {
    message
        .typed_all()
        .into_iter()
        .collect::<ValueResult<_>>()
        .unwrap()
}
