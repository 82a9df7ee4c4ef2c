//! What anybody may publish to shore's broker, and what a boat takes for a receipt; also with the right checksum.
#![no_main]

use flukewatch_common::catalogue::Match;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::footage::{ConfigId, CropQuality, Footage, FrameSize, Place};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};
use flukewatch_common::sighting::{BoatId, Part, Picture, PictureInfo, Receipt, Sighting};
use flukewatch_common::wire;
use flukewatch_fuzz::{mended, seeds};
use flukewatch_shore::ingest::judge;
use flukewatch_shore::store::arrival::Content;
use uuid::Uuid;

const JPEG: &[u8] = include_bytes!("../seeds/baseline.jpg");

/// Whatever shore takes, it can send on as it is.
fn take(bytes: &[u8]) {
    for topic in ["flukewatch/v1/a/sighting", "flukewatch/v1/a/picture"] {
        let Ok(Content::Sighting(sighting)) = judge(topic, bytes).content else {
            continue;
        };
        let sent = wire::encode(&*sighting).unwrap_or_else(|e| panic!("{e}"));
        let again: Sighting = wire::decode(&sent).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(wire::encode(&again), Ok(sent));
    }
    let _ = wire::decode::<Receipt>(bytes);
}

fn sample() -> Option<Sighting> {
    let boat: BoatId = "a".parse().ok()?;
    let id = Uuid::from_u128(7);
    let region = PixelBox::whole(40, 24);
    let candidate = |whale: &str, score| Match {
        whale: whale.into(),
        score,
        photo: format!("{whale}.jpg"),
    };
    let place = |after| Place { after, region };
    Some(Sighting {
        id,
        boat,
        sequence: 3,
        camera: "mast".into(),
        started: Timestamp(1_795_450_800_000),
        ended: Timestamp(1_795_450_803_000),
        frames: 30,
        verdict: Verdict::Known {
            whale: "HW-1".into(),
        },
        candidates: vec![candidate("HW-1", 0.81), candidate("HW-2", 0.4)],
        embedding: Embedding::normalised(vec![1.0, -2.0, 3.0]).ok()?.compact(),
        picture: PictureInfo {
            sha256: [9; 32],
            bytes: JPEG.len() as u32,
            width: 40,
            height: 24,
        },
        region,
        bundle: "0123abcd".into(),
        engine: "tract".into(),
        chance: Some(0.93),
        position: Some(Position {
            latitude: 38.5,
            longitude: -28.6,
            quality: FixQuality::Differential,
            age: 300,
            satellites: Some(9),
            hdop: Some(0.75),
            speed: Some(6.5),
            course: Some(270.25),
            heading: None,
        }),
        time: Some(TimeBasis {
            source: TimeSource::Satellites,
            uncertainty: Some(500),
        }),
        footage: Some(Footage {
            encounter: id,
            frame: FrameSize {
                width: 1920,
                height: 1080,
            },
            places: vec![place(0), place(2900)],
            crops: vec![CropQuality {
                after: 1200,
                sharpness: 62,
                size: 80,
                angle: 100,
                exposure: 97,
            }],
            earlier_crops: 0,
            detector: Some(0.91),
            config: ConfigId([1; 8]),
        }),
    })
}

fn make_seeds() -> Option<[Vec<u8>; 4]> {
    let sighting = sample()?;
    let boat = sighting.boat.clone();
    let old = Sighting {
        chance: None,
        position: None,
        time: None,
        footage: None,
        ..sighting.clone()
    };
    // Version 1 ends before what is absent here.
    let mut old = wire::encode(&old).ok()?;
    old.truncate(old.len() - 4);
    old[5] = 1;
    mended::message(&mut old);
    let picture = Picture {
        sighting: sighting.id,
        boat: boat.clone(),
        jpeg: JPEG.to_vec(),
    };
    let receipt = Receipt {
        boat,
        stored: vec![(sighting.id, Part::Picture)],
    };
    let sighting = wire::encode(&sighting).ok()?;
    for seed in [&old, &sighting] {
        judge("flukewatch/v1/a/sighting", seed).content.ok()?;
    }
    Some([
        sighting,
        old,
        wire::encode(&picture).ok()?,
        wire::encode(&receipt).ok()?,
    ])
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| make_seeds().unwrap_or_else(|| panic!("the sample sighting is none")));
    },
    |bytes: &[u8]| {
        take(bytes);
        let mut right = bytes.to_vec();
        mended::message(&mut right);
        take(&right);
    }
);
