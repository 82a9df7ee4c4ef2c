//! Splits received bytes into lines.

/// The longest line, in bytes: gpsd lists all satellites in one.
const MAX_LINE: usize = 64 << 10;

/// Assembles lines. One that is too long is skipped to its end.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    overlong: bool,
}

impl Lines {
    /// Adds `bytes` and calls `each` for every completed line, without its end. Empty lines are
    /// ignored.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            let (piece, ended) = match piece.split_last() {
                Some((b'\n' | b'\r', line)) => (line, true),
                _ => (piece, false),
            };
            if self.partial.len() + piece.len() > MAX_LINE {
                self.overlong = true;
                self.partial.clear();
            } else if !self.overlong {
                self.partial.extend_from_slice(piece);
            }
            if ended {
                if !self.overlong && !self.partial.is_empty() {
                    each(&self.partial);
                }
                self.overlong = false;
                self.partial.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let (mut reader, mut found) = (Lines::default(), vec![]);
        for piece in pieces {
            reader.push(piece, |line| {
                found.push(String::from_utf8_lossy(line).into_owned())
            });
        }
        found
    }

    #[test]
    fn lines_are_assembled_from_pieces() {
        assert_eq!(
            lines(&[b"$GP", b"RMC\r", b"\n$GPGGA\n\n\rrest"]),
            ["$GPRMC", "$GPGGA"]
        );
    }

    #[test]
    fn an_overlong_line_is_skipped_to_its_end() {
        let long = vec![b'x'; MAX_LINE - 1];
        assert_eq!(lines(&[b"a\n", &long, b"yz", &long, b"\nb\n"]), ["a", "b"]);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(text in "[a-c\n]{0,200}", cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9)) {
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(lines(&pieces), lines(&[text.as_bytes()]));
        }
    }
}
