//! What a scenario file says, as types. [`Scenario`] is a file as loaded; [`Case`] is what the plan makes
//! of it: matrix values filled in, `repeat` unrolled, early references replaced.

use std::collections::BTreeMap;
use std::sync::Arc;

use imspec_reports::record::Location;
use serde_json::Value;

use super::decode::Written;
use super::template::Template;

/// A scenario as loaded.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// `PG-05`
    pub id: String,
    /// Short line.
    pub title: String,
    /// Test purpose.
    pub purpose: String,
    /// Requirements that it covers.
    pub covers: Vec<String>,
    /// Wording defects that touch it.
    pub touches: Vec<String>,
    /// PICS key → what its value must be.
    pub when: Vec<(String, Matcher)>,
    /// In the order of the file.
    pub users: Vec<User>,
    /// Variable → values, in the order of the file.
    pub matrix: Vec<(String, Vec<Value>)>,
    /// Steps as written. Where a reference stands for a whole value that is no text (`status: "${expected}"`)
    /// the default of that key stands here; only the steps of a [`Case`] can be run.
    pub steps: Vec<Step>,
    /// Where the `id` is written.
    pub at: Location,
    /// The file itself, from which [`crate::plan`] makes cases.
    pub written: Arc<Written>,
}

impl Scenario {
    /// Tells whether its text was changed.
    pub fn fingerprint(&self) -> String {
        crate::fingerprint::of([self.written.source.text()])
    }
}

/// A user of a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Role: `bob`.
    pub role: String,
    /// State before the first step.
    pub state: UserState,
    /// User part, where the scenario wants one of its own.
    pub name: Option<Template>,
    /// Domain, where the scenario wants another than the profile's.
    pub domain: Option<Template>,
    /// Transport of the user's agents (`udp`, `tcp`, `tls`); the profile's default where none is given.
    pub transport: Option<Template>,
}

/// State of a user before the first step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UserState {
    /// Has an account and a binding.
    Online,
    /// Has an account and no binding.
    Offline,
    /// Has no account.
    Absent,
}

/// A case: ready to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// `PG-05` or `PG-05[transport=tcp,body=2]`.
    pub id: String,
    /// The scenario as loaded.
    pub scenario: Arc<Scenario>,
    /// Values of this case.
    pub matrix: Vec<(String, Value)>,
    /// Users with their names.
    pub users: Vec<CaseUser>,
    /// Steps; templates hold late references only; no `repeat` left.
    pub steps: Vec<Step>,
}

/// A user of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseUser {
    /// Role.
    pub role: String,
    /// State before the first step.
    pub state: UserState,
    /// User part as it stands in a URI.
    pub name: String,
    /// Domain.
    pub domain: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
}

impl CaseUser {
    /// Address of record.
    pub fn uri(&self) -> String {
        format!("sip:{}@{}", self.name, self.domain)
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// `steps[3]`, `steps[2].parallel[0][1]`, `steps[4].then[0]`; the n-th round of a repeat: `steps[5].round[2][0]`.
    pub path: String,
    /// Where the verb is written.
    pub at: Location,
    /// Requirements of its checks, where not those of the scenario.
    pub covers: Option<Vec<String>>,
    /// For the report.
    pub note: Option<String>,
    /// What to do.
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Clone, PartialEq)]
pub enum Verb {
    /// `register`
    Register(Register),
    /// `message`
    Message(MessageStep),
    /// `receive`
    Receive(Receive),
    /// `silence`
    Silence(Silence),
    /// `stored`
    Stored(Stored),
    /// `wait`
    Wait(Wait),
    /// `restart`
    Restart(Restart),
    /// `policy`
    Policy(Vec<(String, PolicyValue)>),
    /// `invite`
    Invite(Invite),
    /// `msrp`
    Msrp(MsrpStep),
    /// `bye`
    Bye(Bye),
    /// `cancel`
    Cancel(Cancel),
    /// `raw`
    Raw(Raw),
    /// `check`
    Check(CheckStep),
    /// `when`
    When(WhenStep),
    /// `reading`: defect and name.
    Reading(Vec<(String, String)>),
    /// `parallel`
    Parallel(Vec<Vec<Step>>),
    /// `repeat`; not in a [`Case`].
    Repeat(Repeat),
}

