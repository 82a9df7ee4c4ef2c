//! One sighting in three formats.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flukewatch_common::decision::Verdict;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::sighting::Sighting;
use flukewatch_common::wire;
use prost::Message;
use serde_json::{Value, json};

/// A format and the sighting in it.
pub(crate) fn all(sighting: &Sighting) -> [(&'static str, Vec<u8>); 3] {
    [
        ("postcard", wire::encode(sighting).unwrap()),
        ("protobuf", protobuf(sighting).encode_to_vec()),
        ("json", as_json(sighting).to_string().into_bytes()),
    ]
}

/// As short as JSON allows: bytes in base64, no spaces.
fn as_json(sighting: &Sighting) -> Value {
    let mut value = serde_json::to_value(sighting).unwrap();
    let values: Vec<u8> = sighting.embedding.values.iter().map(|v| *v as u8).collect();
    value["embedding"]["values"] = json!(STANDARD_NO_PAD.encode(values));
    value["picture"]["sha256"] = json!(STANDARD_NO_PAD.encode(sighting.picture.sha256));
    if let Some(footage) = &sighting.footage {
        value["footage"]["config"] = json!(STANDARD_NO_PAD.encode(footage.config.0));
    }
    value
}

#[derive(Clone, PartialEq, Message)]
struct Box {
    #[prost(uint32, repeated, tag = "1")]
    corners: Vec<u32>,
    #[prost(uint32, optional, tag = "2")]
    after: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct Candidate {
    #[prost(string, tag = "1")]
    whale: String,
    #[prost(float, tag = "2")]
    score: f32,
    #[prost(string, tag = "3")]
    photo: String,
}

#[derive(Clone, PartialEq, Message)]
struct Position {
    #[prost(double, tag = "1")]
    latitude: f64,
    #[prost(double, tag = "2")]
    longitude: f64,
    #[prost(uint32, repeated, tag = "3")]
    quality_age_satellites: Vec<u32>,
    #[prost(float, repeated, tag = "4")]
    hdop_speed_course_heading: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Footage {
    #[prost(bytes = "vec", tag = "1")]
    encounter: Vec<u8>,
    #[prost(uint32, repeated, tag = "2")]
    frame: Vec<u32>,
    #[prost(message, repeated, tag = "3")]
    boxes: Vec<Box>,
    /// Five numbers of each crop.
    #[prost(uint32, repeated, tag = "4")]
    crops: Vec<u32>,
    #[prost(uint32, tag = "5")]
    earlier_crops: u32,
    #[prost(float, optional, tag = "6")]
    detector: Option<f32>,
    #[prost(bytes = "vec", tag = "7")]
    config: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Report {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(string, tag = "2")]
    boat: String,
    #[prost(uint64, tag = "3")]
    sequence: u64,
    #[prost(string, tag = "4")]
    camera: String,
    #[prost(int64, tag = "5")]
    started: i64,
    #[prost(int64, tag = "6")]
    ended: i64,
    #[prost(uint32, tag = "7")]
    frames: u32,
    #[prost(string, tag = "8")]
    verdict: String,
    #[prost(message, repeated, tag = "9")]
    candidates: Vec<Candidate>,
    #[prost(float, tag = "10")]
    scale: f32,
    #[prost(bytes = "vec", tag = "11")]
    embedding: Vec<u8>,
    #[prost(bytes = "vec", tag = "12")]
    picture: Vec<u8>,
    #[prost(uint32, repeated, tag = "13")]
    picture_bytes_and_size: Vec<u32>,
    #[prost(message, optional, tag = "14")]
    region: Option<Box>,
    #[prost(string, tag = "15")]
    bundle: String,
    #[prost(string, tag = "16")]
    engine: String,
    #[prost(float, optional, tag = "17")]
    probability: Option<f32>,
    #[prost(message, optional, tag = "18")]
    position: Option<Position>,
    #[prost(uint32, repeated, tag = "19")]
    time: Vec<u32>,
    #[prost(message, optional, tag = "20")]
    footage: Option<Footage>,
    #[prost(bytes = "vec", tag = "21")]
    epoch: Vec<u8>,
    #[prost(uint32, tag = "22")]
    revision: u32,
    #[prost(float, repeated, tag = "23")]
    relative_position: Vec<f32>,
}

fn corners(region: &PixelBox, after: Option<u32>) -> Box {
    Box {
        corners: [region.x0, region.y0, region.x1, region.y1]
            .map(Into::into)
            .to_vec(),
        after,
    }
}

/// As a protobuf schema of the same content would have it; matching regions are left out of all formats.
fn protobuf(sighting: &Sighting) -> Report {
    let picture = &sighting.picture;
    Report {
        id: sighting.id.as_bytes().to_vec(),
        boat: sighting.boat.to_string(),
        sequence: sighting.sequence,
        camera: sighting.camera.clone(),
        started: sighting.started.0,
        ended: sighting.ended.0,
        frames: sighting.frames,
        verdict: match &sighting.verdict {
            Verdict::Known { whale } => whale.clone(),
            other => format!("{other:?}"),
        },
        candidates: sighting
            .candidates
            .iter()
            .map(|candidate| Candidate {
                whale: candidate.whale.clone(),
                score: candidate.score,
                photo: candidate.photo.clone(),
            })
            .collect(),
        scale: sighting.embedding.scale,
        embedding: sighting.embedding.values.iter().map(|v| *v as u8).collect(),
        picture: picture.sha256.to_vec(),
        picture_bytes_and_size: vec![picture.bytes, picture.width, picture.height],
        region: Some(corners(&sighting.region, None)),
        bundle: sighting.bundle.clone(),
        engine: sighting.engine.clone(),
        probability: sighting.probability,
        position: sighting.position.as_ref().map(|position| Position {
            latitude: position.latitude,
            longitude: position.longitude,
            quality_age_satellites: vec![
                position.quality as u32,
                position.age,
                position.satellites.unwrap_or_default().into(),
            ],
            hdop_speed_course_heading: [
                position.hdop,
                position.speed,
                position.course,
                position.heading,
            ]
            .into_iter()
            .flatten()
            .collect(),
        }),
        time: sighting.time.as_ref().map_or(vec![], |time| {
            vec![time.source as u32, time.uncertainty.unwrap_or_default()]
        }),
        footage: sighting.footage.as_ref().map(|footage| Footage {
            encounter: footage.encounter.as_bytes().to_vec(),
            frame: vec![footage.frame.width, footage.frame.height],
            boxes: footage
                .boxes
                .iter()
                .map(|b| corners(&b.region, Some(b.after)))
                .collect(),
            crops: footage
                .crops
                .iter()
                .flat_map(|c| {
                    let scores = [c.sharpness, c.size, c.angle, c.exposure].map(u32::from);
                    std::iter::once(c.after).chain(scores)
                })
                .collect(),
            earlier_crops: footage.earlier_crops.into(),
            detector: footage.detector,
            config: footage.config.0.to_vec(),
        }),
        epoch: sighting.epoch.map_or(vec![], |e| e.as_bytes().to_vec()),
        revision: sighting.revision,
        relative_position: sighting.relative_position.as_ref().map_or(vec![], |r| {
            [r.bearing_from_bow, r.bearing, r.range]
                .into_iter()
                .flatten()
                .collect()
        }),
    }
}
