//! The files that shore requests of the boat while it is up: the clip and the crops of the replayed sighting.

use super::config::BOAT;
use super::replay;
use crate::checkout::Checkout;
use crate::demo::shore::Shore;
use crate::demo::sighting::Sighting;
use serde::Deserialize;
use std::fmt;
use std::fs;
use std::path::Path;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileKind {
    Clip,
    Crops,
}

/// A file on shore, or why it is not there.
pub(super) type Arrival = Result<Arrived, String>;

/// A file that is complete and readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) bytes: u64,
    /// Frames of a clip, blocks of an archive.
    pub(super) parts: u32,
}

/// The fields of `GET /api/v1/requests` that are used here.
#[derive(Clone, Debug, Deserialize)]
struct FileRequest {
    sighting: String,
    file: String,
    progress: String,
    received_bytes: u64,
    total_bytes: Option<u64>,
    sha256: Option<String>,
    reason: Option<String>,
}

/// What was requested so far.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// The sighting.
    of: Option<String>,
}

impl FileKind {
    const ALL: [Self; 2] = [Self::Clip, Self::Crops];

    fn name(self) -> &'static str {
        match self {
            Self::Clip => "clip",
            Self::Crops => "crops",
        }
    }

    /// Checks that `content` is a whole file of this kind.
    fn check(self, content: &[u8]) -> Arrival {
        let bytes = content.len() as u64;
        let parts = match self {
            Self::Clip => avi_frames(content).ok_or("not a whole AVI with frames")?,
            Self::Crops => tar_blocks(content).ok_or("not a whole tar")?,
        };
        Ok(Arrived { bytes, parts })
    }
}

impl Requests {
    /// Requests both files as soon as the replayed sighting is among `sightings`, once.
    ///
    /// # Errors
    /// If `flukewatch-shore request` fails.
    pub(super) fn make(
        &mut self,
        checkout: &Checkout,
        shore: &Shore,
        sightings: &[Sighting],
    ) -> anyhow::Result<()> {
        if self.of.is_some() {
            return Ok(());
        }
        let Some(sighting) = sightings.iter().find(|s| s.camera == replay::CAMERA) else {
            return Ok(());
        };
        for kind in FileKind::ALL {
            let mut request = shore.station().command(checkout, "request");
            request.args(["--boat", BOAT, &sighting.id]);
            checkout.run(request.arg(format!("--{}", kind.name())))?;
        }
        self.of = Some(sighting.id.clone());
        Ok(())
    }

    /// What has arrived of clip and crops.
    ///
    /// # Errors
    /// If shore does not answer.
    pub(super) fn arrived(&self, shore: &Shore) -> anyhow::Result<[Arrival; 2]> {
        let requests: Vec<FileRequest> = shore.get("requests")?;
        let files = shore.station().data().join("files");
        Ok(FileKind::ALL.map(|kind| self.arrival(kind, &requests, &files)))
    }

    fn arrival(&self, kind: FileKind, requests: &[FileRequest], files: &Path) -> Arrival {
        let of = self.of.as_deref();
        let of =
            of.ok_or("not requested: its sighting did not reach shore while the boat was up")?;
        let is_it = |r: &&FileRequest| r.sighting == of && r.file == kind.name();
        let request = requests.iter().find(is_it).ok_or("not requested")?;
        if request.progress != "complete" {
            return Err(request.to_string());
        }
        let name = request.sha256.as_deref().ok_or("complete without a hash")?;
        let content =
            fs::read(files.join(name)).map_err(|e| format!("files/{name} cannot be read: {e}"))?;
        let (bytes, total) = (content.len() as u64, request.total_bytes);
        if total != Some(bytes) {
            return Err(format!(
                "{bytes} bytes are stored, {total:?} were announced"
            ));
        }
        kind.check(&content)
    }
}

