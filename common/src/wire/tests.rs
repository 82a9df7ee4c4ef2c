use super::*;
use crate::catalogue::Match;
use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::embedding::CompactEmbedding;
use crate::footage::{ConfigId, CropQuality, Footage, FrameSize, Place};
use crate::pixel_box::PixelBox;
use crate::position::{FixQuality, Position, TimeBasis, TimeSource};
use crate::sighting::{Part, PictureInfo};
use proptest::prelude::*;
use uuid::Uuid;

fn sighting() -> Sighting {
    Sighting {
        id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
        boat: "balaena".parse().unwrap(),
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
        chance: Some(0.875),
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
            source: TimeSource::Satellites,
            uncertainty: Some(500),
        }),
        footage: Some(Footage {
            encounter: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000),
            frame: FrameSize {
                width: 1920,
                height: 1080,
            },
            places: vec![
                Place {
                    after: 0,
                    region: PixelBox {
                        x0: 100,
                        y0: 50,
                        x1: 740,
                        y1: 370,
                    },
                },
                Place {
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
    }
}

fn picture(bytes: usize) -> Picture {
    Picture {
        sighting: sighting().id,
        boat: sighting().boat,
        jpeg: vec![0xd8; bytes],
    }
}

fn receipt() -> Receipt {
    let id = sighting().id;
    Receipt {
        boat: sighting().boat,
        stored: vec![(id, Part::Sighting), (id, Part::Picture)],
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// An envelope that is right in all but what it carries.
fn envelope(kind: u8, version: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = b"FLKW".to_vec();
    bytes.push(kind);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn every_kind_comes_back_as_it_went() {
    assert_eq!(
        decode::<Sighting>(&encode(&sighting()).unwrap()).unwrap(),
        sighting()
    );
    assert_eq!(
        decode::<Picture>(&encode(&picture(200_000)).unwrap()).unwrap(),
        picture(200_000)
    );
    assert_eq!(
        decode::<Receipt>(&encode(&receipt()).unwrap()).unwrap(),
        receipt()
    );
}

/// Boats at sea speak this form: where this test fails, the version must go up.
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
    let second = "010000603f"; // chance 0.875
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
        "02",                                 // places
        "006432e405f202",                     // at the begin
        "ac1b6e3cee05ac02",                   // 3.5 s later
        "01",                                 // crops
        "90033e506461",                       // 400 ms: sharpness, size, angle, exposure
        "05",                                 // earlier crops
        "010000403f",                         // detector 0.75
        "0f010203040506ff",                   // configuration
    );
    let bytes = encode(&sighting()).unwrap();
    assert_eq!(
        hex(&bytes[HEADER..]),
        [payload, second, third, fourth].concat()
    );
    assert_eq!(hex(&bytes[..HEADER]), "464c4b5701040081d1682b");

    let older = |head: &str, payload: &str| {
        let text = [head, payload].concat();
        let bytes: Vec<u8> = (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect();
        decode::<Sighting>(&bytes).unwrap()
    };
    let as_third = Sighting {
        footage: None,
        ..sighting()
    };
    let with_position = [payload, second, third].concat();
    assert_eq!(older(THIRD_VERSION_HEAD, &with_position), as_third);
    let as_second = Sighting {
        position: None,
        time: None,
        ..as_third
    };
    let with_chance = [payload, second].concat();
    assert_eq!(older(SECOND_VERSION_HEAD, &with_chance), as_second);
    let as_first = Sighting {
        chance: None,
        ..as_second
    };
    assert_eq!(older(FIRST_VERSION_HEAD, payload), as_first);
}

/// The envelopes of the same sighting in versions 1, 2 and 3, as boats sent them.
const FIRST_VERSION_HEAD: &str = "464c4b570101008ccb99ae";
const SECOND_VERSION_HEAD: &str = "464c4b57010200bbbec53f";
const THIRD_VERSION_HEAD: &str = "464c4b57010300ecdef75c";

#[test]
fn an_older_version_of_a_sighting_ends_where_it_ends() {
    let new = postcard::to_stdvec(&sighting()).unwrap();
    for version in [1, 2, 3] {
        assert_eq!(
            decode::<Sighting>(&envelope(1, version, &new)),
            Err(WireError::Payload("sighting"))
        );
    }
}

#[test]
fn the_other_kinds_have_known_bytes() {
    assert_eq!(
        hex(&encode(&receipt()).unwrap()),
        "464c4b57030100bc7733960762616c61656e6102100190000000007000800000000000000100100190000000007000800000000000000101"
    );
    assert_eq!(
        hex(&encode(&picture(3)).unwrap()),
        "464c4b5702010043daddea10019000000000700080000000000000010762616c61656e6103d8d8d8"
    );
}

#[test]
fn a_newer_version_is_refused_by_name() {
    let mut bytes = encode(&sighting()).unwrap();
    bytes[5..7].copy_from_slice(&513u16.to_le_bytes());
    let error = decode::<Sighting>(&bytes).unwrap_err();
    assert_eq!(
        error,
        WireError::Newer {
            kind: "sighting",
            got: 513,
            known: 4
        }
    );
    assert_eq!(
        error.to_string(),
        "a sighting of version 513 came, but this program reads versions up to 4: update it"
    );
    // Whatever a newer version may change behind it: the version is read first.
    assert_eq!(
        decode::<Receipt>(&envelope(3, 2, b"\xff")),
        Err(WireError::Newer {
            kind: "receipt",
            got: 2,
            known: 1
        })
    );
    assert_eq!(
        decode::<Receipt>(&envelope(3, 0, b"")),
        Err(WireError::Payload("receipt"))
    );
}

#[test]
fn another_kind_is_refused_by_name() {
    let error = decode::<Sighting>(&encode(&receipt()).unwrap()).unwrap_err();
    assert_eq!(
        error,
        WireError::WrongKind {
            got: 3,
            wanted: "sighting"
        }
    );
}

#[test]
fn a_message_cut_anywhere_is_refused() {
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
fn a_bit_flipped_anywhere_is_noticed() {
    let whole = encode(&receipt()).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(decode::<Receipt>(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn foreign_bytes_are_called_foreign() {
    assert_eq!(
        decode::<Sighting>(b"{\"whale\": 1, \"boat\": 2}"),
        Err(WireError::Foreign)
    );
    assert_eq!(decode::<Sighting>(b"hi"), Err(WireError::Foreign));
}

#[test]
fn bytes_after_the_message_are_refused() {
    let whole = encode(&receipt()).unwrap();
    let longer = [&whole[HEADER..], b"\0"].concat();
    assert_eq!(
        decode::<Receipt>(&envelope(3, 1, &longer)),
        Err(WireError::Payload("receipt"))
    );
}

#[test]
fn a_boat_with_a_bad_name_is_refused() {
    let payload = postcard::to_stdvec(&("a/b", 0u8)).unwrap();
    assert_eq!(
        decode::<Receipt>(&envelope(3, 1, &payload)),
        Err(WireError::Payload("receipt"))
    );
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
fn a_message_that_lies_about_its_length_takes_no_memory() {
    // A receipt that announces 2^63 entries.
    let mut payload = postcard::to_stdvec("balaena").unwrap();
    payload.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
    assert_eq!(
        decode::<Receipt>(&envelope(3, 1, &payload)),
        Err(WireError::Payload("receipt"))
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(decode::<Sighting>(&bytes).is_err());
    }

    #[test]
    fn any_payload_is_read_or_refused(payload in proptest::collection::vec(any::<u8>(), 0..300)) {
        for version in 1..=3 {
            let _ = decode::<Sighting>(&envelope(1, version, &payload));
        }
        let _ = decode::<Picture>(&envelope(2, 1, &payload));
        let _ = decode::<Receipt>(&envelope(3, 1, &payload));
    }

    #[test]
    fn a_damaged_payload_is_read_or_refused(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut payload = encode(&sighting()).unwrap().split_off(HEADER);
        let at = at.index(payload.len());
        payload[at] = value;
        let _ = decode::<Sighting>(&envelope(1, 3, &payload));
    }
}
