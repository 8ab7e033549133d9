//! A UDP socket of agents.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use tokio::net::UdpSocket;

use super::{Recipient, Way};

/// Largest datagram.
const DATAGRAM: usize = 65_535;

/// Reads for as long as somebody wants it; `way` is that on which a datagram came from there.
pub(in crate::agent) async fn read(
    socket: &UdpSocket,
    way: impl Fn(SocketAddr) -> Way,
    to: &impl Recipient,
) {
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        // Memory is taken only once something has arrived: hundreds of sockets wait at the same time.
        let mut buffer = BytesMut::with_capacity(DATAGRAM);
        match socket.try_recv_buf_from(&mut buffer) {
            // Copied, so that a short message does not hold a long buffer for as long as the trace lives.
            Ok((_, remote)) => to.take(&way(remote), &Bytes::copy_from_slice(&buffer)),
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            // An ICMP error about an earlier datagram: the transaction's time-out will tell.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