impl Verb {
    /// As written.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Register(_) => "register",
            Self::Message(_) => "message",
            Self::Receive(_) => "receive",
            Self::Silence(_) => "silence",
            Self::Stored(_) => "stored",
            Self::Wait(_) => "wait",
            Self::Restart(_) => "restart",
            Self::Policy(_) => "policy",
            Self::Invite(_) => "invite",
            Self::Msrp(_) => "msrp",
            Self::Bye(_) => "bye",
            Self::Cancel(_) => "cancel",
            Self::Raw(_) => "raw",
            Self::Check(_) => "check",
            Self::When(_) => "when",
            Self::Reading(_) => "reading",
            Self::Parallel(_) => "parallel",
            Self::Repeat(_) => "repeat",
        }
    }
}

/// `register`
#[derive(Debug, Clone, PartialEq)]
pub struct Register {
    /// Role.
    pub user: String,
    /// Device; `main` by default.
    pub device: String,
    /// Transport of the device, where it opens here.
    pub transport: Option<Template>,
    /// Seconds.
    pub expires: Template,
    /// Contact.
    pub contact: ContactChoice,
    /// Further headers.
    pub headers: Vec<(Template, HeaderValue)>,
    /// Credentials.
    pub credentials: CredentialsChoice,
    /// `None`: set-up, any 2xx.
    pub expect: Option<Expect>,
    /// Name (may hold a repeat counter until planned).
    pub save: Option<Template>,
}

/// With which credentials a request goes out.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum CredentialsChoice {
    /// The sender's own.
    #[default]
    Own,
    /// None; a challenge is not answered.
    None,
    /// Others.
    Shaped(Box<CredentialsShape>),
}

/// What differs from the sender's own credentials.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CredentialsShape {
    /// Role whose they are.
    pub of: Option<String>,
    /// Another password.
    pub password: Option<Template>,
    /// Another nonce than that of the challenge.
    pub nonce: Option<Template>,
    /// Another `uri`.
    pub uri: Option<Template>,
    /// This algorithm.
    pub algorithm: Option<Template>,
    /// Scheme Basic.
    pub basic: bool,
    /// Name of the request whose credentials are sent again as they were.
    pub replay: Option<Template>,
    /// Name of the request whose nonce is used once more.
    pub nonce_of: Option<Template>,
}

/// The Contact of a REGISTER.
#[derive(Debug, Clone, PartialEq)]
pub enum ContactChoice {
    /// The device's own.
    Own,
    /// None: a query.
    None,
    /// `*`
    All,
    /// As given.
    Literal(Template),
}

/// What a header is set to.
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderValue {
    /// One or more fields.
    Values(Vec<Template>),
    /// Not sent.
    Omitted,
}

/// `message`
#[derive(Debug, Clone, PartialEq)]
pub struct MessageStep {
    /// Role of the sender.
    pub from: String,
    /// Role of the recipient.
    pub to: String,
    /// Device of the sender.
    pub device: String,
    /// Transport, where not the user's.
    pub transport: Option<Template>,
    /// Request-URI, where not the recipient's.
    pub request_uri: Option<Template>,
    /// Headers as given.
    pub headers: Vec<(Template, HeaderValue)>,
    /// Credentials.
    pub credentials: CredentialsChoice,
    /// Body.
    pub body: Option<Body>,
    /// How often the octets are sent; 1 by default.
    pub copies: Template,
    /// Sends the octets of this saved message with a new branch instead of a message of its own.
    pub same_but_branch: Option<Template>,
    /// How long to wait for a final response, in milliseconds.
    pub within: Option<Template>,
    /// `None`: set-up, any 2xx.
    pub expect: Option<Expect>,
    /// Name.
    pub save: Option<Template>,
}

/// A body to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Body {
    /// Content-Type; `None` when `type: null`.
    pub media_type: Option<Template>,
    /// Octets.
    pub content: Content,
}

/// Octets to send.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Text with references.
    Text(Template),
    /// Octets (`base64:` and `file:` are resolved when loading).
    Octets(Vec<u8>),
    /// So many octets, drawn while they are sent (`generate:`); only in `msrp`.
    Generated(u64),
}

