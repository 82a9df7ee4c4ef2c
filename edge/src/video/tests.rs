use super::*;
use crate::frame::{FrameImage, RawFormat, RawImage};
use crate::pixel_format::{ColourRange, PixelLayout};
use crate::pixels::Decoder;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use proptest::prelude::*;
use std::io;

/// A JPEG image of a single grey level.
fn jpeg(shade: u8) -> Vec<u8> {
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 95)
        .encode_image(&RgbImage::from_pixel(16, 8, image::Rgb([shade; 3])))
        .unwrap();
    file
}

fn chunk(id: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let mut bytes = id.to_vec();
    bytes.extend_from_slice(&(content.len() as u32).to_le_bytes());
    bytes.extend_from_slice(content);
    if content.len() % 2 == 1 {
        bytes.push(0);
    }
    bytes
}

fn list(kind: &[u8; 4], content: &[u8]) -> Vec<u8> {
    chunk(b"LIST", &[kind, content].concat())
}

/// An AVI file with an audio stream, then `frames` as `codec` at 25 frames in 2 seconds.
fn avi(codec: &[u8; 4], frames: &[Vec<u8>]) -> Vec<u8> {
    let numbers = |n: &[u32]| n.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let avih = chunk(b"avih", &numbers(&[40_000, 0, 0, 0, frames.len() as u32]));
    let strh = |kind: &[u8; 4]| {
        let content = [kind, codec, &numbers(&[0, 0, 0, 2, 25])[..]].concat();
        chunk(b"strh", &content)
    };
    let sound = list(b"strl", &[strh(b"auds"), chunk(b"strf", &[0; 18])].concat());
    let format = [&numbers(&[40, 16, 8, 0])[..], codec, &[0; 20]].concat();
    let video = list(b"strl", &[strh(b"vids"), chunk(b"strf", &format)].concat());
    let mut movi = vec![];
    for frame in frames {
        movi.extend(chunk(b"00wb", &[1, 2, 3]));
        movi.extend(chunk(b"01dc", frame));
    }
    let content = [
        b"AVI ".to_vec(),
        list(b"hdrl", &[avih, sound, video].concat()),
        list(b"INFO", b"ISFTtest"),
        chunk(b"JUNK", &[0; 33]),
        list(b"movi", &movi),
    ]
    .concat();
    chunk(b"RIFF", &content)
}

fn y4m(head: &str, frames: &[&[u8]]) -> Vec<u8> {
    let mut video = format!("YUV4MPEG2 {head}\n").into_bytes();
    for frame in frames {
        video.extend_from_slice(b"FRAME\n");
        video.extend_from_slice(frame);
    }
    video
}

/// Plays a video: the grey level of each frame, or its error.
fn played(video: Vec<u8>) -> Vec<Result<u8, String>> {
    let samples = played_many(video);
    assert!(samples.len() < 100, "it never ends");
    samples
}

/// The same for a video of up to 2000 frames.
fn played_many(video: Vec<u8>) -> Vec<Result<u8, String>> {
    let mut demuxer = open(io::Cursor::new(video)).unwrap().expect("a video");
    let mut decoder = Decoder::new(false);
    let mut samples = vec![];
    loop {
        let mut bytes = vec![];
        match demuxer.next(&mut bytes) {
            Ok(Sample::End) => return samples,
            Ok(Sample::Empty) => samples.push(Err("empty".into())),
            Ok(Sample::Image(format)) => {
                let raw = RawImage {
                    bytes: bytes.into(),
                    format,
                };
                let pixels = decoder.decode_rgb(FrameImage::Raw(raw));
                samples.push(
                    pixels
                        .map(|p| p.get_pixel(0, 0).0[1])
                        .map_err(|e| e.to_string()),
                );
            }
            Err(e) => samples.push(Err(e.to_string())),
        }
        assert!(samples.len() < 2000, "it never ends");
    }
}

fn rejection(video: Vec<u8>) -> String {
    match open(io::Cursor::new(video)) {
        Err(e) => e.to_string(),
        Ok(_) => panic!("the video is accepted"),
    }
}

const SHADES: [u8; 3] = [30, 120, 210];

fn shades() -> Vec<Result<u8, String>> {
    SHADES.map(Ok).to_vec()
}

fn frames() -> Vec<Vec<u8>> {
    SHADES.map(jpeg).to_vec()
}

