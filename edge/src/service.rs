//! Runs the boat unattended: one session after the other, with the page beside them.
//!
//! On a reload the new configuration is read and its models are loaded while the current session
//! continues; if one of them is invalid, the session is kept. Then the session ends in order:
//! the open encounter is recorded. The new session takes over the outbox, and what the outbox has not
//! accepted; where it cannot
//! start after all, the previous configuration is used again.
//!
//! A bundle that arrived over the air is used on trial first: where it cannot be opened, its session fails, it
//! brings the program down at several starts, or it does not work in its first minutes, the boat returns to the
//! bundle before. So are settings from shore, which replace values of the file.
//!
//! The last configuration that worked is kept on disk. It is used where the file is invalid at the
//! start, its models cannot be opened, its session fails before it has worked, or it brings the program down
//! at several starts in a row.

use crate::app_state::AppState;
use crate::bundle_update::{Updater, roll_back};
use crate::cancellation::CancellationToken;
use crate::config::{Config, ConfigError};
use crate::failed_starts::FailedStarts;
use crate::health::ConfigurationHealth;
use crate::last_working::LastWorking;
use crate::logging::Logs;
use crate::mirror::Mirror;
use crate::models::Models;
use crate::page::Page;
use crate::received_bundles::ReceivedBundles;
use crate::received_settings;
use crate::session::{Finished, RunOptions, Session, SessionError, save_unsaved};
use flukewatch_common::clock::{Clock, SystemClock};
use flukewatch_common::footage::ConfigId;
use flukewatch_inference::engine::choice::EngineChoice;
use std::fmt;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use trials::{
    MAX_FAILED_STARTS, SessionTrials, UsedUpdates, count_start, end_in_order, roll_back_after,
};

mod trials;

/// How often a reload request is checked for.
const POLL: Duration = Duration::from_millis(100);
/// A session that lasts this long works, even without a frame.
const PROVEN_AFTER: Duration = Duration::from_secs(60);
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
    /// The folder that keeps the last working configuration; without one none is kept, and an
    /// invalid file ends the run.
    pub state_folder: Option<PathBuf>,
}

impl RunArgs {
    /// The configuration to start with: that of the file, or the last working one where the file is
    /// invalid.
    ///
    /// # Errors
    /// When there is none; every fault of the file is named with its line.
    pub fn first(&self) -> Result<ChosenConfig, StartError> {
        let invalid = match self.load() {
            Ok(chosen) => return Ok(self.unless_it_brings_the_program_down(chosen)),
            Err(e) => e,
        };
        match self.last_working() {
            Some(Ok(kept)) => Ok(kept.instead_of(&invalid)),
            Some(Err(kept)) => Err(StartError::Both { invalid, kept }),
            None => Err(invalid.into()),
        }
    }

    /// `chosen`, or the last working configuration where `chosen` never got as far as to work at its last
    /// starts.
    fn unless_it_brings_the_program_down(&self, chosen: ChosenConfig) -> ChosenConfig {
        let Some(Ok(kept)) = self.last_working() else {
            return chosen;
        };
        let is_new = kept.config.identity != chosen.config.identity;
        let Some(starts) = self.failed_starts().filter(|_| is_new) else {
            return chosen;
        };
        match starts.begin(chosen.config.identity) {
            Ok(earlier) if earlier >= MAX_FAILED_STARTS => {
                let reason = format!(
                    "the program ended at each of {earlier} starts with {} before a frame was searched; change it, or restart again to \
                     try it once more",
                    self.file.display()
                );
                // So that it gets another chance, e.g. after power cuts.
                self.note_worked(chosen.config.identity);
                kept.instead_of(&reason)
            }
            Ok(_) => chosen,
            Err(error) => {
                tracing::warn!(%error, "cannot count the starts of the configuration");
                chosen
            }
        }
    }

    fn failed_starts(&self) -> Option<FailedStarts> {
        let folder = self.state_folder.as_deref()?;
        Some(FailedStarts::new(&self.file, folder))
    }

    /// Notes that `config` has worked, or has ended in order.
    fn note_worked(&self, config: ConfigId) {
        if let Some(starts) = self.failed_starts()
            && let Err(error) = starts.worked(config)
        {
            tracing::warn!(%error, "cannot reset the count of the configuration's starts");
        }
    }

    /// Reads the configuration's file.
    fn load(&self) -> Result<ChosenConfig, ConfigError> {
        self.validate(Config::read(&self.file)?)
    }

