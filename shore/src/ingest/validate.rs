//! Validates incoming messages: a sighting, a picture or a part of one, a status, a report on a bundle, a request for a
//! piece of one, a chunk of a requested file, or a message to reject. Never panics on any bytes.

use crate::picture_check::is_displayable;
use crate::store::{
    Content, IncomingMessage, MAX_HEAD_BYTES, MAX_TRANSFER_BYTES, MessageMeta, RejectReason,
    Rejection,
};
use flukewatch_common::brief::Brief;
use flukewatch_common::bundle_transfer::{ContentRequest, TransferProgress, TransferReport};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::embedding::CompactEmbedding;
use flukewatch_common::file_transfer::Chunk;
use flukewatch_common::footage::Footage;
use flukewatch_common::picture_part::PicturePart;
use flukewatch_common::sighting::{
    BoatId, MAX_CANDIDATES, MAX_REASON_BYTES, MessageKind, Picture, Sighting,
};
use flukewatch_common::status_report::{BoatCondition, StatusReport};
use flukewatch_common::topic;
use flukewatch_common::wire::{self, Message, WireError};
use sha2::{Digest, Sha256};

/// Limit of each name (whale, photo, camera, bundle, engine) in a sighting.
pub const MAX_NAME_BYTES: usize = 256;
const MAX_TOPIC_CHARS: usize = 256;

/// Validates a message by its topic and content.
pub fn validate(topic: &str, payload: &[u8]) -> IncomingMessage {
    let meta = meta(topic, payload);
    let content = match topic::parse(topic) {
        Some((boat, MessageKind::Sighting)) => wire::decode(payload)
            .map_err(map_wire_error)
            .and_then(|sighting| validate_sighting(&boat, sighting)),
        Some((boat, MessageKind::Picture | MessageKind::PicturePart)) => {
            validate_of_picture(&boat, payload)
        }
        Some((boat, MessageKind::Brief)) => wire::decode(payload)
            .map_err(map_wire_error)
            .and_then(|brief| validate_brief(&boat, brief)),
        None => validate_other(topic, payload).unwrap_or_else(|| {
            Err(rejection(
                RejectReason::UnknownTopic,
                format!(
                    "topic '{}' does not name a boat and a message kind",
                    meta.topic
                ),
            ))
        }),
    };
    IncomingMessage { meta, content }
}

/// Validates a message that is not a part of a sighting; `None` where its topic does not name a boat.
fn validate_other(topic: &str, payload: &[u8]) -> Option<Result<Content, Rejection>> {
    if let Some(boat) = topic::parse_status(topic) {
        let report = wire::decode(payload).map_err(map_wire_error);
        return Some(report.and_then(|report| validate_status(&boat, report)));
    }
    if let Some(boat) = topic::parse_chunk(topic) {
        let chunk = wire::decode(payload).map_err(map_wire_error);
        return Some(chunk.and_then(|chunk| validate_chunk(&boat, chunk)));
    }
    let boat = topic::parse_request(topic)?;
    Some(if wire::kind(payload) == Some(TransferReport::KIND) {
        let report = wire::decode(payload).map_err(map_wire_error);
        report.and_then(|report| validate_transfer(&boat, report))
    } else {
        let request: Result<ContentRequest, _> = wire::decode(payload).map_err(map_wire_error);
        request.and_then(|request| {
            require_same_boat(&boat, &request.boat)?;
            Ok(Content::Request(request))
        })
    })
}

/// The rejection of a message that its boat has not signed.
pub(super) fn reject_unauthenticated(
    topic: &str,
    payload: &[u8],
    rejection: Rejection,
) -> IncomingMessage {
    IncomingMessage {
        meta: meta(topic, payload),
        content: Err(rejection),
    }
}

fn meta(topic: &str, payload: &[u8]) -> MessageMeta {
    MessageMeta {
        topic: topic.chars().take(MAX_TOPIC_CHARS).collect(),
        bytes: payload.len() as u64,
        head: payload.iter().take(MAX_HEAD_BYTES).copied().collect(),
        digest: Sha256::digest(payload).into(),
        retained: false,
    }
}

/// The rejection of a packet that was too large to be read.
pub fn reject_too_large(client_id: &str, bytes: usize, head: Vec<u8>) -> IncomingMessage {
    let digest = Sha256::digest(&head).into();
    let detail = format!(
        "{client_id} sent a packet of {bytes} bytes; the limit is {} bytes",
        wire::MAX_MESSAGE
    );
    IncomingMessage {
        meta: MessageMeta {
            topic: String::new(),
            bytes: bytes as u64,
            head,
            digest,
            retained: false,
        },
        content: Err(rejection(RejectReason::TooLarge, detail)),
    }
}

