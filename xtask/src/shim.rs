//! `cargo xtask shim`: the shim libraries between the boat's program and TensorRT, one for each of
//! its major versions.

mod headers;

use crate::checkout::Checkout;
use crate::elf::Requirements;
use crate::steps::Steps;
use crate::zig::{GLIBC, SYSTEM, ZIG, ZIG_STEP};
use anyhow::{Context, bail};
use clap::Args;
use headers::Headers;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Compile the shims for TensorRT, for x86-64 and aarch64.
///
/// Writes them to target/shims, in a folder for each processor; docs/tensorrt.md says where they
/// belong on the boat. The headers of TensorRT 10 and 11 come with the crate trtx-sys; for another
/// TensorRT set TENSORRT_INCLUDE_DIR to the folder with its NvInfer.h, e.g.
/// /usr/include/aarch64-linux-gnu on a Jetson. The compiler is zig, from PyPI in .tools/zig.
/// Neither CUDA nor TensorRT is needed. Each shim is checked: exactly our functions, only system
/// libraries, no glibc newer than 2.31 (JetPack 5).
#[derive(Args)]
#[command(after_help = "\
Exit codes: 0 success; 1 failure, named in the summary; 130 interrupted.")]
pub(crate) struct ShimArgs {
    /// Compile only for this machine, with c++ or the compiler in CXX instead of zig
    #[arg(long)]
    native: bool,
}

/// A processor and its number in ELF files.
type Processor = (&'static str, u16);
/// The processor of a Jetson.
const JETSON: Processor = ("aarch64", 183);
/// The processors of boats.
const PROCESSORS: [Processor; 2] = [("x86_64", 62), JETSON];
/// Compiles the shims.
pub(crate) fn run(args: &ShimArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    let all = steps.required("find TensorRT's headers", || look(checkout))?;
    if args.native {
        steps.check("compile the shims for this machine", || {
            native(checkout, &all)
        })?;
    } else {
        steps.required(ZIG_STEP, || ZIG.install(checkout))?;
        for_boats(&mut steps, checkout, &PROCESSORS, &all)?;
    }
    println!("\n{}", steps.summary());
    Ok(if steps.any_failed() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Compiles with zig.
fn for_boats(
    steps: &mut Steps,
    checkout: &Checkout,
    processors: &[Processor],
    all: &[Headers],
) -> Result<(), crate::interrupt::Interrupted> {
    for &(processor, machine) in processors {
        steps.check(&format!("compile the shims for {processor}"), || {
            println!("    (the first time zig compiles its C++ library, which takes minutes)");
            all.iter()
                .try_for_each(|headers| cross(checkout, headers, processor, machine))
        })?;
    }
    Ok(())
}

/// For `cargo xtask test`: the shims for this machine. Returns a reason if headers or a compiler are missing.
pub(crate) fn test_step(
    steps: &mut Steps,
    checkout: &Checkout,
) -> Result<Option<String>, crate::interrupt::Interrupted> {
    let mut found = vec![];
    let mut skipped = None;
    steps.optional("find TensorRT's headers, to compile its shims", || {
        let looked = look(checkout);
        skipped = looked.as_ref().err().map(|e| format!("{e:#}"));
        found = looked?;
        Ok(())
    })?;
    if skipped.is_none() {
        steps.check("compile the TensorRT shims for this machine", || {
            native(checkout, &found)
        })?;
    }
    Ok(skipped)
}

/// For `cargo xtask cross`: whether the shims compile for a Jetson. They are not linked, for which zig would compile its C++ library for
/// minutes; `cargo xtask shim` does.
pub(crate) fn jetson_step(
    steps: &mut Steps,
    checkout: &Checkout,
) -> Result<(), crate::interrupt::Interrupted> {
    steps.optional("check the TensorRT shims for aarch64", || {
        for headers in look(checkout)? {
            let mut command = checkout.program(ZIG.python(checkout));
            command.args(["-m", "ziglang", "c++", "-target"]);
            command.arg(format!("{}-linux-gnu", JETSON.0));
            let command = source(checkout, &mut command, &headers);
            // zig adds `-c`, which a check of the syntax does not use.
            command.args(["-fsyntax-only", "-Wno-unused-command-line-argument"]);
            checkout.run(command)?;
        }
        Ok(())
    })
}

fn look(checkout: &Checkout) -> anyhow::Result<Vec<Headers>> {
    let all = headers::all(checkout)?;
    for Headers {
        version, folder, ..
    } in &all
    {
        println!("    TensorRT {version} in {}", folder.display());
    }
    Ok(all)
}

/// Compiles with the machine's own compiler, so that the shim requires its C++ library and glibc.
fn native(checkout: &Checkout, all: &[Headers]) -> anyhow::Result<()> {
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    for headers in all {
        let file = place(checkout, std::env::consts::ARCH, headers.major)?;
        let mut command = checkout.program(PathBuf::from(&compiler));
        checkout.run(compile(checkout, &mut command, headers, &file))?;
        let requirements = read(&file)?;
        check_functions(&requirements, &functions(checkout)?)
            .with_context(|| file.display().to_string())?;
        println!("    {}", file.display());
    }
    Ok(())
}

fn cross(
    checkout: &Checkout,
    headers: &Headers,
    processor: &str,
    machine: u16,
) -> anyhow::Result<()> {
    let file = place(checkout, processor, headers.major)?;
    let mut command = checkout.program(ZIG.python(checkout));
    let target = format!("{processor}-linux-gnu.{}.{}", GLIBC.0, GLIBC.1);
    command.args(["-m", "ziglang", "c++", "-target", &target, "-s"]);
    checkout.run(compile(checkout, &mut command, headers, &file))?;
    let requirements = read(&file)?;
    check(&requirements, machine, &functions(checkout)?)
        .with_context(|| file.display().to_string())?;
    let (major, minor) = requirements.glibc()?.unwrap_or_default();
    println!(
        "    {}: for TensorRT {} with the headers of {}, needs glibc {major}.{minor}",
        file.display(),
        headers.major,
        headers.version
    );
    Ok(())
}

/// The output path of a shim.
fn place(checkout: &Checkout, processor: &str, major: u32) -> anyhow::Result<PathBuf> {
    let folder = checkout.target().join("shims").join(processor);
    fs::create_dir_all(&folder)
        .with_context(|| format!("{} cannot be created", folder.display()))?;
    Ok(folder.join(format!("libflukewatch_trt{major}.so")))
}

/// Adds the options of a shared library in `file`.
fn compile<'a>(
    checkout: &Checkout,
    compiler: &'a mut Command,
    headers: &Headers,
    file: &Path,
) -> &'a mut Command {
    source(checkout, compiler, headers)
        .args(["-O2", "-fPIC", "-shared", "-fvisibility=hidden"])
        .arg("-o")
        .arg(file)
        .arg("-ldl")
}

/// Adds the source, its headers and the warnings.
fn source<'a>(
    checkout: &Checkout,
    compiler: &'a mut Command,
    headers: &Headers,
) -> &'a mut Command {
    let source = checkout.path("common/inference/shim");
    compiler
        .arg("-std=c++17")
        // int8 and fp16 are set with flags that TensorRT 10 has deprecated and TensorRT 8 requires.
        .args([
            "-Wall",
            "-Wextra",
            "-Werror",
            "-Wno-deprecated-declarations",
        ])
        .arg("-isystem")
        .arg(&headers.folder)
        .arg("-isystem")
        .arg(source.join("stub"))
        .arg(source.join("flukewatch_trt.cpp"))
}

