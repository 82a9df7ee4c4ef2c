//! Writing a catalogue's file.

use super::{FORMAT, HEADER, Header, List, Photo, WITHOUT_AREAS};
use crate::catalogue::Catalogue;
use crate::catalogue::kernel::CHUNK;
use crate::input_area::InputArea;
use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;

pub(in crate::catalogue) fn write(catalogue: &Catalogue, out: &mut impl Write) -> io::Result<()> {
    let list = list_of(catalogue);
    let header = header_of(catalogue, list.len());
    let mut checksum = Checksum::default();
    write_body(catalogue, &header, &list, &mut checksum)?;
    let header = Header {
        checksum: checksum.0.finalize(),
        ..header
    };
    out.write_all(&header.to_bytes())?;
    write_body(catalogue, &header, &list, out)
}

/// The number of bytes that [`write`] writes.
pub(in crate::catalogue) fn bytes(catalogue: &Catalogue) -> u64 {
    let header = header_of(catalogue, list_of(catalogue).len());
    header.layout().map_or(0, |l| l.floats.end as u64)
}

fn header_of(catalogue: &Catalogue, list: usize) -> Header {
    Header {
        format: format_of(catalogue),
        dimension: catalogue.dimension(),
        photos: catalogue.len(),
        list,
        longest: catalogue.rows.longest(),
        checksum: 0,
    }
}

/// The oldest format that can express a catalogue.
fn format_of(catalogue: &Catalogue) -> u16 {
    match catalogue.entries.iter().any(|e| e.input_area.is_some()) {
        true => FORMAT,
        false => WITHOUT_AREAS,
    }
}

/// Texts by number, in the order of their first use.
#[derive(Default)]
struct Numbered<'a> {
    texts: Vec<&'a str>,
    numbers: HashMap<&'a str, u32>,
}

impl<'a> Numbered<'a> {
    fn number(&mut self, text: &'a str) -> u32 {
        *self.numbers.entry(text).or_insert_with(|| {
            self.texts.push(text);
            self.texts.len() as u32 - 1
        })
    }

    /// From 1; 0 for none.
    fn optional(&mut self, text: Option<&'a str>) -> u32 {
        text.map_or(0, |text| self.number(text) + 1)
    }
}

fn list_of(catalogue: &Catalogue) -> Vec<u8> {
    let (mut whales, mut sources) = (Numbered::default(), Numbered::default());
    let (mut encounters, mut dates) = (Numbered::default(), Numbered::default());
    let photos = catalogue
        .entries
        .iter()
        .map(|e| Photo {
            whale: whales.number(&e.whale),
            source: sources.number(&e.source),
            encounter: encounters.optional(e.encounter.as_deref()),
            date: dates.optional(e.date.as_deref()),
            name: &e.photo,
            near_duplicate_of: e.near_duplicate_of.as_deref(),
        })
        .collect();
    let list = List {
        whales: whales.texts,
        sources: sources.texts,
        encounters: encounters.texts,
        dates: dates.texts,
        photos,
    };
    const WRITTEN: &str = "strings and numbers can be written as postcard";
    let list = postcard::to_stdvec(&list).expect(WRITTEN);
    if format_of(catalogue) == WITHOUT_AREAS {
        return list;
    }
    let areas: Vec<Option<InputArea>> = catalogue.entries.iter().map(|e| e.input_area).collect();
    postcard::to_extend(&areas, list).expect(WRITTEN)
}

fn write_body(
    catalogue: &Catalogue,
    header: &Header,
    list: &[u8],
    out: &mut impl Write,
) -> io::Result<()> {
    let rows = &catalogue.rows;
    let layout = header
        .layout()
        .ok_or_else(|| io::Error::other("the catalogue is too large for a file"))?;
    let each = || (0..catalogue.len()).map(|photo| catalogue.row(photo));
    let mut at = HEADER;
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

/// Computes the CRC-32 of the bytes written to it.
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
