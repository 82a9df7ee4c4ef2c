//! Small synthetic photos, and short runs on them.

use flukewatch_common::clock::{ManualClock, Timestamp};
use flukewatch_dataset::{Dataset, LabelledPhoto};
use flukewatch_train::embedding::job::{Job, Provenance};
use flukewatch_train::embedding::recipe::Recipe;
use flukewatch_train::trainer::device_choice::DeviceChoice;
use image::{Rgb, RgbImage};
use std::path::Path;

const RECIPE: [&str; 6] = [
    "stages=[{epochs=2,height=32,width=64}]",
    "batch_size=6",
    "frozen_blocks=2",
    "head.dimension=16",
    "threads=1",
    "seed=4",
];

/// `whales` whales with `photos` photos each: stripes with a period per whale, shifted from photo to
/// photo.
pub(crate) fn stripes(folder: &Path, whales: u32, photos: u32) -> Dataset {
    let mut all = vec![];
    for whale in 0..whales {
        for photo in 0..photos {
            let name = format!("{whale}-{photo}.png");
            let path = folder.join(&name);
            let picture = RgbImage::from_fn(80, 40, |x, y| {
                let on = (x * (whale + 2) / 5 + y * (whale % 3) / 4 + photo) % 6 < 3;
                Rgb([if on { 210 } else { 30 + 5 * photo as u8 }; 3])
            });
            picture.save(&path).unwrap();
            all.push(LabelledPhoto {
                path,
                name,
                whale: Some(format!("W{whale}")),
                region: None,
                date: None,
                encounter: None,
            });
        }
    }
    Dataset {
        photos: all,
        ..Dataset::default()
    }
}

pub(crate) fn job(dataset: Dataset, folder: &Path, overrides: &[&str]) -> Job {
    let settings: Vec<String> = RECIPE
        .iter()
        .chain(overrides)
        .map(|s| (*s).to_owned())
        .collect();
    Job {
        recipe: Recipe::read(None, None, &settings).unwrap(),
        dataset,
        validation: None,
        weights: None,
        folder: folder.to_owned(),
        device: DeviceChoice::Cpu,
        crops: None,
        until_epoch: None,
        stop: Box::new(|_| false),
        quiet: true,
        provenance: Provenance {
            clock: std::sync::Arc::new(ManualClock::new(Timestamp(0))),
            revision: Some("a revision".into()),
        },
    }
}
