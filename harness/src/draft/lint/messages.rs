//! Messages of SIP and MSRP: what each can carry, how many there are, and what `all` of one includes.

use std::collections::BTreeSet;

use super::super::pattern::Pattern;
use super::facts;
use super::{Page, Place, Rule, Weight};

static NOT_CARRIED: Rule = Rule {
    id: "header-not-carried",
    weight: Weight::Verdict,
    why: "what a message cannot carry, or what means nothing there, cannot be asked of it",
};
static HOPS: Rule = Rule {
    id: "all-includes-hops",
    weight: Weight::Choice,
    why: "Via, Route, Record-Route and Max-Forwards are for one hop: useless later, and they tell the network's shape",
};
static CREDENTIALS: Rule = Rule {
    id: "all-includes-credentials",
    weight: Weight::Verdict,
    why: "Authorization and Proxy-Authorization are among them: whoever reads them can guess a password offline",
};
static IDENTITY: Rule = Rule {
    id: "all-includes-identity",
    weight: Weight::Verdict,
    why: "a P-Asserted-Identity that an untrusted sender wrote must be removed or replaced (RFC 3325 §5)",
};
static PARTS: Rule = Rule {
    id: "part-missing",
    weight: Weight::Editorial,
    why: "what the list of parts leaves out may be lost, and the list looks whole",
};
static COMPANION: Rule = Rule {
    id: "companion-missing",
    weight: Weight::Choice,
    why: "one header field is worth little, or does harm, without the other",
};
static OPTIONAL: Rule = Rule {
    id: "optional-header",
    weight: Weight::Choice,
    why: "a sender may leave it out: then a server may fail, refuse or invent it",
};
static MODE: Rule = Rule {
    id: "mode-and-transport",
    weight: Weight::Choice,
    why: "pager mode is a request of its own, session mode is MSRP (RFC 3428 §1, RFC 4975 §1): is every session meant?",
};
static MAY_NOT_COME: Rule = Rule {
    id: "may-not-come",
    weight: Weight::Verdict,
    why: "a message that never comes leaves the rule without an object",
};
static ONE_OF_MANY: Rule = Rule {
    id: "one-of-many",
    weight: Weight::Verdict,
    why: "a session has many messages, and a message many SEND requests (RFC 4975 §5.1): which one counts?",
};
static NOT_A_PART: Rule = Rule {
    id: "not-a-part",
    weight: Weight::Choice,
    why: "the message has no such part: it is looked for in the wrong place",
};

pub(super) const RULES: &[&Rule] = &[
    &NOT_CARRIED,
    &HOPS,
    &CREDENTIALS,
    &IDENTITY,
    &PARTS,
    &COMPANION,
    &OPTIONAL,
    &MODE,
    &MAY_NOT_COME,
    &ONE_OF_MANY,
    &NOT_A_PART,
];

/// Verbs that keep or pass on.
const KEEPS: &str =
    r"(?i)\b(?:store|keep|save|retain|copy|copies|forward|relay|include|preserve|log|record)s?\b";

pub(super) fn find(page: &mut Page<'_>) {
    all_fields(page);
    parts(page);
    for index in page.bound.clone() {
        listed(page, index);
    }
    sentences(page);
    sessions(page);
}

/// Messages that a text names: methods, and responses.
fn messages(text: &str) -> BTreeSet<&str> {
    static NAMES: Pattern = Pattern::new(
        r"\b(?:(INVITE|MESSAGE|BYE|ACK|CANCEL|OPTIONS|REGISTER|SEND|REPORT|AUTH)|[1-6](?:\d\d|xx)(?: [A-Z]\w+)?|[Rr]esponses?)\b",
    );
    NAMES
        .captures_iter(text)
        .filter_map(|found| match (found.get(1), found.get(0)) {
            (Some(method), _) => Some(method.as_str()),
            (None, Some(_)) => Some(facts::RESPONSE),
            _ => None,
        })
        .collect()
}

fn not_carried(page: &mut Page<'_>, message: &str, header: &str, place: &Place) {
    let fact = facts::CARRIED
        .iter()
        .find(|it| it.name == header && it.not_in.contains(&message));
    if let Some(fact) = fact {
        let what = if message == facts::RESPONSE {
            "a response"
        } else {
            message
        };
        page.add(
            &NOT_CARRIED,
            &format!("{header} {message}"),
            place,
            format!("{header} in {what}: {}", fact.because),
        )
        .readings([
            "a slip: another message is meant",
            "a meaning of its own, which others will ignore",
        ])
        .suggest(
            "name for each header field the message that carries it, or define it for this one",
        );
    }
}

