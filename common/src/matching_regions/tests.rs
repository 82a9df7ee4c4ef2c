use super::*;
use crate::catalogue::{Catalogue, Enrolled, Match};
use crate::embedding::Embedding;
use crate::local_matching::{Descriptors, LocalPhotos, LocalPhotosError};
use crate::samples::sighting;

/// One row of four cells; each descriptor points along an axis.
const LAYOUT: Layout = Layout {
    height: 1,
    width: 4,
    dimension: 4,
    fine: 0,
};
const WHOLE_PHOTO: InputArea = InputArea {
    width: 400,
    height: 100,
    left: 0,
    top: 0,
    right: 400,
    bottom: 100,
};
const WHOLE_INPUT: [f32; 4] = [0.0, 0.0, 1.0, 1.0];

/// Descriptors along these axes, with these lengths.
fn along(axes: [usize; 4], lengths: [f32; 4]) -> Descriptors {
    let mut values = [0.0; 16];
    for (cell, (axis, length)) in axes.into_iter().zip(lengths).enumerate() {
        values[4 * cell + axis] = length;
    }
    Descriptors::quantised(LAYOUT, &values).unwrap()
}

fn entry(whale: &str, photo: &str, input_area: Option<InputArea>) -> Enrolled {
    Enrolled {
        whale: whale.into(),
        photo: photo.into(),
        input_area,
        ..Enrolled::default()
    }
}

fn candidate(whale: &str, photo: &str) -> Match {
    Match {
        whale: whale.into(),
        score: 0.5,
        photo: photo.into(),
    }
}

/// Two photos named `1.jpg`, one of each whale; that of B has no known area.
fn catalogue() -> (Catalogue, LocalPhotos) {
    let mut catalogue = Catalogue::new(2);
    let mut photos = LocalPhotos::new(LAYOUT);
    let even = [1.0; 4];
    for (entry, axes) in [
        (entry("A", "1.jpg", Some(WHOLE_PHOTO)), [0, 1, 2, 3]),
        // The pattern of A, one cell further to the left.
        (entry("B", "1.jpg", None), [1, 2, 3, 0]),
    ] {
        photos.push(&entry, &along(axes, even)).unwrap();
        let embedding = Embedding::normalised(vec![1.0, 0.0]).unwrap();
        catalogue.enrol(entry, &embedding).unwrap();
    }
    (catalogue, photos)
}

fn pairs(regions: &CandidateRegions) -> Vec<(u16, u16, u16)> {
    let pairs = regions.pairs.iter();
    pairs
        .map(|p| (p.picture, p.photo, p.contribution))
        .collect()
}

#[test]
fn cells_of_each_candidate_are_found_by_hand() {
    let (catalogue, photos) = catalogue();
    // The picture weighs its cells 1 : 3 : 2 : 4.
    let descriptors = along([0, 1, 2, 3], [1.0, 3.0, 2.0, 4.0]);
    let picture = DescribedPicture {
        descriptors: &descriptors,
        area: WHOLE_PHOTO,
        crop: WHOLE_INPUT,
    };
    let candidates = [candidate("B", "1.jpg"), candidate("A", "1.jpg")];
    let found = MatchingRegions::find(picture, &catalogue, &photos, &candidates).unwrap();
    assert_eq!((found.height, found.width), (1, 4));
    assert_eq!(found.validate(2), Ok(()));
    let photos_of: Vec<_> = found.candidates.iter().map(|c| c.photo).collect();
    assert_eq!(photos_of, [None, Some(WHOLE_PHOTO)]);
    // Weights 0.1, 0.3, 0.2 and 0.4, and 0.25 in the photo: the mean of both, times a cosine of 1.
    let expected = [(3, 3, 325), (1, 1, 275), (2, 2, 225), (0, 0, 175)];
    assert_eq!(pairs(&found.candidates[1]), expected);
    // The pattern of cell 0 is out of reach, at the other end.
    let expected = [(3, 2, 325), (1, 0, 275), (2, 1, 225)];
    assert_eq!(pairs(&found.candidates[0]), expected);
}

