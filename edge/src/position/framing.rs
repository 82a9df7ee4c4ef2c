//! Finds NMEA 0183 sentences, `$...*hh` or `!...*hh`, wherever they stand in the bytes of a
//! receiver: between line ends, after a prompt or NUL, glued together, among binary messages.

use std::ops::Range;

/// The longest sentence. The standard allows 82 characters, which receivers with high precision
/// exceed.
const MAX_SENTENCE: usize = 1024;
/// The longest tag block, well beyond the standard's.
const MAX_TAG: usize = 256;

/// What the bytes contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framed<'a> {
    /// A sentence with a valid checksum.
    Sentence {
        /// The source in its tag block (`\s:gps1*hh\`); empty without one.
        tag: &'a str,
        /// From `$` or `!` up to the `*` of the checksum.
        content: &'a str,
    },
    /// A sentence that is cut, or whose checksum is wrong.
    Damaged,
    /// A complete line without a checksum.
    WithoutChecksum,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Tag,
    Sentence,
}

/// Finds sentences in a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct SentenceFramer {
    state: State,
    sentence: Vec<u8>,
    tag: Vec<u8>,
    /// The source in `tag`, where it belongs to the next sentence.
    source: Range<usize>,
    skipped: u64,
}

impl SentenceFramer {
    /// Adds `bytes` and calls `each` for everything that they complete. Returns how many bytes
    /// were skipped since they are part of neither a sentence nor a line end.
    pub(super) fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Framed<'_>)) -> u64 {
        for &byte in bytes {
            self.push_byte(byte, &mut each);
        }
        std::mem::take(&mut self.skipped)
    }

    fn push_byte(&mut self, byte: u8, each: &mut impl FnMut(Framed<'_>)) {
        let printable = (0x20..0x7f).contains(&byte);
        match (self.state, byte) {
            (State::Sentence, b'$') => {
                self.give_up(false, each);
                self.start(byte);
            }
            (State::Sentence, b'!') if !has_address(&self.sentence) => {
                self.give_up(false, each);
                self.start(byte);
            }
            (State::Sentence, b'\r' | b'\n') => self.give_up(true, each),
            (State::Sentence, _) if !printable || self.sentence.len() == MAX_SENTENCE => {
                self.give_up(false, each);
                self.skipped += 1;
            }
            (State::Sentence, _) => {
                self.sentence.push(byte);
                self.finish_if_valid(each);
            }
            (State::Between, b'$' | b'!') => self.start(byte),
            (State::Tag, b'$' | b'!') => {
                self.skip_tag();
                self.start(byte);
            }
            (State::Between, b'\\') => {
                self.tag.clear();
                self.source = 0..0;
                self.state = State::Tag;
            }
            (State::Tag, b'\\') => {
                self.source = source_in(&self.tag);
                self.state = State::Between;
            }
            (State::Tag, _) if printable && self.tag.len() < MAX_TAG => self.tag.push(byte),
            (State::Tag, _) => {
                self.skip_tag();
                self.skipped += u64::from(!matches!(byte, b'\r' | b'\n'));
            }
            (State::Between, _) => {
                self.source = 0..0;
                self.skipped += u64::from(!matches!(byte, b'\r' | b'\n'));
            }
        }
    }

    fn start(&mut self, byte: u8) {
        self.sentence.clear();
        self.sentence.push(byte);
        self.state = State::Sentence;
    }

    fn skip_tag(&mut self) {
        self.skipped += self.tag.len() as u64 + 1;
        self.source = 0..0;
        self.state = State::Between;
    }

    fn finish_if_valid(&mut self, each: &mut impl FnMut(Framed<'_>)) {
        let Some((content, &[b'*', high, low])) = self.sentence.split_last_chunk::<3>() else {
            return;
        };
        let digits = [high, low];
        let Some((&_start, summed)) = content.split_first() else {
            return;
        };
        if checksum(&digits) != Some(sum(summed)) {
            return;
        }
        let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
        each(Framed::Sentence {
            tag: text(self.tag.get(self.source.clone()).unwrap_or_default()),
            content: text(content),
        });
        self.source = 0..0;
        self.state = State::Between;
    }

    /// Ends a sentence without a valid checksum; `complete` is whether its line has ended.
    fn give_up(&mut self, complete: bool, each: &mut impl FnMut(Framed<'_>)) {
        if !has_address(&self.sentence) {
            // A dollar sign in something else.
            self.skipped += self.sentence.len() as u64;
        } else if complete && !self.sentence.contains(&b'*') {
            each(Framed::WithoutChecksum);
        } else {
            each(Framed::Damaged);
        }
        self.source = 0..0;
        self.state = State::Between;
    }
}

/// Whether `sentence` starts like one: `$GPRMC,`.
fn has_address(sentence: &[u8]) -> bool {
    let address = sentence
        .get(1..)
        .and_then(|s| s.split(|b| *b == b',').next());
    address.is_some_and(|a| {
        a.len() + 1 < sentence.len()
            && (3..=10).contains(&a.len())
            && a.iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    })
}

/// The exclusive or of `bytes`.
fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, byte| sum ^ byte)
}

