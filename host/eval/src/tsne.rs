//! A map of embeddings in the plane by t-SNE (van der Maaten and Hinton, JMLR 2008), in which
//! similar photos are near each other.

use crate::pca::Pca;
use bhtsne::{Neighbor, tSNE};
use ndarray::{ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

/// The fewest photos of which a map is drawn.
pub const MIN_PHOTOS: usize = 10;
/// About how many neighbours a photo has; fewer for few photos.
const PERPLEXITY: usize = 30;
/// Steps of the optimiser; with 10,000 photos they take about a minute of one core.
const STEPS: usize = 750;
/// Accuracy of the forces between distant groups of photos (Barnes-Hut); 0 is exact. The
/// interpolation on a grid, which the crate also has, takes minutes for a few dozen photos.
const THETA: f32 = 0.8;
/// Width of the map at the beginning.
const START_WIDTH: f32 = 1e-4;
/// Rounds of the principal components, with which the map begins.
const ROUNDS: usize = 20;
/// Photos whose neighbours are searched at a time.
const BLOCK: usize = 64;

/// The perplexity that is used for so many photos.
pub fn perplexity(photos: usize) -> usize {
    PERPLEXITY.min((photos.saturating_sub(1)) / 3)
}

/// Positions of L2-normalised embeddings in the plane; the same for the same seed on any number of
/// cores. `None` for fewer than [`MIN_PHOTOS`], or if they do not differ.
///
/// # Shapes
/// `rows`: `[N, D] f32`; `N` positions.
pub fn layout(rows: ArrayView2<f32>, seed: u64) -> Option<Vec<[f32; 2]>> {
    let count = rows.nrows();
    if count < MIN_PHOTOS {
        return None;
    }
    let perplexity = perplexity(count);
    let start = start(rows, seed)?;
    let neighbours = neighbours(rows, 3 * perplexity);
    // Sums over threads depend on their number; one thread gives the same map everywhere.
    let thread = ThreadPoolBuilder::new().num_threads(1).build().ok()?;
    let points = vec![(); count];
    let positions = thread.install(|| {
        let mut map: tSNE<'_, f32, (), 2> = tSNE::new(&points);
        map.perplexity(perplexity as f32)
            .epochs(STEPS)
            .initial_embedding(start)
            .barnes_hut_with_neighbors(THETA, &neighbours);
        map.embedding()
    });
    let positions: Vec<[f32; 2]> = positions.as_chunks().0.to_vec();
    let is_finite = positions.iter().flatten().all(|value| value.is_finite());
    (is_finite && positions.len() == count).then_some(positions)
}

/// The first two principal components, narrow, with a little noise that separates equal photos.
fn start(rows: ArrayView2<f32>, seed: u64) -> Option<Vec<f32>> {
    let pca = Pca::fit(rows, 2, ROUNDS, seed);
    let projected = pca.project(rows);
    let widest = projected.iter().fold(0f32, |widest, v| widest.max(v.abs()));
    if widest.is_nan() || widest <= 1e-6 {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let positions = projected
        .axis_iter(Axis(0))
        .flat_map(|row| [0, 1].map(|axis| row.get(axis).copied().unwrap_or(0.0) / widest));
    let positions = positions.collect::<Vec<f32>>().into_iter();
    let noisy = positions.map(|value| START_WIDTH * (value + rng.random_range(-0.01..0.01f32)));
    Some(noisy.collect())
}

/// The most similar other photos of each photo, nearest first.
fn neighbours(rows: ArrayView2<f32>, count: usize) -> Vec<Vec<Neighbor<f32>>> {
    let starts: Vec<usize> = (0..rows.nrows()).step_by(BLOCK).collect();
    let blocks: Vec<Vec<Vec<Neighbor<f32>>>> = starts
        .into_par_iter()
        .map(|start| {
            let end = (start + BLOCK).min(rows.nrows());
            let block = rows.slice(ndarray::s![start..end, ..]);
            let cosines = block.dot(&rows.t());
            let of_row = |(row, cosines): (usize, ndarray::ArrayView1<f32>)| {
                let others = cosines.iter().enumerate();
                let mut others: Vec<Neighbor<f32>> = others
                    .filter(|(index, _)| *index != start + row)
                    .map(|(index, cosine)| Neighbor {
                        index,
                        distance: (2.0 - 2.0 * cosine).max(0.0).sqrt(),
                    })
                    .collect();
                let order = |a: &Neighbor<f32>, b: &Neighbor<f32>| {
                    a.distance
                        .total_cmp(&b.distance)
                        .then(a.index.cmp(&b.index))
                };
                if count < others.len() {
                    others.select_nth_unstable_by(count, order);
                    others.truncate(count);
                }
                others.sort_unstable_by(order);
                others
            };
            cosines.axis_iter(Axis(0)).enumerate().map(of_row).collect()
        })
        .collect();
    blocks.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    /// Groups of photos around random directions.
    fn groups(groups: usize, photos: usize, spread: f32) -> Array2<f32> {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut centre = vec![];
        let mut rows = Array2::zeros((groups * photos, 16));
        for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
            if i % photos == 0 {
                centre = (0..16).map(|_| rng.random_range(-1.0..1.0f32)).collect();
            }
            for (value, centre) in row.iter_mut().zip(&centre) {
                *value = centre + rng.random_range(-spread..spread);
            }
            let norm = row.dot(&row).sqrt();
            row /= norm;
        }
        rows
    }

    fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
        (a[0] - b[0]).hypot(a[1] - b[1])
    }

    #[test]
    fn photos_of_a_group_are_next_to_each_other() {
        let map = layout(groups(12, 10, 0.2).view(), 1).unwrap();
        let nearest_is_of_group = |&i: &usize| {
            let nearest = (0..map.len())
                .filter(|&j| j != i)
                .min_by(|&a, &b| distance(map[i], map[a]).total_cmp(&distance(map[i], map[b])));
            nearest.unwrap() / 10 == i / 10
        };
        let right = (0..map.len()).filter(nearest_is_of_group).count();
        assert!(right >= 118, "{right} of 120");
    }

    #[test]
    fn a_seed_gives_the_same_map_on_any_number_of_threads() {
        let rows = groups(10, 10, 0.3);
        let on = |threads: usize| {
            let pool = ThreadPoolBuilder::new().num_threads(threads).build();
            pool.unwrap().install(|| layout(rows.view(), 5)).unwrap()
        };
        assert_eq!(on(1), on(4));
        assert_ne!(layout(rows.view(), 5), layout(rows.view(), 6));
    }

    #[test]
    fn equal_photos_have_a_finite_map_and_too_few_none() {
        let mut rows = groups(4, 10, 0.1);
        let first = rows.row(0).to_owned();
        for mut row in rows.rows_mut().into_iter().take(25) {
            row.assign(&first);
        }
        assert_eq!(layout(rows.view(), 1).unwrap().len(), 40);
        assert_eq!(layout(rows.slice(ndarray::s![..20, ..]), 1), None);
        assert_eq!(layout(rows.slice(ndarray::s![20..29, ..]), 1), None);
        assert!(layout(rows.slice(ndarray::s![20..30, ..]), 1).is_some());
        // In one direction only.
        let line = Array2::from_shape_fn((30, 2), |(i, axis)| {
            let angle = i as f32 / 30.0;
            if axis == 0 { angle.cos() } else { angle.sin() }
        });
        assert!(layout(line.view(), 1).is_some());
    }

    #[test]
    fn neighbours_are_the_nearest_in_order() {
        let rows = groups(20, 5, 0.4);
        let found = neighbours(rows.view(), 6);
        for (i, found) in found.iter().enumerate() {
            let mut all: Vec<(f32, usize)> = (0..rows.nrows())
                .filter(|&j| j != i)
                .map(|j| (1.0 - rows.row(i).dot(&rows.row(j)), j))
                .collect();
            all.sort_by(|a, b| a.0.total_cmp(&b.0));
            let expected: Vec<usize> = all.iter().take(6).map(|(_, j)| *j).collect();
            let found: Vec<usize> = found.iter().map(|n| n.index).collect();
            assert_eq!(found, expected);
        }
    }
}
