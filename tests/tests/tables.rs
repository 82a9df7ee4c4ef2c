//! Tables as people and other programs write them.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::text;
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::pictures::{FLUKE, frame, jpeg, photo, with_orientation};
use flukewatch_tests::program::{Finished, Program};
use image::DynamicImage;
use image::metadata::Orientation;
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with a bundle without whales, a table `t.csv`, and photos in `t/`.
struct Case {
    folder: tempfile::TempDir,
}

impl Case {
    /// Two photos of each of two whales: `a0.jpg`, `a1.jpg`, `b0.jpg`, `b1.jpg`.
    fn new(table: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("t")).unwrap();
        tiny(0).save(&folder.path().join("empty")).unwrap();
        let case = Self { folder };
        for (file, whale) in [("a0.jpg", 0), ("a1.jpg", 0), ("b0.jpg", 1), ("b1.jpg", 1)] {
            case.write(file, &photo(whale, file));
        }
        fs::write(case.path("t.csv"), table).unwrap();
        case
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, photo: &str, bytes: &[u8]) {
        fs::write(self.path("t").join(photo), bytes).unwrap();
    }

    fn evaluate(&self, more: &[&str]) -> Finished {
        self.run(
            "evaluate",
            &self.path("t.csv"),
            &[&["--json"], more].concat(),
        )
    }

    fn enroll(&self, more: &[&str]) -> Finished {
        self.enroll_from("t.csv", more)
    }

    fn enroll_from(&self, data: &str, more: &[&str]) -> Finished {
        let out = self.path("out");
        let options = ["--quiet", "--out", text(&out)];
        self.run("enroll", &self.path(data), &[&options, more].concat())
    }

    fn run(&self, command: &str, data: &Path, more: &[&str]) -> Finished {
        let bundle = self.path("empty");
        Program::Host.run(&[&[command, text(&bundle), text(data)], more].concat())
    }
}

/// All four photos are read, and each finds its whale.
fn assert_found(finished: Finished) -> Finished {
    let finished = finished.succeeded();
    let found = finished.json();
    assert_eq!(
        (&found["recall_at_1"], &found["queries"]),
        (&json!(1.0), &json!(4)),
        "{finished:?}"
    );
    finished
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "'{word}' is not in: {text}");
    }
}

const FOUR: &str = "image,identity\na0.jpg,A\na1.jpg,A\nb0.jpg,B\nb1.jpg,B\n";

/// A frame as a camera stores it that is held so that its photo needs this orientation, and the
/// box of its fluke as stored: the picture and the box are turned back.
fn stored(whale: u32, name: &str, orientation: u8) -> (Vec<u8>, (u32, u32), [u32; 4]) {
    let inverse = match Orientation::from_exif(orientation).unwrap() {
        Orientation::Rotate90 => Orientation::Rotate270,
        Orientation::Rotate270 => Orientation::Rotate90,
        other => other,
    };
    let turn = |picture| {
        let mut picture = DynamicImage::from(picture);
        picture.apply_orientation(inverse);
        picture.into_rgb8()
    };
    let mut mask = image::RgbImage::new(208, 104);
    for (x, y, pixel) in mask.enumerate_pixels_mut() {
        let inside = (FLUKE.x0..FLUKE.x1).contains(&x) && (FLUKE.y0..FLUKE.y1).contains(&y);
        pixel.0 = [u8::from(inside); 3];
    }
    let mask = turn(mask);
    let marked = || mask.enumerate_pixels().filter(|(_, _, p)| p.0[0] == 1);
    let (x0, y0) = (marked().map(|p| p.0).min(), marked().map(|p| p.1).min());
    let (x1, y1) = (marked().map(|p| p.0).max(), marked().map(|p| p.1).max());
    let region = [x0.unwrap(), y0.unwrap(), x1.unwrap() + 1, y1.unwrap() + 1];
    let file = with_orientation(&jpeg(&turn(framed(whale, name))), orientation);
    (file, mask.dimensions(), region)
}

/// A frame with the photo of that name at [`FLUKE`].
fn framed(whale: u32, name: &str) -> image::RgbImage {
    let fluke = image::load_from_memory(&photo(whale, name)).unwrap();
    let mut frame = frame(None);
    let (x, y) = (i64::from(FLUKE.x0), i64::from(FLUKE.y0));
    image::imageops::replace(&mut frame, &fluke.into_rgb8(), x, y);
    frame
}

