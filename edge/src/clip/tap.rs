//! Takes a camera's frames for its clips.

use super::ring::Ring;
use super::writer::ClipEvent;
use crate::encoded_frame::EncodedFrame;
use crate::frame::{FrameImage, RawFormat, RawImage};
use crate::time::MonotonicTimestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::time::Duration;

/// How long clips are, and how much memory a camera's last seconds may take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClipSettings {
    /// How much of a clip is from before its first encounter.
    pub before: Duration,
    /// How much is from after its last one.
    pub after: Duration,
    /// The longest clip; a longer one is continued in another.
    pub longest: Duration,
    /// The most memory for the seconds before, in bytes.
    pub max_bytes: usize,
}

/// A clip that is being written.
#[derive(Clone, Copy, Debug)]
struct Open {
    began: MonotonicTimestamp,
    /// When a fluke was last in view.
    active: MonotonicTimestamp,
}

/// Keeps the last seconds of a camera, and sends its frames while a fluke is in view. It never waits: a
/// frame that the writer has no room for is counted as missing from the clip.
pub struct ClipTap {
    camera: usize,
    settings: ClipSettings,
    ring: Ring,
    open: Option<Open>,
    events: SyncSender<ClipEvent>,
    missing: Arc<AtomicU64>,
}

impl ClipTap {
    /// A tap at the camera of this index that sends to a [`super::ClipWriter`] and counts what it has no
    /// room for in `missing`.
    pub fn new(
        camera: usize,
        settings: ClipSettings,
        events: SyncSender<ClipEvent>,
        missing: Arc<AtomicU64>,
    ) -> Self {
        Self {
            camera,
            settings,
            ring: Ring::new(settings.before, settings.max_bytes),
            open: None,
            events,
            missing,
        }
    }

    /// Takes a frame before it is analysed: `encoded`, what its camera sent since the last one, or else the
    /// image where that is a JPEG.
    pub fn frame(
        &mut self,
        taken: MonotonicTimestamp,
        image: &FrameImage,
        encoded: Vec<EncodedFrame>,
    ) {
        // Also while a clip is written: the next one may begin right after it.
        if !encoded.is_empty() {
            encoded.into_iter().for_each(|frame| self.ring.push(frame));
            return;
        }
        let jpeg: &[u8] = match image {
            FrameImage::Raw(RawImage {
                bytes,
                format: RawFormat::Jpeg,
            }) => bytes,
            FrameImage::Encoded(bytes) if bytes.starts_with(&[0xff, 0xd8]) => bytes,
            FrameImage::Encoded(_) | FrameImage::Raw(_) | FrameImage::Pixels(_) => return,
        };
        self.ring.push_jpeg(taken, jpeg);
    }

    /// Says whether a fluke is in view, after the frame taken at `taken` was analysed.
    pub fn analysed(&mut self, taken: MonotonicTimestamp, active: bool) {
        let open = match &mut self.open {
            None if !active => return,
            None => self.open.insert(Open {
                began: taken,
                active: taken,
            }),
            Some(open) => open,
        };
        if active {
            open.active = taken;
        }
        let over = taken.since(open.active) > self.settings.after;
        let long = taken.since(open.began) > self.settings.longest;
        let mut frames = self.ring.drain();
        // The next clip begins with a frame that needs no other.
        if long
            && !over
            && let Some(key) = frames.iter().position(EncodedFrame::is_key)
        {
            open.began = taken;
            let later = frames.split_off(key);
            self.send(frames);
            self.send_end();
            frames = later;
        }
        self.send(frames);
        if over {
            self.end();
        }
    }

    fn send(&mut self, frames: Vec<EncodedFrame>) {
        let many = frames.len() as u64;
        let camera = self.camera;
        if many > 0
            && self
                .events
                .try_send(ClipEvent::Frames { camera, frames })
                .is_err()
        {
            self.missing.fetch_add(many, Relaxed);
            self.ring.await_key();
        }
    }

