//! K-means (Lloyd 1982) with k-means++ initialisation (Arthur & Vassilvitskii, SODA 2007),
//! optionally spherical (Dhillon & Modha 2001).
//!
//! Sums are taken in a fixed order, so that the result does not depend on the number of threads.
//! Memory is linear in the numbers of points and of centres.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Settings of [`kmeans`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMeansOptions {
    /// Initialisations; the result with the lowest inertia is kept.
    pub n_init: usize,
    /// Maximum number of iterations of Lloyd's algorithm.
    pub max_iter: usize,
    /// Normalises centres: cosines instead of distances. Points must be normalised too.
    pub spherical: bool,
}

impl Default for KMeansOptions {
    fn default() -> Self {
        Self {
            n_init: 5,
            max_iter: 100,
            spherical: false,
        }
    }
}

/// The result of [`kmeans`].
#[derive(Clone, Debug, PartialEq)]
pub struct Clustering {
    /// Cluster of each point, `[N]`, each below K.
    pub assignments: Vec<usize>,
    /// Cluster centres, `[K, D] f32`.
    pub centres: Array2<f32>,
    /// Mean squared distance of a point to its centre.
    pub inertia: f64,
}

/// Points per block; the products of a block with all centres are held at once.
const BLOCK: usize = 256;

/// Clusters `points` into `clusters` clusters, or fewer if there are fewer distinct points. An
/// empty cluster takes the point farthest from its centre, so none stays empty while points differ.
///
/// # Shapes
/// `points`: `[N, D] f32`.
pub fn kmeans(
    points: ArrayView2<'_, f32>,
    clusters: usize,
    options: KMeansOptions,
    random: &mut ChaCha8Rng,
) -> Clustering {
    let clusters = clusters.clamp(1, points.nrows().max(1));
    let lengths: Vec<f32> = points.outer_iter().map(|p| p.dot(&p)).collect();
    let mut best: Option<Clustering> = None;
    for _ in 0..options.n_init.max(1) {
        let start = plus_plus(points, &lengths, clusters, random);
        let found = lloyd(points, &lengths, start, options);
        if best.as_ref().is_none_or(|b| found.inertia < b.inertia) {
            best = Some(found);
        }
    }
    best.expect("there is at least one initialisation")
}

/// K-means++: each further centre is a point drawn with a probability proportional to its squared
/// distance to the nearest centre so far.
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
        // All points are centres already.
        chosen = drawn.unwrap_or_else(|| random.random_range(0..count));
    }
    centres
}

