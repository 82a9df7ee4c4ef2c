//! Assigns detections to tracks at the least total cost.
//!
//! Usually the cheapest detections of all tracks are different, and no memory is allocated. Only where
//! two tracks prefer the same one the Hungarian algorithm decides.

use pathfinding::kuhn_munkres::kuhn_munkres_min;
use pathfinding::matrix::Matrix;

/// The most tracks that are followed at once; detections beyond them are ignored.
pub const MAX_TRACKS: usize = 16;
/// The most detections of a frame that are considered; those with the best scores.
pub(super) const MAX_DETECTIONS: usize = 32;
/// The cost of a track without a detection: more than that of any allowed detection.
const UNASSIGNED_COST: f64 = 2.0;
/// Scale of the costs, which are compared as integers.
const COST_SCALE: f64 = 1e6;
/// The cost of a forbidden detection: more than that of all tracks without one.
const FORBIDDEN_COST: i64 = 1_000_000_000;

/// The cost of each detection for each track; `None` where it is forbidden.
pub(super) type Costs = [[Option<f64>; MAX_DETECTIONS]; MAX_TRACKS];

/// Assigns one of the first `detections` detections, or none, to each of the first `tracks` tracks.
pub(super) fn assign(
    costs: &Costs,
    tracks: usize,
    detections: usize,
) -> [Option<usize>; MAX_TRACKS] {
    let mut chosen = [None; MAX_TRACKS];
    let mut taken = [false; MAX_DETECTIONS];
    let mut contended = false;
    for (row, chosen) in costs.iter().zip(&mut chosen).take(tracks) {
        let cheapest = row.iter().take(detections).enumerate();
        let cheapest = cheapest.filter_map(|(number, cost)| Some((number, (*cost)?)));
        let cheapest = cheapest.min_by(|a, b| a.1.total_cmp(&b.1));
        *chosen = cheapest.map(|(number, _)| number);
        if let Some(taken) = chosen.and_then(|number| taken.get_mut(number)) {
            contended |= *taken;
            *taken = true;
        }
    }
    if contended {
        assign_optimally(costs, tracks, detections, &mut chosen);
    }
    chosen
}

fn assign_optimally(
    costs: &Costs,
    tracks: usize,
    detections: usize,
    chosen: &mut [Option<usize>; MAX_TRACKS],
) {
    // After the detections, one column per track stands for no detection.
    let cost = |track: usize, column: usize| {
        if column >= detections {
            return (UNASSIGNED_COST * COST_SCALE) as i64;
        }
        let cost = costs.get(track).and_then(|row| row.get(column)).copied();
        cost.flatten()
            .map_or(FORBIDDEN_COST, |c| (c * COST_SCALE).round() as i64)
    };
    let columns = detections + tracks;
    let matrix = Matrix::from_fn(tracks, columns, |(track, column)| cost(track, column));
    let (_, columns) = kuhn_munkres_min(&matrix);
    for (chosen, column) in chosen.iter_mut().zip(columns) {
        *chosen = (column < detections).then_some(column);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(rows: &[&[Option<f64>]]) -> (Costs, usize, usize) {
        let mut costs = [[None; MAX_DETECTIONS]; MAX_TRACKS];
        for (into, from) in costs.iter_mut().zip(rows) {
            into[..from.len()].copy_from_slice(from);
        }
        (costs, rows.len(), rows[0].len())
    }

    fn of(rows: &[&[Option<f64>]]) -> Vec<Option<usize>> {
        let (costs, tracks, detections) = costs(rows);
        assign(&costs, tracks, detections)[..tracks].to_vec()
    }

    #[test]
    fn uncontended_detections_are_assigned() {
        let got = of(&[&[Some(0.1), None], &[None, None], &[Some(0.9), Some(0.2)]]);
        assert_eq!(got, [Some(0), None, Some(1)]);
    }

    #[test]
    fn the_total_cost_decides_a_contention() {
        // 0.1 for the first leaves 1.2 for the second; the other way round the total is 0.5.
        let got = of(&[&[Some(0.1), Some(0.3)], &[Some(0.2), Some(1.2)]]);
        assert_eq!(got, [Some(1), Some(0)]);
    }

    #[test]
    fn one_detection_goes_to_the_better_track() {
        assert_eq!(of(&[&[Some(0.3)], &[Some(0.2)]]), [None, Some(0)]);
    }

    #[test]
    fn forbidden_detections_are_not_assigned() {
        let got = of(&[&[Some(0.1), None], &[Some(0.2), None]]);
        assert_eq!(got, [Some(0), None]);
    }
}
