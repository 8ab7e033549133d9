//! What a user received, in whichever form it came, and where a header field of the original may stand in it.
//!
//! A deferred message may come as a MESSAGE or through a session, whatever it was sent as. A MESSAGE has a
//! place for every header field. A session has places of its own: what describes the content stands in the
//! SEND, or in the wrapper around the content; the rest in the INVITE; and identities, subject and date
//! also in the wrapper (RFC 3862 §4). `docs/decisions/0007` tells what is asked of which.

use imspec_reports::record::{Event, Verdict};
use imspec_wire::cpim;
use imspec_wire::sip::typed::{NameAddr, SipDate};
use imspec_wire::sip::{Message, name};

use super::Sheet;
use super::outcome::{Observed, Ruling, Seen, show};
use super::request::{self, WantedHeader};
use crate::evidence::content::Content;
use crate::evidence::fields::{self, Fields};
use crate::evidence::{Saved, SessionMessage, View, message_of};
use crate::scenario::model::Step;

/// The header fields of a session's start that the draft names (9.3.2.4).
const NAMED: [&str; 5] = ["From", "To", "P-Asserted-Identity", "Subject", "Date"];

/// Something that a user received.
pub(super) struct Delivery<'a> {
    /// The event that tells of it.
    pub(super) event: &'a Event,
    /// As it came.
    pub(super) content: Content,
    form: Form<'a>,
}

enum Form<'a> {
    /// As a SIP request: a MESSAGE, or whatever the step waited for.
    Request(Message),
    /// Through a session.
    Session(Box<SessionMessage<'a>>),
}

impl<'a> Delivery<'a> {
    /// Of the event that a step took.
    pub(super) fn of(view: &View<'a>, event: &'a Event) -> Option<Self> {
        let form = match view.session_message(event) {
            Some(message) => Form::Session(Box::new(message)),
            None => Form::Request(message_of(event).filter(Message::is_request)?),
        };
        Some(Self {
            event,
            content: view.content(event)?,
            form,
        })
    }

    /// The request that came: the MESSAGE, or the INVITE of the session.
    pub(super) fn request(&self) -> Option<(&'a Event, &Message)> {
        match &self.form {
            Form::Request(message) => Some((self.event, message)),
            Form::Session(message) => message
                .invite
                .as_ref()
                .map(|(event, message)| (*event, message)),
        }
    }

