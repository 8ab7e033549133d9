//! The verbs for message sessions, from what is written to what is run.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeSet;
use std::sync::Arc;

use imspec::plan::{Context, Selection, plan};
use imspec::scenario::model::{
    Answer, Case, Chunks, Content, CutHow, HeaderMatcher, HeaderValue, InviteBody, MatcherKind,
    MsrpAnswer, MsrpConnection, MsrpStep, Override, Part, Property, RecordKey, ReportExpect,
    StatusPattern, Until, Verb,
};
use imspec::scenario::shape::{self, Shape};
use imspec::scenario::{Known, Pics, Template, load, schema};

const EVERYTHING: &str = include_str!("sessions/MS-01.yaml");

fn case() -> Case {
    let scenario = load::load_str(EVERYTHING, "MS-01.yaml", &Known::bundled())
        .unwrap_or_else(|diagnostics| panic!("{diagnostics}"));
    let context = Context {
        pics: &Pics::new(),
        settable: &BTreeSet::new(),
        domain: "example.org",
        transport: "udp",
        few: None,
        seed: 1,
    };
    let plan = plan(&[Arc::new(scenario)], &Selection::all(), &context);
    assert_eq!(plan.set_aside, []);
    plan.cases().next().unwrap().clone()
}

fn verb(index: usize) -> Verb {
    case().steps[index].verb.clone()
}

fn msrp(index: usize) -> MsrpStep {
    match verb(index) {
        Verb::Msrp(step) => step,
        other => panic!("{other:?}"),
    }
}

fn text(template: Option<&Template>) -> String {
    template.unwrap().to_string()
}

/// The scenario of this file holds each key of each shape, so that none stays untried.
#[test]
fn no_key_is_forgotten() {
    let shapes: [&Shape; 13] = [
        &shape::INVITE,
        &shape::MSRP,
        &shape::BYE,
        &shape::CANCEL,
        &shape::OFFER,
        &shape::CONDUCT,
        &shape::INVITE_EXPECT,
        &shape::MSRP_EXPECT,
        &shape::REPORT,
        &shape::CHUNK_SIZE,
        &shape::CHUNK,
        &shape::CONNECTION,
        &shape::CUT,
    ];
    for shape in shapes {
        for key in shape.keys {
            let written = format!("{}:", key.name);
            assert!(EVERYTHING.contains(&written), "{} {}", shape.name, key.name);
        }
    }
}

