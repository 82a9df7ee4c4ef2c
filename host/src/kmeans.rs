//! K-means (Lloyd 1982) with k-means++ starts (Arthur & Vassilvitskii, SODA 2007), on the sphere if asked (Dhillon & Modha 2001).
//!
//! Sums are taken in a fixed order, so that the result does not depend on the number of threads; memory is linear in points and
//! in centres.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// How carefully to cluster.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Care {
    /// Starts; the one of least cost is kept.
    pub starts: usize,
    /// Rounds of Lloyd's algorithm at most.
    pub rounds: usize,
    /// Centres are brought to unit length: cosines instead of distances. Points are expected at unit length.
    pub spherical: bool,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            starts: 5,
            rounds: 100,
            spherical: false,
        }
    }
}

/// Points put into clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    /// The cluster of each point, `[N]`, below K.
    pub of: Vec<usize>,
    /// Centres `[K, D] f32`.
    pub centres: Array2<f32>,
    /// Mean squared distance of a point to its centre.
    pub cost: f64,
}

/// Points that are worked on together: their products with all centres are held at once.
const BLOCK: usize = 256;

/// Puts `points` `[N, D] f32` into `clusters` clusters; fewer where there are fewer different points. No cluster is left empty as
/// long as there are as many different points: one that loses all its points takes the point farthest from its centre.
pub fn kmeans(
    points: ArrayView2<'_, f32>,
    clusters: usize,
    care: Care,
    random: &mut ChaCha8Rng,
) -> Clustering {
    let clusters = clusters.clamp(1, points.nrows().max(1));
    let lengths: Vec<f32> = points.outer_iter().map(|p| p.dot(&p)).collect();
    let mut best: Option<Clustering> = None;
    for _ in 0..care.starts.max(1) {
        let start = plus_plus(points, &lengths, clusters, random);
        let found = lloyd(points, &lengths, start, care);
        if best.as_ref().is_none_or(|b| found.cost < b.cost) {
            best = Some(found);
        }
    }
    best.unwrap_or(Clustering {
        of: vec![],
        centres: Array2::zeros((clusters, points.ncols())),
        cost: 0.0,
    })
}

/// Each further centre is a point drawn with a chance in proportion to its squared distance to the nearest centre so far.
fn plus_plus(
    points: ArrayView2<'_, f32>,
    lengths: &[f32],
    clusters: usize,
    random: &mut ChaCha8Rng,
) -> Array2<f32> {
    let count = points.nrows();
    let mut centres = Array2::zeros((clusters, points.ncols()));
    if count == 0 {
        return centres;
    }
    let mut nearest = vec![f32::INFINITY; count];
    let mut chosen = random.random_range(0..count);
    for k in 0..clusters {
        centres.row_mut(k).assign(&points.row(chosen));
        let centre = points.row(chosen);
        let products: Array1<f32> = points.dot(&centre);
        for (i, n) in nearest.iter_mut().enumerate() {
            let d = (lengths[i] + lengths[chosen] - 2.0 * products[i]).max(0.0);
            *n = n.min(d);
        }
        let total: f64 = nearest.iter().map(|&d| f64::from(d)).sum();
        let mut left = random.random::<f64>() * total;
        let drawn = nearest.iter().position(|&d| {
            left -= f64::from(d);
            left < 0.0
        });
        // All points are centres already: any will do.
        chosen = drawn.unwrap_or_else(|| random.random_range(0..count));
    }
    centres
}

fn lloyd(
    points: ArrayView2<'_, f32>,
    lengths: &[f32],
    mut centres: Array2<f32>,
    care: Care,
) -> Clustering {
    let mut of: Vec<usize> = vec![usize::MAX; points.nrows()];
    let mut cost = 0.0;
    for _ in 0..care.rounds.max(1) {
        let nearest = assign(points, lengths, centres.view());
        let unchanged = nearest.iter().zip(&of).all(|(n, o)| n.0 == *o);
        of = nearest.iter().map(|n| n.0).collect();
        cost = nearest.iter().map(|n| f64::from(n.1)).sum::<f64>() / nearest.len().max(1) as f64;
        if unchanged {
            break;
        }
        fill_empty(&mut of, nearest, centres.nrows());
        centres = means(points, &of, &centres, care.spherical);
    }
    Clustering { of, centres, cost }
}

/// The nearest centre of each point, and its squared distance.
fn assign(
    points: ArrayView2<'_, f32>,
    lengths: &[f32],
    centres: ArrayView2<'_, f32>,
) -> Vec<(usize, f32)> {
    let centre_lengths: Vec<f32> = centres.outer_iter().map(|c| c.dot(&c)).collect();
    let blocks: Vec<_> = points
        .axis_chunks_iter(Axis(0), BLOCK)
        .enumerate()
        .collect();
    blocks
        .into_par_iter()
        .flat_map_iter(|(block, rows)| {
            let products = rows.dot(&centres.t());
            let first = block * BLOCK;
            let found: Vec<(usize, f32)> = products
                .outer_iter()
                .enumerate()
                .map(|(i, row)| {
                    let mut best = (0, f32::INFINITY);
                    for (k, product) in row.iter().enumerate() {
                        let d = lengths[first + i] + centre_lengths[k] - 2.0 * product;
                        if d < best.1 {
                            best = (k, d);
                        }
                    }
                    (best.0, best.1.max(0.0))
                })
                .collect();
            found
        })
        .collect()
}

