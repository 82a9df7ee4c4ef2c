//! Leave-one-out retrieval: each photo is searched among all other named photos, without those of
//! its own encounter and its near-duplicates, if its whale has a photo there.

use crate::gallery::encounters::of_size;
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::{Candidate, PhotoScores, score_encounters, score_photos};
use crate::metrics::bootstrap::{Bootstrap, Interval};
use crate::metrics::map_at_5::GUESSES;
use crate::metrics::photo_recall::{PhotoRecall, PhotoRecallIntervals};
use crate::metrics::rank::{RankIntervals, RankMetrics};
use crate::protocols::clusters::nmi;
use crate::protocols::error::ProtocolError;
use serde::Serialize;

/// The outcome of one query.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// Position of the query.
    pub photo: usize,
    /// Number of the query's whale.
    pub whale: usize,
    /// Photos of this whale in the gallery.
    pub others: usize,
    /// Rank of its whale, from 1.
    pub rank: usize,
    /// Rank of the most similar photo of its whale among all other named photos, from 1.
    pub photo_rank: usize,
    /// Its whale as a candidate, whatever its rank.
    pub own: Candidate,
    /// The best whales, at most [`GUESSES`].
    pub top: Vec<Candidate>,
    /// Average precision over the first R photos, R being `others`.
    pub average_precision_at_r: f64,
}

/// Searches each photo whose whale is in its gallery.
pub fn retrieve(photos: &LabelledEmbeddings) -> Vec<QueryResult> {
    let queries = photos.with_multiple_photos();
    let found = score_photos(photos, &queries, |photo, scores| {
        let whale = photos.whale_of(photo)?;
        let by_whale = scores.whales();
        Some(QueryResult {
            photo,
            whale,
            others: scores.view().photos_of(whale).count(),
            rank: by_whale.rank(whale, |_| true)?,
            photo_rank: photo_rank(photos, whale, scores),
            own: by_whale.candidate(whale)?,
            top: by_whale.top(GUESSES, |_| true),
            average_precision_at_r: average_precision_at_r(photos, whale, scores),
        })
    });
    found.into_iter().flatten().collect()
}

/// Rank of the most similar photo of the whale among all named photos of the gallery, from 1. Of
/// photos with equal scores the wrong ones rank first.
fn photo_rank(photos: &LabelledEmbeddings, whale: usize, scores: &PhotoScores<'_>) -> usize {
    let own = photos.photos_of(whale).iter();
    let best = own
        .filter_map(|&photo| scores.score(photo))
        .fold(f32::NEG_INFINITY, f32::max);
    let is_before = |photo: &usize| {
        photos.whale_of(*photo).is_some_and(|w| w != whale)
            && scores.score(*photo).is_some_and(|score| score >= best)
    };
    1 + (0..photos.len()).filter(is_before).count()
}

/// Average precision over the first R photos, R being the number of photos of the whale in the
/// gallery (Musgrave et al., 'A Metric Learning Reality Check', ECCV 2020). Of photos with equal
/// scores the wrong ones rank first.
fn average_precision_at_r(
    photos: &LabelledEmbeddings,
    whale: usize,
    scores: &PhotoScores<'_>,
) -> f64 {
    let mut own: Vec<f32> = photos
        .photos_of(whale)
        .iter()
        .filter_map(|&p| scores.score(p))
        .collect();
    own.sort_by(|a, b| b.total_cmp(a));
    let Some(&lowest) = own.last() else {
        return 0.0;
    };
    // `before[j]`: photos of other whales between the whale's (j-1)-th and its j-th.
    let mut before = vec![0usize; own.len()];
    for photo in 0..photos.len() {
        let Some(score) = scores.score(photo).filter(|&score| score >= lowest) else {
            continue;
        };
        if photos.whale_of(photo).is_some_and(|w| w != whale) {
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

/// Metrics of the queries with this many other photos of their whale.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OtherPhotosGroup {
    /// Other photos of the whale: `1`, `2-4` or `5+`.
    pub other_photos: &'static str,
    /// Averages over the queries of the group.
    #[serde(flatten)]
    pub metrics: RankMetrics,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
}

/// Metrics of encounters of several photos; a whale's score is the mean over them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncounterGroup {
    /// Photos per encounter.
    pub photos: usize,
    /// Averages over the encounters.
    #[serde(flatten)]
    pub metrics: RankMetrics,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
}

const ENCOUNTER_SIZES: [usize; 2] = [3, 5];

/// Searches encounters of `size` photos; `None` if no whale with one has another photo.
fn encounters(
    photos: &LabelledEmbeddings,
    size: usize,
    bootstrap: &Bootstrap,
) -> Option<EncounterGroup> {
    let queries = of_size(photos, size);
    let found = score_encounters(
        photos,
        &queries,
        |_| true,
        |query, scores| {
            let whale = photos.whale_of(*queries[query].first()?)?;
            Some((whale, scores.whales().rank(whale, |_| true)?))
        },
    );
    let ranks: Vec<(usize, usize)> = found.into_iter().flatten().collect();
    let whales = photos.whales().len();
    (!ranks.is_empty()).then(|| EncounterGroup {
        photos: size,
        metrics: RankMetrics::of(ranks.iter().map(|(_, rank)| *rank)),
        intervals: RankIntervals::of(bootstrap, whales, ranks.iter().copied()),
    })
}

/// One query, by names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedQuery {
    /// Name of the photo.
    pub photo: String,
    /// Name of the query's whale.
    pub whale: String,
    /// Rank of its whale.
    pub rank: usize,
    /// Name of the top-1 whale.
    pub first: String,
    /// Score of the top-1 whale.
    pub score: f32,
}

