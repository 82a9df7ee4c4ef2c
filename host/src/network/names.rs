//! Pretrained weights of several packages: which names a file follows is found from its tensors.

use super::weights::{self, Difference, Values, Weights, WeightsError};
use super::{Backbone, HEAD, Network};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// How the parameters of a backbone are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// As in our checkpoints: torchvision's for ResNet and MobileNetV3, those of `efficientnet-lite-pytorch` for EfficientNet-Lite.
    Native,
    /// As timm (PyTorch Image Models) does.
    Timm,
}

/// What wrappers put before the names of the network within them.
const PREFIXES: [&str; 4] = ["module.", "model.", "backbone.", "_orig_mod."];

/// Reads pretrained weights: the backbone's, which must be whole, and as much of a head as fits, so that a checkpoint may be tuned
/// further. Tensors that the network does not have are passed over. Also says whose names the file has.
///
/// # Errors
/// When the file cannot be read, is damaged or a pickle, or is not this backbone's; then it says what differs, and which backbone
/// it would fit.
pub fn read_pretrained(
    network: &Network,
    path: &Path,
) -> Result<(Weights, &'static str), WeightsError> {
    let (file, _) = weights::read(path)?;
    let (weights, naming) = pretrained(network, file, path)?;
    Ok((weights, network.backbone.describe(naming)))
}

/// The same of a file that has been read; `path` is for errors.
///
/// # Errors
/// When the tensors are not this backbone's.
pub fn pretrained(
    network: &Network,
    file: Weights,
    path: &Path,
) -> Result<(Weights, Naming), WeightsError> {
    let file = without_prefixes(file);
    let naming = naming_of(network, &file);
    let theirs = network.renamed(naming);
    let mut found = weights::select(&theirs, &file, path, |p| {
        p.block != HEAD || file.get(&p.name).is_some_and(|v| v.shape == p.shape)
    })
    .map_err(|error| match error {
        WeightsError::Differs(difference) => WeightsError::Differs(Box::new(Difference {
            likeness: likeness(network, &file),
            ..*difference
        })),
        other => other,
    })?;
    let surplus = surplus(&theirs, &file);
    if let Some(&name) = surplus.first() {
        return Err(WeightsError::Surplus {
            path: path.to_owned(),
            backbone: network.backbone,
            name: name.to_owned(),
            count: surplus.len(),
            likeness: likeness(network, &file),
        });
    }
    keep_scale(&theirs, network, &mut found);
    let ours = network.parameters();
    let renamed = theirs
        .parameters()
        .into_iter()
        .zip(ours)
        .filter_map(|(theirs, ours)| Some((ours.name, found.remove(&theirs.name)?)));
    Ok((renamed.collect(), naming))
}

impl Network {
    fn renamed(&self, naming: Naming) -> Self {
        Self::with_names(self.backbone, self.channels, &self.head, naming)
    }
}

/// Names without prefixes; where two become the same, the one that had none counts.
fn without_prefixes(file: Weights) -> Weights {
    let mut plain: BTreeMap<String, Values> = BTreeMap::new();
    let mut unwrapped = vec![];
    for (name, values) in file {
        let mut rest = name.as_str();
        while let Some(inner) = PREFIXES.iter().find_map(|p| rest.strip_prefix(p)) {
            rest = inner;
        }
        if rest.len() == name.len() {
            plain.insert(name, values);
        } else {
            unwrapped.push((rest.to_owned(), values));
        }
    }
    for (name, values) in unwrapped {
        plain.entry(name).or_insert(values);
    }
    plain
}

/// The names of which the file has most.
fn naming_of(network: &Network, file: &Weights) -> Naming {
    let mut best = (0, Naming::Native);
    for &naming in network.backbone.namings() {
        let parameters = network.renamed(naming).parameters();
        let present = parameters
            .iter()
            .filter(|p| p.block != HEAD && file.contains_key(&p.name))
            .count();
        if present > best.0 {
            best = (present, naming);
        }
    }
    best.1
}

