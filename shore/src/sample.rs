//! Sightings for tests.

use flukewatch_common::catalogue::Match;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::footage::{ConfigId, CropQuality, Footage, FrameSize, Place};
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::position::{FixQuality, Position, TimeBasis, TimeSource};
use flukewatch_common::sighting::{Picture, PictureInfo, Sighting};
use image::codecs::jpeg::JpegEncoder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A sighting and its picture; the same for the same arguments.
pub(crate) fn sighting(boat: &str, sequence: u64) -> (Sighting, Picture) {
    let id = Uuid::from_u128(u128::from(sequence) << 64 | u128::from(boat.len() as u64));
    let mut jpeg = vec![];
    let shade = |x: u32, y: u32| (x * 3 + y + sequence as u32) as u8;
    let photo = image::RgbImage::from_fn(64, 32, |x, y| image::Rgb([shade(x, y); 3]));
    JpegEncoder::new(&mut jpeg).encode_image(&photo).unwrap();
    let candidate = |whale: &str, score| Match {
        whale: whale.into(),
        score,
        photo: format!("{whale}.jpg"),
    };
    let sighting = Sighting {
        id,
        boat: boat.parse().unwrap(),
        sequence,
        camera: "mast".into(),
        started: Timestamp(1_795_450_800_000 + sequence as i64 * 60_000),
        ended: Timestamp(1_795_450_803_000 + sequence as i64 * 60_000),
        frames: 30,
        verdict: Verdict::Known {
            whale: "HW-1".into(),
        },
        candidates: vec![candidate("HW-1", 0.81), candidate("HW-2", 0.4)],
        embedding: Embedding::normalised(vec![1.0, -2.0, 3.0])
            .unwrap()
            .compact(),
        picture: PictureInfo {
            sha256: Sha256::digest(&jpeg).into(),
            bytes: jpeg.len() as u32,
            width: 64,
            height: 32,
        },
        region: PixelBox::whole(64, 32),
        bundle: "0123abcd".into(),
        engine: "tract 0.23.9 f32".into(),
        chance: Some(0.93),
        position: Some(Position {
            latitude: 38.5123,
            longitude: -28.625,
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
        footage: Some(footage(id)),
    };
    let picture = Picture {
        sighting: id,
        boat: sighting.boat.clone(),
        jpeg,
    };
    (sighting, picture)
}

/// What the sighting that began the encounter `encounter` rests on.
fn footage(encounter: Uuid) -> Footage {
    Footage {
        encounter,
        frame: FrameSize {
            width: 1920,
            height: 1080,
        },
        places: [0, 2900]
            .map(|after| Place {
                after,
                region: PixelBox::whole(64 + after / 100, 32),
            })
            .into(),
        crops: vec![CropQuality {
            after: 1200,
            sharpness: 62,
            size: 80,
            angle: 100,
            exposure: 97,
        }],
        earlier_crops: 0,
        detector: Some(0.91),
        config: ConfigId([1, 2, 3, 4, 5, 6, 7, 8]),
    }
}

/// A sighting whose picture arrives as announced and is no JPEG.
#[allow(dead_code)]
pub(crate) fn broken(boat: &str, sequence: u64) -> (Sighting, Picture) {
    let (mut sighting, mut picture) = self::sighting(boat, sequence);
    picture.jpeg.truncate(100);
    sighting.picture.sha256 = Sha256::digest(&picture.jpeg).into();
    sighting.picture.bytes = 100;
    (sighting, picture)
}
