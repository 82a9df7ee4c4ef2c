//! What a message is: a sighting, a picture, or something to be refused. Never a panic, whatever the bytes.

use crate::store::arrival::{Arrival, Content, KEPT_HEAD, Origin, Reason, Refusal};
use flukewatch_common::clock::Timestamp;
use flukewatch_common::decision::Verdict;
use flukewatch_common::footage::Footage;
use flukewatch_common::prepare;
use flukewatch_common::sighting::{BoatId, MAX_CANDIDATES, Part, Picture, Sighting};
use flukewatch_common::topic;
use flukewatch_common::wire::{self, WireError};
use image::{ImageFormat, ImageReader};
use sha2::{Digest, Sha256};
use std::io::Cursor;
use std::panic::catch_unwind;

/// The longest name (whale, photo, camera, bundle, engine) in a sighting, in bytes.
pub const LONGEST_NAME: usize = 256;
/// The longest side of a picture that is shown, in pixels.
pub const LONGEST_SIDE: u32 = 8192;
/// The most pixels of a picture that is shown; a file of 200 kB may unfold to far more.
pub const MOST_PIXELS: u64 = 16_000_000;

/// Judges a message by its topic and bytes.
pub fn judge(topic: &str, payload: &[u8]) -> Arrival {
    let origin = Origin {
        topic: topic.chars().take(256).collect(),
        bytes: payload.len() as u64,
        head: payload.iter().take(KEPT_HEAD).copied().collect(),
        digest: Sha256::digest(payload).into(),
    };
    let content = match topic::parse_part(topic) {
        Some((boat, Part::Sighting)) => wire::decode(payload)
            .map_err(unread)
            .and_then(|s| sighting(&boat, s)),
        Some((boat, Part::Picture)) => wire::decode(payload)
            .map_err(unread)
            .and_then(|p| picture(&boat, p)),
        None => Err(refusal(
            Reason::Topic,
            format!("'{}' names no boat and part", origin.topic),
        )),
    };
    Arrival { origin, content }
}

/// The refusal of a message that the broker did not let through, or that the client could not read.
pub fn too_large(sender: &str, bytes: usize, head: Vec<u8>) -> Arrival {
    let digest = Sha256::digest(&head).into();
    let detail = format!(
        "{sender} sent a packet of {bytes} bytes; at most {} are read",
        wire::MAX_MESSAGE
    );
    Arrival {
        origin: Origin {
            topic: String::new(),
            bytes: bytes as u64,
            head,
            digest,
        },
        content: Err(refusal(Reason::TooLarge, detail)),
    }
}

fn refusal(reason: Reason, detail: impl Into<String>) -> Refusal {
    Refusal {
        reason,
        detail: detail.into(),
    }
}

fn unread(error: WireError) -> Refusal {
    let reason = match error {
        WireError::TooLarge(_) => Reason::TooLarge,
        WireError::Foreign => Reason::Foreign,
        WireError::Truncated(_) | WireError::Checksum | WireError::Payload(_) => Reason::Damaged,
        WireError::WrongKind { .. } => Reason::WrongKind,
        WireError::Newer { .. } => Reason::Newer,
    };
    refusal(reason, error.to_string())
}

fn same_boat(topic: &BoatId, message: &BoatId) -> Result<(), Refusal> {
    if topic == message {
        return Ok(());
    }
    Err(refusal(
        Reason::WrongBoat,
        format!("a message of boat {message} came on the topic of {topic}"),
    ))
}

fn sighting(boat: &BoatId, s: Sighting) -> Result<Content, Refusal> {
    same_boat(boat, &s.boat)?;
    match nonsense(&s) {
        Some(what) => Err(refusal(Reason::Senseless, what)),
        None => Ok(Content::Sighting(Box::new(s))),
    }
}

fn nonsense(s: &Sighting) -> Option<String> {
    let printable = |t: Timestamp| jiff::Timestamp::from_millisecond(t.0).is_ok();
    let whale = match &s.verdict {
        Verdict::Known { whale } => whale.as_str(),
        Verdict::New | Verdict::Review => "",
    };
    let names = [whale, &s.camera, &s.bundle, &s.engine].into_iter();
    let names = names.chain(
        s.candidates
            .iter()
            .flat_map(|c| [c.whale.as_str(), c.photo.as_str()]),
    );
    if s.sequence == 0 || i64::try_from(s.sequence).is_err() {
        Some(format!("sequence number {}", s.sequence))
    } else if !printable(s.started) || !printable(s.ended) {
        Some(format!(
            "a time that no clock shows: {} to {}",
            s.started, s.ended
        ))
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
        Some("a candidate's score that is no cosine".into())
    } else if s.chance.is_some_and(|c| !(0.0..=1.0).contains(&c)) {
        Some("a chance that is not in 0 to 1".into())
    } else if s.position.is_some_and(|p| !p.makes_sense()) {
        Some("a position that is nowhere on Earth".into())
    } else if let Some(fault) = s.footage.as_ref().and_then(Footage::fault) {
        Some(fault.into())
    } else if names.clone().any(|n| n.len() > LONGEST_NAME) {
        Some(format!("a name of more than {LONGEST_NAME} bytes"))
    } else if matches!(s.verdict, Verdict::Known { .. }) && whale.trim().is_empty() {
        Some("a known whale without a name".into())
    } else {
        s.embedding.expand().err().map(|error| error.to_string())
    }
}

