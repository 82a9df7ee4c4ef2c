use super::*;
use crate::export::onnx::integer;
use crate::quantize::fixtures::{conv, drawn_images, graph, inverted_residual, model, residual};
use flukewatch_common::engine::Engine;
use flukewatch_common::engine::agreement::agreement;
use flukewatch_common::engine::tract::{TractEngine, TractForm};
use proptest::prelude::*;
use prost::Message;
use tract_onnx::pb::ModelProto;

/// conv (1 to 2 channels, 1 x 1), what stands between, depthwise, Relu, conv (2 to 1), mean.
fn chain(
    between: Vec<NodeProto>,
    first: [f32; 2],
    bias: [f32; 2],
    depthwise: [f32; 2],
    last: [f32; 2],
) -> ModelProto {
    let mut nodes = vec![conv("first", "image", 1, 1, 1, true)];
    nodes.extend(between);
    nodes.extend([
        conv("depthwise", "between", 1, 1, 2, false),
        node("Relu", "relu", &["depthwise"], "relu", vec![]),
        conv("last", "relu", 1, 1, 1, false),
        node("GlobalAveragePool", "pool", &["last"], "pool", vec![]),
        node(
            "Flatten",
            "flat",
            &["pool"],
            "embedding",
            vec![integer("axis", 1)],
        ),
    ]);
    let constants = vec![
        floats("first_w", &[2, 1, 1, 1], &first),
        floats("first_b", &[2], &bias),
        floats("depthwise_w", &[2, 1, 1, 1], &depthwise),
        floats("last_w", &[1, 2, 1, 1], &last),
        floats("zero", &[], &[0.0]),
        floats("six", &[], &[6.0]),
    ];
    model([1, 4, 4], 1, nodes, constants)
}

fn relu() -> Vec<NodeProto> {
    vec![node("Relu", "between", &["first"], "between", vec![])]
}

fn clip() -> Vec<NodeProto> {
    vec![node(
        "Clip",
        "between",
        &["first", "zero", "six"],
        "between",
        vec![],
    )]
}

/// The largest difference between the outputs of two models, as a share of the first's where that is above 1.
fn difference(a: &ModelProto, b: &ModelProto) -> f32 {
    let load = |m: &ModelProto| TractEngine::load(&m.encode_to_vec(), TractForm::AsIs).unwrap();
    let (mut a, mut b) = (load(a), load(b));
    let images = drawn_images(a.input_shape(), 3);
    let mut worst = 0f32;
    for image in images {
        // Seven times as bright, so that a Clip at 6 is reached.
        let image = image.mapv(|v| 7.0 * v);
        let (a, b) = (a.run(image.view()).unwrap(), b.run(image.view()).unwrap());
        let size = a.iter().fold(1f32, |m, v| m.max(v.abs()));
        worst = a
            .iter()
            .zip(&b)
            .fold(worst, |w, (a, b)| w.max((a - b).abs() / size));
    }
    worst
}

/// One pair: the channels' ranges 8 and 2 against 2 and 8 become 4 and 4, factors 2 and 1/2.
#[test]
fn a_pair_by_hand() {
    let nodes = vec![
        conv("first", "image", 1, 1, 1, true),
        node("Relu", "relu", &["first"], "relu", vec![]),
        conv("last", "relu", 1, 1, 1, false),
        node("GlobalAveragePool", "pool", &["last"], "pool", vec![]),
        node("Flatten", "flat", &["pool"], "embedding", vec![]),
    ];
    let constants = vec![
        floats("first_w", &[2, 1, 1, 1], &[8.0, -2.0]),
        floats("first_b", &[2], &[1.0, 1.0]),
        floats("last_w", &[1, 2, 1, 1], &[2.0, 8.0]),
    ];
    let mut found = graph(&model([1, 4, 4], 1, nodes, constants));
    let equalised = equalise(&mut found, false);
    assert_eq!(found.layers[0].weight.data, [4.0, -4.0]);
    assert_eq!(found.layers[0].bias.data, [0.5, 2.0]);
    assert_eq!(found.layers[1].weight.data, [4.0, 4.0]);
    let pair = &equalised.pairs[0];
    assert_eq!(
        (pair.first.as_str(), pair.second.as_str(), pair.spread),
        ("first", "last", 4.0)
    );
    assert_eq!(
        (
            equalised.pairs.len(),
            equalised.skipped.len(),
            equalised.rounds
        ),
        (1, 0, 2)
    );
}

/// Along first, depthwise and last the three ranges of a channel become their geometric mean.
#[test]
fn a_chain_settles_at_the_geometric_mean() {
    let mut found = graph(&chain(
        relu(),
        [8.0, 1.0],
        [0.0; 2],
        [1.0, 1.0],
        [1.0, 27.0],
    ));
    let equalised = equalise(&mut found, false);
    assert_eq!(equalised.pairs.len(), 2);
    for layer in &found.layers {
        for (weight, mean) in layer.weight.data.iter().zip([2.0, 3.0]) {
            assert!((weight - mean).abs() < 0.01, "{}: {weight}", layer.name);
        }
    }
}

