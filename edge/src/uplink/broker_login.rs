//! The broker of a configuration.

use flukewatch_common::broker_url::{
    BadBrokerUrl, BrokerEnvironment, BrokerUrl, LoginError, LoginSources,
};
use std::path::Path;

/// Why the broker of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is invalid.
    #[error("uplink.broker: {0}")]
    Url(#[from] BadBrokerUrl),
    /// User or password is missing or unreadable.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// Encryption in a program built without it.
    #[error("mqtts:// needs the feature 'tls': cargo build -p flukewatch-edge --features tls")]
    NoTls,
}

/// The broker at `url`, with `user` and the password in `password_file` where they are not empty, else
/// with those of `environment` or the URL.
///
/// # Errors
/// When the URL is invalid, or user or password cannot be determined.
pub fn broker(
    url: &str,
    user: &str,
    password_file: &Path,
    environment: &BrokerEnvironment,
) -> Result<BrokerUrl, BrokerError> {
    let url: BrokerUrl = url.parse()?;
    if url.tls && cfg!(not(feature = "tls")) {
        return Err(BrokerError::NoTls);
    }
    let sources = LoginSources {
        user: Some(user),
        password_file: Some(password_file).filter(|f| !f.as_os_str().is_empty()),
        environment,
    };
    Ok(url.with_login(sources, ["uplink.user", "uplink.password_file"])?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encryption_needs_the_feature() {
        let environment = BrokerEnvironment::default();
        let found = broker("mqtts://shore", "", Path::new(""), &environment);
        assert_eq!(
            matches!(found, Err(BrokerError::NoTls)),
            cfg!(not(feature = "tls"))
        );
    }

    #[test]
    fn the_file_is_named_in_errors() {
        let environment = BrokerEnvironment::default();
        let file = Path::new("/no/such/file");
        let error = broker("mqtt://shore", "boat", file, &environment).unwrap_err();
        assert!(error.to_string().contains("/no/such/file"), "{error}");
    }
}
