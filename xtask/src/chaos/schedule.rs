//! Which fault happens when.

use super::fault::{Fault, FaultKind};
use super::random::Random;
use std::time::Duration;

/// The first fault: by then the boats are connected.
const FIRST: u64 = 3000;
/// The time from a fault to the next, in milliseconds. Most faults last longer, so that they overlap.
const GAP: (u64, u64) = (1000, 4500);

/// The faults of `seed` in the time `long`, in order, for this many boats.
///
/// Kinds are dealt like cards, so that also a short run has most of them.
pub(super) fn draw(seed: u64, long: Duration, boats: usize) -> Vec<Fault> {
    let mut random = Random::new(seed);
    let mut deck = vec![];
    let mut faults = vec![];
    let mut at = FIRST;
    while u128::from(at) < long.as_millis() {
        if deck.is_empty() {
            deck = self::deck(&mut random);
        }
        if let Some((kind, (shortest, longest))) = deck.pop() {
            faults.push(Fault {
                at: Duration::from_millis(at),
                lasts: Duration::from_millis(random.between(shortest, longest)),
                boat: random.between(1, boats.max(1) as u64) as usize - 1,
                kind,
                salt: random.next(),
            });
        }
        at += random.between(GAP.0, GAP.1);
    }
    faults
}

/// Each kind as often as its share, in random order, with its shortest and longest duration.
fn deck(random: &mut Random) -> Vec<(FaultKind, (u64, u64))> {
    let all = FaultKind::SHARES.into_iter();
    let mut deck: Vec<_> = all
        .flat_map(|(kind, share, lasts)| std::iter::repeat_n((kind, lasts), share))
        .collect();
    random.shuffle(&mut deck);
    deck
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const TWENTY_MINUTES: Duration = Duration::from_secs(1200);

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_one_others() {
        let drawn = draw(1, TWENTY_MINUTES, 3);
        assert_eq!(draw(1, TWENTY_MINUTES, 3), drawn);
        assert_ne!(draw(2, TWENTY_MINUTES, 3), drawn);
    }

    #[test]
    fn a_shorter_run_has_the_first_faults_of_a_longer_one() {
        let all = draw(7, TWENTY_MINUTES, 3);
        let short = draw(7, Duration::from_secs(60), 3);
        assert!(short.len() >= 12 && short == all[..short.len()]);
    }

    #[test]
    fn twenty_minutes_have_200_faults_of_all_kinds_for_all_boats() {
        for seed in 0..5 {
            let faults = draw(seed, TWENTY_MINUTES, 3);
            assert!(faults.len() >= 200, "{}", faults.len());
            assert!(faults.iter().all(|f| f.at < TWENTY_MINUTES));
            let kinds: BTreeSet<_> = faults.iter().map(|f| f.kind).collect();
            assert_eq!(kinds.len(), FaultKind::SHARES.len());
            let boats: BTreeSet<_> = faults.iter().map(|f| f.boat).collect();
            assert_eq!(boats, BTreeSet::from([0, 1, 2]));
        }
    }

    #[test]
    fn faults_overlap_and_are_at_most_five_seconds_apart() {
        let faults = draw(3, TWENTY_MINUTES, 3);
        let apart = faults.array_windows().map(|[a, b]| b.at - a.at);
        assert!(apart.max().is_some_and(|d| d <= Duration::from_secs(5)));
        let overlaps = faults
            .array_windows()
            .filter(|[a, b]| a.at + a.lasts > b.at)
            .count();
        assert!(overlaps * 3 > faults.len(), "{overlaps}");
    }
}