    fn send_end(&self) {
        let camera = self.camera;
        // If the channel is full, the writer appends the next clip.
        let _ = self.events.try_send(ClipEvent::End { camera });
    }

    /// Ends the clip, e.g. because the camera has ended.
    pub fn end(&mut self) {
        if self.open.take().is_some() {
            self.send_end();
            // The next clip may begin within what was needed by this one.
            self.ring.await_key();
        }
    }
}

impl Drop for ClipTap {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, sync_channel};

    const SETTINGS: ClipSettings = ClipSettings {
        before: Duration::from_millis(300),
        after: Duration::from_millis(200),
        longest: Duration::from_secs(2),
        max_bytes: 1 << 20,
    };

    fn tap(room: usize) -> (ClipTap, Receiver<ClipEvent>, Arc<AtomicU64>) {
        let (events, receive) = sync_channel(room);
        let missing = Arc::new(AtomicU64::new(0));
        let tap = ClipTap::new(1, SETTINGS, events, missing.clone());
        (tap, receive, missing)
    }

    /// Plays frames 100 ms apart, with a fluke in those of `active`.
    fn play(tap: &mut ClipTap, frames: std::ops::Range<i64>, active: std::ops::Range<i64>) {
        for i in frames {
            let taken = MonotonicTimestamp::from_millis(i * 100);
            let image = FrameImage::Encoded(vec![0xff, 0xd8, i as u8]);
            tap.frame(taken, &image, vec![]);
            tap.analysed(taken, active.contains(&i));
        }
    }

    /// The frames of each clip.
    fn clips(receive: &Receiver<ClipEvent>) -> Vec<Vec<u8>> {
        let mut clips = vec![vec![]];
        for event in receive.try_iter() {
            match event {
                ClipEvent::Frames { camera, frames } => {
                    assert_eq!(camera, 1);
                    let last = clips.last_mut().unwrap();
                    last.extend(frames.iter().map(|f| f.bytes[2]));
                }
                ClipEvent::End { .. } => clips.push(vec![]),
            }
        }
        assert_eq!(clips.pop(), Some(vec![]), "the last one has ended");
        clips
    }

    #[test]
    fn a_clip_has_the_seconds_before_and_after() {
        let (mut tap, receive, _) = tap(99);
        play(&mut tap, 0..40, 10..15);
        let expected: Vec<u8> = (7..=17).collect();
        assert_eq!(clips(&receive), [expected]);
    }

    #[test]
    fn encounters_that_follow_each_other_share_a_clip() {
        let (mut tap, receive, _) = tap(99);
        play(&mut tap, 0..12, 10..12);
        play(&mut tap, 12..30, 13..15);
        assert_eq!(clips(&receive), [(7..=17).collect::<Vec<u8>>()]);
    }

    #[test]
    fn a_long_clip_is_continued_without_a_gap() {
        let (mut tap, receive, _) = tap(999);
        play(&mut tap, 0..60, 5..50);
        let all = clips(&receive);
        assert_eq!(all.len(), 3);
        assert_eq!(all.concat(), (2..=52).collect::<Vec<u8>>());
    }

    #[test]
    fn a_writer_without_room_is_not_waited_for() {
        let (mut tap, receive, missing) = tap(2);
        play(&mut tap, 0..20, 10..13);
        // The four frames of the first event, the fifth, and the rest is missing.
        assert_eq!(missing.load(Relaxed), 4);
        assert_eq!(receive.try_iter().count(), 2);
    }

    #[test]
    fn only_images_that_the_camera_encoded_are_kept() {
        let (mut tap, receive, _) = tap(9);
        let png = FrameImage::Encoded(b"\x89PNG".to_vec());
        for image in [png, FrameImage::Pixels(image::RgbImage::new(2, 2))] {
            tap.frame(MonotonicTimestamp(0), &image, vec![]);
            tap.analysed(MonotonicTimestamp(0), true);
        }
        drop(tap);
        assert_eq!(clips(&receive), [vec![0u8; 0]]);
    }
}
