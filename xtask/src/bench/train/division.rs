//! The cost of dividing the embedding: clustering, assignment and mining, as a fraction of
//! training.

use super::ours::Metrics;

/// Settings of a divided run, in addition to those of the job: four learners, the margin loss and
/// the distance-weighted miner.
pub(super) const DIVIDED: [&str; 3] = [
    "sampler={kind=\"pk\",photos_per_identity=4}",
    "loss={kind=\"margin\",miner={kind=\"distance-weighted\"}}",
    "divide={learners=4}",
];
/// Target: maximum fraction of the training time.
const TARGET: f64 = 0.03;

/// Whether this trainer reports the times of clustering and mining.
pub(super) fn is_timed(metrics: &[Metrics]) -> bool {
    metrics
        .iter()
        .any(|m| m.clustering_seconds.is_some() || m.mining_seconds.is_some())
}

/// The output line with the fraction over all epochs; epochs without clustering count, as in real
/// training.
pub(super) fn line(metrics: &[Metrics]) -> String {
    let sum = |of: fn(&Metrics) -> f64| metrics.iter().map(of).sum::<f64>();
    // An epoch's seconds include mining but not clustering, which precedes its steps.
    let all = sum(|m| m.seconds + m.clustering_seconds.unwrap_or(0.0));
    let share = |seconds: f64| 100.0 * seconds / all;
    let clustering = share(sum(|m| m.clustering_seconds.unwrap_or(0.0)));
    let mining = share(sum(|m| m.mining_seconds.unwrap_or(0.0)));
    let verdict = if clustering + mining < 100.0 * TARGET {
        "met"
    } else {
        "missed"
    };
    format!(
        "divided in four: clustering and assignment {clustering:.1} %, mining {mining:.1} % of training; together below {:.0} %: {verdict}",
        100.0 * TARGET
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(lines: &[&str]) -> Vec<Metrics> {
        let line = |tail: &&str| {
            let text = format!("{{\"images_per_second\":40.0,\"seconds\":10.0{tail}}}");
            serde_json::from_str(&text).unwrap()
        };
        lines.iter().map(line).collect()
    }

    #[test]
    fn fractions_are_of_all_epochs() {
        // 0.5 of 20 + 0.5 seconds and 0.41 of them.
        let clustered = ",\"clustering_seconds\":0.5,\"mining_seconds\":0.205";
        let divided = metrics(&[clustered, ",\"mining_seconds\":0.205"]);
        assert!(is_timed(&divided));
        let said = line(&divided);
        assert!(said.contains("assignment 2.4 %, mining 2.0 %"), "{said}");
        assert!(said.ends_with("below 3 %: missed"), "{said}");
        let cheap = line(&metrics(&[clustered, "", "", ""]));
        assert!(cheap.ends_with("below 3 %: met"), "{cheap}");
    }

    #[test]
    fn a_trainer_without_these_times_is_recognised() {
        assert!(!is_timed(&metrics(&["", ""])));
    }
}
