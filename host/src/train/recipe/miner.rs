//! Which miner, with its settings: what `loss.miner` of a recipe may say. The miners themselves are in [`crate::train::miner`].

use super::about::{About, need};
use serde::{Deserialize, Serialize};

/// Which triples of a batch a loss learns from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MinerChoice {
    /// Any negative.
    Random {},
    /// The farthest positive and the nearest negative.
    Hard {},
    /// A negative a little farther than the positive.
    SemiHard {
        /// m: by how much farther at most, as a distance.
        #[serde(default = "semi_hard_margin")]
        margin: f64,
    },
    /// A positive and a negative among those on the wrong side of the hardest opposite.
    SoftHard {},
    /// A negative drawn evenly over distances.
    DistanceWeighted {},
}

fn semi_hard_margin() -> f64 {
    0.2
}

const RANDOM: About = About {
    kind: "random",
    formula: "for each pair of a whale, any photo of another whale",
    source: "plain chance; a baseline",
    settings: &[],
};
const HARD: About = About {
    kind: "hard",
    formula: "for each anchor, its farthest positive and its nearest negative",
    source: "Hermans et al., In Defense of the Triplet Loss, 2017 (batch hard)",
    settings: &[],
};
const SEMI_HARD: About = About {
    kind: "semi-hard",
    formula: "for each pair of a whale, a negative with d_ap < d_an < d_ap + m; none, no triple",
    source: "Schroff et al., FaceNet, CVPR 2015",
    settings: &[("margin", "m, a distance; as a rule the loss's own margin")],
};
const SOFT_HARD: About = About {
    kind: "soft-hard",
    formula: "for each anchor, a positive with d_ap > min d_an and a negative with d_an < max d_ap; where there is none, any",
    source: "Roth and Brattoli, Easily Extendable Basic Deep Metric Learning Pipeline (code), 2019",
    settings: &[],
};
const DISTANCE_WEIGHTED: About = About {
    kind: "distance-weighted",
    formula: "for each pair of a whale, a negative with weight 1/q(d), q the density of distances on the sphere; d >= 1.4 never",
    source: "Wu et al., Sampling Matters in Deep Embedding Learning, ICCV 2017",
    settings: &[],
};

impl MinerChoice {
    /// Semi-hard with its usual margin.
    pub fn semi_hard() -> Self {
        Self::SemiHard {
            margin: semi_hard_margin(),
        }
    }

    /// Every kind with its defaults.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Random {},
            Self::Hard {},
            Self::semi_hard(),
            Self::SoftHard {},
            Self::DistanceWeighted {},
        ]
    }

    /// The kind in words.
    pub fn about(&self) -> &'static About {
        match self {
            Self::Random {} => &RANDOM,
            Self::Hard {} => &HARD,
            Self::SemiHard { .. } => &SEMI_HARD,
            Self::SoftHard {} => &SOFT_HARD,
            Self::DistanceWeighted {} => &DISTANCE_WEIGHTED,
        }
    }

    /// Whether the values make sense.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::SemiHard { margin } => need(
                *margin > 0.0 && *margin <= 2.0,
                "miner.margin",
                "more than 0 and at most 2",
                *margin,
            ),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MinerChoice, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_kind_alone_brings_its_defaults() {
        assert_eq!(
            read("kind = \"semi-hard\"").unwrap(),
            MinerChoice::SemiHard { margin: 0.2 }
        );
        assert_eq!(
            read("kind = \"distance-weighted\"").unwrap(),
            MinerChoice::DistanceWeighted {}
        );
    }

    #[test]
    fn what_it_does_not_know_is_refused() {
        let error = read("kind = \"hard\"\nmargin = 0.2").unwrap_err();
        assert!(error.message().contains("margin"), "{error}");
        assert!(read("kind = \"hardest\"").is_err());
        for margin in [0.0, -1.0, 2.5, f64::NAN] {
            assert!(MinerChoice::SemiHard { margin }.check().is_err());
        }
        assert!(MinerChoice::all().iter().all(|m| m.check().is_ok()));
    }
}
