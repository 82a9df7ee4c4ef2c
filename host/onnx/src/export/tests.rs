use super::*;
use flukewatch_network::head::Head;
use flukewatch_network::quantisation::FLOAT_BLOCKS;
use flukewatch_network::weights::Values;
use flukewatch_network::{Backbone, Op, Pooling};
use tract_onnx::pb::{GraphProto, ModelProto};

fn network(backbone: Backbone) -> Network {
    let head = Head {
        pooling: Pooling::Gem,
        dropout: 0.2,
        dimension: 8,
    };
    Network::new(backbone, 1, &head)
}

/// Weights that differ between channels.
fn weights(network: &Network) -> Weights {
    let parameters = network.parameters().into_iter();
    parameters
        .map(|p| {
            let count: usize = p.shape.iter().product();
            let data = (0..count).map(|i| 0.01 + (i % 7) as f32 / 30.0).collect();
            (
                p.name,
                Values {
                    shape: p.shape,
                    data,
                },
            )
        })
        .collect()
}

fn photos() -> Vec<Array3<f32>> {
    let photo = |seed: usize| {
        Array3::from_shape_fn((1, 64, 64), |(_, y, x)| {
            ((y * 5 + x * seed) % 11) as f32 / 11.0
        })
    };
    (1..4).map(photo).collect()
}

fn int8(network: &Network, weights: &Weights) -> GraphProto {
    let model = int8_model(network, weights, 64, 64, &photos()).unwrap();
    ModelProto::decode(model.as_slice()).unwrap().graph.unwrap()
}

/// Tests a network with hard-swish and squeeze-and-excitation.
#[test]
fn convolutions_and_skips_are_quantised_and_nothing_else() {
    let network = network(Backbone::MobilenetV3Large);
    let graph = int8(&network, &weights(&network));
    let maker = |tensor: &str| {
        let node = graph.node.iter().find(|n| n.output[0] == tensor);
        node.map_or("", |n| n.op_type.as_str())
    };
    let (mut int8, mut float) = (0, 0);
    for node in &graph.node {
        let read: Vec<&str> = node.input.iter().map(|i| maker(i)).collect();
        match (
            node.op_type.as_str(),
            read[..].split_at(2.min(read.len())).0,
        ) {
            ("Conv" | "Gemm", ["DequantizeLinear", "DequantizeLinear"]) => int8 += 1,
            ("Conv", _) => {
                assert!(!read.contains(&"DequantizeLinear"), "{}", node.name);
                float += 1;
            }
            ("HardSwish", from) => assert_eq!(from, ["Conv"]),
            ("HardSigmoid", from) => assert_eq!(from, ["Conv"]),
            ("GlobalAveragePool" | "Mul", from) => {
                assert!(!from.contains(&"DequantizeLinear"), "{}", node.name);
            }
            _ => {}
        }
    }
    let expected = network.nodes.iter().filter(|n| match &n.op {
        Op::Convolution(c) => c.norm.is_some() && n.block > FLOAT_BLOCKS,
        Op::Linear { .. } => true,
        _ => false,
    });
    assert_eq!(int8, expected.count());
    // The stem, three blocks (2, 3 and 3 convolutions), and 8 times squeeze-and-excitation.
    assert_eq!(float, 1 + 2 + 3 + 3 + 8 * 2);
}

#[test]
fn learned_ranges_replace_measured_ones() {
    let network = network(Backbone::Tiny);
    let mut weights = weights(&network);
    let scale = |graph: &GraphProto| {
        let scales = graph.initializer.iter();
        let scales = scales.filter(|t| t.dims.is_empty() && t.name.ends_with(".scale"));
        scales
            .map(|t| f32::from_le_bytes(t.raw_data[..].try_into().unwrap()))
            .collect::<Vec<_>>()
    };
    let last = network.nodes.len() - 1;
    let read = network.nodes[last].inputs[0];
    let read = match network.nodes[read].op {
        Op::Dropout(_) => network.nodes[read].inputs[0],
        _ => read,
    };
    let measured = scale(&int8(&network, &weights));
    let range = Values {
        shape: vec![1],
        data: vec![127.0 * 3.0],
    };
    weights.insert(learned_range(read), range);
    let learned = scale(&int8(&network, &weights));
    assert_eq!(measured.len(), learned.len());
    let changed: Vec<f32> = learned
        .iter()
        .filter(|s| !measured.contains(s))
        .copied()
        .collect();
    assert_eq!(changed, [3.0]);
}
