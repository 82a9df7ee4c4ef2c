//! The catalogue's file: read back, mapped, damaged and malicious.

use super::*;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom};
use tempfile::TempDir;

/// Opens `bytes` from a file, mapped, after `before` other bytes.
fn mapped(bytes: &[u8], before: usize) -> Result<Catalogue, CatalogueError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&vec![7; before]).unwrap();
    file.write_all(bytes).unwrap();
    Catalogue::open_within(&file, before as u64, bytes.len() as u64, 0)
}

/// 300 photos of 60 whales.
fn many() -> Catalogue {
    let mut catalogue = Catalogue::new(100);
    for photo in 0..300u64 {
        let row = (0..100).map(|i| ((photo * 31 + i * i * 17) % 101) as f32 - 50.0);
        catalogue.add(
            entry(&format!("W{}", photo / 5), &photo.to_string()),
            &unit(row.collect()),
        );
    }
    catalogue
}

#[test]
fn the_file_reads_back_and_a_truncated_one_is_rejected() {
    let bytes = three().to_bytes();
    assert_eq!(Catalogue::from_bytes(&bytes).unwrap(), three());
    assert_eq!(mapped(&bytes, 0).unwrap(), three());
    for end in 0..bytes.len() {
        let error = Catalogue::from_bytes(&bytes[..end]).unwrap_err();
        assert_eq!(mapped(&bytes[..end], 0), Err(error), "cut at {end}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Catalogue::from_bytes(&longer).is_err() && mapped(&longer, 0).is_err());
    let mut newer = three().to_bytes();
    newer[4] = 9;
    let error = CatalogueError::Newer { got: 9, known: 4 };
    assert_eq!(Catalogue::from_bytes(&newer), Err(error.clone()));
    assert_eq!(mapped(&newer, 0), Err(error));
}

#[test]
fn an_old_format_is_rejected_and_an_empty_catalogue_reads_back() {
    let old = b"FLKC\x01\x00\x03\x00\x00\x00\x80\x08\x00";
    let error = CatalogueError::Older { got: 1, known: 4 };
    assert_eq!(Catalogue::from_bytes(old), Err(error.clone()));
    assert_eq!(mapped(old, 0), Err(error));
    // As shipped: a catalogue without whales.
    let empty = Catalogue::new(1024);
    let bytes = empty.to_bytes();
    assert_eq!(empty.file_bytes(), bytes.len() as u64);
    assert_eq!(Catalogue::from_bytes(&bytes), Ok(empty));
}

#[test]
fn encounters_dates_and_near_duplicates_read_back() {
    let mut catalogue = Catalogue::new(2);
    for (photo, encounter, date, first) in [
        ("1", Some("e1"), Some("2024-06-19"), None),
        ("2", None, Some("2024"), Some("1")),
        ("3", Some("e1"), None, None),
    ] {
        let entry = Enrolled {
            encounter: encounter.map(str::to_owned),
            date: date.map(str::to_owned),
            near_duplicate_of: first.map(str::to_owned),
            ..entry("A", photo)
        };
        catalogue.enrol(entry, &embedding(&[1.0, 0.5])).unwrap();
    }
    let bytes = catalogue.to_bytes();
    assert_eq!(bytes[4], 3);
    assert_eq!(Catalogue::from_bytes(&bytes).unwrap(), catalogue);
    assert_eq!(mapped(&bytes, 512).unwrap(), catalogue);
}

const AREA: InputArea = InputArea {
    width: 640,
    height: 480,
    left: -120,
    top: 0,
    right: 600,
    bottom: 240,
};

#[test]
fn areas_of_photos_read_back() {
    let mut catalogue = three();
    let entry = Enrolled {
        input_area: Some(AREA),
        ..entry("B", "b2")
    };
    catalogue.enrol(entry, &embedding(&[0.0, 1.0])).unwrap();
    let bytes = catalogue.to_bytes();
    assert_eq!((bytes[4], three().to_bytes()[4]), (4, 3));
    assert_eq!(catalogue.file_bytes(), bytes.len() as u64);
    let read = Catalogue::from_bytes(&bytes).unwrap();
    let areas: Vec<_> = read.entries().iter().map(|e| e.input_area).collect();
    assert_eq!(areas, [None, None, None, Some(AREA)]);
    assert_eq!(read, catalogue);
    assert_eq!(mapped(&bytes, 512).unwrap(), catalogue);
}

#[test]
fn areas_that_are_invalid_or_too_few_are_rejected() {
    let list = |areas: &[Option<InputArea>]| {
        let photos = [("a1", 0u32), ("a2", 0), ("b1", 1)];
        let photos = photos.map(|(name, whale)| (whale, 0u32, 0u32, 0u32, name, None::<&str>));
        let names = (vec!["A", "B"], vec!["test"]);
        let empty: [Vec<&str>; 2] = [vec![], vec![]];
        postcard::to_stdvec(&(names, empty, photos.to_vec(), areas.to_vec())).unwrap()
    };
    let inverted = InputArea {
        right: -200,
        ..AREA
    };
    assert_eq!(
        Catalogue::from_bytes(&three_with_list(4, &list(&[None; 3]))),
        Ok(three())
    );
    for areas in [&[None, None][..], &[None; 4], &[None, None, Some(inverted)]] {
        let bytes = three_with_list(4, &list(areas));
        let error = Catalogue::from_bytes(&bytes);
        assert!(matches!(error, Err(CatalogueError::Format(_))), "{error:?}");
        assert_eq!(mapped(&bytes, 0), error);
    }
}

/// [`three`] as written by the format without encounters.
fn three_in_format_2() -> Vec<u8> {
    let photos = [(0u32, 0u32, "a1"), (0, 0, "a2"), (1, 0, "b1")];
    let list = postcard::to_stdvec(&(vec!["A", "B"], vec!["test"], photos.to_vec())).unwrap();
    three_with_list(2, &list)
}

/// The file of [`three`] in another format, with this list.
fn three_with_list(format: u8, list: &[u8]) -> Vec<u8> {
    let new = three().to_bytes();
    let length = u64::from_le_bytes(new[16..24].try_into().unwrap()) as usize;
    let body = &new[(64 + length).next_multiple_of(64)..];
    let mut bytes = new[..64].to_vec();
    bytes[4] = format;
    bytes[16..24].copy_from_slice(&(list.len() as u64).to_le_bytes());
    bytes.extend(list);
    bytes.resize((64 + list.len()).next_multiple_of(64), 0);
    bytes.extend(body);
    seal(&mut bytes);
    bytes
}

#[test]
fn the_format_without_encounters_is_read_and_written_as_the_new_one() {
    let old = three_in_format_2();
    let read = Catalogue::from_bytes(&old).unwrap();
    assert_eq!(read, three());
    assert_eq!(mapped(&old, 0).unwrap(), three());
    assert_eq!(read.to_bytes()[4], 3);
}

#[test]
fn equal_catalogues_are_equal_bytes_mapped_or_in_memory() {
    let bytes = many().to_bytes();
    assert_eq!(bytes.len() as u64, many().file_bytes());
    for before in [0, 512, 4096] {
        let mut from_file = mapped(&bytes, before).unwrap();
        assert!(from_file.is_mapped());
        assert_eq!(from_file, many());
        assert_eq!(from_file.to_bytes(), bytes);
        // Changed in memory, in addition to the file.
        let mut in_memory = many();
        for catalogue in [&mut from_file, &mut in_memory] {
            catalogue.withdraw_whale("W7");
            let new = Embedding::normalised((0..100).map(|i| i as f32).collect()).unwrap();
            catalogue.enrol(entry("W60", "300"), &new).unwrap();
            catalogue.withdraw_photo("299");
        }
        assert_eq!(from_file, in_memory);
        assert_eq!(from_file.to_bytes(), in_memory.to_bytes());
        assert_eq!(
            Catalogue::from_bytes(&from_file.to_bytes()).unwrap(),
            in_memory
        );
        for sparing in [false, true] {
            from_file.release_pages(sparing);
            for photo in [0, 10, 150, from_file.len() - 1] {
                let query = Embedding::normalised(in_memory.embedding(photo).to_vec()).unwrap();
                let found = from_file.search(&query, 7).unwrap();
                assert_eq!(found, in_memory.search(&query, 7).unwrap());
                let queries = [query, Embedding::normalised(vec![1.0; 100]).unwrap()];
                let found = from_file
                    .search_encounter(&queries, WhaleScore::BLEND, 7)
                    .unwrap();
                assert_eq!(
                    found,
                    in_memory
                        .search_encounter(&queries, WhaleScore::BLEND, 7)
                        .unwrap()
                );
            }
        }
    }
}

#[test]
fn a_misaligned_file_is_read_instead_of_mapped() {
    // The numbers would not be aligned to their size.
    let read = mapped(&many().to_bytes(), 13).unwrap();
    assert!(!read.is_mapped());
    assert_eq!(read, many());
}

#[test]
fn a_small_file_is_read_and_a_large_one_mapped() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalogue.bin");
    fs::write(&path, many().to_bytes()).unwrap();
    let small = Catalogue::open(&path).unwrap();
    assert!(!small.is_mapped() && small == many());
    let mut large = many();
    let row = large.embedding(0).to_vec();
    while large.file_bytes() < MMAP_THRESHOLD {
        for _ in 0..1000 {
            large.add(entry("W0", "again"), &row);
        }
    }
    large.write_to(&mut File::create(&path).unwrap()).unwrap();
    let opened = Catalogue::open(&path).unwrap();
    assert!(opened.is_mapped() && opened == large);
    let gone = Catalogue::open(&dir.path().join("no.bin")).unwrap_err();
    assert!(gone.to_string().contains("No such file"), "{gone}");
}

#[test]
fn a_modified_file_is_not_searched() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("catalogue.bin");
    let bytes = many().to_bytes();
    fs::write(&path, &bytes).unwrap();
    let file = File::open(&path).unwrap();
    let opened = Catalogue::open_within(&file, 0, bytes.len() as u64, 0).unwrap();
    let query = Embedding::normalised(vec![1.0; 100]).unwrap();
    // After a rename over it, the old file is still searched.
    let other = dir.path().join("other");
    fs::write(&other, b"another").unwrap();
    let kept = dir.path().join("kept");
    fs::hard_link(&path, &kept).unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(opened.search(&query, 3), many().search(&query, 3));
    let mut file = OpenOptions::new().write(true).open(&kept).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"more").unwrap();
    assert_eq!(opened.search(&query, 3), Err(CatalogueError::Changed));
    assert_eq!(
        opened.search_encounter(&[query], WhaleScore::BEST, 3),
        Err(CatalogueError::Changed)
    );
}