#[test]
fn the_schema_takes_all_of_it() {
    let validator = jsonschema::draft202012::new(&schema::schema(&Known::bundled())).unwrap();
    let source = Arc::new(imspec::document::Source::new("MS-01.yaml", EVERYTHING));
    let value = imspec::document::tree::parse(&source).unwrap().to_value();
    let errors: Vec<String> = validator
        .iter_errors(&value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn an_invite() {
    let Verb::Invite(invite) = verb(0) else {
        panic!();
    };
    assert_eq!((invite.from.as_str(), invite.to.as_str()), ("alice", "bob"));
    assert_eq!(invite.device, "phone");
    assert_eq!(text(invite.transport.as_ref()), "tcp");
    assert!(text(invite.request_uri.as_ref()).ends_with("@example.org;x=y"));
    assert_eq!(invite.headers[1].1, HeaderValue::Omitted);
    assert_eq!(invite.copies.to_string(), "4");
    assert_eq!((invite.until, invite.ack), (Until::Provisional, false));
    assert_eq!(text(invite.within.as_ref()), "5s");
    let expect = invite.expect.unwrap();
    assert_eq!(
        expect.status,
        [StatusPattern::Class(2), StatusPattern::Code(488)]
    );
    assert!(expect.body.is_some() && expect.covers.is_some());
    let names: Vec<&str> = invite.expect_sdp.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["max-size", "path", "file-selector"]);
    assert_eq!(
        invite.expect_sdp[1].1.kind,
        MatcherKind::Is(Property::MsrpUri)
    );
    let InviteBody::Offer(offer) = invite.body else {
        panic!();
    };
    assert_eq!(text(offer.accept_types.as_ref()), "text/plain *");
    assert_eq!(
        text(offer.accept_wrapped_types.as_ref()),
        "text/plain text/html"
    );
    assert_eq!(text(offer.max_size.as_ref()), "5000000");
    assert_eq!(text(offer.setup.as_ref()), "actpass");
    assert_eq!(text(offer.direction.as_ref()), "none");
    assert_eq!(text(offer.connection.as_ref()), "tls");
    assert_eq!(text(offer.subject.as_ref()), "call");
    assert_eq!(text(offer.path.as_ref()), "msrp://192.0.2.1:9/x;tcp");
    assert_eq!(text(offer.address.as_ref()), "192.0.2.1");
    assert_eq!(text(offer.port.as_ref()), "9");
    assert!(offer.cema);
    assert_eq!(offer.attributes[0].to_string(), "label:1");
    assert!(offer.attributes[1].to_string().starts_with("alice-ms-01-1"));
}

#[test]
fn what_an_invite_leaves_out() {
    let Verb::Invite(again) = verb(1) else {
        panic!();
    };
    assert_eq!(text(again.again.as_ref()), "call");
    assert_eq!((again.until, again.ack), (Until::Final, true));
    assert!(again.expect.is_none() && again.expect_sdp.is_empty());
    let InviteBody::Offer(offer) = again.body else {
        panic!();
    };
    assert!(offer.accept_types.is_none() && !offer.cema);
    let Verb::Invite(by_hand) = verb(2) else {
        panic!();
    };
    let InviteBody::Literal(body) = by_hand.body else {
        panic!();
    };
    assert_eq!(text(body.media_type.as_ref()), "application/sdp");
    assert_eq!(by_hand.until, Until::Sent);
}

#[test]
fn the_ends_of_a_session() {
    let Verb::Cancel(cancel) = verb(3) else {
        panic!();
    };
    assert_eq!(cancel.session.to_string(), "other");
    assert_eq!(
        (cancel.headers.len(), text(cancel.within.as_ref())),
        (1, "1s".into())
    );
    assert_eq!(cancel.expect.unwrap().status.len(), 2);
    let Verb::Bye(bye) = verb(9) else {
        panic!();
    };
    assert_eq!(bye.session.to_string(), "call");
    assert_eq!(
        (bye.headers.len(), text(bye.save.as_ref())),
        (1, "end".into())
    );
    let Verb::Bye(short) = verb(15) else {
        panic!();
    };
    assert_eq!(short.session.to_string(), "incoming");
    assert!(short.expect.is_none());
}

#[test]
fn a_generated_message_in_chunks_of_one_size() {
    let step = msrp(4);
    assert_eq!(step.session.to_string(), "call");
    assert_eq!(step.body.unwrap().content, Content::Generated(64 << 20));
    assert_eq!(step.headers[1].1, HeaderValue::Omitted);
    assert_eq!(text(step.message_id.as_ref()), "abcd");
    assert!(matches!(step.chunks, Chunks::Size(size) if size.to_string() == "2048"));
    assert_eq!(step.method.to_string(), "SEND");
    assert_eq!(text(step.writes.as_ref()), "1");
    assert_eq!(step.connection, MsrpConnection::New);
    let expect = step.expect.unwrap();
    assert_eq!(expect.status, [StatusPattern::Code(200)]);
    assert_eq!(
        expect.last,
        [StatusPattern::Code(200), StatusPattern::Silence]
    );
    assert!(expect.closed && expect.covers.is_some() && expect.headers.len() == 1);
    let Some(ReportExpect::Like {
        status,
        range,
        headers,
    }) = expect.report
    else {
        panic!();
    };
    assert_eq!((status.len(), headers.len()), (1, 1));
    assert!(
        matches!(range.unwrap().kind, MatcherKind::Equal(range) if range.to_string() == "1-8/8")
    );
}

#[test]
fn chunks_by_hand() {
    let step = msrp(5);
    assert_eq!(step.method.to_string(), "NICKNAME");
    assert!(matches!(step.connection, MsrpConnection::Of(of) if of.to_string() == "call"));
    let cut = step.cut.unwrap();
    assert_eq!(
        (text(cut.after.as_ref()), cut.how),
        ("700".into(), CutHow::Stall)
    );
    assert_eq!(step.expect.unwrap().report, Some(ReportExpect::Success));
    let Chunks::List(chunks) = step.chunks else {
        panic!();
    };
    let octets: Vec<Option<Option<(String, String)>>> = chunks
        .iter()
        .map(|chunk| {
            let octets = chunk.octets.as_ref();
            octets.map(|some| {
                let ends = some.as_ref();
                ends.map(|(first, last)| (first.to_string(), last.to_string()))
            })
        })
        .collect();
    let pair = |first: &str, last: &str| Some(Some((first.to_owned(), last.to_owned())));
    assert_eq!(
        octets,
        [
            pair("5", "5"),
            Some(None),
            pair("1", "${call.sdp.max-size}"),
            None
        ]
    );
    assert_eq!(chunks[0].range, Override::Omitted);
    assert_eq!(chunks[0].end, Override::Omitted);
    assert_eq!(text(chunks[0].flag.as_ref()), "#");
    assert_eq!(text(chunks[0].pause.as_ref()), "300ms");
    assert_eq!(chunks[0].headers.len(), 1);
    assert!(
        matches!(&chunks[1].range, Override::Given(range) if range.to_string() == "1-*/9223372036854775808")
    );
    assert!(matches!(&chunks[1].end, Override::Given(end) if end.to_string() == "zzzz"));
    assert_eq!(chunks[1].body, Some(Content::Octets(b"ABC".to_vec())));
    assert!(matches!(&chunks[2].body, Some(Content::Text(own)) if own.to_string() == "own"));
    assert_eq!(
        (&chunks[3].range, &chunks[3].end),
        (&Override::Usual, &Override::Usual)
    );
}

#[test]
fn more_chunks_raw_octets_and_nothing() {
    let more = msrp(6);
    assert_eq!(text(more.continues.as_ref()), "small");
    assert!(more.body.is_none() && more.writes.is_none());
    assert_eq!(more.connection, MsrpConnection::Same);
    let raw = msrp(7);
    assert!(matches!(raw.raw, Some(Content::Text(text)) if text.references().count() == 3));
    assert_eq!(raw.cut.map(|cut| cut.how), Some(CutHow::Reset));
    assert_eq!(raw.expect.unwrap().report, Some(ReportExpect::None));
    let nothing = msrp(8);
    assert!(nothing.body.is_none() && nothing.chunks == Chunks::Whole && nothing.raw.is_none());
    assert_eq!(nothing.expect.unwrap().report, Some(ReportExpect::Any));
}

#[test]
fn the_parts_of_a_record() {
    let Verb::Stored(stored) = verb(10) else {
        panic!();
    };
    let record = &stored.messages[0];
    assert!(record.fields.iter().any(|(key, _)| *key == RecordKey::Mode));
    let parts: Vec<(Part, bool, usize)> = record
        .parts
        .iter()
        .map(|part| (part.part, part.absent, part.headers.len()))
        .collect();
    assert_eq!(
        parts,
        [
            (Part::Invite, false, 2),
            (Part::Ok, false, 2),
            (Part::Bye, true, 0),
            (Part::Send, false, 1)
        ]
    );
    assert!(matches!(
        record.parts[1].headers[0],
        HeaderMatcher::SameAs { .. }
    ));
}

#[test]
fn deliveries_in_either_form_and_invites() {
    let Verb::Receive(either) = verb(11) else {
        panic!();
    };
    assert_eq!((either.method, either.send.len()), (None, 1));
    assert!(matches!(either.answer, Answer::Status { status: 200, .. }));
    assert_eq!(text(either.answer_sdp.max_size.as_ref()), "1024");
    assert_eq!(text(either.answer_sdp.setup.as_ref()), "passive");
    let conduct = either.answer_msrp;
    assert_eq!(conduct.status, Some(MsrpAnswer::Status(413)));
    assert_eq!(text(conduct.pause.as_ref()), "500ms");
    assert_eq!(text(conduct.reset_after.as_ref()), "50000");
    assert_eq!(text(conduct.bye_after.as_ref()), "1000000");
    assert!(!conduct.never_connects);
    let Verb::Receive(invite) = verb(12) else {
        panic!();
    };
    assert_eq!(invite.method.as_deref(), Some("INVITE"));
    assert_eq!(invite.sdp[0].0, "setup");
    assert_eq!(invite.answer_msrp.status, Some(MsrpAnswer::Silence));
    let Verb::Receive(deaf) = verb(13) else {
        panic!();
    };
    assert!(deaf.answer_msrp.never_connects);
    assert_eq!(text(deaf.answer_msrp.bye_after.as_ref()), "0");
}

/// The manual's examples load, and it names every key of every verb.
#[test]
fn the_manual_is_about_this_language() {
    let manual = include_str!("../../docs/language.md");
    let examples: Vec<&str> = manual
        .split("```yaml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(examples.len(), 2);
    let head = examples[0].split("matrix:").next().unwrap();
    for text in [examples[0].to_owned(), format!("{head}{}", examples[1])] {
        let loaded = load::load_str(&text, "PG-06.yaml", &Known::bundled());
        assert!(loaded.is_ok(), "{text}\n{}", loaded.unwrap_err());
    }
    for verb in shape::VERBS {
        for key in verb.keys {
            let named = [format!("`{}`", key.name), format!("{}: ", key.name)];
            let there = named.iter().any(|named| manual.contains(named.as_str()));
            assert!(there, "{} {}", verb.name, key.name);
        }
    }
}

/// The positive control of a silence may come through a session.
#[test]
fn a_session_delivery_is_a_positive_control() {
    let head = "id: MS-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-10]\nusers: { alice: online, bob: online }\nsteps:\n  - silence: { at: bob }\n";
    let check = |step: &str| {
        let text = format!("{head}  - {step}\n");
        load::load_str(&text, "MS-01.yaml", &Known::bundled())
    };
    assert!(check("receive: { at: bob, answer: { sdp: { max-size: 1MB } } }").is_ok());
    assert!(check("receive: { at: bob, method: INVITE }").is_ok());
    assert!(check("invite: { from: alice, to: bob }").is_err());
}
