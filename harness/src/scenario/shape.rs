//! The shape of the language as a table: every verb, every key, its type, its default and one sentence.
//! The decoder takes the known keys from here, and so does the JSON Schema: they cannot disagree.

use crate::document::Key;

/// What a value may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A sentence or name; no references.
    Text,
    /// `PG-05`
    ScenarioId,
    /// Requirement ids.
    Covers,
    /// Wording defects.
    Touches,
    /// PICS key → condition.
    Conditions,
    /// Role → state.
    Users,
    /// Variable → values.
    Matrix,
    /// A list of steps.
    Steps,
    /// A list of lists of steps.
    Branches,
    /// State of a user.
    State,
    /// A user of the scenario.
    Role,
    /// One or more users.
    Roles,
    /// Any scalar, with references.
    Template,
    /// A method name.
    Method,
    /// A name given to something.
    SaveName,
    /// A name given earlier.
    SavedName,
    /// `udp` or `tcp`.
    Transport,
    /// `601s`
    Duration,
    /// `600s + tolerance`
    Until,
    /// A whole number.
    Number,
    /// `true` or `false`.
    Flag,
    /// Exactly `true`.
    True,
    /// Contact of a REGISTER.
    Contact,
    /// Headers to send.
    Headers,
    /// Octets to send as a body.
    Body,
    /// `new` or `{ same-but-branch: … }`.
    Branch,
    /// What a response must be.
    Expect,
    /// Codes and classes.
    Statuses,
    /// How an agent answers.
    Answer,
    /// Header name → matcher.
    HeaderMatchers,
    /// What a value must be.
    Matcher,
    /// What a value must be; `unique`, `present`, `absent` and properties as plain words.
    Condition,
    /// Expected records.
    Records,
    /// `clean` or `kill`.
    Stop,
    /// PICS key → value.
    Policy,
    /// Wording defect → name of a reading.
    Readings,
    /// A list of lines.
    Lines,
    /// A list of values.
    Values,
    /// base64
    Base64,
    /// Path of a file beside the scenario.
    File,
    /// A media type, or `null`.
    MediaType,
    /// Name of a counter.
    Counter,
}

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct KeyShape {
    /// As written.
    pub name: &'static str,
    /// Type.
    pub kind: Kind,
    /// Whether it must be there.
    pub required: bool,
    /// One sentence.
    pub doc: &'static str,
}

/// A map.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// For messages and as a name in the schema.
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    /// In the order of the manual.
    pub keys: &'static [KeyShape],
    /// What may stand in place of the map.
    pub short: Option<Kind>,
}

impl Shape {
    /// The keys for [`crate::document::Fields::read`].
    pub fn keys(&self) -> Vec<Key> {
        self.keys
            .iter()
            .map(|key| Key {
                name: key.name,
                required: key.required,
            })
            .collect()
    }
}

const fn must(name: &'static str, kind: Kind, doc: &'static str) -> KeyShape {
    KeyShape {
        name,
        kind,
        required: true,
        doc,
    }
}

const fn may(name: &'static str, kind: Kind, doc: &'static str) -> KeyShape {
    KeyShape {
        name,
        kind,
        required: false,
        doc,
    }
}

/// The whole file.
pub const SCENARIO: Shape = Shape {
    name: "scenario",
    doc: "One test: what must hold at any server.",
    short: None,
    keys: &[
        must(
            "id",
            Kind::ScenarioId,
            "Group (two letters), dash, number. The file is named after it.",
        ),
        must("title", Kind::Text, "A short line."),
        must(
            "purpose",
            Kind::Text,
            "The test purpose: one sentence that a specification editor would sign.",
        ),
        must(
            "covers",
            Kind::Covers,
            "Requirements; each check speaks for these unless it names its own.",
        ),
        may(
            "touches",
            Kind::Touches,
            "Wording defects that a reader of the result must know.",
        ),
        may(
            "when",
            Kind::Conditions,
            "PICS conditions: key, and the value, list of values or matcher that it must have.",
        ),
        must(
            "users",
            Kind::Users,
            "Role and state of each user: `online`, `offline`, `absent`, or the long form.",
        ),
        may(
            "matrix",
            Kind::Matrix,
            "Variable and list of values; one case for each combination.",
        ),
        must("steps", Kind::Steps, "What happens, in order."),
    ],
};

/// Long form of a user.
pub const USER: Shape = Shape {
    name: "user",
    doc: "A user of the scenario.",
    short: Some(Kind::State),
    keys: &[
        must("state", Kind::State, "State before the first step."),
        may(
            "name",
            Kind::Template,
            "User part of the address, in place of the generated one.",
        ),
        may(
            "domain",
            Kind::Template,
            "Domain, in place of the profile's.",
        ),
        may(
            "transport",
            Kind::Transport,
            "Transport of the user's agents; the profile's by default.",
        ),
    ],
};

