//! Runs a program and returns its output and its peak memory.

use super::memory::Peak;
use crate::checkout::Checkout;
use anyhow::{Context, bail};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Number of log lines in an error.
const LAST_LINES: usize = 8;

/// Output and memory of a successful program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Measured {
    /// Standard output.
    pub(super) printed: String,
    /// Peak memory in bytes.
    pub(super) peak: u64,
}

/// Runs `command` to its end; its output goes to `NAME.out` and `NAME.log` in `folder`.
///
/// # Errors
/// If it does not exit with 0; quotes the end of its log.
pub(super) fn run(
    checkout: &Checkout,
    command: &mut Command,
    folder: &Path,
    name: &str,
) -> anyhow::Result<Measured> {
    run_to(checkout, command, folder, name, &[0])
}

/// The same for a program that may exit with any of `codes`.
///
/// # Errors
/// If it exits with another code; quotes the end of its log.
pub(super) fn run_to(
    checkout: &Checkout,
    command: &mut Command,
    folder: &Path,
    name: &str,
    codes: &[i32],
) -> anyhow::Result<Measured> {
    let (out, log) = (
        folder.join(format!("{name}.out")),
        folder.join(format!("{name}.log")),
    );
    let create = |path: &Path| File::create(path).with_context(|| format!("{}", path.display()));
    let child = checkout.start(command.stdout(create(&out)?).stderr(create(&log)?))?;
    let mut peak = Peak::of(child.id());
    let status = child.wait(|| {
        peak.look();
        Ok(())
    })?;
    let read = |path: &Path| {
        fs::read(path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .with_context(|| format!("{}", path.display()))
    };
    if !status.code().is_some_and(|code| codes.contains(&code)) {
        let said = read(&log)?;
        let lines: Vec<&str> = said.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        bail!(
            "{name} failed ({status}):\n  {last}\n(full log: {})",
            log.display()
        );
    }
    Ok(Measured {
        printed: read(&out)?,
        peak: peak
            .bytes()
            .with_context(|| format!("{name} ended before its memory was sampled"))?,
    })
}

/// Runs `command` until `done` returns true for the time since its start, and then ends it. Returns
/// that time and the peak memory in bytes.
///
/// # Errors
/// If it ends by itself, or `done` is not true within `patience`.
pub(super) fn watch_until(
    checkout: &Checkout,
    command: &mut Command,
    patience: Duration,
    mut done: impl FnMut(Duration) -> bool,
) -> anyhow::Result<(Duration, u64)> {
    let began = Instant::now();
    let mut child = checkout.start(command)?;
    let mut peak = Peak::of(child.id());
    loop {
        peak.look();
        let since = began.elapsed();
        if done(since) {
            let bytes = peak.bytes();
            return Ok((since, bytes.context("its memory was not sampled")?));
        }
        if let Some(status) = child.ended()? {
            bail!("the program ended by itself ({status})");
        }
        if since > patience {
            bail!("the program was not done after {} s", patience.as_secs());
        }
        checkout.interrupt().check()?;
        std::thread::sleep(LOOK);
    }
}

/// Sampling interval.
const LOOK: Duration = Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_measured_and_a_failure_quotes_the_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let here = Checkout::at(Path::new("."));
        let shell = |script: &str| {
            let mut command = here.program("sh");
            command.args(["-c", script]);
            run(&here, &mut command, folder.path(), "ours")
        };
        let good = shell("echo 42; sleep 0.2").unwrap();
        assert_eq!(good.printed, "42\n");
        assert!(good.peak > 100_000, "{good:?}");
        let error = shell("for i in $(seq 20); do echo line $i >&2; done; exit 3").unwrap_err();
        let error = error.to_string();
        assert!(error.contains("ours failed (exit status: 3)"), "{error}");
        assert!(
            error.contains("line 13\n") && !error.contains("line 12\n"),
            "{error}"
        );
    }

    #[test]
    fn a_program_runs_until_the_condition_holds() {
        let folder = tempfile::tempdir().unwrap();
        let here = Checkout::at(Path::new("."));
        let mark = folder.path().join("mark");
        let watch = |script: &str, patience| {
            let mut command = here.program("sh");
            command.args(["-c", script, "sh"]).arg(&mark);
            watch_until(&here, &mut command, Duration::from_millis(patience), |_| {
                mark.exists()
            })
        };
        let (_, bytes) = watch("sleep 0.1; touch $1; sleep 600", 60_000).unwrap();
        assert!(bytes > 100_000, "{bytes}");
        fs::remove_file(&mark).unwrap();
        let ended = watch("exit 3", 60_000).unwrap_err().to_string();
        assert!(ended.contains("exit status: 3"), "{ended}");
        let late = watch("sleep 600", 50).unwrap_err().to_string();
        assert!(late.contains("not done"), "{late}");
    }
}
