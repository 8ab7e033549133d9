//! What the provider may choose: when a message expires, what happens then, and the other open points
//! of the specification.
//!
//! Each choice has the name that a conformance statement gives it, in the configuration file, over the
//! control API and here. The mark of a message is worked out once, on receipt, and never again.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use imspec_wire::digest::Hash;
use imspec_wire::sip::name;
use imspec_wire::sip::typed::{Expires, SipDate, TypedHeader};
use imspec_wire::sip::{Header, Message};
use serde_json::{Map, Value, json};

use crate::clock::Timestamp;

/// The mark of a stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The Expire value.
    pub seconds: u64,
    /// The instant from which the message counts as expired.
    pub at: Timestamp,
    /// The Expires header's value as written, where the mark comes from it.
    pub raw: Option<String>,
}

/// Why a message cannot be given a mark.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkRefusal {
    /// `expire.malformed: reject`
    #[error("Malformed Expires")]
    Malformed,
    /// `expire.zero: reject`
    #[error("Expires Is Zero")]
    Zero,
}

/// The Expires header fields of a message's chunks, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionWishes {
    /// Of the chunk with the first octet.
    pub first: Option<String>,
    /// Of the chunk that ends the message.
    pub last: Option<String>,
    /// Of the chunk that brought one first.
    pub any: Option<String>,
    /// The smallest of the well-formed ones.
    pub min: Option<String>,
}

impl SessionWishes {
    /// A chunk with this Expires has begun. `first`: it has the first octet of the message.
    pub fn began(&mut self, expires: Option<&str>, first: bool) {
        if first && self.first.is_none() {
            self.first = expires.map(str::to_owned);
        }
        let Some(expires) = expires else { return };
        self.any.get_or_insert_with(|| expires.to_owned());
        let seconds = session_expires(expires);
        let smallest = self.min.as_deref().and_then(session_expires);
        if seconds.is_some_and(|seconds| smallest.is_none_or(|min| seconds < min)) {
            self.min = Some(expires.to_owned());
        }
    }
}

/// `1*DIGIT` (RFC 4976 §7), and no more than a mark can hold.
fn session_expires(value: &str) -> Option<u32> {
    let digits = !value.is_empty() && value.bytes().all(|octet| octet.is_ascii_digit());
    value.parse().ok().filter(|_| digits)
}

/// The instants from which the life of a session's message may count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionTimes {
    /// Its first chunk began to arrive.
    pub first_chunk: Timestamp,
    /// It was complete.
    pub complete: Timestamp,
    /// The BYE came, or the session ended without one; `None` while it goes on.
    pub end: Option<Timestamp>,
}

/// Decides when messages expire and what becomes of them then.
pub trait ExpirationPolicy: Send + Sync + 'static {
    /// The mark of a request that was complete at `received` and is stored at `stored`.
    fn mark(
        &self,
        request: &Message,
        received: Timestamp,
        stored: Timestamp,
    ) -> Result<Option<Mark>, MarkRefusal>;
    /// The mark of a session's message. Nothing can be refused any more, so what would be is treated as
    /// absent.
    fn session_mark(&self, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark>;
    /// Whether a message that expires at `mark` has expired.
    fn has_expired(&self, mark: Option<Timestamp>, now: Timestamp) -> bool {
        mark.is_some_and(|at| now >= at)
    }
    /// When a message that expires at `mark` is swept up, unless it is looked at before.
    fn sweep_at(&self, mark: Timestamp) -> Timestamp;
    /// Up to which expiry messages are swept up at `now`.
    fn sweep_limit(&self, now: Timestamp) -> Timestamp;
    /// What to do with a message that has expired.
    fn handling(&self) -> ExpiredHandling;
    /// How the recipient is told that a message had expired.
    fn indication(&self) -> Indication;
}

