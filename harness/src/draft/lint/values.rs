//! Times and numbers: units, bounds, zero, where counting begins, when something must have happened.

use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Place, Rule, Weight};

static UNIT: Rule = Rule {
    id: "no-unit",
    weight: Weight::Editorial,
    why: "a number without unit is no time",
};
static ZERO: Rule = Rule {
    id: "zero",
    weight: Weight::Verdict,
    why: "zero is a legal value, and may mean at once or never",
};
static MALFORMED: Rule = Rule {
    id: "malformed-value",
    weight: Weight::Choice,
    why: "what does not parse is sent to servers every day",
};
static BOUND: Rule = Rule {
    id: "no-bound",
    weight: Weight::Verdict,
    why: "2^32-1 seconds are 136 years: who must keep the value can be filled up, who shortens it breaks the rule",
};
static RELATIVE: Rule = Rule {
    id: "relative-or-absolute",
    weight: Weight::Choice,
    why: "a number of seconds that is kept means something else a second later",
};
static START: Rule = Rule {
    id: "no-start",
    weight: Weight::Verdict,
    why: "RFC 3261 §20.19 counts from receipt, RFC 3428 §7 from Date where there is one: they differ by as long as a message was on its way",
};
static TIMESTAMP: Rule = Rule {
    id: "timestamp-form",
    weight: Weight::Editorial,
    why: "a time without zone, resolution and clock cannot be compared",
};
static TOLERANCE: Rule = Rule {
    id: "no-deadline",
    weight: Weight::Choice,
    why: "a tester must know how long to wait before nothing is a failure",
};
static RACE: Rule = Rule {
    id: "race",
    weight: Weight::Choice,
    why: "what takes time has no moment: an attempt may be under way, may fail, may be made again",
};
static MEANS: Rule = Rule {
    id: "no-means",
    weight: Weight::Verdict,
    why: "a tester does not know where to look for it",
};

pub(super) const RULES: &[&Rule] = &[
    &UNIT, &ZERO, &MALFORMED, &BOUND, &RELATIVE, &START, &TIMESTAMP, &TOLERANCE, &RACE, &MEANS,
];

pub(super) fn find(page: &mut Page<'_>) {
    taken_over(page);
    moments(page);
    indications(page);
}

/// A value that is taken from a header field of seconds, with what is not said about it.
fn taken_over(page: &mut Page<'_>) {
    static TAKES: Pattern = Pattern::new(
        r"(?i)\b(?:set|take|use|adopt|apply|copy|equal)s?\b[^.;]{0,60}?\bvalue\b[^.;]{0,40}?\b([A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)*)\b(?: header)(?: field)?",
    );
    let places: Vec<Place> = page
        .in_statements(&TAKES)
        .into_iter()
        .filter(|place| facts::SECONDS.iter().any(|name| place.text.contains(name)))
        .collect();
    for place in &places {
        for (rule, said, title, readings, suggestion) in [
            (
                &START,
                &STARTS,
                "a time that begins nowhere",
                &[
                    "at receipt",
                    "at the Date of the message",
                    "when it is stored",
                ][..],
                "say from when on it is counted",
            ),
            (
                &ZERO,
                &ZEROS,
                "and if the value is 0?",
                &["over at once", "never over", "the default", "refused"][..],
                "say what 0 means",
            ),
            (
                &MALFORMED,
                &BROKEN,
                "and if the value is malformed?",
                &[
                    "as if it were absent",
                    "the message is refused",
                    "the default",
                ][..],
                "say what is done with what does not parse",
            ),
            (
                &BOUND,
                &BOUNDS,
                "the value has no upper bound",
                &["any value must be kept", "the provider may shorten it"][..],
                "allow a maximum, and say what holds above it",
            ),
            (
                &UNIT,
                &UNITS,
                "the value has no unit",
                &["seconds", "an instant"][..],
                "write `in seconds`",
            ),
            (
                &RELATIVE,
                &ABSOLUTES,
                "is a span of time kept, or its end?",
                &["the number as it came", "the instant at which it ends"][..],
                "say that the instant is kept, or that the time of receipt is kept beside it",
            ),
        ] {
            if !said.is_match(&page.said) {
                let finding = page.add(rule, "", place, title);
                finding.readings = readings.iter().map(|it| (*it).to_owned()).collect();
                finding.suggest(suggestion);
            }
        }
    }
}

