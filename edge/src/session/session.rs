//! One session, from start to end.

use super::assembly::{PipelineInputs, pipeline};
use super::clock_run::clock_run;
use super::error::SessionError;
use super::inputs::Inputs;
use super::monitor::{Monitor, Subject};
use super::random::random_id;
use super::salvaging::Salvaging;
use super::uplink::{UplinkInputs, link_watch, uplink};
use crate::app_state::AppState;
use crate::cancellation::CancellationToken;
use crate::config::Config;
use crate::health::Health;
use crate::models::Models;
use crate::outbox::{NewEpoch, Outbox};
use crate::pipeline::{Ended, PipelineError, RunningPipeline};
use crate::recorder::{NewRecording, TimeAndPosition, log_dropped};
use crate::time::SystemMonotonicClock;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// So many seconds a full disk is retried at the end of the process: systemd waits for a minute.
const LAST_ATTEMPTS: u32 = 20;
/// How often the end is checked for.
const POLL: Duration = Duration::from_millis(100);

/// When a session ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Ends once the source has ended and everything is acknowledged, or this long after the
    /// source's end. Without it a session goes on sending until it is cancelled.
    pub until_delivered: Option<Duration>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The last health document.
    pub health: Health,
    /// Whether everything was to be delivered and was not.
    pub undelivered: bool,
    /// What is wrong with the replays that could hardly be used.
    pub broken_replays: Vec<String>,
}

/// Runs one session of `config`, without a service manager. Blocks; when `stop` is cancelled, the
/// open encounter is recorded first. What is not identified by then is in the next session.
///
/// # Errors
/// When a part cannot be set up, the source fails, or a sighting could not be saved.
pub fn run(
    config: &Config,
    options: RunOptions,
    stop: &CancellationToken,
) -> Result<Finished, SessionError> {
    let state = AppState::default();
    let models = Models::open(config, &state.plans)?;
    let finished = Session::start(config, models, stop, &state)?.wait(options);
    save_unsaved(config, &state)?;
    finished
}

/// Stores the recordings that the last session's outbox of `config` has not accepted, at the end of the
/// process: a full disk is retried for [`LAST_ATTEMPTS`] seconds, then they are dropped.
///
/// # Errors
/// When some are dropped.
pub fn save_unsaved(config: &Config, state: &AppState) -> Result<(), SessionError> {
    let mut unsaved = state.unsaved.take();
    for attempt in 0..LAST_ATTEMPTS {
        if unsaved.is_empty() {
            return Ok(());
        }
        if attempt > 0 {
            std::thread::sleep(Duration::from_secs(1));
        }
        if let Err(error) = try_to_save(config, &mut unsaved) {
            tracing::warn!(%error, recordings = unsaved.len(), "cannot save recordings yet");
        }
    }
    for new in &unsaved {
        state.counters.dropped(1);
        log_dropped(new);
    }
    match unsaved.len() {
        0 => Ok(()),
        lost => Err(PipelineError::Unsaved(lost).into()),
    }
}

fn try_to_save(config: &Config, unsaved: &mut Vec<NewRecording>) -> Result<(), SessionError> {
    let mut outbox = open_outbox(config)?.during(clock_run());
    let now = outbox.clock(Arc::new(SystemMonotonicClock))?.now();
    while let Some(new) = unsaved.first() {
        outbox.record(&new.recording, &new.jpeg, new.taken, now)?;
        unsaved.remove(0);
    }
    Ok(())
}

/// The outbox of `config`.
///
/// # Errors
/// When it cannot be used, e.g. because another program has it open.
pub(crate) fn open_outbox(config: &Config) -> Result<Outbox, SessionError> {
    let boat: BoatId = config.boat.name.parse()?;
    let max_bytes = config.outbox.max_megabytes.saturating_mul(1_000_000);
    let fresh = NewEpoch {
        id: random_id()?,
        now: SystemClock.now(),
    };
    Ok(Outbox::open(&config.outbox.path, &boat, max_bytes, fresh)?)
}

/// A boat at work with one configuration.
pub struct Session {
    pipeline: RunningPipeline,
    state: AppState,
    monitor: Monitor,
    runtime: Runtime,
    uploader: tokio::task::JoinHandle<()>,
    /// The thread that brings back what was set aside.
    salvaging: std::thread::JoinHandle<()>,
    stop: CancellationToken,
}

