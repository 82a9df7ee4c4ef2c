//! A boat at work: the watch on one thread, the courier beside it, and somebody who waits for both.

mod detector;
mod inputs;
mod monitor;

pub use detector::detector;

use crate::backoff::Backoff;
use crate::config::{CameraSection, Config, SourceKind};
use crate::detect::Detect;
use crate::encounter::{Encounters, Grouping};
use crate::gate::{Gate, GateSettings};
use crate::health::Health;
use crate::identify::Identifier;
use crate::outbox::{Outbox, OutboxError};
use crate::report::{Reporter, Whereabouts};
use crate::returns::Returns;
use crate::service::Aboard;
use crate::source::SourceError;
use crate::stop::Stop;
use crate::uplink::{BadBrokerUrl, BrokerUrl, Courier, CourierSettings, MqttUplink};
use crate::watch::{Watch, WatchError, Watched};
use flukewatch_common::bundle::{Bundle, BundleError};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::detector::DetectorError;
use flukewatch_common::embedder::{Embedder, EmbedderError};
use flukewatch_common::engine::choice::{self, OpenError, Opened};
use flukewatch_common::engine::status::EngineStatus;
use flukewatch_common::engine::{Level, Teller};
use flukewatch_common::sighting::{BadBoatId, BoatId};
use inputs::Inputs;
use monitor::Monitor;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

/// How much sea around a fluke its picture shows, as a share of the box's sides.
pub const PICTURE_MARGIN: f32 = 0.1;
/// How often the end is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// When a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunOptions {
    /// Ends once the source is over and all is receipted, or this long after the source's end. Without it a run goes on sending
    /// until it is asked to stop.
    pub until_delivered: Option<Duration>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// The last health document.
    pub health: Health,
    /// Whether everything was to be delivered and was not.
    pub undelivered: bool,
}

/// Why a boat cannot work.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle's model.
    #[error("the model of {}: {source}", .bundle.display())]
    Model {
        /// The bundle.
        bundle: PathBuf,
        /// What is wrong.
        source: EmbedderError,
    },
    /// The engine that runs the bundle's model.
    #[error("the model of {}: {source}", .bundle.display())]
    Engine {
        /// The bundle.
        bundle: PathBuf,
        /// What is wrong.
        source: OpenError,
    },
    /// The frames.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The bundle's detector.
    #[error(transparent)]
    Detector(#[from] DetectorError),
    /// The outbox.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// The watch.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The boat's name; [`Config::parse`] refuses it earlier.
    #[error(transparent)]
    Boat(#[from] BadBoatId),
    /// The broker's address; [`Config::parse`] refuses it earlier.
    #[error(transparent)]
    Broker(#[from] BadBrokerUrl),
    /// The machine gives no thread or no random numbers.
    #[error("the machine cannot {what}: {why}")]
    Machine {
        /// What was wanted.
        what: &'static str,
        /// Why not.
        why: String,
    },
    /// A defect of Flukewatch.
    #[error(
        "the watch died; what is in the outbox is safe. This is a defect of flukewatch-edge: please report it with the log"
    )]
    Died,
}

impl RunError {
    fn thread(error: &std::io::Error) -> Self {
        Self::Machine {
            what: "start a thread",
            why: error.to_string(),
        }
    }
}

/// Works as `config` says until `options` or `stop` ends it. Blocks; on `stop` the encounter that is going on is reported and saved
/// first. Nothing that the outbox holds depends on how a run ends.
///
/// # Errors
/// When a part cannot be set up, the source fails, or a sighting could not be saved.
pub fn run(config: &Config, options: RunOptions, stop: &Stop) -> Result<Finished, RunError> {
    let prepared = Prepared::new(config)?;
    Leg::start(config, prepared, stop, &Aboard::default())?.go(options)
}

/// What takes a while to make ready and touches neither cameras nor outbox, so that it can be made while another run goes on.
pub struct Prepared {
    identifier: Identifier,
    engine: Arc<EngineStatus>,
    detector: Option<Box<dyn Detect>>,
    /// From which score on a box counts.
    found_from: f32,
    margin: f32,
    /// Height and width of what the model looks at, in pixels.
    model_size: (u32, u32),
}

