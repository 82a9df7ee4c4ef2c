//! NumPy arrays: format 1.0 to 3.0, `[N, D]` of float16, float32 or float64.

use super::{EmbeddingsFileError, bytes, normalise_rows, write_bytes};
use half::f16;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// The data start at a multiple of this, as NumPy writes them.
const ALIGNMENT: usize = 64;

/// Writes an array of float32.
pub(super) fn write(
    path: &Path,
    rows: usize,
    dimension: usize,
    values: &[f32],
) -> Result<(), EmbeddingsFileError> {
    let mut header =
        format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {dimension}), }}");
    let before = MAGIC.len() + 4;
    let length = (before + header.len() + 1).next_multiple_of(ALIGNMENT) - before;
    header.extend(std::iter::repeat_n(' ', length - header.len() - 1));
    header.push('\n');
    let mut file = MAGIC.to_vec();
    file.extend([1, 0]);
    let length = u16::try_from(length).expect("two numbers are shorter than 65,536 characters");
    file.extend(length.to_le_bytes());
    file.extend(header.bytes());
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    write_bytes(path, &file)
}

/// Reads the dimension and the rows, each normalised.
pub(super) fn read(path: &Path) -> Result<(usize, Vec<f32>), EmbeddingsFileError> {
    let content = bytes(path)?;
    let (dimension, mut values) =
        parse(&content).map_err(|reason| EmbeddingsFileError::Content {
            path: path.to_owned(),
            reason,
        })?;
    normalise_rows(path, dimension, &mut values)?;
    Ok((dimension, values))
}

/// How a number is stored.
#[derive(Clone, Copy)]
struct Kind {
    size: usize,
    big_endian: bool,
}

/// Dimension and values of an array in row-major order.
fn parse(file: &[u8]) -> Result<(usize, Vec<f32>), String> {
    let cut_off = || "the file is cut off in its header".to_owned();
    let rest = file
        .strip_prefix(MAGIC)
        .ok_or("this is not a NumPy array; save it with numpy.save")?;
    let (version, rest) = rest.split_at_checked(2).ok_or_else(cut_off)?;
    let (length, rest) = match version[0] {
        1 => rest
            .split_first_chunk::<2>()
            .map(|(n, rest)| (usize::from(u16::from_le_bytes(*n)), rest)),
        2 | 3 => rest
            .split_first_chunk::<4>()
            .map(|(n, rest)| (u32::from_le_bytes(*n) as usize, rest)),
        other => return Err(format!("version {other} of the NumPy format is not known")),
    }
    .ok_or_else(cut_off)?;
    let (header, data) = rest.split_at_checked(length).ok_or_else(cut_off)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is not text")?;
    let kind = kind(header)?;
    let columns_first = match after_key(header, "fortran_order")? {
        text if text.starts_with("False") => false,
        text if text.starts_with("True") => true,
        _ => return Err("its header has an invalid 'fortran_order'".into()),
    };
    let [rows, dimension] = shape(header)?;
    let bytes = rows
        .checked_mul(dimension)
        .and_then(|values| values.checked_mul(kind.size));
    if bytes != Some(data.len()) {
        return Err(format!(
            "its shape ({rows}, {dimension}) does not fit its {} bytes of data; is the file cut off?",
            data.len()
        ));
    }
    let number = |at: usize| kind.value(&data[at * kind.size..(at + 1) * kind.size]);
    let values = if columns_first {
        (0..rows * dimension)
            .map(|i| number(i % dimension * rows + i / dimension))
            .collect()
    } else {
        (0..rows * dimension).map(number).collect()
    };
    Ok((dimension, values))
}

/// The text behind a key of the header.
fn after_key<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let quoted = [format!("'{key}'"), format!("\"{key}\"")];
    quoted
        .iter()
        .find_map(|quoted| header.split_once(quoted.as_str()))
        .and_then(|(_, rest)| rest.trim_start().strip_prefix(':'))
        .map(str::trim_start)
        .ok_or_else(|| format!("its header has no '{key}'"))
}

fn kind(header: &str) -> Result<Kind, String> {
    let text = after_key(header, "descr")?;
    let mut quoted = text.split(['\'', '"']);
    let name = match (quoted.next(), quoted.next()) {
        (Some(""), Some(name)) => name,
        _ => text.split('\n').next().unwrap_or_default(),
    };
    let (order, kind) = match name.split_at_checked(1) {
        Some((order @ ("<" | ">" | "="), kind)) => (order, kind),
        _ => ("<", name),
    };
    let size = match kind {
        "f2" => 2,
        "f4" => 4,
        "f8" => 8,
        _ => {
            return Err(format!(
                "it holds numbers of type '{name}'; expected float16, float32 or float64: x.astype('float32')"
            ));
        }
    };
    Ok(Kind {
        size,
        big_endian: order == ">",
    })
}

