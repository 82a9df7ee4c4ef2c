//! The video of a clip: MJPEG in AVI, and streams in Matroska.

use super::avi_writer::AviWriter;
use super::clip_file::ClipError;
use crate::encoded_frame::{EncodedFrame, FrameEncoding, StreamFormat};
use crate::matroska::Writer;
use image::{ImageFormat, ImageReader};
use std::fs::File;
use std::io::{self, BufWriter, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest video of a stream, in bytes: as large as one of JPEG images.
const MAX_BYTES: u64 = 1 << 30;

/// The ends of the names of videos.
pub(super) const EXTENSIONS: [&str; 2] = ["avi", "mkv"];

/// A video that is being written.
pub(super) struct ClipVideo {
    path: PathBuf,
    /// Width and height in pixels.
    pub(super) size: (u32, u32),
    container: Container,
}

enum Container {
    Avi(AviWriter<BufWriter<File>>),
    Matroska {
        writer: Writer<BufWriter<File>>,
        format: Arc<StreamFormat>,
        bytes: u64,
    },
}

/// The end of the name of a video that begins with `first`.
pub(super) fn extension(first: &EncodedFrame) -> &'static str {
    let [avi, mkv] = EXTENSIONS;
    match first.encoding {
        FrameEncoding::Jpeg => avi,
        FrameEncoding::Stream { .. } => mkv,
    }
}

impl ClipVideo {
    /// Begins a video at `path`, in the encoding of `first`.
    ///
    /// # Errors
    /// When it cannot be written, or `first` is not what it claims to be.
    pub(super) fn begin(path: PathBuf, first: &EncodedFrame) -> Result<Self, ClipError> {
        let create = || File::create(&path).map(BufWriter::new);
        let failed = ClipError::file(&path);
        let (size, container) = match &first.encoding {
            FrameEncoding::Jpeg => {
                let size =
                    dimensions(&first.bytes).ok_or_else(|| ClipError::Frame(path.clone()))?;
                let file = create().map_err(&failed)?;
                let writer = AviWriter::new(file, size.0, size.1).map_err(&failed)?;
                (size, Container::Avi(writer))
            }
            FrameEncoding::Stream { format, .. } => {
                let file = create().map_err(&failed)?;
                let container = Container::Matroska {
                    writer: Writer::new(file, format).map_err(&failed)?,
                    format: format.clone(),
                    bytes: 0,
                };
                ((format.width, format.height), container)
            }
        };
        drop(failed);
        Ok(Self {
            path,
            size,
            container,
        })
    }

    /// Whether `frame` has the encoding of this video.
    pub(super) fn accepts(&self, frame: &EncodedFrame) -> bool {
        match (&self.container, &frame.encoding) {
            (Container::Avi(_), FrameEncoding::Jpeg) => true,
            (Container::Matroska { format, .. }, FrameEncoding::Stream { format: other, .. }) => {
                format == other
            }
            _ => false,
        }
    }

    /// Appends a frame that is `millis` after the first. Returns whether there was room.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn frame(&mut self, millis: i64, frame: &EncodedFrame) -> io::Result<bool> {
        match &mut self.container {
            Container::Avi(writer) => writer.frame(&frame.bytes),
            Container::Matroska { writer, bytes, .. } => {
                if *bytes > MAX_BYTES {
                    return Ok(false);
                }
                *bytes += frame.bytes.len() as u64;
                writer.frame(millis, frame.is_key(), &frame.bytes)?;
                Ok(true)
            }
        }
    }

    /// Completes the video, durably; one of JPEG images plays at `rate` frames a second.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn finish(self, rate: f64) -> io::Result<()> {
        let file = match self.container {
            Container::Avi(writer) => writer.finish(rate)?,
            Container::Matroska { writer, .. } => writer.into_stream(),
        };
        let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()
    }

    /// Where it is while it is written.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Width and height of a JPEG image, by its header.
fn dimensions(jpeg: &[u8]) -> Option<(u32, u32)> {
    let reader = ImageReader::with_format(Cursor::new(jpeg), ImageFormat::Jpeg);
    reader.into_dimensions().ok()
}
