//! The descriptors of a catalogue's photos.
//!
//! They are two files beside the catalogue: an index, read as a whole, and the records, of which a search reads only those of its
//! candidates. All numbers are little-endian.
//!
//! | bytes of the index | what |
//! |---|---|
//! | 4 | `FLKL` |
//! | 2 | format: 1, or 2 with a fine grid |
//! | 6 | height, width and dimension of the layout, u16 each |
//! | 4 | the number of photos, N |
//! | 4 | in format 2 only: the dimension of the fine grid, u32 |
//! | 12·N | for each photo the CRC-32 of its whale's name, a NUL and its own name; the CRC-32 of its record; its norm, f32 |
//!
//! A record is [`Descriptors::to_bytes`]. The records of N photos follow each other without a header, so that each starts at a multiple of
//! 64 bytes.

use super::descriptors::{Descriptors, record_chunks};
use super::layout::Layout;
use super::score::MAX_SIMILARITY;
use crate::catalogue::Enrolled;
use crate::catalogue::kernel::{CHUNK, Chunk};
use crate::catalogue::mapped::Mapped;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::Arc;

const MAGIC: [u8; 4] = *b"FLKL";
/// The format of the index without a fine grid.
const FORMAT: u16 = 1;
/// The format of the index with a fine grid.
const FINE_FORMAT: u16 = 2;
const HEADER: usize = 16;
const ENTRY: usize = 12;

/// Why descriptors cannot be read or do not belong to a catalogue.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalPhotosError {
    /// The files cannot be read.
    #[error("the descriptors cannot be read: {why}")]
    Read {
        /// The error of the operating system.
        why: String,
    },
    /// The index is damaged, truncated or of another format.
    #[error("the index of the descriptors cannot be read: {0}")]
    Index(&'static str),
    /// The records are not as long as the index says.
    #[error("the descriptors have {got} bytes; expected {expected}")]
    Length {
        /// The length by the index.
        expected: u64,
        /// The length of the file.
        got: u64,
    },
    /// The checksum of a record does not match.
    #[error("the descriptors of photo {photo} are damaged: copy the bundle again")]
    Damaged {
        /// The number of the photo in the catalogue, from 0.
        photo: usize,
    },
    /// The file was modified while in use.
    #[error(
        "the file of the descriptors was modified while in use: restart; to replace a bundle, write the new one beside it and rename it"
    )]
    Changed,
    /// The descriptors are of other photos than the catalogue's.
    #[error("the descriptors are not those of the catalogue's photos: enrol the photos again")]
    OtherCatalogue,
    /// Descriptors of another model.
    #[error("descriptors of {got:?}; expected {expected:?}")]
    Layout {
        /// The layout of these photos.
        expected: Layout,
        /// The layout of the descriptors.
        got: Layout,
    },
}

