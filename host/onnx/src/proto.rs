//! ONNX protobufs: [`build`] makes them, [`read`] takes them apart.

pub mod build;
pub mod read;