fn picture(boat: &BoatId, picture: Picture) -> Result<Content, Refusal> {
    same_boat(boat, &picture.boat)?;
    let sha256 = Sha256::digest(&picture.jpeg).into();
    // The decoder is not ours and the bytes are anybody's: should it panic, the picture is a broken one and no more.
    let readable = catch_unwind(|| readable(&picture.jpeg)).unwrap_or(false);
    Ok(Content::Picture {
        picture,
        sha256,
        readable,
    })
}

/// Whether `bytes` are a JPEG of a size that a browser can be given.
fn readable(bytes: &[u8]) -> bool {
    let dimensions =
        ImageReader::with_format(Cursor::new(bytes), ImageFormat::Jpeg).into_dimensions();
    let sane = |(w, h): (u32, u32)| {
        let side = 1..=LONGEST_SIDE;
        side.contains(&w) && side.contains(&h) && u64::from(w) * u64::from(h) <= MOST_PIXELS
    };
    dimensions.is_ok_and(sane) && prepare::decode(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn reason(topic: &str, payload: &[u8]) -> Option<Reason> {
        judge(topic, payload).content.err().map(|r| r.reason)
    }

    fn of(sighting: &Sighting) -> Option<Reason> {
        reason(
            &topic::of_part(&sighting.boat, Part::Sighting),
            &wire::encode(sighting).unwrap(),
        )
    }

    #[test]
    fn an_honest_message_is_content() {
        let (s, p) = sample::sighting("balaena", 1);
        assert_eq!(of(&s), None);
        let arrival = judge("flukewatch/v1/balaena/picture", &wire::encode(&p).unwrap());
        assert!(matches!(
            arrival.content,
            Ok(Content::Picture { readable: true, .. })
        ));
    }

    #[test]
    fn each_wrong_is_named() {
        let (s, p) = sample::sighting("balaena", 1);
        let good = wire::encode(&s).unwrap();
        let topic = "flukewatch/v1/balaena/sighting";
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        assert_eq!(reason(topic, b"\xff\x00 any bytes"), Some(Reason::Foreign));
        assert_eq!(
            reason(topic, &good[..good.len() - 1]),
            Some(Reason::Damaged)
        );
        assert_eq!(reason(topic, &good[..8]), Some(Reason::Damaged));
        assert_eq!(reason(topic, &[]), Some(Reason::Damaged));
        assert_eq!(reason(topic, &changed(5, 9)), Some(Reason::Newer));
        assert_eq!(
            reason(topic, &wire::encode(&p).unwrap()),
            Some(Reason::WrongKind)
        );
        assert_eq!(
            reason(topic, &vec![0; wire::MAX_MESSAGE + 1]),
            Some(Reason::TooLarge)
        );
        assert_eq!(
            reason("flukewatch/v1/Ocean!/sighting", &good),
            Some(Reason::Topic)
        );
        assert_eq!(
            reason("flukewatch/v1/megaptera/sighting", &good),
            Some(Reason::WrongBoat)
        );
        let newer = judge(topic, &changed(5, 9)).content.unwrap_err().detail;
        assert!(
            newer.contains("version 9") && newer.contains("update it"),
            "{newer}"
        );
    }

    #[test]
    fn what_no_boat_sends_is_senseless() {
        type Change = fn(&mut Sighting);
        let changes: [Change; 14] = [
            |s| s.sequence = 0,
            |s| s.sequence = u64::MAX,
            |s| s.started = Timestamp(i64::MAX),
            |s| s.candidates[0].score = f32::NAN,
            |s| s.candidates[0].score = 7.0,
            |s| s.chance = Some(f32::NAN),
            |s| s.chance = Some(1.5),
            |s| s.position.as_mut().unwrap().latitude = 91.0,
            |s| s.position.as_mut().unwrap().speed = Some(f32::NAN),
            |s| s.candidates = vec![s.candidates[0].clone(); MAX_CANDIDATES + 1],
            |s| s.camera = "x".repeat(LONGEST_NAME + 1),
            |s| s.verdict = Verdict::Known { whale: " ".into() },
            |s| s.embedding.scale = 0.0,
            |s| s.footage.as_mut().unwrap().crops.clear(),
        ];
        for (i, change) in changes.iter().enumerate() {
            let (mut s, _) = sample::sighting("balaena", 1);
            change(&mut s);
            assert_eq!(of(&s), Some(Reason::Senseless), "change {i}");
        }
    }

    #[test]
    fn a_picture_that_cannot_be_shown_is_broken() {
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
            let arrival = judge("flukewatch/v1/balaena/picture", &bytes);
            assert!(matches!(
                arrival.content,
                Ok(Content::Picture {
                    readable: false,
                    ..
                })
            ));
        }
    }
}
