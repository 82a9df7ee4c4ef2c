//! User and password for a broker: from the URL, options, a file or the environment.

use super::BrokerUrl;
use crate::password_file::{PasswordFileError, read_password};
use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

/// The environment variable with the broker's user.
pub const USER_VARIABLE: &str = "FLUKEWATCH_BROKER_USER";
/// The environment variable with the broker's password.
pub const PASSWORD_VARIABLE: &str = "FLUKEWATCH_BROKER_PASSWORD";
/// The environment variable with the folder of a service's credentials, set by systemd where its unit has
/// `LoadCredential=` or `LoadCredentialEncrypted=`.
pub const CREDENTIALS_VARIABLE: &str = "CREDENTIALS_DIRECTORY";
/// How the path of a credential begins: `credential:NAME`.
const CREDENTIAL_PREFIX: &str = "credential:";

/// A user and a password. The password is empty until it is found.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Without the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// User and password from the environment.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct BrokerEnvironment {
    /// The value of [`USER_VARIABLE`].
    pub user: Option<String>,
    /// The value of [`PASSWORD_VARIABLE`].
    pub password: Option<String>,
    /// The value of [`CREDENTIALS_VARIABLE`].
    pub credentials_directory: Option<PathBuf>,
}

/// Without values.
impl fmt::Debug for BrokerEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerEnvironment").finish_non_exhaustive()
    }
}

impl BrokerEnvironment {
    /// Reads the variables of this process. An empty one counts as absent.
    ///
    /// # Errors
    /// When a value is not UTF-8.
    pub fn read() -> Result<Self, LoginError> {
        let value = |name: &'static str| match std::env::var(name) {
            Ok(value) => Ok(Some(value).filter(|v| !v.is_empty())),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err(LoginError::Variable(name)),
        };
        Ok(Self {
            user: value(USER_VARIABLE)?,
            password: value(PASSWORD_VARIABLE)?,
            credentials_directory: value(CREDENTIALS_VARIABLE)?.map(PathBuf::from),
        })
    }

    /// The file that a configuration names: a path, or `credential:NAME` for a credential of the service.
    ///
    /// # Errors
    /// When the service has no credentials, or the name is not that of a file.
    pub fn file(&self, path: &Path) -> Result<PathBuf, LoginError> {
        let name = path
            .to_str()
            .and_then(|p| p.strip_prefix(CREDENTIAL_PREFIX));
        let Some(name) = name else {
            return Ok(path.to_owned());
        };
        if name.is_empty() || name.contains('/') || name.starts_with('.') {
            return Err(LoginError::CredentialName);
        }
        let folder = self.credentials_directory.as_ref();
        Ok(folder.ok_or(LoginError::NoCredentials)?.join(name))
    }
}

/// Where user and password may come from besides the URL.
#[derive(Clone, Copy, Debug)]
pub struct LoginSources<'a> {
    /// The user of an option or a configuration.
    pub user: Option<&'a str>,
    /// A file with the password in its first line.
    pub password_file: Option<&'a Path>,
    /// User and password from the environment.
    pub environment: &'a BrokerEnvironment,
}

/// Why user and password cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The file with the broker's password gives none.
    #[error("the broker's login: {0}")]
    PasswordFile(#[from] PasswordFileError),
    /// There is a password, and no user.
    #[error("there is a password for the broker, but no user; set {0}, or {USER_VARIABLE}")]
    NoUser(&'static str),
    /// There is a user, and no password.
    #[error("the password of the broker's user is missing; set {0}, or {PASSWORD_VARIABLE}")]
    UserOnly(&'static str),
    /// A credential is named, and the service has none.
    #[error(
        "a file is given as credential:NAME, but the service has no credentials: add LoadCredential=NAME:FILE to its unit"
    )]
    NoCredentials,
    /// The name of a credential is not that of a file.
    #[error("expected credential:NAME with the name of a file")]
    CredentialName,
    /// An environment variable is not UTF-8.
    #[error("the environment variable {0} is not valid UTF-8")]
    Variable(&'static str),
}

impl BrokerUrl {
    /// Adds user and password. An option or key precedes the environment, and that the URL. `options`
    /// names the options for user and password in errors.
    ///
    /// # Errors
    /// When the password file cannot be read, or only one of user and password is known.
    pub fn with_login(
        self,
        sources: LoginSources<'_>,
        options: [&'static str; 2],
    ) -> Result<Self, LoginError> {
        let from_file = sources.password_file.map(read_password).transpose()?;
        let environment = sources.environment;
        let (url_user, url_password) = match self.credentials {
            Some(Credentials { user, password }) => (Some(user), Some(password)),
            None => (None, None),
        };
        let user = sources.user.filter(|u| !u.is_empty()).map(str::to_owned);
        let user = user.or_else(|| environment.user.clone()).or(url_user);
        let password = from_file
            .or_else(|| environment.password.clone())
            .or(url_password.filter(|p| !p.is_empty()));
        let credentials = match (user, password) {
            (None, None) => None,
            (Some(user), Some(password)) => Some(Credentials { user, password }),
            (None, Some(_)) => return Err(LoginError::NoUser(options[0])),
            (Some(_), None) => return Err(LoginError::UserOnly(options[1])),
        };
        Ok(Self {
            credentials,
            ..self
        })
    }
}