fn rejection(reason: RejectReason, detail: impl Into<String>) -> Rejection {
    Rejection {
        reason,
        detail: detail.into(),
    }
}

fn map_wire_error(error: WireError) -> Rejection {
    let reason = match error {
        WireError::TooLarge(_) => RejectReason::TooLarge,
        WireError::Foreign => RejectReason::UnknownFormat,
        WireError::Truncated(_) | WireError::Checksum | WireError::Payload(_) => {
            RejectReason::Corrupt
        }
        WireError::WrongKind { .. } => RejectReason::WrongKind,
        WireError::Newer { .. } => RejectReason::UnsupportedVersion,
    };
    rejection(reason, error.to_string())
}

fn require_same_boat(topic: &BoatId, message: &BoatId) -> Result<(), Rejection> {
    if topic == message {
        return Ok(());
    }
    Err(rejection(
        RejectReason::WrongBoat,
        format!("message of boat {message} on the topic of boat {topic}"),
    ))
}

fn validate_sighting(boat: &BoatId, sighting: Sighting) -> Result<Content, Rejection> {
    require_same_boat(boat, &sighting.boat)?;
    if let Some(detail) = invalid_value(&sighting) {
        return Err(rejection(RejectReason::Invalid, detail));
    }
    // The store keeps earlier revisions as messages; an old version may grow beyond the limit.
    wire::encode(&sighting).map_err(map_wire_error)?;
    Ok(Content::Sighting(Box::new(sighting)))
}

/// A description of the first invalid value, if there is one.
fn invalid_value(s: &Sighting) -> Option<String> {
    let representable = |t: Timestamp| jiff::Timestamp::from_millisecond(t.0).is_ok();
    let whale = match &s.verdict {
        Verdict::Known { whale } => whale.as_str(),
        Verdict::New | Verdict::Review | Verdict::Unidentified { .. } => "",
    };
    let candidates = s.candidates.iter();
    let mut names = [whale, &s.camera, &s.bundle, &s.engine]
        .into_iter()
        .chain(candidates.flat_map(|c| [c.whale.as_str(), c.photo.as_str()]));
    if s.sequence == 0 || i64::try_from(s.sequence).is_err() {
        Some(format!("sequence number {} out of range", s.sequence))
    } else if !representable(s.started) || !representable(s.ended) {
        Some(format!("time out of range: {} to {}", s.started, s.ended))
    } else if s.candidates.len() > MAX_CANDIDATES {
        Some(format!(
            "{} candidates, more than {MAX_CANDIDATES}",
            s.candidates.len()
        ))
    } else if s
        .candidates
        .iter()
        .any(|c| !(-1.001..=1.001).contains(&c.score))
    {
        Some("candidate score outside [-1, 1]".into())
    } else if s.probability.is_some_and(|p| !(0.0..=1.0).contains(&p)) {
        Some("match probability outside [0, 1]".into())
    } else if s.position.is_some_and(|p| !p.is_valid()) {
        Some("position out of range".into())
    } else if s.relative_position.is_some_and(|r| !r.is_valid()) {
        Some("relative position out of range, or without bearing and range".into())
    } else if let Some(Err(invalid)) = s.footage.as_ref().map(Footage::validate) {
        Some(invalid.to_string())
    } else if let Some(Err(invalid)) = s.regions.as_ref().map(|r| r.validate(s.candidates.len())) {
        Some(invalid.to_string())
    } else if names.any(|name| name.len() > MAX_NAME_BYTES) {
        Some(format!("name longer than {MAX_NAME_BYTES} bytes"))
    } else if matches!(s.verdict, Verdict::Known { .. }) && whale.trim().is_empty() {
        Some("verdict 'known' without the name of a whale".into())
    } else if let Verdict::Unidentified { reason } = &s.verdict {
        invalid_unidentified(s, reason).map(str::to_owned)
    } else {
        s.embedding.expand().err().map(|error| error.to_string())
    }
}

