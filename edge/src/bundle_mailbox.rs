//! What the uploader and the updater exchange about bundles and settings.

use flukewatch_common::bundle_transfer::TransferProgress;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Messages of each direction that may be pending; further ones are dropped and come again.
const CAPACITY: usize = 32;

/// What arrives from the station, authenticated and not validated yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromShore {
    /// A bundle is offered.
    Offer(Vec<u8>),
    /// The station does not offer a bundle any more.
    Withdrawn,
    /// A piece of a bundle.
    Content(Vec<u8>),
}

/// Messages between the uploader and the updater, and how far the update is.
#[derive(Debug, Default)]
pub struct Mailbox {
    boxes: Mutex<Boxes>,
    arrived: Condvar,
    to_send: Notify,
}

#[derive(Debug, Default)]
struct Boxes {
    incoming: VecDeque<FromShore>,
    outgoing: VecDeque<Vec<u8>>,
    progress: Option<TransferProgress>,
    piece_bytes: u32,
    /// The latest settings: they replace earlier ones.
    settings: Option<Vec<u8>>,
}

impl Mailbox {
    /// Passes a message to the updater.
    pub fn arrived(&self, message: FromShore) {
        let mut boxes = self.lock();
        if boxes.incoming.len() < CAPACITY {
            boxes.incoming.push_back(message);
            self.arrived.notify_one();
        }
    }

    /// Passes settings to the updater, authenticated and not validated yet.
    pub fn settings_arrived(&self, settings: Vec<u8>) {
        self.lock().settings = Some(settings);
        self.arrived.notify_one();
    }

    /// The latest settings that have arrived since the last call.
    pub fn take_settings(&self) -> Option<Vec<u8>> {
        self.lock().settings.take()
    }

    /// The next message of the station about bundles; `None` once settings arrive, or after `timeout`.
    pub fn next(&self, timeout: Duration) -> Option<FromShore> {
        let boxes = self.lock();
        let waited = self.arrived.wait_timeout_while(boxes, timeout, |boxes| {
            boxes.incoming.is_empty() && boxes.settings.is_none()
        });
        let (mut boxes, _) = waited.unwrap_or_else(PoisonError::into_inner);
        boxes.incoming.pop_front()
    }

    /// Passes a message to the uploader.
    pub fn send(&self, message: Vec<u8>) {
        let mut boxes = self.lock();
        if boxes.outgoing.len() < CAPACITY {
            boxes.outgoing.push_back(message);
            drop(boxes);
            self.to_send.notify_one();
        }
    }

    /// The next message to send; `None` where there is none.
    pub fn take_outgoing(&self) -> Option<Vec<u8>> {
        self.lock().outgoing.pop_front()
    }

    /// Puts a message back that could not be sent yet.
    pub fn put_back(&self, message: Vec<u8>) {
        self.lock().outgoing.push_front(message);
    }

    /// Waits until there may be a message to send. Cancel-safe.
    pub async fn to_send(&self) {
        self.to_send.notified().await;
    }

    /// Sets the size of the pieces that the link carries now; 0 where it carries none.
    pub fn set_piece_bytes(&self, bytes: u32) {
        self.lock().piece_bytes = bytes;
    }

    /// The size of the pieces to request; 0 where none may be requested now.
    pub fn piece_bytes(&self) -> u32 {
        self.lock().piece_bytes
    }

    /// Sets how far the offered bundle is.
    pub fn set_progress(&self, progress: Option<TransferProgress>) {
        self.lock().progress = progress;
    }

    /// How far the bundle is that the station offers; `None` where it offers none.
    pub fn progress(&self) -> Option<TransferProgress> {
        self.lock().progress.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Boxes> {
        self.boxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_pass_in_order_and_a_full_box_drops_the_latest() {
        let mailbox = Mailbox::default();
        for number in 0..CAPACITY + 2 {
            mailbox.arrived(FromShore::Content(vec![number as u8]));
            mailbox.send(vec![number as u8]);
        }
        for number in 0..CAPACITY {
            let next = mailbox.next(Duration::ZERO);
            assert_eq!(next, Some(FromShore::Content(vec![number as u8])));
            assert_eq!(mailbox.take_outgoing(), Some(vec![number as u8]));
        }
        assert_eq!(mailbox.next(Duration::from_millis(1)), None);
        assert_eq!(mailbox.take_outgoing(), None);
    }

    #[test]
    fn the_latest_settings_replace_earlier_ones_and_end_a_wait() {
        let mailbox = Mailbox::default();
        for number in 0..CAPACITY as u8 + 2 {
            mailbox.settings_arrived(vec![number]);
        }
        assert_eq!(mailbox.next(Duration::MAX), None);
        assert_eq!(mailbox.take_settings(), Some(vec![CAPACITY as u8 + 1]));
        assert_eq!(mailbox.take_settings(), None);
    }

    #[tokio::test]
    async fn a_message_that_was_sent_before_is_noticed() {
        let mailbox = Mailbox::default();
        mailbox.send(vec![1]);
        mailbox.to_send().await;
        mailbox.put_back(mailbox.take_outgoing().unwrap());
        assert_eq!(mailbox.take_outgoing(), Some(vec![1]));
    }
}
