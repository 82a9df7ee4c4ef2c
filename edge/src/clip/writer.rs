//! Writes clips.

use super::clip_file::{ClipDescription, ClipError};
use super::clip_video::{self, ClipVideo};
use super::folder::ClipFolder;
use crate::encoded_frame::EncodedFrame;
use crate::stage::Stage;
use crate::time::{MonotonicTimestamp, Timing, UtcClock};
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::clock::Clock;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use uuid::Uuid;

/// What a [`super::ClipTap`] sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClipEvent {
    /// Frames of a camera, of a new clip where none is open.
    Frames {
        /// The camera's index.
        camera: usize,
        /// The frames, in order.
        frames: Vec<EncodedFrame>,
    },
    /// The clip of a camera is complete.
    End {
        /// The camera's index.
        camera: usize,
    },
}

/// Writes the clips of all cameras.
pub struct ClipWriter {
    folder: ClipFolder,
    cameras: Vec<String>,
    session: Uuid,
    utc_clock: Arc<UtcClock>,
    outbox_clock: Arc<dyn Clock>,
    stage: Arc<Stage>,
    open: BTreeMap<usize, OpenClip>,
    failing: bool,
}

struct OpenClip {
    video: ClipVideo,
    /// Where it will be once it is complete.
    path: PathBuf,
    first: MonotonicTimestamp,
    frames: Vec<u32>,
}

impl ClipWriter {
    /// Writes into `folder` the clips of `cameras`, named as in the configuration. Their times are by
    /// `utc_clock`, and they age by `outbox_clock`. `session` is that of the recordings.
    pub fn new(
        folder: ClipFolder,
        cameras: Vec<String>,
        session: Uuid,
        utc_clock: Arc<UtcClock>,
        outbox_clock: Arc<dyn Clock>,
        stage: Arc<Stage>,
    ) -> Self {
        Self {
            folder,
            cameras,
            session,
            utc_clock,
            outbox_clock,
            stage,
            open: BTreeMap::new(),
            failing: false,
        }
    }

    /// Runs until all taps are gone; then the open clips are complete.
    pub fn run(mut self, events: &Receiver<ClipEvent>) {
        self.remove_parts();
        for event in events {
            self.take(event);
        }
        let open: Vec<usize> = self.open.keys().copied().collect();
        for camera in open {
            self.take(ClipEvent::End { camera });
        }
    }

    /// Removes what a power cut left: the times of the frames are lost.
    fn remove_parts(&self) {
        let entries = std::fs::read_dir(self.folder.path());
        for entry in entries.into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|e| e == "part") {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn take(&mut self, event: ClipEvent) {
        let (ClipEvent::Frames { camera, .. } | ClipEvent::End { camera }) = event;
        let stage = self.stage.clone();
        let failure = match stage.work(|| self.write(event)) {
            Ok(Ok(())) => {
                self.failing = false;
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(panicked) => panicked.to_string(),
        };
        if let Some(clip) = self.open.remove(&camera) {
            let _ = std::fs::remove_file(clip.video.path());
        }
        self.stage.failed(&failure);
        // The first of many: each frame fails while the disk is full.
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = failure, "cannot write a clip");
        }
    }

    fn write(&mut self, event: ClipEvent) -> Result<(), ClipError> {
        match event {
            ClipEvent::Frames { camera, frames } => frames
                .iter()
                .try_for_each(|frame| self.frame(camera, frame)),
            ClipEvent::End { camera } => self.end(camera),
        }
    }

    fn frame(&mut self, camera: usize, frame: &EncodedFrame) -> Result<(), ClipError> {
        let open = self.open.get(&camera);
        if open.is_some_and(|clip| !clip.video.accepts(frame)) {
            self.end(camera)?;
        }
        if !self.open.contains_key(&camera) {
            let clip = self.begin(camera, frame)?;
            self.open.insert(camera, clip);
        }
        let Some(clip) = self.open.get_mut(&camera) else {
            return Ok(());
        };
        let after = frame.taken.millis_since(clip.first).max(0);
        let room = clip.video.frame(after, frame);
        if room.map_err(ClipError::file(clip.video.path()))? {
            clip.frames.push(u32::try_from(after).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    fn begin(&self, camera: usize, first: &EncodedFrame) -> Result<OpenClip, ClipError> {
        let folder = self.folder.path();
        std::fs::create_dir_all(folder).map_err(ClipError::file(folder))?;
        let utc = self.utc_clock.to_utc(first.taken, Timing::Driver).time;
        let name = self.cameras.get(camera).map_or("camera", String::as_str);
        let time = utc.to_string().replace(':', "-");
        let extension = clip_video::extension(first);
        let path = (0..100)
            .map(|number| match number {
                0 => folder.join(format!("{name}-{time}.{extension}")),
                _ => folder.join(format!("{name}-{time}-{number}.{extension}")),
            })
            .find(|path| !path.exists())
            .unwrap_or_else(|| folder.join(format!("{name}-{}.{extension}", self.session)));
        let part = path.with_extension(format!("{extension}.part"));
        Ok(OpenClip {
            video: ClipVideo::begin(part, first)?,
            path,
            first: first.taken,
            frames: vec![],
        })
    }

    fn end(&mut self, camera: usize) -> Result<(), ClipError> {
        let Some(clip) = self.open.remove(&camera) else {
            return Ok(());
        };
        let OpenClip {
            video,
            path: video_path,
            first,
            frames,
        } = clip;
        let (width, height) = video.size;
        let seconds = f64::from(frames.last().copied().unwrap_or(0)) / 1000.0;
        let intervals = frames.len().saturating_sub(1) as f64;
        let rate = if seconds > 0.0 {
            intervals / seconds
        } else {
            30.0
        };
        let part = video.path().to_owned();
        video.finish(rate).map_err(ClipError::file(&part))?;
        std::fs::rename(&part, &video_path).map_err(ClipError::file(&video_path))?;
        let description = ClipDescription {
            camera: self.cameras.get(camera).cloned().unwrap_or_default(),
            session: self.session,
            started: self
                .utc_clock
                .to_utc(first, Timing::Driver)
                .time
                .to_string(),
            first_frame: first,
            frames,
            width,
            height,
            written: self.outbox_clock.now().0,
        };
        let path = video_path.with_extension("json");
        let text = serde_json::to_vec(&description).map_err(|source| ClipError::Description {
            path: path.clone(),
            source,
        })?;
        write_atomically(&path, &text).map_err(ClipError::file(&path))?;
        let frames = description.frames.len();
        tracing::info!(clip = %video_path.display(), frames, seconds, "clip written");
        Ok(())
    }
}

#[cfg(test)]
mod tests;
