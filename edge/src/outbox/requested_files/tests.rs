use super::*;
use crate::outbox::{Key, Outbox, RecordingLimits};
use crate::sample;
use flukewatch_common::sighting::Sighting;
use std::collections::HashSet;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const HOUR: i64 = 3_600_000;
const ROOM: u64 = 1 << 30;
/// The rules of a boat that keeps as good as nothing.
const SCARCE: RecordingLimits = RecordingLimits {
    max_age: Duration::MAX,
    max_bytes: 1,
};

/// An outbox with a recorded and acknowledged encounter, and its id.
fn outbox() -> (tempfile::TempDir, Queue, Uuid) {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch()).unwrap();
    let (mut recording, jpeg) = sample::recording(1);
    recording.track.ended = recording.track.started.plus(Duration::from_secs(2));
    let id = recording.sighting.id;
    outbox
        .record(&recording, &jpeg, sample::taken(), NOW)
        .unwrap();
    let identified = |sighting: &mut Sighting| sighting.frames = 42;
    let mut recordings = outbox.recordings().unwrap();
    recordings.conclude(id, false, identified).unwrap();
    let mut queue = outbox.queue().unwrap();
    let keys = queue.next(&HashSet::new(), 99).unwrap();
    let keys: Vec<Key> = keys.iter().map(|p| p.key).collect();
    queue.acknowledge(&keys).unwrap();
    (folder, queue, id)
}

fn command(issued: i64, sighting: Uuid, file: EncounterFile) -> Command {
    let issued = Timestamp(issued);
    Command {
        boat: sample::boat(),
        issued,
        files: vec![RequestedFile {
            id: Uuid::from_u128(7),
            sighting,
            file,
            received: None,
            max_bytes: ROOM,
            expires: issued.plus_millis(HOUR),
            over_any_link: false,
        }],
    }
}

#[test]
fn a_requested_recording_is_kept_until_the_request_ends() {
    let (_folder, mut queue, id) = outbox();
    let wanted = command(5, id, EncounterFile::Crops);
    assert!(queue.keep_requested_files(Some(&wanted), NOW).unwrap());
    assert_eq!(queue.prune_recordings(SCARCE, NOW).unwrap(), 0);
    let path = queue.requested_path(id, EncounterFile::Crops).unwrap();
    assert!(path.unwrap().is_file());
    // The station's clock and the outbox's have nothing to do with each other.
    let late = NOW.plus_millis(HOUR + 1);
    assert_eq!(queue.prune_recordings(SCARCE, late).unwrap(), 1);
    for file in EncounterFile::ALL {
        let path = queue.requested_path(id, file).unwrap();
        assert_eq!(path, Err(UnavailableReason::Deleted));
    }
}

#[test]
fn a_withdrawn_request_and_a_full_disk_end_that() {
    let (_folder, mut queue, id) = outbox();
    let wanted = command(5, id, EncounterFile::Crops);
    assert!(queue.keep_requested_files(Some(&wanted), NOW).unwrap());
    assert!(queue.keep_requested_files(None, NOW).unwrap());
    assert_eq!(queue.prune_recordings(SCARCE, NOW).unwrap(), 1);
    let (_folder, mut queue, id) = outbox();
    let wanted = command(5, id, EncounterFile::Crops);
    assert!(queue.keep_requested_files(Some(&wanted), NOW).unwrap());
    let nothing = RecordingLimits {
        max_bytes: 0,
        ..SCARCE
    };
    assert_eq!(queue.prune_recordings(nothing, NOW).unwrap(), 1);
}

