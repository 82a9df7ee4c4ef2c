//! Counters shared by all parts of the boat.

use super::configuration::ConfigurationHealth;
use super::settings::SettingsHealth;
use crate::time::MonotonicTimestamp;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What has happened since the process started.
#[derive(Debug, Default)]
pub struct Counters {
    frames: AtomicU64,
    broken_frames: AtomicU64,
    encounters: AtomicU64,
    failed_encounters: AtomicU64,
    accepted: AtomicU64,
    identified: AtomicU64,
    in_memory: AtomicU64,
    dropped_sightings: AtomicU64,
    unrecorded: Mutex<Unrecorded>,
    sent: AtomicU64,
    retried: AtomicU64,
    acknowledged: AtomicU64,
    rejected: AtomicU64,
    invalid_signatures: AtomicU64,
    in_flight: AtomicU64,
    reloads: AtomicU64,
    broker_connected: AtomicBool,
    twin: AtomicBool,
    outbox_replaced: AtomicBool,
    missing_clip_frames: Arc<AtomicU64>,
    configuration: Mutex<ConfigurationHealth>,
    settings: Mutex<Option<SettingsHealth>>,
}

/// Encounters that were seen and could not be recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unrecorded {
    /// How many.
    pub encounters: u64,
    /// When the latest of them began, at most [`MAX_TIMES`], oldest first.
    pub started: VecDeque<MonotonicTimestamp>,
}

/// The most times of encounters that were not recorded.
const MAX_TIMES: usize = 20;

/// A reading of [`Counters`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) frames: u64,
    pub(super) broken_frames: u64,
    pub(super) encounters: u64,
    pub(super) failed_encounters: u64,
    pub(super) accepted: u64,
    pub(super) identified: u64,
    pub(super) in_memory: u64,
    pub(super) dropped_sightings: u64,
    pub(super) sent: u64,
    pub(super) retried: u64,
    pub(super) acknowledged: u64,
    pub(super) rejected: u64,
    pub(super) invalid_signatures: u64,
    pub(super) reloads: u64,
    pub(super) missing_clip_frames: u64,
}

impl Counters {
    /// Counts a frame, valid or not.
    pub fn frame(&self) {
        self.frames.fetch_add(1, Relaxed);
    }

    /// Counts a frame that could not be used.
    pub fn broken_frame(&self) {
        self.broken_frames.fetch_add(1, Relaxed);
    }

    /// Counts an encounter that ended.
    pub fn encounter(&self) {
        self.encounters.fetch_add(1, Relaxed);
    }

    /// Counts an encounter that could not be identified.
    pub fn failed_encounter(&self) {
        self.failed_encounters.fetch_add(1, Relaxed);
    }

    /// Counts an encounter that was identified.
    pub fn identified(&self) {
        self.identified.fetch_add(1, Relaxed);
    }

    /// Encounters that could not be identified.
    pub fn failed_encounters(&self) -> u64 {
        self.failed_encounters.load(Relaxed)
    }

    /// Encounters that were identified.
    pub fn identified_encounters(&self) -> u64 {
        self.identified.load(Relaxed)
    }

    /// Counts an encounter that could not be recorded; it began at `started`.
    pub fn unrecorded(&self, started: MonotonicTimestamp) {
        let mut unrecorded = self.lock_unrecorded();
        unrecorded.encounters += 1;
        if unrecorded.started.len() == MAX_TIMES {
            unrecorded.started.pop_front();
        }
        unrecorded.started.push_back(started);
    }

    /// The encounters that could not be recorded.
    pub fn unrecorded_encounters(&self) -> Unrecorded {
        self.lock_unrecorded().clone()
    }

    /// Counts frames that are missing from clips.
    pub fn missing_clip_frames(&self) -> Arc<AtomicU64> {
        self.missing_clip_frames.clone()
    }