impl Session {
    /// Starts all parts as `config` says. `stop` cancels the session; so does [`Session::stop`].
    ///
    /// # Errors
    /// When a part cannot be set up.
    pub fn start(
        config: &Config,
        models: Models,
        stop: &CancellationToken,
        state: &AppState,
    ) -> Result<Self, SessionError> {
        let stop = stop.child_token();
        let boat: BoatId = config.boat.name.parse()?;
        let accepted = Arc::new(Notify::new());

        let access = config.uplink.access(&state.broker_environment)?;
        // Times can be corrected during this run of the clock.
        let outbox = open_outbox(config)?.during(clock_run());
        let to_monitor = outbox.queue()?;
        let inputs = Inputs::start(config, Arc::new(SystemClock))?;
        let outbox_clock: Arc<dyn Clock> = Arc::new(outbox.clock(inputs.monotonic.clone())?);
        let salvaging = Salvaging {
            outbox: config.outbox.path.clone(),
            boat: boat.clone(),
            outbox_clock: outbox_clock.clone(),
            accepted: accepted.clone(),
            stop: stop.clone(),
        };
        let mut link = link_watch(config, inputs.monotonic.clone());
        link.poll(inputs.utc_clock.now());
        let uplink_inputs = UplinkInputs {
            budget: link.budget().clone(),
            boat: boat.clone(),
            access,
            outbox_clock: outbox_clock.clone(),
            accepted: accepted.clone(),
        };
        let pipeline_inputs = PipelineInputs {
            boat,
            source: inputs.frames(config, &stop)?,
            states: inputs.states().to_vec(),
            outbox,
            time_and_position: TimeAndPosition {
                utc_clock: inputs.utc_clock.clone(),
                positions: inputs.positions.clone(),
            },
            outbox_clock: outbox_clock.clone(),
            monotonic: inputs.monotonic.clone(),
            accepted,
            stop: stop.clone(),
        };
        let subject = Subject {
            queue: to_monitor,
            outbox_clock,
            inputs,
            link,
            bundle: models.identifier.bundle().to_owned(),
            signature: models.signature.clone(),
            engine: models.engine.clone(),
            detector: models.detector.as_ref().map(|d| d.engine.clone()),
        };
        let monitor = Monitor::new(config, subject, state.clone());
        monitor.log_start(config);

        let runtime = runtime()?;
        let uploader = runtime.spawn(uplink(config, uplink_inputs, state)?);
        let salvaging = salvaging.start()?;
        let pipeline = pipeline(config, models, pipeline_inputs, state)?.start()?;
        Ok(Self {
            pipeline,
            salvaging,
            state: state.clone(),
            monitor,
            runtime,
            uploader,
            stop,
        })
    }

    /// Cancels this session alone.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for the session's end. Blocks.
    ///
    /// # Errors
    /// When the source failed, or a sighting could not be saved.
    pub fn wait(self, options: RunOptions) -> Result<Finished, SessionError> {
        let Self {
            mut pipeline,
            state,
            mut monitor,
            runtime,
            uploader,
            salvaging,
            stop,
        } = self;
        while !pipeline.is_recorded() {
            pipeline.supervise();
            monitor.poll();
            std::thread::sleep(POLL);
        }
        tracing::info!("source ended; sending pending messages");
        wait_for_delivery(&mut pipeline, &mut monitor, options, &stop);
        stop.cancel();
        let ended = pipeline.stop();
        if salvaging.join().is_err() {
            tracing::error!("internal error while messages were brought back");
        }
        uploader.abort();
        runtime.shutdown_timeout(Duration::from_secs(5));
        let health = monitor.health()?;
        monitor.save(&health);
        monitor.save_outbox_clock();
        let Ended { source, unsaved } = ended?;
        state.unsaved.put(unsaved);
        source?;
        let pending = health.pending_sightings + health.pending_pictures + health.unidentified;
        Ok(Finished {
            undelivered: options.until_delivered.is_some() && pending > 0,
            broken_replays: monitor.broken_replays(),
            health,
        })
    }
}

fn wait_for_delivery(
    pipeline: &mut RunningPipeline,
    monitor: &mut Monitor,
    options: RunOptions,
    stop: &CancellationToken,
) {
    let started = Instant::now();
    while !stop.is_cancelled() {
        if let Some(limit) = options.until_delivered
            && (monitor.delivered() || started.elapsed() >= limit)
        {
            return;
        }
        pipeline.supervise();
        monitor.poll();
        std::thread::sleep(POLL);
    }
}

fn runtime() -> Result<Runtime, SessionError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| SessionError::thread(&e))
}
