//! A recorded video that GStreamer decodes.
//!
//! It is read as fast as its frames are taken and none is dropped: the socket holds the pipeline back.

use super::process::{ChildOutput, ExitReport, Process};
use super::{GstDecoder, PROGRAM, aligned};
use crate::cancellation::CancellationToken;
use crate::frame::RawFormat;
use crate::video::{DemuxError, Demuxer, Sample, Y4m};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The packages of Debian and Ubuntu that decode videos.
pub(crate) const VIDEO_PACKAGES: &str = "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good \
     gstreamer1.0-plugins-bad gstreamer1.0-libav";
/// How long a frame may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Frames per second of a video whose frames have times but no rate.
const EVEN_RATE: u32 = 30;
/// Turns images upright as the file's metadata say.
const UPRIGHT: &str = "! videoconvert ! videoflip video-direction=auto";
/// GStreamer's variable for the ranks by which `decodebin` chooses.
const RANKS: &str = "GST_PLUGIN_FEATURE_RANK";
/// The frames, of which some may wait so that decoding and reading overlap.
const SEND: &str = "! queue max-size-buffers=3 max-size-bytes=0 max-size-time=0 ! videoconvert \
     ! video/x-raw,format=I420 ! y4menc ! fdsink fd=0 sync=false";

/// How to decode a video.
pub(crate) struct VideoOptions {
    /// The program that runs pipelines.
    pub(crate) program: OsString,
    /// How long a frame may take.
    pub(crate) timeout: Duration,
    /// Whether frames have times, from which a missing rate can be made.
    pub(crate) timed: bool,
    /// The installed decoders that use hardware.
    pub(crate) hardware: Vec<GstDecoder>,
    /// Cancels every wait.
    pub(crate) stop: CancellationToken,
}

impl VideoOptions {
    /// The options of a boat.
    pub(crate) fn new(timed: bool, stop: CancellationToken) -> Self {
        Self {
            program: PROGRAM.into(),
            timeout: TIMEOUT,
            timed,
            hardware: GstDecoder::installed_hardware(),
            stop,
        }
    }
}

/// What `decodebin` may choose from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decoding<'a> {
    /// All decoders: it prefers these, which use hardware.
    Hardware(&'a [GstDecoder]),
    /// All but these.
    Software(&'a [GstDecoder]),
}

impl Decoding<'_> {
    /// What brings images into the main memory.
    fn download(self) -> &'static str {
        match self {
            Self::Hardware(decoders) => {
                let mut all = decoders.iter().map(|decoder| decoder.download);
                all.find(|download| !download.is_empty())
                    .unwrap_or_default()
            }
            Self::Software(_) => "",
        }
    }

    /// The variables of GStreamer.
    fn environment(self) -> Vec<(&'static str, String)> {
        match self {
            Self::Hardware(_) | Self::Software([]) => vec![],
            Self::Software(decoders) => {
                let ranks: Vec<_> = decoders
                    .iter()
                    .map(|decoder| format!("{}:NONE", decoder.element))
                    .collect();
                vec![(RANKS, ranks.join(","))]
            }
        }
    }
}

/// Why GStreamer does not decode a video.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GstVideoError {
    /// The file cannot be read.
    #[error("{0}")]
    File(io::Error),
    /// The program is missing.
    #[error("{} is not installed", .0.display())]
    NotInstalled(PathBuf),
    /// The program cannot be started.
    #[error("cannot start {}: {error}", program.display())]
    NotStarted {
        /// The program.
        program: PathBuf,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The pipeline ended without a frame.
    #[error("GStreamer cannot decode it ({0})")]
    Ended(String),
    /// The pipeline sends nothing.
    #[error("GStreamer sent no frame within {:.0} s: {reason}", after.as_secs_f64())]
    TimedOut {
        /// The time limit.
        after: Duration,
        /// The most telling line of its output.
        reason: String,
    },
    /// What the pipeline sends is invalid.
    #[error("invalid stream of GStreamer: {0}")]
    Stream(DemuxError),
}

