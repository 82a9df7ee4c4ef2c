//! `flukewatch-shore serve`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::broker_url::{BrokerEnvironment, BrokerUrl, LoginSources};
use flukewatch_http::AllowedHost;
use flukewatch_shore::station::{BrokerConfig, CatalogueSource, Station, StationConfig};
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
    /// Address of the embedded broker; port 0 selects a free one
    ///
    /// There is no password: anybody who can reach the address can publish.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:1883",
        conflicts_with = "broker"
    )]
    mqtt: SocketAddr,
    /// Use an external broker at mqtt://HOST:PORT instead of the embedded one
    ///
    /// It must accept messages of 256 KiB; let it reject larger ones (mosquitto: message_size_limit
    /// 300000). A user and a password in the URL (mqtt://USER:PASSWORD@HOST:PORT) are visible in the
    /// list of processes.
    // Parsed later: an error of the command line repeats the value, and with it a password.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// User for the external broker [default: FLUKEWATCH_BROKER_USER, or that of the URL]
    #[arg(long, value_name = "USER", requires = "broker")]
    broker_user: Option<String>,
    /// File whose first line is the user's password [default: FLUKEWATCH_BROKER_PASSWORD, or that of
    /// the URL]
    #[arg(long, value_name = "FILE", requires = "broker")]
    broker_password_file: Option<PathBuf>,
    /// Bundle whose catalogue names the candidates' photos: a folder or a .flukebundle file
    #[arg(long, value_name = "BUNDLE", requires = "photos")]
    bundle: Option<PathBuf>,
    /// Folder of the catalogue's photos
    #[arg(long, value_name = "DIR", requires = "bundle")]
    photos: Option<PathBuf>,
}

impl ServeArgs {
    fn station_config(self) -> Result<StationConfig, CommandError> {
        warn_if_public("HTTP", "--http", self.http);
        let broker = match &self.broker {
            Some(url) => BrokerConfig::External(self.external_broker(url)?),
            None => {
                warn_if_public("MQTT", "--mqtt", self.mqtt);
                BrokerConfig::Embedded(self.mqtt)
            }
        };
        let catalogue = self.bundle.zip(self.photos);
        Ok(StationConfig {
            hosts: self.hosts,
            catalogue: catalogue.map(|(bundle, photos)| CatalogueSource { bundle, photos }),
            ..StationConfig::new(self.data, self.http, broker)
        })
    }

    fn external_broker(&self, url: &str) -> Result<BrokerUrl, CommandError> {
        let url: BrokerUrl = url.parse()?;
        if url.tls {
            return Err(CommandError::Encrypted);
        }
        let environment = BrokerEnvironment::read()?;
        let sources = LoginSources {
            user: self.broker_user.as_deref(),
            password_file: self.broker_password_file.as_deref(),
            environment: &environment,
        };
        Ok(url.with_login(sources, ["--broker-user", "--broker-password-file"])?)
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
        let mqtt = match station.mqtt_address() {
            Some(address) => address.to_string(),
            None => {
                let url = station.broker_url().to_string();
                url.trim_start_matches("mqtt://").to_owned()
            }
        };
        let ready = serde_json::json!({ "http": http, "mqtt": mqtt });
        writeln!(io::stdout(), "{ready}")?;
        io::stdout().flush()?;
        tracing::info!(%http, broker = %station.broker_url(), "station ready");
        shutdown_signal().await?;
        tracing::info!("shutting down");
        station.shutdown().await;
        Ok(ExitCode::SUCCESS)
    })
}

fn warn_if_public(protocol: &str, option: &str, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(protocol, option, %address, "reachable from other machines without authentication");
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
