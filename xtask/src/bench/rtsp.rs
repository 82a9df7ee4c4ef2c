//! `cargo xtask bench rtsp`: whether the boat receives every frame of an IP camera.

use super::edge_config::write_config;
use super::{build_example, empty, measured, verdict};
use crate::checkout::Checkout;
use crate::child::Child;
use crate::steps::Steps;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Lines};
use std::path::PathBuf;
use std::process::{ChildStdout, ExitCode, Stdio};

/// Measure how many frames of an RTSP camera the boat receives: 1080p at 30 fps on the loopback address.
///
/// The camera is a server of GStreamer, which encodes a moving test picture while it sends it and counts its frames. The boat receives, decodes and
/// searches them. Needs Debian's packages gir1.2-gst-rtsp-server-1.0 and python3-gi, and GStreamer's plug-ins base, good, bad, ugly and
/// libav.
#[derive(Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench rtsp
  cargo xtask bench rtsp --minutes 2 --codec h265

Exit codes: 0 measured; 1 failure; 130 interrupted.")]
pub(crate) struct BenchRtspArgs {
    /// How long the camera sends, in minutes
    #[arg(long, default_value_t = 30.0, value_name = "MINUTES")]
    minutes: f64,
    /// How the camera encodes
    #[arg(long, value_enum, default_value_t = StreamCodec::H264, value_name = "CODEC")]
    codec: StreamCodec,
    /// The bundle, with a detector
    #[arg(long, default_value = "models/humpback-lite0", value_name = "BUNDLE")]
    bundle: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum StreamCodec {
    H264,
    H265,
}

impl StreamCodec {
    /// The elements that encode and packetise.
    fn elements(self) -> &'static str {
        match self {
            Self::H264 => {
                "x264enc speed-preset=ultrafast tune=zerolatency bitrate=6000 key-int-max=60 ! rtph264pay"
            }
            Self::H265 => {
                "x265enc speed-preset=ultrafast tune=zerolatency bitrate=6000 key-int-max=60 ! rtph265pay"
            }
        }
    }
}

/// Frames on the way when the boat ends: in the sockets and in the boat.
const IN_FLIGHT: u64 = 10;
const SOURCE: &str = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=1920,height=1080,framerate=30/1";
const PASSWORD: &str = "bench";

/// The part of the health document that is read.
#[derive(Deserialize)]
struct Health {
    cameras: Vec<CameraCounts>,
}

#[derive(Deserialize)]
struct CameraCounts {
    frames: u64,
    dropped: u64,
    missed: u64,
    damaged: u64,
    broken: u64,
    restarts: u64,
}

/// Runs the measurement in `target/bench/rtsp`, which is emptied first.
pub(crate) fn run(args: &BenchRtspArgs, checkout: &Checkout) -> anyhow::Result<ExitCode> {
    let mut steps = Steps::new();
    steps.required("build the boat's program", || {
        build_example(checkout, "group")
    })?;
    let folder = checkout.target().join("bench/rtsp");
    empty(&folder)?;
    let server = Server::start(checkout, args.codec)?;
    let camera = format!(
        "[camera]\nsource = \"rtsp\"\nurl = \"rtsp://127.0.0.1:{}/stream\"\nuser = \"boat\"\npassword_environment = \"BENCH_PASSWORD\"\n",
        server.port
    );
    let config = write_config(&folder, &args.bundle, &camera)?;
    let measured = steps.required(&format!("{} minutes of a stream", args.minutes), || {
        let mut boat = checkout.program("timeout");
        boat.args(["--preserve-status", "--signal=TERM"]);
        boat.arg(format!("{}", (args.minutes * 60.0).round()));
        boat.arg(checkout.built("flukewatch-edge"));
        boat.arg("run").arg("--config").arg(&config);
        boat.env("BENCH_PASSWORD", PASSWORD);
        measured::run(checkout, &mut boat, &folder, "boat")
    })?;
    let sent = server.finish()?;
    let health: Health =
        serde_json::from_str(&measured.printed).context("unexpected output of flukewatch-edge")?;
    let camera = health.cameras.first().context("the boat has no camera")?;
    println!("\n{}\n", steps.summary());
    print!("{}", table(sent, camera, measured.peak));
    Ok(ExitCode::SUCCESS)
}

fn table(sent: u64, camera: &CameraCounts, peak: u64) -> String {
    let CameraCounts {
        frames,
        dropped,
        missed,
        damaged,
        broken,
        restarts,
    } = camera;
    let lost = sent.saturating_sub(frames + missed);
    format!(
        "frames | number\n\
         ---|---\n\
         sent | {sent}\n\
         received | {frames}\n\
         lost and counted | {missed}\n\
         lost and not counted, or on the way at the end | {lost} (at most {IN_FLIGHT}: {})\n\
         received and not searched, for newer ones | {dropped}\n\
         damaged | {}\n\n\
         {restarts} reconnections; peak memory of boat and decoder: {:.0} MB\n",
        verdict(lost <= IN_FLIGHT),
        damaged + broken,
        peak as f64 / 1e6,
    )
}

/// A running camera.
struct Server {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Server {
    fn start(checkout: &Checkout, codec: StreamCodec) -> anyhow::Result<Self> {
        // Debian's, which has the bindings.
        let mut command = checkout.program("/usr/bin/python3");
        command.arg(checkout.path("tests/tests/rtsp_server.py"));
        let encoded = codec.elements();
        command.arg(format!("{SOURCE} ! {encoded} name=pay0 config-interval=1"));
        command.args(["boat", PASSWORD]);
        let mut process = checkout.start(command.stdout(Stdio::piped()))?;
        let output = process.stdout().context("its output is piped")?;
        let mut lines = BufReader::new(output).lines();
        let port = lines.next().transpose()?.and_then(|line| line.parse().ok());
        let Some(port) = port else {
            bail!(
                "the RTSP server does not start; run: sudo apt install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-ugly"
            );
        };
        Ok(Self {
            process,
            lines,
            port,
        })
    }

    /// Ends it; returns how many frames it sent.
    fn finish(self) -> anyhow::Result<u64> {
        let Self {
            process, mut lines, ..
        } = self;
        drop(process);
        let line = lines.next().transpose()?;
        line.and_then(|line| line.parse().ok())
            .context("the RTSP server did not say how many frames it sent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_received_and_not_counted_is_lost() {
        let camera = CameraCounts {
            frames: 960,
            dropped: 5,
            missed: 20,
            damaged: 0,
            broken: 1,
            restarts: 2,
        };
        let table = table(1000, &camera, 90_000_000);
        assert!(
            table.contains("at the end | 20 (at most 10: missed)"),
            "{table}"
        );
        assert!(table.contains("2 reconnections"), "{table}");
    }
}
