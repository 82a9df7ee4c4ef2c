use super::*;
use crate::capture::CameraAddress;
use crate::capture::rtsp::PasswordSource;
use crate::detection_filter::DetectionFilter;
use crate::mount::{Horizon, Mount};
use flukewatch_common::link_class::LinkClass;
use flukewatch_inference::engine::choice::EngineChoice;
use flukewatch_inference::engine::tensorrt::SHIM_FOLDER;
use sha2::{Digest, Sha256};
use std::path::Path;

const GOOD: &str = r#"[boat]
name = "balaena"

[bundle]
path = "whales.flukebundle"
allow_unsigned = true
[camera]
source = "replay"
path = "frames"

[outbox]
path = "outbox"

[uplink]
broker = "mqtt://127.0.0.1:1883"
"#;

fn fault(text: &str) -> String {
    Config::parse(text, Path::new("boat/edge.toml"))
        .unwrap_err()
        .to_string()
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = Config::parse(GOOD, Path::new("boat/edge.toml")).unwrap();
    assert_eq!(config.bundle.path, Path::new("boat/whales.flukebundle"));
    assert_eq!(config.cameras[0].path, Path::new("boat/frames"));
    assert_eq!(config.outbox.path, Path::new("boat/outbox"));
}

#[test]
fn the_example_holds_the_defaults() {
    let example = include_str!("../../edge.example.toml");
    let example = Config::parse(example, Path::new("edge.toml")).unwrap();
    let mut bare = Config::parse(GOOD, Path::new("edge.toml")).unwrap();
    bare.boat = example.boat.clone();
    bare.bundle = example.bundle.clone();
    bare.cameras[0].path = example.cameras[0].path.clone();
    bare.outbox.path = example.outbox.path.clone();
    bare.uplink.broker = example.uplink.broker.clone();
    bare.identity = example.identity;
    assert_eq!(bare, example);
}

