//! The name of this machine.

/// The machine's host name; `None` where the system does not give one.
pub fn machine_name() -> Option<String> {
    // Linux only: elsewhere names are set by the configuration.
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty() && name != "(none)").then(|| name.to_owned())
}