/// Defines a setting with a fixed set of values, the default first.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
        impl $name {
            const VALUES: &'static [&'static str] = &[$($text),+];
            fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
            fn read(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

choice! {
    /// `offline.trigger`
    OfflineTrigger {
        /// Offline is who has no binding, or none that can be reached: no answer, a broken transport,
        /// or an answer that says that nobody is there (410, 480, 503).
        NotRegistered = "not-registered",
        /// Also whose device is busy or failing: 408, 486, 487, 491 and every other 5xx.
        Unreachable = "unreachable",
    }
}
choice! {
    /// `store.hop_headers`
    HopHeaders {
        /// Kept in the record, never sent on.
        Keep = "keep",
        /// Not stored either.
        Drop = "drop",
    }
}
choice! {
    /// `identity.trust`
    IdentityTrust {
        /// Nobody is believed: what a sender asserts is removed.
        None = "none",
        /// Those who send are of our trust domain (RFC 3325 §2.3), those who receive are not.
        Senders = "senders",
    }
}
choice! {
    /// `delivery.expires`
    DeliveryExpires {
        /// The header as it came.
        AsStored = "as-stored",
        /// What is left of the life.
        Remaining = "remaining",
        /// No such header.
        Dropped = "dropped",
    }
}
choice! {
    /// `mid.form`
    MessageIdForm {
        /// `String@host`
        Bare = "bare",
        /// `sip:String@host`
        SipUri = "sip-uri",
        /// `sip:Message-ID=String@host`
        SipUriParam = "sip-uri-param",
        /// `<String@host>`
        Angle = "angle",
    }
}
choice! {
    /// `mid.sequence`
    MessageIdSequence {
        /// 128 random bits.
        None = "none",
        /// One counter for the server, gaps allowed.
        Increasing = "increasing",
        /// One counter for each account, step one.
        Consecutive = "consecutive",
    }
}
choice! {
    /// `expire.base`
    ExpireBase {
        /// The request was complete (RFC 3261 §20.19).
        Receipt = "receipt",
        /// Its Date header, where there is a valid one (RFC 3428 §7).
        Date = "date",
        /// It was handed to the store.
        Stored = "stored",
    }
}
choice! {
    /// `expire.zero`
    ExpireZero {
        /// Expired as soon as it came.
        Immediate = "immediate",
        /// Never expires.
        Never = "never",
        /// 400
        Reject = "reject",
        /// As without the header.
        Default = "default",
    }
}
choice! {
    /// `expire.malformed`, also for several Expires headers
    ExpireMalformed {
        /// The default applies.
        Default = "default",
        /// The header counts as absent, which comes to the same.
        Ignore = "ignore",
        /// 400
        Reject = "reject",
        /// An hour.
        Hour = "3600",
    }
}
choice! {
    /// `policy.expired`
    ExpiredHandling {
        /// Deleted undelivered.
        Delete = "delete",
        /// Delivered when the user comes back.
        Deliver = "deliver",
        /// Kept where the control API shows it, and not pushed.
        Hold = "other:hold",
    }
}

choice! {
    /// `delivery.form`
    DeliveryForm {
        /// By MESSAGE; what came by a session and is too large for that, by a session.
        Message = "message",
        /// Everything by a session.
        Session = "session",
    }
}
choice! {
    /// `lm.expires.chunk`: whose Expires counts where the chunks of a message differ
    ExpiresChunk {
        /// That of the chunk with the first octet.
        First = "first",
        /// That of the chunk that ends the message.
        Last = "last",
        /// That of the chunk that brought one first.
        Any = "any",
        /// The smallest.
        Min = "min",
    }
}
choice! {
    /// `lm.base`: the instant from which the life of a session's message counts
    SessionBase {
        /// The message was complete.
        Completion = "completion",
        /// Its first chunk began to arrive.
        FirstChunk = "first-chunk",
        /// The BYE came; where none came, the session ended.
        Bye = "bye",
    }
}
choice! {
    /// `lm.multi`: what several messages in one session become
    SeveralMessages {
        /// One record each.
        OnePerMessageId = "one-per-message-id",
        /// One record together.
        OnePerSession = "one-per-session",
    }
}
choice! {
    /// `lm.no_bye`: what becomes of messages whose session ends without a BYE of the sender
    NoBye {
        /// They are stored as others are.
        Store = "store",
        /// They are dropped.
        Drop = "drop",
    }
}
choice! {
    /// `lm.success_report`
    SuccessReport {
        /// No report tells that a message was stored.
        NeverOnStore = "never-on-store",
        /// When it is stored.
        OnStore = "on-store",
        /// When its recipient has it, if the session is still there.
        OnDelivery = "on-delivery",
    }
}

choice! {
    /// `auth.register` and `auth.sender`
    Authentication {
        /// Nobody is asked who he is.
        None = "none",
        /// By digest (RFC 3261 §22).
        Digest = "digest",
    }
}

/// Names of the hash functions (`auth.algorithms`).
const ALGORITHMS: [(Hash, &str); 3] = [
    (Hash::Sha512_256, "SHA-512-256"),
    (Hash::Sha256, "SHA-256"),
    (Hash::Md5, "MD5"),
];

/// Which header fields are kept of a message of the session (`lm.invite_headers` and its like).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fields {
    /// Every one.
    All,
    /// Those of these names.
    Named(Vec<String>),
}

impl Fields {
    fn named(names: &[&str]) -> Self {
        Self::Named(names.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Whether a field is kept.
    pub fn keeps(&self, field: &Header<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.iter().any(|name| field.is(name)),
        }
    }

    fn entry(&self) -> Value {
        match self {
            Self::All => json!(["all"]),
            Self::Named(names) => json!(names),
        }
    }
}

/// The fields of an INVITE that the specification names: kept whatever `lm.invite_headers` says.
pub const INVITE_FIELDS: [&str; 5] = ["From", "To", "P-Asserted-Identity", "Subject", "Date"];

/// `policy.indication`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Indication {
    /// Nothing tells.
    None,
    /// A header field of this name with the value `true`.
    Header(String),
    /// A message of the server's own that follows.
    Notify,
}

/// One class of content (`store.classes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentClass {
    /// What people write.
    Im,
    /// Delivery and display notifications (RFC 5438).
    Imdn,
    /// Somebody is typing (RFC 3994).
    IsComposing,
    /// A reference to a file, or a file.
    File,
}

/// One kind of message that is deferred (`store.modes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// MESSAGE requests.
    Pager,
    /// Messages that come by a session.
    Session,
}

impl Mode {
    const ALL: [(Self, &'static str); 2] = [(Self::Pager, "pager"), (Self::Session, "session")];
}

impl ContentClass {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Im, "im"),
        (Self::Imdn, "imdn"),
        (Self::IsComposing, "is-composing"),
        (Self::File, "file"),
    ];
}