impl Prepared {
    /// Opens bundle and engine of `config`.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn new(config: &Config) -> Result<Self, RunError> {
        let bundle = Bundle::open(&config.bundle.path)?;
        let model = |source| RunError::Model {
            bundle: config.bundle.path.clone(),
            source,
        };
        let Opened { engine, status } = choice::open(
            &bundle,
            config.engine.choice,
            config.engine.threads,
            &config.engine.place(),
            teller(),
        )
        .map_err(|source| RunError::Engine {
            bundle: config.bundle.path.clone(),
            source,
        })?;
        let embedder = Embedder::with_engine(&bundle, engine).map_err(model)?;
        let preparation = &bundle.manifest.preparation;
        let margin = preparation.margin.max(PICTURE_MARGIN);
        let model_size = (preparation.height, preparation.width);
        let detector = if config.detector.enabled {
            detector(&bundle, config.detector.threshold as f32)?
        } else {
            None
        };
        // Without a detector boxes are told, not found.
        let found_from = detector.as_ref().map_or(0.0, |d| d.threshold());
        if detector.is_none() {
            tracing::info!("no detector: a frame without boxes counts as a fluke as a whole");
        }
        Ok(Self {
            identifier: Identifier::new(bundle, embedder),
            engine: status,
            detector: detector.map(|d| -> Box<dyn Detect> { Box::new(d) }),
            found_from,
            margin,
            model_size,
        })
    }
}

/// A boat at work by one configuration.
pub struct Leg {
    watch: JoinHandle<Result<(), WatchError>>,
    monitor: Monitor,
    runtime: Runtime,
    courier: tokio::task::JoinHandle<()>,
    stop: Stop,
}

impl Leg {
    /// Sets the boat to work as `config` says, until `stop` or the leg's own end it.
    ///
    /// # Errors
    /// When a part cannot be set up.
    pub fn start(
        config: &Config,
        prepared: Prepared,
        stop: &Stop,
        aboard: &Aboard,
    ) -> Result<Self, RunError> {
        let stop = &stop.below();
        let boat: BoatId = config.boat.name.parse()?;
        let broker: BrokerUrl = config.uplink.broker.parse()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let counters = aboard.counters.clone();
        let news = Arc::new(Notify::new());
        let Prepared {
            identifier,
            engine,
            detector,
            found_from,
            margin,
            model_size: (height, width),
        } = prepared;

        let max_bytes = config.outbox.max_megabytes.saturating_mul(1_000_000);
        let outbox = Outbox::open(&config.outbox.path, &boat, max_bytes)?;
        let archive = config.archive.limits();
        let queue = outbox.queue()?;
        let queue = if archive.is_some() {
            queue.archives()
        } else {
            queue
        };
        let inputs = Inputs::start(config, clock.clone())?;
        let source = inputs.frames(config, stop)?;
        let whereabouts = Whereabouts {
            keeper: inputs.keeper.clone(),
            positions: inputs.positions.clone(),
        };
        let steady = inputs.steady.clone();
        let mut monitor = Monitor::new(
            config,
            outbox.queue()?,
            inputs,
            identifier.bundle().to_owned(),
            engine,
            aboard.clone(),
        );
        let watched: Vec<String> = config
            .cameras
            .iter()
            .map(|c| c.place().to_string())
            .collect();
        monitor.tell_start(&watched.join(", "));

        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(|e| RunError::thread(&e))?;
        let courier = Courier::new(
            MqttUplink::new(broker.clone(), boat.clone()),
            broker.to_string(),
            queue,
            CourierSettings {
                window: config.uplink.window,
                receipt_timeout: config.uplink.receipt_timeout(),
            },
            Backoff::new(config.uplink.longest_wait(), random()?),
            clock.clone(),
            counters.clone(),
            news.clone(),
        );
        let courier = runtime.spawn(courier.run());
        let names = config.cameras.iter().map(|c| c.name.clone()).collect();
        let reporter = Reporter::new(boat, names, identifier, whereabouts, random()?)
            .with_returns(returns(config))
            .configured(config.identity);
        let best = config.encounter.best_crops;
        let cameras = config.cameras.iter().map(|camera| {
            let encounters = Encounters::new(grouping(config, camera), best, margin)
                .with_tracks(config.track.rules(found_from))
                .for_model(height, width);
            let film = camera.source != SourceKind::Stills;
            Watched::new(encounters, camera.is_live()).gated(film.then(|| gate(config)))
        });
        let watch = Watch::new(
            source,
            cameras.collect(),
            reporter,
            outbox,
            clock,
            steady,
            counters,
            news,
            stop.clone(),
        )
        .detecting(detector)
        .shown(aboard.pulse.clone(), aboard.viewfinder.clone());
        let watch = std::thread::Builder::new()
            .name("watch".into())
            .spawn(move || watch.run())
            .map_err(|e| RunError::thread(&e))?;
        Ok(Self {
            watch,
            monitor,
            runtime,
            courier,
            stop: stop.clone(),
        })
    }

