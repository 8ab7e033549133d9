//! Header fields that are kept: of a record, or of one part of the record of a session.

use imspec_reports::record::{
    Field, Observation, StoredHeader, StoredMessage, StoredPart, Verdict,
};
use imspec_wire::sip::name;

use super::names_to_compare;
use crate::evidence::fields;
use crate::judge::aspect::Aspect;
use crate::judge::matcher::{self, Subject};
use crate::judge::outcome::{Observed, Ruling, Seen};
use crate::judge::{Entry, Sheet, compare};
use crate::scenario::model::{HeaderMatcher, MatcherKind, Part, PartMatcher, Step};

/// Header fields that are kept, of a record or of a part of one.
pub(super) struct Kept<'r> {
    part: Option<Part>,
    lists: Vec<&'r StoredPart>,
    /// What is kept of a MESSAGE.
    own: Option<&'r StoredMessage>,
    aspect: Aspect,
}

impl<'r> Kept<'r> {
    /// Of the record as a whole. A record of a session keeps what describes the content with the SEND, all
    /// else with the INVITE.
    pub(super) fn of_record(record: &'r StoredMessage) -> Self {
        let parts = [&record.invite, &record.send];
        let lists: Vec<&StoredPart> = parts.into_iter().filter_map(Field::known).collect();
        Self {
            part: None,
            own: lists.is_empty().then_some(record),
            lists,
            aspect: Aspect::StoredHeader,
        }
    }

    fn of_part(part: Part, kept: &'r StoredPart) -> Self {
        Self {
            part: Some(part),
            lists: vec![kept],
            own: None,
            aspect: aspect_of_part(part),
        }
    }

    fn fields(&self, header: &str) -> Observed {
        let own = self
            .own
            .map(|record| (record.headers.as_slice(), record.headers_complete));
        let of_content = fields::is_of_content(header);
        let mut lists: Vec<(&[StoredHeader], bool)> = self
            .lists
            .iter()
            .map(|part| (part.headers.as_slice(), part.headers_complete))
            .chain(own)
            .collect();
        // Of a session the Content-… fields of the INVITE are about its SDP.
        if self.part.is_none() && lists.len() > 1 && of_content {
            lists.remove(0);
        }
        let mut complete = true;
        for (headers, all) in lists {
            let seen: Vec<Seen> = headers
                .iter()
                .filter(|stored| name::same(&stored.name, header))
                .map(|stored| Seen {
                    name: stored.name.clone(),
                    ..Seen::value(stored.value.to_vec())
                })
                .collect();
            if !seen.is_empty() {
                return Observed::Known(seen);
            }
            complete &= all;
        }
        if complete {
            Observed::Known(Vec::new())
        } else {
            Observed::Unknown(format!(
                "the store adapter cannot tell whether {header} is stored"
            ))
        }
    }

    fn subject(&self, header: &str) -> String {
        match self.part {
            None => format!("stored header {header}"),
            Some(part) => format!("stored header {header} of the {}", part_name(part)),
        }
    }
}

/// Judges what is kept of one part.
pub(super) fn judge_part(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    wanted: &PartMatcher,
    record: &StoredMessage,
    event: u32,
    covers: Option<&Vec<String>>,
) {
    let (part, kept) = match wanted.part {
        Part::Invite => (Part::Invite, &record.invite),
        Part::Ok => (Part::Ok, &record.ok),
        Part::Bye => (Part::Bye, &record.bye),
        Part::Send => (Part::Send, &record.send),
    };
    let what = part_name(part);
    let entry = || {
        Entry::of(step, format!("stored {what}"), Observation::Store)
            .about(aspect_of_part(part))
            .at(&wanted.at)
            .covers(covers)
            .seen_in(event)
    };
    let observed = match kept {
        Field::Known(kept) => format!("{} header fields of it", kept.headers.len()),
        Field::Absent => "nothing of it".to_owned(),
        Field::Unknown => format!("the store adapter cannot read what is kept of the {what}"),
    };
    match (kept, wanted.absent) {
        (Field::Unknown, _) => {
            let expected = format!("what is kept of the {what}");
            sheet.write(
                entry(),
                Ruling::new(Verdict::Inconclusive, expected, observed),
            );
        }
        (kept, true) => {
            let expected = format!("nothing of a {what}");
            let holds = *kept == Field::Absent;
            sheet.write(entry(), Ruling::of(holds, expected, observed));
        }
        (Field::Absent, false) => {
            let expected = format!("something of the {what}");
            let ruling = match undeclared(sheet, part, None) {
                Some(why) => Ruling::new(
                    Verdict::Inconclusive,
                    expected,
                    format!("{observed}; {why}"),
                ),
                None => Ruling::new(Verdict::Fail, expected, observed),
            };
            sheet.write(entry(), ruling);
        }
        (Field::Known(kept), false) => {
            let kept = Kept::of_part(part, kept);
            judge_headers(sheet, step, &wanted.headers, &kept, event, covers);
        }
    }
}

