//! Ctrl-C during training.

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Becomes true at the first SIGINT or SIGTERM. The second one ends the program at once, in case the
/// first cannot be handled.
pub(crate) fn flag() -> std::io::Result<Box<dyn Fn(u64) -> bool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, interrupted.clone())?;
        flag::register(signal, interrupted.clone())?;
    }
    Ok(Box::new(move |_| interrupted.load(Ordering::Relaxed)))
}

/// The exit code of an interrupted run, which can be resumed.
pub(crate) fn exit_code() -> ExitCode {
    eprintln!("interrupted and saved; run the same command to resume");
    ExitCode::from(130)
}
