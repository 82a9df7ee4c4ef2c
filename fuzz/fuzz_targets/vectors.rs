//! Files of embeddings: NumPy arrays, CSV and safetensors. Parquet is left out: its parser panics on some damaged files, which
//! is caught, but ends a fuzz target.
#![no_main]

use flukewatch_common::pixel_box::PixelBox;
use flukewatch_dataset::LabelledPhoto;
use flukewatch_eval::embeddings_file::{read, rows_file, write_with_near_duplicates};
use flukewatch_fuzz::seeds;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The formats, by the first byte of an input.
const NAMES: [&str; 3] = ["x.npy", "x.csv", "x.safetensors"];

/// A folder for this target's files, which the build ignores.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/vectors");
    std::fs::create_dir_all(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    folder
});

fn photos() -> Vec<LabelledPhoto> {
    [
        ("a.jpg", Some([0, 0, 10, 10])),
        ("b, c.jpg", None),
        ("a.jpg", Some([20, 0, 40, 10])),
    ]
    .into_iter()
    .map(|(name, region)| LabelledPhoto {
        path: name.into(),
        name: name.into(),
        whale: Some("HW-1".into()),
        region: region.map(|[x0, y0, x1, y1]| PixelBox { x0, y0, x1, y1 }),
        date: None,
        encounter: None,
    })
    .collect()
}

/// What Flukewatch itself writes.
fn written(format: usize) -> Vec<u8> {
    let path = FOLDER.join(NAMES[format]);
    let copies = [("b, c.jpg".to_owned(), "a.jpg".to_owned())].into();
    let values = [1.0, 0.5, 0.0, -2.0, 3.0, 1e-3];
    write_with_near_duplicates(&path, "bundle", &photos(), 2, &values, Some(&copies))
        .unwrap_or_else(|e| panic!("{e}"));
    let mut input = vec![format as u8];
    input.extend(std::fs::read(&path).unwrap_or_else(|e| panic!("{e}")));
    input
}

libfuzzer_sys::fuzz_target!(
    init: {
        seeds(|| [written(0), written(1), written(2)]);
        // Arrays are read without names of their rows.
        let _ = std::fs::remove_file(rows_file(&FOLDER.join(NAMES[0])));
    },
    |bytes: &[u8]| {
        let Some((format, content)) = bytes.split_first() else {
            return;
        };
        let path = FOLDER.join(NAMES[usize::from(*format) % NAMES.len()]);
        std::fs::write(&path, content).unwrap_or_else(|e| panic!("{e}"));
        match read(&path) {
            Ok(file) => {
                let rows = file.values.len() / file.dimension;
                assert_eq!(rows * file.dimension, file.values.len());
                assert!(file.photos.as_ref().is_none_or(|photos| photos.len() == rows));
                for row in file.values.chunks_exact(file.dimension) {
                    let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
                    assert!((length - 1.0).abs() < 1e-3, "{length}");
                }
                let _ = file.rows_of(&photos());
                let _ = file.first_copies_of(&photos());
            }
            Err(e) => assert!(e.to_string().starts_with(&path.display().to_string()), "{e}"),
        }
    }
);
