//! Serial numbers of certificates.

use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const BYTES: usize = 16;

/// The serial number of a certificate: random, so that it says nothing, and hexadecimal as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Serial([u8; BYTES]);

/// A text is not a serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a serial number of {} hexadecimal digits", 2 * BYTES)]
pub struct BadSerial;

impl Serial {
    /// A random one.
    pub(super) fn random(random: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; BYTES];
        random.fill_bytes(&mut bytes);
        // Positive, and as long in every encoding.
        bytes[0] = bytes[0] & 0x7f | 0x40;
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Serial {
    type Err = BadSerial;

    fn from_str(text: &str) -> Result<Self, BadSerial> {
        let digits = text.as_bytes();
        if digits.len() != 2 * BYTES || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(BadSerial);
        }
        let number = u128::from_str_radix(text, 16).map_err(|_| BadSerial)?;
        Ok(Self(number.to_be_bytes()))
    }
}

impl TryFrom<String> for Serial {
    type Error = BadSerial;

    fn try_from(text: String) -> Result<Self, BadSerial> {
        text.parse()
    }
}

impl From<Serial> for String {
    fn from(serial: Serial) -> Self {
        serial.to_string()
    }
}
