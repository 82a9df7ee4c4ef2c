use super::*;
use crate::cancellation::CancellationToken;
use crate::config::{Config, EngineSection};
use crate::health::Health;
use crate::models::ModelsError;
use crate::outbox::Listing;
use crate::sample::fake::FakeShim;
use crate::sample::{self, Shore};
use flukewatch_common::brief::Brief;
use flukewatch_common::decision::Verdict;
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_test_support::mosquitto::Mosquitto;
use std::path::Path;
use std::time::{Duration, Instant};

/// A boat's folder with the stills of `whales` and a configuration.
fn boat(folder: &Path, whales: impl Iterator<Item = u32>, broker: &str, playback: &str) -> Config {
    sample::bundle(3)
        .save(&folder.join("whales.flukebundle"))
        .unwrap();
    let frames = folder.join("frames");
    let _ = std::fs::remove_dir_all(&frames);
    std::fs::create_dir(&frames).unwrap();
    for (i, whale) in whales.enumerate() {
        sample::fluke(whale)
            .save(frames.join(format!("{i:06}.png")))
            .unwrap();
    }
    let text = format!(
        "[boat]\nname = \"balaena\"\n[bundle]\npath = \"whales.flukebundle\"\nallow_unsigned = true\n\
         [camera]\nsource = \"stills\"\npath = \"frames\"\nframes_per_second = 25.0\nplayback = \"{playback}\"\n\
         [outbox]\npath = \"outbox\"\n\
         [uplink]\nbroker = \"{broker}\"\nack_timeout_seconds = 0.5\nmax_backoff_seconds = 0.5\n"
    );
    let file = folder.join("edge.toml");
    std::fs::write(&file, text).unwrap();
    Config::load(&file).unwrap()
}

fn until(seconds: u64) -> RunOptions {
    RunOptions {
        until_delivered: Some(Duration::from_secs(seconds)),
    }
}

