//! The part `golden`: the model's embeddings of drawn flukes, computed where the bundle was made:
//! `[IMAGES, dimension] f32`, little-endian, row by row, each of length 1.

use super::BundleError;
use crate::embedding::Embedding;
use std::path::Path;

pub(super) fn to_bytes(golden: &[Embedding]) -> Vec<u8> {
    let numbers = golden.iter().flat_map(|e| e.as_slice());
    numbers.flat_map(|v| v.to_le_bytes()).collect()
}

/// Reads embeddings of `dimension` numbers.
pub(super) fn from_bytes(
    path: &Path,
    bytes: &[u8],
    dimension: usize,
) -> Result<Vec<Embedding>, BundleError> {
    let bad = |why: String| BundleError::Part {
        path: path.into(),
        part: super::manifest::GOLDEN.into(),
        why,
    };
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || dimension == 0 || !numbers.len().is_multiple_of(dimension) {
        return Err(bad(format!(
            "{} bytes are not a whole number of rows of {dimension} numbers",
            bytes.len()
        )));
    }
    let rows = numbers.chunks_exact(dimension);
    rows.map(|row| {
        Embedding::normalised(row.iter().map(|b| f32::from_le_bytes(*b)).collect())
            .map_err(|e| bad(e.to_string()))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_round_trip_and_other_bytes_are_rejected() {
        let golden = [[0.6f32, 0.8], [1.0, 0.0]];
        let golden = golden.map(|row| Embedding::normalised(row.to_vec()).unwrap());
        let bytes = to_bytes(&golden);
        assert_eq!(bytes.len(), 16);
        let read = |bytes: &[u8], dimension| from_bytes(Path::new("b"), bytes, dimension);
        assert_eq!(read(&bytes, 2).unwrap(), golden);
        assert_eq!(read(&[], 2).unwrap(), []);
        for (bytes, dimension) in [(&bytes[..15], 2), (&bytes[..12], 2), (&bytes[..], 0)] {
            let said = read(bytes, dimension).unwrap_err().to_string();
            assert!(said.contains("golden"), "{said}");
        }
        assert!(read(&[0; 8], 2).is_err(), "no direction");
        let none = f32::NAN.to_le_bytes();
        assert!(read(&[none, none].concat(), 2).is_err());
    }
}