    /// What ends this leg alone.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    /// Works until it ends. Blocks.
    ///
    /// # Errors
    /// When the source fails, or a sighting could not be saved.
    pub fn go(self, options: RunOptions) -> Result<Finished, RunError> {
        let Self {
            watch,
            mut monitor,
            runtime,
            courier,
            stop,
        } = self;
        while !watch.is_finished() {
            monitor.look();
            std::thread::sleep(LOOK);
        }
        let watched = watch.join().map_err(|_| RunError::Died)?;
        if watched.is_ok() {
            tracing::info!("the frames are over; sending what waits in the outbox");
            wait_for_delivery(&mut monitor, options, &stop);
        }
        courier.abort();
        runtime.shutdown_timeout(Duration::from_secs(5));
        let health = monitor.health()?;
        monitor.save(&health);
        watched?;
        let waiting = health.queued_sightings + health.queued_pictures;
        Ok(Finished {
            undelivered: options.until_delivered.is_some() && waiting > 0,
            health,
        })
    }
}

/// What an engine tells goes into the log.
pub fn teller() -> Teller {
    Arc::new(|level, line| match level {
        Level::Detail => tracing::debug!("{line}"),
        Level::Info => tracing::info!("{line}"),
        Level::Warning => tracing::warn!("{line}"),
    })
}

fn wait_for_delivery(monitor: &mut Monitor, options: RunOptions, stop: &Stop) {
    let started = Instant::now();
    while !stop.asked() {
        if let Some(limit) = options.until_delivered
            && (monitor.delivered() || started.elapsed() >= limit)
        {
            return;
        }
        monitor.look();
        std::thread::sleep(LOOK);
    }
}

fn grouping(config: &Config, camera: &CameraSection) -> Grouping {
    match camera.source {
        SourceKind::Stills => Grouping::Stills,
        SourceKind::Replay | SourceKind::V4l2 | SourceKind::Gstreamer => Grouping::Film {
            gap: config.encounter.gap_millis(camera.frames_per_second),
            longest: config.encounter.longest_millis(),
        },
    }
}

/// Photos stand for themselves, for nobody knows what lay between two of them: no whale comes back there.
fn returns(config: &Config) -> Returns {
    let mut cameras = config.cameras.iter();
    Returns::new(if cameras.all(|c| c.source == SourceKind::Stills) {
        Duration::ZERO
    } else {
        config.encounter.return_within()
    })
}

fn gate(config: &Config) -> Gate {
    Gate::new(GateSettings {
        every: config.detector.every,
        ..GateSettings::default()
    })
}

fn random() -> Result<Box<StdRng>, RunError> {
    let random = StdRng::try_from_rng(&mut SysRng).map_err(|e| RunError::Machine {
        what: "give random numbers",
        why: e.to_string(),
    })?;
    Ok(Box::new(random))
}

#[cfg(test)]
mod tests;
