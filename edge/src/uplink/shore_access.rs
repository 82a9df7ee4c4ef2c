//! The broker of a configuration, and who the boat is there.

use super::identity::{Identity, IdentityFiles};
use flukewatch_common::broker_url::{
    BadBrokerUrl, BrokerEnvironment, BrokerUrl, LoginError, LoginSources,
};
use flukewatch_mqtt::TlsFiles;
use flukewatch_trust::KeyFileError;
use std::path::Path;

/// What a configuration says about the way to shore; an empty path is not set.
#[derive(Clone, Copy, Debug)]
pub struct AccessSettings<'a> {
    /// The broker's URL.
    pub url: &'a str,
    /// Its user.
    pub user: &'a str,
    /// A file with the user's password.
    pub password_file: &'a Path,
    /// The folder that the station made for the boat.
    pub identity: &'a Path,
    /// Certificates of authorities, instead of those of the identity or the system.
    pub ca_file: &'a Path,
    /// The boat's certificate, instead of the identity's.
    pub certificate_file: &'a Path,
    /// The key of the boat's certificate, instead of the identity's.
    pub key_file: &'a Path,
}

/// How the boat reaches shore.
#[derive(Clone, Debug)]
pub struct ShoreAccess {
    /// The broker with user and password.
    pub broker: BrokerUrl,
    /// Certificates for an encrypted connection.
    pub tls: TlsFiles,
    /// Signs messages; `None`: they are not signed.
    pub identity: Option<Identity>,
}

/// Why the broker of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The URL is invalid.
    #[error("uplink.broker: {0}")]
    Url(#[from] BadBrokerUrl),
    /// User, password or a credential is missing or unreadable.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The identity is incomplete.
    #[error(
        "uplink.identity: {0}; run `flukewatch-shore provision BOAT` on the station, and copy the whole folder aboard"
    )]
    Identity(#[from] KeyFileError),
}

impl ShoreAccess {
    /// The broker of `settings`, with user and password of the settings, else those of `environment` or
    /// the URL.
    ///
    /// # Errors
    /// When the URL is invalid, user or password cannot be determined, or a key cannot be read.
    pub fn new(
        settings: AccessSettings<'_>,
        environment: &BrokerEnvironment,
    ) -> Result<Self, BrokerError> {
        let set = |path: &Path| match path.as_os_str().is_empty() {
            true => Ok(None),
            false => environment.file(path).map(Some),
        };
        let url: BrokerUrl = settings.url.parse()?;
        let password_file = set(settings.password_file)?;
        let sources = LoginSources {
            user: Some(settings.user),
            password_file: password_file.as_deref(),
            environment,
        };
        let broker = url.with_login(sources, ["uplink.user", "uplink.password_file"])?;
        let own = TlsFiles {
            ca: set(settings.ca_file)?,
            certificate: set(settings.certificate_file)?,
            key: set(settings.key_file)?,
        };
        let Some(folder) = set(settings.identity)? else {
            return Ok(Self {
                broker,
                tls: own,
                identity: None,
            });
        };
        let mut files = IdentityFiles::of(&folder);
        if let Some(key) = &own.key {
            files.key.clone_from(key);
        }
        let identity = Identity::read(&files)?;
        Ok(Self {
            broker,
            tls: TlsFiles {
                ca: own.ca.or(Some(files.authority)),
                certificate: own.certificate.or(Some(files.certificate)),
                key: Some(files.key),
            },
            identity: Some(identity),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flukewatch_trust::SigningKey;
    use std::path::PathBuf;

    const NONE: &str = "";

    fn settings<'a>(url: &'a str, identity: &'a Path) -> AccessSettings<'a> {
        AccessSettings {
            url,
            user: "",
            password_file: Path::new(NONE),
            identity,
            ca_file: Path::new(NONE),
            certificate_file: Path::new(NONE),
            key_file: Path::new(NONE),
        }
    }

    /// A folder as the station makes it.
    fn identity_folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        SigningKey::from_seed([1; 32])
            .create_file(&path("boat.key"))
            .unwrap();
        let station = SigningKey::from_seed([2; 32]).public();
        std::fs::write(path("station.pub"), station.to_pem()).unwrap();
        folder
    }

    #[test]
    fn an_identity_names_all_files() {
        let folder = identity_folder();
        let environment = BrokerEnvironment::default();
        let access = ShoreAccess::new(settings("mqtts://shore", folder.path()), &environment);
        let access = access.unwrap();
        assert!(access.identity.is_some());
        let expected = |name: &str| Some(folder.path().join(name));
        assert_eq!(access.tls.ca, expected("ca.pem"));
        assert_eq!(access.tls.certificate, expected("boat.pem"));
        assert_eq!(access.tls.key, expected("boat.key"));
    }

    #[test]
    fn other_files_replace_those_of_the_identity() {
        let folder = identity_folder();
        let other = folder.path().join("other.key");
        SigningKey::from_seed([3; 32]).create_file(&other).unwrap();
        let settings = AccessSettings {
            ca_file: Path::new("/other/ca.pem"),
            key_file: &other,
            ..settings("mqtts://shore", folder.path())
        };
        let access = ShoreAccess::new(settings, &BrokerEnvironment::default()).unwrap();
        assert_eq!(access.tls.ca, Some(PathBuf::from("/other/ca.pem")));
        assert_eq!(access.tls.key, Some(other));
        let sealed = access.identity.unwrap().seal(b"message");
        let of_other = Identity::new(
            SigningKey::from_seed([3; 32]),
            SigningKey::from_seed([2; 32]).public(),
        );
        assert_eq!(of_other.open_from_boat(&sealed), Ok(&b"message"[..]));
    }

    #[test]
    fn a_missing_file_is_named() {
        let environment = BrokerEnvironment::default();
        let password = AccessSettings {
            user: "boat",
            password_file: Path::new("/no/such/file"),
            ..settings("mqtt://shore", Path::new(NONE))
        };
        let identity = settings("mqtt://shore", Path::new("/no/such/file"));
        for settings in [password, identity] {
            let error = ShoreAccess::new(settings, &environment).unwrap_err();
            assert!(error.to_string().contains("/no/such/file"), "{error}");
        }
    }

    #[test]
    fn a_credential_is_a_file_of_the_service_manager() {
        let folder = identity_folder();
        let environment = BrokerEnvironment {
            credentials_directory: Some(folder.path().to_owned()),
            ..BrokerEnvironment::default()
        };
        let settings = AccessSettings {
            key_file: Path::new("credential:boat.key"),
            ..settings("mqtts://shore", Path::new(NONE))
        };
        let access = ShoreAccess::new(settings, &environment).unwrap();
        assert_eq!(access.tls.key, Some(folder.path().join("boat.key")));
        let error = ShoreAccess::new(settings, &BrokerEnvironment::default()).unwrap_err();
        assert!(matches!(
            error,
            BrokerError::Login(LoginError::NoCredentials)
        ));
    }
}
