//! A mosquitto broker, where it is installed.

use crate::port;
use crate::wait::until;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running mosquitto on a free loopback port; killed when dropped.
#[derive(Debug)]
pub struct Mosquitto {
    program: PathBuf,
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mosquitto {
    /// Starts a broker with these lines in its configuration; `None` where mosquitto is not installed.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(lines: &str) -> Option<Self> {
        Self::start_in(tempfile::tempdir().unwrap(), lines)
    }

    /// Starts a broker that takes only this user with this password.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with_password(user: &str, password: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passwords");
        let made = Command::new("mosquitto_passwd")
            .args(["-c", "-b"])
            .arg(&file)
            .args([user, password])
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: mosquitto_passwd not installed");
            return None;
        }
        let lines = format!("allow_anonymous false\npassword_file {}\n", file.display());
        Self::start_in(folder, &lines)
    }

    fn start_in(folder: TempDir, lines: &str) -> Option<Self> {
        let program = program()?;
        let port = port::free();
        let anonymous = if lines.contains("allow_anonymous") {
            ""
        } else {
            "allow_anonymous true\n"
        };
        let config = folder.path().join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\n{anonymous}persistence false\nuser root\nlog_type all\n\
             log_dest file {}\n{lines}\n",
            log(folder.path()).display()
        );
        fs::write(&config, text).unwrap();
        let mut broker = Self {
            program,
            folder,
            port,
            process: None,
        };
        broker.restart();
        Some(broker)
    }

    /// Starts it again, on the same port.
    ///
    /// # Panics
    /// When it does not start.
    pub fn restart(&mut self) {
        let process = Command::new(&self.program)
            .arg("-c")
            .arg(self.folder.path().join("mosquitto.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(process.unwrap());
        until("mosquitto listens", || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    /// Kills it: like a power cut, nothing is flushed.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Its address for clients.
    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How often a boat has connected.
    pub fn boat_connections(&self) -> usize {
        let log = fs::read_to_string(log(self.folder.path())).unwrap_or_default();
        let connected = log.lines().filter(|l| l.contains("New client connected"));
        connected
            .filter(|l| l.contains(" as flukewatch-edge-"))
            .count()
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The installed program; `None`, and a line for the log, where there is none.
pub fn program() -> Option<PathBuf> {
    let places = ["/usr/sbin", "/usr/bin", "/usr/local/sbin"];
    let mut programs = places.iter().map(|p| Path::new(p).join("mosquitto"));
    let found = programs.find(|p| p.is_file());
    if found.is_none() {
        eprintln!("skipped: mosquitto not installed");
    }
    found
}

fn log(folder: &Path) -> PathBuf {
    folder.join("mosquitto.log")
}
