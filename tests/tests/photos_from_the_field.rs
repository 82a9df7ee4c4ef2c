//! Photos, folders and lists as people have them: read, or named with what to do.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::bundle::{name, tiny};
use flukewatch_tests::pictures::{self, fluke, jpeg};
use flukewatch_tests::program::{Finished, Program, finished};
use flukewatch_tests::station::Station;
use image::{DynamicImage, ImageFormat, Rgba, RgbaImage, imageops};
use serde_json::{Value, json};
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const HEIC: &[u8] = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic";

/// A photo of whale `number`, large enough to have an inside.
fn photo(number: u32) -> Vec<u8> {
    jpeg(&imageops::resize(
        &fluke(number),
        1024,
        512,
        imageops::FilterType::Triangle,
    ))
}

/// Half of its data, then its end marker.
fn half_missing(number: u32) -> Vec<u8> {
    let file = photo(number);
    [&file[..file.len() / 2], &[0xff, 0xd9]].concat()
}

/// A part of its data overwritten, as by a bad memory card.
fn overwritten(number: u32) -> Vec<u8> {
    let mut file = photo(number);
    let middle = file.len() / 2;
    file[middle..middle + 400].fill(0);
    file
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    picture.write_to(&mut file, format).unwrap();
    file.into_inner()
}

/// A folder with a bundle `whales` of three whales, and one without any, `empty`.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        tiny(3).save(&folder.path().join("whales")).unwrap();
        tiny(0).save(&folder.path().join("empty")).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let mut command = Program::Host.command(arguments);
        command.current_dir(self.0.path());
        finished(command)
    }

    fn identify(&self, photos: &[&str]) -> Vec<Value> {
        let arguments = [&["identify", "whales", "--json"], photos].concat();
        let json = self.run(&arguments).json();
        json.as_array().unwrap().clone()
    }
}

#[test]
fn a_photo_damaged_inside_is_not_identified() {
    let desk = Desk::new();
    desk.write("whole.jpg", &photo(2));
    desk.write("half.jpg", &half_missing(2));
    desk.write("zeros.jpg", &overwritten(2));
    desk.write("open.jpg", &photo(2)[..photo(2).len() - 2]);
    let answers = desk.identify(&["whole.jpg", "half.jpg", "zeros.jpg", "open.jpg"]);
    let verdicts: Vec<_> = answers
        .iter()
        .map(|a| a["verdict"].as_str().unwrap())
        .collect();
    assert_eq!(verdicts, ["known", "error", "error", "known"]);
    for damaged in &answers[1..3] {
        let error = damaged["error"].as_str().unwrap();
        assert!(error.contains("the JPEG file is damaged"), "{error}");
    }
    // All blocks are there; only the end marker is missing.
    assert_eq!(answers[0]["candidates"], answers[3]["candidates"]);
}

#[test]
fn all_broken_photos_are_named_before_the_work_and_can_be_skipped() {
    let desk = Desk::new();
    for (file, bytes) in [
        ("t/a.jpg", pictures::photo(0, "a")),
        ("t/b.jpg", pictures::photo(0, "b")),
        ("t/c.jpg", pictures::photo(1, "c")),
        ("t/d.jpg", pictures::photo(1, "d")),
        ("t/half.jpg", half_missing(0)),
        ("t/zeros.jpg", overwritten(1)),
        ("t/empty.jpg", vec![]),
    ] {
        desk.write(file, &bytes);
    }
    let lines = "image,identity\na.jpg,A\nb.jpg,A\nc.jpg,B\nd.jpg,B\nhalf.jpg,A\nzeros.jpg,B\nempty.jpg,B\n";
    desk.write("t.csv", lines.as_bytes());
    let named = [
        "half.jpg: the JPEG file is damaged",
        "zeros.jpg: the JPEG file is damaged",
        "empty.jpg: the picture file is empty",
        "3 of 7 photos cannot be read",
        "--skip-broken",
    ];
    for command in [
        &["evaluate", "empty", "t.csv"][..],
        &["calibrate", "empty", "t.csv", "--out", "out"],
        &["enroll", "empty", "t.csv", "--out", "out"],
    ] {
        let finished = desk.run(command).failed(1, &named);
        assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    }
    assert!(!desk.path("out").exists() && !desk.path("run").exists());

    let evaluated = desk
        .run(&["evaluate", "empty", "t.csv", "--json", "--skip-broken"])
        .succeeded();
    assert_eq!(evaluated.json()["queries"], 4);
    assert!(
        evaluated
            .stderr
            .contains("skipped 3 photos that cannot be read"),
        "{}",
        evaluated.stderr
    );
    let enrolled = desk
        .run(&["enroll", "empty", "t.csv", "--out", "out", "--skip-broken"])
        .succeeded();
    assert!(enrolled.stdout.contains("enrolled 4 photos of 2 whales"));
}

