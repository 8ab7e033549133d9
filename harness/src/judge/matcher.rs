//! Matchers: does what was observed fit what the scenario says?

mod property;

use std::collections::HashSet;

use imspec_reports::record::{Field, StoreTime, StoredMessage, UtcTime, Verdict};
use imspec_wire::sip::name as header_name;
use imspec_wire::sip::typed::{SipDate, TypedHeader, Uri};
use regex::bytes::Regex;

use super::compare;
use super::outcome::{Observed, Ruling, Seen, show};
use super::{Context, Sheet};
use crate::evidence::content::contains;
use crate::evidence::fields::Fields;
use crate::evidence::{Content, Unresolved, Value};
use crate::scenario::model::{Matcher, MatcherKind, Part};
use property::{identity, property_holds, property_words};

/// What kind of thing is looked at: it decides what *equal* means.
#[derive(Debug, Clone, Copy)]
pub(super) enum Subject<'s> {
    /// A bare value: equal as text or as numbers.
    Value,
    /// All header fields of one name: equal in meaning.
    Header {
        /// Name.
        name: &'s str,
        /// Whether it lies in the store, where `store.fidelity` may ask for octets.
        stored: bool,
        /// The part of a session that it belongs to, where it is kept of one.
        part: Option<Part>,
    },
    /// A body: equal octet for octet.
    Body(BodySeen<'s>),
    /// A URI: RFC 3261 §19.1.4.
    Uri,
    /// The mark of a record, and what it may be counted from.
    Mark(&'s StoredMessage, MarkBase),
    /// The instant of receipt.
    Instant,
}

/// A body whose octets may be too many to be at hand.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodySeen<'s> {
    /// What is known of it; `None`: nothing.
    pub(super) content: Option<&'s Content>,
    /// Whether it was delivered, so that it may have got a wrapper.
    pub(super) delivered: bool,
}

/// What a mark that is kept as an instant may be counted from.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MarkBase {
    /// Store time from the sending of the message to its answer.
    pub(super) window: Option<(StoreTime, StoreTime)>,
    /// The same of its first chunk, where time may count from there (WD-25).
    pub(super) first: Option<(StoreTime, StoreTime)>,
    /// The same of the BYE.
    pub(super) bye: Option<(StoreTime, StoreTime)>,
    /// Whether the profile declares that time counts from one of these and not from the receipt.
    pub(super) elsewhere: bool,
    /// Its Date, where the profile declares that time counts from there (WD-25).
    pub(super) date: Option<UtcTime>,
}

/// Rules on `observed`.
pub(super) fn rule(
    sheet: &Sheet<'_, '_>,
    matcher: &Matcher,
    observed: &Observed,
    subject: &Subject<'_>,
    step: &str,
) -> Ruling {
    let case = Case {
        sheet,
        subject,
        step,
    };
    match case.rule(matcher, observed) {
        Ok(ruling) => ruling,
        Err(Unresolved(why)) => {
            Ruling::new(Verdict::Inconclusive, "what the scenario refers to", why)
        }
    }
}

struct Case<'r, 'v, 'a> {
    sheet: &'r Sheet<'v, 'a>,
    subject: &'r Subject<'r>,
    step: &'r str,
}

