//! The embeddings of a catalogue, as codes and as floats, in memory or in a mapped file.

use super::codes;
use super::kernel::{CHUNK, Chunk, chunks};
use super::mapped::Mapped;
use std::sync::Arc;

/// Bytes of codes between two releases.
const RETAINED: usize = 1 << 20;
/// Rows of floats between two releases. The system maps some sixteen pages around each, so that this is a
/// few megabytes.
const RETAINED_ROWS: usize = 128;

/// `[N, D]` embeddings. The first ones may lie in a mapped file; what is added lies in memory.
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

/// Consecutive rows.
pub(crate) struct Segment<'a> {
    /// `[n, width]`.
    pub(crate) codes: &'a [Chunk],
    released: Option<&'a Mapped>,
}

impl Segment<'_> {
    /// Releases what a search has passed: the first `done` chunks, of which the last `block` are new.
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
    /// No row.
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

    /// The rows of a mapped file; `longest` as it was told when they were coded.
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
        // Not `max`, which passes over what is not a number.
        let larger = |a: f32, b: f32| if b <= a { a } else { b };
        self.longest = larger(self.longest, rounding.length);
        self.worst = larger(self.worst, rounding.error);
    }

    /// Numbers a row.
    pub(crate) fn dimension(&self) -> usize {
        self.dimension
    }

    /// Chunks a row.
    pub(crate) fn width(&self) -> usize {
        chunks(self.dimension)
    }

    /// Rows.
    pub(crate) fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// `[N]`: what a step of each row's codes is worth.
    pub(crate) fn scales(&self) -> &[f32] {
        &self.scales
    }

    /// `[N]`: how far each row's codes are from it at most.
    pub(crate) fn errors(&self) -> &[f32] {
        &self.errors
    }

    /// The greatest length of what a row's codes stand for.
    pub(crate) fn longest(&self) -> f32 {
        self.longest
    }

    /// The greatest of all errors.
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

    /// Whether the file, where there is one, is still as it was when it was mapped.
    pub(crate) fn unchanged(&self) -> bool {
        self.mapped.as_ref().is_none_or(|m| m.unchanged())
    }

    /// Whether some rows lie in a file.
    pub(crate) fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Whether a search releases the pages of a mapped file as it goes.
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

/// Floats of scattered rows; pages of a mapped file are released along the way.
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
