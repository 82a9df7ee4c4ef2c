//! The connection to an IP camera: a thread that receives its encoded frames and sends them to a decoder.

use super::address::RtspAddress;
use super::sent_units::{SentUnit, SentUnits};
use super::stream_clock::StreamClock;
use crate::cancellation::CancellationToken;
use crate::capture::gstreamer::{ChildOutput, GstDecoder, Process};
use crate::encoded_frame::{Codec, EncodedFrame, FrameEncoding, MAX_WAITING, StreamFormat};
use crate::matroska::Writer;
use crate::time::MonotonicClock;
use retina::client::{
    Credentials, Demuxed, Described, PlayOptions, Session, SessionGroup, SessionOptions,
    SetupOptions, TeardownPolicy, Transport,
};
use retina::codec::{CodecItem, FrameFormat, ParametersRef, VideoFrame};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;
use tokio_stream::StreamExt;

/// How often the thread checks for cancellation.
const CHECK: Duration = Duration::from_millis(100);
/// How long each answer of the camera may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long the decoder may take for what it is sent.
const DECODER: Duration = Duration::from_secs(5);
/// How long the camera may take to end the session.
const TEARDOWN: Duration = Duration::from_secs(1);
/// A stream whose time jumps by more than this is not a stream any more.
const MAX_JUMP: NonZeroU32 = NonZeroU32::new(60).unwrap();

/// What the thread works with.
pub(super) struct StreamParts {
    pub(super) address: RtspAddress,
    /// The program that runs pipelines.
    pub(super) program: OsString,
    /// The decoders to choose from, best first, of each codec.
    pub(super) decoders: fn(Codec) -> Vec<GstDecoder>,
    /// How many of them are known to fail.
    pub(super) skip: usize,
    pub(super) clock: Arc<dyn MonotonicClock>,
    pub(super) stop: CancellationToken,
    pub(super) shared: Arc<Shared>,
}

/// Why a stream has ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StreamEnd {
    /// It was stopped.
    #[error("cancelled")]
    Stopped,
    /// Because of the camera or the network.
    #[error("{0}")]
    Camera(String),
    /// Because of the decoder.
    #[error("{0}")]
    Decoder(String),
}

/// What the thread shares with the camera.
#[derive(Debug, Default)]
pub(super) struct Shared {
    sent: Mutex<SentUnits>,
    encoded: Mutex<Vec<EncodedFrame>>,
    end: Mutex<Option<StreamEnd>>,
}