/// What an unidentified sighting has that only an identification can give, or lacks.
fn invalid_unidentified(s: &Sighting, reason: &str) -> Option<&'static str> {
    const _: () = assert!(MAX_REASON_BYTES == 256, "the text below says so");
    if reason.trim().is_empty() {
        Some("verdict 'unidentified' without a reason")
    } else if reason.len() > MAX_REASON_BYTES {
        Some("reason of verdict 'unidentified' longer than 256 bytes")
    } else if !s.candidates.is_empty() || s.probability.is_some() || s.regions.is_some() {
        Some("verdict 'unidentified' with candidates, a match probability or matching regions")
    } else if s.embedding != CompactEmbedding::NONE {
        Some("verdict 'unidentified' with an embedding")
    } else {
        None
    }
}

fn validate_brief(boat: &BoatId, brief: Brief) -> Result<Content, Rejection> {
    require_same_boat(boat, &brief.boat)?;
    match brief.validate() {
        Ok(()) => Ok(Content::Brief(Box::new(brief))),
        Err(invalid) => Err(rejection(RejectReason::Invalid, invalid.to_string())),
    }
}

fn validate_status(boat: &BoatId, report: StatusReport) -> Result<Content, Rejection> {
    require_same_boat(boat, &report.boat)?;
    match report.condition.as_ref().map(BoatCondition::validate) {
        Some(Err(invalid)) => Err(rejection(RejectReason::Invalid, invalid.to_string())),
        Some(Ok(())) | None => Ok(Content::Status(Box::new(report))),
    }
}

fn validate_transfer(boat: &BoatId, report: TransferReport) -> Result<Content, Rejection> {
    require_same_boat(boat, &report.boat)?;
    let invalid = |detail: String| Err(rejection(RejectReason::Invalid, detail));
    if let Err(error) = report.validate() {
        return invalid(error.to_string());
    }
    if jiff::Timestamp::from_millisecond(report.at.0).is_err() {
        return invalid(format!("time out of range: {}", report.at));
    }
    match report.progress {
        TransferProgress::Receiving { total, .. } if total > MAX_TRANSFER_BYTES => {
            invalid(format!("{total} bytes, more than a bundle can have"))
        }
        _ => Ok(Content::Transfer(report)),
    }
}

fn validate_chunk(boat: &BoatId, chunk: Chunk) -> Result<Content, Rejection> {
    require_same_boat(boat, &chunk.boat)?;
    match chunk.validate() {
        Ok(()) => Ok(Content::Chunk(chunk)),
        Err(invalid) => Err(rejection(RejectReason::Invalid, invalid.to_string())),
    }
}

/// A picture, or a part of one.
fn validate_of_picture(boat: &BoatId, payload: &[u8]) -> Result<Content, Rejection> {
    if wire::kind(payload) == Some(PicturePart::KIND) {
        let part = wire::decode(payload).map_err(map_wire_error);
        part.and_then(|part| validate_part(boat, part))
    } else {
        let picture = wire::decode(payload).map_err(map_wire_error);
        picture.and_then(|picture| validate_picture(boat, picture))
    }
}

fn validate_part(boat: &BoatId, part: PicturePart) -> Result<Content, Rejection> {
    require_same_boat(boat, &part.boat)?;
    match part.validate() {
        Ok(()) => Ok(Content::PicturePart(part)),
        Err(invalid) => Err(rejection(RejectReason::Invalid, invalid.to_string())),
    }
}