    fn lock_unrecorded(&self) -> MutexGuard<'_, Unrecorded> {
        self.unrecorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a sighting that the outbox accepted.
    pub fn accepted(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// Sets how many sightings wait in memory for the outbox.
    pub fn set_in_memory(&self, sightings: usize) {
        self.in_memory.store(sightings as u64, Relaxed);
    }

    /// Counts sightings that were dropped because the outbox rejected them.
    pub fn dropped(&self, sightings: u64) {
        self.dropped_sightings.fetch_add(sightings, Relaxed);
    }

    /// Counts messages handed to the broker.
    pub fn sent(&self, messages: u64) {
        self.sent.fetch_add(messages, Relaxed);
    }

    /// Counts messages that were not acknowledged in time and are sent again.
    pub fn retried(&self, messages: u64) {
        self.retried.fetch_add(messages, Relaxed);
    }

    /// Counts messages that shore acknowledged.
    pub fn acknowledged(&self, messages: u64) {
        self.acknowledged.fetch_add(messages, Relaxed);
    }

    /// Counts messages that shore rejected.
    pub fn rejected(&self, messages: u64) {
        self.rejected.fetch_add(messages, Relaxed);
    }

    /// Counts a message for this boat that has no valid signature, or an acknowledgement of other content
    /// than the boat's. Returns how many there were.
    pub fn invalid_signature(&self) -> u64 {
        self.invalid_signatures.fetch_add(1, Relaxed) + 1
    }

    /// Sets how many messages are in flight.
    pub fn set_in_flight(&self, messages: usize) {
        self.in_flight.store(messages as u64, Relaxed);
    }

    /// Counts a configuration that was applied by a reload.
    pub fn reloaded(&self) {
        self.reloads.fetch_add(1, Relaxed);
    }

    /// Frames that could be used.
    pub fn usable_frames(&self) -> u64 {
        let frames = self.frames.load(Relaxed);
        frames.saturating_sub(self.broken_frames.load(Relaxed))
    }

    /// Sets the configuration in use.
    pub fn set_configuration(&self, configuration: ConfigurationHealth) {
        *self
            .configuration
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = configuration;
    }

    /// The configuration in use.
    pub fn configuration(&self) -> ConfigurationHealth {
        let held = self.configuration.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets what has become of the settings from shore.
    pub fn set_settings(&self, settings: Option<SettingsHealth>) {
        *self.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    }

    /// What has become of the settings from shore; `None` where none has arrived.
    pub fn settings(&self) -> Option<SettingsHealth> {
        let held = self.settings.lock();
        held.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets whether the broker is connected.
    pub fn set_connected(&self, connected: bool) {
        self.broker_connected.store(connected, Relaxed);
    }

    /// Sets whether another computer sends under this boat's name. Returns the previous value.
    pub fn set_twin(&self, twin: bool) -> bool {
        self.twin.swap(twin, Relaxed)
    }

    /// Whether another computer sends under this boat's name.
    pub fn has_twin(&self) -> bool {
        self.twin.load(Relaxed)
    }

    /// Notes that a damaged outbox was replaced: the session has to open the new one.
    pub fn outbox_replaced(&self) {
        self.outbox_replaced.store(true, Relaxed);
    }

    /// Whether a damaged outbox was replaced since the last call.
    pub fn take_outbox_replaced(&self) -> bool {
        self.outbox_replaced.swap(false, Relaxed)
    }

    /// Frames that were searched, valid or not.
    pub fn frames(&self) -> u64 {
        self.frames.load(Relaxed)
    }

    /// Sightings that the outbox accepted.
    pub fn accepted_sightings(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Sightings that wait in memory for the outbox.
    pub fn in_memory(&self) -> u64 {
        self.in_memory.load(Relaxed)
    }

    /// Messages sent and not acknowledged yet.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Whether the broker is connected.
    pub fn is_connected(&self) -> bool {
        self.broker_connected.load(Relaxed)
    }

    pub(super) fn read(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Relaxed);
        Counted {
            frames: read(&self.frames),
            broken_frames: read(&self.broken_frames),
            encounters: read(&self.encounters),
            failed_encounters: read(&self.failed_encounters),
            accepted: read(&self.accepted),
            identified: read(&self.identified),
            in_memory: read(&self.in_memory),
            dropped_sightings: read(&self.dropped_sightings),
            sent: read(&self.sent),
            retried: read(&self.retried),
            acknowledged: read(&self.acknowledged),
            rejected: read(&self.rejected),
            invalid_signatures: read(&self.invalid_signatures),
            reloads: read(&self.reloads),
            missing_clip_frames: read(&self.missing_clip_frames),
        }
    }
}
