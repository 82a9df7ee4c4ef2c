//! Where a fluke was over time, in bounded memory.

use crate::time::Moment;
use flukewatch_common::footage::{MAX_PLACES, Place};
use flukewatch_common::pixel_box::PixelBox;

/// Places at even distances of time, ever wider ones the longer it lasts, and the last.
#[derive(Debug)]
pub(super) struct Places {
    started: Moment,
    /// One less than may be carried, for the last.
    kept: Vec<Place>,
    last: Place,
    /// The least distance between two that are kept, in milliseconds.
    spacing: u32,
}

impl Places {
    /// The fluke is first seen at `started`, in `region`.
    pub(super) fn new(started: Moment, region: PixelBox) -> Self {
        let first = Place { after: 0, region };
        let mut kept = Vec::with_capacity(MAX_PLACES);
        kept.push(first);
        Self {
            started,
            kept,
            last: first,
            spacing: 1,
        }
    }

    /// The fluke is at `region`.
    pub(super) fn add(&mut self, taken: Moment, region: PixelBox) {
        let after = after(taken, self.started);
        let place = Place { after, region };
        self.last = place;
        let newest = self.kept.last().map_or(0, |p| p.after);
        if after < newest.saturating_add(self.spacing) {
            return;
        }
        if self.kept.len() == MAX_PLACES - 1 {
            let mut number = 0;
            self.kept.retain(|_| {
                number += 1;
                number % 2 == 1
            });
            self.spacing = (after / (MAX_PLACES as u32 / 2)).max(self.spacing);
        }
        self.kept.push(place);
    }

    /// All that is kept, in order of time, at most [`MAX_PLACES`].
    pub(super) fn into_all(mut self) -> Vec<Place> {
        // Moments may go back a little.
        let newest = self.kept.last().map_or(0, |p| p.after);
        if self.last.after > newest {
            self.kept.push(self.last);
        }
        self.kept
    }
}

/// Milliseconds from `started` to `taken`.
pub(super) fn after(taken: Moment, started: Moment) -> u32 {
    u32::try_from(taken.millis_since(started).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(moments: impl Iterator<Item = i64>) -> Vec<u32> {
        let region = |millis: i64| PixelBox::whole(1 + millis as u32, 9);
        let mut places: Option<Places> = None;
        let start = Moment::from_millis(50_000);
        for millis in moments {
            let taken = Moment(start.0 + millis * 1000);
            match &mut places {
                None => places = Some(Places::new(taken, region(millis))),
                Some(places) => places.add(taken, region(millis)),
            }
        }
        let all = places.unwrap().into_all();
        assert!(
            all.iter().all(|p| p.region.x1 == p.after + 1),
            "each with its box"
        );
        assert!(all.is_sorted_by_key(|p| p.after));
        all.iter().map(|p| p.after).collect()
    }

    #[test]
    fn a_few_are_all_kept() {
        assert_eq!(of([0].into_iter()), [0]);
        assert_eq!(
            of((0..20).map(|i| i * 33)),
            (0..20).map(|i| i * 33).collect::<Vec<_>>()
        );
    }

    #[test]
    fn many_are_thinned_out_evenly_and_first_and_last_stay() {
        for (frames, every) in [(32, 33), (33, 33), (90, 33), (9000, 33), (300, 1000)] {
            let kept = of((0..frames).map(|i| i * every));
            let last = ((frames - 1) * every) as u32;
            assert!(
                (16..=MAX_PLACES).contains(&kept.len()),
                "{} of {frames}",
                kept.len()
            );
            assert_eq!((kept[0], kept[kept.len() - 1]), (0, last));
            let widest = kept.windows(2).map(|w| w[1] - w[0]).max().unwrap();
            assert!(widest <= last / 7, "{kept:?}");
        }
    }
}
