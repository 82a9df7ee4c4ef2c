//! The programs, as a person starts them.

use crate::wait::until;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread::JoinHandle;

/// A program of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The workstation's.
    Host,
    /// The boat's.
    Edge,
    /// The station's on shore.
    Shore,
}

impl Program {
    /// Its file, beside this test's; built where it is missing.
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
        // A test's own file is target/release/deps/NAME-HASH.
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

    /// A command line of it, with logs in plain text.
    pub fn command(self, arguments: &[&str]) -> Command {
        plain(Command::new(self.path()), arguments)
    }

    /// Runs it to its end.
    pub fn run(self, arguments: &[&str]) -> Finished {
        finished(self.command(arguments))
    }
}

/// With these arguments, nothing on stdin, and logs in plain text at the usual level.
pub fn plain(mut command: Command, arguments: &[&str]) -> Command {
    command
        .args(arguments)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

/// Builds what cargo did not build for this test, with the features of this test.
fn build() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--workspace", "--bins"]);
    if cfg!(feature = "train") {
        cargo.args(["--features", "flukewatch-tests/train"]);
    }
    cargo.current_dir(repository());
    assert!(cargo.status().unwrap().success(), "{cargo:?} failed");
}

/// The repository's folder.
///
/// # Panics
/// Never: the tests are a folder in it.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Finished {
    /// Its stdout as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It ended with exit code 0.
    ///
    /// # Panics
    /// When it did not; says what it did say.
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// It ended with this exit code and said all of `words` on stderr.
    ///
    /// # Panics
    /// When it did not.
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
            "a panic is no error message: {}",
            self.stderr
        );
        self
    }
}

/// Runs a command to its end.
pub fn finished(mut command: Command) -> Finished {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Finished {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// A program that runs; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    printed: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts a command and collects what it prints and says.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (said, printed) = (Arc::default(), Arc::default());
        let readers = vec![
            collect(child.stdout.take().unwrap(), Arc::clone(&printed)),
            collect(child.stderr.take().unwrap(), Arc::clone(&said)),
        ];
        Self {
            child,
            said,
            printed,
            readers,
        }
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, as `HUP`.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "kill -{name}");
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.said
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for a whole line on stdout, and returns it.
    ///
    /// # Panics
    /// When the program ends first.
    pub fn line(&mut self) -> String {
        let mut line = None;
        until("a line on stdout", || {
            let printed = self
                .printed
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone();
            line = printed.split_once('\n').map(|(first, _)| first.to_owned());
            assert!(
                line.is_some() || self.child.try_wait().unwrap().is_none(),
                "it ended: {:?}",
                self.said
            );
            line.is_some()
        });
        line.unwrap_or_default()
    }

    /// Waits until it has said `words` on stderr.
    ///
    /// # Panics
    /// When it ends without.
    pub fn hear(&mut self, words: &str) {
        until(words, || {
            let ended = !self.runs();
            let heard = self.said().contains(words);
            assert!(
                heard || !ended,
                "it ended without '{words}': {}",
                self.said()
            );
            heard
        });
    }

    /// SIGKILL: it cannot prepare for it, as it cannot for a power cut.
    pub fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.end().stderr
    }

    /// Waits for its own end.
    pub fn finish(mut self) -> Finished {
        until("the program's end", || !self.runs());
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
            stdout: take(&self.printed),
            stderr: take(&self.said),
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
