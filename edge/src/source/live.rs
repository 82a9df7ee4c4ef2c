//! A live camera as a source of frames: opened, started, and reconnected after a loss.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use crate::backoff::Backoff;
use crate::buffers::{BufferPool, PooledBuffer};
use crate::cancellation::CancellationToken;
use crate::capture::device::{
    Camera, Controls, DeviceError, FrameMetadata, NegotiatedFormat, SUPPORTED_ENCODINGS,
};
use crate::capture::negotiate::{self, RequestedMode};
use crate::capture::{CameraAddress, CameraState};
use crate::frame::{Frame, FrameImage, FrameName, RawImage};
use crate::time::{MonotonicClock, MonotonicTimestamp, Timing};
use std::sync::Arc;
use std::time::Duration;

/// After so many timeouts in a row the camera is reopened.
const MAX_TIMEOUTS: u32 = 3;
/// How often a wait checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);
/// A driver's timestamp that differs more from the frame's arrival is ignored.
const MAX_TIMESTAMP_OFFSET: Duration = Duration::from_secs(5);

/// Opens a camera at an address.
pub(super) type Opener =
    Box<dyn FnMut(&CameraAddress) -> Result<Box<dyn Camera>, DeviceError> + Send>;

/// The configuration of a live camera.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveSettings {
    /// Address of the camera.
    pub address: CameraAddress,
    /// Requested frame size and rate.
    pub requested: RequestedMode,
    /// Requested exposure settings.
    pub controls: Controls,
    /// How long to wait for a frame before the stream is restarted.
    pub timeout: Duration,
}

/// What a live camera depends on.
pub struct LiveDependencies {
    /// Opens the camera at its address.
    pub open: Opener,
    /// Delays between attempts to reconnect.
    pub backoff: Backoff,
    /// Stamps frames with their arrival.
    pub clock: Arc<dyn MonotonicClock>,
    /// Sleeps; tests advance their clock instead.
    pub sleep: Box<dyn FnMut(Duration) + Send>,
    /// The state to update.
    pub state: Arc<CameraState>,
    /// Cancels the source.
    pub stop: CancellationToken,
}

struct Running {
    camera: Box<dyn Camera>,
    format: NegotiatedFormat,
    /// The driver's sequence number of the last frame.
    sequence: Option<u32>,
    timeouts: u32,
}

/// A live camera that is reopened after a loss.
pub struct LiveCamera {
    settings: LiveSettings,
    deps: LiveDependencies,
    buffers: BufferPool,
    running: Option<Running>,
    retry_at: Option<MonotonicTimestamp>,
    /// Whether the log says that it is disconnected.
    disconnect_logged: bool,
    /// Frames received so far.
    number: u64,
}

impl LiveCamera {
    /// The camera of `settings`. It is opened when the first frame is asked for.
    pub fn new(settings: LiveSettings, deps: LiveDependencies) -> Self {
        Self {
            settings,
            deps,
            buffers: BufferPool::default(),
            running: None,
            retry_at: None,
            disconnect_logged: false,
            number: 0,
        }
    }

    fn open(&mut self) -> Result<Running, DeviceError> {
        let LiveSettings {
            address,
            requested,
            controls,
            ..
        } = &self.settings;
        let mut camera = (self.deps.open)(address)?;
        let formats = camera.formats()?;
        let mode = negotiate::best_mode(&formats, *requested).ok_or_else(|| {
            DeviceError::Unusable(format!(
                "{address} has no supported format; expected {SUPPORTED_ENCODINGS}"
            ))
        })?;
        let format = camera.start(&mode, controls)?;
        Ok(Running {
            camera,
            format,
            sequence: None,
            timeouts: 0,
        })
    }

    /// Opens the camera if it is due; otherwise waits a little.
    fn connect_if_due(&mut self) {
        let now = self.deps.clock.now();
        if let Some(at) = self.retry_at.filter(|at| *at > now) {
            (self.deps.sleep)(at.since(now).min(CHECK));
            return;
        }
        match self.open() {
            Ok(running) => {
                let mode = running.format.mode.to_string();
                tracing::info!(camera = %self.settings.address, mode, "camera connected");
                self.deps.state.update(|h| {
                    h.restarts += u64::from(h.mode.is_some());
                    "streaming".clone_into(&mut h.state);
                    h.trouble = None;
                    h.mode = Some(mode);
                });
                self.retry_at = None;
                self.disconnect_logged = false;
                self.running = Some(running);
            }
            Err(e) => self.disconnected(&e),
        }
    }

