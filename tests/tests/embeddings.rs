//! Embeddings to and from files: `flukewatch embed`, and `flukewatch evaluate` without a bundle.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use flukewatch_tests::boat::text;
use flukewatch_tests::bundle::tiny;
use flukewatch_tests::pictures::{fluke, jpeg, photo};
use flukewatch_tests::program::{Finished, Program};
use image::{Rgb, RgbImage, imageops};
use std::fs;
use std::path::PathBuf;

const FORMATS: [&str; 4] = ["x.npy", "x.parquet", "x.csv", "x.safetensors"];

/// Four photos of two whales, one of a whale without a name, and one of two whales with their
/// boxes.
const TABLE: &str = "image,identity,encounter,date,x0,y0,x1,y1\n\
    a0.jpg,A,e1,2024-06-19,,,,\n\
    a1.jpg,A,e2,2024-06-20,,,,\n\
    b0.jpg,B,e1,2024-06-19,,,,\n\
    b1.jpg,B,e3,2024-06-21,,,,\n\
    c0.jpg,unknown,,,,,,\n\
    two.jpg,A,e4,2024-06-22,0,0,128,64\n\
    two.jpg,B,e4,2024-06-22,128,0,256,64\n";

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        let desk = Self(tempfile::tempdir().unwrap());
        tiny(0).save(&desk.path("bundle")).unwrap();
        fs::create_dir(desk.path("t")).unwrap();
        for (file, whale) in [("a0", 0), ("a1", 0), ("b0", 1), ("b1", 1), ("c0", 2)] {
            let file = format!("{file}.jpg");
            fs::write(desk.path("t").join(&file), photo(whale, &file)).unwrap();
        }
        let mut two = RgbImage::from_pixel(256, 64, Rgb([90; 3]));
        imageops::replace(&mut two, &fluke(0), 0, 0);
        imageops::replace(&mut two, &fluke(1), 128, 0);
        fs::write(desk.path("t/two.jpg"), jpeg(&two)).unwrap();
        fs::write(desk.path("t.csv"), TABLE).unwrap();
        desk
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn embed(&self, out: &str) -> Finished {
        let (bundle, table, out) = (self.path("bundle"), self.path("t.csv"), self.path(out));
        let arguments = [
            "embed",
            text(&bundle),
            text(&table),
            "--out",
            text(&out),
            "--quiet",
        ];
        Program::Host.run(&arguments)
    }

    /// Evaluates the bundle.
    fn evaluate(&self, more: &[&str]) -> Finished {
        let (bundle, table) = (self.path("bundle"), self.path("t.csv"));
        let arguments = ["evaluate", text(&bundle), text(&table), "--json"];
        Program::Host.run(&[&arguments, more].concat())
    }

    /// Evaluates a file of embeddings.
    fn evaluate_file(&self, file: &str, more: &[&str]) -> Finished {
        let (file, table) = (self.path(file), self.path("t.csv"));
        let arguments = [
            "evaluate",
            "--embeddings",
            text(&file),
            "--data",
            text(&table),
            "--json",
        ];
        Program::Host.run(&[&arguments, more].concat())
    }
}

#[test]
fn embeddings_are_written_with_their_photos() {
    let desk = Desk::new();
    for file in FORMATS {
        let said = desk.embed(file).succeeded().stdout;
        assert!(said.contains("7 embeddings of"), "{said}");
    }
    // The lines of the CSV are those of a table.
    let csv = fs::read_to_string(desk.path("x.csv")).unwrap();
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].starts_with("image,identity,encounter,date,x0,y0,x1,y1,e0,e1,"));
    assert!(lines[1].starts_with("a0.jpg,A,e1,2024-06-19,,,,,"));
    assert!(lines[5].starts_with("c0.jpg,new_whale,,,,,,,"));
    assert!(lines[7].starts_with("two.jpg,B,e4,2024-06-22,128,0,256,64,"));
    let values: Vec<f32> = lines[1]
        .split(',')
        .skip(8)
        .map(|v| v.parse().unwrap())
        .collect();
    let norm: f32 = values.iter().map(|v| v * v).sum();
    assert!((norm - 1.0).abs() < 1e-4, "{norm}");
    // The array has the same numbers in the same rows, as its side file says.
    let npy = fs::read(desk.path("x.npy")).unwrap();
    let header = String::from_utf8_lossy(&npy[10..128]).into_owned();
    let shape = format!("'shape': (7, {})", values.len());
    assert!(
        header.contains("'descr': '<f4'") && header.contains(&shape),
        "{header}"
    );
    let data = &npy[npy.len() - 7 * values.len() * 4..];
    let first: Vec<f32> = data[..values.len() * 4]
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    assert_eq!(first, values);
    let rows = fs::read_to_string(desk.path("x.rows.csv")).unwrap();
    assert_eq!(
        rows.lines().nth(7),
        Some("two.jpg,B,e4,2024-06-22,128,0,256,64")
    );
}

