//! Datagrams: one each message.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use imspec_wire::sip::{Limits, Message};
use socket2::{Domain, Socket, Type};
use tokio::net::UdpSocket;

use super::{Flow, Inbox, Incoming, Protocol};

/// What the system holds for us while we are busy; senders come in bursts.
const RECEIVE_BUFFER: usize = 4 * 1024 * 1024;

pub(super) fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    if address.is_ipv6() {
        // One family a socket, so that a peer's address has one spelling.
        socket.set_only_v6(true)?;
    }
    // The system may grant less; that is no reason not to start.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    UdpSocket::from_std(socket.into())
}

pub(super) async fn receive(
    local: SocketAddr,
    socket: Arc<UdpSocket>,
    limits: Limits,
    inbox: Arc<dyn Inbox>,
) {
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, remote) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                // Often the echo of a datagram that nobody took; the socket itself is well.
                tracing::debug!(%local, %error, "receiving a datagram failed");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let octets = buffer.get(..length).unwrap_or_default();
        if octets
            .iter()
            .all(|octet| matches!(octet, b'\r' | b'\n' | 0))
        {
            // A keep-alive.
            continue;
        }
        match Message::parse_with(Bytes::copy_from_slice(octets), &limits) {
            Ok(message) => {
                let flow = Flow {
                    protocol: Protocol::Udp,
                    local,
                    remote,
                };
                inbox.receive(Incoming {
                    message,
                    flow,
                    broken: false,
                });
            }
            Err(error) => {
                tracing::debug!(%remote, length, %error, "dropped a datagram that is not SIP");
            }
        }
    }
}
