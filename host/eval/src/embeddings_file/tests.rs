use super::*;

const FORMATS: [&str; 4] = ["x.npy", "x.parquet", "x.csv", "x.safetensors"];

fn photo(name: &str, region: Option<[u32; 4]>) -> LabelledPhoto {
    LabelledPhoto {
        path: name.into(),
        name: name.into(),
        whale: (name != "c, d.jpg").then(|| "W \"1\"".into()),
        region: region.map(|[x0, y0, x1, y1]| PixelBox { x0, y0, x1, y1 }),
        date: None,
        encounter: (name == "a.jpg").then(|| "e1".into()),
    }
}

/// Two flukes of one photo, and two other photos.
fn photos() -> Vec<LabelledPhoto> {
    vec![
        photo("a.jpg", Some([0, 0, 10, 10])),
        photo("a.jpg", Some([20, 0, 40, 10])),
        photo("Caitli\u{301}n\\b.jpg", None),
        photo("c, d.jpg", None),
    ]
}

const VALUES: [f32; 12] = [
    3.0, 0.0, 4.0, // 0.6, 0, 0.8
    0.0, -2.0, 0.0, // 0, -1, 0
    1.0, 0.0, 0.0, //
    0.0, 0.0, 1e-3, // 0, 0, 1
];

#[test]
fn every_format_gives_back_the_normalised_rows_by_photo_and_box() {
    let folder = tempfile::tempdir().unwrap();
    for file in FORMATS {
        let path = folder.path().join(file);
        write(&path, "B1", &photos(), 3, &VALUES).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.dimension, 3, "{file}");
        let knows_bundle = matches!(file, "x.parquet" | "x.safetensors");
        assert_eq!(
            found.bundle,
            knows_bundle.then(|| "B1".to_owned()),
            "{file}"
        );
        // In another order, and with the accent and the separator written otherwise.
        let mut wanted = photos();
        wanted.reverse();
        wanted[1].name = "Caitl\u{ed}n/b.jpg".into();
        let rows = found.rows_of(&wanted).unwrap();
        let expected = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.6, 0.0, 0.8];
        for (row, expected) in rows.iter().zip(expected) {
            assert!((row - expected).abs() < 1e-6, "{file}: {rows:?}");
        }
        assert_eq!(rows.len(), expected.len(), "{file}");
        let missing = found.rows_of(&[photo("z.jpg", None)]).unwrap_err();
        assert!(
            matches!(&missing, EmbeddingsFileError::NoPhoto { photo, .. } if photo == "z.jpg"),
            "{missing}"
        );
        let third = photo("a.jpg", Some([50, 0, 60, 10]));
        let unclear = found.rows_of(&[third]).unwrap_err();
        assert!(
            matches!(unclear, EmbeddingsFileError::Ambiguous { count: 2, .. }),
            "{unclear}"
        );
    }
}

#[test]
fn parquet_and_safetensors_keep_near_duplicates() {
    let folder = tempfile::tempdir().unwrap();
    let copies: NearDuplicates = [("c, d.jpg".to_owned(), "a.jpg".to_owned())].into();
    for file in FORMATS {
        let path = folder.path().join(file);
        write_with_near_duplicates(&path, "B1", &photos(), 3, &VALUES, Some(&copies)).unwrap();
        let found = read(&path).unwrap();
        let first_copies = found.first_copies_of(&photos());
        if matches!(file, "x.parquet" | "x.safetensors") {
            let expected = vec![None, None, None, Some("a.jpg".to_owned())];
            assert_eq!(first_copies, Some(expected), "{file}");
        } else {
            assert_eq!(first_copies, None, "{file}");
        }
        // None found differs from none looked for.
        write_with_near_duplicates(&path, "B1", &photos(), 3, &VALUES, None).unwrap();
        assert_eq!(read(&path).unwrap().near_duplicates, None, "{file}");
    }
}

#[test]
fn rows_that_are_no_embeddings_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for (value, why) in [
        (f32::NAN, "not a finite number"),
        (f32::INFINITY, "not a finite number"),
        (0.0, "zero everywhere"),
    ] {
        let mut values = VALUES;
        values[3..6].fill(0.0);
        values[4] = value;
        for file in FORMATS {
            let path = folder.path().join(file);
            write(&path, "B1", &photos(), 3, &values).unwrap();
            let error = read(&path).unwrap_err();
            let text = error.to_string();
            if file == "x.csv" {
                assert!(
                    matches!(error, EmbeddingsFileError::Line { line: 3, .. }),
                    "{text}"
                );
                assert!(text.contains(why), "{text}");
            } else {
                assert!(
                    matches!(error, EmbeddingsFileError::Row { row: 1, .. }),
                    "{file}: {text}"
                );
            }
        }
    }
}