#[test]
fn concatenated_jpegs_are_frames() {
    assert_eq!(played(frames().concat()), shades());
    // Padding between frames and a preview within a frame are skipped.
    let preview = [&[0xff, 0xe1][..], &[2, 0], &jpeg(77), &[0; 508]].concat();
    let mut with_preview = jpeg(120);
    let length = (preview.len() - 2) as u16;
    let mut segment = preview.clone();
    segment[2..4].copy_from_slice(&length.to_be_bytes());
    with_preview.splice(2..2, segment);
    let video = [
        jpeg(30),
        vec![0; 700],
        with_preview,
        b"--boundary".to_vec(),
        jpeg(210),
    ]
    .concat();
    assert_eq!(played(video), shades());
}

#[test]
fn a_truncated_mjpeg_gives_its_complete_frames() {
    let video = frames().concat();
    let cut = video[..video.len() - 100].to_vec();
    let got = played(cut);
    assert_eq!(got[..2], shades()[..2]);
    assert_eq!(
        got[2],
        Err("the video ends in the middle of a frame".into())
    );
    assert_eq!(got.len(), 3);
    // A truncated frame does not affect the others.
    let halved = [
        jpeg(30),
        jpeg(99)[..jpeg(99).len() - 5].to_vec(),
        jpeg(120),
        jpeg(210),
    ]
    .concat();
    let got = played(halved);
    assert!(
        got[1]
            .as_ref()
            .unwrap_err()
            .contains("another image starts"),
        "{got:?}"
    );
    assert_eq!([&got[..1], &got[2..]].concat(), shades());
}

/// A JPEG as a cheap camera sends it: without its end marker, padded with zeros.
fn unmarked(shade: u8, zeros: usize) -> Vec<u8> {
    let mut file = jpeg(shade);
    file.truncate(file.len() - 2);
    file.resize(file.len() + zeros, 0);
    file
}

#[test]
fn frames_without_an_end_marker_are_complete_if_their_blocks_are() {
    for zeros in [0, 1, 700] {
        let frames = vec![unmarked(30, zeros), jpeg(120), unmarked(210, zeros)];
        assert_eq!(played(frames.concat()), shades(), "{zeros}");
        assert_eq!(played(avi(b"MJPG", &frames)), shades(), "{zeros}");
    }
    let boundary = b"\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n".to_vec();
    let parts = SHADES.map(|shade| [unmarked(shade, 0), boundary.clone()].concat());
    assert_eq!(played(parts.concat()), shades());
    // Cut within the data, however it is padded.
    for zeros in [0, 700] {
        let mut cut = jpeg(99);
        cut.truncate(cut.len() - 5);
        cut.resize(cut.len() + zeros, 0);
        let frames = vec![jpeg(30), cut, unmarked(120, zeros), jpeg(210)];
        for video in [frames.concat(), avi(b"MJPG", &frames)] {
            let got = played(video);
            assert!(got[1].is_err(), "{got:?}");
            assert_eq!([&got[..1], &got[2..]].concat(), shades());
        }
    }
}

#[test]
fn frames_without_an_end_marker_that_cross_the_read_buffer_are_complete() {
    let frames: Vec<u8> = (0..1500u32)
        .flat_map(|i| unmarked((i % 200) as u8, i as usize % 3))
        .collect();
    assert!(frames.len() > 3 * (256 << 10));
    let got = played_many(frames);
    assert_eq!(got.len(), 1500);
    assert!(got.iter().all(Result::is_ok));
}

#[test]
fn a_video_larger_than_the_read_buffer_is_complete() {
    let video: Vec<u8> = (0..1500u32).flat_map(|i| jpeg((i % 200) as u8)).collect();
    assert!(video.len() > 3 * (256 << 10));
    let mut demuxer = open(io::Cursor::new(video)).unwrap().unwrap();
    let mut count = 0;
    while demuxer.next(&mut vec![]).unwrap() != Sample::End {
        count += 1;
    }
    assert_eq!(count, 1500);
}

#[test]
fn an_avi_has_its_frames_and_rate() {
    let video = avi(b"MJPG", &frames());
    assert_eq!(played(video.clone()), shades());
    let demuxer = open(io::Cursor::new(video)).unwrap().unwrap();
    assert_eq!(demuxer.rate(), Some(12.5));
}

