//! Sample data for the tests of all crates, enabled by the feature `samples`.

use crate::boat_settings::{BoatSettings, SettingsProgress, SettingsReport};
use crate::catalogue::Match;
use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::embedding::CompactEmbedding;
use crate::footage::{ConfigId, CropQuality, Footage, FrameSize, TimedBox};
use crate::input_area::InputArea;
use crate::link_class::LinkClass;
use crate::link_report::{LinkReport, PendingMessages};
use crate::matching_regions::{CandidateRegions, MatchingRegions, RegionPair};
use crate::pixel_box::PixelBox;
use crate::position::{FixQuality, Position, TimeBasis, TimeSource};
use crate::relative_position::RelativePosition;
use crate::severity::Severity;
use crate::sighting::{BoatId, Picture, PictureInfo, Sighting};
use crate::status_report::{BoatCondition, ConnectionId, StatusReport};
use image::codecs::jpeg::JpegEncoder;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The boat `balaena`.
///
/// # Panics
/// Never: the id is valid.
pub fn boat() -> BoatId {
    "balaena".parse().expect("a valid boat id")
}

/// The epoch of the outbox of [`boat`].
pub fn epoch() -> Uuid {
    Uuid::from_u128(0xe0e1_e2e3_0000_4000_8000_0000_0000_000e)
}

/// A complete sighting of [`boat`]: every optional field is set.
pub fn sighting() -> Sighting {
    Sighting {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        boat: boat(),
        sequence: 300,
        camera: "bow".into(),
        started: Timestamp(1_795_450_800_000),
        ended: Timestamp(1_795_450_803_500),
        frames: 35,
        verdict: Verdict::Known {
            whale: "HW-0042".into(),
        },
        candidates: vec![
            Match {
                whale: "HW-0042".into(),
                score: 0.75,
                photo: "a.jpg".into(),
            },
            Match {
                whale: "HW-0007".into(),
                score: 0.5,
                photo: "b.jpg".into(),
            },
        ],
        embedding: CompactEmbedding {
            scale: 0.0078125,
            values: vec![-128, -1, 0, 1, 127],
        },
        picture: PictureInfo {
            sha256: [0xab; 32],
            bytes: 48_000,
            width: 640,
            height: 320,
        },
        region: PixelBox {
            x0: 100,
            y0: 50,
            x1: 740,
            y1: 370,
        },
        bundle: "0123456789ab".into(),
        engine: "tract 0.23.9 f32".into(),
        probability: Some(0.875),
        position: Some(Position {
            latitude: 38.5,
            longitude: -28.625,
            quality: FixQuality::Differential,
            age: 300,
            satellites: Some(9),
            hdop: Some(0.75),
            speed: Some(6.5),
            course: Some(270.0),
            heading: None,
        }),
        time: Some(TimeBasis {
            source: TimeSource::Gnss,
            uncertainty: Some(500),
        }),
        footage: Some(Footage {
            encounter: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000),
            frame: FrameSize {
                width: 1920,
                height: 1080,
            },
            boxes: vec![
                TimedBox {
                    after: 0,
                    region: PixelBox {
                        x0: 100,
                        y0: 50,
                        x1: 740,
                        y1: 370,
                    },
                },
                TimedBox {
                    after: 3500,
                    region: PixelBox {
                        x0: 110,
                        y0: 60,
                        x1: 750,
                        y1: 300,
                    },
                },
            ],
            crops: vec![CropQuality {
                after: 400,
                sharpness: 62,
                size: 80,
                angle: 100,
                exposure: 97,
            }],
            earlier_crops: 5,
            detector: Some(0.75),
            config: ConfigId([0x0f, 1, 2, 3, 4, 5, 6, 0xff]),
        }),
        epoch: Some(epoch()),
        revision: 0,
        regions: Some(regions()),
        relative_position: Some(RelativePosition {
            bearing_from_bow: Some(13.5),
            bearing: Some(283.5),
            range: Some(350.0),
        }),
    }
}

