//! Which pieces are requested, and when again.

use crate::time::MonotonicTimestamp;
use flukewatch_common::bundle_transfer::{ContentId, ContentPiece};
use std::time::Duration;

/// A piece that does not arrive within this time is requested again; the time doubles up to
/// [`MAX_TIMEOUT`] while none arrives.
const FIRST_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// A piece of a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) content: ContentId,
    pub(super) offset: u64,
    pub(super) bytes: u32,
}

/// How much is requested at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// The size of a piece.
    pub(super) piece_bytes: u32,
    /// Pieces on their way at the same time, so that a link with a long round trip is used.
    pub(super) window: usize,
}

/// The pieces that are on their way. They arrive in the order in which they were requested, or not at all.
#[derive(Debug)]
pub(super) struct Requests {
    pending: Vec<(Piece, MonotonicTimestamp)>,
    timeout: Duration,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            pending: vec![],
            timeout: FIRST_TIMEOUT,
        }
    }
}

impl Requests {
    /// Forgets what was requested, e.g. on a connection that ended.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Forgets what is on its way, to request it again.
    pub(super) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Whether `piece` was requested; it has arrived then. Pieces before it have got lost.
    pub(super) fn take(&mut self, piece: &ContentPiece) -> bool {
        let requested =
            |(p, _): &(Piece, _)| p.content == piece.content && p.offset == piece.offset;
        let Some(index) = self.pending.iter().position(requested) else {
            return false;
        };
        self.pending.drain(..=index);
        self.timeout = FIRST_TIMEOUT;
        true
    }

    /// The pieces to request now of a content of which `received` of `bytes` have arrived.
    pub(super) fn due(
        &mut self,
        content: ContentId,
        received: u64,
        bytes: u64,
        pace: Pace,
        now: MonotonicTimestamp,
    ) -> Vec<Piece> {
        let expired = |(_, at): &(Piece, MonotonicTimestamp)| now.since(*at) >= self.timeout;
        if self.pending.iter().any(expired) {
            // What follows a piece that got lost cannot be used.
            self.pending.clear();
            self.timeout = (self.timeout * 2).min(MAX_TIMEOUT);
        }
        self.pending.retain(|(piece, _)| piece.content == content);
        let mut due = vec![];
        let mut next = self
            .pending
            .last()
            .map_or(received, |(piece, _)| piece.offset + u64::from(piece.bytes));
        // A content without a single byte is one empty piece.
        let mut is_empty = bytes == 0 && self.pending.is_empty();
        while self.pending.len() < pace.window && (next < bytes || is_empty) {
            let left = u32::try_from(bytes - next).unwrap_or(u32::MAX);
            let piece = Piece {
                content,
                offset: next,
                bytes: left.min(pace.piece_bytes),
            };
            self.pending.push((piece, now));
            due.push(piece);
            next += u64::from(piece.bytes);
            is_empty = false;
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        piece_bytes: 10,
        window: 2,
    };

    fn content() -> ContentId {
        ContentId::of(b"part")
    }

    fn at(seconds: i64) -> MonotonicTimestamp {
        MonotonicTimestamp::from_millis(seconds * 1000)
    }

    /// Offsets and sizes that are due of 25 bytes.
    fn due(requests: &mut Requests, received: u64, seconds: i64) -> Vec<(u64, u32)> {
        let pieces = requests.due(content(), received, 25, PACE, at(seconds));
        pieces.into_iter().map(|p| (p.offset, p.bytes)).collect()
    }

    fn arrives(requests: &mut Requests, offset: u64) -> bool {
        requests.take(&ContentPiece {
            boat: "balaena".parse().unwrap(),
            content: content(),
            offset,
            piece: Some(vec![]),
        })
    }

    #[test]
    fn a_window_of_pieces_is_requested_and_moves_on() {
        let mut requests = Requests::default();
        assert_eq!(due(&mut requests, 0, 0), [(0, 10), (10, 10)]);
        assert_eq!(due(&mut requests, 0, 1), []);
        assert!(arrives(&mut requests, 0));
        assert!(!arrives(&mut requests, 0), "it arrived before");
        assert_eq!(due(&mut requests, 10, 1), [(20, 5)]);
        assert!(arrives(&mut requests, 10) && arrives(&mut requests, 20));
        assert_eq!(due(&mut requests, 25, 1), []);
    }

    #[test]
    fn lost_pieces_are_requested_again_ever_more_rarely() {
        let mut requests = Requests::default();
        let both = [(0, 10), (10, 10)];
        assert_eq!(due(&mut requests, 0, 0), both);
        for (before, then) in [(29, 30), (89, 90), (209, 210), (449, 450), (929, 930)] {
            assert_eq!(due(&mut requests, 0, before), []);
            assert_eq!(due(&mut requests, 0, then), both);
        }
        // Not longer than ten minutes.
        assert_eq!(due(&mut requests, 0, 1529), []);
        assert_eq!(due(&mut requests, 0, 1530), both);
        // One that arrives ends that.
        assert!(arrives(&mut requests, 0));
        assert_eq!(due(&mut requests, 10, 1531), [(20, 5)]);
        assert_eq!(due(&mut requests, 10, 1561), [(10, 10), (20, 5)]);
    }

    #[test]
    fn a_content_without_a_byte_is_one_empty_piece() {
        let mut requests = Requests::default();
        let mut due = || requests.due(content(), 0, 0, PACE, at(0)).len();
        assert_eq!((due(), due()), (1, 0));
    }

    #[test]
    fn another_content_replaces_what_is_on_its_way() {
        let mut requests = Requests::default();
        due(&mut requests, 0, 0);
        let other = ContentId::of(b"other");
        let pieces = requests.due(other, 0, 3, PACE, at(0));
        assert_eq!(pieces.len(), 1);
        assert!(!arrives(&mut requests, 0));
    }
}
