//! From trained weights to the detector that a boat runs.
//!
//! It stays in 32-bit floats: the boat's engine turns int8 weights into floats when it loads them, so that a detector in int8 would
//! run no faster, and half a megabyte is nothing beside the model that names whales.

use super::checkpoint::{DetectorCheckpoint, DetectorCheckpointError};
use super::network::{ARCHITECTURE, DetectorNetwork, SIZE, STRIDES};
use crate::export::fold::steps_of;
use crate::export::onnx::{OPSET, write_maps};
use crate::network::shapes_of;
use crate::network::weights::{Weights, WeightsError, select_parameters};
use flukewatch_common::bundle::{DetectorInfo, ModelInfo, Precision};
use flukewatch_common::detector::maps::Maps;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use prost::Message;
use std::path::Path;

/// The output's name.
const OUTPUT: &str = "maps";

/// How frames are prepared for the exported detector.
pub fn preparation() -> Preparation {
    preparation_of(SIZE.0, SIZE.1)
}

/// The same for pictures of another size, while it is taught.
pub fn preparation_of(height: u32, width: u32) -> Preparation {
    Preparation {
        height,
        width,
        colour: Colour::Grey,
        fit: Fit::Letterbox,
        margin: 0.0,
        mean: vec![110.0],
        deviation: vec![64.0],
    }
}

/// The detector as an ONNX file, for one picture `[1, 1, 360, 640] f32`.
///
/// # Errors
/// When weights are missing or of another shape.
pub fn model(weights: &Weights) -> Result<Vec<u8>, WeightsError> {
    let network = DetectorNetwork::new();
    let path = Path::new("the trained weights");
    let weights = select_parameters(network.parameters(), weights, path)?;
    let input = [1, SIZE.0 as usize, SIZE.1 as usize];
    let steps = steps_of(&network.nodes, &shapes_of(&network.nodes, input), &weights);
    let outputs: Vec<usize> = network
        .outputs
        .iter()
        .filter_map(|&node| steps.iter().position(|s| s.node == node))
        .collect();
    let numbers = Maps::new(SIZE.1, SIZE.0, &STRIDES).numbers();
    Ok(write_maps(&steps, input, &outputs, numbers, OUTPUT).encode_to_vec())
}

/// A trained detector as a bundle takes it.
///
/// # Errors
/// When the run cannot be read, or its weights are another network's.
pub fn export(
    run: &Path,
    threshold: f32,
) -> Result<(DetectorInfo, Vec<u8>), DetectorCheckpointError> {
    let checkpoint = DetectorCheckpoint::read(run)?.for_export();
    let info = DetectorInfo {
        preparation: preparation(),
        strides: STRIDES.to_vec(),
        threshold,
        model: ModelInfo {
            architecture: ARCHITECTURE.into(),
            precision: Precision::F32,
            opset: OPSET as u32,
            trained_on: format!("{} in {} steps", checkpoint.trained_on, checkpoint.steps),
        },
    };
    Ok((info, model(&checkpoint.tensors)?))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::network::weights::Values;
    use flukewatch_common::bundle::Bundle;
    use flukewatch_common::detector::Detector;
    use image::RgbImage;

    /// Weights that find nothing, or a fluke everywhere.
    pub(crate) fn weights(logit: f32) -> Weights {
        DetectorNetwork::new()
            .parameters()
            .into_iter()
            .map(|p| {
                let count = p.shape.iter().product();
                let mut data = vec![
                    if p.name.ends_with("running_var") {
                        1.0
                    } else {
                        0.01
                    };
                    count
                ];
                if p.name.ends_with("maps.bias") {
                    data = vec![logit, 0.5, 0.5, 0.5, 0.5];
                } else if p.name.ends_with("maps.weight") {
                    data.fill(0.0);
                }
                let shape = p.shape;
                (p.name, Values { shape, data })
            })
            .collect()
    }

    pub(crate) fn info() -> DetectorInfo {
        DetectorInfo {
            preparation: preparation(),
            strides: STRIDES.to_vec(),
            threshold: 0.5,
            model: ModelInfo {
                architecture: ARCHITECTURE.into(),
                precision: Precision::F32,
                opset: OPSET as u32,
                trained_on: "nothing".into(),
            },
        }
    }

    #[test]
    fn an_exported_detector_runs_on_the_boat_and_travels_in_a_bundle() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/humpback-lite0");
        let bundle = Bundle::open(&shipped).unwrap().with_detector(None).unwrap();
        assert!(Detector::open(&bundle).unwrap().is_none());
        let folder = tempfile::tempdir().unwrap();
        let frame = RgbImage::from_pixel(300, 200, image::Rgb([90; 3]));
        for (logit, some) in [(-5.0, false), (2.0, true)] {
            let part = (info(), model(&weights(logit)).unwrap());
            let with = bundle.clone().with_detector(Some(part)).unwrap();
            let path = folder.path().join("with.flukebundle");
            with.save(&path).unwrap();
            let opened = Bundle::open(&path).unwrap();
            let mut detector = Detector::open(&opened).unwrap().unwrap();
            let mut found = vec![];
            detector.detect(&frame, &mut found).unwrap();
            assert_eq!(!found.is_empty(), some, "{found:?}");
        }
    }
}
