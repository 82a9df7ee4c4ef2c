//! Photos of flukes with boxes: real ones if a data set is beside the repository, otherwise drawn
//! ones.

use crate::program::repository;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::Dataset;
use flukewatch_synth::fluke::album::Album;
use flukewatch_synth::fluke::difficulty::FIELD;
use flukewatch_synth::fluke::individual::Individual;
use flukewatch_synth::fluke::skin::Skin;
use flukewatch_synth::seed::Purpose;
use image::RgbImage;

/// `count` photos with the fluke's box, sampled evenly from the real ones if available.
///
/// # Panics
/// When the real ones cannot be read.
pub fn photos(count: u32) -> Vec<(RgbImage, PixelBox)> {
    let table = repository().join("../shared/flukes/devtest.csv");
    if !table.is_file() {
        eprintln!("no real photos found; using synthetic ones");
        return (0..count).map(drawn).collect();
    }
    let all = Dataset::open(&table, None).unwrap().photos;
    let chosen = (0..count as usize).map(|i| &all[i * all.len() / count as usize]);
    chosen
        .map(|photo| (photo.decode().unwrap(), photo.region.unwrap()))
        .collect()
}

fn drawn(whale: u32) -> (RgbImage, PixelBox) {
    let album = Album {
        seed: 5,
        purpose: Purpose::CataloguePhoto,
        difficulty: &FIELD,
    };
    let (photo, fluke, _) = album
        .photo(&Skin::paint(&Individual::draw(5, whale)), whale, 1)
        .unwrap();
    (photo.picture, fluke)
}
