//! The UDP socket of a device.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Core, Inbox, Way};

/// Largest datagram.
const DATAGRAM: usize = 65_535;

/// Reads for as long as the socket lives.
pub(super) async fn read(core: Arc<Core>, inbox: Inbox) {
    let Some(socket) = &core.udp else { return };
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        // Memory is taken only once something has arrived: hundreds of sockets wait at the same time.
        let mut buffer = BytesMut::with_capacity(DATAGRAM);
        match socket.try_recv_buf_from(&mut buffer) {
            // Copied, so that a short message does not hold a long buffer for as long as the trace lives.
            Ok((_, remote)) => {
                inbox.take(&core, &Way::Udp(remote), &Bytes::copy_from_slice(&buffer));
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            // An ICMP error about an earlier datagram: the transaction's time-out will tell.
            Err(_) => tokio::task::yield_now().await,
        }
    }
}
