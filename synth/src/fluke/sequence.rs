//! Camera sequences: open sea, flukes that rise, turn and sink, open sea again; frames with their
//! truth.

use super::album::write_jpeg;
use super::difficulty::Difficulty;
use super::dive::Dive;
use super::individual::Individual;
use super::photograph::{Scene, take};
use super::skin::Skin;
use super::truth::{Encounter, SequenceTruth};
use crate::error::SynthError;
use crate::seed::{Draw, Purpose, Span, generator};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sidecar::Sidecar;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;
use std::fs;
use std::ops::Range;
use std::path::Path;

/// Minimum visible fraction of a fluke that has a box.
pub const MIN_VISIBLE: f32 = 0.25;

/// A whale of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedEncounter {
    /// The whale's number, from 1.
    pub whale: u32,
    /// Whether the whale is in the catalogue.
    pub enrolled: bool,
}

/// Settings of one camera sequence.
#[derive(Clone, Debug)]
pub struct Sequence<'a> {
    /// The seed of the population.
    pub seed: u64,
    /// The sequence's number, from 1.
    pub number: u32,
    /// The whales, in order of appearance.
    pub encounters: &'a [PlannedEncounter],
    /// Frames per second.
    pub frames_per_second: f32,
    /// Duration of open sea before, between and after the flukes, in seconds.
    pub sea_seconds: Span,
    /// Width and height of a frame in pixels.
    pub size: (u32, u32),
    /// The ranges from which poses, light and water are drawn.
    pub difficulty: &'a Difficulty,
}

/// A part of a sequence: open sea and one fluke's dive, or the open sea after the last one.
struct Passage {
    encounter: PlannedEncounter,
    dive: Dive,
    /// All frames of the part.
    frames: Range<u32>,
    /// Frames of the dive.
    diving: Range<u32>,
}

/// The result of one frame.
struct Taken {
    frame: u32,
    fluke: Option<PixelBox>,
    /// Whether enough of the fluke is visible for a box.
    clear: bool,
}

impl Sequence<'_> {
    /// The sequence's name, e.g. `seq-001`.
    pub fn name(&self) -> String {
        format!("seq-{:03}", self.number)
    }

    /// Writes the frames and their sidecars to `folder/<name>/`, the truth to
    /// `folder/<name>.truth.json`.
    ///
    /// # Errors
    /// If a file cannot be written, or a fluke never shows enough of itself.
    pub fn write(&self, folder: &Path) -> Result<SequenceTruth, SynthError> {
        let frames = folder.join(self.name());
        fs::create_dir_all(&frames).map_err(SynthError::file(&frames))?;
        let rng = &mut generator(self.seed, Purpose::Sequence, self.number, 0);
        let scene = Scene::draw(self.difficulty, self.size, rng);
        let passages = self.script(rng);
        let encounters = passages
            .iter()
            .map(|p| self.play(&frames, &scene, p))
            .collect::<Result<_, _>>()?;
        let truth = SequenceTruth {
            frames_per_second: self.frames_per_second,
            encounters,
        };
        write_json(&folder.join(format!("{}.truth.json", self.name())), &truth)?;
        Ok(truth)
    }

    /// Draws the time and motion of each dive.
    fn script(&self, rng: &mut ChaCha8Rng) -> Vec<Passage> {
        let roll = rng.around_zero(self.difficulty.roll * 0.5);
        let count = |seconds: f32| (seconds * self.frames_per_second).round().max(1.0) as u32;
        let mut passages = vec![];
        let mut next = 0;
        for (i, &encounter) in self.encounters.iter().enumerate() {
            let dive = Dive::draw(self.difficulty, self.size, roll, rng);
            let start = next + count(rng.within(&self.sea_seconds));
            let diving = start..start + count(dive.seconds());
            let mut end = diving.end;
            if i + 1 == self.encounters.len() {
                end += count(rng.within(&self.sea_seconds));
            }
            passages.push(Passage {
                encounter,
                dive,
                frames: next..end,
                diving,
            });
            next = end;
        }
        passages
    }

    /// Writes the frames and sidecars of one passage; returns its truth.
    fn play(
        &self,
        folder: &Path,
        scene: &Scene,
        passage: &Passage,
    ) -> Result<Encounter, SynthError> {
        let skin = Skin::paint(&Individual::draw(self.seed, passage.encounter.whale));
        let frames = passage.frames.clone().into_par_iter();
        let taken: Vec<Taken> = frames
            .map(|f| self.frame(folder, scene, passage, &skin, f))
            .collect::<Result<_, _>>()?;
        let whale = Individual::name(passage.encounter.whale);
        let first = taken.iter().find(|t| t.clear).map(|t| t.frame);
        let last = taken.iter().rfind(|t| t.clear).map(|t| t.frame);
        let (Some(first), Some(last)) = (first, last) else {
            return Err(SynthError::NoVisibleFluke { whale });
        };
        for Taken { frame, fluke, .. } in taken {
            // A wave that briefly hides much of a fluke does not end its encounter.
            let boxes = fluke
                .filter(|_| (first..=last).contains(&frame))
                .into_iter()
                .collect();
            write_json(&folder.join(format!("{frame:06}.json")), &Sidecar { boxes })?;
        }
        Ok(Encounter {
            first,
            last,
            whale,
            enrolled: passage.encounter.enrolled,
        })
    }

    /// Takes and writes one frame.
    fn frame(
        &self,
        folder: &Path,
        scene: &Scene,
        passage: &Passage,
        skin: &Skin,
        frame: u32,
    ) -> Result<Taken, SynthError> {
        let since = (frame as f32 - passage.diving.start as f32) / self.frames_per_second;
        let mut scene = scene.clone();
        scene.sea.time = frame as f32 / self.frames_per_second;
        scene.water = scene.water.at_moment(frame, passage.dive.runoff(since));
        scene.lens = scene.lens.at_moment(frame);
        let rng = &mut generator(self.seed, Purpose::Frame, self.number, frame);
        let skin = passage.diving.contains(&frame).then_some(skin);
        let photograph = take(&scene, &passage.dive.view(since), skin, rng);
        write_jpeg(
            &folder.join(format!("{frame:06}.jpg")),
            &photograph.picture,
            scene.lens.quality,
        )?;
        let (fluke, clear) = (photograph.fluke, photograph.visible >= MIN_VISIBLE);
        Ok(Taken {
            frame,
            fluke,
            clear: clear && fluke.is_some(),
        })
    }
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// If the file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), SynthError> {
    let mut text = serde_json::to_string(value).map_err(|e| SynthError::Table {
        path: path.to_owned(),
        reason: e.to_string(),
    })?;
    text.push('\n');
    fs::write(path, text).map_err(SynthError::file(path))
}
