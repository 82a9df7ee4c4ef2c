use super::*;
use crate::quantize::fixtures::{
    drawn_images, graph, images, inverted_residual, mean_of_relu, residual,
};
use flukewatch_common::engine::Engine;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use prost::Message;

/// Two inputs that always agree, weights 0.4 and 0.4 beside a third of 127 that fixes the step at 1: to the nearest both are lost.
#[test]
fn what_inputs_have_in_common_decides() {
    let places = ndarray::array![
        [1.0f32, 1.0, 0.0],
        [-1.0, -1.0, 0.0],
        [0.0, 0.0, 0.1],
        [0.0, 0.0, -0.1]
    ];
    let group = Group::round(&[0.4, 0.4, 127.0], &places, &places);
    assert_eq!(group.steps, [1.0]);
    assert_eq!(
        group.weights.iter().sum::<f32>(),
        128.0,
        "{:?}",
        group.weights
    );
    assert_eq!(group.weights[2], 127.0);
    assert!(
        group.fitted < 0.1 * group.nearest,
        "{} {}",
        group.fitted,
        group.nearest
    );
    assert!(group.moves[0].abs() < 1e-9);
}

/// The layer reads 1 more than it should, everywhere: its weight stays and its bias makes that good.
#[test]
fn a_shift_before_the_layer_goes_into_its_bias() {
    let wanted = ndarray::array![[1.0f32], [2.0], [3.0]];
    let group = Group::round(&[2.0], &wanted, &(&wanted + 1.0));
    assert!((group.weights[0] - 2.0).abs() < 1e-6);
    assert!((group.moves[0] + 2.0).abs() < 1e-6);
}

/// The layer reads half of what it should: its weight becomes nearly twice as large.
#[test]
fn what_earlier_layers_lost_is_made_good() {
    let wanted = ndarray::array![[1.0f32], [-1.0]];
    let group = Group::round(&[2.0], &wanted, &(&wanted * 0.5));
    assert!((group.weights[0] - 4.0).abs() < 0.1, "{:?}", group.weights);
}

#[test]
fn where_inputs_say_nothing_each_weight_goes_to_its_nearest() {
    let nothing = Array2::zeros((4, 2));
    let bad = Array2::from_elem((4, 2), f32::NAN);
    for seen in [nothing, Array2::zeros((0, 2)), bad] {
        let group = Group::round(&[127.0, 2.4, 0.0, 0.0], &seen, &seen);
        assert_eq!(
            (group.weights, group.steps),
            (vec![127.0, 2.0, 0.0, 0.0], vec![1.0, 1.0])
        );
        assert_eq!(group.moves, [0.0, 0.0]);
    }
    // A photo of one brightness.
    let mut still = mean_of_relu(3.0);
    let ranges: Ranges = [("image", 127.0), ("flat", 127.0)]
        .map(|(n, r)| (n.to_owned(), r))
        .into();
    let layers = still.roundable();
    round(
        &mut still,
        &ranges,
        &layers,
        images(&[0.5]).as_slice(),
        &|| {},
    )
    .unwrap();
    assert_eq!(still.layers[0].weight.data, [3.0]);
}

/// What a layer's weights see, times the weights, is what the layer makes: in all forms that networks have.
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
            let walk = Walk::of(layer, node).unwrap();
            let found = Observed::of(graph.write(), &[layer.input.clone(), layer.output.clone()])
                .unwrap()
                .run(image)
                .unwrap();
            let (input, output) = (numbers(&found[0]).unwrap(), numbers(&found[1]).unwrap());
            let places = output.len() / layer.outputs();
            let patches = walk
                .patches(&input, found[0].shape(), usize::MAX, 0)
                .unwrap();
            assert_eq!(patches.len(), layer.groups);
            let width = walk.width(layer.inputs());
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
fn photos_show_different_places() {
    let graph = graph(&residual());
    let layer = &graph.layers[0];
    let node = graph
        .nodes()
        .iter()
        .find(|n| n.output[0] == layer.output)
        .unwrap();
    let walk = Walk::of(layer, node).unwrap();
    let input: Vec<f32> = (0..192u16).map(f32::from).collect();
    let centre = |photo| walk.patches(&input, &[1, 3, 8, 8], 1, photo).unwrap()[0][[0, 4]] as i32;
    let seen: BTreeSet<i32> = (0..64).map(centre).collect();
    assert!(seen.len() > 40, "{} places of 64", seen.len());
    assert!(walk.patches(&input, &[3, 8, 8], 1, 0).is_err());
}

/// A whole network, activations in float: embeddings come nearer to those in float than with weights to the nearest, and the file holds
/// these very weights.
#[test]
fn embeddings_come_nearer() {
    let float = graph(&residual());
    let photos = drawn_images(float.shape(), 24);
    let ranges = Ranges::new();
    let layers = float.roundable();
    let mut fitted = float.clone();
    let told = round(&mut fitted, &ranges, &layers, photos.as_slice(), &|| {}).unwrap();
    assert_eq!(told.len(), layers.len());
    let embed = |model: ModelProto| -> Vec<f32> {
        let mut engine = TractEngine::load(&model.encode_to_vec(), TractForm::Stripped).unwrap();
        photos
            .iter()
            .flat_map(|p| engine.run(p.view()).unwrap())
            .collect()
    };
    let rounded = |graph: &FloatGraph| {
        embed(graph.write_rounded(Rounding {
            ranges: &ranges,
            layers: &layers,
        }))
    };
    let wanted = embed(float.write());
    let off = |found: Vec<f32>| -> f32 {
        found
            .iter()
            .zip(&wanted)
            .map(|(f, w)| (f - w).powi(2))
            .sum()
    };
    let (nearest, fitted_off) = (off(rounded(&float)), off(rounded(&fitted)));
    assert!(fitted_off < 0.5 * nearest, "{fitted_off} and {nearest}");
    let as_floats = embed(fitted.write());
    let in_file = rounded(&fitted);
    for (a, b) in as_floats.iter().zip(in_file) {
        assert!((a - b).abs() < 1e-4, "{a} and {b}");
    }
}
