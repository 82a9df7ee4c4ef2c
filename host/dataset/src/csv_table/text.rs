//! The text of a table, and its lines.

use crate::DatasetError;
use std::path::Path;

/// The decoded text of a table.
pub(super) struct Text<'a> {
    /// The lines from the header on.
    rows: &'a str,
    /// Number of the first of these lines.
    first_line: u64,
    /// The delimiter of a first line `sep=;`, as Excel writes it.
    pub(super) delimiter: Option<u8>,
}

/// Decodes UTF-8 with or without a byte order mark.
///
/// # Errors
/// For another encoding, or a spreadsheet.
pub(super) fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<Text<'a>, DatasetError> {
    let fault = |line, reason: String| DatasetError::Line {
        path: path.to_owned(),
        line,
        reason,
    };
    if bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(fault(
            1,
            "this is a spreadsheet, not a CSV; save it as CSV UTF-8".into(),
        ));
    }
    let utf16 = bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff");
    if utf16 || bytes.iter().take(200).any(|&b| b == 0) {
        return Err(fault(
            1,
            "the table is UTF-16, not UTF-8; save it as CSV UTF-8".into(),
        ));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let at = e.valid_up_to();
        let byte = bytes.get(at).copied().unwrap_or_default();
        let line = 1 + Lines::new(bytes).count(at);
        fault(
            line,
            format!("byte 0x{byte:02x} is not UTF-8; save the table as CSV UTF-8"),
        )
    })?;
    let first = text.lines().next().unwrap_or_default();
    let first = first.split('\r').next().unwrap_or_default();
    let delimiter = first.trim().trim_matches('"').strip_prefix("sep=");
    Ok(match delimiter.map(str::as_bytes) {
        Some([delimiter]) if delimiter.is_ascii() => {
            let rows = &text[first.len()..];
            let rows = rows.strip_prefix('\r').unwrap_or(rows);
            Text {
                rows: rows.strip_prefix('\n').unwrap_or(rows),
                first_line: 2,
                delimiter: Some(*delimiter),
            }
        }
        _ => Text {
            rows: text,
            first_line: 1,
            delimiter: None,
        },
    })
}

impl<'a> Text<'a> {
    pub(super) fn rows(&self) -> &'a [u8] {
        self.rows.as_bytes()
    }

    pub(super) fn first_line(&self) -> u64 {
        self.first_line
    }

    /// A reader behind the header.
    pub(super) fn reader(&self, delimiter: u8) -> csv::Reader<&'a [u8]> {
        csv::ReaderBuilder::new()
            .trim(csv::Trim::All)
            .flexible(true)
            .delimiter(delimiter)
            .from_reader(self.rows.as_bytes())
    }

    /// Whether the last record, which starts at this byte, has a field whose quote is not closed:
    /// such a field would contain all lines that follow.
    pub(super) fn quote_is_open(&self, start: usize) -> bool {
        let record = self.rows.get(start..).unwrap_or_default().trim();
        record.contains(['\n', '\r']) && record.matches('"').count() % 2 == 1
    }
}

/// Counts lines as an editor does: `\r\n`, `\n` and `\r` each end one.
pub(super) struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    ended: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            ended: 0,
        }
    }

    /// Number of lines that end before the record at `offset`, whose blank lines are passed.
    /// Offsets must not decrease.
    pub(super) fn at(&mut self, offset: usize) -> u64 {
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let blank = rest.iter().take_while(|b| matches!(b, b'\r' | b'\n'));
        self.count(offset + blank.count())
    }

    /// Number of lines that end before `offset`.
    pub(super) fn count(&mut self, offset: usize) -> u64 {
        while self.at < offset.min(self.bytes.len()) {
            let next = self.bytes.get(self.at + 1);
            match self.bytes[self.at] {
                b'\n' => self.ended += 1,
                b'\r' if next != Some(&b'\n') => self.ended += 1,
                _ => {}
            }
            self.at += 1;
        }
        self.ended
    }
}
