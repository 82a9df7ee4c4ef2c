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
    /// Whether a scan has held it.
    pub(super) scanned: bool,
    /// Of a progressive image: for each block the coefficients that are not 0, a bit each.
    non_zero: Vec<u64>,
}

impl Component {
    pub(super) fn new(id: u8, across: usize, down: usize) -> Self {
        Self {
            id,
            across,
            down,
            scanned: false,
            non_zero: vec![],
        }
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
    pub(super) progressive: bool,
    /// MCUs between restart markers; 0 without.
    pub(super) restart_interval: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

pub(super) type Tables = [Option<Box<Table>>; 4];

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
}

impl Scan<'_> {
    /// Follows all blocks from `data` on; returns where the data end.
    ///
    /// # Errors
    /// The first damage.
    pub(super) fn follow(
        &self,
        components: &mut [Component],
        dc: &Tables,
        ac: &Tables,
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
            component.scanned = true;
            let stride = mcus_across * component.across;
            if self.progressive {
                let blocks = stride * mcus_down * component.down;
                component.non_zero.resize(blocks, 0);
            }
            shares.push(Share {
                component: chosen.number,
                across: component.across,
                down: component.down,
                stride,
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
            }
            let (column, row) = (mcu % mcus_across, mcu / mcus_across);
            for share in &shares {
                for y in 0..share.down {
                    for x in 0..share.across {
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
                        if !valid {
                            let at = bits.position();
                            return Err(JpegDamage::Code { at });
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
        share: &Share<'_>,
        bits: &mut Bits<'_>,
        non_zero: &mut u64,
        end_of_band: &mut u32,
    ) -> Option<()> {
        if self.first == 0 {
            bits.refill();
            if self.refines {
                bits.skip(1);
            } else {
                let size = share.dc.symbol(bits)?;
                skip_difference(bits, size)?;
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
                if at > self.last {
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

/// A block of a sequential scan, annex F; `None` where its codes are invalid.
#[inline]
fn sequential_block(share: &Share<'_>, bits: &mut Bits<'_>) -> Option<()> {
    bits.refill();
    let size = share.dc.symbol(bits)?;
    skip_difference(bits, size)?;
    let mut at = 1;
    while at < 64 {
        // Enough for the longest code and value; two short ones on average.
        bits.refill();
        at += share.ac.step(bits)?;
        if at < 64 && bits.has(31) {
            at += share.ac.step(bits)?;
        }
    }
    // Anything between is a run beyond the last coefficient.
    (at == 64 || at >= END_OF_BLOCK).then_some(())
}

/// The bits of a DC difference, at most 11 for samples of 8 bits.
#[inline]
fn skip_difference(bits: &mut Bits<'_>, size: u8) -> Option<()> {
    if size > 11 {
        return None;
    }
    bits.skip(size.into());
    Some(())
}
