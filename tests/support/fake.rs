//! A server of a few lines, which answers as a test tells it to.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// A server that answers each datagram as it is told to.
pub struct Fake {
    pub at: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Fake {
    pub fn udp(mut answer: impl FnMut(&str) -> Vec<String> + Send + 'static) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let at = socket.local_addr().unwrap();
        Self::run(at, move || {
            let mut octets = vec![0; 65536];
            if let Ok((length, from)) = socket.recv_from(&mut octets) {
                let request = String::from_utf8_lossy(&octets[..length]).into_owned();
                for response in answer(&request) {
                    let _ = socket.send_to(response.as_bytes(), from);
                }
            }
        })
    }

    pub fn tcp(mut serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let at = listener.local_addr().unwrap();
        Self::run(at, move || match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                serve(stream);
            }
            Err(_) => thread::sleep(Duration::from_millis(5)),
        })
    }

    fn run(at: SocketAddr, mut turn: impl FnMut() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                turn();
            }
        });
        Self {
            at,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The answer to a request, with further header lines.
pub fn answer(request: &str, status: &str, more: &str) -> String {
    let mut text = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        let name = line.split(':').next().unwrap_or_default();
        if ["Via", "From", "Call-ID", "CSeq"].contains(&name) {
            text.push_str(line);
            text.push_str("\r\n");
        } else if name == "To" {
            let tag = if line.contains(";tag=") {
                ""
            } else {
                ";tag=fake"
            };
            let _ = write!(text, "{line}{tag}\r\n");
        }
    }
    text.push_str(more);
    text.push_str("Content-Length: 0\r\n\r\n");
    text
}

pub fn is(request: &str, method: &str) -> bool {
    request.starts_with(&format!("{method} "))
}

/// A server that takes everything, and brings nothing.
pub fn obliging(request: &str) -> Vec<String> {
    match request.split(' ').next().unwrap_or_default() {
        "REGISTER" => vec![answer(
            request,
            "200 OK",
            "Contact: <sip:x@127.0.0.1>;expires=600\r\n",
        )],
        "MESSAGE" => vec![answer(request, "202 Accepted", "")],
        _ => vec![answer(request, "200 OK", "Server: fake\r\n")],
    }
}
