//! The neighbourhood of each photo and whale: one pass of all photos against all, whale by whale.
//! Memory grows with the number of photos, not with its square.

use flukewatch_common::embedding::{Embedding, dot};
use rayon::prelude::*;

/// Named photos by number, with whales numbered from 0.
#[derive(Clone, Debug)]
pub(super) struct NamedPhotos<'a> {
    /// Whale of each photo.
    pub(super) whale_of: &'a [usize],
    /// Photos of each whale.
    pub(super) photos_of: &'a [Vec<usize>],
    /// Embedding of each photo.
    pub(super) embeddings: &'a [Embedding],
    /// Copy group of each photo: copies do not count as evidence for each other.
    pub(super) copy_of: &'a [usize],
}

/// The neighbourhood of a photo, without itself and its copies.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PhotoNeighbourhood {
    /// Cosine and position of the nearest photo of its own whale.
    pub(super) own: Option<(f32, usize)>,
    /// Cosine and position of the nearest photo of another whale.
    pub(super) other: Option<(f32, usize)>,
    /// The nearest photos, nearest first, at most [`NEAREST`].
    pub(super) nearest: Vec<usize>,
}

/// The most similar whale.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct NearestWhale {
    pub(super) whale: usize,
    /// [`similarity`] of the two.
    pub(super) score: f32,
}

/// The neighbourhood of a whale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WhaleNeighbourhood {
    /// Most similar whale with two photos or more.
    pub(super) among_multiple: Option<NearestWhale>,
    /// Most similar whale of all.
    pub(super) among_all: Option<NearestWhale>,
}

/// Nearest photos kept of each photo.
const NEAREST: usize = 5;
/// Best similarities that are averaged for the similarity of two whales.
const TOP_K: usize = 3;

/// The neighbourhoods of all photos and whales.
pub(super) fn neighbourhoods(
    all: &NamedPhotos,
) -> (Vec<PhotoNeighbourhood>, Vec<WhaleNeighbourhood>) {
    let by_whale: Vec<(Vec<PhotoNeighbourhood>, WhaleNeighbourhood)> = (0..all.photos_of.len())
        .into_par_iter()
        .map(|whale| of_whale(all, whale))
        .collect();
    let mut photos: Vec<Option<PhotoNeighbourhood>> = vec![None; all.whale_of.len()];
    let mut whales = Vec::with_capacity(by_whale.len());
    for (members, (seen, whale)) in all.photos_of.iter().zip(by_whale) {
        for (&photo, seen) in members.iter().zip(seen) {
            photos[photo] = Some(seen);
        }
        whales.push(whale);
    }
    (photos.into_iter().flatten().collect(), whales)
}

fn of_whale(all: &NamedPhotos, whale: usize) -> (Vec<PhotoNeighbourhood>, WhaleNeighbourhood) {
    let members = &all.photos_of[whale];
    let mut seen = Vec::with_capacity(members.len());
    // For each whale, the best cosines of our photos to it; for each photo, its best to ours.
    let mut ours = vec![TopValues::default(); all.photos_of.len()];
    let mut theirs = vec![f32::NEG_INFINITY; all.whale_of.len()];
    let mut cosines = vec![0f32; all.whale_of.len()];
    for &photo in members {
        let query = all.embeddings[photo].as_slice();
        for (cosine, other) in cosines.iter_mut().zip(all.embeddings) {
            *cosine = dot(query, other.as_slice());
        }
        for (other, photos) in all.photos_of.iter().enumerate() {
            let mut best = f32::NEG_INFINITY;
            for &p in photos {
                // A copy under another name is reported as a copy; here it would only say that two
                // whales share a photo.
                if all.copy_of[p] != all.copy_of[photo] {
                    best = best.max(cosines[p]);
                    theirs[p] = theirs[p].max(cosines[p]);
                }
            }
            ours[other].add(best);
        }
        seen.push(of_photo(all, photo, &cosines));
    }
    let similarity_to = |other: usize| {
        let mut back = TopValues::default();
        all.photos_of[other]
            .iter()
            .for_each(|&p| back.add(theirs[p]));
        Some(ours[other].mean()?.min(back.mean()?))
    };
    let mut around = WhaleNeighbourhood {
        among_multiple: None,
        among_all: None,
    };
    for other in (0..all.photos_of.len()).filter(|&o| o != whale) {
        let Some(score) = similarity_to(other) else {
            continue;
        };
        let better = |old: &Option<NearestWhale>| old.is_none_or(|p| score > p.score);
        let partner = Some(NearestWhale {
            whale: other,
            score,
        });
        if better(&around.among_all) {
            around.among_all = partner;
        }
        if all.photos_of[other].len() >= 2 && better(&around.among_multiple) {
            around.among_multiple = partner;
        }
    }
    (seen, around)
}

fn of_photo(all: &NamedPhotos, photo: usize, cosines: &[f32]) -> PhotoNeighbourhood {
    let mut seen = PhotoNeighbourhood {
        own: None,
        other: None,
        nearest: vec![],
    };
    for (p, &cosine) in cosines.iter().enumerate() {
        if all.copy_of[p] == all.copy_of[photo] {
            continue;
        }
        let side = if all.whale_of[p] == all.whale_of[photo] {
            &mut seen.own
        } else {
            &mut seen.other
        };
        if side.is_none_or(|(best, _)| cosine > best) {
            *side = Some((cosine, p));
        }
        let at = seen.nearest.partition_point(|&q| cosines[q] >= cosine);
        if at < NEAREST {
            seen.nearest.insert(at, p);
            seen.nearest.truncate(NEAREST);
        }
    }
    seen
}

