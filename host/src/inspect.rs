//! `flukewatch inspect`: what a bundle holds.

use clap::Args;
use flukewatch_common::bundle::Bundle;
use flukewatch_common::embedder::Embedder;
use std::path::PathBuf;

/// Show what a bundle holds, after checking every part of it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch inspect models/humpback-lite0
  flukewatch inspect azores.flukebundle --json")]
pub struct InspectArgs {
    /// The bundle, a folder or a .flukebundle file
    bundle: PathBuf,
    /// Write JSON: id, manifest, decision, whales, photos, engine
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
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let bundle = Bundle::open(&args.bundle)?;
    let embedder = Embedder::open(&bundle)?;
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
        return Ok(());
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
    for (part, info) in &m.parts {
        println!(
            "part         {part:<10} {:<14} {:>10} bytes  sha256 {}",
            info.file, info.bytes, info.sha256
        );
    }
    if args.card {
        println!("\n{}", bundle.card);
    }
    Ok(())
}
