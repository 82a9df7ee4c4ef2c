//! Kills a program right after a chosen one of the calls that change its files or send.
//!
//! strace stops the program after each of these calls, in whichever thread, and a thread of the test continues it until the
//! chosen one. Strace could kill at the n-th call by itself, but counts calls for each thread alone.

use crate::boat::text;
use crate::wait::TIMEOUT;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The calls after which the program stops. Some do not exist on each processor, hence the question marks.
const CALLS: &str = "fsync,fdatasync,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,?rename,?renameat,renameat2,\
?unlink,unlinkat,?link,linkat,?mkdir,mkdirat,sendto,sendmsg,sendmmsg";
/// After this long without a call the program is continued all the same, in case that a stop was overlooked.
const SILENCE: Duration = Duration::from_millis(30);
/// The length of an id in a file's name.
const ID: usize = 36;
/// Files whose changes do not matter: SQLite's orders memory is made again after a kill, and `health.json` is only a report.
const IGNORED: [&str; 3] = ["-shm>", "-shm\"", "/health.json"];

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallKind {
    /// A file or folder was synced.
    Sync,
    /// A file was written or truncated.
    Write,
    /// Part of a file was written in place.
    Page,
    /// A file was renamed.
    Rename,
    /// A file was deleted.
    Delete,
    /// A folder was created, or a file given a second name.
    Create,
    /// Bytes were sent on a TCP connection.
    Send,
}

/// Calls that change one thing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Calls {
    /// Their kind.
    pub kind: CallKind,
    /// The file's path in its program's folder, where `ID` stands for the ids of sightings; `.` is the folder itself, and `TCP` stands
    /// for all connections.
    pub file: String,
}

/// One of the calls of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KillPoint {
    /// The calls it belongs to.
    pub calls: Calls,
    /// Which of them it is, from 1.
    pub number: usize,
}

impl fmt::Display for KillPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Calls { kind, file } = &self.calls;
        write!(f, "{kind:?} {file} #{}", self.number)
    }
}

/// What a program did until it was killed or ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watched {
    /// Whether it was killed.
    pub killed: bool,
    /// How many calls it made.
    pub made: BTreeMap<Calls, usize>,
}

/// The calls in a complete line of strace without its process id, of a program with its files in `folder`; `None` where they change
/// nothing.
fn calls(line: &str, folder: &Path) -> Option<Calls> {
    let (name, arguments) = line.split_once('(')?;
    let (arguments, result) = arguments.rsplit_once(" = ")?;
    if result.starts_with('-') || IGNORED.iter().any(|file| arguments.contains(file)) {
        return None;
    }
    let kind = match name {
        "write" | "writev" | "sendto" | "sendmsg" | "sendmmsg" if arguments.contains("<TCP:[") => {
            return Some(Calls {
                kind: CallKind::Send,
                file: "TCP".to_owned(),
            });
        }
        "fsync" | "fdatasync" => CallKind::Sync,
        "write" | "writev" | "ftruncate" | "fallocate" => CallKind::Write,
        "pwrite64" | "pwritev" | "pwritev2" => CallKind::Page,
        "rename" | "renameat" | "renameat2" => CallKind::Rename,
        "unlink" | "unlinkat" => CallKind::Delete,
        "mkdir" | "mkdirat" | "link" | "linkat" => CallKind::Create,
        _ => return None,
    };
    let (_, path) = arguments.split_once(text(folder))?;
    let path = path.split(['>', '"']).next()?;
    let path = path.strip_prefix('/').unwrap_or(".");
    let names = path.split('/').map(|name| {
        let id = name.get(..ID).filter(|id| Uuid::parse_str(id).is_ok());
        id.map_or_else(|| name.to_owned(), |id| name.replace(id, "ID"))
    });
    Some(Calls {
        kind,
        file: names.collect::<Vec<_>>().join("/"),
    })
}

/// Whether strace is installed and may watch processes; says so where not.
pub fn can_kill() -> bool {
    let inject = format!("inject={CALLS}:signal=CONT");
    let output = Command::new("strace")
        .args(["-f", "-D", "-o", "/dev/null", "-e", &inject, "true"])
        .output();
    let can = output.is_ok_and(|o| o.status.success() && o.stderr.is_empty());
    if !can {
        eprintln!("SKIPPED: strace is not installed, or may not watch a process");
    }
    can
}

/// Kills a program at a point.
#[derive(Debug)]
pub struct Killer {
    trace: PathBuf,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<Watched>>,
}

#[derive(Debug, Default)]
struct Orders {
    armed: AtomicBool,
    given_up: AtomicBool,
}

impl Killer {
    /// Kills the program that [`Killer::command`] starts after the call `at`, counted from [`Killer::arm`] on; with `None` it only
    /// watches. The program has its files in `folder`, and strace writes to the new file `trace`.
    pub fn new(at: Option<KillPoint>, folder: PathBuf, trace: PathBuf) -> Self {
        let orders = Arc::<Orders>::default();
        let watch = Watch {
            at,
            folder,
            trace: trace.clone(),
            orders: Arc::clone(&orders),
            process: None,
            unfinished: HashMap::new(),
            made: BTreeMap::new(),
        };
        Self {
            trace,
            orders,
            thread: Some(std::thread::spawn(|| watch.run())),
        }
    }

