//! `flukewatch-shore`: the station on shore.

mod commands;

use clap::{Parser, Subcommand};
use commands::{
    certificates, list, missing, offer, offers, provision, quarantine, request, requests, revoke,
    serve, settings, withdraw,
};
use flukewatch_common::broker_url::redact;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Collect the sightings of all boats, store them, and show them
///
/// Boats publish over MQTT. A boat deletes a sighting only after shore has stored and acknowledged
/// it.
#[derive(Parser)]
#[command(
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  flukewatch-shore serve --data station
      everything in one process: pages at http://127.0.0.1:8080, broker at mqtt://127.0.0.1:1883
  flukewatch-shore serve --data station --bundle whales.flukebundle --photos catalogue
      the same, with the catalogue's photos beside each sighting
  flukewatch-shore serve --data station --mqtts 0.0.0.0:8883 --server-name shore.example.org
      with a broker for boats in a network: TLS, a certificate for each boat; needs mosquitto
  flukewatch-shore provision balaena --data station --broker mqtts://shore.example.org:8883
      make the identity of the boat 'balaena': a folder to carry aboard
  flukewatch-shore serve --data station --broker mqtt://192.168.1.5:1883
      with an external broker
  flukewatch-shore serve --data station --broker mqtt://192.168.1.5:1883 --broker-user shore \
      --broker-password-file /etc/flukewatch/broker-password
      the same, with a password; or set FLUKEWATCH_BROKER_USER and FLUKEWATCH_BROKER_PASSWORD
  flukewatch-shore offer azores.flukebundle --data station --boat balaena
      offer a signed bundle to the boat 'balaena'
  flukewatch-shore request --boat balaena 01936e2a-7c00-7000-8000-000000000001 --clip --data station
      request the clip of this sighting
  flukewatch-shore settings --data station --boat balaena detector.threshold=0.4
      set a threshold on the boat 'balaena'
  flukewatch-shore missing --data station
      which sightings have not arrived

Logs go to stderr; RUST_LOG=debug shows more.
Exit codes: 0 success; 1 failure; 2 wrong usage; 4 'missing' found missing sightings."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the station until Ctrl-C or SIGTERM
    ///
    /// Prints one line of JSON on stdout once it is ready:
    /// {"http":"127.0.0.1:8080","mqtt":"127.0.0.1:1883"}, with "mqtts" in place of "mqtt" for a broker
    /// with TLS.
    Serve(Box<serve::ServeArgs>),
    /// List the sequence numbers of each boat that have not arrived, or arrived with several sightings
    ///
    /// The exit code is 4 if numbers are missing.
    Missing(missing::MissingArgs),
    /// List the sightings, newest first
    List(list::ListArgs),
    /// List, release or delete sightings whose sequence number or time cannot be right
    ///
    /// They are on disk and acknowledged, and count nowhere else. Works while the station runs.
    Quarantine(quarantine::QuarantineArgs),
    /// Make key and certificate of a boat: a folder to carry aboard
    ///
    /// The certificate's name is the boat's identity in the broker, and its key signs the boat's
    /// messages. The station keeps certificate and public key; the private key is in the folder only.
    Provision(provision::ProvisionArgs),
    /// Revoke the certificate of a boat, e.g. of a lost computer
    ///
    /// A running station disconnects the boat within seconds, and all others for a moment.
    Revoke(revoke::RevokeArgs),
    /// List the certificates of boats
    Certificates(certificates::CertificatesArgs),
    /// Offer a bundle to boats, over the air
    ///
    /// Verifies the bundle and copies it into the data folder. A running station offers it within seconds. A
    /// boat requests what it lacks of it, verifies it, tries it, and reports.
    Offer(offer::OfferArgs),
    /// List the last offer to each boat, and how far it is
    Offers(offers::OffersArgs),
    /// Set thresholds, quotas and the use of the link on boats, over the air; or list what was set
    ///
    /// A running station sends them within seconds, or once a boat connects. The boat checks them, tries them,
    /// keeps them over restarts, and reports.
    Settings(settings::SettingsArgs),
    /// Withdraw the offer to a boat
    ///
    /// What the boat has of the bundle stays there. A bundle that it uses already stays in use.
    Withdraw(withdraw::WithdrawArgs),
    /// Request a clip or all crops of a sighting of its boat
    ///
    /// Works while the station runs. The boat sends the file in chunks, after everything more important,
    /// and resumes after any interruption.
    Request(request::RequestArgs),
    /// List the requested files and how far they are, or cancel a request
    Requests(requests::RequestsArgs),
}

fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| exit(&error));
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        // No colours in a log file or a journal.
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let result = match cli.command {
        Command::Serve(args) => serve::run(*args),
        Command::Missing(args) => missing::run(&args),
        Command::List(args) => list::run(&args),
        Command::Quarantine(args) => quarantine::run(&args),
        Command::Provision(args) => provision::run(args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Certificates(args) => certificates::run(&args),
        Command::Offer(args) => offer::run(args),
        Command::Offers(args) => offers::run(&args),
        Command::Settings(args) => settings::run(args),
        Command::Withdraw(args) => withdraw::run(&args),
        Command::Request(args) => request::run(&args),
        Command::Requests(args) => requests::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("flukewatch-shore: {error}");
        error.exit_code()
    })
}

/// Exits after an invalid command line, which may contain a broker's password.
fn exit(error: &clap::Error) -> ! {
    let text = error.to_string();
    let safe = redact(&text);
    if safe == text {
        error.exit();
    }
    eprint!("{safe}");
    std::process::exit(error.exit_code());
}
