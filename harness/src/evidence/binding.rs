//! The bindings of a user, as the answer to a REGISTER tells of them: whose the step's own is, and how long each
//! of them holds.

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{Contact, Expires, NameAddr};

use super::{View, message_of};

/// One binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// Whether it is that of the agent that registered.
    pub own: bool,
    /// How long it holds, in seconds, where the registrar says so.
    pub lifetime: Option<u64>,
}

/// All bindings of the user that a `register` step has registered, as its response lists them.
pub fn bindings(view: &View<'_>, step: &str) -> Vec<Binding> {
    let asked = view.sent_by(step).and_then(|(event, _)| message_of(event));
    match (asked, view.took(step).and_then(message_of)) {
        (Some(asked), Some(told)) => listed(&asked, &told),
        _ => Vec::new(),
    }
}

/// What the response to a REGISTER lists (RFC 3261 §10.2.4, §10.3 step 8).
fn listed(asked: &Message, told: &Message) -> Vec<Binding> {
    let own = addresses(asked);
    let of_all = told.typed::<Expires>().and_then(Result::ok);
    let bindings = addresses(told).into_iter().map(|address| Binding {
        own: own.iter().any(|own| own.uri.equivalent(&address.uri)),
        lifetime: match address.params.get("expires") {
            Some(own) => own.parse().ok(),
            None => of_all.map(|all| u64::from(all.0)),
        },
    });
    bindings.collect()
}

fn addresses(message: &Message) -> Vec<NameAddr> {
    let contacts = message.typed_all::<Contact>().into_iter().flatten();
    let addresses = contacts.filter_map(|contact| match contact {
        Contact::Address(address) => Some(address),
        Contact::Star => None,
    });
    addresses.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn told(fields: &str) -> Vec<Binding> {
        let message = |first: &str, fields: &str| {
            let text = format!("{first}\r\n{fields}\r\n").into_bytes();
            Message::parse(text).unwrap()
        };
        let asked = message(
            "REGISTER sip:example.org SIP/2.0",
            "Contact: <sip:bob@127.0.0.1:5070>\r\nExpires: 30\r\n",
        );
        listed(&asked, &message("SIP/2.0 200 OK", fields))
    }

    fn one(own: bool, lifetime: Option<u64>) -> Binding {
        Binding { own, lifetime }
    }

    #[test]
    fn the_own_binding_is_told_from_the_others() {
        let two = "Contact: <sip:bob@127.0.0.1:5071>;expires=3600, <sip:bob@127.0.0.1:5070>;q=1;expires=60\r\n";
        assert_eq!(told(two), [one(false, Some(3600)), one(true, Some(60))]);
    }

    #[test]
    fn a_lifetime_for_all_stands_where_a_contact_has_none() {
        let all = "Expires: 120\r\nm: <sip:bob@127.0.0.1:5070>\r\n";
        assert_eq!(told(all), [one(true, Some(120))]);
        assert_eq!(
            told("Contact: <sip:bob@127.0.0.1:5070>\r\n"),
            [one(true, None)]
        );
        assert_eq!(told(""), []);
    }
}
