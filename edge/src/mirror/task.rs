//! The mirror's thread.

use super::discovery;
use super::status::MirrorStatus;
use crate::app_state::{AppState, StatusBoard};
use crate::backoff::Backoff;
use crate::config::{Config, MirrorSection};
use crate::listed_sighting::ListedSighting;
use crate::outbox;
use flukewatch_mqtt::{Connection, Dialer, MqttError, Outgoing, Settings, Will};
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// Sightings that are watched for a change of their verdict.
const SIGHTINGS: usize = 20;
/// The longest time between two attempts to connect.
const MAX_BACKOFF: Duration = Duration::from_secs(60);

/// What the mirror depends on.
#[derive(Clone, PartialEq)]
struct MirrorSettings {
    section: MirrorSection,
    boat: String,
}

impl MirrorSettings {
    fn of(config: &Config) -> Self {
        Self {
            section: config.mirror.clone(),
            boat: config.boat.name.clone(),
        }
    }

    fn topic(&self, last: &str) -> String {
        format!("{}/{}/{last}", self.section.topic, self.boat)
    }
}

/// The mirror; it stops when this is dropped.
pub(crate) struct Mirror {
    settings: MirrorSettings,
    thread: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Mirror {
    /// Mirrors to the broker that `config` names, if it does. Connecting is retried until it works.
    pub(crate) fn start(config: &Config, state: &AppState) -> Self {
        let settings = MirrorSettings::of(config);
        let thread = (!settings.section.broker.is_empty()).then(|| {
            let (stop, stopped) = watch::channel(false);
            let (own, status) = (settings.clone(), state.status.clone());
            let thread = std::thread::Builder::new()
                .name("mirror".into())
                .spawn(move || run(own, status, stopped));
            thread.map(|thread| (stop, thread))
        });
        let thread = thread.transpose().unwrap_or_else(|error| {
            tracing::error!(%error, "cannot start the mirror");
            None
        });
        Self { settings, thread }
    }

    /// Restarts the mirror where its settings have changed.
    pub(crate) fn reconfigured(self, config: &Config, state: &AppState) -> Self {
        if self.settings == MirrorSettings::of(config) {
            return self;
        }
        drop(self);
        Self::start(config, state)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            stop.send_replace(true);
            // A panic of the thread is logged already.
            let _ = thread.join();
        }
    }
}

fn run(settings: MirrorSettings, status: Arc<StatusBoard>, mut stopped: watch::Receiver<bool>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "cannot start the mirror");
            return;
        }
    };
    runtime.block_on(async {
        let mut publisher = MirrorPublisher::new(settings, status);
        tokio::select! {
            () = publisher.run() => {}
            _ = stopped.changed() => {}
        }
    });
}

/// What has been published, to publish changes only.
struct MirrorPublisher {
    settings: MirrorSettings,
    status: Arc<StatusBoard>,
    /// The verdict and whale of each sighting; `None` until the sightings of an earlier run are known.
    sightings: Option<HashMap<Uuid, (&'static str, Option<String>)>>,
}

impl MirrorPublisher {
    fn new(settings: MirrorSettings, status: Arc<StatusBoard>) -> Self {
        Self {
            settings,
            status,
            sightings: None,
        }
    }

