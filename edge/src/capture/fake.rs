//! A fake camera that follows a test's script.

use super::device::{
    Camera, Controls, DeviceError, Encoding, FrameMetadata, Mode, NegotiatedFormat, SizeRange,
    SupportedFormat,
};
use crate::pixel_format::ColourRange;
use crate::time::{MonotonicTimestamp, Timing};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the next read does.
#[derive(Clone, Debug)]
pub(crate) enum ReadEvent {
    /// The read returns this frame.
    Frame(Vec<u8>, FrameMetadata),
    /// The read times out.
    Timeout,
    /// The camera is unplugged.
    Unplug,
}

/// The state of the fake camera.
#[derive(Debug)]
pub(crate) struct FakeState {
    pub(crate) plugged: bool,
    pub(crate) formats: Vec<SupportedFormat>,
    pub(crate) stride: Option<u32>,
    pub(crate) script: VecDeque<ReadEvent>,
    /// Number of times it was opened.
    pub(crate) opened: u32,
    /// Mode and controls of each start.
    pub(crate) started: Vec<(Mode, Controls)>,
}

/// Controls the fake camera.
#[derive(Clone, Debug)]
pub(crate) struct FakeControl(Arc<Mutex<FakeState>>);

impl FakeControl {
    /// A camera with 8x4 YUYV and 32x16 MJPEG.
    pub(crate) fn plugged_in() -> Self {
        let format = |encoding, width, height, rates: &[f64]| SupportedFormat {
            encoding,
            width: SizeRange::one(width),
            height: SizeRange::one(height),
            rates: rates.to_vec(),
        };
        Self(Arc::new(Mutex::new(FakeState {
            plugged: true,
            formats: vec![
                format(Encoding::Yuyv, 8, 4, &[30.0, 15.0]),
                format(Encoding::Mjpeg, 32, 16, &[30.0]),
            ],
            stride: None,
            script: VecDeque::new(),
            opened: 0,
            started: vec![],
        })))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut FakeState) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn push(&self, event: ReadEvent) {
        self.change(|s| s.script.push_back(event));
    }
}

/// An undamaged frame.
pub(crate) fn frame(bytes: Vec<u8>, taken: Option<MonotonicTimestamp>, sequence: u32) -> ReadEvent {
    let metadata = FrameMetadata {
        taken,
        timing: Timing::Driver,
        sequence,
        damaged: false,
        changed: None,
        encoded: vec![],
    };
    ReadEvent::Frame(bytes, metadata)
}

pub(crate) struct FakeCamera(FakeControl);

impl FakeCamera {
    pub(crate) fn open(control: &FakeControl) -> Result<Box<dyn Camera>, DeviceError> {
        control.change(|s| {
            s.opened += 1;
            if s.plugged {
                Ok(())
            } else {
                Err(DeviceError::Disconnected("No such device".into()))
            }
        })?;
        Ok(Box::new(Self(control.clone())))
    }
}

impl Camera for FakeCamera {
    fn name(&self) -> String {
        "Fake Camera".into()
    }

    fn formats(&mut self) -> Result<Vec<SupportedFormat>, DeviceError> {
        Ok(self.0.change(|s| s.formats.clone()))
    }

    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<NegotiatedFormat, DeviceError> {
        self.0.change(|s| {
            s.started.push((*mode, *controls));
            Ok(NegotiatedFormat {
                mode: *mode,
                stride: s.stride.unwrap_or(0),
                range: ColourRange::Full,
            })
        })
    }

    fn read_frame(
        &mut self,
        timeout: Duration,
        into: &mut Vec<u8>,
    ) -> Result<FrameMetadata, DeviceError> {
        let next = self.0.change(|s| s.script.pop_front());
        match next {
            Some(ReadEvent::Frame(bytes, metadata)) => {
                into.extend_from_slice(&bytes);
                Ok(metadata)
            }
            Some(ReadEvent::Timeout) => Err(DeviceError::TimedOut(timeout)),
            Some(ReadEvent::Unplug) => {
                self.0.change(|s| s.plugged = false);
                Err(DeviceError::Disconnected("No such device".into()))
            }
            // Without a script it times out; some real time passes, so that tests do not spin.
            None => {
                std::thread::sleep(Duration::from_millis(1));
                Err(DeviceError::TimedOut(timeout))
            }
        }
    }
}
