use super::*;
use crate::quantize::fixtures::{drawn_images, graph, images, inverted_residual, residual};
use crate::samples::mean_of_relu;
use flukewatch_inference::engine::Engine;
use flukewatch_inference::engine::tract::{TractEngine, TractForm};
use prost::Message;

/// Two equal inputs with weights 0.4 and 0.4, beside a third of 127 that fixes the scale at 1: to
/// the nearest both are lost.
#[test]
fn correlated_inputs_compensate() {
    let places = ndarray::array![
        [1.0f32, 1.0, 0.0],
        [-1.0, -1.0, 0.0],
        [0.0, 0.0, 0.1],
        [0.0, 0.0, -0.1]
    ];
    let group = Group::round(&[0.4, 0.4, 127.0], &places, &places);
    assert_eq!(group.scales, [1.0]);
    assert_eq!(
        group.weights.iter().sum::<f32>(),
        128.0,
        "{:?}",
        group.weights
    );
    assert_eq!(group.weights[2], 127.0);
    assert!(
        group.gptq < 0.1 * group.nearest,
        "{} {}",
        group.gptq,
        group.nearest
    );
    assert!(group.bias_corrections[0].abs() < 1e-9);
}

/// The input is 1 too large everywhere: the weight stays, the bias compensates.
#[test]
fn a_shift_of_the_input_is_corrected_in_the_bias() {
    let target = ndarray::array![[1.0f32], [2.0], [3.0]];
    let group = Group::round(&[2.0], &target, &(&target + 1.0));
    assert!((group.weights[0] - 2.0).abs() < 1e-6);
    assert!((group.bias_corrections[0] + 2.0).abs() < 1e-6);
}

/// The input is half of what it should be: the weight nearly doubles.
#[test]
fn errors_of_earlier_layers_are_compensated() {
    let target = ndarray::array![[1.0f32], [-1.0]];
    let group = Group::round(&[2.0], &target, &(&target * 0.5));
    assert!((group.weights[0] - 4.0).abs() < 0.1, "{:?}", group.weights);
}

#[test]
fn without_information_each_weight_is_rounded_to_the_nearest() {
    let nothing = Array2::zeros((4, 2));
    let bad = Array2::from_elem((4, 2), f32::NAN);
    for seen in [nothing, Array2::zeros((0, 2)), bad] {
        let group = Group::round(&[127.0, 2.4, 0.0, 0.0], &seen, &seen);
        assert_eq!(
            (group.weights, group.scales),
            (vec![127.0, 2.0, 0.0, 0.0], vec![1.0, 1.0])
        );
        assert_eq!(group.bias_corrections, [0.0, 0.0]);
    }
    // A uniform image.
    let mut still = mean_of_relu(3.0);
    let ranges: Ranges = [("image", 127.0), ("flat", 127.0)]
        .map(|(n, r)| (n.to_owned(), r))
        .into();
    let layers = still.quantisable();
    gptq(
        &mut still,
        &ranges,
        &layers,
        images(&[0.5]).as_slice(),
        &|| {},
    )
    .unwrap();
    assert_eq!(still.layers[0].weight.data, [3.0]);
}

/// For every kind of layer of the fixtures.
#[test]
fn patches_times_weights_are_the_layers_output() {
    for file in [residual(), inverted_residual()] {
        let graph = graph(&file);
        let image = &drawn_images(graph.shape(), 1)[0];
        for layer in &graph.layers {
            let node = graph
                .nodes()
                .iter()
                .find(|n| n.output[0] == layer.output)
                .unwrap();
            let window = Window::of(layer, node).unwrap();
            let found = Observed::of(graph.write(), &[layer.input.clone(), layer.output.clone()])
                .unwrap()
                .run(image)
                .unwrap();
            let (input, output) = (numbers(&found[0]).unwrap(), numbers(&found[1]).unwrap());
            let places = output.len() / layer.outputs();
            let patches = window
                .patches(&input, found[0].shape(), usize::MAX, 0)
                .unwrap();
            assert_eq!(patches.len(), layer.groups);
            let width = window.width(layer.inputs());
            for (out, weights) in layer.weight.data.chunks_exact(width).enumerate() {
                let seen = &patches[out / (layer.outputs() / layer.groups)];
                assert_eq!(seen.dim(), (places, width));
                for (place, patch) in seen.rows().into_iter().enumerate() {
                    let made: f32 = patch.iter().zip(weights).map(|(p, w)| p * w).sum::<f32>()
                        + layer.bias.data[out];
                    let expected = output[out * places + place];
                    assert!(
                        (made - expected).abs() < 1e-4,
                        "{}: {made} and {expected}",
                        layer.name
                    );
                }
            }
        }
    }
}

#[test]
fn images_contribute_different_positions() {
    let graph = graph(&residual());
    let layer = &graph.layers[0];
    let node = graph
        .nodes()
        .iter()
        .find(|n| n.output[0] == layer.output)
        .unwrap();
    let window = Window::of(layer, node).unwrap();
    let input: Vec<f32> = (0..192u16).map(f32::from).collect();
    let centre = |photo| window.patches(&input, &[1, 3, 8, 8], 1, photo).unwrap()[0][[0, 4]] as i32;
    let seen: BTreeSet<i32> = (0..64).map(centre).collect();
    assert!(seen.len() > 40, "{} positions of 64", seen.len());
    assert!(window.patches(&input, &[3, 8, 8], 1, 0).is_err());
}

/// A whole network with float activations: embeddings are nearer to the float model's than with
/// weights rounded to the nearest, and the file holds these weights.
#[test]
fn embeddings_are_nearer_than_with_rounding_to_the_nearest() {
    let float = graph(&residual());
    let photos = drawn_images(float.shape(), 24);
    let ranges = Ranges::new();
    let layers = float.quantisable();
    let mut rounded_together = float.clone();
    let report = gptq(
        &mut rounded_together,
        &ranges,
        &layers,
        photos.as_slice(),
        &|| {},
    )
    .unwrap();
    assert_eq!(report.len(), layers.len());
    let embed = |model: ModelProto| -> Vec<f32> {
        let mut engine = TractEngine::load(&model.encode_to_vec(), TractForm::Dequantised).unwrap();
        photos
            .iter()
            .flat_map(|p| engine.run(p.view()).unwrap())
            .collect()
    };
    let quantised = |graph: &FloatGraph| {
        embed(graph.write_quantised(Quantisation {
            ranges: &ranges,
            layers: &layers,
        }))
    };
    let expected = embed(float.write());
    let off = |found: Vec<f32>| -> f32 {
        found
            .iter()
            .zip(&expected)
            .map(|(f, w)| (f - w).powi(2))
            .sum()
    };
    let (nearest, gptq_off) = (off(quantised(&float)), off(quantised(&rounded_together)));
    assert!(gptq_off < 0.5 * nearest, "{gptq_off} and {nearest}");
    let as_floats = embed(rounded_together.write());
    let in_file = quantised(&rounded_together);
    for (a, b) in as_floats.iter().zip(in_file) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}
