//! Any float ONNX embedding model to int8, for `flukewatch quantize`: from `flukewatch export --float` or from another exporter.
//!
//! [`read`] takes the file and refuses what cannot be done, [`opset`] brings it to opset 17, [`fold`] folds normalisations, and
//! [`float_graph`] finds the layers. On that, [`calibrate`] measures how large activations become on photos, [`equalise`] and [`correct`]
//! change the float weights so that rounding costs less, [`round`] rounds them by what they are multiplied with, [`sensitivity`] says what each layer costs, and [`compare`] measures the end.
//! How a range is chosen and how a tensor is rounded is [`crate::export`]'s.

mod arguments;
pub mod calibrate;
pub mod command;
pub mod compare;
pub mod constants;
pub mod correct;
pub mod equalise;
mod error;
#[cfg(test)]
mod fixtures;
pub mod float_graph;
pub mod fold;
pub mod layers;
pub mod opset;
pub mod outcome;
pub mod photos;
pub mod read;
pub mod round;
pub mod sensitivity;
mod subject;

pub use error::QuantizeError;
