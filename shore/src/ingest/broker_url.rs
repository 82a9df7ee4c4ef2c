//! The URL of a broker: `mqtt://host:port`.

use std::fmt;
use std::str::FromStr;

/// The URL of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Host name or IP address.
    pub host: String,
    /// Port; 1883 if the URL gives none.
    pub port: u16,
}

/// Why a text is not the URL of a broker.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidBrokerUrl {
    /// TLS is not supported yet.
    #[error(
        "'{0}': TLS (mqtts) is not supported yet; use mqtt:// in a trusted network or through a tunnel"
    )]
    Encrypted(String),
    /// The text has another form.
    #[error(
        "'{0}' is not the URL of a broker; expected mqtt://HOST:PORT, e.g. mqtt://192.168.1.5:1883"
    )]
    Malformed(String),
}

impl FromStr for BrokerUrl {
    type Err = InvalidBrokerUrl;
    fn from_str(text: &str) -> Result<Self, InvalidBrokerUrl> {
        let malformed = || InvalidBrokerUrl::Malformed(text.chars().take(128).collect());
        if text.starts_with("mqtts://") {
            return Err(InvalidBrokerUrl::Encrypted(
                text.chars().take(128).collect(),
            ));
        }
        let authority = text
            .strip_prefix("mqtt://")
            .ok_or_else(malformed)?
            .trim_end_matches('/');
        // An IPv6 address stands in brackets, since it contains colons.
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, rest) = v6.split_once(']').ok_or_else(malformed)?;
                (
                    host,
                    rest.strip_prefix(':')
                        .or(rest.is_empty().then_some("1883"))
                        .ok_or_else(malformed)?,
                )
            }
            None => authority.split_once(':').unwrap_or((authority, "1883")),
        };
        if host.is_empty() || host.contains(['/', '@', ' ', '?', '#']) {
            return Err(malformed());
        }
        Ok(Self {
            host: host.to_owned(),
            port: port.parse().map_err(|_| malformed())?,
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
    fn urls_are_parsed_and_formatted() {
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
    fn invalid_urls_are_rejected() {
        for invalid in [
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
                matches!(
                    invalid.parse::<BrokerUrl>(),
                    Err(InvalidBrokerUrl::Malformed(_))
                ),
                "{invalid}"
            );
        }
        assert!(matches!(
            "mqtts://h".parse::<BrokerUrl>(),
            Err(InvalidBrokerUrl::Encrypted(_))
        ));
    }
}
