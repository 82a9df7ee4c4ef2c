//! Tests of the boat's program in QEMU's user mode, which runs a program for another processor as if it were one of this machine's.

use super::zigbuild;
use crate::arm64;
use crate::interrupt::Interrupted;
use crate::setup::debian::{self, Tool};
use crate::steps::Steps;
use crate::test::Tally;
use crate::workshop::Workshop;
use std::path::Path;

const QEMU: Tool = Tool {
    program: "qemu-aarch64-static",
    package: "qemu-user-static",
};
/// Cargo's variable for what runs programs of the boat.
const RUNNER: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER";
/// QEMU's variable for where the programs' libraries are. Not Debian's /usr/aarch64-linux-gnu, where threads were seen to wait for ever.
const LIBRARIES: &str = "QEMU_LD_PREFIX";
/// Tests that cannot pass there: those of TensorRT compile a library for this machine's own processor, QEMU has no pseudo-terminals of its own,
/// and its `vfork` shares no memory, so that a program that is not there is not told from one that ends with 127.
const SKIPPED: [&str; 7] = [
    "tensorrt",
    "engine::choice::tests",
    "run::tests::tract_serves_while_a_plan_is_built",
    "selftest::tests::an_engine_that_cannot_be_trusted",
    "selftest::tests::what_the_model_gave_elsewhere",
    "a_serial_line_is_set_up",
    "a_program_that_is_not_there_is_named_with_its_packages",
];

/// What is said of them at the end.
pub(super) const LEFT_OUT: &str = "\
left out: the doctests; the end-to-end tests of `tests`, of the command line, and of shore and workstation; TensorRT, whose tests compile a
library for this machine's own processor; a serial line on a pseudo-terminal, and a program that is not installed, which QEMU's user mode does not have";

/// The steps that run the tests, and the program itself with the shipped model.
pub(super) fn test(
    steps: &mut Steps,
    workshop: &Workshop,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let libraries = steps.take("QEMU's user mode, and a glibc for aarch64", || {
        debian::demand(workshop, &[QEMU])?;
        arm64::package(workshop, "libc6")
    })?;
    steps.attempt(
        "the program with the shipped model, in the emulator",
        || {
            let mut check = workshop.program(QEMU.program);
            check
                .env(LIBRARIES, &libraries)
                .arg(super::built(workshop, "flukewatch-edge"))
                .args(["check", "--bundle", "models/humpback-lite0"]);
            workshop.run(&mut check)
        },
    )?;
    unit_tests(steps, workshop, &libraries, tally)?;
    Ok(())
}

fn unit_tests(
    steps: &mut Steps,
    workshop: &Workshop,
    libraries: &Path,
    tally: &mut Tally,
) -> Result<(), Interrupted> {
    steps.attempt(
        "unit tests of common and edge, tract's conformance among them, in the emulator",
        || {
            let mut cargo = zigbuild(workshop, "test");
            cargo
                .args(["--package", "flukewatch-common"])
                .args(["--package", "flukewatch-edge", "--lib", "--no-fail-fast"])
                .env(RUNNER, QEMU.program)
                .env(LIBRARIES, libraries)
                .arg("--");
            for skipped in SKIPPED {
                cargo.args(["--skip", skipped]);
            }
            workshop.run_lines(&mut cargo, |line| {
                println!("{line}");
                tally.read(line);
            })
        },
    )
}
