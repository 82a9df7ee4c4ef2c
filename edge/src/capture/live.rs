//! A live camera as a source of frames: opened, started, and opened again whenever it is lost.

use super::device::{Agreed, Camera, Controls, DeviceError, Stamp};
use super::negotiate::{self, Wanted};
use super::place::Place;
use super::state::CameraState;
use crate::backoff::Backoff;
use crate::frame::{Frame, FrameName, FramePicture, RawPicture};
use crate::source::{Buffers, FrameSource, Next, SourceError};
use crate::stop::Stop;
use crate::time::{Moment, SteadyClock, Timing};
use std::sync::Arc;
use std::time::Duration;

/// After so many stalls in a row the camera is closed and opened again.
const STALLS: u32 = 3;
/// A wait is cut into naps of this length, so that somebody can ask it to end.
const NAP: Duration = Duration::from_millis(100);
/// A driver's stamp that lies further from the frame's arrival is not believed.
const STAMP_WITHIN: Duration = Duration::from_secs(5);

/// Opens a camera.
pub type Opener = Box<dyn FnMut(&Place) -> Result<Box<dyn Camera>, DeviceError> + Send>;

/// What a live camera is told.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSettings {
    /// Where it is.
    pub place: Place,
    /// Size and rate.
    pub wanted: Wanted,
    /// The rest.
    pub controls: Controls,
    /// How long to wait for a frame before the stream is started anew.
    pub patience: Duration,
}

/// What a live camera needs of the rest.
pub struct LiveTools {
    /// Opens it.
    pub open: Opener,
    /// How long to wait before it is opened again.
    pub backoff: Backoff,
    /// Times arrivals.
    pub clock: Arc<dyn SteadyClock>,
    /// Sleeps; tests move their clock instead.
    pub sleep: Box<dyn FnMut(Duration) + Send>,
    /// Where its state is written.
    pub state: Arc<CameraState>,
    /// Ends it.
    pub stop: Stop,
}

struct Running {
    camera: Box<dyn Camera>,
    agreed: Agreed,
    /// The driver's count at the last frame.
    sequence: Option<u32>,
    stalls: u32,
}

/// A live camera.
pub struct LiveCamera {
    settings: LiveSettings,
    tools: LiveTools,
    buffers: Buffers,
    running: Option<Running>,
    /// When to try again.
    again: Option<Moment>,
    /// Whether its loss was told.
    told: bool,
    number: u64,
}

impl LiveCamera {
    /// The camera that `settings` describe. Nothing is opened before the first frame is asked for.
    pub fn new(settings: LiveSettings, tools: LiveTools) -> Self {
        Self {
            settings,
            tools,
            buffers: Buffers::default(),
            running: None,
            again: None,
            told: false,
            number: 0,
        }
    }

    fn open(&mut self) -> Result<Running, DeviceError> {
        let LiveSettings {
            place,
            wanted,
            controls,
            ..
        } = &self.settings;
        let mut camera = (self.tools.open)(place)?;
        let offers = camera.offers()?;
        let mode = negotiate::best(&offers, *wanted).ok_or_else(|| {
            DeviceError::Refused(format!(
                "{place} sends nothing that is read (GREY, NV12, YUYV, MJPEG)"
            ))
        })?;
        let agreed = camera.start(&mode, controls)?;
        Ok(Running {
            camera,
            agreed,
            sequence: None,
            stalls: 0,
        })
    }

    /// Opens the camera if it is time to; waits a little otherwise.
    fn try_to_open(&mut self) {
        let now = self.tools.clock.now();
        if let Some(again) = self.again.filter(|again| *again > now) {
            (self.tools.sleep)(again.since(now).min(NAP));
            return;
        }
        match self.open() {
            Ok(running) => {
                let mode = running.agreed.mode.to_string();
                tracing::info!(camera = %self.settings.place, "frames of {mode}");
                self.tools.state.update(|h| {
                    h.restarts += u64::from(h.mode.is_some());
                    "streaming".clone_into(&mut h.state);
                    h.trouble = None;
                    h.mode = Some(mode);
                });
                self.again = None;
                self.told = false;
                self.running = Some(running);
            }
            Err(e) => self.lost(&e),
        }
    }

