//! Sound files of each kind, and damage at every place.

use super::*;
use image::codecs::jpeg::JpegEncoder;
use proptest::prelude::*;

/// Baseline with the standard's tables.
fn baseline() -> Vec<u8> {
    let image = image::RgbImage::from_fn(90, 61, |x, y| {
        image::Rgb([(x * 7) as u8, (y * 11) as u8, (x * y) as u8])
    });
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, 85)
        .encode_image(&image)
        .unwrap();
    file
}

/// Progressive; with restart intervals; 4:2:0 with tables of its own; grey, progressive, with restarts.
fn all() -> [Vec<u8>; 5] {
    [
        baseline(),
        include_bytes!("samples/progressive.jpg").to_vec(),
        include_bytes!("samples/restarts.jpg").to_vec(),
        include_bytes!("samples/optimised.jpg").to_vec(),
        include_bytes!("samples/grey-progressive.jpg").to_vec(),
    ]
}

/// Where the data of the first scan start.
fn data(file: &[u8]) -> usize {
    let scan = super::super::markers(file)
        .find(|m| m.code == START_OF_SCAN)
        .unwrap();
    let length = &file[scan.start + 2..scan.start + 4];
    scan.start + 2 + usize::from(u16::from_be_bytes([length[0], length[1]]))
}

fn without_tables(file: &[u8]) -> Vec<u8> {
    let mut out = START.to_vec();
    let mut at = 2;
    while at < data(file) {
        let length = usize::from(u16::from_be_bytes([file[at + 2], file[at + 3]])) + 2;
        if file[at + 1] != HUFFMAN_TABLES {
            out.extend(&file[at..at + length]);
        }
        at += length;
    }
    out.extend(&file[data(file)..]);
    out
}

#[test]
fn sound_files_end_at_their_last_byte() {
    for file in all() {
        assert_eq!(check(&file), Ok(file.len()));
        let with_more = [&file[..], b"trailing bytes"].concat();
        assert_eq!(check(&with_more), Ok(file.len()));
    }
}

#[test]
fn a_frame_without_huffman_tables_uses_the_standard_ones() {
    let file = without_tables(&baseline());
    assert!(file.len() < baseline().len());
    assert_eq!(check(&file), Ok(file.len()));
}

#[test]
fn an_image_may_lack_its_end_marker() {
    for file in all() {
        let open = &file[..file.len() - 2];
        assert_eq!(check(open), Ok(open.len()));
        let followed = [open, &file].concat();
        assert_eq!(check(&followed), Ok(open.len()), "another image starts");
        let padded = [open, &[0; 100]].concat();
        assert!(check(&padded).is_ok());
    }
}

#[test]
fn a_file_cut_anywhere_is_damaged_even_with_an_end_marker() {
    for file in all() {
        for end in 2..file.len() - 4 {
            let cut = &file[..end];
            assert!(check(cut).is_err(), "{end} of {}", file.len());
            let ended = [cut, &[0xff, END_OF_IMAGE]].concat();
            assert!(check(&ended).is_err(), "{end} of {}", file.len());
        }
    }
}

#[test]
fn missing_and_remaining_data_are_told_apart() {
    let file = baseline();
    let middle = (data(&file) + file.len()) / 2;
    let half = [&file[..middle], &[0xff, END_OF_IMAGE]].concat();
    let damage = check(&half).unwrap_err();
    assert!(
        matches!(damage, JpegDamage::Missing { missing, blocks, .. } if missing > blocks / 4),
        "{damage}"
    );
    let tail = &file[file.len() - 60..];
    let damage = check(&[&file[..file.len() - 2], tail].concat()).unwrap_err();
    assert!(
        matches!(damage, JpegDamage::Remaining { bytes, .. } if bytes > 50),
        "{damage}"
    );
}

#[test]
fn padding_behind_the_last_block_is_accepted() {
    let file = baseline();
    let open = &file[..file.len() - 2];
    for padding in [&[0xff][..], &[0; 9], &[0x12], &[0xff, 0xff, 0xff]] {
        let padded = [open, padding, &[0xff, END_OF_IMAGE]].concat();
        assert_eq!(check(&padded), Ok(padded.len()), "{padding:?}");
    }
}

#[test]
fn a_missing_restart_marker_is_found() {
    let file = &all()[2];
    let data = data(file);
    let marker = (data..file.len())
        .find(|i| file[*i] == 0xff && file[i + 1] == 0xd0)
        .unwrap();
    let mut wrong = file.clone();
    wrong[marker + 1] = 0xd3;
    assert_eq!(check(&wrong), Err(JpegDamage::Restart { at: marker }));
}

/// How many of the damaged files are found to be.
fn found(damage: impl Fn(&mut [u8], usize)) -> f64 {
    let (mut found, mut all_of_them) = (0.0, 0.0);
    for file in all() {
        let data = data(&file);
        for at in (data..file.len() - 120).step_by(7) {
            let mut damaged = file.clone();
            damage(&mut damaged[at..at + 100], at);
            all_of_them += 1.0;
            found += f64::from(u8::from(check(&damaged).is_err()));
        }
    }
    found / all_of_them
}

#[test]
fn overwritten_data_are_found_almost_always() {
    // A block's code may by chance end where the right one did.
    let zeros = found(|data, _| data.fill(0));
    let noise = found(|data, at| {
        for (i, byte) in data.iter_mut().enumerate() {
            *byte = (((at + i) * 2_654_435_761) >> 7) as u8;
        }
    });
    let text = found(|data, _| data.fill(b'x'));
    assert!(
        zeros > 0.95 && noise > 0.98 && text > 0.95,
        "{zeros} {noise} {text}"
    );
}

#[test]
fn data_that_end_in_zeros_are_damaged() {
    // What a power cut leaves of a file whose size was set first.
    for file in all() {
        for at in (data(&file)..file.len() - 60).step_by(7) {
            let mut damaged = file.clone();
            let end = file.len() - 2;
            damaged[at..end].fill(0);
            assert!(check(&damaged).is_err(), "{at} of {}", file.len());
        }
    }
}

#[test]
fn contradicting_headers_are_damage() {
    let file = baseline();
    assert_eq!(check(b"GIF89a"), Err(JpegDamage::NotJpeg));
    assert_eq!(check(&START), Err(JpegDamage::Truncated));
    let frame = super::super::markers(&file)
        .find(|m| m.code == 0xc0)
        .unwrap()
        .start;
    let with = |offset: usize, value: u8| {
        let mut wrong = file.clone();
        wrong[frame + offset] = value;
        check(&wrong)
    };
    // Length and width of the frame, sampling of a component.
    for (offset, value) in [(3, 3), (9, 9), (11, 0x50)] {
        let damage = with(offset, value).unwrap_err();
        assert!(
            matches!(damage, JpegDamage::Header(_) | JpegDamage::Truncated),
            "{offset}: {damage}"
        );
    }
    let taller = with(6, 200).unwrap_err();
    assert!(matches!(taller, JpegDamage::Missing { .. }), "{taller}");
}

proptest! {
    #[test]
    fn any_bytes_come_to_an_end(tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = check(&[&START[..], &tail].concat());
    }

    #[test]
    fn any_change_comes_to_an_end(which in 0usize..5, at in any::<prop::sample::Index>(), byte: u8) {
        let mut file = all()[which].clone();
        let at = at.index(file.len());
        file[at] = byte;
        if let Ok(end) = check(&file) {
            prop_assert!(end <= file.len());
        }
    }
}
