//! Searches a clip for flukes, as perception does with a camera.

use crate::cancellation::CancellationToken;
use crate::clip::Clip;
use crate::detect::{Detect, DetectError};
use crate::encounter::Encounter;
use crate::frame::{Frame, FrameName};
use crate::perception::{Perception, PerceptionCamera, PerceptionParts};
use crate::preview::Preview;
use crate::source::{FrameSource, SourceError, SourceEvent, Unpaced, VideoFile};
use crate::stage::Stages;
use crate::time::{MonotonicTimestamp, SystemMonotonicClock, Timing};
use flukewatch_common::detection::Detection;
use image::RgbImage;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The frames of a clip, with the times at which the camera took them.
struct ClipFrames {
    video: VideoFile,
    first: MonotonicTimestamp,
    /// In milliseconds after the first frame.
    times: Vec<u32>,
}

impl ClipFrames {
    fn open(clip: &Clip) -> Result<Self, SourceError> {
        // The rate gives times that are replaced here.
        const RATE: f64 = 30.0;
        let first = clip.description.first_frame;
        let stop = CancellationToken::default();
        let pacer = Box::new(Unpaced(stop.clone()));
        Ok(Self {
            video: VideoFile::open(&clip.video, first, RATE, pacer, &stop)?,
            first,
            times: clip.description.frames.clone(),
        })
    }

    /// When a frame was taken; `None` for one that the description does not know.
    fn taken(&self, name: &FrameName) -> Option<MonotonicTimestamp> {
        let FrameName::Number(number) = name else {
            return None;
        };
        // Numbers count from 1.
        let index = usize::try_from(number.checked_sub(1)?).ok()?;
        let after = Duration::from_millis(u64::from(*self.times.get(index)?));
        Some(self.first.plus(after))
    }
}

impl FrameSource for ClipFrames {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        let frame = match self.video.next()? {
            SourceEvent::Frame(frame) => frame,
            other => return Ok(other),
        };
        Ok(match self.taken(&frame.name) {
            Some(taken) => SourceEvent::Frame(Frame {
                taken,
                timing: Timing::Driver,
                ..frame
            }),
            None => SourceEvent::Idle,
        })
    }
}

/// A detector that is used for one clip after the other.
#[derive(Clone)]
pub(super) struct SharedDetector(Arc<Mutex<Box<dyn Detect>>>);

impl SharedDetector {
    pub(super) fn new(detector: Box<dyn Detect>) -> Self {
        Self(Arc::new(Mutex::new(detector)))
    }
}

impl Detect for SharedDetector {
    fn detect(
        &mut self,
        frame: &RgbImage,
        detections: &mut Vec<Detection>,
    ) -> Result<(), DetectError> {
        let mut detector = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        detector.detect(frame, detections)
    }
}

/// The encounters in `clip`, by `camera`, whose frames `detector` searches one and all. With `grey` only luma is decoded.
///
/// # Errors
/// When the video cannot be decoded.
pub(super) fn search(
    clip: &Clip,
    camera: PerceptionCamera,
    detector: Box<dyn Detect>,
    grey: bool,
) -> Result<Vec<Encounter>, SourceError> {
    let frames = ClipFrames::open(clip)?;
    let (closed, ended) = sync_channel(16);
    let parts = PerceptionParts {
        source: Box::new(frames),
        cameras: vec![camera],
        detector: Some(detector),
        grey,
        closed,
        monotonic: Arc::new(SystemMonotonicClock),
        counters: Arc::default(),
        stage: Stages::default().perception,
        stop: CancellationToken::default(),
    };
    let perception = Perception::new(parts, Arc::default(), Arc::new(Preview::default()));
    std::thread::scope(|scope| {
        let running = scope.spawn(|| perception.run());
        let found = ended.iter().map(|closed| closed.encounter).collect();
        match running.join() {
            Ok(ran) => ran.map(|()| found),
            Err(_) => Err(SourceError::Panicked(clip.description.camera.clone())),
        }
    })
}