impl Case<'_, '_, '_> {
    fn rule(&self, matcher: &Matcher, observed: &Observed) -> Result<Ruling, Unresolved> {
        let seen = match observed {
            Observed::Known(seen) => seen,
            Observed::Unknown(why) => {
                if let Some(ruling) = self.by_digest(matcher)? {
                    return Ok(ruling);
                }
                let combined = matches!(
                    matcher.kind,
                    MatcherKind::OneOf(_) | MatcherKind::AllOf(_) | MatcherKind::Not(_)
                );
                if combined {
                    return self.combine(matcher, observed);
                }
                return Ok(Ruling::new(
                    Verdict::Inconclusive,
                    self.words(matcher)?,
                    why.clone(),
                ));
            }
        };
        let said = || observed.in_words();
        let range = seen.first().and_then(|one| one.range);
        let plain = |holds: bool| Ok(Ruling::of(holds, self.words(matcher)?, said()).range(range));
        match &matcher.kind {
            MatcherKind::Equal(_) | MatcherKind::List(_) => {
                self.equal(matcher, seen).map(|ruling| ruling.range(range))
            }
            MatcherKind::SameAs(name) => self
                .same_as(&self.text(name)?, seen, false)
                .map(|r| or_range(r, range)),
            MatcherKind::IdenticalTo(name) => self
                .same_as(&self.text(name)?, seen, true)
                .map(|r| or_range(r, range)),
            MatcherKind::OneOf(_) | MatcherKind::AllOf(_) | MatcherKind::Not(_) => {
                self.combine(matcher, observed)
            }
            MatcherKind::Matches(pattern) => {
                let pattern = self.text(pattern)?;
                let regex = Regex::new(&format!("^(?s:{pattern})$")).map_err(|why| {
                    Unresolved(format!("`{pattern}` is no regular expression: {why}"))
                })?;
                plain(!seen.is_empty() && seen.iter().all(|one| regex.is_match(&one.value)))
            }
            MatcherKind::Contains(text) => {
                let text = self.text(text)?;
                plain(
                    !seen.is_empty()
                        && seen.iter().any(|one| contains(&one.value, text.as_bytes())),
                )
            }
            MatcherKind::Present => plain(self.there(seen)),
            MatcherKind::Absent => plain(!self.there(seen)),
            MatcherKind::AtLeast(bound) => {
                let bound = number(&self.text(bound)?)?;
                plain(
                    self.numbers(seen)
                        .is_some_and(|all| all.iter().all(|n| *n >= bound)),
                )
            }
            MatcherKind::AtMost(bound) => {
                let bound = number(&self.text(bound)?)?;
                plain(
                    self.numbers(seen)
                        .is_some_and(|all| all.iter().all(|n| *n <= bound)),
                )
            }
            MatcherKind::Unique => {
                let mut known = HashSet::new();
                let twice = seen.iter().find(|one| !known.insert(identity(&one.value)));
                let said = match twice {
                    Some(one) => format!(
                        "{} more than once among {} values",
                        show(&one.value),
                        seen.len()
                    ),
                    None => format!("{} values, all different", seen.len()),
                };
                Ok(Ruling::of(twice.is_none(), self.words(matcher)?, said))
            }
            MatcherKind::Within { of, tolerance } => self.within(&self.text(of)?, *tolerance, seen),
            MatcherKind::Is(property) => {
                Ok(property_holds(*property, seen, self.sheet.context).range(range))
            }
            MatcherKind::Count(inner) => {
                let counted = Observed::one(seen.len().to_string());
                let ruling = Case {
                    subject: &Subject::Value,
                    ..*self
                }
                .rule(inner, &counted)?;
                Ok(Ruling {
                    expected: self.words(matcher)?,
                    ..ruling
                })
            }
        }
    }

    fn combine(&self, matcher: &Matcher, observed: &Observed) -> Result<Ruling, Unresolved> {
        match &matcher.kind {
            MatcherKind::OneOf(choices) => self.one_of(matcher, choices, observed),
            MatcherKind::AllOf(all) => self.all_of(matcher, all, observed),
            MatcherKind::Not(inner) => {
                let ruling = self.rule(inner, observed)?;
                let verdict = match ruling.verdict {
                    Verdict::Pass => Verdict::Fail,
                    Verdict::Fail => Verdict::Pass,
                    other => other,
                };
                Ok(Ruling {
                    verdict,
                    expected: self.words(matcher)?,
                    ..ruling
                })
            }
            _ => self.rule(matcher, observed),
        }
    }

    /// What can be said of a body of which only number and digest of the octets are known.
    fn by_digest(&self, matcher: &Matcher) -> Result<Option<Ruling>, Unresolved> {
        let Subject::Body(BodySeen {
            content: Some(content),
            ..
        }) = self.subject
        else {
            return Ok(None);
        };
        Ok(match &matcher.kind {
            MatcherKind::SameAs(name) => Some(self.same_as(&self.text(name)?, &[], false)?),
            MatcherKind::IdenticalTo(name) => Some(self.same_as(&self.text(name)?, &[], true)?),
            MatcherKind::Present | MatcherKind::Absent => {
                let there = content.length() > 0;
                let holds = there == matches!(matcher.kind, MatcherKind::Present);
                let observed = format!("{} octets", content.length());
                Some(Ruling::of(holds, self.words(matcher)?, observed))
            }
            _ => None,
        })
    }

    fn equal(&self, matcher: &Matcher, seen: &[Seen]) -> Result<Ruling, Unresolved> {
        let wanted = match &matcher.kind {
            MatcherKind::List(list) => {
                let mut wanted = Vec::new();
                for one in list {
                    match &one.kind {
                        MatcherKind::Equal(template) => wanted.push(self.octets(template)?),
                        _ => return self.each(list, seen),
                    }
                }
                wanted
            }
            MatcherKind::Equal(template) => match self.sheet.view.resolve(template, self.step)? {
                Value::Octets(octets) => vec![octets],
                Value::Absent => {
                    return Ok(Ruling::of(
                        seen.is_empty(),
                        "nothing, as in the message",
                        words_of(seen),
                    ));
                }
                Value::Unknown(why) => return Err(Unresolved(why)),
                Value::List(_) => return Err(Unresolved("a list is no single value".into())),
            },
            _ => return Err(Unresolved("not a value".into())),
        };
        let expected = wanted
            .iter()
            .map(|one| show(one))
            .collect::<Vec<_>>()
            .join(" and ");
        let observed = words_of(seen);
        if let Subject::Header { name, .. } = self.subject {
            let (relation, clauses) = compare::fields(name, &wanted, seen);
            let ruling = Ruling::of(
                relation != imspec_wire::sip::Relation::Different,
                expected,
                observed,
            );
            return Ok(if clauses.is_empty() {
                ruling
            } else {
                ruling.note(format!("equal by {clauses}"))
            });
        }
        if let (Subject::Mark(record, base), [wanted]) = (self.subject, wanted.as_slice()) {
            return Ok(Ruling::of(
                mark_is(record, *base, wanted),
                expected,
                observed,
            ));
        }
        let holds = seen.len() == wanted.len()
            && seen
                .iter()
                .zip(&wanted)
                .all(|(seen, wanted)| match self.subject {
                    Subject::Uri => same_uri(&seen.value, wanted),
                    Subject::Body(_) => seen.value == *wanted,
                    _ => same_value(&seen.value, wanted),
                });
        Ok(Ruling::of(holds, expected, observed))
    }

    /// A list of matchers over several fields, in order.
    fn each(&self, list: &[Matcher], seen: &[Seen]) -> Result<Ruling, Unresolved> {
        let expected = list
            .iter()
            .map(|one| self.words(one))
            .collect::<Result<Vec<_>, _>>()?
            .join(", then ");
        if list.len() != seen.len() {
            return Ok(Ruling::new(Verdict::Fail, expected, words_of(seen)));
        }
        let mut verdict = Verdict::Pass;
        for (matcher, one) in list.iter().zip(seen) {
            verdict = verdict.and(
                self.rule(matcher, &Observed::Known(vec![one.clone()]))?
                    .verdict,
            );
        }
        Ok(Ruling::new(verdict, expected, words_of(seen)))
    }

    fn one_of(
        &self,
        whole: &Matcher,
        choices: &[Matcher],
        observed: &Observed,
    ) -> Result<Ruling, Unresolved> {
        let mut worst = Verdict::Fail;
        for choice in choices {
            let ruling = self.rule(choice, observed)?;
            match ruling.verdict {
                Verdict::Pass => {
                    return Ok(Ruling {
                        expected: self.words(whole)?,
                        ..ruling
                    });
                }
                Verdict::Inconclusive => worst = Verdict::Inconclusive,
                _ => {}
            }
        }
        let range = match observed {
            Observed::Known(seen) => seen.first().and_then(|one| one.range),
            Observed::Unknown(_) => None,
        };
        Ok(Ruling::new(worst, self.words(whole)?, observed.in_words()).range(range))
    }

    fn all_of(
        &self,
        whole: &Matcher,
        all: &[Matcher],
        observed: &Observed,
    ) -> Result<Ruling, Unresolved> {
        let mut worst = Ruling::new(Verdict::Pass, self.words(whole)?, observed.in_words());
        for one in all {
            let ruling = self.rule(one, observed)?;
            if ruling.verdict > worst.verdict {
                worst = ruling;
            }
        }
        Ok(worst)
    }

    fn same_as(&self, name: &str, seen: &[Seen], octets: bool) -> Result<Ruling, Unresolved> {
        let view = self.sheet.view;
        let never = || {
            Unresolved(format!(
                "`{name}` was never sent, so there is nothing to compare with"
            ))
        };
        let (event, mut ruling) = match self.subject {
            Subject::Header {
                name: header,
                stored,
                part,
            } => {
                let (event, original) = view.original(name, *part).ok_or_else(never)?;
                let must = octets || (*stored && octet_fidelity(self.sheet.context));
                let sends = view.sends_of(name);
                let ruling = if *part == Some(Part::Send) && !sends.is_empty() {
                    compare::of_send(header, &sends, seen)
                } else if let Some(ruling) =
                    added_date(header, *stored, event.store, &original, seen)
                {
                    ruling
                } else {
                    compare::header(header, &original, seen, must, !octets)
                };
                (event, ruling)
            }
            Subject::Body(body) => {
                let (event, sent) = view.saved_content(name).ok_or_else(never)?;
                let range = seen.first().and_then(|one| one.range);
                let ruling = match body.content {
                    None => compare::body(sent.octets().map_or(&[], |octets| &octets[..]), seen),
                    Some(content) if body.delivered => {
                        let inner = content.unwrapped(&sent);
                        let range = range.filter(|_| inner == *content);
                        compare::content(&sent, &inner, range)
                    }
                    Some(content) => compare::content(&sent, content, range),
                };
                (event, ruling)
            }
            Subject::Uri => {
                let (event, message) = view.message(name).ok_or_else(never)?;
                let wanted = message.request_uri().unwrap_or_default();
                let holds = matches!(seen, [one] if if octets { one.value == wanted } else { same_uri(&one.value, wanted) });
                (event, Ruling::of(holds, show(wanted), words_of(seen)))
            }
            Subject::Value | Subject::Mark(..) | Subject::Instant => {
                return Err(Unresolved(
                    "`same-as` compares headers, bodies and Request-URIs only".into(),
                ));
            }
        };
        ruling.against = Some(event.id);
        Ok(ruling)
    }

    fn within(&self, name: &str, tolerance: bool, seen: &[Seen]) -> Result<Ruling, Unresolved> {
        let (from, to) = self.sheet.view.window(name).ok_or_else(|| {
            Unresolved(format!(
                "the store clock at the time of `{name}` is not known: there is no clock adapter"
            ))
        })?;
        // A store may keep whole seconds (WD-49).
        let slack_ms = 1000 * i64::from(tolerance);
        let from = from
            .at
            .plus_us(-1000 * (i64::from(from.uncertainty_ms) + slack_ms));
        let to = to
            .at
            .plus_us(1000 * (i64::from(to.uncertainty_ms) + slack_ms));
        let expected = format!("an instant from {from} to {to}");
        let instants: Option<Vec<UtcTime>> = seen
            .iter()
            .map(|one| {
                std::str::from_utf8(&one.value)
                    .ok()
                    .and_then(|t| UtcTime::parse(t).ok())
            })
            .collect();
        let holds = instants
            .is_some_and(|all| !all.is_empty() && all.iter().all(|at| (from..=to).contains(at)));
        Ok(Ruling::of(holds, expected, words_of(seen)))
    }

    /// An unmarked record is observed as `none`, which is a word for nothing.
    fn there(&self, seen: &[Seen]) -> bool {
        match self.subject {
            Subject::Mark(record, _) => record.expire.known().is_some(),
            _ => !seen.is_empty(),
        }
    }

    fn numbers(&self, seen: &[Seen]) -> Option<Vec<f64>> {
        if let Subject::Mark(record, base) = self.subject
            && let Some(expire) = record.expire.known()
        {
            let exact = crate::evidence::record::seconds(record, *expire);
            // From the sending instead of the receipt: as good as the store clock allows.
            let about = || {
                let us = expire.at?.unix_us.checked_sub(base.window?.0.at.unix_us)?;
                u64::try_from(us / 1_000_000).ok()
            };
            #[expect(
                clippy::cast_precision_loss,
                reason = "lifetimes are far below 2^52 seconds"
            )]
            return exact.or_else(about).map(|seconds| vec![seconds as f64]);
        }
        if seen.is_empty() {
            return None;
        }
        seen.iter()
            .map(|one| std::str::from_utf8(&one.value).ok()?.trim().parse().ok())
            .collect()
    }

    fn octets(&self, template: &crate::scenario::Template) -> Result<Vec<u8>, Unresolved> {
        match self.sheet.view.resolve(template, self.step)? {
            Value::Octets(octets) => Ok(octets),
            other => other.into_text().map(String::into_bytes),
        }
    }

    fn text(&self, template: &crate::scenario::Template) -> Result<String, Unresolved> {
        self.sheet.view.text(template, self.step)
    }

    /// What a matcher wants, for a sentence.
    fn words(&self, matcher: &Matcher) -> Result<String, Unresolved> {
        let list = |all: &[Matcher], with: &str| -> Result<String, Unresolved> {
            Ok(all
                .iter()
                .map(|one| self.words(one))
                .collect::<Result<Vec<_>, _>>()?
                .join(with))
        };
        Ok(match &matcher.kind {
            MatcherKind::Equal(template) => show(&self.octets(template).unwrap_or_default()),
            MatcherKind::List(all) => list(all, ", then ")?,
            MatcherKind::OneOf(all) => list(all, " or ")?,
            MatcherKind::AllOf(all) => list(all, " and ")?,
            MatcherKind::Not(inner) => format!("not {}", self.words(inner)?),
            MatcherKind::Matches(pattern) => format!("text that matches /{}/", self.text(pattern)?),
            MatcherKind::Contains(text) => {
                format!("text that contains {}", show(self.text(text)?.as_bytes()))
            }
            MatcherKind::Present => "something".into(),
            MatcherKind::Absent => "nothing".into(),
            MatcherKind::SameAs(name) => format!("the same as in `{}`", self.text(name)?),
            MatcherKind::IdenticalTo(name) => {
                format!("the same octets as in `{}`", self.text(name)?)
            }
            MatcherKind::AtLeast(bound) => format!("at least {}", self.text(bound)?),
            MatcherKind::AtMost(bound) => format!("at most {}", self.text(bound)?),
            MatcherKind::Unique => "values that all differ".into(),
            MatcherKind::Within { of, .. } => {
                format!("an instant while `{}` was sent", self.text(of)?)
            }
            MatcherKind::Is(property) => property_words(*property).into(),
            MatcherKind::Count(inner) => format!("{} of them", self.words(inner)?),
        })
    }
}

