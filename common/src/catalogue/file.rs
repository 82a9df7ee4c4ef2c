//! The format of the catalogue's file.
//!
//! All numbers are little-endian; every section starts at a multiple of 64 bytes, so that it can be
//! mapped:
//!
//! | bytes | what |
//! |---|---|
//! | 64 | the header |
//! | L | the list, postcard: names of whales, of sources and of encounters, dates, and for each photo the numbers of these (varints, those of encounter and date from 1, 0 for none), its name, and optionally the name of the photo of which it is a near-duplicate; then for each photo optionally the part that the model's input covers |
//! | 4·N | the scale of each row's codes, f32 |
//! | 4·N | the largest quantisation error of each row, as a length, f32 |
//! | 64·⌈D/64⌉·N | the codes, i8 in -127..=127, each row padded with zeros |
//! | 4·D·N | the embeddings, f32 |

mod read;
mod write;

pub(super) use read::{open, read};
pub(super) use write::{bytes, write};

use super::CatalogueError;
use super::kernel::{CHUNK, LARGEST, chunks};
use std::ops::Range;

const MAGIC: [u8; 4] = *b"FLKC";
/// The newest format.
const FORMAT: u16 = 4;
/// The format without the parts of the photos that the model's input covers; written where none is known.
const WITHOUT_AREAS: u16 = 3;
/// The oldest format that is read: without encounters, dates and near-duplicates.
const WITHOUT_ENCOUNTERS: u16 = 2;

const HEADER: usize = 64;
/// The bytes that the header's own checksum covers.
const HEADER_CHECKED: usize = 32;
const MAX_DIMENSION: usize = 65_536;

fn bad(why: &'static str) -> CatalogueError {
    CatalogueError::Format(why)
}

const CUT: &str = "it is cut off";
const LIST: &str = "its list of photos is damaged";
const DIMENSION: &str = "its dimension is out of range";
const NOT_FINITE: &str = "an embedding holds a number that is not finite";
const CODES: &str = "its codes do not match its embeddings";

/// The photos and what is known of them.
#[derive(serde::Serialize, serde::Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    whales: Vec<&'a str>,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    #[serde(borrow)]
    encounters: Vec<&'a str>,
    #[serde(borrow)]
    dates: Vec<&'a str>,
    #[serde(borrow)]
    photos: Vec<Photo<'a>>,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Photo<'a> {
    whale: u32,
    source: u32,
    /// From 1; 0 for none.
    encounter: u32,
    /// From 1; 0 for none.
    date: u32,
    name: &'a str,
    #[serde(borrow)]
    near_duplicate_of: Option<&'a str>,
}

/// The list of the format [`WITHOUT_ENCOUNTERS`].
#[derive(serde::Deserialize)]
struct ListWithoutEncounters<'a> {
    #[serde(borrow)]
    whales: Vec<&'a str>,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    #[serde(borrow)]
    photos: Vec<(u32, u32, &'a str)>,
}

impl<'a> From<ListWithoutEncounters<'a>> for List<'a> {
    fn from(old: ListWithoutEncounters<'a>) -> Self {
        let photos = old.photos.into_iter().map(|(whale, source, name)| Photo {
            whale,
            source,
            encounter: 0,
            date: 0,
            name,
            near_duplicate_of: None,
        });
        Self {
            whales: old.whales,
            sources: old.sources,
            encounters: vec![],
            dates: vec![],
            photos: photos.collect(),
        }
    }
}

struct Header {
    format: u16,
    dimension: usize,
    photos: usize,
    list: usize,
    longest: f32,
    /// The CRC-32 of everything after the header.
    checksum: u32,
}

/// The byte ranges of the sections.
struct Layout {
    list: Range<usize>,
    scales: Range<usize>,
    errors: Range<usize>,
    codes: Range<usize>,
    floats: Range<usize>,
}

impl Header {
    fn to_bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.format.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.dimension as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.photos as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.list as u64).to_le_bytes());
        bytes[24..28].copy_from_slice(&self.longest.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        let own = crc32fast::hash(&bytes[..HEADER_CHECKED]);
        bytes[HEADER_CHECKED..HEADER_CHECKED + 4].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Result<Self, CatalogueError> {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let rest = &bytes[HEADER_CHECKED + 4..];
        if number(HEADER_CHECKED) != crc32fast::hash(&bytes[..HEADER_CHECKED])
            || rest.iter().any(|b| *b != 0)
        {
            return Err(bad("its header is damaged"));
        }
        let header = Self {
            format: u16::from_le_bytes([bytes[4], bytes[5]]),
            dimension: number(8) as usize,
            photos: number(12) as usize,
            list: usize::try_from(u64::from(number(16)) | u64::from(number(20)) << 32)
                .map_err(|_| bad(LIST))?,
            longest: f32::from_bits(number(24)),
            checksum: number(28),
        };
        if header.dimension == 0 || header.dimension > MAX_DIMENSION {
            return Err(bad(DIMENSION));
        }
        if !(header.longest.is_finite() && header.longest >= 0.0) {
            return Err(bad(CODES));
        }
        Ok(header)
    }

    /// The sections; `None` if the file would be too large for this machine.
    fn layout(&self) -> Option<Layout> {
        let after = |end: usize, bytes: usize| {
            let start = end.checked_next_multiple_of(CHUNK)?;
            Some(start..start.checked_add(bytes)?)
        };
        let n = self.photos;
        let list = after(HEADER, self.list)?;
        let scales = after(list.end, n.checked_mul(4)?)?;
        let errors = after(scales.end, n.checked_mul(4)?)?;
        let codes = after(errors.end, n.checked_mul(chunks(self.dimension) * CHUNK)?)?;
        let floats = after(codes.end, n.checked_mul(self.dimension * 4)?)?;
        Some(Layout {
            list,
            scales,
            errors,
            codes,
            floats,
        })
    }
}
