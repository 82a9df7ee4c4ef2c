//! Peak memory of a program and its child processes.

use std::fs;
use std::time::{Duration, Instant};

/// Sampling interval of child processes, which takes the kernel some time.
const LOOK: Duration = Duration::from_millis(250);

/// Samples a program that leads a process group, while it runs.
///
/// The program itself counts with the peak of its resident memory, which the kernel records. Its
/// children count with their private memory, since a forked process shares the rest; a peak of
/// theirs between two samples may be missed.
pub(super) struct Peak {
    group: u32,
    leader: u64,
    others: u64,
    looked: Option<Instant>,
}

impl Peak {
    /// Samples the process with this number, which is also its group's.
    pub(super) fn of(group: u32) -> Self {
        Self {
            group,
            leader: 0,
            others: 0,
            looked: None,
        }
    }

    /// Takes a sample; call it repeatedly.
    pub(super) fn look(&mut self) {
        if let Ok(status) = fs::read_to_string(format!("/proc/{}/status", self.group)) {
            self.leader = self.leader.max(kilobytes(&status, "VmHWM:"));
        }
        if self.looked.is_none_or(|at| at.elapsed() >= LOOK) {
            self.looked = Some(Instant::now());
            let others = self.others_now().into_iter().map(alone).sum();
            self.others = self.others.max(others);
        }
    }

    /// Peak in bytes; `None` without a sample.
    pub(super) fn bytes(&self) -> Option<u64> {
        (self.leader > 0).then_some((self.leader + self.others) * 1024)
    }

    /// Processes of the group without its leader.
    fn others_now(&self) -> Vec<u32> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return vec![];
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|&process| process != self.group && group_of(process) == Some(self.group))
            .collect()
    }
}

/// A process's group: the third field after the name, which is in parentheses and may contain any
/// character.
fn group_of(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, after) = stat.rsplit_once(')')?;
    after.split_whitespace().nth(2)?.parse().ok()
}

/// Private memory of a process in kB.
fn alone(process: u32) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).unwrap_or_default();
    kilobytes(&maps, "Private_Clean:") + kilobytes(&maps, "Private_Dirty:")
}

/// The number after `key`, e.g. `VmHWM:     1234 kB`; 0 if there is none.
fn kilobytes(text: &str, key: &str) -> u64 {
    text.lines()
        .find_map(|line| {
            line.strip_prefix(key)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::Child;
    use crate::interrupt::Interrupt;
    use std::process::Command;

    /// Peak memory of a shell script in MB.
    fn peak_of(script: &str) -> f64 {
        let mut shell = Command::new("bash");
        let child = Child::start("bash", shell.args(["-c", script]), &Interrupt::default());
        let child = child.unwrap();
        let mut peak = Peak::of(child.id());
        child
            .wait(|| {
                peak.look();
                Ok(())
            })
            .unwrap();
        peak.bytes().unwrap() as f64 / 1e6
    }

    /// Bash reads 40 MB into a variable and holds it for a while.
    const HOLDS: &str = "v=$(head -c 40000000 /dev/zero | tr '\\0' x); sleep 1; echo ${#v} >&2";

    #[test]
    fn memory_of_a_program_and_of_its_children_is_measured() {
        let idle = peak_of("sleep 0.3; true");
        assert!(idle < 20.0, "{idle} MB");
        let holding = peak_of(HOLDS);
        assert!(holding > idle + 40.0, "{holding} MB");
        let child_holding = peak_of(&format!("bash -c '{}' & wait", HOLDS.replace('\'', "\"")));
        assert!(child_holding > idle + 40.0, "{child_holding} MB");
    }

    #[test]
    fn the_kernels_numbers_are_parsed() {
        let status = "Name:\tx\nVmPeak:\t    9 kB\nVmHWM:\t    1234 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), 1234);
        assert_eq!(kilobytes(status, "VmRSS:"), 0);
    }
}
