//! `when:` of a scenario against what the profile declares and what can be set.

use std::collections::{BTreeMap, BTreeSet};

use imspec_wire::sip::name::canonical;
use serde_json::Value;

use crate::catalogue::pics::{plain, same};
use crate::scenario::model::{Matcher, MatcherKind, Pics};

/// What is tried where the profile says nothing, so that a first run with the smallest profile shows
/// something: nearly every server of pager mode delivers so, and the specification is about both modes. If
/// nothing ever comes in this way, the judge blames nobody; nor where a server asks for credentials.
const ASSUMED: [(&str, &[&str]); 5] = [
    ("auth.register", &["none"]),
    ("auth.sender", &["none"]),
    ("delivery.form", &["message"]),
    ("delivery.trigger", &["on-register"]),
    ("store.modes", &["pager", "session"]),
];

/// Keys whose values are lists of header names; `all` in one stands for every name.
const HEADER_LISTS: [&str; 3] = ["lm.invite_headers", "lm.ok_headers", "lm.bye_headers"];

/// Further keys whose values are lists.
const LISTS: [&str; 3] = ["store.modes", "store.classes", "mid.carrier"];

/// Whether a scenario is run.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is, with these PICS values set first.
    Run(BTreeMap<String, Value>),
    /// The profile declares another value.
    NotApplicable(String),
    /// The profile does not declare a key.
    Undeclared(String),
}

/// Looks at all conditions of a scenario. One that excludes it outweighs one that cannot be told.
pub fn look(conditions: &[(String, Matcher)], pics: &Pics, settable: &BTreeSet<String>) -> Outcome {
    let mut policy = BTreeMap::new();
    let mut undeclared = Vec::new();
    for (key, matcher) in conditions {
        let declared = pics.get(key);
        let assumed = ASSUMED
            .iter()
            .find(|(known, _)| declared.is_none() && known == key);
        let tried = assumed.map(|(_, values)| Value::from(*values));
        if tried.is_some_and(|value| holds(key, matcher, Some(&value))) {
            continue;
        }
        if declared.is_some_and(|value| holds(key, matcher, Some(value))) {
            continue;
        }
        if settable.contains(key)
            && let Some(value) = value_to_set(key, matcher, declared)
        {
            policy.insert(key.clone(), value);
            continue;
        }
        match declared {
            Some(value) => {
                return Outcome::NotApplicable(format!(
                    "the profile declares `{key}: {}`; the scenario is for {}",
                    plain(value),
                    describe(matcher)
                ));
            }
            None => undeclared.push(format!("`{key}`")),
        }
    }
    if undeclared.is_empty() {
        Outcome::Run(policy)
    } else {
        Outcome::Undeclared(format!(
            "the profile does not declare {}, on which the scenario depends",
            undeclared.join(", ")
        ))
    }
}

/// Whether a declared value of a key fits. `None` is a key that is not declared, which only `absent` fits.
pub fn holds(key: &str, matcher: &Matcher, value: Option<&Value>) -> bool {
    if HEADER_LISTS.contains(&key) {
        holds_by(matcher, value, keeps_header)
    } else {
        holds_by(matcher, value, |one, wanted| {
            same(one, &Value::String(wanted.to_owned()))
        })
    }
}

/// Whether an entry of a list of headers stands for this name, in any case or compact form.
fn keeps_header(entry: &Value, wanted: &str) -> bool {
    let entry = plain(entry);
    let name = |written: &str| {
        canonical(written).map_or_else(|| written.to_ascii_lowercase(), str::to_ascii_lowercase)
    };
    entry == "all" || name(&entry) == name(wanted)
}

fn holds_by(matcher: &Matcher, value: Option<&Value>, fits: fn(&Value, &str) -> bool) -> bool {
    let holds = |matcher: &Matcher, value: Option<&Value>| holds_by(matcher, value, fits);
    let text = || value.map(plain);
    let number = || text().and_then(|text| text.parse::<f64>().ok());
    match &matcher.kind {
        MatcherKind::Equal(wanted) => match (value, wanted.as_text()) {
            // A set holds a value if it has it.
            (Some(Value::Array(items)), Some(wanted)) => {
                items.iter().any(|item| fits(item, wanted))
            }
            (Some(value), Some(wanted)) => fits(value, wanted),
            _ => false,
        },
        MatcherKind::List(any) | MatcherKind::OneOf(any) => any.iter().any(|m| holds(m, value)),
        MatcherKind::AllOf(all) => all.iter().all(|m| holds(m, value)),
        MatcherKind::Not(inner) => value.is_some() && !holds(inner, value),
        MatcherKind::Matches(pattern) => match (text(), pattern.as_text()) {
            (Some(text), Some(pattern)) => regex::Regex::new(&format!("^(?:{pattern})$"))
                .is_ok_and(|regex| regex.is_match(&text)),
            _ => false,
        },
        MatcherKind::Contains(part) => match (text(), part.as_text()) {
            (Some(text), Some(part)) => text.contains(part),
            _ => false,
        },
        MatcherKind::Present => value.is_some(),
        MatcherKind::Absent => value.is_none(),
        MatcherKind::AtLeast(bound) => {
            bounded(number(), bound.as_text(), |value, bound| value >= bound)
        }
        MatcherKind::AtMost(bound) => {
            bounded(number(), bound.as_text(), |value, bound| value <= bound)
        }
        // These look at messages; a PICS value is none.
        MatcherKind::SameAs(_)
        | MatcherKind::IdenticalTo(_)
        | MatcherKind::Unique
        | MatcherKind::Within { .. }
        | MatcherKind::Is(_)
        | MatcherKind::Count(_) => false,
    }
}

