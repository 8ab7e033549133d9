//! Laws of the plan.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use imspec::bundled;
use imspec::plan::{Context, Plan, Selection, plan};
use imspec::scenario::model::{Case, Content, Scenario, StatusPattern, Step, Verb};
use imspec::scenario::{Known, Pics, load};
use imspec_reports::record::Verdict;
use proptest::prelude::*;
use serde_json::{Value, json};

fn scenario(text: &str) -> Arc<Scenario> {
    let name = format!("{}.yaml", &text[4..9]);
    Arc::new(load::load_str(text, &name, &Known::bundled()).unwrap_or_else(|d| panic!("{d}")))
}

fn pics(value: Value) -> Pics {
    serde_json::from_value(value).unwrap()
}

fn make(scenarios: &[Arc<Scenario>], pics: &Pics, settable: &[&str], seed: u64) -> Plan {
    let settable: BTreeSet<String> = settable.iter().map(|key| (*key).to_owned()).collect();
    let context = Context {
        pics,
        settable: &settable,
        domain: "example.org",
        transport: "udp",
        few: None,
        seed,
    };
    plan(scenarios, &Selection::all(), &context)
}

fn walk<'a>(steps: &'a [Step], look: &mut dyn FnMut(&'a Step)) {
    for step in steps {
        look(step);
        match &step.verb {
            Verb::Parallel(branches) => {
                for branch in branches {
                    walk(branch, look);
                }
            }
            Verb::When(when) => {
                walk(&when.then, look);
                walk(&when.otherwise, look);
            }
            _ => {}
        }
    }
}

/// No early reference and no `repeat`. A template prints as it would be written, and every template prints
/// within the debug output of its step; early ones have unmistakable names there.
fn is_ready(case: &Case) {
    let mut paths = BTreeSet::new();
    walk(&case.steps, &mut |step| {
        assert!(
            !matches!(step.verb, Verb::Repeat(_)),
            "{}: {}",
            case.id,
            step.path
        );
        assert!(
            paths.insert(step.path.clone()),
            "{}: {} stands twice",
            case.id,
            step.path
        );
        let shown = format!("{:?}", step.verb);
        for early in [
            "Reference(Variable(",
            "Reference(User {",
            "Reference(Domain",
            "Reference(Case)",
            "Reference(Pics(",
            "Reference(Random {",
        ] {
            assert!(
                !shown.contains(early),
                "{}: {}: {shown}",
                case.id,
                step.path
            );
        }
    });
}

fn names_are_distinct(plan: &Plan) {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let aside = plan.set_aside.iter().map(|aside| &aside.case);
    for case in plan.cases().chain(aside) {
        for user in &case.users {
            let place = format!("{} {}", case.id, user.role);
            if let Some(other) = seen.insert(user.uri(), place.clone()) {
                panic!("{place} and {other} share {}", user.uri());
            }
            assert!(
                user.name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-%.".contains(&b))
                    || case.scenario.users.iter().any(|u| u.role == user.role),
                "{}",
                user.name
            );
        }
    }
}

fn everything_declared() -> Pics {
    pics(json!({
        "store.fidelity": "octet", "store.hop_headers": "keep", "store.classes": ["im"], "accept.status": 202,
        "offline.trigger": "not-registered", "delivery.trigger": "on-register", "delivery.form": "message",
        "delivery.expires": "as-stored", "mid.form": "bare", "mid.host": "^[a-z.]+$", "mid.sequence": "increasing",
        "mid.scope": "global", "mid.carrier": "inspect", "expire.marking": "on", "expire.base": "receipt",
        "expire.zero": "immediate", "expire.malformed": "default", "expire.default.pm": 3600, "expire.clamp": "none",
        "policy.expired": "delete", "policy.indication": "none", "policy.granularity_s": 1, "sender.notice": "none",
        "inspect.kind": "http", "clock.control": "virtual",
    }))
}

const SETTABLE: [&str; 10] = [
    "policy.expired",
    "expire.marking",
    "expire.default.pm",
    "expire.zero",
    "expire.malformed",
    "expire.clamp",
    "policy.indication",
    "expire.base",
    "mid.form",
    "mid.sequence",
];