#[test]
fn trusted_keys_or_a_lab_are_required() {
    let key = "ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let with = |line: &str| GOOD.replace("allow_unsigned = true", line);
    let trusting = with(&format!("trusted_keys = [\"{key}\"]"));
    let config = Config::parse(&trusting, Path::new("edge.toml")).unwrap();
    assert_eq!(config.bundle.trusted_keys, [key.parse().unwrap()]);
    assert!(!config.bundle.allow_unsigned);
    for (line, expected) in [
        (
            "",
            "boat/edge.toml:4: [bundle] trusted_keys: expected the key",
        ),
        (
            "trusted_keys = []",
            "boat/edge.toml:6: [bundle] trusted_keys: expected the key",
        ),
        (
            "allow_unsigned = false",
            "boat/edge.toml:4: [bundle] trusted_keys: expected the key",
        ),
        (
            "trusted_keys = [\"ed25519:short\"]",
            "boat/edge.toml:6: [bundle] trusted_keys: not an Ed25519 public key: expected",
        ),
        (
            &format!("trusted_keys = [\"{key}\"]\nallow_unsigned = true"),
            "boat/edge.toml:7: [bundle] allow_unsigned: must be false with trusted_keys",
        ),
    ] {
        let said = fault(&with(line));
        assert!(said.starts_with(expected), "{line}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn the_engine_is_chosen_and_its_folders_resolved() {
    let text = format!(
        "{GOOD}[engine]\nbackend = \"tensorrt\"\nshims = \"shims\"\nfp16 = true\nworkspace_megabytes = 64\n"
    );
    let engine = Config::parse(&text, Path::new("boat/edge.toml"))
        .unwrap()
        .engine;
    assert_eq!(engine.backend, EngineChoice::TensorRt);
    let place = engine.tensorrt();
    assert_eq!(place.shims, Path::new("boat/shims"));
    assert_eq!(place.plans, Path::new("boat/plans"));
    assert!(place.options.fp16);
    assert_eq!(place.options.workspace_bytes, 64_000_000);
    let usual = Config::parse(GOOD, Path::new("boat/edge.toml")).unwrap();
    assert_eq!(usual.engine.shims, Path::new(SHIM_FOLDER));
    let said = fault(&text.replace("tensorrt", "cuda"));
    assert!(said.contains("[engine] backend: "), "{said}");
    let said = fault(&text.replace("= 64", "= 1"));
    assert!(
        said.contains("[engine] workspace_megabytes: must be 16 to 100000, not 1"),
        "{said}"
    );
}

#[test]
fn the_example_holds_every_key() {
    let mut missing = include_str!("../../edge.example.toml").to_owned();
    missing = missing.replace("[uplink]", "[uplink]\nno_such_key = 1");
    let known = fault(&missing);
    for key in [
        "broker",
        "user",
        "password_file",
        "window",
        "ack_timeout_seconds",
        "max_backoff_seconds",
    ] {
        assert!(known.contains(key), "{known}");
    }
    let lines: Vec<&str> = missing.lines().collect();
    for key in [
        "name",
        "path",
        "trusted_keys",
        "allow_unsigned",
        "pipeline",
        "backend",
        "enabled",
        "threads",
        "shims",
        "plans",
        "fp16",
        "workspace_megabytes",
        "source",
        "frames_per_second",
        "playback",
        "width",
        "height",
        "exposure_milliseconds",
        "exposure_dynamic_framerate",
        "stall_timeout_seconds",
        "ignore",
        "mount",
        "min_fluke_pixels",
        "address",
        "sender",
        "baud",
        "timeout_seconds",
        "max_fix_age_seconds",
        "gap_seconds",
        "max_seconds",
        "best_crops",
        "return_minutes",
        "threshold",
        "detect_every_n_frames",
        "min_detections",
        "window_frames",
        "min_seconds",
        "min_width_fraction",
        "confirm_score",
        "max_megabytes",
        "days",
        "listen",
        "sensors",
        "warm_celsius",
        "hot_celsius",
        "low_megabytes",
        "critical_megabytes",
        "level",
        "format",
        "broker",
        "user",
        "password_file",
        "window",
        "ack_timeout_seconds",
        "max_backoff_seconds",
    ] {
        assert!(
            lines.iter().any(|l| l.starts_with(&format!("{key} = "))),
            "{key} is not in the example"
        );
    }
}

#[test]
fn an_unknown_key_is_named_with_its_line() {
    let text = GOOD.replace("source = \"replay\"", "source = \"replay\"\nfps = 3");
    let said = fault(&text);
    assert!(
        said.starts_with("boat/edge.toml:9: [camera] fps: unknown key; expected name, source, "),
        "{said}"
    );
}

#[test]
fn a_value_of_the_wrong_type_is_named_with_its_line() {
    let text = GOOD.replace(
        "source = \"replay\"",
        "frames_per_second = \"ten\"\nsource = \"replay\"",
    );
    let said = fault(&text);
    assert!(
        said.starts_with("boat/edge.toml:8: [camera] frames_per_second: invalid type"),
        "{said}"
    );
    let said = fault(&GOOD.replace("\"replay\"", "\"webcam\""));
    assert_eq!(
        said,
        "boat/edge.toml:8: [camera] source: unknown value 'webcam'; \
         expected \"v4l2\", \"gstreamer\", \"rtsp\", \"replay\", \"stills\""
    );
}

#[test]
fn a_missing_key_is_named_with_the_line_of_its_section() {
    let said = fault(&GOOD.replace("broker = \"mqtt://127.0.0.1:1883\"", ""));
    assert_eq!(said, "boat/edge.toml:14: [uplink]: missing key 'broker'");
    let said = fault("[boat]\nname = \"balaena\"\n");
    assert!(
        said.contains("missing") && said.contains("'bundle'"),
        "{said}"
    );
}

#[test]
fn malformed_toml_is_named_with_its_line() {
    let said = fault(&GOOD.replace("path = \"frames\"", "path = frames"));
    assert!(said.starts_with("boat/edge.toml:9: "), "{said}");
}

#[test]
fn values_out_of_range_are_all_named() {
    let text = GOOD
        .replace("balaena", "Balaena II")
        .replace("mqtt://127.0.0.1:1883", "http://example.org")
        .replace(
            "source = \"replay\"",
            "source = \"replay\"\nframes_per_second = -1.0",
        );
    let said = fault(&text);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].starts_with("boat/edge.toml:2: [boat] name: "),
        "{said}"
    );
    assert_eq!(
        lines[1],
        "boat/edge.toml:9: [camera] frames_per_second: must be 0.01 to 240, not -1"
    );
    assert!(
        lines[2].starts_with("boat/edge.toml:16: [uplink] broker: "),
        "{said}"
    );
}

#[test]
fn a_configuration_is_known_by_its_text() {
    let identity = Config::parse(GOOD, Path::new("edge.toml"))
        .unwrap()
        .identity;
    let digest = Sha256::digest(GOOD);
    assert_eq!(identity.0, digest[..8]);
}

