//! Invalid pictures and tables: the programs name each and continue with the valid ones.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::{Boat, Camera, text};
use flukewatch_tests::bundle::{name, tiny};
use flukewatch_tests::pictures::{enormous, fluke, jpeg, photo, truncated};
use flukewatch_tests::program::{Finished, Program};
use flukewatch_tests::station::Station;
use serde_json::json;
use std::fs;
#[cfg(feature = "train")]
use std::path::Path;
use std::path::PathBuf;

const TRUNCATED: &str = "the JPEG file is cut off";
const EMPTY: &str = "the picture file is empty (0 bytes)";
const ENORMOUS: &str = "the picture is 20000 x 20000 pixels";

/// The three invalid pictures above, and a text file with a picture's extension.
fn bad_pictures() -> [(&'static str, Vec<u8>, &'static str); 4] {
    [
        ("cut.jpg", truncated(), TRUNCATED),
        ("empty.jpg", vec![], EMPTY),
        ("huge.jpg", enormous(), ENORMOUS),
        (
            "letter.jpg",
            b"Dear whale,".to_vec(),
            "not a JPEG, PNG, TIFF or WebP picture",
        ),
    ]
}

#[test]
fn a_boat_names_bad_pictures_and_reports_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let station = Station::start(&folder.path().join("shore"));
    let boat = Boat::new(
        &folder.path().join("boat"),
        "balaena",
        Camera::Stills(50.0),
        station.mqtt().port(),
    );
    let bad = bad_pictures();
    let good =
        [("a.jpg", 1), ("z.jpg", 2)].map(|(file, whale)| (file.to_owned(), jpeg(&fluke(whale))));
    boat.set_frames(
        bad.iter()
            .map(|(file, bytes, _)| ((*file).to_owned(), bytes.clone()))
            .chain(good),
    );
    let finished = boat.run(40).succeeded();
    for (file, _, why) in &bad {
        let named = finished
            .stderr
            .lines()
            .any(|line| line.contains(file) && line.contains(why));
        assert!(named, "{file}: {why} is not in {}", finished.stderr);
    }
    let health = finished.json();
    assert_eq!(
        (
            &health["frames"],
            &health["broken_frames"],
            &health["accepted"]
        ),
        (&json!(6), &json!(4), &json!(2))
    );
    boat.assert_delivered();
    station.has_all("balaena", 2);
}

#[test]
fn identify_names_bad_pictures_and_identifies_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("whales.flukebundle");
    tiny(3).save(&bundle).unwrap();
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let mut arguments = vec![
        "identify".to_owned(),
        path("whales.flukebundle"),
        "--json".to_owned(),
    ];
    for (file, bytes, _) in bad_pictures() {
        fs::write(path(file), bytes).unwrap();
        arguments.push(path(file));
    }
    fs::write(path("good.jpg"), jpeg(&fluke(2))).unwrap();
    arguments.push(path("good.jpg"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let finished = Program::Host
        .run(&arguments)
        .failed(1, &["4 of 5 photos could not be identified"]);
    let answers = finished.json();
    for (i, (_, _, why)) in bad_pictures().iter().enumerate() {
        assert_eq!(answers[i]["verdict"], "error");
        assert!(
            answers[i]["error"].as_str().unwrap().contains(why),
            "{answers}"
        );
    }
    assert_eq!(
        (&answers[4]["verdict"], &answers[4]["whale"]),
        (&json!("known"), &json!(name(2)))
    );
}

/// A table `t.csv` and the photos of two whales in `t/`.
struct Table {
    folder: tempfile::TempDir,
}

impl Table {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("t")).unwrap();
        for (file, whale) in [("a.jpg", 0), ("b.jpg", 0), ("c.jpg", 1)] {
            fs::write(folder.path().join("t").join(file), photo(whale, file)).unwrap();
        }
        fs::write(folder.path().join("t.csv"), lines).unwrap();
        tiny(0).save(&folder.path().join("empty")).unwrap();
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn evaluate(&self) -> Finished {
        Program::Host.run(&[
            "evaluate",
            text(&self.path("empty")),
            text(&self.path("t.csv")),
            "--json",
        ])
    }

    fn enroll(&self, more: &[&str]) -> Finished {
        let (bundle, table, out) = (self.path("empty"), self.path("t.csv"), self.path("out"));
        let arguments = [
            "enroll",
            text(&bundle),
            text(&table),
            "--out",
            text(&out),
            "--quiet",
        ];
        Program::Host.run(&[&arguments, more].concat())
    }

    /// Asserts that both commands fail with these words and write nothing.
    fn rejected(&self, words: &[&str]) {
        self.evaluate().failed(1, words);
        self.enroll(&[]).failed(1, words);
        assert!(!self.path("out").exists());
    }
}