    /// Relative paths in `text` are relative to the folder of the configuration's file.
    fn validate(&self, text: String) -> Result<ChosenConfig, ConfigError> {
        let mut config = Config::load_text(&text, &self.file)?;
        config.engine.backend = self.engine.unwrap_or(config.engine.backend);
        let (overlaid, settings) = received_settings::overlay(&config);
        Ok(ChosenConfig {
            config: overlaid,
            of_file: config,
            settings,
            text,
            fallback: None,
        })
    }

    fn kept(&self) -> Option<LastWorking> {
        let folder = self.state_folder.as_deref()?;
        Some(LastWorking::new(&self.file, folder))
    }

    /// The last working configuration, or why it cannot be used; `None` where none was kept.
    fn last_working(&self) -> Option<Result<ChosenConfig, KeptError>> {
        let kept = self.kept()?;
        let unusable = |reason: &dyn fmt::Display| KeptError {
            copy: kept.path().to_owned(),
            reason: reason.to_string(),
        };
        match kept.read() {
            Ok(text) => Some(self.validate(text?).map_err(|e| unusable(&e))),
            Err(e) => Some(Err(unusable(&e))),
        }
    }
}

/// Why the boat cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The file is invalid, and no earlier configuration was kept.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Neither the file nor the kept configuration can be used.
    #[error("{invalid}\n{kept}")]
    Both {
        /// What is wrong with the file.
        invalid: ConfigError,
        /// What is wrong with the kept one.
        kept: KeptError,
    },
}

/// The kept copy of the last working configuration cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the last working configuration {}: {reason}", .copy.display())]
pub struct KeptError {
    copy: PathBuf,
    reason: String,
}

/// A valid configuration, and whether it is that of the file. Without `Debug`: its text may hold a
/// password.
#[derive(Clone)]
pub struct ChosenConfig {
    /// The configuration, with the settings from shore.
    pub config: Config,
    /// The same with the values of its text.
    of_file: Config,
    /// The revision of the settings from shore; 0 where there are none.
    settings: u64,
    text: String,
    /// Why it is not the file's.
    fallback: Option<String>,
}

impl ChosenConfig {
    /// This one, since `error` keeps the file's from being used.
    fn instead_of(self, error: &dyn fmt::Display) -> Self {
        Self {
            fallback: Some(error.to_string()),
            ..self
        }
    }

    /// This one with the settings from shore that are in use now.
    fn refreshed(self) -> Self {
        let (config, settings) = received_settings::overlay(&self.of_file);
        Self {
            config,
            settings,
            ..self
        }
    }

    fn health(&self, args: &RunArgs) -> ConfigurationHealth {
        ConfigurationHealth {
            file: args.file.display().to_string(),
            applied_at: SystemClock.now().to_string(),
            fallback: self.fallback.clone(),
        }
    }
}

/// A validated configuration with its models.
type Loaded = (ChosenConfig, Models);

