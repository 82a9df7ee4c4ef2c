use super::*;
use crate::fluke::truth::SequenceTruth;
use flukewatch_common::sidecar::Sidecar;
use flukewatch_dataset::Dataset;
use std::collections::BTreeMap;
use std::path::PathBuf;

fn small() -> Population {
    Population {
        seed: 4,
        whales: 3,
        photos: 1..=2,
        new_whales: 2,
        queries: 1,
        cameras: Cameras {
            sequences: 1,
            encounters: 2..=2,
            enrolled_fraction: None,
            sea_seconds: 0.4..=0.6,
            frames_per_second: 5.0,
            size: (160, 90),
        },
    }
}

fn photos_only(whales: u32) -> Population {
    let cameras = Cameras {
        sequences: 0,
        ..small().cameras
    };
    Population {
        whales,
        new_whales: 0,
        queries: 0,
        cameras,
        ..small()
    }
}

fn write_on(threads: usize, population: &Population, folder: &Path) -> PopulationTruth {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| population.write(folder)).unwrap()
}

/// Every file below `folder` by its path from there.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(
                    path.strip_prefix(folder).unwrap().to_owned(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    found
}

#[test]
fn a_seed_gives_the_same_files_on_any_number_of_threads() {
    let [one, many, other] = [(); 3].map(|()| tempfile::tempdir().unwrap());
    write_on(1, &small(), one.path());
    write_on(4, &small(), many.path());
    write_on(4, &Population { seed: 5, ..small() }, other.path());
    let (one, many, other) = (files(one.path()), files(many.path()), files(other.path()));
    assert!(one.len() > 20);
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        many.keys().collect::<Vec<_>>()
    );
    assert!(
        one.iter().all(|(path, bytes)| many[path] == *bytes),
        "a file differs"
    );
    let photo = Path::new("catalogue/SYN-0001-01.jpg");
    assert_ne!(one[photo], other[photo]);
}

#[test]
fn a_whale_does_not_depend_on_the_population() {
    let [few, more] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    write_on(2, &photos_only(2), few.path());
    write_on(2, &photos_only(4), more.path());
    let (few, more) = (files(few.path()), files(more.path()));
    let pictures: Vec<_> = few
        .keys()
        .filter(|p| p.extension().is_some_and(|e| e == "jpg"))
        .collect();
    assert!(pictures.len() >= 2);
    assert!(
        pictures
            .iter()
            .all(|&picture| few[picture] == more[picture])
    );
}

#[test]
fn the_tables_read_back_with_boxes_inside_the_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_on(2, &small(), folder.path());
    for (table, photos) in [
        (
            "catalogue.csv",
            truth.whales.iter().map(|w| w.catalogue_photos).sum::<u32>(),
        ),
        (
            "queries.csv",
            truth.whales.iter().map(|w| w.query_photos).sum::<u32>(),
        ),
    ] {
        let dataset = Dataset::open(&folder.path().join(table), None).unwrap();
        assert_eq!(dataset.photos.len(), photos as usize);
        for photo in &dataset.photos {
            let (picture, region) = (photo.decode().unwrap(), photo.region.unwrap());
            assert_eq!(
                region.within(picture.width(), picture.height()),
                Some(region)
            );
            assert!(region.width() > 100 && region.height() > 20, "{region:?}");
            assert!(photo.name.starts_with(photo.whale.as_deref().unwrap()));
        }
    }
}

