//! Huffman tables, for following codes rather than for decoding values.

use super::JpegDamage;
use super::bits::Bits;

/// Bits that one look-up decides; longer codes are rare.
const FAST: u32 = 10;

/// A table of codes, canonical as in ITU T.81, annex C.
pub(super) struct Table {
    /// By the next [`FAST`] bits: the symbol in the high byte, the code's length in the low one; 0 for longer
    /// codes and for none.
    fast: [u16; 1 << FAST],
    /// By the next [`FAST`] bits, of an AC table: what the symbol stands for; no bits likewise.
    steps: [Step; 1 << FAST],
    /// By length: the first code behind those of this length, aligned to 16 bits.
    limits: [u32; 17],
    /// By length: what to add to a code for its position in `symbols`.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Table {
    /// Reads the counts and symbols of a segment; returns the bytes behind them.
    ///
    /// # Errors
    /// [`JpegDamage::Header`] where they are not a table.
    pub(super) fn read(segment: &[u8]) -> Result<(Self, &[u8]), JpegDamage> {
        const INVALID: JpegDamage = JpegDamage::Header("Huffman table");
        let (counts, rest) = segment.split_at_checked(16).ok_or(INVALID)?;
        let total: usize = counts.iter().map(|c| usize::from(*c)).sum();
        let (values, behind) = rest.split_at_checked(total).ok_or(INVALID)?;
        if total > 256 {
            return Err(INVALID);
        }
        let mut table = Self {
            fast: [0; 1 << FAST],
            steps: [Step::NONE; 1 << FAST],
            limits: [0; 17],
            offsets: [0; 17],
            symbols: [0; 256],
        };
        table.symbols[..total].copy_from_slice(values);
        let (mut code, mut position) = (0u32, 0usize);
        for (length, count) in (1u32..).zip(counts) {
            let count = usize::from(*count);
            if code + count as u32 > 1 << length {
                return Err(INVALID);
            }
            table.offsets[length as usize] = position as i32 - code as i32;
            for symbol in &values[position..position + count] {
                if length <= FAST {
                    let entry = u16::from(*symbol) << 8 | length as u16;
                    let start = (code << (FAST - length)) as usize;
                    let end = start + (1 << (FAST - length));
                    table.fast[start..end].fill(entry);
                    table.steps[start..end].fill(Step::of(*symbol, length));
                }
                code += 1;
            }
            position += count;
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok((table, behind))
    }

    /// Takes the next code; its symbol, or `None` where the bits are not a code.
    #[inline]
    pub(super) fn symbol(&self, bits: &mut Bits<'_>) -> Option<u8> {
        let next = bits.peek();
        let entry = self.fast[(next >> (16 - FAST)) as usize];
        if entry != 0 {
            bits.skip(u32::from(entry & 0xff));
            return Some((entry >> 8) as u8);
        }
        self.long_symbol(next, bits)
    }

    /// Takes the next code of an AC table and the value after it, up to 31 bits; `None` if the bits are not a code.
    #[inline]
    pub(super) fn step(&self, bits: &mut Bits<'_>) -> Option<Step> {
        let next = bits.peek();
        let step = self.steps[(next >> (16 - FAST)) as usize];
        if step.bits != 0 {
            bits.skip(step.bits.into());
            return Some(step);
        }
        let step = Step::of(self.long_symbol(next, bits)?, 0);
        bits.skip(step.bits.into());
        Some(step)
    }

    #[cold]
    fn long_symbol(&self, next: u32, bits: &mut Bits<'_>) -> Option<u8> {
        let length = (FAST + 1..=16).find(|l| next < self.limits[*l as usize])?;
        bits.skip(length);
        let position = (next >> (16 - length)) as i32 + self.offsets[length as usize];
        self.symbols.get(usize::try_from(position).ok()?).copied()
    }
}

/// What an AC symbol stands for.
#[derive(Clone, Copy)]
pub(super) struct Step {
    /// Coefficients to move on by; [`END_OF_BLOCK`] at the end of a block.
    pub(super) moves: u8,
    /// Bits of the value: its magnitude is at least half of 2 to this power. 0 without a value.
    pub(super) size: u8,
    /// Bits of code and value.
    bits: u8,
}

/// More than any run.
pub(super) const END_OF_BLOCK: u8 = 128;

impl Step {
    const NONE: Self = Self {
        moves: 0,
        size: 0,
        bits: 0,
    };

    fn of(symbol: u8, length: u32) -> Self {
        let (run, size) = (symbol >> 4, symbol & 15);
        let moves = match (run, size) {
            (15, 0) => 16,
            (_, 0) => END_OF_BLOCK,
            _ => run + 1,
        };
        Self {
            moves,
            size,
            bits: length as u8 + size,
        }
    }
}
