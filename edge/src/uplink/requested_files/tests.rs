use super::*;
use crate::outbox::Outbox;
use crate::sample;
use proptest::prelude::*;
use tokio::time::advance;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(60);
const CHUNK: u32 = 500;
const NOTHING: [u64; 0] = [];

/// A recording aboard, and what it is.
struct Aboard {
    _folder: tempfile::TempDir,
    queue: Queue,
    sighting: Uuid,
    content: Vec<u8>,
}

fn aboard() -> Aboard {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox =
        Outbox::open(folder.path(), &sample::boat(), 1 << 30, sample::epoch()).unwrap();
    let (recording, jpeg) = sample::recording(1);
    let sighting = recording.sighting.id;
    outbox
        .record(&recording, &jpeg, sample::taken(), Timestamp(0))
        .unwrap();
    let path = folder.path().join("recordings");
    let content = std::fs::read(path.join(format!("{sighting}.tar"))).unwrap();
    assert!(content.len() > 9 * CHUNK as usize, "{}", content.len());
    Aboard {
        queue: outbox.queue().unwrap(),
        _folder: folder,
        sighting,
        content,
    }
}

impl Aboard {
    fn requested(&self, received: Option<u64>) -> RequestedFile {
        RequestedFile {
            id: Uuid::from_u128(7),
            sighting: self.sighting,
            file: EncounterFile::Crops,
            received: received.map(|bytes| ReceivedBytes {
                content: ContentId::of(&self.content),
                bytes,
            }),
            max_bytes: 1 << 30,
            expires: Timestamp(1 << 40),
            over_any_link: false,
        }
    }

    /// What is sent now.
    fn sent(&self, files: &mut RequestedFiles) -> Vec<Chunk> {
        let mut sent = vec![];
        while let Some((index, bytes)) = files.next(TIMEOUT, |_| CHUNK) {
            let chunk = files.chunk(index, bytes, &self.queue).unwrap();
            let Some(chunk) = chunk else {
                break;
            };
            files.sent(&chunk);
            sent.push(wire::decode(&chunk.message).unwrap());
        }
        sent
    }

    /// Where the chunks begin that are sent now.
    fn offsets(&self, files: &mut RequestedFiles) -> Vec<u64> {
        let offset = |chunk: Chunk| match chunk.content {
            ChunkContent::Bytes { offset, .. } => offset,
            ChunkContent::Unavailable(reason) => panic!("{reason}"),
        };
        self.sent(files).into_iter().map(offset).collect()
    }
}

fn command(issued: i64, files: Vec<RequestedFile>) -> Command {
    Command {
        boat: sample::boat(),
        issued: Timestamp(issued),
        files,
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_of_chunks_is_sent_and_moves_on() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    assert_eq!(aboard.offsets(&mut files), NOTHING);
    files.replace(command(1, vec![aboard.requested(None)]));
    assert_eq!(aboard.offsets(&mut files), [0, 500, 1000, 1500]);
    assert_eq!(aboard.offsets(&mut files), NOTHING);
    files.replace(command(2, vec![aboard.requested(Some(1000))]));
    assert_eq!(aboard.offsets(&mut files), [2000, 2500]);
    // What shore does not acknowledge is sent again, ever more rarely.
    for seconds in [60, 120, 240] {
        advance(Duration::from_secs(seconds - 1)).await;
        assert_eq!(aboard.offsets(&mut files), NOTHING);
        advance(Duration::from_secs(1)).await;
        assert_eq!(aboard.offsets(&mut files), [1000, 1500, 2000, 2500]);
    }
    let end = aboard.content.len() as u64;
    files.replace(command(3, vec![aboard.requested(Some(end - 600))]));
    assert_eq!(aboard.offsets(&mut files), [end - 600, end - 100]);
    advance(TIMEOUT).await;
    assert_eq!(aboard.offsets(&mut files), [end - 600, end - 100]);
    files.replace(command(4, vec![]));
    advance(TIMEOUT * 99).await;
    assert_eq!(aboard.offsets(&mut files), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn a_new_connection_continues_where_shore_says() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    files.replace(command(1, vec![aboard.requested(None)]));
    aboard.sent(&mut files);
    files.disconnected();
    assert_eq!(
        aboard.offsets(&mut files),
        NOTHING,
        "what shore has is unknown"
    );
    files.replace(command(2, vec![aboard.requested(Some(1000))]));
    assert_eq!(aboard.offsets(&mut files), [1000, 1500, 2000, 2500]);
    // A restart knows nothing else.
    let mut files = RequestedFiles::default();
    files.replace(command(3, vec![aboard.requested(Some(2500))]));
    assert_eq!(aboard.offsets(&mut files)[0], 2500);
    // Shore has lost what it had, or has bytes of another file.
    files.replace(command(4, vec![aboard.requested(None)]));
    assert_eq!(aboard.offsets(&mut files)[0], 0);
    let mut other = aboard.requested(Some(2500));
    other.received.as_mut().unwrap().content = ContentId::of(b"other");
    files.replace(command(5, vec![other]));
    advance(TIMEOUT).await;
    assert_eq!(aboard.offsets(&mut files)[0], 0);
}

#[test]
fn commands_have_an_order() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    let first = command(5, vec![aboard.requested(None)]);
    assert!(!files.is_outdated(&first) && files.differ_from(&first.files));
    files.replace(first.clone());
    assert!(!files.is_outdated(&first) && !files.differ_from(&first.files));
    assert!(files.is_outdated(&command(4, vec![])));
    assert!(!files.differ_from(&[aboard.requested(Some(9))]));
    assert!(files.differ_from(&[]));
}

#[test]
fn nothing_is_sent_that_the_link_does_not_carry() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    files.replace(command(1, vec![aboard.requested(None)]));
    assert_eq!(files.next(TIMEOUT, |_| 0), None);
    assert_eq!(files.next(TIMEOUT, |_| u32::MAX), Some((0, MAX_CHUNK)));
}

