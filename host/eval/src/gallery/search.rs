//! Searches every photo for each query, in blocks: memory grows with the number of photos, not with
//! its square.

use crate::gallery::candidates::{best_whales, candidates, rescored};
use crate::gallery::labelled::LabelledEmbeddings;
use crate::gallery::local::Norms;
use crate::gallery::view::GalleryView;
use flukewatch_common::decision::RankingFeatures;
use flukewatch_common::sighting::MAX_CANDIDATES;
use flukewatch_common::whale_score::{TopScores, WhaleScore};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::Serialize;
use std::borrow::Cow;

/// Scores that a thread holds at a time (16 MiB).
const SCORES_PER_BLOCK: usize = 4 << 20;
/// Queries per block at most: more do not make the matrix product faster.
const MAX_QUERIES: usize = 64;

/// Scores each query against its [`GalleryView`], on all cores, and returns what `each` makes of
/// the scores, in the order of `queries`.
pub fn score_photos<T: Send>(
    photos: &LabelledEmbeddings,
    queries: &[usize],
    each: impl Fn(usize, &PhotoScores<'_>) -> T + Sync,
) -> Vec<T> {
    let blocks: Vec<Vec<T>> = queries
        .par_chunks(block(photos))
        .map(|block| {
            let scores = scores(photos, block);
            rows(&scores)
                .zip(block)
                .map(|(scores, &query)| {
                    let view = GalleryView::of(photos, &[query]);
                    each(
                        query,
                        &PhotoScores {
                            view,
                            query,
                            scores,
                        },
                    )
                })
                .collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// Scores each encounter, a list of photos of one whale, against the [`GalleryView`] of all its
/// photos: a whale's score is the mean of its scores for the photos, as on the boat. `each` gets the
/// position of the encounter and the scores; of the gallery only photos that `admit` accepts take
/// part.
pub fn score_encounters<T: Send>(
    photos: &LabelledEmbeddings,
    encounters: &[Vec<usize>],
    admit: impl Fn(usize) -> bool + Sync,
    each: impl Fn(usize, &EncounterScores<'_>) -> T + Sync,
) -> Vec<T> {
    search_groups(photos, encounters, |at, cosines| {
        let view = GalleryView::of(photos, &encounters[at]);
        each(
            at,
            &EncounterScores::of(&view, &encounters[at], cosines, &admit),
        )
    })
}

/// The scores of a query for the photos of its gallery.
#[derive(Clone, Debug)]
pub struct PhotoScores<'a> {
    view: GalleryView<'a>,
    query: usize,
    scores: &'a [f32],
}

impl PhotoScores<'_> {
    /// The gallery of the query.
    pub fn view(&self) -> &GalleryView<'_> {
        &self.view
    }

    /// The cosine to a photo; `None` if it is not in the gallery.
    pub fn score(&self, photo: usize) -> Option<f32> {
        self.view.admits(photo).then(|| self.scores[photo])
    }

    /// The score of each whale.
    pub fn whales(&self) -> WhaleScores {
        self.whales_among(|_| true)
    }

    /// The score of each whale by those of its photos that `admit` accepts.
    pub fn whales_among(&self, admit: impl Fn(usize) -> bool) -> WhaleScores {
        let query = std::slice::from_ref(&self.query);
        EncounterScores::of(&self.view, query, self.scores, &admit)
            .whales()
            .into_owned()
    }
}

/// The scores of an encounter for the photos of its gallery.
pub struct EncounterScores<'a> {
    view: &'a GalleryView<'a>,
    queries: &'a [usize],
    /// `[queries, N] f32`.
    cosines: &'a [f32],
    admit: &'a dyn Fn(usize) -> bool,
    /// By cosines, for each query; empty without local matching.
    by_query: Vec<WhaleScores>,
    /// By cosines, over all queries.
    by_cosine: WhaleScores,
}

impl<'a> EncounterScores<'a> {
    fn of(
        view: &'a GalleryView<'a>,
        queries: &'a [usize],
        cosines: &'a [f32],
        admit: &'a dyn Fn(usize) -> bool,
    ) -> Self {
        let photos = view.photos();
        let rows = cosines.chunks_exact(photos.len().max(1));
        let mut sum = Sum::new(photos.whales().len());
        let mut by_query = vec![];
        for row in rows {
            let scores = WhaleScores::by_cosine(view, row, admit);
            sum.add(&scores);
            if photos.local().is_some() {
                by_query.push(scores);
            }
        }
        Self {
            view,
            queries,
            cosines,
            admit,
            by_query,
            by_cosine: sum.mean(),
        }
    }

    /// The score of each whale. Where the photos have descriptors, the best whales are scored by
    /// them as well.
    pub fn whales(&self) -> Cow<'_, WhaleScores> {
        self.whales_in(self.view.photos().norms(), |_| true)
    }

    /// Like [`EncounterScores::whales`], where only the whales that `enrolled` selects are compared
    /// by descriptors. `norms` are those among these whales ([`crate::gallery::matching::norms`]).
    ///
    /// As on the boat, the candidates are the whales of the highest mean cosines.
    pub fn whales_in(
        &self,
        norms: &Norms,
        enrolled: impl Fn(usize) -> bool,
    ) -> Cow<'_, WhaleScores> {
        let photos = self.view.photos();
        let Some(local) = photos.local() else {
            return Cow::Borrowed(&self.by_cosine);
        };
        let eligible = |photo: &usize| self.view.admits(*photo) && (self.admit)(*photo);
        let count = self.by_query.len() as f64;
        let mean_cosine = |whale: usize| {
            let cosines = self.by_query.iter().map(|scores| scores.0[whale]);
            let sum: Option<f64> = cosines.map(|best| Some(f64::from(best?.photo_score))).sum();
            sum.filter(|_| enrolled(whale))
                .map(|sum| (sum / count) as f32)
        };
        let cosines = (0..photos.whales().len()).map(mean_cosine);
        // A whale that is not compared may still be among the best by its cosine.
        let whales = best_whales(cosines, local.score().whales + MAX_CANDIDATES);
        let mut sum = Sum::new(photos.whales().len());
        let rows = self.cosines.chunks_exact(photos.len().max(1));
        for ((scores, row), &query) in self.by_query.iter().zip(rows).zip(self.queries) {
            let mut scores = scores.clone();
            let found = candidates(photos, &whales, |photo| {
                Some(photo).filter(eligible).map(|photo| row[photo])
            });
            // A norm tells nothing of photos that the query must not see.
            let norm = |photo| norms.seen(photo, local.score(), |other| self.view.admits(other));
            for (whale, score, photo) in rescored(local, norm, query, &found, photos.whale_score())
            {
                scores.0[whale] = Some(Best {
                    score,
                    photo_score: score,
                    photo: photo as u32,
                });
            }
            sum.add(&scores);
        }
        Cow::Owned(sum.mean())
    }
}

