//! The run: faults begin and end, programs are started again, and at the end everything is delivered.

use super::boat::Boat;
use super::failing_sync::FailingSync;
use super::fault::{Fault, FaultKind};
use super::link::{Condition, Damage, Direction};
use super::setup::Whales;
use super::shore::Shore;
use super::tally::Tally;
use crate::checkout::Checkout;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

/// How often faults and programs are looked at.
const TICK: Duration = Duration::from_millis(50);
/// The time between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);
/// Time for a boat to shut down.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for a boat to deliver everything and end by itself.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(330);
/// A damaged connection must have ended after this time, also if the damage was followed by silence: the
/// keep-alive is a minute.
const SURVIVAL: Duration = Duration::from_secs(180);
/// The largest step of a clock, in seconds, forwards and backwards.
const STEP: i64 = 6 * 3600;

/// Boats, a station, and faults.
pub(super) struct Storm<'a> {
    checkout: &'a Checkout,
    whales: &'a Whales,
    boats: Vec<Boat>,
    shore: Shore,
    begun: Instant,
    shown: Instant,
    lasting: Vec<Lasting>,
    /// How many faults were caused, without damages to streams, which are counted when they are done.
    caused: BTreeMap<FaultKind, usize>,
    skipped: BTreeMap<FaultKind, usize>,
    exits: Vec<String>,
    problems: BTreeSet<String>,
    log: File,
}

/// A fault that ends later.
struct Lasting {
    ends: Instant,
    fault: Fault,
    /// The identity that the boat gets at the end.
    identity: Option<PathBuf>,
    /// What makes fsync fail until the end.
    failing_sync: Option<FailingSync>,
}

/// What a run showed.
pub(super) struct Outcome {
    /// Sightings.
    pub(super) tally: Tally,
    /// The number of faults.
    pub(super) faults: usize,
    /// The number of each kind, as text.
    pub(super) kinds: String,
    /// What must not happen besides losses.
    pub(super) problems: Vec<String>,
    /// What a reader may want to know.
    pub(super) notes: Vec<String>,
}

impl<'a> Storm<'a> {
    /// Starts the station, and provisions this many boats.
    ///
    /// # Errors
    /// If a program does not start.
    pub(super) fn start(
        checkout: &'a Checkout,
        folder: &Path,
        whales: &'a Whales,
        boats: usize,
    ) -> anyhow::Result<Self> {
        let shore = Shore::start(checkout, folder)?;
        let mut fleet = vec![];
        for number in 1..=boats {
            let name = format!("boat-{number}");
            let boat = Boat::new(checkout, folder, &name, whales, shore.port())?;
            shore.provision(checkout, boat.name(), boat.identity(), false)?;
            fleet.push(boat);
        }
        let path = folder.join("faults.log");
        let log =
            File::create(&path).with_context(|| format!("{} cannot be created", path.display()))?;
        let now = Instant::now();
        Ok(Self {
            checkout,
            whales,
            boats: fleet,
            shore,
            begun: now,
            shown: now,
            lasting: vec![],
            caused: BTreeMap::new(),
            skipped: BTreeMap::new(),
            exits: vec![],
            problems: BTreeSet::new(),
            log,
        })
    }

    /// Whether the boats' disks can be filled.
    pub(super) fn has_small_disks(&self) -> bool {
        self.boats.iter().all(|b| b.disk.is_small())
    }

    /// Causes `faults` for the time `long`.
    ///
    /// # Errors
    /// If a fault cannot be caused, or after an interrupt.
    pub(super) fn rage(&mut self, faults: &[Fault], long: Duration) -> anyhow::Result<()> {
        self.begun = Instant::now();
        let mut next = faults.iter();
        let mut fault = next.next();
        while self.begun.elapsed() < long {
            self.checkout.interrupt().check()?;
            while let Some(due) = fault.filter(|f| f.at <= self.begun.elapsed()) {
                self.begin(*due)?;
                fault = next.next();
            }
            let now = Instant::now();
            for ended in self
                .lasting
                .extract_if(.., |l| l.ends <= now)
                .collect::<Vec<_>>()
            {
                self.end(ended)?;
            }
            self.supervise()?;
            self.show_progress();
            std::thread::sleep(TICK);
        }
        Ok(())
    }

