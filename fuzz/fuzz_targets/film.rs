//! Films, to their end: MJPEG, Y4M and AVI by what they start with.
#![no_main]

use flukewatch_edge::source::film::{ReelError, Shot, reel};
use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
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
});
