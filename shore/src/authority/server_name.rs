//! Names and addresses under which boats reach the broker.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

const MAX_NAME_BYTES: usize = 253;

/// A host name or an address in the broker's certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

/// A text is neither a host name nor an address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is neither a host name nor an address; expected e.g. shore.example.org or 192.168.1.5, without a port"
)]
pub struct BadServerName(String);

impl ServerName {
    /// The name or address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<IpAddr> for ServerName {
    fn from(address: IpAddr) -> Self {
        Self(address.to_string())
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ServerName {
    type Err = BadServerName;

    fn from_str(text: &str) -> Result<Self, BadServerName> {
        let unbracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
        if let Ok(address) = unbracketed.unwrap_or(text).parse::<IpAddr>() {
            return Ok(address.into());
        }
        let is_label = |label: &str| {
            let alphanumeric = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = label.as_bytes();
            bytes.len() <= 63
                && alphanumeric(bytes.first())
                && alphanumeric(bytes.last())
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
        };
        // An address with a typing error is not a name.
        let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        if text.len() <= MAX_NAME_BYTES && !numeric && text.split('.').all(is_label) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadServerName(text.chars().take(64).collect()))
        }
    }
}

impl TryFrom<String> for ServerName {
    type Error = BadServerName;

    fn try_from(text: String) -> Result<Self, BadServerName> {
        text.parse()
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_accepted() {
        for (text, expected) in [
            ("Shore.Example.org", "shore.example.org"),
            ("station-1", "station-1"),
            ("192.168.1.5", "192.168.1.5"),
            ("[2001:DB8::1]", "2001:db8::1"),
            ("::1", "::1"),
        ] {
            assert_eq!(text.parse::<ServerName>().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn other_texts_are_rejected() {
        for text in [
            "",
            "host:8883",
            "mqtts://host",
            "a..b",
            "-a",
            "a-",
            "192.168.1",
            "192.168.1.500",
            "*.example.org",
            "a b",
            "a\nb",
            "küste",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }
}
