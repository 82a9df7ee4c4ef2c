//! The files that shore has requested, and which bytes of them are sent next.
//!
//! Each [`Command`] says how much of each file shore has. What is sent beyond that is known in memory only: where
//! shore does not acknowledge it in time, or the connection ends, it is sent again from there. Files are read chunk by
//! chunk; none is in memory as a whole.

use crate::outbox::{OutboxError, Queue};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{
    Chunk, ChunkContent, Command, EncounterFile, MAX_CHUNK, ReceivedBytes, RequestedFile,
    UnavailableReason,
};
use flukewatch_common::wire;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// Chunks of a file that shore need not have acknowledged.
const WINDOW: u64 = 4;
/// The bytes of a file that are hashed at a time, so that messages need not wait for it.
const HASH_STEP: u64 = 32 << 20;
/// While shore acknowledges nothing, the timeout doubles up to this many times.
const MAX_TIMEOUT_FACTOR: u32 = 16;

/// The requested files.
#[derive(Default)]
pub(super) struct RequestedFiles {
    /// When the latest command was made.
    issued: Option<Timestamp>,
    /// Whether a command has arrived on this connection.
    is_current: bool,
    files: Vec<OutgoingFile>,
}

/// A requested file, and how far it is.
struct OutgoingFile {
    request: RequestedFile,
    source: Source,
    /// Up to which byte it was sent.
    sent: u64,
    /// When shore last acknowledged something of it, or the first chunk after that was sent.
    since: Option<Instant>,
    timeout_factor: u32,
}

/// What is known of a file.
enum Source {
    /// Nothing yet.
    Unknown,
    /// Where it is; so much of it is hashed.
    Hashing {
        path: PathBuf,
        hasher: Sha256,
        hashed: u64,
        total: u64,
    },
    /// Its content.
    Known {
        path: PathBuf,
        content: ContentId,
        total: u64,
    },
    Unavailable(UnavailableReason),
}

/// A message with a chunk.
pub(super) struct OutgoingChunk {
    pub(super) message: Vec<u8>,
    index: usize,
    /// Up to which byte the file is sent with it.
    end: u64,
}

impl RequestedFiles {
    /// Whether `command` was made before the latest one.
    pub(super) fn is_outdated(&self, command: &Command) -> bool {
        self.issued > Some(command.issued)
    }

    /// Whether other files are requested than those of `files`, or none was received since the start.
    pub(super) fn differ_from(&self, files: &[RequestedFile]) -> bool {
        let same = |(one, other): (&OutgoingFile, &RequestedFile)| one.request.id == other.id;
        self.issued.is_none()
            || self.files.len() != files.len()
            || !self.files.iter().zip(files).all(same)
    }

    /// The files of a command that is not outdated.
    pub(super) fn replace(&mut self, command: Command) {
        self.issued = Some(command.issued);
        self.is_current = true;
        let mut before = std::mem::take(&mut self.files);
        for request in command.files {
            let known = before.iter().position(|f| f.request.id == request.id);
            let file = match known.map(|index| before.swap_remove(index)) {
                Some(mut file) => {
                    file.acknowledge(request);
                    file
                }
                None => {
                    let RequestedFile { sighting, file, .. } = &request;
                    tracing::info!(%sighting, file = file.as_str(), "file requested by shore");
                    OutgoingFile::new(request)
                }
            };
            self.files.push(file);
        }
        for ended in before {
            ended.log_end();
        }
    }

    /// Nothing is requested any more.
    pub(super) fn clear(&mut self) {
        for ended in self.files.drain(..) {
            ended.log_end();
        }
    }

    /// The connection ended: what shore has not acknowledged may be lost, and what it wants it says again.
    pub(super) fn disconnected(&mut self) {
        self.is_current = false;
        for file in &mut self.files {
            file.rewind();
            file.timeout_factor = 1;
        }
    }

