//! Photos for the model of `flukewatch_onnx::samples`.

use super::photos::EvalPhotos;
use flukewatch_common::bundle::View;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_eval::gallery::label::PhotoLabel;
use ndarray::Array3;

/// Grey photos of 2 x 2 with one brightness each (a multiple of 0.2), and their whales.
pub(super) fn photos(photos: &[(f32, Option<&str>)]) -> EvalPhotos {
    EvalPhotos {
        pixels: photos
            .iter()
            .map(|(v, _)| Array3::from_elem((2, 2, 1), (v * 5.0) as u8))
            .collect(),
        labels: photos
            .iter()
            .enumerate()
            .map(|(i, (_, whale))| PhotoLabel {
                name: format!("{i}.jpg"),
                whale: whale.map(str::to_owned),
                ..PhotoLabel::default()
            })
            .collect(),
        preparation: Preparation {
            height: 2,
            width: 2,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.0,
            mean: vec![0.0],
            std: vec![5.0],
        },
        views: vec![View::Plain],
    }
}