#[test]
fn every_changed_byte_is_detected() {
    let whole = three().to_bytes();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        assert!(Catalogue::from_bytes(&bytes).is_err(), "byte {at}");
        assert!(mapped(&bytes, 0).is_err(), "byte {at}");
    }
    let mut bytes = whole;
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert_eq!(Catalogue::from_bytes(&bytes), Err(CatalogueError::Damaged));
}

/// Corrects both checksums, as an attacker would.
fn seal(bytes: &mut [u8]) {
    if bytes.len() < 64 {
        return;
    }
    let body = crc32fast::hash(&bytes[64..]);
    bytes[28..32].copy_from_slice(&body.to_le_bytes());
    let head = crc32fast::hash(&bytes[..32]);
    bytes[32..36].copy_from_slice(&head.to_le_bytes());
    bytes[36..64].fill(0);
}

#[test]
fn sealed_and_invalid_content_is_named() {
    let why = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = three().to_bytes();
        change(&mut bytes);
        seal(&mut bytes);
        let error = Catalogue::from_bytes(&bytes).unwrap_err();
        assert_eq!(mapped(&bytes, 0), Err(error.clone()));
        error.to_string()
    };
    assert!(why(&|b| b[8..12].fill(0)).contains("dimension"));
    assert!(why(&|b| b[8..12].fill(0xff)).contains("dimension"));
    assert!(why(&|b| b[12..16].fill(0xff)).contains("cut off"));
    assert!(why(&|b| b[16..24].fill(0xff)).contains("dimension is out of range"));
    assert!(why(&|b| b[64] = 77).contains("list of photos"));
    let end = three().to_bytes().len();
    assert!(why(&|b| b[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes())).contains("not finite"));
    assert!(why(&|b| b[24..28].copy_from_slice(&f32::NAN.to_le_bytes())).contains("codes"));
    // The three rows of codes are right before the floats.
    assert!(why(&|b| b[end - 24 - 192] = 0x80).contains("codes"));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_rejected(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        format in 0u8..6,
        sealed in any::<bool>(),
        dimension in 0u8..3,
        photos in 0u8..3,
        list in 0u8..40,
    ) {
        let mut bytes = bytes;
        if format > 0 && bytes.len() >= 64 {
            bytes[..6].copy_from_slice(&[b'F', b'L', b'K', b'C', format, 0]);
            if sealed {
                bytes[8..24].copy_from_slice(&[dimension, 0, 0, 0, photos, 0, 0, 0, list, 0, 0, 0, 0, 0, 0, 0]);
                bytes[24..28].fill(0);
                seal(&mut bytes);
            }
        }
        let read = Catalogue::from_bytes(&bytes);
        let from_file = mapped(&bytes, 0);
        prop_assert_eq!(read.is_ok(), from_file.is_ok());
    }

    #[test]
    fn a_sealed_file_with_changed_bytes_is_read_or_rejected(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = three().to_bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        seal(&mut bytes);
        let read = Catalogue::from_bytes(&bytes);
        let from_file = mapped(&bytes, 0);
        prop_assert_eq!(read.is_ok(), from_file.is_ok());
        if let Ok(catalogue) = from_file {
            // Whatever the content, a search terminates.
            let query = vec![0.5; catalogue.dimension()];
            prop_assert!(catalogue.search_where(&query, 5, |_| true).is_ok());
        }
    }

    #[test]
    fn catalogues_round_trip((catalogue, _) in any_catalogue()) {
        let bytes = catalogue.to_bytes();
        prop_assert_eq!(&Catalogue::from_bytes(&bytes).unwrap(), &catalogue);
        prop_assert_eq!(&mapped(&bytes, 512).unwrap(), &catalogue);
    }
}
