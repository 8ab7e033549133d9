//! What the place of an agent adds to the requests that it begins: the Route that leads to the server, the
//! identity that a trusted side asserts, and the REGISTER that an S-CSCF sends for a user.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{NameAddr, ServiceRoute};

use super::{Agents, Endpoint};
use crate::scenario::CaseUser;
use crate::sut::profile::{Registration, Standing};

/// Routes that registrars have given to users (RFC 3608 §5).
#[derive(Debug, Default)]
pub(super) struct ServiceRoutes(Mutex<HashMap<String, Vec<String>>>);

impl ServiceRoutes {
    /// Learns from the answer to a REGISTER: each 2xx says all of it anew.
    pub(super) fn learn(&self, user: &str, response: &Message) {
        if !matches!(response.status(), Some(200..300)) {
            return;
        }
        let values = response.typed_all::<ServiceRoute>().into_iter().flatten();
        let route = values.map(|hop| hop.to_string()).collect();
        let mut routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.insert(user.to_owned(), route);
    }

    fn of(&self, user: &str) -> Vec<String> {
        let routes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        routes.get(user).cloned().unwrap_or_default()
    }
}

impl Agents {
    /// How they stand to the server.
    pub fn standing(&self) -> &Standing {
        &self.shared.surroundings.standing
    }

    /// Header fields of a request that begins a dialog or stands alone: Route (RFC 3261 §8.1.2), and the sender's
    /// identity where `asserts` says that it is wanted and the agents may (RFC 3325 §5).
    pub fn opening(
        &self,
        endpoint: &Endpoint,
        user: &CaseUser,
        asserts: bool,
    ) -> Vec<(&'static str, String)> {
        let standing = self.standing();
        let service = self.shared.service_routes.of(&user.role);
        let hop = standing.leads().then(|| endpoint.first_route());
        let mut fields: Vec<_> = with_service_route(hop, service)
            .into_iter()
            .map(|route| ("Route", route))
            .collect();
        if standing.trusted && asserts {
            fields.push(("P-Asserted-Identity", format!("<{}>", user.uri())));
        }
        fields
    }

    /// Header fields of a REGISTER: the way to the registrar, and that a Path would be understood (RFC 3327 §5.1).
    pub fn registering(&self, endpoint: &Endpoint) -> Vec<(&'static str, String)> {
        if !self.standing().proxied {
            return Vec::new();
        }
        vec![
            ("Route", endpoint.first_route()),
            ("Supported", "path".to_owned()),
        ]
    }

    /// Request-URI and own URI of an S-CSCF that registers users, where that is what the agents do.
    pub fn as_core(&self, endpoint: &Endpoint) -> Option<(String, String)> {
        let Registration::ThirdParty { server, .. } = &self.standing().registration else {
            return None;
        };
        let server = server.clone().unwrap_or_else(|| endpoint.server());
        let core = match &self.shared.surroundings.scscf {
            Some(scscf) => scscf.uri(endpoint.place().transport),
            None => endpoint.core(),
        };
        Some((server, core))
    }
}

/// The Route of a request: the next hop, then the Service-Route. A proxy that put itself there is not passed twice.
fn with_service_route(hop: Option<String>, service: Vec<String>) -> Vec<String> {
    let Some(hop) = hop else {
        return service;
    };
    let place = |route: &str| {
        let route = NameAddr::parse(route.as_bytes()).ok()?;
        let sip = route.uri.as_sip()?;
        Some((sip.host.to_string(), sip.port.unwrap_or(5060)))
    };
    let is_first = service
        .first()
        .is_some_and(|first| place(first) == place(&hop));
    if is_first {
        service
    } else {
        [vec![hop], service].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(hop: Option<&str>, service: &[&str]) -> Vec<String> {
        let service = service.iter().map(ToString::to_string).collect();
        with_service_route(hop.map(str::to_owned), service)
    }

    #[test]
    fn the_service_route_follows_the_next_hop_and_names_it_once() {
        let hop = "<sip:192.0.2.1:5080;lr>";
        assert_eq!(route(None, &[]), [""; 0]);
        assert_eq!(route(Some(hop), &[]), [hop]);
        assert_eq!(
            route(Some(hop), &["<sip:scscf.example.org;lr>"]),
            [hop, "<sip:scscf.example.org;lr>"]
        );
        let with_own = ["<sip:192.0.2.1:5080;lr;ob>", "<sip:scscf.example.org;lr>"];
        assert_eq!(route(Some(hop), &with_own), with_own);
        assert_eq!(
            route(None, &["<sip:scscf.example.org;lr>"]),
            ["<sip:scscf.example.org;lr>"]
        );
    }
}
