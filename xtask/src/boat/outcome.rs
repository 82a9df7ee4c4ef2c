//! The result: the boat's numbers compared with shore's.

use super::requests::Arrival;
use crate::demo::sighting::{Sighting, Verdict};
use serde::Deserialize;

/// What the boat says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BoatCounts {
    /// Frames that the camera delivered.
    pub(super) frames: u64,
    /// Sightings that were made.
    pub(super) made: u64,
    /// Messages that are still in the outbox.
    pub(super) undelivered: usize,
}

/// What shore has of the boat.
#[derive(Clone, Debug)]
pub(super) struct AtStation {
    pub(super) sightings: Vec<Sighting>,
    pub(super) clip: Arrival,
    pub(super) crops: Arrival,
    /// Its last status report.
    pub(super) status: Option<ReportedStatus>,
}

/// A boat in `GET /api/v1/boats`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct ListedBoat {
    pub(super) boat: String,
    pub(super) status: Option<ReportedStatus>,
}

/// The fields of its status that are used here.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct ReportedStatus {
    severity: String,
    problems: String,
    version: String,
    cameras: u16,
}

/// The figures of the last lines.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    boat: BoatCounts,
    station: AtStation,
    /// Sequence numbers that are missing, duplicate or unexpected on shore.
    wrong_numbers: Vec<u64>,
}

impl Outcome {
    /// Compares both.
    pub(super) fn new(boat: BoatCounts, station: AtStation) -> Self {
        let (made, stored) = (boat.made, &station.sightings);
        let has = |number: u64| stored.iter().filter(|s| s.sequence == number).count();
        let lacking = (1..=made).filter(|&n| has(n) != 1);
        let beyond = stored.iter().map(|s| s.sequence);
        let beyond = beyond.filter(|n| !(1..=made).contains(n));
        Self {
            wrong_numbers: lacking.chain(beyond).collect(),
            boat,
            station,
        }
    }

    /// Formats `boat: N frames captured, S sightings stored, L lost`.
    pub(super) fn line(&self) -> String {
        let BoatCounts { frames, made, .. } = self.boat;
        let stored = self.stored();
        let lost = made.saturating_sub(stored);
        format!("boat: {frames} frames captured, {stored} sightings stored, {lost} lost")
    }

    /// A line for each kind of message that shore should have.
    pub(super) fn evidence(&self) -> [String; 5] {
        let (made, stored) = (self.boat.made, self.stored());
        let with_picture = stored - self.without_picture() as u64;
        let with_verdict = stored - self.without_verdict().len() as u64;
        let AtStation {
            clip,
            crops,
            status,
            ..
        } = &self.station;
        [
            format!("record: {stored} of {made} sightings stored, {with_picture} with an image"),
            format!(
                "verdict: {with_verdict} of {stored} sightings identified after they were recorded"
            ),
            match clip {
                Ok(clip) => format!("clip: {} bytes, {} frames", clip.bytes, clip.parts),
                Err(reason) => format!("clip: MISSING ({reason})"),
            },
            match crops {
                Ok(crops) => format!(
                    "crops: {} bytes, a tar of {} blocks",
                    crops.bytes, crops.parts
                ),
                Err(reason) => format!("crops: MISSING ({reason})"),
            },
            match status {
                Some(status) => {
                    let ReportedStatus {
                        severity,
                        problems,
                        version,
                        cameras,
                    } = status;
                    let colon = if problems.is_empty() { "" } else { ": " };
                    format!(
                        "status: {severity}, program {version}, cameras {cameras}{colon}{problems}"
                    )
                }
                None => "status: MISSING".to_owned(),
            },
        ]
    }

