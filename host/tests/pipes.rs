//! Output that nobody reads to its end.

use std::process::{Command, Stdio};

#[test]
fn a_reader_that_is_gone_ends_the_command_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_flukewatch"))
        .arg("losses")
        .stdout(Stdio::from(writer))
        .output()
        .unwrap();
    assert!(!ended.status.success(), "it found its reader gone");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
