//! Keeps an uploader at work: starts another one where it panics.

use super::link::Uplink;
use super::uploader::Uploader;
use crate::stage::{Panicked, Stage};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The pause before another one starts, which doubles up to [`MAX_PAUSE`] while they fail.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// After so long an uploader has not failed at its start.
const STABLE_AFTER: Duration = Duration::from_secs(120);

/// Runs uploaders of `start`, one after the other, until it is dropped. `stage` counts the restarts. What
/// an uploader had in flight is sent again by the next.
pub async fn supervise<U: Uplink + Send + 'static>(
    mut start: impl FnMut() -> Result<Uploader<U>, String>,
    stage: Arc<Stage>,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let begun = Instant::now();
        let reason = match start() {
            Ok(uploader) => run(uploader).await,
            Err(reason) => format!("cannot start: {reason}"),
        };
        stage.restarted(&reason);
        if begun.elapsed() >= STABLE_AFTER {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

/// Runs an uploader to its end. Returns why it ended.
async fn run<U: Uplink + Send + 'static>(uploader: Uploader<U>) -> String {
    // Ends the uploader where this is dropped.
    let mut tasks = JoinSet::new();
    tasks.spawn(uploader.run());
    match tasks.join_next().await {
        Some(Err(error)) if error.is_panic() => Panicked::of(&*error.into_panic()).to_string(),
        _ => "a thread of the outbox panicked".into(),
    }
}
