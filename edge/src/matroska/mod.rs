//! Matroska, as far as streams of one video track need it (RFC 9559; EBML is RFC 8794).
//!
//! An IP camera's encoded frames are kept in it, and are sent to GStreamer and come back as images in it:
//! unlike Y4M it carries the time of each frame.

mod element;
mod reader;
mod writer;

pub use reader::{Block, Reader};
pub(crate) use writer::Writer;

#[cfg(test)]
mod tests;
