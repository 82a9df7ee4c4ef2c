//! Which box goes to which track, so that the costs together are least.
//!
//! As a rule each track's cheapest box is nobody else's; then nothing is to be decided and no memory is taken. Only where two tracks want one
//! box the Hungarian algorithm decides.

use super::tracker::{MAX_BOXES, MAX_TRACKS};
use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;

/// The cost of a track without a box: more than any box costs that it may have.
const NONE: f64 = 2.0;
/// Costs are compared as whole numbers of so many to one.
const STEPS: f64 = 1e6;
/// The cost of a box that a track may not have: more than all tracks without a box together.
const NEVER: i64 = 1_000_000_000;

/// What each box costs each track; `None` where it may not have it.
pub(super) type Costs = [[Option<f64>; MAX_BOXES]; MAX_TRACKS];

/// The box of each of the first `tracks` tracks, of the first `boxes` boxes.
pub(super) fn assign(costs: &Costs, tracks: usize, boxes: usize) -> [Option<usize>; MAX_TRACKS] {
    let mut chosen = [None; MAX_TRACKS];
    let mut taken = [false; MAX_BOXES];
    let mut contended = false;
    for (row, chosen) in costs.iter().zip(&mut chosen).take(tracks) {
        let cheapest = row.iter().take(boxes).enumerate();
        let cheapest = cheapest.filter_map(|(number, cost)| Some((number, (*cost)?)));
        let cheapest = cheapest.min_by(|a, b| a.1.total_cmp(&b.1));
        *chosen = cheapest.map(|(number, _)| number);
        if let Some(taken) = chosen.and_then(|number| taken.get_mut(number)) {
            contended |= *taken;
            *taken = true;
        }
    }
    if contended {
        decide(costs, tracks, boxes, &mut chosen);
    }
    chosen
}

fn decide(costs: &Costs, tracks: usize, boxes: usize, chosen: &mut [Option<usize>; MAX_TRACKS]) {
    // Behind the boxes stands a place for each track that gets none.
    let cost = |track: usize, column: usize| {
        if column >= boxes {
            return (NONE * STEPS) as i64;
        }
        let cost = costs.get(track).and_then(|row| row.get(column)).copied();
        cost.flatten().map_or(NEVER, |c| (c * STEPS).round() as i64)
    };
    let columns = boxes + tracks;
    let matrix = Matrix::from_fn(tracks, columns, |(track, column)| cost(track, column));
    let (_, columns) = kuhn_munkres_min(&matrix);
    for (chosen, column) in chosen.iter_mut().zip(columns) {
        *chosen = (column < boxes).then_some(column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(rows: &[&[Option<f64>]]) -> (Costs, usize, usize) {
        let mut costs = [[None; MAX_BOXES]; MAX_TRACKS];
        for (into, from) in costs.iter_mut().zip(rows) {
            into[..from.len()].copy_from_slice(from);
        }
        (costs, rows.len(), rows[0].len())
    }

    fn of(rows: &[&[Option<f64>]]) -> Vec<Option<usize>> {
        let (costs, tracks, boxes) = costs(rows);
        assign(&costs, tracks, boxes)[..tracks].to_vec()
    }

    #[test]
    fn who_wants_what_nobody_else_wants_gets_it() {
        let got = of(&[&[Some(0.1), None], &[None, None], &[Some(0.9), Some(0.2)]]);
        assert_eq!(got, [Some(0), None, Some(1)]);
    }

    #[test]
    fn the_sum_counts_where_two_want_the_same() {
        // The first would take box 0 for 0.1, which leaves the second 1.2; the other way round both together pay 0.5.
        let got = of(&[&[Some(0.1), Some(0.3)], &[Some(0.2), Some(1.2)]]);
        assert_eq!(got, [Some(1), Some(0)]);
    }

    #[test]
    fn one_box_goes_to_the_one_that_it_fits_better() {
        assert_eq!(of(&[&[Some(0.3)], &[Some(0.2)]]), [None, Some(0)]);
    }

    #[test]
    fn what_may_not_be_is_not() {
        let got = of(&[&[Some(0.1), None], &[Some(0.2), None]]);
        assert_eq!(got, [Some(0), None]);
    }
}
