//! Cameras that only GStreamer reaches, as those at a Jetson's CSI connector.
//!
//! The configured pipeline runs in `gst-launch-1.0`, a program of its own, and its frames come as Y4M with I420 pictures: what costs
//! least that says by itself how large it is. So the boat is built without GStreamer's libraries, and a camera's plug-in that
//! crashes takes nothing with it but its stream.

mod pipeline;
mod process;
mod said;

pub use pipeline::{Pipeline, PipelineError};

use super::device::{Agreed, Camera, Controls, DeviceError, Encoding, Mode, Offer, Span, Stamp};
use crate::frame::RawFormat;
use crate::pixels::Layout;
use crate::source::film::{Reel, ReelError, Shot, Y4m};
use crate::stop::Stop;
use crate::time::{SteadyClock, Timing};
use flukewatch_common::prepare::MAX_SIDE;
use process::{End, Process, Tap};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The program that runs pipelines.
const PROGRAM: &str = "gst-launch-1.0";
/// What must be installed for it, as Debian and Ubuntu name it.
const PACKAGES: &str = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good";
/// How long the first frame may take: image processors need seconds to start. With the longest wait for a frame it stays below what the
/// watchdog allows a camera.
const START: Duration = Duration::from_secs(20);
/// What a frame is held up by at least, in milliseconds, as that of any camera whose driver does not stamp it.
const LEAST_HELD: f64 = 200.0;
/// So many frames a pipeline may hold: one is exposed, one processed, two wait, one is sent.
const HELD_FRAMES: f64 = 5.0;
/// GStreamer fills rows up to multiples of these pixels, and pictures of these rows; `y4menc` sends them so without a word of it.
const ALIGNED: (u32, u32) = (8, 2);

/// What a pipeline needs of the rest.
pub struct Tools {
    /// The program that runs it.
    pub program: OsString,
    /// How long its first frame may take.
    pub starts_within: Duration,
    /// Times arrivals.
    pub clock: Arc<dyn SteadyClock>,
    /// Ends every wait.
    pub stop: Stop,
}

impl Tools {
    /// Those of a boat.
    pub fn new(clock: Arc<dyn SteadyClock>, stop: Stop) -> Self {
        Self {
            program: PROGRAM.into(),
            starts_within: START,
            clock,
            stop,
        }
    }
}

/// The camera at the begin of `pipeline`. Nothing is started yet.
pub fn open(pipeline: &Pipeline, tools: Tools) -> Box<dyn Camera> {
    Box::new(PipelineCamera {
        pipeline: pipeline.clone(),
        tools,
        running: None,
        frames: 0,
    })
}

/// Which version of the program is there.
///
/// # Errors
/// What to do where there is none.
pub fn version() -> Result<String, DeviceError> {
    version_of(OsStr::new(PROGRAM))
}

fn version_of(program: &OsStr) -> Result<String, DeviceError> {
    let mut asked = Command::new(program);
    asked.arg("--version").stdin(Stdio::null());
    let output = asked.output().map_err(|e| cannot_start(program, &e))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    // Its first line is `gst-launch-1.0 version 1.20.3`.
    let version = said.lines().next().and_then(|l| l.rsplit(' ').next());
    let version = version.filter(|_| output.status.success());
    version.map(str::to_owned).ok_or_else(|| {
        let program = program.display();
        DeviceError::Refused(format!("{program} does not say its version"))
    })
}

fn cannot_start(program: &OsStr, error: &io::Error) -> DeviceError {
    let program = program.display();
    DeviceError::Refused(if error.kind() == ErrorKind::NotFound {
        format!("{program} is not installed: sudo apt install {PACKAGES}")
    } else {
        format!("{program} cannot be started: {error}")
    })
}

struct PipelineCamera {
    pipeline: Pipeline,
    tools: Tools,
    running: Option<Running>,
    frames: u32,
}

struct Running {
    process: Process,
    reel: Y4m<BufReader<Tap>>,
    agreed: Agreed,
}

impl PipelineCamera {
    /// Ends the stream, and says how its pipeline ended; `ask` is whether it must be asked to.
    fn end(&mut self, ask: bool) -> Option<End> {
        let Running {
            process, mut reel, ..
        } = self.running.take()?;
        Some(process.end(reel.film().get_mut(), ask))
    }

    /// No frame came within `patience` of its start. It may have said why, though it did not end.
    fn never_began(&mut self, patience: Duration) -> DeviceError {
        let end = self.end(true);
        let reason = end.as_ref().and_then(End::reason);
        DeviceError::Ended(format!(
            "no frame came within {:.1} s of its start: {}",
            patience.as_secs_f64(),
            reason.unwrap_or("the pipeline said nothing")
        ))
    }

    /// What `error` means, met within `patience`. But for a stall the stream is over, and its process ended.
    fn failed(&mut self, error: ReelError, patience: Duration) -> DeviceError {
        match error {
            // Whoever waited decides: the process goes when it is started anew, or with the camera.
            ReelError::Io(e) if e.kind() == ErrorKind::TimedOut => DeviceError::Stalled(patience),
            ReelError::Io(e) if e.kind() == ErrorKind::ConnectionAborted => {
                DeviceError::Ended("the boat was asked to end".into())
            }
            ReelError::Io(e) => DeviceError::Ended(e.to_string()),
            ReelError::Broken(_) if self.over() => self.ended("in the middle of a frame"),
            ReelError::Broken(why) | ReelError::NoFilm(why) => {
                self.end(true);
                DeviceError::Ended(format!("what the pipeline sends is not read: {why}"))
            }
        }
    }

