//! Video formats that are recognised but not read here: those of phones, action cameras and drones.

use std::fmt;

/// The sync byte of MPEG transport streams, and the sizes of their packets with the offset of that byte:
/// as broadcast, and with a time code as camcorders write it.
const SYNC: u8 = 0x47;
const PACKETS: [(usize, usize); 2] = [(0, 188), (4, 192)];
/// The boxes that an MP4 or MOV file may start with.
const BOXES: [&[u8; 4]; 9] = [
    b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"moof", b"styp",
];
/// Brands of still images in the same container.
const IMAGES: [&[u8; 4]; 6] = [b"heic", b"heix", b"heim", b"heis", b"mif1", b"avif"];
/// Other containers, by their first bytes.
const STARTS: [(&[u8], &str); 7] = [
    (b"\x1a\x45\xdf\xa3", "MKV or WebM"),
    (b"\0\0\x01\xba", "MPEG program stream"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "WMV"),
    (b"FLV\x01", "FLV"),
    (b"OggS", "Ogg"),
    (b"DKIF", "IVF"),
    (b".RMF", "RealMedia"),
];

/// A format that needs an external decoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignFormat {
    name: String,
    /// Whether its frames have times.
    pub(crate) timed: bool,
}

impl ForeignFormat {
    /// The format of a file that starts with `head`, if it is such a video.
    pub(super) fn detect(head: &[u8]) -> Option<Self> {
        let timed = |name: &str| Self {
            name: name.to_owned(),
            timed: true,
        };
        if is_mp4(head) {
            return Some(timed("MP4 or MOV"));
        }
        if is_transport_stream(head) {
            return Some(timed("MPEG-TS"));
        }
        if let Some((_, name)) = STARTS.iter().find(|(start, _)| head.starts_with(start)) {
            return Some(timed(name));
        }
        elementary_stream(head).map(|name| Self {
            name: name.to_owned(),
            timed: false,
        })
    }

    /// AVI with another codec than MJPEG.
    pub(super) fn avi(codec: [u8; 4]) -> Self {
        let codec = String::from_utf8_lossy(&codec).replace(char::is_control, "?");
        Self {
            name: format!("AVI with codec '{codec}'"),
            timed: true,
        }
    }
}

impl fmt::Display for ForeignFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Starts with a box of plausible size, and is not a still image.
fn is_mp4(head: &[u8]) -> bool {
    let Some((size, rest)) = head.split_first_chunk::<4>() else {
        return false;
    };
    let starts_with =
        |words: &[&[u8; 4]], bytes: &[u8]| words.iter().any(|w| bytes.starts_with(*w));
    // 1: the size follows; 0: up to the end.
    let sized = matches!(u32::from_be_bytes(*size), 0 | 1 | 8..);
    let image =
        rest.starts_with(b"ftyp") && starts_with(&IMAGES, rest.get(4..).unwrap_or_default());
    sized && starts_with(&BOXES, rest) && !image
}

/// At least two packets in a row, and no other byte where one should start.
fn is_transport_stream(head: &[u8]) -> bool {
    PACKETS.iter().any(|&(offset, size)| {
        let mut packets = head.iter().skip(offset).step_by(size);
        packets.len() > 1 && packets.all(|b| *b == SYNC)
    })
}

/// Units behind start codes, without a container.
fn elementary_stream(head: &[u8]) -> Option<&'static str> {
    let behind = head
        .strip_prefix(b"\0\0\0\x01")
        .or_else(|| head.strip_prefix(b"\0\0\x01"))?;
    match behind {
        [0xb3, ..] => Some("MPEG-2"),
        // Parameter sets (32 to 34), a delimiter, or a message, of layer 0.
        [0x40 | 0x42 | 0x44 | 0x46 | 0x4e, 0x01, ..] => Some("H.265"),
        // A parameter set of any importance, a delimiter, or a message.
        [0x27 | 0x47 | 0x67 | 0x28 | 0x48 | 0x68 | 0x09 | 0x06, ..] => Some("H.264"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(head: &[u8]) -> Option<String> {
        ForeignFormat::detect(head).map(|f| f.to_string())
    }

    #[test]
    fn formats_are_recognised_by_their_content() {
        let packets = |size: usize, offset: usize| {
            let mut packet = vec![0; size];
            packet[offset] = SYNC;
            packet.repeat(5)
        };
        for (head, expected) in [
            (&b"\0\0\0\x18ftypmp42\0\0\0\0"[..], "MP4 or MOV"),
            (b"\0\0\0\x14ftypqt  ", "MP4 or MOV"),
            (b"\0\0\0\x08wide\0\x01\0\0mdat", "MP4 or MOV"),
            (b"\0\0\0\x01mdat\0\0\0\0", "MP4 or MOV"),
            (b"\x1a\x45\xdf\xa3\x9f\x42", "MKV or WebM"),
            (&packets(188, 0), "MPEG-TS"),
            (&packets(192, 4), "MPEG-TS"),
            (b"\0\0\x01\xba\x44", "MPEG program stream"),
            (b"\0\0\0\x01\x67\x42\0\x1e", "H.264"),
            (b"\0\0\0\x01\x09\x10", "H.264"),
            (b"\0\0\x01\x27\x64", "H.264"),
            (b"\0\0\0\x01\x40\x01\x0c", "H.265"),
            (b"\0\0\0\x01\x46\x01\x10", "H.265"),
            (b"\0\0\x01\xb3\x14", "MPEG-2"),
            (b"FLV\x01\x05", "FLV"),
        ] {
            assert_eq!(name(head).as_deref(), Some(expected), "{head:?}");
        }
        assert!(!ForeignFormat::detect(b"\0\0\0\x01\x67\x42").unwrap().timed);
    }

    #[test]
    fn other_files_are_not_taken_for_videos() {
        for head in [
            &b""[..],
            b"GGGGGGGG",
            b"\0\0\0\x18ftypheic",
            b"\0\0\0\x1cftypavif",
            b"\0\0\0\x03ftyp",
            b"frames/free/0.jpg\n",
            b"\0\0\x01\0\x01\0",
            b"\x89PNG\r\n\x1a\n",
            b"PK\x03\x04",
        ] {
            assert_eq!(name(head), None, "{head:?}");
        }
        let words = b"Good whales\n".repeat(60);
        assert_eq!(name(&words), None);
    }
}
