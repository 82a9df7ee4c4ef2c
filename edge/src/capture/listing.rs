//! `flukewatch-edge cameras`: what is there, and what it can do.

use super::device::{Camera, DeviceError, Offer};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One node that may be a camera.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListedCamera {
    /// Where it is, for `camera.path`.
    pub path: PathBuf,
    /// Its name, as its maker or the kernel gives it.
    pub name: String,
    /// What it offers, of what is read.
    pub offers: Vec<Offer>,
    /// Why it cannot be used, if it cannot.
    pub trouble: Option<String>,
}

/// Asks the camera at `path`, which the kernel calls `name`.
pub(super) fn list(
    path: PathBuf,
    name: String,
    open: impl FnOnce(&Path) -> Result<Box<dyn Camera>, DeviceError>,
) -> ListedCamera {
    let asked = open(&path).and_then(|mut camera| Ok((camera.name(), camera.offers()?)));
    match asked {
        Ok((name, offers)) => ListedCamera {
            path,
            name,
            trouble: offers
                .is_empty()
                .then(|| "it sends nothing that is read: GREY, NV12, YUYV or MJPEG".to_owned()),
            offers,
        },
        Err(e) => ListedCamera {
            path,
            name,
            offers: vec![],
            trouble: Some(e.to_string()),
        },
    }
}

/// The list for people.
pub fn text(cameras: &[ListedCamera]) -> String {
    let mut out = String::new();
    for camera in cameras {
        let _ = writeln!(out, "{}  {}", camera.path.display(), camera.name);
        for Offer {
            encoding,
            width,
            height,
            rates,
        } in &camera.offers
        {
            let rates: Vec<String> = rates
                .iter()
                .map(|r| format!("{}", (r * 10.0).round() / 10.0))
                .collect();
            let rates = if rates.is_empty() {
                "rates not said".to_owned()
            } else {
                format!("{} a second", rates.join(", "))
            };
            let _ = writeln!(
                out,
                "  {:<5}  {width} x {height}  {rates}",
                encoding.to_string()
            );
        }
        if let Some(trouble) = &camera.trouble {
            // The line above says where it is.
            let place = format!("{}: ", camera.path.display());
            let trouble = trouble.strip_prefix(&place).unwrap_or(trouble);
            let _ = writeln!(out, "  cannot be used: {trouble}");
        }
    }
    out
}

/// What the list says of cameras that only GStreamer reaches: whether the program that does is there, and how to try one.
pub fn pipelines(version: &Result<String, DeviceError>) -> String {
    let how = match version {
        Ok(version) => format!(
            "gst-launch-1.0 {version} is there. Try a pipeline with: gst-launch-1.0 PIPELINE ! videoconvert ! fakesink"
        ),
        Err(e) => e.to_string(),
    };
    format!("other cameras, as those at a CSI connector, through source = \"gstreamer\": {how}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_other_cameras_is_told() {
        let there = pipelines(&Ok("1.20.3".into()));
        assert!(
            there.contains("gst-launch-1.0 1.20.3 is there. Try"),
            "{there}"
        );
        let not = pipelines(&Err(DeviceError::Refused("sudo apt install it".into())));
        assert!(
            not.ends_with("\"gstreamer\": sudo apt install it\n"),
            "{not}"
        );
    }
    use crate::capture::fake::{FakeCamera, World};

    #[test]
    fn a_camera_is_listed_with_what_it_offers_and_one_without_says_why() {
        let world = World::plugged_in();
        let good = list("/dev/video0".into(), "kernel's name".into(), |_| {
            FakeCamera::open(&world)
        });
        let forbidden = list("/dev/video1".into(), "Other".into(), |_| {
            Err(DeviceError::Refused(
                "/dev/video1: Permission denied".into(),
            ))
        });
        world.change(|w| w.offers.clear());
        let useless = list("/dev/video2".into(), String::new(), |_| {
            FakeCamera::open(&world)
        });
        let text = text(&[good.clone(), forbidden, useless]);
        assert_eq!(
            text,
            "/dev/video0  Fake Camera\n  YUYV   8 x 4  30, 15 a second\n  MJPEG  32 x 16  30 a second\n\
             /dev/video1  Other\n  cannot be used: Permission denied\n\
             /dev/video2  Fake Camera\n  cannot be used: it sends nothing that is read: GREY, NV12, YUYV or MJPEG\n"
        );
        let json = serde_json::to_value(good).unwrap();
        assert_eq!(json["offers"][0]["encoding"], "YUYV");
        assert_eq!(
            json["offers"][1]["width"],
            serde_json::json!({"least": 32, "most": 32, "step": 1})
        );
    }
}
