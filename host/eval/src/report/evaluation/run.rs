//! Training of the model: learning curves from a run's `metrics.jsonl`, and clusters from its
//! `clusters.jsonl` if it has one.

use crate::report::plot::{Figure, Key, Plot};
use anyhow::{Context, bail};
use askama::Template;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// A line of `metrics.jsonl`; other keys are ignored.
#[derive(Debug, Deserialize)]
struct Epoch {
    epoch: f64,
    loss: Option<f64>,
    lr_factor: Option<f64>,
    images_per_second: Option<f64>,
    seconds: Option<f64>,
    validation_recall_at_1: Option<f64>,
    validation_map_at_5: Option<f64>,
}

/// A line of `clusters.jsonl`: the division of the training photos before an epoch.
#[derive(Debug, Deserialize)]
struct Division {
    epoch: f64,
    /// Photos in each cluster.
    sizes: Vec<usize>,
    /// Fraction of photos that changed their cluster.
    moved: Option<f64>,
    inertia: Option<f64>,
}

#[derive(Template)]
#[template(path = "evaluation/run.html")]
pub(super) struct RunSection {
    epochs: usize,
    duration: String,
    plots: Vec<Figure>,
}

impl RunSection {
    pub(super) fn read(folder: &Path) -> anyhow::Result<Self> {
        let epochs: Vec<Epoch> = lines(&folder.join("metrics.jsonl"))?;
        if epochs.is_empty() {
            bail!("{} has no epoch in its metrics.jsonl", folder.display());
        }
        let seconds: f64 = epochs.iter().filter_map(|e| e.seconds).sum();
        let mut plots = epoch_plots(&epochs);
        // The file of an undivided embedding is empty.
        let file = folder.join("clusters.jsonl");
        if file.is_file() {
            plots.extend(division_plots(&lines(&file)?));
        }
        Ok(Self {
            epochs: epochs.len(),
            duration: if seconds < 120.0 {
                format!("{seconds:.0} seconds")
            } else {
                format!("{:.0} minutes", seconds / 60.0)
            },
            plots,
        })
    }
}

fn epoch_plots(epochs: &[Epoch]) -> Vec<Figure> {
    let plot = |name, curves: &[Curve<Epoch>], keys: Vec<Key>, caption| {
        plot_over_epochs(epochs, |e| e.epoch, name, curves, keys, caption)
    };
    let plots = [
        plot(
            "loss",
            &[("sea", |e| e.loss)],
            vec![],
            "Mean loss of each epoch.",
        ),
        plot(
            "validation",
            &[
                ("sea", |e| e.validation_recall_at_1),
                ("known", |e| e.validation_map_at_5),
            ],
            vec![
                Key::new("var(--sea)", "R@1"),
                Key::new("var(--known)", "MAP@5"),
            ],
            "Retrieval on the held-out identities.",
        ),
        plot(
            "learning rate factor",
            &[("sea", |e| e.lr_factor)],
            vec![],
            "Learning rate as a fraction of its peak.",
        ),
        plot(
            "images per second",
            &[("sea", |e| e.images_per_second)],
            vec![],
            "Training speed.",
        ),
    ];
    plots.into_iter().flatten().collect()
}

fn division_plots(divisions: &[Division]) -> Vec<Figure> {
    let Some(largest) = divisions.iter().flat_map(|d| &d.sizes).max() else {
        return vec![];
    };
    let mut sizes = Plot::new(
        range(divisions.iter().map(|d| d.epoch)),
        (0.0, *largest as f64),
    );
    let clusters = divisions.iter().map(|d| d.sizes.len()).max().unwrap_or(0);
    for cluster in 0..clusters {
        let class = ["sea", "known", "new"][cluster % 3];
        sizes.curve(
            class,
            divisions
                .iter()
                .filter_map(|d| Some((d.epoch, *d.sizes.get(cluster)? as f64))),
        );
    }
    let plot = |name, curves: &[Curve<Division>], caption| {
        plot_over_epochs(divisions, |d| d.epoch, name, curves, vec![], caption)
    };
    let sizes = sizes.finish(
        "epoch",
        "photos per cluster",
        "How the training photos are divided among the learners.",
    );
    let moved = plot(
        "fraction that changed cluster",
        &[("new", |d| d.moved)],
        "Photos that moved to another learner at each division.",
    );
    let inertia = plot(
        "inertia",
        &[("sea", |d| d.inertia)],
        "K-means inertia at each division.",
    );
    [Some(sizes), moved, inertia]
        .into_iter()
        .flatten()
        .collect()
}

/// Class of a curve and its value of a line.
type Curve<T> = (&'static str, fn(&T) -> Option<f64>);

/// `None` if no line has a value.
fn plot_over_epochs<T>(
    lines: &[T],
    epoch: fn(&T) -> f64,
    name: &str,
    curves: &[Curve<T>],
    keys: Vec<Key>,
    caption: &str,
) -> Option<Figure> {
    let values = || {
        curves
            .iter()
            .flat_map(|(_, of)| lines.iter().filter_map(of))
            .filter(|v| v.is_finite())
    };
    values().next()?;
    let (low, high) = range(values());
    let mut plot = Plot::new(range(lines.iter().map(epoch)), (low.min(0.0), high * 1.05));
    for (class, of) in curves {
        plot.curve(class, lines.iter().filter_map(|l| Some((epoch(l), of(l)?))));
    }
    Some(plot.with_keys(keys).finish("epoch", name, caption))
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    })
}

/// Parses each line of a file as JSON.
fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let filled = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    filled
        .map(|(at, line)| {
            serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), at + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(folder: &Path) -> String {
        RunSection::read(folder).unwrap().render().unwrap()
    }

    #[test]
    fn curves_are_drawn_from_the_values_that_exist() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = "{\"epoch\":1,\"steps\":9,\"loss\":3.5,\"seconds\":60,\"validation_recall_at_1\":null,\"other\":\"x\"}\n\
                       {\"epoch\":2,\"loss\":2.5,\"seconds\":60,\"validation_recall_at_1\":null}\n";
        std::fs::write(dir.path().join("metrics.jsonl"), metrics).unwrap();
        let text = section(dir.path());
        assert!(
            text.contains("2 epochs in 2 minutes") && text.contains("Mean loss"),
            "{text}"
        );
        assert!(!text.contains("held-out") && !text.contains("learners") && !text.contains("NaN"));
        std::fs::write(dir.path().join("clusters.jsonl"), "").unwrap();
        assert!(!section(dir.path()).contains("learners"));
        let clusters = "{\"epoch\":0,\"sizes\":[5,7],\"moved\":null,\"inertia\":3.0}\n{\"epoch\":2,\"sizes\":[6,6],\"moved\":0.1,\"inertia\":2.0}\n";
        std::fs::write(dir.path().join("clusters.jsonl"), clusters).unwrap();
        assert!(section(dir.path()).contains("among the learners"));
    }

    #[test]
    fn a_malformed_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metrics.jsonl"), "{\"epoch\":1}\n{\"epo\n").unwrap();
        let error = RunSection::read(dir.path()).err().unwrap().to_string();
        assert!(error.ends_with("metrics.jsonl:2"), "{error}");
        assert!(RunSection::read(&dir.path().join("nowhere")).is_err());
    }
}
