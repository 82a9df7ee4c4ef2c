//! The embedding: a photo as a point on the unit sphere, close to the other photos of the same
//! whale.

use serde::{Deserialize, Serialize};

/// The error of numbers that are not an embedding.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EmbeddingError {
    /// The embedding is empty.
    #[error("the embedding is empty")]
    Empty,
    /// A number is NaN or infinite: the model or its input is faulty.
    #[error("the embedding holds a number that is not finite (position {0})")]
    NotFinite(usize),
    /// All numbers are zero, so there is no direction.
    #[error("the embedding is zero everywhere and has no direction")]
    Zero,
}

/// `[D] f32`, L2-normalised; a dot product of two is their cosine.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Normalises `values` to length 1.
    ///
    /// # Errors
    /// When they are empty, not finite, or all zero.
    pub fn normalised(mut values: Vec<f32>) -> Result<Self, EmbeddingError> {
        if values.is_empty() {
            return Err(EmbeddingError::Empty);
        }
        if let Some(at) = values.iter().position(|v| !v.is_finite()) {
            return Err(EmbeddingError::NotFinite(at));
        }
        let norm = values
            .iter()
            .map(|&v| f64::from(v) * f64::from(v))
            .sum::<f64>()
            .sqrt();
        if norm < 1e-12 {
            return Err(EmbeddingError::Zero);
        }
        for v in &mut values {
            *v = (f64::from(*v) / norm) as f32;
        }
        Ok(Self(values))
    }

    /// Several views of one photo as one embedding: concatenated and divided by the square root of their number, so that a dot
    /// product is the mean of the views' cosines.
    ///
    /// # Errors
    /// When there is no view.
    pub fn of_views(views: &[Embedding]) -> Result<Self, EmbeddingError> {
        if views.is_empty() {
            return Err(EmbeddingError::Empty);
        }
        Self::normalised(views.iter().flat_map(|v| v.0.iter().copied()).collect())
    }

    /// The numbers, `[D] f32`.
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// The dimension, `D`.
    pub fn dimension(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle between two embeddings of the same dimension, in -1..=1.
    pub fn cosine(&self, other: &Self) -> f32 {
        debug_assert_eq!(self.0.len(), other.0.len());
        dot(&self.0, &other.0)
    }

    /// Quantised for the wire: one signed byte per number.
    pub fn compact(&self) -> CompactEmbedding {
        let peak = self.0.iter().fold(0f32, |m, v| m.max(v.abs()));
        let scale = peak / 127.0;
        CompactEmbedding {
            scale,
            values: self.0.iter().map(|v| (v / scale).round() as i8).collect(),
        }
    }
}

/// An embedding at one byte per number, as it is sent in a sighting.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompactEmbedding {
    /// The value of one quantisation step.
    pub scale: f32,
    /// The quantised numbers, `[D] i8`.
    pub values: Vec<i8>,
}

impl CompactEmbedding {
    /// No numbers, of an encounter that is not identified.
    pub const NONE: Self = Self {
        scale: 0.0,
        values: vec![],
    };

    /// Back to floats, normalised.
    ///
    /// # Errors
    /// When the numbers are not an embedding.
    pub fn expand(&self) -> Result<Embedding, EmbeddingError> {
        Embedding::normalised(
            self.values
                .iter()
                .map(|&v| f32::from(v) * self.scale)
                .collect(),
        )
    }
}

/// The dot product of two equally long slices, in eight lanes that the compiler turns into vector instructions.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a8, a_rest) = a.as_chunks::<8>();
    let (b8, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0f32; 8];
    for (x, y) in a8.iter().zip(b8) {
        for i in 0..8 {
            lanes[i] += x[i] * y[i];
        }
    }
    lanes.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_product_is_a_cosine() {
        let a = Embedding::normalised(vec![3.0, 4.0]).unwrap();
        let b = Embedding::normalised(vec![4.0, 3.0]).unwrap();
        assert!((a.cosine(&b) - 0.96).abs() < 1e-6);
        assert!((a.cosine(&a) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn views_average_their_cosines() {
        let e = |v: [f32; 2]| Embedding::normalised(v.to_vec()).unwrap();
        let (a1, a2, b1, b2) = (e([1.0, 0.0]), e([0.6, 0.8]), e([0.8, 0.6]), e([0.0, 1.0]));
        let a = Embedding::of_views(&[a1.clone(), a2.clone()]).unwrap();
        let b = Embedding::of_views(&[b1.clone(), b2.clone()]).unwrap();
        assert!((a.cosine(&b) - (a1.cosine(&b1) + a2.cosine(&b2)) / 2.0).abs() < 1e-6);
    }

    #[test]
    fn numbers_without_a_direction_are_rejected() {
        assert_eq!(Embedding::normalised(vec![]), Err(EmbeddingError::Empty));
        assert_eq!(
            Embedding::normalised(vec![0.0; 4]),
            Err(EmbeddingError::Zero)
        );
        assert_eq!(
            Embedding::normalised(vec![1.0, f32::NAN]),
            Err(EmbeddingError::NotFinite(1))
        );
    }

    #[test]
    fn a_compact_embedding_keeps_its_direction() {
        let values = (0..515)
            .map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0)
            .collect();
        let e = Embedding::normalised(values).unwrap();
        assert!(e.compact().expand().unwrap().cosine(&e) > 0.9999);
    }
}
