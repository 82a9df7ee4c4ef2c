//! A memory-mapped catalogue file: the system reads its pages on access and evicts them when it
//! needs memory.
#![allow(
    unsafe_code,
    reason = "mapping a file requires that it does not change; each block says why it does not"
)]

use super::kernel::Chunk;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

// SAFETY: exactly 64 i8: any bytes are a valid chunk, including zeros, and `repr(C)` with an
// alignment equal to its size leaves no padding.
unsafe impl bytemuck::Zeroable for Chunk {}
// SAFETY: as above; it is `Copy` and `'static`.
unsafe impl bytemuck::Pod for Chunk {}

/// The codes and floats of a mapped file.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: Mmap,
    codes: Range<usize>,
    floats: Range<usize>,
    file: File,
    state: State,
}

/// Size and modification time, by which a change of the file is detected.
#[derive(Debug, PartialEq, Eq)]
struct State {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl Mapped {
    /// Maps `bytes` bytes of `file` from `offset` on; `codes` and `floats` are ranges within them.
    ///
    /// # Errors
    /// When the system cannot map them, the file is shorter, or the numbers would be misaligned or
    /// in the wrong byte order: then the caller reads the file.
    pub(crate) fn new(
        file: &File,
        offset: u64,
        bytes: usize,
        codes: Range<usize>,
        floats: Range<usize>,
    ) -> io::Result<Self> {
        let state = State::of(file)?;
        if offset
            .checked_add(bytes as u64)
            .is_none_or(|end| end > state.bytes)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // SAFETY: the file must not change while it is mapped: bytes that change under a reference
        // are undefined behaviour, and reading pages beyond the end of a truncated file kills the
        // program with SIGBUS. Nothing in Flukewatch writes to a catalogue's or a bundle's file
        // once it has its final name: a new one is written beside it and renamed over it, which
        // leaves the mapped file unchanged. Another program can still write to it; `unchanged`
        // detects that before each search, and docs/bundle.md says how to replace a bundle.
        let map = unsafe { MmapOptions::new().offset(offset).len(bytes).map(file)? };
        let whole = codes.end <= bytes
            && floats.end <= bytes
            && bytemuck::try_cast_slice::<u8, Chunk>(&map[codes.clone()]).is_ok()
            && bytemuck::try_cast_slice::<u8, f32>(&map[floats.clone()]).is_ok();
        if !whole || cfg!(target_endian = "big") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(Self {
            map,
            codes,
            floats,
            file: file.try_clone()?,
            state,
        })
    }

    /// The codes of all rows.
    pub(crate) fn codes(&self) -> &[Chunk] {
        bytemuck::cast_slice(&self.map[self.codes.clone()])
    }

    /// The floats of all rows.
    pub(crate) fn floats(&self) -> &[f32] {
        bytemuck::cast_slice(&self.map[self.floats.clone()])
    }

    /// Whether the file still has the size and modification time that it had when it was mapped.
    pub(crate) fn unchanged(&self) -> bool {
        State::of(&self.file).is_ok_and(|now| now == self.state)
    }

    /// Releases the pages of `bytes` bytes of codes from `from` on.
    pub(crate) fn release_codes(&self, from: usize, bytes: usize) {
        self.release(self.codes.start + from, bytes);
    }

    /// Releases the pages of all floats.
    pub(crate) fn release_floats(&self) {
        self.release(self.floats.start, self.floats.len());
    }

    fn release(&self, from: usize, bytes: usize) {
        // SAFETY: the mapping is shared and read-only, so nothing in it can be lost: pages that are
        // accessed again are read again from the file, which has not changed (see `new`). A system
        // that ignores the advice keeps the pages.
        let _ = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, from, bytes)
        };
    }
}
