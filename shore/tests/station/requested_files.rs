//! Clips and crops that are requested of boats, from the command line of the station to its pages.

use crate::browse::get;
use crate::bundle_boat::{run, run_ok};
use crate::fixtures::{Boat, TIMEOUT, sample, start_station, wait_until};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{
    Chunk, ChunkContent, Command, EncounterFile, MAX_REQUESTED_FILES, ReceivedBytes,
    UnavailableReason,
};
use flukewatch_common::sighting::BoatId;
use flukewatch_common::{topic, wire};
use flukewatch_mqtt::{Connection, Dialer, Event, Outgoing, Settings, Subscription};
use flukewatch_shore::ingest::validate;
use flukewatch_shore::station::Station;
use flukewatch_shore::store::{
    FileRequest, IncomingMessage, IngestResult, MAX_OPEN_BYTES, NewFileRequest, RequestOutcome,
    RequestProgress, SqliteStore, Store,
};
use proptest::prelude::*;
use std::io::Read;
use std::path::Path;
use tokio::time::timeout;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_795_450_800_000);
const MEGABYTE: u64 = 1_000_000;

fn balaena() -> BoatId {
    "balaena".parse().unwrap()
}

fn new_request(number: u128, max_bytes: u64) -> NewFileRequest {
    NewFileRequest {
        id: Uuid::from_u128(number),
        boat: balaena(),
        sighting: Uuid::from_u128(1000 + number),
        file: EncounterFile::Clip,
        max_bytes,
        expires_at: NOW.plus_millis(1000),
        over_any_link: false,
    }
}

/// Bytes of `content` from `offset` on, as they are received.
fn bytes(request: Uuid, content: &[u8], offset: usize, length: usize) -> Chunk {
    let end = content.len().min(offset + length);
    Chunk {
        boat: balaena(),
        request,
        content: ChunkContent::Bytes {
            file: ContentId::of(content),
            total: content.len() as u64,
            offset: offset as u64,
            bytes: content[offset..end].to_vec(),
        },
    }
}

fn received(chunk: &Chunk) -> IncomingMessage {
    validate(
        &topic::of_chunks(&chunk.boat),
        &wire::encode(chunk).unwrap(),
    )
}

fn accept(store: &SqliteStore, chunk: &Chunk) -> IngestResult {
    store.accept(&[received(chunk)], NOW).unwrap().remove(0)
}

fn request(store: &dyn Store, id: Uuid) -> FileRequest {
    let all = store.file_requests(None).unwrap();
    all.into_iter().find(|r| r.new.id == id).unwrap()
}

fn content_of(store: &dyn Store, id: Uuid) -> Option<Vec<u8>> {
    let (_, mut file) = store.received_file(id).unwrap()?;
    let mut content = vec![];
    file.read_to_end(&mut content).unwrap();
    Some(content)
}

/// The names of the files that were received.
fn files(data: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(data.join("files")) else {
        return vec![];
    };
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Chunks in any order, repeated or lost, make the file as it is, or none.
    #[test]
    fn chunks_make_the_file_or_nothing(
        content in proptest::collection::vec(any::<u8>(), 1..2000),
        length in 50usize..500,
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let data = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(data.path()).unwrap();
        let new = new_request(1, MEGABYTE);
        store.request_file(&new, NOW).unwrap();
        let offsets: Vec<usize> = (0..content.len()).step_by(length).collect();
        let arriving = order.iter().map(|index| *index.get(&offsets));
        let mut expected = 0;
        // Then the boat sends all in order.
        for offset in arriving.chain(offsets.iter().copied()) {
            accept(&store, &bytes(new.id, &content, offset, length));
            if offset == expected && expected < content.len() {
                expected = content.len().min(offset + length);
            }
            let request = request(&store, new.id);
            prop_assert_eq!(request.received, expected as u64);
            prop_assert_eq!(request.is_open(), expected < content.len());
            let made = content_of(&store, new.id);
            prop_assert_eq!(made.is_some(), expected == content.len());
        }
        prop_assert_eq!(content_of(&store, new.id), Some(content.clone()));
        prop_assert_eq!(files(data.path()), [ContentId::of(&content).to_string()]);
    }
}

