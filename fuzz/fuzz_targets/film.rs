//! Films, to their end: MJPEG, Y4M and AVI by what they start with.
#![no_main]

use flukewatch_edge::source::film::{ReelError, Shot, reel};
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
    let shots = [
        b"movi".as_slice(),
        &chunk(b"00dc", PICTURE),
        &chunk(b"00dc", &[]),
        &chunk(b"00dc", PICTURE),
    ];
    let film = [
        b"AVI ".as_slice(),
        &chunk(b"LIST", &head),
        &chunk(b"LIST", &shots.concat()),
    ];
    chunk(b"RIFF", &film.concat())
}

fn y4m(colour: &str, bytes: usize) -> Vec<u8> {
    let mut film =
        format!("YUV4MPEG2 W6 H4 F30:1 Ip A1:1 C{colour} XCOLORRANGE=FULL\n").into_bytes();
    for shade in [40, 200] {
        film.extend_from_slice(b"FRAME\n");
        film.resize(film.len() + bytes, shade);
    }
    film
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [avi(), y4m("420jpeg", 36), y4m("mono", 24), [PICTURE, b"\0\0", PICTURE].concat()]);
    },
    |bytes: &[u8]| {
        let Ok(Some(mut reel)) = reel(Cursor::new(bytes.to_vec())) else {
            return;
        };
        // Each shot takes at least a byte of the film.
        for _ in 0..=bytes.len() + 1 {
            match reel.next(&mut vec![]) {
                Ok(Shot::End) | Err(ReelError::NoFilm(_) | ReelError::Io(_)) => return,
                Ok(_) | Err(ReelError::Broken(_)) => {}
            }
        }
        panic!("the film never ends");
    }
);