impl Shared {
    /// The encoded frames in the decoder.
    pub(super) fn sent(&self) -> std::sync::MutexGuard<'_, SentUnits> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the camera sent since the last call, in the order of decoding.
    pub(super) fn take_encoded(&self) -> Vec<EncodedFrame> {
        std::mem::take(&mut *self.encoded.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep(&self, frame: EncodedFrame) {
        let mut encoded = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        // Beyond, a clip has a gap; frames after it are kept from a key frame on.
        if encoded.len() < MAX_WAITING {
            encoded.push(frame);
        }
    }

    /// Why the stream has ended, once it has.
    pub(super) fn end(&self) -> Option<StreamEnd> {
        self.end
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn set_end(&self, end: StreamEnd) {
        *self.end.lock().unwrap_or_else(PoisonError::into_inner) = Some(end);
    }
}

/// A decoder at work, and what it decodes.
pub(super) struct Started {
    pub(super) process: Process,
    pub(super) output: ChildOutput,
    pub(super) decoder: GstDecoder,
    /// Frames a second, where the camera states them.
    pub(super) rate: Option<f64>,
}

/// Runs until the stream ends, or until it is stopped. Sends the decoder once there is something to decode.
pub(super) fn run(parts: &StreamParts, started: &SyncSender<Result<Started, StreamEnd>>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let end = match runtime {
        Ok(runtime) => {
            let end = runtime.block_on(receive(parts, started));
            // What is left is the end of the session, which was waited for.
            runtime.shutdown_background();
            end
        }
        Err(e) => StreamEnd::Camera(e.to_string()),
    };
    parts.shared.set_end(end.clone());
    // Where the decoder has started, its end is seen there.
    let _ = started.try_send(Err(end));
}

async fn receive(
    parts: &StreamParts,
    started: &SyncSender<Result<Started, StreamEnd>>,
) -> StreamEnd {
    let group = Arc::new(SessionGroup::default());
    let connected = or_stopped(&parts.stop, connect(&parts.address, group.clone())).await;
    let end = match connected {
        None => StreamEnd::Stopped,
        Some(Err(reason)) => StreamEnd::Camera(reason),
        Some(Ok((mut session, stream))) => {
            let mut feed = Feed {
                parts,
                started,
                stream,
                clock: StreamClock::default(),
                decoder: None,
                lost: 0,
            };
            feed.run(&mut session).await
        }
    };
    let _ = timeout(TEARDOWN, group.await_teardown()).await;
    end
}

/// The result of `work`, unless it is stopped before.
async fn or_stopped<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    loop {
        if stop.is_cancelled() {
            return None;
        }
        if let Ok(done) = timeout(CHECK, &mut work).await {
            return Some(done);
        }
    }
}

/// Asks the camera to play. Returns the session and the number of its first video stream.
async fn connect(
    address: &RtspAddress,
    group: Arc<SessionGroup>,
) -> Result<(Demuxed, usize), String> {
    let login = match &address.login {
        Some((user, password)) => Some(Credentials {
            username: user.clone(),
            password: password.read()?,
        }),
        None => None,
    };
    let options = SessionOptions::default()
        .creds(login)
        .session_group(group)
        .teardown(TeardownPolicy::Always)
        .user_agent("Flukewatch".into());
    let url = address.url.url().clone();
    let described = answered("DESCRIBE", Session::describe(url, options)).await;
    let mut session: Session<Described> = described.map_err(|e| explain(e, address))?;
    let video = |s: &retina::client::Stream| {
        s.media() == "video" && matches!(s.encoding_name(), "h264" | "h265")
    };
    let streams = session.streams();
    let Some(stream) = streams.iter().position(video) else {
        let offered: Vec<String> = streams
            .iter()
            .map(|s| format!("{}/{}", s.media(), s.encoding_name()))
            .collect();
        return Err(format!(
            "the camera offers no H.264 or H.265 (it has: {}); set its encoding to one of them",
            offered.join(", ")
        ));
    };
    let setup = SetupOptions::default()
        .transport(Transport::default())
        .frame_format(FrameFormat::MP4);
    answered("SETUP", session.setup(stream, setup))
        .await
        .map_err(|e| explain(e, address))?;
    let play = PlayOptions::default().enforce_timestamps_with_max_jump_secs(MAX_JUMP);
    let playing = answered("PLAY", session.play(play))
        .await
        .map_err(|e| explain(e, address))?;
    let demuxed = playing.demuxed().map_err(|e| first_line(&e))?;
    Ok((demuxed, stream))
}

/// Why a request failed.
enum RequestError {
    /// By the camera, or the network.
    Failed(retina::Error),
    /// There was no answer.
    NoAnswer(&'static str),
}

async fn answered<T>(
    request: &'static str,
    work: impl Future<Output = Result<T, retina::Error>>,
) -> Result<T, RequestError> {
    match timeout(ANSWER, work).await {
        Ok(answer) => answer.map_err(RequestError::Failed),
        Err(_) => Err(RequestError::NoAnswer(request)),
    }
}

/// What a person does about it.
fn explain(error: RequestError, address: &RtspAddress) -> String {
    let error = match error {
        RequestError::Failed(error) => error,
        RequestError::NoAnswer(request) => {
            let seconds = ANSWER.as_secs();
            return format!("the camera does not answer {request} within {seconds} s");
        }
    };
    let hint = match error.status_code() {
        Some(401 | 403) if address.login.is_some() => {
            "the camera rejects user or password: check 'user' and the password"
        }
        Some(401 | 403) => {
            "the camera asks for a user: set 'user', and 'password_file' or 'password_environment'"
        }
        Some(404 | 454) => "the camera has no such stream: check the path in 'url'",
        _ => return first_line(&error),
    };
    let status = error.status_code().unwrap_or_default();
    format!("{hint} (RTSP status {status})")
}

/// Without the context that follows, which is for developers.
fn first_line(error: &retina::Error) -> String {
    let text = error.to_string();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Moves encoded frames from a session to a decoder.
struct Feed<'a> {
    parts: &'a StreamParts,
    started: &'a SyncSender<Result<Started, StreamEnd>>,
    /// The number of the video stream.
    stream: usize,
    clock: StreamClock,
    decoder: Option<Decoding>,
    /// Frames lost since the last one that was sent.
    lost: u32,
}

/// A decoder that is fed.
struct Decoding {
    input: Writer<UnixStream>,
    format: Arc<StreamFormat>,
    /// The time of its first frame in the stream, in microseconds.
    begins: i64,
    /// Frames sent so far.
    number: u64,
}

impl Feed<'_> {
    async fn run(&mut self, session: &mut Demuxed) -> StreamEnd {
        loop {
            let item = timeout(CHECK, session.next()).await;
            if self.parts.stop.is_cancelled() {
                return StreamEnd::Stopped;
            }
            let frame = match item {
                // A stream that stalls is restarted by who reads the images.
                Err(_) => continue,
                Ok(None) => return StreamEnd::Camera("the camera ended the stream".into()),
                Ok(Some(Err(e))) => {
                    let reason = format!("the stream broke off: {}", first_line(&e));
                    return StreamEnd::Camera(reason);
                }
                Ok(Some(Ok(CodecItem::VideoFrame(frame)))) => frame,
                Ok(Some(Ok(_))) => continue,
            };
            let Some(stream) = session.streams().get(self.stream) else {
                return StreamEnd::Camera("the camera ended the stream".into());
            };
            let rate = stream.framerate().map(f64::from);
            if let Err(end) = self.frame(&frame, format(stream), rate) {
                return end;
            }
        }
    }

    fn frame(
        &mut self,
        frame: &VideoFrame,
        format: Option<StreamFormat>,
        rate: Option<f64>,
    ) -> Result<(), StreamEnd> {
        // Packets that were lost are at least one frame.
        self.lost += u32::from(frame.loss() > 0);
        let stamp = frame.timestamp();
        let ticks = i128::from(stamp.elapsed()) * 1_000_000 / i128::from(stamp.clock_rate().get());
        let micros = i64::try_from(ticks).unwrap_or(i64::MAX);
        let taken = self.clock.date(micros, self.parts.clock.now());
        if let (Some(decoding), Some(format)) = (&self.decoder, &format)
            && *decoding.format != *format
        {
            let StreamFormat { width, height, .. } = format;
            return Err(StreamEnd::Camera(format!(
                "the camera changed its stream, to {width}x{height} pixels"
            )));
        }
        if self.decoder.is_none() {
            match format {
                Some(format) if frame.is_random_access_point() => {
                    let decoding = self.start(format, micros, rate);
                    self.decoder = Some(decoding.map_err(StreamEnd::Decoder)?);
                }
                // It cannot be decoded without an earlier one.
                _ => return Ok(()),
            }
        }
        let Some(decoding) = &mut self.decoder else {
            return Ok(());
        };
        let millis = (micros - decoding.begins).max(0) / 1_000;
        self.parts.shared.sent().push(SentUnit {
            millis,
            taken,
            lost: std::mem::take(&mut self.lost),
        });
        let is_key = frame.is_random_access_point();
        self.parts.shared.keep(EncodedFrame {
            taken,
            encoding: FrameEncoding::Stream {
                format: decoding.format.clone(),
                number: decoding.number,
                is_key,
            },
            bytes: frame.data().to_vec(),
        });
        decoding.number += 1;
        decoding
            .input
            .frame(millis, is_key, frame.data())
            .map_err(|e| {
                StreamEnd::Decoder(match e.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                        let seconds = DECODER.as_secs();
                        format!("the decoder takes more than {seconds} s for a frame")
                    }
                    _ => format!("the decoder ended: {e}"),
                })
            })
    }

