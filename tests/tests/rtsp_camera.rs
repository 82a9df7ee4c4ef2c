//! An IP camera: the real boat with an RTSP server of GStreamer that asks for a password.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera};
use flukewatch_tests::pictures::fluke;
use flukewatch_tests::program::{Program, Running, repository};
use flukewatch_tests::wait::until;
use image::imageops::{FilterType, grayscale, resize};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const PASSWORD: &str = "S3cret-of-the-bow";

/// A running server. It ends with this.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Serves `pipeline`; `None`, said plainly, where the server or its plug-ins are not installed.
    fn start(pipeline: &str) -> Option<Self> {
        let script = repository().join("tests/tests/rtsp_server.py");
        let mut process = Command::new("/usr/bin/python3")
            .arg(script)
            .args([pipeline, "boat", PASSWORD])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Ok(port) = line.trim().parse() else {
            let _ = process.wait();
            eprintln!("skipped: gir1.2-gst-rtsp-server-1.0, python3-gi or GStreamer not installed");
            return None;
        };
        for element in [
            "x264enc",
            "x265enc",
            "avdec_h264",
            "avdec_h265",
            "rtph264pay",
        ] {
            let found = Command::new("gst-inspect-1.0")
                .args(["--exists", element])
                .status();
            if pipeline.contains("265") == element.contains("265")
                && !found.is_ok_and(|status| status.success())
            {
                eprintln!("skipped: GStreamer's {element} not installed");
                let _ = process.kill();
                let _ = process.wait();
                return None;
            }
        }
        Some(Self { process, port })
    }

    fn signal(&self, name: &str) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &id])
            .status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A Y4M video of two seconds with a whale.
fn video(whale: u32) -> Vec<u8> {
    let light = grayscale(&fluke(whale));
    let light = resize(&light, 320, 160, FilterType::Triangle);
    let head = "YUV4MPEG2 W320 H160 F10:1 C420\n";
    let colours = vec![128; light.len() / 2];
    let frame = [b"FRAME\n".as_slice(), light.as_raw(), &colours].concat();
    [head.as_bytes().to_vec(), frame.repeat(20)].concat()
}

/// Lets `boat` watch the camera of `server`.
fn watch(boat: &Boat, server: &Server) {
    let password = boat.config().with_file_name("bow.password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let port = server.port;
    boat.rewrite(|text| {
        let camera = format!(
            "source = \"rtsp\"\nurl = \"rtsp://127.0.0.1:{port}/stream\"\nuser = \"boat\"\n\
             password_file = \"bow.password\"\nstall_timeout_seconds = 2.0"
        );
        text.replace("source = \"replay\"\npath = \"frames\"", &camera)
    });
}

/// The health document's first camera, once there is one.
fn camera(boat: &Boat) -> Value {
    let document = fs::read(boat.outbox().join("health.json")).unwrap_or_default();
    let document: Value = serde_json::from_slice(&document).unwrap_or_default();
    document["cameras"][0].clone()
}

fn is(camera: &Value, state: &str) -> bool {
    camera["state"] == state
}

/// The command line of every process that mentions the password.
fn leaks() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| fs::read(p.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| line.contains(PASSWORD) && !line.contains("rtsp_server.py"))
        .collect()
}

fn boat(folder: &Path) -> Boat {
    Boat::new(&folder.join("boat"), "balaena", Camera::Video, 1)
}

#[test]
fn whales_are_recorded_from_a_stream_that_ends_again_and_again() {
    records_whales(
        "x264enc tune=zerolatency bitrate=4000 key-int-max=10 ! rtph264pay",
        "h264parse ! avdec_h264",
    );
}

#[test]
fn whales_are_recorded_from_a_stream_of_h265() {
    records_whales(
        "x265enc speed-preset=ultrafast tune=zerolatency bitrate=4000 key-int-max=10 ! rtph265pay",
        "h265parse ! avdec_h265",
    );
}

