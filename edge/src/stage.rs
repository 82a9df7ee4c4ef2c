//! A stage of the pipeline: what it is doing, and what went wrong in it.
//!
//! A panic in a stage ends the item that it works on, and not the stage.

use crate::time::{MonotonicClock, MonotonicTimestamp, SystemMonotonicClock};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The longest description of a failure, in characters.
const MAX_REASON: usize = 300;

/// The stages of a boat that are supervised, from the frame to shore.
#[derive(Clone)]
pub struct Stages {
    /// Decodes frames, detects flukes and tracks them.
    pub perception: Arc<Stage>,
    /// Records encounters.
    pub recorder: Arc<Stage>,
    /// Writes clips.
    pub clips: Arc<Stage>,
    /// Identifies recorded encounters.
    pub identification: Arc<Stage>,
    /// Sends messages to shore.
    pub uplink: Arc<Stage>,
}

impl Stages {
    /// Idle stages that measure time by `clock`.
    pub fn new(clock: &Arc<dyn MonotonicClock>) -> Self {
        let stage = |name| Arc::new(Stage::new(name, clock.clone()));
        Self {
            perception: stage("perception"),
            recorder: stage("recorder"),
            clips: stage("clips"),
            identification: stage("identification"),
            uplink: stage("uplink"),
        }
    }

    /// The health of each stage, in the order of the data.
    pub fn health(&self) -> Vec<StageHealth> {
        let Self {
            perception,
            recorder,
            clips,
            identification,
            uplink,
        } = self;
        [perception, recorder, clips, identification, uplink]
            .map(|stage| stage.health())
            .to_vec()
    }
}

impl Default for Stages {
    fn default() -> Self {
        let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock);
        Self::new(&clock)
    }
}

impl fmt::Debug for Stages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.health()).finish()
    }
}

/// The health of a stage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageHealth {
    /// The stage's name.
    pub name: String,
    /// For how long it has worked on one item; null where it has nothing to do.
    pub busy_milliseconds: Option<u64>,
    /// Items that it has finished.
    pub finished: u64,
    /// Items that failed.
    pub failed: u64,
    /// How often it was restarted after a panic or a hang.
    pub restarts: u64,
    /// The last failure in words; null where there was none.
    pub last_failure: Option<String>,
}

/// A stage, shared by the thread that works and those that watch it.
pub struct Stage {
    name: &'static str,
    clock: Arc<dyn MonotonicClock>,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    busy_since: Option<MonotonicTimestamp>,
    finished: u64,
    failed: u64,
    restarts: u64,
    last_failure: Option<String>,
}

/// A stage panicked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("internal error: {0}")]
pub struct Panicked(pub String);

impl Panicked {
    /// From the payload of a panic.
    pub fn of(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| payload.downcast_ref::<String>().cloned());
        Self(text.unwrap_or_else(|| "a panic without a message".into()))
    }
}

impl Stage {
    fn new(name: &'static str, clock: Arc<dyn MonotonicClock>) -> Self {
        Self {
            name,
            clock,
            record: Mutex::default(),
        }
    }

    /// Works on one item. A panic is counted as a restart of the stage; the caller must not use what
    /// `work` may have left half-changed.
    ///
    /// # Errors
    /// When `work` panics.
    pub fn work<T>(&self, work: impl FnOnce() -> T) -> Result<T, Panicked> {
        self.lock().busy_since = Some(self.clock.now());
        let done = catch_unwind(AssertUnwindSafe(work));
        let mut record = self.lock();
        record.busy_since = None;
        match done {
            Ok(done) => {
                record.finished += 1;
                Ok(done)
            }
            Err(payload) => {
                drop(record);
                let panicked = Panicked::of(&*payload);
                self.restarted(&panicked);
                Err(panicked)
            }
        }
    }

    /// Counts an item that failed.
    pub fn failed(&self, reason: &dyn fmt::Display) {
        let mut record = self.lock();
        record.failed += 1;
        record.last_failure = Some(shortened(reason));
    }

    /// Counts a restart.
    pub fn restarted(&self, reason: &dyn fmt::Display) {
        tracing::error!(stage = self.name, %reason, "stage restarted");
        let mut record = self.lock();
        record.busy_since = None;
        record.restarts += 1;
        record.last_failure = Some(shortened(reason));
    }

    /// For how long it has worked on one item.
    pub fn busy_for(&self) -> Option<Duration> {
        let since = self.lock().busy_since;
        since.map(|since| self.clock.now().since(since))
    }

    /// The current time of its clock.
    pub fn now(&self) -> MonotonicTimestamp {
        self.clock.now()
    }

    /// Its health.
    pub fn health(&self) -> StageHealth {
        let busy = self.busy_for();
        let record = self.lock();
        StageHealth {
            name: self.name.to_owned(),
            busy_milliseconds: busy.map(|b| u64::try_from(b.as_millis()).unwrap_or(u64::MAX)),
            finished: record.finished,
            failed: record.failed,
            restarts: record.restarts,
            last_failure: record.last_failure.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn shortened(reason: &dyn fmt::Display) -> String {
    reason.to_string().chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualMonotonicClock;

    #[test]
    fn a_panic_ends_the_item_and_not_the_stage() {
        let clock = Arc::new(ManualMonotonicClock::default());
        let stages = Stages::new(&(clock.clone() as Arc<dyn MonotonicClock>));
        let stage = &stages.recorder;
        let during = stage.work(|| {
            clock.advance(Duration::from_millis(1500));
            stage.busy_for()
        });
        assert_eq!(during, Ok(Some(Duration::from_millis(1500))));
        let panicked = stage.work(|| -> u8 { panic!("no {}", "space") });
        assert_eq!(panicked, Err(Panicked("no space".into())));
        stage.failed(&"disk full");
        assert_eq!(stage.work(|| 7), Ok(7));
        let health = stage.health();
        assert_eq!((health.finished, health.failed, health.restarts), (2, 1, 1));
        assert_eq!(
            (health.last_failure.as_deref(), health.busy_milliseconds),
            (Some("disk full"), None)
        );
    }
}
