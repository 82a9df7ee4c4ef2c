//! Embeddings quantised to one byte per number, with their quantisation errors, so that a score of
//! the codes bounds the score of the floats.

use super::kernel::{CHUNK, Chunk, LARGEST, chunks};

/// The scale of a row's codes and bounds on their quantisation error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rounding {
    /// A code times the scale is the number that the code stands for.
    pub(crate) scale: f32,
    /// An upper bound on the length of the difference between the row and its dequantised codes.
    pub(crate) error: f32,
    /// An upper bound on the length of the dequantised codes.
    pub(crate) length: f32,
}

/// Appends the codes of `row` to `codes`, padded to whole chunks.
pub(crate) fn append(row: &[f32], codes: &mut Vec<Chunk>) -> Rounding {
    let peak = row.iter().fold(0f32, |m, v| m.max(v.abs()));
    let scale = peak / f32::from(LARGEST);
    let (mut error, mut length) = (0f64, 0f64);
    let start = codes.len();
    codes.resize(start + chunks(row.len()), Chunk([0; CHUNK]));
    for (numbers, chunk) in row.chunks(CHUNK).zip(&mut codes[start..]) {
        for (&number, code) in numbers.iter().zip(&mut chunk.0) {
            // If the scale underflows to 0, `as` turns NaN into the code 0.
            let nearest = (number / scale).round() as i32;
            *code = nearest.clamp(-i32::from(LARGEST), i32::from(LARGEST)) as i8;
            let stands_for = f64::from(*code) * f64::from(scale);
            error += (f64::from(number) - stands_for).powi(2);
            length += stands_for.powi(2);
        }
    }
    Rounding {
        scale,
        error: above(error.sqrt()),
        length: above(length.sqrt()),
    }
}

/// A tight upper bound on the length of `row`.
pub(crate) fn length(row: &[f32]) -> f32 {
    above(
        row.iter()
            .map(|&v| f64::from(v).powi(2))
            .sum::<f64>()
            .sqrt(),
    )
}

/// `value` as f32, never rounded down: the error of a sum of at most 65,536 f64 is far less than a
/// millionth. A length beyond the range of f32 becomes the largest f32, which is enough for the
/// search.
fn above(value: f64) -> f32 {
    let value = value * (1.0 + 1e-6);
    if value > f64::from(f32::MAX) {
        f32::MAX
    } else {
        value as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stands_for(codes: &[Chunk], scale: f32) -> impl Iterator<Item = f64> {
        codes
            .iter()
            .flat_map(|c| c.0)
            .map(move |c| f64::from(c) * f64::from(scale))
    }

    proptest! {
        #[test]
        fn quantisation_errors_are_within_their_bounds(row in proptest::collection::vec(-1f32..1.0, 1..200)) {
            let mut codes = vec![];
            let rounding = append(&row, &mut codes);
            prop_assert_eq!(codes.len(), row.len().div_ceil(CHUNK));
            let back: Vec<f64> = stands_for(&codes, rounding.scale).collect();
            prop_assert!(back[row.len()..].iter().all(|v| *v == 0.0));
            let off = row.iter().zip(&back).map(|(r, b)| (f64::from(*r) - b).powi(2)).sum::<f64>().sqrt();
            let long = back.iter().map(|b| b * b).sum::<f64>().sqrt();
            prop_assert!(off <= f64::from(rounding.error));
            prop_assert!(long <= f64::from(rounding.length));
            // The bound is tight: at most half a step per number.
            prop_assert!(off <= f64::from(rounding.scale) * 0.51 * (row.len() as f64).sqrt());
        }
    }

    #[test]
    fn rows_without_a_direction_get_codes_too() {
        for row in [[0.0; 3], [f32::MIN_POSITIVE / 8.0; 3]] {
            let mut codes = vec![];
            let rounding = append(&row, &mut codes);
            assert!(rounding.error.is_finite() && rounding.length.is_finite());
        }
        let mut codes = vec![];
        append(&[f32::NAN, 1.0, f32::INFINITY], &mut codes);
        assert_eq!(codes.len(), 1);
    }
}
