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
    /// `udp`, `tcp`, `tls`, `ws` or `wss`.
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
    /// The message of an instant, perhaps with a margin.
    Within,
    /// A session that a step saved.
    SavedSession,
    /// A number of octets: `2048`, `100KiB`.
    Size,
    /// What an agent writes into the SDP of a session; `none` for no SDP.
    Offer,
    /// The same where there is always SDP.
    Sdp,
    /// Name in a session description → matcher.
    SdpMatchers,
    /// Media types: a list, or text.
    MediaTypes,
    /// A list of texts.
    Texts,
    /// A TCP or UDP port.
    Port,
    /// `active`, `passive`, `actpass`, `none`
    Setup,
    /// `sendonly`, …, `none`
    Direction,
    /// `tcp` or `tls`
    Security,
    /// `sent`, `provisional`, `final`
    Await,
    /// `own`, `none`, or what differs.
    Credentials,
    /// `digest` or `basic`
    Scheme,
    /// What the response to an INVITE must be.
    InviteExpect,
    /// A body to send through a session.
    SessionBody,
    /// Octets on a connection.
    RawOctets,
    /// How a body is cut into chunks.
    Chunks,
    /// Octets of a body: `1-4`.
    Octets,
    /// A text, or `null` to leave out what would be there.
    OrNull,
    /// `$`, `+`, `#`
    ChunkFlag,
    /// Octets of one chunk: text or a map.
    ChunkBody,
    /// A text in place of the transaction id, or `none`.
    EndLine,
    /// Octets of one write: a number, or `whole`.
    Writes,
    /// `same`, `new` or `{ of: … }`
    MsrpConnection,
    /// Where and how a connection ends.
    Cut,
    /// `reset`, `close`, `stall`
    CutHow,
    /// What must come back for an `msrp`.
    MsrpExpect,
    /// What REPORTs must come.
    Report,
    /// How an agent behaves in a session.
    Conduct,
    /// What SENDs are answered with: a status, or `none`.
    ConductStatus,
    /// Exactly `none`.
    Nothing,
    /// Header matchers of a part of a record, or `absent`.
    Part,
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
    REGISTER, MESSAGE, INVITE, MSRP, BYE, CANCEL, RECEIVE, SILENCE, STORED, WAIT, RESTART, POLICY,
    RAW, CHECK, WHEN, READING, PARALLEL, REPEAT,
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
            "credentials",
            Kind::Credentials,
            "`own`, `none`, or a map of what differs from the sender's own. Default: own.",
        ),
        may(
            "expect",
            Kind::Expect,
            "What the response must be; without it any 2xx, as set-up.",
        ),
        may("save", Kind::SaveName, "Names request and response."),
    ],
};

