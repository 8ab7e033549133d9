//! Transactions (RFC 3261 §17), as corrected by RFC 4320 and, for INVITE, by RFC 6026.
//!
//! The state machines know neither sockets nor clocks: they are told what happened and when, and say
//! what to do.

use std::time::Duration;

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{CSeq, From, To, Via};

pub mod client;
pub mod invite_client;
pub mod invite_server;
pub mod server;

/// Every timer, from T1.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// Round-trip estimate.
    pub t1: Duration,
}

impl Timers {
    /// Longest time between retransmissions: 4 s where T1 is 500 ms, and in that proportion.
    pub fn t2(self) -> Duration {
        self.t1 * 8
    }

    /// Timers F and J: how long a transaction lasts.
    pub fn lifetime(self) -> Duration {
        self.t1 * 64
    }

    /// RFC 4320 §4.1: over UDP no 100 may leave before the sender's Timer E has reached T2, and one
    /// must leave then.
    pub fn before_trying(self) -> Duration {
        self.t1 * 7
    }

    /// Timer C, for a telephone that rings for ever: above three minutes (RFC 3261 §16.6 item 11)
    /// where T1 is 500 ms, and in that proportion.
    pub fn ringing(self) -> Duration {
        self.lifetime() * 6
    }

    /// How long a forwarded request may go unanswered, so that its sender, whose own patience is
    /// [`Self::lifetime`], still hears from us: RFC 4320 §4.2 leaves nothing to say after that.
    pub fn online_patience(self) -> Duration {
        self.t1 * 56
    }
}

/// What makes a request the same request (RFC 3261 §17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TransactionKey(String);

impl TransactionKey {
    /// The key of a request whose headers have been found sound.
    pub fn of(request: &Message, method: &str) -> Self {
        let via = request.typed::<Via>().and_then(Result::ok);
        let sent_by = via.as_ref().map(|via| {
            format!(
                "{}:{}",
                via.host.to_string().to_ascii_lowercase(),
                via.port.unwrap_or(5060)
            )
        });
        let sent_by = sent_by.unwrap_or_default();
        let branch = via.as_ref().and_then(Via::branch).unwrap_or_default();
        let cookie = branch
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("z9hG4bK"));
        if cookie && branch.len() > 7 {
            return Self(format!("{branch}\n{sent_by}\n{method}"));
        }
        // RFC 2543 peers make no unique branch: everything that identifies the request counts.
        let value = |name: &str| {
            request
                .header(name)
                .map_or(String::new(), |h| h.text().into_owned())
        };
        let uri = String::from_utf8_lossy(request.request_uri().unwrap_or_default()).into_owned();
        Self(
            [
                method,
                &uri,
                &sent_by,
                branch,
                &value("From"),
                &value("To"),
                &value("Call-ID"),
                // Without its method: ACK and CANCEL name the INVITE's.
                value("CSeq").split_whitespace().next().unwrap_or_default(),
            ]
            .join("\n"),
        )
    }
}

/// What copies of one request have in common that came by different ways (RFC 3261 §8.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MergeKey(String);

impl MergeKey {
    /// The key of a request outside a dialog; one with a To tag is never a merged copy.
    pub fn of(request: &Message) -> Option<Self> {
        let to = request.typed::<To>()?.ok()?;
        if to.tag().is_some() {
            return None;
        }
        let from = request.typed::<From>()?.ok()?;
        let cseq = request.typed::<CSeq>()?.ok()?;
        let call_id = request.header("Call-ID")?.text().into_owned();
        let tag = from.tag().unwrap_or_default();
        Some(Self(format!(
            "{tag}\n{call_id}\n{}\n{}",
            cseq.number, cseq.method
        )))
    }
}
