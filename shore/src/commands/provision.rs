//! `flukewatch-shore provision`

use super::error::CommandError;
use clap::Args;
use flukewatch_common::broker_url::BrokerUrl;
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::sighting::BoatId;
use flukewatch_shore::authority::{Authority, BOAT_DAYS, ProvisionRequest, ServerName};
use flukewatch_shore::random::system_random;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Args)]
#[command(after_help = "\
Example:
  flukewatch-shore provision balaena --data station --broker mqtts://shore.example.org:8883
      writes the folder balaena-identity; its README.txt says what to do on the boat")]
pub(crate) struct ProvisionArgs {
    /// Name of the boat: 1 to 32 of a-z, 0-9 and -
    boat: BoatId,
    /// Data folder of the station
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Folder to write; it must not exist [default: BOAT-identity]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Days that the certificate is valid
    #[arg(long, value_name = "N", default_value_t = BOAT_DAYS, value_parser = clap::value_parser!(u32).range(1..))]
    days: u32,
    /// Revoke the boat's present certificate
    ///
    /// The boat cannot connect until the new folder is aboard.
    #[arg(long)]
    replace: bool,
    /// URL of the broker for the folder's README: mqtts://HOST:PORT
    // Parsed later: an error of the command line repeats the value, and with it a password.
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
}

pub(crate) fn run(args: ProvisionArgs) -> Result<ExitCode, CommandError> {
    let broker: Option<BrokerUrl> = args.broker.as_deref().map(str::parse).transpose()?;
    let now = SystemClock.now();
    let mut random = system_random()?;
    let authority = Authority::open_or_create(&args.data, &mut random, now)?;
    let default_out = || PathBuf::from(format!("{}-identity", args.boat));
    let request = ProvisionRequest {
        out: args.out.unwrap_or_else(default_out),
        boat: args.boat,
        days: args.days,
        replace: args.replace,
        broker: broker.as_ref().map(BrokerUrl::to_string),
    };
    let identity = authority.provision(&request, &mut random, now)?;
    if let Some(broker) = broker {
        warn_of_unknown_name(&authority, &broker)?;
    }
    let (folder, expires) = (identity.folder.display(), identity.expires);
    writeln!(
        io::stdout(),
        "{folder}: identity of {}, valid until {expires}. Carry it aboard, follow its README.txt, and delete other copies.",
        request.boat
    )?;
    Ok(ExitCode::SUCCESS)
}

/// A boat connects only to a broker whose certificate has the name that the boat uses.
fn warn_of_unknown_name(authority: &Authority, broker: &BrokerUrl) -> Result<(), CommandError> {
    let names = authority.server_names()?;
    let name = broker.host.parse::<ServerName>().ok();
    if !name.is_some_and(|name| names.contains(&name)) {
        let host = &broker.host;
        eprintln!(
            "flukewatch-shore: warning: the broker's certificate does not name '{host}'; start the station with \
             'serve --mqtts ADDR --server-name {host}'"
        );
    }
    Ok(())
}
