//! The table of results.

use super::recipe::Recipe;
use super::score::Score;
use std::fmt::Write as _;

/// Mean and standard deviation over the seeds, as Markdown.
pub(super) fn markdown(found: &[(&Recipe, Vec<Score>)], epochs: u32, height: u32) -> String {
    let mut text = format!(
        "{epochs} epochs at {height} x {}, mean and standard deviation over the seeds.\n\n\
         | recipe | seeds | R@1 | MAP@5 | AUROC of new whales |\n|---|---|---|---|---|\n",
        2 * height
    );
    for (recipe, scores) in found {
        let of = |part: fn(&Score) -> f64| spread(&scores.iter().map(part).collect::<Vec<_>>());
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            recipe.about,
            scores.len(),
            of(|s| s.recall_at_1),
            of(|s| s.map_at_5),
            of(|s| s.auroc)
        );
    }
    text
}

/// Mean and, of several values, the sample standard deviation.
fn spread(values: &[f64]) -> String {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    if values.len() < 2 {
        return format!("{mean:.3}");
    }
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
    format!("{mean:.3} ± {:.3}", (square / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_worked_by_hand() {
        assert_eq!(spread(&[0.5]), "0.500");
        assert_eq!(spread(&[0.5, 0.7]), "0.600 ± 0.141");
        assert_eq!(spread(&[0.2, 0.2, 0.2]), "0.200 ± 0.000");
    }
}