/// Keys that any step may have beside its verb.
pub const STEP_KEYS: &[KeyShape] = &[
    may(
        "covers",
        Kind::Covers,
        "Requirements of the checks of this step.",
    ),
    may("note", Kind::Text, "A sentence for the report."),
];

/// The verbs, in the order of the manual.
pub const VERBS: &[Shape] = &[
    REGISTER, MESSAGE, RECEIVE, SILENCE, STORED, WAIT, RESTART, POLICY, RAW, CHECK, WHEN, READING,
    PARALLEL, REPEAT,
];

/// `register`
pub const REGISTER: Shape = Shape {
    name: "register",
    doc: "Registers, refreshes, removes or queries a binding.",
    short: Some(Kind::Role),
    keys: &[
        must("user", Kind::Role, "Who registers."),
        may(
            "device",
            Kind::Text,
            "Each device has a socket of its own; a new name opens a new one. Default: main.",
        ),
        may("transport", Kind::Transport, "Default: the user's."),
        may(
            "expires",
            Kind::Number,
            "Seconds; 0 removes the binding. Default: 3600.",
        ),
        may(
            "contact",
            Kind::Contact,
            "`own`, `none` (a query), `all` (`Contact: *`), or a literal value. Default: own.",
        ),
        may("headers", Kind::Headers, "Further headers."),
        may(
            "expect",
            Kind::Expect,
            "What the response must be; without it any 2xx, as set-up.",
        ),
        may("save", Kind::SaveName, "Names request and response."),
    ],
};

/// `message`
pub const MESSAGE: Shape = Shape {
    name: "message",
    doc: "Sends a MESSAGE outside a dialog and waits for its final response.",
    short: None,
    keys: &[
        must("from", Kind::Role, "Sender."),
        must("to", Kind::Role, "Recipient."),
        may("device", Kind::Text, "Device of the sender. Default: main."),
        may("transport", Kind::Transport, "Default: the sender's."),
        may(
            "request-uri",
            Kind::Template,
            "Default: the recipient's address.",
        ),
        may(
            "headers",
            Kind::Headers,
            "Name and value; a list makes several fields, null leaves a header out.",
        ),
        may(
            "body",
            Kind::Body,
            "Text, or a map with type and text, base64 or file. Default: empty.",
        ),
        may(
            "copies",
            Kind::Number,
            "Sends the same octets that often, 20 ms apart. Default: 1.",
        ),
        may(
            "branch",
            Kind::Branch,
            "`new`, or `{ same-but-branch: NAME }`: the octets of a saved message with a new Via branch.",
        ),
        may(
            "within",
            Kind::Duration,
            "How long to wait for the final response; default: the time-out of the transaction.",
        ),
        may(
            "expect",
            Kind::Expect,
            "What the response must be; without it any 2xx, as set-up.",
        ),
        may("save", Kind::SaveName, "Names request and response."),
    ],
};

/// `receive`
pub const RECEIVE: Shape = Shape {
    name: "receive",
    doc: "Waits for a request that the SUT sends to a user.",
    short: None,
    keys: &[
        must("at", Kind::Role, "Whose agent receives."),
        may(
            "device",
            Kind::Text,
            "Only this device; default: any of the user's.",
        ),
        may("method", Kind::Method, "Default: MESSAGE."),
        may("of", Kind::SavedName, "Only a delivery of that message."),
        may(
            "answer",
            Kind::Answer,
            "A status, `none`, `reset`, or a map with status, after and headers. Default: 200.",
        ),
        may(
            "optional",
            Kind::Flag,
            "Not arriving is no failure. Default: false.",
        ),
        may(
            "within",
            Kind::Duration,
            "How long to wait; default: the profile's delivery time.",
        ),
        may(
            "request-uri",
            Kind::Matcher,
            "What the Request-URI must be.",
        ),
        may("headers", Kind::HeaderMatchers, "What the headers must be."),
        may("body", Kind::Matcher, "What the body must be."),
        may("save", Kind::SaveName, "Names the request."),
    ],
};

/// `silence`
pub const SILENCE: Shape = Shape {
    name: "silence",
    doc: "Nothing may arrive. Needs a later `receive` at the same user, or a dead server would pass.",
    short: None,
    keys: &[
        must("at", Kind::Roles, "A user or a list of users."),
        may("of", Kind::SavedName, "Only copies of that message count."),
        may(
            "for",
            Kind::Duration,
            "How long; default: the profile's quiet time.",
        ),
        may("method", Kind::Method, "Only this method; default: any."),
    ],
};

