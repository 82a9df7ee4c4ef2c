//! zig, which compiles and links for other processors and older systems.

use crate::setup::environment::Environment;

/// The Python environment of zig and cargo-zigbuild.
pub(crate) const ZIG: Environment = Environment {
    folder: ".tools/zig",
    packages: &["ziglang==0.17.1", "cargo-zigbuild==0.24.0"],
};
/// Title of the step that installs it.
pub(crate) const ZIG_STEP: &str = "install zig, a cross compiler";
/// The oldest glibc of a boat: that of JetPack 5.
pub(crate) const GLIBC: (u32, u32) = (2, 31);
/// The libraries that every system has.
pub(crate) const SYSTEM: [&str; 6] = [
    "libc.so.6",
    "libm.so.6",
    "libdl.so.2",
    "libpthread.so.0",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];
