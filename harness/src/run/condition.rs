//! Matchers that steer: `when`, and the count that `stored` waits for. They look at plain values; what is
//! compared with whole messages is for the judge.

use regex::Regex;

use crate::evidence::{Value, View};
use crate::scenario::Matcher;
use crate::scenario::Template;
use crate::scenario::model::MatcherKind;

/// Whether a value is as the matcher wants it; an error when that cannot be told.
pub(super) fn holds(
    view: &View<'_>,
    value: &Value,
    matcher: &Matcher,
    step: &str,
) -> Result<bool, String> {
    let text = |template: &Template| view.text(template, step).map_err(|e| e.to_string());
    let any = |matchers: &[Matcher], wanted: bool| {
        for matcher in matchers {
            if holds(view, value, matcher, step)? == wanted {
                return Ok(wanted);
            }
        }
        Ok(!wanted)
    };
    match &matcher.kind {
        MatcherKind::OneOf(matchers) => return any(matchers, true),
        MatcherKind::AllOf(matchers) => return any(matchers, false),
        MatcherKind::Not(inner) => return holds(view, value, inner, step).map(|holds| !holds),
        _ => {}
    }
    let octets = match value {
        Value::Unknown(why) => return Err(why.clone()),
        Value::List(_) => return Err("a list cannot steer a case".into()),
        Value::Absent => return Ok(matches!(matcher.kind, MatcherKind::Absent)),
        Value::Octets(octets) => octets,
    };
    let shown = String::from_utf8_lossy(octets);
    let number = |template: &Template| {
        let wanted = text(template)?;
        match (shown.trim().parse::<f64>(), wanted.trim().parse::<f64>()) {
            (Ok(seen), Ok(wanted)) => Ok((seen, wanted)),
            _ => Err(format!("`{shown}` and `{wanted}` are not two numbers")),
        }
    };
    match &matcher.kind {
        MatcherKind::Present => Ok(true),
        MatcherKind::Absent => Ok(false),
        MatcherKind::Equal(template) => text(template).map(|wanted| equal(&shown, &wanted)),
        MatcherKind::Contains(template) => text(template).map(|wanted| shown.contains(&wanted)),
        MatcherKind::AtLeast(template) => number(template).map(|(seen, wanted)| seen >= wanted),
        MatcherKind::AtMost(template) => number(template).map(|(seen, wanted)| seen <= wanted),
        MatcherKind::Matches(template) => {
            let pattern = text(template)?;
            let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|e| e.to_string())?;
            Ok(regex.is_match(&shown))
        }
        _ => Err(
            "this matcher cannot steer a case; use a plain value, `one-of`, `not`, `matches`, …"
                .into(),
        ),
    }
}

/// Equal as text, as numbers, or a status and its class (`2xx`).
fn equal(seen: &str, wanted: &str) -> bool {
    let class = |text: &str| match text.as_bytes() {
        [class @ b'1'..=b'6', b'x', b'x'] => Some(*class),
        _ => None,
    };
    if let Some(class) = class(wanted) {
        return seen.len() == 3
            && seen.as_bytes()[0] == class
            && seen.bytes().all(|octet| octet.is_ascii_digit());
    }
    seen == wanted
        || matches!((seen.parse::<i64>(), wanted.parse::<i64>()), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn classes_and_numbers() {
        assert!(equal("202", "2xx") && equal("202", "202") && equal("60", "060"));
        assert!(!equal("404", "2xx") && !equal("2", "2xx") && !equal("none", "0"));
    }
}