/// The sum of the scores of an encounter's photos.
struct Sum {
    photos: usize,
    scores: Vec<f64>,
    best: Vec<Option<Best>>,
}

impl Sum {
    fn new(whales: usize) -> Self {
        Self {
            photos: 0,
            scores: vec![0.0; whales],
            best: vec![None; whales],
        }
    }

    fn add(&mut self, found: &WhaleScores) {
        self.photos += 1;
        // All photos share a gallery, so that a whale is in all sums or in none.
        for ((sum, best), found) in self.scores.iter_mut().zip(&mut self.best).zip(&found.0) {
            let Some(found) = *found else { continue };
            *sum += f64::from(found.score);
            if best.is_none_or(|best| found.photo_score > best.photo_score) {
                *best = Some(found);
            }
        }
    }

    fn mean(self) -> WhaleScores {
        let photos = self.photos as f64;
        let means = self.best.into_iter().zip(self.scores);
        WhaleScores(
            means
                .map(|(best, sum)| {
                    let score = (sum / photos) as f32;
                    best.map(|best| Best { score, ..best })
                })
                .collect(),
        )
    }
}

/// One result per group of queries; `each` gets the position of the group and the cosines of its
/// queries to all photos, `[queries, N] f32`.
fn search_groups<T: Send>(
    photos: &LabelledEmbeddings,
    groups: &[Vec<usize>],
    each: impl Fn(usize, &[f32]) -> T + Sync,
) -> Vec<T> {
    // Small groups share a block: multiplying a single query with all photos is bound by memory.
    let size = block(photos);
    let mut tasks: Vec<Vec<usize>> = vec![];
    let mut room = 0;
    for (group, queries) in groups.iter().enumerate() {
        match tasks.last_mut() {
            Some(task) if queries.len() <= room => task.push(group),
            _ => {
                tasks.push(vec![group]);
                room = size;
            }
        }
        room = room.saturating_sub(queries.len());
    }
    let finished: Vec<Vec<T>> = tasks
        .into_par_iter()
        .map(|task| {
            let queries: Vec<usize> = task.iter().flat_map(|&g| groups[g].clone()).collect();
            let scores = scores(photos, &queries);
            let mut rest = scores.as_slice().expect("a product is contiguous");
            task.into_iter()
                .map(|group| {
                    let (cosines, others) = rest.split_at(groups[group].len() * photos.len());
                    rest = others;
                    each(group, cosines)
                })
                .collect()
        })
        .collect();
    finished.into_iter().flatten().collect()
}

