//! What the end-to-end tests share: the real binary in a folder of its own, a reference server, and a
//! relay that breaks messages on their way to it.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    reason = "tests; each test file uses a part"
)]

#[path = "support/fake.rs"]
pub mod fake;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder that goes with the test, and the binary run in it.
pub struct Bench {
    folder: tempfile::TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Bench {
    pub fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// The record of the last run with `--out out`.
    pub fn record(&self) -> Value {
        serde_json::from_str(&self.read("out/run.json")).unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imspec"));
        command
            .args(args)
            .current_dir(self.folder.path())
            .env("NO_COLOR", "1")
            .env_remove("COLUMNS")
            .env_remove("IMSPEC_LOG");
        command
    }

    pub fn imspec(&self, args: &[&str]) -> Ended {
        self.command(args).output().unwrap().into()
    }

    /// A black-box profile of a server that is already there: no store, no clock, a fixed policy. The control
    /// API only makes the accounts.
    pub fn black_box(&self, sip: SocketAddr, control: Option<SocketAddr>, pics: &str) -> PathBuf {
        let (accounts, policy) = match control {
            Some(at) => (
                "control",
                format!("{{ control: {{ url: \"http://{at}\", settable: [] }} }}"),
            ),
            None => ("none", "fixed".to_owned()),
        };
        let text = format!(
            "name: black-box\nsut: {{ product: somebody's server }}\npixit:\n  target: {{ udp: \"{sip}\" }}\n  domain: example.org\n  accounts: {{ provision: {accounts} }}\n  timers: {{ t1: 100ms, answer: 6s, delivery: 2s, quiet: 100ms }}\npics: {{ accept.status: 202{pics} }}\nadapters:\n  store: none\n  clock: real\n  policy: {policy}\n  process: attach\n"
        );
        self.write("profile.yaml", &text)
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ended {
    /// The status, with everything that was printed if it is another.
    pub fn expect(self, status: i32) -> Self {
        assert_eq!(
            self.status, status,
            "stdout:\n{}\nstderr:\n{}",
            self.stdout, self.stderr
        );
        self
    }
}

/// The reference server as a process of its own, killed with the test.
pub struct Server {
    child: Child,
    ready: Value,
    pub udp: SocketAddr,
    pub control: SocketAddr,
}

impl Server {
    /// On free ports, with further configuration.
    pub fn start(bench: &Bench, more: &str) -> Self {
        Self::listening(bench, &[], more)
    }

    /// The same, also over these transports.
    pub fn listening(bench: &Bench, transports: &[&str], more: &str) -> Self {
        let listen = ["udp", "tcp"].iter().chain(transports);
        let listen: Vec<String> = listen
            .map(|transport| format!("{transport}: [\"127.0.0.1:0\"]"))
            .collect();
        let listen = listen.join(", ");
        let config = format!(
            "listen: {{ {listen} }}\ncontrol: \"127.0.0.1:0\"\nstore: {{ path: \"{}\" }}\n{more}",
            bench.path("server.db").display()
        );
        let config = bench.write("server.yaml", &config);
        let mut child = bench
            .command(&["serve", "--config", config.to_str().unwrap()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value =
            serde_json::from_str(&line).unwrap_or_else(|why| panic!("{why}: {line:?}"));
        Self {
            child,
            udp: ready["udp"][0].as_str().unwrap().parse().unwrap(),
            control: ready["control"].as_str().unwrap().parse().unwrap(),
            ready,
        }
    }

    /// Where it listens for a transport.
    pub fn at(&self, transport: &str) -> SocketAddr {
        self.ready[transport][0].as_str().unwrap().parse().unwrap()
    }

    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Takes datagrams for a server, changes them, and passes them on; answers go back unchanged.
pub struct Relay {
    pub at: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Relay {
    pub fn start(
        server: SocketAddr,
        mut change: impl FnMut(Vec<u8>) -> Vec<u8> + Send + 'static,
    ) -> Self {
        const TICK: Duration = Duration::from_millis(20);
        let front = UdpSocket::bind("127.0.0.1:0").unwrap();
        front.set_read_timeout(Some(TICK)).unwrap();
        let at = front.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut backs: HashMap<SocketAddr, UdpSocket> = HashMap::new();
            let mut returns = Vec::new();
            let mut octets = vec![0; 65536];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, client)) = front.recv_from(&mut octets) else {
                    continue;
                };
                let back = backs.entry(client).or_insert_with(|| {
                    let back = UdpSocket::bind("127.0.0.1:0").unwrap();
                    back.set_read_timeout(Some(TICK)).unwrap();
                    let (from, to) = (back.try_clone().unwrap(), front.try_clone().unwrap());
                    let stopped = Arc::clone(&stopped);
                    returns.push(thread::spawn(move || {
                        let mut octets = vec![0; 65536];
                        while !stopped.load(Ordering::Relaxed) {
                            if let Ok(length) = from.recv(&mut octets) {
                                let _ = to.send_to(&octets[..length], client);
                            }
                        }
                    }));
                    back
                });
                let _ = back.send_to(&change(octets[..length].to_vec()), server);
            }
            for one in returns {
                let _ = one.join();
            }
        });
        Self {
            at,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes every header field of that name.
pub fn without_header(octets: Vec<u8>, name: &str) -> Vec<u8> {
    let Ok(text) = String::from_utf8(octets.clone()) else {
        return octets;
    };
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return octets;
    };
    let prefix = format!("{}:", name.to_ascii_lowercase());
    let kept: Vec<&str> = head
        .split("\r\n")
        .filter(|line| !line.to_ascii_lowercase().starts_with(&prefix))
        .collect();
    format!("{}\r\n\r\n{body}", kept.join("\r\n")).into_bytes()
}

/// Waits until `holds`, at most a minute: the other tests may have the machine to themselves.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "waited a minute in vain until {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The body of a GET, `None` while nobody listens.
pub fn get(at: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(at).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// A port that was free for UDP and TCP a moment ago. It is below those that systems give to clients: the
/// whole suite, run by another test, takes thousands of these, and one of them may be ours the next moment.
pub fn free_port() -> u16 {
    for _ in 0..256 {
        let port = fastrand::u16(10_000..32_000);
        let at = SocketAddr::from(([127, 0, 0, 1], port));
        if TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok() {
            return port;
        }
    }
    panic!("256 ports of 22,000, and none is free");
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
