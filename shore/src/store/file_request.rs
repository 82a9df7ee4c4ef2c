//! A file of an encounter that a person has requested of a boat.

use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::file_transfer::{EncounterFile, ReceivedBytes, RequestedFile};
use flukewatch_common::sighting::BoatId;
use uuid::Uuid;

/// What all open requests of a boat may bring together, in bytes.
pub const MAX_OPEN_BYTES: u64 = 2 << 30;

/// How many requests are listed, the latest ones.
pub const MAX_LISTED_REQUESTS: usize = 1000;

/// A request as a person makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFileRequest {
    /// Its id.
    pub id: Uuid,
    /// The boat.
    pub boat: BoatId,
    /// The sighting.
    pub sighting: Uuid,
    /// Which file of its encounter.
    pub file: EncounterFile,
    /// The largest file that is taken, in bytes.
    pub max_bytes: u64,
    /// When the request ends.
    pub expires_at: Timestamp,
    /// Whether it is sent even over a link that carries only what is most important.
    pub over_any_link: bool,
}

/// What has become of a new request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestOutcome {
    /// It is open.
    Requested,
    /// The same file is requested already.
    AlreadyOpen(Uuid),
    /// The file is here already.
    AlreadyReceived(Uuid),
    /// The boat has too many open requests.
    TooManyOpen,
    /// The open requests of the boat may bring so many bytes already.
    TooManyBytes(u64),
}

/// How far a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestProgress {
    /// The boat has not sent all of the file yet.
    Open,
    /// The file is here, and is what the boat said it is.
    Complete,
    /// The boat cannot send it.
    Unavailable,
    /// What the boat sent is not a file that the request permits, or not the one that it announced.
    Failed,
    /// A person has cancelled it.
    Cancelled,
    /// It was not complete in time.
    Expired,
}

impl RequestProgress {
    const ALL: [Self; 6] = [
        Self::Open,
        Self::Complete,
        Self::Unavailable,
        Self::Failed,
        Self::Cancelled,
        Self::Expired,
    ];

    /// The name in database and API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Complete => "complete",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// The progress with this name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|progress| progress.as_str() == name)
    }
}

/// A request, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// What was requested.
    pub new: NewFileRequest,
    /// When.
    pub requested_at: Timestamp,
    /// How far it is.
    pub progress: RequestProgress,
    /// The file that the boat sends; `None` before its first chunk.
    pub content: Option<ContentId>,
    /// The size of that file in bytes.
    pub total: Option<u64>,
    /// The bytes that have arrived.
    pub received: u64,
    /// Why the file is missing, in one line.
    pub reason: Option<String>,
    /// When it ended; `None` while it is open.
    pub ended_at: Option<Timestamp>,
}

impl FileRequest {
    /// One that nothing has been received of.
    pub fn new(new: NewFileRequest, now: Timestamp) -> Self {
        Self {
            new,
            requested_at: now,
            progress: RequestProgress::Open,
            content: None,
            total: None,
            received: 0,
            reason: None,
            ended_at: None,
        }
    }

    /// Whether the boat is still to send something.
    pub fn is_open(&self) -> bool {
        self.progress == RequestProgress::Open
    }

    /// What the boat is asked for.
    pub fn to_boat(&self) -> RequestedFile {
        let bytes = self.received;
        RequestedFile {
            id: self.new.id,
            sighting: self.new.sighting,
            file: self.new.file,
            received: self.content.map(|content| ReceivedBytes { content, bytes }),
            max_bytes: self.new.max_bytes,
            expires: self.new.expires_at,
            over_any_link: self.new.over_any_link,
        }
    }

    /// Ends it.
    pub(super) fn end(
        &mut self,
        progress: RequestProgress,
        reason: Option<String>,
        now: Timestamp,
    ) {
        self.progress = progress;
        self.reason = reason;
        self.ended_at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_progress_has_a_name_of_its_own() {
        for progress in RequestProgress::ALL {
            assert_eq!(RequestProgress::parse(progress.as_str()), Some(progress));
        }
        assert_eq!(RequestProgress::parse("Open"), None);
    }
}