impl From<io::Error> for LocalPhotosError {
    fn from(error: io::Error) -> Self {
        Self::Read {
            why: error.to_string(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Entry {
    name: u32,
    checksum: u32,
    norm: f32,
    /// The position of the record.
    at: u32,
}

/// The descriptors of a catalogue's photos, in the order of the catalogue.
#[derive(Clone, Debug)]
pub struct LocalPhotos {
    layout: Layout,
    entries: Vec<Entry>,
    mapped: Option<Arc<Mapped>>,
    /// The records that are not in the mapped file, which come after those.
    added: Vec<Chunk>,
}

impl PartialEq for LocalPhotos {
    /// Whether both hold the same descriptors in the same order, mapped or in memory.
    fn eq(&self, other: &Self) -> bool {
        self.layout == other.layout
            && self.index_bytes() == other.index_bytes()
            && (0..self.len()).all(|photo| self.record(photo) == other.record(photo))
    }
}

impl LocalPhotos {
    /// No photos, for descriptors of this layout.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            entries: vec![],
            mapped: None,
            added: vec![],
        }
    }

    /// The layout of the descriptors.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of photos.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it holds zero photos.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds the descriptors of the catalogue's next photo, with a norm of 0.
    ///
    /// # Errors
    /// When they have another layout.
    pub fn push(
        &mut self,
        photo: &Enrolled,
        descriptors: &Descriptors,
    ) -> Result<(), LocalPhotosError> {
        if descriptors.layout() != self.layout {
            return Err(LocalPhotosError::Layout {
                expected: self.layout,
                got: descriptors.layout(),
            });
        }
        let record = descriptors.to_record();
        let at = self.records_in_map() + self.added.len() / record.len();
        self.entries.push(Entry {
            name: name_of(photo),
            checksum: crc32fast::hash(bytemuck::cast_slice(&record)),
            norm: 0.0,
            at: at as u32,
        });
        self.added.extend(record);
        Ok(())
    }

    /// Keeps the photos for which `keep` is true, as a catalogue does from which photos were withdrawn.
    pub fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let mut photo = 0;
        self.entries.retain(|_| {
            photo += 1;
            keep(photo - 1)
        });
    }

    /// Checks that these are the descriptors of `photos`, in this order.
    ///
    /// # Errors
    /// [`LocalPhotosError::OtherCatalogue`] otherwise.
    pub fn expect_photos(&self, photos: &[Enrolled]) -> Result<(), LocalPhotosError> {
        let same = photos.len() == self.len()
            && photos
                .iter()
                .zip(&self.entries)
                .all(|(photo, entry)| name_of(photo) == entry.name);
        if same {
            Ok(())
        } else {
            Err(LocalPhotosError::OtherCatalogue)
        }
    }

    /// The descriptors of a photo. Those in a file are verified at every access, since opening does not read them.
    ///
    /// # Errors
    /// When the record is damaged.
    ///
    /// # Panics
    /// If `photo` is out of range.
    pub fn descriptors(&self, photo: usize) -> Result<Descriptors, LocalPhotosError> {
        let record = self.record(photo);
        let intact = crc32fast::hash(bytemuck::cast_slice(record)) == self.entries[photo].checksum;
        intact
            .then(|| Descriptors::from_record(self.layout, record))
            .flatten()
            .ok_or(LocalPhotosError::Damaged { photo })
    }

    /// The norm of a photo ([`super::LocalScore::norm`]).
    ///
    /// # Panics
    /// If `photo` is out of range.
    pub fn norm(&self, photo: usize) -> f32 {
        self.entries[photo].norm
    }

    /// Sets the norms of all photos.
    ///
    /// # Panics
    /// When there is not one norm per photo.
    pub fn set_norms(&mut self, norms: &[f32]) {
        assert_eq!(norms.len(), self.len(), "one norm per photo");
        for (entry, norm) in self.entries.iter_mut().zip(norms) {
            entry.norm = *norm;
        }
    }

    /// Whether descriptors are in a mapped file.
    pub fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Checks that the mapped file has not been modified.
    ///
    /// # Errors
    /// [`LocalPhotosError::Changed`] if it has.
    pub fn expect_unchanged(&self) -> Result<(), LocalPhotosError> {
        match &self.mapped {
            Some(mapped) if !mapped.unchanged() => Err(LocalPhotosError::Changed),
            _ => Ok(()),
        }
    }

    /// Releases the pages of a mapped file, so that its records do not accumulate in memory.
    pub fn release_pages(&self) {
        if let Some(mapped) = &self.mapped {
            mapped.release_codes(0, mapped.codes().len() * CHUNK);
        }
    }

    /// The index.
    pub fn index_bytes(&self) -> Vec<u8> {
        let Layout {
            height,
            width,
            dimension,
            fine,
        } = self.layout;
        let mut bytes = Vec::with_capacity(HEADER + 4 + ENTRY * self.len());
        let format = if fine > 0 { FINE_FORMAT } else { FORMAT };
        bytes.extend(MAGIC);
        bytes.extend(format.to_le_bytes());
        for size in [height, width, dimension] {
            bytes.extend((size as u16).to_le_bytes());
        }
        bytes.extend((self.len() as u32).to_le_bytes());
        if fine > 0 {
            bytes.extend((fine as u32).to_le_bytes());
        }
        for entry in &self.entries {
            bytes.extend(entry.name.to_le_bytes());
            bytes.extend(entry.checksum.to_le_bytes());
            bytes.extend(entry.norm.to_le_bytes());
        }
        bytes
    }

    /// The number of bytes that [`LocalPhotos::write_records`] writes.
    pub fn record_bytes(&self) -> u64 {
        self.len() as u64 * Descriptors::bytes(self.layout) as u64
    }

    /// Writes the records.
    ///
    /// # Errors
    /// When writing to `out` fails.
    pub fn write_records(&self, out: &mut impl Write) -> io::Result<()> {
        (0..self.len())
            .try_for_each(|photo| out.write_all(bytemuck::cast_slice(self.record(photo))))
    }

    /// Reads index and records from memory.
    ///
    /// # Errors
    /// When they were not written by this type.
    pub fn from_bytes(index: &[u8], records: &[u8]) -> Result<Self, LocalPhotosError> {
        let mut photos = Self::of_index(index)?;
        photos.expect_length(records.len() as u64)?;
        photos.added = records
            .chunks_exact(CHUNK)
            .map(|bytes| Chunk(std::array::from_fn(|i| bytes[i] as i8)))
            .collect();
        Ok(photos)
    }

    /// Opens the `bytes` bytes of records from `offset` of a file on. They are mapped, and verified only when they are read.
    ///
    /// # Errors
    /// When the index cannot be read or the file is shorter.
    pub(crate) fn open_within(
        index: &[u8],
        file: &File,
        offset: u64,
        bytes: u64,
    ) -> Result<Self, LocalPhotosError> {
        let mut photos = Self::of_index(index)?;
        photos.expect_length(bytes)?;
        let length = usize::try_from(bytes).map_err(|_| LocalPhotosError::Index(TOO_LARGE))?;
        match Mapped::new(file, offset, length, 0..length, 0..0) {
            Ok(mapped) => photos.mapped = Some(Arc::new(mapped)),
            Err(_) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(offset))?;
                let mut records = vec![];
                file.take(bytes).read_to_end(&mut records)?;
                return Self::from_bytes(index, &records);
            }
        }
        Ok(photos)
    }

    fn of_index(index: &[u8]) -> Result<Self, LocalPhotosError> {
        let bad = LocalPhotosError::Index;
        let (head, entries) = index.split_at_checked(HEADER).ok_or(bad(CUT))?;
        if head[..4] != MAGIC {
            return Err(bad("it does not start with FLKL"));
        }
        let short = |at: usize| u16::from_le_bytes([head[at], head[at + 1]]);
        let (fine, entries) = match short(4) {
            FORMAT => (0, entries),
            FINE_FORMAT => {
                let (fine, entries) = entries.split_first_chunk().ok_or(bad(CUT))?;
                match u32::from_le_bytes(*fine) {
                    0 => return Err(bad("its layout is out of range")),
                    fine => (fine as usize, entries),
                }
            }
            _ => return Err(bad("its format is neither 1 nor 2: update the program")),
        };
        let layout = Layout {
            height: usize::from(short(6)),
            width: usize::from(short(8)),
            dimension: usize::from(short(10)),
            fine,
        };
        layout
            .validate()
            .map_err(|_| bad("its layout is out of range"))?;
        let count = u32::from_le_bytes([head[12], head[13], head[14], head[15]]) as usize;
        if count.checked_mul(ENTRY) != Some(entries.len()) {
            return Err(bad(CUT));
        }
        let entries = entries
            .as_chunks::<ENTRY>()
            .0
            .iter()
            .zip(0..)
            .map(|(bytes, at)| {
                let number = |from: usize| {
                    u32::from_le_bytes([
                        bytes[from],
                        bytes[from + 1],
                        bytes[from + 2],
                        bytes[from + 3],
                    ])
                };
                let norm = f32::from_bits(number(8));
                if !(-MAX_SIMILARITY..=MAX_SIMILARITY).contains(&norm) {
                    return Err(bad("a norm is out of range"));
                }
                Ok(Entry {
                    name: number(0),
                    checksum: number(4),
                    norm,
                    at,
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            layout,
            entries,
            mapped: None,
            added: vec![],
        })
    }

    fn expect_length(&self, got: u64) -> Result<(), LocalPhotosError> {
        let expected = self.record_bytes();
        if got == expected {
            Ok(())
        } else {
            Err(LocalPhotosError::Length { expected, got })
        }
    }

    fn records_in_map(&self) -> usize {
        let mapped = self.mapped.as_ref();
        mapped.map_or(0, |m| m.codes().len() / record_chunks(self.layout))
    }

    fn record(&self, photo: usize) -> &[Chunk] {
        let size = record_chunks(self.layout);
        let at = self.entries[photo].at as usize;
        let in_map = self.records_in_map();
        match &self.mapped {
            Some(mapped) if at < in_map => &mapped.codes()[at * size..(at + 1) * size],
            _ => &self.added[(at - in_map) * size..(at - in_map + 1) * size],
        }
    }
}

const CUT: &str = "it is cut off";
const TOO_LARGE: &str = "it describes more bytes than this machine can address";

fn name_of(photo: &Enrolled) -> u32 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(photo.whale.as_bytes());
    hash.update(&[0]);
    hash.update(photo.photo.as_bytes());
    hash.finalize()
}
