//! Compares two engines that run a detector: how far their maps of frames drawn from a seed differ.

use super::input::DetectorInput;
use super::maps::{StrideLevel, levels};
use crate::drawn::{IMAGES, SEED, random_frame};
use crate::engine::agreement::AgreementCheck;
use crate::engine::{Engine, EngineError};
use flukewatch_common::bundle::DetectorInfo;
use serde::Serialize;
use std::fmt;

/// The greatest accepted difference of a cell's scores. TensorRT computes convolutions with factors of 11 significant bits, in TF32 by
/// default and in FP16 where the configuration allows it, and sums in floats.
pub const MAX_SCORE_DIFFERENCE: f32 = 0.05;
/// The greatest accepted difference of the logarithms of a distance from a cell to an edge of its box: about 5 % of the distance.
pub const MAX_DISTANCE_DIFFERENCE: f32 = 0.05;
/// The greatest accepted mean difference of the logits of all cells. Scores of open sea are 0 to many decimals; their logits still show
/// whether both engines run the same network.
pub const MAX_LOGIT_DIFFERENCE: f32 = 0.1;
/// Distances are compared in cells that score at least this with one of the engines: others make no boxes.
const MIN_SCORE: f32 = 0.1;

/// How far the outputs of two engines differ, over all frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct MapDifference {
    /// The greatest difference of a cell's scores.
    pub score: f32,
    /// The greatest difference of the logarithms of a distance, where a box may be.
    pub distance: f32,
    /// The mean difference of the logits; infinite if an output is not finite or too short.
    pub logit: f32,
}

impl MapDifference {
    /// Whether every difference is accepted.
    pub fn is_accepted(&self) -> bool {
        // Also false for NaN.
        self.score <= MAX_SCORE_DIFFERENCE
            && self.distance <= MAX_DISTANCE_DIFFERENCE
            && self.logit <= MAX_LOGIT_DIFFERENCE
    }
}

impl fmt::Display for MapDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            score,
            distance,
            logit,
        } = self;
        write!(
            f,
            "scores differ by up to {score:.4} (limit {MAX_SCORE_DIFFERENCE}), distances by up to {:.1} % \
             (limit {:.0} %), logits by {logit:.4} on average (limit {MAX_LOGIT_DIFFERENCE})",
            100.0 * distance,
            100.0 * MAX_DISTANCE_DIFFERENCE
        )
    }
}

/// Engines of a detector agree where the differences of their maps of drawn frames are accepted.
pub struct MapsAgree {
    /// The description of the detector.
    pub info: DetectorInfo,
}

impl AgreementCheck for MapsAgree {
    fn difference(
        &self,
        engine: &mut dyn Engine,
        reference: &mut dyn Engine,
    ) -> Result<Option<String>, EngineError> {
        let found = map_difference(&self.info, engine, reference)?;
        let accepted = found.is_accepted();
        Ok((!accepted).then(|| format!("on drawn frames, {found}")))
    }
}

/// Runs both engines on drawn frames and compares their maps.
///
/// # Errors
/// When an engine fails on a frame, or the preparation of `info` is invalid.
pub fn map_difference(
    info: &DetectorInfo,
    one: &mut dyn Engine,
    other: &mut dyn Engine,
) -> Result<MapDifference, EngineError> {
    let unfit = |e: &dyn fmt::Display| EngineError::Unsupported(e.to_string());
    let mut input = DetectorInput::new(&info.preparation).map_err(|e| unfit(&e))?;
    let levels = levels(
        info.preparation.width,
        info.preparation.height,
        &info.strides,
    );
    let mut total = MapDifference::default();
    for number in 0..IMAGES {
        let frame = random_frame(SEED, number);
        input.fill(&frame).map_err(|e| unfit(&e))?;
        let (a, b) = (one.run(input.numbers())?, other.run(input.numbers())?);
        let found = of_outputs(&levels, &a, &b);
        total.score = total.score.max(found.score);
        total.distance = total.distance.max(found.distance);
        total.logit += found.logit / IMAGES as f32;
    }
    Ok(total)
}

