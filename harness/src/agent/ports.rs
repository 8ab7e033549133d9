//! Ports for agents: none twice while it can be helped. A server may still send to the agent of a case that is
//! over, and the next agent at that port would take it for its own.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::net::{TcpListener, UdpSocket};

/// Ports that are not given again at once; about half of those that Linux gives to clients.
const REMEMBERED: usize = 14_000;
/// Whole suites leave half of all client ports behind in TIME-WAIT, and the next may be one of them again.
const TRIES: usize = 256;

/// The ports that agents of this process had, oldest first. Ports belong to the machine, so one list is right.
static GIVEN: Mutex<VecDeque<u16>> = Mutex::new(VecDeque::new());

/// A listener for connections at a fresh port.
///
/// # Errors
/// What the system says when it gives no port.
pub(super) async fn listener(at: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = TRIES;
    loop {
        let listener = TcpListener::bind(at).await?;
        tries -= 1;
        if tries == 0 || is_fresh(listener.local_addr()?.port()) {
            return Ok(listener);
        }
    }
}

/// A socket for datagrams at a fresh port, and a listener at the TCP port of the same number. Who takes datagrams
/// must take connections there too (RFC 3261 §18.2.1): a server uses TCP for what is too large for a datagram
/// (§18.1.1).
///
/// # Errors
/// What the system says when it gives no port.
pub(super) async fn datagrams(at: SocketAddr) -> io::Result<(UdpSocket, TcpListener)> {
    let mut tries = TRIES;
    loop {
        let udp = UdpSocket::bind(at).await?;
        let here = udp.local_addr()?;
        tries -= 1;
        match TcpListener::bind(here).await {
            Ok(tcp) if tries == 0 || is_fresh(here.port()) => return Ok((udp, tcp)),
            Err(error) if tries == 0 => return Err(error),
            _ => {}
        }
    }
}

/// Whether nobody had the port lately; who asks has it from now on.
fn is_fresh(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    if given.contains(&port) {
        return false;
    }
    given.push_back(port);
    if given.len() > REMEMBERED {
        given.pop_front();
    }
    true
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn who_takes_datagrams_takes_connections_at_the_same_port() {
        for at in ["127.0.0.1:0", "[::1]:0"] {
            let (udp, tcp) = datagrams(at.parse().unwrap()).await.unwrap();
            let local = udp.local_addr().unwrap();
            assert_eq!(tcp.local_addr().unwrap(), local);
            assert!(TcpStream::connect(local).await.is_ok());
        }
    }

    #[tokio::test]
    async fn no_port_is_given_twice() {
        let at = "127.0.0.1:0".parse().unwrap();
        let mut ports = Vec::new();
        for _ in 0..300 {
            let (udp, tcp) = datagrams(at).await.unwrap();
            drop(tcp);
            ports.push(udp.local_addr().unwrap().port());
            ports.push(listener(at).await.unwrap().local_addr().unwrap().port());
        }
        let all = ports.len();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), all);
    }
}