#[test]
fn detector_tracks_and_returns_are_checked() {
    let text = format!(
        "{GOOD}[detector]\nenabled = false\nthreshold = -0.1\ndetect_every_n_frames = 0\n[track]\nmin_detections = 6\nconfirm_score = 1.5\n[encounter]\nreturn_minutes = -1.0\n"
    );
    let said = fault(&text);
    for fault in [
        "[detector] threshold: must be 0 to 1, not -0.1",
        "[detector] detect_every_n_frames: must be 1 to 1000, not 0",
        "[track] min_detections: must be 1 to 5, not 6",
        "[track] confirm_score: must be 0.01 to 1, not 1.5",
        "[encounter] return_minutes: must be 0 to 240, not -1",
    ] {
        assert!(said.contains(fault), "{said}");
    }
}

#[test]
fn not_a_number_is_out_of_range() {
    let said = fault(&GOOD.replace(
        "source = \"replay\"",
        "source = \"replay\"\nframes_per_second = nan",
    ));
    assert!(
        said.contains("edge.toml:9: [camera] frames_per_second: must be"),
        "{said}"
    );
}

#[test]
fn a_path_that_is_not_there_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    std::fs::write(&file, GOOD).unwrap();
    std::fs::create_dir(folder.path().join("frames")).unwrap();
    let said = Config::load(&file).unwrap_err().to_string();
    assert!(said.contains("edge.toml:5: [bundle] path: "), "{said}");
    assert!(!said.contains("[camera]"), "{said}");
    std::fs::write(folder.path().join("whales.flukebundle"), "").unwrap();
    assert_eq!(Config::load(&file).unwrap().boat.name, "balaena");
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let said = Config::load(Path::new("no/such/edge.toml"))
        .unwrap_err()
        .to_string();
    assert!(
        said.starts_with("cannot read the configuration no/such/edge.toml: "),
        "{said}"
    );
}

/// Two cameras in place of the one.
fn two() -> String {
    let second = "[[camera]]\nname = \"mast\"\nsource = \"v4l2\"\npath = \"/dev/video2\"\nwidth = 1280\n\n[outbox]";
    GOOD.replace("[camera]", "[[camera]]")
        .replace("[outbox]", second)
}

#[test]
fn several_cameras_are_read_and_a_device_keeps_its_path() {
    let config = Config::parse(&two(), Path::new("boat/edge.toml")).unwrap();
    let cameras: Vec<(&str, &Path)> = config
        .cameras
        .iter()
        .map(|c| (c.name.as_str(), &*c.path))
        .collect();
    assert_eq!(
        cameras,
        [
            ("main", Path::new("boat/frames")),
            ("mast", Path::new("/dev/video2"))
        ]
    );
    let live = config.cameras[1].live();
    assert_eq!((live.requested.width, live.requested.height), (1280, 1080));
    assert_eq!(live.controls.exposure, None);
    let one = GOOD.replace("[camera]", "[[camera]]");
    let one = Config::parse(&one, Path::new("edge.toml")).unwrap();
    let mut good = Config::parse(GOOD, Path::new("edge.toml")).unwrap();
    assert_ne!(
        one.identity, good.identity,
        "another text is another configuration"
    );
    good.identity = one.identity;
    assert_eq!(one, good);
}

#[test]
fn ignored_areas_are_read_for_each_camera_and_a_fault_has_its_point_s_line() {
    let with = |lines: &str| two().replace("width = 1280", lines);
    let areas = "min_fluke_pixels = 40\nignore = [\n  [[0, 0.8], [1, 0.8], [1, 1], [0, 1]],\n  [\n    [0, 0],\n    [0.3, 0],\n    [0, 0.1],\n  ],\n]";
    let config = Config::parse(&with(areas), Path::new("boat/edge.toml")).unwrap();
    assert_eq!(
        config.cameras[0].detection_filter(),
        DetectionFilter::default()
    );
    let filter = config.cameras[1].detection_filter();
    assert_eq!((filter.ignored.areas().len(), filter.min_width), (2, 40));
    for (from, to, line, problem) in [
        ("[0.3, 0]", "[1.3, 0]", 20, "0 to 1, not 1.3"),
        ("[0.3, 0]", "[nan, 0]", 20, "0 to 1, not NaN"),
        ("[0.3, 0]", "[0.3]", 20, "a point must be two numbers"),
        ("[0.3, 0]", "0.3", 20, "a point [x, y]"),
        (
            "    [0.3, 0],\n",
            "",
            18,
            "an area must have 3 to 32 points, not 2",
        ),
        ("= 40", "= 20000", 15, "must be 0 to 16384, not 20000"),
    ] {
        let said = fault(&with(&areas.replace(from, to)));
        let key = if line == 15 {
            "min_fluke_pixels"
        } else {
            "ignore"
        };
        let place = format!("boat/edge.toml:{line}: [camera[2]] {key}: ");
        assert!(said.starts_with(&place) && said.contains(problem), "{said}");
    }
}

