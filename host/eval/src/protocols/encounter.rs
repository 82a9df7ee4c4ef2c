//! Retrieval across encounters: a query is never searched among photos of its own encounter, which
//! show the same fluke in the same light.

use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::search::{score_encounters, score_photos};
use crate::metrics::bootstrap::Bootstrap;
use crate::metrics::rank::{RankIntervals, RankMetrics};
use crate::protocols::error::ProtocolError;
use serde::Serialize;
use std::collections::BTreeMap;

/// Results of the protocol.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncounterResult {
    /// What identifies an encounter.
    pub encounter_key: EncounterKey,
    /// Averages over photos.
    pub by_photo: RankMetrics,
    /// Intervals of `by_photo`.
    pub by_photo_intervals: RankIntervals,
    /// Averages over encounters; a whale's score is the mean over the photos of the encounter.
    pub by_encounter: RankMetrics,
    /// Intervals of `by_encounter`.
    pub by_encounter_intervals: RankIntervals,
    /// Photos of named whales with an unknown encounter; not in queries or gallery.
    pub photos_without_encounter: usize,
}

/// What identifies an encounter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncounterKey {
    /// Column `encounter` of the table.
    Encounter,
    /// By whale and day, if there are no names of encounters. A month or year identifies none.
    WhaleAndDay,
}

/// Evaluates retrieval across encounters.
///
/// # Errors
/// If the table does not identify encounters, or no whale has two.
pub fn measure(
    photos: &LabelledEmbeddings,
    bootstrap: &Bootstrap,
) -> Result<EncounterResult, ProtocolError> {
    let (encounter_key, encounters) = encounters(photos)?;
    // A group is one whale in one encounter. The gallery excludes the whole encounter, including
    // other whales in it.
    let mut groups: BTreeMap<(usize, usize), Vec<usize>> = BTreeMap::new();
    for (photo, encounter) in encounters.iter().enumerate() {
        if let (Some(encounter), Some(whale)) = (encounter, photos.whale_of(photo)) {
            groups.entry((whale, *encounter)).or_default().push(photo);
        }
    }
    let photos_without_encounter =
        photos.named_photos() - groups.values().map(Vec::len).sum::<usize>();
    let has_two_encounters = |whale: usize| {
        groups
            .range((whale, 0)..=(whale, usize::MAX))
            .nth(1)
            .is_some()
    };
    let (whales, queries): (Vec<usize>, Vec<Vec<usize>>) = groups
        .iter()
        .filter(|((whale, _), _)| has_two_encounters(*whale))
        .map(|((whale, _), queries)| (*whale, queries.clone()))
        .unzip();
    if queries.is_empty() {
        return Err(ProtocolError::SingleEncounters);
    }
    let all = photos.whales().len();
    let in_encounter = |photo: usize| encounters[photo].is_some();
    let positions: Vec<usize> = queries.iter().flatten().copied().collect();
    let ranks_by_photo: Vec<(usize, usize)> = score_photos(photos, &positions, |query, scores| {
        let whale = photos.whale_of(query)?;
        let by_whale = scores.whales_among(in_encounter);
        Some((whale, by_whale.rank(whale, |_| true)?))
    })
    .into_iter()
    .flatten()
    .collect();
    let ranks_by_encounter: Vec<(usize, usize)> =
        score_encounters(photos, &queries, in_encounter, |group, scores| {
            let rank = scores.whales().rank(whales[group], |_| true)?;
            Some((whales[group], rank))
        })
        .into_iter()
        .flatten()
        .collect();
    let by_photo = || ranks_by_photo.iter().copied();
    let by_encounter = || ranks_by_encounter.iter().copied();
    Ok(EncounterResult {
        encounter_key,
        by_photo: RankMetrics::of(by_photo().map(|(_, r)| r)),
        by_photo_intervals: RankIntervals::of(bootstrap, all, by_photo()),
        by_encounter: RankMetrics::of(by_encounter().map(|(_, r)| r)),
        by_encounter_intervals: RankIntervals::of(bootstrap, all, by_encounter()),
        photos_without_encounter,
    })
}

/// Numbers the encounter of each photo.
fn encounters(
    photos: &LabelledEmbeddings,
) -> Result<(EncounterKey, Vec<Option<usize>>), ProtocolError> {
    let labels = || (0..photos.len()).map(|i| photos.label(i));
    if labels().any(|l| l.encounter.is_some()) {
        return Ok((
            EncounterKey::Encounter,
            numbered(labels().map(|l| l.encounter.clone())),
        ));
    }
    if labels().any(|l| l.date.is_some()) {
        let keys = labels().map(|l| Some((l.whale.clone()?, l.date?.day()?)));
        return Ok((EncounterKey::WhaleAndDay, numbered(keys)));
    }
    Err(ProtocolError::MissingColumn {
        protocol: "encounter",
        column: "'encounter' (any text, equal for photos of one encounter) or 'date'",
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
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};
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
    fn photos_of_the_same_encounter_are_not_searched() {
        let e = plane_with(&PHOTOS, |i, label| {
            label.encounter = Some(ENCOUNTERS[i].into())
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        // From 0° and 10°, B (20°) comes before A's other encounter (40°); from 40° and 50°, A at
        // 10° is 30° and 40° away, B 20° and 30°.
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
    fn an_encounter_is_scored_by_the_mean_of_its_photos() {
        // One photo of e1 is nearer to A's other encounter, one nearer to B; on average A is
        // nearer.
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
    fn without_a_column_whale_and_day_identify_an_encounter() {
        let e = plane_with(&PHOTOS, |i, label| {
            label.date = (i != 4).then(|| date(2024, 6, if i < 2 { 1 } else { 9 }).into());
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!(
            (found.encounter_key, found.photos_without_encounter),
            (EncounterKey::WhaleAndDay, 1)
        );
        assert_eq!(found.by_photo.recall_at_1, 1.0);
    }

    #[test]
    fn a_year_identifies_no_encounter() {
        let e = plane_with(&PHOTOS, |i, label| {
            let day = date(2024, 6, if i < 2 { 1 } else { 9 }).into();
            label.date = Some(if i == 4 { "2024".parse().unwrap() } else { day });
        });
        let found = measure(&e, &NO_INTERVALS).unwrap();
        assert_eq!(found.photos_without_encounter, 1);
    }

    #[test]
    fn a_missing_column_is_named() {
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
            Err(ProtocolError::SingleEncounters)
        ));
    }
}
