//! A run that is killed leaves a valid checkpoint and can be resumed (feature `train`).
#![cfg(feature = "train")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_synth::characters::Characters;
use flukewatch_train::embedding::checkpoint::{EmbeddingCheckpoint, EmbeddingTask};
use flukewatch_train::trainer::checkpoint::Task;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

fn train(data: &Path, run: &Path) -> Command {
    let mut train = Command::new(env!("CARGO_BIN_EXE_flukewatch"));
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/known-ground.toml");
    train
        .args(["train", "--cpu", "--quiet", "--data"])
        .arg(data);
    train.arg("--run").arg(run).arg("--recipe").arg(recipe);
    // Saves after every step or two, so that kills meet it writing.
    train.args(["--set", "save_minutes=0.0001"]);
    train.args(["--set", "stages=[{epochs=40,height=32,width=32}]"]);
    train.stderr(Stdio::null()).stdout(Stdio::null());
    train
}

fn end_within(mut command: Command, wait: Duration) -> Option<ExitStatus> {
    let mut child = command.spawn().unwrap();
    let started = Instant::now();
    while started.elapsed() < wait {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL: the program cannot react.
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

#[test]
fn killed_at_any_moment_it_resumes_from_a_valid_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = (dir.path().join("data"), dir.path().join("run"));
    let characters = Characters {
        seed: 3,
        count: 24,
        drawings: 8..=8,
    };
    characters.write(&data).unwrap();
    let (mut steps, mut loaded) = (0, 0);
    for kill in 0..60u64 {
        // A different and later moment each time: a slow machine needs longer to start.
        let wait = Duration::from_millis(150 + kill * 37 % 400 + kill * 20);
        if let Some(status) = end_within(train(&data, &run), wait) {
            assert!(status.success(), "{status}");
            break;
        }
        let path = run.join(EmbeddingTask::FILE);
        if path.exists() {
            let checkpoint = EmbeddingCheckpoint::read(&path).unwrap();
            assert!(
                checkpoint.progress.steps >= steps,
                "the checkpoint is older than the previous one"
            );
            steps = checkpoint.progress.steps;
            loaded += 1;
        }
    }
    assert!(loaded >= 3, "only {loaded} kills after a checkpoint");
    let status = train(&data, &run).status().unwrap();
    assert!(status.success(), "{status}");
    let end = EmbeddingCheckpoint::read(&run.join(EmbeddingTask::FILE)).unwrap();
    assert_eq!((end.progress.epochs, end.progress.batches), (40, 0));
}
