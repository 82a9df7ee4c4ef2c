//! How large a photo may be.

/// The limit on each side of a photo, in pixels.
pub const MAX_SIDE: u32 = 16_384;
/// The limit on the number of pixels of a JPEG.
pub const MAX_PIXELS: u64 = 256_000_000;
/// The limit on the number of pixels of other photos. A JPEG with more is decoded at half its width and height.
pub const MAX_FULL_SIZE_PIXELS: u64 = 100_000_000;