#[test]
fn a_file_is_continued_after_a_restart_and_after_lost_bytes() {
    let data = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..1000u32).map(|i| (i % 7) as u8).collect();
    let new = new_request(1, MEGABYTE);
    let store = SqliteStore::open(data.path()).unwrap();
    store.request_file(&new, NOW).unwrap();
    for offset in [0, 300] {
        accept(&store, &bytes(new.id, &content, offset, 300));
    }
    drop(store);
    let store = SqliteStore::open(data.path()).unwrap();
    let wanted = store.wanted_files(NOW).unwrap();
    let has = ReceivedBytes {
        content: ContentId::of(&content),
        bytes: 600,
    };
    assert_eq!(wanted[&balaena()][0].received, Some(has));
    // A person has deleted what was there.
    std::fs::remove_file(data.path().join(format!("files/{}.part", new.id))).unwrap();
    accept(&store, &bytes(new.id, &content, 600, 300));
    let wanted = store.wanted_files(NOW).unwrap();
    assert_eq!(wanted[&balaena()][0].received, None);
    for offset in [0, 300, 600, 900] {
        accept(&store, &bytes(new.id, &content, offset, 300));
    }
    assert_eq!(content_of(&store, new.id), Some(content.clone()));
    // A boat that has found another file begins again.
    let new = new_request(2, MEGABYTE);
    store.request_file(&new, NOW).unwrap();
    accept(&store, &bytes(new.id, b"another one", 0, 5));
    accept(&store, &bytes(new.id, &content, 0, 600));
    accept(&store, &bytes(new.id, &content, 600, 600));
    assert_eq!(content_of(&store, new.id), Some(content));
}

#[test]
fn a_chunk_that_lies_ends_the_request() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let content = [7; 500];
    let lie = |number: u128, change: fn(&mut Chunk)| {
        let new = new_request(number, 1000);
        store.request_file(&new, NOW).unwrap();
        accept(&store, &bytes(new.id, &content, 0, 250));
        let mut chunk = bytes(new.id, &content, 250, 250);
        change(&mut chunk);
        let result = accept(&store, &chunk);
        assert!(matches!(result, IngestResult::Rejected(_)), "{result:?}");
        let request = request(&store, new.id);
        (request.progress, request.reason.unwrap_or_default())
    };
    let (progress, reason) = lie(1, |chunk| {
        if let ChunkContent::Bytes { bytes, .. } = &mut chunk.content {
            bytes[0] = 8;
        }
    });
    assert_eq!(progress, RequestProgress::Failed);
    assert!(reason.contains("that are not"), "{reason}");
    let (progress, reason) = lie(2, |chunk| {
        if let ChunkContent::Bytes { total, .. } = &mut chunk.content {
            *total = 600;
        }
    });
    assert_eq!(progress, RequestProgress::Failed);
    assert_eq!(reason, "file of 600 bytes, 500 before");
    let (progress, reason) = lie(3, |chunk| {
        if let ChunkContent::Bytes { total, .. } = &mut chunk.content {
            *total = 1001;
        }
    });
    assert_eq!(progress, RequestProgress::Failed);
    assert_eq!(reason, "file of 1001 bytes; 1000 are permitted");
    // It may be late, of before the boat found another file.
    let (progress, _) = lie(4, |chunk| {
        if let ChunkContent::Bytes { file, .. } = &mut chunk.content {
            *file = ContentId::of(b"other");
        }
    });
    assert_eq!(progress, RequestProgress::Open);
    let (progress, _) = lie(5, |chunk| {
        if let ChunkContent::Bytes { offset, .. } = &mut chunk.content {
            *offset = 251;
        }
    });
    assert_eq!(progress, RequestProgress::Open);
    let counts = store.rejected_counts().unwrap();
    assert_eq!((&*counts[0].reason, counts[0].total), ("invalid", 5));
    // Nothing of those that ended is left.
    assert_eq!(files(data.path()).len(), 2);
}