/// Runs sessions, the first with the configuration `first`, until `stop` is cancelled or the
/// options end it. Each `reload` reads the file again. Where a configuration cannot be used, the
/// previous one is used, or the last working one.
///
/// # Errors
/// When no session can start, or one that worked fails.
pub fn run(
    args: &RunArgs,
    first: ChosenConfig,
    stop: &CancellationToken,
    reload: &Reload,
    logs: &Logs,
    state: &AppState,
) -> Result<Finished, SessionError> {
    if let Some(reason) = &first.fallback {
        log_fallback(reason);
    }
    count_start(&first.config, state);
    let first = first.refreshed();
    let mut page = Page::start(&first.config, state);
    let mut mirror = Mirror::start(&first.config, state);
    let updater = start_updater(&first.config, state, reload);
    let mut running = first;
    let mut models: Option<Models> = None;
    let mut fallbacks = Fallbacks::default();
    let mut reloaded = false;
    let reopened = Reopened::default();
    loop {
        // Before the session, which counts its first frames at once.
        let trial = Trial::new(state);
        let used = UsedUpdates::of(&running.config, running.settings);
        let opened = models
            .take()
            .map_or_else(|| Models::open(&running.config, &state.plans), Ok);
        let signature = opened.as_ref().ok().and_then(|m| m.signature.clone());
        let started = opened.map_err(SessionError::from);
        let started = started.and_then(|m| Session::start(&running.config, m, stop, state));
        let session = match started {
            Ok(session) => session,
            Err(e) => {
                if roll_back_after(&e, &running.config, running.settings, state) {
                    running = running.refreshed();
                    continue;
                }
                running = fallbacks.next(args, running, e)?;
                logs.set(&running.config.log);
                reloaded = false;
                continue;
            }
        };
        if std::mem::take(&mut reloaded) {
            state.counters.reloaded();
            tracing::info!("configuration applied");
        }
        state.counters.set_configuration(running.health(args));
        state.systemd.ready();
        page = page.reconfigured(&running.config, state);
        mirror = mirror.reconfigured(&running.config, state);
        if let Some(updater) = &updater {
            updater.reconfigure(&running.config);
        }
        let supervision = Supervision {
            args,
            reload,
            session: session.stop(),
            over: AtomicBool::new(false),
            state,
            reopened: &reopened,
            running: &running,
            trial,
            trials: SessionTrials::begin(&running.config, state, used, signature),
        };
        let (next, finished) = std::thread::scope(|scope| {
            let supervised = scope.spawn(|| supervision.supervise());
            let finished = session.wait(args.options);
            supervision.over.store(true, Ordering::SeqCst);
            let next = supervised.join();
            (next.unwrap_or_else(|panic| resume_unwind(panic)), finished)
        });
        if finished.is_ok() {
            supervision.keep_if_proven();
            args.note_worked(running.config.identity);
        }
        let failure = finished.as_ref().err().map(ToString::to_string);
        let is_rolled_back = failure.is_some_and(|reason| supervision.trials.roll_back(&reason));
        let proven = supervision.trial.is_passed();
        if proven {
            fallbacks = Fallbacks::default();
        }
        match (next, finished) {
            (Some((new, loaded)), finished) if !stop.is_cancelled() => {
                if let Err(e) = finished {
                    tracing::error!(error = %e, "session failed");
                }
                logs.set(&new.config.log);
                // It was loaded before.
                let new = if is_rolled_back { new.refreshed() } else { new };
                let old = std::mem::replace(&mut running, new);
                // Rather one that has worked than a newer one that has not.
                fallbacks.previous.get_or_insert(old);
                models = (!is_rolled_back).then_some(loaded);
                reloaded = true;
            }
            (_, Err(e)) if is_rolled_back && !stop.is_cancelled() => {
                tracing::error!(error = %e, "session failed");
                running = running.refreshed();
            }
            (_, Err(e)) if !proven && !stop.is_cancelled() => {
                running = fallbacks.next(args, running, e)?;
                logs.set(&running.config.log);
            }
            (_, finished) => {
                if finished.is_ok() {
                    end_in_order(&running.config);
                }
                page.stop();
                save_unsaved(&running.config, state)?;
                return finished;
            }
        }
    }
}

/// The thread that receives bundles; without one, none is received.
fn start_updater(config: &Config, state: &AppState, reload: &Reload) -> Option<Updater> {
    let reload = reload.clone();
    let (mailbox, counters) = (state.bundles.clone(), state.counters.clone());
    let started = Updater::start(config, mailbox, counters, move || reload.request());
    match started {
        Ok(updater) => Some(updater),
        Err(error) => {
            tracing::error!(%error, "cannot receive bundles: no thread");
            None
        }
    }
}

fn log_fallback(reason: &str) {
    for line in reason.lines() {
        tracing::error!("{line}");
    }
    tracing::error!("configuration unusable; using the last working one");
}

/// Which configuration to use where one cannot be used.
#[derive(Default)]
struct Fallbacks {
    /// The one before a reload, until the new one has worked.
    previous: Option<ChosenConfig>,
    /// Those that failed since one has worked.
    failed: Vec<ConfigId>,
}

impl Fallbacks {
    /// The configuration to use instead of `failed`.
    ///
    /// # Errors
    /// `error` itself, where there is none left to try.
    fn next(
        &mut self,
        args: &RunArgs,
        failed: ChosenConfig,
        error: SessionError,
    ) -> Result<ChosenConfig, SessionError> {
        self.failed.push(failed.config.identity);
        // The first reason is that of the file.
        let reason = failed.fallback.unwrap_or_else(|| error.to_string());
        if let Some(previous) = self.previous.take() {
            tracing::error!(%error, "cannot apply the new configuration; returning to the previous one");
            return Ok(previous.refreshed().instead_of(&reason));
        }
        let Some(kept) = self.untried(args) else {
            return Err(error);
        };
        log_fallback(&error.to_string());
        Ok(kept.instead_of(&reason))
    }

    fn untried(&self, args: &RunArgs) -> Option<ChosenConfig> {
        match args.last_working()? {
            Ok(kept) => Some(kept).filter(|k| !self.failed.contains(&k.config.identity)),
            Err(e) => {
                tracing::error!("{e}");
                None
            }
        }
    }
}

/// Whether a configuration has proved that it works.
struct Trial {
    since: Instant,
    /// Usable frames before it.
    frames: u64,
    passed: AtomicBool,
}