impl GstVideoError {
    /// Whether the pipeline ran and another one may succeed.
    fn is_of_pipeline(&self) -> bool {
        matches!(
            self,
            Self::Ended(_) | Self::TimedOut { .. } | Self::Stream(_)
        )
    }
}

/// Opens the video at `path`, and waits for its first frame. Hardware that does not give one is replaced by software.
pub(crate) fn open_video(
    path: &Path,
    options: VideoOptions,
) -> Result<Box<dyn Demuxer>, GstVideoError> {
    let hardware = options.hardware.as_slice();
    if !hardware.is_empty() {
        match open_decoded(path, &options, Decoding::Hardware(hardware)) {
            Err(error) if error.is_of_pipeline() && !options.stop.is_cancelled() => {
                tracing::warn!(path = %path.display(), "decoding video in software: {error}");
            }
            opened => return opened,
        }
    }
    open_decoded(path, &options, Decoding::Software(hardware))
}

fn open_decoded(
    path: &Path,
    options: &VideoOptions,
    decoding: Decoding<'_>,
) -> Result<Box<dyn Demuxer>, GstVideoError> {
    let mut video = DecodedVideo::start(path, &Filters::default(), options, decoding)?;
    let filters = Filters::needed(video.size, video.rate, options.timed);
    if filters != Filters::default() {
        drop(video);
        video = DecodedVideo::start(path, &filters, options, decoding)?;
    }
    Ok(Box::new(video))
}

/// What is done to the frames besides decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Filters {
    /// Scales to this size: the padding of others is not reported, see [`aligned`].
    size: Option<(u32, u32)>,
    /// Repeats or leaves out frames to this rate, where they have times but no rate.
    rate: Option<u32>,
}

impl Filters {
    fn needed(size: (u32, u32), rate: Option<f64>, timed: bool) -> Self {
        Self {
            size: Some(aligned(size)).filter(|aligned| *aligned != size),
            rate: (rate.is_none() && timed).then_some(EVEN_RATE),
        }
    }

    /// The arguments of the pipeline that reads the file `input` and decodes its first video stream.
    fn arguments(self, input: &str, decoding: Decoding<'_>) -> Vec<String> {
        let words = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let mut all = words("-q --no-fault filesrc");
        all.push(format!("location={input}"));
        all.extend(words("! decodebin"));
        all.extend(words(decoding.download()));
        all.extend(words(UPRIGHT));
        if let Some(rate) = self.rate {
            let even = format!("! videorate ! video/x-raw,framerate={rate}/1");
            all.extend(words(&even));
        }
        if let Some((width, height)) = self.size {
            let scaled = format!("! videoscale ! video/x-raw,width={width},height={height}");
            all.extend(words(&scaled));
        }
        all.extend(words(SEND));
        all
    }
}

/// A pipeline at work.
struct DecodedVideo {
    /// `None` once it has been ended.
    process: Option<Process>,
    frames: Y4m<BufReader<ChildOutput>>,
    timeout: Duration,
    size: (u32, u32),
    rate: Option<f64>,
}

impl DecodedVideo {
    fn start(
        path: &Path,
        filters: &Filters,
        options: &VideoOptions,
        decoding: Decoding<'_>,
    ) -> Result<Self, GstVideoError> {
        let file = File::open(path).map_err(GstVideoError::File)?;
        // By its descriptor, which the child inherits: GStreamer's syntax gives some characters of paths a meaning.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())
            .map_err(|e| GstVideoError::File(e.into()))?;
        let input = format!("/dev/fd/{}", file.as_raw_fd());
        let arguments = filters.arguments(&input, decoding);
        let (program, stop) = (&options.program, options.stop.clone());
        let started = Process::start(program, &arguments, &decoding.environment(), stop);
        let (process, mut output) = started.map_err(|error| match error.kind() {
            ErrorKind::NotFound => GstVideoError::NotInstalled(program.into()),
            _ => GstVideoError::NotStarted {
                program: program.into(),
                error,
            },
        })?;
        output.set_timeout(options.timeout);
        let mut video = Self {
            process: Some(process),
            frames: Y4m::new(BufReader::new(output)),
            timeout: options.timeout,
            size: (0, 0),
            rate: None,
        };
        let format = video.frames.begin();
        match format {
            Ok(RawFormat::Uncompressed { shape, .. }) => {
                video.size = (shape.width, shape.height);
                video.rate = video.frames.rate();
                Ok(video)
            }
            Ok(RawFormat::Jpeg) => Ok(video),
            Err(e) => Err(video.cannot_start(e)),
        }
    }

