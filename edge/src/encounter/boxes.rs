//! The boxes of a fluke over time, in bounded memory.

use crate::time::MonotonicTimestamp;
use flukewatch_common::footage::{MAX_BOXES, TimedBox};
use flukewatch_common::pixel_box::PixelBox;

/// Boxes at even intervals, which grow with the duration, and the last one.
#[derive(Debug)]
pub(super) struct Boxes {
    started: MonotonicTimestamp,
    /// One less than a sighting may have, for the last.
    kept: Vec<TimedBox>,
    last: TimedBox,
    /// The least interval, in milliseconds.
    spacing: u32,
}

impl Boxes {
    /// The fluke was first seen at `started`, in `region`.
    pub(super) fn new(started: MonotonicTimestamp, region: PixelBox) -> Self {
        let first = TimedBox { after: 0, region };
        let mut kept = Vec::with_capacity(MAX_BOXES);
        kept.push(first);
        Self {
            started,
            kept,
            last: first,
            spacing: 1,
        }
    }

    /// The fluke was in `region` at `taken`.
    pub(super) fn add(&mut self, taken: MonotonicTimestamp, region: PixelBox) {
        let after = millis_after(taken, self.started);
        let place = TimedBox { after, region };
        self.last = place;
        let newest = self.kept.last().map_or(0, |p| p.after);
        if after < newest.saturating_add(self.spacing) {
            return;
        }
        if self.kept.len() == MAX_BOXES - 1 {
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.spacing = (after / (MAX_BOXES as u32 / 2)).max(self.spacing);
        }
        self.kept.push(place);
    }

    /// The boxes in order of time, at most [`MAX_BOXES`].
    pub(super) fn into_all(mut self) -> Vec<TimedBox> {
        // Timestamps may run backwards a little.
        let newest = self.kept.last().map_or(0, |p| p.after);
        if self.last.after > newest {
            self.kept.push(self.last);
        }
        self.kept
    }
}

/// Milliseconds from `started` to `taken`.
pub(super) fn millis_after(taken: MonotonicTimestamp, started: MonotonicTimestamp) -> u32 {
    u32::try_from(taken.millis_since(started).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(millis: impl Iterator<Item = i64>) -> Vec<u32> {
        let region = |millis: i64| PixelBox::whole(1 + millis as u32, 9);
        let mut boxes: Option<Boxes> = None;
        let start = MonotonicTimestamp::from_millis(50_000);
        for millis in millis {
            let taken = MonotonicTimestamp(start.0 + millis * 1000);
            match &mut boxes {
                None => boxes = Some(Boxes::new(taken, region(millis))),
                Some(boxes) => boxes.add(taken, region(millis)),
            }
        }
        let all = boxes.unwrap().into_all();
        assert!(
            all.iter().all(|p| p.region.x1 == p.after + 1),
            "each with its box"
        );
        assert!(all.is_sorted_by_key(|p| p.after));
        all.iter().map(|p| p.after).collect()
    }

    #[test]
    fn few_are_all_kept() {
        assert_eq!(kept([0].into_iter()), [0]);
        assert_eq!(
            kept((0..20).map(|i| i * 33)),
            (0..20).map(|i| i * 33).collect::<Vec<_>>()
        );
    }

    #[test]
    fn many_are_thinned_out_evenly_with_first_and_last() {
        for (frames, every) in [(32, 33), (33, 33), (90, 33), (9000, 33), (300, 1000)] {
            let kept = kept((0..frames).map(|i| i * every));
            let last = ((frames - 1) * every) as u32;
            assert!(
                (16..=MAX_BOXES).contains(&kept.len()),
                "{} of {frames}",
                kept.len()
            );
            assert_eq!((kept[0], kept[kept.len() - 1]), (0, last));
            let widest = kept.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            assert!(widest <= last / 7, "{kept:?}");
        }
    }
}
