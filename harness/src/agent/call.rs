//! A message session of a user agent as SIP sees it: the INVITE, the dialog that came of it, both session
//! descriptions, and whether it still stands. What goes through it is the business of [`super::msrp`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use imspec_wire::sdp::{Description, Role};
use imspec_wire::sip::Message;

use super::desk::ClientKey;
use super::dialog::{Dialog, DialogId};
use super::msrp::Session;
use super::sdp::{self, Described, Ground, Remote};
use super::{Endpoint, Place};

/// A message session, from either side.
#[derive(Debug)]
pub struct Call {
    /// Whose it is.
    pub(super) place: Place,
    /// What goes through it.
    pub(super) media: Arc<Session>,
    state: Mutex<State>,
    /// The ACKs that were sent, by the tag of the 2xx; held while one is made.
    pub(super) acks: tokio::sync::Mutex<HashMap<(String, u32), Bytes>>,
}

#[derive(Debug, Default)]
struct State {
    dialog: Option<Dialog>,
    /// The INVITE that opens it, as long as it can be cancelled.
    invite: Option<Inviting>,
    described: Described,
    /// Our description as it was sent last.
    own: Option<Bytes>,
    version: u64,
    /// Whether our description is the offer.
    offered: bool,
    ended: Option<End>,
}

/// An INVITE of ours that is under way.
#[derive(Debug, Clone)]
pub(super) struct Inviting {
    pub(super) request: Message,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) key: ClientKey,
}

/// Who ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The harness.
    Own,
    /// The SUT.
    Remote,
}

impl Call {
    /// A session that is being set up.
    pub(super) fn new(place: Place, media: Arc<Session>, described: Described) -> Self {
        let state = State {
            described,
            ..State::default()
        };
        Self {
            place,
            media,
            state: Mutex::new(state),
            acks: tokio::sync::Mutex::default(),
        }
    }

    /// What goes through it.
    pub fn session(&self) -> &Arc<Session> {
        &self.media
    }

    /// The next offer: as before, unless `changes` say otherwise.
    pub fn offer(&self, changes: &Described) -> Bytes {
        let mut state = self.state();
        state.offered = true;
        if let Some(own) = &state.own
            && *changes == Described::default()
        {
            return own.clone();
        }
        let described = changes.clone().or(&state.described);
        state.version += 1;
        let octets = sdp::offer(&described, self.ground(), state.version);
        state.described = described;
        state.own = Some(octets.clone());
        octets
    }

    /// The answer to an offer, and the session goes by it. Without an offer there is one of ours in the 2xx.
    pub(super) fn answer(&self, offer: &[u8]) -> Result<Bytes, String> {
        if offer.is_empty() {
            return Ok(self.offer(&Described::default()));
        }
        let description =
            Description::parse(Bytes::copy_from_slice(offer)).map_err(|e| e.to_string())?;
        let remote = Remote::read(Bytes::copy_from_slice(offer))?;
        let mut state = self.state();
        state.offered = false;
        state.version += 1;
        let octets = sdp::answer(&state.described, self.ground(), state.version, &description);
        let role = sdp::role_of_answerer(&state.described, &remote);
        let cema = state.described.cema;
        state.own = Some(octets.clone());
        drop(state);
        self.media.agreed(remote, role, cema);
        Ok(octets)
    }

    /// Takes the answer to our offer.
    pub(super) fn answered(&self, answer: Bytes) -> Result<(), String> {
        let remote = Remote::read(answer)?;
        let (described, cema) = {
            let state = self.state();
            (state.described.clone(), state.described.cema)
        };
        // Two ends that both want to connect, or neither: the offerer of RFC 4975 §8.5 connects.
        let role = sdp::role_of_offerer(&described, &remote);
        let conflict = role.as_ref().err().cloned();
        self.media
            .agreed(remote, role.unwrap_or(Role::Active), cema);
        conflict.map_or(Ok(()), Err)
    }

    /// Our description as it was sent last.
    pub(super) fn own_sdp(&self) -> Option<Bytes> {
        self.state().own.clone()
    }

    /// Whether our description is an offer that waits for its answer.
    pub(super) fn has_offered(&self) -> bool {
        self.state().offered
    }

    /// The INVITE is under way.
    pub(super) fn calling(&self, inviting: Inviting) {
        self.state().invite = Some(inviting);
    }

    /// The INVITE that opens it.
    pub(super) fn inviting(&self) -> Option<Inviting> {
        self.state().invite.clone()
    }

