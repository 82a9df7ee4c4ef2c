//! Text files as people's editors save them.

/// Bytes that are not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not UTF-8 text; save the file as UTF-8")]
pub struct NotText {
    /// The line, from 1.
    pub line: usize,
}

/// The text of a file in UTF-8, with or without a byte order mark, or in UTF-16 with one.
///
/// # Errors
/// [`NotText`] for the first line that is neither.
pub fn decode(bytes: &[u8]) -> Result<String, NotText> {
    let utf16 = |rest: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, odd) = rest.as_chunks::<2>();
        let units = pairs.iter().map(|pair| unit(*pair));
        let mut text = String::new();
        for c in char::decode_utf16(units) {
            text.push(c.map_err(|_| NotText { line: lines(&text) })?);
        }
        if odd.is_empty() {
            Ok(text)
        } else {
            Err(NotText { line: lines(&text) })
        }
    };
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] | rest => match std::str::from_utf8(rest) {
            Ok(text) => Ok(text.to_owned()),
            Err(e) => {
                let valid = rest.get(..e.valid_up_to()).unwrap_or_default();
                let line = valid.iter().filter(|b| **b == b'\n').count() + 1;
                Err(NotText { line })
            }
        },
    }
}

fn lines(text: &str) -> usize {
    text.matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_not_text() {
        let text = "fotos/0 baleia.jpg\nAçores.jpg\n";
        let le: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let be: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [
            text.as_bytes().to_vec(),
            [b"\xef\xbb\xbf", text.as_bytes()].concat(),
            [b"\xff\xfe", &le[..]].concat(),
            [b"\xfe\xff", &be[..]].concat(),
        ] {
            assert_eq!(decode(&bytes).as_deref(), Ok(text));
        }
        assert_eq!(decode(b"").as_deref(), Ok(""));
    }

    #[test]
    fn other_bytes_are_named_with_their_line() {
        assert_eq!(decode(b"a\nb\xe7c\n"), Err(NotText { line: 2 }));
        assert_eq!(
            decode(b"\xff\xfea\0\n\0\0\xd8b\0"),
            Err(NotText { line: 2 })
        );
        assert_eq!(decode(b"\xff\xfea"), Err(NotText { line: 1 }));
    }
}
