//! Runs a [`Network`] on libtorch.

use crate::network::weights::{Values, Weights};
use crate::network::{Activation, BatchNorm, Convolution, Network, Op, Parameter, Pooling, Role};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// Whether statistics and dropout are those of training.
pub enum Mode<'a> {
    /// Batch statistics, and dropout drawn from this generator.
    Train(&'a mut ChaCha8Rng),
    /// Running statistics, no dropout.
    Evaluate,
}

/// A network with its parameters as tensors.
pub struct TorchNetwork {
    network: Network,
    tensors: BTreeMap<String, Tensor>,
    frozen_blocks: Option<usize>,
    device: Device,
}

impl TorchNetwork {
    /// `weights` where they have a parameter, else a start drawn from `seed`. Stem and `frozen_blocks` blocks are not trained.
    pub fn new(
        network: Network,
        weights: &Weights,
        frozen_blocks: Option<usize>,
        device: Device,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let tensors = network
            .parameters()
            .into_iter()
            .map(|p| {
                let started = initial(&p, &mut rng);
                let values = weights.get(&p.name).unwrap_or(&started);
                let trained = p.role != Role::Statistic && !frozen(frozen_blocks, p.block);
                (p.name, tensor(values, device).set_requires_grad(trained))
            })
            .collect();
        Self {
            network,
            tensors,
            frozen_blocks,
            device,
        }
    }

    /// The description that this runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Parameters that are trained, with their tensors.
    pub fn trained(&self) -> Vec<(Parameter, Tensor)> {
        self.network
            .parameters()
            .into_iter()
            .filter_map(|p| {
                let t = self.tensors.get(&p.name)?;
                t.requires_grad().then(|| (p, t.shallow_clone()))
            })
            .collect()
    }

    /// All parameters as plain numbers.
    pub fn weights(&self) -> Weights {
        self.tensors
            .iter()
            .map(|(name, t)| (name.clone(), values(t)))
            .collect()
    }

    /// Images `[N, C, H, W] f32` to raw embeddings `[N, D] f32`.
    pub fn forward(&self, images: &Tensor, mut mode: Mode<'_>) -> Tensor {
        let mut outputs: Vec<Tensor> = Vec::with_capacity(self.network.nodes.len());
        for node in &self.network.nodes {
            let train = matches!(mode, Mode::Train(_)) && !frozen(self.frozen_blocks, node.block);
            let input = |i: usize| &outputs[node.inputs[i]];
            let output = match &node.op {
                Op::Input => channels_last(&images.to_device(self.device)),
                Op::Convolution(c) => self.convolution(c, input(0), train),
                Op::Activation(Activation::Relu) => input(0).relu(),
                Op::Activation(Activation::Relu6) => input(0).clamp(0.0, 6.0),
                Op::Activation(Activation::HardSwish) => input(0).hardswish(),
                Op::Activation(Activation::HardSigmoid) => input(0).hardsigmoid(),
                Op::Add => input(0) + input(1),
                Op::Squeeze => input(0).mean_dim([2i64, 3].as_slice(), true, None::<Kind>),
                Op::Gate => input(0) * input(1),
                Op::MaxPool {
                    kernel,
                    stride,
                    padding,
                } => {
                    let [k, s, p] = [kernel, stride, padding].map(|&v| v as i64);
                    input(0).max_pool2d([k, k], [s, s], [p, p], [1, 1], false)
                }
                Op::Pool(Pooling::Average) => {
                    input(0).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
                }
                Op::Pool(Pooling::Gem) => {
                    let p = &self.tensors["pool.p"];
                    input(0)
                        .clamp_min(1e-6)
                        .pow(p)
                        .mean_dim([2i64, 3].as_slice(), false, Kind::Float)
                        .pow(&p.reciprocal())
                }
                Op::Norm(n) => self.norm(n, input(0), train),
                Op::Dropout(share) => match &mut mode {
                    Mode::Train(random) => dropout(input(0), *share, random),
                    Mode::Evaluate => input(0).shallow_clone(),
                },
                Op::Linear { name, .. } => {
                    let (weight, bias) = (
                        &self.tensors[&format!("{name}.weight")],
                        &self.tensors[&format!("{name}.bias")],
                    );
                    input(0).linear(weight, Some(bias))
                }
            };
            outputs.push(output);
        }
        outputs.pop().unwrap_or_else(|| images.shallow_clone())
    }

