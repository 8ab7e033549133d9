//! Session timers (RFC 4028): a session that nobody refreshes is over.

use imspec_wire::sip::Message;

use crate::compose::option_tags;
use crate::response::Reply;

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    /// Seconds between two refreshes.
    pub(super) interval: u32,
    /// Whether the refreshes are ours to send.
    pub(super) ours: bool,
    /// Whether the peer knows of session timers.
    peer_knows: bool,
}

/// Bounds on the interval in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) min: u32,
    pub(super) max: u32,
}

/// The answer to a request that sets up or refreshes the session, or the 422 it gets (RFC 4028 §9).
/// Without Session-Expires there is no timer: sessions in which nothing happens are ended all the same.
pub(super) fn negotiate(request: &Message, bounds: Bounds) -> Result<Option<Agreed>, Reply> {
    let Some(field) = request.header("Session-Expires") else {
        return Ok(None);
    };
    let value = field.text().into_owned();
    let mut parts = value.split(';');
    let wish = parts.next().and_then(delta_seconds);
    let Some(wish) = wish else {
        return Err(Reply::because(400, "Bad Session-Expires"));
    };
    let peer_knows = knows(request);
    if wish < bounds.min && peer_knows {
        return Err(Reply::new(422).with("Min-SE", bounds.min.to_string()));
    }
    let refresher = parts
        .filter_map(|part| part.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"))
        .map(|(_, who)| who.trim().to_ascii_lowercase());
    let least = request
        .header("Min-SE")
        .and_then(|field| delta_seconds(field.text().split(';').next().unwrap_or_default()))
        .unwrap_or(0);
    Ok(Some(Agreed {
        interval: wish.min(bounds.max.max(least)).max(1),
        // Table 2: who does not know of timers cannot refresh.
        ours: !peer_knows || refresher.as_deref() == Some("uas"),
        peer_knows,
    }))
}

/// Whether the sender of a request knows of session timers.
fn knows(request: &Message) -> bool {
    ["Supported", "Require"]
        .iter()
        .flat_map(|name| option_tags(request, name))
        .any(|tag| tag.eq_ignore_ascii_case("timer"))
}

fn delta_seconds(text: &str) -> Option<u32> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    // Beyond 32 bits is beyond every bound.
    is_number.then(|| text.parse().unwrap_or(u32::MAX))
}

impl Agreed {
    /// Adds what was agreed on to a 2xx.
    pub(super) fn announce(self, reply: Reply) -> Reply {
        let who = if self.ours { "uas" } else { "uac" };
        let reply = reply.with(
            "Session-Expires",
            format!("{};refresher={who}", self.interval),
        );
        if self.peer_knows && !self.ours {
            reply.with("Require", "timer")
        } else {
            reply
        }
    }

    /// Seconds after a refresh at which the session is over: a peer's refresh is late then, ours too
    /// (RFC 4028 §10).
    pub(super) fn patience(self) -> u32 {
        self.interval - (self.interval / 3).min(32)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use imspec_wire::sip::Builder;

    use super::*;

    fn agreed(fields: &[(&str, &str)]) -> Result<Option<(u32, bool)>, u16> {
        let mut builder = Builder::request("INVITE", "sip:bob@example.org");
        for (name, value) in fields {
            builder = builder.header(name, value);
        }
        let bounds = Bounds { min: 90, max: 1800 };
        negotiate(&builder.build().unwrap(), bounds)
            .map(|agreed| agreed.map(|agreed| (agreed.interval, agreed.ours)))
            .map_err(|reply| reply.status())
    }

    #[test]
    fn the_interval_is_within_bounds_and_somebody_refreshes() {
        let timer = ("Supported", "100rel, timer");
        assert_eq!(agreed(&[timer]), Ok(None));
        assert_eq!(agreed(&[timer, ("x", "600")]), Ok(Some((600, false))));
        let ours = ("Session-Expires", "600;refresher=uas");
        assert_eq!(agreed(&[timer, ours]), Ok(Some((600, true))));
        assert_eq!(agreed(&[("x", "600;refresher=uac")]), Ok(Some((600, true))));
        assert_eq!(
            agreed(&[timer, ("x", "9999999999")]),
            Ok(Some((1800, false)))
        );
        let least = ("Min-SE", "3600");
        assert_eq!(
            agreed(&[timer, ("x", "7200"), least]),
            Ok(Some((3600, false)))
        );
    }

    #[test]
    fn too_short_an_interval_is_refused_where_that_is_understood() {
        assert_eq!(agreed(&[("k", "timer"), ("x", "89")]), Err(422));
        assert_eq!(agreed(&[("x", "60")]), Ok(Some((60, true))));
        assert_eq!(agreed(&[("k", "timer"), ("x", "soon")]), Err(400));
    }
}