/// All settings of the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is the PICS key of the same name")]
pub struct Settings {
    pub offline_trigger: OfflineTrigger,
    pub store_hop_headers: HopHeaders,
    pub store_classes: Vec<ContentClass>,
    pub store_modes: Vec<Mode>,
    pub identity_trust: IdentityTrust,
    pub accept_status: u16,
    pub delivery_expires: DeliveryExpires,
    pub delivery_form: DeliveryForm,
    pub mid_form: MessageIdForm,
    pub mid_host: String,
    pub mid_sequence: MessageIdSequence,
    pub expire_marking: bool,
    pub expire_base: ExpireBase,
    pub expire_zero: ExpireZero,
    pub expire_malformed: ExpireMalformed,
    pub expire_default_pm: Option<u32>,
    pub expire_default_lm: Option<u32>,
    pub expire_clamp: Option<u32>,
    pub policy_expired: ExpiredHandling,
    pub policy_indication: Indication,
    pub policy_granularity_s: u32,
    pub auth_register: Authentication,
    pub auth_sender: Authentication,
    /// The best first, as challenges name them.
    pub auth_algorithms: Vec<Hash>,
    pub auth_nonce_s: u32,
    pub lm_expires_honoured: bool,
    pub lm_expires_chunk: ExpiresChunk,
    pub lm_base: SessionBase,
    pub lm_invite_headers: Fields,
    pub lm_ok_headers: Fields,
    pub lm_bye_headers: Fields,
    pub lm_multi: SeveralMessages,
    pub lm_no_bye: NoBye,
    pub lm_success_report: SuccessReport,
}

/// Why a setting was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingError {
    /// No such key.
    #[error("there is no setting `{key}`{}", hint.as_ref().map(|h| format!("; did you mean `{h}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key that was given.
        key: String,
        /// A key that looks like it.
        hint: Option<String>,
    },
    /// Not a value of that key.
    #[error("`{key}` cannot be {value}: it takes {expected}")]
    BadValue {
        /// The key.
        key: String,
        /// The value that was given, as JSON.
        value: String,
        /// What may stand there.
        expected: String,
    },
}

/// Keys whose value follows from what this server is. They can be read, and set only to that value.
const FIXED: &[(&str, &str)] = &[
    ("inspect.kind", "http"),
    ("store.fidelity", "octet"),
    ("delivery.trigger", "on-register"),
    ("mid.scope", "global"),
    ("mid.carrier", "inspect"),
    ("sender.notice", "none"),
    ("auth.replay", "refused"),
];

impl Settings {
    /// The defaults for a domain.
    pub fn new(domain: &str) -> Self {
        Self {
            offline_trigger: OfflineTrigger::NotRegistered,
            store_hop_headers: HopHeaders::Keep,
            store_classes: ContentClass::ALL.iter().map(|(class, _)| *class).collect(),
            store_modes: Mode::ALL.iter().map(|(mode, _)| *mode).collect(),
            identity_trust: IdentityTrust::Senders,
            accept_status: 202,
            delivery_expires: DeliveryExpires::AsStored,
            delivery_form: DeliveryForm::Message,
            mid_form: MessageIdForm::Bare,
            mid_host: format!("mailstore1.{domain}"),
            mid_sequence: MessageIdSequence::None,
            expire_marking: true,
            expire_base: ExpireBase::Receipt,
            expire_zero: ExpireZero::Immediate,
            expire_malformed: ExpireMalformed::Default,
            expire_default_pm: None,
            expire_default_lm: None,
            expire_clamp: None,
            policy_expired: ExpiredHandling::Delete,
            policy_indication: Indication::None,
            policy_granularity_s: 0,
            auth_register: Authentication::None,
            auth_sender: Authentication::None,
            auth_algorithms: Hash::ALL.to_vec(),
            auth_nonce_s: 300,
            lm_expires_honoured: true,
            lm_expires_chunk: ExpiresChunk::First,
            lm_base: SessionBase::Completion,
            lm_invite_headers: Fields::named(&[
                "From",
                "To",
                "P-Asserted-Identity",
                "Subject",
                "Date",
                "Call-ID",
                "CSeq",
                "Contact",
                "Privacy",
                "Referred-By",
                "Reply-To",
                "Priority",
                "Contribution-ID",
                "Conversation-ID",
            ]),
            lm_ok_headers: Fields::named(&[
                "From",
                "To",
                "P-Asserted-Identity",
                "Date",
                "Call-ID",
                "CSeq",
            ]),
            lm_bye_headers: Fields::named(&[
                "From",
                "To",
                "Call-ID",
                "CSeq",
                "Date",
                "Reason",
                "P-Asserted-Identity",
            ]),
            lm_multi: SeveralMessages::OnePerMessageId,
            lm_no_bye: NoBye::Store,
            lm_success_report: SuccessReport::NeverOnStore,
        }
    }

