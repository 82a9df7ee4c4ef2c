//! The catalogue's file.
//!
//! Format 2, all numbers little-endian; every section begins at a multiple of 64 bytes, so that it can be mapped:
//!
//! | bytes | what |
//! |---|---|
//! | 64 | the head, below |
//! | L | the list, postcard: names of whales, names of sources, and for each photo the number of its whale and of its source (varints) and its name |
//! | 4·N | what a step of each row's codes is worth, f32 |
//! | 4·N | the most that each row's codes are off, as a length, f32 |
//! | 64·⌈D/64⌉·N | the codes, i8 in -127..=127, each row filled up with zeros |
//! | 4·D·N | the embeddings, f32 |

use super::kernel::{CHUNK, LARGEST, chunks};
use super::mapped::Mapped;
use super::names::Names;
use super::rows::Rows;
use super::{Catalogue, CatalogueError, Enrolled};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

const MAGIC: [u8; 4] = *b"FLKC";
/// The format that is written, and the newest that is read.
pub(super) const FORMAT: u16 = 2;
/// The format before: the list of whole entries, then the embeddings.
pub(super) const FIRST_FORMAT: u16 = 1;

const HEAD: usize = 64;
/// The head without its own checksum and what is left empty.
const HEAD_CHECKED: usize = 32;
/// The greatest dimension.
const MOST_NUMBERS: usize = 65_536;
/// What is read at a time.
const STEP: usize = 1 << 20;

fn bad(why: &'static str) -> CatalogueError {
    CatalogueError::Format(why)
}

const CUT: &str = "it is cut off";
const LIST: &str = "its list of photos is damaged";
const DIMENSION: &str = "its dimension makes no sense";
const NOT_FINITE: &str = "an embedding holds a number that is not finite";
const CODES: &str = "its codes are not those of its embeddings";

/// The list of format 2.
#[derive(Serialize, Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    whales: Vec<&'a str>,
    #[serde(borrow)]
    sources: Vec<&'a str>,
    #[serde(borrow)]
    photos: Vec<(u32, u32, &'a str)>,
}

/// The head of format 2.
struct Head {
    dimension: usize,
    photos: usize,
    list: usize,
    longest: f32,
    /// CRC-32 of all that follows the head.
    checksum: u32,
}

/// Where the sections lie.
struct Layout {
    list: Range<usize>,
    scales: Range<usize>,
    errors: Range<usize>,
    codes: Range<usize>,
    floats: Range<usize>,
}

