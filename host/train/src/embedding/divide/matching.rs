//! New clusters get the numbers of the old ones with which they share most photos, so that each learner
//! keeps its data.
//!
//! A linear assignment (Kuhn 1955) over the table of shared photos. The paper's code applies the
//! permutation transposed, which is right for swaps and wrong for longer cycles.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// Renumbers `after` so that as many photos as possible keep their cluster of `before`. Both `[N]`,
/// below `clusters`.
pub(super) fn matched(before: &[usize], after: &[usize], clusters: usize) -> Vec<usize> {
    let mut shared = Matrix::new(clusters, clusters, 0i64);
    for (&old, &new) in before.iter().zip(after) {
        // Rows are new clusters, columns old ones.
        shared[(new, old)] += 1;
    }
    let (_, old_of_new) = kuhn_munkres(&shared);
    after.iter().map(|&new| old_of_new[new]).collect()
}

/// The fraction of photos whose cluster differs.
pub(super) fn moved(before: &[usize], after: &[usize]) -> f64 {
    let differing = before.iter().zip(after).filter(|(b, a)| b != a).count();
    differing as f64 / before.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cycle_of_four_is_undone() {
        let before: Vec<usize> = (0..40).map(|i| i % 4).collect();
        let after: Vec<usize> = before.iter().map(|k| (k + 1) % 4).collect();
        assert_eq!(matched(&before, &after, 4), before);
    }

    #[test]
    fn a_new_cluster_takes_the_number_left_over() {
        // Old 0 was split; the larger part keeps 0, the smaller takes the number of old 2, which
        // has disappeared.
        let before = [0, 0, 0, 0, 0, 1, 1];
        let after = [1, 1, 1, 0, 0, 2, 2];
        assert_eq!(matched(&before, &after, 3), [0, 0, 0, 2, 2, 1, 1]);
        assert!((moved(&before, &matched(&before, &after, 3)) - 2.0 / 7.0).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn any_permutation_is_undone(
            before in proptest::collection::vec(0usize..7, 1..200),
            order in Just((0..7).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let after: Vec<usize> = before.iter().map(|&k| order[k]).collect();
            prop_assert_eq!(matched(&before, &after, 7), before);
        }

        /// No renumbering keeps more photos: against every permutation of four.
        #[test]
        fn no_other_numbers_keep_more(
            pairs in proptest::collection::vec((0usize..4, 0usize..4), 1..60),
        ) {
            let (before, after): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let kept = |order: &[usize; 4]| before.iter().zip(&after).filter(|(b, a)| **b == order[**a]).count();
            let mut most = 0;
            for a in 0..4 { for b in 0..4 { for c in 0..4 { for d in 0..4 {
                let order = [a, b, c, d];
                if (0..4).all(|k| order.contains(&k)) {
                    most = most.max(kept(&order));
                }
            }}}}
            let ours = matched(&before, &after, 4);
            prop_assert_eq!(before.iter().zip(&ours).filter(|(b, o)| b == o).count(), most);
        }
    }
}
