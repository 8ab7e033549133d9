//! What is so, whatever a draft says: tables from the RFCs of SIP and MSRP, and of words.

/// Which messages may carry a header field.
#[derive(Debug)]
pub(super) struct Carried {
    /// The field.
    pub(super) name: &'static str,
    /// Messages that cannot carry it, or for which it means nothing.
    pub(super) not_in: &'static [&'static str],
    /// Why.
    pub(super) because: &'static str,
}

/// A response, whatever its code.
pub(super) const RESPONSE: &str = "response";

/// Header fields and messages that do not go together: RFC 3261 §20 (Tables 2 and 3), RFC 3428 §9, RFC 4975 §7.1, RFC 4976 §4.6.
pub(super) const CARRIED: &[Carried] = &[
    Carried {
        name: "Subject",
        not_in: &[
            RESPONSE, "BYE", "ACK", "CANCEL", "OPTIONS", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "RFC 3261 Table 3 has it in requests such as INVITE only",
    },
    Carried {
        name: "Priority",
        not_in: &[
            RESPONSE, "BYE", "ACK", "CANCEL", "OPTIONS", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "RFC 3261 Table 3 has it in requests such as INVITE only",
    },
    Carried {
        name: "In-Reply-To",
        not_in: &[
            RESPONSE, "BYE", "ACK", "CANCEL", "OPTIONS", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "RFC 3261 Table 2 has it in INVITE only, RFC 3428 adds MESSAGE",
    },
    Carried {
        name: "Max-Forwards",
        not_in: &[RESPONSE, "SEND", "REPORT", "AUTH"],
        because: "RFC 3261 Table 2 has it in requests only",
    },
    Carried {
        name: "Authorization",
        not_in: &[RESPONSE, "SEND", "REPORT"],
        because: "RFC 3261 Table 2 has it in requests only, RFC 4976 in AUTH only",
    },
    Carried {
        name: "Proxy-Authorization",
        not_in: &[RESPONSE, "CANCEL", "SEND", "REPORT", "AUTH"],
        because: "RFC 3261 Table 3 has it in requests only",
    },
    Carried {
        name: "Contact",
        not_in: &["MESSAGE", "BYE", "CANCEL", "SEND", "REPORT", "AUTH"],
        because: "RFC 3261 Table 2 and RFC 3428 §9 have none in it",
    },
    Carried {
        name: "Record-Route",
        not_in: &["MESSAGE", "REGISTER", "SEND", "REPORT", "AUTH"],
        because: "RFC 3428 §9 has none: MESSAGE begins no dialog",
    },
    Carried {
        name: "Expires",
        not_in: &["BYE", "ACK", "CANCEL", "OPTIONS", "SEND", "REPORT"],
        because: "RFC 3261 Table 2 has none in BYE, ACK, CANCEL and OPTIONS; RFC 4976 §4.6 says what it means in AUTH only",
    },
    Carried {
        name: "Min-Expires",
        not_in: &[
            "INVITE", "MESSAGE", "BYE", "ACK", "CANCEL", "SEND", "REPORT",
        ],
        because: "RFC 3261 Table 2 has it in a 423 to REGISTER, RFC 4976 §4.6 in a 423 to AUTH",
    },
    Carried {
        name: "Retry-After",
        not_in: &[
            "INVITE", "MESSAGE", "BYE", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "RFC 3261 Table 3 has it in responses only",
    },
    Carried {
        name: "WWW-Authenticate",
        not_in: &[
            "INVITE", "MESSAGE", "BYE", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "it is in responses only",
    },
    Carried {
        name: "Server",
        not_in: &[
            "INVITE", "MESSAGE", "BYE", "REGISTER", "SEND", "REPORT", "AUTH",
        ],
        because: "RFC 3261 Table 3 has it in responses only",
    },
    Carried {
        name: "Success-Report",
        not_in: &["REPORT", "AUTH", "MESSAGE", "INVITE", "BYE"],
        because: "RFC 4975 §7.1.2 forbids it there; it belongs to SEND",
    },
    Carried {
        name: "Failure-Report",
        not_in: &["REPORT", "AUTH", "MESSAGE", "INVITE", "BYE"],
        because: "RFC 4975 §7.1.2 forbids it there; it belongs to SEND",
    },
    Carried {
        name: "Call-ID",
        not_in: &["SEND", "REPORT", "AUTH"],
        because: "it is a header field of SIP, not of MSRP",
    },
    Carried {
        name: "P-Asserted-Identity",
        not_in: &["SEND", "REPORT", "AUTH", "ACK", "CANCEL"],
        because: "RFC 3325 §9.1 has none in it",
    },
];

/// Header fields that a sender may leave out: RFC 3261 Tables 2 and 3, RFC 3325 §9.1.
pub(super) const OPTIONAL: &[&str] = &[
    "Date",
    "Subject",
    "P-Asserted-Identity",
    "Priority",
    "Reply-To",
    "Expires",
    "Organization",
    "In-Reply-To",
    "Privacy",
    "Reason",
    "User-Agent",
];

/// Header fields of which one alone loses its meaning, or does harm, without another.
pub(super) const COMPANIONS: &[(&str, &[&str], &str)] = &[
    (
        "P-Asserted-Identity",
        &["Privacy"],
        "without Privacy nobody knows that the identity was to be hidden (RFC 3323, RFC 3325 §7)",
    ),
    (
        "To",
        &["Request-URI"],
        "the Request-URI, not To, says where a request was to go (RFC 3261 §8.2.2.1); nor are Call-ID and Contact named",
    ),
    (
        "Expires",
        &["Date"],
        "without Date it is counted anew from each receipt (RFC 3428 §7)",
    ),
];

/// Header fields whose value is a number of seconds: RFC 3261 §20.19, RFC 3428 §4, RFC 4976 §4.6, RFC 4028 §4.
pub(super) const SECONDS: &[&str] = &[
    "Expires",
    "Min-Expires",
    "Retry-After",
    "Session-Expires",
    "Min-SE",
];

/// Names that other specifications gave to something else, with what theirs may hold.
pub(super) const TAKEN: &[(&str, &str)] = &[
    (
        "Message-ID",
        "MSRP (RFC 4975 §9: 4 to 32 characters, no `@`), mail (RFC 5322) and IMDN (RFC 5438) have one each, of other forms",
    ),
    ("Call-ID", "SIP has one (RFC 3261 §20.8)"),
    ("Content-ID", "MIME has one (RFC 2045 §7)"),
    ("Session-ID", "SIP has one (RFC 7989)"),
];

/// Messages that may never come, and why.
pub(super) const MAY_NOT_COME: &[(&str, &str)] = &[
    (
        "BYE",
        "a peer may vanish, a connection break, a session timer run out, and the server may send it itself",
    ),
    ("ACK", "a client may vanish before it sends one"),
    ("REGISTER", "a user may never come back"),
    ("REPORT", "RFC 4975 §7.1.2 lets it be lost in silence"),
];

/// Names of one role; the first is the one to prefer.
pub(super) const ROLES: &[&[&str]] = &[
    &[
        "recipient",
        "receiver",
        "destination user",
        "served user",
        "served im user",
        "addressee",
        "called party",
        "callee",
        "target user",
        "user b",
    ],
    &[
        "sender",
        "originator",
        "originating user",
        "calling party",
        "caller",
        "user a",
    ],
];

/// Internet-Drafts and the RFCs that they became.
pub(super) const PUBLISHED: &[(&str, u32)] = &[
    ("draft-ietf-simple-msrp-relays", 4976),
    ("draft-ietf-simple-message-sessions", 4975),
    ("draft-ietf-simple-imdn", 5438),
    ("draft-ietf-sip-message", 3428),
    ("draft-ietf-impp-cpim-msgfmt", 3862),
    ("draft-ietf-mmusic-file-transfer-mech", 5547),
    ("draft-ietf-sip-outbound", 5626),
    ("draft-ietf-sip-uri-list-message", 5365),
    ("draft-ietf-simple-iscomposing", 3994),
    ("draft-ietf-simple-chat", 7701),
];

/// Obsolete RFCs and what took their place.
pub(super) const OBSOLETED: &[(u32, u32)] = &[
    (822, 5322),
    (2246, 8446),
    (2327, 8866),
    (2396, 3986),
    (2543, 3261),
    (2616, 9110),
    (2617, 7616),
    (2633, 8551),
    (2821, 5321),
    (2822, 5322),
    (2234, 5234),
    (3265, 6665),
    (3280, 5280),
    (3548, 4648),
    (3798, 8098),
    (3851, 8551),
    (4234, 5234),
    (4346, 8446),
    (4474, 8224),
    (4566, 8866),
    (5246, 8446),
];

/// Words that are often spelt wrong.
pub(super) const MISSPELT: &[(&str, &str)] = &[
    ("adress", "address"),
    ("compatability", "compatibility"),
    ("consistant", "consistent"),
    ("desription", "description"),
    ("existance", "existence"),
    ("explicitely", "explicitly"),
    ("independant", "independent"),
    ("neccessary", "necessary"),
    ("occured", "occurred"),
    ("occurence", "occurrence"),
    ("persistant", "persistent"),
    ("receipient", "recipient"),
    ("recieve", "receive"),
    ("recieved", "received"),
    ("refered", "referred"),
    ("retreive", "retrieve"),
    ("seperate", "separate"),
    ("succesful", "successful"),
    ("succesfully", "successfully"),
    ("transfered", "transferred"),
    ("wich", "which"),
];
