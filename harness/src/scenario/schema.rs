//! JSON Schema of the language (draft 2020-12), from which editors complete and check while typing.
//!
//! It is made from the same table as the decoder's ([`super::shape`]). What a schema cannot say (names that
//! must be saved first, positive controls) `imspec check` says.

use serde_json::{Map, Value, json};

use super::known::Known;
use super::shape::{self, KeyShape, Kind, Shape};

/// Where the schema is published.
pub const ID: &str = "https://github.com/imspec/imspec/blob/main/docs/schema/scenario.schema.json";

/// The schema of a scenario file, with the ids and keys that are known.
pub fn schema(known: &Known) -> Value {
    let mut root = object(&shape::SCENARIO);
    let head = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": ID,
        "title": "imspec scenario",
        "description": shape::SCENARIO.doc,
    });
    let mut whole = Map::new();
    if let (Value::Object(head), Value::Object(body)) = (head, &mut root) {
        whole.extend(head);
        body.remove("description");
        whole.append(body);
    }
    whole.insert("$defs".to_owned(), definitions(known));
    Value::Object(whole)
}

/// The schema as it is published: indented, with a line end.
pub fn published(known: &Known) -> String {
    let mut text = serde_json::to_string_pretty(&schema(known)).unwrap_or_default();
    text.push('\n');
    text
}

fn definitions(known: &Known) -> Value {
    let mut all = Map::new();
    let requirements: Vec<&str> = known.requirements().collect();
    let keys: Vec<&str> = known.pics().map(|key| key.key.as_str()).collect();
    let mut add = |name: &str, value: Value| {
        all.insert(name.to_owned(), value);
    };
    add(
        "requirement",
        json!({ "description": "Id of a requirement.", "enum": requirements }),
    );
    add(
        "pics-key",
        json!({ "description": "A PICS key.", "enum": keys }),
    );
    add(
        "reference",
        json!({
            "description": "A value given by a reference: ${…}.",
            "type": "string",
            "pattern": "\\$\\{",
        }),
    );
    add(
        "template",
        json!({
            "description": "Text or a number; references (${…}) are replaced.",
            "type": ["string", "number", "boolean"],
        }),
    );
    add("conditions", conditions(known));
    add(
        "user",
        or(json!({ "enum": shape::STATES }), object(&shape::USER)),
    );
    add("step", step());
    add("steps", json!({ "type": "array", "items": def("step") }));
    for verb in shape::VERBS {
        let value = match verb.short {
            None => object(verb),
            Some(short) if verb.keys.is_empty() => kind(short),
            Some(short) => or(kind(short), object(verb)),
        };
        all.insert(verb.name.to_owned(), described(value, verb.doc));
    }
    for shape in [
        &shape::EXPECT,
        &shape::INVITE_EXPECT,
        &shape::MSRP_EXPECT,
        &shape::REPORT,
        &shape::RECORD,
        &shape::WITHIN,
        &shape::ANSWER,
        &shape::BODY,
        &shape::SESSION_BODY,
        &shape::OCTETS,
        &shape::BRANCH,
        &shape::CREDENTIALS,
        &shape::OFFER,
        &shape::CONDUCT,
        &shape::CHUNK_SIZE,
        &shape::CHUNK,
        &shape::CONNECTION,
        &shape::CUT,
    ] {
        all.insert(format!("{}-map", shape.name), object(shape));
    }
    all.insert("matcher-map".to_owned(), one_key(object(&shape::MATCHERS)));
    all.insert(
        "matcher".to_owned(),
        json!({
            "description": shape::MATCHERS.doc,
            "anyOf": [
                def("template"),
                { "type": "array", "items": def("matcher") },
                def("matcher-map"),
            ],
        }),
    );
    Value::Object(all)
}