/// A Date where the sender had written none: any element may add one (RFC 3261 §20, table 2). In the
/// store it must be about the time of receipt (WD-12).
fn added_date(
    header: &str,
    stored: bool,
    sent_at: Option<StoreTime>,
    original: &Fields,
    seen: &[Seen],
) -> Option<Ruling> {
    const NEAR_US: i64 = 60_000_000;
    let (true, None, [one]) = (
        header_name::same(header, "Date"),
        original.first("Date"),
        seen,
    ) else {
        return None;
    };
    let date = SipDate::parse_value(&one.value).ok()?;
    let (expected, observed) = ("no Date, or one that was added", show(&one.value));
    if !stored {
        return Some(
            Ruling::new(Verdict::Pass, expected, observed).note("added (RFC 3261 table 2)"),
        );
    }
    let Some(sent_at) = sent_at else {
        return Some(Ruling::new(
            Verdict::Inconclusive,
            expected,
            format!("{observed}, and the store clock is not known"),
        ));
    };
    let apart = date.unix_seconds.saturating_mul(1_000_000) - sent_at.at.unix_us;
    Some(
        Ruling::of(apart.abs() <= NEAR_US, expected, observed)
            .note("a Date that is added must be that of the receipt (WD-12)"),
    )
}

fn or_range(ruling: Ruling, range: Option<(u32, u32)>) -> Ruling {
    if ruling.range.is_some() {
        ruling
    } else {
        ruling.range(range)
    }
}

