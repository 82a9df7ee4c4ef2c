//! `flukewatch-edge cameras`: the cameras of this machine and their formats.

use super::device::{Camera, DeviceError, SUPPORTED_ENCODINGS, SupportedFormat};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// A node that may be a camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedCamera {
    /// Its path, for `camera.path`.
    pub path: PathBuf,
    /// Its name, given by its maker or the kernel.
    pub name: String,
    /// The formats that Flukewatch can decode.
    pub formats: Vec<SupportedFormat>,
    /// Why it cannot be used, if it cannot.
    pub error: Option<String>,
}

/// Queries the camera at `path`; `name` is the kernel's name for it.
pub(super) fn list(
    path: PathBuf,
    name: String,
    open: impl FnOnce(&Path) -> Result<Box<dyn Camera>, DeviceError>,
) -> ListedCamera {
    let queried = open(&path).and_then(|mut camera| Ok((camera.name(), camera.formats()?)));
    match queried {
        Ok((name, formats)) => ListedCamera {
            path,
            name,
            error: formats
                .is_empty()
                .then(|| format!("no supported format; expected {SUPPORTED_ENCODINGS}")),
            formats,
        },
        Err(e) => ListedCamera {
            path,
            name,
            formats: vec![],
            error: Some(e.to_string()),
        },
    }
}

/// The list as text.
pub fn text(cameras: &[ListedCamera]) -> String {
    let mut out = String::new();
    for camera in cameras {
        let _ = writeln!(out, "{}  {}", camera.path.display(), camera.name);
        for SupportedFormat {
            encoding,
            width,
            height,
            rates,
        } in &camera.formats
        {
            let rates: Vec<String> = rates
                .iter()
                .map(|r| format!("{}", (r * 10.0).round() / 10.0))
                .collect();
            let rates = if rates.is_empty() {
                "rates unknown".to_owned()
            } else {
                format!("{} fps", rates.join(", "))
            };
            let _ = writeln!(
                out,
                "  {:<5}  {width}x{height}  {rates}",
                encoding.to_string()
            );
        }
        if let Some(error) = &camera.error {
            // The line above has the path.
            let path = format!("{}: ", camera.path.display());
            let error = error.strip_prefix(&path).unwrap_or(error);
            let _ = writeln!(out, "  error: {error}");
        }
    }
    out
}

/// The line about cameras that need GStreamer: whether it is installed, and how to try a pipeline.
pub fn pipelines(version: &Result<String, DeviceError>) -> String {
    let status = match version {
        Ok(version) => format!(
            "gst-launch-1.0 {version} is installed. Try a pipeline with: gst-launch-1.0 PIPELINE ! videoconvert ! fakesink"
        ),
        Err(e) => e.to_string(),
    };
    format!("other cameras, e.g. CSI, need source = \"gstreamer\": {status}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gstreamer_line_states_whether_it_is_installed() {
        let installed = pipelines(&Ok("1.20.3".into()));
        assert!(
            installed.contains("gst-launch-1.0 1.20.3 is installed. Try"),
            "{installed}"
        );
        let missing = pipelines(&Err(DeviceError::Unusable("sudo apt install it".into())));
        assert!(
            missing.ends_with("\"gstreamer\": sudo apt install it\n"),
            "{missing}"
        );
    }
    use crate::capture::fake::{FakeCamera, FakeControl};

    #[test]
    fn a_camera_is_listed_with_its_formats_or_an_error() {
        let control = FakeControl::plugged_in();
        let good = list("/dev/video0".into(), "kernel's name".into(), |_| {
            FakeCamera::open(&control)
        });
        let forbidden = list("/dev/video1".into(), "Other".into(), |_| {
            Err(DeviceError::Unusable(
                "/dev/video1: Permission denied".into(),
            ))
        });
        control.change(|s| s.formats.clear());
        let unsupported = list("/dev/video2".into(), String::new(), |_| {
            FakeCamera::open(&control)
        });
        let text = text(&[good.clone(), forbidden, unsupported]);
        assert_eq!(
            text,
            "/dev/video0  Fake Camera\n  YUYV   8x4  30, 15 fps\n  MJPEG  32x16  30 fps\n\
             /dev/video1  Other\n  error: Permission denied\n\
             /dev/video2  Fake Camera\n  error: no supported format; expected GREY, NV12, YUYV, UYVY or MJPEG\n"
        );
        let json = serde_json::to_value(good).unwrap();
        assert_eq!(json["formats"][0]["encoding"], "YUYV");
        assert_eq!(
            json["formats"][1]["width"],
            serde_json::json!({"min": 32, "max": 32, "step": 1})
        );
    }
}