    fn ended(&mut self) -> bool {
        self.frames.reader().get_ref().ended()
    }

    /// Ends the process; with `interrupt` it is asked to end first.
    fn end(&mut self, interrupt: bool) -> Option<ExitReport> {
        let process = self.process.take()?;
        Some(process.end(self.frames.reader().get_mut(), interrupt))
    }

    fn cannot_start(mut self, error: DemuxError) -> GstVideoError {
        if self.ended() {
            let report = self.end(false).map(|report| report.to_string());
            return GstVideoError::Ended(report.unwrap_or_default());
        }
        let report = self.end(true);
        match error {
            DemuxError::Io(e) if e.kind() == ErrorKind::TimedOut => {
                let reason = report.as_ref().and_then(ExitReport::reason);
                GstVideoError::TimedOut {
                    after: self.timeout,
                    reason: reason.unwrap_or("no output").to_owned(),
                }
            }
            other => GstVideoError::Stream(other),
        }
    }

    /// Its end: that of the video, unless the program failed.
    fn finish(&mut self) -> Result<Sample, DemuxError> {
        match self.end(false) {
            Some(report) if !report.succeeded() => Err(DemuxError::Unsupported(format!(
                "GStreamer ended before the end of the video ({report})"
            ))),
            _ => Ok(Sample::End),
        }
    }
}

impl Demuxer for DecodedVideo {
    fn next(&mut self, into: &mut Vec<u8>) -> Result<Sample, DemuxError> {
        if self.process.is_none() {
            return Ok(Sample::End);
        }
        let timeout = self.timeout;
        self.frames.reader().get_mut().set_timeout(timeout);
        match self.frames.next(into) {
            Ok(Sample::Image(format)) => {
                if let RawFormat::Uncompressed { shape, .. } = format
                    && aligned((shape.width, shape.height)) != (shape.width, shape.height)
                {
                    self.end(true);
                    return Err(DemuxError::Unsupported(format!(
                        "its size changes to {} x {} pixels",
                        shape.width, shape.height
                    )));
                }
                Ok(Sample::Image(format))
            }
            Ok(Sample::Empty | Sample::End) => self.finish(),
            Err(DemuxError::Io(e)) if e.kind() == ErrorKind::ConnectionAborted => {
                self.end(true);
                Ok(Sample::End)
            }
            Err(DemuxError::Io(e)) if e.kind() == ErrorKind::TimedOut => {
                self.end(true);
                let seconds = timeout.as_secs_f64();
                let reason = format!("GStreamer sent no frame within {seconds:.0} s");
                Err(DemuxError::Unsupported(reason))
            }
            Err(DemuxError::InvalidFrame(_)) if self.ended() => {
                let report = self.end(false).map(|report| report.to_string());
                let report = report.unwrap_or_default();
                let reason = format!("GStreamer ended in the middle of a frame ({report})");
                Err(DemuxError::Unsupported(reason))
            }
            Err(e) => {
                self.end(true);
                Err(DemuxError::Unsupported(format!(
                    "invalid stream of GStreamer: {e}"
                )))
            }
        }
    }

    fn rate(&self) -> Option<f64> {
        self.rate
    }
}

impl Drop for DecodedVideo {
    fn drop(&mut self) {
        self.end(true);
    }
}

#[cfg(test)]
mod tests;