#[test]
fn a_valid_table_is_evaluated_and_enrolled() {
    let table = Table::new("image,identity\na.jpg,A\nb.jpg,A\nc.jpg,B\n");
    let found = table.evaluate().succeeded().json();
    assert_eq!(
        (&found["recall_at_1"], &found["queries"], &found["enrolled"]),
        (&json!(1.0), &json!(2), &json!(3))
    );
    let said = table.enroll(&[]).succeeded().stdout;
    assert!(said.contains("enrolled 3 photos of 2 whales"), "{said}");
    assert!(table.path("out").is_dir());
}

#[test]
fn a_missing_column_is_named() {
    Table::new("image,width\na.jpg,128\n")
        .rejected(&["t.csv:1: no column 'identity' in the header 'image,width'"]);
    Table::new("image,identity,x0,y0,x1\na.jpg,A,1,2,30\n").rejected(&["t.csv:1: no column 'y1'"]);
}

#[test]
fn a_missing_photo_is_named_with_its_line() {
    Table::new("image,identity\na.jpg,A\nnowhere.jpg,A\n")
        .rejected(&["t.csv:3: photo nowhere.jpg not found"]);
}

#[test]
fn a_bad_photo_is_named_and_can_be_skipped() {
    for (file, bytes, why) in bad_pictures() {
        let table = Table::new(&format!("image,identity\na.jpg,A\nb.jpg,A\n{file},A\n"));
        fs::write(table.path("t").join(file), bytes).unwrap();
        table.rejected(&[file, why]);
        let skipped = table.enroll(&["--skip-broken"]).succeeded();
        assert!(
            skipped.stderr.contains(why) && skipped.stderr.contains(file),
            "{}",
            skipped.stderr
        );
        assert!(
            skipped.stdout.contains("enrolled 2 photos of 1 whales"),
            "{}",
            skipped.stdout
        );
    }
}

#[test]
fn single_photos_can_be_enrolled_but_not_evaluated() {
    let table = Table::new("image,identity\na.jpg,A\nc.jpg,B\n");
    table
        .evaluate()
        .failed(1, &["t.csv: no whale has two photos"]);
    let said = table.enroll(&[]).succeeded().stdout;
    assert!(
        said.contains("enrolled 2 photos of 2 whales") && said.contains("thresholds kept"),
        "{said}"
    );
}

#[cfg(feature = "train")]
#[test]
fn single_photos_give_no_pairs_to_train_on() {
    let table = Table::new("image,identity\na.jpg,A\nc.jpg,B\n");
    let train = |table: &Path, more: &[&str]| {
        let run = table.with_file_name("run");
        let arguments = [
            "train",
            "--data",
            text(table),
            "--run",
            text(&run),
            "--cpu",
            "--quiet",
            "--set",
            "batch_size=4",
        ];
        Program::Host.run(&[&arguments, more].concat())
    };
    let pairs = ["--set", "sampler={kind=\"pk\", photos_per_identity=2}"];
    train(&table.path("t.csv"), &pairs).failed(1, &["0 whale(s) with two photos or more"]);
    fs::write(table.path("one.csv"), "image,identity\na.jpg,A\n").unwrap();
    fs::rename(table.path("t"), table.path("one")).unwrap();
    train(&table.path("one.csv"), &[]).failed(1, &["at least two are required"]);
}
