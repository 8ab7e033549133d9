//! What a text that lets a server keep messages for later must say sooner or later: questions that every implementer has. One
//! that the text does not touch is a finding; one that it touches is taken for answered.

use super::super::pattern::Pattern;
use super::{Page, Place, Rule, Weight};

static UNSAID: Rule = Rule {
    id: "unsaid",
    weight: Weight::Choice,
    why: "each implementer answers it in his own way, and a tester must ask which",
};

pub(super) const RULES: &[&Rule] = &[&UNSAID];

/// A question.
struct Topic {
    name: &'static str,
    question: &'static str,
    readings: &'static [&'static str],
    suggestion: &'static str,
    /// The text must speak of this for the question to arise.
    arises: Pattern,
    /// What speaks of the answer.
    said: Pattern,
}

const fn topic(
    name: &'static str,
    question: &'static str,
    readings: &'static [&'static str],
    suggestion: &'static str,
    arises: &'static str,
    said: &'static str,
) -> Topic {
    Topic {
        name,
        question,
        readings,
        suggestion,
        arises: Pattern::new(arises),
        said: Pattern::new(said),
    }
}

static TOPICS: [Topic; 16] = [
    topic(
        "account",
        "by which identity is the account chosen?",
        &[
            "by the Request-URI",
            "by To",
            "by the identity after retargeting",
        ],
        "name the URI",
        r"(?i)\baccount\b|\bmailbox\b|\bon behalf of\b",
        r"(?i)\bRequest-?URI\b|\baddress.of.record\b|\bpublic user identity\b",
    ),
    topic(
        "equivalence",
        "when are two URIs the same account?",
        &["by RFC 3261 §19.1.4", "letter by letter"],
        "refer to RFC 3261 §19.1.4 and §10.3",
        r"(?i)\baccount\b|\bmailbox\b|\bon behalf of\b",
        r"(?i)\bequivalen|\bcanonical|\bnormali[sz]|19\.1\.4|\bcompar",
    ),
    topic(
        "recipients",
        "what holds for several recipients?",
        &["a record for each", "one for all"],
        "say that each has a record of his own",
        r"(?i)\bmessage\b",
        r"(?i)\brecipients\b|\bURI.list\b|\beach recipient\b|\bgroup\b|\bseveral users\b",
    ),
    topic(
        "lifetime",
        "which lifetime does a message have when it is delivered late?",
        &["as it came", "what is left", "none"],
        "say which Expires and Date the recipient gets",
        r"(?i)\bexpire",
        r"(?i)\bremaining\b|\bdecrement|\breduced?\b|\brest of\b|\badjust",
    ),
    topic(
        "delivery",
        "how and when is what was kept delivered?",
        &[
            "pushed when the user registers",
            "fetched by the user",
            "announced first",
        ],
        "say what starts the delivery, and by which request",
        r"(?i)\bstored?\b|\bkeep\b",
        r"\b(?:SHALL|MUST|SHOULD) (?:then |also )?(?:deliver|forward|send|push|transmit)\b",
    ),
    topic(
        "order",
        "in which order are messages delivered?",
        &["as they came", "in any order"],
        "say whether the order of a sender's messages is kept",
        r"(?i)\bdeliver",
        r"(?i)\b(?:in|the) (?:same )?order\b|\bsequence\b|\boldest\b|\bfirst.in\b",
    ),
    topic(
        "kinds",
        "which messages are kept: also indications of typing, and notifications?",
        &["every one", "those that a person wrote"],
        "name the content types that are kept, or not",
        r"(?i)\bmessage\b",
        r"(?i)\bis-?composing\b|\bIMDN\b|\bdisposition\b|\bcontent.types?\b|\bmedia.types?\b",
    ),
    topic(
        "answer",
        "what is the sender of a request answered?",
        &["202", "200", "nothing that tells"],
        "name the response (RFC 3428 §7 has 202)",
        r"(?i)\bMESSAGE request\b|\bSIP\b",
        r"(?i)\b202\b|\brespon[ds]|\banswer|\breply\b|\backnowledg",
    ),
    topic(
        "report",
        "when is an MSRP success report sent for what is only kept?",
        &["when it is kept", "when it is delivered", "never"],
        "say what Success-Report asks for here (RFC 4975 §7.1.3)",
        r"\bMSRP\b",
        r"(?i)\bsuccess.report|\bREPORT\b",
    ),
    topic(
        "failure",
        "what holds when it cannot be kept: no space, no store?",
        &["the request is refused", "the oldest goes", "it is lost"],
        "name the response, and who is told",
        r"(?i)\bstored?\b|\bkeep\b",
        r"(?i)\bquota\b|\bfull\b|\bcapacity\b|\bfail|\bunable\b|\breject|\boverload|\brefus",
    ),
    topic(
        "authenticity",
        "whose messages are kept: also those of a sender whom nobody authenticated?",
        &["every sender's", "authenticated ones'"],
        "say whom the server must authenticate first",
        r"(?i)\bstored?\b|\bkeep\b",
        r"(?i)\bauthentic|\bauthori[sz]|\btrust|\bverif",
    ),
    topic(
        "unfinished",
        "what if the time is over before the message is complete?",
        &["it is dropped", "it counts as complete"],
        "say that only a complete message has a lifetime",
        r"(?is)\bMSRP\b.*\bexpire",
        r"(?i)\bincomplete\b|\bin progress\b|\bnot (?:yet )?complete\b|\bpartial",
    ),
    topic(
        "abort",
        "what of a message that its sender breaks off?",
        &["nothing is kept", "what came is kept"],
        "say that an aborted message is not kept (RFC 4975 §7.1)",
        r"\bMSRP\b",
        r"(?i)\babort|\binterrupt|\bcancel|\b413\b",
    ),
    topic(
        "sender",
        "is the sender told when his message is dropped?",
        &["yes, if he asked for it (RFC 5438)", "no"],
        "say whether and how the sender is told",
        r"(?i)\bdelet|\bdiscard|\bdrop|\bexpire",
        r"(?i)\b(?:inform|notif|tell|report|warn)\w*\b[^.]{0,40}\b(?:sender|originat)|\bIMDN\b",
    ),
    topic(
        "changes",
        "what if the recipient is removed, or bars the sender, while a message waits?",
        &["it is delivered all the same", "it is dropped"],
        "say whether the rules of arrival or of delivery hold",
        r"(?i)\bstored?\b|\bkeep\b",
        r"(?i)\bremoved?\b|\bblocked\b|\bbarr|\bde-?provision|\bunsubscrib",
    ),
    topic(
        "clock",
        "what if the server's clock is set while messages wait?",
        &["the instant counts", "the time that passed counts"],
        "say that the instant counts",
        r"(?i)\bexpire",
        r"(?i)\bclock|\bNTP\b|\bwall.time\b|\bmonotonic\b",
    ),
];

pub(super) fn find(page: &mut Page<'_>) {
    static KEEPS: Pattern = Pattern::new(
        r"(?i)\b(?:SHALL|MUST|SHOULD|MAY)\b[^.]{0,80}?\b(?:store|hold|retain|queue|keep)\b[^.]{0,40}?\bmessages?\b",
    );
    let Some(first) = page.in_statements(&KEEPS).into_iter().next() else {
        return;
    };
    let width = page.block(first.block).text()[first.at.clone()]
        .find(' ')
        .unwrap_or(1);
    let place = Place {
        at: first.at.start..first.at.start + width,
        ..first
    };
    for topic in &TOPICS {
        if topic.arises.is_match(&page.said) && !topic.said.is_match(&page.said) {
            let finding = page.add(
                &UNSAID,
                topic.name,
                &place,
                format!("nothing is said: {}", topic.question),
            );
            finding.readings = topic.readings.iter().map(|it| (*it).to_owned()).collect();
            finding.suggest(topic.suggestion);
        }
    }
}
