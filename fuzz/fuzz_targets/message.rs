//! Messages that anyone may publish to shore's broker, and those that a boat receives; also with a
//! valid checksum.
#![no_main]

use flukewatch_common::boat_settings::BoatSettings;
use flukewatch_common::brief::Brief;
use flukewatch_common::bundle_transfer::{
    BundleOffer, ContentId, ContentPiece, ContentRequest, TransferProgress, TransferReport,
};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::file_transfer::{
    Chunk, ChunkContent, Command, EncounterFile, ReceivedBytes, RequestedFile, UnavailableReason,
};
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::picture_part::PicturePart;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::samples;
use flukewatch_common::sighting::{Ack, Acknowledged, MessageKind, Picture, Rejected, Sighting};
use flukewatch_common::status_report::StatusReport;
use flukewatch_common::wire::{self, Message};
use flukewatch_fuzz::{repair, seeds};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::store::Content;
use flukewatch_trust::{Purpose, SigningKey, open, seal};

const JPEG: &[u8] = include_bytes!("../seeds/baseline.jpg");

/// A message that was decoded is the same when it is sent again.
fn sends_again<M: Message + PartialEq>(message: &M) {
    let sent = wire::encode(message).unwrap_or_else(|e| panic!("{e}"));
    let again: M = wire::decode(&sent).unwrap_or_else(|e| panic!("{e}"));
    assert!(again == *message);
}

fn key() -> SigningKey {
    SigningKey::from_seed([1; 32])
}

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
    if let Ok(Content::PicturePart(part)) = validate("flukewatch/v1/a/picture", bytes).content {
        sends_again(&part);
    }
    match validate("flukewatch/v1/a/request", bytes).content {
        Ok(Content::Transfer(report)) => sends_again(&report),
        Ok(Content::Request(request)) => sends_again(&request),
        _ => {}
    }
    if let Ok(Content::Brief(brief)) = validate("flukewatch/v1/a/brief", bytes).content {
        let sent = wire::encode(&*brief).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(wire::decode(&sent), Ok(*brief));
    }
    if let Ok(Content::Chunk(chunk)) = validate("flukewatch/v1/a/chunk", bytes).content {
        sends_again(&chunk);
    }
    if let Ok(command) = wire::decode::<Command>(bytes)
        && command.validate().is_ok()
    {
        sends_again(&command);
    }
    let _ = wire::decode::<Ack>(bytes);
    let _ = wire::decode::<ContentPiece>(bytes);
    if let Ok(offer) = wire::decode::<BundleOffer>(bytes) {
        let _ = offer.validate();
    }
    if let Ok(settings) = wire::decode::<BoatSettings>(bytes)
        && let Ok(valid) = settings.validate()
    {
        let BoatSettings {
            boat,
            revision,
            issued,
            ..
        } = settings;
        sends_again(&BoatSettings::new(boat, revision, issued, &valid));
    }
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

/// An offer, a request, a piece and a report.
fn make_bundle_seeds() -> Option<[Vec<u8>; 4]> {
    let sighting = sample()?;
    let (boat, offer) = (sighting.boat, sighting.id);
    let content = ContentId::of(JPEG);
    let request = ContentRequest {
        boat: boat.clone(),
        offer,
        content,
        offset: 65_536,
        max_bytes: 1024,
    };
    let report = TransferReport {
        boat: boat.clone(),
        offer,
        at: Timestamp(1_795_450_800_000),
        progress: TransferProgress::Rejected {
            reason: "not signed".into(),
        },
    };
    let (request, report) = (wire::encode(&request).ok()?, wire::encode(&report).ok()?);
    for seed in [&request, &report] {
        validate("flukewatch/v1/a/request", seed).content.ok()?;
    }
    let piece = ContentPiece {
        boat: boat.clone(),
        content,
        offset: 0,
        piece: Some(JPEG.to_vec()),
    };
    let offer = BundleOffer {
        boat,
        id: offer,
        manifest: content,
        manifest_bytes: 2048,
        signature: b"{}".to_vec(),
    };
    Some([
        wire::encode(&offer).ok()?,
        request,
        wire::encode(&piece).ok()?,
        report,
    ])
}

/// A command, a chunk, and a report that there is none.
fn make_file_seeds() -> Option<[Vec<u8>; 3]> {
    let sighting = sample()?;
    let (boat, request) = (sighting.boat, sighting.id);
    let content = ContentId::of(JPEG);
    let command = Command {
        boat: boat.clone(),
        issued: Timestamp(1_795_450_800_000),
        files: vec![RequestedFile {
            id: request,
            sighting: request,
            file: EncounterFile::Crops,
            received: Some(ReceivedBytes { content, bytes: 5 }),
            max_bytes: 1 << 28,
            expires: Timestamp(1_795_451_800_000),
            over_any_link: true,
        }],
    };
    let bytes = ChunkContent::Bytes {
        file: content,
        total: JPEG.len() as u64,
        offset: 5,
        bytes: JPEG.get(5..)?.to_vec(),
    };
    let reason = UnavailableReason::TooLarge { bytes: 1 << 30 };
    let chunk = |content| {
        let boat = boat.clone();
        let chunk = Chunk {
            boat,
            request,
            content,
        };
        let chunk = wire::encode(&chunk).ok()?;
        validate("flukewatch/v1/a/chunk", &chunk).content.ok()?;
        Some(chunk)
    };
    Some([
        wire::encode(&command).ok()?,
        chunk(bytes)?,
        chunk(ChunkContent::Unavailable(reason))?,
    ])
}

fn make_seeds() -> Option<[Vec<u8>; 19]> {
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
    let part = PicturePart::of(&picture, ContentId::of(JPEG), 5, 1 << 16)?;
    let part = wire::encode(&part).ok()?;
    validate("flukewatch/v1/a/picture", &part).content.ok()?;
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
    let mut set = far_out.clone();
    set.condition.as_mut()?.settings = Some(samples::settings_report());
    let sighting = wire::encode(&sighting).ok()?;
    for seed in [&old, &sighting, &unidentified] {
        validate("flukewatch/v1/a/sighting", seed).content.ok()?;
    }
    let [offer, request, piece, report] = make_bundle_seeds()?;
    let [command, chunk, unavailable] = make_file_seeds()?;
    Some([
        seal(&key(), Purpose::BoatMessage, &sighting),
        sighting,
        old,
        wire::encode(&picture).ok()?,
        part,
        wire::encode(&ack).ok()?,
        unidentified,
        wire::encode(&samples::status_report()).ok()?,
        wire::encode(&far_out).ok()?,
        wire::encode(&set).ok()?,
        wire::encode(&samples::boat_settings()).ok()?,
        brief,
        offer,
        request,
        piece,
        report,
        command,
        chunk,
        unavailable,
    ])
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| make_seeds().unwrap_or_else(|| panic!("a sample is invalid")));
    },
    |bytes: &[u8]| {
        take(bytes);
        // Only the seed is signed by its key.
        if let Ok(content) = open(&key().public(), Purpose::BoatMessage, bytes) {
            assert_eq!(bytes, seal(&key(), Purpose::BoatMessage, content));
            validate("flukewatch/v1/a/sighting", content).content.unwrap_or_else(|e| panic!("{e:?}"));
        }
        let mut right = bytes.to_vec();
        repair::message(&mut right);
        take(&right);
    }
);
