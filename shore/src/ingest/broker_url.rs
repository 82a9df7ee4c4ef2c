//! Where an outside broker is: `mqtt://host:port`.

use std::fmt;
use std::str::FromStr;

/// A broker's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Name or number of the host.
    pub host: String,
    /// Its port; 1883 where the address gives none.
    pub port: u16,
}

/// Why a text is no broker's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadBrokerUrl {
    /// Encryption is asked for, which this version does not have.
    #[error(
        "'{0}': encrypted connections (mqtts) are not offered yet; use mqtt:// within a trusted network or a tunnel"
    )]
    Encrypted(String),
    /// Anything else.
    #[error("'{0}' is no broker's address: write mqtt://HOST:PORT, as mqtt://192.168.1.5:1883")]
    Malformed(String),
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;
    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let bad = || BadBrokerUrl::Malformed(text.chars().take(128).collect());
        if text.starts_with("mqtts://") {
            return Err(BadBrokerUrl::Encrypted(text.chars().take(128).collect()));
        }
        let place = text
            .strip_prefix("mqtt://")
            .ok_or_else(bad)?
            .trim_end_matches('/');
        // An IPv6 number stands in brackets, since it holds colons itself.
        let (host, port) = match place.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']').ok_or_else(bad)?;
                (
                    host,
                    rest.strip_prefix(':')
                        .or(rest.is_empty().then_some("1883"))
                        .ok_or_else(bad)?,
                )
            }
            None => place.split_once(':').unwrap_or((place, "1883")),
        };
        if host.is_empty() || host.contains(['/', '@', ' ', '?', '#']) {
            return Err(bad());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| bad())?,
        })
    }
}

impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "mqtt://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "mqtt://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written() {
        for (text, written) in [
            ("mqtt://localhost", "mqtt://localhost:1883"),
            ("mqtt://192.168.1.5:2883/", "mqtt://192.168.1.5:2883"),
            ("mqtt://[::1]:1884", "mqtt://[::1]:1884"),
            ("mqtt://[::1]", "mqtt://[::1]:1883"),
        ] {
            assert_eq!(text.parse::<BrokerUrl>().unwrap().to_string(), written);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "localhost:1883",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://h:x",
            "mqtt://h:99999",
            "mqtt://u:p@h",
            "mqtt://[::1",
        ] {
            assert!(
                matches!(bad.parse::<BrokerUrl>(), Err(BadBrokerUrl::Malformed(_))),
                "{bad}"
            );
        }
        assert!(matches!(
            "mqtts://h".parse::<BrokerUrl>(),
            Err(BadBrokerUrl::Encrypted(_))
        ));
    }
}
