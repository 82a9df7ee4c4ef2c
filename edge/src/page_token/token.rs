//! A token: 128 random bits in base 32.

use rand::Rng;
use sha2::{Digest, Sha256};

/// Crockford's base 32: without i, l, o and u, which are mistaken for others.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// The number of its characters: 130 bits, of which the first two are zero.
const LENGTH: usize = 26;

/// The token of a page. Without `Debug`, so that it is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct PageToken(String);

/// A hash of a token, which says nothing about it. Comparing hashes takes a time from which the token cannot
/// be guessed character by character.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct TokenDigest([u8; 32]);

impl PageToken {
    /// A new token.
    pub fn generate(random: &mut impl Rng) -> Self {
        let mut bytes = [0; 16];
        random.fill_bytes(&mut bytes);
        let bits = u128::from_be_bytes(bytes);
        let digits = (0..LENGTH).rev().map(|place| {
            let digit = (bits >> (5 * place)) & 31;
            char::from(ALPHABET[digit as usize])
        });
        Self(digits.collect())
    }

    /// The token in `text`; upper case, and letters that are mistaken for digits, are corrected. `None`
    /// where `text` cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let digits = text.bytes().map(|b| match b.to_ascii_lowercase() {
            b'o' => Some('0'),
            b'i' | b'l' => Some('1'),
            b if ALPHABET.contains(&b) => Some(char::from(b)),
            _ => None,
        });
        digits.collect::<Option<String>>().map(Self)
    }

    /// The token's text: 26 letters and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(&self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use std::collections::BTreeSet;

    #[test]
    fn tokens_have_128_bits_and_no_ambiguous_letters() {
        let mut random = StdRng::seed_from_u64(1);
        let tokens: Vec<PageToken> = (0..200).map(|_| PageToken::generate(&mut random)).collect();
        let texts: BTreeSet<&str> = tokens.iter().map(PageToken::as_str).collect();
        assert_eq!(texts.len(), 200);
        for text in &texts {
            assert_eq!(text.len(), 26);
            assert!(!text.contains(['i', 'l', 'o', 'u', 'I', 'O']), "{text}");
            assert!("01234567".contains(&text[..1]), "{text}");
        }
        for place in 1..26 {
            let digits: BTreeSet<u8> = texts.iter().map(|t| t.as_bytes()[place]).collect();
            assert!(digits.len() > 25, "place {place} varies");
        }
    }

    #[test]
    fn a_typed_token_is_corrected_and_others_are_rejected() {
        let token = PageToken(format!("01{}", "ab3z".repeat(6)));
        for text in [
            token.0.clone(),
            token.0.to_uppercase(),
            token.0.replacen("01", "oL", 1),
        ] {
            assert!(
                PageToken::parse(&text).is_some_and(|t| t == token),
                "{text}"
            );
        }
        let other = PageToken(format!("01{}", "ab3y".repeat(6)));
        assert!(token.digest() != other.digest() && token.digest() == token.clone().digest());
        for text in [
            "",
            "01",
            &"u".repeat(26),
            &"ä".repeat(13),
            &"0".repeat(27),
            &"0".repeat(25),
            &" ".repeat(26),
        ] {
            assert!(PageToken::parse(text).is_none(), "{text}");
        }
    }
}
