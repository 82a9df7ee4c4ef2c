//! The station's program: how it is started, and the commands that work on its data folder.

use crate::checkout::Checkout;
use anyhow::{Context, bail};
use serde::Deserialize;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// Time to become ready.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A station's program with the files of its run. Several runs may follow each other.
pub(crate) struct StationProgram {
    program: PathBuf,
    data: PathBuf,
    stdout: PathBuf,
    log: PathBuf,
}

/// The broker that the station runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broker<'a> {
    /// The embedded one without encryption, for boats on this machine.
    Embedded,
    /// mosquitto with TLS at this address; boats need certificates.
    Mosquitto {
        /// Port 0 selects a free one.
        address: SocketAddr,
        /// A further name under which boats reach it, for its certificate.
        server_name: Option<&'a str>,
    },
}

/// The line that `flukewatch-shore serve` prints once it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Ready {
    /// The address of its pages.
    pub(crate) http: SocketAddr,
    /// The address of its broker.
    #[serde(alias = "mqtt", alias = "mqtts")]
    pub(crate) broker: SocketAddr,
}

/// What `flukewatch-shore provision` makes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Provision<'a> {
    pub(crate) boat: &'a str,
    /// The folder of the identity; it must not exist.
    pub(crate) to: &'a Path,
    /// The broker's URL, which the boat's README names.
    pub(crate) broker: Option<&'a str>,
    /// Whether a former identity of the boat is revoked.
    pub(crate) replace: bool,
}

impl Broker<'_> {
    /// mosquitto on a free port of this machine alone.
    pub(crate) fn local_mosquitto(server_name: &str) -> Broker<'_> {
        Broker::Mosquitto {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            server_name: Some(server_name),
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--http".to_owned(), "127.0.0.1:0".to_owned()];
        match self {
            Self::Embedded => arguments.extend(["--mqtt", "127.0.0.1:0"].map(str::to_owned)),
            Self::Mosquitto {
                address,
                server_name,
            } => {
                arguments.extend(["--mqtts".to_owned(), address.to_string()]);
                let names = server_name.iter();
                arguments.extend(names.flat_map(|n| ["--server-name", n].map(str::to_owned)));
            }
        }
        arguments
    }
}

impl StationProgram {
    /// `program` with data folder, output and log in `folder`.
    pub(crate) fn in_folder(program: PathBuf, folder: &Path) -> Self {
        Self {
            program,
            data: folder.join("shore"),
            stdout: folder.join("shore.out"),
            log: folder.join("shore.log"),
        }
    }

    /// The data folder.
    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The command that runs the station; its log goes to `log`.
    ///
    /// # Errors
    /// If the file of its output cannot be created.
    pub(crate) fn serve(
        &self,
        checkout: &Checkout,
        broker: &Broker,
        log: File,
    ) -> anyhow::Result<Command> {
        let mut serve = self.command(checkout, "serve");
        serve
            .args(broker.arguments())
            .env("NO_COLOR", "1")
            .stdout(File::create(&self.stdout)?)
            .stderr(log);
        Ok(serve)
    }

    /// A command that works on the data folder.
    pub(crate) fn command(&self, checkout: &Checkout, name: &str) -> Command {
        let mut command = checkout.program(&self.program);
        command.arg(name).arg("--data").arg(&self.data);
        command
    }

    /// The addresses of the latest run, once it is ready.
    ///
    /// # Errors
    /// If its output cannot be read or is not what a station prints.
    pub(crate) fn ready(&self) -> anyhow::Result<Option<Ready>> {
        let output = fs::read_to_string(&self.stdout)
            .with_context(|| format!("{} cannot be read", self.stdout.display()))?;
        let Some((line, _)) = output.split_once('\n') else {
            return Ok(None);
        };
        serde_json::from_str(line)
            .with_context(|| format!("unexpected ready line of the station: '{line}'"))
    }