    /// Every key with its value, in the order of the conformance statement.
    pub fn entries(&self) -> Map<String, Value> {
        let classes: Vec<&str> = ContentClass::ALL
            .iter()
            .filter(|(class, _)| self.store_classes.contains(class))
            .map(|(_, text)| *text)
            .collect();
        let modes: Vec<&str> = Mode::ALL
            .iter()
            .filter(|(mode, _)| self.store_modes.contains(mode))
            .map(|(_, text)| *text)
            .collect();
        let seconds = |value: Option<u32>| value.map_or_else(|| json!("none"), |s| json!(s));
        let indication = match &self.policy_indication {
            Indication::None => "none".to_owned(),
            Indication::Header(name) => format!("header:{name}"),
            Indication::Notify => "notify".to_owned(),
        };
        let mut all: Map<String, Value> = FIXED
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        for (key, value) in [
            ("offline.trigger", json!(self.offline_trigger.text())),
            ("store.hop_headers", json!(self.store_hop_headers.text())),
            ("store.classes", json!(classes)),
            ("store.modes", json!(modes)),
            ("identity.trust", json!(self.identity_trust.text())),
            ("accept.status", json!(self.accept_status)),
            ("delivery.expires", json!(self.delivery_expires.text())),
            ("delivery.form", json!(self.delivery_form.text())),
            ("mid.form", json!(self.mid_form.text())),
            ("mid.host", json!(self.mid_host)),
            ("mid.sequence", json!(self.mid_sequence.text())),
            (
                "expire.marking",
                json!(if self.expire_marking { "on" } else { "off" }),
            ),
            ("expire.base", json!(self.expire_base.text())),
            ("expire.zero", json!(self.expire_zero.text())),
            ("expire.malformed", json!(self.expire_malformed.text())),
            ("expire.default.pm", seconds(self.expire_default_pm)),
            ("expire.default.lm", seconds(self.expire_default_lm)),
            ("expire.clamp", seconds(self.expire_clamp)),
            ("policy.expired", json!(self.policy_expired.text())),
            ("policy.indication", json!(indication)),
            ("policy.granularity_s", json!(self.policy_granularity_s)),
            ("auth.register", json!(self.auth_register.text())),
            ("auth.sender", json!(self.auth_sender.text())),
            (
                "auth.algorithms",
                self.auth_algorithms
                    .iter()
                    .map(|hash| hash.as_str())
                    .collect(),
            ),
            ("auth.nonce_s", json!(self.auth_nonce_s)),
            (
                "lm.expires.honoured",
                json!(if self.lm_expires_honoured {
                    "yes"
                } else {
                    "no"
                }),
            ),
            ("lm.expires.chunk", json!(self.lm_expires_chunk.text())),
            ("lm.base", json!(self.lm_base.text())),
            ("lm.invite_headers", self.lm_invite_headers.entry()),
            ("lm.ok_headers", self.lm_ok_headers.entry()),
            ("lm.bye_headers", self.lm_bye_headers.entry()),
            ("lm.multi", json!(self.lm_multi.text())),
            ("lm.no_bye", json!(self.lm_no_bye.text())),
            ("lm.success_report", json!(self.lm_success_report.text())),
        ] {
            all.insert(key.to_owned(), value);
        }
        all
    }

    /// These settings with some of them changed, or the first thing that is wrong with the changes.
    pub fn with<'a>(
        &self,
        changes: impl IntoIterator<Item = (&'a String, &'a Value)>,
    ) -> Result<Self, SettingError> {
        let mut settings = self.clone();
        for (key, value) in changes {
            settings.set(key, value)?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), SettingError> {
        let entry = Entry { key, value };
        match key {
            "offline.trigger" => {
                self.offline_trigger =
                    entry.one_of(OfflineTrigger::read, OfflineTrigger::VALUES)?;
            }
            "store.hop_headers" => {
                self.store_hop_headers = entry.one_of(HopHeaders::read, HopHeaders::VALUES)?;
            }
            "store.classes" => self.store_classes = entry.some_of(&ContentClass::ALL)?,
            "store.modes" => self.store_modes = entry.some_of(&Mode::ALL)?,
            "identity.trust" => {
                self.identity_trust = entry.one_of(IdentityTrust::read, IdentityTrust::VALUES)?;
            }
            "accept.status" => self.accept_status = entry.status()?,
            "delivery.expires" => {
                self.delivery_expires =
                    entry.one_of(DeliveryExpires::read, DeliveryExpires::VALUES)?;
            }
            "delivery.form" => {
                self.delivery_form = entry.one_of(DeliveryForm::read, DeliveryForm::VALUES)?;
            }
            "mid.form" => {
                self.mid_form = entry.one_of(MessageIdForm::read, MessageIdForm::VALUES)?;
            }
            "mid.host" => self.mid_host = entry.host()?,
            "mid.sequence" => {
                self.mid_sequence =
                    entry.one_of(MessageIdSequence::read, MessageIdSequence::VALUES)?;
            }
            "expire.marking" => self.expire_marking = entry.switch()?,
            "expire.base" => {
                self.expire_base = entry.one_of(ExpireBase::read, ExpireBase::VALUES)?;
            }
            "expire.zero" => {
                self.expire_zero = entry.one_of(ExpireZero::read, ExpireZero::VALUES)?;
            }
            "expire.malformed" => {
                self.expire_malformed =
                    entry.one_of(ExpireMalformed::read, ExpireMalformed::VALUES)?;
            }
            "expire.default.pm" => self.expire_default_pm = entry.seconds_or_none()?,
            "expire.default.lm" => self.expire_default_lm = entry.seconds_or_none()?,
            "expire.clamp" => self.expire_clamp = entry.seconds_or_none()?,
            "policy.expired" => {
                self.policy_expired =
                    entry.one_of(ExpiredHandling::read, ExpiredHandling::VALUES)?;
            }
            "policy.indication" => self.policy_indication = entry.indication()?,
            "policy.granularity_s" => self.policy_granularity_s = entry.seconds()?,
            _ if key.starts_with("auth.") && key != "auth.replay" => {
                self.set_authentication(&entry)?;
            }
            _ if key.starts_with("lm.") => self.set_session_choice(&entry)?,
            _ => match FIXED.iter().find(|(fixed, _)| *fixed == key) {
                Some((_, only)) if entry.text().as_deref() == Some(only) => {}
                Some((_, only)) => {
                    return Err(
                        entry.bad(format!("only \"{only}\", which is how this server works"))
                    );
                }
                None => return Err(self.unknown(key)),
            },
        }
        Ok(())
    }

    fn set_session_choice(&mut self, entry: &Entry<'_>) -> Result<(), SettingError> {
        match entry.key {
            "lm.expires.honoured" => self.lm_expires_honoured = entry.yes_or_no()?,
            "lm.expires.chunk" => {
                self.lm_expires_chunk = entry.one_of(ExpiresChunk::read, ExpiresChunk::VALUES)?;
            }
            "lm.base" => self.lm_base = entry.one_of(SessionBase::read, SessionBase::VALUES)?,
            "lm.invite_headers" => self.lm_invite_headers = entry.fields()?,
            "lm.ok_headers" => self.lm_ok_headers = entry.fields()?,
            "lm.bye_headers" => self.lm_bye_headers = entry.fields()?,
            "lm.multi" => {
                self.lm_multi = entry.one_of(SeveralMessages::read, SeveralMessages::VALUES)?;
            }
            "lm.no_bye" => self.lm_no_bye = entry.one_of(NoBye::read, NoBye::VALUES)?,
            "lm.success_report" => {
                self.lm_success_report =
                    entry.one_of(SuccessReport::read, SuccessReport::VALUES)?;
            }
            key => return Err(self.unknown(key)),
        }
        Ok(())
    }

    fn set_authentication(&mut self, entry: &Entry<'_>) -> Result<(), SettingError> {
        let choice = || entry.one_of(Authentication::read, Authentication::VALUES);
        match entry.key {
            "auth.register" => self.auth_register = choice()?,
            "auth.sender" => self.auth_sender = choice()?,
            "auth.algorithms" => {
                let mut chosen = entry.some_of(&ALGORITHMS)?;
                if chosen.is_empty() {
                    return Err(entry.bad("a list of one algorithm or more"));
                }
                // The provider's order is kept; a name that stands there twice counts once.
                let mut seen = Vec::new();
                chosen.retain(|hash| {
                    let is_new = !seen.contains(hash);
                    seen.push(*hash);
                    is_new
                });
                self.auth_algorithms = chosen;
            }
            "auth.nonce_s" => self.auth_nonce_s = entry.seconds()?,
            key => return Err(self.unknown(key)),
        }
        Ok(())
    }

    fn unknown(&self, key: &str) -> SettingError {
        SettingError::UnknownKey {
            key: key.to_owned(),
            hint: self
                .entries()
                .keys()
                .find(|known| alike(known, key))
                .cloned(),
        }
    }
}

