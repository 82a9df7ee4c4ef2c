//! Installs a boat's program and configuration into a folder.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::program::{Program, repository};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn packaging() -> PathBuf {
    repository().join("edge/packaging")
}

fn install(image: &Path, arguments: &[&str]) -> Output {
    Command::new(packaging().join("install.sh"))
        .args(arguments)
        .env("DESTDIR", image)
        .output()
        .unwrap()
}

fn installed(image: &Path) {
    let edge = Program::Edge.path();
    let output = install(image, &["--binary", edge.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
}

fn mode(file: &Path) -> u32 {
    std::fs::metadata(file).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_installed_boat_checks_its_own_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    installed(&image);
    let program = image.join("usr/bin/flukewatch-edge");
    let config = image.join("etc/flukewatch/edge.toml");
    assert_eq!((mode(&program), mode(&config)), (0o755, 0o640));
    let check = || {
        Command::new(&program)
            .args(["check", "--json", "--config", config.to_str().unwrap()])
            .output()
            .unwrap()
    };
    let checked = check();
    // First the key of the publisher is missing, then only the bundle.
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(said.contains("[bundle] trusted_keys: expected"), "{said}");
    assert_eq!(said.matches("edge.toml:").count(), 1, "{said}");
    let text = std::fs::read_to_string(&config).unwrap();
    let key = "trusted_keys = [\"ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo\"]";
    std::fs::write(&config, text.replace("trusted_keys = []", key)).unwrap();
    let checked = check();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("[bundle] path: /var/lib/flukewatch/whales.flukebundle"),
        "{said}"
    );
    assert_eq!(said.matches("edge.toml:").count(), 1, "{said}");
    let text = std::fs::read_to_string(&config).unwrap();
    for line in [
        "allow_unsigned = false",
        "path = \"/var/lib/flukewatch/outbox\"",
        "plans = \"/var/lib/flukewatch/plans\"",
        "source = \"v4l2\"",
        "listen = \"127.0.0.1:8090\"",
    ] {
        assert!(text.lines().any(|l| l == line), "{line}");
    }
    // As the installers call it, in a folder that can be written here.
    let outbox = folder.path().join("outbox");
    let here = text.replace("/var/lib/flukewatch/outbox", outbox.to_str().unwrap());
    std::fs::write(&config, here).unwrap();
    let printed = Command::new(&program)
        .args(["page-token", "--config", config.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(printed.status.success(), "{printed:?}");
    let said = String::from_utf8(printed.stdout).unwrap();
    let token = std::fs::read_to_string(outbox.join("page-token")).unwrap();
    let url = said.lines().next().unwrap();
    assert!(
        url.starts_with("http://") && url.ends_with(&format!(":8090/?token={}", token.trim())),
        "{said}"
    );
    assert_eq!(mode(&outbox.join("page-token")), 0o600);
}

#[test]
fn the_installers_print_the_page_s_address() {
    for script in ["install.sh", "deb/postinst"] {
        let text = std::fs::read_to_string(packaging().join(script)).unwrap();
        assert!(
            text.contains("flukewatch-edge page-token --config"),
            "{script}"
        );
    }
}

#[test]
fn installing_again_keeps_the_configuration_and_uninstalling_the_sightings() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    installed(&image);
    let config = image.join("etc/flukewatch/edge.toml");
    std::fs::write(&config, "# mine\n").unwrap();
    let sightings = image.join("var/lib/flukewatch/outbox");
    std::fs::create_dir_all(&sightings).unwrap();
    installed(&image);
    assert_eq!(std::fs::read_to_string(&config).unwrap(), "# mine\n");
    let unit = image.join("lib/systemd/system/flukewatch-edge.service");
    assert!(unit.is_file());
    for _ in 0..2 {
        let output = install(&image, &["--uninstall"]);
        assert!(output.status.success(), "{output:?}");
        assert!(!unit.exists() && !image.join("usr/bin/flukewatch-edge").exists());
        assert!(config.is_file() && sightings.is_dir());
    }
}

#[test]
fn an_invalid_command_line_or_program_is_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    assert_eq!(install(&image, &["--force"]).status.code(), Some(2));
    let output = install(&image, &["--binary", "/no/such/program"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("/no/such/program does not exist"), "{said}");
    assert!(!image.exists());
}

#[test]
fn the_installer_requires_root() {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups"]);
    command
        .arg(packaging().join("install.sh"))
        .env_remove("DESTDIR");
    match command.output() {
        Ok(output) if output.status.code() == Some(1) => {
            let said = String::from_utf8(output.stderr).unwrap();
            assert!(
                said.contains("must be run by root") || said.contains("setpriv"),
                "{said}"
            );
        }
        other => eprintln!("skipped: setpriv cannot be used here: {other:?}"),
    }
}

#[test]
fn the_unit_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let unit = std::fs::read_to_string(packaging().join("flukewatch-edge.service")).unwrap();
    // Use the program that was built.
    let program = Program::Edge.path();
    let text = unit.replace("/usr/bin/flukewatch-edge", program.to_str().unwrap());
    for line in ["Type=notify", "WatchdogSec=60", "StateDirectory=flukewatch"] {
        assert!(unit.lines().any(|l| l == line), "{line}");
    }
    let file = folder.path().join("flukewatch-edge.service");
    std::fs::write(&file, text).unwrap();
    match Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
    {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{said}");
            assert!(!said.contains("flukewatch"), "{said}");
        }
        Err(_) => eprintln!("skipped: systemd-analyze not installed"),
    }
}

