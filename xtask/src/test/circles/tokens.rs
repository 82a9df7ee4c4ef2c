//! Tokens of Rust source, as far as they are needed to find uses of modules.

/// A token with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: Text,
    pub(super) line: usize,
}

/// The kind of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Word(String),
    /// The path separator `::`.
    Path,
    /// Any other punctuation character.
    Mark(char),
}

impl Token {
    pub(super) fn word(&self) -> Option<&str> {
        match &self.text {
            Text::Word(word) => Some(word),
            Text::Path | Text::Mark(_) => None,
        }
    }

    pub(super) fn is(&self, mark: char) -> bool {
        self.text == Text::Mark(mark)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

/// Splits source into tokens; comments, strings, characters and lifetimes are dropped.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut scanner = Scanner {
        rest: source.as_bytes(),
        line: 1,
    };
    let mut tokens = vec![];
    while let Some(&byte) = scanner.rest.first() {
        let line = scanner.line;
        let mut push = |text| tokens.push(Token { text, line });
        match byte {
            b'/' if scanner.rest.starts_with(b"//") => scanner.skip_while(|b| b != b'\n'),
            b'/' if scanner.rest.starts_with(b"/*") => scanner.comment(),
            b'"' => scanner.string(),
            b'\'' => scanner.character_or_lifetime(),
            b':' if scanner.rest.starts_with(b"::") => {
                scanner.skip(2);
                push(Text::Path);
            }
            _ if byte == b'_' || byte.is_ascii_alphanumeric() => {
                match scanner.raw_string_hashes() {
                    Some((prefix, hashes)) => {
                        scanner.skip(prefix);
                        scanner.raw_string(hashes);
                    }
                    None => push(Text::Word(scanner.word())),
                }
            }
            _ => {
                scanner.skip(1);
                if byte.is_ascii_punctuation() {
                    push(Text::Mark(char::from(byte)));
                }
            }
        }
    }
    tokens
}

struct Scanner<'a> {
    rest: &'a [u8],
    line: usize,
}

impl Scanner<'_> {
    fn skip(&mut self, count: usize) {
        let (gone, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.line += gone.iter().filter(|b| **b == b'\n').count();
        self.rest = rest;
    }

    fn skip_while(&mut self, holds: impl Fn(u8) -> bool) {
        let count = self.rest.iter().take_while(|b| holds(**b)).count();
        self.skip(count);
    }

    fn word(&mut self) -> String {
        let is_part = |b: &&u8| **b == b'_' || b.is_ascii_alphanumeric();
        let count = self.rest.iter().take_while(is_part).count();
        let word = String::from_utf8_lossy(&self.rest[..count]).into_owned();
        self.skip(count);
        word
    }

    /// Skips a block comment; block comments nest.
    fn comment(&mut self) {
        let mut depth = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with(b"/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with(b"*/") {
                depth -= 1;
                self.skip(2);
                if depth == 0 {
                    return;
                }
            } else {
                self.skip(1);
            }
        }
    }

    fn string(&mut self) {
        self.skip(1);
        while let Some(&byte) = self.rest.first() {
            self.skip(if byte == b'\\' { 2 } else { 1 });
            if byte == b'"' {
                return;
            }
        }
    }

    /// The length of the prefix and the number of hashes, if a raw string starts here.
    fn raw_string_hashes(&self) -> Option<(usize, usize)> {
        let prefix = if self.rest.starts_with(b"br") { 2 } else { 1 };
        if prefix == 1 && self.rest.first() != Some(&b'r') {
            return None;
        }
        let hashes = self.rest[prefix..]
            .iter()
            .take_while(|b| **b == b'#')
            .count();
        (self.rest.get(prefix + hashes) == Some(&b'"')).then_some((prefix, hashes))
    }

    fn raw_string(&mut self, hashes: usize) {
        self.skip(hashes + 1);
        let end: Vec<u8> = std::iter::once(b'"')
            .chain(std::iter::repeat_n(b'#', hashes))
            .collect();
        while !self.rest.is_empty() && !self.rest.starts_with(&end) {
            self.skip(1);
        }
        self.skip(end.len());
    }

    fn character_or_lifetime(&mut self) {
        let escaped = self.rest.get(1) == Some(&b'\\');
        // `'a'` is a character, `'a` a lifetime; a character may take several bytes.
        let after = self.rest.iter().skip(2).position(|b| *b == b'\'');
        let is_ascii_word = self
            .rest
            .get(1)
            .is_some_and(|b| *b == b'_' || b.is_ascii_alphanumeric());
        if escaped {
            self.skip(3);
            self.skip_while(|b| b != b'\'');
            self.skip(1);
        } else if is_ascii_word && after != Some(0) {
            self.skip(1);
            self.skip_while(|b| b == b'_' || b.is_ascii_alphanumeric());
        } else {
            self.skip(2 + after.map_or(0, |n| n + 1));
        }
    }
}
