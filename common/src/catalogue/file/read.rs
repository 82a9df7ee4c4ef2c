//! Reading a catalogue's file.

use super::{
    CODES, CUT, DIMENSION, FORMAT, HEADER, Header, LARGEST, LIST, Layout, List,
    ListWithoutEncounters, MAGIC, NOT_FINITE, WITHOUT_AREAS, WITHOUT_ENCOUNTERS, bad,
};
use crate::catalogue::mapped::Mapped;
use crate::catalogue::names::Names;
use crate::catalogue::rows::Rows;
use crate::catalogue::{Catalogue, CatalogueError, Enrolled};
use crate::input_area::InputArea;
use std::cmp::Ordering;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

/// The read buffer in bytes.
const STEP: usize = 1 << 20;

/// Reads a catalogue from memory.
pub(in crate::catalogue) fn read(bytes: &[u8]) -> Result<Catalogue, CatalogueError> {
    expect_format(bytes)?;
    let header = Header::from_bytes(bytes.first_chunk().ok_or(bad(CUT))?)?;
    let layout = header.layout().ok_or(bad(DIMENSION))?;
    expect_length(bytes.len() as u64, &layout)?;
    let mut check = Check::new(&header, &layout);
    check.add(&bytes[HEADER..])?;
    check.end()?;
    let mut catalogue = begin(&header, &bytes[layout.list.clone()])?;
    let mut row = vec![0.0; header.dimension];
    for bytes in bytes[layout.floats].chunks_exact(header.dimension * 4) {
        for (number, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *number = f32::from_le_bytes(*bytes);
        }
        // Quantised again: that takes no longer than comparing the file's codes would.
        catalogue.rows.push(&row);
    }
    Ok(catalogue)
}

