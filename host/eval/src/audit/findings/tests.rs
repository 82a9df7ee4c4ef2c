//! Mistakes planted in drawn photos and in random embeddings.

use super::*;
use crate::audit::thumbnail::Thumbnail;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use flukewatch_synth::fluke::album::{Album, write_jpeg};
use flukewatch_synth::fluke::difficulty::FIELD;
use flukewatch_synth::fluke::individual::Individual;
use flukewatch_synth::fluke::skin::Skin;
use flukewatch_synth::seed::Purpose;
use image::{RgbImage, imageops};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const VIEWS: [View; 2] = [View::Plain, View::Mirrored];
const WHALES: usize = 40;
const PHOTOS: usize = 4;
const RATE: f64 = 0.2;

/// Random embeddings around a centre per whale: `[plain, mirrored]`, 64 values each.
struct Maker {
    rng: ChaCha8Rng,
}

impl Maker {
    fn direction(&mut self, length: f32) -> Vec<f32> {
        let drawn: Vec<f32> = (0..64)
            .map(|_| (0..6).map(|_| self.rng.random_range(-1.0..1.0f32)).sum())
            .collect();
        let norm = drawn.iter().map(|v| v * v).sum::<f32>().sqrt();
        drawn.into_iter().map(|v| v * length / norm).collect()
    }

    fn whale(&mut self) -> [Vec<f32>; 2] {
        [(); 2].map(|()| self.direction(1.0))
    }

    fn photo(&mut self, whale: &[Vec<f32>; 2], noise: f32) -> Embedding {
        let views = whale.each_ref().map(|centre| {
            let noise = self.direction(noise);
            Embedding::normalised(centre.iter().zip(noise).map(|(c, n)| c + n).collect()).unwrap()
        });
        Embedding::of_views(&views).unwrap()
    }
}

fn swapped(embedding: &Embedding) -> Embedding {
    let (plain, mirrored) = embedding.as_slice().split_at(64);
    Embedding::normalised([mirrored, plain].concat()).unwrap()
}

/// A collection of drawn photos, or of embeddings with thumbnails of noise.
struct Collection {
    folder: tempfile::TempDir,
    photos: Vec<LabelledPhoto>,
    features: Vec<PhotoFeatures>,
    maker: Maker,
}

fn whale_name(number: usize) -> String {
    format!("W{number:02}")
}

impl Collection {
    fn empty() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            photos: vec![],
            features: vec![],
            maker: Maker {
                rng: ChaCha8Rng::seed_from_u64(11),
            },
        }
    }

    /// 40 whales with 4 photos each, without pictures.
    fn random() -> Self {
        let mut collection = Self::empty();
        for number in 1..=WHALES {
            let centre = collection.maker.whale();
            for n in 0..PHOTOS {
                let name = format!("{}-{n}.jpg", whale_name(number));
                collection.add(name, whale_name(number), &centre);
            }
        }
        collection
    }

    /// 8 whales with 3 photos each.
    fn drawn() -> Self {
        let album = Album {
            seed: 9,
            purpose: Purpose::CataloguePhoto,
            difficulty: &FIELD,
        };
        let sittings: Vec<Vec<(RgbImage, PixelBox)>> = (1..=8u32)
            .into_par_iter()
            .map(|whale| {
                let skin = Skin::paint(&Individual::draw(9, whale));
                let photo = |n| {
                    let (photo, fluke, _) = album.photo(&skin, whale, n).unwrap();
                    (photo.picture, fluke)
                };
                (1..=3).map(photo).collect()
            })
            .collect();
        let mut collection = Self::empty();
        for (number, sitting) in (1..).zip(sittings) {
            let centre = collection.maker.whale();
            for (n, (picture, fluke)) in sitting.into_iter().enumerate() {
                let embedding = collection.maker.photo(&centre, 0.8);
                let name = format!("{}-{n}.jpg", whale_name(number));
                collection.add_picture(name, whale_name(number), (&picture, fluke), 90, embedding);
            }
        }
        collection
    }

    fn add(&mut self, name: String, whale: String, centre: &[Vec<f32>; 2]) {
        let noise = (0..2048)
            .map(|_| self.maker.rng.random_range(0..=255))
            .collect();
        self.features.push(PhotoFeatures {
            thumbnail: Thumbnail::from_pixels(noise),
            embedding: self.maker.photo(centre, 0.8),
        });
        self.photos.push(LabelledPhoto {
            path: name.clone().into(),
            name,
            whale: Some(whale),
            region: None,
            date: None,
            encounter: None,
        });
    }

    fn add_picture(
        &mut self,
        name: String,
        whale: String,
        (picture, region): (&RgbImage, PixelBox),
        quality: u8,
        embedding: Embedding,
    ) {
        let path = self.folder.path().join(&name);
        write_jpeg(&path, picture, quality).unwrap();
        let photo = LabelledPhoto {
            path,
            name,
            whale: Some(whale),
            region: Some(region),
            date: None,
            encounter: None,
        };
        self.features.push(PhotoFeatures {
            thumbnail: Thumbnail::of(&photo).unwrap(),
            embedding,
        });
        self.photos.push(photo);
    }

    /// Adds a changed copy of the picture of photo `of` under the name of `whale`.
    fn copy(
        &mut self,
        of: usize,
        name: &str,
        whale: &str,
        mirrored: bool,
        change: impl Fn(&RgbImage, PixelBox) -> (RgbImage, PixelBox),
    ) {
        let original = self.photos[of].clone();
        let (picture, region) = change(&original.decode().unwrap(), original.region.unwrap());
        let near = self.near(of);
        let embedding = if mirrored { swapped(&near) } else { near };
        self.add_picture(name.into(), whale.into(), (&picture, region), 60, embedding);
    }

    /// An embedding close to that of photo `of`.
    fn near(&mut self, of: usize) -> Embedding {
        let (plain, mirrored) = self.features[of].embedding.as_slice().split_at(64);
        let views = [plain.to_vec(), mirrored.to_vec()];
        self.maker.photo(&views, 0.1)
    }

    fn find(&self, views: &[View]) -> AuditFindings {
        find_in(&self.photos, &self.features, views, RATE)
    }

    fn at(&self, whale: usize, photo: usize) -> usize {
        (whale - 1) * PHOTOS + photo
    }
}