fn shape(header: &str) -> Result<[usize; 2], String> {
    let text = after_key(header, "shape")?;
    let inner = text
        .strip_prefix('(')
        .and_then(|text| text.split_once(')'))
        .map(|(inner, _)| inner)
        .ok_or("its header has an invalid 'shape'")?;
    let sides: Option<Vec<usize>> = inner
        .split(',')
        .map(str::trim)
        .filter(|side| !side.is_empty())
        .map(|side| side.parse().ok())
        .collect();
    match sides.as_deref() {
        Some([rows, dimension]) if *rows > 0 && *dimension > 0 => Ok([*rows, *dimension]),
        _ => Err(format!(
            "its shape is ({inner}); expected (photos, dimension)"
        )),
    }
}

impl Kind {
    /// Panics if there are not `size` bytes.
    fn value(self, bytes: &[u8]) -> f32 {
        let mut little = [0; 8];
        little[..self.size].copy_from_slice(bytes);
        if self.big_endian {
            little[..self.size].reverse();
        }
        let [a, b, c, d, ..] = little;
        match self.size {
            2 => f16::from_le_bytes([a, b]).to_f32(),
            4 => f32::from_le_bytes([a, b, c, d]),
            _ => f64::from_le_bytes(little) as f32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array of this header and these data.
    fn array(header: &str, data: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), data].concat()
    }

    fn header(descr: &str, order: &str, shape: &str) -> String {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
    }

    fn le<const N: usize>(values: [f32; N]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn every_float_and_order_is_read() {
        let expected = Ok((2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let rows = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let f4 = le(rows);
        assert_eq!(
            parse(&array(&header("<f4", "False", "(3, 2)"), &f4)),
            expected
        );
        let columns = le([1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!(
            parse(&array(&header("<f4", "True", "(3, 2)"), &columns)),
            expected
        );
        let f8: Vec<u8> = rows
            .iter()
            .flat_map(|v| f64::from(*v).to_be_bytes())
            .collect();
        assert_eq!(
            parse(&array(&header(">f8", "False", "(3, 2)"), &f8)),
            expected
        );
        let f2: Vec<u8> = rows
            .iter()
            .flat_map(|v| f16::from_f32(*v).to_le_bytes())
            .collect();
        assert_eq!(
            parse(&array(&header("<f2", "False", "(3,2,)"), &f2)),
            expected
        );
        // Version 2 has a header length of four bytes.
        let text = header("<f4", "False", "(3, 2)");
        let length = (text.len() as u32).to_le_bytes();
        let file = [MAGIC, &[2, 0], &length, text.as_bytes(), &f4].concat();
        assert_eq!(parse(&file), expected);
    }

    #[test]
    fn hostile_files_are_rejected() {
        let data = le([1.0, 2.0]);
        let huge = format!("({}, 4)", usize::MAX);
        for (file, why) in [
            (b"PK\x03\x04".to_vec(), "not a NumPy array"),
            (MAGIC.to_vec(), "cut off"),
            ([MAGIC, &[1, 0, 200, 0], b"{"].concat(), "cut off"),
            ([MAGIC, &[9, 0, 0, 0]].concat(), "version 9"),
            (array("", &data), "no 'descr'"),
            (array("{'descr': '<f4'}", &data), "no 'fortran_order'"),
            (array(&header("|O", "False", "(1, 2)"), &data), "type '|O'"),
            (
                array(&header("<i8", "False", "(1, 2)"), &data),
                "type '<i8'",
            ),
            (
                array(&header("<f4", "Maybe", "(1, 2)"), &data),
                "'fortran_order'",
            ),
            (
                array(&header("<f4", "False", "(2,)"), &data),
                "expected (photos, dimension)",
            ),
            (
                array(&header("<f4", "False", "(1, 2, 1)"), &data),
                "expected (photos, dimension)",
            ),
            (
                array(&header("<f4", "False", "(0, 2)"), &[]),
                "expected (photos, dimension)",
            ),
            (
                array(&header("<f4", "False", "(-1, 2)"), &data),
                "expected (photos, dimension)",
            ),
            (array(&header("<f4", "False", &huge), &data), "does not fit"),
            (
                array(&header("<f4", "False", "(2, 2)"), &data),
                "does not fit",
            ),
            (
                array(&header("<f4", "False", "(1, 1)"), &data),
                "does not fit",
            ),
        ] {
            let error = parse(&file).unwrap_err();
            assert!(error.contains(why), "'{why}' is not in: {error}");
        }
        // Structured types are lists of tuples.
        let fields = "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 2), }\n";
        assert!(parse(&array(fields, &data)).is_err());
    }
}
