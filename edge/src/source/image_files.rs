//! Image files in place of a camera: a recorded sequence, or stills.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use super::image_list;
use super::pacer::Pacer;
use crate::frame::{Frame, FrameImage, FrameName};
use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::photo_files::{SkipReason, SkippedFiles, is_hidden, skip_reason};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::prepare;
use flukewatch_common::sidecar::{Sidecar, SidecarError};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest image file, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// Image files in order, each a frame. Frame `i`, counted from 0, was taken `i / frames_per_second`
/// after `start`.
pub struct ImageFiles {
    files: VecDeque<ImageFile>,
    next: u64,
    start: MonotonicTimestamp,
    frames_per_second: f64,
    pacer: Box<dyn Pacer>,
}

struct ImageFile {
    path: PathBuf,
    /// Those of the sidecar, if there is one.
    boxes: Option<Vec<PixelBox>>,
}

impl ImageFiles {
    /// Opens the photos of the folder `path`, known by their content, in the order of their names, or those
    /// of a text file with one path per line, relative to its folder. Empty lines and lines that
    /// start with `#` are ignored. Sidecars are read here, so that a malformed one is found before the replay.
    ///
    /// # Errors
    /// When `path`, a listed image or a sidecar cannot be read, or there is no image.
    pub fn open(
        path: &Path,
        start: MonotonicTimestamp,
        frames_per_second: f64,
        pacer: Box<dyn Pacer>,
    ) -> Result<Self, SourceError> {
        let paths = if path.is_dir() {
            in_folder(path)?
        } else {
            image_list::read(path)?
        };
        if paths.is_empty() {
            return Err(SourceError::Empty(path.to_owned()));
        }
        let with_boxes = |path: PathBuf| {
            let boxes = Sidecar::beside(&path)?.map(|sidecar| sidecar.boxes);
            Ok(ImageFile { path, boxes })
        };
        Ok(Self {
            files: paths
                .into_iter()
                .map(with_boxes)
                .collect::<Result<_, SidecarError>>()?,
            next: 0,
            start,
            frames_per_second,
            pacer,
        })
    }

    /// The number of images left.
    pub fn remaining(&self) -> usize {
        self.files.len()
    }
}

