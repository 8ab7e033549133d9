//! Requests for nobody in this case. A server still sends for users whose case is over, and the port of their
//! agent may be another agent's by now: what it sends is no evidence here.

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{To, Uri};

use crate::scenario::model::CaseUser;

/// Who a request is for, if both its Request-URI and its To name somebody and neither is one of these users. One
/// that names a user in one of the two is evidence: a server that confuses users is to be seen.
pub(super) fn addressee(users: &[CaseUser], message: &Message) -> Option<String> {
    let target = Uri::parse(message.request_uri()?).ok()?;
    let to = message.typed::<To>()?.ok()?;
    let names = [user_part(&target)?, user_part(&to.0.uri)?];
    let is_ours = |name: &Vec<u8>| {
        users
            .iter()
            .any(|user| own_part(user).as_ref() == Some(name))
    };
    let is_stranger = !names.iter().any(is_ours);
    is_stranger.then(|| String::from_utf8_lossy(&names[0]).into_owned())
}

/// The user part of a case's user as it is meant, without escapes.
fn own_part(user: &CaseUser) -> Option<Vec<u8>> {
    user_part(&Uri::parse(user.uri().as_bytes()).ok()?)
}

fn user_part(uri: &Uri) -> Option<Vec<u8>> {
    let user = uri.as_sip()?.user_decoded()?;
    Some(user.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::scenario::model::UserState;

    fn user(name: &str) -> CaseUser {
        CaseUser {
            role: "bob".into(),
            state: UserState::Offline,
            name: name.into(),
            domain: "example.org".into(),
            transport: "udp".into(),
        }
    }

    #[test]
    fn only_who_is_named_nowhere_is_a_stranger() {
        let users = [user("bob-1x"), user("%63arol")];
        for (target, to, stranger) in [
            ("sip:bob-1x@127.0.0.1:5070", "sip:bob-1x@example.org", None),
            (
                "sip:bob-9z@127.0.0.1:5070",
                "sip:bob-9z@example.org",
                Some("bob-9z"),
            ),
            (
                "sip:tablet@127.0.0.1:5070",
                "<sip:Bob-1x@example.org>",
                None,
            ),
            ("sip:carol@127.0.0.1:5070", "sip:bob-9z@example.org", None),
            ("sip:127.0.0.1:5070", "sip:bob-9z@example.org", None),
            ("tel:+4930123", "sip:bob-9z@example.org", None),
        ] {
            let text = format!("MESSAGE {target} SIP/2.0\r\nTo: {to}\r\nContent-Length: 0\r\n\r\n");
            let message = Message::parse(text.into_bytes()).unwrap();
            let found = addressee(&users, &message);
            assert_eq!(found.as_deref(), stranger, "{target} {to}");
        }
    }
}