/// A camera with a GStreamer pipeline.
fn piped(pipeline: &str) -> String {
    let camera = format!("source = \"gstreamer\"\npipeline = {pipeline}");
    GOOD.replace("source = \"replay\"\npath = \"frames\"", &camera)
}

/// A replay with these lines from line 10 on.
fn replay_with(lines: &str) -> String {
    GOOD.replace("\n\n[outbox]", &format!("\n{lines}\n\n[outbox]"))
}

#[test]
fn the_mount_of_each_camera_is_read() {
    let bow = "mount = { bearing_degrees = 0.0, field_of_view_degrees = 60 }";
    let text = replay_with(bow);
    let second = "[[camera]]\nname = \"port\"\nsource = \"replay\"\npath = \"p\"\n[camera.mount]\n\
                  field_of_view_degrees = 80.0\nheight_metres = 3.5\nhorizon_row_fraction = 0.4\n[outbox]";
    let text = text
        .replace("[camera]", "[[camera]]")
        .replace("[outbox]", second);
    let config = Config::parse(&text, Path::new("edge.toml")).unwrap();
    let mounts: Vec<Option<Mount>> = config.cameras.iter().map(|c| c.mount.mount()).collect();
    let bow = Mount {
        field_of_view: 60.0,
        bearing: Some(0.0),
        horizon: None,
    };
    let port = Mount {
        field_of_view: 80.0,
        bearing: None,
        horizon: Some(Horizon {
            height: 3.5,
            row_fraction: 0.4,
        }),
    };
    assert_eq!(mounts, [Some(bow), Some(port)]);
    let without = Config::parse(GOOD, Path::new("edge.toml")).unwrap();
    assert_eq!(without.cameras[0].mount.mount(), None);
}

