use super::*;
use crate::export::histogram::Method;
use crate::quantize::calibrate::ranges;
use crate::quantize::fixtures::{drawn_images, graph, images, mean_of_relu, residual};
use flukewatch_common::engine::Engine;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use prost::Message;

fn near(found: f32, expected: f32) {
    assert!((found - expected).abs() < 1e-5, "{found} and {expected}");
}

/// Steps of 1. Images of 0.3 and 1.4 become 0 and 1, times 3 in the mean 1.5 where the float model has 2.55: the first bias moves by 1.05.
/// Then the matrix reads 1.05 and 4.05, rounded 1 and 4, in the mean 2.5 for 2.55: its biases move by 0.05 and -0.05.
#[test]
fn biases_by_hand() {
    let mut graph = mean_of_relu(3.0);
    let photos = images(&[0.3, 1.4]);
    let ranges: Ranges = [("image", 127.0), ("flat", 127.0)]
        .map(|(n, r)| (n.to_owned(), r))
        .into();
    let layers = graph.roundable();
    let found = correct(&mut graph, &ranges, &layers, photos.as_slice(), &|| {}).unwrap();
    near(graph.layers[0].bias.data[0], 1.05);
    near(graph.layers[1].bias.data[0], 0.55);
    near(graph.layers[1].bias.data[1], 0.45);
    let names: Vec<_> = found.iter().map(|c| c.layer.as_str()).collect();
    assert_eq!(names, ["conv", "fc"]);
    near(found[0].mean, 1.05);
    near(found[0].share, 1.05 / 2.55);
    near(found[1].largest, 0.05);
}

#[test]
fn only_layers_that_are_rounded_are_corrected() {
    let mut graph = mean_of_relu(3.0);
    let photos = images(&[0.3, 1.4]);
    let ranges: Ranges = [("image", 127.0), ("flat", 127.0)]
        .map(|(n, r)| (n.to_owned(), r))
        .into();
    let layers = BTreeSet::from([1]);
    let found = correct(&mut graph, &ranges, &layers, photos.as_slice(), &|| {}).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(graph.layers[0].bias.data, [0.0]);
    // 0.9 and 4.2 become 1 and 4: 2.5 for 2.55.
    near(graph.layers[1].bias.data[0], 0.55);
}

/// The mean embedding over the photos that were corrected on is that of the float model.
#[test]
fn the_mean_of_a_whole_network_is_put_right() {
    let float = graph(&residual());
    let photos = drawn_images(float.shape(), 6);
    let ranges = ranges(&float, photos.as_slice(), Method::Mse, &|| {}).unwrap();
    let layers = float.roundable();
    let mut corrected = float.clone();
    correct(&mut corrected, &ranges, &layers, photos.as_slice(), &|| {}).unwrap();
    let mean = |model: ModelProto| -> Vec<f32> {
        let mut engine = TractEngine::load(&model.encode_to_vec(), TractForm::AsIs).unwrap();
        let all: Vec<Vec<f32>> = photos
            .iter()
            .map(|p| engine.run(p.view()).unwrap())
            .collect();
        (0..all[0].len())
            .map(|i| all.iter().map(|e| e[i]).sum::<f32>() / all.len() as f32)
            .collect()
    };
    let rounded = |graph: &FloatGraph| {
        mean(graph.write_rounded(Rounding {
            ranges: &ranges,
            layers: &layers,
        }))
    };
    let off = |found: Vec<f32>| -> f32 {
        let expected = mean(float.write());
        found.iter().zip(expected).map(|(f, e)| (f - e).abs()).sum()
    };
    let (before, after) = (off(rounded(&float)), off(rounded(&corrected)));
    assert!(
        after < 1e-4 && before > 10.0 * after,
        "{before} and {after}"
    );
}
