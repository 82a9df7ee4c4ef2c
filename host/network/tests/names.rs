//! Every tensor that the `state_dict` of a supported package lists, by name and shape, has its
//! parameter.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_network::head::Head;
use flukewatch_network::names::{Naming, read_pretrained};
use flukewatch_network::weights::{self, Values, Weights};
use flukewatch_network::{Backbone, HEAD, Network, Pooling};
use std::collections::BTreeMap;
use std::path::Path;

/// (backbone, list in `tests/names`, whose names, tensors of the classifier, which are ignored)
const LISTS: [(Backbone, &str, &str, usize); 10] = [
    (
        Backbone::EfficientnetLite0,
        "efficientnet-lite0-package",
        "efficientnet-lite-pytorch names",
        2,
    ),
    (
        Backbone::EfficientnetLite0,
        "efficientnet-lite0-timm",
        "timm names",
        2,
    ),
    (
        Backbone::EfficientnetLite1,
        "efficientnet-lite1-package",
        "efficientnet-lite-pytorch names",
        2,
    ),
    (
        Backbone::EfficientnetLite1,
        "efficientnet-lite1-timm",
        "timm names",
        2,
    ),
    (
        Backbone::EfficientnetLite2,
        "efficientnet-lite2-package",
        "efficientnet-lite-pytorch names",
        2,
    ),
    (
        Backbone::EfficientnetLite2,
        "efficientnet-lite2-timm",
        "timm names",
        2,
    ),
    (
        Backbone::MobilenetV3Large,
        "mobilenet-v3-large-torchvision",
        "torchvision names",
        4,
    ),
    (
        Backbone::MobilenetV3Large,
        "mobilenet-v3-large-timm",
        "timm names",
        4,
    ),
    (
        Backbone::Resnet18,
        "resnet18",
        "torchvision and timm names",
        2,
    ),
    (
        Backbone::Resnet50,
        "resnet50",
        "torchvision and timm names",
        2,
    ),
];

/// The tensors of a list, the `i`-th filled with `i`.
fn listed(list: &str) -> Weights {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/names/{list}.txt"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|l| !l.starts_with('#'));
    lines
        .enumerate()
        .map(|(i, line)| {
            let (name, shape) = line.split_once(' ').unwrap();
            let shape: Vec<usize> = shape.split('x').map(|s| s.parse().unwrap()).collect();
            let data = vec![i as f32; shape.iter().product()];
            (name.to_owned(), Values { shape, data })
        })
        .collect()
}

fn network(backbone: Backbone) -> Network {
    let head = Head {
        pooling: Pooling::Average,
        dropout: 0.0,
        dimension: 8,
    };
    Network::new(backbone, 3, &head)
}

#[test]
fn every_tensor_of_every_package_has_its_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w.safetensors");
    for (backbone, list, names, classifier) in LISTS {
        let file = listed(list);
        weights::write(&path, &file, &BTreeMap::new()).unwrap();
        let network = network(backbone);
        let (found, said) = read_pretrained(&network, &path).unwrap();
        assert_eq!(said, names, "{list}");
        // Each tensor of the file is used once, and no parameter is missing.
        assert_eq!(found.len(), file.len() - classifier, "{list}");
        let parameters = network.parameters();
        let backbones = parameters.iter().filter(|p| p.block != HEAD);
        assert_eq!(found.len(), backbones.count(), "{list}");
    }
}

/// The packages list tensors in the order of computation, so that two lists of a backbone side by
/// side show which names mean the same.
#[test]
fn timm_names_match_the_native_names_in_order() {
    let orders = [
        (
            Backbone::EfficientnetLite0,
            "efficientnet-lite0-package",
            "efficientnet-lite0-timm",
        ),
        (
            Backbone::EfficientnetLite1,
            "efficientnet-lite1-package",
            "efficientnet-lite1-timm",
        ),
        (
            Backbone::EfficientnetLite2,
            "efficientnet-lite2-package",
            "efficientnet-lite2-timm",
        ),
        (
            Backbone::MobilenetV3Large,
            "mobilenet-v3-large-torchvision",
            "mobilenet-v3-large-timm",
        ),
    ];
    for (backbone, native, timm) in orders {
        let by_order = |list: &str| -> BTreeMap<u32, String> {
            let named = listed(list).into_iter();
            named.map(|(name, v)| (v.data[0] as u32, name)).collect()
        };
        let (native, timm) = (by_order(native), by_order(timm));
        let theirs =
            Network::with_names(backbone, 3, &network(backbone).head, Naming::Timm).parameters();
        let ours = network(backbone).parameters();
        let pairs: BTreeMap<&str, &str> = ours
            .iter()
            .zip(&theirs)
            .map(|(ours, theirs)| (ours.name.as_str(), theirs.name.as_str()))
            .collect();
        let mut compared = 0;
        for (place, name) in &native {
            if let Some(expected) = pairs.get(name.as_str()) {
                assert_eq!(timm[place], *expected, "{name}");
                compared += 1;
            }
        }
        let backbones = ours.iter().filter(|p| p.block != HEAD).count();
        assert_eq!(compared, backbones, "{backbone}");
    }
}
