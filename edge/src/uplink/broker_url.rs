//! Where the broker is.

use std::fmt;
use std::str::FromStr;

/// `mqtt://[user:password@]host[:port]`; `mqtts://` encrypts.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// User and password, where the broker requires them.
    pub credentials: Option<(String, String)>,
    /// A host name or address; an IPv6 address in brackets.
    pub host: String,
    /// TCP port; 1883 or, encrypted, 8883 by default.
    pub port: u16,
}

/// Why a broker's address is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBrokerUrl {
    /// Neither `mqtt://` nor `mqtts://`.
    #[error("expected mqtt://host:port, not '{0}'")]
    Form(String),
    /// The port is not a number from 1 to 65535.
    #[error("port must be 1 to 65535, not '{0}'")]
    Port(String),
    /// Encryption in a program built without it.
    #[error("mqtts:// needs the feature 'tls': cargo build -p flukewatch-edge --features tls")]
    NoTls,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        // A password must not reach a log by way of an error.
        let form = || {
            BadBrokerUrl::Form(
                text.rsplit('@')
                    .next()
                    .unwrap_or_default()
                    .chars()
                    .take(100)
                    .collect(),
            )
        };
        let (scheme, rest) = text.split_once("://").ok_or_else(form)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" if cfg!(feature = "tls") => true,
            "mqtts" => return Err(BadBrokerUrl::NoTls),
            _ => return Err(form()),
        };
        let (user, address) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, address)| (Some(user), address));
        let credentials = match user.map(|u| u.split_once(':')) {
            None => None,
            Some(Some((user, password))) if !user.is_empty() => {
                Some((user.to_owned(), password.to_owned()))
            }
            Some(_) => return Err(form()),
        };
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let number = port.parse().ok().filter(|&p| p > 0);
                (
                    host,
                    number.ok_or_else(|| BadBrokerUrl::Port(port.chars().take(20).collect()))?,
                )
            }
            _ => (address, if tls { 8883 } else { 1883 }),
        };
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let good = match bare {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
            }
        };
        if good {
            Ok(Self {
                tls,
                credentials,
                host: host.to_owned(),
                port,
            })
        } else {
            Err(form())
        }
    }
}

/// Without the password.
impl fmt::Display for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BrokerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed() {
        for (text, host, port) in [
            ("mqtt://127.0.0.1:1884", "127.0.0.1", 1884),
            ("mqtt://shore.example.org", "shore.example.org", 1883),
            ("mqtt://[::1]:1885/", "[::1]", 1885),
            ("mqtt://[fe80::1]", "[fe80::1]", 1883),
        ] {
            let url: BrokerUrl = text.parse().unwrap();
            assert_eq!(
                (url.host.as_str(), url.port, url.credentials),
                (host, port, None),
                "{text}"
            );
        }
    }

    #[test]
    fn a_password_is_parsed_and_never_shown() {
        let url: BrokerUrl = "mqtt://boat:se@cr:et@shore:99".parse().unwrap();
        assert_eq!(url.credentials, Some(("boat".into(), "se@cr:et".into())));
        assert_eq!(
            (url.to_string(), format!("{url:?}")),
            ("mqtt://shore:99".into(), "mqtt://shore:99".into())
        );
        let error = "mqtt://:secret@shore"
            .parse::<BrokerUrl>()
            .unwrap_err()
            .to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn invalid_addresses_are_rejected() {
        for bad in [
            "",
            "127.0.0.1:1883",
            "http://shore",
            "mqtt://",
            "mqtt://:1883",
            "mqtt://a b",
            "mqtt://[::g]:1",
        ] {
            assert!(
                matches!(bad.parse::<BrokerUrl>(), Err(BadBrokerUrl::Form(_))),
                "{bad}"
            );
        }
        for bad in ["mqtt://shore:0", "mqtt://shore:70000", "mqtt://shore:x"] {
            assert!(
                matches!(bad.parse::<BrokerUrl>(), Err(BadBrokerUrl::Port(_))),
                "{bad}"
            );
        }
    }

    #[cfg(not(feature = "tls"))]
    #[test]
    fn encryption_needs_the_feature() {
        assert_eq!(
            "mqtts://shore".parse::<BrokerUrl>(),
            Err(BadBrokerUrl::NoTls)
        );
    }

    #[cfg(feature = "tls")]
    #[test]
    fn encryption_has_its_own_port() {
        let url: BrokerUrl = "mqtts://shore".parse().unwrap();
        assert_eq!((url.tls, url.port), (true, 8883));
    }
}