fn bounded(value: Option<f64>, bound: Option<&str>, holds: impl Fn(f64, f64) -> bool) -> bool {
    match (value, bound.and_then(|bound| bound.parse::<f64>().ok())) {
        (Some(value), Some(bound)) => holds(value, bound),
        _ => false,
    }
}

/// A value that a policy adapter could set so that the matcher holds. Of a list the declared entries stay.
fn value_to_set(key: &str, matcher: &Matcher, declared: Option<&Value>) -> Option<Value> {
    let is_list = declared.is_some_and(Value::is_array)
        || HEADER_LISTS.contains(&key)
        || LISTS.contains(&key);
    if !is_list {
        return first_value(matcher);
    }
    let wanted = entries(matcher)?;
    let mut list = match declared {
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    };
    if HEADER_LISTS.contains(&key) && wanted.contains(&"all") {
        list = vec![Value::from("all")];
    } else {
        list.extend(wanted.into_iter().map(Value::from));
    }
    let list = Value::Array(list);
    holds(key, matcher, Some(&list)).then_some(list)
}

/// Entries that a list needs for a matcher to hold.
fn entries(matcher: &Matcher) -> Option<Vec<&str>> {
    match &matcher.kind {
        MatcherKind::Equal(wanted) => Some(vec![wanted.as_text()?]),
        MatcherKind::List(any) | MatcherKind::OneOf(any) => any.iter().find_map(entries),
        MatcherKind::AllOf(all) => {
            let parts: Option<Vec<Vec<&str>>> = all.iter().map(entries).collect();
            parts.map(|parts| parts.concat())
        }
        _ => None,
    }
}

/// The first value that a matcher names, which a policy adapter could set.
fn first_value(matcher: &Matcher) -> Option<Value> {
    match &matcher.kind {
        MatcherKind::Equal(wanted) => {
            let text = wanted.as_text()?;
            Some(
                text.parse::<u64>()
                    .map_or_else(|_| Value::String(text.to_owned()), Value::from),
            )
        }
        MatcherKind::List(any) | MatcherKind::OneOf(any) => any.iter().find_map(first_value),
        MatcherKind::AllOf(all) => {
            let value = all.iter().find_map(first_value)?;
            let fits = |m: &Matcher| holds("", m, Some(&value));
            all.iter().all(fits).then_some(value)
        }
        MatcherKind::AtLeast(bound) | MatcherKind::AtMost(bound) => {
            bound.as_text()?.parse::<u64>().ok().map(Value::from)
        }
        _ => None,
    }
}