#[test]
fn a_folder_is_read_as_people_keep_it() {
    let desk = Desk::new();
    let taken = |whale, name: &str, format| {
        let picture = image::load_from_memory(&pictures::photo(whale, name)).unwrap();
        encoded(&picture, format)
    };
    for (file, bytes) in [
        ("w/HW0/a.jpg", pictures::photo(0, "a")),
        ("w/HW0/b.JPE", pictures::photo(0, "b")),
        ("w/HW1/2019/a.tif", taken(1, "a", ImageFormat::Tiff)),
        ("w/HW1/2020/May/b.webp", taken(1, "b", ImageFormat::WebP)),
        ("w/HW2/a.png", taken(2, "a", ImageFormat::Png)),
        ("w/HW2/jpeg-named.png", pictures::photo(2, "b")),
        // Not photos of whales:
        ("w/HW2/IMG_0001.HEIC", HEIC.to_vec()),
        ("w/HW2/IMG_0002.jpg", HEIC.to_vec()),
        ("w/HW2/DSC_0001.NEF", b"MM\0*\0\0\0\x08\0\0".to_vec()),
        ("w/HW2/annex.jpg", b"../../.git/annex/objects/a".to_vec()),
        ("w/HW2/._a.png", b"x".to_vec()),
        ("w/HW2/Thumbs.db", b"x".to_vec()),
        ("w/HW2/@eaDir/a.png/SYNOPHOTO_THUMB_XL.jpg", photo(1)),
        ("w/@eaDir/HW2/t.jpg", photo(1)),
        ("w/.thumbnails/t.jpg", photo(1)),
        ("w/__MACOSX/HW2/._a.png", b"x".to_vec()),
        ("w/.DS_Store", b"x".to_vec()),
        ("w/loose.jpg", photo(1)),
        ("w/notes.txt", b"x".to_vec()),
    ] {
        desk.write(file, &bytes);
    }
    symlink("nowhere.jpg", desk.path("w/HW0/dead.jpg")).unwrap();
    let found = desk.run(&["evaluate", "empty", "w", "--json"]).succeeded();
    let json = found.json();
    assert_eq!(
        (&json["queries"], &json["recall_at_1"]),
        (&json!(6), &json!(1.0))
    );
    let lines: Vec<_> = found
        .stderr
        .lines()
        .filter(|l| l.contains("skipped"))
        .collect();
    let [line] = lines[..] else {
        panic!("one line, not {lines:?}")
    };
    for reason in [
        "2 HEIC photos (e.g. HW2/IMG_0001.HEIC; export it as JPEG)",
        "1 camera raw file (HW2/DSC_0001.NEF",
        "1 placeholder of git-annex or Git LFS (HW2/annex.jpg",
        "1 link to a missing file (HW0/dead.jpg",
        "1 photo outside a whale's folder (loose.jpg",
        "1 other file (notes.txt)",
        "hidden or system files (e.g. ",
    ] {
        assert!(line.contains(reason), "{reason} is not in {line}");
    }
    let identified = desk.identify(&["w/HW2/IMG_0001.HEIC"]);
    let error = identified[0]["error"].as_str().unwrap();
    assert!(error.contains("HEIC photo; export it as JPEG"), "{error}");
}

#[test]
fn a_folder_without_photos_says_what_is_in_it() {
    let desk = Desk::new();
    desk.write("w/HW1/IMG_1.HEIC", HEIC);
    desk.write("w/loose.jpg", &photo(1));
    desk.run(&["evaluate", "empty", "w"]).failed(
        1,
        &["contains no photos", "1 HEIC photo", "1 photo outside"],
    );
}

