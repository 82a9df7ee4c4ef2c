//! The emulated boat's configuration.

use super::replay;
use std::fmt::Write as _;

/// The boat's name.
pub(super) const BOAT: &str = "emulated";
/// Path of the bundle in the emulated boat.
pub(super) const BUNDLE: &str = "/boat/whales.flukebundle";
/// Folder of the boat's identity in the emulated boat.
pub(super) const IDENTITY: &str = "/boat/identity";
/// Address of this machine in QEMU's user network.
pub(super) const HOST: &str = "10.0.2.2";
/// An encounter ends after so many seconds without its fluke.
pub(super) const GAP_SECONDS: f64 = 5.0;

/// The source of the boat's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight<'a> {
    /// The camera, with this name.
    Camera(&'a str),
    /// A folder of frames at a camera's pace, as the camera of [`replay`].
    Replay(&'a str),
    /// A folder of frames as fast as possible, for the run that only delivers.
    Delivery(&'a str),
}

/// The URL of the broker at `port` of this machine, as the boat reaches it.
pub(super) fn broker(port: u16) -> String {
    format!("mqtts://{HOST}:{port}")
}

/// The configuration of a boat with a broker at this URL.
pub(super) fn config(sight: Sight, broker: &str) -> String {
    let mut toml = format!("# Written by `cargo xtask boat`.\n\n[boat]\nname = \"{BOAT}\"\n");
    let _ = write!(
        toml,
        "\n[bundle]\npath = \"{BUNDLE}\"\n# As in a lab: made by this program.\nallow_unsigned = true\n"
    );
    // The emulator is about a hundred times slower than real hardware: the frame rate is low, and
    // two crops are enough. A clip ends with its encounter, so that it is written before shore can
    // request it.
    let _ = write!(
        toml,
        "\n[engine]\nbackend = \"tract\"\n\n[encounter]\ngap_seconds = {GAP_SECONDS:?}\nmax_seconds = 3600.0\n\
         best_crops = 2\n\n[clip]\nenabled = true\nafter_seconds = 0.0\n\n[camera]\n"
    );
    let _ = match sight {
        Sight::Camera(name) => write!(
            toml,
            "name = \"{name}\"\nsource = \"v4l2\"\npath = \"/dev/video0\"\nwidth = 640\nheight = 360\n\
             frames_per_second = 30.0\nstall_timeout_seconds = 20.0\n"
        ),
        Sight::Replay(folder) => write!(
            toml,
            "name = \"{}\"\nsource = \"replay\"\npath = \"{folder}\"\nframes_per_second = {:?}\n\
             playback = \"real-time\"\n",
            replay::CAMERA,
            replay::FRAMES_PER_SECOND
        ),
        Sight::Delivery(folder) => write!(
            toml,
            "source = \"replay\"\npath = \"{folder}\"\nplayback = \"fast\"\n"
        ),
    };
    let _ = write!(
        toml,
        "\n[outbox]\npath = \"/boat/outbox\"\nmax_megabytes = 100\n\n[uplink]\nbroker = \"{broker}\"\nidentity = \"{IDENTITY}\"\n"
    );
    toml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_and_folders_are_configured() {
        let camera = config(Sight::Camera("SYN-0001"), &broker(8883));
        for line in [
            "name = \"SYN-0001\"",
            "source = \"v4l2\"",
            "path = \"/boat/whales.flukebundle\"",
            "gap_seconds = 5.0",
            "after_seconds = 0.0",
            "broker = \"mqtts://10.0.2.2:8883\"",
            "identity = \"/boat/identity\"",
        ] {
            assert!(camera.lines().any(|l| l == line), "{line} in {camera}");
        }
        let (_, uplink) = camera.split_once("[uplink]").unwrap();
        assert!(!uplink.contains("allow_unsigned"), "{uplink}");
        let replay = config(Sight::Replay("frames"), &broker(7));
        assert!(
            replay.contains(
                "name = \"replay\"\nsource = \"replay\"\npath = \"frames\"\nframes_per_second = 2.0\nplayback = \"real-time\"\n"
            ),
            "{replay}"
        );
        let delivery = config(Sight::Delivery("sea"), &broker(7));
        assert!(
            delivery.contains("source = \"replay\"\npath = \"sea\"\nplayback = \"fast\""),
            "{delivery}"
        );
        assert!(!delivery.contains("v4l2"), "{delivery}");
    }
}