#[test]
fn an_incomplete_mount_is_named_with_its_line() {
    for (lines, problem) in [
        (
            "mount.bearing_degrees = 10.0",
            "10: [camera] mount.bearing_degrees: needs 'mount.field_of_view_degrees'",
        ),
        (
            "mount.field_of_view_degrees = 60.0\nmount.height_metres = 3.0",
            "11: [camera] mount.height_metres: needs 'mount.horizon_row_fraction'",
        ),
        (
            "mount.field_of_view_degrees = 60.0\nmount.horizon_row_fraction = 0.4",
            "11: [camera] mount.horizon_row_fraction: needs 'mount.height_metres'",
        ),
        (
            "mount.field_of_view_degrees = 60.0",
            "10: [camera] mount.field_of_view_degrees: needs 'mount.bearing_degrees' or 'mount.height_metres'",
        ),
        (
            "mount = { bearing_degrees = 361.0, field_of_view_degrees = 60.0 }",
            "10: [camera] mount.bearing_degrees: must be 0 to 360, not 361",
        ),
        (
            "mount = { bearing_degrees = 0.0, field_of_view_degrees = 180.0 }",
            "10: [camera] mount.field_of_view_degrees: must be 1 to 150, not 180",
        ),
        (
            "mount = { field_of_view_degrees = 60.0, height_metres = nan, horizon_row_fraction = 0.5 }",
            "10: [camera] mount.height_metres: must be 0.5 to 100, not NaN",
        ),
        (
            "mount = { bearing = 0.0 }",
            "10: [camera] mount.bearing: unknown key; expected bearing_degrees, ",
        ),
    ] {
        let said = fault(&replay_with(lines));
        let expected = format!("boat/edge.toml:{problem}");
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn a_pipeline_is_a_live_camera() {
    let text = piped("\"nvarguscamerasrc ! 'video/x-raw(memory:NVMM),width=1920' ! nvvidconv\"");
    let config = Config::parse(&text, Path::new("boat/edge.toml")).unwrap();
    let camera = &config.cameras[0];
    assert!(camera.is_live());
    assert_eq!(camera.path, Path::new(""));
    let place = camera.live().address;
    assert!(matches!(place, CameraAddress::Pipeline(_)));
    assert_eq!(
        place.to_string(),
        "nvarguscamerasrc ! video/x-raw(memory:NVMM),width=1920 ! nvvidconv"
    );
    let over_lines = piped(
        "\"\"\"\nnvarguscamerasrc !\n video/x-raw(memory:NVMM),width=1920\n ! nvvidconv\n\"\"\"",
    );
    let same = Config::parse(&over_lines, Path::new("boat/edge.toml")).unwrap();
    assert_eq!(&same.cameras[0], camera);
}

/// A camera with these lines.
fn camera_with(lines: &str) -> String {
    GOOD.replace("source = \"replay\"\npath = \"frames\"", lines)
}

#[test]
fn an_ip_camera_has_its_address_and_login() {
    let url = "source = \"rtsp\"\nurl = \"rtsp://10.0.0.9:554/one\"";
    let address = |login: &str| {
        let text = camera_with(&format!("{url}\n{login}"));
        let config = Config::parse(&text, Path::new("boat/edge.toml")).unwrap();
        assert!(config.cameras[0].is_live());
        match config.cameras[0].live().address {
            CameraAddress::Rtsp(address) => address,
            other => panic!("{other:?}"),
        }
    };
    let open = address("");
    assert_eq!(open.to_string(), "rtsp://10.0.0.9:554/one");
    assert_eq!(open.login, None);
    let file = PasswordSource::File("boat/bow.password".into());
    let with_file = address("user = \"u\"\npassword_file = \"bow.password\"");
    assert_eq!(with_file.login, Some(("u".into(), file)));
    let variable = PasswordSource::Environment("BOW".into());
    let with_variable = address("user = \"u\"\npassword_environment = \"BOW\"");
    assert_eq!(with_variable.login, Some(("u".into(), variable)));
}

#[test]
fn an_invalid_ip_camera_is_named_with_its_line() {
    let url = "source = \"rtsp\"\nurl = \"rtsp://camera/one\"";
    for (lines, said) in [
        (
            "source = \"rtsp\"".to_owned(),
            "7: [camera]: source \"rtsp\" needs 'url'",
        ),
        (
            "source = \"rtsp\"\nurl = \"rtsp://boat:S3cret@camera/one\"".to_owned(),
            "9: [camera] url: must not have a user or password",
        ),
        (
            format!("{url}\npath = \"x\""),
            "10: [camera] path: not allowed with source \"rtsp\"",
        ),
        (
            format!("{url}\nuser = \"u\""),
            "10: [camera] user: needs 'password_file'",
        ),
        (
            format!("{url}\npassword_file = \"x\""),
            "7: [camera]: a password needs 'user'",
        ),
        (
            format!("{url}\nuser = \"u\"\npassword_file = \"x\"\npassword_environment = \"X\""),
            "12: [camera] password_environment: not allowed together",
        ),
        (
            "source = \"replay\"\npath = \"frames\"\nurl = \"rtsp://camera/one\"".to_owned(),
            "10: [camera] url: only allowed with source \"rtsp\"",
        ),
    ] {
        let found = fault(&camera_with(&lines));
        assert!(found.contains(said), "{found}");
        assert!(!found.contains("S3cret"), "{found}");
    }
}

#[test]
fn an_invalid_pipeline_is_named_with_its_line() {
    for (text, said) in [
        (piped("\"src ! nvoverlaysink\""), "9: [camera] pipeline: "),
        (piped("\" \""), "9: [camera] pipeline: "),
        (
            piped("\"\""),
            "7: [camera]: source \"gstreamer\" needs 'pipeline'",
        ),
        (piped("\"src \\u0000\""), "9: [camera] pipeline: "),
        (piped("\"src ! 'conv\""), "9: [camera] pipeline: "),
        (
            piped("\"src\"\npath = \"/dev/video0\""),
            "10: [camera] path: not allowed with source",
        ),
        (
            piped("\"src\"\nexposure_milliseconds = 2.0"),
            "10: [camera] exposure_milliseconds: not allowed with source",
        ),
        (
            GOOD.replace("path = \"frames\"", "path = \"frames\"\npipeline = \"src\""),
            "10: [camera] pipeline: only allowed with source",
        ),
        (
            GOOD.replace("path = \"frames\"", ""),
            "7: [camera]: missing key 'path'",
        ),
    ] {
        let fault = fault(&text);
        assert!(
            fault.starts_with(&format!("boat/edge.toml:{said}")),
            "{fault}"
        );
    }
}

#[test]
fn a_fault_in_one_of_several_cameras_is_named_with_its_line() {
    let said = fault(&two().replace("width = 1280", "width = 5"));
    assert_eq!(
        said,
        "boat/edge.toml:15: [camera[2]] width: must be 16 to 16384, not 5"
    );
    let said = fault(&two().replace("width = 1280", "widht = 1280"));
    assert!(
        said.starts_with("boat/edge.toml:15: [camera[2]] widht: unknown key"),
        "{said}"
    );
    let said = fault(&two().replace("width = 1280", "width = \"wide\""));
    assert!(
        said.starts_with("boat/edge.toml:15: [camera[2]] width: invalid type"),
        "{said}"
    );
    let said = fault(&two().replace("name = \"mast\"", "name = \"main\""));
    assert_eq!(
        said,
        "boat/edge.toml:12: [camera[2]] name: another camera is named 'main'"
    );
    let said = fault(&two().replace("source = \"v4l2\"\n", ""));
    assert!(
        said.contains("missing key 'source'") && said.contains("edge.toml:11: "),
        "{said}"
    );
    let none = GOOD.replace("[camera]\nsource = \"replay\"\npath = \"frames\"\n", "");
    let said = fault(&none);
    assert!(
        said.contains("missing") && said.contains("'camera'"),
        "{said}"
    );
    assert!(
        fault(&format!("camera = []\n{none}"))
            .contains("edge.toml:1: [camera]: at least one camera is required")
    );
    let said = fault(&format!("camera = 3\n{none}"));
    assert!(
        said.contains("edge.toml:1: [camera]: ") && said.contains("[[camera]]"),
        "{said}"
    );
}

#[test]
fn a_missing_live_camera_is_not_a_fault() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge.toml");
    std::fs::write(folder.path().join("whales.flukebundle"), "").unwrap();
    std::fs::create_dir(folder.path().join("frames")).unwrap();
    let text = two().replace("/dev/video2", "/dev/no-such-camera");
    std::fs::write(&file, &text).unwrap();
    assert_eq!(Config::load(&file).unwrap().cameras.len(), 2);
    std::fs::remove_dir(folder.path().join("frames")).unwrap();
    let said = Config::load(&file).unwrap_err().to_string();
    assert!(said.contains("edge.toml:9: [camera[1]] path: "), "{said}");
}

#[test]
fn live_settings_out_of_range_are_named() {
    for (key, value) in [
        ("height", "0"),
        ("exposure_milliseconds", "-1.0"),
        ("exposure_milliseconds", "nan"),
        ("stall_timeout_seconds", "0.0"),
    ] {
        let text = GOOD.replace(
            "path = \"frames\"",
            &format!("path = \"frames\"\n{key} = {value}"),
        );
        let said = fault(&text);
        assert!(
            said.starts_with(&format!("boat/edge.toml:10: [camera] {key}: must be ")),
            "{said}"
        );
    }
}

#[test]
fn levels_out_of_range_are_named() {
    let with = |line: &str| format!("{GOOD}[levels]\n{line}\n");
    for (key, value) in [
        ("searched_fraction", "1.5"),
        ("detector_milliseconds", "0.0"),
        ("detector_milliseconds", "nan"),
    ] {
        let said = fault(&with(&format!("{key} = {value}")));
        assert!(
            said.starts_with(&format!("boat/edge.toml:17: [levels] {key}: must be ")),
            "{said}"
        );
    }
    let text = with("searched_fraction = 0.5\ndetector_errors = 3");
    let levels = Config::parse(&text, Path::new("edge.toml")).unwrap().levels;
    assert_eq!((levels.searched_fraction, levels.detector_errors), (0.5, 3));
}

#[test]
fn the_position_is_checked() {
    let with = |lines: &str| format!("{GOOD}[position]\n{lines}\n");
    let good = |lines: &str| {
        Config::parse(&with(lines), Path::new("edge.toml"))
            .unwrap()
            .position
    };
    assert!(good("").receiver().is_none());
    let (dial, protocol) = good("source = \"gpsd\"\naddress = \"[::1]:2947\"")
        .receiver()
        .unwrap();
    assert_eq!(
        (dial.to_string().as_str(), protocol),
        ("[::1]:2947", crate::position::Protocol::Gpsd)
    );
    let (connector, protocol) = good("source = \"signalk\"\naddress = \"boat.local:8375\"")
        .receiver()
        .unwrap();
    assert_eq!(
        (connector.to_string().as_str(), protocol),
        ("boat.local:8375", crate::position::Protocol::SignalK)
    );
    let udp = "source = \"nmea-udp\"\naddress = \"0.0.0.0:10110\"\nsender = \"10.0.0.7\"";
    let (connector, _) = good(udp).receiver().unwrap();
    assert_eq!(connector.to_string(), "UDP 0.0.0.0:10110 from 10.0.0.7");
    let serial = "source = \"nmea-serial\"\naddress = \"/dev/ttyUSB0\"\nbaud = 38400";
    let (dial, _) = good(serial).receiver().unwrap();
    assert_eq!(dial.to_string(), "/dev/ttyUSB0 at 38400 baud");
    for (lines, line, said) in [
        (
            "source = \"nmea-tcp\"\naddress = \"10.0.0.1\"",
            18,
            "address: must be HOST:PORT",
        ),
        (
            "source = \"nmea-tcp\"\naddress = \"boat:0\"",
            18,
            "address: must be HOST:PORT",
        ),
        (
            "source = \"nmea-serial\"\naddress = \"\"",
            18,
            "address: must be a serial device",
        ),
        (
            "source = \"signalk\"\naddress = \"ws://boat:3000/signalk\"",
            18,
            "address: must be HOST:PORT",
        ),
        (
            "source = \"nmea-udp\"\naddress = \"boat:10110\"",
            18,
            "address: must be the ADDRESS:PORT to listen on",
        ),
        (
            "source = \"nmea-udp\"\naddress = \"0.0.0.0:0\"",
            18,
            "address: must be the ADDRESS:PORT to listen on",
        ),
        (
            "source = \"nmea-udp\"\naddress = \"0.0.0.0:10110\"\nsender = \"plotter\"",
            19,
            "sender: must be an IP address",
        ),
        (
            "sender = \"10.0.0.7\"",
            17,
            "sender: only allowed with source",
        ),
        ("source = \"usb\"", 17, "source: unknown value 'usb'"),
        ("baud = 12", 17, "baud: must be 300 to 4000000, not 12"),
        ("timeout_seconds = inf", 17, "timeout_seconds: must be"),
        ("max_fix_age_seconds = 0", 17, "max_fix_age_seconds: "),
        ("speed = 3", 17, "speed: unknown key"),
    ] {
        let got = fault(&with(lines));
        assert!(
            got.starts_with(&format!("boat/edge.toml:{line}: [position] {said}")),
            "{got}"
        );
    }
}

#[test]
fn page_archive_machine_and_log_are_checked() {
    let with = |lines: &str| format!("{GOOD}{lines}\n");
    let good = |lines: &str| Config::parse(&with(lines), Path::new("edge.toml")).unwrap();
    let page = good("").page;
    assert!(page.address().unwrap().ip().is_loopback() && !page.is_public());
    let page = good("[page]\nlisten = \"\"").page;
    assert!(page.address().is_none() && !page.is_public());
    for (listen, public) in [
        ("127.8.0.1:1", false),
        ("[::1]:1", false),
        ("[::ffff:127.0.0.1]:1", false),
        ("0.0.0.0:1", true),
        ("[::]:1", true),
        ("192.168.1.5:1", true),
        ("[fd00::1]:1", true),
    ] {
        let page = good(&format!("[page]\nlisten = \"{listen}\"")).page;
        assert_eq!(page.is_public(), public, "{listen}");
    }
    let page = good("[page]\nhosts = [\"boat.example\", \"10.0.0.1:80\"]").page;
    assert_eq!(page.allowed_hosts().len(), 2);
    assert!(good("").archive.limits().is_some());
    assert_eq!(good("[archive]\ndays = 0").archive.limits(), None);
    let page = good("[page]\nlisten = \"[::1]:8090\"").page;
    assert_eq!(page.address().unwrap().port(), 8090);
    let log = good("[log]\nlevel = \"debug\"\nformat = \"json\"").log;
    assert_eq!((log.level, log.format), (LogLevel::Debug, LogFormat::Json));
    for (lines, said) in [
        (
            "[page]\nlisten = \"8090\"",
            "[page] listen: must be ADDRESS:PORT",
        ),
        (
            "[page]\nlisten = \"boat:8090\"",
            "[page] listen: must be ADDRESS:PORT",
        ),
        (
            "[page]\nhosts = [\"boat.example\", \"http://boat\"]",
            "[page] hosts: invalid host \"http://boat\"",
        ),
        (
            "[archive]\ndays = -1",
            "[archive] days: must be 0 to 3650, not -1",
        ),
        (
            "[machine]\nhot_celsius = 70",
            "[machine] hot_celsius: must be 80 to 150, not 70",
        ),
        (
            "[machine]\ncritical_megabytes = 2000",
            "[machine] critical_megabytes: must be 0 to 1000, not 2000",
        ),
        (
            "[log]\nlevel = \"loud\"",
            "[log] level: unknown value 'loud'",
        ),
        ("[page]\nport = 1", "[page] port: unknown key"),
    ] {
        let got = fault(&with(lines));
        let expected = format!("boat/edge.toml:17: {said}");
        assert!(got.starts_with(&expected), "{got}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_parsed_or_rejected(text in "[\\[\\]a-z0-9=.\"\n -]{0,200}") {
        let _ = Config::parse(&text, Path::new("edge.toml"));
    }

    #[test]
    fn a_damaged_configuration_is_parsed_or_rejected_with_a_reason(
        damage in proptest::collection::vec((proptest::prelude::any::<proptest::sample::Index>(), "[ -~\n]"), 1..9),
    ) {
        let mut text: Vec<String> = two().chars().map(String::from).collect();
        for (at, letter) in damage {
            let at = at.index(text.len());
            text[at] = letter;
        }
        if let Err(e) = Config::parse(&text.concat(), Path::new("edge.toml")) {
            proptest::prop_assert!(e.to_string().starts_with("edge.toml:"), "{}", e);
        }
    }
}

#[test]
fn no_error_repeats_a_password() {
    for broker in [
        "\"mqtt://boat:S3cret\"",
        "\"mqtt://boat:S3cret@\"",
        "\"boat:S3cret@shore\"",
        "\"mqtt://boat:S3cret@sh ore\"",
        "mqtt://boat:S3cret@shore",
        "\"mqtt://boat:S3cret@shore",
        "[\"mqtt://boat:S3cret@shore\"]",
    ] {
        let said = fault(&GOOD.replace("\"mqtt://127.0.0.1:1883\"", broker));
        assert!(said.contains("edge.toml:15"), "{said}");
        assert!(!said.contains("S3cret"), "{said}");
    }
    let url = "\"mqtt://boat:S3cret@localhost\"";
    let said = fault(&format!("{GOOD}window = {url}\n"));
    assert!(!said.contains("S3cret"), "{said}");
    let valid = GOOD.replace("\"mqtt://127.0.0.1:1883\"", url);
    let config = Config::parse(&valid, Path::new("boat/edge.toml")).unwrap();
    assert!(!format!("{config:?}").contains("S3cret"), "{config:?}");
}

#[test]
fn the_link_is_chosen_and_limited() {
    let text = format!(
        "{GOOD}link = \"lte\"\nlink_file = \"router/link\"\n[uplink.bytes_per_hour]\niridium = 50000\nlte = 0\n\
         [[uplink.schedule]]\nfrom = \"22:00\"\nto = \"05:30\"\nlink = \"vsat\"\n\
         [[uplink.route]]\ninterface = \"wwan0\"\nlink = \"starlink\"\n"
    );
    let config = Config::parse(&text, Path::new("boat/edge.toml")).unwrap();
    let settings = config.uplink.link_settings();
    assert_eq!(settings.link, LinkClass::Lte);
    assert_eq!(
        settings.file.as_deref(),
        Some(Path::new("boat/router/link"))
    );
    assert_eq!(settings.routes, [("wwan0".into(), LinkClass::Starlink)]);
    assert_eq!(settings.schedule[0].1, LinkClass::Vsat);
    let limits = [
        None,
        None,
        Some(1_000_000_000),
        Some(20_000_000),
        Some(50_000),
    ];
    assert_eq!(settings.limits, limits);
    let usual = Config::parse(GOOD, Path::new("edge.toml")).unwrap();
    let usual = usual.uplink.link_settings();
    assert_eq!((usual.link, usual.file), (LinkClass::Harbour, None));
}

#[test]
fn a_faulty_link_is_named_with_its_line() {
    let route = "[[uplink.route]]\ninterface = \"wwan0\"\nlink = \"lte\"\n";
    let night = "[[uplink.schedule]]\nlink = \"lte\"\nfrom = \"22:00\"\n";
    for (lines, expected) in [
        (
            "link = \"5g\"\n".into(),
            "boat/edge.toml:16: [uplink] link: unknown value '5g'; expected \"harbour\"",
        ),
        (
            format!("{night}to = \"6:00\"\n"),
            "boat/edge.toml:19: [uplink] schedule.to: expected a UTC time of the day from \"00:00\"",
        ),
        (
            format!("{night}to = \"06:00\"\n{night}to = \"22:00\"\n"),
            "boat/edge.toml:23: [uplink] schedule[2].to: must differ from 'from'",
        ),
        (
            format!("{route}{route}"),
            "boat/edge.toml:20: [uplink] route[2].interface: another route is over 'wwan0'",
        ),
        (
            route.replace("wwan0", "a/b"),
            "boat/edge.toml:17: [uplink] route.interface: expected the name of a network interface",
        ),
        (
            "[uplink.bytes_per_hour]\nvsat = 5\n".into(),
            "boat/edge.toml:17: [uplink] bytes_per_hour.vsat: must be 0, or 10000 to",
        ),
        (
            "bytes_per_hour = { cable = 5 }\n".into(),
            "boat/edge.toml:16: [uplink] bytes_per_hour.cable: unknown key",
        ),
    ] {
        let said = fault(&format!("{GOOD}{lines}"));
        assert!(said.starts_with(expected), "{lines}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
