//! Lets programs that were linked against libtorch find it without `LD_LIBRARY_PATH`, and tells the
//! program the git revision that it is built from.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    if std::env::var_os("CARGO_FEATURE_TRAIN").is_some()
        && let Ok(folder) = std::env::var("LIBTORCH")
    {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}/lib");
    }
    revision();
}

/// The revision, with `-dirty` where files differ from it; nothing outside of a git repository.
fn revision() {
    // Whatever the program is built from may make it differ.
    for source in [
        ".",
        "../common",
        "../synth",
        "../Cargo.lock",
        "../Cargo.toml",
    ] {
        println!("cargo:rerun-if-changed={source}");
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(revision) = git(&[
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]) else {
        return;
    };
    println!("cargo:rustc-env=FLUKEWATCH_REVISION={revision}");
    let head = git(&["rev-parse", "--symbolic-full-name", "HEAD"]).unwrap_or_default();
    for name in ["HEAD", &head, "packed-refs"] {
        let path = git(&["rev-parse", "--git-path", name]).unwrap_or_default();
        if !name.is_empty() && std::path::Path::new(&path).exists() {
            println!("cargo:rerun-if-changed={path}");
        }
    }
}