    fn begin(&mut self, fault: Fault) -> anyhow::Result<()> {
        let Some(boat) = self.boats.get_mut(fault.boat) else {
            return Ok(());
        };
        let direction = if fault.salt & 1 == 0 {
            Direction::Up
        } else {
            Direction::Down
        };
        let (mut identity, mut failing_sync) = (None, None);
        let mut is_caused = true;
        match fault.kind {
            FaultKind::KillBoat => is_caused = boat.kill(fault.lasts),
            FaultKind::KillShore => is_caused = self.shore.kill(fault.lasts),
            FaultKind::KillBroker => is_caused = self.shore.kill_broker(),
            FaultKind::CutLink => {
                boat.link.begin(Condition::Cut);
                boat.proxy.close_connections();
            }
            FaultKind::SilenceLink => boat.link.begin(Condition::Silent),
            FaultKind::DelayLink => boat.link.begin(Condition::Delayed),
            FaultKind::ThrottleLink => boat.link.begin(Condition::Throttled),
            FaultKind::CorruptStream => {
                boat.link
                    .damage(direction, Damage::Corrupt(fault.salt >> 1));
            }
            FaultKind::ReplayStream => boat.link.damage(direction, Damage::Replay),
            FaultKind::FillDisk => {
                is_caused = boat.disk.is_small();
                boat.disk.fill()?;
            }
            FaultKind::FailBoatSync | FaultKind::FailShoreSync => {
                let process = if fault.kind == FaultKind::FailBoatSync {
                    boat.process()
                } else {
                    self.shore.process()
                };
                failing_sync = process.and_then(|id| FailingSync::attach(self.checkout, id));
                is_caused = failing_sync.is_some();
            }
            FaultKind::StepClock => boat.gnss.step(step(fault.salt)),
            FaultKind::RevokeCertificate => {
                let next = boat.next_identity();
                self.shore
                    .provision(self.checkout, boat.name(), &next, true)?;
                identity = Some(next);
            }
        }
        let is_damage = matches!(
            fault.kind,
            FaultKind::CorruptStream | FaultKind::ReplayStream
        );
        if !is_caused {
            *self.skipped.entry(fault.kind).or_default() += 1;
        } else if !is_damage {
            *self.caused.entry(fault.kind).or_default() += 1;
        }
        let what = if is_caused { "begins" } else { "skipped" };
        self.note(format_args!("{what}: {fault}"));
        self.lasting.push(Lasting {
            ends: Instant::now() + fault.lasts,
            fault,
            identity,
            failing_sync,
        });
        Ok(())
    }

    fn end(&mut self, lasting: Lasting) -> anyhow::Result<()> {
        let fault = lasting.fault;
        let Some(boat) = self.boats.get_mut(fault.boat) else {
            return Ok(());
        };
        match fault.kind {
            FaultKind::KillBoat
            | FaultKind::KillShore
            | FaultKind::KillBroker
            | FaultKind::CorruptStream
            | FaultKind::ReplayStream => return Ok(()),
            FaultKind::CutLink => boat.link.end(Condition::Cut),
            FaultKind::SilenceLink => boat.link.end(Condition::Silent),
            FaultKind::DelayLink => boat.link.end(Condition::Delayed),
            FaultKind::ThrottleLink => boat.link.end(Condition::Throttled),
            FaultKind::FillDisk => boat.disk.free(),
            FaultKind::FailBoatSync | FaultKind::FailShoreSync => drop(lasting.failing_sync),
            FaultKind::StepClock => boat.gnss.step(0),
            FaultKind::RevokeCertificate => {
                if let Some(identity) = &lasting.identity {
                    boat.set_identity(identity)?;
                }
                if fault.salt & 1 == 0 {
                    boat.reload();
                } else {
                    boat.kill(Duration::ZERO);
                }
            }
        }
        self.note(format_args!("ends:   {fault}"));
        Ok(())
    }

