//! Tasks that end when the server stops.
//!
//! Everything that runs in the background is started here, so that nothing outlives the server and no
//! loop has to ask whether it is over.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

/// Starts tasks and stops them all.
#[derive(Debug, Clone)]
pub struct Tasks {
    stop: Arc<watch::Sender<bool>>,
    running: Arc<watch::Sender<usize>>,
}

/// Counts its task out, however that ends.
struct Running(Arc<watch::Sender<usize>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl Default for Tasks {
    /// No task yet.
    fn default() -> Self {
        Self {
            stop: Arc::new(watch::Sender::new(false)),
            running: Arc::new(watch::Sender::new(0)),
        }
    }
}

impl Tasks {
    /// Starts a task, which is dropped at its next await once [`Self::stop`] is called.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut stop = self.stop.subscribe();
        self.running.send_modify(|count| *count += 1);
        let running = Running(Arc::clone(&self.running));
        tokio::spawn(async move {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => {}
                () = task => {}
            }
            drop(running);
        });
    }

    /// Ends all tasks, without waiting.
    pub fn signal_stop(&self) {
        self.stop.send_replace(true);
    }

    /// Completes when [`Self::signal_stop`] was called.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// Ends all tasks and waits until they have.
    pub async fn stop(&self) {
        self.signal_stop();
        // The sender is ours, so the wait cannot fail.
        let _ = self.running.subscribe().wait_for(|count| *count == 0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stopping_ends_what_would_run_for_ever() {
        let tasks = Tasks::default();
        for _ in 0..3 {
            tasks.spawn(std::future::pending());
        }
        tasks.spawn(async {});
        tasks.stop().await;
    }
}
