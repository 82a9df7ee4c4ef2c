//! Previews and snapshots: encoded once for all clients, and at most once per [`INTERVAL`].

use crate::ignored_areas::{FramePoint, IgnoredAreas};
use crate::preview::{MAX_CAMERAS, Preview, PreviewFrame};
use axum::body::Bytes;
use flukewatch_common::pixel_box::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Time between two images of one kind from one camera.
pub(super) const INTERVAL: Duration = Duration::from_millis(500);
/// How long a frame is awaited.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The longest side of a preview, in pixels.
const PREVIEW_SIDE: u32 = 960;
/// JPEG quality of a preview, and of a snapshot.
const QUALITY: (u8, u8) = (70, 92);
/// The colour of boxes: visible on blue and grey water and in glare.
const BOX: Rgb<u8> = Rgb([255, 60, 0]);

/// The kind of image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Downscaled, with boxes and ignored areas.
    Preview,
    /// At full size.
    Snapshot,
}

/// The last image, and when it was encoded.
type Last = Mutex<Option<(Instant, Bytes)>>;

/// Encodes the cameras' frames.
pub(super) struct Previews {
    preview: Arc<Preview>,
    previews: Vec<Last>,
    snapshots: Vec<Last>,
}

impl Previews {
    pub(super) fn new(preview: Arc<Preview>) -> Self {
        let empty = || (0..MAX_CAMERAS).map(|_| Mutex::new(None)).collect();
        Self {
            preview,
            previews: empty(),
            snapshots: empty(),
        }
    }

    /// The current frame of camera number `camera` as a JPEG file; `None` where no frame arrived in
    /// time.
    pub(super) async fn jpeg(&self, camera: usize, kind: Kind) -> Option<Bytes> {
        let all = match kind {
            Kind::Preview => &self.previews,
            Kind::Snapshot => &self.snapshots,
        };
        // Clients that come while an image is being encoded wait here, and get the same one.
        let mut last = tokio::time::timeout(2 * TIMEOUT, all.get(camera)?.lock())
            .await
            .ok()?;
        if let Some((made, picture)) = &*last
            && made.elapsed() < INTERVAL
        {
            return Some(picture.clone());
        }
        let view = tokio::time::timeout(TIMEOUT, self.preview.next_frame(camera)).await;
        let view = view.ok().flatten()?;
        let encoded = tokio::task::spawn_blocking(move || encode(view, kind)).await;
        let picture = Bytes::from(encoded.ok().flatten()?);
        *last = Some((Instant::now(), picture.clone()));
        Some(picture)
    }
}

fn encode(view: PreviewFrame, kind: Kind) -> Option<Vec<u8>> {
    let (image, quality) = match kind {
        Kind::Preview => (annotated(view), QUALITY.0),
        Kind::Snapshot => (view.image, QUALITY.1),
    };
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode_image(&image)
        .ok()?;
    Some(file)
}

/// Downscaled for a phone, with boxes, and ignored areas darkened.
fn annotated(frame: PreviewFrame) -> RgbImage {
    let PreviewFrame {
        image,
        boxes,
        ignored,
    } = frame;
    let (width, height) = image.dimensions();
    let scale = f64::from(PREVIEW_SIDE) / f64::from(width.max(height).max(1));
    let scaled = |length: u32| (f64::from(length) * scale).round() as u32;
    if scale >= 1.0 {
        return draw_boxes(darken(image, &ignored), &boxes);
    }
    let small = imageops::thumbnail(&image, scaled(width).max(1), scaled(height).max(1));
    let boxes: Vec<PixelBox> = boxes
        .iter()
        .map(|b| PixelBox {
            x0: scaled(b.x0),
            y0: scaled(b.y0),
            x1: scaled(b.x1),
            y1: scaled(b.y1),
        })
        .collect();
    draw_boxes(darken(small, &ignored), &boxes)
}

/// Halves the brightness of the ignored areas.
fn darken(mut image: RgbImage, ignored: &IgnoredAreas) -> RgbImage {
    if ignored.areas().is_empty() {
        return image;
    }
    let (width, height) = (f64::from(image.width()), f64::from(image.height()));
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let point = FramePoint {
            x: (f64::from(x) + 0.5) / width,
            y: (f64::from(y) + 0.5) / height,
        };
        if ignored.contain(point) {
            pixel.0 = pixel.0.map(|channel| channel / 2);
        }
    }
    image
}