fn block(photos: &LabelledEmbeddings) -> usize {
    (SCORES_PER_BLOCK / photos.len().max(1)).clamp(1, MAX_QUERIES)
}

/// `[queries, N]` cosines.
fn scores(photos: &LabelledEmbeddings, queries: &[usize]) -> Array2<f32> {
    let rows = photos.rows();
    rows.select(Axis(0), queries).dot(&rows.t())
}

fn rows(scores: &Array2<f32>) -> impl Iterator<Item = &[f32]> {
    let width = scores.ncols().max(1);
    let scores = scores.as_slice().expect("a product is contiguous");
    scores.chunks_exact(width)
}

/// A whale in a ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Number in [`LabelledEmbeddings::whales`].
    pub whale: usize,
    /// Score by [`LabelledEmbeddings::whale_score`].
    pub score: f32,
    /// Position of its most similar photo.
    pub photo: usize,
}

/// The features of a ranking, for its calibrator; `None` if the ranking is empty.
pub fn ranking_features(top: &[Candidate]) -> Option<RankingFeatures> {
    RankingFeatures::of(top.iter().map(|candidate| candidate.score))
}

/// The score of each whale for one query; whales without an eligible photo have none.
#[derive(Clone, Debug)]
pub struct WhaleScores(Vec<Option<Best>>);

#[derive(Clone, Copy, Debug)]
struct Best {
    score: f32,
    /// What [`Best::photo`] was chosen by: its cosine, or the score by descriptors.
    photo_score: f32,
    /// Position of the photo.
    photo: u32,
}

impl WhaleScores {
    /// Combines the cosines `scores`, one per photo, by whale, over the named photos of the gallery
    /// that `admit` accepts.
    fn by_cosine(view: &GalleryView<'_>, scores: &[f32], admit: &dyn Fn(usize) -> bool) -> Self {
        let photos = view.photos();
        let eligible = |photo: usize| view.admits(photo) && admit(photo);
        let mut best: Vec<Option<Best>> = vec![None; photos.whales().len()];
        for (photo, &score) in scores.iter().enumerate() {
            let Some(whale) = photos.whale_of(photo) else {
                continue;
            };
            if best[whale].is_none_or(|b| score > b.score) && eligible(photo) {
                best[whale] = Some(Best {
                    score,
                    photo_score: score,
                    photo: photo as u32,
                });
            }
        }
        let rule = photos.whale_score();
        if rule != WhaleScore::BEST {
            for (whale, best) in best.iter_mut().enumerate() {
                let Some(best) = best else { continue };
                let mut highest = TopScores::default();
                for &photo in photos.photos_of(whale) {
                    if eligible(photo) {
                        highest.insert(scores[photo], rule.top_k);
                    }
                }
                best.score = rule.of(&highest);
            }
        }
        Self(best)
    }

