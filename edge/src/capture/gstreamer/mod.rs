//! Cameras that need GStreamer, e.g. those at a Jetson's CSI connector.
//!
//! The configured pipeline runs in a child process, `gst-launch-1.0`, and its frames arrive as Y4M with
//! I420 images, the cheapest format that states its size. Therefore the boat is built without
//! GStreamer's libraries, and a plug-in that crashes ends its stream only. Recorded videos of formats that
//! are not read here are decoded the same way.

mod decoder;
mod output_log;
mod pipeline;
mod process;
mod recorded;
#[cfg(test)]
pub(crate) mod stand_in;

pub(super) use decoder::DECODER_PACKAGES;
pub use decoder::{GstDecoder, decoders};
pub use pipeline::{GstPipeline, GstPipelineError};
pub(super) use process::{ChildOutput, ExitReport, Process};
pub(crate) use recorded::{GstVideoError, VIDEO_PACKAGES, VideoOptions, open_video};

use super::device::{
    Camera, Controls, DeviceError, Encoding, FrameMetadata, Mode, NegotiatedFormat, SizeRange,
    SupportedFormat,
};
use crate::cancellation::CancellationToken;
use crate::frame::RawFormat;
use crate::pixel_format::{ColourRange, PixelLayout};
use crate::time::{MonotonicClock, Timing};
use crate::video::{DemuxError, Demuxer, Sample, Y4m};
use flukewatch_common::prepare::MAX_SIDE;
use std::ffi::{OsStr, OsString};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The program that runs pipelines.
const PROGRAM: &str = "gst-launch-1.0";
/// The packages of Debian and Ubuntu that provide it.
const PACKAGES: &str = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good";
/// How long the first frame may take: image processors need seconds to start. With the largest frame
/// timeout it stays below the watchdog's limit for a camera.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// The least delay of a frame, in milliseconds, as for any camera without timestamps.
const MIN_DELAY: f64 = 200.0;
/// Frames in a pipeline: one being exposed, one processed, two queued, one sent.
const FRAMES_IN_FLIGHT: f64 = 5.0;
/// GStreamer pads images to multiples of this width and height, which `y4menc` does not report.
const ALIGNED: (u32, u32) = (8, 2);

/// How to run a pipeline.
pub struct PipelineOptions {
    /// The program that runs it.
    pub program: OsString,
    /// How long its first frame may take.
    pub start_timeout: Duration,
    /// Stamps frames with their arrival.
    pub clock: Arc<dyn MonotonicClock>,
    /// Cancels every wait.
    pub stop: CancellationToken,
}

impl PipelineOptions {
    /// The options of a boat.
    pub fn new(clock: Arc<dyn MonotonicClock>, stop: CancellationToken) -> Self {
        Self {
            program: PROGRAM.into(),
            start_timeout: START_TIMEOUT,
            clock,
            stop,
        }
    }
}

/// The next size that GStreamer does not pad.
fn aligned((width, height): (u32, u32)) -> (u32, u32) {
    (
        width.next_multiple_of(ALIGNED.0),
        height.next_multiple_of(ALIGNED.1),
    )
}

/// The camera of `pipeline`, which is not started yet.
pub fn open(pipeline: &GstPipeline, options: PipelineOptions) -> Box<dyn Camera> {
    Box::new(GstCamera {
        name: "GStreamer".into(),
        source: GstSource::Pipeline(pipeline.clone()),
        options,
        running: None,
        frames: 0,
    })
}

/// The Video4Linux2 camera at `path`, called `name`: GStreamer reads frames of several planes, which are not read here. It sends the
/// largest size that is not larger than the one asked for; controls are ignored.
pub fn open_device(path: &Path, name: String, options: PipelineOptions) -> Box<dyn Camera> {
    Box::new(GstCamera {
        name,
        source: GstSource::Device(path.to_owned()),
        options,
        running: None,
        frames: 0,
    })
}

/// The version of the installed program.
///
/// # Errors
/// What to install where it is missing.
pub fn version() -> Result<String, DeviceError> {
    version_of(OsStr::new(PROGRAM))
}

