//! The encounter that is replayed from images: cameras that send pixels, as the emulated one does, have no clips.

use super::encounter::{self, Encounter};
use anyhow::Context;
use std::fs;
use std::path::Path;

/// The camera's name in sightings.
pub(super) const CAMERA: &str = "replay";
/// Low, since the emulator is slow.
pub(super) const FRAMES_PER_SECOND: f64 = 2.0;
/// Frames of open sea before the fluke, which the clip shows too.
const BEFORE: usize = 4;
/// Frames with the fluke.
const SHOWN: usize = 12;
/// Frames of open sea after it, which end the encounter.
const AFTER: usize = 14;
/// The sidecar of a frame of open sea.
pub(super) const SEA: &str = "{\"boxes\":[]}";

/// Writes the frames of an encounter into `folder`: the same photo in each, so that it is one track. Sidecars say
/// where the fluke is, so that the detector, which takes seconds in the emulator, need not run.
///
/// # Errors
/// If the encounter has no photo, or a file cannot be written.
pub(super) fn write(folder: &Path, whales: &Path, encounter: &Encounter) -> anyhow::Result<()> {
    let photo = encounter.photos.first().context("a whale has no photo")?;
    let from = encounter::photo(whales, photo);
    let shown = photo.sidecar();
    let sidecars = std::iter::repeat_n(SEA, BEFORE)
        .chain(std::iter::repeat_n(shown.as_str(), SHOWN))
        .chain(std::iter::repeat_n(SEA, AFTER));
    fs::create_dir_all(folder)?;
    for (i, sidecar) in sidecars.enumerate() {
        let frame = folder.join(format!("{:06}.jpg", i + 1));
        fs::copy(&from, &frame).with_context(|| from.display().to_string())?;
        fs::write(frame.with_extension("json"), sidecar)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::config::GAP_SECONDS;
    use super::super::encounter::Photo;
    use super::*;

    #[test]
    fn the_fluke_is_between_frames_of_open_sea_that_end_the_encounter() {
        let around = tempfile::tempdir().unwrap();
        let (whales, frames) = (around.path().join("whales"), around.path().join("frames"));
        fs::create_dir_all(whales.join("queries")).unwrap();
        fs::write(whales.join("queries/1.jpg"), "JPEG").unwrap();
        let mut encounter = Encounter {
            whale: "A".into(),
            enrolled: true,
            photos: vec![Photo {
                file: "1.jpg".into(),
                region: [1, 2, 3, 4],
            }],
        };
        write(&frames, &whales, &encounter).unwrap();
        let mut names: Vec<_> = fs::read_dir(&frames)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .collect();
        names.sort();
        let shown: Vec<bool> = names
            .iter()
            .map(|path| fs::read_to_string(path).unwrap() != SEA)
            .collect();
        assert!(names.iter().all(|n| n.with_extension("jpg").is_file()));
        let first = shown.iter().position(|&s| s).unwrap();
        let last = shown.iter().rposition(|&s| s).unwrap();
        assert!(first > 0 && last - first + 1 == SHOWN);
        let after = (shown.len() - 1 - last) as f64 / FRAMES_PER_SECOND;
        assert!(after > GAP_SECONDS, "{after} s");

        encounter.photos.clear();
        assert!(write(&frames, &whales, &encounter).is_err());
    }
}