#[test]
fn a_truncated_avi_gives_its_complete_frames() {
    let video = avi(b"MJPG", &frames());
    let got = played(video[..video.len() - 40].to_vec());
    assert_eq!(got[..2], shades()[..2]);
    assert_eq!(
        got[2],
        Err("the video ends in the middle of a frame".into())
    );
    assert_eq!(
        played(video[..video.len() - jpeg(210).len() - 15].to_vec()),
        shades()[..2]
    );
}

#[test]
fn frames_after_a_damaged_avi_chunk_are_found() {
    let mut video = avi(b"MJPG", &frames());
    let second = video
        .windows(4)
        .enumerate()
        .filter(|(_, w)| w == b"01dc")
        .nth(1)
        .unwrap()
        .0;
    video[second..second + 8].fill(0x07);
    let got = played(video);
    assert!(
        got[1].as_ref().unwrap_err().contains("damaged AVI chunk"),
        "{got:?}"
    );
    assert_eq!([&got[..1], &got[2..]].concat(), shades());
}

#[test]
fn an_empty_avi_frame_counts_as_a_frame_interval() {
    let video = avi(b"MJPG", &[jpeg(30), vec![], jpeg(120)]);
    assert_eq!(played(video), [Ok(30), Err("empty".into()), Ok(120)]);
}

#[test]
fn an_unsupported_avi_codec_is_named() {
    let error = rejection(avi(b"H264", &frames()));
    let expected =
        "unsupported format AVI with codec 'H264'; expected MJPEG, Y4M, or AVI with MJPEG";
    assert_eq!(error, expected);
    let error = rejection(avi(b"MJPG", &[])[..60].to_vec());
    assert_eq!(error, "the file ends before its first frame");
}

#[test]
fn y4m_is_read_in_each_layout() {
    let full = "W4 H2 F30000:1001 Ip A1:1 XCOLORRANGE=FULL";
    for (colour, chroma) in [
        ("C420jpeg", 4),
        ("C422", 8),
        ("C444", 16),
        ("Cmono", 0),
        ("", 4),
    ] {
        let frame = |shade: u8| [vec![shade; 8], vec![128; chroma]].concat();
        let all = SHADES.map(frame);
        let video = y4m(&format!("{full} {colour}"), &[&all[0], &all[1], &all[2]]);
        assert_eq!(played(video), shades(), "{colour}");
    }
    let demuxer = open(io::Cursor::new(y4m(full, &[]))).unwrap().unwrap();
    assert!((demuxer.rate().unwrap() - 29.97).abs() < 0.001);
}

#[test]
fn y4m_s_range_and_odd_sizes_are_honoured() {
    let video = y4m("W3 H3 C420", &[&[[235; 9].as_slice(), &[128; 8]].concat()]);
    assert_eq!(played(video), [Ok(255)], "235 is white by default");
    let mut demuxer = open(io::Cursor::new(y4m("W3 H3 C420", &[&[9; 17]])))
        .unwrap()
        .unwrap();
    let Sample::Image(RawFormat::Uncompressed { layout, range, .. }) =
        demuxer.next(&mut vec![]).unwrap()
    else {
        panic!("expected an uncompressed image")
    };
    assert_eq!(
        (layout, range),
        (PixelLayout::Planar420, ColourRange::Limited)
    );
}

#[test]
fn a_restarted_y4m_stream_is_followed() {
    let video = [
        y4m("W4 H2 F25:1 C420", &[&[30; 12]]),
        y4m("W2 H2 C420", &[&[90; 6]]),
        y4m("W2 H2 C420p10", &[&[90; 6]]),
    ];
    let mut demuxer = open(io::Cursor::new(video.concat())).unwrap().unwrap();
    for (width, size) in [(4, 12), (2, 6)] {
        let mut bytes = vec![];
        let sample = demuxer.next(&mut bytes).unwrap();
        let Sample::Image(RawFormat::Uncompressed { shape, .. }) = sample else {
            panic!("expected an uncompressed image, got {sample:?}");
        };
        assert_eq!((shape.width, bytes.len()), (width, size));
    }
    let ended = demuxer.next(&mut vec![]);
    assert!(
        matches!(ended, Err(DemuxError::Unsupported(_))),
        "{ended:?}"
    );
    assert!(matches!(demuxer.next(&mut vec![]), Ok(Sample::End)));
}

