//! How the cosines of a whale's photos become its one score.
//!
//! The most similar photo alone is easily led astray: one blurred photo that looks like everything. A second and a third photo
//! that agree say more, but a whale seen once must not lose by having no others. The blend here takes both:
//! `best * first + (1 - best) * mean of the highest`, over as many photos as the whale has, at most [`WhaleScore::of_top`].
//! It is never above the cosine of the most similar photo, and equal to it for a whale of one photo.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The most photos of a whale that a score looks at.
pub const MOST_PHOTOS: usize = 5;

/// The rule; part of a bundle's decision.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhaleScore {
    /// The weight of the most similar photo, in 0..=1; the rest goes to the mean of the most similar ones.
    pub best: f32,
    /// Of how many photos that mean is, from 1 to [`MOST_PHOTOS`].
    pub of_top: usize,
}

impl WhaleScore {
    /// The most similar photo alone.
    pub const BEST: Self = Self {
        best: 1.0,
        of_top: 1,
    };
    /// Half the most similar photo, half the mean of the three most similar.
    pub const BLEND: Self = Self {
        best: 0.5,
        of_top: 3,
    };

    /// [`WhaleScore::BEST`]: what a bundle means that says nothing.
    pub fn unsaid() -> Self {
        Self::BEST
    }

    /// Whether the numbers are in their ranges.
    pub fn makes_sense(&self) -> bool {
        (0.0..=1.0).contains(&self.best) && (1..=MOST_PHOTOS).contains(&self.of_top)
    }

    /// The score of a whale, in -1..=1.
    pub fn of(&self, photos: &Highest) -> f32 {
        let highest = photos.as_slice();
        let Some(&first) = highest.first() else {
            return -1.0;
        };
        let counted = &highest[..highest.len().min(self.of_top)];
        if counted.len() <= 1 {
            return first;
        }
        let mean = counted.iter().sum::<f32>() / counted.len() as f32;
        // A bound may be infinite, and nothing times infinity is no number.
        if self.best <= 0.0 {
            mean
        } else if self.best >= 1.0 {
            first
        } else {
            self.best * first + (1.0 - self.best) * mean
        }
    }
}

/// Why a text is no way of scoring whales.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "'{0}' is no way of scoring whales: use best, mean:K, blend or blend:W:K (W in 0 to 1, K from 1 to {MOST_PHOTOS} photos)"
)]
pub struct BadWhaleScore(pub String);

impl fmt::Display for WhaleScore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BEST => f.write_str("best"),
            Self { best: 0.0, of_top } => write!(f, "mean:{of_top}"),
            Self { best, of_top } => write!(f, "blend:{best}:{of_top}"),
        }
    }
}

impl FromStr for WhaleScore {
    type Err = BadWhaleScore;
    fn from_str(text: &str) -> Result<Self, BadWhaleScore> {
        let bad = || BadWhaleScore(text.chars().take(64).collect());
        let number = |t: &str| t.parse().map_err(|_| bad());
        let parts: Vec<&str> = text.split(':').collect();
        let score = match parts[..] {
            ["best"] => Self::BEST,
            ["blend"] => Self::BLEND,
            ["mean", of_top] => Self {
                best: 0.0,
                of_top: number(of_top)?,
            },
            ["blend", best, of_top] => Self {
                best: best.parse().map_err(|_| bad())?,
                of_top: number(of_top)?,
            },
            _ => return Err(bad()),
        };
        if score.makes_sense() {
            Ok(score)
        } else {
            Err(bad())
        }
    }
}

/// The highest cosines of a whale's photos, highest first; of fixed size, so that a search holds one for each whale without an
/// allocation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Highest {
    cosines: [f32; MOST_PHOTOS],
    count: u8,
}

impl Default for Highest {
    fn default() -> Self {
        Self {
            cosines: [f32::NEG_INFINITY; MOST_PHOTOS],
            count: 0,
        }
    }
}

impl Highest {
    /// Takes in one photo's cosine; of more than `most` photos (at most [`MOST_PHOTOS`]) the highest stay.
    pub fn see(&mut self, cosine: f32, most: usize) {
        let most = most.clamp(1, MOST_PHOTOS);
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

    fn highest(cosines: &[f32], most: usize) -> Highest {
        let mut found = Highest::default();
        cosines.iter().for_each(|&c| found.see(c, most));
        found
    }

    #[test]
    fn worked_by_hand() {
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
        assert_eq!(WhaleScore::BLEND.of(&Highest::default()), -1.0);
    }

    #[test]
    fn ways_are_written_and_read() {
        for (text, way) in [
            ("best", WhaleScore::BEST),
            ("blend:0.5:3", WhaleScore::BLEND),
            (
                "mean:2",
                WhaleScore {
                    best: 0.0,
                    of_top: 2,
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
            most in 1usize..=MOST_PHOTOS,
            best in 0.0f32..=1.0,
        ) {
            let found = highest(&cosines, most);
            let mut sorted = cosines.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            sorted.truncate(most);
            prop_assert_eq!(found.as_slice(), &sorted[..]);
            let score = WhaleScore { best, of_top: most }.of(&found);
            prop_assert!(score <= sorted[0] + 1e-6 && score >= sorted[sorted.len() - 1] - 1e-6);
        }
    }
}
