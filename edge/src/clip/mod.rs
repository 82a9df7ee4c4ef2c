//! Clips: the camera's own encoded frames from some seconds before an encounter to some seconds after.
//!
//! A [`ClipTap`] at each camera keeps the last seconds of its frames in memory, as the camera sent them,
//! and hands them to the [`ClipWriter`] while a fluke is in view. The writer makes a video that players
//! open, with a description beside it. Encounters at the same time share a clip.
//!
//! Cameras and videos that send JPEG images have clips, as AVI, and IP cameras, as Matroska; pixels of others
//! would have to be encoded first.

mod avi_writer;
mod clip_file;
mod clip_video;
mod folder;
mod ring;
mod tap;
mod writer;

pub use clip_file::{ClipDescription, ClipError};
pub use folder::{Clip, ClipFolder, ClipLimits};
pub use tap::{ClipSettings, ClipTap};
pub use writer::{ClipEvent, ClipWriter};