fn scaled(region: PixelBox, by: f32) -> PixelBox {
    let [x0, y0, x1, y1] =
        [region.x0, region.y0, region.x1, region.y1].map(|side| (side as f32 * by).round() as u32);
    PixelBox { x0, y0, x1, y1 }
}

fn half(picture: &RgbImage, region: PixelBox) -> (RgbImage, PixelBox) {
    let (w, h) = (picture.width() / 2, picture.height() / 2);
    let small = imageops::resize(picture, w, h, imageops::FilterType::Triangle);
    (small, scaled(region, 0.5))
}

fn brighter(picture: &RgbImage, region: PixelBox) -> (RgbImage, PixelBox) {
    let mut bright = picture.clone();
    for value in bright.iter_mut() {
        *value = (f32::from(*value) * 0.8 + 45.0) as u8;
    }
    (bright, region)
}

fn mirror(picture: &RgbImage, region: PixelBox) -> (RgbImage, PixelBox) {
    let width = picture.width();
    let flipped = PixelBox {
        x0: width - region.x1,
        x1: width - region.x0,
        ..region
    };
    (imageops::flip_horizontal(picture), flipped)
}

fn same(picture: &RgbImage, region: PixelBox) -> (RgbImage, PixelBox) {
    (picture.clone(), region)
}

#[test]
fn a_collection_without_mistakes_has_almost_no_findings() {
    let found = Collection::random().find(&VIEWS);
    assert_eq!((found.photos, found.whales), (160, 40));
    assert_eq!(found.near_duplicates, []);
    assert_eq!(found.duplicate_identities, []);
    assert!(found.mislabelled.len() <= 1, "{:?}", found.mislabelled);
    assert_eq!(
        found.notes.len(),
        1,
        "no whale has a single photo: {:?}",
        found.notes
    );
}

