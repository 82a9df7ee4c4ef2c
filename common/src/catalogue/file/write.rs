//! Writing a catalogue's file.

use super::{HEADER, Header, List};
use crate::catalogue::Catalogue;
use crate::catalogue::kernel::CHUNK;
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
    postcard::to_stdvec(&list).expect("strings and numbers can be written as postcard")
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
