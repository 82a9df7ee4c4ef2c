//! Which run of the monotonic clock this is.

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};

/// Names the time for which one offset turns monotonic timestamps into UTC: until the next boot, or
/// until the computer is suspended, which stops the monotonic clock. `None` where the operating
/// system does not say.
#[cfg(target_os = "linux")]
pub(super) fn clock_run() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let micros = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    };
    // The least of several: the thread may be interrupted between the two clocks.
    let suspended = (0..4)
        .map(|_| {
            let monotonic = micros(ClockId::Monotonic);
            micros(ClockId::Boottime) - monotonic
        })
        .min()?;
    let seconds = suspended.saturating_add(500_000).div_euclid(1_000_000);
    Some(format!("{} {seconds}", boot.trim()))
}

/// Other systems have no such name.
#[cfg(not(target_os = "linux"))]
pub(super) fn clock_run() -> Option<String> {
    None
}
