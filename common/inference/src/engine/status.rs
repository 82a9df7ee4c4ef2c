//! Which engine is at work, for whoever looks from another thread.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How it stands with the accelerator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Accelerator {
    /// The configuration does not want it.
    #[default]
    Disabled,
    /// It is started, or its plan is built; tract serves.
    Preparing,
    /// It takes over with the next image.
    Ready,
    /// It serves.
    Active,
    /// It does not serve, for this reason.
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

/// Shared between the engine, which tells, and the health document, which shows. No lock outlives a copy of two lines.
#[derive(Debug, Default)]
pub struct EngineStatus(Mutex<(String, Accelerator)>);

impl EngineStatus {
    /// `active` serves, and the accelerator stands so.
    pub fn new(active: &str, accelerator: Accelerator) -> Self {
        Self(Mutex::new((active.to_owned(), accelerator)))
    }

    fn told(&self) -> MutexGuard<'_, (String, Accelerator)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the engine that serves.
    pub fn active(&self) -> String {
        self.told().0.clone()
    }

    /// How it stands with the accelerator.
    pub fn accelerator(&self) -> Accelerator {
        self.told().1.clone()
    }

    pub(super) fn set_active(&self, name: &str) {
        name.clone_into(&mut self.told().0);
    }

    pub(super) fn set_accelerator(&self, accelerator: Accelerator) {
        self.told().1 = accelerator;
    }
}