#[test]
fn an_unknown_extension_is_an_error_before_the_work() {
    let desk = Desk::new();
    desk.embed("x.xlsx")
        .failed(1, &["x.xlsx: unknown format", ".parquet"]);
    fs::remove_dir_all(desk.path("bundle")).unwrap();
    desk.embed("x").failed(1, &["x: unknown format"]);
}

#[test]
fn a_file_gives_the_figures_of_the_bundle_that_wrote_it() {
    let desk = Desk::new();
    let all = [
        "--protocol",
        "all",
        "--trials",
        "2",
        "--whale-score",
        "best",
    ];
    let expected = desk.evaluate(&all).succeeded().json();
    assert_eq!(expected["retrieval"]["recall_at_1"], 1.0);
    assert_eq!(expected["retrieval"]["queries"], 6);
    for file in FORMATS {
        desk.embed(file).succeeded();
        let found = desk.evaluate_file(file, &all).succeeded().json();
        for protocol in ["retrieval", "time", "encounter"] {
            assert!(expected[protocol].is_object(), "{protocol}");
            for metric in [
                "recall_at_1",
                "map_at_5",
                "queries",
                "by_photo",
                "by_encounter",
            ] {
                let (found, expected) = (&found[protocol][metric], &expected[protocol][metric]);
                assert_eq!(found, expected, "{file}: {protocol}: {metric}");
            }
        }
        // A rule belongs to a bundle.
        assert!(found["open_set"]["rule_of_bundle"].is_null(), "{file}");
    }
}

/// Directions in the plane: a0 and a1 are next to each other, b0 is nearer to a1 than to b1.
const PLANE: &str = "path,f0,f1\n\
    b1.jpg,-1,0\n\
    b0.jpg,0,5\n\
    a1.jpg,2,2\n\
    a0.jpg,0.1,0\n";

/// The table without the unnamed photo and the one of two flukes.
const FOUR: &str = "image,identity\na0.jpg,A\na1.jpg,A\nb0.jpg,B\nb1.jpg,B\n";