    /// Its addresses, as soon as it is ready. `ended` returns the status of a program that has ended.
    ///
    /// # Errors
    /// If it ends, or is not ready in time.
    pub(crate) fn wait_until_ready(
        &self,
        checkout: &Checkout,
        mut ended: impl FnMut() -> anyhow::Result<Option<ExitStatus>>,
    ) -> anyhow::Result<Ready> {
        let begun = Instant::now();
        loop {
            if let Some(ready) = self.ready()? {
                return Ok(ready);
            }
            if let Some(status) = ended()? {
                let log = fs::read_to_string(&self.log).unwrap_or_default();
                bail!("the station did not start ({status}):\n{log}");
            }
            if begun.elapsed() > START_TIMEOUT {
                bail!(
                    "the station is not ready after {} s; see {}",
                    START_TIMEOUT.as_secs(),
                    self.log.display()
                );
            }
            checkout.interrupt().check()?;
            std::thread::sleep(POLL);
        }
    }

    /// The command that makes an identity for a boat.
    pub(crate) fn provision(&self, checkout: &Checkout, provision: &Provision) -> Command {
        let mut command = self.command(checkout, "provision");
        command.arg(provision.boat).arg("--out").arg(provision.to);
        if let Some(broker) = provision.broker {
            command.args(["--broker", broker]);
        }
        if provision.replace {
            command.arg("--replace");
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(command: &Command) -> Vec<String> {
        let arguments = command.get_args();
        arguments
            .map(|a| a.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn the_broker_decides_how_the_station_is_started() {
        let folder = tempfile::tempdir().unwrap();
        let checkout = Checkout::at(folder.path());
        let station = StationProgram::in_folder("flukewatch-shore".into(), folder.path());
        let serve = |broker: &Broker| {
            let log = File::create(folder.path().join("shore.log")).unwrap();
            arguments(&station.serve(&checkout, broker, log).unwrap())[3..].to_vec()
        };
        assert_eq!(
            serve(&Broker::Embedded),
            ["--http", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]
        );
        assert_eq!(
            serve(&Broker::local_mosquitto("10.0.2.2"))[2..],
            ["--mqtts", "127.0.0.1:0", "--server-name", "10.0.2.2"]
        );
        let again = Broker::Mosquitto {
            address: SocketAddr::from(([127, 0, 0, 1], 8883)),
            server_name: None,
        };
        assert_eq!(serve(&again)[2..], ["--mqtts", "127.0.0.1:8883"]);
    }

    #[test]
    fn either_broker_is_in_the_ready_line() {
        let folder = tempfile::tempdir().unwrap();
        let station = StationProgram::in_folder("flukewatch-shore".into(), folder.path());
        let ready = |output: &str| {
            fs::write(folder.path().join("shore.out"), output).unwrap();
            station.ready()
        };
        for scheme in ["mqtt", "mqtts"] {
            let line = format!(r#"{{"http":"127.0.0.1:80","{scheme}":"127.0.0.1:7"}}"#);
            assert_eq!(ready(&line).unwrap(), None, "incomplete");
            let found = ready(&format!("{line}\n")).unwrap().unwrap();
            assert_eq!((found.http.port(), found.broker.port()), (80, 7));
        }
        assert!(ready("ready\n").is_err());
    }

    #[test]
    fn an_identity_is_made_for_a_broker_or_replaced() {
        let folder = Path::new("/run");
        let checkout = Checkout::at(folder);
        let station = StationProgram::in_folder("flukewatch-shore".into(), folder);
        let mut provision = Provision {
            boat: "balaena",
            to: &folder.join("identity"),
            broker: Some("mqtts://10.0.2.2:8883"),
            replace: false,
        };
        let made = arguments(&station.provision(&checkout, &provision));
        assert_eq!(
            made.join(" "),
            "provision --data /run/shore balaena --out /run/identity --broker mqtts://10.0.2.2:8883"
        );
        (provision.broker, provision.replace) = (None, true);
        let replaced = arguments(&station.provision(&checkout, &provision));
        assert!(replaced.ends_with(&["--replace".to_owned()]));
        assert!(!replaced.contains(&"--broker".to_owned()));
    }
}
