//! A peer over loopback that brings callers together: it knows who registered where, passes INVITE, CANCEL
//! and the ACK of a refusal on, and their responses back. Whatever follows goes between the two directly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use imspec_wire::sip::typed::{Contact, To, Via};
use imspec_wire::sip::{Builder, Message};
use tokio::net::UdpSocket;

/// What the switch does otherwise than a good proxy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Habit {
    /// Nothing.
    #[default]
    Good,
    /// Answers an INVITE with 180 and passes it to nobody.
    Holds,
    /// Passes each 2xx on twice.
    RepeatsAccept,
    /// Does not hear the first copy of an INVITE.
    Deaf,
    /// Adds to each 2xx to an INVITE another one, as if the INVITE had reached a second place as well.
    Forks,
    /// Opens connection after connection to the callee's MSRP listener before it passes the 2xx on.
    Floods,
    /// Puts the fingerprint of another certificate into each INVITE.
    Forges,
}

/// The switch; it ends with the test's runtime.
pub(super) struct Switch {
    pub(super) udp: SocketAddr,
}

struct Desk {
    socket: Arc<UdpSocket>,
    local: SocketAddr,
    habit: Habit,
    contacts: HashMap<String, String>,
    /// Held INVITEs, by the branch of their sender.
    held: HashMap<String, (Message, SocketAddr)>,
    heard: bool,
}

impl Switch {
    pub(super) async fn start(habit: Habit) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let local = socket.local_addr().unwrap();
        let mut desk = Desk {
            socket: Arc::clone(&socket),
            local,
            habit,
            contacts: HashMap::new(),
            held: HashMap::new(),
            heard: false,
        };
        tokio::spawn(async move {
            let mut buffer = vec![0; 65_536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Ok(message) = Message::parse(buffer[..length].to_vec()) {
                    desk.take(&message, from).await;
                }
            }
        });
        Self { udp: local }
    }
}

impl Desk {
    async fn take(&mut self, message: &Message, from: SocketAddr) {
        match message.method() {
            None => self.back(message).await,
            Some("REGISTER") => {
                if let Some(Ok(Contact::Address(contact))) = message.typed::<Contact>() {
                    self.contacts.insert(aor(message), contact.uri.to_string());
                }
                self.answer(message, 200, from).await;
            }
            Some("OPTIONS") => self.answer(message, 200, from).await,
            Some("INVITE") if self.habit == Habit::Holds => {
                self.answer(message, 180, from).await;
                self.held.insert(branch(message), (message.clone(), from));
            }
            Some("INVITE") if self.habit == Habit::Deaf && !self.heard => self.heard = true,
            Some("CANCEL") if self.habit == Habit::Holds => {
                self.answer(message, 200, from).await;
                if let Some((invite, from)) = self.held.remove(&branch(message)) {
                    self.answer(&invite, 487, from).await;
                }
            }
            Some("ACK") if is_fork(message) => {}
            Some("BYE") if is_fork(message) => self.answer(message, 200, from).await,
            Some("INVITE") if self.habit == Habit::Forges => {
                let text = String::from_utf8_lossy(message.octets()).into_owned();
                let (before, after) = text.split_once("a=fingerprint:SHA-256 ").unwrap();
                // Four octets of it: the right one begins with a single zero now and then.
                let forged = format!("{before}a=fingerprint:SHA-256 00:00:00:00{}", &after[11..]);
                let forged = Message::parse(forged).unwrap();
                self.onward(&forged).await;
            }
            Some(_) => self.onward(message).await,
        }
    }

    async fn answer(&self, request: &Message, status: u16, to: SocketAddr) {
        let answer = Builder::response_to(request, status, "Fine", Some("switch")).octets();
        self.socket.send_to(&answer, to).await.unwrap();
    }

    /// To the Contact of whom it is for, with a Via whose branch follows that of the sender: so CANCEL and ACK
    /// find the transaction of their INVITE.
    async fn onward(&self, request: &Message) {
        let Some(contact) = self.contacts.get(&aor(request)) else {
            return;
        };
        let mut builder = Builder::request(request.method().unwrap(), contact).header(
            "Via",
            format!("SIP/2.0/UDP {};branch={}s", self.local, branch(request)),
        );
        for field in request.headers() {
            builder = builder.header_line(field.line());
        }
        let octets = builder
            .content_length(imspec_wire::sip::ContentLength::Omit)
            .body(request.body_bytes())
            .octets();
        let address: SocketAddr = contact.split(['@', ';']).nth(1).unwrap().parse().unwrap();
        self.socket.send_to(&octets, address).await.unwrap();
    }

    async fn back(&self, response: &Message) {
        let mut vias = response.typed_all::<Via>().into_iter().flatten();
        let Some(next) = vias.nth(1) else { return };
        let address: SocketAddr = format!("{}:{}", next.host, next.port.unwrap())
            .parse()
            .unwrap();
        let line = response.start_line_range();
        let mut builder = Builder::start_line(&response.octets()[line]);
        for field in response.headers().skip(1) {
            builder = builder.header_line(field.line());
        }
        let octets: Bytes = builder
            .content_length(imspec_wire::sip::ContentLength::Omit)
            .body(response.body_bytes())
            .octets();
        let accepts = response.status() == Some(200)
            && response
                .header("CSeq")
                .is_some_and(|cseq| cseq.text().ends_with("INVITE"));
        if accepts && self.habit == Habit::Floods {
            flood(response).await;
        }
        self.socket.send_to(&octets, address).await.unwrap();
        if accepts && self.habit == Habit::RepeatsAccept {
            self.socket.send_to(&octets, address).await.unwrap();
        }
        if accepts && self.habit == Habit::Forks {
            let other = self.forked(&Message::parse(octets).unwrap());
            self.socket.send_to(&other, address).await.unwrap();
        }
    }
}

impl Desk {
    /// The 2xx of a second callee, who is here.
    fn forked(&self, accept: &Message) -> Vec<u8> {
        let tag = accept.typed::<To>().unwrap().unwrap();
        let tag = tag.tag().unwrap();
        let contact = accept.header("Contact").unwrap();
        String::from_utf8_lossy(accept.octets())
            .replace(&format!("tag={tag}"), "tag=fork")
            .replace(&*contact.text(), &format!("<sip:fork@{}>", self.local))
            .into_bytes()
    }
}

fn is_fork(request: &Message) -> bool {
    request
        .request_uri()
        .is_some_and(|uri| uri.starts_with(b"sip:fork@"))
}

/// Connects to where the SDP of a 2xx says until nobody takes a connection any more.
async fn flood(accept: &Message) {
    let sdp = String::from_utf8_lossy(accept.body()).into_owned();
    let place = sdp.split("msrp://").nth(1).unwrap();
    let place = place.split('/').next().unwrap();
    for _ in 0..10_000 {
        if tokio::net::TcpStream::connect(place).await.is_err() {
            return;
        }
    }
    panic!("the listener takes everybody");
}

fn aor(request: &Message) -> String {
    request.typed::<To>().unwrap().unwrap().uri.to_string()
}

fn branch(request: &Message) -> String {
    let via = request.typed::<Via>().unwrap().unwrap();
    via.branch().unwrap().to_owned()
}
