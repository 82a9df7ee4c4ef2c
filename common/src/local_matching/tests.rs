use super::descriptors::record_chunks;
use super::similarity::similarity_by;
use super::*;
use crate::catalogue::kernel::Kernel;
use crate::catalogue::{Catalogue, Enrolled};
use crate::embedding::Embedding;
use crate::whale_score::WhaleScore;
use proptest::prelude::*;
use std::convert::Infallible;

const LAYOUT: Layout = Layout {
    height: 3,
    width: 4,
    dimension: 70,
    fine: 0,
};

/// Irregular values, the same for a seed.
fn values(layout: Layout, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..layout.locations() * layout.dimension)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1 << 24) as f32 - 0.4
        })
        .collect()
}

fn descriptors(seed: u64) -> Descriptors {
    Descriptors::quantised(LAYOUT, &values(LAYOUT, seed)).unwrap()
}

/// The definition in plain floats, location by location.
fn plain(layout: Layout, one: &[f32], other: &[f32]) -> f32 {
    let length = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>().sqrt();
    let at = |v: &[f32], l: usize| v[l * layout.dimension..(l + 1) * layout.dimension].to_vec();
    let cosine = |a: &[f32], b: &[f32]| {
        a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>() / (length(a) * length(b))
    };
    let direction = |from: &[f32], to: &[f32]| {
        let lengths: Vec<f32> = (0..layout.locations())
            .map(|l| length(&at(from, l)))
            .collect();
        let sum: f32 = lengths.iter().sum();
        let mut total = 0.0;
        for (l, length) in lengths.iter().enumerate() {
            let (y, x) = ((l / layout.width) as i32, (l % layout.width) as i32);
            let near = (0..layout.locations()).filter(|m| {
                let (v, u) = ((m / layout.width) as i32, (m % layout.width) as i32);
                (v - y).abs() <= 1 && (u - x).abs() <= 1
            });
            let best = near
                .map(|m| cosine(&at(from, l), &at(to, m)))
                .fold(f32::NEG_INFINITY, f32::max);
            total += length / sum * best;
        }
        total
    };
    (direction(one, other) + direction(other, one)) / 2.0
}

fn layouts() -> impl Strategy<Value = Layout> {
    (1usize..6, 1usize..8, 1usize..150).prop_map(|(height, width, dimension)| Layout {
        height,
        width,
        dimension,
        fine: 0,
    })
}