/// `invite`
#[derive(Debug, Clone, PartialEq)]
pub struct Invite {
    /// Role of the caller.
    pub from: String,
    /// Role of the callee.
    pub to: String,
    /// Device of the caller.
    pub device: String,
    /// Transport of SIP, where not the user's.
    pub transport: Option<Template>,
    /// Request-URI, where not the callee's.
    pub request_uri: Option<Template>,
    /// Headers as given.
    pub headers: Vec<(Template, HeaderValue)>,
    /// Credentials.
    pub credentials: CredentialsChoice,
    /// What the body is.
    pub body: InviteBody,
    /// Saved session within which this is a re-INVITE.
    pub again: Option<Template>,
    /// How often the octets are sent; 1 by default.
    pub copies: Template,
    /// When the case goes on.
    pub until: Until,
    /// Whether a 2xx is acknowledged.
    pub ack: bool,
    /// How long to wait for a final response.
    pub within: Option<Template>,
    /// `None`: set-up, any 2xx.
    pub expect: Option<Expect>,
    /// Matchers of the answer's SDP: name → matcher.
    pub expect_sdp: Vec<(String, Matcher)>,
    /// Name.
    pub save: Option<Template>,
}

/// The body of an INVITE.
#[expect(
    clippy::large_enum_variant,
    reason = "lives in a step, which is built once; a box would only be in the way"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum InviteBody {
    /// An offer that the agent writes.
    Offer(SessionSdp),
    /// None: the offer comes with the 200.
    None,
    /// As given.
    Literal(Body),
}

/// When a step that began an INVITE transaction lets the case go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Once the request is out.
    Sent,
    /// With the first provisional response.
    Provisional,
    /// With the final response.
    Final,
}

/// What an agent writes into the SDP of a message session. `None`: the usual.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionSdp {
    /// `accept-types`
    pub accept_types: Option<Template>,
    /// `accept-wrapped-types`
    pub accept_wrapped_types: Option<Template>,
    /// `max-size`
    pub max_size: Option<Template>,
    /// `active`, `passive`, `actpass`, or `none` for no attribute.
    pub setup: Option<Template>,
    /// `sendrecv`, `sendonly`, `recvonly`, `inactive`, or `none` for no attribute.
    pub direction: Option<Template>,
    /// `tcp` or `tls`.
    pub connection: Option<Template>,
    /// The `s=` line.
    pub subject: Option<Template>,
    /// Another path than the agent's own.
    pub path: Option<Template>,
    /// Another address in the `c=` line.
    pub address: Option<Template>,
    /// Another port in the `m=` line.
    pub port: Option<Template>,
    /// Whether `a=msrp-cema` is written.
    pub cema: bool,
    /// Further `a=` lines, without `a=`.
    pub attributes: Vec<Template>,
}

/// `msrp`
#[derive(Debug, Clone, PartialEq)]
pub struct MsrpStep {
    /// Saved `invite`, or saved `receive` of an INVITE.
    pub session: Template,
    /// Body; none for a SEND without one.
    pub body: Option<Body>,
    /// Header fields of every chunk.
    pub headers: Vec<(Template, HeaderValue)>,
    /// Message-ID of MSRP, where not drawn.
    pub message_id: Option<Template>,
    /// How the body is cut.
    pub chunks: Chunks,
    /// Saved `msrp` of whose message these are more chunks.
    pub continues: Option<Template>,
    /// Method; SEND by default.
    pub method: Template,
    /// Octets in place of all that.
    pub raw: Option<Content>,
    /// On which connection.
    pub connection: MsrpConnection,
    /// Octets of one write to the socket.
    pub writes: Option<Template>,
    /// Where the connection ends.
    pub cut: Option<Cut>,
    /// How long to wait for responses and reports.
    pub within: Option<Template>,
    /// `None`: set-up.
    pub expect: Option<MsrpExpect>,
    /// Name.
    pub save: Option<Template>,
}

/// How a body is cut into chunks.
#[derive(Debug, Clone, PartialEq)]
pub enum Chunks {
    /// One chunk.
    Whole,
    /// Chunks of so many octets.
    Size(Template),
    /// As listed.
    List(Vec<Chunk>),
}

/// One chunk of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    /// First and last octet of the body that it carries, from 1; `Some(None)`: none, `None`: all.
    pub octets: Option<Option<(Template, Template)>>,
    /// Byte-Range: as computed, as given, or left out.
    pub range: Override<Template>,
    /// `$`, `+` or `#`, where not the usual.
    pub flag: Option<Template>,
    /// Header fields over those of the message.
    pub headers: Vec<(Template, HeaderValue)>,
    /// Real time before it.
    pub pause: Option<Template>,
    /// Octets of its own in place of the body's.
    pub body: Option<Content>,
    /// What stands in the end-line in place of the transaction id; `Omitted`: no end-line.
    pub end: Override<Template>,
}

