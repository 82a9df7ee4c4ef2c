use super::element::{UNKNOWN_SIZE, id, put, put_id, put_number};
use super::*;
use crate::encoded_frame::{Codec, StreamFormat};
use crate::frame::RawFormat;
use crate::pixel_format::{ColourRange, PixelLayout, Shape};
use crate::video::DemuxError;
use proptest::prelude::*;
use std::io::Cursor;

const HEAD: usize = 4 + 8;

fn format() -> StreamFormat {
    StreamFormat {
        codec: Codec::H265,
        configuration: b"hvcC".to_vec(),
        width: 1920,
        height: 1080,
    }
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    let found = bytes.windows(part.len()).position(|w| w == part);
    found.unwrap_or_else(|| panic!("{part:x?} is missing"))
}

/// Relative time, flags and frame.
type Frame = (i16, u8, Vec<u8>);

/// The clusters of a stream, each with its time and its frames.
fn clusters(stream: &[u8]) -> Vec<(u64, Vec<Frame>)> {
    let number = |at: usize| u64::from_be_bytes(stream[at..at + 8].try_into().unwrap());
    let mut at = position(stream, &[0x1f, 0x43, 0xb6, 0x75]);
    let mut clusters = vec![];
    while at < stream.len() {
        if stream[at] == 0x1f {
            assert_eq!(number(at + 4), UNKNOWN_SIZE);
            assert_eq!(stream[at + HEAD], 0xe7);
            clusters.push((number(at + HEAD + 9), vec![]));
            at += HEAD + 17;
        }
        assert_eq!(stream[at], 0xa3, "a block");
        let size = (number(at + 1) ^ 1 << 56) as usize;
        let block = &stream[at + 9..][..size];
        assert_eq!(block[0], 0x81, "track 1");
        let after = i16::from_be_bytes([block[1], block[2]]);
        let (_, blocks) = clusters.last_mut().unwrap();
        blocks.push((after, block[3], block[4..].to_vec()));
        at += 9 + size;
    }
    clusters
}

#[test]
fn each_key_frame_begins_a_cluster() {
    let mut stream = vec![];
    let mut writer = Writer::new(&mut stream, &format()).unwrap();
    for (millis, is_key, frame) in [
        (0, true, "key"),
        (33, false, "a"),
        // Shown before the one that precedes it.
        (20, false, "b"),
        (70_000, false, "late"),
        (70_033, true, "next"),
    ] {
        writer.frame(millis, is_key, frame.as_bytes()).unwrap();
    }
    let block = |after, flags, frame: &str| (after, flags, frame.as_bytes().to_vec());
    assert_eq!(
        clusters(&stream),
        [
            (
                0,
                vec![block(0, 0x80, "key"), block(33, 0, "a"), block(20, 0, "b")]
            ),
            (70_000, vec![block(0, 0, "late")]),
            (70_033, vec![block(0, 0x80, "next")]),
        ]
    );
    assert!(stream.starts_with(&[0x1a, 0x45, 0xdf, 0xa3]));
    for part in [&b"matroska"[..], b"V_MPEGH/ISO/HEVC", b"hvcC"] {
        position(&stream, part);
    }
}

/// A stream of images of 8 x 2 pixels, as GStreamer writes it.
fn images(images: &[(u64, i16)]) -> Vec<u8> {
    let mut video = vec![];
    put_number(&mut video, id::PIXEL_WIDTH, 8);
    put_number(&mut video, id::PIXEL_HEIGHT, 2);
    put(&mut video, id::UNCOMPRESSED_FOURCC, b"I420");
    let mut colour = vec![];
    put_number(&mut colour, id::RANGE, 2);
    put(&mut video, id::COLOUR, &colour);
    let mut entry = vec![];
    put(&mut entry, id::VIDEO, &video);
    let mut tracks = vec![];
    put(&mut tracks, id::TRACK_ENTRY, &entry);
    let mut stream = vec![];
    put(&mut stream, id::EBML, b"whatever");
    put_id(&mut stream, id::SEGMENT);
    stream.extend_from_slice(&UNKNOWN_SIZE.to_be_bytes());
    put(&mut stream, id::TRACKS, &tracks);
    for (number, (cluster, after)) in images.iter().enumerate() {
        put_id(&mut stream, id::CLUSTER);
        // A size of one byte.
        stream.push(0xff);
        put_number(&mut stream, id::TIMESTAMP, *cluster);
        let mut block = vec![0x81];
        block.extend_from_slice(&after.to_be_bytes());
        block.push(0);
        block.extend_from_slice(&[number as u8; 24]);
        put(&mut stream, id::SIMPLE_BLOCK, &block);
    }
    stream
}

fn read(stream: Vec<u8>) -> (Vec<(i64, Vec<u8>)>, Option<DemuxError>) {
    let mut reader = Reader::new(Cursor::new(stream));
    let mut all = vec![];
    loop {
        let mut bytes = vec![];
        match reader.next(&mut bytes) {
            Ok(Some(block)) => {
                let shape = Shape {
                    width: 8,
                    height: 2,
                    stride: 8,
                };
                let format = RawFormat::Uncompressed {
                    layout: PixelLayout::Planar420,
                    shape,
                    range: ColourRange::Full,
                };
                assert_eq!(block.format, format);
                all.push((block.millis, bytes));
            }
            Ok(None) => return (all, None),
            Err(e) => return (all, Some(e)),
        }
    }
}

#[test]
fn images_are_read_with_their_times() {
    let (all, error) = read(images(&[(0, 0), (1_000, -40), (1 << 40, 7)]));
    assert!(error.is_none(), "{error:?}");
    let expected = [
        (0, vec![0; 24]),
        (960, vec![1; 24]),
        ((1 << 40) + 7, vec![2; 24]),
    ];
    assert_eq!(all, expected);
}

#[test]
fn what_is_not_understood_is_named() {
    let good = images(&[(0, 0)]);
    let width = |pixels| {
        let mut element = vec![];
        put_number(&mut element, id::PIXEL_WIDTH, pixels);
        element
    };
    let replaced = |part: &[u8], by: &[u8]| {
        let at = position(&good, part);
        let mut changed = good.clone();
        changed[at..at + by.len()].copy_from_slice(by);
        changed
    };
    for (stream, message) in [
        (replaced(b"I420", b"NV12"), "a stream without I420 images"),
        (replaced(&width(8), &width(16)), "frames of 24 bytes"),
        (b"<html>404</html>".to_vec(), "in the middle of a frame"),
        (b"\x00\x00".to_vec(), "not Matroska"),
    ] {
        let (all, error) = read(stream);
        assert!(all.is_empty());
        let error = error.unwrap().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn a_stream_that_breaks_off_gives_what_is_whole() {
    let whole = images(&[(0, 0), (40, 0)]);
    let (all, error) = read(whole[..whole.len() - 1].to_vec());
    assert_eq!(all.len(), 1);
    assert!(
        matches!(error, Some(DemuxError::InvalidFrame(_))),
        "{error:?}"
    );
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut stream = images(&[(0, 0), (40, 1), (80, 2)]);
        for (at, byte) in damage {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        stream.truncate(cut.index(stream.len()) + 1);
        let mut reader = Reader::new(Cursor::new(stream));
        let mut bytes = vec![];
        let mut images = 0;
        while let Ok(Some(_)) = reader.next(&mut bytes) {
            images += 1;
        }
        prop_assert!(images <= 3);
    }
}
