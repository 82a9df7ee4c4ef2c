//! One scan: the blocks of some components, or a part of their coefficients.

use super::JpegDamage;
use super::bits::Bits;
use super::huffman::{END_OF_BLOCK, Table};

/// A component of the image, e.g. luma.
pub(super) struct Component {
    pub(super) id: u8,
    /// Sampling factors, 1 to 4.
    across: usize,
    down: usize,
    /// The slot of its quantisation steps.
    steps: usize,
    /// For each coefficient the low bits that scans have not brought yet.
    missing_bits: [u8; 64],
    /// Of a progressive image: for each block the coefficients that are not 0, a bit each.
    non_zero: Vec<u64>,
}

impl Component {
    pub(super) fn new(id: u8, across: usize, down: usize, steps: usize) -> Self {
        Self {
            id,
            across,
            down,
            steps,
            missing_bits: [u8::MAX; 64],
            non_zero: vec![],
        }
    }

    /// Whether scans have brought all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.missing_bits.iter().all(|bits| *bits == 0)
    }
}

/// A component of a scan: its position in the image, and its tables.
pub(super) struct ScanComponent {
    pub(super) number: usize,
    pub(super) dc: usize,
    pub(super) ac: usize,
}

/// What a scan holds.
pub(super) struct Scan<'a> {
    pub(super) components: &'a [ScanComponent],
    /// The first and last coefficient, 0 to 63.
    pub(super) first: usize,
    pub(super) last: usize,
    /// Whether it adds a bit to coefficients of earlier scans.
    pub(super) refines: bool,
    /// Low bits of the coefficients that later scans bring.
    pub(super) shift: u8,
    pub(super) progressive: bool,
    /// MCUs between restart markers; 0 without.
    pub(super) restart_interval: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

pub(super) type Tables = [Option<Box<Table>>; 4];

/// Twice the largest coefficient of an 8-bit image, in samples, and a quarter more: encoders may overshoot.
const LARGEST: u32 = 2560;

/// The blocks of one component in one MCU.
struct Share<'a> {
    component: usize,
    /// Blocks in an MCU.
    across: usize,
    down: usize,
    /// Blocks in a row of `non_zero`.
    stride: usize,
    dc: &'a Table,
    ac: &'a Table,
    /// For each coefficient the most bits of its value: more would be darker than black or whiter than white.
    limits: [u8; 64],
    /// The largest DC value likewise, and the current one.
    dc_limit: i32,
    dc_value: i32,
}