#[test]
fn a_chunk_that_nobody_asked_for_is_ignored() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let new = new_request(1, MEGABYTE);
    let chunk = bytes(new.id, b"whale", 0, 5);
    let unknown = |boat: BoatId| IngestResult::UnknownRequest {
        boat,
        request: new.id,
    };
    assert_eq!(accept(&store, &chunk), unknown(balaena()));
    store.request_file(&new, NOW).unwrap();
    let orca: BoatId = "orca".parse().unwrap();
    let foreign = Chunk {
        boat: orca.clone(),
        ..chunk.clone()
    };
    assert_eq!(accept(&store, &foreign), unknown(orca));
    assert!(store.cancel_file_request(new.id, NOW).unwrap());
    assert!(!store.cancel_file_request(new.id, NOW).unwrap());
    assert_eq!(accept(&store, &chunk), unknown(balaena()));
    assert_eq!(files(data.path()), [""; 0]);
    assert!(store.boats().unwrap().is_empty());
}

#[test]
fn requests_expire_and_leave_nothing() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let new = new_request(1, MEGABYTE);
    store.request_file(&new, NOW).unwrap();
    accept(&store, &bytes(new.id, &[1; 100], 0, 50));
    let before = NOW.plus_millis(999);
    assert_eq!(store.wanted_files(before).unwrap()[&balaena()].len(), 1);
    let after = NOW.plus_millis(1000);
    assert_eq!(store.wanted_files(after).unwrap()[&balaena()].len(), 0);
    let request = request(&store, new.id);
    assert_eq!(
        (request.progress, request.ended_at),
        (RequestProgress::Expired, Some(after))
    );
    assert_eq!(files(data.path()), [""; 0]);
    // It can be requested again.
    let again = NewFileRequest {
        id: Uuid::from_u128(9),
        ..new
    };
    let outcome = store.request_file(&again, after).unwrap();
    assert_eq!(outcome, RequestOutcome::Requested);
}

#[test]
fn a_boat_cannot_fill_the_disk() {
    let data = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(data.path()).unwrap();
    let ask = |new: &NewFileRequest| store.request_file(new, NOW).unwrap();
    let largest = new_request(1, MAX_OPEN_BYTES);
    assert_eq!(ask(&largest), RequestOutcome::Requested);
    assert_eq!(ask(&largest), RequestOutcome::AlreadyOpen(largest.id));
    let too_many = RequestOutcome::TooManyBytes(MAX_OPEN_BYTES);
    assert_eq!(ask(&new_request(2, 1)), too_many);
    let elsewhere = NewFileRequest {
        boat: "orca".parse().unwrap(),
        ..new_request(3, 1)
    };
    assert_eq!(ask(&elsewhere), RequestOutcome::Requested);
    store.cancel_file_request(largest.id, NOW).unwrap();
    for number in 0..MAX_REQUESTED_FILES as u128 {
        assert_eq!(ask(&new_request(10 + number, 1)), RequestOutcome::Requested);
    }
    assert_eq!(ask(&new_request(30, 1)), RequestOutcome::TooManyOpen);
    let first = bytes(Uuid::from_u128(10), b"w", 0, 1);
    accept(&store, &first);
    let again = NewFileRequest {
        id: Uuid::from_u128(31),
        ..new_request(10, 1)
    };
    let id = Uuid::from_u128(10);
    assert_eq!(ask(&again), RequestOutcome::AlreadyReceived(id));
    // A person has deleted the file.
    let file = data.path().join("files");
    std::fs::remove_file(file.join(ContentId::of(b"w").to_string())).unwrap();
    assert_eq!(ask(&again), RequestOutcome::Requested);
}

/// A boat that sends files.
struct FileBoat {
    name: BoatId,
    connection: Connection,
}

impl FileBoat {
    async fn connect_to(station: &Station) -> Self {
        let name = balaena();
        let url = station.brokers()[0].url.clone();
        let settings = Settings {
            subscriptions: vec![Subscription::at_least_once(topic::of_commands(&name))],
            ..Settings::new(url, "files-balaena")
        };
        let connection = Dialer::new(settings).connect(None).await.unwrap();
        Self { name, connection }
    }

