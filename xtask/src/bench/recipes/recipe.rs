//! The ways of training that are compared.

/// A way of training: settings over the default recipe.
pub(super) struct Recipe {
    /// In tables and on the command line.
    pub(super) name: &'static str,
    /// For people.
    pub(super) about: &'static str,
    settings: &'static [&'static str],
}

const PAIRS: &str = "sampler={kind=\"pk\",photos_per_identity=4}";
const MARGIN: &str = "loss={kind=\"margin\",alpha=0.2,beta=1.2,learn_beta=true}";
const ARCFACE: &str = "loss={kind=\"arcface\",scale=32.0,margin=0.3}";
const IN_FOUR: &str = "divide.learners=4";
// A loss with a centre a class needs no pairs in a batch, so that a batch may serve all learners; and a whale of a few photos is not torn.
const MIXED: &str = "divide.batches=\"mixed\"";
const BY_WHALE: &str = "divide.cluster_unit=\"identity\"";

/// All of them; the divided ones beside the same undivided.
pub(super) const RECIPES: [Recipe; 4] = [
    Recipe {
        name: "margin",
        about: "margin loss, distance-weighted, K = 1",
        settings: &[PAIRS, MARGIN],
    },
    Recipe {
        name: "margin-divided",
        about: "margin loss, distance-weighted, K = 4",
        settings: &[PAIRS, MARGIN, IN_FOUR],
    },
    Recipe {
        name: "arcface",
        about: "ArcFace, K = 1",
        settings: &[ARCFACE],
    },
    Recipe {
        name: "arcface-divided",
        about: "ArcFace, a learner for each slice, whales divided, mixed batches, K = 4",
        settings: &[ARCFACE, IN_FOUR, MIXED, BY_WHALE],
    },
];

impl Recipe {
    /// As `key=value`.
    pub(super) fn settings(&self, seed: u32, epochs: u32, height: u32) -> Vec<String> {
        let width = 2 * height;
        let mut all: Vec<String> = self.settings.iter().map(|s| (*s).to_owned()).collect();
        all.push(format!("seed={seed}"));
        all.push(format!(
            "stages=[{{epochs={epochs},height={height},width={width}}}]"
        ));
        if self.settings.contains(&IN_FOUR) {
            // In the end the whole embedding, the last epoch from all photos.
            let whole = (epochs * 2 / 5).max(1);
            all.push(format!("divide.whole_epochs={whole}"));
            all.push("divide.single_epochs=1".to_owned());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divided_and_whole_differ_in_the_division_alone() {
        for pair in RECIPES.chunks(2) {
            let (whole, divided) = (pair[0].settings(2, 8, 96), pair[1].settings(2, 8, 96));
            let more: Vec<_> = divided.iter().filter(|s| !whole.contains(s)).collect();
            assert!(more.iter().all(|s| s.starts_with("divide.")), "{more:?}");
            assert!(whole.iter().all(|s| divided.contains(s)));
            assert!(divided.contains(&"divide.whole_epochs=3".to_owned()));
        }
    }
}
