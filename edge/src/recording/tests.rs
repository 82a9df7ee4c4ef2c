use super::*;
use crate::sample;
use proptest::prelude::*;

pub(crate) fn recording() -> Recording {
    let crop = |after| RecordedCrop {
        jpeg: crop_jpeg::encode(&sample::fluke(1), QUALITY).unwrap(),
        region: PixelBox::whole(30, 20),
        frame_region: PixelBox::whole(60, 40),
        quality: CropQuality {
            after,
            sharpness: 50,
            size: 60,
            angle: 70,
            exposure: 80,
        },
    };
    Recording {
        sighting: flukewatch_common::samples::sighting(),
        track: Track {
            session: Uuid::from_u128(5),
            camera: 1,
            number: 77,
            started: MonotonicTimestamp(123),
            ended: MonotonicTimestamp(456_000),
        },
        crops: vec![crop(0), crop(250)],
    }
}

#[test]
fn a_file_holds_the_encounter_and_its_crops() {
    let recording = recording();
    let file = recording.to_file().unwrap();
    assert_eq!(Recording::from_file(&file).unwrap(), recording);
    let mut archive = tar::Archive::new(&file[..]);
    let names: Vec<String> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect();
    assert_eq!(names, ["encounter.json", "crop-1.jpg", "crop-2.jpg"]);
    let pixels = recording.crops[0].pixels().unwrap();
    assert_eq!(pixels.dimensions(), sample::fluke(1).dimensions());
}

#[test]
fn a_recording_of_before_an_update_is_read() {
    let mut recording = recording();
    let mut file = recording.to_file().unwrap();
    let key = b"\"relative_position\"";
    let at = file.windows(key.len()).position(|bytes| bytes == key);
    file[at.unwrap() + 1] = b'R';
    recording.sighting.relative_position = None;
    assert_eq!(Recording::from_file(&file).unwrap(), recording);
}

#[test]
fn a_damaged_file_is_an_error() {
    let file = recording().to_file().unwrap();
    assert!(matches!(
        Recording::from_file(b""),
        Err(RecordingError::Damaged(_))
    ));
    // A crop is missing.
    let cut = file.len() - 3000;
    assert!(matches!(
        Recording::from_file(&file[..cut]),
        Err(RecordingError::Damaged(_))
    ));
    let text = String::from_utf8_lossy(&file).into_owned();
    let at = text.find("\"track\"").unwrap();
    let mut other = file.clone();
    other[at + 1] = b'T';
    assert!(matches!(
        Recording::from_file(&other),
        Err(RecordingError::Description(_))
    ));
}

proptest! {
    #[test]
    fn no_bytes_panic(at in 0usize..6000, byte: u8, cut in 0usize..20_000) {
        let mut file = recording().to_file().unwrap();
        let last = file.len() - 1;
        file[at.min(last)] = byte;
        file.truncate(cut);
        let _ = Recording::from_file(&file);
    }
}
