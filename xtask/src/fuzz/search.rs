//! Runs several targets in parallel.

use super::log::Log;
use super::target::Target;
use super::{build, folder};
use crate::checkout::Checkout;
use crate::child::Child;
use anyhow::{Context, ensure};
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

/// The environment variable that makes a target write its seeds instead of fuzzing; see
/// `fuzz/src/lib.rs`.
const SEEDS: &str = "FLUKEWATCH_SEEDS";
/// Memory limit for one input, in megabytes: pictures of up to 100 million pixels are decoded.
const MEMORY: u32 = 2048;
/// Time limit for one input, in seconds.
const TIMEOUT: u32 = 20;
/// Polling interval of running targets.
const LOOK: Duration = Duration::from_millis(100);

/// Settings of a fuzzing run.
pub(super) struct Search {
    /// Duration of each target in seconds.
    pub(super) seconds: u32,
    /// Seed; 0 for a different one each time.
    pub(super) seed: u32,
}

/// The result of one target.
#[derive(Debug)]
pub(super) struct Searched {
    target: Target,
    program: PathBuf,
    seconds: u32,
    status: ExitStatus,
    /// The parsed log of libFuzzer.
    pub(super) log: Log,
    log_file: PathBuf,
}

/// A target that is running.
struct Running {
    target: Target,
    program: PathBuf,
    child: Child,
    log_file: PathBuf,
}

impl Search {
    /// Runs all `targets`, `jobs` in parallel, and calls `each` as they end; returns the results in
    /// the order of the targets.
    ///
    /// # Errors
    /// If a target cannot be started, or its log cannot be read. Findings are not errors.
    pub(super) fn all(
        &self,
        checkout: &Checkout,
        targets: &[Target],
        jobs: usize,
        mut each: impl FnMut(&Searched),
    ) -> anyhow::Result<Vec<Searched>> {
        let mut waiting: VecDeque<&Target> = targets.iter().collect();
        let (mut running, mut done) = (vec![], vec![]);
        while !(waiting.is_empty() && running.is_empty()) {
            checkout.interrupt().check()?;
            while running.len() < jobs.max(1)
                && let Some(target) = waiting.pop_front()
            {
                running.push(self.start(checkout, target)?);
            }
            let mut still = vec![];
            for mut search in running {
                match search.child.ended()? {
                    None => still.push(search),
                    Some(status) => {
                        let searched = self.end(search, status)?;
                        each(&searched);
                        done.push(searched);
                    }
                }
            }
            running = still;
            std::thread::sleep(LOOK);
        }
        done.sort_by(|a, b| a.target.name.cmp(&b.target.name));
        Ok(done)
    }

    fn start(&self, checkout: &Checkout, target: &Target) -> anyhow::Result<Running> {
        let name = &target.name;
        let program = build::program(checkout, target);
        // Remove seeds of an older format.
        let seeds = format!("target/seeds/{name}");
        let _ = fs::remove_dir_all(folder(checkout, &seeds)?);
        let seeds = folder(checkout, &seeds)?;
        let found = folder(checkout, &format!("artifacts/{name}"))?;
        let log_file = folder(checkout, "target/logs")?.join(format!("{name}.log"));
        let log = File::create(&log_file).with_context(|| log_file.display().to_string())?;
        let mut seed = checkout.program(&program);
        seed.env(SEEDS, &seeds)
            .stderr(log.try_clone().context("cannot open the log")?);
        checkout.run(&mut seed).with_context(|| {
            let log = log_file.display();
            format!("the target {name} writes no seeds; see {log}")
        })?;
        let mut command = self.command(checkout, target, &program);
        command.arg(format!("-artifact_prefix={}/", found.display()));
        command.arg(folder(checkout, &format!("corpus/{name}"))?);
        command
            .args([seeds, found])
            .stdout(Stdio::null())
            .stderr(log);
        Ok(Running {
            target: target.clone(),
            child: checkout.start(&mut command)?,
            program,
            log_file,
        })
    }

