//! `[page]`

use super::checks::Checks;
use serde::Deserialize;
use std::net::SocketAddr;

/// The page on the boat's network, section `[page]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PageSection {
    /// The page's address and port, e.g. `127.0.0.1:8090`; empty for no page.
    pub listen: String,
}

impl PageSection {
    /// The address; `None` for no page.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listen.parse().ok()
    }

    pub(super) fn check(&self, checks: &mut Checks<'_>) {
        if !self.listen.is_empty() && self.address().is_none() {
            let given: String = self.listen.chars().take(64).collect();
            let problem =
                format!("must be ADDRESS:PORT, e.g. \"127.0.0.1:8090\", or empty, not '{given}'");
            checks.fault("listen", problem);
        }
    }
}