#[test]
fn boxes_on_unturned_pictures_turn_with_the_photo() {
    // In each table a quarter turn decides for the photos that are only turned by half.
    for orientation in 1..=8u8 {
        let quarter = if orientation < 5 && orientation > 1 {
            6
        } else {
            orientation
        };
        let mut table = "image,identity,width,height,x0,y0,x1,y1\n".to_owned();
        let case = Case::new("");
        for (name, whale, orientation) in [
            ("a0.jpg", 0, orientation),
            ("a1.jpg", 0, 1),
            ("b0.jpg", 1, quarter),
            ("b1.jpg", 1, 1),
        ] {
            let (file, (width, height), [x0, y0, x1, y1]) = stored(whale, name, orientation);
            case.write(name, &[file.as_slice(), name.as_bytes()].concat());
            let identity = ["A", "B"][whale as usize];
            table += &format!("{name},{identity},{width},{height},{x0},{y0},{x1},{y1}\n");
        }
        fs::write(case.path("t.csv"), table).unwrap();
        let said = assert_found(case.evaluate(&[])).stderr;
        assert!(!said.contains("upright"), "{orientation}: {said}");
    }
}

#[test]
fn boxes_on_turned_pictures_stay() {
    let (file, ..) = stored(0, "a0.jpg", 6);
    let [x0, y0, x1, y1] = [FLUKE.x0, FLUKE.y0, FLUKE.x1, FLUKE.y1];
    let row = |image: &str| format!("{image},A,208,104,{x0},{y0},{x1},{y1}\n");
    let table = format!(
        "image,identity,width,height,x0,y0,x1,y1\n{}b0.jpg,B,,,,,,\nb1.jpg,B,,,,,,\n",
        row("a0.jpg") + &row("a1.jpg")
    );
    let case = Case::new(table);
    case.write("a0.jpg", &file);
    case.write("a1.jpg", &jpeg(&framed(0, "a1.jpg")));
    assert_found(case.evaluate(&[]));
    // Without the size, the same with a warning.
    let bare = format!(
        "image,identity,bbox\na0.jpg,A,\"[{x0}, {y0}, {}, {}]\"\nb0.jpg,B,\n",
        x1 - x0,
        y1 - y0
    );
    fs::write(case.path("t.csv"), bare).unwrap();
    let said = case.enroll(&[]).succeeded().stderr;
    assert_says(&said, &["1 photos with a box and a rotation", "upright"]);
}

#[test]
fn a_box_on_a_picture_of_another_size_is_an_error() {
    let case = Case::new(
        "image,identity,width,height,x0,y0,x1,y1\na0.jpg,A,,,,,,\n\nb0.jpg,B,640,320,10,20,200,100\n",
    );
    case.write("b0.jpg", &stored(1, "b0.jpg", 8).0);
    let words = ["t.csv:4: ", "640 x 320", "104 x 208", "208 x 104"];
    case.evaluate(&[]).failed(1, &words);
    case.enroll(&[]).failed(1, &words);
    fs::write(
        case.path("t.csv"),
        "image,identity,x0,y0,x1,y1\nb0.jpg,B,10,120,90,200\n",
    )
    .unwrap();
    case.enroll(&[]).failed(
        1,
        &[
            "t.csv:2: the box lies outside photo b0.jpg",
            "width and height",
        ],
    );
}

#[test]
fn a_photo_that_is_listed_twice_counts_once() {
    let case = Case::new(FOUR.to_owned() + "a1.jpg,A\n./b0.jpg,B\ncopy.jpg,A\nb1.jpg,new_whale\n");
    case.write("copy.jpg", &with_orientation(&photo(0, "a0.jpg"), 1));
    let said = assert_found(case.evaluate(&[])).stderr;
    assert_says(
        &said,
        &[
            "t.csv: 4 photos listed more than once, counted once; e.g. a1.jpg (line 6) is a1.jpg (line 3)",
        ],
    );
    let enrolled = case.enroll(&[]).succeeded();
    assert_says(&enrolled.stdout, &["enrolled 4 photos of 2 whales"]);
    assert_says(&enrolled.stderr, &["4 photos listed more than once"]);
    // Both photos of A are in the same file, with one box each.
    fs::write(
        case.path("t.csv"),
        "image,identity,x0,y0,x1,y1\na0.jpg,A,0,0,60,64\na0.jpg,B,64,0,128,64\na0.jpg,A,1,0,60,64\n",
    )
    .unwrap();
    assert_says(
        &case.enroll(&[]).succeeded().stdout,
        &["enrolled 2 photos of 2 whales"],
    );
}

