//! How much shore has of the pictures that are sent in parts, and what of them is sent next.
//!
//! It is known in memory only, across connections. After a restart a picture begins at 0, and shore answers with what
//! it has. Of each picture one part is in flight at a time.

use crate::outbox::Key;
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::message_digest::MessageDigest;
use flukewatch_common::picture_part::{PART_OVERHEAD, PicturePart};
use flukewatch_common::sighting::{MessageKind, Picture};
use std::collections::HashMap;

/// How many pictures are remembered, with their content: more than can be in flight at a time. Each has at most 256 KiB.
const MAX_PICTURES: usize = 64;
/// After so many answers that take a picture back it is sent whole: e.g. several stations of a group may each have other
/// parts of it.
const MAX_SETBACKS: u32 = 2;
/// What a station that knows no parts says of one.
const WRONG_KIND: &str = "wrong_kind:";

/// The next message of a picture, or any other message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlannedMessage {
    /// [`MessageKind::PicturePart`] where only a part of the picture is sent.
    pub(super) kind: MessageKind,
    /// Its size in bytes, approximately.
    pub(super) bytes: u64,
}

/// A picture, read from the outbox and verified.
pub(super) struct PictureContent {
    pub(super) picture: Picture,
    pub(super) file: ContentId,
    /// The size of its message in the outbox.
    pub(super) size: u64,
}

/// The pictures that are sent in parts.
pub(super) struct PictureProgress {
    pictures: HashMap<Key, OutgoingPicture>,
    /// Whether the station reads parts, as far as this connection knows.
    station_reads_parts: bool,
    uses: u64,
}

/// A picture that has begun.
struct OutgoingPicture {
    /// `None` where it is sent whole.
    content: Option<(Picture, ContentId)>,
    size: u64,
    /// The bytes that shore has.
    received: u32,
    /// How often shore's answer took it back.
    setbacks: u32,
    /// The digest of the latest part.
    latest: Option<MessageDigest>,
    /// Parts that shore has answered before the broker accepted them.
    unaccepted: u32,
    /// When it was last used.
    used: u64,
}

impl Default for PictureProgress {
    fn default() -> Self {
        Self {
            pictures: HashMap::new(),
            station_reads_parts: true,
            uses: 0,
        }
    }
}

impl PictureProgress {
    /// The connection ended: another one may lead to another station, and the broker accepts nothing more of it.
    pub(super) fn disconnected(&mut self) {
        self.station_reads_parts = true;
        for picture in self.pictures.values_mut() {
            picture.unaccepted = 0;
        }
    }

    /// Whether the station reads parts, as far as this connection knows.
    pub(super) fn station_reads_parts(&self) -> bool {
        self.station_reads_parts
    }

    /// What is sent next of the message `key` of `bytes`, in parts of `piece` bytes.
    pub(super) fn plan(&self, key: &Key, bytes: u64, piece: u32) -> PlannedMessage {
        let whole = |bytes| PlannedMessage {
            kind: key.part,
            bytes,
        };
        let part = |bytes| PlannedMessage {
            kind: MessageKind::PicturePart,
            bytes: bytes + PART_OVERHEAD,
        };
        let piece = u64::from(piece);
        if key.part != MessageKind::Picture {
            return whole(bytes);
        }
        match self.pictures.get(key) {
            Some(picture) if !self.station_reads_parts || picture.content.is_none() => {
                whole(picture.size)
            }
            Some(picture) if picture.received == 0 && picture.size <= piece => whole(picture.size),
            Some(picture) => part(piece.min(picture.left())),
            None if bytes > piece && self.station_reads_parts => part(piece),
            None => whole(bytes),
        }
    }

    /// The size in the outbox of a picture whose content is in memory.
    pub(super) fn known_size(&self, key: &Key) -> Option<u64> {
        let picture = self.pictures.get(key)?;
        picture.content.as_ref().map(|_| picture.size)
    }

    /// The pictures that are sent whole and are larger than `max_bytes`.
    pub(super) fn whole_above(&self, max_bytes: u64) -> impl Iterator<Item = Key> {
        let larger = move |p: &OutgoingPicture| p.content.is_none() && p.size > max_bytes;
        let whole = self.pictures.iter().filter(move |(_, p)| larger(p));
        whole.map(|(key, _)| *key)
    }

