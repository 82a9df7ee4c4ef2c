//! A boat: its program, its link, its receiver and its disk.

use super::disk::Disk;
use super::gnss::GnssReceiver;
use super::link::{Link, LinkSettings};
use super::log::Log;
use super::proxy::Proxy;
use super::setup::Whales;
use super::supervised::Supervised;
use super::tally::OutboxListing;
use crate::checkout::Checkout;
use anyhow::{Context, bail};
use rustix::process::Signal;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Stills per second, each a sighting with a picture.
pub(super) const RATE: f64 = 2.5;
/// Seconds until everything must be delivered once all faults have ended.
const UNTIL_DELIVERED: &str = "240";

/// A boat that is killed and started again.
pub(super) struct Boat {
    name: String,
    folder: PathBuf,
    bundle: PathBuf,
    stills: PathBuf,
    identity: PathBuf,
    identities: u32,
    /// Ended before the disk is unmounted.
    program: Supervised,
    log: Log,
    /// Its link.
    pub(super) link: Arc<Link>,
    /// The proxy that the link is made of.
    pub(super) proxy: Proxy,
    /// Its receiver.
    pub(super) gnss: GnssReceiver,
    /// Its outbox's disk.
    pub(super) disk: Disk,
}

impl Boat {
    /// A boat with a broker at 127.0.0.1:`port` and the first identity in the folder that
    /// [`Boat::identity`] returns. It does not run yet.
    ///
    /// # Errors
    /// If folders, disk or ports cannot be made.
    pub(super) fn new(
        checkout: &Checkout,
        around: &Path,
        name: &str,
        whales: &Whales,
        port: u16,
    ) -> anyhow::Result<Self> {
        let folder = around.join(name);
        let disk = Disk::mount(checkout, &folder.join("disk"))?;
        let link = Arc::new(Link::new(LinkSettings::SATELLITE));
        let mut boat = Self {
            name: name.to_owned(),
            bundle: whales.bundle.clone(),
            stills: whales.many.clone(),
            identity: PathBuf::new(),
            identities: 0,
            program: Supervised::default(),
            log: Log::new(&around.join(format!("{name}.log"))),
            proxy: Proxy::start(port, link.clone())?,
            link,
            gnss: GnssReceiver::start()?,
            disk,
            folder,
        };
        boat.identity = boat.next_identity();
        boat.configure()?;
        Ok(boat)
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The folder of its identity.
    pub(super) fn identity(&self) -> &Path {
        &self.identity
    }

    /// A folder for another identity, which does not exist yet.
    pub(super) fn next_identity(&mut self) -> PathBuf {
        self.identities += 1;
        self.folder.join(format!("identity-{}", self.identities))
    }

    /// Takes another identity aboard: at the next start, or with a reload.
    ///
    /// # Errors
    /// If the configuration cannot be written.
    pub(super) fn set_identity(&mut self, identity: &Path) -> anyhow::Result<()> {
        self.identity = identity.to_owned();
        self.configure()
    }

    /// Makes the program read its configuration again, without a restart.
    pub(super) fn reload(&self) {
        self.program.signal(Signal::HUP);
    }

    fn config(&self) -> PathBuf {
        self.folder.join("edge.toml")
    }

    /// Writes the configuration. Replaced as a whole, since the boat may read it at any moment.
    fn configure(&self) -> anyhow::Result<()> {
        let path = self.config();
        let new = self.folder.join("edge.toml.new");
        fs::write(&new, self.configuration()?)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    fn configuration(&self) -> anyhow::Result<String> {
        // A JSON string is also a TOML string.
        let text = |path: &Path| serde_json::to_string(&path.to_string_lossy());
        let mut toml = String::new();
        write!(
            toml,
            "\
# Written by `cargo xtask chaos`.

[boat]
name = \"{name}\"

[bundle]
path = {bundle}
allow_unsigned = true

[camera]
source = \"stills\"
path = {stills}
frames_per_second = {RATE:?}

[detector]
# Each still is a fluke: the detector would take most of the time.
enabled = false

[position]
source = \"nmea-tcp\"
address = \"{gnss}\"
timeout_seconds = 3.0

[outbox]
path = {outbox}

[recording]
# Nothing is kept on the small disk that shore has acknowledged.
days = 0.0

[clip]
enabled = false

[archive]
days = 0.0

[machine]
low_megabytes = 2
critical_megabytes = 1

[page]
listen = \"\"

[uplink]
broker = \"mqtts://{broker}\"
identity = {identity}
ack_timeout_seconds = 5.0
max_backoff_seconds = 1.0

[log]
format = \"text\"
",
            name = self.name,
            bundle = text(&self.bundle)?,
            stills = text(&self.stills)?,
            gnss = self.gnss.address(),
            outbox = text(&self.disk.outbox())?,
            broker = self.proxy.address(),
            identity = text(&self.identity)?,
        )?;
        Ok(toml)
    }

    fn command(&self, checkout: &Checkout, name: &str) -> Command {
        let mut command = checkout.program(checkout.built("flukewatch-edge"));
        command.arg(name).arg("--config").arg(self.config());
        command.env("NO_COLOR", "1");
        command
    }

    fn run(&self, checkout: &Checkout) -> anyhow::Result<Command> {
        let mut run = self.command(checkout, "run");
        let stdout = self.folder.join("stdout");
        run.stdout(File::create(stdout)?).stderr(self.log.append()?);
        Ok(run)
    }

    /// Starts it, if it does not run and may. Returns the status of an exit that nobody asked for.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn supervise(&mut self, checkout: &Checkout) -> anyhow::Result<Option<ExitStatus>> {
        let mut program = std::mem::take(&mut self.program);
        let exit = program.supervise(checkout, || self.run(checkout));
        self.program = program;
        exit
    }

    /// Whether its program runs.
    pub(super) fn is_running(&self) -> bool {
        self.program.is_running()
    }

    /// The number of its process, if it runs.
    pub(super) fn process(&self) -> Option<u32> {
        self.program.id()
    }

    /// Kills its program for this long; false if it does not run, and only stays down.
    pub(super) fn kill(&mut self, lasts: Duration) -> bool {
        self.program.kill(Instant::now() + lasts)
    }

    /// Asks its program to shut down.
    pub(super) fn ask_to_stop(&self) {
        self.program.signal(Signal::TERM);
    }

    /// The status of its program, once it has ended.
    ///
    /// # Errors
    /// If the process cannot be waited for.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.program.has_ended()
    }

    /// Starts its program to see one more whale and deliver everything.
    ///
    /// # Errors
    /// If it cannot be started, or after an interrupt.
    pub(super) fn deliver(&mut self, checkout: &Checkout, whales: &Whales) -> anyhow::Result<()> {
        self.stills.clone_from(&whales.one);
        self.configure()?;
        let mut run = self.run(checkout)?;
        run.args(["--until-delivered", UNTIL_DELIVERED]);
        self.program.replace(checkout, &mut run)
    }

    /// What its outbox says.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn listing(&self, checkout: &Checkout) -> anyhow::Result<OutboxListing> {
        let out = self
            .command(checkout, "outbox")
            .arg("--json")
            .output()
            .context("flukewatch-edge cannot be started")?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            bail!("the outbox of {} cannot be read: {said}", self.name);
        }
        serde_json::from_slice(&out.stdout).context("unexpected JSON of flukewatch-edge outbox")
    }

    /// What its log says.
    pub(super) fn log(&mut self) -> &Log {
        self.log.follow();
        &self.log
    }
}
