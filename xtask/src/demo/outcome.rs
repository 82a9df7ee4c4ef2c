//! The result of the demo.

use super::judge::Judged;
use super::sighting::Sighting;

/// Minimum percentage of right encounters.
const ENOUGH: usize = 80;

/// The figures of the last line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    published: u64,
    stored: u64,
    without_picture: usize,
    right: usize,
    all: usize,
}

impl Outcome {
    /// `published`: sightings that the boat made.
    pub(super) fn new(published: u64, stored: &[Sighting], judged: &[Judged]) -> Self {
        Self {
            published,
            stored: stored.len() as u64,
            without_picture: stored.iter().filter(|s| s.picture != "stored").count(),
            right: judged.iter().filter(|j| j.right).count(),
            all: judged.len(),
        }
    }

    /// Formats `demo: P published, S stored, L lost, C of N right`.
    pub(crate) fn line(&self) -> String {
        let Self {
            published,
            stored,
            right,
            all,
            ..
        } = self;
        let lost = published.saturating_sub(*stored);
        format!("demo: {published} published, {stored} stored, {lost} lost, {right} of {all} right")
    }

    /// Whether nothing is lost or unexpected, and enough encounters are right.
    pub(crate) fn is_good(&self) -> bool {
        self.published == self.stored && self.without_picture == 0 && self.enough_right()
    }

    fn enough_right(&self) -> bool {
        self.all > 0 && self.right * 100 >= self.all * ENOUGH
    }

    /// The verdict as text.
    pub(super) fn verdict(&self) -> String {
        let mut faults = vec![];
        if self.published != self.stored {
            faults.push("the boat and shore have different numbers of sightings".to_owned());
        }
        if self.without_picture > 0 {
            faults.push(format!("{} sightings have no image", self.without_picture));
        }
        if !self.enough_right() {
            faults.push(format!("less than {ENOUGH} % are right"));
        }
        if faults.is_empty() {
            format!(
                "Passed: nothing was lost, every sighting has its image, and at least {ENOUGH} % are right."
            )
        } else {
            format!("FAILED: {}.", faults.join("; "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Outcome = Outcome {
        published: 14,
        stored: 14,
        without_picture: 0,
        right: 12,
        all: 15,
    };

    #[test]
    fn the_last_line_is_machine_readable() {
        assert_eq!(
            GOOD.line(),
            "demo: 14 published, 14 stored, 0 lost, 12 of 15 right"
        );
        let lost = Outcome { stored: 11, ..GOOD };
        assert_eq!(
            lost.line(),
            "demo: 14 published, 11 stored, 3 lost, 12 of 15 right"
        );
    }

    #[test]
    fn good_means_nothing_lost_and_four_in_five_right() {
        assert!(GOOD.is_good() && GOOD.verdict().starts_with("Passed"));
        for bad in [
            Outcome { right: 11, ..GOOD },
            Outcome { stored: 13, ..GOOD },
            Outcome { stored: 15, ..GOOD },
            Outcome {
                without_picture: 1,
                ..GOOD
            },
            Outcome {
                published: 0,
                stored: 0,
                right: 0,
                all: 0,
                ..GOOD
            },
        ] {
            assert!(!bad.is_good(), "{bad:?}");
            assert!(bad.verdict().starts_with("FAILED"), "{bad:?}");
        }
    }
}
