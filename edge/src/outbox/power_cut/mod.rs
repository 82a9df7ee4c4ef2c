//! Power cuts at every point of the outbox's life: strace records what a process writes, and the outbox is opened from what the disk
//! may hold after each of its changes.

mod disk;
mod trace;

use super::{Key, Load, Outbox, Queue, set_aside};
use crate::sample;
use disk::{Disk, Survivors};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::sighting::{MessageKind, Sighting};
use flukewatch_common::wire;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use trace::Step;
use uuid::Uuid;

/// The variable that names the writer's folder.
const FOLDER: &str = "FLUKEWATCH_POWER_CUT_FOLDER";
const NOW: Timestamp = Timestamp(1_795_450_800_000);
const ROOM: u64 = 1 << 30;

fn open(folder: &Path) -> Outbox {
    Outbox::open(folder, &sample::boat(), ROOM, sample::epoch()).unwrap()
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

fn identify(sighting: &mut Sighting) {
    sighting.verdict = Verdict::New;
    sighting.embedding = flukewatch_common::samples::sighting().embedding;
}

/// What the writer knows to be durable at a step, and what it has begun.
#[derive(Clone, Debug, Default)]
struct Durable {
    /// Sightings that were accepted, with their sequence numbers.
    accepted: BTreeMap<u64, u64>,
    /// Those of them with a verdict.
    identified: BTreeSet<u64>,
    /// Those whose acknowledgement has arrived, which may be deleted from then on.
    acknowledging: BTreeSet<u64>,
    /// Those that were deleted.
    acknowledged: BTreeSet<u64>,
    /// Those that shore rejected.
    rejected: BTreeSet<u64>,
}

impl Durable {
    fn note(&mut self, mark: &str) {
        let words: Vec<&str> = mark.split(' ').collect();
        let number = words[1].parse().unwrap();
        match words[0] {
            "accepted" => {
                self.accepted.insert(number, words[2].parse().unwrap());
            }
            "identified" => {
                self.identified.insert(number);
            }
            "acknowledging" => {
                self.acknowledging.insert(number);
            }
            "acknowledged" => {
                self.acknowledged.insert(number);
            }
            "rejected" => {
                self.rejected.insert(number);
            }
            other => panic!("unknown mark {other}"),
        }
    }

    /// Opens the outbox in `folder` and compares it.
    fn check(&self, folder: &Path) {
        let mut outbox = open(folder);
        assert_eq!(set_aside(folder), [], "nothing is damaged");
        let mut queue = outbox.queue().unwrap();
        queue.release_held(Timestamp(i64::MAX)).unwrap();
        let pending = queue.next(&HashSet::new(), 1000).unwrap();
        let pending: BTreeMap<(Uuid, MessageKind), Key> = pending
            .iter()
            .map(|p| ((p.key.sighting, p.key.part), p.key))
            .collect();
        for (&number, &sequence) in &self.accepted {
            let sighting = pending.get(&(id(number), MessageKind::Sighting));
            if self.acknowledged.contains(&number) {
                assert_eq!(sighting, None, "{number} was acknowledged");
                continue;
            }
            if self.acknowledging.contains(&number) || self.rejected.contains(&number) {
                continue;
            }
            let key = sighting.unwrap_or_else(|| panic!("sighting {number} is lost"));
            let sighting: Sighting = wire::decode(&message(&queue, *key)).unwrap();
            assert_eq!(sighting.sequence, sequence, "of sighting {number}");
            if self.identified.contains(&number) {
                assert_eq!(sighting.verdict, Verdict::New, "of sighting {number}");
            }
            let picture = pending.get(&(id(number), MessageKind::Picture));
            let picture = picture.unwrap_or_else(|| panic!("picture {number} is lost"));
            message(&queue, *picture);
        }
        self.check_recordings(&outbox);
        let counts = queue.counts().unwrap();
        assert!(counts.dead_letters >= 2 * self.rejected.len() as u64);
        let (sighting, jpeg) = sample::sighting(99, 500);
        let next = outbox.accept(&sighting, &jpeg, NOW).unwrap();
        let last = self.accepted.values().max().copied().unwrap_or(0);
        assert!(
            next == last + 1 || next == last + 2,
            "number {next} after {last}"
        );
        let left = ["pictures", "recordings"].iter().flat_map(|part| {
            let files = std::fs::read_dir(folder.join(part)).unwrap();
            files.map(|file| file.unwrap().file_name())
        });
        for name in left {
            let name = name.to_string_lossy();
            assert!(!name.ends_with(".part"), "{name} is left");
        }
    }

    fn check_recordings(&self, outbox: &Outbox) {
        let recordings = outbox.recordings().unwrap();
        for number in self.accepted.keys().filter(|n| is_recorded(**n)) {
            let recording = recordings.load(id(*number)).unwrap();
            assert_eq!(recording.unwrap(), sample::recording(*number).0);
        }
    }
}

/// Sightings with an odd number have a recording.
fn is_recorded(number: u64) -> bool {
    number % 2 == 1
}

fn message(queue: &Queue, key: Key) -> Vec<u8> {
    match queue.load(key).unwrap() {
        Load::Message(message) => message,
        other => panic!("{key:?}: {other:?}"),
    }
}

/// The keys of a sighting's messages.
fn keys(queue: &Queue, number: u64) -> Vec<Key> {
    let pending = queue.next(&HashSet::new(), 1000).unwrap();
    let keys = pending.iter().map(|p| p.key);
    keys.filter(|key| key.sighting == id(number)).collect()
}

/// The process that strace watches: the outbox's whole life, twice.
#[test]
#[ignore = "runs in a process of its own, started by the test below"]
fn writer() {
    let folder = std::env::var_os(FOLDER).expect("started by another test");
    let folder = Path::new(&folder);
    let mut marks = File::create(folder.join("marks")).unwrap();
    let mut mark = |line: String| marks.write_all(line.as_bytes()).unwrap();
    let outbox_folder = folder.join("outbox");
    for first in [1, 5] {
        let mut outbox = open(&outbox_folder);
        let mut recordings = outbox.recordings().unwrap();
        let mut queue = outbox.queue().unwrap();
        for number in first..first + 4 {
            let sequence = if is_recorded(number) {
                let (recording, jpeg) = sample::recording(number);
                outbox.record(&recording, &jpeg, sample::taken(), NOW)
            } else {
                let (sighting, jpeg) = sample::sighting(number, 2_000);
                outbox.accept(&sighting, &jpeg, NOW)
            };
            mark(format!("accepted {number} {}\n", sequence.unwrap()));
        }
        recordings.begin(id(first)).unwrap();
        recordings.conclude(id(first), false, identify).unwrap();
        mark(format!("identified {first}\n"));
        for number in [first, first + 1] {
            let keys = keys(&queue, number);
            assert_eq!(keys.len(), 2);
            mark(format!("acknowledging {number}\n"));
            queue.acknowledge(&keys).unwrap();
            mark(format!("acknowledged {number}\n"));
        }
        let rejected: Vec<_> = keys(&queue, first + 3)
            .into_iter()
            .map(|key| (key, "unknown camera".to_owned()))
            .collect();
        mark(format!("acknowledging {}\n", first + 3));
        assert_eq!(queue.reject(&rejected, NOW).unwrap(), 2);
        mark(format!("rejected {}\n", first + 3));
        queue.save_clock(NOW).unwrap();
        // Closes the database, which is written back into its file.
    }
}

/// Runs the writer; `None` where strace is missing or cannot watch a process.
fn recorded(folder: &Path) -> Option<Vec<Step>> {
    let trace = folder.join("trace");
    let output = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "4194304", "-e", trace::CALLS, "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "outbox::power_cut::writer"])
        .args(["--ignored", "--test-threads=1"])
        .env(FOLDER, folder)
        .output();
    let watched = output.as_ref().is_ok_and(|o| {
        let said = String::from_utf8_lossy(&o.stderr);
        !said.contains("ptrace") && !said.contains("PTRACE")
    });
    if !watched {
        eprintln!("skipped: strace is not installed, or may not watch a process");
        return None;
    }
    let output = output.unwrap();
    assert!(output.status.success(), "{output:?}");
    let trace = std::fs::read_to_string(&trace).unwrap();
    let marks = folder.join("marks");
    Some(trace::read(&trace, &folder.join("outbox"), &marks))
}

#[test]
fn nothing_durable_is_lost_whenever_the_power_fails() {
    // In memory where there is such a folder: syncs would take most of the time.
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let folder = folder.path().canonicalize().unwrap();
    let Some(steps) = recorded(&folder) else {
        return;
    };
    let after = folder.join("after/outbox");
    let mut disk = Disk::default();
    let mut durable = Durable::default();
    for (number, step) in steps.iter().enumerate() {
        match step {
            Step::Mark(mark) => {
                durable.note(mark);
                continue;
            }
            Step::Change(change) => disk.apply(change),
        }
        let seed = number as u64;
        for survivors in [Survivors::All, Survivors::None, Survivors::Some { seed }] {
            disk::restore(&after, &disk.after_power_cut(survivors));
            eprintln!("power cut after step {number}, {step:.80?}, survivors: {survivors:?}");
            durable.check(&after);
        }
    }
    assert_eq!(durable.accepted.len(), 8);
    assert!(steps.len() > 200, "{} steps", steps.len());
}
