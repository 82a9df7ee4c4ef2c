//! Sources of frames: live cameras, recorded video and image files.

mod cameras;
mod frame_source;
mod image_files;
mod image_list;
mod live;
mod pacer;
mod replay;
mod video_file;

pub use cameras::{CameraFeed, Cameras, FeedSource, StartSource};
pub use frame_source::{FrameSource, SourceError, SourceEvent};
pub use image_files::ImageFiles;
pub use live::{LiveCamera, LiveDependencies, LiveSettings};
pub use pacer::{Pacer, RealTime, Unpaced};
pub use replay::{Replay, ReplaySettings};
pub use video_file::VideoFile;