    /// Begins a picture, in place of another content of `key`.
    pub(super) fn begin(&mut self, key: Key, content: PictureContent) {
        let least_used = |pictures: &HashMap<Key, OutgoingPicture>| {
            let first = pictures.iter().min_by_key(|(_, picture)| picture.used);
            first.map(|(key, _)| *key)
        };
        if self.pictures.len() >= MAX_PICTURES
            && let Some(key) = least_used(&self.pictures)
        {
            self.pictures.remove(&key);
        }
        let picture = OutgoingPicture {
            content: Some((content.picture, content.file)),
            size: content.size,
            received: 0,
            setbacks: 0,
            latest: None,
            unaccepted: 0,
            used: self.uses,
        };
        self.pictures.insert(key, picture);
    }

    /// The next part of a picture that has begun, of at most `max_bytes`; `None` where it has none.
    pub(super) fn next_part(&mut self, key: &Key, max_bytes: u32) -> Option<PicturePart> {
        self.uses += 1;
        let picture = self.pictures.get_mut(key)?;
        picture.used = self.uses;
        let (content, file) = picture.content.as_ref()?;
        PicturePart::of(content, *file, picture.received, max_bytes)
    }

    /// A part was sent.
    pub(super) fn sent(&mut self, key: &Key, part: MessageDigest) {
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.latest = Some(part);
        }
    }

    /// The digest of the latest part of a picture.
    pub(super) fn latest(&self, key: &Key) -> Option<MessageDigest> {
        self.pictures.get(key)?.latest
    }

    /// Whether the broker's acceptance is of a part that shore has answered already.
    pub(super) fn is_late_acceptance(&mut self, key: &Key) -> bool {
        let picture = self.pictures.get_mut(key);
        picture.is_some_and(|picture| {
            let is_late = picture.unaccepted > 0;
            picture.unaccepted -= u32::from(is_late);
            is_late
        })
    }

    /// Shore has answered the part in flight: it has the first `received` bytes. `was_accepted` says whether the broker
    /// had accepted the part.
    pub(super) fn answered(&mut self, key: &Key, received: u32, was_accepted: bool) {
        let Some(picture) = self.pictures.get_mut(key) else {
            return;
        };
        picture.unaccepted += u32::from(!was_accepted);
        if received > picture.received && u64::from(received) < picture.total() {
            picture.received = received;
            return;
        }
        picture.setbacks += 1;
        let has_some = u64::from(received) < picture.total();
        picture.received = if has_some { received } else { 0 };
        tracing::debug!(sighting = %key.sighting, received, "shore has less of a picture than before");
        if picture.setbacks >= MAX_SETBACKS {
            self.send_whole(key);
        }
    }

    /// Shore rejects the part in flight, for this reason.
    pub(super) fn rejected(&mut self, key: &Key, reason: &str, was_accepted: bool) {
        if let Some(picture) = self.pictures.get_mut(key) {
            picture.unaccepted += u32::from(!was_accepted);
        }
        if reason.starts_with(WRONG_KIND) {
            if self.station_reads_parts {
                tracing::info!("the station reads no parts of pictures; sending them whole");
            }
            self.station_reads_parts = false;
        } else {
            self.send_whole(key);
        }
    }

    /// Sends a picture whole from now on.
    pub(super) fn send_whole(&mut self, key: &Key) {
        if let Some(picture) = self.pictures.get_mut(key) {
            tracing::info!(sighting = %key.sighting, "sending a picture whole; shore does not take its parts");
            (picture.content, picture.received) = (None, 0);
        }
    }

    /// The picture is not pending any more, or in another form.
    pub(super) fn forget(&mut self, key: &Key) {
        self.pictures.remove(key);
    }
}

impl OutgoingPicture {
    /// The size of the file in bytes.
    fn total(&self) -> u64 {
        let content = self.content.as_ref();
        content.map_or(0, |(picture, _)| picture.jpeg.len() as u64)
    }

    /// The bytes that shore does not have.
    fn left(&self) -> u64 {
        self.total().saturating_sub(u64::from(self.received))
    }
}

#[cfg(test)]
mod tests;
