use super::*;
use crate::proto::build::{floats, node};
use tract_onnx::pb::{AttributeProto, StringStringEntryProto};

/// Two numbers whose data are elsewhere.
fn outside(entries: &[(&str, &str)]) -> TensorProto {
    TensorProto {
        raw_data: vec![],
        data_location: Some(DataLocation::External as i32),
        external_data: entries
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: (*key).into(),
                value: (*value).into(),
            })
            .collect(),
        ..floats("w", &[2, 1], &[0.0, 0.0])
    }
}

/// `top/model` with `w.data` of 1.5, 2.5, 3.5 next to the model and in `parts`, and `top/w.data`.
fn folder() -> tempfile::TempDir {
    let top = tempfile::tempdir().unwrap();
    let numbers = [1.5f32, 2.5, 3.5].map(f32::to_le_bytes).concat();
    std::fs::create_dir_all(top.path().join("model/parts")).unwrap();
    for place in ["w.data", "model/w.data", "model/parts/w.data"] {
        std::fs::write(top.path().join(place), &numbers).unwrap();
    }
    top
}

fn read_from(top: &tempfile::TempDir, entries: &[(&str, &str)]) -> Result<Vec<f32>, QuantizeError> {
    let mut tensor = outside(entries);
    read(&mut tensor, Some(&top.path().join("model")))?;
    Ok(crate::proto::read::floats(&tensor).unwrap())
}

#[test]
fn without_a_length_the_shape_defines_it() {
    let top = folder();
    let at = |entries: &[(&str, &str)]| read_from(&top, entries).unwrap();
    assert_eq!(at(&[("location", "w.data")]), [1.5, 2.5]);
    assert_eq!(at(&[("location", "w.data"), ("offset", "4")]), [2.5, 3.5]);
    let zero = [("location", "w.data"), ("offset", "4"), ("length", "0")];
    assert_eq!(at(&zero), [2.5, 3.5]);
    let short = read_from(&top, &[("location", "w.data"), ("offset", "8")]).unwrap_err();
    assert!(short.to_string().contains("too short"), "{short}");
    let mut text = outside(&[("location", "w.data")]);
    text.data_type = DataType::String as i32;
    let error = read(&mut text, Some(&top.path().join("model"))).unwrap_err();
    assert!(error.to_string().contains("neither its length"), "{error}");
}

#[test]
fn locations_are_relative_to_the_folder_of_the_model() {
    let top = folder();
    for location in [
        "w.data",
        "./w.data",
        "././w.data",
        "parts/w.data",
        "./parts/./w.data",
    ] {
        let found = read_from(&top, &[("location", location)]).unwrap();
        assert_eq!(found, [1.5, 2.5], "{location}");
    }
}

#[test]
fn files_outside_of_the_folder_are_never_read() {
    let top = folder();
    let absolute = top.path().join("model/w.data");
    #[cfg(unix)]
    {
        let link = |from: &str, to: &str| {
            std::os::unix::fs::symlink(from, top.path().join("model").join(to)).unwrap();
        };
        link("../w.data", "link.data");
        link("..", "up");
        link("parts/w.data", "within.data");
        let found = read_from(&top, &[("location", "within.data")]).unwrap();
        assert_eq!(found, [1.5, 2.5]);
    }
    let mut outside = vec![
        "../w.data",
        "./../w.data",
        "parts/../../w.data",
        "parts/../w.data",
        absolute.to_str().unwrap(),
        ".",
        "",
    ];
    if cfg!(unix) {
        outside.extend(["link.data", "up/w.data"]);
    }
    for location in outside {
        let error = read_from(&top, &[("location", location)]).unwrap_err();
        assert!(
            error.to_string().contains("next to the model"),
            "{location}: {error}"
        );
    }
    let error = read_from(&top, &[("location", "none.data")]).unwrap_err();
    assert!(error.to_string().contains("none.data"), "{error}");
}

#[test]
fn lengths_and_offsets_that_contradict_are_errors() {
    let top = folder();
    for (offset, length, why) in [
        ("0", "4", "requires 8"),
        ("0", "12", "requires 8"),
        ("0", "16", "too short"),
        ("-4", "8", "offset and length"),
        ("4", "eight", "offset and length"),
        ("18446744073709551615", "8", ""),
    ] {
        let entries = [
            ("location", "w.data"),
            ("offset", offset),
            ("length", length),
        ];
        let error = read_from(&top, &entries).unwrap_err().to_string();
        assert!(error.contains("'w'") && error.contains(why), "{error}");
    }
}

#[test]
fn values_of_constant_nodes_are_read_too() {
    let top = folder();
    let value = AttributeProto {
        name: "value".into(),
        t: Some(outside(&[("location", "./w.data")])),
        ..AttributeProto::default()
    };
    let mut graph = GraphProto {
        node: vec![node("Constant", "c", &[], "c", vec![value])],
        ..GraphProto::default()
    };
    read_all(&mut graph, Some(&top.path().join("model"))).unwrap();
    let tensor = graph.node[0].attribute[0].t.as_ref().unwrap();
    assert_eq!(crate::proto::read::floats(tensor).unwrap(), [1.5, 2.5]);
}
