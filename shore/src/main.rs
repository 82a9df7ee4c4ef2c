//! `flukewatch-shore`: the station on shore.

mod commands;

use clap::{Args, Parser, Subcommand};
use flukewatch_shore::ingest::broker_url::BrokerUrl;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Collects the sightings of all boats, keeps them, and shows them.
///
/// Boats publish over MQTT; a boat forgets a sighting only when shore has it on disk and says so.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  flukewatch-shore serve --data station
      everything in one process; pages at http://127.0.0.1:8080, boats publish to mqtt://127.0.0.1:1883
  flukewatch-shore serve --data station --bundle whales.flukebundle --photos catalogue
      the same, with the catalogue's photos beside each sighting
  flukewatch-shore serve --data station --broker mqtt://192.168.1.5:1883
      with a broker that runs already, as mosquitto or EMQX
  flukewatch-shore gaps --data station
      which sightings have not arrived

Logs go to stderr; RUST_LOG=debug shows more.
Exit codes: 0 done, 1 failed, 2 wrong usage; 'gaps' ends with 4 where something is missing."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the station until Ctrl-C or SIGTERM.
    ///
    /// Prints one line of JSON on stdout once it is ready: {"http":"127.0.0.1:8080","mqtt":"127.0.0.1:1883"}.
    Serve(Serve),
    /// List the sequence numbers that each boat gave and shore has not seen. Ends with 4 where there are any.
    Gaps {
        /// The station's data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// As JSON, in the shape of GET /api/boats.
        #[arg(long)]
        json: bool,
    },
    /// List the sightings, newest first.
    List {
        /// The station's data folder.
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// As JSON, in the shape of GET /api/sightings.
        #[arg(long)]
        json: bool,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 1000)]
        limit: u64,
    },
}

/// What `serve` is told.
#[derive(Args)]
struct Serve {
    /// Where the database and the pictures are kept; made where it is not there.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where the pages are served; port 0 takes any free one. There is no login: another address than this machine's own
    /// lets everybody there look.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where the embedded broker listens; port 0 takes any free one. There is no password: another address than this machine's
    /// own lets everybody there publish.
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "127.0.0.1:1883",
        conflicts_with = "broker"
    )]
    mqtt: SocketAddr,
    /// Use a broker that runs already, as mqtt://HOST:PORT, instead of the embedded one. It must pass messages of 256 KiB; let it
    /// refuse larger ones (mosquitto: message_size_limit 300000).
    #[arg(long, value_name = "URL")]
    broker: Option<BrokerUrl>,
    /// The bundle whose catalogue names the candidates' photos: a folder or a .flukebundle file.
    #[arg(long, value_name = "BUNDLE", requires = "photos")]
    bundle: Option<PathBuf>,
    /// The folder with the catalogue's photos.
    #[arg(long, value_name = "DIR", requires = "bundle")]
    photos: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    // Colours would only litter a log file or a journal.
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    let done = match arguments.command {
        Command::Serve(serve) => commands::serve(serve),
        Command::Gaps { data, json } => commands::gaps(&data, json),
        Command::List { data, json, limit } => commands::list(&data, json, limit),
    };
    done.unwrap_or_else(|error| {
        eprintln!("flukewatch-shore: {error}");
        ExitCode::FAILURE
    })
}
