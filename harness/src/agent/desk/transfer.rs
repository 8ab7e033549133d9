//! Messages that came through sessions, and the `receive` steps that wait for them.

use imspec_reports::record::EventKind;
use imspec_reports::record::trace::Transfer;
use imspec_wire::msrp::Head;

use super::{ClaimState, Desk};
use crate::evidence::{View, delivery};
use crate::scenario::model::{Answer, Receive};

impl Desk {
    /// Whether the trace has room for a frame.
    pub(in super::super) fn has_room(&mut self, head: &Head, body: u64) -> bool {
        let body = usize::try_from(body.min(256 * 1024)).unwrap_or_default();
        self.room(head.as_bytes().len() + body)
    }

    /// A message came through a session, whole or in part: notes it, and lets a step take it.
    pub(in super::super) fn transferred(&mut self, transfer: Transfer) -> u32 {
        let (invite, complete) = (transfer.invite, transfer.complete);
        let event = self.note(None, EventKind::Transfer(transfer));
        let bound = self
            .claims
            .iter()
            .position(|claim| claim.state == ClaimState::Bound { invite });
        let claim = bound.or_else(|| complete.then(|| self.find_transfer_claim(event)).flatten());
        match claim {
            // A message that is not whole is not answered any more.
            Some(index) => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: !complete,
                };
            }
            None => self.leave(event),
        }
        event
    }

    /// The last chunk of a message was answered, or is not to be.
    pub(in super::super) fn transfer_answered(&mut self, event: u32) {
        for claim in &mut self.claims {
            if let ClaimState::Taken {
                event: taken,
                answered,
            } = &mut claim.state
                && *taken == event
            {
                *answered = true;
            }
        }
    }

    /// A session is over. A step that took what would come of it has the INVITE, if no message came.
    pub(in super::super) fn session_over(&mut self, invite: u32) {
        for claim in &mut self.claims {
            if claim.state == (ClaimState::Bound { invite }) {
                claim.state = ClaimState::Taken {
                    event: invite,
                    answered: true,
                };
            }
        }
    }

    /// A message of ours has a name now: what came meanwhile may be its delivery.
    pub(in super::super) fn look_again(&mut self) {
        for event in std::mem::take(&mut self.loose) {
            self.offer_again(event);
        }
        self.offer_requests();
    }

    /// Offers the MESSAGE requests that nobody has to the steps that would have answered them as they were
    /// answered: with 200, at once.
    fn offer_requests(&mut self) {
        let mut unclaimed: Vec<u32> = self
            .servers
            .values()
            .filter(|server| server.claim.is_none() && !server.taken && server.method == "MESSAGE")
            .map(|server| server.event)
            .collect();
        unclaimed.sort_unstable();
        for event in unclaimed {
            let Some((key, message)) = self.request_of(event) else {
                continue;
            };
            let claim = self.find_claim(&key.place, &message).filter(|index| {
                matches!(
                    &self.claims[*index].receive.answer,
                    Answer::Status { status: 200, after_ms: 0, headers } if headers.is_empty()
                )
            });
            let Some((index, server)) = claim.zip(self.servers.get_mut(&key)) else {
                continue;
            };
            server.claim = Some(index);
            let answered = server.answer.is_some();
            self.claims[index].state = ClaimState::Taken { event, answered };
        }
    }

    /// Offers a message to the other steps, since the one that had it will not be run.
    pub(super) fn offer_transfer(&mut self, event: u32) {
        match self.find_transfer_claim(event) {
            Some(index) => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: true,
                };
            }
            None => self.leave(event),
        }
    }

    /// Messages of sessions that nobody took, for a step that waits for one.
    pub(super) fn loose_at(&self, receive: &Receive) -> Vec<u32> {
        if receive.method.is_some() {
            return Vec::new();
        }
        self.loose
            .iter()
            .copied()
            .filter(|event| match &self.trace.events[*event as usize].kind {
                EventKind::Transfer(transfer) => {
                    transfer.user == receive.at
                        && receive
                            .device
                            .as_ref()
                            .is_none_or(|device| *device == transfer.device)
                }
                _ => false,
            })
            .collect()
    }

    /// Takes a message off the list of those that nobody has.
    pub(super) fn not_loose(&mut self, event: u32) {
        self.loose.retain(|other| *other != event);
    }

    pub(super) fn is_transfer(&self, event: u32) -> bool {
        let event = self.trace.events.get(event as usize);
        event.is_some_and(|event| matches!(event.kind, EventKind::Transfer(_)))
    }

    fn offer_again(&mut self, event: u32) {
        let whole = match self.trace.events.get(event as usize).map(|e| &e.kind) {
            Some(EventKind::Transfer(transfer)) => transfer.complete,
            _ => false,
        };
        let claim = whole.then(|| self.find_transfer_claim(event)).flatten();
        match claim {
            Some(index) => {
                self.claims[index].state = ClaimState::Taken {
                    event,
                    answered: true,
                };
            }
            None => self.loose.push(event),
        }
    }

    fn leave(&mut self, event: u32) {
        self.note(None, EventKind::Unclaimed { event });
        self.loose.push(event);
    }

    fn find_transfer_claim(&self, event: u32) -> Option<usize> {
        let event = self.trace.events.get(event as usize)?;
        let EventKind::Transfer(transfer) = &event.kind else {
            return None;
        };
        let content = View::new(&self.case, &self.trace).content(event)?;
        self.claims.iter().position(|claim| {
            claim.state == ClaimState::Open
                && claim.receive.method.is_none()
                && claim.is_at(&transfer.user, &transfer.device)
                && claim.receive.of.as_ref().is_none_or(|of| {
                    self.saved_content(of, &claim.step)
                        .is_some_and(|sent| delivery::carries(&content, sent))
                })
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::time::Instant;

    use imspec_reports::record::trace::{Packet, Protocol};

    use super::super::{Reply, Stamp};
    use super::*;
    use crate::agent::Place;
    use crate::plan::{self, Selection};
    use crate::scenario::load::load_str;
    use crate::scenario::{Known, Pics};
    use crate::sut::profile::Transport;

    fn packet(text: &str) -> Packet {
        Packet {
            user: "bob".into(),
            device: "main".into(),
            protocol: Protocol::Sip,
            transport: "udp".into(),
            local: "127.0.0.1:1".into(),
            remote: "127.0.0.1:2".into(),
            octets: text.replace('\n', "\r\n").into(),
            elided: None,
            retransmission: false,
        }
    }

    fn message(branch: &str, body: &str) -> Packet {
        packet(&format!(
            "MESSAGE sip:bob@127.0.0.1 SIP/2.0\nVia: SIP/2.0/UDP 127.0.0.1:2;branch=z9hG4bK{branch}\n\
             From: <sip:alice@example.org>;tag=1\nTo: <sip:bob@example.org>\nCall-ID: {branch}\n\
             CSeq: 1 MESSAGE\nMax-Forwards: 70\nContent-Type: text/plain\nContent-Length: {}\n\n{body}",
            body.len()
        ))
    }

    /// A case with that second step, which waits for the message of the first.
    fn desk(receive: &str) -> Desk {
        let text = format!(
            "id: PG-900\ntitle: A story\npurpose: To be told.\ncovers: [DM-STORE-02]\n\
             users: {{ alice: online, bob: online }}\nsteps:\n\
             - message: {{ from: alice, to: bob, body: Early, save: sent }}\n- receive: {receive}\n"
        );
        let scenario = load_str(&text, "story.yaml", &Known::bundled());
        let scenario = scenario.unwrap_or_else(|why| panic!("{why}"));
        let context = plan::Context {
            pics: &Pics::new(),
            settable: &BTreeSet::new(),
            domain: "example.org",
            transport: "udp",
            few: None,
            seed: 1,
        };
        let planned = plan::plan(&[Arc::new(scenario)], &Selection::all(), &context);
        let mut case = planned.cases().next().unwrap().clone();
        for user in &mut case.users {
            user.name.clone_from(&user.role);
        }
        let case = Arc::new(case);
        let stamp = Stamp {
            begun: Instant::now(),
            store: Arc::new(|| None),
        };
        Desk::new(case, stamp)
    }

    #[test]
    fn a_delivery_that_was_faster_than_the_name_of_its_message_is_taken() {
        for (receive, is_taken) in [
            ("{ at: bob, of: sent }", true),
            // It was answered otherwise already.
            ("{ at: bob, of: sent, answer: 486 }", false),
        ] {
            let mut desk = desk(receive);
            let event = desk.note(Some("steps[0]"), EventKind::Sent(message("a", "Early")));
            let place = Place {
                user: "bob".into(),
                device: "main".into(),
                transport: Transport::Udp,
            };
            let from = "127.0.0.1:2".parse().unwrap();
            let replies = desk.arrived(&place, message("b", "Early"), from);
            let [Reply::Answer { key, octets, .. }] = &replies[..] else {
                panic!("{replies:?}");
            };
            let answer = String::from_utf8_lossy(octets).replace("\r\n", "\n");
            desk.answered(key, packet(&answer));
            assert_eq!(desk.taken("steps[1]"), None);
            let kind = EventKind::Saved {
                name: "sent".into(),
                event,
            };
            desk.note(Some("steps[0]"), kind);
            desk.look_again();
            let expected = is_taken.then_some(event + 1);
            assert_eq!(desk.claimed("steps[1]"), expected, "{receive}");
        }
    }

    #[test]
    fn what_is_for_nobody_here_is_turned_away_and_claimed_by_nobody() {
        let mut desk = desk("{ at: bob, answer: none }");
        let place = Place {
            user: "bob".into(),
            device: "main".into(),
            transport: Transport::Udp,
        };
        let from = "127.0.0.1:2".parse().unwrap();
        let text = String::from_utf8_lossy(&message("b", "Early").octets.0).replace("\r\n", "\n");
        let theirs = packet(&text.replace("sip:bob@", "sip:bob-of-yesterday@"));
        for _ in 0..2 {
            let replies = desk.arrived(&place, theirs.clone(), from);
            let [Reply::TurnAway { octets, .. }] = &replies[..] else {
                panic!("{replies:?}");
            };
            assert!(octets.starts_with(b"SIP/2.0 404 "));
        }
        let [event] = &desk.trace().events[..] else {
            panic!("{:?}", desk.trace().events);
        };
        assert!(
            matches!(&event.kind, EventKind::Note { text } if text.contains("bob-of-yesterday"))
        );
        assert_eq!(desk.claimed("steps[1]"), None);
    }
}