impl Scan<'_> {
    /// Follows all blocks from `data` on; returns where the data end.
    ///
    /// # Errors
    /// The first damage.
    pub(super) fn follow(
        &self,
        components: &mut [Component],
        (dc, ac, steps): (&Tables, &Tables, &[Option<[u16; 64]>; 4]),
        jpeg: &[u8],
        data: usize,
    ) -> Result<usize, JpegDamage> {
        const NO_TABLE: JpegDamage =
            JpegDamage::Header("scan header: its Huffman table is missing");
        let (widest, highest) = components.iter().fold((1, 1), |(across, down), c| {
            (c.across.max(across), c.down.max(down))
        });
        let mut mcus_across = self.width.div_ceil(8 * widest);
        let mut mcus_down = self.height.div_ceil(8 * highest);
        let mut shares = vec![];
        for chosen in self.components {
            let component = &mut components[chosen.number];
            component.missing_bits[self.first..=self.last].fill(self.shift);
            let stride = mcus_across * component.across;
            if self.progressive {
                let blocks = stride * mcus_down * component.down;
                component.non_zero.resize(blocks, 0);
            }
            let steps = steps.get(component.steps).copied().flatten();
            let steps = steps.ok_or(JpegDamage::Header("quantisation table"))?;
            let steps = steps.map(|s| u32::from(s.max(1)));
            shares.push(Share {
                component: chosen.number,
                across: component.across,
                down: component.down,
                stride,
                limits: steps.map(|s| (LARGEST / s + 1).ilog2().max(1) as u8),
                dc_limit: (LARGEST / steps[0] / 2 + 1) as i32,
                dc_value: 0,
                dc: dc
                    .get(chosen.dc)
                    .and_then(Option::as_deref)
                    .ok_or(NO_TABLE)?,
                ac: ac
                    .get(chosen.ac)
                    .and_then(Option::as_deref)
                    .ok_or(NO_TABLE)?,
            });
        }
        if let [share] = &mut shares[..] {
            // A scan of one component has no blocks that only pad MCUs, and a block is an MCU.
            mcus_across = (self.width * share.across).div_ceil(8 * widest);
            mcus_down = (self.height * share.down).div_ceil(8 * highest);
            (share.across, share.down) = (1, 1);
        }
        let in_mcu: usize = shares.iter().map(|s| s.across * s.down).sum();
        let blocks = (mcus_across * mcus_down * in_mcu) as u64;
        let mut bits = Bits::new(jpeg, data);
        let mut end_of_band = 0;
        let mut next_restart = 0u8;
        for mcu in 0..mcus_across * mcus_down {
            if self.restart_interval > 0 && mcu > 0 && mcu % self.restart_interval == 0 {
                let at = bits.finish()?;
                if jpeg.get(at..at + 2) != Some(&[0xff, 0xd0 + next_restart]) {
                    return Err(self.restart_missing(jpeg, at, mcu * in_mcu, blocks));
                }
                bits = Bits::new(jpeg, at + 2);
                next_restart = (next_restart + 1) % 8;
                end_of_band = 0;
                shares.iter_mut().for_each(|s| s.dc_value = 0);
            }
            let (column, row) = (mcu % mcus_across, mcu / mcus_across);
            for share in &mut shares {
                for y in 0..share.down {
                    for x in 0..share.across {
                        let start = bits.position();
                        let valid = if self.progressive {
                            let block =
                                (row * share.down + y) * share.stride + column * share.across + x;
                            let non_zero = components
                                .get_mut(share.component)
                                .and_then(|c| c.non_zero.get_mut(block));
                            non_zero.is_some_and(|n| {
                                self.progressive_block(share, &mut bits, n, &mut end_of_band)
                                    .is_some()
                            })
                        } else {
                            sequential_block(share, &mut bits).is_some()
                        };
                        // Zeros that stand for missing data may be no code.
                        if bits.is_exhausted() {
                            return Err(JpegDamage::Missing {
                                at: bits.position(),
                                missing: blocks - (mcu * in_mcu) as u64,
                                blocks,
                            });
                        }
                        // One byte over and over is what an overwritten block has, and no other: a
                        // flat one takes a few bits.
                        let end = bits.position();
                        if !valid || end > start + 10 && bits.is_one_byte(start + 1, end - 1) {
                            return Err(JpegDamage::Code { at: end });
                        }
                    }
                }
            }
        }
        bits.finish()
    }

    /// At `at` no restart marker stands: the data end there, or something else follows.
    fn restart_missing(&self, jpeg: &[u8], at: usize, done: usize, blocks: u64) -> JpegDamage {
        match jpeg.get(at + 1) {
            Some(0xd0..=0xd7) => JpegDamage::Restart { at },
            _ => JpegDamage::Missing {
                at,
                missing: blocks - done as u64,
                blocks,
            },
        }
    }

    /// A block of a progressive scan, annex G; `None` where its codes are invalid.
    fn progressive_block(
        &self,
        share: &mut Share<'_>,
        bits: &mut Bits<'_>,
        non_zero: &mut u64,
        end_of_band: &mut u32,
    ) -> Option<()> {
        if self.first == 0 {
            bits.refill();
            if self.refines {
                bits.skip(1);
            } else {
                dc_value(share, bits, self.shift)?;
            }
            return Some(());
        }
        if self.refines {
            return self.refine_block(share, bits, non_zero, end_of_band);
        }
        if *end_of_band > 0 {
            *end_of_band -= 1;
            return Some(());
        }
        let mut at = self.first;
        while at <= self.last {
            bits.refill();
            let symbol = share.ac.symbol(bits)?;
            let (run, size) = (symbol >> 4, symbol & 15);
            if size == 0 {
                if run < 15 {
                    *end_of_band = (1 << run) - 1;
                    if run > 0 {
                        *end_of_band += bits.take(run.into());
                    }
                    return Some(());
                }
                at += 16;
            } else {
                at += usize::from(run);
                if at > self.last || size + self.shift > share.limits[at] {
                    return None;
                }
                *non_zero |= 1 << at;
                bits.skip(size.into());
                at += 1;
            }
        }
        Some(())
    }

    /// A block of a scan that refines coefficients: one bit for each that was not 0 before.
    fn refine_block(
        &self,
        share: &Share<'_>,
        bits: &mut Bits<'_>,
        non_zero: &mut u64,
        end_of_band: &mut u32,
    ) -> Option<()> {
        let before = *non_zero;
        let was_non_zero = |at: usize| before >> at & 1 == 1;
        let mut at = self.first;
        while *end_of_band == 0 && at <= self.last {
            bits.refill();
            let symbol = share.ac.symbol(bits)?;
            let (mut run, size) = (symbol >> 4, symbol & 15);
            match size {
                0 if run < 15 => {
                    *end_of_band = 1 << run;
                    if run > 0 {
                        *end_of_band += bits.take(run.into());
                    }
                    break;
                }
                0 => {}
                1 => bits.skip(1),
                _ => return None,
            }
            // Skips `run` zeros, and refines what stands between them.
            while at <= self.last {
                if was_non_zero(at) {
                    bits.refill();
                    bits.skip(1);
                } else if run == 0 {
                    if size == 1 {
                        *non_zero |= 1 << at;
                    }
                    at += 1;
                    break;
                } else {
                    run -= 1;
                }
                at += 1;
            }
        }
        if *end_of_band > 0 {
            for at in at..=self.last {
                if was_non_zero(at) {
                    bits.refill();
                    bits.skip(1);
                }
            }
            *end_of_band -= 1;
        }
        Some(())
    }
}

