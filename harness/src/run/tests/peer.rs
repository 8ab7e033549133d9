//! A peer over loopback: a registrar that stores and forwards, with the oddities that a test asks for.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use imspec_wire::sip::typed::{Contact, To};
use imspec_wire::sip::{Builder, Frame, Limits, Message, StreamDecoder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// What no SIP stack can read.
pub(super) const GARBAGE: &[u8] = b"\x00\xff garbage\r\n\r\n";

/// What the peer does otherwise than a good server.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a quirk of its own")]
pub(super) struct Quirks {
    /// Does not hear that many MESSAGE requests.
    pub(super) deaf: usize,
    /// Repeats each delivery once it was answered, as if the answer had been lost (UDP only).
    pub(super) deliver_twice: bool,
    /// Delivers the newest message first.
    pub(super) newest_first: bool,
    /// Turns the body around.
    pub(super) mangle: bool,
    /// Sends garbage before each delivery.
    pub(super) garbage: bool,
    /// Accepts a message whose body begins with `late` at once, and has it so much later: others overtake it.
    pub(super) late: Duration,
    /// A folder in which it shows what is stored: a file for each user part, a line for each message.
    pub(super) shown: Option<PathBuf>,
}

/// The peer; it ends with the test's runtime.
pub(super) struct Peer {
    pub(super) udp: SocketAddr,
    pub(super) tcp: SocketAddr,
}

#[derive(Default)]
struct Books {
    quirks: Quirks,
    stored: HashMap<String, Vec<Bytes>>,
    /// The last contact of whom is online.
    bound: HashMap<String, String>,
    seen: HashMap<String, Bytes>,
    /// Deliveries to be repeated when their answer comes, by Call-ID.
    again: HashMap<String, (SocketAddr, Bytes)>,
}

/// Octets, and where they go: back, or to a Contact.
enum Out {
    Back(Bytes),
    Later {
        to: String,
        body: Bytes,
    },
    To {
        address: SocketAddr,
        tcp: bool,
        octets: Bytes,
    },
}

impl Peer {
    pub(super) async fn start(quirks: Quirks) -> Self {
        let books = Arc::new(Mutex::new(Books {
            quirks,
            ..Books::default()
        }));
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = Self {
            udp: socket.local_addr().unwrap(),
            tcp: listener.local_addr().unwrap(),
        };
        tokio::spawn(datagrams(Arc::clone(&socket), Arc::clone(&books)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&socket), Arc::clone(&books)));
            }
        });
        peer
    }
}

async fn datagrams(socket: Arc<UdpSocket>, books: Arc<Mutex<Books>>) {
    let mut buffer = vec![0; 65_536];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let Ok(message) = Message::parse(buffer[..length].to_vec()) else {
            continue;
        };
        let outs = books.lock().unwrap().take(&message);
        for out in outs {
            match out {
                Out::Back(octets) => drop(socket.send_to(&octets, from).await),
                Out::Later { to, body } => {
                    let (socket, books) = (Arc::clone(&socket), Arc::clone(&books));
                    tokio::spawn(async move {
                        let after = books.lock().unwrap().quirks.late;
                        tokio::time::sleep(after).await;
                        let outs = books.lock().unwrap().arrived(&to, body);
                        for out in outs {
                            forward(&socket, out).await;
                        }
                    });
                }
                to @ Out::To { .. } => forward(&socket, to).await,
            }
        }
    }
}

async fn serve(mut stream: TcpStream, socket: Arc<UdpSocket>, books: Arc<Mutex<Books>>) {
    let mut decoder = StreamDecoder::new(Limits::default());
    let mut buffer = vec![0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        decoder.push(&buffer[..length]);
        while let Ok(Some(frame)) = decoder.next_frame() {
            let Frame::Message(message) = frame else {
                continue;
            };
            let outs = books.lock().unwrap().take(&message);
            for out in outs {
                match out {
                    Out::Back(octets) => drop(stream.write_all(&octets).await),
                    Out::Later { .. } => {}
                    to @ Out::To { .. } => forward(&socket, to).await,
                }
            }
        }
    }
}

async fn forward(socket: &UdpSocket, out: Out) {
    let Out::To {
        address,
        tcp,
        octets,
    } = out
    else {
        return;
    };
    if !tcp {
        let _ = socket.send_to(&octets, address).await;
    } else if let Ok(mut stream) = TcpStream::connect(address).await {
        let _ = stream.write_all(&octets).await;
        // The answer is read and forgotten; the other side may close at any time.
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(1..) = stream.read(&mut buffer).await {}
        });
    }
}

