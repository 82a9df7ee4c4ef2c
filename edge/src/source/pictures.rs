//! Picture files in place of a camera: a recorded sequence, or stills.

use super::{FrameSource, Next, Sidecar, SourceError, Ticker};
use crate::frame::{Frame, FrameName, FramePicture};
use crate::time::{Moment, Timing};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A picture file larger than this is not read, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// Picture files in order, each a frame. Frame `i`, counted from 0, was taken `i / frames_per_second` after `start`.
pub struct PictureFiles {
    files: VecDeque<PathBuf>,
    next: u64,
    start: Moment,
    frames_per_second: f64,
    ticker: Box<dyn Ticker>,
}

impl PictureFiles {
    /// The pictures that `path` names: those of a folder (.jpg, .jpeg, .png) in the order of their names, or those that a text
    /// file lists, a path a line, relative to its folder; empty lines and lines that start with `#` do not count.
    ///
    /// # Errors
    /// When `path` cannot be read or names no picture.
    pub fn open(
        path: &Path,
        start: Moment,
        frames_per_second: f64,
        ticker: Box<dyn Ticker>,
    ) -> Result<Self, SourceError> {
        let unreadable = |source| SourceError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let files: VecDeque<PathBuf> = if path.is_dir() {
            let mut files = vec![];
            for entry in std::fs::read_dir(path).map_err(unreadable)? {
                let file = entry.map_err(unreadable)?.path();
                if is_picture(&file) {
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
            ticker,
        })
    }

    /// Frames still to come.
    pub fn remaining(&self) -> usize {
        self.files.len()
    }
}

fn is_picture(file: &Path) -> bool {
    let extension = file
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default()
        .to_ascii_lowercase();
    ["jpg", "jpeg", "png"].contains(&extension.as_str())
}

impl FrameSource for PictureFiles {
    fn next(&mut self) -> Result<Next, SourceError> {
        if self.files.is_empty() {
            return Ok(Next::Over);
        }
        let after = Duration::from_secs_f64(self.next as f64 / self.frames_per_second);
        if !self.ticker.wait(after) {
            return Ok(Next::Over);
        }
        let Some(file) = self.files.pop_front() else {
            return Ok(Next::Over);
        };
        self.next += 1;
        match read(&file) {
            Ok((picture, sidecar)) => Ok(Next::Frame(Frame {
                camera: 0,
                name: FrameName::File(file),
                taken: self.start.plus(after),
                timing: Timing::Replay,
                picture: FramePicture::Encoded(picture),
                boxes: sidecar.map(|s| s.boxes),
            })),
            Err(reason) => Err(SourceError::Broken {
                frame: file.display().to_string(),
                reason,
            }),
        }
    }
}

fn read(file: &Path) -> Result<(Vec<u8>, Option<Sidecar>), String> {
    let size = std::fs::metadata(file).map_err(|e| e.to_string())?.len();
    if size > MAX_FILE {
        return Err(format!(
            "the file is {size} bytes; at most {MAX_FILE} are read"
        ));
    }
    let picture = std::fs::read(file).map_err(|e| e.to_string())?;
    Ok((picture, Sidecar::beside(file)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{RealTime, Unpaced};
    use crate::stop::Stop;
    use std::sync::{Arc, Mutex};

    const START: Moment = Moment(1_795_450_800_000);

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        folder
    }

    fn open(path: &Path) -> PictureFiles {
        PictureFiles::open(path, START, 4.0, Box::new(Unpaced(Stop::default()))).unwrap()
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
            let FramePicture::Encoded(bytes) = frame.picture else {
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
    fn a_list_names_pictures_and_a_missing_one_is_one_broken_frame() {
        let folder = folder(&[
            ("a.jpg", "a"),
            ("b.jpg", "b"),
            ("list.txt", "# mine\n\nb.jpg\nmissing.jpg\na.jpg\n"),
        ]);
        let mut source = open(&folder.path().join("list.txt"));
        let first = source.next().unwrap().frame().unwrap();
        assert!(first.name.to_string().ends_with("b.jpg"));
        let said = source.next().unwrap_err().to_string();
        assert!(said.contains("missing.jpg"), "{said}");
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
        assert!(matches!(source.next(), Err(SourceError::Broken { .. })));
        assert!(source.next().unwrap().frame().is_some());
    }

    #[test]
    fn nothing_to_replay_is_said_at_once() {
        let folder = folder(&[("readme.txt", "-")]);
        let ticker = || Box::new(Unpaced(Stop::default()));
        let said = PictureFiles::open(folder.path(), START, 4.0, ticker())
            .err()
            .unwrap();
        assert!(matches!(said, SourceError::Empty(_)));
        let said = PictureFiles::open(&folder.path().join("nowhere"), START, 4.0, ticker())
            .err()
            .unwrap();
        assert!(matches!(said, SourceError::Unreadable { .. }));
    }

    #[test]
    fn frames_wait_until_they_are_due() {
        struct Notes(Arc<Mutex<Vec<Duration>>>);
        impl Ticker for Notes {
            fn wait(&mut self, after: Duration) -> bool {
                self.0.lock().unwrap().push(after);
                true
            }
        }
        let folder = folder(&[("0.jpg", "a"), ("1.jpg", "b"), ("2.jpg", "c")]);
        let notes = Arc::new(Mutex::new(vec![]));
        let mut source =
            PictureFiles::open(folder.path(), START, 4.0, Box::new(Notes(notes.clone()))).unwrap();
        while source.next().unwrap().frame().is_some() {}
        assert_eq!(
            *notes.lock().unwrap(),
            [0, 250, 500].map(Duration::from_millis)
        );
    }

    #[test]
    fn a_source_that_is_asked_to_stop_is_over() {
        let folder = folder(&[("0.jpg", "a"), ("1.jpg", "b")]);
        let stop = Stop::default();
        let ticker = Box::new(RealTime::new(stop.clone()));
        let mut source = PictureFiles::open(folder.path(), START, 0.01, ticker).unwrap();
        assert!(source.next().unwrap().frame().is_some());
        stop.ask();
        assert!(source.next().unwrap().frame().is_none());
    }
}