    /// Starts a decoder of `format`.
    fn start(
        &self,
        format: StreamFormat,
        begins: i64,
        rate: Option<f64>,
    ) -> Result<Decoding, String> {
        let decoders = (self.parts.decoders)(format.codec);
        let decoder = *decoders
            .get(self.parts.skip % decoders.len().max(1))
            .ok_or_else(|| {
                format!(
                    "no decoder of {:?} is installed; run: sudo apt install {}",
                    format.codec,
                    super::PACKAGES
                )
            })?;
        let arguments = decoder.arguments(&format);
        let program = &self.parts.program;
        let (process, output) = Process::start(program, &arguments, &[], self.parts.stop.clone())
            .map_err(|e| format!("cannot start {}: {e}", program.display()))?;
        let input = output.input(DECODER).map_err(|e| e.to_string())?;
        let started = Started {
            process,
            output,
            decoder,
            rate,
        };
        if self.started.send(Ok(started)).is_err() {
            return Err("the camera was closed".into());
        }
        let input = Writer::new(input, &format).map_err(|e| format!("the decoder ended: {e}"))?;
        Ok(Decoding {
            input,
            format: Arc::new(format),
            begins,
            number: 0,
        })
    }
}

/// What a decoder of `stream` has to know; `None` until the camera has sent it.
fn format(stream: &retina::client::Stream) -> Option<StreamFormat> {
    let Some(ParametersRef::Video(parameters)) = stream.parameters() else {
        return None;
    };
    let (width, height) = parameters.pixel_dimensions();
    Some(StreamFormat {
        codec: match stream.encoding_name() {
            "h265" => Codec::H265,
            _ => Codec::H264,
        },
        configuration: parameters.extra_data().to_vec(),
        width,
        height,
    })
}

impl Drop for Decoding {
    /// Lets the decoder end in order, which ends its images.
    fn drop(&mut self) {
        let _ = self.input.stream().shutdown(std::net::Shutdown::Write);
    }
}