fn read(file: &Path) -> anyhow::Result<Requirements> {
    let bytes = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    Requirements::read(&bytes).with_context(|| file.display().to_string())
}

/// The functions that the header declares.
fn functions(checkout: &Checkout) -> anyhow::Result<BTreeSet<String>> {
    let file = checkout.path("common/inference/shim/flukewatch_trt.h");
    let text =
        fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    Ok(declared(&text))
}

fn declared(header: &str) -> BTreeSet<String> {
    header
        .lines()
        .filter(|line| line.starts_with("FLUKEWATCH_TRT_EXPORT "))
        .filter_map(|line| {
            let name = line.split('(').next()?.split_whitespace().last()?;
            Some(name.trim_start_matches('*').to_owned())
        })
        .collect()
}

fn check(
    requirements: &Requirements,
    machine: u16,
    functions: &BTreeSet<String>,
) -> anyhow::Result<()> {
    if requirements.machine != machine {
        bail!(
            "it is for processor {}, not {machine}",
            requirements.machine
        );
    }
    if let Some((major, minor)) = requirements.glibc()?.filter(|&glibc| glibc > GLIBC) {
        bail!(
            "it needs glibc {major}.{minor}, JetPack 5 has {}.{}",
            GLIBC.0,
            GLIBC.1
        );
    }
    if let Some(library) = requirements
        .libraries
        .iter()
        .find(|l| !SYSTEM.contains(&l.as_str()))
    {
        bail!("it links to {library}, which may be missing on a boat");
    }
    check_functions(requirements, functions)
}

fn check_functions(
    requirements: &Requirements,
    functions: &BTreeSet<String>,
) -> anyhow::Result<()> {
    let ours: BTreeSet<String> = requirements
        .functions
        .iter()
        .filter(|name| name.starts_with("flukewatch_"))
        .cloned()
        .collect();
    if &ours != functions {
        bail!("it exports the functions {ours:?}; the header declares {functions:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&n| n.to_owned()).collect()
    }

    fn good() -> Requirements {
        Requirements {
            machine: 183,
            versions: set(&["GLIBC_2.17", "GLIBC_2.4"]),
            libraries: set(&["libc.so.6", "libdl.so.2"]),
            functions: set(&["flukewatch_trt_abi", "_init"]),
        }
    }

    fn error(change: impl FnOnce(&mut Requirements)) -> String {
        let mut requirements = good();
        change(&mut requirements);
        check(&requirements, 183, &set(&["flukewatch_trt_abi"]))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn a_shim_that_a_boat_cannot_load_is_an_error() {
        check(&good(), 183, &set(&["flukewatch_trt_abi"])).unwrap();
        let newer = error(|d| {
            d.versions.insert("GLIBC_2.34".into());
        });
        assert_eq!(newer, "it needs glibc 2.34, JetPack 5 has 2.31");
        let linked = error(|d| {
            d.libraries.insert("libnvinfer.so.10".into());
        });
        assert!(linked.contains("links to libnvinfer.so.10"), "{linked}");
        assert!(error(|d| d.machine = 62).contains("processor 62"));
        let without = error(|d| d.functions.clear());
        assert!(without.contains("the header declares"), "{without}");
    }

    #[test]
    fn the_header_declares_our_functions() {
        let header = include_str!("../../common/inference/shim/flukewatch_trt.h");
        let names = declared(header);
        assert_eq!(names.len(), 11, "{names:?}");
        assert!(names.contains("flukewatch_trt_shape_of"), "{names:?}");
    }
}
