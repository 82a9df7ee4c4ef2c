//! The `Host` of a request, and the hosts under which a server is known.
//!
//! A browser sends the name in its address bar. A website can make its own name point at this machine
//! (DNS rebinding) and would then read the pages as if they were its own; its name is not an allowed one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The longest name, in bytes.
const MAX_NAME: usize = 253;
/// The port of a URL without one.
const DEFAULT_PORT: u16 = 80;

/// A name in lower case, or an address.
#[derive(Clone, Debug, PartialEq, Eq)]
enum HostName {
    Name(String),
    Address(IpAddr),
}

impl HostName {
    /// A name without brackets.
    fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(ip.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let valid = name.len() <= MAX_NAME && name.split('.').all(label);
        valid.then(|| Self::Name(name.to_ascii_lowercase()))
    }
}

/// A host with an optional port, as in a `Host` header: `boat.example`, `boat.example:8090`,
/// `192.168.1.5`, `[fe80::1]:8090`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    name: HostName,
    /// `None` in a configuration: any.
    port: Option<u16>,
}

/// Text is not a host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid host {0:?}; expected a name or an address, e.g. \"boat.example\" or \"192.168.1.5\", and no more than a port after it"
)]
pub struct InvalidHost(String);

impl AllowedHost {
    /// The port that is given, if one is.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, rest) = match text.strip_prefix('[') {
            Some(text) => {
                let (ip, rest) = text.split_once(']')?;
                let ip: Ipv6Addr = ip.parse().ok()?;
                (HostName::Address(IpAddr::V6(ip).to_canonical()), rest)
            }
            None => {
                let end = text.find(':').unwrap_or(text.len());
                let (name, rest) = text.split_at(end);
                (HostName::parse(name)?, rest)
            }
        };
        let port = match rest.strip_prefix(':') {
            None if rest.is_empty() => None,
            // `parse` would also take a sign.
            Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
                Some(port.parse().ok().filter(|port| *port > 0)?)
            }
            _ => return None,
        };
        Some(Self { name, port })
    }
}

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let invalid = || InvalidHost(text.chars().take(64).collect());
        // An IPv6 address is readable without brackets where nothing follows it.
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            let name = HostName::Address(IpAddr::V6(ip).to_canonical());
            return Ok(Self { name, port: None });
        }
        Self::parse(text).ok_or_else(invalid)
    }
}

/// The host as in a URL, without its port.
impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            HostName::Name(name) => f.write_str(name),
            HostName::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            HostName::Address(ip) => write!(f, "{ip}"),
        }
    }
}

/// Why the host of a request is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It is missing, given several times, or unreadable.
    #[error("a request needs one Host")]
    Malformed,
    /// It names another machine or port.
    #[error(
        "unknown host; use the machine's name or address, or add the name to the allowed hosts"
    )]
    Unknown,
}

/// The hosts under which a server is known.
///
/// Allowed are, with the server's port: `localhost` and loopback addresses, the address that the client
/// connected to, and the machine's name, also in the domain `local`. Others are allowed by name, with any
/// port unless one is given.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts {
    machine: Vec<String>,
    listed: Vec<AllowedHost>,
}

impl AllowedHosts {
    /// The hosts of the machine `machine`, and those `listed`.
    pub fn new(machine: Option<&str>, listed: Vec<AllowedHost>) -> Self {
        let machine = machine.and_then(HostName::parse);
        let machine = match machine {
            Some(HostName::Name(name)) => {
                let local = name.split('.').next().map(|first| format!("{first}.local"));
                local.into_iter().chain([name]).collect()
            }
            _ => vec![],
        };
        Self { machine, listed }
    }

    /// Checks the value of a `Host` header that came in at the address `local`.
    ///
    /// # Errors
    /// When it is unreadable, or not allowed.
    pub fn check(&self, host: &[u8], local: SocketAddr) -> Result<(), HostError> {
        let host = std::str::from_utf8(host).ok();
        let host = host.and_then(AllowedHost::parse);
        let AllowedHost { name, port } = host.ok_or(HostError::Malformed)?;
        let port = port.unwrap_or(DEFAULT_PORT);
        let is_own = port == local.port()
            && match &name {
                HostName::Name(name) => name == "localhost" || self.machine.contains(name),
                HostName::Address(ip) => ip.is_loopback() || *ip == local.ip().to_canonical(),
            };
        let is_listed = || {
            let mut listed = self.listed.iter();
            listed.any(|l| l.name == name && l.port.is_none_or(|p| p == port))
        };
        if is_own || is_listed() {
            Ok(())
        } else {
            Err(HostError::Unknown)
        }
    }
}

#[cfg(test)]
mod tests;
