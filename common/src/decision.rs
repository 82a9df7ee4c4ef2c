//! Known, new, or for a person to review.

use crate::catalogue::Match;
use serde::{Deserialize, Serialize};

/// What Flukewatch says of an encounter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// A whale of the catalogue.
    Known {
        /// Its name there.
        whale: String,
    },
    /// A whale that the catalogue does not hold.
    New,
    /// Too close to call: a person should look.
    Review,
}

/// The rule: cosine scores of the best whale against two thresholds.
///
/// `best >= known_at` is known, `best < new_below` is new, and what lies between is for review. The thresholds belong to one
/// model and one catalogue; [`DecisionRule::fit`] sets them anew when whales are enrolled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionRule {
    /// From this score on, a known whale.
    pub known_at: f32,
    /// Below this score, a new whale; never above `known_at`.
    pub new_below: f32,
    /// What the thresholds were fitted on, for people.
    pub fitted_on: String,
}

/// The share of new whales that may be taken for known ones when a rule is fitted.
pub const MAX_FALSE_MATCH: f64 = 0.05;
/// The share of known whales that may be called new when a rule is fitted.
pub const MAX_MISSED_KNOWN: f64 = 0.05;

impl DecisionRule {
    /// The verdict on a ranking, best whale first. An empty ranking (nothing enrolled) is a new whale.
    pub fn decide(&self, ranking: &[Match]) -> Verdict {
        match ranking.first() {
            None => Verdict::New,
            Some(best) if best.score >= self.known_at => Verdict::Known {
                whale: best.whale.clone(),
            },
            Some(best) if best.score < self.new_below => Verdict::New,
            Some(_) => Verdict::Review,
        }
    }

    /// Sets the thresholds from scores on whales like those to come.
    ///
    /// `known`: best score, over all whales, of photos of enrolled whales; `impostor`: best score of photos whose whale is taken
    /// out of the catalogue. `known_at` lets at most [`MAX_FALSE_MATCH`] of the impostors through, `new_below` turns at most
    /// [`MAX_MISSED_KNOWN`] of the known away. Scores over all whales on both sides, since those are what is decided on: the score
    /// of the own whale alone lies far lower, and a threshold set on it would call hardly any whale new. Where the two groups lie so far apart that the thresholds cross, both
    /// become their middle and nothing is left for review. Returns `None` where either group has fewer than 20 scores: too few
    /// to set a threshold on.
    pub fn fit(known: &[f32], impostor: &[f32], fitted_on: String) -> Option<Self> {
        const ENOUGH: usize = 20;
        if known.len() < ENOUGH || impostor.len() < ENOUGH {
            return None;
        }
        let sorted = |scores: &[f32]| {
            let mut s = scores.to_vec();
            s.sort_by(f32::total_cmp);
            s
        };
        let (known, impostor) = (sorted(known), sorted(impostor));
        let allowed = (impostor.len() as f64 * MAX_FALSE_MATCH).floor() as usize;
        let known_at = impostor[impostor.len() - 1 - allowed].next_up();
        let missed = (known.len() as f64 * MAX_MISSED_KNOWN).floor() as usize;
        let new_below = known[missed];
        Some(if new_below > known_at {
            let middle = (new_below + known_at) / 2.0;
            Self {
                known_at: middle,
                new_below: middle,
                fitted_on,
            }
        } else {
            Self {
                known_at,
                new_below,
                fitted_on,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(score: f32) -> Vec<Match> {
        vec![Match {
            whale: "HW-1".into(),
            score,
            photo: "a.jpg".into(),
        }]
    }

    #[test]
    fn three_answers() {
        let rule = DecisionRule {
            known_at: 0.6,
            new_below: 0.4,
            fitted_on: String::new(),
        };
        assert_eq!(
            rule.decide(&ranking(0.6)),
            Verdict::Known {
                whale: "HW-1".into()
            }
        );
        assert_eq!(rule.decide(&ranking(0.5)), Verdict::Review);
        assert_eq!(rule.decide(&ranking(0.39)), Verdict::New);
        assert_eq!(rule.decide(&[]), Verdict::New);
    }

    #[test]
    fn groups_that_overlap_leave_a_band_for_review() {
        let known: Vec<f32> = (0..100).map(|i| 0.30 + 0.005 * i as f32).collect();
        let impostor: Vec<f32> = (0..100).map(|i| 0.005 * i as f32).collect();
        let rule = DecisionRule::fit(&known, &impostor, "test".into()).unwrap();
        let let_through = impostor.iter().filter(|&&s| s >= rule.known_at).count();
        let turned_away = known.iter().filter(|&&s| s < rule.new_below).count();
        assert_eq!((let_through, turned_away), (5, 5));
        assert!(rule.new_below < rule.known_at);
    }

    #[test]
    fn groups_that_lie_apart_leave_nothing_for_review() {
        let rule = DecisionRule::fit(&[0.9; 30], &[0.1; 30], "test".into()).unwrap();
        assert!((rule.known_at - 0.5).abs() < 1e-6 && rule.known_at == rule.new_below);
    }

    #[test]
    fn too_few_scores_set_no_threshold() {
        assert_eq!(
            DecisionRule::fit(&[0.9; 19], &[0.1; 30], "test".into()),
            None
        );
    }
}