    /// The score of a whale, if it has an eligible photo.
    pub fn score(&self, whale: usize) -> Option<f32> {
        self.0[whale].map(|b| b.score)
    }

    /// A whale as a candidate, whatever its rank, if it has an eligible photo.
    pub fn candidate(&self, whale: usize) -> Option<Candidate> {
        self.0[whale].map(|Best { score, photo, .. }| Candidate {
            whale,
            score,
            photo: photo as usize,
        })
    }

    /// The `count` best eligible whales, best first; equal scores by name.
    pub fn top(&self, count: usize, eligible: impl Fn(usize) -> bool) -> Vec<Candidate> {
        let mut top: Vec<Candidate> = Vec::with_capacity(count + 1);
        for (whale, best) in self.0.iter().enumerate() {
            let Some(Best { score, photo, .. }) = *best else {
                continue;
            };
            let last = top.last().map_or(f32::NEG_INFINITY, |c| c.score);
            if (top.len() == count && score <= last) || !eligible(whale) {
                continue;
            }
            let at = top.partition_point(|c| c.score >= score);
            let photo = photo as usize;
            top.insert(
                at,
                Candidate {
                    whale,
                    score,
                    photo,
                },
            );
            top.truncate(count);
        }
        top
    }

    /// The rank of a whale from 1 among the eligible; `None` if it has no eligible photo.
    pub fn rank(&self, whale: usize, eligible: impl Fn(usize) -> bool) -> Option<usize> {
        let own = self.score(whale)?;
        let before = self.0.iter().enumerate().filter(|(other, best)| {
            best.is_some_and(|b| b.score > own || (b.score == own && *other < whale))
                && eligible(*other)
        });
        Some(before.count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gallery::labelled::tests::{plane, plane_with};

    #[test]
    fn a_whale_ranks_by_its_best_photo() {
        let e = plane(&[
            ("A", 0.0),
            ("A", 30.0),
            ("B", 20.0),
            ("C", 35.0),
            ("?", 1.0),
        ]);
        let found = score_photos(&e, &[0], |_, scores| scores.whales());
        let all = |_| true;
        let order: Vec<_> = found[0]
            .top(5, all)
            .iter()
            .map(|c| (c.whale, c.photo))
            .collect();
        assert_eq!(order, [(1, 2), (0, 1), (2, 3)]);
        assert_eq!(
            (found[0].rank(0, all), found[0].rank(0, |w| w != 1)),
            (Some(2), Some(1))
        );
        assert_eq!(found[0].top(1, |w| w != 1)[0].whale, 0);
    }

    #[test]
    fn the_mean_of_two_photos_can_beat_one_good_photo() {
        // B has the most similar photo (cos 10), A two at 20: by the mean of two, A is in front.
        let photos = [
            ("Q", 0.0),
            ("A", 20.0),
            ("A", -20.0),
            ("B", 10.0),
            ("B", 80.0),
        ];
        let mean_of_two = WhaleScore {
            best_weight: 0.0,
            top_k: 2,
        };
        let first = |rule| {
            let e = plane(&photos).scored_by(rule);
            let found = score_photos(&e, &[0], |_, scores| scores.whales());
            let first = found[0].top(1, |_| true)[0];
            (e.whales()[first.whale].clone(), first.photo, first.score)
        };
        assert_eq!(first(WhaleScore::BEST).0, "B");
        let (whale, photo, score) = first(mean_of_two);
        assert_eq!((whale.as_str(), photo), ("A", 1));
        assert!((score - 20.0f32.to_radians().cos()).abs() < 1e-6);
    }

    #[test]
    fn equal_scores_rank_by_name_and_absent_whales_not_at_all() {
        let e = plane(&[("B", 10.0), ("A", 10.0), ("C", 10.0), ("Q", 0.0)]);
        let found = score_photos(&e, &[3], |_, scores| scores.whales());
        let order: Vec<_> = found[0].top(2, |_| true).iter().map(|c| c.whale).collect();
        assert_eq!(order, [0, 1]);
        assert_eq!(
            (found[0].rank(2, |_| true), found[0].rank(3, |_| true)),
            (Some(3), None)
        );
    }

    #[test]
    fn groups_of_any_size_see_each_of_their_queries_once() {
        let photos: Vec<(&str, f32)> = (0..200).map(|i| ("A", i as f32)).collect();
        let e = plane(&photos);
        let groups: Vec<Vec<usize>> = vec![
            (0..150).collect(),
            vec![],
            vec![150],
            vec![151, 199],
            vec![],
        ];
        let seen = search_groups(&e, &groups, |group, cosines| {
            // Photos are a degree apart, so only the query itself has a cosine of 1.
            let query = |row: &[f32]| (0..200).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            (
                group,
                cosines
                    .chunks(200)
                    .filter_map(query)
                    .collect::<Vec<usize>>(),
            )
        });
        let expected: Vec<_> = groups.into_iter().enumerate().collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_query_never_sees_its_own_encounter_or_a_near_duplicate() {
        // By angle, photos 1 (same encounter), 2 (near-duplicate) and 3 (another whale of the same
        // encounter) are nearest to photo 0.
        let photos = [
            ("A", 0.0),
            ("A", 1.0),
            ("A", 2.0),
            ("B", 3.0),
            ("A", 40.0),
            ("B", 20.0),
        ];
        let e = plane_with(&photos, |i, label| {
            label.encounter = Some(["e1", "e1", "e2", "e1", "e3", "e3"][i].into());
            label.near_duplicate_of = (i == 2).then(|| "0.jpg".into());
        });
        let found = score_photos(&e, &[0], |_, scores| {
            let seen: Vec<usize> = (0..6).filter(|&p| scores.score(p).is_some()).collect();
            (seen, scores.whales().top(5, |_| true))
        });
        let (seen, top) = &found[0];
        assert_eq!(*seen, [4, 5]);
        let order: Vec<_> = top.iter().map(|c| (c.whale, c.photo)).collect();
        assert_eq!(order, [(1, 5), (0, 4)]);
        // Both photos of an encounter are searched without what either of them hides.
        let found = score_encounters(
            &e,
            &[vec![0, 1]],
            |_| true,
            |_, scores| scores.whales().top(5, |_| true),
        );
        let order: Vec<_> = found[0].iter().map(|c| (c.whale, c.photo)).collect();
        assert_eq!(order, [(1, 5), (0, 4)]);
    }

    #[test]
    fn an_encounter_scores_the_mean_of_its_photos() {
        let e = plane(&[
            ("Q", 0.0),
            ("Q", 60.0),
            ("A", 0.0),
            ("B", 30.0),
            ("?", 30.0),
        ]);
        let found = score_encounters(
            &e,
            &[vec![0, 1]],
            |photo| photo != 4,
            |_, scores| [1, 0].map(|whale| scores.whales().candidate(whale).unwrap()),
        );
        let [b, a] = found[0];
        assert!((a.score - 0.75).abs() < 1e-6, "{a:?}");
        assert!((b.score - 30.0f32.to_radians().cos()).abs() < 1e-6, "{b:?}");
        assert_eq!((a.photo, b.photo), (2, 3));
    }
}
