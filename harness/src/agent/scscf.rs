//! The one address of an S-CSCF: an application server that knows a single next hop sends there what it has for any
//! user, in whatever case he is. Each request goes on to the agent of the user whom it names.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use imspec_wire::sip::Message;
use imspec_wire::sip::typed::{To, Uri};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::AbortHandle;

use super::endpoint::{self, Recipient, Way, datagrams};
use super::message;
use crate::link::{Dialer, Transport};
use crate::scenario::CaseUser;

/// Those that are open: servers that run side by side have one S-CSCF, as they have in an operator's core.
static OPEN: tokio::sync::Mutex<BTreeMap<SocketAddr, Weak<Scscf>>> =
    tokio::sync::Mutex::const_new(BTreeMap::new());

/// The address of an S-CSCF, which listens to UDP and TCP.
#[derive(Debug)]
pub struct Scscf {
    local: SocketAddr,
    users: Users,
    tasks: [AbortHandle; 2],
}

/// Who is there, by user part without escapes.
#[derive(Debug, Clone, Default)]
struct Users(Arc<Mutex<HashMap<Vec<u8>, endpoint::Own>>>);

impl Scscf {
    /// Listens at this address, unless that is done already.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) async fn at(address: SocketAddr, dialer: &Dialer) -> Result<Arc<Self>, String> {
        let mut open = OPEN.lock().await;
        open.retain(|_, scscf| scscf.strong_count() > 0);
        if let Some(scscf) = open.get(&address).and_then(Weak::upgrade) {
            return Ok(scscf);
        }
        let failed = |e: std::io::Error| format!("no S-CSCF can listen at {address}: {e}");
        let socket = Arc::new(UdpSocket::bind(address).await.map_err(failed)?);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let users = Users::default();
        let own = Arc::clone(&socket);
        let way = move |remote| Way::Common(Arc::clone(&own), remote);
        let to = users.clone();
        let reading = tokio::spawn(async move { datagrams::read(&socket, way, &to).await });
        let taking = endpoint::accept(listener, Transport::Tcp, dialer.clone(), users.clone());
        let taking = tokio::spawn(taking);
        let scscf = Arc::new(Self {
            local: address,
            users,
            tasks: [reading.abort_handle(), taking.abort_handle()],
        });
        open.insert(address, Arc::downgrade(&scscf));
        Ok(scscf)
    }

    /// Its URI, for whoever speaks that transport.
    pub(super) fn uri(&self, transport: Transport) -> String {
        format!("sip:{}{}", self.local, transport.uri_parameter())
    }

    /// What comes for this user is for this agent from now on.
    pub(super) fn enroll(&self, user: &CaseUser, agent: endpoint::Own) {
        if let Some(name) = name_of(user) {
            self.users.lock().insert(name, agent);
        }
    }

    /// Nothing is for these users any more.
    pub(super) fn dismiss(&self, users: &[CaseUser]) {
        let mut known = self.users.lock();
        for name in users.iter().filter_map(name_of) {
            known.remove(&name);
        }
    }
}

impl Drop for Scscf {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Users {
    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<u8>, endpoint::Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recipient for Users {
    fn take(&self, way: &Way, octets: &Bytes) {
        // What is no SIP has no user, and no case that it would be evidence in.
        let Ok(message) = Message::parse(octets.clone()) else {
            return;
        };
        let agent = named(&message).and_then(|user| self.lock().get(&user).cloned());
        if let Some(agent) = agent {
            return agent.take(way, octets);
        }
        // A delivery to a user of an earlier case: as an agent does it, unjudged.
        if message.method().is_some_and(|method| method != "ACK") {
            let answer = message::answer(&message, 404, &[], way.remote());
            let way = way.clone();
            tokio::spawn(async move { way.send(None, &answer).await });
        }
    }

    fn remark(&self, _: String) {}
}

/// The user part that a request is for: that of the Request-URI, or of To, where the server put our Contact there.
fn named(request: &Message) -> Option<Vec<u8>> {
    let user = |uri: &Uri| uri.as_sip()?.user_decoded();
    let uri = Uri::parse(request.request_uri()?).ok();
    let to = || request.typed::<To>()?.ok();
    uri.as_ref().and_then(user).or_else(|| user(&to()?.uri))
}

fn name_of(user: &CaseUser) -> Option<Vec<u8>> {
    let uri = Uri::parse(user.uri().as_bytes()).ok()?;
    uri.as_sip()?.user_decoded()
}