/// A block of a sequential scan, annex F; `None` where its codes or values are invalid.
#[inline]
fn sequential_block(share: &mut Share<'_>, bits: &mut Bits<'_>) -> Option<()> {
    bits.refill();
    dc_value(share, bits, 0)?;
    let mut at = 1u32;
    let step = |bits: &mut Bits<'_>, at: &mut u32| {
        let step = share.ac.step(bits)?;
        *at += u32::from(step.moves);
        // Without a value the size is 0, wherever it has moved to.
        (step.size <= share.limits[(*at as usize - 1) % 64]).then_some(())
    };
    while at < 64 {
        // Enough for the longest code and value, or for two common ones.
        bits.refill();
        step(bits, &mut at)?;
        if at < 64 && bits.has(31) {
            step(bits, &mut at)?;
        }
    }
    // Anything between is a run beyond the last coefficient.
    (at == 64 || at >= END_OF_BLOCK.into()).then_some(())
}

/// Takes a DC difference of at most 11 bits; `None` where the value is none that an image has.
#[inline]
fn dc_value(share: &mut Share<'_>, bits: &mut Bits<'_>, shift: u8) -> Option<()> {
    let size = u32::from(share.dc.symbol(bits)?);
    if size > 11 {
        return None;
    }
    if size > 0 {
        let value = bits.take(size) as i32;
        // Values below half of the range are negative.
        let negative = value >> (size - 1) == 0;
        share.dc_value += if negative {
            value - (1 << size) + 1
        } else {
            value
        };
    }
    let value = share.dc_value.checked_shl(shift.into())?;
    (value.abs() <= share.dc_limit).then_some(())
}
