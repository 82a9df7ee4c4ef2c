use super::*;
use crate::cancellation::CancellationToken;
use crate::source::{RealTime, Unpaced};
use std::sync::{Arc, Mutex};

/// Records the offsets that it is called with.
struct Recorded(Arc<Mutex<Vec<Duration>>>);

impl Pacer for Recorded {
    fn wait_until(&mut self, offset: Duration) -> bool {
        self.0.lock().unwrap().push(offset);
        true
    }
}

fn open(
    path: &Path,
    start: MonotonicTimestamp,
    rate: f64,
    pacer: Box<dyn Pacer>,
) -> Result<VideoFile, SourceError> {
    VideoFile::open(path, start, rate, pacer, &CancellationToken::default())
}

/// Three JPEGs.
fn mjpeg() -> Vec<u8> {
    let image = image::RgbImage::from_pixel(16, 8, image::Rgb([90; 3]));
    let mut file = vec![];
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut file, 95)
        .encode_image(&image)
        .unwrap();
    file.repeat(3)
}

#[test]
fn a_video_is_paced_by_its_own_rate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.y4m");
    let head = b"YUV4MPEG2 W4 H2 F25:2 Cmono\n".as_slice();
    let frame = [b"FRAME\n".as_slice(), &[90; 8]].concat();
    std::fs::write(&path, [head, &frame, &frame, &frame].concat()).unwrap();
    let waits = Arc::new(Mutex::new(vec![]));
    let start = MonotonicTimestamp::from_millis(1000);
    let pacer = Box::new(Recorded(waits.clone()));
    let mut video = open(&path, start, 99.0, pacer).unwrap();
    let mut taken = vec![];
    while let SourceEvent::Frame(frame) = video.next().unwrap() {
        taken.push(frame.taken.millis_since(start));
    }
    assert_eq!(taken, [0, 80, 160]);
    assert_eq!(
        *waits.lock().unwrap(),
        [0, 80, 160].map(Duration::from_millis)
    );
    // JPEGs state no rate.
    let path = folder.path().join("whales.mjpeg");
    std::fs::write(&path, mjpeg()).unwrap();
    let pacer = Box::new(Unpaced(CancellationToken::default()));
    let video = open(&path, start, 7.0, pacer).unwrap();
    assert_eq!(video.rate(), 7.0);
}

#[test]
fn a_cancelled_video_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("whales.mjpeg");
    std::fs::write(&path, mjpeg()).unwrap();
    let stop = CancellationToken::default();
    let pacer = Box::new(RealTime::new(stop.clone()));
    let mut video = open(&path, MonotonicTimestamp(0), 0.01, pacer).unwrap();
    assert!(video.next().unwrap().frame().is_some());
    stop.cancel();
    assert!(matches!(video.next().unwrap(), SourceEvent::Ended));
}

#[test]
fn a_video_without_frames_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty.y4m");
    std::fs::write(&path, "YUV4MPEG2 W4 H2 F25:1 Cmono\n").unwrap();
    let pacer = || Box::new(Unpaced(CancellationToken::default()));
    let mut video = open(&path, MonotonicTimestamp(0), 10.0, pacer()).unwrap();
    let error = video.next().unwrap_err();
    assert!(matches!(error, SourceError::Video { .. }), "{error}");
    assert!(matches!(video.next().unwrap(), SourceEvent::Ended));
}