impl fmt::Display for FileRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            progress,
            received_bytes,
            total_bytes,
            reason,
            ..
        } = self;
        write!(f, "{progress}, {received_bytes} bytes")?;
        if let Some(total) = total_bytes {
            write!(f, " of {total}")?;
        }
        reason.iter().try_for_each(|reason| write!(f, ": {reason}"))
    }
}

/// The frames that the header of a whole AVI states; `None` where it has none or is cut.
fn avi_frames(content: &[u8]) -> Option<u32> {
    let number = |at: usize| -> Option<u32> {
        let bytes = content.get(at..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let is_avi = content.starts_with(b"RIFF") && content.get(8..12) == Some(b"AVI ");
    // The size of the rest, which is written last, and the number of frames in `avih`.
    let is_whole = u64::from(number(4)?) + 8 == content.len() as u64;
    number(48).filter(|&frames| is_avi && is_whole && frames > 0)
}

/// The blocks of a whole tar with an encounter; `None` for anything else.
fn tar_blocks(content: &[u8]) -> Option<u32> {
    const BLOCK: usize = 512;
    let is_tar =
        content.starts_with(b"encounter.json\0") && content.get(257..262) == Some(b"ustar");
    let (blocks, rest) = content.as_chunks::<BLOCK>();
    // It ends with two empty blocks.
    let is_whole = rest.is_empty() && blocks.ends_with(&[[0; BLOCK]; 2]);
    u32::try_from(blocks.len())
        .ok()
        .filter(|_| is_tar && is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn avi(frames: u32) -> Vec<u8> {
        let mut file = vec![0; 100];
        file[..4].copy_from_slice(b"RIFF");
        file[4..8].copy_from_slice(&92u32.to_le_bytes());
        file[8..12].copy_from_slice(b"AVI ");
        file[48..52].copy_from_slice(&frames.to_le_bytes());
        file
    }

    fn tar() -> Vec<u8> {
        let mut file = vec![0; 4 * 512];
        file[..14].copy_from_slice(b"encounter.json");
        file[257..262].copy_from_slice(b"ustar");
        file[512] = b'{';
        file
    }

    #[test]
    fn a_cut_or_empty_clip_is_not_whole() {
        assert_eq!(avi_frames(&avi(18)), Some(18));
        assert_eq!(avi_frames(&avi(0)), None);
        assert_eq!(avi_frames(&avi(18)[..99]), None);
        assert_eq!(avi_frames(b"RIFF"), None);
        assert_eq!(avi_frames(&tar()), None);
    }

    #[test]
    fn a_cut_archive_is_not_whole() {
        assert_eq!(tar_blocks(&tar()), Some(4));
        assert_eq!(tar_blocks(&tar()[..1024]), None);
        assert_eq!(tar_blocks(&tar()[..2000]), None);
        assert_eq!(tar_blocks(&avi(1)), None);
    }

    #[test]
    fn files_are_read_where_shore_stores_them() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("abc"), avi(18)).unwrap();
        let requests = Requests {
            of: Some("one".into()),
        };
        let clip = |progress: &str, total: u64| {
            let request = serde_json::json!({
                "sighting": "one", "file": "clip", "progress": progress, "received_bytes": 100,
                "total_bytes": total, "sha256": "abc", "reason": null, "path": null
            });
            let request = serde_json::from_value(request).unwrap();
            requests.arrival(FileKind::Clip, &[request], folder.path())
        };
        let whole = Arrived {
            bytes: 100,
            parts: 18,
        };
        assert_eq!(clip("complete", 100), Ok(whole));
        assert!(clip("complete", 101).unwrap_err().contains("announced"));
        assert_eq!(clip("open", 900).unwrap_err(), "open, 100 bytes of 900");
        let none = requests.arrival(FileKind::Crops, &[], folder.path());
        assert_eq!(none.unwrap_err(), "not requested");
        let never = Requests::default().arrival(FileKind::Clip, &[], folder.path());
        assert!(never.unwrap_err().contains("did not reach shore"));
    }
}
