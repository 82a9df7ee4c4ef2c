//! Trials: half of the whales are enrolled, and every query is searched among them.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::Norms;
use crate::gallery::matching::norms;
use crate::gallery::search::{Candidate, ranking_features, score_encounters};
use crate::metrics::map_at_5::GUESSES;
use crate::protocols::open_set::purpose::Purpose;
use flukewatch_common::decision::{CalibrationCase, DecisionRule, ErrorLimits, RankingFeatures};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// A photo or an encounter, searched among the enrolled whales.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// Position of its first photo.
    pub photo: usize,
    /// Whale number, or a unique number for each unnamed photo: for averages and resamples.
    pub identity: usize,
    /// Its whale if enrolled; `None` for a new whale.
    pub known: Option<usize>,
    /// What it is used for.
    pub purpose: Purpose,
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

    /// The ranking, to fit a probability on; `None` if it is empty.
    pub fn case(&self) -> Option<CalibrationCase> {
        Some(CalibrationCase {
            features: self.features()?,
            known: self.is_known(),
            correct: self.is_correct(),
        })
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
    /// Best score of any enrolled whale, for each known query to fit on.
    pub(super) best: Vec<f32>,
    /// Best score of any other enrolled whale, for each query of an enrolled whale to fit on.
    pub(super) impostor: Vec<f32>,
}

impl Trial {
    /// The rule that enrolling those of these whales would fit whose queries are for fitting.
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
struct QueryInTrial {
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
    /// How whales get their purposes.
    pub purposes: Purposes,
}

/// How whales get their purposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purposes {
    /// In each trial, other halves of the whales to fit on and to report on: for what is fitted and
    /// reported trial by trial.
    HalvesOfEachTrial,
    /// In all trials the same third to fit on, to select on and to report on: for what is fitted on
    /// all trials together.
    Thirds,
}

impl TrialOptions<'_> {
    fn always_enrols(&self, whale: usize) -> bool {
        self.always_enrolled.get(whale) == Some(&true)
    }
}

/// Runs the trials: searches each of `queries`, photos of one whale or one photo without a name.
/// The same seed and whales give the same halves and purposes, whatever the queries.
pub fn run(
    photos: &LabelledEmbeddings,
    queries: &[Vec<usize>],
    options: &TrialOptions<'_>,
) -> Vec<Trial> {
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
    let drawn: Vec<Draw> = (0..options.trials)
        .map(|trial| draw(whales, options, trial as u64))
        .collect();
    let searched: Vec<Vec<usize>> = queries
        .iter()
        .filter(|query| {
            let whale = query.first().and_then(|&photo| photos.whale_of(photo));
            !query.is_empty() && !whale.is_some_and(|w| options.always_enrols(w))
        })
        .cloned()
        .collect();
    // A photo's norm depends on the whales that it is compared with.
    let norms_by_trial: Vec<Norms> = drawn
        .iter()
        .map(|Draw { enrolled, .. }| {
            let local = photos.local();
            local.map_or(Norms::default(), |local| {
                norms(photos, local, |whale| enrolled[whale])
            })
        })
        .collect();
    // Cosines are the same in every trial, so each query is searched once.
    let all = |_| true;
    let by_query: Vec<Vec<QueryInTrial>> =
        score_encounters(photos, &searched, all, |at, scores| {
            let photo = searched[at][0];
            let in_trial = |(Draw { enrolled, purposes }, norms): (&Draw, &Norms)| {
                let whale = photos.whale_of(photo);
                let known = whale.filter(|&w| enrolled[w]);
                let among = |other: usize| enrolled[other];
                let by_whale = scores.whales_in(norms, among);
                let top = by_whale.top(GUESSES, among);
                // Unnamed photos get the purposes in turn.
                let purpose = whale.map_or(options.purposes.of(identity[photo]), |w| purposes[w]);
                let own = known.and_then(|w| by_whale.score(w));
                let best = own.and(top.first().map(|c| c.score));
                let impostor = known.and_then(|own| {
                    by_whale
                        .top(1, |other| other != own && among(other))
                        .first()
                        .map(|c| c.score)
                });
                // With itself left out, the only query of an enrolled whale is neither known nor new.
                let query = (known.is_none() || best.is_some()).then(|| Query {
                    photo,
                    identity: identity[photo],
                    known,
                    purpose,
                    top,
                });
                let fits = |score: &f32| purpose == Purpose::Fit && score.is_finite();
                QueryInTrial {
                    query,
                    best: best.filter(fits),
                    impostor: impostor.filter(fits),
                }
            };
            drawn.iter().zip(&norms_by_trial).map(in_trial).collect()
        });
    let mut trials: Vec<Trial> = drawn
        .into_iter()
        .map(|draw| Trial {
            enrolled: draw.enrolled,
            identities: unnamed,
            ..Trial::default()
        })
        .collect();
    for query in by_query {
        for (trial, query) in trials.iter_mut().zip(query) {
            trial.queries.extend(query.query);
            trial.best.extend(query.best);
            trial.impostor.extend(query.impostor);
        }
    }
    trials
}

impl Purposes {
    /// The purpose in turn of the whale at a place in a random order.
    fn of(self, place: usize) -> Purpose {
        let purposes: &[Purpose] = match self {
            Self::HalvesOfEachTrial => &[Purpose::Fit, Purpose::Report],
            Self::Thirds => &[Purpose::Fit, Purpose::Report, Purpose::Select],
        };
        purposes[place % purposes.len()]
    }
}

/// Whether each whale is enrolled, and its purpose: the whales of each purpose are enrolled by
/// half.
struct Draw {
    enrolled: Vec<bool>,
    purposes: Vec<Purpose>,
}

fn draw(whales: usize, options: &TrialOptions<'_>, trial: u64) -> Draw {
    let shuffled = |stream: u64| {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(stream);
        let mut order: Vec<usize> = (0..whales).filter(|&w| !options.always_enrols(w)).collect();
        order.shuffle(&mut rng);
        order
    };
    let order = shuffled(trial);
    let mut enrolled: Vec<bool> = (0..whales).map(|w| options.always_enrols(w)).collect();
    let half = order.len().div_ceil(2);
    for &whale in &order[..half] {
        enrolled[whale] = true;
    }
    let mut purposes = vec![Purpose::Fit; whales];
    let in_turn = match options.purposes {
        Purposes::HalvesOfEachTrial => order,
        Purposes::Thirds => shuffled(u64::MAX),
    };
    for (place, whale) in in_turn.into_iter().enumerate() {
        purposes[whale] = options.purposes.of(place);
    }
    Draw { enrolled, purposes }
}