#[test]
fn only_cells_that_show_the_crop_match() {
    let descriptors = along([0, 1, 2, 3], [1.0; 4]);
    // A letterbox: the crop is in the middle half.
    let picture = DescribedPicture {
        descriptors: &descriptors,
        area: WHOLE_PHOTO,
        crop: [0.25, 0.0, 0.75, 1.0],
    };
    let found = picture.matched(&descriptors, None);
    assert_eq!(pairs(&found), [(1, 1, 250), (2, 2, 250)]);
}

#[test]
fn at_most_eight_regions_match() {
    let layout = Layout {
        height: 3,
        width: 4,
        dimension: 12,
        fine: 0,
    };
    let mut values = vec![0.0; 12 * 12];
    for cell in 0..12 {
        values[12 * cell + cell] = 1.0 + cell as f32;
    }
    let descriptors = Descriptors::quantised(layout, &values).unwrap();
    let picture = DescribedPicture {
        descriptors: &descriptors,
        area: WHOLE_PHOTO,
        crop: WHOLE_INPUT,
    };
    let found = picture.matched(&descriptors, None);
    let cells: Vec<u16> = found.pairs.iter().map(|p| p.picture).collect();
    assert_eq!(cells, [11, 10, 9, 8, 7, 6, 5, 4]);
}

#[test]
fn photos_of_another_catalogue_or_model_are_errors() {
    let (catalogue, photos) = catalogue();
    let descriptors = along([0, 1, 2, 3], [1.0; 4]);
    let picture = DescribedPicture {
        descriptors: &descriptors,
        area: WHOLE_PHOTO,
        crop: WHOLE_INPUT,
    };
    let find = |picture, photos: &LocalPhotos, candidate| {
        MatchingRegions::find(picture, &catalogue, photos, &[candidate])
    };
    let unknown = find(picture, &photos, candidate("C", "1.jpg"));
    assert_eq!(unknown, Err(LocalPhotosError::OtherCatalogue));
    let mut fewer = photos.clone();
    fewer.retain(|photo| photo == 0);
    let other = find(picture, &fewer, candidate("A", "1.jpg"));
    assert_eq!(other, Err(LocalPhotosError::OtherCatalogue));
    let layout = Layout {
        dimension: 3,
        ..LAYOUT
    };
    let descriptors = Descriptors::quantised(layout, &[1.0; 12]).unwrap();
    let picture = DescribedPicture {
        descriptors: &descriptors,
        ..picture
    };
    assert!(matches!(
        find(picture, &photos, candidate("A", "1.jpg")),
        Err(LocalPhotosError::Layout { .. })
    ));
}

#[test]
fn outlines_are_worked_out_by_hand() {
    let regions = sighting().regions.unwrap();
    let outlines = regions.outlines(0);
    let numbers: Vec<_> = outlines
        .iter()
        .map(|o| (o.number, o.contribution))
        .collect();
    assert_eq!(numbers, [(1, 0.06), (2, 0.045)]);
    // Cell 13 is in row 1 of 5, column 3 of 10; the grid has 576 x 256 pixels, from (32, 32).
    let picture = PhotoRect {
        left: 204.8,
        top: 83.2,
        width: 57.6,
        height: 51.2,
    };
    assert_eq!(outlines[0].picture, Some(picture));
    // Cell 14 is in column 4; the grid has 1000 x 400 pixels, from (0, 100).
    let photo = PhotoRect {
        left: 400.0,
        top: 180.0,
        width: 100.0,
        height: 80.0,
    };
    assert_eq!(outlines[0].photo, Some(photo));
    let unknown = regions.outlines(1);
    assert!(unknown[0].picture.is_some() && unknown[0].photo.is_none());
    assert_eq!(regions.outlines(2), []);
}

