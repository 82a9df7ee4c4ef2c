//! Records flukes in clips that were not recorded.

use super::again::Again;
use super::clip_search::{SharedDetector, search};
use super::missed::{MissedEncounters, Recorded, missed};
use super::{ReprocessError, ReprocessOptions, Reprocessed};
use crate::clip::{Clip, ClipFolder};
use crate::config::Config;
use crate::models::{Models, PerceptionNeeds};
use crate::outbox::{Outbox, Recordings};
use crate::recorder::NewRecording;
use crate::session::{SessionError, open_outbox, perception_camera};
use crate::time::SystemMonotonicClock;
use flukewatch_common::clock::Clock;
use flukewatch_common::sighting::BoatId;
use flukewatch_inference::engine::plan_queue::PlanQueue;
use std::fmt;
use std::sync::Arc;

/// Searches the clips of `config`'s boat with the detector of its bundle. Flukes that were not recorded are recorded and identified;
/// for that, the boat must not be working. Each of them, and each clip that cannot be searched, is given to `done`.
///
/// # Errors
/// When bundle, outbox or clips cannot be used, or the bundle has no detector; then some clips may be done.
pub fn reprocess_clips(
    config: &Config,
    options: &ReprocessOptions,
    mut done: impl FnMut(Reprocessed),
) -> Result<(), ReprocessError> {
    let boat: BoatId = config.boat.name.parse().map_err(SessionError::from)?;
    let outbox = match options.dry_run {
        true => None,
        false => Some(open_outbox(config)?),
    };
    let recordings = Recordings::open(&config.outbox.path)?;
    let mut recorded = vec![];
    for id in recordings.all()? {
        match recordings.load(id)? {
            Ok(recording) => recorded.push(Recorded::of(&recording)),
            Err(error) => tracing::warn!(sighting = %id, %error, "skipping recording"),
        }
    }
    let models = Models::open(config, &PlanQueue::default())?;
    let Models {
        identifier,
        detector,
        needs,
        ..
    } = models;
    let no_detector = || ReprocessError::NoDetector(config.bundle.path.clone());
    let detector = detector.ok_or_else(no_detector)?.detector;
    let mut clips = Clips {
        config,
        boat,
        needs,
        detector: SharedDetector::new(Box::new(detector)),
        grey: identifier.is_grey(),
        outbox,
        recorded,
        again: Again::new(config, recordings, identifier, options),
    };
    for clip in ClipFolder::of(&config.outbox.path).clips()? {
        let started = clip.description.started_at();
        let is_early = |since| started.is_some_and(|started| started < since);
        if !options.since.is_some_and(is_early) {
            clips.search(&clip, &mut done)?;
        }
    }
    Ok(())
}

/// What searches clips.
struct Clips<'a> {
    config: &'a Config,
    boat: BoatId,
    needs: PerceptionNeeds,
    detector: SharedDetector,
    grey: bool,
    /// `None` where nothing is to be recorded.
    outbox: Option<Outbox>,
    recorded: Vec<Recorded>,
    again: Again,
}

impl Clips<'_> {
    /// Searches a clip, and records what was missed in it.
    fn search(
        &mut self,
        clip: &Clip,
        done: &mut impl FnMut(Reprocessed),
    ) -> Result<(), ReprocessError> {
        let name = clip.video.file_name().unwrap_or_default();
        let mut result = Reprocessed {
            sighting: None,
            sequence: None,
            started: clip.description.started.clone(),
            clip: Some(name.to_string_lossy().into_owned()),
            before: "not recorded".into(),
            after: None,
            queued: false,
            error: None,
        };
        match self.missed(clip) {
            Ok(missed) => {
                for new in missed {
                    result.started = new.recording.sighting.started.to_string();
                    done(self.record(&new, result.clone())?);
                }
            }
            Err(error) => {
                result.error = Some(error);
                done(result);
            }
        }
        Ok(())
    }

    /// The encounters in a clip that were not recorded; in words why it cannot be searched.
    fn missed(&self, clip: &Clip) -> Result<Vec<NewRecording>, String> {
        fn text(error: impl fmt::Display) -> String {
            error.to_string()
        }
        let mut cameras = self.config.cameras.iter().enumerate();
        let name = &clip.description.camera;
        let (index, section) = cameras
            .find(|(_, camera)| camera.name == *name)
            .ok_or_else(|| format!("the configuration has no camera '{name}'"))?;
        let camera = perception_camera(self.config, section, self.needs, false);
        let detector = Box::new(self.detector.clone());
        let found = search(clip, camera, detector, self.grey).map_err(text)?;
        let missed = missed(&clip.description, found, &self.recorded);
        let mut new = MissedEncounters::of(self.config, &self.boat, clip, index, &self.recorded)
            .map_err(text)?;
        let recorded = missed.into_iter().map(|encounter| new.record(encounter));
        recorded.map(|new| new.map_err(text)).collect()
    }

    /// Records and identifies an encounter.
    fn record(
        &mut self,
        new: &NewRecording,
        result: Reprocessed,
    ) -> Result<Reprocessed, ReprocessError> {
        let Some(outbox) = &mut self.outbox else {
            return Ok(result);
        };
        let now = outbox.clock(Arc::new(SystemMonotonicClock))?.now();
        outbox.record(&new.recording, &new.jpeg, new.taken, now)?;
        self.recorded.push(Recorded::of(&new.recording));
        let Some(before) = self.again.recordings.newest(new.recording.sighting.id)? else {
            return Ok(result);
        };
        Ok(Reprocessed {
            clip: result.clip,
            before: result.before,
            ..self.again.identify(&before)?
        })
    }
}

#[cfg(test)]
mod tests;