#[test]
fn a_photo_with_two_names_is_an_error() {
    let case = Case::new(FOUR.to_owned() + "\na1.jpg,C\nb1.jpg,A\n");
    let words = [
        "t.csv:7: photo a1.jpg is named 'C', but 'A' in line 3",
        "1 more",
    ];
    case.evaluate(&[]).failed(1, &words);
    case.enroll(&[]).failed(1, &words);
    case.run("calibrate", &case.path("t.csv"), &["--dry-run"])
        .failed(1, &words);
    assert!(!case.path("out").exists());
    // An audit is there to find such photos.
    let found = case
        .run("audit", &case.path("t.csv"), &["--json"])
        .succeeded();
    assert_says(&found.stdout, &["a1.jpg"]);
    fs::write(case.path("t.csv"), "image,identity\na0.jpg,A\ncopy.jpg,B\n").unwrap();
    case.write("copy.jpg", &photo(0, "a0.jpg"));
    case.evaluate(&[]).failed(1, &["t.csv:3: photo copy.jpg (line 3) is named 'B', but a0.jpg (line 2), the same picture, is named 'A'"]);
    // In a folder of folders, the same.
    for whale in ["A", "B"] {
        fs::create_dir_all(case.path("whales").join(whale)).unwrap();
        fs::write(
            case.path("whales").join(whale).join("p.jpg"),
            photo(0, "a0.jpg"),
        )
        .unwrap();
    }
    case.enroll_from("whales", &[]).failed(
        1,
        &["photo B/p.jpg is named 'B', but A/p.jpg, the same picture, is named 'A'"],
    );
}

#[test]
fn words_for_no_name_are_no_whale() {
    for word in ["unknown", "NA", "-1", "?", "Desconocida", "not identified"] {
        let case = Case::new(format!(
            "image,identity\na0.jpg,A\na1.jpg,A\nb0.jpg,{word}\nb1.jpg,{word}\n"
        ));
        let said = case.enroll(&[]).succeeded();
        assert_says(
            &said.stdout,
            &["enrolled 2 photos of 1 whales", "2 photos without a name"],
        );
        assert_says(
            &said.stderr,
            &[
                &format!("2 photos without the name of a whale: 2 '{word}'"),
                "--allow-name",
            ],
        );
        let allowed = case.enroll(&["--allow-name", word]).succeeded();
        assert_says(&allowed.stdout, &["enrolled 4 photos of 2 whales"]);
        assert!(
            !allowed.stderr.contains("without the name"),
            "{}",
            allowed.stderr
        );
    }
    let case = Case::new("");
    for (folder, file) in [
        ("HW1", "a0.jpg"),
        ("Unidentified", "b0.jpg"),
        ("new_whale", "b1.jpg"),
    ] {
        fs::create_dir_all(case.path("whales").join(folder)).unwrap();
        fs::copy(
            case.path("t").join(file),
            case.path("whales").join(folder).join(file),
        )
        .unwrap();
    }
    let said = case.enroll_from("whales", &[]).succeeded();
    assert_says(
        &said.stdout,
        &["enrolled 1 photos of 1 whales", "2 photos without a name"],
    );
    assert_says(
        &said.stderr,
        &["whales: 1 photos without the name of a whale: 1 'Unidentified'"],
    );
}

#[test]
fn lines_are_those_of_an_editor() {
    for end in ["\n", "\r\n", "\r"] {
        let lines = [
            "image,identity,date",
            "a0.jpg,A,2024-06-19",
            "",
            "missing.jpg,A,x",
            "",
        ];
        let case = Case::new(lines.join(end));
        case.evaluate(&[])
            .failed(1, &["t.csv:4: photo missing.jpg not found"]);
    }
}

#[test]
fn sides_of_boxes_may_have_fractions() {
    let table = "image,identity,x0,y0,x1,y1\na0.jpg,A,0.0,0.0,128.0,64.0\na1.jpg,A,-0.2,0.36,127.9,64\nb0.jpg,B,,,,\nb1.jpg,B,,,,\n";
    assert_found(Case::new(table).evaluate(&[]));
    let fractions = "image,identity,x0,y0,x1,y1\na0.jpg,A,0.1,0.2,0.9,0.8\n";
    Case::new(fractions)
        .enroll(&[])
        .failed(1, &["t.csv:2: ", "expected pixels"]);
}

