//! MAP@5 of the humpback contests: up to five guesses a photo, best first, with `new_whale` among
//! them for a whale that is not enrolled.
//!
//! `new_whale` ranks after the whales whose score reaches a threshold and before all others.

/// Maximum number of guesses per photo.
pub const GUESSES: usize = 5;

/// Position of `new_whale` from 0, in a ranking with these scores, highest first; may be beyond the
/// last guess.
pub fn new_whale_position(scores: impl IntoIterator<Item = f32>, threshold: f32) -> usize {
    scores.into_iter().take_while(|s| *s >= threshold).count()
}

/// A photo's contribution to MAP@5: 1 / rank of the right answer at this position from 0, nothing
/// if it is not among the guesses.
pub fn precision(position: Option<usize>) -> f64 {
    match position {
        Some(position) if position < GUESSES => 1.0 / (position + 1) as f64,
        _ => 0.0,
    }
}

/// The same for a ranking of `(whale, score)`, best first, into which `new_whale` is inserted.
/// `truth` is the right whale, `None` for a new one.
pub fn precision_with_new_whale<W: PartialEq>(
    ranking: impl Iterator<Item = (W, f32)> + Clone,
    truth: Option<W>,
    threshold: f32,
) -> f64 {
    let new_whale = new_whale_position(ranking.clone().map(|(_, score)| score), threshold);
    let position = match truth {
        None => Some(new_whale),
        Some(whale) => ranking
            .map(|(other, _)| other)
            .position(|other| other == whale)
            .map(|position| position + usize::from(new_whale <= position)),
    };
    precision(position)
}

/// The guesses for a ranking of `(whale, score)`, best first, with `new_whale` inserted.
pub fn guesses<W>(
    ranking: impl Iterator<Item = (W, f32)> + Clone,
    new_whale: W,
    threshold: f32,
) -> Vec<W> {
    let position = new_whale_position(ranking.clone().map(|(_, score)| score), threshold);
    let mut guesses: Vec<W> = ranking.map(|(whale, _)| whale).take(GUESSES).collect();
    if position < GUESSES {
        guesses.insert(position, new_whale);
        guesses.truncate(GUESSES);
    }
    guesses
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANKING: [(char, f32); 3] = [('a', 0.9), ('b', 0.6), ('c', 0.3)];

    fn names(threshold: f32) -> String {
        guesses(RANKING.into_iter(), 'N', threshold)
            .into_iter()
            .collect()
    }

    #[test]
    fn new_whale_stands_behind_scores_that_reach_the_threshold() {
        assert_eq!(
            [names(0.95), names(0.6), names(0.1)],
            ["Nabc", "abNc", "abcN"]
        );
        let full = ['a', 'b', 'c', 'd', 'e'].map(|whale| (whale, 0.5));
        assert_eq!(new_whale_position([0.5; 5], 0.5), 5);
        let kept: String = guesses(full.into_iter(), 'N', 0.5).into_iter().collect();
        assert_eq!(kept, "abcde");
        let shifted: String = guesses(full.into_iter(), 'N', 0.6).into_iter().collect();
        assert_eq!(shifted, "Nabcd");
    }

    #[test]
    fn precision_worked_by_hand() {
        let at = |truth, threshold| precision_with_new_whale(RANKING.into_iter(), truth, threshold);
        assert_eq!((at(Some('a'), 0.8), at(Some('a'), 0.95)), (1.0, 0.5));
        assert_eq!((at(Some('b'), 0.6), at(Some('c'), 0.6)), (0.5, 0.25));
        assert_eq!((at(None, 0.95), at(None, 0.1)), (1.0, 0.25));
        assert_eq!(at(Some('z'), 0.5), 0.0);
        assert_eq!(
            (precision(Some(4)), precision(Some(5)), precision(None)),
            (0.2, 0.0, 0.0)
        );
    }
}