    /// The message of a session.
    pub(super) fn session(&self) -> Option<&SessionMessage<'a>> {
        match &self.form {
            Form::Request(_) => None,
            Form::Session(message) => Some(message),
        }
    }

    /// Whether this is an INVITE as such and no message.
    pub(super) fn is_invite(&self) -> bool {
        matches!(&self.form, Form::Request(message) if message.method() == Some("INVITE"))
    }

    /// Whether all of it came.
    pub(super) fn is_whole(&self) -> bool {
        match &self.form {
            Form::Request(_) => true,
            Form::Session(message) => message.transfer.complete,
        }
    }

    /// In one sentence.
    pub(super) fn in_words(&self) -> String {
        let body = match self.content.octets() {
            Some(octets) => format!("the body {}", show(octets)),
            None => format!("{} octets of content", self.content.length()),
        };
        match &self.form {
            Form::Request(message) if message.method() == Some("INVITE") => "INVITE".into(),
            Form::Request(message) => {
                format!("{} with {body}", message.method().unwrap_or("a response"))
            }
            Form::Session(message) if message.transfer.complete => {
                format!("a message through a session with {body}")
            }
            Form::Session(_) => format!("a message through a session, not whole, with {body}"),
        }
    }

    /// Octets of the body in the event that tells of the delivery.
    pub(super) fn body_range(&self) -> Option<(u32, u32)> {
        let Form::Request(message) = &self.form else {
            return None;
        };
        let range = message.body_range();
        Some((request::offset(range.start), request::offset(range.end)))
    }

    /// Rules on a header field. `sent`: what the step says this is a delivery of. Returns the event in which
    /// to look as well.
    pub(super) fn rule(
        &self,
        sheet: &Sheet<'_, '_>,
        step: &Step,
        wanted: &WantedHeader<'_>,
        sent: Option<&str>,
    ) -> (Ruling, u32) {
        let wrapper = sent
            .and_then(|name| sheet.view.saved_content(name))
            .and_then(|(_, sent)| self.content.wrapper(&sent));
        let places = self.places(wanted, wrapper.as_ref());
        let parties = wanted
            .original(sheet, step)
            .and_then(|name| sheet.view.original(&name, None))
            .map(|(_, original)| parties(&wanted.name, &original));
        let mut rulings = places.into_iter().enumerate().map(|(index, place)| {
            let same = parties
                .as_ref()
                .is_some_and(|parties| parties.are(&place.seen, index == 0));
            let observed = Observed::Known(place.seen);
            let mut ruling = wanted.rule(sheet, step, &observed, None);
            if same && !wanted.denies() && ruling.verdict == Verdict::Fail {
                ruling.verdict = Verdict::Pass;
                ruling.note = Some(SAME_PARTY.into());
            }
            (ruling, place.event)
        });
        let Some(mut chosen) = rulings.next() else {
            let ruling = Ruling::new(Verdict::Inconclusive, "a header field", "no place for it");
            return (ruling, self.event.id);
        };
        for other in rulings {
            // One place that says it is enough, but what a field must not say it must say nowhere.
            let better = if wanted.denies() {
                other.0.verdict > chosen.0.verdict
            } else {
                other.0.verdict < chosen.0.verdict
            };
            if better {
                chosen = other;
            }
        }
        let (mut ruling, event) = chosen;
        if ruling.verdict == Verdict::Fail
            && let Some(why) = self.excuse(sheet, step, wanted, sent)
        {
            ruling.verdict = Verdict::Inconclusive;
            ruling.observed = format!("{}; {why}", ruling.observed);
        }
        (ruling, event)
    }

    /// Where a field of that name may stand, the usual place first. A place where nothing stands is only
    /// named where it is the usual one.
    fn places(&self, asked: &WantedHeader<'_>, wrapper: Option<&cpim::Message>) -> Vec<Place> {
        let wanted = asked.name.as_str();
        let mut places = vec![self.usual_place(wanted, wrapper)];
        let Some((event, request)) = self.request() else {
            return places;
        };
        let is_session = self.session().is_some();
        let mut add = |seen: Vec<Seen>, event: u32| {
            if !seen.is_empty() {
                places.push(Place { seen, event });
            }
        };
        let of_sender = name::same(wanted, "From") || name::same(wanted, "P-Asserted-Identity");
        if is_session && of_sender && !asked.denies() {
            // A service may deliver in its own name and tell the author otherwise (RFC 3325, RFC 3892).
            for other in ["From", "P-Asserted-Identity", "Referred-By"] {
                if !name::same(other, wanted) {
                    add(request::fields(request, other), event.id);
                }
            }
        }
        if let Some(wrapper) = wrapper {
            let inner = match () {
                () if name::same(wanted, "From") => "From",
                () if of_sender && !asked.denies() => "From",
                () if name::same(wanted, "To") => "To",
                () if name::same(wanted, "Subject") => "Subject",
                () if name::same(wanted, "Date") => "DateTime",
                () => return places,
            };
            let seen = wrapper
                .headers()
                .filter(|header| header.is(cpim::CORE_NAMESPACE, inner))
                .map(|header| match inner {
                    "DateTime" => as_sip_date(&header.value()),
                    _ => header.value().into_owned().into_bytes(),
                });
            add(seen.map(Seen::value).collect(), self.event.id);
        }
        places
    }

    fn usual_place(&self, wanted: &str, wrapper: Option<&cpim::Message>) -> Place {
        if let (true, Some(wrapper)) = (fields::is_of_content(wanted), wrapper) {
            let seen = wrapper
                .content_headers()
                .filter(|header| header.name().eq_ignore_ascii_case(wanted))
                .map(|header| Seen::value(header.value().into_owned()));
            return Place {
                seen: seen.collect(),
                event: self.event.id,
            };
        }
        match &self.form {
            Form::Request(message) => Place {
                seen: request::fields(message, wanted),
                event: self.event.id,
            },
            Form::Session(message) => {
                let in_invite = message
                    .invite
                    .as_ref()
                    .filter(|_| !fields::is_of_content(wanted));
                let place = in_invite.map(|(event, invite)| Place {
                    seen: request::fields(invite, wanted),
                    event: event.id,
                });
                if let Some(place) = place.filter(|place| !place.seen.is_empty()) {
                    return place;
                }
                match &message.send {
                    Some((event, send)) if !fields::is_framing(wanted) => Place {
                        seen: in_head(&send.head, wanted),
                        event: event.id,
                    },
                    _ => Place {
                        seen: Vec::new(),
                        event: self.event.id,
                    },
                }
            }
        }
    }

    /// Why a header field that is not as in the original is nobody's fault.
    fn excuse(
        &self,
        sheet: &Sheet<'_, '_>,
        step: &Step,
        wanted: &WantedHeader<'_>,
        sent: Option<&str>,
    ) -> Option<String> {
        // What a scenario denies is never excused by the form.
        if wanted.denies() || fields::is_of_content(&wanted.name) {
            return None;
        }
        let header = &wanted.name;
        let original = wanted
            .original(sheet, step)
            .or_else(|| sent.map(str::to_owned));
        let by_session = original
            .as_deref()
            .and_then(|name| sheet.view.saved(name))
            .map(|saved| match saved {
                Saved::Transfer(_) | Saved::Frame { .. } => true,
                Saved::Request { request, .. } => {
                    request.is_some_and(|request| request.method() == Some("INVITE"))
                }
                Saved::Received { .. } | Saved::Records { .. } => false,
            });
        // What the sender never wrote is the server's own, such as the remark that a message has expired.
        let is_the_servers = matches!(
            original.as_deref().and_then(|name| sheet.view.saved(name)),
            Some(Saved::Transfer(message)) if !wrote(&message, header)
        );
        let named = NAMED.iter().any(|one| name::same(one, header));
        let nothing_seen = self.usual_place(header, None).seen.is_empty();
        match (self.session(), by_session) {
            // A MESSAGE has a place for all that a MESSAGE had; of a session, for what the draft names.
            (None, Some(true)) if nothing_seen && !named && !is_the_servers => Some(format!(
                "the draft does not name {header} among what is kept of a session"
            )),
            (Some(_), _) if name::same(header, "Expires") => {
                Some("in an INVITE, Expires is about the INVITE (RFC 3261 §13.2.1)".into())
            }
            (Some(message), _) if is_one_of_many(sheet, message) => Some(
                "the session brought several messages, and its INVITE can speak for one only"
                    .into(),
            ),
            (Some(_), Some(true)) if named => None,
            (Some(_), _) if nothing_seen => Some(format!(
                "the message came through a session, which has no place of its own for {header}"
            )),
            (Some(_) | None, _) => None,
        }
    }
}

