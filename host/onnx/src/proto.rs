//! ONNX protobufs: [`build`] creates them, [`read`] extracts their contents.

pub mod build;
pub mod read;
