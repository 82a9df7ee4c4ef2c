//! The boat at work, one configuration after the other.
//!
//! A new configuration is read and its bundle opened while the old one goes on watching; what is at fault is told, and the old one
//! goes on. Then the old run ends in order: the encounter that is going on is reported and saved. The new one takes over the outbox,
//! and if it cannot work after all, the old one comes back.

use super::Aboard;
use crate::config::{Config, ConfigError};
use crate::logging::Logs;
use crate::page::Page;
use crate::run::{Finished, Leg, Prepared, RunError, RunOptions};
use crate::stop::Stop;
use flukewatch_common::engine::choice::EngineChoice;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often somebody looks whether a new configuration is wanted.
const LOOK: Duration = Duration::from_millis(100);

/// The wish for a new configuration; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<AtomicBool>);

impl Reload {
    /// Asks for one.
    pub fn ask(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> bool {
        self.0.swap(false, Ordering::SeqCst)
    }
}

/// What the program was told on its command line.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The configuration's file.
    pub file: PathBuf,
    /// The engine, instead of what the configuration says.
    pub engine: Option<EngineChoice>,
    /// When to end.
    pub options: RunOptions,
}

impl Orders {
    /// The configuration as it stands in the file now.
    ///
    /// # Errors
    /// When it cannot be used; every fault is named with its line.
    pub fn read(&self) -> Result<Config, ConfigError> {
        let mut config = Config::load(&self.file)?;
        config.engine.choice = self.engine.unwrap_or(config.engine.choice);
        Ok(config)
    }
}

/// A configuration that was found to work, as far as that can be told beforehand.
type Next = (Config, Prepared);

/// Works as `orders` say, beginning with `first`, until `stop` or the options end it. With each `reload` the file is read anew.
///
/// # Errors
/// When a part cannot be set up, the source fails, or a sighting could not be saved.
pub fn operate(
    orders: &Orders,
    first: Config,
    stop: &Stop,
    reload: &Reload,
    logs: &Logs,
    aboard: &Aboard,
) -> Result<Finished, RunError> {
    let mut config = first;
    let mut prepared = Prepared::new(&config)?;
    let mut before: Option<Config> = None;
    let mut page = Page::start(&config.page, aboard);
    loop {
        let leg = match Leg::start(&config, prepared, stop, aboard) {
            Ok(leg) => leg,
            Err(e) => {
                let Some(old) = before.take() else {
                    return Err(e);
                };
                tracing::error!("the new configuration does not work: {e}. The old one goes on");
                config = old;
                logs.set(&config.log);
                prepared = Prepared::new(&config)?;
                continue;
            }
        };
        if before.take().is_some() {
            aboard.counters.reloaded();
            tracing::info!("the new configuration is at work");
        }
        aboard.systemd.ready();
        page = page.as_told(&config.page, aboard);
        let next = Mutex::new(None);
        let over = AtomicBool::new(false);
        let leg_stop = leg.stop();
        let finished = std::thread::scope(|scope| {
            scope.spawn(|| listen(orders, reload, &leg_stop, &over, &next, aboard));
            let finished = leg.go(orders.options);
            over.store(true, Ordering::SeqCst);
            finished
        });
        let next: Option<Next> = next.into_inner().unwrap_or_else(PoisonError::into_inner);
        match next {
            Some((new, ready)) if !stop.asked() => {
                if let Err(e) = finished {
                    tracing::error!("{e}");
                }
                logs.set(&new.log);
                before = Some(std::mem::replace(&mut config, new));
                prepared = ready;
            }
            _ => {
                page.stop();
                return finished;
            }
        }
    }
}

/// Waits for the wish for a new configuration while a run goes on, and ends the run once there is one that works.
fn listen(
    orders: &Orders,
    reload: &Reload,
    leg: &Stop,
    over: &AtomicBool,
    next: &Mutex<Option<Next>>,
    aboard: &Aboard,
) {
    while !over.load(Ordering::SeqCst) && !leg.asked() {
        if !reload.take() {
            std::thread::sleep(LOOK);
            continue;
        }
        tracing::info!("reading {} anew", orders.file.display());
        aboard.systemd.reloading();
        match prepare(orders) {
            Ok(ready) => {
                *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready);
                leg.ask();
            }
            Err(why) => {
                for line in why.lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the old configuration goes on");
                aboard.systemd.ready();
            }
        }
    }
}

fn prepare(orders: &Orders) -> Result<Next, String> {
    let config = orders.read().map_err(|e| e.to_string())?;
    let prepared = Prepared::new(&config).map_err(|e| e.to_string())?;
    Ok((config, prepared))
}
