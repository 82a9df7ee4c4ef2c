//! The commands, one file each, with arguments and output. The work is done in libraries without
//! clap or a terminal.

mod arguments;
mod audit;
mod bundle_detector;
mod bundle_training_set;
mod calibrate;
mod data;
mod embed;
mod enroll;
mod ensemble;
mod evaluate;
mod evaluate_detector;
mod export;
mod identify;
mod inspect;
#[cfg(feature = "train")]
mod interrupt;
mod keygen;
mod labelled_data;
mod local_matching;
mod losses;
mod quantize;
mod score;
mod sign;
mod synth;
mod synth_sea;
mod train;
mod train_detector;
mod training_photos;
mod verify;

use clap::Subcommand;
use std::process::ExitCode;

#[derive(Subcommand)]
pub(crate) enum Command {
    Train(train::TrainArgs),
    TrainDetector(train_detector::TrainDetectorArgs),
    BundleDetector(bundle_detector::BundleDetectorArgs),
    BundleTrainingSet(bundle_training_set::BundleTrainingSetArgs),
    EvaluateDetector(evaluate_detector::EvaluateDetectorArgs),
    Losses(losses::LossesArgs),
    Export(export::ExportArgs),
    Quantize(quantize::QuantizeArgs),
    LocalMatching(local_matching::LocalMatchingArgs),
    Enroll(enroll::EnrollArgs),
    Calibrate(calibrate::CalibrateArgs),
    Identify(identify::IdentifyArgs),
    Embed(embed::EmbedArgs),
    Evaluate(evaluate::EvaluateArgs),
    Score(score::ScoreArgs),
    Inspect(inspect::InspectArgs),
    Keygen(keygen::KeygenArgs),
    Sign(sign::SignArgs),
    Verify(verify::VerifyArgs),
    Audit(audit::AuditArgs),
    Ensemble(ensemble::EnsembleArgs),
    Synth(synth::SynthArgs),
    SynthSea(synth_sea::SynthSeaArgs),
}

impl Command {
    pub(crate) fn run(&self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Train(args) => train::run(args),
            Self::TrainDetector(args) => train_detector::run(args),
            Self::BundleDetector(args) => done(bundle_detector::run(args)),
            Self::BundleTrainingSet(args) => done(bundle_training_set::run(args)),
            Self::EvaluateDetector(args) => done(evaluate_detector::run(args)),
            Self::Losses(args) => done(losses::run(args)),
            Self::Export(args) => done(export::run(args)),
            Self::Quantize(args) => quantize::run(args),
            Self::LocalMatching(args) => done(local_matching::run(args)),
            Self::Enroll(args) => done(enroll::run(args)),
            Self::Calibrate(args) => done(calibrate::run(args)),
            Self::Identify(args) => done(identify::run(args)),
            Self::Embed(args) => done(embed::run(args)),
            Self::Evaluate(args) => done(evaluate::run(args)),
            Self::Score(args) => done(score::run(args)),
            Self::Inspect(args) => inspect::run(args),
            Self::Keygen(args) => done(keygen::run(args)),
            Self::Sign(args) => done(sign::run(args)),
            Self::Verify(args) => verify::run(args),
            Self::Audit(args) => audit::run(args),
            Self::Ensemble(args) => done(ensemble::run(args)),
            Self::Synth(args) => done(synth::run(args)),
            Self::SynthSea(args) => done(synth_sea::run(args)),
        }
    }
}

fn done(outcome: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    outcome.map(|()| ExitCode::SUCCESS)
}