/// Header fields that are listed as bullets below a text that names messages.
fn listed(page: &mut Page<'_>, index: usize) {
    static HEADERS: Pattern = Pattern::new(r"(?i)\bheaders?\b");
    let text = page.block(index).text();
    if !HEADERS.is_match(text) {
        return;
    }
    let below = page.below(index);
    let names: Vec<(String, Place)> = below
        .iter()
        .map(|at| {
            let name = page
                .block(*at)
                .text()
                .trim_end_matches([',', ';', '.'])
                .to_owned();
            let place = Place {
                block: *at,
                at: 0..name.len(),
                text: name.clone(),
            };
            (name, place)
        })
        .filter(|(name, _)| !name.is_empty() && !name.contains(' '))
        .collect();
    let found = messages(text);
    for (name, place) in &names {
        for message in &found {
            not_carried(page, message, name, place);
        }
    }
    if !found.is_empty() {
        let optional: Vec<&str> = names
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| facts::OPTIONAL.contains(name))
            .collect();
        let first = names
            .iter()
            .find(|(name, _)| facts::OPTIONAL.contains(&name.as_str()));
        let said = page.speaks_of(&IF_PRESENT);
        if let (Some((_, place)), false) = (first, said) {
            let title = format!("{} may be absent: and then?", optional.join(", "));
            page.add(&OPTIONAL, &index.to_string(), place, title)
                .readings([
                    "what is absent is not kept",
                    "the server adds one of its own",
                    "the message is refused",
                ])
                .suggest("write `if present`");
        }
        companions(page, &names);
    }
}

static IF_PRESENT: Pattern = Pattern::new(
    r"(?i)\b(?:if|when|where) (?:it is |they are )?(?:present|any|available|included)\b",
);

fn companions(page: &mut Page<'_>, names: &[(String, Place)]) {
    for (name, wanted, why) in facts::COMPANIONS {
        let named = names.iter().find(|(it, _)| it == name);
        let missing = !wanted
            .iter()
            .any(|it| names.iter().any(|(name, _)| name == it) || page.said.contains(it));
        if let (Some((_, place)), true) = (named, missing) {
            page.add(
                &COMPANION,
                name,
                place,
                format!("{name} without {}", wanted.join(" and ")),
            )
            .readings(["the list names examples", "the rest is lost"])
            .suggest(format!("add it to the list: {why}"));
        }
    }
}

/// Header fields that a sentence gives to a message: `the SEND request contains the Expires header`.
fn sentences(page: &mut Page<'_>) {
    static ANSWER: Pattern = Pattern::new(r"\bto (?:the |an? )?$");
    static HAS: Pattern = Pattern::new(
        r"\b(INVITE|MESSAGE|BYE|ACK|CANCEL|OPTIONS|REGISTER|SEND|REPORT|AUTH|[1-6]\d\d)\b(?: [A-Za-z]+){0,3} (?:contains?|has|have|carries|includes?) (?:an?|the|its) ([A-Z][A-Za-z]*(?:-[A-Z][A-Za-z]*)*) header",
    );
    for index in page.bound.clone() {
        let text = page.block(index).text();
        for found in HAS.captures_iter(text) {
            let Some((message, header)) = found.get(1).zip(found.get(2)) else {
                continue;
            };
            // `a response to INVITE contains` speaks of the response.
            if ANSWER.is_match(&text[..message.start()]) {
                continue;
            }
            let name = if message.as_str().starts_with(|c: char| c.is_ascii_digit()) {
                facts::RESPONSE
            } else {
                message.as_str()
            };
            let place = Place {
                block: index,
                at: header.range(),
                text: header.as_str().to_owned(),
            };
            not_carried(page, name, header.as_str(), &place);
        }
    }
}

fn all_fields(page: &mut Page<'_>) {
    static ALL: Pattern =
        Pattern::new(r"(?i)\b(?:all|every)\b(?: of)?(?: the)?(?: SIP)? header(?:s\b| fields?\b)?");
    static KEPT: Pattern = Pattern::new(KEEPS);
    static SAID: Pattern = Pattern::new(r"(?i)\b(?:hop.by.hop|except|end.to.end|credentials)\b");
    if page.speaks_of(&SAID) {
        return;
    }
    for place in page.in_statements(&ALL) {
        if !KEPT.is_match(page.block(place.block).text()) {
            continue;
        }
        for (rule, title, suggestion) in [
            (
                &HOPS,
                "all header fields: also those of one hop?",
                "except Via, Route, Record-Route and Max-Forwards",
            ),
            (
                &CREDENTIALS,
                "all header fields: also credentials?",
                "except Authorization and Proxy-Authorization, which must not be kept",
            ),
            (
                &IDENTITY,
                "all header fields: also an identity that nobody vouched for?",
                "say that P-Asserted-Identity is kept as RFC 3325 leaves it",
            ),
        ] {
            page.add(rule, "", &place, title)
                .readings(["all, as received", "all that concern the recipient"])
                .suggest(suggestion);
        }
    }
}

