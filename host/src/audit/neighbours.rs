//! Who is near whom: one pass over all photos against all photos, a whale's photos at a time.
//!
//! Memory grows with the number of photos, not with its square.

use flukewatch_common::embedding::{Embedding, dot};
use rayon::prelude::*;

/// Photos with whale and embedding; whales are numbers `0..whales`.
#[derive(Clone, Debug)]
pub struct Labelled<'a> {
    /// The whale of each photo.
    pub whale_of: &'a [usize],
    /// The photos of each whale.
    pub photos_of: &'a [Vec<usize>],
    /// The embedding of each photo, `[N] x [D]`.
    pub embeddings: &'a [Embedding],
    /// The photos of the same group have the same number: copies bear no witness for each other.
    pub copy_of: &'a [usize],
}

/// What a photo sees around it, itself and its copies left out.
#[derive(Clone, Debug, PartialEq)]
pub struct Surroundings {
    /// The cosine of the nearest photo of its own whale and that photo; `None` where there is none.
    pub own: Option<(f32, usize)>,
    /// Likewise of the nearest photo of another whale.
    pub other: Option<(f32, usize)>,
    /// The nearest photos, nearest first, at most [`NEAREST`].
    pub nearest: Vec<usize>,
}

/// A whale and how alike it is to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Partner {
    /// The other whale.
    pub whale: usize,
    /// [`likeness`] of the two.
    pub score: f32,
}

/// What a whale sees around it.
#[derive(Clone, Debug, PartialEq)]
pub struct WhaleSurroundings {
    /// The most alike whale with two photos or more.
    pub among_several: Option<Partner>,
    /// The most alike whale of all.
    pub among_all: Option<Partner>,
}

/// Photos looked at for agreement.
pub const NEAREST: usize = 5;
/// The best similarities of a whale's photos that count for its likeness to another.
pub const WITNESSES: usize = 3;

/// The surroundings of all photos and of all whales.
pub fn look_around(all: &Labelled) -> (Vec<Surroundings>, Vec<WhaleSurroundings>) {
    let by_whale: Vec<(Vec<Surroundings>, WhaleSurroundings)> = (0..all.photos_of.len())
        .into_par_iter()
        .map(|whale| around_whale(all, whale))
        .collect();
    let mut photos: Vec<Option<Surroundings>> = vec![None; all.whale_of.len()];
    let mut whales = Vec::with_capacity(by_whale.len());
    for (members, (seen, whale)) in all.photos_of.iter().zip(by_whale) {
        for (&photo, seen) in members.iter().zip(seen) {
            photos[photo] = Some(seen);
        }
        whales.push(whale);
    }
    (photos.into_iter().flatten().collect(), whales)
}

fn around_whale(all: &Labelled, whale: usize) -> (Vec<Surroundings>, WhaleSurroundings) {
    let members = &all.photos_of[whale];
    let mut seen = Vec::with_capacity(members.len());
    // Of each whale the best cosines that our photos have to it, of each photo the best that it has to ours.
    let mut ours = vec![Best::default(); all.photos_of.len()];
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
                // A copy under another name is told as a copy; here it would say only that the two share a photo.
                if all.copy_of[p] != all.copy_of[photo] {
                    best = best.max(cosines[p]);
                    theirs[p] = theirs[p].max(cosines[p]);
                }
            }
            ours[other].add(best);
        }
        seen.push(around_photo(all, photo, &cosines));
    }
    let likeness_to = |other: usize| {
        let mut back = Best::default();
        all.photos_of[other]
            .iter()
            .for_each(|&p| back.add(theirs[p]));
        Some(ours[other].mean()?.min(back.mean()?))
    };
    let mut around = WhaleSurroundings {
        among_several: None,
        among_all: None,
    };
    for other in (0..all.photos_of.len()).filter(|&o| o != whale) {
        let Some(score) = likeness_to(other) else {
            continue;
        };
        let better = |old: &Option<Partner>| old.is_none_or(|p| score > p.score);
        let partner = Some(Partner {
            whale: other,
            score,
        });
        if better(&around.among_all) {
            around.among_all = partner;
        }
        if all.photos_of[other].len() >= 2 && better(&around.among_several) {
            around.among_several = partner;
        }
    }
    (seen, around)
}

fn around_photo(all: &Labelled, photo: usize, cosines: &[f32]) -> Surroundings {
    let mut seen = Surroundings {
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

/// How alike two sets of photos are, from the cosines `[photos of one] x [photos of the other]`: the best cosine of each photo,
/// the mean of the [`WITNESSES`] highest of these on either side, and the lower of the two sides. One photo under the wrong name
/// is near all photos of its true whale, but on its own side it stays one witness of three.
pub fn likeness(cosines: &[Vec<f32>]) -> Option<f32> {
    let (mut ours, mut theirs) = (Best::default(), Best::default());
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

/// The [`WITNESSES`] highest of some numbers.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    highest: [f32; WITNESSES],
    count: usize,
}

impl Best {
    /// Minus infinity, where there was nothing to compare with, does not count.
    fn add(&mut self, value: f32) {
        if value == f32::NEG_INFINITY {
            return;
        }
        let at = self.highest[..self.count].partition_point(|&h| h >= value);
        if at < WITNESSES {
            self.count = (self.count + 1).min(WITNESSES);
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
    ) -> (Vec<Surroundings>, Vec<WhaleSurroundings>) {
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
        look_around(&Labelled {
            whale_of: &whale_of,
            photos_of: &photos_of,
            embeddings: &embeddings,
            copy_of,
        })
    }

    const PHOTOS: [(usize, f32); 5] = [(0, 0.0), (0, 20.0), (1, 60.0), (1, 90.0), (2, 65.0)];

    #[test]
    fn a_photo_sees_its_own_whale_and_others() {
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
    fn likeness_is_the_lower_of_two_sides() {
        let (_, whales) = seen(&PHOTOS, &[0, 1, 2, 3, 4]);
        let cos = |degrees: f32| degrees.to_radians().cos();
        // From 0 to 1: its photos reach 60 at best, theirs 40 and 70.
        let expected = ((cos(60.0) + cos(40.0)) / 2.0).min((cos(40.0) + cos(70.0)) / 2.0);
        let partner = whales[0].among_several.unwrap();
        assert!(
            partner.whale == 1 && (partner.score - expected).abs() < 1e-6,
            "{partner:?}"
        );
        assert_eq!(whales[1].among_all.unwrap().whale, 2);
        assert_eq!(whales[1].among_several.unwrap().whale, 0);
    }

    #[test]
    fn copies_bear_no_witness() {
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
    fn one_photo_under_a_wrong_name_does_not_make_two_whales_one() {
        let wrong = vec![vec![0.9, 0.9, 0.9], vec![0.1; 3], vec![0.2; 3]];
        assert!((likeness(&wrong).unwrap() - 0.4).abs() < 1e-6);
    }
}
