//! `flukewatch-shore serve`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::broker_url::{BrokerEnvironment, BrokerUrl, LoginSources};
use flukewatch_http::AllowedHost;
use flukewatch_mqtt::TlsFiles;
use flukewatch_shore::authority::ServerName;
use flukewatch_shore::station::{
    BrokerConfig, CatalogueSource, ExternalBrokers, MosquittoConfig, Station, StationConfig,
};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal;

#[derive(Args)]
pub(crate) struct ServeArgs {
    /// Folder of the database and the pictures; created if missing
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Address of the pages and the API; port 0 selects a free one
    ///
    /// There is no login: anybody who can reach the address can read everything.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Further name under which the pages are opened, e.g. that of a proxy; may be repeated
    ///
    /// A request for another name than these, localhost, this machine's name and addresses is rejected, so that
    /// no website can read the pages in a visitor's browser.
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<AllowedHost>,
    /// Run a broker with TLS for boats, at this address, e.g. 0.0.0.0:8883; port 0 selects a free one
    ///
    /// Starts and supervises the program mosquitto (sudo apt install mosquitto). Boats need a
    /// certificate: see 'flukewatch-shore provision --help'.
    #[arg(long, value_name = "ADDR", conflicts_with_all = ["broker", "mqtt"])]
    mqtts: Option<SocketAddr>,
    /// Name or address under which boats reach the broker, for its certificate; repeatable
    ///
    /// This computer's own name, localhost and the address of --mqtts are always in it.
    #[arg(long, value_name = "NAME", requires = "mqtts")]
    server_name: Vec<ServerName>,
    /// The program mosquitto, where it is not in the PATH or /usr/sbin
    #[arg(long, value_name = "PATH", requires = "mqtts")]
    mosquitto: Option<PathBuf>,
    /// Address of the embedded broker for boats on this computer; port 0 selects a free one
    ///
    /// It has neither passwords nor encryption, so that it accepts a loopback address only. Use
    /// --mqtts for boats in a network.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:1883",
        conflicts_with = "broker"
    )]
    mqtt: SocketAddr,
    /// Use a broker that runs elsewhere, at mqtts://HOST:PORT or mqtt://HOST:PORT; repeatable
    ///
    /// Of several brokers, boats may use any. See docs/broker.md for what a broker must be told. A user
    /// and a password in the URL (mqtt://USER:PASSWORD@HOST:PORT) are visible in the list of processes.
    // Parsed later: an error of the command line repeats the value, and with it a password.
    #[arg(long, value_name = "URL")]
    broker: Vec<String>,
    /// User for the external brokers [default: FLUKEWATCH_BROKER_USER, or that of the URL]
    #[arg(long, value_name = "USER", requires = "broker")]
    broker_user: Option<String>,
    /// File whose first line is the user's password, or credential:NAME for a credential of systemd
    /// [default: FLUKEWATCH_BROKER_PASSWORD, or that of the URL]
    #[arg(long, value_name = "FILE", requires = "broker")]
    broker_password_file: Option<PathBuf>,
    /// Certificates of the authorities that may sign the certificates of external brokers (PEM)
    ///
    /// Without this, --certificate-file and --key-file, the station identifies itself with the
    /// certificate of its own authority.
    #[arg(long, value_name = "FILE", requires = "broker")]
    ca_file: Option<PathBuf>,
    /// The station's certificate for external brokers (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["broker", "key_file"])]
    certificate_file: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires_all = ["broker", "certificate_file"])]
    key_file: Option<PathBuf>,
    /// Name of the group of stations that divide the messages of external brokers; needs MQTT 5
    ///
    /// Choose one that boats do not know: who joins a group is dealt some of its messages.
    #[arg(long, value_name = "NAME", requires = "broker")]
    group: Option<String>,
    /// Accept messages that boats have not signed, for a lab
    ///
    /// Everyone who can publish on the brokers can then send sightings, and make boats delete theirs.
    #[arg(long, requires = "broker")]
    accept_unsigned: bool,
    /// Bundle whose catalogue names the candidates' photos: a folder or a .flukebundle file
    #[arg(long, value_name = "BUNDLE", requires = "photos")]
    bundle: Option<PathBuf>,
    /// Folder of the catalogue's photos
    #[arg(long, value_name = "DIR", requires = "bundle")]
    photos: Option<PathBuf>,
}

impl ServeArgs {
    fn station_config(self) -> Result<StationConfig, CommandError> {
        warn_if_public(self.http);
        let broker = match self.mqtts {
            _ if !self.broker.is_empty() => BrokerConfig::External(self.external_brokers()?),
            Some(address) => BrokerConfig::Mosquitto(MosquittoConfig {
                address,
                server_names: self.server_name,
                program: self.mosquitto,
            }),
            None => BrokerConfig::Embedded(self.mqtt),
        };
        let catalogue = self.bundle.zip(self.photos);
        Ok(StationConfig {
            hosts: self.hosts,
            catalogue: catalogue.map(|(bundle, photos)| CatalogueSource { bundle, photos }),
            ..StationConfig::new(self.data, self.http, broker)
        })
    }

    fn external_brokers(&self) -> Result<ExternalBrokers, CommandError> {
        let environment = BrokerEnvironment::read()?;
        let file = |path: &Option<PathBuf>| match path {
            Some(path) => environment.file(path).map(Some),
            None => Ok(None),
        };
        let password_file = file(&self.broker_password_file)?;
        let with_login = |url: &String| -> Result<BrokerUrl, CommandError> {
            let url: BrokerUrl = url.parse()?;
            let sources = LoginSources {
                user: self.broker_user.as_deref(),
                password_file: password_file.as_deref(),
                environment: &environment,
            };
            Ok(url.with_login(sources, ["--broker-user", "--broker-password-file"])?)
        };
        Ok(ExternalBrokers {
            urls: self
                .broker
                .iter()
                .map(with_login)
                .collect::<Result<_, _>>()?,
            tls: TlsFiles {
                ca: file(&self.ca_file)?,
                certificate: file(&self.certificate_file)?,
                key: file(&self.key_file)?,
            },
            group: self.group.clone(),
            accept_unsigned: self.accept_unsigned,
        })
    }
}

/// Runs a station until Ctrl-C or SIGTERM.
pub(crate) fn run(args: ServeArgs) -> Result<ExitCode, CommandError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let station = Station::start(args.station_config()?).await?;
        let http = station.http_address().to_string();
        let [broker, ..] = station.brokers() else {
            return Err(CommandError::NoBroker);
        };
        let url = &broker.url;
        let scheme = if url.tls { "mqtts" } else { "mqtt" };
        let broker = match station.mqtt_address() {
            Some(address) => address.to_string(),
            None => format!("{}:{}", url.host, url.port),
        };
        let ready = serde_json::json!({ "http": http, scheme: broker });
        writeln!(io::stdout(), "{ready}")?;
        io::stdout().flush()?;
        tracing::info!(%http, broker = station.public_url(), "station ready");
        shutdown_signal().await?;
        tracing::info!("shutting down");
        station.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn warn_if_public(http: SocketAddr) {
    if !http.ip().is_loopback() {
        tracing::warn!(address = %http, "pages reachable from other machines without a login");
    }
}

async fn shutdown_signal() -> io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal::unix::signal(signal::unix::SignalKind::terminate())?;
        tokio::select! {
            result = signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    signal::ctrl_c().await
}