#[test]
fn a_clip_is_skipped_and_said() {
    let model = chain(clip(), [8.0, 1.0], [0.0; 2], [1.0, 1.0], [1.0, 1.0]);
    let mut found = graph(&model);
    let before = found.layers[0].weight.clone();
    let equalised = equalise(&mut found, false);
    assert_eq!(found.layers[0].weight, before);
    assert_eq!(equalised.pairs.len(), 1);
    assert_eq!(equalised.skipped[0].layer, "first");
    assert!(
        equalised.skipped[0].why.contains("Clip"),
        "{:?}",
        equalised.skipped
    );
    // Without an upper bound it is a Relu.
    let open = vec![node(
        "Clip",
        "between",
        &["first", "zero"],
        "between",
        vec![],
    )];
    let mut found = graph(&chain(open, [8.0, 1.0], [0.0; 2], [1.0, 1.0], [1.0, 1.0]));
    assert_eq!(equalise(&mut found, false).pairs.len(), 2);
}

#[test]
fn what_another_reads_too_and_what_does_not_keep_factors_is_left_alone() {
    let mut found = graph(&residual());
    let pairs: Vec<_> = equalise(&mut found, false).pairs;
    let names: Vec<_> = pairs
        .iter()
        .map(|p| (p.first.as_str(), p.second.as_str()))
        .collect();
    // The stem's output and the sums are read twice or summed.
    assert_eq!(names, [("a1", "a2"), ("b1", "b2")]);
    let mut found = graph(&inverted_residual());
    let equalised = equalise(&mut found, false);
    assert_eq!(equalised.pairs, []);
    let skipped: Vec<_> = equalised.skipped.iter().map(|s| s.layer.as_str()).collect();
    assert_eq!(skipped, ["stem", "dw", "expand"]);
    // The swish is read by the gate too.
    let opened = equalise(&mut found, true);
    let names: Vec<_> = opened
        .pairs
        .iter()
        .map(|p| (p.first.as_str(), p.second.as_str()))
        .collect();
    assert_eq!(names, [("stem", "dw"), ("expand", "back")]);
    assert!(difference(&inverted_residual(), &found.write()) < 1e-4);
}

#[test]
fn channels_of_groups_are_told_apart() {
    let mut layer = Layer {
        name: "grouped".into(),
        operator: "Conv",
        input: "x".into(),
        output: "y".into(),
        // Two groups of two rows, each of two channels, kernel 1 x 1.
        weight: crate::network::weights::Values {
            shape: vec![4, 2, 1, 1],
            data: (0..8).map(|v| v as f32).collect(),
        },
        steps: None,
        bias: crate::network::weights::Values {
            shape: vec![4],
            data: vec![0.0; 4],
        },
        groups: 2,
        stays: None,
    };
    let mut read = |channel| -> Vec<f32> { columns(&mut layer, channel).map(|w| *w).collect() };
    assert_eq!(
        [read(0), read(1), read(2), read(3)],
        [[0.0, 2.0], [1.0, 3.0], [4.0, 6.0], [5.0, 7.0]]
    );
    assert_eq!(layer.inputs(), 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the weights, dead channels among them, the float model stays what it is.
    #[test]
    fn equalising_changes_no_function(
        first in prop::array::uniform2(-4f32..4.0),
        bias in prop::array::uniform2(-2f32..2.0),
        depthwise in prop::array::uniform2(-4f32..4.0),
        last in prop::array::uniform2(-4f32..4.0),
        dead in 0usize..4,
        clipped in any::<bool>(),
    ) {
        let (mut first, mut depthwise) = (first, depthwise);
        match dead {
            0 => first[0] = 0.0,
            1 => depthwise[1] = 0.0,
            2 => depthwise[0] = 1e-6,
            _ => {}
        }
        let between = if clipped { clip() } else { relu() };
        let before = chain(between, first, bias, depthwise, last);
        let mut found = graph(&before);
        let equalised = equalise(&mut found, true);
        prop_assert_eq!(equalised.pairs.len(), 2);
        let off = difference(&before, &found.write());
        prop_assert!(off < 1e-3, "{off}");
    }
}

#[test]
fn a_whole_residual_network_stays_what_it_is() {
    let before = residual();
    let mut found = graph(&before);
    assert!(
        equalise(&mut found, true)
            .pairs
            .iter()
            .any(|p| p.spread > 1.1)
    );
    let load = |m: &ModelProto| TractEngine::load(&m.encode_to_vec(), TractForm::AsIs).unwrap();
    let images = drawn_images(found.shape(), 4);
    let same = agreement(&mut load(&before), &mut load(&found.write()), &images).unwrap();
    assert!(same.lowest > 0.999_999, "{same:?}");
}