#[test]
fn a_broker_that_dies_and_comes_back_loses_nothing() {
    let Some(mut broker) = Mosquitto::start("") else {
        return;
    };
    let shore = Shore::start(broker.port());
    let folder = tempfile::tempdir().unwrap();
    let sightings = 40;
    let config = boat(
        folder.path(),
        (0..sightings).map(|i| i % 5),
        &broker.url(),
        "real-time",
    );
    let work = std::thread::spawn(move || run(&config, until(120), &CancellationToken::default()));
    for few in [5, 20] {
        let started = Instant::now();
        while shore.counts().0 < few {
            assert!(
                started.elapsed() < Duration::from_secs(100),
                "shore has {:?}",
                shore.counts()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        broker.kill();
        std::thread::sleep(Duration::from_millis(300));
        broker.restart();
    }
    let finished = work.join().unwrap().unwrap();
    assert!(!finished.undelivered, "{:?}", finished.health);
    assert_eq!(finished.health.accepted, u64::from(sightings));
    assert_eq!(shore.counts(), (sightings as usize, sightings as usize));
    let stored = shore.stored.lock().unwrap();
    let mut sequences: Vec<u64> = stored.sightings.values().map(|s| s.sequence).collect();
    sequences.sort_unstable();
    assert_eq!(
        sequences,
        (1..=u64::from(sightings)).collect::<Vec<_>>(),
        "without a gap"
    );
    for sighting in stored.sightings.values() {
        assert_eq!(
            stored.pictures[&sighting.id], sighting.picture.sha256,
            "the picture is the one announced"
        );
        let number = (sighting.sequence - 1) % 5;
        let expected = if number < 3 {
            Verdict::Known {
                whale: format!("W{number}"),
            }
        } else {
            Verdict::New
        };
        assert_eq!(sighting.verdict, expected);
    }
    assert!(
        stored.messages > 2 * sightings as usize,
        "some acknowledgements were lost, so some messages arrived twice"
    );
    assert_eq!(
        std::fs::read_dir(folder.path().join("outbox/pictures"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn far_out_only_identities_are_sent_and_the_rest_in_harbour() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let shore = Shore::start(broker.port());
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..2, &broker.url(), "fast");
    let link = folder.path().join("link");
    std::fs::write(&link, "iridium\n").unwrap();
    config.uplink.link_file.clone_from(&link);
    let outbox = config.outbox.path.clone();
    let work = std::thread::spawn(move || run(&config, until(120), &CancellationToken::default()));
    let started = Instant::now();
    while shore.stored.lock().unwrap().briefs.len() < 2 {
        assert!(started.elapsed() < Duration::from_secs(100));
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(shore.counts(), (0, 0));
    let budget = std::fs::read_to_string(outbox.join("link-budget.json")).unwrap();
    assert!(budget.starts_with("{\"iridium\":["), "{budget}");
    std::fs::write(&link, "harbour").unwrap();
    let finished = work.join().unwrap().unwrap();
    assert!(!finished.undelivered, "{:?}", finished.health);
    assert_eq!(shore.counts(), (2, 2));
    assert_eq!(finished.health.link.selected_by, "link_file");
    let stored = shore.stored.lock().unwrap();
    for (id, brief) in &stored.briefs {
        let sighting = &stored.sightings[id];
        assert_eq!(brief.sequence, sighting.sequence);
        assert_eq!(*brief, Brief::of(sighting));
    }
}

#[test]
fn what_shore_rejects_is_a_dead_letter_and_holds_nothing_up() {
    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let shore = Shore::rejecting(broker.port(), |sighting| sighting.sequence <= 60);
    let folder = tempfile::tempdir().unwrap();
    let whales = (0..70).map(|i| i % 5);
    let config = boat(folder.path(), whales, &broker.url(), "fast");
    let finished = run(&config, until(120), &CancellationToken::default()).unwrap();
    assert!(!finished.undelivered, "{:?}", finished.health);
    assert_eq!(
        (finished.health.accepted, finished.health.dead_letters),
        (70, 60)
    );
    assert_eq!(shore.counts(), (10, 70));
    let listing = Listing::read(&config.outbox.path).unwrap();
    let reason = listing.dead_letters[0].reason.as_deref().unwrap();
    assert!(
        reason.starts_with("shore rejected it: invalid: a test."),
        "{reason}"
    );
}

#[test]
fn messages_pending_without_a_broker_are_sent_by_the_next_run() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens there: the port was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = boat(
        folder.path(),
        0..4,
        &format!("mqtt://127.0.0.1:{free}"),
        "fast",
    );
    let finished = run(&config, until(1), &CancellationToken::default()).unwrap();
    assert!(finished.undelivered);
    assert_eq!(
        (
            finished.health.pending_sightings,
            finished.health.pending_pictures
        ),
        (4, 4)
    );
    let health: Health =
        serde_json::from_slice(&std::fs::read(config.outbox.path.join("health.json")).unwrap())
            .unwrap();
    assert_eq!(health, finished.health);

    let Some(broker) = Mosquitto::start("") else {
        return;
    };
    let shore = Shore::start(broker.port());
    let config = boat(folder.path(), 0..1, &broker.url(), "fast");
    let finished = run(&config, until(60), &CancellationToken::default()).unwrap();
    assert!(!finished.undelivered, "{:?}", finished.health);
    assert_eq!(shore.counts(), (5, 5));
    let listing = Listing::read(&config.outbox.path).unwrap();
    assert_eq!(
        (listing.accepted, listing.pending, listing.dead_letters),
        (5, vec![], vec![])
    );
}

#[test]
fn a_cancelled_run_ends_with_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..3, "mqtt://127.0.0.1:1", "real-time");
    config.cameras[0].frames_per_second = 0.01;
    let stop = CancellationToken::default();
    let asked = stop.clone();
    let work = std::thread::spawn(move || run(&config, RunOptions::default(), &asked));
    let started = Instant::now();
    while Listing::read(&folder.path().join("outbox")).map_or(0, |l| l.accepted) < 1 {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the first still is never reported"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    stop.cancel();
    let finished = work.join().unwrap().unwrap();
    assert_eq!((finished.health.accepted, finished.undelivered), (1, false));
}

#[test]
fn a_damaged_bundle_is_named_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), 0..1, "mqtt://127.0.0.1:1", "fast");
    let mut bytes = std::fs::read(&config.bundle.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&config.bundle.path, bytes).unwrap();
    let said = run(&config, until(1), &CancellationToken::default()).unwrap_err();
    assert!(
        matches!(said, SessionError::Models(ModelsError::Bundle(_))),
        "{said}"
    );
    assert!(said.to_string().contains("whales.flukebundle"), "{said}");
    assert!(!config.outbox.path.exists());
}