#[test]
fn a_truncated_y4m_gives_its_complete_frames() {
    let video = y4m(
        "W4 H2 Cmono XCOLORRANGE=FULL",
        &[&[30; 8], &[120; 8], &[210; 8]],
    );
    let got = played(video[..video.len() - 3].to_vec());
    assert_eq!(
        got,
        [
            Ok(30),
            Ok(120),
            Err("the video ends in the middle of a frame".into())
        ]
    );
    let mut broken = video.clone();
    let second = video
        .windows(5)
        .enumerate()
        .filter(|(_, w)| w == b"FRAME")
        .nth(1)
        .unwrap()
        .0;
    broken[second] = b'X';
    let got = played(broken);
    assert_eq!(got.len(), 2);
    assert!(
        got[1].as_ref().unwrap_err().contains("expected FRAME"),
        "{got:?}"
    );
}

#[test]
fn an_unsupported_y4m_format_is_named() {
    assert!(rejection(y4m("W4 H2 C420p10", &[])).contains("'420p10'"));
    assert!(rejection(y4m("W0 H2", &[])).contains("0 x 2"));
    assert!(rejection(y4m("W99999 H99999", &[])).contains("99999 x 99999"));
    assert!(rejection(b"YUV4MPEG2 W4 H2".to_vec()).contains("does not end"));
}

#[test]
fn a_video_of_another_format_is_foreign() {
    for (head, timed) in [
        (&b"\0\0\0\x18ftypmp42\0\0\0\0"[..], true),
        (b"\0\0\0\x01\x67\x42\0\x1e", false),
    ] {
        let opened = open(io::Cursor::new(head.to_vec()));
        let Err(DemuxError::Foreign(format)) = opened else {
            panic!("expected a foreign format");
        };
        assert_eq!(format.timed, timed);
    }
}

#[test]
fn a_file_is_a_video_text_or_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let kind = |content: &[u8]| {
        let path = folder.path().join("file");
        std::fs::write(&path, content).unwrap();
        kind_of(&path).unwrap()
    };
    assert_eq!(kind(&jpeg(1)), FileKind::Video);
    assert_eq!(kind(b"\0\0\0\x18ftypmp42"), FileKind::Video);
    assert_eq!(kind(b"frames/0.jpg\n"), FileKind::FolderOrText);
    assert_eq!(kind(b"\xff\xfea\0\n\0"), FileKind::FolderOrText, "UTF-16");
    assert_eq!(kind(b""), FileKind::FolderOrText);
    assert_eq!(kind(b"PK\x03\x04\0\0\0"), FileKind::Unknown);
    assert_eq!(kind_of(folder.path()).unwrap(), FileKind::FolderOrText);
}

#[test]
fn a_file_that_is_not_a_video_is_not_opened() {
    for bytes in [&b""[..], b"frames/0.jpg\nframes/1.jpg\n", b"RIFF....WAVE"] {
        assert!(open(io::Cursor::new(bytes.to_vec())).unwrap().is_none());
    }
}

proptest! {
    #[test]
    fn damaged_videos_are_played_or_rejected(
        kind in 0..3,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut video = match kind {
            0 => frames().concat(),
            1 => avi(b"MJPG", &frames()),
            _ => y4m("W4 H2 F25:1 C420", &[&[30; 12], &[120; 12], &[210; 12]]),
        };
        for (at, value) in damage {
            let at = at.index(video.len());
            video[at] = value;
        }
        video.truncate(cut.index(video.len()) + 1);
        if let Ok(Some(mut demuxer)) = open(io::Cursor::new(video)) {
            for _ in 0..100 {
                match demuxer.next(&mut vec![]) {
                    Ok(Sample::End)
                    | Err(DemuxError::Unsupported(_) | DemuxError::Foreign(_) | DemuxError::Io(_)) => return Ok(()),
                    Ok(_) | Err(DemuxError::InvalidFrame(_)) => {}
                }
            }
            prop_assert!(false, "a video of three frames never ends");
        }
    }

    #[test]
    fn any_bytes_after_a_valid_start_come_to_an_end(
        start in prop::sample::select(vec![&b"\xff\xd8\xff"[..], b"RIFF\0\0\0\0AVI ", b"YUV4MPEG2 W2 H2\n"]),
        tail in proptest::collection::vec(any::<u8>(), 0..500),
    ) {
        if let Ok(Some(mut demuxer)) = open(io::Cursor::new([start, &tail].concat())) {
            for _ in 0..600 {
                if matches!(demuxer.next(&mut vec![]), Ok(Sample::End)) {
                    return Ok(());
                }
            }
            prop_assert!(false, "it never ends");
        }
    }
}