/// Similarity of two sets of photos from their cosines `[photos of one] x [photos of the other]`:
/// the best cosine of each photo, the mean of the [`TOP_K`] highest on either side, and the lower
/// of the two means. One mislabelled photo is near all photos of its true whale, but on its own
/// side it is only one of three.
pub(super) fn similarity(cosines: &[Vec<f32>]) -> Option<f32> {
    let (mut ours, mut theirs) = (TopValues::default(), TopValues::default());
    for row in cosines {
        ours.add(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    }
    for column in 0..cosines.first()?.len() {
        theirs.add(
            cosines
                .iter()
                .map(|row| row[column])
                .fold(f32::NEG_INFINITY, f32::max),
        );
    }
    Some(ours.mean()?.min(theirs.mean()?))
}

/// The [`TOP_K`] highest values.
#[derive(Clone, Copy, Debug, Default)]
struct TopValues {
    highest: [f32; TOP_K],
    count: usize,
}

impl TopValues {
    /// Minus infinity stands for nothing to compare with and does not count.
    fn add(&mut self, value: f32) {
        if value == f32::NEG_INFINITY {
            return;
        }
        let at = self.highest[..self.count].partition_point(|&h| h >= value);
        if at < TOP_K {
            self.count = (self.count + 1).min(TOP_K);
            self.highest[at..self.count].rotate_right(1);
            self.highest[at] = value;
        }
    }

    fn mean(&self) -> Option<f32> {
        (self.count > 0).then(|| self.highest[..self.count].iter().sum::<f32>() / self.count as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Photos as `(whale, degrees)` on a circle.
    fn seen(
        photos: &[(usize, f32)],
        copy_of: &[usize],
    ) -> (Vec<PhotoNeighbourhood>, Vec<WhaleNeighbourhood>) {
        let embeddings: Vec<Embedding> = photos
            .iter()
            .map(|(_, degrees)| {
                let (sin, cos) = degrees.to_radians().sin_cos();
                Embedding::normalised(vec![cos, sin]).unwrap()
            })
            .collect();
        let whale_of: Vec<usize> = photos.iter().map(|p| p.0).collect();
        let mut photos_of = vec![vec![]; whale_of.iter().max().unwrap() + 1];
        for (photo, &whale) in whale_of.iter().enumerate() {
            photos_of[whale].push(photo);
        }
        neighbourhoods(&NamedPhotos {
            whale_of: &whale_of,
            photos_of: &photos_of,
            embeddings: &embeddings,
            copy_of,
        })
    }

    const PHOTOS: [(usize, f32); 5] = [(0, 0.0), (0, 20.0), (1, 60.0), (1, 90.0), (2, 65.0)];

    #[test]
    fn a_photo_has_neighbours_of_its_own_whale_and_of_others() {
        let (photos, _) = seen(&PHOTOS, &[0, 1, 2, 3, 4]);
        let cos = |degrees: f32| degrees.to_radians().cos();
        let near = |got: Option<(f32, usize)>, cosine: f32, photo: usize| {
            got.is_some_and(|(c, p)| (c - cosine).abs() < 1e-6 && p == photo)
        };
        assert!(near(photos[1].own, cos(20.0), 0) && near(photos[1].other, cos(40.0), 2));
        assert_eq!(photos[4].own, None);
        assert_eq!(photos[4].nearest, [2, 3, 1, 0]);
    }

    #[test]
    fn similarity_is_the_lower_of_two_sides() {
        let (_, whales) = seen(&PHOTOS, &[0, 1, 2, 3, 4]);
        let cos = |degrees: f32| degrees.to_radians().cos();
        // From 0 to 1: its photos reach 60 at best, theirs 40 and 70.
        let expected = ((cos(60.0) + cos(40.0)) / 2.0).min((cos(40.0) + cos(70.0)) / 2.0);
        let partner = whales[0].among_multiple.unwrap();
        assert!(
            partner.whale == 1 && (partner.score - expected).abs() < 1e-6,
            "{partner:?}"
        );
        assert_eq!(whales[1].among_all.unwrap().whale, 2);
        assert_eq!(whales[1].among_multiple.unwrap().whale, 0);
    }

    #[test]
    fn copies_are_not_neighbours() {
        let (photos, whales) = seen(&PHOTOS, &[0, 0, 2, 3, 2]);
        assert_eq!(photos[0].own, None);
        assert_eq!(photos[4].nearest, [3, 1, 0]);
        // What is left between whales 1 and 2 are 25 degrees.
        let partner = whales[2].among_all.unwrap();
        assert!(
            (partner.score - 25f32.to_radians().cos()).abs() < 1e-6,
            "{partner:?}"
        );
    }

    #[test]
    fn one_mislabelled_photo_does_not_make_two_whales_similar() {
        let wrong = vec![vec![0.9, 0.9, 0.9], vec![0.1; 3], vec![0.2; 3]];
        assert!((similarity(&wrong).unwrap() - 0.4).abs() < 1e-6);
    }
}
