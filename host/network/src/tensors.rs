//! Tensors as they are read from and written to files.

use std::collections::BTreeMap;

/// A tensor of floats on the CPU.
#[derive(Clone, Debug, PartialEq)]
pub struct Values {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The numbers, row-major.
    pub data: Vec<f32>,
}

/// Tensors by name.
pub type Weights = BTreeMap<String, Values>;
