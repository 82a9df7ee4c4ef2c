//! Missing data and tools. Tests that are skipped for them count as passed, so they must be
//! reported.

use crate::checkout::Checkout;
use crate::setup::{debian, mosquitto, onnx_runtime::ONNX_RUNTIME, tensorrt_rtx::TENSORRT_RTX};
use std::path::Path;

/// Prints and returns a line for each thing that is missing.
pub(super) fn missing(checkout: &Checkout, trainer: bool) -> Vec<String> {
    let flukes = checkout.path("../shared/flukes/devtest.csv");
    let arch = std::env::consts::ARCH;
    let rtsp_server =
        format!("/usr/lib/{arch}-linux-gnu/girepository-1.0/GstRtspServer-1.0.typelib");
    let weights = checkout.path("../shared/weights/efficientnet_lite0.safetensors");
    let wants = [
        (
            trainer,
            "libtorch (skipped by --no-torch): the trainer and its tests",
        ),
        (
            ONNX_RUNTIME.is_installed(checkout),
            "ONNX Runtime in .tools/onnxruntime: comparison of inference engines",
        ),
        (
            TENSORRT_RTX.is_installed(checkout),
            "TensorRT-RTX in .tools/tensorrt-rtx: which models TensorRT accepts",
        ),
        (
            mosquitto::find().is_some(),
            "mosquitto: the station's broker with certificates, and boat and shore with an external one",
        ),
        (
            debian::find("strace").is_some(),
            "strace: power cuts at every write of the outbox",
        ),
        (
            debian::find("gst-launch-1.0").is_some(),
            "gst-launch-1.0 (gstreamer1.0-tools, -plugins-base and -plugins-good): a camera through GStreamer",
        ),
        (
            Path::new(&rtsp_server).is_file(),
            "GStreamer's RTSP server (gir1.2-gst-rtsp-server-1.0, python3-gi, gstreamer1.0-plugins-ugly, -plugins-bad, -libav): an IP camera",
        ),
        (
            flukes.is_file(),
            "photos in ../shared/flukes: metrics of the shipped model on real flukes",
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
        println!("All data and tools are installed; no test is skipped.");
    } else {
        println!("Missing; tests that need it are skipped:");
        missing.iter().for_each(|line| println!("  {line}"));
    }
    missing
}