/// A whole whose parts are listed without one of them.
fn parts(page: &mut Page<'_>) {
    static WHOLE: Pattern = Pattern::new(
        r"(?i)\b(?:complete|whole|entire|full)\b (?:SIP |MSRP )?(?:message|request)\b[^.;]*\b(?:including|with|consisting of)\b[^.;]*",
    );
    static START: Pattern = Pattern::new(r"(?i)\b(?:start|request|status).?(?:line|URI)\b");
    static HEADER: Pattern = Pattern::new(r"(?i)\bheader");
    for place in page.in_statements(&WHOLE) {
        if HEADER.is_match(&place.text) && !START.is_match(&place.text) {
            page.add(&PARTS, "", &place, "the parts of a message without its start line")
                .readings(["`complete` includes it", "what is listed is all"])
                .suggest("name the start line, too: the Request-URI says for whom a request was (RFC 3261 §7.1)");
        }
    }
}

fn sessions(page: &mut Page<'_>) {
    static PAGER: Pattern =
        Pattern::new(r"(?i)\bpager?.mode\b[^.;]*\bMSRP\b|\bMSRP\b[^.;]*\bpager?.mode\b");
    static KEPT: Pattern = Pattern::new(KEEPS);
    static THE: Pattern = Pattern::new(
        r"\b[Tt]he (?:MSRP |SEND )(?:SEND|MSRP)? ?request\b(?:[^.;]{0,12}\b(?:headers?|contains?))?|\b[Tt]he SEND request\b",
    );
    static MANY: Pattern =
        Pattern::new(r"(?i)\bchunk|\beach SEND\b|\bfirst SEND\b|\blast SEND\b|\ball SEND\b");
    static TIME: Pattern = Pattern::new(
        r"(?i)\b(?:SEND|MESSAGE|INVITE|BYE) request\b[^.;,]{0,10}\bincluding (?:the |its |a )?(?:time ?stamp|time|date|address|user)\b",
    );
    for place in page.in_statements(&PAGER) {
        let head = Place {
            at: place.at.start..place.at.end.min(place.at.start + 40),
            ..place.clone()
        };
        page.add(&MODE, "", &head, "pager mode and MSRP in one breath")
            .readings([
                "a session that carries one message only",
                "every session with somebody who is away",
            ])
            .suggest("define the mode that is meant, by what is seen on the wire");
    }
    for (method, why) in facts::MAY_NOT_COME {
        for index in page.bound.clone() {
            let text = page.block(index).text();
            let keeps = page
                .block(index)
                .above
                .iter()
                .chain([&index])
                .any(|at| KEPT.is_match(page.block(*at).text()));
            let at = text
                .find(&format!("the SIP {method}"))
                .or_else(|| text.find(&format!("the {method}")));
            if let (true, Some(at)) = (keeps, at) {
                let end = text[at..]
                    .find(method)
                    .map_or(text.len(), |end| at + end + method.len());
                let place = Place {
                    block: index,
                    at: at..end,
                    text: String::new(),
                };
                page.add(
                    &MAY_NOT_COME,
                    method,
                    &place,
                    format!("and if there is no {method}?"),
                )
                .readings([
                    "what was kept so far stays",
                    "nothing is kept",
                    "the server waits",
                ])
                .suggest(format!("say what holds without it: {why}"));
            }
        }
    }
    if !page.speaks_of(&MANY) {
        for place in page.in_statements(&THE) {
            let conditional = page.block(place.block).text().starts_with("If");
            let (key, title) = if conditional {
                (
                    "field",
                    "a message may come in several SEND requests: whose header field counts?",
                )
            } else {
                ("request", "`the` request: a session may have many")
            };
            page.add(&ONE_OF_MANY, key, &place, title)
                .readings([
                    "the first",
                    "the last",
                    "all, as one",
                    "any: they are the same",
                ])
                .suggest("speak of the message, and say what holds when it comes in chunks");
        }
    }
    for place in page.in_statements(&TIME) {
        page.add(
            &NOT_A_PART,
            "",
            &place,
            "no request of this kind has it inside",
        )
        .readings(["kept beside the request", "written into it"])
        .suggest("write `and` in place of `including`");
    }
}
