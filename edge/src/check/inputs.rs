//! Checks the cameras and the GNSS receiver.

use super::outcome::CheckResult;
use crate::backoff::Backoff;
use crate::cancellation::CancellationToken;
use crate::capture::{self, CameraAddress, device::DeviceError, negotiate};
use crate::config::{CameraSection, Config, SourceKind};
use crate::position::{Fix, FixAssembler, GnssClient, PositionHistory};
use crate::source::{Replay, ReplaySettings, SourceError, Unpaced};
use crate::time::{MonotonicClock, MonotonicTimestamp, SystemMonotonicClock, UtcClock};
use flukewatch_common::clock::SystemClock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the receiver is read: it repeats every sentence about once a second.
const LISTEN: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(20);

/// Checks that each camera or replay can be opened, and describes it.
pub(super) fn cameras(config: &Config) -> Vec<CheckResult> {
    let several = config.cameras.len() > 1;
    let named = |camera: &CameraSection, message: String| {
        if several {
            format!("'{}': {message}", camera.name)
        } else {
            message
        }
    };
    let results = config.cameras.iter().map(|camera| {
        let found = if camera.is_live() {
            live(camera).map_err(|e| e.to_string())
        } else {
            replay(camera).map_err(|e| e.to_string())
        };
        match found {
            Ok(message) => CheckResult::pass("camera", named(camera, message)),
            Err(message) => CheckResult::fail("camera", named(camera, message)),
        }
    });
    results.collect()
}

fn live(camera: &CameraSection) -> Result<String, DeviceError> {
    let settings = camera.live();
    let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock);
    let mut device = capture::open(&settings.address, &clock, &CancellationToken::default())?;
    let mode = negotiate::best_mode(&device.formats()?, settings.requested).ok_or_else(|| {
        DeviceError::Unusable(
            "none of its formats is supported; `flukewatch-edge cameras` lists them".into(),
        )
    })?;
    // What these send is unknown until they run.
    let mode = match settings.address {
        CameraAddress::Pipeline(_) | CameraAddress::Rtsp(_) => {
            device.start(&mode, &settings.controls)?.mode
        }
        CameraAddress::Device(_) => mode,
    };
    Ok(format!("{}: {}, {mode}", settings.address, device.name()))
}

fn replay(camera: &CameraSection) -> Result<String, SourceError> {
    let stop = CancellationToken::default();
    let settings = ReplaySettings {
        videos: camera.source == SourceKind::Replay,
        start: MonotonicTimestamp(0),
        rate: camera.frames_per_second,
        pacer: Box::new(Unpaced(stop.clone())),
        stop,
    };
    let path = camera.path.display();
    Ok(match Replay::open(&camera.path, settings)? {
        Replay::Video(video) => format!("{path}: video of {} frames/s", video.rate()),
        Replay::Images(images) => format!("{path}: {} frames", images.remaining()),
    })
}

/// Reads from the receiver for a moment.
pub(super) fn position(config: &Config) -> CheckResult {
    let Some((connector, protocol)) = config.position.receiver() else {
        return CheckResult::pass(
            "position",
            "no GNSS receiver configured: sightings have no position",
        );
    };
    let name = connector.to_string();
    let clock: Arc<dyn MonotonicClock> = Arc::new(SystemMonotonicClock);
    let utc_clock = Arc::new(UtcClock::new(Arc::new(SystemClock), clock.clone()));
    let positions = Arc::new(PositionHistory::new(config.position.max_fix_age(), true));
    let stop = CancellationToken::default();
    let receiver = GnssClient {
        connector,
        protocol,
        timeout: LISTEN,
        fix_assembler: FixAssembler::new(positions.clone(), utc_clock.clone()),
        positions: positions.clone(),
        clock: clock.clone(),
        // One attempt: the backoff outlasts the check.
        backoff: Backoff::new(LISTEN, Box::new(StdRng::seed_from_u64(0))),
        stop: stop.clone(),
    };
    let listening = std::thread::spawn(move || receiver.run());
    let started = Instant::now();
    while positions.last().is_none() && started.elapsed() < LISTEN {
        let health = positions.health(&*clock);
        // Sentences without a checksum do not end the connection; others may follow.
        if health.trouble.is_some() && health.without_checksum == 0 {
            break;
        }
        std::thread::sleep(POLL);
    }
    stop.cancel();
    let health = positions.health(&*clock);
    drop(listening);
    match (positions.last(), health.trouble) {
        (Some(fix), _) => {
            let date = utc_clock
                .status()
                .implausible_time
                .map(|time| format!("; its time {time} is implausible and ignored"))
                .unwrap_or_default();
            CheckResult::pass("position", format!("{name}: {}{date}", describe(&fix)))
        }
        (None, Some(trouble)) => CheckResult::fail("position", trouble),
        (None, None) if health.sentences > 0 => CheckResult::pass(
            "position",
            format!("{name}: sentences received, no fix yet"),
        ),
        (None, None) => {
            let seconds = LISTEN.as_secs();
            CheckResult::fail(
                "position",
                format!("{name}: no sentence within {seconds} s"),
            )
        }
    }
}

fn describe(fix: &Fix) -> String {
    let Fix {
        latitude,
        longitude,
        quality,
        ..
    } = fix;
    format!(
        "fix at {latitude:.4}, {longitude:.4} ({})",
        quality.as_str()
    )
}