    fn disconnected(&mut self, error: &DeviceError) {
        self.running = None;
        if self.deps.stop.is_cancelled() {
            // Cancellation is the cause of the error.
            return;
        }
        let delay = self.deps.backoff.next_delay();
        self.retry_at = Some(self.deps.clock.now().plus(delay));
        self.deps.state.update(|h| {
            "disconnected".clone_into(&mut h.state);
            h.trouble = Some(error.to_string());
        });
        if !std::mem::replace(&mut self.disconnect_logged, true) {
            tracing::error!(
                camera = %self.settings.address,
                %error,
                ?delay,
                "camera disconnected; reconnecting"
            );
        }
    }

    /// No frame came in time: restarts the stream, as V4L2 requires, and reopens the camera after
    /// several timeouts.
    fn timed_out(&mut self, mut running: Running, error: &DeviceError) {
        running.timeouts += 1;
        self.deps.state.update(|h| {
            "stalled".clone_into(&mut h.state);
            h.trouble = Some(error.to_string());
            h.restarts += 1;
        });
        if running.timeouts >= MAX_TIMEOUTS {
            return self.disconnected(error);
        }
        tracing::warn!(camera = %self.settings.address, %error, "restarting camera stream");
        let mode = running.format.mode;
        match running.camera.start(&mode, &self.settings.controls) {
            Ok(format) => {
                running.format = format;
                running.sequence = None;
                self.running = Some(running);
            }
            Err(e) => self.disconnected(&e),
        }
    }

    fn format_changed(&self, running: &mut Running, format: NegotiatedFormat) {
        let mode = format.mode.to_string();
        tracing::warn!(camera = %self.settings.address, mode, "camera format changed");
        self.deps.state.update(|h| h.mode = Some(mode));
        running.format = format;
    }

    fn arrived(
        &mut self,
        running: &mut Running,
        metadata: FrameMetadata,
        bytes: PooledBuffer,
    ) -> Result<SourceEvent, SourceError> {
        running.timeouts = 0;
        self.number += 1;
        self.deps.backoff.reset();
        let now = self.deps.clock.now();
        let plausible = metadata
            .taken
            .filter(|taken| taken.abs_diff(now) <= MAX_TIMESTAMP_OFFSET);
        let (taken, timing) = match plausible {
            Some(taken) => (taken, metadata.timing),
            None => (now, Timing::Arrival),
        };
        let missed = running.sequence.map_or(0, |last| {
            metadata.sequence.wrapping_sub(last).wrapping_sub(1)
        });
        running.sequence = Some(metadata.sequence);
        if let Some(format) = metadata.changed {
            self.format_changed(running, format);
        }
        self.deps.state.count_frame(taken);
        let damaged = metadata.damaged || bytes.is_empty();
        self.deps.state.update(|h| {
            // A sequence number that runs backwards means that the driver restarted its count.
            h.missed += u64::from(if missed < u32::MAX / 2 { missed } else { 0 });
            h.damaged += u64::from(damaged);
            if h.state != "streaming" {
                "streaming".clone_into(&mut h.state);
                h.trouble = None;
            }
        });
        let name = FrameName::Number(self.number);
        if damaged {
            let reason = if bytes.is_empty() {
                "the frame is empty"
            } else {
                "the driver marked the frame as damaged"
            };
            return Err(SourceError::InvalidFrame {
                camera: 0,
                frame: name.to_string(),
                reason: reason.into(),
            });
        }
        Ok(SourceEvent::Frame(Frame {
            camera: 0,
            name,
            taken,
            timing,
            image: FrameImage::Raw(RawImage {
                bytes,
                format: running.format.raw_format(),
            }),
            boxes: None,
            encoded: metadata.encoded,
        }))
    }
}

impl FrameSource for LiveCamera {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        self.deps.state.beat();
        if self.deps.stop.is_cancelled() {
            return Ok(SourceEvent::Ended);
        }
        let Some(mut running) = self.running.take() else {
            self.connect_if_due();
            return Ok(SourceEvent::Idle);
        };
        let mut bytes = self.buffers.take();
        match running.camera.read_frame(self.settings.timeout, &mut bytes) {
            Ok(metadata) => {
                let event = self.arrived(&mut running, metadata, bytes);
                self.running = Some(running);
                event
            }
            Err(_) if self.deps.stop.is_cancelled() => Ok(SourceEvent::Ended),
            Err(e @ DeviceError::TimedOut(_)) => {
                self.timed_out(running, &e);
                Ok(SourceEvent::Idle)
            }
            Err(e) => {
                drop(running);
                self.disconnected(&e);
                Ok(SourceEvent::Idle)
            }
        }
    }
}

#[cfg(test)]
mod gstreamer_tests;
#[cfg(test)]
mod tests;
