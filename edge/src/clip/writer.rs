//! Writes clips.

use super::avi_writer::AviWriter;
use super::clip_file::{ClipDescription, ClipError};
use super::folder::ClipFolder;
use super::ring::EncodedFrame;
use crate::stage::Stage;
use crate::time::{MonotonicTimestamp, Timing, UtcClock};
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::clock::Clock;
use image::{ImageFormat, ImageReader};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Cursor};
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
    /// The video while it is written.
    part: PathBuf,
    video: PathBuf,
    writer: AviWriter<BufWriter<File>>,
    size: (u32, u32),
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
            let _ = std::fs::remove_file(clip.part);
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
        if !self.open.contains_key(&camera) {
            let clip = self.begin(camera, frame)?;
            self.open.insert(camera, clip);
        }
        let Some(clip) = self.open.get_mut(&camera) else {
            return Ok(());
        };
        let after = frame.taken.millis_since(clip.first).max(0);
        let room = clip.writer.frame(&frame.jpeg);
        if room.map_err(ClipError::file(&clip.part))? {
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
        let video = (0..100)
            .map(|number| match number {
                0 => folder.join(format!("{name}-{time}.avi")),
                _ => folder.join(format!("{name}-{time}-{number}.avi")),
            })
            .find(|path| !path.exists())
            .unwrap_or_else(|| folder.join(format!("{name}-{}.avi", self.session)));
        let part = video.with_extension("avi.part");
        let size = dimensions(&first.jpeg).ok_or_else(|| ClipError::Frame(video.clone()))?;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(&part)
            .map_err(ClipError::file(&part))?;
        let writer = AviWriter::new(BufWriter::new(file), size.0, size.1);
        Ok(OpenClip {
            writer: writer.map_err(ClipError::file(&part))?,
            part,
            video,
            size,
            first: first.taken,
            frames: vec![],
        })
    }

    fn end(&mut self, camera: usize) -> Result<(), ClipError> {
        let Some(clip) = self.open.remove(&camera) else {
            return Ok(());
        };
        let OpenClip {
            part,
            video,
            writer,
            size: (width, height),
            first,
            frames,
        } = clip;
        let seconds = f64::from(frames.last().copied().unwrap_or(0)) / 1000.0;
        let intervals = frames.len().saturating_sub(1) as f64;
        let rate = if seconds > 0.0 {
            intervals / seconds
        } else {
            30.0
        };
        let failed = ClipError::file(&part);
        let file = writer.finish(rate).map_err(&failed)?;
        let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
        file.sync_all().map_err(&failed)?;
        std::fs::rename(&part, &video).map_err(ClipError::file(&video))?;
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
        let path = video.with_extension("json");
        let text = serde_json::to_vec(&description).map_err(|source| ClipError::Description {
            path: path.clone(),
            source,
        })?;
        write_atomically(&path, &text).map_err(ClipError::file(&path))?;
        let frames = description.frames.len();
        tracing::info!(clip = %video.display(), frames, seconds, "clip written");
        Ok(())
    }
}

/// Width and height of a JPEG image, by its header.
fn dimensions(jpeg: &[u8]) -> Option<(u32, u32)> {
    let reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    reader.into_dimensions().ok()
}

#[cfg(test)]
mod tests;
