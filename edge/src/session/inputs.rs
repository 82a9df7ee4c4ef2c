//! A session's inputs: cameras, GNSS receiver and clocks.

use super::error::SessionError;
use super::random::random;
use crate::backoff::Backoff;
use crate::cancellation::CancellationToken;
use crate::capture::{self, CameraState};
use crate::config::{CameraSection, Config, Playback, SourceKind};
use crate::health::InputHealth;
use crate::position::{FixAssembler, GnssClient, PositionHistory};
use crate::source::{
    CameraFeed, Cameras, FeedSource, FrameSource, Pacer, RealTime, Replay, ReplaySettings,
    SourceError, Unpaced,
};
use crate::source::{LiveCamera, LiveDependencies};
use crate::time::{MonotonicClock, SystemMonotonicClock, UtcClock};
use flukewatch_common::clock::Clock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;

/// The longest backoff between two attempts to open a camera: short, since a camera that is back
/// should be used soon.
const MAX_CAMERA_BACKOFF: Duration = Duration::from_secs(5);
/// The longest backoff before a camera's thread that panicked is started again.
const MAX_PANIC_BACKOFF: Duration = Duration::from_secs(60);
/// The longest backoff between two attempts to connect to a GNSS receiver.
const MAX_RECEIVER_BACKOFF: Duration = Duration::from_secs(15);

/// The inputs at work. The receiver's thread ends soon after this is dropped.
pub(super) struct Inputs {
    pub(super) monotonic: Arc<dyn MonotonicClock>,
    pub(super) utc_clock: Arc<UtcClock>,
    pub(super) positions: Arc<PositionHistory>,
    cameras: Vec<Arc<CameraState>>,
    /// The kind of each of `cameras`.
    kinds: Vec<SourceKind>,
    closing: CancellationToken,
}

impl Inputs {
    /// Starts the clocks and the receiver's thread.
    pub(super) fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, SessionError> {
        let monotonic: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock);
        let utc_clock = Arc::new(UtcClock::new(clock, monotonic.clone()));
        let receiver = config.position.receiver();
        let positions = Arc::new(PositionHistory::new(
            config.position.max_fix_age(),
            receiver.is_some(),
        ));
        let closing = CancellationToken::default();
        if let Some((connector, protocol)) = receiver {
            let receiver = GnssClient {
                connector,
                protocol,
                timeout: config.position.timeout(),
                fix_assembler: FixAssembler::new(positions.clone(), utc_clock.clone()),
                positions: positions.clone(),
                clock: monotonic.clone(),
                backoff: Backoff::new(MAX_RECEIVER_BACKOFF, random()?),
                stop: closing.clone(),
            };
            std::thread::Builder::new()
                .name("position".into())
                .spawn(move || receiver.run())
                .map_err(|e| SessionError::thread(&e))?;
        }
        let cameras = config
            .cameras
            .iter()
            .map(|c| Arc::new(CameraState::new(&c.name)))
            .collect();
        Ok(Self {
            monotonic,
            utc_clock,
            positions,
            cameras,
            kinds: config.cameras.iter().map(|c| c.source).collect(),
            closing,
        })
    }

    /// The frames of all cameras. A single replay needs no thread: its frames are read on demand.
    pub(super) fn frames(
        &self,
        config: &Config,
        stop: &CancellationToken,
    ) -> Result<Box<dyn FrameSource>, SessionError> {
        let mut feeds = vec![];
        for (camera, state) in config.cameras.iter().zip(&self.cameras) {
            let source = if camera.is_live() {
                self.live(camera, state, stop)?
            } else {
                state.update(|h| "replaying".clone_into(&mut h.state));
                FeedSource::Replay(self.replay(camera, stop)?)
            };
            feeds.push(CameraFeed {
                name: camera.name.clone(),
                source,
                state: state.clone(),
            });
        }
        match feeds.pop() {
            Some(CameraFeed {
                source: FeedSource::Replay(only),
                ..
            }) if feeds.is_empty() => Ok(only),
            last => {
                feeds.extend(last);
                let cameras = Cameras::start(feeds).map_err(|e| SessionError::thread(&e))?;
                Ok(Box::new(cameras))
            }
        }
    }

    fn live(
        &self,
        camera: &CameraSection,
        state: &Arc<CameraState>,
        stop: &CancellationToken,
    ) -> Result<FeedSource, SessionError> {
        let (clock, state, stop) = (self.monotonic.clone(), state.clone(), stop.clone());
        let settings = camera.live();
        let mut seeds = random()?;
        let start = move || -> Box<dyn FrameSource> {
            let (opening, ends) = (clock.clone(), stop.clone());
            let tools = LiveDependencies {
                open: Box::new(move |place| capture::open(place, &opening, &ends)),
                backoff: Backoff::new(MAX_CAMERA_BACKOFF, Box::new(StdRng::from_rng(&mut seeds))),
                clock: clock.clone(),
                sleep: Box::new(std::thread::sleep),
                state: state.clone(),
                stop: stop.clone(),
            };
            Box::new(LiveCamera::new(settings.clone(), tools))
        };
        Ok(FeedSource::Live {
            start: Box::new(start),
            backoff: Backoff::new(MAX_PANIC_BACKOFF, random()?),
        })
    }

    fn replay(
        &self,
        camera: &CameraSection,
        stop: &CancellationToken,
    ) -> Result<Box<dyn FrameSource>, SourceError> {
        let pacer: Box<dyn Pacer> = match camera.playback {
            Playback::RealTime => Box::new(RealTime::new(stop.clone())),
            Playback::Fast => Box::new(Unpaced(stop.clone())),
        };
        let settings = ReplaySettings {
            videos: camera.source == SourceKind::Replay,
            start: self.monotonic.now(),
            rate: camera.frames_per_second,
            pacer,
            stop: stop.clone(),
        };
        Ok(Replay::open(&camera.path, settings)?.into_source())
    }

    /// The state of each camera.
    pub(super) fn states(&self) -> &[Arc<CameraState>] {
        &self.cameras
    }

    /// What is wrong with the replays of which more than half of the frames, or with the stills of which all
    /// could not be used.
    pub(super) fn broken_replays(&self) -> Vec<String> {
        let cameras = self.cameras.iter().zip(&self.kinds);
        let replays = cameras.filter(|(_, kind)| !kind.is_live());
        replays
            .filter_map(|(camera, kind)| camera.mostly_broken(*kind == SourceKind::Stills))
            .collect()
    }

    /// Their part of the health document.
    pub(super) fn health(&self) -> InputHealth {
        InputHealth {
            cameras: self
                .cameras
                .iter()
                .map(|c| c.health(&*self.monotonic))
                .collect(),
            position: self.positions.health(&*self.monotonic),
            time: self.utc_clock.status(),
        }
    }

    /// The step counters of the live cameras that have not ended.
    pub(super) fn live_steps(&self) -> Vec<u64> {
        let cameras = self.cameras.iter().zip(&self.kinds);
        cameras
            .filter(|(camera, kind)| kind.is_live() && !camera.has_ended())
            .map(|(camera, _)| camera.steps())
            .collect()
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.closing.cancel();
    }
}
