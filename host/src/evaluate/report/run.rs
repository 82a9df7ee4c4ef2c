//! How the model was trained: learning curves from a run's `metrics.jsonl`, and clusters from its `clusters.jsonl` if it has one.

use super::plot::Plot;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::Path;

/// What is read of a line of `metrics.jsonl`; other keys are passed over.
#[derive(Debug, Deserialize)]
struct Epoch {
    epoch: f64,
    loss: Option<f64>,
    rate_factor: Option<f64>,
    images_per_second: Option<f64>,
    seconds: Option<f64>,
    validation_recall_at_1: Option<f64>,
    validation_map_at_5: Option<f64>,
}

/// A line of `clusters.jsonl`: the division of the training photos before an epoch.
#[derive(Debug, Deserialize)]
struct Clusters {
    epoch: f64,
    /// Photos in each cluster.
    sizes: Vec<usize>,
    /// Share of photos that changed their cluster.
    moved: Option<f64>,
    cost: Option<f64>,
}

pub fn section(folder: &Path) -> anyhow::Result<String> {
    let epochs: Vec<Epoch> = lines(&folder.join("metrics.jsonl"))?;
    if epochs.is_empty() {
        bail!("{} has no epoch in its metrics.jsonl", folder.display());
    }
    let seconds: f64 = epochs.iter().filter_map(|e| e.seconds).sum();
    let mut text = format!(
        "<section id=\"run\"><h2>How the model was trained</h2><p>{} epochs in {}.</p><div class=\"plots\">",
        epochs.len(),
        if seconds < 120.0 {
            format!("{seconds:.0} seconds")
        } else {
            format!("{:.0} minutes", seconds / 60.0)
        }
    );
    text += &drawn(
        &epochs,
        "loss",
        &[("sea", |e: &Epoch| e.loss)],
        "Mean loss of each epoch.",
    );
    text += &drawn(
        &epochs,
        "on whales kept from training",
        &[
            ("sea", |e: &Epoch| e.validation_recall_at_1),
            ("known", |e: &Epoch| e.validation_map_at_5),
        ],
        "<span class=\"key\" style=\"background:var(--sea)\"></span>R@1 and <span class=\"key\" \
         style=\"background:var(--known)\"></span>MAP@5 of whales kept from training.",
    );
    text += &drawn(
        &epochs,
        "factor on the rates",
        &[("sea", |e: &Epoch| e.rate_factor)],
        "The step size, as a share of its peak.",
    );
    text += &drawn(
        &epochs,
        "photos a second",
        &[("sea", |e: &Epoch| e.images_per_second)],
        "Speed of training.",
    );
    // An embedding that is not divided leaves the file empty.
    let file = folder.join("clusters.jsonl");
    if file.is_file() {
        let history: Vec<Clusters> = lines(&file)?;
        if !history.is_empty() {
            text += &clusters(&history);
        }
    }
    Ok(text + "</div></section>\n")
}

fn clusters(history: &[Clusters]) -> String {
    let most = history
        .iter()
        .flat_map(|c| &c.sizes)
        .max()
        .copied()
        .unwrap_or(1) as f64;
    let mut sizes = Plot::new(range(history.iter().map(|c| c.epoch)), (0.0, most));
    let count = history.iter().map(|c| c.sizes.len()).max().unwrap_or(0);
    for cluster in 0..count {
        let class = ["sea", "known", "new"][cluster % 3];
        sizes.curve(
            class,
            history
                .iter()
                .filter_map(|c| Some((c.epoch, *c.sizes.get(cluster)? as f64))),
        );
    }
    let mut text = sizes.figure(
        "epoch",
        "photos in each cluster",
        "How the training photos are divided among the learners.",
    );
    text += &drawn_of(
        history,
        |c| c.epoch,
        "share that changed cluster",
        &[("new", |c: &Clusters| c.moved)],
        "Photos that went to another learner at each new division.",
    );
    text + &drawn_of(
        history,
        |c| c.epoch,
        "cost of the clusters",
        &[("sea", |c: &Clusters| c.cost)],
        "K-means cost at each division.",
    )
}

/// What a curve shows of a line, with its class.
type Curve<T> = (&'static str, fn(&T) -> Option<f64>);

fn drawn(epochs: &[Epoch], name: &str, curves: &[Curve<Epoch>], caption: &str) -> String {
    drawn_of(epochs, |e| e.epoch, name, curves, caption)
}

/// A figure over epochs; nothing where no line has a value.
fn drawn_of<T>(
    lines: &[T],
    epoch: fn(&T) -> f64,
    name: &str,
    curves: &[Curve<T>],
    caption: &str,
) -> String {
    let values = || {
        curves
            .iter()
            .flat_map(|(_, of)| lines.iter().filter_map(of))
            .filter(|v| v.is_finite())
    };
    if values().next().is_none() {
        return String::new();
    }
    let (low, high) = range(values());
    let mut plot = Plot::new(range(lines.iter().map(epoch)), (low.min(0.0), high * 1.05));
    for (class, of) in curves {
        plot.curve(class, lines.iter().filter_map(|l| Some((epoch(l), of(l)?))));
    }
    plot.figure("epoch", name, caption)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    })
}

/// Each line of a file as JSON.
fn lines<T: DeserializeOwned>(path: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let filled = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    filled
        .map(|(at, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}, line {}", path.display(), at + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_from_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let metrics = "{\"epoch\":1,\"steps\":9,\"loss\":3.5,\"seconds\":60,\"validation_recall_at_1\":null,\"other\":\"x\"}\n\
                       {\"epoch\":2,\"loss\":2.5,\"seconds\":60,\"validation_recall_at_1\":null}\n";
        std::fs::write(dir.path().join("metrics.jsonl"), metrics).unwrap();
        let text = section(dir.path()).unwrap();
        assert!(
            text.contains("2 epochs in 2 minutes") && text.contains("Mean loss"),
            "{text}"
        );
        assert!(
            !text.contains("kept from training")
                && !text.contains("learners")
                && !text.contains("NaN")
        );
        std::fs::write(dir.path().join("clusters.jsonl"), "").unwrap();
        assert!(!section(dir.path()).unwrap().contains("learners"));
        let clusters = "{\"epoch\":0,\"sizes\":[5,7],\"moved\":null,\"cost\":3.0}\n{\"epoch\":2,\"sizes\":[6,6],\"moved\":0.1,\"cost\":2.0}\n";
        std::fs::write(dir.path().join("clusters.jsonl"), clusters).unwrap();
        assert!(section(dir.path()).unwrap().contains("among the learners"));
    }

    #[test]
    fn a_bad_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metrics.jsonl"), "{\"epoch\":1}\n{\"epo\n").unwrap();
        let error = section(dir.path()).unwrap_err().to_string();
        assert!(error.ends_with("metrics.jsonl, line 2"), "{error}");
        assert!(section(&dir.path().join("nowhere")).is_err());
    }
}
