//! Which of a camera's offers is the best for what is wanted.
//!
//! An offer is worth the share that it gives of the wanted pixels, times the share that it gives of the wanted rate, neither above
//! 1: half the rate costs as much as half the pixels. Among offers of the same worth the one counts with the fewest pixels too many, then
//! the one that costs least to read ([`Encoding::ALL`]), then the one with the lowest rate.

use super::device::{Encoding, Mode, Offer};
use std::cmp::Reverse;

/// What is wanted of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// Frames a second.
    pub rate: f64,
}

/// The mode to ask for; `None` where nothing that is offered is read.
pub fn best(offers: &[Offer], wanted: Wanted) -> Option<Mode> {
    let modes = offers.iter().flat_map(|offer| {
        let (width, height) = size(offer, wanted);
        rates(offer, wanted.rate).into_iter().map(move |rate| Mode {
            encoding: offer.encoding,
            width,
            height,
            rate,
        })
    });
    modes.max_by_key(|mode| {
        let area = |w: u32, h: u32| f64::from(w) * f64::from(h);
        let pixels = area(mode.width, mode.height) / area(wanted.width, wanted.height).max(1.0);
        let rate = mode.rate / wanted.rate;
        // In thousandths, so that 29.97 is 30.
        let worth = (pixels.min(1.0) * rate.min(1.0) * 1000.0).round() as i64;
        let excess = (pixels.max(1.0) * 1000.0) as i64;
        let cost = Encoding::ALL.iter().position(|e| *e == mode.encoding);
        (
            (worth + 2) / 5,
            Reverse(excess),
            Reverse(cost),
            Reverse((rate * 1000.0) as i64),
        )
    })
}

/// The size of `offer` nearest to what is wanted, not smaller where there is a choice.
fn size(offer: &Offer, wanted: Wanted) -> (u32, u32) {
    (
        offer.width.nearest(wanted.width),
        offer.height.nearest(wanted.height),
    )
}

/// The rates worth considering. A driver that does not say is taken to do what is wanted.
fn rates(offer: &Offer, wanted: f64) -> Vec<f64> {
    let known: Vec<f64> = offer
        .rates
        .iter()
        .copied()
        .filter(|r| r.is_finite() && *r > 0.0)
        .collect();
    if known.is_empty() {
        vec![wanted]
    } else {
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::device::Span;
    use Encoding::{Grey, Mjpeg, Nv12, Yuyv};

    fn offer(encoding: Encoding, width: u32, height: u32, rates: &[f64]) -> Offer {
        Offer {
            encoding,
            width: Span::one(width),
            height: Span::one(height),
            rates: rates.to_vec(),
        }
    }

    fn chosen(offers: &[Offer], width: u32, height: u32, rate: f64) -> (Encoding, u32, u32, f64) {
        let wanted = Wanted {
            width,
            height,
            rate,
        };
        let mode = best(offers, wanted).unwrap();
        (mode.encoding, mode.width, mode.height, mode.rate)
    }

    /// What a usual USB camera offers.
    fn webcam() -> Vec<Offer> {
        vec![
            offer(Yuyv, 640, 480, &[30.0, 15.0]),
            offer(Yuyv, 1280, 720, &[10.0, 5.0]),
            offer(Yuyv, 1920, 1080, &[5.0]),
            offer(Mjpeg, 640, 480, &[30.0]),
            offer(Mjpeg, 1280, 720, &[30.0]),
            offer(Mjpeg, 1920, 1080, &[30.0, 15.0]),
        ]
    }

    #[test]
    fn the_wanted_size_and_rate_decide_the_encoding() {
        assert_eq!(
            chosen(&webcam(), 1920, 1080, 30.0),
            (Mjpeg, 1920, 1080, 30.0)
        );
        assert_eq!(chosen(&webcam(), 1920, 1080, 5.0), (Yuyv, 1920, 1080, 5.0));
        assert_eq!(chosen(&webcam(), 1280, 720, 10.0), (Yuyv, 1280, 720, 10.0));
        assert_eq!(chosen(&webcam(), 640, 480, 30.0), (Yuyv, 640, 480, 30.0));
    }

    #[test]
    fn the_lowest_rate_that_serves_is_asked_for() {
        assert_eq!(
            chosen(&webcam(), 1920, 1080, 12.0),
            (Mjpeg, 1920, 1080, 15.0)
        );
    }

    #[test]
    fn more_than_is_offered_gives_the_most() {
        assert_eq!(
            chosen(&webcam(), 3840, 2160, 30.0),
            (Mjpeg, 1920, 1080, 30.0)
        );
        let slow = [
            offer(Yuyv, 640, 480, &[30.0]),
            offer(Yuyv, 1920, 1080, &[5.0]),
        ];
        // 1/6.75 of the pixels against 1/6 of the rate.
        assert_eq!(chosen(&slow, 1920, 1080, 30.0).1, 1920);
    }

    #[test]
    fn a_size_between_two_offers_gives_the_larger() {
        assert_eq!(chosen(&webcam(), 1000, 600, 10.0), (Yuyv, 1280, 720, 10.0));
    }

    #[test]
    fn a_rate_a_little_off_is_the_rate() {
        let offers = [
            offer(Mjpeg, 1280, 720, &[30.0]),
            offer(Nv12, 1280, 720, &[29.97]),
        ];
        assert_eq!(chosen(&offers, 1280, 720, 30.0).0, Nv12);
    }

    #[test]
    fn what_costs_least_to_read_is_preferred() {
        let offers = [Mjpeg, Yuyv, Grey, Nv12].map(|e| offer(e, 1280, 720, &[30.0]));
        assert_eq!(chosen(&offers, 1280, 720, 30.0).0, Grey);
    }

    #[test]
    fn a_range_of_sizes_gives_the_wanted_one() {
        let span = |most| Span {
            least: 16,
            most,
            step: 2,
        };
        let free = Offer {
            encoding: Nv12,
            width: span(3840),
            height: span(2160),
            rates: vec![],
        };
        assert_eq!(chosen(&[free], 1921, 1081, 25.0), (Nv12, 1922, 1082, 25.0));
    }

    #[test]
    fn nothing_that_is_read_is_no_mode() {
        let wanted = Wanted {
            width: 640,
            height: 480,
            rate: 30.0,
        };
        assert_eq!(best(&[], wanted), None);
        let senseless = [offer(Yuyv, 0, 0, &[f64::NAN, -1.0, 0.0])];
        assert!(best(&senseless, wanted).is_some());
    }
}
