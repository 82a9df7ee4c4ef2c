//! Runs a [`Network`] on libtorch.

mod fake_quantise;
mod frozen_prefix;
mod graph;
mod head;

pub use head::EmbeddingPart;
pub(super) use head::TrainedParameter;

use super::recipe::Precision;
pub use crate::cpu::depthwise::SavedActivations;
use crate::torch::initial::initial;
use crate::torch::operations::{convolve, dropout, folded, stateless};
use crate::torch::tensors::{channels_last, tensor, values};
use crate::trainer::average::NamedTensors;
use fake_quantise::{FakeQuantise, Ranges};
use flukewatch_network::weights::Weights;
use flukewatch_network::{BatchNorm, Convolution, HEAD, Network, NodeId, Op, Pooling, Role};
use frozen_prefix::FrozenPrefix;
use graph::{frozen, in_place, last_readers};
use head::SlicedHead;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use tch::{Device, Kind, Tensor};

/// What a forward pass is for.
pub enum Mode<'a> {
    /// Batch statistics, which update the running ones, and dropout.
    Train {
        /// Source of dropout.
        random: &'a mut ChaCha8Rng,
        /// Receives what the optimiser step needs besides the loss.
        saved: &'a mut SavedActivations,
    },
    /// Batch statistics, which update the running ones with this momentum, and no dropout.
    MeasureStatistics(f64),
    /// Running statistics, no dropout.
    Evaluate,
    /// The same, with the fake quantisation of the exported model once training has found its ranges.
    EvaluateExported,
}

/// Momentum of running statistics.
#[derive(Clone, Copy)]
enum Momentum {
    /// The layer's own.
    Own,
    Given(f64),
}

/// How a network is run, and which of its parameters are trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NetworkOptions {
    /// Whether anything is trained.
    pub trained: bool,
    /// The stem and this many blocks are never trained; `None` trains everything.
    pub frozen_blocks: Option<usize>,
    /// The backbone's normalisation uses its running statistics in training too.
    pub frozen_norm: bool,
    /// Number of slices of the embedding, each with its own parameters.
    pub learners: usize,
    /// Precision of convolutions in training.
    pub precision: Precision,
    /// Where tensors are allocated.
    pub device: Device,
    /// Parameters without given weights are drawn from it.
    pub seed: u64,
}

