//! Whether a JPEG file is all there: the decoder fills what is missing with grey and says nothing.

/// Whether the file runs from its first marker to its end-of-image marker.
pub(super) fn is_whole(bytes: &[u8]) -> bool {
    const END_OF_IMAGE: u8 = 0xd9;
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8]).unwrap_or_default();
    // Markers are found one after the other: a preview within a segment has an end-of-image marker too.
    while let Some(at) = rest
        .windows(2)
        .position(|w| w[0] == 0xff && is_marker(w[1]))
    {
        if rest[at + 1] == END_OF_IMAGE {
            return true;
        }
        let Some([high, low]) = rest.get(at + 2..at + 4) else {
            return false;
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        rest = rest.get(at + 2 + length..).unwrap_or_default();
    }
    false
}

/// Not a stuffed zero, filling, or a marker that belongs to the picture's data.
fn is_marker(byte: u8) -> bool {
    !matches!(byte, 0x00 | 0x01 | 0xd0..=0xd8 | 0xff)
}
