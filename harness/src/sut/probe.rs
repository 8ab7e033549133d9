//! Is anybody there? One OPTIONS request (RFC 3261 §11), by hand and without a user agent, because nothing
//! of the harness should be in the way of the answer. Any SIP response is a yes.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use imspec_wire::sip::{Builder, Message};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::link::{Dialer, Piece, Transport};

/// Pause between two attempts.
const AGAIN: Duration = Duration::from_millis(200);
/// How every response begins.
const RESPONSE: &[u8] = b"SIP/2.0 ";

/// Asks `target` until it answers or the time is up; says why it is taken for unreachable then.
pub async fn reach(
    dialer: &Dialer,
    transport: Transport,
    target: SocketAddr,
    domain: &str,
    within: Duration,
) -> Result<(), String> {
    let deadline = Instant::now() + within;
    let mut last = String::from("no answer");
    while Instant::now() < deadline {
        let attempt = match transport {
            Transport::Udp => over_udp(dialer.bind(), target, domain, deadline).await,
            connected => by_connection(dialer, connected, target, domain, deadline).await,
        };
        match attempt {
            Ok(()) => return Ok(()),
            Err(why) => last = why,
        }
        sleep_until((Instant::now() + AGAIN).min(deadline)).await;
    }
    Err(last)
}

/// What is wrong, and what to check, where the reason of a probe tells both.
pub fn advised(why: &str) -> (&str, Option<&str>) {
    match why.rsplit_once(": ") {
        Some((what, advice))
            if ["check ", "name ", "have ", "the file "]
                .iter()
                .any(|word| advice.starts_with(word)) =>
        {
            (what, Some(advice.strip_prefix("check ").unwrap_or(advice)))
        }
        _ => (why, None),
    }
}

/// Waits until something takes TCP connections at `target`.
pub async fn accepts(target: SocketAddr, within: Duration) -> Result<(), String> {
    let deadline = Instant::now() + within;
    loop {
        match timeout_at(deadline, TcpStream::connect(target)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(refused)) if Instant::now() + AGAIN >= deadline => {
                return Err(refused.to_string());
            }
            Ok(Err(_)) => tokio::time::sleep(AGAIN).await,
            Err(_) => return Err("no connection in time".into()),
        }
    }
}

async fn over_udp(
    bind: IpAddr,
    target: SocketAddr,
    domain: &str,
    deadline: Instant,
) -> Result<(), String> {
    let failed = |e: std::io::Error| e.to_string();
    let socket = UdpSocket::bind(SocketAddr::new(bind, 0))
        .await
        .map_err(failed)?;
    // A connected socket hears at once that nobody listens there.
    socket.connect(target).await.map_err(failed)?;
    let local = socket.local_addr().map_err(failed)?;
    socket
        .send(&options(Transport::Udp, local, domain))
        .await
        .map_err(failed)?;
    let mut buffer = vec![0; 65_536];
    let until = deadline.min(Instant::now() + Duration::from_secs(1));
    loop {
        match timeout_at(until, socket.recv(&mut buffer)).await {
            Ok(Ok(length)) if is_response(&buffer[..length]) => return Ok(()),
            Ok(Ok(_)) => {}
            Ok(Err(refused)) => return Err(refused.to_string()),
            Err(_) => return Err("no answer".into()),
        }
    }
}

async fn by_connection(
    dialer: &Dialer,
    transport: Transport,
    target: SocketAddr,
    domain: &str,
    deadline: Instant,
) -> Result<(), String> {
    let attempt = async {
        let mut link = dialer.connect(transport, target).await?;
        link.writer
            .send(&options(transport, link.local, domain))
            .await?;
        let mut beginning = Vec::new();
        while beginning.len() < RESPONSE.len() {
            match link.reader.next().await {
                Ok(Some(Piece::Octets(octets) | Piece::Message(octets))) => {
                    beginning.extend_from_slice(&octets);
                }
                // Which of the two it is depends on whether the request was read before.
                Ok(None) | Err(None) => {
                    return Err("it closed the connection instead of an answer".to_owned());
                }
                Err(Some(why)) => return Err(why),
            }
        }
        Ok(beginning)
    };
    match timeout_at(deadline, attempt).await {
        Ok(Ok(beginning)) if beginning.starts_with(RESPONSE) => Ok(()),
        Ok(Ok(_)) => Err("what answers there does not speak SIP".into()),
        Ok(Err(failed)) => Err(failed),
        Err(_) => Err("no answer".into()),
    }
}

fn options(transport: Transport, local: SocketAddr, domain: &str) -> bytes::Bytes {
    let token = format!("{:016x}", fastrand::u64(..));
    let via = format!(
        "SIP/2.0/{} {local};branch=z9hG4bK{token};rport",
        transport.via_name()
    );
    Builder::request("OPTIONS", format!("sip:{domain}"))
        .header("Via", via)
        .header("Max-Forwards", "70")
        .header("From", format!("<sip:imspec@{domain}>;tag={token}"))
        .header("To", format!("<sip:{domain}>"))
        .header("Call-ID", &token)
        .header("CSeq", "1 OPTIONS")
        .octets()
}

fn is_response(octets: &[u8]) -> bool {
    Message::parse(bytes::Bytes::copy_from_slice(octets)).is_ok_and(|message| !message.is_request())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn any_response_will_do() {
        let server = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
        let target = server.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            let request = Message::parse(buffer[..length].to_vec()).unwrap();
            server.send_to(b"no SIP at all", from).await.unwrap();
            let answer =
                Builder::response_to(&request, 405, "Method Not Allowed", Some("x")).octets();
            server.send_to(&answer, from).await.unwrap();
        });
        reach(
            &Dialer::plain(LOOPBACK),
            Transport::Udp,
            target,
            "example.org",
            Duration::from_secs(10),
        )
        .await
        .unwrap();
        answering.await.unwrap();
    }

    #[test]
    fn advice_is_told_apart_from_what_is_wrong() {
        let why = "the certificate of x is for a, not for b: check `pixit.target`";
        let told = (
            "the certificate of x is for a, not for b",
            Some("`pixit.target`"),
        );
        assert_eq!(advised(why), told);
        let why = "no connection to 127.0.0.1:9: Connection refused (os error 111)";
        assert_eq!(advised(why), (why, None));
    }

    #[tokio::test]
    async fn nobody_there_is_said() {
        let free = std::net::TcpListener::bind((LOOPBACK, 0))
            .unwrap()
            .local_addr()
            .unwrap();
        for transport in [Transport::Udp, Transport::Tcp] {
            let why = reach(
                &Dialer::plain(LOOPBACK),
                transport,
                free,
                "example.org",
                Duration::from_millis(50),
            )
            .await
            .unwrap_err();
            assert!(!why.is_empty());
        }
    }
}
