//! `edge.toml`: read, or refused with a word on what is wrong.
#![no_main]

use flukewatch_edge::config::Config;
use std::path::Path;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(e) = Config::parse(text, Path::new("edge.toml")) {
        assert!(e.to_string().starts_with("edge.toml, "));
    }
});
