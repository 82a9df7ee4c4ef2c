//! Runs a [`Network`] on libtorch.

pub(crate) mod depthwise;
mod head;
pub(crate) mod operations;
pub mod rounding;
mod still;

pub use depthwise::Use;
pub use head::Part;
pub use operations::{channels_last, normalise};

use super::recipe::Precision;
use crate::network::weights::{Values, Weights};
use crate::network::{BatchNorm, Convolution, HEAD, Network, NodeId, Op, Parameter, Pooling, Role};
use head::SlicedHead;
use operations::{convolve, dropout, folded, simple};
use rand::RngExt;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rounding::Rounding;
use std::collections::BTreeMap;
use still::Still;
use tch::{Device, Kind, Tensor};

/// Whether statistics and dropout are those of training.
pub enum Mode<'a> {
    /// Batch statistics, and dropout.
    Train {
        /// What dropout is drawn from.
        random: &'a mut ChaCha8Rng,
        /// Takes the convolutions whose kernels libtorch will find no slope for: [`Use::slope`] does.
        uses: &'a mut Vec<Use>,
    },
    /// Batch statistics, of which the running ones take this share, and no dropout: to measure statistics anew.
    Measure(f64),
    /// Running statistics, no dropout.
    Evaluate,
}

/// How much of a batch's statistics goes into the running ones.
#[derive(Clone, Copy)]
enum Share {
    /// As the normalisation itself says.
    Usual,
    /// So much.
    Of(f64),
}

/// How a network is run and which of its parameters learn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// Stem and this many blocks are not trained; `None` trains all.
    pub frozen_blocks: Option<usize>,
    /// The backbone's normalisation uses its running statistics in training too.
    pub frozen_norm: bool,
    /// K slices of the embedding, each with parameters of its own.
    pub learners: usize,
    /// What convolutions are computed in while training.
    pub precision: Precision,
    /// Where tensors live.
    pub device: Device,
    /// Starts of what has no weights follow from it.
    pub seed: u64,
}

impl Default for Running {
    /// All is trained, on the CPU, in one slice.
    fn default() -> Self {
        Self {
            frozen_blocks: None,
            frozen_norm: false,
            learners: 1,
            precision: Precision::F32,
            device: Device::Cpu,
            seed: 1,
        }
    }
}

/// A network with its parameters as tensors.
pub struct TorchNetwork {
    network: Network,
    running: Running,
    tensors: BTreeMap<String, Tensor>,
    head: SlicedHead,
    rounding: Option<Rounding>,
    still: Option<Still>,
    /// The last node that reads each node's output, after which it may be let go.
    last_reader: Vec<NodeId>,
}

/// A parameter that is trained.
pub struct Trained {
    /// What it is.
    pub parameter: Parameter,
    /// The slice of the embedding that it belongs to alone; `None` for what all learners share.
    pub slice: Option<usize>,
    /// Where it lives.
    pub tensor: Tensor,
}