    /// Which file to send from, and how many bytes at most: crops before clips, then in the order of the command.
    /// `chunk_bytes` says how many the link carries now.
    pub(super) fn next(
        &mut self,
        timeout: Duration,
        chunk_bytes: impl Fn(&RequestedFile) -> u32,
    ) -> Option<(usize, u32)> {
        if !self.is_current {
            return None;
        }
        for of in [EncounterFile::Crops, EncounterFile::Clip] {
            for (index, file) in self.files.iter_mut().enumerate() {
                let bytes = chunk_bytes(&file.request).min(MAX_CHUNK);
                if file.request.file != of || bytes == 0 {
                    continue;
                }
                file.expire(timeout);
                if file.may_send(bytes) {
                    return Some((index, bytes));
                }
                // One file at a time: all of them together would delay the next sighting.
                if file.is_half_sent() {
                    return None;
                }
            }
        }
        None
    }

    /// The next chunk of the file at `index`, of at most `max_bytes`; `None` while the file is still examined. It
    /// blocks.
    ///
    /// # Errors
    /// When the outbox fails.
    pub(super) fn chunk(
        &mut self,
        index: usize,
        max_bytes: u32,
        queue: &Queue,
    ) -> Result<Option<OutgoingChunk>, OutboxError> {
        let Some(file) = self.files.get_mut(index) else {
            return Ok(None);
        };
        file.examine(queue)?;
        let (content, end) = match &file.source {
            Source::Unknown | Source::Hashing { .. } => return Ok(None),
            Source::Unavailable(reason) => (ChunkContent::Unavailable(*reason), 0),
            Source::Known {
                path,
                content,
                total,
            } => match read_chunk(path, file.sent, *total, max_bytes) {
                Ok(bytes) => {
                    let end = file.sent + bytes.len() as u64;
                    let content = ChunkContent::Bytes {
                        file: *content,
                        total: *total,
                        offset: file.sent,
                        bytes,
                    };
                    (content, end)
                }
                Err(error) => {
                    file.fail(&error);
                    return Ok(None);
                }
            },
        };
        let chunk = Chunk {
            boat: queue.boat().clone(),
            request: file.request.id,
            content,
        };
        Ok(Some(OutgoingChunk {
            message: wire::encode(&chunk)?,
            index,
            end,
        }))
    }

    /// A chunk was sent.
    pub(super) fn sent(&mut self, chunk: &OutgoingChunk) {
        if let Some(file) = self.files.get_mut(chunk.index) {
            file.sent = chunk.end;
            file.since.get_or_insert_with(Instant::now);
        }
    }
}

impl OutgoingFile {
    fn new(request: RequestedFile) -> Self {
        Self {
            request,
            source: Source::Unknown,
            sent: 0,
            since: None,
            timeout_factor: 1,
        }
    }

    /// The bytes that shore has.
    fn acknowledged(&self) -> u64 {
        match (&self.source, &self.request.received) {
            (Source::Known { content, total, .. }, Some(received))
                if received.content == *content =>
            {
                received.bytes.min(*total)
            }
            _ => 0,
        }
    }

    /// Shore repeats its request, with what it has.
    fn acknowledge(&mut self, request: RequestedFile) {
        let before = self.acknowledged();
        self.request = request;
        let acknowledged = self.acknowledged();
        if acknowledged < before {
            // Shore has lost it.
            self.rewind();
        }
        if acknowledged > before {
            self.timeout_factor = 1;
            self.sent = self.sent.max(acknowledged);
            self.since = (self.sent > acknowledged).then(Instant::now);
        }
    }

    /// Continues after what shore has.
    fn rewind(&mut self) {
        self.sent = self.acknowledged();
        self.since = None;
    }

    /// Sends again what shore has not acknowledged in time.
    fn expire(&mut self, timeout: Duration) {
        let timeout = timeout * self.timeout_factor;
        if self.since.is_some_and(|since| since.elapsed() >= timeout) {
            self.rewind();
            self.timeout_factor = (self.timeout_factor * 2).min(MAX_TIMEOUT_FACTOR);
        }
    }

