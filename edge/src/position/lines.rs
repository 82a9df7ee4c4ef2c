//! Bytes as they come, to lines.

/// The longest line that is read, in bytes: gpsd tells of all satellites in one.
pub const LONGEST: usize = 64 << 10;

/// Puts lines together. One that is too long is passed over, to its end.
#[derive(Debug, Default)]
pub struct Lines {
    begun: Vec<u8>,
    overlong: bool,
}

impl Lines {
    /// Takes `bytes` and hands each line that they complete, without its end, to `each`. Empty lines do not count.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|b| matches!(b, b'\n' | b'\r')) {
            let (piece, ended) = match piece.split_last() {
                Some((b'\n' | b'\r', line)) => (line, true),
                _ => (piece, false),
            };
            if self.begun.len() + piece.len() > LONGEST {
                self.overlong = true;
                self.begun.clear();
            } else if !self.overlong {
                self.begun.extend_from_slice(piece);
            }
            if ended {
                if !self.overlong && !self.begun.is_empty() {
                    each(&self.begun);
                }
                self.overlong = false;
                self.begun.clear();
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
    fn lines_are_put_together_from_pieces() {
        assert_eq!(
            lines(&[b"$GP", b"RMC\r", b"\n$GPGGA\n\n\rrest"]),
            ["$GPRMC", "$GPGGA"]
        );
    }

    #[test]
    fn an_overlong_line_is_passed_over_to_its_end() {
        let long = vec![b'x'; LONGEST - 1];
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
