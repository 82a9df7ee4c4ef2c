//! Tests of the boat's program in QEMU's user mode, which runs programs of other processors on this
//! machine's kernel.

use super::zigbuild;
use crate::arm64;
use crate::checkout::Checkout;
use crate::interrupt::Interrupted;
use crate::setup::debian::{self, Tool};
use crate::steps::Steps;
use crate::test::TestCounts;
use std::path::Path;

const QEMU: Tool = Tool {
    program: "qemu-aarch64-static",
    package: "qemu-user-static",
};
/// Cargo's variable for the runner of the boat's programs.
const RUNNER: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER";
/// QEMU's variable for the folder of libraries. Not Debian's /usr/aarch64-linux-gnu, where threads
/// were observed to hang.
const LIBRARIES: &str = "QEMU_LD_PREFIX";
/// Tests that cannot pass there: those of TensorRT compile a library for this machine's processor,
/// QEMU has no pseudo-terminals, and its `vfork` shares no memory, so that a missing program looks
/// like one that exits with 127; strace would watch QEMU.
const SKIPPED: [&str; 9] = [
    "nothing_durable_is_lost_whenever_the_power_fails",
    "tensorrt",
    "engine::choice::tests",
    "tract_serves_while_a_plan_is_built",
    "selftest::tests::a_wrong_engine_fails",
    "selftest::tests::golden_embeddings_are_compared",
    "a_serial_device_is_configured_and_read_until_it_is_unplugged",
    "a_missing_program_is_named",
    "a_video_that_cannot_be_decoded_has_a_reason",
];

/// The note about skipped tests.
pub(super) const LEFT_OUT: &str = "\
left out: the doctests; the end-to-end tests of `tests`, of the command line, and of shore and workstation; TensorRT, whose tests compile a
library for this machine's own processor; a serial line on a pseudo-terminal, and a program that is not installed, which QEMU's user mode does not have;
power cuts, for which strace would have to watch the emulator";

/// The steps that run the tests, and the program itself with the shipped model.
pub(super) fn test(
    steps: &mut Steps,
    checkout: &Checkout,
    edge: bool,
    counts: &mut TestCounts,
) -> anyhow::Result<()> {
    let libraries = steps.required("install QEMU's user mode and a glibc for aarch64", || {
        debian::require(checkout, &[QEMU])?;
        arm64::package(checkout, "libc6")
    })?;
    steps.check(
        "run the program with the shipped model in the emulator",
        || {
            let mut check = checkout.program(QEMU.program);
            check
                .env(LIBRARIES, &libraries)
                .arg(super::built(checkout, "flukewatch-edge"))
                .args(["check", "--bundle", "models/humpback-lite0"]);
            checkout.run(&mut check)
        },
    )?;
    unit_tests(steps, checkout, &libraries, edge, counts)?;
    Ok(())
}

fn unit_tests(
    steps: &mut Steps,
    checkout: &Checkout,
    libraries: &Path,
    edge: bool,
    counts: &mut TestCounts,
) -> Result<(), Interrupted> {
    let mut packages = vec!["common", "inference"];
    if edge {
        packages.push("edge");
    }
    steps.check(
        &format!(
            "run the unit tests of {} in the emulator",
            packages.join(", ")
        ),
        || {
            let mut cargo = zigbuild(checkout, "test");
            for package in &packages {
                cargo.args(["--package", &format!("flukewatch-{package}")]);
            }
            cargo
                .args(["--lib", "--no-fail-fast"])
                .env(RUNNER, QEMU.program)
                .env(LIBRARIES, libraries)
                .arg("--");
            for skipped in SKIPPED {
                cargo.args(["--skip", skipped]);
            }
            checkout.run_lines(&mut cargo, |line| {
                println!("{line}");
                counts.read(line);
            })
        },
    )
}
