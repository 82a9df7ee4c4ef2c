//! The URL of an MQTT broker, and the user and password for it.
//!
//! No error and no output of this module contains a password, or a part of a URL that might be one.

mod login;
mod redact;

pub use login::{
    BrokerEnvironment, CREDENTIALS_VARIABLE, Credentials, LoginError, LoginSources,
    PASSWORD_VARIABLE, USER_VARIABLE,
};
pub use redact::redact;

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// `mqtt://[user[:password]@]host[:port]`; `mqtts://` encrypts.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerUrl {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// User and password, where the broker requires them.
    pub credentials: Option<Credentials>,
    /// A host name or address; an IPv6 address in brackets.
    pub host: String,
    /// TCP port; 1883 or, encrypted, 8883 by default.
    pub port: u16,
}

/// Why a broker's URL is invalid. The URL itself is not repeated: it may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBrokerUrl {
    /// Neither `mqtt://` nor `mqtts://`.
    #[error("not the URL of a broker; expected mqtt://HOST:PORT, e.g. mqtt://192.168.1.5:1883")]
    Scheme,
    /// The host is missing or has an invalid character.
    #[error(
        "the broker's host is missing or invalid; expected mqtt://HOST:PORT, e.g. mqtt://192.168.1.5:1883"
    )]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the broker's port must be 1 to 65535; expected mqtt://HOST:PORT")]
    Port,
    /// A password without a user.
    #[error("the broker's user is empty; expected mqtt://USER:PASSWORD@HOST:PORT")]
    User,
}

impl FromStr for BrokerUrl {
    type Err = BadBrokerUrl;

    fn from_str(text: &str) -> Result<Self, BadBrokerUrl> {
        let (scheme, rest) = text.split_once("://").ok_or(BadBrokerUrl::Scheme)?;
        let tls = match scheme {
            "mqtt" => false,
            "mqtts" => true,
            _ => return Err(BadBrokerUrl::Scheme),
        };
        let (login, address) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(login, address)| (Some(login), address));
        let credentials = login.map(credentials).transpose()?;
        let address = address.strip_suffix('/').unwrap_or(address);
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let number = port.parse().ok().filter(|&p| p > 0);
                (host, number.ok_or(BadBrokerUrl::Port)?)
            }
            _ => (address, if tls { 8883 } else { 1883 }),
        };
        if !is_host(host) {
            return Err(BadBrokerUrl::Host);
        }
        Ok(Self {
            tls,
            credentials,
            host: host.to_owned(),
            port,
        })
    }
}

impl BrokerUrl {
    /// The host without the brackets of an IPv6 address, as certificates contain it.
    pub fn host_name(&self) -> &str {
        let address = self
            .host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'));
        address.unwrap_or(&self.host)
    }

    /// Whether the broker is on this computer, by its address or the name `localhost`.
    pub fn is_loopback(&self) -> bool {
        let host = self.host_name();
        let address = host.parse::<IpAddr>().map(|address| address.is_loopback());
        address.unwrap_or_else(|_| host.eq_ignore_ascii_case("localhost"))
    }
}

fn credentials(login: &str) -> Result<Credentials, BadBrokerUrl> {
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Some(password.to_owned())),
        None => (login, None),
    };
    if user.is_empty() {
        return Err(BadBrokerUrl::User);
    }
    Ok(Credentials {
        user: user.to_owned(),
        password: password.unwrap_or_default(),
    })
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
        }
    }
}

/// Without user and password.
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
mod tests;
