//! The embeddings of a catalogue, as codes and as floats, in memory or in a mapped file.

use super::codes;
use super::kernel::{CHUNK, Chunk, chunks};
use super::mapped::Mapped;
use std::sync::Arc;

/// Bytes of codes scanned between two releases of pages.
const RETAINED: usize = 1 << 20;
/// Rows of floats read between two releases of pages. The system maps about sixteen pages around
/// each, so this is a few megabytes.
const RETAINED_ROWS: usize = 128;

/// `[N, D]` embeddings. The first ones may be in a mapped file; added rows are in memory.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    dimension: usize,
    mapped: Option<Arc<Mapped>>,
    codes: Vec<Chunk>,
    floats: Vec<f32>,
    scales: Vec<f32>,
    errors: Vec<f32>,
    longest: f32,
    worst: f32,
    releasing: bool,
}

/// Consecutive rows that are contiguous in memory.
pub(crate) struct Segment<'a> {
    /// The codes of the rows, `[n, width]`.
    pub(crate) codes: &'a [Chunk],
    released: Option<&'a Mapped>,
}

impl Segment<'_> {
    /// Releases the pages that a search has scanned: the first `done` chunks, the last `block` of
    /// them new.
    pub(crate) fn passed(&self, done: usize, block: usize) {
        let step = RETAINED / CHUNK;
        if let Some(mapped) = self.released
            && (done / step > (done - block) / step || done == self.codes.len())
        {
            let from = (done - block) / step * step;
            mapped.release_codes(from * CHUNK, (done - from) * CHUNK);
        }
    }
}

impl Rows {
    /// No rows, for embeddings of `dimension` numbers.
    pub(crate) fn new(dimension: usize) -> Self {
        Self {
            dimension,
            mapped: None,
            codes: vec![],
            floats: vec![],
            scales: vec![],
            errors: vec![],
            longest: 0.0,
            worst: 0.0,
            releasing: false,
        }
    }

    /// The rows of a mapped file; `longest` is the one computed when they were quantised.
    pub(crate) fn of_file(
        dimension: usize,
        mapped: Mapped,
        scales: Vec<f32>,
        errors: Vec<f32>,
        longest: f32,
    ) -> Self {
        Self {
            mapped: Some(Arc::new(mapped)),
            worst: errors.iter().copied().fold(0.0, f32::max),
            scales,
            errors,
            longest,
            ..Self::new(dimension)
        }
    }

    /// Adds a row of `dimension` numbers.
    pub(crate) fn push(&mut self, row: &[f32]) {
        debug_assert_eq!(row.len(), self.dimension);
        let rounding = codes::append(row, &mut self.codes);
        self.floats.extend_from_slice(row);
        self.scales.push(rounding.scale);
        self.errors.push(rounding.error);
        // Not `max`, which ignores NaN.
        let larger = |a: f32, b: f32| if b <= a { a } else { b };
        self.longest = larger(self.longest, rounding.length);
        self.worst = larger(self.worst, rounding.error);
    }

    /// The numbers per row.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// The chunks per row.
    pub(crate) fn width(&self) -> usize {
        chunks(self.dimension)
    }

    /// The number of rows.
    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// `[N]`: the scale of each row's codes.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// `[N]`: the bound on each row's quantisation error.
    pub(crate) fn errors(&self) -> &[f32] {
        &self.errors
    }

    /// The largest length of a row's dequantised codes.
    pub(crate) fn longest(&self) -> f32 {
        self.longest
    }

    /// The largest quantisation error of all rows.
    pub(crate) fn worst(&self) -> f32 {
        self.worst
    }

    fn in_file(&self) -> usize {
        self.scales.len() - self.codes.len() / self.width()
    }

    /// All codes, in order.
    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment<'_>> {
        let mapped = self.mapped.as_deref();
        let file = mapped.map(|m| Segment {
            codes: m.codes(),
            released: self.releasing.then_some(m),
        });
        let memory = Segment {
            codes: &self.codes,
            released: None,
        };
        file.into_iter().chain([memory])
    }

    /// `[D]`: a row's numbers.
    pub(crate) fn floats(&self, row: usize) -> &[f32] {
        let place = |at: usize| at * self.dimension..(at + 1) * self.dimension;
        match &self.mapped {
            Some(mapped) if row < self.in_file() => &mapped.floats()[place(row)],
            _ => &self.floats[place(row - self.in_file())],
        }
    }

    /// `[width]`: a row's codes.
    pub(crate) fn codes(&self, row: usize) -> &[Chunk] {
        let place = |at: usize| at * self.width()..(at + 1) * self.width();
        match &self.mapped {
            Some(mapped) if row < self.in_file() => &mapped.codes()[place(row)],
            _ => &self.codes[place(row - self.in_file())],
        }
    }

    /// Whether the mapped file, if any, is unchanged since it was mapped.
    pub(crate) fn unchanged(&self) -> bool {
        self.mapped.as_ref().is_none_or(|m| m.unchanged())
    }

    /// Whether some rows are in a mapped file.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Sets whether a search releases the pages of a mapped file as it proceeds.
    pub(crate) fn release_pages(&mut self, release: bool) {
        self.releasing = release;
    }

    /// The floats for reranking: a search reads few of them.
    pub(crate) fn rerank_rows(&self) -> RerankRows<'_> {
        RerankRows {
            rows: self,
            read: 0,
        }
    }
}

/// Reads the floats of scattered rows and releases pages of a mapped file in between.
pub(crate) struct RerankRows<'a> {
    rows: &'a Rows,
    read: usize,
}

impl<'a> RerankRows<'a> {
    /// `[D]`: a row's numbers.
    pub(crate) fn of(&mut self, row: usize) -> &'a [f32] {
        if self.read == RETAINED_ROWS {
            self.release();
            self.read = 0;
        }
        self.read += 1;
        self.rows.floats(row)
    }

    fn release(&self) {
        if self.rows.releasing
            && let Some(mapped) = &self.rows.mapped
        {
            mapped.release_floats();
        }
    }
}

impl Drop for RerankRows<'_> {
    fn drop(&mut self) {
        self.release();
    }
}
