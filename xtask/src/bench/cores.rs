//! Cores of this machine that a measurement is held to, so that what is compared has the same to work with.

use crate::checkout::Checkout;
use anyhow::Context;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Numbers of cores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cores(Vec<u32>);

impl Cores {
    /// The first `count` that this process may use.
    ///
    /// # Errors
    /// When there are fewer.
    pub(super) fn first(count: usize) -> anyhow::Result<Self> {
        let status = fs::read_to_string("/proc/self/status")
            .context("/proc/self/status, which tells the cores, cannot be read; is this Linux?")?;
        let list = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .context("/proc/self/status names no Cpus_allowed_list")?;
        let mut cores = listed(list.trim())
            .with_context(|| format!("Cpus_allowed_list is not as expected: {list}"))?;
        let found = cores.len();
        cores.truncate(count);
        if cores.len() < count {
            anyhow::bail!("this measurement takes {count} cores, and may use {found} here");
        }
        Ok(Self(cores))
    }

    /// `program`, to be run on these cores alone, in the root folder.
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

/// `0-2,8` as 0, 1, 2, 8.
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
    fn lists_are_read_as_linux_writes_them() {
        assert_eq!(listed("0-2,8"), Some(vec![0, 1, 2, 8]));
        assert_eq!(listed("5"), Some(vec![5]));
        assert_eq!(listed("0-x"), None);
    }

    #[test]
    fn a_program_is_held_to_its_cores() {
        let here = Checkout::at(Path::new("."));
        let one = Cores::first(1).unwrap();
        let mut counted = one.program(&here, Path::new("nproc"));
        counted.env_remove("OMP_NUM_THREADS");
        assert_eq!(here.ask(&mut counted).as_deref(), Some("1\n"));
        assert!(Cores::first(1_000_000).is_err());
    }
}
