//! The folder of clips, within limits.

use super::clip_file::{ClipDescription, ClipError};
use super::clip_video::EXTENSIONS;
use crate::recording::Recording;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::UnavailableReason;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How much of the clips is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClipLimits {
    /// The longest time since a clip was written, by the outbox's clock.
    pub max_age: Duration,
    /// The total size beyond which the oldest are deleted.
    pub max_bytes: u64,
}

/// The clips of a boat.
#[derive(Clone, Debug)]
pub struct ClipFolder {
    folder: PathBuf,
}

/// A clip on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clip {
    /// The video.
    pub video: PathBuf,
    /// The size of video and description, in bytes.
    pub bytes: u64,
    /// What is known of it.
    pub description: ClipDescription,
}

impl ClipFolder {
    /// The clips beside the outbox in `outbox`.
    pub fn of(outbox: &Path) -> Self {
        Self {
            folder: outbox.join("clips"),
        }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// All clips, oldest first. Damaged ones are logged and left out.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn clips(&self) -> Result<Vec<Clip>, ClipError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(ClipError::file(&self.folder)(e)),
        };
        let mut clips = vec![];
        for entry in entries {
            let path = entry.map_err(ClipError::file(&self.folder))?.path();
            if path.extension().is_none_or(|e| e != "json") {
                continue;
            }
            match read(&path) {
                Ok(clip) => clips.push(clip),
                Err(error) => tracing::warn!(%error, "skipping clip"),
            }
        }
        clips.sort_by(|a: &Clip, b| {
            let key = |c: &Clip| (c.description.written, c.video.clone());
            key(a).cmp(&key(b))
        });
        Ok(clips)
    }

    /// The video of a recorded encounter: of those that continue each other the one that shows most of it; or why
    /// there is none.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn clip_of(
        &self,
        recording: &Recording,
    ) -> Result<Result<PathBuf, UnavailableReason>, ClipError> {
        if !self.folder.is_dir() {
            return Ok(Err(UnavailableReason::NotRecorded));
        }
        let Recording {
            sighting, track, ..
        } = recording;
        let mut clips = self.clips()?;
        clips.retain(|clip| clip.description.camera == sighting.camera);
        // How long a clip shows the encounter, in milliseconds; negative where it does not.
        let shown = |clip: &Clip| {
            let ClipDescription {
                first_frame,
                frames,
                ..
            } = &clip.description;
            let last = i64::from(frames.last().copied().unwrap_or(0));
            let begin = track.started.millis_since(*first_frame).max(0);
            track.ended.millis_since(*first_frame).min(last) - begin
        };
        let of_run = clips
            .iter()
            .filter(|c| c.description.session == track.session);
        let best = of_run.max_by_key(|clip| shown(clip));
        if let Some(clip) = best.filter(|clip| shown(clip) >= 0) {
            return Ok(Ok(clip.video.clone()));
        }
        // The oldest are deleted first.
        let is_older = |clip: &Clip| {
            let started = clip.description.started_at();
            started.is_some_and(|started| started <= sighting.started)
        };
        Ok(Err(if clips.is_empty() {
            UnavailableReason::NotAboard
        } else if clips.iter().any(is_older) {
            UnavailableReason::NotRecorded
        } else {
            UnavailableReason::Deleted
        }))
    }

    /// Deletes the oldest clips of about `bytes`, by the rules of [`ClipFolder::prune`], also requested ones. Returns how many.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn free(
        &self,
        bytes: u64,
        unacknowledged: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<usize, ClipError> {
        let all: u64 = self.clips()?.iter().map(|c| c.bytes).sum();
        let limits = ClipLimits {
            max_age: Duration::MAX,
            max_bytes: all.saturating_sub(bytes),
        };
        self.prune(limits, unacknowledged, &[], now)
    }

    /// Deletes clips beyond `limits`, oldest first, at `now` by the outbox's clock; never one written
    /// after `unacknowledged`, when the oldest sighting was recorded that shore does not have, and none of
    /// the names in `requested`. Returns how many were deleted.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn prune(
        &self,
        limits: ClipLimits,
        unacknowledged: Option<Timestamp>,
        requested: &[String],
        now: Timestamp,
    ) -> Result<usize, ClipError> {
        let clips = self.clips()?;
        let mut bytes: u64 = clips.iter().map(|c| c.bytes).sum();
        let max_age = i64::try_from(limits.max_age.as_millis()).unwrap_or(i64::MAX);
        let mut deleted = 0;
        for clip in clips {
            let written = Timestamp(clip.description.written);
            let protected = unacknowledged.is_some_and(|since| written >= since);
            let old = now.millis_since(written) > max_age;
            if protected || bytes <= limits.max_bytes && !old {
                break;
            }
            let name = clip.video.file_name().map(|name| name.to_string_lossy());
            if requested
                .iter()
                .any(|r| Some(r.as_str()) == name.as_deref())
            {
                continue;
            }
            // The description last: a video without it is not found again.
            for file in [clip.video.clone(), clip.video.with_extension("json")] {
                if let Err(error) = std::fs::remove_file(&file)
                    && error.kind() != ErrorKind::NotFound
                {
                    tracing::warn!(file = %file.display(), %error, "cannot delete a clip");
                }
            }
            bytes -= clip.bytes;
            deleted += 1;
        }
        Ok(deleted)
    }
}

