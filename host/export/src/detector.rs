//! A trained detector as a part of a bundle.
//!
//! It stays in 32-bit floats: the boat's engine converts int8 weights to floats when it loads them, so an
//! int8 detector would not be faster, and half a megabyte is little compared with the embedding model.

use flukewatch_common::bundle::{DetectorInfo, ModelInfo, Precision};
use flukewatch_network::weights::{Weights, WeightsError, select_parameters};
use flukewatch_onnx::export::maps_model;
use flukewatch_onnx::proto::build::OPSET;
use flukewatch_train::detector::checkpoint::DetectorCheckpoint;
use flukewatch_train::detector::network::{ARCHITECTURE, DetectorNetwork, SIZE, STRIDES};
use flukewatch_train::detector::preparation::preparation;
use flukewatch_train::trainer::checkpoint::CheckpointError;
use std::path::Path;

const OUTPUT: &str = "maps";

/// The detector as an ONNX file, for one picture `[1, 1, 360, 640] f32`.
///
/// # Errors
/// When weights are missing or of another shape.
pub fn model(weights: &Weights) -> Result<Vec<u8>, WeightsError> {
    let network = DetectorNetwork::new();
    let path = Path::new("the trained weights");
    let weights = select_parameters(network.parameters(), weights, path)?;
    let input = [1, SIZE.0 as usize, SIZE.1 as usize];
    let (nodes, outputs) = (&network.nodes, &network.outputs);
    Ok(maps_model(nodes, &weights, input, outputs, OUTPUT))
}

/// Exports the checkpoint of a run, given its folder or the file.
///
/// # Errors
/// When the checkpoint cannot be read, or its weights do not match the network.
pub fn export(run: &Path, threshold: f32) -> Result<(DetectorInfo, Vec<u8>), CheckpointError> {
    let checkpoint = DetectorCheckpoint::read(&DetectorCheckpoint::find(run))?.for_export();
    let info = DetectorInfo {
        preparation: preparation(),
        strides: STRIDES.to_vec(),
        threshold,
        model: ModelInfo {
            architecture: ARCHITECTURE.into(),
            precision: Precision::F32,
            opset: OPSET as u32,
            trained_on: format!(
                "{} in {} steps",
                checkpoint.trained_on, checkpoint.progress.steps
            ),
        },
    };
    Ok((info, model(&checkpoint.tensors)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_common::bundle::Bundle;
    use flukewatch_inference::detector::Detector;
    use flukewatch_network::weights::Values;
    use image::RgbImage;

    /// Weights that detect nothing, or a fluke everywhere.
    fn weights(logit: f32) -> Weights {
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

    fn info() -> DetectorInfo {
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
    fn an_exported_detector_runs_from_a_bundle() {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/humpback-lite0");
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