#[test]
fn tables_of_other_projects_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    for table in [
        "path,embedding\nb.jpg,\"[0.0 2.0]\"\na.jpg,\"[3, 4]\"\n",
        "\u{feff}photo,1,0\nb.jpg,2,0\na.jpg,4,3\n",
        "image_id,image,emb_1,emb_2\n7,b.jpg,0,2\n8,a.jpg,0.3,0.4\n",
    ] {
        std::fs::write(&path, table).unwrap();
        let found = read(&path).unwrap();
        let rows = found.rows_of(&[photo("a.jpg", None)]).unwrap();
        assert!(
            (rows[0] - 0.6).abs() < 1e-6 && (rows[1] - 0.8).abs() < 1e-6,
            "{table}"
        );
    }
    for (table, line, why) in [
        ("image,identity\na.jpg,A\n", 1, "no embedding"),
        ("name,e0,e1\na.jpg,1,2\n", 1, "no column 'image'"),
        (
            "image,e0,e1\na.jpg,1,2\nb.jpg,1,\n",
            3,
            "e1 '' is not a finite number",
        ),
        ("image,e0,e1\na.jpg,1,2\nb.jpg,1\n", 3, "fields"),
        ("image,e0,e1\n", 1, "no embeddings"),
        (
            "image,embedding\na.jpg,\"[1, 2]\"\nb.jpg,[1]\n",
            3,
            "2 in the first line",
        ),
        ("image,embedding\na.jpg,[0.1 ... 0.2]\n", 2, "'...' is not"),
        (
            "image,e0,e1,x0,y0,x1,y1\na.jpg,1,2,5,5,5,9\n",
            2,
            "is empty",
        ),
    ] {
        std::fs::write(&path, table).unwrap();
        let error = read(&path).unwrap_err();
        let text = error.to_string();
        assert!(
            matches!(error, EmbeddingsFileError::Line { line: l, .. } if l == line),
            "{text}"
        );
        assert!(text.contains(why), "{text}");
    }
}

#[test]
fn an_array_without_names_has_one_row_per_photo() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    write(&path, "B1", &photos(), 3, &VALUES).unwrap();
    let names = folder.path().join("x.rows.csv");
    let text = std::fs::read_to_string(&names).unwrap();
    assert!(
        text.starts_with("image,identity,encounter,date,x0,y0,x1,y1\na.jpg,"),
        "{text}"
    );
    // A side file of another run.
    let two: String = text
        .lines()
        .take(3)
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&names, two).unwrap();
    let error = read(&path).unwrap_err().to_string();
    assert!(
        error.contains("4 rows") && error.contains("names 2 photos"),
        "{error}"
    );
    std::fs::remove_file(&names).unwrap();
    let found = read(&path).unwrap();
    assert_eq!(found.rows_of(&photos()).unwrap().len(), VALUES.len());
    assert!(matches!(
        found.rows_of(&photos()[1..]),
        Err(EmbeddingsFileError::Count {
            rows: 4,
            photos: 3,
            ..
        })
    ));
}

#[test]
fn equal_embeddings_of_a_photo_that_is_listed_twice_are_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    let wanted = [photo("a.jpg", None)];
    std::fs::write(&path, "image,e0,e1\na.jpg,1,2\na.jpg,1,2\n").unwrap();
    assert!(read(&path).unwrap().rows_of(&wanted).is_ok());
    std::fs::write(&path, "image,e0,e1\na.jpg,1,2\na.jpg,2,1\n").unwrap();
    assert!(matches!(
        read(&path).unwrap().rows_of(&wanted),
        Err(EmbeddingsFileError::Ambiguous { .. })
    ));
}

#[test]
fn files_that_are_cut_off_or_something_else_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    for file in FORMATS {
        let path = folder.path().join(file);
        write(&path, "B1", &photos(), 3, &VALUES).unwrap();
        let whole = std::fs::read(&path).unwrap();
        // A CSV that ends in the middle of its last number is a CSV.
        let ends = if file == "x.csv" {
            0..60
        } else {
            0..whole.len()
        };
        for end in ends {
            std::fs::write(&path, &whole[..end]).unwrap();
            assert!(read(&path).is_err(), "{file} cut off at {end}");
        }
        std::fs::write(&path, [0x93; 3000]).unwrap();
        assert!(read(&path).is_err(), "{file}");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&path).is_err(), "{file}");
    }
    let other = folder.path().join("x.xlsx");
    assert!(matches!(
        read(&other),
        Err(EmbeddingsFileError::Extension(_))
    ));
    assert!(matches!(
        write(&other, "B1", &photos(), 3, &VALUES),
        Err(EmbeddingsFileError::Extension(_))
    ));
}

/// Bytes of a Parquet file are changed one by one: an error or other values, but no panic, though
/// the parser has some.
#[test]
fn a_damaged_parquet_file_does_not_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, "B1", &photos(), 3, &VALUES).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= if at % 2 == 0 { 0x01 } else { 0x80 };
        std::fs::write(&path, damaged).unwrap();
        if let Ok(found) = read(&path) {
            assert!(found.values.iter().all(|value| value.is_finite()));
        }
    }
}
