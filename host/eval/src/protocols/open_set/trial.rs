//! Trials: half of the whales are enrolled, and every photo is searched among them.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::{Candidate, ranking_features, score_photos};
use crate::metrics::map_at_5::GUESSES;
use flukewatch_common::decision::{DecisionRule, ErrorLimits, RankingFeatures};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A photo searched among the enrolled whales.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Position of the photo.
    pub photo: usize,
    /// Whale number, or a unique number for each unnamed photo: for averages and resamples.
    pub identity: usize,
    /// Its whale if enrolled; `None` for a new whale.
    pub known: Option<usize>,
    /// Whether thresholds and calibrators are fitted on it; otherwise it evaluates them.
    pub fit: bool,
    /// The best enrolled whales, best first.
    pub top: Vec<Candidate>,
}

impl Query {
    /// Whether its whale is enrolled.
    pub fn is_known(&self) -> bool {
        self.known.is_some()
    }

    /// Whether the top-1 whale is right.
    pub fn is_correct(&self) -> bool {
        self.known.is_some() && self.top.first().map(|c| c.whale) == self.known
    }

    /// Score of the top-1 whale; -1 without any.
    pub fn score(&self) -> f32 {
        self.top.first().map_or(-1.0, |c| c.score)
    }

    /// Features of the ranking, for a calibrator.
    pub fn features(&self) -> Option<RankingFeatures> {
        ranking_features(&self.top)
    }
}

/// One random half of the whales enrolled.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    /// Whether each whale is enrolled.
    pub enrolled: Vec<bool>,
    /// Number of whales and unnamed photos.
    pub identities: usize,
    /// Queries in the order of the photos.
    pub queries: Vec<Query>,
    /// Best score of any enrolled whale, for each known query.
    pub(super) best: Vec<f32>,
    /// Best score of any other enrolled whale, for each enrolled photo.
    pub(super) impostor: Vec<f32>,
}

impl Trial {
    /// The trial with its evaluation queries only.
    pub fn evaluation_half(&self) -> Self {
        let mut half = self.clone();
        half.queries.retain(|q| !q.fit);
        half
    }

    /// Rankings of one half of the whales: features, and whether the top-1 whale is right.
    pub fn rankings(&self, fit: bool) -> Vec<(RankingFeatures, bool)> {
        let half = self.queries.iter().filter(|q| q.fit == fit);
        half.filter_map(|q| Some((q.features()?, q.is_correct())))
            .collect()
    }

    /// The rule that enrolling these whales would fit.
    pub fn fitted_rule(&self) -> Option<DecisionRule> {
        DecisionRule::fit(
            &self.best,
            &self.impostor,
            &ErrorLimits::default(),
            String::new(),
        )
    }
}

#[derive(Default)]
struct PhotoInTrial {
    query: Option<Query>,
    best: Option<f32>,
    impostor: Option<f32>,
}

/// How trials are drawn.
#[derive(Clone, Copy, Debug)]
pub struct TrialOptions<'a> {
    /// Number of random trials.
    pub trials: usize,
    /// Seed of the trials.
    pub seed: u64,
    /// Whether each whale is enrolled in every trial and its photos are never queries; may be
    /// empty.
    pub always_enrolled: &'a [bool],
}

impl TrialOptions<'_> {
    fn always_enrols(&self, whale: usize) -> bool {
        self.always_enrolled.get(whale) == Some(&true)
    }
}

/// Runs the trials. The same seed and whales give the same halves.
pub fn run(photos: &LabelledEmbeddings, options: &TrialOptions<'_>) -> Vec<Trial> {
    let whales = photos.whales().len();
    let mut unnamed = whales;
    let identity: Vec<usize> = (0..photos.len())
        .map(|photo| {
            photos.whale_of(photo).unwrap_or_else(|| {
                unnamed += 1;
                unnamed - 1
            })
        })
        .collect();
    let halves: Vec<(Vec<bool>, Vec<bool>)> = (0..options.trials)
        .map(|trial| halves(whales, options, trial as u64))
        .collect();
    let all: Vec<usize> = (0..photos.len())
        .filter(|&photo| {
            !photos
                .whale_of(photo)
                .is_some_and(|w| options.always_enrols(w))
        })
        .collect();
    // Scores are the same in every trial, so each photo is searched once.
    let by_photo: Vec<Vec<PhotoInTrial>> = score_photos(photos, &all, |photo, scores| {
        let by_whale = scores.whales();
        let in_trial = |(enrolled, fit): &(Vec<bool>, Vec<bool>)| {
            let whale = photos.whale_of(photo);
            let known = whale.filter(|&w| enrolled[w]);
            let among = |other: usize| enrolled[other];
            let top = by_whale.top(GUESSES, among);
            let own = known.and_then(|w| by_whale.score(w));
            let best = own.and(top.first().map(|c| c.score));
            let impostor = known.and_then(|own| {
                by_whale
                    .top(1, |other| other != own && among(other))
                    .first()
                    .map(|c| c.score)
            });
            // With itself left out, the only photo of an enrolled whale is neither known nor new.
            let query = (known.is_none() || best.is_some()).then(|| Query {
                photo,
                identity: identity[photo],
                known,
                // Unnamed photos alternate between the halves.
                fit: whale.map_or(identity[photo].is_multiple_of(2), |w| fit[w]),
                top,
            });
            PhotoInTrial {
                query,
                best,
                impostor,
            }
        };
        halves.iter().map(in_trial).collect()
    });
    let mut trials: Vec<Trial> = halves
        .into_iter()
        .map(|(enrolled, _)| Trial {
            enrolled,
            identities: unnamed,
            ..Trial::default()
        })
        .collect();
    for photo in by_photo {
        for (trial, photo) in trials.iter_mut().zip(photo) {
            trial.queries.extend(photo.query);
            trial.best.extend(photo.best);
            trial.impostor.extend(photo.impostor);
        }
    }
    trials
}

/// Whether each whale is enrolled, and whether it is in the half that is fitted on: about a quarter
/// of the whales for each combination.
fn halves(whales: usize, options: &TrialOptions<'_>, trial: u64) -> (Vec<bool>, Vec<bool>) {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    rng.set_stream(trial);
    let mut order: Vec<usize> = (0..whales).filter(|&w| !options.always_enrols(w)).collect();
    order.shuffle(&mut rng);
    let mut enrolled: Vec<bool> = (0..whales).map(|w| options.always_enrols(w)).collect();
    let mut fit = vec![false; whales];
    let half = order.len().div_ceil(2);
    for (place, whale) in order.into_iter().enumerate() {
        enrolled[whale] = place < half;
        fit[whale] = place.is_multiple_of(2);
    }
    (enrolled, fit)
}