/// Results of the protocol.
#[derive(Clone, Debug, Serialize)]
pub struct RetrievalResult {
    /// Averages over all queries.
    #[serde(flatten)]
    pub metrics: RankMetrics,
    /// Recall@K over photos.
    #[serde(flatten)]
    pub photo_recall: PhotoRecall,
    /// Mean average precision over the first R photos.
    pub map_at_r: f64,
    /// Normalised mutual information of clusters and whales, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nmi: Option<f64>,
    /// Number of photos in the gallery.
    pub enrolled: usize,
    /// Number of whales in the gallery.
    pub whales: usize,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
    /// Intervals of Recall@K over photos.
    pub photo_recall_intervals: PhotoRecallIntervals,
    /// Interval of MAP@R.
    pub map_at_r_interval: Option<Interval>,
    /// Metrics by the number of other photos of the whale.
    pub by_other_photos: Vec<OtherPhotosGroup>,
    /// Metrics of encounters of 3 and of 5 photos.
    pub encounters: Vec<EncounterGroup>,
    /// The ranks of every query.
    pub ranks: Vec<RankedQuery>,
    /// Every query with its candidates, for the report.
    #[serde(skip)]
    pub queries: Vec<QueryResult>,
}

const GROUPS: [(&str, std::ops::RangeInclusive<usize>); 3] =
    [("1", 1..=1), ("2-4", 2..=4), ("5+", 5..=usize::MAX)];