/// Something that the agent writes by itself unless the scenario says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub enum Override<T> {
    /// As the agent writes it.
    Usual,
    /// As given.
    Given(T),
    /// Not at all.
    Omitted,
}

/// The connection on which a step sends.
#[derive(Debug, Clone, PartialEq)]
pub enum MsrpConnection {
    /// The session's.
    Same,
    /// A new one to the same place.
    New,
    /// That of another saved session.
    Of(Template),
}

/// Where and how an agent ends a connection on purpose.
#[derive(Debug, Clone, PartialEq)]
pub struct Cut {
    /// Octets that still go out; `None`: all.
    pub after: Option<Template>,
    /// How.
    pub how: CutHow,
}

/// How an agent ends a connection on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutHow {
    /// RST.
    Reset,
    /// FIN.
    Close,
    /// It stays open, and nothing more comes.
    Stall,
}

/// What must come back for an `msrp`.
#[derive(Debug, Clone, PartialEq)]
pub struct MsrpExpect {
    /// Of the response to every chunk; empty: what RFC 4975 §7.2 says for the Failure-Report asked for.
    pub status: Vec<StatusPattern>,
    /// Of the response to the last chunk, where it differs.
    pub last: Vec<StatusPattern>,
    /// REPORTs.
    pub report: Option<ReportExpect>,
    /// The SUT closes the connection.
    pub closed: bool,
    /// Matchers of the header fields of the last response.
    pub headers: Vec<HeaderMatcher>,
    /// Requirements of these checks.
    pub covers: Option<Vec<String>>,
    /// Where `expect` is written.
    pub at: Location,
}

/// What REPORTs must come.
#[derive(Debug, Clone, PartialEq)]
pub enum ReportExpect {
    /// None.
    None,
    /// Such that together they say 200 for every octet, and for no other.
    Success,
    /// One with these properties.
    Like {
        /// Status; empty: any.
        status: Vec<StatusPattern>,
        /// Byte-Range.
        range: Option<Matcher>,
        /// Header fields.
        headers: Vec<HeaderMatcher>,
    },
    /// Whatever comes; it is only waited for.
    Any,
}

/// `bye`
#[derive(Debug, Clone, PartialEq)]
pub struct Bye {
    /// Saved `invite`, or saved `receive` of an INVITE.
    pub session: Template,
    /// Further headers.
    pub headers: Vec<(Template, HeaderValue)>,
    /// How long to wait for a final response.
    pub within: Option<Template>,
    /// `None`: set-up, any 2xx.
    pub expect: Option<Expect>,
    /// Name.
    pub save: Option<Template>,
}

/// `cancel`
#[derive(Debug, Clone, PartialEq)]
pub struct Cancel {
    /// Saved `invite`.
    pub session: Template,
    /// Further headers.
    pub headers: Vec<(Template, HeaderValue)>,
    /// How long to wait for the responses.
    pub within: Option<Template>,
    /// Of the CANCEL. `None`: whatever comes.
    pub expect: Option<Expect>,
}

/// What a response must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// Codes (`202`), classes (`2xx`), or `none`.
    pub status: Vec<StatusPattern>,
    /// Matchers of headers.
    pub headers: Vec<HeaderMatcher>,
    /// Matcher of the body.
    pub body: Option<Matcher>,
    /// Requirements of these checks.
    pub covers: Option<Vec<String>>,
    /// Where `expect` is written.
    pub at: Location,
}

/// A status that is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusPattern {
    /// `202`
    Code(u16),
    /// `2xx` → 2
    Class(u16),
    /// `none`: no answer.
    Silence,
}