/// Waits for a run's health document to say something.
fn until_health(config: &Config, wanted: impl Fn(&Health) -> bool) -> Health {
    let started = Instant::now();
    loop {
        let read = std::fs::read(config.outbox.path.join("health.json")).unwrap_or_default();
        if let Ok(health) = serde_json::from_slice::<Health>(&read)
            && wanted(&health)
        {
            return health;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{}",
            String::from_utf8_lossy(&read)
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A boat with a fake TensorRT.
fn with_tensorrt(config: &mut Config, fake: &FakeShim, choice: EngineChoice) {
    config.engine = EngineSection {
        backend: choice,
        shims: fake.shims(),
        plans: fake.plans(),
        ..EngineSection::default()
    };
}

#[test]
fn tensorrt_runs_the_model_and_is_in_health() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..4, "mqtt://127.0.0.1:1", "fast");
    let fake = FakeShim::new(&[]);
    with_tensorrt(&mut config, &fake, EngineChoice::TensorRt);
    let health = run(&config, until(0), &CancellationToken::default())
        .unwrap()
        .health;
    assert_eq!(health.engine, "TensorRT 10.3.0.72 f32 on Fake Orin");
    assert_eq!(
        (health.accepted, &*health.accelerator),
        (4, "active"),
        "{health:?}"
    );
}

#[test]
fn tensorrt_runs_the_detector_and_is_in_health() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..4, "mqtt://127.0.0.1:1", "fast");
    sample::bundle_with_detector(3)
        .save(&folder.path().join("whales.flukebundle"))
        .unwrap();
    let fake = FakeShim::new(&[]);
    with_tensorrt(&mut config, &fake, EngineChoice::TensorRt);
    let stop = CancellationToken::default();
    let health = run(&config, until(0), &stop).unwrap().health;
    let detector = health.detector.unwrap();
    assert_eq!(detector.engine, "TensorRT 10.3.0.72 f32 on Fake Orin");
    assert_eq!(detector.accelerator, "active");
    assert_eq!((detector.frames, detector.errors), (4, 0));
    assert!(detector.mean_milliseconds.is_some());
    assert_eq!(fake.built(), "dm", "the detector's plan comes first");
    assert_eq!(health.cameras[0].searched, 4);
    // Without the detector, its engine is not opened.
    config.detector.enabled = false;
    let health = run(&config, until(0), &stop).unwrap().health;
    assert_eq!(health.detector, None);
}

#[test]
fn a_detector_whose_tensorrt_disagrees_stays_in_tract() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..4, "mqtt://127.0.0.1:1", "real-time");
    sample::bundle_with_detector(3)
        .save(&folder.path().join("whales.flukebundle"))
        .unwrap();
    config.cameras[0].frames_per_second = 2.0;
    let fake = FakeShim::new(&[("FAKE_DETECTOR_NUMBER", "v + 1")]);
    with_tensorrt(&mut config, &fake, EngineChoice::Auto);
    let stop = CancellationToken::default();
    let detector = run(&config, until(0), &stop).unwrap().health.detector;
    let detector = detector.unwrap();
    assert!(detector.engine.starts_with("tract "), "{detector:?}");
    let unavailable = detector
        .accelerator
        .starts_with("unavailable: TensorRT and tract disagree");
    assert!(
        unavailable || detector.accelerator == "preparing",
        "{detector:?}"
    );
    assert_eq!(detector.errors, 0);
}

#[test]
fn tract_serves_while_a_plan_is_built() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..4, "mqtt://127.0.0.1:1", "fast");
    let fake = FakeShim::new(&[("FAKE_GATE", "")]);
    with_tensorrt(&mut config, &fake, EngineChoice::Auto);
    let stop = CancellationToken::default();
    let work = {
        let (config, stop) = (config.clone(), stop.clone());
        std::thread::spawn(move || run(&config, RunOptions::default(), &stop))
    };
    until_health(&config, |h| h.accelerator == "preparing");
    while Listing::read(&config.outbox.path).map_or(0, |l| l.accepted) < 4 {
        std::thread::sleep(Duration::from_millis(20));
    }
    // The session ends before the plan is built, and does not wait for it.
    stop.cancel();
    let health = work.join().unwrap().unwrap().health;
    assert!(health.engine.starts_with("tract "), "{health:?}");
    assert_eq!(health.accepted, 4);
    assert!(!fake.gate().exists());
}

#[test]
fn a_failing_gpu_loses_no_sighting() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..4, "mqtt://127.0.0.1:1", "real-time");
    // Enough inferences for the trial at load, the drawn flukes and two whales.
    let fake = FakeShim::new(&[("FAKE_RUNS", "11")]);
    with_tensorrt(&mut config, &fake, EngineChoice::Auto);
    config.cameras[0].frames_per_second = 2.0;
    let finished = run(&config, until(0), &CancellationToken::default()).unwrap();
    let health = finished.health;
    assert_eq!((health.accepted, health.failed_encounters), (4, 0));
    assert!(
        health.engine.starts_with("tract ") || health.accelerator == "active",
        "{health:?}"
    );
}

#[test]
fn tensorrt_required_and_missing_prevents_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = boat(folder.path(), 0..1, "mqtt://127.0.0.1:1", "fast");
    let fake = FakeShim::new(&[("FAKE_OPEN", "FLUKEWATCH_TRT_NO_DRIVER")]);
    with_tensorrt(&mut config, &fake, EngineChoice::TensorRt);
    let said = run(&config, until(0), &CancellationToken::default()).unwrap_err();
    assert!(
        matches!(said, SessionError::Models(ModelsError::Engine { .. })),
        "{said}"
    );
    assert!(said.to_string().contains("tensorrt"), "{said}");
    assert!(!config.outbox.path.exists());
}