/// One value on its way into a setting.
struct Entry<'a> {
    key: &'a str,
    value: &'a Value,
}

impl Entry<'_> {
    fn bad(&self, expected: impl Into<String>) -> SettingError {
        SettingError::BadValue {
            key: self.key.to_owned(),
            value: self.value.to_string(),
            expected: expected.into(),
        }
    }

    /// The value as text. YAML writers leave quotes off, so numbers and booleans count too.
    fn text(&self) -> Option<String> {
        match self.value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(true) => Some("on".to_owned()),
            Value::Bool(false) => Some("off".to_owned()),
            _ => None,
        }
    }

    fn one_of<T>(
        &self,
        read: impl Fn(&str) -> Option<T>,
        values: &[&str],
    ) -> Result<T, SettingError> {
        self.text()
            .as_deref()
            .and_then(read)
            .ok_or_else(|| self.bad(values.join(", ")))
    }

    fn switch(&self) -> Result<bool, SettingError> {
        match self.text().as_deref() {
            Some("on") => Ok(true),
            Some("off") => Ok(false),
            _ => Err(self.bad("on, off")),
        }
    }

    fn status(&self) -> Result<u16, SettingError> {
        match self.text().as_deref() {
            Some("202") => Ok(202),
            Some("200") => Ok(200),
            _ => Err(self.bad("202, 200")),
        }
    }

    fn seconds(&self) -> Result<u32, SettingError> {
        self.text()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.bad("whole seconds from 0 to 4294967295"))
    }

    fn seconds_or_none(&self) -> Result<Option<u32>, SettingError> {
        if self.value.is_null() || self.text().as_deref() == Some("none") {
            return Ok(None);
        }
        self.seconds()
            .map(Some)
            .map_err(|_| self.bad("none, or whole seconds from 0 to 4294967295"))
    }

    fn host(&self) -> Result<String, SettingError> {
        let is_host = |text: &str| {
            text.len() <= 253
                && text.split('.').all(|label| {
                    !label.is_empty()
                        && !label.starts_with('-')
                        && !label.ends_with('-')
                        && label
                            .bytes()
                            .all(|o| o.is_ascii_alphanumeric() || o == b'-')
                })
        };
        match self.value {
            Value::String(text) if is_host(text) => Ok(text.clone()),
            _ => Err(self.bad("a host name, such as mailstore1.example.org")),
        }
    }

    /// A set, written as a list.
    fn some_of<T: Copy>(&self, all: &[(T, &str)]) -> Result<Vec<T>, SettingError> {
        let bad = || {
            let names: Vec<&str> = all.iter().map(|(_, text)| *text).collect();
            self.bad(format!("a list of {}", names.join(", ")))
        };
        let Value::Array(items) = self.value else {
            return Err(bad());
        };
        items
            .iter()
            .map(|item| {
                all.iter()
                    .find(|(_, text)| item.as_str() == Some(*text))
                    .map(|(class, _)| *class)
                    .ok_or_else(bad)
            })
            .collect()
    }

    fn yes_or_no(&self) -> Result<bool, SettingError> {
        match self.text().as_deref() {
            // YAML writers leave quotes off, and YAML 1.1 readers make booleans of these words.
            Some("yes" | "on") => Ok(true),
            Some("no" | "off") => Ok(false),
            _ => Err(self.bad("yes, no")),
        }
    }

    fn fields(&self) -> Result<Fields, SettingError> {
        let expected = "a list of header field names, or of the word `all` alone";
        let Value::Array(items) = self.value else {
            return Err(self.bad(expected));
        };
        let names = items
            .iter()
            .map(|item| {
                item.as_str()
                    .filter(|name| is_token(name))
                    .map(str::to_owned)
            })
            .collect::<Option<Vec<String>>>()
            .ok_or_else(|| self.bad(expected))?;
        match names.as_slice() {
            [only] if only == "all" => Ok(Fields::All),
            _ if names.iter().any(|name| name == "all") => Err(self.bad(expected)),
            _ => Ok(Fields::Named(names)),
        }
    }

    fn indication(&self) -> Result<Indication, SettingError> {
        let expected = "none, notify, or header:<name> with a name that SIP does not use itself";
        let text = self.text().ok_or_else(|| self.bad(expected))?;
        match text.as_str() {
            "none" => Ok(Indication::None),
            "notify" => Ok(Indication::Notify),
            _ => match text.strip_prefix("header:") {
                Some(header) if is_token(header) && name::canonical(header).is_none() => {
                    Ok(Indication::Header(header.to_owned()))
                }
                _ => Err(self.bad(expected)),
            },
        }
    }
}

