//! Camera sequences: the open sea, flukes that rise, turn and sink, and the open sea again; frames with their truth.

use super::album::write_jpeg;
use super::difficulty::Difficulty;
use super::encounter::Dive;
use super::error::SynthError;
use super::individual::Individual;
use super::photograph::{Scene, take};
use super::seed::{Draw, Purpose, Span, generator};
use super::skin::Skin;
use super::truth::{Encounter, SequenceTruth, Sidecar};
use flukewatch_common::pixel_box::PixelBox;
use rayon::prelude::*;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// A box is given from this visible share of a fluke on.
pub const LEAST_VISIBLE: f32 = 0.25;

/// A whale that the camera meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its number.
    pub whale: u32,
    /// Whether the catalogue holds it.
    pub enrolled: bool,
}

/// How a camera looks and what it meets.
#[derive(Clone, Debug)]
pub struct Sequence<'a> {
    /// The population's seed.
    pub seed: u64,
    /// The sequence's number.
    pub number: u32,
    /// The whales, in the order in which they come.
    pub meetings: &'a [Meeting],
    /// Frames a second.
    pub frames_per_second: f32,
    /// How long the sea lies open before, between and after the flukes, in seconds.
    pub sea_seconds: Span,
    /// Pixels of a frame, across and down.
    pub size: (u32, u32),
    /// How hard the frames are.
    pub difficulty: &'a Difficulty,
}

/// What one frame shows: a dive and the time since its start, or the open sea.
struct Moment<'a> {
    frame: u32,
    dive: &'a Dive,
    since: f32,
    skin: Option<&'a Skin>,
}

impl Sequence<'_> {
    /// The sequence's name, as `seq-001`.
    pub fn name(&self) -> String {
        format!("seq-{:03}", self.number)
    }

    /// Writes the frames and their sidecars to `folder/<name>/`, the truth to `folder/<name>.truth.json`.
    ///
    /// # Errors
    /// When a file cannot be written, or a fluke never shows enough of itself.
    pub fn write(&self, folder: &Path) -> Result<SequenceTruth, SynthError> {
        let frames = folder.join(self.name());
        fs::create_dir_all(&frames).map_err(SynthError::file(&frames))?;
        let chance = &mut generator(self.seed, Purpose::Sequence, self.number, 0);
        let scene = Scene::draw(self.difficulty, self.size, chance);
        let roll = chance.around_zero(self.difficulty.roll * 0.5);
        let mut truth = SequenceTruth {
            frames_per_second: self.frames_per_second,
            encounters: vec![],
        };
        let mut next = 0;
        for (i, meeting) in self.meetings.iter().enumerate() {
            let skin = Skin::paint(&Individual::draw(self.seed, meeting.whale));
            let dive = Dive::draw(self.difficulty, self.size, roll, chance);
            let before = self.frames(chance.within(&self.sea_seconds));
            let during = self.frames(dive.seconds());
            // The sea lies open after the last fluke too.
            let after = if i + 1 == self.meetings.len() {
                self.frames(chance.within(&self.sea_seconds))
            } else {
                0
            };
            let moment = |frame: u32| {
                let since = (frame as f32 - (next + before) as f32) / self.frames_per_second;
                let met = (next + before..next + before + during).contains(&frame);
                Moment {
                    frame,
                    dive: &dive,
                    since,
                    skin: met.then_some(&skin),
                }
            };
            let end = next + before + during + after;
            let seen: Vec<(u32, Option<PixelBox>, f32)> = (next..end)
                .into_par_iter()
                .map(|f| self.frame(&frames, &scene, &moment(f)))
                .collect::<Result<_, _>>()?;
            let clear = |(_, fluke, visible): &&(u32, Option<PixelBox>, f32)| {
                fluke.is_some() && *visible >= LEAST_VISIBLE
            };
            let whale = Individual::name(meeting.whale);
            let (Some(first), Some(last)) = (seen.iter().find(clear), seen.iter().rfind(clear))
            else {
                return Err(SynthError::Unlucky { whale });
            };
            for &(frame, fluke, _) in &seen {
                // A wave that hides a fluke for a moment does not end its encounter.
                let met = (first.0..=last.0).contains(&frame);
                let boxes = fluke.filter(|_| met).into_iter().collect();
                write_json(&frames.join(format!("{frame:06}.json")), &Sidecar { boxes })?;
            }
            truth.encounters.push(Encounter {
                first: first.0,
                last: last.0,
                whale,
                enrolled: meeting.enrolled,
            });
            next = end;
        }
        write_json(&folder.join(format!("{}.truth.json", self.name())), &truth)?;
        Ok(truth)
    }

    fn frames(&self, seconds: f32) -> u32 {
        (seconds * self.frames_per_second).round().max(1.0) as u32
    }

    /// Takes and writes one frame; returns its number, the fluke's box and visible share.
    fn frame(
        &self,
        folder: &Path,
        scene: &Scene,
        moment: &Moment,
    ) -> Result<(u32, Option<PixelBox>, f32), SynthError> {
        let mut scene = scene.clone();
        scene.sea.time = moment.frame as f32 / self.frames_per_second;
        scene.water = scene
            .water
            .at_moment(moment.frame, moment.dive.runoff(moment.since));
        scene.lens = scene.lens.at_moment(moment.frame);
        let chance = &mut generator(self.seed, Purpose::Sequence, self.number, moment.frame + 1);
        let photograph = take(&scene, &moment.dive.view(moment.since), moment.skin, chance);
        write_jpeg(
            &folder.join(format!("{:06}.jpg", moment.frame)),
            &photograph.picture,
            scene.lens.quality,
        )?;
        Ok((moment.frame, photograph.fluke, photograph.visible))
    }
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// When the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SynthError> {
    let mut text = serde_json::to_string(value).map_err(|e| SynthError::Table {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    text.push('\n');
    fs::write(path, text).map_err(SynthError::file(path))
}