/// Judges header matchers.
pub(super) fn judge_headers(
    sheet: &mut Sheet<'_, '_>,
    step: &Step,
    matchers: &[HeaderMatcher],
    kept: &Kept<'_>,
    event: u32,
    covers: Option<&Vec<String>>,
) {
    for matcher in matchers {
        match matcher {
            HeaderMatcher::Named { name, matcher, at } => {
                let Ok(name) = sheet.view.text(name, &step.path) else {
                    continue;
                };
                let observed = kept.fields(&name);
                let subject = Subject::Header {
                    name: &name,
                    stored: true,
                    part: kept.part,
                };
                let ruling = matcher::rule(sheet, matcher, &observed, &subject, &step.path);
                let denies = matches!(matcher.kind, MatcherKind::Absent | MatcherKind::Not(_));
                let ruling = excuse_missing(sheet, ruling, kept, (&name, &observed), denies);
                let entry =
                    Entry::of(step, kept.subject(&name), Observation::Store).about(kept.aspect);
                sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
            }
            HeaderMatcher::SameAs { of, except, at } => {
                let Ok(of) = sheet.view.text(of, &step.path) else {
                    continue;
                };
                let Some((sent_event, sent)) = sheet.view.original(&of, kept.part) else {
                    continue;
                };
                let exact = sheet
                    .context
                    .pics
                    .get("store.fidelity")
                    .and_then(|v| v.as_str())
                    == Some("octet");
                let sends = sheet.view.sends_of(&of);
                for name in names_to_compare(&sent, except, false) {
                    // Of the start and end of a session the relevant fields are kept, and no others need be.
                    if kept
                        .part
                        .is_some_and(|part| undeclared(sheet, part, Some(&name)).is_some())
                    {
                        continue;
                    }
                    let observed = kept.fields(&name);
                    let mut ruling = match &observed {
                        Observed::Known(seen)
                            if kept.part == Some(Part::Send) && !sends.is_empty() =>
                        {
                            compare::of_send(&name, &sends, seen)
                        }
                        Observed::Known(seen) => compare::header(&name, &sent, seen, exact, true),
                        Observed::Unknown(why) => Ruling::new(
                            Verdict::Inconclusive,
                            format!("{name} as in the message sent"),
                            why.clone(),
                        ),
                    };
                    ruling.against = Some(sent_event.id);
                    let entry =
                        Entry::of(step, kept.subject(&name), Observation::Store).about(kept.aspect);
                    sheet.write(entry.at(at).covers(covers).seen_in(event), ruling);
                }
            }
        }
    }
}

/// That a field of the session's start or end is not kept is a failure only where the draft names it or the
/// profile declares that it is kept (WD-10, WD-11, WD-14). One that is kept must be right in any case.
fn excuse_missing(
    sheet: &Sheet<'_, '_>,
    ruling: Ruling,
    kept: &Kept<'_>,
    (name, observed): (&str, &Observed),
    denies: bool,
) -> Ruling {
    let missing = matches!(observed, Observed::Known(seen) if seen.is_empty());
    if ruling.verdict != Verdict::Fail || !missing || denies {
        return ruling;
    }
    let why = match kept.part {
        Some(part) => undeclared(sheet, part, Some(name)),
        // Asked of a record of a session as a whole: the SEND is kept in full, of the INVITE what is relevant.
        None if kept.own.is_none() && !fields::is_of_content(name) => {
            undeclared(sheet, Part::Invite, Some(name))
        }
        None => None,
    };
    match why {
        Some(why) => Ruling {
            verdict: Verdict::Inconclusive,
            observed: format!("{}; {why}", ruling.observed),
            ..ruling
        },
        None => ruling,
    }
}

/// Why a field of a part (or the part) need not be kept; `None` where it must.
fn undeclared(sheet: &Sheet<'_, '_>, part: Part, header: Option<&str>) -> Option<String> {
    // 9.3.2.4: these are kept of the session's start.
    const NAMED: [&str; 5] = ["From", "To", "P-Asserted-Identity", "Subject", "Date"];
    let key = match part {
        Part::Send => return None,
        Part::Invite => "lm.invite_headers",
        Part::Ok => "lm.ok_headers",
        Part::Bye => "lm.bye_headers",
    };
    let in_list = |list: &[&str], header: &str| list.iter().any(|one| name::same(one, header));
    if part == Part::Invite && header.is_none_or(|header| in_list(&NAMED, header)) {
        return None;
    }
    let declared = sheet.context.pics.get(key);
    let Some(declared) = declared else {
        return Some(format!("the profile does not declare {key}"));
    };
    let list: Vec<&str> = match declared {
        serde_json::Value::Array(list) => list.iter().filter_map(|one| one.as_str()).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let all = list.iter().any(|one| one.eq_ignore_ascii_case("all"));
    match header {
        _ if all => None,
        None if !list.is_empty() => None,
        Some(header) if in_list(&list, header) => None,
        None => Some(format!("the profile declares an empty {key}")),
        Some(header) => Some(format!("{key} of the profile does not name {header}")),
    }
}

fn part_name(part: Part) -> &'static str {
    match part {
        Part::Invite => "INVITE",
        Part::Ok => "200 to the INVITE",
        Part::Bye => "BYE",
        Part::Send => "SEND",
    }
}

fn aspect_of_part(part: Part) -> Aspect {
    match part {
        Part::Invite => Aspect::StoredInvite,
        Part::Ok => Aspect::StoredOk,
        Part::Bye => Aspect::StoredBye,
        Part::Send => Aspect::StoredSend,
    }
}