proptest! {
    #[test]
    fn the_similarity_is_that_of_plain_floats(layout in layouts(), a in 1u64..1000, b in 1u64..1000) {
        let (one, other) = (values(layout, a), values(layout, b + 5000));
        let quantised = |v: &[f32]| Descriptors::quantised(layout, v).unwrap();
        let got = similarity(&quantised(&one), &quantised(&other));
        let expected = plain(layout, &one, &other);
        prop_assert!((got - expected).abs() < 0.006, "{} {}", got, expected);
    }

    #[test]
    fn every_kernel_gives_the_same_similarity(layout in layouts(), a in 1u64..1000, b in 1u64..1000) {
        let [one, other] = [a, b + 5000].map(|s| Descriptors::quantised(layout, &values(layout, s)).unwrap());
        let expected = similarity_by(Kernel::Scalar, &one, &other);
        for kernel in Kernel::available() {
            prop_assert_eq!(similarity_by(kernel, &one, &other).to_bits(), expected.to_bits());
        }
        // Symmetric but for the order of the sums, and 1 with itself.
        prop_assert!((similarity(&other, &one) - expected).abs() < 1e-5);
        prop_assert!((similarity(&one, &one) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn the_compact_form_round_trips(layout in layouts(), seed in 1u64..1000) {
        let one = Descriptors::quantised(layout, &values(layout, seed)).unwrap();
        let bytes = one.to_bytes();
        prop_assert_eq!(bytes.len(), Descriptors::bytes(layout));
        prop_assert_eq!(Descriptors::from_bytes(layout, &bytes), Some(one));
        prop_assert_eq!(Descriptors::from_bytes(layout, &bytes[1..]), None);
    }

    #[test]
    fn any_bytes_are_read_or_rejected(index in proptest::collection::vec(any::<u8>(), 0..80),
                                      records in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = LocalPhotos::from_bytes(&index, &records);
        let layout = Layout { height: 1, width: 2, dimension: 64, fine: 0 };
        if let Some(read) = Descriptors::from_bytes(layout, &records) {
            prop_assert!(similarity(&read, &read).is_finite());
        }
    }

    #[test]
    fn a_damaged_byte_of_a_store_is_noticed(at in 0usize..10_000, flip in 1u8..) {
        let (photos, entries) = store(3);
        let mut index = photos.index_bytes();
        let mut records = vec![];
        photos.write_records(&mut records).unwrap();
        let at = at % (index.len() + records.len());
        let header_or_index = at < index.len();
        if header_or_index { index[at] ^= flip } else { records[at - index.len()] ^= flip }
        let read = LocalPhotos::from_bytes(&index, &records).and_then(|read| {
            read.expect_photos(&entries)?;
            (0..read.len()).map(|p| read.descriptors(p)).collect::<Result<Vec<_>, _>>()?;
            Ok(read)
        });
        // Only a norm can change unnoticed here, since the bundle holds the checksum of the index, and a dimension that fills as many
        // chunks, since the bundle compares the layout with its manifest's.
        let is_norm = header_or_index && at >= 16 && (at - 16) % 12 >= 8;
        prop_assert!(is_norm || read.is_err() || read.is_ok_and(|read| read.layout() != LAYOUT));
    }
}

#[test]
fn a_photo_of_the_shipped_model_takes_six_and_a_half_kilobytes() {
    let layout = Layout {
        height: 5,
        width: 10,
        dimension: 128,
        fine: 0,
    };
    assert_eq!(Descriptors::bytes(layout), 6400 + 128);
}

#[test]
fn views_are_added_and_the_mirrored_one_is_turned_back() {
    let layout = Layout {
        height: 1,
        width: 3,
        dimension: 2,
        fine: 0,
    };
    // [2 views * 2 values, 1, 3]: the plain view uses channels 0 and 1, the mirrored one 2 and 3.
    let plain = [1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let mirrored = [
        9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0, 30.0, 20.0, 10.0,
    ];
    let views = [
        ViewMap {
            values: &plain,
            mirrored: false,
        },
        ViewMap {
            values: &mirrored,
            mirrored: true,
        },
    ];
    let got = Descriptors::of_views(layout, &views).unwrap();
    let expected = [1.0, 10.0, 2.0, 20.0, 3.0, 30.0];
    assert_eq!(got, Descriptors::quantised(layout, &expected).unwrap());
    let weights: Vec<f32> = got.weights().iter().map(|w| (w * 6.0).round()).collect();
    assert_eq!(weights, [1.0, 2.0, 3.0]);
    assert_eq!(
        Descriptors::of_views(layout, &views[..1]),
        Err(DescriptorError::Length {
            expected: 6,
            got: 12
        })
    );
    assert_eq!(
        Descriptors::quantised(layout, &[f32::NAN; 6]),
        Err(DescriptorError::NotFinite)
    );
}

#[test]
fn a_photo_without_structure_is_similar_to_nothing() {
    let flat = Descriptors::quantised(LAYOUT, &vec![0.0; LAYOUT.locations() * 70]).unwrap();
    assert_eq!(similarity(&flat, &flat), 0.0);
    assert!(similarity(&flat, &descriptors(1)).abs() <= 0.5);
    assert_eq!(matching_regions(&flat, &descriptors(1), 9), []);
}

#[test]
fn the_code_minus_128_is_rejected() {
    let mut bytes = descriptors(1).to_bytes();
    bytes[5] = 0x80;
    assert_eq!(Descriptors::from_bytes(LAYOUT, &bytes), None);
    // Weights may hold this byte.
    let mut bytes = descriptors(1).to_bytes();
    let weights = bytes.len() - record_chunks(LAYOUT) * 64 + LAYOUT.locations() * 128;
    bytes[weights] = 0x80;
    assert!(Descriptors::from_bytes(LAYOUT, &bytes).is_some());
}

#[test]
fn matching_regions_are_where_the_photos_agree() {
    // Equal but for one location, which is turned around.
    let one = values(LAYOUT, 3);
    let mut other = one.clone();
    other[5 * 70..6 * 70].iter_mut().for_each(|v| *v = -*v);
    let [one, other] = [one, other].map(|v| Descriptors::quantised(LAYOUT, &v).unwrap());
    let found = matching_regions(&one, &other, 99);
    assert!(found.len() >= LAYOUT.locations() - 1);
    for m in found.iter().filter(|m| m.one != 5 && m.other != 5) {
        assert!(m.one == m.other && m.cosine > 0.999, "{m:?}");
    }
    assert!(found.is_sorted_by(|a, b| a.contribution >= b.contribution));
    assert_eq!(matching_regions(&one, &other, 2), found[..2]);
    assert_eq!(LAYOUT.cell(5), [0.25, 1.0 / 3.0, 0.5, 2.0 / 3.0]);
}

fn score() -> LocalScore {
    LocalScore {
        weight: 2.0,
        intercept: 0.1,
        slope: 0.25,
        typical_norm: 0.5,
        whales: 2,
        photos: 1,
        fine: None,
    }
}

#[test]
fn the_score_worked_by_hand() {
    let s = score();
    // 0.4 + 2 (0.8 - (0.5 + 0.3) / 2 - 0.1 - 0.25 * 0.4) = 0.8
    assert!((s.of(0.4, 0.8, 0.5, 0.3) - 0.8).abs() < 1e-6);
    // Four typical pairs of 0.5 and two of 0.2.
    assert!((s.norm([0.2, 0.2]) - 2.4 / 6.0).abs() < 1e-6);
    assert_eq!(s.norm([]), 0.5);
    assert_eq!(s.of(1.0, 1.0, -2.0, -2.0), 1.0);
}

#[test]
fn local_scores_out_of_range_are_rejected() {
    assert!(score().validate().is_ok());
    for bad in [
        LocalScore {
            weight: f32::NAN,
            ..score()
        },
        LocalScore {
            weight: -1.0,
            ..score()
        },
        LocalScore {
            slope: f32::INFINITY,
            ..score()
        },
        LocalScore {
            typical_norm: 3.0,
            ..score()
        },
        LocalScore {
            whales: 0,
            ..score()
        },
        LocalScore {
            photos: 99,
            ..score()
        },
    ] {
        assert!(bad.validate().is_err(), "{bad:?}");
    }
    let side = Layout {
        height: 0,
        ..LAYOUT
    };
    assert!(side.validate().is_err());
    assert!(
        Layout {
            height: 64,
            width: 64,
            dimension: 1,
            fine: 0
        }
        .validate()
        .is_err()
    );
}

#[test]
fn only_the_best_candidates_are_compared_and_the_others_keep_their_cosine() {
    let photo = |photo, cosine| CandidatePhoto { photo, cosine };
    let candidates: [&[CandidatePhoto]; 4] = [
        &[photo(0, 0.3)],
        &[photo(1, 0.6), photo(2, 0.5)],
        &[photo(3, 0.5)],
        &[],
    ];
    let mut compared = vec![];
    let got = rescore(&candidates, WhaleScore::BEST, &score(), |photo| {
        compared.push(photo);
        Ok::<_, Infallible>(GalleryPhoto {
            // The expectation at these cosines, but photo 3 is more similar.
            similarity: if photo == 3 { 0.925 } else { 0.75 },
            norm: 0.5,
        })
    })
    .unwrap();
    // By cosine, the second and third whale are the best two; one photo of each is compared.
    assert_eq!(compared, [1, 3]);
    let got: Vec<_> = got.iter().flatten().map(|r| (r.photo, r.score)).collect();
    assert_eq!(got[0], (0, 0.3));
    assert!(got[1].0 == 1 && (got[1].1 - 0.6).abs() < 1e-6, "{got:?}");
    // 0.5 + 2 (0.925 - 0.5 - 0.1 - 0.125) = 0.9
    assert!(got[2].0 == 3 && (got[2].1 - 0.9).abs() < 1e-6, "{got:?}");
}

#[test]
fn the_norm_of_a_query_is_that_of_whales_from_the_sixth_on() {
    let photos: Vec<[CandidatePhoto; 1]> = (0..7)
        .map(|i| {
            [CandidatePhoto {
                photo: i,
                cosine: 0.9 - 0.1 * i as f32,
            }]
        })
        .collect();
    let candidates: Vec<&[CandidatePhoto]> = photos.iter().map(<[_; 1]>::as_slice).collect();
    let local = LocalScore {
        whales: 10,
        weight: 1.0,
        intercept: 0.0,
        slope: 0.0,
        ..score()
    };
    let got = rescore(&candidates, WhaleScore::BEST, &local, |photo| {
        let similarity = if photo < 5 { 0.9 } else { 0.2 };
        Ok::<_, Infallible>(GalleryPhoto {
            similarity,
            norm: 0.6,
        })
    });
    // Four typical pairs of 0.5 and two of 0.2 make 0.4; for the third whale 0.7 + 0.9 - (0.4 + 0.6) / 2, cut off at 1.
    let scores: Vec<f32> = got.unwrap().iter().flatten().map(|r| r.score).collect();
    assert_eq!(scores[2], 1.0);
    // 0.3 + 0.2 - 0.5
    assert!(scores[6].abs() < 1e-6, "{scores:?}");
}

fn entry(whale: &str, photo: u64) -> Enrolled {
    Enrolled {
        whale: whale.into(),
        photo: format!("{photo}.jpg"),
        source: "drawn".into(),
        ..Enrolled::default()
    }
}

/// `count` photos of as many whales.
fn store(count: u64) -> (LocalPhotos, Vec<Enrolled>) {
    let mut photos = LocalPhotos::new(LAYOUT);
    let entries: Vec<Enrolled> = (0..count).map(|i| entry(&format!("W{i}"), i)).collect();
    for (i, entry) in entries.iter().enumerate() {
        photos.push(entry, &descriptors(i as u64 + 1)).unwrap();
    }
    photos.set_norms(&vec![0.25; entries.len()]);
    (photos, entries)
}

#[test]
fn stored_descriptors_follow_their_photos() {
    let (mut photos, mut entries) = store(4);
    let mut records = vec![];
    photos.write_records(&mut records).unwrap();
    assert_eq!(records.len() as u64, photos.record_bytes());
    let read = LocalPhotos::from_bytes(&photos.index_bytes(), &records).unwrap();
    assert_eq!(read, photos);
    assert_eq!((read.norm(2), read.len()), (0.25, 4));
    photos.expect_photos(&entries).unwrap();
    photos.retain(|i| i != 1);
    assert_eq!(
        photos.expect_photos(&entries),
        Err(LocalPhotosError::OtherCatalogue)
    );
    entries.remove(1);
    photos.expect_photos(&entries).unwrap();
    photos.push(&entry("W9", 9), &descriptors(99)).unwrap();
    assert_eq!(photos.descriptors(1).unwrap(), descriptors(3));
    assert_eq!(photos.descriptors(3).unwrap(), descriptors(99));
    let other = Layout {
        height: 1,
        ..LAYOUT
    };
    let other = Descriptors::quantised(other, &values(other, 1)).unwrap();
    assert!(matches!(
        photos.push(&entry("W", 1), &other),
        Err(LocalPhotosError::Layout { .. })
    ));
}

#[test]
fn mapped_descriptors_are_verified_when_they_are_read() {
    let (photos, _) = store(4);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("local.bin");
    let mut bytes = vec![7; 512];
    photos.write_records(&mut bytes).unwrap();
    let damaged = 512 + Descriptors::bytes(LAYOUT) + 3;
    bytes[damaged] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let index = photos.index_bytes();
    let length = photos.record_bytes();
    let mut mapped = LocalPhotos::open_within(&index, &file, 512, length).unwrap();
    assert!(mapped.is_mapped());
    assert_eq!(mapped.descriptors(0), photos.descriptors(0));
    assert_eq!(
        mapped.descriptors(1),
        Err(LocalPhotosError::Damaged { photo: 1 })
    );
    mapped.release_pages();
    mapped.push(&entry("W9", 9), &descriptors(99)).unwrap();
    assert_eq!(mapped.descriptors(4).unwrap(), descriptors(99));
    assert_eq!(mapped.descriptors(3), photos.descriptors(3));
    mapped.expect_unchanged().unwrap();
    std::fs::write(&path, &bytes[..600]).unwrap();
    assert_eq!(mapped.expect_unchanged(), Err(LocalPhotosError::Changed));
    assert!(LocalPhotos::open_within(&index, &file, 512, length).is_err());
    assert!(matches!(
        LocalPhotos::open_within(&index, &file, 0, length - 64),
        Err(LocalPhotosError::Length { .. })
    ));
}

#[test]
fn an_index_of_another_form_is_rejected() {
    let (photos, _) = store(1);
    let index = photos.index_bytes();
    let mut records = vec![];
    photos.write_records(&mut records).unwrap();
    let mut nan = index.clone();
    nan[24..28].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut newer = index.clone();
    newer[4] = 2;
    let mut wide = index.clone();
    wide[8..10].copy_from_slice(&u16::MAX.to_le_bytes());
    let mut many = index.clone();
    many[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
    for bad in [
        &index[..15],
        &index[..20],
        &nan,
        &newer,
        &wide,
        &many,
        b"FLKC",
    ] {
        let error = LocalPhotos::from_bytes(bad, &records).unwrap_err();
        assert!(matches!(error, LocalPhotosError::Index(_)), "{error}");
    }
}

/// Two whales of equal cosine to the query; the descriptors decide.
fn catalogue() -> (Catalogue, LocalPhotos) {
    let mut catalogue = Catalogue::new(2);
    let mut local = LocalPhotos::new(LAYOUT);
    for (number, (whale, embedding)) in [
        ("A", [0.8, 0.6]),
        ("B", [0.8, -0.6]),
        ("B", [0.0, 1.0]),
        ("C", [-1.0, 0.0]),
    ]
    .into_iter()
    .enumerate()
    {
        let entry = entry(whale, number as u64);
        local.push(&entry, &descriptors(number as u64 + 1)).unwrap();
        let embedding = Embedding::normalised(embedding.to_vec()).unwrap();
        catalogue.enrol(entry, &embedding).unwrap();
    }
    local.set_norms(&[0.5; 4]);
    (catalogue, local)
}

fn query(seed: u64) -> EmbeddedPhoto {
    EmbeddedPhoto {
        embedding: Embedding::normalised(vec![1.0, 0.0]).unwrap(),
        local: Some(descriptors(seed)),
    }
}

#[test]
fn descriptors_decide_between_whales_of_equal_cosine() {
    let (catalogue, photos) = catalogue();
    let score = LocalScore {
        whales: 30,
        photos: 2,
        ..score()
    };
    let local = LocalCatalogue {
        photos: &photos,
        score: &score,
    };
    let search = |queries: &[EmbeddedPhoto], local| {
        search_encounter(&catalogue, local, queries, WhaleScore::BLEND, 5).unwrap()
    };
    let by_cosine = search(&[query(2)], None);
    assert_eq!(by_cosine[0].whale, "A", "equal scores rank by name");
    // The query has the descriptors of photo 1, which shows B.
    let found = search(&[query(2)], Some(local));
    assert_eq!(
        (found[0].whale.as_str(), found[0].photo.as_str()),
        ("B", "1.jpg")
    );
    assert_eq!(found.len(), 3);
    let found = search(&[query(1), query(1)], Some(local));
    assert_eq!(found[0].whale, "A");
    assert_eq!(found[0].score, search(&[query(1)], Some(local))[0].score);
    // One query without descriptors: cosines alone.
    let plain = EmbeddedPhoto {
        local: None,
        ..query(2)
    };
    assert_eq!(search(&[plain.clone(), plain], Some(local)), by_cosine);
    assert_eq!(search(&[], Some(local)), []);
}

#[test]
fn whales_that_are_not_compared_keep_their_rank_by_cosine() {
    let (catalogue, photos) = catalogue();
    // Only one whale is compared: A, whose descriptors are unlike the query's.
    let score = LocalScore {
        whales: 1,
        weight: 9.0,
        ..score()
    };
    let local = LocalCatalogue {
        photos: &photos,
        score: &score,
    };
    let found =
        search_encounter(&catalogue, Some(local), &[query(9)], WhaleScore::BEST, 1).unwrap();
    assert_eq!((found.len(), found[0].whale.as_str()), (1, "B"));
    assert!((found[0].score - 0.8).abs() < 1e-6);
}

#[test]
fn a_weight_of_zero_gives_the_search_by_cosines() {
    let (catalogue, photos) = catalogue();
    let score = LocalScore {
        weight: 0.0,
        whales: 30,
        photos: 2,
        ..score()
    };
    let local = LocalCatalogue {
        photos: &photos,
        score: &score,
    };
    for queries in [vec![query(2)], vec![query(2), query(7)]] {
        let embeddings: Vec<Embedding> = queries.iter().map(|q| q.embedding.clone()).collect();
        let expected = catalogue
            .search_encounter(&embeddings, WhaleScore::BLEND, 5)
            .unwrap();
        let got =
            search_encounter(&catalogue, Some(local), &queries, WhaleScore::BLEND, 5).unwrap();
        assert_eq!(got, expected);
    }
}

#[test]
fn descriptors_of_other_photos_or_models_are_errors() {
    let (mut catalogue, photos) = catalogue();
    let score = score();
    let local = LocalCatalogue {
        photos: &photos,
        score: &score,
    };
    let other = Layout {
        height: 1,
        ..LAYOUT
    };
    let other = EmbeddedPhoto {
        local: Some(Descriptors::quantised(other, &values(other, 1)).unwrap()),
        ..query(1)
    };
    let search = |catalogue: &Catalogue, query: EmbeddedPhoto| {
        search_encounter(catalogue, Some(local), &[query], WhaleScore::BEST, 5).unwrap_err()
    };
    assert!(matches!(
        search(&catalogue, other),
        SearchError::Local(LocalPhotosError::Layout { .. })
    ));
    catalogue.withdraw_whale("C");
    assert!(matches!(
        search(&catalogue, query(1)),
        SearchError::Local(LocalPhotosError::OtherCatalogue)
    ));
}

/// Irregular descriptors of both grids.
fn with_fine(seed: u64) -> Descriptors {
    let layout = Layout { fine: 5, ..LAYOUT };
    let channels = Layout {
        dimension: layout.channels(1),
        ..LAYOUT
    };
    let view = ViewMap {
        values: &values(channels, seed),
        mirrored: false,
    };
    Descriptors::of_views(layout, &[view]).unwrap()
}

#[test]
fn the_fine_grid_lies_in_quarters() {
    let layout = Layout {
        height: 1,
        width: 2,
        dimension: 1,
        fine: 2,
    };
    assert_eq!(layout.channels(2), 2 + 8);
    // Channels of two locations each: one for each view, then two values of each quarter.
    let mut output = vec![1.0, 1.0, 1.0, 1.0];
    for quarter in 0..4 {
        for value in 0..2 {
            let number = (100 * value + 10 * quarter) as f32;
            output.extend([number + 1.0, number + 2.0]);
        }
    }
    let view = |mirrored| ViewMap {
        values: &output,
        mirrored,
    };
    let grid = layout.fine_grid().unwrap();
    let fine = |mirrored| {
        let views = [view(mirrored), view(true)];
        let got = Descriptors::of_views(layout, &views).unwrap();
        got.fine().unwrap().clone()
    };
    let rows = [[1.0, 11.0, 2.0, 12.0], [21.0, 31.0, 22.0, 32.0]];
    let expected = |turned: bool| {
        let row = |row: &[f32; 4]| {
            let mut row = row.to_vec();
            if turned {
                row.reverse();
            }
            row.into_iter().flat_map(|v| [v, v + 100.0])
        };
        let values: Vec<f32> = rows.iter().flat_map(row).collect();
        Descriptors::quantised(grid, &values).unwrap()
    };
    assert_eq!(fine(false), expected(false));
    assert_eq!(fine(true), expected(true));
}

#[test]
fn both_grids_round_trip() {
    let mut catalogue = LocalPhotos::new(with_fine(1).layout());
    let entry = |number: u64| Enrolled {
        whale: "HW-1".into(),
        photo: format!("{number}.jpg"),
        ..Enrolled::default()
    };
    for number in 0..3 {
        catalogue.push(&entry(number), &with_fine(number)).unwrap();
    }
    let index = catalogue.index_bytes();
    let mut records = vec![];
    catalogue.write_records(&mut records).unwrap();
    let read = LocalPhotos::from_bytes(&index, &records).unwrap();
    assert_eq!(read, catalogue);
    assert_eq!(read.descriptors(2).unwrap(), with_fine(2));
    assert!(LocalPhotos::from_bytes(&index[..18], &[]).is_err());
    // Without a fine grid in the index the records are too long.
    let mut coarse = index;
    coarse[16..20].fill(0);
    assert_eq!(
        LocalPhotos::from_bytes(&coarse, &records),
        Err(LocalPhotosError::Index("its layout is out of range"))
    );
    let unequal = catalogue.push(&entry(9), &descriptors(1));
    assert!(matches!(unequal, Err(LocalPhotosError::Layout { .. })));
}

#[test]
fn equal_photos_agree_in_both_grids() {
    let one = with_fine(7);
    let (coarse, fine) = agreement(&one, &one);
    let fine = fine.unwrap();
    for (got, expected) in [
        (coarse.best, 1.0),
        (coarse.mutual, 1.0),
        (coarse.affine, 0.0),
        (fine.best, 1.0),
        (fine.mutual, 1.0),
        (fine.affine, 1.0),
    ] {
        assert!((got - expected).abs() < 1e-3, "{coarse:?} {fine:?}");
    }
    let (coarse, fine) = agreement(&one, &with_fine(8));
    let fine = fine.unwrap();
    assert!(coarse.mutual < 0.5 && fine.mutual < 0.9 && fine.affine < fine.mutual);
    assert_eq!(agreement(&descriptors(1), &descriptors(1)).1, None);
}

#[test]
fn the_fine_grid_adds_to_the_similarity() {
    let [one, other] = [with_fine(1), with_fine(2)];
    let weights = FineWeights {
        coarse_mutual: 0.5,
        best: -1.0,
        mutual: 2.0,
        affine: 3.0,
    };
    let s = LocalScore {
        fine: Some(weights),
        ..score()
    };
    let (coarse, fine) = agreement(&one, &other);
    let fine = fine.unwrap();
    let expected = similarity(&one, &other) + 0.5 * coarse.mutual - fine.best
        + 2.0 * fine.mutual
        + 3.0 * fine.affine;
    assert!((s.similarity(&one, &other) - expected).abs() < 1e-6);
    assert_eq!(score().similarity(&one, &other), similarity(&one, &other));
    let wild = FineWeights {
        affine: f32::NAN,
        ..weights
    };
    let bad = LocalScore {
        fine: Some(wild),
        ..score()
    };
    assert!(
        bad.validate()
            .unwrap_err()
            .to_string()
            .contains("fine.affine")
    );
}
