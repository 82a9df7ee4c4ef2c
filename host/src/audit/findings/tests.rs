//! Mistakes planted in drawn photos and in made-up embeddings.

use super::*;
use crate::audit::thumbnail::Thumbnail;
use crate::synth::album::{Album, write_jpeg};
use crate::synth::difficulty::FIELD;
use crate::synth::individual::Individual;
use crate::synth::seed::Purpose;
use crate::synth::skin::Skin;
use flukewatch_common::embedding::Embedding;
use flukewatch_common::pixel_box::PixelBox;
use image::{RgbImage, imageops};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

const VIEWS: [View; 2] = [View::Plain, View::Mirrored];
const WHALES: usize = 40;
const PHOTOS: usize = 4;
const RATE: f64 = 0.2;

/// Numbers around those of a whale, as a network gives them: `[plain, mirrored]`, 64 each.
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

/// A collection: of drawn photos, or of names alone with thumbnails of noise.
struct Collection {
    folder: tempfile::TempDir,
    photos: Vec<LabelledPhoto>,
    looks: Vec<Look>,
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
            looks: vec![],
            maker: Maker {
                rng: ChaCha8Rng::seed_from_u64(11),
            },
        }
    }

    /// 40 whales, 4 photos each, without pictures.
    fn made_up() -> Self {
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

    /// 8 whales, 3 photos each.
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
        self.looks.push(Look {
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
        self.looks.push(Look {
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

    /// An embedding as that of photo `of`, but for a little.
    fn near(&mut self, of: usize) -> Embedding {
        let (plain, mirrored) = self.looks[of].embedding.as_slice().split_at(64);
        let views = [plain.to_vec(), mirrored.to_vec()];
        self.maker.photo(&views, 0.1)
    }

    fn find(&self, views: &[View]) -> Findings {
        find(&self.photos, &self.looks, views, RATE)
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
    let turned = PixelBox {
        x0: width - region.x1,
        x1: width - region.x0,
        ..region
    };
    (imageops::flip_horizontal(picture), turned)
}

fn same(picture: &RgbImage, region: PixelBox) -> (RgbImage, PixelBox) {
    (picture.clone(), region)
}

#[test]
fn a_collection_without_mistakes_has_hardly_a_finding() {
    let found = Collection::made_up().find(&VIEWS);
    assert_eq!((found.photos, found.whales), (160, 40));
    assert_eq!(found.near_identical, []);
    assert_eq!(found.one_whale, []);
    assert!(found.mislabelled.len() <= 1, "{:?}", found.mislabelled);
    assert_eq!(
        found.notes.len(),
        1,
        "no whale has a single photo: {:?}",
        found.notes
    );
}

#[test]
fn copies_are_found_however_changed_and_no_others() {
    let mut collection = Collection::drawn();
    collection.copy(0, "encoded.jpg", "W01", false, same);
    collection.copy(4, "half.jpg", "W02", false, half);
    collection.copy(8, "bright.jpg", "W07", false, brighter);
    collection.copy(11, "mirror.jpg", "W04", true, mirror);
    collection.copy(0, "third.jpg", "W01", false, brighter);
    for views in [&VIEWS[..], &VIEWS[..1]] {
        let found: Vec<_> = collection
            .find(views)
            .near_identical
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
fn a_copy_bears_no_witness_for_a_wrong_label() {
    let mut collection = Collection::made_up();
    let photo = collection.at(5, 0);
    collection.photos[photo].whale = Some(whale_name(6));
    let copy = LabelledPhoto {
        name: "copy.jpg".into(),
        ..collection.photos[photo].clone()
    };
    let look = Look {
        thumbnail: collection.looks[photo].thumbnail.clone(),
        embedding: collection.near(photo),
    };
    collection.photos.push(copy);
    collection.looks.push(look);
    let found = collection.find(&VIEWS);
    assert_eq!(found.near_identical.len(), 1);
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
    let mut collection = Collection::made_up();
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
        found.one_whale,
        [],
        "a wrong label does not make two whales one"
    );
}

#[test]
fn split_identities_are_found_and_their_photos_not_in_doubt() {
    let mut collection = Collection::made_up();
    for whale in 20..25 {
        for photo in 2..4 {
            let at = collection.at(whale, photo);
            collection.photos[at].whale = Some(format!("{}-again", whale_name(whale)));
        }
    }
    let found = collection.find(&VIEWS);
    let right = found
        .one_whale
        .iter()
        .filter(|p| p.whales[1] == format!("{}-again", p.whales[0]))
        .count();
    assert!(right >= 4, "{right} of 5: {:?}", found.one_whale);
    assert!(found.one_whale.len() <= right + 1);
    assert!(found.one_whale.iter().all(|p| p.photos.len() == 2));
    let doubted = found.mislabelled.iter().filter(|m| {
        found.one_whale.iter().any(|p| {
            p.whales.contains(&m.looks_like) && p.whales.contains(m.photo.whale.as_ref().unwrap())
        })
    });
    assert_eq!(doubted.count(), 0);
}

#[test]
fn single_photos_of_known_whales_are_named_apart() {
    let mut collection = Collection::made_up();
    // 30 whales that were met once, and three that were met before.
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
    let found = collection.find(&VIEWS).single_photo;
    let right = found
        .iter()
        .filter(|p| p.whales[0] == format!("met-{}", p.whales[1]))
        .count();
    assert!(right >= 2 && found.len() <= right + 1, "{found:?}");
}

#[test]
fn too_few_whales_say_nothing_and_say_so() {
    let mut collection = Collection::made_up();
    collection.photos.truncate(12);
    collection.looks.truncate(12);
    let found = collection.find(&VIEWS);
    assert_eq!((found.count(), found.notes.len()), (0, 3), "{found:?}");
}
