//! `registration`, `offline` and `side`: how the agents stand to the server.

use std::time::Duration;

use super::{Decoder, optional, required};
use crate::document::{Fields, Node};
use crate::sut::profile::{Offline, Registration, Standing};

impl Decoder<'_> {
    /// What `pixit` says of it; `proxied` where it names an outbound proxy.
    pub(super) fn standing(&mut self, pixit: &Fields<'_>, proxied: bool) -> Option<Standing> {
        let registration = match pixit.get("registration") {
            None => Registration::Register,
            Some(node) => self.registration(node)?,
        };
        let offline = match pixit.get("offline") {
            None => Offline::Deregister,
            Some(node) => self.offline(node)?,
        };
        // Who registers for others is no user agent.
        let by_core = matches!(registration, Registration::ThirdParty { .. });
        let trusted = match pixit.get("side") {
            None => by_core,
            Some(node) => self.choice(node, &[("user", false), ("trusted", true)])?,
        };
        Some(Standing {
            registration,
            offline,
            trusted,
            proxied,
        })
    }

    fn registration(&mut self, node: &Node) -> Option<Registration> {
        let ways = ["register", "third-party", "command"];
        if node.as_map().is_none() {
            let usual = Registration::ThirdParty {
                server: None,
                address: None,
            };
            let known = [("register", Registration::Register), ("third-party", usual)];
            return self.choice(node, &known);
        }
        match self.kind(node, "way to be online", &ways)? {
            ("third-party", Some(inner)) => {
                let keys = [optional("server"), optional("address")];
                let fields = self.fields("`third-party`", &inner.span, inner, &keys)?;
                let server = match fields.get("server") {
                    None => None,
                    Some(node) => Some(self.sip_uri(node)?),
                };
                let address = match fields.get("address") {
                    None => None,
                    Some(node) => Some(self.address(node)?),
                };
                Some(Registration::ThirdParty { server, address })
            }
            ("command", Some(inner)) => {
                let keys = [required("online"), required("offline")];
                let fields = self.fields("`command`", &inner.span, inner, &keys)?;
                let online = fields.get("online").and_then(|node| self.command(node));
                let offline = fields.get("offline").and_then(|node| self.command(node));
                Some(Registration::Command {
                    online: online?,
                    offline: offline?,
                })
            }
            _ => Some(Registration::Register),
        }
    }

    fn offline(&mut self, node: &Node) -> Option<Offline> {
        if node.as_map().is_none() {
            let second = Duration::from_secs(1);
            let known = [
                ("deregister", Offline::Deregister),
                ("lapse", Offline::Lapse(second)),
                ("silence", Offline::Silence),
            ];
            return self.choice(node, &known);
        }
        let fields = self.fields("`offline`", &node.span, node, &[required("lapse")])?;
        let lapse = fields.get("lapse")?;
        let after = self.duration(lapse)?;
        if after < Duration::from_secs(1) || after.subsec_nanos() != 0 {
            let title = "a registration lapses after whole seconds";
            self.wrong(&lapse.span, title, "such as `1s` or `60s`");
            return None;
        }
        Some(Offline::Lapse(after))
    }

    /// A `sip:` URI in which references may stand.
    fn sip_uri(&mut self, node: &Node) -> Option<String> {
        let text = self.filled(node)?;
        if !(text.starts_with("sip:") || text.starts_with("sips:")) {
            let title = format!("`{text}` is no SIP URI");
            self.wrong(&node.span, title, "such as `sip:as.example.org`");
            return None;
        }
        Some(text)
    }
}
