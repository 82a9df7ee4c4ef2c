//! Retrieval across encounters: a query never meets photos of its own encounter, which show the same fluke in the same light.

use super::EvaluateError;
use super::bootstrap::Bootstrap;
use super::figures::{RankFigures, RankIntervals};
use super::labelled::LabelledEmbeddings;
use super::search::{WhaleScores, look_up_groups};
use serde::Serialize;
use std::collections::BTreeMap;

/// What the protocol finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AcrossEncounters {
    /// How encounters are told apart: by the column `encounter`, or by whale and day.
    pub told_by: ToldBy,
    /// Each photo by itself.
    pub by_photo: RankFigures,
    /// Their intervals.
    pub by_photo_intervals: RankIntervals,
    /// Each encounter as a whole: a whale's score is the mean over the encounter's photos.
    pub by_encounter: RankFigures,
    /// Their intervals.
    pub by_encounter_intervals: RankIntervals,
    /// Photos of named whales whose encounter is unknown, left out of queries and gallery.
    pub left_out: usize,
}

/// What tells encounters apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToldBy {
    /// The table's column `encounter`.
    Encounter,
    /// One whale on one day is one encounter.
    WhaleAndDay,
}

struct Seen {
    ranks: Vec<usize>,
    sums: Vec<f64>,
    photos: usize,
}

/// Runs the protocol.
///
/// # Errors
/// When the table tells no encounters apart, or no whale has two.
pub fn measure(
    photos: &LabelledEmbeddings,
    bootstrap: &Bootstrap,
) -> Result<AcrossEncounters, EvaluateError> {
    let (told_by, encounters) = encounters(photos)?;
    // A group is one whale in one encounter; the gallery excludes the encounter whole, with whoever else it shows.
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (photo, encounter) in encounters.iter().enumerate() {
        if let (Some(encounter), Some(whale)) = (encounter, photos.whale_of(photo)) {
            groups.entry((whale, *encounter)).or_default().push(photo);
        }
    }
    let left_out = photos.named() - groups.values().map(Vec::len).sum::<usize>();
    let met_again = |whale: usize| {
        groups
            .range((whale, 0)..=(whale, usize::MAX))
            .nth(1)
            .is_some()
    };
    let (whales, queries): (Vec<usize>, Vec<Vec<usize>>) = groups
        .iter()
        .filter(|((whale, _), _)| met_again(*whale))
        .map(|((whale, _), queries)| (*whale, queries.clone()))
        .unzip();
    if queries.is_empty() {
        return Err(EvaluateError::OneEncounterEach);
    }
    let all = photos.whales().len();
    let found = look_up_groups(
        photos,
        &queries,
        || Seen {
            ranks: vec![],
            sums: vec![0.0; all],
            photos: 0,
        },
        |seen, query, scores| {
            let by_whale = WhaleScores::of(photos, scores, |photo| {
                encounters[photo].is_some() && encounters[photo] != encounters[query]
            });
            if let Some(rank) = photos
                .whale_of(query)
                .and_then(|w| by_whale.rank(w, |_| true))
            {
                seen.ranks.push(rank);
            }
            // The gallery is the same for every photo of the encounter, so that a whale is in all sums or in none.
            for (whale, sum) in seen.sums.iter_mut().enumerate() {
                *sum += by_whale.score(whale).map_or(f64::NEG_INFINITY, f64::from);
            }
            seen.photos += 1;
        },
        |group, seen| {
            let own = whales[group];
            let before = seen.sums.iter().enumerate().filter(|(other, sum)| {
                **sum > seen.sums[own] || (**sum == seen.sums[own] && *other < own)
            });
            (own, before.count() + 1, seen.ranks)
        },
    );
    let by_photo = || {
        found
            .iter()
            .flat_map(|(w, _, ranks)| ranks.iter().map(|r| (*w, *r)))
    };
    let by_encounter = || found.iter().map(|(w, rank, _)| (*w, *rank));
    Ok(AcrossEncounters {
        told_by,
        by_photo: RankFigures::of(by_photo().map(|(_, r)| r)),
        by_photo_intervals: RankIntervals::of(bootstrap, all, by_photo()),
        by_encounter: RankFigures::of(by_encounter().map(|(_, r)| r)),
        by_encounter_intervals: RankIntervals::of(bootstrap, all, by_encounter()),
        left_out,
    })
}

