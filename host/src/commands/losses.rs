//! `flukewatch losses`: the losses and miners that a recipe may choose.

use clap::Args;
use flukewatch_train::catalog::Catalog;

/// List the losses and miners that a training recipe may choose, with settings and defaults.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch losses
  flukewatch losses --json | jq -r '.losses[].kind'

In a recipe, or with --set; settings that are left out keep their defaults:
  flukewatch train ... --set 'loss={kind=\"proxy-anchor\"}'
  flukewatch train ... --set 'sampler={kind=\"pk\", photos_per_identity=4}' \\
                       --set 'loss={kind=\"triplet\", margin=0.1, miner={kind=\"hard\"}}'")]
pub(crate) struct LossesArgs {
    /// Write JSON: losses and miners, each with kind, formula, source and settings (name, default,
    /// meaning)
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &LossesArgs) -> anyhow::Result<()> {
    let catalog = Catalog::new();
    if args.json {
        println!("{}", serde_json::to_string_pretty(&catalog)?);
    } else {
        print!("{catalog}");
    }
    Ok(())
}
