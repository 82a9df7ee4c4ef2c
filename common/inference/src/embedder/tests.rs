use super::*;
use crate::samples::onnx::{DIMENSION, bytes, quantised_model, with_local_output};
use crate::samples::{CREATED, model_info, preparation};
use flukewatch_common::bundle::{LocalInfo, NewBundle, Precision};
use flukewatch_common::catalogue::Catalogue;
use flukewatch_common::decision::DecisionRule;
use flukewatch_common::local_matching::LocalScore;

fn bundle(views: Vec<View>, model_input: [usize; 3], dimension: usize) -> Bundle {
    let rule = DecisionRule::thresholds(0.6, 0.4, "nothing");
    let (model, catalogue) = (
        bytes(&quantised_model(model_input)),
        Catalogue::new(dimension),
    );
    Bundle::new(NewBundle {
        name: "tiny",
        created: CREATED,
        preparation: preparation(16, 32),
        views,
        model_info: model_info(Precision::Int8),
        model,
        catalogue,
        decision: rule,
        card: String::new(),
    })
    .unwrap()
}

fn photo() -> RgbImage {
    RgbImage::from_fn(80, 40, |x, y| {
        image::Rgb([(x * 3) as u8, (y * 5) as u8, (x * y / 7) as u8])
    })
}

fn embed(views: Vec<View>, photo: &RgbImage, region: Option<PixelBox>) -> Embedding {
    let dimension = DIMENSION * views.len();
    Embedder::open(&bundle(views, [1, 16, 32], dimension))
        .unwrap()
        .embed(photo, region)
        .unwrap()
}

fn apart(a: &Embedding, b: &Embedding) -> f32 {
    a.as_slice()
        .iter()
        .zip(b.as_slice())
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}

#[test]
fn an_embedding_is_preparation_model_and_views() {
    let mut engine = TractEngine::load(
        &bytes(&quantised_model([1, 16, 32])),
        TractForm::Dequantised,
    )
    .unwrap();
    let region = PixelBox {
        x0: 10,
        y0: 5,
        x1: 60,
        y1: 35,
    };
    let pixels = preparation(16, 32).pixels(&photo(), region).unwrap();
    let views = [false, true].map(|mirrored| {
        let numbers = engine
            .run(preparation(16, 32).normalise(&pixels, mirrored).view())
            .unwrap();
        Embedding::normalised(numbers).unwrap()
    });
    let both = embed(vec![View::Plain, View::Mirrored], &photo(), Some(region));
    assert_eq!(both, Embedding::of_views(&views).unwrap());
    assert_eq!(both.dimension(), 2 * DIMENSION);
    assert_eq!(
        embed(vec![View::Mirrored], &photo(), Some(region)),
        Embedding::of_views(&views[1..]).unwrap()
    );
    assert!(
        apart(&views[0], &views[1]) > 1e-4,
        "this test needs different views"
    );
}

#[test]
fn a_mirrored_photo_swaps_the_views() {
    let views = vec![View::Plain, View::Mirrored];
    // As large as the model's input, so that nothing is resized.
    let photo = image::imageops::crop_imm(&photo(), 0, 0, 32, 16).to_image();
    let here = embed(views.clone(), &photo, None);
    let there = embed(views, &image::imageops::flip_horizontal(&photo), None);
    let (plain, mirrored) = here.as_slice().split_at(DIMENSION);
    let swapped = Embedding::normalised([mirrored, plain].concat()).unwrap();
    assert!(apart(&swapped, &there) < 1e-6);
}

#[test]
fn without_a_box_the_whole_photo_is_embedded() {
    let whole = embed(vec![View::Plain], &photo(), Some(PixelBox::whole(80, 40)));
    assert_eq!(embed(vec![View::Plain], &photo(), None), whole);
    let part = embed(
        vec![View::Plain],
        &photo(),
        Some(PixelBox {
            x0: 0,
            y0: 0,
            x1: 20,
            y1: 20,
        }),
    );
    assert!(apart(&part, &whole) > 1e-4);
}

#[test]
fn the_engine_is_named() {
    let embedder = Embedder::open(&bundle(vec![View::Plain], [1, 16, 32], DIMENSION)).unwrap();
    assert_eq!(embedder.engine_name(), "tract 0.23.9 int8 weights in f32");
}

