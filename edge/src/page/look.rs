//! Pictures of what a camera sees: encoded once for all who look, and no more often than [`EVERY`].

use crate::viewfinder::{MAX_CAMERAS, View, Viewfinder};
use axum::body::Bytes;
use flukewatch_common::pixel_box::PixelBox;
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage, imageops};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Between two pictures of one kind of one camera.
pub(super) const EVERY: Duration = Duration::from_millis(500);
/// How long a frame is waited for.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// The longest side of the live view, in pixels.
const VIEW_SIDE: u32 = 960;
/// How good the JPEG of the live view is, and of a snapshot.
const QUALITY: (u8, u8) = (70, 92);
/// The colour of boxes: to be seen on blue and grey water and in glare.
const BOX: Rgb<u8> = Rgb([255, 60, 0]);

/// Which picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Small and with boxes.
    View,
    /// As it is.
    Snapshot,
}

/// The last picture, and when it was made.
type Last = Mutex<Option<(Instant, Bytes)>>;

/// Looks through the cameras.
pub(super) struct Looks {
    viewfinder: Arc<Viewfinder>,
    views: Vec<Last>,
    snapshots: Vec<Last>,
}

impl Looks {
    pub(super) fn new(viewfinder: Arc<Viewfinder>) -> Self {
        let empty = || (0..MAX_CAMERAS).map(|_| Mutex::new(None)).collect();
        Self {
            viewfinder,
            views: empty(),
            snapshots: empty(),
        }
    }

    /// What camera number `camera` sees as a JPEG file; `None` where no frame came in time.
    pub(super) async fn picture(&self, camera: usize, kind: Kind) -> Option<Bytes> {
        let all = match kind {
            Kind::View => &self.views,
            Kind::Snapshot => &self.snapshots,
        };
        // Who comes while a picture is being made waits here, and gets the same.
        let mut last = tokio::time::timeout(2 * PATIENCE, all.get(camera)?.lock())
            .await
            .ok()?;
        if let Some((made, picture)) = &*last
            && made.elapsed() < EVERY
        {
            return Some(picture.clone());
        }
        let view = tokio::time::timeout(PATIENCE, self.viewfinder.next(camera)).await;
        let view = view.ok().flatten()?;
        let encoded = tokio::task::spawn_blocking(move || encode(view, kind)).await;
        let picture = Bytes::from(encoded.ok().flatten()?);
        *last = Some((Instant::now(), picture.clone()));
        Some(picture)
    }
}

fn encode(view: View, kind: Kind) -> Option<Vec<u8>> {
    let (photo, quality) = match kind {
        Kind::View => (with_boxes(view), QUALITY.0),
        Kind::Snapshot => (view.photo, QUALITY.1),
    };
    let mut file = vec![];
    JpegEncoder::new_with_quality(&mut file, quality)
        .encode_image(&photo)
        .ok()?;
    Some(file)
}

/// Small enough for a phone, and with its boxes.
fn with_boxes(View { photo, boxes }: View) -> RgbImage {
    let (width, height) = photo.dimensions();
    let scale = f64::from(VIEW_SIDE) / f64::from(width.max(height).max(1));
    let scaled = |length: u32| (f64::from(length) * scale).round() as u32;
    if scale >= 1.0 {
        return drawn(photo, &boxes);
    }
    let small = imageops::thumbnail(&photo, scaled(width).max(1), scaled(height).max(1));
    let boxes: Vec<PixelBox> = boxes
        .iter()
        .map(|b| PixelBox {
            x0: scaled(b.x0),
            y0: scaled(b.y0),
            x1: scaled(b.x1),
            y1: scaled(b.y1),
        })
        .collect();
    drawn(small, &boxes)
}

/// With a frame around each box, three pixels wide.
fn drawn(mut photo: RgbImage, boxes: &[PixelBox]) -> RgbImage {
    const LINE: u32 = 3;
    let (width, height) = photo.dimensions();
    for region in boxes.iter().filter_map(|b| b.within(width, height)) {
        let PixelBox { x0, y0, x1, y1 } = region;
        for y in y0..y1 {
            for x in x0..x1 {
                let edge = x - x0 < LINE || x1 - x <= LINE || y - y0 < LINE || y1 - y <= LINE;
                if edge {
                    photo.put_pixel(x, y, BOX);
                }
            }
        }
    }
    photo
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pixels::Pixels;

    fn sea(width: u32, height: u32) -> RgbImage {
        RgbImage::from_pixel(width, height, Rgb([60, 90, 120]))
    }

    fn decoded(view: View, kind: Kind) -> RgbImage {
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
    fn a_view_is_small_and_shows_its_boxes() {
        let view = View {
            photo: sea(1920, 1080),
            boxes: vec![
                REGION,
                PixelBox {
                    x0: 5000,
                    y0: 0,
                    x1: 6000,
                    y1: 9,
                },
            ],
        };
        let shown = decoded(view, Kind::View);
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
    fn a_snapshot_is_the_whole_frame_as_it_is() {
        let view = View {
            photo: sea(1280, 720),
            boxes: vec![REGION],
        };
        let shown = decoded(view, Kind::Snapshot);
        assert_eq!(shown.dimensions(), (1280, 720));
        assert!(shown.pixels().all(|p| p[0] < 90));
    }

    #[test]
    fn a_small_frame_stays_as_large_as_it_is() {
        let view = View {
            photo: sea(64, 48),
            boxes: vec![PixelBox::whole(64, 48)],
        };
        assert_eq!(decoded(view, Kind::View).dimensions(), (64, 48));
    }

    #[tokio::test]
    async fn many_who_look_cost_one_frame() {
        let finder = Arc::new(Viewfinder::default());
        let looks = Arc::new(Looks::new(finder.clone()));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let looks = looks.clone();
                tokio::spawn(async move { looks.picture(0, Kind::View).await })
            })
            .collect();
        while !finder.wants(0) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        finder.show(0, Pixels::of(&sea(64, 48)), &[]);
        for one in all {
            assert!(one.await.unwrap().is_some());
        }
        assert!(!finder.wants(0), "nobody has asked for a second frame");
    }

    #[tokio::test(start_paused = true)]
    async fn a_camera_without_frames_is_not_waited_for_for_ever() {
        let looks = Looks::new(Arc::default());
        assert_eq!(looks.picture(0, Kind::Snapshot).await, None);
        assert_eq!(looks.picture(MAX_CAMERAS, Kind::View).await, None);
    }
}