/// Draws each box, three pixels wide.
fn draw_boxes(mut image: RgbImage, boxes: &[PixelBox]) -> RgbImage {
    const LINE: u32 = 3;
    let (width, height) = image.dimensions();
    for region in boxes.iter().filter_map(|b| b.within(width, height)) {
        let PixelBox { x0, y0, x1, y1 } = region;
        for y in y0..y1 {
            for x in x0..x1 {
                let edge = x - x0 < LINE || x1 - x <= LINE || y - y0 < LINE || y1 - y <= LINE;
                if edge {
                    image.put_pixel(x, y, BOX);
                }
            }
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Pixels;

    fn sea(width: u32, height: u32) -> RgbImage {
        RgbImage::from_pixel(width, height, Rgb([60, 90, 120]))
    }

    fn decoded(view: PreviewFrame, kind: Kind) -> RgbImage {
        image::load_from_memory(&encode(view, kind).unwrap())
            .unwrap()
            .to_rgb8()
    }

    const REGION: PixelBox = PixelBox {
        x0: 200,
        y0: 100,
        x1: 800,
        y1: 400,
    };

    #[test]
    fn a_preview_is_downscaled_and_shows_boxes() {
        let view = PreviewFrame {
            image: sea(1920, 1080),
            boxes: vec![
                REGION,
                PixelBox {
                    x0: 5000,
                    y0: 0,
                    x1: 6000,
                    y1: 9,
                },
            ],
            ignored: IgnoredAreas::default(),
        };
        let shown = decoded(view, Kind::Preview);
        assert_eq!(shown.dimensions(), (960, 540));
        let reddish = |x, y| shown.get_pixel(x, y)[0] > 180;
        for (x, y) in [(101, 120), (398, 120), (250, 51), (250, 198)] {
            assert!(reddish(x, y), "no box at {x}, {y}");
        }
        for (x, y) in [(250, 120), (90, 120), (420, 120), (250, 230)] {
            assert!(!reddish(x, y), "a box at {x}, {y}");
        }
    }

    #[test]
    fn a_snapshot_has_full_size_and_no_boxes() {
        let view = PreviewFrame {
            image: sea(1280, 720),
            boxes: vec![REGION],
            ignored: rail(),
        };
        let shown = decoded(view, Kind::Snapshot);
        assert_eq!(shown.dimensions(), (1280, 720));
        assert!(shown.pixels().all(|p| p[0] < 90 && p[2] > 100));
    }

    /// The lower half.
    fn rail() -> IgnoredAreas {
        serde_json::from_str("[[[0, 0.5], [1, 0.5], [1, 1], [0, 1]]]").unwrap()
    }

    #[test]
    fn a_preview_darkens_ignored_areas() {
        let view = PreviewFrame {
            image: sea(1280, 720),
            boxes: vec![],
            ignored: rail(),
        };
        let shown = decoded(view, Kind::Preview);
        let blue = |y| shown.get_pixel(400, y)[2];
        assert!(blue(200) > 110 && blue(350) < 70, "{}", blue(350));
    }

    #[test]
    fn a_small_frame_is_not_resized() {
        let view = PreviewFrame {
            image: sea(64, 48),
            boxes: vec![PixelBox::whole(64, 48)],
            ignored: IgnoredAreas::default(),
        };
        assert_eq!(decoded(view, Kind::Preview).dimensions(), (64, 48));
    }

    #[tokio::test]
    async fn many_clients_cost_one_frame() {
        let finder = Arc::new(Preview::default());
        let previews = Arc::new(Previews::new(finder.clone()));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let previews = previews.clone();
                tokio::spawn(async move { previews.jpeg(0, Kind::Preview).await })
            })
            .collect();
        while !finder.is_requested(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        finder.publish(0, Pixels::of(&sea(64, 48)), &[], &IgnoredAreas::default());
        for one in all {
            assert!(one.await.unwrap().is_some());
        }
        assert!(!finder.is_requested(0), "no second frame is requested");
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_without_frames_times_out() {
        let previews = Previews::new(Arc::default());
        assert_eq!(previews.jpeg(0, Kind::Snapshot).await, None);
        assert_eq!(previews.jpeg(MAX_CAMERAS, Kind::Preview).await, None);
    }
}