/// `stored`
pub const STORED: Shape = Shape {
    name: "stored",
    doc: "Reads the store and looks at the records of an account.",
    short: None,
    keys: &[
        must("for", Kind::Role, "Whose account."),
        may("count", Kind::Matcher, "How many records wait."),
        may("messages", Kind::Records, "Expected records, in any order."),
        may(
            "within",
            Kind::Duration,
            "How long to look again until it fits; default: the profile's store delay.",
        ),
        may(
            "save",
            Kind::SaveName,
            "Names the records, in the order of `messages`, or else of storing.",
        ),
    ],
};

/// An entry of `stored.messages`.
pub const RECORD: Shape = Shape {
    name: "record",
    doc: "One expected record.",
    short: None,
    keys: &[
        may("of", Kind::SavedName, "The message that it must be."),
        may(
            "gone",
            Kind::True,
            "No record of it waits: absent, expired, delivered or deleted.",
        ),
        may("present", Kind::True, "It waits."),
        may("request-uri", Kind::Matcher, "Request-URI as stored."),
        may("headers", Kind::HeaderMatchers, "Headers as stored."),
        may("body", Kind::Matcher, "Body as stored."),
        may(
            "message-id",
            Kind::Matcher,
            "Message-ID of the specification.",
        ),
        may(
            "mark",
            Kind::Matcher,
            "Lifetime in seconds, `none` when not marked.",
        ),
        may(
            "received-at",
            Kind::Matcher,
            "When the server had the complete message.",
        ),
        may(
            "state",
            Kind::Matcher,
            "`waiting`, `delivering`, `delivered`, `expired` or `deleted`.",
        ),
        may("account", Kind::Matcher, "Account that holds it."),
        may("save", Kind::SaveName, "Names this record."),
        may("covers", Kind::Covers, "Requirements of these checks."),
    ],
};

/// `wait`
pub const WAIT: Shape = Shape {
    name: "wait",
    doc: "Lets store time pass; nothing else does.",
    short: Some(Kind::Until),
    keys: &[
        must(
            "until",
            Kind::Until,
            "A length of time, perhaps with `+ tolerance` or `- tolerance`.",
        ),
        may(
            "after",
            Kind::SavedName,
            "Counted from the sending of that message; default: from now.",
        ),
    ],
};

/// `restart`
pub const RESTART: Shape = Shape {
    name: "restart",
    doc: "Restarts the SUT. Needs a process adapter.",
    short: Some(Kind::Stop),
    keys: &[
        must("how", Kind::Stop, "`clean`, or `kill` (SIGKILL)."),
        may(
            "down",
            Kind::Duration,
            "Store time that passes while the SUT is down.",
        ),
    ],
};

/// `policy`: the keys are PICS keys.
pub const POLICY: Shape = Shape {
    name: "policy",
    doc: "Sets what the provider may choose, by PICS key. Needs a policy adapter.",
    short: Some(Kind::Policy),
    keys: &[],
};

/// `raw`
pub const RAW: Shape = Shape {
    name: "raw",
    doc: "Sends octets that are no message that `message` would send.",
    short: None,
    keys: &[
        must("user", Kind::Role, "Whose socket."),
        may("device", Kind::Text, "Default: main."),
        may("transport", Kind::Transport, "Default: the user's."),
        may(
            "text",
            Kind::Template,
            "Octets as text; lines end as written.",
        ),
        may(
            "lines",
            Kind::Lines,
            "Lines, joined with CRLF, with an empty line at the end.",
        ),
        may("base64", Kind::Base64, "Octets in base64."),
        may("within", Kind::Duration, "How long to wait for a response."),
        may(
            "expect",
            Kind::Expect,
            "What the response must be; without it whatever comes.",
        ),
        may("save", Kind::SaveName, "Names request and response."),
    ],
};

/// `check`
pub const CHECK: Shape = Shape {
    name: "check",
    doc: "Looks at values that are known already.",
    short: None,
    keys: &[
        may("that", Kind::Template, "One value."),
        may("each", Kind::Values, "Several values."),
        must("is", Kind::Condition, "What must hold."),
    ],
};

/// `when` as a step.
pub const WHEN: Shape = Shape {
    name: "when",
    doc: "Goes one way or the other.",
    short: None,
    keys: &[
        must("that", Kind::Template, "A value."),
        must("is", Kind::Condition, "What decides."),
        must("then", Kind::Steps, "Steps if it holds."),
        may("else", Kind::Steps, "Steps if not."),
    ],
};

/// `reading`: the keys are wording defects.
pub const READING: Shape = Shape {
    name: "reading",
    doc: "Records which meaning of an unclear statement the SUT follows. Never a failure.",
    short: Some(Kind::Readings),
    keys: &[],
};

/// `parallel`
pub const PARALLEL: Shape = Shape {
    name: "parallel",
    doc: "Runs lists of steps side by side.",
    short: Some(Kind::Branches),
    keys: &[],
};

