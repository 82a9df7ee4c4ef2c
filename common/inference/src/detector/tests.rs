use super::*;
use crate::engine::LogSink;
use crate::engine::choice::{self, EngineChoice, EngineSetup, OpenError, OpenedEngine};
use crate::engine::plan_queue::PlanQueue;
use crate::engine::status::Accelerator;
use crate::engine::tensorrt::fake::FakeShim;
use crate::engine::tensorrt::{PlanOptions, TensorRtConfig, TensorRtError};
use crate::samples::{detector_info as info, detector_model, detector_model_with as onnx};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare::Fit;
use std::time::{Duration, Instant};

const NUMBERS: i64 = 5 * 8 * 4;

fn detector(gain: f32, bias: f32) -> Detector {
    let engine = TractEngine::load(&detector_model(gain, bias), TractForm::Dequantised).unwrap();
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

/// The detector of the fake, on the engine `choice`, with what it logs.
fn opened(choice: EngineChoice, fake: &FakeShim, log: LogSink) -> Result<OpenedEngine, OpenError> {
    let model = EngineModel {
        name: "detector",
        onnx: detector_model(20.0, -10.0).into(),
        agreement: Arc::new(MapsAgree { info: info() }),
    };
    let setup = EngineSetup {
        choice,
        threads: 1,
        tensorrt: TensorRtConfig {
            shims: fake.shims(),
            plans: fake.plans(),
            options: PlanOptions::default(),
        },
        queue: PlanQueue::default(),
        log,
    };
    choice::open(&model, &setup)
}

fn quiet() -> LogSink {
    Arc::new(|_, _| {})
}

#[test]
fn tensorrt_takes_over_once_its_maps_agree() {
    let fake = FakeShim::new(&[]);
    let OpenedEngine { engine, status } = opened(EngineChoice::Auto, &fake, quiet()).unwrap();
    let mut detector = Detector::with_engine("whales", &info(), engine).unwrap();
    assert!(detector.engine_name().starts_with("tract "));
    let frame = RgbImage::from_fn(64, 32, |x, y| {
        let within = (24..32).contains(&x) && (16..24).contains(&y);
        image::Rgb(if within { [255; 3] } else { [0; 3] })
    });
    let (mut first, mut found) = (vec![], vec![]);
    detector.detect(&frame, &mut first).unwrap();
    let began = Instant::now();
    while status.accelerator() != Accelerator::Active {
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{}",
            status.accelerator()
        );
        detector.detect(&frame, &mut found).unwrap();
    }
    assert_eq!(
        detector.engine_name(),
        "TensorRT 10.3.0.72 f32 on Fake Orin"
    );
    detector.detect(&frame, &mut found).unwrap();
    assert_eq!((found.len(), found[0].region), (1, first[0].region));
}

#[test]
fn a_tensorrt_that_sees_something_else_is_not_used() {
    for wrong in ["v + 1.5f", "(i < 32 ? v : 2 * v)", "0 * v - 9.0f"] {
        let fake = FakeShim::new(&[("FAKE_DETECTOR_NUMBER", wrong)]);
        let Err(error) = opened(EngineChoice::TensorRt, &fake, quiet()) else {
            panic!("{wrong} is accepted");
        };
        let disagrees = matches!(&error, OpenError::Required(TensorRtError::Disagrees(_)));
        assert!(disagrees, "{wrong}: {error}");
        assert!(
            error.to_string().contains("scores differ by up to"),
            "{error}"
        );
    }
}
