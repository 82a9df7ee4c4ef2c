//! Matroska with images, as a decoder of an IP camera's stream sends it.
#![no_main]

use flukewatch_edge::matroska::Reader;
use flukewatch_edge::video::DemuxError;
use flukewatch_fuzz::seeds;
use std::io::Cursor;

const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const CLUSTER: &[u8] = &[0x1f, 0x43, 0xb6, 0x75];
const UNKNOWN_SIZE: u8 = 0xff;

/// An element whose size fits into seven bits.
fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &[0x80 | content.len() as u8], content].concat()
}

/// Images of `width` x 2 pixels, each with the number of its cluster and its time in it.
fn stream(width: u8, images: &[(u8, i16)]) -> Vec<u8> {
    let mut video = element(&[0xb0], &[width]);
    video.extend(element(&[0xba], &[2]));
    video.extend(element(&[0x2e, 0xb5, 0x24], b"I420"));
    let mut stream = element(&[0x1a, 0x45, 0xdf, 0xa3], b"\x42\x82\x88matroska");
    stream.extend([SEGMENT, &[UNKNOWN_SIZE]].concat());
    stream.extend(element(&[0x2a, 0xd7, 0xb1], &[0x0f, 0x42, 0x40]));
    stream.extend(element(
        &[0x16, 0x54, 0xae, 0x6b],
        &element(&[0xae], &element(&[0xe0], &video)),
    ));
    for (cluster, time) in images {
        stream.extend([CLUSTER, &[UNKNOWN_SIZE]].concat());
        stream.extend(element(&[0xe7], &[*cluster]));
        let [high, low] = time.to_be_bytes();
        let image = vec![*cluster; usize::from(width) * 3];
        stream.extend(element(
            &[0xa3],
            &[&[0x81, high, low, 0x80], image.as_slice()].concat(),
        ));
    }
    stream
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [stream(8, &[(0, 0), (1, 33), (2, -5)]), stream(16, &[(9, 0)]), stream(8, &[])]);
    },
    |bytes: &[u8]| {
        let mut reader = Reader::new(Cursor::new(bytes));
        // Each image takes several bytes.
        for _ in 0..=bytes.len() {
            let mut image = vec![];
            match reader.next(&mut image) {
                Ok(Some(_)) => assert!(!image.is_empty() && image.len() <= bytes.len()),
                Ok(None) | Err(DemuxError::Unsupported(_) | DemuxError::Io(_) | DemuxError::InvalidFrame(_)) => return,
                Err(DemuxError::Foreign(_)) => panic!("no other format is recognised"),
            }
        }
        panic!("the stream does not end");
    }
);
