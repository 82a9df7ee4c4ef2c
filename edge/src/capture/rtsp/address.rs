//! The address of an IP camera, and its user.

use flukewatch_common::password_file::read_password;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use url::Url;

/// The address of a stream, without user and password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspUrl(Url);

/// Why the text of an address is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtspUrlError {
    /// Not a URL.
    #[error("invalid address: {0}; expected e.g. rtsp://192.168.1.64/stream1")]
    Invalid(String),
    /// The URL of something else.
    #[error("must begin with rtsp://, not {0}://")]
    Scheme(String),
    /// A URL with a password, which would be in the log.
    #[error(
        "must not have a user or password; set 'user', and 'password_file' or 'password_environment'"
    )]
    Login,
}

impl FromStr for RtspUrl {
    type Err = RtspUrlError;

    fn from_str(text: &str) -> Result<Self, RtspUrlError> {
        let url = Url::parse(text).map_err(|e| RtspUrlError::Invalid(e.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(RtspUrlError::Login);
        }
        if url.scheme() != "rtsp" {
            return Err(RtspUrlError::Scheme(url.scheme().to_owned()));
        }
        if url.host().is_none() {
            return Err(RtspUrlError::Invalid("no host".into()));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for RtspUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl RtspUrl {
    /// The URL.
    pub(super) fn url(&self) -> &Url {
        &self.0
    }
}

/// Where a camera's password is. It is read at each connection, so that it can be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
}

impl PasswordSource {
    /// Reads the password.
    ///
    /// # Errors
    /// In words, what is missing.
    pub(super) fn read(&self) -> Result<String, String> {
        match self {
            Self::File(path) => read_password(path).map_err(|e| e.to_string()),
            Self::Environment(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} with the camera's password is not set, or is not UTF-8")
            }),
        }
    }
}

/// An IP camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RtspAddress {
    /// The address of its stream.
    pub url: RtspUrl,
    /// The user, where the camera asks for one, and where its password is.
    pub login: Option<(String, PasswordSource)>,
}

impl fmt::Display for RtspAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(f)
    }
}