/// A map of a fixed shape.
fn object(shape: &Shape) -> Value {
    let properties: Map<String, Value> = shape
        .keys
        .iter()
        .map(|key| (key.name.to_owned(), property(key)))
        .collect();
    let required: Vec<&str> = shape
        .keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut map = json!({
        "description": shape.doc,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        map["required"] = json!(required);
    }
    map
}

fn property(key: &KeyShape) -> Value {
    described(kind(key.kind), key.doc)
}

/// A step: its verb and the keys beside it.
fn step() -> Value {
    let mut properties = Map::new();
    for verb in shape::VERBS {
        properties.insert(verb.name.to_owned(), described(def(verb.name), verb.doc));
    }
    for key in shape::STEP_KEYS {
        properties.insert(key.name.to_owned(), property(key));
    }
    let one: Vec<Value> = shape::VERBS
        .iter()
        .map(|verb| json!({ "required": [verb.name] }))
        .collect();
    json!({
        "description": "One verb with its keys.",
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "oneOf": one,
    })
}

fn conditions(known: &Known) -> Value {
    let properties: Map<String, Value> = known
        .pics()
        .map(|key| {
            let mut about = key.about.clone();
            about.push_str(" Values: ");
            about.push_str(&key.expected().replace('`', ""));
            about.push('.');
            (key.key.clone(), described(def("matcher"), &about))
        })
        .collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

#[expect(
    clippy::too_many_lines,
    reason = "one arm for each kind; apart they would be harder to compare"
)]
fn kind(kind: Kind) -> Value {
    let or_reference = |value: Value| or(value, def("reference"));
    let text = || json!({ "type": "string" });
    match kind {
        Kind::Text | Kind::Base64 => text(),
        Kind::Role
        | Kind::Method
        | Kind::SavedName
        | Kind::SavedSession
        | Kind::SaveName
        | Kind::File => {
            json!({ "type": "string", "minLength": 1 })
        }
        Kind::ScenarioId => json!({ "type": "string", "pattern": "^[A-Z]{2}-[0-9]{2,4}$" }),
        Kind::Covers => or(
            def("requirement"),
            json!({ "type": "array", "items": def("requirement"), "minItems": 1, "uniqueItems": true }),
        ),
        Kind::Touches => {
            json!({ "type": "array", "items": { "type": "string", "pattern": "^WD-[0-9]{2}$" } })
        }
        Kind::Conditions => def("conditions"),
        Kind::Users => json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z][a-z0-9]{0,15}$" },
            "additionalProperties": def("user"),
            "minProperties": 1,
        }),
        Kind::Matrix => {
            json!({ "type": "object", "additionalProperties": { "type": "array", "minItems": 1 } })
        }
        Kind::Steps => def("steps"),
        Kind::Branches => json!({ "type": "array", "items": def("steps"), "minItems": 1 }),
        Kind::State => json!({ "enum": shape::STATES }),
        Kind::Roles => or(
            text(),
            json!({ "type": "array", "items": { "type": "string" }, "minItems": 1 }),
        ),
        Kind::Template | Kind::EndLine => def("template"),
        Kind::Transport => or_reference(json!({ "enum": shape::TRANSPORTS })),
        Kind::Duration => or_reference(json!({
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$",
        })),
        Kind::Until => or_reference(json!({
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)(\s*[+-]\s*tolerance)?\s*$",
        })),
        Kind::Number => or_reference(json!({ "type": "integer", "minimum": 0 })),
        Kind::Flag => or_reference(json!({ "type": "boolean" })),
        Kind::True => or_reference(json!({ "const": true })),
        Kind::Contact => json!({
            "anyOf": [{ "enum": ["own", "none", "all"] }, { "type": "string" }],
        }),
        Kind::Headers => or_reference(json!({
            "type": "object",
            "additionalProperties": {
                "anyOf": [def("template"), { "type": "array", "items": def("template") }, { "type": "null" }],
            },
        })),
        Kind::Body => json!({ "anyOf": [def("template"), def("body-map"), { "type": "null" }] }),
        Kind::Branch => {
            json!({ "anyOf": [{ "const": "new" }, def("branch-map"), def("reference")] })
        }
        Kind::Expect => or_reference(def("expect-map")),
        Kind::Statuses => {
            let one = json!({
                "anyOf": [
                    { "type": "integer", "minimum": 100, "maximum": 699 },
                    { "type": "string", "pattern": "^([1-6][0-9]{2}|[1-6]xx|none)$" },
                    def("reference"),
                ],
            });
            or(
                one.clone(),
                json!({ "type": "array", "items": one, "minItems": 1 }),
            )
        }
        Kind::Answer => json!({
            "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 699 },
                { "enum": ["none", "reset"] },
                def("answer-map"),
                def("reference"),
            ],
        }),
        Kind::HeaderMatchers => or_reference(header_matchers()),
        Kind::Matcher => def("matcher"),
        Kind::Condition => json!({
            "anyOf": [{ "enum": conditions_as_words() }, def("matcher")],
        }),
        Kind::Records => or_reference(json!({ "type": "array", "items": def("record-map") })),
        Kind::Stop => or_reference(json!({ "enum": ["clean", "kill"] })),
        Kind::Policy => or_reference(json!({
            "type": "object",
            "propertyNames": def("pics-key"),
            "additionalProperties": or(
                def("template"),
                json!({ "type": "array", "items": def("template") }),
            ),
            "minProperties": 1,
        })),
        Kind::Readings => json!({
            "type": "object",
            "propertyNames": { "pattern": "^WD-[0-9]{2}$" },
            "additionalProperties": { "type": "string" },
            "minProperties": 1,
        }),
        Kind::Lines => or_reference(json!({ "type": "array", "items": def("template") })),
        Kind::Values => json!({
            "anyOf": [{ "type": "array", "items": def("matcher") }, def("template")],
        }),
        Kind::MediaType => json!({ "type": ["string", "null"] }),
        Kind::Within => or(text(), def("within-map")),
        Kind::Size => or_reference(size()),
        Kind::Offer => or_reference(or(json!({ "const": "none" }), def("offer-map"))),
        Kind::Sdp => or_reference(def("offer-map")),
        Kind::SdpMatchers => or_reference(json!({
            "type": "object",
            "properties": sdp_names(),
            "additionalProperties": def("matcher"),
        })),
        Kind::MediaTypes => or(
            text(),
            json!({ "type": "array", "items": { "type": "string" } }),
        ),
        Kind::Texts => or_reference(json!({ "type": "array", "items": { "type": "string" } })),
        Kind::Port => or_reference(json!({ "type": "integer", "minimum": 0, "maximum": u16::MAX })),
        Kind::Setup => or_reference(json!({ "enum": shape::SETUPS })),
        Kind::Direction => or_reference(json!({ "enum": shape::DIRECTIONS })),
        Kind::Security => or_reference(json!({ "enum": shape::SECURITIES })),
        Kind::Scheme => or_reference(json!({ "enum": shape::SCHEMES })),
        Kind::Credentials => or_reference(or(
            json!({ "enum": shape::CREDENTIAL_WORDS }),
            def("credentials-map"),
        )),
        Kind::Await => or_reference(json!({ "enum": shape::AWAITS })),
        Kind::InviteExpect => or_reference(def("invite-expect-map")),
        Kind::SessionBody => json!({
            "anyOf": [def("template"), def("session-body-map"), { "type": "null" }],
        }),
        Kind::RawOctets | Kind::ChunkBody => or(def("template"), def("octets-map")),
        Kind::Chunks => json!({
            "anyOf": [
                def("chunk-size-map"),
                { "type": "array", "items": or(def("chunk-map"), def("reference")), "minItems": 1 },
                def("reference"),
            ],
        }),
        Kind::Octets => or_reference(json!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": r"^(none|\s*[0-9]+\s*(-\s*[0-9]+)?\s*)$" },
            ],
        })),
        Kind::OrNull => or(def("template"), json!({ "type": "null" })),
        Kind::ChunkFlag => or_reference(json!({ "enum": shape::CHUNK_FLAGS })),
        Kind::Writes => json!({ "anyOf": [{ "const": "whole" }, size(), def("reference")] }),
        Kind::MsrpConnection => json!({
            "anyOf": [{ "enum": ["same", "new"] }, def("connection-map"), def("reference")],
        }),
        Kind::Cut => json!({
            "anyOf": [{ "enum": shape::CUTS }, def("cut-map"), def("reference")],
        }),
        Kind::CutHow => or_reference(json!({ "enum": shape::CUTS })),
        Kind::MsrpExpect => or_reference(def("msrp-expect-map")),
        Kind::Report => json!({
            "anyOf": [{ "enum": shape::REPORTS }, def("report-map"), def("reference")],
        }),
        Kind::Conduct => json!({
            "anyOf": [{ "const": "none" }, def("conduct-map"), def("reference")],
        }),
        Kind::ConductStatus => json!({
            "anyOf": [
                { "type": "integer", "minimum": 100, "maximum": 999 },
                { "type": "string", "pattern": "^([1-9][0-9]{2}|none)$" },
                def("reference"),
            ],
        }),
        Kind::Nothing => or_reference(json!({ "const": "none" })),
        Kind::Part => json!({
            "anyOf": [{ "const": "absent" }, header_matchers(), def("reference")],
        }),
        Kind::Counter => json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]*$" }),
    }
}

