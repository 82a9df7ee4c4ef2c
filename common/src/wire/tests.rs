use super::*;
use crate::bundle_transfer::{ContentId, MAX_PIECE, TransferProgress};
use crate::embedding::CompactEmbedding;
use crate::file_transfer::{
    ChunkContent, EncounterFile, ReceivedBytes, RequestedFile, UnavailableReason,
};
use crate::message_digest::MessageDigest;
use crate::picture_part;
use crate::samples::sighting;
use crate::sighting::Rejected;
use crate::topic;
use proptest::prelude::*;

fn picture(bytes: usize) -> Picture {
    Picture {
        sighting: sighting().id,
        boat: sighting().boat,
        jpeg: vec![0xd8; bytes],
        original: None,
    }
}

fn ack() -> Ack {
    let id = sighting().id;
    Ack {
        boat: sighting().boat,
        stored: [MessageKind::Sighting, MessageKind::Picture]
            .map(|kind| Acknowledged {
                sighting: id,
                kind,
                revision: 0,
                message: None,
            })
            .to_vec(),
        rejected: vec![],
    }
}

/// An ack of two messages that rejects a third one.
fn ack_with_rejection() -> Ack {
    Ack {
        rejected: vec![Rejected {
            kind: MessageKind::Picture,
            message: MessageDigest::of(b"abc"),
            reason: "corrupt".into(),
        }],
        ..ack()
    }
}

/// The ack of the same messages, once the sighting was revised.
fn ack_of_revision() -> Ack {
    let mut ack = ack();
    ack.stored[0].revision = 1;
    ack
}

