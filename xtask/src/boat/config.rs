//! The emulated boat's configuration.

use std::fmt::Write as _;

/// Path of the bundle in the emulated boat.
pub(super) const BUNDLE: &str = "/boat/whales.flukebundle";
/// Address of this machine in QEMU's user network.
const HOST: &str = "10.0.2.2";

/// The source of the boat's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight<'a> {
    /// The camera, with this name.
    Camera(&'a str),
    /// A folder of frames, for the run that only delivers.
    Replay(&'a str),
}

/// The configuration of a boat whose broker listens at `port` of this machine.
pub(super) fn config(sight: Sight, port: u16) -> String {
    let mut toml =
        String::from("# Written by `cargo xtask boat`.\n\n[boat]\nname = \"emulated\"\n");
    let _ = write!(
        toml,
        "\n[bundle]\npath = \"{BUNDLE}\"\n# As in a lab: made by this program.\nallow_unsigned = true\n"
    );
    // The emulator is about a hundred times slower than real hardware: the frame rate is low, and
    // two crops are enough.
    toml += "\n[engine]\nbackend = \"tract\"\n\n[encounter]\ngap_seconds = 5.0\nmax_seconds = 3600.0\nbest_crops = 2\n\n[camera]\n";
    let _ = match sight {
        Sight::Camera(name) => write!(
            toml,
            "name = \"{name}\"\nsource = \"v4l2\"\npath = \"/dev/video0\"\nwidth = 640\nheight = 360\n\
             frames_per_second = 30.0\nstall_timeout_seconds = 20.0\n"
        ),
        Sight::Replay(folder) => write!(
            toml,
            "source = \"replay\"\npath = \"{folder}\"\nplayback = \"fast\"\n"
        ),
    };
    let _ = write!(
        toml,
        "\n[outbox]\npath = \"/boat/outbox\"\nmax_megabytes = 100\n\n[uplink]\nbroker = \"mqtt://{HOST}:{port}\"\nallow_unsigned = true\n"
    );
    toml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_and_a_folder_are_configured() {
        let camera = config(Sight::Camera("SYN-0001"), 1883);
        for line in [
            "name = \"SYN-0001\"",
            "source = \"v4l2\"",
            "path = \"/boat/whales.flukebundle\"",
            "broker = \"mqtt://10.0.2.2:1883\"",
        ] {
            assert!(camera.lines().any(|l| l == line), "{line} in {camera}");
        }
        let replay = config(Sight::Replay("sea"), 7);
        assert!(
            replay.contains("source = \"replay\"\npath = \"sea\""),
            "{replay}"
        );
        assert!(!replay.contains("v4l2"), "{replay}");
    }
}
