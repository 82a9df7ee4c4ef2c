//! A catalogue's file in memory without taking memory: the system reads its pages when they are looked at, and takes them back when it
//! needs the room.
#![allow(
    unsafe_code,
    reason = "whoever maps a file promises that it stays as it is; each block says why it does"
)]

use super::kernel::Chunk;
use memmap2::{Mmap, MmapOptions, UncheckedAdvice};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::time::SystemTime;

// SAFETY: 64 times i8 and nothing else: any bytes are a chunk, zeros too, and `repr(C)` with an alignment that is its size leaves no gap.
unsafe impl bytemuck::Zeroable for Chunk {}
// SAFETY: as above; it is `Copy`, and it lives as long as anybody likes.
unsafe impl bytemuck::Pod for Chunk {}

/// Codes and floats in a file.
#[derive(Debug)]
pub(crate) struct Mapped {
    map: Mmap,
    codes: Range<usize>,
    floats: Range<usize>,
    file: File,
    state: State,
}

/// By what a change of the file is noticed.
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
    /// Maps `bytes` bytes of `file` from `offset` on; `codes` and `floats` lie in them.
    ///
    /// # Errors
    /// When the system cannot map them, the file is shorter, or the numbers would not lie as the processor wants them: then the file is to
    /// be read.
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
        // SAFETY: the file must not change while it is mapped: bytes that change under a reference are undefined behaviour, and looking at
        // pages beyond the end of a file that was cut ends the program with SIGBUS. Nothing in Flukewatch writes to a catalogue's or a
        // bundle's file once it bears its name: a new one is written beside it and renamed over it, which leaves the mapped file as it was.
        // A stranger can still write into it; `unchanged` notices before each search, and docs/bundle.md tells how to replace a bundle.
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

    /// All codes.
    pub(crate) fn codes(&self) -> &[Chunk] {
        bytemuck::cast_slice(&self.map[self.codes.clone()])
    }

    /// All floats.
    pub(crate) fn floats(&self) -> &[f32] {
        bytemuck::cast_slice(&self.map[self.floats.clone()])
    }

    /// Whether the file has the size and the time that it had.
    pub(crate) fn unchanged(&self) -> bool {
        State::of(&self.file).is_ok_and(|now| now == self.state)
    }

    /// Gives back the pages of `bytes` bytes of codes from `from` on.
    pub(crate) fn release_codes(&self, from: usize, bytes: usize) {
        self.release(self.codes.start + from, bytes);
    }

    /// Gives back the pages of all floats.
    pub(crate) fn release_floats(&self) {
        self.release(self.floats.start, self.floats.len());
    }

    fn release(&self, from: usize, bytes: usize) {
        // SAFETY: the mapping is shared and read-only, so that nothing in it can be lost: pages that are looked at again are read again
        // from the file, which has not changed (see `new`). A system that does not take the advice keeps the pages.
        let _ = unsafe {
            self.map
                .unchecked_advise_range(UncheckedAdvice::DontNeed, from, bytes)
        };
    }
}
