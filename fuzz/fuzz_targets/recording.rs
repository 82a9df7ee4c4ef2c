//! The recording of an encounter, as a card returns it.
#![no_main]

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_common::samples;
use flukewatch_edge::recording::{RecordedCrop, Recording, Track};
use flukewatch_edge::time::MonotonicTimestamp;
use flukewatch_fuzz::seeds;

const JPEG: &[u8] = include_bytes!("../seeds/baseline.jpg");

fn sample() -> Option<Vec<u8>> {
    let sighting = samples::sighting();
    let quality = sighting.footage.as_ref()?.crops.first().copied()?;
    let recording = Recording {
        track: Track {
            session: sighting.id,
            camera: 0,
            number: 3,
            started: MonotonicTimestamp(5),
            ended: MonotonicTimestamp(900),
        },
        crops: vec![RecordedCrop {
            jpeg: JPEG.to_vec(),
            region: PixelBox::whole(40, 24),
            frame_region: PixelBox::whole(40, 24),
            quality,
        }],
        sighting,
    };
    recording.to_file().ok()
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [sample().unwrap_or_else(|| panic!("the sample cannot be recorded"))]);
    },
    |bytes: &[u8]| {
        if let Ok(recording) = Recording::from_file(bytes) {
            for crop in &recording.crops {
                let _ = crop.pixels();
            }
            let _ = recording.to_file();
        }
    }
);
