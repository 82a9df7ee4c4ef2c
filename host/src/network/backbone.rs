//! The backbones that can be trained and exported.

use super::names::Naming;
use super::{Builder, efficientnet, mobilenet, resnet, tiny};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A backbone; its features are pooled by the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backbone {
    /// EfficientNet-Lite0, 1280 features: the boat's.
    EfficientnetLite0,
    /// EfficientNet-Lite1, 1280 features: deeper.
    EfficientnetLite1,
    /// EfficientNet-Lite2, 1280 features: deeper and wider.
    EfficientnetLite2,
    /// MobileNetV3-Large, 960 features.
    MobilenetV3Large,
    /// ResNet-18, 512 features.
    Resnet18,
    /// ResNet-50, 2048 features.
    Resnet50,
    /// Four convolutions, 128 features, to try losses on small pictures within seconds.
    Tiny,
}

impl Backbone {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EfficientnetLite0,
        Self::EfficientnetLite1,
        Self::EfficientnetLite2,
        Self::MobilenetV3Large,
        Self::Resnet18,
        Self::Resnet50,
        Self::Tiny,
    ];

    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::EfficientnetLite0 => "efficientnet-lite0",
            Self::EfficientnetLite1 => "efficientnet-lite1",
            Self::EfficientnetLite2 => "efficientnet-lite2",
            Self::MobilenetV3Large => "mobilenet-v3-large",
            Self::Resnet18 => "resnet18",
            Self::Resnet50 => "resnet50",
            Self::Tiny => "tiny",
        }
    }

    /// Mean and deviation of red, green and blue, in grey levels 0..=255, with which its pretrained weights were made.
    pub fn normalisation(self) -> ([f32; 3], [f32; 3]) {
        match self {
            Self::EfficientnetLite0 | Self::EfficientnetLite1 | Self::EfficientnetLite2 => {
                ([127.0; 3], [128.0; 3])
            }
            // torchvision's.
            Self::MobilenetV3Large | Self::Resnet18 | Self::Resnet50 | Self::Tiny => {
                ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375])
            }
        }
    }

    /// The ways in which weight files name its parameters, our own first.
    pub fn namings(self) -> &'static [Naming] {
        match self {
            // timm took torchvision's names for them.
            Self::Resnet18 | Self::Resnet50 | Self::Tiny => &[Naming::Native],
            _ => &[Naming::Native, Naming::Timm],
        }
    }

    /// Whose names these are, for people.
    pub fn describe(self, naming: Naming) -> &'static str {
        match (self, naming) {
            (Self::Resnet18 | Self::Resnet50, _) => "torchvision and timm names",
            (Self::Tiny, _) => "our own names",
            (_, Naming::Timm) => "timm names",
            (Self::MobilenetV3Large, Naming::Native) => "torchvision names",
            (
                Self::EfficientnetLite0 | Self::EfficientnetLite1 | Self::EfficientnetLite2,
                Naming::Native,
            ) => "efficientnet-lite-pytorch names",
        }
    }

    /// Adds it for images of `channels` channels; returns the channels of its last map.
    pub(super) fn build(self, net: &mut Builder, channels: usize, naming: Naming) -> usize {
        let lite = |net: &mut Builder, size| efficientnet::lite(net, channels, size, naming);
        match self {
            Self::EfficientnetLite0 => lite(net, efficientnet::LITE0),
            Self::EfficientnetLite1 => lite(net, efficientnet::LITE1),
            Self::EfficientnetLite2 => lite(net, efficientnet::LITE2),
            Self::MobilenetV3Large => mobilenet::v3_large(net, channels, naming),
            Self::Resnet18 => resnet::resnet18(net, channels),
            Self::Resnet50 => resnet::resnet50(net, channels),
            Self::Tiny => tiny::tiny(net, channels),
        }
    }
}

impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Backbone {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|b| b.name() == s)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|b| b.name()).collect();
                format!("no backbone '{s}': choose {}", names.join(", "))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::head::Head;
    use crate::network::{HEAD, Network, Op, Pooling, Role};

    fn network(backbone: Backbone) -> Network {
        Network::new(
            backbone,
            1,
            &Head {
                pooling: Pooling::Average,
                dropout: 0.2,
                dimension: 512,
            },
        )
    }

    #[test]
    fn a_recipe_names_it_as_the_command_line_does() {
        for backbone in Backbone::ALL {
            let json = serde_json::to_value(backbone).unwrap();
            assert_eq!(json, backbone.name());
            assert_eq!(backbone.name().parse(), Ok(backbone));
        }
    }

    #[test]
    fn maps_shrink_32_times_and_those_of_the_tiny_one_16() {
        for backbone in Backbone::ALL {
            let n = network(backbone);
            let shapes = n.shapes(128, 256);
            let map = n
                .nodes
                .iter()
                .position(|n| matches!(n.op, Op::Pool(_)))
                .unwrap()
                - 1;
            let expected = match backbone {
                Backbone::Tiny => [8, 16],
                _ => [4, 8],
            };
            assert_eq!(shapes[map][1..], expected, "{backbone}");
            assert_eq!(shapes.last().unwrap(), &[512]);
        }
    }

    #[test]
    fn sizes_are_those_of_the_papers() {
        let trained = |b| {
            network(b)
                .parameters()
                .iter()
                .filter(|p| p.role != Role::Statistic && p.block != HEAD)
                .map(|p| p.shape.iter().product::<usize>())
                .sum::<usize>()
        };
        // The published counts less the classifier, and less two of three colour channels of the stem.
        let lite = 1_281_000 + 2 * 32 * 9;
        assert_eq!(trained(Backbone::EfficientnetLite0), 4_652_008 - lite);
        assert_eq!(trained(Backbone::EfficientnetLite1), 5_416_680 - lite);
        assert_eq!(trained(Backbone::EfficientnetLite2), 6_092_072 - lite);
        // Its classifier has two layers, 960 to 1280 to 1000.
        assert_eq!(
            trained(Backbone::MobilenetV3Large),
            5_483_032 - 961 * 1280 - 1_281_000 - 2 * 16 * 9
        );
        assert_eq!(
            trained(Backbone::Resnet18),
            11_689_512 - 513_000 - 2 * 64 * 49
        );
        assert_eq!(
            trained(Backbone::Resnet50),
            25_557_032 - 2_049_000 - 2 * 64 * 49
        );
        // No paper: four kernels of 3 x 3, and a scale and a shift for each channel.
        assert_eq!(
            trained(Backbone::Tiny),
            9 * (32 + 32 * 64 + 64 * 96 + 96 * 128) + 2 * (32 + 64 + 96 + 128)
        );
    }

    #[test]
    fn normalisations_are_those_of_the_packages() {
        for backbone in Backbone::ALL {
            let (epsilon, momentum) = match backbone {
                Backbone::Resnet18 | Backbone::Resnet50 | Backbone::Tiny => (1e-5, 0.1),
                Backbone::MobilenetV3Large => (1e-3, 0.01),
                _ => (1e-3, 0.1),
            };
            let n = network(backbone);
            let norms: Vec<_> = n
                .norms()
                .filter(|n| !n.name.starts_with("embedding."))
                .collect();
            assert!(norms.len() > 3, "{backbone}");
            for norm in norms {
                assert_eq!(
                    (norm.epsilon, norm.momentum),
                    (epsilon, momentum),
                    "{backbone}: {}",
                    norm.name
                );
            }
        }
    }

    #[test]
    fn names_do_not_repeat() {
        for backbone in Backbone::ALL {
            let names: Vec<_> = network(backbone)
                .parameters()
                .into_iter()
                .map(|p| p.name)
                .collect();
            let distinct: std::collections::HashSet<_> = names.iter().collect();
            assert_eq!(names.len(), distinct.len());
        }
    }
}