#[test]
fn scripts_pass_shellcheck() {
    let scripts = std::fs::read_dir(packaging()).unwrap().flatten();
    let scripts: Vec<PathBuf> = scripts
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "sh"))
        .chain(["postinst", "postrm", "prerm"].map(|script| packaging().join("deb").join(script)))
        .collect();
    assert!(!scripts.is_empty());
    match Command::new("shellcheck").args(&scripts).output() {
        Ok(output) => assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        ),
        Err(_) => eprintln!("skipped: shellcheck not installed"),
    }
}

/// Builds the package, where cargo-deb is installed and the program is built.
#[test]
fn the_package_holds_what_a_boat_needs() {
    let there = Command::new("cargo").args(["deb", "--version"]).output();
    let program = repository().join("target/release/flukewatch-edge");
    if !there.is_ok_and(|o| o.status.success()) || !program.is_file() {
        eprintln!("skipped: cargo-deb not installed, or the release build is missing");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let package = folder.path().join("edge.deb");
    let made = Command::new("cargo")
        .args([
            "deb",
            "--no-build",
            "--strip",
            "--fast",
            "-p",
            "flukewatch-edge",
            "--output",
        ])
        .arg(&package)
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let of = |what: &str| {
        let listed = Command::new("dpkg-deb")
            .arg(what)
            .arg(&package)
            .output()
            .unwrap();
        String::from_utf8(listed.stdout).unwrap()
    };
    let files = of("--contents");
    for file in [
        "./usr/bin/flukewatch-edge",
        "./lib/systemd/system/flukewatch-edge.service",
        "./usr/share/doc/flukewatch-edge/edge.example.toml",
        "./usr/share/doc/flukewatch-edge/boat-config.sh",
        "./usr/share/doc/flukewatch-edge/jetson.md",
        "./usr/share/doc/flukewatch-edge/copyright",
    ] {
        assert!(files.lines().any(|l| l.ends_with(file)), "{file}: {files}");
    }
    assert!(
        !files.contains("./etc/"),
        "the package must not contain a configuration: {files}"
    );
    let control = of("--info");
    for script in ["postinst", "prerm", "postrm", "Package: flukewatch-edge"] {
        assert!(control.contains(script), "{script}: {control}");
    }
}