/// RFC 3261 §25.1, `token`.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text
            .bytes()
            .all(|o| o.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&o))
}

/// The same but for case, and for what separates the words.
fn alike(known: &str, given: &str) -> bool {
    let letters = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|c| c.to_ascii_lowercase())
            .collect()
    };
    let (known, given) = (letters(known), letters(given));
    known == given || (given.len() >= 4 && (known.ends_with(&given) || given.starts_with(&known)))
}

/// The policy that follows the settings of the moment, which the control API may change.
#[derive(Debug)]
pub struct Policy {
    settings: RwLock<Arc<Settings>>,
}

impl Policy {
    /// Starts with these settings.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: RwLock::new(Arc::new(settings)),
        }
    }

    /// The settings of this moment.
    pub fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes some settings, all or none.
    pub fn change(&self, changes: &BTreeMap<String, Value>) -> Result<Arc<Settings>, SettingError> {
        let mut current = self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let settings = Arc::new(current.with(changes)?);
        *current = Arc::clone(&settings);
        Ok(settings)
    }
}

impl ExpirationPolicy for Policy {
    fn mark(
        &self,
        request: &Message,
        received: Timestamp,
        stored: Timestamp,
    ) -> Result<Option<Mark>, MarkRefusal> {
        mark(&self.settings(), request, received, stored)
    }

