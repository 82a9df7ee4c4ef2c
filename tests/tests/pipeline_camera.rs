//! A camera behind a GStreamer pipeline: the real boat with a stand-in for `gst-launch-1.0`.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::pictures::fluke;
use flukewatch_tests::program::{Program, Running, beside_the_stand_in};
use flukewatch_tests::wait::until;
use image::imageops::grayscale;
use std::fs;
use std::path::Path;

/// A Y4M video of ten frames with a whale, one second long.
fn film(whale: u32) -> Vec<u8> {
    let light = grayscale(&fluke(whale));
    let (width, height) = light.dimensions();
    let head = format!("YUV4MPEG2 W{width} H{height} F10:1 C420 XCOLORRANGE=FULL\n");
    let colours = vec![128; light.len() / 2];
    let frame = [b"FRAME\n".as_slice(), light.as_raw(), &colours].concat();
    [head.into_bytes(), frame.repeat(10)].concat()
}

#[test]
fn a_hanging_pipeline_is_restarted_and_no_process_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(&folder.path().join("boat"), "balaena", Camera::Video, 1);
    let (video, pids) = (folder.path().join("whale.y4m"), folder.path().join("pids"));
    fs::write(&video, film(2)).unwrap();
    boat.rewrite(|text| {
        let (video, pids) = (video.display(), pids.display());
        let pipeline = format!(
            "pid:{pids} print:GST_ARGUS file:{video} say:'ERROR: the sensor is stuck' hang"
        );
        let camera = format!(
            "source = \"gstreamer\"\npipeline = \"{pipeline}\"\nstall_timeout_seconds = 2.0"
        );
        text.replace("source = \"replay\"\npath = \"frames\"", &camera)
    });
    let config = boat.config();
    let check = ["check", "--config", config.to_str().unwrap()];
    let checked = beside_the_stand_in(Program::Edge.command(&check))
        .output()
        .unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    let expected = "hang: GStreamer, 128x64 I420 at 10 fps";
    assert!(
        checked.status.success() && said.contains(expected),
        "{said}"
    );

    let running = Running::start(beside_the_stand_in(boat.command()));
    until("a sighting", || boat.accepted() >= 1);
    until("the pipeline is restarted", || {
        fs::read_to_string(&pids).unwrap().lines().count() >= 3
    });
    running.signal("TERM");
    let health = running.finish().succeeded().json();
    let camera = &health["cameras"][0];
    assert_eq!(camera["mode"], "128x64 I420 at 10 fps");
    assert!(camera["restarts"].as_u64() >= Some(1), "{camera}");
    let left: Vec<String> = fs::read_to_string(&pids)
        .unwrap()
        .lines()
        .filter(|pid| Path::new("/proc").join(pid).exists())
        .map(str::to_owned)
        .collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn a_missing_program_is_reported_with_its_package() {
    let folder = tempfile::tempdir().unwrap();
    let boat = Boat::new(&folder.path().join("boat"), "balaena", Camera::Video, 1);
    boat.rewrite(|text| {
        let camera = "source = \"gstreamer\"\npipeline = \"nvarguscamerasrc ! nvvidconv\"";
        text.replace("source = \"replay\"\npath = \"frames\"", camera)
    });
    let config = boat.config();
    let mut check = Program::Edge.command(&["check", "--config", config.to_str().unwrap()]);
    let checked = check.env("PATH", folder.path()).output().unwrap();
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1));
    let expected =
        "ERROR camera: gst-launch-1.0 is not installed; run: sudo apt install gstreamer1.0-tools";
    assert!(said.contains(expected), "{said}");
}