#[test]
fn drawings_show_the_area_with_its_surroundings() {
    let regions = sighting().regions.unwrap();
    let drawing = regions.over_photo(0).unwrap();
    assert_eq!((drawing.width, drawing.height), (1000, 500));
    // A tenth of 400 pixels above; right, left and below is the edge of the photo.
    let view = PhotoRect {
        left: 0.0,
        top: 60.0,
        width: 1000.0,
        height: 440.0,
    };
    assert_eq!((drawing.view, drawing.badge), (view, 30.0));
    let numbers: Vec<usize> = drawing.marks.iter().map(|m| m.number).collect();
    assert_eq!(numbers, [1, 2]);
    // 100 x 80 pixels from (400, 180), without a twentieth on each side.
    let mark = PhotoRect {
        left: 405.0,
        top: 184.0,
        width: 90.0,
        height: 72.0,
    };
    assert_eq!(drawing.marks[0].rect, mark);
    assert_eq!(regions.over_picture(0).unwrap().marks.len(), 2);
    assert_eq!(regions.over_picture(1).unwrap().marks.len(), 1);
    assert_eq!(regions.over_photo(1), None);
    assert_eq!(regions.over_picture(2), None);
    let mut without = regions.clone();
    without.candidates[0].pairs.clear();
    assert_eq!(without.over_picture(0), None);
}

#[test]
fn invalid_regions_are_named() {
    type Change = fn(&mut MatchingRegions);
    type Is = fn(&InvalidRegions) -> bool;
    let changes: [(Change, Is); 12] = [
        (
            |r| r.height = 0,
            |e| {
                matches!(
                    e,
                    InvalidRegions::Grid {
                        height: 0,
                        width: 10
                    }
                )
            },
        ),
        (
            |r| r.width = 65,
            |e| matches!(e, InvalidRegions::Grid { .. }),
        ),
        (
            |r| (r.height, r.width) = (64, 17),
            |e| matches!(e, InvalidRegions::Grid { .. }),
        ),
        (
            |r| r.picture.right = r.picture.left,
            |e| matches!(e, InvalidRegions::Area(_)),
        ),
        (
            |r| {
                if let Some(photo) = &mut r.candidates[0].photo {
                    photo.top = i32::MAX;
                }
            },
            |e| matches!(e, InvalidRegions::Area(_)),
        ),
        (
            |r| r.candidates.truncate(1),
            |e| {
                *e == InvalidRegions::Candidates {
                    expected: 2,
                    got: 1,
                }
            },
        ),
        (
            |r| r.candidates.push(r.candidates[0].clone()),
            |e| {
                *e == InvalidRegions::Candidates {
                    expected: 2,
                    got: 3,
                }
            },
        ),
        (
            |r| r.candidates[0].pairs = vec![r.candidates[0].pairs[0]; MAX_REGIONS + 1],
            |e| *e == InvalidRegions::TooMany(9),
        ),
        (
            |r| r.candidates[0].pairs[1].picture = 50,
            |e| {
                *e == InvalidRegions::CellOutside {
                    cell: 50,
                    cells: 50,
                }
            },
        ),
        (
            |r| r.candidates[1].pairs[0].photo = u16::MAX,
            |e| {
                *e == InvalidRegions::CellOutside {
                    cell: u16::MAX,
                    cells: 50,
                }
            },
        ),
        (
            |r| r.height = 2,
            |e| {
                *e == InvalidRegions::CellOutside {
                    cell: 26,
                    cells: 20,
                }
            },
        ),
        (
            |r| r.candidates[0].pairs[0].contribution = 1001,
            |e| *e == InvalidRegions::Contribution(1001),
        ),
    ];
    let valid = sighting().regions.unwrap();
    assert_eq!(valid.validate(2), Ok(()));
    for (number, (change, is)) in changes.iter().enumerate() {
        let mut regions = valid.clone();
        change(&mut regions);
        let error = regions.validate(2).unwrap_err();
        assert!(is(&error), "change {number}: {error}");
    }
}
