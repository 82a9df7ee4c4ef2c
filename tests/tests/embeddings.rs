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