/// Where the package divides by another `sqrt(variance + epsilon)` than we do, the scale makes up for it: with these statistics
/// the network computes the same.
fn keep_scale(theirs: &Network, ours: &Network, found: &mut Weights) {
    for (theirs, ours) in theirs.norms().zip(ours.norms()) {
        if theirs.epsilon == ours.epsilon {
            continue;
        }
        let variance = found
            .get(&format!("{}.running_var", theirs.name))
            .map(|v| v.data.clone())
            .unwrap_or_default();
        if let Some(scale) = found.get_mut(&format!("{}.weight", theirs.name)) {
            for (scale, variance) in scale.data.iter_mut().zip(variance) {
                let variance = f64::from(variance);
                let by = ((variance + ours.epsilon) / (variance + theirs.epsilon)).sqrt();
                *scale = (f64::from(*scale) * by) as f32;
            }
        }
    }
}

/// Tensors under the names of the backbone's modules that it has no place for: further blocks, or more in each. A classifier has
/// a module of its own.
fn surplus<'a>(theirs: &Network, file: &'a Weights) -> Vec<&'a str> {
    let module = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    let parameters = theirs.parameters();
    let places: BTreeSet<&str> = parameters.iter().map(|p| p.name.as_str()).collect();
    let modules: BTreeSet<String> = parameters
        .iter()
        .filter(|p| p.block != HEAD)
        .map(|p| module(&p.name))
        .collect();
    file.keys()
        .map(String::as_str)
        .filter(|name| !name.ends_with(".num_batches_tracked"))
        .filter(|name| !places.contains(name) && modules.contains(&module(name)))
        .collect()
}