    /// Whether the pipeline has closed its end.
    fn over(&mut self) -> bool {
        let film = self.running.as_mut().map(|running| running.reel.film());
        film.is_none_or(|film| film.get_ref().ended())
    }

    fn ended(&mut self, when: &str) -> DeviceError {
        let how = self.end(false).map(|end| end.told()).unwrap_or_default();
        let hint = if how.contains("no element \"y4menc\"") {
            "; sudo apt install gstreamer1.0-plugins-good"
        } else {
            ""
        };
        DeviceError::Ended(format!("the pipeline ended {when} ({how}{hint})"))
    }

    /// What the pipeline sends, of which `format` and `rate` are said in its stream.
    fn agreed(format: RawFormat, rate: f64) -> Result<Agreed, DeviceError> {
        let RawFormat::Plain {
            layout: Layout::Planar420,
            shape,
            range,
        } = format
        else {
            return Err(DeviceError::Ended("the pipeline does not send I420".into()));
        };
        let (width, height) = (shape.width, shape.height);
        let whole = (
            width.next_multiple_of(ALIGNED.0),
            height.next_multiple_of(ALIGNED.1),
        );
        if (width, height) != whole {
            let (across, down) = whole;
            return Err(DeviceError::Ended(format!(
                "its pictures are {width} x {height} pixels, and widths must be multiples of {}, heights even: put ! videoscale \
                 ! video/x-raw,width={across},height={down} at the pipeline's end",
                ALIGNED.0
            )));
        }
        Ok(Agreed {
            mode: Mode {
                encoding: Encoding::I420,
                width,
                height,
                rate,
            },
            stride: shape.stride,
            range,
        })
    }
}

impl Camera for PipelineCamera {
    fn name(&self) -> String {
        "GStreamer".into()
    }

    /// What it sends is said in the pipeline, and known once it runs: any size will do until then.
    fn offers(&mut self) -> Result<Vec<Offer>, DeviceError> {
        let any = Span {
            least: 1,
            most: MAX_SIDE,
            step: 1,
        };
        Ok(vec![Offer {
            encoding: Encoding::I420,
            width: any,
            height: any,
            rates: vec![],
        }])
    }

    /// Starts the pipeline and waits for its first frame.
    fn start(&mut self, mode: &Mode, _controls: &Controls) -> Result<Agreed, DeviceError> {
        self.end(true);
        let Tools {
            program,
            starts_within,
            stop,
            ..
        } = &self.tools;
        let patience = *starts_within;
        let arguments = self.pipeline.arguments();
        let started = Process::start(program, &arguments, stop.clone());
        let (process, mut tap) = started.map_err(|e| cannot_start(program, &e))?;
        tap.wait_at_most(patience);
        let mut reel = Y4m::new(BufReader::new(tap));
        let begun = reel.begin();
        let rate = reel.rate().unwrap_or(mode.rate);
        let agreed = begun.map(|format| Self::agreed(format, rate));
        self.running = Some(Running {
            process,
            reel,
            agreed: Agreed {
                mode: *mode,
                stride: 0,
                range: crate::pixels::Range::Limited,
            },
        });
        match agreed {
            Ok(Ok(agreed)) => {
                if let Some(running) = &mut self.running {
                    running.agreed = agreed;
                }
                Ok(agreed)
            }
            Ok(Err(e)) => {
                self.end(true);
                Err(e)
            }
            Err(_) if self.over() => Err(self.ended("before its first frame")),
            Err(ReelError::Io(e)) if e.kind() == ErrorKind::TimedOut => {
                Err(self.never_began(patience))
            }
            Err(e) => Err(self.failed(e, patience)),
        }
    }

    fn frame(&mut self, patience: Duration, into: &mut Vec<u8>) -> Result<Stamp, DeviceError> {
        let Some(running) = &mut self.running else {
            return Err(DeviceError::Ended("the pipeline does not run".into()));
        };
        let film = running.reel.film();
        film.get_mut().wait_at_most(patience);
        // Its first byte is waited for, and its arrival is the moment that counts; the rest takes as long as it takes.
        if let Err(e) = film.fill_buf() {
            return Err(self.failed(e.into(), patience));
        }
        let came = self.tools.clock.now();
        let format = match running.reel.next(into) {
            Ok(Shot::Picture(format)) => format,
            Ok(Shot::Blank | Shot::End) => return Err(self.ended("by itself")),
            Err(e) => return Err(self.failed(e, patience)),
        };
        let before = running.agreed;
        let mut changed = None;
        if format != before.format() {
            let rate = running.reel.rate().unwrap_or(before.mode.rate);
            match Self::agreed(format, rate) {
                Ok(agreed) => changed = Some(agreed),
                Err(e) => {
                    self.end(true);
                    return Err(e);
                }
            }
        }
        let agreed = changed.unwrap_or(before);
        running.agreed = agreed;
        self.frames = self.frames.wrapping_add(1);
        let held = (HELD_FRAMES * 1000.0 / agreed.mode.rate).max(LEAST_HELD);
        Ok(Stamp {
            taken: Some(came),
            timing: Timing::Pipeline(held as u32),
            sequence: self.frames,
            damaged: false,
            changed,
        })
    }
}

impl Drop for PipelineCamera {
    fn drop(&mut self) {
        self.end(true);
    }
}

#[cfg(test)]
mod tests;
