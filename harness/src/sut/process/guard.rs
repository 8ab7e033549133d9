//! A watcher for the case that the harness itself is killed: no destructor runs then, and the server would
//! be left behind.
//!
//! It is a shell that reads from a pipe which only the harness holds. When the harness ends, in whatever
//! way, the pipe closes, and the shell kills the server's process group.

use std::process::Stdio;

use tokio::process::{Child, ChildStdin, Command};

/// The watcher of one server; it ends with this handle.
#[derive(Debug)]
#[cfg_attr(not(test), expect(dead_code, reason = "held, not read"))]
pub(super) struct Guard {
    /// Dropped, and so killed, before the pipe closes: then the server is somebody else's to end.
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    /// Watches over a server; `None` where there is no shell, which costs this safety and nothing else.
    pub(super) fn over(server: &Child) -> Option<Self> {
        if !cfg!(unix) {
            return None;
        }
        let group = server.id()?;
        let mut command = Command::new("sh");
        command
            .args(["-c", "read -r _; kill -s KILL -- \"-$1\"", "imspec-guard"])
            .arg(group.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        // A Ctrl-C at the terminal is not meant for it.
        #[cfg(unix)]
        command.process_group(0);
        let mut shell = command.spawn().ok()?;
        let pipe = shell.stdin.take();
        Some(Self { shell, pipe })
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::os::unix::process::ExitStatusExt as _;

    use super::*;

    fn server() -> Child {
        Command::new("sleep")
            .arg("600")
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    #[tokio::test]
    async fn a_closed_pipe_kills_the_server() {
        let mut server = server();
        let mut guard = Guard::over(&server).unwrap();
        // What the kernel does when the harness is killed.
        guard.pipe = None;
        assert_eq!(server.wait().await.unwrap().signal(), Some(9));
    }

    #[tokio::test]
    async fn a_dropped_guard_does_not() {
        let mut server = server();
        let guard = Guard::over(&server).unwrap();
        let shell = guard.shell.id().unwrap();
        drop(guard);
        // Wait until the shell is gone (killed, perhaps not reaped), then the server must still be there.
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{shell}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z "))
        };
        while !gone() {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.try_wait().unwrap(), None);
    }
}
