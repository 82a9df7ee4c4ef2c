//! The compared training recipes.

/// A training recipe: settings over the default recipe.
pub(super) struct Recipe {
    /// Name in tables and on the command line.
    pub(super) name: &'static str,
    /// Description for the table.
    pub(super) about: &'static str,
    settings: &'static [&'static str],
}

const PAIRS: &str = "sampler={kind=\"pk\",photos_per_identity=4}";
const MARGIN: &str = "loss={kind=\"margin\",alpha=0.2,beta=1.2,learn_beta=true}";
const ARCFACE: &str = "loss={kind=\"arcface\",scale=32.0,margin=0.3}";
const IN_FOUR: &str = "divide.learners=4";
// A loss with one centre per class needs no pairs in a batch, so that one batch can serve all
// learners, and whales with few photos are not split.
const MIXED: &str = "divide.batches=\"mixed\"";
const BY_WHALE: &str = "divide.cluster_unit=\"identity\"";

/// All recipes; each divided one has an undivided counterpart.
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
    /// Settings as `key=value`.
    pub(super) fn settings(&self, seed: u32, epochs: u32, height: u32) -> Vec<String> {
        let width = 2 * height;
        let mut all: Vec<String> = self.settings.iter().map(|s| (*s).to_owned()).collect();
        all.push(format!("seed={seed}"));
        all.push(format!(
            "stages=[{{epochs={epochs},height={height},width={width}}}]"
        ));
        if self.settings.contains(&IN_FOUR) {
            // Finally the whole embedding, the last epoch on all photos.
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
    fn divided_and_undivided_differ_only_in_the_division() {
        for pair in RECIPES.chunks(2) {
            let (whole, divided) = (pair[0].settings(2, 8, 96), pair[1].settings(2, 8, 96));
            let more: Vec<_> = divided.iter().filter(|s| !whole.contains(s)).collect();
            assert!(more.iter().all(|s| s.starts_with("divide.")), "{more:?}");
            assert!(whole.iter().all(|s| divided.contains(s)));
            assert!(divided.contains(&"divide.whole_epochs=3".to_owned()));
        }
    }
}