#[test]
fn a_transparent_photo_has_one_score_whatever_it_hides() {
    let desk = Desk::new();
    let shown = fluke(2);
    // Cut out: the fields at the left and right are transparent.
    let cut = |hidden: [u8; 3], alpha: u8| {
        DynamicImage::from(RgbaImage::from_fn(shown.width(), shown.height(), |x, y| {
            let [r, g, b] = shown.get_pixel(x, y).0;
            let [hr, hg, hb] = hidden;
            if (16..112).contains(&x) {
                Rgba([r, g, b, 255])
            } else {
                Rgba([hr, hg, hb, alpha])
            }
        }))
    };
    let mut names = vec![];
    for (format, extension) in [
        (ImageFormat::Png, "png"),
        (ImageFormat::Tiff, "tif"),
        (ImageFormat::WebP, "webp"),
    ] {
        for (i, hidden) in [[0; 3], [255; 3], [200, 30, 90]].into_iter().enumerate() {
            let name = format!("{i}.{extension}");
            desk.write(&name, &encoded(&cut(hidden, 0), format));
            names.push(name);
        }
    }
    desk.write("flat.png", &encoded(&cut([255; 3], 255), ImageFormat::Png));
    names.push("flat.png".into());
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let answers = desk.identify(&names);
    assert_eq!(answers[0]["candidates"][0]["whale"], json!(name(2)));
    for answer in &answers {
        assert_eq!(answer["candidates"], answers[0]["candidates"], "{answer}");
    }
}

/// A boat that replays the list or folder `path` of its folder.
fn boat(folder: &Path, path: &str, port: u16) -> Boat {
    let boat = Boat::new(&folder.join("boat"), "balaena", Camera::Stills(50.0), port);
    boat.rewrite(|text| text.replace("path = \"frames\"", &format!("path = \"{path}\"")));
    boat
}

#[test]
fn lists_and_sidecars_of_every_editor_are_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = boat(folder.path(), "list.txt", station.mqtt().port());
    boat.set_frames((0..3).flat_map(|i| {
        let region = "{\"boxes\":[{\"x0\":0.0,\"y0\":0.5,\"x1\":127.5,\"y1\":64.0}]}";
        [
            (format!("{i} baleia.jpg"), jpeg(&fluke(i))),
            (
                format!("{i} baleia.json"),
                format!("\u{feff}{region}\r\n").into_bytes(),
            ),
        ]
    }));
    let list = "\u{feff}frames\\0 baleia.jpg\r\nframes\\1 baleia.jpg\r\nframes/2 baleia.jpg\r\n";
    fs::write(folder.path().join("boat/list.txt"), list).unwrap();
    let health = boat.run(40).succeeded().json();
    assert_eq!(
        (
            &health["frames"],
            &health["broken_frames"],
            &health["accepted"]
        ),
        (&json!(3), &json!(0), &json!(3))
    );
    station.has_all("balaena", 3);
}

#[test]
fn a_wrong_list_or_sidecar_ends_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let boat = boat(folder.path(), "list.txt", 1);
    boat.set_stills(2);
    let list = folder.path().join("boat/list.txt");
    let fails = |words: &[&str]| {
        boat.run(1).failed(1, words);
        Program::Edge
            .run(&["check", "--config", text(&boat.config())])
            .failed(1, &[]);
    };
    fs::write(&list, "frames/000000.jpg\n\nC:\\fotos\\1.jpg\n").unwrap();
    fails(&["list.txt:3: ", "C:\\fotos\\1.jpg"]);
    fs::write(&list, b"frames/000000.jpg\nframes/\xe9.jpg\n").unwrap();
    fails(&["list.txt:2: ", "UTF-8"]);
    fs::write(&list, "frames/000000.jpg\nframes/000001.jpg\n").unwrap();
    fs::write(
        folder.path().join("boat/frames/000001.json"),
        "{\"boxes\":[\n{\"x0\":\"ten\"}]}",
    )
    .unwrap();
    fails(&["000001.json:2: "]);
}
