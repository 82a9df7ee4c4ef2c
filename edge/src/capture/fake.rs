//! A camera that does not exist, and does whatever a test wants.

use super::device::{Agreed, Camera, Controls, DeviceError, Encoding, Mode, Offer, Span, Stamp};
use crate::pixels::Range;
use crate::time::{Moment, Timing};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What happens when the next frame is waited for.
#[derive(Clone, Debug)]
pub(crate) enum Happens {
    /// A frame with these bytes and this stamp.
    Frame(Vec<u8>, Stamp),
    /// Nothing, for as long as the camera is waited for.
    Stall,
    /// The cable is pulled. [`World::plugged`] says whether it is back.
    Unplugged,
}

/// All that a test can change about the camera.
#[derive(Debug)]
pub(crate) struct Inside {
    pub(crate) plugged: bool,
    pub(crate) offers: Vec<Offer>,
    pub(crate) stride: Option<u32>,
    pub(crate) script: VecDeque<Happens>,
    /// How often it was opened and how often started.
    pub(crate) opened: u32,
    pub(crate) started: Vec<(Mode, Controls)>,
}

/// The world in which the camera is.
#[derive(Clone, Debug)]
pub(crate) struct World(Arc<Mutex<Inside>>);

impl World {
    /// With a camera that offers 8 x 4 YUYV and 32 x 16 MJPEG.
    pub(crate) fn plugged_in() -> Self {
        let offer = |encoding, width, height, rates: &[f64]| Offer {
            encoding,
            width: Span::one(width),
            height: Span::one(height),
            rates: rates.to_vec(),
        };
        Self(Arc::new(Mutex::new(Inside {
            plugged: true,
            offers: vec![
                offer(Encoding::Yuyv, 8, 4, &[30.0, 15.0]),
                offer(Encoding::Mjpeg, 32, 16, &[30.0]),
            ],
            stride: None,
            script: VecDeque::new(),
            opened: 0,
            started: vec![],
        })))
    }

    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Inside) -> T) -> T {
        change(&mut self.0.lock().unwrap())
    }

    pub(crate) fn then(&self, what: Happens) {
        self.change(|w| w.script.push_back(what));
    }
}

/// A whole frame.
pub(crate) fn frame(bytes: Vec<u8>, taken: Option<Moment>, sequence: u32) -> Happens {
    let stamp = Stamp {
        taken,
        timing: Timing::Driver,
        sequence,
        damaged: false,
        changed: None,
    };
    Happens::Frame(bytes, stamp)
}

pub(crate) struct FakeCamera(World);

impl FakeCamera {
    pub(crate) fn open(world: &World) -> Result<Box<dyn Camera>, DeviceError> {
        world.change(|w| {
            w.opened += 1;
            if w.plugged {
                Ok(())
            } else {
                Err(DeviceError::Gone("No such device".into()))
            }
        })?;
        Ok(Box::new(Self(world.clone())))
    }
}

impl Camera for FakeCamera {
    fn name(&self) -> String {
        "Fake Camera".into()
    }

    fn offers(&mut self) -> Result<Vec<Offer>, DeviceError> {
        Ok(self.0.change(|w| w.offers.clone()))
    }

    fn start(&mut self, mode: &Mode, controls: &Controls) -> Result<Agreed, DeviceError> {
        self.0.change(|w| {
            w.started.push((*mode, *controls));
            Ok(Agreed {
                mode: *mode,
                stride: w.stride.unwrap_or(0),
                range: Range::Full,
            })
        })
    }

    fn frame(&mut self, patience: Duration, into: &mut Vec<u8>) -> Result<Stamp, DeviceError> {
        let next = self.0.change(|w| w.script.pop_front());
        match next {
            Some(Happens::Frame(bytes, stamp)) => {
                into.extend_from_slice(&bytes);
                Ok(stamp)
            }
            Some(Happens::Stall) => Err(DeviceError::Stalled(patience)),
            Some(Happens::Unplugged) => {
                self.0.change(|w| w.plugged = false);
                Err(DeviceError::Gone("No such device".into()))
            }
            // With nothing in the script it sends nothing; a little real time passes, so that nobody spins.
            None => {
                std::thread::sleep(Duration::from_millis(1));
                Err(DeviceError::Stalled(patience))
            }
        }
    }
}
