//! When detections of consecutive frames are an alarm, much like on a boat: detections at one
//! position in three of five frames.

use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;

/// Length of the window in frames.
const WINDOW: u32 = 5;
/// Frames of the window that need a detection.
const MIN_HITS: u32 = 3;
/// Least overlap of two boxes at one position.
const MIN_OVERLAP: f64 = 0.2;

/// Whether two boxes are at one position: they overlap, or are closer than half their width.
fn same_position(a: &PixelBox, b: &PixelBox) -> bool {
    let middle = |p: &PixelBox| [(p.x0 + p.x1) as f32 / 2.0, (p.y0 + p.y1) as f32 / 2.0];
    let ([ax, ay], [bx, by]) = (middle(a), middle(b));
    a.overlap(b) >= MIN_OVERLAP || (ax - bx).hypot(ay - by) < 0.5 * a.width().max(b.width()) as f32
}

#[derive(Clone, Debug)]
struct Track {
    region: PixelBox,
    /// One bit per frame of the window, the latest lowest.
    hits: u32,
    confirmed: bool,
    number: u32,
}

/// An alarm in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Number of the alarm, the same in each of its frames.
    pub number: u32,
    /// Box of the detection.
    pub region: PixelBox,
}

/// Tracks detections from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct AlarmTracker {
    tracks: Vec<Track>,
    next: u32,
}

impl AlarmTracker {
    /// Adds the detections of a frame that reach `threshold` and returns the alarms in it.
    pub fn add_frame(&mut self, detections: &[Detection], threshold: f32) -> Vec<Alarm> {
        let window = (1 << WINDOW) - 1;
        for track in &mut self.tracks {
            track.hits = (track.hits << 1) & window;
        }
        let mut alarms = vec![];
        for detection in detections.iter().filter(|d| d.score >= threshold) {
            let free = self
                .tracks
                .iter_mut()
                .find(|t| t.hits & 1 == 0 && same_position(&t.region, &detection.region));
            let Some(track) = free else {
                self.tracks.push(Track {
                    region: detection.region,
                    hits: 1,
                    confirmed: false,
                    number: self.next,
                });
                self.next += 1;
                continue;
            };
            track.region = detection.region;
            track.hits |= 1;
            track.confirmed |= track.hits.count_ones() >= MIN_HITS;
            if track.confirmed {
                alarms.push(Alarm {
                    number: track.number,
                    region: track.region,
                });
            }
        }
        self.tracks.retain(|t| t.hits != 0);
        alarms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(x0: u32) -> Detection {
        Detection {
            region: PixelBox {
                x0,
                y0: 10,
                x1: x0 + 40,
                y1: 30,
            },
            score: 0.6,
        }
    }

    fn count(frames: &[&[Detection]], threshold: f32) -> usize {
        let mut alarms = AlarmTracker::default();
        let numbers: std::collections::BTreeSet<u32> = frames
            .iter()
            .flat_map(|f| alarms.add_frame(f, threshold))
            .map(|a| a.number)
            .collect();
        numbers.len()
    }

    #[test]
    fn three_of_five_frames_at_one_position_are_one_alarm() {
        assert_eq!(
            count(&[&[at(10)], &[], &[at(14)], &[], &[at(20)], &[at(22)]], 0.5),
            1
        );
        assert_eq!(
            count(&[&[at(10)], &[], &[at(14)], &[], &[], &[at(20)]], 0.5),
            0
        );
        assert_eq!(count(&[&[at(10)], &[at(200)], &[at(400)]], 0.5), 0);
        let both: &[Detection] = &[at(10), at(200)];
        assert_eq!(count(&[both, both, both, both], 0.5), 2);
        assert_eq!(count(&[both, both, both], 0.7), 0, "below the threshold");
    }
}
