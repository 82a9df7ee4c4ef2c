//! Compares the lint with TensorRT-RTX, which parses and builds models without a GPU.

use super::*;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Deserialize)]
struct Verdict {
    built: bool,
    reasons: Vec<String>,
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// Python with TensorRT-RTX; `None` where it is not installed.
fn python() -> Option<PathBuf> {
    let python = repository().join(".tools/tensorrt-rtx/bin/python");
    python.is_file().then_some(python)
}

fn verdicts(python: &Path, models: &[&[u8]]) -> Vec<Verdict> {
    let folder = tempfile::tempdir().unwrap();
    let files = models.iter().enumerate().map(|(i, model)| {
        let file = folder.path().join(format!("{i}.onnx"));
        std::fs::write(&file, model).unwrap();
        file
    });
    let output = Command::new(python)
        .arg(repository().join("tests/rtx_verdicts.py"))
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Rewrites one activation with integer operators, as other quantisers do.
fn in_integers(model: &mut ModelProto, operator: &str) {
    let g = graph(model);
    let at = g.node.iter().position(|n| n.op_type == "Clip").unwrap();
    let (input, output) = (g.node[at].input[0].clone(), g.node[at].output[0].clone());
    let nodes = if operator == "DynamicQuantizeLinear" {
        let rounded = ["i.int8", "i.scale", "i.zero"];
        let mut round = node(operator, "i.round", &[&input], "i.int8", vec![]);
        round.output = rounded.map(str::to_owned).to_vec();
        vec![round, node(DEQUANTIZE, "i.back", &rounded, &output, vec![])]
    } else {
        g.initializer.push(float_constant("i.s", &[], &[0.1]));
        g.initializer.push(bytes("i.z", &[], &[0]));
        g.initializer
            .push(bytes("i.w", &[32, 32, 1, 1], &vec![1; 32 * 32]));
        let quantise = node(
            QUANTIZE,
            "i.quantise",
            &[&input, "i.s", "i.z"],
            "i.r",
            vec![],
        );
        let inputs: &[&str] = if operator == "QLinearConv" {
            &["i.r", "i.s", "i.z", "i.w", "i.s", "i.z", "i.s", "i.z"]
        } else {
            &["i.r", "i.w", "i.z", "i.z"]
        };
        let convolve = node(operator, "i.conv", inputs, "i.q", vec![]);
        let back = node(
            DEQUANTIZE,
            "i.back",
            &["i.q", "i.s", "i.z"],
            &output,
            vec![],
        );
        vec![quantise, convolve, back]
    };
    g.node.splice(at..=at, nodes);
}

/// Widens 8-bit constants to 32 bits, the type of other quantisers' biases; TensorRT-RTX accepts
/// 8-bit biases.
fn in_32_bits(model: &mut ModelProto, names: &[&str]) {
    let constants = &mut graph(model).initializer;
    for t in constants.iter_mut().filter(|t| names.contains(&&*t.name)) {
        let numbers = t.raw_data.iter().map(|b| i32::from(b.cast_signed()));
        t.raw_data = numbers.flat_map(i32::to_le_bytes).collect();
        t.data_type = tract_onnx::pb::tensor_proto::DataType::Int32 as i32;
    }
}

#[test]
fn it_accepts_and_rejects_the_same_models() {
    let Some(python) = python() else {
        println!(
            "skipped: TensorRT-RTX is not in .tools/tensorrt-rtx; `cargo xtask setup` installs it"
        );
        return;
    };
    let shipped = repository().join("models/humpback-lite0/model.onnx");
    let mut models = vec![
        ("the shipped model", std::fs::read(shipped).unwrap(), true),
        ("our export", exported().encode_to_vec(), true),
    ];
    type Change = fn(&mut ModelProto);
    let broken: [(&str, Change); 6] = [
        ("a zero point off zero", |m| drop(move_a_zero_point(m))),
        ("a quantised bias", |m| {
            quantise_a_bias(m);
            in_32_bits(m, &["b.int8", "b.zero"]);
        }),
        ("weights along another axis", |m| drop(turn_an_axis(m))),
        ("DynamicQuantizeLinear", |m| {
            in_integers(m, "DynamicQuantizeLinear")
        }),
        ("QLinearConv", |m| in_integers(m, "QLinearConv")),
        ("ConvInteger", |m| in_integers(m, "ConvInteger")),
    ];
    for (what, change) in broken {
        let mut model = exported();
        change(&mut model);
        models.push((what, model.encode_to_vec(), false));
    }
    let files: Vec<&[u8]> = models.iter().map(|(_, file, _)| file.as_slice()).collect();
    let verdicts = verdicts(&python, &files);
    assert_eq!(verdicts.len(), models.len());
    for ((what, file, good), verdict) in models.iter().zip(&verdicts) {
        let findings = lint(file, Target::Tensorrt10);
        let refused = findings.iter().any(|f| f.severity == Severity::Refused);
        assert_eq!(refused, !good, "the lint on {what}: {findings:#?}");
        assert_eq!(verdict.built, *good, "TensorRT-RTX on {what}: {verdict:#?}");
        assert_eq!(verdict.reasons.is_empty(), *good, "{what}: {verdict:#?}");
    }
}
