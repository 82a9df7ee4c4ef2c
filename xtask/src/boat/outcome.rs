//! The result: the boat's numbers compared with shore's.

use crate::demo::sighting::Sighting;

/// The figures of the last line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    frames: u64,
    made: u64,
    undelivered: usize,
    stored: u64,
    /// Sequence numbers that are missing, duplicate or unexpected on shore.
    wrong_numbers: Vec<u64>,
    without_picture: usize,
}

impl Outcome {
    /// `made`: sightings that the boat made; `undelivered`: messages that are still in its outbox.
    pub(super) fn new(frames: u64, made: u64, undelivered: usize, stored: &[Sighting]) -> Self {
        let has = |number: u64| stored.iter().filter(|s| s.sequence == number).count();
        let lacking = (1..=made).filter(|&n| has(n) != 1);
        let beyond = stored.iter().map(|s| s.sequence);
        let beyond = beyond.filter(|n| !(1..=made).contains(n));
        Self {
            frames,
            made,
            undelivered,
            stored: stored.len() as u64,
            wrong_numbers: lacking.chain(beyond).collect(),
            without_picture: stored.iter().filter(|s| s.picture != "stored").count(),
        }
    }

    /// Formats `boat: N frames captured, S sightings stored, L lost`.
    pub(super) fn line(&self) -> String {
        let Self {
            frames,
            made,
            stored,
            ..
        } = self;
        let lost = made.saturating_sub(*stored);
        format!("boat: {frames} frames captured, {stored} sightings stored, {lost} lost")
    }

    /// All deviations from the expected result.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        if self.frames == 0 {
            faults.push("the camera delivered no frame".to_owned());
        }
        if self.stored == 0 {
            faults.push("shore has no sighting".to_owned());
        }
        if !self.wrong_numbers.is_empty() {
            faults.push(format!(
                "the boat made {} sightings; sequence numbers missing, duplicate or unexpected on shore: {:?}",
                self.made, self.wrong_numbers
            ));
        }
        if self.undelivered > 0 {
            faults.push(format!(
                "{} messages are still in the boat's outbox",
                self.undelivered
            ));
        }
        if self.without_picture > 0 {
            faults.push(format!("{} sightings have no image", self.without_picture));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sighting(sequence: u64) -> Sighting {
        let json = serde_json::json!({
            "id": "x", "sequence": sequence, "camera": "main", "started": "2026-11-26T06:21:04Z",
            "ended": "2026-11-26T06:21:05Z", "verdict": "new", "whale": null, "candidates": [], "picture": "stored"
        });
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_last_line_is_machine_readable() {
        let good = Outcome::new(420, 2, 0, &[sighting(1), sighting(2)]);
        assert_eq!(
            good.line(),
            "boat: 420 frames captured, 2 sightings stored, 0 lost"
        );
        assert_eq!(good.faults(), [""; 0]);
    }

    #[test]
    fn missing_duplicate_and_unexpected_numbers_are_faults() {
        let faults = |made, stored: &[u64]| {
            let stored: Vec<Sighting> = stored.iter().map(|&n| sighting(n)).collect();
            Outcome::new(1, made, 0, &stored).wrong_numbers
        };
        assert_eq!(faults(3, &[1, 3]), [2]);
        assert_eq!(faults(2, &[1, 1, 2]), [1]);
        assert_eq!(faults(1, &[1, 7]), [7]);
        let lost = Outcome::new(1, 3, 0, &[sighting(1)]);
        assert!(lost.line().ends_with("1 sightings stored, 2 lost"));
    }

    #[test]
    fn missing_frames_sightings_and_pictures_and_pending_messages_are_faults() {
        assert_eq!(Outcome::new(0, 0, 0, &[]).faults().len(), 2);
        let mut bare = sighting(1);
        bare.picture = "missing".to_owned();
        let faults = Outcome::new(9, 1, 1, &[bare]).faults();
        assert_eq!(
            faults,
            [
                "1 messages are still in the boat's outbox",
                "1 sightings have no image"
            ]
        );
    }
}