impl Head {
    fn to_bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.dimension as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&(self.photos as u32).to_le_bytes());
        bytes[16..24].copy_from_slice(&(self.list as u64).to_le_bytes());
        bytes[24..28].copy_from_slice(&self.longest.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.checksum.to_le_bytes());
        let own = crc32fast::hash(&bytes[..HEAD_CHECKED]);
        bytes[HEAD_CHECKED..HEAD_CHECKED + 4].copy_from_slice(&own.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEAD]) -> Result<Self, CatalogueError> {
        let number = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let rest = &bytes[HEAD_CHECKED + 4..];
        if number(HEAD_CHECKED) != crc32fast::hash(&bytes[..HEAD_CHECKED])
            || rest.iter().any(|b| *b != 0)
        {
            return Err(bad("its first 64 bytes are damaged"));
        }
        let head = Self {
            dimension: number(8) as usize,
            photos: number(12) as usize,
            list: usize::try_from(u64::from(number(16)) | u64::from(number(20)) << 32)
                .map_err(|_| bad(LIST))?,
            longest: f32::from_bits(number(24)),
            checksum: number(28),
        };
        if head.dimension == 0 || head.dimension > MOST_NUMBERS {
            return Err(bad(DIMENSION));
        }
        if !(head.longest.is_finite() && head.longest >= 0.0) {
            return Err(bad(CODES));
        }
        Ok(head)
    }

    /// `None` where the file would be too long for this machine.
    fn layout(&self) -> Option<Layout> {
        let after = |end: usize, bytes: usize| {
            let start = end.checked_next_multiple_of(CHUNK)?;
            Some(start..start.checked_add(bytes)?)
        };
        let n = self.photos;
        let list = after(HEAD, self.list)?;
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

/// Writes the catalogue in its format.
pub(super) fn write(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    if catalogue.format == FIRST_FORMAT {
        return write_first(catalogue, out);
    }
    let list = list_of(catalogue);
    let head = head_of(catalogue, list.len());
    let mut checksum = Checksum::default();
    write_body(catalogue, &head, &list, &mut checksum)?;
    let head = Head {
        checksum: checksum.0.finalize(),
        ..head
    };
    out.write_all(&head.to_bytes())?;
    write_body(catalogue, &head, &list, out)
}

/// How many bytes [`write`] writes.
pub(super) fn bytes(catalogue: &Catalogue) -> u64 {
    if catalogue.format == FIRST_FORMAT {
        let floats = catalogue.len() * catalogue.dimension() * 4;
        return (10 + first_list(catalogue).len() + floats) as u64;
    }
    let head = head_of(catalogue, list_of(catalogue).len());
    head.layout().map_or(0, |l| l.floats.end as u64)
}

fn head_of(catalogue: &Catalogue, list: usize) -> Head {
    Head {
        dimension: catalogue.dimension(),
        photos: catalogue.len(),
        list,
        longest: catalogue.rows.longest(),
        checksum: 0,
    }
}

fn list_of(catalogue: &Catalogue) -> Vec<u8> {
    fn number<'a>(
        numbers: &mut HashMap<&'a str, u32>,
        names: &mut Vec<&'a str>,
        name: &'a str,
    ) -> u32 {
        *numbers.entry(name).or_insert_with(|| {
            names.push(name);
            names.len() as u32 - 1
        })
    }
    let (mut whales, mut sources) = (vec![], vec![]);
    let (mut whale_numbers, mut source_numbers) = (HashMap::new(), HashMap::new());
    let photos = catalogue
        .entries
        .iter()
        .map(|e| {
            (
                number(&mut whale_numbers, &mut whales, &e.whale),
                number(&mut source_numbers, &mut sources, &e.source),
                e.photo.as_str(),
            )
        })
        .collect();
    let list = List {
        whales,
        sources,
        photos,
    };
    // Strings and numbers always have a postcard form, so that this cannot fail.
    postcard::to_stdvec(&list).unwrap_or_default()
}

fn write_body(
    catalogue: &Catalogue,
    head: &Head,
    list: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    let rows = &catalogue.rows;
    let layout = head
        .layout()
        .ok_or_else(|| io::Error::other("the catalogue is too large for a file"))?;
    let each = || (0..catalogue.len()).map(|photo| catalogue.row(photo));
    let mut at = HEAD;
    let mut pad = |out: &mut dyn Write, section: &Range<usize>| {
        let zeros = [0; CHUNK];
        let gap = section.start - at;
        at = section.end;
        out.write_all(&zeros[..gap])
    };
    pad(out, &layout.list)?;
    out.write_all(list)?;
    pad(out, &layout.scales)?;
    each().try_for_each(|row| out.write_all(&rows.scales()[row].to_le_bytes()))?;
    pad(out, &layout.errors)?;
    each().try_for_each(|row| out.write_all(&rows.errors()[row].to_le_bytes()))?;
    pad(out, &layout.codes)?;
    each().try_for_each(|row| out.write_all(bytemuck::cast_slice(rows.codes(row))))?;
    pad(out, &layout.floats)?;
    let mut bytes = vec![];
    each().try_for_each(|row| {
        bytes.clear();
        bytes.extend(rows.floats(row).iter().flat_map(|v| v.to_le_bytes()));
        out.write_all(&bytes)
    })
}

