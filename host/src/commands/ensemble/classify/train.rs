//! The training behind `flukewatch ensemble classify`.

use super::ClassifyArgs;
use crate::commands::data::TableArgs;
use crate::commands::ensemble::apply::{Output, WITHHELD, open_test, test_photos};
use crate::commands::ensemble::{are_misleading, open_all, overlaps};
use crate::commands::labelled_data::LabelledData;
use anyhow::bail;
use flukewatch_common::bundle::{Bundle, View};
use flukewatch_ensemble::classifier::{Classifier, Fitted, Source};
use flukewatch_ensemble::features::{common_views, embed, rows, weights};
use flukewatch_ensemble::fit::{Album, Settings, fit};
use flukewatch_ensemble::layer::Form;
use flukewatch_ensemble::predictions::Predictions;
use flukewatch_train::classifier::ClassifierSettings;

pub(in crate::commands::ensemble) fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    if !(0.0..=1.0).contains(&args.new_fraction) {
        bail!(
            "--new-fraction: expected a fraction in [0, 1], got {}",
            args.new_fraction
        );
    }
    let bundles = open_all(&args.bundles)?;
    let weights = weights(&args.weights, bundles.len())?;
    let test_table = TableArgs {
        split: args.test_split.clone(),
        ..args.table.clone()
    };
    let quiet = args.quiet || args.json;
    let mut data = LabelledData::open(&args.table, &args.train, args.train_photos.as_deref())?;
    data.check(args.broken, quiet)?;
    let known = data.dataset.by_whale().into_keys().collect();
    // Opened before photos are embedded, which takes long.
    let test = match &args.test {
        Some(path) => {
            let mut data = open_test(&test_table, path, args.test_photos.as_deref())?;
            data.check(args.broken, quiet)?;
            let test = test_photos(path, &data, &known)?;
            Some((test, data))
        }
        None => None,
    };
    let of_training = overlaps(&bundles, &data.dataset.photos, &args.train)?;
    let (embeddings, _) = embed(&bundles, &weights, &data.dataset.photos, quiet)?;
    let album = Album::of(&data.dataset, rows(&embeddings));
    if album.whales.len() < 2 {
        bail!(
            "{}: {} named whale(s); a classifier needs at least two",
            args.train.display(),
            album.whales.len()
        );
    }
    let on_epoch = |epoch: usize, loss: f64| {
        if !quiet {
            eprintln!("epoch {epoch}: loss {loss:.4}");
        }
    };
    let settings = settings(args, &bundles);
    let (classifier, mut fitted) = fit(&album, sources(&bundles, &weights), &settings, on_epoch);
    let withheld = are_misleading(&of_training) && !args.training.is_set();
    if withheld {
        fitted.map_at_5 = None;
    }
    report(&classifier, &fitted, withheld);
    if let Some(path) = &args.out {
        classifier.write(path)?;
        eprintln!("wrote {}", path.display());
    }
    if let (Some((test, data)), Some(path)) = (test, &args.test) {
        let of_test = overlaps(&bundles, &data.dataset.photos, path)?;
        let predictions = Predictions::of(&classifier, &bundles, test, quiet)?;
        let output = Output {
            submission: args.submission.as_deref(),
            json: args.json,
            training: Some(&fitted),
            overlaps: &of_test,
            with_map: args.training.is_set() || !are_misleading(&of_test),
        };
        output.write(&predictions)?;
    } else if args.json {
        println!("{}", serde_json::to_string_pretty(&fitted)?);
    }
    Ok(())
}

fn settings(args: &ClassifyArgs, bundles: &[Bundle]) -> Settings {
    let both = [View::Plain, View::Mirrored];
    Settings {
        dimension: args.dimension as usize,
        form: if args.linear {
            Form::Linear
        } else {
            Form::Cosine { scale: 20.0 }
        },
        mirror: !args.no_mirror && common_views(bundles) == Some(&both),
        new_fraction: args.new_fraction,
        training: ClassifierSettings {
            epochs: args.epochs as usize,
            batch_size: 64,
            lr: 2e-3,
            weight_decay: args.weight_decay,
            patience: 4,
            seed: args.seed,
        },
    }
}

fn sources(bundles: &[Bundle], weights: &[f32]) -> Vec<Source> {
    let weighted = bundles.iter().zip(weights);
    weighted
        .map(|(bundle, &weight)| Source::of(bundle, weight))
        .collect()
}

fn report(classifier: &Classifier, fitted: &Fitted, withheld: bool) {
    let (whales, new_below) = (classifier.about.whales.len(), classifier.about.new_below);
    let (selected, reported) = (fitted.selected_on, fitted.reported_on);
    eprintln!(
        "{whales} whales, {} epochs, new below {new_below:.3}; selected on {} photos of known whales and {} of new ones",
        fitted.epochs, selected.known, selected.new
    );
    match fitted.map_at_5 {
        Some(map) => eprintln!(
            "MAP@5 {map:.3} on {} other photos of known whales and {} of new ones, which fitted and selected nothing",
            reported.known, reported.new
        ),
        None if withheld => eprintln!(
            "MAP@5 withheld: {WITHHELD}; new below is too high for photos that no bundle was trained on"
        ),
        None => eprintln!(
            "no MAP@5: too few whales with three photos to select epochs and threshold on some and to report on others"
        ),
    }
}