impl Books {
    fn take(&mut self, request: &Message) -> Vec<Out> {
        let Some(method) = request.method() else {
            let call_id = request
                .header("Call-ID")
                .map(|id| id.text().into_owned())
                .unwrap_or_default();
            let again = self.again.remove(&call_id);
            return again
                .map(|(address, octets)| Out::To {
                    address,
                    tcp: false,
                    octets,
                })
                .into_iter()
                .collect();
        };
        if method == "MESSAGE" && self.quirks.deaf > 0 {
            self.quirks.deaf -= 1;
            return Vec::new();
        }
        let via = request
            .header("Via")
            .map(|via| via.text().into_owned())
            .unwrap_or_default();
        if let Some(answer) = self.seen.get(&via) {
            return vec![Out::Back(answer.clone())];
        }
        let to = request.typed::<To>().unwrap().unwrap().uri.to_string();
        let (status, deliveries) = match method {
            "MESSAGE" if request.body().starts_with(b"late") => {
                let body = Bytes::copy_from_slice(request.body());
                (202, vec![Out::Later { to, body }])
            }
            "MESSAGE" => {
                self.stored
                    .entry(to)
                    .or_default()
                    .push(Bytes::copy_from_slice(request.body()));
                (202, Vec::new())
            }
            "REGISTER" => (200, self.deliveries(request, &to)),
            _ => (200, Vec::new()),
        };
        let answer = Builder::response_to(request, status, "Fine", Some("peer")).octets();
        self.seen.insert(via, answer.clone());
        std::iter::once(Out::Back(answer))
            .chain(deliveries)
            .collect()
    }

    /// What came late is stored, or goes to whom is online by now.
    fn arrived(&mut self, to: &str, body: Bytes) -> Vec<Out> {
        self.stored.entry(to.to_owned()).or_default().push(body);
        self.show(to);
        match self.bound.get(to).cloned() {
            Some(contact) => self.deliver(&contact, to),
            None => Vec::new(),
        }
    }

    fn deliveries(&mut self, register: &Message, to: &str) -> Vec<Out> {
        let ends = register
            .header("Expires")
            .is_some_and(|expires| expires.text() == "0");
        self.bound.remove(to);
        let Some(Ok(Contact::Address(contact))) = register.typed::<Contact>() else {
            return Vec::new();
        };
        let contact = contact.uri.to_string();
        if ends {
            return Vec::new();
        }
        self.bound.insert(to.to_owned(), contact.clone());
        self.deliver(&contact, to)
    }

    /// Shows what is stored for somebody.
    fn show(&self, to: &str) {
        let Some(folder) = &self.quirks.shown else {
            return;
        };
        let user = to.trim_start_matches("sip:").split('@').next().unwrap();
        let stored = self.stored.get(to).map_or(0, Vec::len);
        std::fs::write(folder.join(user), "{}\n".repeat(stored)).unwrap();
    }

    fn deliver(&mut self, contact: &str, to: &str) -> Vec<Out> {
        let tcp = contact.contains("transport=tcp");
        let address = contact.split(['@', ';']).nth(1).unwrap().parse().unwrap();
        let mut bodies = self.stored.remove(to).unwrap_or_default();
        self.show(to);
        if self.quirks.newest_first {
            bodies.reverse();
        }
        let mut outs = Vec::new();
        for body in bodies {
            let body: Bytes = if self.quirks.mangle {
                body.chunks(4)
                    .flat_map(|part| part.iter().rev().copied())
                    .collect()
            } else {
                body
            };
            let id = format!("{:x}", fastrand::u64(..));
            let octets = Builder::request("MESSAGE", contact)
                .header(
                    "Via",
                    format!(
                        "SIP/2.0/{} 127.0.0.1;branch=z9hG4bK{id};rport",
                        if tcp { "TCP" } else { "UDP" }
                    ),
                )
                .header("From", "<sip:peer@example.org>;tag=1")
                .header("To", format!("<{to}>"))
                .header("Call-ID", &id)
                .header("CSeq", "1 MESSAGE")
                .body(body)
                .octets();
            if self.quirks.garbage {
                outs.push(Out::To {
                    address,
                    tcp,
                    octets: Bytes::from_static(GARBAGE),
                });
            }
            if self.quirks.deliver_twice {
                self.again.insert(id, (address, octets.clone()));
            }
            outs.push(Out::To {
                address,
                tcp,
                octets,
            });
        }
        outs
    }
}