fn words_of(seen: &[Seen]) -> String {
    Observed::Known(seen.to_vec()).in_words()
}

fn octet_fidelity(context: Context<'_>) -> bool {
    context.pics.get("store.fidelity").and_then(|v| v.as_str()) == Some("octet")
}

/// `mark: 600`: the lifetime, or the instant 600 s after receipt, either representation (WD-29).
fn mark_is(record: &StoredMessage, base: MarkBase, wanted: &[u8]) -> bool {
    /// Either clock may be kept in whole seconds.
    const STEP_US: i64 = 1_000_000;
    if wanted == b"none" {
        return record.expire == Field::Absent;
    }
    let (Some(expire), Ok(wanted)) = (record.expire.known(), std::str::from_utf8(wanted)) else {
        return false;
    };
    let Ok(wanted) = wanted.trim().parse::<u64>() else {
        return false;
    };
    if expire.seconds == Some(wanted) {
        return true;
    }
    let (Some(at), Ok(wanted)) = (expire.at, i64::try_from(wanted)) else {
        return false;
    };
    // A lifetime with the very instant at which it ends leaves nothing to a clock's step.
    if let (Some(seconds), Some(received)) = (expire.seconds, record.received_at.known())
        && i64::try_from(seconds).is_ok_and(|lifetime| {
            received.plus_us(lifetime.saturating_mul(1_000_000)).unix_us == at.unix_us
        })
    {
        return false;
    }
    let counted_from = at.plus_us(wanted.saturating_mul(-1_000_000));
    let near = |base: UtcTime| (counted_from.unix_us - base.unix_us).abs() <= STEP_US;
    if base.date.is_some_and(near) {
        return true;
    }
    let inside = |window: Option<(StoreTime, StoreTime)>| {
        window.is_some_and(|(from, to)| {
            let from = from
                .at
                .plus_us(-STEP_US - 1000 * i64::from(from.uncertainty_ms));
            let to = to.at.plus_us(STEP_US + 1000 * i64::from(to.uncertainty_ms));
            (from..=to).contains(&counted_from)
        })
    };
    if inside(base.first) || inside(base.bye) {
        return true;
    }
    if base.elsewhere {
        return false;
    }
    match record.received_at.known() {
        Some(received) => near(*received),
        None => inside(base.window),
    }
}

