//! Test data: sightings, a tiny bundle, drawn flukes and a shore.

mod bundle;
#[path = "../../../common/inference/shim/fake/fake.rs"]
pub(crate) mod fake;
mod shore;

pub(crate) use bundle::{FLUKE, bundle, bundle_with_detector, fluke, frame};
pub(crate) use shore::Shore;

pub(crate) use flukewatch_common::samples::boat;

use crate::crop_jpeg;
use crate::outbox::{NewEpoch, Taken};
use crate::recording::{RecordedCrop, Recording, Track};
use crate::time::{MonotonicTimestamp, Timing};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::CropQuality;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::TimeSource;
use flukewatch_common::samples;
use flukewatch_common::sighting::Sighting;
use uuid::Uuid;

/// The epoch of a new outbox.
pub(crate) fn epoch() -> NewEpoch {
    NewEpoch {
        id: samples::epoch(),
        now: Timestamp(1_795_450_800_000),
    }
}

/// A sighting with the number `number` in its id, and its picture's file of `bytes` bytes.
pub(crate) fn sighting(number: u64, bytes: usize) -> (Sighting, Vec<u8>) {
    let jpeg: Vec<u8> = (0..bytes).map(|i| (i as u64 * 31 + number) as u8).collect();
    (sighting_with(number, jpeg.clone()), jpeg)
}

/// The same with this picture.
pub(crate) fn sighting_with(number: u64, jpeg: Vec<u8>) -> Sighting {
    let sighting = Sighting {
        id: Uuid::from_u128(u128::from(number)),
        sequence: 0,
        started: Timestamp(1_000 * number as i64),
        ended: Timestamp(1_000 * number as i64 + 500),
        frames: 5,
        verdict: Verdict::Review,
        candidates: vec![],
        probability: None,
        position: None,
        time: None,
        footage: None,
        epoch: None,
        regions: None,
        relative_position: None,
        ..samples::sighting()
    };
    samples::with_picture(sighting, jpeg, 40, 20).0
}

/// An encounter that is not identified yet, and its picture.
pub(crate) fn recording(number: u64) -> (Recording, Vec<u8>) {
    let (sighting, jpeg) = sighting(number, 3000);
    let sighting = Sighting {
        verdict: Verdict::Unidentified {
            reason: "not identified yet".into(),
        },
        ..sighting
    };
    let crop = RecordedCrop {
        jpeg: crop_jpeg::encode(&fluke(1), 90).unwrap(),
        region: PixelBox::whole(30, 20),
        frame_region: PixelBox::whole(60, 40),
        quality: CropQuality {
            after: 0,
            sharpness: 50,
            size: 60,
            angle: 70,
            exposure: 80,
        },
    };
    let track = Track {
        session: Uuid::from_u128(99),
        camera: 0,
        number,
        started: MonotonicTimestamp(0),
        ended: MonotonicTimestamp(1),
    };
    let recording = Recording {
        sighting,
        track,
        crops: vec![crop],
    };
    (recording, jpeg)
}

/// Times by GNSS, from the start of the monotonic clock.
pub(crate) fn taken() -> Taken {
    Taken {
        started: MonotonicTimestamp(0),
        timing: Timing::Driver,
        clock: TimeSource::Gnss,
    }
}