#[derive(Default)]
struct Checksum(crc32fast::Hasher);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a catalogue of either format from memory.
pub(super) fn read(bytes: &[u8]) -> Result<Catalogue, CatalogueError> {
    if format_of(bytes)? == FIRST_FORMAT {
        return read_first(bytes);
    }
    let head = Head::from_bytes(bytes.first_chunk().ok_or(bad(CUT))?)?;
    let layout = head.layout().ok_or(bad(DIMENSION))?;
    expect_length(bytes.len() as u64, &layout)?;
    let mut check = Check::new(&head, &layout);
    check.see(&bytes[HEAD..])?;
    check.end()?;
    let mut catalogue = begin(&head, &bytes[layout.list.clone()])?;
    let mut row = vec![0.0; head.dimension];
    for bytes in bytes[layout.floats].chunks_exact(head.dimension * 4) {
        for (number, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        // Coded anew: that takes no longer than it would to see whether the file's codes are right.
        catalogue.rows.push(&row);
    }
    Ok(catalogue)
}

/// Reads the `bytes` bytes of a catalogue that begin at `offset` in `file`: mapped, where they are of format 2, at least
/// `map_from`, and the system can; else as [`read`].
pub(super) fn open(
    file: &File,
    offset: u64,
    bytes: u64,
    map_from: u64,
) -> Result<Catalogue, CatalogueError> {
    let length = usize::try_from(bytes).map_err(|_| bad(DIMENSION))?;
    let at = |from: usize, into: &mut [u8]| -> Result<(), CatalogueError> {
        let mut file: &File = file;
        file.seek(SeekFrom::Start(offset + from as u64))?;
        file.read_exact(into)?;
        Ok(())
    };
    let mut head = vec![0; length.min(HEAD)];
    at(0, &mut head)?;
    let format = format_of(&head)?;
    if format == FIRST_FORMAT || bytes < map_from {
        let mut all = vec![0; length];
        at(0, &mut all)?;
        return read(&all);
    }
    let head = Head::from_bytes(head.first_chunk().ok_or(bad(CUT))?)?;
    let layout = head.layout().ok_or(bad(DIMENSION))?;
    expect_length(bytes, &layout)?;

    // Read, not looked at through the mapping: so it takes no memory.
    let mut check = Check::new(&head, &layout);
    let mut step = vec![0; STEP];
    let mut from = HEAD;
    while from < length {
        let step = &mut step[..STEP.min(length - from)];
        at(from, step)?;
        check.see(step)?;
        from += step.len();
    }
    check.end()?;
    let section = |range: &Range<usize>| {
        let mut bytes = vec![0; range.len()];
        at(range.start, &mut bytes).map(|()| bytes)
    };
    let list = section(&layout.list)?;
    let floats = |bytes: Vec<u8>| -> Vec<f32> {
        let numbers = bytes.as_chunks::<4>().0.iter();
        numbers.map(|b| f32::from_le_bytes(*b)).collect()
    };
    let (scales, errors) = (section(&layout.scales)?, section(&layout.errors)?);
    let Ok(mapped) = Mapped::new(file, offset, length, layout.codes, layout.floats) else {
        let mut all = vec![0; length];
        at(0, &mut all)?;
        return read(&all);
    };
    let mut catalogue = begin(&head, &list)?;
    catalogue.rows = Rows::of_file(
        head.dimension,
        mapped,
        floats(scales),
        floats(errors),
        head.longest,
    );
    Ok(catalogue)
}

/// The format of a file that begins with `bytes`, if it is a catalogue of a known one.
fn format_of(bytes: &[u8]) -> Result<u16, CatalogueError> {
    let (head, _) = bytes.split_at_checked(10).ok_or(bad(CUT))?;
    if head[..4] != MAGIC {
        return Err(bad("it does not start with FLKC"));
    }
    let format = u16::from_le_bytes([head[4], head[5]]);
    if format > FORMAT {
        return Err(CatalogueError::Newer {
            got: format,
            known: FORMAT,
        });
    }
    if format == 0 {
        return Err(bad("there is no format 0"));
    }
    Ok(format)
}

fn expect_length(bytes: u64, layout: &Layout) -> Result<(), CatalogueError> {
    match bytes.cmp(&(layout.floats.end as u64)) {
        std::cmp::Ordering::Less => Err(bad(CUT)),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(bad("it does not hold one embedding a photo")),
    }
}

/// A catalogue with the photos of a list, and no row yet.
fn begin(head: &Head, list: &[u8]) -> Result<Catalogue, CatalogueError> {
    let (list, rest): (List<'_>, _) = postcard::take_from_bytes(list).map_err(|_| bad(LIST))?;
    if list.photos.len() != head.photos || !rest.is_empty() {
        return Err(bad(LIST));
    }
    let mut catalogue = Catalogue::new(head.dimension);
    catalogue.names = Names::of(&list.whales).ok_or(bad(LIST))?;
    catalogue.entries.reserve_exact(list.photos.len());
    catalogue.whales.reserve_exact(list.photos.len());
    for (whale, source, photo) in list.photos {
        let name = list.whales.get(whale as usize).ok_or(bad(LIST))?;
        let source = list.sources.get(source as usize).ok_or(bad(LIST))?;
        catalogue.names.add_photo(whale);
        catalogue.whales.push(whale);
        catalogue.entries.push(Enrolled {
            whale: (*name).to_owned(),
            photo: photo.to_owned(),
            source: (*source).to_owned(),
        });
    }
    Ok(catalogue)
}

/// Looks at all bytes behind the head, in pieces that begin at multiples of 64 bytes as the sections do.
struct Check<'a> {
    layout: &'a Layout,
    expected: u32,
    checksum: Checksum,
    at: usize,
}

impl<'a> Check<'a> {
    fn new(head: &Head, layout: &'a Layout) -> Self {
        Self {
            layout,
            expected: head.checksum,
            checksum: Checksum::default(),
            at: HEAD,
        }
    }

    fn see(&mut self, bytes: &[u8]) -> Result<(), CatalogueError> {
        self.checksum.0.update(bytes);
        let layout = self.layout;
        let codes = self.overlap(bytes, &layout.codes);
        if codes.iter().any(|b| *b as i8 == -LARGEST - 1) {
            return Err(bad(CODES));
        }
        for section in [&layout.scales, &layout.errors, &layout.floats] {
            let numbers = self.overlap(bytes, section);
            let finite = |b: &[u8; 4]| f32::from_le_bytes(*b).is_finite();
            if !numbers.as_chunks::<4>().0.iter().all(finite) {
                return Err(bad(NOT_FINITE));
            }
        }
        self.at += bytes.len();
        Ok(())
    }

    /// What of `bytes`, which begin at `at`, lies in `section`.
    fn overlap<'b>(&self, bytes: &'b [u8], section: &Range<usize>) -> &'b [u8] {
        let place = |at: usize| at.saturating_sub(self.at).min(bytes.len());
        &bytes[place(section.start)..place(section.end)]
    }

    fn end(self) -> Result<(), CatalogueError> {
        if self.checksum.0.finalize() != self.expected {
            return Err(CatalogueError::Damaged);
        }
        Ok(())
    }
}

