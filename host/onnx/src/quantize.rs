//! Quantises any float ONNX embedding model to int8: from [`crate::export`] or from another
//! exporter.
//!
//! Reading checks the file, computes what depends on constants only, converts it to opset 17 and folds batch norms; [`FloatGraph`] then
//! contains its layers. [`ranges`] measures activations on images, [`gptq`] rounds the weights of a
//! layer jointly instead of each to the nearest, and [`FloatGraph::encode_quantised`] writes the
//! model.

mod error;
mod external;
#[cfg(test)]
pub(crate) mod fixtures;
mod float_graph;
mod fold_constants;
mod fold_norms;
mod gptq;
mod guarded;
pub(crate) mod histogram;
mod images;
mod int8;
mod layers;
pub(crate) mod observe;
mod opset;
mod ranges;
mod read;
mod simplify;
mod static_shapes;

pub use error::{ImageError, QuantizeError};
pub use float_graph::{FloatGraph, Quantisation, Ranges};
pub use fold_norms::FoldedNorms;
pub use gptq::{GptqLayer, gptq};
pub use images::{Images, Tick};
pub use int8::quantise_rows;
pub(crate) use int8::{quantise_activation, quantise_weight};
pub use layers::Layer;
pub use ranges::{range_ticks, ranges};
