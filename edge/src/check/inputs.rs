//! Whether cameras and receiver are there.

use super::Finding;
use crate::backoff::Backoff;
use crate::capture::{self, Place, device::DeviceError, negotiate};
use crate::config::{CameraSection, Config, SourceKind};
use crate::position::{Fix, Navigator, Positions, Receiver};
use crate::source::{Film, PictureFiles, SourceError, Unpaced, film};
use crate::stop::Stop;
use crate::time::{MachineSteadyClock, Moment, SteadyClock, Timekeeper};
use flukewatch_common::clock::SystemClock;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a receiver is listened to: it says everything about once a second.
const LISTEN: Duration = Duration::from_secs(4);
const NAP: Duration = Duration::from_millis(20);

/// Looks at each camera.
pub(super) fn cameras(config: &Config) -> Vec<Finding> {
    let several = config.cameras.len() > 1;
    let named = |camera: &CameraSection, says: String| {
        if several {
            format!("'{}': {says}", camera.name)
        } else {
            says
        }
    };
    let looked_at = config.cameras.iter().map(|camera| {
        let found = if camera.is_live() {
            live(camera).map_err(|e| e.to_string())
        } else {
            replay(camera).map_err(|e| e.to_string())
        };
        match found {
            Ok(says) => Finding::good("camera", named(camera, says)),
            Err(says) => Finding::fault("camera", named(camera, says)),
        }
    });
    looked_at.collect()
}

fn live(camera: &CameraSection) -> Result<String, DeviceError> {
    let settings = camera.live();
    let clock: Arc<dyn SteadyClock> = Arc::new(MachineSteadyClock);
    let mut device = capture::open(&settings.place, &clock, &Stop::default())?;
    let mode = negotiate::best(&device.offers()?, settings.wanted).ok_or_else(|| {
        DeviceError::Refused(
            "it sends nothing that is read; `flukewatch-edge cameras` lists those that do".into(),
        )
    })?;
    // What a pipeline sends is not known before it does.
    let mode = match settings.place {
        Place::Pipeline(_) => device.start(&mode, &settings.controls)?.mode,
        Place::Device(_) => mode,
    };
    Ok(format!("{}: {}, {mode}", settings.place, device.name()))
}

fn replay(camera: &CameraSection) -> Result<String, SourceError> {
    let ticker = Box::new(Unpaced(Stop::default()));
    let (path, rate) = (&camera.path, camera.frames_per_second);
    if camera.source == SourceKind::Replay && film::is_film(path)? {
        let film = Film::open(path, Moment(0), rate, ticker)?;
        return Ok(format!(
            "{}: a film of {} frames a second",
            path.display(),
            film.rate()
        ));
    }
    let pictures = PictureFiles::open(path, Moment(0), rate, ticker)?;
    Ok(format!(
        "{}: {} frames",
        path.display(),
        pictures.remaining()
    ))
}

/// Listens to the receiver for a moment.
pub(super) fn position(config: &Config) -> Finding {
    let Some((dial, protocol)) = config.position.receiver() else {
        return Finding::good(
            "position",
            "none is configured: sightings say when, and not where".into(),
        );
    };
    let name = dial.to_string();
    let clock: Arc<dyn SteadyClock> = Arc::new(MachineSteadyClock);
    let keeper = Arc::new(Timekeeper::new(Arc::new(SystemClock), clock.clone()));
    let positions = Arc::new(Positions::new(config.position.longest_age(), true));
    let stop = Stop::default();
    let receiver = Receiver {
        dial,
        protocol,
        silent_after: LISTEN,
        navigator: Navigator::new(positions.clone(), keeper),
        positions: positions.clone(),
        clock: clock.clone(),
        // One attempt is enough: after it, it waits until the check is over.
        backoff: Backoff::new(LISTEN, Box::new(StdRng::seed_from_u64(0))),
        stop: stop.clone(),
    };
    let listening = std::thread::spawn(move || receiver.run());
    let started = Instant::now();
    while positions.last().is_none() && started.elapsed() < LISTEN {
        if positions.health(&*clock).trouble.is_some() {
            break;
        }
        std::thread::sleep(NAP);
    }
    stop.ask();
    let health = positions.health(&*clock);
    drop(listening);
    match (positions.last(), health.trouble) {
        (Some(fix), _) => Finding::good("position", format!("{name}: {}", told(&fix))),
        (None, Some(trouble)) => Finding::fault("position", trouble),
        (None, None) if health.sentences > 0 => Finding::good(
            "position",
            format!("{name}: it is heard, and does not know yet where it is"),
        ),
        (None, None) => {
            let seconds = LISTEN.as_secs();
            Finding::fault(
                "position",
                format!("{name}: no sentence within {seconds} s"),
            )
        }
    }
}

fn told(fix: &Fix) -> String {
    let Fix {
        latitude,
        longitude,
        quality,
        ..
    } = fix;
    format!(
        "a fix at latitude {latitude:.4}, longitude {longitude:.4} ({})",
        quality.as_str()
    )
}
