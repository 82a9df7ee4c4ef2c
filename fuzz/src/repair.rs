//! Repairs checksums: the fuzzer would hardly ever hit a valid one and never reach the code after
//! it.

/// Sets a valid checksum in the envelope of a message ([`flukewatch_common::wire`]).
pub fn message(bytes: &mut [u8]) {
    if let Some((head, payload)) = bytes.split_at_mut_checked(11) {
        head[7..].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    }
}

/// Sets valid checksums in the first 64 bytes of a catalogue of format 2.
pub fn catalogue(bytes: &mut [u8]) {
    let Some((head, rest)) = bytes.split_at_mut_checked(64) else {
        return;
    };
    if head.starts_with(b"FLKC\x02\0") {
        head[28..32].copy_from_slice(&crc32fast::hash(rest).to_le_bytes());
        let own = crc32fast::hash(&head[..32]);
        head[32..36].copy_from_slice(&own.to_le_bytes());
    }
}
