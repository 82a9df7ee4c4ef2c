//! Matches whose places agree on one affine map.
//!
//! The crops of two photos of one fluke differ by a shift, a scale, a small turn and the angle of the view, which an affine map follows;
//! matches of different flukes are scattered. The map is fitted by least squares, again and again with weights that fall with the distance
//! from the map before (Holland and Welsch, 1977: iteratively reweighted least squares), ever more sharply.

/// Two locations that match.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pair {
    /// The place in the first photo, `[x, y]` in heights of the crop.
    pub(super) from: [f32; 2],
    /// The place in the other.
    pub(super) to: [f32; 2],
    /// How much the match counts, at least 0.
    pub(super) strength: f32,
}

/// The distances at which weights have fallen to exp(-1/2), round by round, in heights of the crop.
const DISTANCES: [f32; 3] = [0.35, 0.2, 0.12];
/// Pulls the map towards no change, so that few matches do not turn it over: this share of the strength of all pairs, spread over the
/// crop.
const STIFFNESS: f64 = 0.005;

/// The strength of `pairs`, each multiplied by how well it agrees with the map that all fit to best.
pub(super) fn agreeing(pairs: &[Pair]) -> f32 {
    let mut weights: Vec<f32> = pairs.iter().map(|pair| pair.strength).collect();
    for distance in DISTANCES {
        let Some(map) = Affine::fit(pairs, &weights) else {
            return 0.0;
        };
        for (pair, weight) in pairs.iter().zip(&mut weights) {
            let apart = map.apart(pair);
            *weight = pair.strength * (-apart / (2.0 * distance * distance)).exp();
        }
    }
    weights.iter().sum()
}

/// `to = from + offset + slope * (from - middle)`.
struct Affine {
    middle: [f64; 2],
    /// For each coordinate of `to`: offset, and slope along x and y.
    moves: [[f64; 3]; 2],
}

impl Affine {
    /// The weighted least-squares map; `None` without weight.
    fn fit(pairs: &[Pair], weights: &[f32]) -> Option<Self> {
        let weighted = || {
            let both = pairs.iter().zip(weights);
            both.map(|(pair, &weight)| {
                (
                    pair.from.map(f64::from),
                    pair.to.map(f64::from),
                    f64::from(weight),
                )
            })
        };
        let total: f64 = weighted().map(|(_, _, weight)| weight).sum();
        if total <= f64::MIN_POSITIVE {
            return None;
        }
        let middle =
            [0, 1].map(|axis| weighted().map(|(from, _, w)| w * from[axis]).sum::<f64>() / total);
        // Normal equations of `to - from = offset + slope * (from - middle)`: the offset separates, since the middle is weighted.
        let mut squares = [STIFFNESS * total, 0.0, STIFFNESS * total];
        let mut products = [[0f64; 3]; 2];
        for (from, to, weight) in weighted() {
            let [x, y] = [from[0] - middle[0], from[1] - middle[1]];
            squares[0] += weight * x * x;
            squares[1] += weight * x * y;
            squares[2] += weight * y * y;
            for axis in [0, 1] {
                let moved = to[axis] - from[axis];
                products[axis][0] += weight * moved;
                products[axis][1] += weight * x * moved;
                products[axis][2] += weight * y * moved;
            }
        }
        let [xx, xy, yy] = squares;
        let determinant = xx * yy - xy * xy;
        let moves = products.map(|[offset, x, y]| {
            [
                offset / total,
                (yy * x - xy * y) / determinant,
                (xx * y - xy * x) / determinant,
            ]
        });
        Some(Self { middle, moves })
    }

    /// The squared distance of a pair from the map.
    fn apart(&self, pair: &Pair) -> f32 {
        let from = pair.from.map(f64::from);
        let [x, y] = [from[0] - self.middle[0], from[1] - self.middle[1]];
        let squared = [0, 1].map(|axis| {
            let [offset, along_x, along_y] = self.moves[axis];
            let expected = from[axis] + offset + along_x * x + along_y * y;
            (f64::from(pair.to[axis]) - expected).powi(2)
        });
        (squared[0] + squared[1]) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of a grid of 2 x 1, moved by `to`.
    fn pairs(to: impl Fn([f32; 2]) -> [f32; 2]) -> Vec<Pair> {
        let places = (0..40).map(|i| [(i % 8) as f32 / 4.0, (i / 8) as f32 / 5.0]);
        let pair = |from| Pair {
            from,
            to: to(from),
            strength: 0.025,
        };
        places.map(pair).collect()
    }

    #[test]
    fn pairs_of_one_map_agree() {
        assert!((agreeing(&pairs(|p| p)) - 1.0).abs() < 1e-6);
        let shifted = agreeing(&pairs(|[x, y]| [x + 0.2, y - 0.1]));
        assert!((shifted - 1.0).abs() < 1e-6, "{shifted}");
        // A turn of 0.1 and a scale of 1.1, which the stiffness follows but for little.
        let turned = agreeing(&pairs(|[x, y]| [1.1 * x - 0.1 * y, 0.1 * x + 1.1 * y]));
        assert!(turned > 0.98, "{turned}");
    }

    #[test]
    fn scattered_pairs_do_not() {
        let mut scattered = pairs(|p| p);
        for (number, pair) in scattered.iter_mut().enumerate() {
            let angle = number as f32 * 2.4;
            pair.to = [
                pair.from[0] + 0.3 * angle.cos(),
                pair.from[1] + 0.3 * angle.sin(),
            ];
        }
        let found = agreeing(&scattered);
        assert!(found < 0.2, "{found}");
        // One in five off its place does not turn the map.
        let mut mostly = pairs(|p| p);
        mostly
            .iter_mut()
            .step_by(5)
            .for_each(|pair| pair.to[1] += 0.6);
        let found = agreeing(&mostly);
        assert!((found - 0.8).abs() < 0.05, "{found}");
    }

    #[test]
    fn too_few_pairs_are_no_error() {
        assert_eq!(agreeing(&[]), 0.0);
        let one = pairs(|p| p)[0];
        assert!((agreeing(&[one]) - one.strength).abs() < 1e-6);
        let nothing = Pair {
            strength: 0.0,
            ..one
        };
        assert_eq!(agreeing(&[nothing, nothing]), 0.0);
    }
}
