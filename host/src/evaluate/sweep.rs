//! A threshold swept from high to low: how many known photos pass against how many new ones.

use serde::Serialize;

/// One photo in the sweep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Its best score.
    pub score: f32,
    /// What it counts among the known photos once it passes: its weight, or 0 (for a new photo; in the OSCR curve also for a
    /// known one whose first whale is wrong).
    pub hit: f64,
    /// What it counts among the new photos.
    pub new: f64,
}

/// A point of a curve: of the new photos the share `new` passes, of the known ones the share `hit`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// Share of the new.
    pub new: f64,
    /// Share of the known.
    pub hit: f64,
}

/// The points from no photo passing to all, photos of equal score at once. `marks` in order of falling score; `known` is the
/// weight of all known photos. Empty where there is no known or no new photo.
pub fn curve(marks: &[Mark], known: f64) -> Vec<Point> {
    let all_new: f64 = marks.iter().map(|m| m.new).sum();
    if known <= 0.0 || all_new <= 0.0 {
        return vec![];
    }
    let (mut hit, mut new) = (0.0, 0.0);
    let mut points = vec![Point { new, hit }];
    for same in marks.chunk_by(|a, b| a.score == b.score) {
        hit += same.iter().map(|m| m.hit).sum::<f64>();
        new += same.iter().map(|m| m.new).sum::<f64>();
        points.push(Point {
            new: new / all_new,
            hit: hit / known,
        });
    }
    points
}

/// The area under a curve by trapezoids. Over all known photos it is the AUROC: the chance that a known photo scores above a new
/// one, ties counting half. NaN for an empty curve.
pub fn area(curve: &[Point]) -> f64 {
    if curve.is_empty() {
        return f64::NAN;
    }
    curve
        .windows(2)
        .map(|p| (p[1].new - p[0].new) * (p[0].hit + p[1].hit) / 2.0)
        .sum()
}

/// The largest share of the known where at most `new` of the new pass. NaN for an empty curve.
pub fn hit_at(curve: &[Point], new: f64) -> f64 {
    let within = curve.iter().take_while(|p| p.new <= new + 1e-12);
    within.last().map_or(f64::NAN, |p| p.hit)
}

/// The curve at evenly spaced shares of the new, 0 to 1 in `steps`, for drawing and for averaging several curves.
pub fn sampled(curve: &[Point], steps: usize) -> Vec<Point> {
    (0..=steps)
        .map(|i| {
            let new = i as f64 / steps as f64;
            Point {
                new,
                hit: hit_at(curve, new),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marks(known: &[(f32, bool)], new: &[f32]) -> Vec<Mark> {
        let known = known.iter().map(|&(score, right)| Mark {
            score,
            hit: f64::from(u8::from(right)),
            new: 0.0,
        });
        let new = new.iter().map(|&score| Mark {
            score,
            hit: 0.0,
            new: 1.0,
        });
        let mut all: Vec<Mark> = known.chain(new).collect();
        all.sort_by(|a, b| b.score.total_cmp(&a.score));
        all
    }

    #[test]
    fn auroc_worked_by_hand() {
        // Pairs: 0.9 beats both, 0.5 beats 0.2 and ties with 0.5, 0.1 beats none: (2 + 1.5 + 0) / 6.
        let all = marks(&[(0.9, true), (0.5, true), (0.1, true)], &[0.5, 0.2]);
        assert!((area(&curve(&all, 3.0)) - 3.5 / 6.0).abs() < 1e-12);
    }

    #[test]
    fn oscr_worked_by_hand() {
        // Falling: 0.9 right, 0.8 new, 0.7 wrong, 0.6 right, 0.5 new. The curve: (0, 1/3), (1/2, 1/3), (1/2, 2/3), (1, 2/3).
        let all = marks(&[(0.9, true), (0.7, false), (0.6, true)], &[0.8, 0.5]);
        let found = curve(&all, 3.0);
        assert!((area(&found) - 0.5).abs() < 1e-12, "{found:?}");
        assert!((hit_at(&found, 0.05) - 1.0 / 3.0).abs() < 1e-12);
        assert!((hit_at(&found, 0.5) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn without_known_or_new_there_is_no_curve() {
        assert!(area(&curve(&marks(&[], &[0.3]), 0.0)).is_nan());
        assert!(area(&curve(&marks(&[(0.3, true)], &[]), 1.0)).is_nan());
    }

    proptest! {
        #[test]
        fn known_and_new_swapped_give_the_rest_of_one(
            known in proptest::collection::vec(-20i8..20, 1..30), new in proptest::collection::vec(-20i8..20, 1..30),
        ) {
            let scores = |s: &[i8]| s.iter().map(|&v| f32::from(v) / 20.0).collect::<Vec<_>>();
            let auroc = |known: &[i8], new: &[i8]| {
                let known: Vec<_> = scores(known).into_iter().map(|s| (s, true)).collect();
                area(&curve(&marks(&known, &scores(new)), known.len() as f64))
            };
            prop_assert!((auroc(&known, &new) + auroc(&new, &known) - 1.0).abs() < 1e-9);
            let pairs: f64 = known.iter().flat_map(|k| new.iter().map(move |n| match k.cmp(n) {
                std::cmp::Ordering::Greater => 1.0, std::cmp::Ordering::Equal => 0.5, std::cmp::Ordering::Less => 0.0,
            })).sum();
            prop_assert!((auroc(&known, &new) - pairs / (known.len() * new.len()) as f64).abs() < 1e-9);
        }
    }
}