/// Format 1: `FLKC`, format (u16), length of the entries (u32), dimension and entries in postcard, then the embeddings `[N, D]` f32.
fn write_first(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    let list = first_list(catalogue);
    out.write_all(&MAGIC)?;
    out.write_all(&FIRST_FORMAT.to_le_bytes())?;
    out.write_all(&(list.len() as u32).to_le_bytes())?;
    out.write_all(&list)?;
    (0..catalogue.len()).try_for_each(|photo| {
        let row = catalogue.embedding(photo).iter();
        out.write_all(&row.flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
    })
}

fn first_list(catalogue: &Catalogue) -> Vec<u8> {
    // As in `list_of`.
    postcard::to_stdvec(&(catalogue.dimension() as u32, &catalogue.entries)).unwrap_or_default()
}

fn read_first(bytes: &[u8]) -> Result<Catalogue, CatalogueError> {
    let (head, rest) = bytes.split_at_checked(10).ok_or(bad(CUT))?;
    let length = u32::from_le_bytes([head[6], head[7], head[8], head[9]]) as usize;
    let (entries, numbers) = rest.split_at_checked(length).ok_or(bad(CUT))?;
    let (dimension, entries): (u32, Vec<Enrolled>) =
        postcard::from_bytes(entries).map_err(|_| bad(LIST))?;
    let dimension = dimension as usize;
    if dimension == 0 || dimension > MOST_NUMBERS {
        return Err(bad(DIMENSION));
    }
    if entries.len().checked_mul(dimension * 4) != Some(numbers.len()) {
        return Err(bad("it does not hold one embedding a photo"));
    }
    let mut catalogue = Catalogue::new(dimension);
    let mut row = vec![0.0; dimension];
    for (entry, bytes) in entries.into_iter().zip(numbers.chunks_exact(dimension * 4)) {
        for (number, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        if row.iter().any(|v| !v.is_finite()) {
            return Err(bad(NOT_FINITE));
        }
        catalogue.add(entry, &row);
    }
    catalogue.format = FIRST_FORMAT;
    Ok(catalogue)
}