#[test]
fn a_model_that_does_not_match_the_manifest_is_rejected() {
    let error_of = |bundle: &Bundle| match Embedder::open(bundle) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was accepted"),
    };
    assert_eq!(
        error_of(&bundle(vec![View::Plain], [1, 32, 16], DIMENSION)),
        "the bundle 'tiny' does not fit its own model: its preparation gives [1, 16, 32] (channels, height, width), its model \
         expects [1, 32, 16]"
    );
    assert_eq!(
        error_of(&bundle(vec![View::Plain, View::Mirrored], [1, 16, 32], 10)),
        "the bundle 'tiny' does not fit its own model: its manifest says dimension 10, its model gives \
         6 numbers for each of 2 views"
    );
}

#[test]
fn a_box_outside_and_a_failing_engine_are_errors() {
    struct Broken;
    impl Engine for Broken {
        fn name(&self) -> &str {
            "broken"
        }
        fn input_shape(&self) -> [usize; 3] {
            [1, 16, 32]
        }
        fn dimension(&self) -> usize {
            2
        }
        fn run(&mut self, _: ndarray::ArrayView3<f32>) -> Result<Vec<f32>, EngineError> {
            Ok(vec![1.0, f32::NAN])
        }
    }
    let bundle = bundle(vec![View::Plain], [1, 16, 32], 2);
    let mut embedder = Embedder::with_engine(&bundle, Box::new(Broken)).unwrap();
    let error = embedder
        .embed(
            &photo(),
            Some(PixelBox {
                x0: 80,
                y0: 0,
                x1: 90,
                y1: 9,
            }),
        )
        .unwrap_err();
    assert!(
        matches!(
            error,
            EmbedderError::Prepare(PrepareError::BoxOutside { .. })
        ),
        "{error}"
    );
    let error = embedder.embed(&photo(), None).unwrap_err();
    assert!(
        matches!(
            error,
            EmbedderError::Embedding(EmbeddingError::NotFinite(1))
        ),
        "{error}"
    );
}

/// The bundle with the map of its convolution as local descriptors of `dimension` numbers.
fn with_local(dimension: usize) -> Bundle {
    let bundle = bundle(
        vec![View::Plain, View::Mirrored],
        [1, 16, 32],
        2 * DIMENSION,
    );
    let info = LocalInfo {
        output: "clipped".into(),
        layout: Layout {
            height: 16,
            width: 32,
            dimension,
            fine: 0,
        },
        precision: Precision::F32,
        score: LocalScore {
            weight: 1.0,
            intercept: 0.0,
            slope: 0.0,
            typical_norm: 0.0,
            whales: 30,
            photos: 2,
            fine: None,
        },
        fitted_on: "nothing".into(),
    };
    let model = bytes(&with_local_output(quantised_model([1, 16, 32])));
    bundle.with_local(model, Some(info)).unwrap()
}

#[test]
fn descriptors_are_those_of_the_second_output_of_each_view() {
    let bundle = with_local(2);
    let mut embedder = Embedder::open(&bundle).unwrap();
    let query = embedder.embed_with_local(&photo(), None).unwrap();
    let views = vec![View::Plain, View::Mirrored];
    assert_eq!(query.embedding, embed(views, &photo(), None));
    let mut engine = TractEngine::load(&bundle.model, TractForm::Dequantised).unwrap();
    let whole = PixelBox::whole(80, 40);
    let pixels = preparation(16, 32).pixels(&photo(), whole).unwrap();
    let maps = [false, true].map(|mirrored| {
        let input = preparation(16, 32).normalise(&pixels, mirrored);
        engine.run_with_local(input.view()).unwrap().local.unwrap()
    });
    let views: Vec<ViewMap<'_>> = maps
        .iter()
        .zip([false, true])
        .map(|(values, mirrored)| ViewMap { values, mirrored })
        .collect();
    let layout = bundle.manifest.local.as_ref().unwrap().layout;
    let expected = Descriptors::of_views(layout, &views).unwrap();
    assert_eq!(query.local, Some(expected));
}

#[test]
fn a_second_output_is_ignored_without_a_description_and_must_fit_one() {
    let bundle = with_local(2);
    let model = bundle.model.clone();
    let without = bundle.with_local(model, None).unwrap();
    let mut embedder = Embedder::open(&without).unwrap();
    assert_eq!(
        embedder.embed_with_local(&photo(), None).unwrap().local,
        None
    );
    let error = match Embedder::open(&with_local(3)) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("it was accepted"),
    };
    assert!(
        error.contains("[6, 16, 32]") && error.contains("[4, 16, 32]"),
        "{error}"
    );
}
