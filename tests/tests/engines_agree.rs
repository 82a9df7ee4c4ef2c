//! tract, ONNX Runtime and the training network compute the same embeddings, and a detector with less exact arithmetic the same maps.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::prepare::{Colour, Fit, Preparation};
use flukewatch_inference::detector::Detector;
use flukewatch_inference::detector::agreement::map_difference;
use flukewatch_inference::drawn::{IMAGES, SEED, random_frame};
use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use flukewatch_network::head::Head;
use flukewatch_network::weights::Weights;
use flukewatch_network::{Backbone, Network, Pooling};
use flukewatch_onnx::export::{float_model, int8_model};
use flukewatch_tests::drawn_weights::drawn;
use flukewatch_tests::onnx_runtime::Form;
use flukewatch_tests::program::repository;
use flukewatch_tests::{flukes, onnx_runtime};
use flukewatch_train::embedding::checkpoint::EmbeddingCheckpoint;
use ndarray::Array3;
use prost::Message;
use tract_onnx::pb::ModelProto;

/// The least cosine similarity between two float models.
const EQUAL: f32 = 0.9999;
/// The least cosine similarity between an int8 and a float model.
const QUANTISED: f32 = 0.995;
/// Number of photos to compare.
const PHOTOS: u32 = 16;

/// A network, and photos prepared for it.
struct Subject {
    network: Network,
    weights: Weights,
    preparation: Preparation,
    pixels: Vec<Array3<u8>>,
    images: Vec<Array3<f32>>,
}

impl Subject {
    fn new(network: Network, weights: Weights, preparation: Preparation) -> Self {
        let photos = flukes::photos(PHOTOS);
        let pixels: Vec<_> = photos
            .iter()
            .map(|(photo, fluke)| preparation.pixels(photo, *fluke).unwrap())
            .collect();
        let images = pixels
            .iter()
            .map(|p| preparation.normalise(p, false))
            .collect();
        Self {
            network,
            weights,
            preparation,
            pixels,
            images,
        }
    }

    /// The float network of the shipped bundle.
    fn shipped() -> Self {
        let checkpoint =
            EmbeddingCheckpoint::read(&repository().join("models/humpback-lite0.safetensors"))
                .unwrap();
        let preparation = checkpoint.recipe.preparation();
        let network = Network::new(
            checkpoint.recipe.backbone,
            preparation.channels(),
            &checkpoint.recipe.head,
        );
        Self::new(network, checkpoint.tensors, preparation)
    }

    /// A small network with random weights that contains every kind of layer.
    fn drawn(backbone: Backbone, pooling: Pooling) -> Self {
        let network = Network::new(
            backbone,
            1,
            &Head {
                pooling,
                dropout: 0.2,
                dimension: 48,
            },
        );
        let mut weights = drawn(&network, 11);
        if let Some(exponent) = weights.get_mut("pool.p") {
            exponent.data = vec![2.5];
        }
        let preparation = Preparation {
            height: 64,
            width: 128,
            colour: Colour::Grey,
            fit: Fit::Stretch,
            padding: 0.04,
            mean: vec![127.0],
            std: vec![128.0],
        };
        Self::new(network, weights, preparation)
    }

    fn size(&self) -> (usize, usize) {
        (
            self.preparation.height as usize,
            self.preparation.width as usize,
        )
    }

    fn float(&self) -> Vec<u8> {
        let (height, width) = self.size();
        float_model(&self.network, &self.weights, height, width).unwrap()
    }

    fn int8(&self) -> Vec<u8> {
        let (height, width) = self.size();
        int8_model(&self.network, &self.weights, height, width, &self.images).unwrap()
    }

    fn tract(&self, model: &[u8], form: TractForm) -> Vec<Embedding> {
        let mut engine = TractEngine::load(model, form).unwrap();
        self.images
            .iter()
            .map(|i| Embedding::normalised(engine.run(i.view()).unwrap()).unwrap())
            .collect()
    }

    /// `None`, with a message, where ONNX Runtime is not set up.
    fn onnx_runtime(&self, model: &[u8], form: Form) -> Option<Vec<Embedding>> {
        let Some(python) = onnx_runtime::python() else {
            eprintln!("skipped: ONNX Runtime is not set up (cargo xtask setup)");
            return None;
        };
        let outputs = onnx_runtime::run(&python, model, &self.images, form);
        Some(
            outputs
                .into_iter()
                .map(|o| Embedding::normalised(o).unwrap())
                .collect(),
        )
    }

    #[cfg(feature = "train")]
    fn trained(&self) -> Vec<Embedding> {
        use flukewatch_train::embedding::network::{EmbeddingPart, NetworkOptions, TorchNetwork};
        use flukewatch_train::embedding::validation;
        use flukewatch_train::trainer::device;
        use flukewatch_train::trainer::device_choice::DeviceChoice;
        device::choose(DeviceChoice::Cpu, false).unwrap();
        let network = TorchNetwork::new(
            self.network.clone(),
            &self.weights,
            NetworkOptions::default(),
        );
        let pixels: Vec<_> = self.pixels.iter().collect();
        let outputs = validation::embed(&network, EmbeddingPart::Whole, &pixels, &self.preparation);
        outputs
            .into_iter()
            .map(|o| Embedding::normalised(o).unwrap())
            .collect()
    }

