//! Messages that anyone may publish to shore's broker, and acks that a boat receives; also with a
//! valid checksum.
#![no_main]

use flukewatch_common::brief::Brief;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::samples;
use flukewatch_common::sighting::{Ack, Acknowledged, MessageKind, Picture, Rejected, Sighting};
use flukewatch_common::status_report::StatusReport;
use flukewatch_common::wire;
use flukewatch_fuzz::{repair, seeds};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::Content;

const JPEG: &[u8] = include_bytes!("../seeds/baseline.jpg");

/// A message that shore accepts can be encoded again.
fn take(bytes: &[u8]) {
    for topic in ["flukewatch/v1/a/sighting", "flukewatch/v1/a/picture"] {
        let Ok(Content::Sighting(sighting)) = validate(topic, bytes).content else {
            continue;
        };
        let sent = wire::encode(&*sighting).unwrap_or_else(|e| panic!("{e}"));
        let again: Sighting = wire::decode(&sent).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(wire::encode(&again), Ok(sent));
    }
    if let Ok(Content::Brief(brief)) = validate("flukewatch/v1/a/brief", bytes).content {
        let sent = wire::encode(&*brief).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(wire::decode(&sent), Ok(*brief));
    }
    let _ = wire::decode::<Ack>(bytes);
    if let Ok(report) = wire::decode::<StatusReport>(bytes) {
        let _ = report.condition.map(|condition| condition.validate());
    }
}

fn sample() -> Option<Sighting> {
    let mut sighting = samples::sighting();
    sighting.boat = "a".parse().ok()?;
    sighting.picture.bytes = JPEG.len() as u32;
    (sighting.picture.width, sighting.picture.height) = (40, 24);
    sighting.region = PixelBox::whole(40, 24);
    Some(sighting)
}

fn make_seeds() -> Option<[Vec<u8>; 8]> {
    let sighting = sample()?;
    let boat = sighting.boat.clone();
    let old = Sighting {
        probability: None,
        position: None,
        time: None,
        footage: None,
        epoch: None,
        regions: None,
        relative_position: None,
        ..sighting.clone()
    };
    // Version 1 ends before the fields that are absent here.
    let mut old = wire::encode(&old).ok()?;
    old.truncate(old.len() - 6);
    old[5] = 1;
    repair::message(&mut old);
    let picture = Picture {
        sighting: sighting.id,
        boat: boat.clone(),
        jpeg: JPEG.to_vec(),
        original: Some([7; 32]),
    };
    let ack = Ack {
        boat,
        stored: vec![Acknowledged {
            sighting: sighting.id,
            kind: MessageKind::Sighting,
            revision: 1,
            message: Some(MessageDigest::of(JPEG)),
        }],
        rejected: vec![Rejected {
            kind: MessageKind::Picture,
            message: MessageDigest::of(JPEG),
            reason: "invalid".into(),
        }],
    };
    let unidentified = Sighting {
        verdict: Verdict::Unidentified {
            reason: "not identified yet".into(),
        },
        candidates: vec![],
        embedding: CompactEmbedding::NONE,
        probability: None,
        regions: None,
        ..sighting.clone()
    };
    let unidentified = wire::encode(&unidentified).ok()?;
    let brief = wire::encode(&Brief::of(&sighting)).ok()?;
    validate("flukewatch/v1/a/brief", &brief).content.ok()?;
    let mut far_out = samples::status_report();
    far_out.condition.as_mut()?.link = Some(samples::link_report());
    let sighting = wire::encode(&sighting).ok()?;
    for seed in [&old, &sighting, &unidentified] {
        validate("flukewatch/v1/a/sighting", seed).content.ok()?;
    }
    Some([
        sighting,
        old,
        wire::encode(&picture).ok()?,
        wire::encode(&ack).ok()?,
        unidentified,
        wire::encode(&samples::status_report()).ok()?,
        wire::encode(&far_out).ok()?,
        brief,
    ])
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| make_seeds().unwrap_or_else(|| panic!("the sample sighting is invalid")));
    },
    |bytes: &[u8]| {
        take(bytes);
        let mut right = bytes.to_vec();
        repair::message(&mut right);
        take(&right);
    }
);
