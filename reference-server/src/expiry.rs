//! Finds messages whose time is up, and does with them what the provider chose.
//!
//! It sleeps until the first expiry that the store's index gives. Messages that are being delivered at
//! that moment are left alone: an attempt that began in time may finish.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::{Timestamp, wait_until};
use crate::context::Context;
use crate::store::StoreError;

/// Numbers of the messages that are being delivered.
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<BTreeSet<i64>>>);

/// Holds a message in flight.
pub(crate) struct Flight {
    all: InFlight,
    number: i64,
}

impl InFlight {
    pub(crate) fn enter(&self, number: i64) -> Flight {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(number);
        Flight {
            all: self.clone(),
            number,
        }
    }

    pub(crate) fn contains(&self, number: i64) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&number)
    }

    fn numbers(&self) -> Vec<i64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.number);
    }
}

/// Sweeps up expired messages.
pub(crate) struct Expiry {
    context: Arc<Context>,
    in_flight: InFlight,
    /// The expiry that the task sleeps for, in microseconds.
    next: AtomicI64,
    wake: Notify,
}

impl Expiry {
    pub(crate) fn new(context: Arc<Context>, in_flight: InFlight) -> Self {
        Self {
            context,
            in_flight,
            next: AtomicI64::new(i64::MIN),
            wake: Notify::new(),
        }
    }

    /// Sweeps whenever something is due, for ever.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            // Until this is known, every new mark wakes.
            self.next.store(i64::MAX, Ordering::SeqCst);
            let due = self.sweep().await;
            let next = match due {
                Ok(next) => next,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "expired messages could not be swept up");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let wake = self.wake.notified();
            match next {
                None => wake.await,
                Some(next) => {
                    self.next.store(next.micros(), Ordering::SeqCst);
                    let at = self.context.parts.expiration.sweep_at(next);
                    tokio::select! {
                        () = wake => {}
                        () = wait_until(&*self.context.parts.clock, at) => {}
                    }
                }
            }
        }
    }

    /// Handles all that is due now, and gives the next expiry after that.
    pub(crate) async fn sweep(&self) -> Result<Option<Timestamp>, StoreError> {
        let parts = &self.context.parts;
        let until = parts.expiration.sweep_limit(self.context.now());
        loop {
            let handling = parts.expiration.handling();
            if parts
                .store
                .expire(until, handling, self.in_flight.numbers())
                .await?
                == 0
            {
                break;
            }
        }
        parts.store.next_expiry(until).await
    }

    /// A message with this expiry was stored.
    pub(crate) fn consider(&self, at: Timestamp) {
        if at.micros() < self.next.load(Ordering::SeqCst) {
            self.wake.notify_one();
        }
    }

    /// Something changed that may make messages due.
    pub(crate) fn look_again(&self) {
        self.wake.notify_one();
    }
}