#[test]
fn changed_copies_are_found_and_no_others() {
    let mut collection = Collection::drawn();
    collection.copy(0, "encoded.jpg", "W01", false, same);
    collection.copy(4, "half.jpg", "W02", false, half);
    collection.copy(8, "bright.jpg", "W07", false, brighter);
    collection.copy(11, "mirror.jpg", "W04", true, mirror);
    collection.copy(0, "third.jpg", "W01", false, brighter);
    for views in [&VIEWS[..], &VIEWS[..1]] {
        let found: Vec<_> = collection
            .find(views)
            .near_duplicates
            .into_iter()
            .map(|g| {
                let names = g.photos.into_iter().map(|p| p.photo).collect::<Vec<_>>();
                (names.join(" "), g.labels_agree, g.mirrored)
            })
            .collect();
        let expected = [
            ("W01-0.jpg encoded.jpg third.jpg", true, false),
            ("W02-1.jpg half.jpg", true, false),
            ("W03-2.jpg bright.jpg", false, false),
            ("W04-2.jpg mirror.jpg", true, true),
        ]
        .map(|(names, agree, mirrored)| (names.to_owned(), agree, mirrored));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_copy_does_not_support_a_wrong_label() {
    let mut collection = Collection::random();
    let photo = collection.at(5, 0);
    collection.photos[photo].whale = Some(whale_name(6));
    let copy = LabelledPhoto {
        name: "copy.jpg".into(),
        ..collection.photos[photo].clone()
    };
    let features = PhotoFeatures {
        thumbnail: collection.features[photo].thumbnail.clone(),
        embedding: collection.near(photo),
    };
    collection.photos.push(copy);
    collection.features.push(features);
    let found = collection.find(&VIEWS);
    assert_eq!(found.near_duplicates.len(), 1);
    let mut names: Vec<_> = found
        .mislabelled
        .iter()
        .filter(|m| m.looks_like == "W05")
        .map(|m| m.photo.photo.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["W05-0.jpg", "copy.jpg"], "{found:?}");
}

#[test]
fn swapped_labels_are_found() {
    let mut collection = Collection::random();
    let wrong: Vec<(usize, usize)> = (10..18).map(|w| (collection.at(w, 1), w)).collect();
    for &(photo, whale) in &wrong {
        collection.photos[photo].whale = Some(whale_name(whale + 10));
    }
    let found = collection.find(&VIEWS);
    let right = found.mislabelled.iter().filter(|m| {
        wrong
            .iter()
            .any(|&(p, w)| m.photo.position == p && m.looks_like == whale_name(w))
    });
    let right = right.count();
    assert!(right >= 7, "{right} of 8: {:?}", found.mislabelled);
    assert!(
        found.mislabelled.len() <= right + 2,
        "{:?}",
        found.mislabelled
    );
    let margins: Vec<f32> = found.mislabelled.iter().map(|m| m.margin).collect();
    assert!(margins.is_sorted_by(|a, b| a >= b));
    assert_eq!(
        found.duplicate_identities,
        [],
        "a wrong label does not make two whales one"
    );
}

#[test]
fn duplicate_identities_are_found_and_their_photos_not_suspect() {
    let mut collection = Collection::random();
    for whale in 20..25 {
        for photo in 2..4 {
            let at = collection.at(whale, photo);
            collection.photos[at].whale = Some(format!("{}-again", whale_name(whale)));
        }
    }
    let found = collection.find(&VIEWS);
    let right = found
        .duplicate_identities
        .iter()
        .filter(|p| p.whales[1] == format!("{}-again", p.whales[0]))
        .count();
    assert!(right >= 4, "{right} of 5: {:?}", found.duplicate_identities);
    assert!(found.duplicate_identities.len() <= right + 1);
    assert!(
        found
            .duplicate_identities
            .iter()
            .all(|p| p.photos.len() == 2)
    );
    let suspect = found.mislabelled.iter().filter(|m| {
        found.duplicate_identities.iter().any(|p| {
            p.whales.contains(&m.looks_like) && p.whales.contains(m.photo.whale.as_ref().unwrap())
        })
    });
    assert_eq!(suspect.count(), 0);
}

#[test]
fn single_photos_of_known_whales_are_matched() {
    let mut collection = Collection::random();
    // 30 whales with one photo, and three single photos of whales with several.
    for number in 0..30 {
        let centre = collection.maker.whale();
        collection.add(
            format!("once-{number}.jpg"),
            format!("once-{number}"),
            &centre,
        );
    }
    for whale in 1..4 {
        let at = collection.at(whale, 3);
        collection.photos[at].whale = Some(format!("met-{}", whale_name(whale)));
    }
    let found = collection.find(&VIEWS).single_photo_matches;
    let right = found
        .iter()
        .filter(|p| p.whales[0] == format!("met-{}", p.whales[1]))
        .count();
    assert!(right >= 2 && found.len() <= right + 1, "{found:?}");
}

#[test]
fn too_few_whales_give_notes_instead_of_findings() {
    let mut collection = Collection::random();
    collection.photos.truncate(12);
    collection.features.truncate(12);
    let found = collection.find(&VIEWS);
    assert_eq!((found.count(), found.notes.len()), (0, 3), "{found:?}");
}