#[test]
fn an_earlier_command_changes_nothing_even_after_a_restart() {
    let (folder, mut queue, id) = outbox();
    let wanted = command(5, id, EncounterFile::Crops);
    assert!(queue.keep_requested_files(Some(&wanted), NOW).unwrap());
    drop(queue);
    let outbox = Outbox::open(folder.path(), &sample::boat(), ROOM, sample::epoch()).unwrap();
    let mut queue = outbox.queue().unwrap();
    let earlier = Command {
        files: vec![],
        ..command(4, id, EncounterFile::Crops)
    };
    assert!(!queue.keep_requested_files(Some(&earlier), NOW).unwrap());
    assert_eq!(queue.prune_recordings(SCARCE, NOW).unwrap(), 0);
    let repeated = Command {
        files: vec![],
        ..command(5, id, EncounterFile::Crops)
    };
    assert!(queue.keep_requested_files(Some(&repeated), NOW).unwrap());
    assert_eq!(queue.prune_recordings(SCARCE, NOW).unwrap(), 1);
}

#[test]
fn what_is_not_aboard_has_a_reason() {
    let (folder, queue, id) = outbox();
    let path = |sighting, file| queue.requested_path(sighting, file).unwrap().unwrap_err();
    let unknown = path(Uuid::from_u128(99), EncounterFile::Clip);
    assert_eq!(unknown, UnavailableReason::UnknownSighting);
    let reason = path(id, EncounterFile::Clip);
    assert_eq!(reason, UnavailableReason::NotRecorded, "no clips at all");
    let clips = ClipFolder::of(folder.path());
    std::fs::create_dir(clips.path()).unwrap();
    let reason = path(id, EncounterFile::Clip);
    assert_eq!(reason, UnavailableReason::NotAboard);
    let recording = folder.path().join("recordings").join(format!("{id}.tar"));
    std::fs::write(&recording, "damaged").unwrap();
    let reason = path(id, EncounterFile::Clip);
    assert_eq!(reason, UnavailableReason::Unreadable);
    std::fs::remove_file(&recording).unwrap();
    let reason = path(id, EncounterFile::Crops);
    assert_eq!(reason, UnavailableReason::NotRecorded);
}

#[test]
fn the_clip_that_shows_most_of_the_encounter_is_the_sighting_s() {
    let (folder, mut queue, id) = outbox();
    let (recording, _) = sample::recording(1);
    let clips = ClipFolder::of(folder.path());
    std::fs::create_dir(clips.path()).unwrap();
    let clip = |name: &str, session: Uuid, begin: i64, started: Timestamp| {
        let first = recording.track.started.0 + begin * 1000;
        let description = serde_json::json!({
            "camera": recording.sighting.camera, "session": session,
            "started": started.to_string(), "first_frame": first, "frames": [0, 40, 1000],
            "width": 640, "height": 360, "written": 5,
        });
        let path = clips.path().join(name);
        std::fs::write(path.with_extension("json"), description.to_string()).unwrap();
        std::fs::write(&path, "video").unwrap();
    };
    let (session, started) = (recording.track.session, recording.sighting.started);
    let found = |queue: &Queue| queue.requested_path(id, EncounterFile::Clip).unwrap();
    clip(
        "later.avi",
        session,
        3_600_000,
        started.plus_millis(3_600_000),
    );
    assert_eq!(found(&queue), Err(UnavailableReason::Deleted));
    clip("other-run.avi", Uuid::from_u128(98), 0, started);
    assert_eq!(found(&queue), Err(UnavailableReason::NotRecorded));
    clip("begin.mkv", session, -900, started);
    assert_eq!(found(&queue), Ok(clips.path().join("begin.mkv")));
    clip("rest.mkv", session, -100, started);
    assert_eq!(found(&queue), Ok(clips.path().join("rest.mkv")));
    let wanted = command(5, id, EncounterFile::Clip);
    assert!(queue.keep_requested_files(Some(&wanted), NOW).unwrap());
    assert_eq!(queue.requested_clips(NOW).unwrap(), ["rest.mkv"]);
    let late = NOW.plus_millis(HOUR + 1);
    assert_eq!(queue.requested_clips(late).unwrap(), [""; 0]);
}
