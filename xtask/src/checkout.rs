//! The checkout that xtask works in, and commands to run in it.

use crate::child::Child;
use crate::interrupt::Interrupt;
use anyhow::{Context, bail};
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

/// The root folder of the checkout, with the interrupt flag.
pub(crate) struct Checkout {
    root: PathBuf,
    interrupt: Interrupt,
}

impl Checkout {
    /// The checkout that this xtask belongs to.
    pub(crate) fn new(interrupt: Interrupt) -> anyhow::Result<Self> {
        // Cargo sets the variable at run time to the current location of the sources, which may
        // have moved since they were compiled.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = package.parent().context("xtask has no parent folder")?;
        Ok(Self {
            root: root.to_owned(),
            interrupt,
        })
    }

    /// A checkout in any folder, for tests.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            interrupt: Interrupt::default(),
        }
    }

    /// The absolute path of `inside`.
    pub(crate) fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.root.join(inside)
    }

    pub(crate) fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// A command that runs a program in the root folder.
    pub(crate) fn program(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.current_dir(&self.root);
        command
    }

    /// A command that runs the Cargo that started xtask.
    pub(crate) fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        self.program(PathBuf::from(cargo))
    }

    /// Cargo's target folder.
    pub(crate) fn target(&self) -> PathBuf {
        let target = std::env::var_os("CARGO_TARGET_DIR")
            .map_or_else(|| PathBuf::from("target"), PathBuf::from);
        self.path(target)
    }

    /// Path of a program that Cargo has built with the profile `release`.
    pub(crate) fn built(&self, program: &str) -> PathBuf {
        self.target().join("release").join(program)
    }

    /// Builds the programs of boat, shore and workstation for this machine.
    ///
    /// # Errors
    /// If Cargo fails.
    pub(crate) fn build_programs(&self) -> anyhow::Result<()> {
        // The same selection as `cargo xtask test` and the README, so that nothing is built twice.
        let build = ["build", "--release", "--workspace", "--bins"];
        self.run(self.cargo().args(build))
    }

    /// Starts a program.
    pub(crate) fn start(&self, command: &mut Command) -> anyhow::Result<Child> {
        Child::start(&name_of(command), command, &self.interrupt)
    }

    /// Runs a program to its end; its output goes to that of xtask.
    ///
    /// # Errors
    /// If it does not exit with 0.
    pub(crate) fn run(&self, command: &mut Command) -> anyhow::Result<()> {
        let status = self.start(command)?.wait(|| Ok(()))?;
        check_success(&name_of(command), status)
    }

    /// Runs a program and calls `line` for each line of its standard output.
    ///
    /// # Errors
    /// If it does not exit with 0.
    pub(crate) fn run_lines(
        &self,
        command: &mut Command,
        mut line: impl FnMut(&str) + Send,
    ) -> anyhow::Result<()> {
        let mut child = self.start(command.stdout(Stdio::piped()))?;
        let out = child.stdout().context("the output is not piped")?;
        let status = std::thread::scope(|scope| {
            scope.spawn(move || {
                for text in BufReader::new(out).split(b'\n').map_while(Result::ok) {
                    line(String::from_utf8_lossy(&text).trim_end());
                }
            });
            child.wait(|| Ok(()))
        })?;
        check_success(&name_of(command), status)
    }

    /// Runs a program without showing its output; returns its standard output, or `None` if it
    /// cannot be started or fails.
    pub(crate) fn ask(&self, command: &mut Command) -> Option<String> {
        let out = command
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        out.status
            .success()
            .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

/// A program's name without its folder.
fn name_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn check_success(name: &str, status: ExitStatus) -> anyhow::Result<()> {
    if !status.success() {
        bail!("{name} failed ({status})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passed_on_even_if_the_program_fails() {
        let here = Checkout::at(Path::new("."));
        let mut lines = vec![];
        let script = "printf 'one\\ntwo \\nthree'; exit 4";
        let error = here
            .run_lines(here.program("sh").args(["-c", script]), |l| {
                lines.push(l.to_owned());
            })
            .unwrap_err();
        assert_eq!(lines, ["one", "two", "three"]);
        assert_eq!(error.to_string(), "sh failed (exit status: 4)");
    }

    #[test]
    fn the_root_holds_the_workspace() {
        let here = Checkout::new(Interrupt::default()).unwrap();
        assert!(here.path("xtask/src/checkout.rs").is_file());
    }
}