    fn command(&self, checkout: &Checkout, target: &Target, program: &Path) -> Command {
        let mut command = checkout.program(program);
        let numbers = [
            ("max_total_time", self.seconds),
            ("seed", self.seed),
            ("max_len", target.longest()),
            ("rss_limit_mb", MEMORY),
            ("timeout", TIMEOUT),
            ("print_final_stats", 1),
        ];
        command.args(numbers.map(|(key, value)| format!("-{key}={value}")));
        command
    }

    fn end(&self, search: Running, status: ExitStatus) -> anyhow::Result<Searched> {
        let Running {
            target,
            program,
            log_file,
            ..
        } = search;
        let written = fs::read(&log_file).with_context(|| log_file.display().to_string())?;
        let log = Log::read(&String::from_utf8_lossy(&written));
        ensure!(
            log.edges > 0 || !status.success(),
            "the target {} is not instrumented; see {}",
            target.name,
            log_file.display()
        );
        Ok(Searched {
            target,
            program,
            seconds: self.seconds,
            status,
            log,
            log_file,
        })
    }
}

impl Searched {
    /// Whether there is no finding.
    pub(super) fn is_good(&self) -> bool {
        self.status.success()
    }

    /// The finding, and how to reproduce it.
    pub(super) fn finding(&self) -> String {
        let (name, program, log) = (
            &self.target.name,
            self.program.display(),
            self.log_file.display(),
        );
        let ended = self.status.to_string();
        let wrong = self.log.wrong.as_deref().unwrap_or(&ended);
        let again = match &self.log.input {
            Some(input) => format!("to reproduce it:\n  {program} {input}"),
            None => "no input was kept".to_owned(),
        };
        format!("found by {name}: {wrong}\n{again}\nthe log: {log}")
    }
}

impl fmt::Display for Searched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Log {
            runs, edges, kept, ..
        } = self.log;
        let found = if self.is_good() {
            "no finding"
        } else {
            "FOUND"
        };
        let rate = runs / u64::from(self.seconds.max(1));
        write!(
            f,
            "{:<9} {runs:>10} runs, {rate:>7} per second, {edges:>5} edges covered, {kept:>5} inputs kept: {found}",
            self.target.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A target that writes a seed, prints `log` and exits with `code`.
    fn target(checkout: &Checkout, name: &str, log: &str, code: u8) -> Target {
        let script = format!(
            "#!/bin/sh\n[ -n \"$FLUKEWATCH_SEEDS\" ] && exec touch \"$FLUKEWATCH_SEEDS/seed-0\"\ncat >&2 <<'E'\n{log}\nE\nexit {code}\n"
        );
        let target = Target { name: name.into() };
        let program = build::program(checkout, &target);
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        target
    }

    #[test]
    fn a_finding_is_reported_with_its_input_and_the_others_continue() {
        let root = tempfile::tempdir().unwrap();
        let checkout = Checkout::at(root.path());
        let bad = "#9 NEW cov: 3 corp: 1/1b\nthread 'x' panicked at a.rs:1:2:\nwet\nTest unit written to f/crash-1";
        let targets = [
            target(&checkout, "film", bad, 77),
            target(&checkout, "nmea", "#800 DONE cov: 7 corp: 5/9b", 0),
        ];
        let search = Search {
            seconds: 1,
            seed: 1,
        };
        let mut ended = 0;
        let done = search.all(&checkout, &targets, 1, |_| ended += 1).unwrap();
        assert_eq!((ended, done.len()), (2, 2));
        assert!(!done[0].is_good() && done[1].is_good());
        let said = done[0].finding();
        assert!(said.starts_with("found by film: a.rs:1:2: wet\n"), "{said}");
        assert!(said.contains("release/film f/crash-1\n"), "{said}");
        assert!(done[1].to_string().contains("7 edges"), "{}", done[1]);
        assert!(root.path().join("fuzz/target/seeds/nmea/seed-0").is_file());
        // A target that is not instrumented finds nothing, which must not look like success.
        let blind = [target(&checkout, "gpsd", "#800 DONE", 0)];
        let error = search.all(&checkout, &blind, 1, |_| {}).unwrap_err();
        assert!(error.to_string().contains("not instrumented"));
    }
}
