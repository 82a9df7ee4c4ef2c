//! Wakes the identification when there is something to identify.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A signal that is kept until it is waited for.
#[derive(Debug, Default)]
pub struct Wake {
    signalled: Mutex<bool>,
    changed: Condvar,
}

impl Wake {
    /// Wakes the thread that waits, or the next one that does.
    pub fn notify(&self) {
        *self
            .signalled
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    /// Returns after a signal, or after `limit`.
    pub fn wait(&self, limit: Duration) {
        let signalled = self
            .signalled
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .changed
            .wait_timeout_while(signalled, limit, |signalled| !*signalled);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }
}