    async fn run(&mut self) {
        let random = StdRng::try_from_rng(&mut SysRng).unwrap_or_else(|_| StdRng::seed_from_u64(0));
        let mut backoff = Backoff::new(MAX_BACKOFF, Box::new(random));
        let mut reported = false;
        loop {
            let error = match self.connect().await {
                Ok(connection) => {
                    tracing::info!(broker = %self.broker(), "mirror connected");
                    backoff.reset();
                    reported = false;
                    self.publish_all(connection).await.err()
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error.filter(|_| !reported) {
                tracing::warn!(broker = %self.broker(), error, "mirror disconnected; reconnecting");
                reported = true;
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    fn broker(&self) -> String {
        flukewatch_common::broker_url::redact(&self.settings.section.broker)
    }

    async fn connect(&self) -> Result<Connection, String> {
        let access = self.settings.section.access().map_err(|e| e.to_string())?;
        let client = format!("flukewatch-mirror-{}", self.settings.boat);
        let settings = Settings {
            tls: access.tls,
            ..Settings::new(access.broker, client)
        };
        let will = Will {
            topic: self.settings.topic("available"),
            payload: "offline".into(),
        };
        let connected = Dialer::new(settings).connect(Some(will)).await;
        connected.map_err(|e| e.to_string())
    }

    /// Publishes until the connection ends.
    async fn publish_all(&mut self, mut connection: Connection) -> Result<(), String> {
        self.announce(&connection)
            .await
            .map_err(|e| e.to_string())?;
        let mut published = None;
        let mut last = None;
        loop {
            self.publish_status(&connection, &mut published).await?;
            self.publish_sightings(&connection, &mut last).await?;
            let next = Instant::now() + self.settings.section.interval();
            loop {
                tokio::select! {
                    () = sleep_until(next) => break,
                    event = connection.event() => event.map(drop).map_err(|e| e.to_string())?,
                }
            }
        }
    }

    async fn announce(&self, connection: &Connection) -> Result<(), MqttError> {
        let section = &self.settings.section;
        let online = Outgoing::at_least_once(self.settings.topic("available"), "online");
        connection
            .publisher()
            .publish(online.retained(), None)
            .await?;
        if !section.home_assistant.is_empty() {
            let (topic, content) =
                discovery::message(&section.home_assistant, &section.topic, &self.settings.boat);
            let message = Outgoing::at_least_once(topic, content.to_string());
            connection
                .publisher()
                .publish(message.retained(), None)
                .await?;
        }
        Ok(())
    }

    async fn publish_status(
        &self,
        connection: &Connection,
        published: &mut Option<String>,
    ) -> Result<(), String> {
        let Some(health) = self.status.to_report() else {
            return Ok(());
        };
        let status = json(&MirrorStatus::of(&health))?;
        if published.as_ref() != Some(&status) {
            self.publish(connection, "status", &status, true).await?;
            *published = Some(status);
        }
        Ok(())
    }

    async fn publish_sightings(
        &mut self,
        connection: &Connection,
        last: &mut Option<String>,
    ) -> Result<(), String> {
        let Some(folder) = self.status.outbox() else {
            return Ok(());
        };
        let read = tokio::task::spawn_blocking(move || outbox::recent(&folder, SIGHTINGS)).await;
        let recent = match read {
            Ok(Ok(recent)) => recent,
            // The outbox reports its own faults.
            Ok(Err(error)) => {
                tracing::debug!(%error, "mirror cannot read the outbox");
                return Ok(());
            }
            Err(error) => return Err(error.to_string()),
        };
        let newest_first: Vec<_> = recent.into_iter().map(ListedSighting::of).collect();
        let verdicts = newest_first
            .iter()
            .map(|s| (s.id, (s.verdict, s.whale.clone())))
            .collect();
        // Those of an earlier run are not news.
        if let Some(known) = self.sightings.replace(verdicts) {
            for sighting in newest_first.iter().rev() {
                let verdict = (sighting.verdict, sighting.whale.clone());
                if known.get(&sighting.id) != Some(&verdict) {
                    self.publish(connection, "sighting", &json(sighting)?, false)
                        .await?;
                }
            }
        }
        let newest = newest_first.first().map(json).transpose()?;
        if let Some(newest) = newest.filter(|newest| last.as_ref() != Some(newest)) {
            self.publish(connection, "last_sighting", &newest, true)
                .await?;
            *last = Some(newest);
        }
        Ok(())
    }

    async fn publish(
        &self,
        connection: &Connection,
        topic: &str,
        content: &str,
        retain: bool,
    ) -> Result<(), String> {
        let message = Outgoing {
            retain,
            ..Outgoing::at_least_once(self.settings.topic(topic), content.to_owned())
        };
        let published = connection.publisher().publish(message, None).await;
        published.map_err(|e| e.to_string())
    }
}

fn json(content: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(content).map_err(|e| e.to_string())
}
