//! `flukewatch keygen`: a key to sign bundles with.

use anyhow::{Context, bail};
use clap::Args;
use flukewatch_common::atomic_file::write_atomically;
use flukewatch_trust::SigningKey;
use rand::TryRng;
use rand::rngs::SysRng;
use std::path::PathBuf;

/// Make a key to sign bundles with, and print what a boat's configuration needs to trust it.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  flukewatch keygen publisher.key
      writes publisher.key and publisher.key.pub

Keep publisher.key secret, and a copy of it where it cannot be lost: whoever has it can make bundles that your boats use, and without it no \
bundle reaches them until their configurations are changed. The file is PKCS#8 in PEM; openssl genpkey -algorithm ed25519 makes such files, \
too. To replace a key, add the new one to trusted_keys on every boat first, sign with it from then on, and remove the old one last.

Exit codes: 0 success; 1 failure, e.g. the file exists.")]
pub(crate) struct KeygenArgs {
    /// File to write, which only its owner can read; the public key goes to the same name with .pub
    file: PathBuf,
    /// Write JSON: private_key, public_key (file names) and key
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &KeygenArgs) -> anyhow::Result<()> {
    let mut public_file = args.file.as_os_str().to_owned();
    public_file.push(".pub");
    let public_file = PathBuf::from(public_file);
    if public_file.exists() {
        bail!("{} exists; choose another name", public_file.display());
    }
    let mut seed = [0; 32];
    SysRng
        .try_fill_bytes(&mut seed)
        .context("the operating system cannot provide random numbers")?;
    let key = SigningKey::from_seed(seed);
    key.create_file(&args.file)?;
    let public = key.public();
    write_atomically(&public_file, format!("{public}\n").as_bytes())
        .with_context(|| format!("cannot write {}", public_file.display()))?;
    if args.json {
        let written = serde_json::json!({
            "private_key": args.file,
            "public_key": public_file,
            "key": public,
        });
        println!("{}", serde_json::to_string_pretty(&written)?);
        return Ok(());
    }
    println!(
        "wrote {} (keep it secret) and {}",
        args.file.display(),
        public_file.display()
    );
    println!(
        "Boats that shall use your bundles need this line in the section [bundle] of edge.toml:"
    );
    println!("trusted_keys = [\"{public}\"]");
    Ok(())
}
