//! What a camera sees right now, for who looks at the boat's page.
//!
//! Nobody looking costs the watch one look at a number for each frame. Somebody looking costs it a copy of the next frame; all
//! else is done where the page is served. The watch never waits: a view that is being fetched at that moment is left as it is.

use crate::pixels::Pixels;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// Cameras that can be looked through, at most.
pub const MAX_CAMERAS: usize = 64;

/// One frame with what was found in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its pixels.
    pub photo: RgbImage,
    /// The boxes of flukes.
    pub boxes: Vec<PixelBox>,
}

#[derive(Debug, Default)]
struct Finder {
    view: Mutex<Option<View>>,
    arrived: Notify,
}

/// Hands the newest frame of each camera over when somebody wants it.
#[derive(Debug)]
pub struct Viewfinder {
    /// A bit for each camera that is wanted.
    wanted: AtomicU64,
    finders: Vec<Finder>,
}

impl Default for Viewfinder {
    fn default() -> Self {
        Self {
            wanted: AtomicU64::new(0),
            finders: (0..MAX_CAMERAS).map(|_| Finder::default()).collect(),
        }
    }
}

impl Viewfinder {
    /// Whether somebody waits for the next frame of camera number `camera`.
    pub fn wants(&self, camera: usize) -> bool {
        self.wanted.load(Relaxed) & bit(camera) != 0
    }

    /// The camera took `photo`, in which there are `boxes`. Copies it where somebody waits for it.
    pub fn show(&self, camera: usize, photo: Pixels<'_>, boxes: &[PixelBox]) {
        if !self.wants(camera) {
            return;
        }
        let Some(finder) = self.finders.get(camera) else {
            return;
        };
        let Ok(mut view) = finder.view.try_lock() else {
            return;
        };
        *view = Some(View {
            photo: photo.cut(PixelBox::whole(photo.width(), photo.height()), vec![]),
            boxes: boxes.to_vec(),
        });
        drop(view);
        self.wanted.fetch_and(!bit(camera), Relaxed);
        finder.arrived.notify_waiters();
    }

    /// Waits for the next frame of camera number `camera`; `None` at once where there can be no such camera.
    pub async fn next(&self, camera: usize) -> Option<View> {
        let finder = self.finders.get(camera)?;
        loop {
            let arrived = finder.arrived.notified();
            tokio::pin!(arrived);
            // From here on no arrival is missed.
            arrived.as_mut().enable();
            self.wanted.fetch_or(bit(camera), Relaxed);
            arrived.await;
            let view = finder
                .view
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if view.is_some() {
                return view;
            }
        }
    }
}

fn bit(camera: usize) -> u64 {
    u32::try_from(camera)
        .ok()
        .and_then(|camera| 1_u64.checked_shl(camera))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn photo(grey: u8) -> RgbImage {
        RgbImage::from_pixel(4, 2, image::Rgb([grey; 3]))
    }

    #[tokio::test]
    async fn a_frame_is_copied_only_for_who_waits_for_it() {
        let finder = Arc::new(Viewfinder::default());
        finder.show(1, Pixels::of(&photo(1)), &[]);
        assert!(!finder.wants(1), "nobody looks");
        let looking = {
            let finder = finder.clone();
            tokio::spawn(async move { finder.next(1).await })
        };
        while !finder.wants(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!finder.wants(0), "the other camera is not looked through");
        finder.show(0, Pixels::of(&photo(2)), &[]);
        let region = PixelBox::whole(2, 2);
        finder.show(1, Pixels::of(&photo(3)), &[region]);
        let view = looking.await.unwrap().unwrap();
        assert_eq!((view.photo, view.boxes), (photo(3), vec![region]));
        assert!(!finder.wants(1), "one look is one frame");
    }

    #[tokio::test]
    async fn a_camera_that_cannot_be_is_not_waited_for() {
        let finder = Viewfinder::default();
        assert_eq!(finder.next(MAX_CAMERAS).await, None);
        assert_eq!(finder.next(usize::MAX).await, None);
        finder.show(MAX_CAMERAS, Pixels::of(&photo(1)), &[]);
        assert!(!finder.wants(MAX_CAMERAS));
    }

    #[tokio::test]
    async fn the_watch_never_waits_for_who_looks() {
        let finder = Arc::new(Viewfinder::default());
        finder.wanted.fetch_or(1, Relaxed);
        let held = finder.finders[0].view.lock().unwrap();
        finder.show(0, Pixels::of(&photo(1)), &[]);
        drop(held);
        assert!(finder.wants(0), "the next frame serves");
    }
}
