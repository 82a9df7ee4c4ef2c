use super::*;
use crate::samples::onnx::*;
use ndarray::Array3;
use tract_onnx::pb::GraphProto;
use tract_onnx::pb::tensor_proto::DataLocation;

const INPUT: [usize; 3] = [2, 8, 12];

fn picture() -> Array3<f32> {
    Array3::from_shape_fn(INPUT, |(c, y, x)| {
        ((c * 53 + y * 17 + x * 29) % 41) as f32 / 20.0 - 1.0
    })
}

fn run(model: &ModelProto, form: TractForm) -> Vec<f32> {
    TractEngine::load(&bytes(model), form)
        .unwrap()
        .run(picture().view())
        .unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(x, y)| (x - y).abs())
        .fold(0.0, f32::max)
}

/// The tiny model in plain loops.
fn by_hand(picture: &Array3<f32>, conv: &[f32], matrix: &[f32]) -> Vec<f32> {
    let (c, h, w) = picture.dim();
    let bias = [0.1, -0.1, 0.2, 0.0];
    let pooled: Vec<f32> = (0..HIDDEN)
        .map(|o| {
            let mut sum = 0.0;
            for (y, x) in (0..h as isize).flat_map(|y| (0..w as isize).map(move |x| (y, x))) {
                let mut value = bias[o];
                for i in 0..c {
                    for (ky, kx) in (0..3).flat_map(|ky| (0..3).map(move |kx| (ky, kx))) {
                        let at = (
                            i,
                            (y + ky as isize - 1) as usize,
                            (x + kx as isize - 1) as usize,
                        );
                        value +=
                            picture.get(at).unwrap_or(&0.0) * conv[((o * c + i) * 3 + ky) * 3 + kx];
                    }
                }
                sum += value.clamp(0.0, 6.0);
            }
            sum / (h * w) as f32
        })
        .collect();
    matrix
        .chunks(HIDDEN)
        .map(|row| row.iter().zip(&pooled).map(|(a, b)| a * b).sum())
        .collect()
}

fn load_error(change: impl FnOnce(&mut ModelProto)) -> EngineError {
    let mut model = float_model(INPUT);
    change(&mut model);
    TractEngine::load(&bytes(&model), TractForm::Dequantised).unwrap_err()
}

fn graph(model: &mut ModelProto) -> &mut GraphProto {
    model.graph.as_mut().unwrap()
}

#[test]
fn a_model_gives_what_plain_loops_give() {
    let mut engine =
        TractEngine::load(&bytes(&float_model(INPUT)), TractForm::Dequantised).unwrap();
    assert_eq!(
        (engine.input_shape(), engine.dimension()),
        (INPUT, DIMENSION)
    );
    let expected = by_hand(
        &picture(),
        &weights(HIDDEN * 2 * 9),
        &weights(DIMENSION * HIDDEN),
    );
    for _ in 0..2 {
        assert!(largest_difference(&engine.run(picture().view()).unwrap(), &expected) < 1e-5);
    }
}

#[test]
fn a_dequantised_model_is_the_float_model_with_quantised_weights() {
    let rounded = |weights: Vec<f32>, columns: usize| -> Vec<f32> {
        let (steps, scales) = quantised_rows(&weights, columns);
        steps
            .iter()
            .enumerate()
            .map(|(i, &s)| f32::from(s) * scales[i / columns])
            .collect()
    };
    let expected = by_hand(
        &picture(),
        &rounded(weights(HIDDEN * 2 * 9), 18),
        &rounded(weights(DIMENSION * HIDDEN), HIDDEN),
    );
    assert!(
        largest_difference(
            &run(&quantised_model(INPUT), TractForm::Dequantised),
            &expected
        ) < 1e-5
    );
}

#[test]
fn a_model_as_is_differs_by_quantisation_only() {
    let stripped = run(&quantised_model(INPUT), TractForm::Dequantised);
    let as_is = run(&quantised_model(INPUT), TractForm::AsIs);
    let difference = largest_difference(&stripped, &as_is);
    // Half a step of the pooled values is 6/127/2 = 0.024, multiplied by four weights of at most
    // 0.4.
    assert!(difference > 1e-6 && difference < 0.04, "{difference}");
    assert!(largest_difference(&stripped, &run(&float_model(INPUT), TractForm::AsIs)) < 0.02);
}

#[test]
fn the_name_says_how_the_model_runs() {
    let name = |model: &ModelProto, form| {
        TractEngine::load(&bytes(model), form)
            .unwrap()
            .name()
            .to_owned()
    };
    assert_eq!(
        name(&float_model(INPUT), TractForm::Dequantised),
        "tract 0.23.9 f32"
    );
    assert_eq!(
        name(&quantised_model(INPUT), TractForm::Dequantised),
        "tract 0.23.9 int8 weights in f32"
    );
    assert_eq!(
        name(&quantised_model(INPUT), TractForm::AsIs),
        "tract 0.23.9 int8 Q/DQ"
    );
}

#[test]
fn the_version_is_the_one_that_is_built_in() {
    let lock = include_str!("../../../../../Cargo.lock");
    assert!(lock.contains(&format!(
        "name = \"tract-onnx\"\nversion = \"{TRACT_VERSION}\"\n"
    )));
}

#[test]
fn an_image_may_lie_in_memory_in_any_order() {
    let mut engine =
        TractEngine::load(&bytes(&float_model(INPUT)), TractForm::Dequantised).unwrap();
    let expected = engine.run(picture().view()).unwrap();
    let stored = picture()
        .permuted_axes([1, 2, 0])
        .as_standard_layout()
        .into_owned();
    assert_eq!(
        engine.run(stored.view().permuted_axes([2, 0, 1])).unwrap(),
        expected
    );
}

