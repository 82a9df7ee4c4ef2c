//! Clusters of embeddings against whales: k-means with a cluster for each whale, and normalised mutual information.

use super::labelled::LabelledEmbeddings;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::BTreeMap;

const MOST_ROUNDS: usize = 30;
const ROWS_A_BLOCK: usize = 256;

/// NMI of k-means clusters, one for each named whale, with the whales; photos without a name take no part.
pub fn agreement(photos: &LabelledEmbeddings, seed: u64) -> f64 {
    let (at, whales): (Vec<usize>, Vec<usize>) = (0..photos.len())
        .filter_map(|photo| Some((photo, photos.whale_of(photo)?)))
        .unzip();
    let rows = photos.rows().select(Axis(0), &at);
    mutual_information(&k_means(rows.view(), photos.whales().len(), seed), &whales)
}

/// The cluster of each row (Lloyd's k-means on Euclidean distances, begun by k-means++, Arthur & Vassilvitskii 2007).
fn k_means(rows: ArrayView2<'_, f32>, k: usize, seed: u64) -> Vec<usize> {
    let k = k.min(rows.nrows());
    if k == 0 {
        return vec![0; rows.nrows()];
    }
    let mut centres = first_centres(rows, k, seed);
    let mut clusters = vec![usize::MAX; rows.nrows()];
    for _ in 0..MOST_ROUNDS {
        let next = nearest(rows, centres.view());
        if next == clusters {
            break;
        }
        clusters = next;
        let mut sums = Array2::<f32>::zeros(centres.raw_dim());
        let mut counts = vec![0f32; k];
        for (row, &cluster) in rows.rows().into_iter().zip(&clusters) {
            sums.row_mut(cluster).scaled_add(1.0, &row);
            counts[cluster] += 1.0;
        }
        // A cluster that has lost its last row stays where it is.
        for (cluster, count) in counts.into_iter().enumerate().filter(|(_, n)| *n > 0.0) {
            centres
                .row_mut(cluster)
                .assign(&(&sums.row(cluster) / count));
        }
    }
    clusters
}

fn first_centres(rows: ArrayView2<'_, f32>, k: usize, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let squares: Array1<f32> = rows.rows().into_iter().map(|r| r.dot(&r)).collect();
    let mut centres = Array2::zeros((k, rows.ncols()));
    let mut away = vec![f32::INFINITY; rows.nrows()];
    let mut next = rng.random_range(0..rows.nrows());
    for at in 0..k {
        centres.row_mut(at).assign(&rows.row(next));
        let dots = rows.dot(&centres.row(at));
        let square = squares[next];
        for ((away, dot), own) in away.iter_mut().zip(&dots).zip(&squares) {
            *away = away.min((own + square - 2.0 * dot).max(0.0));
        }
        let total: f64 = away.iter().map(|&d| f64::from(d)).sum();
        let mut left = rng.random::<f64>() * total;
        next = away
            .iter()
            .position(|&d| {
                left -= f64::from(d);
                left < 0.0
            })
            .unwrap_or_else(|| rng.random_range(0..rows.nrows()));
    }
    centres
}

fn nearest(rows: ArrayView2<'_, f32>, centres: ArrayView2<'_, f32>) -> Vec<usize> {
    let halves: Array1<f32> = centres
        .rows()
        .into_iter()
        .map(|c| c.dot(&c) / 2.0)
        .collect();
    let blocks: Vec<_> = rows.axis_chunks_iter(Axis(0), ROWS_A_BLOCK).collect();
    let found: Vec<Vec<usize>> = blocks
        .into_par_iter()
        .map(|block| {
            // The nearest centre has the largest x·c - c·c / 2.
            let near = block.dot(&centres.t()) - &halves;
            near.rows()
                .into_iter()
                .map(|row| {
                    let mut best = 0;
                    for (at, value) in row.iter().enumerate() {
                        if *value > row[best] {
                            best = at;
                        }
                    }
                    best
                })
                .collect()
        })
        .collect();
    found.into_iter().flatten().collect()
}

/// Mutual information of two labellings over the mean of their entropies, in 0..=1; 1 where both are a single group.
fn mutual_information(a: &[usize], b: &[usize]) -> f64 {
    let total = a.len() as f64;
    let (mut in_a, mut in_b, mut in_both) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for (&x, &y) in a.iter().zip(b) {
        *in_a.entry(x).or_insert(0.0) += 1.0;
        *in_b.entry(y).or_insert(0.0) += 1.0;
        *in_both.entry((x, y)).or_insert(0.0) += 1.0;
    }
    let entropy = |counts: &BTreeMap<usize, f64>| -> f64 {
        counts
            .values()
            .map(|n| -(n / total) * (n / total).ln())
            .sum()
    };
    let entropies = entropy(&in_a) + entropy(&in_b);
    if entropies <= 0.0 {
        return 1.0;
    }
    let shared: f64 = in_both
        .iter()
        .map(|((x, y), n): (&(usize, usize), &f64)| {
            n / total * (n * total / (in_a[x] * in_b[y])).ln()
        })
        .sum();
    (2.0 * shared / entropies).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::super::labelled::tests::plane;
    use super::*;

    #[test]
    fn mutual_information_worked_by_hand() {
        assert!((mutual_information(&[0, 0, 1, 1], &[5, 5, 3, 3]) - 1.0).abs() < 1e-12);
        assert!(mutual_information(&[0, 0, 1, 1], &[0, 1, 0, 1]).abs() < 1e-12);
        // a = {1,2} {3,4}, b = {1,2,3} {4}: I = 0.5 ln(4/3) + 0.25 ln(2/3) + 0.25 ln 2, H(a) = ln 2,
        // H(b) = 0.75 ln(4/3) + 0.25 ln 4.
        let (i, h) = (
            0.5 * (4f64 / 3.0).ln() + 0.25 * (2f64 / 3.0).ln() + 0.25 * 2f64.ln(),
            2f64.ln() + 0.75 * (4f64 / 3.0).ln() + 0.25 * 4f64.ln(),
        );
        assert!((mutual_information(&[0, 0, 1, 1], &[0, 0, 0, 1]) - 2.0 * i / h).abs() < 1e-12);
    }

    #[test]
    fn whales_that_lie_apart_are_found_as_clusters() {
        let apart = plane(&[
            ("A", 0.0),
            ("A", 4.0),
            ("B", 120.0),
            ("B", 124.0),
            ("C", 240.0),
            ("C", 243.0),
            ("?", 60.0),
        ]);
        assert!((agreement(&apart, 1) - 1.0).abs() < 1e-9);
        let mixed = plane(&[("A", 0.0), ("B", 1.0), ("A", 180.0), ("B", 181.0)]);
        assert!(agreement(&mixed, 1) < 0.01);
    }
}
