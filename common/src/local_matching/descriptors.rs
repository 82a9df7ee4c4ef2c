//! The descriptors of one photo, quantised to one byte per number.

use super::layout::Layout;
use crate::catalogue::kernel::{CHUNK, Chunk, LARGEST, chunks};

/// The local output of a model for one view of a photo.
#[derive(Clone, Copy, Debug)]
pub struct ViewMap<'a> {
    /// `[C, height, width] f32` with the channels of [`Layout::channels`]: a block for each of the V views, of which this view's is
    /// used, and four blocks for the fine grid: of the upper left, upper right, lower left and lower right quarter of each location.
    pub values: &'a [f32],
    /// Whether left and right are swapped in this view.
    pub mirrored: bool,
}

/// Why a model's output cannot be used as descriptors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptorError {
    /// Another number of values than the layout needs.
    #[error("the model's local output has {got} values; expected {expected}")]
    Length {
        /// The number of values that the layout needs.
        expected: usize,
        /// The number of values of the output.
        got: usize,
    },
    /// A value is NaN or infinite: the model or its input is faulty.
    #[error("the model's local output holds a value that is not finite")]
    NotFinite,
}

/// The descriptors of a photo's locations, each of length 1 before it was quantised, and the weight of each location.
///
/// The weight is the length that the descriptor had: locations of sea and blur have short ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Descriptors {
    layout: Layout,
    /// `[locations, chunks] i8`.
    codes: Vec<Chunk>,
    /// The weights as stored, the largest 65,535.
    stored_weights: Vec<u16>,
    /// The weights, with the sum 1; all 0 for a photo without any structure.
    weights: Vec<f32>,
    /// 1 / length of the codes of each location; 0 for a location without a direction.
    inverse_lengths: Vec<f32>,
    /// Those of the fine grid.
    fine: Option<Box<Self>>,
}

