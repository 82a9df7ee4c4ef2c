use super::*;
use crate::catalogue::Match;
use crate::clock::Timestamp;
use crate::decision::Verdict;
use crate::embedding::CompactEmbedding;
use crate::pixel_box::PixelBox;
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
    let bytes = encode(&sighting()).unwrap();
    // The chance, 0.875, stands behind what version 1 has.
    assert_eq!(hex(&bytes[HEADER..]), format!("{payload}010000603f"));
    assert_eq!(hex(&bytes[..HEADER]), "464c4b57010200bbbec53f");

    let first_version = [FIRST_VERSION_HEAD, payload].concat();
    let first_version: Vec<u8> = (0..first_version.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&first_version[i..i + 2], 16).unwrap())
        .collect();
    let expected = Sighting {
        chance: None,
        ..sighting()
    };
    assert_eq!(decode::<Sighting>(&first_version).unwrap(), expected);
}

/// The envelope of the same sighting in version 1, as boats sent it.
const FIRST_VERSION_HEAD: &str = "464c4b570101008ccb99ae";

#[test]
fn the_first_version_of_a_sighting_ends_where_it_ends() {
    let new = postcard::to_stdvec(&sighting()).unwrap();
    assert_eq!(
        decode::<Sighting>(&envelope(1, 1, &new)),
        Err(WireError::Payload("sighting"))
    );
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
            known: 2
        }
    );
    assert_eq!(
        error.to_string(),
        "a sighting of version 513 came, but this program reads versions up to 2: update it"
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
        let _ = decode::<Sighting>(&envelope(1, 1, &payload));
        let _ = decode::<Picture>(&envelope(2, 1, &payload));
        let _ = decode::<Receipt>(&envelope(3, 1, &payload));
    }

    #[test]
    fn a_damaged_payload_is_read_or_refused(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut payload = encode(&sighting()).unwrap().split_off(HEADER);
        let at = at.index(payload.len());
        payload[at] = value;
        let _ = decode::<Sighting>(&envelope(1, 1, &payload));
    }
}