/// The photos of a folder. Skipped files are logged once, except for sidecars.
fn in_folder(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let unreadable = |source| SourceError::Unreadable {
        path: folder.to_owned(),
        source,
    };
    let mut paths = std::fs::read_dir(folder)
        .map_err(unreadable)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(unreadable)?;
    paths.sort();
    let (mut photos, mut skipped) = (vec![], SkippedFiles::default());
    for path in paths {
        let reason = if path.is_dir() {
            Some(if is_hidden(&path) {
                SkipReason::Hidden
            } else {
                SkipReason::Folder
            })
        } else {
            skip_reason(&path).map_err(|source| SourceError::Unreadable {
                path: path.clone(),
                source,
            })?
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        match reason {
            None => photos.push(path),
            Some(SkipReason::NoPhoto) if name.to_ascii_lowercase().ends_with(".json") => {}
            Some(reason) => skipped.add(reason, name),
        }
    }
    if !skipped.is_empty() {
        tracing::warn!(folder = %folder.display(), %skipped, "skipping files that are not photos");
    }
    Ok(photos)
}

impl FrameSource for ImageFiles {
    fn next(&mut self) -> Result<SourceEvent, SourceError> {
        if self.files.is_empty() {
            return Ok(SourceEvent::Ended);
        }
        let offset = Duration::from_secs_f64(self.next as f64 / self.frames_per_second);
        if !self.pacer.wait_until(offset) {
            return Ok(SourceEvent::Ended);
        }
        let Some(ImageFile { path, boxes }) = self.files.pop_front() else {
            return Ok(SourceEvent::Ended);
        };
        self.next += 1;
        match read(&path) {
            Ok(image) => Ok(SourceEvent::Frame(Frame {
                camera: 0,
                name: FrameName::File(path),
                taken: self.start.plus(offset),
                timing: Timing::Replay,
                boxes: boxes.map(|boxes| in_decoded_pixels(boxes, &image)),
                image: FrameImage::Encoded(image),
                encoded: vec![],
            })),
            Err(reason) => Err(SourceError::InvalidFrame {
                camera: 0,
                frame: path.display().to_string(),
                reason,
            }),
        }
    }
}

/// A photo of more than 100 megapixels is decoded at half its size, and with it the boxes.
fn in_decoded_pixels(mut boxes: Vec<PixelBox>, image: &[u8]) -> Vec<PixelBox> {
    if let Ok(header) = prepare::header(image) {
        boxes
            .iter_mut()
            .for_each(|b| *b = b.reduced(header.reduced_by));
    }
    boxes
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("file of {size} bytes; expected at most {MAX_FILE}"));
    }
    std::fs::read(file).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancellation::CancellationToken;
    use crate::source::{RealTime, Unpaced};
    use std::sync::{Arc, Mutex};

    const START: MonotonicTimestamp = MonotonicTimestamp(1_795_450_800_000);

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn open(path: &Path) -> ImageFiles {
        ImageFiles::open(
            path,
            START,
            4.0,
            Box::new(Unpaced(CancellationToken::default())),
        )
        .unwrap()
    }

    #[test]
    fn a_folder_is_replayed_in_order_with_its_boxes() {
        let sea = r#"{"boxes":[]}"#;
        let fluke = r#"{"boxes":[{"x0":1,"y0":2,"x1":3,"y1":4}],"note":"x"}"#;
        let folder = folder(&[
            ("2.jpg", "c"),
            ("0.jpg", "a"),
            ("1.PNG", "b"),
            ("0.json", sea),
            ("1.json", fluke),
            ("truth.txt", "-"),
        ]);
        let mut source = open(folder.path());
        assert_eq!(source.remaining(), 3);
        let mut frames = vec![];
        while let Some(frame) = source.next().unwrap().frame() {
            let FrameImage::Encoded(bytes) = frame.image else {
                panic!("a file is encoded")
            };
            frames.push((
                bytes,
                frame.taken.millis_since(START),
                frame.boxes.map(|b| b.len()),
            ));
        }
        let expected = [("a", 0, Some(0)), ("b", 250, Some(1)), ("c", 500, None)];
        assert_eq!(
            frames,
            expected.map(|(b, t, n)| (b.as_bytes().to_vec(), t, n))
        );
    }

    fn error(path: &Path) -> SourceError {
        let pacer = Box::new(Unpaced(CancellationToken::default()));
        ImageFiles::open(path, START, 4.0, pacer).err().unwrap()
    }

    /// The names of the frames and the number of their boxes.
    fn frames(source: &mut ImageFiles) -> Vec<(String, Option<usize>)> {
        let mut frames = vec![];
        while let Some(frame) = source.next().unwrap().frame() {
            let FrameName::File(path) = frame.name else {
                panic!("a file has a path")
            };
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            frames.push((name, frame.boxes.map(|b| b.len())));
        }
        frames
    }

    #[test]
    fn a_missing_image_of_a_list_is_an_error_with_its_line() {
        let folder = folder(&[
            ("a.jpg", "a"),
            ("list.txt", "# mine\n\na.jpg\nmissing.jpg\n"),
        ]);
        let error = error(&folder.path().join("list.txt"));
        assert!(
            matches!(error, SourceError::List { line: 4, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("missing.jpg"), "{error}");
    }

    #[test]
    fn a_file_that_disappears_is_one_broken_frame() {
        let folder = folder(&[("a.jpg", "a"), ("b.jpg", "b"), ("c.jpg", "c")]);
        let mut source = open(folder.path());
        assert!(source.next().unwrap().frame().is_some());
        std::fs::remove_file(folder.path().join("b.jpg")).unwrap();
        let error = source.next().unwrap_err();
        assert!(matches!(error, SourceError::InvalidFrame { .. }), "{error}");
        assert_eq!(
            source.next().unwrap().frame().unwrap().taken,
            START.plus(Duration::from_millis(500)),
            "a broken frame takes its time too"
        );
        assert!(source.next().unwrap().frame().is_none());
    }

    #[test]
    fn sidecars_are_read_as_people_save_them() {
        let folder = folder(&[
            ("0.jpg", "a"),
            ("0.json", "\u{feff}{\"boxes\":[]}"),
            ("1.jpg", "b"),
            (
                "1.json",
                "{\"boxes\":[{\"x0\":1.0,\"y0\":2.5,\"x1\":3.0,\"y1\":4.0}]}",
            ),
            ("2.jpg", "c"),
            ("2.JSON", "{\"boxes\":[]}"),
        ]);
        let expected = [("0.jpg", 0), ("1.jpg", 1), ("2.jpg", 0)];
        assert_eq!(
            frames(&mut open(folder.path())),
            expected.map(|(name, boxes)| (name.to_owned(), Some(boxes)))
        );
    }

    #[test]
    fn a_broken_sidecar_is_an_error_with_its_line() {
        let folder = folder(&[
            ("0.jpg", "a"),
            ("1.jpg", "b"),
            ("1.json", "{\"boxes\":\n[{\"x0\":-1}]}"),
        ]);
        let error = error(folder.path());
        assert!(matches!(error, SourceError::Sidecar(_)), "{error}");
        assert!(error.to_string().contains("1.json:2: "), "{error}");
    }

    #[test]
    fn other_files_of_a_folder_are_skipped() {
        let folder = folder(&[
            ("0.jpg", "a"),
            ("._0.jpg", "b"),
            (".DS_Store", "c"),
            ("Thumbs.db", "d"),
            ("notes.txt", "e"),
            ("1.HEIC", "f"),
            ("2.jpe", "g"),
            ("3.webp", "h"),
        ]);
        std::fs::create_dir(folder.path().join("@eaDir")).unwrap();
        std::fs::create_dir(folder.path().join("2019")).unwrap();
        let names: Vec<_> = frames(&mut open(folder.path()))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["0.jpg", "2.jpe", "3.webp"]);
    }

    #[test]
    fn an_empty_folder_is_an_error() {
        let folder = folder(&[("readme.txt", "-")]);
        let pacer = || Box::new(Unpaced(CancellationToken::default()));
        let error = ImageFiles::open(folder.path(), START, 4.0, pacer())
            .err()
            .unwrap();
        assert!(matches!(error, SourceError::Empty(_)));
        let error = ImageFiles::open(&folder.path().join("nowhere"), START, 4.0, pacer())
            .err()
            .unwrap();
        assert!(matches!(error, SourceError::Unreadable { .. }));
    }

    #[test]
    fn frames_wait_until_they_are_due() {
        struct Recorded(Arc<Mutex<Vec<Duration>>>);
        impl Pacer for Recorded {
            fn wait_until(&mut self, offset: Duration) -> bool {
                self.0.lock().unwrap().push(offset);
                true
            }
        }
        let folder = folder(&[("0.jpg", "a"), ("1.jpg", "b"), ("2.jpg", "c")]);
        let waits = Arc::new(Mutex::new(vec![]));
        let mut source =
            ImageFiles::open(folder.path(), START, 4.0, Box::new(Recorded(waits.clone()))).unwrap();
        while source.next().unwrap().frame().is_some() {}
        assert_eq!(
            *waits.lock().unwrap(),
            [0, 250, 500].map(Duration::from_millis)
        );
    }

    #[test]
    fn a_cancelled_source_ends() {
        let folder = folder(&[("0.jpg", "a"), ("1.jpg", "b")]);
        let stop = CancellationToken::default();
        let pacer = Box::new(RealTime::new(stop.clone()));
        let mut source = ImageFiles::open(folder.path(), START, 0.01, pacer).unwrap();
        assert!(source.next().unwrap().frame().is_some());
        stop.cancel();
        assert!(source.next().unwrap().frame().is_none());
    }
}
