//! A broker that an earlier run left behind.

use super::config::BrokerFiles;
use super::error::MosquittoError;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

const TIMEOUT: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);

/// Ends the broker of an earlier run, if it still runs. The station holds the lock of its data folder, so
/// that it is not another station's.
///
/// # Errors
/// When it does not end.
pub(super) fn end(files: &BrokerFiles) -> Result<(), MosquittoError> {
    let file = files.process_id();
    let recorded = fs::read_to_string(&file).ok();
    let Some(number) = recorded.and_then(|text| text.trim().parse::<u32>().ok()) else {
        return Ok(());
    };
    let asked = Instant::now();
    while is_ours(number, files) {
        if asked.elapsed() > TIMEOUT {
            return Err(MosquittoError::Leftover(number));
        }
        if let Some(id) = i32::try_from(number).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::KILL);
        }
        thread::sleep(POLL);
    }
    let _ = fs::remove_file(file);
    Ok(())
}

/// Whether the process is a broker with this configuration: numbers of processes are used again.
fn is_ours(process: u32, files: &BrokerFiles) -> bool {
    let Ok(arguments) = fs::read(format!("/proc/{process}/cmdline")) else {
        return false;
    };
    let config = files.config();
    let config = config.as_os_str().as_encoded_bytes();
    arguments.split(|byte| *byte == 0).any(|a| a == config)
}
