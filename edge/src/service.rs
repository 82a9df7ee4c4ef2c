//! Runs the boat unattended: one session after the other, with the page beside them.
//!
//! On a reload the new configuration is read and its models are loaded while the current session
//! continues; if one of them is invalid, the session is kept. Then the session ends in order:
//! the open encounter is reported and saved. The new session takes over the outbox; where it cannot
//! start after all, the previous configuration is used again.

use crate::app_state::AppState;
use crate::cancellation::CancellationToken;
use crate::config::{Config, ConfigError};
use crate::logging::Logs;
use crate::models::Models;
use crate::page::Page;
use crate::session::{Finished, RunOptions, Session, SessionError};
use flukewatch_inference::engine::choice::EngineChoice;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a reload request is checked for.
const POLL: Duration = Duration::from_millis(100);
/// The shortest time between two sessions that are replaced because the outbox is damaged: a failing
/// disk damages each new one.
const REOPEN_INTERVAL: Duration = Duration::from_secs(600);

/// Requests a reload; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Requests a reload at the next check.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// The command line of `flukewatch-edge run`.
#[derive(Clone, Debug)]
pub struct RunArgs {
    /// Path of the configuration file.
    pub file: PathBuf,
    /// Overrides the configuration's backend.
    pub engine: Option<EngineChoice>,
    /// When to end the run.
    pub options: RunOptions,
}

impl RunArgs {
    /// Reads the configuration's file.
    ///
    /// # Errors
    /// When it is invalid; every fault is named with its line.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(&self.file)?;
        config.engine.backend = self.engine.unwrap_or(config.engine.backend);
        Ok(config)
    }
}

/// A validated configuration with its models.
type Loaded = (Config, Models);

/// Runs sessions, the first with the configuration `first`, until `stop` is cancelled or the
/// options end it. Each `reload` reads the file again.
///
/// # Errors
/// When a session cannot start or fails.
pub fn run(
    args: &RunArgs,
    first: Config,
    stop: &CancellationToken,
    reload: &Reload,
    logs: &Logs,
    state: &AppState,
) -> Result<Finished, SessionError> {
    let mut config = first;
    let mut models = Models::open(&config)?;
    let mut previous: Option<Config> = None;
    let mut page = Page::start(&config.page, state);
    let reopened = Reopened::default();
    loop {
        let session = match Session::start(&config, models, stop, state) {
            Ok(session) => session,
            Err(e) => {
                let Some(old) = previous.take() else {
                    return Err(e);
                };
                tracing::error!(error = %e, "cannot apply the new configuration; returning to the previous one");
                config = old;
                logs.set(&config.log);
                models = Models::open(&config)?;
                continue;
            }
        };
        if previous.take().is_some() {
            state.counters.reloaded();
            tracing::info!("configuration applied");
        }
        state.systemd.ready();
        page = page.reconfigured(&config.page, state);
        let next = Mutex::new(None);
        let over = AtomicBool::new(false);
        let session_stop = session.stop();
        let finished = std::thread::scope(|scope| {
            scope.spawn(|| {
                if let Some(loaded) =
                    await_reload(args, reload, &session_stop, &over, state, &reopened)
                {
                    *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
                    session_stop.cancel();
                }
            });
            let finished = session.wait(args.options);
            over.store(true, Ordering::SeqCst);
            finished
        });
        let next: Option<Loaded> = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        match next {
            Some((new, loaded)) if !stop.is_cancelled() => {
                if let Err(e) = finished {
                    tracing::error!(error = %e, "session failed");
                }
                logs.set(&new.log);
                previous = Some(std::mem::replace(&mut config, new));
                models = loaded;
            }
            _ => {
                page.stop();
                return finished;
            }
        }
    }
}

/// When a session was last replaced because its outbox was damaged.
#[derive(Default)]
struct Reopened(Mutex<Option<Instant>>);

impl Reopened {
    /// Whether a session may be replaced now, which is then noted.
    fn is_due(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|at| at.elapsed() >= REOPEN_INTERVAL);
        if due {
            *last = Some(Instant::now());
        }
        due
    }
}

/// Waits for a reload request with a valid configuration; `None` once the session is `over` or
/// cancelled.
fn await_reload(
    args: &RunArgs,
    reload: &Reload,
    session: &CancellationToken,
    over: &AtomicBool,
    state: &AppState,
    reopened: &Reopened,
) -> Option<Loaded> {
    while !over.load(Ordering::SeqCst) && !session.is_cancelled() {
        if state.counters.take_outbox_replaced() && reopened.is_due() {
            tracing::warn!("outbox damaged; starting a new session with a new outbox");
        } else if !reload.take() {
            std::thread::sleep(POLL);
            continue;
        }
        tracing::info!(file = %args.file.display(), "reloading the configuration");
        state.systemd.reloading();
        match load(args) {
            Ok(loaded) => return Some(loaded),
            Err(why) => {
                for line in why.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("keeping the current configuration");
                state.systemd.ready();
            }
        }
    }
    None
}

fn load(args: &RunArgs) -> Result<Loaded, String> {
    let config = args.load().map_err(|e| e.to_string())?;
    let models = Models::open(&config).map_err(|e| e.to_string())?;
    Ok((config, models))
}