impl Default for NetworkOptions {
    /// Everything is trained, on the CPU, in one slice.
    fn default() -> Self {
        Self {
            trained: true,
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
    options: NetworkOptions,
    tensors: BTreeMap<String, Tensor>,
    head: SlicedHead,
    quantise: Option<FakeQuantise>,
    frozen_prefix: Option<FrozenPrefix>,
    last_readers: Vec<NodeId>,
}

impl TorchNetwork {
    /// With `weights`; parameters without are initialised randomly.
    pub fn new(network: Network, weights: &Weights, options: NetworkOptions) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        let mut tensors: BTreeMap<String, Tensor> = network
            .parameters()
            .into_iter()
            .map(|p| {
                let drawn = initial(&p, &mut rng);
                let values = weights.get(&p.name).unwrap_or(&drawn);
                let trained = options.trained
                    && p.role != Role::Statistic
                    && !frozen(options.frozen_blocks, p.block);
                let t = tensor(values, options.device).set_requires_grad(trained);
                (p.name, t)
            })
            .collect();
        let head = SlicedHead::take(&network, &mut tensors, options.learners);
        let last_readers = last_readers(&network.nodes);
        let frozen_prefix = options
            .trained
            .then(|| FrozenPrefix::of(&network, options.frozen_blocks, &tensors, &last_readers))
            .flatten();
        Self {
            network,
            options,
            tensors,
            head,
            quantise: None,
            frozen_prefix,
            last_readers,
        }
    }

    /// A network of the same kind with other weights, none of them trained: to hold an average.
    pub(super) fn untrained(&self, weights: &Weights) -> Self {
        let options = NetworkOptions {
            trained: false,
            ..self.options
        };
        Self::new(self.network.clone(), weights, options)
    }

    /// The description of the network.
    pub fn description(&self) -> &Network {
        &self.network
    }

    pub(super) fn device(&self) -> Device {
        self.options.device
    }

    /// Starts fake quantisation in training, with the backbone's statistics fixed. `ranges` are those
    /// of an earlier part of the training, if any.
    pub fn start_quantisation(&mut self, ranges: &Weights) {
        if self.quantise.is_none() {
            let nodes = self.network.nodes.len();
            self.quantise = Some(FakeQuantise::new(nodes, ranges, self.options.device));
        }
    }

    /// Evaluates with the quantisation ranges of `other`, also while they are trained.
    pub(super) fn share_quantisation(&mut self, other: &Self) {
        self.quantise.clone_from(&other.quantise);
    }

    pub(super) fn trained(&self) -> Vec<TrainedParameter> {
        let mut all: Vec<TrainedParameter> = self
            .network
            .parameters()
            .into_iter()
            .filter_map(|parameter| {
                let tensor = self.tensors.get(&parameter.name)?;
                tensor.requires_grad().then(|| TrainedParameter {
                    parameter,
                    slice: None,
                    tensor: tensor.shallow_clone(),
                })
            })
            .collect();
        all.extend(self.head.trained());
        all
    }

    /// Every tensor in a fixed order; those of the sliced head once per slice.
    pub(super) fn tensors(&self) -> NamedTensors {
        let mut all: NamedTensors = self
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

    /// The ranges of fake quantisation, for a checkpoint; empty if it has not started.
    pub(super) fn ranges(&self) -> Weights {
        match &self.quantise {
            Some(quantise) => quantise.weights(),
            None => Weights::new(),
        }
    }

    /// Embeds images in evaluation mode, as the exported model does: in quantisation-aware epochs with
    /// fake quantisation.
    ///
    /// # Shapes
    /// `images` `[N, C, H, W] f32`; returns `[N, D]`, L2-normalised, or `[N, D / K]` for one learner.
    pub fn embed(&self, images: &Tensor, part: EmbeddingPart) -> Tensor {
        let features = self.features(images, Mode::EvaluateExported);
        let quantise = self.exported_quantisation();
        self.head
            .embed(&features, part, quantise.map(|q| (q, Ranges::Keep)))
    }

    /// Features `[N, F]` of a training step to embeddings, L2-normalised, with fake quantisation if it
    /// has started.
    pub(super) fn training_embedding(&self, features: &Tensor, part: EmbeddingPart) -> Tensor {
        let quantise = self.quantise.as_ref();
        self.head
            .embed(features, part, quantise.map(|q| (q, Ranges::Update)))
    }

    fn exported_quantisation(&self) -> Option<&FakeQuantise> {
        self.quantise.as_ref().filter(|q| q.has_ranges())
    }

    /// Features `[N, F]` to embeddings, L2-normalised, in evaluation mode without fake quantisation.
    pub(super) fn embedding(&self, features: &Tensor, part: EmbeddingPart) -> Tensor {
        self.head.embed(features, part, None)
    }

    /// The features that the embedding layer reads.
    ///
    /// # Shapes
    /// `images` `[N, C, H, W] f32`; returns `[N, F] f32`.
    pub fn features(&self, images: &Tensor, mut mode: Mode<'_>) -> Tensor {
        let training = matches!(mode, Mode::Train { .. });
        let bf16 = training && self.options.precision == Precision::Bf16;
        let quantise = match mode {
            Mode::Train { .. } => self.quantise.as_ref().map(|q| (q, Ranges::Update)),
            Mode::EvaluateExported => self.exported_quantisation().map(|q| (q, Ranges::Keep)),
            Mode::MeasureStatistics(_) | Mode::Evaluate => None,
        };
        // The last node is the embedding layer, which belongs to the head.
        let nodes = &self.network.nodes[..self.network.nodes.len() - 1];
        let momentum = match mode {
            Mode::Train { .. } => Some(Momentum::Own),
            Mode::MeasureStatistics(momentum) => Some(Momentum::Given(momentum)),
            Mode::Evaluate | Mode::EvaluateExported => None,
        };
        let mut outputs: Vec<Option<Tensor>> = Vec::with_capacity(nodes.len());
        let images = channels_last(&images.to_device(self.options.device));
        if let Some(prefix) = self
            .frozen_prefix
            .as_ref()
            .filter(|_| !bf16 && quantise.is_none())
        {
            outputs.resize_with(prefix.nodes() - 1, || None);
            outputs.push(Some(prefix.run(&self.network, &images, &self.last_readers)));
        }
        for (id, node) in nodes.iter().enumerate().skip(outputs.len()) {
            let frozen = frozen(self.options.frozen_blocks, node.block)
                || (self.options.frozen_norm && node.block != HEAD);
            let measured = momentum.filter(|_| !frozen);
            let input = |i: usize| {
                let output = outputs[node.inputs[i]].as_ref();
                output
                    .expect("an output is kept until its last reader has run")
                    .shallow_clone()
            };
            let output = match &node.op {
                Op::Input if bf16 => images.to_kind(Kind::BFloat16),
                Op::Input => images.shallow_clone(),
                Op::Convolution(c) => match quantise {
                    Some((quantise, ranges)) if quantise.covers(node) => {
                        let input = quantise.activation(&input(0), node.inputs[0], ranges);
                        self.quantised_convolution(c, &input)
                    }
                    Some(_) => self.convolution(c, &input(0), None, None),
                    None => {
                        let saved = match &mut mode {
                            Mode::Train { saved, .. } => Some(&mut **saved),
                            _ => None,
                        };
                        self.convolution(c, &input(0), measured, saved)
                    }
                },
                Op::Add => match quantise {
                    Some((quantise, ranges)) if quantise.covers(node) => {
                        input(0) + quantise.activation(&input(1), node.inputs[1], ranges)
                    }
                    _ => input(0) + input(1),
                },
                Op::Activation(_) | Op::Squeeze | Op::Gate | Op::MaxPool { .. } => {
                    let in_place = in_place(nodes, &self.last_readers, id);
                    stateless(&node.op, input, in_place).expect("these operations are stateless")
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
                Op::Dropout(fraction) => match &mut mode {
                    Mode::Train { random, .. } => dropout(&input(0), *fraction, random),
                    _ => input(0),
                },
                Op::Linear { name, .. } => {
                    let part = |part: &str| &self.tensors[&format!("{name}.{part}")];
                    input(0).linear(part("weight"), Some(part("bias")))
                }
            };
            for &from in &node.inputs {
                if self.last_readers[from] == id {
                    outputs[from] = None;
                }
            }
            outputs.push(Some(output));
        }
        outputs
            .pop()
            .flatten()
            .expect("a network has nodes before its embedding layer")
    }

    fn convolution(
        &self,
        c: &Convolution,
        input: &Tensor,
        momentum: Option<Momentum>,
        saved: Option<&mut SavedActivations>,
    ) -> Tensor {
        let own = |part: &str| self.tensors[&format!("{}.{part}", c.name)].to_kind(input.kind());
        let Some(norm) = &c.norm else {
            return convolve(c, input, &own("weight"), Some(&own("bias")));
        };
        let weight = own("weight");
        let convolved = match saved {
            Some(saved) => saved.convolve(c, input, &weight),
            None => convolve(c, input, &weight, None),
        };
        self.norm(norm, &convolved, momentum)
    }

    /// The convolution as exported: normalisation folded into the weights, which are quantised.
    fn quantised_convolution(&self, c: &Convolution, input: &Tensor) -> Tensor {
        let Some(norm) = &c.norm else {
            return self.convolution(c, input, None, None);
        };
        let (weight, shift) = folded(c, norm, &self.tensors);
        let weight = fake_quantise::weight(&weight).to_kind(input.kind());
        convolve(c, input, &weight, Some(&shift.to_kind(input.kind())))
    }

    /// With the batch's statistics, which update the running ones with `momentum`, or with the running
    /// ones.
    fn norm(&self, n: &BatchNorm, input: &Tensor, momentum: Option<Momentum>) -> Tensor {
        let part = |part: &str| Some(&self.tensors[&format!("{}.{part}", n.name)]);
        let (weight, bias) = (part("weight"), part("bias"));
        let (mean, variance) = (part("running_mean"), part("running_var"));
        // A single image has no statistics in [N, C].
        let momentum = momentum.filter(|_| input.dim() == 4 || input.size()[0] > 1);
        let train = momentum.is_some();
        let momentum = match momentum {
            Some(Momentum::Given(momentum)) => momentum,
            Some(Momentum::Own) | None => n.momentum,
        };
        input.batch_norm(
            weight, bias, mean, variance, train, momentum, n.epsilon, true,
        )
    }
}
