//! Synthetic features of whales.

use super::*;
use flukewatch_dataset::NEW_WHALE;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WIDE: usize = 32;

fn drawn(rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..WIDE).map(|_| rng.random_range(-1.0..1.0f32)).collect()
}

/// `whales` whales with `photos` photos each, plain and mirrored view; whale numbers from `first` on.
fn features(first: u64, whales: usize, photos: usize) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = (0..whales)
        .flat_map(|whale| {
            let mut rng = ChaCha8Rng::seed_from_u64(first + whale as u64);
            let centre = drawn(&mut rng);
            (0..photos)
                .map(|_| {
                    let noise = drawn(&mut rng);
                    centre.iter().zip(noise).map(|(c, n)| c + 0.6 * n).collect()
                })
                .collect::<Vec<_>>()
        })
        .collect();
    Array2::from_shape_fn((rows.len(), WIDE), |(i, d)| rows[i][d])
}

fn album(photos: usize) -> Album {
    Album {
        features: features(100, 30, photos),
        whales: (0..30).map(|w| format!("W{w:02}")).collect(),
        photos_of: (0..30)
            .map(|w| WhalePhotos {
                photos: (w * photos..(w + 1) * photos).collect(),
                encounters: vec![None; photos],
            })
            .collect(),
        unnamed: vec![],
    }
}

fn settings(form: Form, mirror: bool) -> Settings {
    Settings {
        dimension: 20,
        form,
        mirror,
        new_fraction: 0.28,
        training: ClassifierSettings {
            epochs: 12,
            batch_size: 16,
            lr: 0.02,
            weight_decay: 1e-4,
            patience: 4,
            seed: 5,
        },
    }
}

#[test]
fn known_whales_are_named_and_others_are_new() {
    let album = album(6);
    for (form, mirror) in [
        (Form::Cosine { scale: 20.0 }, true),
        (Form::Cosine { scale: 20.0 }, false),
        (Form::Linear, false),
    ] {
        let (classifier, fitted) = fit(&album, vec![], &settings(form, mirror), |_, _| {});
        assert!(
            fitted.map_at_5.unwrap() > 0.8,
            "{form:?} {mirror} {fitted:?}"
        );
        assert_eq!(classifier.layer.weight.ncols(), 20);
        // Eight photos of each: six that were trained on and two that were not.
        let again = classifier.guesses(&features(100, 30, 8));
        let right = |i: &usize| again[*i][0] == format!("W{:02}", i / 8);
        let known = (0..240).filter(|i| i % 8 >= 6).filter(right).count();
        assert!(known >= 45, "{form:?} {mirror}: {known} of 60");
        let strangers = classifier.guesses(&features(900, 30, 2));
        let new = strangers.iter().filter(|g| g[0] == NEW_WHALE).count();
        assert!(new >= 40, "{form:?} {mirror}: {new} of 60");
        assert!(again.iter().chain(&strangers).all(|g| g.len() == 5));
    }
}

#[test]
fn a_seed_gives_the_same_classifier() {
    let album = album(4);
    let with = |seed| {
        let mut settings = settings(Form::Cosine { scale: 20.0 }, true);
        settings.training.seed = seed;
        fit(&album, vec![], &settings, |_, _| {})
    };
    assert_eq!(with(5), with(5));
    assert_ne!(with(5).0, with(6).0);
}

#[test]
fn one_photo_per_whale_is_enough_to_train() {
    let (classifier, fitted) = fit(
        &album(1),
        vec![],
        &settings(Form::Cosine { scale: 20.0 }, false),
        |_, _| {},
    );
    assert_eq!((fitted.selected_on.known, fitted.map_at_5), (0, None));
    assert_eq!((fitted.epochs, classifier.about.new_below), (12, UNFITTED));
}

/// What is fitted and selected must not change with the photos of the part that reports; the reported
/// figure must.
#[test]
fn reported_photos_choose_nothing() {
    let settings = Settings {
        dimension: 20,
        ..settings(Form::Cosine { scale: 20.0 }, true)
    };
    let album = album(6);
    let parts = Parts::of(&album.photos_of, &[], settings.training.seed);
    let (_, fitted) = fit(&album, vec![], &settings, |_, _| {});
    let mut spoilt = album.clone();
    let mut rng = ChaCha8Rng::seed_from_u64(77);
    for &photo in parts.report.known() {
        let noise = Array2::from_shape_fn((1, WIDE), |_| rng.random_range(-1.0..1.0f32));
        spoilt.features.row_mut(photo).assign(&noise.row(0));
    }
    let first =
        |album: &Album| Model::fit(album, &parts.fit, Some(&parts.select), &settings, |_, _| {});
    let ((model, epochs), (again, epochs_again)) = (first(&album), first(&spoilt));
    assert_eq!(
        (&model.projection, &model.layer),
        (&again.projection, &again.layer)
    );
    assert!(model.projection.is_some());
    assert_eq!((epochs, epochs), (epochs_again, fitted.epochs));
    let (classifier, fitted_again) = fit(&spoilt, vec![], &settings, |_, _| {});
    assert_eq!(
        classifier.about.new_below,
        fit(&album, vec![], &settings, |_, _| {}).0.about.new_below
    );
    assert_eq!(fitted_again.epochs, fitted.epochs);
    assert!(
        fitted_again.map_at_5.unwrap() < fitted.map_at_5.unwrap() - 0.2,
        "{fitted:?} {fitted_again:?}"
    );
    // Photos of the part that selects do change what is selected, but not the projection.
    let mut spoilt = album.clone();
    for &photo in parts.select.known() {
        spoilt.features.row_mut(photo).fill(0.1);
    }
    let (other, _) = first(&spoilt);
    assert_eq!(other.projection, model.projection);
    assert_ne!(
        fit(&spoilt, vec![], &settings, |_, _| {}).0.about.new_below,
        classifier.about.new_below
    );
}