/// The value of two hexadecimal digits.
fn checksum(digits: &[u8]) -> Option<u8> {
    let digits = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` accepts a sign.
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| hexadecimal)
}

/// Where in the tag block `s:gps1,c:1795450800*5A` its source is; empty without one, or where its
/// checksum is wrong.
fn source_in(tag: &[u8]) -> Range<usize> {
    let Some((content, [b'*', digits @ ..])) = tag.split_last_chunk::<3>() else {
        return 0..0;
    };
    if checksum(digits) != Some(sum(content)) {
        return 0..0;
    }
    let mut start = 0;
    for field in content.split(|b| *b == b',') {
        if field.starts_with(b"s:") {
            return start + 2..start + field.len();
        }
        start += field.len() + 1;
    }
    0..0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RMC: &str = "$GPRMC,162000.000,A,3830.7380,N,02837.5000,W,6.5,270.0,231126,,,A*75";
    const AIS: &str = "!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C";

    /// What the bytes contain: sentences by their first characters and tag, and the skipped bytes.
    fn framed(pieces: &[&[u8]]) -> (Vec<String>, u64) {
        let (mut framer, mut found, mut skipped) = (SentenceFramer::default(), vec![], 0);
        for piece in pieces {
            skipped += framer.push(piece, |framed| {
                found.push(match framed {
                    Framed::Sentence { tag, content } => {
                        format!("{tag}{}", content.get(..6).unwrap_or(content))
                    }
                    Framed::Damaged => "damaged".into(),
                    Framed::WithoutChecksum => "without".into(),
                });
            });
        }
        (found, skipped)
    }

    #[test]
    fn a_sentence_is_found_wherever_it_stands() {
        for before in [
            "",
            "\0",
            "> ",
            "login: ",
            "\u{1b}[2J",
            "\u{7f}\u{80}",
            "$",
            "$$",
            "!",
            "#*!\\",
        ] {
            for after in ["\r\n", "\n", "\r", "", "\0", "garbage"] {
                let text = format!("{before}{RMC}{after}{RMC}");
                let (found, _) = framed(&[text.as_bytes()]);
                assert_eq!(found, ["$GPRMC", "$GPRMC"], "{text:?}");
            }
        }
        let glued = format!("{RMC}{AIS}{RMC}{AIS}");
        assert_eq!(
            framed(&[glued.as_bytes()]),
            (
                ["$GPRMC", "!AIVDM"]
                    .repeat(2)
                    .into_iter()
                    .map(String::from)
                    .collect(),
                0
            )
        );
    }

    #[test]
    fn a_cut_sentence_costs_no_other() {
        for cut in 1..RMC.len() {
            let text = format!("{}{RMC}\r\n", &RMC[..cut]);
            let (found, _) = framed(&[text.as_bytes()]);
            assert_eq!(found.last().map(String::as_str), Some("$GPRMC"), "{text}");
            assert!(found.len() == 1 || found[0] == "damaged", "{found:?}");
        }
    }

    #[test]
    fn binary_messages_between_sentences_are_skipped() {
        let ubx = b"\xb5\x62\x01\x07\x24\x00$\x02*41\x00\xff$$*";
        let bytes = [
            ubx,
            RMC.as_bytes(),
            ubx,
            AIS.as_bytes(),
            b"\r\n",
            ubx,
            b"\r\n",
        ]
        .concat();
        let (found, skipped) = framed(&[&bytes]);
        assert_eq!(found, ["$GPRMC", "!AIVDM"]);
        assert_eq!(skipped, 3 * ubx.len() as u64);
    }

    #[test]
    fn damage_and_missing_checksums_are_told_apart() {
        let wrong = RMC.replace("3830", "3831");
        let bare = RMC
            .split_once('*')
            .map(|(bare, _)| bare)
            .unwrap_or_default();
        let garbled = RMC.replace("3830", "38\u{80}0");
        let text = format!("{wrong}\r\n{bare}\r\n{garbled}\r\n# a comment\r\n$5 for the log\r\n");
        let (found, skipped) = framed(&[text.as_bytes()]);
        assert_eq!(found, ["damaged", "without", "damaged"]);
        assert!(skipped > 20, "{skipped}");
        let long = format!("$GPTXT,{}\r\n{RMC}\r\n", "x".repeat(5000));
        assert_eq!(framed(&[long.as_bytes()]).0, ["damaged", "$GPRMC"]);
        let sign = b"$GPTXT*+0\r\n$A*-1\r\n";
        assert!(framed(&[sign]).0.iter().all(|f| f == "damaged"));
    }

    #[test]
    fn lower_case_checksums_and_long_sentences_are_read() {
        let content = format!("GPGGA,{}", "1".repeat(300));
        let sum = sum(content.as_bytes());
        let text = format!("${content}*{sum:02x}");
        assert_eq!(framed(&[text.as_bytes()]), (vec!["$GPGGA".into()], 0));
    }

    #[test]
    fn the_tag_block_names_the_source() {
        let tagged = |block: &str| {
            let sum = sum(block.as_bytes());
            framed(&[format!("\\{block}*{sum:02X}\\{RMC}\r\n{RMC}\r\n").as_bytes()]).0
        };
        assert_eq!(tagged("s:gps1,c:1795450800"), ["gps1$GPRMC", "$GPRMC"]);
        assert_eq!(tagged("g:1-2-3,s:mast"), ["mast$GPRMC", "$GPRMC"]);
        assert_eq!(tagged("c:1795450800"), ["$GPRMC", "$GPRMC"]);
        for invalid in ["\\s:gps1*00\\", "\\s:gps1\\", "\\s:gps1", "\\"] {
            let text = format!("{invalid}{RMC}\r\n");
            assert_eq!(framed(&[text.as_bytes()]).0, ["$GPRMC"], "{invalid}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_framed_whatever_the_pieces(
            noise in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"$!*\\,\r\n0A".to_vec())], 0..300),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..9),
        ) {
            let bytes = [&noise, b"\r\n".as_slice(), RMC.as_bytes()].concat();
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            let whole = framed(&[&bytes]);
            prop_assert_eq!(framed(&pieces), whole.clone());
            prop_assert_eq!(whole.0.last().map(String::as_str), Some("$GPRMC"));
        }
    }
}