    /// The dialog stands.
    pub(super) fn confirm(&self, dialog: Dialog) {
        self.state().dialog.get_or_insert(dialog);
    }

    /// The other end may have moved.
    pub(super) fn refresh(&self, message: &Message) {
        if let Some(dialog) = &mut self.state().dialog {
            dialog.refresh(message);
        }
    }

    /// The dialog, where it stands.
    pub(super) fn dialog(&self) -> Option<Dialog> {
        self.state().dialog.clone()
    }

    /// The dialog, and the number of our next request in it.
    pub(super) fn next_request(&self) -> Option<(Dialog, u32)> {
        let mut state = self.state();
        let dialog = state.dialog.as_mut()?;
        let number = dialog.next_number();
        Some((dialog.clone(), number))
    }

    /// Whether that is its dialog.
    pub(super) fn is(&self, id: &DialogId) -> bool {
        self.state()
            .dialog
            .as_ref()
            .is_some_and(|dialog| dialog.id() == id)
    }

    /// The session is over; tells whether it was not before.
    pub(super) fn end(&self, end: End) -> bool {
        let mut state = self.state();
        let first = state.ended.is_none();
        state.ended.get_or_insert(end);
        first
    }

    /// Who ended it.
    pub fn ended(&self) -> Option<End> {
        self.state().ended
    }

    fn ground(&self) -> &Ground {
        self.media.ground()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::agent::msrp::{Conduct, Owner};
    use crate::sut::profile::Transport;

    fn call(described: Described) -> Call {
        let owner = Owner {
            user: "bob".into(),
            device: "phone".into(),
        };
        let ground = Ground {
            path: "msrp://127.0.0.1:7000/own;tcp".into(),
            own: "msrp://127.0.0.1:7000/own;tcp".into(),
            relays: Vec::new(),
            listens: "127.0.0.1:7000".parse().unwrap(),
            told: None,
            secure: false,
            fingerprint: None,
            id: 42,
        };
        let place = Place {
            user: "bob".into(),
            device: "phone".into(),
            transport: Transport::Udp,
        };
        let media = Session::new(owner, ground, Conduct::default(), None);
        Call::new(place, Arc::new(media), described)
    }

    fn sdp(setup: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=message 7001 TCP/MSRP *\r\na=accept-types:*\r\n\
             a=path:msrp://127.0.0.1:7001/theirs;tcp\r\na=setup:{setup}\r\n"
        )
    }

    fn version(offer: &Bytes) -> String {
        let text = String::from_utf8(offer.to_vec()).unwrap();
        text.split(' ').nth(2).unwrap().to_owned()
    }

    #[test]
    fn an_offer_has_a_new_version_only_where_it_says_something_else() {
        let call = call(Described::default());
        let first = call.offer(&Described::default());
        assert_eq!(call.offer(&Described::default()), first, "RFC 3264 §8");
        let changes = Described {
            direction: Some("sendrecv".into()),
            ..Described::default()
        };
        let second = call.offer(&changes);
        assert_eq!(
            (version(&first), version(&second)),
            ("1".into(), "2".into())
        );
        assert_eq!(call.own_sdp(), Some(second));
    }

    #[test]
    fn an_answer_settles_who_connects() {
        let call = call(Described::default());
        call.answer(sdp("active").as_bytes()).unwrap();
        assert!(!call.has_offered());
        assert_eq!(call.session().role(), Some(Role::Passive));
        assert!(call.answer(b"hello").is_err());
    }

    #[test]
    fn without_an_offer_there_is_one_of_ours() {
        let call = call(Described::default());
        let ours = call.answer(b"").unwrap();
        assert!(call.has_offered());
        assert_eq!(call.own_sdp(), Some(ours));
        call.answered(sdp("passive").into()).unwrap();
        assert_eq!(call.session().role(), Some(Role::Active));
    }

    #[test]
    fn two_ends_that_both_want_to_connect_are_told_and_the_offerer_connects() {
        let call = call(Described::default());
        call.offer(&Described::default());
        assert!(call.answered(sdp("active").into()).is_err());
        assert_eq!(call.session().role(), Some(Role::Active));
    }

    #[test]
    fn who_ended_it_first_has_ended_it() {
        let call = call(Described::default());
        assert!(call.end(End::Remote));
        assert!(!call.end(End::Own));
        assert_eq!(call.ended(), Some(End::Remote));
    }
}
