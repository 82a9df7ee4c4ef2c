//! When boxes of consecutive frames are an alarm, as a boat would count: in three of five frames a box at the same place.

use flukewatch_common::detection::Detection;
use flukewatch_common::pixel_box::PixelBox;

/// Frames that are looked back on.
const WINDOW: u32 = 5;
/// Frames among them that need a box.
const NEEDED: u32 = 3;
/// Boxes that overlap by so much are at the same place.
const SAME: f64 = 0.2;

/// Whether two boxes are at the same place: they overlap, or small ones lie beside each other.
fn same_place(a: &PixelBox, b: &PixelBox) -> bool {
    let middle = |p: &PixelBox| [(p.x0 + p.x1) as f32 / 2.0, (p.y0 + p.y1) as f32 / 2.0];
    let ([ax, ay], [bx, by]) = (middle(a), middle(b));
    a.overlap(b) >= SAME || (ax - bx).hypot(ay - by) < 0.5 * a.width().max(b.width()) as f32
}

/// A place that is followed.
#[derive(Clone, Debug)]
struct Track {
    region: PixelBox,
    /// A bit for each of the last frames, the latest lowest.
    hits: u32,
    told: bool,
    number: u32,
}

/// An alarm as it stands in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Which one: the same number in every frame of it.
    pub number: u32,
    /// Where.
    pub region: PixelBox,
}

/// Follows boxes from frame to frame.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    tracks: Vec<Track>,
    next: u32,
}

impl Alarms {
    /// Takes a frame's boxes of at least `threshold`; the alarms that have a box in it.
    pub fn frame(&mut self, boxes: &[Detection], threshold: f32) -> Vec<Alarm> {
        let window = (1 << WINDOW) - 1;
        for track in &mut self.tracks {
            track.hits = (track.hits << 1) & window;
        }
        let mut alarms = vec![];
        for found in boxes.iter().filter(|d| d.score >= threshold) {
            let free = self
                .tracks
                .iter_mut()
                .find(|t| t.hits & 1 == 0 && same_place(&t.region, &found.region));
            let Some(track) = free else {
                self.tracks.push(Track {
                    region: found.region,
                    hits: 1,
                    told: false,
                    number: self.next,
                });
                self.next += 1;
                continue;
            };
            track.region = found.region;
            track.hits |= 1;
            track.told |= track.hits.count_ones() >= NEEDED;
            if track.told {
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

    fn told(frames: &[&[Detection]], threshold: f32) -> usize {
        let mut alarms = Alarms::default();
        let numbers: std::collections::BTreeSet<u32> = frames
            .iter()
            .flat_map(|f| alarms.frame(f, threshold))
            .map(|a| a.number)
            .collect();
        numbers.len()
    }

    #[test]
    fn three_of_five_frames_at_one_place_are_one_alarm() {
        assert_eq!(
            told(&[&[at(10)], &[], &[at(14)], &[], &[at(20)], &[at(22)]], 0.5),
            1
        );
        assert_eq!(
            told(&[&[at(10)], &[], &[at(14)], &[], &[], &[at(20)]], 0.5),
            0
        );
        assert_eq!(told(&[&[at(10)], &[at(200)], &[at(400)]], 0.5), 0);
        let both: &[Detection] = &[at(10), at(200)];
        assert_eq!(told(&[both, both, both, both], 0.5), 2);
        assert_eq!(told(&[both, both, both], 0.7), 0, "below the threshold");
    }
}
