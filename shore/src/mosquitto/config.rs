//! The broker's configuration and access rules.

use super::error::MosquittoError;
use crate::authority::{Authority, STATION_NAME, TlsFiles};
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_common::wire;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The largest packet: a message, its signature, topic and properties.
const MAX_PACKET_BYTES: usize = wire::MAX_MESSAGE + 4096;

/// The broker's folder in the station's data folder.
#[derive(Clone, Debug)]
pub(super) struct BrokerFiles {
    folder: PathBuf,
    tls: TlsFiles,
    revoked: PathBuf,
}

impl BrokerFiles {
    /// Creates the folder.
    ///
    /// # Errors
    /// When it cannot be created, or the configuration cannot name the files.
    pub(super) fn create(data: &Path, authority: &Authority) -> Result<Self, MosquittoError> {
        let absolute = |path: &Path| {
            let path = std::path::absolute(path).map_err(MosquittoError::write(path))?;
            let usable = path.to_str().is_some_and(|p| !p.contains(['\n', '\r']));
            usable
                .then_some(path.clone())
                .ok_or(MosquittoError::Path(path))
        };
        let server = authority.server_files();
        let folder = absolute(&data.join("broker"))?;
        fs::create_dir_all(&folder).map_err(MosquittoError::write(&folder))?;
        Ok(Self {
            folder,
            tls: TlsFiles {
                ca: absolute(&server.ca)?,
                certificate: absolute(&server.certificate)?,
                key: absolute(&server.key)?,
            },
            revoked: absolute(&authority.revocation_list())?,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn config(&self) -> PathBuf {
        self.folder.join("mosquitto.conf")
    }

    pub(super) fn revoked(&self) -> &Path {
        &self.revoked
    }

    pub(super) fn process_id(&self) -> PathBuf {
        self.folder.join("mosquitto.pid")
    }

    fn rules(&self) -> PathBuf {
        self.folder.join("boats.acl")
    }

    /// Writes configuration and rules of a broker that listens on `address`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(super) fn write(&self, address: SocketAddr) -> Result<(), MosquittoError> {
        let write = |file: PathBuf, text: String| {
            write_atomically(&file, text.as_bytes()).map_err(MosquittoError::write(file))
        };
        write(self.rules(), rules())?;
        write(self.config(), self.configuration(address))
    }

    fn configuration(&self, address: SocketAddr) -> String {
        format!(
            "\
# Written by flukewatch-shore at each start: changes are lost.

listener {port} {ip}
cafile {ca}
certfile {certificate}
keyfile {key}
crlfile {revoked}
require_certificate true
allow_anonymous false
acl_file {rules}
# The name in a client's certificate is its user and its client id, whatever it says: no boat can act as another one.
use_identity_as_username true
use_username_as_clientid true

# A place for each boat, and connections that have not identified themselves yet.
max_connections 1000
max_qos 1
max_topic_alias 0
max_keepalive 1800

# Limits in bytes.
max_packet_size {MAX_PACKET_BYTES}
memory_limit 536870912
max_queued_bytes 67108864
max_queued_messages 20000
max_inflight_messages 200

# Otherwise the kernel holds back small packets, such as acknowledgements, for 40 ms.
set_tcp_nodelay true

# Boats keep their messages until the station has stored them: nothing here needs to survive a restart.
persistence false
persistent_client_expiration 7d

set_tcp_nodelay true
sys_interval 0
# Without effect unless the station runs as root.
user root
log_dest stderr
log_timestamp false
log_type error
log_type warning
log_type notice
log_type information
",
            port = address.port(),
            ip = address.ip(),
            ca = self.tls.ca.display(),
            certificate = self.tls.certificate.display(),
            key = self.tls.key.display(),
            revoked = self.revoked.display(),
            rules = self.rules().display(),
        )
    }
}

/// Who may use which topics. What is not permitted here is not possible.
fn rules() -> String {
    format!(
        "\
# Written by flukewatch-shore at each start: changes are lost.

user {STATION_NAME}
topic readwrite flukewatch/v1/#

# %u is the name in the boat's certificate. Last wills are subject to the same rules.
pattern write flukewatch/v1/%u/sighting
pattern write flukewatch/v1/%u/picture
pattern write flukewatch/v1/%u/brief
pattern write flukewatch/v1/%u/chunk
pattern write flukewatch/v1/%u/status
pattern readwrite flukewatch/v1/%u/presence
pattern read flukewatch/v1/%u/ack
pattern read flukewatch/v1/%u/command
pattern write flukewatch/v1/%u/request
pattern read flukewatch/v1/%u/offer
pattern read flukewatch/v1/%u/content
pattern read flukewatch/v1/%u/settings
"
    )
}
