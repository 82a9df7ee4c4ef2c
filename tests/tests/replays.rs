//! Replays as they come from the field: videos of cheap cameras, damaged images, and videos that need GStreamer.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::pictures::{fluke, jpeg};
use flukewatch_tests::program::{Finished, Program, beside_the_stand_in, finished};
use flukewatch_tests::station::Station;
use image::imageops::grayscale;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

const WHALE: u32 = 2;

/// A boat that replays `video`, and delivers to `port`.
fn boat_with(folder: &Path, port: u16, name: &str, video: &[u8]) -> Boat {
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Video, port);
    fs::write(folder.join("boat").join(name), video).unwrap();
    boat.rewrite(|text| text.replace("path = \"frames\"", &format!("path = \"{name}\"")));
    boat
}

/// A JPEG without its end marker.
fn unmarked() -> Vec<u8> {
    let mut file = jpeg(&fluke(WHALE));
    file.truncate(file.len() - 2);
    file
}

/// A JPEG of which the second half of the data is missing, with its end marker.
fn halved() -> Vec<u8> {
    let file = jpeg(&fluke(WHALE));
    [&file[..file.len() * 2 / 3], b"\xff\xd9"].concat()
}

fn counts(health: &Value) -> [Value; 3] {
    ["frames", "broken_frames", "accepted"].map(|key| health[key].clone())
}

#[test]
fn an_mjpeg_without_end_markers_is_replayed_whole() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let marked = jpeg(&fluke(WHALE));
    let padded = [unmarked(), vec![0; 200]].concat();
    let video: Vec<u8> = (0..30)
        .flat_map(|i| match i % 5 {
            1 => unmarked(),
            3 => padded.clone(),
            _ => marked.clone(),
        })
        .collect();
    let boat = boat_with(folder.path(), station.mqtt().port(), "bow.mjpeg", &video);
    let health = boat.run(40).succeeded().json();
    assert_eq!(counts(&health), [30, 0, 1].map(|n| json!(n)));
    station.has_all("balaena", 1);
}

#[test]
fn a_video_of_cut_frames_ends_with_an_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let mut cut = unmarked();
    cut.truncate(cut.len() - 300);
    let video = [cut.repeat(20), jpeg(&fluke(WHALE)).repeat(10)].concat();
    let boat = boat_with(folder.path(), station.mqtt().port(), "bow.mjpeg", &video);
    let said =
        "error: camera 'main': 20 of 30 frames cannot be used; the last: truncated JPEG image";
    let health = boat.run(40).failed(4, &[said]).json();
    assert_eq!(counts(&health), [30, 20, 1].map(|n| json!(n)));
    let camera = &health["cameras"][0];
    assert_eq!(camera["broken"], 20);
    let trouble = camera["trouble"].as_str().unwrap();
    assert!(
        trouble.starts_with("20 of 30 frames cannot be used"),
        "{trouble}"
    );
    station.has_all("balaena", 1);
}

#[test]
fn images_damaged_inside_are_no_sighting() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let port = station.mqtt().port();
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(50.0),
        port,
    );
    boat.set_frames((0..4).map(|i| (format!("{i}.jpg"), halved())));
    let health = boat
        .run(40)
        .failed(4, &["4 of 4 frames", "image data are missing"])
        .json();
    assert_eq!(counts(&health), [4, 4, 0].map(|n| json!(n)));

    let boat = boat_with(folder.path(), port, "bow.mjpeg", &halved().repeat(20));
    let health = boat.run(40).failed(4, &["20 of 20 frames"]).json();
    assert_eq!(counts(&health), [20, 20, 0].map(|n| json!(n)));

    boat.configure("balaena", Camera::Stills(50.0), port);
    boat.set_frames([
        ("0.jpg".to_owned(), halved()),
        ("1.jpg".to_owned(), jpeg(&fluke(WHALE))),
        ("2.jpg".to_owned(), halved()),
    ]);
    let health = boat.run(40).succeeded().json();
    assert_eq!(
        counts(&health),
        [3, 2, 1].map(|n| json!(n)),
        "one still was usable"
    );
}

