//! Detectors small enough to check by hand: their maps follow the brightness of the picture.

use super::*;
use crate::samples::onnx::{bytes, floats, model, node, value, with_ints};
use flukewatch_common::bundle::{ModelInfo, Precision};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use tract_onnx::pb::ModelProto;

const WIDTH: usize = 64;
const HEIGHT: usize = 32;

fn info() -> DetectorInfo {
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
        strides: vec![8],
        threshold: 0.5,
        model: ModelInfo {
            architecture: "tiny".into(),
            precision: Precision::F32,
            opset: 17,
            trained_on: "nothing".into(),
        },
    }
}

/// A single convolution of 8 x 8: a cell's logit is `gain` times its mean brightness plus `bias`, its box 16 pixels to each side.
fn onnx(gain: f32, bias: f32, dimension: i64) -> Vec<u8> {
    let mut weight = vec![0.0; 5 * 64];
    weight[..64].fill(gain / 64.0);
    let two = 2f32.ln();
    let conv = node("Conv", "conv", &["image", "weight", "bias"], "maps");
    let conv = with_ints(with_ints(conv, "kernel_shape", &[8, 8]), "strides", &[8, 8]);
    let flat = with_ints(node("Flatten", "flat", &["maps"], "flat"), "axis", &[1]);
    let mut made: ModelProto = model(
        [1, HEIGHT, WIDTH],
        vec![conv, flat],
        vec![
            floats("weight", &[5, 1, 8, 8], &weight),
            floats("bias", &[5], &[bias, two, two, two, two]),
        ],
    );
    if let Some(graph) = &mut made.graph {
        graph.output = vec![value("flat", &[1, dimension])];
    }
    bytes(&made)
}

const NUMBERS: i64 = 5 * 8 * 4;

fn detector(gain: f32, bias: f32) -> Detector {
    let engine = TractEngine::load(&onnx(gain, bias, NUMBERS), TractForm::Dequantised).unwrap();
    Detector::with_engine("whales", &info(), Box::new(engine)).unwrap()
}

#[test]
fn a_bright_area_is_found_at_its_position() {
    let mut detector = detector(20.0, -10.0);
    // Twice the input's size, with one bright cell: column 3, row 2.
    let frame = RgbImage::from_fn(128, 64, |x, y| {
        let within = (48..64).contains(&x) && (32..48).contains(&y);
        image::Rgb(if within { [255; 3] } else { [0; 3] })
    });
    let mut found = vec![Detection {
        region: PixelBox::whole(1, 1),
        score: 1.0,
    }];
    detector.detect(&frame, &mut found).unwrap();
    let region = PixelBox {
        x0: 16,
        y0: 0,
        x1: 80,
        y1: 64,
    };
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].region, region);
    assert!(found[0].score > 0.99);
    // A taller frame is centred in the input.
    let tall = RgbImage::from_fn(64, 64, |x, y| {
        let within = (16..32).contains(&x) && (32..48).contains(&y);
        image::Rgb(if within { [255; 3] } else { [0; 3] })
    });
    detector.detect(&tall, &mut found).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    // The cell's point in the input is (24, 16): 16 pixels from the frame's left edge there.
    assert_eq!((found[0].region.x0, found[0].region.x1), (0, 48));
    detector
        .detect(&RgbImage::new(640, 480), &mut found)
        .unwrap();
    assert!(found.is_empty());
    let mut all = detector.with_threshold(1e-5);
    all.detect(&RgbImage::new(640, 480), &mut found).unwrap();
    assert!(!found.is_empty());
}

#[test]
fn a_model_that_does_not_fit_is_rejected_with_the_reason() {
    let load = |dimension| TractEngine::load(&onnx(1.0, 0.0, dimension), TractForm::Dequantised);
    let error_of = |info: &DetectorInfo| {
        let engine = Box::new(load(NUMBERS).unwrap());
        let result = Detector::with_engine("whales", info, engine);
        result.err().map(|e| e.to_string()).unwrap_or_default()
    };
    let mut other = info();
    other.preparation.width = 128;
    assert!(
        error_of(&other).contains("'whales'"),
        "{}",
        error_of(&other)
    );
    assert!(
        error_of(&other).contains("[1, 32, 64]"),
        "{}",
        error_of(&other)
    );
    let mut other = info();
    other.strides = vec![8, 16];
    assert!(
        error_of(&other).contains("200 outputs"),
        "{}",
        error_of(&other)
    );
    other.strides = vec![];
    assert!(error_of(&other).contains("strides"), "{}", error_of(&other));
    let mut other = info();
    other.preparation.fit = Fit::Stretch;
    assert!(
        error_of(&other).contains("letterbox"),
        "{}",
        error_of(&other)
    );
    let mut other = info();
    other.threshold = f32::NAN;
    assert!(
        error_of(&other).contains("threshold"),
        "{}",
        error_of(&other)
    );
}

#[test]
fn outputs_that_are_not_finite_and_frames_without_pixels_are_errors() {
    let mut found = vec![];
    let mut broken = detector(f32::NAN, 0.0);
    let error = broken
        .detect(&RgbImage::new(64, 32), &mut found)
        .unwrap_err();
    assert!(matches!(error, DetectorError::NotFinite), "{error}");
    let mut whole = detector(1.0, 0.0);
    let error = whole.detect(&RgbImage::new(0, 7), &mut found).unwrap_err();
    assert!(error.to_string().contains("no pixels"), "{error}");
}
