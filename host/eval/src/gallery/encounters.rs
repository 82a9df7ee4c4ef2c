//! Queries as the boat makes them: encounters of up to five crops of one whale.

use crate::gallery::labelled::LabelledEmbeddings;
use std::collections::BTreeMap;

/// The most crops of an encounter that the boat keeps.
pub const MAX_CROPS: usize = 5;

/// Every photo alone.
pub fn single_photos(photos: &LabelledEmbeddings) -> Vec<Vec<usize>> {
    (0..photos.len()).map(|photo| vec![photo]).collect()
}

/// Encounters of 1 to [`MAX_CROPS`] photos.
///
/// A known encounter is one query, of its photos spread over it. Where encounters are not known,
/// each photo of a whale begins a query of 1, 2, ... photos of that whale, so that all sizes occur
/// and one photo at least is left to be found. A photo without a whale is a query of its own.
pub fn as_on_board(photos: &LabelledEmbeddings) -> Vec<Vec<usize>> {
    let mut queries = vec![];
    for whale in 0..photos.whales().len() {
        let (encounters, unknown) = by_encounter(photos, whale);
        queries.extend(
            encounters
                .iter()
                .map(|members| spread(members, members.len().min(MAX_CROPS))),
        );
        let most = unknown.len().saturating_sub(1).clamp(1, MAX_CROPS);
        for first in 0..unknown.len() {
            let size = 1 + (first + whale) % most;
            let following = unknown.iter().cycle().skip(first);
            queries.push(following.take(size).copied().collect());
        }
    }
    queries.extend(unnamed(photos).map(|photo| vec![photo]));
    queries
}

/// Encounters of exactly `size` photos, no photo in two of them: of each known encounter with so
/// many photos one; where encounters are not known, the photos of a whale in the order of the
/// table.
pub fn of_size(photos: &LabelledEmbeddings, size: usize) -> Vec<Vec<usize>> {
    let mut queries = vec![];
    for whale in 0..photos.whales().len() {
        let (encounters, unknown) = by_encounter(photos, whale);
        let large = encounters.iter().filter(|members| members.len() >= size);
        queries.extend(large.map(|members| spread(members, size)));
        queries.extend(unknown.chunks_exact(size).map(<[usize]>::to_vec));
    }
    if size == 1 {
        queries.extend(unnamed(photos).map(|photo| vec![photo]));
    }
    queries
}

/// A whale's photos by known encounter, and those whose encounter is not known.
fn by_encounter(photos: &LabelledEmbeddings, whale: usize) -> (Vec<Vec<usize>>, Vec<usize>) {
    let (mut known, mut unknown) = (BTreeMap::<usize, Vec<usize>>::new(), vec![]);
    for &photo in photos.photos_of(whale) {
        match photos.encounter_of(photo) {
            Some(encounter) => known.entry(encounter).or_default().push(photo),
            None => unknown.push(photo),
        }
    }
    (known.into_values().collect(), unknown)
}

/// `count` of the members, evenly over them.
fn spread(members: &[usize], count: usize) -> Vec<usize> {
    (0..count)
        .map(|i| members[i * members.len() / count])
        .collect()
}

fn unnamed(photos: &LabelledEmbeddings) -> impl Iterator<Item = usize> {
    (0..photos.len()).filter(|&photo| photos.whale_of(photo).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};

    #[test]
    fn a_known_encounter_is_one_query_of_at_most_five_photos() {
        let photos: Vec<(&str, f32)> = (0..10).map(|i| ("A", i as f32)).collect();
        let e = plane_with(&photos, |i, label| {
            label.encounter = Some(if i < 7 { "e1" } else { "e2" }.into());
        });
        assert_eq!(as_on_board(&e), [vec![0, 1, 2, 4, 5], vec![7, 8, 9]]);
        assert_eq!(of_size(&e, 4), [vec![0, 1, 3, 5]]);
    }

    #[test]
    fn without_encounters_every_size_occurs_and_a_photo_is_left() {
        let photos = [("A", 0.0), ("A", 1.0), ("A", 2.0), ("B", 3.0), ("?", 4.0)];
        assert_eq!(
            as_on_board(&plane(&photos)),
            [vec![0], vec![1, 2], vec![2], vec![3], vec![4]]
        );
        let many: Vec<(&str, f32)> = (0..20).map(|i| ("A", i as f32)).collect();
        let mut sizes = [0; MAX_CROPS + 1];
        as_on_board(&plane(&many))
            .iter()
            .for_each(|query| sizes[query.len()] += 1);
        assert_eq!(sizes, [0, 4, 4, 4, 4, 4]);
    }

    #[test]
    fn encounters_of_a_size_share_no_photo() {
        let photos: Vec<(&str, f32)> = (0..7).map(|i| ("A", i as f32)).collect();
        assert_eq!(of_size(&plane(&photos), 3), [vec![0, 1, 2], vec![3, 4, 5]]);
        assert_eq!(of_size(&plane(&photos), 1).len(), 7);
    }
}