/// Runs the protocol. With `nmi_seed`, also clusters the photos for NMI.
///
/// # Errors
/// If no whale has two photos, in different encounters if these are known.
pub fn measure(
    photos: &LabelledEmbeddings,
    bootstrap: &Bootstrap,
    nmi_seed: Option<u64>,
) -> Result<RetrievalResult, ProtocolError> {
    let queries = retrieve(photos);
    if queries.is_empty() {
        return Err(ProtocolError::SinglePhotos);
    }
    let whales = photos.whales().len();
    let by_other_photos = GROUPS
        .into_iter()
        .map(|(other_photos, range)| {
            let group = || queries.iter().filter(|q| range.contains(&q.others));
            OtherPhotosGroup {
                other_photos,
                metrics: RankMetrics::of(group().map(|q| q.rank)),
                intervals: RankIntervals::of(bootstrap, whales, group().map(|q| (q.whale, q.rank))),
            }
        })
        .filter(|group| group.metrics.queries > 0)
        .collect();
    let precision = || {
        queries
            .iter()
            .map(|q| (q.whale, [q.average_precision_at_r]))
    };
    let ranks = queries
        .iter()
        .map(|query| {
            let first = query.top.first().expect("a ranked query has a candidate");
            RankedQuery {
                photo: photos.label(query.photo).name.clone(),
                whale: photos.whales()[query.whale].clone(),
                rank: query.rank,
                first: photos.whales()[first.whale].clone(),
                score: first.score,
            }
        })
        .collect();
    Ok(RetrievalResult {
        metrics: RankMetrics::of(queries.iter().map(|q| q.rank)),
        photo_recall: PhotoRecall::of(queries.iter().map(|q| q.photo_rank)),
        map_at_r: precision().map(|(_, [p])| p).sum::<f64>() / queries.len() as f64,
        nmi: nmi_seed.map(|seed| nmi(photos, seed)),
        enrolled: photos.named_photos(),
        whales,
        intervals: RankIntervals::of(bootstrap, whales, queries.iter().map(|q| (q.whale, q.rank))),
        photo_recall_intervals: PhotoRecallIntervals::of(
            bootstrap,
            whales,
            queries.iter().map(|q| (q.whale, q.photo_rank)),
        ),
        map_at_r_interval: bootstrap
            .means(whales, precision())
            .first()
            .copied()
            .flatten(),
        by_other_photos,
        encounters: ENCOUNTER_SIZES
            .into_iter()
            .filter_map(|size| encounters(photos, size, bootstrap))
            .collect(),
        ranks,
        queries,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};
    use flukewatch_common::whale_score::WhaleScore;
    use proptest::prelude::*;

    const NO_INTERVALS: Bootstrap = Bootstrap {
        resamples: 0,
        seed: 0,
    };

    #[test]
    fn ranks_are_over_whales_that_are_named() {
        // a1 (0°) finds B (20°), then A (30°); a2 (30°) finds C (5° away), B (10°), A. The photo
        // without a name is not there.
        let e = plane(&[
            ("A", 0.0),
            ("A", 30.0),
            ("B", 20.0),
            ("C", 35.0),
            ("?", 1.0),
        ]);
        let r = measure(&e, &NO_INTERVALS, None).unwrap();
        assert_eq!(r.queries.iter().map(|l| l.rank).collect::<Vec<_>>(), [2, 3]);
        assert_eq!(
            (r.metrics.recall_at_1, r.metrics.recall_at_5, r.enrolled),
            (0.0, 1.0, 4)
        );
        assert!((r.metrics.map_at_5 - (0.5 + 1.0 / 3.0) / 2.0).abs() < 1e-12);
        assert_eq!(
            (r.ranks[0].photo.as_str(), r.ranks[0].first.as_str()),
            ("0.jpg", "B")
        );
    }

    #[test]
    fn recall_over_photos_counts_each_photo() {
        // From 0°, the photos are B 11°, B 20°, B 25°, D 36°, D 37°, D 38°, A 40°: the first of A
        // is the seventh, but A is the third whale. From 40°: D 38°, D 37°, D 36°, B 25°, B 20°,
        // B 11°, C 75°, A 0°: the eighth photo, the fourth whale. All others find their whale at
        // once. The photo without a name is not there.
        let e = plane(&[
            ("A", 0.0),
            ("A", 40.0),
            ("B", 11.0),
            ("B", 20.0),
            ("B", 25.0),
            ("C", 75.0),
            ("D", 36.0),
            ("D", 37.0),
            ("D", 38.0),
            ("?", 1.0),
        ]);
        let r = measure(&e, &NO_INTERVALS, None).unwrap();
        let ranks: Vec<_> = r.queries.iter().map(|q| (q.photo_rank, q.rank)).collect();
        assert_eq!(ranks[..2], [(7, 3), (8, 4)]);
        assert!(ranks[2..].iter().all(|rank| *rank == (1, 1)), "{ranks:?}");
        let recall = r.photo_recall;
        assert_eq!(
            (
                recall.photo_recall_at_1,
                recall.photo_recall_at_5,
                recall.photo_recall_at_10
            ),
            (0.75, 0.75, 1.0)
        );
        assert_eq!((r.metrics.recall_at_1, r.metrics.recall_at_5), (0.75, 1.0));
        // How a whale is scored does not matter.
        let blended = measure(&e.clone().scored_by(WhaleScore::BLEND), &NO_INTERVALS, None);
        assert_eq!(blended.unwrap().photo_recall, recall);
    }

    #[test]
    fn precision_at_r_worked_by_hand() {
        // From 0°: A 1°, B 2°, A 3°, B 4°, A 5°. R = 3; of the first three, the first and the third
        // are right: (1/1 + 2/3) / 3.
        let e = plane(&[
            ("A", 0.0),
            ("A", 1.0),
            ("B", 2.0),
            ("A", 3.0),
            ("B", 4.0),
            ("A", 5.0),
        ]);
        let found = score_photos(&e, &[0], |_, scores| average_precision_at_r(&e, 0, scores));
        assert!(
            (found[0] - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12,
            "{found:?}"
        );
    }

    #[test]
    fn wrong_photos_of_equal_score_rank_first() {
        let e = plane(&[("A", 0.0), ("A", 10.0), ("B", 10.0)]);
        let found = score_photos(&e, &[0], |_, scores| {
            (
                average_precision_at_r(&e, 0, scores),
                photo_rank(&e, 0, scores),
            )
        });
        assert_eq!(found, [(0.0, 2)]);
    }

    #[test]
    fn queries_are_grouped_by_other_photos() {
        let photos: Vec<(&str, f32)> = [("A", 2), ("B", 3), ("C", 7), ("D", 1)]
            .into_iter()
            .flat_map(|(whale, n)| (0..n).map(move |i| (whale, i as f32)))
            .collect();
        let r = measure(&plane(&photos), &NO_INTERVALS, None).unwrap();
        let groups: Vec<_> = r
            .by_other_photos
            .iter()
            .map(|g| (g.other_photos, g.metrics.queries))
            .collect();
        assert_eq!(groups, [("1", 2), ("2-4", 3), ("5+", 7)]);
    }

    #[test]
    fn encounters_are_searched_together() {
        // The photo at 14° alone finds B; with the two others A is nearer on average.
        let e = plane(&[("A", 0.0), ("A", 2.0), ("A", 14.0), ("A", 3.0), ("B", 17.0)]);
        let r = measure(&e, &NO_INTERVALS, None).unwrap();
        assert_eq!(r.metrics.recall_at_1, 0.75);
        let groups: Vec<_> = r
            .encounters
            .iter()
            .map(|g| (g.photos, g.metrics.queries, g.metrics.recall_at_1))
            .collect();
        assert_eq!(groups, [(3, 1, 1.0)]);
    }

    #[test]
    fn photos_of_the_same_encounter_are_not_in_the_gallery() {
        let photos = [("A", 0.0), ("A", 1.0), ("A", 30.0), ("B", 10.0)];
        let e = plane_with(&photos, |i, label| {
            label.encounter = Some(["e1", "e1", "e2", "e3"][i].into());
        });
        let r = measure(&e, &NO_INTERVALS, None).unwrap();
        let found: Vec<_> = r
            .queries
            .iter()
            .map(|q| (q.photo, q.others, q.rank))
            .collect();
        assert_eq!(found, [(0, 1, 2), (1, 1, 2), (2, 2, 2)]);
        // All photos of one day: nothing is left to find a whale by.
        let e = plane_with(&photos[..2], |_, label| {
            label.date = "2024-06-19".parse().ok();
        });
        assert!(measure(&e, &NO_INTERVALS, None).is_err());
    }

    #[test]
    fn one_photo_of_each_whale_has_no_query() {
        assert!(
            measure(
                &plane(&[("A", 0.0), ("B", 9.0), ("?", 3.0)]),
                &NO_INTERVALS,
                None
            )
            .is_err()
        );
    }

    proptest! {
        #[test]
        fn the_order_of_the_photos_changes_nothing(
            angles in proptest::collection::vec(0u16..3600, 6..40),
            turn in 1usize..40,
        ) {
            const NAMES: [&str; 5] = ["A", "B", "C", "D", "E"];
            // Distinct angles, so that scores are equal at most by rounding.
            let photos: Vec<(&str, f32)> = angles.iter().enumerate()
                .map(|(i, &a)| (NAMES[i % 5], f32::from(a) / 10.0 + i as f32 * 0.011)).collect();
            let mut turned = photos.clone();
            turned.rotate_left(turn % photos.len());
            turned.reverse();
            let metrics = |p: &[(&str, f32)]| measure(&plane(p), &Bootstrap { resamples: 20, seed: 3 }, None)
                .map(|r| (r.metrics, r.intervals));
            let (a, b) = (metrics(&photos), metrics(&turned));
            if let (Ok((a, i)), Ok((b, j))) = (a, b) {
                prop_assert!((a.map_at_5 - b.map_at_5).abs() < 1e-9 && (a.recall_at_1 - b.recall_at_1).abs() < 1e-9);
                let (i, j) = (i.map_at_5.unwrap(), j.map_at_5.unwrap());
                prop_assert!((i.low - j.low).abs() < 1e-9 && (i.high - j.high).abs() < 1e-9);
            }
        }
    }
}