#[test]
fn embeddings_from_elsewhere_need_no_photos() {
    let desk = Desk::new();
    fs::write(desk.path("t.csv"), FOUR).unwrap();
    fs::write(desk.path("x.csv"), PLANE).unwrap();
    fs::remove_dir_all(desk.path("t")).unwrap();
    let report = desk.path("report.html");
    let found = desk
        .evaluate_file("x.csv", &["--report", text(&report)])
        .succeeded()
        .json();
    // a0 finds a1, a1 (45 degrees) is as near to a0 as to b0, b0 finds a1, b1 finds b0.
    assert_eq!(found["queries"], 4);
    let ranks: Vec<u64> = found["ranks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|query| query["rank"].as_u64().unwrap())
        .collect();
    assert_eq!((ranks[0], ranks[2], ranks[3]), (1, 2, 1), "{found}");
    let page = fs::read_to_string(report).unwrap();
    assert!(page.contains("Evaluation of x.csv") && page.contains("embeddings of 2 numbers"));
    // With a bundle the photos are needed.
    desk.evaluate(&[]).failed(1, &["photo a0.jpg not found"]);
}

#[test]
fn rows_without_names_are_those_of_all_splits() {
    let desk = Desk::new();
    let lines = FOUR.lines().zip(["split", "train", "test", "test", "test"]);
    let table: Vec<String> = lines
        .map(|(line, split)| format!("{line},{split}"))
        .collect();
    fs::write(desk.path("t.csv"), table.join("\n")).unwrap();
    desk.embed("x.npy").succeeded();
    let named = desk.evaluate_file("x.npy", &[]).succeeded();
    assert!(
        named.stderr.contains("the 3 lines of split test"),
        "{named:?}"
    );
    let named = named.json();
    // b0 and b1; a1 is the only photo of its whale in the split.
    assert_eq!(named["queries"], 2);
    assert!(named["training_overlap"].is_null());
    fs::remove_file(desk.path("x.rows.csv")).unwrap();
    for (more, queries) in [(&[][..], 2), (&["--split", "all"], 4)] {
        let found = desk.evaluate_file("x.npy", more).succeeded().json();
        assert_eq!(found["queries"], queries);
    }
    let found = desk.evaluate_file("x.npy", &[]).succeeded().json();
    assert_eq!(found["ranks"], named["ranks"]);
}

#[test]
fn unusable_files_are_named_with_the_place() {
    let desk = Desk::new();
    fs::write(desk.path("t.csv"), FOUR).unwrap();
    let case = |content: &str, words: &[&str]| {
        fs::write(desk.path("x.csv"), content).unwrap();
        desk.evaluate_file("x.csv", &[]).failed(1, words);
    };
    case(
        &PLANE.replace("2,2", "nan,2"),
        &["x.csv:4: f0 'nan' is not a finite number"],
    );
    case(
        &PLANE.replace("0.1,0", "0,0"),
        &["x.csv:5: ", "zero everywhere"],
    );
    case(
        &PLANE.replace("a1.jpg", "other.jpg"),
        &["x.csv: no embedding of photo a1.jpg"],
    );
    case(&PLANE.replace("2,2", "2"), &["x.csv", "line: 4"]);
    let array = |rows: usize, value: f32| {
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, 2), }}\n");
        let length = (header.len() as u16).to_le_bytes();
        let data: Vec<u8> = (0..rows * 2)
            .flat_map(|i| if i == 5 { value } else { 1.0 }.to_le_bytes())
            .collect();
        let file = [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), &data].concat();
        fs::write(desk.path("x.npy"), file).unwrap();
        desk.evaluate_file("x.npy", &[])
    };
    array(4, f32::NAN).failed(1, &["x.npy: row 2 (counted from 0)", "NaN"]);
    array(3, 0.5).failed(
        1,
        &["x.npy: 3 rows, but the table has 4 photos", "x.rows.csv"],
    );
    array(4, 0.5).succeeded();
}

#[test]
fn a_cache_belongs_to_its_bundle() {
    let desk = Desk::new();
    let cache = desk.path("cache.parquet");
    let with_cache = ["--embeddings", text(&cache)];
    let first = desk.evaluate(&with_cache).succeeded().json();
    assert!(cache.is_file());
    assert_eq!(desk.evaluate(&with_cache).succeeded().json(), first);
    tiny(1).save(&desk.path("other")).unwrap();
    fs::remove_dir_all(desk.path("bundle")).unwrap();
    fs::rename(desk.path("other"), desk.path("bundle")).unwrap();
    desk.evaluate(&with_cache)
        .failed(1, &["cache.parquet holds embeddings of bundle"]);
    let array = desk.path("cache.npy");
    desk.evaluate(&["--embeddings", text(&array)])
        .failed(1, &["a cache is a .safetensors"]);
}

#[test]
fn a_bundle_and_given_embeddings_exclude_each_other() {
    let desk = Desk::new();
    let table = desk.path("t.csv");
    desk.evaluate(&["--data", text(&table)])
        .failed(2, &["--data"]);
    Program::Host
        .run(&["evaluate", "--data", text(&table)])
        .failed(2, &["--embeddings"]);
    Program::Host.run(&["evaluate"]).failed(2, &["<BUNDLE>"]);
}
