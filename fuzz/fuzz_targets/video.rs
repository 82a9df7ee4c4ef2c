//! Videos, to their end: MJPEG, Y4M and AVI by their first bytes. Others are rejected.
#![no_main]

use flukewatch_edge::video::{DemuxError, Sample, open};
use flukewatch_fuzz::seeds;
use std::io::Cursor;

const PICTURE: &[u8] = include_bytes!("../seeds/baseline.jpg");

fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let length = (content.len() as u32).to_le_bytes();
    let padding = &[0][..content.len() % 2];
    [id, length.as_slice(), content, padding].concat()
}

fn avi() -> Vec<u8> {
    let mut stream = vec![0; 56];
    stream[..8].copy_from_slice(b"vidsMJPG");
    stream[20] = 1;
    stream[24] = 30;
    let mut format = vec![0; 40];
    format[16..20].copy_from_slice(b"MJPG");
    let stream = [
        b"strl".as_slice(),
        &chunk(b"strh", &stream),
        &chunk(b"strf", &format),
    ]
    .concat();
    let main = chunk(b"avih", &33_333_u32.to_le_bytes().repeat(14));
    let head = [b"hdrl".as_slice(), &main, &chunk(b"LIST", &stream)].concat();
    let samples = [
        b"movi".as_slice(),
        &chunk(b"00dc", PICTURE),
        &chunk(b"00dc", &[]),
        &chunk(b"00dc", PICTURE),
    ];
    let video = [
        b"AVI ".as_slice(),
        &chunk(b"LIST", &head),
        &chunk(b"LIST", &samples.concat()),
    ];
    chunk(b"RIFF", &video.concat())
}

fn y4m(colour: &str, bytes: usize) -> Vec<u8> {
    let mut video =
        format!("YUV4MPEG2 W6 H4 F30:1 Ip A1:1 C{colour} XCOLORRANGE=FULL\n").into_bytes();
    for shade in [40, 200] {
        video.extend_from_slice(b"FRAME\n");
        video.resize(video.len() + bytes, shade);
    }
    video
}

libfuzzer_sys::fuzz_target!(
    init: {
        let unmarked = &PICTURE[..PICTURE.len() - 2];
        seeds(|| [
            avi(),
            y4m("420jpeg", 36),
            y4m("mono", 24),
            [PICTURE, b"\0\0", PICTURE].concat(),
            // Without end markers, as cheap cameras send it.
            [unmarked, PICTURE, unmarked, b"\0\0\0", unmarked, b"\r\n--b\r\n", PICTURE].concat(),
        ]);
    },
    |bytes: &[u8]| {
        let Ok(Some(mut demuxer)) = open(Cursor::new(bytes.to_vec())) else {
            return;
        };
        // Each sample takes at least a byte.
        for _ in 0..=bytes.len() + 1 {
            match demuxer.next(&mut vec![]) {
                Ok(Sample::End) | Err(DemuxError::Unsupported(_) | DemuxError::Foreign(_) | DemuxError::Io(_)) => return,
                Ok(_) | Err(DemuxError::InvalidFrame(_)) => {}
            }
        }
        panic!("the video does not end");
    }
);