/// The names that matchers of a session description are completed from.
fn sdp_names() -> Map<String, Value> {
    shape::SDP_NAMES
        .iter()
        .map(|name| ((*name).to_owned(), def("matcher")))
        .collect()
}

/// Header name → matcher, with `same-as` and `except`.
fn header_matchers() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "properties": {
            "same-as": { "type": "string", "description": "All headers of that message." },
            "except": or(text.clone(), json!({ "type": "array", "items": text })),
        },
        "additionalProperties": def("matcher"),
    })
}

/// A number of octets.
fn size() -> Value {
    json!({
        "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": r"^\s*[0-9]+\s*([KMG]i?B|kB|B)?\s*$" },
        ],
    })
}

/// The words that `is:` of a step knows besides values.
fn conditions_as_words() -> Vec<&'static str> {
    let mut words = vec!["unique", "present", "absent"];
    words.extend(shape::PROPERTIES);
    words
}

fn def(name: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn or(one: Value, other: Value) -> Value {
    Value::Object(Map::from_iter([(
        "anyOf".to_owned(),
        Value::Array(vec![one, other]),
    )]))
}

fn one_key(mut object: Value) -> Value {
    object["minProperties"] = json!(1);
    object["maxProperties"] = json!(1);
    object
}

/// A value with the sentence that an editor shows for it.
fn described(value: Value, doc: &str) -> Value {
    match value {
        Value::Object(mut map) => {
            map.insert("description".to_owned(), json!(doc));
            Value::Object(map)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::document::{Source, tree};
    use crate::embedded;
    use std::sync::Arc;

    fn value(name: &str, text: &str) -> Value {
        tree::parse(&Arc::new(Source::new(name, text)))
            .unwrap()
            .to_value()
    }

    #[test]
    fn the_published_schema_is_current() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../docs/schema/scenario.schema.json"
        );
        let current = published(&Known::bundled());
        if std::env::var_os("IMSPEC_BLESS").is_some() {
            std::fs::write(path, &current).unwrap();
        }
        let published = std::fs::read_to_string(path).unwrap();
        assert!(
            published == current,
            "docs/schema/scenario.schema.json is out of date; write it with `imspec schema > docs/schema/scenario.schema.json`"
        );
    }

    #[test]
    fn every_bundled_scenario_validates() {
        let validator = jsonschema::draft202012::new(&schema(&Known::bundled())).unwrap();
        let mut count = 0;
        for (path, text) in embedded::scenarios() {
            let value = value(path, text);
            let errors: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{path}: {errors:#?}");
            count += 1;
        }
        assert!(count > 90);
    }

    #[test]
    fn the_schema_sees_mistakes() {
        let validator = jsonschema::draft202012::new(&schema(&Known::bundled())).unwrap();
        let head =
            "id: PG-01\ntitle: t\npurpose: p\ncovers: [DM-STORE-01]\nusers: { bob: offline }\n";
        let good = |steps: &str| {
            validator.is_valid(&value("PG-01.yaml", &format!("{head}steps: [{steps}]\n")))
        };
        assert!(good(
            "{ register: bob }, { wait: 5s }, { wait: { until: '5s + tolerance' } }"
        ));
        assert!(good(
            "{ bye: call }, { cancel: call }, { msrp: { session: call, body: { generate: 64MiB } } }"
        ));
        for bad in [
            "{ registre: bob }",
            "{ register: bob, wait: 5s }",
            "{ register: { usr: bob } }",
            "{ wait: 5 }",
            "{ restart: brutally }",
            "{ register: bob, covers: [DM-STORE-99] }",
            "{ policy: { policy.expird: delete } }",
            "{ receive: { at: bob, body: { matchs: x } } }",
            "{ note: x }",
            "{ invite: { from: bob, to: bob, offer: { setup: activ } } }",
            "{ invite: { from: bob, to: bob, offer: sdp } }",
            "{ message: { from: bob, to: bob, body: { generate: 5MB } } }",
            "{ msrp: { body: x } }",
            "{ msrp: { session: a, chunks: [] } }",
            "{ msrp: { session: a, chunks: [{ octets: 1- }] } }",
            "{ msrp: { session: a, chunks: [{ flag: '!' }] } }",
            "{ msrp: { session: a, chunks: { size: 2 octets } } }",
            "{ msrp: { session: a, cut: off } }",
            "{ msrp: { session: a, expect: { report: sucess } } }",
            "{ bye: { session: a, expect: { sdp: { path: x } } } }",
            "{ stored: { for: bob, messages: [{ bye: gone }] } }",
            "{ receive: { at: bob, answer: { msrp: silence } } }",
        ] {
            assert!(!good(bad), "{bad}");
        }
    }
}
