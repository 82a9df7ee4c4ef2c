//! Agreement of k-means clusters with whales, by normalised mutual information (NMI).

use crate::gallery::labelled::LabelledEmbeddings;
use crate::kmeans::{KMeansOptions, kmeans};
use ndarray::Axis;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// NMI of whales and clusters, one cluster per named whale; unnamed photos are left out.
pub(super) fn nmi(photos: &LabelledEmbeddings, seed: u64) -> f64 {
    let (at, whales): (Vec<usize>, Vec<usize>) = (0..photos.len())
        .filter_map(|photo| Some((photo, photos.whale_of(photo)?)))
        .unzip();
    let rows = photos.rows().select(Axis(0), &at);
    // With as many centres as whales an iteration is slow, and restarts hardly matter.
    let options = KMeansOptions {
        n_init: 1,
        max_iter: 30,
        spherical: false,
    };
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let found = kmeans(rows.view(), photos.whales().len(), options, &mut random);
    mutual_information(&found.assignments, &whales)
}

/// Mutual information over the mean of the entropies, in [0, 1]; 1 if both are a single group.
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
    use super::*;
    use crate::gallery::labelled::tests::plane;

    #[test]
    fn mutual_information_worked_by_hand() {
        assert!((mutual_information(&[0, 0, 1, 1], &[5, 5, 3, 3]) - 1.0).abs() < 1e-12);
        assert!(mutual_information(&[0, 0, 1, 1], &[0, 1, 0, 1]).abs() < 1e-12);
        // a = {1,2} {3,4}, b = {1,2,3} {4}: I = 0.5 ln(4/3) + 0.25 ln(2/3) + 0.25 ln 2, H(a) = ln
        // 2, H(b) = 0.75 ln(4/3) + 0.25 ln 4.
        let (i, h) = (
            0.5 * (4f64 / 3.0).ln() + 0.25 * (2f64 / 3.0).ln() + 0.25 * 2f64.ln(),
            2f64.ln() + 0.75 * (4f64 / 3.0).ln() + 0.25 * 4f64.ln(),
        );
        assert!((mutual_information(&[0, 0, 1, 1], &[0, 0, 0, 1]) - 2.0 * i / h).abs() < 1e-12);
    }

    #[test]
    fn separated_whales_are_found_as_clusters() {
        let apart = plane(&[
            ("A", 0.0),
            ("A", 4.0),
            ("B", 120.0),
            ("B", 124.0),
            ("C", 240.0),
            ("C", 243.0),
            ("?", 60.0),
        ]);
        assert!((nmi(&apart, 1) - 1.0).abs() < 1e-9);
        let mixed = plane(&[("A", 0.0), ("B", 1.0), ("A", 180.0), ("B", 181.0)]);
        assert!(nmi(&mixed, 1) < 0.01);
    }
}