/// `repeat`
pub const REPEAT: Shape = Shape {
    name: "repeat",
    doc: "Runs steps several times; the counter runs from 1.",
    short: None,
    keys: &[
        must("times", Kind::Number, "How often; at most 1000."),
        may("as", Kind::Counter, "Name of the counter. Default: n."),
        must("steps", Kind::Steps, "What to repeat."),
    ],
};

/// `expect`
pub const EXPECT: Shape = Shape {
    name: "expect",
    doc: "What a response must be.",
    short: None,
    keys: &[
        may(
            "status",
            Kind::Statuses,
            "A code, a class, a list of these; `none` where no answer is right too. Default: 2xx.",
        ),
        may("headers", Kind::HeaderMatchers, "What the headers must be."),
        may("body", Kind::Matcher, "What the body must be."),
        may("covers", Kind::Covers, "Requirements of these checks."),
    ],
};

/// Long form of `answer`.
pub const ANSWER: Shape = Shape {
    name: "answer",
    doc: "How the agent answers.",
    short: None,
    keys: &[
        must("status", Kind::Number, "Status code."),
        may("after", Kind::Duration, "Delay, in real time."),
        may("headers", Kind::Headers, "Further headers."),
    ],
};

/// Long form of `body`.
pub const BODY: Shape = Shape {
    name: "body",
    doc: "A body to send.",
    short: None,
    keys: &[
        may(
            "type",
            Kind::MediaType,
            "Content-Type; null sends none. Default: text/plain.",
        ),
        may("text", Kind::Template, "Octets as text."),
        may("base64", Kind::Base64, "Octets in base64."),
        may("file", Kind::File, "Octets of a file beside the scenario."),
    ],
};

/// Long form of `branch`.
pub const BRANCH: Shape = Shape {
    name: "branch",
    doc: "A merged request.",
    short: None,
    keys: &[must(
        "same-but-branch",
        Kind::SavedName,
        "The message whose octets are sent again.",
    )],
};

/// The matchers.
pub const MATCHERS: Shape = Shape {
    name: "matcher",
    doc: "What a value must be.",
    short: None,
    keys: &[
        may("one-of", Kind::Values, "One of these holds."),
        may("all-of", Kind::Values, "All of these hold."),
        may("not", Kind::Matcher, "This does not hold."),
        may(
            "matches",
            Kind::Template,
            "The whole value matches this regular expression.",
        ),
        may("contains", Kind::Template, "The value contains this text."),
        may("present", Kind::True, "It is there."),
        may("absent", Kind::True, "It is not there."),
        may(
            "same-as",
            Kind::SavedName,
            "The same field of that message: equal in meaning; bodies octet for octet.",
        ),
        may(
            "identical-to",
            Kind::SavedName,
            "The same field of that message, octet for octet.",
        ),
        may("at-least", Kind::Number, "A number not smaller than this."),
        may("at-most", Kind::Number, "A number not larger than this."),
        may("unique", Kind::True, "All values of the list differ."),
        may(
            "within",
            Kind::Template,
            "An instant between sending and final response of a message.",
        ),
        may("is", Kind::Text, "A named property."),
        may("count", Kind::Matcher, "Number of fields of that name."),
    ],
};

/// Long form of the matcher `within`.
pub const WITHIN: Shape = Shape {
    name: "within",
    doc: "An instant between sending and final response of a message.",
    short: None,
    keys: &[
        must("of", Kind::SavedName, "The message."),
        may(
            "margin",
            Kind::Text,
            "`tolerance` adds the computed tolerance on both sides.",
        ),
    ],
};

/// Named properties for the matcher `is`.
pub const PROPERTIES: [&str; 4] = ["message-id", "message-id-host", "sip-date", "uri"];

/// Named sets of headers for `except`.
pub const HEADER_SETS: [&str; 1] = ["hop-by-hop"];

/// States of a user.
pub const STATES: [&str; 3] = ["online", "offline", "absent"];

/// Transports of an agent.
pub const TRANSPORTS: [&str; 2] = ["udp", "tcp"];

/// Methods that a SUT may send to an agent.
pub const METHODS: [&str; 14] = [
    "MESSAGE",
    "INVITE",
    "ACK",
    "BYE",
    "CANCEL",
    "OPTIONS",
    "REGISTER",
    "NOTIFY",
    "SUBSCRIBE",
    "PUBLISH",
    "INFO",
    "REFER",
    "UPDATE",
    "PRACK",
];

/// Headers that people write as if they were keys of the language.
pub const HEADERS: [&str; 20] = [
    "Accept",
    "Allow",
    "Call-ID",
    "Call-Info",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Type",
    "CSeq",
    "Date",
    "Expires",
    "In-Reply-To",
    "Max-Forwards",
    "Organization",
    "Priority",
    "Reply-To",
    "Require",
    "Route",
    "Subject",
    "Supported",
];
