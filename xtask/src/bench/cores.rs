//! The cores to which a measurement is pinned, so that all compared programs use the same.

use crate::checkout::Checkout;
use anyhow::Context;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Core numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores(Vec<u32>);

impl Cores {
    /// The first `count` cores that this process may use.
    ///
    /// # Errors
    /// If there are fewer.
    pub(super) fn first(count: usize) -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")
            .context("cannot read the available cores from /proc/self/status; this measurement requires Linux")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .context("/proc/self/status has no Cpus_allowed_list")?;
        let mut cores =
            listed(list.trim()).with_context(|| format!("invalid Cpus_allowed_list: {list}"))?;
        let found = cores.len();
        cores.truncate(count);
        if cores.len() < count {
            anyhow::bail!("this measurement requires {count} cores; {found} available");
        }
        Ok(Self(cores))
    }

    /// A command that runs `program` on these cores, in the root folder.
    pub(super) fn program(&self, checkout: &Checkout, program: &Path) -> Command {
        let mut command = checkout.program("taskset");
        command.arg("--cpu-list").arg(self.to_string()).arg(program);
        command
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join(","))
    }
}

/// Parses `0-2,8` as 0, 1, 2, 8.
fn listed(list: &str) -> Option<Vec<u32>> {
    let mut cores = vec![];
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        cores.extend(from.parse().ok()?..=to.parse::<u32>().ok()?);
    }
    Some(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linuxs_core_lists_are_parsed() {
        assert_eq!(listed("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(listed("5"), Some(vec![5]));
        assert_eq!(listed("0-x"), None);
    }

    #[test]
    fn a_program_is_pinned_to_its_cores() {
        let here = Checkout::at(Path::new("."));
        let one = Cores::first(1).unwrap();
        let mut counted = one.program(&here, Path::new("nproc"));
        counted.env_remove("OMP_NUM_THREADS");
        assert_eq!(here.ask(&mut counted).as_deref(), Some("1\n"));
        assert!(Cores::first(1_000_000).is_err());
    }
}