/// A boat records whales from a stream that `encode` makes; `decode` decodes its clips.
fn records_whales(encode: &str, decode: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("whale.y4m");
    fs::write(&file, video(2)).unwrap();
    let path = file.display();
    let pipeline = format!(
        "filesrc location={path} ! y4mdec ! videoconvert ! video/x-raw,format=I420 \
         ! {encode} name=pay0 config-interval=1"
    );
    let Some(server) = Server::start(&pipeline) else {
        return;
    };
    let boat = boat(folder.path());
    watch(&boat, &server);
    let config = boat.config();
    let check = Program::Edge.run(&["check", "--config", config.to_str().unwrap()]);
    let said = &check.succeeded().stdout;
    let expected = format!(
        "rtsp://127.0.0.1:{}/stream: RTSP, 320x160 I420 at 10 fps",
        server.port
    );
    assert!(said.contains(&expected), "{said}");

    let running = Running::start(boat.command());
    until("two sightings, of two connections", || {
        assert_eq!(leaks(), Vec::<String>::new());
        boat.accepted() >= 2
    });
    running.signal("TERM");
    let finished = running.finish().succeeded();
    assert!(!finished.stderr.contains(PASSWORD), "{}", finished.stderr);
    let health = finished.json();
    let camera = &health["cameras"][0];
    assert!(camera["restarts"].as_u64() >= Some(1), "{camera}");
    assert!(!health.to_string().contains(PASSWORD));
    let clips = clips(&boat.outbox().join("clips"));
    assert!(!clips.is_empty());
    for (video, frames) in clips {
        assert_eq!(decoded(&video, decode), frames, "{}", video.display());
    }
}

/// The videos in `folder`, each with the number of its frames.
fn clips(folder: &Path) -> Vec<(PathBuf, usize)> {
    let files = fs::read_dir(folder).unwrap().map(|f| f.unwrap().path());
    let videos = files.filter(|f| f.extension().is_some_and(|e| e == "mkv"));
    videos
        .map(|video| {
            let description = fs::read(video.with_extension("json")).unwrap();
            let description: Value = serde_json::from_slice(&description).unwrap();
            (video, description["frames"].as_array().unwrap().len())
        })
        .collect()
}

/// How many frames of `video` GStreamer decodes with the elements `decode`.
fn decoded(video: &Path, decode: &str) -> usize {
    let location = format!("location={}", video.display());
    let pipeline = format!("! matroskademux ! {decode} ! videoconvert ! y4menc ! fdsink");
    let output = Command::new("gst-launch-1.0")
        .args(["-q", "filesrc", &location])
        .args(pipeline.split(' '))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout.windows(6).filter(|w| w == b"FRAME\n").count()
}

#[test]
fn a_stream_that_stalls_or_changes_its_size_is_connected_again() {
    let test = "videotestsrc pattern=ball";
    let caps = |size: &str| format!("video/x-raw,{size},framerate=20/1");
    let (small, large) = (caps("width=320,height=240"), caps("width=640,height=360"));
    let pipeline = format!(
        "{test} num-buffers=60 ! {small} ! c.  {test} ! {large} ! c.  concat name=c ! videoconvert \
         ! x264enc tune=zerolatency key-int-max=10 ! rtph264pay name=pay0 config-interval=1"
    );
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(&pipeline) else {
        return;
    };
    let boat = boat(folder.path());
    watch(&boat, &server);
    let mut running = Running::start(boat.command());
    running.wait_for_log("320x240 I420");
    running.wait_for_log("the camera changed its stream, to 640x360 pixels");
    until("it streams again", || is(&camera(&boat), "streaming"));

    server.signal("STOP");
    until("it has stalled", || !is(&camera(&boat), "streaming"));
    server.signal("CONT");
    until("it streams again", || is(&camera(&boat), "streaming"));
    assert!(camera(&boat)["restarts"].as_u64() >= Some(2));
    running.signal("TERM");
    running.finish().succeeded();
}

#[test]
fn a_wrong_password_is_named() {
    let pipeline = "videotestsrc is-live=true ! x264enc ! rtph264pay name=pay0";
    let folder = tempfile::tempdir().unwrap();
    let Some(server) = Server::start(pipeline) else {
        return;
    };
    let boat = boat(folder.path());
    watch(&boat, &server);
    fs::write(boat.config().with_file_name("bow.password"), "wrong").unwrap();
    let config = boat.config();
    let check = Program::Edge.run(&["check", "--config", config.to_str().unwrap()]);
    let said = check.failed(1, &[]).stdout;
    assert!(said.contains("rejects user or password"), "{said}");
}