fn lloyd(
    points: ArrayView2<'_, f32>,
    lengths: &[f32],
    mut centres: Array2<f32>,
    options: KMeansOptions,
) -> Clustering {
    let mut assignments: Vec<usize> = vec![usize::MAX; points.nrows()];
    let mut inertia = 0.0;
    for _ in 0..options.max_iter.max(1) {
        let nearest = assign(points, lengths, centres.view());
        let unchanged = nearest.iter().zip(&assignments).all(|(n, a)| n.0 == *a);
        assignments = nearest.iter().map(|n| n.0).collect();
        inertia = nearest.iter().map(|n| f64::from(n.1)).sum::<f64>() / nearest.len().max(1) as f64;
        if unchanged {
            break;
        }
        fill_empty(&mut assignments, nearest, centres.nrows());
        centres = means(points, &assignments, &centres, options.spherical);
    }
    Clustering {
        assignments,
        centres,
        inertia,
    }
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

/// Moves the point farthest from its centre into each empty cluster.
fn fill_empty(assignments: &mut [usize], mut nearest: Vec<(usize, f32)>, clusters: usize) {
    let mut sizes = vec![0usize; clusters];
    assignments.iter().for_each(|&k| sizes[k] += 1);
    for empty in 0..clusters {
        if sizes[empty] > 0 {
            continue;
        }
        let farthest = (0..assignments.len())
            .filter(|&i| sizes[assignments[i]] > 1 && nearest[i].1 > 0.0)
            .max_by(|&a, &b| nearest[a].1.total_cmp(&nearest[b].1));
        if let Some(i) = farthest {
            sizes[assignments[i]] -= 1;
            sizes[empty] = 1;
            assignments[i] = empty;
            nearest[i].1 = 0.0;
        }
    }
}

fn means(
    points: ArrayView2<'_, f32>,
    assignments: &[usize],
    before: &Array2<f32>,
    spherical: bool,
) -> Array2<f32> {
    let (clusters, dimension) = before.dim();
    // On one thread: separate sums per thread would take clusters x dimension values each.
    let mut centres = Array2::<f32>::zeros((clusters, dimension));
    let mut sizes = vec![0usize; clusters];
    for (row, &k) in points.outer_iter().zip(assignments) {
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
        let found = kmeans(points.view(), 2, KMeansOptions::default(), &mut rng(1));
        assert_eq!(found.assignments[0], found.assignments[1]);
        assert_eq!(found.assignments[2], found.assignments[3]);
        assert_ne!(found.assignments[0], found.assignments[2]);
        assert!((found.inertia - 2.5).abs() < 1e-6, "{}", found.inertia);
    }

    #[test]
    fn separate_blobs_are_found_whatever_the_seed() {
        let points = blobs(&[[0.0, 0.0], [5.0, 0.0], [0.0, 5.0], [5.0, 5.0]], 50, 3);
        for seed in 0..20 {
            let found = kmeans(points.view(), 4, KMeansOptions::default(), &mut rng(seed));
            for blob in found.assignments.chunks(50) {
                assert!(blob.iter().all(|k| *k == blob[0]), "seed {seed}");
            }
            assert_eq!(found.assignments.iter().collect::<HashSet<_>>().len(), 4);
        }
    }

    #[test]
    fn spherical_clusters_are_by_direction() {
        let points: Vec<f32> = [0.0f32, 0.1, 1.5, 1.6]
            .iter()
            .flat_map(|a| [a.cos(), a.sin()])
            .collect();
        let points = Array2::from_shape_vec((4, 2), points).unwrap();
        let options = KMeansOptions {
            spherical: true,
            ..KMeansOptions::default()
        };
        let found = kmeans(points.view(), 2, options, &mut rng(5));
        assert_eq!(
            (found.assignments[0], found.assignments[2]),
            (found.assignments[1], found.assignments[3])
        );
        for centre in found.centres.outer_iter() {
            assert!((centre.dot(&centre) - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn no_cluster_stays_empty_while_points_differ() {
        // One far outlier and a crowd: initialisations often put two centres into the crowd.
        let mut points = blobs(&[[0.0, 0.0]], 60, 2);
        points.push_row(ndarray::aview1(&[90.0, 0.0])).unwrap();
        for seed in 0..10 {
            let found = kmeans(
                points.view(),
                6,
                KMeansOptions {
                    n_init: 1,
                    ..KMeansOptions::default()
                },
                &mut rng(seed),
            );
            assert_eq!(
                found.assignments.iter().collect::<HashSet<_>>().len(),
                6,
                "seed {seed}"
            );
        }
    }

    #[test]
    fn equal_points_and_few_points_are_clustered() {
        let equal = Array2::<f32>::ones((7, 3));
        let found = kmeans(equal.view(), 4, KMeansOptions::default(), &mut rng(1));
        assert_eq!((found.assignments.len(), found.inertia), (7, 0.0));
        let two = array![[0f32, 1.0], [1.0, 0.0]];
        assert!(
            kmeans(two.view(), 5, KMeansOptions::default(), &mut rng(1))
                .assignments
                .iter()
                .all(|k| *k < 2)
        );
        assert!(
            kmeans(
                Array2::<f32>::zeros((0, 3)).view(),
                4,
                KMeansOptions::default(),
                &mut rng(1)
            )
            .assignments
            .is_empty()
        );
    }

    #[test]
    fn the_number_of_threads_does_not_change_the_result() {
        let points = blobs(&[[0.0, 0.0], [1.0, 0.3], [0.2, 1.0]], 1500, 9);
        let with = |threads| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap()
                .install(|| kmeans(points.view(), 8, KMeansOptions::default(), &mut rng(4)))
        };
        assert_eq!(with(1), with(3));
    }
}
