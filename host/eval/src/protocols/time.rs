//! Retrieval forward in time: a query is searched among photos of earlier days only, as on a boat.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::score_photos;
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::rank::{RankIntervals, RankMetrics};
use crate::protocols::error::ProtocolError;
use flukewatch_dataset::CaptureDate;
use serde::Serialize;
use std::ops::RangeInclusive;

/// Metrics of the queries whose whale was last seen this long before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GapGroup {
    /// The gap, e.g. `1-7 days`.
    pub gap: &'static str,
    /// Averages over the queries of the group.
    #[serde(flatten)]
    pub metrics: RankMetrics,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
}

/// Results of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeResult {
    /// Averages over all queries.
    #[serde(flatten)]
    pub metrics: RankMetrics,
    /// Intervals of the averages.
    pub intervals: RankIntervals,
    /// Metrics by the time since the whale's last earlier photo.
    pub by_gap: Vec<GapGroup>,
    /// Photos of named whales without a date; not in queries or gallery.
    pub undated_photos: usize,
}

const GAPS: [(&str, RangeInclusive<i32>); 6] = [
    ("1-7 days", 1..=7),
    ("8-30 days", 8..=30),
    ("31-365 days", 31..=365),
    ("1-2 years", 366..=730),
    ("2-5 years", 731..=1826),
    ("over 5 years", 1827..=i32::MAX),
];

/// Evaluates retrieval among photos of earlier days.
///
/// # Errors
/// If no photo has a date, or no whale was photographed on two days.
pub fn measure(
    photos: &LabelledEmbeddings,
    bootstrap: &Bootstrap,
) -> Result<TimeResult, ProtocolError> {
    let dates: Vec<Option<CaptureDate>> = (0..photos.len()).map(|i| photos.label(i).date).collect();
    if dates.iter().all(Option::is_none) {
        return Err(ProtocolError::MissingColumn {
            protocol: "time",
            column: "'date'",
        });
    }
    let gap = |photo: usize| -> Option<(usize, i32)> {
        let (whale, day) = (photos.whale_of(photo)?, dates[photo]?);
        let earlier = photos.photos_of(whale).iter().filter_map(|&p| dates[p]);
        let gaps = earlier.filter(|d| d.is_before(&day));
        let days = gaps.map(|d| day.days_since(&d)).min()?;
        Some((whale, days))
    };
    let queries: Vec<(usize, usize, i32)> = (0..photos.len())
        .filter_map(|photo| gap(photo).map(|(whale, days)| (photo, whale, days)))
        .collect();
    if queries.is_empty() {
        return Err(ProtocolError::SingleDays);
    }
    let positions: Vec<usize> = queries.iter().map(|(photo, ..)| *photo).collect();
    let ranks = score_photos(photos, &positions, |query, scores| {
        let earlier = |photo: usize| {
            let both = dates[photo].zip(dates[query]);
            both.is_some_and(|(photo, query)| photo.is_before(&query))
        };
        let by_whale = scores.whales_among(earlier);
        photos
            .whale_of(query)
            .and_then(|w| by_whale.rank(w, |_| true))
    });
    let found: Vec<(usize, usize, i32)> = queries
        .iter()
        .zip(ranks)
        .filter_map(|((_, whale, days), rank)| Some((*whale, rank?, *days)))
        .collect();
    let whales = photos.whales().len();
    let within = |range: RangeInclusive<i32>| {
        let ranks: Vec<(usize, usize)> = found
            .iter()
            .filter(|(_, _, days)| range.contains(days))
            .map(|(whale, rank, _)| (*whale, *rank))
            .collect();
        (
            RankMetrics::of(ranks.iter().map(|(_, rank)| *rank)),
            RankIntervals::of(bootstrap, whales, ranks.into_iter()),
        )
    };
    let by_gap = GAPS
        .into_iter()
        .map(|(gap, range)| {
            let (metrics, intervals) = within(range);
            GapGroup {
                gap,
                metrics,
                intervals,
            }
        })
        .filter(|group| group.metrics.queries > 0)
        .collect();
    let (metrics, intervals) = within(0..=i32::MAX);
    let dated = (0..photos.len()).filter(|&i| photos.whale_of(i).is_some() && dates[i].is_some());
    Ok(TimeResult {
        metrics,
        intervals,
        by_gap,
        undated_photos: photos.named_photos() - dated.count(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};
    use jiff::civil::date;

    const NO_INTERVALS: Bootstrap = Bootstrap {
        resamples: 0,
        seed: 0,
    };

    #[test]
    fn only_earlier_days_are_searched() {
        // B at 11° is nearest to A's query of 2024 but was taken on the same day; A of 2020 is all
        // that came before, with C.
        let photos = [
            ("A", 10.0),
            ("A", 40.0),
            ("B", 11.0),
            ("C", 60.0),
            ("A", 12.0),
        ];
        let days = [
            date(2024, 6, 1),
            date(2020, 6, 1),
            date(2024, 6, 1),
            date(2019, 1, 1),
            date(2024, 6, 5),
        ];
        let e = plane_with(&photos, |i, label| label.date = Some(days[i].into()));
        let found = measure(&e, &NO_INTERVALS).unwrap();
        // The query of 2024-06-05 (12°) meets B (11°) before A (10°).
        assert_eq!((found.metrics.queries, found.metrics.recall_at_1), (2, 0.5));
        let gaps: Vec<_> = found
            .by_gap
            .iter()
            .map(|g| (g.gap, g.metrics.map_at_5))
            .collect();
        assert_eq!(gaps, [("1-7 days", 0.5), ("2-5 years", 1.0)]);
    }

    #[test]
    fn a_year_is_before_the_days_of_the_next() {
        let dates = ["2023", "2024-06-01", "2024"];
        let e = plane_with(&[("A", 0.0), ("A", 9.0), ("A", 5.0)], |i, label| {
            label.date = dates[i].parse().ok();
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!((found.metrics.queries, found.metrics.recall_at_1), (2, 1.0));
        assert_eq!(found.by_gap[0].gap, "31-365 days");
    }

    #[test]
    fn a_missing_column_is_named() {
        let photos = [("A", 10.0), ("A", 40.0)];
        let error = measure(&plane(&photos), &NO_INTERVALS)
            .unwrap_err()
            .to_string();
        assert!(error.contains("column 'date'"), "{error}");
        let one_day = plane_with(&photos, |_, label| {
            label.date = Some(date(2024, 6, 1).into())
        });
        assert!(matches!(
            measure(&one_day, &NO_INTERVALS),
            Err(ProtocolError::SingleDays)
        ));
    }

    #[test]
    fn photos_without_a_date_are_counted_and_skipped() {
        let e = plane_with(&[("A", 0.0), ("A", 9.0), ("B", 1.0)], |i, label| {
            label.date = (i < 2).then(|| date(2024, 6, 1 + i as i8).into());
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!(
            (
                found.undated_photos,
                found.metrics.recall_at_1,
                found.metrics.queries
            ),
            (1, 1.0, 1)
        );
    }
}
