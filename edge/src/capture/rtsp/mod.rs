//! IP cameras: H.264 or H.265 over RTSP (RFC 2326) and TCP.
//!
//! [`stream`] receives the camera's encoded frames and sends them as Matroska to a decoder, a pipeline of
//! `gst-launch-1.0`; the images return as Matroska, too. User and password never leave this process. The
//! time of an image is that of the stream, related to the monotonic clock by the frames that arrived with
//! the least delay.

mod address;
mod sent_units;
mod stream;
mod stream_clock;

pub use address::{PasswordSource, RtspAddress, RtspUrl, RtspUrlError};

use super::device::{
    Camera, Controls, DeviceError, Encoding, FrameMetadata, Mode, NegotiatedFormat, SupportedFormat,
};
use super::gstreamer::{
    ChildOutput, DECODER_PACKAGES as PACKAGES, ExitReport, GstDecoder, PipelineOptions, Process,
    any_size, negotiated,
};
use crate::encoded_frame::Codec;
use crate::matroska::{Block, Reader};
use crate::time::Timing;
use crate::video::DemuxError;
use std::io::{BufReader, ErrorKind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use stream::{Shared, Started, StreamEnd, StreamParts};

/// Exposure, encoding and an idle network may delay a frame by this much, in milliseconds.
const DELAY: u32 = 300;
/// How often waiting for the first frame checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);

/// The camera at `address`, which is not connected yet.
pub(super) fn open(address: &RtspAddress, options: PipelineOptions) -> Box<dyn Camera> {
    Box::new(RtspCamera::new(
        address.clone(),
        options,
        GstDecoder::installed,
    ))
}

struct RtspCamera {
    address: RtspAddress,
    options: PipelineOptions,
    decoders: fn(Codec) -> Vec<GstDecoder>,
    /// How many decoders ended without an image: the next one is tried.
    skip: usize,
    running: Option<Running>,
    frames: u32,
}

struct Running {
    process: Process,
    images: Reader<BufReader<ChildOutput>>,
    shared: Arc<Shared>,
    thread: StreamThread,
    format: NegotiatedFormat,
    /// The image that told the format.
    first: Option<(Block, Vec<u8>)>,
}

/// The thread of a stream; it ends with this.
struct StreamThread {
    stop: crate::cancellation::CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Drop for StreamThread {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic there ended the stream.
            let _ = thread.join();
        }
    }
}

impl RtspCamera {
    fn new(
        address: RtspAddress,
        options: PipelineOptions,
        decoders: fn(Codec) -> Vec<GstDecoder>,
    ) -> Self {
        Self {
            address,
            options,
            decoders,
            skip: 0,
            running: None,
            frames: 0,
        }
    }

    /// Ends stream and decoder; with `interrupt` the decoder is asked to end first. Returns why the stream
    /// ended by itself, and how the decoder did.
    fn end(&mut self, interrupt: bool) -> (Option<StreamEnd>, Option<ExitReport>) {
        let Some(running) = self.running.take() else {
            return (None, None);
        };
        let Running {
            process,
            mut images,
            shared,
            thread,
            ..
        } = running;
        let end = shared.end();
        let report = process.end(images.stream().get_mut(), interrupt);
        drop(thread);
        (end, Some(report))
    }