/// An MP4 for which the stand-in executes `words`.
fn mp4(words: &str) -> Vec<u8> {
    format!("\0\0\0\x18ftypmp42\0\0\0\0mp42isom\nstand-in: {words}\n").into_bytes()
}

fn run(boat: &Boat) -> Finished {
    let config = boat.config();
    let words = [
        "run",
        "--config",
        config.to_str().unwrap(),
        "--until-delivered",
        "40",
    ];
    finished(beside_the_stand_in(Program::Edge.command(&words)))
}

#[test]
fn an_mp4_is_replayed_through_gstreamer() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let light = grayscale(&fluke(WHALE));
    let (width, height) = light.dimensions();
    let head = format!("YUV4MPEG2 W{width} H{height} F25:1 C420 XCOLORRANGE=FULL\n");
    let frame = [
        b"FRAME\n".as_slice(),
        light.as_raw(),
        &vec![128; light.len() / 2],
    ]
    .concat();
    let frames = folder.path().join("frames.y4m");
    fs::write(&frames, [head.into_bytes(), frame.repeat(50)].concat()).unwrap();
    let video = mp4(&format!("file:{} exit:0", frames.display()));
    let boat = boat_with(folder.path(), station.mqtt().port(), "GX010123.MP4", &video);

    let config = boat.config();
    let words = ["check", "--config", config.to_str().unwrap()];
    let checked = finished(beside_the_stand_in(Program::Edge.command(&words))).succeeded();
    let expected = "GX010123.MP4: video of 25 frames/s";
    assert!(checked.stdout.contains(expected), "{checked:?}");

    let health = run(&boat).succeeded().json();
    assert_eq!(counts(&health), [50, 0, 1].map(|n| json!(n)));
    assert_eq!(health["dropped_frames"], 0);
    let sighting = &station.sightings()[0];
    assert_eq!(sighting["frames"], 50);
}

#[test]
fn a_video_that_cannot_be_decoded_says_what_to_install_or_how_to_convert_it() {
    let folder = tempfile::tempdir().unwrap();
    let transport_stream = [&[0x47][..], &[0; 187]].concat().repeat(4);
    for (name, content, format) in [
        ("GX010123.MP4", mp4(""), "MP4 or MOV"),
        (
            "DSC 1.MOV",
            b"\0\0\0\x14ftypqt  \0\0\0\0qt  ".to_vec(),
            "MP4 or MOV",
        ),
        (
            "a.mkv",
            b"\x1a\x45\xdf\xa3\x01\0\0\0".to_vec(),
            "MKV or WebM",
        ),
        ("a.ts", transport_stream, "MPEG-TS"),
        ("a.h264", b"\0\0\0\x01\x67\x42\0\x1e".to_vec(), "H.264"),
        ("a.bin", b"\0\0\0\x01\x40\x01\x0c".to_vec(), "H.265"),
    ] {
        let boat = boat_with(folder.path(), 1, name, &content);
        let config = boat.config();
        let words = ["run", "--config", config.to_str().unwrap()];
        let mut command = Program::Edge.command(&words);
        // Where there is no GStreamer.
        command.env("PATH", folder.path());
        let missing = format!("{format}: gst-launch-1.0 is not installed; run: sudo apt install ");
        finished(command).failed(1, &[&missing, "gstreamer1.0-libav", "ffmpeg -i "]);
    }
    let boat = boat_with(
        folder.path(),
        1,
        "a.mp4",
        &mp4("say:'Missing_plug-in' exit:1"),
    );
    run(&boat).failed(
        1,
        &["a.mp4: MP4 or MOV: GStreamer cannot decode it (exit status: 1: "],
    );

    let boat = boat_with(folder.path(), 1, "a.zip", b"PK\x03\x04\0\0\0\0");
    run(&boat).failed(
        1,
        &[
            "cannot replay video",
            "unknown format; expected MJPEG, Y4M, AVI, MP4",
        ],
    );
    boat.rewrite(|text| {
        text.replace("a.zip", "a.mp4")
            .replace("\"replay\"", "\"stills\"")
    });
    run(&boat).failed(1, &["set source = \"replay\" for a video"]);
}
