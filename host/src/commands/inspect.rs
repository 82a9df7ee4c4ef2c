//! `flukewatch inspect`: show what a bundle holds, or check its model for an engine.

use anyhow::Context;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use flukewatch_common::bundle::Bundle;
use flukewatch_inference::detector::Detector;
use flukewatch_inference::embedder::Embedder;
use flukewatch_onnx::lint::{Finding, Severity, Target, lint};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show what a bundle holds after validating every part; with --target, check whether an engine
/// runs its model
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch inspect models/humpback-lite0
  flukewatch inspect azores.flukebundle --json
  flukewatch inspect models/humpback-lite0 --target tensorrt8.5 --target tract
  flukewatch inspect other.onnx --target tensorrt10

With --target, each broken rule is reported with its node: 'refused' where the engine does not run it, 'costly' where it runs \
slower or less accurately than it could. The rules come from the documentation of the engines and from what TensorRT-RTX builds; \
the proof is the engine itself.

Exit codes: 0 success; 1 failure; 3 --target found something refused.")]
pub(crate) struct InspectArgs {
    /// Bundle, a folder or a .flukebundle file; with --target also an .onnx file
    bundle: PathBuf,
    /// Engine to check the model for, node by node (repeatable)
    #[arg(long, value_name = "ENGINE", value_parser = target_parser())]
    target: Vec<Target>,
    /// Write JSON: id, signature, manifest, decision, whales, photos, engine; with --target, the findings of
    /// each
    #[arg(long)]
    json: bool,
    /// Show the model card too
    #[arg(long, conflicts_with = "json")]
    card: bool,
}

fn target_parser() -> impl TypedValueParser<Value = Target> {
    let named = |name: String| {
        let mut targets = Target::ALL.into_iter();
        targets
            .find(|t| t.name() == name)
            .expect("the name is one of these values")
    };
    PossibleValuesParser::new(Target::ALL.map(Target::name)).map(named)
}

/// Exit code if an engine does not run the model.
pub(super) const REFUSED: u8 = 3;

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    if args.target.is_empty() {
        show(args).map(|()| ExitCode::SUCCESS)
    } else {
        check(args)
    }
}

fn show(args: &InspectArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let embedder = Embedder::open(&bundle)?;
    // A detector that does not run must be reported here, not on the boat.
    Detector::open(&bundle)?;
    let (m, rule, catalogue) = (&bundle.manifest, &bundle.decision, &bundle.catalogue);
    if args.json {
        let all = serde_json::json!({
            "id": bundle.id(),
            "signature": bundle.signature().map(|s| serde_json::json!({
                "version": s.version(),
                "expires": s.expires_text(),
                "key": s.key(),
            })),
            "manifest": m,
            "decision": rule,
            "whales": catalogue.whales(),
            "photos": catalogue.len(),
            "engine": embedder.engine_name(),
            "trained_on": bundle.training.as_ref().map(|t| serde_json::json!({
                "whales": t.whales(),
                "photos": t.photos(),
            })),
        });
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    }
    let p = &m.preparation;
    println!(
        "{} (bundle {}, format {}, created {})",
        m.name,
        bundle.id(),
        m.format,
        m.created
    );
    match bundle.signature() {
        Some(s) => println!(
            "signed       version {}, expires {}, key {}",
            s.version(),
            s.expires_text(),
            s.key()
        ),
        None => println!("signed       not signed"),
    }
    println!(
        "model        {} {:?}, opset {}, {}",
        m.model.architecture, m.model.precision, m.model.opset, m.model.trained_on
    );
    match &bundle.training {
        Some(t) => println!(
            "trained on   {} photos of {} whales, as hashes in the bundle",
            t.photos(),
            t.whales()
        ),
        None => println!("trained on   unknown: the bundle has no hashes of its training photos"),
    }
    println!(
        "input        {} x {} pixels (height x width), {:?}, {:?}, padding {}",
        p.height, p.width, p.colour, p.fit, p.padding
    );
    println!(
        "embedding    {} numbers from {} view(s)",
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
    if let Some(prior) = &rule.prior_new_whales {
        println!(
            "             {:.2} of the whales expected to be new",
            prior.expected
        );
    }
    if let Some(warning) = rule.warning() {
        println!("             warning: {warning}");
    }
    if let Some(d) = &m.detector {
        println!(
            "detector     {} {:?}, {} x {} pixels, strides {:?}, threshold {:.2}; {}",
            d.model.architecture,
            d.model.precision,
            d.preparation.height,
            d.preparation.width,
            d.strides,
            d.threshold,
            d.model.trained_on
        );
    }
    if let Some(local) = &m.local {
        println!(
            "local        {:?}, {} x {} locations of {} values, weight {:.3}, best {} whales; {}",
            local.precision,
            local.layout.height,
            local.layout.width,
            local.layout.dimension,
            local.score.weight,
            local.score.whales,
            local.fitted_on
        );
    }
    for (part, info) in &m.parts {
        println!(
            "part         {part:<11} {:<15} {:>10} bytes  sha256 {}",
            info.file, info.bytes, info.sha256
        );
    }
    if args.card {
        println!("\n{}", bundle.card);
    }
    Ok(())
}

/// Checks the model for each target.
fn check(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let path = &args.bundle;
    let model = if path.extension().is_some_and(|e| e == "onnx") {
        std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?
    } else {
        Bundle::open(path)?.model
    };
    let found: Vec<(Target, Vec<Finding>)> =
        args.target.iter().map(|&t| (t, lint(&model, t))).collect();
    if args.json {
        let by_target: BTreeMap<_, _> = found.iter().map(|(t, f)| (t.name(), f)).collect();
        println!("{}", serde_json::to_string_pretty(&by_target)?);
    } else {
        for (target, findings) in &found {
            println!("{}: {}", target.name(), verdict(findings));
            for finding in findings {
                println!("  {finding}");
            }
        }
    }
    let refused = |f: &Finding| f.severity == Severity::Refused;
    Ok(if found.iter().any(|(_, f)| f.iter().any(refused)) {
        ExitCode::from(REFUSED)
    } else {
        ExitCode::SUCCESS
    })
}

/// The findings for a target, summarised.
pub(super) fn verdict(findings: &[Finding]) -> String {
    let refused = findings
        .iter()
        .filter(|f| f.severity == Severity::Refused)
        .count();
    match (refused, findings.len()) {
        (0, 0) => "no findings".to_owned(),
        (0, costly) => format!("runs, {costly} costly finding(s)"),
        (refused, _) => format!("refused for {refused} reason(s)"),
    }
}