    /// The next command; `None` where it says that nothing is wanted.
    async fn command(&mut self) -> Option<Command> {
        loop {
            let event = timeout(TIMEOUT, self.connection.event()).await;
            let Event::Received(message) = event.expect("no command").unwrap() else {
                continue;
            };
            assert_eq!(message.topic, topic::of_commands(&self.name));
            if message.payload.is_empty() {
                return None;
            }
            let command: Command = wire::decode(&message.payload).unwrap();
            assert_eq!((command.validate(), &command.boat), (Ok(()), &self.name));
            return Some(command);
        }
    }

    async fn send(&self, chunk: &Chunk) {
        let message = wire::encode(chunk).unwrap();
        let message = Outgoing::at_least_once(topic::of_chunks(&self.name), message);
        let publisher = self.connection.publisher();
        publisher.publish(message, None).await.unwrap();
    }
}

async fn request_over_the_command_line(data: &Path, sighting: Uuid, file: &str) -> String {
    let sighting = sighting.to_string();
    run_ok(&["request", "--boat", "balaena", &sighting, file], data).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requested_clip_arrives_and_can_be_downloaded() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (sighting, _) = sample::sighting("balaena", 1);
    let mut sender = Boat::connect_to(&station, "balaena").await;
    sender.send_sighting(&sighting).await;
    sender.expect_acks(1).await;
    let id = sighting.id;
    let http = station.http_address();
    let page = get(http, &format!("/sightings/{id}")).await;
    assert!(page.text().contains("Still aboard"));

    let printed = request_over_the_command_line(data.path(), id, "--clip").await;
    assert!(printed.contains("clip of"), "{printed}");
    let again = request_over_the_command_line(data.path(), id, "--clip").await;
    assert!(again.contains("requested before"), "{again}");
    let mut boat = FileBoat::connect_to(&station).await;
    let first = boat.command().await.unwrap();
    let [wanted] = &first.files[..] else {
        panic!("{first:?}");
    };
    assert_eq!((wanted.sighting, wanted.received), (id, None));

    let mut content = b"RIFF\x10\0\0\0AVI LIST".to_vec();
    content.extend((0..2000u32).map(|i| (i % 251) as u8));
    boat.send(&bytes(wanted.id, &content, 0, 1500)).await;
    let second = boat.command().await.unwrap();
    assert!(second.issued > first.issued);
    let has = ReceivedBytes {
        content: ContentId::of(&content),
        bytes: 1500,
    };
    assert_eq!(second.files[0].received, Some(has));
    let page = get(http, &format!("/sightings/{id}")).await;
    assert!(
        page.text().contains("1500 of 2016 bytes"),
        "{}",
        page.text()
    );
    // A late chunk is answered, too.
    boat.send(&bytes(wanted.id, &content, 0, 1500)).await;
    assert_eq!(boat.command().await.unwrap().files[0].received, Some(has));
    // The broker retains it for a boat that connects later.
    drop(boat);
    let mut boat = FileBoat::connect_to(&station).await;
    assert_eq!(boat.command().await.unwrap().files[0].received, Some(has));
    boat.send(&bytes(wanted.id, &content, 1500, 1500)).await;
    assert_eq!(boat.command().await, None);

    let requests = get(http, "/api/v1/requests").await.json();
    assert_eq!(
        (&requests[0]["progress"], &requests[0]["received_bytes"]),
        (&"complete".into(), &2016.into())
    );
    let path = requests[0]["path"].as_str().unwrap();
    let of_sighting = get(http, &format!("/api/v1/sightings/{id}")).await.json();
    assert_eq!(of_sighting["file_requests"], requests);
    let page = get(http, &format!("/sightings/{id}")).await;
    assert!(page.text().contains(&format!("href=\"{path}\"")));
    let downloaded = get(http, path).await;
    assert_eq!(downloaded.status, 200);
    assert!(downloaded.body == content, "another content");
    let disposition = downloaded.header("content-disposition").unwrap();
    assert!(disposition.contains(&format!("{id}-clip.avi")));
    assert_eq!(get(http, &format!("/files/{id}")).await.status, 404);
    let listed = run_ok(&["requests"], data.path()).await;
    assert!(listed.contains("2016 of 2016"), "{listed}");
    station.shutdown().await;
}

