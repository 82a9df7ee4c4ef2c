//! What of a message is sent next, and its content.

use super::{UploadError, Uploader};
use crate::outbox::{Key, Load, OutboxError, Queue};
use crate::uplink::link::Uplink;
use crate::uplink::picture_progress::{PictureContent, PlannedMessage};
use flukewatch_common::bundle_transfer::ContentId;
use flukewatch_common::clock::Timestamp;
use flukewatch_common::sighting::{MessageKind, Picture};
use flukewatch_common::wire;

/// A message to send.
pub(super) struct LoadedMessage {
    /// [`MessageKind::PicturePart`] where it is a part of a picture.
    pub(super) kind: MessageKind,
    pub(super) bytes: Vec<u8>,
}

/// What the outbox has of a message.
enum Content {
    Whole(Vec<u8>),
    /// To be sent in parts.
    Picture(Box<PictureContent>),
    /// To be sent in parts, and in memory already.
    Known,
    /// It is acknowledged already, or has become a dead letter.
    NotPending,
}

impl<U: Uplink> Uploader<U> {
    /// What is sent next of a message of `bytes`.
    pub(super) fn plan(&self, key: &Key, bytes: u64) -> PlannedMessage {
        let piece = self.meter.profile().piece_bytes;
        self.pictures.plan(key, bytes, piece)
    }

    /// The message that is planned, or the whole one where that is small; `None` where it is not pending, or has to be
    /// planned again.
    pub(super) async fn load(
        &mut self,
        key: Key,
        planned: PlannedMessage,
    ) -> Result<Option<LoadedMessage>, UploadError> {
        let piece = self.meter.profile().piece_bytes;
        let in_parts = planned.kind == MessageKind::PicturePart;
        let known = self.pictures.known_size(&key);
        let now = self.clock.now();
        let content = self
            .with_queue(move |queue| {
                if in_parts && known.is_some() && queue.pending_size(key)? == known {
                    return Ok(Content::Known);
                }
                load(queue, key, in_parts.then_some(piece), now)
            })
            .await?;
        match content {
            Content::Whole(bytes) => {
                if in_parts {
                    self.pictures.forget(&key);
                }
                return Ok(Some(LoadedMessage {
                    kind: key.part,
                    bytes,
                }));
            }
            Content::Picture(content) => self.pictures.begin(key, *content),
            Content::Known => {}
            Content::NotPending => {
                self.suspects.forget(&key);
                self.pictures.forget(&key);
                return Ok(None);
            }
        }
        let Some(part) = self.pictures.next_part(&key, piece) else {
            self.pictures.send_whole(&key);
            return Ok(None);
        };
        let bytes = wire::encode(&part).map_err(OutboxError::from)?;
        Ok(Some(LoadedMessage {
            kind: MessageKind::PicturePart,
            bytes,
        }))
    }
}

/// Reads a message from the outbox; a picture whose message is larger than `piece` bytes, as one to be sent in parts.
fn load(
    queue: &mut Queue,
    key: Key,
    piece: Option<u32>,
    now: Timestamp,
) -> Result<Content, OutboxError> {
    let message = match queue.load(key)? {
        Load::Message(message) => message,
        Load::AlreadyAcknowledged => return Ok(Content::NotPending),
        Load::Unsendable(reason) => {
            queue.move_to_dead_letters(key, &reason, now)?;
            return Ok(Content::NotPending);
        }
    };
    if piece.is_none_or(|piece| message.len() as u64 <= u64::from(piece)) {
        return Ok(Content::Whole(message));
    }
    let Some(size) = queue.pending_size(key)? else {
        return Ok(Content::NotPending);
    };
    Ok(match wire::decode::<Picture>(&message) {
        Ok(picture) => Content::Picture(Box::new(PictureContent {
            file: ContentId::of(&picture.jpeg),
            picture,
            size,
        })),
        Err(_) => Content::Whole(message),
    })
}