/// A condition in words.
pub fn describe(matcher: &Matcher) -> String {
    let list = |all: &[Matcher], word: &str| {
        all.iter()
            .map(describe)
            .collect::<Vec<_>>()
            .join(&format!(" {word} "))
    };
    match &matcher.kind {
        MatcherKind::Equal(value) => format!("`{value}`"),
        MatcherKind::List(any) | MatcherKind::OneOf(any) => list(any, "or"),
        MatcherKind::AllOf(all) => list(all, "and"),
        MatcherKind::Not(inner) => format!("anything but {}", describe(inner)),
        MatcherKind::Matches(pattern) => format!("what matches `{pattern}`"),
        MatcherKind::Contains(part) => format!("what contains `{part}`"),
        MatcherKind::Present => "any declared value".to_owned(),
        MatcherKind::Absent => "no declaration".to_owned(),
        MatcherKind::AtLeast(bound) => format!("at least {bound}"),
        MatcherKind::AtMost(bound) => format!("at most {bound}"),
        _ => "another value".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::scenario::{Known, load};

    fn conditions(when: &str) -> Vec<(String, Matcher)> {
        let text = format!(
            "id: PO-01\ntitle: t\npurpose: p\ncovers: [X]\nwhen: {when}\nusers: {{ a: online }}\nsteps: [{{ register: a }}]\n"
        );
        load::load_str(&text, "PO-01.yaml", &Known::anything())
            .unwrap()
            .when
    }

    fn look_at(when: &str, settable: &[&str]) -> Outcome {
        let pics: Pics = serde_json::from_value(serde_json::json!({
            "policy.expired": "delete",
            "expire.marking": true,
            "expire.default.pm": 3600,
            "store.classes": ["im", "imdn"],
            "lm.bye_headers": ["From", "call-id", "s"],
            "lm.ok_headers": ["all"],
        }))
        .unwrap();
        let settable = settable.iter().map(|key| (*key).to_owned()).collect();
        look(&conditions(when), &pics, &settable)
    }

    fn set(key: &str, value: impl Into<Value>) -> Outcome {
        Outcome::Run([(key.to_owned(), value.into())].into())
    }

    #[test]
    fn a_declared_value_that_fits_is_run_as_it_is() {
        for when in [
            "{ policy.expired: delete }",
            "{ policy.expired: [deliver, delete] }",
            "{ policy.expired: { not: deliver } }",
            "{ expire.marking: on, store.classes: imdn }",
            "{ expire.default.pm: { at-least: 60 } }",
        ] {
            assert_eq!(
                look_at(when, &["policy.expired", "expire.default.pm"]),
                Outcome::Run(BTreeMap::new()),
                "{when}"
            );
        }
    }

    #[test]
    fn a_header_is_kept_by_any_of_its_names_or_with_all() {
        for when in [
            "{ lm.bye_headers: Call-ID }",
            "{ lm.bye_headers: i }",
            "{ lm.bye_headers: SUBJECT }",
            "{ lm.bye_headers: { all-of: [From, Subject] } }",
            "{ lm.bye_headers: { not: Reason } }",
            "{ lm.ok_headers: Anything }",
        ] {
            assert_eq!(look_at(when, &[]), Outcome::Run(BTreeMap::new()), "{when}");
        }
        for when in [
            "{ lm.bye_headers: Reason }",
            "{ lm.bye_headers: { all-of: [From, Reason] } }",
            "{ lm.bye_headers: all }",
            "{ lm.ok_headers: { not: Date } }",
        ] {
            assert!(
                matches!(look_at(when, &[]), Outcome::NotApplicable(_)),
                "{when}"
            );
        }
    }

    #[test]
    fn a_list_is_set_with_what_it_has_already() {
        use serde_json::json;
        assert_eq!(
            look_at("{ lm.bye_headers: Reason }", &["lm.bye_headers"]),
            set("lm.bye_headers", json!(["From", "call-id", "s", "Reason"]))
        );
        assert_eq!(
            look_at("{ lm.bye_headers: all }", &["lm.bye_headers"]),
            set("lm.bye_headers", json!(["all"]))
        );
        assert_eq!(
            look_at("{ lm.invite_headers: Date }", &["lm.invite_headers"]),
            set("lm.invite_headers", json!(["Date"]))
        );
        assert_eq!(
            look_at("{ store.classes: file }", &["store.classes"]),
            set("store.classes", json!(["im", "imdn", "file"]))
        );
        // No entry could be added that would make these hold.
        for when in [
            "{ lm.ok_headers: { not: Date } }",
            "{ lm.bye_headers: { all-of: [Reason, { not: From }] } }",
        ] {
            let outcome = look_at(when, &["lm.ok_headers", "lm.bye_headers"]);
            assert!(matches!(outcome, Outcome::NotApplicable(_)), "{when}");
        }
    }

    #[test]
    fn both_modes_are_tried_where_nothing_is_declared_and_no_credentials() {
        for when in [
            "{ auth.sender: none, auth.register: none }",
            "{ store.modes: session }",
            "{ store.modes: pager }",
            "{ store.modes: { all-of: [pager, session] } }",
            "{ delivery.form: message }",
        ] {
            assert_eq!(look_at(when, &[]), Outcome::Run(BTreeMap::new()), "{when}");
        }
        for when in [
            "{ store.modes: { not: session } }",
            "{ auth.sender: digest }",
        ] {
            assert!(
                matches!(look_at(when, &[]), Outcome::Undeclared(_)),
                "{when}"
            );
        }
    }

    #[test]
    fn another_value_is_set_or_excludes() {
        let when = "{ policy.expired: [deliver, other:x] }";
        assert_eq!(
            look_at(when, &["policy.expired"]),
            set("policy.expired", "deliver")
        );
        assert_eq!(
            look_at(when, &[]),
            Outcome::NotApplicable(
                "the profile declares `policy.expired: delete`; the scenario is for `deliver` or `other:x`".to_owned()
            )
        );
        assert_eq!(
            look_at("{ expire.default.pm: 60 }", &["expire.default.pm"]),
            set("expire.default.pm", 60)
        );
    }

    #[test]
    fn an_undeclared_key_is_named() {
        assert_eq!(
            look_at("{ mid.sequence: increasing }", &[]),
            Outcome::Undeclared(
                "the profile does not declare `mid.sequence`, on which the scenario depends"
                    .to_owned()
            )
        );
        assert_eq!(
            look_at("{ mid.sequence: increasing }", &["mid.sequence"]),
            set("mid.sequence", "increasing")
        );
        assert!(matches!(
            look_at("{ mid.sequence: increasing, policy.expired: deliver }", &[]),
            Outcome::NotApplicable(_)
        ));
    }
}
