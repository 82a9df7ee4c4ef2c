//! Pretrained weights of several packages: the tensors of a file show whose names it follows.

pub use super::spec::Naming;
use super::weights::{self, Difference, Values, Weights, WeightsError};
use super::{Backbone, HEAD, Network};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Prefixes that wrapper modules add.
const PREFIXES: [&str; 4] = ["module.", "model.", "backbone.", "_orig_mod."];

/// Reads pretrained weights: all tensors of the backbone, and those of the head that fit, so that a
/// checkpoint can be fine-tuned. Other tensors are ignored. Also returns a description of whose
/// names the file uses.
///
/// # Errors
/// When the file cannot be read, is damaged or a pickle, or belongs to another backbone; the error
/// names what differs and the backbone that the file matches.
pub fn read_pretrained(
    network: &Network,
    path: &Path,
) -> Result<(Weights, &'static str), WeightsError> {
    let (file, _) = weights::read(path)?;
    let (weights, naming) = pretrained(network, file, path)?;
    Ok((weights, network.backbone.describe(naming)))
}

/// The same for a file that was read; `path` is for errors.
fn pretrained(
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
            matches: matching_backbone(network, &file),
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
            matches: matching_backbone(network, &file),
        });
    }
    adapt_epsilon(&theirs, network, &mut found);
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

/// Strips prefixes; where two names become the same, the one without a prefix wins.
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

/// The naming with the most tensors in the file.
fn naming_of(network: &Network, file: &Weights) -> Naming {
    let mut best = (0, Naming::Native);
    for naming in network.backbone.namings() {
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

/// Where a package uses another epsilon, adapts the scale so that the network computes the same
/// with these statistics.
fn adapt_epsilon(theirs: &Network, ours: &Network, found: &mut Weights) {
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

/// Tensors of the backbone's modules that the network does not have: more blocks, or more in each.
/// A classifier is a separate module and does not count.
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

/// Another backbone all of whose tensors the file has, and no more.
fn matching_backbone(network: &Network, file: &Weights) -> Option<(Backbone, Naming)> {
    Backbone::ALL
        .into_iter()
        .filter(|&b| b != network.backbone)
        .flat_map(|b| b.namings().map(move |naming| (b, naming)))
        .find(|&(backbone, naming)| {
            let other = Network::with_names(backbone, network.channels, &network.head, naming);
            weights::select(&other, file, Path::new(""), |p| p.block != HEAD).is_ok()
                && surplus(&other, file).is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pooling;
    use crate::head::Head;

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
    fn names_are_found_behind_prefixes_and_beside_other_tensors() {
        for backbone in Backbone::ALL {
            for naming in backbone.namings() {
                let mut wrapped: Weights = file(backbone, naming)
                    .into_iter()
                    .map(|(name, v)| (format!("module.backbone.{name}"), v))
                    .collect();
                let other = Values {
                    shape: vec![2],
                    data: vec![0.0; 2],
                };
                wrapped.insert("classifier.bias".into(), other);
                let net = network(backbone);
                let (weights, found) = pretrained(&net, wrapped, Path::new("w")).unwrap();
                assert_eq!(found, naming, "{backbone}");
                let backbones = net.parameters().iter().filter(|p| p.block != HEAD).count();
                assert_eq!(weights.len(), backbones);
            }
        }
    }

    #[test]
    fn a_name_without_a_prefix_wins() {
        let mut two = file(Backbone::Resnet18, Naming::Native);
        let mut other = two["bn1.bias"].clone();
        other.data.fill(-1.0);
        two.insert("model.bn1.bias".into(), other);
        let plain = two["bn1.bias"].clone();
        let (weights, _) = pretrained(&network(Backbone::Resnet18), two, Path::new("w")).unwrap();
        assert_eq!(weights["bn1.bias"], plain);
    }

    #[test]
    fn an_error_names_the_backbone_that_matches() {
        let deep = file(Backbone::Resnet50, Naming::Native);
        let error = pretrained(
            &network(Backbone::Resnet18),
            deep,
            Path::new("w.safetensors"),
        )
        .unwrap_err()
        .to_string();
        assert!(
            error.starts_with("w.safetensors: tensor 'layer1.0.conv1.weight' has shape [64, 64, 1, 1], expected [64, 64, 3, 3]"),
            "{error}"
        );
        assert!(
            error.ends_with(
                "all tensors match resnet50 (torchvision and timm names): set backbone = \"resnet50\""
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
    fn a_larger_network_is_an_error() {
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
            "w: 75 tensors are not part of efficientnet-lite0, e.g. 'blocks.1.2.bn1.bias'; the file is of a larger network; \
             all tensors match efficientnet-lite1 (timm names): set backbone = \"efficientnet-lite1\""
        );
        // ResNet-101 has every tensor of ResNet-50 and 17 more blocks.
        let mut deeper = file(Backbone::Resnet50, Naming::Native);
        let more = deeper["layer3.5.conv1.weight"].clone();
        deeper.insert("layer3.6.conv1.weight".into(), more);
        let error = pretrained(&network(Backbone::Resnet50), deeper, Path::new("w")).unwrap_err();
        assert!(matches!(error, WeightsError::Surplus { count: 1, .. }));
    }

    #[test]
    fn an_error_uses_the_names_of_the_file() {
        let mut timm = file(Backbone::EfficientnetLite1, Naming::Timm);
        timm.remove("blocks.1.2.conv_pwl.weight");
        let error = pretrained(&network(Backbone::EfficientnetLite1), timm, Path::new("w"))
            .unwrap_err()
            .to_string();
        assert_eq!(
            error,
            "w: missing tensor 'blocks.1.2.conv_pwl.weight' (shape [24, 144, 1, 1]); all other tensors match"
        );
    }

    #[test]
    fn another_epsilon_is_adapted() {
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
    fn a_head_that_fits_is_read() {
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