#[test]
fn the_whole_suite_can_be_planned() {
    let suite = bundled::suite(&bundled::catalogue().unwrap()).unwrap_or_else(|d| panic!("{d}"));
    let declared = everything_declared();
    let made = make(&suite, &declared, &SETTABLE, 7);
    let product = |s: &Arc<Scenario>| {
        s.matrix
            .iter()
            .map(|(_, values)| values.len())
            .product::<usize>()
    };
    assert_eq!(
        made.cases().count() + made.set_aside.len(),
        suite.iter().map(product).sum::<usize>()
    );
    assert!(made.cases().count() > made.set_aside.len());
    made.cases().for_each(is_ready);
    names_are_distinct(&made);
    assert_eq!(made, make(&suite, &declared, &SETTABLE, 7));
    for aside in &made.set_aside {
        assert!(
            !aside.reason.contains("makes no sense"),
            "{}: {}",
            aside.case.id,
            aside.reason
        );
    }
}

#[test]
fn types_come_with_the_value() {
    let text = "id: PG-01
title: t
purpose: p
covers: [DM-STORE-01]
users: { alice: online, bob: offline }
matrix:
  v:
    - { status: [200, 202], headers: { Subject: x, X: [1, 2] }, body: { type: null, base64: AAE= }, answer: none }
    - { status: 4xx, headers: {}, body: \"a$${b}\", answer: { status: 503, after: 1s } }
steps:
  - message: { from: alice, to: bob, headers: \"${v.headers}\", body: \"${v.body}\", expect: { status: \"${v.status}\" } }
  - receive: { at: bob, answer: \"${v.answer}\", headers: { Expires: \"${pics.expire.default.pm}\" } }
";
    let made = make(&[scenario(text)], &everything_declared(), &[], 1);
    let cases: Vec<&Case> = made.cases().collect();
    let message = |case: &Case| match &case.steps[0].verb {
        Verb::Message(message) => message.clone(),
        _ => panic!("no message"),
    };
    let first = message(cases[0]);
    assert_eq!(
        first.expect.unwrap().status,
        [StatusPattern::Code(200), StatusPattern::Code(202)]
    );
    assert_eq!(first.headers.len(), 2);
    let body = first.body.unwrap();
    assert_eq!(body.media_type, None);
    assert_eq!(body.content, Content::Octets(vec![0, 1]));
    let second = message(cases[1]);
    assert_eq!(second.expect.unwrap().status, [StatusPattern::Class(4)]);
    assert!(
        matches!(second.body.unwrap().content, Content::Text(text) if text.as_text() == Some("a${b}"))
    );
    insta::assert_debug_snapshot!(
        cases
            .iter()
            .map(|case| &case.steps[1].verb)
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_value_of_the_profile_that_does_not_fit_sets_the_case_aside() {
    let text = "id: PG-01
title: t
purpose: p
covers: [DM-STORE-01]
users: { alice: online, bob: offline }
steps:
  - message: { from: alice, to: bob, expect: { status: \"${pics.accept.status}\" } }
";
    let suite = [scenario(text)];
    let reason = |declared: Value| {
        let made = make(&suite, &pics(declared), &[], 1);
        made.set_aside
            .first()
            .map(|aside| (aside.verdict, aside.reason.clone()))
    };
    assert_eq!(reason(json!({ "accept.status": 202 })), None);
    assert_eq!(
        reason(json!({})),
        Some((
            Verdict::Inconclusive,
            "the profile does not declare `accept.status`, which the scenario uses".to_owned()
        ))
    );
    insta::assert_snapshot!(reason(json!({ "accept.status": "soon" })).unwrap().1);
}

#[test]
fn lanes_share_a_policy() {
    let of = |id: &str, when: &str, step: &str| {
        scenario(&format!(
            "id: {id}\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nwhen: {when}\nusers: {{ bob: online }}\nsteps: [{step}]\n"
        ))
    };
    let suite = [
        of("PO-04", "{ policy.expired: deliver }", "{ register: bob }"),
        of("PO-01", "{ policy.expired: delete }", "{ register: bob }"),
        of("PO-02", "{ policy.expired: deliver }", "{ register: bob }"),
        of("PO-03", "{ policy.expired: deliver }", "{ restart: kill }"),
        of(
            "PO-05",
            "{ mid.sequence: consecutive }",
            "{ register: bob }",
        ),
        of("PO-06", "{ expire.zero: never }", "{ register: bob }"),
    ];
    let declared = pics(json!({ "policy.expired": "delete", "expire.zero": "immediate" }));
    let made = make(&suite, &declared, &["policy.expired"], 1);
    let lanes: Vec<String> = made
        .lanes
        .iter()
        .map(|lane| {
            let ids: Vec<&str> = lane.cases.iter().map(|case| case.id.as_str()).collect();
            format!(
                "{} exclusive={} {}",
                json!(lane.policy),
                lane.exclusive,
                ids.join(" ")
            )
        })
        .collect();
    assert_eq!(
        lanes,
        [
            "{} exclusive=false PO-01",
            "{\"policy.expired\":\"deliver\"} exclusive=false PO-02 PO-04",
            "{\"policy.expired\":\"deliver\"} exclusive=true PO-03",
        ]
    );
    let aside: Vec<_> = made
        .set_aside
        .iter()
        .map(|a| (a.case.id.as_str(), a.verdict))
        .collect();
    assert_eq!(
        aside,
        [
            ("PO-05", Verdict::Inconclusive),
            ("PO-06", Verdict::NotApplicable)
        ]
    );
}

#[test]
fn rounds_have_names_and_values_of_their_own() {
    let text = "id: PG-27
title: t
purpose: p
covers: [DM-STORE-01]
users: { alice: online, bob: offline }
matrix:
  body: [\"${random.hex(8)}\"]
steps:
  - repeat:
      times: 3
      as: i
      steps:
        - message: { from: alice, to: bob, headers: { X: \"${random.hex(8)}\" }, body: \"${body}\", save: \"m${i}\" }
  - stored: { for: bob, messages: [{ of: m2, save: r1 }] }
  - check: { each: [\"${all(m).header.X}\"], is: unique }
";
    let made = make(&[scenario(text)], &Pics::new(), &[], 3);
    let case = made.cases().next().unwrap();
    let paths: Vec<&str> = case.steps.iter().map(|step| step.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "steps[0].round[1][0]",
            "steps[0].round[2][0]",
            "steps[0].round[3][0]",
            "steps[1]",
            "steps[2]"
        ]
    );
    let mut headers = BTreeSet::new();
    let mut bodies = BTreeSet::new();
    for (index, step) in case.steps[..3].iter().enumerate() {
        let Verb::Message(message) = &step.verb else {
            panic!("no message")
        };
        assert_eq!(
            message.save.as_ref().unwrap().as_text(),
            Some(format!("m{}", index + 1).as_str())
        );
        headers.insert(format!("{:?}", message.headers[0].1));
        bodies.insert(format!("{:?}", message.body.as_ref().unwrap().content));
    }
    assert_eq!(
        (headers.len(), bodies.len()),
        (3, 1),
        "anew at each place and round; once in the matrix"
    );
}

#[test]
fn users_may_have_names_of_their_own() {
    let text = "id: PG-13
title: t
purpose: p
covers: [DM-STORE-01]
users:
  alice: online
  bob: { state: offline, transport: tcp }
  twin: { state: absent, name: \"${bob.name}2\", domain: \"other.${domain}\" }
steps:
  - message: { from: alice, to: bob, request-uri: \"${twin.uri}\", body: \"${case}\" }
";
    let made = make(&[scenario(text)], &Pics::new(), &[], 0x00ab_cdef);
    let users = &made.cases().next().unwrap().users;
    let mark = users[0].name.rsplit('-').next().unwrap().to_owned();
    assert_eq!(mark.len(), 6);
    assert_eq!(
        users[0].uri(),
        format!("sip:alice-pg-13-{mark}@example.org")
    );
    assert_eq!(users[1].transport, "tcp");
    assert_eq!(
        users[2].uri(),
        format!("sip:bob-pg-13-{mark}2@other.example.org")
    );
}

/// Scenarios with any matrix and steps that use it.
fn texts() -> impl Strategy<Value = Vec<String>> {
    let values =
        prop::collection::vec(prop::collection::btree_set("[a-z ,\\]=]{1,30}", 1..4), 0..4);
    prop::collection::vec((values, 1u64..4), 1..6).prop_map(|scenarios| {
        scenarios
            .into_iter()
            .enumerate()
            .map(|(number, (matrix, rounds))| {
                let mut text = format!(
                    "id: CC-{:02}\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nusers: {{ alice: online, bob: offline }}\n",
                    number + 1
                );
                if !matrix.is_empty() {
                    text.push_str("matrix:\n");
                }
                let mut body = "${random.text(12)} ${bob.uri} ${case} ${domain}".to_owned();
                for (index, values) in matrix.iter().enumerate() {
                    let list: Vec<String> = values.iter().map(|v| json!(v).to_string()).collect();
                    writeln!(text, "  v{index}: [{}]", list.join(", ")).unwrap();
                    write!(body, " ${{v{index}}}").unwrap();
                }
                write!(
                    text,
                    "steps:\n  - repeat:\n      times: {rounds}\n      as: i\n      steps:\n        - message: {{ from: alice, to: bob, body: \"{body}\", save: \"m${{i}}\" }}\n  - register: bob\n  - receive: {{ at: bob, of: m1, body: {{ same-as: m1 }} }}\n"
                )
                .unwrap();
                text
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn laws_of_the_plan(texts in texts(), seed: u64) {
        let suite: Vec<_> = texts.iter().map(|text| scenario(text)).collect();
        let made = make(&suite, &Pics::new(), &[], seed);
        let expected: usize = suite.iter().map(|s| s.matrix.iter().map(|(_, v)| v.len()).product::<usize>()).sum();
        prop_assert_eq!(made.cases().count(), expected);
        prop_assert!(made.set_aside.is_empty());
        let ids: BTreeSet<&str> = made.cases().map(|case| case.id.as_str()).collect();
        prop_assert_eq!(ids.len(), expected);
        made.cases().for_each(is_ready);
        names_are_distinct(&made);
        prop_assert_eq!(&made, &make(&suite, &Pics::new(), &[], seed));
        let other = make(&suite, &Pics::new(), &[], seed.wrapping_add(1));
        prop_assert_ne!(&made, &other);
        // A case is the same alone as in company.
        let alone = make(&suite[..1], &Pics::new(), &[], seed);
        let first = alone.cases().next();
        prop_assert_eq!(first, made.cases().next());
    }
}

#[test]
fn a_condition_may_depend_on_the_matrix() {
    let text = "id: MS-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-10]\nwhen: { lm.ok_headers: \"${name}\", store.modes: session }\nusers: { bob: online }\nmatrix: { name: [To, Date, Reason] }\nsteps: [{ register: { user: bob, headers: { X: \"${name}\" } } }]\n";
    let scenarios = [scenario(text)];
    let pics = pics(json!({ "lm.ok_headers": ["from", "t", "Date"] }));
    let plan = make(&scenarios, &pics, &[], 1);
    let ids: Vec<&str> = plan.cases().map(|case| case.id.as_str()).collect();
    assert_eq!(ids, ["MS-01[name=To]", "MS-01[name=Date]"]);
    assert_eq!(plan.set_aside.len(), 1);
    assert_eq!(plan.set_aside[0].verdict, Verdict::NotApplicable);
    assert_eq!(
        plan.set_aside[0].reason,
        "the profile declares `lm.ok_headers: [\"from\",\"t\",\"Date\"]`; the scenario is for `Reason`"
    );

    let set = make(&scenarios, &pics, &["lm.ok_headers"], 1);
    assert_eq!(set.lanes.len(), 2);
    assert_eq!(
        set.lanes[1].policy["lm.ok_headers"],
        json!(["from", "t", "Date", "Reason"])
    );

    let wanted = |pair: &str| {
        let catalogue = bundled::catalogue().unwrap();
        let selection = Selection::parse(&[], &[pair.to_owned()], &scenarios, &catalogue).unwrap();
        let settable = BTreeSet::new();
        let context = Context {
            pics: &pics,
            settable: &settable,
            domain: "example.org",
            transport: "udp",
            few: None,
            seed: 1,
        };
        imspec::plan::plan(&scenarios, &selection, &context)
            .cases()
            .map(|case| case.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(wanted("lm.ok_headers=Date"), ["MS-01[name=Date]"]);
}