/// The ack that a station signs.
fn bound_ack() -> Ack {
    let mut ack = ack_of_revision();
    for acknowledged in &mut ack.stored {
        acknowledged.message = Some(MessageDigest::of(b"abc"));
    }
    ack
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A valid envelope around any payload.
fn envelope(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"FLKW".to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn every_kind_round_trips() {
    assert_eq!(
        decode::<Sighting>(&encode(&sighting()).unwrap()).unwrap(),
        sighting()
    );
    assert_eq!(
        decode::<Picture>(&encode(&picture(200_000)).unwrap()).unwrap(),
        picture(200_000)
    );
    let reduced = Picture {
        original: Some([7; 32]),
        ..picture(1000)
    };
    assert_eq!(
        decode::<Picture>(&encode(&reduced).unwrap()).unwrap(),
        reduced
    );
    for ack in [ack(), ack_of_revision(), ack_with_rejection(), bound_ack()] {
        assert_eq!(decode::<Ack>(&encode(&ack).unwrap()).unwrap(), ack);
    }
    let revised = Sighting {
        revision: 300,
        ..sighting()
    };
    assert_eq!(
        decode::<Sighting>(&encode(&revised).unwrap()).unwrap(),
        revised
    );
    let without_place = Sighting {
        relative_position: None,
        ..revised
    };
    let without_regions = Sighting {
        regions: None,
        ..without_place.clone()
    };
    for older in [without_place, without_regions] {
        assert_eq!(decode::<Sighting>(&encode(&older).unwrap()).unwrap(), older);
    }
}

/// Deployed boats use this format: if this test fails, the version must be raised.
#[test]
fn a_known_sighting_has_known_bytes() {
    let payload = concat!(
        "1001900000000070008000000000000001",   // id
        "0762616c61656e61",                     // boat
        "ac02",                                 // sequence
        "03626f77",                             // camera
        "809ea893c168",                         // started, zigzag
        "d8d4a893c168",                         // ended
        "23",                                   // frames
        "000748572d30303432",                   // known: HW-0042
        "02",                                   // candidates
        "0748572d303034320000403f05612e6a7067", // HW-0042, 0.75, a.jpg
        "0748572d303030370000003f05622e6a7067", // HW-0007, 0.5, b.jpg
        "0000003c",                             // scale
        "0580ff00017f",                         // values
        "abababababababababababababababababababababababababababababababab", // SHA-256
        "80f7028005c002",                       // bytes, width, height
        "6432e405f202",                         // region
        "0c303132333435363738396162",           // bundle
        "10747261637420302e32332e3920663332",   // engine
    );
    let second = "010000603f"; // probability 0.875
    let third = concat!(
        "010000000000404340",   // latitude 38.5
        "0000000000a03cc0",     // longitude -28.625
        "01ac02",               // differential, 300 ms old
        "0109010000403f",       // 9 satellites, HDOP 0.75
        "010000d0400100008743", // 6.5 knots, course 270
        "00",                   // no heading
        "010101f403",           // time from satellites, 500 ms
    );
    let fourth = concat!(
        "01",                                 // footage
        "1001900000000070008000000000000000", // encounter
        "800fb808",                           // frames of 1920 x 1080
        "02",                                 // boxes
        "006432e405f202",                     // at the start
        "ac1b6e3cee05ac02",                   // 3.5 s later
        "01",                                 // crops
        "90033e506461",                       // 400 ms: sharpness, size, angle, exposure
        "05",                                 // earlier crops
        "010000403f",                         // detector 0.75
        "0f010203040506ff",                   // configuration
    );
    let fifth = concat!(
        "0110e0e1e2e300004000800000000000000e", // epoch
        "00",                                   // revision 0
    );
    let sixth = concat!(
        "01",                     // matching regions
        "050a",                   // 5 x 10 cells
        "8005c0024040c009c004",   // of a picture of 640 x 320 pixels (32, 32) to (608, 288)
        "02",                     // two candidates
        "01",                     // a photo of 1000 x 500 pixels:
        "e807f40300c801d00fe807", // (0, 100) to (1000, 500)
        "02",                     // two regions
        "0d0e3c1a1a2d",           // cells 13 and 14: 60 thousandths; 26 and 26: 45
        "00",                     // a photo whose part is unknown
        "01",                     // one region
        "0d02ac02",               // cells 13 and 2: 300 thousandths
    );
    // The seventh differs in the verdict alone.
    let eighth = concat!(
        "01",         // relative position
        "0100005841", // 13.5 degrees from the bow
        "0100c08d43", // bearing 283.5
        "010000af43", // 350 m
    );
    let bytes = encode(&sighting()).unwrap();
    assert_eq!(
        hex(&bytes[HEADER..]),
        [payload, second, third, fourth, fifth, sixth, eighth].concat()
    );
    assert_eq!(hex(&bytes[..HEADER]), "464c4b57010800df7acd91");

    let older = |head: &str, payload: &str| {
        let text = [head, payload].concat();
        let bytes: Vec<u8> = (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect();
        decode::<Sighting>(&bytes).unwrap()
    };
    let as_sixth = Sighting {
        relative_position: None,
        ..sighting()
    };
    let with_regions = [payload, second, third, fourth, fifth, sixth].concat();
    assert_eq!(older(SIXTH_VERSION_HEAD, &with_regions), as_sixth);
    // Still written like this, for stations that know no relative position.
    let written = hex(&encode(&as_sixth).unwrap());
    assert_eq!(written, [SIXTH_VERSION_HEAD, &with_regions].concat());
    let as_fifth = Sighting {
        regions: None,
        ..as_sixth
    };
    let with_epoch = [payload, second, third, fourth, fifth].concat();
    assert_eq!(older(FIFTH_VERSION_HEAD, &with_epoch), as_fifth);
    // Still written like this, for stations that know no matching regions.
    let written = hex(&encode(&as_fifth).unwrap());
    assert_eq!(written, [FIFTH_VERSION_HEAD, &with_epoch].concat());
    let as_fourth = Sighting {
        epoch: None,
        ..as_fifth
    };
    let with_footage = [payload, second, third, fourth].concat();
    assert_eq!(older(FOURTH_VERSION_HEAD, &with_footage), as_fourth);
    let as_third = Sighting {
        footage: None,
        ..as_fourth
    };
    let with_position = [payload, second, third].concat();
    assert_eq!(older(THIRD_VERSION_HEAD, &with_position), as_third);
    let as_second = Sighting {
        position: None,
        time: None,
        ..as_third
    };
    let with_probability = [payload, second].concat();
    assert_eq!(older(SECOND_VERSION_HEAD, &with_probability), as_second);
    let as_first = Sighting {
        probability: None,
        ..as_second
    };
    assert_eq!(older(FIRST_VERSION_HEAD, payload), as_first);
}

/// Bytes of a picture, as docs/wire.md has them.
const PICTURE_PART: &str = "464c4b570e01006aa872120762616c61656e611001900000000070008000000000000001ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015adf0a20480800403d8d8d800";
/// Shore's answer to it.
const ANSWER_TO_PART: &str = "464c4b570306007c92bbd00762616c61656e610110019000000000700080000000000000010383800401ba7816bf8f01cfea414140de5dae222300";

/// The envelopes of the same sighting in versions 1 to 6, as boats sent them.
/// The link of a status report.
const LINK: &str = "0104840701b0ea01e08f0103dc0b01f0012880f104002880897a00";
/// What a status report says of settings.
const REPORT_ON_SETTINGS: &str = "0103020319612073746167652072657374617274656420332074696d6573";
/// Settings from shore.
const SETTINGS: &str = "464c4b570b01008a7ae6a20762616c61656e6103809ea893c168030100000000000000e03f06000000000000002c400a0104";
const FIRST_VERSION_HEAD: &str = "464c4b570101008ccb99ae";
const SECOND_VERSION_HEAD: &str = "464c4b57010200bbbec53f";
const THIRD_VERSION_HEAD: &str = "464c4b57010300ecdef75c";
const FOURTH_VERSION_HEAD: &str = "464c4b5701040081d1682b";
const FIFTH_VERSION_HEAD: &str = "464c4b570105009c616f98";
const SIXTH_VERSION_HEAD: &str = "464c4b5701060037f54e96";

#[test]
fn an_older_version_of_a_sighting_has_no_newer_fields() {
    let new = postcard::to_stdvec(&sighting()).unwrap();
    for version in 1..=7 {
        assert_eq!(
            decode::<Sighting>(&envelope(1, version, &new)),
            Err(WireError::Payload("sighting"))
        );
    }
}

#[test]
fn an_unidentified_encounter_is_version_7() {
    let unidentified = Sighting {
        verdict: Verdict::Unidentified {
            reason: "no model".into(),
        },
        candidates: vec![],
        embedding: CompactEmbedding::NONE,
        regions: None,
        relative_position: None,
        ..sighting()
    };
    let bytes = encode(&unidentified).unwrap();
    assert_eq!(bytes[5..7], [7, 0]);
    assert_eq!(decode::<Sighting>(&bytes).unwrap(), unidentified);
    // What a boat stored before an update is read, and written again as it was.
    let stored = envelope(1, 7, &bytes[HEADER..]);
    assert_eq!(encode(&decode::<Sighting>(&stored).unwrap()), Ok(stored));
    let with_position = Sighting {
        relative_position: sighting().relative_position,
        ..unidentified
    };
    let bytes = encode(&with_position).unwrap();
    assert_eq!(bytes[5..7], [8, 0]);
    assert_eq!(decode::<Sighting>(&bytes).unwrap(), with_position);
}

#[test]
fn the_other_kinds_have_known_bytes() {
    assert_eq!(
        hex(&encode(&ack()).unwrap()),
        "464c4b57030100bc7733960762616c61656e6102100190000000007000800000000000000100100190000000007000800000000000000101"
    );
    let presence = Presence {
        boat: sighting().boat,
        instance: sighting().id,
        epoch: crate::samples::epoch(),
    };
    let bytes = encode(&presence).unwrap();
    assert_eq!(decode::<Presence>(&bytes).unwrap(), presence);
    assert_eq!(
        hex(&bytes),
        "464c4b570401009b9718bc0762616c61656e61100190000000007000800000000000000110e0e1e2e300004000800000000000000e"
    );
    let report = crate::samples::status_report();
    let last_will = StatusReport {
        condition: None,
        ..report.clone()
    };
    for (report, expected) in [
        (
            report,
            "464c4b57050100123fc1cd0762616c61656e6110019000000000700080000000000000010201809ea893c168012363616d65726120737465726e3a206e6f206672616d65733b2072657374617274696e6705302e312e300c3031323334353637383961620100000000004043400000000000a03cc002010701ac02",
        ),
        (
            last_will,
            "464c4b57050100892294940762616c61656e6110019000000000700080000000000000010200",
        ),
    ] {
        let bytes = encode(&report).unwrap();
        assert_eq!(hex(&bytes), expected);
        assert_eq!(decode::<StatusReport>(&bytes).unwrap(), report);
    }
    let mut far_out = crate::samples::status_report();
    far_out.condition.as_mut().unwrap().link = Some(crate::samples::link_report());
    let bytes = encode(&far_out).unwrap();
    assert_eq!(bytes[5..7], [2, 0], "version 2");
    assert_eq!(decode::<StatusReport>(&bytes).unwrap(), far_out);
    assert_eq!(
        hex(&bytes[bytes.len() - LINK.len() / 2..]),
        LINK,
        "at the end"
    );
    let report_on_settings = crate::samples::settings_report();
    for link in [None, Some(crate::samples::link_report())] {
        let mut set = crate::samples::status_report();
        let condition = set.condition.as_mut().unwrap();
        condition.link = link;
        condition.settings = Some(report_on_settings.clone());
        let bytes = encode(&set).unwrap();
        assert_eq!(bytes[5..7], [3, 0], "version 3");
        assert_eq!(decode::<StatusReport>(&bytes).unwrap(), set);
        let end = bytes.len() - REPORT_ON_SETTINGS.len() / 2;
        assert_eq!(hex(&bytes[end..]), REPORT_ON_SETTINGS, "at the end");
    }
    let settings = crate::samples::boat_settings();
    let bytes = encode(&settings).unwrap();
    assert_eq!(hex(&bytes), SETTINGS);
    assert_eq!(decode::<BoatSettings>(&bytes), Ok(settings));
    let brief = Brief::of(&sighting());
    assert_eq!(
        hex(&encode(&brief).unwrap()[HEADER..]),
        "10019000000000700080000000000000010762616c61656e61ac020110e0e1e2e300004000800000000000000e00809ea893c168ac1b23000748572d3030343201df01a0fcd503c7b6dd02"
    );
    assert_eq!(decode::<Brief>(&encode(&brief).unwrap()), Ok(brief));
    // An ack without briefs can be read by a boat that knows none.
    let of_brief = Ack {
        stored: vec![Acknowledged {
            kind: MessageKind::Brief,
            ..bound_ack().stored[0]
        }],
        ..bound_ack()
    };
    let bytes = encode(&of_brief).unwrap();
    assert_eq!(bytes[5..7], [5, 0]);
    assert_eq!(decode::<Ack>(&bytes), Ok(of_brief));
    assert_eq!(encode(&bound_ack()).unwrap()[5..7], [4, 0]);
    assert_eq!(
        hex(&encode(&ack_of_revision()).unwrap()),
        "464c4b57030200f16373ea0762616c61656e61021001900000000070008000000000000001000110019000000000700080000000000000010100"
    );
    let id = "1001900000000070008000000000000001";
    let digest = "01ba7816bf8f01cfea414140de5dae2223";
    assert_eq!(
        hex(&encode(&bound_ack()).unwrap()[HEADER..]),
        format!("0762616c61656e6102{id}0001{digest}{id}0100{digest}00")
    );
    let rejection = Ack {
        stored: vec![],
        ..ack_with_rejection()
    };
    assert_eq!(
        hex(&encode(&rejection).unwrap()),
        "464c4b57030300ef55cd290762616c61656e61000101ba7816bf8f01cfea414140de5dae222307636f7272757074"
    );
    assert_eq!(
        hex(&encode(&picture(3)).unwrap()),
        "464c4b5702010043daddea10019000000000700080000000000000010762616c61656e6103d8d8d8"
    );
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = encode(&sighting()).unwrap();
    bytes[5..7].copy_from_slice(&513u16.to_le_bytes());
    let error = decode::<Sighting>(&bytes).unwrap_err();
    assert_eq!(
        error,
        WireError::Newer {
            kind: "sighting",
            got: 513,
            known: 8
        }
    );
    assert_eq!(
        error.to_string(),
        "sighting version 513 is newer than this program, which reads up to 8: update the program"
    );
    // The version is checked before the rest, which a newer version may change.
    assert_eq!(
        decode::<Ack>(&envelope(3, 7, b"\xff")),
        Err(WireError::Newer {
            kind: "ack",
            got: 7,
            known: 6
        })
    );
    assert_eq!(
        decode::<Ack>(&envelope(3, 0, b"")),
        Err(WireError::Payload("ack"))
    );
}

fn check<M: Message + PartialEq + std::fmt::Debug>(message: M, expected: &str) {
    let bytes = encode(&message).unwrap();
    assert_eq!(hex(&bytes), expected);
    assert_eq!(decode::<M>(&bytes), Ok(message));
    assert_eq!(kind(&bytes), Some(M::KIND));
}

/// A part of a picture, and shore's answer to it.
fn part_and_answer() -> (PicturePart, Ack) {
    let part = PicturePart {
        boat: sighting().boat,
        sighting: sighting().id,
        file: ContentId::of(b"abc"),
        total: 70_000,
        offset: 65_536,
        bytes: vec![0xd8; 3],
        original: None,
    };
    let digest = MessageDigest::of(b"abc");
    let answer = picture_part::answer(part.sighting, part.end(), digest);
    let ack = Ack {
        stored: vec![answer],
        ..bound_ack()
    };
    (part, ack)
}

#[test]
fn a_part_of_a_picture_and_its_answer_have_known_bytes() {
    let (part, ack) = part_and_answer();
    check(part, PICTURE_PART);
    check(ack.clone(), ANSWER_TO_PART);
    assert_eq!(encode(&ack).unwrap()[5..7], [6, 0]);
    // A boat that sends no parts receives none of version 6.
    let without = [ack_of_revision(), ack_with_rejection(), bound_ack()];
    assert_eq!(without.map(|ack| ack.version()), [2, 3, 4]);
    let mut of_both = ack;
    of_both.stored.extend(bound_ack().stored);
    of_both.stored[1].kind = MessageKind::Brief;
    assert_eq!(decode(&encode(&of_both).unwrap()), Ok(of_both));
}

#[test]
fn messages_about_requested_files_have_known_bytes() {
    let boat = sighting().boat;
    let request = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);
    let content = ContentId::of(b"abc");
    let issued = sighting().started;
    check(
        Command {
            boat: boat.clone(),
            issued,
            files: vec![RequestedFile {
                id: request,
                sighting: sighting().id,
                file: EncounterFile::Clip,
                received: Some(ReceivedBytes {
                    content,
                    bytes: 65_536,
                }),
                max_bytes: 256_000_000,
                expires: issued.plus_millis(14 * 86_400_000),
                over_any_link: false,
            }],
        },
        "464c4b570c01002acd42e50762616c61656e61809ea893c16801100190000000007000800000000000000210019000000000700080000000000000010001ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad8080048080897a80bef094ca6800",
    );
    for (content, expected) in [
        (
            ChunkContent::Bytes {
                file: content,
                total: 100_000,
                offset: 65_536,
                bytes: b"abc".to_vec(),
            },
            "464c4b570d0100c3dbb6180762616c61656e61100190000000007000800000000000000200ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ada08d0680800403616263",
        ),
        (
            ChunkContent::Unavailable(UnavailableReason::TooLarge { bytes: 300_000_000 }),
            "464c4b570d010079904a770762616c61656e611001900000000070008000000000000002010480c6868f01",
        ),
    ] {
        let boat = boat.clone();
        check(
            Chunk {
                boat,
                request,
                content,
            },
            expected,
        );
    }
}

#[test]
fn messages_about_bundles_have_known_bytes() {
    let boat = sighting().boat;
    let offer = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0002);
    let content = ContentId::of(b"abc");
    check(
        BundleOffer {
            boat: boat.clone(),
            id: offer,
            manifest: content,
            manifest_bytes: 2048,
            signature: b"{}".to_vec(),
        },
        "464c4b5706010083dd9fdc0762616c61656e611001900000000070008000000000000002ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad8010027b7d",
    );
    check(
        ContentRequest {
            boat: boat.clone(),
            offer,
            content,
            offset: 65_536,
            max_bytes: MAX_PIECE,
        },
        "464c4b57070100de1dec4d0762616c61656e611001900000000070008000000000000002ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad808004808004",
    );
    for (piece, expected) in [
        (
            Some(b"abc".to_vec()),
            "464c4b570801009fb69edd0762616c61656e61ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad8080040103616263",
        ),
        (
            None,
            "464c4b570801002fcd250f0762616c61656e61ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad80800400",
        ),
    ] {
        let piece = ContentPiece {
            boat: boat.clone(),
            content,
            offset: 65_536,
            piece,
        };
        check(piece, expected);
    }
    for (progress, expected) in [
        (
            TransferProgress::Receiving {
                received: 1500,
                total: 6000,
            },
            "464c4b5709010043a8ae550762616c61656e611001900000000070008000000000000002809ea893c16800dc0bf02e",
        ),
        (
            TransferProgress::Active,
            "464c4b570901000d4050620762616c61656e611001900000000070008000000000000002809ea893c16803",
        ),
        (
            TransferProgress::Rejected {
                reason: "not signed".into(),
            },
            "464c4b57090100d009284c0762616c61656e611001900000000070008000000000000002809ea893c168040a6e6f74207369676e6564",
        ),
    ] {
        let report = TransferReport {
            boat: boat.clone(),
            offer,
            at: sighting().started,
            progress,
        };
        check(report, expected);
    }
}

#[test]
fn another_kind_is_named() {
    let error = decode::<Sighting>(&encode(&ack()).unwrap()).unwrap_err();
    assert_eq!(
        error,
        WireError::WrongKind {
            got: 3,
            wanted: "sighting"
        }
    );
}

#[test]
fn a_truncated_message_is_rejected() {
    let whole = encode(&sighting()).unwrap();
    for end in 0..whole.len() {
        assert!(decode::<Sighting>(&whole[..end]).is_err(), "cut at {end}");
    }
    assert_eq!(
        decode::<Sighting>(&whole[..7]),
        Err(WireError::Truncated(7))
    );
    assert_eq!(decode::<Sighting>(&[]), Err(WireError::Truncated(0)));
}

#[test]
fn a_flipped_bit_is_detected() {
    let whole = encode(&ack()).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode::<Ack>(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn bytes_without_the_magic_are_foreign() {
    assert_eq!(
        decode::<Sighting>(b"{\"whale\": 1, \"boat\": 2}"),
        Err(WireError::Foreign)
    );
    assert_eq!(decode::<Sighting>(b"hi"), Err(WireError::Foreign));
}

#[test]
fn bytes_after_the_message_are_rejected() {
    let whole = encode(&ack()).unwrap();
    let longer = [&whole[HEADER..], b"\0"].concat();
    assert_eq!(
        decode::<Ack>(&envelope(3, 1, &longer)),
        Err(WireError::Payload("ack"))
    );
}

#[test]
fn a_boat_with_an_invalid_name_is_rejected() {
    let payload = postcard::to_stdvec(&("a/b", 0u8)).unwrap();
    for version in [1, 2, 3] {
        assert_eq!(
            decode::<Ack>(&envelope(3, version, &payload)),
            Err(WireError::Payload("ack"))
        );
    }
}

#[test]
fn large_messages_are_neither_sent_nor_read() {
    assert!(matches!(
        encode(&picture(MAX_MESSAGE)),
        Err(WireError::TooLarge(_))
    ));
    let hundred_megabytes = vec![0u8; 100 << 20];
    assert_eq!(
        decode::<Picture>(&hundred_megabytes),
        Err(WireError::TooLarge(100 << 20))
    );
}

#[test]
fn a_false_length_allocates_no_memory() {
    // An ack that announces 2^63 entries.
    let mut payload = postcard::to_stdvec("balaena").unwrap();
    payload.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    for version in [1, 2, 3] {
        assert_eq!(
            decode::<Ack>(&envelope(3, version, &payload)),
            Err(WireError::Payload("ack"))
        );
    }
}

/// Kind and newest version of a message, as the AsyncAPI document has them.
fn documented<M: Message>() -> String {
    format!(
        "      x-kind: {}\n      x-version: {}\n",
        M::KIND,
        M::VERSION
    )
}

#[test]
fn the_asyncapi_document_has_every_topic_and_message() {
    let document = include_str!("../../../docs/asyncapi.yaml");
    let boat: BoatId = "balaena".parse().unwrap();
    for topic in [
        topic::of_message(&boat, MessageKind::Sighting),
        topic::of_message(&boat, MessageKind::Picture),
        topic::of_message(&boat, MessageKind::Brief),
        topic::of_acks(&boat),
        topic::of_presence(&boat),
        topic::of_status(&boat),
        topic::of_offer(&boat),
        topic::of_requests(&boat),
        topic::of_content(&boat),
        topic::of_commands(&boat),
        topic::of_chunks(&boat),
        topic::of_settings(&boat),
    ] {
        let address = format!("address: {}\n", topic.replace("balaena", "{boat}"));
        assert!(document.contains(&address), "{address}");
    }
    for message in [
        documented::<Sighting>(),
        documented::<Picture>(),
        documented::<Ack>(),
        documented::<Presence>(),
        documented::<StatusReport>(),
        documented::<BundleOffer>(),
        documented::<ContentRequest>(),
        documented::<ContentPiece>(),
        documented::<TransferReport>(),
        documented::<Brief>(),
        documented::<Command>(),
        documented::<Chunk>(),
        documented::<PicturePart>(),
        documented::<BoatSettings>(),
    ] {
        assert!(document.contains(&message), "{message}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode::<Sighting>(&bytes).is_err());
    }

    #[test]
    fn any_payload_is_decoded_or_rejected(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in 1..=8 {
            let _ = decode::<Sighting>(&envelope(1, version, &payload));
        }
        let _ = decode::<Picture>(&envelope(2, 1, &payload));
        for version in 1..=3 {
            let _ = decode::<StatusReport>(&envelope(5, version, &payload));
        }
        let _ = decode::<BundleOffer>(&envelope(6, 1, &payload));
        let _ = decode::<ContentRequest>(&envelope(7, 1, &payload));
        let _ = decode::<ContentPiece>(&envelope(8, 1, &payload));
        let _ = decode::<TransferReport>(&envelope(9, 1, &payload));
        let _ = decode::<Brief>(&envelope(10, 1, &payload));
        let _ = decode::<Command>(&envelope(12, 1, &payload));
        let _ = decode::<Chunk>(&envelope(13, 1, &payload));
        if let Ok(part) = decode::<PicturePart>(&envelope(14, 1, &payload)) {
            let _ = part.validate();
        }
        if let Ok(settings) = decode::<BoatSettings>(&envelope(11, 1, &payload)) {
            let _ = settings.validate();
        }
        for version in 1..=6 {
            let _ = decode::<Ack>(&envelope(3, version, &payload));
        }
    }

    #[test]
    fn a_damaged_payload_is_decoded_or_rejected(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut payload = encode(&sighting()).unwrap().split_off(HEADER);
        let at = at.index(payload.len());
        payload[at] = value;
        let _ = decode::<Sighting>(&envelope(1, 8, &payload));
    }
}
