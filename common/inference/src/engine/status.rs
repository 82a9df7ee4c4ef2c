//! The status of the engine, readable from any thread.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The state of the accelerator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// It is disabled in the configuration.
    #[default]
    Disabled,
    /// It is starting or its plan is being built; tract runs.
    Preparing,
    /// It takes over from the next image.
    Ready,
    /// It runs the model.
    Active,
    /// It cannot run, for this reason; tract runs.
    Unavailable(String),
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled => f.write_str("disabled"),
            Self::Preparing => f.write_str("preparing"),
            Self::Ready => f.write_str("ready"),
            Self::Active => f.write_str("active"),
            Self::Unavailable(why) => write!(f, "unavailable: {why}"),
        }
    }
}

/// The name of the active engine and the state of the accelerator, set by the engine and read by
/// the health document. The lock is held only while they are copied.
#[derive(Debug, Default)]
pub struct EngineStatus(Mutex<(String, Accelerator)>);

impl EngineStatus {
    /// A status with the name of the active engine and the state of the accelerator.
    pub fn new(active: &str, accelerator: Accelerator) -> Self {
        Self(Mutex::new((active.to_owned(), accelerator)))
    }

    fn lock(&self) -> MutexGuard<'_, (String, Accelerator)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the active engine.
    pub fn active(&self) -> String {
        self.lock().0.clone()
    }

    /// The state of the accelerator.
    pub fn accelerator(&self) -> Accelerator {
        self.lock().1.clone()
    }

    pub(super) fn set_active(&self, name: &str) {
        name.clone_into(&mut self.lock().0);
    }

    pub(super) fn set_accelerator(&self, accelerator: Accelerator) {
        self.lock().1 = accelerator;
    }
}