    /// Puts a command under strace. Its process id stays that of the program.
    pub fn command(&self, command: &Command) -> Command {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-D", "-q", "-yy", "-s", "0", "-o", text(&self.trace)])
            .args(["-e", &format!("trace={CALLS}")])
            .args(["-e", &format!("inject={CALLS}:signal=STOP")])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => strace.env(name, value),
                None => strace.env_remove(name),
            };
        }
        strace.stdin(std::process::Stdio::null());
        strace
    }

    /// Counts from now on.
    pub fn arm(&self) {
        self.orders.armed.store(true, Ordering::Relaxed);
    }

    /// Whether the program was killed, or has ended.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until the program was killed or has ended.
    ///
    /// # Panics
    /// When it does neither.
    pub fn finish(mut self) -> Watched {
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Killer {
    fn drop(&mut self) {
        self.orders.given_up.store(true, Ordering::Relaxed);
    }
}

struct Watch {
    at: Option<KillPoint>,
    folder: PathBuf,
    trace: PathBuf,
    orders: Arc<Orders>,
    /// The program's process id, as strace writes it.
    process: Option<String>,
    /// The beginnings of calls that another thread's line interrupted, by thread.
    unfinished: HashMap<String, String>,
    made: BTreeMap<Calls, usize>,
}

/// What a line of strace says.
enum TraceLine {
    /// The call after which the program is to be killed.
    Kill,
    Ended,
    Stopped,
    Other,
}

impl Watch {
    fn run(mut self) -> Watched {
        let killed = self.is_killed();
        Watched {
            killed,
            made: self.made,
        }
    }

    /// Continues the program until it is killed, or has ended.
    fn is_killed(&mut self) -> bool {
        let mut position = 0;
        let mut last = Instant::now();
        loop {
            let lines = read_lines(&self.trace, &mut position);
            let mut stopped = false;
            for line in lines.lines() {
                match self.line(line) {
                    TraceLine::Kill => {
                        self.send(Signal::KILL);
                        return true;
                    }
                    TraceLine::Ended => return false,
                    TraceLine::Stopped => stopped = true,
                    TraceLine::Other => {}
                }
            }
            if !lines.is_empty() {
                last = Instant::now();
            }
            if self.orders.given_up.load(Ordering::Relaxed) {
                return false;
            }
            assert!(
                last.elapsed() < TIMEOUT,
                "a program under strace hangs: {}",
                self.trace.display()
            );
            if stopped || last.elapsed() > SILENCE {
                self.send(Signal::CONT);
            }
            if !stopped {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    }

    fn line(&mut self, line: &str) -> TraceLine {
        let Some((thread, text)) = line.split_once(' ') else {
            return TraceLine::Other;
        };
        let text = text.trim_start();
        let process = self.process.get_or_insert_with(|| thread.to_owned());
        if text.starts_with("+++ ") {
            return if thread == process {
                TraceLine::Ended
            } else {
                TraceLine::Other
            };
        }
        if text.starts_with("--- ") {
            return if text.contains("stopped by SIGSTOP") {
                TraceLine::Stopped
            } else {
                TraceLine::Other
            };
        }
        if let Some(begun) = text.strip_suffix(" <unfinished ...>") {
            self.unfinished.insert(thread.to_owned(), begun.to_owned());
            return TraceLine::Other;
        }
        let resumed = text.strip_prefix("<... ").and_then(|rest| {
            let (_, end) = rest.split_once(" resumed>")?;
            Some(self.unfinished.remove(thread)? + end)
        });
        self.call(&resumed.unwrap_or_else(|| text.to_owned()))
    }

    fn call(&mut self, line: &str) -> TraceLine {
        let armed = self.orders.armed.load(Ordering::Relaxed);
        let Some(calls) = calls(line, &self.folder).filter(|_| armed) else {
            return TraceLine::Other;
        };
        let number = self.made.entry(calls.clone()).or_default();
        *number += 1;
        let point = KillPoint {
            calls,
            number: *number,
        };
        if self.at.as_ref() == Some(&point) {
            TraceLine::Kill
        } else {
            TraceLine::Other
        }
    }

    fn send(&self, signal: Signal) {
        let process = self.process.as_deref().and_then(|id| id.parse().ok());
        if let Some(process) = process.and_then(Pid::from_raw) {
            // It may have ended by now.
            let _ = kill_process(process, signal);
        }
    }
}

/// The complete lines that were added to `file` since `position`.
fn read_lines(file: &Path, position: &mut u64) -> String {
    let mut text = vec![];
    let read = File::open(file).and_then(|mut file| {
        file.seek(SeekFrom::Start(*position))?;
        file.read_to_end(&mut text)
    });
    // Strace creates the file.
    if read.is_err() {
        return String::new();
    }
    let end = text.iter().rposition(|byte| *byte == b'\n');
    text.truncate(end.map_or(0, |end| end + 1));
    *position += text.len() as u64;
    String::from_utf8_lossy(&text).into_owned()
}