/// What differs from the sender's own credentials.
pub const CREDENTIALS: Shape = Shape {
    name: "credentials",
    doc: "What differs from the sender's own credentials.",
    short: None,
    keys: &[
        may("of", Kind::Role, "Those of another user."),
        may("password", Kind::Template, "Made with this password."),
        may(
            "nonce",
            Kind::Template,
            "With this nonce in place of that of the challenge.",
        ),
        may(
            "uri",
            Kind::Template,
            "With this `uri` in place of the Request-URI.",
        ),
        may(
            "algorithm",
            Kind::Template,
            "With this algorithm, whether it was asked for or not.",
        ),
        may(
            "scheme",
            Kind::Scheme,
            "`digest` or `basic`. Default: digest.",
        ),
        may(
            "replay",
            Kind::SavedName,
            "Those of this request once more, octet for octet.",
        ),
        may(
            "nonce-of",
            Kind::SavedName,
            "Right ones, with the nonce of this request and its next count.",
        ),
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
            "credentials",
            Kind::Credentials,
            "`own`, `none`, or a map of what differs from the sender's own. Default: own.",
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

/// `invite`
pub const INVITE: Shape = Shape {
    name: "invite",
    doc: "Sends an INVITE for a message session, waits for its final response and acknowledges it.",
    short: None,
    keys: &[
        must("from", Kind::Role, "Caller."),
        must("to", Kind::Role, "Callee."),
        may("device", Kind::Text, "Device of the caller. Default: main."),
        may(
            "transport",
            Kind::Transport,
            "Of SIP. Default: the caller's.",
        ),
        may(
            "request-uri",
            Kind::Template,
            "Default: the callee's address; within a session its remote target.",
        ),
        may(
            "headers",
            Kind::Headers,
            "Name and value; a list makes several fields, null leaves a header out.",
        ),
        may(
            "offer",
            Kind::Offer,
            "What the SDP says; `none` sends no SDP, and the answer goes with the ACK.",
        ),
        may(
            "body",
            Kind::Body,
            "A body in place of the offer; text is application/sdp unless it has a type.",
        ),
        may(
            "again",
            Kind::SavedSession,
            "Sends the INVITE within that session; what `offer` does not name stays as it was.",
        ),
        may(
            "copies",
            Kind::Number,
            "Sends the same octets that often, 20 ms apart. Default: 1.",
        ),
        may(
            "await",
            Kind::Await,
            "When the case goes on: `sent`, `provisional` or `final`. Default: final.",
        ),
        may(
            "ack",
            Kind::Flag,
            "Whether a 2xx is acknowledged. Default: true.",
        ),
        may(
            "credentials",
            Kind::Credentials,
            "`own`, `none`, or a map of what differs from the sender's own. Default: own.",
        ),
        may(
            "within",
            Kind::Duration,
            "How long to wait for the final response; default: the time-out of the transaction.",
        ),
        may(
            "expect",
            Kind::InviteExpect,
            "What the final response must be; without it any 2xx, as set-up.",
        ),
        may("save", Kind::SaveName, "Names the session."),
    ],
};

/// `msrp`
pub const MSRP: Shape = Shape {
    name: "msrp",
    doc: "Sends one message, or some chunks of one, through a session.",
    short: None,
    keys: &[
        must(
            "session",
            Kind::SavedSession,
            "A saved `invite`, or a saved `receive` of an INVITE.",
        ),
        may(
            "body",
            Kind::SessionBody,
            "Text, or a map with type and text, base64, file or generate. Default: a SEND without body.",
        ),
        may(
            "headers",
            Kind::Headers,
            "MSRP header fields of every chunk; null leaves one out.",
        ),
        may(
            "message-id",
            Kind::Template,
            "Message-ID of MSRP. Default: drawn.",
        ),
        may(
            "chunks",
            Kind::Chunks,
            "`{ size: 2048 }`, or a list of chunks. Default: one chunk with all.",
        ),
        may(
            "continues",
            Kind::SavedName,
            "A saved `msrp` of the same session: more chunks of its message.",
        ),
        may("method", Kind::Template, "Default: SEND."),
        may("raw", Kind::RawOctets, "Octets in place of all that."),
        may(
            "connection",
            Kind::MsrpConnection,
            "`same`, `new` (a second one to the same session), or `{ of: NAME }`. Default: same.",
        ),
        may(
            "writes",
            Kind::Writes,
            "Octets of one write to the socket. Default: whole.",
        ),
        may(
            "cut",
            Kind::Cut,
            "Ends the connection: `reset`, `close`, `stall`, or a map with after and how.",
        ),
        may(
            "within",
            Kind::Duration,
            "How long to wait for responses and reports; default: the profile's answer time.",
        ),
        may(
            "expect",
            Kind::MsrpExpect,
            "What must come back; without it what RFC 4975 promises, as set-up.",
        ),
        may("save", Kind::SaveName, "Names the message."),
    ],
};

/// `bye`
pub const BYE: Shape = Shape {
    name: "bye",
    doc: "Ends a session; the MSRP connection is closed afterwards.",
    short: Some(Kind::SavedSession),
    keys: &[
        must(
            "session",
            Kind::SavedSession,
            "A saved `invite`, or a saved `receive` of an INVITE.",
        ),
        may("headers", Kind::Headers, "Further headers."),
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

/// `cancel`
pub const CANCEL: Shape = Shape {
    name: "cancel",
    doc: "Cancels an INVITE that is still open and waits for the responses to both.",
    short: Some(Kind::SavedSession),
    keys: &[
        must("session", Kind::SavedSession, "A saved `invite`."),
        may("headers", Kind::Headers, "Further headers."),
        may(
            "within",
            Kind::Duration,
            "How long to wait for the responses; default: the time-out of the transaction.",
        ),
        may(
            "expect",
            Kind::Expect,
            "What the response to the CANCEL must be; without it whatever comes.",
        ),
    ],
};

/// `receive`
pub const RECEIVE: Shape = Shape {
    name: "receive",
    doc: "Waits for a delivery in either form, or for a request that the SUT sends to a user.",
    short: None,
    keys: &[
        must("at", Kind::Role, "Whose agent receives."),
        may(
            "device",
            Kind::Text,
            "Only this device; default: any of the user's.",
        ),
        may(
            "method",
            Kind::Method,
            "Only this request. Default: a MESSAGE, or a message through a session.",
        ),
        may("of", Kind::SavedName, "Only a delivery of that message."),
        may(
            "answer",
            Kind::Answer,
            "A status, `none`, `reset`, or a map with status, after, headers, sdp and msrp. Default: 200.",
        ),
        may(
            "lose-first",
            Kind::Flag,
            "The first datagram that brings it is lost on its way, and a further one must come. Default: false.",
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
        may(
            "send",
            Kind::HeaderMatchers,
            "What the header fields of the first SEND must be, where it comes through a session.",
        ),
        may(
            "sdp",
            Kind::SdpMatchers,
            "What the SDP of an INVITE must say.",
        ),
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
        may("mode", Kind::Matcher, "`pager` or `session`."),
        may(
            "invite",
            Kind::Part,
            "Headers of the INVITE as stored, or `absent`.",
        ),
        may(
            "ok",
            Kind::Part,
            "Headers of the 200 to the INVITE as stored, or `absent`.",
        ),
        may(
            "bye",
            Kind::Part,
            "Headers of the BYE as stored, or `absent`.",
        ),
        may(
            "send",
            Kind::Part,
            "Header fields of the SEND as stored, or `absent`.",
        ),
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
        may("status", Kind::Number, "Status code. Default: 200."),
        may("after", Kind::Duration, "Delay, in real time."),
        may("headers", Kind::Headers, "Further headers."),
        may(
            "sdp",
            Kind::Sdp,
            "What the SDP says with which a session is accepted.",
        ),
        may(
            "msrp",
            Kind::Conduct,
            "How the agent behaves in the session.",
        ),
    ],
};

/// `offer` of an INVITE, `sdp` of an answer.
pub const OFFER: Shape = Shape {
    name: "offer",
    doc: "What an agent writes into the SDP of a message session.",
    short: None,
    keys: &[
        may(
            "accept-types",
            Kind::MediaTypes,
            "A list, or text. Default: message/cpim text/plain *.",
        ),
        may("accept-wrapped-types", Kind::MediaTypes, "A list, or text."),
        may("max-size", Kind::Size, "Largest message, in octets."),
        may(
            "setup",
            Kind::Setup,
            "`active`, `actpass`, `passive`, or `none` for no attribute. Default of an offer: active.",
        ),
        may(
            "direction",
            Kind::Direction,
            "`sendrecv`, `sendonly`, `recvonly`, `inactive`, or `none` for no attribute.",
        ),
        may(
            "connection",
            Kind::Security,
            "`tcp` or `tls`. Default: the profile's.",
        ),
        may("subject", Kind::Template, "The s= line. Default: -."),
        may("path", Kind::Template, "Another path than the agent's own."),
        may("address", Kind::Template, "Another address in the c= line."),
        may("port", Kind::Port, "Another port in the m= line."),
        may("cema", Kind::Flag, "Writes a=msrp-cema. Default: false."),
        may("attributes", Kind::Texts, "Further a= lines, without a=."),
    ],
};

/// `answer.msrp`
pub const CONDUCT: Shape = Shape {
    name: "conduct",
    doc: "How an agent behaves in a session that it has accepted.",
    short: Some(Kind::Nothing),
    keys: &[
        may(
            "status",
            Kind::ConductStatus,
            "What SENDs are answered with; `none` for no answer. Default: 200.",
        ),
        may("pause", Kind::Duration, "Real time before each answer."),
        may(
            "reset-after",
            Kind::Size,
            "Octets of content after which the connection is reset.",
        ),
        may(
            "bye-after",
            Kind::Size,
            "Octets of content after which the agent sends BYE.",
        ),
        may(
            "connect",
            Kind::Nothing,
            "`none`: the MSRP connection is neither made nor taken.",
        ),
    ],
};

/// `expect` of an INVITE.
pub const INVITE_EXPECT: Shape = Shape {
    name: "invite-expect",
    doc: "What the final response to an INVITE must be.",
    short: None,
    keys: &[
        may(
            "status",
            Kind::Statuses,
            "A code, a class, a list of these; `none` where no answer is right too. Default: 2xx.",
        ),
        may("headers", Kind::HeaderMatchers, "What the headers must be."),
        may("sdp", Kind::SdpMatchers, "What the SDP must say."),
        may("body", Kind::Matcher, "What the body must be."),
        may("covers", Kind::Covers, "Requirements of these checks."),
    ],
};

/// `expect` of an `msrp`.
pub const MSRP_EXPECT: Shape = Shape {
    name: "msrp-expect",
    doc: "What must come back for an `msrp`.",
    short: None,
    keys: &[
        may(
            "status",
            Kind::Statuses,
            "Of the response to every chunk; `none` for no response. Default: what RFC 4975 promises.",
        ),
        may(
            "last",
            Kind::Statuses,
            "Of the response to the last chunk only.",
        ),
        may(
            "report",
            Kind::Report,
            "`none`, `success`, `any`, or a map with status, range and headers.",
        ),
        may("closed", Kind::True, "The SUT closes the connection."),
        may(
            "headers",
            Kind::HeaderMatchers,
            "What the header fields of the last response must be.",
        ),
        may("covers", Kind::Covers, "Requirements of these checks."),
    ],
};

/// Long form of `expect.report`.
pub const REPORT: Shape = Shape {
    name: "report",
    doc: "A REPORT that must come.",
    short: None,
    keys: &[
        may("status", Kind::Statuses, "Of its Status. Default: any."),
        may("range", Kind::Matcher, "What its Byte-Range must be."),
        may(
            "headers",
            Kind::HeaderMatchers,
            "What its header fields must be.",
        ),
    ],
};

/// Short form of `chunks`: chunks of one size.
pub const CHUNK_SIZE: Shape = Shape {
    name: "chunk-size",
    doc: "Chunks of one size.",
    short: None,
    keys: &[must(
        "size",
        Kind::Size,
        "Octets of the body in each chunk.",
    )],
};

/// An entry of `chunks`.
pub const CHUNK: Shape = Shape {
    name: "chunk",
    doc: "One chunk.",
    short: None,
    keys: &[
        may(
            "octets",
            Kind::Octets,
            "Which octets of the body it carries, from 1: `1-4`, or `none`. Default: all.",
        ),
        may(
            "range",
            Kind::OrNull,
            "Byte-Range as written; null leaves it out. Default: computed.",
        ),
        may(
            "flag",
            Kind::ChunkFlag,
            "`$`, `+` or `#`. Default: $ with the last octet of the body, + elsewhere.",
        ),
        may(
            "headers",
            Kind::Headers,
            "Header fields over those of the message.",
        ),
        may("pause", Kind::Duration, "Real time before it."),
        may(
            "body",
            Kind::ChunkBody,
            "Octets of its own in place of the body's.",
        ),
        may(
            "end",
            Kind::EndLine,
            "A text in place of the transaction id in the end-line; `none` for no end-line.",
        ),
    ],
};

/// Octets without a media type: `body` of a chunk, `raw` of an `msrp`.
pub const OCTETS: Shape = Shape {
    name: "octets",
    doc: "Octets to send.",
    short: None,
    keys: &[
        may("text", Kind::Template, "Octets as text."),
        may("base64", Kind::Base64, "Octets in base64."),
        may("file", Kind::File, "Octets of a file beside the scenario."),
    ],
};

/// Long form of `connection` of an `msrp`.
pub const CONNECTION: Shape = Shape {
    name: "connection",
    doc: "The connection of another session.",
    short: None,
    keys: &[must(
        "of",
        Kind::SavedSession,
        "The session whose connection is used.",
    )],
};

/// Long form of `cut`.
pub const CUT: Shape = Shape {
    name: "cut",
    doc: "Where and how the agent ends the connection on purpose.",
    short: Some(Kind::CutHow),
    keys: &[
        may(
            "after",
            Kind::Size,
            "Octets that still go out. Default: all.",
        ),
        must(
            "how",
            Kind::CutHow,
            "`reset`, `close`, or `stall`: it stays open and nothing more comes.",
        ),
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

/// Long form of `body` of an `msrp`.
pub const SESSION_BODY: Shape = Shape {
    name: "session-body",
    doc: "A body to send through a session.",
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
        may(
            "generate",
            Kind::Size,
            "So many octets, drawn while they are sent.",
        ),
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
            Kind::Within,
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
    short: Some(Kind::SavedName),
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
pub const PROPERTIES: [&str; 6] = [
    "message-id",
    "message-id-host",
    "sip-date",
    "uri",
    "msrp-id",
    "msrp-uri",
];

/// Named sets of headers for `except`.
pub const HEADER_SETS: [&str; 1] = ["hop-by-hop"];

/// States of a user.
pub const STATES: [&str; 3] = ["online", "offline", "absent"];

/// Transports of an agent.
pub const TRANSPORTS: [&str; 5] = ["udp", "tcp", "tls", "ws", "wss"];

/// What carries MSRP.
pub const SECURITIES: [&str; 2] = ["tcp", "tls"];

/// Who makes the connection of a session (RFC 4145 §4); `none` for no attribute.
pub const SETUPS: [&str; 4] = ["active", "passive", "actpass", "none"];

/// Directions of a media stream (RFC 8866 §6.7); `none` for no attribute.
pub const DIRECTIONS: [&str; 5] = ["sendrecv", "sendonly", "recvonly", "inactive", "none"];

/// Schemes of authentication.
pub const SCHEMES: [&str; 2] = ["digest", "basic"];
/// Choices of credentials without a map.
pub const CREDENTIAL_WORDS: [&str; 2] = ["own", "none"];

/// When a step that sent an INVITE lets the case go on.
pub const AWAITS: [&str; 3] = ["sent", "provisional", "final"];

/// Continuation flags (RFC 4975 §9).
pub const CHUNK_FLAGS: [&str; 3] = ["$", "+", "#"];

/// How an agent ends a connection on purpose.
pub const CUTS: [&str; 3] = ["reset", "close", "stall"];

/// Expectations about REPORTs that are one word.
pub const REPORTS: [&str; 3] = ["none", "success", "any"];

/// How a message was sent.
pub const MODES: [&str; 2] = ["pager", "session"];

/// What matchers of a session description look at, besides any other attribute.
pub const SDP_NAMES: [&str; 9] = [
    "port",
    "protocol",
    "path",
    "accept-types",
    "accept-wrapped-types",
    "max-size",
    "setup",
    "direction",
    "connection",
];

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
