//! `[page]`

use super::checks::Checks;
use flukewatch_http::AllowedHost;
use serde::Deserialize;
use std::net::SocketAddr;

/// The page on the boat's network, section `[page]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageSection {
    /// The page's address and port, e.g. `127.0.0.1:8090`; empty for no page.
    pub listen: String,
    /// Further names under which the page is opened, e.g. that of a router's name server, each with any
    /// port unless one is given.
    pub hosts: Vec<String>,
}

impl Default for PageSection {
    /// For this computer alone.
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8090".into(),
            hosts: vec![],
        }
    }
}

impl PageSection {
    /// The address; `None` for no page.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    /// Whether other machines can reach the page, which then asks for its token.
    pub fn is_public(&self) -> bool {
        let address = self.address();
        address.is_some_and(|a| !a.ip().to_canonical().is_loopback())
    }

    /// The further names.
    pub fn allowed_hosts(&self) -> Vec<AllowedHost> {
        self.hosts.iter().filter_map(|h| h.parse().ok()).collect()
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if !self.listen.is_empty() && self.address().is_none() {
            let given: String = self.listen.chars().take(64).collect();
            let problem =
                format!("must be ADDRESS:PORT, e.g. \"127.0.0.1:8090\", or empty, not '{given}'");
            checks.fault("listen", problem);
        }
        for host in &self.hosts {
            checks.parses("hosts", host.parse::<AllowedHost>());
        }
    }
}