    /// Starts what has been killed or has ended.
    fn supervise(&mut self) -> anyhow::Result<()> {
        let mut exits = vec![];
        let mut record = |name: &str, exit: Option<ExitStatus>| {
            exits.extend(exit.map(|status| format!("{name} exited ({status})")));
        };
        record("the station", self.shore.supervise(self.checkout)?);
        for boat in &mut self.boats {
            let exit = boat.supervise(self.checkout)?;
            record(boat.name(), exit);
        }
        for exit in exits {
            let at = self.begun.elapsed().as_secs_f64();
            self.note(format_args!("{exit}"));
            self.exits.push(format!("{exit} at {at:.1} s"));
        }
        Ok(())
    }

    /// Writes a line to `faults.log`, with the time as in the programs' logs.
    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        let now = jiff::Timestamp::now();
        // A log that cannot be written does not end the run.
        let _ = writeln!(self.log, "{now:.3} {what}");
    }

    fn faults(&self) -> usize {
        let damages: u32 = self.boats.iter().map(|b| b.link.damages()).sum();
        self.caused.values().sum::<usize>() + damages as usize
    }

    fn show_progress(&mut self) {
        if self.shown.elapsed() < PROGRESS {
            return;
        }
        self.shown = Instant::now();
        let recorded: u64 = self.boats.iter_mut().map(|b| b.log().recorded()).sum();
        let stored = match self.shore.stored() {
            Some(stored) => format!("{stored} stored"),
            None => "the station is down".to_owned(),
        };
        let up = self.boats.iter().filter(|b| b.is_running()).count();
        println!(
            "    {:>5.0} s: {} faults, {recorded} recorded, {stored}; {up} of {} boats up",
            self.begun.elapsed().as_secs_f64(),
            self.faults(),
            self.boats.len()
        );
        for boat in &self.boats {
            if boat.proxy.survivors(SURVIVAL) > 0 {
                let name = boat.name();
                let seconds = SURVIVAL.as_secs();
                self.problems.insert(format!(
                    "a damaged connection of {name} was still open after {seconds} s"
                ));
            }
        }
    }

    /// Ends all faults, and has the boats deliver everything.
    ///
    /// # Errors
    /// If the station does not recover, or after an interrupt.
    pub(super) fn settle(&mut self) -> anyhow::Result<()> {
        for lasting in std::mem::take(&mut self.lasting) {
            self.end(lasting)?;
        }
        self.boats.iter().for_each(|b| b.link.clear());
        self.note(format_args!("all faults have ended"));
        self.shore.recover(self.checkout)?;
        self.boats.iter().for_each(Boat::ask_to_stop);
        for name in self.wait_for_boats(STOP_TIMEOUT)? {
            let seconds = STOP_TIMEOUT.as_secs();
            let problem = format!("{name} did not shut down within {seconds} s");
            self.problems.insert(problem);
        }
        for boat in &mut self.boats {
            boat.kill(Duration::ZERO);
            boat.deliver(self.checkout, self.whales)?;
        }
        for name in self.wait_for_boats(DELIVERY_TIMEOUT)? {
            let seconds = DELIVERY_TIMEOUT.as_secs();
            let problem = format!("{name} did not end within {seconds} s");
            self.problems.insert(problem);
        }
        for boat in &mut self.boats {
            let status = boat.has_ended()?;
            if let Some(status) = status.filter(|s| !s.success()) {
                let name = boat.name();
                let problem = format!("{name} did not deliver everything ({status})");
                self.problems.insert(problem);
            }
            // One that hangs.
            boat.kill(Duration::ZERO);
        }
        Ok(())
    }

    /// Waits until all boats have ended, and keeps the station running. Returns the names of those that
    /// have not ended in time.
    fn wait_for_boats(&mut self, timeout: Duration) -> anyhow::Result<Vec<String>> {
        let begun = Instant::now();
        loop {
            self.checkout.interrupt().check()?;
            let mut running = vec![];
            for boat in &mut self.boats {
                if boat.has_ended()?.is_none() {
                    running.push(boat.name().to_owned());
                }
            }
            if running.is_empty() || begun.elapsed() > timeout {
                return Ok(running);
            }
            if let Some(status) = self.shore.supervise(self.checkout)? {
                let problem = format!("the station exited without a fault ({status})");
                self.problems.insert(problem);
            }
            self.show_progress();
            std::thread::sleep(TICK);
        }
    }

    /// Compares boats and shore, and ends the station.
    ///
    /// # Errors
    /// If an outbox or the station's store cannot be read.
    pub(super) fn compare(mut self) -> anyhow::Result<Outcome> {
        let on_shore = self.shore.stop(self.checkout)?;
        let mut tally = Tally::default();
        let mut notes = vec![];
        for boat in &mut self.boats {
            let listing = boat.listing(self.checkout)?;
            let name = boat.name().to_owned();
            let log = boat.log();
            let stored = on_shore.iter().find(|s| s.boat == name);
            if log.highest() > listing.accepted {
                let problem = format!(
                    "{name} recorded sighting {}, and its outbox has {}",
                    log.highest(),
                    listing.accepted
                );
                self.problems.insert(problem);
            }
            tally.add(listing.accepted.max(log.highest()), stored);
            if log.unidentified() > 0 {
                let count = log.unidentified();
                notes.push(format!("{name}: {count} sightings stay unidentified"));
            }
            for line in log.panics() {
                self.problems.insert(format!("{name}: {line}"));
            }
            if !listing.set_aside.is_empty() {
                let count = listing.set_aside.len();
                let problem = format!("{name} set {count} outboxes aside");
                self.problems.insert(problem);
            }
            let some = |what: &str, count: usize, first: Option<String>| {
                first.map(|first| format!("{name}: {count} {what}, e.g. {first}"))
            };
            let (pending, dead) = (&listing.pending, &listing.dead_letters);
            let first = pending.first().map(ToString::to_string);
            notes.extend(some("pending", pending.len(), first));
            let first = dead.first().map(ToString::to_string);
            notes.extend(some("dead letters", dead.len(), first));
            notes.extend(
                stored.map(|s| format!("{name}: {} accepted; on shore {s:?}", listing.accepted)),
            );
        }
        for line in self.shore.panics() {
            self.problems.insert(format!("the station: {line}"));
        }
        notes.append(&mut self.exits);
        let skipped = self.skipped.iter();
        notes.extend(
            skipped.map(|(kind, count)| format!("{count} x {kind}: not possible, skipped")),
        );
        let mut kinds: Vec<String> = self
            .caused
            .iter()
            .map(|(kind, count)| format!("{count} x {kind}"))
            .collect();
        let damages: u32 = self.boats.iter().map(|b| b.link.damages()).sum();
        kinds.push(format!("{damages} x bytes corrupted or replayed"));
        let outcome = Outcome {
            tally,
            faults: self.faults(),
            kinds: kinds.join(", "),
            problems: self.problems.iter().cloned().collect(),
            notes,
        };
        Ok(outcome)
    }
}

impl Outcome {
    /// Whether nothing was lost or duplicated, and nothing else failed.
    pub(super) fn is_good(&self) -> bool {
        self.tally.is_good() && self.problems.is_empty()
    }
}

/// By how many seconds a clock is stepped: at least two, forwards or backwards.
fn step(salt: u64) -> i64 {
    let far = (salt >> 1) % STEP.unsigned_abs();
    let far = far.max(2).cast_signed();
    if salt & 1 == 0 { far } else { -far }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_step_in_both_directions() {
        assert_eq!(step(2 * 100), 100);
        assert_eq!(step(2 * 100 + 1), -100);
        assert_eq!(step(0), 2);
        assert_eq!(step(u64::MAX).abs() / STEP, 0);
    }
}