fn version_of(program: &OsStr) -> Result<String, DeviceError> {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null());
    let output = command.output().map_err(|e| cannot_start(program, &e))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // Its first line is `gst-launch-1.0 version 1.20.3`.
    let version = text.lines().next().and_then(|l| l.rsplit(' ').next());
    let version = version.filter(|_| output.status.success());
    version.map(str::to_owned).ok_or_else(|| {
        let program = program.display();
        DeviceError::Unusable(format!("{program} reports no version"))
    })
}

fn cannot_start(program: &OsStr, error: &io::Error) -> DeviceError {
    let program = program.display();
    DeviceError::Unusable(if error.kind() == ErrorKind::NotFound {
        format!("{program} is not installed; run: sudo apt install {PACKAGES}")
    } else {
        format!("cannot start {program}: {error}")
    })
}

/// Where a camera's frames come from.
enum GstSource {
    /// A configured pipeline, which states its size and rate.
    Pipeline(GstPipeline),
    /// A Video4Linux2 device.
    Device(PathBuf),
}

impl GstSource {
    /// The arguments of the program.
    fn arguments(&self, mode: &Mode) -> Vec<String> {
        match self {
            Self::Pipeline(pipeline) => pipeline.arguments(),
            Self::Device(path) => pipeline::of_device(path, (mode.width, mode.height)),
        }
    }
}

struct GstCamera {
    name: String,
    source: GstSource,
    options: PipelineOptions,
    running: Option<Running>,
    frames: u32,
}

struct Running {
    process: Process,
    demuxer: Y4m<BufReader<ChildOutput>>,
    format: NegotiatedFormat,
}

impl GstCamera {
    /// Ends the process; with `interrupt` it is asked to end first.
    fn end(&mut self, interrupt: bool) -> Option<ExitReport> {
        let Running {
            process,
            mut demuxer,
            ..
        } = self.running.take()?;
        Some(process.end(demuxer.reader().get_mut(), interrupt))
    }

    /// The error of a pipeline without a frame within `timeout` of its start.
    fn start_timed_out(&mut self, timeout: Duration) -> DeviceError {
        let report = self.end(true);
        let reason = report.as_ref().and_then(ExitReport::reason);
        DeviceError::Ended(format!(
            "no frame within {:.1} s of the start of the pipeline: {}",
            timeout.as_secs_f64(),
            reason.unwrap_or("no output")
        ))
    }

    /// The camera's error for `error` of a read with `timeout`. Unless it timed out, the process is
    /// ended.
    fn failed(&mut self, error: DemuxError, timeout: Duration) -> DeviceError {
        match error {
            // The process ends when the camera is restarted or dropped.
            DemuxError::Io(e) if e.kind() == ErrorKind::TimedOut => DeviceError::TimedOut(timeout),
            DemuxError::Io(e) if e.kind() == ErrorKind::ConnectionAborted => {
                DeviceError::Ended("cancelled".into())
            }
            DemuxError::Io(e) => DeviceError::Ended(e.to_string()),
            DemuxError::InvalidFrame(_) if self.stream_ended() => {
                self.process_ended("in the middle of a frame")
            }
            e @ (DemuxError::InvalidFrame(_)
            | DemuxError::Unsupported(_)
            | DemuxError::Foreign(_)) => {
                self.end(true);
                DeviceError::Ended(format!("invalid stream of the pipeline: {e}"))
            }
        }
    }

    fn stream_ended(&mut self) -> bool {
        let reader = self.running.as_mut().map(|r| r.demuxer.reader());
        reader.is_none_or(|reader| reader.get_ref().ended())
    }

    fn process_ended(&mut self, when: &str) -> DeviceError {
        let report = self.end(false).map(|report| report.to_string());
        let report = report.unwrap_or_default();
        let hint = if report.contains("no element \"y4menc\"") {
            "; run: sudo apt install gstreamer1.0-plugins-good"
        } else {
            ""
        };
        DeviceError::Ended(format!("the pipeline ended {when} ({report}{hint})"))
    }
}