#[test]
fn the_truth_of_a_sequence_agrees_with_its_boxes() {
    let folder = tempfile::tempdir().unwrap();
    let truth = write_on(2, &small(), folder.path());
    let sequences = folder.path().join("sequences");
    let text = fs::read_to_string(sequences.join("seq-001.truth.json")).unwrap();
    let sequence: SequenceTruth = serde_json::from_str(&text).unwrap();
    assert_eq!(sequence.encounters.len(), 2);
    assert_eq!(
        sequence.encounters.iter().filter(|e| e.enrolled).count(),
        1,
        "half of the encounters are with enrolled whales"
    );
    let frames = fs::read_dir(sequences.join("seq-001")).unwrap().count() / 2;
    let mut boxes = 0;
    for frame in 0..frames as u32 {
        assert!(sequences.join(format!("seq-001/{frame:06}.jpg")).is_file());
        let text = fs::read_to_string(sequences.join(format!("seq-001/{frame:06}.json"))).unwrap();
        let sidecar: Sidecar = serde_json::from_str(&text).unwrap();
        let met = sequence
            .encounters
            .iter()
            .find(|e| (e.first..=e.last).contains(&frame));
        assert!(sidecar.boxes.is_empty() || met.is_some(), "frame {frame}");
        let ends = met.is_some_and(|e| frame == e.first || frame == e.last);
        assert!(
            !ends || sidecar.boxes.len() == 1,
            "the first and the last frame of an encounter have a box"
        );
        assert!(sidecar.boxes.iter().all(|b| b.within(160, 90) == Some(*b)));
        boxes += sidecar.boxes.len();
    }
    assert!(boxes > 4);
    let (first, last) = (&sequence.encounters[0], &sequence.encounters[1]);
    assert!(
        first.first > 0 && first.last + 1 < last.first && (last.last as usize) < frames - 1,
        "open sea before and after"
    );
    for met in &sequence.encounters {
        let whale = truth.whales.iter().find(|w| w.name == met.whale).unwrap();
        assert_eq!((whale.enrolled, whale.encounters), (met.enrolled, 1));
    }
}

#[test]
fn a_folder_that_is_not_empty_is_not_changed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    assert!(
        matches!(small().write(folder.path()), Err(SynthError::NotEmpty(path)) if path == folder.path())
    );
    assert_eq!(files(folder.path()).len(), 1);
    let file = folder.path().join("thesis.txt");
    assert!(matches!(small().write(&file), Err(SynthError::File { path, .. }) if path == file));
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "reversed ranges are invalid")]
fn invalid_settings_are_named() {
    let cameras = small().cameras;
    let with = |cameras: Cameras| Population { cameras, ..small() };
    for (bad, names) in [
        (
            Population {
                whales: 0,
                ..small()
            },
            "whales: 0",
        ),
        (
            Population {
                photos: 3..=2,
                ..small()
            },
            "photos per whale: 3..2",
        ),
        (
            Population {
                photos: 0..=2,
                ..small()
            },
            "photos per whale: 0..2",
        ),
        (
            with(Cameras {
                enrolled_fraction: Some(1.5),
                ..cameras.clone()
            }),
            "enrolled fraction: 1.5",
        ),
        (
            with(Cameras {
                frames_per_second: f32::NAN,
                ..cameras.clone()
            }),
            "frames per second: NaN",
        ),
        (
            with(Cameras {
                sea_seconds: 5.0..=3.0,
                ..cameras.clone()
            }),
            "sea seconds: 5..3",
        ),
        (
            with(Cameras {
                size: (9, 9),
                ..cameras.clone()
            }),
            "frame size: 9x9",
        ),
        (
            Population {
                new_whales: 0,
                ..with(Cameras {
                    enrolled_fraction: Some(0.5),
                    ..cameras.clone()
                })
            },
            "an enrolled fraction of 0.5 leaves encounters for new whales, but there are no new whales",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let error = bad.write(&out).unwrap_err().to_string();
        assert!(error.starts_with(names), "{error}");
        assert!(!out.exists());
    }
}

#[test]
fn no_whale_is_met_twice_before_all_are_met_once() {
    let cameras = Cameras {
        sequences: 4,
        encounters: 2..=4,
        ..small().cameras
    };
    let encounters = Population {
        whales: 5,
        new_whales: 5,
        cameras,
        ..small()
    }
    .encounters()
    .unwrap();
    let mut met: BTreeMap<u32, u32> = BTreeMap::new();
    for encounter in encounters.iter().flatten() {
        assert_eq!(encounter.enrolled, encounter.whale <= 5);
        *met.entry(encounter.whale).or_default() += 1;
    }
    for kind in [1..=5, 6..=10] {
        let times: Vec<u32> = kind
            .map(|whale| met.get(&whale).copied().unwrap_or(0))
            .collect();
        assert!(
            times.iter().max().unwrap() - times.iter().min().unwrap() <= 1,
            "{times:?}"
        );
    }
}
