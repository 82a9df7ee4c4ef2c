use super::*;
use crate::encoded_frame::{Codec, FrameEncoding, StreamFormat};
use crate::sample;
use crate::stage::Stages;
use crate::time::ManualMonotonicClock;
use crate::video::Sample;
use flukewatch_common::clock::{ManualClock, Timestamp};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::mpsc::sync_channel;

const NOW: Timestamp = Timestamp(1_795_450_800_000);

fn frame(millis: i64) -> EncodedFrame {
    EncodedFrame {
        taken: MonotonicTimestamp::from_millis(millis),
        encoding: FrameEncoding::Jpeg,
        bytes: crate::crop_jpeg::encode(&sample::frame(1), 80).unwrap(),
    }
}

fn write(outbox: &Path, events: Vec<ClipEvent>) -> Stages {
    let clock = Arc::new(ManualClock::new(NOW));
    let monotonic = Arc::new(ManualMonotonicClock::new(MonotonicTimestamp(0)));
    let stages = Stages::default();
    let writer = ClipWriter::new(
        ClipFolder::of(outbox),
        vec!["bow".into(), "mast".into()],
        Uuid::from_u128(4),
        Arc::new(UtcClock::new(clock.clone(), monotonic)),
        clock,
        stages.clips.clone(),
    );
    let (send, receive) = sync_channel(events.len());
    events.into_iter().for_each(|e| send.send(e).unwrap());
    drop(send);
    writer.run(&receive);
    stages
}

#[test]
fn a_clip_is_a_video_with_the_times_of_its_frames() {
    let outbox = tempfile::tempdir().unwrap();
    let frames = |camera, millis: &[i64]| ClipEvent::Frames {
        camera,
        frames: millis.iter().map(|m| frame(*m)).collect(),
    };
    write(
        outbox.path(),
        vec![
            frames(0, &[5000, 5100]),
            frames(1, &[5050]),
            frames(0, &[5210]),
            ClipEvent::End { camera: 0 },
            frames(0, &[9000]),
        ],
    );
    let clips = ClipFolder::of(outbox.path()).clips().unwrap();
    let told: Vec<(&str, &[u32])> = clips
        .iter()
        .map(|c| (c.description.camera.as_str(), &c.description.frames[..]))
        .collect();
    assert_eq!(told.len(), 3);
    let first = &clips[told.iter().position(|c| c.1 == [0, 100, 210]).unwrap()];
    assert_eq!(
        first.video.file_name().unwrap(),
        "bow-2026-11-23T16-20-05.000Z.avi"
    );
    assert_eq!(first.description.started, "2026-11-23T16:20:05.000Z");
    assert_eq!(
        (first.description.width, first.description.height),
        (160, 90)
    );
    assert_eq!(first.description.written, NOW.0);
    let file = BufReader::new(File::open(&first.video).unwrap());
    let mut video = crate::video::open(file).unwrap().unwrap();
    let mut images = 0;
    loop {
        let mut jpeg = vec![];
        match video.next(&mut jpeg).unwrap() {
            Sample::Image(_) => assert_eq!(jpeg, frame(0).bytes),
            Sample::Empty => {}
            Sample::End => break,
        }
        images += 1;
    }
    assert_eq!(images, 3);
    assert!((video.rate().unwrap() - 2.0 / 0.21).abs() < 0.01);
}

#[test]
fn what_cannot_be_written_leaves_nothing_and_ends_nothing() {
    let outbox = tempfile::tempdir().unwrap();
    let broken = EncodedFrame {
        taken: MonotonicTimestamp(0),
        encoding: FrameEncoding::Jpeg,
        bytes: b"\xff\xd8 no image".to_vec(),
    };
    let one = |frame| ClipEvent::Frames {
        camera: 0,
        frames: vec![frame],
    };
    std::fs::create_dir(outbox.path().join("clips")).unwrap();
    std::fs::write(outbox.path().join("clips/bow-1.avi.part"), b"cut off").unwrap();
    let stages = write(
        outbox.path(),
        vec![
            one(broken),
            ClipEvent::End { camera: 0 },
            one(frame(0)),
            ClipEvent::End { camera: 0 },
        ],
    );
    assert_eq!(ClipFolder::of(outbox.path()).clips().unwrap().len(), 1);
    let files = std::fs::read_dir(outbox.path().join("clips")).unwrap();
    assert_eq!(files.count(), 2);
    assert_eq!(stages.clips.health().failed, 1);
}

/// A frame of an IP camera with this width.
fn streamed(millis: i64, number: u64, width: u32) -> EncodedFrame {
    let format = StreamFormat {
        codec: Codec::H264,
        configuration: b"avcC".to_vec(),
        width,
        height: 480,
    };
    EncodedFrame {
        taken: MonotonicTimestamp::from_millis(millis),
        encoding: FrameEncoding::Stream {
            format: Arc::new(format),
            number,
            is_key: number == 0,
        },
        bytes: format!("unit {number} of {width}").into_bytes(),
    }
}

#[test]
fn a_stream_is_kept_as_matroska_and_another_size_begins_another_clip() {
    let outbox = tempfile::tempdir().unwrap();
    let frames = ClipEvent::Frames {
        camera: 1,
        frames: vec![
            streamed(5000, 0, 640),
            streamed(5040, 1, 640),
            streamed(7000, 0, 800),
        ],
    };
    write(outbox.path(), vec![frames]);
    let clips = ClipFolder::of(outbox.path()).clips().unwrap();
    let found: Vec<_> = clips
        .iter()
        .map(|c| {
            let name = c.video.file_name().unwrap().to_str().unwrap();
            (name, c.description.width, &c.description.frames[..])
        })
        .collect();
    assert_eq!(
        found,
        [
            ("mast-2026-11-23T16-20-05.000Z.mkv", 640, &[0, 40][..]),
            ("mast-2026-11-23T16-20-07.000Z.mkv", 800, &[0]),
        ]
    );
    let video = std::fs::read(&clips[0].video).unwrap();
    for part in [&b"V_MPEG4/ISO/AVC"[..], b"unit 0 of 640", b"unit 1 of 640"] {
        assert!(video.windows(part.len()).any(|w| w == part));
    }
}
