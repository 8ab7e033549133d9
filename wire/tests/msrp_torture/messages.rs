//! Traps for those who put messages together (RFC 4975 §7.3.1, §7.1.1, §5.4, §14.5).

use Flag::{Abort, Complete, More};
use imspec_wire::msrp::{Builder, Flag, Frame, Limits, Message, Outcome, Refusal, Reporting};

fn chunk(range: &str, body: &str, flag: Flag) -> Frame {
    let builder = Builder::request("SEND", "c4unk").header("Message-ID", "mid1");
    let builder = if range.is_empty() {
        builder
    } else {
        builder.byte_range(range)
    };
    let builder = builder.header("Content-Type", "text/plain");
    builder.body(body.to_owned()).flag(flag).build().unwrap()
}

/// Byte-Range, body, flag.
type Sent<'c> = (&'c str, &'c str, Flag);

/// The outcome of each chunk, and the content where it is complete.
fn assembled(chunks: &[Sent<'_>]) -> (Vec<String>, Option<String>) {
    let mut message = Message::new(&Limits::default());
    let outcomes = chunks
        .iter()
        .map(
            |(range, body, flag)| match message.frame(&chunk(range, body, *flag)) {
                Ok(Outcome::Conflict(_)) => "conflict".to_owned(),
                Ok(outcome) => format!("{outcome:?}").to_lowercase(),
                Err(refusal) => refusal.to_string(),
            },
        )
        .collect();
    let content = message.into_content();
    (
        outcomes,
        content.map(|c| String::from_utf8_lossy(&c).into_owned()),
    )
}

#[test]
fn the_table_of_traps() {
    let cases: [(&str, &[Sent<'_>]); 17] = [
        ("whole, no Byte-Range", &[("", "abcd", Complete)]),
        ("whole, nothing promised", &[("1-*/*", "abcd", Complete)]),
        ("empty", &[("1-0/0", "", Complete)]),
        ("first chunk only", &[("1-2/4", "ab", More)]),
        ("`$` first, a gap before it", &[("3-4/4", "cd", Complete)]),
        (
            "out of order",
            &[("3-4/4", "cd", Complete), ("1-2/4", "ab", More)],
        ),
        (
            "total unknown until `$`",
            &[("1-*/*", "ab", More), ("3-*/*", "cd", Complete)],
        ),
        (
            "the last octets received hold",
            &[("1-3/4", "abX", More), ("3-4/4", "cd", Complete)],
        ),
        (
            "duplicate after the end",
            &[("1-4/4", "abcd", Complete), ("1-4/4", "XXXX", Complete)],
        ),
        (
            "interrupted before the promised end",
            &[("1-4/4", "ab", More), ("3-4/4", "cd", Complete)],
        ),
        (
            "aborted, and gone on with",
            &[("1-2/4", "ab", Abort), ("3-4/4", "cd", Complete)],
        ),
        (
            "all octets, no `$`",
            &[("1-2/4", "ab", More), ("3-4/4", "cd", More)],
        ),
        (
            "all octets, then an empty `$`",
            &[("1-4/4", "abcd", More), ("1-0/4", "", Complete)],
        ),
        ("shorter than its total", &[("1-4/9", "abcd", Complete)]),
        ("longer than its total", &[("1-4/3", "abcd", Complete)]),
        (
            "two totals",
            &[("1-2/4", "ab", More), ("3-4/5", "cd", Complete)],
        ),
        (
            "a total of 2^63",
            &[("1-*/9223372036854775808", "ab", More)],
        ),
    ];
    let lines: Vec<_> = cases
        .iter()
        .map(|(name, chunks)| {
            let (outcomes, content) = assembled(chunks);
            let content = content.map_or("nothing".to_owned(), |content| format!("{content:?}"));
            format!("{name}: {} => {content}", outcomes.join(", "))
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

/// RFC 4975 §5.4: after a lost connection the rest comes over another one, under the same id; what
/// arrived of the chunk that was cut off counts.
#[test]
fn a_message_over_two_connections() {
    let mut message = Message::new(&Limits::default());
    let mut cut_off = message.begin(Some("1-*/8".parse().unwrap())).unwrap();
    message.take(&mut cut_off, b"abcde").unwrap();
    assert_eq!(
        message.frame(&chunk("4-8/8", "defgh", Complete)),
        Ok(Outcome::Complete(8))
    );
    assert_eq!(message.into_content().unwrap(), "abcdefgh");
}

/// A message that is longer than allowed is refused when it gets so, whatever it claims.
#[test]
fn claims_and_lengths_beyond_the_limit() {
    let limits = Limits {
        message: 10,
        ..Limits::default()
    };
    let mut message = Message::new(&limits);
    let refusal = message.begin(Some("1-*/11".parse().unwrap())).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "the message is longer than 10 octets: it reaches or claims 11"
    );
    let mut chunk = message.begin(None).unwrap();
    for _ in 0..10 {
        message.take(&mut chunk, b"x").unwrap();
    }
    let refusal = Refusal::TooLong {
        octets: 11,
        limit: 10,
    };
    assert_eq!(message.take(&mut chunk, b"x"), Err(refusal));
    assert_eq!(message.end(&chunk, Complete), Outcome::Complete(10));
}

/// RFC 4975 §7.1.3: reports are on what came, not on what was claimed.
#[test]
fn reports_tell_the_truth() {
    let mut message = Message::new(&Limits::default());
    let mut lying = message.begin(Some("1-100/100".parse().unwrap())).unwrap();
    message.take(&mut lying, b"abc").unwrap();
    let outcome = message.end(&lying, More);
    let due = |reporting: Reporting| reporting.due(message.reassembly(), &lying, outcome);
    assert_eq!(due(Reporting::EachChunk).unwrap().to_string(), "1-3/100");
    assert_eq!(due(Reporting::SoFar).unwrap().to_string(), "1-3/100");
    assert_eq!(due(Reporting::Complete), None);
}
