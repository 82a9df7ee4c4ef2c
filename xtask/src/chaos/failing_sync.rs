//! A disk that reports an error instead of making writes durable.

use crate::checkout::Checkout;
use crate::child::Child;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Time within which strace ends where it may not attach.
const ATTACH: Duration = Duration::from_millis(150);
const POLL: Duration = Duration::from_millis(10);

/// strace, attached to a program: its calls of fsync and fdatasync fail with EIO until this is dropped.
pub(super) struct FailingSync {
    _strace: Child,
}

impl FailingSync {
    /// Attaches to the process `id`; `None` where strace is not installed, or may not attach.
    pub(super) fn attach(checkout: &Checkout, id: u32) -> Option<Self> {
        let mut strace = checkout.program("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-p", &id.to_string()]);
        strace.args(["-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", "inject=fsync,fdatasync:error=EIO"]);
        strace.stdout(Stdio::null()).stderr(Stdio::null());
        let mut strace = checkout.start(&mut strace).ok()?;
        let begun = Instant::now();
        while begun.elapsed() < ATTACH {
            if !matches!(strace.ended(), Ok(None)) {
                return None;
            }
            std::thread::sleep(POLL);
        }
        Some(Self { _strace: strace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::path::Path;

    /// Where strace may not attach, there is nothing to test.
    #[test]
    fn syncs_fail_until_it_is_dropped() {
        let here = Checkout::at(Path::new("."));
        let folder = tempfile::tempdir().unwrap();
        // `sync FILE` calls fsync; a shell does not end when it fails.
        let script =
            "while echo x > file; do sync file && echo works || echo fails; done 2> /dev/null";
        let mut shell = here.program("sh");
        shell.args(["-c", script]).current_dir(folder.path());
        let mut shell = here.start(shell.stdout(Stdio::piped())).unwrap();
        let mut lines = BufReader::new(shell.stdout().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "works");
        let Some(failing) = FailingSync::attach(&here, shell.id()) else {
            return;
        };
        assert!(lines.any(|line| line.unwrap() == "fails"));
        drop(failing);
        assert!(lines.any(|line| line.unwrap() == "works"));
    }
}
