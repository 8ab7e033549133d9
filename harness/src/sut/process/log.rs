//! What a server prints: drained at all times, so that it never blocks on a full pipe; the last lines in
//! memory, the rest in a file, both bounded.

use std::collections::VecDeque;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::{broadcast, watch};

/// Lines kept in memory.
const LINES: usize = 40;
/// Longest line that is kept whole.
const LINE: usize = 2000;
/// Most octets that the file takes.
const FILE: u64 = 32 * 1024 * 1024;

/// The output of a server, over all its starts.
#[derive(Debug)]
pub(super) struct Log {
    kept: Mutex<Kept>,
    lines: broadcast::Sender<String>,
    /// Streams that are still open.
    open: watch::Sender<usize>,
    /// What is not shown to anybody.
    secrets: Vec<String>,
}

#[derive(Debug)]
struct Kept {
    tail: VecDeque<String>,
    file: Option<std::fs::File>,
    written: u64,
}

impl Log {
    /// What goes into that file. `secrets` are not told with the last lines.
    pub(super) fn new(path: &Path, secrets: Vec<String>) -> Self {
        let kept = Kept {
            tail: VecDeque::new(),
            file: std::fs::File::create(path).ok(),
            written: 0,
        };
        Self {
            kept: Mutex::new(kept),
            lines: broadcast::Sender::new(256),
            open: watch::Sender::new(0),
            secrets,
        }
    }

    /// The lines to come.
    pub(super) fn lines(&self) -> broadcast::Receiver<String> {
        self.lines.subscribe()
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.tail.is_empty() {
            return "(it printed nothing)".into();
        }
        let lines: Vec<_> = kept.tail.iter().map(String::as_str).collect();
        let shown = |text: String, secret: &String| text.replace(secret, "***");
        self.secrets.iter().fold(lines.join("\n"), shown)
    }

    /// Reads a stream to its end, in a task of its own.
    pub(super) fn drain(self: &Arc<Self>, stream: Option<impl AsyncRead + Unpin + Send + 'static>) {
        let Some(mut stream) = stream else { return };
        let log = Arc::clone(self);
        log.open.send_modify(|open| *open += 1);
        tokio::spawn(async move {
            let mut line = Vec::new();
            let mut buffer = vec![0; 8192];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                for &octet in &buffer[..length] {
                    if octet == b'\n' {
                        log.keep(&line);
                        line.clear();
                    } else if line.len() < LINE {
                        line.push(octet);
                    }
                }
            }
            if !line.is_empty() {
                log.keep(&line);
            }
            log.open.send_modify(|open| *open -= 1);
        });
    }

    /// Waits until all streams ended, so that the last words are in; not for long, since a child that the
    /// server left behind may hold them open.
    pub(super) async fn settle(&self) {
        let mut open = self.open.subscribe();
        let _ = tokio::time::timeout(Duration::from_millis(500), open.wait_for(|open| *open == 0))
            .await;
    }

    fn keep(&self, line: &[u8]) {
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.written < FILE {
            kept.written += line.len() as u64 + 1;
            if let Some(file) = &mut kept.file {
                // A full disk must not end the run.
                let _ = writeln!(file, "{line}");
            }
        }
        if kept.tail.len() == LINES {
            kept.tail.pop_front();
        }
        kept.tail.push_back(line.clone());
        drop(kept);
        let _ = self.lines.send(line);
    }
}
