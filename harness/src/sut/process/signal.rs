//! Signals to a server and everything that it started.

use tokio::process::Child;

/// The process group of a server. What is left of it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Group {
    #[cfg(unix)]
    leader: Option<rustix::process::Pid>,
}

#[cfg(unix)]
impl Group {
    pub(super) fn of(child: &Child) -> Self {
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(rustix::process::Pid::from_raw);
        Self { leader }
    }

    /// SIGTERM to the leader alone: a server ends its own children.
    pub(super) fn ask_to_end(&self) {
        if let Some(leader) = self.leader {
            let _ = rustix::process::kill_process(leader, rustix::process::Signal::TERM);
        }
    }

    /// SIGKILL to all.
    pub(super) fn kill(&self) {
        if let Some(leader) = self.leader {
            // Fails when nobody is left, which is what is wanted.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

#[cfg(not(unix))]
impl Group {
    pub(super) fn of(_: &Child) -> Self {
        Self {}
    }

    pub(super) fn ask_to_end(&self) {}

    pub(super) fn kill(&self) {}
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}
