//! Keeps a worker at work: restarts it after a panic, and replaces it when it hangs.

use super::wake::Wake;
use super::whale_identifier::Identify;
use super::worker::{Shared, Worker};
use crate::cancellation::CancellationToken;
use crate::health::Counters;
use crate::outbox::Recordings;
use crate::stage::{Panicked, Stage};
use crate::time::MonotonicTimestamp;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long one encounter may take: many times what it takes on a slow board.
const DEADLINE: Duration = Duration::from_secs(60);
/// The pause before a worker is started again, which doubles up to [`MAX_PAUSE`] while it fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long a worker may take to end. One that hangs is left alone.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// So many workers may hang before none is started any more: each keeps a model in memory.
const MAX_HUNG: u32 = 3;

/// Opens what identifies encounters.
pub type OpenIdentify = Box<dyn FnMut() -> Result<Box<dyn Identify>, String> + Send>;

/// What a [`Supervisor`] works with.
pub struct SupervisorParts {
    /// Identifies the first encounters.
    pub first: Box<dyn Identify>,
    /// Opens another one after a panic or a hang.
    pub open: OpenIdentify,
    /// The folder of the outbox.
    pub outbox: PathBuf,
    /// The stage to report to.
    pub stage: Arc<Stage>,
    /// Counts verdicts.
    pub counters: Arc<Counters>,
    /// Notified of every verdict.
    pub accepted: Arc<Notify>,
    /// Signals recordings.
    pub recorded: Arc<Wake>,
}

/// Supervises the identification. It is polled, and never blocks for long.
pub struct Supervisor {
    first: Option<Box<dyn Identify>>,
    open: OpenIdentify,
    outbox: PathBuf,
    shared: Shared,
    running: Option<Running>,
    pause: Duration,
    /// When the next worker may be started.
    not_before: MonotonicTimestamp,
    hung: u32,
}

struct Running {
    thread: JoinHandle<Result<(), Panicked>>,
    stop: CancellationToken,
}

impl Supervisor {
    /// A supervisor that starts its worker when it is first polled.
    pub fn new(parts: SupervisorParts) -> Self {
        let SupervisorParts {
            first,
            open,
            outbox,
            stage,
            counters,
            accepted,
            recorded,
        } = parts;
        let not_before = stage.now();
        Self {
            first: Some(first),
            open,
            outbox,
            shared: Shared {
                stage,
                counters,
                accepted,
                recorded,
            },
            not_before,
            running: None,
            pause: FIRST_PAUSE,
            hung: 0,
        }
    }

    /// Starts a worker where none is at work, and replaces one that hangs.
    pub fn poll(&mut self) {
        let now = self.shared.stage.now();
        if let Some(running) = self.running.take_if(|r| r.thread.is_finished()) {
            // A panic was counted where it was caught.
            let failed = !matches!(running.thread.join(), Ok(Ok(())));
            self.pause_before_restart(now, failed);
        }
        if self.running.is_some() {
            let busy = self.shared.stage.busy_for();
            if busy.is_some_and(|busy| busy > DEADLINE) {
                self.abandon(now);
            } else if busy.is_none() {
                self.pause = FIRST_PAUSE;
            }
        }
        if self.running.is_none() && now >= self.not_before && self.hung <= MAX_HUNG {
            self.start(now);
        }
    }

    /// Leaves a worker alone that hangs; another one takes over. Should it ever wake, it ends, and its
    /// verdict counts only where there is none yet.
    fn abandon(&mut self, now: MonotonicTimestamp) {
        if let Some(running) = self.running.take() {
            running.stop.cancel();
        }
        let reason = format!("identification hung for {} s", DEADLINE.as_secs());
        self.shared.stage.restarted(&reason);
        self.hung += 1;
        if self.hung > MAX_HUNG {
            tracing::error!(
                "identification hung {MAX_HUNG} times; encounters are recorded and not identified until flukewatch-edge is restarted"
            );
        }
        self.pause_before_restart(now, true);
    }

    fn pause_before_restart(&mut self, now: MonotonicTimestamp, failed: bool) {
        if failed {
            self.not_before = now.plus(self.pause);
            self.pause = (self.pause * 2).min(MAX_PAUSE);
        }
    }

    fn start(&mut self, now: MonotonicTimestamp) {
        match self.try_start() {
            Ok(running) => self.running = Some(running),
            Err(reason) => {
                self.shared
                    .stage
                    .restarted(&format!("cannot start: {reason}"));
                self.pause_before_restart(now, true);
            }
        }
    }

    fn try_start(&mut self) -> Result<Running, String> {
        let recordings = Recordings::open(&self.outbox).map_err(|e| e.to_string())?;
        let identify = match self.first.take() {
            Some(first) => first,
            None => (self.open)()?,
        };
        let worker = Worker::new(recordings, identify, self.shared.clone());
        let stop = CancellationToken::default();
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("identification".into())
            .spawn(move || worker.run(&stopped))
            .map_err(|e| e.to_string())?;
        Ok(Running { thread, stop })
    }

    /// Ends the worker after the encounter that it works on. What is not identified yet is, once the
    /// outbox is opened again.
    pub fn stop(self) {
        let Some(running) = self.running else {
            return;
        };
        running.stop.cancel();
        self.shared.recorded.notify();
        let begun = Instant::now();
        while !running.thread.is_finished() {
            if begun.elapsed() > STOP_TIMEOUT {
                tracing::warn!("identification does not end; leaving it alone");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // A panic was counted where it was caught.
        let _ = running.thread.join();
    }
}