/// The difference of two outputs.
fn of_outputs(levels: &[StrideLevel], one: &[f32], other: &[f32]) -> MapDifference {
    const WRONG: MapDifference = MapDifference {
        score: 1.0,
        distance: f32::INFINITY,
        logit: f32::INFINITY,
    };
    let numbers = levels
        .iter()
        .map(|l| l.start + super::maps::MAPS * l.cells());
    let expected = numbers.max().unwrap_or(0);
    let is_whole =
        |output: &[f32]| output.len() == expected && output.iter().all(|v| v.is_finite());
    if !is_whole(one) || !is_whole(other) {
        return WRONG;
    }
    let mut found = MapDifference::default();
    let (mut sum, mut count) = (0.0f64, 0usize);
    for level in levels {
        let cells = level.cells();
        for cell in level.start..level.start + cells {
            let (a, b) = (one[cell], other[cell]);
            let (p, q) = (score(a), score(b));
            found.score = found.score.max((p - q).abs());
            sum += f64::from((a - b).abs());
            count += 1;
            if p.max(q) >= MIN_SCORE {
                for map in 1..super::maps::MAPS {
                    let at = cell + map * cells;
                    found.distance = found.distance.max((one[at] - other[at]).abs());
                }
            }
        }
    }
    found.logit = (sum / count.max(1) as f64) as f32;
    found
}

/// The score of a logit.
fn score(logit: f32) -> f32 {
    1.0 / (1.0 + (-logit).exp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Detector;
    use crate::engine::tract::{TractEngine, TractForm};
    use crate::samples::{detector_info, detector_model};

    /// One level of a single cell: its logit and four distances.
    fn cell(one: [f32; 5], other: [f32; 5]) -> MapDifference {
        of_outputs(&levels(8, 8, &[8]), &one, &other)
    }

    #[test]
    fn differences_worked_by_hand() {
        let same = [0.0, 1.0, 1.0, 1.0, 1.0];
        assert_eq!(cell(same, same), MapDifference::default());
        // Scores of 0.5 and 0.75.
        let found = cell(same, [3f32.ln(), 1.0, 1.0, 1.0, 1.2]);
        assert!((found.score - 0.25).abs() < 1e-6, "{found:?}");
        assert!((found.distance - 0.2).abs() < 1e-6, "{found:?}");
        assert!((found.logit - 3f32.ln()).abs() < 1e-6, "{found:?}");
        // Distances of open sea do not matter, its logits do.
        let sea = cell([-9.0, 1.0, 1.0, 1.0, 1.0], [-8.0, 5.0, 1.0, 1.0, 1.0]);
        assert!(sea.score < 0.001 && sea.distance == 0.0, "{sea:?}");
        assert!(sea.logit == 1.0 && !sea.is_accepted(), "{sea:?}");
    }

    #[test]
    fn what_is_not_finite_or_of_another_size_is_not_agreement() {
        let same = [0.0, 1.0, 1.0, 1.0, 1.0];
        assert!(!cell(same, [0.0, f32::NAN, 1.0, 1.0, 1.0]).is_accepted());
        assert!(!of_outputs(&levels(8, 8, &[8]), &same, &same[..4]).is_accepted());
        let nan = MapDifference {
            score: f32::NAN,
            ..MapDifference::default()
        };
        assert!(!nan.is_accepted());
    }

    #[test]
    fn a_detector_agrees_with_itself_and_with_no_other() {
        let load =
            |gain, bias| TractEngine::load(&detector_model(gain, bias), TractForm::AsIs).unwrap();
        let check = MapsAgree {
            info: detector_info(),
        };
        let difference = |gain, bias| {
            let found = check.difference(&mut load(20.0, -10.0), &mut load(gain, bias));
            found.unwrap()
        };
        assert_eq!(difference(20.0, -10.0), None);
        assert_eq!(difference(20.0, -10.05), None, "within the tolerance");
        let why = difference(20.0, -11.0).unwrap();
        assert!(
            why.starts_with("on drawn frames, scores differ by up to "),
            "{why}"
        );
        assert!(difference(-20.0, 10.0).is_some());
        let mut other = MapsAgree {
            info: detector_info(),
        };
        other.info.strides = vec![4];
        let same = other.difference(&mut load(20.0, -10.0), &mut load(20.0, -10.0));
        assert!(
            same.unwrap().is_some(),
            "the maps do not fit the description"
        );
        assert!(
            Detector::with_engine("whales", &detector_info(), Box::new(load(20.0, -10.0))).is_ok()
        );
    }
}
