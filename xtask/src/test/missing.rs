//! What this machine lacks, and which tests are skipped for it. Tests that are skipped count as passed, so this must be said.

use crate::setup::{debian, mosquitto, onnx_runtime::ONNX_RUNTIME, tensorrt_rtx::TENSORRT_RTX};
use crate::workshop::Workshop;

/// A line for each thing that is missing; printed as it is found.
pub(super) fn look(workshop: &Workshop, trainer: bool) -> Vec<String> {
    let flukes = workshop.path("../shared/flukes/devtest.csv");
    let weights = workshop.path("../shared/weights/efficientnet_lite0.safetensors");
    let wants = [
        (
            trainer,
            "libtorch (left out with --no-torch): the trainer and its tests",
        ),
        (
            ONNX_RUNTIME.is_there(workshop),
            "ONNX Runtime in .tools/onnxruntime: comparison of inference engines",
        ),
        (
            TENSORRT_RTX.is_there(workshop),
            "TensorRT-RTX in .tools/tensorrt-rtx: what TensorRT takes and refuses",
        ),
        (
            mosquitto::find().is_some(),
            "mosquitto: boat and shore with a broker that is not ours",
        ),
        (
            debian::find("gst-launch-1.0").is_some(),
            "gst-launch-1.0 (gstreamer1.0-tools, -plugins-base and -plugins-good): a camera through the real GStreamer",
        ),
        (
            flukes.is_file(),
            "photographs in ../shared/flukes: figures of the shipped model on real flukes",
        ),
        (
            weights.is_file(),
            "ImageNet weights in ../shared/weights: training from them",
        ),
    ];
    let missing: Vec<String> = wants
        .into_iter()
        .filter(|(there, _)| !there)
        .map(|(_, what)| what.to_owned())
        .collect();
    println!();
    if missing.is_empty() {
        println!("All data and tools are here; no test is skipped for want of any.");
    } else {
        println!("Not here, and so are skipped the tests that need it:");
        missing.iter().for_each(|line| println!("  {line}"));
    }
    missing
}