#[test]
fn another_shape_is_rejected_with_both() {
    let mut engine =
        TractEngine::load(&bytes(&float_model(INPUT)), TractForm::Dequantised).unwrap();
    let error = engine.run(Array3::zeros((2, 12, 8)).view()).unwrap_err();
    assert_eq!(
        error,
        EngineError::Shape {
            expected: INPUT,
            got: [2, 12, 8]
        }
    );
    assert_eq!(
        error.to_string(),
        "image of shape [2, 12, 8]; the model expects [2, 8, 12] (channels, height, width)"
    );
}

#[test]
fn a_truncated_model_is_rejected() {
    let whole = bytes(&quantised_model(INPUT));
    for end in 0..whole.len() {
        assert!(
            TractEngine::load(&whole[..end], TractForm::Dequantised).is_err(),
            "cut at {end}"
        );
    }
    let error = TractEngine::load(b"not a model at all", TractForm::Dequantised).unwrap_err();
    assert!(matches!(error, EngineError::NotOnnx(_)), "{error}");
}

#[test]
fn the_input_must_be_one_image_of_fixed_size() {
    for shape in [
        vec![-1, 2, 8, 12],
        vec![2, 2, 8, 12],
        vec![1, 2, -1, 12],
        vec![1, 2, 8],
        vec![1, 2, 0, 12],
        vec![1, 2, 8, 9_000_000_000],
    ] {
        let error = load_error(|m| graph(m).input = vec![value("image", &shape)]);
        assert!(
            error
                .to_string()
                .contains("'image' must be f32 of the fixed shape"),
            "{shape:?}: {error}"
        );
    }
    let error = load_error(|m| graph(m).input.push(value("another", &[1])));
    assert!(error.to_string().contains("exactly one input"), "{error}");
    let error = load_error(|m| graph(m).input.clear());
    assert!(error.to_string().contains("exactly one input"), "{error}");
}

#[test]
fn the_outputs_must_be_an_embedding_and_a_map() {
    let hidden = HIDDEN as i64;
    let error = load_error(|m| graph(m).output.push(value("flat", &[1, hidden])));
    let expected = "second output 'flat' must be f32 of a fixed shape [1, C, H, W]";
    assert!(error.to_string().contains(expected), "{error}");
    let map = value("pooled", &[1, hidden, 1, 1]);
    let error = load_error(|m| graph(m).output.extend([map.clone(), map.clone()]));
    assert!(error.to_string().contains("3 outputs"), "{error}");
    // The declared shape is not the one that the model gives.
    let error = load_error(|m| graph(m).output.push(value("pooled", &[1, hidden, 2, 1])));
    assert!(
        matches!(error, EngineError::Load(_) | EngineError::Unsupported(_)),
        "{error}"
    );
    let error = load_error(|m| graph(m).output.push(value("nowhere", &[1, hidden, 1, 1])));
    assert!(error.to_string().contains("produces 'nowhere'"), "{error}");
    let error = load_error(|m| graph(m).output = vec![value("pooled", &[1, HIDDEN as i64, 1, 1])]);
    assert!(
        matches!(&error, EngineError::Unsupported(why) if why.contains("not [1, D] f32")),
        "{error}"
    );
    let error = load_error(|m| graph(m).output[0].name = "nowhere".into());
    assert_eq!(
        error,
        EngineError::Unsupported("no node or constant produces 'nowhere'".into())
    );
}

#[test]
fn a_model_that_lists_weights_as_inputs_is_read() {
    // Exporters of IR version 3 wrote them like this.
    let mut model = float_model(INPUT);
    graph(&mut model)
        .input
        .push(value("conv.bias", &[HIDDEN as i64]));
    assert_eq!(
        run(&model, TractForm::Dequantised),
        run(&float_model(INPUT), TractForm::Dequantised)
    );
}

#[test]
fn a_malformed_model_is_rejected_before_tract_reads_it() {
    let error = load_error(|m| m.graph = None);
    assert!(matches!(error, EngineError::NotOnnx(_)), "{error}");
    let error =
        load_error(|m| graph(m).initializer[0].data_location = Some(DataLocation::External as i32));
    assert!(error.to_string().contains("are in another file"), "{error}");
    let error = load_error(|m| graph(m).node[0].input[0] = "elsewhere".into());
    assert_eq!(
        error,
        EngineError::Unsupported("no node or constant produces 'elsewhere'".into())
    );
    let error = load_error(|m| graph(m).node[1].output[0] = "convolved".into());
    assert_eq!(
        error,
        EngineError::Unsupported("two of its nodes produce 'convolved'".into())
    );
    let error = load_error(|m| {
        let twice = graph(m).initializer[0].clone();
        graph(m).initializer.push(twice);
    });
    assert_eq!(
        error,
        EngineError::Unsupported("two of its weights have the same name".into())
    );
}

#[test]
fn a_model_that_tract_cannot_run_is_rejected_at_load() {
    let error = load_error(|m| graph(m).node[1].op_type = "Fathom".into());
    assert!(
        matches!(&error, EngineError::Load(why) if why.contains("Fathom")),
        "{error}"
    );
    let error = load_error(|m| graph(m).initializer[0].raw_data.truncate(7));
    assert!(matches!(error, EngineError::Load(_)), "{error}");
    let error = load_error(|m| graph(m).node[0].input[0] = "clipped".into());
    assert!(matches!(error, EngineError::Load(_)), "a loop: {error}");
}

#[test]
fn a_panic_in_tract_becomes_an_error() {
    let error = guarded(EngineError::Load, || -> () { panic!("assertion in tract") }).unwrap_err();
    assert_eq!(
        error,
        EngineError::Load("tract panicked (assertion in tract)".into())
    );
}
