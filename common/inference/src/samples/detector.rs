//! A detector small enough to check by hand: its maps follow the brightness of the picture.

use super::bundle::model_info;
use super::onnx::{bytes, floats, model, node, value, with_ints};
use flukewatch_common::bundle::{DetectorInfo, Precision};
use flukewatch_common::prepare::{Colour, Fit, Preparation};

const WIDTH: usize = 64;
const HEIGHT: usize = 32;
const STRIDE: usize = 8;

/// The description of [`detector_model`].
pub fn detector_info() -> DetectorInfo {
    DetectorInfo {
        preparation: Preparation {
            height: HEIGHT as u32,
            width: WIDTH as u32,
            colour: Colour::Grey,
            fit: Fit::Letterbox,
            padding: 0.0,
            mean: vec![0.0],
            std: vec![255.0],
        },
        strides: vec![STRIDE as u32],
        threshold: 0.5,
        model: model_info(Precision::F32),
    }
}

/// A single convolution of 8 x 8: a cell's logit is `gain` times its mean brightness plus `bias`, its box 16 pixels to each side.
pub fn detector_model(gain: f32, bias: f32) -> Vec<u8> {
    let cells = (WIDTH / STRIDE) * (HEIGHT / STRIDE);
    detector_model_with(gain, bias, 5 * cells as i64)
}

/// The same that declares `dimension` outputs.
pub fn detector_model_with(gain: f32, bias: f32, dimension: i64) -> Vec<u8> {
    let area = STRIDE * STRIDE;
    let mut weight = vec![0.0; 5 * area];
    weight[..area].fill(gain / area as f32);
    let two = 2f32.ln();
    let conv = node("Conv", "conv", &["image", "weight", "bias"], "maps");
    let conv = with_ints(with_ints(conv, "kernel_shape", &[8, 8]), "strides", &[8, 8]);
    let flat = with_ints(node("Flatten", "flat", &["maps"], "flat"), "axis", &[1]);
    let mut made = model(
        [1, HEIGHT, WIDTH],
        vec![conv, flat],
        vec![
            floats("weight", &[5, 1, STRIDE, STRIDE], &weight),
            floats("bias", &[5], &[bias, two, two, two, two]),
        ],
    );
    if let Some(graph) = &mut made.graph {
        graph.output = vec![value("flat", &[1, dimension])];
    }
    bytes(&made)
}
