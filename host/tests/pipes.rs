//! Output into a pipe that is closed early.

use std::process::{Command, Stdio};

#[test]
fn a_closed_pipe_ends_the_command_silently() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_flukewatch"))
        .arg("losses")
        .stdout(Stdio::from(writer))
        .output()
        .unwrap();
    assert!(
        !ended.status.success(),
        "the command was not ended by the closed pipe"
    );
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}
