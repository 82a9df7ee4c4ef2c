//! Retrieval, leave one out: every named photo is enrolled, and each photo of a whale with two photos or more is looked up among
//! all the others.

use super::bootstrap::{Bootstrap, Interval};
use super::cluster::agreement;
use super::figures::{RankFigures, RankIntervals};
use super::labelled::LabelledEmbeddings;
use super::search::{Candidate, WhaleScores, look_up};
use serde::Serialize;

/// The candidates that are kept of each query.
pub const KEPT: usize = 5;

/// What was found for one query.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The query.
    pub photo: usize,
    /// Its whale's number.
    pub whale: usize,
    /// Other photos of the whale in the gallery.
    pub others: usize,
    /// The rank of its whale among all whales, from 1.
    pub rank: usize,
    /// Its whale, by the photo that found it.
    pub own: Candidate,
    /// The best whales, [`KEPT`] at most.
    pub top: Vec<Candidate>,
    /// See [`average_precision_at_r`].
    pub precision_at_r: f64,
}

/// Looks up each photo of a whale with two photos or more among all the others.
pub fn looks(photos: &LabelledEmbeddings) -> Vec<Look> {
    let found = look_up(photos, &photos.with_company(), |photo, scores| {
        let whale = photos.whale_of(photo)?;
        let by_whale = WhaleScores::of(photos, scores, |other| other != photo);
        Some(Look {
            photo,
            whale,
            others: photos.photos_of(whale).len() - 1,
            rank: by_whale.rank(whale, |_| true)?,
            own: by_whale.candidate(whale)?,
            top: by_whale.top(KEPT, |_| true),
            precision_at_r: average_precision_at_r(photos, photo, whale, scores),
        })
    });
    found.into_iter().flatten().collect()
}

/// Average precision over the first R photos, where R is the number of other photos of the whale (Musgrave et al., 'A Metric
/// Learning Reality Check', ECCV 2020): the sum over the whale's photos among the first R of the share of right photos up to
/// there, divided by R. Of photos with equal scores the wrong ones stand first.
fn average_precision_at_r(
    photos: &LabelledEmbeddings,
    query: usize,
    whale: usize,
    scores: &[f32],
) -> f64 {
    let mut own: Vec<f32> = photos
        .photos_of(whale)
        .iter()
        .filter(|&&p| p != query)
        .map(|&p| scores[p])
        .collect();
    own.sort_by(|a, b| b.total_cmp(a));
    let Some(&lowest) = own.last() else {
        return 0.0;
    };
    // `before[j]`: photos of other whales that stand before the whale's j-th, and not before its (j-1)-th.
    let mut before = vec![0usize; own.len()];
    for (photo, &score) in scores.iter().enumerate() {
        if score >= lowest && photos.whale_of(photo).is_some_and(|w| w != whale) {
            before[own.partition_point(|&o| o > score)] += 1;
        }
    }
    let (mut wrong, mut sum) = (0, 0.0);
    for (j, more) in before.iter().enumerate() {
        wrong += more;
        let (right, rank) = (j + 1, j + 1 + wrong);
        if rank <= own.len() {
            sum += right as f64 / rank as f64;
        }
    }
    sum / own.len() as f64
}

/// Figures of the queries with so many other photos of their whale enrolled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ByPhotos {
    /// Other photos of the whale: `1`, `2-4` or `5+`.
    pub photos_left: &'static str,
    /// Their figures.
    #[serde(flatten)]
    pub figures: RankFigures,
    /// Intervals.
    pub intervals: RankIntervals,
}

/// One query in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedQuery {
    /// The photo.
    pub photo: String,
    /// Its whale.
    pub whale: String,
    /// The rank of its whale.
    pub rank: usize,
    /// The whale that stood first.
    pub first: String,
    /// Its score.
    pub score: f32,
}

/// What the protocol finds.
#[derive(Clone, Debug, Serialize)]
pub struct Retrieval {
    /// Averages over all queries.
    #[serde(flatten)]
    pub figures: RankFigures,
    /// Mean of the average precision over the first R photos.
    pub map_at_r: f64,
    /// Agreement of clusters with whales; where asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nmi: Option<f64>,
    /// Photos enrolled.
    pub enrolled: usize,
    /// Whales enrolled.
    pub whales: usize,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
    /// Interval of MAP@R.
    pub map_at_r_interval: Option<Interval>,
    /// By other photos of the whale.
    pub by_photos: Vec<ByPhotos>,
    /// Every query.
    pub ranks: Vec<RankedQuery>,
    /// Every query, with its candidates.
    #[serde(skip)]
    pub looks: Vec<Look>,
}

const GROUPS: [(&str, std::ops::RangeInclusive<usize>); 3] =
    [("1", 1..=1), ("2-4", 2..=4), ("5+", 5..=usize::MAX)];