    /// All deviations from the expected result.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        let BoatCounts {
            frames,
            made,
            undelivered,
        } = self.boat;
        if frames == 0 {
            faults.push("the camera delivered no frame".to_owned());
        }
        if self.stored() == 0 {
            faults.push("shore has no sighting".to_owned());
        }
        if !self.wrong_numbers.is_empty() {
            faults.push(format!(
                "the boat made {made} sightings; sequence numbers missing, duplicate or unexpected on shore: {:?}",
                self.wrong_numbers
            ));
        }
        if undelivered > 0 {
            faults.push(format!(
                "{undelivered} messages are still in the boat's outbox"
            ));
        }
        if self.without_picture() > 0 {
            faults.push(format!(
                "{} sightings have no image",
                self.without_picture()
            ));
        }
        let unnamed = self.without_verdict();
        if !unnamed.is_empty() {
            faults.push(format!("sightings without a verdict: {unnamed:?}"));
        }
        let files = [("clip", &self.station.clip), ("crops", &self.station.crops)];
        for (name, file) in files {
            if let Err(reason) = file {
                faults.push(format!("shore has no {name}: {reason}"));
            }
        }
        faults.extend(self.status_fault());
        faults
    }

    fn status_fault(&self) -> Option<String> {
        let Some(status) = &self.station.status else {
            return Some("shore has no status of the boat".to_owned());
        };
        // All crates of the workspace have one version.
        if status.version != env!("CARGO_PKG_VERSION") {
            let version = &status.version;
            return Some(format!("the boat's status is of program '{version}'"));
        }
        (status.cameras == 0).then(|| "the boat's status lists no camera".to_owned())
    }

    fn stored(&self) -> u64 {
        self.station.sightings.len() as u64
    }

    fn without_picture(&self) -> usize {
        let sightings = self.station.sightings.iter();
        sightings.filter(|s| s.picture != "stored").count()
    }

    /// The sequence numbers of sightings that shore has only as they were recorded, or that no model identified.
    fn without_verdict(&self) -> Vec<u64> {
        let sightings = self.station.sightings.iter();
        sightings
            .filter(|s| s.revision == 0 || s.verdict == Verdict::Unidentified)
            .map(|s| s.sequence)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::requests::Arrived;
    use super::*;

    fn sighting(sequence: u64) -> Sighting {
        let json = serde_json::json!({
            "id": "x", "sequence": sequence, "camera": "main", "started": "2026-11-26T06:21:04Z",
            "ended": "2026-11-26T06:21:05Z", "verdict": "new", "whale": null, "candidates": [], "picture": "stored",
            "revision": 1
        });
        serde_json::from_value(json).unwrap()
    }

    fn at_station(sightings: Vec<Sighting>) -> AtStation {
        let arrived = |bytes, parts| Ok(Arrived { bytes, parts });
        AtStation {
            sightings,
            clip: arrived(345_678, 20),
            crops: arrived(40_960, 80),
            status: Some(ReportedStatus {
                severity: "warning".into(),
                problems: "disk: 90 % full".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                cameras: 1,
            }),
        }
    }

    fn counts(frames: u64, made: u64, undelivered: usize) -> BoatCounts {
        BoatCounts {
            frames,
            made,
            undelivered,
        }
    }

    #[test]
    fn the_last_lines_are_machine_readable() {
        let good = Outcome::new(
            counts(420, 2, 0),
            at_station(vec![sighting(1), sighting(2)]),
        );
        assert_eq!(
            good.line(),
            "boat: 420 frames captured, 2 sightings stored, 0 lost"
        );
        assert_eq!(good.faults(), [""; 0]);
        let status = concat!("status: warning, program ", env!("CARGO_PKG_VERSION"));
        assert_eq!(
            good.evidence(),
            [
                "record: 2 of 2 sightings stored, 2 with an image",
                "verdict: 2 of 2 sightings identified after they were recorded",
                "clip: 345678 bytes, 20 frames",
                "crops: 40960 bytes, a tar of 80 blocks",
                &format!("{status}, cameras 1: disk: 90 % full"),
            ]
        );
    }

    #[test]
    fn missing_duplicate_and_unexpected_numbers_are_faults() {
        let wrong = |made, stored: &[u64]| {
            let stored = stored.iter().map(|&n| sighting(n)).collect();
            Outcome::new(counts(1, made, 0), at_station(stored)).wrong_numbers
        };
        assert_eq!(wrong(3, &[1, 3]), [2]);
        assert_eq!(wrong(2, &[1, 1, 2]), [1]);
        assert_eq!(wrong(1, &[1, 7]), [7]);
        let lost = Outcome::new(counts(1, 3, 0), at_station(vec![sighting(1)]));
        assert!(lost.line().ends_with("1 sightings stored, 2 lost"));
    }

    #[test]
    fn missing_frames_sightings_and_pictures_and_pending_messages_are_faults() {
        let nothing = Outcome::new(BoatCounts::default(), at_station(vec![]));
        assert_eq!(nothing.faults().len(), 2);
        let mut bare = sighting(1);
        bare.picture = "missing".to_owned();
        let faults = Outcome::new(counts(9, 1, 1), at_station(vec![bare])).faults();
        assert_eq!(
            faults,
            [
                "1 messages are still in the boat's outbox",
                "1 sightings have no image"
            ]
        );
    }

    #[test]
    fn missing_verdicts_files_and_status_are_faults() {
        let mut recorded = sighting(1);
        recorded.revision = 0;
        let mut unidentified = sighting(2);
        unidentified.verdict = Verdict::Unidentified;
        let mut station = at_station(vec![recorded, unidentified, sighting(3)]);
        station.clip = Err("open, 3 bytes of 9".into());
        station.status = None;
        let outcome = Outcome::new(counts(9, 3, 0), station.clone());
        assert_eq!(
            outcome.faults(),
            [
                "sightings without a verdict: [1, 2]",
                "shore has no clip: open, 3 bytes of 9",
                "shore has no status of the boat"
            ]
        );
        let [_, verdict, clip, _, status] = outcome.evidence();
        assert!(verdict.starts_with("verdict: 1 of 3 "), "{verdict}");
        assert_eq!(clip, "clip: MISSING (open, 3 bytes of 9)");
        assert_eq!(status, "status: MISSING");

        let json = r#"[{"boat": "emulated", "sightings": 4, "status": {"contact": "offline", "severity": "ok",
            "problems": "", "version": "0.0.1", "cameras": 0}}, {"boat": "other", "status": null}]"#;
        let [first, other]: [ListedBoat; 2] = serde_json::from_str(json).unwrap();
        assert!(first.boat == "emulated" && other.status.is_none());
        station.status = first.status;
        let faults = Outcome::new(counts(9, 3, 0), station).faults();
        assert!(faults[2].ends_with("program '0.0.1'"), "{faults:?}");
    }
}