    fn session_mark(&self, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark> {
        session_mark(&self.settings(), wishes, times)
    }

    fn sweep_at(&self, mark: Timestamp) -> Timestamp {
        let step = i64::from(self.settings().policy_granularity_s).saturating_mul(1_000_000);
        if step == 0 {
            return mark;
        }
        match mark.micros().rem_euclid(step) {
            0 => mark,
            past => Timestamp::from_micros(mark.micros().saturating_add(step - past)),
        }
    }

    fn sweep_limit(&self, now: Timestamp) -> Timestamp {
        let step = i64::from(self.settings().policy_granularity_s).saturating_mul(1_000_000);
        if step == 0 {
            return now;
        }
        Timestamp::from_micros(now.micros().saturating_sub(now.micros().rem_euclid(step)))
    }

    fn handling(&self) -> ExpiredHandling {
        self.settings().policy_expired
    }

    fn indication(&self) -> Indication {
        self.settings().policy_indication.clone()
    }
}

/// The Expires headers of a request, taken together.
enum Wish {
    Absent,
    Seconds(u32, String),
    Malformed(String),
}

fn mark(
    settings: &Settings,
    request: &Message,
    received: Timestamp,
    stored: Timestamp,
) -> Result<Option<Mark>, MarkRefusal> {
    if !settings.expire_marking {
        return Ok(None);
    }
    // A default is the server's own and so never counts from the sender's Date.
    let start = match settings.expire_base {
        ExpireBase::Stored => stored,
        ExpireBase::Receipt | ExpireBase::Date => received,
    };
    let default = || {
        settings.expire_default_pm.map(|seconds| Mark {
            seconds: u64::from(seconds),
            at: start.plus_seconds(i64::from(seconds)),
            raw: None,
        })
    };
    let (seconds, raw) = match wish(request) {
        Wish::Absent => return Ok(default()),
        Wish::Seconds(0, raw) => match settings.expire_zero {
            ExpireZero::Immediate => {
                return Ok(Some(Mark {
                    seconds: 0,
                    at: received,
                    raw: Some(raw),
                }));
            }
            ExpireZero::Never => return Ok(None),
            ExpireZero::Reject => return Err(MarkRefusal::Zero),
            ExpireZero::Default => return Ok(default()),
        },
        Wish::Seconds(seconds, raw) => (seconds, raw),
        Wish::Malformed(raw) => match settings.expire_malformed {
            ExpireMalformed::Default | ExpireMalformed::Ignore => return Ok(default()),
            ExpireMalformed::Reject => return Err(MarkRefusal::Malformed),
            ExpireMalformed::Hour => (3600, raw),
        },
    };
    let seconds = settings
        .expire_clamp
        .map_or(seconds, |most| seconds.min(most));
    let date = || match request.headers_named("Date").count() {
        1 => request.typed::<SipDate>().and_then(Result::ok),
        _ => None,
    };
    let base = match settings.expire_base {
        ExpireBase::Date => {
            date().map_or(received, |date| Timestamp::from_seconds(date.unix_seconds))
        }
        ExpireBase::Receipt | ExpireBase::Stored => start,
    };
    Ok(Some(Mark {
        seconds: u64::from(seconds),
        at: base.plus_seconds(i64::from(seconds)),
        raw: Some(raw),
    }))
}

fn session_mark(settings: &Settings, wishes: &SessionWishes, times: &SessionTimes) -> Option<Mark> {
    if !settings.expire_marking {
        return None;
    }
    let base = match settings.lm_base {
        SessionBase::Completion => times.complete,
        SessionBase::FirstChunk => times.first_chunk,
        SessionBase::Bye => times.end.unwrap_or(times.complete),
    };
    let marked = |seconds: u32, raw: Option<String>| Mark {
        seconds: u64::from(seconds),
        at: base.plus_seconds(i64::from(seconds)),
        raw,
    };
    let default = || {
        settings
            .expire_default_lm
            .map(|seconds| marked(seconds, None))
    };
    let wish = match settings.lm_expires_chunk {
        ExpiresChunk::First => &wishes.first,
        ExpiresChunk::Last => &wishes.last,
        ExpiresChunk::Any => &wishes.any,
        // Where all are malformed, one of them has to speak.
        ExpiresChunk::Min => wishes.min.as_ref().map_or(&wishes.any, |_| &wishes.min),
    };
    let Some(raw) = wish.as_ref().filter(|_| settings.lm_expires_honoured) else {
        return default();
    };
    match session_expires(raw) {
        Some(0) => match settings.expire_zero {
            ExpireZero::Immediate => Some(marked(0, Some(raw.clone()))),
            ExpireZero::Never => None,
            ExpireZero::Reject | ExpireZero::Default => default(),
        },
        Some(seconds) => {
            let most = settings.expire_clamp.unwrap_or(seconds);
            Some(marked(seconds.min(most), Some(raw.clone())))
        }
        None => match settings.expire_malformed {
            ExpireMalformed::Hour => Some(marked(
                settings.expire_clamp.map_or(3600, |most| most.min(3600)),
                Some(raw.clone()),
            )),
            ExpireMalformed::Default | ExpireMalformed::Ignore | ExpireMalformed::Reject => {
                default()
            }
        },
    }
}

fn wish(request: &Message) -> Wish {
    let mut fields = request.headers_named(Expires::NAME);
    let Some(first) = fields.next() else {
        return Wish::Absent;
    };
    let raw = first.text().into_owned();
    if fields.next().is_some() {
        return Wish::Malformed(raw);
    }
    match Expires::parse_value(&first.value()) {
        Ok(Expires(seconds)) => Wish::Seconds(seconds, raw),
        Err(_) => Wish::Malformed(raw),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const RECEIVED: i64 = 1_800_000_000;
    /// A minute before [`RECEIVED`].
    const DATE: &str = "Date: Fri, 15 Jan 2027 07:59:00 GMT";

    fn request(fields: &[&str]) -> Message {
        let mut builder = imspec_wire::sip::Builder::request("MESSAGE", "sip:bob@example.org");
        for field in fields {
            builder = builder.header_line(field);
        }
        builder.build().unwrap()
    }

    fn settings(changes: Value) -> Settings {
        let changes: BTreeMap<String, Value> = serde_json::from_value(changes).unwrap();
        Settings::new("example.org").with(&changes).unwrap()
    }

    /// Seconds of the mark, and seconds from receipt to expiry.
    fn marked(changes: Value, fields: &[&str]) -> Result<Option<(u64, i64)>, MarkRefusal> {
        let received = Timestamp::from_seconds(RECEIVED);
        let stored = received.plus_seconds(7);
        mark(&settings(changes), &request(fields), received, stored)
            .map(|mark| mark.map(|mark| (mark.seconds, mark.at.seconds() - RECEIVED)))
    }

    #[test]
    fn the_header_is_the_mark_over_its_whole_range() {
        for seconds in [1_u32, 60, 86_400, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
            let field = format!("Expires: {seconds}");
            let expected = Ok(Some((u64::from(seconds), i64::from(seconds))));
            assert_eq!(marked(json!({}), &[&field]), expected);
            assert_eq!(marked(json!({"expire.default.pm": 5}), &[&field]), expected);
        }
    }

    #[test]
    fn without_the_header_the_default_applies_if_there_is_one() {
        assert_eq!(marked(json!({}), &[]), Ok(None));
        assert_eq!(
            marked(json!({"expire.default.pm": 9}), &[DATE]),
            Ok(Some((9, 9)))
        );
        assert_eq!(
            marked(
                json!({"expire.default.pm": 9, "expire.base": "date"}),
                &[DATE]
            ),
            Ok(Some((9, 9)))
        );
    }

    #[test]
    fn marking_off_marks_nothing() {
        let off = json!({"expire.marking": "off", "expire.default.pm": 9});
        assert_eq!(marked(off.clone(), &[]), Ok(None));
        assert_eq!(marked(off, &["Expires: 0"]), Ok(None));
    }

    #[test]
    fn zero_is_what_the_provider_says() {
        let zero = |value: &str| {
            marked(
                json!({"expire.zero": value, "expire.default.pm": 9}),
                &["Expires: 0"],
            )
        };
        assert_eq!(zero("immediate"), Ok(Some((0, 0))));
        assert_eq!(zero("never"), Ok(None));
        assert_eq!(zero("reject"), Err(MarkRefusal::Zero));
        assert_eq!(zero("default"), Ok(Some((9, 9))));
    }

    #[test]
    fn malformed_and_repeated_headers_are_what_the_provider_says() {
        for fields in [
            &["Expires: soon"] as &[&str],
            &["Expires: -5"],
            &["Expires: 4294967296"],
            &["Expires: "],
            &["Expires: 5", "Expires: 5"],
            &["Expires: Thu, 01 Dec 2030 16:00:00 GMT"],
        ] {
            let with = |value: &str| {
                marked(
                    json!({"expire.malformed": value, "expire.default.pm": 9}),
                    fields,
                )
            };
            assert_eq!(with("default"), Ok(Some((9, 9))), "{fields:?}");
            assert_eq!(with("ignore"), Ok(Some((9, 9))), "{fields:?}");
            assert_eq!(with("reject"), Err(MarkRefusal::Malformed), "{fields:?}");
            assert_eq!(with("3600"), Ok(Some((3600, 3600))), "{fields:?}");
        }
    }

    #[test]
    fn life_is_counted_from_the_chosen_base() {
        let from = |base: &str, fields: &[&str]| marked(json!({"expire.base": base}), fields);
        assert_eq!(
            from("receipt", &["Expires: 100", DATE]),
            Ok(Some((100, 100)))
        );
        assert_eq!(from("date", &["Expires: 100", DATE]), Ok(Some((100, 40))));
        assert_eq!(from("date", &["Expires: 100"]), Ok(Some((100, 100))));
        let est = "Date: Fri, 15 Jan 2027 07:59:00 EST";
        assert_eq!(from("date", &["Expires: 100", est]), Ok(Some((100, 100))));
        assert_eq!(
            from("stored", &["Expires: 100", DATE]),
            Ok(Some((100, 107)))
        );
    }

    #[test]
    fn a_maximum_shortens_but_never_lengthens() {
        let clamp = json!({"expire.clamp": 50});
        assert_eq!(marked(clamp.clone(), &["Expires: 100"]), Ok(Some((50, 50))));
        assert_eq!(marked(clamp, &["Expires: 10"]), Ok(Some((10, 10))));
    }

    #[test]
    fn sweeps_fall_on_whole_steps() {
        let policy = Policy::new(settings(json!({"policy.granularity_s": 60})));
        let at = |s| Timestamp::from_seconds(s);
        assert_eq!(policy.sweep_at(at(61)), at(120));
        assert_eq!(policy.sweep_at(at(120)), at(120));
        assert_eq!(policy.sweep_limit(at(119)), at(60));
        assert_eq!(policy.sweep_limit(at(120)), at(120));
        let exact = Policy::new(settings(json!({})));
        assert_eq!(exact.sweep_at(at(61)), at(61));
    }

    #[test]
    fn entries_read_back_as_the_same_settings() {
        let settings = settings(json!({
            "policy.indication": "header:X-Deferred-Expired", "policy.expired": "other:hold",
            "store.classes": ["im", "imdn"], "expire.default.pm": 30, "mid.form": "angle",
        }));
        let entries: BTreeMap<String, Value> = settings.entries().into_iter().collect();
        assert_eq!(Settings::new("elsewhere.test").with(&entries), Ok(settings));
    }

    #[test]
    fn wrong_settings_are_explained_and_change_nothing() {
        let policy = Policy::new(Settings::new("example.org"));
        let before = policy.settings();
        for (changes, message) in [
            (
                json!({"policy.expired": "deliver", "Policy-Expired": "deliver"}),
                "there is no setting `Policy-Expired`; did you mean `policy.expired`?",
            ),
            (
                json!({"policy.expired": "keep"}),
                "`policy.expired` cannot be \"keep\": it takes delete, deliver, other:hold",
            ),
            (
                json!({"policy.indication": "header:Via"}),
                "`policy.indication` cannot be \"header:Via\": it takes none, notify, or header:<name> \
              with a name that SIP does not use itself",
            ),
            (
                json!({"expire.default.pm": -1}),
                "`expire.default.pm` cannot be -1: it takes none, or whole seconds from 0 to 4294967295",
            ),
            (
                json!({"mid.scope": "account"}),
                "`mid.scope` cannot be \"account\": it takes only \"global\", which is how this \
              server works",
            ),
            (
                json!({"lm.multi": "one"}),
                "`lm.multi` cannot be \"one\": it takes one-per-message-id, one-per-session",
            ),
            (
                json!({"lm.nobye": "drop"}),
                "there is no setting `lm.nobye`; did you mean `lm.no_bye`?",
            ),
            (
                json!({"lm.bye_headers": ["all", "From"]}),
                "`lm.bye_headers` cannot be [\"all\",\"From\"]: it takes a list of header field names, \
              or of the word `all` alone",
            ),
            (
                json!({"store.modes": "pager"}),
                "`store.modes` cannot be \"pager\": it takes a list of pager, session",
            ),
            (
                json!({"mid.host": "two words"}),
                "`mid.host` cannot be \"two words\": it takes a host name, such as \
              mailstore1.example.org",
            ),
        ] {
            let changes: BTreeMap<String, Value> = serde_json::from_value(changes).unwrap();
            assert_eq!(policy.change(&changes).unwrap_err().to_string(), message);
        }
        assert_eq!(policy.settings(), before);
    }
}