/// Runs the protocol; `None` where no whale has two photos. NMI clusters the photos with `nmi_seed`.
pub fn measure(
    photos: &LabelledEmbeddings,
    bootstrap: &Bootstrap,
    nmi_seed: Option<u64>,
) -> Option<Retrieval> {
    let looks = looks(photos);
    if looks.is_empty() {
        return None;
    }
    let whales = photos.whales().len();
    let by_photos = GROUPS
        .into_iter()
        .map(|(photos_left, range)| {
            let group = || looks.iter().filter(|l| range.contains(&l.others));
            ByPhotos {
                photos_left,
                figures: RankFigures::of(group().map(|l| l.rank)),
                intervals: RankIntervals::of(bootstrap, whales, group().map(|l| (l.whale, l.rank))),
            }
        })
        .filter(|group| group.figures.queries > 0)
        .collect();
    let precision = || looks.iter().map(|l| (l.whale, [l.precision_at_r]));
    let ranks = looks
        .iter()
        .filter_map(|look| {
            let first = look.top.first()?;
            Some(RankedQuery {
                photo: photos.label(look.photo).name.clone(),
                whale: photos.whales()[look.whale].clone(),
                rank: look.rank,
                first: photos.whales()[first.whale].clone(),
                score: first.score,
            })
        })
        .collect();
    Some(Retrieval {
        figures: RankFigures::of(looks.iter().map(|l| l.rank)),
        map_at_r: precision().map(|(_, [p])| p).sum::<f64>() / looks.len() as f64,
        nmi: nmi_seed.map(|seed| agreement(photos, seed)),
        enrolled: photos.named(),
        whales,
        intervals: RankIntervals::of(bootstrap, whales, looks.iter().map(|l| (l.whale, l.rank))),
        map_at_r_interval: bootstrap
            .means(whales, precision())
            .first()
            .copied()
            .flatten(),
        by_photos,
        ranks,
        looks,
    })
}

#[cfg(test)]
mod tests {
    use super::super::labelled::tests::plane;
    use super::*;
    use proptest::prelude::*;

    const NO_INTERVALS: Bootstrap = Bootstrap {
        resamples: 0,
        seed: 0,
    };

    #[test]
    fn ranks_are_over_whales_that_are_named() {
        // a1 (0°) finds B (20°), then A (30°); a2 (30°) finds C (5° away), B (10°), A. The photo without a name is not there.
        let e = plane(&[
            ("A", 0.0),
            ("A", 30.0),
            ("B", 20.0),
            ("C", 35.0),
            ("?", 1.0),
        ]);
        let r = measure(&e, &NO_INTERVALS, None).unwrap();
        assert_eq!(r.looks.iter().map(|l| l.rank).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(
            (r.figures.recall_at_1, r.figures.recall_at_5, r.enrolled),
            (0.0, 1.0, 4)
        );
        assert!((r.figures.map_at_5 - (0.5 + 1.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            (r.ranks[0].photo.as_str(), r.ranks[0].first.as_str()),
            ("0.jpg", "B")
        );
    }

    #[test]
    fn precision_at_r_worked_by_hand() {
        // From 0°: A 1°, B 2°, A 3°, B 4°, A 5°. R = 3; of the first three, the first and the third are right:
        // (1/1 + 2/3) / 3.
        let e = plane(&[
            ("A", 0.0),
            ("A", 1.0),
            ("B", 2.0),
            ("A", 3.0),
            ("B", 4.0),
            ("A", 5.0),
        ]);
        let found = look_up(&e, &[0], |query, scores| {
            average_precision_at_r(&e, query, 0, scores)
        });
        assert!(
            (found[0] - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn wrong_photos_of_equal_score_stand_first() {
        let e = plane(&[("A", 0.0), ("A", 10.0), ("B", 10.0)]);
        let found = look_up(&e, &[0], |query, scores| {
            average_precision_at_r(&e, query, 0, scores)
        });
        assert_eq!(found, [0.0]);
    }

    #[test]
    fn queries_are_told_apart_by_photos_left() {
        let photos: Vec<(&str, f32)> = [("A", 2), ("B", 3), ("C", 7), ("D", 1)]
            .into_iter()
            .flat_map(|(whale, n)| (0..n).map(move |i| (whale, i as f32)))
            .collect();
        let r = measure(&plane(&photos), &NO_INTERVALS, None).unwrap();
        let groups: Vec<_> = r
            .by_photos
            .iter()
            .map(|g| (g.photos_left, g.figures.queries))
            .collect();
        assert_eq!(groups, [("1", 2), ("2-4", 3), ("5+", 7)]);
    }

    #[test]
    fn one_photo_of_each_whale_has_no_query() {
        assert!(
            measure(
                &plane(&[("A", 0.0), ("B", 9.0), ("?", 3.0)]),
                &NO_INTERVALS,
                None
            )
            .is_none()
        );
    }

    proptest! {
        #[test]
        fn the_order_of_the_photos_changes_nothing(
            angles in proptest::collection::vec(0u16..3600, 6..40),
            turn in 1usize..40,
        ) {
            const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];
            // Angles of their own, so that no two scores are equal but for rounding.
            let photos: Vec<(&str, f32)> = angles.iter().enumerate()
                .map(|(i, &a)| (NAMES[i % 5], f32::from(a) / 10.0 + i as f32 * 0.011)).collect();
            let mut turned = photos.clone();
            turned.rotate_left(turn % photos.len());
            turned.reverse();
            let figures = |p: &[(&str, f32)]| measure(&plane(p), &Bootstrap { resamples: 20, seed: 3 }, None)
                .map(|r| (r.figures, r.intervals));
            let (a, b) = (figures(&photos), figures(&turned));
            if let (Some((a, i)), Some((b, j))) = (a, b) {
                prop_assert!((a.map_at_5 - b.map_at_5).abs() < 1e-9 && (a.recall_at_1 - b.recall_at_1).abs() < 1e-9);
                let (i, j) = (i.map_at_5.unwrap(), j.map_at_5.unwrap());
                prop_assert!((i.low - j.low).abs() < 1e-9 && (i.high - j.high).abs() < 1e-9);
            }
        }
    }
}
