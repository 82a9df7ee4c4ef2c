//! The score of a whale, from the cosines of its photos.
//!
//! The most similar photo alone is easily misled, e.g. by one blurred photo that resembles
//! everything. Two or three photos that agree are more reliable, but a whale with one photo must
//! not score lower for that. The blend uses both:
//! `best * first + (1 - best) * mean of the highest`, over as many photos as the whale has, at most
//! [`WhaleScore::top_k`]. It never exceeds the cosine of the most similar photo, and equals it for
//! a whale of one photo.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most photos of a whale that a score uses.
pub const MAX_PHOTOS: usize = 5;

/// How a whale is scored; part of a bundle's decision rule.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhaleScore {
    /// The weight of the most similar photo, in 0..=1; the mean of the `top_k` most similar ones
    /// has the rest.
    pub best_weight: f32,
    /// The number of photos in that mean, from 1 to [`MAX_PHOTOS`].
    pub top_k: usize,
}

impl WhaleScore {
    /// The most similar photo alone.
    pub const BEST: Self = Self {
        best_weight: 1.0,
        top_k: 1,
    };
    /// Half the most similar photo, half the mean of the three most similar.
    pub const BLEND: Self = Self {
        best_weight: 0.5,
        top_k: 3,
    };

    /// Whether `best_weight` and `top_k` are in range.
    pub fn is_valid(&self) -> bool {
        (0.0..=1.0).contains(&self.best_weight) && (1..=MAX_PHOTOS).contains(&self.top_k)
    }

    /// The score of a whale, in -1..=1.
    pub fn of(&self, photos: &TopScores) -> f32 {
        let highest = photos.as_slice();
        let Some(&first) = highest.first() else {
            return -1.0;
        };
        let counted = &highest[..highest.len().min(self.top_k)];
        if counted.len() <= 1 {
            return first;
        }
        let mean = counted.iter().sum::<f32>() / counted.len() as f32;
        // A bound may be infinite, and 0 times infinity is NaN.
        if self.best_weight <= 0.0 {
            mean
        } else if self.best_weight >= 1.0 {
            first
        } else {
            self.best_weight * first + (1.0 - self.best_weight) * mean
        }
    }
}

/// The error of a text that does not name a whale score.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "unknown whale score '{0}'; expected best, mean:K, blend or blend:W:K (W in [0, 1], K from 1 to {MAX_PHOTOS} photos)"
)]
pub struct InvalidWhaleScore(pub String);

impl fmt::Display for WhaleScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BEST => f.write_str("best"),
            Self {
                best_weight: 0.0,
                top_k,
            } => write!(f, "mean:{top_k}"),
            Self { best_weight, top_k } => write!(f, "blend:{best_weight}:{top_k}"),
        }
    }
}

impl FromStr for WhaleScore {
    type Err = InvalidWhaleScore;
    fn from_str(text: &str) -> Result<Self, InvalidWhaleScore> {
        let bad = || InvalidWhaleScore(text.chars().take(64).collect());
        let number = |t: &str| t.parse().map_err(|_| bad());
        let parts: Vec<&str> = text.split(':').collect();
        let score = match parts[..] {
            ["best"] => Self::BEST,
            ["blend"] => Self::BLEND,
            ["mean", top_k] => Self {
                best_weight: 0.0,
                top_k: number(top_k)?,
            },
            ["blend", best, top_k] => Self {
                best_weight: best.parse().map_err(|_| bad())?,
                top_k: number(top_k)?,
            },
            _ => return Err(bad()),
        };
        if score.is_valid() {
            Ok(score)
        } else {
            Err(bad())
        }
    }
}

/// The highest cosines of a whale's photos, highest first; of fixed size, so that a search holds
/// one per whale without an allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopScores {
    cosines: [f32; MAX_PHOTOS],
    count: u8,
}

impl Default for TopScores {
    fn default() -> Self {
        Self {
            cosines: [f32::NEG_INFINITY; MAX_PHOTOS],
            count: 0,
        }
    }
}

impl TopScores {
    /// Inserts the cosine of a photo, keeping the `most` highest (at most [`MAX_PHOTOS`]).
    pub fn insert(&mut self, cosine: f32, most: usize) {
        let most = most.clamp(1, MAX_PHOTOS);
        let count = usize::from(self.count);
        if count == most && cosine <= self.cosines[most - 1] {
            return;
        }
        let at = self.cosines[..count].partition_point(|&c| c >= cosine);
        let kept = (count + 1).min(most);
        self.cosines.copy_within(at..kept - 1, at + 1);
        self.cosines[at] = cosine;
        self.count = kept as u8;
    }

    /// The cosines, highest first.
    pub fn as_slice(&self) -> &[f32] {
        &self.cosines[..usize::from(self.count)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn highest(cosines: &[f32], most: usize) -> TopScores {
        let mut found = TopScores::default();
        cosines.iter().for_each(|&c| found.insert(c, most));
        found
    }

    #[test]
    fn scores_worked_by_hand() {
        let photos = highest(&[0.2, 0.8, 0.5, 0.6], 3);
        assert_eq!(photos.as_slice(), [0.8, 0.6, 0.5]);
        assert_eq!(WhaleScore::BEST.of(&photos), 0.8);
        // The mean of the three is 1.9 / 3.
        let expected = 0.5 * 0.8 + 0.5 * (1.9 / 3.0);
        assert!((WhaleScore::BLEND.of(&photos) - expected).abs() < 1e-6);
    }

    #[test]
    fn a_whale_of_one_photo_scores_as_that_photo() {
        assert_eq!(WhaleScore::BLEND.of(&highest(&[0.7], 3)), 0.7);
        assert_eq!(WhaleScore::BLEND.of(&TopScores::default()), -1.0);
    }

    #[test]
    fn names_round_trip() {
        for (text, way) in [
            ("best", WhaleScore::BEST),
            ("blend:0.5:3", WhaleScore::BLEND),
            (
                "mean:2",
                WhaleScore {
                    best_weight: 0.0,
                    top_k: 2,
                },
            ),
        ] {
            assert_eq!(text.parse(), Ok(way));
            assert_eq!(way.to_string(), text);
        }
        assert_eq!("blend".parse(), Ok(WhaleScore::BLEND));
        for bad in [
            "",
            "mean",
            "mean:0",
            "mean:6",
            "blend:2:3",
            "blend:x:3",
            "NaN",
        ] {
            assert!(bad.parse::<WhaleScore>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_highest_are_kept_and_the_score_lies_within(
            cosines in proptest::collection::vec(-1.0f32..1.0, 1..30),
            most in 1usize..=MAX_PHOTOS,
            best in 0.0f32..=1.0,
        ) {
            let found = highest(&cosines, most);
            let mut sorted = cosines.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted.truncate(most);
            prop_assert_eq!(found.as_slice(), &sorted[..]);
            let score = WhaleScore { best_weight: best, top_k: most }.of(&found);
            prop_assert!(score <= sorted[0] + 1e-6 && score >= sorted[sorted.len() - 1] - 1e-6);
        }
    }
}