    fn convolution(&self, c: &Convolution, input: &Tensor, train: bool) -> Tensor {
        let weight = &self.tensors[&format!("{}.weight", c.name)];
        let bias = c
            .norm
            .is_none()
            .then(|| &self.tensors[&format!("{}.bias", c.name)]);
        let size = input.size();
        let (top, bottom) = c.padding.around(size[2] as usize, c.kernel, c.stride);
        let (left, right) = c.padding.around(size[3] as usize, c.kernel, c.stride);
        let stride = [c.stride as i64; 2];
        let groups = c.groups as i64;
        let convolved = if top == bottom && left == right {
            input.conv2d(
                weight,
                bias,
                stride,
                [top as i64, left as i64],
                [1, 1],
                groups,
            )
        } else {
            let padded = input.constant_pad_nd([left, right, top, bottom].map(|p| p as i64));
            padded.conv2d(weight, bias, stride, [0, 0], [1, 1], groups)
        };
        match &c.norm {
            Some(norm) => self.norm(norm, &convolved, train),
            None => convolved,
        }
    }

    fn norm(&self, n: &BatchNorm, input: &Tensor, train: bool) -> Tensor {
        let part = |part: &str| Some(&self.tensors[&format!("{}.{part}", n.name)]);
        let (weight, bias) = (part("weight"), part("bias"));
        let (mean, variance) = (part("running_mean"), part("running_var"));
        // One image alone has no statistics in [N, C].
        let train = train && (input.dim() == 4 || input.size()[0] > 1);
        input.batch_norm(
            weight, bias, mean, variance, train, n.momentum, n.epsilon, true,
        )
    }
}

/// `[N, C, H, W]` with channels innermost in memory, which convolutions on CPU and CUDA prefer.
pub fn channels_last(t: &Tensor) -> Tensor {
    t.permute([0, 2, 3, 1]).contiguous().permute([0, 3, 1, 2])
}

/// Zeroes a `share` of the features and scales the others up, drawn from our own generator, so that a run follows from its seed.
fn dropout(features: &Tensor, share: f64, random: &mut ChaCha8Rng) -> Tensor {
    let kept = (1.0 / (1.0 - share)) as f32;
    let mask: Vec<f32> = (0..features.numel())
        .map(|_| {
            if random.random::<f64>() < share {
                0.0
            } else {
                kept
            }
        })
        .collect();
    features
        * Tensor::from_slice(&mask)
            .reshape(features.size())
            .to_device(features.device())
}

fn frozen(blocks: Option<usize>, block: usize) -> bool {
    blocks.is_some_and(|frozen| block <= frozen)
}

fn initial(parameter: &Parameter, rng: &mut ChaCha8Rng) -> Values {
    let count = parameter.shape.iter().product::<usize>();
    let data = if parameter.name == "pool.p" {
        vec![3.0; count]
    } else if parameter.role == Role::Weight {
        // He et al. 2015: variance 2 / fan-in, uniform.
        let fan_in = parameter.shape[1..].iter().product::<usize>().max(1);
        let bound = (6.0 / fan_in as f32).sqrt();
        (0..count)
            .map(|_| rng.random_range(-bound..=bound))
            .collect()
    } else {
        let one = parameter.name.ends_with("norm.weight")
            || parameter.name.ends_with("running_var")
            || (parameter.role == Role::Scale && parameter.name.ends_with(".weight"));
        vec![if one { 1.0 } else { 0.0 }; count]
    };
    Values {
        shape: parameter.shape.clone(),
        data,
    }
}

/// Numbers to a tensor.
pub fn tensor(values: &Values, device: Device) -> Tensor {
    let shape: Vec<i64> = values.shape.iter().map(|&s| s as i64).collect();
    Tensor::from_slice(&values.data)
        .reshape(shape)
        .to_device(device)
}

/// A tensor to numbers.
pub fn values(t: &Tensor) -> Values {
    let shape: Vec<usize> = t.size().iter().map(|&s| s as usize).collect();
    let count = shape.iter().product();
    let mut data = vec![0f32; count];
    t.detach()
        .to_device(Device::Cpu)
        .to_kind(Kind::Float)
        .contiguous()
        .copy_data(&mut data, count);
    Values { shape, data }
}