fn same_uri(a: &[u8], b: &[u8]) -> bool {
    match (Uri::parse(a), Uri::parse(b)) {
        (Ok(a), Ok(b)) => a.equivalent(&b),
        _ => a == b,
    }
}

/// As text, as numbers, or as a class of status codes (`2xx`).
fn same_value(seen: &[u8], wanted: &[u8]) -> bool {
    if seen == wanted {
        return true;
    }
    let (Ok(seen), Ok(wanted)) = (std::str::from_utf8(seen), std::str::from_utf8(wanted)) else {
        return false;
    };
    if let Some(class) = wanted.strip_suffix("xx")
        && class.len() == 1
    {
        return seen.len() == 3
            && seen.starts_with(class)
            && seen.bytes().all(|b| b.is_ascii_digit());
    }
    matches!((seen.trim().parse::<u64>(), wanted.trim().parse::<u64>()), (Ok(a), Ok(b)) if a == b)
}

fn number(text: &str) -> Result<f64, Unresolved> {
    text.trim()
        .parse()
        .map_err(|_| Unresolved(format!("`{text}` is no number")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_reports::record::Expire;

    use super::*;

    #[test]
    fn a_mark_may_be_kept_as_lifetime_or_as_instant() {
        let record = |seconds, at: Option<&str>| StoredMessage {
            received_at: Field::Known(UtcTime::parse("2026-11-23T10:00:00Z").unwrap()),
            expire: Field::Known(Expire {
                seconds,
                at: at.map(|at| UtcTime::parse(at).unwrap()),
            }),
            ..StoredMessage::default()
        };
        assert!(mark_is(
            &record(Some(600), None),
            MarkBase::default(),
            b"600"
        ));
        assert!(mark_is(
            &record(None, Some("2026-11-23T10:10:00Z")),
            MarkBase::default(),
            b"600"
        ));
        assert!(!mark_is(
            &record(None, Some("2026-11-23T10:10:02Z")),
            MarkBase::default(),
            b"600"
        ));
        let both = |seconds| record(Some(seconds), Some("2026-11-23T10:10:01Z"));
        assert!(!mark_is(&both(601), MarkBase::default(), b"600"));
        assert!(mark_is(&both(602), MarkBase::default(), b"600"));
        assert!(!mark_is(
            &record(Some(600), None),
            MarkBase::default(),
            b"none"
        ));
        assert!(mark_is(
            &StoredMessage {
                expire: Field::Absent,
                ..StoredMessage::default()
            },
            MarkBase::default(),
            b"none"
        ));
    }

    #[test]
    fn values_are_equal_as_text_as_numbers_or_as_a_class_of_status() {
        assert!(same_value(b"202", b"2xx"));
        assert!(!same_value(b"302", b"2xx"));
        assert!(same_value(b"0005", b"5"));
        assert!(!same_value(b"5 ", b"six"));
    }
}