/// The other backbone that the file is whole for, and nothing more than.
fn likeness(network: &Network, file: &Weights) -> Option<(Backbone, Naming)> {
    Backbone::ALL
        .into_iter()
        .filter(|&b| b != network.backbone)
        .flat_map(|b| b.namings().iter().map(move |&naming| (b, naming)))
        .find(|&(backbone, naming)| {
            let other = Network::with_names(backbone, network.channels, &network.head, naming);
            weights::select(&other, file, Path::new(""), |p| p.block != HEAD).is_ok()
                && surplus(&other, file).is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Pooling;
    use crate::network::head::Head;

    const HEAD_OF_8: Head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension: 8,
    };

    fn network(backbone: Backbone) -> Network {
        Network::new(backbone, 1, &HEAD_OF_8)
    }

    /// A file with the backbone's tensors in colour, filled with a number each.
    fn file(backbone: Backbone, naming: Naming) -> Weights {
        let theirs = Network::with_names(backbone, 3, &HEAD_OF_8, naming);
        let parameters = theirs.parameters().into_iter().enumerate();
        parameters
            .filter(|(_, p)| p.block != HEAD)
            .map(|(i, p)| {
                let data = vec![1.0 + i as f32; p.shape.iter().product()];
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

    #[test]
    fn the_names_are_found_behind_prefixes_and_beside_strangers() {
        for backbone in Backbone::ALL {
            for &naming in backbone.namings() {
                let mut wrapped: Weights = file(backbone, naming)
                    .into_iter()
                    .map(|(name, v)| (format!("module.backbone.{name}"), v))
                    .collect();
                let stranger = Values {
                    shape: vec![2],
                    data: vec![0.0; 2],
                };
                wrapped.insert("classifier.bias".into(), stranger);
                let net = network(backbone);
                let (weights, found) = pretrained(&net, wrapped, Path::new("w")).unwrap();
                assert_eq!(found, naming, "{backbone}");
                let backbones = net.parameters().iter().filter(|p| p.block != HEAD).count();
                assert_eq!(weights.len(), backbones);
            }
        }
    }

    #[test]
    fn a_name_without_a_prefix_counts() {
        let mut two = file(Backbone::Resnet18, Naming::Native);
        let mut other = two["bn1.bias"].clone();
        other.data.fill(-1.0);
        two.insert("model.bn1.bias".into(), other);
        let plain = two["bn1.bias"].clone();
        let (weights, _) = pretrained(&network(Backbone::Resnet18), two, Path::new("w")).unwrap();
        assert_eq!(weights["bn1.bias"], plain);
    }

    #[test]
    fn a_file_of_another_backbone_says_which() {
        let deep = file(Backbone::Resnet50, Naming::Native);
        let error = pretrained(
            &network(Backbone::Resnet18),
            deep,
            Path::new("w.safetensors"),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("w.safetensors: tensor 'layer1.0.conv1.weight' has shape [64, 64, 1, 1], the network needs [64, 64, 3, 3]"),
            "{error}"
        );
        assert!(
            error.ends_with(
                "it is whole for resnet50 (torchvision and timm names): set backbone = \"resnet50\""
            ),
            "{error}"
        );
        let timm = file(Backbone::MobilenetV3Large, Naming::Timm);
        let error = pretrained(&network(Backbone::Resnet18), timm, Path::new("w"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("mobilenet-v3-large (timm names)"), "{error}");
    }

    #[test]
    fn a_larger_network_is_not_taken_for_its_beginning() {
        let deeper = file(Backbone::EfficientnetLite1, Naming::Timm);
        let error = pretrained(
            &network(Backbone::EfficientnetLite0),
            deeper,
            Path::new("w"),
        )
        .unwrap_err()
        .to_string();
        assert_eq!(
            error,
            "w has 75 tensors that efficientnet-lite0 has no place for, as 'blocks.1.2.bn1.bias': it is of a larger network; \
             it is whole for efficientnet-lite1 (timm names): set backbone = \"efficientnet-lite1\""
        );
        // ResNet-101 has all of ResNet-50, and 17 blocks more.
        let mut deeper = file(Backbone::Resnet50, Naming::Native);
        let more = deeper["layer3.5.conv1.weight"].clone();
        deeper.insert("layer3.6.conv1.weight".into(), more);
        let error = pretrained(&network(Backbone::Resnet50), deeper, Path::new("w")).unwrap_err();
        assert!(matches!(error, WeightsError::Surplus { count: 1, .. }));
    }

    #[test]
    fn an_error_names_the_tensor_as_the_file_would() {
        let mut timm = file(Backbone::EfficientnetLite1, Naming::Timm);
        timm.remove("blocks.1.2.conv_pwl.weight");
        let error = pretrained(&network(Backbone::EfficientnetLite1), timm, Path::new("w"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "w has no tensor 'blocks.1.2.conv_pwl.weight' (shape [24, 144, 1, 1]); all others of the network are there"
        );
    }

    #[test]
    fn another_epsilon_is_made_up_for() {
        let backbone = Backbone::MobilenetV3Large;
        let mut timm = file(backbone, Naming::Timm);
        timm.get_mut("bn1.running_var").unwrap().data.fill(1e-4);
        timm.get_mut("bn1.weight").unwrap().data.fill(2.0);
        let (weights, _) = pretrained(&network(backbone), timm, Path::new("w")).unwrap();
        let ours = weights["features.0.1.weight"].data[0] / (1e-4f32 + 1e-3).sqrt();
        let theirs = 2.0 / (1e-4f32 + 1e-5).sqrt();
        assert!((ours / theirs - 1.0).abs() < 1e-6, "{ours} {theirs}");
    }

    #[test]
    fn a_head_that_fits_comes_along() {
        let net = network(Backbone::Resnet18);
        let mut tuned = file(Backbone::Resnet18, Naming::Native);
        let norm = Values {
            shape: vec![512],
            data: vec![7.0; 512],
        };
        tuned.insert("embedding.norm.weight".into(), norm.clone());
        let linear = Values {
            shape: vec![9, 512],
            data: vec![7.0; 9 * 512],
        };
        tuned.insert("embedding.linear.weight".into(), linear);
        let (weights, _) = pretrained(&net, tuned, Path::new("w")).unwrap();
        assert_eq!(weights["embedding.norm.weight"], norm);
        assert!(!weights.contains_key("embedding.linear.weight"));
    }
}
