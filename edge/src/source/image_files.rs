//! Image files in place of a camera: a recorded sequence, or stills.

use super::frame_source::{FrameSource, SourceError, SourceEvent};
use super::pacer::Pacer;
use super::sidecar::Sidecar;
use crate::frame::{Frame, FrameImage, FrameName};
use crate::time::{MonotonicTimestamp, Timing};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest image file, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// Image files in order, each a frame. Frame `i`, counted from 0, was taken `i / frames_per_second`
/// after `start`.
pub struct ImageFiles {
    files: VecDeque<PathBuf>,
    next: u64,
    start: MonotonicTimestamp,
    frames_per_second: f64,
    pacer: Box<dyn Pacer>,
}

impl ImageFiles {
    /// Opens the images (.jpg, .jpeg, .png) of the folder `path` in the order of their names, or those
    /// of a text file with one path per line, relative to its folder. Empty lines and lines that
    /// start with `#` are ignored.
    ///
    /// # Errors
    /// When `path` cannot be read or there is no image.
    pub fn open(
        path: &Path,
        start: MonotonicTimestamp,
        frames_per_second: f64,
        pacer: Box<dyn Pacer>,
    ) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let files: VecDeque<PathBuf> = if path.is_dir() {
            let mut files = vec![];
            for entry in std::fs::read_dir(path).map_err(unreadable)? {
                let file = entry.map_err(unreadable)?.path();
                if is_image(&file) {
                    files.push(file);
                }
            }
            files.sort();
            files.into()
        } else {
            let folder = path.parent().unwrap_or(Path::new(""));
            let list = std::fs::read_to_string(path).map_err(unreadable)?;
            let lines = list
                .lines()
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'));
            lines.map(|line| folder.join(line)).collect()
        };
        if files.is_empty() {
            return Err(SourceError::Empty(path.to_owned()));
        }
        Ok(Self {
            files,
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

fn is_image(file: &Path) -> bool {
    let extension = file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    ["jpg", "jpeg", "png"].contains(&extension.as_str())
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
        let Some(file) = self.files.pop_front() else {
            return Ok(SourceEvent::Ended);
        };
        self.next += 1;
        match read(&file) {
            Ok((image, sidecar)) => Ok(SourceEvent::Frame(Frame {
                camera: 0,
                name: FrameName::File(file),
                taken: self.start.plus(offset),
                timing: Timing::Replay,
                image: FrameImage::Encoded(image),
                boxes: sidecar.map(|s| s.boxes),
            })),
            Err(reason) => Err(SourceError::InvalidFrame {
                camera: 0,
                frame: file.display().to_string(),
                reason,
            }),
        }
    }
}

fn read(file: &Path) -> Result<(Vec<u8>, Option<Sidecar>), String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!("file of {size} bytes; expected at most {MAX_FILE}"));
    }
    let image = std::fs::read(file).map_err(|e| e.to_string())?;
    Ok((image, Sidecar::beside(file)?))
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

    #[test]
    fn a_list_names_images_and_a_missing_one_is_one_broken_frame() {
        let folder = folder(&[
            ("a.jpg", "a"),
            ("b.jpg", "b"),
            ("list.txt", "# mine\n\nb.jpg\nmissing.jpg\na.jpg\n"),
        ]);
        let mut source = open(&folder.path().join("list.txt"));
        let first = source.next().unwrap().frame().unwrap();
        assert!(first.name.to_string().ends_with("b.jpg"));
        let error = source.next().unwrap_err().to_string();
        assert!(error.contains("missing.jpg"), "{error}");
        assert_eq!(
            source.next().unwrap().frame().unwrap().taken,
            START.plus(Duration::from_millis(500)),
            "a broken frame takes its time too"
        );
        assert!(source.next().unwrap().frame().is_none());
    }

    #[test]
    fn a_broken_sidecar_breaks_its_frame_only() {
        let folder = folder(&[
            ("0.jpg", "a"),
            ("0.json", "{\"boxes\":[{\"x0\":-1}]}"),
            ("1.jpg", "b"),
        ]);
        let mut source = open(folder.path());
        assert!(matches!(
            source.next(),
            Err(SourceError::InvalidFrame { .. })
        ));
        assert!(source.next().unwrap().frame().is_some());
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