impl TorchNetwork {
    /// `weights` where they have a parameter, else a start drawn from the seed.
    pub fn new(network: Network, weights: &Weights, running: Running) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(running.seed);
        let mut tensors: BTreeMap<String, Tensor> = network
            .parameters()
            .into_iter()
            .map(|p| {
                let started = initial(&p, &mut rng);
                let values = weights.get(&p.name).unwrap_or(&started);
                let trained = p.role != Role::Statistic && !frozen(running.frozen_blocks, p.block);
                let t = tensor(values, running.device).set_requires_grad(trained);
                (p.name, t)
            })
            .collect();
        let head = SlicedHead::take(&network, &mut tensors, running.learners);
        let mut last_reader = vec![0; network.nodes.len()];
        for (id, node) in network.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&i| last_reader[i] = id);
        }
        let still = Still::of(&network, running.frozen_blocks, &tensors, &last_reader);
        Self {
            network,
            running,
            tensors,
            head,
            rounding: None,
            still,
            last_reader,
        }
    }

    /// A copy with tensors of its own, none of which learns: to average weights in.
    pub fn shadow(&self) -> Self {
        let still = Running {
            frozen_blocks: Some(HEAD),
            ..self.running
        };
        Self::new(self.network.clone(), &self.weights(), still)
    }

    /// Takes over `weights` where it has a parameter of that name and shape.
    pub fn take_weights(&mut self, weights: &Weights) {
        let other = Self::new(self.network.clone(), weights, self.running);
        (self.tensors, self.head, self.still) = (other.tensors, other.head, other.still);
    }

    /// The description that this runs.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where its tensors live.
    pub fn device(&self) -> Device {
        self.running.device
    }

    /// From now on training rounds weights and activations as int8 does, with the backbone's statistics held still.
    /// `ranges` are those of an earlier part of the same training, if there was one.
    pub fn start_rounding(&mut self, ranges: &Weights) {
        if self.rounding.is_none() {
            self.rounding = Some(Rounding::new(
                self.network.nodes.len(),
                ranges,
                self.running.device,
            ));
        }
    }

    /// Parameters that are trained.
    pub fn trained(&self) -> Vec<Trained> {
        let mut all: Vec<Trained> = self
            .network
            .parameters()
            .into_iter()
            .filter_map(|parameter| {
                let tensor = self.tensors.get(&parameter.name)?;
                tensor.requires_grad().then(|| Trained {
                    parameter,
                    slice: None,
                    tensor: tensor.shallow_clone(),
                })
            })
            .collect();
        all.extend(self.head.trained());
        all
    }

    /// Every tensor by name, in a fixed order; those of the sliced head once for each slice.
    pub fn tensors(&self) -> Vec<(String, Tensor)> {
        let mut all: Vec<(String, Tensor)> = self
            .tensors
            .iter()
            .map(|(name, t)| (name.clone(), t.shallow_clone()))
            .collect();
        all.extend(self.head.tensors());
        all
    }

    /// All parameters as plain numbers, under the network's names.
    pub fn weights(&self) -> Weights {
        let mut weights: Weights = self
            .tensors
            .iter()
            .map(|(name, t)| (name.clone(), values(t)))
            .collect();
        weights.extend(self.head.weights());
        weights
    }

    /// The ranges that rounding has seen, for a checkpoint.
    pub fn ranges(&self) -> Weights {
        self.rounding
            .as_ref()
            .map(Rounding::weights)
            .unwrap_or_default()
    }

    /// Images `[N, C, H, W] f32` to embeddings, L2-normalised, as when nothing learns: `[N, D]`, or `[N, D / K]` of one learner.
    pub fn embed(&self, images: &Tensor, part: Part) -> Tensor {
        self.embedding(&self.features(images, Mode::Evaluate), part)
    }

    /// Features `[N, F]` of a training step to embeddings, L2-normalised: with int8 rounding where that has begun.
    pub fn learning_embedding(&self, features: &Tensor, part: Part) -> Tensor {
        self.head.embed(features, part, self.rounding.as_ref())
    }

    /// Features `[N, F]` to embeddings, L2-normalised, as when nothing learns.
    pub fn embedding(&self, features: &Tensor, part: Part) -> Tensor {
        self.head.embed(features, part, None)
    }

    /// Images `[N, C, H, W] f32` to the features `[N, F] f32` that the embedding layer reads.
    pub fn features(&self, images: &Tensor, mut mode: Mode<'_>) -> Tensor {
        let training = matches!(mode, Mode::Train { .. });
        let low = training && self.running.precision == Precision::Bf16;
        let rounding = self.rounding.as_ref().filter(|_| training);
        // The last node is the embedding layer, which is the head's.
        let nodes = &self.network.nodes[..self.network.nodes.len() - 1];
        let share = match mode {
            Mode::Train { .. } => Some(Share::Usual),
            Mode::Measure(share) => Some(Share::Of(share)),
            Mode::Evaluate => None,
        };
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
        let missing = || Tensor::zeros([0], (Kind::Float, self.running.device));
        let images = channels_last(&images.to_device(self.running.device));
        if let Some(still) = self.still.as_ref().filter(|_| !low && rounding.is_none()) {
            outputs.resize_with(still.nodes() - 1, || None);
            outputs.push(Some(still.run(&self.network, &images, &self.last_reader)));
        }
        for (id, node) in nodes.iter().enumerate().skip(outputs.len()) {
            let frozen = frozen(self.running.frozen_blocks, node.block);
            let still = self.running.frozen_norm && node.block != HEAD;
            let measured = share.filter(|_| !frozen && !still);
            let input = |i: usize| {
                let from = node.inputs[i];
                outputs[from]
                    .as_ref()
                    .map_or_else(missing, Tensor::shallow_clone)
            };
            let output = match &node.op {
                Op::Input if low => images.to_kind(Kind::BFloat16),
                Op::Input => images.shallow_clone(),
                Op::Convolution(c) => match rounding {
                    Some(rounding) if rounding.covers(node) => {
                        let input = rounding.activation(&input(0), node.inputs[0]);
                        self.rounded_convolution(c, &input)
                    }
                    Some(_) => self.convolution(c, &input(0), None, None),
                    None => {
                        let uses = match &mut mode {
                            Mode::Train { uses, .. } => Some(&mut **uses),
                            Mode::Measure(_) | Mode::Evaluate => None,
                        };
                        self.convolution(c, &input(0), measured, uses)
                    }
                },
                Op::Add => match rounding {
                    Some(rounding) if rounding.covers(node) => {
                        input(0) + rounding.activation(&input(1), node.inputs[1])
                    }
                    _ => input(0) + input(1),
                },
                Op::Activation(_) | Op::Squeeze | Op::Gate | Op::MaxPool { .. } => {
                    let alone = alone(&self.network, &self.last_reader, id);
                    simple(&node.op, input, alone).unwrap_or_else(missing)
                }
                Op::Pool(Pooling::Average) => {
                    input(0).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
                }
                Op::Pool(Pooling::Gem) => {
                    let p = &self.tensors["pool.p"];
                    input(0)
                        .to_kind(Kind::Float)
                        .clamp_min(1e-6)
                        .pow(p)
                        .mean_dim([2i64, 3].as_slice(), false, Kind::Float)
                        .pow(&p.reciprocal())
                }
                Op::Norm(n) => self.norm(n, &input(0), measured),
                Op::Dropout(share) => match &mut mode {
                    Mode::Train { random, .. } => dropout(&input(0), *share, random),
                    Mode::Measure(_) | Mode::Evaluate => input(0),
                },
                Op::Linear { name, .. } => {
                    let part = |part: &str| &self.tensors[&format!("{name}.{part}")];
                    input(0).linear(part("weight"), Some(part("bias")))
                }
            };
            for &from in &node.inputs {
                if self.last_reader[from] == id {
                    outputs[from] = None;
                }
            }
            outputs.push(Some(output));
        }
        outputs.pop().flatten().unwrap_or_else(missing)
    }

    fn convolution(
        &self,
        c: &Convolution,
        input: &Tensor,
        measured: Option<Share>,
        uses: Option<&mut Vec<Use>>,
    ) -> Tensor {
        let own = |part: &str| self.tensors[&format!("{}.{part}", c.name)].to_kind(input.kind());
        let Some(norm) = &c.norm else {
            return convolve(c, input, &own("weight"), Some(&own("bias")));
        };
        let weight = own("weight");
        let convolved = match uses.filter(|_| depthwise::serves(c, input, &weight)) {
            Some(uses) => {
                let output = convolve(c, input, &weight.detach(), None);
                uses.push(Use::new(c, input, &output));
                output
            }
            None => convolve(c, input, &weight, None),
        };
        self.norm(norm, &convolved, measured)
    }

    /// The convolution as it will be exported: normalisation folded into the weights, and these rounded.
    fn rounded_convolution(&self, c: &Convolution, input: &Tensor) -> Tensor {
        let Some(norm) = &c.norm else {
            return self.convolution(c, input, None, None);
        };
        let (weight, shift) = folded(c, norm, &self.tensors);
        let weight = rounding::weight(&weight).to_kind(input.kind());
        convolve(c, input, &weight, Some(&shift.to_kind(input.kind())))
    }

    /// With the batch's statistics, `measured` of which go into the running ones, or with those.
    fn norm(&self, n: &BatchNorm, input: &Tensor, measured: Option<Share>) -> Tensor {
        let part = |part: &str| Some(&self.tensors[&format!("{}.{part}", n.name)]);
        let (weight, bias) = (part("weight"), part("bias"));
        let (mean, variance) = (part("running_mean"), part("running_var"));
        // One image alone has no statistics in [N, C].
        let measured = measured.filter(|_| input.dim() == 4 || input.size()[0] > 1);
        let share = match measured {
            Some(Share::Of(share)) => share,
            Some(Share::Usual) | None => n.momentum,
        };
        let train = measured.is_some();
        input.batch_norm(weight, bias, mean, variance, train, share, n.epsilon, true)
    }
}

/// Whether nobody but node `id` reads the output that it reads first, and the caller keeps no hold of it.
fn alone(network: &Network, last_reader: &[NodeId], id: NodeId) -> bool {
    let from = network.nodes[id].inputs[0];
    last_reader[from] == id && !matches!(network.nodes[from].op, Op::Input)
}

fn frozen(blocks: Option<usize>, block: usize) -> bool {
    blocks.is_some_and(|frozen| block <= frozen)
}

pub(crate) fn initial(parameter: &Parameter, rng: &mut ChaCha8Rng) -> Values {
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