impl Trial {
    fn new(state: &AppState) -> Self {
        Self {
            since: Instant::now(),
            frames: state.counters.usable_frames(),
            passed: AtomicBool::new(false),
        }
    }

    /// Whether it passes now for the first time: a frame was processed, or the session has lasted;
    /// a camera may be unplugged in harbour.
    fn passes(&self, state: &AppState) -> bool {
        let works =
            state.counters.usable_frames() > self.frames || self.since.elapsed() >= PROVEN_AFTER;
        works && !self.passed.swap(true, Ordering::SeqCst)
    }

    fn is_passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
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

/// Accompanies a session: keeps its configuration once it has proved itself, and waits for reload
/// requests.
struct Supervision<'a> {
    args: &'a RunArgs,
    reload: &'a Reload,
    session: CancellationToken,
    /// Whether the session has ended.
    over: AtomicBool,
    state: &'a AppState,
    reopened: &'a Reopened,
    running: &'a ChosenConfig,
    trial: Trial,
    /// Of what came over the air.
    trials: SessionTrials<'a>,
}

impl Supervision<'_> {
    /// Waits for the configuration of the next session, and cancels this one; `None` once the
    /// session is over or cancelled.
    fn supervise(&self) -> Option<Loaded> {
        while !self.over.load(Ordering::SeqCst) && !self.session.is_cancelled() {
            self.keep_if_proven();
            let loaded = if self.trials.have_failed() {
                self.state.systemd.reloading();
                self.reopen()
            } else if self.state.counters.take_outbox_replaced() && self.reopened.is_due() {
                tracing::warn!("outbox damaged; starting a new session with a new outbox");
                self.state.systemd.reloading();
                // The file may have become invalid since.
                self.reopen()
            } else if self.reload.take() {
                tracing::info!(file = %self.args.file.display(), "reloading the configuration");
                self.state.systemd.reloading();
                self.reload()
            } else {
                std::thread::sleep(POLL);
                continue;
            };
            match loaded {
                Ok(loaded) => {
                    self.session.cancel();
                    return Some(loaded);
                }
                Err(why) => {
                    for line in why.lines() {
                        tracing::error!("{line}");
                    }
                    tracing::error!("keeping the current configuration");
                    self.state.systemd.ready();
                }
            }
        }
        None
    }

    fn keep_if_proven(&self) {
        if !self.trial.passes(self.state) {
            return;
        }
        if let Some(kept) = self.args.kept()
            && let Err(e) = kept.keep(&self.running.text)
        {
            let file = kept.path().display();
            tracing::warn!(%file, error = %e, "cannot keep the working configuration");
        }
        self.trials.note_proven_bundle();
        self.args.note_worked(self.running.config.identity);
    }

    /// The models of `config`; with the bundle before, where one that has just been installed cannot be opened.
    fn open_models(&self, config: &Config) -> Result<Models, String> {
        let open = || Models::open(config, &self.state.plans).map_err(|e| e.to_string());
        open().or_else(|reason| {
            let is_new = ReceivedBundles::of(config).in_use().as_ref() != self.trials.bundle();
            if is_new && roll_back(config, &reason, &SystemClock) {
                open()
            } else {
                Err(reason)
            }
        })
    }

    /// The running configuration again, with the settings that are in use now.
    fn reopen(&self) -> Result<Loaded, String> {
        let running = self.running.clone().refreshed();
        let models = Models::open(&running.config, &self.state.plans);
        let models = models.map_err(|e| e.to_string())?;
        Ok((running, models))
    }

    /// The file's configuration; where it cannot be used and other settings have arrived from shore, the running
    /// one with these.
    fn reload(&self) -> Result<Loaded, String> {
        self.load().or_else(|why| {
            let (running, models) = self.reopen()?;
            if running.settings == self.running.settings {
                return Err(why);
            }
            for line in why.lines() {
                tracing::error!("{line}");
            }
            Ok((running.instead_of(&why), models))
        })
    }

    /// The file's configuration. Where it cannot be used, health says so.
    fn load(&self) -> Result<Loaded, String> {
        let loaded = self.args.load().map_err(|e| e.to_string());
        let loaded = loaded.and_then(|chosen| {
            let models = self.open_models(&chosen.config)?;
            Ok((chosen, models))
        });
        if let Err(why) = &loaded {
            let counters = &self.state.counters;
            counters.set_configuration(ConfigurationHealth {
                fallback: Some(why.clone()),
                ..counters.configuration()
            });
        }
        loaded
    }
}