fn read(path: &Path) -> Result<Clip, ClipError> {
    let text = std::fs::read(path).map_err(ClipError::file(path))?;
    let description = serde_json::from_slice(&text).map_err(|source| ClipError::Description {
        path: path.to_owned(),
        source,
    })?;
    let videos = EXTENSIONS.map(|extension| path.with_extension(extension));
    let missing = || ClipError::NoVideo(path.to_owned());
    let video = videos.into_iter().find(|video| video.exists());
    let video = video.ok_or_else(missing)?;
    let size = std::fs::metadata(&video).map_err(ClipError::file(&video))?;
    Ok(Clip {
        bytes: size.len() + text.len() as u64,
        video,
        description,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::MonotonicTimestamp;
    use uuid::Uuid;

    fn description(written: i64) -> ClipDescription {
        ClipDescription {
            camera: "bow".into(),
            session: Uuid::from_u128(4),
            started: "2026-11-23T16:20:00.000Z".into(),
            first_frame: MonotonicTimestamp::from_millis(5000),
            frames: vec![0, 33, 1000],
            width: 640,
            height: 360,
            written,
        }
    }

    fn names(folder: &ClipFolder) -> Vec<i64> {
        let clips = folder.clips().unwrap();
        clips.iter().map(|c| c.description.written).collect()
    }

    #[test]
    fn the_oldest_clips_that_shore_knows_of_are_deleted() {
        let outbox = tempfile::tempdir().unwrap();
        let folder = ClipFolder::of(outbox.path());
        assert_eq!(names(&folder).len(), 0);
        std::fs::create_dir(folder.path()).unwrap();
        for written in [3000, 1000, 2000, 4000] {
            let path = folder.path().join(format!("bow-{written}"));
            std::fs::write(path.with_extension("avi"), [0; 1000]).unwrap();
            let text = serde_json::to_vec(&description(written)).unwrap();
            std::fs::write(path.with_extension("json"), text).unwrap();
        }
        std::fs::write(folder.path().join("damaged.json"), b"{").unwrap();
        assert_eq!(names(&folder), [1000, 2000, 3000, 4000]);
        let limits = |seconds, max_bytes| ClipLimits {
            max_age: Duration::from_secs(seconds),
            max_bytes,
        };
        let prune_but = |limits, unacknowledged: Option<i64>, requested: &[String]| {
            let unacknowledged = unacknowledged.map(Timestamp);
            folder.prune(limits, unacknowledged, requested, Timestamp(5000))
        };
        let prune = |limits, unacknowledged| prune_but(limits, unacknowledged, &[]);
        assert_eq!(prune(limits(9, 1 << 20), None).unwrap(), 0);
        assert_eq!(prune(limits(3, 1 << 20), None).unwrap(), 1);
        assert_eq!(names(&folder), [2000, 3000, 4000]);
        assert_eq!(prune(limits(9, 0), Some(3000)).unwrap(), 1);
        assert_eq!(names(&folder), [3000, 4000]);
        let requested = ["bow-3000.avi".to_owned()];
        assert_eq!(prune_but(limits(1, 0), None, &requested).unwrap(), 1);
        assert_eq!(names(&folder), [3000], "shore has requested it");
        assert_eq!(prune(limits(1, 0), None).unwrap(), 1);
        assert_eq!(names(&folder).len(), 0);
    }
}
