//! Which loss, with its settings: what `[loss]` of a recipe may say. The losses themselves are in `train::loss` (feature `train`).

mod arcface;
mod margin;
mod multi_similarity;
mod n_pair;
mod proxy_anchor;
mod proxy_nca;
mod softmax;
mod triplet;

pub use arcface::ArcFaceSettings;
pub use margin::MarginSettings;
pub use multi_similarity::MultiSimilaritySettings;
pub use n_pair::NPairSettings;
pub use proxy_anchor::ProxyAnchorSettings;
pub use proxy_nca::ProxyNcaSettings;
pub use softmax::SoftmaxSettings;
pub use triplet::TripletSettings;

use super::about::About;
use serde::{Deserialize, Serialize};

/// What is minimised. Settings that a recipe leaves out keep their defaults: `loss = {kind = "margin"}` is enough.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LossChoice {
    /// `train::loss::arcface`.
    Arcface(ArcFaceSettings),
    /// `train::loss::softmax`.
    Softmax(SoftmaxSettings),
    /// `train::loss::proxy_nca`.
    ProxyNca(ProxyNcaSettings),
    /// `train::loss::proxy_anchor`.
    ProxyAnchor(ProxyAnchorSettings),
    /// `train::loss::triplet`.
    Triplet(TripletSettings),
    /// `train::loss::margin`.
    Margin(MarginSettings),
    /// `train::loss::multi_similarity`.
    MultiSimilarity(MultiSimilaritySettings),
    /// `train::loss::n_pair`.
    NPair(NPairSettings),
}

impl LossChoice {
    /// Every kind with its defaults.
    pub fn all() -> Vec<Self> {
        vec![
            Self::Arcface(ArcFaceSettings::default()),
            Self::Softmax(SoftmaxSettings::default()),
            Self::ProxyNca(ProxyNcaSettings::default()),
            Self::ProxyAnchor(ProxyAnchorSettings::default()),
            Self::Triplet(TripletSettings::default()),
            Self::Margin(MarginSettings::default()),
            Self::MultiSimilarity(MultiSimilaritySettings::default()),
            Self::NPair(NPairSettings::default()),
        ]
    }

    /// The kind in words.
    pub fn about(&self) -> &'static About {
        match self {
            Self::Arcface(_) => &arcface::ABOUT,
            Self::Softmax(_) => &softmax::ABOUT,
            Self::ProxyNca(_) => &proxy_nca::ABOUT,
            Self::ProxyAnchor(_) => &proxy_anchor::ABOUT,
            Self::Triplet(_) => &triplet::ABOUT,
            Self::Margin(_) => &margin::ABOUT,
            Self::MultiSimilarity(_) => &multi_similarity::ABOUT,
            Self::NPair(_) => &n_pair::ABOUT,
        }
    }

    /// Whether it compares photos of a batch with each other, so that the batch must hold several of a whale (sampler `pk`).
    /// The others compare photos with centres or proxies of the whales and learn from any batch.
    pub fn needs_pairs(&self) -> bool {
        match self {
            Self::Triplet(_) | Self::Margin(_) | Self::MultiSimilarity(_) | Self::NPair(_) => true,
            Self::Arcface(_) | Self::Softmax(_) | Self::ProxyNca(_) | Self::ProxyAnchor(_) => false,
        }
    }

    /// Whether the values make sense.
    ///
    /// # Errors
    /// Names the setting and its range.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Arcface(s) => s.check(),
            Self::Softmax(s) => s.check(),
            Self::ProxyNca(s) => s.check(),
            Self::ProxyAnchor(s) => s.check(),
            Self::Triplet(s) => s.check(),
            Self::Margin(s) => s.check(),
            Self::MultiSimilarity(s) => s.check(),
            Self::NPair(s) => s.check(),
        }
        .map_err(|reason| format!("loss.{reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::recipe::MinerChoice;

    fn read(text: &str) -> Result<LossChoice, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn a_kind_alone_brings_its_defaults() {
        for choice in LossChoice::all() {
            let kind = choice.about().kind;
            assert_eq!(read(&format!("kind = \"{kind}\"")).unwrap(), choice);
        }
    }

    #[test]
    fn recipes_from_before_keep_reading() {
        let old = read("kind = \"margin\"\nalpha = 0.3\nbeta = 1.1\nlearn_beta = false").unwrap();
        assert_eq!(
            old,
            LossChoice::Margin(MarginSettings {
                alpha: 0.3,
                beta: 1.1,
                learn_beta: false,
                ..MarginSettings::default()
            })
        );
        let old = read("kind = \"arcface\"\nscale = 16.0\nmargin = 0.2").unwrap();
        assert_eq!(
            old,
            LossChoice::Arcface(ArcFaceSettings {
                scale: 16.0,
                margin: 0.2,
                sub_centres: 1
            })
        );
        // A checkpoint keeps its recipe as JSON.
        let json = serde_json::to_string(&old).unwrap();
        assert_eq!(serde_json::from_str::<LossChoice>(&json).unwrap(), old);
    }

    #[test]
    fn a_miner_has_its_own_kind() {
        let choice =
            read("kind = \"triplet\"\nminer = {kind = \"semi-hard\", margin = 0.1}").unwrap();
        let LossChoice::Triplet(settings) = &choice else {
            panic!("{choice:?}")
        };
        assert_eq!(settings.miner, MinerChoice::SemiHard { margin: 0.1 });
    }

    #[test]
    fn unknown_settings_are_refused() {
        for choice in LossChoice::all() {
            let kind = choice.about().kind;
            let error = read(&format!("kind = \"{kind}\"\nscail = 3.0")).unwrap_err();
            assert!(error.message().contains("scail"), "{error}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert!(LossChoice::all().iter().all(|l| l.check().is_ok()));
        for (text, word) in [
            ("kind = \"arcface\"\nscale = 0.0", "loss.scale"),
            ("kind = \"arcface\"\nmargin = 30.0", "radians"),
            ("kind = \"arcface\"\nsub_centres = 0", "sub_centres"),
            ("kind = \"softmax\"\nscale = inf", "loss.scale"),
            ("kind = \"proxy-nca\"\ntemperature = 0.0", "temperature"),
            ("kind = \"proxy-anchor\"\nmargin = nan", "loss.margin"),
            ("kind = \"triplet\"\nmargin = -0.1", "loss.margin"),
            (
                "kind = \"triplet\"\nminer = {kind = \"semi-hard\", margin = 9.0}",
                "loss.miner.margin",
            ),
            ("kind = \"margin\"\nbeta = 2.5", "loss.beta"),
            ("kind = \"margin\"\nnu = -1.0", "loss.nu"),
            (
                "kind = \"margin\"\nlearn_beta = false\nnu = 1.0",
                "learn_beta",
            ),
            (
                "kind = \"margin\"\nlearn_beta = false\nper_class = true",
                "learn_beta",
            ),
            ("kind = \"multi-similarity\"\nalpha = -2.0", "loss.alpha"),
            (
                "kind = \"multi-similarity\"\nepsilon = -0.1",
                "loss.epsilon",
            ),
            ("kind = \"n-pair\"\nscale = 1e9", "loss.scale"),
        ] {
            let error = read(text).unwrap().check().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