#[test]
fn crops_go_before_clips() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    let clip = RequestedFile {
        id: Uuid::from_u128(1),
        file: EncounterFile::Clip,
        ..aboard.requested(None)
    };
    let later = RequestedFile {
        id: Uuid::from_u128(9),
        ..aboard.requested(None)
    };
    files.replace(command(1, vec![clip, aboard.requested(None), later]));
    assert_eq!(files.next(TIMEOUT, |_| CHUNK), Some((1, CHUNK)));
    let sent = aboard.sent(&mut files);
    assert_eq!(sent.len(), 4, "one file at a time");
    assert!(sent.iter().all(|chunk| chunk.request == Uuid::from_u128(7)));
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_sent_is_reported_once() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    let total = aboard.content.len() as u64;
    let too_large = RequestedFile {
        max_bytes: total - 1,
        ..aboard.requested(None)
    };
    files.replace(command(1, vec![too_large]));
    let reason = UnavailableReason::TooLarge { bytes: total };
    let expected = ChunkContent::Unavailable(reason);
    let sent = aboard.sent(&mut files);
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].content, expected);
    advance(TIMEOUT).await;
    assert_eq!(aboard.sent(&mut files)[0].content, expected, "not answered");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_disappears_is_reported() {
    let aboard = aboard();
    let mut files = RequestedFiles::default();
    files.replace(command(1, vec![aboard.requested(None)]));
    assert_eq!(aboard.offsets(&mut files).len(), 4);
    let path = aboard
        .queue
        .requested_path(aboard.sighting, EncounterFile::Crops);
    std::fs::remove_file(path.unwrap().unwrap()).unwrap();
    files.replace(command(2, vec![aboard.requested(Some(500))]));
    aboard.sent(&mut files);
    let expected = ChunkContent::Unavailable(UnavailableReason::NotRecorded);
    assert_eq!(aboard.sent(&mut files)[0].content, expected);
}

/// What happens to a message.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Arrives,
    Twice,
    Lost,
    /// It arrives after what is sent later.
    Late,
}

fn fates() -> impl Strategy<Value = Vec<(Fate, bool, bool)>> {
    let fate = prop_oneof![
        3 => Just(Fate::Arrives),
        1 => Just(Fate::Twice),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Late),
    ];
    // Whether the answer is lost, and whether the connection ends.
    let ends = prop_oneof![9 => Just(false), 1 => Just(true)];
    proptest::collection::vec((fate, any::<bool>(), ends), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a link does, shore gets the bytes in their order, and never again what it has said it has.
    #[test]
    fn a_file_arrives_whatever_the_link_does(fates in fates()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let aboard = aboard();
            let mut files = RequestedFiles::default();
            let mut received: Vec<u8> = vec![];
            let mut fates = fates.into_iter();
            let mut late: Vec<Chunk> = vec![];
            let mut issued = 1;
            let mut known = 0;
            files.replace(command(issued, vec![aboard.requested(None)]));
            for _ in 0..5000 {
                if received == aboard.content {
                    return;
                }
                let mut arriving = std::mem::take(&mut late);
                let mut is_answered = true;
                for chunk in aboard.sent(&mut files) {
                    let ChunkContent::Bytes { offset, .. } = chunk.content else {
                        panic!("unavailable");
                    };
                    assert!(offset >= known, "shore has {known} and gets {offset}");
                    let (fate, answered, ends) = fates.next().unwrap_or((Fate::Arrives, true, false));
                    is_answered = answered;
                    match fate {
                        Fate::Arrives => arriving.push(chunk),
                        Fate::Twice => arriving.extend([chunk.clone(), chunk]),
                        Fate::Lost => {}
                        Fate::Late => late.push(chunk),
                    }
                    if ends {
                        files.disconnected();
                        break;
                    }
                }
                for chunk in arriving {
                    assert_eq!(chunk.validate(), Ok(()));
                    if let ChunkContent::Bytes { offset, bytes, total, file } = chunk.content {
                        assert_eq!(total, aboard.content.len() as u64);
                        assert_eq!(file, ContentId::of(&aboard.content));
                        if offset == received.len() as u64 {
                            received.extend(bytes);
                        }
                    }
                }
                if is_answered {
                    issued += 1;
                    known = received.len() as u64;
                    files.replace(command(issued, vec![aboard.requested(Some(known))]));
                }
                advance(TIMEOUT).await;
            }
            panic!("{} of {} bytes arrived", received.len(), aboard.content.len());
        });
    }
}