#[test]
fn dates_matter_only_where_they_are_used() {
    let dated = |first: &str, second: &str| {
        Case::new(format!(
            "image,identity,date\na0.jpg,A,{first}\na1.jpg,A,{second}\nb0.jpg,B,{first}\nb1.jpg,B,{second}\n"
        ))
    };
    for (first, second) in [
        ("2019:07:14 10:11:12", "2019:08:02 09:00:00"),
        ("14/07/2019", "08/14/2019"),
        ("2018", "2019-07"),
        ("2018-07", "14 Jul 2019"),
    ] {
        let case = dated(first, second);
        let found = case.evaluate(&["--protocol", "time"]).succeeded().json();
        assert_eq!(
            (&found["queries"], &found["recall_at_1"]),
            (&json!(2), &json!(1.0)),
            "{first}"
        );
    }
    for (wrong, words) in [
        (
            "03/04/2019",
            [
                "t.csv:3: '03/04/2019' is ambiguous",
                "2019-04-03",
                "2019-03-04",
            ],
        ),
        (
            "sometime",
            ["t.csv:3: 'sometime' is not a date", "2024-06-19", "t.csv"],
        ),
    ] {
        // Without names of encounters, the day identifies one.
        let case = dated("2018-01-01", wrong);
        case.evaluate(&[]).failed(1, &words);
        case.enroll(&[]).failed(1, &words);
        for protocol in ["time", "encounter", "all"] {
            case.evaluate(&["--protocol", protocol]).failed(1, &words);
        }
        let case = Case::new(format!(
            "image,identity,encounter,date\na0.jpg,A,1,2018\na1.jpg,A,2,{wrong}\nb0.jpg,B,3,\nb1.jpg,B,4,\n"
        ));
        assert_found(case.evaluate(&[]));
        case.evaluate(&["--protocol", "time"]).failed(1, &words);
    }
}

#[test]
fn a_photo_is_not_found_by_its_own_encounter() {
    for columns in ["encounter", "date"] {
        let case = Case::new(format!(
            "image,identity,{columns}\na0.jpg,A,2024-06-19\na1.jpg,A,2024-06-19\nb0.jpg,B,2024-06-19\nb1.jpg,B,2024-06-21\n"
        ));
        let found = case.evaluate(&[]).succeeded().json();
        // Both photos of A are of one encounter, so only those of B can be found again.
        assert_eq!(found["queries"], json!(2), "{columns}");
    }
    let case = Case::new("image,identity\na0.jpg,A\na1.jpg,A\nb0.jpg,B\nb1.jpg,B\n");
    let near_duplicate = photo(0, "a0.jpg");
    let saved_again = image::load_from_memory(&near_duplicate).unwrap();
    let brighter = image::imageops::brighten(&saved_again.to_rgb8(), 12);
    case.write("a1.jpg", &jpeg(&brighter));
    let found = case.evaluate(&[]).succeeded().json();
    assert_eq!(found["queries"], json!(2));
}

#[test]
fn accents_and_separators_of_other_systems_are_read() {
    let case = Case::new(
        "image,identity\nA\u{e7}ores\\Caitli\u{301}n.JPG,Estrela d'\u{c1}gua\nAc\u{327}ores/Caitl\u{ed}n 2.JPG,Estrela d'A\u{301}gua\n",
    );
    fs::create_dir(case.path("t").join("Ac\u{327}ores")).unwrap();
    for name in ["Caitl\u{ed}n.JPG", "Caitli\u{301}n 2.JPG"] {
        case.write(&format!("Ac\u{327}ores/{name}"), &photo(0, name));
    }
    assert_says(
        &case.enroll(&[]).succeeded().stdout,
        &["enrolled 2 photos of 1 whales"],
    );
    let drive = Case::new("image,identity\nC:\\Users\\ana\\a0.jpg,A\n");
    drive.enroll(&[]).failed(
        1,
        &[
            "t.csv:2: photo C:\\Users\\ana\\a0.jpg not found",
            "Windows drive",
        ],
    );
}

#[test]
fn tables_of_other_programs_are_read() {
    let happywhale = FOUR.replace("image,identity", "image,individual_id");
    let wildlife = "image_id,identity,path,bbox,date,split,orientation\n1,A,a0.jpg,\"[0.0, 0.0, 128.0, 64.0]\",2019-01-01,train,left\n2,A,a1.jpg,,,train,\n3,B,b0.jpg,,,train,\n4,B,b1.jpg,,,train,\n";
    let spreadsheet =
        "\u{feff}".to_owned() + &FOUR.replace(',', ";").replace('\n', "\r\n") + ";\r\n";
    for table in [happywhale.as_str(), &spreadsheet] {
        assert_found(Case::new(table).evaluate(&[]));
    }
    assert_found(Case::new(wildlife).evaluate(&["--split", "train"]));
    let case = Case::new(wildlife.replace("3,B,b0.jpg,,,train", "3,B,b0.jpg,,,test"));
    let said = case.enroll(&["--split", "test"]).succeeded().stdout;
    assert_says(&said, &["enrolled 1 photos of 1 whales"]);
    case.enroll(&["--split", "val"])
        .failed(1, &["no photo of split 'val'", "test, train"]);
    let utf16: Vec<u8> = FOUR.encode_utf16().flat_map(u16::to_le_bytes).collect();
    Case::new([b"\xff\xfe", utf16.as_slice()].concat())
        .enroll(&[])
        .failed(1, &["t.csv:1: ", "UTF-16", "CSV UTF-8"]);
}

