//! What comes into the boat: cameras, position, time.

use super::{RunError, random};
use crate::backoff::Backoff;
use crate::capture::live::{LiveCamera, LiveTools};
use crate::capture::{self, CameraState};
use crate::config::{CameraSection, Config, Pace, SourceKind};
use crate::health;
use crate::position::{Navigator, Positions, Receiver};
use crate::source::{Cameras, Feed, FrameSource, RealTime, SourceError, Ticker, Unpaced, replay};
use crate::stop::Stop;
use crate::time::{MachineSteadyClock, SteadyClock, Timekeeper};
use flukewatch_common::clock::Clock;
use std::sync::Arc;
use std::time::Duration;

/// The longest wait before a lost camera is looked for again. It costs little, and a camera that is back should be seen soon.
const LONGEST_CAMERA_WAIT: Duration = Duration::from_secs(5);
/// The longest wait before a receiver is called again.
const LONGEST_RECEIVER_WAIT: Duration = Duration::from_secs(15);

/// The boat's inputs at work. The receiver's thread ends soon after this is dropped.
pub(super) struct Inputs {
    pub(super) steady: Arc<dyn SteadyClock>,
    pub(super) keeper: Arc<Timekeeper>,
    pub(super) positions: Arc<Positions>,
    cameras: Vec<Arc<CameraState>>,
    /// Which of them are live.
    live: Vec<bool>,
    closing: Stop,
}

impl Inputs {
    /// The clocks and the receiver of `config`; its thread runs from here on.
    pub(super) fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, RunError> {
        let steady: Arc<dyn SteadyClock> = Arc::new(MachineSteadyClock);
        let keeper = Arc::new(Timekeeper::new(clock, steady.clone()));
        let receiver = config.position.receiver();
        let positions = Arc::new(Positions::new(
            config.position.longest_age(),
            receiver.is_some(),
        ));
        let closing = Stop::default();
        if let Some((dial, protocol)) = receiver {
            let receiver = Receiver {
                dial,
                protocol,
                silent_after: config.position.silent_after(),
                navigator: Navigator::new(positions.clone(), keeper.clone()),
                positions: positions.clone(),
                clock: steady.clone(),
                backoff: Backoff::new(LONGEST_RECEIVER_WAIT, random()?),
                stop: closing.clone(),
            };
            std::thread::Builder::new()
                .name("position".into())
                .spawn(move || receiver.run())
                .map_err(|e| RunError::thread(&e))?;
        }
        let cameras = config
            .cameras
            .iter()
            .map(|c| Arc::new(CameraState::new(&c.name)))
            .collect();
        Ok(Self {
            steady,
            keeper,
            positions,
            cameras,
            live: config.cameras.iter().map(CameraSection::is_live).collect(),
            closing,
        })
    }

    /// The frames of all cameras of `config`. A single replay needs no thread; its frames come as they are asked for.
    pub(super) fn frames(
        &self,
        config: &Config,
        stop: &Stop,
    ) -> Result<Box<dyn FrameSource>, RunError> {
        let mut feeds = vec![];
        for (camera, state) in config.cameras.iter().zip(&self.cameras) {
            let source = if camera.is_live() {
                self.live(camera, state, stop)?
            } else {
                state.update(|h| "replaying".clone_into(&mut h.state));
                self.replay(camera, stop)?
            };
            feeds.push(Feed {
                name: camera.name.clone(),
                source,
                live: camera.is_live(),
                state: state.clone(),
            });
        }
        match feeds.pop() {
            Some(only) if feeds.is_empty() && !only.live => Ok(only.source),
            last => {
                feeds.extend(last);
                let cameras = Cameras::start(feeds).map_err(|e| RunError::thread(&e))?;
                Ok(Box::new(cameras))
            }
        }
    }

    fn live(
        &self,
        camera: &CameraSection,
        state: &Arc<CameraState>,
        stop: &Stop,
    ) -> Result<Box<dyn FrameSource>, RunError> {
        let (clock, ends) = (self.steady.clone(), stop.clone());
        let tools = LiveTools {
            open: Box::new(move |place| capture::open(place, &clock, &ends)),
            backoff: Backoff::new(LONGEST_CAMERA_WAIT, random()?),
            clock: self.steady.clone(),
            sleep: Box::new(std::thread::sleep),
            state: state.clone(),
            stop: stop.clone(),
        };
        Ok(Box::new(LiveCamera::new(camera.live(), tools)))
    }

    fn replay(
        &self,
        camera: &CameraSection,
        stop: &Stop,
    ) -> Result<Box<dyn FrameSource>, SourceError> {
        let ticker: Box<dyn Ticker> = match camera.pace {
            Pace::RealTime => Box::new(RealTime::new(stop.clone())),
            Pace::Fast => Box::new(Unpaced(stop.clone())),
        };
        let films = camera.source == SourceKind::Replay;
        replay(
            &camera.path,
            films,
            self.steady.now(),
            camera.frames_per_second,
            ticker,
        )
    }

    /// What health says of them.
    pub(super) fn health(&self) -> health::Inputs {
        health::Inputs {
            cameras: self
                .cameras
                .iter()
                .map(|c| c.health(&*self.steady))
                .collect(),
            position: self.positions.health(&*self.steady),
            time: self.keeper.status(),
            ..health::Inputs::default()
        }
    }

    /// Signs of life of the live cameras that have not ended.
    pub(super) fn live_steps(&self) -> Vec<u64> {
        let live = self.cameras.iter().zip(&self.live);
        live.filter(|(camera, live)| **live && !camera.has_ended())
            .map(|(camera, _)| camera.steps())
            .collect()
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.closing.ask();
    }
}