/// Whether the sender of a message wrote a header field, in its INVITE or in its SEND.
fn wrote(message: &SessionMessage<'_>, header: &str) -> bool {
    let invited = message
        .invite
        .as_ref()
        .is_some_and(|(_, invite)| invite.header(header).is_some());
    let sent = message
        .send
        .as_ref()
        .is_some_and(|(_, send)| send.head.header(header).is_some());
    invited || sent
}

/// Whether the session of a message brought others, too.
fn is_one_of_many(sheet: &Sheet<'_, '_>, message: &SessionMessage<'_>) -> bool {
    let in_session = |event: &Event| match &event.kind {
        imspec_reports::record::EventKind::Transfer(other) => {
            other.invite == message.transfer.invite
                && other.message_id != message.transfer.message_id
        }
        _ => false,
    };
    sheet.view.trace().events.iter().any(in_session)
}

const SAME_PARTY: &str =
    "the same party; the tag and where it stands are those of a new request (RFC 3261 §8.1.1.3)";

/// Who a header field of the original names, for fields that name a party; else nobody.
struct Parties(Vec<NameAddr>);

fn parties(header: &str, original: &Fields) -> Parties {
    let names_party = ["From", "To", "P-Asserted-Identity"];
    if !names_party.iter().any(|one| name::same(one, header)) {
        return Parties(Vec::new());
    }
    let parsed = original
        .named(header)
        .map(|field| NameAddr::parse(&field.value));
    Parties(parsed.filter_map(Result::ok).collect())
}

impl Parties {
    /// Whether the fields seen name the same, whatever the tags. `in_full`: with their display names.
    fn are(&self, seen: &[Seen], in_full: bool) -> bool {
        !self.0.is_empty()
            && self.0.len() == seen.len()
            && self.0.iter().zip(seen).all(|(wanted, seen)| {
                NameAddr::parse(&seen.value).is_ok_and(|seen| {
                    seen.uri.equivalent(&wanted.uri)
                        && (!in_full || seen.display_name == wanted.display_name)
                })
            })
    }
}

/// A place where a header field may stand.
struct Place {
    seen: Vec<Seen>,
    event: u32,
}

/// All fields of a name in a head of MSRP.
pub(super) fn in_head(head: &imspec_wire::msrp::Head, name: &str) -> Vec<Seen> {
    head.headers_named(name)
        .map(|header| {
            let range = header.value_range();
            Seen {
                name: header.name().to_owned(),
                value: header.value().trim_ascii().to_vec(),
                raw: header.raw_value().to_vec(),
                range: Some((request::offset(header.offset()), request::offset(range.end))),
            }
        })
        .collect()
}

/// A date of RFC 3339 as SIP writes it, so that both can be compared; as it is where it is none.
fn as_sip_date(value: &str) -> Vec<u8> {
    let instant = imspec_reports::record::UtcTime::parse(value.trim());
    match instant {
        Ok(instant) => SipDate {
            unix_seconds: instant.unix_us.div_euclid(1_000_000),
        }
        .format()
        .into_bytes(),
        Err(_) => value.as_bytes().to_vec(),
    }
}