static STARTS: Pattern = Pattern::new(
    r"(?i)\bfrom (?:the )?(?:time|receipt|reception|moment|date)\b|\bsince\b|\bmeasured\b|\bDate header\b|\bafter (?:the )?(?:receipt|reception)\b|\bdelta\b|\bstarting\b",
);
static ZEROS: Pattern = Pattern::new(r"(?i)\bzero\b|(?:value|equal|equals|is|of) [\x22“]?0\b");
static BROKEN: Pattern = Pattern::new(
    r"(?i)\bmalformed\b|\binvalid\b|\bnot valid\b|\bcannot be parsed\b|\bunparsable\b|\bsyntax\b",
);
static BOUNDS: Pattern = Pattern::new(
    r"(?i)\bmaximum\b|\bat most\b|\bupper\b|\bno more than\b|\bnot exceed\b|\blimit(?:ed)?\b|\bshorten\b",
);
static UNITS: Pattern = Pattern::new(r"(?i)\bseconds?\b|\bminutes?\b|\bhours?\b|\bdays?\b");
static ABSOLUTES: Pattern =
    Pattern::new(r"(?i)\babsolute\b|\binstant\b|\bpoint in time\b|\brelative\b|\bdelta\b");

fn moments(page: &mut Page<'_>) {
    static STAMP: Pattern = Pattern::new(r"(?i)\btime ?stamps?\b|\bdate and time\b");
    static ZONE: Pattern = Pattern::new(
        r"(?i)\bUTC\b|\bGMT\b|\btime zone\b|\bRFC ?3339\b|\bRFC ?1123\b|\bformat of the time\b|\bISO ?8601\b",
    );
    static BEFORE: Pattern = Pattern::new(
        r"(?i)\bbefore\b[^.,;]{0,40}?\b(?:delivered|sent|received|presented|processed|stored|forwarded|deliver|present|send|fetched|handed)\b",
    );
    static OVER: Pattern = Pattern::new(
        r"\b(?:expires?|expired|expiry|times? out|lapses?|elapses?|is over|runs out)\b",
    );
    static DEADLINE: Pattern = Pattern::new(
        r"(?i)\bwithin\b|\bat the latest\b|\bno later than\b|\bimmediately\b|\bat once\b|\bas soon as\b|\bwithout delay\b",
    );
    if !page.speaks_of(&ZONE) {
        for place in page.in_statements(&STAMP) {
            page.add(&TIMESTAMP, "", &place, "a time without form")
                .readings(["local time", "UTC"])
                .suggest("write: in UTC, to the second, by the server's clock");
        }
    }
    let has_deadline = page.speaks_of(&DEADLINE);
    for at in 0..page.draft.statements.len() {
        let statement = &page.draft.statements[at];
        let Some(own) = statement
            .conditions
            .iter()
            .find(|it| !it.inherited && OVER.is_match(&it.text))
        else {
            continue;
        };
        let (index, condition) = (statement.block, own.text.clone());
        let Some(start) = page.block(index).text().find(&condition) else {
            continue;
        };
        if let Some(found) = BEFORE.find(&condition) {
            let place = Place {
                block: index,
                at: start + found.start()..start + found.end(),
                text: String::new(),
            };
            page.add(&RACE, "", &place, "before something that takes its time")
                .readings([
                    "before the first attempt begins",
                    "before an attempt succeeds",
                ])
                .suggest("say: an attempt that began before may be ended");
        }
        if !has_deadline {
            let place = Place {
                block: index,
                at: start..start + condition.len(),
                text: String::new(),
            };
            page.add(&TOLERANCE, "", &place, "when must it have happened?")
                .readings([
                    "at that very moment",
                    "at the next sweep",
                    "when it is looked at next",
                ])
                .suggest("give a time within which it takes effect");
        }
    }
}

fn indications(page: &mut Page<'_>) {
    static TELLS: Pattern = Pattern::new(
        r"\b(?:MAY|SHOULD|SHALL|MUST)(?: \w+)? (?:indicate|inform|notify|tell|warn|signal|alert)\b[^.;]*",
    );
    static BY: Pattern = Pattern::new(
        r"(?i)\b(?:by|using|via|through|with an?|header|response|body|status|NOTIFY|REPORT|IMDN|code)\b",
    );
    // How a program tells the person before it is its own affair.
    static OWN: Pattern = Pattern::new(
        r"(?i)\b(?:UAC?S?|UAs|user agents?|clients?|endpoints?|devices?|elements?|implementations?|it)\b",
    );
    for place in page.in_statements(&TELLS) {
        let own = page.draft.statements.iter().any(|it| {
            it.block == place.block && it.actor.as_deref().is_some_and(|actor| OWN.is_match(actor))
        });
        if !own && !BY.is_match(&place.text) {
            let key = place.block.to_string();
            page.add(&MEANS, &key, &place, "told, but by what?")
                .readings([
                    "a header field",
                    "a text in the body",
                    "a message of its own",
                ])
                .suggest("name the header field, the body or the message that tells it");
        }
    }
}