/// Opens the `bytes` bytes of a catalogue that start at `offset` in `file`: mapped if they are at
/// least `map_from` and the system can map them; otherwise read into memory.
pub(in crate::catalogue) fn open(
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
    let mut head = vec![0; length.min(HEADER)];
    at(0, &mut head)?;
    expect_format(&head)?;
    if bytes < map_from {
        let mut all = vec![0; length];
        at(0, &mut all)?;
        return read(&all);
    }
    let header = Header::from_bytes(head.first_chunk().ok_or(bad(CUT))?)?;
    let layout = header.layout().ok_or(bad(DIMENSION))?;
    expect_length(bytes, &layout)?;

    // Checked with a small buffer instead of through the mapping, which would take memory.
    let mut check = Check::new(&header, &layout);
    let mut step = vec![0; STEP];
    let mut from = HEADER;
    while from < length {
        let step = &mut step[..STEP.min(length - from)];
        at(from, step)?;
        check.add(step)?;
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
    let mut catalogue = begin(&header, &list)?;
    catalogue.rows = Rows::of_file(
        header.dimension,
        mapped,
        floats(scales),
        floats(errors),
        header.longest,
    );
    Ok(catalogue)
}

/// Rejects files that are not a catalogue of a format that is read.
fn expect_format(bytes: &[u8]) -> Result<(), CatalogueError> {
    let (head, _) = bytes.split_at_checked(6).ok_or(bad(CUT))?;
    if head[..4] != MAGIC {
        return Err(bad("it does not start with FLKC"));
    }
    let got = u16::from_le_bytes([head[4], head[5]]);
    match got {
        ..WITHOUT_ENCOUNTERS => Err(CatalogueError::Older { got, known: FORMAT }),
        WITHOUT_ENCOUNTERS..=FORMAT => Ok(()),
        _ => Err(CatalogueError::Newer { got, known: FORMAT }),
    }
}

fn expect_length(bytes: u64, layout: &Layout) -> Result<(), CatalogueError> {
    match bytes.cmp(&(layout.floats.end as u64)) {
        Ordering::Less => Err(bad(CUT)),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(bad("it does not hold one embedding per photo")),
    }
}

/// A catalogue with the photos of a list and no rows yet.
fn begin(header: &Header, list: &[u8]) -> Result<Catalogue, CatalogueError> {
    fn parsed<'a, T: serde::Deserialize<'a>>(
        bytes: &'a [u8],
    ) -> Result<(T, &'a [u8]), CatalogueError> {
        postcard::take_from_bytes(bytes).map_err(|_| bad(LIST))
    }
    let (list, rest): (List<'_>, _) = if header.format == WITHOUT_ENCOUNTERS {
        let (list, rest) = parsed::<ListWithoutEncounters<'_>>(list)?;
        (list.into(), rest)
    } else {
        parsed(list)?
    };
    let (areas, rest): (Vec<Option<InputArea>>, _) = if header.format <= WITHOUT_AREAS {
        (vec![None; list.photos.len()], rest)
    } else {
        parsed(rest)?
    };
    let valid = areas.iter().flatten().all(InputArea::is_valid);
    let complete = [list.photos.len(), areas.len()] == [header.photos; 2] && rest.is_empty();
    if !valid || !complete {
        return Err(bad(LIST));
    }
    let mut catalogue = Catalogue::new(header.dimension);
    catalogue.names = Names::of(&list.whales).ok_or(bad(LIST))?;
    catalogue.entries.reserve_exact(list.photos.len());
    catalogue.whales.reserve_exact(list.photos.len());
    fn text(texts: &[&str], number: u32) -> Result<String, CatalogueError> {
        let text = texts.get(number as usize).ok_or(bad(LIST))?;
        Ok((*text).to_owned())
    }
    let optional = |texts: &[&str], number: u32| {
        number
            .checked_sub(1)
            .map(|number| text(texts, number))
            .transpose()
    };
    for (photo, input_area) in list.photos.into_iter().zip(areas) {
        let entry = Enrolled {
            whale: text(&list.whales, photo.whale)?,
            photo: photo.name.to_owned(),
            source: text(&list.sources, photo.source)?,
            encounter: optional(&list.encounters, photo.encounter)?,
            date: optional(&list.dates, photo.date)?,
            near_duplicate_of: photo.near_duplicate_of.map(str::to_owned),
            input_area,
        };
        catalogue.names.add_photo(photo.whale);
        catalogue.whales.push(photo.whale);
        catalogue.entries.push(entry);
    }
    Ok(catalogue)
}

/// Checks everything after the header, in pieces that start at multiples of 64 bytes like the
/// sections.
struct Check<'a> {
    layout: &'a Layout,
    expected: u32,
    checksum: crc32fast::Hasher,
    at: usize,
}

impl<'a> Check<'a> {
    fn new(header: &Header, layout: &'a Layout) -> Self {
        Self {
            layout,
            expected: header.checksum,
            checksum: crc32fast::Hasher::new(),
            at: HEADER,
        }
    }

    fn add(&mut self, bytes: &[u8]) -> Result<(), CatalogueError> {
        self.checksum.update(bytes);
        let layout = self.layout;
        // Without an early end, these loops look at many bytes at once.
        let codes = self.overlap(bytes, &layout.codes);
        let refused = |found: bool, b: &u8| found | (*b as i8 == -LARGEST - 1);
        if codes.iter().fold(false, refused) {
            return Err(bad(CODES));
        }
        for section in [&layout.scales, &layout.errors, &layout.floats] {
            let numbers = self.overlap(bytes, section);
            let finite = |all: bool, b: &[u8; 4]| all & f32::from_le_bytes(*b).is_finite();
            if !numbers.as_chunks::<4>().0.iter().fold(true, finite) {
                return Err(bad(NOT_FINITE));
            }
        }
        self.at += bytes.len();
        Ok(())
    }

    /// The part of `bytes`, which start at `at`, that is within `section`.
    fn overlap<'b>(&self, bytes: &'b [u8], section: &Range<usize>) -> &'b [u8] {
        let place = |at: usize| at.saturating_sub(self.at).min(bytes.len());
        &bytes[place(section.start)..place(section.end)]
    }

    fn end(self) -> Result<(), CatalogueError> {
        if self.checksum.finalize() != self.expected {
            return Err(CatalogueError::Damaged);
        }
        Ok(())
    }
}