    /// Asserts that the float models of all available engines agree.
    fn floats_agree(&self) {
        let model = self.float();
        let tract = self.tract(&model, TractForm::AsIs);
        if let Some(runtime) = self.onnx_runtime(&model, Form::Fused) {
            agree("tract and ONNX Runtime, f32", &tract, &runtime, EQUAL);
        }
        #[cfg(feature = "train")]
        agree(
            "tract and the training network, f32",
            &tract,
            &self.trained(),
            EQUAL,
        );
        assert_eq!(self.pixels.len(), tract.len());
    }
}

/// Asserts that each pair of embeddings has at least the cosine similarity `least`; prints the lowest.
fn agree(what: &str, one: &[Embedding], other: &[Embedding], least: f32) {
    assert_eq!(one.len(), other.len());
    let cosines: Vec<f32> = one.iter().zip(other).map(|(a, b)| a.cosine(b)).collect();
    let worst = cosines.iter().copied().fold(1.0, f32::min);
    eprintln!(
        "{what}: lowest cosine {worst:.6} over {} photos",
        cosines.len()
    );
    assert!(worst >= least, "{what}: {cosines:?}");
}

#[test]
fn every_backbone_is_exported_exactly() {
    Subject::drawn(Backbone::EfficientnetLite0, Pooling::Average).floats_agree();
    Subject::drawn(Backbone::MobilenetV3Large, Pooling::Gem).floats_agree();
    Subject::drawn(Backbone::Resnet18, Pooling::Gem).floats_agree();
}

/// With random weights int8 may differ from float, and one activation at a rounding boundary changes
/// others: conforming engines agree exactly on most photos and closely on all.
#[test]
fn engines_round_an_int8_model_alike() {
    let subject = Subject::drawn(Backbone::EfficientnetLite0, Pooling::Average);
    let model = subject.int8();
    let tract = subject.tract(&model, TractForm::AsIs);
    if let Some(runtime) = subject.onnx_runtime(&model, Form::Unfused) {
        agree("tract and ONNX Runtime, int8", &tract, &runtime, 0.99);
        let exact = tract
            .iter()
            .zip(&runtime)
            .filter(|(a, b)| a.cosine(b) > 0.999_99)
            .count();
        assert!(
            exact * 2 > tract.len(),
            "only {exact} of {} are the same",
            tract.len()
        );
    }
    // Quantisation has an effect, so that the agreement above is meaningful.
    let float = subject.tract(&subject.float(), TractForm::AsIs);
    assert!(
        tract
            .iter()
            .zip(&float)
            .any(|(a, b)| a.cosine(b) < 0.999_999)
    );
}

#[test]
fn the_shipped_model_matches_the_trained_network() {
    let subject = Subject::shipped();
    subject.floats_agree();
    let float = subject.tract(&subject.float(), TractForm::AsIs);
    let bundle = Bundle::open(&repository().join("models/humpback-lite0")).unwrap();
    assert_eq!(bundle.manifest.preparation, subject.preparation);
    for form in [TractForm::Dequantised, TractForm::AsIs] {
        agree(
            &format!("int8 in tract ({form:?}) and f32"),
            &subject.tract(&bundle.model, form),
            &float,
            QUANTISED,
        );
    }
    for form in [Form::Fused, Form::Unfused] {
        if let Some(runtime) = subject.onnx_runtime(&bundle.model, form) {
            agree(
                &format!("int8 in ONNX Runtime ({form:?}) and f32"),
                &runtime,
                &float,
                QUANTISED,
            );
        }
    }
}

/// An f32 ONNX file with its weights rounded to `bits` significant bits.
fn rounded(onnx: &[u8], bits: u32) -> Vec<u8> {
    let mut model = ModelProto::decode(onnx).unwrap();
    let weights = &mut model.graph.as_mut().unwrap().initializer;
    let dropped = 24 - bits;
    for weight in weights.iter_mut().filter(|w| w.dims.len() == 4) {
        for number in weight.raw_data.as_chunks_mut::<4>().0 {
            let half = 1 << (dropped - 1);
            let rounded = u32::from_le_bytes(*number).wrapping_add(half) >> dropped << dropped;
            *number = rounded.to_le_bytes();
        }
    }
    model.encode_to_vec()
}

/// TensorRT's TF32 and FP16 have 11 significant bits.
#[test]
fn the_shipped_detector_agrees_when_rounded_like_tensorrts_and_not_much_coarser() {
    let bundle = Bundle::open(&repository().join("models/humpback-lite0")).unwrap();
    let (info, onnx) = bundle
        .manifest
        .detector
        .as_ref()
        .zip(bundle.detector.as_ref())
        .unwrap();
    let load = |model: &[u8]| TractEngine::load(model, TractForm::AsIs).unwrap();
    let difference = |bits| {
        let mut coarse = load(&rounded(onnx, bits));
        let found = map_difference(info, &mut coarse, &mut load(onnx)).unwrap();
        eprintln!("{bits} bits: {found}");
        found
    };
    assert!(difference(11).is_accepted());
    assert!(!difference(3).is_accepted());
    // The frames show flukes that it finds, so that scores and boxes are compared.
    let mut detector = Detector::open(&bundle).unwrap().unwrap();
    let mut found = vec![];
    let detections: usize = (0..IMAGES)
        .map(|number| {
            detector
                .detect(&random_frame(SEED, number), &mut found)
                .unwrap();
            found.len()
        })
        .sum();
    eprintln!("{detections} detections in {IMAGES} frames");
    assert!(detections > 0);
}