/// `receive`
#[derive(Debug, Clone, PartialEq)]
pub struct Receive {
    /// Role.
    pub at: String,
    /// Device, where only one will do.
    pub device: Option<String>,
    /// Method; `None`: a delivery in either form, a MESSAGE or a message through a session.
    pub method: Option<String>,
    /// Saved message of which it must be a delivery.
    pub of: Option<Template>,
    /// How the agent answers.
    pub answer: Answer,
    /// What it says in the SDP with which it accepts a session.
    pub answer_sdp: SessionSdp,
    /// How it behaves in a session.
    pub answer_msrp: MsrpConduct,
    /// The first copy is lost on its way, where datagrams carry it.
    pub lose_first: bool,
    /// Not arriving is no failure.
    pub optional: bool,
    /// How long to wait.
    pub within: Option<Template>,
    /// Matcher of the Request-URI.
    pub request_uri: Option<Matcher>,
    /// Matchers of headers.
    pub headers: Vec<HeaderMatcher>,
    /// Matchers of the header fields of the (first) SEND of a delivery by session.
    pub send: Vec<HeaderMatcher>,
    /// Matchers of the SDP of an INVITE: name → matcher.
    pub sdp: Vec<(String, Matcher)>,
    /// Matcher of the body.
    pub body: Option<Matcher>,
    /// Name.
    pub save: Option<Template>,
}

/// How an agent behaves in a session that it has accepted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MsrpConduct {
    /// What SENDs are answered with; `None`: 200.
    pub status: Option<MsrpAnswer>,
    /// Pause before each answer.
    pub pause: Option<Template>,
    /// Octets of content after which the connection is reset.
    pub reset_after: Option<Template>,
    /// Octets of content after which BYE is sent.
    pub bye_after: Option<Template>,
    /// The MSRP connection is neither made nor taken.
    pub never_connects: bool,
}

/// What an agent answers SENDs with on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MsrpAnswer {
    /// This status.
    Status(u16),
    /// Nothing.
    Silence,
}

/// How an agent answers a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// With a response.
    Status {
        /// Status code.
        status: u16,
        /// Delay in milliseconds of real time.
        after_ms: u64,
        /// Further headers.
        headers: Vec<(Template, HeaderValue)>,
    },
    /// Not at all.
    Silence,
    /// By closing the connection.
    Reset,
}

/// `silence`
#[derive(Debug, Clone, PartialEq)]
pub struct Silence {
    /// Roles.
    pub at: Vec<String>,
    /// Only copies of this message count.
    pub of: Option<Template>,
    /// Method; any by default.
    pub method: Option<String>,
    /// Length; the profile's quiet time by default.
    pub length: Option<Template>,
}

/// `stored`
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Role whose account is read.
    pub user: String,
    /// How many records wait.
    pub count: Option<Matcher>,
    /// Expected records, in any order.
    pub messages: Vec<RecordMatcher>,
    /// How long to look again.
    pub within: Option<Template>,
    /// Name.
    pub save: Option<Template>,
}

/// One expected record.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordMatcher {
    /// The message that it must be.
    pub of: Option<Template>,
    /// What is asked of its presence.
    pub presence: Presence,
    /// `request-uri`, `message-id`, `mark`, `received-at`, `state`, `account`, `mode` → matcher.
    pub fields: Vec<(RecordKey, Matcher)>,
    /// Matchers of headers.
    pub headers: Vec<HeaderMatcher>,
    /// What is asked of the parts of a session-mode message.
    pub parts: Vec<PartMatcher>,
    /// Matcher of the body.
    pub body: Option<Matcher>,
    /// Name.
    pub save: Option<Template>,
    /// Requirements of these checks.
    pub covers: Option<Vec<String>>,
    /// Where it is written.
    pub at: Location,
}

/// What is asked of one part of a session-mode message's record.
#[derive(Debug, Clone, PartialEq)]
pub struct PartMatcher {
    /// Which part.
    pub part: Part,
    /// Nothing of it is kept.
    pub absent: bool,
    /// Matchers of its headers.
    pub headers: Vec<HeaderMatcher>,
    /// Where it is written.
    pub at: Location,
}

/// A part of a session-mode message's record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `invite`
    Invite,
    /// `ok`: the 200 to the INVITE.
    Ok,
    /// `bye`
    Bye,
    /// `send`
    Send,
}

/// Whether a record must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// It waits.
    Waiting,
    /// It does not wait any more: absent, expired, delivered or deleted.
    Gone,
    /// It is there, in whatever state (`state:` is given).
    Any,
}

/// Field of a record that a matcher looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// `request-uri`
    RequestUri,
    /// `message-id`
    MessageId,
    /// `mark`
    Mark,
    /// `received-at`
    ReceivedAt,
    /// `state`
    State,
    /// `account`
    Account,
    /// `mode`
    Mode,
}

