//! The bits of entropy-coded data.

use super::JpegDamage;

/// Whole bytes that may be left behind the last block, of any value: some encoders flush one too many.
const MOST_LEFT: usize = 2;

/// Reads bits, most significant first, up to the next marker. Behind it come zeros, which
/// [`Bits::is_exhausted`] reports.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// The next byte to load.
    at: usize,
    /// The next bits, from the top.
    buffer: u64,
    /// How many of them are data; negative once zeros behind the data were taken.
    left: i32,
}

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self {
            bytes,
            at,
            buffer: 0,
            left: 0,
        }
    }

    /// The byte of the next bit, give or take those that stuffed zeros take.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.at.saturating_sub((self.left.max(0) / 8) as usize)
    }

    /// Whether at least 8 bytes between two positions are all the same.
    pub(super) fn is_one_byte(&self, from: usize, to: usize) -> bool {
        match self.bytes.get(from..to) {
            Some([first, rest @ ..]) if rest.len() >= 7 => rest.iter().all(|byte| byte == first),
            _ => false,
        }
    }

    /// Loads until there are at least 56 bits, unless the data end.
    #[inline]
    pub(super) fn refill(&mut self) {
        if self.left > 55 {
            return;
        }
        if let Some(next) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk)
            && self.left >= 0
        {
            let next = u64::from_be_bytes(*next);
            // No byte is FF: none of the complement's is 0.
            const LOW: u64 = u64::MAX / 255;
            let inverse = !next;
            if inverse.wrapping_sub(LOW) & next & (LOW << 7) == 0 {
                self.buffer |= next >> self.left;
                self.at += (63 - self.left as usize) / 8;
                self.left |= 56;
                return;
            }
        }
        self.refill_slowly();
    }

    #[cold]
    #[inline(never)]
    fn refill_slowly(&mut self) {
        while (0..=56).contains(&self.left) {
            let Some(&byte) = self.bytes.get(self.at) else {
                return;
            };
            let mut step = 1;
            if byte == 0xff {
                // A stuffed zero follows a byte of data; anything else ends them.
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                step = 2;
            }
            self.buffer |= u64::from(byte) << (56 - self.left);
            self.left += 8;
            self.at += step;
        }
    }

    /// The next 16 bits.
    #[inline]
    pub(super) fn peek(&self) -> u32 {
        (self.buffer >> 48) as u32
    }

    /// Takes up to 63 bits; more than there are count as zeros.
    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.buffer <<= count;
        self.left -= count as i32;
    }

    /// Takes up to 15 bits.
    #[inline]
    pub(super) fn take(&mut self, count: u32) -> u32 {
        let value = (self.buffer >> 32 >> (32 - count)) as u32;
        self.skip(count);
        value
    }

    /// Whether `count` bits are loaded.
    #[inline]
    pub(super) fn has(&self, count: i32) -> bool {
        self.left >= count
    }

    /// Whether more bits were taken than there are.
    #[inline]
    pub(super) fn is_exhausted(&self) -> bool {
        self.left < 0
    }

    /// Skips padding up to the next marker; returns that marker's offset, or that of the end.
    ///
    /// # Errors
    /// [`JpegDamage::Remaining`] where more than padding is left.
    pub(super) fn finish(&mut self) -> Result<usize, JpegDamage> {
        // The rest of the last byte, then whole bytes.
        let left = self.left.max(0) as u32;
        let buffered = (left / 8) as usize;
        let whole = (self.buffer << (left % 8)).to_be_bytes();
        let mut bytes = buffered;
        // Padding of whole bytes is zeros; fill bytes belong to the marker.
        let mut zeros = whole.iter().take(buffered).all(|b| *b == 0);
        let mut rest = Self::new(self.bytes, self.at);
        loop {
            rest.left = 0;
            rest.buffer = 0;
            rest.refill_slowly();
            if rest.left == 0 {
                break;
            }
            bytes += rest.left as usize / 8;
            zeros &= rest.buffer >> (64 - rest.left) == 0;
        }
        let at = rest.at;
        if bytes > MOST_LEFT && !zeros {
            return Err(JpegDamage::Remaining { at, bytes });
        }
        *self = Self::new(self.bytes, at);
        Ok(at)
    }
}