fn validate_picture(boat: &BoatId, picture: Picture) -> Result<Content, Rejection> {
    require_same_boat(boat, &picture.boat)?;
    let sha256 = Sha256::digest(&picture.jpeg).into();
    let readable = is_displayable(&picture.jpeg);
    Ok(Content::Picture {
        picture,
        sha256,
        readable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use flukewatch_common::bundle_transfer::ContentId;
    use flukewatch_common::relative_position::RelativePosition;
    use uuid::Uuid;

    fn reason(topic: &str, payload: &[u8]) -> Option<RejectReason> {
        validate(topic, payload).content.err().map(|r| r.reason)
    }

    fn reason_of(sighting: &Sighting) -> Option<RejectReason> {
        reason(
            &topic::of_message(&sighting.boat, MessageKind::Sighting),
            &wire::encode(sighting).unwrap(),
        )
    }

    #[test]
    fn valid_messages_are_accepted() {
        let (s, p) = sample::sighting("balaena", 1);
        assert_eq!(reason_of(&s), None);
        let message = validate("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap());
        assert!(matches!(
            message.content,
            Ok(Content::Picture { readable: true, .. })
        ));
    }

    #[test]
    fn each_fault_has_its_reason() {
        let (s, p) = sample::sighting("balaena", 1);
        let good = wire::encode(&s).unwrap();
        let topic = "flukewatch/v1/balaena/sighting";
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        assert_eq!(
            reason(topic, b"\xff\x00 any bytes"),
            Some(RejectReason::UnknownFormat)
        );
        assert_eq!(
            reason(topic, &good[..good.len() - 1]),
            Some(RejectReason::Corrupt)
        );
        assert_eq!(reason(topic, &good[..8]), Some(RejectReason::Corrupt));
        assert_eq!(reason(topic, &[]), Some(RejectReason::Corrupt));
        assert_eq!(
            reason(topic, &changed(5, 9)),
            Some(RejectReason::UnsupportedVersion)
        );
        assert_eq!(
            reason(topic, &wire::encode(&p).unwrap()),
            Some(RejectReason::WrongKind)
        );
        assert_eq!(
            reason(topic, &vec![0; wire::MAX_MESSAGE + 1]),
            Some(RejectReason::TooLarge)
        );
        assert_eq!(
            reason("flukewatch/v1/Ocean!/sighting", &good),
            Some(RejectReason::UnknownTopic)
        );
        assert_eq!(
            reason("flukewatch/v1/megaptera/sighting", &good),
            Some(RejectReason::WrongBoat)
        );
        let newer = validate(topic, &changed(5, 9)).content.unwrap_err().detail;
        assert!(
            newer.contains("version 9") && newer.contains("update the program"),
            "{newer}"
        );
    }

    #[test]
    fn out_of_range_values_are_invalid() {
        type Change = fn(&mut Sighting);
        let changes: [Change; 20] = [
            |s| s.sequence = 0,
            |s| s.sequence = u64::MAX,
            |s| s.started = Timestamp(i64::MAX),
            |s| s.candidates[0].score = f32::NAN,
            |s| s.candidates[0].score = 7.0,
            |s| s.probability = Some(f32::NAN),
            |s| s.probability = Some(1.5),
            |s| s.position.as_mut().unwrap().latitude = 91.0,
            |s| s.position.as_mut().unwrap().speed = Some(f32::NAN),
            |s| s.relative_position.as_mut().unwrap().bearing = Some(361.0),
            |s| s.relative_position.as_mut().unwrap().range = Some(-1.0),
            |s| {
                s.relative_position = Some(RelativePosition {
                    bearing_from_bow: None,
                    bearing: None,
                    range: None,
                })
            },
            |s| s.candidates = vec![s.candidates[0].clone(); MAX_CANDIDATES + 1],
            |s| s.camera = "x".repeat(MAX_NAME_BYTES + 1),
            |s| s.verdict = Verdict::Known { whale: " ".into() },
            |s| s.embedding.scale = 0.0,
            |s| s.footage.as_mut().unwrap().crops.clear(),
            |s| s.regions.as_mut().unwrap().candidates[0].pairs[0].photo = 50,
            |s| s.regions.as_mut().unwrap().width = 0,
            |s| s.candidates.truncate(1),
        ];
        for (i, change) in changes.iter().enumerate() {
            let (mut s, _) = sample::sighting("balaena", 1);
            change(&mut s);
            assert_eq!(reason_of(&s), Some(RejectReason::Invalid), "change {i}");
        }
    }

    #[test]
    fn an_unidentified_sighting_has_a_reason_and_nothing_of_an_identification() {
        let valid = sample::unidentified("balaena", 1);
        assert_eq!(reason_of(&valid), None);
        let identified = sample::sighting("balaena", 1).0;
        let because = |reason: String| Verdict::Unidentified { reason };
        let changes: [&dyn Fn(&mut Sighting); 8] = [
            &|s| s.verdict = because(String::new()),
            &|s| s.verdict = because(" \n".into()),
            &|s| s.verdict = because("x".repeat(MAX_REASON_BYTES + 1)),
            &|s| s.candidates = identified.candidates.clone(),
            &|s| s.probability = Some(0.5),
            &|s| s.regions = identified.regions.clone(),
            &|s| s.embedding = identified.embedding.clone(),
            &|s| s.embedding.scale = f32::NAN,
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut s = valid.clone();
            change(&mut s);
            assert_eq!(reason_of(&s), Some(RejectReason::Invalid), "change {i}");
        }
        let longest = Sighting {
            verdict: because("x".repeat(MAX_REASON_BYTES)),
            ..valid
        };
        assert_eq!(reason_of(&longest), None);
        for verdict in [Verdict::New, Verdict::Review] {
            let without_embedding = Sighting {
                verdict,
                embedding: CompactEmbedding::NONE,
                ..identified.clone()
            };
            assert_eq!(reason_of(&without_embedding), Some(RejectReason::Invalid));
        }
    }

    #[test]
    fn status_reports_are_validated() {
        let report = flukewatch_common::samples::status_report();
        let topic = topic::of_status(&report.boat);
        let reason_of = |report: &StatusReport| reason(&topic, &wire::encode(report).unwrap());
        assert_eq!(reason_of(&report), None);
        let mut invalid = report.clone();
        invalid.condition.as_mut().unwrap().cameras_searched = 9;
        assert_eq!(reason_of(&invalid), Some(RejectReason::Invalid));
        let mut other = report.clone();
        other.boat = "megaptera".parse().unwrap();
        assert_eq!(reason_of(&other), Some(RejectReason::WrongBoat));
        let last_will = StatusReport {
            condition: None,
            ..report
        };
        assert_eq!(reason_of(&last_will), None);
        assert_eq!(reason(&topic, b"noise"), Some(RejectReason::UnknownFormat));
        let sighting = wire::encode(&sample::sighting("balaena", 1).0).unwrap();
        assert_eq!(reason(&topic, &sighting), Some(RejectReason::WrongKind));
    }

    #[test]
    fn reports_and_requests_about_bundles_are_validated() {
        let boat: BoatId = "balaena".parse().unwrap();
        let topic = topic::of_requests(&boat);
        let report = TransferReport {
            boat: boat.clone(),
            offer: Uuid::from_u128(7),
            at: Timestamp(5),
            progress: TransferProgress::Active,
        };
        let reason_of = |report: &TransferReport| reason(&topic, &wire::encode(report).unwrap());
        assert_eq!(reason_of(&report), None);
        type Change = fn(&mut TransferReport);
        let changes: [Change; 4] = [
            |r| r.at = Timestamp(i64::MAX),
            |r| {
                r.progress = TransferProgress::Receiving {
                    received: 2,
                    total: 1,
                }
            },
            |r| {
                r.progress = TransferProgress::Receiving {
                    received: 0,
                    total: u64::MAX,
                }
            },
            |r| {
                r.progress = TransferProgress::Rejected {
                    reason: "two\nlines".into(),
                }
            },
        ];
        for (i, change) in changes.iter().enumerate() {
            let mut changed = report.clone();
            change(&mut changed);
            let found = reason_of(&changed);
            assert_eq!(found, Some(RejectReason::Invalid), "change {i}");
        }
        let mut other = report.clone();
        other.boat = "megaptera".parse().unwrap();
        assert_eq!(reason_of(&other), Some(RejectReason::WrongBoat));

        let request = ContentRequest {
            boat,
            offer: Uuid::from_u128(7),
            content: ContentId::of(b"part"),
            offset: u64::MAX,
            max_bytes: u32::MAX,
        };
        let bytes = wire::encode(&request).unwrap();
        let valid = validate(&topic, &bytes).content;
        assert_eq!(valid, Ok(Content::Request(request.clone())));
        let other = ContentRequest {
            boat: "megaptera".parse().unwrap(),
            ..request
        };
        let other = wire::encode(&other).unwrap();
        assert_eq!(reason(&topic, &other), Some(RejectReason::WrongBoat));
        for (payload, expected) in [
            (&b"noise"[..], RejectReason::UnknownFormat),
            (&bytes[..bytes.len() - 1], RejectReason::Corrupt),
            (
                &wire::encode(&flukewatch_common::samples::status_report()).unwrap(),
                RejectReason::WrongKind,
            ),
        ] {
            assert_eq!(reason(&topic, payload), Some(expected));
        }
    }

    #[test]
    fn a_picture_that_cannot_be_displayed_is_unreadable() {
        let (_, p) = sample::sighting("balaena", 1);
        let mut huge = p.jpeg.clone();
        let frame = huge.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
        huge[frame + 5..frame + 9].copy_from_slice(&[0x4e, 0x20, 0x4e, 0x20]);
        for jpeg in [
            vec![],
            b"no picture".to_vec(),
            p.jpeg[..p.jpeg.len() / 2].to_vec(),
            huge,
        ] {
            let bytes = wire::encode(&Picture { jpeg, ..p.clone() }).unwrap();
            let message = validate("flukewatch/v1/balaena/picture", &bytes);
            assert!(matches!(
                message.content,
                Ok(Content::Picture {
                    readable: false,
                    ..
                })
            ));
        }
    }
}
