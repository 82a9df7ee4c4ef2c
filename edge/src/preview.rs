//! Live previews of the cameras for the boat's page.
//!
//! Without viewers a preview costs the pipeline one atomic load per frame, and with viewers a copy of the
//! next frame; everything else is done by the page's threads. The pipeline never waits: it does not
//! replace a preview that is being fetched at that moment.

use crate::ignored_areas::IgnoredAreas;
use crate::pixels::Pixels;
use flukewatch_common::pixel_box::PixelBox;
use image::RgbImage;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The most cameras with a preview.
pub const MAX_CAMERAS: usize = 64;

/// A frame with its flukes.
#[derive(Clone, Debug, PartialEq)]
pub struct PreviewFrame {
    /// Pixels at full size.
    pub image: RgbImage,
    /// The boxes of flukes.
    pub boxes: Vec<PixelBox>,
    /// The areas that are not searched.
    pub ignored: IgnoredAreas,
}

#[derive(Debug, Default)]
struct CameraPreview {
    frame: Mutex<Option<PreviewFrame>>,
    arrived: Notify,
}

/// Passes the newest frame of each camera on when it is requested.
#[derive(Debug)]
pub struct Preview {
    /// One bit per camera with a viewer.
    requested: AtomicU64,
    cameras: Vec<CameraPreview>,
}

impl Default for Preview {
    fn default() -> Self {
        Self {
            requested: AtomicU64::new(0),
            cameras: (0..MAX_CAMERAS).map(|_| CameraPreview::default()).collect(),
        }
    }
}

impl Preview {
    /// Whether a viewer waits for the next frame of a camera.
    pub fn is_requested(&self, camera: usize) -> bool {
        self.requested.load(Relaxed) & bit(camera) != 0
    }

    /// Publishes a frame with its flukes and its ignored areas. It is copied only where it was
    /// requested.
    pub fn publish(
        &self,
        camera: usize,
        pixels: Pixels<'_>,
        boxes: &[PixelBox],
        ignored: &IgnoredAreas,
    ) {
        if !self.is_requested(camera) {
            return;
        }
        let Some(preview) = self.cameras.get(camera) else {
            return;
        };
        let Ok(mut frame) = preview.frame.try_lock() else {
            return;
        };
        *frame = Some(PreviewFrame {
            image: pixels.crop(PixelBox::whole(pixels.width(), pixels.height()), vec![]),
            boxes: boxes.to_vec(),
            ignored: ignored.clone(),
        });
        drop(frame);
        self.requested.fetch_and(!bit(camera), Relaxed);
        preview.arrived.notify_waiters();
    }

    /// Waits for the next frame of a camera; `None` at once where the index is invalid.
    pub async fn next_frame(&self, camera: usize) -> Option<PreviewFrame> {
        let preview = self.cameras.get(camera)?;
        loop {
            let arrived = preview.arrived.notified();
            tokio::pin!(arrived);
            // From here on no arrival is missed.
            arrived.as_mut().enable();
            self.requested.fetch_or(bit(camera), Relaxed);
            arrived.await;
            let frame = preview
                .frame
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if frame.is_some() {
                return frame;
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

    fn image(grey: u8) -> RgbImage {
        RgbImage::from_pixel(4, 2, image::Rgb([grey; 3]))
    }

    #[tokio::test]
    async fn a_frame_is_copied_only_when_requested() {
        let (preview, none) = (Arc::new(Preview::default()), IgnoredAreas::default());
        preview.publish(1, Pixels::of(&image(1)), &[], &none);
        assert!(!preview.is_requested(1), "no viewer");
        let viewer = {
            let preview = preview.clone();
            tokio::spawn(async move { preview.next_frame(1).await })
        };
        while !preview.is_requested(1) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(!preview.is_requested(0), "the other camera has no viewer");
        preview.publish(0, Pixels::of(&image(2)), &[], &none);
        let region = PixelBox::whole(2, 2);
        preview.publish(1, Pixels::of(&image(3)), &[region], &none);
        let frame = viewer.await.unwrap().unwrap();
        assert_eq!((frame.image, frame.boxes), (image(3), vec![region]));
        assert!(!preview.is_requested(1), "one request is one frame");
    }

    #[tokio::test]
    async fn an_invalid_camera_has_no_preview() {
        let preview = Preview::default();
        assert_eq!(preview.next_frame(MAX_CAMERAS).await, None);
        assert_eq!(preview.next_frame(usize::MAX).await, None);
        preview.publish(
            MAX_CAMERAS,
            Pixels::of(&image(1)),
            &[],
            &IgnoredAreas::default(),
        );
        assert!(!preview.is_requested(MAX_CAMERAS));
    }

    #[tokio::test]
    async fn publishing_never_waits_for_a_viewer() {
        let preview = Arc::new(Preview::default());
        preview.requested.fetch_or(1, Relaxed);
        let held = preview.cameras[0].frame.lock().unwrap();
        preview.publish(0, Pixels::of(&image(1)), &[], &IgnoredAreas::default());
        drop(held);
        assert!(preview.is_requested(0), "the next frame is published");
    }
}