/// A status report of [`boat`] in harbour: every other optional field is set.
pub fn status_report() -> StatusReport {
    StatusReport {
        boat: boat(),
        connection: ConnectionId {
            instance: sighting().id,
            number: 2,
        },
        condition: Some(BoatCondition {
            at: Timestamp(1_795_450_800_000),
            severity: Severity::Warning,
            problems: "camera stern: no frames; restarting".into(),
            version: "0.1.0".into(),
            bundle: "0123456789ab".into(),
            position: Some((38.5, -28.625)),
            cameras: 2,
            cameras_searched: 1,
            pending: 7,
            oldest_pending_seconds: Some(300),
            link: None,
            settings: None,
        }),
    }
}

/// The link of a boat that is far out.
pub fn link_report() -> LinkReport {
    LinkReport {
        class: LinkClass::Iridium,
        report_interval_seconds: 900,
        bytes_per_hour: Some(30_000),
        bytes_left: 18_400,
        identities: PendingMessages {
            messages: 3,
            bytes: 1_500,
            seconds: Some(240),
        },
        sightings: PendingMessages {
            messages: 40,
            bytes: 80_000,
            seconds: None,
        },
        pictures: PendingMessages {
            messages: 40,
            bytes: 2_000_000,
            seconds: None,
        },
    }
}

/// Settings for [`boat`]: a threshold, a quota and a class of links.
///
/// # Panics
/// Never: the settings are valid.
pub fn boat_settings() -> BoatSettings {
    let settings = [
        "detector.threshold=0.5",
        "clip.days=14",
        "uplink.link=iridium",
    ];
    let settings = settings.map(|text| text.parse().expect("a valid setting"));
    BoatSettings::new(boat(), 3, Timestamp(1_795_450_800_000), &settings)
}

/// A report on settings of which the latest do not work.
pub fn settings_report() -> SettingsReport {
    SettingsReport {
        revision: 3,
        in_use: 2,
        progress: SettingsProgress::RolledBack,
        reason: "a stage restarted 3 times".into(),
    }
}

/// The matching regions of [`sighting`]: two of the first candidate, one of the second, whose place in the photo is unknown.
fn regions() -> MatchingRegions {
    let pair = |picture, photo, contribution| RegionPair {
        picture,
        photo,
        contribution,
    };
    MatchingRegions {
        height: 5,
        width: 10,
        picture: InputArea {
            width: 640,
            height: 320,
            left: 32,
            top: 32,
            right: 608,
            bottom: 288,
        },
        candidates: vec![
            CandidateRegions {
                photo: Some(InputArea {
                    width: 1000,
                    height: 500,
                    left: 0,
                    top: 100,
                    right: 1000,
                    bottom: 500,
                }),
                pairs: vec![pair(13, 14, 60), pair(26, 26, 45)],
            },
            CandidateRegions {
                photo: None,
                pairs: vec![pair(13, 2, 300)],
            },
        ],
    }
}

/// `sighting` with `jpeg`, an image of `width` x `height` pixels, as its picture.
pub fn with_picture(
    mut sighting: Sighting,
    jpeg: Vec<u8>,
    width: u32,
    height: u32,
) -> (Sighting, Picture) {
    sighting.picture = PictureInfo {
        sha256: Sha256::digest(&jpeg).into(),
        bytes: jpeg.len() as u32,
        width,
        height,
    };
    sighting.region = PixelBox::whole(width, height);
    let picture = Picture {
        sighting: sighting.id,
        boat: sighting.boat.clone(),
        jpeg,
        original: None,
    };
    (sighting, picture)
}

/// A JPEG file of `width` x `height` pixels; each `seed` gives a different one.
///
/// # Panics
/// Never: the encoder writes to memory.
pub fn jpeg(width: u32, height: u32, seed: u8) -> Vec<u8> {
    let shade = |x: u32, y: u32| (x * 3 + y + u32::from(seed)) as u8;
    let image = image::RgbImage::from_fn(width, height, |x, y| image::Rgb([shade(x, y); 3]));
    let mut file = vec![];
    JpegEncoder::new(&mut file)
        .encode_image(&image)
        .expect("writing to memory does not fail");
    file
}