    /// Whether there is something to do, with chunks of `bytes`.
    fn may_send(&self, bytes: u32) -> bool {
        match &self.source {
            Source::Unknown | Source::Hashing { .. } => true,
            Source::Unavailable(_) => self.since.is_none(),
            Source::Known { total, .. } => {
                let unacknowledged = self.sent.saturating_sub(self.acknowledged());
                self.sent < *total && unacknowledged < WINDOW * u64::from(bytes)
            }
        }
    }

    /// Whether there is more of it to send, once shore has acknowledged some.
    fn is_half_sent(&self) -> bool {
        matches!(self.source, Source::Known { total, .. } if self.sent < total)
    }

    /// Finds out what the file is, or does some of that.
    fn examine(&mut self, queue: &Queue) -> Result<(), OutboxError> {
        if let Source::Unknown = self.source {
            let path = queue.requested_path(self.request.sighting, self.request.file)?;
            self.source = match path {
                Err(reason) => Source::Unavailable(reason),
                Ok(path) => match std::fs::metadata(&path).map(|found| found.len()) {
                    Ok(bytes) if bytes > self.request.max_bytes => {
                        Source::Unavailable(UnavailableReason::TooLarge { bytes })
                    }
                    Ok(0) | Err(_) => Source::Unavailable(UnavailableReason::Unreadable),
                    Ok(total) => Source::Hashing {
                        path,
                        hasher: Sha256::new(),
                        hashed: 0,
                        total,
                    },
                },
            };
        }
        let Source::Hashing {
            path,
            hasher,
            hashed,
            total,
        } = &mut self.source
        else {
            return Ok(());
        };
        match hash_step(path, hasher, *hashed) {
            Ok(bytes) => *hashed += bytes,
            Err(error) => {
                self.fail(&error);
                return Ok(());
            }
        }
        if *hashed >= *total {
            let digest: [u8; 32] = std::mem::take(hasher).finalize().into();
            self.source = Source::Known {
                content: ContentId::from(digest),
                total: *hashed,
                path: std::mem::take(path),
            };
            self.rewind();
        }
        Ok(())
    }

    /// The file cannot be read.
    fn fail(&mut self, error: &io::Error) {
        tracing::warn!(sighting = %self.request.sighting, %error, "cannot read a requested file");
        self.source = match error.kind() {
            // Deleted, or replaced: that is found out again.
            ErrorKind::NotFound | ErrorKind::UnexpectedEof => Source::Unknown,
            _ => Source::Unavailable(UnavailableReason::Unreadable),
        };
        self.rewind();
    }

    fn log_end(&self) {
        let RequestedFile { sighting, file, .. } = &self.request;
        let received = self.request.received.map_or(0, |r: ReceivedBytes| r.bytes);
        tracing::info!(%sighting, file = file.as_str(), received, "request of a file ended");
    }
}

/// Hashes some bytes of a file from `offset` on. Returns how many; not 0.
fn hash_step(path: &Path, hasher: &mut Sha256, offset: u64) -> io::Result<u64> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut buffer = vec![0; MAX_CHUNK as usize];
    let mut hashed = 0;
    while hashed < HASH_STEP {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        hashed += read as u64;
    }
    if hashed == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(hashed)
}

/// At most `max_bytes` of a file of `total` bytes from `offset` on.
fn read_chunk(path: &Path, offset: u64, total: u64, max_bytes: u32) -> io::Result<Vec<u8>> {
    let left = total.saturating_sub(offset);
    let bytes = usize::try_from(left.min(u64::from(max_bytes))).unwrap_or(0);
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(offset))?;
    let mut chunk = vec![0; bytes];
    file.read_exact(&mut chunk)?;
    Ok(chunk)
}

#[cfg(test)]
mod tests;
