//! From a camera's bytes to the pixels that encounters are cut from.
//!
//! [`convert`] knows how cameras and films lay out brightness and colour, [`jpeg`] decodes what is compressed, and [`Developer`]
//! puts both behind one call and keeps the memory between frames. Where the bundle's model is grey, only brightness is decoded, a byte
//! a pixel; only of the crops that are kept colours are made, all three the same, and preparation makes of them the very grey that it would make of the colours.

pub mod convert;
mod developer;
pub mod jpeg;
mod photo;

pub use convert::{Layout, PixelError, Range, Shape};
pub use developer::{Developer, PictureError};
pub use photo::{Photo, Pixels};
