use super::*;
use crate::clip::ClipDescription;
use crate::outbox::{Listing, NewEpoch};
use crate::sample;
use crate::time::MonotonicTimestamp;
use flukewatch_common::clock::Timestamp;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use std::path::Path;
use uuid::Uuid;

/// A dark sea with bright areas whose left edges are at these columns.
fn frame(areas: &[u32]) -> Vec<u8> {
    let image = RgbImage::from_fn(160, 90, |x, y| {
        let bright = areas.iter().any(|left| (*left..left + 40).contains(&x));
        Rgb([if bright && (25..65).contains(&y) {
            240
        } else {
            20
        }; 3])
    });
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 90)
        .encode_image(&image)
        .unwrap();
    file
}

/// A boat with one camera, the bundle whose detector finds bright areas, and a clip of these frames, 100 ms apart.
fn boat(folder: &Path, frames: &[Vec<u8>]) -> Config {
    sample::bundle_with_detector(3)
        .save(&folder.join("whales"))
        .unwrap();
    let text = "[boat]\nname = \"balaena\"\n[bundle]\npath = \"whales\"\nallow_unsigned = true\n\
         [camera]\nname = \"bow\"\nsource = \"v4l2\"\npath = \"/dev/video99\"\n\
         [outbox]\npath = \"outbox\"\n[uplink]\nbroker = \"mqtt://127.0.0.1:9\"\n";
    let file = folder.join("edge.toml");
    std::fs::write(&file, text).unwrap();
    let config = Config::load(&file).unwrap();
    let fresh = NewEpoch {
        id: Uuid::from_u128(1 << 64),
        now: Timestamp(1_795_450_800_000),
    };
    drop(Outbox::open(&config.outbox.path, &sample::boat(), 1 << 30, fresh).unwrap());
    let clips = ClipFolder::of(&config.outbox.path);
    std::fs::create_dir_all(clips.path()).unwrap();
    let description = ClipDescription {
        camera: "bow".into(),
        session: Uuid::from_u128(4),
        started: "2026-11-23T16:20:00.000Z".into(),
        first_frame: MonotonicTimestamp::from_millis(5000),
        frames: (0..frames.len() as u32).map(|i| i * 100).collect(),
        width: 160,
        height: 90,
        written: 1,
    };
    let video = clips.path().join("bow-1.avi");
    std::fs::write(&video, frames.concat()).unwrap();
    let text = serde_json::to_vec(&description).unwrap();
    std::fs::write(video.with_extension("json"), text).unwrap();
    config
}

fn run(config: &Config, dry_run: bool) -> Result<Vec<Reprocessed>, ReprocessError> {
    let options = ReprocessOptions {
        dry_run,
        ..ReprocessOptions::default()
    };
    let mut found = vec![];
    reprocess_clips(config, &options, |one| found.push(one))?;
    Ok(found)
}

/// Two seconds of sea, then a second with areas, then sea again.
fn frames(areas: &[u32]) -> Vec<Vec<u8>> {
    let seen = |i| (20..30).contains(&i);
    let of = |i| frame(if seen(i) { areas } else { &[] });
    (0..50).map(of).collect()
}

#[test]
fn a_fluke_that_was_missed_is_recorded_once_with_the_time_of_its_clip() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), &frames(&[60]));
    let dry = run(&config, true).unwrap();
    let [missed] = &dry[..] else {
        panic!("{dry:?}");
    };
    assert_eq!(missed.clip.as_deref(), Some("bow-1.avi"));
    assert_eq!((missed.sighting, missed.queued), (None, false));
    assert_eq!(missed.started, "2026-11-23T16:20:02.000Z");
    assert_eq!(Listing::read(&config.outbox.path).unwrap().accepted, 0);

    let found = run(&config, false).unwrap();
    let [recorded] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(recorded.sequence, Some(1));
    assert_eq!(recorded.before, "not recorded");
    assert!(recorded.queued && recorded.after.is_some(), "{recorded:?}");
    let recordings = Recordings::open(&config.outbox.path).unwrap();
    let sighting = recordings
        .newest(recorded.sighting.unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(sighting.camera, "bow");
    assert_eq!(sighting.started.to_string(), missed.started);
    assert_eq!(sighting.ended.millis_since(sighting.started), 900);
    assert_eq!(sighting.revision, 1);
    assert!(
        run(&config, false).unwrap().is_empty(),
        "it is recorded now"
    );
}

#[test]
fn two_flukes_at_once_are_two_encounters() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), &frames(&[0, 120]));
    let found = run(&config, false).unwrap();
    let sequences: Vec<_> = found.iter().map(|one| one.sequence).collect();
    assert_eq!(sequences, [Some(1), Some(2)]);
}

#[test]
fn a_clip_that_cannot_be_searched_has_a_reason_and_the_others_are_searched() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), &frames(&[60]));
    let clips = ClipFolder::of(&config.outbox.path);
    let [clip] = &clips.clips().unwrap()[..] else {
        panic!("one clip");
    };
    for (name, camera, video) in [
        ("a", "bow", b"not a video".as_slice()),
        ("b", "stern", b"".as_slice()),
    ] {
        let description = ClipDescription {
            camera: camera.into(),
            ..clip.description.clone()
        };
        let file = clips.path().join(format!("{name}.avi"));
        std::fs::write(&file, video).unwrap();
        let text = serde_json::to_vec(&description).unwrap();
        std::fs::write(file.with_extension("json"), text).unwrap();
    }
    let found = run(&config, true).unwrap();
    let errors: Vec<_> = found
        .iter()
        .map(|one| one.error.clone().unwrap_or_default())
        .collect();
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(errors[0].contains("unknown format"), "{errors:?}");
    assert_eq!(errors[1], "the configuration has no camera 'stern'");
    assert_eq!(errors[2], "");
}

#[test]
fn a_bundle_without_a_detector_and_a_working_boat_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let config = boat(folder.path(), &frames(&[60]));
    let working = open_outbox(&config).unwrap();
    assert!(matches!(
        run(&config, false),
        Err(ReprocessError::Session(_))
    ));
    assert_eq!(run(&config, true).unwrap().len(), 1, "nothing is recorded");
    drop(working);
    sample::bundle(3).save(&config.bundle.path).unwrap();
    assert!(matches!(
        run(&config, true),
        Err(ReprocessError::NoDetector(_))
    ));
}