impl Descriptors {
    /// The descriptors of a photo from the local outputs of its views, in the manifest's order: view `v` contributes its
    /// block `v` of channels, turned back where it is mirrored. The fine grid is that of the first view.
    ///
    /// # Errors
    /// When an output has another size or holds a value that is not finite.
    pub fn of_views(layout: Layout, views: &[ViewMap<'_>]) -> Result<Self, DescriptorError> {
        let (locations, dimension) = (layout.locations(), layout.dimension);
        let expected = layout.channels(views.len()) * locations;
        let mut sums = vec![0f32; locations * dimension];
        for (number, view) in views.iter().enumerate() {
            if view.values.len() != expected {
                return Err(DescriptorError::Length {
                    expected,
                    got: view.values.len(),
                });
            }
            let block = &view.values[number * dimension * locations..][..dimension * locations];
            for (channel, map) in block.chunks_exact(locations).enumerate() {
                for (at, value) in map.iter().enumerate() {
                    let (row, column) = (at / layout.width, at % layout.width);
                    let column = match view.mirrored {
                        true => layout.width - 1 - column,
                        false => column,
                    };
                    sums[(row * layout.width + column) * dimension + channel] += value;
                }
            }
        }
        let mut descriptors = Self::quantised(Layout { fine: 0, ..layout }, &sums)?;
        if let (Some(grid), Some(view)) = (layout.fine_grid(), views.first()) {
            let block = &view.values[views.len() * dimension * locations..];
            let fine = Self::quantised(grid, &fine_values(layout, block, view.mirrored))?;
            descriptors.layout = layout;
            descriptors.fine = Some(Box::new(fine));
        }
        Ok(descriptors)
    }

    /// Quantises descriptors `[locations, dimension] f32` of one grid.
    ///
    /// # Errors
    /// When their number differs from the layout's or one is not finite.
    pub fn quantised(layout: Layout, values: &[f32]) -> Result<Self, DescriptorError> {
        let (locations, dimension) = (layout.locations(), layout.dimension);
        if values.len() != locations * dimension {
            return Err(DescriptorError::Length {
                expected: locations * dimension,
                got: values.len(),
            });
        }
        if !values.iter().all(|v| v.is_finite()) {
            return Err(DescriptorError::NotFinite);
        }
        let lengths: Vec<f64> = values
            .chunks_exact(dimension)
            .map(|d| d.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt())
            .collect();
        let longest = lengths.iter().copied().fold(0f64, f64::max);
        let stored_weights = lengths
            .iter()
            .map(|length| match longest > 0.0 {
                true => (length / longest * f64::from(u16::MAX)).round() as u16,
                false => 0,
            })
            .collect();
        let width = chunks(dimension);
        let mut codes = vec![Chunk([0; CHUNK]); locations * width];
        for (descriptor, codes) in values
            .chunks_exact(dimension)
            .zip(codes.chunks_exact_mut(width))
        {
            let peak = descriptor.iter().fold(0f32, |m, v| m.max(v.abs()));
            // With f64, a tiny peak does not overflow the quotient.
            let scale = f64::from(peak) / f64::from(LARGEST);
            if scale > 0.0 {
                for (number, value) in descriptor.iter().enumerate() {
                    let code = (f64::from(*value) / scale).round() as i8;
                    codes[number / CHUNK].0[number % CHUNK] = code.clamp(-LARGEST, LARGEST);
                }
            }
        }
        Ok(Self::of_codes(layout, codes, stored_weights))
    }

    fn of_codes(layout: Layout, codes: Vec<Chunk>, stored_weights: Vec<u16>) -> Self {
        let sum: f32 = stored_weights.iter().map(|&w| f32::from(w)).sum();
        let weights = stored_weights
            .iter()
            .map(|&w| if sum > 0.0 { f32::from(w) / sum } else { 0.0 })
            .collect();
        let inverse_lengths = codes
            .chunks_exact(chunks(layout.dimension))
            .map(|codes| {
                let square: i32 = codes
                    .iter()
                    .flat_map(|c| c.0)
                    .map(|c| i32::from(c) * i32::from(c))
                    .sum();
                match square {
                    0 => 0.0,
                    _ => 1.0 / (square as f32).sqrt(),
                }
            })
            .collect();
        Self {
            layout,
            codes,
            stored_weights,
            weights,
            inverse_lengths,
            fine: None,
        }
    }

    /// The descriptors of the fine grid, if there is one.
    pub fn fine(&self) -> Option<&Self> {
        self.fine.as_deref()
    }

    /// The grid of locations.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The weights of the locations, row by row; their sum is 1.
    pub fn weights(&self) -> &[f32] {
        &self.weights
    }

    /// The descriptor of a location, of length 1, or 0 without a direction.
    ///
    /// # Panics
    /// If the location is out of range.
    pub fn values(&self, location: usize) -> Vec<f32> {
        let codes = self.codes(location).iter().flat_map(|c| c.0);
        codes
            .take(self.layout.dimension)
            .map(|code| f32::from(code) * self.inverse_lengths[location])
            .collect()
    }

    /// The number of bytes of [`Descriptors::to_bytes`].
    pub fn bytes(layout: Layout) -> usize {
        record_chunks(layout) * CHUNK
    }

    /// The compact form: the codes, i8 in -127..=127, each location padded with zeros to a multiple of 64; then the weights,
    /// u16 little-endian, padded with zeros to a multiple of 64; then the same of the fine grid.
    pub fn to_bytes(&self) -> Vec<u8> {
        bytemuck::cast_slice(&self.to_record()).to_vec()
    }

    /// Reads what [`Descriptors::to_bytes`] wrote; `None` for bytes of another length or with the code -128.
    pub fn from_bytes(layout: Layout, bytes: &[u8]) -> Option<Self> {
        if bytes.len() != Self::bytes(layout) {
            return None;
        }
        let record: Vec<Chunk> = bytes
            .chunks_exact(CHUNK)
            .map(|bytes| Chunk(std::array::from_fn(|i| bytes[i] as i8)))
            .collect();
        Self::from_record(layout, &record)
    }

    /// The compact form in chunks, as it is stored.
    pub(super) fn to_record(&self) -> Vec<Chunk> {
        let mut record = self.codes.clone();
        record.resize(grid_chunks(self.layout), Chunk([0; CHUNK]));
        let weights = &mut record[self.codes.len()..];
        for (at, weight) in self.stored_weights.iter().enumerate() {
            for (byte, value) in weight.to_le_bytes().into_iter().enumerate() {
                let at = 2 * at + byte;
                weights[at / CHUNK].0[at % CHUNK] = value as i8;
            }
        }
        record.extend(self.fine.iter().flat_map(|fine| fine.to_record()));
        record
    }

    /// Reads what [`Descriptors::to_record`] gave.
    pub(super) fn from_record(layout: Layout, record: &[Chunk]) -> Option<Self> {
        if record.len() != record_chunks(layout) {
            return None;
        }
        let (record, fine) = record.split_at(grid_chunks(layout));
        let (codes, weights) = record.split_at(layout.locations() * chunks(layout.dimension));
        // -128 has no absolute value in i8, which the kernels need.
        if codes.iter().flat_map(|c| c.0).any(|c| c < -LARGEST) {
            return None;
        }
        let byte = |at: usize| weights[at / CHUNK].0[at % CHUNK] as u8;
        let weights = (0..layout.locations())
            .map(|at| u16::from_le_bytes([byte(2 * at), byte(2 * at + 1)]))
            .collect();
        let fine = match layout.fine_grid() {
            Some(grid) => Some(Box::new(Self::from_record(grid, fine)?)),
            None => None,
        };
        Some(Self {
            fine,
            ..Self::of_codes(layout, codes.to_vec(), weights)
        })
    }

    /// The codes of a location.
    pub(super) fn codes(&self, location: usize) -> &[Chunk] {
        self.codes_of(location, 1)
    }

    /// The codes of `count` locations from `first` on.
    pub(super) fn codes_of(&self, first: usize, count: usize) -> &[Chunk] {
        let width = chunks(self.layout.dimension);
        &self.codes[first * width..(first + count) * width]
    }

    /// 1 / length of the codes of a location; 0 for one without a direction.
    pub(super) fn inverse_length(&self, location: usize) -> f32 {
        self.inverse_lengths[location]
    }
}

/// The number of chunks of a photo's record.
pub(super) fn record_chunks(layout: Layout) -> usize {
    grid_chunks(layout) + layout.fine_grid().map_or(0, grid_chunks)
}

/// `[fine locations, fine dimension]` from the four blocks of a local output, turned back where the view is mirrored.
fn fine_values(layout: Layout, blocks: &[f32], mirrored: bool) -> Vec<f32> {
    let (locations, dimension) = (layout.locations(), layout.fine);
    let mut values = vec![0f32; 4 * locations * dimension];
    for (number, map) in blocks.chunks_exact(locations).enumerate() {
        let (quarter, channel) = (number / dimension, number % dimension);
        for (at, value) in map.iter().enumerate() {
            let row = 2 * (at / layout.width) + quarter / 2;
            let column = 2 * (at % layout.width) + quarter % 2;
            let column = match mirrored {
                true => 2 * layout.width - 1 - column,
                false => column,
            };
            values[(row * 2 * layout.width + column) * dimension + channel] = *value;
        }
    }
    values
}

/// The number of chunks of one grid in a record.
fn grid_chunks(layout: Layout) -> usize {
    let weights = (2 * layout.locations()).div_ceil(CHUNK);
    layout.locations() * chunks(layout.dimension) + weights
}
