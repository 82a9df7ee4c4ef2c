//! `flukewatch inspect`: what a bundle holds, and whether its model runs on an engine ([`lint`]).

pub mod graph;
pub mod lint;
pub mod target;

use anyhow::Context;
use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::detector::Detector;
use flukewatch_common::embedder::Embedder;
use lint::{Finding, Weight, lint};
use std::path::PathBuf;
use std::process::ExitCode;
use target::Target;

/// Show what a bundle holds, after checking every part of it; with --target, whether its model runs on an engine.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch inspect models/humpback-lite0
  flukewatch inspect azores.flukebundle --json
  flukewatch inspect models/humpback-lite0 --target tensorrt8.5 --target tract
  flukewatch inspect somebody-elses.onnx --target tensorrt10

With --target, each rule that the model breaks is told with the node at fault: 'refused' where the engine does not run it, 'costly' \
where it runs slower or less exactly than it could. The rules are read off the engines' documentation and off what TensorRT-RTX \
builds; the proof is the engine itself.

Exit codes: 0 done; 1 failed; 3 --target found something refused.")]
pub struct InspectArgs {
    /// The bundle, a folder or a .flukebundle file; with --target, an .onnx file too
    bundle: PathBuf,
    /// Hold the model against an engine's rules, node by node (may be given again)
    #[arg(long, value_name = "ENGINE")]
    target: Vec<Target>,
    /// Write JSON: id, manifest, decision, whales, photos, engine; with --target, the findings for each
    #[arg(long)]
    json: bool,
    /// Show the model card too
    #[arg(long, conflicts_with = "json")]
    card: bool,
}

/// Runs the command.
///
/// # Errors
/// Names the bundle and the part at fault.
pub fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    if !args.target.is_empty() {
        return hold_against(args);
    }
    let bundle = Bundle::open(&args.bundle)?;
    let embedder = Embedder::open(&bundle)?;
    // One that does not run must be told here and not on the boat.
    Detector::open(&bundle)?;
    let (m, rule, catalogue) = (&bundle.manifest, &bundle.decision, &bundle.catalogue);
    if args.json {
        let all = serde_json::json!({
            "id": bundle.id(),
            "manifest": m,
            "decision": rule,
            "whales": catalogue.whales(),
            "photos": catalogue.len(),
            "engine": embedder.engine_name(),
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(ExitCode::SUCCESS);
    }
    let p = &m.preparation;
    println!(
        "{} (bundle {}, format {}, made {})",
        m.name,
        bundle.id(),
        m.format,
        m.created
    );
    println!(
        "model        {} {:?}, opset {}, {}",
        m.model.architecture, m.model.precision, m.model.opset, m.model.trained_on
    );
    println!(
        "input        {} x {} pixels (down x across), {:?}, {:?}, margin {}",
        p.height, p.width, p.colour, p.fit, p.margin
    );
    println!(
        "embedding    {} numbers of {} view(s)",
        m.dimension,
        m.views.len()
    );
    println!("engine       {}", embedder.engine_name());
    println!(
        "catalogue    {} photos of {} whales",
        catalogue.len(),
        catalogue.whales()
    );
    println!(
        "decision     known from {:.3}, new below {:.3}; fitted on {}",
        rule.known_at, rule.new_below, rule.fitted_on
    );
    if let Some(d) = &m.detector {
        println!(
            "detector     {} {:?}, {} x {} pixels, strides {:?}, told from {:.2}; {}",
            d.model.architecture,
            d.model.precision,
            d.preparation.height,
            d.preparation.width,
            d.strides,
            d.threshold,
            d.model.trained_on
        );
    }
    for (part, info) in &m.parts {
        println!(
            "part         {part:<10} {:<14} {:>10} bytes  sha256 {}",
            info.file, info.bytes, info.sha256
        );
    }
    if args.card {
        println!("\n{}", bundle.card);
    }
    Ok(ExitCode::SUCCESS)
}

/// The exit code where a target refuses the model.
pub const REFUSED: u8 = 3;

fn hold_against(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = &args.bundle;
    let model = if path.extension().is_some_and(|e| e == "onnx") {
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?
    } else {
        Bundle::open(path)?.model
    };
    let found: Vec<(Target, Vec<Finding>)> =
        args.target.iter().map(|&t| (t, lint(&model, t))).collect();
    if args.json {
        let all: serde_json::Map<String, serde_json::Value> = found
            .iter()
            .map(|(target, findings)| {
                Ok((target.name().to_owned(), serde_json::to_value(findings)?))
            })
            .collect::<Result<_, serde_json::Error>>()?;
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        for (target, findings) in &found {
            let refused = findings
                .iter()
                .filter(|f| f.weight == Weight::Refused)
                .count();
            let verdict = match (refused, findings.len()) {
                (0, 0) => "keeps every rule".to_owned(),
                (0, costly) => format!("runs, with {costly} thing(s) that cost"),
                (refused, _) => format!("refused for {refused} reason(s)"),
            };
            println!("{}: {verdict}", target.name());
            for finding in findings {
                println!("  {finding}");
            }
        }
    }
    let refused = found
        .iter()
        .any(|(_, f)| f.iter().any(|f| f.weight == Weight::Refused));
    Ok(if refused {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}
