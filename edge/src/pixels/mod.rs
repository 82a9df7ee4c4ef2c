//! From a camera's bytes to pixels.
//!
//! [`convert`] reads uncompressed images, [`jpeg`] compressed ones, and [`Decoder`] is the front of
//! both and reuses memory between frames. Where the bundle's model is grey, only luma is decoded,
//! one byte per pixel. Only kept crops are expanded to RGB with equal channels, which preparation
//! turns back into the same grey.

pub mod convert;
mod decoded_image;
mod decoder;
pub mod jpeg;

pub use decoded_image::{DecodedImage, Pixels};
pub use decoder::{DecodeError, DecodedFrame, Decoder};