    /// Waits for the stream's first encoded frame.
    fn wait(
        &self,
        started: &Receiver<Result<Started, StreamEnd>>,
        until: Instant,
    ) -> Result<Started, DeviceError> {
        loop {
            match started.recv_timeout(CHECK) {
                Ok(Ok(started)) => return Ok(started),
                Ok(Err(end)) => return Err(DeviceError::Ended(end.to_string())),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(DeviceError::Ended("the stream failed".into()));
                }
                Err(RecvTimeoutError::Timeout) if self.options.stop.is_cancelled() => {
                    return Err(DeviceError::Ended("cancelled".into()));
                }
                Err(RecvTimeoutError::Timeout) if Instant::now() > until => {
                    let seconds = self.options.start_timeout.as_secs();
                    let reason = format!("no frame within {seconds} s of the connection");
                    return Err(DeviceError::Ended(reason));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// The error for `error` of a read with `timeout`. Unless it timed out, stream and decoder end.
    fn failed(&mut self, error: &DemuxError, timeout: Duration) -> DeviceError {
        match error {
            DemuxError::Io(e) if e.kind() == ErrorKind::TimedOut => DeviceError::TimedOut(timeout),
            DemuxError::Io(e) if e.kind() == ErrorKind::ConnectionAborted => {
                DeviceError::Ended("cancelled".into())
            }
            error => {
                let end = self.end(true).0;
                let invalid = || format!("invalid images of the decoder: {error}");
                DeviceError::Ended(end.map_or_else(invalid, |end| end.to_string()))
            }
        }
    }

    /// The error at the end of the images, and whether that is the decoder's fault.
    fn images_ended(&mut self) -> (DeviceError, bool) {
        let (end, report) = self.end(false);
        match end {
            Some(end @ (StreamEnd::Camera(_) | StreamEnd::Stopped)) => {
                (DeviceError::Ended(end.to_string()), false)
            }
            // The decoder's own words say more.
            Some(StreamEnd::Decoder(_)) | None => {
                let report = report.map(|report| report.to_string()).unwrap_or_default();
                let reason = format!("the decoder ended ({report})");
                (DeviceError::Ended(reason), true)
            }
        }
    }
}

impl Camera for RtspCamera {
    fn name(&self) -> String {
        "RTSP".into()
    }

    /// Any size: the camera states what it sends once it runs.
    fn formats(&mut self) -> Result<Vec<SupportedFormat>, DeviceError> {
        Ok(any_size())
    }

    /// Connects, and waits for the first image.
    fn start(
        &mut self,
        mode: &Mode,
        _controls: &Controls,
    ) -> Result<NegotiatedFormat, DeviceError> {
        self.end(true);
        let timeout = self.options.start_timeout;
        let until = Instant::now() + timeout;
        let shared = Arc::new(Shared::default());
        let stop = self.options.stop.child_token();
        let parts = StreamParts {
            address: self.address.clone(),
            program: self.options.program.clone(),
            decoders: self.decoders,
            skip: self.skip,
            clock: self.options.clock.clone(),
            stop: stop.clone(),
            shared: shared.clone(),
        };
        // The decoder, and the end.
        let (send, started) = sync_channel(2);
        let thread = std::thread::Builder::new()
            .name("rtsp".into())
            .spawn(move || stream::run(&parts, &send))
            .map_err(|e| DeviceError::Unusable(e.to_string()))?;
        let thread = StreamThread {
            stop,
            thread: Some(thread),
        };
        let Started {
            process,
            mut output,
            decoder,
            rate,
        } = self.wait(&started, until)?;
        output.set_timeout(until.saturating_duration_since(Instant::now()));
        let mode = Mode {
            encoding: Encoding::I420,
            rate: rate.unwrap_or(mode.rate),
            ..*mode
        };
        self.running = Some(Running {
            process,
            images: Reader::new(BufReader::new(output)),
            shared,
            thread,
            format: NegotiatedFormat {
                mode,
                stride: 0,
                range: crate::pixel_format::ColourRange::Limited,
            },
            first: None,
        });
        tracing::debug!(camera = %self.address, decoder = decoder.element, "decoding");
        let mut bytes = vec![];
        let Some(running) = &mut self.running else {
            return Err(DeviceError::Ended("the stream failed".into()));
        };
        match running.images.next(&mut bytes) {
            Ok(Some(block)) => {
                let format = negotiated(block.format, mode.rate)?;
                running.format = format;
                running.first = Some((block, bytes));
                Ok(format)
            }
            Ok(None) => {
                let (error, decoder_failed) = self.images_ended();
                self.skip += usize::from(decoder_failed);
                Err(error)
            }
            Err(e) => Err(match self.failed(&e, timeout) {
                DeviceError::TimedOut(_) => {
                    let (end, report) = self.end(true);
                    let report = report.as_ref().and_then(ExitReport::reason);
                    let end = end.map(|end| end.to_string());
                    let reason = end.as_deref().or(report).unwrap_or("no output");
                    let seconds = timeout.as_secs();
                    DeviceError::Ended(format!("no image within {seconds} s: {reason}"))
                }
                other => other,
            }),
        }
    }

    fn read_frame(
        &mut self,
        timeout: Duration,
        into: &mut Vec<u8>,
    ) -> Result<FrameMetadata, DeviceError> {
        let Some(running) = &mut self.running else {
            return Err(DeviceError::Ended("the stream is not running".into()));
        };
        let block = match running.first.take() {
            Some((block, bytes)) => {
                into.extend_from_slice(&bytes);
                block
            }
            None => {
                running.images.stream().get_mut().set_timeout(timeout);
                match running.images.next(into) {
                    Ok(Some(block)) => block,
                    Ok(None) => return Err(self.images_ended().0),
                    Err(e) => return Err(self.failed(&e, timeout)),
                }
            }
        };
        let answered = running.shared.sent().answered(block.millis);
        let (taken, later) = answered.map_or((None, 1), |(taken, later)| (Some(taken), later));
        self.frames = self.frames.wrapping_add(later);
        Ok(FrameMetadata {
            taken,
            timing: Timing::Pipeline(DELAY),
            sequence: self.frames,
            damaged: false,
            changed: None,
            encoded: running.shared.take_encoded(),
        })
    }
}

impl Drop for RtspCamera {
    fn drop(&mut self) {
        self.end(true);
    }
}

#[cfg(test)]
mod tests;