/// COCO's JSON with these annotations, of `a0.jpg` (1), `a1.jpg` (2), `b0.jpg` (3) and `b1.jpg` (4),
/// each on a line of its own from the third line on.
fn coco(annotations: &[String]) -> String {
    let images: Vec<_> = ["a0", "a1", "b0", "b1"]
        .iter()
        .zip(1..)
        .map(|(name, id)| json!({"id": id, "file_name": format!("{name}.jpg"), "date_captured": format!("2024-06-1{id}")}))
        .collect();
    let categories = json!([{"id": 1, "name": "fluke"}, {"id": 2, "name": "fin"}]);
    format!(
        "{{\"images\": {}, \"categories\": {categories},\n\"annotations\": [\n{}\n]}}\n",
        json!(images),
        annotations.join(",\n")
    )
}

#[test]
fn annotations_in_cocos_json_are_evaluated_and_enrolled() {
    // The frame of b1 has its fluke in a box; the other photos are whole.
    let identity = ["\"name\": \"A\"", "\"attributes\": {\"identity\": \"A\"}"];
    let mut annotations: Vec<String> = (1..=4)
        .map(|image| {
            let label = match image {
                1 | 2 => identity[image - 1].to_owned(),
                _ => "\"individual_id\": \"B\"".to_owned(),
            };
            let bbox = match image {
                4 => json!([FLUKE.x0, FLUKE.y0, FLUKE.width(), FLUKE.height()]),
                _ => json!(null),
            };
            format!("{{\"id\": {image}, \"image_id\": {image}, \"category_id\": 1, \"bbox\": {bbox}, {label}}}")
        })
        .collect();
    let case = Case::new(coco(&annotations));
    case.write("b1.jpg", &jpeg(&frame(Some(1))));
    assert_found(case.evaluate(&[]));
    // The contents decide, not the name; a file named .json has its photos next to it as well.
    fs::write(case.path("t.json"), coco(&annotations)).unwrap();
    let said = case.enroll_from("t.json", &[]).succeeded().stdout;
    assert!(said.contains("enrolled 4 photos of 2 whales"), "{said}");
    annotations[2] = annotations[2].replace("\"image_id\": 3", "\"image_id\": 7");
    fs::write(case.path("t.csv"), coco(&annotations)).unwrap();
    case.evaluate(&[]).failed(
        1,
        &["t.csv:5: annotation 3: its image 7 is not in the list"],
    );
}

#[test]
fn detections_without_identities_are_not_taken_for_whales() {
    let annotation = |image: usize, category: usize| {
        format!("{{\"image_id\": {image}, \"category_id\": {category}}}")
    };
    let one: Vec<String> = (1..=4).map(|image| annotation(image, 1)).collect();
    let case = Case::new(coco(&one));
    case.evaluate(&[])
        .failed(1, &["t.csv:3: no names of whales", "category 'fluke'"]);
    let two: Vec<String> = (1..=4)
        .map(|image| annotation(image, image.div_ceil(2)))
        .collect();
    fs::write(case.path("t.csv"), coco(&two)).unwrap();
    let said = assert_found(case.evaluate(&[])).stderr;
    assert_says(
        &said,
        &["no identity", "2 categories are taken as the names"],
    );
}

#[test]
fn a_data_frame_of_wildlife_datasets_is_read_as_pandas_writes_it() {
    let frame_of = |split: &str| {
        format!(
            ",image_id,identity,path,date,orientation,bbox,{split}\n\
             0,11,A,a0.jpg,2019-07-14 10:11:12,left,,train\n\
             1,12,A,a1.jpg,2019-07-15,right,\"[0.0, 0.0, 128.0, 64.0]\",train\n\
             2,13,B,b0.jpg,,,\"[0. 0. 128. 64.]\",train\n\
             3,14,B,b1.jpg,,,nan,train\n\
             4,15,unknown,b1.jpg,,,nan,test\n"
        )
    };
    for split in ["split", "original_split"] {
        let case = Case::new(frame_of(split));
        assert_found(case.evaluate(&["--split", "train"]));
        case.evaluate(&["--split", "val"])
            .failed(1, &["no photo of split 'val'"]);
    }
}