/// A recording as a boat makes it, with more than one expects.
fn recording(jpeg: &[u8]) -> Vec<u8> {
    let mut archive = tar::Builder::new(vec![]);
    for (name, content) in [
        ("encounter.json", &b"{}"[..]),
        ("crop-1.jpg", jpeg),
        ("crop-2.jpg", b"no picture"),
        ("other.html", b"<script>"),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, content).unwrap();
    }
    archive.into_inner().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn crops_are_shown_once_they_have_arrived() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (sighting, picture) = sample::sighting("balaena", 1);
    let mut sender = Boat::connect_to(&station, "balaena").await;
    sender.send_sighting(&sighting).await;
    sender.expect_acks(1).await;
    request_over_the_command_line(data.path(), sighting.id, "--crops").await;
    let mut boat = FileBoat::connect_to(&station).await;
    let wanted = boat.command().await.unwrap().files.remove(0);
    assert_eq!(wanted.file, EncounterFile::Crops);
    let content = recording(&picture.jpeg);
    boat.send(&bytes(wanted.id, &content, 0, content.len()))
        .await;
    assert_eq!(boat.command().await, None);

    let http = station.http_address();
    let page = get(http, &format!("/sightings/{}", sighting.id)).await;
    let crop = format!("/files/{}/crop-1.jpg", wanted.id);
    assert!(page.text().contains(&crop));
    let shown = get(http, &crop).await;
    assert!(shown.status == 200 && shown.body == picture.jpeg);
    for path in ["crop-2.jpg", "crop-3.jpg", "other.html", "encounter.json"] {
        let path = format!("/files/{}/{path}", wanted.id);
        assert_eq!(get(http, &path).await.status, 404, "{path}");
    }
    station.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_boat_cannot_send_has_its_reason() {
    let data = tempfile::tempdir().unwrap();
    let station = start_station(data.path()).await;
    let (sighting, _) = sample::sighting("balaena", 1);
    let mut sender = Boat::connect_to(&station, "balaena").await;
    sender.send_sighting(&sighting).await;
    sender.expect_acks(1).await;
    let unknown = Uuid::from_u128(5).to_string();
    let arguments = ["request", "--boat", "balaena", &unknown, "--clip"];
    let output = run(&arguments, data.path()).await;
    assert_eq!(output.status.code(), Some(1));
    request_over_the_command_line(data.path(), sighting.id, "--clip").await;
    let mut boat = FileBoat::connect_to(&station).await;
    let wanted = boat.command().await.unwrap().files.remove(0);
    boat.send(&Chunk {
        boat: balaena(),
        request: wanted.id,
        content: ChunkContent::Unavailable(UnavailableReason::Deleted),
    })
    .await;
    assert_eq!(boat.command().await, None);
    let path = format!("/sightings/{}", sighting.id);
    let page = get(station.http_address(), &path).await;
    assert!(page.text().contains("deleted aboard"));
    let listed = run_ok(&["requests"], data.path()).await;
    assert!(listed.contains("unavailable  deleted aboard"), "{listed}");

    // A person cancels the next one.
    request_over_the_command_line(data.path(), sighting.id, "--crops").await;
    let wanted = boat.command().await.unwrap().files.remove(0);
    boat.send(&bytes(wanted.id, &[1; 100], 0, 50)).await;
    wait_until("some of it is here", || files(data.path()).len() == 1).await;
    assert!(boat.command().await.is_some());
    let id = wanted.id.to_string();
    run_ok(&["requests", "--cancel", &id], data.path()).await;
    assert_eq!(boat.command().await, None);
    assert_eq!(files(data.path()), [""; 0]);
    let output = run(&["requests", "--cancel", &id], data.path()).await;
    assert_eq!(output.status.code(), Some(1));
    station.shutdown().await;
}
