//! Messages that came through sessions, and the `receive` steps that wait for them.

use imspec_reports::record::EventKind;
use imspec_reports::record::trace::Transfer;
use imspec_wire::msrp::Head;

use super::{ClaimState, Desk};
use crate::evidence::{View, delivery};
use crate::scenario::model::Receive;

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