    fn lost(&mut self, error: &DeviceError) {
        self.running = None;
        if self.tools.stop.asked() {
            // Whatever did not work was given up for that.
            return;
        }
        let wait = self.tools.backoff.wait();
        self.again = Some(self.tools.clock.now().plus(wait));
        self.tools.state.update(|h| {
            "lost".clone_into(&mut h.state);
            h.trouble = Some(error.to_string());
        });
        if !std::mem::replace(&mut self.told, true) {
            tracing::error!(camera = %self.settings.place, "the camera is lost, and looked for again and again: {error}");
        }
    }

    /// No frame came: the stream is made anew, as V4L2 needs it, and after some of these the camera is opened anew.
    fn stalled(&mut self, mut running: Running, error: &DeviceError) {
        running.stalls += 1;
        self.tools.state.update(|h| {
            "stalled".clone_into(&mut h.state);
            h.trouble = Some(error.to_string());
            h.restarts += 1;
        });
        if running.stalls >= STALLS {
            return self.lost(error);
        }
        tracing::warn!(camera = %self.settings.place, "{error}; the stream is started anew");
        let mode = running.agreed.mode;
        match running.camera.start(&mode, &self.settings.controls) {
            Ok(agreed) => {
                running.agreed = agreed;
                running.sequence = None;
                self.running = Some(running);
            }
            Err(e) => self.lost(&e),
        }
    }

    /// Its frames are others from now on.
    fn changed(&self, running: &mut Running, agreed: Agreed) {
        let mode = agreed.mode.to_string();
        tracing::warn!(camera = %self.settings.place, "frames of {mode} from now on");
        self.tools.state.update(|h| h.mode = Some(mode));
        running.agreed = agreed;
    }

    fn arrived(
        &mut self,
        running: &mut Running,
        stamp: Stamp,
        bytes: Vec<u8>,
    ) -> Result<Next, SourceError> {
        running.stalls = 0;
        self.number += 1;
        self.tools.backoff.reset();
        let now = self.tools.clock.now();
        let believed = stamp.taken.filter(|taken| taken.apart(now) <= STAMP_WITHIN);
        let (taken, timing) = match believed {
            Some(taken) => (taken, stamp.timing),
            None => (now, Timing::Arrival),
        };
        let missed = running
            .sequence
            .map_or(0, |last| stamp.sequence.wrapping_sub(last).wrapping_sub(1));
        running.sequence = Some(stamp.sequence);
        if let Some(agreed) = stamp.changed {
            self.changed(running, agreed);
        }
        self.tools.state.frame(taken);
        let damaged = stamp.damaged || bytes.is_empty();
        self.tools.state.update(|h| {
            // A count that runs backwards is a driver's that starts over.
            h.missed += u64::from(if missed < u32::MAX / 2 { missed } else { 0 });
            h.damaged += u64::from(damaged);
            if h.state != "streaming" {
                "streaming".clone_into(&mut h.state);
                h.trouble = None;
            }
        });
        let name = FrameName::Number(self.number);
        if damaged {
            let why = if bytes.is_empty() {
                "it is empty"
            } else {
                "its driver says that it is damaged"
            };
            self.buffers.give_back(bytes);
            return Err(SourceError::Broken {
                frame: name.to_string(),
                reason: why.into(),
            });
        }
        Ok(Next::Frame(Frame {
            camera: 0,
            name,
            taken,
            timing,
            picture: FramePicture::Raw(RawPicture {
                bytes: self.buffers.lend(bytes),
                format: running.agreed.format(),
            }),
            boxes: None,
        }))
    }
}

impl FrameSource for LiveCamera {
    fn next(&mut self) -> Result<Next, SourceError> {
        self.tools.state.lives();
        if self.tools.stop.asked() {
            return Ok(Next::Over);
        }
        let Some(mut running) = self.running.take() else {
            self.try_to_open();
            return Ok(Next::Quiet);
        };
        let mut bytes = self.buffers.empty();
        match running.camera.frame(self.settings.patience, &mut bytes) {
            Ok(stamp) => {
                let next = self.arrived(&mut running, stamp, bytes);
                self.running = Some(running);
                next
            }
            Err(e) => {
                self.buffers.give_back(bytes);
                if self.tools.stop.asked() {
                    return Ok(Next::Over);
                }
                match e {
                    DeviceError::Stalled(_) => self.stalled(running, &e),
                    _ => {
                        drop(running);
                        self.lost(&e);
                    }
                }
                Ok(Next::Quiet)
            }
        }
    }
}

#[cfg(test)]
mod tests;
