//! Searches every photo for each query, in blocks: memory grows with the number of photos, not with
//! its square.

use crate::gallery::candidates::{candidates, rescored};
use crate::gallery::labelled::LabelledEmbeddings;
use flukewatch_common::decision::RankingFeatures;
use flukewatch_common::whale_score::{TopScores, WhaleScore};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::Serialize;

/// Scores that a thread holds at a time (16 MiB).
const SCORES_PER_BLOCK: usize = 4 << 20;
/// Queries per block at most: more do not make the matrix product faster.
const MAX_QUERIES: usize = 64;

/// Calls `each(query, scores)` for every query, on all cores, and returns the results in the order
/// of `queries`. `scores[i]` is the cosine to photo `i`, including the query itself.
pub fn search<T: Send>(
    photos: &LabelledEmbeddings,
    queries: &[usize],
    each: impl Fn(usize, &[f32]) -> T + Sync,
) -> Vec<T> {
    let blocks: Vec<Vec<T>> = queries
        .par_chunks(block(photos))
        .map(|block| {
            let scores = scores(photos, block);
            rows(&scores)
                .zip(block)
                .map(|(row, &query)| each(query, row))
                .collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

/// Like [`search`], with one result per group of queries: `fold` adds the scores of a query to the
/// group's state, `finish` turns the state into the result.
pub fn search_groups<S, T: Send>(
    photos: &LabelledEmbeddings,
    groups: &[Vec<usize>],
    start: impl Fn() -> S + Sync,
    fold: impl Fn(&mut S, usize, &[f32]) + Sync,
    finish: impl Fn(usize, S) -> T + Sync,
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
            let mut states = task.iter().map(|&g| (g, groups[g].len(), start()));
            let (mut current, mut done) = (states.next(), vec![]);
            for block in queries.chunks(size) {
                let scores = scores(photos, block);
                for (row, &query) in rows(&scores).zip(block) {
                    while current.as_ref().is_some_and(|(_, left, _)| *left == 0) {
                        done.extend(current.take().map(|(g, _, state)| finish(g, state)));
                        current = states.next();
                    }
                    if let Some((_, left, state)) = current.as_mut() {
                        fold(state, query, row);
                        *left -= 1;
                    }
                }
            }
            done.extend(
                current
                    .into_iter()
                    .chain(states)
                    .map(|(g, _, s)| finish(g, s)),
            );
            done
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
    photo: u32,
}

impl WhaleScores {
    /// Combines the cosines `scores` of `query`, one per photo, by whale, over the eligible named photos. Where the photos have
    /// descriptors, the best whales are scored by them as well.
    pub fn of(
        photos: &LabelledEmbeddings,
        query: usize,
        scores: &[f32],
        eligible: impl Fn(usize) -> bool,
    ) -> Self {
        let by_cosine = Self::by_cosine(photos, scores, &eligible);
        by_cosine.matched(photos, photos.norms(), query, scores, eligible, |_| true)
    }

    /// Scores the whales of the highest cosines among those that `enrolled` selects by descriptors as well; nothing changes where the
    /// photos have none. `norms` are those of the enrolled whales ([`crate::gallery::matching::norms`]).
    pub fn matched(
        mut self,
        photos: &LabelledEmbeddings,
        norms: &[f32],
        query: usize,
        scores: &[f32],
        eligible: impl Fn(usize) -> bool,
        enrolled: impl Fn(usize) -> bool,
    ) -> Self {
        let Some(local) = photos.local() else {
            return self;
        };
        let best = self.0.iter().enumerate().map(|(whale, best)| {
            let photo = best.map(|b| b.photo as usize);
            photo.filter(|_| enrolled(whale))
        });
        let found = candidates(photos, best, scores, eligible, local.score.whales);
        for (whale, score, photo) in rescored(local, norms, query, &found, photos.whale_score()) {
            let photo = photo as u32;
            self.0[whale] = Some(Best { score, photo });
        }
        self
    }

    /// Combines the cosines `scores`, one per photo, by whale, over the eligible named photos.
    pub fn by_cosine(
        photos: &LabelledEmbeddings,
        scores: &[f32],
        eligible: impl Fn(usize) -> bool,
    ) -> Self {
        let mut best: Vec<Option<Best>> = vec![None; photos.whales().len()];
        for (photo, &score) in scores.iter().enumerate() {
            let Some(whale) = photos.whale_of(photo) else {
                continue;
            };
            if best[whale].is_none_or(|b| score > b.score) && eligible(photo) {
                best[whale] = Some(Best {
                    score,
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
        self.0[whale].map(|Best { score, photo }| Candidate {
            whale,
            score,
            photo: photo as usize,
        })
    }

    /// The `count` best eligible whales, best first; equal scores by name.
    pub fn top(&self, count: usize, eligible: impl Fn(usize) -> bool) -> Vec<Candidate> {
        let mut top: Vec<Candidate> = Vec::with_capacity(count + 1);
        for (whale, best) in self.0.iter().enumerate() {
            let Some(Best { score, photo }) = *best else {
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
    use crate::gallery::labelled::tests::plane;

    #[test]
    fn a_whale_ranks_by_its_best_photo() {
        let e = plane(&[
            ("A", 0.0),
            ("A", 30.0),
            ("B", 20.0),
            ("C", 35.0),
            ("?", 1.0),
        ]);
        let found = search(&e, &[0], |query, scores| {
            WhaleScores::of(&e, query, scores, |photo| photo != query)
        });
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
            let found = search(&e, &[0], |query, scores| {
                WhaleScores::of(&e, query, scores, |photo| photo != query)
            });
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
        let found = search(&e, &[3], |query, scores| {
            WhaleScores::of(&e, query, scores, |photo| photo != query)
        });
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
        let seen = search_groups(
            &e,
            &groups,
            Vec::new,
            |seen: &mut Vec<usize>, query, scores| {
                assert!((scores[query] - 1.0).abs() < 1e-5);
                seen.push(query);
            },
            |group, seen| (group, seen),
        );
        let expected: Vec<_> = groups.into_iter().enumerate().collect();
        assert_eq!(seen, expected);
    }
}
