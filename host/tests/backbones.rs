//! Compares backbones in libtorch with reference computations (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_network::head::Head;
use flukewatch_network::weights::{Values, Weights};
use flukewatch_network::{Backbone, Network, Node, Op, Pooling};
use flukewatch_train::embedding::network::{Mode, NetworkOptions, SavedActivations, TorchNetwork};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tch::Tensor;

const SIDE: i64 = 16;

/// A backbone's first convolution and the embedding layer, with weights of small variance, so that
/// epsilon and momentum matter.
fn stem(backbone: Backbone) -> (Network, Weights) {
    let mut network = Network::new(
        backbone,
        1,
        &Head {
            pooling: Pooling::Average,
            dropout: 0.0,
            dimension: 8,
        },
    );
    let last = network.nodes.pop().unwrap();
    network.nodes.truncate(2);
    network.nodes.push(Node {
        inputs: vec![1],
        ..last
    });
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let weights = network
        .parameters()
        .into_iter()
        .map(|p| {
            let range = match p.name.rsplit('.').next().unwrap() {
                "running_var" => 1e-4..2e-3,
                "running_mean" => -0.1..0.1,
                _ if p.shape.len() == 4 => -0.1..0.1,
                _ => 0.5..1.5,
            };
            let data = (0..p.shape.iter().product())
                .map(|_| rng.random_range(range.clone()))
                .collect();
            (
                p.name,
                Values {
                    shape: p.shape,
                    data,
                },
            )
        })
        .collect();
    (network, weights)
}

fn numbers(t: &Tensor) -> Vec<f32> {
    t.flatten(0, -1).try_into().unwrap()
}

/// The stem's convolution in plain loops: `[out][image and position]`.
fn convolved(network: &Network, weights: &Weights, images: &[f32], count: usize) -> Vec<Vec<f32>> {
    let Op::Convolution(c) = &network.nodes[1].op else {
        panic!("no convolution first");
    };
    let kernel = &weights[&format!("{}.weight", c.name)].data;
    let side = SIDE as usize;
    let (before, _) = c.padding.around(side, c.kernel, c.stride);
    let places = side.div_ceil(c.stride);
    let pixel = |n: usize, y: usize, x: usize| {
        // Outside of the border the subtraction wraps to a large number.
        let (y, x) = (y.wrapping_sub(before), x.wrapping_sub(before));
        if y < side && x < side {
            images[(n * side + y) * side + x]
        } else {
            0.0
        }
    };
    (0..c.outputs)
        .map(|out| {
            let mut all = vec![];
            for n in 0..count {
                for place in 0..places * places {
                    let (y, x) = (place / places * c.stride, place % places * c.stride);
                    all.push(
                        (0..c.kernel * c.kernel)
                            .map(|k| {
                                kernel[out * c.kernel * c.kernel + k]
                                    * pixel(n, y + k / c.kernel, x + k % c.kernel)
                            })
                            .sum(),
                    );
                }
            }
            all
        })
        .collect()
}

#[test]
fn statistics_are_updated_and_applied_as_in_the_package() {
    tch::set_num_threads(1);
    let count = 3;
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let images: Vec<f32> = (0..count * (SIDE * SIDE) as usize)
        .map(|_| rng.random_range(-1.0..1.0))
        .collect();
    let batch = Tensor::from_slice(&images).reshape([count as i64, 1, SIDE, SIDE]);
    for backbone in Backbone::ALL {
        let (epsilon, momentum) = match backbone {
            Backbone::Resnet18 | Backbone::Resnet50 | Backbone::Tiny => (1e-5, 0.1),
            Backbone::MobilenetV3Large => (1e-3, 0.01),
            _ => (1e-3, 0.1),
        };
        let (network, weights) = stem(backbone);
        let norm = network.norms().next().unwrap().name.clone();
        let part = |w: &Weights, part: &str| w[&format!("{norm}.{part}")].data.clone();
        let (mean, variance) = (
            part(&weights, "running_mean"),
            part(&weights, "running_var"),
        );
        let (scale, shift) = (part(&weights, "weight"), part(&weights, "bias"));
        let maps = convolved(&network, &weights, &images, count);
        let torch = TorchNetwork::new(network, &weights, NetworkOptions::default());

        // With running statistics: epsilon.
        let output = tch::no_grad(|| torch.features(&batch, Mode::Evaluate));
        let got = numbers(&output.permute([1, 0, 2, 3]).contiguous());
        let mut worst = 0f64;
        for (c, map) in maps.iter().enumerate() {
            for (i, v) in map.iter().enumerate() {
                let std = (f64::from(variance[c]) + epsilon).sqrt();
                let expected =
                    f64::from(scale[c]) * f64::from(v - mean[c]) / std + f64::from(shift[c]);
                worst = worst.max(
                    (f64::from(got[c * map.len() + i]) - expected).abs() / (1.0 + expected.abs()),
                );
            }
        }
        assert!(worst < 1e-4, "{backbone}: {worst}");

        // With those of the batch: momentum.
        let mode = Mode::Train {
            random: &mut rng,
            saved: &mut SavedActivations::default(),
        };
        let _ = tch::no_grad(|| torch.features(&batch, mode));
        let moved = torch.weights();
        let (new_mean, new_variance) = (part(&moved, "running_mean"), part(&moved, "running_var"));
        for (c, map) in maps.iter().enumerate() {
            let n = map.len() as f64;
            let average = map.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let spread = map
                .iter()
                .map(|&v| (f64::from(v) - average).powi(2))
                .sum::<f64>()
                / (n - 1.0);
            for (old, seen, new) in [
                (mean[c], average, new_mean[c]),
                (variance[c], spread, new_variance[c]),
            ] {
                let expected = (1.0 - momentum) * f64::from(old) + momentum * seen;
                let moved = (expected - f64::from(old)).abs();
                assert!(
                    (f64::from(new) - expected).abs() < 1e-2 * moved + 1e-6,
                    "{backbone}: {old} to {new}, not {expected}"
                );
            }
        }
    }
}
