//! Decoders of H.264 and H.265: hardware where its plug-in is installed, else software.

use super::aligned;
use crate::encoded_frame::{Codec, StreamFormat};
use std::ffi::OsStr;
use std::process::{Command, Stdio};

/// The program that says which elements are installed.
const INSPECT: &str = "gst-inspect-1.0";

/// An element that decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GstDecoder {
    /// The element's name.
    pub element: &'static str,
    /// Whether it uses hardware.
    pub hardware: bool,
    /// What brings its images into the main memory, between others in a pipeline.
    pub(super) download: &'static str,
}

const fn hardware(element: &'static str) -> GstDecoder {
    GstDecoder {
        element,
        hardware: true,
        download: "",
    }
}

const fn software(element: &'static str) -> GstDecoder {
    GstDecoder {
        element,
        hardware: false,
        download: "",
    }
}

/// That of a Jetson, whose images stay in its own memory.
const NVIDIA: GstDecoder = GstDecoder {
    element: "nvv4l2decoder",
    hardware: true,
    download: "! nvvidconv",
};

/// Decoders of H.264, best first.
const H264: [GstDecoder; 5] = [
    NVIDIA,
    hardware("v4l2h264dec"),
    hardware("v4l2slh264dec"),
    software("avdec_h264"),
    software("openh264dec"),
];

/// Decoders of H.265, best first.
const H265: [GstDecoder; 5] = [
    NVIDIA,
    hardware("v4l2h265dec"),
    hardware("v4l2slh265dec"),
    software("avdec_h265"),
    software("libde265dec"),
];

/// The packages of Debian and Ubuntu with the parsers and software decoders.
pub(in crate::capture) const DECODER_PACKAGES: &str = "gstreamer1.0-plugins-bad gstreamer1.0-libav";

impl GstDecoder {
    /// The decoders of `codec`, best first.
    pub(in crate::capture) fn all(codec: Codec) -> &'static [Self] {
        match codec {
            Codec::H264 => &H264,
            Codec::H265 => &H265,
        }
    }

    /// The installed decoders of `codec`, best first.
    pub(crate) fn installed(codec: Codec) -> Vec<Self> {
        let all = Self::all(codec).iter();
        all.filter(|decoder| is_installed(OsStr::new(INSPECT), decoder.element))
            .copied()
            .collect()
    }

    /// The installed decoders that use hardware, of any codec.
    pub(super) fn installed_hardware() -> Vec<Self> {
        let mut all = [Codec::H264, Codec::H265].map(Self::installed).concat();
        all.retain(|decoder| decoder.hardware);
        all.dedup();
        all
    }

    /// The arguments of a pipeline that reads `format` as Matroska from descriptor 0, and writes images
    /// there, as Matroska as well. Its queue drops the oldest image for a third one.
    pub(crate) fn arguments(self, format: &StreamFormat) -> Vec<String> {
        let Self {
            element, download, ..
        } = self;
        let parser = match format.codec {
            Codec::H264 => "h264parse",
            Codec::H265 => "h265parse",
        };
        let size = (format.width, format.height);
        let (width, height) = aligned(size);
        let scale = if (width, height) == size {
            String::new()
        } else {
            format!("! videoscale ! video/x-raw,width={width},height={height}")
        };
        let text = format!(
            "-q --no-fault fdsrc fd=0 ! matroskademux ! {parser} ! {element} {download} \
             ! queue leaky=downstream max-size-buffers=2 max-size-bytes=0 max-size-time=0 ! videoconvert {scale} \
             ! video/x-raw,format=I420 ! matroskamux streamable=true ! fdsink fd=0 sync=false"
        );
        text.split_whitespace().map(str::to_owned).collect()
    }
}

/// What decodes the streams of IP cameras and videos here, for `flukewatch-edge cameras`.
pub fn decoders() -> String {
    let of = |name: &str, codec| match GstDecoder::installed(codec).first() {
        Some(GstDecoder {
            element,
            hardware: true,
            ..
        }) => format!("{name} with {element} (hardware)"),
        Some(GstDecoder { element, .. }) => format!("{name} with {element} (software)"),
        None => format!("no {name} (run: sudo apt install {DECODER_PACKAGES})"),
    };
    let (h264, h265) = (of("H.264", Codec::H264), of("H.265", Codec::H265));
    format!("IP cameras need source = \"rtsp\"; they and videos are decoded so: {h264}, {h265}\n")
}

fn is_installed(program: &OsStr, element: &str) -> bool {
    Command::new(program)
        .args(["--exists", element])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(codec: Codec, width: u32, height: u32) -> StreamFormat {
        StreamFormat {
            codec,
            configuration: vec![1],
            width,
            height,
        }
    }

    #[test]
    fn a_pipeline_decodes_what_it_reads() {
        let text = NVIDIA.arguments(&format(Codec::H265, 1920, 1080)).join(" ");
        assert!(
            text.starts_with("-q --no-fault fdsrc fd=0 ! matroskademux ! h265parse ! nvv4l2decoder ! nvvidconv ! queue "),
            "{text}"
        );
        assert!(text.ends_with("! fdsink fd=0 sync=false"), "{text}");
        assert!(!text.contains("videoscale"), "{text}");
    }

    #[test]
    fn a_size_that_would_be_padded_is_scaled() {
        let text = H264[3].arguments(&format(Codec::H264, 1001, 563)).join(" ");
        let scaled = "! avdec_h264 ! queue";
        assert!(text.contains(scaled), "{text}");
        assert!(
            text.contains("videoscale ! video/x-raw,width=1008,height=564 !"),
            "{text}"
        );
    }

    #[test]
    fn a_missing_program_has_no_decoders() {
        assert!(!is_installed(OsStr::new("/no/such/program"), "avdec_h264"));
    }
}
