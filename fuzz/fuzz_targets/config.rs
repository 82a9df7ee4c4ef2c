//! `edge.toml`: parsed, or rejected with the error and its position.
#![no_main]

use flukewatch_edge::config::{Config, ConfigError};
use flukewatch_fuzz::seeds;
use std::path::Path;

const EXAMPLE: &str = include_str!("../../edge/edge.example.toml");

/// The checks of a boat on a configuration at start.
fn take(config: &Config) {
    let (encounter, uplink) = (&config.encounter, &config.uplink);
    assert!(encounter.gap_millis(10.0) > 0 && encounter.max_millis() > 0);
    let _ = encounter.return_within();
    assert!(!uplink.ack_timeout().is_zero() && !uplink.max_backoff().is_zero());
    for camera in config.cameras.iter().filter(|c| c.is_live()) {
        let _ = camera.live();
    }
    let _ = config.engine.tensorrt();
    let _ = (
        config.position.receiver(),
        config.position.timeout(),
        config.position.max_fix_age(),
    );
    let _ = (config.page.address(), config.archive.limits());
    let _ = (config.machine.thermal(), config.machine.disk());
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| {
            let bare: Vec<&str> = EXAMPLE.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
            let bare = bare.join("\n");
            let two = bare.replace("[camera]", "[[camera]]") + "\n[[camera]]\nname = \"stern\"\nsource = \"v4l2\"\npath = \"/dev/video0\"\n";
            let live = bare.replace("\"replay\"", "\"v4l2\"").replace("\"none\"", "\"gpsd\"");
            [bare, two, live].map(String::into_bytes)
        });
    },
    |bytes: &[u8]| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        match Config::parse(text, Path::new("edge.toml")) {
            Ok(config) => take(&config),
            Err(e) => {
                assert!(e.to_string().starts_with("edge.toml:"));
                let ConfigError::Faults { faults, .. } = e else {
                    panic!("{e}");
                };
                let lines = 1 + text.matches('\n').count();
                assert!(!faults.is_empty());
                assert!(faults.iter().all(|f| f.line.is_none_or(|l| (1..=lines).contains(&l))));
            }
        }
    }
);