/// The format of a pipeline from the `format` and `rate` of its stream.
pub(super) fn negotiated(format: RawFormat, rate: f64) -> Result<NegotiatedFormat, DeviceError> {
    let RawFormat::Uncompressed {
        layout: PixelLayout::Planar420,
        shape,
        range,
    } = format
    else {
        return Err(DeviceError::Ended("the pipeline does not send I420".into()));
    };
    let (width, height) = (shape.width, shape.height);
    let (across, down) = aligned((width, height));
    if (width, height) != (across, down) {
        return Err(DeviceError::Ended(format!(
            "unsupported image size {width}x{height}; expected a width that is a multiple of {} and an even height: append \
             ! videoscale ! video/x-raw,width={across},height={down} to the pipeline",
            ALIGNED.0
        )));
    }
    Ok(NegotiatedFormat {
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

/// Any size: a pipeline states what it sends once it runs.
pub(super) fn any_size() -> Vec<SupportedFormat> {
    let any = SizeRange {
        min: 1,
        max: MAX_SIDE,
        step: 1,
    };
    vec![SupportedFormat {
        encoding: Encoding::I420,
        width: any,
        height: any,
        rates: vec![],
    }]
}

impl Camera for GstCamera {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn formats(&mut self) -> Result<Vec<SupportedFormat>, DeviceError> {
        Ok(any_size())
    }

    /// Starts the pipeline and waits for its first frame.
    fn start(
        &mut self,
        mode: &Mode,
        _controls: &Controls,
    ) -> Result<NegotiatedFormat, DeviceError> {
        self.end(true);
        let PipelineOptions {
            program,
            start_timeout,
            stop,
            ..
        } = &self.options;
        let timeout = *start_timeout;
        let arguments = self.source.arguments(mode);
        let started = Process::start(program, &arguments, &[], stop.clone());
        let (process, mut output) = started.map_err(|e| cannot_start(program, &e))?;
        output.set_timeout(timeout);
        let mut demuxer = Y4m::new(BufReader::new(output));
        let header = demuxer.begin();
        let rate = demuxer.rate().unwrap_or(mode.rate);
        let format = header.map(|format| negotiated(format, rate));
        self.running = Some(Running {
            process,
            demuxer,
            format: NegotiatedFormat {
                mode: *mode,
                stride: 0,
                range: ColourRange::Limited,
            },
        });
        match format {
            Ok(Ok(format)) => {
                if let Some(running) = &mut self.running {
                    running.format = format;
                }
                Ok(format)
            }
            Ok(Err(e)) => {
                self.end(true);
                Err(e)
            }
            Err(_) if self.stream_ended() => Err(self.process_ended("before its first frame")),
            Err(DemuxError::Io(e)) if e.kind() == ErrorKind::TimedOut => {
                Err(self.start_timed_out(timeout))
            }
            Err(e) => Err(self.failed(e, timeout)),
        }
    }

    fn read_frame(
        &mut self,
        timeout: Duration,
        into: &mut Vec<u8>,
    ) -> Result<FrameMetadata, DeviceError> {
        let Some(running) = &mut self.running else {
            return Err(DeviceError::Ended("the pipeline is not running".into()));
        };
        let reader = running.demuxer.reader();
        reader.get_mut().set_timeout(timeout);
        // The frame is dated by the arrival of its first byte.
        if let Err(e) = reader.fill_buf() {
            return Err(self.failed(e.into(), timeout));
        }
        let arrived = self.options.clock.now();
        let format = match running.demuxer.next(into) {
            Ok(Sample::Image(format)) => format,
            Ok(Sample::Empty | Sample::End) => return Err(self.process_ended("by itself")),
            Err(e) => return Err(self.failed(e, timeout)),
        };
        let before = running.format;
        let mut changed = None;
        if format != before.raw_format() {
            let rate = running.demuxer.rate().unwrap_or(before.mode.rate);
            match negotiated(format, rate) {
                Ok(format) => changed = Some(format),
                Err(e) => {
                    self.end(true);
                    return Err(e);
                }
            }
        }
        let format = changed.unwrap_or(before);
        running.format = format;
        self.frames = self.frames.wrapping_add(1);
        let delay = (FRAMES_IN_FLIGHT * 1000.0 / format.mode.rate).max(MIN_DELAY);
        Ok(FrameMetadata {
            taken: Some(arrived),
            timing: Timing::Pipeline(delay as u32),
            sequence: self.frames,
            damaged: false,
            changed,
            encoded: vec![],
        })
    }
}

impl Drop for GstCamera {
    fn drop(&mut self) {
        self.end(true);
    }
}

#[cfg(test)]
mod tests;