/// The encounter of each photo as a number.
fn encounters(photos: &LabelledEmbeddings) -> Result<(ToldBy, Vec<Option<usize>>), EvaluateError> {
    let labels = || (0..photos.len()).map(|i| photos.label(i));
    if labels().any(|l| l.encounter.is_some()) {
        return Ok((
            ToldBy::Encounter,
            numbered(labels().map(|l| l.encounter.clone())),
        ));
    }
    if labels().any(|l| l.date.is_some()) {
        let keys = labels().map(|l| Some((l.whale.clone()?, l.date?)));
        return Ok((ToldBy::WhaleAndDay, numbered(keys)));
    }
    Err(EvaluateError::NoColumn {
        protocol: "encounter",
        column: "encounter' (any name, the same for photos of one encounter) or 'date",
    })
}

fn numbered<K: Ord>(keys: impl Iterator<Item = Option<K>>) -> Vec<Option<usize>> {
    let mut numbers = BTreeMap::new();
    keys.map(|key| {
        let next = numbers.len();
        key.map(|key| *numbers.entry(key).or_insert(next))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::labelled::tests::{plane, plane_with};
    use super::*;
    use jiff::civil::date;

    const NO_INTERVALS: Bootstrap = Bootstrap {
        resamples: 0,
        seed: 0,
    };

    /// A is met twice, two photos each; B lies between.
    const PHOTOS: [(&str, f32); 5] = [
        ("A", 0.0),
        ("A", 10.0),
        ("A", 40.0),
        ("A", 50.0),
        ("B", 20.0),
    ];
    const ENCOUNTERS: [&str; 5] = ["e1", "e1", "e2", "e2", "e3"];

    #[test]
    fn photos_of_the_same_encounter_are_not_met() {
        let e = plane_with(&PHOTOS, |i, label| {
            label.encounter = Some(ENCOUNTERS[i].into())
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        // From 0° and 10°, B (20°) comes before A's other encounter (40°); from 40° and 50°, A at 10° is 30° and 40° away,
        // B 20° and 30°.
        assert_eq!(
            (found.by_photo.recall_at_1, found.by_photo.queries),
            (0.0, 4)
        );
        assert_eq!(
            (found.by_encounter.map_at_5, found.by_encounter.queries),
            (0.5, 2)
        );
    }

    #[test]
    fn an_encounter_counts_by_the_mean_of_its_photos() {
        // One photo of e1 is nearer to A's other encounter, one nearer to B; on average A is nearer.
        let e = plane_with(
            &[("A", 50.0), ("A", 10.0), ("A", 55.0), ("B", 0.0)],
            |i, label| {
                label.encounter = Some(["e1", "e1", "e2", "e3"][i].into());
            },
        );
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!((found.by_photo.queries, found.by_encounter.queries), (3, 2));
        assert!((found.by_photo.recall_at_1 - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(found.by_encounter.recall_at_1, 1.0);
    }

    #[test]
    fn days_tell_encounters_apart_where_nothing_else_does() {
        let e = plane_with(&PHOTOS, |i, label| {
            label.date = (i != 4).then(|| date(2024, 6, if i < 2 { 1 } else { 9 }));
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!((found.told_by, found.left_out), (ToldBy::WhaleAndDay, 1));
        assert_eq!(found.by_photo.recall_at_1, 1.0);
    }

    #[test]
    fn what_is_missing_is_named() {
        let error = measure(&plane(&PHOTOS), &NO_INTERVALS)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("column 'encounter'") && error.contains("or 'date'"),
            "{error}"
        );
        let once = plane_with(&PHOTOS, |_, label| label.encounter = Some("e1".into()));
        assert!(matches!(
            measure(&once, &NO_INTERVALS),
            Err(EvaluateError::OneEncounterEach)
        ));
    }
}