/// Matcher of header fields.
#[derive(Debug, Clone, PartialEq)]
pub enum HeaderMatcher {
    /// All fields of one name.
    Named {
        /// Name, any case or compact form.
        name: Template,
        /// Matcher.
        matcher: Matcher,
        /// Where the name is written.
        at: Location,
    },
    /// The whole header set of a message.
    SameAs {
        /// Saved message.
        of: Template,
        /// Names and sets that are left out.
        except: Vec<String>,
        /// Where it is written.
        at: Location,
    },
}

/// What a value must be.
#[derive(Debug, Clone, PartialEq)]
pub struct Matcher {
    /// Kind.
    pub kind: MatcherKind,
    /// Where it is written.
    pub at: Location,
}

/// Kinds of matcher.
#[derive(Debug, Clone, PartialEq)]
pub enum MatcherKind {
    /// Equal to a value; for `status`-like values also a class (`2xx`).
    Equal(Template),
    /// Several fields, in order.
    List(Vec<Matcher>),
    /// One holds.
    OneOf(Vec<Matcher>),
    /// All hold.
    AllOf(Vec<Matcher>),
    /// Does not hold.
    Not(Box<Matcher>),
    /// Regular expression over the whole value.
    Matches(Template),
    /// Contains.
    Contains(Template),
    /// There.
    Present,
    /// Not there.
    Absent,
    /// The same field of a saved message.
    SameAs(Template),
    /// The same octets.
    IdenticalTo(Template),
    /// At least.
    AtLeast(Template),
    /// At most.
    AtMost(Template),
    /// All values differ.
    Unique,
    /// An instant between sending and final response.
    Within {
        /// Saved message.
        of: Template,
        /// Whether the computed tolerance is added on both sides.
        tolerance: bool,
    },
    /// A named property.
    Is(Property),
    /// Number of fields.
    Count(Box<Matcher>),
}

/// Named properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Property {
    /// A form of WD-16, the declared one where one is declared; no white space.
    MessageId,
    /// Host part matches PICS `mid.host`.
    MessageIdHost,
    /// RFC 1123 date in GMT.
    SipDate,
    /// A URI.
    Uri,
    /// An identifier of MSRP (RFC 4975 §9 `ident`).
    MsrpId,
    /// A URI of MSRP (RFC 4975 §6).
    MsrpUri,
}

/// `wait`
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// Length (`600s`).
    pub length: Template,
    /// Computed margin: 0, +1 (`+ tolerance`) or -1 (`- tolerance`).
    pub tolerance: i8,
    /// Counted from the sending of this saved message; from now when `None`.
    pub after: Option<Template>,
}

/// `restart`
#[derive(Debug, Clone, PartialEq)]
pub struct Restart {
    /// Kill instead of a clean stop.
    pub kill: bool,
    /// Store time that passes while the SUT is down.
    pub down: Option<Template>,
}

/// A value that `policy` sets.
#[derive(Debug, Clone, PartialEq)]
pub enum PolicyValue {
    /// Of a key that has one.
    One(Template),
    /// Of a key that has a list.
    List(Vec<Template>),
}

/// `raw`
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// Role.
    pub user: String,
    /// Device.
    pub device: String,
    /// Transport.
    pub transport: Option<Template>,
    /// Octets.
    pub content: Content,
    /// How long to wait for a response.
    pub within: Option<Template>,
    /// What must come; `None`: whatever comes.
    pub expect: Option<Expect>,
    /// Name.
    pub save: Option<Template>,
}

/// `check`
#[derive(Debug, Clone, PartialEq)]
pub struct CheckStep {
    /// One value, or several.
    pub values: Vec<Template>,
    /// Whether `each` was written (a list).
    pub list: bool,
    /// What must hold.
    pub is: Matcher,
}

/// `when` as a step.
#[derive(Debug, Clone, PartialEq)]
pub struct WhenStep {
    /// Value.
    pub that: Template,
    /// Condition.
    pub is: Matcher,
    /// Steps if it holds.
    pub then: Vec<Step>,
    /// Steps if not.
    pub otherwise: Vec<Step>,
}

/// `repeat`
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// How often.
    pub times: Template,
    /// Counter.
    pub counter: String,
    /// Steps.
    pub steps: Vec<Step>,
}

/// PICS values of a profile: key → declared value. A key that is not in the map is not declared.
pub type Pics = BTreeMap<String, Value>;