/// Gives each cluster without a point the point that lies farthest from its own centre.
fn fill_empty(of: &mut [usize], mut nearest: Vec<(usize, f32)>, clusters: usize) {
    let mut sizes = vec![0usize; clusters];
    of.iter().for_each(|&k| sizes[k] += 1);
    for empty in 0..clusters {
        if sizes[empty] > 0 {
            continue;
        }
        let farthest = (0..of.len())
            .filter(|&i| sizes[of[i]] > 1 && nearest[i].1 > 0.0)
            .max_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1));
        if let Some(i) = farthest {
            sizes[of[i]] -= 1;
            sizes[empty] = 1;
            of[i] = empty;
            nearest[i].1 = 0.0;
        }
    }
}

fn means(
    points: ArrayView2<'_, f32>,
    of: &[usize],
    before: &Array2<f32>,
    spherical: bool,
) -> Array2<f32> {
    let (clusters, dimension) = before.dim();
    // One pass on one thread: sums of their own for each thread would take clusters x dimension numbers each.
    let mut centres = Array2::<f32>::zeros((clusters, dimension));
    let mut sizes = vec![0usize; clusters];
    for (row, &k) in points.outer_iter().zip(of) {
        centres.row_mut(k).scaled_add(1.0, &row);
        sizes[k] += 1;
    }
    for (k, (mut centre, &size)) in centres.outer_iter_mut().zip(&sizes).enumerate() {
        if size == 0 {
            centre.assign(&before.row(k));
            continue;
        }
        centre /= size as f32;
        let length = centre.dot(&centre).sqrt();
        if spherical && length > 1e-12 {
            centre /= length;
        }
    }
    centres
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use rand::SeedableRng;
    use std::collections::HashSet;

    fn rng(seed: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(seed)
    }

    /// `per` points around each of `centres`.
    fn blobs(centres: &[[f32; 2]], per: usize, seed: u64) -> Array2<f32> {
        let mut rng = rng(seed);
        Array2::from_shape_fn((centres.len() * per, 2), |(i, d)| {
            centres[i / per][d] + rng.random_range(-0.2..0.2f32)
        })
    }

    #[test]
    fn four_points_worked_by_hand() {
        // {0, 2} and {10, 14}: centres 1 and 12, squared distances 1, 1, 4, 4: 2.5 in the mean.
        let points = array![[0f32], [2.0], [10.0], [14.0]];
        let found = kmeans(points.view(), 2, Care::default(), &mut rng(1));
        assert_eq!(found.of[0], found.of[1]);
        assert_eq!(found.of[2], found.of[3]);
        assert_ne!(found.of[0], found.of[2]);
        assert!((found.cost - 2.5).abs() < 1e-6, "{}", found.cost);
    }

    #[test]
    fn separate_blobs_are_found_whatever_the_seed() {
        let points = blobs(&[[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]], 50, 3);
        for seed in 0..20 {
            let found = kmeans(points.view(), 4, Care::default(), &mut rng(seed));
            for blob in found.of.chunks(50) {
                assert!(blob.iter().all(|k| *k == blob[0]), "seed {seed}");
            }
            assert_eq!(found.of.iter().collect::<HashSet<_>>().len(), 4);
        }
    }

    #[test]
    fn directions_count_on_the_sphere() {
        let points: Vec<f32> = [0.0f32, 0.1, 1.5, 1.6]
            .iter()
            .flat_map(|a| [a.cos(), a.sin()])
            .collect();
        let points = Array2::from_shape_vec((4, 2), points).unwrap();
        let care = Care {
            spherical: true,
            ..Care::default()
        };
        let found = kmeans(points.view(), 2, care, &mut rng(5));
        assert_eq!((found.of[0], found.of[2]), (found.of[1], found.of[3]));
        for centre in found.centres.outer_iter() {
            assert!((centre.dot(&centre) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn no_cluster_is_left_empty_while_points_differ() {
        // Three far outliers and a crowd: starts often put two centres into the crowd.
        let mut points = blobs(&[[0.0, 0.0]], 60, 2);
        points.push_row(ndarray::aview1(&[90.0, 0.0])).unwrap();
        for seed in 0..10 {
            let found = kmeans(
                points.view(),
                6,
                Care {
                    starts: 1,
                    ..Care::default()
                },
                &mut rng(seed),
            );
            assert_eq!(
                found.of.iter().collect::<HashSet<_>>().len(),
                6,
                "seed {seed}"
            );
        }
    }

    #[test]
    fn equal_points_and_few_points_are_no_trouble() {
        let equal = Array2::<f32>::ones((7, 3));
        let found = kmeans(equal.view(), 4, Care::default(), &mut rng(1));
        assert_eq!((found.of.len(), found.cost), (7, 0.0));
        let two = array![[0f32, 1.0], [1.0, 0.0]];
        assert!(
            kmeans(two.view(), 5, Care::default(), &mut rng(1))
                .of
                .iter()
                .all(|k| *k < 2)
        );
        assert!(
            kmeans(
                Array2::<f32>::zeros((0, 3)).view(),
                4,
                Care::default(),
                &mut rng(1)
            )
            .of
            .is_empty()
        );
    }

    #[test]
    fn threads_do_not_change_it() {
        let points = blobs(&[[0.0, 0.0], [1.0, 0.3], [0.2, 1.0]], 1500, 9);
        let with = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| kmeans(points.view(), 8, Care::default(), &mut rng(4)))
        };
        assert_eq!(with(1), with(3));
    }
}
