use super::super::sighting::Candidate;
use super::super::truth::SequenceTruth;
use super::*;

/// Time of the first frame, an arbitrary value.
const START: i64 = 1_795_450_800_123;

/// Two known whales and a new one, ten frames per second; the first two encounters have the same
/// duration.
fn sequence() -> Sequence {
    let encounter = |first, last, whale: &str, enrolled| Encounter {
        first,
        last,
        whale: whale.into(),
        enrolled,
    };
    Sequence {
        name: "seq-001".into(),
        frames: "frames".into(),
        truth: SequenceTruth {
            frames_per_second: 10.0,
            encounters: vec![
                encounter(30, 59, "A", true),
                encounter(90, 119, "N", false),
                encounter(150, 199, "B", true),
            ],
        },
    }
}

/// A sighting of frames `first` to `last`.
fn sighting(first: i64, last: i64, verdict: Verdict, whale: &str) -> Sighting {
    let time = |frame: i64| jiff::Timestamp::from_millisecond(START + frame * 100).unwrap();
    Sighting {
        id: format!("{first}"),
        sequence: 1,
        camera: "seq-001".into(),
        started: time(first),
        ended: time(last),
        verdict,
        whale: (verdict == Verdict::Known).then(|| whale.to_owned()),
        reason: None,
        candidates: vec![Candidate {
            whale: whale.to_owned(),
            score: 0.5,
        }],
        picture: "stored".into(),
        revision: 1,
    }
}

fn rights(sightings: &[Sighting]) -> Vec<bool> {
    let judged = judge(&[sequence()], sightings).unwrap();
    judged.iter().map(|j| j.right).collect()
}

#[test]
fn a_known_whale_by_name_and_a_new_whale_as_new_are_right() {
    let good = [
        sighting(30, 59, Verdict::Known, "A"),
        sighting(90, 119, Verdict::New, "A"),
        sighting(150, 199, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&good), [true, true, true]);
    let [a, n, b] = good;
    assert_eq!(rights(&[b, n, a]), [true, true, true], "in any order");
}

#[test]
fn a_wrong_name_a_wrong_verdict_and_review_are_wrong() {
    let bad = [
        sighting(30, 59, Verdict::Known, "B"),
        sighting(90, 119, Verdict::Known, "A"),
        sighting(150, 199, Verdict::New, "B"),
    ];
    assert_eq!(rights(&bad), [false, false, false]);
    let open = [
        sighting(30, 59, Verdict::Review, "A"),
        sighting(90, 119, Verdict::Review, "A"),
        sighting(150, 199, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&open), [false, false, true]);
}

#[test]
fn a_new_whale_with_a_name_is_wrong() {
    let odd = [sighting(90, 119, Verdict::Known, "N")];
    assert!(rights(&odd).iter().all(|right| !right));
}

#[test]
fn an_encounter_without_a_sighting_is_missed_and_the_others_are_assigned() {
    let without_the_first = [
        sighting(90, 119, Verdict::New, "A"),
        sighting(150, 199, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&without_the_first), [false, true, true]);
    let without_the_second = [
        sighting(30, 59, Verdict::Known, "A"),
        sighting(150, 199, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&without_the_second), [true, false, true]);
    assert_eq!(rights(&[]), [false, false, false]);
}

#[test]
fn a_sighting_off_by_a_frame_is_still_assigned() {
    let off = [
        sighting(31, 58, Verdict::Known, "A"),
        sighting(92, 119, Verdict::New, "A"),
        sighting(150, 196, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&off), [true, true, true]);
}

#[test]
fn an_encounter_reported_twice_is_wrong() {
    let split = [
        sighting(30, 59, Verdict::Known, "A"),
        sighting(90, 119, Verdict::New, "A"),
        sighting(150, 170, Verdict::Known, "B"),
        sighting(180, 199, Verdict::Known, "B"),
    ];
    assert_eq!(rights(&split), [true, true, false]);
}

#[test]
fn a_sighting_of_the_open_sea_counts_as_wrong() {
    let stray = [
        sighting(30, 59, Verdict::Known, "A"),
        sighting(90, 119, Verdict::New, "A"),
        sighting(125, 140, Verdict::New, "A"),
        sighting(150, 199, Verdict::Known, "B"),
    ];
    let judged = judge(&[sequence()], &stray).unwrap();
    assert_eq!(judged.len(), 4);
    assert_eq!(judged[3].encounter, None);
    assert!(!judged[3].right);
    assert!(judged[3].to_string().contains("nothing"));
}

#[test]
fn an_unknown_camera_is_an_error() {
    let mut foreign = sighting(30, 59, Verdict::New, "A");
    foreign.camera = "main".into();
    let said = judge(&[sequence()], &[foreign]).unwrap_err().to_string();
    assert_eq!(
        said,
        "sighting 30 is from camera 'main', which is not a sequence"
    );
}

#[test]
fn shores_sightings_are_parsed() {
    let json = r#"{"id":"019acf0e-0000-7000-8000-000000000001","boat":"balaena","sequence":3,"camera":"seq-001",
        "started":"2026-11-23T17:00:00.250Z","ended":"2026-11-23T17:00:03Z","frames":28,"verdict":"review","whale":null,"score":0.5,
        "candidates":[{"whale":"SYN-0004","score":0.514,"photo":"a.jpg"}],"bundle":"b","engine":"e","picture_stored":true,
        "picture":"stored","revision":1,"received":"2026-11-23T17:00:04Z"}"#;
    let sighting: Sighting = serde_json::from_str(json).unwrap();
    assert_eq!(sighting.started.as_millisecond() % 1000, 250);
    assert_eq!(sighting.to_string(), "review (closest SYN-0004 0.51)");
}
