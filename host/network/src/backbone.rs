//! The backbones that can be trained and exported.

use super::spec::Naming;
use super::spec::Spec;
use super::{Builder, efficientnet, mobilenet, resnet, tiny};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

macro_rules! backbones {
    ($($doc:literal $variant:ident = $spec:path;)+) => {
        /// A backbone; the head pools its features.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Backbone {
            $(#[doc = $doc] $variant,)+
        }

        impl Backbone {
            /// Every backbone, in order of declaration.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];

            fn spec(self) -> &'static Spec {
                match self {
                    $(Self::$variant => &$spec,)+
                }
            }
        }
    };
}

backbones! {
    "EfficientNet-Lite0, 1280 features: the shipped model's." EfficientnetLite0 = efficientnet::LITE0;
    "EfficientNet-Lite1, 1280 features: deeper." EfficientnetLite1 = efficientnet::LITE1;
    "EfficientNet-Lite2, 1280 features: deeper and wider." EfficientnetLite2 = efficientnet::LITE2;
    "MobileNetV3-Large, 960 features." MobilenetV3Large = mobilenet::V3_LARGE;
    "ResNet-18, 512 features." Resnet18 = resnet::RESNET18;
    "ResNet-50, 2048 features." Resnet50 = resnet::RESNET50;
    "Four convolutions, 128 features: trains on small pictures within seconds." Tiny = tiny::TINY;
}

impl Backbone {
    /// The name in recipes and on the command line.
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// Mean and standard deviation of red, green and blue (0 to 255) that its pretrained weights
    /// expect.
    pub fn normalisation(self) -> ([f32; 3], [f32; 3]) {
        self.spec().normalisation
    }

    /// The namings of its weight files, our own first.
    pub(super) fn namings(self) -> impl Iterator<Item = Naming> {
        self.spec().namings.iter().map(|&(naming, _)| naming)
    }

    /// What users call a naming of its weight files. One that it does not have is its own.
    pub(super) fn describe(self, naming: Naming) -> &'static str {
        let namings = self.spec().namings;
        let known = namings.iter().find(|&&(n, _)| n == naming);
        known.unwrap_or(&namings[0]).1
    }

    /// Adds its nodes for images of `channels` channels; returns the channels of its last map.
    pub(super) fn build(self, net: &mut Builder, channels: usize, naming: Naming) -> usize {
        (self.spec().build)(net, channels, naming)
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
                format!(
                    "unknown backbone '{s}'; expected one of {}",
                    names.join(", ")
                )
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::head::Head;
    use crate::{HEAD, Network, Op, Pooling, Role};

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
        // The published counts less the classifier, and less two of three colour channels of the
        // stem.
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
