//! Runs the programs as child processes.

use crate::wait::until;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::JoinHandle;

/// A program of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `flukewatch`, the workstation's program.
    Host,
    /// `flukewatch-edge`, the boat's program.
    Edge,
    /// `flukewatch-shore`, the station on shore.
    Shore,
}

impl Program {
    /// The executable beside this test's; built if it is missing.
    ///
    /// # Panics
    /// When it cannot be built.
    pub fn path(self) -> PathBuf {
        static BUILD: Once = Once::new();
        let name = match self {
            Self::Host => "flukewatch",
            Self::Edge => "flukewatch-edge",
            Self::Shore => "flukewatch-shore",
        };
        // The test's executable is target/release/deps/NAME-HASH.
        let test = std::env::current_exe().unwrap();
        let file = test
            .parent()
            .and_then(Path::parent)
            .unwrap()
            .join(name)
            .with_extension(std::env::consts::EXE_EXTENSION);
        if !file.is_file() {
            BUILD.call_once(build);
        }
        assert!(file.is_file(), "{} is not built", file.display());
        file
    }

    /// A command with these arguments and plain text logs.
    pub fn command(self, arguments: &[&str]) -> Command {
        plain(Command::new(self.path()), arguments)
    }

    /// Runs it with these arguments and waits for its exit.
    pub fn run(self, arguments: &[&str]) -> Finished {
        finished(self.command(arguments))
    }
}

/// Adds `arguments` to `command`, with an empty stdin and plain text logs at the default level.
pub fn plain(mut command: Command, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Puts the stand-in for `gst-launch-1.0` first in the command's `PATH`.
///
/// # Panics
/// When `PATH` cannot be extended.
pub fn beside_the_stand_in(mut command: Command) -> Command {
    let stand_in = repository().join("edge/tests/stand-in");
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(stand_in).chain(std::env::split_paths(&usual));
    command.env("PATH", std::env::join_paths(folders).unwrap());
    command
}

/// Builds the workspace's programs with the features of this test.
fn build() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--workspace", "--bins"]);
    if cfg!(feature = "train") {
        cargo.args(["--features", "flukewatch-tests/train"]);
    }
    cargo.current_dir(repository());
    assert!(cargo.status().unwrap().success(), "{cargo:?} failed");
}

/// The root folder of the repository.
///
/// # Panics
/// Never: the tests are a folder in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The result of a program that has exited.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; `None` if a signal killed it.
    pub code: Option<i32>,
    /// Everything it wrote to stdout.
    pub stdout: String,
    /// Everything it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Parses stdout as JSON.
    ///
    /// # Panics
    /// When stdout is not JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts exit code 0.
    ///
    /// # Panics
    /// When the exit code differs; the message contains the output.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts this exit code, and that stderr contains all of `words`.
    ///
    /// # Panics
    /// When either differs, or the program panicked.
    pub fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(
                self.stderr.contains(word),
                "'{word}' is not in: {}",
                self.stderr
            );
        }
        assert!(
            !self.stderr.contains("panicked"),
            "the program panicked: {}",
            self.stderr
        );
        self
    }
}

/// Runs a command and waits for its exit.
pub fn finished(mut command: Command) -> Finished {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stderr: Arc<Mutex<String>>,
    stdout: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a command and collects its stdout and stderr.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (stderr, stdout) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&stdout)),
            collect(child.stderr.take().unwrap(), Arc::clone(&stderr)),
        ];
        Self {
            child,
            stderr,
            stdout,
            readers,
        }
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, e.g. `HUP`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether the program is still running.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for the first complete line on stdout, and returns it.
    ///
    /// # Panics
    /// When the program ends first.
    pub fn line(&mut self) -> String {
        let mut line = None;
        until("a line on stdout", || {
            let stdout = self
                .stdout
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            line = stdout.split_once('\n').map(|(first, _)| first.to_owned());
            assert!(
                line.is_some() || self.child.try_wait().unwrap().is_none(),
                "the program exited: {:?}",
                self.stderr
            );
            line.is_some()
        });
        line.unwrap_or_default()
    }

    /// Waits until stderr contains `words`.
    ///
    /// # Panics
    /// When the program exits before.
    pub fn wait_for_log(&mut self, words: &str) {
        until(words, || {
            let exited = !self.is_running();
            let found = self.stderr().contains(words);
            assert!(
                found || !exited,
                "the program exited without '{words}': {}",
                self.stderr()
            );
            found
        });
    }

    /// Kills it with SIGKILL, like a power cut; returns its stderr.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().stderr
    }

    /// Waits until it exits.
    pub fn finish(mut self) -> Finished {
        until("the program's exit", || !self.is_running());
        self.end()
    }

    fn end(&mut self) -> Finished {
        let status: ExitStatus = self.child.wait().unwrap();
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        let take = |text: &Mutex<String>| {
            std::mem::take(&mut *text.lock().unwrap_or_else(PoisonError::into_inner))
        };
        Finished {
            code: status.code(),
            stdout: take(&self.stdout),
            stderr: take(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = vec![];
        while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
            into.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}
